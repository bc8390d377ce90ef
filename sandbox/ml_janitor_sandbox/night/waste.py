"""The waste in the account, by a fresh audit that knows nothing of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import boto3

from ml_janitor.aws.client import open_regions
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import HOURS_PER_MONTH, Finding
from ml_janitor.core.results import Report, Result
from ml_janitor.engine.run import run_detectors
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION


def audited(settings: Settings, now: datetime) -> Report:
    """Audit the account at *now* with the detectors that can act."""
    with open_regions(
        boto3.Session(region_name=REGION), account=ACCOUNT, regions=[REGION], attempts=3, pace=None
    ) as accounts:
        actors = [detector for detector in settings.enabled() if detector.cleanup is not None]
        return run_detectors(actors, accounts, now=now, policy=settings.policy.dry())


def monthly(result: Result) -> Decimal:
    """Return the cost of a month; a job, or a pool that waits, counts as if it went on for one."""
    cost = result.verdict.cost if isinstance(result.verdict, Finding) else None
    if cost is None:
        return Decimal(0)
    if cost.monthly_usd is not None:
        return cost.monthly_usd
    return (cost.hourly_usd or Decimal(0)) * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One detector's findings before and after, and where those that are gone went."""

    detector: str
    before: tuple[Result, ...]
    ended: tuple[Result, ...]
    wanted_back: tuple[Result, ...]
    otherwise: tuple[Result, ...]
    after: tuple[Result, ...]


def lines(before: Report, after: Report, actions: Sequence[Action]) -> list[Line]:
    """Compare *before* and *after* by resource; *actions* say which of the differences are ours."""
    done: Mapping[str, Stage] = {action.target.key: action.stage for action in actions}
    stand = {sweep.detector: sweep.findings for sweep in after.sweeps}
    lines = []
    for sweep in before.sweeps:
        still = {finding.target.key for finding in stand[sweep.detector]}
        gone = [finding for finding in sweep.findings if finding.target.key not in still]
        by_stage = {finding.target.key: done.get(finding.target.key) for finding in gone}
        lines.append(
            Line(
                detector=sweep.detector,
                before=sweep.findings,
                ended=tuple(finding for finding in gone if by_stage[finding.target.key] is Stage.ACTED),
                wanted_back=tuple(
                    finding for finding in gone if by_stage[finding.target.key] is Stage.UNDONE
                ),
                otherwise=tuple(
                    finding
                    for finding in gone
                    if by_stage[finding.target.key] not in {Stage.ACTED, Stage.UNDONE}
                ),
                after=stand[sweep.detector],
            )
        )
    return lines
