"""Model Monitor's schedules and inference experiments (shadow tests) over endpoints. moto has neither."""

from typing import Any

from moto.core.utils import camelcase_to_underscores

from moto_corrections.patches import AwsError, Call, backend, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.endpoints import ENDPOINT
from moto_corrections.sagemaker.jobs import PROCESSING
from moto_corrections.sagemaker.listing import Row, answer, equals, serve
from moto_corrections.sagemaker.store import create, get, kind, resources

SCHEDULE = kind("MonitoringSchedule")
serve(SCHEDULE, "Describe", "List", by=("EndpointName", "MonitoringJobDefinitionName", "MonitoringType"))


@serves("sagemaker", "CreateMonitoringSchedule")
def create_schedule(call: Call) -> dict[str, Any]:
    """
    Create a schedule, Pending for a while, then Scheduled, over an endpoint that must exist.

    aws/sagemaker-python-sdk #4873 complains of that last point.
    """
    config = call.params["MonitoringScheduleConfig"]
    extra = {"MonitoringType": config.get("MonitoringType") or "DataQuality"}
    if name := config.get("MonitoringJobDefinitionName"):
        extra["MonitoringJobDefinitionName"] = name
    if endpoint := _endpoint(call, config, extra["MonitoringType"]):
        extra["EndpointName"] = get(call, ENDPOINT, endpoint).name
    created = create(call, SCHEDULE, "Pending", **extra)
    progress.becomes(call, created, "monitoring.create", "Scheduled")
    return {"MonitoringScheduleArn": created.arn}


def _endpoint(call: Call, config: dict[str, Any], monitoring: str) -> str | None:
    """Return the endpoint that is monitored; None if it is a batch transform."""
    if inline := config.get("MonitoringJobDefinition"):
        for given in inline.get("MonitoringInputs") or ():
            if "EndpointInput" in given:
                return str(given["EndpointInput"]["EndpointName"])
        return None
    name, stem = config.get("MonitoringJobDefinitionName"), f"{camelcase_to_underscores(monitoring)}_job"
    for definition in getattr(
        backend("sagemaker", call.account, call.region), f"{stem}_definitions"
    ).values():
        if definition.job_definition_name == name:
            given = getattr(definition, f"{stem}_input")
            return str(given["EndpointInput"]["EndpointName"]) if "EndpointInput" in given else None
    raise AwsError("ResourceNotFound", f"Monitoring job definition {name} does not exist.")


# --- executions ----------------------------------------------------------------------------------


@serves("sagemaker", "ListMonitoringExecutions")
def list_executions(call: Call) -> dict[str, Any]:
    """List the processing jobs that name a schedule, by schedule and endpoint; none is started here."""
    schedules = {schedule.arn: schedule for schedule in resources(call, SCHEDULE).values()}
    asked = equals(call, "MonitoringScheduleName", "EndpointName")
    rows = []
    for job in resources(call, PROCESSING).values():
        schedule = schedules.get(job.members.get("MonitoringScheduleArn", ""))
        if schedule is None or not asked.items() <= schedule.members.items():
            continue
        members = {
            "MonitoringScheduleName": schedule.name,
            "ScheduledTime": job.members["CreationTime"],
            "CreationTime": job.members["CreationTime"],
            "LastModifiedTime": job.members["LastModifiedTime"],
            "MonitoringExecutionStatus": job.status,
            "ProcessingJobArn": job.arn,
        } | {name: schedule.members[name] for name in ("EndpointName",) if name in schedule.members}
        rows.append(Row(members, job.name, job.status, job.sequence))
    return answer(call, rows)


# --- inference experiments -----------------------------------------------------------------------


EXPERIMENT = kind("InferenceExperiment", members=("Name", "Arn", "Status"))
serve(EXPERIMENT, "Describe", "List")


@serves("sagemaker", "CreateInferenceExperiment")
def create_experiment(call: Call) -> dict[str, Any]:
    """Create an experiment, Running at once, over an endpoint that must exist; it deploys nothing."""
    endpoint = get(call, ENDPOINT, call.params["EndpointName"])
    created = create(call, EXPERIMENT, "Running", EndpointMetadata={"EndpointName": endpoint.name})
    return {"InferenceExperimentArn": created.arn}
