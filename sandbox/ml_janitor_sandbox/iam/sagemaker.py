"""SageMaker: an operation's name says the resource type, a parameter its name."""

import re
from collections.abc import Mapping

from ml_janitor_sandbox.iam import autoscaling
from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import Need, Needs
from moto_corrections import model
from moto_corrections.patches import Call
from moto_corrections.sagemaker.endpoints import CONFIG
from moto_corrections.sagemaker.store import KINDS, Kind, resources

_OPERATION = re.compile(r"(Create|Delete|Describe|Start|Stop|Update)([A-Z]\w+)")
_PRESIGNED = re.compile(r"CreatePresigned(\w+)Url")
KEPT_BY_MOTO = (
    *("AppImageConfig", "Cluster", "ModelPackage", "ModelPackageGroup"),
    *("NotebookInstanceLifecycleConfig", "Pipeline", "StudioLifecycleConfig"),
)
"""Nouns that no kind of the sandbox declares; their parameter is the noun and `Name`."""

NESTED: Mapping[str, tuple[str, ...]] = {
    "App": ("DomainId", "UserProfileName|SpaceName", "AppType", "AppName"),
    "Domain": ("DomainId",),
    "Space": ("DomainId", "SpaceName"),
    "UserProfile": ("DomainId", "UserProfileName"),
}
SAME_AS = {
    "CreatePresignedDomainUrl": "UserProfile",
    "InvokeEndpoint": "Endpoint",
    "ListClusterNodes": "Cluster",
    "ListPipelineExecutions": "Pipeline",
    "ListTrainingJobsForHyperParameterTuningJob": "HyperParameterTuningJob",
    "UpdateEndpointWeightsAndCapacities": "Endpoint",
    "UpdateInferenceComponentRuntimeConfig": "InferenceComponent",
}
BOTH = {
    "CreateEndpoint": "EndpointConfig",
    "CreateInferenceComponent": "Endpoint",
    "UpdateEndpoint": "EndpointConfig",
}
"""Operations about a second resource, which has to be allowed too."""

LISTS_ON_RESOURCES = {"ListModelPackages", "ListPipelineExecutionSteps"}
"""Listings that require no member, and whose action is still about a resource."""

TAGGING = {"AddTags", "DeleteTags", "ListTags"}
ROLES = ("ExecutionRoleArn", "RoleArn")
VOLUMES: Mapping[str, tuple[str, ...]] = {
    "CreateProcessingJob": ("ProcessingResources", "ClusterConfig"),
    "CreateTrainingJob": ("ResourceConfig",),
    "CreateTransformJob": ("TransformResources",),
}
"""Where a job says which volumes it wants."""


def needs(call: Call) -> Needs:
    """Return needs as in the service authorization reference of SageMaker."""
    action = f"sagemaker:{call.operation}"
    if _lists_everything(call.operation):
        return [Need(action)]
    if call.operation in TAGGING:
        return [Need(action, call.params["ResourceArn"])]
    if call.operation == "ListPipelineExecutionSteps":
        any_execution = call.arn("sagemaker", "pipeline/*/execution/*")
        return [Need(action, call.params.get("PipelineExecutionArn", any_execution))]
    if call.operation == "ListModelPackages":  # a type is named there, and none of its members asked for
        return [Need(action, call.arn("sagemaker", "model-package/*"))]
    operation = _PRESIGNED.fullmatch(call.operation) or _OPERATION.fullmatch(call.operation)
    noun = SAME_AS.get(call.operation) or (operation and operation[operation.re.groups])
    target = _arn(call, str(noun))
    found = [Need(action, target, _limits(call))]
    if second := BOTH.get(call.operation):
        found.append(Need(action, _arn(call, second)))
    found += _encrypting(call)
    if call.operation == "DeleteEndpoint":
        found += autoscaling.deregistering(call, call.params["EndpointName"])
    if call.operation.startswith("Create") and call.params.get("Tags"):
        found.append(Need("sagemaker:AddTags", target))
    return found + [_passing(call.params[role]) for role in ROLES if call.params.get(role)]


