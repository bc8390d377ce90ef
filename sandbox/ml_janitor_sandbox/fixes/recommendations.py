"""Inference Recommender's load tests, which moto lacks. What one found is put there with `/sandbox/state`."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox import progress
from ml_janitor_sandbox.listing import equals, listing, serve_describe
from ml_janitor_sandbox.patches import Call, serves
from ml_janitor_sandbox.sagemaker_store import create, kind

RECOMMENDATION = kind(
    "InferenceRecommendationsJob",
    "inference_recommendations_jobs",
    "inference-recommendations-job",
    members=("JobName", "JobArn", "Status"),
)
serve_describe(RECOMMENDATION)


@serves("sagemaker", "CreateInferenceRecommendationsJob")
def create_job(call: Call) -> dict[str, Any]:
    """In progress for three quarters of an hour, which a default job takes at most; then completed."""
    asked = call.params["InputConfig"]
    names = {name: asked[name] for name in ("ModelName", "ModelPackageVersionArn") if name in asked}
    job = create(call, RECOMMENDATION, "IN_PROGRESS", **names)
    progress.becomes(call, job, "recommendation.create", Status="COMPLETED")
    return {"JobArn": job.arn}


@serves("sagemaker", "ListInferenceRecommendationsJobs")
def list_jobs(call: Call) -> dict[str, Any]:
    """By model, too."""
    wanted = equals(call, "ModelName", "ModelPackageVersionArn").items()
    return listing(call, RECOMMENDATION, only=lambda job: wanted <= job.members.items())
