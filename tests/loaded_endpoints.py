"""Endpoints in the sandbox with the load of two weeks, and what is said of them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from conftest import NOW
from endpoint_seed import DAY, HOUR, INSTANCES, ROLE, SAGEMAKER, Seed
from ml_janitor.core.results import Result
from past_jobs import word
from sagemaker_requests import scalable_target

WINDOW = 14 * 24
"""Hours."""
LATER = NOW + timedelta(minutes=25)
"""Within an hour that does not count yet."""

USUAL: dict[str, Any] = {
    "CPUUtilization": 144.0,
    "MemoryUtilization": 22.0,
    "ConcurrentRequestsPerModel": 2.0,
    "Invocations": 9.0,
}
"""Of an ml.c5.2xlarge, 1.44 of the 8 vCPUs and 22 % of the memory: an ml.c5.xlarge is enough."""


class Loads(Seed):
    """Endpoints of any age, and their load."""

    def made(
        self,
        name: str,
        *,
        kind: str = "ml.c5.2xlarge",
        count: int = 1,
        age: timedelta = 30 * DAY,
        variants: tuple[str, ...] = ("blue",),
        model: str = "model",
        tags: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        given = {"InstanceType": kind, "InitialInstanceCount": count, "ModelName": model}
        each = [{"VariantName": one, **given} for one in variants]
        self.endpoint(name, *each, age=age, tags=tags, **config)

    def busy(
        self,
        name: str,
        *,
        at: timedelta = 100 * HOUR,
        spike: Mapping[str, float] | None = None,
        region: str = "us-east-1",
        **levels: Any,
    ) -> None:
        """Each hour at the usual *levels*, or at those of a list; *spike* is for a minute, so long ago."""
        where = {"EndpointName": name, "VariantName": "blue"}
        for metric, level in (USUAL | levels).items():
            namespace = INSTANCES if metric.endswith("Utilization") else SAGEMAKER
            values = level if isinstance(level, list) else [level] * WINDOW
            asked = (USUAL | levels).get("Invocations")
            each = {"samples": int(asked)} if metric == "ModelLatency" and isinstance(asked, float) else {}
            series = {"metric": metric, "dimensions": where, "start": NOW - WINDOW * HOUR, "step": 3600}
            minute = {"start": NOW - at + timedelta(minutes=7), "values": [(spike or {}).get(metric)]}
            self.box.metrics(namespace, [series | each | {"values": values}, series | minute], region=region)

    def hosted(self, name: str, **requests: list[Any]) -> None:
        """Two inference components on one endpoint, each with its *requests*."""
        host = {"VariantName": "blue", "ModelName": None, "InstanceType": "ml.c5.2xlarge"}
        self.endpoint(name, host, ExecutionRoleArn=ROLE)
        self.busy(name, Invocations=[])
        for component, values in requests.items():
            self.component(f"{name}-{component}", name)
            self.publish("Invocations", values, InferenceComponentName=f"{name}-{component}")

    def scaled_between(self, name: str, low: int, high: int) -> None:
        self.scaling.register_scalable_target(**scalable_target(f"endpoint/{name}/variant/blue", low, high))

    def recommended(self, job: str, model: str, *found: tuple[str, float]) -> None:
        """A finished load test of Inference Recommender, which *found* types and dollars an hour."""
        source = {"ModelName": model}
        self.sagemaker.create_inference_recommendations_job(
            JobName=job, JobType="Default", RoleArn=ROLE, InputConfig=source
        )
        where = {"EndpointName": "test", "VariantName": "v", "InitialInstanceCount": 2}
        measured = {"CostPerInference": 0.1, "MaxInvocations": 900, "ModelLatency": 9}
        listed = [
            {
                "Metrics": measured | {"CostPerHour": usd},
                "EndpointConfiguration": where | {"InstanceType": kind},
                "ModelConfiguration": {},
            }
            for kind, usd in found
        ]
        self.box.patch("sagemaker", ["inference_recommendations_jobs", job], InferenceRecommendations=listed)


def told(found: Mapping[str, Result], expected: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """What was *expected* of each, with the whole reason where that says something else."""
    return {
        name: (
            word(one.verdict),
            why if (why := expected[name][1]) in one.verdict.reason else one.verdict.reason,
        )
        for name, one in found.items()
    }
