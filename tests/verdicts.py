"""Verdicts in a word, and what they show."""

from datetime import datetime
from typing import Any

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Verdict
from ml_janitor.core.results import Result, Sweep
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import sweep_region

PLAIN = RunPolicy()


def word(judged: Result | Verdict) -> str:
    """How sure a finding is; else "unknown" or "kept"."""
    verdict = judged.verdict if isinstance(judged, Result) else judged
    if isinstance(verdict, Finding):
        return str(verdict.confidence)
    return "unknown" if verdict.unknown else "kept"


def expect_verdict(decided: Verdict, verdict: str, reason: str) -> None:
    """Fail where the verdict in a word ("found", however sure) or the reason is another."""
    found = "found" if verdict == "found" and isinstance(decided, Finding) else word(decided)
    assert (found, reason in decided.reason) == (verdict, True), decided.reason


def shown(judged: Result | Verdict) -> dict[str, Any]:
    """The evidence by signal, with an error where nothing could be read."""
    verdict = judged.verdict if isinstance(judged, Result) else judged
    return {seen.signal: seen.error or seen.value for seen in verdict.evidence}


def only(report: Sweep) -> Result:
    """The one result of a complete sweep."""
    assert report.error is None
    (result,) = report.results
    return result


def sweep_once(detector: Detector[Any], aws: Aws, now: datetime = NOW, policy: RunPolicy = PLAIN) -> Sweep:
    """What a run of *detector* alone makes of the account and region of *aws*."""
    return sweep_region(detector, aws, now=now, policy=policy)


def by_name(report: Sweep) -> dict[str, Result]:
    """The results of a complete sweep, by the names of the resources."""
    assert report.error is None
    return {one.target.name: one for one in report.results}
