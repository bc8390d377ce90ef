import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

import plain_requests
from corrected import NOW, Control
from plain_requests import ROLE, refusal

ON_GPU = {
    "VariantName": "main",
    "ModelName": "any-model",
    "InstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 2,
}


def describe(sagemaker: Any, name: str = "e") -> Any:
    return sagemaker.describe_endpoint(EndpointName=name)


def test_async_and_shadow_variants_are_described(sagemaker: Any, endpoint: Any) -> None:
    endpoint(
        "e",
        variant=ON_GPU,
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/out"}},
        ShadowProductionVariants=[ON_GPU | {"VariantName": "shadow", "InitialInstanceCount": 3}],
    )
    found = describe(sagemaker)
    assert found["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"] == "s3://b/out"
    (shadow,) = found["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentInstanceCount"]) == ("shadow", 3)
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert "InstanceType" not in found["ProductionVariants"][0]
    assert sagemaker.describe_endpoint_config(EndpointConfigName="e")["ProductionVariants"] == [ON_GPU]


def test_serverless_pools_and_scaling(sagemaker: Any, endpoint: Any) -> None:
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    endpoint("s", variant={"VariantName": "v", "ModelName": "any-model", "ServerlessConfig": serverless})
    (variant,) = describe(sagemaker, "s")["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == variant["DesiredServerlessConfig"] == serverless
    assert "CurrentInstanceCount" not in variant

    pools = [{"InstanceType": "ml.g5.xlarge", "Priority": 2}, {"InstanceType": "ml.g6.xlarge", "Priority": 1}]
    scaling = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 4}
    pooled = {"InitialInstanceCount": 3, "InstancePools": pools, "ManagedInstanceScaling": scaling}
    endpoint("p", variant={"VariantName": "v", **pooled}, ExecutionRoleArn=ROLE)
    (variant,) = describe(sagemaker, "p")["ProductionVariants"]
    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6.xlarge", "CurrentInstanceCount": 3},
        {"InstanceType": "ml.g5.xlarge", "CurrentInstanceCount": 0},
    ]
    assert variant["ManagedInstanceScaling"] == scaling


def counts(variant: dict[str, Any]) -> tuple[int, int, float]:
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"], variant["CurrentWeight"]


def test_scaled_to_zero_and_re_weighed(sagemaker: Any, endpoint: Any, control: Control) -> None:
    endpoint("e", variant=ON_GPU)
    control.set_clock(NOW + dt.timedelta(hours=1))
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "main", "DesiredInstanceCount": 0, "DesiredWeight": 0.5}
        ],
    )
    found = describe(sagemaker)
    (variant,) = found["ProductionVariants"]
    assert found["EndpointStatus"] == "Updating"
    assert counts(variant) == (2, 0, 1.0)
    assert found["LastModifiedTime"] == NOW + dt.timedelta(hours=1)
    control.set_clock(NOW + dt.timedelta(hours=2))
    found = describe(sagemaker)
    (variant,) = found["ProductionVariants"]
    assert counts(variant) == (0, 0, 0.5)
    assert found["EndpointStatus"] == "InService"
    assert found["LastModifiedTime"] == NOW + dt.timedelta(hours=1, minutes=6)
    control.patch("sagemaker", ["endpoints", "e", "ProductionVariants", 0], CurrentInstanceCount=7)
    assert describe(sagemaker)["ProductionVariants"][0]["CurrentInstanceCount"] == 7


def test_an_update_deploys_another_configuration_slowly(sagemaker: Any, endpoint: Any, later: Any) -> None:
    endpoint("e", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/out"}})
    sagemaker.create_endpoint_config(EndpointConfigName="new", ProductionVariants=[ON_GPU])
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="new")
    found = describe(sagemaker)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", "e")
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "new"
    assert "AsyncInferenceConfig" in found
    later(minutes=6)
    found = describe(sagemaker)
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == "new"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert {"AsyncInferenceConfig", "PendingDeploymentSummary"}.isdisjoint(found)


