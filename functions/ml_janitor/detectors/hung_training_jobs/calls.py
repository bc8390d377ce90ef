"""Describing, stopping and creating SageMaker's jobs: the same calls for every kind, under other nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name

from ml_janitor.aws.answers import unless_gone
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
)
from ml_janitor.detectors.hung_training_jobs.job import GONE

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target

STOPPING: Final = "Stopping"


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls about one kind of job, *noun* in the operations' names."""

    noun: str

    @property
    def named(self) -> str:
        """The member that holds its name."""
        return f"{self.noun}Name"

    @property
    def status(self) -> str:
        """The member that holds its status."""
        return f"{self.noun}Status"

    def describe(self, aws: Aws, name: str) -> dict[str, Any] | None:
        """The job called *name* as AWS describes it; None if there is none."""
        found: dict[str, Any] | None = unless_gone(
            lambda: self._operation(aws, "Describe")(**{self.named: name}), GONE
        )
        return found

    def this(self, aws: Aws, target: Target) -> dict[str, Any] | None:
        """The very job *target*; None if it is gone, also where another has its name now."""
        found = self.describe(aws, target.name)
        return found if found is not None and found["CreationTime"] == target.created else None

    def stop(self, aws: Aws, name: str) -> None:
        """Ask the job called *name* to stop."""
        self._operation(aws, "Stop")(**{self.named: name})

    def create(self, aws: Aws, request: Mapping[str, Any]) -> None:
        """Submit a job."""
        self._operation(aws, "Create")(**request)

    def runs(self, found: Mapping[str, Any]) -> bool:
        """Whether a job that was *found* still runs, with nobody having stopped it."""
        return bool(found[self.status] == IN_PROGRESS)

    def _operation(self, aws: Aws, verb: str) -> Any:
        return getattr(aws.sagemaker, xform_name(f"{verb}{self.noun}"))


OF: Mapping[str, Calls] = {
    kind.type: Calls(kind.noun) for kind in (TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB)
}
"""By the resource type in a job's ARN."""
