"""The CDK app: one stack, made from the registry of detectors. No AWS call, no guess."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import aws_cdk as cdk

from infra.stack import JanitorStack
from ml_janitor.config.values import InvalidInputError

app = cdk.App()
try:
    JanitorStack(
        app,
        "MlJanitor",
        today=datetime.now(UTC).date(),
        description="ML Janitor: finds what a machine-learning platform wastes",
    )
except InvalidInputError as error:
    sys.exit(f"janitor: {error}")
app.synth()
