"""Sweep on a schedule: lease, sweep, keep the report, remember, tell. The part around the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Protocol

from ml_janitor.acting.after_sweep import CleanupParts, CleanupRun, SweptRegion, spare_undo_resources
from ml_janitor.aws.client import Aws, unread_sweep_error
from ml_janitor.core.model import Change, Mode
from ml_janitor.core.money import claimed_resources
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import Failures, RunFailedError, run_detectors, sweep_resource
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.ledger.latest import LastSweep
from ml_janitor.ledger.limits import Leases, RegionBatch, RegionQueue
from ml_janitor.report import telemetry
from ml_janitor.report.causes import unreachable_undos_text
from ml_janitor.report.html import Archive
from ml_janitor.scheduled.event_bus import EmitEvents, sweep_events
from ml_janitor.scheduled.invocation import SweepPlace


class FindingTeller(Protocol):
    """A teller of new findings."""

    def __call__(
        self,
        sweep: Sweep,
        recorded: RecordedFindings,
        *,
        now: datetime,
        where: str,
        note: str,
        first: bool,
        taken: Callable[[Sequence[Result]], None],
    ) -> Sequence[str]:
        """
        Tell of *sweep*'s new findings, and call *taken* with each message's findings as soon as it arrived.

        *where* is the place of the whole report. *first* is true for the region's first sweep. Return a line
        for each part of a message that did not arrive. Raises an error if a message did not arrive.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRunResult:
    """
    The result of a run: its report, the report's place, and the number of new findings.

    *unfinished* are the regions for which time ran out, if another part of the run takes them up.
    """

    report: Report
    where: str
    new: int
    note: str
    unfinished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRunner(CleanupParts):
    """
    The outside parts that a run needs.

    *clock* is the real time, for leases; the sweep's own `now` comes from its event. *holder*
    names the event, so that its retry goes on under its own lease. *patience* is the time that
    the run may take, *sleep* spends some, and *pause* waits while another run sweeps. Without
    *tell* the run tells nobody, and nothing counts as announced. *emit* sends events, if there is a bus. If
    it *goes_on*, another part takes up the regions for which its time runs out, and they do not fail.
    """

    leases: Leases
    archive: Archive
    tell: FindingTeller | None
    clock: Callable[[], datetime]
    holder: str
    patience: timedelta
    sleep: Callable[[float], None]
    pause: Callable[[], None] | None = None
    goes_on: bool = False
    emit: EmitEvents | None = None

    def sweep(
        self,
        detector: Detector[Any],
        accounts: Sequence[Aws],
        *,
        now: datetime,
        note: str = "",
        off: SweepPlace | None = None,
    ) -> SweepRunResult:
        """
        Sweep *accounts*, and do all the rest even if a part of it fails. Slack comes last.

        The ledger remembers that the regions of *off* are not enabled: their findings stay, because the
        resources still cost money. The run waits for a region that another run sweeps, once the others are
        done. Raises LeaseTakenError if no region became free. Raises RunFailedError at the end, for a region
        that did not become free, an incomplete sweep, a report or a ledger that could not be written, or a
        message that did not arrive.
        """
        failures, begun = Failures(self.logger), self.clock()
        lasts = self._lasts(detector, accounts, failures)
        known, where = self._still_empty(detector, accounts, lasts, failures, now=now, note=note), ""
        left = [aws for aws in accounts if all(aws is not empty.aws for empty in known)]
        queue = RegionQueue(
            leases=self.leases,
            detector=detector.name,
            holder=self.holder,
            clock=self.clock,
            begun=begun,
            patience=self.patience,
            pause=self.pause,
            failures=failures,
        )
        with closing(queue.of(left)) as batches:
            for batch in batches:
                swept = self._swept(
                    detector, batch, lasts, failures, ends=begun + self.patience, now=now, note=note
                )
                known += swept
                folder = "rest" if queue.rest else ""
                where = self._kept(_report(known, accounts, now), detector.name, failures, folder=folder)
                for known_sweep in swept:
                    zone = self.policy.exemptions.time_zone
                    if self.emit is not None:
                        self.emit(sweep_events(detector, known_sweep, now=now, time_zone=zone, report=where))
                    with failures.survived("the news could not be sent"):
                        for problem in self._told(known_sweep, failures, now=now, where=where, note=note):
                            failures.note(f"not delivered: {problem}")
        if not left:
            where = self._kept(_report(known, accounts, now), detector.name, failures)
        if off is not None:
            with failures.survived("the ledger could not be written"):
                self.ledger.latest.remember_all(_unswept(detector, off), now, enabled=False)
        report = _report(known, accounts, now)
        telemetry.measure_acts(report.sweeps)
        failures.check(where)
        new = sum(known_sweep.recorded.first_seen(now) for known_sweep in known)
        unfinished = tuple(swept.aws.region for swept in known if self._left_to_next_part(swept.aws))
        return SweepRunResult(report=report, where=where, new=new, note=note, unfinished=unfinished)

    def _left_to_next_part(self, aws: Aws) -> bool:
        return self.goes_on and aws.ran_out

    def not_entered(
        self, detector: Detector[Any], place: SweepPlace, error: Exception, *, now: datetime
    ) -> RunFailedError:
        """
        Return the *error* that kept the run from *place*, and remember it: the
        place must not look free of waste.
        """
        failures = Failures(self.logger)
        why = unread_sweep_error(error)
        unswept = [*_unswept(detector, place, error=why)]
        for sweep in unswept:
            telemetry.log_sweep(self.logger, sweep, seconds=0, new=0, note="")
        with failures.survived("the ledger could not be written"):
            self.ledger.latest.remember_all(unswept, now)
        return RunFailedError(f"account {place.account} {why}")

    def _lasts(
        self, detector: Detector[Any], accounts: Sequence[Aws], failures: Failures
    ) -> Mapping[tuple[str, str], LastSweep] | None:
        """Return the sweeps before this one, by account and region; None if they could not be read."""
        pairs = [(aws.account, aws.region) for aws in accounts]
        with failures.survived("the latest sweeps could not be read"):
            return self.ledger.latest.sweeps(detector.name, pairs, sleep=self.sleep)
        return None

    def _still_empty(
        self,
        detector: Detector[Any],
        accounts: Sequence[Aws],
        lasts: Mapping[tuple[str, str], LastSweep] | None,
        failures: Failures,
        *,
        now: datetime,
        note: str,
    ) -> list[SweptRegion]:
        """
        Return the sweeps of the settled regions that are still empty, which take one write in all.

        Nothing is done there, so that neither leases nor holds are needed. A region that holds something by
        now, or could not be read, is swept like all others.
        """
        settled = {where for where, last in (lasts or {}).items() if last.settled}
        empty = [aws for aws in accounts if (aws.account, aws.region) in settled]
        begun, policy = perf_counter(), CleanupRun(self, detector, failures).base_policy
        report = run_detectors([detector], empty, now=now, policy=policy)
        nothing = RecordedFindings(new=(), entries={})
        still = [
            SweptRegion(aws, sweep, nothing)
            for aws, sweep in zip(empty, report.sweeps, strict=True)
            if is_empty(sweep)
        ]
        with failures.survived("the ledger could not be written"):
            self.ledger.latest.remember_all([swept.sweep for swept in still], now, settled=True)
        for swept in still:
            seconds = perf_counter() - begun
            telemetry.log_sweep(self.logger, swept.sweep, seconds=seconds, new=0, note=note)
        return still

    def _swept(
        self,
        detector: Detector[Any],
        batch: RegionBatch,
        lasts: Mapping[tuple[str, str], LastSweep] | None,
        failures: Failures,
        *,
        ends: datetime,
        now: datetime,
        note: str,
    ) -> list[SweptRegion]:
        """Sweep one batch's regions at once, then clean up in one after the other."""
        begun, ended = perf_counter(), dict[str, float]()

        def swept(sweep: Sweep) -> None:
            ended[sweep.region] = perf_counter() - begun

        cleaning = CleanupRun(self, detector, failures)
        policy = cleaning.judged_by(batch.regions)
        if detector.asks_for is Change.COMMIT:
            with failures.survived("what other detectors found could not be read"):
                policy = replace(policy, named=self._named(batch.regions))
        report = run_detectors([detector], batch.regions, now=now, policy=policy, swept=swept)
        known = self._remembered(detector, report, batch.regions, lasts, failures)
        for number, swept_region in enumerate(known):
            share = (ends - self.clock()) / (len(known) - number + batch.later)
            until = self.clock() + share
            known[number] = cleaning.after(swept_region, policy, now, until=until)
            self._note_unreachable(known[number].sweep, failures)
        for number, cleaned in enumerate(known):
            news = {result.target.key for result in self._news(cleaned, now)}
            known[number] = cleaning.heeded(cleaned, news, policy, now)
            seconds, new = ended[cleaned.sweep.region], cleaned.recorded.first_seen(now)
            telemetry.log_sweep(self.logger, known[number].sweep, seconds=seconds, new=new, note=note)
        return known

    def _note_unreachable(self, sweep: Sweep, failures: Failures) -> None:
        """Fail the run for actions that no function may undo, so that an alarm tells the operator in time."""
        if sweep.unreachable is not None:
            why = unreachable_undos_text(sweep.unreachable)
            failures.note(f"{sweep.detector}: {why}")
            self.logger.error("out of reach", extra={"detector": sweep.detector, "why": why})

    def _named(self, regions: Sequence[Aws]) -> frozenset[str]:
        """Return the resources that open findings of all detectors would change, by ARN in lower case."""
        return claimed_resources(
            entry.claim
            for aws in regions
            for kind in DETECTORS
            for entry in self.ledger.entries(kind.name, aws.account, aws.region)
            if entry.open
        )

    def look(
        self, detector: Detector[Any], aws: Aws, arn: str, *, now: datetime, note: str = ""
    ) -> SweepRunResult:
        """
        Judge and report one resource only. Nothing is remembered, and nobody is told.

        Raises RunFailedError if the resource could not be judged.
        """
        failures = Failures(self.logger)
        begun = perf_counter()
        policy = (
            self.policy
            if self.acting is None
            else spare_undo_resources(self.policy, detector, self.acting, [aws])
        )
        judged = sweep_resource(detector, aws, arn, now=now, policy=policy)
        report = Report(time=now, account=aws.account, sweeps=(judged,))
        where = self._kept(report, detector.name, failures, folder="one")
        telemetry.log_sweep(self.logger, judged, seconds=perf_counter() - begun, new=0, note=note)
        if judged.error is not None:
            failures.note(judged.error)
        failures.check(where)
        return SweepRunResult(report=report, where=where, new=0, note=note)

    def _kept(self, report: Report, detector: str, failures: Failures, *, folder: str = "") -> str:
        """Keep the report and return its place; "" if that failed."""
        path = [detector, str(report.account), *([folder] if folder else [])]
        with failures.survived("the report could not be kept"):
            return self.archive.keep(report, folder="/".join(path))
        return ""

    def _remembered(
        self,
        detector: Detector[Any],
        report: Report,
        accounts: Sequence[Aws],
        last_sweeps: Mapping[tuple[str, str], LastSweep] | None,
        failures: Failures,
    ) -> list[SweptRegion]:
        """Return each sweep with the ledger's state of it: empty, if the ledger could not be written."""
        known = []
        for aws, sweep in zip(accounts, report.sweeps, strict=True):
            if sweep.error is not None and not self._left_to_next_part(aws):
                failures.note(f"{sweep.detector} in {sweep.region} is not complete: {sweep.error}")
            recorded = RecordedFindings(new=(), entries={})
            with failures.survived("the ledger could not be written"):
                lasts = self.policy.armed(sweep.detector).lasts
                settled = is_empty(sweep) and (
                    self.acting is None or detector.cleanup is None or not self.acting.known(sweep)
                )
                recorded = self.ledger.record(aws, sweep, report.time, lasts=lasts, settled=settled)
            last = (last_sweeps or {}).get((aws.account, aws.region))
            first = last is None and last_sweeps is not None  # where nobody knows, it is as any other night
            known.append(SweptRegion(aws, sweep, recorded, last.time if last else None, first))
        return known

    def _told(
        self, known: SweptRegion, failures: Failures, *, now: datetime, where: str, note: str
    ) -> Sequence[str]:
        keys = {result.target.key for result in known.recorded.new}
        new = tuple(_without_warning(known.sweep, keys))
        if self.tell is None or not new:
            return ()

        def taken(results: Sequence[Result]) -> None:
            with failures.survived("the ledger could not be told what was announced"):
                self.ledger.announced(known.aws, known.sweep, results, self.clock())

        recorded = replace(known.recorded, new=new)
        return self.tell(
            known.sweep, recorded, now=now, where=where, note=note, first=known.first, taken=taken
        )

    def _news(self, known: SweptRegion, now: datetime) -> Iterator[Result]:
        """Yield the findings that a message or an event is about to tell of, but for warned ones."""
        told = set[str]() if self.tell is None else {result.target.key for result in known.recorded.new}
        sent = set[str]() if self.emit is None else known.recorded.first_seen_keys(now)
        return _without_warning(known.sweep, told | sent)


def _without_warning(sweep: Sweep, keys: AbstractSet[str]) -> Iterator[Result]:
    """Yield the findings with *keys* that have no warning: it says all that an announcement says."""
    for result in sweep.findings:
        if result.target.key in keys and result.outcome not in {Outcome.WARNED, Outcome.WAITING}:
            yield result


def _report(known: Sequence[SweptRegion], accounts: Sequence[Aws], now: datetime) -> Report:
    """Return the report of all batches so far."""
    account = accounts[0].account if accounts else None
    return Report(time=now, account=account, sweeps=tuple(known_sweep.sweep for known_sweep in known))


def is_empty(sweep: Sweep) -> bool:
    """Return whether *sweep* read everything and found no resources."""
    return sweep.error is None and not sweep.looked_at and not sweep.unidentified


def _unswept(detector: Detector[Any], place: SweepPlace, error: str | None = None) -> Iterator[Sweep]:
    """Yield a sweep of each region of *place* in which nothing was read."""
    for region in place.regions:
        yield Sweep(
            detector=detector.name, account=place.account, region=region, mode=Mode.DRY_RUN, error=error
        )
