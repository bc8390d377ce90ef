"""
Reads when each resource ran, and what it used: from SageMaker's listings, and from CloudTrail for deleted
ones.

A run is usage that AWS bills by the hour: an instance of a job, of an endpoint, of a notebook instance or
of a Studio app. CloudTrail remembers 90 days: when notebook instances were switched on and off, which
configuration an endpoint had, and which resources were made and deleted between two sweeps. Unreadable
usage explains no dollars: these stay unexplained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial, reduce
from sys import intern
from typing import Any

from ml_janitor.aws import sagemaker_kinds, studio_tags, tags, trail
from ml_janitor.aws import studio_apps as studio
from ml_janitor.aws.answers import Listing, error_text
from ml_janitor.aws.client import Aws
from ml_janitor.aws.event_history import RESOURCE_EVENTS, EventHistory, request_member
from ml_janitor.aws.sagemaker_kinds import (
    APP,
    ENDPOINT,
    ENDPOINT_CONFIG,
    NOTEBOOK,
    PROCESSING_JOB,
    SEARCH,
    SPACE,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
)
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.aws.usage_types import usage_prefix
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Unreadable, Value

LONGEST_TRAINING_JOB = timedelta(days=28)
"""The longest time that a training job may run; others at most five days (SageMaker's quotas)."""

MOST_DESCRIBED_JOBS = 1000
"""Processing and transform jobs that are described, the newest first: each takes a call."""

RUN_READS: tuple[tuple[str, str], ...] = (
    (SEARCH, "*"),
    *((kind.lists, "*") for kind in (ENDPOINT, NOTEBOOK, APP, PROCESSING_JOB, TRANSFORM_JOB, SPACE)),
    *((kind.describes, kind.every) for kind in (ENDPOINT, ENDPOINT_CONFIG, PROCESSING_JOB, TRANSFORM_JOB)),
    (tags.GET_RESOURCES, "*"),
    (trail.LOOKUP_EVENTS, "*"),
)
"""The calls of this reading, and their resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRun:
    """
    *hourly* units of *usage_type* in every hour from *start* until *end*; None goes on.

    For an endpoint, *variant* is the name of the variant, and *model* that of its model; "" means inference
    components. *reserved* tells that it ran on capacity that was paid for in advance.
    """

    usage_type: str
    start: datetime
    end: datetime | None = None
    hourly: Decimal = Decimal(1)
    variant: str = ""
    model: str = ""
    shadow: bool = False
    reserved: bool = False

    def units(self, begins: datetime, ends: datetime) -> Decimal:
        """Return the units from *begins* to *ends*."""
        seconds = (min(ends, self.end or ends) - max(begins, self.start)).total_seconds()
        return self.hourly * Decimal(str(max(seconds, 0.0))) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedResource:
    """A resource with its runs. *ended* is when it was deleted, stopped or completed."""

    target: Target
    runs: tuple[ResourceRun, ...]
    ended: datetime | None = None


def list_used_resources(aws: Aws, since: datetime, now: datetime) -> Listing[UsedResource]:
    """List all known usage in the account and region at any time from *since* to *now*."""
    try:
        history = EventHistory.read(aws, now)
    except Exception as error:  # also a fault of ours: the bill is reported all the same
        history = EventHistory(dict.fromkeys(RESOURCE_EVENTS, ()), error_text(error))
    readings: Sequence[Callable[[], Listing[UsedResource]]] = (
        lambda: _training_jobs(aws, since, now),
        *(partial(_jobs, aws, kind, since) for kind in BATCH_JOBS),
        lambda: _endpoints(aws, history, now),
        lambda: _notebooks(aws, history, since),
        lambda: _apps(aws, history, now),
    )
    found = [_attempted(read) for read in readings]
    whole = (resource for listing in found for resource in listing.items if resource.runs)
    return Listing.joined(whole, (history.error, *(listing.error for listing in found)))


def _attempted(read: Callable[[], Listing[UsedResource]]) -> Listing[UsedResource]:
    """Return the answer of *read*, or only its error: neither the other readings nor the bill need it."""
    try:
        return read()
    except Exception as error:  # as above
        return Listing((), error_text(error))


def _usage(aws: Aws, what: str) -> str:
    return intern(f"{usage_prefix(aws.region)}-{what}")


# --- jobs -------------------------------------------------------------------------------------


def _training_jobs(aws: Aws, since: datetime, now: datetime) -> Listing[UsedResource]:
    def read(job: Mapping[str, Any]) -> UsedResource:
        own = Value(tags.tags_of_list(job.get("Tags", ())), SEARCH)
        resources = job["ResourceConfig"]
        spot = bool(job.get("EnableManagedSpotTraining"))
        share, trained = Decimal(1), job.get("TrainingTimeInSeconds")
        if spot and trained and (billed := job.get("BillableTimeInSeconds")):
            share = Decimal(billed) / Decimal(trained)  # the saving of spot is unbilled time
        start, end = job.get("TrainingStartTime"), job.get("TrainingEndTime")
        return UsedResource(
            target=TRAINING_JOB.target(aws, job, own),
            ended=end,
            runs=tuple(
                ResourceRun(
                    usage_type=_usage(aws, f"{'TrSpt' if spot else 'Train'}:{group['InstanceType']}"),
                    start=start,
                    end=end,
                    hourly=_hourly(group["InstanceCount"], share),
                    reserved="TrainingPlanArn" in resources,
                )
                for group in (resources.get("InstanceGroups") or [resources])
                if start is not None and "InstanceType" in group
            ),
        )

    return search_training_jobs(aws, read, now, since=since - LONGEST_TRAINING_JOB)


@lru_cache(maxsize=1024)
def _hourly(instances: int, share: Decimal) -> Decimal:
    """Return cached units: thousands of jobs have the same."""
    return instances * share


BATCH_JOBS: Mapping[SageMakerKind, tuple[str, tuple[str, ...]]] = {
    PROCESSING_JOB: ("Processing", ("ProcessingResources", "ClusterConfig")),
    TRANSFORM_JOB: ("Tsform", ("TransformResources",)),
}
"""The word in the usage types of other jobs, and the path of the instances in a description."""


def _jobs(aws: Aws, kind: SageMakerKind, since: datetime) -> Listing[UsedResource]:
    (word, rented), stem = BATCH_JOBS[kind], kind.noun.removesuffix("Job")
    listed = sagemaker_kinds.list_targets(
        aws,
        kind,
        CreationTimeAfter=since - LONGEST_TRAINING_JOB,
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    newest = listed.items[:MOST_DESCRIBED_JOBS]
    book = tags.read_tags_of(aws, [target.arn for target in newest])
    answers = aws.map(lambda target: sagemaker_kinds.describe_resource(aws, kind, target.name), newest)
    found, errors = [], [listed.error, book.error]
    if len(newest) < len(listed.items):
        errors.append(f"only the newest {len(newest):,} of {len(listed.items):,} {kind.words}s were read")
    errors += [answer.error for answer in answers if isinstance(answer, Unreadable)][:1]
    for target, answer in zip(newest, answers, strict=True):
        job = answer.value if isinstance(answer, Value) else {}
        start, end = job.get(f"{stem}StartTime"), job.get(f"{stem}EndTime")
        resources: Mapping[str, Any] = reduce(lambda value, name: value.get(name) or {}, rented, job)
        if start is None or "InstanceType" not in resources:
            continue
        usage = _usage(aws, f"{word}:{resources['InstanceType']}")
        count = Decimal(resources.get("InstanceCount", 1))
        run = ResourceRun(usage_type=usage, start=start, end=end, hourly=count)
        found.append(UsedResource(target=replace(target, tags=book.of(target.arn)), runs=(run,), ended=end))
    return Listing.joined(found, errors)


# --- endpoints --------------------------------------------------------------------------------

VARIANT_MEMBERS = ("ProductionVariants", "ShadowProductionVariants")


def _endpoints(aws: Aws, history: EventHistory, now: datetime) -> Listing[UsedResource]:
    described = sagemaker_kinds.describe_all(aws, ENDPOINT)
    book = tags.read_tag_book(aws, "sagemaker:endpoint")
    current = {target.name: answer.value for target, answer in described.items if isinstance(answer, Value)}
    timelines = {target.name: list(history.configs(target, current)) for target, _ in described.items}
    gone = {target.name: target for target in history.deleted(aws, ENDPOINT)}
    timelines |= {
        name: list(history.configs(target, {})) for name, target in gone.items() if name not in timelines
    }
    names = sorted({config for line in timelines.values() for _, config in line})
    answers = aws.map(lambda name: sagemaker_kinds.describe_resource(aws, ENDPOINT_CONFIG, name), names)
    configs = {
        name: answer.value if isinstance(answer, Value) else history.config(name)
        for name, answer in zip(names, answers, strict=True)
    }
    targets = {target.name: replace(target, tags=book.of(target.arn)) for target, _ in described.items}
    found = []
    for name, line in timelines.items():
        if not line:  # not described, and older than CloudTrail's memory
            continue
        ended = None if name in targets else history.deleted_at(ENDPOINT, name)
        ends = [*(at for at, _ in line[1:]), ended]
        counts = _counts(current.get(name, {}))
        runs = tuple(
            replace(run, usage_type=_usage(aws, run.usage_type), end=end)
            for (start, config), end in zip(line, ends, strict=True)
            for run in _variants(configs[config] or {}, {} if end else counts, start)
            if run.hourly and start < now
        )
        found.append(UsedResource(target=targets.get(name) or gone[name], runs=runs, ended=ended))
    unread = [answer.error for _, answer in described.items if isinstance(answer, Unreadable)][:1]
    unread += [
        answer.error
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, Unreadable) and configs[name] is None
    ][:1]
    return Listing.joined(found, (described.error, book.error, *unread))


def _counts(endpoint: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the current instance count of each variant."""
    return {
        variant["VariantName"]: variant.get("CurrentInstanceCount", 0)
        for part in VARIANT_MEMBERS
        for variant in endpoint.get(part) or ()
    }


def _variants(config: Mapping[str, Any], counts: Mapping[str, int], start: datetime) -> Iterator[ResourceRun]:
    """Yield a configuration's runs ("Host:ml.m5.xlarge"): now with *counts*, else with its initial counts."""
    word = "AsyncInf" if request_member(config, "AsyncInferenceConfig") else "Host"
    for part in VARIANT_MEMBERS:
        for variant in request_member(config, part) or ():
            if instance := request_member(variant, "InstanceType"):
                name = str(request_member(variant, "VariantName"))
                count = int(counts.get(name, request_member(variant, "InitialInstanceCount") or 0))
                capacity = request_member(variant, "CapacityReservationConfig") or {}
                yield ResourceRun(
                    usage_type=f"{word}:{instance}",
                    start=start,
                    hourly=Decimal(count),
                    variant=name,
                    model=str(request_member(variant, "ModelName") or ""),
                    shadow=part.startswith("Shadow"),
                    reserved=bool(request_member(capacity, "MlReservationArn")),
                )


# --- notebook instances and Studio apps -------------------------------------------------------


def _notebooks(aws: Aws, history: EventHistory, since: datetime) -> Listing[UsedResource]:
    entries = sagemaker_kinds.list_kind(aws, NOTEBOOK, lambda entry: (NOTEBOOK.target(aws, entry), entry))
    book = tags.read_tag_book(aws, "sagemaker:notebook-instance")

    def ran(target: Target, instance: str, on: datetime | None = None) -> tuple[ResourceRun, ...]:
        usage = _usage(aws, f"Notebk:{instance}")
        spells = history.spells(target, on=on, since=since)
        return tuple(ResourceRun(usage_type=usage, start=start, end=end) for start, end in spells)

    found = []
    for target, entry in entries.items:
        running = entry["NotebookInstanceStatus"] in {"InService", "Pending", "Updating"}
        runs = ran(target, entry["InstanceType"], entry.get("LastModifiedTime") if running else None)
        known = replace(target, tags=book.of(target.arn))
        found.append(UsedResource(target=known, runs=runs, ended=runs[-1].end if runs else None))
    listed = {target.name for target, _ in entries.items}
    for target in history.deleted(aws, NOTEBOOK):
        instance = history.creation_member(NOTEBOOK, target.name, "InstanceType")
        if target.name not in listed and instance:
            ended = history.deleted_at(NOTEBOOK, target.name)
            found.append(UsedResource(target=target, runs=ran(target, instance), ended=ended))
    return Listing.joined(found, (entries.error, book.error))


def _apps(aws: Aws, history: EventHistory, now: datetime) -> Listing[UsedResource]:
    listed = studio.list_apps(aws)
    running = [app for app in listed.items if app.status == "InService" and app.instance_type]
    found = []
    for app in studio_tags.add_app_tags(aws, running):
        usage = _usage(aws, f"Studio:{app.type}-{app.instance_type}")
        if app.started < now:
            run = ResourceRun(usage_type=usage, start=app.started, reserved=app.reserved)
            found.append(UsedResource(target=app.target, runs=(run,)))
    for target, what, (start, end) in history.apps(aws):
        run = ResourceRun(usage_type=_usage(aws, f"Studio:{what}"), start=start, end=end)
        found.append(UsedResource(target=target, runs=(run,), ended=end))
    return Listing(tuple(found), listed.error)
