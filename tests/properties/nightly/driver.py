"""Lives through random nights: the same seed, the same nights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from random import Random

import boto3
from botocore.exceptions import BotoCoreError

from conftest import ACCOUNT, MINUTE, REGION
from fakes import because
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.acting.warning import WarningDeliveries
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Effect, Mode
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.policy import Arming, Hold, HoldKind
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Action, Actions, BegunBeforeError
from ml_janitor.ledger.findings import Entry, Ledger, MessageRef
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import ConditionFailedError, Table
from ml_janitor.scheduled.sweep_run import SweepRunResult
from ml_janitor_sandbox.deployment import TABLE
from properties.nightly import store
from properties.nightly.oracle import REST, Operator, Oracle, Run, identity_of
from standin import DAY, HOUR, KilledError, LostError, Nights, own_signatures

# --- account --------------------------------------------------------------------------------------
#
# One account and its deployment: its runs, and what can go wrong with each.

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

    def __init__(
        self, common: store.Common, kind: type[store.Watching], session: boto3.Session, aws: Aws
    ) -> None:
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
        self.store = store.ItemStore(watch=self.oracle)
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


# --- life -----------------------------------------------------------------------------------------
#
# What happens in an account by itself: things come and go, are used and labelled; settings change.

PLACES_TO_ACT = (
    ((ACCOUNT,), True),
    ((f"{ACCOUNT}/{REGION}", "999999999999"), True),
    ((f"{ACCOUNT}/eu-west-1",), False),
    ((), False),
)


class Life(Account):
    """An account that is lived in."""

    def settle(self) -> None:
        """What there is at the beginning."""
        for _ in range(self.random.randrange(5, 16)):
            self.make_one()

    def make_one(self) -> None:
        """Something new, under a name of its own."""
        self.make(f"{'item' if self.oracle.deletes else 'lamp'}-{self.made}")

    def make(self, name: str) -> None:
        """Something new, under a new name or an old one."""
        self.made += 1
        self.store.items[name] = store.Item(
            name=name,
            created=self.clock - 90 * DAY * self.random.random() if not name.endswith("0") else None,
            label=self.random.choice(store.BOUND if self.chance(0.2) else store.FREE),
            used=self.chance(0.2),
            proven=self.chance(0.85),
            watched=self.chance(0.05),
            slow=self.chance(0.1),
        )
        self.tell(f"{name} is made: {self.store.items[name]}")

    def one(self) -> store.Item | None:
        """Some item; what is half done, or out, more often than others."""
        items = list(self.store.items.values())
        half = [item for item in items if not item.plugged or not item.lit]
        return self.random.choice(half if half and self.chance(0.5) else items) if items else None

    def life_goes_on(self, besides: str = "") -> None:
        """One thing happens to one item, except to the one named."""
        item = self.one()
        if item is None or item.name == besides:
            return
        what = self.random.choice(
            [
                "use",
                "leave",
                "leave",
                "leave",
                "label",
                "label",
                "hide",
                "show",
                "show",
                "again",
                "delete",
                "hold",
            ]
        )
        self.tell(f"{item.name}: {what}")
        match what:
            case "use" | "leave" if not item.lit:
                self.light(item, used=what == "use")
            case "use" | "leave":
                item.used = what == "use"
            case "label":
                item.label, item.relabelled = (
                    self.random.choice(store.BOUND if self.chance(0.4) else store.FREE),
                    True,
                )
                self.tell(f"{item.name} is labelled {item.label.tags}")
            case "hide":
                item.untold, item.tags_hidden = self.random.choice([(True, False), (False, True)])
            case "show":
                item.untold, item.tags_hidden = False, False
            case "again":
                self.make(item.name)
            case "delete" if self.chance(0.3):
                del self.store.items[item.name]
            case "hold":
                self.hold_one(item)

    def light(self, item: store.Item, *, used: bool) -> None:
        """Its owner lights it again, and perhaps uses it."""
        item.lit = item.plugged = True
        item.used = used
        self.oracle.lit_again(item.identity)
        self.tell(f"{item.name} is lit again")

    def hold_one(self, item: store.Item) -> None:
        until = self.clock + self.random.choice([1, 3, 7]) * DAY if self.chance(0.6) else None
        how = HoldKind.KEPT if until is None else HoldKind.SNOOZED
        key = item.candidate.target.key
        hold = Hold(key=key, how=how, by="maria", given=self.clock, until=until)
        Holds(self.mine).put(ACCOUNT, REGION, hold)
        self.oracle.holds.setdefault(item.identity, []).append(until)
        self.tell(f"{item.name} is {how} until {until}")

    def operator_changes(self) -> None:
        act_in, inside = self.random.choice((*[PLACES_TO_ACT[0]] * 10, *PLACES_TO_ACT))
        self.operator = Operator(
            armed=self.chance(0.9),
            act_in=act_in,
            inside=inside,
            likely_too=self.chance(0.5),
            grace=self.random.choice([HOUR, HOUR, DAY, DAY, 2 * DAY, 3 * DAY]),
            business_days=self.chance(0.3),
            holidays=(date(2026, 10, 12),),
            max_actions=self.random.choice([0, 1, 2, 5, 10, 10, 10]),
            max_share=self.random.choice([0, 20, 20, 50, 100, 100, 100]),
            at_most=min(self.random.choice([0, 3, 6, 50, 50, 50, 50]), self.common.at_most),
            managed_too=self.random.choice([(), (), (), ("terraform",), ("cloudformation",)]),
            serving_too=self.random.choice([(), (), ("prod",)]),
        )
        for each in self.common.drivers:  # max_actions_per_night is one for all
            each.operator.at_most = self.operator.at_most
        self.tell(f"{self.operator}")


# --- people ---------------------------------------------------------------------------------------
#
# What people do with warnings and with what was done: presses, approvals and undos.


class People(Life):
    """An account whose warnings are read."""

    def presses(self) -> None:
        """*Do it now* on one warning, perhaps on an old message, or a word for all of them."""
        entries = [entry for entry in self.on_record() if entry.warned is not None]
        self.old_entries += entries
        if self.old_entries and self.chance(0.3):
            entry = self.random.choice(self.old_entries[-30:])
            identity = self.known(entry.key)
            try:
                Ledger(self.mine, own_signatures()).make_due(entry, by="maria", now=self.clock)
            except ConditionFailedError:
                self.tell(f"now is refused for {identity}")
            else:
                self.tell(f"now is pressed for {identity}")
                self.pressed(entry, "hurried")
        if entries and self.chance(0.3):
            self.tell("all that was warned about is approved")
            for entry in [entry for entry in self.on_record() if entry.warned is not None]:
                Ledger(self.mine, own_signatures()).approve(entry, by="maria")
                self.pressed(entry, "approved")

    def on_record(self) -> list[Entry]:
        return Ledger(self.mine).entries(self.name, ACCOUNT, REGION)

    def pressed(self, entry: Entry, how: str) -> None:
        """The ledger took it; a warning that was acted on already may still stand in there."""
        identity = self.known(entry.key)
        warned = self.oracle.warnings.get(identity)
        if warned is None and not self.oracle.used_up(identity, entry.warned):
            self.oracle.say(f"{identity} has no warning, and yet it is {how}")
        elif warned is not None:
            setattr(warned, how, True)
            self.oracle.counts[how] += 1

    def known(self, key: str) -> store.Identity:
        """The identity that a key of the ledger means."""
        arn, _, created = key.rpartition("@")
        return arn.rpartition("/")[2], created

    def asked_back(self) -> None:
        """What sweeps asked to be put back is put back, by a function that may die, too."""
        asked, self.put_back = self.put_back, []
        for action in asked:
            self.take_back(action, by="the janitor")

    def somebody_undoes(self) -> None:
        """An undo of anything that was ever done, also of what was undone."""
        known = Actions(self.mine).all(self.name, ACCOUNT, REGION)
        if known:
            self.take_back(self.random.choice(known[-8:]), by="maria")

    def take_back(self, action: Action, *, by: str) -> None:
        """Until it is done, however often its function dies."""
        identity = identity_of(action.target)
        for attempt in range(4):
            if attempt < 3 and self.chance(0.4):
                kind = self.random.choice(store.KINDS)
                self.wire.mishap = store.Mishap(kind, b'"action#', self.random.choice([0, 1, 2, 3, 4, 5]))
            elif attempt < 3 and self.chance(0.4):
                kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
                self.store.before, self.store.after = self.trip(
                    kind, self.random.choice([self.undo_step, "plug in"]), 0
                )
            self.oracle.undoing = identity
            try:
                self.took_back(action, by=by)
            except KilledError:
                self.tell("its function was killed")
            hit = self.wire.met or self.wire.dead
            self.oracle.undoing = None
            self.calm()
            if hit:
                self.oracle.interrupted(ledger=False)
                continue
            if attempt == 3 or self.chance(0.7):
                break

    def took_back(self, action: Action, *, by: str) -> bool:
        """One call of the undo function; the answer is whether it got to work."""
        identity = identity_of(action.target)
        self.tell(f"{by} undoes {identity}")
        leases, holder = Leases(self.table), f"undo {action.id}"
        try:
            until = self.clock + self.runner().patience
            leases.take(self.name, ACCOUNT, REGION, holder=holder, now=self.clock, until=until)
        except LeaseTakenError:
            self.oracle.counts["undo waited"] += 1
            return False
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
            return False
        try:
            found = self.undoing.find(self.name, ACCOUNT, REGION, action.id)
            self.undoing.undo(self.detector, self.aws, found, by=by)
            self.restored(found, identity)
        except (CannotUndoError, BegunBeforeError) as error:
            self.tell(f"it could not: {error}")
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
        with suppress(Exception):
            leases.release(self.name, ACCOUNT, REGION, holder=holder)
        return True

    def restored(self, action: Action, identity: store.Identity) -> None:
        """It is as its undo says: there, plugged in, with its tags; and rests."""
        item = self.store.items.get(identity[0])
        self.oracle.counts["undone"] += 1
        self.oracle.rests[identity[0]] = self.clock + REST
        if item is None:
            self.oracle.say(f"{identity} was undone, and is not there")
        elif not item.plugged or not item.lit:
            self.oracle.say(f"{identity} was undone, and is not plugged in and lit")
        elif identity[1] not in {item.identity[1], item.origin}:
            self.oracle.say(f"{identity} was undone, and another is there")
        elif item.identity != identity and not item.relabelled and item.label.tags != action.undo["tags"]:
            self.oracle.say(f"{identity} was undone, and has other tags")


# --- driver ---------------------------------------------------------------------------------------


class Driver(People):
    """Night after night of an account."""

    def evening(self) -> None:
        """People at work, before any sweep."""
        for _ in range(self.random.randrange(1, 4)):
            self.life_goes_on()
        for _ in range(self.random.randrange(3)):
            self.make_one()
        if self.chance(0.3):
            self.operator_changes()
        self.presses()

    def night(self) -> None:
        """One event, and what comes of it."""
        self.swept()
        self.asked_back()
        if self.chance(0.5):
            self.somebody_undoes()

    def swept(self) -> None:
        """One event, with whatever goes wrong, and its retries."""
        self.common.events += 1
        stale = self.random.choice([timedelta(), timedelta(), 50 * MINUTE, 5 * HOUR])
        event, now = f"event-{self.common.events}", self.clock - stale
        dry = stale > HOUR or self.chance(0.05)
        self.store.breaks_after = (
            self.random.randrange(len(self.store.items)) if self.store.items and self.chance(0.1) else None
        )
        self.slack = self.random.choice(["well"] * 7 + ["ill", "half", "killed before", "killed after"])
        for attempt in range(3):
            trouble = self.brew(attempt)
            self.tell(f"{event} of {now} begins{', dry' if dry else ''}: {trouble}, Slack is {self.slack}")
            died = self.attempt(event, now, dry=dry)
            self.calm()
            if not died or self.chance(0.2):
                break
            self.clock += MINUTE

    def brew(self, attempt: int) -> str:
        """What will go wrong."""
        what = self.random.choice(["nothing", "wire", "wire", "step", "step", "step", "other", "pause"])
        if attempt == 2:
            return "nothing"
        if what == "wire":
            mishap = store.Mishap(
                self.random.choice(store.KINDS),
                self.random.choice(store.PLACES),
                self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
            )
            self.wire.mishap = mishap
            return str(mishap)
        if what == "step":
            kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
            step, skip = (
                self.random.choice(["unplug", self.last_step, self.last_step]),
                self.random.choice([0, 0, 1, 2]),
            )
            self.store.before, self.store.after = self.trip(kind, step, skip)
            return f"{kind} {step} after {skip}"
        if what == "other":
            self.store.before = self.meanwhile
        if what == "pause":
            self.trouble = [self.life_goes_on, self.presses]
        return what

    def meanwhile(self, step: str, name: str) -> None:
        """In the middle of one action something else happens: to another item, or another sweep begins."""
        if self.chance(0.4):
            self.life_goes_on(besides=name)
            return
        if self.chance(0.3):
            self.other_sweeps()
            return
        run, self.oracle.run = self.oracle.run, None
        self.tell(f"another sweep begins at {step} {name}")
        try:
            self.at_once()
        finally:
            self.oracle.run = run

    def other_sweeps(self) -> None:
        """The other detector's sweep begins and ends, while an action of this one is under way."""
        other = next(each for each in self.common.drivers if each is not self)
        if other.oracle.run is not None:
            return
        self.common.events += 1
        self.tell(f"{other.name} is swept meanwhile")
        if other.attempt(f"event-{self.common.events}", self.clock, dry=False):
            self.wire.die()
        self.oracle.counts["side by side"] += 1

    def at_once(self) -> None:
        """A second sweep, and an undo, while a sweep is at work."""
        try:
            self.runner(event="another").sweep(self.detector, [self.aws], now=self.clock)
            self.oracle.say("two sweeps at once")
        except LeaseTakenError:
            self.oracle.counts["second sweeps"] += 1
        known = Actions(self.mine).all(self.name, ACCOUNT, REGION)
        if known and self.took_back(known[-1], by="maria"):
            self.oracle.say("a sweep and an undo at once")

    def _pause(self) -> None:
        for trouble in self.trouble:
            trouble()


