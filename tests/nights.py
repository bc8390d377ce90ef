"""A deployment with one armed detector, whose nights a test lives through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import StringIO
from logging import StreamHandler
from typing import Any, cast
from uuid import uuid4

import boto3
import pytest
from aws_lambda_powertools import Logger

from armed import Cellar, World
from conftest import ACCOUNT, NOW, REGION
from fakes import because
from memory_table import MemoryTable
from ml_janitor.acting.acting import Acting, ArmedSweep
from ml_janitor.acting.undoing import Undoing
from ml_janitor.acting.warning import Warner, WarningDeliveries
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.model import Effect, Mode
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Arming, Hold, RunPolicy
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.findings import Ledger, MessageRef
from ml_janitor.ledger.limits import ActionLimits, Leases
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.ledger.signatures import Signatures
from ml_janitor.ledger.table import Table
from ml_janitor.report.html import Archive
from ml_janitor.scheduled.sweep_run import SweepRunner, SweepRunResult
from ml_janitor_sandbox.deployment import BUCKET
from signing import own_signatures

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TUESDAY = NOW
OWN = own_signatures()
ARMED = Arming(
    mode=Mode.ACT,
    effect=Effect.DELETE,
    every=7 * DAY,
    act_in=(ACCOUNT,),
    grace=3 * DAY,
    business_days=False,
)


@dataclass
class Postman:
    """Carries the warnings into *thread*; while *ill* none, and no direct message if *unmessaged*."""

    ill: bool = False
    unmessaged: str = ""
    thread: str = "ts"
    carried: list[str] = field(default_factory=list)
    dues: dict[str, datetime] = field(default_factory=dict)

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        del sweep, now
        for result in warnings:
            if self.ill:
                return [f"{result.target.name} was not delivered"]
            self.carried.append(result.target.name)
            self.dues[result.target.name] = deliveries.due(result, messaged=not self.unmessaged)
            message = f"{self.thread}-{result.target.name}"
            deliveries.delivered(result, because(self.unmessaged or "not yet"), MessageRef("C1", message))
            if not self.unmessaged:
                deliveries.messaged(result, MessageRef("D1", message))
        return ()


class Nights:
    """A deployment with one armed detector, and a clock that a test moves."""

    def __init__(
        self,
        table: Table,
        session: boto3.Session,
        aws: Aws,
        world: World,
        detector: Detector[Any] | None = None,
        *,
        archive: Archive | None = None,
        signatures: Signatures = OWN,
    ) -> None:
        self.table, self.session, self.aws, self.world = table, session, aws, world
        self.detector: Detector[Any] = detector or Cellar()
        self.clock = TUESDAY
        self.arming = ARMED
        self.postman = Postman()
        self.at_most = 50
        self.undoable = True
        self.pauses = 0
        self.put_back: list[Action] = []
        self.archive = archive or Archive(session.client("s3"), BUCKET)
        self.ledger, self.actions, self.holds = Ledger(table), Actions(table, signatures), Holds(table)
        self.wait: Callable[[], None] | None = None
        """How a sweep waits for what AWS is at; without it, none does."""
        self.undoing = Undoing(
            actions=self.actions,
            holds=self.holds,
            clock=lambda: self.clock,
            within=30 * DAY,
        )

    def runner(self, *, dry: bool = False, event: str = "") -> SweepRunner:
        """What one invocation works with."""
        return SweepRunner(
            policy=RunPolicy(arming={self.detector.name: self.arming}),
            ledger=self.ledger,
            leases=Leases(self.table),
            archive=self.archive,
            tell=None,
            logger=Logger(service=f"test-{uuid4()}", logger_handler=StreamHandler(StringIO())),
            clock=lambda: self.clock,
            holder=event or f"event-{self.clock}",
            patience=timedelta(minutes=15),
            acting=Acting(
                ledger=self.ledger,
                actions=self.actions,
                holds=self.holds,
                limits=ActionLimits(self.table, "UTC"),
                requests=ButtonRequests(self.table, self.actions.signatures),
                clock=lambda: self.clock,
                pause=self._pause,
                revert=self.put_back.append,
                undoable=lambda *_: self.undoable,
                max_actions_per_night=self.at_most,
                together=False,
                wait=self.wait,
            ),
            warner=Warner(ledger=self.ledger, warn=self.postman, clock=lambda: self.clock),
            dry=dry,
        )

    def armed_sweep(self, sweep: Sweep | None = None, *, together: bool = False) -> ArmedSweep:
        """*sweep*, or one that found nothing, as what acts."""
        acting, name = self.runner().acting, self.detector.name
        assert acting is not None
        found = sweep or Sweep(detector=name, account=ACCOUNT, region=REGION, mode=Mode.ACT)
        return ArmedSweep(
            replace(acting, together=together),
            self.detector,
            self.aws,
            found,
            entries={},
            now=self.clock,
            policy=RunPolicy(arming={found.detector: self.arming}),
        )

    def _pause(self) -> None:
        self.pauses += 1

    def sweep(self, **how: Any) -> SweepRunResult:
        """One night's run."""
        return self.runner(**how).sweep(self.detector, [self.aws], now=self.clock)

    def after(self, span: timedelta, **how: Any) -> dict[str, Result]:
        """The results of a run *span* later, by name."""
        self.clock += span
        return by_name(self.sweep(**how))

    def warned(self, *names: str, **about: Any) -> None:
        """Waste that was warned about now, and is due in three days."""
        self.world.add(*names, **about)
        results = by_name(self.sweep())
        assert {results[name].outcome for name in names} == {Outcome.WARNED}

    def of(self, name: str) -> Action:
        """The newest action on *name*."""
        return [a for a in self.actions.all(self.detector.name, ACCOUNT, REGION) if a.target.name == name][-1]

    def hold(self, name: str, **how: Any) -> None:
        """Somebody's word on *name*."""
        key = self.world.things[name].target.key
        self.holds.put(ACCOUNT, REGION, Hold(key=key, by="maria", given=self.clock, **how))


def by_name(ran: SweepRunResult) -> dict[str, Result]:
    return {result.target.name: result for result in ran.report.results}


class NoArchive(Archive):
    """Keeps reports in memory."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None), "")
        self.kept: list[Report] = []

    def keep(self, report: Report, *, folder: str) -> str:  # noqa: ARG002
        self.kept.append(report)
        return ""


@contextmanager
def in_memory(table: Table | None = None) -> Iterator[Nights]:
    """Nights without a sandbox: their ledger is in memory (*table*), and so is the account."""
    session, world = boto3.Session(region_name=REGION), World()
    with ThreadPoolExecutor(4) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cellar, "world", world)
        prices = Prices(lambda: make_client(session, "pricing", REGION, 1))
        aws = Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool, attempts=1)
        yield Nights(table or MemoryTable(), session, aws, world, archive=NoArchive())
