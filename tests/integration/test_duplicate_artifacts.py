"""Artifacts stored more than once, against the sandbox: what is read, how often, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws import manifests
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.signals import Absent, Value
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.policy import Policy
from ml_janitor.engine.run import sweep
from ml_janitor.report import json as document
from ml_janitor.report.html import html
from ml_janitor_sandbox.control import Control

DAY = timedelta(days=1)
MIB = 1024**2
ROLE = "arn:aws:iam::123456789012:role/ml"
BUCKET = "models"
DEFAULT_BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"


class Account:
    """Artifacts of any age and content in the sandbox, and what refers to them."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.s3 = session.client("s3")
        self.sagemaker = session.client("sagemaker")
        self.bucket(BUCKET)

    def bucket(self, name: str, **given: Any) -> None:
        self.s3.create_bucket(Bucket=name, **given)

    def put(
        self,
        key: str,
        content: str = "model",
        *,
        age: int = 40,
        size: int = MIB,
        bucket: str = BUCKET,
        **given: Any,
    ) -> None:
        self.box.set_clock(NOW - age * DAY)
        body = (content.encode() * size)[:size]
        self.s3.put_object(Bucket=bucket, Key=key, Body=body, **given)
        self.box.set_clock(NOW)

    def model(self, name: str = "churn", **container: Any) -> None:
        primary: Any = {"Image": "i", **container}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=primary)

    def model_package(self, key: str, **named: Any) -> None:
        self.sagemaker.create_model_package(
            InferenceSpecification={
                "Containers": [{"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/{key}"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            **named,
        )

    def training_job(self, name: str, **given: Any) -> None:
        members: dict[str, Any] = {
            "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs"},
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        }
        self.sagemaker.create_training_job(TrainingJobName=name, RoleArn=ROLE, **{**members, **given})


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def swept(aws: Aws, **tunables: Any) -> Sweep:
    detector = DuplicateArtifacts(**{"buckets": (BUCKET,), **tunables})
    return sweep(detector, aws, now=NOW, policy=Policy())


def by_key(done: Sweep) -> Mapping[str, Result]:
    return {result.target.name.partition("/")[2]: result for result in done.results}


def words(done: Sweep) -> dict[str, str]:
    return {key: outcome(result) for key, result in by_key(done).items()}


def outcome(result: Result) -> str:
    if isinstance(result.verdict, Finding):
        return str(result.verdict.confidence)
    return "unknown" if result.verdict.unknown else "kept"


def test_copies_are_proven_and_priced_and_the_oldest_stays(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz", age=40)
    account.put("c/model.tar.gz", "another", age=30)
    account.put("d/model.tar.gz", size=2 * MIB)

    done = swept(aws)

    assert done.error is None
    assert words(done) == {"a/model.tar.gz": "kept", "b/model.tar.gz": "proven", "c/model.tar.gz": "kept"}
    found = by_key(done)["b/model.tar.gz"]
    assert found.target.arn == "arn:aws:s3:::models/b/model.tar.gz"
    assert found.target.created == NOW - 40 * DAY
    assert found.monthly_usd == Decimal("0.023") / 1024


def test_odd_keys_are_read_as_they_are(account: Account, aws: Aws) -> None:
    for key in ("a/mo del+1&é=ü%2F.tar.gz", "b//x?y#z.tar.gz", "c/\u2028\U0001f600.tar.gz"):
        account.put(key)

    assert sorted(words(swept(aws)).values()) == ["kept", "proven", "proven"]


def test_an_equal_sha_256_proves_without_reading_a_byte(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50, ChecksumAlgorithm="SHA256")
    account.put("b/model.tar.gz", ChecksumAlgorithm="SHA256")
    account.box.clear_calls()

    done = swept(aws)

    assert "equal SHA-256" in by_key(done)["b/model.tar.gz"].verdict.reason
    assert "s3:GetObject" not in account.box.calls()


@pytest.mark.parametrize(
    ("budget", "expected"), [(2 * MIB, "proven"), (2 * MIB - 1, "likely"), (0, "likely")]
)
def test_what_may_not_be_read_is_only_likely(account: Account, aws: Aws, budget: int, expected: str) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz")

    assert words(swept(aws, compare_up_to=budget))["b/model.tar.gz"] == expected


def under_a_key(session: boto3.Session, *keys: str, body: bytes = b"m" * MIB, **given: Any) -> list[str]:
    """Objects encrypted by SSE-KMS, without the checksum that boto3 would add by itself; their ETags."""
    s3 = session.client("s3", config=Config(request_checksum_calculation="when_required"))
    puts = [
        s3.put_object(Bucket=BUCKET, Key=key, Body=body, ServerSideEncryption="aws:kms", **given)
        for key in keys
    ]
    return [put["ETag"] for put in puts]


@pytest.mark.parametrize(("budget", "expected"), [(10 * MIB, "proven"), (0, "unknown")])
def test_etags_under_a_kms_key_say_nothing_and_bytes_do(
    account: Account, aws: Aws, session: boto3.Session, budget: int, expected: str
) -> None:
    account.box.set_clock(NOW - 40 * DAY)
    etags = under_a_key(session, "a/model.tar.gz", COPY)
    account.box.set_clock(NOW)

    done = swept(aws, compare_up_to=budget)

    assert len(set(etags)) == 2
    assert sorted(words(done).values()) == sorted(
        {"proven": ["kept", "proven"]}.get(expected, [expected] * 2)
    )
    assert etags[0].strip('"') not in str([result.verdict.evidence for result in done.results])


def test_an_object_under_a_kms_key_may_equal_one_that_is_not(
    account: Account, aws: Aws, session: boto3.Session
) -> None:
    account.put("a/model.tar.gz", "m", age=50)
    account.box.set_clock(NOW - 40 * DAY)
    under_a_key(session, COPY)
    account.box.set_clock(NOW)

    assert words(swept(aws)) == {"a/model.tar.gz": "kept", COPY: "proven"}


@pytest.mark.parametrize(
    ("algorithm", "expected"), [("SHA256", "proven"), ("SHA1", "likely"), ("CRC32", "likely")]
)
def test_checksums_tell_under_a_kms_key_too(
    account: Account, aws: Aws, session: boto3.Session, algorithm: str, expected: str
) -> None:
    account.box.set_clock(NOW - 40 * DAY)
    under_a_key(session, "a/model.tar.gz", COPY, ChecksumAlgorithm=algorithm)
    under_a_key(session, "c/model.tar.gz", body=b"x" * MIB, ChecksumAlgorithm=algorithm)
    account.box.set_clock(NOW)
    listed = account.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    account.box.clear_calls()

    done = swept(aws, compare_up_to=0)

    assert [one["ChecksumAlgorithm"] for one in listed] == [[algorithm]] * 3
    assert sorted(words(done).values()) == ["kept", "kept", expected]
    assert words(done)["c/model.tar.gz"] == "kept"
    assert "s3:GetObject" not in account.box.calls()


def test_listed_checksums_cost_nothing_where_no_two_sizes_are_equal(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz")
    account.put("b/model.tar.gz", size=MIB + 1)
    account.box.clear_calls()

    assert swept(aws).results == ()
    assert account.box.calls() == {"s3:HeadBucket": 1, "s3:ListObjectsV2": 1}


COPY = "b/model.tar.gz"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

MODELS: dict[str, dict[str, Any]] = {
    "exactly": {"ModelDataUrl": f"s3://{BUCKET}/{COPY}"},
    "by https": {"ModelDataUrl": f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{COPY}"},
    "by virtual host": {"ModelDataUrl": f"https://{BUCKET}.s3.us-east-1.amazonaws.com/{COPY}"},
    "by access point": {"ModelDataUrl": f"s3://point-abc-s3alias/{COPY}"},
    "in its environment": {"Environment": {"HF_MODEL": f"s3://{BUCKET}/b"}},
    "all of a folder": {"Mode": "MultiModel", "ModelDataUrl": f"s3://{BUCKET}/b/"},
    "by prefix": {
        "ModelDataSource": {
            "S3DataSource": {"S3Uri": f"s3://{BUCKET}/b", "S3DataType": "S3Prefix", "CompressionType": "None"}
        }
    },
    "as an object": {
        "ModelDataSource": {
            "S3DataSource": {
                "S3Uri": f"s3://{BUCKET}/{COPY}",
                "S3DataType": "S3Object",
                "CompressionType": "Gzip",
            }
        }
    },
    "in a list": {"Environment": {"MODELS": f"[s3://{BUCKET}/x.tar.gz, s3://{BUCKET}/{COPY}]"}},
    "as a further source": {
        "AdditionalModelDataSources": [
            {
                "ChannelName": "lora",
                "S3DataSource": {
                    "S3Uri": f"s3://{BUCKET}/{COPY}",
                    "S3DataType": "S3Object",
                    "CompressionType": "None",
                },
            }
        ]
    },
}


@pytest.mark.parametrize("container", MODELS.values(), ids=MODELS.keys())
def test_a_copy_that_a_model_refers_to_stays_instead_of_the_older_one(
    account: Account, aws: Aws, container: dict[str, Any]
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model(**container)

    done = swept(aws)

    assert words(done) == {"a/model.tar.gz": "proven", COPY: "kept"}
    assert "model churn, which nothing serves refers to this one" in by_key(done)[COPY].verdict.reason

    serve(account, "churn")

    assert by_key(swept(aws))[COPY].verdict.reason == "model churn refers to it"


@pytest.mark.parametrize(
    "address", [f"s3://{BUCKET}/b/model.tar", f"s3://{BUCKET}/{COPY}.bak", "s3://other/b/model.tar.gz"]
)
def test_a_similar_address_is_no_reference(account: Account, aws: Aws, address: str) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model(ModelDataUrl=address)

    assert words(swept(aws)) == {"a/model.tar.gz": "kept", COPY: "proven"}


def channel(uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": "base", "DataSource": {"S3DataSource": source}}


JOBS: dict[str, dict[str, Any]] = {
    "as its input": {"InputDataConfig": [channel(f"s3://{BUCKET}/b/mo")]},
    "as its checkpoints": {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/b"}},
    "as where it writes": {"OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/"}},
    "in a parameter": {"HyperParameters": {"base": json.dumps(f"s3://{BUCKET}/{COPY}")}},
}


@pytest.mark.parametrize("given", JOBS.values(), ids=JOBS.keys())
def test_a_copy_that_a_training_job_refers_to_stays(
    account: Account, aws: Aws, given: dict[str, Any]
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.training_job("b", **given)

    assert words(swept(aws)) == {"a/model.tar.gz": "proven", COPY: "kept"}


def listed_in(uri: str, kind: str = "ManifestFile") -> dict[str, Any]:
    return {"S3DataType": kind, "S3Uri": uri}


def reads(account: Account, uri: str, kind: str = "ManifestFile") -> None:
    """A training job that runs, and reads what a manifest lists."""
    data: Any = {"ChannelName": "base", "DataSource": {"S3DataSource": listed_in(uri, kind)}}
    account.training_job("t", InputDataConfig=[data])


def loads(account: Account, uri: str) -> None:
    """A model of which a manifest says where it lies."""
    source = {
        "S3Uri": "s3://elsewhere/base/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
        "ManifestS3Uri": uri,
    }
    account.model(ModelDataSource={"S3DataSource": source})


def test_what_a_running_job_reads_by_a_manifest_elsewhere_makes_copies_likely(
    account: Account, aws: Aws
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    reads(account, "s3://elsewhere/list.manifest")

    done = swept(aws)

    assert (words(done)[COPY], done.error) == ("likely", None)
    assert done.notices == (
        (
            "training job t reads what s3://elsewhere/list.manifest lists, which was not opened, because"
            " read_contents_in does not name its bucket"
        ),
    )
    assert f"any copy may be in use, though: {done.notices[0]}" in by_key(done)[COPY].verdict.reason

    account.box.patch("sagemaker", ["training_jobs", "t"], TrainingJobStatus="Completed")

    done = swept(aws)
    assert (words(done)[COPY], done.notices) == ("proven", ())


def test_what_a_running_processing_or_transform_job_reads_by_a_manifest_makes_copies_likely(
    account: Account, aws: Aws
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    listed: Any = listed_in("s3://elsewhere/list.manifest")
    mode: Any = {"LocalPath": "/opt/ml/processing/in", "S3InputMode": "File"}
    account.sagemaker.create_processing_job(
        ProcessingJobName="score",
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        AppSpecification={"ImageUri": "i"},
        ProcessingInputs=[{"InputName": "models", "S3Input": listed | mode}],
        RoleArn=ROLE,
    )
    assert words(swept(aws))[COPY] == "likely"

    account.box.patch("sagemaker", ["processing_jobs", "score"], ProcessingJobStatus="Completed")
    assert words(swept(aws))[COPY] == "proven"

    account.model("m", ModelDataUrl="s3://elsewhere/x.tar.gz")
    account.sagemaker.create_transform_job(
        TransformJobName="batch",
        ModelName="m",
        TransformInput={"DataSource": {"S3DataSource": listed}},
        TransformOutput={"S3OutputPath": "s3://elsewhere/out"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    )
    assert words(swept(aws))[COPY] == "likely"


MANIFESTS = {
    "JSON": ("ManifestFile", json.dumps([{"prefix": f"s3://{BUCKET}/"}, "x.csv", COPY])),
    "JSON of a prefix": ("ManifestFile", json.dumps([{"prefix": f"s3://{BUCKET}/b/mo"}])),
    "JSON lines": (
        "AugmentedManifestFile",
        f'{{"source-ref": "s3://{BUCKET}/x", "n": 1}}\n\n{{"source-ref": "s3://{BUCKET}/{COPY}"}}\n',
    ),
    "CSV": ("", f"name,location\nmodel,s3://{BUCKET}/{COPY}\n"),
}


@pytest.mark.parametrize(("kind", "content"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_what_a_manifest_in_a_named_bucket_lists_stays(
    account: Account, aws: Aws, kind: str, content: str
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.s3.put_object(Bucket=BUCKET, Key="list", Body=content.encode())
    if kind:
        reads(account, f"s3://{BUCKET}/list", kind)
    else:
        loads(account, f"s3://{BUCKET}/list")

    done = swept(aws)

    assert (words(done), done.notices) == ({"a/model.tar.gz": "proven", COPY: "kept"}, ())


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"[", b"\xff", b'["a", "b"]', b'[{"prefix": 1}, "x"]']
)
def test_a_manifest_that_is_not_understood_may_list_any_copy(
    account: Account, aws: Aws, content: bytes
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.s3.put_object(Bucket=BUCKET, Key="list", Body=content)
    reads(account, f"s3://{BUCKET}/list")

    done = swept(aws)

    assert words(done)[COPY] == "likely"
    assert done.notices[0].endswith("which lists no address that is understood")


def test_a_manifest_that_is_too_large_is_not_read(
    account: Account, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "LARGEST", 3)
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.s3.put_object(Bucket=BUCKET, Key="list", Body=b"[   ]")
    reads(account, f"s3://{BUCKET}/list")

    assert swept(aws).notices[0].endswith("which is too large to be read")


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/gone", "s3://missing/gone"])
def test_a_manifest_that_is_gone_concerns_copies_only_if_something_in_use_reads_it(
    account: Account, aws: Aws, uri: str
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    loads(account, uri)

    done = swept(aws, buckets=(BUCKET, "missing"))

    assert words(done)[COPY] == "proven"
    assert done.notices == (f"model churn, which nothing uses, names manifest {uri}, which exists no more",)

    serve(account, "churn")
    done = swept(aws)

    assert words(done)[COPY] == "likely"


def test_a_manifest_in_a_named_bucket_that_may_not_be_read_leaves_every_copy_unknown(
    account: Account, aws: Aws
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.s3.put_object(Bucket=BUCKET, Key="list", Body=b"[]")
    loads(account, f"s3://{BUCKET}/list")
    account.box.fault("s3", "GetObject", "deny", times=0, match="list")

    assert set(words(swept(aws)).values()) == {"unknown"}


def test_what_a_finished_job_made_stays_but_not_what_lies_where_it_wrote(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("jobs/done/output/model.tar.gz")
    account.put("jobs/done/spare.tar.gz")
    account.training_job("done")
    account.box.patch(
        "sagemaker",
        ["training_jobs", "done"],
        TrainingJobStatus="Completed",
        ModelArtifacts={"S3ModelArtifacts": f"s3://{BUCKET}/jobs/done/output/model.tar.gz"},
    )

    assert words(swept(aws)) == {
        "a/model.tar.gz": "proven",
        "jobs/done/output/model.tar.gz": "kept",
        "jobs/done/spare.tar.gz": "proven",
    }


def test_a_copy_that_a_pipeline_or_a_model_package_refers_to_stays(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.put("c/model.tar.gz")
    account.put("d/model.tar.gz")
    definition = {
        "Version": "2020-12-01",
        "Parameters": [{"DefaultValue": f"s3://{BUCKET}/{COPY}"}],
        "Steps": [],
    }
    account.sagemaker.create_pipeline(
        PipelineName="nightly",
        PipelineDefinition=json.dumps(definition),
        ClientRequestToken="t" * 32,
        RoleArn=ROLE,
    )
    account.sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    account.model_package("c/model.tar.gz", ModelPackageGroupName="churn")
    account.model_package("d/model.tar.gz", ModelPackageName="one")

    done = swept(aws)

    assert words(done) == {
        "a/model.tar.gz": "proven",
        COPY: "kept",
        "c/model.tar.gz": "kept",
        "d/model.tar.gz": "kept",
    }
    assert "pipeline nightly refers" in by_key(done)[COPY].verdict.reason


def serve(account: Account, model: str, name: str = "live") -> None:
    """An endpoint that serves *model*, and its configuration "NAME-Config"."""
    configure(account, f"{name}-Config", model)
    account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-Config")


def configure(account: Account, config: str, model: str) -> None:
    variant: Any = {
        "VariantName": "v",
        "ModelName": model,
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": 1,
    }
    account.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])


def ended(account: Account, name: str, key: str) -> None:
    """A training job that made the artifact *key*."""
    account.training_job(name)
    made = {"S3ModelArtifacts": f"s3://{BUCKET}/{key}"}
    account.box.patch(
        "sagemaker", ["training_jobs", name], TrainingJobStatus="Completed", ModelArtifacts=made
    )


def test_what_only_an_ended_job_or_an_unserved_model_needs_is_likely(account: Account, aws: Aws) -> None:
    for key, age in (("a/model.tar.gz", 50), (COPY, 40), ("c/model.tar.gz", 30), ("d/model.tar.gz", 20)):
        account.put(key, age=age)
    ended(account, "first", "a/model.tar.gz")
    ended(account, "second", COPY)
    account.model("spare", ModelDataUrl=f"s3://{BUCKET}/c/model.tar.gz")

    done = swept(aws)

    assert words(done) == {
        "a/model.tar.gz": "kept",
        COPY: "likely",
        "c/model.tar.gz": "likely",
        "d/model.tar.gz": "proven",
    }
    assert "; needed only by training job second, which ended; " in by_key(done)[COPY].verdict.reason
    assert "model spare, which nothing serves" in by_key(done)["c/model.tar.gz"].verdict.reason

    serve(account, "spare")
    done = swept(aws)

    assert words(done)["a/model.tar.gz"] == "likely"
    assert by_key(done)["c/model.tar.gz"].verdict.reason == "model spare refers to it"


@pytest.mark.parametrize(
    ("status", "expected"), [("Approved", "kept"), ("PendingManualApproval", "kept"), ("Rejected", "likely")]
)
def test_only_a_rejected_package_is_not_in_use(
    account: Account, aws: Aws, status: str, expected: str
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    account.model_package("a/model.tar.gz", ModelPackageName="loose")
    account.model_package(COPY, ModelPackageGroupName="churn", ModelApprovalStatus=status)

    done = swept(aws)

    assert words(done)[COPY] == expected
    if status == "Rejected":
        assert "needed only by model package churn/1, which was rejected" in by_key(done)[COPY].verdict.reason
        package = account.sagemaker.list_model_packages(ModelPackageGroupName="churn")
        arn = package["ModelPackageSummaryList"][0]["ModelPackageArn"]
        account.model("made", ModelPackageName=arn)
        serve(account, "made")
        assert words(swept(aws))[COPY] == "kept"


@pytest.mark.parametrize("definition", ['{"Model": "Spare"}', '{"Command": "run --model spare --fast"}'])
def test_a_model_that_a_pipeline_names_is_in_use(account: Account, aws: Aws, definition: str) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model("kept", ModelDataUrl=f"s3://{BUCKET}/a/model.tar.gz")
    account.model("spare", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    serve(account, "kept")
    assert words(swept(aws))[COPY] == "likely"

    account.sagemaker.create_pipeline(
        PipelineName="nightly", PipelineDefinition=definition, ClientRequestToken="t" * 32, RoleArn=ROLE
    )

    assert words(swept(aws))[COPY] == "kept"


def test_a_model_that_a_running_transform_job_uses_is_in_use(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model("kept", ModelDataUrl=f"s3://{BUCKET}/a/model.tar.gz")
    account.model("spare", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    serve(account, "kept")
    account.sagemaker.create_transform_job(
        TransformJobName="batch",
        ModelName="spare",
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://in/x"}}},
        TransformOutput={"S3OutputPath": "s3://elsewhere/out"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    )
    assert words(swept(aws))[COPY] == "kept"

    account.box.patch("sagemaker", ["transform_jobs", "batch"], TransformJobStatus="Completed")

    assert words(swept(aws))[COPY] == "likely"


@pytest.mark.parametrize("gone", ["model", "configuration"])
def test_an_endpoint_of_which_something_is_gone_makes_copies_likely_and_is_no_error(
    account: Account, aws: Aws, gone: str
) -> None:
    account.bucket(DEFAULT_BUCKET)
    for key, age in (("a/model.tar.gz", 50), (COPY, 40), ("c/model.tar.gz", 30)):
        account.put(key, age=age, bucket=DEFAULT_BUCKET)
    account.model(ModelDataUrl=f"s3://{DEFAULT_BUCKET}/c/model.tar.gz")
    serve(account, "churn")
    where: dict[str, Any] = {"buckets": (), "read_contents_in": (DEFAULT_BUCKET,)}
    assert words(swept(aws, **where))[COPY] == "proven"

    if gone == "model":
        account.sagemaker.delete_model(ModelName="churn")
    else:
        account.sagemaker.delete_endpoint_config(EndpointConfigName="live-Config")
    done = swept(aws, **where, act_on_prefixes=(f"s3://{DEFAULT_BUCKET}/",))

    name = "model churn" if gone == "model" else "endpoint configuration live-Config"
    notice = f"endpoint live uses {name}, which exists no more: what it loads is unknown"
    assert (done.error, done.notices) == (None, (notice,))
    found = by_key(done)[COPY]
    assert outcome(found) == "likely"
    assert f"; any copy may be in use, though: {notice}; " in found.verdict.reason
    assert isinstance(found.verdict, Finding)
    assert found.verdict.spared == f"any copy may be in use: {notice}"


def test_a_failed_endpoint_serves_nothing(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model(ModelDataUrl="s3://elsewhere/x.tar.gz")
    serve(account, "churn")
    account.sagemaker.delete_model(ModelName="churn")
    account.box.patch("sagemaker", ["endpoints", "live"], EndpointStatus="Failed")

    done = swept(aws)

    assert (words(done)[COPY], done.error) == ("proven", None)
    assert done.notices == (
        "endpoint configuration live-Config, which nothing uses, names model churn, which exists no more",
    )


def test_a_component_whose_model_is_gone_makes_copies_likely(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model(ModelDataUrl="s3://elsewhere/x.tar.gz")
    variant: Any = {"VariantName": "v", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    account.sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[variant], ExecutionRoleArn=ROLE
    )
    account.sagemaker.create_endpoint(EndpointName="shared", EndpointConfigName="c")
    account.sagemaker.create_inference_component(
        InferenceComponentName="part",
        EndpointName="shared",
        VariantName="v",
        Specification={
            "ModelName": "churn",
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
        },
        RuntimeConfig={"CopyCount": 1},
    )
    assert words(swept(aws))[COPY] == "proven"

    account.sagemaker.delete_model(ModelName="churn")
    done = swept(aws)

    assert words(done)[COPY] == "likely"
    assert done.notices == (
        "inference component part uses model churn, which exists no more: what it loads is unknown",
    )


def test_a_model_whose_package_is_gone_concerns_copies_only_if_it_is_served(
    account: Account, aws: Aws
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model_package("b/other.tar.gz", ModelPackageName="loose")
    (kept,) = account.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    account.model("theirs", ModelPackageName="arn:aws:sagemaker:us-east-1:999999999999:model-package/p")
    account.model("ours", ModelPackageName=kept["ModelPackageArn"])
    account.model("orphan", ModelPackageName=kept["ModelPackageArn"].replace("loose", "gone"))

    done = swept(aws)

    assert words(done)[COPY] == "proven"
    assert done.notices == (
        "model orphan, which nothing uses, names model package gone, which exists no more",
    )

    serve(account, "orphan")
    done = swept(aws)

    assert words(done)[COPY] == "likely"
    assert done.notices == (
        "endpoint live uses model package gone, which exists no more: what it loads is unknown",
    )


@pytest.mark.parametrize(
    "operation",
    ["GetBucketVersioning", "GetBucketLifecycleConfiguration", "GetBucketPolicy"],  # it is only reported then
)
def test_what_cannot_be_read_of_a_bucket_does_not_make_its_copies_unknown(
    account: Account, aws: Aws, operation: str
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.box.fault("s3", operation, "deny", times=0)

    assert words(swept(aws))[COPY] == "proven"


def test_a_bucket_that_may_not_be_listed_breaks_the_sweep_and_not_the_others(
    account: Account, aws: Aws
) -> None:
    account.bucket("closed")
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.box.fault("s3", "ListObjectsV2", "deny", times=0, match="closed")

    done = swept(aws, buckets=(BUCKET, "closed", "missing"))

    assert words(done)[COPY] == "proven"
    assert "closed broke off after 0" in str(done.error)
    assert "bucket missing" in str(done.error)


def test_keep_tags_of_the_object_and_of_its_bucket_count(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY, Tagging="keep=true")
    account.put("c/model.tar.gz", Tagging="owner=maria")
    done = swept(aws)
    assert words(done) == {"a/model.tar.gz": "kept", COPY: "kept", "c/model.tar.gz": "proven"}
    assert by_key(done)["c/model.tar.gz"].owner == "maria"

    tags: Any = [{"Key": "janitor:keep", "Value": "true"}]
    account.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})

    assert set(words(swept(aws)).values()) == {"kept"}


@pytest.mark.parametrize("operation", ["GetObjectRetention", "GetObjectLegalHold"])
def test_a_lock_that_cannot_be_read_may_be_there(account: Account, aws: Aws, operation: str) -> None:
    """What the locks say when they can be read is tested on a server that has them all."""
    account.bucket("locked", ObjectLockEnabledForBucket=True)
    account.put("a.tar.gz", age=50, bucket="locked")
    account.put("b.tar.gz", bucket="locked")
    account.box.fault("s3", operation, "deny", times=0)

    done = swept(aws, buckets=("locked",))

    assert words(done)["b.tar.gz"] == "unknown"
    assert "it may be locked" in by_key(done)["b.tar.gz"].verdict.reason


def test_a_versioned_bucket_says_when_bytes_are_freed(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert "never freed" in by_key(swept(aws))[COPY].verdict.reason

    rule: Any = {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": "b/"},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 14},
    }
    account.s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})

    assert "freed 14 days later, by lifecycle rule old-versions" in by_key(swept(aws))[COPY].verdict.reason


def test_archived_copies_stay_and_are_nobodys_keeper(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50, StorageClass="DEEP_ARCHIVE")
    account.put(COPY)
    account.put("c/model.tar.gz", age=30)

    done = swept(aws)

    assert words(done) == {"a/model.tar.gz": "kept", COPY: "kept", "c/model.tar.gz": "proven"}
    assert "archived (DEEP_ARCHIVE)" in by_key(done)["a/model.tar.gz"].verdict.reason


def test_a_copy_in_another_bucket_is_reported_apart(account: Account, aws: Aws) -> None:
    account.bucket("backup")
    account.put("a/model.tar.gz", age=50)
    account.put(COPY, bucket="backup")

    done = swept(aws, buckets=(BUCKET, "backup"))

    assert words(done)[COPY] == "likely"
    assert "every byte read" in by_key(done)[COPY].verdict.reason
    assert "replica" in by_key(done)[COPY].verdict.reason


def test_a_copy_in_another_region_is_judged_there_and_known_here(
    account: Account, aws: Aws, session: boto3.Session
) -> None:
    session.client("s3", region_name="eu-west-1").create_bucket(
        Bucket="europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    account.put("a/model.tar.gz", age=50, bucket="europe")
    account.put(COPY)

    done = swept(aws, buckets=(BUCKET, "europe"))

    assert words(done) == {COPY: "likely"}
    assert "another region (eu-west-1)" in by_key(done)[COPY].verdict.reason
    assert "equal" in by_key(done)[COPY].verdict.reason
    assert "s3:GetObject" not in account.box.calls()


def folder(account: Account, root: str, *, age: int = 40, config: str = "{}", shards: int = 2) -> None:
    for n in range(1, shards + 1):
        account.put(f"{root}/model-{n:05}-of-{shards:05}.safetensors", f"shard {n}", age=age)
    account.put(f"{root}/config.json", config, age=age, size=len(config))
    account.put(f"{root}/README.md", root, age=age, size=10)


def test_a_folder_of_several_files_is_a_copy_as_a_whole(account: Account, aws: Aws) -> None:
    folder(account, "llm", age=50)
    folder(account, "llm copy+ü")

    done = swept(aws)

    assert done.found == 2
    assert {key for key, said in words(done).items() if said == "proven"} == {
        "llm copy+ü/model-00001-of-00002.safetensors",
        "llm copy+ü/model-00002-of-00002.safetensors",
    }
    assert "its folder (3 files) has the same bytes as s3://models/llm/" in done.findings[0].verdict.reason


def test_a_folder_that_lacks_a_file_is_no_copy(account: Account, aws: Aws) -> None:
    folder(account, "llm", age=50)
    folder(account, "llm-copy")
    account.s3.delete_object(Bucket=BUCKET, Key="llm-copy/config.json")

    done = swept(aws)

    assert set(words(done).values()) == {"kept"}
    assert "no other folder holds the same files" in done.results[0].verdict.reason


def test_the_parts_of_a_larger_model_are_not_copies_by_themselves(account: Account, aws: Aws) -> None:
    for root, unet in (("sd", "one"), ("sd-tuned", "two")):
        account.put(f"{root}/model_index.json", "{}", size=2)
        account.put(f"{root}/vae/config.json", "{}", size=2)
        account.put(f"{root}/vae/diffusion.safetensors", "the same vae")
        account.put(f"{root}/unet/diffusion.safetensors", unet, size=2 * MIB)

    assert set(words(swept(aws)).values()) == {"kept"}


def test_weights_beside_other_weights_are_only_likely_copies(account: Account, aws: Aws) -> None:
    account.put("a/encoder.onnx", "encoder", age=50)
    account.put("b/encoder.onnx", "encoder")
    account.put("b/decoder.onnx", "decoder")

    done = swept(aws)

    assert words(done) == {"a/encoder.onnx": "kept", "b/encoder.onnx": "likely", "b/decoder.onnx": "kept"}
    assert "may belong to the same model" in by_key(done)["b/encoder.onnx"].verdict.reason


def test_without_named_buckets_those_that_are_referred_to_are_searched(account: Account, aws: Aws) -> None:
    account.bucket("unheard-of")
    account.bucket(DEFAULT_BUCKET)
    for bucket in (BUCKET, "unheard-of", DEFAULT_BUCKET):
        account.put(f"{bucket}/a.tar.gz", bucket, age=50, bucket=bucket)
        account.put(f"{bucket}/b.tar.gz", bucket, bucket=bucket)
    account.model(ModelDataUrl=f"s3://{BUCKET}/models/a.tar.gz")
    account.model("jumpstart", ModelDataUrl="s3://jumpstart-cache-prod-us-east-1/x.tar.gz")

    done = swept(aws, buckets=(), read_contents_in=(f"{DEFAULT_BUCKET}/{DEFAULT_BUCKET}/",))

    assert done.error is None
    assert words(done) == {
        "models/a.tar.gz": "kept",
        "models/b.tar.gz": "likely",
        f"{DEFAULT_BUCKET}/a.tar.gz": "kept",
        f"{DEFAULT_BUCKET}/b.tar.gz": "proven",
    }


def test_what_contents_may_be_read_in_is_searched_too(account: Account, aws: Aws) -> None:
    account.bucket("unheard-of")
    for key, age in (("a.tar.gz", 50), ("b.tar.gz", 40)):
        account.put(key, age=age, bucket="unheard-of")

    assert words(swept(aws, read_contents_in=("unheard-of",)))["b.tar.gz"] == "proven"
    assert words(swept(aws, buckets=(), read_contents_in=("unheard-of",)))["b.tar.gz"] == "proven"
    assert swept(aws, buckets=()).looked_at == 0


def test_an_unarmed_deployment_hears_how_copies_can_be_proven_again(account: Account, aws: Aws) -> None:
    """An operator's own settings, from when every object was read, name no contents: each report says so."""
    account.bucket(DEFAULT_BUCKET)
    for key, age in (("a/model.tar.gz", 50), (COPY, 40)):
        account.put(key, "model", age=age, bucket=DEFAULT_BUCKET)
    settings = Settings.parse({"janitor": {"slack_secret": "ml-janitor/slack"}})
    detector = settings.detector(DuplicateArtifacts)

    done = sweep(detector, aws, now=NOW, policy=settings.policy)

    assert words(done)[COPY] == "likely"
    (notice,) = done.notices
    report = Report(time=NOW, account=ACCOUNT, sweeps=(done,))
    assert notice in json.loads(document.text(report))["sweeps"][0]["notices"]
    for part in (f"contents may not be read in {DEFAULT_BUCKET}", "duplicate-artifacts.read_contents_in"):
        assert part in notice
        assert part in html(report)


def test_where_contents_may_not_be_read_size_and_etag_make_copies_likely(account: Account, aws: Aws) -> None:
    """The listing has no ETag that tells under a KMS key, and none of the bytes of what was cut otherwise."""
    account.bucket(DEFAULT_BUCKET)
    stored: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
        ("a/model.tar.gz", "model", 50, {}),
        (COPY, "model", 40, {"ChecksumAlgorithm": "SHA256"}),
        ("c/model.tar.gz", "another", 30, {}),
        ("d/model.tar.gz", "model", 30, {"ServerSideEncryption": "aws:kms"}),
    )
    for key, content, age, given in stored:
        account.put(key, content, age=age, bucket=DEFAULT_BUCKET, **given)
    for root, age in (("e", 50), ("f", 40)):
        account.put(f"{root}/{SHARDS[0]}", "one", age=age, bucket=DEFAULT_BUCKET)
        account.put(f"{root}/{SHARDS[1]}", "two", age=age, bucket=DEFAULT_BUCKET, size=2 * MIB)
    account.box.clear_calls()

    armed = {"act_on_prefixes": (f"s3://{DEFAULT_BUCKET}/",), "allow_unversioned": True}
    done = swept(aws, buckets=(), **armed)

    assert done.error is None
    assert words(done) == {
        "a/model.tar.gz": "kept",
        COPY: "likely",
        "c/model.tar.gz": "kept",
        "d/model.tar.gz": "kept",
        **{f"e/{name}": "kept" for name in SHARDS},
        **{f"f/{name}": "likely" for name in SHARDS},
    }
    assert {"s3:GetObject", "s3:HeadObject"}.isdisjoint(account.box.calls())
    (notice,) = done.notices
    assert f"contents may not be read in {DEFAULT_BUCKET}: " in notice
    assert "detectors.duplicate-artifacts.read_contents_in" in notice
    found = by_key(done)[COPY].verdict
    assert isinstance(found, Finding)
    assert (found.to_prove, "(equal ETag)" in found.reason) == ("name its bucket in read_contents_in", True)
    both = f"s3://{DEFAULT_BUCKET}/{COPY} and s3://{DEFAULT_BUCKET}/a/model.tar.gz"
    assert found.spared == f"the contents of {both} may not be read, so nothing proves it a copy"
    assert "no other artifact of its size has its ETag" in by_key(done)["c/model.tar.gz"].verdict.reason

    half = swept(aws, buckets=(), read_contents_in=(f"{DEFAULT_BUCKET}/b/",), **armed)
    assert words(half) == words(done)
    spared = by_key(half)[COPY].verdict
    assert isinstance(spared, Finding)
    assert "a/model.tar.gz may not be read, so nothing proves" in str(spared.spared)

    whole = swept(aws, buckets=(), read_contents_in=(DEFAULT_BUCKET,), **armed)
    assert words(whole)["d/model.tar.gz"] == words(whole)[COPY] == "proven"
    assert (whole.error, whole.notices) == (None, ())


@pytest.mark.parametrize(
    ("service", "operation", "error"),
    [
        ("sagemaker", "ListModels", "not every bucket may be known"),
        ("s3", "ListBuckets", "s3:ListBuckets broke off after 0"),
    ],
)
def test_without_named_buckets_unreadable_references_or_buckets_break_the_sweep(
    account: Account, aws: Aws, service: str, operation: str, error: str
) -> None:
    account.box.fault(service, operation, "deny", times=0)

    assert error in str(swept(aws, buckets=()).error)


def test_what_is_alone_may_have_a_copy_in_a_bucket_that_nobody_knows(account: Account, aws: Aws) -> None:
    account.bucket(DEFAULT_BUCKET)
    for name, config in (("llm", "{}"), ("tuned", '{"a": 1}')):
        account.put(f"{name}/model-00001-of-00001.safetensors", bucket=DEFAULT_BUCKET)
        account.put(f"{name}/config.json", config, size=len(config), bucket=DEFAULT_BUCKET)

    assert list(words(swept(aws, buckets=())).values()) == ["kept", "kept"]

    account.box.fault("sagemaker", "ListModels", "deny", times=0)
    done = swept(aws, buckets=())

    assert list(words(done).values()) == ["unknown", "unknown"]
    assert all("not every bucket may be known" in one.verdict.reason for one in done.results)


def test_what_is_alone_may_have_a_copy_in_a_bucket_that_was_not_listed(account: Account, aws: Aws) -> None:
    account.bucket("closed")
    account.put("a/model.tar.gz", ChecksumAlgorithm="SHA256")
    account.put(COPY, "another", ChecksumAlgorithm="SHA256")

    assert set(words(swept(aws, buckets=(BUCKET, "closed"))).values()) == {"kept"}

    account.box.fault("s3", "ListObjectsV2", "deny", times=0, match="closed")
    done = swept(aws, buckets=(BUCKET, "closed"))

    assert set(words(done).values()) == {"unknown"}
    reason = by_key(done)[COPY].verdict.reason
    assert reason.startswith("a bucket that was not searched may hold the same as it (")
    assert "closed" in reason


def test_looking_at_one_says_what_finding_all_said(account: Account, aws: Aws) -> None:
    folder(account, "llm", age=50)
    folder(account, "llm-copy")
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    detector = DuplicateArtifacts(buckets=(BUCKET,))

    for candidate in detector.find(aws, NOW):
        again = detector.look(aws, candidate.target, NOW)
        assert again == candidate


def test_looking_again_at_ten_copies_describes_what_looking_at_none_does(account: Account, aws: Aws) -> None:
    """In an account with thousands of models and jobs a run can look at more than one copy only so."""
    account.put("a/model.tar.gz", age=50)
    for number in range(10):
        account.put(f"b/{number}.tar.gz")
    account.model(Image="i")
    serve(account, "churn")
    account.sagemaker.create_pipeline(
        PipelineName="nightly", ClientRequestToken="t" * 32, RoleArn=ROLE, PipelineDefinition="{}"
    )
    account.box.set_clock(NOW - timedelta(hours=1))
    for job in ("done", "running"):
        account.training_job(job)
    account.box.set_clock(NOW)
    account.box.patch("sagemaker", ["training_jobs", "done"], TrainingJobStatus="Completed")
    detector = DuplicateArtifacts(buckets=(BUCKET,))
    account.box.clear_calls()
    copies = [one for one in detector.find(aws, NOW) if one.stored.key.startswith("b/")]
    before = account.box.calls()
    account.box.clear_calls()

    for copy in copies:
        assert detector.look(aws, copy.target, NOW) == copy

    described = {call: times for call, times in before.items() if call.startswith("sagemaker:Describe")}
    assert described == {
        "sagemaker:DescribeEndpoint": 1,
        "sagemaker:DescribeEndpointConfig": 1,
        "sagemaker:DescribePipeline": 1,
        "sagemaker:DescribeTrainingJob": 1,
    }
    calls = account.box.calls()
    assert (before["sagemaker:Search"], calls.get("sagemaker:Search")) == (2, None)
    assert not [call for call in calls if call.startswith("sagemaker:Describe")]
    for listed in ("ListModels", "ListTrainingJobs", "ListEndpoints", "ListEndpointConfigs", "ListPipelines"):
        assert calls[f"sagemaker:{listed}"] == len(copies) == 10


def test_only_what_search_does_not_know_of_models_is_described(account: Account, aws: Aws) -> None:
    """Its index lags behind: the model that it does not show keeps its artifact all the same."""
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.box.set_durations({"search.index": 600})
    account.box.set_clock(NOW - timedelta(hours=1))
    for number in range(5):
        account.model(f"old-{number}", ModelDataUrl="s3://elsewhere/model.tar.gz")
    account.box.set_clock(NOW)
    account.model("new", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    serve(account, "new")
    account.box.clear_calls()

    assert words(swept(aws))[COPY] == "kept"
    assert account.box.calls()["sagemaker:DescribeModel"] == 1

    account.box.fault("sagemaker", "DescribeModel", "deny", times=0)
    aws.lasting.clear()
    assert words(swept(aws))[COPY] == "unknown"


def test_looking_again_reads_model_packages_anew(account: Account, aws: Aws) -> None:
    """UpdateModelPackage changes their containers too, and their listing does not say when."""
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model_package("elsewhere.tar.gz", ModelPackageName="churn")
    detector = DuplicateArtifacts(buckets=(BUCKET,))
    (copy,) = (one for one in detector.find(aws, NOW) if one.stored.key == COPY)
    account.box.clear_calls()

    detector.look(aws, copy.target, NOW)

    assert account.box.calls()["sagemaker:DescribeModelPackage"] == 1


@pytest.mark.parametrize("change", ["endpoint", "configuration", "pipeline"])
def test_looking_again_sees_what_was_changed_since(account: Account, aws: Aws, change: str) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model("served", Image="i")
    serve(account, "served")
    pipeline: Any = {"PipelineName": "nightly", "ClientRequestToken": "t" * 32, "RoleArn": ROLE}
    account.sagemaker.create_pipeline(PipelineDefinition="{}", **pipeline)
    detector = DuplicateArtifacts(buckets=(BUCKET,))
    (copy,) = (one for one in detector.find(aws, NOW) if one.stored.key == COPY)
    assert isinstance(detector.decide(copy, NOW), Finding)

    account.box.set_clock(NOW + timedelta(seconds=1))
    account.model("churn", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    if change == "pipeline":
        account.sagemaker.update_pipeline(PipelineName="nightly", PipelineDefinition='{"Model": "churn"}')
    else:
        name = "live-Config" if change == "configuration" else "next"
        account.sagemaker.delete_endpoint_config(EndpointConfigName="live-Config")
        configure(account, name, "churn")
        if change == "endpoint":
            account.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=name)

    again = detector.look(aws, copy.target, NOW)
    assert again is not None
    verdict = detector.decide(again, NOW)
    assert isinstance(verdict, Kept)
    assert verdict.reason == "model churn refers to it"


def test_looking_again_sees_what_was_made_since_under_an_old_name_too(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.model("churn", Image="i")
    detector = DuplicateArtifacts(buckets=(BUCKET,))
    (copy,) = (one for one in detector.find(aws, NOW) if one.stored.key == COPY)
    assert isinstance(detector.decide(copy, NOW), Finding)

    account.sagemaker.delete_model(ModelName="churn")
    account.box.set_clock(NOW + timedelta(seconds=1))
    account.model("churn", ModelDataUrl=f"s3://{BUCKET}/{COPY}")

    again = detector.look(aws, copy.target, NOW)
    assert again is not None
    verdict = detector.decide(again, NOW)
    assert isinstance(verdict, Kept)
    assert "model churn, which nothing serves refers to this one" in verdict.reason


def test_looking_at_what_is_gone_no_artifact_or_alone(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.put("notes.txt")
    account.put("alone.tar.gz", size=3 * MIB)
    account.bucket("another")
    detector = DuplicateArtifacts(buckets=("another",))
    target = by_key(swept(aws))[COPY].target

    def looked(key: str) -> Any:
        candidate = detector.look(aws, replace(target, arn=f"arn:aws:s3:::{BUCKET}/{key}"), NOW)
        return candidate and detector.decide(candidate, NOW)

    assert looked("gone.tar.gz") is None
    assert looked("alone.tar") is None  # although another key begins like it
    assert "no model artifact" in looked("notes.txt").reason
    assert looked("alone.tar.gz").reason == "no other artifact of its size is a model by itself"
    assert isinstance(looked(COPY), Finding)

    account.s3.delete_object(Bucket=BUCKET, Key="a/model.tar.gz")
    assert isinstance(looked(COPY), Kept)


def test_what_was_replaced_since_it_was_listed_is_unknown(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)
    account.box.fault(
        "s3", "HeadObject", "error", times=0, status=412, code="PreconditionFailed", match="b/model"
    )

    done = swept(aws)

    assert words(done) == {"a/model.tar.gz": "unknown", COPY: "unknown"}


def test_signals_carry_where_they_are_from(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY)

    found = next(
        one for one in DuplicateArtifacts(buckets=(BUCKET,)).find(aws, NOW) if one.stored.key == COPY
    )

    assert found.target.tags == Value({}, "s3:GetObjectTagging")
    assert found.lock == Absent("s3:GetObjectLockConfiguration")
