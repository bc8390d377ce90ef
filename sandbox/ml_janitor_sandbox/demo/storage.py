"""The demo's buckets, the model artifacts in them, and objects that are as old as they should be."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import shake_128
from urllib.parse import urlencode

from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.rows import Row, load
from ml_janitor_sandbox.demo.times import NOW, workday
from ml_janitor_sandbox.demo.traffic import Series

DETECTOR = "duplicate-artifacts"
TIERING = "storage-tiering"

MODEL_BUCKET = "meridian-ml-models"
CHECKPOINT_BUCKET = "meridian-ml-checkpoints"
DEFAULT_BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"

DAY = timedelta(days=1)
WATCHED = 95
"""Days of which it is known how much was read."""

GB = 1024**3
SMALL = 512
"""Bytes of an object of which only the name and the age matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket(Row):
    """
    A bucket, created *age* days ago.

    Requests to what begins with *counted* are counted, of which so many bytes are *read* a day. A bucket
    that *expires* deletes objects after so many days.
    """

    age: float
    counted: str | None = None
    read: float = 0
    expires: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    def plan(self, plan: Plan) -> None:
        """Create it, and tag it if it has labels."""
        at = workday(self.age, self.name)
        plan.call(at, self.creator, "s3.create_bucket", Bucket=self.name)
        if tags := self.tags():
            tagging = {"TagSet": tags}
            plan.call(at, self.creator, "s3.put_bucket_tagging", Bucket=self.name, Tagging=tagging)
        if self.expires:
            rule = {"ID": "short-lived", "Status": "Enabled", "Filter": {"Prefix": ""}}
            plan.call(
                at,
                self.creator,
                "s3.put_bucket_lifecycle_configuration",
                Bucket=self.name,
                LifecycleConfiguration={"Rules": [rule | {"Expiration": {"Days": self.expires}}]},
            )
        if self.counted is not None:
            counts = {"Id": "all"} | ({"Filter": {"Prefix": self.counted}} if self.counted else {})
            plan.call(
                at,
                self.creator,
                "s3.put_bucket_metrics_configuration",
                Bucket=self.name,
                Id="all",
                MetricsConfiguration=counts,
            )
            for metric, value in (("AllRequests", 40.0), ("BytesDownloaded", self.read)):
                daily = Series(NOW - WATCHED * DAY, DAY, (value,) * WATCHED)
                plan.publish("AWS/S3", metric, {"BucketName": self.name, "FilterId": "all"}, daily)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Row):
    """
    An object in the model bucket, *age* days old, with so many *gigabytes* of some *content*.

    By default, it holds what the artifact in production holds.
    """

    age: float
    gigabytes: float = 4.8
    content: str = "search-ranker 2026-07"

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    def plan(self, plan: Plan) -> None:
        bucket, _, key = self.name.partition("/")
        at, tags = workday(self.age, key), urlencode(self.also)
        size = int(self.gigabytes * GB)
        store(plan, at, self.by, bucket, key, tags=tags, ChecksumAlgorithm="SHA256")
        plan.declared[bucket, key] = {"size": size, "seed": self.content}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Row):
    """So many *objects* under a prefix, *gigabytes* together and *age* days old: of their sizes only."""

    age: float
    objects: int
    gigabytes: int

    def plan(self, plan: Plan) -> None:
        """Store them, each as large as the others."""
        bucket, _, prefix = self.name.partition("/")
        for number in range(self.objects):
            key = f"{prefix}/part-{number:05}.parquet"
            store(plan, workday(self.age, self.name), self.by, bucket, key, tags=urlencode(self.also))
            plan.declared[bucket, key] = {"size": -(-self.gigabytes * GB // self.objects)}


def store(
    plan: Plan, at: datetime, by: str, bucket: str, key: str, *, tags: str = "", **members: str
) -> None:
    """Have *by* put a small object there, with the bytes of its key."""
    body = shake_128(key.encode()).digest(SMALL)
    plan.call(at, by, "s3.put_object", Bucket=bucket, Key=key, Body=body, Tagging=tags, **members)


BUCKETS = load("buckets.toml", Bucket)
ARTIFACTS = load("artifacts.toml", Artifact)
DATASETS = load("datasets.toml", Dataset)
