"""
SageMaker's Search over endpoints, models, model packages and training jobs, with tags in the records.

Its index lags behind by as much as `search.index` says, or stands still after `freeze`.
"""

import datetime as dt
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from moto.backends import get_backend

from moto_corrections import clock, model, state
from moto_corrections.patches import AwsError, Call, backend, rejected, serves
from moto_corrections.sagemaker.endpoints import CONFIG, ENDPOINT, MODEL, VARIANT_LISTS
from moto_corrections.sagemaker.jobs import TRAINING, TRANSFORM, trained
from moto_corrections.sagemaker.listing import answer, rows
from moto_corrections.sagemaker.progress import takes
from moto_corrections.sagemaker.store import Kind, Resource, SageMakerStore, resources

PACKAGE = Kind("ModelPackage")
SEARCHED = {"Endpoint": ENDPOINT, "Model": MODEL, "ModelPackage": PACKAGE, "TrainingJob": TRAINING}
SORTED_BY = ("CreationTime", "LastModifiedTime")

type Test = Callable[[Resource], bool]


@dataclass(slots=True)
class FrozenIndex:
    """The resources of one account and region as Search shows them; None where its index follows."""

    records: list[Resource] | None = None


def freeze(missing: Iterable[str] = ()) -> None:
    """
    Let Search answer everywhere with what there is now, until a reset: its index is eventually consistent.

    It has no record of resources whose name is among the *missing*.
    """
    absent, kept = set(missing), get_backend("sagemaker")
    for account in kept:  # also where moto alone holds something
        for region in kept[account]:
            state.at(SageMakerStore, account, region)
    for account, region, store in state.every(SageMakerStore):
        state.at(FrozenIndex, account, region).records = [
            replace(resource, members=deepcopy(resource.members), tags=dict(resource.tags), coming=None)
            for resource in (*store, *_packages(account, region))
            if resource.name not in absent
        ]


@serves("sagemaker", "Search")
def search(call: Call) -> dict[str, Any]:
    """Search the records that an expression fits, newest change first; refuse what is not emulated."""
    params = call.params
    record = params["Resource"]
    if record not in SEARCHED:
        raise _refused(f"searching {record}")
    for member in ("VisibilityConditions", "CrossAccountFilterOption"):
        if params.get(member):
            raise _refused(member)
    by = params.get("SortBy") or "LastModifiedTime"
    if by not in SORTED_BY:
        raise _refused(f"sorting by {by}")
    fits = _expression(record, params.get("SearchExpression") or {})
    those = [resource for resource in _indexed(call, SEARCHED[record]) if fits(resource)]
    by_arn = {resource.arn: resource for resource in those}
    result = answer(replace(call, params=params | {"SortBy": by}), rows(those))
    wrap = partial(_dashboard, call) if record == "Model" else (lambda found: found)
    arn = SEARCHED[record].arn_member
    result["Results"] = [{record: wrap(_record(by_arn[found[arn]]))} for found in result["Results"]]
    return result | {"TotalHits": {"Value": len(those), "Relation": "EqualTo"}}


def _indexed(call: Call, of: Kind) -> list[Resource]:
    """List the resources of a kind that the index behind Search has taken in."""
    frozen = state.of(FrozenIndex, call).records
    there = _packages(call.account, call.region) if of is PACKAGE else resources(call, of).values()
    return [
        resource
        for resource in (there if frozen is None else frozen)
        if resource.kind is of and resource.members["CreationTime"] + takes("search.index") <= clock.now()
    ]


def _packages(account: str, region: str) -> list[Resource]:
    """Return moto's model packages, whose name is their ARN."""
    found = []
    for package in backend("sagemaker", account, region).model_packages.values():
        made = clock.aware(package.creation_time)
        times = {"CreationTime": made, "LastModifiedTime": package.last_modified_time or made}
        tags = {tag["Key"]: tag["Value"] for tag in package.tags or ()}
        members = deepcopy(package.gen_response_object()) | times
        found.append(Resource(PACKAGE, package.arn, members, tags, ever_tagged=bool(tags)))
    return found


