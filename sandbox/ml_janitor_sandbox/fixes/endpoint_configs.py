"""SageMaker models and endpoint configurations: what endpoints are deployed from, as often as one likes."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox.listing import serve_describe, serve_list
from ml_janitor_sandbox.patches import Call, rejected, serves
from ml_janitor_sandbox.sagemaker_store import check_instance_type, create, delete, get, kind

CONFIG = kind(
    "EndpointConfig",
    "endpoint_configs",
    "endpoint-config",
    missing='Could not find endpoint configuration "{arn}".',
    duplicate=("ValidationException", 'Cannot create already existing endpoint configuration "{arn}".'),
)
serve_describe(CONFIG)
serve_list(CONFIG)

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
    if not any(variant.get(one) for one in ("InstanceType", "InstancePools", "ServerlessConfig")):
        raise rejected(f"{where} names neither an instance type, nor pools, nor a serverless config.")


@serves("sagemaker", "DeleteEndpointConfig")
def delete_endpoint_config(call: Call) -> None:
    """Configurations in use may be deleted, which strands their endpoints."""
    delete(call, CONFIG)


# --- models --------------------------------------------------------------------------------------

MODEL = kind(
    "Model",
    "models",
    "model",
    missing='Could not find model "{arn}".',
    duplicate=("ValidationException", 'Cannot create already existing model "{arn}".'),
)
serve_describe(MODEL)
serve_list(MODEL)


@serves("sagemaker", "CreateModel")
def create_model(call: Call) -> dict[str, Any]:
    """Keep the model as sent."""
    return {"ModelArn": create(call, MODEL).arn}


@serves("sagemaker", "DeleteModel")
def delete_model(call: Call) -> None:
    """Models in use may be deleted; whether AWS allows it is not documented."""
    delete(call, MODEL)
