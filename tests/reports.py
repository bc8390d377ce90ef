"""A made-up report with everything that a report can hold."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from fakes import target_at
from ml_janitor.core.model import Confidence, Cost, Evidence, Finding, Kept, Mode, Verdict
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.ledger.latest import LastSweep
from ml_janitor.report.digest import SweepRow
from ml_janitor_cli.screen import make_console
from ml_janitor_cli.terminal import print_report
from standin import ROOT

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
ACCOUNT = "123456789012"

DELETE = "delete the endpoint (its configuration and models stay)"
STOP_JOB = "stop the job and end its warm pool"


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that describes a document."""
    found: dict[str, Any] = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    return found


def schema_problems(name: str, document: Any) -> list[str]:
    """What the schema *name* finds wrong with *document*."""
    validator = Draft202012Validator(schema(name), format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def result(
    detector: str, name: str, verdict: Verdict, *, owner: str | None = None, region: str = "us-east-1"
) -> Result:
    """One judged resource."""
    tags = {"owner": owner} if owner else {}
    target = target_at(f"thing/{name}", NOW - timedelta(days=90), tags, region=region, name=name)
    outcome = Outcome.WOULD_ACT if isinstance(verdict, Finding) else Outcome.KEPT
    return Result(detector=detector, target=target, verdict=verdict, outcome=outcome, owner=owner)


def finding(
    reason: str,
    cost: Cost | None,
    *,
    days: float | None = 41,
    confidence: Confidence = Confidence.PROVEN,
    action: str = DELETE,
    unread: str | None = None,
) -> Finding:
    """Waste."""
    seen = [Evidence("requests in 7 days", 0, source="cloudwatch:GetMetricData", at=NOW)]
    if unread:
        seen.append(Evidence("opened by", error=unread, source="cloudtrail:LookupEvents"))
    return Finding(
        reason=reason,
        confidence=confidence,
        action=action,
        evidence=tuple(seen),
        cost=cost,
        since=None if days is None else NOW - timedelta(days=days),
    )


def sweep(detector: str, *results: Result, **about: Any) -> Sweep:
    """One sweep of *detector*."""
    given: dict[str, Any] = {"account": ACCOUNT, "region": "us-east-1", "mode": Mode.DRY_RUN} | about
    return Sweep(detector=detector, results=results, **given)


def report_of(*sweeps: Sweep, account: str | None = ACCOUNT) -> Report:
    """The report of *sweeps*."""
    return Report(time=NOW, account=account, sweeps=sweeps)


def printed(report: Report, *, every: bool = False, problems: tuple[str, ...] = ()) -> str:
    """*report* as the terminal shows it in a pipe."""
    stream = io.StringIO()
    print_report(make_console(stream), report, every=every, problems=problems)
    return stream.getvalue()


def sweep_row(
    detector: str = "idle-endpoints",
    usd: str = "1204.5",
    *,
    account: str = ACCOUNT,
    region: str = "us-east-1",
    new: int = 0,
    late: bool = False,
    **last: Any,
) -> SweepRow:
    """What the ledger has of a sweep that found two known endpoints."""
    numbers: dict[str, Any] = {"looked_at": 9, "found": 2, "kept": 7, "unknown": 0, "unpriced": 0}
    numbers |= {"monthly_usd": Decimal(usd), "accrued_usd": Decimal(0), "error": None}
    where: dict[str, Any] = {"detector": detector, "account": account, "region": region}
    time = NOW - timedelta(hours=30 if late else 2)
    return SweepRow(**where, last=LastSweep(**where, **{"time": time} | numbers | last), new=new, late=late)


def standing(hourly: str | None, source: str = "Price List API") -> Cost:
    """The cost of something that stands."""
    return Cost.standing(None if hourly is None else Decimal(hourly), source)


def accruing(hourly: str, hours: float, source: str = "Price List API") -> Cost:
    """The cost of a job."""
    return Cost.accruing(Decimal(hourly), hours, source)


OWNERS = {
    **dict.fromkeys(("fraud-scoring-v2-canary", "maria-exploration"), "maria.lopez@acme.example"),
    "recsys-candidate-ranker-shadow-experiment-2026-03-blue-green": "recsys",
    "llm-gateway-p5": "platform",
    "gpu-sandbox-01": "d.okafor",
    "llama-ft-8node-2026-09-25-03-00-00-000": "nlp-research",
}


def full(region: str = "us-east-1") -> Report:
    """Three detectors with findings, kept, unknowns and an error."""
    likely: dict[str, Any] = {"confidence": Confidence.LIKELY}
    stop: dict[str, Any] = {"action": "stop the notebook instance (its volume and files stay)"}
    throttled = "ThrottlingException: Rate exceeded"
    endpoints: dict[str, Verdict] = {
        "fraud-scoring-v2-canary": finding(
            "no request in 7 days on either of its 2 variants; the last one was 41 days ago", standing("7.20")
        ),
        "recsys-candidate-ranker-shadow-experiment-2026-03-blue-green": finding(
            "no request in 7 days; it never had one since it was made 90 days ago",
            standing("3.825", "price table of mid-2025"),
            days=90,
        ),
        "churn-propensity": finding(
            "no datapoint of Invocations in 7 days, while its CPU metrics arrive",
            standing("0.269"),
            days=None,
            **likely,
        ),
        "llm-gateway-p5": finding(
            "no request in 7 days; the last one was 9 days ago", standing(None, "no price list"), days=9
        ),
        **{f"busy-{k}": Kept(reason=f"{k * 1204 + 1:,} requests in 7 days") for k in range(7)},
        "keep-me": Kept(reason="tagged keep=true"),
        "young": Kept(reason="it was deployed 1 day ago, less than 7 days"),
        "zero": Kept(reason="scaled to zero: no instance is running"),
        "serverless": Kept(reason="serverless without provisioned concurrency costs nothing"),
        "dark": Kept(
            reason="the metrics could not be read: GetMetricData: AccessDenied: not "
            "authorized to perform cloudwatch:GetMetricData",
            unknown=True,
        ),
    }
    notebooks: dict[str, Verdict] = {
        "maria-exploration": finding(
            "the last line in its Jupyter log is 12 days old, and nobody opened it since",
            standing("4.284"),
            days=12,
            unread=f"LookupEvents: {throttled}",
            **(likely | stop),
        ),
        "gpu-sandbox-01": finding(
            "it says itself that it has been idle for 3 days", standing("0.0464"), days=3, **stop
        ),
        **{
            f"nb-{k}": Kept(reason=f"the last line in its Jupyter log is {k + 2} hours old") for k in range(5)
        },
    }
    jobs: dict[str, Verdict] = {
        "llama-ft-8node-2026-09-25-03-00-00-000": finding(
            "no log line on any of its 4 hosts for 251 hours, all GPUs flat at 100 %; before that it "
            "never paused for more than 11 minutes",
            accruing("48.96", 264),
            days=10.45,
            action=STOP_JOB,
        )
    }

    def swept(detector: str, verdicts: Mapping[str, Verdict], error: str | None = None) -> Sweep:
        found = [result(detector, name, each, owner=OWNERS.get(name)) for name, each in verdicts.items()]
        return sweep(detector, *found, error=error, region=region)

    broke = "sagemaker:ListNotebookInstances broke off after 7: ListNotebookInstances: "
    sweeps = (
        swept("idle-endpoints", endpoints),
        swept("idle-notebooks", notebooks, broke + throttled),
        swept("hung-training-jobs", jobs),
    )
    return Report(time=NOW, account=ACCOUNT, sweeps=sweeps)
