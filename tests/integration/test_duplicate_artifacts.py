"""Artifacts stored more than once, against the sandbox: what is read, how often, and what is made of it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config

from conftest import ACCOUNT, DAY, NOW, REGION
from fakes import candidates
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.core.model import Finding, Kept, Verdict
from ml_janitor.core.results import Result, Sweep
from ml_janitor.detectors.duplicate_artifacts.copies import ArtifactCopy
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import (
    ROLE,
    hosting,
    package_request,
    pipeline_request,
    training_request,
    transform_request,
)
from standin import assumed
from tables import cases
from verdicts import sweep_once, word

MIB = 1024**2
BUCKET, COPY = "models", "b/model.tar.gz"
READER = DuplicateArtifacts(buckets=(BUCKET,))
DEFAULT_BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"


class Account:
    """Artifacts of any age and content in the sandbox, and what refers to them."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.aws = box, aws
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
        with self.box.at(NOW - age * DAY):
            body = (content.encode() * size)[:size]
            self.s3.put_object(Bucket=bucket, Key=key, Body=body, **given)

    def pair(self) -> None:
        """An artifact, and a copy that is younger."""
        self.put("a/model.tar.gz", age=50)
        self.put(COPY)

    def spare(self) -> None:
        """Both of the pair are named by models, and only that of the older one is served."""
        self.pair()
        self.model("kept", ModelDataUrl=f"s3://{BUCKET}/a/model.tar.gz")
        self.model("spare", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
        serve(self, "kept")

    def transform(self, model: str, source: Any) -> None:
        """A transform job, "batch", that runs."""
        self.sagemaker.create_transform_job(
            **transform_request(
                "batch",
                model,
                "ml.m5.xlarge",
                out="s3://elsewhere/out",
                TransformInput={"DataSource": {"S3DataSource": source}},
            )
        )

    def pipeline(self, definition: str) -> None:
        self.sagemaker.create_pipeline(**pipeline_request("nightly", definition))

    def status(self, kind: str, name: str, **members: Any) -> None:
        """What AWS shows of a job or an endpoint from now on."""
        self.box.patch("sagemaker", [kind, name], **members)

    def swept(self, **tunables: Any) -> Sweep:
        return sweep_once(DuplicateArtifacts(**{"buckets": (BUCKET,), **tunables}), self.aws)

    def copies(self) -> list[ArtifactCopy]:
        """What a sweep reads of the copies below b/."""
        return [one for one in candidates(READER, self.aws, NOW) if one.stored.key.startswith("b/")]

    def again(self, copy: ArtifactCopy) -> Verdict:
        """The verdict of a second look."""
        return READER.decide(not_none(READER.look(self.aws, copy.target, NOW)), NOW)

    def model(self, name: str = "churn", **container: Any) -> None:
        primary: Any = {"Image": "i", **container}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=primary)

    def model_package(self, key: str, **named: Any) -> None:
        self.sagemaker.create_model_package(**package_request(f"s3://{BUCKET}/{key}", **named))

    def training_job(self, name: str, **given: Any) -> None:
        self.sagemaker.create_training_job(**training_request(name, out=f"s3://{BUCKET}/jobs", **given))


@pytest.fixture
def account(box: Control, session: boto3.Session, aws: Aws) -> Account:
    return Account(box, session, aws)


def by_key(done: Sweep) -> Mapping[str, Result]:
    return {result.target.name.partition("/")[2]: result for result in done.results}


def words(done: Sweep) -> dict[str, str]:
    return {key: word(result) for key, result in by_key(done).items()}


def test_copies_are_proven_and_priced_and_the_oldest_stays(account: Account) -> None:
    account.pair()
    account.put("c/model.tar.gz", "another", age=30)
    account.put("d/model.tar.gz", size=2 * MIB)
    for odd in ("e/mo del+1&é=ü%2F.tar.gz", "f//x?y#z.tar.gz", "g/\u2028\U0001f600.tar.gz"):
        account.put(odd, age=20)

    done = account.swept()
    assert (done.looked_through, done.share_base) == (7, 7), "also those that share their size with none"

    assert done.error is None
    assert [said for _, said in sorted(words(done).items())] == ["kept", "proven", "kept", *["proven"] * 3]
    found = by_key(done)[COPY]
    assert found.target.arn == "arn:aws:s3:::models/b/model.tar.gz"
    assert found.target.created == NOW - 40 * DAY
    assert found.monthly_usd == Decimal("0.023") / 1024


