"""The decide table of cross-region-traffic, and how addresses and usage types are read."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from fakes import target_at
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.runs import transfer_regions
from ml_janitor.core.model import Absent, Confidence, Cost, Finding, SweepNote, Unreadable, Value
from ml_janitor.detectors import cross_region_traffic
from ml_janitor.detectors.commitments import Commitments
from ml_janitor.detectors.cross_region_traffic import (
    CrossRegionTraffic,
    RunningProgram,
    TrafficLine,
    TransferCause,
    TransferWay,
    bucket_addresses,
    buckets_by_region,
    find_replications,
    find_senders,
    find_vpcs_without_gateway,
    list_programs,
)
from narrowing import of_type
from past_jobs import word
from scripted import DENIED as DENIES
from scripted import Refusal, Script, Torn
from tables import cases
from verdicts import expect_verdict, shown

GB = 1024**3
READER = TransferCause("model search is given s3://catalog/", TransferWay.READS, "s3://catalog/")
OTHER = TransferCause("training job eval is given s3://clicks/", TransferWay.READS, "s3://clicks/")
RULE = TransferCause(
    "replication rule all of catalog writes to copies",
    TransferWay.REPLICATES,
    "replication rule all of catalog",
)
USED = TransferCause(
    "replication rule all of clicks writes to far", TransferWay.REPLICATES, "rule", "model search"
)
DENIED = Unreadable("ListObjectsV2: AccessDenied")


def line(*causes: TransferCause, **more: Any) -> TrafficLine:
    name = "USE1-EUC1-AWS-Out-Bytes/GetObject"
    target = target_at(f"usage-type/{name}", None, service="ce")
    fields: dict[str, Any] = {
        "target": target,
        "operation": "GetObject",
        "to": "eu-central-1",
        "monthly": Decimal(200),
        "gb": Decimal(10_000),
        "causes": Value(causes),
        "size": Value(1000 * GB) if causes and causes[0].way is TransferWay.READS else Absent(),
        "copy": Cost(monthly_usd=Decimal("26.45")),
    }
    return TrafficLine(**(fields | more))


@cases(
    "judged, verdict, reason",
    (line(READER), "found", "$200 a month for bytes from us-east-1 to eu-central-1 (GetObject): model"),
    (line(READER, OTHER), "found", "model search is given s3://catalog/, training job eval is given"),
    (line(READER, monthly=Decimal("9.99")), "kept", "it costs $9.99 a month"),
    (line(), "unknown", "unknown cause: $200 a month for bytes from us-east-1 to eu-central-1"),
    (line(causes=Absent()), "unknown", "unknown cause: $200 a month"),
    (line(causes=Unreadable("Search: denied")), "unknown", "unknown cause: $200 a month"),
    (line(causes=Unreadable("Search: denied")), "unknown", "Search: denied"),
    (line(READER, gb=Decimal(1000)), "kept", "no more than the data once"),
    (line(READER, gb=Decimal(1001)), "found", "model search"),
    (line(READER, size=DENIED), "unknown", "AccessDenied"),
    (line(READER, copy=Cost(monthly_usd=Decimal(191))), "kept", "a copy would save $9.00"),
    (line(READER, copy=Cost(monthly_usd=Decimal(250))), "kept", "a copy would save $0.00"),
    (line(READER, copy=Cost()), "found", "how much of it a change saves is unknown"),
    (line(RULE), "found", "replication rule all of catalog writes to copies"),
    (line(USED), "kept", "replication rule all of clicks writes to far, and model search uses the copy"),
    (line(USED, RULE), "found", "how much of it a change saves is unknown"),
    (
        line(
            TransferCause("vpc-1 has a NAT gateway", TransferWay.NAT, "vpc-1"), to="", operation="NatGateway"
        ),
        "found",
        "$200 a month for bytes from us-east-1 through NAT gateways (NatGateway): vpc-1",
    ),
)
def test_cross_region_traffic(judged: TrafficLine, verdict: str, reason: str) -> None:
    expect_verdict(CrossRegionTraffic().decide(judged, NOW), verdict, reason)


WRITER = TransferCause("job", TransferWay.WRITES, "s3://far/")
PULLER = TransferCause("job", TransferWay.IMAGES, "serving")


@cases(
    "judged, saved, once, change",
    (line(READER), "173.55", 20, "copy s3://catalog/ once to a bucket in eu-central-1"),
    (line(READER, copy=Cost()), None, None, "copy s3://catalog/ once"),
    (line(RULE), "200", None, "disable the replication rule all of catalog, or limit it"),
    (line(USED, RULE), None, None, "disable the replication rule all of catalog, or limit it"),
    (line(WRITER), None, None, "write to a bucket in us-east-1 in place of"),
    (line(PULLER), None, None, "name it by the registry of eu-central-1"),
    (
        line(TransferCause("vpc-1", TransferWay.NAT, "modify-vpc-endpoint --add"), to=""), None, None,
        "and by the gigabyte): aws ec2 modify-vpc-endpoint --add",
    ),
)  # fmt: skip
def test_it_says_what_a_change_saves_net_and_the_change(
    judged: TrafficLine, saved: str | None, once: int | None, change: str
) -> None:
    """A copy of 1000 GB is kept, and moved once at what the bill says of a gigabyte: $0.02."""
    decided = of_type(Finding, CrossRegionTraffic().decide(judged, NOW))

    assert decided.cost
    assert (decided.cost.monthly_usd, decided.cost.once_usd) == (saved and Decimal(saved), once)
    assert change in decided.action
    assert (decided.confidence, bool(decided.to_prove)) == (Confidence.LIKELY, True)


def test_each_way_has_a_change_and_a_proof_of_its_own() -> None:
    decided = of_type(Finding, CrossRegionTraffic().decide(line(WRITER, PULLER), NOW))
    writing, pulling = decided.action.split("; ")

    assert "in place of s3://far/, and send" in writing
    assert "that are pulled there (serving)" in pulling
    assert decided.to_prove.startswith("server access logs of the bucket that is written to; CloudTrail's")


@cases(
    "text, found",
    ("s3://catalog/images/", ["s3://catalog/images/"]),
    ("s3a://catalog/day=1/part-*.parquet", ["s3://catalog/day=1/"]),
    ('{"from": "s3://catalog/a", "to": "s3://clicks/b"}', ["s3://catalog/a", "s3://clicks/b"]),
    ("https://catalog.s3.us-east-1.amazonaws.com/a/b.jpg", ["s3://catalog/a/b.jpg"]),
    ("arn:aws:s3:::catalog/a", ["s3://catalog/a"]),
    ("s3://catalog", ["s3://catalog/"]),
    (" catalog ", ["s3://catalog/"]),
    ("catalog of images", []),
    ("s3://catalog-2/images/", []),
    ("s3://my.catalog/images/", []),
    ("https://example.com/catalog", []),
)
def test_an_address_is_known_however_it_is_written(text: str, found: list[str]) -> None:
    assert list(bucket_addresses([text], {"catalog", "clicks"})) == found


@cases(
    "usage_type, regions",
    ("USE1-EUC1-AWS-Out-Bytes", ("us-east-1", "eu-central-1")),
    ("EU-USW2-AWS-Out-ABytes", ("eu-west-1", "us-west-2")),
    ("USE1-XYZ9-AWS-Out-Bytes", ("us-east-1", "XYZ9")),
    ("XYZ9-USE1-AWS-Out-Bytes", ("XYZ9", "us-east-1")),
    ("EUC1-USE1-AWS-In-Bytes", None),
    ("USE1-DataTransfer-Out-Bytes", None),
    ("DataTransfer-Regional-Bytes", None),
)
def test_a_usage_type_says_where_bytes_go(usage_type: str, regions: tuple[str, str] | None) -> None:
    assert transfer_regions(usage_type) == regions


FAR = "eu-central-1"
NAMES: dict[str, list[str]] = {
    REGION: ["here", "catalog"],
    FAR: ["far"],
    "": ["here", "catalog", "far", "other"],
}


def listed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Two pages of the buckets of a region, or of all."""
    names, second = NAMES[asked.get("BucketRegion", "")], "ContinuationToken" in asked
    page = [{"Name": name} for name in (names[1:] if second else names[:1])]
    return {"Buckets": page} if second else {"Buckets": page, "ContinuationToken": "1"}


