"""
Find training jobs in few calls: billed jobs now, all jobs that ever existed, and families of completed jobs.

ListTrainingJobs compares the status after it has cut the pages: among 50,000 jobs of a month, ten running
jobs take 500 calls. Search compares on the server, but its index takes in new jobs with a delay: the
janitor also lists jobs of the last day.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from itertools import pairwise
from sys import intern
from typing import Any, NamedTuple

from ml_janitor.aws.calls import Listing, ReadError, collect_pages
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.rented_instances import RentedInstances, read_rented_instances
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    OLDEST_FIRST,
    PIPELINE,
    SAGEMAKER_PAGE,
    SEARCH,
    TRAINING_JOB,
    list_kind,
    list_targets,
    search_records,
)
from ml_janitor.aws.tags import tags_of_list
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Absent, Candidate, NotRead, Signal, Target, Unreadable, Value

JOB_RECORD = "TrainingJob"

UNINDEXED_AGE = timedelta(days=1)
"""The age of jobs that are listed in any case: Search's index lags behind by minutes."""

POOL_LIFE = timedelta(hours=6)
"""The longest that a warm pool is kept after its job (the maximum of KeepAlivePeriodInSeconds)."""

FIRST_TRAINING_JOB = datetime(2017, 11, 29, tzinfo=UTC)
"""A time before SageMaker's first training job."""

MOST_SEARCH_HITS = 9_000
"""
The most records of one search; beyond that, the janitor searches each half of its time.

TotalHits may be a lower bound, and no source says whether pages go on beyond 10,000 matches. Splitting costs
a call each time.
"""

SHORTEST_SEARCH = timedelta(minutes=1)
"""A time that is not split any more."""

SEARCH_CUTS = tuple(timedelta(days=days) for days in (401, 93, 62, 32, 8))
"""
Ages at which a run with shared answers cuts the past: each reader looks back a little less far than a cut.

The run thus reads few unwanted records, and each record once for all readers.
"""

LISTING_OVERLAP = timedelta(hours=1)
"""The overlap of two listings of a run: clocks differ."""

RUNNING_FILTER = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
ENDED_STATUSES = frozenset({"Completed", "Failed", "Stopped"})

POOL_AVAILABLE = "Available"
"""The status of a warm pool that waits for its next job: unused, and billed."""

type BilledEntry = tuple[Target, bool]
"""A job, and whether it runs or has a warm pool."""


def list_billed_jobs(
    aws: Aws, now: datetime, note: Callable[[Target, Mapping[str, Any]], object] = lambda *_: None
) -> Listing[Target]:
    """
    List the training jobs in progress, and the ended ones whose instances wait for another job.

    *note* receives Search's record of each job in progress.
    """
    read = partial(_entry, aws, now)

    def running(record: Mapping[str, Any]) -> BilledEntry:
        entry = read(record)
        note(entry[0], record)
        return entry

    changed = {
        "Name": "LastModifiedTime",
        "Operator": "GreaterThanOrEqualTo",
        "Value": _stamp(now - POOL_LIFE - UNINDEXED_AGE),
    }
    found = (
        search_records(aws, JOB_RECORD, running, SearchExpression={"Filters": [RUNNING_FILTER]}),
        search_records(aws, JOB_RECORD, read, SearchExpression={"Filters": [changed]}),
        list_kind(aws, TRAINING_JOB, read, CreationTimeAfter=now - UNINDEXED_AGE, **OLDEST_FIRST),
    )
    jobs = {
        target.arn.lower(): target for listing_read in found for target, costs in listing_read.items if costs
    }
    return Listing.merged(found).of(jobs.values())


def list_recent_jobs[T](
    aws: Aws, read: Callable[[Mapping[str, Any]], T], since: datetime, now: datetime
) -> tuple[Listing[T], ...]:
    """List training jobs in progress, those created after *since*, and those that Search may not know yet."""
    return (
        search_records(aws, JOB_RECORD, read, SearchExpression={"Filters": [RUNNING_FILTER]}),
        search_training_jobs(aws, read, now, since=since),
        list_kind(aws, TRAINING_JOB, read, CreationTimeAfter=now - UNINDEXED_AGE, **OLDEST_FIRST),
    )


@dataclass(slots=True)
class TrainingJobs[T]:
    """
    The training jobs of a run at *at*: kept values of jobs that *ended*, and entries of the *open* others.

    *lately* are the keys of ended jobs that the next listing may name again.
    """

    at: datetime
    ended: list[T] = field(default_factory=list)
    lately: set[str] = field(default_factory=set)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)


