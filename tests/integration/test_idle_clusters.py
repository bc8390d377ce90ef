"""idle-clusters over the sandbox's EMR and HyperPod: what is read of whom, and what cannot be read."""

from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import DAY, NOW
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Kept, Value
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.idle_clusters import IdleClusters
from ml_janitor_sandbox.control import Control
from narrowing import of_type
from tables import cases
from verdicts import by_name, sweep_once


@pytest.fixture
def emr(session: boto3.Session) -> Any:
    return session.client("emr")


def made(emr: Any, name: str, **members: Any) -> str:
    group = {"InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2}
    usual = {
        "Name": name,
        "ReleaseLabel": "emr-7.9.0",
        "Applications": [{"Name": "Spark"}],
        "Instances": {"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": True},
        "Tags": [{"Key": "team", "Value": "search"}],
    }
    return str(emr.run_job_flow(**usual | members)["JobFlowId"])


def checked(box: Control, identity: str, idle: list[float]) -> None:
    """The last checks, five minutes apart, up to now."""
    series = {
        "metric": "IsIdle",
        "dimensions": {"JobFlowId": identity},
        "start": NOW - len(idle) * timedelta(minutes=5),
        "step": 300,
        "values": idle,
    }
    box.metrics("AWS/ElasticMapReduce", [series])


def swept(aws: Aws) -> Sweep:
    """Within an hour that does not count yet."""
    return sweep_once(IdleClusters(), aws, NOW + timedelta(minutes=25))


def test_only_clusters_that_waited_all_day_are_described(aws: Aws, box: Control, emr: Any) -> None:
    with box.at(NOW - 9 * DAY):
        idle, busy = made(emr, "idle"), made(emr, "busy")
        made(emr, "ended", Instances={"KeepJobFlowAliveWhenNoSteps": False})
        ends = made(emr, "ends", AutoTerminationPolicy={"IdleTimeout": 600})
    instances = emr.list_instances(ClusterId=idle)["Instances"]
    fewer = [{"InstanceGroupId": instances[0]["InstanceGroupId"], "InstanceCount": 1}]
    emr.modify_instance_groups(ClusterId=idle, InstanceGroups=fewer)
    for identity in (idle, ends):
        checked(box, identity, [1.0] * 300)
    checked(box, busy, [1.0] * 150 + [0.0] + [1.0] * 149)
    box.clear_calls()

    found = by_name(swept(aws))

    assert found.keys() == {"idle", "busy", "ends"}
    assert isinstance(found["idle"].verdict, Finding)
    assert found["idle"].target.tags == Value({"team": "search"}, "elasticmapreduce:DescribeCluster")
    assert {one.signal: one.value for one in found["idle"].verdict.evidence}["instances"] == "1 m5.xlarge"
    assert "it worked in the hour" in found["busy"].verdict.reason
    assert "it ends by itself after 10 minutes" in found["ends"].verdict.reason
    assert box.calls()["elasticmapreduce:DescribeCluster"] == 2


def test_more_clusters_than_a_page(aws: Aws, emr: Any) -> None:
    for number in range(53):
        made(emr, f"c{number}")

    assert len(by_name(swept(aws))) == 53


@cases(
    "operation, reason",
    ("DescribeCluster", "whether it ends by itself could not be read"),
    ("GetAutoTerminationPolicy", "whether it ends by itself could not be read"),
)
def test_a_denied_read_is_unknown(aws: Aws, box: Control, emr: Any, operation: str, reason: str) -> None:
    with box.at(NOW - 9 * DAY):
        checked_one = made(emr, "idle")
    checked(box, checked_one, [1.0] * 300)
    box.fault("elasticmapreduce", operation, "deny")

    verdict = of_type(Kept, by_name(swept(aws))["idle"].verdict)

    assert verdict.unknown
    assert reason in verdict.reason


def test_a_hyperpod_cluster_is_unknown_with_its_cost(aws: Aws, box: Control, session: boto3.Session) -> None:
    group: Any = {
        "InstanceCount": 2,
        "InstanceGroupName": "workers",
        "InstanceType": "ml.g5.xlarge",
        "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-a/b", "OnCreate": "on_create.sh"},
        "ExecutionRole": "arn:aws:iam::123456789012:role/ml",
    }
    session.client("sagemaker").create_cluster(ClusterName="research", InstanceGroups=[group])

    sweep = swept(aws)
    (one,) = sweep.results

    assert sweep.error is None
    assert isinstance(one.verdict, Kept)
    assert one.verdict.unknown
    assert "it costs $2,062 a month" in one.verdict.reason  # 2 x 1.412 x 730

    box.fault("elasticmapreduce", "ListClusters", "deny")
    assert "elasticmapreduce:ListClusters broke off" in (swept(aws).error or "")
