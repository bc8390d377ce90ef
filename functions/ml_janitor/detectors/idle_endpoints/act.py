"""Deletes an endpoint by a record of all that an undo needs, and brings it back from the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import batched
from typing import Any

from ml_janitor.aws import endpoints, tags
from ml_janitor.aws.calls import ReadError, ensure, required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import (
    DESCRIBE_SCALABLE_TARGETS,
    ENDPOINT_GONE,
    ENDPOINT_IN_SERVICE,
    EndpointDescription,
    InferenceComponent,
)
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT_CONFIG,
    EXPERIMENT,
    MODEL,
    fit_request,
    texts_in,
)
from ml_janitor.core.model import Target, Value
from ml_janitor.detectors.idle_endpoints.reading import SCALING_SERVICE, HalfDeletion
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps, call_passing_role

#
# An endpoint's inference components and its scaling: reading, removal and restoration.

_RESOURCES_PER_CALL = 50
_TARGET_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
"""The members that identify a scalable target, also in the calls about it."""


# --- inference components --------------------------------------------------------------------------


def read_components(aws: Aws, endpoint: str) -> list[dict[str, Any]]:
    """
    Return every inference component on *endpoint* as plain JSON, the base components first.

    Raises CannotActError for a component that is not in service: an undo would not bring its state back.
    """
    records = aws.map(lambda name: _component(aws, name), list(_listed(aws, endpoint)))
    return sorted(records, key=lambda record: (base_component(record) is not None, record["name"]))


def _listed(aws: Aws, endpoint: str) -> Iterator[str]:
    pages = aws.pages(COMPONENT.lists, EndpointNameEquals=endpoint)
    return (found["InferenceComponentName"] for page in pages for found in page["InferenceComponents"])


def _component(aws: Aws, name: str) -> dict[str, Any]:
    found: Any = aws.sagemaker.describe_inference_component(InferenceComponentName=name)
    status = found["InferenceComponentStatus"]
    if status != ENDPOINT_IN_SERVICE:
        raise CannotActError(f"the inference component {name} on it is {status}, not {ENDPOINT_IN_SERVICE}")
    return {
        "name": name,
        "arn": found["InferenceComponentArn"],
        "variant": found.get("VariantName", ""),
        "created": found["CreationTime"].isoformat(),
        "changed": max(found["CreationTime"], found["LastModifiedTime"]).isoformat(),
        "arguments": component_arguments(aws, found),
        "tags": read_own_tags(aws, found["InferenceComponentArn"]),
    }


def component_arguments(aws: Aws, described: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of CreateInferenceComponent for another component like the one *described*.

    The description holds the image as deployed, the copies as desired, and either one specification or one
    per instance type. An adapter uses its base's copies, compute and variant.
    """
    whole = dict(described)
    if whole.get("Specifications"):
        del whole["Specification"]
        whole["Specifications"] = [_specification(specification) for specification in whole["Specifications"]]
    else:
        whole["Specification"] = _specification(whole["Specification"])
    if "BaseInferenceComponentName" in whole.get("Specification", {}):
        del whole["VariantName"]
        whole["Specification"].pop("ComputeResourceRequirements", None)
        whole.pop("RuntimeConfig", None)
    else:
        whole["RuntimeConfig"] = {"CopyCount": whole["RuntimeConfig"]["DesiredCopyCount"]}
    return fit_request(aws, "sagemaker", "CreateInferenceComponent", whole)


