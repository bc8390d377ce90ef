"""Assigns usage types to phases of machine learning."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from ml_janitor.bill.model import Charge


class Phase(StrEnum):
    """The phase of machine learning that a usage type belongs to."""

    HOSTING = "hosting"
    TRAINING = "training"
    SPOT_TRAINING = "spot training"
    WARM_POOLS = "warm pools"
    PROCESSING = "processing"
    TRANSFORM = "transform"
    NOTEBOOKS = "notebooks"
    STUDIO = "Studio"
    HYPERPOD = "HyperPod"
    STORAGE = "storage"
    TRANSFER = "transfer between regions"
    NAT = "NAT gateways"
    LOGS = "logs"
    REGISTRIES = "registries"
    OTHER = "other"


SAGEMAKER_PHASES: tuple[tuple[str, Phase], ...] = (
    (r"TrainWarmPool|WarmPool", Phase.WARM_POOLS),
    (r"TrSpt|SpotTrain", Phase.SPOT_TRAINING),
    (r"Train|Autopilot", Phase.TRAINING),
    (r"Host|AsyncInf|ServerlessInf|Endpoint", Phase.HOSTING),
    (r"Processing", Phase.PROCESSING),
    (r"Tsform|BatchTransform", Phase.TRANSFORM),
    (r"Notebk", Phase.NOTEBOOKS),
    (r"Studio|Canvas|RStudio|MLflow", Phase.STUDIO),
    (r"Cluster", Phase.HYPERPOD),
    (r"VolumeUsage|StorageIOUsage|FeatureStore", Phase.STORAGE),
)
"""Phases by words in SageMaker's usage types; the first match counts."""

TRANSFER_PHASES: tuple[tuple[str, Phase], ...] = (
    (r"AWS-(In|Out)-(A?Bytes)|-AWS-Out-|-AWS-In-|S3RTC-|DataTransfer-xAZ", Phase.TRANSFER),
    (r"NatGateway-", Phase.NAT),
)
"""Phases by words in usage types of any service: data transfer belongs to no service."""

SERVICE_PHASES: Mapping[str, Phase] = {
    "Amazon Simple Storage Service": Phase.STORAGE,
    "Amazon Elastic File System": Phase.STORAGE,
    "Amazon FSx": Phase.STORAGE,
    "AmazonCloudWatch": Phase.LOGS,
    "Amazon EC2 Container Registry (ECR)": Phase.REGISTRIES,
}
"""The phase of other charges, by service."""


def phase_of(service: str, usage_type: str) -> Phase:
    """Return the phase of machine learning that a charge belongs to."""
    words = SAGEMAKER_PHASES if "SageMaker" in service else ()
    for pattern, found in (*TRANSFER_PHASES, *words):
        if re.search(pattern, usage_type):
            return found
    return SERVICE_PHASES.get(service, Phase.OTHER)


def main_services(charges: Iterable[Charge]) -> Mapping[str, str]:
    """
    Return the service of each usage type; of several services, the one that charges most.

    Cost Explorer groups by two keys at most, so charges by usage type and tag name no service.
    """
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for charge in charges:
        totals[charge.usage_type][charge.service] += abs(charge.usd)  # type: ignore[assignment]
    return {usage: min(of, key=lambda name: (-of[name], name)) for usage, of in totals.items()}
