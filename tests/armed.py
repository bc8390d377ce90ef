"""A detector that really acts: on a world in memory, in two steps, each of which can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from fakes import USED, Thing, thing, waste
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Effect, Target, Value, Verdict
from ml_janitor.engine.detector import CannotActError, Cleanup, Detector, NotFinishedError, Steps, allow

ARMS = {"act_in": ("123456789012",)}


DENIED = ClientError(
    {
        "Error": {"Code": "AccessDeniedException", "Message": "no"},
        "ResponseMetadata": {
            "HTTPStatusCode": 400,
            "RetryAttempts": 0,
            "RequestId": "r",
            "HostId": "",
            "HTTPHeaders": {},
        },
    },
    "DeleteEndpoint",
)
"""A definite refusal of AWS, after which nothing was done."""


class KilledError(BaseException):
    """The process ends here: nothing of the program's own gets to run any more."""


class LostError(ConnectionError):
    """AWS did it, and its answer was lost."""


@dataclass
class World:
    """
    What there is: things by name, and the plugs that are still in. *done* is what happened to it.

    *before* and *after* are called with the name of each step, and may raise.
    """

    things: dict[str, Thing] = field(default_factory=dict)
    unplugged: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    looked_at: list[datetime] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    refuses: Exception | None = None
    broken: Exception | None = None

    def add(self, *names: str, **about: Any) -> None:
        """Waste that is a quarter old."""
        for name in names:
            self.things[name] = thing(name, waste(), **about)

    def judge(self, name: str, verdict: Verdict) -> None:
        """From now on, *name* is judged so."""
        self.things[name] = replace(self.things[name], verdict=verdict)

    def use(self, name: str) -> None:
        """Somebody uses *name*."""
        self.judge(name, USED)

    def do(self, what: str, call: Callable[[], object]) -> None:
        """One call that changes the world."""
        self.before(what)
        call()
        self.done.append(what)
        self.after(what)


@dataclass(frozen=True)
class Cellar(Detector[Thing]):
    """Clears out the cellar."""

    name = "cellar"
    schedule = "rate(1 day)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)
    acts = (allow("sagemaker:DeleteEndpoint", on="endpoint/*"),)
    cleanup = Cleanup(
        effect=Effect.DELETE, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost="the dust on it"
    )
    world: ClassVar[World] = World()

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing]:  # noqa: ARG002
        yield from self.world.things.values()
        if self.world.broken is not None:
            raise self.world.broken

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        self.world.looked_at.append(now)
        return self.world.things.get(target.name)

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        if isinstance(candidate.verdict, Exception):
            raise candidate.verdict
        return candidate.verdict

    def prepare(self, aws: Aws, candidate: Thing, memo: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        if isinstance(self.world.refuses, NotFinishedError):
            self.world.refuses.memo = {"read": memo.get("read", 0) + 1}
        if self.world.refuses is not None:
            raise self.world.refuses
        return {"name": candidate.target.name}

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        world, name = self.world, str(record["name"])
        steps.do("unplug", lambda: world.do(f"unplug {name}", lambda: world.unplugged.add(name)))
        steps.do("remove", lambda: world.do(f"remove {name}", lambda: world.things.pop(target.name, None)))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return target.name not in self.world.things

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        world, name = self.world, str(record["name"])
        if name not in world.things:
            steps.do("bring back", lambda: world.do(f"bring back {name}", lambda: world.add(name)))
        steps.do("plug in", lambda: world.do(f"plug in {name}", lambda: world.unplugged.discard(name)))
        del target


@dataclass(frozen=True)
class Loft(Cellar):
    """Clears out the same things, and is another detector."""

    name = "loft"


@dataclass(frozen=True)
class Sparing(Cellar):
    """Spares what undos need, which is their own resource."""

    spares_undos = True

    def undo_needs(self, target: Target, record: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG002
        return (target.arn,)


def tagged(name: str, **tags: str) -> Thing:
    """Waste with tags."""
    return thing(name, waste(), Value(dict(tags)))


def raising(error: BaseException, *, at: str) -> Callable[[str], None]:
    """Raises *error* at one step."""

    def step(name: str) -> None:
        if name == at:
            raise error

    return step
