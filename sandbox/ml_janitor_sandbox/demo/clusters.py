"""The demo's EMR clusters: made by hand for a piece of work, and mostly forgotten after it."""

from dataclasses import dataclass
from datetime import timedelta

from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.rows import Row, load, read
from ml_janitor_sandbox.demo.times import NOW, workday
from ml_janitor_sandbox.demo.traffic import Series

DETECTOR = "idle-clusters"
CHECK = timedelta(minutes=5)
"""How often EMR looks whether a cluster works."""
NUMBERS = {
    name: number
    for number, name in enumerate((name for name in read("clusters.toml")["clusters"] if name != "*"), 1)
}
"""Clusters are numbered as they are made: the first of all is j-0000000000001."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Row):
    """A cluster with an *application*, which last *worked* so many hours ago; its *timeout* is in seconds."""

    age: float
    worked: float
    instance: str
    instances: int
    application: str = "Spark"
    timeout: int = 0

    @property
    def id(self) -> str:
        return f"j-{NUMBERS[self.name]:013X}"

    @property
    def arn(self) -> str:
        return f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/{self.id}"

    def plan(self, plan: Plan) -> None:
        """Make it, and have EMR say every five minutes whether it works."""
        made = workday(self.age, self.name)
        policy = {"AutoTerminationPolicy": {"IdleTimeout": self.timeout}} if self.timeout else {}
        group = {"InstanceRole": "MASTER", "InstanceType": self.instance, "InstanceCount": self.instances}
        plan.call(
            made,
            self.creator,
            "emr.run_job_flow",
            Name=self.name,
            ReleaseLabel="emr-7.9.0",
            Applications=[{"Name": self.application}],
            Instances={"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": True},
            JobFlowRole="EMR_EC2_DefaultRole",
            ServiceRole="EMR_DefaultRole",
            Tags=self.tags(),
            **policy,
        )
        idle = int(timedelta(hours=self.worked) / CHECK)
        busy = max(int((NOW - made) / CHECK) - idle, 0)
        checks = (0.0,) * busy + (1.0,) * idle
        checked = Series(NOW - (busy + idle) * CHECK, CHECK, checks)
        plan.publish("AWS/ElasticMapReduce", "IsIdle", {"JobFlowId": self.id}, checked)


CLUSTERS = load("clusters.toml", Cluster)
