"""SageMaker jobs that are paid for but make no progress: the rule, stopping them, submitting them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import Any, Final

from botocore.exceptions import ClientError

from ml_janitor.aws import activity, tags
from ml_janitor.aws.calls import ReadError, ensure, is_refusal, required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.rented_instances import JOB_RESOURCES
from ml_janitor.aws.s3 import NewestObject, find_newest_object
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    PROCESSING_JOB,
    SEARCH,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    SageMakerKind,
    fit_request,
)
from ml_janitor.aws.training_jobs import POOL_AVAILABLE
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
    finding_id,
)
from ml_janitor.detectors.hung_training_jobs import progress, reading
from ml_janitor.detectors.hung_training_jobs.jobs import (
    JOB_GONE,
    WAITING_PHASES,
    RunningJob,
    billed_cost,
    job_deadline,
    price_text,
    s3_folders,
)
from ml_janitor.detectors.hung_training_jobs.progress import JobPatience, Standstill, utc_text
from ml_janitor.detectors.hung_training_jobs.reading import (
    JOB_KINDS_BY_TYPE,
    STARTER_TYPES,
    TUNER_KIND,
    JobSurvey,
    SuspectJob,
    SuspectTuner,
    keeps_pool,
    pool_status,
)
from ml_janitor.engine import detector
from ml_janitor.engine.detector import (
    CannotActError,
    Cleanup,
    Constant,
    Detector,
    Grant,
    NotFinishedError,
    Steps,
    allow,
    allow_each,
    implied_grant,
)

# --- stopping -------------------------------------------------------------------------------------
#
# Stops jobs and ends warm pools; an undo submits a job again from its description.

STOPPING_STATUS: Final = "Stopping"

RECORDED_JOB: Final = "job"
RECORDED_POOL: Final = "warm pool"
RECORDED_TUNER: Final = "tuning job"
"""The kinds of stopped or ended resources, as the record of an action names them."""


STOPPABLE_KINDS: Mapping[str, SageMakerKind] = {
    kind.type: kind for kind in (TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB)
}
"""The kinds of jobs by the resource type in their ARNs."""

_STOP_STATUSES = frozenset({STOPPING_STATUS, "Stopped"})
"""The statuses of a job that this act or a person asked to stop."""


def find_job(aws: Aws, kind: SageMakerKind, name: str) -> dict[str, Any] | None:
    """Return the job called *name* as AWS describes it; None if there is none."""
    found: dict[str, Any] | None = unless_gone(
        lambda: kind.call(aws, "Describe")(**{kind.named: name}), JOB_GONE
    )
    return found


def find_same_job(aws: Aws, target: Target) -> dict[str, Any] | None:
    """
    Return the job *target* as AWS describes it; None if it is gone, also
    if another job has its name now.
    """
    found = find_job(aws, STOPPABLE_KINDS[target.kind], target.name)
    return found if found is not None and found["CreationTime"] == target.created else None


def job_status(target: Target, found: Mapping[str, Any]) -> str:
    """Return the status of *target* in the description *found*."""
    status: str = found[STOPPABLE_KINDS[target.kind].status]
    return status


def act(aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Stop *target*, and end the warm pool that it leaves, or that it is.

    A pool can be ended only when its job is over (the controller of AWS for Kubernetes,
    pkg/resource/training_job/hooks.go, waits for that too), and a stopped job leaves one all the same
    (developer guide, warm pool creation). Raises NotFinishedError until then.
    """
    if record["what"] == RECORDED_POOL:
        steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=True))
        return
    steps.do("stop", partial(_stop, aws, target))
    if not record.get("keep_alive"):
        return
    found = find_same_job(aws, target)
    if found is not None and job_status(target, found) == STOPPING_STATUS:
        raise NotFinishedError("it is stopping, and its warm pool can be ended only when it has stopped")
    steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=False))


