"""Inference Recommender's load tests, which moto lacks. What one found is put there with `/sandbox/state`."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox import progress
from ml_janitor_sandbox.listing import serve
from ml_janitor_sandbox.patches import Call, serves
from ml_janitor_sandbox.sagemaker_store import create, kind

RECOMMENDATION = kind("InferenceRecommendationsJob", members=("JobName", "JobArn", "Status"))
ABOUT = ("ModelName", "ModelPackageVersionArn")
serve(RECOMMENDATION, "Describe", "List", by=ABOUT)


@serves("sagemaker", "CreateInferenceRecommendationsJob")
def create_job(call: Call) -> dict[str, Any]:
    """In progress for three quarters of an hour, which a default job takes at most; then completed."""
    asked = call.params["InputConfig"]
    names = {name: asked[name] for name in ABOUT if name in asked}
    job = create(call, RECOMMENDATION, "IN_PROGRESS", **names)
    progress.becomes(call, job, "recommendation.create", "COMPLETED")
    return {"JobArn": job.arn}
