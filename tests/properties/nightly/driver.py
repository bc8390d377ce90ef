"""Lives through random nights: the same seed, the same nights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from random import Random

import boto3

from armed import KilledError, LostError, World
from conftest import ACCOUNT, REGION
from janitor.actions import Action, Actions, BegunBeforeError
from janitor.arming import Arming
from janitor.aws import Aws, make_client
from janitor.failures import RunFailedError
from janitor.holds import Hold, Holds, How
from janitor.leases import Leases, LeaseTakenError
from janitor.ledger import Entry, Ledger
from janitor.model import Confidence, Effect, Mode, Outcome, Result, Sweep
from janitor.runs import Ran
from janitor.table import ConditionFailedError, Table
from janitor.undoing import CannotUndoError
from nights import DAY, HOUR, Nights
from properties.nightly.attic import NAME, Attic, Clearing, Identity, Item, Label
from properties.nightly.oracle import REST, Operator, Oracle, Run
from properties.nightly.wire import KINDS, PLACES, Mishap, Wire
from sandbox.deployment import TABLE

MINUTE = timedelta(minutes=1)
FREE = (
    Label(tags={}),
    Label(tags={"owner": "maria"}),
    Label(tags={"keep": "false", "managed-by": "manual", "environment": "dev"}),
    Label(tags={"janitor:keep-until": "2026-01-31"}, until=date(2026, 1, 31)),
)
BOUND = (
    Label(tags={"keep": "true"}, keeps=True),
    Label(tags={"Janitor:Keep": " TRUE "}, keeps=True),
    Label(tags={"janitor:keep-until": "2026-10-14"}, until=date(2026, 10, 14)),
    Label(tags={"janitor:keep-until": "someday"}, keeps=True),
    Label(tags={"managed-by": "terraform"}, managed="terraform"),
    Label(tags={"aws:cloudformation:stack-name": "web"}, managed="cloudformation"),
    Label(tags={"environment": "Prod"}, serves="prod"),
)
PLACES_TO_ACT = (
    ((ACCOUNT,), True),
    ((f"{ACCOUNT}/{REGION}", "999999999999"), True),
    ((f"{ACCOUNT}/eu-west-1",), False),
    ((), False),
)


class Carrier:
    """Who carries the warnings of *driver*'s deployment, as well as its Slack is."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def __call__(
        self,
        sweep: Sweep,
        warnings: Sequence[Result],
        *,
        now: datetime,
        delivered: Callable[[Result, str, str], None],
    ) -> Sequence[str]:
        del sweep, now
        driver, slack = self.driver, self.driver.slack
        for number, result in enumerate(warnings):
            if slack == "ill" or (slack == "half" and number):
                return [f"{result.target.name} was not delivered"]
            assert result.due is not None
            driver.tell(f"{result.target.name} is warned about: due {result.due}")
            driver.oracle.delivered(identity_of(result), at=driver.clock, due=result.due)
            if slack == "killed before":
                driver.wire.die()
            delivered(result, "C1", f"ts-{result.target.name}")
            if slack == "killed after":
                driver.wire.die()
        return ()


def identity_of(known: Result | Action) -> Identity:
    target = known.target
    return target.name, "" if target.created is None else target.created.isoformat()


