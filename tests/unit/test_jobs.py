"""How described jobs are read, what their load means, and by which names their hosts are found."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from conftest import HOUR
from ml_janitor.aws.activity import GET_METRIC_DATA, MetricSeries
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.prices import Machine, Price
from ml_janitor.aws.rented_instances import RentedInstances
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs import jobs, progress, reading
from ml_janitor.detectors.hung_training_jobs.jobs import (
    CollectiveWait,
    HostLoad,
    JobKind,
    LoadPattern,
    LoadSpan,
    RunningJob,
    load_span,
    loads_text,
    longest_level,
    some_names,
)
from ml_janitor.detectors.hung_training_jobs.progress import job_hosts, unlisted_hosts
from ml_janitor.detectors.hung_training_jobs.reading import _job, keeps_pool, pool_status
from scripted import DENIED, Script
from tables import cases

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
LEAST = {
    "TrainingJobName": "train",
    "TrainingJobStatus": "InProgress",
    "SecondaryStatus": "Training",
    "CreationTime": START - HOUR,
    "StoppingCondition": {},
    "ServerlessJobConfig": {},
}


def job(**members: Any) -> RunningJob:
    return _job(cast("Any", LEAST | members))


def test_the_least_that_is_answered() -> None:
    least = job()

    assert (least.started, least.counted_from, least.max_runtime, least.max_wait) == (None, None, None, None)
    assert (least.groups, least.hosts, least.writes_to) == ((), (), ())
    assert least.machine == Machine(1, None)
    assert (least.tuner, least.pool, least.ended, least.keep_alive) == (None, None, None, timedelta())
    assert (least.spot, least.reserved, least.checkpoints) == (False, False, False)


MIXED = [
    {"InstanceType": "ml.p3.8xlarge", "InstanceCount": 2},
    {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
]


def test_hosts_of_all_groups_are_counted_through() -> None:
    mixed = job(ResourceConfig={"InstanceGroups": MIXED})
    alike = [{"InstanceType": "ml.p3.8xlarge", "InstanceCount": n} for n in (1, 2)]

    assert mixed.kind.numbered
    assert mixed.hosts == ("train/algo-1", "train/algo-2", "train/algo-3")
    assert mixed.machine == Machine(4, None)
    assert job(ResourceConfig={"InstanceGroups": alike}).machine == Machine(32, 4)


def test_folders_are_exact() -> None:
    folders = job(
        OutputDataConfig={"S3OutputPath": "s3://out/models/"},
        DebugHookConfig={"S3OutputPath": "s3://out/models"},
        CheckpointConfig={"S3Uri": "s3://ckpt/runs/a"},
        TensorBoardOutputConfig={"S3OutputPath": "s3://boards"},
    ).writes_to

    assert folders == ("s3://out/models/train/", "s3://ckpt/runs/a/", "s3://boards/")
    assert job(OutputDataConfig={"S3OutputPath": ""}).writes_to == ()


def phase(status: str, hours: int) -> dict[str, Any]:
    return {"Status": status, "StartTime": START + hours * HOUR}


@cases(
    "phases, counted_from",
    ([], START),
    ([phase("Starting", -1), phase("Downloading", 0), phase("Training", 5)], START + 5 * HOUR),
    ([phase("Training", 1), phase("Interrupted", 2), phase("Training", 9)], START + 9 * HOUR),
    ([phase("Training", 9), phase("Interrupted", 2), phase("Training", 1)], START + 9 * HOUR),
)
def test_a_job_counts_since_its_last_begin(phases: list[dict[str, Any]], counted_from: datetime) -> None:
    read = job(TrainingStartTime=START, SecondaryStatusTransitions=phases)

    assert read.counted_from == counted_from
    assert read.phase_since == (phases[-1]["StartTime"] if phases else None)


PLAN = "arn:aws:sagemaker:::training-plan/p"
TUNER = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/sweep"


@cases(
    "status, resources, keeps",
    ("Available", {"KeepAlivePeriodInSeconds": 1}, True),
    ("InUse", {}, True),
    ("Available", {"KeepAlivePeriodInSeconds": 0}, False),
    ("Reused", {"KeepAlivePeriodInSeconds": 1}, False),
    (None, {"KeepAlivePeriodInSeconds": 1}, False),
)
def test_kept_instances_of_jobs(status: str | None, resources: dict[str, int], *, keeps: bool) -> None:
    warm = {"WarmPoolStatus": {"Status": status}} if status else {}

    assert keeps_pool({**warm, "ResourceConfig": resources}) is keeps
    assert pool_status(warm) == status


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


@cases(
    "read_job, whole, member",
    *((_job, LEAST, member) for member in LEAST),
    *((jobs._processing_job, PROCESSING, member) for member in PROCESSING),
    *((jobs._transform_job, TRANSFORM, member) for member in TRANSFORM),
    (_job, LEAST | {"WarmPoolStatus": {}, "cut": None}, "cut"),
)
def test_a_cut_off_answer_is_no_answer(read_job: Any, whole: dict[str, Any], member: str) -> None:
    with pytest.raises((KeyError, ReadError)):
        read_job({key: value for key, value in whole.items() if key != member})


OUTPUTS = [
    {"OutputName": "a", "S3Output": {"S3Uri": "s3://out/a", "S3UploadMode": "Continuous"}},
    {"OutputName": "b", "S3Output": {"S3Uri": "s3://out/b", "S3UploadMode": "EndOfJob"}},
    {"OutputName": "c", "FeatureStoreOutput": {"FeatureGroupName": "c"}},
]


OUT = ("s3://out/a/", "s3://out/b/")
LIMIT = {"MaxRuntimeInSeconds": 3600}
PREFERRED = [{"InstanceType": "ml.m5.xlarge"}]
SELECTED = {"SelectedInstanceType": "ml.c5.xlarge", "SelectedInstanceCount": 3}


S3_INPUT = {"S3Uri": "s3://in", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/in"}


def takes(**given: Any) -> dict[str, Any]:
    return {"ProcessingInputs": [{"InputName": "i", **given}]}


def on(**cluster: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": cluster}}


@cases(
    "read_job, members, read",
    (
        job,
        {"StoppingCondition": LIMIT | {"MaxWaitTimeInSeconds": 7200}},
        {"max_runtime": HOUR, "max_wait": 2 * HOUR},
    ),
    (job, {"EnableManagedSpotTraining": True}, {"spot": True}),
    (job, {"ResourceConfig": MIXED[0] | {"TrainingPlanArn": PLAN}}, {"reserved": True}),
    (job, {"ResourceConfig": MIXED[0]}, {"groups": (RentedInstances("ml.p3.8xlarge", 2),)}),
    (job, {"ResourceConfig": MIXED[0] | SELECTED}, {"groups": (RentedInstances("ml.c5.xlarge", 3),)}),
    (
        job,
        {"ResourceConfig": {"InstanceGroups": MIXED}},
        {"groups": (RentedInstances("ml.p3.8xlarge", 2), RentedInstances("ml.c5.xlarge", 1))},
    ),
    (job, {"CheckpointConfig": {"S3Uri": "s3://ckpt"}}, {"checkpoints": True}),
    (job, {"TuningJobArn": TUNER}, {"tuner": TUNER}),
    (job, {"ResourceConfig": MIXED[0] | {"KeepAlivePeriodInSeconds": 3600}}, {"keep_alive": HOUR}),
    (
        job,
        {"TrainingEndTime": START, "WarmPoolStatus": {"Status": "Available"}},
        {"ended": START, "pool": "Available"},
    ),
    (
        processing_job,
        {},
        {"phase": "Starting", "started": None, "max_runtime": None, "writes_to": (), "streams": "clean/"},
    ),
    (transform_job, {}, {"phase": "Starting", "started": None, "writes_to": (), "streams": "score/"}),
    (
        processing_job,
        {"ProcessingStartTime": START},
        {"phase": "Processing", "started": START, "counted_from": START},
    ),
    (
        transform_job,
        {"TransformStartTime": START},
        {"phase": "Transforming", "started": START, "counted_from": None},
    ),
    (processing_job, {"StoppingCondition": LIMIT}, {"max_runtime": HOUR}),
    (processing_job, {"ProcessingOutputConfig": {"Outputs": OUTPUTS}}, {"writes_to": OUT}),
    (transform_job, {"TransformOutput": {"S3OutputPath": "s3://out/x"}}, {"writes_to": ("s3://out/x/",)}),
    (
        processing_job,
        on(InstanceType="ml.m5.xlarge", InstanceCount=2),
        {"groups": (RentedInstances("ml.m5.xlarge", 2),)},
    ),
    (processing_job, on(InstanceType="ml.m5.xlarge"), {"groups": (RentedInstances("ml.m5.xlarge", 1),)}),
    (
        processing_job,
        on(InstancePreferences=PREFERRED, **SELECTED),
        {"groups": (RentedInstances("ml.c5.xlarge", 3),)},
    ),
    (processing_job, on(InstancePreferences=PREFERRED), {"groups": ()}),
    # whether inputs are there before its program begins
    (processing_job, {}, {"downloads": False}),
    (processing_job, takes(S3Input=S3_INPUT), {"downloads": True}),
    (processing_job, takes(S3Input=S3_INPUT | {"S3InputMode": "File"}), {"downloads": True}),
    (processing_job, takes(S3Input=S3_INPUT | {"S3InputMode": "Pipe"}), {"downloads": False}),
    (processing_job, takes(S3Input=S3_INPUT, AppManaged=True), {"downloads": False}),
    (processing_job, takes(DatasetDefinition={"LocalPath": "/opt/ml/processing/in"}), {"downloads": True}),
)
def test_what_a_description_says_is_read(
    read_job: Callable[..., RunningJob], members: dict[str, Any], read: dict[str, Any]
) -> None:
    """Outputs at its end show progress too: in the upload the container is over, logs nothing and rests."""
    found = read_job(**members)

    assert {name: getattr(found, name) for name in read} == read


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

SMALL, LARGE = RentedInstances("ml.m5.xlarge", 2), RentedInstances("ml.m5.4xlarge", 1)
ONE_GPU, FOUR_GPUS = RentedInstances("ml.g5.xlarge", 1), RentedInstances("ml.g5.12xlarge", 1)


def of(*groups: RentedInstances, kind: JobKind = reading.TRAINING_JOB_KIND, **members: Any) -> RunningJob:
    return replace(processing_job(), kind=kind, groups=groups, **members)


@cases(
    "job, instances, hardware, machine, collective",
    (of(SMALL), 2, "2 x ml.m5.xlarge", Machine(4, 0), CollectiveWait.ALONE),
    (of(SMALL, LARGE), 3, "2 x ml.m5.xlarge, 1 x ml.m5.4xlarge", Machine(4, None), CollectiveWait.ALONE),
    (of(), 0, "not known", Machine(1, None), CollectiveWait.ALONE),
    (of(ONE_GPU), 1, "1 x ml.g5.xlarge", Machine(4, 1), CollectiveWait.ALONE),
    (of(FOUR_GPUS), 1, "1 x ml.g5.12xlarge", Machine(48, 4), CollectiveWait.POSSIBLE),
    (of(RentedInstances("ml.g5.xlarge", 2)), 2, "2 x ml.g5.xlarge", Machine(4, 1), CollectiveWait.POSSIBLE),
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
            return Price(Decimal(1 if kind == SMALL.type else 4), "list")

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


SPAN_END = datetime(2026, 10, 6, 3, tzinfo=UTC)
SPAN_START = SPAN_END - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
REFUSED = Unreadable("AccessDenied: no", "call")


def series(
    *values: float, start: datetime = SPAN_START, step: timedelta = 5 * MINUTE
) -> Signal[MetricSeries]:
    return Value(MetricSeries(tuple((start + n * step, value) for n, value in enumerate(values))))


def flat(value: float, start: datetime = SPAN_START, step: timedelta = 5 * MINUTE) -> Signal[MetricSeries]:
    return series(*[value] * ((SPAN_END - start) // step), start=start, step=step)


def missing_for(minutes: int) -> Signal[MetricSeries]:
    """A point every five minutes, but none for so long after the first hour."""
    times = [SPAN_START + n * 5 * MINUTE for n in range(72)]
    missing = range(60, 60 + minutes)
    return Value(MetricSeries(tuple((at, 1.0) for at in times if (at - SPAN_START) // MINUTE not in missing)))


def test_the_lowest_and_the_highest_of_the_time_asked_for() -> None:
    lows, highs = flat(10, SPAN_START - 60 * MINUTE), flat(20)

    assert load_span(lows, highs, SPAN_START, SPAN_END) == Value(LoadSpan(10, 20), "cloudwatch:GetMetricData")


def test_what_lies_before_the_start_does_not_count() -> None:
    before = SPAN_START - timedelta(seconds=1)

    assert load_span(series(400, start=before), flat(20), SPAN_START, SPAN_END) == load_span(
        flat(20), flat(20), SPAN_START, SPAN_END
    )
    assert load_span(series(400, start=before), series(400, start=before), SPAN_START, SPAN_END) == GONE


@cases(
    "lows, highs, expected",
    (REFUSED, flat(1), REFUSED),
    (flat(1), REFUSED, REFUSED),
    (REFUSED, GONE, REFUSED),
    (GONE, REFUSED, REFUSED),
    (GONE, flat(1), GONE),
    (flat(1), GONE, GONE),
    (flat(1), series(1, math.nan), Unreadable("GetMetricData: a value is not a number", GONE.source)),
    (series(-math.inf), flat(1), Unreadable("GetMetricData: a value is not a number", GONE.source)),
)
def test_no_span(lows: Signal[MetricSeries], highs: Signal[MetricSeries], expected: Signal[LoadSpan]) -> None:
    assert load_span(lows, highs, SPAN_START, SPAN_END) == expected


LEVEL = LoadSpan(398, 400)


@cases(
    "lows, highs, expected",
    ([390] * 24, [400] * 24, Value(2 * HOUR, GET_METRIC_DATA)),
    ([386] * 24, [412] * 24, Value(2 * HOUR, GET_METRIC_DATA)),
    ([385.9] * 24, [400] * 24, Value(timedelta(), GET_METRIC_DATA)),
    ([400] * 24, [412.1] * 24, Value(timedelta(), GET_METRIC_DATA)),
    ([400] * 11 + [200] + [400] * 12, [400] * 24, Value(HOUR, GET_METRIC_DATA)),
    ([400] * 11 + [200] + [400] * 11 + [200], [400] * 24, Value(55 * MINUTE, GET_METRIC_DATA)),
    ([400] * 12, [400] * 12, Value(HOUR, GET_METRIC_DATA)),
    ([400] * 11, [400] * 11, Absent(GET_METRIC_DATA)),
)
def test_how_long_a_load_stood_at_a_level(
    lows: list[float], highs: list[float], expected: Signal[timedelta]
) -> None:
    """Within 12 of full scale of four GPUs, for an hour at least."""
    found = longest_level(series(*lows), series(*highs), LEVEL, 12, (SPAN_START, SPAN_END))

    assert found == expected


def test_a_level_is_measured_within_its_window_alone() -> None:
    full = series(*[400] * 24)
    inner = (SPAN_START + 30 * MINUTE, SPAN_START + 100 * MINUTE)
    assert longest_level(full, full, LEVEL, 12, inner) == Value(70 * MINUTE, GET_METRIC_DATA)
    assert longest_level(full, Absent(), LEVEL, 12, inner) == Absent(GET_METRIC_DATA)
    failed = Unreadable("throttled")
    assert longest_level(full, failed, LEVEL, 12, inner) == failed
    assert longest_level(failed, full, LEVEL, 12, inner) == failed
    unmeasured = HostLoad(host="a", cpu=Absent(), gpu=Absent())
    assert unmeasured.logged_at_level(Machine(8, 1), full, full, *inner) == Absent(GET_METRIC_DATA)


@cases(
    "points, whole",
    (flat(1), True),
    (flat(1, step=60 * MINUTE), True),
    (missing_for(60), True),
    (missing_for(65), False),
    (flat(1, SPAN_START + 65 * MINUTE), True),
    (flat(1, SPAN_START + 66 * MINUTE), False),
    (series(*[1] * 60), True),  # the newest is 65 minutes old, and speaks for 5 of them
    (series(*[1] * 59), False),
    (series(1), False),
)
def test_a_long_hole_is_not_measured(points: Signal[MetricSeries], whole: bool) -> None:  # noqa: FBT001 - expected value
    found = load_span(points, points, SPAN_START, SPAN_END)

    assert isinstance(found, Value)
    assert found.value.whole is whole


@cases(
    "gpu, cpu, machine, expected",
    (LoadSpan(0, 0), LoadSpan(40, 50), Machine(32, 4), LoadPattern.RESTS),
    (LoadSpan(0, 0), LoadSpan(50, 60), Machine(32, 4), LoadPattern.ONLY_GPUS_REST),
    (LoadSpan(0, 0), LoadSpan(50, 101), Machine(32, 4), LoadPattern.WORKING),
    (LoadSpan(399, 400), LoadSpan(50, 101), Machine(32, 4), LoadPattern.SPINS),
    (None, LoadSpan(790, 800), Machine(8, 0), LoadPattern.FULL),
    (None, LoadSpan(800, 840), Machine(8, 0), LoadPattern.FULL),
    (None, LoadSpan(801, 841), Machine(8, 0), LoadPattern.STEADY),  # more than there is
    (LoadSpan(800, 800), LoadSpan(50, 60), Machine(32, 4), LoadPattern.STEADY),  # more than there is
    (LoadSpan(0, 4), LoadSpan(0, 1), Machine(8, None), LoadPattern.WORKING),  # unknown GPUs count as one
    (LoadSpan(0, 3), LoadSpan(0, 1), Machine(8, None), LoadPattern.UNMEASURED),
    (LoadSpan(0, 3.02), LoadSpan(0, 1), Machine(8, None), LoadPattern.WORKING),
    (LoadSpan(0, 1), LoadSpan(0, 1), Machine(8, 0), LoadPattern.UNMEASURED),
    (LoadSpan(99, 100), LoadSpan(0, 1), Machine(8, 1), LoadPattern.SPINS),
    (LoadSpan(0, 0), LoadSpan(0, 40), Machine(8, 1), LoadPattern.RESTS),  # five percent
    (LoadSpan(0, 0), LoadSpan(1, 40.2), Machine(8, 1), LoadPattern.ONLY_GPUS_REST),
    (LoadSpan(1430, 1455), LoadSpan(0, 1), Machine(64, 16), LoadPattern.SPINS),  # 15 of them
    (LoadSpan(0, 0), LoadSpan(0, 1), Machine(8, 0), LoadPattern.RESTS),
    (None, LoadSpan(0, 1), Machine(8, 0), LoadPattern.RESTS),
    (None, LoadSpan(0, 1), Machine(8, 1), LoadPattern.UNMEASURED),
)
def test_a_load_is_measured_against_the_machine(
    gpu: LoadSpan | None, cpu: LoadSpan, machine: Machine, expected: LoadPattern
) -> None:
    measured = GONE if gpu is None else Value(gpu)

    assert HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=measured).motion(machine) is expected


@cases(
    "collective, spins, full, beside",
    (CollectiveWait.POSSIBLE, LoadPattern.SPINS, LoadPattern.FULL, LoadPattern.ONLY_GPUS_REST),
    (CollectiveWait.ALONE, LoadPattern.FULL, LoadPattern.FULL, LoadPattern.ONLY_GPUS_REST),
    (CollectiveWait.NEVER, LoadPattern.STEADY, LoadPattern.STEADY, LoadPattern.STEADY),
)
def test_what_a_full_load_means_depends_on_who_could_wait_for_whom(
    collective: CollectiveWait, spins: LoadPattern, full: LoadPattern, beside: LoadPattern
) -> None:
    def motion(gpu: Signal[LoadSpan], cpu: LoadSpan, gpus: int) -> LoadPattern:
        return HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=gpu).motion(Machine(8, gpus), collective)

    assert motion(Value(LoadSpan(199, 200)), LoadSpan(200, 210), 2) is spins
    assert motion(GONE, LoadSpan(790, 800), 0) is full
    assert motion(Value(LoadSpan(0, 0)), LoadSpan(100, 101), 2) is beside
    assert motion(Value(LoadSpan(0, 0)), LoadSpan(0, 1), 2) is LoadPattern.RESTS


@pytest.mark.parametrize("unread", [REFUSED, NotRead()])
def test_what_was_not_read_is_unreadable(unread: Signal[LoadSpan]) -> None:
    load = HostLoad(host="a/algo-1", cpu=Value(LoadSpan(0, 1)), gpu=unread)

    assert load.motion(Machine(8, 1)) is LoadPattern.UNREADABLE


@cases(
    "disk, memory, expected",
    (GONE, GONE, LoadPattern.RESTS),
    (Value(LoadSpan(40, 41)), Value(LoadSpan(60, 65)), LoadPattern.RESTS),
    (Value(LoadSpan(40, 41.1)), GONE, LoadPattern.WORKING),
    (GONE, Value(LoadSpan(60, 65.1)), LoadPattern.WORKING),
    (REFUSED, GONE, LoadPattern.UNREADABLE),
    (GONE, REFUSED, LoadPattern.UNREADABLE),
    (NotRead(), GONE, LoadPattern.UNREADABLE),
)
def test_a_host_whose_disk_or_memory_fills_works(
    disk: Signal[LoadSpan], memory: Signal[LoadSpan], expected: LoadPattern
) -> None:
    """It downloads, for instance, which may take less than half a thread and say nothing for hours."""
    load = HostLoad(
        host="a/algo-1", cpu=Value(LoadSpan(0, 30)), gpu=Value(LoadSpan(0, 0)), disk=disk, memory=memory
    )

    assert load.motion(Machine(32, 4)) is expected


def test_hosts_alike_are_told_together() -> None:
    def host(n: int, gpu: Signal[LoadSpan]) -> HostLoad:
        return HostLoad(host=f"a/algo-{n}", cpu=GONE, gpu=gpu)

    full, holey = Value(LoadSpan(399.6, 400)), Value(LoadSpan(0, 1, timedelta(hours=3)))

    assert loads_text([host(1, full), host(2, full), host(3, holey)], "gpu", 400) == (
        "400 to 400 of 400 (algo-1, algo-2); 0 to 1 of 400, missing for 3 hours (algo-3)"
    )
    assert loads_text([host(1, REFUSED), host(2, GONE)], "gpu", None) == "unreadable (algo-1); none (algo-2)"
    assert some_names([f"algo-{n}" for n in range(1, 7)]) == "algo-1, algo-2, algo-3, algo-4 and 2 more"
