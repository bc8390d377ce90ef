"""What there is to clean up: items whose truth the driver sets, and a detector that really acts on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from fakes import UNTELLABLE, USED, Thing, thing, waste
from janitor.aws import Aws
from janitor.detector import CannotActError, Cleanup, Detector, NotYetError, Steps, allow
from janitor.model import Confidence, Effect, Finding, Target, Unreadable, Verdict
from properties.nightly.labels import Label

NAME = "attic"


@dataclass(slots=True, kw_only=True)
class Item:
    """
    One thing in the attic, and the truth about it.

    Its identity is its name and when it was made. *origin* is which one it was brought back from.
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
        tags = Unreadable("throttled") if self.tags_hidden else self.label.tags
        return thing(self.name, verdict, tags, created=self.created)


type Identity = tuple[str, str]


class Watch(Protocol):
    """Whoever is told of everything, at the moment when it happens."""

    def found(self, *, whole: bool) -> None: ...
    def looked(self, name: str, at: datetime) -> None: ...
    def refused(self, identity: Identity) -> None: ...
    def asked(self, step: str, target: Target) -> None: ...
    def done(self, step: str, name: str) -> None: ...


@dataclass
class Attic:
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
            self.watch.done(step, target.name)
        self.after(step, target.name)

    def unplug(self, target: Target) -> bool:
        item = self.items.get(target.name)
        if item is None or not item.plugged:
            return False
        item.plugged = False
        return True

    def remove(self, target: Target) -> bool:
        return self.items.pop(target.name, None) is not None

    def bring_back(self, target: Target, undo: Mapping[str, Any], now: datetime) -> bool:
        """As AWS does, it gets a creation time of its own."""
        if target.name in self.items:
            return False
        label = next(label for label in self.labels if label.tags == undo["tags"])
        self.items[target.name] = Item(
            name=target.name, created=now, label=label, plugged=False, origin=str(undo["created"])
        )
        return True

    def plug_in(self, target: Target) -> bool:
        item = self.items.get(target.name)
        if item is None or item.plugged:
            return False
        item.plugged = True
        return True

    labels: Sequence[Label] = ()


@dataclass(frozen=True)
class Clearing(Detector[Thing]):
    """Clears out the attic, each item in two steps."""

    name = NAME
    schedule = "rate(1 day)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)
    acts = (allow("sagemaker:DeleteEndpoint", on="endpoint/*"),)
    undoes = (allow("sagemaker:CreateEndpoint", on="endpoint/*"),)
    cleanup = Cleanup(effect=Effect.DELETE, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost="dust")
    attic: ClassVar[Attic]
    clock: ClassVar[Callable[[], datetime]]

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing]:  # noqa: ARG002
        for number, item in enumerate(list(self.attic.items.values())):
            if number == self.attic.breaks_after:
                self.attic.watch.found(whole=False)
                raise OSError("the listing broke off")
            yield item.candidate
        self.attic.watch.found(whole=True)

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        self.attic.watch.looked(target.name, now)
        item = self.attic.items.get(target.name)
        return None if item is None else item.candidate

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        assert not isinstance(candidate.verdict, Exception)
        return candidate.verdict

    def prepare(
        self,
        aws: Aws,  # noqa: ARG002
        candidate: Thing,
        finding: Finding,  # noqa: ARG002
        memo: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        item = self.attic.items[candidate.target.name]
        if item.watched:
            self.attic.watch.refused(item.identity)
            raise CannotActError("it is watched")
        if item.slow and memo.get("read", 0) < 1:
            raise NotYetError("half of it is read", {"read": 1})
        return {"created": item.identity[1], "tags": dict(item.label.tags)}

    def act(self, aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> None:  # noqa: ARG002
        if not aws.may_write:
            raise CannotActError("this only reads")
        attic = self.attic
        steps.do("unplug", lambda: attic.call("unplug", target, lambda: attic.unplug(target)))
        steps.do("remove", lambda: attic.call("remove", target, lambda: attic.remove(target)))

    def settled(self, aws: Aws, target: Target, undo: Mapping[str, Any]) -> bool:  # noqa: ARG002
        item = self.attic.items.get(target.name)
        return item is None or item.identity[1] != undo["created"]

    def undo(self, aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        attic, there = self.attic, self.attic.items.get(target.name)
        if there is not None and undo["created"] not in {there.identity[1], there.origin}:
            raise CannotActError("another has its name")
        if there is None:
            now = type(self).clock()
            back = lambda: attic.bring_back(target, undo, now)  # noqa: E731
            steps.do("bring back", lambda: attic.call("bring back", target, back))
        steps.do("plug in", lambda: attic.call("plug in", target, lambda: attic.plug_in(target)))
