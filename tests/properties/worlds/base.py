"""What random accounts are made of: claims about what is waste, faults, labels, and things that are made."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
from botocore.config import Config
from hypothesis import strategies as st

from ml_janitor_sandbox.control import Control

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker import SageMakerClient

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
BUCKET = "ml-artifacts"
"""Where jobs and asynchronous endpoints write."""

LIKELY = "likely"

UNTAGGED = "untagged-resources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    What is true of one resource in the eyes of one detector.

    It *may* be found or not, and *must* be if everything can be read; they differ where either answer
    is honest. *certain* is whether anything proves it. Without the calls it *needs*, nobody can
    honestly call it waste; without those that *support* that, it is likely at most. What *hides* its
    only sign of use makes it look like waste, and likely at most, as long as one of these calls fails.
    Without what *reveals* what makes it waste, it honestly looks like something in use. What is *busy* may be
    found only as something that the clock stops, and must not be due.
    """

    detector: str
    arn: str
    may: bool
    must: bool
    certain: bool = False
    needs: frozenset[str] = frozenset()
    supports: frozenset[str] = frozenset()
    hides: frozenset[str] = frozenset()
    reveals: frozenset[str] = frozenset()
    busy: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """SageMaker lower-cases names in some ARNs."""
        return self.detector, self.arn.lower()

    def concerns(self, call: str) -> bool:
        """Whether *call* tells something about it."""
        return call in self.needs | self.supports | self.hides | self.reveals

    def allows(self, confidence: str, faults: Iterable[Fault]) -> bool:
        """Whether a finding of this *confidence* is honest while *faults* are in force."""
        broken = {fault.call for fault in faults}
        refused = refusals(faults)
        if self.needs & refused:
            return False
        if not self.may:
            return confidence == LIKELY and bool(self.hides & broken)
        return confidence == LIKELY or (self.certain and not self.supports & refused)

    def unknown(self, faults: Iterable[Fault]) -> bool:
        """Whether it is waste, and nobody can tell while *faults* are in force."""
        broken = {fault.call for fault in faults}
        return self.must and bool(self.needs & refusals(faults)) and not self.reveals & broken


ALSO_ANSWERED = dict.fromkeys(
    ("sagemaker:DescribeEndpoint", "sagemaker:DescribeModelPackage"), "sagemaker:Search"
)
"""Calls whose answers another call has too."""


@dataclass(frozen=True)
class Fault:
    """
    One rule for the sandbox. *lasting* faults hit every call after the first *skip*.

    With *match*, only those that ask for something with these letters.
    """

    call: str
    kind: str
    lasting: bool
    skip: int = 0
    match: str = ""

    @property
    def total(self) -> bool:
        """Whether nothing at all is read by this call. An answer to HEAD has no body to cut off."""
        headless = self.call == "s3:HeadObject" and self.kind == "truncate"
        return self.lasting and not self.skip and not self.match and not headless

    @property
    def whole(self) -> list[Fault]:
        """This fault, with the same one of the call that has the same answers."""
        other = ALSO_ANSWERED.get(self.call)
        return [self] if other is None else [self, replace(self, call=other)]

    def apply(self, control: Control) -> None:
        service, _, operation = self.call.partition(":")
        times = 0 if self.lasting else 1
        control.fault(service, operation, self.kind, times=times, skip=self.skip, match=self.match or None)


def refusals(faults: Iterable[Fault]) -> frozenset[str]:
    """The calls that answer nothing at all, and whose answers no other call has."""
    refused = frozenset(fault.call for fault in faults if fault.total)
    return refused - {call for call, other in ALSO_ANSWERED.items() if other not in refused}


# --- labels -----------------------------------------------------------------------------------

REQUIRED = ("team", "project", "environment", "cost-center", "owner", "managed-by")

KEEPING: tuple[tuple[Mapping[str, str], bool], ...] = (
    # tags, and whether they exempt on 2026-10-06
    ({}, False),
    ({"keep": "false", "janitor:keep-until": "2026-10-05"}, False),
    ({"janitor:keep": "True"}, True),
    ({"keep": "TRUE"}, True),
    ({"janitor:keep-until": "2026-10-06"}, True),
    ({"janitor:keep-until": "someday"}, True),
)

