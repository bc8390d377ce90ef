"""What endpoints serve although it was deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.descriptions import Kind, describe, listing
from ml_janitor.detectors.duplicate_artifacts.orphans import UNKNOWN

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

ENDPOINT = Kind(words="endpoint", noun="Endpoint", members="Endpoints")
CONFIG_SOURCE = "sagemaker:DescribeEndpointConfig"
CONFIG = Kind(words="endpoint configuration", noun="EndpointConfig", members="EndpointConfigs")


def errors(aws: Aws, models: frozenset[str]) -> Iterator[str]:
    """
    Which endpoints serve a model that is none of *models* any more, or may do so.

    What such an endpoint loads when it scales out then stands nowhere, so any copy may be it.
    """
    endpoints = listing(aws, ENDPOINT, ENDPOINT.name, {})
    if endpoints.error is not None:
        yield endpoints.error
    answers = aws.map(lambda one: _models_of(aws, one.name), endpoints.items)
    for one, answer in zip(endpoints.items, answers, strict=True):
        match answer:
            case Value(served) if missing := sorted(served - models):
                yield f"endpoint {one.name} serves model {missing[0]}, {UNKNOWN}"
            case Unreadable(error):
                yield error


def _models_of(aws: Aws, endpoint: str) -> Signal[frozenset[str]]:
    """The models that *endpoint*'s configuration names."""
    match describe(aws, ENDPOINT, endpoint):
        case Value(description):
            config = description["EndpointConfigName"]
        case other:
            return other if isinstance(other, Absent | Unreadable) else Absent()
    match describe(aws, CONFIG, config):
        case Value(description):
            variants = [*description["ProductionVariants"], *description.get("ShadowProductionVariants", ())]
            return Value(frozenset(one["ModelName"] for one in variants if "ModelName" in one), CONFIG_SOURCE)
        case Unreadable() as unreadable:
            return unreadable
        case _:
            return Unreadable(
                f"endpoint {endpoint}: its configuration {config} exists no more", CONFIG_SOURCE
            )
