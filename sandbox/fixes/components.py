"""SageMaker inference components: models that share an endpoint's instances. moto has none."""

from __future__ import annotations

from typing import Any

from sandbox.fixes.endpoints import ENDPOINT
from sandbox.fixes.models import MODEL
from sandbox.listing import listing
from sandbox.patches import AwsError, Call, serves
from sandbox.shelves import Resource, create, delete, get, kind

COMPONENT = kind(
    "InferenceComponent",
    "inference_components",
    "inference-component",
    missing='Could not find inference component "{arn}".',
    duplicate=(
        "ValidationException",
        'Cannot create already existing inference component "{arn}".',
    ),
)


@serves("sagemaker", "CreateInferenceComponent")
def create_component(call: Call) -> dict[str, Any]:
    """Placed at once on a variant of an existing endpoint; an adapter inherits its base's."""
    params = call.params
    endpoint = get(call, ENDPOINT, params["EndpointName"])
    base = _base(call)
    variant = params.get("VariantName") or (base and base.members["VariantName"])
    if variant not in {one["VariantName"] for one in endpoint.members["ProductionVariants"]}:
        message = f'Could not find variant "{variant}" of endpoint "{endpoint.arn}".'
        raise AwsError("ValidationException", message)
    if name := (params.get("Specification") or {}).get("ModelName"):
        get(call, MODEL, name)
    made = create(
        call,
        COMPONENT,
        "InService",
        EndpointArn=endpoint.arn,
        VariantName=variant,
        RuntimeConfig=_copies(params.get("RuntimeConfig", {}).get("CopyCount", 1)),
    )
    return {"InferenceComponentArn": made.arn}


def _base(call: Call) -> Resource | None:
    name = (call.params.get("Specification") or {}).get("BaseInferenceComponentName")
    return get(call, COMPONENT, name) if name else None


def _copies(count: int) -> dict[str, int]:
    return {"DesiredCopyCount": count, "CurrentCopyCount": count}


@serves("sagemaker", "DescribeInferenceComponent")
def describe_component(call: Call) -> dict[str, Any]:
    """Everything it was created with, and where it runs."""
    return get(call, COMPONENT).members


@serves("sagemaker", "ListInferenceComponents")
def list_components(call: Call) -> dict[str, Any]:
    """By endpoint and variant, too."""
    wanted = {
        member: call.params[f"{member}Equals"]
        for member in ("EndpointName", "VariantName")
        if call.params.get(f"{member}Equals")
    }
    return listing(call, COMPONENT, only=lambda one: wanted.items() <= one.members.items())


@serves("sagemaker", "UpdateInferenceComponent")
def update_component(call: Call) -> dict[str, Any]:
    """Another specification or another number of copies, at once."""
    component = get(call, COMPONENT)
    changed = {
        member: call.params[member]
        for member in ("Specification", "Specifications")
        if call.params.get(member)
    }
    if runtime := call.params.get("RuntimeConfig"):
        changed["RuntimeConfig"] = _copies(runtime["CopyCount"])
    component.touch(**changed)
    return {"InferenceComponentArn": component.arn}


@serves("sagemaker", "UpdateInferenceComponentRuntimeConfig")
def update_runtime(call: Call) -> dict[str, Any]:
    """Another number of copies, at once; zero is allowed."""
    component = get(call, COMPONENT)
    component.touch(RuntimeConfig=_copies(call.params["DesiredRuntimeConfig"]["CopyCount"]))
    return {"InferenceComponentArn": component.arn}


@serves("sagemaker", "DeleteInferenceComponent")
def delete_component(call: Call) -> None:
    """Gone at once."""
    delete(call, COMPONENT)