def test_buckets_are_those_of_both_regions_and_the_names_of_all_others() -> None:
    found = buckets_by_region(Script({"s3:ListBuckets": listed}).aws(), FAR)

    assert found == {"here": REGION, "catalog": REGION, "far": FAR, "other": ""}


@pytest.mark.parametrize("region", ["", REGION, FAR])
def test_a_listing_of_buckets_that_broke_off_is_an_error(region: str) -> None:
    """Else a bucket that is not known would stand for one of another account, or for none of here."""

    def broken(asked: Mapping[str, Any]) -> Any:
        cut = asked.get("BucketRegion", "") == region and "ContinuationToken" in asked
        return DENIES if cut else listed(asked)

    with pytest.raises(ReadError, match="ListBuckets broke off after 1: ListBuckets: AccessDenied"):
        buckets_by_region(Script({"s3:ListBuckets": broken}).aws(), FAR)


def replicates(destination: str, **more: Any) -> dict[str, Any]:
    return {"Status": "Enabled", "ID": "all", "Destination": {"Bucket": f"arn:aws:s3:::{destination}"}} | more


def replicated(
    *rules: dict[str, Any], there: Collection[RunningProgram] = (), refused: Refusal | None = None
) -> list[TransferCause]:
    """What replicates from "here", the one bucket of this region, by its *rules*."""
    role = f"arn:aws:iam::{ACCOUNT}:role/replicates"
    answer = {"ReplicationConfiguration": {"Role": role, "Rules": list(rules)}}
    script = Script({"s3:GetBucketReplication": refused or answer})
    found = list(find_replications(script.aws(), FAR, {"here": REGION, "far": FAR, "other": ""}, there))
    assert [asked["Bucket"] for asked in script.asked("s3:GetBucketReplication")] == ["here"]
    return found


