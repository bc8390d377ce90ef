"""EMR clusters that only wait, and HyperPod clusters, whose work AWS does not report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import activity, tags
from ml_janitor.aws.activity import GET_METRIC_DATA, Metric, MetricSeries
from ml_janitor.aws.calls import Listing, ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS, Price, total_price
from ml_janitor.aws.rented_instances import read_rented_instances
from ml_janitor.aws.sagemaker_kinds import CLUSTER, describe_resource, list_kind
from ml_janitor.aws.tags import Arn, target_in
from ml_janitor.core.durations import HOUR, format_age
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    Candidate,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
    map_signal,
)
from ml_janitor.core.text import count_noun, format_usd, quote_shell
from ml_janitor.engine.detector import Constant, Detector, allow

_EMR = "elasticmapreduce"
_LIST_CLUSTERS, _DESCRIBE_CLUSTER = f"{_EMR}:ListClusters", f"{_EMR}:DescribeCluster"
_LIST_INSTANCES, _GET_AUTO_TERMINATION = f"{_EMR}:ListInstances", f"{_EMR}:GetAutoTerminationPolicy"
_WAITING_STATUS = "WAITING"
_LIVE_STATUSES = ("STARTING", "BOOTSTRAPPING", "RUNNING", _WAITING_STATUS)

_NOT_YARN = frozenset(
    {"flink", "hbase", "jupyterhub", "jupyterenterprisegateway", "phoenix", "presto", "prestosql", "trino"}
)
"""Applications whose work need not be a job of YARN's, so that `IsIdle` does not count it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCluster(Candidate):
    """
    A cluster of EMR or HyperPod, with its instances by type.

    For EMR, *idle* are its hours of `IsIdle`, 1 where every check found no work; *timeout* is
    the idle time after which it ends by itself, or None if it does not. *applications* are its
    applications, in lower case, *release* its version of EMR. For HyperPod, *hourly* is the
    price of its instances, except those paid in advance.
    """

    status: str
    instances: Signal[Mapping[str, int]] = field(default_factory=NotRead)
    idle: Signal[MetricSeries] = field(default_factory=NotRead)
    timeout: Signal[timedelta | None] = field(default_factory=NotRead)
    applications: Signal[frozenset[str]] = field(default_factory=NotRead)
    release: str = ""
    hourly: Price = field(default_factory=lambda: Price(None, "not asked"))

    @property
    def emr(self) -> bool:
        """True for a cluster of EMR."""
        return f":{_EMR}:" in self.target.arn


