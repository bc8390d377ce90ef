"""SageMaker inference components: models that share an endpoint's instances. moto has none."""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.endpoint_configs import MODEL
from moto_corrections.sagemaker.endpoints import ENDPOINT, IN_PROGRESS
from moto_corrections.sagemaker.listing import serve
from moto_corrections.sagemaker.store import Resource, create, get, kind

COMPONENT = kind("InferenceComponent", called="inference component")
serve(COMPONENT, "Describe", "List", by=("EndpointName", "VariantName"))


@serves("sagemaker", "CreateInferenceComponent")
def create_component(call: Call) -> dict[str, Any]:
    """
    Create a component, Creating for a while on an endpoint's variant; an adapter inherits its base's.

    The endpoint must be in service. AWS does not document what it does otherwise; its own SDK waits, and
    so must whoever wants to be sure.
    """
    params = call.params
    endpoint = get(call, ENDPOINT, params["EndpointName"])
    if endpoint.status in IN_PROGRESS:
        raise rejected(f'Endpoint "{endpoint.arn}" is in status {endpoint.status}.')
    base = _base(call)
    variant = params.get("VariantName") or (base and base.members["VariantName"])
    if variant not in {item["VariantName"] for item in endpoint.members["ProductionVariants"]}:
        raise rejected(f'Could not find variant "{variant}" of endpoint "{endpoint.arn}".')
    if name := (params.get("Specification") or {}).get("ModelName"):
        get(call, MODEL, name)
    created = create(
        call,
        COMPONENT,
        "Creating",
        EndpointArn=endpoint.arn,
        VariantName=variant,
        RuntimeConfig={
            "DesiredCopyCount": params.get("RuntimeConfig", {}).get("CopyCount", 1),
            "CurrentCopyCount": 0,
        },
    )
    progress.later(call, created, progress.takes("component.create"), _arrived)
    return {"InferenceComponentArn": created.arn}


def _base(call: Call) -> Resource | None:
    name = (call.params.get("Specification") or {}).get("BaseInferenceComponentName")
    return get(call, COMPONENT, name) if name else None


def _arrived(component: Resource, at: dt.datetime) -> None:
    runtime = component.members["RuntimeConfig"]
    component.members.update(
        InferenceComponentStatus="InService",
        RuntimeConfig=runtime | {"CurrentCopyCount": runtime["DesiredCopyCount"]},
        LastModifiedTime=at,
    )


@serves("sagemaker", "UpdateInferenceComponent")
def update_component(call: Call) -> dict[str, Any]:
    """Set another specification or another number of copies."""
    changed = {
        member: call.params[member]
        for member in ("Specification", "Specifications")
        if call.params.get(member)
    }
    return _update(call, call.params.get("RuntimeConfig"), changed)


@serves("sagemaker", "UpdateInferenceComponentRuntimeConfig")
def update_runtime(call: Call) -> dict[str, Any]:
    """Set another number of copies; zero is allowed."""
    return _update(call, call.params["DesiredRuntimeConfig"], {})


def _update(call: Call, runtime: dict[str, Any] | None, changed: dict[str, Any]) -> dict[str, Any]:
    """Update what is desired at once, and what is there after Updating for a while."""
    component = _changeable(call)
    if runtime:
        changed["RuntimeConfig"] = component.members["RuntimeConfig"] | {
            "DesiredCopyCount": runtime["CopyCount"]
        }
    component.touch(InferenceComponentStatus="Updating", **changed)
    progress.later(call, component, progress.takes("component.update"), _arrived)
    return {"InferenceComponentArn": component.arn}


@serves("sagemaker", "DeleteInferenceComponent")
def delete_component(call: Call) -> None:
    """
    Delete a component, which is Deleting for a while, and on its endpoint until it is gone.

    Refused while it is Creating (aws/amazon-sagemaker-examples #3432, where one hung there for days).
    """
    progress.vanishes(call, _changeable(call), "component.delete")


def _changeable(call: Call) -> Resource:
    component = get(call, COMPONENT)
    if component.status in IN_PROGRESS:
        raise rejected(f'Inference component "{component.arn}" is in status {component.status}.')
    return component
