"""Processing and transform jobs that repeat a computation with the same inputs, code and parameters."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from ml_janitor.aws import s3, tags
from ml_janitor.aws.calls import Listing, ReadError, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import describe_all
from ml_janitor.aws.images import DESCRIBE_IMAGES, IMAGE_REFERENCE
from ml_janitor.aws.prices import GET_PRODUCTS, Price, PricedComponent
from ml_janitor.aws.rented_instances import RentedInstances, read_rented_instances
from ml_janitor.aws.sagemaker_kinds import (
    MODEL,
    PROCESSING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
    describe_resource,
    texts_in,
)
from ml_janitor.aws.training_jobs import named_family
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import HOUR, format_age, format_hours
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    Candidate,
    Change,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import count_noun, escape_text, format_time, format_usd
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, Detector, allow

_JOB_COMPONENTS: Mapping[SageMakerKind, PricedComponent] = {
    PROCESSING_JOB: "Processing",
    TRANSFORM_JOB: "Transform",
}
_PARAMETER_MEMBERS = ("Environment", "ContainerArguments", "ContainerEntrypoint")
_RECIPE_MEMBERS = {
    PROCESSING_JOB: ("AppSpecification", "Environment", "ProcessingInputs"),
    TRANSFORM_JOB: ("ModelName", "TransformInput", "Environment", "DataProcessing", "BatchStrategy"),
}
"""The members that decide the outcome of a job: about the same that step caching compares."""

_SCHEDULED_MEMBER = "MonitoringScheduleArn"
"""The member of jobs that a monitoring schedule runs; the same job run by hand is told apart."""

_NOW_WORDS = re.compile(
    r"(?<![a-z])(now|today|yesterday|tonight|latest|newest|current|last|past|previous|since|lookback|rolling)"
    r"(?![a-z])"
    r"|(?<![a-z0-9])[td] ?[-+] ?\d{1,3}(?!\w)"  # T-1, D-7
    r"|(?<![\w.])[-+]\d+ ?(d|h|w|days?|hours?|weeks?|months?)(?!\w)"  # -24h
    r"|%[ymdfj](?![a-z0-9])|\$\(date\b|\{\{ ?(ds|execution_date|data_interval)",  # strftime, shell, Airflow
    re.IGNORECASE,
)
"""Words of parameters that mean something else each day."""

_S3_ADDRESS = re.compile(r"s3[an]?(://[^\s\"',;]+)")
_ELSEWHERE_ADDRESS = re.compile(r"\b(?!s3[an]?:)(?:[a-z][a-z0-9+]*:)+//[^\s\"',;]+", re.IGNORECASE)
"""An address that is not in S3: its data cannot be compared."""


class CompletedRun(NamedTuple):
    """One completed run: its start, and its hours of an instance."""

    began: datetime
    hours: float


@dataclass(frozen=True, slots=True)
class CompletedJob:
    """One completed job with the *members* of its description."""

    kind: SageMakerKind
    target: Target
    members: Mapping[str, Any]

    @property
    def rented(self) -> RentedInstances:
        """Its instances, which are of one type. Raises ReadError if they are not described."""
        found = read_rented_instances(self.kind, self.members)
        if not found:
            raise ReadError("AWS has not selected its instances")
        return found[0]

    @property
    def run(self) -> CompletedRun:
        noun = self.kind.noun.removesuffix("Job")
        began, end = self.members[f"{noun}StartTime"], self.members[f"{noun}EndTime"]
        return CompletedRun(began, (end - began) / HOUR * self.rented.count)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its parameters besides its inputs, names of variables included."""
        variables = self.members.get("Environment", {})
        given = {"Environment": variables, "App": self.members.get("AppSpecification")}
        return (*variables, *texts_in(given, *_PARAMETER_MEMBERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedJobs(Candidate):
    """
    The completed *runs*, oldest first, of jobs with the same inputs, code, image and *parameters*.

    *changed* is the time at which the newest of their code and inputs was written. *scheduled* is true if a
    monitoring schedule runs them, *piped* if a pipeline does.
    """

    runs: tuple[CompletedRun, ...]
    instance: str
    price: Price
    changed: Signal[datetime]
    parameters: tuple[str, ...] = ()
    scheduled: bool = False
    piped: bool = False

    @property
    def source(self) -> str:
        """The call that listed its runs."""
        return (PROCESSING_JOB if self.target.kind == PROCESSING_JOB.type else TRANSFORM_JOB).lists


@dataclass(frozen=True)
class RecomputedDatasets(Detector[RepeatedJobs]):
    """
    Finds processing and transform jobs that repeat an earlier computation.

    Step caching of SageMaker Pipelines keeps the outcome of a step, a feature store the outcomes of many.
    """

    name = "recomputed-datasets"
    kinds = tuple(kind.type for kind in _RECIPE_MEMBERS)
    asks_for = Change.LIMIT
    own_tags = False
    reads = (
        *(allow(kind.lists) for kind in _RECIPE_MEMBERS),
        *(allow(kind.describes, on=kind.every) for kind in (*_RECIPE_MEMBERS, MODEL)),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        allow(DESCRIBE_IMAGES, on="repository/*"),
        allow(tags.GET_RESOURCES),
        allow(GET_PRODUCTS),
    )

    window: Constant[timedelta] = timedelta(days=30)
    min_runs: Constant[int] = 3  # two may be a retry
    min_saving: Constant[float] = LEAST_SAVING_USD

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the repeated jobs *name*, which has a `*`; a job has none."""
        yield from super().find_called(aws, name, now) if "*" in name else ()

    def find(self, aws: Aws, now: datetime) -> Iterator[RepeatedJobs]:
        """Describe jobs completed within *window*; list the inputs of jobs that share a recipe."""
        alike: dict[tuple[SageMakerKind, str], list[CompletedJob]] = defaultdict(list)
        listings = []
        for kind in _RECIPE_MEMBERS:
            listed = describe_all(aws, kind, CreationTimeAfter=now - self.window, StatusEquals="Completed")
            listings.append(listed)
            read = [
                (target, _as_completed(kind, target, description))
                for target, description in listed.items
                if not isinstance(description, Absent)
            ]
            jobs = [description.value for _, description in read if isinstance(description, Value)]
            for job, recipe in zip(jobs, aws.map(partial(_recipe, aws), jobs), strict=True):
                alike[kind, recipe].append(job)
            for target, description in read:
                if isinstance(description, Unreadable):
                    lone = replace(target, tags=Value({}))
                    yield RepeatedJobs(
                        target=lone, runs=(), instance="", price=Price(None, ""), changed=description
                    )
        groups = sorted(alike.items(), key=lambda group: (-len(group[1]), group[0][1]))
        latest = [max(jobs, key=lambda job: job.run.began) for _, jobs in groups]
        book = tags.read_tags_of(aws, [job.target.arn for job in latest])
        called = [(job.kind, f"{family_name(job.target.name)}-*") for job in latest]
        named = Counter(called)
        for ((kind, recipe), jobs), newest, call in zip(groups, latest, called, strict=True):
            own = newest.target
            name, arn = named_family(own, call[1], recipe, alone=named[call] == 1)
            yield RepeatedJobs(
                target=replace(
                    own, arn=arn, name=name, created=None, tags=book.of(own.arn), tag_sources=(own.arn,)
                ),
                runs=tuple(sorted(job.run for job in jobs)),
                parameters=newest.parameters,
                instance=newest.rented.type,
                price=aws.prices.hourly(aws.region, _JOB_COMPONENTS[kind], newest.rented.type),
                changed=_changed(aws, newest, now) if len(jobs) >= self.min_runs else NotRead(),
                scheduled=_SCHEDULED_MEMBER in newest.members,
                piped=own.name.startswith("pipelines-"),
            )
        Listing.merged(listings).check()

    def decide(self, candidate: RepeatedJobs, now: datetime) -> Verdict:
        """
        Judge repeated runs, never proven: only runs that began after all
        inputs were written compute the same.
        """
        rule, runs, changed = Rule(), candidate.runs, candidate.changed
        rule.saw(Evidence("completed runs told the same", len(runs), source=candidate.source))
        if (reason := self.differs(candidate)) is not None:
            return rule.kept(reason)
        if not isinstance(changed, Value):
            why = getattr(changed, "error", "its inputs were not read")
            return rule.unknown(f"whether it computes the same is unknown: {why}")
        same = [run for run in runs if run.began > changed.value]
        rule.saw(
            as_evidence("newest of what it runs and reads", changed, format_time(changed.value)),
            Evidence("runs since then", len(same)),
        )
        if len(same) < self.min_runs:
            since = format_age(now - changed.value)
            return rule.kept(
                f"{count_noun(len(same), 'run')} since what it runs or reads was last written, {since} ago"
            )
        hours = sum(run.hours for run in same[1:])
        month = Decimal(hours * HOURS_PER_MONTH / (self.window / HOUR))
        monthly = None if candidate.price.hourly_usd is None else candidate.price.hourly_usd * month
        if monthly is not None and monthly < Decimal(self.min_saving):
            return rule.kept(f"not to compute it again would save {format_usd(monthly)} a month")
        return rule.found(
            f"{count_noun(len(same), 'run')} in {format_age(self.window)} had the same inputs, "
            "code, image and "
            f"parameters: all but"
            f" the first, {format_hours(hours)} of {candidate.instance}, computed it again",
            Confidence.LIKELY,
            action="reuse its result: "
            + ("" if candidate.piped else "make it a step of a pipeline, and ")
            + "set CacheConfig (Enabled=true, ExpireAfter as long as its inputs stay the same) in the step;"
            " caching compares addresses and not objects, so give new data a new prefix. Put what several"
            " jobs need into a feature store",
            cost=Cost.saving(monthly, candidate.price.source),
            to_prove="versions of its inputs, and EnableNetworkIsolation=true: then it reads nothing else",
            noun="recomputed dataset",
        )

    def differs(self, candidate: RepeatedJobs) -> str | None:
        """Return why its runs do not compute the same, whatever they read, or None."""
        words = [text for text in candidate.parameters if _NOW_WORDS.search(text)]
        if candidate.scheduled:
            return "a monitoring schedule runs it, on what came in meanwhile"
        if words:
            return f"its parameters mean another time in each run: {escape_text(words[0], 80)}"
        if candidate.runs and len(candidate.runs) < self.min_runs:
            return (
                f"{count_noun(len(candidate.runs), 'run')} had the same instructions; judged "
                f"from {self.min_runs} on"
            )
        return None


def _as_completed(
    kind: SageMakerKind, target: Target, description: Signal[dict[str, Any]]
) -> Signal[CompletedJob]:
    """Return a described job, or why its times and its instances are not known."""
    if not isinstance(description, Value):
        return description

    def read() -> CompletedJob:
        job = CompletedJob(kind, target, description.value)
        _ = job.run
        return job

    return read_signal(read, source=kind.describes)


def _recipe(aws: Aws, job: CompletedJob) -> str:
    """
    Return everything that decides the outcome of *job*, as text.

    An address that holds the job's name is replaced by the ETags there: SDKs
    upload the same script anew for each run.
    """

    def same(value: Any) -> Any:
        match value:
            case str() if value.startswith("s3://") and job.target.name in value:
                stored = s3.list_etags(aws, value)
                known = isinstance(stored, Value) and stored.value
                return known or value  # the address itself if nothing is there any more: it is like no other
            case Mapping():
                return {key: same(inner) for key, inner in value.items()}
            case list():
                return [same(inner) for inner in value]
        return value

    return json.dumps(
        same({name: job.members.get(name) for name in _RECIPE_MEMBERS[job.kind]})
        | ({_SCHEDULED_MEMBER: True} if _SCHEDULED_MEMBER in job.members else {}),
        sort_keys=True,
    )


@as_signal(s3.LIST_OBJECTS)
def _changed(aws: Aws, job: CompletedJob, now: datetime) -> datetime:
    """
    Return the time at which the newest of *job*'s code and inputs was
    written, as far as that can be known.
    """
    texts, members = list(job.parameters), dict(job.members)
    written: list[datetime] = []
    if job.kind is TRANSFORM_JOB:
        model = describe_resource(aws, MODEL, job.members["ModelName"])
        if not isinstance(model, Value):
            raise ReadError(f"its model cannot be read: {getattr(model, 'error', 'it is gone')}")
        members["model"], written = model.value, [model.value["CreationTime"]]
        texts += texts_in(model.value, *_PARAMETER_MEMBERS)
    if afar := [text for text in texts if _ELSEWHERE_ADDRESS.search(text)]:
        raise ReadError(f"it may read {escape_text(afar[0], 80)}")
    if any(text == "ManifestFile" for text in texts_in(members, "S3DataType")):
        raise ReadError("its input is a manifest, which names objects elsewhere")
    inputs = {name: members.get(name) for name in ("ProcessingInputs", "TransformInput")}
    if any("DatasetDefinition" in entry for entry in members.get("ProcessingInputs", ())):
        raise ReadError("its input is a query, whose answer is not kept")
    uris = {uri for uri in texts_in(inputs, "S3Uri") if job.target.name not in uri}
    if not uris:  # a script of its own was compared by its ETags
        raise ReadError("it has no input that could be compared")
    uris |= set(texts_in(members.get("model", {}), "ModelDataUrl", "S3Uri"))
    uris |= {f"s3{found}" for text in texts for found in _S3_ADDRESS.findall(text)}
    for uri in sorted(uri for uri in uris if job.target.name not in uri):
        newest = s3.find_newest_object(aws, [uri], fresh=now)
        if not isinstance(newest, Value) or newest.value is None:
            raise ReadError(getattr(newest, "error", f"nothing is stored at {uri} any more"))
        written.append(newest.value.modified)
    written += [_pushed(aws, image) for image in texts_in(members, "ImageUri", "Image")]
    return max(written)


def _pushed(aws: Aws, image: str) -> datetime:
    """Return when an *image* was last pushed; a digest names the same for ever. Raises ReadError."""
    found = IMAGE_REFERENCE.match(image)
    if found is None or (found["digest"] is None and found["account"] != aws.account):
        raise ReadError(f"image {image} has no digest, so it is not known which one ran")
    if found["digest"]:
        return datetime.min.replace(tzinfo=UTC)
    named = {"imageTag": found["tag"] or "latest"}
    asked = {"repositoryName": found["repository"], "imageIds": [named]}
    pushed: datetime = aws.client("ecr").describe_images(**asked)["imageDetails"][0]["imagePushedAt"]
    return pushed
