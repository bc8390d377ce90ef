"""The demo's endpoints: what one is made of, and how it comes to be."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ml_janitor.aws.prices import machine_of
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.rows import Row, load
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.demo.times import workday
from ml_janitor_sandbox.demo.traffic import Traffic, Work, measured

DETECTOR = "idle-endpoints"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-serving"
SCALING = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
REQUESTS = "AWS/SageMaker"
LOAD = "/aws/sagemaker/Endpoints"
SAMPLES = 60
"""The datapoints that each instance publishes of its load in an hour."""
IMAGES = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
"""AWS's own account for deep-learning containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Traffic):
    """Instances behind an endpoint, and the traffic to them; without an *instance* type, it is serverless."""

    instance: str | None = None
    count: int = 1
    name: str = "AllTraffic"
    shadow: bool = False
    scaled_to_zero: bool = False
    work: Work = field(default_factory=Work)

    @property
    def runs(self) -> bool:
        """Tell whether there is an instance now."""
        return self.instance is not None and not self.scaled_to_zero

    def configuration(self) -> dict[str, Any]:
        """Return it as a variant of CreateEndpointConfig, but without its model."""
        members: dict[str, Any] = {"VariantName": self.name, "InitialVariantWeight": 1.0}
        if self.instance is None:
            return members | {"ServerlessConfig": {"MemorySizeInMB": 3072, "MaxConcurrency": 10}}
        members |= {"InstanceType": self.instance, "InitialInstanceCount": self.count}
        if self.scaled_to_zero:
            scaling = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 4}
            members["ManagedInstanceScaling"] = scaling
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(Traffic):
    """A model that shares its endpoint's instances with others, and the traffic to it."""

    name: str
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Row):
    """
    One endpoint: made *age* days ago, given a new configuration *redeployed* days ago.

    With *components*, its variants name no model. With a *backlog*, it is asynchronous, and so many requests
    wait now. *recommended* is the instance type that Inference Recommender found best for its model.
    """

    resource: ClassVar[str] = "endpoint"

    age: float
    variants: tuple[Variant, ...]
    components: tuple[Component, ...] = ()
    backlog: int | None = None
    redeployed: float | None = None
    recommended: str = ""
    reports_load: bool = True

    @property
    def created(self) -> datetime:
        return workday(self.age, self.name)

    def plan(self, plan: Plan) -> None:
        self._deploy(plan, self.created, self.name, "create_endpoint", Tags=self.tags())
        for component in self.components:
            self._add(plan, component)
        if self.redeployed is not None:
            at = workday(self.redeployed, self.name)
            self._deploy(plan, at, f"{self.name}-{at:%Y%m%d}", "update_endpoint")
        if self.recommended:
            self._recommend(plan)
        self._measure(plan)

    def _recommend(self, plan: Plan) -> None:
        job = f"{self.name}-sizing"
        plan.call(
            workday(20, self.name),
            self.creator,
            "sagemaker.create_inference_recommendations_job",
            JobName=job,
            JobType="Default",
            RoleArn=ROLE,
            InputConfig={"ModelName": self.name},
            Tags=self.tags(),
        )
        best = {"EndpointName": job, "VariantName": job, "InstanceType": self.recommended}
        costs = {"CostPerHour": 0.204, "CostPerInference": 0.0000011}
        found = {
            "EndpointConfiguration": best | {"InitialInstanceCount": 1},
            "ModelConfiguration": {},
            "Metrics": costs | {"MaxInvocations": 3120, "ModelLatency": 41},
        }
        plan.state("inference_recommendations_jobs", job, InferenceRecommendations=[found])

    def _deploy(self, plan: Plan, at: datetime, config: str, operation: str, **params: Any) -> None:
        by = self.creator
        self.make(
            *(plan, at, "endpoint_config"), EndpointConfigName=config, **self._configuration(plan, at, config)
        )
        names = {"EndpointName": self.name, "EndpointConfigName": config}
        plan.call(at, by, f"sagemaker.{operation}", **names, **params)
        if asleep := [variant.name for variant in self.variants if variant.scaled_to_zero]:
            capacities = [{"VariantName": name, "DesiredInstanceCount": 0} for name in asleep]
            plan.call(
                at,
                SCALING,
                "sagemaker.update_endpoint_weights_and_capacities",
                EndpointName=self.name,
                DesiredWeightsAndCapacities=capacities,
            )

    def _configuration(self, plan: Plan, at: datetime, config: str) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for variant in self.variants:
            members = variant.configuration()
            if not self.components:
                model = config if len(self.variants) == 1 else f"{config}-{variant.name}"
                self._register(plan, at, model, variant)
                members["ModelName"] = model
            part = "ShadowProductionVariants" if variant.shadow else "ProductionVariants"
            params.setdefault(part, []).append(members)
        if self.components:
            params["ExecutionRoleArn"] = ROLE
        if self.backlog is not None:
            output = f"s3://{MODEL_BUCKET}/async-results/{self.name}/"
            params["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": output}}
        return params

    def _register(self, plan: Plan, at: datetime, model: str, variant: Variant) -> None:
        gpu = (variant.instance or "").startswith(("ml.g", "ml.p"))
        self.make(
            *(plan, at, "model"),
            ModelName=model,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": f"{IMAGES}/pytorch-inference:2.6.0-{'gpu' if gpu else 'cpu'}-py312",
                "ModelDataUrl": f"s3://{MODEL_BUCKET}/{self.project}/{model}/model.tar.gz",
            },
        )

    def _add(self, plan: Plan, component: Component) -> None:
        variant = self.variants[0]
        self._register(plan, self.created, component.name, variant)
        needs = {"NumberOfAcceleratorDevicesRequired": 1, "MinMemoryRequiredInMb": 8192}
        self.make(
            *(plan, self.created, "inference_component"),
            InferenceComponentName=component.name,
            EndpointName=self.name,
            VariantName=variant.name,
            Specification={"ModelName": component.name, "ComputeResourceRequirements": needs},
            RuntimeConfig={"CopyCount": component.copies},
        )

    def _measure(self, plan: Plan) -> None:
        """Publish requests under the metric and dimensions that AWS uses for this kind of endpoint."""
        requests = "Invocations" if self.backlog is None else "InvocationsProcessed"
        for variant in self.variants:
            where = {"EndpointName": self.name, "VariantName": variant.name}
            about = f"{self.name}/{variant.name}"
            traffic = self.components[0] if self.components else variant
            if not self.components:
                series = traffic.series(about, self.created)
                plan.publish(REQUESTS, requests, where, series)
                for metric, level in variant.work.requests(series).items():
                    plan.publish(REQUESTS, metric, where, level)
            if variant.runs and self.reports_load:
                made = machine_of(variant.instance or "")
                cpu = variant.work.processor(traffic, about, self.created, made.vcpus)
                rest = variant.work.rest(traffic, self.created, made.gpus or 0)
                for metric, level in {"CPUUtilization": cpu, **rest}.items():
                    plan.publish(LOAD, metric, where, level, SAMPLES * variant.count)
        for component in self.components:
            series = component.series(component.name, self.created)
            plan.publish(REQUESTS, requests, {"InferenceComponentName": component.name}, series)
        if self.backlog is not None:
            waiting = measured(self.created, lambda _: self.backlog or 0)
            plan.publish(REQUESTS, "ApproximateBacklogSize", {"EndpointName": self.name}, waiting)


ENDPOINTS = load("endpoints.toml", Endpoint)
