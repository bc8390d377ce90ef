"""The registry: every detector that exists, in the order of reports. Adding one is a file and a line here."""

from __future__ import annotations

from typing import Any

from janitor.detector import Detector
from janitor.detectors.duplicate_artifacts import DuplicateArtifacts
from janitor.detectors.hung_training_jobs import HungTrainingJobs
from janitor.detectors.idle_endpoints import IdleEndpoints
from janitor.detectors.idle_notebooks import IdleNotebooks
from janitor.detectors.idle_studio_apps import IdleStudioApps
from janitor.detectors.untagged_resources import UntaggedResources

DETECTORS: tuple[type[Detector[Any]], ...] = (
    IdleEndpoints,
    IdleNotebooks,
    IdleStudioApps,
    HungTrainingJobs,
    UntaggedResources,
    DuplicateArtifacts,
)
