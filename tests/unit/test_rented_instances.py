"""Each form in which AWS answers what a job, a cluster or a variant rents, and each missing member."""

from dataclasses import replace
from typing import Any

import pytest

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.rented_instances import (
    RentedInstances,
    read_rented_instances,
    read_variant_instances,
)
from ml_janitor.aws.sagemaker_kinds import (
    CLUSTER,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
)
from tables import cases

PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/p5"
G5 = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}
P4 = {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1}
PREFERRED = {"InstancePreferences": [G5, P4 | {"TrainingPlanArns": [PLAN]}]}
CHOSEN = {"SelectedInstanceType": "ml.g5.xlarge", "SelectedInstanceCount": 2}
RESERVED = {"SelectedInstanceType": "ml.p4d.24xlarge", "SelectedInstanceCount": 1}
TWO_G5 = RentedInstances("ml.g5.xlarge", 2)


def training(**resources: Any) -> dict[str, Any]:
    return {"ResourceConfig": resources}


def processing(**cluster: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": cluster}}


def group(**members: Any) -> dict[str, Any]:
    return {"InstanceGroupName": "workers", **members}


def cluster(*groups: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"InstanceGroups": list(groups), **members}


def typed(kind: str, count: int, **members: Any) -> dict[str, Any]:
    return {"InstanceType": kind, "CurrentCount": count, **members}


MIXED = group(
    CurrentCount=3,
    InstanceRequirements={"CurrentInstanceTypes": ["ml.g5.xlarge", "ml.g6.xlarge"]},
    InstanceTypeDetails=[typed("ml.g5.xlarge", 2, ThreadsPerCore=1), typed("ml.g6.xlarge", 1)],
)
NOVA = group(**typed("ml.p5.48xlarge", 4))


@cases(
    "kind, described, rented",
    (TRAINING_JOB, training(**G5), [TWO_G5]),
    (TRAINING_JOB, training(**G5, TrainingPlanArn=PLAN), [replace(TWO_G5, reserved=True)]),
    (
        TRAINING_JOB,
        training(InstanceGroups=[G5 | {"InstanceGroupName": "a"}, P4 | {"InstanceGroupName": "b"}]),
        [TWO_G5, RentedInstances("ml.p4d.24xlarge", 1)],
    ),
    (TRAINING_JOB, training(**PREFERRED, **CHOSEN), [TWO_G5]),
    (TRAINING_JOB, training(**PREFERRED, **RESERVED), [RentedInstances("ml.p4d.24xlarge", 1, reserved=True)]),
    (TRAINING_JOB, training(**PREFERRED, SelectedInstanceType="ml.g5.xlarge"), [TWO_G5]),
    (TRAINING_JOB, training(**PREFERRED), []),  # no type is selected yet
    (TRAINING_JOB, {"ServerlessJobConfig": {}}, []),
    (PROCESSING_JOB, processing(**G5), [TWO_G5]),
    (PROCESSING_JOB, processing(InstanceType="ml.g5.xlarge"), [replace(TWO_G5, count=1)]),
    (PROCESSING_JOB, processing(**PREFERRED, **CHOSEN), [TWO_G5]),
    (TRANSFORM_JOB, {"TransformResources": G5}, [TWO_G5]),
    (CLUSTER, cluster(group(**typed("ml.g5.xlarge", 2))), [TWO_G5]),
    (CLUSTER, cluster(MIXED), [TWO_G5, RentedInstances("ml.g6.xlarge", 1)]),
    (CLUSTER, cluster(RestrictedInstanceGroups=[NOVA]), [RentedInstances("ml.p5.48xlarge", 4)]),
    (
        CLUSTER,
        cluster(MIXED, RestrictedInstanceGroups=[NOVA | {"TrainingPlanArn": PLAN}]),
        [TWO_G5, RentedInstances("ml.g6.xlarge", 1), RentedInstances("ml.p5.48xlarge", 4, reserved=True)],
    ),
    (
        CLUSTER,
        cluster(group(**typed("ml.g5.xlarge", 2), CapacityRequirements={"Spot": {}})),
        [replace(TWO_G5, spot=True)],
    ),
    (CLUSTER, cluster(group(CurrentCount=0, InstanceRequirements={})), []),
    (CLUSTER, cluster(), []),
)
def test_each_form_is_read(
    kind: SageMakerKind, described: dict[str, Any], rented: list[RentedInstances]
) -> None:
    assert list(read_rented_instances(kind, described)) == rented


@cases(
    "kind, described, problem",
    (TRAINING_JOB, {}, "its description has no ResourceConfig"),
    (TRAINING_JOB, training(InstanceCount=2), "ResourceConfig has no InstanceType"),
    (TRAINING_JOB, training(InstanceType="ml.g5.xlarge"), "ResourceConfig has no InstanceCount"),
    (
        TRAINING_JOB,
        training(InstancePreferences=[P4], SelectedInstanceType="ml.g5.xlarge"),
        "ResourceConfig has no SelectedInstanceCount",
    ),
    (PROCESSING_JOB, {}, "its description has no ProcessingResources.ClusterConfig"),
    (PROCESSING_JOB, processing(VolumeSizeInGB=30), "ClusterConfig has no InstanceType"),
    (TRANSFORM_JOB, {"TransformResources": {"InstanceCount": 2}}, "TransformResources has no InstanceType"),
    (CLUSTER, {}, "its description has no InstanceGroups"),
    (CLUSTER, cluster(group(InstanceType="ml.g5.xlarge")), "its group workers has no CurrentCount"),
    (CLUSTER, cluster(group(CurrentCount=2)), "its group workers has no InstanceType"),
    (
        CLUSTER,
        cluster(group(InstanceTypeDetails=[{"InstanceType": "ml.g5.xlarge"}])),
        "its group workers has no CurrentCount",
    ),
)
def test_what_no_form_tells_is_named(kind: SageMakerKind, described: dict[str, Any], problem: str) -> None:
    with pytest.raises(ReadError) as raised:
        read_rented_instances(kind, described)
    assert str(raised.value) == problem


VARIANT = {"VariantName": "main", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 2}
POOLED = {
    "VariantName": "main",
    "InitialInstanceCount": 2,
    "InstancePools": [{"InstanceType": "ml.g5.xlarge"}],
}
POOLS = [{"InstanceType": "ml.g5.xlarge", "CurrentInstanceCount": 2}]


@cases(
    "variant, running, rented",
    (VARIANT, None, [TWO_G5]),
    (VARIANT, {"CurrentInstanceCount": 5}, [replace(TWO_G5, count=5)]),
    (POOLED, {"InstancePools": POOLS, "CurrentInstanceCount": 2}, [TWO_G5]),
    ({"VariantName": "main", "ServerlessConfig": {}}, None, []),
    (
        VARIANT | {"CapacityReservationConfig": {"MlReservationArn": PLAN}},
        None,
        [replace(TWO_G5, reserved=True)],
    ),
)
def test_variants_are_read(variant: dict[str, Any], running: Any, rented: list[RentedInstances]) -> None:
    assert list(read_variant_instances(variant, running)) == rented


@cases(
    "variant, running, problem",
    (POOLED, None, "the counts of the pools of variant main are not described"),
    (POOLED, {"CurrentInstanceCount": 2}, "the counts of the pools of variant main are not described"),
    (VARIANT, {}, "variant main has no CurrentInstanceCount"),
    ({"VariantName": "main", "InitialInstanceCount": 2}, None, "variant main has no InstanceType"),
    (
        {"VariantName": "main", "InstanceType": "ml.g5.xlarge"},
        None,
        "variant main has no InitialInstanceCount",
    ),
)
def test_what_a_variant_does_not_tell_is_named(variant: dict[str, Any], running: Any, problem: str) -> None:
    with pytest.raises(ReadError) as raised:
        read_variant_instances(variant, running)
    assert str(raised.value) == problem
