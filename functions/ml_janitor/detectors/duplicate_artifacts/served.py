"""What endpoints serve although it was deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_janitor.aws.sagemaker_kinds import ENDPOINT, ENDPOINT_CONFIG, describe, targets
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.orphans import UNKNOWN

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws


def errors(aws: Aws, models: frozenset[str]) -> Iterator[str]:
    """
    Which endpoints serve a model that is none of *models* any more, or may do so.

    What such an endpoint loads when it scales out then stands nowhere, so any copy may be it.
    """
    endpoints = targets(aws, ENDPOINT)
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
    match describe(aws, ENDPOINT_CONFIG, config):
        case Value(description):
            variants = [*description["ProductionVariants"], *description.get("ShadowProductionVariants", ())]
            return Value(
                frozenset(one["ModelName"] for one in variants if "ModelName" in one),
                ENDPOINT_CONFIG.describes,
            )
        case Unreadable() as unreadable:
            return unreadable
        case _:
            return Unreadable(
                f"endpoint {endpoint}: its configuration {config} exists no more", ENDPOINT_CONFIG.describes
            )