def _lists_everything(operation: str) -> bool:
    """
    Tell whether an operation lists what there is, so that its action has no resource.

    Listings of a resource's parts require a member that names the resource.
    """
    if not operation.startswith("List"):
        return operation == "Search"
    shape = model.operation("sagemaker", operation).input_shape
    return not getattr(shape, "required_members", ()) and operation not in LISTS_ON_RESOURCES


def _limits(call: Call) -> dict[str, Values]:
    """
    Return what a job asks for, under the condition keys of its action; a key without a member is absent.

    Service authorization reference of SageMaker: InstanceTypes is "the list of all instance types associated
    with the resource in the request". AWS does not document whether it fills in defaults.
    """
    given = call.params
    match call.operation:
        case "CreateTrainingJob" | "UpdateTrainingJob":
            jobs = [given]
        case "CreateHyperParameterTuningJob":
            jobs = [given.get("TrainingJobDefinition") or {}, *(given.get("TrainingJobDefinitions") or ())]
        case "CreateProcessingJob":
            cluster = (given.get("ProcessingResources") or {}).get("ClusterConfig") or {}
            jobs = [given | {"ResourceConfig": cluster}]
        case _:
            return {}
    members = ("ResourceConfig", "HyperParameterTuningResourceConfig")
    resources = [job.get(member) or {} for job in jobs for member in members]
    machines = [
        machine
        for each in resources
        for member in ("InstanceGroups", "InstanceConfigs", "InstancePreferences")
        for machine in (each, *(each.get(member) or ()))
    ]
    found = {
        "sagemaker:instancetypes": [machine.get("InstanceType") for machine in machines],
        "sagemaker:maxruntimeinseconds": [
            (job.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") for job in jobs
        ],
        "sagemaker:keepaliveperiod": [each.get("KeepAlivePeriodInSeconds") for each in resources],
    }
    known = {
        key: dict.fromkeys(str(value) for value in values if value is not None)
        for key, values in found.items()
    }
    return {key: tuple(values) for key, values in known.items() if values}


def _key(call: Call) -> str | None:
    """Return the customer's key that the volumes of something new are encrypted under."""
    if call.operation == "CreateEndpoint":
        kept = resources(call, CONFIG).get(call.params["EndpointConfigName"])
        return kept.members.get("KmsKeyId") if kept else None
    given = call.params
    for member in VOLUMES.get(call.operation, ()):
        given = given.get(member) or {}
    return given.get("VolumeKmsKeyId")


def _encrypting(call: Call) -> Needs:
    """
    Return what an endpoint or a job needs whose volumes have a key.

    Amazon SageMaker API permissions reference, CreateEndpoint: "kms:CreateGrant (required only if the
    associated EndPointConfig has a KmsKeyId specified)", and for jobs likewise where a VolumeKmsKeyId is.
    The grant is for AWS.
    """
    if (key := _key(call)) is None:
        return []
    where = key if key.startswith("arn:") else call.arn("kms", f"key/{key}")
    return [Need("kms:CreateGrant", where, {"kms:grantisforawsresource": ("true",)})]


def _passing(role: str) -> Need:
    return Need("iam:PassRole", role, {"iam:passedtoservice": ("sagemaker.amazonaws.com",)})


def _arn(call: Call, noun: str) -> str:
    """
    Return the ARN of what the parameters name; several of them take the ARN itself as well.

    With the letters as they are: the sandbox's ARNs keep their case, where AWS lower-cases an
    endpoint's (https://github.com/philschmid/cdk-samples/issues/2).
    """
    if noun in NESTED:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", noun).lower()
        return call.arn("sagemaker", "/".join([kind, *(_part(call, part) for part in NESTED[noun])]))
    declared = {kind.noun: kind for kind in (*map(Kind, KEPT_BY_MOTO), *KINDS.values())}
    if noun not in declared:
        raise NotImplementedError
    name = call.params[declared[noun].name_member]
    return str(name) if name.startswith("arn:") else declared[noun].arn_of(call, name)


def _part(call: Call, members: str) -> str:
    """Return one part of a nested ARN; a domain that is only being created has no id yet."""
    given = (call.params[name] for name in members.split("|") if name in call.params)
    value = str(next(given, "*"))
    return value.lower() if members == "AppType" else value
