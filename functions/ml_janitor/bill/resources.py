"""Gathers the facts about billed resources: runs, owners, findings, the janitor's actions and savings."""

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
from ml_janitor.bill.joining import BillResource
from ml_janitor.bill.model import UNTAGGED_VALUE, ZERO, Bill, BillGap, BillReading, GapCause
from ml_janitor.bill.movements import Culprit
from ml_janitor.core.job_families import family_name
from ml_janitor.core.model import Finding, Kept, Target
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Value
from ml_janitor.engine.detector import allow
from ml_janitor.ledger.action import Stage

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.aws.runs import UsedResource
    from ml_janitor.config.sections import BillSection
    from ml_janitor.engine.detector import Detector, Grant
    from ml_janitor.engine.policy import RunPolicy
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.entries import Entry

BILLED_KINDS = frozenset(
    {"training-job", "processing-job", "transform-job", "endpoint", "notebook-instance", "app"}
)
"""Kinds of resources whose runs are known."""

RESOURCE_READS: tuple[Grant, ...] = (*(allow(*call) for call in runs.RUN_READS), *requests.REQUEST_READS)
"""The permissions to read them in each region."""


class BilledResources:
    """Reads what ran and how often endpoints were called, to explain what moved the bill."""

    name, reads, cleanup = "bill", RESOURCE_READS, None

    @classmethod
    def summary(cls) -> str:
        """Return one line, for the description of its role."""
        return (cls.__doc__ or "").strip()


def bill_readers(section: BillSection) -> list[BilledResources]:
    """Return the readers for which an organization's accounts grant a role, if its bill is read."""
    return [BilledResources()] if section.enabled else []


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """
    Facts about a resource besides its use, from a sweep or from the ledger.

    *since* is when its waste began, *finding* the finding's id; both empty without a finding. *used* tells
    whether a sweep saw that somebody uses it, *acted* whether the janitor ended it.
    """

    detector: str
    finding: str = ""
    since: datetime | None = None
    used: bool = False
    acted: bool = False
    ended: datetime | None = None
    owner: str | None = None


def hourly_detectors[D: (Detector[Any], type[Detector[Any]])](detectors: Iterable[D]) -> list[D]:
    """Return the *detectors* that judge resources billed by the hour, and would end them."""
    return [
        detector
        for detector in detectors
        if detector.cleanup is not None
        and not detector.cleanup.effect.stays
        and not BILLED_KINDS.isdisjoint(detector.kinds)
    ]


def facts_from_sweep(results: Iterable[Result]) -> Mapping[str, ResourceFacts]:
    """Return a sweep's facts about each resource, by its ARN in lower case."""
    found: dict[str, ResourceFacts] = {}
    for result in results:
        arn, verdict = result.target.arn.lower(), result.verdict
        if isinstance(verdict, Finding):
            found[arn] = ResourceFacts(
                detector=result.detector, finding=result.target.key, since=verdict.since, owner=result.owner
            )
        elif arn not in found:
            found[arn] = ResourceFacts(detector=result.detector, used=_in_use(verdict), owner=result.owner)
    return found


def facts_from_actions(
    actions: Iterable[Action], registry: Iterable[type[Detector[Any]]]
) -> Mapping[str, ResourceFacts]:
    """Return the resources that detectors of *registry* ended and nobody restored, by ARN in lower case."""
    ending = {detector.name for detector in hourly_detectors(registry)}
    return {
        action.target.arn.lower(): ResourceFacts(
            detector=action.detector, finding=action.id, since=action.warned, acted=True, ended=action.ended
        )
        for action in actions
        if action.detector in ending and action.stage is Stage.ACTED and action.over is None
    }


