"""SageMaker endpoints and their configurations: real-time, async, serverless, shadowed, scaled."""

from __future__ import annotations

from typing import Any

from sandbox import state
from sandbox.fixes.models import MODEL
from sandbox.listing import listing
from sandbox.patches import AwsError, Call, serves
from sandbox.shelves import Resource, Shelves, check_instance_type, create, delete, get, kind

CONFIG = kind(
    "EndpointConfig",
    "endpoint_configs",
    "endpoint-config",
    missing='Could not find endpoint configuration "{arn}".',
    duplicate=(
        "ValidationException",
        'Cannot create already existing endpoint configuration "{arn}".',
    ),
)
ENDPOINT = kind(
    "Endpoint",
    "endpoints",
    "endpoint",
    missing='Could not find endpoint "{arn}".',
    duplicate=("ValidationException", 'Cannot create already existing endpoint "{arn}".'),
)
# What DescribeEndpoint repeats from the configuration. The instance type is not among it.
FROM_CONFIG = (
    "AsyncInferenceConfig",
    "CrossRegionTrafficConfig",
    "DataCaptureConfig",
    "ExplainerConfig",
    "MetricsConfig",
)
FROM_VARIANT = ("CapacityReservationConfig", "ManagedInstanceScaling", "RoutingConfig")
VARIANT_LISTS = ("ProductionVariants", "ShadowProductionVariants")
# "cannot be updated or deleted" (documentation of EndpointStatus).
UNTOUCHABLE = "SystemUpdating"


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
        message = "An execution role is required when a production variant names no model."
        raise AwsError("ValidationException", message)
    if not any(variant.get(one) for one in ("InstanceType", "InstancePools", "ServerlessConfig")):
        message = f"{where} names neither an instance type, nor pools, nor a serverless config."
        raise AwsError("ValidationException", message)


@serves("sagemaker", "DescribeEndpointConfig")
def describe_endpoint_config(call: Call) -> dict[str, Any]:
    """Everything it was created with."""
    return get(call, CONFIG).members


@serves("sagemaker", "ListEndpointConfigs")
def list_endpoint_configs(call: Call) -> dict[str, Any]:
    """Pages and filters."""
    return listing(call, CONFIG)


@serves("sagemaker", "DeleteEndpointConfig")
def delete_endpoint_config(call: Call) -> None:
    """Configurations in use may be deleted, which strands their endpoints."""
    delete(call, CONFIG)


@serves("sagemaker", "CreateEndpoint")
def create_endpoint(call: Call) -> dict[str, Any]:
    """Deployed at once; `/sandbox/state` sets any other status."""
    config = get(call, CONFIG, call.params["EndpointConfigName"])
    made = create(call, ENDPOINT, "InService", **_deployed(config))
    return {"EndpointArn": made.arn}


def _deployed(config: Resource) -> dict[str, Any]:
    """What an endpoint runs, and how many of each, when it comes up with a configuration."""
    members = {name: config.members[name] for name in FROM_CONFIG if name in config.members}
    for name in VARIANT_LISTS:
        if variants := config.members.get(name):
            members[name] = [_summary(variant) for variant in variants]
    return members


def _summary(variant: dict[str, Any]) -> dict[str, Any]:
    weight = variant.get("InitialVariantWeight", 1.0)
    summary: dict[str, Any] = {
        "VariantName": variant["VariantName"],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
    }
    summary |= {name: variant[name] for name in FROM_VARIANT if name in variant}
    if serverless := variant.get("ServerlessConfig"):
        return summary | {
            "CurrentServerlessConfig": dict(serverless),
            "DesiredServerlessConfig": dict(serverless),
        }
    count = variant.get("InitialInstanceCount", 1)
    summary |= {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
    if pools := variant.get("InstancePools"):
        # All of them come up in the pool of the best priority, as long as it has capacity.
        ranked = sorted(pools, key=lambda pool: pool.get("Priority", 1))
        summary["InstancePools"] = [
            {"InstanceType": pool["InstanceType"], "CurrentInstanceCount": 0 if rank else count}
            for rank, pool in enumerate(ranked)
        ]
    return summary


@serves("sagemaker", "DescribeEndpoint")
def describe_endpoint(call: Call) -> dict[str, Any]:
    """With async and shadow variants, which moto leaves out."""
    return get(call, ENDPOINT).members


@serves("sagemaker", "ListEndpoints")
def list_endpoints(call: Call) -> dict[str, Any]:
    """Ten to a page unless asked otherwise, newest first; moto gives a hundred, oldest first."""
    return listing(call, ENDPOINT)


@serves("sagemaker", "UpdateEndpoint")
def update_endpoint(call: Call) -> dict[str, Any]:
    """Deploy another configuration, at once."""
    endpoint = _changeable(call)
    config = get(call, CONFIG, call.params["EndpointConfigName"])
    for name in (*FROM_CONFIG, *VARIANT_LISTS):
        endpoint.members.pop(name, None)
    endpoint.touch(EndpointConfigName=config.name, **_deployed(config))
    return {"EndpointArn": endpoint.arn}


@serves("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_weights_and_capacities(call: Call) -> dict[str, Any]:
    """Scale or re-weigh variants, at once."""
    endpoint = _changeable(call)
    variants = {one["VariantName"]: one for one in endpoint.members.get("ProductionVariants", [])}
    for desired in call.params["DesiredWeightsAndCapacities"]:
        variant = variants.get(desired["VariantName"])
        if variant is None:
            message = f'The variant name(s) "{desired["VariantName"]}" is/are not present.'
            raise AwsError("ValidationException", message)
        for asked, members in (
            ("DesiredWeight", ("CurrentWeight", "DesiredWeight")),
            ("DesiredInstanceCount", ("CurrentInstanceCount", "DesiredInstanceCount")),
        ):
            if asked in desired:
                variant.update(dict.fromkeys(members, desired[asked]))
        if changed := desired.get("ServerlessUpdateConfig"):
            for member in ("CurrentServerlessConfig", "DesiredServerlessConfig"):
                variant[member] = variant.get(member, {}) | changed
    endpoint.touch()
    return {"EndpointArn": endpoint.arn}


@serves("sagemaker", "DeleteEndpoint")
def delete_endpoint(call: Call) -> None:
    """Refused while inference components run on it."""
    endpoint = _changeable(call)
    on_it = [
        one.name
        for one in state.of(Shelves, call)
        if one.kind.noun == "InferenceComponent" and one.members["EndpointName"] == endpoint.name
    ]
    if on_it:
        message = f'Cannot delete endpoint "{endpoint.arn}": it has inference components {on_it}.'
        raise AwsError("ValidationException", message)
    delete(call, ENDPOINT)


def _changeable(call: Call) -> Resource:
    endpoint = get(call, ENDPOINT)
    if endpoint.status == UNTOUCHABLE:
        message = f'Cannot update or delete endpoint "{endpoint.arn}" in status {UNTOUCHABLE}.'
        raise AwsError("ValidationException", message)
    return endpoint
