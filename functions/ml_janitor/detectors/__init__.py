"""The registry: every detector, in the order of reports. A new detector is a file and a line here."""

from __future__ import annotations

from typing import Any

from ml_janitor.detectors.commitments import Commitments
from ml_janitor.detectors.cross_region_traffic import CrossRegionTraffic
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.detectors.forgotten_leftovers.rule import ForgottenLeftovers
from ml_janitor.detectors.generous_runtime_limits import GenerousRuntimeLimits
from ml_janitor.detectors.generous_warm_pools import GenerousWarmPools
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.detectors.idle_clusters import IdleClusters
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.detectors.idle_studio_apps import IdleStudioApps
from ml_janitor.detectors.oversized_endpoints import OversizedEndpoints
from ml_janitor.detectors.recomputed_datasets import RecomputedDatasets
from ml_janitor.detectors.serverless_candidates import ServerlessCandidates
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor.detectors.storage_tiering.rule import StorageTiering
from ml_janitor.detectors.studio_without_idle_shutdown import StudioWithoutIdleShutdown
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from ml_janitor.detectors.unused_mlflow_servers import UnusedMlflowServers
from ml_janitor.detectors.unused_serving_resources import UnusedServingResources
from ml_janitor.detectors.unused_training_plans import UnusedTrainingPlans
from ml_janitor.detectors.unused_volumes import UnusedVolumes
from ml_janitor.engine.detector import Detector

DETECTORS: tuple[type[Detector[Any]], ...] = (
    IdleEndpoints,
    IdleNotebooks,
    IdleStudioApps,
    HungTrainingJobs,
    UntaggedResources,
    DuplicateArtifacts,
    UnusedServingResources,
    SpotTraining,
    GenerousRuntimeLimits,
    ForgottenLeftovers,
    StorageTiering,
    StudioWithoutIdleShutdown,
    OversizedEndpoints,
    ServerlessCandidates,
    UnusedVolumes,
    GenerousWarmPools,
    IdleClusters,
    CrossRegionTraffic,
    RecomputedDatasets,
    UnusedTrainingPlans,
    UnusedMlflowServers,
    Commitments,
)
