"""SageMaker jobs that run on, and are paid for, but no longer make progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, SEARCH, TRAINING_JOB, TUNING_JOB
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Effect,
    Evidence,
    Finding,
    Kept,
    Rule,
    Signal,
    Target,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.detectors.hung_training_jobs import act, progress, reading
from ml_janitor.detectors.hung_training_jobs.jobs import (
    WAITING_PHASES,
    RunningJob,
    billed_cost,
    job_deadline,
    price_text,
)
from ml_janitor.detectors.hung_training_jobs.progress import JobPatience, Standstill
from ml_janitor.detectors.hung_training_jobs.reading import (
    JOB_KINDS_BY_TYPE,
    STARTER_TYPES,
    TUNER_KIND,
    JobSurvey,
    SuspectJob,
    SuspectTuner,
)
from ml_janitor.engine import detector
from ml_janitor.engine.detector import Cleanup, Detector, Grant, Steps, allow, allow_each, implied_grant

_AUTHORIZATION = "Service Authorization Reference for Amazon SageMaker: dependent actions"
_KEYS_SOURCE = "Amazon SageMaker API Permissions Reference: Create...Job, where the job's volumes have a key"
_JOB_KINDS = tuple(kind.of for kind in JOB_KINDS_BY_TYPE.values())

_ACT_GRANTS: tuple[Grant, ...] = (
    *(allow(f"sagemaker:Stop{kind.noun}", on=kind.every) for kind in (*_JOB_KINDS, TUNING_JOB)),
    allow("sagemaker:UpdateTrainingJob", on=TRAINING_JOB.every),
)

_UNDO_GRANTS: tuple[Grant, ...] = (
    *(allow(kind.describes, on=kind.every) for kind in (*_JOB_KINDS, TUNING_JOB)),
    *(allow(f"sagemaker:Create{kind.noun}", on=kind.every) for kind in _JOB_KINDS),
    *(implied_grant("sagemaker:AddTags", on=kind.every, source=_AUTHORIZATION) for kind in _JOB_KINDS),
    detector.key_grant(_KEYS_SOURCE),
)
"""A tuning job is described too, since a tuning job whose stop broke off needs no undo."""


@dataclass(frozen=True)
class HungTrainingJobs(Detector[SuspectJob | SuspectTuner]):
    """
    Stops training, processing and transform jobs that hang, and unused warm pools.

    A job hangs when its logs are silent for `silence` and for `times_longest_pause` times the longest pause
    they made before, nothing new lies in its S3 folders, and the load of every host stands still; or when it
    works on after its own limit. Only that limit, and two or more GPUs that spin as in a collective, prove
    it: a job at rest may wait for something. Its running time says nothing. A tuning job hangs when every
    running child does. A warm pool is waste after `pool_patience` unused. The warning of a warm pool stands
    for `grace_pool`, because it ends by itself within hours.
    """

    name = "hung-training-jobs"
    schedule = "rate(1 hour)"
    kinds = (*JOB_KINDS_BY_TYPE, TUNER_KIND)
    cleanup = Cleanup(
        effect=Effect.STOP,
        grace=timedelta(hours=2),
        act_on=Confidence.PROVEN,
        lost=(
            "what a job did since its last checkpoint (a processing or transform job begins anew), a tuning"
            " job, or a warm pool"
        ),
        undo="restart",
    )
    reads = (
        allow(SEARCH),
        *(
            grant
            for kind in (*_JOB_KINDS, TUNING_JOB)
            for grant in (allow(kind.lists), allow(kind.describes, on=kind.every))
        ),
        allow(reading.CHILD_JOB.lists, on=TUNING_JOB.every),
        *(allow("sagemaker:ListTags", on=f"{kind}/*") for kind in (*kinds, *STARTER_TYPES)),
        *(
            allow("logs:DescribeLogStreams", on=f"log-group:{kind.group}:*")
            for kind in JOB_KINDS_BY_TYPE.values()
        ),
        *(allow("logs:GetLogEvents", on=f"log-group:{kind.group}:*") for kind in JOB_KINDS_BY_TYPE.values()),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        *allow_each("cloudwatch", "ListMetrics", "GetMetricData"),
        allow("pricing:GetProducts"),
    )
    acts = _ACT_GRANTS

    silence: timedelta = timedelta(hours=6)
    times_longest_pause: int = 3
    silence_without_rhythm: timedelta = timedelta(hours=24)
    overrun: timedelta = timedelta(hours=1)
    pool_patience: timedelta = timedelta(hours=1)
    grace_pool: timedelta = timedelta(minutes=15)
    undo_roles: tuple[str, ...] = ()

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """The permissions to submit jobs again, under the roles that the operator lists."""
        return (*_UNDO_GRANTS, *detector.pass_role_grants(self.undo_roles, source=_AUTHORIZATION))

    @property
    def patience(self) -> JobPatience:
        return JobPatience(
            silence=self.silence,
            times_longest_pause=self.times_longest_pause,
            silence_without_rhythm=self.silence_without_rhythm,
        )

    def find(self, aws: Aws, now: datetime) -> Iterator[SuspectJob | SuspectTuner]:
        yield from self._survey(aws, now).all()

    def look(self, aws: Aws, target: Target, now: datetime) -> SuspectJob | SuspectTuner | None:
        survey = self._survey(aws, now)
        return survey.tuner(target) if target.kind == TUNER_KIND else survey.job(target)

    def look_unfinished(
        self, aws: Aws, target: Target, record: Mapping[str, Any], now: datetime
    ) -> SuspectJob | SuspectTuner | None:
        candidate = self.look(aws, target, now)
        if isinstance(candidate, SuspectJob) and record["what"] == act.RECORDED_JOB:
            return replace(candidate, unfinished=True)
        return candidate

    def _survey(self, aws: Aws, now: datetime) -> JobSurvey:
        return JobSurvey(aws=aws, now=now, patience=self.patience, decide=self.decide)

    def decide(self, candidate: SuspectJob | SuspectTuner, now: datetime) -> Verdict:
        rule = Rule()
        match candidate:
            case SuspectTuner(tuner=tuner, children=children):
                return reading.judge_tuning_job(rule, tuner, self._verdicts(children, now))
            case SuspectJob(job=Value(job)):
                return self._of_pool(rule, candidate, job, now) or self._of_job(rule, candidate, job, now)
            case SuspectJob(job=Absent()):
                return rule.kept("it no longer exists")
            case _:
                rule.saw(as_evidence("description", candidate.job))
                return rule.unknown("its description could not be read")

    def _verdicts(
        self, children: Signal[tuple[SuspectJob, ...]], now: datetime
    ) -> Signal[Mapping[str, Verdict]]:
        """Return the verdict on each of *children*, by its name."""
        if not isinstance(children, Value):
            return children
        verdicts = {child.target.name: self.decide(child, now) for child in children.value}
        return Value(verdicts, children.source)

    def _of_pool(self, rule: Rule, candidate: SuspectJob, job: RunningJob, now: datetime) -> Verdict | None:
        """Judge the warm pool that a job left behind, if it is still there."""
        if candidate.unfinished:
            verdict = reading.judge_remaining_pool(rule, candidate.job, job, candidate.price)
        else:
            verdict = reading.judge_pool(
                rule, candidate.job, job, candidate.price, patience=self.pool_patience, now=now
            )
        return replace(verdict, grace=self.grace_pool) if isinstance(verdict, Finding) else verdict

    def prepare(
        self, aws: Aws, candidate: SuspectJob | SuspectTuner, memo: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return act.record_job(aws, candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act.act(aws, target, record, steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return act.is_done(aws, target, record)

    def ended_otherwise(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
        return act.ended_otherwise(aws, target, record)

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return its role, if it is not listed; a transform job has none, nor
        has a resource without a restart.
        """
        return detector.missing_role_setting(self.undo_roles, record.get("request", {}).get("RoleArn", ""))

    def reverted_arn(self, target: Target, record: Mapping[str, Any]) -> str:
        return act.restarted_job_arn(self.name, target, record)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        return act.restart_job(aws, self.name, target, record, steps)

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return act.restart_effect_text(self.name, target, record)

    def _of_job(self, rule: Rule, candidate: SuspectJob, job: RunningJob, now: datetime) -> Verdict:
        """Judge a job that works on after its own limit, or without a sign of life."""
        verdict = (
            judge_phase(rule, candidate.job, job, now)
            or judge_watched_job(rule, candidate.watched, job)
            or self._late_or_still(rule, candidate, job, now)
        )
        if isinstance(verdict, Kept):
            return verdict
        return rule.found(
            f"{verdict.reason}; {price_text(candidate.price, job)}",
            verdict.confidence,
            action=job.kind.action,
            cost=billed_cost(candidate.price, job.started, now, until=job_deadline(job)),
            since=verdict.since,
            noun=f"hung {job.kind.noun}",
            lost=job.lost,
            missing_for_undo=detector.missing_role_setting(self.undo_roles, job.role),
        )

    def _late_or_still(
        self, rule: Rule, candidate: SuspectJob, job: RunningJob, now: datetime
    ) -> Kept | Standstill:
        """Judge its limit, then its signs. Unreadable signs outweigh a limit that is only likely passed."""
        late = progress.judge_limit(rule, job, self.overrun, now)
        if late is not None and late.confidence is Confidence.PROVEN:
            return late
        still = progress.judge_signs(rule, candidate.signs, job, self.patience, now)
        return still if late is None or (isinstance(still, Kept) and still.unknown) else late


