import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from corrected import NOW, Control
from plain_requests import ON_M5, processing, refusal, refused, transform, tuning

KEPT = {"InstanceType": "ml.p3.8xlarge", "InstanceCount": 4, "KeepAlivePeriodInSeconds": 3600}


def describe(sagemaker: Any, name: str = "job") -> Any:
    return sagemaker.describe_training_job(TrainingJobName=name)


def test_a_training_job_runs_on_and_repeats_what_was_sent(sagemaker: Any, training: Any) -> None:
    groups = [{"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2, "InstanceGroupName": "g"}]
    sent = {
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
        "EnableManagedSpotTraining": True,
        "ResourceConfig": {"InstanceGroups": groups, "VolumeSizeInGB": 1, "KeepAlivePeriodInSeconds": 600},
    }
    training("job", **sent)
    found = describe(sagemaker)
    assert {key: found[key] for key in sent} == sent
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("InProgress", "Training")
    assert found["TrainingStartTime"] == NOW
    assert "TrainingEndTime" not in found
    assert "FinalMetricDataList" not in found


def test_a_stopped_job_is_first_stopping(sagemaker: Any, training: Any, control: Control) -> None:
    training("job")
    control.set_clock(NOW + dt.timedelta(hours=1))
    sagemaker.stop_training_job(TrainingJobName="job")
    found = describe(sagemaker)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopping", "Stopping")
    assert found["LastModifiedTime"] == NOW + dt.timedelta(hours=1)
    assert [one["Status"] for one in found["SecondaryStatusTransitions"]] == ["Training", "Stopping"]
    assert "is in status Stopping" in refusal(sagemaker.stop_training_job, TrainingJobName="job")
    assert "Requested resource not found" in refusal(sagemaker.stop_training_job, TrainingJobName="ghost")


def test_a_stopping_job_stops_two_minutes_later(sagemaker: Any, training: Any, control: Control) -> None:
    training("job")
    sagemaker.stop_training_job(TrainingJobName="job")
    control.set_clock(NOW + dt.timedelta(minutes=2, seconds=-1))
    assert describe(sagemaker)["TrainingJobStatus"] == "Stopping"
    control.set_clock(NOW + dt.timedelta(days=1))
    found = describe(sagemaker)
    end = NOW + dt.timedelta(minutes=2)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert (found["TrainingEndTime"], found["LastModifiedTime"]) == (end, end)
    transitions = [
        (one["Status"], one["StartTime"], one.get("EndTime")) for one in found["SecondaryStatusTransitions"]
    ]
    assert transitions == [("Training", NOW, NOW), ("Stopping", NOW, end), ("Stopped", end, None)]
    assert "WarmPoolStatus" not in found
    assert "is in status Stopped" in refusal(sagemaker.stop_training_job, TrainingJobName="job")
    assert refused(sagemaker.stop_training_job, TrainingJobName="job") == "ValidationException"


def test_a_stopped_job_leaves_its_warm_pool(sagemaker: Any, training: Any, control: Control) -> None:
    training("job", ResourceConfig=KEPT)
    assert describe(sagemaker)["WarmPoolStatus"] == {"Status": "InUse"}
    sagemaker.stop_training_job(TrainingJobName="job")
    control.set_clock(NOW + dt.timedelta(minutes=10))
    assert describe(sagemaker)["WarmPoolStatus"] == {"Status": "Available"}
    pools = sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]
    assert [one["WarmPoolStatus"]["Status"] for one in pools] == ["Available"]
    control.set_clock(NOW + dt.timedelta(hours=9))
    assert sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"] == []
    pool = describe(sagemaker)["WarmPoolStatus"]
    assert pool == {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 3600}


def test_a_period_of_zero_ends_a_warm_pool_at_once(sagemaker: Any, training: Any, control: Control) -> None:
    training("job", ResourceConfig=KEPT)
    sagemaker.stop_training_job(TrainingJobName="job")
    control.set_clock(NOW + dt.timedelta(minutes=12))
    sagemaker.update_training_job(TrainingJobName="job", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    found = describe(sagemaker)
    pool = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 600}
    assert (found["WarmPoolStatus"], found["ResourceConfig"]["InstanceCount"]) == (pool, 4)


def test_a_warm_pool_changes_only_after_its_job(sagemaker: Any, training: Any, control: Control) -> None:
    training("job", ResourceConfig=KEPT)
    end = {"TrainingJobName": "job", "ResourceConfig": {"KeepAlivePeriodInSeconds": 0}}
    assert "in status InProgress cannot be updated" in refusal(sagemaker.update_training_job, **end)
    sagemaker.stop_training_job(TrainingJobName="job")
    assert "in status Stopping cannot be updated" in refusal(sagemaker.update_training_job, **end)
    control.set_clock(NOW + dt.timedelta(minutes=2))
    sagemaker.update_training_job(**end)
    assert describe(sagemaker)["WarmPoolStatus"]["Status"] == "Terminated"
    assert describe(sagemaker)["TrainingJobStatus"] == "Stopped"


def test_a_job_is_submitted_again_from_its_description(sagemaker: Any, training: Any) -> None:
    training("job", CheckpointConfig={"S3Uri": "s3://bucket/ckpt"}, Environment={"A": "1"})
    sagemaker.stop_training_job(TrainingJobName="job")
    shape = sagemaker.meta.service_model.operation_model("CreateTrainingJob").input_shape
    asked = {name: value for name, value in describe(sagemaker).items() if name in shape.members}
    sagemaker.create_training_job(**asked | {"TrainingJobName": "job-again"})
    again = describe(sagemaker, "job-again")
    assert {name: again[name] for name in asked} == asked | {"TrainingJobName": "job-again"}
    assert again["TrainingJobStatus"] == "InProgress"


def test_states_no_api_reaches_can_be_set(sagemaker: Any, training: Any, control: Control) -> None:
    training("job")
    began = NOW - dt.timedelta(hours=264)
    control.patch(
        "sagemaker",
        ["training_jobs", "job"],
        secondary_status="Interrupted",
        training_start_time=began,
        TrainingEndTime=None,
        SecondaryStatusTransitions=[{"Status": "Downloading", "StartTime": "2026-09-25T03:00:00Z"}],
    )
    found = describe(sagemaker)
    assert (found["SecondaryStatus"], found["TrainingStartTime"]) == ("Interrupted", began)
    assert found["SecondaryStatusTransitions"][0]["StartTime"] == began


def test_a_name_is_used_once(training: Any) -> None:
    training("job")
    assert refused(training, name="job") == "ResourceInUse"


@pytest.mark.parametrize("make", [processing, transform])
def test_other_jobs_run_and_stop(sagemaker: Any, control: Control, make: Callable[..., object]) -> None:
    make(sagemaker, "j")
    kind, noun = make.__name__, make.__name__.title()
    describe, stop, listed = (
        getattr(sagemaker, f"{verb}_{kind}_job{'s' * (verb == 'list')}")
        for verb in ("describe", "stop", "list")
    )
    named = {f"{noun}JobName": "j"}
    found = describe(**named)
    on = found[f"{noun}Resources"]
    assert on.get("ClusterConfig", on | {"VolumeSizeInGB": 1}) == ON_M5
    assert (found[f"{noun}JobStatus"], found.get(f"{noun}StartTime")) == ("InProgress", NOW)
    stop(**named)
    (summary,) = listed(StatusEquals="Stopping")[f"{noun}JobSummaries"]
    assert named.items() <= summary.items()
    assert listed(StatusEquals="InProgress")[f"{noun}JobSummaries"] == []
    control.set_clock(NOW + dt.timedelta(minutes=1))
    found = describe(**named)
    assert (found[f"{noun}JobStatus"], found[f"{noun}EndTime"]) == ("Stopped", control.clock())
    assert f"{kind} job is in status Stopped" in refusal(stop, **named)


def test_a_tuning_job_takes_its_children_along(sagemaker: Any, training: Any, control: Control) -> None:
    arn = tuning(sagemaker, "tune")
    for name in ("child", "stranger"):
        training(name)
    control.patch("sagemaker", ["training_jobs", "child"], TuningJobArn=arn)
    children = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert [one["TrainingJobName"] for one in children["TrainingJobSummaries"]] == ["child"]
    (summary,) = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert (summary["HyperParameterTuningJobStatus"], summary["Strategy"]) == ("InProgress", "Bayesian")

    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert found["HyperParameterTuningJobStatus"] == "Stopping"
    assert describe(sagemaker, "child")["TrainingJobStatus"] == "Stopping"
    assert describe(sagemaker, "stranger")["TrainingJobStatus"] == "InProgress"
    control.set_clock(NOW + dt.timedelta(minutes=3))
    found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert found["HyperParameterTuningJobStatus"] == "Stopped"
    assert found["HyperParameterTuningEndTime"] == NOW + dt.timedelta(minutes=3)
    assert describe(sagemaker, "child")["TrainingEndTime"] == NOW + dt.timedelta(minutes=2)
