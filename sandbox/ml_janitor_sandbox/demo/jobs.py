"""The demo's jobs: training, and processing, transforming and tuning besides."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from ml_janitor.aws.prices import machine_of
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan, sagemaker_arn
from ml_janitor_sandbox.demo.rows import Ago, Row, Span, load
from ml_janitor_sandbox.demo.storage import CHECKPOINT_BUCKET, MODEL_BUCKET, store
from ml_janitor_sandbox.demo.times import NOW, chance
from ml_janitor_sandbox.demo.traffic import Level, moments, utilisation

DETECTOR = "hung-training-jobs"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-training"
IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:2.6.0-gpu-py312"

DIGEST = f"sha256:{sha256(IMAGE.encode()).hexdigest()}"

BOOT = timedelta(minutes=4)
"""Between the start of the instances and the first line of the program."""
OTHER_RANKS = 5
"""How much more rarely the other hosts log than the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Row):
    """
    One training job: *created*, *started* (in billing's sense) or not yet, *ended* or not.

    Its instances work, or from *hung* on do not: each GPU *spins*, or rests. *status* is SageMaker's
    SecondaryStatus. It logs a line *every* so often until it falls *silent*, each line a *step* of the
    program. *saved* are the times of its checkpoints, *tuner* the tuning job that it belongs to, and
    *warm* how long its instances are retained for the next job. A processing job *reads* what is below
    that address in S3.
    """

    resource: ClassVar[str] = "training-job"
    group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    """Its metrics' namespace, and its log group."""

    instance: str
    created: Ago
    count: int = 1
    started: Ago | None = None
    ended: Ago | None = None
    status: str = "Training"
    limit: Span = timedelta(days=5)
    spot: bool = False
    every: Span | None = None
    silent: Ago = NOW - timedelta(minutes=1)
    step: int = 50
    hung: Ago | None = None
    spins: bool = True
    saved: tuple[Ago, ...] = ()
    tuner: str | None = None
    warm: Span | None = None
    reads: str = ""

    @property
    def checkpoints(self) -> str:
        """Return the key under which it saves them."""
        return f"{self.project}/{self.name}/"

    @property
    def artifact(self) -> dict[str, str]:
        """Return the artifact that the job leaves when it is completed."""
        return {"S3ModelArtifacts": f"s3://{MODEL_BUCKET}/training/{self.name}/output/model.tar.gz"}

    def appear(self, plan: Plan) -> None:
        """Add what SageMaker knows of it."""
        self._create(plan)
        self._advance(plan)

    def plan(self, plan: Plan) -> None:
        self.appear(plan)
        if self.started is not None:
            for host in range(1, self.count + 1):
                self._measure(plan, self.started, f"{self.name}/algo-{host}")
                self._write(plan, self.started, host)
        for number, at in enumerate(self.saved, 1):
            key = f"{self.checkpoints}step-{number * 2000:06}/model.pt"
            store(plan, at, self.creator, CHECKPOINT_BUCKET, key)
        if self.ended is not None and self.status == "Completed":
            key = f"training/{self.name}/output/model.tar.gz"
            store(plan, self.ended, self.creator, MODEL_BUCKET, key)

    def _create(self, plan: Plan) -> None:
        limits = {"MaxRuntimeInSeconds": int(self.limit.total_seconds())}
        if self.spot:
            limits["MaxWaitTimeInSeconds"] = 2 * limits["MaxRuntimeInSeconds"]
        self.make(
            *(plan, self.created, "training_job"),
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "FastFile"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{MODEL_BUCKET}/training/"},
            CheckpointConfig={"S3Uri": f"s3://{CHECKPOINT_BUCKET}/{self.checkpoints}"},
            ResourceConfig=self._resources(),
            StoppingCondition=limits,
            EnableManagedSpotTraining=self.spot,
        )

    def _resources(self) -> dict[str, Any]:
        rented = {"InstanceType": self.instance, "InstanceCount": self.count, "VolumeSizeInGB": 500}
        if self.warm is None:
            return rented
        return rented | {"KeepAlivePeriodInSeconds": int(self.warm.total_seconds())}

    def _advance(self, plan: Plan) -> None:
        """Bring it to where it stands: the sandbox's own jobs train from the first moment on."""
        passed: list[tuple[str, datetime]] = [("Starting", self.created)]
        if self.started is not None:
            passed += [("Downloading", self.started), ("Training", self.started + BOOT)]
        if self.status not in {"Starting", "Training"}:
            passed.append((self.status, self.ended or self._last_line))
        ends = [at for _, at in passed[1:]]
        transitions = [
            {"Status": status, "StartTime": at} | ({"EndTime": end} if end else {})
            for (status, at), end in zip(passed, [*ends, self.ended], strict=True)
        ]
        members: dict[str, Any] = {
            "TrainingStartTime": self.started,
            "SecondaryStatus": self.status,
            "SecondaryStatusTransitions": transitions,
            "LastModifiedTime": passed[-1][1],
        }
        if self.ended is not None:
            members |= {"TrainingJobStatus": self.status, "TrainingEndTime": self.ended}
        if self.status == "Completed":
            members["ModelArtifacts"] = self.artifact
        if self.tuner is not None:
            members["TuningJobArn"] = sagemaker_arn("hyper-parameter-tuning-job", self.tuner)
        if self.warm is not None:
            members["WarmPoolStatus"] = self._pool(self.warm)
        plan.state("training_jobs", self.name, **members)

    def _pool(self, warm: timedelta) -> dict[str, Any]:
        if self.ended is None or self.ended + warm > NOW:
            return {"Status": "Available"}
        return {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": int(warm.total_seconds())}

    @property
    def _last_line(self) -> datetime:
        return self.silent if self.every else self.created

    def _measure(self, plan: Plan, started: datetime, host: str) -> None:
        cpus, gpus = processors(self.instance)
        until = min(self.ended or NOW, NOW if self.status == "Training" else self._last_line)
        # While a collective waits, each GPU is full, and one CPU for each; else nothing works.
        spinning = gpus if self.spins else 0
        levels = {
            "CPUUtilization": Level(30 * cpus, 9 * cpus, 103 * spinning or 0.4, 1.5 if spinning else 0.2)
        }
        if gpus:
            levels["GPUUtilization"] = Level(81 * gpus, 17 * gpus, 100 * spinning, 0.04)
        for metric, level in levels.items():
            series = utilisation(level, f"{host}/{metric}", started + BOOT, until, hung=self.hung)
            plan.publish(self.group, metric, {"Host": host}, series)

    def _write(self, plan: Plan, started: datetime, host: int) -> None:
        if self.every is not None:
            stream = f"{self.name}/algo-{host}-{int((started + BOOT).timestamp())}"
            plan.write(self.group, stream, self._lines(self.every, started + BOOT, host))

    def _lines(self, every: timedelta, first: datetime, host: int) -> Iterator[tuple[datetime, str]]:
        """List the lines that the program prints: its start, then its progress at a steady pace."""
        _, gpus = processors(self.instance)
        rank, world = (hosts * max(gpus, 1) for hosts in (host - 1, self.count))
        yield first, f"SM_CURRENT_HOST=algo-{host} SM_NUM_GPUS={gpus}"
        yield first + timedelta(seconds=2), f"[rank{rank}] torch 2.6.0, world size {world}"
        every = every if host == 1 else every * OTHER_RANKS
        for number, at in enumerate(moments(first + every, every, self.silent), 1):
            late = timedelta(seconds=20 * chance(self.name, host, number))
            loss = 1.6 + 8.2 / (1 + number / 14) + 0.08 * chance("loss", self.name, number)
            text = f"[rank{rank}] step {number * self.step} | loss {loss:.4f}"
            yield min(at + late, self.silent), text


def processors(instance: str) -> tuple[int, int]:
    """Return the virtual CPUs and GPUs of an instance type; utilisation is published as 100 for each."""
    made = machine_of(instance)
    return made.vcpus, made.gpus or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingJob(Job):
    """One processing job: as a training job, but with other calls, and a status less."""

    resource: ClassVar[str] = "processing-job"
    group: ClassVar[str] = "/aws/sagemaker/ProcessingJobs"

    def _create(self, plan: Plan) -> None:
        rented = {"InstanceType": self.instance, "InstanceCount": self.count, "VolumeSizeInGB": 200}
        below = {
            "S3Uri": f"s3://{self.reads}/",
            "LocalPath": "/opt/ml/processing/in",
            "S3DataType": "S3Prefix",
        }
        data = {"InputName": "data", "S3Input": below | {"S3InputMode": "File"}}
        self.make(
            *(plan, self.created, "processing_job"),
            ProcessingInputs=[data] if self.reads else [],
            ProcessingResources={"ClusterConfig": rented},
            AppSpecification={"ImageUri": f"{IMAGE}@{DIGEST}" if self.reads else IMAGE},
            RoleArn=ROLE,
            StoppingCondition={"MaxRuntimeInSeconds": int(self.limit.total_seconds())},
        )

    def _advance(self, plan: Plan) -> None:
        members: dict[str, Any] = {"ProcessingStartTime": self.started}
        if self.ended is not None:
            members |= {"ProcessingJobStatus": self.status, "ProcessingEndTime": self.ended}
        plan.state("processing_jobs", self.name, **members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Row):
    """
    Completed jobs that differ by their date, one *every* so often *since* then *until* then.

    Each *lasts* about so long, and leaves nothing but itself, and its instances, *warm* for the next job that
    does not come. *processed* ones are processing jobs.
    """

    resource: ClassVar[str] = "training-job"

    instance: str
    count: int = 1
    every: Span
    lasts: Span
    since: Ago
    until: Ago
    processed: bool = False
    warm: Span | None = None
    reads: str = ""

    def plan(self, plan: Plan) -> None:
        kind = ProcessingJob if self.processed else Job
        for created in moments(self.since, self.every, self.until):
            started = created + timedelta(minutes=5)
            run = kind(
                **self.common() | {"name": f"{self.name}-{created:%Y%m%d}"},
                instance=self.instance,
                count=self.count,
                created=created,
                started=started,
                ended=started + self.lasts * (0.9 + 0.2 * chance(self.name, created)),
                status="Completed",
                warm=self.warm,
                reads=self.reads,
            )
            run.appear(plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformJob(Row):
    """One transform job on one instance, in progress since it was *created*, and at work all the time."""

    resource: ClassVar[str] = "transform-job"
    group: ClassVar[str] = "/aws/sagemaker/TransformJobs"
    host: ClassVar[str] = "i-0b1f6d2c9a7e45310"

    model: str
    instance: str
    created: Ago
    every: Span
    silent: Ago = NOW - timedelta(minutes=1)

    def plan(self, plan: Plan) -> None:
        folder = f"s3://{MODEL_BUCKET}/batch/{self.name}"
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{folder}/in/"}}
        self.make(
            *(plan, self.created, "transform_job"),
            ModelName=self.model,
            TransformInput={"DataSource": source},
            TransformOutput={"S3OutputPath": f"{folder}/out/"},
            TransformResources={"InstanceType": self.instance, "InstanceCount": 1},
        )
        stream = f"{self.name}/{self.host}-{int(self.created.timestamp())}"
        scored = moments(self.created, self.every, self.silent)
        plan.write(self.group, stream, [(at, "POST /invocations 200 (50 records)") for at in scored])
        host = f"{self.name}/{self.host}"
        for metric, units in zip(
            ("CPUUtilization", "GPUUtilization"), processors(self.instance), strict=True
        ):
            level = Level(70 * units, 15 * units, 0.0, 0.0)
            series = utilisation(level, f"{host}/{metric}", self.created + BOOT, NOW)
            plan.publish(self.group, metric, {"Host": host}, series)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningJob(Row):
    """One hyperparameter tuning job; the training jobs that it started name it as their tuner."""

    resource: ClassVar[str] = "hyper-parameter-tuning-job"

    created: Ago

    def plan(self, plan: Plan) -> None:
        limits = {"MaxNumberOfTrainingJobs": 24, "MaxParallelTrainingJobs": 3}
        self.make(
            *(plan, self.created, "hyper_parameter_tuning_job"),
            HyperParameterTuningJobConfig={"Strategy": "Bayesian", "ResourceLimits": limits},
        )


JOBS = load(
    "jobs.toml", Job, family=Family, processing=ProcessingJob, transform=TransformJob, tuning=TuningJob
)
