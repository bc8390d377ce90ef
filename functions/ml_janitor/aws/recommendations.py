"""What finished load tests of Inference Recommender found: AWS's only opinion on the size of an endpoint."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import RECOMMENDATION, describe, listing
from ml_janitor.core.signals import Signal, Value
from ml_janitor.core.text import usd


class Recommendations:
    """The newest completed job of each model; a job is described when its model is asked for."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._jobs = listing(
            aws,
            RECOMMENDATION,
            dict,
            StatusEquals="COMPLETED",
            SortBy="CreationTime",
            SortOrder="Ascending",
        )
        self._newest = {job["ModelName"]: job["JobName"] for job in self._jobs.items if "ModelName" in job}

    def of(self, models: Iterable[str | None]) -> tuple[str, ...]:
        """What was found for each of *models*, as words; a description that cannot be read says why."""
        found = []
        for model in dict.fromkeys(models):
            if model is not None and model in self._newest:
                answer = describe(self._aws, RECOMMENDATION, self._newest[model])
                found.append(f"{model}: {_words(answer)}")
        return tuple(found)

    def check(self) -> None:
        """Raise ReadError if the listing broke off."""
        self._jobs.check()


def _words(job: Signal[dict[str, Any]]) -> str:
    """The cheapest recommendation of a finished job, or why there is none."""
    if not isinstance(job, Value):
        return getattr(job, "error", "the job is gone")
    found = [
        (one["Metrics"]["CostPerHour"], one["EndpointConfiguration"], one["Metrics"])
        for one in job.value.get("InferenceRecommendations", ())
        if "CostPerHour" in one.get("Metrics", {}) and "InstanceType" in one["EndpointConfiguration"]
    ]
    if not found:
        return "no instance was recommended"
    hourly, configuration, measured = min(found, key=lambda one: float(one[0]))
    count = configuration.get("InitialInstanceCount", 1)
    return (
        f"{count} {configuration['InstanceType']}, {usd(Decimal(str(hourly)))} an hour, up to"
        f" {measured.get('MaxInvocations', 0):,} requests a minute"
    )
