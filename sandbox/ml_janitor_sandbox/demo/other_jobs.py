"""The demo's jobs that are not for training alone: processing, transforming, tuning, and a pool kept warm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ml_janitor_sandbox.demo.job_table import by_hand, minutes, scheduled
from ml_janitor_sandbox.demo.jobs import BOOT, IMAGE, PROCESSORS, ROLE, Job, Log
from ml_janitor_sandbox.demo.people import (
    CATALOG_IMAGES,
    HOME_FEED,
    LISTING_MODERATION,
    LUCAS,
    RAVI,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    Labels,
)
from ml_janitor_sandbox.demo.plan import Plan, Row, sagemaker_arn
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.demo.times import NOW, ago
from ml_janitor_sandbox.demo.traffic import Level, load
from ml_janitor_sandbox.demo.truth import Truth, lookalike, waste


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingJob(Job):
    """One processing job: as a training job, but with other calls, and a status less."""

    group: ClassVar[str] = "/aws/sagemaker/ProcessingJobs"

    @property
    def arn(self) -> str:
        return sagemaker_arn("processing-job", self.name)

    def _create(self, plan: Plan) -> None:
        rented = {"InstanceType": self.instance_type, "InstanceCount": self.count, "VolumeSizeInGB": 200}
        plan.call(
            self.created,
            self.labels.creator,
            "sagemaker.create_processing_job",
            ProcessingJobName=self.name,
            ProcessingResources={"ClusterConfig": rented},
            AppSpecification={"ImageUri": IMAGE},
            RoleArn=ROLE,
            StoppingCondition={"MaxRuntimeInSeconds": int(self.limit.total_seconds())},
            Tags=self.labels.tags(),
        )

    def _advance(self, plan: Plan) -> None:
        members: dict[str, Any] = {"ProcessingStartTime": self.started}
        if self.ended is not None:
            members |= {"ProcessingJobStatus": self.status, "ProcessingEndTime": self.ended}
        plan.state("processing_jobs", self.name, **members)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformJob:
    """One transform job on one instance, in progress since it was *created*, and at work all the time."""

    group: ClassVar[str] = "/aws/sagemaker/TransformJobs"
    host: ClassVar[str] = "i-0b1f6d2c9a7e45310"

    name: str
    labels: Labels
    model: str
    instance_type: str
    created: datetime
    log: Log
    truth: Truth | None = None

    @property
    def arn(self) -> str:
        return sagemaker_arn("transform-job", self.name)

    def plan(self, plan: Plan) -> None:
        """Add everything that made it what it is."""
        folder = f"s3://{MODEL_BUCKET}/batch/{self.name}"
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{folder}/in/"}}
        plan.call(
            self.created,
            self.labels.creator,
            "sagemaker.create_transform_job",
            TransformJobName=self.name,
            ModelName=self.model,
            TransformInput={"DataSource": source},
            TransformOutput={"S3OutputPath": f"{folder}/out/"},
            TransformResources={"InstanceType": self.instance_type, "InstanceCount": 1},
            Tags=self.labels.tags(),
        )
        stream = f"{self.name}/{self.host}-{int(self.created.timestamp())}"
        moment, lines = self.created, []
        while moment < self.log.until:
            lines.append((moment, f"POST /invocations 200 ({self.log.step} records)"))
            moment += self.log.every
        plan.write(self.group, stream, lines)
        cpus, gpus = PROCESSORS[self.instance_type]
        for metric, units in (("CPUUtilization", cpus), ("GPUUtilization", gpus)):
            host = f"{self.name}/{self.host}"
            level = Level(70 * units, 15 * units, 0.0, 0.0)
            series = load(level, f"{host}/{metric}", self.created + BOOT, NOW)
            plan.publish(self.group, metric, {"Host": host}, series)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningJob:
    """One hyperparameter tuning job; the training jobs that it started name it as their tuner."""

    name: str
    labels: Labels
    created: datetime
    truth: Truth | None = None

    @property
    def arn(self) -> str:
        return sagemaker_arn("hyper-parameter-tuning-job", self.name)

    def plan(self, plan: Plan) -> None:
        """Add everything that made it what it is."""
        limits = {"MaxNumberOfTrainingJobs": 24, "MaxParallelTrainingJobs": 3}
        plan.call(
            self.created,
            self.labels.creator,
            "sagemaker.create_hyper_parameter_tuning_job",
            HyperParameterTuningJobName=self.name,
            HyperParameterTuningJobConfig={"Strategy": "Bayesian", "ResourceLimits": limits},
            Tags=self.labels.tags(),
        )


SWEEP = "ranker-lr-sweep-1005"

OTHER_JOBS: tuple[Row, ...] = (
    ProcessingJob(
        name="feature-backfill-2026q3",
        labels=by_hand(SIMILAR_ITEMS, LUCAS),
        instance_type="ml.m5.4xlarge",
        created=ago(hours=31, minutes=18),
        started=ago(hours=31, minutes=10),
        log=Log(every=minutes(3), until=ago(hours=29, minutes=5)),
        hung=ago(hours=29),
        truth=waste("waits for a database that dropped its connection 29 hours ago; its CPU is at rest"),
    ),
    ProcessingJob(
        name="session-features-20261006",
        labels=scheduled(HOME_FEED),
        instance_type="ml.m5.12xlarge",
        count=2,
        created=ago(hours=2, minutes=4),
        started=ago(hours=2),
        log=Log(every=minutes(5)),
    ),
    TransformJob(
        name="catalog-embeddings-20261005",
        labels=scheduled(CATALOG_IMAGES),
        model="image-embeddings-v2",
        instance_type="ml.g4dn.xlarge",
        created=ago(hours=6, minutes=30),
        log=Log(every=minutes(6)),
    ),
    TransformJob(
        name="moderation-rescore-2026q3",
        labels=by_hand(LISTING_MODERATION),
        model="listing-moderation",
        instance_type="ml.g4dn.xlarge",
        created=ago(hours=9, minutes=15),
        log=Log(every=minutes(5), until=ago(hours=7, minutes=20)),
        truth=lookalike("scores one big file, which its model does without a word for hours"),
    ),
    TuningJob(
        name=SWEEP,
        labels=by_hand(SEARCH_RELEVANCE, RAVI),
        created=ago(hours=10, minutes=12),
        truth=lookalike("one of its children hangs, and the others train on"),
    ),
    Job(
        name=f"{SWEEP}-004-c2907b51",
        labels=by_hand(SEARCH_RELEVANCE, RAVI),
        instance_type="ml.g4dn.xlarge",
        created=ago(hours=9, minutes=20),
        started=ago(hours=9, minutes=12),
        log=Log(every=minutes(6), until=ago(hours=8, minutes=3)),
        hung=ago(hours=8),
        spins=False,
        tuner=SWEEP,
        truth=waste("waits for a data loader that died; its GPU and its CPU have rested for eight hours"),
    ),
    *(
        Job(
            name=f"{SWEEP}-{number:03}-5f1c20de",
            labels=by_hand(SEARCH_RELEVANCE, RAVI),
            instance_type="ml.g4dn.xlarge",
            created=ago(hours=hours, minutes=5),
            started=ago(hours=hours),
            log=Log(every=minutes(6)),
            tuner=SWEEP,
        )
        for number, hours in ((7, 2.2), (8, 1.1))
    ),
    Job(
        name="ranker-distill-trial-3",
        labels=by_hand(SEARCH_RELEVANCE, RAVI),
        instance_type="ml.g5.2xlarge",
        created=ago(hours=4, minutes=2),
        started=ago(hours=3, minutes=55),
        ended=ago(hours=1, minutes=40),
        status="Completed",
        log=Log(every=minutes(5), until=ago(hours=1, minutes=42)),
        warm_until=ago(hours=1, minutes=40) + timedelta(hours=6),
        truth=waste("the third and last trial; nobody starts a fourth, and its instance waits all night"),
    ),
)
