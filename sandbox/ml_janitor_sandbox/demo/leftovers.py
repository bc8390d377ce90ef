"""What lies about in SageMaker besides endpoints, notebooks and jobs, with and without labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ml_janitor_sandbox.demo.endpoints import IMAGES
from ml_janitor_sandbox.demo.endpoints import ROLE as SERVING
from ml_janitor_sandbox.demo.jobs import ROLE as TRAINING
from ml_janitor_sandbox.demo.people import (
    CATALOG_IMAGES,
    DEMAND_FORECAST,
    ELENA,
    HOME_FEED,
    NOAH,
    SEARCH_RELEVANCE,
    SOFIA,
    SUPPORT_ASSISTANT,
    Labels,
)
from ml_janitor_sandbox.demo.plan import Plan, sagemaker_arn
from ml_janitor_sandbox.demo.storage import DEFAULT_BUCKET, store
from ml_janitor_sandbox.demo.times import workday
from ml_janitor_sandbox.demo.truth import Known

DETECTOR = "untagged-resources"
REQUIRED = ("team", "project", "environment", "cost-center", "owner", "managed-by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that one call made *age* days ago; without *labels* it never had a tag."""

    operation: str
    params: dict[str, Any]
    age: float
    artifact: str | None = None
    """The key of its model in the default bucket."""
    by: str = ""
    labels: Labels | None = None

    def plan(self, plan: Plan) -> None:
        """Have it made."""
        tags = {"Tags": self.labels.tags()} if self.labels else {}
        by = self.by or (self.labels.creator if self.labels else "")
        at = workday(self.age, repr(self.params))
        if self.artifact is not None:
            store(plan, at, by, DEFAULT_BUCKET, self.artifact)
        plan.call(at, by, f"sagemaker.{self.operation}", **self.params, **tags)


def _model(name: str, artifact: str) -> dict[str, Any]:
    image = f"{IMAGES}/xgboost-inference:1.7-1"
    container = {"Image": image, "ModelDataUrl": f"s3://{DEFAULT_BUCKET}/{artifact}"}
    return {"ModelName": name, "ExecutionRoleArn": SERVING, "PrimaryContainer": container}


def _pipeline(name: str) -> dict[str, Any]:
    definition = json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "Train", "Type": "Training"}]})
    return {
        "PipelineName": name,
        "PipelineDefinition": definition,
        "RoleArn": TRAINING,
        "ClientRequestToken": f"{name}-{0:032}",
    }


XGBOOST = "xgboost-2026-08-11-02-13-44/output/model.tar.gz"
ROUTER = "helpdesk-router/model.tar.gz"

LEFTOVERS = (
    Leftover(
        operation="create_model",
        params=_model("sagemaker-xgboost-2026-08-11-02-13-44", XGBOOST),
        artifact=XGBOOST,
        age=56,
        by=ELENA,
    ),
    Leftover(
        operation="create_model",
        params=_model("helpdesk-router-test", ROUTER),
        artifact=ROUTER,
        age=81,
        by=SOFIA,
        labels=Labels(
            project=SUPPORT_ASSISTANT,
            without=("team", "cost-center"),
            also={"Team": "nlp", "cost-center ": "cc-4350"},
        ),
    ),
    Leftover(
        operation="create_model_package_group",
        params={"ModelPackageGroupName": "catalog-vit"},
        age=190,
        labels=Labels(project=CATALOG_IMAGES, environment="production", managed_by="terraform"),
    ),
    Leftover(
        operation="create_model_package_group",
        params={"ModelPackageGroupName": "home-feed-ctr"},
        age=240,
        labels=Labels(project=HOME_FEED, environment="production", managed_by="terraform"),
    ),
    Leftover(
        operation="create_model_package_group",
        params={"ModelPackageGroupName": "forecast-experiments"},
        age=130,
        by=ELENA,
        labels=Labels(project=DEMAND_FORECAST, also={"owner": " "}),
    ),
    Leftover(
        operation="create_pipeline",
        params=_pipeline("search-ranker-weekly"),
        age=270,
        labels=Labels(project=SEARCH_RELEVANCE, environment="production", managed_by="terraform"),
    ),
    Leftover(
        operation="create_pipeline",
        params=_pipeline("copy-of-moderation-retrain"),
        age=33,
        by=NOAH,
    ),
)


def untagged(plan: Plan) -> Iterator[Known]:
    """Everything in *plan* that was made without one of the tags that the company requires."""
    yield Known(DETECTOR, f"arn:aws:s3:::{DEFAULT_BUCKET}", DEFAULT_BUCKET, "it has no tag", "proven")
    for step in plan.steps:
        made = step.operation.removeprefix("create_")
        if step.service != "sagemaker" or made == step.operation:
            continue
        tags = {tag["Key"]: tag["Value"] for tag in step.params.get("Tags", ())}
        lacking = [key for key in REQUIRED if not tags.get(key, "").strip()]
        if lacking:
            name = step.params["".join(map(str.capitalize, made.split("_"))) + "Name"]
            arn = sagemaker_arn(made.replace("_", "-"), name)
            why = f"without {', '.join(lacking)}" if tags else "it never had a tag"
            yield Known(DETECTOR, arn, name, why, "proven")
