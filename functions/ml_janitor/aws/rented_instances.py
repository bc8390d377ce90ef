"""
Read which instances a job, a cluster or a variant of an endpoint rents, in each form that AWS answers.

botocore's model requires few members of these forms, as one form stands in for another: a type with a count,
groups, a type that AWS selected from preferences, the types of a flexible group, pools. Where none of them
tells the instances, a `ReadError` names the missing member.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.sagemaker_kinds import (
    CLUSTER,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
)


@dataclass(frozen=True, slots=True)
class RentedInstances:
    """
    A *count* of instances of one *type* ("ml.g5.xlarge").

    *reserved* instances run on a training plan, which was paid for in advance. *spot* instances cost less
    than the list price, by an unknown share.
    """

    type: str
    count: int
    reserved: bool = False
    spot: bool = False


JOB_RESOURCES: Mapping[SageMakerKind, tuple[str, ...]] = {
    TRAINING_JOB: ("ResourceConfig",),
    PROCESSING_JOB: ("ProcessingResources", "ClusterConfig"),
    TRANSFORM_JOB: ("TransformResources",),
}
"""The path to the instances in the description of a job, and in the request that creates it."""

CLUSTER_GROUPS = ("InstanceGroups", "RestrictedInstanceGroups")
"""The lists of groups in the description of a cluster. Restricted groups (for Nova) are billed too."""

_DEFAULT_PROCESSING_COUNT = 1
"""The count of a processing job that names none (SageMaker API reference, ProcessingClusterConfig)."""


def read_rented_instances(kind: SageMakerKind, described: Mapping[str, Any]) -> tuple[RentedInstances, ...]:
    """
    Return the instances of a *described* job or HyperPod cluster: none if it rents none, or none yet.

    Raises `ReadError`, which names the member that would tell the instances.
    """
    if kind is CLUSTER:
        return tuple(_of_cluster(described))
    path = JOB_RESOURCES[kind]
    resources: Mapping[str, Any] = reduce(lambda part, name: part.get(name) or {}, path, described)
    if not resources:
        if kind is TRAINING_JOB and "ServerlessJobConfig" in described:
            return ()
        raise ReadError(f"its description has no {'.'.join(path)}")
    return tuple(_of_job(kind, resources, path[-1]))


def _of_job(kind: SageMakerKind, resources: Mapping[str, Any], member: str) -> Iterator[RentedInstances]:
    reserved = "TrainingPlanArn" in resources
    if groups := resources.get("InstanceGroups"):
        for group in groups:
            yield RentedInstances(group["InstanceType"], group["InstanceCount"], reserved)
        return
    preferred: Sequence[Mapping[str, Any]] = resources.get("InstancePreferences") or ()
    if (selected := resources.get("SelectedInstanceType")) is not None:
        own: Mapping[str, Any] = next((each for each in preferred if each["InstanceType"] == selected), {})
        counts = (
            resources.get("SelectedInstanceCount"), own.get("InstanceCount"), resources.get("InstanceCount")
        )  # fmt: skip
        count = next((count for count in counts if count is not None), None)
        reserved = reserved or bool(own.get("TrainingPlanArns"))
        yield RentedInstances(selected, _present(count, f"{member} has no SelectedInstanceCount"), reserved)
        return
    if preferred:
        return  # AWS has not selected a type yet
    count = resources.get("InstanceCount", _DEFAULT_PROCESSING_COUNT if kind is PROCESSING_JOB else None)
    yield RentedInstances(
        _present(resources.get("InstanceType"), f"{member} has no InstanceType"),
        _present(count, f"{member} has no InstanceCount"),
        reserved,
    )


def _of_cluster(described: Mapping[str, Any]) -> Iterator[RentedInstances]:
    if not any(member in described for member in CLUSTER_GROUPS):
        raise ReadError(f"its description has no {CLUSTER_GROUPS[0]}")
    for group in (group for member in CLUSTER_GROUPS for group in described.get(member) or ()):
        name = group.get("InstanceGroupName", "without a name")
        reserved = "TrainingPlanArn" in group
        spot = "Spot" in group.get("CapacityRequirements", {})
        flexible: Sequence[Mapping[str, Any]] = group.get("InstanceTypeDetails") or ()
        if not flexible and group.get("CurrentCount") == 0:
            continue
        for part in flexible or (group,):
            kind = _present(part.get("InstanceType"), f"its group {name} has no InstanceType")
            count = _present(part.get("CurrentCount"), f"its group {name} has no CurrentCount")
            yield RentedInstances(kind, count, reserved, spot)


def read_variant_instances(
    variant: Mapping[str, Any], running: Mapping[str, Any] | None = None
) -> tuple[RentedInstances, ...]:
    """
    Return the instances of a configured *variant*: those *running*, or else its initial ones.

    *running* is the variant in the description of its endpoint, which alone counts the instances of pools.
    A serverless variant has no instances. Raises `ReadError`.
    """
    if "ServerlessConfig" in variant:
        return ()
    name = variant.get("VariantName", "without a name")
    reserved = "MlReservationArn" in variant.get("CapacityReservationConfig", {})
    if pools := (running or {}).get("InstancePools"):
        return tuple(
            RentedInstances(pool["InstanceType"], pool["CurrentInstanceCount"], reserved) for pool in pools
        )
    if "InstancePools" in variant:
        raise ReadError(f"the counts of the pools of variant {name} are not described")
    counts, member = (
        (variant, "InitialInstanceCount") if running is None else (running, "CurrentInstanceCount")
    )
    kind = _present(variant.get("InstanceType"), f"variant {name} has no InstanceType")
    return (RentedInstances(kind, _present(counts.get(member), f"variant {name} has no {member}"), reserved),)


def _present[T](value: T | None, problem: str) -> T:
    if value is None:
        raise ReadError(problem)
    return value