def test_variants_are_checked_but_for_types_that_moto_does_not_know(endpoint: Any) -> None:
    known = ("g5.48xlarge", "g6e.xlarge", "p5en.48xlarge", "inf2.8xlarge", "c7i.large", "t2.medium")
    for number, kind in enumerate(known):
        endpoint(f"e{number}", variant=ON_GPU | {"InstanceType": f"ml.{kind}"})
    for member, value, expected in (
        ("InstanceType", "m5.large", "enum value set"),
        ("ModelName", "ghost", "Could not find model"),
        ("ModelName", None, "execution role is required"),
    ):
        variant = {key: kept for key, kept in (ON_GPU | {member: value}).items() if kept is not None}
        assert expected in refusal(endpoint, "e", variant=variant)


def test_names_are_checked_and_taken_once(endpoint: Any) -> None:
    for name in ("bad_name", "-dash", "n" * 64):
        assert "failed to satisfy constraint" in refusal(endpoint, name)
    endpoint("e")
    assert "Cannot create already existing" in refusal(endpoint, "e")


def test_an_endpoint_that_is_gone_could_not_be_found(sagemaker: Any, endpoint: Any, later: Any) -> None:
    endpoint("e")
    sagemaker.delete_endpoint(EndpointName="e")
    later(minutes=1)
    for gone in (sagemaker.delete_endpoint, sagemaker.describe_endpoint):
        assert re.search(r"ValidationException.*Could not find endpoint", refusal(gone, EndpointName="e"))


def test_a_system_update_is_left_alone(sagemaker: Any, endpoint: Any, control: Control) -> None:
    endpoint("e")
    control.patch("sagemaker", ["endpoints", "e"], endpoint_status="SystemUpdating")
    assert "SystemUpdating" in refusal(sagemaker.delete_endpoint, EndpointName="e")


@pytest.fixture
def component(sagemaker: Any, endpoint: Any) -> Any:
    """Puts inference components on an endpoint, which is made with the first one."""
    sagemaker.create_model(ModelName="any-model-2", ExecutionRoleArn=ROLE)
    variant = {"VariantName": "v", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
    what = {"ModelName": "any-model-2", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}}

    def put(name: str, on: str) -> None:
        if not sagemaker.list_endpoints(NameContains=on)["Endpoints"]:
            endpoint(on, variant=variant, ExecutionRoleArn=ROLE)
        copies = {"CopyCount": 2}
        plain_requests.component(sagemaker, name, on, variant="v", Specification=what, RuntimeConfig=copies)

    return put


def component_of(sagemaker: Any, name: str = "c") -> tuple[str, int, int]:
    found = sagemaker.describe_inference_component(InferenceComponentName=name)
    runtime = found["RuntimeConfig"]
    return found["InferenceComponentStatus"], runtime["DesiredCopyCount"], runtime["CurrentCopyCount"]


def test_inference_components_live_on_endpoints(sagemaker: Any, component: Any) -> None:
    for number, name in enumerate(("e", "e", "other")):
        component(f"c{number}", name)
    page = sagemaker.list_inference_components(EndpointNameEquals="e", MaxResults=1)
    assert [one["InferenceComponentName"] for one in page["InferenceComponents"]] == ["c1"]
    rest = sagemaker.list_inference_components(EndpointNameEquals="e", NextToken=page["NextToken"])
    assert [one["InferenceComponentName"] for one in rest["InferenceComponents"]] == ["c0"]
    assert sagemaker.list_inference_components(VariantNameEquals="x")["InferenceComponents"] == []
    found = sagemaker.describe_inference_component(InferenceComponentName="c2")
    assert found["EndpointArn"].endswith(":endpoint/other")


def test_the_copies_of_a_component_change_in_their_time(sagemaker: Any, component: Any, later: Any) -> None:
    component("c", "e")
    assert component_of(sagemaker) == ("Creating", 2, 0)
    later(minutes=4)
    assert component_of(sagemaker) == ("InService", 2, 2)
    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName="c", DesiredRuntimeConfig={"CopyCount": 0}
    )
    assert component_of(sagemaker) == ("Updating", 0, 2)
    later(minutes=3)
    assert component_of(sagemaker) == ("InService", 0, 0)
    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName="c", DesiredRuntimeConfig={"CopyCount": 3}
    )
    later(minutes=3)
    assert component_of(sagemaker) == ("InService", 3, 3)


