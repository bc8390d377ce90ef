"""Watch the schedules: count the sweeps, digests and bills that did not run in time, for an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_janitor.config.schedules import missed_after, schedule_period
from ml_janitor.core.text import format_iso
from ml_janitor.report.telemetry import measure_missed
from ml_janitor.scheduled.event_bus import EmitEvents, EventKind, JanitorEvent

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.config.settings import Settings
    from ml_janitor.ledger.latest import LatestRecords, LatestRuns


WATCH_SCHEDULE = "rate(1 hour)"
"""The schedule on which the digest's function looks whether all others ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleWatch:
    """
    A look at what ran last: sweeps of *account* in *regions*, or of an organization in *runs*.

    A function or region that is new in the settings is missed once its schedule could have run it since then.
    """

    settings: Settings
    latest: LatestRecords
    runs: LatestRuns
    account: str
    regions: Sequence[str]
    logger: Logger
    emit: EmitEvents = lambda _: None

    def look(self, now: datetime) -> dict[str, Any]:
        """Count what is late *now*, send an event once for each missed run, and return the names."""
        lasts = list(self._lasts())
        names = [*(name for name, _, _ in lasts), *self.regions]
        since = self.latest.watched_since(self.account, names, now)
        missed, news = list[str](), list[JanitorEvent]()
        for name, schedule, last in lasts:
            late = now - max(since[name], last(since)) - missed_after(schedule)
            if late <= timedelta():
                continue
            missed.append(name)
            self.logger.error("did not run in time", extra={"detector": name})
            period = schedule_period(schedule)
            since_missed = late % period or period
            if since_missed <= schedule_period(WATCH_SCHEDULE):  # this look is the first one after it
                news.append(self._news(name, now - since_missed))
        measure_missed(len(missed))
        self.emit(news)
        return {"missed": missed}

    def _news(self, name: str, missed_at: datetime) -> JanitorEvent:
        return JanitorEvent(
            kind=EventKind.MISSED_RUN,
            key=f"{name} {format_iso(missed_at)}",
            time=missed_at,
            account=self.account,
            detector=name,
            title=f"{name} did not run in time",
            text="janitor doctor says which schedule, and why.",
        )

    def _lasts(self) -> Iterator[tuple[str, str, Callable[[Mapping[str, datetime]], datetime]]]:
        """
        Yield the name and schedule of everything that is scheduled, and a reader of its last time.

        The reader returns the time from which on it is watched if it never ran.
        """
        section, bill = self.settings.janitor, self.settings.bill
        yield "digest", section.digest_schedule, self._last_digest
        if bill.enabled:
            yield "bill", bill.schedule, self._last_bill
        last = self._last_run if self.settings.organization.used else self._last_sweep
        for detector in self.settings.enabled():
            yield detector.name, self.settings.schedule(type(detector)), partial(last, detector.name)

    def _last_digest(self, since: Mapping[str, datetime]) -> datetime:
        return self.latest.digest(self.account) or since["digest"]

    def _last_bill(self, since: Mapping[str, datetime]) -> datetime:
        last = self.latest.bill(self.account)
        return since["bill"] if last is None else last.time

    def _last_run(self, detector: str, since: Mapping[str, datetime]) -> datetime:
        last = self.runs.last(detector)
        return since[detector] if last is None else last.time

    def _last_sweep(self, detector: str, since: Mapping[str, datetime]) -> datetime:
        """Return the time of the last sweep, in the region where it was the longest ago."""
        lasts = [(region, self.latest.sweep(detector, self.account, region)) for region in self.regions]
        return min(max(since[region], last.time if last else since[region]) for region, last in lasts)
