"""Lists of what moto still keeps itself: pipelines, clusters, the model registry, some jobs."""

import copy
import itertools
from collections.abc import Iterable
from typing import Any

from moto.core.utils import camelcase_to_underscores

from moto_corrections import clock, model
from moto_corrections.patches import Call, backend, rejected, replaces, serves
from moto_corrections.sagemaker.jobs import TRAINING
from moto_corrections.sagemaker.listing import Row, answer, list_member
from moto_corrections.sagemaker.store import check_instance_type, resources

DEFINITIONS = ("DataQuality", "ModelBias", "ModelExplainability", "ModelQuality")
NAMED = {
    **dict.fromkeys(
        (f"{definition}JobDefinition" for definition in DEFINITIONS), "MonitoringJobDefinitionName"
    ),
    "ModelPackage": "ModelPackageArn",
}
"""The members with the names of those that are not called after their noun."""
LISTED = ("AutoMLJob", "Cluster", "CompilationJob", "ModelPackageGroup", "Pipeline", *NAMED)
SPELLED = {"MonitoringJobDefinitionName": "job_definition_name", "ClusterStatus": "status"}
"""moto's own spelling of some members; an ARN is often called just so."""


def _rows(call: Call, things: Iterable[Any], name: str, status: str) -> Iterable[Row]:
    member = list_member(call.operation)
    shape: Any = model.output("sagemaker", call.operation).members[member]
    for sequence, thing in zip(itertools.count(), things, strict=False):
        members = {name_of_member: _read(thing, name_of_member) for name_of_member in shape.member.members}
        known = {name_of_member: value for name_of_member, value in members.items() if value is not None}
        known.setdefault("LastModifiedTime", known["CreationTime"])
        yield Row(known, str(known.get(name, "")), known.get(status), sequence)


def _read(thing: Any, member: str) -> Any:
    for attribute in (
        SPELLED.get(member),
        camelcase_to_underscores(member),
        member.endswith("Arn") and "arn",
    ):
        if attribute and (value := getattr(thing, attribute, None)) is not None:
            return value
    return None


def _serve(noun: str) -> None:
    name, status = NAMED.get(noun, f"{noun}Name"), f"{noun}Status"

    @serves("sagemaker", f"List{noun}s")
    def list_them(call: Call) -> dict[str, Any]:
        kept = backend("sagemaker", call.account, call.region)
        things = getattr(kept, f"{camelcase_to_underscores(noun)}s").values()
        wanted = call.params.get("ModelPackageGroupName")
        if noun == "ModelPackage":
            things = [thing for thing in things if thing.model_package_group_name == wanted]
        if approval := call.params.get("ModelApprovalStatus"):
            things = [thing for thing in things if thing.model_approval_status == approval]
        if prefix := call.params.get("PipelineNamePrefix"):
            things = [thing for thing in things if thing.pipeline_name.startswith(prefix)]
        if plan := call.params.get("TrainingPlanArn"):
            plans = [
                (thing, {group.get("TrainingPlanArn") for group in thing.instance_groups}) for thing in things
            ]
            things = [thing for thing, named in plans if plan in named]
        return answer(call, _rows(call, things, name, status))


for _noun in LISTED:
    _serve(_noun)


@serves("sagemaker", "UpdatePipeline")
def update_pipeline(call: Call) -> dict[str, Any]:
    """Update a pipeline as moto does, and the time of its last change, which moto leaves as it was."""
    given = {camelcase_to_underscores(name): value for name, value in call.params.items()}
    kept = backend("sagemaker", call.account, call.region)
    arn = kept.update_pipeline(**given)
    kept.pipelines[given["pipeline_name"]].last_modified_time = clock.now()
    return {"PipelineArn": arn}


@serves("sagemaker", "ListPipelineExecutionSteps")
def list_execution_steps(call: Call) -> dict[str, Any]:
    """
    List the training jobs that an execution ran, as its steps.

    Their names tell the execution: "pipelines-ID-STEP-ID" (an assumption, from AWS's examples).
    """
    execution = call.params.get("PipelineExecutionArn", "").rpartition("/")[2]
    ran = [
        job for job in resources(call, TRAINING).values() if job.name.startswith(f"pipelines-{execution}-")
    ]
    steps = [
        {"StepName": job.name.split("-")[2], "Metadata": {"TrainingJob": {"Arn": job.arn}}} for job in ran
    ]
    return {"PipelineExecutionSteps": steps}


@serves("sagemaker", "UpdateModelPackage")
def update_package(call: Call) -> dict[str, Any]:
    """Update what is asked for: moto drops an approval that is not given, and updates no containers."""
    kept, params = backend("sagemaker", call.account, call.region), call.params
    arn = params["ModelPackageArn"]
    package = kept.model_packages.get(kept.model_package_name_mapping.get(arn, arn))
    if package is None:
        raise rejected(f"Model package {arn} does not exist.")
    for member in ("ApprovalDescription", "InferenceSpecification", "ModelApprovalStatus"):
        if member in params:
            setattr(package, camelcase_to_underscores(member), params[member])
    for key in params.get("CustomerMetadataPropertiesToRemove", ()):
        (package.customer_metadata_properties or {}).pop(key, None)
    if given := params.get("CustomerMetadataProperties"):
        package.customer_metadata_properties = (package.customer_metadata_properties or {}) | given
    if more := params.get("AdditionalInferenceSpecificationsToAdd"):
        held = package.additional_inference_specifications or []
        package.additional_inference_specifications = [*held, *more]
    package.modifications_done()
    return {"ModelPackageArn": arn}


# --- HyperPod clusters: what AWS accepts is neither refused nor left half made -------------------


@serves("sagemaker", "CreateCluster")
def create_cluster(call: Call) -> dict[str, Any]:
    """
    Create a cluster as moto does; AWS does not require ThreadsPerCore, so it has a default.

    moto trips over its absence after the cluster is in its list.
    """
    params = call.params
    groups = [{"ThreadsPerCore": 1} | copy.deepcopy(group) for group in params.get("InstanceGroups") or ()]
    kept = backend("sagemaker", call.account, call.region)
    arn = kept.create_cluster(
        cluster_name=params["ClusterName"],
        instance_groups=groups,
        vpc_config=params.get("VpcConfig") or {},
        tags=params.get("Tags"),
    )
    return {"ClusterArn": arn}


@replaces("moto.sagemaker.models:Cluster.valid_cluster_node_instance_types", was="027ea1f7aa37")
def any_instance_type(_: Any, instance_type: str) -> None:
    """Accept anything that looks like an instance type: moto's list is years old."""
    check_instance_type(instance_type, "instanceType")
