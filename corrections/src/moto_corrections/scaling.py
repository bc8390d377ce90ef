"""The store of Application Auto Scaling: scalable targets with all that hangs on them, told in pages."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moto_corrections import state
from moto_corrections.paging import after, size_of
from moto_corrections.patches import AwsError, Call, rejected

LARGEST_PAGE = 50
ARNS = {
    "ScalableTargets": "ScalableTargetARN",
    "ScalingActivities": "ActivityId",
    "ScalingPolicies": "PolicyARN",
    "ScheduledActions": "ScheduledActionARN",
}
"""By the lists of answers, what tells their entries apart."""

type Where = tuple[str, str, str]
"""Namespace, resource id and dimension, which "uniquely identify" a target (RegisterScalableTarget)."""


@dataclass(slots=True)
class Target:
    """A scalable target with everything that hangs on it."""

    members: dict[str, Any]
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)


class Targets(dict[Where, Target]):
    """The targets of an account in one region."""


def scaled_variants(call: Call, endpoint: str) -> set[str]:
    """Return the variants of an endpoint that are scaled."""
    start = f"endpoint/{endpoint}/variant/"
    return {where[1].removeprefix(start) for where in targets(call) if where[1].startswith(start)}


def deregister_endpoint(call: Call, endpoint: str) -> None:
    """Forget what scaled the variants of an endpoint that is being deleted."""
    there = targets(call)
    for where in [where for where in there if where[1].startswith(f"endpoint/{endpoint}/variant/")]:
        del there[where]


def targets(call: Call) -> Targets:
    """Return the targets where the call was made."""
    return state.of(Targets, call)


def where_of(call: Call) -> Where:
    """Return what the call is about."""
    params = call.params
    return params["ServiceNamespace"], params["ResourceId"], params["ScalableDimension"]


def target_of(call: Call) -> Target:
    """Return the target that the call is about, or AWS's error."""
    where = where_of(call)
    if where not in targets(call):
        raise none_of("scalable target registered", where)
    return targets(call)[where]


def none_of(what: str, where: Where) -> AwsError:
    """Return AWS's error for a target, policy or action that does not exist."""
    names = "service namespace: {}, resource ID: {}, scalable dimension: {}".format(*where)
    return AwsError("ObjectNotFoundException", f"No {what} for {names}")


def within(call: Call) -> list[tuple[Where, Target]]:
    """List the targets of the namespace and the dimension that are asked for."""
    dimension = call.params.get("ScalableDimension")
    return [
        (where, target)
        for where, target in targets(call).items()
        if where[0] == call.params["ServiceNamespace"] and dimension in (None, where[2])
    ]


def page(call: Call, member: str, found: Iterable[dict[str, Any]], *, named: bool) -> dict[str, Any]:
    """Return one page, in the order of ARNs."""
    if call.params.get("ScalableDimension") and not named:
        raise rejected("If you specify a scalable dimension, specify a resource ID too")
    size = size_of(call, "MaxResults", LARGEST_PAGE, LARGEST_PAGE, rejected)
    cut, more = after(
        call,
        found,
        size,
        lambda resource: str(resource[ARNS[member]]),
        invalid="InvalidNextTokenException",
        message="Invalid token",
    )
    return {member: cut, **more}


def uuid_of(about: tuple[str, ...]) -> str:
    """Return something that looks like the UUIDs of AWS and is the same every time."""
    digest = hashlib.sha256("/".join(about).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
