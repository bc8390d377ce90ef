"""EMR clusters that only wait, and HyperPod clusters, of which AWS does not say whether they work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import metrics, tags
from ml_janitor.aws.answers import attempt
from ml_janitor.aws.arns import Arn, target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.metrics import GET_METRIC_DATA, Metric, Series
from ml_janitor.aws.prices import GET_PRODUCTS, Price, together
from ml_janitor.aws.sagemaker_kinds import CLUSTER, describe, listing
from ml_janitor.core.cost import HOURS_PER_MONTH, Cost
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Candidate, Confidence, Rule, Verdict
from ml_janitor.core.signals import Absent, Evidence, NotRead, Signal, Unreadable, Value, evidence, given
from ml_janitor.core.text import usd
from ml_janitor.engine.detector import Detector, allow

EMR = "elasticmapreduce"
LIST, DESCRIBE = f"{EMR}:ListClusters", f"{EMR}:DescribeCluster"
INSTANCES, POLICY = f"{EMR}:ListInstances", f"{EMR}:GetAutoTerminationPolicy"
WAITING = "WAITING"
ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", WAITING)
HOUR = timedelta(hours=1)

NOT_YARN = frozenset(
    {"flink", "hbase", "jupyterhub", "jupyterenterprisegateway", "phoenix", "presto", "prestosql", "trino"}
)
"""Applications whose work need not be a job of YARN's, so that `IsIdle` does not count it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Candidate):
    """
    A cluster of EMR or HyperPod, and how many instances of which type it has.

    Of EMR, *idle* are its hours of `IsIdle`, 1 where every check found no work; *timeout* is after how much
    idle time it ends by itself, or None if it does not. *applications* are what is installed on it, in lower
    case, *release* its version of EMR. Of HyperPod, *hourly* is what its instances cost, but for those that
    were paid in advance.
    """

    status: str
    instances: Signal[Mapping[str, int]] = field(default_factory=NotRead)
    idle: Signal[Series] = field(default_factory=NotRead)
    timeout: Signal[timedelta | None] = field(default_factory=NotRead)
    applications: frozenset[str] = frozenset()
    release: str = ""
    hourly: Price = field(default_factory=lambda: Price(None, "not asked"))

    @property
    def emr(self) -> bool:
        """Whether it is EMR's."""
        return f":{EMR}:" in self.target.arn


