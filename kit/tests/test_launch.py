"""The request of a job, what is refused, what a budget buys, and the command line with its exit statuses."""

from __future__ import annotations

import io
import json
import os
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

pytest.importorskip("boto3")
import boto3

from janitor_kit import cli, origin, prices
from janitor_kit.checks import Refused, bucket_region, buckets, check_regions
from janitor_kit.launch import Job, Plan, bound_of, check_demands, launch, new_stamp, prepare
from janitor_kit.packing import pack
from recording import Recording, product, recording

STAMP = "20261006-030000-4f2a9c"
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
    (tmp_path / "src" / "__pycache__").mkdir(parents=True)
    (tmp_path / "src" / "train.py").write_text("print('trained')\n")
    (tmp_path / "src" / "__pycache__" / "train.pyc").write_bytes(b"")
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
def test_a_path_of_checkpoints_may_be_the_jobs_own() -> None:
    plan = planned(replace(JOB, checkpoints="s3://models/checkpoints/{job}/x"))

    assert (
        plan.request["CheckpointConfig"]["S3Uri"] == "s3://models/checkpoints/churn-20261006-030000-4f2a9c/x"
    )


@pytest.mark.usefixtures("aws")
def test_a_built_in_algorithm_gets_plain_text() -> None:
    plan = planned(
        replace(JOB, hyperparameters={"objective": "binary", "rounds": 5}, spot=False, max_wait=None)
    )

    assert plan.request["HyperParameters"] == {"objective": "binary", "rounds": "5"}
    assert plan.code is None


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
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
        ({"request": {"StoppingCondition": {}}}, "may not set StoppingCondition"),
        ({"instances": 0}, "at least 1"),
        ({"price": Decimal("1e30")}, "price is 1E"),
        ({"retries": 31}, "0 to 30"),
    ],
)
def test_a_job_without_what_every_job_must_have(change: dict[str, Any], said: str) -> None:
    check_demands(JOB)

    with pytest.raises(Refused, match=said):
        check_demands(replace(JOB, **change))


@pytest.mark.parametrize("entry", ["../helpers/one.py", "__pycache__/train.pyc", "{}/helpers/one.py"])
def test_a_script_that_is_not_packed(code: Path, entry: str) -> None:
    job = replace(JOB, source=code / "src", entry=entry.format(code))

    with pytest.raises(Refused, match=r"entry .* is not in the packed folder"):
        check_demands(job)


@pytest.mark.usefixtures("aws")
def test_a_misspelt_type_is_named_before_its_price_is_missed() -> None:
    with pytest.raises(Refused, match=r"near: ml\.g5\.xlarge"):
        planned(replace(JOB, instance_type="ml.g5.xlagre", max_usd=Decimal(5)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "bad_name"}, "TrainingJobName"),
        ({"name": "x" * 60}, "TrainingJobName"),
        ({"role": "training"}, "RoleArn"),
        ({"instance_type": "ml.g5.xlagre"}, "near: ml.g5.xlarge"),
        ({"request": {"VpcConfg": {}}}, "VpcConfg"),
        ({"request": {"VpcConfig": {"Subnets": ["s"]}}}, "SecurityGroupIds"),
        ({"inputs": {"a b": "s3://data/x"}}, "ChannelName"),
        ({"hyperparameters": {f"p{n}": n for n in range(101)}}, "HyperParameters"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_what_sagemaker_would_refuse(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        planned(replace(JOB, price=Decimal(1), **change))


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


@pytest.mark.parametrize(
    ("bucket", "region"),
    [
        ((200, "eu-west-1", None), "eu-west-1"),
        ((403, "eu-central-1", None), "eu-central-1"),
        ((403, None, ""), "us-east-1"),
        ((403, None, "EU"), "eu-west-1"),
        ((403, None, "eu-north-1"), "eu-north-1"),
    ],
)
def test_the_region_of_a_bucket(
    aws: Recording, bucket: tuple[int, str | None, str | None], region: str
) -> None:
    aws.buckets["data"] = bucket

    assert bucket_region(session().client("s3"), "data") == region


@pytest.mark.parametrize(
    ("bucket", "said"),
    [((403, None, None), "--bucket-region data=REGION"), ((404, None, None), "there is no bucket data")],
)
def test_a_region_that_cannot_be_read(aws: Recording, bucket: tuple[int, None, None], said: str) -> None:
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


def test_a_region_that_is_given_is_not_asked_for(aws: Recording) -> None:
    job = replace(JOB, price=Decimal(1), bucket_regions={"models": "us-east-1"})

    planned(job)

    assert aws.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"train": "s3://far/x"}},
        {"environment": {"LOGS": "s3://far/x"}},
        {"hyperparameters": {"data": {"path": "s3://far/x"}}},
        {"checkpoints": "s3://far/x"},
        {"output": "s3://far/x"},
        {"source": "s3://far/x.tar.gz", "entry": "train.py"},
        {"image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2"},
        {"environment": {"LOGS": "arn:aws:s3:eu-west-1:123456789012:accesspoint/far"}},
    ],
)
def test_data_of_another_region(aws: Recording, change: dict[str, Any]) -> None:
    aws.buckets["far"] = (403, "eu-west-1", None)
    job = replace(JOB, price=Decimal(1))
    planned(job)

    with pytest.raises(Refused, match=r"runs in us-east-1.* in eu-west-1"):
        planned(replace(job, **change))