def list_all_jobs[T](
    aws: Aws, read: Callable[[dict[str, Any]], T | None], now: datetime
) -> tuple[TrainingJobs[T], str | None]:
    """
    Return all training jobs that ever existed, and why some may be missing; *read* converts ended ones.

    Search has their records; jobs that it may not know yet are listed. Once it ended, a job does not
    change: a recheck within a run lists only new jobs.
    """
    unread = None
    jobs: TrainingJobs[T] | None = aws.lasting.get(TRAINING_JOB)
    since = now - UNINDEXED_AGE if jobs is None else jobs.at - LISTING_OVERLAP
    if jobs is None:
        jobs = TrainingJobs(now)
        records = search_training_jobs(aws, partial(_ended, aws, jobs, read), now)
        unread = records.error
        jobs.ended += records.items
    new = list_kind(aws, TRAINING_JOB, partial(_keyed, aws), CreationTimeAfter=since, **OLDEST_FIRST)
    jobs.open |= {key: entry for key, entry in new.items if key not in jobs.lately}
    if unread is None and new.error is None:
        jobs.at = now
        aws.lasting[TRAINING_JOB] = jobs
    return jobs, Listing.joined((), (unread, new.error)).error


def _keyed(aws: Aws, entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return TRAINING_JOB.target(aws, entry).key, entry


def _ended[T](
    aws: Aws, jobs: TrainingJobs[T], read: Callable[[dict[str, Any]], T | None], record: dict[str, Any]
) -> T | None:
    """Return *read*'s value for an ended job of Search, and note the job in *jobs*."""
    key, _ = _keyed(aws, record)
    if record.get(TRAINING_JOB.status) not in ENDED_STATUSES:
        jobs.open[key] = record
        return None
    if record["CreationTime"] >= jobs.at - UNINDEXED_AGE:
        jobs.lately.add(key)
    return read(record)


def search_training_jobs[T](
    aws: Aws,
    read: Callable[[dict[str, Any]], T | None],
    now: datetime,
    *,
    since: datetime = FIRST_TRAINING_JOB,
) -> Listing[T]:
    """
    Return every training job created *since* then that Search knows, converted by *read*; None leaves it
    out.

    A call returns a hundred. A record holds the members of a description, except for the profiler's rules
    and a few members without addresses. Fewer records than AWS counted are an error. In a run with shared
    answers all readers ask for the same parts of the past, so that each record is sent and kept once.
    """
    begin = since.replace(microsecond=0)

    def wanted(job: dict[str, Any]) -> T | None:
        return read(job) if job["CreationTime"] >= begin else None

    cuts = [FIRST_TRAINING_JOB, *(now - age for age in SEARCH_CUTS), None]
    spans = [span for span in pairwise(cuts) if span[1] is None or span[1] > begin]
    if not aws.shares:
        spans = [(begin, None)]
    found = [_spanned(aws, wanted, first, until, now) for first, until in spans if first is not None]
    return Listing.merged(found)


def _spanned[T](
    aws: Aws,
    read: Callable[[dict[str, Any]], T | None],
    since: datetime,
    until: datetime | None,
    now: datetime,
) -> Listing[T]:
    """Return the jobs created from *since* until *until*; None has no end, and *now* ends about the last."""
    counted = seen = 0
    too_many = False
    middle = since + ((until or now) - since) / 2

    spanned = [{"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": _stamp(since)}]
    if until is not None:
        spanned.append({"Name": "CreationTime", "Operator": "LessThan", "Value": _stamp(until)})
    asked = {"Resource": JOB_RECORD, "SearchExpression": {"Filters": spanned}, **OLDEST_FIRST}

    def pages() -> Iterator[dict[str, Any]]:
        nonlocal counted, too_many
        for page in aws.pages(SEARCH, SAGEMAKER_PAGE, **asked):
            counted = page.get("TotalHits", {}).get("Value", 0)
            too_many = counted > MOST_SEARCH_HITS and (until or now) - since > SHORTEST_SEARCH
            if too_many:
                return
            yield page

    def records(page: dict[str, Any]) -> list[dict[str, Any]]:
        nonlocal seen
        seen += len(page["Results"])
        return [found.get(JOB_RECORD, {}) for found in page["Results"]]

    source, arn_of = f"{SEARCH} of {JOB_RECORD}", partial(TRAINING_JOB.arn_of, aws)
    every = collect_pages(pages(), records, read, source=source, arn_of=arn_of)
    if too_many:
        return Listing.merged(_spanned(aws, read, *span, now) for span in ((since, middle), (middle, until)))
    found = Listing(tuple(job for job in every.items if job is not None), every.error, every.unread)
    if seen < counted and (found.error is None or found.unread):
        return Listing(found.items, f"{SEARCH} of {JOB_RECORD} ended after {seen} of {counted}")
    return found


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _entry(aws: Aws, now: datetime, job: Mapping[str, Any]) -> BilledEntry:
    return TRAINING_JOB.target(aws, job), job["TrainingJobStatus"] == IN_PROGRESS or _has_pool(job, now)


def _has_pool(job: Mapping[str, Any], now: datetime) -> bool:
    """Return whether instances wait for another job. Without a status in Search, the pool's time decides."""
    if (status := job.get("WarmPoolStatus", {}).get("Status")) is not None:
        return bool(status == POOL_AVAILABLE)
    kept = timedelta(seconds=job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0))
    return bool(kept and job.get("TrainingEndTime", now) + kept > now)