def test_a_component_goes_before_its_endpoint(sagemaker: Any, component: Any, later: Any) -> None:
    component("c", "e")
    said = refusal(sagemaker.delete_inference_component, InferenceComponentName="c")
    assert "is in status Creating" in said
    later(minutes=4)
    sagemaker.delete_inference_component(InferenceComponentName="c")
    assert component_of(sagemaker)[0] == "Deleting"
    said = refusal(sagemaker.delete_endpoint, EndpointName="e")
    assert re.search("ValidationException.*with inference component associated", said)
    later(minutes=1)
    with pytest.raises(ClientError, match="Could not find inference component"):
        sagemaker.describe_inference_component(InferenceComponentName="c")
    sagemaker.delete_endpoint(EndpointName="e")


def test_a_component_waits_for_its_endpoint(sagemaker: Any, component: Any, later: Any) -> None:
    component("first", "e")
    sagemaker.create_endpoint(EndpointName="new", EndpointConfigName="e")
    assert "is in status Creating" in refusal(component, "c", "new")
    later(minutes=5)
    component("c", "new")


def test_an_endpoint_comes_up_and_goes_in_its_time(sagemaker: Any, endpoint: Any, later: Any) -> None:
    endpoint("first")
    again = {"EndpointName": "e", "EndpointConfigName": "first"}
    sagemaker.create_endpoint(**again)
    assert describe(sagemaker)["EndpointStatus"] == "Creating"
    later(minutes=5, seconds=-1)
    assert describe(sagemaker)["EndpointStatus"] == "Creating"
    later(seconds=1)
    found = describe(sagemaker)
    assert found["EndpointStatus"] == "InService"
    assert found["LastModifiedTime"] - found["CreationTime"] == dt.timedelta(minutes=5)

    sagemaker.delete_endpoint(EndpointName="e")
    assert [
        one["EndpointName"] for one in sagemaker.list_endpoints(StatusEquals="Deleting")["Endpoints"]
    ] == ["e"]
    assert "already existing" in refusal(sagemaker.create_endpoint, **again)
    later(minutes=1)
    assert "Could not find endpoint" in refusal(describe, sagemaker)
    assert sagemaker.describe_endpoint_config(EndpointConfigName="first")
    sagemaker.create_endpoint(**again)
    assert describe(sagemaker)["CreationTime"] == NOW + dt.timedelta(minutes=6)


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack", "Deleting"])
def test_a_changing_one_is_left_alone(sagemaker: Any, endpoint: Any, control: Control, status: str) -> None:
    endpoint("e")
    control.patch("sagemaker", ["endpoints", "e"], endpoint_status=status)
    weights: Any = {"DesiredWeightsAndCapacities": [{"VariantName": "main"}]}
    for change, asked in (
        ("delete_endpoint", {}),
        ("update_endpoint", {"EndpointConfigName": "e"}),
        ("update_endpoint_weights_and_capacities", weights),
    ):
        said = refusal(getattr(sagemaker, change), EndpointName="e", **asked)
        assert re.search("ValidationException.*Cannot update in-progress endpoint", said)
    assert describe(sagemaker)["EndpointStatus"] == status


def test_of_many_who_create_one_name_one_succeeds(sagemaker: Any, endpoint: Any) -> None:
    endpoint("first")

    def create(_: int) -> bool:
        try:
            sagemaker.create_endpoint(EndpointName="same", EndpointConfigName="first")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


def test_an_endpoint_outlives_its_configuration_and_model(sagemaker: Any, endpoint: Any) -> None:
    endpoint("e")
    sagemaker.delete_endpoint_config(EndpointConfigName="e")
    sagemaker.delete_model(ModelName="any-model")
    assert describe(sagemaker)["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.describe_endpoint_config(EndpointConfigName="e")
    assert "Could not find model" in refusal(sagemaker.describe_model, ModelName="any-model")