def test_only_rules_in_force_that_write_there_replicate() -> None:
    reader = RunningProgram("model search", ("s3://far/a",), ("s3://far/a",))
    rule = "replication rule all of here"

    assert replicated(
        replicates("far"), replicates("here"), replicates("other"), replicates("far", Status="Disabled")
    ) == [TransferCause(f"{rule} writes to far", TransferWay.REPLICATES, rule)]
    assert replicated(replicates("far"), there=[reader])[0].used == "model search"
    assert replicated(replicates("theirs"), there=[reader])[0].used == "another account, perhaps,"
    (unnamed,) = replicated({key: value for key, value in replicates("far").items() if key != "ID"})
    assert unnamed.about == "replication rule without a name of here"


@pytest.mark.parametrize("code", ["ReplicationConfigurationNotFoundError", "NoSuchBucket"])
def test_a_bucket_without_replication_replicates_nothing(code: str) -> None:
    assert replicated(refused=Refusal(code)) == []


def test_a_replication_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ReadError, match="here: GetBucketReplication: AccessDenied"):
        replicated(refused=DENIES)


def registry(*rules: dict[str, Any]) -> Aws:
    answer = {"registryId": ACCOUNT, "replicationConfiguration": {"rules": list(rules)}}
    return Script({"ecr:DescribeRegistry": answer}).aws()


def test_programs_and_registries_send_bytes_there() -> None:
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/churn:1"
    elsewhere = f"{ACCOUNT}.dkr.ecr.{FAR}.amazonaws.com/churn:1"
    here = [RunningProgram("training job eval", ("s3://far/out", "s3://here/in"), ())]
    there = [RunningProgram("model search", (image, elsewhere), ())]
    rules = [
        {"destinations": [{"region": "eu-west-1", "registryId": ACCOUNT}]},
        {
            "destinations": [
                {"region": "eu-west-1", "registryId": ACCOUNT},
                {"region": FAR, "registryId": ACCOUNT},
            ],
            "repositoryFilters": [{"filter": "team-", "filterType": "PREFIX_MATCH"}],
        },
        {"destinations": [{"region": FAR, "registryId": ACCOUNT}]},
    ]

    assert list(find_senders(registry(*rules), FAR, ["far"], here, there)) == [
        TransferCause("training job eval is given s3://far/out", TransferWay.WRITES, "s3://far/out"),
        TransferCause(f"model search is given the image {image}", TransferWay.IMAGES, image),
        TransferCause("the registry replicates team-* there", TransferWay.IMAGES, "team-*"),
        TransferCause(
            "the registry replicates every repository there", TransferWay.IMAGES, "every repository"
        ),
    ]


def routes(table: str, vpc: str, to: str) -> dict[str, Any]:
    return {"RouteTableId": table, "VpcId": vpc, "Routes": [{"GatewayId": "local"}, {"NatGatewayId": to}]}