def facts_from_ledger(entries: Iterable[Entry]) -> Mapping[str, ResourceFacts]:
    """Return the ledger's facts about open findings, by ARN in lower case."""
    return {
        entry.key.rpartition("@")[0].lower(): ResourceFacts(
            detector=entry.detector,
            finding=entry.id,
            since=entry.since or entry.first_seen,
            owner=entry.owner,
        )
        for entry in entries
        if entry.closed is None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSavings:
    """The savings of actions, by UTC day, and in the calendar month, in all and by account."""

    by_day: Mapping[date, Decimal] = field(default_factory=dict)
    this_month: Decimal = ZERO
    by_account: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(
        cls, actions: Sequence[Action], bill: Bill, *, now: datetime, time_zone: str, accounts: bool = False
    ) -> ActionSavings:
        """
        Compute the savings of *actions* in the days of *bill* and the month of *now*;
        optionally by account.
        """
        by_account: dict[str, list[Action]] = {}
        for action in actions if accounts else ():
            by_account.setdefault(action.target.account, []).append(action)

        def saved(chosen: Iterable[Action]) -> Decimal:
            return savings.sum_savings(chosen, now=now, time_zone=time_zone).usd

        return cls(
            by_day=savings.savings_by_day(actions, bill.first, now),
            this_month=saved(actions),
            by_account={account: saved(own) for account, own in sorted(by_account.items())},
        )


def _in_use(verdict: Kept) -> bool:
    """Return whether a metric of a kept resource counted something."""
    return not verdict.unknown and any(
        seen.source == GET_METRIC_DATA and isinstance(seen.value, int | float) and seen.value > 0
        for seen in verdict.evidence
    )


@dataclass(frozen=True, slots=True)
class KnownResources:
    """The resources of an account, and the gaps in reading them."""

    resources: tuple[BillResource, ...] = ()
    gaps: tuple[BillGap, ...] = ()


def read_known_resources(
    regions: Sequence[Aws],
    *,
    since: datetime,
    now: datetime,
    tag: str,
    policy: RunPolicy,
    verdicts: Mapping[str, ResourceFacts],
) -> KnownResources:
    """
    Return the resources that ran in *regions* at any time from *since* to *now*, with the facts about them.

    *tag* is the key that divides the bill, *verdicts* are the judged resources, by ARN in lower case.
    """
    resources: list[BillResource] = []
    gaps: list[BillGap] = []
    for aws in regions:
        listed = runs.list_used_resources(aws, since, now)
        called = requests.read_requests(aws, listed.items, since, now)
        resources += (
            replace(
                _resource(resource, tag, policy, verdicts),
                requests=called.by_arn.get(resource.target.arn, ()),
            )
            for resource in listed.items
        )
        gaps += (
            BillGap(reading=reading, cause=GapCause.FAILED, subject=aws.region, detail=error)
            for reading, error in (
                (BillReading.RESOURCES, listed.error),
                (BillReading.REQUESTS, called.error),
            )
            if error is not None
        )
    return KnownResources(tuple(resources), tuple(gaps))


def _resource(
    resource: UsedResource, tag: str, policy: RunPolicy, verdicts: Mapping[str, ResourceFacts]
) -> BillResource:
    target = resource.target
    verdict = verdicts.get(target.arn.lower(), ResourceFacts(detector=""))
    waste_since = verdict.since if verdict.finding else None
    return BillResource(
        culprit=Culprit(
            arn=target.arn,
            name=target.name,
            kind=target.kind,
            owner=verdict.owner or policy.owner(target),
            since=waste_since or _begun(resource),
            ended=verdict.ended or resource.ended,
            detector=verdict.detector if verdict.finding else "",
            finding=verdict.finding,
            acted=verdict.acted,
            used=verdict.used,
        ),
        runs=resource.runs,
        tag=_value(target, tag),
        family=family_name(target.name),
    )


def _begun(resource: UsedResource) -> datetime | None:
    """Return when it was made; for a job, when it first ran."""
    return resource.runs[0].start if resource.target.kind.endswith("-job") else resource.target.created


def _value(target: Target, tag: str) -> str | None:
    """Return the value of *tag* as in the bill: the key is matched with its capitals, as AWS bills it."""
    if not isinstance(target.tags, Value):
        return UNTAGGED_VALUE
    return target.tags.value.get(tag, UNTAGGED_VALUE)