def test_the_rule_of_regions_itself() -> None:
    check_regions({"a": "s3://near/x"}, "us-east-1", lambda _: "us-east-1")


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


@pytest.mark.usefixtures("aws")
def test_a_budget_that_buys_nothing() -> None:
    with pytest.raises(Refused, match="does not pay for more than download"):
        planned(replace(JOB, max_usd=Decimal("0.10"), price=Decimal(10)))


@pytest.mark.usefixtures("aws")
def test_without_the_price_list_the_table_has_the_price_and_its_date() -> None:
    assert planned(JOB).bound.source.startswith("table of 20")
    with pytest.raises(Refused, match=r"no price of ml.m4.10xlarge .*AccessDenied.*give price"):
        planned(replace(JOB, instance_type="ml.m4.10xlarge", max_usd=Decimal(50)))


@pytest.mark.usefixtures("aws")
def test_an_unknown_price_is_no_obstacle_to_a_limit_in_time() -> None:
    plan = planned(replace(JOB, instance_type="ml.m4.10xlarge"))

    assert plan.bound.at_most_usd is None
    assert "cost unknown" in cli.described(plan, JOB)


def test_the_most_it_costs_is_never_rounded_down() -> None:
    bound = prices.Bound(3600, 0, 1, Decimal("1.001"), Decimal(0), "as given", ())

    assert bound.at_most_usd == Decimal("1.01")


def test_only_one_price_for_training_is_a_price() -> None:
    assert prices._dollars(product("1.4"), "ml.g5.xlarge") == [Decimal("1.4")]
    assert prices._dollars(product("1.4", "USE1-Host:ml.g5.xlarge"), "ml.g5.xlarge") == []
    assert prices._dollars(product("1.4", "USE1-Train:ml.g5xxlarge"), "ml.g5.xlarge") == []
    assert prices._dollars(product("0"), "ml.g5.xlarge") == []


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


def test_a_launch(aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["launch", str(file), "--set", "epochs=20", "--set", "note=x", "--tag", "cost=a"])

    shown = capsys.readouterr().out
    assert status == 0
    assert "at most $50.00: limit 35 h 10 min" in shown
    assert "not limited: requests to S3" in shown
    assert "launched arn:aws:sagemaker:us-east-1:123456789012:training-job/churn-20" in shown
    [request] = aws.created
    assert request["HyperParameters"]["epochs"] == "20"
    assert request["HyperParameters"]["note"] == '"x"'
    assert {"Key": "cost", "Value": "a"} in request["Tags"]


def test_a_dry_run_creates_and_uploads_nothing(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["launch", str(file), "--dry-run", "--json", "--on-demand", "--price", "2"])

    shown = json.loads(capsys.readouterr().out)
    assert (status, aws.created, aws.uploaded) == (0, [], {})
    assert shown["arn"] is None
    assert shown["instance_usd_per_hour"] == 2.0
    assert shown["at_most_usd"] <= 50
    assert shown["request"]["EnableManagedSpotTraining"] is False
    assert "MaxWaitTimeInSeconds" not in shown["request"]["StoppingCondition"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-usd", "x"], "max_usd is 'x': not a number"),
        (["--max-wait", "2 weeks"], "max_wait is '2 weeks': write 90m"),
        (["--set", "epochs"], "NAME=VALUE"),
        (["--tag", "owner="], "tags missing: owner"),
    ],
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_urs": 5}, "unknown: max_urs; did you mean max_usd?"),
        ({"name": None}, "missing: name"),
        ({"spot": "yes"}, "spot is 'yes'"),
        ({"retries": True}, "retries is True"),
        ({"tags": ["a"]}, "tags is"),
        ({"also": "helpers"}, "also is 'helpers': a list"),
        ({"name": 5}, "name is 5: a text is needed"),
        ({"tags": "x"}, "tags is 'x': a table is needed"),
    ],
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


def test_a_file_that_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.json").write_text("[")

    assert cli.main(["launch", str(tmp_path / "none.json")]) == 2
    assert cli.main(["launch", str(tmp_path / "job.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


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
    assert all(one.startswith("20261006-030000-") for one in stamps)


def test_what_aws_refuses_is_one_line_and_status_1(
    aws: Recording, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.failure = ("ResourceLimitExceeded", "The account-level service limit is 0 instances.")

    assert cli.main(["launch", str(file)]) == 1
    assert capsys.readouterr().err == (
        "janitor-kit launch: CreateTrainingJob: ResourceLimitExceeded: "
        "The account-level service limit is 0 instances.\n"
    )