def test_route_tables_to_a_nat_gateway_need_an_available_gateway_endpoint() -> None:
    ends = {"VpcId": "vpc-2", "VpcEndpointId": "vpce-2", "State": "available", "RouteTableIds": ["rtb-2"]}
    script = Script(
        {
            "ec2:DescribeVpcEndpoints": [
                {"VpcEndpoints": [{**ends, "VpcId": "vpc-1", "State": "failed", "RouteTableIds": ["rtb-1"]}]},
                {"VpcEndpoints": [ends]},
            ],
            "ec2:DescribeNatGateways": [
                {"NatGateways": [{"NatGatewayId": f"nat-{number}"}]} for number in (1, 2)
            ],
            "ec2:DescribeRouteTables": [
                {"RouteTables": [routes("rtb-1", "vpc-1", "nat-1"), routes("rtb-2", "vpc-2", "nat-2")]},
                {"RouteTables": [routes("rtb-3", "vpc-1", "nat-1"), routes("rtb-4", "vpc-2", "nat-2")]},
                {"RouteTables": [routes("rtb-5", "vpc-5", "nat-gone")]},
            ],
        }
    )

    assert [cause.about for cause in find_vpcs_without_gateway(script.aws())] == [
        (
            f"create-vpc-endpoint --vpc-endpoint-type Gateway --service-name com.amazonaws.{REGION}.s3"
            " --vpc-id vpc-1 --route-table-ids rtb-1 rtb-3"
        ),
        "modify-vpc-endpoint --vpc-endpoint-id vpce-2 --add-route-table-ids rtb-4",
    ]
    assert {"Name": "state", "Values": ["available"]} in script.asked("ec2:DescribeNatGateways")[0]["Filter"]
    assert script.asked("ec2:DescribeVpcEndpoints")[0]["Filters"] == [
        {"Name": "service-name", "Values": [f"com.amazonaws.{REGION}.s3"]},
        {"Name": "vpc-endpoint-type", "Values": ["Gateway"]},
    ]


SINCE = NOW - 30 * DAY


def searched(models: Sequence[dict[str, Any]] = (), jobs: Sequence[dict[str, Any]] = ()) -> Any:
    def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
        found = jobs if asked["Resource"] == "TrainingJob" else models
        return Torn({"Results": [{asked["Resource"]: one} for one in found]})

    return answer


def model(name: str, **more: Any) -> dict[str, Any]:
    container = {"Image": "image", "Environment": {"FROM": f"s3://{name}/"}}
    return {"Model": {"ModelName": name, "PrimaryContainer": container}} | more


def test_programs_are_models_in_use_and_jobs_of_the_time() -> None:
    used = [
        model("served", Endpoints=[{"EndpointName": "api"}]),
        model("unused"),
        model("transforms", LastBatchTransformJob={"CreationTime": SINCE + timedelta(seconds=1)}),
        model("transformed", LastBatchTransformJob={"CreationTime": SINCE}),
    ]
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    job = {
        "TrainingJobName": "eval-2026-10-05-1",
        "TrainingJobArn": f"{arn}:training-job/eval-2026-10-05-1",
        "CreationTime": SINCE + DAY,
        "HyperParameters": {"data": "s3://eval/"},
    }
    processing = {
        "ProcessingJobName": "prep-2026-10-05-1",
        "ProcessingJobArn": f"{arn}:processing-job/prep-2026-10-05-1",
        "CreationTime": SINCE + DAY,
        "ProcessingJobStatus": "Completed",
    }
    described = Torn(
        processing | {"Environment": {"TO": "s3://prep/"}, "AppSpecification": {"ImageUri": "image"}}
    )
    script = Script(
        {
            "sagemaker:Search": searched(used, [job]),
            "sagemaker:ListProcessingJobs": {"ProcessingJobSummaries": [processing]},
            "sagemaker:DescribeProcessingJob": described,
        }
    )

    found = list_programs(script.aws(), SINCE, NOW)

    assert {one.name: one.given for one in found} == {
        "training job eval": ("s3://eval/",),
        "model served": ("s3://served/",),
        "model transforms": ("s3://transforms/",),
        "processing job prep": ("s3://prep/",),
    }
    assert "image" in found[-1].texts
    assert script.asked("sagemaker:ListProcessingJobs")[0]["CreationTimeAfter"] == SINCE

    for operation in ("sagemaker:ListProcessingJobs", "sagemaker:DescribeProcessingJob"):
        refused = Script(script.answers | {operation: DENIES})
        with pytest.raises(ReadError, match=operation.partition(":")[2]):
            list_programs(refused.aws(), SINCE, NOW)
    for record in ("Model", "TrainingJob"):

        def search(asked: Mapping[str, Any], record: str = record) -> Any:
            return DENIES if asked["Resource"] == record else searched()(asked)

        with pytest.raises(ReadError, match=f"Search of {record} broke off"):
            list_programs(Script(script.answers | {"sagemaker:Search": search}).aws(), SINCE, NOW)
    gone = Refusal("ValidationException", "Could not find the job")
    assert (
        len(
            list_programs(
                Script(script.answers | {"sagemaker:DescribeProcessingJob": gone}).aws(), SINCE, NOW
            )
        )
        == 3
    )


