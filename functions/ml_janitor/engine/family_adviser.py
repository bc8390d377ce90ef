"""The common reading of advisers on families of training jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ml_janitor.aws.client import Aws
from ml_janitor.aws.job_history import JobFamily, read_job_families
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.sagemaker_kinds import SEARCH, TRAINING_JOB
from ml_janitor.core.model import Target
from ml_janitor.engine.detector import Detector, allow


@dataclass(frozen=True)
class FamilyAdviser(Detector[JobFamily]):
    """The base of detectors of families of jobs that completed within *window*."""

    kinds = (TRAINING_JOB.type,)
    reads = (allow(SEARCH), allow(GET_PRODUCTS))
    own_tags = False

    window: timedelta = timedelta(days=60)

    def find(self, aws: Aws, now: datetime) -> Iterator[JobFamily]:
        """Read every family, from one search over all jobs."""
        return read_job_families(aws, now - self.window, now)

    def look(self, aws: Aws, target: Target, now: datetime) -> JobFamily | None:
        """Read the family *target*, or the family of the job *target*; None if it completed no job."""
        arn = target.arn.lower()
        return next(
            (
                job_family
                for job_family in self.find(aws, now)
                if arn
                in {job_family.target.arn.lower(), *(job.target.arn.lower() for job in job_family.jobs)}
            ),
            None,
        )
