"""One scheduled run: lease, sweep, keep the report, remember, tell. What Lambda does around the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from janitor import telemetry
from janitor.aws import failure
from janitor.engine import Policy, run, sweep_one
from janitor.ledger import Recorded
from janitor.model import Report, Sweep

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from janitor.archive import Archive
    from janitor.aws import Aws
    from janitor.detector import Detector
    from janitor.ledger import Ledger

type Tell = Callable[[Report, Sweep, Recorded, str, Callable[[], None]], None]
"""Tells people what is new in a sweep, and where its report lies; calls back once the message was taken."""


class RunFailedError(Exception):
    """Something in a run failed; everything else was done before this was raised. One line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run leaves: its report, where it lies, and how many findings were new."""

    report: Report
    where: str
    new: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """
    Everything a run needs from the outside.

    *clock* is the real time, for leases; the sweep's own `now` comes from its event. *holder*
    names this invocation, *patience* is how long it may take.
    """

    policy: Policy
    ledger: Ledger
    archive: Archive
    tell: Tell
    logger: Logger
    clock: Callable[[], datetime]
    holder: str
    patience: timedelta

    def sweep(
        self, detector: Detector[Any], accounts: Sequence[Aws], *, now: datetime, note: str = ""
    ) -> Ran:
        """
        Sweep *accounts*, and do all the rest even if one part of it fails.

        Raises LeaseTakenError before anything is read; RunFailedError at the end, for an incomplete
        sweep, a ledger that could not be written, or a message that could not be delivered.
        """
        failures: list[str] = []
        with self._leases(detector, accounts):
            begun = perf_counter()
            report = run([detector], accounts, now=now, policy=self.policy)
            seconds = perf_counter() - begun
            with self._keeping_on(failures, "the report could not be kept"):
                where = ""
                where = self.archive.keep(report, folder=f"{detector.name}/{accounts[0].account}")
            new = 0
            for aws, sweep in zip(accounts, report.sweeps, strict=True):
                recorded = Recorded(new=(), entries={})
                with self._keeping_on(failures, "the ledger could not be written"):
                    recorded = self.ledger.record(aws, sweep, now)
                new += len(recorded.new)
                with self._keeping_on(failures, "Slack could not be told"):
                    if recorded.new:
                        taken = partial(self.ledger.announced, aws, sweep, recorded.new, self.clock())
                        self.tell(report, sweep, recorded, where, taken)
                telemetry.summarise(self.logger, sweep, seconds=seconds, new=new)
                telemetry.measure(sweep, seconds=seconds)
                if sweep.error is not None:
                    failures.append(f"{sweep.detector} in {sweep.region} is not complete: {sweep.error}")
        if failures:
            raise RunFailedError("; ".join(failures))
        return Ran(report=report, where=where, new=new, note=note)

    def look(self, detector: Detector[Any], aws: Aws, arn: str, *, now: datetime, note: str = "") -> Ran:
        """One resource only: judged and reported, and nobody is told."""
        judged = sweep_one(detector, aws, arn, now=now, policy=self.policy)
        report = Report(time=now, account=aws.account, sweeps=(judged,))
        where = self.archive.keep(report, folder=f"{detector.name}/{aws.account}/one")
        if judged.error is not None:
            raise RunFailedError(judged.error)
        return Ran(report=report, where=where, new=0, note=note)

    @contextmanager
    def _leases(self, detector: Detector[Any], accounts: Sequence[Aws]) -> Iterator[None]:
        """One sweep of a detector, account and region at a time."""
        with ExitStack() as held:
            for aws in accounts:
                where = (detector.name, aws.account, aws.region)
                now = self.clock()
                self.ledger.lease(*where, holder=self.holder, now=now, until=now + self.patience)
                held.callback(self.ledger.release, *where, holder=self.holder)
            yield

    @contextmanager
    def _keeping_on(self, failures: list[str], what: str) -> Iterator[None]:
        """Note a failed part of the run and go on: one failure must not take the others with it."""
        try:
            yield
        except Exception as error:
            said = failure(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
            failures.append(f"{what}: {said}")
            self.logger.exception(what)