TOOL = "terraform"
"""What manages everything that is tagged: a value that is not the owner's or the team's as well."""

SPELLINGS: Mapping[str, Callable[[str], dict[str, str]]] = {
    # what somebody made of a required tag; only the first is right
    "right": lambda key: {key: TOOL if key == "managed-by" else "x"},
    "missing": lambda key: {},  # noqa: ARG005 - nothing was made of it
    "empty": lambda key: {key: ""},
    "blank": lambda key: {key: " "},
    "capital": lambda key: {key.title(): "x"},
    "spaced": lambda key: {f"{key} ": "x"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """
    The tags of one resource.

    *keeping* are tags that speak of keeping it, and whether they do; *spelt* is what became of each
    required tag.
    """

    keeping: tuple[Mapping[str, str], bool] = ({}, False)
    spelt: Mapping[str, str] = field(default_factory=dict)

    @property
    def exempt(self) -> bool:
        return self.keeping[1]

    @property
    def complete(self) -> bool:
        return all(self.spelt.get(key) == "right" for key in REQUIRED)

    @property
    def tags(self) -> dict[str, str]:
        made = dict(self.keeping[0])
        for key, how in self.spelt.items():
            made |= SPELLINGS[how](key)
        return made

    @property
    def listed(self) -> list[Any]:
        return [{"Key": key, "Value": value} for key, value in self.tags.items()]


COMPLETE = Labels(spelt=dict.fromkeys(REQUIRED, "right"))
NONE = Labels()

MISSPELT = [
    Labels(spelt={**COMPLETE.spelt, key: how})
    for key, how in zip(REQUIRED, [how for how in SPELLINGS if how != "right"], strict=False)
]
EXEMPT = [Labels(keeping=keeping, spelt=COMPLETE.spelt) for keeping in KEEPING if keeping[1]]
UNKEPT = [COMPLETE, Labels(keeping=KEEPING[1], spelt=COMPLETE.spelt), NONE, MISSPELT[0]]
"""Without a tag that keeps: with all that is required, and with too little."""

LABELS = [*UNKEPT, *MISSPELT, *EXEMPT]


# --- things -----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Account:
    """
    One random account in the making: how to make things in it, and what is claimed of them.

    *manifest* is whether a model names a manifest that nobody opens: any artifact may be listed in it.
    """

    session: boto3.Session
    control: Control
    now: datetime
    claims: list[Claim] = field(default_factory=list)
    buckets: dict[str, Labels] = field(default_factory=dict)
    manifest: bool = False
    _names: dict[str, int] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def sagemaker(self) -> SageMakerClient:
        client: SageMakerClient = self._client("sagemaker")
        return client

    @property
    def scaling(self) -> Any:
        return self._client("application-autoscaling")

    @property
    def logs(self) -> Any:
        return self._client("logs")

    @property
    def s3(self) -> S3Client:
        client: S3Client = self._client("s3")
        return client

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            # without being asked, boto3 would add a checksum to every object
            config = Config(request_checksum_calculation="when_required")
            self._clients[service] = self.session.client(service, config=config)  # type: ignore[call-overload]
        return self._clients[service]

    def name(self, kind: str) -> str:
        """A name that is the beginning of the next one of its kind: train, train-1, and in time train-10."""
        number = self._names.get(kind, 0)
        self._names[kind] = number + 1
        return f"{kind}-{number}" if number else kind

    def be(self, ago: timedelta) -> None:
        """Make it so long ago."""
        self.control.set_clock(self.now - ago)

    def add(self, thing: Thing) -> None:
        """Build *thing*, and go on in the present."""
        thing.build(self)
        self.be(timedelta())

    def bucket(self, name: str, labels: Labels, *, judged: bool = True, certainly: bool = True) -> None:
        """Make a bucket, whose labels count for what is in it, too."""
        self.s3.create_bucket(Bucket=name)
        if labels.tags:
            self.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": labels.listed})
        self.buckets[name] = labels
        self.tagged(f"arn:aws:s3:::{name}", labels, judged=judged, certainly=certainly)

    def tagged(self, arn: str, labels: Labels, *, judged: bool = True, certainly: bool = True) -> None:
        """
        Claim whether the resource *arn* lacks a required tag.

        It is *judged* if untagged resources of its kind and age are; *certainly*, or perhaps.
        """
        listing = "s3:GetBucketTagging" if arn.startswith("arn:aws:s3:::") else "sagemaker:ListTags"
        lacks = judged and not labels.complete and not labels.exempt
        self.claims.append(
            Claim(
                detector=UNTAGGED,
                arn=arn,
                may=lacks,
                must=lacks and certainly,
                certain=True,
                needs=frozenset({listing}),
            )
        )

    def measure(
        self,
        metric: tuple[str, str],
        where: Mapping[str, str],
        values: Sequence[float | None],
        *,
        since: datetime,
        step: int = 3600,
        samples: int = 1,
    ) -> None:
        """
        Publish *values* of a metric, which has a namespace and a name, one every *step* seconds.

        Each value stands for so many *samples*.
        """
        series = {"metric": metric[1], "dimensions": where, "start": since, "step": step, "values": values}
        self.control.metrics(metric[0], [series | {"samples": samples}])

    def claim(self, detector: str, arn: str, *, waste: bool, needs: Iterable[str] = (), **truth: Any) -> None:
        """Claim that *detector* finds the resource *arn* if everything can be read, or that it never may."""
        needed = frozenset(needs)
        self.claims.append(Claim(detector=detector, arn=arn, may=waste, must=waste, needs=needed, **truth))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of SageMaker's resources that have been made."""
        return frozenset(claim.arn.split(":")[5].partition("/")[0] for claim in self.claims)


@dataclass(frozen=True, kw_only=True)
class Thing(abc.ABC):
    """
    One resource of a random account, with what belongs to it.

    *calls* are those that tell something about it; faults are drawn from them. *stores* is whether
    what uses buckets includes it: training jobs, for one, write to `BUCKET`. *labels* are its own tags.
    """

    calls: ClassVar[Sequence[str]]
    labels: Labels = NONE

    @property
    def stores(self) -> bool:
        return False

    @abc.abstractmethod
    def build(self, account: Account) -> None:
        """Make it, and claim what is true of it."""


type Values = Mapping[str, Sequence[Any]]
"""What members may be, by their names."""
type Members = Mapping[str, Sequence[Sequence[Any]]]
"""What members may be in waste, and what other ones there are, by their names."""


@dataclass(frozen=True)
class Kind[T]:
    """
    How things of one kind come about: what the members of *waste* are, and what *other* ones there are.

    Most rules are about a single member, and would hardly ever decide if all of them were random.
    """

    make: Callable[..., T]
    waste: Values
    other: Values

    @staticmethod
    def of[U](make: Callable[..., U], **members: Sequence[Sequence[Any]]) -> Kind[U]:
        """Things that are waste with the first values of their *members*, and not with the second ones."""
        waste = {name: values[0] for name, values in members.items()}
        other = {name: values[1] for name, values in members.items() if len(values) > 1}
        return Kind(make, waste, other)

    def but(self, **members: Sequence[Sequence[Any]]) -> Kind[T]:
        """The same things, some of whose *members* are others."""
        given = Kind.of(self.make, **members)
        return Kind(self.make, waste={**self.waste, **given.waste}, other=given.other or self.other)

    def near_misses(self) -> Iterator[T]:
        """Plain waste, and whatever is like it but for one member."""
        plain = {name: values[0] for name, values in self.waste.items()}
        yield self.make(**plain)
        for name in plain:
            for value in (*self.waste[name][1:], *self.other.get(name, ())):
                yield self.make(**{**plain, name: value})

    @property
    def some(self) -> st.SearchStrategy[T]:
        """Waste but for two members at most."""

        @st.composite
        def draw_one(draw: st.DrawFn) -> T:
            loose = draw(st.sets(st.sampled_from(sorted(self.other)), max_size=2))
            values = {**self.waste, **{name: self.other[name] for name in loose}}
            return self.make(**{name: draw(st.sampled_from(values[name])) for name in values})

        return draw_one()


def spans(unit: timedelta, *counts: float) -> list[timedelta]:
    """So many of a *unit* of time."""
    return [count * unit for count in counts]
