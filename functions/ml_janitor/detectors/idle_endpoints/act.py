"""Deletes an endpoint: records all that an undo needs, then removes its components, then the endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ml_janitor.aws import endpoints, tags
from ml_janitor.aws.calls import ReadError, ensure, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import ENDPOINT_IN_SERVICE, EndpointDescription, InferenceComponent
from ml_janitor.aws.sagemaker_kinds import ENDPOINT_CONFIG, EXPERIMENT, MODEL, fit_request, texts_in
from ml_janitor.core.model import Target, Value
from ml_janitor.detectors.idle_endpoints import attached
from ml_janitor.detectors.idle_endpoints.reading import HalfDeletion
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

_RECORDED_SOURCE = "recorded before it was deleted"
_EXPERIMENT_OVER = frozenset({"Completed", "Cancelled"})
"""Statuses of an inference experiment that no longer uses its endpoint."""
ENDPOINT_DELETING = "Deleting"
ENDPOINT_MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
"""Statuses of an endpoint in which AWS refuses to delete it, for a short time."""


# --- record ---------------------------------------------------------------------------------------


def record_endpoint(
    aws: Aws, target: Target, *, judged: Sequence[InferenceComponent], deployed: datetime
) -> dict[str, Any]:
    """
    Return the endpoint *target*, last deployed at *deployed*, as plain JSON:
    its configuration, and later changes.

    Raises CannotActError if an undo would not bring the endpoint back as it is, or if its inference
    components are not those that were *judged*.
    """
    found: Any = aws.sagemaker.describe_endpoint(EndpointName=target.name)
    config: Any = aws.sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    if (
        why := why_not_itself(target, found) or find_drift(found, config) or find_experiment(aws, target.name)
    ) is not None:
        raise CannotActError(why)
    if not isinstance(target.tags, Value):
        raise ReadError("its tags were not read")
    on_it = attached.read_components(aws, target.name)
    if {item["name"] for item in on_it} != {component.name for component in judged}:
        raise CannotActError("other inference components were put on it while it was looked at")
    variants = found["ProductionVariants"]
    return {
        "endpoint": target.name,
        "modified": deployed.isoformat(),
        "tags": tags.settable_tags(target.tags.value),
        "desired": [desired_capacity(variant) for variant in variants],
        "configuration": fit_request(aws, "sagemaker", "CreateEndpointConfig", config),
        "configured": config["CreationTime"].isoformat(),
        "configuration_tags": attached.read_own_tags(aws, config["EndpointConfigArn"]),
        "components": on_it,
        "scaling": attached.read_scaling(
            aws,
            [
                *(f"endpoint/{target.name}/variant/{variant['VariantName']}" for variant in variants),
                *(scaling_component_id(component["name"]) for component in on_it),
            ],
        ),
    }


def needed_for_undo(arn: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ARNs of the configuration and the models that an undo of the endpoint *arn* needs."""
    root = arn.partition(":endpoint/")[0]
    config = record["configuration"]
    models = dict.fromkeys(texts_in([config, record["components"]], "ModelName"))
    names = ((ENDPOINT_CONFIG, config["EndpointConfigName"]), *((MODEL, name) for name in models))
    return tuple(f"{root}:{kind.type}/{name}" for kind, name in names)


def half_done_from_record(record: Mapping[str, Any]) -> HalfDeletion | None:
    """Return the components that an act by *record* may have removed; None if the act has a single step."""
    if not record["components"]:
        return None
    return HalfDeletion(
        removed=tuple(
            InferenceComponent(
                name=component["name"],
                arn=component["arn"],
                endpoint=record["endpoint"],
                variant=component["variant"],
                created=datetime.fromisoformat(component["created"]),
                changed=datetime.fromisoformat(component["changed"]),
                tags=Value(component["tags"], _RECORDED_SOURCE),
            )
            for component in record["components"]
        ),
        deployed=datetime.fromisoformat(record["modified"]),
        config=record["configuration"]["EndpointConfigName"],
    )


def scaling_component_id(name: str) -> str:
    """Return the id of the inference component *name* in Application Auto Scaling."""
    return f"inference-component/{name}"


