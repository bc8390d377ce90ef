"""The outputs of failed or stopped training jobs in S3 to which nothing refers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from ml_janitor.aws import s3, sagemaker_kinds, storage, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address, parse_address
from ml_janitor.aws.references import References
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Candidate,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    SweepNote,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import count_noun, format_size, quote_shell
from ml_janitor.engine.detector import allow

FAILED_JOB_KIND, _OUTPUT_NOUN = TRAINING_JOB.type, "output of a failed job"

OUTPUT_READS = (
    allow(sagemaker_kinds.SEARCH),
    allow("s3:ListBucket", on="arn:aws:s3:::*"),
    allow(tags.GET_RESOURCES),
)

_LOOKS_BACK = timedelta(days=400)
"""Greatest age of a job whose output is judged."""

_MOST_JOBS_LISTED = 500
"""Jobs whose folders are listed in one sweep, a call each at least; the newest come first."""

_BAD_STATUSES = frozenset({"Failed", "Stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput(Candidate):
    """
    The *folder* of its own name that a job has below its output path, with its bytes by storage class.

    *user* is a reference to something in the folder, or to a folder around it; not read where the folder
    holds too little.
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

    @property
    def uri(self) -> str:
        return f"s3://{self.folder.bucket}/{self.folder.path}/"


def find(
    aws: Aws, patience: timedelta, smallest: int, used: Callable[[], References], now: datetime
) -> Iterator[JobOutput | SweepNote]:
    """
    Yield every job that failed or was stopped more than *patience* ago, with its output.

    References are read, by *used*, if at least *smallest* bytes are in a folder.
    """
    records = search_training_jobs(aws, partial(_record, aws), now, since=now - _LOOKS_BACK)
    ended = [job for job in records.items if job.ended < now - patience]
    jobs = sorted(ended, key=lambda job: job.ended, reverse=True)[:_MOST_JOBS_LISTED]
    if jobs:
        prices = storage.read_storage_prices(aws)
        book = tags.read_tags_of(aws, [job.target.arn for job in jobs])
        if len(ended) > _MOST_JOBS_LISTED:
            yield SweepNote(
                f"only the newest {_MOST_JOBS_LISTED} of {count_noun(len(ended), 'job')} that failed or were "
                "stopped were looked at"
            )
        held = aws.map(lambda job: s3.sizes_by_class(aws, job.uri), jobs)
        for job, found in zip(jobs, held, strict=True):
            user: Signal[str] = NotRead()
            if isinstance(found, Value) and holds_enough(found.value, smallest):
                user = _user(job, used())
            yield JobOutput(
                target=replace(job.target, tags=book.of(job.target.arn)),
                folder=job.uri,
                status=job.status,
                ended=job.ended,
                user=user,
                held=found,
                prices=prices,
            )
    records.check()


def holds_enough(held: Mapping[str, int], smallest: int) -> bool:
    """Return whether a folder holds anything, and at least *smallest* bytes."""
    return sum(held.values()) >= max(smallest, 1)


def _user(job: _Job, used: References) -> Signal[str]:
    """Return another user of the folder of *job*. Its own checkpoints count: it may resume from them."""
    if job.saves:
        return Value("the job itself, to resume from its checkpoints", sagemaker_kinds.SEARCH)
    return used.to_folder(
        job.folder.bucket or "", job.folder.path, but=f"{FAILED_JOB_KIND}/{job.target.name}"
    )


def _record(aws: Aws, record: dict[str, Any]) -> _Job | None:
    """Return the job of Search's *record* if it ended badly."""
    target, status = TRAINING_JOB.target(aws, record), record["TrainingJobStatus"]
    path = parse_address(record.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    if status not in _BAD_STATUSES or path is None or path.bucket is None:
        return None
    folder = S3Address(path.bucket, "/".join(part for part in (path.path.strip("/"), target.name) if part))
    own = parse_address(record.get("CheckpointConfig", {}).get("S3Uri", ""))
    saves = own is not None and own.bucket == path.bucket and _overlap(own.path.rstrip("/"), folder.path)
    ended = record.get("TrainingEndTime") or record["LastModifiedTime"]
    return _Job(target, status, ended, folder, saves)


def _overlap(path: str, other: str) -> bool:
    """Return whether one of two folders is in the other; "" is the root of their bucket."""
    inner, outer = sorted((f"{folder}/" if folder else "" for folder in (path, other)), key=len, reverse=True)
    return inner.startswith(outer)


def decide(candidate: JobOutput, smallest: int, now: datetime) -> Verdict:
    """Judge an output, as likely at most: who reads a bucket without SageMaker is unknown."""
    rule, held = Rule(), candidate.held
    rule.saw(Evidence("status", candidate.status, source=sagemaker_kinds.SEARCH))
    rule.saw(Evidence("folder", candidate.folder, source=sagemaker_kinds.SEARCH))
    if not isinstance(held, Value):
        error = held.error if isinstance(held, Unreadable) else "it was not read"
        return rule.unknown(f"what it left could not be listed ({error})")
    total = sum(held.value.values())
    rule.saw(Evidence("bytes", format_size(total), source=held.source))
    if not holds_enough(held.value, smallest):
        return rule.kept(f"it left {format_size(total)}; judged from {format_size(smallest)} on")
    match candidate.user:
        case Value(user):
            return rule.kept(f"what is in {candidate.folder} may be needed by {user}")
        case Unreadable(error):
            return rule.unknown(f"whether anything uses what it left is unknown ({error})")
        case NotRead():
            return rule.unknown("what refers to it was not read")
        case _:
            pass
    rule.passed("no model, package, endpoint, pipeline or other job refers to it")
    costs = [candidate.prices.cost(name, size) for name, size in held.value.items()]
    known = [cost.monthly_usd for cost in costs if cost.monthly_usd is not None]
    source = next((cost.source for cost in costs if cost.monthly_usd is None), costs[0].source)
    month = sum(known, Decimal(0)) if len(known) == len(costs) else None
    folder = f"arn:{candidate.target.arn.split(':')[1]}:s3:::{candidate.folder.removeprefix('s3://')}"
    return rule.found(
        f"this training job ended as {candidate.status} {format_age(now - candidate.ended)} ago and left"
        f" {format_size(total)} in the folder of its name, to which no model, package, endpoint,"
        " pipeline or other job refers",
        Confidence.LIKELY,
        action=f"delete the folder: aws s3 rm --recursive {quote_shell(candidate.folder)}",
        cost=Cost.saving(month, source, shares={folder: month} if month is not None else {}),
        noun=_OUTPUT_NOUN,
        spared="what jobs left is only reported",
    )
