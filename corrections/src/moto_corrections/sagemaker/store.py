"""SageMaker: what it holds, what is about to happen to it, how it is made and found.

moto keeps a class per resource, each with its own gaps: members dropped, duplicates replaced in
silence, filters ignored. Here a resource is simply the members its Describe operation answers,
and what differs between kinds is one row of a table.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.core.utils import camelcase_to_underscores

from moto_corrections import clock, model, state
from moto_corrections.patches import AwsError, Call, backend, rejected

_sequence = itertools.count()


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of SageMaker resource, and AWS's words about it."""

    noun: str
    """As in the operation names: `Create` + noun."""
    missing: tuple[str, str] = ("ValidationException", "Requested resource not found.")
    """Error code and message when there is none of that name; may use {arn} and {name}."""
    duplicate: tuple[str, str] = ("ResourceInUse", "Resource {arn} already exists.")
    """The same when the name is taken."""
    members: tuple[str, str, str] | None = None
    """The members with its name, its ARN and its status, where they are not called after the noun."""
    key: tuple[str, ...] = ()
    """The members of a request that together name one, where its name alone does not."""

    def __deepcopy__(self, _: object) -> Kind:
        """Return itself: there is one of each kind, compared by identity."""
        return self

    @property
    def plural(self) -> str:
        """Return the name under which `override` finds these, such as training_jobs."""
        return f"{camelcase_to_underscores(self.noun)}s"

    @property
    def arn(self) -> str:
        """Return its name in ARNs and in the Tagging API's `sagemaker:…` types, such as training-job."""
        return camelcase_to_underscores(self.noun).replace("_", "-")

    @property
    def name_member(self) -> str:
        return self.members[0] if self.members else f"{self.noun}Name"

    @property
    def arn_member(self) -> str:
        return self.members[1] if self.members else f"{self.noun}Arn"

    @property
    def status_member(self) -> str:
        return self.members[2] if self.members else f"{self.noun}Status"

    def arn_of(self, call: Call, name: str) -> str:
        return call.arn("sagemaker", f"{self.arn}/{name}")


@dataclass(slots=True)
class Resource:
    """One thing in SageMaker: the members Describe answers, and its tags."""

    kind: Kind
    name: str
    members: dict[str, Any]
    tags: dict[str, str]
    ever_tagged: bool
    sequence: int = field(default_factory=lambda: next(_sequence))
    coming: Step | None = None
    """What happens to it next, if nothing else does before."""

    @property
    def arn(self) -> str:
        arn: str = self.members[self.kind.arn_member]
        return arn

    @property
    def status(self) -> str | None:
        return self.members.get(self.kind.status_member)

    def touch(self, **members: Any) -> None:
        """Change some members, and with them the time of the last change."""
        self.members.update(members, LastModifiedTime=clock.now())

    def retag(self, tags: list[dict[str, str]]) -> None:
        """Add tags; a key that is there already gets the new value, as on AWS."""
        self.tags.update({tag["Key"]: tag["Value"] for tag in tags})
        self.ever_tagged = self.ever_tagged or bool(tags)


@dataclass(slots=True, frozen=True, eq=False)
class Step:
    """Something that is going to happen to a resource."""

    at: dt.datetime
    resource: Resource
    change: Callable[[Resource, dt.datetime], None]


class SageMakerStore:
    """All SageMaker resources of one account in one region, as they are now."""

    def __init__(self) -> None:
        self.by_kind: dict[str, dict[str, Resource]] = {}
        self._agenda: list[tuple[dt.datetime, int, Step]] = []

    def of(self, kind: Kind) -> dict[str, Resource]:
        """Return the resources of one kind by name, oldest first."""
        self.advance()
        return self.by_kind.setdefault(kind.noun, {})

    def plan(self, step: Step) -> None:
        """Have a step happen in its time, unless the resource has another one coming by then."""
        heapq.heappush(self._agenda, (step.at, next(_sequence), step))

    def coming_at(self) -> dt.datetime | None:
        return self._agenda[0][0] if self._agenda else None

    def advance(self) -> None:
        """Let everything happen whose time has come, in its order."""
        while self._agenda and self._agenda[0][0] <= clock.now():
            _, _, step = heapq.heappop(self._agenda)
            if step.resource.coming is step:
                step.resource.coming = None
                step.change(step.resource, step.at)

    def __iter__(self) -> Iterator[Resource]:
        self.advance()
        return (resource for stored in list(self.by_kind.values()) for resource in list(stored.values()))


