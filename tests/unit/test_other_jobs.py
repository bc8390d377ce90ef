"""How described processing and transform jobs are read, and by which names their hosts are found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ml_janitor.core.model import Absent
from ml_janitor.detectors.hung_training_jobs import jobs, reading
from ml_janitor.detectors.hung_training_jobs.jobs import HostLoad, RunningJob
from ml_janitor.detectors.hung_training_jobs.progress import job_hosts, unlisted_hosts

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GONE = Absent("cloudwatch:GetMetricData")

PROCESSING = {
    "ProcessingJobName": "clean",
    "ProcessingJobStatus": "InProgress",
    "CreationTime": START - HOUR,
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}},
}
TRANSFORM = {
    "TransformJobName": "score",
    "TransformJobStatus": "InProgress",
    "CreationTime": START - HOUR,
    "TransformResources": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2},
}


def processing_job(**members: Any) -> RunningJob:
    return jobs._processing_job(cast("Any", PROCESSING | members))


def transform_job(**members: Any) -> RunningJob:
    return jobs._transform_job(cast("Any", TRANSFORM | members))


@pytest.mark.parametrize("member", sorted(PROCESSING))
def test_a_cut_off_processing_job_is_no_answer(member: str) -> None:
    with pytest.raises(KeyError):
        jobs._processing_job(cast("Any", {key: value for key, value in PROCESSING.items() if key != member}))


@pytest.mark.parametrize("member", sorted(TRANSFORM))
def test_a_cut_off_transform_job_is_no_answer(member: str) -> None:
    with pytest.raises(KeyError):
        jobs._transform_job(cast("Any", {key: value for key, value in TRANSFORM.items() if key != member}))


def test_before_they_start_nothing_is_billed() -> None:
    assert (processing_job().phase, processing_job().started) == ("Starting", None)
    assert (transform_job().phase, transform_job().started) == ("Starting", None)


def test_once_started_they_work() -> None:
    clean, score = processing_job(ProcessingStartTime=START), transform_job(TransformStartTime=START)

    assert (clean.phase, clean.started, clean.counted_from) == ("Processing", START, START)
    assert (score.phase, score.started, score.counted_from) == ("Transforming", START, None)


def test_a_processing_limit_is_read_and_never_made_up() -> None:
    assert processing_job(StoppingCondition={"MaxRuntimeInSeconds": 3600}).max_runtime == HOUR
    assert processing_job().max_runtime is None


S3_INPUT = {"S3Uri": "s3://in", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/in"}


@pytest.mark.parametrize(
    ("given", "downloads"),
    [
        ({"S3Input": S3_INPUT}, True),
        ({"S3Input": S3_INPUT | {"S3InputMode": "File"}}, True),
        ({"S3Input": S3_INPUT | {"S3InputMode": "Pipe"}}, False),
        ({"S3Input": S3_INPUT, "AppManaged": True}, False),
        ({"DatasetDefinition": {"LocalPath": "/opt/ml/processing/in"}}, True),
    ],
)
def test_inputs_are_there_before_its_program_begins(
    given: dict[str, Any],
    downloads: bool,  # noqa: FBT001 - expected value
) -> None:
    assert processing_job(ProcessingInputs=[{"InputName": "i", **given}]).downloads == downloads
    assert not processing_job().downloads


@pytest.mark.parametrize(
    ("cluster", "groups"),
    [
        ({"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}, (("ml.m5.xlarge", 2),)),
        ({"InstanceType": "ml.m5.xlarge"}, (("ml.m5.xlarge", 1),)),
        (
            {
                "InstancePreferences": [{"InstanceType": "ml.m5.xlarge"}],
                "SelectedInstanceType": "ml.c5.xlarge",
                "SelectedInstanceCount": 3,
            },
            (("ml.c5.xlarge", 3),),
        ),
        ({"InstancePreferences": [{"InstanceType": "ml.m5.xlarge"}]}, ()),
    ],
)
def test_processing_instances(cluster: dict[str, Any], groups: tuple[tuple[str, int], ...]) -> None:
    assert processing_job(ProcessingResources={"ClusterConfig": cluster}).groups == groups


def test_outputs_show_progress_in_whatever_mode_they_are_uploaded() -> None:
    """At its end too: that may take hours, in which the container is over, logs nothing and rests."""
    outputs = [
        {"OutputName": "a", "S3Output": {"S3Uri": "s3://out/a", "S3UploadMode": "Continuous"}},
        {"OutputName": "b", "S3Output": {"S3Uri": "s3://out/b", "S3UploadMode": "EndOfJob"}},
        {"OutputName": "c", "FeatureStoreOutput": {"FeatureGroupName": "c"}},
    ]

    assert processing_job(ProcessingOutputConfig={"Outputs": outputs}).writes_to == (
        "s3://out/a/",
        "s3://out/b/",
    )
    assert processing_job().writes_to == ()


def test_a_transform_job_writes_to_its_output_path() -> None:
    assert transform_job(TransformOutput={"S3OutputPath": "s3://out/x"}).writes_to == ("s3://out/x/",)
    assert transform_job().writes_to == ()


def test_streams_are_exact() -> None:
    assert (processing_job().streams, transform_job().streams) == ("clean/", "score/")


def test_hosts_of_processing_jobs_are_numbered() -> None:
    assert job_hosts(processing_job(), ["clean/i-1"]) == ("clean/algo-1", "clean/algo-2")
    assert reading.TRAINING_JOB_KIND.numbered


def test_hosts_of_transform_jobs_are_those_that_metrics_name() -> None:
    listed = ["score-2/i-3", "score/i-2", "score/i-1", "score/i-1", "other/score/i-4"]

    assert job_hosts(transform_job(), listed) == ("score/i-1", "score/i-2")


@pytest.mark.parametrize(
    ("known", "missing"),
    [(0, ["score/instance 1", "score/instance 2"]), (1, ["score/instance 2"]), (2, []), (3, [])],
)
def test_an_instance_without_a_metric_is_not_forgotten(known: int, missing: list[str]) -> None:
    assert unlisted_hosts(transform_job(), known) == tuple(
        HostLoad(host=host, cpu=GONE, gpu=GONE) for host in missing
    )
