"""Model Monitor's schedules over endpoints."""

from typing import Any

import pytest

from corrected import Control
from plain_requests import ON_M5, ROLE, processing, refusal

INPUT = {"EndpointName": "e", "LocalPath": "/opt/ml/processing/input"}
OUTPUT = {
    "MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://b/out", "LocalPath": "/opt/ml/processing/output"}}]
}


def inline(endpoint: str = "e") -> dict[str, Any]:
    return {
        "MonitoringJobDefinition": {
            "MonitoringInputs": [{"EndpointInput": INPUT | {"EndpointName": endpoint}}],
            "MonitoringOutputConfig": OUTPUT,
            "MonitoringResources": {"ClusterConfig": ON_M5},
            "MonitoringAppSpecification": {"ImageUri": "image"},
            "RoleArn": ROLE,
        }
    }


def schedule(sagemaker: Any, name: str = "s", **config: Any) -> None:
    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=name, MonitoringScheduleConfig=config or inline()
    )


def status(sagemaker: Any, name: str = "s") -> str:
    found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    return str(found["MonitoringScheduleStatus"])


def watching(sagemaker: Any, **asked: Any) -> list[str]:
    found = sagemaker.list_monitoring_schedules(**asked)["MonitoringScheduleSummaries"]
    return sorted(one["MonitoringScheduleName"] for one in found)


def test_schedules_are_found_by_their_endpoint(sagemaker: Any, endpoint: Any) -> None:
    for name in ("e", "other"):
        endpoint(name)
    schedule(sagemaker)
    schedule(sagemaker, "o", **inline("other"))
    assert watching(sagemaker) == ["o", "s"]
    assert watching(sagemaker, EndpointName="e") == ["s"]
    assert watching(sagemaker, EndpointName="none") == []
    found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName="s")
    assert (found["EndpointName"], found["MonitoringType"]) == ("e", "DataQuality")
    assert "Could not find endpoint" in refusal(schedule, sagemaker, "x", **inline("ghost"))


@pytest.mark.parametrize(
    ("kind", "operation", "image", "truth"),
    [
        ("DataQuality", "create_data_quality_job_definition", {}, {}),
        (
            *("ModelBias", "create_model_bias_job_definition", {"ConfigUri": "s3://b/c"}),
            {"GroundTruthS3Input": {"S3Uri": "s3://b/truth"}},
        ),
    ],
)
def test_a_schedule_by_definition_knows_its_endpoint(
    *, sagemaker: Any, endpoint: Any, kind: str, operation: str, image: Any, truth: Any
) -> None:
    endpoint("e")
    about = {"AppSpecification": {"ImageUri": "image", **image}, "JobOutputConfig": OUTPUT}
    about["JobInput"] = {"EndpointInput": INPUT, **truth}
    getattr(sagemaker, operation)(
        JobDefinitionName="d",
        RoleArn=ROLE,
        JobResources={"ClusterConfig": ON_M5},
        **{f"{kind}{part}": value for part, value in about.items()},
    )
    schedule(sagemaker, MonitoringJobDefinitionName="d", MonitoringType=kind)
    assert watching(sagemaker, EndpointName="e", MonitoringTypeEquals=kind) == ["s"]
    assert watching(sagemaker, MonitoringJobDefinitionName="d") == ["s"]
    none = {"MonitoringJobDefinitionName": "none", "MonitoringType": kind}
    assert "ResourceNotFound" in refusal(schedule, sagemaker, "x", **none)


def test_a_schedule_is_pending_first_and_outlives_its_endpoint(
    sagemaker: Any, endpoint: Any, later: Any
) -> None:
    endpoint("e")
    schedule(sagemaker)
    assert status(sagemaker) == "Pending"
    sagemaker.delete_endpoint(EndpointName="e")
    later(minutes=1)
    assert status(sagemaker) == "Scheduled"
    assert watching(sagemaker, EndpointName="e", StatusEquals="Scheduled") == ["s"]


def test_executions_are_a_schedules_processing_jobs(sagemaker: Any, endpoint: Any, control: Control) -> None:
    for name in ("e", "other"):
        endpoint(name)
        schedule(sagemaker, f"of-{name}", **inline(name))
        arn = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=f"of-{name}")
        processing(sagemaker, f"run-{name}")
        control.patch(
            "sagemaker",
            ["processing_jobs", f"run-{name}"],
            MonitoringScheduleArn=arn["MonitoringScheduleArn"],
        )
    processing(sagemaker, "nobody-s")

    def executions(**asked: str) -> list[str]:
        found = sagemaker.list_monitoring_executions(**asked)["MonitoringExecutionSummaries"]
        return sorted(one["ProcessingJobArn"].rpartition("/")[2] for one in found)

    assert executions() == ["run-e", "run-other"]
    assert executions(MonitoringScheduleName="of-e") == ["run-e"]
    assert executions(EndpointName="other") == ["run-other"]
    assert executions(EndpointName="none") == []
