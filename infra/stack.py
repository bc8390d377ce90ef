"""The stack: what the detectors of the registry may read."""

from __future__ import annotations

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.permissions import statements
from janitor.detectors import DETECTORS


class JanitorStack(Stack):
    """One managed policy that holds exactly what all detectors together read."""

    def __init__(self, scope: Construct, id_: str, **kwargs: Any) -> None:
        super().__init__(scope, id_, **kwargs)
        grants = [grant for detector in DETECTORS for grant in detector.reads]
        iam.ManagedPolicy(
            self,
            "Reads",
            description="Everything ML Janitor reads, and nothing it could change anything with",
            statements=statements(self, grants),
        )