KINDS: dict[str, Kind] = {}


def kind(noun: str, *, called: str = "", **words: Any) -> Kind:
    """Declare a kind, so that `override` finds it; *called* is AWS's name of it in most refusals."""
    if called:
        words = {
            "missing": ("ValidationException", f'Could not find {called} "{{arn}}".'),
            "duplicate": ("ValidationException", f'Cannot create already existing {called} "{{arn}}".'),
        }
    declared = Kind(noun, **words)
    KINDS[declared.plural] = declared
    return declared


def resources(call: Call, of: Kind) -> dict[str, Resource]:
    """Return the resources of one kind where this call was made."""
    return state.of(SageMakerStore, call).of(of)


def get(call: Call, of: Kind, name: str | None = None) -> Resource:
    """Return the resource a call is about, or AWS's error."""
    if name is None:
        name = "/".join(str(call.params.get(member, "")) for member in of.key or (of.name_member,))
    if name not in resources(call, of):
        raise _refused(of.missing, of.arn_of(call, name))
    return resources(call, of)[name]


def _refused(words: tuple[str, str], arn: str) -> AwsError:
    code, message = words
    return AwsError(code, message.format(arn=arn, name=arn.rpartition("/")[2]))


def create(
    call: Call,
    of: Kind,
    status: str | None = None,
    *,
    name: str | None = None,
    arn: str | None = None,
    **members: Any,
) -> Resource:
    """
    Make a resource of what was asked; every member sent comes back in Describe.

    It is kept by the *name* that was asked for, unless another one is given.
    """
    name = checked_name(call, of.name_member) if name is None else name
    arn = arn or of.arn_of(call, name)
    if name in resources(call, of):
        raise _refused(of.duplicate, arn)
    tags = {tag["Key"]: tag["Value"] for tag in call.params.get("Tags") or []}
    now = clock.now()
    asked = {key: value for key, value in call.params.items() if key != "Tags"}
    stamps = {of.arn_member: arn, "CreationTime": now, "LastModifiedTime": now}
    if status is not None:
        stamps[of.status_member] = status
    # A backend of moto's is made when first asked for, and only those are asked about tags.
    backend("sagemaker", call.account, call.region)
    resource = Resource(of, name, asked | stamps | members, tags, ever_tagged=bool(tags))
    resources(call, of)[name] = resource
    return resource


def checked_name(call: Call, member: str) -> str:
    """Return the name asked for, if AWS's pattern and length allow it."""
    name = str(call.params.get(member, ""))
    shape: Any = model.inputs("sagemaker", call.operation)[member]
    pattern, longest = shape.metadata.get("pattern"), shape.metadata.get("max")
    where = member[0].lower() + member[1:]
    if longest is not None and len(name) > longest:
        raise constraint(name, where, f"Member must have length less than or equal to {longest}")
    if pattern and not re.fullmatch(pattern, name):
        expected = f"Member must satisfy regular expression pattern: {pattern}"
        raise constraint(name, where, expected)
    return name


def constraint(value: Any, where: str, expected: str) -> AwsError:
    """Write AWS's way of saying that a value is out of bounds."""
    text = f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint"
    return rejected(f"{text}: {expected}")


def check_instance_type(value: str | None, where: str) -> None:
    """Accept anything that looks like an instance type: moto's list ends at the g4dn family."""
    sizes = r"(medium|large|\d*xlarge|metal(-\d+xl)?)"
    if value is not None and not re.fullmatch(rf"ml\.[a-z][a-z0-9-]*\.{sizes}", value):
        raise constraint(value, where, "Member must satisfy enum value set: [ml.m5.large, ...]")
