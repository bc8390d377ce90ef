"""SageMaker: an operation's name says the resource type, a parameter its name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ml_janitor_sandbox.iam import autoscaling
from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import Need, Needs
from moto_corrections.patches import Call
from moto_corrections.sagemaker.endpoint_configs import CONFIG
from moto_corrections.sagemaker.store import resources

_OPERATION = re.compile(r"(Create|Delete|Describe|Start|Stop|Update)([A-Z]\w+)")
NAMED = {
    "AppImageConfig",
    "Cluster",
    "Endpoint",
    "EndpointConfig",
    "HyperParameterTuningJob",
    "InferenceComponent",
    "Model",
    "ModelPackage",
    "ModelPackageGroup",
    "MonitoringSchedule",
    "NotebookInstance",
    "NotebookInstanceLifecycleConfig",
    "Pipeline",
    "ProcessingJob",
    "StudioLifecycleConfig",
    "TrainingJob",
    "TransformJob",
}
"""Nouns whose parameter is the noun and `Name`, and whose ARN type is the noun with dashes."""

PLAIN: Mapping[str, str] = {"InferenceExperiment": "inference-experiment"}
"""Nouns whose parameter is just `Name`."""

NESTED: Mapping[str, tuple[str, ...]] = {
    "App": ("DomainId", "UserProfileName|SpaceName", "AppType", "AppName"),
    "Domain": ("DomainId",),
    "InferenceRecommendationsJob": ("JobName",),
    "Space": ("DomainId", "SpaceName"),
    "UserProfile": ("DomainId", "UserProfileName"),
}
SAME_AS = {
    "CreatePresignedNotebookInstanceUrl": "NotebookInstance",
    "InvokeEndpoint": "Endpoint",
    "ListClusterNodes": "Cluster",
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

LISTS = {
    "ListApps",
    "ListAutoMLJobs",
    "ListClusters",
    "ListCompilationJobs",
    "ListDataQualityJobDefinitions",
    "ListDomains",
    "ListEndpointConfigs",
    "ListEndpoints",
    "ListHyperParameterTuningJobs",
    "ListInferenceExperiments",
    "ListInferenceComponents",
    "ListInferenceRecommendationsJobs",
    "ListModelBiasJobDefinitions",
    "ListModelExplainabilityJobDefinitions",
    "ListModelPackageGroups",
    "ListModelQualityJobDefinitions",
    "ListModels",
    "ListMonitoringExecutions",
    "ListMonitoringSchedules",
    "ListNotebookInstanceLifecycleConfigs",
    "ListNotebookInstances",
    "ListPipelines",
    "ListProcessingJobs",
    "ListSpaces",
    "ListTrainingJobs",
    "ListTransformJobs",
    "ListUserProfiles",
    "Search",
}
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
    if call.operation in LISTS:
        return [Need(action)]
    if call.operation in TAGGING:
        return [Need(action, call.params["ResourceArn"])]
    if call.operation == "ListModelPackages":  # a type is named there, and none of its members asked for
        return [Need(action, call.arn("sagemaker", "model-package/*"))]
    operation = _OPERATION.fullmatch(call.operation)
    noun = SAME_AS.get(call.operation) or (operation and operation[2])
    if noun not in NAMED and noun not in NESTED and noun not in PLAIN:
        raise NotImplementedError
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


def _limits(call: Call) -> dict[str, Values]:
    """
    Return what a job asks for, under the condition keys of its action; a key without a member is absent.

    Service authorization reference of SageMaker: InstanceTypes is "the list of all instance types associated
    with the resource in the request". Whether AWS fills in a default for what a request leaves out is not
    documented.
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
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", noun).lower()
    if noun in NAMED:
        name = call.params[f"{noun}Name"]
        return str(name) if name.startswith("arn:") else call.arn("sagemaker", f"{kind}/{name}")
    if noun in PLAIN:
        return call.arn("sagemaker", f"{PLAIN[noun]}/{call.params['Name']}")
    return call.arn("sagemaker", "/".join([kind, *(_part(call, part) for part in NESTED[noun])]))


def _part(call: Call, members: str) -> str:
    """Return one part of a nested ARN; a domain that is only being created has no id yet."""
    given = (call.params[name] for name in members.split("|") if name in call.params)
    value = str(next(given, "*"))
    return value.lower() if members == "AppType" else value
