"""The shape of a detector: one rule about one kind of waste, one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from janitor.arns import Arn
from janitor.model import Candidate, Target, Verdict

if TYPE_CHECKING:
    from janitor.aws import Aws


SERVICES = {"bucket": "s3", "object": "s3", "repository": "ecr"}
"""Whose resource types `Detector.kinds` are, where not SageMaker's."""


@dataclass(frozen=True, slots=True)
class Grant:
    """
    One IAM permission a detector needs.

    *on* is the resource part of an ARN in the sweep's own account and region ("endpoint/*" of the
    action's service), a whole ARN, or "*" for actions without a resource level. An *implied* grant
    is one that AWS demands although no call of that name is made; *source* says who says so.
    """

    action: str
    on: str = "*"
    implied: bool = False
    source: str = ""


def allow(action: str, on: str = "*") -> Grant:
    """Permission for a call the detector makes itself."""
    return Grant(action, on)


def implied(action: str, on: str = "*", *, source: str) -> Grant:
    """Permission that AWS demands beyond the calls made, and where that is written."""
    return Grant(action, on, implied=True, source=source)


@dataclass(frozen=True)
class Detector[C: Candidate](ABC):
    """
    One rule about one kind of waste.

    Class attributes say what it is (*kinds* are the ARN resource types it judges), dataclass fields
    are its tunables (typed, defaulted, settable in janitor.toml under their own names), methods
    stand in the order they run. The first line of a subclass's docstring is what the command line,
    the README and Lambda show.
    """

    name: ClassVar[str]
    schedule: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    reads: ClassVar[tuple[Grant, ...]]

    @abstractmethod
    def find(self, aws: Aws, now: datetime) -> Iterator[C]:
        """
        Yield one candidate per listed resource: all the reading, none of the judging.

        What could not be read is `Unreadable`, never left out. A listing that broke off is raised
        (`Listing.check`) after everything that was read has been yielded.
        """

    @abstractmethod
    def look(self, aws: Aws, target: Target, now: datetime) -> C | None:
        """
        Read the one resource *target* again, by the same reading as `find`; None if it is gone.

        Tags are read exactly here (`tags.of_one`), not from the bulk answer, which lags behind.
        Raises ReadError if not even its description could be read.
        """

    @abstractmethod
    def decide(self, candidate: C, now: datetime) -> Verdict:
        """Judge one candidate: pure, and always with a reason."""

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Whether *arn* is of one of its `kinds`. Other services have an endpoint or a cluster too."""
        return arn.kind in cls.kinds and arn.service == SERVICES.get(arn.kind, "sagemaker")

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0].strip()
