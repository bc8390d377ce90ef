"""Sum up the savings by actions: only the hours of waste that they really ended. Law 8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ml_janitor.core.durations import DAY
from ml_janitor.ledger.actions import Action, Stage

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.results import Sweep
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsTotal:
    """Dollars saved by *actions* actions; for *unknown* more, nobody knows the saving per hour."""

    usd: Decimal = Decimal(0)
    actions: int = 0
    unknown: int = 0


def sum_savings(actions: Iterable[Action], *, now: datetime, time_zone: str) -> SavingsTotal:
    """Return the savings by *actions* in the month of *now*, as it began in *time_zone*."""
    local = now.astimezone(ZoneInfo(time_zone))
    month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    total, counted, unknown = Decimal(0), 0, 0
    for action in actions:
        seconds = _seconds(action, month, now)
        if seconds <= 0:
            continue
        if action.hourly_usd is None:
            unknown += 1
        else:
            counted += 1
            total += action.hourly_usd * Decimal(seconds) / _SECONDS_PER_HOUR
    return SavingsTotal(usd=total, actions=counted, unknown=unknown)


def savings_by_day(actions: Iterable[Action], first: date, now: datetime) -> Mapping[date, Decimal]:
    """Return the savings by *actions* on each UTC day from *first* to that of *now*, as AWS bills it."""
    known = [(action, action.hourly_usd) for action in actions if action.hourly_usd]
    found: dict[date, Decimal] = {}
    for number in range((now.date() - first).days + 1):
        day = datetime.combine(first + number * DAY, time(), UTC)
        usd = Decimal(0)
        for action, hourly in known:
            usd += hourly * max(_seconds(action, day, min(now, day + DAY)), 0) / _SECONDS_PER_HOUR
        if usd:
            found[day.date()] = usd
    return found


def _seconds(action: Action, since: datetime, now: datetime) -> int:
    """Return the seconds after *since* between the end of the waste and its return, or its own end."""
    if action.ended is None:
        return 0
    last = min(at for at in (action.undone, action.over, action.until, now) if at is not None)
    return int((last - max(action.ended, since)).total_seconds())


def end_savings(
    actions: Actions,
    detector: Detector[Any],
    aws: Aws,
    sweep: Sweep,
    *,
    before: datetime | None,
    now: datetime,
) -> bool:
    """
    Record which actions save nothing any more, by *sweep*; return whether there are any actions.

    *before* is the time of the sweep before it.

    If the sweep found a deleted resource, somebody created it anew. A stopped resource that is no longer
    stopped has been running since some time after *before*: the janitor does not claim the hours between. A
    resource that cannot be read is left for the next sweep.
    """
    found = {result.target.arn: result.target for result in sweep.results}
    known = actions.all(sweep.detector, str(sweep.account), sweep.region)
    for action in known:
        target = found.get(action.target.arn)
        if target is None or action.ended is None or not _saves(action, now):
            continue
        if target.key != action.target.key:
            actions.end_saving(action, max(action.ended, target.created or action.ended))
        elif not _is_done(detector, aws, action):
            actions.end_saving(action, max(action.ended, before or action.ended))
    return bool(known)


def _saves(action: Action, now: datetime) -> bool:
    return (
        action.stage is Stage.ACTED and action.over is None and (action.until is None or action.until > now)
    )


def _is_done(detector: Detector[Any], aws: Aws, action: Action) -> bool:
    try:
        return detector.is_done(aws, action.target, action.undo)
    except Exception:  # a disarmed role may not read it, and a throttled call leaves it open
        return True
