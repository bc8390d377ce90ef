"""What cross-region-traffic reads of VPCs, registries and the bill itself, on the sandbox."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import boto3
import pytest

import one_of_each
from conftest import ACCOUNT, NOW, REGION
from fakes import candidates
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Kept, Verdict
from ml_janitor.detectors.cross_region_traffic import CrossRegionTraffic
from ml_janitor_sandbox.control import Control
from past_jobs import word
from sagemaker_requests import training_request

FAR: Literal["eu-west-1"] = "eu-west-1"
NAT, SENT = "NatGateway-Bytes/NatGateway", "USE1-EU-AWS-Out-Bytes/InterRegion-Out"


def judged(aws: Aws, **more: Any) -> Mapping[str, Verdict]:
    rule = CrossRegionTraffic(**more)
    return {one.target.name: rule.decide(one, NOW) for one in candidates(rule, aws, NOW)}


def charge(box: Control, usage: str, operation: str, **more: Any) -> None:
    line = {"service": "EC2 - Other", "usage_type": usage, "operation": operation, "unit": "GB", "usd": 90}
    days = {"start": NOW - timedelta(days=45), "end": NOW - timedelta(days=15)}
    at = {name: f"{day:%Y-%m-%dT00:00:00Z}" for name, day in days.items()}
    box.charge([line | at | {"quantity": 2000} | more])


def test_a_vpc_is_found_until_it_has_a_gateway(box: Control, session: boto3.Session, aws: Aws) -> None:
    charge(box, "NatGateway-Bytes", "NatGateway")
    charge(box, "USE1-RegionalNatGateway-Bytes", "NatGateway")
    ec2 = session.client("ec2")
    assert [word(verdict) for verdict in judged(aws).values()] == ["unknown", "unknown"]

    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.dynamodb")
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", VpcEndpointType="Interface")
    assert word(judged(aws)[NAT]) == "unknown", "nothing leads to the gateway"
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway["NatGatewayId"]
    )
    found = judged(aws)[NAT]
    assert (word(found), f"{vpc} has a NAT gateway" in found.reason) == ("found", True)

    ends: Any = {"VpcId": vpc, "ServiceName": f"com.amazonaws.{REGION}.s3", "VpcEndpointType": "Gateway"}
    ec2.create_vpc_endpoint(**ends)
    assert word(judged(aws)[NAT]) == "found", "it serves no route table"
    ec2.create_vpc_endpoint(**ends, RouteTableIds=[table])
    assert word(judged(aws)[NAT]) == "unknown"

    ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
    assert word(judged(aws)[NAT]) == "unknown"


def test_sent_bytes_may_be_images_or_outputs_of_jobs(box: Control, session: boto3.Session, aws: Aws) -> None:
    one_of_each.traffic(box)
    assert word(judged(aws)[SENT]) == "unknown"

    ecr = session.client("ecr")
    rule: Any = {"destinations": [{"region": FAR, "registryId": ACCOUNT}]}
    ecr.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    assert "the registry replicates every repository there" in judged(aws)[SENT].reason

    ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    session.client("s3", FAR).create_bucket(
        Bucket="far-results", CreateBucketConfiguration={"LocationConstraint": FAR}
    )
    session.client("sagemaker").create_training_job(
        **training_request("eval-1", out="s3://near/", HyperParameters={"results": "far-results"})
    )
    assert "training job eval is given s3://far-results/" in judged(aws)[SENT].reason


def test_read_bytes_go_to_a_program_that_is_given_a_bucket_here(
    box: Control, session: boto3.Session, aws: Aws
) -> None:
    charge(box, "USE1-EU-AWS-Out-Bytes", "GetObject")
    session.client("s3").create_bucket(Bucket="near-data")
    session.client("s3").put_object(Bucket="near-data", Key="x", Body=b"x")
    session.client("sagemaker", FAR).create_training_job(
        **training_request("eval-1", out="s3://far/", HyperParameters={"data": "s3://near-data/x"})
    )

    assert "eval is given s3://near-data/x" in judged(aws)["USE1-EU-AWS-Out-Bytes/GetObject"].reason


def test_only_lines_that_leave_the_region_in_whole_days_count(box: Control, aws: Aws) -> None:
    """15 of the 30 days of each charge lie in the window; what arrives is free, and not this region's."""
    for usage in ("USE1-USW2-AWS-Out-Bytes", "USW2-USE1-AWS-Out-Bytes", "EUC1-NatGateway-Bytes"):
        charge(box, usage, "InterRegion-Out")
    for record in ("Credit", "Refund", "Tax"):
        charge(box, "USE1-USW2-AWS-Out-Bytes", "InterRegion-Out", record_type=record, usd=-80)

    (line,) = candidates(CrossRegionTraffic(), aws, NOW)

    assert line.to == "us-west-2"
    assert float(line.monthly) == pytest.approx(45 * 730 / 720)
    assert float(line.gb) == pytest.approx(1000 * 730 / 720)


def test_a_region_that_is_not_known_has_no_known_cause(box: Control, aws: Aws) -> None:
    charge(box, "USE1-XYZ9-AWS-Out-Bytes", "GetObject")

    (verdict,) = judged(aws).values()

    assert isinstance(verdict, Kept)
    assert (verdict.unknown, "XYZ9 is not a region that is known here" in verdict.reason) == (True, True)


def test_it_asks_for_no_more_pages_than_it_may(box: Control, aws: Aws) -> None:
    for number in range(5):
        charge(box, f"USE1-EU-AWS-Out-Bytes{number}", "GetObject")
    box.set_bill(page=2)
    box.clear_calls()

    with pytest.raises(ReadError, match="the bill cannot be read, over the limit of requests"):
        judged(aws, max_requests=2)
    assert box.calls()["ce:GetCostAndUsage"] == 2


def test_a_bill_that_is_refused_is_an_error(box: Control, aws: Aws) -> None:
    box.set_bill(enabled=False)

    with pytest.raises(ReadError, match="not enabled: GetCostAndUsage: AccessDeniedException"):
        judged(aws)
