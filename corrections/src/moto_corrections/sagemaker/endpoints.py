"""
SageMaker's models, endpoint configurations, endpoints, and inference components that share their instances.

Each change of an endpoint takes its minutes. moto has no components, and loses much of the rest.
"""

import datetime as dt
import hashlib
from typing import Any

from moto_corrections import clock, scaling, state
from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import serve
from moto_corrections.sagemaker.store import (
    Resource,
    SageMakerStore,
    check_instance_type,
    create,
    get,
    kind,
    resources,
)

# --- models and configurations ---

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


# --- endpoints ---

ENDPOINT = kind("Endpoint", called="endpoint")
serve(ENDPOINT, "List")

# What DescribeEndpoint repeats from the configuration. The instance type is not among it.
FROM_CONFIG = (
    "AsyncInferenceConfig",
    "CrossRegionTrafficConfig",
    "DataCaptureConfig",
    "ExplainerConfig",
    "MetricsConfig",
)
FROM_VARIANT = ("CapacityReservationConfig", "ManagedInstanceScaling", "RoutingConfig")
# "cannot be updated or deleted" (documentation of EndpointStatus).
UNTOUCHABLE = "SystemUpdating"
# The words that AWS's own Kubernetes operator waits for: aws/amazon-sagemaker-operator-for-k8s, where
# DeleteEndpointInProgressMessagePrefix is this with the code ValidationException.
IN_PROGRESS = ("Creating", "Updating", "RollingBack", "Deleting")
SERVING = ("InService", "RollingBack", "SystemUpdating", "UpdateRollbackFailed", "Updating")
"""What answers requests and is billed; after a failed rollback it is "in service with a mix" of variants."""

# Five of seven recorded answers about endpoints in these statuses name no variant.
WITHOUT_VARIANTS = ("Creating", "Failed")


@serves("sagemaker", "DescribeEndpoint")
def describe_endpoint(call: Call) -> dict[str, Any]:
    """Return all that is known of it; its variants once it has come up."""
    endpoint = get(call, ENDPOINT)
    hidden = VARIANT_LISTS if endpoint.status in WITHOUT_VARIANTS else ()
    return {name: value for name, value in endpoint.members.items() if name not in hidden}


@serves("sagemaker", "CreateEndpoint")
def create_endpoint(call: Call) -> dict[str, Any]:
    """
    Create an endpoint: Creating for some minutes, then in service; `override` sets any other status.

    A name comes free again when the endpoint that had it is gone, and not while it is Deleting.
    """
    config = get(call, CONFIG, call.params["EndpointConfigName"])
    created = create(call, ENDPOINT, "Creating", **_deployed(call, config, clock.now()))
    progress.becomes(call, created, "endpoint.create", "InService")
    return {"EndpointArn": created.arn}


def _deployed(call: Call, config: Resource, at: dt.datetime) -> dict[str, Any]:
    """Return the variants of an endpoint that comes up with a configuration, and the count of each."""
    members = {name: config.members[name] for name in FROM_CONFIG if name in config.members}
    for name in VARIANT_LISTS:
        if variants := config.members.get(name):
            members[name] = [_summary(variant) | _images(call, variant, at) for variant in variants]
    return members


def _images(call: Call, variant: dict[str, Any], at: dt.datetime) -> dict[str, Any]:
    """Return the digest that each image of its model had when it was deployed."""
    model = resources(call, MODEL).get(variant.get("ModelName", ""))
    if model is None:
        return {}
    containers = [model.members.get("PrimaryContainer"), *(model.members.get("Containers") or ())]
    images = [container["Image"] for container in containers if container and container.get("Image")]
    deployed = [
        {
            "SpecifiedImage": image,
            "ResolvedImage": f"{image.partition(':')[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}",
            "ResolutionTime": at,
        }
        for image in images
    ]
    return {"DeployedImages": deployed} if deployed else {}


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


@serves("sagemaker", "UpdateEndpoint")
def update_endpoint(call: Call) -> dict[str, Any]:
    """
    Update an endpoint, which is described as it was until the other configuration is deployed.

    "The describing endpoint only contains information about the current endpoint config" until then
    (aws-controllers-k8s/sagemaker-controller #7), but for the name of the other in PendingDeploymentSummary
    (API reference of DescribeEndpoint). Refused where it would change the instance type of a
    variant that scales automatically (developer guide, "Update endpoints that use auto scaling").
    """
    endpoint = _changeable(call)
    config = get(call, CONFIG, call.params["EndpointConfigName"])
    _keep_scaled_types(call, endpoint, config)

    def deployed(resource: Resource, at: dt.datetime) -> None:
        for name in (*FROM_CONFIG, *VARIANT_LISTS, "PendingDeploymentSummary"):
            resource.members.pop(name, None)
        resource.members.update(_deployed(call, config, at), EndpointConfigName=config.name)
        resource.members.update(EndpointStatus="InService", LastModifiedTime=at)

    pending = {"EndpointConfigName": config.name, "StartTime": clock.now()}
    endpoint.touch(EndpointStatus="Updating", PendingDeploymentSummary=pending)
    progress.later(call, endpoint, progress.takes("endpoint.update"), deployed)
    return {"EndpointArn": endpoint.arn}