@dataclass(frozen=True)
class IdleClusters(Detector[ComputeCluster]):
    """
    Finds EMR clusters that only wait, and shows the cost of HyperPod clusters.

    AWS publishes nothing that shows the work of a HyperPod cluster: that stays unknown.
    """

    name = "idle-clusters"
    schedule = "cron(35 6 * * ? *)"
    kinds = (CLUSTER.type,)
    own_tags = False  # EMR's description has current tags
    reads = (
        allow(_LIST_CLUSTERS),
        *(
            allow(action, on=CLUSTER.every)
            for action in (_DESCRIBE_CLUSTER, _LIST_INSTANCES, _GET_AUTO_TERMINATION)
        ),
        allow(CLUSTER.lists),
        allow(CLUSTER.describes, on=CLUSTER.every),
        *(allow(action) for action in (tags.GET_RESOURCES, GET_METRIC_DATA, GET_PRODUCTS)),
    )

    idle_for: Constant[timedelta] = timedelta(days=1)
    proposed: Constant[timedelta] = timedelta(hours=1)

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Return whether *arn* is a cluster of either service: two services use the word."""
        return arn.kind == CLUSTER.type and arn.service in {"sagemaker", _EMR}

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARNs of EMR's clusters *name*: their ARNs have ids, and several may share a name."""
        listed = _list_emr_clusters(aws)
        yield from (each.target.arn for each in listed.items if each.target.name == name)
        listed.check()

    def find(self, aws: Aws, now: datetime) -> Iterator[ComputeCluster]:
        """Yield all clusters; EMR clusters that only waited also with their applications and timeout."""
        listed = _list_emr_clusters(aws)
        end = activity.period_start(now, 3600)
        waiting = {
            cluster.target.arn: _metric(cluster)
            for cluster in listed.items
            if cluster.status == _WAITING_STATUS
        }
        read = activity.read_metrics(aws, waiting.values(), end - self.idle_for, end)

        def whole(cluster: ComputeCluster) -> ComputeCluster:
            if cluster.target.arn not in waiting:
                return cluster
            known = replace(cluster, idle=read[waiting[cluster.target.arn]])
            return _described(aws, known) if self.busy(known, now) is None else known

        yield from aws.map(whole, listed.items)
        book = tags.read_tag_book(aws, "sagemaker:cluster")
        pods = list_kind(
            aws,
            CLUSTER,
            lambda entry: ComputeCluster(target=CLUSTER.target(aws, entry), status=entry["ClusterStatus"]),
        )
        for pod in pods.items:
            yield _priced(aws, replace(pod, target=replace(pod.target, tags=book.of(pod.target.arn))))
        Listing.merged((listed, pods)).check()

    def decide(self, candidate: ComputeCluster, now: datetime) -> Verdict:
        """Judge a cluster: every hour must have been read, and no check in it may have found work."""
        rule = Rule()
        rule.saw(as_evidence("instances", candidate.instances, _counted))
        if not candidate.emr:
            return self.pod(candidate, rule)
        rule.saw(Evidence("status", candidate.status, source=_LIST_CLUSTERS))
        if (busy := self.busy(candidate, now)) is not None:
            why, unknown = busy
            return rule.unknown(why) if unknown else rule.kept(why)
        rule.saw(Evidence("hours without work", self.idle_for // HOUR, source=GET_METRIC_DATA))
        if not isinstance(candidate.timeout, Value) or not isinstance(candidate.applications, Value):
            unread = candidate.applications if isinstance(candidate.timeout, Value) else candidate.timeout
            what = "its applications" if unread is candidate.applications else "whether it ends by itself"
            return rule.unknown(f"{what} could not be read ({getattr(unread, 'error', 'not read')})")
        if (outside := sorted(candidate.applications.value & _NOT_YARN)) != []:
            return rule.unknown(f"IsIdle does not count all work of {', '.join(outside)}")
        if (timeout := candidate.timeout.value) is not None:
            still = "; EMR sees use that IsIdle does not count" if timeout < self.idle_for else ""
            return rule.kept(f"it ends by itself after {format_age(timeout)} without use{still}")
        identity = candidate.target.arn.rpartition("/")[2]
        seconds = int(self.proposed.total_seconds())
        return rule.found(
            f"no check of {format_age(self.idle_for)} found a task or a job, and nothing ends it",
            Confidence.LIKELY,
            action=f"end it after {format_age(self.proposed)} without use:"
            f" aws emr put-auto-termination-policy --cluster-id {quote_shell(identity)}"
            f" --auto-termination-policy IdleTimeout={seconds}"
            if _ends_itself(candidate.release)
            else "terminate the cluster once what is needed of HDFS is in S3:"
            f" aws emr terminate-clusters --cluster-ids {quote_shell(identity)}",
            cost=Cost.saving(None, "EMR has no price list here"),
            noun="idle EMR cluster",
            to_prove="that nobody works on it outside of YARN, in a shell or a Python kernel",
        )

    def busy(self, cluster: ComputeCluster, now: datetime) -> tuple[str, bool] | None:
        """Return why an EMR cluster is not idle, and whether for lack of data; None if it is idle."""
        if cluster.status != _WAITING_STATUS:
            return f"its status is {cluster.status}", False
        created = cluster.target.created
        if created is None or now - created < self.idle_for + HOUR:
            return f"younger than {format_age(self.idle_for)}", False
        if not isinstance(cluster.idle, Value):
            return (
                f"IsIdle could not be read ({getattr(cluster.idle, 'error', 'there is no datapoint')})",
                True,
            )
        if (worked := [at for at, value in cluster.idle.value.points if value < 1]) != []:
            return f"it worked in the hour from {worked[-1]:%Y-%m-%d %H:%M} UTC", False
        hours = len({at for at, _ in cluster.idle.value.points})
        if hours < self.idle_for // HOUR:
            return f"IsIdle was published in {hours} of {count_noun(self.idle_for // HOUR, 'hour')}", True
        return None

    def pod(self, cluster: ComputeCluster, rule: Rule) -> Verdict:
        """Judge a HyperPod cluster: its cost is known, its work is not."""
        if not isinstance(cluster.instances, Value):
            return rule.unknown(
                f"its instances are unknown ({getattr(cluster.instances, 'error', 'it is gone')})"
            )
        if not any(cluster.instances.value.values()):
            return rule.kept("no instance runs, or all of them were paid in advance")
        price = cluster.hourly.hourly_usd
        costs = "an unknown sum" if price is None else f"{format_usd(price * HOURS_PER_MONTH)}"
        return rule.unknown(
            f"it costs {costs} a month, and no metric of AWS's says whether it works: its scheduler does"
        )


def _list_emr_clusters(aws: Aws) -> Listing[ComputeCluster]:
    """List EMR's clusters that are not terminated."""
    return aws.listing(_LIST_CLUSTERS, "Clusters", partial(_emr, aws), ClusterStates=[*_LIVE_STATUSES])


def _emr(aws: Aws, entry: Mapping[str, Any]) -> ComputeCluster:
    """Return an entry of EMR's listing, which has no tags."""
    status = entry["Status"]
    created = status["Timeline"]["CreationDateTime"]
    own = target_in(aws, entry["ClusterArn"], entry["Name"], CLUSTER.type, created)
    return ComputeCluster(target=own, status=status["State"])


def _metric(cluster: ComputeCluster) -> Metric:
    """Return the metric of the lowest `IsIdle` in each hour: EMR checks every five minutes."""
    identity = cluster.target.arn.rpartition("/")[2]
    return Metric.of("AWS/ElasticMapReduce", "IsIdle", stat="Minimum", JobFlowId=identity)


def _described(aws: Aws, cluster: ComputeCluster) -> ComputeCluster:
    """Return *cluster* with its tags, applications, instances and timeout."""
    client, identity = aws.client("emr"), cluster.target.arn.rpartition("/")[2]
    found = read_signal(
        lambda: client.describe_cluster(ClusterId=identity)["Cluster"], source=_DESCRIBE_CLUSTER
    )
    timeout = read_signal(
        lambda: _timeout(client.get_auto_termination_policy(ClusterId=identity)), source=_GET_AUTO_TERMINATION
    )
    wanted = {"ClusterId": identity, "InstanceStates": ["RUNNING"]}
    listed = aws.listing(
        _LIST_INSTANCES, "Instances", lambda instance: str(instance["InstanceType"]), **wanted
    )
    if not isinstance(found, Value):
        return replace(cluster, timeout=Unreadable(getattr(found, "error", "it is gone"), _DESCRIBE_CLUSTER))
    own = read_signal(
        lambda: {tag["Key"]: tag.get("Value", "") for tag in found.value.get("Tags", ())},
        source=_DESCRIBE_CLUSTER,
    )
    applications = read_signal(
        lambda: frozenset(application["Name"].lower() for application in found.value.get("Applications", ())),
        source=_DESCRIBE_CLUSTER,
    )
    return replace(
        cluster,
        target=replace(cluster.target, tags=own),
        instances=map_signal(listed.signal(_LIST_INSTANCES), Counter),
        timeout=timeout,
        applications=applications,
        release=found.value.get("ReleaseLabel", ""),
    )


def _timeout(answer: Mapping[str, Any]) -> timedelta | None:
    seconds = answer.get("AutoTerminationPolicy", {}).get("IdleTimeout")
    return None if seconds is None else timedelta(seconds=seconds)


def _ends_itself(release: str) -> bool:
    """Return whether that release of EMR has auto-termination: from 5.30 and 6.1 on (management guide)."""
    found = re.fullmatch(r"emr-(\d+)\.(\d+)\..*", release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return version >= (5, 30) and version != (6, 0)


def _priced(aws: Aws, cluster: ComputeCluster) -> ComputeCluster:
    """Return a HyperPod cluster with its instances that are paid by the hour, and their price together."""
    match describe_resource(aws, CLUSTER, cluster.target.name):
        case Value(found):
            try:
                rented = read_rented_instances(CLUSTER, found)
            except ReadError as problem:
                return replace(cluster, instances=Unreadable(str(problem), CLUSTER.describes))
        case Unreadable() as unread:
            return replace(cluster, instances=unread)
        case _:
            return replace(cluster, instances=Absent(CLUSTER.describes))
    counts = Counter[str]()
    paid = [part for part in rented if not part.reserved]
    for part in paid:
        counts[part.type] += part.count
    hourly = total_price(
        (
            part.count,
            Price(None, "spot capacity has no list price")
            if part.spot
            else aws.prices.hourly(aws.region, "Cluster", part.type),
        )
        for part in paid
    )
    return replace(cluster, instances=Value(counts, CLUSTER.describes), hourly=hourly)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
