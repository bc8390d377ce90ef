"""The decide table of recomputed-datasets."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, DAY, NOW, REGION, SECOND
from fakes import target_at
from ml_janitor.aws import s3
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import PROCESSING_JOB, TRANSFORM_JOB
from ml_janitor.core.model import Confidence, Finding, NotRead, Unreadable, Value
from ml_janitor.core.text import format_time
from ml_janitor.detectors import recomputed_datasets
from ml_janitor.detectors.recomputed_datasets import (
    CompletedJob,
    CompletedRun,
    RecomputedDatasets,
    RepeatedJobs,
)
from narrowing import of_type
from past_jobs import word
from scripted import Script
from tables import cases
from verdicts import expect_verdict, shown

PRICE = Price(Decimal(2), "Price List API")


def repeated(runs: int = 10, **more: Any) -> RepeatedJobs:
    """A job that ran for 5 hours of instances each day at noon, the last time yesterday."""
    name = "features-*~0a1b2c3d"
    target = target_at(f"processing-job/{name}", None)
    fields: dict[str, Any] = {
        "target": target,
        "runs": tuple(CompletedRun(NOW - day * DAY, 5.0) for day in range(runs, 0, -1)),
        "instance": "ml.m5.xlarge",
        "price": PRICE,
        "changed": Value(NOW - 20 * DAY),
    }
    return RepeatedJobs(**(fields | more))


@cases(
    "judged, verdict, reason",
    (repeated(), "found", "10 runs in 30 days had the same inputs"),
    (repeated(3), "found", "3 runs"),
    (repeated(2), "kept", "2 runs had the same instructions; judged from 3 on"),
    (repeated(2, changed=NotRead()), "kept", "2 runs had the same instructions"),
    (repeated(0, changed=Unreadable("DescribeProcessingJob: denied")), "unknown", "denied"),
    (repeated(changed=Unreadable("ListObjectsV2: denied")), "unknown", "ListObjectsV2: denied"),
    (repeated(changed=NotRead()), "unknown", "not read"),
    (repeated(changed=Value(NOW - 2 * DAY - SECOND)), "kept", "2 runs since what it runs or reads"),
    (repeated(changed=Value(NOW - 3 * DAY)), "kept", "2 runs since what it runs or reads"),
    (repeated(changed=Value(NOW - 3 * DAY - SECOND)), "found", "3 runs"),
    (repeated(changed=Value(NOW)), "kept", "0 runs since"),
    (repeated(scheduled=True), "kept", "a monitoring schedule runs it"),
    (repeated(parameters=("--since", "1d")), "kept", "another time in each run: --since"),
    (repeated(parameters=("LOOKBACK_DAYS", "7")), "kept", "LOOKBACK_DAYS"),
    (repeated(parameters=("--day=Today",)), "kept", "--day=Today"),
    (repeated(parameters=("--snow", "lastly", "nowhere", "pastoral", "currently")), "found", "10 runs"),
    (repeated(parameters=("--as-of", "T-1")), "kept", "another time in each run: T-1"),
    (repeated(parameters=("--day=d-7",)), "kept", "--day=d-7"),
    (repeated(parameters=("--from", "-24h")), "kept", "-24h"),
    (repeated(parameters=("raw/%Y/%m",)), "kept", "raw/%Y/%m"),
    (repeated(parameters=("--ds={{ ds }}",)), "kept", "{{ ds }}"),
    (repeated(parameters=("bash -c 'run $(date +%F)'",)), "kept", "$(date"),
    (
        repeated(
            parameters=("gpt-4", "t5-large", "--as-of", "2026-10-01", "conv-1d", "3d-2", "T-1000x", "-1")
        ),
        "found",
        "10 runs",
    ),
    (repeated(price=Price(Decimal("0.2"), "")), "kept", "would save $9.13 a month"),
    (repeated(price=Price(None, "no price list")), "found", "10 runs"),
)
def test_recomputed_datasets(judged: RepeatedJobs, verdict: str, reason: str) -> None:
    expect_verdict(RecomputedDatasets().decide(judged, NOW), verdict, reason)


def test_it_saves_every_run_but_the_first_since_the_last_change() -> None:
    """9 runs of 5 hours at two dollars in 30 days; 4 of them, if something was written six days ago."""
    all_, some = (
        RecomputedDatasets().decide(repeated(changed=Value(NOW - days * DAY)), NOW) for days in (20, 6)
    )

    assert isinstance(all_, Finding)
    assert isinstance(some, Finding)
    assert all_.cost
    assert some.cost
    assert all_.cost.monthly_usd == pytest.approx(Decimal(9 * 5 * 2 * 730) / 720)
    assert some.cost.monthly_usd == pytest.approx(Decimal(4 * 5 * 2 * 730) / 720)
    assert (all_.confidence, "EnableNetworkIsolation" in all_.to_prove) == (Confidence.LIKELY, True)


def test_what_is_a_step_already_is_only_cached() -> None:
    step, job = (RecomputedDatasets().decide(repeated(piped=piped), NOW) for piped in (True, False))

    assert of_type(Finding, step).action.startswith("reuse its result: set CacheConfig (Enabled=true")
    assert ": make it a step of a pipeline, and set CacheConfig" in of_type(Finding, job).action


def test_what_was_seen_of_runs_and_as_much_as_is_worth_a_change() -> None:
    """45 hours in 30 days are 45.625 a month, at two dollars."""
    decided = RecomputedDatasets().decide(repeated(), NOW)
    kept = RecomputedDatasets().decide(repeated(changed=Value(NOW - 2 * DAY)), NOW)

    assert shown(decided) == {
        "completed runs told the same": 10,
        "newest of what it runs and reads": format_time(NOW - 20 * DAY),
        "runs since then": 10,
    }
    assert shown(kept)["runs since then"] == 1
    assert {one.source for one in decided.evidence if one.signal.startswith("completed")} == {
        "sagemaker:ListProcessingJobs"
    }
    assert word(RecomputedDatasets(min_saving=91.25).decide(repeated(), NOW)) == "found"
    assert word(RecomputedDatasets(min_saving=91.26).decide(repeated(), NOW)) == "kept"
    scored = replace(repeated(), target=target_at("transform-job/score-*", None))
    assert scored.source == "sagemaker:ListTransformJobs"


STORED = {"Key": "in/a", "LastModified": NOW - 5 * DAY, "Size": 1, "ETag": "e"}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/image@sha256:{'0' * 64}"
IN: Any = {"S3Input": {"S3Uri": "s3://raw/in/", "S3DataType": "S3Prefix"}}
MANIFEST = {"S3Input": IN["S3Input"] | {"S3DataType": "ManifestFile"}}


def processing(*inputs: Any, image: str = IMAGE, arguments: Any = (), **more: Any) -> CompletedJob:
    target = target_at("processing-job/prepare-1", NOW - DAY)
    app = {"ImageUri": image, "ContainerArguments": list(arguments)}
    return CompletedJob(
        PROCESSING_JOB, target, {"ProcessingInputs": list(inputs), "AppSpecification": app} | more
    )


@cases(
    "job, asked, error",
    (processing(IN), {"in/"}, ""),
    (processing(IN, Environment={"FROM": "s3://raw/more/x"}), {"in/", "more/x"}, ""),
    (processing(), set(), "it has no input that could be compared"),
    (processing(MANIFEST), set(), "its input is a manifest"),
    (processing(IN, {"DatasetDefinition": {}}), set(), "its input is a query"),
    (processing(IN, Environment={"A": "jdbc:mysql://db/x"}), set(), "it may read jdbc:mysql://db/x"),
    (processing(IN, arguments=["--url=https://x/y"]), set(), "it may read --url"),
    (processing(IN, image="public.ecr.aws/x:1"), {"in/"}, "x:1 has no digest"),
)
def test_the_newest_input_of_a_job_is_dated(job: CompletedJob, asked: set[str], error: str) -> None:
    script = Script({"s3:ListObjectsV2": {"IsTruncated": False, "KeyCount": 1, "Contents": [STORED]}})

    read = recomputed_datasets._changed(script.aws(), job, NOW)

    if error:
        assert error in getattr(read, "error", "")
    else:
        assert read == Value(NOW - 5 * DAY, s3.LIST_OBJECTS)
    assert {each["Prefix"] for each in script.asked("s3:ListObjectsV2")} == asked


def test_what_is_stored_nowhere_any_more_has_no_date() -> None:
    script = Script({"s3:ListObjectsV2": {"IsTruncated": False, "KeyCount": 0}})

    read = recomputed_datasets._changed(script.aws(), processing(IN), NOW)

    assert read == Unreadable("nothing is stored at s3://raw/in/ any more", s3.LIST_OBJECTS)


def test_an_address_is_listed_only_if_it_holds_the_name_of_the_job() -> None:
    script = Script({"s3:ListObjectsV2": {"IsTruncated": False, "KeyCount": 0}})
    own = {"S3Input": {"S3Uri": "s3://raw/prepare-1/code.py"}}

    recomputed_datasets._recipe(script.aws(), processing(IN, own, arguments=["prepare-1"]))

    assert [each["Prefix"] for each in script.asked("s3:ListObjectsV2")] == ["prepare-1/code.py"]


def test_the_names_of_its_variables_are_parameters_and_its_instances_are_hours() -> None:
    rented = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 4}
    job = processing(
        Environment={"LOOKBACK_DAYS": "7"},
        ProcessingStartTime=NOW - DAY,
        ProcessingEndTime=NOW - DAY + timedelta(hours=3),
        ProcessingResources={"ClusterConfig": rented},
    )
    times = {"TransformStartTime": NOW - DAY, "TransformEndTime": NOW - DAY + timedelta(hours=2)}
    scored = CompletedJob(
        TRANSFORM_JOB, target_at("transform-job/score-1", None), times | {"TransformResources": rented}
    )

    assert job.parameters == ("LOOKBACK_DAYS", "7")
    assert (job.run, scored.run) == (CompletedRun(NOW - DAY, 12.0), CompletedRun(NOW - DAY, 8.0))


def test_what_a_monitoring_schedule_runs_is_another_job_than_what_people_run() -> None:
    aws = Script({}).aws()
    arns = [f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:monitoring-schedule/{name}" for name in "ab"]
    own, first, second = (
        recomputed_datasets._recipe(aws, processing(IN, **more))
        for more in ({}, *({"MonitoringScheduleArn": arn} for arn in arns))
    )

    assert own != first == second
