"""
The shape of a detector: one rule about one kind of waste, one file.

A detector declares the permissions that it needs, and the roles that its undo may hand to SageMaker.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Protocol

from ml_janitor.aws import tags
from ml_janitor.aws.calls import is_refusal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
from ml_janitor.aws.tags import Arn
from ml_janitor.aws.training_jobs import FAMILY_CALLS, JobFamily, read_job_families
from ml_janitor.core.model import Candidate, Change, Confidence, Effect, SweepNote, Target, Verdict
from ml_janitor.core.text import quote_toml

KIND_SERVICES = {
    "bucket": "s3", "object": "s3", "repository": "ecr", "log-group": "logs", "commitment": "savingsplans",
    "usage-type": "ce",
}  # fmt: skip
"""The service of the resource types in `Detector.kinds`, where it is not SageMaker."""

type Constant[T] = T
"""A field of a detector that no operator sets: tests vary it, janitor.toml does not."""

LEAST_SAVING_USD = 10.0
"""Dollars a month below which advice costs more of a person's time than it saves."""


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
    action's service), a whole ARN, or "*" for actions without a resource level. An *implied* grant is a
    permission that AWS demands although no call of that name is made; *source* is the reference. It holds
    only where all conditions of *when* do. A grant on "*" is for the swept regions, unless it is *anywhere*.
    """

    action: str
    on: str = "*"
    implied: bool = False
    source: str = ""
    when: tuple[Condition, ...] = ()
    anywhere: bool = False


OWN_ACCOUNT = "ACCOUNT"
"""The swept account, in an ARN or a condition of a grant. Policies hold its number."""

IN_OWN_ACCOUNT = Condition("StringEquals", "aws:ResourceAccount", (OWN_ACCOUNT,))


def in_own_buckets(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Limit *grants* on buckets and their objects to the account's own: ARNs of S3 name no account."""
    return tuple(
        replace(grant, when=(*grant.when, IN_OWN_ACCOUNT)) if grant.on.startswith("arn:aws:s3:::") else grant
        for grant in grants
    )


def allow(action: str, on: str = "*", *, when: tuple[Condition, ...] = (), anywhere: bool = False) -> Grant:
    """Return the permission for a call of the detector itself."""
    return Grant(action, on, when=when, anywhere=anywhere)


def allow_each(service: str, *actions: str, on: str = "*") -> tuple[Grant, ...]:
    """Return the permissions for several calls to one *service*."""
    return tuple(allow(f"{service}:{action}", on) for action in actions)


def implied_grant(action: str, on: str = "*", *, source: str, when: tuple[Condition, ...] = ()) -> Grant:
    """Return a permission that AWS demands beyond the calls made, with its reference."""
    return Grant(action, on, implied=True, source=source, when=when)


def with_log_grants(grants: Sequence[Grant], *groups: str, read: bool) -> tuple[Grant, ...]:
    """Return *grants*, and the permissions to *read* the texts of the log *groups*, if that is wanted."""
    return (*grants, *(allow("logs:GetLogEvents", on=f"log-group:{group}:*") for group in groups if read))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """
    The effect and terms of acting on a detector's findings.

    *grace* is how long a warning stands before the act, and *act_on* the least confidence for an
    action, unless the operator sets others. *lost* is what an undo does not bring back, as words
    that complete "An undo does not bring back ..."; a finding may know it better. *undo* is the command
    that undoes it, and the name of its button in Slack.
    """

    effect: Effect
    grace: timedelta
    act_on: Confidence
    lost: str
    undo: str = "undo"


class CannotActError(Exception):
    """
    The resource stays as it is; the message says why in one sentence.

    `prepare` raises it for a finding that must not be acted on, `act` if the resource has changed before its
    first step, and `revert` for a resource that can no longer be brought back.
    """


