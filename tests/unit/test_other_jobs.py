"""How described processing and transform jobs are read, and by which names their hosts are found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from conftest import HOUR
from ml_janitor.aws.prices import Machine, Price
from ml_janitor.core.model import Absent, Value
from ml_janitor.detectors.hung_training_jobs import jobs, progress, reading
from ml_janitor.detectors.hung_training_jobs.jobs import CollectiveWait, HostLoad, JobKind, RunningJob
from ml_janitor.detectors.hung_training_jobs.progress import job_hosts, unlisted_hosts
from scripted import DENIED, Script
from tables import cases

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
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


OUTPUTS = [
    {"OutputName": "a", "S3Output": {"S3Uri": "s3://out/a", "S3UploadMode": "Continuous"}},
    {"OutputName": "b", "S3Output": {"S3Uri": "s3://out/b", "S3UploadMode": "EndOfJob"}},
    {"OutputName": "c", "FeatureStoreOutput": {"FeatureGroupName": "c"}},
]


@cases(
    "job, read",
    (
        processing_job(),
        {"phase": "Starting", "started": None, "max_runtime": None, "writes_to": (), "streams": "clean/"},
    ),
    (transform_job(), {"phase": "Starting", "started": None, "writes_to": (), "streams": "score/"}),
    (
        processing_job(ProcessingStartTime=START),
        {"phase": "Processing", "started": START, "counted_from": START},
    ),
    (
        transform_job(TransformStartTime=START),
        {"phase": "Transforming", "started": START, "counted_from": None},
    ),
    (processing_job(StoppingCondition={"MaxRuntimeInSeconds": 3600}), {"max_runtime": HOUR}),
    (
        processing_job(ProcessingOutputConfig={"Outputs": OUTPUTS}),
        {"writes_to": ("s3://out/a/", "s3://out/b/")},
    ),
    (transform_job(TransformOutput={"S3OutputPath": "s3://out/x"}), {"writes_to": ("s3://out/x/",)}),
)
def test_what_a_description_says_is_read(job: RunningJob, read: dict[str, Any]) -> None:
    """Outputs at its end show progress too: in the upload the container is over, logs nothing and rests."""
    assert {name: getattr(job, name) for name in read} == read


S3_INPUT = {"S3Uri": "s3://in", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/in"}


@cases(
    "given, downloads",
    ({"S3Input": S3_INPUT}, True),
    ({"S3Input": S3_INPUT | {"S3InputMode": "File"}}, True),
    ({"S3Input": S3_INPUT | {"S3InputMode": "Pipe"}}, False),
    ({"S3Input": S3_INPUT, "AppManaged": True}, False),
    ({"DatasetDefinition": {"LocalPath": "/opt/ml/processing/in"}}, True),
)
def test_inputs_are_there_before_its_program_begins(
    given: dict[str, Any],
    downloads: bool,  # noqa: FBT001 - expected value
) -> None:
    assert processing_job(ProcessingInputs=[{"InputName": "i", **given}]).downloads == downloads
    assert not processing_job().downloads


@cases(
    "cluster, groups",
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
)
def test_processing_instances(cluster: dict[str, Any], groups: tuple[tuple[str, int], ...]) -> None:
    assert processing_job(ProcessingResources={"ClusterConfig": cluster}).groups == groups


def test_hosts_of_processing_jobs_are_numbered() -> None:
    assert job_hosts(processing_job(), ["clean/i-1"]) == ("clean/algo-1", "clean/algo-2")
    assert reading.TRAINING_JOB_KIND.numbered


def test_hosts_of_transform_jobs_are_those_that_metrics_name() -> None:
    listed = ["score-2/i-3", "score/i-2", "score/i-1", "score/i-1", "other/score/i-4"]

    assert job_hosts(transform_job(), listed) == ("score/i-1", "score/i-2")


@cases(
    "known, missing",
    (0, ["score/instance 1", "score/instance 2"]),
    (1, ["score/instance 2"]),
    (2, []),
    (3, []),
)
def test_an_instance_without_a_metric_is_not_forgotten(known: int, missing: list[str]) -> None:
    assert unlisted_hosts(transform_job(), known) == tuple(
        HostLoad(host=host, cpu=GONE, gpu=GONE) for host in missing
    )


# --- what all kinds of jobs have -----------------------------------------------------------------------

SMALL, LARGE = ("ml.m5.xlarge", 2), ("ml.m5.4xlarge", 1)
ONE_GPU, FOUR_GPUS = ("ml.g5.xlarge", 1), ("ml.g5.12xlarge", 1)


def of(*groups: tuple[str, int], kind: JobKind = reading.TRAINING_JOB_KIND, **members: Any) -> RunningJob:
    return replace(processing_job(), kind=kind, groups=groups, **members)


@cases(
    "job, instances, hardware, machine, collective",
    (of(SMALL), 2, "2 x ml.m5.xlarge", Machine(4, 0), CollectiveWait.ALONE),
    (of(SMALL, LARGE), 3, "2 x ml.m5.xlarge, 1 x ml.m5.4xlarge", Machine(4, None), CollectiveWait.ALONE),
    (of(), 0, "not known", Machine(1, None), CollectiveWait.ALONE),
    (of(ONE_GPU), 1, "1 x ml.g5.xlarge", Machine(4, 1), CollectiveWait.ALONE),
    (of(FOUR_GPUS), 1, "1 x ml.g5.12xlarge", Machine(48, 4), CollectiveWait.POSSIBLE),
    (of(("ml.g5.xlarge", 2)), 2, "2 x ml.g5.xlarge", Machine(4, 1), CollectiveWait.POSSIBLE),
    (
        of(FOUR_GPUS, kind=jobs.PROCESSING_JOB_KIND),
        1,
        "1 x ml.g5.12xlarge",
        Machine(48, 4),
        CollectiveWait.NEVER,
    ),
)
def test_the_hardware_of_a_job_and_whether_its_gpus_wait_for_each_other(
    job: RunningJob, instances: int, hardware: str, machine: Machine, collective: CollectiveWait
) -> None:
    assert (job.instances, job.hardware, job.collective) == (instances, hardware, collective)
    assert (job.machine.vcpus, job.machine.gpus) == (machine.vcpus, machine.gpus)


@cases(
    "uris, folders",
    ((), ()),
    ((None, ""), ()),
    (("s3://b/runs/a", "s3://b/runs/a/", None), ("s3://b/runs/a/",)),
    (("s3://b", "s3://b/x//"), ("s3://b/", "s3://b/x/")),
)
def test_folders_end_with_a_slash_once(uris: tuple[str | None, ...], folders: tuple[str, ...]) -> None:
    assert jobs.s3_folders(*uris) == folders


def test_limits_arns_and_words() -> None:
    limited = of(SMALL, counted_from=START, max_runtime=HOUR)

    assert (jobs.limit_duration(None), jobs.limit_duration(90)) == (None, timedelta(seconds=90))
    assert jobs.known_arns(None, "arn:a", "", "arn:b") == ("arn:a", "arn:b")
    assert jobs.job_deadline(limited) == START + HOUR
    assert jobs.job_deadline(replace(limited, max_runtime=None)) is None
    assert jobs.job_deadline(replace(limited, counted_from=None)) is None
    assert of(checkpoints=True).lost == "what it did since its newest checkpoint"
    assert of().lost == "what it did so far: it begins anew"
    assert jobs.price_text(Price(None, ""), limited) == "price unknown"
    assert jobs.price_text(Price(Decimal("1234.5"), ""), limited) == "$1,234.50 an hour"
    assert jobs.price_text(Price(Decimal(2), ""), replace(limited, spot=True)) == "at most $2.00 an hour"


def test_a_job_costs_all_its_instances_by_the_hour_unless_they_were_paid_in_advance() -> None:
    class List:
        def hourly(self, region: str, component: str, kind: str) -> Price:
            assert (region, component) == ("us-east-1", "Training")
            return Price(Decimal(1 if kind == SMALL[0] else 4), "list")

    aws = Script({}).aws(prices=List())

    assert jobs.job_price(aws, of(SMALL, LARGE)).hourly_usd == 2 * 1 + 4
    assert jobs.job_price(aws, of()) == Price(None, "")
    reserved = jobs.job_price(aws, of(SMALL, reserved=True))
    assert reserved == Price(None, "a training plan, paid in advance")


@cases(
    "since, until, accrued, ends",
    (START, None, 6, None),
    (None, None, 0, None),
    (START, START + 4 * HOUR, 6, START + 4 * HOUR),
    (START, START + 3 * HOUR, 6, None),
    (START, START + 2 * HOUR, 6, None),
)
def test_a_job_has_cost_its_hours_so_far_and_goes_on_until_it_ends(
    since: datetime | None, until: datetime | None, accrued: int, ends: datetime | None
) -> None:
    cost = jobs.billed_cost(Price(Decimal(2), "list"), since, START + 3 * HOUR, until)

    assert (cost.accrued_usd, cost.hourly_usd, cost.until) == (Decimal(accrued), Decimal(2), ends)


def test_the_lowest_and_the_highest_load_of_each_host_are_asked_for_every_five_minutes() -> None:
    """Also those of a transform job's hosts, which only the listing of metrics names."""

    def answer(asked: Any) -> Any:
        found = [
            {"Id": query["Id"], "Timestamps": [START], "Values": [7.0], "StatusCode": "Complete"}
            for query in asked["MetricDataQueries"]
        ]
        return {"MetricDataResults": found}

    listed = [
        {"Namespace": "/aws/sagemaker/TransformJobs", "MetricName": "CPUUtilization", "Dimensions": [pair]}
        for pair in ({"Name": "Host", "Value": "score/i-1"}, {"Name": "Host", "Value": "score-2/i-1"})
    ]
    script = Script({"cloudwatch:GetMetricData": answer, "cloudwatch:ListMetrics": {"Metrics": listed}})
    windows = {
        "clean": progress.LoadWindow(processing_job(), START),
        "score": progress.LoadWindow(transform_job(), START - HOUR),
    }

    found = progress.read_host_loads(script.aws(), windows, START + HOUR)

    hosts = {
        name: [load.host for load in loads.value] for name, loads in found.items() if isinstance(loads, Value)
    }
    assert hosts == {"clean": ["clean/algo-1", "clean/algo-2"], "score": ["score/i-1", "score/instance 2"]}
    asked = [
        (
            query["MetricStat"]["Metric"]["Namespace"].rpartition("/")[2],
            query["MetricStat"]["Metric"]["Dimensions"][0]["Value"],
            query["MetricStat"]["Metric"]["MetricName"].removesuffix("Utilization"),
            query["MetricStat"]["Stat"],
            query["MetricStat"]["Period"],
        )
        for call in script.asked("cloudwatch:GetMetricData")
        for query in call["MetricDataQueries"]
    ]
    assert sorted(asked) == sorted(
        (kind, host, metric, stat, 300)
        for kind, host in (
            ("ProcessingJobs", "clean/algo-1"),
            ("ProcessingJobs", "clean/algo-2"),
            ("TransformJobs", "score/i-1"),
        )
        for metric in ("CPU", "GPU", "Memory", "Disk")
        for stat in ("Minimum", "Maximum")
    )
    starts = [call["StartTime"] for call in script.asked("cloudwatch:GetMetricData")]
    assert starts == [START, START - HOUR]


def test_hosts_that_cannot_be_listed_are_unreadable() -> None:
    script = Script({"cloudwatch:ListMetrics": DENIED})
    windows = {"score": progress.LoadWindow(transform_job(), START)}

    (read,) = progress.read_host_loads(script.aws(), windows, START + HOUR).values()

    assert "AccessDenied" in getattr(read, "error", "")
    assert progress.read_host_loads(script.aws(), {}, START) == {}
