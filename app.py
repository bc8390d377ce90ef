"""The CDK app: one stack, made from the registry of detectors. No AWS call, no guess."""

from __future__ import annotations

from datetime import UTC, datetime

import aws_cdk as cdk

from infra.stack import JanitorStack

app = cdk.App()
JanitorStack(
    app,
    "MlJanitor",
    today=datetime.now(UTC).date(),
    description="ML Janitor: finds what a machine-learning platform wastes",
)
app.synth()
