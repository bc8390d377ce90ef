"""What a usage type says: its region, by how it begins, and its phase of machine learning."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from ml_janitor.bill.model import Charge


class Phase(StrEnum):
    """What part of machine learning a usage type belongs to."""

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


HOME = "us-east-1"
"""The region of usage types that begin with none."""

REGIONS: Mapping[str, str] = {
    "AFS1": "af-south-1", "APE1": "ap-east-1", "APN1": "ap-northeast-1", "APN2": "ap-northeast-2",
    "APN3": "ap-northeast-3", "APS1": "ap-southeast-1", "APS2": "ap-southeast-2", "APS3": "ap-south-1",
    "APS4": "ap-southeast-3", "APS5": "ap-south-2", "APS6": "ap-southeast-4", "CAN1": "ca-central-1",
    "CAN2": "ca-west-1", "EU": "eu-west-1", "EUC1": "eu-central-1",
    "EUC2": "eu-central-2",
    "EUN1": "eu-north-1", "EUS1": "eu-south-1", "EUS2": "eu-south-2", "EUW1": "eu-west-1",
    "EUW2": "eu-west-2", "EUW3": "eu-west-3", "ILC1": "il-central-1", "MEC1": "me-central-1",
    "MES1": "me-south-1", "SAE1": "sa-east-1", "UGE1": "us-gov-east-1", "UGW1": "us-gov-west-1",
    "USE1": "us-east-1", "USE2": "us-east-2", "USW1": "us-west-1", "USW2": "us-west-2",
}  # fmt: skip
"""How usage types begin (Amazon S3 user guide, "Understanding your AWS billing and usage reports")."""

BEGINS = re.compile(r"([A-Z]{2,3}[1-9]?)-(.+)")

SAGEMAKER: tuple[tuple[str, Phase], ...] = (
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
"""By words in SageMaker's usage types, the first that fits."""

ANYWHERE: tuple[tuple[str, Phase], ...] = (
    (r"AWS-(In|Out)-(A?Bytes)|-AWS-Out-|-AWS-In-|S3RTC-|DataTransfer-xAZ", Phase.TRANSFER),
    (r"NatGateway-", Phase.NAT),
)
"""The same, whatever the service: data transfer is none of its own."""

SERVICES: Mapping[str, Phase] = {
    "Amazon Simple Storage Service": Phase.STORAGE,
    "Amazon Elastic File System": Phase.STORAGE,
    "Amazon FSx": Phase.STORAGE,
    "AmazonCloudWatch": Phase.LOGS,
    "Amazon EC2 Container Registry (ECR)": Phase.REGISTRIES,
}
"""The phase of everything else that a service charges."""


def region(usage_type: str) -> str:
    """The region that a usage type is charged in; of a transfer between two, the one that it leaves."""
    return REGIONS[_code(usage_type)] if _code(usage_type) else HOME


def usage_prefix(region: str) -> str:
    """How the usage types of SageMaker in *region* begin: "USE1"; of an unknown region, its own name."""
    return next((code for code, name in REGIONS.items() if name == region), region)


def word(usage_type: str) -> str:
    """A usage type without its region: "Host:ml.m5.xlarge"."""
    return usage_type[len(code) + 1 :] if (code := _code(usage_type)) else usage_type


def _code(usage_type: str) -> str:
    found = BEGINS.match(usage_type)
    return found[1] if found and found[1] in REGIONS else ""


def phase(service: str, usage_type: str) -> Phase:
    """What part of machine learning a charge belongs to."""
    words = SAGEMAKER if "SageMaker" in service else ()
    for pattern, found in (*ANYWHERE, *words):
        if re.search(pattern, usage_type):
            return found
    return SERVICES.get(service, Phase.OTHER)


def main_services(charges: Iterable[Charge]) -> Mapping[str, str]:
    """
    The service of each usage type; of those that several services charge, the one that charges most.

    Cost Explorer groups by two things at most, so charges by usage type and tag name no service.
    """
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for one in charges:
        totals[one.usage_type][one.service] += abs(one.usd)  # type: ignore[assignment]
    return {usage: min(of, key=lambda name: (-of[name], name)) for usage, of in totals.items()}
