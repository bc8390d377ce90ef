"""The request of a job, what is refused, what a budget buys, and the command line with its exit statuses."""

import argparse
import io
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tables import cases

pytest.importorskip("boto3")
import boto3

from janitor_kit import cli, origin, prices
from janitor_kit.checks import Refused, bucket_region, buckets
from janitor_kit.launch import Job, Plan, bound_of, check_demands, launch, new_stamp, prepare
from janitor_kit.packing import pack
from recording import Recording, product, recording

STAMP = "20261006-030000-4f2a9c"
TABLE_DAY = prices.table()["ml.g5.xlarge"].source[9:19]
TAGS = {"project": "churn", "owner": "ana@example.com"}
JOB = Job(
    name="churn",
    role="arn:aws:iam::123456789012:role/training",
    image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1-gpu-py311-cu124-ubuntu22.04-sagemaker",
    instance_type="ml.g5.xlarge",
    output="s3://models/out",
    tags=TAGS,
    max_runtime=6 * 3600,
    max_wait=2 * 86400,
    checkpoints="s3://models/checkpoints/churn",
)


@pytest.fixture(scope="session")
def server() -> Iterator[Recording]:
    with recording() as one:
        yield one


@pytest.fixture
def aws(server: Recording, monkeypatch: pytest.MonkeyPatch) -> Recording:
    for name in [name for name in os.environ if name.startswith(("AWS_", "GITHUB_", "GITLAB_", "CI_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    server.forget()
    return server


@cache
def session() -> boto3.Session:
    """One for all tests: reading AWS's models takes half a second."""
    return boto3.Session(region_name="us-east-1")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for left_out in ("__pycache__", ".git", ".venv", "node_modules", ".mypy_cache", ".ruff_cache"):
        (tmp_path / "src" / left_out).mkdir(parents=True)
        (tmp_path / "src" / left_out / "train.pyc").write_bytes(b"")
    (tmp_path / "src" / "train.py").write_text("print('trained')\n")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "one.py").write_text("")
    return tmp_path


def planned(job: Job, folder: Path = Path("/")) -> Plan:
    return prepare(job, session(), stamp=STAMP, environment={}, folder=folder)


# --- the request ---------------------------------------------------------------------------------


def test_the_whole_request(aws: Recording, code: Path) -> None:
    job = replace(
        JOB,
        source=code / "src",
        also=(code / "helpers",),
        entry="train.py",
        inputs={"train": "s3://data/train"},
        hyperparameters={"epochs": 10, "note": "a b"},
        environment={"MODE": "x"},
        request={"EnableNetworkIsolation": True},
    )

    plan = planned(job)
    arn = launch(job, plan, session())

    where = "s3://models/out/churn-20261006-030000-4f2a9c/source/sourcedir.tar.gz"
    assert arn.endswith(":training-job/churn-20261006-030000-4f2a9c")
    assert aws.created == [
        {
            "TrainingJobName": "churn-20261006-030000-4f2a9c",
            "AlgorithmSpecification": {"TrainingImage": JOB.image, "TrainingInputMode": "File"},
            "RoleArn": JOB.role,
            "OutputDataConfig": {"S3OutputPath": "s3://models/out"},
            "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 21600, "MaxWaitTimeInSeconds": 172800},
            "EnableManagedSpotTraining": True,
            "RetryStrategy": {"MaximumRetryAttempts": 2},
            "CheckpointConfig": {
                "S3Uri": "s3://models/checkpoints/churn",
                "LocalPath": "/opt/ml/checkpoints",
            },
            "Environment": {"MODE": "x", "CHECKPOINT_DIR": "/opt/ml/checkpoints"},
            "HyperParameters": {
                "epochs": "10",
                "note": '"a b"',
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": f'"{where}"',
            },
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": "s3://data/train",
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
            ],
            "EnableNetworkIsolation": True,
            "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
        }
    ]
    [(path, packed)] = aws.uploaded.items()
    assert path == "/models/out/churn-20261006-030000-4f2a9c/source/sourcedir.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["train.py", "helpers", "helpers/one.py"]
    packed = pack(code / "src")
    assert packed == pack(code / "src")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in archive} == {(0, 0, 0, "", "")}


@pytest.mark.usefixtures("aws")
def test_a_request_has_no_member_that_its_job_does_not_need() -> None:
    least = replace(JOB, spot=False, max_wait=None, checkpoints=None, retries=0, tags={}, required_tags=())

    assert planned(least).request == {
        "TrainingJobName": "churn-20261006-030000-4f2a9c",
        "AlgorithmSpecification": {"TrainingImage": JOB.image, "TrainingInputMode": "File"},
        "RoleArn": JOB.role,
        "OutputDataConfig": {"S3OutputPath": "s3://models/out"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 21600},
        "EnableManagedSpotTraining": False,
        "Tags": [],
    }
    own = planned(
        replace(JOB, environment={"CHECKPOINT_DIR": "/own"}, checkpoints="s3://models/checkpoints/{job}/x")
    ).request
    assert own["Environment"] == {"CHECKPOINT_DIR": "/own"}
    assert own["CheckpointConfig"]["S3Uri"] == "s3://models/checkpoints/churn-20261006-030000-4f2a9c/x"