class Driver(Nights):
    """One account and its deployment, from *seed*."""

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
        self.attic = Attic(watch=self.oracle, labels=(*FREE, *BOUND))
        self.oracle.attic = self.attic
        self.story: list[str] = []
        self.made = 0
        self.events = 0
        self.old_entries: list[Entry] = []
        self.trouble: list[Callable[[], None]] = []
        self.slack = "well"
        self.postman = Carrier(self)  # type: ignore[assignment]

    # --- what happens by chance -------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock:%m-%d %H:%M} {what}")

    def make(self, name: str) -> None:
        """Something new, under a new name or an old one."""
        self.made += 1
        self.attic.items[name] = Item(
            name=name,
            created=self.clock - 90 * DAY * self.random.random() if not name.endswith("0") else None,
            label=self.random.choice(BOUND if self.chance(0.2) else FREE),
            used=self.chance(0.2),
            proven=self.chance(0.85),
            watched=self.chance(0.05),
            slow=self.chance(0.1),
        )
        self.tell(f"{name} is made: {self.attic.items[name]}")

    def one(self) -> Item | None:
        """Some item; what is half done more often than others."""
        items = list(self.attic.items.values())
        half = [item for item in items if not item.plugged]
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
            case "use" | "leave":
                item.used = what == "use"
            case "label":
                item.label, item.relabelled = self.random.choice(BOUND if self.chance(0.4) else FREE), True
                self.tell(f"{item.name} is labelled {item.label.tags}")
            case "hide":
                item.untold, item.tags_hidden = self.random.choice([(True, False), (False, True)])
            case "show":
                item.untold, item.tags_hidden = False, False
            case "again":
                self.make(item.name)
            case "delete" if self.chance(0.3):
                del self.attic.items[item.name]
            case "hold":
                self.hold_one(item)

    def hold_one(self, item: Item) -> None:
        until = self.clock + self.random.choice([1, 3, 7]) * DAY if self.chance(0.6) else None
        how = How.KEPT if until is None else How.SNOOZED
        key = item.candidate.target.key
        hold = Hold(key=key, how=how, by="maria", said=self.clock, until=until)
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
            at_most=self.random.choice([0, 3, 6, 50, 50, 50, 50]),
            managed_too=self.random.choice([(), (), (), ("terraform",), ("cloudformation",)]),
            serving_too=self.random.choice([(), (), ("prod",)]),
        )
        self.tell(f"{self.operator}")

    # --- one night ----------------------------------------------------------------------------------

    def night(self) -> None:
        """People and programs at work, one sweep or two, and what comes of them."""
        for _ in range(self.random.randrange(1, 4)):
            self.life_goes_on()
        for _ in range(self.random.randrange(4)):
            self.make(f"item-{self.made}")
        if self.chance(0.3):
            self.operator_changes()
        self.presses()
        self.swept()
        self.asked_back()
        if self.chance(0.5):
            self.somebody_undoes()
        self.clock += self.random.choice([HOUR, 6 * HOUR, DAY, DAY, DAY, DAY, 2 * DAY, 4 * DAY])

    def swept(self) -> None:
        """One event, with whatever goes wrong, and its retries."""
        self.events += 1
        stale = self.random.choice([timedelta(), timedelta(), 50 * MINUTE, 5 * HOUR])
        event, now = f"event-{self.events}", self.clock - stale
        dry = stale > HOUR or self.chance(0.05)
        self.attic.breaks_after = (
            self.random.randrange(len(self.attic.items)) if self.attic.items and self.chance(0.1) else None
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
            mishap = Mishap(
                self.random.choice(KINDS),
                self.random.choice(PLACES),
                self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
            )
            self.wire.mishap = mishap
            return str(mishap)
        if what == "step":
            kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
            step, skip = self.random.choice(["unplug", "remove", "remove"]), self.random.choice([0, 0, 1, 2])
            self.attic.before, self.attic.after = self.trip(kind, step, skip)
            return f"{kind} {step} after {skip}"
        if what == "other":
            self.attic.before = self.meanwhile
        if what == "pause":
            self.trouble = [self.life_goes_on, self.presses]
        return what

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

    def meanwhile(self, step: str, name: str) -> None:
        """In the middle of one action something else happens: to another item, or another sweep begins."""
        if self.chance(0.5):
            self.life_goes_on(besides=name)
            return
        run, self.oracle.run = self.oracle.run, None
        self.tell(f"another sweep begins at {step} {name}")
        try:
            self.runner(event="another").sweep(self.detector, [self.aws], now=self.clock)
            self.oracle.say("two sweeps at once")
        except LeaseTakenError:
            self.oracle.counts["second sweeps"] += 1
        known = Actions(self.mine).all(NAME, ACCOUNT, REGION)
        if known and self.took_back(known[-1], by="maria"):
            self.oracle.say("a sweep and an undo at once")
        self.oracle.run = run

    def _pause(self) -> None:
        for trouble in self.trouble:
            trouble()

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
        there = set(self.attic.items)
        self.oracle.begins(Run(event=event, now=now, dry=dry))
        died = False
        try:
            ran = self.runner(dry=dry, event=event).sweep(self.detector, [self.aws], now=now)
            self.true(ran, there)
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

    def true(self, ran: Ran, there: set[str]) -> None:
        """The report speaks of the past."""
        for result in ran.report.results:
            if result.outcome is Outcome.ACTED:
                self.oracle.counts["acted"] += 1
                item = self.attic.items.get(result.target.name)
                if item is not None and item.candidate.target.key == result.target.key:
                    self.oracle.say(f"{result.target.name} is reported as acted on, and is still there")

    # --- people -------------------------------------------------------------------------------------

    def presses(self) -> None:
        """*Do it now* on one warning, perhaps on an old message, or a word for all of them."""
        entries = [entry for entry in self.on_record() if entry.warned is not None]
        self.old_entries += entries
        if self.old_entries and self.chance(0.3):
            entry = self.random.choice(self.old_entries[-30:])
            identity = self.known(entry.key)
            try:
                Ledger(self.mine).hurry(entry, by="maria", now=self.clock)
            except ConditionFailedError:
                self.tell(f"now is refused for {identity}")
            else:
                self.tell(f"now is pressed for {identity}")
                self.pressed(identity, "hurried")
        if entries and self.chance(0.3):
            self.tell("all that was warned about is approved")
            for entry in entries:
                Ledger(self.mine).approve(entry, by="maria")
                self.pressed(self.known(entry.key), "approved")

    def on_record(self) -> list[Entry]:
        return Ledger(self.mine).entries(NAME, ACCOUNT, REGION)

    def pressed(self, identity: Identity, how: str) -> None:
        warned = self.oracle.warnings.get(identity)
        if warned is None:
            self.oracle.say(f"{identity} has no warning, and yet it is {how}")
        else:
            setattr(warned, how, True)
            self.oracle.counts[how] += 1

    def known(self, key: str) -> Identity:
        """The identity that a key of the ledger means."""
        arn, _, created = key.rpartition("@")
        return arn.rpartition("/")[2], created

    # --- undo ---------------------------------------------------------------------------------------

    def asked_back(self) -> None:
        """What sweeps asked to be put back is put back, by a function that may die, too."""
        asked, self.put_back = self.put_back, []
        for action in asked:
            self.undo(action, by="the janitor")

    def somebody_undoes(self) -> None:
        """An undo of anything that was ever done, also of what was undone."""
        known = Actions(self.mine).all(NAME, ACCOUNT, REGION)
        if known:
            self.undo(self.random.choice(known[-8:]), by="maria")

    def undo(self, action: Action, *, by: str) -> None:
        """Until it is done, however often its function dies."""
        identity = identity_of(action)
        for attempt in range(4):
            if attempt < 3 and self.chance(0.4):
                kind = self.random.choice(KINDS)
                self.wire.mishap = Mishap(kind, b'"action#', self.random.choice([0, 1, 2, 3, 4, 5]))
            elif attempt < 3 and self.chance(0.4):
                kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
                self.attic.before, self.attic.after = self.trip(
                    kind, self.random.choice(["bring back", "plug in"]), 0
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
        identity = identity_of(action)
        self.tell(f"{by} undoes {identity}")
        leases, holder = Leases(self.table), f"undo {action.id}"
        try:
            until = self.clock + self.runner().patience
            leases.take(NAME, ACCOUNT, REGION, holder=holder, now=self.clock, until=until)
        except LeaseTakenError:
            self.oracle.counts["undo waited"] += 1
            return False
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
            return False
        try:
            found = self.undoing.find(NAME, ACCOUNT, REGION, action.id)
            self.undoing.undo(self.detector, self.aws, found, by=by)
            self.restored(found, identity)
        except (CannotUndoError, BegunBeforeError) as error:
            self.tell(f"it could not: {error}")
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
        with suppress(Exception):
            leases.release(NAME, ACCOUNT, REGION, holder=holder)
        return True

    def restored(self, action: Action, identity: Identity) -> None:
        """It is as its undo says: there, plugged in, with its tags; and rests."""
        item = self.attic.items.get(identity[0])
        self.oracle.counts["undone"] += 1
        self.oracle.rests[identity[0]] = self.clock + REST
        if item is None:
            self.oracle.say(f"{identity} was undone, and is not there")
        elif not item.plugged:
            self.oracle.say(f"{identity} was undone, and is not plugged in")
        elif identity[1] not in {item.identity[1], item.origin}:
            self.oracle.say(f"{identity} was undone, and another is there")
        elif item.identity != identity and not item.relabelled and item.label.tags != action.undo["tags"]:
            self.oracle.say(f"{identity} was undone, and has other tags")

    def said(self, night: int) -> str:
        """What a failed test tells."""
        story = "\n".join(self.story[-60:])
        return f"{self.oracle.wrong}\nnight {night} of: make soak SEED={self.seed}\n{story}"
