"""Training jobs that run on, and are paid for, but no longer make progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from janitor import load, objects, rhythm, stillness, tags, training
from janitor.aws import ReadError
from janitor.detector import Cleanup, Detector, allow
from janitor.durations import ago
from janitor.metrics import GET_METRIC_DATA
from janitor.model import (
    Absent,
    Candidate,
    Confidence,
    Cost,
    Effect,
    Evidence,
    Finding,
    Kept,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    evidence,
)
from janitor.prices import Price
from janitor.stillness import Patience, Signs
from janitor.training import Job

if TYPE_CHECKING:
    from janitor.aws import Aws

LONGEST_LIFE = timedelta(days=31)
"""How far back jobs are listed: one ends after 30 days at the latest (documentation of StoppingCondition)."""

ACTION = "stop the job (artifacts written so far stay) and end its warm pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob(Candidate):
    """A training job in progress, what shows whether it moves, and what an hour of it costs."""

    job: Signal[Job]
    signs: Signs = field(default_factory=Signs)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))


@dataclass(frozen=True)
class HungTrainingJobs(Detector[TrainingJob]):
    """
    Training jobs that run on but no longer make progress.

    A job hangs when its logs are silent for `silence` and for `times_longest_pause` times the
    longest pause they made before, nothing new lies in its S3 folders, and the load of every host
    stands still; or when it trains on after its own limit. How long it runs proves nothing.
    """

    name = "hung-training-jobs"
    schedule = "rate(1 hour)"
    kinds = ("training-job",)
    cleanup = Cleanup(
        effect=Effect.STOP,
        grace=timedelta(hours=2),
        act_on=Confidence.PROVEN,
        lost="the progress since the last checkpoint",
    )
    reads = (
        allow("sagemaker:ListTrainingJobs"),
        allow("sagemaker:DescribeTrainingJob", on="training-job/*"),
        allow("sagemaker:ListTags", on="training-job/*"),
        allow("logs:DescribeLogStreams", on=f"log-group:{training.LOG_GROUP}:*"),
        allow("logs:GetLogEvents", on=f"log-group:{training.LOG_GROUP}:*"),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        allow("cloudwatch:GetMetricData"),
        allow("pricing:GetProducts"),
    )

    silence: timedelta = timedelta(hours=6)
    times_longest_pause: int = 3
    silence_without_rhythm: timedelta = timedelta(hours=24)
    overrun: timedelta = timedelta(hours=1)

    @property
    def patience(self) -> Patience:
        """For how long a job must stand still."""
        return Patience(
            silence=self.silence,
            times_longest_pause=self.times_longest_pause,
            silence_without_rhythm=self.silence_without_rhythm,
        )

    def find(self, aws: Aws, now: datetime) -> Iterator[TrainingJob]:
        listing = training.in_progress(aws, created_after=now - LONGEST_LIFE)
        targets = [
            Target(
                arn=job.arn,
                name=job.name,
                kind="training-job",
                account=aws.account,
                region=aws.region,
                created=job.created,
            )
            for job in listing.items
        ]
        candidates = aws.map(lambda target: self._read(aws, target, now), targets)
        candidates = self._with_loads(aws, candidates, now)
        yield from aws.map(lambda candidate: self._with_tags(aws, candidate, now), candidates)
        listing.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> TrainingJob | None:
        candidate = self._read(aws, replace(target, tags=tags.of_one(aws, target.arn)), now)
        match candidate.job:
            case Value(job):
                candidate = replace(candidate, target=replace(candidate.target, created=job.created))
            case Unreadable(error):
                raise ReadError(error)
            case _:
                return None
        (candidate,) = self._with_loads(aws, [candidate], now)
        return replace(candidate, price=hourly(aws, job))

    def _read(self, aws: Aws, target: Target, now: datetime) -> TrainingJob:
        """One job with its description, logs and objects, each only if those before leave it open."""
        candidate = TrainingJob(target=target, job=training.describe(aws, target.name))
        if not isinstance(candidate.job, Value) or not self._open(candidate, now):
            return candidate
        job = candidate.job.value
        if job.started is None:
            return candidate
        heard = rhythm.read(
            aws, training.LOG_GROUP, job.streams, started=job.started, fresh=now - self.silence
        )
        candidate = replace(candidate, signs=Signs(rhythm=heard))
        if not isinstance(heard, Value) or not self._open(candidate, now):
            return candidate
        stood_still = self.patience.with_rhythm(heard.value.longest_pause)
        newest = objects.newest(aws, job.writes_to, fresh=now - stood_still, ignore=training.SYSTEM_PROFILE)
        return replace(candidate, signs=Signs(rhythm=heard, newest=newest))

    def _with_loads(self, aws: Aws, candidates: Sequence[TrainingJob], now: datetime) -> list[TrainingJob]:
        """*candidates* with the load of those that are open still, all hosts of all jobs together."""
        hosts: dict[str, tuple[str, ...]] = {}
        starts: dict[str, datetime] = {}
        for candidate in candidates:
            match candidate:
                case TrainingJob(job=Value(job), signs=Signs(rhythm=Value(heard), newest=Value())):
                    if self._open(candidate, now):
                        hosts[job.name] = job.hosts
                        stood_still = self.patience.with_rhythm(heard.longest_pause)
                        starts |= dict.fromkeys(job.hosts, now - stood_still)
        loads = load.read(aws, training.METRICS, starts, now)

        def with_load(candidate: TrainingJob) -> TrainingJob:
            if (its_hosts := hosts.get(candidate.target.name)) is None:
                return candidate
            read = Value(tuple(loads[host] for host in its_hosts), GET_METRIC_DATA)
            return replace(candidate, signs=replace(candidate.signs, loads=read))

        return [with_load(candidate) for candidate in candidates]

    def _with_tags(self, aws: Aws, candidate: TrainingJob, now: datetime) -> TrainingJob:
        """*candidate* with its tags and price if it hangs; a job that is kept needs neither."""
        if not isinstance(candidate.job, Value) or isinstance(self.decide(candidate, now), Kept):
            return candidate
        target = replace(candidate.target, tags=tags.of_one(aws, candidate.target.arn))
        return replace(candidate, target=target, price=hourly(aws, candidate.job.value))

    def _open(self, candidate: TrainingJob, now: datetime) -> bool:
        """Whether what was read so far leaves the question open."""
        verdict = self.decide(candidate, now)
        return isinstance(verdict, Kept) and verdict.unknown

    def decide(self, candidate: TrainingJob, now: datetime) -> Verdict:
        rule = Rule()
        match candidate.job:
            case Value(job):
                return (
                    _not_training(rule, candidate.job, job, now)
                    or self._past_its_limit(rule, candidate, job, now)
                    or self._standing_still(rule, candidate, job, now)
                )
            case Absent():
                return rule.kept("it no longer exists")
            case unread:
                rule.saw(evidence("description", unread))
                return rule.unknown("its description could not be read")

    def _past_its_limit(self, rule: Rule, candidate: TrainingJob, job: Job, now: datetime) -> Finding | None:
        """A job that SageMaker should have ended itself; it may take a while to do so."""
        limits = (
            ("MaxRuntimeInSeconds", job.counted_from, job.max_runtime),
            ("MaxWaitTimeInSeconds", job.created, job.max_wait),
        )
        for limit, since, allowed in limits:
            if since is None or allowed is None:
                continue
            late = now - since - allowed
            rule.saw(Evidence(f"time against {limit}", f"{ago(now - since)} of {ago(allowed)}"))
            if late > self.overrun:
                return rule.found(
                    f"in training {ago(late)} after the end of its own limit of {ago(allowed)} ({limit});"
                    f" {rate(candidate.price, job)}",
                    Confidence.PROVEN,
                    action=ACTION,
                    cost=bill(candidate.price, job, now),
                    since=since + allowed,
                )
        rule.passed(f"not more than {ago(self.overrun)} past its own limit")
        return None

    def _standing_still(self, rule: Rule, candidate: TrainingJob, job: Job, now: datetime) -> Verdict:
        """A job without a sign of life."""
        verdict = stillness.judge(rule, candidate.signs, job.machine, self.patience, now)
        if isinstance(verdict, Kept):
            return verdict
        return rule.found(
            f"{verdict.reason}; {rate(candidate.price, job)}",
            verdict.confidence,
            action=ACTION,
            cost=bill(candidate.price, job, now),
            since=verdict.since,
        )


def _not_training(rule: Rule, signal: Signal[Job], job: Job, now: datetime) -> Kept | None:
    """Keep a job in any other phase: before it nothing is billed, after it SageMaker is at work."""
    types = ", ".join(f"{count} x {kind}" for kind, count in job.groups) or "not known"
    rule.saw(evidence("status", signal, f"{job.status}, {job.phase}"), Evidence("instances", types))
    if job.status != training.IN_PROGRESS:
        return rule.kept(f"no longer in progress ({job.status})")
    if job.phase in training.WAITING:
        return rule.kept(f"{job.phase} for {ago(now - job.created)}: waiting for instances costs nothing")
    if job.phase != training.TRAINING:
        since = f" since {stillness.stamp(job.phase_since)}" if job.phase_since else ""
        return rule.kept(f"not in training but {job.phase}{since}")
    if job.started is None:
        return rule.unknown("it is in training, but AWS does not say since when")
    rule.saw(Evidence("billed for", ago(now - job.started)))
    rule.passed("in training")
    return None


def hourly(aws: Aws, job: Job) -> Price:
    """What an hour of all instances of *job* costs at list price."""
    if job.reserved:
        return Price(None, "a training plan, paid in advance")
    prices = [(aws.prices.hourly(aws.region, "Training", kind), count) for kind, count in job.groups]
    sources = ", ".join(dict.fromkeys(price.source for price, _ in prices))
    amounts = [price.hourly_usd * count for price, count in prices if price.hourly_usd is not None]
    if not prices or len(amounts) < len(prices):
        return Price(None, sources)
    return Price(sum(amounts[1:], amounts[0]), sources)


def bill(price: Price, job: Job, now: datetime) -> Cost:
    """What *job* has cost since it was first billed."""
    hours = (now - job.started).total_seconds() / 3600 if job.started else 0
    return Cost.accruing(price.hourly_usd, hours, price.source)


def rate(price: Price, job: Job) -> str:
    """What *job* costs as long as it runs, for a reader; spot capacity costs less than the list price."""
    if price.hourly_usd is None:
        return "price unknown"
    return f"{'at most ' if job.spot else ''}${price.hourly_usd:,.2f} an hour"
