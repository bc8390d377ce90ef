"""One account and its deployment: its runs, and what can go wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random

import boto3

from armed import KilledError, LostError, World
from conftest import ACCOUNT, REGION
from janitor.action import Action
from janitor.arming import Arming
from janitor.aws import Aws
from janitor.clients import make_client
from janitor.entries import Entry
from janitor.failures import RunFailedError
from janitor.leases import LeaseTakenError
from janitor.model import Confidence, Effect, Mode, Outcome, Result, Sweep
from janitor.runs import Ran
from janitor.table import Table
from nights import Nights
from properties.nightly.attic import Attic, Clearing, Identity
from properties.nightly.labels import LABELS
from properties.nightly.oracle import Oracle, Run
from properties.nightly.truth import Operator
from properties.nightly.wire import Wire
from sandbox.deployment import TABLE


class Carrier:
    """Who carries the warnings of *account*'s deployment, as well as its Slack is."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def __call__(
        self,
        sweep: Sweep,
        warnings: Sequence[Result],
        *,
        now: datetime,
        delivered: Callable[[Result, str, str], None],
    ) -> Sequence[str]:
        del sweep, now
        account, slack = self.account, self.account.slack
        for number, result in enumerate(warnings):
            if slack == "ill" or (slack == "half" and number):
                return [f"{result.target.name} was not delivered"]
            assert result.due is not None
            account.tell(f"{result.target.name} is warned about: due {result.due}")
            account.oracle.delivered(identity_of(result), at=account.clock, due=result.due)
            if slack == "killed before":
                account.wire.die()
            delivered(result, "C1", f"ts-{result.target.name}")
            if slack == "killed after":
                account.wire.die()
        return ()


def identity_of(known: Result | Action) -> Identity:
    target = known.target
    return target.name, "" if target.created is None else target.created.isoformat()


class Account(Nights):
    """An account and its deployment, all of whose chances come from *seed*."""

    def __init__(self, table: Table, session: boto3.Session, aws: Aws, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - it has to come out the same again
        self.seed = seed
        self.mine = table
        theirs = make_client(session, "dynamodb", REGION, self.random.choice([1, 2]))
        self.wire = Wire(theirs)
        super().__init__(Table(theirs, TABLE), session, aws, World(), Clearing())
        self.operator = Operator(act_in=(ACCOUNT,))
        self.oracle = Oracle(
            clock=lambda: self.clock, operator=lambda: self.operator, table=lambda pk: list(table.query(pk))
        )
        self.attic = Attic(watch=self.oracle, labels=LABELS)
        self.oracle.attic = self.attic
        self.story: list[str] = []
        self.made = 0
        self.events = 0
        self.old_entries: list[Entry] = []
        self.trouble: list[Callable[[], None]] = []
        self.slack = "well"
        self.postman = Carrier(self)  # type: ignore[assignment]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock:%m-%d %H:%M} {what}")

    def calm(self) -> None:
        """Everything works again."""
        self.wire.revive()
        self.trouble = []
        self.slack = "well"
        self.attic.before = self.attic.after = lambda *_: None

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
            effect=Effect.DELETE,
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
        except RunFailedError as failed:
            self.tell(f"it failed: {failed}")
        except LeaseTakenError:
            self.oracle.counts["leased"] += 1
            self.oracle.interrupted(ledger=True)
            self.tell("another run had the lease")
        if self.wire.met:
            self.oracle.interrupted(ledger=True)
        self.oracle.ends()
        return died

    def true(self, ran: Ran) -> None:
        """The report speaks of the past."""
        for result in ran.report.results:
            if result.outcome is Outcome.ACTED:
                self.oracle.counts["acted"] += 1
                item = self.attic.items.get(result.target.name)
                if item is not None and item.candidate.target.key == result.target.key:
                    self.oracle.say(f"{result.target.name} is reported as acted on, and is still there")

    def said(self, night: int) -> str:
        """What a failed test tells."""
        story = "\n".join(self.story[-60:])
        return f"{self.oracle.wrong}\nnight {night} of: make soak SEED={self.seed}\n{story}"
