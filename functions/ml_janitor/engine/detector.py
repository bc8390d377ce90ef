"""The shape of a detector: one rule about one kind of waste, one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from ml_janitor.aws import tags
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Candidate, Change, Confidence, Effect, Target, Verdict

SERVICES = {
    "bucket": "s3", "object": "s3", "repository": "ecr", "log-group": "logs", "commitment": "savingsplans",
    "usage-type": "ce",
}  # fmt: skip
"""Whose resource types `Detector.kinds` are, where not SageMaker's."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of IAM: *key*, compared with *values* by *operator*, such as "StringEquals"."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """
    One IAM permission a detector needs.

    *on* is the resource part of an ARN in the sweep's own account and region ("endpoint/*" of the
    action's service), a whole ARN, or "*" for actions without a resource level. An *implied* grant
    is one that AWS demands although no call of that name is made; *source* says who says so. It holds
    only where all conditions of *when* do.
    """

    action: str
    on: str = "*"
    implied: bool = False
    source: str = ""
    when: tuple[Condition, ...] = ()


def allow(action: str, on: str = "*", *, when: tuple[Condition, ...] = ()) -> Grant:
    """Permission for a call the detector makes itself."""
    return Grant(action, on, when=when)


def allow_each(service: str, *actions: str, on: str = "*") -> tuple[Grant, ...]:
    """The same for several calls to one *service*."""
    return tuple(allow(f"{service}:{action}", on) for action in actions)


def implied(action: str, on: str = "*", *, source: str, when: tuple[Condition, ...] = ()) -> Grant:
    """Permission that AWS demands beyond the calls made, and where that is written."""
    return Grant(action, on, implied=True, source=source, when=when)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """
    What acting on a detector's findings means.

    *grace* is how long a warning stands before the act, and *act_on* the least confidence that may be
    acted on, unless the operator sets others. *lost* is what an undo does not bring back, as words
    that complete "An undo does not bring back ..."; a finding may know it better. *undo* is the command
    that takes it back, which is also what its button in Slack is called.
    """

    effect: Effect
    grace: timedelta
    act_on: Confidence
    lost: str
    undo: str = "undo"


class CannotActError(Exception):
    """A finding must not be acted on, for a reason that only `prepare` sees; one sentence says it."""


class ChangedError(Exception):
    """Before its first step, `act` saw that its resource has changed; one sentence says how."""


class NotYetError(Exception):
    """
    Preparing did not come to an end in the time there was; one sentence says so.

    *memo* is given back to the next `prepare` of the same warning, so that it goes on from there.
    """

    def __init__(self, reason: str, memo: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.memo = memo


class NotFinishedError(Exception):
    """
    An act or undo waits for AWS; one sentence says for what. Nothing went wrong, and nothing here sleeps.

    It is called again after a while: in the same run as long as there is time, else in the next one.
    """


class Steps(Protocol):
    """The steps of one act or undo. Each is recorded, and done once however often the act is tried."""

    def do(self, name: str, call: Callable[[], object]) -> None:
        """
        Do the step *name* by *call*, unless it was done before.

        A run that was killed, or whose answer was lost, calls it again: *call* must take "already
        so" for success. In an act it changes one thing at most: AWS's refusal then means nothing was done.
        """

    def forget(self, name: str) -> None:
        """Let the step *name* be done again: what it made is no more."""

    def begun(self, name: str) -> bool:
        """Whether the step *name* was begun before: what it makes may be there, and is its own."""


@dataclass(frozen=True)
class Detector[C: Candidate](ABC):
    """
    One rule about one kind of waste.

    Class attributes say what it is (*kinds* are the ARN resource types it judges), dataclass fields
    are its tunables (typed, defaulted, settable in janitor.toml under their own names), methods
    stand in the order they run. The first line of a subclass's docstring is what the command line,
    the README and Lambda show.

    A detector without `cleanup` only advises. One with it also says which permissions its `prepare`
    and `act` need beyond *reads* (*acts*), and all that its `undo` needs (*undoes*). *asks_for* is what its
    findings want changed: an adviser of anything but an end says so.
    """

    name: ClassVar[str]
    schedule: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    cleanup: ClassVar[Cleanup | None] = None
    asks_for: ClassVar[Change] = Change.END
    own_tags: ClassVar[bool] = True
    """Whether what it judges has tags of its own, which `look` reads once more."""
    spares_undos: ClassVar[bool] = False
    """Whether what the undo of an action needs is kept from it."""
    keeps_files: ClassVar[bool] = False
    """Whether its reading may outgrow memory or one run, and then needs files (`Aws.scratch`)."""

    @property
    def reads(self) -> tuple[Grant, ...]:
        """What it needs to read: a constant, unless tunables narrow it."""
        return ()

    @property
    def acts(self) -> tuple[Grant, ...]:
        """What `prepare`, `act` and `is_done` need beyond *reads*: a constant, unless tunables narrow it."""
        return ()

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """All that `undo` needs, in a role of its own; like *acts*."""
        return ()

    @abstractmethod
    def find(self, aws: Aws, now: datetime) -> Iterator[C]:
        """
        Yield one candidate per listed resource: all the reading, none of the judging.

        What could not be read is `Unreadable`, never left out. A listing that broke off is raised
        (`Listing.check`) after everything that was read has been yielded.
        """

    def look(self, aws: Aws, target: Target, now: datetime) -> C | None:
        """
        Read the one resource *target* again, by the same reading as `find`; None if it is gone.

        By default all is read again, which is right where a verdict takes all of it. Tags are read exactly
        here, not from the bulk answer, which lags behind. Raises ReadError if not even its description
        could be read.
        """
        same = (one for one in self.find(aws, now) if one.target.arn.lower() == target.arn.lower())
        if (one := next(same, None)) is None or not self.own_tags:
            return one
        return replace(one, target=replace(one.target, tags=tags.exactly(aws, one.target.arn)))

    def look_unfinished(self, aws: Aws, target: Target, record: Mapping[str, Any], now: datetime) -> C | None:
        """
        Read *target* again after an act by *record* that did not come to its end, by default as `look` does.

        What the steps of an act changed must not be taken for a change that somebody else made.
        """
        return self.look(aws, target, now)

    def leaving(self, candidate: C, named: frozenset[str] | None) -> C:
        """
        *candidate* without what others would change, for what may only take what all others leave.

        *named* are the resources, by ARN in lower case, of findings of other detectors; None if not known.
        """
        return candidate

    @abstractmethod
    def decide(self, candidate: C, now: datetime) -> Verdict:
        """Judge one candidate: pure, and always with a reason."""

    def prepare(self, aws: Aws, candidate: C, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Everything that `undo` will need to bring *candidate* back, as plain JSON: reads only.

        The engine stores the answer before it acts; without it there is no act. Raises CannotActError
        if the finding must stay as it is after all, NotYetError to go on from its memo next time, and
        ReadError (or botocore's own errors) if something could not be read.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        """
        Clean *target* up, one recorded step after the other, by an *aws* that may write.

        *record* is what `prepare` answered. "Already gone" is success: after a lost answer it looks. Raises
        NotFinishedError where the next step has to wait for AWS, and ChangedError.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        """
        Whether *target* is as a whole `act` leaves it, or on its way there: gone, stopped, stopping.

        Asked after an act that was broken off or whose answer was lost. Another resource that has
        its name now does not count as it.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def ended_otherwise(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
        """
        Why *target* is no longer waste by no doing of the janitor's, where that can be told; None if not.

        Asked after an act of which no step is recorded as done: what ended by itself meanwhile is
        neither reported as done, nor brought back.
        """
        return None

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        The setting without which the undo function may not bring *target* back from *record*, or nothing.

        A person does it then, with credentials of their own: everything that is told of it says so.
        """
        return ""

    def reverted_arn(self, target: Target, record: Mapping[str, Any]) -> str:
        """The ARN of what `revert` makes or brings back: the same, unless it cannot have its old name."""
        return target.arn

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        """
        Bring *target* back from what `prepare` answered, after a whole `act` or a half one.

        "Already there" is success. Where "it is back" would be wrong, the answer says what became of it
        in one sentence for whoever asked: nothing that may be secret. Raises CannotActError if it can no
        longer be brought back, and NotFinishedError where the next step has to wait for AWS.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        What `revert` would do, in one clause: whoever is asked whether they want it reads this.

        Nothing is read, nothing secret is shown. Raises CannotActError where nothing comes back.
        """
        return f"{target.name} is brought back, and costs again"

    def undo_needs(self, target: Target, record: Mapping[str, Any]) -> tuple[str, ...]:
        """The ARNs of other resources that *record* of an act on *target* needs, and that the act leaves."""
        return ()

    def may_be_needed(self, candidate: C) -> str | None:
        """Why an undo may need *candidate*, as far as that is known without the ledger, or None."""
        return None

    def never_acts(self) -> str | None:
        """Why it would not act on anything with its own tunables as they are set, or None."""
        return None

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Whether *arn* is of one of its `kinds`. Other services have an endpoint or a cluster too."""
        return arn.kind in cls.kinds and arn.service == SERVICES.get(arn.kind, "sagemaker")

    @classmethod
    def summary(cls) -> str:
        return (cls.__doc__ or "").strip().splitlines()[0].strip()