def under_a_key(session: boto3.Session, *keys: str, body: bytes = b"m" * MIB, **given: Any) -> list[str]:
    """Objects encrypted by SSE-KMS, without the checksum that boto3 would add by itself; their ETags."""
    s3 = session.client("s3", config=Config(request_checksum_calculation="when_required"))
    puts = [
        s3.put_object(Bucket=BUCKET, Key=key, Body=body, ServerSideEncryption="aws:kms", **given)
        for key in keys
    ]
    return [put["ETag"] for put in puts]


@cases("algorithm, expected", ("SHA256", "proven"), ("SHA1", "likely"), ("CRC32", "likely"))
def test_checksums_tell_under_a_kms_key_too(
    account: Account, session: boto3.Session, algorithm: str, expected: str
) -> None:
    with account.box.at(NOW - 40 * DAY):
        under_a_key(session, "a/model.tar.gz", COPY, ChecksumAlgorithm=algorithm)
        under_a_key(session, "c/model.tar.gz", body=b"x" * MIB, ChecksumAlgorithm=algorithm)
    listed = account.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    account.box.clear_calls()

    done = account.swept(compare_up_to=0)

    assert [one["ChecksumAlgorithm"] for one in listed] == [[algorithm]] * 3
    assert sorted(words(done).values()) == ["kept", "kept", expected]
    assert words(done)["c/model.tar.gz"] == "kept"
    assert "s3:GetObject" not in account.box.calls()


def test_listed_checksums_cost_nothing_where_no_two_sizes_are_equal(account: Account) -> None:
    account.put("a/model.tar.gz")
    account.put("b/model.tar.gz", size=MIB + 1)
    account.box.clear_calls()

    assert account.swept().results == ()
    assert account.box.calls() == {"s3:HeadBucket": 1, "s3:ListBuckets": 1, "s3:ListObjectsV2": 1}


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def source(compression: str) -> dict[str, str]:
    return {"S3Uri": f"s3://{BUCKET}/{COPY}", "S3DataType": "S3Object", "CompressionType": compression}


MODELS: dict[str, dict[str, Any]] = {
    "by its address": {"ModelDataUrl": f"s3://{BUCKET}/{COPY}"},
    "in its environment": {"Environment": {"HF_MODEL": f"s3://{BUCKET}/b"}},
    "as a source": {"ModelDataSource": {"S3DataSource": source("Gzip")}},
    "as a further source": {
        "AdditionalModelDataSources": [{"ChannelName": "lora", "S3DataSource": source("None")}]
    },
}


@pytest.mark.parametrize("container", MODELS.values(), ids=MODELS.keys())
def test_a_copy_that_a_model_refers_to_stays(account: Account, container: dict[str, Any]) -> None:
    account.pair()
    account.model(**container)

    done = account.swept()

    assert words(done) == {"a/model.tar.gz": "proven", COPY: "kept"}
    assert "model churn, which nothing serves refers to this one" in by_key(done)[COPY].verdict.reason

    serve(account, "churn")

    assert by_key(account.swept())[COPY].verdict.reason == "model churn refers to it"


def loads(account: Account, uri: str) -> None:
    """A model of which a manifest says where it lies."""
    source = {
        "S3Uri": "s3://elsewhere/base/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
        "ManifestS3Uri": uri,
    }
    account.model(ModelDataSource={"S3DataSource": source})


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/gone", "s3://missing/gone"])
def test_a_missing_manifest_matters_only_if_something_in_use_reads_it(account: Account, uri: str) -> None:
    account.pair()
    loads(account, uri)

    done = account.swept(buckets=(BUCKET, "missing"))

    assert words(done)[COPY] == "proven"
    assert done.notices == (f"model churn, which nothing uses, names manifest {uri}, which exists no more",)

    serve(account, "churn")
    done = account.swept()

    assert words(done)[COPY] == "likely"


def serve(account: Account, model: str, name: str = "live") -> None:
    """An endpoint that serves *model*, and its configuration "NAME-Config"."""
    configure(account, f"{name}-Config", model)
    account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-Config")


def configure(account: Account, config: str, model: str) -> None:
    variant: Any = hosting(model)
    account.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])


