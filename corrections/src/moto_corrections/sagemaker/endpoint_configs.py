"""SageMaker models and endpoint configurations: what endpoints are deployed from, as often as one likes."""

from __future__ import annotations

from typing import Any

from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker.listing import serve
from moto_corrections.sagemaker.store import check_instance_type, create, get, kind

CONFIG = kind("EndpointConfig", called="endpoint configuration")
MODEL = kind("Model", called="model")
for _kind in (CONFIG, MODEL):
    # In use or not: that strands endpoints of a configuration, and whether AWS allows it for models it does
    # not document.
    serve(_kind, "Describe", "List", "Delete")

VARIANT_LISTS = ("ProductionVariants", "ShadowProductionVariants")


@serves("sagemaker", "CreateEndpointConfig")
def create_endpoint_config(call: Call) -> dict[str, Any]:
    """Keep the configuration; without `ModelName` it is one for inference components."""
    for member in VARIANT_LISTS:
        for number, variant in enumerate(call.params.get(member) or [], 1):
            _check_variant(call, variant, f"{member[0].lower()}{member[1:]}.{number}.member")
    return {"EndpointConfigArn": create(call, CONFIG).arn}


def _check_variant(call: Call, variant: dict[str, Any], where: str) -> None:
    check_instance_type(variant.get("InstanceType"), f"{where}.instanceType")
    for pool in variant.get("InstancePools") or []:
        check_instance_type(pool.get("InstanceType"), f"{where}.instancePools.instanceType")
    if name := variant.get("ModelName"):
        get(call, MODEL, name)
    elif not call.params.get("ExecutionRoleArn"):
        raise rejected("An execution role is required when a production variant names no model.")
    if not any(variant.get(member) for member in ("InstanceType", "InstancePools", "ServerlessConfig")):
        raise rejected(f"{where} names neither an instance type, nor pools, nor a serverless config.")


@serves("sagemaker", "CreateModel")
def create_model(call: Call) -> dict[str, Any]:
    """Keep the model as sent."""
    return {"ModelArn": create(call, MODEL).arn}
