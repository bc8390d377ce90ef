"""
Knows what may be touched, from what the driver decided and the postman carried, and watches what is.

Where a fault leaves open what the ledger got to know, the oracle lets the older warning count: it never
calls anything wrong that a reader of the laws could call right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from conftest import ACCOUNT, REGION
from janitor.model import Target
from properties.nightly.attic import NAME, Attic, Identity, Item

REST = timedelta(days=7)
SMALL = 3
NOON = timedelta(hours=12)
ACTS, UNDOES = ("unplug", "remove"), ("bring back", "plug in")


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

    def due(self, warned: datetime) -> datetime:
        """The first moment at which what was warned about then may be touched."""
        due = warned + self.grace
        while self.business_days and (due.weekday() >= 5 or due.date() in self.holidays):
            due += timedelta(days=1)
        return due


@dataclass(slots=True, kw_only=True)
class Warned:
    """A warning that arrived; *sure* is whether the ledger certainly knows of it."""

    at: datetime
    said: datetime
    latest: datetime
    sure: bool = False
    hurried: bool = False
    approved: bool = False


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
    doubtful: set[Identity] = field(default_factory=set)
    """What it found changed when it looked again."""
    delivered: set[Identity] = field(default_factory=set)
    clean: bool = True


@dataclass
class Oracle:
    """
    Everything that counts, by identity: name and creation time.

    *wrong* is what should not have happened, *counts* is how often things did.
    """

    clock: Callable[[], datetime]
    operator: Callable[[], Operator]
    table: Callable[[str], list[Mapping[str, Any]]]
    """The raw items of a partition of the table."""
    attic: Attic = field(init=False)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    warnings: dict[Identity, Warned] = field(default_factory=dict)
    holds: dict[Identity, list[datetime | None]] = field(default_factory=dict)
    rests: dict[str, datetime] = field(default_factory=dict)
    run: Run | None = None
    in_sweep: dict[str, set[Identity]] = field(default_factory=dict)
    in_night: dict[date, set[Identity]] = field(default_factory=dict)
    unfinished: set[Identity] = field(default_factory=set)
    """What was begun and neither finished nor taken back."""
    asked_for: dict[tuple[Identity, str], bool] = field(default_factory=dict)
    """The calls that were made, and whether their answer may have got lost."""
    undoing: Identity | None = None
    steps: int = 0
    latest: datetime = datetime.min.replace(tzinfo=UTC)

    def say(self, wrong: str) -> None:
        self.wrong.append(wrong)

    # --- what is true ---------------------------------------------------------------------------

    def state(self, item: Item, at: datetime) -> str:
        """What is true of *item*: "waste", or why not. What is only reported begins with "spared"."""
        held = self.holds.get(item.identity, [])
        if item.label.keeps or (item.label.until is not None and at.date() <= item.label.until):
            return "kept by its tags"
        if any(until is None or until > at for until in held):
            return "kept by a person"
        if self.rests.get(item.name, at) > at:
            return "kept because it was brought back"
        if item.untold:
            return "unknown: its use"
        if item.used:
            return "in use"
        if item.tags_hidden:
            return "unknown: its tags"
        return self._spared(item) or "waste"

    def _spared(self, item: Item) -> str:
        operator = self.operator()
        if not operator.inside:
            return "spared: outside act_in"
        if not item.proven and not operator.likely_too:
            return "spared: only likely"
        if item.created is None:
            return "spared: no creation time"
        if item.label.managed and item.label.managed not in operator.managed_too:
            return "spared: managed"
        if item.label.serves and item.label.serves not in operator.serving_too:
            return "spared: production"
        return ""

    # --- a run ----------------------------------------------------------------------------------

    def begins(self, run: Run) -> None:
        self.run = run

    def found(self, *, whole: bool) -> None:
        """The listing ended, as a *whole* or broken off: this is what the run knows."""
        assert self.run is not None
        self.run.whole = whole
        self.run.states = {
            item.identity: self.state(item, self.run.now) for item in self.attic.items.values()
        }

    def looked(self, name: str, at: datetime) -> None:
        if self.run is None:
            return
        self.run.looked[name] = (self.steps, at)
        item = self.attic.items.get(name)
        if item is not None and self.state(item, at) != "waste":
            self.run.doubtful.add(item.identity)

    def delivered(self, identity: Identity, *, at: datetime, due: datetime) -> None:
        """Slack took the warning, which says when it is *due*."""
        assert self.run is not None
        self.counts["warned"] += 1
        if self.run.dry or not self.operator().armed:
            self.say(f"{identity} is warned about by a dry run")
        if self.run.states.get(identity) != "waste":
            self.say(f"{identity} is warned about, and is {self.run.states.get(identity)}")
        if due < self.operator().due(at):
            self.say(f"{identity} is said to be due {due}, before its grace is over")
        known = self.warnings.setdefault(identity, Warned(at=at, said=due, latest=due))
        if known.sure:
            self.say(f"{identity} is warned about twice")
        known.latest = max(known.latest, due)
        self.run.delivered.add(identity)

    def ends(self) -> None:
        """The run is over; what it saw voids warnings, where the ledger certainly knows of it."""
        run, self.run = self.run, None
        assert run is not None
        self.latest = max(self.latest, run.now)
        if run.whole and run.clean:
            for identity in list(self.warnings):
                if self.void(run, run.states.get(identity, "gone")):
                    del self.warnings[identity]
        for identity, warned in self.warnings.items():
            if run.whole is not None and run.states.get(identity) != "waste":
                warned.sure = False
            if identity in run.doubtful | run.delivered:
                warned.sure = run.clean and identity not in run.doubtful

    def void(self, run: Run, state: str) -> bool:
        """Whether a warning is void after a whole run that saw its item as *state*."""
        if state.startswith("unknown"):
            return not run.dry and not self.operator().armed
        if state == "waste" or state.startswith("spared"):
            return not run.dry and not (self.operator().armed and state == "waste")
        return run.now >= self.latest  # a late event takes nothing back

    def interrupted(self, *, ledger: bool) -> None:
        """A fault hit: whatever was asked for may be asked for again. The *ledger* may have missed something."""
        if self.run is not None and ledger:
            self.run.clean = False
        for call in self.asked_for:
            self.asked_for[call] = True

    # --- what is done ---------------------------------------------------------------------------

    def asked(self, step: str, target: Target) -> None:
        """A call that changes something is about to be made."""
        created = "" if target.created is None else target.created.isoformat()
        meant = (target.name, created)
        if step in UNDOES:
            if self.undoing != meant:
                self.say(f"{step} {meant}, which nobody asked for")
        elif (why := self.forbids(step, meant)) is not None:
            self.say(f"{step} {meant}, which {why}")
        if self.asked_for.get((meant, step)) is False:
            self.say(f"{step} {meant} is done twice")
        self.asked_for[meant, step] = False

    def done(self, step: str, name: str) -> None:
        """It was made, and changed something."""
        self.steps += 1
        self.counts[step] += 1
        if step in {"remove", "plug in"}:
            self.unfinished = {each for each in self.unfinished if each[0] != name}
        if step in UNDOES:
            self.rests[name] = self.clock() + REST
        over = ACTS if step in UNDOES else UNDOES
        for call in [call for call in self.asked_for if call[0][0] == name and call[1] in over]:
            del self.asked_for[call]

    def forbids(self, step: str, meant: Identity) -> str | None:
        """Why *step* must not be done now to what the program means by *meant*, or None."""
        run, operator, now = self.run, self.operator(), self.clock()
        if run is None:
            return "happens outside of a run"
        if run.dry or not operator.armed:
            return "happens in a dry run"
        if run.whole is not True:
            return "happens before everything was read"
        item = self.attic.items.get(meant[0])
        if item is not None and item.identity != meant:
            return f"is not what has its name now: {item.identity}"
        if item is not None and (state := self.state(item, now)) != "waste":
            return f"is {state}"
        if meant in run.begun:
            return self._beyond(meant, now)
        run.begun.append(meant)
        records = self._records(meant)
        if any(record["attempts"] > 1 for record in records):
            self.unfinished.add(meant)  # begun by a run that broke off before anything was done
        why = (
            self._unwarned(meant, now)
            or self._unseen(meant, now)
            or self._beyond(meant, now)
            or self._smells(meant, now)
            or self._no_way_back(records, item)
        )
        self.unfinished.add(meant)
        return why

    def _unwarned(self, meant: Identity, now: datetime) -> str | None:
        warned = self.warnings.get(meant)
        if meant in self.unfinished:
            return None  # judged when it was begun
        if warned is None:
            return "nobody was warned about"
        if not warned.hurried and now < warned.said:
            return f"is due {warned.said}, as was said"
        if not warned.hurried and now < self.operator().due(warned.at):
            return f"was warned about {warned.at}, and its grace is not over"
        return None

    def _unseen(self, meant: Identity, now: datetime) -> str | None:
        assert self.run is not None
        steps, at = self.run.looked.get(meant[0], (-1, now))
        if steps != self.steps or at != now:
            return "was not looked at again in the moment before"
        return None

    def _beyond(self, meant: Identity, now: datetime) -> str | None:
        assert self.run is not None
        operator = self.operator()
        for taken, most, what in (
            (self.in_sweep.setdefault(self.run.event, set()), operator.max_actions, "sweep"),
            (self.in_night.setdefault((now - NOON).date(), set()), operator.at_most, "night"),
        ):
            if meant in taken:
                continue
            taken.add(meant)
            if len(taken) > most:
                return f"is number {len(taken)} of one {what}, and {most} is the most"
        return None

    def _smells(self, meant: Identity, now: datetime) -> str | None:
        assert self.run is not None
        if meant in self.unfinished:
            return None
        due = [
            identity
            for identity, warned in self.warnings.items()
            if warned.sure and warned.latest <= now and not warned.approved
            if self.run.states.get(identity) == "waste" and identity not in self.unfinished
        ]
        share, most = len(due) * 100, self.operator().max_share * len(self.run.states)
        approved = self.warnings[meant].approved if meant in self.warnings else False
        if (
            len(due) > SMALL
            and share > most
            and not approved
            and not set(self.run.begun) - {meant} & set(due)
        ):
            return f"is one of {len(due)} due of {len(self.run.states)}, and nobody approved"
        return None

    def _records(self, meant: Identity) -> list[Mapping[str, Any]]:
        """The raw actions on it."""
        known = self.table(f"action#{NAME}#{ACCOUNT}#{REGION}")
        return [each for each in known if (each["name"], each["created"] or "") == meant]

    def _no_way_back(self, records: list[Mapping[str, Any]], item: Item | None) -> str | None:
        if not records:
            return "has no undo in the table"
        tags = json.loads(records[-1]["undo"])["tags"]
        if item is not None and tags != dict(item.label.tags) and records[-1]["attempts"] == 1:
            return f"has {tags} in its undo, and its tags are {item.label.tags}"
        return None