@dataclass(frozen=True)
class IdleClusters(Detector[Cluster]):
    """
    Finds EMR clusters that only wait, and says what HyperPod clusters cost.

    Nothing that AWS publishes says whether a HyperPod cluster works: that stays unknown.
    """

    name = "idle-clusters"
    schedule = "cron(35 6 * * ? *)"
    kinds = (CLUSTER.type,)
    own_tags = False  # EMR's description has them as they are
    reads = (
        allow(LIST),
        *(allow(one, on=CLUSTER.every) for one in (DESCRIBE, INSTANCES, POLICY)),
        allow(CLUSTER.lists),
        allow(CLUSTER.describes, on=CLUSTER.every),
        *(allow(one) for one in (tags.GET_RESOURCES, GET_METRIC_DATA, GET_PRODUCTS)),
    )

    idle_for: timedelta = timedelta(days=1)
    proposed: timedelta = timedelta(hours=1)

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Two services call something a cluster that is judged here."""
        return arn.kind == CLUSTER.type and arn.service in {"sagemaker", EMR}

    def find(self, aws: Aws, now: datetime) -> Iterator[Cluster]:
        """All clusters that are there; of EMR's that only waited, also what they are and when they end."""
        listed = aws.listing(LIST, "Clusters", partial(_emr, aws), ClusterStates=[*ALIVE])
        end = metrics.period_start(now, 3600)
        waiting = {one.target.arn: _metric(one) for one in listed.items if one.status == WAITING}
        read = metrics.read(aws, waiting.values(), end - self.idle_for, end)

        def whole(one: Cluster) -> Cluster:
            if one.target.arn not in waiting:
                return one
            known = replace(one, idle=read[waiting[one.target.arn]])
            return _described(aws, known) if self.busy(known, now) is None else known

        yield from aws.map(whole, listed.items)
        book = tags.in_bulk(aws, "sagemaker:cluster")
        pods = listing(
            aws, CLUSTER, lambda one: Cluster(target=CLUSTER.target(aws, one), status=one["ClusterStatus"])
        )
        for pod in pods.items:
            yield _priced(aws, replace(pod, target=replace(pod.target, tags=book.of(pod.target.arn))))
        listed.check()
        pods.check()

    def decide(self, candidate: Cluster, now: datetime) -> Verdict:
        """Every hour must have been read, and no check in it have found work."""
        rule = Rule()
        rule.saw(evidence("instances", candidate.instances, _counted))
        if not candidate.emr:
            return self.pod(candidate, rule)
        rule.saw(Evidence("status", candidate.status, source=LIST))
        if (busy := self.busy(candidate, now)) is not None:
            why, unknown = busy
            return rule.unknown(why) if unknown else rule.kept(why)
        rule.saw(Evidence("hours without work", self.idle_for // HOUR, source=GET_METRIC_DATA))
        if not isinstance(candidate.timeout, Value):
            why = getattr(candidate.timeout, "error", "not read")
            return rule.unknown(f"whether it ends by itself could not be read ({why})")
        if (outside := sorted(candidate.applications & NOT_YARN)) != []:
            return rule.unknown(f"IsIdle does not count all work of {', '.join(outside)}")
        if (timeout := candidate.timeout.value) is not None:
            still = "; EMR sees use that IsIdle does not count" if timeout < self.idle_for else ""
            return rule.kept(f"it ends by itself after {ago(timeout)} without use{still}")
        identity = candidate.target.arn.rpartition("/")[2]
        seconds = int(self.proposed.total_seconds())
        return rule.found(
            f"no check of {ago(self.idle_for)} found a task or a job, and nothing ends it",
            Confidence.LIKELY,
            action=f"aws emr put-auto-termination-policy --cluster-id {identity} --auto-termination-policy"
            f" IdleTimeout={seconds}"
            if _ends_itself(candidate.release)
            else f"aws emr terminate-clusters --cluster-ids {identity}, once what is needed of HDFS is in S3",
            cost=Cost.saving(None, "EMR has no price list here"),
            noun="idle EMR cluster",
            to_prove="that nobody works on it outside of YARN, in a shell or a Python kernel",
        )

    def busy(self, one: Cluster, now: datetime) -> tuple[str, bool] | None:
        """Why an EMR cluster is not idle, and whether that is for lack of knowledge; None if it is."""
        if one.status != WAITING:
            return f"its status is {one.status}", False
        created = one.target.created
        if created is None or now - created < self.idle_for + HOUR:
            return f"younger than {ago(self.idle_for)}", False
        if not isinstance(one.idle, Value):
            return f"IsIdle could not be read ({getattr(one.idle, 'error', 'there is no datapoint')})", True
        if (worked := [at for at, value in one.idle.value.points if value < 1]) != []:
            return f"it worked in the hour from {worked[-1]:%Y-%m-%d %H:%M} UTC", False
        hours = len({at for at, _ in one.idle.value.points})
        if hours < self.idle_for // HOUR:
            return f"IsIdle was published in {hours} of {self.idle_for // HOUR} hours", True
        return None

    def pod(self, one: Cluster, rule: Rule) -> Verdict:
        """A HyperPod cluster: what it costs, and no word on whether it works."""
        if not isinstance(one.instances, Value):
            return rule.unknown(
                f"its instances are unknown ({getattr(one.instances, 'error', 'it is gone')})"
            )
        if not any(one.instances.value.values()):
            return rule.kept("no instance runs, or all of them were paid in advance")
        price = one.hourly.hourly_usd
        costs = "an unknown sum" if price is None else f"{usd(price * HOURS_PER_MONTH)}"
        return rule.unknown(
            f"it costs {costs} a month, and no metric of AWS's says whether it works: its scheduler does"
        )


def _emr(aws: Aws, entry: Mapping[str, Any]) -> Cluster:
    """An entry of EMR's listing, which has no tags."""
    status = entry["Status"]
    created = status["Timeline"]["CreationDateTime"]
    own = target_in(aws, entry["ClusterArn"], entry["Name"], CLUSTER.type, created)
    return Cluster(target=own, status=status["State"])


def _metric(one: Cluster) -> Metric:
    """The lowest that `IsIdle` was in each hour: it is checked every five minutes."""
    identity = one.target.arn.rpartition("/")[2]
    return Metric.of("AWS/ElasticMapReduce", "IsIdle", stat="Minimum", JobFlowId=identity)


def _described(aws: Aws, one: Cluster) -> Cluster:
    """*one* with its tags, what is installed, its instances, and when it ends by itself."""
    client, identity = aws.client("emr"), one.target.arn.rpartition("/")[2]
    found = attempt(lambda: client.describe_cluster(ClusterId=identity)["Cluster"], source=DESCRIBE)
    timeout = attempt(lambda: _timeout(client.get_auto_termination_policy(ClusterId=identity)), source=POLICY)
    wanted = {"ClusterId": identity, "InstanceStates": ["RUNNING"]}
    listed = aws.listing(INSTANCES, "Instances", lambda each: str(each["InstanceType"]), **wanted)
    if not isinstance(found, Value):
        return replace(one, timeout=Unreadable(getattr(found, "error", "it is gone"), DESCRIBE))
    own = {tag["Key"]: tag.get("Value", "") for tag in found.value.get("Tags", ())}
    return replace(
        one,
        target=replace(one.target, tags=Value(own, DESCRIBE)),
        instances=given(listed.signal(INSTANCES), Counter),
        timeout=timeout,
        applications=frozenset(each["Name"].lower() for each in found.value.get("Applications", ())),
        release=found.value.get("ReleaseLabel", ""),
    )


def _timeout(answer: Mapping[str, Any]) -> timedelta | None:
    seconds = answer.get("AutoTerminationPolicy", {}).get("IdleTimeout")
    return None if seconds is None else timedelta(seconds=seconds)


def _ends_itself(release: str) -> bool:
    """Whether that release of EMR has auto-termination: from 5.30 and 6.1 on (management guide)."""
    found = re.fullmatch(r"emr-(\d+)\.(\d+)\..*", release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return version >= (5, 30) and version != (6, 0)


def _priced(aws: Aws, one: Cluster) -> Cluster:
    """A HyperPod cluster with its instances that are paid by the hour, and what they cost together."""
    match describe(aws, CLUSTER, one.target.name):
        case Value(found):
            groups = [each for each in found.get("InstanceGroups", ()) if "TrainingPlanArn" not in each]
            counts = Counter[str]()
            for each in groups:
                counts[each["InstanceType"]] += each["CurrentCount"]
        case Unreadable() as unread:
            return replace(one, instances=unread)
        case _:
            return replace(one, instances=Absent(CLUSTER.describes))
    hourly = together((n, aws.prices.hourly(aws.region, "Cluster", name)) for name, n in counts.items())
    return replace(one, instances=Value(counts, CLUSTER.describes), hourly=hourly)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
