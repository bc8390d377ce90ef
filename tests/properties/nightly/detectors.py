"""Two detectors that really act, each in two steps: one deletes, the other only stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fakes import Thing
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Effect, Target, Verdict
from ml_janitor.engine.detector import CannotActError, Cleanup, Detector, NotFinishedError, Steps, allow
from properties.nightly.store import Item, ItemStore


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

    def ended(self, item: Item | None) -> bool:
        """Whether nothing is left to be done to *item*, or there is none."""
        raise NotImplementedError

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:  # noqa: ARG002
        item = self.store.items.get(target.name)
        if over := self.ended(item) or (item is not None and item.identity[1] != record["created"]):
            self.store.watch.over((target.name, record["created"]))
        return over

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

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:  # noqa: ARG002
        if not aws.may_write:
            raise CannotActError("this only reads")
        self.step(steps, "unplug", target, lambda: self.store.unplug(target))
        self.step(steps, "remove", target, lambda: self.store.remove(target))

    def ended(self, item: Item | None) -> bool:
        return item is None

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        there = self.store.items.get(target.name)
        if there is not None and record["created"] not in {there.identity[1], there.origin}:
            raise CannotActError("another has its name")
        if there is None:
            now = self.clock()
            self.step(steps, "bring back", target, lambda: self.store.bring_back(target, record, now))
        self.step(steps, "plug in", target, lambda: self.store.plug_in(target))


@dataclass(frozen=True)
class Dousing(Watching):
    """Douses the lamps, which stay where they are: whoever lights one again may be warned about it again."""

    name = "lamps"
    acts = (allow("sagemaker:StopNotebookInstance", on="notebook-instance/*"),)
    undoes = (allow("sagemaker:StartNotebookInstance", on="notebook-instance/*"),)
    cleanup = Cleanup(effect=Effect.STOP, grace=timedelta(days=1), act_on=Confidence.PROVEN, lost="warmth")

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:  # noqa: ARG002
        if not aws.may_write:
            raise CannotActError("this only reads")
        self.step(steps, "unplug", target, lambda: self.store.unplug(target))
        self.step(steps, "douse", target, lambda: self.store.douse(target))

    def ended(self, item: Item | None) -> bool:
        return item is None or not item.lit

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        there = self.store.items.get(target.name)
        if there is None or there.identity[1] != record["created"]:
            raise CannotActError("it is gone, or another has its name")
        self.step(steps, "light", target, lambda: self.store.light(target))
        self.step(steps, "plug in", target, lambda: self.store.plug_in(target))