# --- families of completed jobs -------------------------------------------------------------------
#
# A family holds the runs of jobs that do the same, the newest first.

COMPLETED_JOB = "Completed"


PIPELINE_NAMES = "pipelines-"
"""The beginning that SageMaker Pipelines gives the names of all jobs: "pipelines-ID-STEP-ID"."""

LIST_EXECUTIONS, LIST_STEPS = "sagemaker:ListPipelineExecutions", "sagemaker:ListPipelineExecutionSteps"
FAMILY_CALLS: tuple[tuple[str, str], ...] = (
    (SEARCH, "*"),
    (PIPELINE.lists, "*"),
    (LIST_EXECUTIONS, PIPELINE.every),
    (LIST_STEPS, "pipeline/*/execution/*"),
)
"""The calls of this reading, and their resources."""

MOST_EXECUTIONS = 500
"""Executions of pipelines whose steps are listed, the newest first: each takes a call."""

NO_CHECKPOINTS = frozenset(
    {"blazingtext", "factorization-machines", "forecasting-deepar", "ipinsights", "kmeans", "knn", "lda"}
    | {"linear-learner", "ntm", "object2vec", "pca", "randomcutforest", "seq2seq"}
)
"""
Image repositories of SageMaker's built-in algorithms that cannot save checkpoints.

Image classification, object detection, semantic segmentation and XGBoost can ("Managed Spot Training in
Amazon SageMaker AI", developer guide, model-managed-spot-training).
"""


class JobTraits(NamedTuple):
    """
    The traits that the jobs of a family share: what they run, on what, for whom.

    *image* has no tag or digest; *pipeline* is "" for a job of none, and None if it is unknown.
    """

    name: str
    pipeline: str | None
    image: str
    role: str
    entry: str
    channels: tuple[str, ...]
    instances: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastJob:
    """
    One completed training job.

    *ran* is its training time, *billed* the billed part of it: less on spot. *limit* is its
    MaxRuntimeInSeconds, *no_spot* the reason why managed spot training cannot run it as it is. *fixed* is the
    built-in or bought algorithm that it runs, if that cannot save checkpoints. *keeps* is the requested time
    of a warm pool, *retained* the billed time of an ended one, *reused* whether a job used it.
    """

    target: Target
    instance: str
    instances: int
    ran: timedelta
    billed: timedelta
    limit: timedelta
    spot: bool
    checkpoints: bool
    no_spot: str | None
    traits: JobTraits
    keeps: timedelta = timedelta()
    retained: timedelta | None = None
    reused: bool = False
    fixed: str | None = None

    @property
    def hours(self) -> float:
        """Return its training time in hours."""
        return self.ran / HOUR