def ended(account: Account, name: str, key: str) -> None:
    """A training job that made the artifact *key*."""
    account.training_job(name)
    made = {"S3ModelArtifacts": f"s3://{BUCKET}/{key}"}
    account.status("training_jobs", name, TrainingJobStatus="Completed", ModelArtifacts=made)


@pytest.mark.parametrize("closed", [False, True])
def test_a_bucket_is_judged_in_its_owners_account_alone(account: Account, *, closed: bool) -> None:
    """Only there are the models known that its copies serve. Readers elsewhere make copies report-only."""
    other = "210987654321"
    account.pair()
    allowed = {
        "Effect": "Allow",
        "Principal": {"AWS": other},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    account.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Statement": [allowed]}))
    own = account.swept(act_on_prefixes=(f"s3://{BUCKET}/",), allow_unversioned=True)
    session = assumed(f"arn:aws:iam::{other}:role/Reader")
    if closed:
        account.box.fault("s3", "HeadBucket", "deny", times=0)
    with open_regions(session, account=other, regions=[REGION], attempts=2, pace=None) as accounts:
        done = sweep_once(READER, accounts[0])
        target = replace(next(iter(own.findings)).target, account=other)
        with pytest.raises(ReadError, match=f"{BUCKET} is owned by another account"):
            READER.look(accounts[0], target, NOW)

    assert (done.error, done.looked_at) == (None, 0)
    assert done.notices == (
        f"{BUCKET}: owned by another account, so judged only in the sweep of that account",
    )
    (found,) = own.findings
    assert isinstance(found.verdict, Finding)
    assert f"lets account {other} read it" in str(found.verdict.spared)
    assert str(found.verdict.spared) in found.verdict.reason


def test_what_only_an_ended_job_or_an_unserved_model_needs_is_likely(account: Account) -> None:
    for key, age in (("a/model.tar.gz", 50), (COPY, 40), ("c/model.tar.gz", 30), ("d/model.tar.gz", 20)):
        account.put(key, age=age)
    ended(account, "first", "a/model.tar.gz")
    ended(account, "second", COPY)
    account.model("spare", ModelDataUrl=f"s3://{BUCKET}/c/model.tar.gz")

    done = account.swept()

    assert words(done) == {
        "a/model.tar.gz": "kept",
        COPY: "likely",
        "c/model.tar.gz": "likely",
        "d/model.tar.gz": "proven",
    }
    assert "; needed only by training job second, which ended; " in by_key(done)[COPY].verdict.reason
    assert "model spare, which nothing serves" in by_key(done)["c/model.tar.gz"].verdict.reason

    serve(account, "spare")
    done = account.swept()

    assert words(done)["a/model.tar.gz"] == "likely"
    assert by_key(done)["c/model.tar.gz"].verdict.reason == "model spare refers to it"


def test_a_model_whose_package_is_gone_concerns_copies_only_if_it_is_served(account: Account) -> None:
    account.pair()
    account.model_package("b/other.tar.gz", ModelPackageName="loose")
    (kept,) = account.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    account.model("theirs", ModelPackageName="arn:aws:sagemaker:us-east-1:999999999999:model-package/p")
    account.model("ours", ModelPackageName=kept["ModelPackageArn"])
    account.model("orphan", ModelPackageName=kept["ModelPackageArn"].replace("loose", "gone"))

    done = account.swept()

    assert words(done)[COPY] == "proven"
    assert done.notices == (
        "model orphan, which nothing uses, names model package gone, which exists no more",
    )

    serve(account, "orphan")
    done = account.swept()

    assert words(done)[COPY] == "likely"
    (told,) = done.notices
    assert told.startswith(
        "endpoint live uses model package gone, which exists no more: what it loads is unknown (it changed"
    ), "CloudTrail was asked"
    assert account.box.calls()["cloudtrail:LookupEvents"]


def test_a_bucket_that_may_not_be_listed_breaks_the_sweep_and_not_the_others(account: Account) -> None:
    account.bucket("closed")
    account.pair()
    account.box.fault("s3", "ListObjectsV2", "deny", times=0, match="closed")

    done = account.swept(buckets=(BUCKET, "closed", "missing"))

    assert words(done)[COPY] == "proven"
    assert "closed broke off after 0" in str(done.error)
    assert "bucket missing" in str(done.error)


def test_keep_tags_of_the_object_and_of_its_bucket_count(account: Account) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put(COPY, Tagging="keep=true")
    account.put("c/model.tar.gz", Tagging="owner=maria")
    done = account.swept()
    assert words(done) == {"a/model.tar.gz": "kept", COPY: "kept", "c/model.tar.gz": "proven"}
    assert by_key(done)["c/model.tar.gz"].owner == "maria"

    tags: Any = [{"Key": "janitor:keep", "Value": "true"}]
    account.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})

    assert set(words(account.swept()).values()) == {"kept"}