class NotFinishedError(Exception):
    """
    An act or undo waits for AWS, or `prepare` ran out of time; the message names the state.

    Nothing went wrong, and nothing here sleeps. The engine calls an act or undo again after a while: in the
    same run as long as there is time, else in the next run. The next `prepare` of the same warning receives
    *memo*, so that it goes on from there.
    """

    def __init__(self, reason: str, memo: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.memo = memo or {}


class Steps(Protocol):
    """The steps of one act or undo. Each is recorded, and done once however often the act is tried."""

    def do(self, name: str, call: Callable[[], object]) -> None:
        """
        Do the step *name* by *call*, unless it was done before.

        A run that was killed, or whose answer was lost, calls it again: *call* must take "already
        so" for success. In an act it changes one thing at most: AWS's refusal then means nothing was done.
        """

    def forget(self, name: str) -> None:
        """Let the step *name* be done again: its product is gone."""

    def begun(self, name: str) -> bool:
        """Return whether the step *name* was begun before: its product may exist, and is its own."""


@dataclass(frozen=True)
class Detector[C: Candidate](ABC):
    """
    One rule about one kind of waste.

    Class attributes describe it (*kinds* are the ARN resource types it judges), dataclass fields are its
    tunables (typed, defaulted, settable in janitor.toml under their own names), methods stand in the
    order they run. The first line of a subclass's docstring is shown by the command line, the README and
    Lambda.

    A detector without `cleanup` only advises. A detector with `cleanup` also lists the permissions that
    its `prepare` and `act` need beyond *reads* (*acts*), and all that its `undo` needs (*undoes*).
    *asks_for* is the change that its findings ask for: an adviser of anything but an end sets it.
    """

    name: ClassVar[str]
    schedule: ClassVar[str] = "cron(10 0 ? * MON *)"
    """Detectors of one function with equal schedules run one after the other, over one reading."""
    kinds: ClassVar[tuple[str, ...]]
    cleanup: ClassVar[Cleanup | None] = None
    asks_for: ClassVar[Change] = Change.END
    own_tags: ClassVar[bool] = True
    """Its resources have tags of their own, which `look` reads once more."""
    spares_undos: ClassVar[bool] = False
    """It spares resources that the undo of an action needs."""
    keeps_files: ClassVar[bool] = False
    """Its reading may outgrow memory or one run, and then needs files (`Aws.scratch`)."""
    keeps_descriptions: ClassVar[bool] = False
    """It describes endpoints in bulk, and keeps the descriptions from run to run (`Aws.kept`)."""

    @property
    def resumes(self) -> bool:
        """Return whether another part of a run, which reads what the part before kept, comes further."""
        return self.keeps_files or self.keeps_descriptions

    @property
    def reads(self) -> tuple[Grant, ...]:
        """Return the permissions to read: a constant, unless tunables narrow it."""
        return ()

    @property
    def acts(self) -> tuple[Grant, ...]:
        """Return the permissions of `prepare`, `act` and `is_done` beyond *reads*, narrowed like them."""
        return ()

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """Return all permissions of `undo`, in a role of its own; like *acts*."""
        return ()

    @abstractmethod
    def find(self, aws: Aws, now: datetime) -> Iterator[C | SweepNote]:
        """
        Yield one candidate per listed resource: all the reading, none of the judging.

        Yield a note for what concerns the whole reading: it is reported even without a candidate. A signal
        that could not be read is `Unreadable`, never left out. A listing that broke off is raised
        (`Listing.check`) after all candidates read so far.
        """

    def look(self, aws: Aws, target: Target, now: datetime) -> C | None:
        """
        Read the one resource *target* again, by the same reading as `find`; None if it is gone.

        By default all is read again, which is right where a verdict takes all of it. Tags are read exactly
        here, not from the bulk answer, which lags behind. Raises ReadError if not even its description
        could be read.
        """
        same = (
            candidate
            for candidate in self.find(aws, now)
            if not isinstance(candidate, SweepNote) and candidate.target.arn.lower() == target.arn.lower()
        )
        if (candidate := next(same, None)) is None or not self.own_tags:
            return candidate
        return replace(
            candidate, target=replace(candidate.target, tags=tags.read_exact_tags(aws, candidate.target.arn))
        )

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """
        Yield the ARNs of what this detector calls *name* in its reports, for a person who types the name.

        It is asked only for kinds that no listing of names has. By default everything is read; a detector
        overrides it where a name alone says enough. Raises ReadError.
        """
        for candidate in self.find(aws, now):
            if not isinstance(candidate, SweepNote) and candidate.target.name == name:
                yield candidate.target.arn

    def look_unfinished(self, aws: Aws, target: Target, record: Mapping[str, Any], now: datetime) -> C | None:
        """
        Read *target* again after an unfinished act by *record*, by default as `look` does.

        A change by a step of the act must not count as somebody else's change.
        """
        return self.look(aws, target, now)

    def leaving(self, candidate: C, named: frozenset[str] | None) -> C:
        """
        Return *candidate* without the resources that other findings would change, for a rule on the rest.

        *named* are the resources, by ARN in lower case, of findings of other detectors; None if unknown.
        """
        return candidate

    @abstractmethod
    def decide(self, candidate: C, now: datetime) -> Verdict:
        """Judge one candidate: pure, and always with a reason."""

    def prepare(self, aws: Aws, candidate: C, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Return the record that `undo` will need to bring *candidate* back, as plain JSON: reads only.

        The engine stores the answer before it acts; without it there is no act. Raises CannotActError
        if the finding must stay as it is after all, NotFinishedError to go on from its memo next time, and
        ReadError (or botocore's own errors) if something could not be read.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        """
        Clean *target* up, one recorded step after the other, by an *aws* that may write.

        *record* is the answer of `prepare`. "Already gone" is success: after a lost answer it looks. Raises
        NotFinishedError where the next step has to wait for AWS, and CannotActError.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        """
        Return whether *target* is as a whole `act` leaves it, or on its way there: gone, stopped, stopping.

        The engine asks after an act that was broken off or whose answer was lost. Another resource with
        its name does not count.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def ended_otherwise(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
        """
        Return why *target* is no longer waste without the janitor's doing, if known; None if not.

        The engine asks after an act without a step recorded as done: a resource that ended by itself is
        neither reported as done, nor brought back.
        """
        return None

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return the setting without which the undo function may not bring *target* back from *record*, or "".

        A person does it then, with credentials of their own: every message about it says so.
        """
        return ""

    def reverted_arn(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return the ARN of the resource that `revert` brings back: the same, unless it
        cannot have its old name.
        """
        return target.arn

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        """
        Bring *target* back from the answer of `prepare`, after a whole `act` or a half one.

        "Already there" is success. Where "it is back" would be wrong, the answer tells the outcome in one
        sentence for the person who asked: nothing that may be secret. Raises CannotActError if it can no
        longer be brought back, and NotFinishedError where the next step has to wait for AWS.
        """
        raise NotImplementedError(f"{self.name} only advises")

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return the effect of `revert` in one clause, for the confirmation of an undo.

        Nothing is read, nothing secret is shown. Raises CannotActError where nothing comes back.
        """
        return f"{target.name} is brought back, and costs again"

    def undo_needs(self, target: Target, record: Mapping[str, Any]) -> tuple[str, ...]:
        """
        Return the ARNs of other resources that *record* of an act on *target* needs,
        and that the act leaves.
        """
        return ()

    def may_be_needed(self, candidate: C) -> str | None:
        """Return why an undo may need *candidate*, as far as that is known without the ledger, or None."""
        return None

    def never_acts(self) -> str | None:
        """Return why it would not act on anything with its current tunables, or None."""
        return None

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Return whether *arn* is of one of its `kinds`. Other services have an endpoint or a cluster too."""
        return arn.kind in cls.kinds and arn.service == KIND_SERVICES.get(arn.kind, "sagemaker")

    @classmethod
    def summary(cls) -> str:
        return (cls.__doc__ or "").strip().splitlines()[0].strip()


# --- roles that the undo may hand over ------------------------------------------------------------
#
# The setting `undo_roles` limits these roles.

PASS_ROLE = "iam:PassRole"  # noqa: S105 - an action
PASSED_TO_SAGEMAKER = (Condition("StringEquals", "iam:PassedToService", ("sagemaker.amazonaws.com",)),)


def pass_role_grants(roles: Sequence[str], *, source: str) -> tuple[Grant, ...]:
    """Return the permissions to hand each of *roles* (ARNs, or globs over them) to SageMaker."""
    return tuple(implied_grant(PASS_ROLE, on=role, source=source, when=PASSED_TO_SAGEMAKER) for role in roles)


def key_grant(source: str) -> Grant:
    """Return the permission to have SageMaker use the KMS key of a created resource."""
    for_aws = Condition("Bool", "kms:GrantIsForAWSResource", ("true",))
    return implied_grant("kms:CreateGrant", on="key/*", source=source, when=(for_aws,))


EXACT_ROLE = re.compile(r"[\w:+=,.@/-]+", re.ASCII)
"""An ARN that means only itself in `undo_roles`. A path may hold * and ?, which match other roles too."""


def missing_role_setting(roles: Sequence[str], role: str) -> str:
    """Return the setting that lets the undo function hand over *role*; "" if *roles* list it."""
    if not role or any(
        fnmatchcase(_without_partition(role), _without_partition(allowed)) for allowed in roles
    ):
        return ""
    if not EXACT_ROLE.fullmatch(role):
        return "undo_roles in janitor to its role, once that has a path of letters, digits and +=,.@_-/ alone"
    return f"undo_roles = [{quote_toml(role)}] in janitor"


def call_passing_role(call: Callable[[], object], role: str) -> None:
    """Make *call*, which hands *role* to SageMaker. Raises CannotActError if AWS refuses PassRole."""
    try:
        call()
    except Exception as error:
        if not is_refusal(error, ("AccessDeniedException", "AccessDenied"), PASS_ROLE):
            raise
        raise CannotActError(
            f"not authorized to perform {PASS_ROLE} on its role {role}: list that in undo_roles, or have it "
            "undone by hand by somebody who is"
        ) from error


def _without_partition(arn: str) -> str:
    """
    Return *arn* from its service on: a stack grants ARNs of the standard partition
    in its own partition.
    """
    return arn.split(":", 2)[-1]


# --- advisers on families of training jobs --------------------------------------------------------


@dataclass(frozen=True)
class FamilyAdviser(Detector[JobFamily]):
    """The base of detectors of families of jobs that completed within *window*."""

    kinds = (TRAINING_JOB.type,)
    reads = (
        *(allow(action, on=resource) for action, resource in FAMILY_CALLS),
        *(allow(action) for action in (GET_PRODUCTS, tags.GET_RESOURCES)),
    )

    window: Constant[timedelta] = timedelta(days=60)

    def find(self, aws: Aws, now: datetime) -> Iterator[JobFamily]:
        """Read every family, from one search over all jobs."""
        return read_job_families(aws, now - self.window, now)

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the family *name*, which has a `*`; jobs have none."""
        yield from super().find_called(aws, name, now) if "*" in name else ()

    def look(self, aws: Aws, target: Target, now: datetime) -> JobFamily | None:
        """
        Read the family *target*, or the family of the job *target*; None if it completed no job.

        The tags of its newest job are read by ARN: Search's index lags behind.
        """
        arn = target.arn.lower()

        def arns(family: JobFamily) -> Iterator[str]:
            yield from (family.target.arn, family.target.arn.rpartition("~")[0])
            yield from (job.target.arn for job in family.jobs)

        same = (family for family in self.find(aws, now) if arn in map(str.lower, arns(family)))
        if (family := next(same, None)) is None:
            return None
        newest = family.newest.target.arn
        return replace(
            family, target=replace(family.target, tags=tags.read_tags_of(aws, [newest]).of(newest))
        )