def _specification(described: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(described)
    if image := whole.get("Container", {}).get("DeployedImage", {}).get("SpecifiedImage"):
        whole["Container"] = {**whole["Container"], "Image": image}
    return whole


def base_component(record: Mapping[str, Any]) -> str | None:
    """Return the base component of an adapter; None for a component of its own."""
    base: str | None = record["arguments"].get("Specification", {}).get("BaseInferenceComponentName")
    return base


def find_component(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """Return the present description of the component *name*, or None if it does not exist."""
    found: Any = unless_gone(
        lambda: aws.sagemaker.describe_inference_component(InferenceComponentName=name), ENDPOINT_GONE
    )
    if found is None:
        return None
    if "InferenceComponentStatus" not in found:
        raise ReadError(f"the description of inference component {name} was cut off")
    return dict(found)


def delete_component(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Delete the very component of *record*. Success also if it is gone, being
    deleted, or replaced by another.
    """
    if not is_component_attached(aws, record):
        return
    ensure(
        lambda: aws.sagemaker.delete_inference_component(InferenceComponentName=record["name"]),
        lambda: not is_component_attached(aws, record),
    )


def is_component_attached(aws: Aws, record: Mapping[str, Any]) -> bool:
    """Return whether the very component of *record* exists, and is not being deleted."""
    found = find_same_component(aws, record)
    return found is not None and found["InferenceComponentStatus"] != "Deleting"


def find_same_component(aws: Aws, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the description of the very component of *record*; None if another has its name now."""
    found = find_component(aws, record["name"])
    if found is None or found["CreationTime"].isoformat() != record["created"]:
        return None
    return found


def find_other_component(aws: Aws, endpoint: str, records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of a component on *endpoint* that is not among *records*; None if there is none."""
    created = {record["name"]: record["created"] for record in records}
    for name in _listed(aws, endpoint):
        found = find_component(aws, name)  # a listing may still name a deleted component
        if found is not None and found["CreationTime"].isoformat() != created.get(name):
            return name
    return None


def create_component(aws: Aws, record: Mapping[str, Any]) -> None:
    """Create the component of *record* again. A component of its name on the same endpoint is success."""
    arguments = record["arguments"]

    def created() -> bool:
        found = find_component(aws, record["name"])
        return found is not None and found["EndpointName"] == arguments["EndpointName"]

    ensure(
        lambda: aws.sagemaker.create_inference_component(**arguments, **tags.tags_argument(record["tags"])),
        created,
    )


def read_own_tags(aws: Aws, arn: str) -> dict[str, str]:
    """Return the tags of *arn* that can be set again: AWS's own cannot. Raises ReadError."""
    match tags.read_sagemaker_tags(aws, arn):
        case Value(read):
            return tags.settable_tags(read)
        case unread:
            raise ReadError(f"the tags of {arn} could not be read: {getattr(unread, 'error', unread)}")


# --- scaling ---------------------------------------------------------------------------------------


def read_scaling(aws: Aws, resources: Sequence[str]) -> list[dict[str, Any]]:
    """
    Return the scaling of *resources* ("endpoint/NAME/variant/NAME") as plain
    JSON, with all that depends on it.

    Raises CannotActError for a step policy that somebody's own alarm calls: the alarm names the policy by an
    ARN that AWS makes anew, so it would call nothing after an undo.
    """
    found = []
    for asked in batched(resources, _RESOURCES_PER_CALL):
        pages = aws.pages(DESCRIBE_SCALABLE_TARGETS, ServiceNamespace="sagemaker", ResourceIds=list(asked))
        found += [target for page in pages for target in page["ScalableTargets"]]
    return [_scalable_target(aws, target) for target in found]


def _scalable_target(aws: Aws, target: Mapping[str, Any]) -> dict[str, Any]:
    where = {name: target[name] for name in _TARGET_KEY}
    policies = list(_hanging(aws, "ScalingPolicies", where))
    for policy in policies:
        if policy["PolicyType"] == "StepScaling" and (alarms := policy.get("Alarms")):
            raise CannotActError(
                f"the alarm {alarms[0]['AlarmName']} calls the scaling policy {policy['PolicyName']} of "
                f"{where['ResourceId']}, and could not call the one that an undo makes"
            )
    actions = _hanging(aws, "ScheduledActions", where)
    arn = target.get("ScalableTargetARN")
    own = aws.client(SCALING_SERVICE).list_tags_for_resource(ResourceARN=arn)["Tags"] if arn else {}
    registered = fit_request(aws, SCALING_SERVICE, "RegisterScalableTarget", target)
    registered.pop("RoleARN", None)  # SageMaker's role is service-linked, and AWS uses it by itself
    return {
        "target": registered,
        "tags": tags.settable_tags(own),
        "policies": [fit_request(aws, SCALING_SERVICE, "PutScalingPolicy", policy) for policy in policies],
        "actions": [fit_request(aws, SCALING_SERVICE, "PutScheduledAction", action) for action in actions],
    }


def _hanging(aws: Aws, members: str, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for page in aws.pages(f"{SCALING_SERVICE}:Describe{members}", **where):
        yield from page[members]


def stop_scaling(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Stop scaling the target of *record*, its policies and scheduled actions
    included. Already stopped is success.
    """
    where = {name: record["target"][name] for name in _TARGET_KEY}
    unless_gone(
        lambda: aws.client(SCALING_SERVICE).deregister_scalable_target(**where), ("ObjectNotFoundException",)
    )


def restore_scaling(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """Restore the scaling of *record*. Each call replaces what is there, so that it can be repeated."""
    client, resource = aws.client(SCALING_SERVICE), record["target"]["ResourceId"]
    steps.do(f"scale {resource}", partial(_register, aws, record))
    for policy in record["policies"]:
        name = policy["PolicyName"]
        steps.do(f"scale {resource} by policy {name}", partial(client.put_scaling_policy, **policy))
    for action in record["actions"]:
        name = action["ScheduledActionName"]
        steps.do(f"scale {resource} as scheduled by {name}", partial(_schedule, aws, action))


def _register(aws: Aws, record: Mapping[str, Any]) -> None:
    """Register the target, then tag it: AWS refuses registering again with tags, as after a lost answer."""
    client = aws.client(SCALING_SERVICE)
    arn = client.register_scalable_target(**record["target"])["ScalableTargetARN"]
    if record["tags"]:
        client.tag_resource(ResourceARN=arn, Tags=record["tags"])


def _schedule(aws: Aws, action: Mapping[str, Any]) -> None:
    """Put the scheduled *action*. AWS refuses an action whose time is over, which needs nothing more."""
    once = action["Schedule"].startswith("at(") or "EndTime" in action
    ensure(
        lambda: aws.client(SCALING_SERVICE).put_scheduled_action(**action),
        lambda: once,
        codes=("ValidationException",),
    )


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
    on_it = read_components(aws, target.name)
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
        "configuration_tags": read_own_tags(aws, config["EndpointConfigArn"]),
        "components": on_it,
        "scaling": read_scaling(
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
            steps.do(f"stop scaling {resource}", partial(stop_scaling, aws, record))
    for component in reversed(on_it):  # adapters before their base
        steps.do(
            f"delete inference component {component['name']}",
            partial(delete_component, aws, component),
        )
    left = [component["name"] for component in on_it if find_same_component(aws, component)]
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
    if (name := find_other_component(aws, undo["endpoint"], undo["components"])) is not None:
        return f"the inference component {name} was put on it meanwhile"
    return None


def _itself(aws: Aws, target: Target) -> EndpointDescription | None:
    """Return the very endpoint *target* as it runs now; None if it is gone. Raises ReadError."""
    found = required_value(endpoints.describe_endpoint(aws, target.name))
    return found if found is not None and found.summary.created == target.created else None


# --- bringing it back -----------------------------------------------------------------------------
#
# Brings an endpoint back from its record: configuration, endpoint, weights, components, scaling.

_CREATE_STEP = "create the endpoint"
"""The step by which the undo recognises an endpoint of the same name as its own."""


def revert(aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Bring *target* back as far as it is gone, in recorded steps; each waits until AWS has finished the last.

    Raises NotFinishedError while AWS is at work, and CannotActError where it needs a person: another endpoint
    or configuration has the name now, or AWS has no capacity. The undo deletes an endpoint that AWS could not
    create, so that it can be tried again.
    """
    found = _endpoint(aws, target.name)
    if found is None:
        steps.do("create the configuration", lambda: _configure(aws, record))
        _make(steps, _CREATE_STEP, lambda: _create(aws, record))
        raise NotFinishedError("its endpoint is being created")
    _check(aws, target, record, found, steps)
    anew = found["CreationTime"] != target.created
    if anew and (wanted := capacity_changes(record["desired"], found)):
        rescale: Any = aws.sagemaker.update_endpoint_weights_and_capacities
        asked = {"EndpointName": target.name, "DesiredWeightsAndCapacities": wanted}
        steps.do("bring back weights and instance counts", partial(rescale, **asked))
        _check(aws, target, record, _endpoint(aws, target.name) or found, steps)
    _put_on(aws, record, steps)
    for scaled in record["scaling"]:
        of_variant = str(scaled["target"]["ResourceId"]).startswith("endpoint/")
        if anew or not of_variant:  # half an act leaves the variants alone
            restore_scaling(aws, scaled, steps)


def _make(steps: Steps, name: str, call: Callable[[], object]) -> None:
    """Create it again even if an earlier try did: that try may have failed, and been cleared away."""
    steps.forget(name)
    steps.do(name, call)


def _endpoint(aws: Aws, name: str) -> Mapping[str, Any] | None:
    found: Any = unless_gone(lambda: aws.sagemaker.describe_endpoint(EndpointName=name), ENDPOINT_GONE)
    if found is None:
        return None
    if "EndpointStatus" not in found:
        raise ReadError("the description of the endpoint was cut off")
    return dict(found)


def _check(
    aws: Aws, target: Target, record: Mapping[str, Any], found: Mapping[str, Any], steps: Steps
) -> None:
    """
    Go on only with an endpoint of the recorded configuration that is in service.

    Somebody may have deployed to an endpoint that half an act left there: its components come back to it all
    the same, if the variants that they ran on still exist.
    """
    status, config = found["EndpointStatus"], found["EndpointConfigName"]
    if status == ENDPOINT_DELETING:
        raise NotFinishedError("its endpoint is still being deleted")
    anew = found["CreationTime"] != target.created
    if anew and config != (own := record["configuration"]["EndpointConfigName"]):
        raise CannotActError(f"an endpoint of its name runs the configuration {config} now, not {own}")
    if anew and not steps.begun(_CREATE_STEP):
        raise CannotActError("an endpoint of its name was created since, and stays as it is")
    if status in ENDPOINT_MOVING:
        raise NotFinishedError(f"its endpoint is {status}")
    if status == "Failed" and anew:
        delete = partial(aws.sagemaker.delete_endpoint, EndpointName=target.name)
        _make(steps, "clear away the endpoint that AWS could not create", delete)
        raise creation_error("the endpoint", found)
    if status != ENDPOINT_IN_SERVICE:
        raise CannotActError(f"its endpoint is {status}, not {ENDPOINT_IN_SERVICE}")
    if not anew and (lost := missing_variant(record, found)) is not None:
        raise CannotActError(f"it was deployed anew, without the variant {lost} of its inference components")


def missing_variant(record: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """
    Return a variant that the recorded components ran on and the endpoint
    *found* no longer has, or None.
    """
    there = {variant["VariantName"] for variant in found["ProductionVariants"]}
    return next(
        (component["variant"] for component in record["components"] if component["variant"] not in there),
        None,
    )


def creation_error(what: str, found: Mapping[str, Any]) -> CannotActError:
    """Return the error that *what* could not be created, in AWS's own words."""
    why = found.get("FailureReason", "it does not say why").rstrip(".")
    return CannotActError(f"AWS could not create {what}: {why}. It can be tried again.")


def _configure(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Create the configuration again, unless it stayed. Never accept another of the same name.

    A configuration cannot be changed, so it is the same while it has its creation time, even if AWS describes
    more of it than at the recording. An equal configuration that somebody made again is accepted too.
    """
    given = record["configuration"]
    name = given["EndpointConfigName"]
    found: Any = unless_gone(
        lambda: aws.sagemaker.describe_endpoint_config(EndpointConfigName=name), ENDPOINT_GONE
    )
    if found is None:
        create = partial(
            aws.sagemaker.create_endpoint_config, **given, **tags.tags_argument(record["configuration_tags"])
        )
        call_passing_role(create, given.get("ExecutionRoleArn", ""))
        return
    same = found["CreationTime"].isoformat() == record.get("configured")
    if not same and fit_request(aws, "sagemaker", "CreateEndpointConfig", found) != given:
        raise CannotActError(f"its configuration {name} was replaced by another of the same name")


def _create(aws: Aws, record: Mapping[str, Any]) -> None:
    name, config = record["endpoint"], record["configuration"]["EndpointConfigName"]

    def created() -> bool:
        found = _endpoint(aws, name)
        return found is not None and found["EndpointConfigName"] == config

    own = tags.tags_argument(record["tags"])
    ensure(
        lambda: aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **own), created
    )


def capacity_changes(
    recorded: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return the request that sets the variants of *found* to the desired state that was *recorded*."""
    now = {variant["VariantName"]: desired_capacity(variant) for variant in found["ProductionVariants"]}
    return [wanted for wanted in recorded if now.get(wanted["VariantName"]) != wanted]


def _put_on(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """Create the missing components, base components first, and wait until all are in service."""
    coming = []
    for component in record["components"]:
        base = base_component(component)
        if base in coming:
            raise NotFinishedError(f"inference component {base}, which others stand on, is being created")
        name = component["name"]
        found = find_component(aws, name)
        if found is None:
            _make(
                steps,
                f"create inference component {name}",
                partial(create_component, aws, component),
            )
        elif found["EndpointName"] != record["endpoint"]:
            raise CannotActError(f"an inference component on {found['EndpointName']} has the name {name} now")
        elif found["InferenceComponentStatus"] == "Failed":
            if found["CreationTime"].isoformat() != component["created"]:
                delete = partial(aws.sagemaker.delete_inference_component, InferenceComponentName=name)
                _make(steps, f"clear away inference component {name} that AWS could not create", delete)
            raise creation_error(f"inference component {name}", found)
        if found is None or found["InferenceComponentStatus"] != ENDPOINT_IN_SERVICE:
            coming.append(name)
    if coming:
        raise NotFinishedError(f"inference component {', '.join(coming)} is being created")
