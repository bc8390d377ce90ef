"""
Knows what may be touched, from what the driver decided and the postman carried, and watches what is.

Where a fault leaves open what the ledger got to know, the oracle lets the older warning count: it never
calls anything wrong that a reader of the laws could call right.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from conftest import ACCOUNT, REGION
from ml_janitor.core.model import Target
from narrowing import not_none
from properties.nightly.store import Identity, Item, ItemStore

# --- truth ----------------------------------------------------------------------------------------
#
# What is true of an item, in the words of the laws and of nothing else.


@dataclass(slots=True, kw_only=True)
class Operator:
    """What is set in janitor.toml, and what it means."""

    armed: bool = True
    act_in: tuple[str, ...] = ()
    inside: bool = True
    likely_too: bool = False
    grace: timedelta = timedelta(days=1)
    business_days: bool = False
    holidays: tuple[date, ...] = ()
    max_actions: int = 10
    max_share: int = 100
    at_most: int = 50
    managed_too: tuple[str, ...] = ()
    serving_too: tuple[str, ...] = ()

    def due(self, warned: datetime, *, messaged: bool, proven: bool) -> datetime:
        """
        The first moment at which what was warned about then may be touched.

        After days of rest that is the same hour, or the next morning for what is only likely: that waits
        for people to be at work.
        """
        due = warned + (self.grace if messaged else 2 * self.grace)
        while self.rests(due):
            due += timedelta(days=1)
            due = due if proven else datetime.combine(due.date(), time(), due.tzinfo)
        return due

    def rests(self, at: datetime) -> bool:
        """Whether that is a day on which nothing is done that nobody pressed for."""
        return self.business_days and (at.weekday() >= 5 or at.date() in self.holidays)


@dataclass
class Truth:
    """
    What an item is at some time: waste, or why it is to be left alone.

    *holds* are until when people keep it, by identity; *rests* until when it is left alone after it was
    brought back, by name.
    """

    operator: Callable[[], Operator]
    holds: dict[Identity, list[datetime | None]] = field(default_factory=dict)
    rests: dict[str, datetime] = field(default_factory=dict)

    def state(self, item: Item, at: datetime) -> str:
        """What is true of *item*: "waste", or why not. What is only reported begins with "spared"."""
        held = self.holds.get(item.identity, [])
        label, operator = item.label, self.operator()
        managed = label.managed and label.managed not in operator.managed_too
        serves = label.serves and label.serves not in operator.serving_too
        said = {
            "out": not item.lit,
            "kept by its tags": not item.tags_hidden
            and (label.keeps or (label.until is not None and at.date() <= label.until)),
            "kept by a person": any(until is None or until > at for until in held),
            "kept because it was brought back": self.rests.get(item.name, at) > at,
            "unknown: its use": item.untold,
            "in use": item.used,
            "unknown: its tags": item.tags_hidden,
            "spared: outside act_in": not operator.inside,
            "spared: only likely": not item.proven and not operator.likely_too,
            "spared: no creation time": item.created is None,
            "spared: managed": managed,
            "spared: production": serves,
        }
        return next((why for why, true in said.items() if true), "waste")


# --- oracle ---------------------------------------------------------------------------------------

REST = timedelta(days=7)
LASTS = timedelta(days=14)
"""How long a warning counts that no sweep confirms, with a sweep in seven days."""
SMALL = 3
LONG_AGO = datetime.min.replace(tzinfo=UTC)
NOON = timedelta(hours=12)
ACTS, UNDOES = ("unplug", "remove", "douse"), ("bring back", "light", "plug in")
LAST = ("remove", "douse")
"""The steps after which nothing is left to be done."""


@dataclass(slots=True, kw_only=True)
class Warned:
    """A warning that arrived; *sure* is whether the ledger certainly knows of it."""

    at: datetime
    said: datetime
    seen: datetime
    """When a run last found what it is about, or may have."""
    sure: bool = False
    messaged: bool = True
    proven: bool = True
    hurried: bool = False
    approved: bool = False

    @property
    def looked_at(self) -> bool:
        """Whether a person said yes to it, alone or among others."""
        return self.approved or self.hurried

    def lapsed(self, now: datetime) -> bool:
        """Whether it is void, because nothing found for so long what it is about."""
        return now - self.seen > LASTS


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of one event; a retry is another run of the same event."""

    event: str
    now: datetime
    dry: bool
    whole: bool | None = None
    states: dict[Identity, str] = field(default_factory=dict)
    looked: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    begun: list[Identity] = field(default_factory=list)
    finished: set[Identity] = field(default_factory=set)
    """What it brought to its end, or saw there after an earlier run was broken off."""
    doubtful: set[Identity] = field(default_factory=set)
    """What it found changed when it looked again."""
    delivered: set[Identity] = field(default_factory=set)
    refused: set[Identity] = field(default_factory=set)
    """What its detector would not act on: that is only reported, so its warning is void."""
    clean: bool = True