def test_code_that_is_in_s3_is_used_as_it_is(aws: Recording) -> None:
    job = replace(JOB, source="s3://models/code.tar.gz", entry="train.py", output="s3://models/out/")
    launch(job, planned(job), session())

    assert aws.uploaded == {}
    assert aws.created[0]["HyperParameters"]["sagemaker_submit_directory"] == '"s3://models/code.tar.gz"'


@pytest.mark.usefixtures("aws")
def test_what_a_job_may_also_say() -> None:
    on_demand = {"spot": False, "max_wait": None, "checkpoints": None, "retries": 0}
    plan = planned(
        replace(
            JOB,
            **on_demand,
            training_input_mode="FastFile",
            volume_kms_key_id="alias/volumes",
            kms_key_id="alias/models",
            metric_definitions={"loss": "loss ([0-9.]+)"},
            keep_alive_period=600,
            inputs={"train": {"uri": "s3://data/train", "sharded": True, "mode": "Pipe"}},
            container_entrypoint=("python", "/opt/train.py"),
            container_arguments=("--fast",),
            continue_from="step-000000000003-000",
            hyperparameters={"objective": "binary", "rounds": 5},
        )
    )
    request = plan.request
    assert (request["HyperParameters"], plan.code) == ({"objective": "binary", "rounds": "5"}, None)
    assert request["AlgorithmSpecification"] == {
        "TrainingImage": JOB.image,
        "TrainingInputMode": "FastFile",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss ([0-9.]+)"}],
        "ContainerEntrypoint": ["python", "/opt/train.py"],
        "ContainerArguments": ["--fast"],
    }
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://models/out", "KmsKeyId": "alias/models"}
    assert request["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 30,
        "VolumeKmsKeyId": "alias/volumes",
        "KeepAlivePeriodInSeconds": 600,
    }
    [channel] = request["InputDataConfig"]
    assert channel["InputMode"] == "Pipe"
    assert channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert request["Environment"] == {"CONTINUE_FROM": "step-000000000003-000"}
    plain = planned(replace(JOB, **on_demand)).bound
    assert plan.bound.allowance == plain.allowance + 600  # the warm pool is billed
    assert (plan.bound.at_most_usd or 0) > (plain.at_most_usd or 0)


@pytest.mark.usefixtures("aws")
def test_instance_groups_are_priced_together() -> None:
    groups = {
        "trainers": {"instance_type": "ml.g5.xlarge", "instances": 2},
        "data": {"instance_type": "ml.m5.xlarge", "instances": 3},
        "more": {"instance_type": "ml.g5.xlarge", "instances": 1},
    }
    plan = planned(replace(JOB, instance_type=None, instance_groups=groups, max_usd=Decimal(50)))
    assert plan.request["ResourceConfig"] == {
        "VolumeSizeInGB": 30,
        "InstanceGroups": [
            {
                "InstanceGroupName": name,
                "InstanceType": group["instance_type"],
                "InstanceCount": group["instances"],
            }
            for name, group in groups.items()
        ],
    }
    table = prices.table()
    each = {name: table[name].hourly_usd or 0 for name in ("ml.g5.xlarge", "ml.m5.xlarge")}
    whole = 3 * each["ml.g5.xlarge"] + 3 * each["ml.m5.xlarge"]
    assert plan.bound.hourly_usd == whole + prices.volumes(6, 30)
    assert (plan.bound.at_most_usd or 0) <= 50
    assert "3 x ml.g5.xlarge + 3 x ml.m5.xlarge, spot" in cli.described(
        plan, replace(JOB, instance_groups=groups)
    )


