"""Which call a read is tried with, and what its answer says."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.model import Shape

from conftest import ACCOUNT, NOW
from fakes import refusal
from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector, Grant, allow, implied_grant
from ml_janitor_cli.probes import (
    METRIC_QUERY,
    MISSING_NAME,
    ProbeAccount,
    ProbeAnswer,
    ProbeCall,
    ProbeResult,
    judge_answer,
    prepare_probe,
    probe_grants,
    without_listing,
)
from scripted import DENIED, Script
from tables import cases

IN_A_BUCKET = ProbeAccount(now=NOW, bucket="our-bucket")


@pytest.fixture
def aws() -> Aws:
    """An account that nothing is asked of."""
    return Script({}).aws()


def prepared(aws: Aws, grant: Grant) -> ProbeCall:
    """The call for *grant*, which there has to be."""
    made = prepare_probe(aws, grant, IN_A_BUCKET)
    assert isinstance(made, ProbeCall)
    return made


# --- every read of every detector ------------------------------------------------------------------


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_every_read_is_probed_or_implied(detector: type[Detector[Any]], aws: Aws) -> None:
    explained = {
        grant for grant in detector().reads if isinstance(prepare_probe(aws, grant, IN_A_BUCKET), str)
    }

    assert explained == {grant for grant in detector().reads if grant.implied}


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_its_probes_only_read_and_are_well_formed(detector: type[Detector[Any]], aws: Aws) -> None:
    for grant in (grant for grant in detector().reads if not grant.implied):
        made = prepared(aws, grant)

        assert re.match(r"(Batch)?(List|Describe|Get|Head|Lookup|Search)", made.operation)
        model = aws.client(made.service).meta.service_model.operation_model(made.operation)  # type: ignore[arg-type]
        if model.input_shape is not None:
            check(model.input_shape, made.parameters)


def check(shape: Shape, value: Any) -> None:
    """What AWS would refuse before it asks whether the call is allowed, which would look like a yes."""
    match shape.type_name:
        case "structure":
            assert value.keys() <= shape.members.keys()  # type: ignore[attr-defined]
            assert value.keys() >= set(shape.required_members)
            for name, member in value.items():
                check(shape.members[name], member)  # type: ignore[attr-defined]
        case "list":
            assert len(value) >= shape.metadata.get("min", 0)
            for member in value:
                check(shape.member, member)  # type: ignore[attr-defined]
        case "string":
            assert value
            assert re.fullmatch(shape.metadata.get("pattern", ".*"), value)
            assert value in (getattr(shape, "enum", None) or [value])
            assert shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 10_000)
        case "integer" | "long":
            assert shape.metadata.get("min", 0) <= value <= shape.metadata.get("max", value)


# --- how a call is made ----------------------------------------------------------------------------


IN_SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012"
A_REPOSITORY = f"arn:aws:ecr:us-east-1:123456789012:repository/{MISSING_NAME}"
JOBS = "/aws/sagemaker/TrainingJobs"
AN_HOUR = {"StartTime": NOW - timedelta(hours=1), "EndTime": NOW, "MetricDataQueries": [METRIC_QUERY]}
TODAY = {"TimePeriod": {"Start": "2026-10-06", "End": "2026-10-06"}}
A_GROUP = {"ModelPackageGroupName": MISSING_NAME, "MaxResults": 1}


@cases(
    "action, on, call, parameters",
    ("sagemaker:ListEndpoints", None, "", {"MaxResults": 1}),
    ("tag:GetResources", None, "resourcegroupstaggingapi:GetResources", {"ResourcesPerPage": 1}),
    ("s3:ListBucket", None, "s3:ListObjectsV2", {"Bucket": "our-bucket", "MaxKeys": 1}),
    ("s3:GetObject", None, "s3:HeadObject", {"Bucket": "our-bucket", "Key": MISSING_NAME}),
    (
        "s3:GetObject", "arn:aws:s3:::models/old/*", "s3:HeadObject",
        {"Bucket": "models", "Key": f"old/{MISSING_NAME}"},
    ),
    ("sagemaker:DescribeEndpoint", "endpoint/*", "", {"EndpointName": MISSING_NAME}),
    (
        "sagemaker:ListTags", "training-job/*", "",
        {"ResourceArn": f"{IN_SAGEMAKER}:training-job/{MISSING_NAME}", "MaxResults": 50},
    ),
    ("sagemaker:ListTags", "*/*", "", {"ResourceArn": f"{IN_SAGEMAKER}:endpoint/{MISSING_NAME}"}),
    ("sagemaker:ListModelPackages", "model-package-group/*", "", A_GROUP),
    ("ecr:ListTagsForResource", "repository/*", "", {"resourceArn": A_REPOSITORY}),
    (
        "logs:GetLogEvents", f"log-group:{JOBS}:*", "",
        {"logGroupName": JOBS, "logStreamName": MISSING_NAME, "limit": 1},
    ),
    ("pricing:GetProducts", None, "", {"ServiceCode": "AmazonSageMaker"}),
    ("cloudwatch:GetMetricData", None, "", AN_HOUR),
    ("athena:GetWorkGroup", "workgroup/janitor", "", {"WorkGroup": "janitor"}),
    ("ce:GetTags", None, "", TODAY),
)  # fmt: skip
def test_a_probe_asks_where_the_grant_holds(
    aws: Aws, action: str, on: str | None, call: str, parameters: Mapping[str, Any]
) -> None:
    made = prepared(aws, allow(action) if on is None else allow(action, on=on))

    assert f"{made.service}:{made.operation}" == (call or action)
    assert parameters.items() <= made.parameters.items()


@cases(
    "grant, why",
    (
        implied_grant("kms:Decrypt", source="S3 says so"),
        "no call has this name; it is demanded beside others (S3 says so)",
    ),
    (allow("s3:GetObject"), "there is none"),
    (allow("s3:GetBucketTagging", on="arn:aws:s3:::*"), "there is none"),
    (allow("sagemaker:ReadMinds"), "no call is known that needs this action only"),
    (allow("minds:Read"), "no call is known that needs this action only"),
    (allow("athena:StartQueryExecution"), "a query costs money, so the next run tries it"),
)
def test_what_is_not_probed_is_explained(aws: Aws, grant: Grant, why: str) -> None:
    assert prepare_probe(aws, grant, ProbeAccount(now=NOW, no_bucket="there is none")) == why


def test_listing_the_buckets_needs_none(aws: Aws) -> None:
    assert isinstance(prepare_probe(aws, allow("s3:ListAllMyBuckets"), ProbeAccount(now=NOW)), ProbeCall)


# --- what an answer says ---------------------------------------------------------------------------


@cases(
    "error, answer",
    (None, ProbeAnswer.ALLOWED),
    (refusal("ValidationException"), ProbeAnswer.ALLOWED),
    (refusal("ResourceNotFound"), ProbeAnswer.ALLOWED),
    (refusal("404", status=404), ProbeAnswer.ALLOWED),
    (refusal("NoSuchTagSet", status=404), ProbeAnswer.ALLOWED),
    (refusal("AccessDenied", status=403), ProbeAnswer.REFUSED),
    (refusal("AccessDeniedException"), ProbeAnswer.REFUSED),
    (refusal("403", status=403), ProbeAnswer.REFUSED),
    (refusal("ThrottlingException"), ProbeAnswer.FAILED),
    (refusal("SlowDown", status=503), ProbeAnswer.FAILED),
    (refusal("ExpiredToken", status=403), ProbeAnswer.FAILED),
    (refusal("UnrecognizedClientException"), ProbeAnswer.FAILED),
    (refusal("InternalFailure", status=500), ProbeAnswer.FAILED),
    (EndpointConnectionError(endpoint_url="https://nowhere"), ProbeAnswer.FAILED),
    ids=str,
)
def test_only_a_denial_is_a_refusal(error: Exception | None, answer: ProbeAnswer) -> None:
    assert judge_answer(allow("sagemaker:DescribeEndpoint"), error).answer is answer


def test_awss_own_words_are_kept() -> None:
    said = judge_answer(allow("sagemaker:DescribeEndpoint"), refusal("AccessDeniedException")).why

    assert said == "DeleteEndpoint: AccessDeniedException: no"


def test_a_bug_is_no_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        judge_answer(allow("sagemaker:DescribeEndpoint"), ZeroDivisionError())


@cases(
    "action, before, after",
    ("s3:GetObject", ProbeAnswer.REFUSED, ProbeAnswer.NOT_PROBED),
    ("s3:GetObjectTagging", ProbeAnswer.REFUSED, ProbeAnswer.NOT_PROBED),
    ("s3:GetObject", ProbeAnswer.ALLOWED, ProbeAnswer.ALLOWED),
    ("s3:GetObject", ProbeAnswer.FAILED, ProbeAnswer.FAILED),
    ("s3:GetBucketTagging", ProbeAnswer.REFUSED, ProbeAnswer.REFUSED),
    ("sagemaker:ListEndpoints", ProbeAnswer.REFUSED, ProbeAnswer.REFUSED),
)
def test_a_denied_object_says_nothing_alone(action: str, before: ProbeAnswer, after: ProbeAnswer) -> None:
    assert without_listing(ProbeResult(allow(action), before)).answer is after


# --- all at once -----------------------------------------------------------------------------------

LISTS = allow("s3:ListBucket")
READS = allow("s3:GetObject", on="arn:aws:s3:::theirs/*")
ENDS = allow("sagemaker:DescribeEndpoint", on="endpoint/*")
DEFAULT = f"sagemaker-us-east-1-{ACCOUNT}"
QUERY = allow("athena:StartQueryExecution")


def test_each_grant_is_tried_once_and_s3_on_the_first_bucket_that_the_account_has() -> None:
    script = Script(
        {
            "s3:ListBuckets": [{"Buckets": [{"Name": "others"}]}, {"Buckets": [{"Name": "second"}]}],
            "s3:ListObjectsV2": {},
            "s3:HeadObject": DENIED,
            "sagemaker:DescribeEndpoint": DENIED,
        }
    )

    answers = probe_grants(
        script.aws(), [LISTS, READS, ENDS, QUERY, LISTS], now=NOW, buckets=["first", "second"]
    )

    assert [(each.grant, each.answer, each.bucket) for each in answers] == [
        (LISTS, ProbeAnswer.ALLOWED, "second"),
        (READS, ProbeAnswer.REFUSED, "theirs"),
        (ENDS, ProbeAnswer.REFUSED, None),
        (QUERY, ProbeAnswer.NOT_PROBED, None),
    ]
    assert [asked["Bucket"] for asked in script.asked("s3:ListObjectsV2")] == ["second"]
    assert {asked["BucketRegion"] for asked in script.asked("s3:ListBuckets")} == {"us-east-1"}


@cases(
    "listed, bucket, why",
    ({"Buckets": [{"Name": DEFAULT}]}, DEFAULT, ""),
    (
        {"Buckets": [{"Name": "others"}]},
        None,
        f"none of these buckets is in this account and region to try it on: first, {DEFAULT}",
    ),
    (DENIED, None, "the account's buckets could not be listed to try it on one"),
)
def test_the_default_bucket_is_tried_else_none(listed: Any, bucket: str | None, why: str) -> None:
    script = Script({"s3:ListBuckets": listed, "s3:ListObjectsV2": DENIED, "s3:HeadObject": DENIED})

    lists, reads = probe_grants(script.aws(), [LISTS, READS], now=NOW, buckets=["first"])

    assert (lists.bucket, lists.why if bucket is None else "") == (bucket, why)
    assert lists.answer is (ProbeAnswer.REFUSED if bucket else ProbeAnswer.NOT_PROBED)
    assert reads.answer is ProbeAnswer.NOT_PROBED
    assert "without s3:ListBucket" in reads.why


def test_no_bucket_is_looked_for_where_none_is_needed_and_a_bug_is_raised() -> None:
    script = Script({"sagemaker:DescribeEndpoint": DENIED})
    assert len(probe_grants(script.aws(), [ENDS], now=NOW, buckets=["first"])) == 1

    with pytest.raises(AssertionError, match="s3:ListBuckets has no answer"):
        probe_grants(script.aws(), [LISTS], now=NOW, buckets=["first"])