@dataclass(kw_only=True)
class Oracle(Truth):
    """
    Everything that counts, by identity: name and creation time.

    *wrong* is what should not have happened, *counts* is how often things did.
    """

    name: str
    """Of the detector."""
    deletes: bool
    clock: Callable[[], datetime]
    table: Callable[[str], list[Mapping[str, Any]]]
    """The raw items of a partition of the table."""
    store: ItemStore = field(init=False)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    warnings: dict[Identity, Warned] = field(default_factory=dict)
    run: Run | None = None
    in_sweep: dict[str, set[Identity]] = field(default_factory=dict)
    in_night: dict[date, set[Identity]] = field(default_factory=dict)
    unfinished: set[Identity] = field(default_factory=set)
    """What was begun and neither finished nor taken back."""
    spent: set[Identity] = field(default_factory=set)
    """What was finished: its warning is void, once the ledger certainly knows."""
    asked_for: dict[tuple[Identity, str], bool] = field(default_factory=dict)
    """The calls that were made, and whether their answer may have got lost."""
    last_asked: tuple[Identity, str] | None = None
    undoing: Identity | None = None
    steps: int = 0
    latest: datetime = LONG_AGO

    def say(self, wrong: str) -> None:
        self.wrong.append(wrong)

    # --- a run ----------------------------------------------------------------------------------

    def begins(self, run: Run) -> None:
        self.run = run

    def found(self, *, whole: bool) -> None:
        """The listing ended, as a *whole* or broken off: this is what the run knows."""
        if self.run is None:
            self.say("two sweeps at once")
            return
        self.run.whole = whole
        self.run.states = {
            item.identity: self.state(item, self.run.now) for item in self.store.items.values()
        }

    def looked(self, name: str, at: datetime) -> None:
        if self.run is None:
            return
        self.run.looked[name] = (self.steps, at)
        item = self.store.items.get(name)
        if item is not None and self.state(item, at) != "waste":
            self.run.doubtful.add(item.identity)

    def refused(self, identity: Identity) -> None:
        if self.run is not None:
            self.run.refused.add(identity)

    def over(self, identity: Identity) -> None:
        if self.run is not None:
            self.run.finished.add(identity)

    def delivered(self, identity: Identity, *, at: datetime, due: datetime, messaged: bool) -> None:
        """Slack took the warning, which says when it is *due*; its owner will be *messaged*, or never."""
        self.counts["warned"] += 1
        if self.run is None:
            self.say(f"{identity} is warned about by a second sweep")
            return
        if self.run.dry or not self.operator().armed:
            self.say(f"{identity} is warned about by a dry run")
        if self.run.states.get(identity) != "waste":
            self.say(f"{identity} is warned about, and is {self.run.states.get(identity)}")
        item = self.store.items.get(identity[0])
        proven = item is None or item.proven
        if due < self.operator().due(at, messaged=messaged, proven=proven):
            self.say(f"{identity} is said to be due {due}, before its grace is over")
        old = self.warnings.get(identity)
        if identity in self.spent or (old is not None and old.lapsed(self.run.now)):  # this is another one
            self.spent.discard(identity)
            self.warnings.pop(identity, None)
        known = self.warnings.setdefault(
            identity, Warned(at=at, said=due, seen=self.run.now, messaged=messaged, proven=proven)
        )
        if known.sure:
            self.say(f"{identity} is warned about twice")
        self.run.delivered.add(identity)

    def ends(self) -> None:
        """The run is over; what it saw voids warnings, where the ledger certainly knows of it."""
        run, self.run = self.run, None
        assert run is not None
        self.latest = max(self.latest, run.now)
        if run.clean:
            for identity in self.spent:
                self.warnings.pop(identity, None)
            self.spent.clear()
        if run.whole and run.clean:
            for identity, warned in list(self.warnings.items()):
                state = run.states.get(identity, "gone")
                if (
                    identity in run.refused
                    or self.void(run, state)
                    or (is_waste(state) and warned.lapsed(run.now))
                ):
                    del self.warnings[identity]
        for identity, warned in self.warnings.items():
            if run.whole is not None and run.states.get(identity) != "waste":
                warned.sure = False
            if run.whole is not None and is_waste(run.states.get(identity, "gone")):
                warned.sure = warned.sure and not warned.lapsed(run.now)
                warned.seen = max(warned.seen, run.now)
            if identity in run.doubtful | run.refused | run.delivered:
                warned.sure = run.clean and identity in run.delivered - run.doubtful - run.refused

    def void(self, run: Run, state: str) -> bool:
        """Whether a warning is void after a whole run that saw its item as *state*."""
        if state.startswith("unknown"):
            return not run.dry and not self.operator().armed
        if is_waste(state):
            return not run.dry and not (self.operator().armed and state == "waste")
        return run.now >= self.latest  # a late event takes nothing back

    def interrupted(self, *, ledger: bool) -> None:
        """
        A fault hit: what was last asked for may be asked for again, and nothing else may.

        The *ledger* may have missed something.
        """
        if self.run is not None and ledger:
            self.run.clean = False
        if self.last_asked is not None:
            self.asked_for[self.last_asked] = True

    def lit_again(self, identity: Identity) -> None:
        """Its owner uses it again: what was done to it may be done again, after another warning."""
        for call in [call for call in self.asked_for if call[0] == identity]:
            del self.asked_for[call]

    # --- what is done ---------------------------------------------------------------------------

    def asked(self, step: str, target: Target) -> None:
        """A call that changes something is about to be made."""
        meant = identity_of(target)
        if step in UNDOES:
            if self.undoing != meant:
                self.say(f"{step} {meant}, which nobody asked for")
        elif (why := self.forbids(meant)) is not None:
            self.say(f"{step} {meant}, which {why}")
        if self.asked_for.get((meant, step)) is False:
            self.say(f"{step} {meant} is done twice")
        self.asked_for[meant, step] = False
        self.last_asked = (meant, step)

    def done(self, step: str, target: Target) -> None:
        """It was made, and changed something."""
        self.steps += 1
        self.counts[step] += 1
        name = target.name
        if step in {*LAST, "plug in"}:
            self.unfinished = {each for each in self.unfinished if each[0] != name}
        if step in LAST:
            self._finished(identity_of(target))
        if step in UNDOES:
            self.rests[name] = self.clock() + REST
        over = ACTS if step in UNDOES else UNDOES
        for call in [call for call in self.asked_for if call[0][0] == name and call[1] in over]:
            del self.asked_for[call]

    def _finished(self, meant: Identity) -> None:
        """Nothing is left to be done to it, under this warning."""
        if self.run is not None:
            self.run.finished.add(meant)
        if meant in self.warnings:
            self.spent.add(meant)
            self.warnings[meant].sure = False

    def forbids(self, meant: Identity) -> str | None:
        """Why nothing must be done now to what the program means by *meant*, or None."""
        run, now = self.run, self.clock()
        item = self.store.items.get(meant[0])
        if run is None or (why := self._out_of_place(run, meant, item, now)) is not None:
            return "happens outside of a run" if run is None else why
        if meant in run.begun:
            return self._beyond(meant, now)
        run.begun.append(meant)
        records = self._records(meant)
        if any(again(record) for record in records):
            self.unfinished.add(meant)  # begun by a run that broke off before anything was done
        why = (
            self._unwarned(meant, now)
            or self._unseen(meant, now)
            or self._beyond(meant, now)
            or self._smells(meant)
            or self._no_way_back(records, item)
        )
        self.unfinished.add(meant)
        return why

    def _out_of_place(self, run: Run, meant: Identity, item: Item | None, now: datetime) -> str | None:
        if run.dry or not self.operator().armed:
            return "happens in a dry run"
        if run.whole is not True:
            return "happens before everything was read"
        if item is not None and item.identity != meant:
            return f"is not what has its name now: {item.identity}"
        state = "waste" if item is None else self.state(item, now)
        begun = meant in self.unfinished or any(again(record) for record in self._records(meant))
        if state == "waste" or (
            begun and state == "spared: only likely"
        ):  # once begun, it need not be proven
            return None
        return f"is {state}"

    def _unwarned(self, meant: Identity, now: datetime) -> str | None:
        warned = self.warnings.get(meant)
        if meant in self.unfinished:
            return None  # judged when it was begun
        if warned is None:
            return "nobody was warned about"
        if warned.lapsed(not_none(self.run).now):
            return f"was warned about {warned.at}, and not found since {warned.seen}"
        return None if warned.hurried else self._too_soon(warned, now)

    def _too_soon(self, warned: Warned, now: datetime) -> str | None:
        """Why what nobody pressed for waits, or None."""
        if self.operator().rests(now):
            return "is done on a day of rest"
        if now < warned.said:
            return f"is due {warned.said}, as was said"
        if now < self.operator().due(warned.at, messaged=warned.messaged, proven=warned.proven):
            return f"was warned about {warned.at}, and its grace is not over"
        return None

    def _unseen(self, meant: Identity, now: datetime) -> str | None:
        steps, at = not_none(self.run).looked.get(meant[0], (-1, now))
        if steps != self.steps or at != now:
            return "was not looked at again in the moment before"
        return None

    def _beyond(self, meant: Identity, now: datetime) -> str | None:
        operator = self.operator()
        for taken, most, what in (
            (self.in_sweep.setdefault(not_none(self.run).event, set()), operator.max_actions, "sweep"),
            (self.in_night.setdefault((now - NOON).date(), set()), operator.at_most, "night"),
        ):
            if meant in taken:
                continue
            taken.add(meant)
            if len(taken) > most:
                return f"is number {len(taken)} of one {what}, and {most} is the most"
        return None

    def _smells(self, meant: Identity) -> str | None:
        """Whether so much of everything is waste, due or not, that somebody has to look first."""
        if not self.deletes or meant in self.unfinished or self._looked_at(meant):
            return None
        states = not_none(self.run).states
        unseen = [one for one, state in states.items() if state == "waste" and self._counts(one)]
        if len(unseen) <= SMALL or len(unseen) * 100 <= self.operator().max_share * len(states):
            return None
        return f"is one of {len(unseen)} to be deleted of {len(states)}, and nobody approved"

    def _looked_at(self, identity: Identity) -> bool:
        return identity in self.warnings and self.warnings[identity].looked_at

    def _counts(self, identity: Identity) -> bool:
        """Whether that is surely waste at which nobody has looked: neither half done, nor only reported."""
        item = self.store.items.get(identity[0])
        watched = item is not None and item.watched
        return not watched and identity not in self.unfinished and not self._looked_at(identity)

    def _records(self, meant: Identity) -> list[Mapping[str, Any]]:
        """The raw actions on it."""
        known = self.table(f"action#{self.name}#{ACCOUNT}#{REGION}")
        return [each for each in known if (each.get("name"), each.get("created") or "") == meant]

    def used_up(self, identity: Identity, warned: datetime | None) -> bool:
        """Whether an action on it was begun under the warning of that time, of which there is only one."""
        return any(datetime.fromisoformat(record["warned"]) == warned for record in self._records(identity))

    def _no_way_back(self, records: list[Mapping[str, Any]], item: Item | None) -> str | None:
        if not records:
            return "has no undo in the table"
        tags = json.loads(records[-1]["undo"])["tags"]
        if item is not None and tags != dict(item.label.tags) and records[-1]["attempts"] == 1:
            return f"has {tags} in its undo, and its tags are {item.label.tags}"
        return None


def is_waste(state: str) -> bool:
    """Whether it is found, even if it is only reported."""
    return state == "waste" or state.startswith("spared")


def identity_of(target: Target) -> Identity:
    return target.name, "" if target.created is None else target.created.isoformat()


def again(record: Mapping[str, Any]) -> bool:
    """Whether an action was tried before, and is not over."""
    return record["attempts"] > 1 and record["stage"] in {"acting", "failed"}
