"""HyperPod clusters: one that moto refuses is not half made, and one that AWS accepts is not refused."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.patches import Call, backend, serves


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