@dataclass(frozen=True, slots=True)
class UnreadJob:
    """A completed job whose record does not say enough to judge it, and *why*, in words."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFamily(Candidate):
    """
    The completed *jobs* of one family, newest first.

    *unread* is why jobs may be missing, *price* the on-demand price of the newest job's instance.
    *discount* is the unbilled share of training time, 0 to 1, of all spot jobs on its family of instances in
    the account and region; None without any. *older* is the longest of its runs before these.
    """

    jobs: tuple[PastJob, ...]
    price: Price
    unread: str | None = None
    discount: float | None = None
    older: Signal[timedelta] = field(default_factory=NotRead)

    @property
    def newest(self) -> PastJob:
        """Return the newest run, which predicts the next."""
        return self.jobs[0]


def read_job_families(aws: Aws, since: datetime, now: datetime) -> Iterator[JobFamily]:
    """
    Yield every family of training jobs created *since* then that completed, with the tags of its newest job.

    Search answers 100 whole descriptions to a call. Raises ReadError at the end if not all were read.
    """
    found: Listing[PastJob | UnreadJob] = aws.once(
        ("past jobs", since), lambda: search_training_jobs(aws, partial(_job, aws), now, since=since)
    )
    read = [job for job in found.items if isinstance(job, PastJob)]
    unread = {family_name(job.name): f"{job.name}: {job.why}" for job in _unread_jobs(found)}
    read, unknown = _with_pipelines(aws, read, since)
    by_traits: dict[JobTraits, list[PastJob]] = {}
    for job in sorted(read, key=lambda job: str(job.target.created), reverse=True):
        by_traits.setdefault(job.traits, []).append(job)
    discounts = _spot_discounts(read)
    homeless = {traits._replace(pipeline="") for traits in by_traits if traits.pipeline is None}
    named = Counter(map(_called, by_traits))
    for traits, jobs in sorted(by_traits.items(), key=lambda family: -len(family[1])):
        newest, name = jobs[0], _called(traits)
        name, arn = named_family(newest.target, name, repr(traits), alone=named[name] == 1)
        why = unread.get(traits.name) or (found.error if not found.unread else unread.get(""))
        if why is None and traits._replace(pipeline="") in homeless:
            why = unknown
        yield JobFamily(
            target=replace(newest.target, arn=arn, name=name, created=None, tag_sources=(newest.target.arn,)),
            jobs=tuple(jobs),
            price=aws.prices.hourly(aws.region, "Training", newest.instance),
            unread=why,
            discount=discounts.get(traits.instances),
        )
    found.check()


def _called(traits: JobTraits) -> str:
    """Return the name of a family, which other families may share."""
    return f"{traits.name}-*{f'~{traits.pipeline}' if traits.pipeline else ''}"


FAMILY_MARK = "~"
"""The mark before the digest in the ARN of a family, which no ARN of SageMaker has."""


def named_family(newest: Target, name: str, makes: str, *, alone: bool) -> tuple[str, str]:
    """
    Return the name and the ARN of the family of the job *newest*.

    The ARN always ends in a digest of what *makes* the family, so that a hold stays with it. The name has the
    digest unless the family is *alone* with its *name*.
    """
    whole = f"{name}{FAMILY_MARK}{sha256(makes.encode()).hexdigest()[:8]}"
    return name if alone else whole, newest.arn.removesuffix(newest.name) + whole


def _spot_discounts(jobs: Iterable[PastJob]) -> dict[str, float]:
    """Return the unbilled share of the training time of spot jobs, by family of instances."""
    hours: dict[str, tuple[float, float]] = {}
    for job in jobs:
        if job.spot and job.ran:
            billed, ran = hours.get(job.traits.instances, (0.0, 0.0))
            hours[job.traits.instances] = billed + job.billed / HOUR, ran + job.hours
    return {instances: 1 - billed / ran for instances, (billed, ran) in hours.items()}


def _with_pipelines(aws: Aws, jobs: Sequence[PastJob], since: datetime) -> tuple[list[PastJob], str | None]:
    """
    Return *jobs* with their pipelines, and why some are unknown.

    An experiment is named after its pipeline. Without one, the steps of the pipeline's executions name the
    job.
    """
    if all(job.traits.pipeline is not None for job in jobs):
        return list(jobs), None
    steps: Listing[tuple[str, str]] = aws.once(("steps", since), lambda: list_step_jobs(aws, since))
    of = dict(steps.items)

    def known(job: PastJob) -> PastJob:
        if job.traits.pipeline is not None:
            return job
        return replace(job, traits=job.traits._replace(pipeline=of.get(job.target.arn)))

    why = steps.error or "no execution of a pipeline names it"
    return [known(job) for job in jobs], f"which pipeline runs some of its jobs is unknown ({why})"


def list_step_jobs(aws: Aws, since: datetime) -> Listing[tuple[str, str]]:
    """List the ARNs of training jobs that executions of pipelines ran *since* then, with the pipeline."""
    pipelines = list_targets(aws, PIPELINE)

    def executions(pipeline: Target) -> Listing[tuple[datetime, str, str]]:
        return aws.listing(
            LIST_EXECUTIONS,
            "PipelineExecutionSummaries",
            lambda entry: (entry["StartTime"], entry["PipelineExecutionArn"], pipeline.name),
            SAGEMAKER_PAGE,
            PipelineName=pipeline.name,
            CreatedAfter=since,
        )

    def steps(execution: tuple[datetime, str, str]) -> Listing[tuple[str, str] | None]:
        return aws.listing(
            LIST_STEPS,
            "PipelineExecutionSteps",
            lambda step: _step_job(step, execution[2].lower()),
            SAGEMAKER_PAGE,
            PipelineExecutionArn=execution[1],
        )

    ran = Listing.merged(aws.map(executions, pipelines.items))
    newest = sorted(ran.items, reverse=True)[:MOST_EXECUTIONS]
    left_out = len(ran.items) - len(newest)
    found = Listing.merged(aws.map(steps, newest))
    error = f"only the newest {MOST_EXECUTIONS} executions were read" if left_out else None
    jobs = (job for job in found.items if job is not None)
    return Listing.joined(jobs, (pipelines.error, ran.error, found.error, error))


def _step_job(step: Mapping[str, Any], pipeline: str) -> tuple[str, str] | None:
    arn = step.get("Metadata", {}).get("TrainingJob", {}).get("Arn")
    return None if arn is None else (arn, pipeline)


MOST_OLDER_PAGES = 2


def read_longest_older_run(aws: Aws, family: JobFamily, since: datetime) -> Signal[timedelta]:
    """
    Return the longest run of *family* that began before *since*, if it took longer than all since then.

    One search takes `MOST_OLDER_PAGES` calls at most: if there are more such runs, the answer is unreadable.
    """
    newest, longest = family.newest, max(job.ran for job in family.jobs)
    words = newest.traits.name
    filters = [
        {"Name": "TrainingJobName", "Operator": "Contains", "Value": _shared_part(newest.target.name, words)},
        {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": COMPLETED_JOB},
        {"Name": "CreationTime", "Operator": "LessThan", "Value": _stamp(since)},
        {
            "Name": "TrainingTimeInSeconds",
            "Operator": "GreaterThan",
            "Value": str(int(longest.total_seconds())),
        },
    ]

    def pages() -> Iterator[Any]:
        asked = {"Resource": JOB_RECORD, "SearchExpression": {"Filters": filters}, **OLDEST_FIRST}
        for number, page in enumerate(aws.pages(SEARCH, SAGEMAKER_PAGE, **asked), start=1):
            yield page
            if number == MOST_OLDER_PAGES and page.get("NextToken"):
                raise ReadError("there are too many longer runs")

    read = collect_pages(
        pages(),
        lambda page: [found.get(JOB_RECORD, {}) for found in page["Results"]],
        partial(_job, aws),
        source=f"{SEARCH} of {JOB_RECORD}",
    )
    if read.error is not None:
        return Unreadable(read.error, SEARCH)
    runs = [
        job.ran for job in read.items if isinstance(job, PastJob) and _same_family(job.traits, newest.traits)
    ]
    return Value(max(runs), SEARCH) if runs else Absent(SEARCH)


def _same_family(older: JobTraits, traits: JobTraits) -> bool:
    """Return whether a job may be of the family with *traits*; an unknown pipeline may be its pipeline."""
    pipeline = traits.pipeline if older.pipeline is None else older.pipeline
    return older._replace(pipeline=pipeline) == traits


def _shared_part(name: str, family: str) -> str:
    """Return a part of the job's *name* that all jobs of its *family* have."""
    return family if family in name else max(family.split("-"), key=len)


