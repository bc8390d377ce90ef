"""The demo's buckets, and objects in them that are as old as they should be."""

from __future__ import annotations

from datetime import datetime
from hashlib import shake_128

from ml_janitor_sandbox.demo.people import DANIEL, PLATFORM, Labels
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.times import workday

MODEL_BUCKET = "meridian-ml-models"
CHECKPOINT_BUCKET = "meridian-ml-checkpoints"
DEFAULT_BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"
"""Made by SageMaker's SDK for whoever does not name a bucket; it does not tag it."""

SMALL = 512
"""Bytes of an object of which only the name and the age matter."""


def plan_buckets(plan: Plan) -> None:
    """Make the buckets, before anything is put into them."""
    labels = Labels(project=PLATFORM, environment="production", managed_by="terraform")
    plan.call(workday(870, DEFAULT_BUCKET), DANIEL, "s3.create_bucket", Bucket=DEFAULT_BUCKET)
    for bucket in (MODEL_BUCKET, CHECKPOINT_BUCKET):
        born = workday(900, bucket)
        plan.call(born, labels.creator, "s3.create_bucket", Bucket=bucket)
        tagging = {"TagSet": labels.tags()}
        plan.call(born, labels.creator, "s3.put_bucket_tagging", Bucket=bucket, Tagging=tagging)


def store(
    plan: Plan,
    at: datetime,
    by: str,
    bucket: str,
    key: str,
    *,
    size: int = SMALL,
    seed: str = "",
    tags: str = "",
) -> None:
    """Have *by* put an object there; the same *seed* (by default the key) gives the same bytes."""
    body = shake_128((seed or key).encode()).digest(size)
    plan.call(at, by, "s3.put_object", Bucket=bucket, Key=key, Body=body, Tagging=tags)
