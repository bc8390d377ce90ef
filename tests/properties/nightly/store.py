"""What there is to clean up: items whose truth the driver sets, and calls that really change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError

from fakes import UNTELLABLE, USED, Thing, thing, waste
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Effect, Kept, Target, Unreadable, Verdict
from ml_janitor.engine.detector import CannotActError, Cleanup, Detector, NotFinishedError, Steps, allow
from ml_janitor.ledger.table import Table
from standin import TUESDAY, KilledError

if TYPE_CHECKING:
    from properties.nightly.driver import Driver

# --- labels ---------------------------------------------------------------------------------------
#
# The tags of things, and what they say.


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Tags, and what they say: whether they keep, until when (that day included), whose it is."""

    tags: Mapping[str, str]
    keeps: bool = False
    until: date | None = None
    managed: str = ""
    serves: str = ""


FREE = (
    Label(tags={}),
    Label(tags={"owner": "maria"}),
    Label(tags={"keep": "false", "managed-by": "manual", "environment": "dev"}),
    Label(tags={"managed-by": "maria.lopez@example.com", "team": "nlp"}),
    Label(tags={"ManagedBy": "Data Science", "team": "data-science"}),
    Label(tags={"janitor:keep-until": "2026-01-31"}, until=date(2026, 1, 31)),
)
BOUND = (
    Label(tags={"keep": "true"}, keeps=True),
    Label(tags={"Janitor:Keep": " TRUE "}, keeps=True),
    Label(tags={"janitor:keep-until": "2026-10-14"}, until=date(2026, 10, 14)),
    Label(tags={"janitor:keep-until": "someday"}, keeps=True),
    Label(tags={"managed-by": "terraform"}, managed="terraform"),
    Label(tags={"managed-by": "backstage", "owner": "maria"}, managed="backstage"),
    Label(tags={"aws:cloudformation:stack-name": "web"}, managed="cloudformation"),
    Label(tags={"environment": "Prod"}, serves="prod"),
)
LABELS = (*FREE, *BOUND)

# --- store ----------------------------------------------------------------------------------------

OUT = Kept(reason="it is out")


@dataclass(slots=True, kw_only=True)
class Item:
    """
    One thing in the store, and the truth about it.

    Its identity is its name and when it was made. *origin* is which one it was brought back from. What is
    not *plugged* is half done, and what is not *lit* was stopped.
    """

    name: str
    created: datetime | None
    label: Label
    used: bool = False
    untold: bool = False
    tags_hidden: bool = False
    proven: bool = True
    watched: bool = False
    slow: bool = False
    plugged: bool = True
    lit: bool = True
    origin: str = ""
    relabelled: bool = False

    @property
    def identity(self) -> Identity:
        return self.name, "" if self.created is None else self.created.isoformat()

    @property
    def candidate(self) -> Thing:
        """What a detector gets to see of it."""
        verdict: Verdict = replace(
            waste(), confidence=Confidence.PROVEN if self.proven else Confidence.LIKELY
        )
        if self.used:
            verdict = USED
        if self.untold:
            verdict = UNTELLABLE
        if not self.lit:
            verdict = OUT
        tags = Unreadable("throttled") if self.tags_hidden else self.label.tags
        return thing(self.name, verdict, tags, created=self.created)


type Identity = tuple[str, str]


class Watch(Protocol):
    """Whoever is told of everything, at the moment when it happens."""

    def found(self, *, whole: bool) -> None: ...
    def looked(self, name: str, at: datetime) -> None: ...
    def refused(self, identity: Identity) -> None: ...
    def over(self, identity: Identity) -> None: ...
    def asked(self, step: str, target: Target) -> None: ...
    def done(self, step: str, target: Target) -> None: ...