def _unread_jobs(found: Listing[PastJob | UnreadJob]) -> Iterator[UnreadJob]:
    """Yield the jobs that cannot be judged; a record without a name may be of any family, called ""."""
    yield from (job for job in found.items if isinstance(job, UnreadJob))
    for entry, why, arn in found.unread:
        yield UnreadJob(str(entry.get("TrainingJobName") or arn.rpartition("/")[2]), why)


def _job(aws: Aws, job: Mapping[str, Any]) -> PastJob | UnreadJob | None:
    """
    Return a job of a Search answer, if it completed and rented instances.

    Serverless jobs have none (SageMaker API reference, ServerlessJobConfig).
    """
    if job["TrainingJobStatus"] != COMPLETED_JOB or "ServerlessJobConfig" in job:
        return None
    try:
        return _past_job(aws, job)
    except KeyError as missing:
        return UnreadJob(job["TrainingJobName"], f"its record has no {missing.args[0]}")
    except ReadError as problem:
        return UnreadJob(job["TrainingJobName"], str(problem))


def _past_job(aws: Aws, job: Mapping[str, Any]) -> PastJob:
    """Return a completed job. Raises KeyError or `ReadError`, with the name of what its record lacks."""
    resources, stops = job.get("ResourceConfig", {}), job["StoppingCondition"]
    tags = tags_of_list(job.get("Tags", ()))  # a complete record without tags has no such member
    rented = read_rented_instances(TRAINING_JOB, job)
    if not rented:
        raise ReadError("ResourceConfig has no SelectedInstanceType")
    ran = timedelta(seconds=job["TrainingTimeInSeconds"])
    return PastJob(
        target=TRAINING_JOB.target(aws, job, Value(tags, SEARCH)),
        instance=rented[0].type,
        instances=sum(part.count for part in rented),
        ran=ran,
        billed=timedelta(seconds=job["BillableTimeInSeconds"]),
        limit=timedelta(seconds=stops["MaxRuntimeInSeconds"]),
        spot=bool(job.get("EnableManagedSpotTraining")),
        checkpoints=bool(job.get("CheckpointConfig", {}).get("S3Uri")),
        no_spot=_no_spot(resources, rented),
        keeps=timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0)),
        retained=_retained(job.get("WarmPoolStatus", {})),
        reused=job.get("WarmPoolStatus", {}).get("Status") == "Reused",
        fixed=_fixed_algorithm(aws, job),
        traits=_traits(job, rented[0].type),
    )


