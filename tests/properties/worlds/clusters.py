"""Random clusters of EMR that wait, work or end by themselves, and HyperPod's, of which nobody knows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import DAY, EXEMPT, HOUR, MINUTE, ROLE, UNKEPT, Account, Kind, Thing

DETECTOR = "idle-clusters"
LISTINGS = {DETECTOR: {"elasticmapreduce:ListClusters", "sagemaker:ListClusters"}}
CHECK = 5 * MINUTE


@dataclass(frozen=True, kw_only=True)
class Cluster(Thing):
    """
    A cluster of EMR with one *application*, *made* so long ago; it *goes on* without steps, or ends.

    A check found that it *worked* so long ago, or none did; checks of the hour that began *unchecked* ago are
    missing. It *ends* after so much idle time, or never by itself: half an answer to GetAutoTerminationPolicy
    is what AWS answers for a cluster without one, so that nobody can tell them apart.
    """

    calls = (
        "elasticmapreduce:ListClusters",
        "elasticmapreduce:DescribeCluster",
        "elasticmapreduce:ListInstances",
        "cloudwatch:GetMetricData",
        "sagemaker:ListClusters",
        "sagemaker:DescribeCluster",
        "tag:GetResources",
    )

    made: timedelta
    goes_on: bool
    worked: timedelta | None
    unchecked: timedelta | None
    ends: timedelta | None
    application: str

    def build(self, account: Account) -> None:
        account.be(self.made)
        emr = account.session.client("emr")
        group: Any = {"InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2}
        asked: dict[str, Any] = {
            "Name": account.name("cluster"),
            "ReleaseLabel": "emr-7.9.0",
            "Applications": [{"Name": self.application}],
            "Instances": {"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": self.goes_on},
            "Tags": self.labels.listed,
        }
        if self.ends is not None:
            asked["AutoTerminationPolicy"] = {"IdleTimeout": int(self.ends.total_seconds())}
        made = emr.run_job_flow(**asked)
        for start, values in self.checks():
            where, since = {"JobFlowId": made["JobFlowId"]}, account.now - start
            account.measure(("AWS/ElasticMapReduce", "IsIdle"), where, values, since=since, step=300)
        waits = self.goes_on and self.made >= DAY + HOUR
        silent = (self.worked is None or self.worked > DAY) and (
            self.unchecked is None or self.unchecked > DAY
        )
        counted = self.application == "Spark" and self.ends is None
        needs = {"elasticmapreduce:DescribeCluster", "cloudwatch:GetMetricData", self.calls[0]}
        account.claim(
            DETECTOR,
            made["ClusterArn"],
            waste=waits and silent and counted and not self.labels.exempt,
            needs=needs,
        )

    def checks(self) -> list[tuple[timedelta, list[float]]]:
        """The checks of two days at most: how long ago a run of them began, and its values."""
        runs: list[tuple[timedelta, list[float]]] = []
        ago, before = min(self.made, 2 * DAY), None
        while ago > timedelta():
            missing = self.unchecked is not None and self.unchecked - HOUR < ago <= self.unchecked
            if not missing:
                if before != ago + CHECK:
                    runs.append((ago, []))
                runs[-1][1].append(0.0 if ago == self.worked else 1.0)
                before = ago
            ago -= CHECK
        return runs


@dataclass(frozen=True, kw_only=True)
class Pod(Thing):
    """A HyperPod cluster: whether it works, no metric says."""

    calls = Cluster.calls

    count: int

    def build(self, account: Account) -> None:
        account.be(90 * DAY)
        group: Any = {
            "InstanceCount": self.count,
            "InstanceGroupName": "workers",
            "InstanceType": "ml.g5.xlarge",
            "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-a/b", "OnCreate": "on_create.sh"},
            "ExecutionRole": ROLE,
        }
        sagemaker: Any = account.sagemaker
        made = sagemaker.create_cluster(
            ClusterName=account.name("pod"), InstanceGroups=[group], Tags=self.labels.listed
        )
        account.claim(DETECTOR, made["ClusterArn"], waste=False)


CLUSTERS = Kind.of(
    Cluster,
    labels=(UNKEPT, EXEMPT),
    made=([9 * DAY, DAY + HOUR], [DAY + HOUR - MINUTE, 5 * HOUR]),
    goes_on=([True], [False]),
    worked=([None, DAY + CHECK], [CHECK, 12 * HOUR, DAY]),
    unchecked=([None, DAY + HOUR], [HOUR, DAY]),
    ends=([None], [10 * MINUTE, 2 * DAY]),
    application=(["Spark"], ["Trino", "JupyterHub"]),
)
PODS = Kind.of(Pod, labels=(UNKEPT[:1], EXEMPT[:1]), count=([2],))
KINDS = (CLUSTERS, PODS)
