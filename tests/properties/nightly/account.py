"""One account and its deployment: its runs, and what can go wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import boto3
from botocore.exceptions import BotoCoreError

from conftest import ACCOUNT
from fakes import because
from ml_janitor.acting.warning import WarningDeliveries
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Effect, Mode
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.policy import Arming
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.findings import Entry, MessageRef
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.scheduled.sweep_run import SweepRunResult
from properties.nightly.common import Common
from properties.nightly.detectors import Watching
from properties.nightly.oracle import Oracle, Run, identity_of
from properties.nightly.store import ItemStore
from properties.nightly.truth import Operator
from standin import DAY, KilledError, LostError, Nights

EVERY = 7 * DAY
"""The time between two sweeps, as is set: there is one in seven days at least."""


def unmessaged(name: str) -> bool:
    """Whether the owner of the item *name* gets no direct messages: one of four."""
    return sum(name.encode()) % 4 == 0


class Carrier:
    """Who carries the warnings of *account*'s deployment, as well as its Slack is."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        del sweep, now
        account, slack = self.account, self.account.slack
        for number, result in enumerate(warnings):
            if slack == "ill" or (slack == "half" and number):
                return [f"{result.target.name} was not delivered"]
            messaged = not unmessaged(result.target.name)
            due = deliveries.due(result, messaged=messaged)
            account.tell(f"{result.target.name} is warned about: due {due}")
            account.oracle.delivered(identity_of(result.target), at=account.clock, due=due, messaged=messaged)
            if slack == "killed before":
                account.wire.die()
            message = f"ts-{result.target.name}"
            deliveries.delivered(result, because("not yet"), MessageRef("C1", message))
            if slack == "killed after":
                account.wire.die()
            if messaged:
                deliveries.messaged(result, MessageRef("D1", message))
        return ()


class Account(Nights):
    """One detector of a deployment, *kind*, and what there is for it; all chances come from *common*."""

    def __init__(self, common: Common, kind: type[Watching], session: boto3.Session, aws: Aws) -> None:
        self.common = common
        self.random, self.wire, self.mine = common.random, common.wire, common.mine
        self.operator = Operator(act_in=(ACCOUNT,), at_most=common.at_most)
        self.oracle = Oracle(
            name=kind.name,
            deletes=kind.cleanup is not None and kind.cleanup.effect is Effect.DELETE,
            clock=lambda: self.clock,
            operator=lambda: self.operator,
            table=lambda pk: list(self.mine.query(pk)),
            in_night=common.in_night,
        )
        self.store = ItemStore(watch=self.oracle)
        self.oracle.store = self.store
        watching = kind(store=self.store, clock=lambda: self.clock)
        super().__init__(common.table, session, aws, watching)
        self.watching = watching
        self.made = 0
        self.old_entries: list[Entry] = []
        self.trouble: list[Callable[[], None]] = []
        self.slack = "well"
        self.postman = Carrier(self)  # type: ignore[assignment]

    @property
    def clock(self) -> datetime:
        return self.common.clock

    @clock.setter
    def clock(self, at: datetime) -> None:
        self.common.clock = at

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def last_step(self) -> str:
        return "remove" if self.oracle.deletes else "douse"

    @property
    def undo_step(self) -> str:
        return "bring back" if self.oracle.deletes else "light"

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def tell(self, what: str) -> None:
        self.common.tell(f"{self.name}: {what}")

    def calm(self) -> None:
        """Everything works again."""
        self.wire.revive()
        self.trouble = []
        self.slack = "well"
        self.store.before = self.store.after = lambda *_: None

    def trip(
        self, kind: str, step: str, skip: int
    ) -> tuple[Callable[[str, str], None], Callable[[str, str], None]]:
        """What raises at the call number *skip* of *step*, before or after it is made."""
        left = [skip]

        def fall(asked: str, name: str) -> None:
            if asked != step:
                return
            left[0] -= 1
            if left[0] == -1:
                self.tell(f"{kind} at {step} {name}")
                self.oracle.interrupted(ledger=kind.startswith("killed"))
                if kind.startswith("killed"):
                    self.wire.die()
                raise LostError(kind)

        calm: Callable[[str, str], None] = lambda *_: None  # noqa: E731
        return (fall, calm) if kind in {"killed before", "denied"} else (calm, fall)

    def attempt(self, event: str, now: datetime, *, dry: bool) -> bool:
        """One run; the answer is whether it was killed."""
        operator = self.operator
        self.arming = Arming(
            mode=Mode.ACT if operator.armed else Mode.DRY_RUN,
            effect=Effect.DELETE if self.oracle.deletes else Effect.STOP,
            every=EVERY,
            act_in=operator.act_in,
            act_on=Confidence.LIKELY if operator.likely_too else Confidence.PROVEN,
            grace=operator.grace,
            business_days=operator.business_days,
            holidays=operator.holidays,
            max_actions=operator.max_actions,
            max_share=operator.max_share,
            act_on_managed=operator.managed_too,
            act_on_environments=operator.serving_too,
        )
        self.at_most = operator.at_most
        self.oracle.begins(Run(event=event, now=now, dry=dry))
        died = False
        try:
            ran = self.runner(dry=dry, event=event).sweep(self.detector, [self.aws], now=now)
            self.true(ran)
        except KilledError:
            died = True
            self.oracle.interrupted(ledger=True)
            self.oracle.counts["killed"] += 1
            self.tell("it was killed")
        except (RunFailedError, BotoCoreError) as failed:
            self.tell(f"it failed: {failed}")
        except LeaseTakenError:
            self.oracle.counts["leased"] += 1
            self.oracle.interrupted(ledger=True)
            self.tell("another run had the lease")
        if self.wire.met:
            self.oracle.interrupted(ledger=True)
        self.oracle.ends()
        return died

    def true(self, ran: SweepRunResult) -> None:
        """The report speaks of the past."""
        for result in ran.report.results:
            if result.outcome is Outcome.ACTED:
                self.oracle.counts["acted"] += 1
                self.acted_on(result)

    def acted_on(self, result: Result) -> None:
        """It is over, unless its owner was faster than the report, and uses it again."""
        run, item = self.oracle.run, self.store.items.get(result.target.name)
        there = item is not None and item.lit and item.candidate.target.key == result.target.key
        if there and run is not None and identity_of(result.target) not in run.finished:
            self.oracle.say(f"{result.target.name} is reported as acted on, and is still there")