@dataclass
class ItemStore:
    """
    The items by name. *before* and *after* are called around every call that changes something.

    *breaks_after* is how many items are listed before the listing breaks off.
    """

    watch: Watch
    items: dict[str, Item] = field(default_factory=dict)
    breaks_after: int | None = None
    before: Callable[[str, str], None] = lambda *_: None
    after: Callable[[str, str], None] = lambda *_: None

    def call(self, step: str, target: Target, change: Callable[[], bool]) -> None:
        """One call to AWS; *change* says whether it changed anything."""
        self.before(step, target.name)
        self.watch.asked(step, target)
        if change():
            self.watch.done(step, target)
        self.after(step, target.name)

    def switch(self, target: Target, part: str, *, on: bool) -> bool:
        """Change whether it is plugged in or lit: *part* is the name of that field."""
        item = self.items.get(target.name)
        if item is None or getattr(item, part) is on:
            return False
        setattr(item, part, on)
        return True

    def remove(self, target: Target) -> bool:
        return self.items.pop(target.name, None) is not None

    def bring_back(self, target: Target, undo: Mapping[str, Any], now: datetime) -> bool:
        """As AWS does, it gets a creation time of its own."""
        if target.name in self.items:
            return False
        label = next(label for label in LABELS if label.tags == undo["tags"])
        self.items[target.name] = Item(
            name=target.name, created=now, label=label, plugged=False, origin=str(undo["created"])
        )
        return True


# --- detectors ------------------------------------------------------------------------------------
#
# Two detectors that really act, each in two steps: one deletes, the other only stops.