def _dashboard(call: Call, found: dict[str, Any]) -> dict[str, Any]:
    """Wrap a model as Search does: with the endpoints that serve it and the last transform job of it."""
    name = found["ModelName"]
    endpoints = [endpoint.members for endpoint in _indexed(call, ENDPOINT) if name in _models(call, endpoint)]
    jobs = _indexed(call, TRANSFORM)
    used = [job.members for job in jobs if job.members.get("ModelName") == name]
    last = max(used, key=lambda job: job["CreationTime"], default=None)
    return {"Model": found, "Endpoints": endpoints} | ({"LastBatchTransformJob": last} if last else {})


def _models(call: Call, endpoint: Resource) -> set[str]:
    """Return the models that the current configuration of *endpoint* names; none, if it was deleted."""
    config = resources(call, CONFIG).get(endpoint.members["EndpointConfigName"])
    variants = [
        variant for name in VARIANT_LISTS for variant in (config.members.get(name) or () if config else ())
    ]
    return {variant["ModelName"] for variant in variants if "ModelName" in variant}


def _record(resource: Resource) -> dict[str, Any]:
    times = trained(resource) if resource.kind is TRAINING else {}
    return (
        times
        | resource.members
        | {"Tags": [{"Key": key, "Value": value} for key, value in resource.tags.items()]}
    )


def _refused(what: str) -> AwsError:
    return rejected(f"Search does not emulate {what} here.")


def _expression(record: str, expression: Mapping[str, Any]) -> Test:
    """Combine its filters and subexpressions, all of which must hold unless its operator is Or."""
    if expression.get("NestedFilters"):
        raise _refused("NestedFilters")
    tests = [_filter(record, part) for part in expression.get("Filters") or ()]
    tests += [_expression(record, part) for part in expression.get("SubExpressions") or ()]
    together = any if expression.get("Operator") == "Or" and tests else all
    return lambda resource: together(test(resource) for test in tests)


def _filter(record: str, asked: Mapping[str, str]) -> Test:
    name, how, value = asked["Name"], asked.get("Operator"), asked.get("Value")
    read = _reader(record, name)
    if how in ("Exists", "NotExists"):
        return lambda resource: (read(resource) is not None) is (how == "Exists")
    if value is None:
        raise rejected(f"The filter of {name} has no value.")
    if how == "In":
        choices = [choice.strip() for choice in value.split(",")]
        return lambda resource: _compare(read(resource), choices, operator.eq)
    if how not in COMPARISONS:
        raise _refused(f"the operator {how}")
    return lambda resource: _compare(read(resource), [value], COMPARISONS[how])


COMPARISONS: Mapping[str | None, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
    "Contains": operator.contains,
}


def _compare(found: Any, values: list[str], how: Callable[[Any, Any], bool]) -> bool:
    """Compare as what was found is: a time, a number or a text. A missing value compares with nothing."""
    if found is None:
        return False
    kind: Any = type(found) if isinstance(found, bool | int | float | dt.datetime) else str
    try:
        return any(how(found, _like(kind, value)) for value in values)
    except ValueError:
        word = "time" if isinstance(found, dt.datetime) else "number"
        raise rejected(f"{values} is no {word}.") from None


@cache
def _like(kind: Hashable, value: str) -> Any:
    """Return *value* as one of the type *kind*; a search compares the same values with every record."""
    if kind not in (str, bool, int, float):
        return clock.parse(value)
    if kind is bool:
        return value.lower() == "true"
    return value if kind is str else float(value)


def _reader(record: str, name: str) -> Callable[[Resource], Any]:
    """Return a reader of a property such as ResourceConfig.InstanceType or Tags.team, if it is there."""
    if name.startswith("Tags."):
        key = name.removeprefix("Tags.")
        return lambda resource: resource.tags.get(key)
    path = name.split(".")
    results: Any = model.output("sagemaker", "Search").members["Results"]
    shape = results.member.members[record]
    if record == "Model":
        shape = shape.members["Model"]
    for step in path:
        if shape.type_name != "structure" or step not in shape.members:
            raise rejected(f"Unknown property name: {name}")
        shape = shape.members[step]
    if shape.type_name in ("structure", "list", "map"):
        raise _refused(f"comparing {name}, a {shape.type_name},")

    def read(resource: Resource) -> Any:
        value: Any = resource.members
        for step in path:
            value = None if value is None else value.get(step)
        return value

    return read
