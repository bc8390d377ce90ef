"""Overrides of what no AWS API can set: a status, an age, an instance count, the time of an S3 object."""

import datetime as dt
import re
from typing import Any

from moto_corrections import clock, model, state
from moto_corrections.patches import backend
from moto_corrections.sagemaker.store import KINDS, Resource, SageMakerStore

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}")


def override(account: str, region: str, *, service: str, path: list[str | int], **given: Any) -> None:
    """
    *Set* members of the thing at a path, such as ["endpoints", "my-ep"], to what is *given*.

    `LookupError` says that there is no such thing, `ValueError` that it has no such member.
    """
    changes = given["set"]
    if service == "sagemaker" and path and path[0] in KINDS:
        _override_resource(account, region, path, changes)
    else:
        _override_backend(account, region, service, path, changes)


def _override_resource(account: str, region: str, path: list[str | int], changes: dict[str, Any]) -> None:
    of = KINDS[str(path[0])]
    stored = state.at(SageMakerStore, account, region).of(of)
    if len(path) == 1 or str(path[1]) not in stored:
        raise LookupError(f"no such {of.arn}: {path[1:]}")
    resource = stored[str(path[1])]
    target: Any = resource.members
    shape: Any = model.output("sagemaker", f"Describe{of.noun}")
    for step in path[2:]:
        if shape.type_name == "list":
            shape, target = shape.member, target[int(step)]
        else:
            name = _member(shape, str(step), resource)
            shape, target = shape.members[name], target[name]
    for key, value in changes.items():
        if key.lower() == "tags" and target is resource.members:
            _set_tags(resource, value)
            continue
        name = _member(shape, key, resource)
        if target is resource.members and name == resource.kind.status_member:
            resource.coming = None  # a status that was set stays
        if value is None:
            target.pop(name, None)
        else:
            target[name] = model.convert(shape.members[name], value)


def _set_tags(resource: Resource, value: dict[str, str] | list[dict[str, str]]) -> None:
    pairs = value if isinstance(value, dict) else {tag["Key"]: tag["Value"] for tag in value}
    resource.tags = dict(pairs)
    resource.ever_tagged = True


def _member(shape: Any, key: str, resource: Resource) -> str:
    """Return AWS's name of a member, given as `EndpointStatus`, `endpoint_status` or `status`."""
    spelled: dict[str, str] = {name.lower(): name for name in shape.members}
    flat = key.replace("_", "").lower()
    for candidate in (flat, f"{resource.kind.noun.lower()}{flat}"):
        if candidate in spelled:
            return spelled[candidate]
    raise ValueError(f"{shape.name} has no member {key!r}; it has {', '.join(shape.members)}")


def _override_backend(
    account: str, region: str, service: str, path: list[str | int], changes: dict[str, Any]
) -> None:
    """Override attributes of moto's own objects, by their names in Python."""
    try:
        target: Any = backend(service, account, region)
    except (ImportError, KeyError) as unknown:
        raise LookupError(f"no such service: {service}") from unknown
    for step in path:
        try:
            target = target[step] if hasattr(target, "__getitem__") else getattr(target, str(step))
        except (KeyError, IndexError, AttributeError) as missing:
            raise LookupError(f"no {step!r} on the way to {path}") from missing
    for key, value in changes.items():
        if not hasattr(target, key):
            raise ValueError(f"{type(target).__name__} has no attribute {key!r}")
        setattr(target, key, _like(getattr(target, key), value))


def _like(old: Any, value: Any) -> Any:
    """Return a time in the form the attribute has: moto keeps most of them without a zone."""
    if not isinstance(value, str) or not _ISO.match(value):
        return value
    moment = clock.parse(value)
    if isinstance(old, dt.datetime):
        return moment if old.tzinfo else moment.replace(tzinfo=None)
    if isinstance(old, int | float):
        return clock.to_millis(moment)
    return value if isinstance(old, str) else moment.replace(tzinfo=None)
