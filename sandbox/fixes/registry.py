"""Listings over what moto still keeps itself: pipelines, clusters, the model registry."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from moto.core.utils import camelcase_to_underscores

from sandbox import model
from sandbox.listing import Row, answer, list_member
from sandbox.patches import Call, backend, serves

# Operation: the backend's attribute, and the members that hold the name and the status.
LISTED = {
    "ListClusters": ("clusters", "ClusterName", "ClusterStatus"),
    "ListModelPackageGroups": (
        "model_package_groups",
        "ModelPackageGroupName",
        "ModelPackageGroupStatus",
    ),
    "ListModelPackages": ("model_packages", "ModelPackageArn", "ModelPackageStatus"),
    "ListPipelines": ("pipelines", "PipelineName", "PipelineStatus"),
}
# moto's own spelling of some members.
SPELLED = {
    "ClusterStatus": ("status", "cluster_status"),
    "ModelPackageArn": ("model_package_arn", "arn"),
    "PipelineArn": ("pipeline_arn", "arn"),
    "ClusterArn": ("cluster_arn", "arn"),
    "ModelPackageGroupArn": ("model_package_group_arn", "arn"),
}


def _rows(call: Call, things: Iterable[Any], name: str, status: str) -> Iterable[Row]:
    member = list_member(call.operation)
    shape: Any = model.output("sagemaker", call.operation).members[member]
    for sequence, thing in zip(itertools.count(), things, strict=False):
        members = {one: _read(thing, one) for one in shape.member.members}
        known = {one: value for one, value in members.items() if value is not None}
        known.setdefault("LastModifiedTime", known["CreationTime"])
        yield Row(known, str(known.get(name, "")), known.get(status), sequence)


def _read(thing: Any, member: str) -> Any:
    for attribute in SPELLED.get(member, (camelcase_to_underscores(member),)):
        if (value := getattr(thing, attribute, None)) is not None:
            return value
    return None


def _serve(operation: str, attribute: str, name: str, status: str) -> None:
    @serves("sagemaker", operation)
    def list_them(call: Call) -> dict[str, Any]:
        kept = backend("sagemaker", call.account, call.region)
        things = getattr(kept, attribute).values()
        wanted = call.params.get("ModelPackageGroupName")
        if operation == "ListModelPackages":
            things = [one for one in things if one.model_package_group_name == wanted]
        if prefix := call.params.get("PipelineNamePrefix"):
            things = [one for one in things if one.pipeline_name.startswith(prefix)]
        return answer(call, _rows(call, things, name, status))


for _operation, _how in LISTED.items():
    _serve(_operation, *_how)
