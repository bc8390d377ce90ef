"""Acknowledgements of cdk-nag's findings, on the construct that causes them, with their reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, *ids: str, reason: str) -> None:
    """Accept the rules *ids* for *construct* and what is inside it, because of *reason*."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=rule, reason=reason) for rule in ids))