def _traits(job: Mapping[str, Any], instance: str) -> JobTraits:
    """Return what a job has in common with the others of its family."""
    name, specified = job["TrainingJobName"], job.get("AlgorithmSpecification", {})
    program = job.get("HyperParameters", {}).get("sagemaker_program", "").strip('"')
    experiment = job.get("ExperimentConfig", {}).get("ExperimentName")
    traits = JobTraits(
        name=intern(family_name(name)),
        pipeline=(experiment and experiment.lower()) if name.startswith(PIPELINE_NAMES) else "",
        image=IMAGE_VERSION.sub("", specified.get("TrainingImage", "")),
        role=job.get("RoleArn", ""),
        entry=specified.get("AlgorithmName") or program or " ".join(specified.get("ContainerEntrypoint", ())),
        channels=tuple(sorted(channel["ChannelName"] for channel in job.get("InputDataConfig", ()))),
        instances=instance.rpartition(".")[0],
    )
    return _shared_traits(traits)


@lru_cache(maxsize=4096)
def _shared_traits(traits: JobTraits) -> JobTraits:
    """Return the same object for equal traits: thousands of jobs have them."""
    return traits


IMAGE_VERSION = re.compile(r"@.*$|:[^/]*$")
"""The tag or digest of an image."""


def _fixed_algorithm(aws: Aws, job: Mapping[str, Any]) -> str | None:
    """Return the algorithm of AWS or of a seller that *job* runs, if it cannot save checkpoints."""
    specified = job.get("AlgorithmSpecification", {})
    if (algorithm := specified.get("AlgorithmName")) is not None:
        own = algorithm.startswith("arn:") and algorithm.split(":")[4:5] == [aws.account]
        return None if own else algorithm.rpartition("/")[2]
    image = IMAGE_VERSION.sub("", specified.get("TrainingImage", ""))
    repository = image.rpartition("/")[2]
    return repository if repository in NO_CHECKPOINTS and not image.startswith(aws.account) else None


def _retained(pool: Mapping[str, Any]) -> timedelta | None:
    """Return how long a warm pool was billed up to its reuse or end; None while it goes on."""
    seconds = pool.get("ResourceRetainedBillableTimeInSeconds")
    ended = pool.get("Status") in {"Reused", "Terminated"}
    return timedelta(seconds=seconds) if ended and seconds is not None else None


def _no_spot(resources: Mapping[str, Any], rented: Sequence[RentedInstances]) -> str | None:
    """Return why a job cannot run on spot, or None (SageMaker API reference, ResourceConfig)."""
    if "InstancePreferences" in resources:
        return "it names InstancePreferences, which exclude managed spot training"
    if resources.get("KeepAlivePeriodInSeconds"):
        return "a warm pool is kept for it, which spot has none of"
    if any(part.reserved for part in rented):
        return "it runs on capacity that is reserved by a training plan"
    if len({part.type for part in rented}) > 1:
        return "it runs on several types of instances"
    return None
