"""
EMR clusters, which moto has without auto-termination and in one state: made, listed, described, ended.

A cluster waits as soon as it is made, or has ended if it was not to be kept alive without steps; none runs.
An instance that a resize ended stays listed as TERMINATED.
Nothing publishes `IsIdle`: whoever needs it seeds the metric. An auto-termination policy ends nothing here.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from moto_corrections import clock, model, paging, state
from moto_corrections.patches import AwsError, Call

PAGE = 50
"""Clusters to a page (API reference, ListClusters)."""
SHORTEST, LONGEST = 60, 604_800
"""Seconds of an idle timeout (API reference, AutoTerminationPolicy)."""


@dataclass(slots=True)
class Cluster:
    """One cluster: the request that made it, when it was made and ended, and after how long it would end."""

    id: str
    arn: str
    request: dict[str, Any]
    created: dt.datetime
    ended: dt.datetime | None = None
    timeout: int | None = None
    resized: list[tuple[int, str]] = field(default_factory=list)
    """The instances that a resize ended: the number of the group, and the type."""

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Return the groups of instances, which their numbers identify."""
        found: list[dict[str, Any]] = self.request.get("Instances", {}).get("InstanceGroups", [])
        return found

    @property
    def state(self) -> str:
        """Return WAITING until it has ended."""
        return "WAITING" if self.ended is None else "TERMINATED"

    def summary(self) -> dict[str, Any]:
        """Return the cluster as ListClusters describes it."""
        timeline = {"CreationDateTime": self.created.timestamp(), "ReadyDateTime": self.created.timestamp()}
        ended = {} if self.ended is None else {"EndDateTime": self.ended.timestamp()}
        return {
            "Id": self.id,
            "Name": self.request["Name"],
            "ClusterArn": self.arn,
            "Status": {"State": self.state, "StateChangeReason": {}, "Timeline": timeline | ended},
            "NormalizedInstanceHours": 0,
        }


class Clusters(dict[str, Cluster]):
    """The clusters of one account and region by their ids, the oldest first."""


def _all(call: Call) -> Clusters:
    return state.of(Clusters, call)


def _one(call: Call) -> Cluster:
    asked = call.params.get("ClusterId", "")
    if asked not in _all(call):
        raise AwsError("InvalidRequestException", f"Cluster id '{asked}' is not valid.")
    return _all(call)[asked]


def _run(call: Call) -> dict[str, Any]:
    number, now = len(_all(call)) + 1, clock.now()
    identity = f"j-{number:013X}"
    arn = call.arn("elasticmapreduce", f"cluster/{identity}")
    lasting = call.params.get("Instances", {}).get("KeepJobFlowAliveWhenNoSteps", False)
    made = Cluster(identity, arn, call.params, now, None if lasting else now)
    made.timeout = (call.params.get("AutoTerminationPolicy") or {}).get("IdleTimeout")
    _all(call)[identity] = made
    return {"JobFlowId": identity, "ClusterArn": arn}


def _list(call: Call) -> dict[str, Any]:
    """List clusters, fifty to a page, the newest first."""
    states = set(call.params.get("ClusterStates") or ())
    known: Any = model.service("elasticmapreduce").shape_for("ClusterState")
    if wrong := states - set(known.enum):
        raise AwsError("ValidationException", f"Value {sorted(wrong)} at 'clusterStates' is not valid.")
    found = [cluster.summary() for cluster in _all(call).values() if not states or cluster.state in states]
    page, more = paging.cut(call, found[::-1], PAGE, invalid="InvalidRequestException", member="Marker")
    return {"Clusters": page, **more}


def _describe(call: Call) -> dict[str, Any]:
    cluster = _one(call)
    members = ("ReleaseLabel", "Applications", "ServiceRole", "LogUri")
    told = {name: cluster.request[name] for name in members if name in cluster.request}
    return {
        "Cluster": cluster.summary()
        | told
        | {"Tags": cluster.request.get("Tags", []), "AutoTerminate": False}
    }


def _instances(call: Call) -> dict[str, Any]:
    cluster = _one(call)
    asked = call.params.get("InstanceStates") or ["RUNNING", "TERMINATED"]
    status = "RUNNING" if cluster.ended is None else "TERMINATED"
    found = [
        (number, each["InstanceType"], status)
        for number, each in enumerate(cluster.groups)
        for _ in range(each["InstanceCount"])
    ]
    found += [(number, kind, "TERMINATED") for number, kind in cluster.resized]
    return {
        "Instances": [
            {
                "Id": f"ci-{number:013X}",
                "InstanceGroupId": f"ig-{group:013X}",
                "InstanceType": kind,
                "Market": "ON_DEMAND",
                "Status": {"State": state},
            }
            for number, (group, kind, state) in enumerate(found)
            if state in asked
        ]
    }


def _resize(call: Call) -> dict[str, Any]:
    cluster = _one(call)
    for asked in call.params.get("InstanceGroups") or ():
        number = int(asked["InstanceGroupId"].removeprefix("ig-"), 16)
        if number >= len(cluster.groups):
            raise AwsError(
                "InvalidRequestException", f"Instance group '{asked['InstanceGroupId']}' is not valid."
            )
        group, count = cluster.groups[number], asked["InstanceCount"]
        cluster.resized += [(number, group["InstanceType"])] * (group["InstanceCount"] - count)
        group["InstanceCount"] = count
    return {}


def _policy(call: Call) -> dict[str, Any]:
    timeout = _one(call).timeout
    return {} if timeout is None else {"AutoTerminationPolicy": {"IdleTimeout": timeout}}


def _put_policy(call: Call) -> dict[str, Any]:
    timeout = int((call.params.get("AutoTerminationPolicy") or {}).get("IdleTimeout") or 0)
    if not SHORTEST <= timeout <= LONGEST:
        raise AwsError(
            "ValidationException", f"IdleTimeout must be between {SHORTEST} and {LONGEST} seconds."
        )
    _one(call).timeout = timeout
    return {}


def _terminate(call: Call) -> dict[str, Any]:
    for identity in call.params["JobFlowIds"]:
        if (cluster := _all(call).get(identity)) is not None and cluster.ended is None:
            cluster.ended = clock.now()
    return {}


OPERATIONS = {
    "DescribeCluster": _describe,
    "GetAutoTerminationPolicy": _policy,
    "ListClusters": _list,
    "ListInstances": _instances,
    "ModifyInstanceGroups": _resize,
    "PutAutoTerminationPolicy": _put_policy,
    "RunJobFlow": _run,
    "TerminateJobFlows": _terminate,
}
