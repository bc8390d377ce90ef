"""Training plans: GPU capacity that was paid for in advance, and that nothing has used so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.calls import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import DescribedResources, describe_all
from ml_janitor.aws.sagemaker_kinds import (
    CLUSTER,
    ENDPOINT,
    SAGEMAKER_PAGE,
    SEARCH,
    TRAINING_JOB,
    TRAINING_PLAN,
    SageMakerKind,
    list_kind,
    texts_in,
)
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Change,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import format_usd
from ml_janitor.engine.detector import Constant, Detector, allow

_USERS_BY_PLAN: Mapping[str, tuple[SageMakerKind, str]] = {
    "training-job": (TRAINING_JOB, "TrainingPlanArnEquals"),
    "hyperpod-cluster": (CLUSTER, "TrainingPlanArn"),
}
"""Target resources whose List operation takes a plan, with the member of the request that names it."""

_ENDPOINT_TARGET = "endpoint"
_RESERVATION = "MlReservationArn"


@dataclass(frozen=True, slots=True)
class CapacityBlock:
    """A time for which a plan holds so many *instances* of one *type*."""

    start: datetime
    end: datetime
    instances: int
    type: str

    def instance_time(self, until: datetime) -> timedelta:
        """Return the time of all its instances together, as far as it lies before *until*."""
        return self.instances * max(min(self.end, until) - self.start, timedelta())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(Candidate):
    """
    A training plan with its *blocks* of capacity; one that AWS says nothing of has none.

    *targets* are the kinds that may run on it, *in_use* is the number of its instances in use now, *fee*
    its price in US dollars. *user* is a resource that names it, of those kinds whose listings tell.
    """

    status: str
    starts: datetime | None
    ends: datetime | None
    in_use: int | None
    fee: Decimal | None
    targets: tuple[str, ...]
    blocks: tuple[CapacityBlock, ...]
    user: Signal[str] = field(default_factory=NotRead)


@dataclass(frozen=True)
class UnusedTrainingPlans(Detector[TrainingPlan]):
    """
    Finds training plans that were paid for and that nothing has used since they began.

    A plan costs the same whether it is used or not, and AWS has no call that gives it back: there is nothing
    to save, only something to use.
    """

    name = "unused-training-plans"
    schedule = "cron(35 6 * * ? *)"
    kinds = (TRAINING_PLAN.type,)
    asks_for = Change.LIMIT
    reads = (
        *(allow(kind.lists) for kind in (TRAINING_PLAN, TRAINING_JOB, CLUSTER, ENDPOINT)),
        allow(SEARCH),
        allow(ENDPOINT.describes, on=ENDPOINT.every),
        allow(tags.GET_RESOURCES),
        allow(tags.LIST_TAGS, on=TRAINING_PLAN.every),
    )

    unused_for: Constant[timedelta] = timedelta(days=1)  # time to start the first job

    def find(self, aws: Aws, now: datetime) -> Iterator[TrainingPlan]:
        """Yield every plan; those that may be unused also with a resource that names them."""
        book = tags.read_tag_book(aws, f"sagemaker:{TRAINING_PLAN.type}")
        plans = list_kind(aws, TRAINING_PLAN, partial(_plan, aws, book))
        open_plans = [plan for plan in plans.items if self.settled(plan, now) is None]
        serve = any(_ENDPOINT_TARGET in plan.targets for plan in open_plans)
        endpoints = describe_all(aws, ENDPOINT) if serve else Listing(())
        users = aws.map(lambda plan: _user(aws, plan, endpoints), open_plans)
        read = dict(zip((plan.target.arn for plan in open_plans), users, strict=True))
        for plan in plans.items:
            yield replace(plan, user=read.get(plan.target.arn, plan.user))
        plans.check()

    def decide(self, candidate: TrainingPlan, now: datetime) -> Verdict:
        """Judge a plan: at most likely, since a deleted user leaves no trace."""
        rule = Rule()
        capacity = [
            f"{block.instances} {block.type} until {block.end:%Y-%m-%d}" for block in candidate.blocks
        ]
        rule.saw(
            Evidence("capacity", ", ".join(capacity) or "unknown", source=TRAINING_PLAN.lists),
            Evidence("status", candidate.status, source=TRAINING_PLAN.lists),
        )
        if candidate.fee is not None:
            rule.saw(Evidence("paid in advance", format_usd(candidate.fee), source=TRAINING_PLAN.lists))
        if (settled := self.settled(candidate, now)) is not None:
            why, unknown = settled
            return rule.unknown(why) if unknown else rule.kept(why)
        rule.saw(as_evidence("used by", candidate.user))
        match candidate.user:
            case Value(user):
                return rule.kept(f"{user} names it")
            case Absent():
                pass
            case unread:
                error = getattr(unread, "error", "not read")
                return rule.unknown(f"whether anything names it could not be read ({error})")
        unlisted = sorted({*candidate.targets} - {*_USERS_BY_PLAN, _ENDPOINT_TARGET})
        if unlisted or not candidate.targets:
            what = " and ".join(unlisted) or "unknown resources"
            return rule.unknown(f"it is for {what}, and no listing tells which of them ran on it")
        began = candidate.starts or now
        return rule.found(
            f"it has been active for {format_age(now - began)}, no instance is in use, and no"
            f" {' or '.join(target.replace('-', ' ') for target in candidate.targets)} names it",
            Confidence.LIKELY,
            action=f"run work on it before it ends{_until(candidate)}, and do not extend it: AWS has no call"
            " that gives a plan back",
            cost=_wasted(candidate, now),
            since=began,
            noun="unused training plan",
            to_prove="that no job, cluster or endpoint that has been deleted since used it",
        )

    def settled(self, plan: TrainingPlan, now: datetime) -> tuple[str, bool] | None:
        """Return why the listing alone decides, and whether for lack of data; None if it does not."""
        if plan.status != "Active":
            return f"its status is {plan.status}", False
        if plan.starts is None or plan.in_use is None:
            return "the listing lacks its start or the number of instances in use", True
        if plan.in_use:
            return f"instances in use: {plan.in_use}", False
        if (age := now - plan.starts) < self.unused_for:
            return f"it began {format_age(age)} ago; judged from {format_age(self.unused_for)} on", False
        return None


def _plan(aws: Aws, book: tags.TagBook, entry: Mapping[str, Any]) -> TrainingPlan:
    """Return a listed plan. It has no creation time: its start tells it from another of its name."""
    arn, starts = entry["TrainingPlanArn"], entry.get("StartTime")
    return TrainingPlan(
        target=tags.target_in(
            aws, arn, entry["TrainingPlanName"], TRAINING_PLAN.type, starts, tags=book.of(arn)
        ),
        status=entry["Status"],
        starts=starts,
        ends=entry.get("EndTime"),
        in_use=entry.get("InUseInstanceCount"),
        fee=_dollars(entry),
        targets=tuple(entry.get("TargetResources", ())),
        blocks=tuple(_blocks(entry.get("ReservedCapacitySummaries", ()))),
    )


def _blocks(summaries: Sequence[Mapping[str, Any]]) -> Iterator[CapacityBlock]:
    for block in summaries:
        if "StartTime" in block and "EndTime" in block:
            yield CapacityBlock(
                block["StartTime"], block["EndTime"], block["TotalInstanceCount"], block["InstanceType"]
            )


def _dollars(entry: Mapping[str, Any]) -> Decimal | None:
    """Return the fee, which AWS writes as text; None if it is unknown or in another currency."""
    try:
        return Decimal(entry["UpfrontFee"]) if entry.get("CurrencyCode") == "USD" else None
    except (KeyError, InvalidOperation):
        return None


def _user(aws: Aws, plan: TrainingPlan, endpoints: DescribedResources) -> Signal[str]:
    """Return a resource that names *plan*, of the kinds that it is for and whose listings tell."""
    reads: list[Signal[str]] = []
    for target in plan.targets:
        if target == _ENDPOINT_TARGET:
            reads.append(_endpoint_on(plan.target.arn, endpoints))
        elif target in _USERS_BY_PLAN:
            kind, member = _USERS_BY_PLAN[target]
            reads.append(_first_named(aws, kind, **{member: plan.target.arn}))
    reads.sort(key=lambda read: (not isinstance(read, Value), not isinstance(read, Unreadable)))
    return reads[0] if reads else Absent(TRAINING_PLAN.lists)


def _first_named(aws: Aws, kind: SageMakerKind, **query: str) -> Signal[str]:
    """Return the first resource that a listing with *query* holds: pages may be empty before it."""

    def first() -> str | None:
        pages = aws.pages(kind.lists, SAGEMAKER_PAGE, **query)
        return next((kind.name_of(entry) for page in pages for entry in page[kind.members]), None)

    match read_signal(first, source=kind.lists):
        case Value(str(name)):
            return Value(f"{kind.words} {name}", kind.lists)
        case Unreadable() as unread:
            return unread
        case _:
            return Absent(kind.lists)


def _endpoint_on(plan: str, endpoints: DescribedResources) -> Signal[str]:
    """
    Return an endpoint that names *plan* as its reservation.

    Reservations that are not training plans may be shares of one, and an endpoint that is being created
    names nothing yet: in both cases nobody can tell.
    """
    unclear = None if endpoints.error is None else Unreadable(endpoints.error, ENDPOINT.lists)
    for target, described in endpoints.items:
        if isinstance(described, Unreadable):
            unclear = described
        if not isinstance(described, Value):
            continue
        reservations = {arn.lower() for arn in texts_in(described.value, _RESERVATION)}
        if plan.lower() in reservations:
            return Value(f"endpoint {target.name}", ENDPOINT.describes)
        if any(f":{TRAINING_PLAN.type}/" not in arn for arn in reservations):
            unclear = Unreadable(f"endpoint {target.name} names another reservation", ENDPOINT.describes)
        if described.value["EndpointStatus"] == "Creating":
            unclear = Unreadable(f"endpoint {target.name} is being created", ENDPOINT.describes)
    return unclear or Absent(ENDPOINT.describes)


def _wasted(plan: TrainingPlan, now: datetime) -> Cost:
    """Return the part of the fee that paid for instance hours that have passed: lost, and no saving."""
    bought = sum((block.instance_time(block.end) for block in plan.blocks), timedelta())
    passed = sum((block.instance_time(now) for block in plan.blocks), timedelta())
    lost = None if plan.fee is None or not bought else plan.fee * Decimal(str(passed / bought))
    return Cost(accrued_usd=lost, source="UpfrontFee of the plan", until=plan.ends)


def _until(plan: TrainingPlan) -> str:
    return "" if plan.ends is None else f" on {plan.ends:%Y-%m-%d %H:%M} UTC"
