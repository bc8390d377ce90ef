"""ARNs: the kind of a resource, and its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Target
from ml_janitor.core.signals import NotRead, Signal, Tags

REGION_PATTERN = r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}"
"""The pattern of region names; AWS decides which exist."""


@dataclass(frozen=True, slots=True)
class Arn:
    """
    The parts of an ARN.

    *kind* is the resource type in the service's own spelling ("endpoint", "training-job"); for S3,
    whose ARNs carry none, "bucket" or "object". *name* is the rest: SageMaker
    lower-cases it for some kinds, and app ARNs hold several slashes.
    """

    partition: str
    service: str
    region: str
    account: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Parse *text*. Raises ValueError if it is not an ARN."""
        from botocore.utils import ArnParser

        parts = ArnParser().parse_arn(text.strip()) if ArnParser.is_arn(text.strip()) else {}
        if not (resource := parts.pop("resource", "")):
            raise ValueError(f"{text!r} is no ARN (arn:partition:service:region:account:resource)")
        if parts["service"] == "s3":
            return cls(**parts, kind="object" if "/" in resource else "bucket", name=resource)
        kind, name = (*re.split("[/:]", resource, maxsplit=1), "")[:2]  # log-group:/aws/lambda/x
        return cls(**parts, kind=kind, name=name)


def target_in(
    aws: Aws, arn: str, name: str, kind: str, created: datetime | None, *, tags: Signal[Tags] | None = None
) -> Target:
    """Return a resource in the account and region of *aws*; without *tags*, its tags were not read."""
    account, region = aws.account, aws.region
    return Target(
        arn=arn, name=name, kind=kind, account=account, region=region, created=created, tags=tags or NotRead()
    )
