"""
Computes unit costs: of 1,000 requests to an endpoint or a model, of a job, of a job of a family. Pure.

The dollars are those of the bill: each run has its share of its line, and all together never more than the
line. The units are measured. Unmeasured usage has no units, never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from ml_janitor.aws.runs import ResourceRun
from ml_janitor.aws.usage_types import region_of_usage
from ml_janitor.bill.attribution import AMOUNT_PRECISION
from ml_janitor.bill.joining import BillResource, VariantRequests, units_in_span
from ml_janitor.bill.model import ZERO, Charge, DaySpan

UNIT_ORDER = ("endpoint", "model", "family", "job")
MOST_JOBS = 50
"""The dearest jobs that are listed one by one; all are in their family."""


class UnitNote(StrEnum):
    """A note on the cost of a unit."""

    COMPONENTS = "inference components"
    """Inference components share the endpoint's instances: none of their models has a cost of its own."""
    MANY_MODELS = "many models"
    """A multi-model endpoint: its one SageMaker model loads many, and none of them has a cost of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """
    The cost of one unit in a span: *usd* for *units* ("requests" of an endpoint or model, "jobs" of a
    family).

    *kind* is "endpoint", "model", "family" or "job", and *resource* the kind of resource in ARNs. *units*
    is None if unreadable.
    """

    kind: str
    name: str
    usd: Decimal
    units: int | None
    unit: str
    resource: str = ""
    region: str = ""
    account: str = ""
    notes: tuple[UnitNote, ...] = ()

    @property
    def per(self) -> int:
        """Return the number of units that the shown cost is for."""
        return 1000 if self.unit == "requests" else 1

    @property
    def per_unit(self) -> Decimal | None:
        """Return dollars for a job, or for 1,000 requests; None if there were none, or if unknown."""
        return self.usd * self.per / self.units if self.units else None


@dataclass(slots=True)
class _Sum:
    """The sums of one name. *units* is None once any of them could not be read."""

    usd: Decimal = ZERO
    units: int | None = 0
    notes: set[UnitNote] = field(default_factory=set)

    def count(self, units: int | None) -> None:
        self.units = None if units is None or self.units is None else self.units + units


type _Key = tuple[str, str, str, str, str]
"""Kind of unit, region, kind of resource, name, account."""


def unit_costs(
    charges: Iterable[Charge], span: DaySpan, resources: Sequence[BillResource]
) -> tuple[UnitCost, ...]:
    """
    Return the unit costs of *resources* in *span*: by endpoint, model, family and job, the dearest first.

    *charges* are by usage type, without tags. Resources without a charge are left out.
    """
    prices = _prices(charges, span, resources)
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for resource in resources:
        shares = [
            (
                run,
                (units_in_span(run, span) * prices.get(run.usage_type, ZERO)).quantize(
                    AMOUNT_PRECISION, ROUND_DOWN
                ),
            )
            for run in resource.runs
        ]
        if resource.culprit.kind == "endpoint":
            _endpoint(resource, shares, span, sums)
        elif resource.culprit.kind.endswith("-job"):
            _job(resource, sum((usd for _, usd in shares), ZERO), sums)
    return tuple(_listed(sums))


def _prices(
    charges: Iterable[Charge], span: DaySpan, resources: Iterable[BillResource]
) -> Mapping[str, Decimal]:
    """
    Return dollars for a unit of each usage type: its charge, divided by the billed or the known usage.

    The larger usage counts: so no line is shared out twice, if more usage is known than was charged.
    """
    usd: dict[str, Decimal] = defaultdict(Decimal)
    charged: dict[str, Decimal] = defaultdict(Decimal)
    ran: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        if charge.day in span:
            usd[charge.usage_type] += charge.usd
            charged[charge.usage_type] += charge.quantity
    for run in (run for resource in resources for run in resource.runs):
        ran[run.usage_type] += units_in_span(run, span)
    return {
        usage: dollars / max(charged[usage], ran[usage])
        for usage, dollars in usd.items()
        if dollars > 0 and charged[usage] > 0
    }


def _endpoint(
    endpoint: BillResource,
    shares: Sequence[tuple[ResourceRun, Decimal]],
    span: DaySpan,
    sums: dict[_Key, _Sum],
) -> None:
    """Add an endpoint's cost and production requests; a model's requests also include shadow copies."""
    where = region_of_usage(endpoint.runs[0].usage_type) if endpoint.runs else ""
    whole = sums["endpoint", where, endpoint.culprit.kind, endpoint.culprit.name, endpoint.culprit.account]
    whole.usd += sum((usd for _, usd in shares), ZERO)
    models = {run.model for run in endpoint.runs}
    if "" in models:
        whole.notes.add(UnitNote.COMPONENTS)
    if any(meter.many_models for meter in endpoint.requests):
        whole.notes.add(UnitNote.MANY_MODELS)
    of_model = {
        model: sums["model", where, "model", model, endpoint.culprit.account] for model in models if model
    }
    for run, usd in shares:
        if run.model:
            of_model[run.model].usd += usd
    if not endpoint.requests:
        for line in (whole, *of_model.values()):
            line.count(None)
    for meter in endpoint.requests:
        own = [run for run in endpoint.runs if run.variant == meter.variant]
        if not meter.shadow:
            whole.count(meter.within(span))
        for model in {run.model for run in own if run.model}:
            of_model[model].count(_served(meter, own, model, span))
            of_model[model].notes |= {UnitNote.MANY_MODELS} if meter.many_models else set()


def _served(meter: VariantRequests, runs: Sequence[ResourceRun], model: str, span: DaySpan) -> int | None:
    """
    Count the requests of *meter* that *model* served: a point counts for the last run
    begun before its end.
    """
    if meter.points is None:
        return None
    begun = sorted(runs, key=lambda run: run.start)
    served = 0.0
    for at, count in meter.points:
        if at.date() in span:
            before = [run for run in begun if run.start < at + timedelta(seconds=meter.period)]
            served += count if (before or begun)[-1 if before else 0].model == model else 0
    return round(served)


def _job(job: BillResource, usd: Decimal, sums: dict[_Key, _Sum]) -> None:
    if not usd:
        return
    where = region_of_usage(job.runs[0].usage_type)
    named = {"family": job.family or job.culprit.name, "job": job.culprit.name}
    for kind, name in named.items():
        own = sums[kind, where, job.culprit.kind, name, job.culprit.account]
        own.usd += usd
        own.count(1)


def _listed(sums: Mapping[_Key, _Sum]) -> Iterator[UnitCost]:
    """Yield the unit costs; a family with a single job is left out."""
    jobs = 0
    for key, line in sorted(
        sums.items(), key=lambda item: (UNIT_ORDER.index(item[0][0]), -item[1].usd, item[0])
    ):
        kind, where, resource, name, account = key
        jobs += kind == "job"
        if not line.usd or (kind == "family" and line.units == 1) or (kind == "job" and jobs > MOST_JOBS):
            continue
        yield UnitCost(
            kind=kind,
            name=name,
            resource=resource,
            region=where,
            account=account,
            usd=line.usd,
            units=line.units,
            unit="jobs" if kind in {"family", "job"} else "requests",
            notes=tuple(sorted(line.notes)),
        )
