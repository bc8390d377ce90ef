"""SageMaker's inference experiments (shadow tests) over endpoints. moto has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ml_janitor_sandbox.fixes.endpoints import ENDPOINT
from ml_janitor_sandbox.listing import serve_describe, serve_list
from ml_janitor_sandbox.patches import Call, serves
from ml_janitor_sandbox.shelves import KINDS, Kind, create, get


@dataclass(frozen=True, slots=True)
class _Experiments(Kind):
    """Its members are plain `Name`, `Arn` and `Status`."""

    @property
    def name_member(self) -> str:
        return "Name"

    @property
    def arn_member(self) -> str:
        return "Arn"

    @property
    def status_member(self) -> str:
        return "Status"


EXPERIMENT = _Experiments("InferenceExperiment", "inference_experiments", "inference-experiment")
KINDS[EXPERIMENT.plural] = EXPERIMENT
serve_describe(EXPERIMENT)
serve_list(EXPERIMENT)


@serves("sagemaker", "CreateInferenceExperiment")
def create_experiment(call: Call) -> dict[str, Any]:
    """Running at once, over an endpoint that must exist; what it would deploy is not deployed."""
    endpoint = get(call, ENDPOINT, call.params["EndpointName"])
    made = create(call, EXPERIMENT, "Running", EndpointMetadata={"EndpointName": endpoint.name})
    return {"InferenceExperimentArn": made.arn}
