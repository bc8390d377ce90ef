"""Leftovers in SageMaker besides endpoints, notebooks and jobs, with and without labels."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ml_janitor_sandbox.demo.endpoints import IMAGES
from ml_janitor_sandbox.demo.endpoints import ROLE as SERVING
from ml_janitor_sandbox.demo.jobs import ROLE as TRAINING
from ml_janitor_sandbox.demo.plan import Plan, name_member, sagemaker_arn
from ml_janitor_sandbox.demo.rows import Row, load
from ml_janitor_sandbox.demo.storage import DEFAULT_BUCKET, store
from ml_janitor_sandbox.demo.times import workday

DETECTOR = "untagged-resources"
REQUIRED = ("team", "project", "environment", "cost-center", "owner", "managed-by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover(Row):
    """A model package group, or a resource of another kind that one call creates, *age* days ago."""

    operation: ClassVar[str] = "create_model_package_group"

    age: float

    def params(self) -> dict[str, Any]:
        """Return the parameters of the call, except for tags."""
        return {"ModelPackageGroupName": self.name}

    def plan(self, plan: Plan) -> None:
        params, tags = self.params(), self.tags()
        at = workday(self.age, repr(params))
        plan.call(
            at, self.creator, f"sagemaker.{self.operation}", **params, **({"Tags": tags} if tags else {})
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Leftover):
    """A model that no endpoint uses; *artifact* is its key in the default bucket."""

    operation: ClassVar[str] = "create_model"

    artifact: str

    def params(self) -> dict[str, Any]:
        image = f"{IMAGES}/xgboost-inference:1.7-1"
        container = {"Image": image, "ModelDataUrl": f"s3://{DEFAULT_BUCKET}/{self.artifact}"}
        return {"ModelName": self.name, "ExecutionRoleArn": SERVING, "PrimaryContainer": container}

    def plan(self, plan: Plan) -> None:
        """Store its artifact, and create it."""
        store(plan, workday(self.age, repr(self.params())), self.by, DEFAULT_BUCKET, self.artifact)
        Leftover.plan(self, plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Leftover):
    """A pipeline of one step, which trains in an *image* on *data*."""

    operation: ClassVar[str] = "create_pipeline"

    image: str = ""
    data: str = ""

    def params(self) -> dict[str, Any]:
        step: dict[str, Any] = {"Name": "Train", "Type": "Training"}
        if self.image:
            step["Arguments"] = {"AlgorithmSpecification": {"TrainingImage": self.image}}
        if self.data:
            source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.data}"}}
            step.setdefault("Arguments", {})["InputDataConfig"] = [{"DataSource": source}]
        definition = json.dumps({"Version": "2020-12-01", "Steps": [step]})
        return {
            "PipelineName": self.name,
            "PipelineDefinition": definition,
            "RoleArn": TRAINING,
            "ClientRequestToken": f"{self.name}-{0:032}",
        }


LEFTOVERS = load("leftovers.toml", Leftover, model=Model, pipeline=Pipeline)


def untagged(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """List ARN and name of all that *plan* creates without one of the company's required tags, and why."""
    yield f"arn:aws:s3:::{DEFAULT_BUCKET}", DEFAULT_BUCKET, "it has no tag"
    for step in plan.steps:
        kind = step.operation.removeprefix("create_")
        if step.service != "sagemaker" or kind == step.operation:
            continue
        tags = {tag["Key"]: tag["Value"] for tag in step.params.get("Tags", ())}
        lacking = [key for key in REQUIRED if not tags.get(key, "").strip()]
        if lacking:
            name = step.params[name_member(kind)]
            why = f"without {', '.join(lacking)}" if tags else "it never had a tag"
            yield sagemaker_arn(kind.replace("_", "-"), name), name, why
