"""AWS's own description of its operations, read from botocore: nothing is spelled twice."""

from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from moto_corrections import clock

# What a request is signed with is not always what IAM policies and CloudTrail call the service.
IAM_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}
BOTO_NAMES = {"elasticmapreduce": "emr", "tag": "resourcegroupstaggingapi"}


@cache
def service(name: str) -> ServiceModel:
    """Return botocore's model of the service with this IAM prefix."""
    loader = botocore.session.get_session()
    return loader.get_service_model(BOTO_NAMES.get(name, name))


@cache
def operation(service_name: str, name: str) -> OperationModel:
    """Return botocore's model of one operation."""
    return service(service_name).operation_model(name)


@cache
def output(service_name: str, name: str) -> StructureShape:
    """Return the shape of an operation's answer."""
    shape = operation(service_name, name).output_shape
    if not isinstance(shape, StructureShape):
        raise TypeError(f"{service_name}:{name} answers nothing")
    return shape


@cache
def inputs(service_name: str, name: str) -> dict[str, Shape]:
    """Return the members of an operation's input."""
    shape = operation(service_name, name).input_shape
    return dict(shape.members) if isinstance(shape, StructureShape) else {}


def convert(shape: Any, value: Any) -> Any:
    """Turn plain JSON into what the shape means, which is to say: make times of ISO strings.

    Raises `ValueError` for a member that the shape does not have.
    """
    if value is None:
        return None
    if shape.type_name == "timestamp":
        return clock.parse(value)
    if shape.type_name == "list":
        return [convert(shape.member, item) for item in value]
    if shape.type_name == "map":
        return dict(value)
    if shape.type_name == "structure":
        if unknown := set(value) - set(shape.members):
            raise ValueError(f"{shape.name} has no member {sorted(unknown)}")
        return {key: convert(shape.members[key], item) for key, item in value.items()}
    return value