@dataclass(frozen=True)
class Watching(Detector[Thing]):
    """What both have in common: they see what the driver made true of the items in *store*."""

    schedule = "rate(1 day)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)

    store: ItemStore
    clock: Callable[[], datetime]

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing]:  # noqa: ARG002
        for number, item in enumerate(list(self.store.items.values())):
            if number == self.store.breaks_after:
                self.store.watch.found(whole=False)
                raise OSError("the listing broke off")
            yield item.candidate
        self.store.watch.found(whole=True)

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        self.store.watch.looked(target.name, now)
        item = self.store.items.get(target.name)
        return None if item is None else item.candidate

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        assert not isinstance(candidate.verdict, Exception)
        return candidate.verdict

    def prepare(self, aws: Aws, candidate: Thing, memo: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        item = self.store.items[candidate.target.name]
        if item.watched:
            self.store.watch.refused(item.identity)
            raise CannotActError("it is watched")
        if item.slow and memo.get("read", 0) < 1:
            raise NotFinishedError("half of it is read", {"read": 1})
        return {"created": item.identity[1], "tags": dict(item.label.tags)}

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:  # noqa: ARG002
        item = self.store.items.get(target.name)
        if over := item is None or not item.lit or item.identity[1] != record["created"]:
            self.store.watch.over((target.name, record["created"]))
        return over

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:  # noqa: ARG002
        if not aws.may_write:
            raise CannotActError("this only reads")
        self.step(steps, "unplug", target, lambda: self.store.switch(target, "plugged", on=False))
        self.end(target, steps)

    def end(self, target: Target, steps: Steps) -> None:
        """Make the last step of the act."""
        raise NotImplementedError

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        self.begin_again(target, record, steps)
        self.step(steps, "plug in", target, lambda: self.store.switch(target, "plugged", on=True))

    def begin_again(self, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        """Make the first step of the undo."""
        raise NotImplementedError

    def step(self, steps: Steps, name: str, target: Target, change: Callable[[], bool]) -> None:
        """One step of one call."""
        steps.do(name, lambda: self.store.call(name, target, change))


@dataclass(frozen=True)
class Clearing(Watching):
    """Deletes items."""

    name = "items"
    acts = (allow("sagemaker:DeleteEndpoint", on="endpoint/*"),)
    undoes = (allow("sagemaker:CreateEndpoint", on="endpoint/*"),)
    cleanup = Cleanup(effect=Effect.DELETE, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost="dust")

    def end(self, target: Target, steps: Steps) -> None:
        self.step(steps, "remove", target, lambda: self.store.remove(target))

    def begin_again(self, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        there = self.store.items.get(target.name)
        if there is not None and record["created"] not in {there.identity[1], there.origin}:
            raise CannotActError("another has its name")
        if there is None:
            now = self.clock()
            steps.forget("bring back")  # a try before may have brought it back, and somebody deleted it
            self.step(steps, "bring back", target, lambda: self.store.bring_back(target, record, now))


@dataclass(frozen=True)
class Dousing(Watching):
    """Douses the lamps, which stay where they are: whoever lights one again may be warned about it again."""

    name = "lamps"
    acts = (allow("sagemaker:StopNotebookInstance", on="notebook-instance/*"),)
    undoes = (allow("sagemaker:StartNotebookInstance", on="notebook-instance/*"),)
    cleanup = Cleanup(effect=Effect.STOP, grace=timedelta(days=1), act_on=Confidence.PROVEN, lost="warmth")

    def end(self, target: Target, steps: Steps) -> None:
        self.step(steps, "douse", target, lambda: self.store.switch(target, "lit", on=False))

    def begin_again(self, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        there = self.store.items.get(target.name)
        if there is None or there.identity[1] != record["created"]:
            raise CannotActError("it is gone, or another has its name")
        self.step(steps, "light", target, lambda: self.store.switch(target, "lit", on=True))


# --- wire -----------------------------------------------------------------------------------------
#
# The way to the table, on which calls and answers get lost, and on which a process may die.

KINDS = ("killed before", "killed after", "lost", "refused")

PLACES = (b'"action#', b'"action#', b'"action#', b'"limit', b'"finding#', b'"lease#', b'"hold#', b'"sweep#')
"""What requests are about, by the keys in them; most faults are to hit the actions."""


@dataclass(slots=True)
class Mishap:
    """What happens to the request about *place* after *skip* others: it, or its answer, gets lost."""

    kind: str
    place: bytes
    skip: int


class Wire:
    """Every request of *client* goes over it."""

    def __init__(self, client: Any) -> None:
        self._endpoint = client._endpoint
        self.mishap: Mishap | None = None
        self.dead = False
        self.met = False
        self.on_met: Callable[[], None] = lambda: None
        """Called when a mishap happens."""
        client.meta.events.register("before-send", self._send)

    def revive(self) -> None:
        """The next process has started."""
        self.dead, self.met, self.mishap = False, False, None

    def die(self) -> None:
        """Nothing of the program gets to run any more."""
        self.dead = True
        raise KilledError

    def _send(self, request: AWSPreparedRequest, **_: object) -> None:
        if self.dead:
            raise KilledError
        mishap = self.mishap
        if mishap is None or mishap.place not in _body(request):
            return
        if mishap.skip:
            mishap.skip -= 1
            return
        self.mishap, self.met = None, True
        self.on_met()
        if mishap.kind in {"killed after", "lost"}:
            self._endpoint._send(request)
        if mishap.kind.startswith("killed"):
            self.die()
        url = str(request.url)
        raise (ConnectionClosedError if mishap.kind == "lost" else ConnectTimeoutError)(endpoint_url=url)


def _body(request: AWSPreparedRequest) -> bytes:
    body: Any = request.body
    return body if isinstance(body, bytes) else str(body or "").encode()


# --- common ---------------------------------------------------------------------------------------
#
# What the detectors of one deployment share: the clock, the table and the way to it, the night's limit.


@dataclass(kw_only=True)
class Common:
    """Everything of *seed*. *mine* is the table as people reach it, *table* as programs do, over *wire*."""

    seed: int
    random: Random
    mine: Table
    table: Table
    wire: Wire
    clock: datetime = TUESDAY
    story: list[str] = field(default_factory=list)
    events: int = 0
    in_night: dict[date, set[Identity]] = field(default_factory=dict)
    drivers: list[Driver] = field(default_factory=list)

    @property
    def at_most(self) -> int:
        """Of every third account so few that two detectors are in each other's way."""
        return 50 if self.seed % 3 else 2

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock:%m-%d %H:%M} {what}")
