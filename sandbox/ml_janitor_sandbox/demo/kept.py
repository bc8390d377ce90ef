"""The demo's log groups and image repositories, of sizes that are said and not stored."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from ml_janitor_sandbox.demo.jobs import Job
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.rows import Row, load
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET, store
from ml_janitor_sandbox.demo.times import NOW, workday
from ml_janitor_sandbox.demo.traffic import Series

DETECTOR = "forgotten-leftovers"
GB = 1024**3
DAY = timedelta(days=1)
WATCHED = 100
"""Days of which it is known what arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup(Row):
    """A log group of *stored* GB, into which so many arrive *daily*, with a *retention* in days or none."""

    age: float
    stored: float
    daily: float = 0
    retention: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{self.name}"

    def plan(self, plan: Plan) -> None:
        at = workday(self.age, self.name)
        plan.call(at, self.creator, "logs.create_log_group", logGroupName=self.name, tags=self.labels)
        if self.retention:
            kept = {"logGroupName": self.name, "retentionInDays": self.retention}
            plan.call(at, self.creator, "logs.put_retention_policy", **kept)
        plan.stored[self.name] = int(self.stored * GB)
        if self.daily:
            arrived = Series(NOW - WATCHED * DAY, DAY, (self.daily * GB,) * WATCHED)
            plan.publish("AWS/Logs", "IncomingBytes", {"LogGroupName": self.name}, arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(Row):
    """An image repository of so many *builds*, one *every* so many days, each of *size* GB of its own."""

    builds: int
    every: float
    size: float

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{self.name}"

    def plan(self, plan: Plan) -> None:
        first = workday(self.every * self.builds, self.name)
        plan.call(first, self.creator, "ecr.create_repository", repositoryName=self.name, tags=self.tags())
        base = _layer("base", 4 * GB)
        for build in range(1, self.builds + 1):
            at = workday(self.every * (self.builds - build + 1), self.name)
            layers = [base, _layer(f"{self.name} {build}", self.size * GB)]
            config = _layer(f"{self.name} config {build}", 9_000)
            manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": layers})
            digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
            plan.call(
                at,
                self.creator,
                "ecr.put_image",
                repositoryName=self.name,
                imageManifest=manifest,
                imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
                imageTag=f"build-{build}",
            )
            plan.pulls.append((self.name, digest, min(at + self.every * DAY, NOW)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJob(Row):
    """A training job that failed *age* days ago, and left so many *gigabytes*."""

    resource: ClassVar[str] = "training-job"

    age: float
    gigabytes: float

    def plan(self, plan: Plan) -> None:
        """Have it fail after two hours, with its output written."""
        began = workday(self.age, self.name)
        ended = began + timedelta(hours=2)
        job = Job(
            **self.common(),
            instance="ml.g5.2xlarge",
            created=began,
            started=began + timedelta(minutes=6),
            ended=ended,
            status="Failed",
        )
        job.appear(plan)
        key = f"training/{self.name}/output/model.tar.gz"
        store(plan, ended, self.creator, MODEL_BUCKET, key)
        plan.declared[MODEL_BUCKET, key] = {"size": int(self.gigabytes * GB)}


def _layer(content: str, size: float) -> dict[str, str | int]:
    return {"digest": "sha256:" + hashlib.sha256(content.encode()).hexdigest(), "size": int(size)}


KEPT = load("kept.toml", LogGroup, repository=Repository, failed=FailedJob)