def judge_phase(rule: Rule, signal: Signal[RunningJob], job: RunningJob, now: datetime) -> Kept | None:
    """Keep a job in any other phase: before it nothing is billed, after it SageMaker is at work."""
    rule.saw(as_evidence("status", signal, f"{job.status}, {job.phase}"), Evidence("instances", job.hardware))
    if job.tuner:
        rule.saw(Evidence("tuning job", job.tuner.rpartition("/")[2]))
    if job.status != IN_PROGRESS:
        return rule.kept(f"no longer in progress ({job.status})")
    if job.phase in WAITING_PHASES:
        return rule.kept(
            f"{job.phase} for {format_age(now - job.created)}: waiting for instances costs nothing"
        )
    if job.phase != job.kind.working:
        since = f" since {progress.utc_text(job.phase_since)}" if job.phase_since else ""
        return rule.kept(f"not {job.kind.at_work} but {job.phase}{since}")
    if job.started is None:
        return rule.unknown(f"it is {job.kind.at_work}, but AWS does not say since when")
    rule.saw(Evidence("billed for", format_age(now - job.started)))
    rule.passed(job.kind.at_work)
    return None


def judge_watched_job(rule: Rule, watched: Signal[RunningJob], job: RunningJob) -> Kept | None:
    """
    Keep a rule of Debugger's or the profiler's while the training job that it watches goes on.

    It says nothing and rests for as long as nothing is wrong there.
    """
    if job.watches is None:
        return None
    name = job.watches.rpartition("/")[2]
    match watched:
        case Value(training):
            rule.saw(as_evidence("watches", watched, f"training job {name}, {training.status}"))
            if training.status in {IN_PROGRESS, "Stopping"}:
                return rule.kept(
                    f"it watches the training job {name} (a Debugger or profiler rule), which runs"
                )
            rule.passed(f"the training job that it watches is over ({training.status})")
            return None
        case _:
            rule.saw(as_evidence("watches", watched))
            return rule.unknown(
                f"it watches the training job {name}, and whether that runs could not be read"
            )