def desired_capacity(variant: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the desired state of a variant, which an operator or a scaling policy may have changed.

    If AWS manages the number of instances, the number follows the inference components by itself.
    """
    wanted = {"VariantName": variant["VariantName"]}
    if "DesiredWeight" in variant:
        wanted["DesiredWeight"] = variant["DesiredWeight"]
    managed = variant.get("ManagedInstanceScaling", {}).get("Status") == "ENABLED"
    if "DesiredInstanceCount" in variant and not managed:
        wanted["DesiredInstanceCount"] = variant["DesiredInstanceCount"]
    if serverless := variant.get("DesiredServerlessConfig"):
        wanted["ServerlessUpdateConfig"] = {
            name: serverless[name]
            for name in ("MaxConcurrency", "ProvisionedConcurrency")
            if name in serverless
        }
    return wanted


def why_not_itself(target: Target, found: Mapping[str, Any]) -> str | None:
    """Return why *found* is not the judged endpoint at rest, or None."""
    if found["CreationTime"] != target.created:
        return "another endpoint has its name now"
    if found["EndpointStatus"] != ENDPOINT_IN_SERVICE:
        return f"it is {found['EndpointStatus']}, not {ENDPOINT_IN_SERVICE}"
    if "PendingDeploymentSummary" in found:
        return "a deployment to it is going on"
    return None


def find_drift(found: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """
    Return how *found* differs from its configuration, so that an undo would
    restore another endpoint; or None.

    UpdateEndpoint can keep an endpoint's own data capture under a new configuration
    (ExcludeRetainedVariantProperties). The undo puts weights and counts back by itself.
    """
    captured, asked = found.get("DataCaptureConfig"), config.get("DataCaptureConfig")
    if (captured is None) != (asked is None) or (
        captured and capture_settings(captured) != capture_settings(asked or {})
    ):
        return "its data capture is not as its configuration says"
    for members in ("ProductionVariants", "ShadowProductionVariants"):
        runs = {variant["VariantName"]: variant for variant in found.get(members, ())}
        configured = {variant["VariantName"]: variant for variant in config.get(members, ())}
        if runs.keys() != configured.keys():
            return "its variants are not those of its configuration"
        if members == "ShadowProductionVariants" and any(
            is_rescaled(runs[name], configured[name]) for name in runs
        ):
            return "a shadow variant was scaled since its deployment, which no call brings back"
    return None


def capture_settings(config: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a data capture configuration in a form that both descriptions share."""
    sampling = config.get("CurrentSamplingPercentage", config.get("InitialSamplingPercentage"))
    key = config.get("KmsKeyId") or None
    return bool(config.get("EnableCapture")), sampling, config.get("DestinationS3Uri"), key


def is_rescaled(variant: Mapping[str, Any], configured: Mapping[str, Any]) -> bool:
    """Return whether a variant has another number of instances than its configuration *configured*."""
    first = configured.get("InitialInstanceCount")
    return first is not None and variant.get("DesiredInstanceCount", first) != first


def find_experiment(aws: Aws, endpoint: str) -> str | None:
    """Return the inference experiment (a shadow test) that would lose *endpoint*, in words; or None."""
    for page in aws.pages(EXPERIMENT.lists):
        for found in page["InferenceExperiments"]:
            if found["Status"] not in _EXPERIMENT_OVER:
                whole: Any = aws.sagemaker.describe_inference_experiment(Name=found["Name"])
                if whole["EndpointMetadata"]["EndpointName"] == endpoint:
                    return f"the inference experiment {found['Name']} on it is {found['Status']}"
    return None


# --- deletion -------------------------------------------------------------------------------------


def act(aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> None:
    """
    Delete *target* by its record *undo*, in recorded steps.

    An endpoint cannot be deleted before its components are gone, which takes a while:
    NotFinishedError. The act first stops the scaling of components, since no AWS document says
    that AWS does; for a variant, AWS does. If somebody deployed to the endpoint meanwhile, the
    act does not delete it: the next judgement finds it in use.
    """
    on_it = undo["components"]
    names = {scaling_component_id(component["name"]) for component in on_it}
    for record in undo["scaling"]:
        if (resource := record["target"]["ResourceId"]) in names:
            steps.do(f"stop scaling {resource}", partial(attached.stop_scaling, aws, record))
    for component in reversed(on_it):  # adapters before their base
        steps.do(
            f"delete inference component {component['name']}",
            partial(attached.delete_component, aws, component),
        )
    left = [component["name"] for component in on_it if attached.find_same_component(aws, component)]
    if left:
        raise NotFinishedError(f"inference component {', '.join(left)} is still being deleted")
    if (found := _itself(aws, target)) is not None:
        if (status := found.summary.status) in ENDPOINT_MOVING:
            raise NotFinishedError(f"its endpoint is {status}, and cannot be deleted before that ends")
        if (why := _deployed(aws, found, undo)) is not None:
            raise NotFinishedError(why) if on_it else CannotActError(why)
    steps.do("delete the endpoint", partial(_delete, aws, target))


def is_endpoint_gone(aws: Aws, target: Target) -> bool:
    """Return whether the very endpoint *target* is gone, or being deleted. Raises ReadError."""
    found = _itself(aws, target)
    return found is None or found.summary.status == ENDPOINT_DELETING


def _delete(aws: Aws, target: Target) -> None:
    if not is_endpoint_gone(aws, target):
        ensure(
            lambda: aws.sagemaker.delete_endpoint(EndpointName=target.name),
            lambda: is_endpoint_gone(aws, target),
        )


def _deployed(aws: Aws, found: EndpointDescription, undo: Mapping[str, Any]) -> str | None:
    """Return a deployment to the endpoint after *undo* was recorded, in words; or None."""
    if found.config_name != (own := undo["configuration"]["EndpointConfigName"]):
        return f"it runs the configuration {found.config_name} now, not {own}"
    if (name := attached.find_other_component(aws, undo["endpoint"], undo["components"])) is not None:
        return f"the inference component {name} was put on it meanwhile"
    return None


def _itself(aws: Aws, target: Target) -> EndpointDescription | None:
    """Return the very endpoint *target* as it runs now; None if it is gone. Raises ReadError."""
    found = required_value(endpoints.describe_endpoint(aws, target.name))
    return found if found is not None and found.summary.created == target.created else None