def test_what_was_seen_of_a_line_of_the_bill() -> None:
    many = [
        TransferCause(f"model {n} is given s3://c{n}/", TransferWay.READS, f"s3://c{n}/") for n in range(4)
    ]
    one, several = (
        CrossRegionTraffic().decide(line(*causes), NOW) for causes in ([READER], [*many, many[0]])
    )

    assert shown(one) == {
        "charged a month": "$200",
        "gigabytes a month": 10_000.0,
        "may cause it": "model search is given s3://catalog/",
        "how sure": "the only one known",
        "data that is read": "1,000 GB",
    }
    assert shown(several)["may cause it"].endswith("s3://c2/ and 1 more")
    assert shown(several)["how sure"] == "one of 5"
    three = CrossRegionTraffic().decide(line(*many[:3]), NOW)
    assert shown(three)["may cause it"].endswith("model 2 is given s3://c2/")


@cases(
    "judged, least, verdict",
    (line(READER), 200.0, "kept"),
    (line(READER, copy=Cost(monthly_usd=Decimal(0))), 200.0, "found"),
    (line(READER, copy=Cost(monthly_usd=Decimal(0))), 200.01, "kept"),
    (line(RULE), 200.0, "found"),
    (line(RULE), 200.01, "kept"),
)
def test_as_much_as_is_worth_a_change_is_enough(judged: TrafficLine, least: float, verdict: str) -> None:
    assert word(CrossRegionTraffic(min_saving=least).decide(judged, NOW)) == verdict


def stored(sizes: Mapping[str, int | Refusal]) -> Any:
    def answer(asked: Mapping[str, Any]) -> Any:
        size = sizes[f"s3://{asked['Bucket']}/{asked['Prefix']}"]
        if isinstance(size, Refusal):
            return size
        entry = {"Key": f"{asked['Prefix']}x", "Size": size, "LastModified": NOW, "ETag": "e"}
        return {"IsTruncated": False, "KeyCount": int(size > 0), "Contents": [entry] if size else []}

    return answer


@cases(
    "sizes, left, size",
    ({"s3://a/": 5, "s3://b/": 7}, ["s3://a/", "s3://b/"], Value(12)),
    ({"s3://a/": 5, "s3://a/in/": 4}, ["s3://a/", "s3://a/in/"], Value(5)),
    ({"s3://a/": 5, "s3://b/": 0}, ["s3://a/"], Value(5)),
    ({"s3://a/": 0}, [], Value(0)),
    ({"s3://a/": DENIES, "s3://b/": 7}, ["s3://a/", "s3://b/"], None),
)
def test_the_data_that_is_read_counts_once_and_only_where_it_is(
    sizes: dict[str, int | Refusal], left: list[str], size: Value[int] | None
) -> None:
    """A folder within another is part of it; what is empty is no cause; what is denied makes all unknown."""
    causes = [TransferCause(f"reads {uri}", TransferWay.READS, uri) for uri in sizes]
    script = Script({"s3:ListObjectsV2": stored(sizes), "pricing:GetProducts": {"PriceList": []}})

    read = cross_region_traffic._sized(script.aws(), line(*causes, size=Absent(), copy=None))

    assert [cause.about for cause in of_type(Value, read.causes).value] == left
    if size is None:
        assert "AccessDenied" in getattr(read.size, "error", "")
    else:
        assert read.size == size
    assert (read.copy is None) is (size is None)


def test_what_nothing_reads_has_no_size() -> None:
    judged = line(RULE)

    assert cross_region_traffic._sized(Script({}).aws(), judged) is judged


@pytest.mark.parametrize("detector", [CrossRegionTraffic(), Commitments()])
@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_where_cost_explorer_cannot_be_asked_a_note_says_so_and_no_alarm_rings(
    detector: CrossRegionTraffic | Commitments, region: str
) -> None:
    script = Script({})

    (note,) = detector.find(script.aws(region), NOW)

    assert script.calls == []
    assert of_type(SweepNote, note).text.startswith("Cost Explorer is not asked in partition aws-")


def test_jobs_are_listed_in_the_region_that_the_bytes_go_to_too() -> None:
    anywhere = {grant.action for grant in CrossRegionTraffic.reads if grant.anywhere}

    assert anywhere == {"sagemaker:Search", "sagemaker:ListProcessingJobs"}
