"""Has a detector read: everything, or one resource. What fails is told beside what was read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError, describe
from ml_janitor.aws.arns import Arn
from ml_janitor.core.model import Target

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Candidate
    from ml_janitor.engine.detector import Detector


def read(detector: Detector[Any], aws: Aws, now: datetime) -> tuple[Iterable[Candidate], list[str]]:
    """
    All candidates that *detector* finds, and what kept it from finding more.

    A listing that shifts while its pages are read can name a resource twice; it counts once.
    """
    candidates: dict[str, Candidate] = {}
    try:
        for candidate in detector.find(aws, now):
            candidates.setdefault(candidate.target.key, candidate)
    except Exception as error:  # a detector's failure must not hide what it read, nor the other sweeps
        return candidates.values(), [*late(aws), describe(error)]
    return candidates.values(), late(aws)


def look(detector: Detector[Any], aws: Aws, arn: str, now: datetime) -> tuple[list[Candidate], list[str]]:
    """The one candidate *arn*, none if it is gone, and what kept it from being looked at."""
    try:
        candidate = detector.look(aws, target_of(detector, aws, arn), now)
    except Exception as error:  # told as the sweep's error, like a listing that fails
        return [], [*late(aws), describe(error)]
    return [] if candidate is None else [candidate], late(aws)


def target_of(detector: Detector[Any], aws: Aws, arn: str) -> Target:
    """
    Which resource *arn* is, as far as it says so itself. Raises ReadError.

    A detector asks for its resource by name: an ARN from elsewhere, or of another kind, would get
    the answer for a namesake.
    """
    try:
        parts = Arn.parse(arn)
    except ValueError as error:
        raise ReadError(str(error)) from error
    if not detector.judges(parts):
        raise ReadError(f"{detector.name} does not judge {arn}")
    if parts.account not in {"", aws.account} or parts.region not in {"", aws.region}:
        raise ReadError(f"{arn} is not in account {aws.account} and region {aws.region}")
    return Target(
        arn=arn, name=parts.name, kind=parts.kind, account=aws.account, region=aws.region, created=None
    )


def late(aws: Aws) -> list[str]:
    """What a sweep that ran out of time says of itself."""
    return (
        ["it ran out of time, so what had not been read by then is missing or unknown"] if aws.ran_out else []
    )
