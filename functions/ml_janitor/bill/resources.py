"""What the janitor knows of what is billed: runs, owners, findings, what it ended itself and so saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.acting import savings
from ml_janitor.aws import runs
from ml_janitor.aws.metrics import GET_METRIC_DATA
from ml_janitor.bill import requests
from ml_janitor.bill.joining import Resource
from ml_janitor.bill.model import UNTAGGED, ZERO, Bill, Gap, GapCause, Reading
from ml_janitor.bill.movements import Culprit
from ml_janitor.core.job_families import family
from ml_janitor.core.model import Finding, Kept, Target
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Value
from ml_janitor.engine.detector import allow
from ml_janitor.ledger.action import Stage

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.aws.runs import Used
    from ml_janitor.config.sections import BillSection
    from ml_janitor.engine.detector import Detector, Grant
    from ml_janitor.engine.policy import Policy
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.entries import Entry

BILLED = frozenset(
    {"training-job", "processing-job", "transform-job", "endpoint", "notebook-instance", "app"}
)
"""Kinds of resources whose runs are known."""

READS: tuple[Grant, ...] = (*(allow(*call) for call in runs.CALLS), *requests.READS)
"""What reading them calls in each region."""


class BilledResources:
    """Reads what ran and how often endpoints were called, to explain what moved the bill."""

    name, reads, cleanup = "bill", READS, None

    @classmethod
    def summary(cls) -> str:
        """One line, for the description of its role."""
        return (cls.__doc__ or "").strip()


def bill_readers(section: BillSection) -> list[BilledResources]:
    """What the accounts of an organization grant a role for, where its bill is read."""
    return [BilledResources()] if section.enabled else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    What is known of a resource besides what it used, from a sweep or from the ledger.

    *since* is since when it is waste, *finding* the finding's id; both empty where it is none. *used* is
    whether a sweep saw that somebody uses it, *acted* whether the janitor ended it.
    """

    detector: str
    finding: str = ""
    since: datetime | None = None
    used: bool = False
    acted: bool = False
    ended: datetime | None = None
    owner: str | None = None


def judging[D: (Detector[Any], type[Detector[Any]])](detectors: Iterable[D]) -> list[D]:
    """Those of *detectors* that judge what is billed by the hour, and would end it."""
    return [
        one
        for one in detectors
        if one.cleanup is not None and not one.cleanup.effect.stays and not BILLED.isdisjoint(one.kinds)
    ]


def judged(results: Iterable[Result]) -> Mapping[str, Judged]:
    """What a sweep says of each resource, by its ARN in lower case."""
    found: dict[str, Judged] = {}
    for one in results:
        arn, verdict = one.target.arn.lower(), one.verdict
        if isinstance(verdict, Finding):
            found[arn] = Judged(
                detector=one.detector, finding=one.target.key, since=verdict.since, owner=one.owner
            )
        elif arn not in found:
            found[arn] = Judged(detector=one.detector, used=_in_use(verdict), owner=one.owner)
    return found


def acted(actions: Iterable[Action], registry: Iterable[type[Detector[Any]]]) -> Mapping[str, Judged]:
    """What the detectors of *registry* ended, and nobody took back, by ARN in lower case."""
    ending = {one.name for one in judging(registry)}
    return {
        one.target.arn.lower(): Judged(
            detector=one.detector, finding=one.id, since=one.warned, acted=True, ended=one.ended
        )
        for one in actions
        if one.detector in ending and one.stage is Stage.ACTED and one.over is None
    }


def remembered(entries: Iterable[Entry]) -> Mapping[str, Judged]:
    """What the ledger says of open findings, by ARN in lower case."""
    return {
        one.key.rpartition("@")[0].lower(): Judged(
            detector=one.detector, finding=one.id, since=one.since or one.first_seen, owner=one.owner
        )
        for one in entries
        if one.closed is None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What actions saved, by UTC day, and in the calendar month, in all and by account."""

    by_day: Mapping[date, Decimal] = field(default_factory=dict)
    this_month: Decimal = ZERO
    by_account: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(
        cls, actions: Sequence[Action], bill: Bill, *, now: datetime, time_zone: str, accounts: bool = False
    ) -> Savings:
        """What *actions* saved in the days of *bill*, and in the month of *now*; if asked, by *accounts*."""
        by_account: dict[str, list[Action]] = {}
        for one in actions if accounts else ():
            by_account.setdefault(one.target.account, []).append(one)

        def saved(some: Iterable[Action]) -> Decimal:
            return savings.saved(some, now=now, time_zone=time_zone).usd

        return cls(
            by_day=savings.by_day(actions, bill.first, now),
            this_month=saved(actions),
            by_account={account: saved(own) for account, own in sorted(by_account.items())},
        )


def _in_use(verdict: Kept) -> bool:
    """Whether a metric of what was kept counted something."""
    return not verdict.unknown and any(
        seen.source == GET_METRIC_DATA and isinstance(seen.value, int | float) and seen.value > 0
        for seen in verdict.evidence
    )


@dataclass(frozen=True, slots=True)
class Known:
    """The resources of an account, and what could not be read of them."""

    resources: tuple[Resource, ...] = ()
    gaps: tuple[Gap, ...] = ()


def known(
    regions: Sequence[Aws],
    *,
    since: datetime,
    now: datetime,
    tag: str,
    policy: Policy,
    verdicts: Mapping[str, Judged],
) -> Known:
    """
    What ran in *regions* at any time from *since* to *now*, with what is known of it.

    *tag* is the key that the bill is divided by, *verdicts* what was judged, by ARN in lower case.
    """
    resources: list[Resource] = []
    gaps: list[Gap] = []
    for aws in regions:
        listed = runs.used(aws, since, now)
        called = requests.requests(aws, listed.items, since, now)
        resources += (
            replace(_resource(one, tag, policy, verdicts), requests=called.by_arn.get(one.target.arn, ()))
            for one in listed.items
        )
        gaps += (
            Gap(reading=reading, cause=GapCause.FAILED, subject=aws.region, detail=error)
            for reading, error in ((Reading.RESOURCES, listed.error), (Reading.REQUESTS, called.error))
            if error is not None
        )
    return Known(tuple(resources), tuple(gaps))


def _resource(one: Used, tag: str, policy: Policy, verdicts: Mapping[str, Judged]) -> Resource:
    target = one.target
    verdict = verdicts.get(target.arn.lower(), Judged(detector=""))
    waste_since = verdict.since if verdict.finding else None
    return Resource(
        culprit=Culprit(
            arn=target.arn,
            name=target.name,
            kind=target.kind,
            owner=verdict.owner or policy.owner(target),
            since=waste_since or _begun(one),
            ended=verdict.ended or one.ended,
            detector=verdict.detector if verdict.finding else "",
            finding=verdict.finding,
            acted=verdict.acted,
            used=verdict.used,
        ),
        runs=one.runs,
        tag=_value(target, tag),
        family=family(target.name),
    )


def _begun(one: Used) -> datetime | None:
    """When it was made; of a job, when it first ran."""
    return one.runs[0].start if one.target.kind.endswith("-job") else one.target.created


def _value(target: Target, tag: str) -> str | None:
    """The value of *tag* as the bill has it: its key is matched with its capitals, as AWS bills it."""
    if not isinstance(target.tags, Value):
        return UNTAGGED
    return target.tags.value.get(tag, UNTAGGED)