def test_a_copy_in_another_region_is_judged_there(account: Account, session: boto3.Session) -> None:
    session.client("s3", region_name="eu-west-1").create_bucket(
        Bucket="europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    account.put("a/model.tar.gz", age=50, bucket="europe")
    account.put(COPY)

    done = account.swept(buckets=(BUCKET, "europe"))

    assert words(done) == {COPY: "likely"}
    assert "another region (eu-west-1)" in by_key(done)[COPY].verdict.reason
    assert "equal" in by_key(done)[COPY].verdict.reason
    assert "s3:GetObject" not in account.box.calls()


def folder(account: Account, root: str, *, age: int = 40, config: str = "{}", shards: int = 2) -> None:
    for n in range(1, shards + 1):
        account.put(f"{root}/model-{n:05}-of-{shards:05}.safetensors", f"shard {n}", age=age)
    account.put(f"{root}/config.json", config, age=age, size=len(config))
    account.put(f"{root}/README.md", root, age=age, size=10)


def test_a_folder_of_several_files_is_a_copy_as_a_whole(account: Account) -> None:
    folder(account, "llm", age=50)
    folder(account, "llm copy+ü")

    done = account.swept()

    assert done.found == 2
    assert {key for key, said in words(done).items() if said == "proven"} == {
        "llm copy+ü/model-00001-of-00002.safetensors",
        "llm copy+ü/model-00002-of-00002.safetensors",
    }
    assert "its folder (3 files) has the same bytes as s3://models/llm/" in done.findings[0].verdict.reason


def test_a_keep_tag_of_any_file_keeps_the_folder(account: Account) -> None:
    folder(account, "a", age=50)
    folder(account, "b")
    tags: Any = {"TagSet": [{"Key": "keep", "Value": "true"}]}
    account.s3.put_object_tagging(Bucket=BUCKET, Key="b/config.json", Tagging=tags)

    assert set(words(account.swept()).values()) == {"kept"}


def test_without_named_buckets_those_that_are_referred_to_are_searched(account: Account) -> None:
    account.bucket("unheard-of")
    account.bucket(DEFAULT_BUCKET)
    for bucket in (BUCKET, "unheard-of", DEFAULT_BUCKET):
        account.put(f"{bucket}/a.tar.gz", bucket, age=50, bucket=bucket)
        account.put(f"{bucket}/b.tar.gz", bucket, bucket=bucket)
    account.model(ModelDataUrl=f"s3://{BUCKET}/models/a.tar.gz")
    account.model("jumpstart", ModelDataUrl="s3://jumpstart-cache-prod-us-east-1/x.tar.gz")

    done = account.swept(buckets=(), read_contents_in=(f"{DEFAULT_BUCKET}/{DEFAULT_BUCKET}/",))

    assert done.error is None
    assert words(done) == {
        "models/a.tar.gz": "kept",
        "models/b.tar.gz": "likely",
        f"{DEFAULT_BUCKET}/a.tar.gz": "kept",
        f"{DEFAULT_BUCKET}/b.tar.gz": "proven",
    }


def test_what_contents_may_be_read_in_is_searched_too(account: Account) -> None:
    account.bucket("unheard-of")
    for key, age in (("a.tar.gz", 50), ("b.tar.gz", 40)):
        account.put(key, age=age, bucket="unheard-of")

    assert words(account.swept(read_contents_in=("unheard-of",)))["b.tar.gz"] == "proven"
    assert words(account.swept(buckets=(), read_contents_in=("unheard-of",)))["b.tar.gz"] == "proven"
    assert account.swept(buckets=()).looked_at == 0


def test_where_contents_may_not_be_read_size_and_etag_make_copies_likely(account: Account) -> None:
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
    done = account.swept(buckets=(), **armed)

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
    found = of_type(Finding, by_key(done)[COPY].verdict)
    assert (found.to_prove, "(equal ETag)" in found.reason) == ("name its bucket in read_contents_in", True)
    both = f"s3://{DEFAULT_BUCKET}/{COPY} and s3://{DEFAULT_BUCKET}/a/model.tar.gz"
    assert found.spared == f"the contents of {both} may not be read, so nothing proves it a copy"
    assert "no other artifact of its size has its ETag" in by_key(done)["c/model.tar.gz"].verdict.reason

    half = account.swept(buckets=(), read_contents_in=(f"{DEFAULT_BUCKET}/b/",), **armed)
    assert words(half) == words(done)
    spared = of_type(Finding, by_key(half)[COPY].verdict)
    assert "a/model.tar.gz may not be read, so nothing proves" in str(spared.spared)

    whole = account.swept(buckets=(), read_contents_in=(DEFAULT_BUCKET,), **armed)
    assert words(whole)["d/model.tar.gz"] == words(whole)[COPY] == "proven"
    assert (whole.error, whole.notices) == (None, ())


@cases(
    "service, operation, error",
    ("sagemaker", "ListModels", "not every bucket may be known"),
    ("s3", "ListBuckets", "s3:ListBuckets broke off after 0"),
)
def test_unreadable_references_break_it(account: Account, service: str, operation: str, error: str) -> None:
    account.box.fault(service, operation, "deny", times=0)

    assert error in str(account.swept(buckets=()).error)


def test_what_is_alone_may_have_a_copy_in_a_bucket_that_nobody_knows(account: Account) -> None:
    account.bucket(DEFAULT_BUCKET)
    for name, config in (("llm", "{}"), ("tuned", '{"a": 1}')):
        account.put(f"{name}/model-00001-of-00001.safetensors", bucket=DEFAULT_BUCKET)
        account.put(f"{name}/config.json", config, size=len(config), bucket=DEFAULT_BUCKET)

    assert list(words(account.swept(buckets=())).values()) == ["kept", "kept"]

    account.box.fault("sagemaker", "ListModels", "deny", times=0)
    done = account.swept(buckets=())

    assert list(words(done).values()) == ["unknown", "unknown"]
    assert all("not every bucket may be known" in one.verdict.reason for one in done.results)


def test_what_is_alone_may_have_a_copy_in_a_bucket_that_was_not_listed(account: Account) -> None:
    account.bucket("closed")
    account.put("a/model.tar.gz", ChecksumAlgorithm="SHA256")
    account.put(COPY, "another", ChecksumAlgorithm="SHA256")

    assert set(words(account.swept(buckets=(BUCKET, "closed"))).values()) == {"kept"}

    account.box.fault("s3", "ListObjectsV2", "deny", times=0, match="closed")
    done = account.swept(buckets=(BUCKET, "closed"))

    assert set(words(done).values()) == {"unknown"}
    reason = by_key(done)[COPY].verdict.reason
    assert reason.startswith("a bucket that was not searched may hold the same as it (")
    assert "closed" in reason


def test_looking_again_at_ten_copies_describes_what_looking_at_none_does(account: Account) -> None:
    """In an account with thousands of models and jobs a run can look at more than one copy only so."""
    account.put("a/model.tar.gz", age=50)
    for number in range(10):
        account.put(f"b/{number}.tar.gz")
    account.model(Image="i")
    serve(account, "churn")
    account.pipeline("{}")
    with account.box.at(NOW - timedelta(hours=1)):
        for job in ("done", "running"):
            account.training_job(job)
    account.status("training_jobs", "done", TrainingJobStatus="Completed")
    account.box.clear_calls()
    copies = account.copies()
    before = account.box.calls()
    account.box.clear_calls()
    account.aws.aided = False  # as before acting

    for copy in copies:
        assert READER.look(account.aws, copy.target, NOW) == copy

    described = {call: times for call, times in before.items() if call.startswith("sagemaker:Describe")}
    assert described == {
        "sagemaker:DescribeEndpoint": 1,
        "sagemaker:DescribeEndpointConfig": 1,
        "sagemaker:DescribePipeline": 1,
        "sagemaker:DescribeTrainingJob": 1,
    }
    calls = account.box.calls()
    assert (before["sagemaker:Search"], calls.get("sagemaker:Search")) == (2, None)
    again = {call: times for call, times in calls.items() if call.startswith("sagemaker:Describe")}
    assert again == {"sagemaker:DescribeEndpoint": 1, "sagemaker:DescribeEndpointConfig": 1}
    for listed in ("ListModels", "ListTrainingJobs", "ListEndpoints", "ListEndpointConfigs", "ListPipelines"):
        assert calls[f"sagemaker:{listed}"] == len(copies) == 10


def test_only_what_search_does_not_know_of_models_is_described(account: Account) -> None:
    """Its index lags behind: the model that it does not show keeps its artifact all the same."""
    account.pair()
    account.box.set_durations({"search.index": 600})
    with account.box.at(NOW - timedelta(hours=1)):
        for number in range(5):
            account.model(f"old-{number}", ModelDataUrl="s3://elsewhere/model.tar.gz")
    account.model("new", ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    serve(account, "new")
    account.box.clear_calls()

    assert words(account.swept())[COPY] == "kept"
    assert account.box.calls()["sagemaker:DescribeModel"] == 1

    account.box.fault("sagemaker", "DescribeModel", "deny", times=0)
    account.aws.lasting.clear()
    assert words(account.swept())[COPY] == "unknown"


def test_looking_again_reads_model_packages_anew(account: Account) -> None:
    """UpdateModelPackage changes their containers too, and their listing does not say when."""
    account.pair()
    account.model_package("elsewhere.tar.gz", ModelPackageName="churn")
    (copy,) = account.copies()
    account.box.clear_calls()

    account.again(copy)

    assert account.box.calls()["sagemaker:DescribeModelPackage"] == 1


@pytest.mark.parametrize("change", ["endpoint", "configuration", "pipeline", "model"])
def test_looking_again_sees_what_was_changed_or_made_under_an_old_name(account: Account, change: str) -> None:
    account.pair()
    account.model("served", Image="i")
    account.model(Image="i")
    serve(account, "served")
    account.pipeline("{}")
    (copy,) = account.copies()
    assert isinstance(READER.decide(copy, NOW), Finding)

    account.sagemaker.delete_model(ModelName="churn")
    account.box.set_clock(NOW + timedelta(seconds=1))
    account.model(ModelDataUrl=f"s3://{BUCKET}/{COPY}")
    if change == "pipeline":
        account.sagemaker.update_pipeline(PipelineName="nightly", PipelineDefinition='{"Model": "churn"}')
    elif change != "model":
        name = "live-Config" if change == "configuration" else "next"
        account.sagemaker.delete_endpoint_config(EndpointConfigName="live-Config")
        configure(account, name, "churn")
        if change == "endpoint":
            account.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=name)

    verdict = of_type(Kept, account.again(copy))

    served = "model churn refers to it"
    assert ("model churn, which nothing serves refers" if change == "model" else served) in verdict.reason


def test_looking_at_what_is_gone_no_artifact_or_alone(account: Account) -> None:
    account.pair()
    account.put("notes.txt")
    account.put("alone.tar.gz", size=3 * MIB)
    account.bucket("another")
    detector = DuplicateArtifacts(buckets=("another",))
    target = by_key(account.swept())[COPY].target

    def looked(key: str) -> Any:
        candidate = detector.look(account.aws, replace(target, arn=f"arn:aws:s3:::{BUCKET}/{key}"), NOW)
        return candidate and detector.decide(candidate, NOW)

    assert looked("gone.tar.gz") is None
    assert looked("alone.tar") is None  # although another key begins like it
    assert "not a model artifact" in looked("notes.txt").reason
    assert looked("alone.tar.gz").reason == "no other artifact of its size is a model by itself"
    assert isinstance(looked(COPY), Finding)

    account.s3.delete_object(Bucket=BUCKET, Key="a/model.tar.gz")
    assert isinstance(looked(COPY), Kept)


def test_what_was_replaced_since_it_was_listed_is_unknown(account: Account) -> None:
    account.pair()
    account.box.fault(
        "s3", "HeadObject", "error", times=0, status=412, code="PreconditionFailed", match="b/model"
    )

    assert words(account.swept()) == {"a/model.tar.gz": "unknown", COPY: "unknown"}
