"""The outputs of failed or stopped training jobs in S3 to which nothing refers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from ml_janitor.aws import s3, sagemaker_kinds, storage, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address, addresses_in, parse_address
from ml_janitor.aws.references import OUTPUT_MEMBERS
from ml_janitor.aws.sagemaker_kinds import MODEL_PACKAGE, MODEL_PACKAGE_GROUP, PIPELINE, TRAINING_JOB
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Confidence,
    Cost,
    Evidence,
    Rule,
    Signal,
    SweepNote,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import format_size, quote_shell
from ml_janitor.engine.detector import allow

FAILED_JOB_KIND, _OUTPUT_NOUN = TRAINING_JOB.type, "output of a failed job"

OUTPUT_READS = (
    allow(sagemaker_kinds.SEARCH),
    *(allow(kind.lists, on=kind.listed_on) for kind in (PIPELINE, MODEL_PACKAGE, MODEL_PACKAGE_GROUP)),
    *(allow(kind.describes, on=kind.every) for kind in (PIPELINE, MODEL_PACKAGE)),
    allow("s3:ListBucket", on="arn:aws:s3:::*"),
    allow(tags.GET_RESOURCES),
)

_LOOKS_BACK = timedelta(days=400)
"""Greatest age of a job: all jobs created since then are read, because each may refer to an output."""

_MOST_JOBS_LISTED = 500
"""Jobs whose folders are listed in one sweep, a call each at least; the newest come first."""

_MADE_MEMBERS = OUTPUT_MEMBERS | {"ModelArtifacts"}
"""Members with the places where a job itself writes, or wrote."""

_BAD_STATUSES = frozenset({"Failed", "Stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput(Candidate):
    """
    The *folder* of its own name that a job has below its output path, with its bytes by storage class.

    *user* is a reference to something in the folder, or to a folder around it.
    """

    folder: str
    status: str
    ended: datetime
    user: Signal[str]
    held: Signal[Mapping[str, int]]
    prices: StoragePrices


class _Job(NamedTuple):
    """A job that ended badly; *saves* is true if its own checkpoints lie in its *folder*."""

    target: Target
    status: str
    ended: datetime
    folder: S3Address
    saves: bool


@dataclass(slots=True)
class _Named:
    """
    The references to places: two users of each place are enough to tell
    whether another than the job names it.
    """

    by_place: dict[tuple[str | None, str], tuple[str, ...]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, who: str, places: Iterable[S3Address]) -> None:
        for place in places:
            key = place.bucket, place.path.rstrip("/")
            self.by_place[key] = tuple(dict.fromkeys((*self.by_place.get(key, ()), who)))[:2]

    def ordered(self) -> list[tuple[str, str]]:
        """
        Return bucket and path of all, in order; a place with a hidden bucket
        may be in any, and comes first.
        """
        return sorted((bucket or "", path) for bucket, path in self.by_place)

    def of(self, job: _Job, ordered: list[tuple[str, str]]) -> Signal[str]:
        """Return another user of the folder of *job*, of something in it, or of a beginning of its name."""
        bucket, folder, own = job.folder.bucket, job.folder.path, _label(job.target.name)
        places = [(where, folder[:end]) for where in (bucket, None) for end in range(len(folder) + 1)]
        for where in (bucket or "", ""):
            for found in ordered[bisect_left(ordered, (where, f"{folder}/")) :]:
                if found[0] != where or not found[1].startswith(f"{folder}/"):
                    break
                places.append((found[0] or None, found[1]))
        others = (who for place in places for who in self.by_place.get(place, ()) if who != own)
        if (user := "its own checkpoints" if job.saves else next(others, None)) is not None:
            return Value(user, sagemaker_kinds.SEARCH)
        error = "; ".join(self.errors)
        return Unreadable(error, sagemaker_kinds.SEARCH) if error else Absent(sagemaker_kinds.SEARCH)


def find(aws: Aws, patience: timedelta, now: datetime) -> Iterator[JobOutput | SweepNote]:
    """
    Yield every job that failed or was stopped more than *patience* ago,
    and the references to its output.
    """
    named = _Named()
    records = search_training_jobs(aws, partial(_record, aws, named), now, since=now - _LOOKS_BACK)
    ended = [job for job in records.items if job.ended < now - patience]
    jobs = sorted(ended, key=lambda job: job.ended, reverse=True)[:_MOST_JOBS_LISTED]
    if jobs:
        _read_others(aws, named)
        named.errors += [] if records.error is None else [records.error]
        ordered, prices = named.ordered(), storage.read_storage_prices(aws)
        book = tags.read_tags_of(aws, [job.target.arn for job in jobs])
        if len(ended) > _MOST_JOBS_LISTED:
            yield SweepNote(
                f"only the newest {_MOST_JOBS_LISTED} of {len(ended)} jobs that failed or were "
                "stopped were looked at"
            )

        def read(job: _Job) -> JobOutput:
            uri = f"s3://{job.folder.bucket}/{job.folder.path}/"
            return JobOutput(
                target=replace(job.target, tags=book.of(job.target.arn)),
                folder=uri,
                status=job.status,
                ended=job.ended,
                user=named.of(job, ordered),
                held=s3.sizes_by_class(aws, uri),
                prices=prices,
            )

        yield from aws.map(read, jobs)
    records.check()


def _label(name: str) -> str:
    return f"training job {name}"


def _record(aws: Aws, named: _Named, record: dict[str, Any]) -> _Job | None:
    """Record the places that a training job names, except its outputs; return the job if it ended badly."""
    target, status = TRAINING_JOB.target(aws, record), record["TrainingJobStatus"]
    named.add(_label(target.name), addresses_in(record, _MADE_MEMBERS))
    path = parse_address(record["OutputDataConfig"]["S3OutputPath"])
    if status not in _BAD_STATUSES or path is None or path.bucket is None:
        return None
    folder = S3Address(path.bucket, "/".join(part for part in (path.path.strip("/"), target.name) if part))
    own = parse_address(record.get("CheckpointConfig", {}).get("S3Uri", ""))
    saves = own is not None and own.bucket == path.bucket and _overlap(own.path.rstrip("/"), folder.path)
    ended = record.get("TrainingEndTime") or record["LastModifiedTime"]
    return _Job(target, status, ended, folder, saves)


def _overlap(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def _read_others(aws: Aws, named: _Named) -> None:
    """Record the places that models, packages and pipelines name."""
    models = sagemaker_kinds.search_records(aws, "Model", lambda record: record["Model"])
    for model in models.items:
        named.add(f"model {model['ModelName']}", addresses_in(model))
    errors = [models.error]
    for kind in (MODEL_PACKAGE, PIPELINE):
        described = sagemaker_kinds.describe_all(aws, kind)
        errors.append(described.error)
        for target, description in described.items:
            if isinstance(description, Value):
                named.add(f"{kind.words} {target.name}", addresses_in(description.value))
            elif isinstance(description, Unreadable):
                errors.append(description.error)
    named.errors += [error for error in errors if error is not None]


def decide(candidate: JobOutput, smallest: int, now: datetime) -> Verdict:
    """Judge an output, as likely at most: who reads a bucket without SageMaker is unknown."""
    rule, held = Rule(), candidate.held
    rule.saw(Evidence("status", candidate.status, source=sagemaker_kinds.SEARCH))
    rule.saw(Evidence("folder", candidate.folder, source=sagemaker_kinds.SEARCH))
    if isinstance(candidate.user, Value):
        return rule.kept(f"{candidate.user.value} may need what is in {candidate.folder}")
    if isinstance(candidate.user, Unreadable):
        return rule.unknown(f"not all that may refer to what it left was read ({candidate.user.error})")
    if not isinstance(held, Value):
        error = held.error if isinstance(held, Unreadable) else "it was not read"
        return rule.unknown(f"what it left could not be listed ({error})")
    total = sum(held.value.values())
    rule.saw(Evidence("bytes", format_size(total), source=held.source))
    if not total or total < smallest:
        return rule.kept(f"it left {format_size(total)}; judged from {format_size(smallest)} on")
    rule.passed("no model, package, pipeline or other training job refers to it")
    costs = [candidate.prices.cost(name, size) for name, size in held.value.items()]
    known = [cost.monthly_usd for cost in costs if cost.monthly_usd is not None]
    source = next((cost.source for cost in costs if cost.monthly_usd is None), costs[0].source)
    return rule.found(
        f"this training job ended as {candidate.status} {format_age(now - candidate.ended)} ago and left"
        f" {format_size(total)} in the folder of its name, to which no model, package, pipeline or other"
        " training job refers",
        Confidence.LIKELY,
        action=f"aws s3 rm --recursive {quote_shell(candidate.folder)}",
        cost=Cost.saving(sum(known, Decimal(0)) if len(known) == len(costs) else None, source),
        noun=_OUTPUT_NOUN,
        spared="what jobs left is only reported",
    )