def is_done(aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
    """
    Return whether the very job *target* is stopped, or about to be,
    without a present or coming warm pool.
    """
    found = find_same_job(aws, target)
    if found is None:
        return True
    if record["what"] == RECORDED_POOL:
        return not keeps_pool(found)
    status = job_status(target, found)
    pool_to_come = status == STOPPING_STATUS or keeps_pool(found)
    return status != IN_PROGRESS and not (record.get("keep_alive") and pool_to_come)


def ended_otherwise(aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
    """
    Return how *target* ended without being stopped; None if it was stopped, runs, or was a pool.

    A stopped job is Stopping and then Stopped (StopTrainingJob and its like, API reference).
    """
    found = find_same_job(aws, target)
    if found is None or record["what"] == RECORDED_POOL:
        return None
    status = job_status(target, found)
    return None if status == IN_PROGRESS or status in _STOP_STATUSES else f"it ended by itself: {status}"


def _stop(aws: Aws, target: Target) -> None:
    kind = STOPPABLE_KINDS[target.kind]
    if not _asked(aws, target):
        ensure(lambda: kind.call(aws, "Stop")(**{kind.named: target.name}), lambda: _asked(aws, target))


def _asked(aws: Aws, target: Target) -> bool:
    """Return whether *target* is stopped or gone. Raises CannotActError if it ended by itself."""
    found = find_same_job(aws, target)
    if found is None:
        return True
    status = job_status(target, found)
    if status != IN_PROGRESS and status not in _STOP_STATUSES:
        raise CannotActError(f"it ended by itself: {status}")
    return status in _STOP_STATUSES


def _end_pool(aws: Aws, target: Target, *, warned_of: bool) -> None:
    """End the pool of *target*. A pool that another job took over is not its own any more."""
    found = find_same_job(aws, target)
    if found is None or not keeps_pool(found):
        if warned_of and found is not None and pool_status(found) == "Reused":
            raise CannotActError("another job has taken over its warm pool")
        return
    end: Any = partial(aws.sagemaker.update_training_job, TrainingJobName=target.name)
    ensure(
        lambda: end(ResourceConfig={"KeepAlivePeriodInSeconds": 0}),
        lambda: (now := find_same_job(aws, target)) is None or not keeps_pool(now),
    )


# --- submitting again -----------------------------------------------------------------------------
#
# Stores the request of a job before it is stopped, and submits it again under a new name.

_CHOSEN_MEMBERS = ("SelectedInstanceType", "SelectedInstanceCount")
"""AWS's selection from several preferences: part of a description, and no parameter of a request."""

_NEVER = datetime.max.replace(tzinfo=UTC)
"""No object is newer, so all of them are listed."""

_LONGEST_JOB_NAME = 63
"""Characters in the name of a training, processing or transform job (the SDK's model of the calls)."""

_SUFFIX_DIGITS = 6

_COMPLETED_STATUS = "Completed"
"""The status of a job that ended by itself and successfully."""

_KEEP_ALIVE_MEMBER = "KeepAlivePeriodInSeconds"
"""Time for which the instances of a training job wait for another job."""

_SHORTEST_SECRET = 4
"""Characters: shorter values are no secrets."""

_METRICS_REFUSED = "override the metric definitions"
"""
CreateTrainingJob's error for a built-in algorithm with metric definitions, although DescribeTrainingJob shows
its own (hashicorp/terraform-provider-aws#46892; awslabs/mlspace tries again without them, too).
"""


def record_job(aws: Aws, candidate: SuspectJob | SuspectTuner) -> dict[str, Any]:
    """
    Return *candidate* as plain JSON. A job's parameters may be secret, so this is for the ledger alone.

    Raises CannotActError if the candidate is no longer as judged, and ReadError.
    """
    target = candidate.target
    found = find_same_job(aws, target)
    if found is None:
        raise CannotActError("it is gone")
    status, keep_alive = job_status(target, found), found.get("ResourceConfig", {}).get(_KEEP_ALIVE_MEMBER, 0)
    if pool_status(found) == POOL_AVAILABLE and status != IN_PROGRESS:
        return {"what": RECORDED_POOL, "keep_alive": keep_alive}
    if status != IN_PROGRESS:
        raise CannotActError(f"it is {status} now")
    if isinstance(candidate, SuspectTuner):
        return {"what": RECORDED_TUNER}
    own = required_value(target.tags, "its tags were not read") or {}
    return {
        "what": RECORDED_JOB,
        "keep_alive": keep_alive,
        "request": restart_request(aws, STOPPABLE_KINDS[target.kind], found)
        | tags.tags_argument(tags.settable_tags(own)),
        "checkpoint": _checkpoint(aws, found),
    }


def restart_request(aws: Aws, kind: SageMakerKind, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the creating call for another job like the one *found*."""
    request = fit_request(aws, "sagemaker", f"Create{kind.noun}", found)
    resources = reduce(lambda part, member: part.get(member, {}), JOB_RESOURCES.get(kind, ("",)), request)
    for member in _CHOSEN_MEMBERS:
        resources.pop(member, None)
    return request


def _checkpoint(aws: Aws, found: Mapping[str, Any]) -> dict[str, str] | None:
    """Return its newest checkpoint, None if it keeps none; without "uri" it has not written any yet."""
    config = found.get("CheckpointConfig")
    if not config:
        return None
    (folder,) = s3_folders(config["S3Uri"])
    match find_newest_object(aws, [folder], fresh=_NEVER):
        case Value(NewestObject(uri, modified)):
            return {"folder": folder, "uri": uri, "written": modified.isoformat()}
        case Value():
            return {"folder": folder}
        case unread:
            raise ReadError(getattr(unread, "error", "its checkpoints were not read"))


def restart_job(aws: Aws, detector: str, target: Target, record: Mapping[str, Any], steps: Steps) -> str:
    """
    Submit the job *target* again, once. Return a sentence with its new name, or why there is none.

    It waits until the job has stopped: the new job begins with the objects of its last two minutes. Raises
    NotFinishedError until then, and CannotActError for a resource that cannot come back.
    """
    found = find_same_job(aws, target)
    status = None if found is None else job_status(target, found)
    if found is not None and (
        keeps_pool(found) if record["what"] == RECORDED_POOL else status == IN_PROGRESS
    ):
        return f"nothing had been done to {target.name}, so nothing was submitted"
    if (why := _not_restartable(target, record)) is not None:
        raise CannotActError(why)
    if status == _COMPLETED_STATUS:
        return f"{target.name} has come to its end by itself, so nothing was submitted"
    if status == STOPPING_STATUS:
        raise NotFinishedError("it is still stopping; it is submitted again when it has stopped")
    name = restarted_name(target.name, finding_id(detector, target.key))
    request = {**record["request"], STOPPABLE_KINDS[target.kind].named: name}
    steps.do(f"submit again as {name}", partial(_submit, aws, target, request))
    return f"{target.name} was submitted again as {name}, {starting_point_text(record)}"


def restart_effect_text(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """
    Return the effect of `restart_job` as a sentence. Raises CannotActError for
    a resource that cannot come back.
    """
    if (why := _not_restartable(target, record)) is not None:
        raise CannotActError(why)
    name = restarted_name(target.name, finding_id(detector, target.key))
    return f"{target.name} is submitted again as {name}, {starting_point_text(record)}; it costs again"


def restarted_job_arn(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """
    Return the ARN of the job that `restart_job` submits, spelled like *target*'s;
    its own where nothing is submitted.
    """
    if _not_restartable(target, record) is not None:
        return target.arn
    kind, _, name = target.arn.rpartition("/")
    return f"{kind}/{restarted_name(name, finding_id(detector, target.key))}"


def restarted_name(name: str, finding: str) -> str:
    """
    Return the new name of the job *name*: the same each time, so that a
    repeated restart submits no second job.
    """
    suffix = f"-r{finding[:_SUFFIX_DIGITS]}"
    return f"{name[: _LONGEST_JOB_NAME - len(suffix)].rstrip('-')}{suffix}"


def starting_point_text(record: Mapping[str, Any]) -> str:
    """
    Return where the new job begins, as a clause.

    SageMaker copies the objects in CheckpointConfig's S3Uri to the new job's checkpoint path (developer
    guide, "Resume training from a checkpoint"); the program must load them.
    """
    checkpoint = record["checkpoint"]
    if checkpoint is None:
        return "from the beginning: it keeps no checkpoints"
    if "uri" not in checkpoint:
        return f"from the beginning: it had written no checkpoint to {checkpoint['folder']}"
    written = utc_text(datetime.fromisoformat(checkpoint["written"]))
    return f"with its checkpoints in {checkpoint['folder']}, the newest known of {written}"


def _not_restartable(target: Target, record: Mapping[str, Any]) -> str | None:
    """Return why there is nothing to submit, or None."""
    if record["what"] == RECORDED_POOL:
        return "a warm pool does not come back; the next job of its kind starts its own"
    if record["what"] == RECORDED_TUNER:
        return (
            "a tuning job is not submitted again, because it would run all of its trainings once more; create"
            f" one for those that are left, with a WarmStartConfig that names {target.name} as its parent"
        )
    return None


def _submit(aws: Aws, target: Target, request: Mapping[str, Any]) -> None:
    """Create the job of *request*; a retry finds it there, which is a success."""
    kind = STOPPABLE_KINDS[target.kind]
    exists = partial(_exists, aws, target, request[kind.named])
    if exists():
        return
    try:
        ensure(lambda: _create(kind.call(aws, "Create"), request), exists)
    except ClientError as error:
        raise _without_secrets(error, request) from None


def _create(create: Callable[..., object], request: Mapping[str, Any]) -> None:
    try:
        create(**request)
    except Exception as error:
        if not is_refusal(error, ("ValidationException",), _METRICS_REFUSED):
            raise
        algorithm = {**request["AlgorithmSpecification"]}
        algorithm.pop("MetricDefinitions", None)
        create(**{**request, "AlgorithmSpecification": algorithm})


def _exists(aws: Aws, target: Target, name: str) -> bool:
    """
    Return whether the job *name* was submitted. Raises CannotActError if
    the name is older than *target*.
    """
    found = find_job(aws, STOPPABLE_KINDS[target.kind], name)
    if found is None:
        return False
    if target.created is not None and found["CreationTime"] < target.created:
        raise CannotActError(f"an older job has the name {name}, under which it would be submitted again")
    return True


def _without_secrets(error: ClientError, request: Mapping[str, Any]) -> Exception:
    """
    Return *error*, unless AWS quotes the job's parameters in it: they may
    be secret, and errors are posted.
    """
    message = str(error)
    if any(value in message for value in _secrets(request)):
        code = error.response["Error"]["Code"]
        return CannotActError(
            f"AWS refuses it ({code}), and quotes what the job was given, so not shown here"
        )
    return error


def _secrets(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters of a job's program that may be secret."""
    for member in ("HyperParameters", "Environment"):
        yield from (value for value in request.get(member, {}).values() if len(value) >= _SHORTEST_SECRET)


# --- the detector ---------------------------------------------------------------------------------

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


_LOGS_NOT_READ_REASON = f"a job is only reported where no log is read ({activity.LOGS_NOT_READ})"


@dataclass(frozen=True)
class HungTrainingJobs(Detector[SuspectJob | SuspectTuner]):
    """
    Stops training, processing and transform jobs that hang, and unused warm pools.

    A job hangs when its logs are silent for `silence` and for `times_longest_pause` times the longest pause
    they made before, nothing new lies in its S3 folders, and the load of every host stands still; or when it
    works on after its own limit. Only that limit, and two or more GPUs that spin as in a collective, prove
    it: a job at rest may wait for something. Its running time says nothing. A tuning job hangs when every
    running child does. A warm pool is waste after `pool_patience` unused, if no earlier pool waited longer
    for a job that came. The warning of a warm pool stands for `grace_pool`, because it ends by itself within
    hours.
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
    always_reads = (
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
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        *allow_each("cloudwatch", "ListMetrics", "GetMetricData"),
        allow("pricing:GetProducts"),
    )
    acts = _ACT_GRANTS

    silence: timedelta = timedelta(hours=6)
    times_longest_pause: Constant[int] = 3
    silence_without_rhythm: Constant[timedelta] = timedelta(hours=24)
    overrun: Constant[timedelta] = timedelta(hours=1)
    pool_patience: Constant[timedelta] = timedelta(hours=1)
    grace_pool: Constant[timedelta] = timedelta(minutes=15)  # a pool ends by itself after six hours at most
    undo_roles: tuple[str, ...] = ()
    read_logs: bool = True

    @property
    def reads(self) -> tuple[Grant, ...]:
        """The permissions to read signs of progress, among them the logs if `read_logs` says so."""
        groups = (kind.group for kind in JOB_KINDS_BY_TYPE.values())
        return detector.with_log_grants(self.always_reads, *groups, read=self.read_logs)

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
        if isinstance(candidate, SuspectJob) and record["what"] == RECORDED_JOB:
            return replace(candidate, unfinished=True)
        return candidate

    def _survey(self, aws: Aws, now: datetime) -> JobSurvey:
        return JobSurvey(
            aws=aws, now=now, patience=self.patience, decide=self.decide, read_logs=self.read_logs
        )

    def decide(self, candidate: SuspectJob | SuspectTuner, now: datetime) -> Verdict:
        rule = Rule()
        match candidate:
            case SuspectTuner(tuner=tuner, children=children):
                return self._by_logs(reading.judge_tuning_job(rule, tuner, self._verdicts(children, now)))
            case SuspectJob(job=Value(job)):
                return self._of_pool(rule, candidate, job, now) or self._by_logs(
                    self._of_job(rule, candidate, job, now)
                )
            case SuspectJob(job=Absent()):
                return rule.kept("it no longer exists")
            case _:
                rule.saw(as_evidence("description", candidate.job))
                return rule.unknown("its description could not be read")

    def _by_logs(self, verdict: Verdict) -> Verdict:
        """Return *verdict* as it is where logs are read; without them a job is likely to hang, at most."""
        if self.read_logs or not isinstance(verdict, Finding):
            return verdict
        return replace(verdict, confidence=Confidence.LIKELY, spared=_LOGS_NOT_READ_REASON)

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
                rule,
                candidate.job,
                job,
                candidate.price,
                waits=candidate.waits,
                patience=self.pool_patience,
                now=now,
            )
        return replace(verdict, grace=self.grace_pool) if isinstance(verdict, Finding) else verdict

    def prepare(
        self, aws: Aws, candidate: SuspectJob | SuspectTuner, memo: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return record_job(aws, candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act(aws, target, record, steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return is_done(aws, target, record)

    def ended_otherwise(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
        return ended_otherwise(aws, target, record)

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return its role, if it is not listed; a transform job has none, nor
        has a resource without a restart.
        """
        return detector.missing_role_setting(self.undo_roles, record.get("request", {}).get("RoleArn", ""))

    def reverted_arn(self, target: Target, record: Mapping[str, Any]) -> str:
        return restarted_job_arn(self.name, target, record)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        return restart_job(aws, self.name, target, record, steps)

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return restart_effect_text(self.name, target, record)

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
