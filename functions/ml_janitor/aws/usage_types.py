"""Reads the region from a bill's usage type, which begins with the region's short name."""

from __future__ import annotations

import re
from collections.abc import Mapping

HOME_REGION = "us-east-1"
"""The region of usage types without a region."""

REGION_CODES: Mapping[str, str] = {
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
"""The beginning of usage types (Amazon S3 user guide, "Understanding your AWS billing and usage reports")."""

USAGE_TYPE_CODE = re.compile(r"([A-Z]{2,3}[1-9]?)-(.+)")
REGION_TRANSFER = re.compile(r"([A-Z]{2,3}[1-9]?)-([A-Z]{2,3}[1-9]?)-AWS-Out-A?Bytes")
"""Bytes that leave a region for another, charged to the first. The same usage type with -In- is free."""


def region_of_usage(usage_type: str) -> str:
    """Return the region that a usage type is charged in; for a transfer between two, the one it leaves."""
    return REGION_CODES[_code(usage_type)] if _code(usage_type) else HOME_REGION


def usage_prefix(region: str) -> str:
    """
    Return the beginning of SageMaker's usage types in *region*: "USE1"; for an
    unknown region, its name.
    """
    return next((code for code, name in REGION_CODES.items() if name == region), region)


def without_region(usage_type: str) -> str:
    """Return a usage type without its region: "Host:ml.m5.xlarge"."""
    return usage_type[len(code) + 1 :] if (code := _code(usage_type)) else usage_type


def transfer_regions(usage_type: str) -> tuple[str, str] | None:
    """Return the regions that bytes leave and reach, or None if *usage_type* is no transfer between two."""
    if (found := REGION_TRANSFER.fullmatch(usage_type)) is None:
        return None
    return REGION_CODES.get(found[1], found[1]), REGION_CODES.get(found[2], found[2])


def _code(usage_type: str) -> str:
    found = USAGE_TYPE_CODE.match(usage_type)
    return found[1] if found and found[1] in REGION_CODES else ""