# --- household ------------------------------------------------------------------------------------
#
# A deployment of two detectors, whose nights a test lives through.


class Household:
    """Night after night of one that deletes and one that stops, which share one limit for the night."""

    def __init__(self, mine: Table, session: boto3.Session, aws: Aws, seed: int) -> None:
        random = Random(seed)  # noqa: S311 - it has to come out the same again
        client = make_client(session, "dynamodb", REGION, random.choice([1, 2]))
        self.common = store.Common(
            seed=seed, random=random, mine=mine, table=Table(client, TABLE), wire=store.Wire(client)
        )
        self.drivers = [Driver(self.common, kind, session, aws) for kind in (store.Clearing, store.Dousing)]
        self.common.drivers = self.drivers
        self.common.wire.on_met = self._met
        for driver in self.drivers:
            driver.settle()

    def night(self) -> None:
        """People at work, then both sweep, in any order."""
        for driver in self.drivers:
            driver.evening()
        for driver in self.common.random.sample(self.drivers, len(self.drivers)):
            driver.night()
        self.common.clock += self.common.random.choice(
            [HOUR, 6 * HOUR, DAY, DAY, DAY, 2 * DAY, 4 * DAY, 15 * DAY]
        )

    def _met(self) -> None:
        """Something got lost on the way to the table."""
        for driver in self.drivers:
            driver.oracle.interrupted(ledger=False)

    @property
    def wrong(self) -> list[str]:
        return [wrong for driver in self.drivers for wrong in driver.oracle.wrong]

    def said(self, night: int) -> str:
        """What a failed test tells."""
        story = "\n".join(self.common.story[-60:])
        return f"{self.wrong}\nnight {night} of: make soak SEED={self.common.seed}\n{story}"
