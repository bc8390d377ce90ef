"""HyperPod clusters: what AWS accepts is not refused, nor left half made."""

from __future__ import annotations

import copy
from typing import Any

from ml_janitor_sandbox.patches import Call, backend, replaces, serves
from ml_janitor_sandbox.shelves import check_instance_type


@serves("sagemaker", "CreateCluster")
def create_cluster(call: Call) -> dict[str, Any]:
    """
    As moto's, with a default for ThreadsPerCore, which AWS does not require.

    moto trips over its absence after the cluster is in its list.
    """
    params = call.params
    groups = [{"ThreadsPerCore": 1} | copy.deepcopy(group) for group in params.get("InstanceGroups") or ()]
    kept = backend("sagemaker", call.account, call.region)
    arn = kept.create_cluster(
        cluster_name=params["ClusterName"],
        instance_groups=groups,
        vpc_config=params.get("VpcConfig") or {},
        tags=params.get("Tags"),
    )
    return {"ClusterArn": arn}


@replaces("moto.sagemaker.models:Cluster.valid_cluster_node_instance_types", was="027ea1f7aa37")
def any_instance_type(_: Any, instance_type: str) -> None:
    """Anything that looks like one: moto's list is years old."""
    check_instance_type(instance_type, "instanceType")
