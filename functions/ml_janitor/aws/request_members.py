"""Makes the request that creates a resource again from its description."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ml_janitor.aws.boto_client import ServiceName
from ml_janitor.aws.client import Aws

UNSET_VALUES: tuple[object, ...] = (None, "", [], {})


def fit_request(
    aws: Aws, service: ServiceName, operation: str, described: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the members of *described* that *operation* takes, as plain JSON.

    The SDK's model of the operation decides. The janitor therefore restores members that AWS adds later,
    once the SDK knows them. A member that is empty in the description (`UNSET_VALUES`) was not set.
    """
    shape = aws.client(service).meta.service_model.operation_model(operation).input_shape
    fit: dict[str, Any] = _fit(shape, described)
    return fit


def _fit(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _fit(member, value[name])
                for name, member in shape.members.items()
                if name in value and (name in shape.required_members or value[name] not in UNSET_VALUES)
            }
        case "list":
            return [_fit(shape.member, item) for item in value]
        case "map":
            return dict(value)
        case _:
            return value.isoformat() if isinstance(value, datetime) else value
