"""
Read when each resource ran, and what it used: from SageMaker's listings, and from CloudTrail for deleted
ones.

A run is usage that AWS bills by the hour: an instance of a job, of an endpoint, of a notebook instance or
of a Studio app. CloudTrail remembers 90 days: when notebook instances were switched on and off, which
configuration an endpoint had, and which resources were made and deleted between two sweeps. Unreadable
usage explains no dollars: these stay unexplained.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from statistics import median_low
from sys import intern
from typing import Any

from ml_janitor.aws import activity, sagemaker_kinds, studio_apps, tags
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import Listing, ReadError, error_text
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import (
    WantedDescription,
    configuration_key,
    describe_all,
    describe_unchanged,
    described_key,
)
from ml_janitor.aws.rented_instances import (
    RentedInstances,
    read_rented_instances,
    read_variant_instances,
)
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
from ml_janitor.aws.tags import target_in
from ml_janitor.aws.training_jobs import COMPLETED_JOB, search_training_jobs
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Target, Unreadable, Value

LONGEST_TRAINING_JOB = timedelta(days=28)
"""The longest time that a training job may run; others at most five days (SageMaker's quotas)."""

MOST_DESCRIBED_JOBS = 1000
"""Processing and transform jobs that are described, the newest first: each takes a call."""

RUN_READS: tuple[tuple[str, str], ...] = (
    (SEARCH, "*"),
    *((kind.lists, "*") for kind in (ENDPOINT, NOTEBOOK, APP, PROCESSING_JOB, TRANSFORM_JOB, SPACE)),
    *((kind.describes, kind.every) for kind in (ENDPOINT, ENDPOINT_CONFIG, PROCESSING_JOB, TRANSFORM_JOB)),
    (tags.GET_RESOURCES, "*"),
    (activity.LOOKUP_EVENTS, "*"),
)
"""The calls of this reading, and their resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRun:
    """
    *hourly* units of *usage_type* in every hour from *start* until *end*; None goes on.

    For an endpoint, *variant* is the name of the variant, and *model* that of its model; "" means inference
    components. It began with *initial* instances, each of which publishes that many *datapoints* an hour.
    *reserved* tells that it ran on capacity that was paid for in advance.
    """

    usage_type: str
    start: datetime
    end: datetime | None = None
    hourly: Decimal = Decimal(1)
    variant: str = ""
    model: str = ""
    initial: Decimal = Decimal(1)
    datapoints: int = 60
    shadow: bool = False
    reserved: bool = False

    def units(self, begins: datetime, ends: datetime) -> Decimal:
        """Return the units from *begins* to *ends*."""
        seconds = (min(ends, self.end or ends) - max(begins, self.start)).total_seconds()
        return self.hourly * Decimal(str(max(seconds, 0.0))) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedResource:
    """
    A resource with its runs. *ended* is when it was deleted, stopped or completed, *changed* when an endpoint
    was last deployed or scaled.
    """

    target: Target
    runs: tuple[ResourceRun, ...]
    ended: datetime | None = None
    changed: datetime | None = None


def list_used_resources(
    aws: Aws, since: datetime, now: datetime, charged: Collection[str] | None = None
) -> Listing[UsedResource]:
    """
    List all known usage in the account and region at any time from *since* to *now*.

    With the *charged* usage types of a bill, the kinds of resources that none of them is of are not read.
    """
    words = {without_region(usage) for usage in charged or () if region_of_usage(usage) == aws.region}
    known = charged is not None and aws.region in REGION_CODES.values()

    def pays(*of: str) -> bool:
        return not known or any(word.startswith(of) for word in words)

    nouns = [noun for noun, of in HISTORY_WORDS.items() if pays(*of)]
    try:
        history = EventHistory.read(aws, now, nouns)
    except Exception as error:  # also a fault of ours: the bill is reported all the same
        history = EventHistory(dict.fromkeys(RESOURCE_EVENTS, ()), error_text(error))
    readings: Sequence[tuple[bool, Callable[[], Listing[UsedResource]]]] = (
        (pays("Train", "TrSpt"), lambda: _training_jobs(aws, since, now)),
        *((pays(word), partial(_jobs, aws, kind, since, now)) for kind, word in BATCH_JOBS.items()),
        (ENDPOINT.noun in nouns, lambda: _endpoints(aws, history, now)),
        (NOTEBOOK.noun in nouns, lambda: _notebooks(aws, history, since)),
        (APP.noun in nouns, lambda: _apps(aws, history, now)),
    )
    found = [_attempted(read) for wanted, read in readings if wanted]
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


# --- jobs -----------------------------------------------------------------------------------------


def _training_jobs(aws: Aws, since: datetime, now: datetime) -> Listing[UsedResource]:
    def read(job: Mapping[str, Any]) -> UsedResource:
        own = Value(tags.tags_of_list(job.get("Tags", ())), SEARCH)
        spot = bool(job.get("EnableManagedSpotTraining"))
        share, trained = Decimal(1), job.get("TrainingTimeInSeconds")
        if spot and trained and (billed := job.get("BillableTimeInSeconds")):
            share = Decimal(billed) / Decimal(trained)  # the saving of spot is unbilled time
        start, end = job.get("TrainingStartTime"), job.get("TrainingEndTime")
        rented = () if start is None else read_rented_instances(TRAINING_JOB, job)
        return UsedResource(
            target=TRAINING_JOB.target(aws, job, own),
            ended=end,
            runs=tuple(
                ResourceRun(
                    usage_type=_usage(aws, f"{word}:{instances.type}"),
                    start=begun,
                    end=over,
                    hourly=_hourly(instances.count, part),
                    reserved=instances.reserved,
                )
                for instances in rented
                for word, begun, over, part in (
                    ("TrSpt" if spot else "Train", start, end, share),
                    *_warm_pool(job.get("WarmPoolStatus", {}), end),
                )
                if begun is not None
            ),
        )

    return search_training_jobs(aws, read, now, since=since - LONGEST_TRAINING_JOB)


def _warm_pool(
    pool: Mapping[str, Any], ended: datetime | None
) -> Iterator[tuple[str, datetime | None, datetime | None, Decimal]]:
    """Yield how long a job's instances were kept after it *ended*, as a run; still available, it goes on."""
    seconds = pool.get("ResourceRetainedBillableTimeInSeconds")
    if ended is not None and (seconds or pool.get("Status") == "Available"):
        yield "TrainWarmPool", ended, ended + timedelta(seconds=seconds) if seconds else None, Decimal(1)


@lru_cache(maxsize=1024)
def _hourly(instances: int, share: Decimal) -> Decimal:
    """Return cached units: thousands of jobs have the same."""
    return instances * share


BATCH_JOBS: Mapping[SageMakerKind, str] = {PROCESSING_JOB: "Processing", TRANSFORM_JOB: "Tsform"}
"""The word in the usage types of other jobs."""

type RentedTime = tuple[datetime, datetime | None, tuple[RentedInstances, ...]]
"""The start and the end of a job, and its instances by type."""


def _jobs(aws: Aws, kind: SageMakerKind, since: datetime, now: datetime) -> Listing[UsedResource]:
    word, stem = BATCH_JOBS[kind], kind.noun.removesuffix("Job")
    listed = sagemaker_kinds.list_kind(
        aws,
        kind,
        lambda entry: (kind.target(aws, entry), entry[kind.status], entry.get(f"{stem}EndTime")),
        CreationTimeAfter=since - LONGEST_TRAINING_JOB,
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    newest = listed.items[:MOST_DESCRIBED_JOBS]
    book = tags.read_tags_of(aws, [target.arn for target, _, _ in newest])
    errors = [listed.error, book.error]
    if len(newest) < len(listed.items):
        errors.append(f"only the newest {len(newest):,} of {len(listed.items):,} {kind.words}s were read")
    families: dict[str, dict[Target, datetime]] = defaultdict(dict)
    single = []
    for target, status, end in newest:
        if status == COMPLETED_JOB and end is not None:
            families[family_name(target.name)][target] = end
        else:
            single.append(target)
    samples = [target for ends in families.values() for target in _samples(ends)]
    rented, errors[len(errors) :] = _describe_jobs(aws, kind, [*single, *samples])
    unlike: list[Target] = []
    for ends in families.values():
        known = [(target, rented[target]) for target in ends if target in rented]
        rest = [target for target in ends if target not in samples]
        alike = {instances for _, (_, _, instances) in known}
        if len(alike) == 1:
            (instances,) = alike
            wait = median_low(start - (target.created or start) for target, (start, _, _) in known)
            rented |= {job: ((job.created or ends[job]) + wait, ends[job], instances) for job in rest}
        elif known:
            unlike += rest
    more, errors[len(errors) :] = _describe_jobs(aws, kind, unlike)
    rented |= more
    found = []
    for target, _, _ in newest:
        start, end, instances = rented.get(target, (now, None, ()))
        own = tuple(
            ResourceRun(
                usage_type=_usage(aws, f"{word}:{rented_part.type}"),
                start=start,
                end=end,
                hourly=Decimal(rented_part.count),
                reserved=rented_part.reserved,
            )
            for rented_part in instances
        )
        found.append(UsedResource(target=replace(target, tags=book.of(target.arn)), runs=own, ended=end))
    return Listing.joined(found, errors)


def _samples(ends: Mapping[Target, datetime]) -> Sequence[Target]:
    """
    Return the newest, the oldest and the longest other of completed jobs, which are listed newest first.

    If their instances are the same, so are those of the whole family.
    """
    newest, *others = ends
    oldest = others.pop() if others else newest
    longest = max(others, key=lambda job: ends[job] - (job.created or ends[job]), default=newest)
    return list(dict.fromkeys((newest, oldest, longest)))


def _describe_jobs(
    aws: Aws, kind: SageMakerKind, jobs: Sequence[Target]
) -> tuple[dict[Target, RentedTime], list[str]]:
    """Describe *jobs*; return the times and instances of those that started, and why some are missing."""
    stem = kind.noun.removesuffix("Job")
    answers = aws.map(lambda target: sagemaker_kinds.describe_resource(aws, kind, target.name), jobs)
    found: dict[Target, RentedTime] = {}
    problems = [answer.error for answer in answers if isinstance(answer, Unreadable)]
    for target, answer in zip(jobs, answers, strict=True):
        job = answer.value if isinstance(answer, Value) else {}
        if (start := job.get(f"{stem}StartTime")) is None:
            continue
        try:
            found[target] = start, job.get(f"{stem}EndTime"), read_rented_instances(kind, job)
        except ReadError as problem:
            problems.append(f"{target.name}: {problem}")
    return found, problems[:1]


# --- endpoints ------------------------------------------------------------------------------------

VARIANT_MEMBERS = ("ProductionVariants", "ShadowProductionVariants")


def _configuration_requests(aws: Aws, now: datetime) -> Listing[TrailEvent]:
    """List the successful requests that made endpoint configurations, the oldest first."""
    first = now - activity.EVENT_RETENTION
    made = activity.look_up_events(aws, "CreateEndpointConfig", first, now, most_pages=MOST_HISTORY_PAGES)
    done = filter(lambda event: event.succeeded, made.items)
    return replace(made, items=tuple(sorted(done, key=lambda event: event.at)))


def _endpoints(aws: Aws, history: EventHistory, now: datetime) -> Listing[UsedResource]:
    described = describe_all(aws, ENDPOINT)
    book = tags.read_tag_book(aws, "sagemaker:endpoint")
    current = {target.name: answer.value for target, answer in described.items if isinstance(answer, Value)}
    timelines = {target.name: list(history.configs(target, current)) for target, _ in described.items}
    gone = {target.name: target for target in history.deleted(aws, ENDPOINT)}
    timelines |= {  # SageMaker's SDK names configurations as their endpoints
        name: list(history.configs(target, {}, name))
        for name, target in gone.items()
        if name not in timelines
    }
    names = sorted({config for line in timelines.values() for _, config in line})
    keys = {str(found["EndpointConfigName"]): described_key(found) for found in current.values()}
    wanted = [WantedDescription(name, configuration_key(keys.get(name, ""), name)) for name in names]
    answers = describe_unchanged(
        aws,
        ENDPOINT_CONFIG,
        wanted,
        lambda aws, name: sagemaker_kinds.describe_resource(aws, ENDPOINT_CONFIG, name),
    )
    lost = [name for name, answer in zip(names, answers, strict=True) if not isinstance(answer, Value)]
    requests = _configuration_requests(aws, now) if lost else Listing[TrailEvent](())
    configs = {
        **{str(request_member(made.request, "EndpointConfigName")): made.request for made in requests.items},
        **{name: found.value for name, found in zip(names, answers, strict=True) if isinstance(found, Value)},
    }
    targets = {target.name: replace(target, tags=book.of(target.arn)) for target, _ in described.items}
    found = []
    unsized: list[str] = []
    for name, line in timelines.items():
        if not line:  # not described, and older than CloudTrail's memory
            continue
        ended = None if name in targets else history.deleted_at(ENDPOINT, name)
        ends = [*(at for at, _ in line[1:]), ended]
        counts = _counts(current.get(name, {}))
        unknown_sizes: list[str] = []
        runs = tuple(
            replace(run, usage_type=_usage(aws, run.usage_type), end=end)
            for (start, config), end in zip(line, ends, strict=True)
            for run in _variants(configs.get(config) or {}, {} if end else counts, start, unknown_sizes)
            if start < now
        )
        unsized += (f"endpoint {name}: {problem}" for problem in unknown_sizes)
        changed = current.get(name, {}).get("LastModifiedTime")
        found.append(
            UsedResource(target=targets.get(name) or gone[name], runs=runs, ended=ended, changed=changed)
        )
    endpoints = [answer.error for _, answer in described.items if isinstance(answer, Unreadable)]
    unknown = [
        answer.error
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, Unreadable) and name not in configs and name not in gone
    ]
    unread = [
        f"{len(errors)} of {total} {noun} could not be described ({errors[0]})"
        for errors, total, noun in (
            (endpoints, len(described.items), "endpoints"),
            (unknown, len(names), "endpoint configurations"),
        )
        if errors
    ]
    return Listing.joined(found, (described.error, book.error, requests.error, *unread, *unsized[:1]))


def _counts(endpoint: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return each variant of a described endpoint, which has its current counts."""
    return {
        variant["VariantName"]: variant for part in VARIANT_MEMBERS for variant in endpoint.get(part) or ()
    }


def _variants(
    config: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]], start: datetime, unread: list[str]
) -> Iterator[ResourceRun]:
    """
    Yield a configuration's runs ("Host:ml.m5.xlarge"): now with *counts*, else with its initial counts.

    *unread* takes the reason where the instances of a variant are not known.
    """
    word = "AsyncInf" if request_member(config, "AsyncInferenceConfig") else "Host"
    metrics = request_member(config, "MetricsConfig") or {}
    seconds = int(request_member(metrics, "MetricPublishFrequencyInSeconds") or 60)
    for part in VARIANT_MEMBERS:
        for variant in request_member(config, part) or ():
            name = str(request_member(variant, "VariantName"))
            running = counts.get(name)
            pools = (running or {}).get("InstancePools") or ()
            try:
                rented = read_variant_instances(_as_described(variant), running)
            except ReadError as problem:
                unread.append(str(problem))
                continue
            initial = request_member(variant, "InitialInstanceCount")
            for instances in rented:
                yield ResourceRun(
                    usage_type=f"{word}:{instances.type}",
                    start=start,
                    hourly=Decimal(instances.count),
                    variant=name,
                    initial=Decimal(instances.count if pools or initial is None else initial),
                    datapoints=HOUR // timedelta(seconds=seconds),
                    model=str(request_member(variant, "ModelName") or ""),
                    shadow=part.startswith("Shadow"),
                    reserved=instances.reserved,
                )


def _as_described(request: Any) -> Any:
    """Return a *request* that CloudTrail recorded with the names of the API: "InstanceType"."""
    match request:
        case Mapping():
            return {f"{name[:1].upper()}{name[1:]}": _as_described(value) for name, value in request.items()}
        case list() | tuple():
            return [_as_described(value) for value in request]
        case _:
            return request


# --- notebook instances and Studio apps -----------------------------------------------------------


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
    listed = studio_apps.list_apps(aws)
    running = [app for app in listed.items if app.status == "InService" and app.instance_type]
    found = []
    for app in studio_apps.add_app_tags(aws, running):
        usage = _usage(aws, f"Studio:{app.type}-{app.instance_type}")
        if app.started < now:
            run = ResourceRun(usage_type=usage, start=app.started, reserved=app.reserved)
            found.append(UsedResource(target=app.target, runs=(run,)))
    for target, what, (start, end) in history.apps(aws):
        run = ResourceRun(usage_type=_usage(aws, f"Studio:{what}"), start=start, end=end)
        found.append(UsedResource(target=target, runs=(run,), ended=end))
    return Listing(tuple(found), listed.error)


# --- event history --------------------------------------------------------------------------------
#
# CloudTrail records who made, changed, switched and deleted endpoints, notebooks and Studio apps.

RESOURCE_EVENTS = (
    *("CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint"),
    *("CreateNotebookInstance", "StartNotebookInstance", "StopNotebookInstance", "DeleteNotebookInstance"),
    *("CreateApp", "DeleteApp"),
)
HISTORY_WORDS: Mapping[str, tuple[str, ...]] = {
    ENDPOINT.noun: ("Host", "AsyncInf"),
    NOTEBOOK.noun: ("Notebk",),
    APP.noun: ("Studio",),
}
"""The beginnings of usage types of each kind with a history."""

MOST_HISTORY_PAGES = 40
"""Pages per event name: LookupEvents answers two a second."""

type RunPeriod = tuple[datetime, datetime | None]
"""The start and end of a run period; no end means that it still runs."""


def request_member(request: Mapping[str, Any], name: str) -> Any:
    """Return a member of a request: CloudTrail begins names in lower case, and the API in upper case."""
    return next((value for key, value in request.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class EventHistory:
    """The recorded calls since *first* by name, the oldest first; *error* is why some are missing."""

    events: Mapping[str, tuple[TrailEvent, ...]]
    error: str | None = None
    first: datetime | None = None

    @classmethod
    def read(cls, aws: Aws, now: datetime, nouns: Collection[str]) -> EventHistory:
        """Read the calls about resources of *nouns* until *now*; CloudTrail remembers 90 days."""
        first = now - activity.EVENT_RETENTION
        names = [call for call in RESOURCE_EVENTS if any(noun in call for noun in nouns)]
        found = aws.map(
            lambda name: activity.look_up_events(aws, name, first, now, most_pages=MOST_HISTORY_PAGES), names
        )
        events: dict[str, tuple[TrailEvent, ...]] = dict.fromkeys(RESOURCE_EVENTS, ())
        for name, listing in zip(names, found, strict=True):
            succeeded = (event for event in listing.items if event.succeeded)
            events[name] = tuple(sorted(succeeded, key=lambda event: event.at))
        return cls(events, next((listing.error for listing in found if listing.error), None), first)

    def _of(
        self, kind: SageMakerKind, name: str, *calls: str
    ) -> list[tuple[datetime, str, Mapping[str, Any]]]:
        """Return the *calls* about one resource, as (when, call, request), the oldest first."""
        return sorted(
            (
                (event.at, call, event.request)
                for call in calls
                for event in self.events[f"{call}{kind.noun}"]
                if request_member(event.request, kind.named) == name
            ),
            key=lambda call_made: call_made[0],
        )

    def creation_member(self, kind: SageMakerKind, name: str, wanted: str) -> str:
        """Return a member of the latest request that created the resource; "" if none was recorded."""
        creation = self._of(kind, name, "Create")
        return str(request_member(creation[-1][2], wanted) or "") if creation else ""

    def deleted_at(self, kind: SageMakerKind, name: str) -> datetime | None:
        """Return the time of the last deletion."""
        return next((at for at, _, _ in reversed(self._of(kind, name, "Delete"))), None)

    def deleted(self, aws: Aws, kind: SageMakerKind) -> Iterator[Target]:
        """
        Yield all resources of a *kind* that were deleted, with the tags of their creation.

        Before CloudTrail's memory, only endpoints are known by more than their names.
        """
        names = {
            str(request_member(event.request, kind.named)) for event in self.events[f"Delete{kind.noun}"]
        }
        for name in sorted(names):
            if creation := self._of(kind, name, "Create"):
                at, _, request = creation[-1]
                yield _target(aws, kind, name.lower(), name, creation=(at, request))
            elif kind is ENDPOINT and self.first is not None and self.error is None:
                yield _target(aws, kind, name.lower(), name, creation=(self.first, {}))

    # --- endpoints ----------------------------------------------------------------------------

    def configs(
        self, target: Target, current: Mapping[str, Mapping[str, Any]], assumed: str = ""
    ) -> Iterator[tuple[datetime, str]]:
        """
        Yield an endpoint's configurations with their start times, the oldest first.

        Before the first call in CloudTrail's memory it is taken to have had the same configuration, and
        without any call the *assumed* one, if given.
        """
        calls = self._of(ENDPOINT, target.name, "Create", "Update")
        created = max((at for at, call, _ in calls if call == "Create"), default=target.created)
        line = [
            (at, str(request_member(request, "EndpointConfigName")))
            for at, _, request in calls
            if created is None or at >= created
        ]
        if not line and target.created is not None and (now := current.get(target.name)):
            line = [(target.created, str(now["EndpointConfigName"]))]
        began, config = line[0] if line else (None, assumed)
        if created is not None and config and (began is None or created < began):
            yield created, config
        yield from line

    # --- notebook instances -------------------------------------------------------------------

    def spells(self, target: Target, *, on: datetime | None, since: datetime) -> Iterator[RunPeriod]:
        """
        Yield the run periods of a notebook instance.

        *on* is since when it runs, if it runs. For the time before the first event, one fact is known:
        before a first Stop it ran since *since* or since its creation. If older events were not read,
        that is not assumed.
        """
        start: datetime | None = None
        last: datetime | None = None
        for at, call, _ in self._of(NOTEBOOK, target.name, "Create", "Start", "Stop", "Delete"):
            if call in {"Create", "Start"}:
                start = start or at
            elif start is not None or (last is None and target.created is not None and self.error is None):
                yield start or max(since, target.created or since), at
                start = None
            last = at
        if on is not None:
            yield start or on, None

    # --- Studio apps --------------------------------------------------------------------------

    def apps(self, aws: Aws) -> Iterator[tuple[Target, str, RunPeriod]]:
        """
        Yield apps that were made and deleted: each with its type and instance,
        "JupyterLab-ml.g5.xlarge".
        """
        deleted = [(_app_key(deletion.request), deletion.at) for deletion in self.events["DeleteApp"]]
        for creation in self.events["CreateApp"]:
            key = _app_key(creation.request)
            end = min((at for other, at in deleted if other == key and at > creation.at), default=None)
            instance = request_member(request_member(creation.request, "ResourceSpec") or {}, "InstanceType")
            if end is None or not instance or instance == "system":
                continue
            domain, owner, kind, name = key
            path, called = f"{domain}/{owner}/{kind.lower()}/{name}", f"{owner}/{kind}/{name}"
            target = _target(aws, APP, path, called, creation=(creation.at, creation.request))
            yield target, f"{kind}-{instance}", (creation.at, end)


def _app_key(request: Mapping[str, Any]) -> tuple[str, str, str, str]:
    owner = request_member(request, "SpaceName") or request_member(request, "UserProfileName") or ""
    names = (request_member(request, name) or "" for name in ("AppType", "AppName"))
    return (str(request_member(request, "DomainId") or ""), str(owner), *map(str, names))  # type: ignore[return-value]


def _target(
    aws: Aws, kind: SageMakerKind, path: str, name: str, *, creation: tuple[datetime, Mapping[str, Any]]
) -> Target:
    """Return the resource that the request of *creation* made; CloudTrail records the request's tags."""
    created, request = creation
    given: Iterable[Mapping[str, Any]] = request_member(request, "Tags") or ()
    tags = {str(request_member(tag, "Key")): str(request_member(tag, "Value")) for tag in given}
    arn = aws.arn("sagemaker", f"{kind.type}/{path}")
    return target_in(aws, arn, name, kind.type, created, tags=Value(tags, activity.LOOKUP_EVENTS))


# --- usage types ----------------------------------------------------------------------------------
#
# A bill's usage type begins with the short name of its region.

HOME_REGION = "us-east-1"
"""The region of usage types without a region."""

UNKNOWN_REGION = "unknown-region"
"""The region of usage types that begin like a region's and are of none that is known here."""

REGION_CODES: Mapping[str, str] = {
    "AFS1": "af-south-1", "APE1": "ap-east-1", "APE2": "ap-east-2", "APN1": "ap-northeast-1",
    "APN2": "ap-northeast-2", "APN3": "ap-northeast-3", "APS1": "ap-southeast-1", "APS2": "ap-southeast-2",
    "APS3": "ap-south-1", "APS4": "ap-southeast-3", "APS5": "ap-south-2", "APS6": "ap-southeast-4",
    "APS7": "ap-southeast-5", "APS8": "ap-southeast-6", "APS9": "ap-southeast-7", "CAN1": "ca-central-1",
    "CAN2": "ca-west-1", "CNN1": "cn-north-1", "CNW1": "cn-northwest-1", "EU": "eu-west-1",
    "EUC1": "eu-central-1", "EUC2": "eu-central-2", "EUN1": "eu-north-1", "EUS1": "eu-south-1",
    "EUS2": "eu-south-2", "EUW1": "eu-west-1", "EUW2": "eu-west-2", "EUW3": "eu-west-3",
    "ILC1": "il-central-1", "MEC1": "me-central-1", "MES1": "me-south-1", "MXC1": "mx-central-1",
    "SAE1": "sa-east-1", "UGE1": "us-gov-east-1", "UGW1": "us-gov-west-1", "USE1": "us-east-1",
    "USE2": "us-east-2", "USW1": "us-west-1", "USW2": "us-west-2",
}  # fmt: skip
"""
The beginning of usage types.

From https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-region-billing-codes.html, which
has no code of the European Sovereign Cloud.
"""

USAGE_TYPE_CODE = re.compile(r"([A-Z]{2,4}[1-9]?)-(.+)")
UNKNOWN_CODE = re.compile(r"[A-Z]{3,4}[1-9]")
REGION_TRANSFER = re.compile(r"([A-Z]{2,3}[1-9]?)-([A-Z]{2,3}[1-9]?)-AWS-Out-A?Bytes")
"""Bytes that leave a region for another, charged to the first. The same usage type with -In- is free."""


def region_of_usage(usage_type: str) -> str:
    """Return the region that a usage type is charged in; for a transfer between two, the one it leaves."""
    code = _code(usage_type)
    return REGION_CODES.get(code, UNKNOWN_REGION) if code else HOME_REGION


def usage_prefix(region: str) -> str:
    """
    Return the beginning of SageMaker's usage types in *region*: "USE1"; for an
    unknown region, its name.
    """
    return next((code for code, name in REGION_CODES.items() if name == region), region)


def without_region(usage_type: str) -> str:
    """Return a usage type without its region: "Host:ml.m5.xlarge"."""
    return usage_type[len(code) + 1 :] if (code := _code(usage_type)) else usage_type


def transfer_regions(usage_type: str) -> tuple[str, str] | None:
    """Return the regions that bytes leave and reach, or None if *usage_type* is not such a transfer."""
    if (found := REGION_TRANSFER.fullmatch(usage_type)) is None:
        return None
    return REGION_CODES.get(found[1], found[1]), REGION_CODES.get(found[2], found[2])


def _code(usage_type: str) -> str:
    """Return the code of a region, known or not; "" where a usage type begins with none."""
    found = USAGE_TYPE_CODE.match(usage_type)
    code = found[1] if found else ""
    return code if code in REGION_CODES or UNKNOWN_CODE.fullmatch(code) else ""