def _keep_scaled_types(call: Call, endpoint: Resource, config: Resource) -> None:
    scaled = scaling.scaled_variants(call, endpoint.name)
    before = resources(call, CONFIG).get(endpoint.members["EndpointConfigName"])
    old = {} if before is None else _types(before)
    for variant, instance in _types(config).items():
        if variant in scaled and old.get(variant, instance) != instance:
            raise rejected(
                f'The variant "{variant}" is registered for automatic scaling: its instance type stays.'
            )


def _types(config: Resource) -> dict[str, str | None]:
    return {
        variant["VariantName"]: variant.get("InstanceType")
        for variant in config.members["ProductionVariants"]
    }


@serves("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_weights_and_capacities(call: Call) -> dict[str, Any]:
    """Change the desired state at once, and the current state after Updating for a while."""
    endpoint = _changeable(call)
    reweigh(call, endpoint, call.params["DesiredWeightsAndCapacities"])
    return {"EndpointArn": endpoint.arn}


def reweigh(call: Call, endpoint: Resource, asked: list[dict[str, Any]]) -> None:
    """Make what is *asked* for the desired state of its variants, and in some minutes the current one."""
    variants = {item["VariantName"]: item for item in endpoint.members.get("ProductionVariants", [])}
    if strange := {item["VariantName"] for item in asked} - set(variants):
        raise rejected(f'The variant name(s) "{", ".join(sorted(strange))}" is/are not present.')
    for item in asked:
        variant = variants[item["VariantName"]]
        variant |= {name: item[name] for name in ("DesiredWeight", "DesiredInstanceCount") if name in item}
        if changed := item.get("ServerlessUpdateConfig"):
            variant["DesiredServerlessConfig"] = variant.get("DesiredServerlessConfig", {}) | changed

    def arrived(resource: Resource, at: dt.datetime) -> None:
        for variant in resource.members["ProductionVariants"]:
            wanted = {name: value for name, value in variant.items() if name.startswith("Desired")}
            variant |= {name.replace("Desired", "Current", 1): value for name, value in wanted.items()}
        resource.members.update(EndpointStatus="InService", LastModifiedTime=at)

    endpoint.touch(EndpointStatus="Updating")
    progress.later(call, endpoint, progress.takes("endpoint.update"), arrived)


@serves("sagemaker", "DeleteEndpoint")
def delete_endpoint(call: Call) -> None:
    """
    Delete an endpoint after a while; its configuration stays, and what scaled it does not.

    Refused while inference components are on it, the ones that are being deleted among them: AWS's words
    are those in gruntwork-io/cloud-nuke #1142. "Application Auto Scaling deregisters those models as
    scalable targets without notifying you" (developer guide, "Delete endpoints configured for auto
    scaling"); for inference components that is not said, and there are none by then.
    """
    endpoint = _changeable(call)
    on_it = {"EndpointName": endpoint.name}.items()
    if any(
        resource.kind.noun == "InferenceComponent" and on_it <= resource.members.items()
        for resource in state.of(SageMakerStore, call)
    ):
        raise rejected(
            "Cannot delete endpoint with inference component associated. "
            "Please delete inference component and try it again."
        )
    scaling.deregister_endpoint(call, endpoint.name)
    progress.vanishes(call, endpoint, "endpoint.delete")


def _changeable(call: Call) -> Resource:
    endpoint = get(call, ENDPOINT)
    if endpoint.status == UNTOUCHABLE:
        raise rejected(f'Cannot update or delete endpoint "{endpoint.arn}" in status {UNTOUCHABLE}.')
    if endpoint.status in IN_PROGRESS:
        raise rejected(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    return endpoint


# --- inference components ---

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


@serves("sagemaker", "UpdateInferenceComponentRuntimeConfig")
def update_runtime(call: Call) -> dict[str, Any]:
    """Set another number of copies; zero is allowed. It is desired at once, and there after Updating."""
    component, asked = _changeable_component(call), call.params["DesiredRuntimeConfig"]
    runtime = component.members["RuntimeConfig"] | {"DesiredCopyCount": asked["CopyCount"]}
    component.touch(InferenceComponentStatus="Updating", RuntimeConfig=runtime)
    progress.later(call, component, progress.takes("component.update"), _arrived)
    return {"InferenceComponentArn": component.arn}


@serves("sagemaker", "DeleteInferenceComponent")
def delete_component(call: Call) -> None:
    """
    Delete a component, which is Deleting for a while, and on its endpoint until it is gone.

    Refused while it is Creating (aws/amazon-sagemaker-examples #3432, where one hung there for days).
    """
    progress.vanishes(call, _changeable_component(call), "component.delete")


def _changeable_component(call: Call) -> Resource:
    component = get(call, COMPONENT)
    if component.status in IN_PROGRESS:
        raise rejected(f'Inference component "{component.arn}" is in status {component.status}.')
    return component
