"""The decide table of idle-clusters."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from fakes import target_at
from ml_janitor.aws.activity import MetricSeries
from ml_janitor.aws.prices import Price
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import Absent, Confidence, Finding, NotRead, Unreadable, Value
from ml_janitor.detectors import idle_clusters
from ml_janitor.detectors.idle_clusters import ComputeCluster, IdleClusters
from narrowing import not_none, of_type
from scripted import DENIED as REFUSED
from scripted import Refusal, Script, Torn
from tables import cases
from verdicts import expect_verdict, shown

DENIED = Unreadable("denied")


def hours(*worked: int, missing: int = 0) -> Value[MetricSeries]:
    """A day of hours before now, in which it worked in those that began so many hours ago."""
    ago = range(24, missing, -1)
    points = [(NOW - each * HOUR, 0.0 if each in worked else 1.0) for each in ago]
    return Value(MetricSeries(tuple(points)))


def cluster(*, created: datetime | None = NOW - 9 * DAY, **members: Any) -> ComputeCluster:
    """An EMR cluster that has waited for a day, and does not end by itself."""
    target = target_at("cluster/j-1", created, name="reports", service="elasticmapreduce")
    known: dict[str, Any] = {
        "status": "WAITING",
        "instances": Value({"m5.xlarge": 3}),
        "idle": hours(),
        "timeout": Value(None),
        "release": "emr-7.9.0",
        "applications": Value(frozenset({"spark", "hadoop"})),
    }
    return ComputeCluster(target=target, **known | members)


def pod(**members: Any) -> ComputeCluster:
    one = cluster(status="InService", **members)
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:cluster/abc"
    return replace(one, target=replace(one.target, arn=arn), idle=NotRead(), timeout=NotRead())


PRICED = Price(Decimal("4.545"), "Price List API")


@cases(
    "candidate, verdict, reason",
    (cluster(), "found", "no check of 24 hours found a task or a job, and nothing ends it"),
    (cluster(status="RUNNING"), "kept", "its status is RUNNING"),
    (cluster(created=NOW - 25 * HOUR + timedelta(seconds=1)), "kept", "younger than 24 hours"),
    (cluster(created=NOW - 25 * HOUR), "found", "no check"),
    (cluster(idle=hours(24)), "kept", "it worked in the hour from 2026-10-05 03:00 UTC"),
    (cluster(idle=hours(1)), "kept", "it worked in the hour from 2026-10-06 02:00 UTC"),
    (cluster(idle=hours(missing=1)), "unknown", "IsIdle was published in 23 of 24 hours"),
    (cluster(idle=hours(5, missing=1)), "kept", "it worked in the hour"),
    (cluster(idle=Absent()), "unknown", "IsIdle could not be read (there is no datapoint)"),
    (cluster(idle=DENIED), "unknown", "IsIdle could not be read (denied)"),
    (cluster(timeout=DENIED), "unknown", "whether it ends by itself could not be read (denied)"),
    (cluster(timeout=NotRead()), "unknown", "whether it ends by itself could not be read (not read)"),
    (cluster(timeout=Value(2 * DAY)), "kept", "it ends by itself after 2 days without use"),
    (cluster(timeout=Value(HOUR)), "kept", "without use; EMR sees use that IsIdle does not count"),
    (
        cluster(applications=Value(frozenset({"spark", "trino"}))),
        "unknown",
        "does not count all work of trino",
    ),
    (cluster(applications=DENIED), "unknown", "its applications could not be read"),
    (cluster(instances=DENIED), "found", "no check"),
    (pod(hourly=PRICED), "unknown", "it costs $3,318 a month, and no metric of AWS's says whether it works"),
    (pod(), "unknown", "it costs an unknown sum a month"),
    (pod(instances=Value({"ml.g5.xlarge": 0})), "kept", "no instance runs"),
    (pod(instances=Value({})), "kept", "no instance runs, or all of them were paid in advance"),
    (pod(instances=DENIED), "unknown", "its instances are unknown (denied)"),
)
def test_idle_clusters(candidate: ComputeCluster, verdict: str, reason: str) -> None:
    expect_verdict(IdleClusters().decide(candidate, NOW), verdict, reason)


@cases(
    "release, command",
    ("emr-7.9.0", "put-auto-termination-policy --cluster-id j-1 --auto-termination-policy IdleTimeout=3600"),
    ("emr-5.30.0", "put-auto-termination-policy"),
    ("emr-6.1.0", "put-auto-termination-policy"),
    ("emr-5.29.0", "terminate-clusters --cluster-ids j-1"),
    ("emr-6.0.1", "terminate-clusters --cluster-ids j-1"),
    ("", "terminate-clusters --cluster-ids j-1"),
)
def test_the_change_to_make_and_a_saving_that_is_unknown(release: str, command: str) -> None:
    found = of_type(Finding, IdleClusters().decide(cluster(release=release), NOW))

    assert f"aws emr {command}" in found.action
    assert found.confidence is Confidence.LIKELY
    assert not not_none(found.cost).known


@cases(
    "application",
    "flink",
    "hbase",
    "jupyterhub",
    "jupyterenterprisegateway",
    "phoenix",
    "presto",
    "prestosql",
    "trino",
)
def test_work_outside_of_yarn_may_go_on_unseen(application: str) -> None:
    decided = IdleClusters().decide(cluster(applications=Value(frozenset({"spark", application}))), NOW)

    assert decided.reason == f"IsIdle does not count all work of {application}"


def test_it_judges_the_clusters_of_two_services() -> None:
    judged = [
        IdleClusters.judges(Arn.parse(f"arn:aws:{service}:us-east-1:{ACCOUNT}:{kind}/x"))
        for service, kind in (("sagemaker", "cluster"), ("elasticmapreduce", "cluster"), ("ecs", "cluster"))
    ]

    assert judged == [True, True, False]


def test_what_was_seen_of_a_cluster() -> None:
    both = IdleClusters().decide(cluster(instances=Value({"m5.xlarge": 3, "c5.large": 1})), NOW)
    none = IdleClusters().decide(cluster(instances=Value({})), NOW)
    running = IdleClusters().decide(cluster(status="RUNNING"), NOW)

    assert shown(both) == {
        "instances": "1 c5.large, 3 m5.xlarge",
        "status": "WAITING",
        "hours without work": 24,
    }
    assert shown(none)["instances"] == "none"
    assert shown(running) == {"instances": "3 m5.xlarge", "status": "RUNNING"}
    assert isinstance(both, Finding)
    assert both.cost
    assert both.cost.source == "EMR has no price list here"


@cases(
    "member, words",
    ({"created": None}, "younger than 24 hours"),
    ({"timeout": Value(DAY)}, "after 24 hours without use"),
)
def test_of_unknown_age_and_a_timeout_as_long_as_the_idle_time(member: Any, words: str) -> None:
    """EMR sees no other use where the timeout is not over yet."""
    kept = IdleClusters().decide(cluster(**member), NOW)

    assert not isinstance(kept, Finding)
    assert kept.reason.endswith(words)


POD, CLUSTER, POLICY = (
    "sagemaker:DescribeCluster",
    "elasticmapreduce:DescribeCluster",
    "elasticmapreduce:GetAutoTerminationPolicy",
)
HOSTS = "elasticmapreduce:ListInstances"
NO = "AccessDeniedException: denied"
GROUP = {"InstanceType": "ml.g5.xlarge", "CurrentCount": 2, "TargetCount": 3}
FLEXIBLE = {
    "InstanceTypeDetails": [
        {"InstanceType": "ml.g5.xlarge", "CurrentCount": 1},
        {"InstanceType": "ml.g6.xlarge", "CurrentCount": 7},
    ]
}


@cases(
    "answer, instances",
    ({"CreationTime": NOW, "InstanceGroups": [GROUP, GROUP]}, Value({"ml.g5.xlarge": 4}, POD)),
    ({"CreationTime": NOW, "InstanceGroups": [GROUP | {"TrainingPlanArn": "arn"}]}, Value({}, POD)),
    ({"CreationTime": NOW, "InstanceGroups": []}, Value({}, POD)),
    ({"CreationTime": NOW}, Unreadable("its description has no InstanceGroups", POD)),
    (
        {"InstanceGroups": [GROUP, FLEXIBLE], "RestrictedInstanceGroups": [GROUP]},
        Value({"ml.g5.xlarge": 5, "ml.g6.xlarge": 7}, POD),
    ),
    (Refusal("ResourceNotFound"), Absent(POD)),
    (REFUSED, Unreadable(f"cluster j-1: DescribeCluster: {NO}", POD)),
)
def test_hyperpod_pays_for_its_running_instances_by_the_hour(answer: Any, instances: Any) -> None:
    read = Torn(answer) if isinstance(answer, dict) else answer
    named = replace(pod(), target=replace(pod().target, name="j-1"))
    aws = Script({"sagemaker:DescribeCluster": read}).aws(prices=NoPrices())

    assert idle_clusters._priced(aws, named).instances == instances


class NoPrices:
    """No price list."""

    def hourly(self, *_: str) -> Price:
        return Price(None, "no price list")


@cases(
    "answers, expected",
    ({}, {"timeout": Value(None, POLICY), "release": "emr-7.9.0"}),
    (
        {"emr:GetAutoTerminationPolicy": {"AutoTerminationPolicy": {"IdleTimeout": 90}}},
        {"timeout": Value(timedelta(seconds=90), POLICY)},
    ),
    (
        {"emr:DescribeCluster": REFUSED},
        {"timeout": Unreadable(f"DescribeCluster: {NO}", CLUSTER), "release": ""},
    ),
    (
        {"emr:ListInstances": REFUSED},
        {"instances": Unreadable(f"{HOSTS} broke off after 0: ListInstances: {NO}", HOSTS)},
    ),
)
def test_what_is_read_of_a_cluster_that_waits(answers: Any, expected: dict[str, Any]) -> None:
    described = {
        "ReleaseLabel": "emr-7.9.0",
        "Applications": [{"Name": "Spark"}],
        "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c"}],
    }
    script = Script(
        {
            "emr:DescribeCluster": {"Cluster": described},
            "emr:GetAutoTerminationPolicy": {},
            "emr:ListInstances": {
                "Instances": [{"InstanceType": "m5.xlarge"}, {"InstanceType": "m5.xlarge"}]
            },
            **answers,
        }
    )
    empty = replace(
        cluster(), instances=NotRead(), timeout=NotRead(), release="", applications=Value(frozenset())
    )

    read = idle_clusters._described(script.aws(), empty)

    assert {name: getattr(read, name) for name in expected} == expected
    assert all(asked["ClusterId"] == "j-1" for _, asked in script.calls)
    if not answers:
        assert read.target.tags == Value({"a": "b", "c": ""}, "elasticmapreduce:DescribeCluster")
        assert read.applications == Value(frozenset({"spark"}), "elasticmapreduce:DescribeCluster")
        assert read.instances == Value({"m5.xlarge": 2}, "elasticmapreduce:ListInstances")


def test_one_that_runs_is_kept_without_any_further_question() -> None:
    entry = {
        "Id": "j-1",
        "Name": "etl",
        "ClusterArn": f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/j-1",
        "Status": {"State": "RUNNING", "Timeline": {"CreationDateTime": NOW - DAY}},
    }
    script = Script(
        {
            "emr:ListClusters": [{"Clusters": []}, {"Clusters": [entry]}],
            "sagemaker:ListClusters": {"ClusterSummaries": []},
            "resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []},
        }
    )

    (one,) = IdleClusters().find(script.aws(), NOW)

    assert (one.target.name, one.target.created, one.status) == ("etl", NOW - DAY, "RUNNING")
    assert "its status is RUNNING" in IdleClusters().decide(one, NOW).reason
    assert script.asked("emr:ListClusters")[0]["ClusterStates"] == [
        "STARTING",
        "BOOTSTRAPPING",
        "RUNNING",
        "WAITING",
    ]