def test_a_script_that_is_the_first_process_gets_its_arguments_and_sigterm(
    aws: Recording, code: Path
) -> None:
    (code / "src" / "train.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print(*sys.argv[1:], flush=True)\n"
        "time.sleep(60)\n"
    )
    job = replace(
        JOB,
        source=code / "src",
        entry="train.py",
        exec_script=True,
        hyperparameters={"epochs": 10, "note": "a b"},
    )
    plan = planned(job)
    launch(job, plan, session())
    [(path, packed)] = aws.uploaded.items()
    algorithm = aws.created[0]["AlgorithmSpecification"]
    assert "HyperParameters" in aws.created[0]
    assert [
        channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in aws.created[0]["InputDataConfig"]
    ] == [f"s3:/{path}"]

    (code / "input").mkdir()
    (code / "input" / "sourcedir.tar.gz").write_bytes(packed)
    *shell, script = algorithm["ContainerEntrypoint"]
    script = script.replace("/opt/ml/input/data/code", str(code / "input")).replace(
        "/opt/ml", str(code / "ml")
    )
    command = [*shell, script, *algorithm["ContainerArguments"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "--epochs 10 --note a b\n"
        process.terminate()
        assert process.wait(60) == 9


@cases(
    "change, why",
    ({"instance_type": None}, "no machines: give instance_type, or instance_groups"),
    ({"instance_groups": {"a": {"instance_type": "ml.m5.xlarge", "instances": 1}}}, "exclude each other"),
    ({"instance_type": None, "instance_groups": {"a": {"instances": 1}}}, "group a needs instance_type"),
    ({"keep_alive_period": 600}, "a warm pool (keep_alive_period) is on demand"),
    ({"keep_alive_period": 3601}, "from 1 second to an hour"),
    ({"keep_alive_period": 0}, "keep_alive_period is 0 seconds"),
    ({"exec_script": True}, "exec_script needs source"),
    ({"inputs": {"train": {"sharded": True}}}, "input train is an s3:// path, or a table of uri"),
    ({"inputs": {"train": {"uri": "s3://a/b", "shared": 1}}}, "input train is an s3:// path, or a table"),
)
def test_settings_that_exclude_each_other(change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=re.escape(why)):
        check_demands(replace(JOB, **change))


def test_a_warm_pool_lasts_for_a_second_to_an_hour() -> None:
    for seconds in (1, 3600):
        check_demands(replace(JOB, spot=False, max_wait=None, keep_alive_period=seconds))


@pytest.mark.parametrize(("last", "status"), [("Completed", 0), ("Failed", 1), ("Stopped", 1)])
def test_jobs_are_waited_for_listed_stopped_and_read(
    aws: Recording,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    status: int,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("janitor_kit.jobs.time.sleep", slept.append)
    aws.statuses, aws.logs = ["InProgress", "Stopping", last], ["one", "two", "three"]
    assert cli.main(["logs", "churn-1", "--wait"]) == status
    end = f"{last}: AlgorithmError" if last == "Failed" else last
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three", end]
    assert slept == [30.0, 30.0]

    assert cli.main(["list", "--name", "churn"]) == 0
    assert capsys.readouterr().out == "churn-1  Stopped  2026-09-21 14:13\n"
    assert (aws.created[-1]["NameContains"], aws.created[-1]["MaxResults"]) == ("churn", 20)
    assert cli.main(["list", "--count", "200"]) == 0
    assert aws.created[-1]["MaxResults"] == 100, "the most that AWS takes"
    capsys.readouterr()
    assert cli.main(["stop", "churn-1", "--wait"]) == 0
    assert capsys.readouterr().out.splitlines() == ["stopping churn-1", end]
    assert aws.created[-1] == {"TrainingJobName": "churn-1"}
    aws.logs = None
    assert cli.main(["logs", "churn-1"]) == 0
    assert capsys.readouterr().out == ""


def test_lines_of_several_machines_say_whose_they_are(
    aws: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.logs, aws.streams = ["one"], ["churn-1/algo-1-17", "churn-1/algo-2-17"]

    assert cli.main(["logs", "churn-1"]) == 0

    assert capsys.readouterr().out.splitlines() == ["algo-1: one", "algo-2: one"]


def test_a_launch_may_wait(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("janitor_kit.jobs.time.sleep", slept.append)
    aws.statuses = ["InProgress", "Failed"]
    assert cli.main(["launch", str(file), "--wait", "--continue-from", "step-1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "Failed: AlgorithmError"
    assert aws.created[0]["Environment"]["CONTINUE_FROM"] == "step-1"
    assert slept.count(30.0) == 1


# --- what is refused -----------------------------------------------------------------------------


@cases(
    "change, said",
    ({"max_runtime": None}, "no limit"),
    ({"max_runtime": 29 * 86400, "max_wait": 30 * 86400}, "28 days"),
    ({"max_runtime": 0}, "28 days"),
    ({"max_usd": Decimal(-5)}, "max_usd is -5"),
    ({"max_usd": Decimal("NaN")}, "max_usd is NaN"),
    ({"tags": {"project": "churn", "owner": " "}}, "tags missing: owner"),
    ({"tags": TAGS | {"note": "50 %"}}, "note=50 %"),
    ({"checkpoints": None}, "give checkpoints"),
    ({"max_wait": None}, "max_wait"),
    ({"max_wait": 3600}, "shorter than max_runtime"),
    ({"spot": False}, "for spot alone"),
    ({"entry": "train.py"}, "belong together"),
    ({"source": "/nowhere", "entry": "train.py"}, "there is no /nowhere/train.py"),
    (
        {"source": Path(__file__).parent, "entry": Path(__file__).name, "also": (Path("/a"), Path("/b"))},
        "there is no /a, /b$",
    ),
    ({"request": {"StoppingCondition": {}}}, "may not set StoppingCondition"),
    ({"max_runtime": 28 * 86400 + 1, "max_wait": 28 * 86400 + 1}, "28 days"),
    ({"max_wait": 6 * 3600 - 1}, "shorter than max_runtime"),
    ({"max_runtime": None, "max_usd": Decimal(1), "max_wait": 0}, "max_wait .0 s. is shorter"),
    ({"max_usd": Decimal(0)}, "max_usd is 0"),
    ({"max_usd": Decimal(10**9)}, "max_usd is 1000000000"),
    ({"tags": TAGS | {"AWS:x": "y"}}, "AWS does not allow the tag AWS:x=y"),
    ({"source": "src"}, "belong together"),
    ({"instances": 0}, "at least 1"),
    ({"volume_gb": 0}, "at least 1"),
    ({"allowance": -1}, "allowance not negative"),
    ({"price": Decimal("1e30")}, "price is 1E"),
    ({"retries": 31}, "0 to 30"),
    ({"retries": -1}, "0 to 30"),
)
def test_a_job_without_what_every_job_must_have(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        check_demands(replace(JOB, **change))


@cases(
    "change",
    {},
    {"max_runtime": 1, "max_wait": 1},
    {"max_runtime": 28 * 86400, "max_wait": 28 * 86400},
    {"max_runtime": None, "max_usd": Decimal(1), "max_wait": 1},
    {"max_usd": Decimal("0.001")},
    {"max_usd": Decimal(10**9 - 1), "price": Decimal(10**9 - 1)},
    {"instances": 1, "volume_gb": 1, "allowance": 0},
    {"spot": False, "max_wait": None, "checkpoints": None},
)
def test_a_job_at_the_limits_of_what_is_allowed(change: dict[str, Any]) -> None:
    check_demands(replace(JOB, **change))


@pytest.mark.parametrize("entry", ["../helpers/one.py", "__pycache__/train.pyc", "{}/helpers/one.py"])
def test_a_script_that_is_not_packed(code: Path, entry: str) -> None:
    job = replace(JOB, source=code / "src", entry=entry.format(code))

    with pytest.raises(Refused, match=r"entry .* is not in the packed folder"):
        check_demands(job)


@cases(
    "change, said",
    ({"name": "bad_name"}, "TrainingJobName"),
    ({"name": "x" * 60}, "TrainingJobName"),
    ({"role": "training"}, "RoleArn"),
    ({"instance_type": "ml.g5.xlagre", "price": None, "max_usd": Decimal(5)}, r"near: ml\.g5\.xlarge"),
    ({"request": {"VpcConfg": {}}}, "VpcConfg"),
    ({"request": {"VpcConfig": {"Subnets": ["s"]}}}, "SecurityGroupIds"),
    ({"inputs": {"a b": "s3://data/x"}}, "ChannelName"),
    (
        {"hyperparameters": {f"p{n}": n for n in range(101)}},
        "^HyperParameters has the length 101, the most is 100$",
    ),
    ({"tags": {f"t{n}": "" for n in range(49)} | TAGS}, "^51 tags: a job may have 50$"),
    ({"instance_type": "none"}, r"near: [^,]+, [^,]+, [^,]+$"),
    ({"instance_type": "ml.g5.large"}, r"near: [^,]+, [^,]+, [^,]+$"),
)
@pytest.mark.usefixtures("aws")
def test_what_sagemaker_would_refuse(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        planned(replace(JOB, **{"price": Decimal(1), **change}))


@pytest.mark.usefixtures("aws")
def test_as_much_as_sagemaker_takes() -> None:
    most: dict[str, Any] = {
        "hyperparameters": {f"p{n}": n for n in range(100)},
        "tags": {f"t{n}": "" for n in range(48)} | TAGS,
        "retries": 30,
    }

    request = planned(replace(JOB, price=Decimal(1), **most)).request

    assert (len(request["HyperParameters"]), len(request["Tags"])) == (100, 50)
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 30}


@pytest.mark.usefixtures("aws")
def test_a_job_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(Refused, match="no region: set AWS_DEFAULT_REGION, or give --region"):
        prepare(JOB, boto3.Session(), stamp=STAMP, environment={}, folder=Path("/"))


# --- regions -------------------------------------------------------------------------------------


def test_buckets_are_found_wherever_they_are_named() -> None:
    found = buckets(
        {
            "HyperParameters": {"a": '"s3://in-json/x"', "b": "s3a://hadoop"},
            "Environment": {"DATA": "x,s3://one/y,s3://two.b/z"},
            "CheckpointConfig": {"S3Uri": "https://web.s3.eu-west-1.amazonaws.com/k"},
            "InputDataConfig": [{"DataSource": {"S3DataSource": {"S3Uri": "s3://input/k"}}}],
            "Tags": [{"Key": "note", "Value": "s3://tagged/x"}],
        }
    )

    assert set(found) == {"in-json", "hadoop", "one", "two.b", "web", "input"}
    assert found["input"] == "InputDataConfig[0].DataSource.S3DataSource.S3Uri"


@cases(
    "bucket, region",
    ((200, "eu-west-1", None), "eu-west-1"),
    ((403, "eu-central-1", None), "eu-central-1"),
    ((403, None, ""), "us-east-1"),
    ((403, None, "EU"), "eu-west-1"),
    ((403, None, "eu-north-1"), "eu-north-1"),
)
def test_the_region_of_a_bucket(
    aws: Recording, bucket: tuple[int, str | None, str | None], region: str
) -> None:
    aws.buckets["data"] = bucket

    assert bucket_region(session().client("s3"), "data") == region


@cases(
    "bucket, said",
    ((403, None, None), "HeadBucket 403, GetBucketLocation AccessDenied.* --bucket-region data=REGION"),
    ((403, None, "hang up"), "HeadBucket 403, GetBucketLocation ConnectionClosedError"),
    ((200, None, None), "HeadBucket 200, GetBucketLocation AccessDenied"),
    ((0, None, None), "HeadBucket ConnectionClosedError, GetBucketLocation AccessDenied"),
    ((404, None, None), "there is no bucket data"),
)
def test_a_region_that_cannot_be_read(
    aws: Recording, bucket: tuple[int, None, str | None], said: str
) -> None:
    aws.buckets["data"] = bucket

    with pytest.raises(Refused, match=said):
        planned(replace(JOB, price=Decimal(1), inputs={"train": "s3://data/x"}))


@pytest.mark.usefixtures("aws")
def test_without_credentials_no_permission_is_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert cli.main(["launch", str(file), "--price", "1"]) == 1
    assert capsys.readouterr().err == (
        "janitor-kit launch: Unable to locate credentials: set AWS_PROFILE, or run `aws configure`\n"
    )


@cases(
    "change",
    {"inputs": {"train": "s3://far/x"}},
    {"environment": {"LOGS": "s3://far/x"}},
    {"hyperparameters": {"data": {"path": "s3://far/x"}}},
    {"checkpoints": "s3://far/x"},
    {"output": "s3://far/x"},
    {"source": "s3://far/x.tar.gz", "entry": "train.py"},
    {"image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2"},
    {"environment": {"LOGS": "arn:aws:s3:eu-west-1:123456789012:accesspoint/far"}},
)
def test_data_of_another_region(aws: Recording, change: dict[str, Any]) -> None:
    aws.buckets["far"] = (403, "eu-west-1", None)
    job = replace(JOB, price=Decimal(1))
    planned(job)

    with pytest.raises(Refused, match=r"runs in us-east-1.* in eu-west-1"):
        planned(replace(job, **change))


# --- money ---------------------------------------------------------------------------------------


def test_a_budget_becomes_a_limit(aws: Recording) -> None:
    aws.price = "1.500"

    bound = planned(replace(JOB, max_runtime=None, max_usd=Decimal(50), instances=2, volume_gb=73)).bound

    hourly = Decimal(3) + Decimal("0.028")  # 2 instances, and 2 x 73 GB at $0.14 / 730 h
    assert bound.hourly_usd == hourly
    assert bound.seconds == int(50 * 3600 / hourly) - 600 - 120
    assert bound.source == "Price List API"
    assert Decimal("49.99") <= (bound.at_most_usd or 0) <= Decimal(50)


def test_the_shorter_of_two_limits_counts() -> None:
    price = prices.Price(Decimal(1), "as given")

    def limit(**change: Any) -> int:
        return bound_of(replace(JOB, **change), price, "us-east-1").seconds

    assert limit(max_usd=Decimal(1000)) == 6 * 3600
    assert limit(max_usd=Decimal(2)) < 2 * 3600
    assert limit(max_runtime=None, max_usd=Decimal(10**6), max_wait=7200) == 7200
    assert limit(max_runtime=None, max_usd=Decimal(10**6), max_wait=40 * 86400) == 28 * 86400


@pytest.mark.parametrize(("usd", "seconds"), [("3600.01", 1), ("3600.00", 0), ("0.10", -359_990)])
def test_a_budget_pays_for_the_allowance_first(usd: str, seconds: int) -> None:
    """A hundred hours are of the allowance, and each costs twice $11 and $7 for the volumes."""
    job = replace(JOB, max_usd=Decimal(usd), instances=2, volume_gb=36_500, allowance=359_880)
    price = prices.Price(Decimal(11), "as given")
    assert prices.seconds_for(Decimal(usd), Decimal(36), 360_000) == seconds
    if seconds < 1:
        refused = rf"\${usd} does not pay for more than .* SIGTERM \(\$3600\.00\)$"
        with pytest.raises(Refused, match=refused):
            bound_of(job, price, "us-east-1")
    else:
        assert bound_of(job, price, "us-east-1").seconds == seconds


def test_what_no_limit_holds_is_listed() -> None:
    price = prices.Price(None, "")

    def unbounded(job: Job, region: str) -> tuple[str, ...]:
        return bound_of(job, price, region).unbounded

    demand = replace(JOB, spot=False)
    assert unbounded(demand, "us-east-1") == prices.UNBOUNDED
    assert unbounded(JOB, "us-east-1") == prices.UNBOUNDED + prices.UNBOUNDED_SPOT
    assert unbounded(demand, "eu-west-1") == (
        *prices.UNBOUNDED,
        "volumes are counted at the price of us-east-1",
    )
    assert unbounded(replace(demand, retries=0), "us-east-1") == (
        *prices.UNBOUNDED,
        "without retries, AWS does not say whether the limit is that of all attempts",
    )


@pytest.mark.usefixtures("aws")
def test_without_the_price_list_the_table_has_the_price_and_its_date() -> None:
    assert planned(JOB).bound.source.startswith("table of 20")
    assert prices.price_of(session(), "eu-west-1", "ml.g5.xlarge").hourly_usd is None
    with pytest.raises(Refused, match=r"no price of ml.m4.10xlarge .*AccessDenied.*give price"):
        planned(replace(JOB, instance_type="ml.m4.10xlarge", max_usd=Decimal(50)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:1")
        with pytest.raises(Refused, match=r"\(pricing:GetProducts: EndpointConnectionError\)"):
            planned(replace(JOB, instance_type="ml.m4.10xlarge", max_usd=Decimal(50)))


@pytest.mark.usefixtures("aws")
def test_an_unknown_price_is_no_obstacle_to_a_limit_in_time() -> None:
    plan = planned(replace(JOB, instance_type="ml.m4.10xlarge"))

    groups = {name: {"instance_type": f"ml.{name}", "instances": 1} for name in ("m4.10xlarge", "g5.xlarge")}
    several = planned(replace(JOB, instance_type=None, instance_groups=groups))

    for each in (plan, several):
        assert each.bound.at_most_usd is None
        assert "cost unknown" in cli.described(each, JOB)


def test_the_most_it_costs_is_never_rounded_down() -> None:
    bound = prices.Bound(3600, 0, 1, Decimal("1.001"), Decimal(0), "as given", ())

    assert bound.at_most_usd == Decimal("1.01")
    assert replace(bound, instance_usd=Decimal("1.01"), seconds=3000, allowance=600).at_most_usd == Decimal(
        "1.01"
    )
    assert replace(bound, instance_usd=None).at_most_usd is None


def test_only_one_price_for_training_is_a_price(aws: Recording) -> None:
    aws.price = "1.4 1.40"
    assert prices.price_of(session(), "eu-west-1", "ml.g5.xlarge").hourly_usd == Decimal("1.4")
    aws.price = "1.4 1.5"
    assert prices.price_of(session(), "eu-west-1", "ml.g5.xlarge").hourly_usd is None
    assert prices._dollars(product("1.4"), "ml.g5.xlarge") == [Decimal("1.4")]
    assert prices._dollars(product("1.4", "USE1-Host:ml.g5.xlarge"), "ml.g5.xlarge") == []
    assert prices._dollars(product("1.4", "USE1-Train:ml.g5xxlarge"), "ml.g5.xlarge") == []
    assert prices._dollars(product("1.4", "Train:ml.g5.xlarge"), "ml.g5.xlarge") == [Decimal("1.4")]
    assert prices._dollars(product("0"), "ml.g5.xlarge") == []
    assert prices._dollars(product("1.4", currency="CNY"), "ml.g5.xlarge") == []
    assert prices._dollars(product("1.4", unit="GB"), "ml.g5.xlarge") == []


# --- where it comes from -------------------------------------------------------------------------


def test_tags_of_git(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    assert origin.git(tmp_path) == {}
    git("init", "-b", "feature/a#1")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "one")
    git("remote", "add", "origin", "https://ana:secret@example.com/team/repo.git?token=x")

    found = origin.tags(tmp_path, {})

    assert found["git-branch"] == "feature/a_1"
    assert found["git-remote"] == "https://example.com/team/repo.git"
    assert found["git-dirty"] == "false"
    assert len(found["git-commit"]) == 40
    (tmp_path / "new").write_text("")
    assert origin.tags(tmp_path, {})["git-dirty"] == "true"


def test_tags_of_ci() -> None:
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "team/repo",
        "GITHUB_RUN_ID": "7",
        "GITHUB_ACTOR": "ana",
        "GITHUB_REF_NAME": "main",
    }

    assert origin.ci(github) == {
        "ci-run": "https://github.com/team/repo/actions/runs/7",
        "ci-actor": "ana",
        "git-branch": "main",
    }
    assert origin.ci({"GITLAB_CI": "true", "CI_JOB_URL": "https://u:p@git.example.com/j/1"}) == {
        "ci-run": "https://git.example.com/j/1"
    }
    assert origin.ci({}) == {}
    long = {"CIRCLECI": "1", "CIRCLE_BUILD_URL": f"https://circleci.com/{'x' * 300}"}
    assert {key: len(value) for key, value in origin.tags(Path("/"), long).items()} == {"ci-run": 256}
    assert origin.without_credentials("git@github.com:team/repo.git") == "github.com:team/repo.git"


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def file(code: Path) -> Path:
    members = {
        "name": "churn",
        "role": JOB.role,
        "image": JOB.image,
        "instance_type": "ml.g5.xlarge",
        "source": "src",
        "also": ["helpers"],
        "entry": "train.py",
        "output": "s3://models/out",
        "checkpoints": "s3://models/checkpoints/churn",
        "max_usd": 50,
        "max_wait": "3d",
        "tags": TAGS,
        "hyperparameters": {"epochs": 10},
    }
    (code / "job.json").write_text(json.dumps(members))
    return code / "job.json"


def test_every_setting_of_a_file_with_the_flags_over_it(tmp_path: Path) -> None:
    members = {
        "name": "churn",
        "role": "r",
        "image": "i",
        "instance_type": "t",
        "output": "o",
        "max_runtime": "6h",
        "max_wait": "2d",
        "allowance": 60,
        "max_usd": 50,
        "price": "1.5",
        "spot": False,
        "retries": 3,
        "instances": 2,
        "volume_gb": 40,
        "checkpoints": "c",
        "checkpoint_dir": "d",
        "entry": "train.py",
        "source": "src",
        "also": ["a", "b"],
        "required_tags": ["team"],
        "tags": {"team": 1},
        "inputs": {"train": "x"},
        "environment": {"N": 2},
        "hyperparameters": {"epochs": 10, "rate": 0.1},
        "bucket_regions": {"b": "eu-west-1"},
        "request": {"EnableNetworkIsolation": True},
    }
    (tmp_path / "job.json").write_text(json.dumps(members))

    def job(**flags: Any) -> Job:
        names = ("max_usd", "max_runtime", "max_wait", "price", "continue_from")
        none = dict.fromkeys(names) | {"on_demand": False, "set": [], "tag": [], "bucket_region": []}
        return cli.job_of(argparse.Namespace(file=tmp_path / "job.json", **(none | flags)))

    read = job()
    assert read == Job(
        name="churn",
        role="r",
        image="i",
        instance_type="t",
        output="o",
        tags={"team": "1"},
        max_runtime=21_600,
        max_usd=Decimal(50),
        spot=False,
        max_wait=172_800,
        checkpoints="c",
        checkpoint_dir="d",
        retries=3,
        instances=2,
        volume_gb=40,
        source=tmp_path / "src",
        also=(tmp_path / "a", tmp_path / "b"),
        entry="train.py",
        inputs={"train": "x"},
        hyperparameters={"epochs": 10, "rate": 0.1},
        environment={"N": "2"},
        required_tags=("team",),
        price=Decimal("1.5"),
        allowance=60,
        bucket_regions={"b": "eu-west-1"},
        request={"EnableNetworkIsolation": True},
    )
    flags = {"max_usd": "9", "max_runtime": "1h", "max_wait": "3h", "price": "2", "tag": ["team=2", "x=y=z"]}
    assert job(
        **flags, set=["epochs=20", "note=a b"], bucket_region=["b=us-east-1", "c=eu-west-1"]
    ) == replace(
        read,
        max_usd=Decimal(9),
        max_runtime=3_600,
        max_wait=10_800,
        price=Decimal(2),
        tags={"team": "2", "x": "y=z"},
        hyperparameters={"epochs": 20, "rate": 0.1, "note": "a b"},
        bucket_regions={"b": "us-east-1", "c": "eu-west-1"},
    )
    (tmp_path / "job.json").write_text(json.dumps(members | {"spot": True, "source": "s3://b/c.tar.gz"}))
    assert job(on_demand=True) == replace(read, max_wait=None, source="s3://b/c.tar.gz")


def test_a_launch(aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["launch", str(file), "--set", "epochs=20", "--set", "note=x", "--tag", "cost=a"])

    shown = capsys.readouterr().out
    assert status == 0
    [request] = aws.created
    name = request["TrainingJobName"]
    assert shown.splitlines() == [
        f"{name} in us-east-1: 1 x ml.g5.xlarge, spot",
        "  at most $50.00: limit 35 h 10 min, and 12 min for download, upload and SIGTERM, at $1.414 an hour",
        f"  $1.408 for an instance-hour (table of {TABLE_DAY}, us-east-1), $0.006 an hour for 1 x 30 GB",
        *(f"  not limited: {reason}" for reason in prices.UNBOUNDED + prices.UNBOUNDED_SPOT),
        f"launched arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
    ]
    assert request["HyperParameters"]["epochs"] == "20"
    assert request["HyperParameters"]["note"] == '"x"'
    assert {"Key": "cost", "Value": "a"} in request["Tags"]


def test_a_dry_run_creates_and_uploads_nothing(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--on-demand", "--price", "2", "--max-runtime", "90m", "--max-usd", "20"]
    status = cli.main(["launch", str(file), "--dry-run", "--json", *flags])

    text = capsys.readouterr().out
    shown = json.loads(text)
    assert (status, aws.created, aws.uploaded) == (0, [], {})
    assert text == json.dumps(shown, indent=2) + "\n"
    request = shown.pop("request")
    assert shown == {
        "arn": None,
        "region": "us-east-1",
        "at_most_usd": 3.41,
        "usd_per_hour": pytest.approx(2 + 30 * 0.14 / 730),
        "instance_usd_per_hour": 2.0,
        "price_source": "as given",
        "limit_seconds": 5400,
        "allowance_seconds": 720,
        "not_limited": list(prices.UNBOUNDED),
    }
    assert request["EnableManagedSpotTraining"] is False
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400}
    assert cli.main(["launch", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("\ndry run: nothing was created\n")


def test_where_the_job_and_its_buckets_are_may_be_given(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--region", "eu-west-1", "--bucket-region", "models=eu-west-1", "--price", "2"]
    file.write_text(file.read_text().replace("us-east-1", "eu-west-1"))

    assert cli.main(["launch", str(file), *where, "--dry-run", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["region"], aws.asked) == ("eu-west-1", [])


@pytest.mark.parametrize("arguments", [[], ["launch"], ["launch", "job.json", "--max-runtimes", "1h"]])
def test_a_command_line_that_is_incomplete_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: janitor-kit" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "janitor_kit.cli")
    monkeypatch.setattr(sys, "argv", ["janitor-kit", "launch", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("janitor_kit.cli", run_name="__main__")
    assert ended.value.code == cli.REFUSED == 2


def test_help_shows_the_file_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["launch", "--help"])
    assert cli.HELP in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("2m", 120), (" 3 h ", 10_800), ("4d", 345_600)]
)
def test_a_time_has_a_unit_or_is_in_seconds(value: Any, seconds: int) -> None:
    assert cli.seconds("max_wait", value) == seconds


@cases(
    "seconds, said",
    (0, "0 s"),
    (59, "59 s"),
    (60, "1 min"),
    (3599, "59 min"),
    (3600, "1 h"),
    (3660, "1 h 1 min"),
    (172_800, "48 h"),
)
def test_a_duration_is_in_hours_and_minutes(seconds: int, said: str) -> None:
    assert cli.duration(seconds) == said


@cases(
    "arguments, said",
    (["--max-usd", "x"], "max_usd is 'x': not a number"),
    (["--max-wait", "2 weeks"], "max_wait is '2 weeks': write 90m"),
    (["--max-wait", ""], "max_wait is '': write 90m, 6h, 2d or seconds"),
    (["--set", "a=b", "--set", "epochs"], "epochs: NAME=VALUE is needed"),
    (["--tag", "owner="], "tags missing: owner"),
)
def test_a_refusal_is_one_line_and_status_2(
    aws: Recording, file: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["launch", str(file), *arguments])

    error = capsys.readouterr().err
    assert (status, aws.created, aws.uploaded) == (2, [], {})
    assert error.startswith("janitor-kit launch: refused: ")
    assert said in error
    assert error.count("\n") == 1


@cases(
    "change, said",
    ({"max_urs": 5}, "unknown: max_urs; did you mean max_usd?\n"),
    ({"xyz": 5}, "unknown: xyz\n"),
    ({"name": None, "role": None}, "missing: name, role\n"),
    ({"max_wait": True}, "max_wait is True: write 90m"),
    ({"spot": "yes"}, "spot is 'yes'"),
    ({"retries": True}, "retries is True"),
    ({"tags": ["a"]}, "tags is"),
    ({"also": "helpers"}, "also is 'helpers': a list"),
    ({"name": 5}, "name is 5: a text is needed"),
    ({"tags": "x"}, "tags is 'x': a table is needed"),
)
@pytest.mark.usefixtures("aws")
def test_a_file_that_makes_no_sense(
    file: Path, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    assert cli.main(["launch", str(file)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs it")
@pytest.mark.usefixtures("aws")
def test_a_hyperparameter_that_json_does_not_have(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "job.toml").write_text(
        "\n".join(
            f"{key} = {json.dumps(value)}"
            for key, value in json.loads(file.read_text()).items()
            if not isinstance(value, dict)
        )
        + '\ntags = { project = "a", owner = "b" }\nhyperparameters = { since = 2026-01-01 }\n'
    )

    assert cli.main(["launch", str(file.parent / "job.toml")]) == 2
    assert "the hyperparameter since is 2026-01-01: write it as a text" in capsys.readouterr().err


def test_code_that_cannot_be_read(
    aws: Recording, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "src/secret")

    monkeypatch.setattr(tarfile.TarFile, "add", denied)

    assert cli.main(["launch", str(file)]) == 2
    assert "the code cannot be packed: [Errno 13] Permission denied: 'src/secret'" in capsys.readouterr().err
    assert (aws.created, aws.uploaded) == ([], {})


@cases(
    "name, text, said",
    ("none.json", None, "cannot be read: "),
    ("job.json", b"\xff", "cannot be read: "),
    ("job.json", b"[", "Expecting value"),
    ("job.json", b"[]", "not a table"),
    ("job.toml", b"", "TOML needs Python 3.11 or newer; write it as JSON"),
)
def test_a_file_that_is_no_job(
    tmp_path: Path, name: str, text: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tomllib", None)
        assert cli.main(["launch", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"janitor-kit launch: refused: {tmp_path / name}")
    assert said in error


def test_without_boto3_it_says_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    assert cli.main(["launch", str(file)]) == 2
    assert capsys.readouterr().err == (
        "janitor-kit launch: refused: boto3 is not installed: pip install boto3\n"
    )


def test_a_job_whose_creation_was_answered_with_its_own_name_is_launched(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.failure = ("ResourceInUse", "Training job names must be unique.")

    assert cli.main(["launch", str(file)]) == 0
    assert (
        "launched arn:aws:sagemaker:us-east-1:123456789012:training-job/churn-20" in capsys.readouterr().out
    )


def test_no_two_jobs_have_one_name() -> None:
    moment = datetime(2026, 10, 6, 3, tzinfo=timezone.utc)

    stamps = {new_stamp(moment) for _ in range(5)}

    assert len(stamps) > 1
    assert all(re.fullmatch("20261006-030000-[0-9a-f]{6}", stamp) for stamp in stamps)


def test_what_aws_refuses_is_one_line_and_status_1(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.failure = ("ResourceLimitExceeded", "The account-level service limit is 0 instances.")

    assert cli.main(["launch", str(file)]) == 1
    assert capsys.readouterr().err == (
        "janitor-kit launch: CreateTrainingJob: ResourceLimitExceeded: "
        "The account-level service limit is 0 instances.\n"
    )
