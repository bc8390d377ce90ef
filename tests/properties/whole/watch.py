"""Hears of every call that the janitor makes, before it leaves and when its answer comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.model import OperationModel

from conftest import ACCOUNT, REGION
from ml_janitor_sandbox.deployment import BUCKET

READS = ("Batch", "Describe", "Get", "Head", "List", "Lookup", "Query", "Search")
OURS = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
GROUPS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"

NAMED = {
    "EndpointName": "endpoint",
    "NotebookInstanceName": "notebook-instance",
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "EndpointConfigName": "endpoint-config",
    "logGroupName": "log-group",
}
"""The parameter that names what a call is about, and the type of that in its ARN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as it was meant."""

    service: str
    operation: str
    params: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        """Whether it changes anything that is not the janitor's own."""
        own = self.service == "dynamodb" or self.params.get("Bucket") == BUCKET
        return not own and not self.operation.startswith(READS)

    @property
    def records(self) -> bool:
        """Whether it writes down that a step is done."""
        return self.service == "dynamodb" and '"done"]' in str(self.params.get("ExpressionAttributeValues"))

    @property
    def arn(self) -> str:
        """What it is about, in lower case; a component is a part of its endpoint."""
        asked = self.params
        if "ResourceArn" in asked:
            return str(asked["ResourceArn"]).lower()
        if "Key" in asked:
            return f"arn:aws:s3:::{asked['Bucket']}/{asked['Key']}".lower()
        if "AppName" in asked:
            owner = asked.get("SpaceName") or asked.get("UserProfileName")
            return f"{OURS}app/{asked['DomainId']}/{owner}/{asked['AppType']}/{asked['AppName']}".lower()
        if "InferenceComponentName" in asked:
            return f"{OURS}endpoint/{asked['InferenceComponentName'].removesuffix('-ic')}".lower()
        if (
            "ResourceId" in asked
        ):  # of application auto scaling: endpoint/NAME/variant/VARIANT, or a component
            _, name, *_ = asked["ResourceId"].split("/")
            return f"{OURS}endpoint/{name.removesuffix('-ic')}".lower()
        member = next((name for name in NAMED if name in asked), None)
        where = GROUPS if member == "logGroupName" else f"{OURS}{NAMED.get(member or '')}/"
        return "" if member is None else f"{where}{asked[member]}".lower()

    @property
    def what(self) -> str:
        """Its operation, and the type of an app."""
        return f"{self.operation} {self.params.get('AppType', '')}".strip()

    def __str__(self) -> str:
        return f"{self.operation} {json.dumps(self.params, sort_keys=True, default=str)}"


class Hears(Protocol):
    """Whoever is told."""

    def asked(self, call: Call) -> None: ...
    def answered(self, call: Call) -> None: ...


def watch(session: boto3.Session, hears: Hears) -> None:
    """Tell *hears* of the calls of every client that is made of *session* from now on."""

    def meant(params: Mapping[str, Any], model: OperationModel, context: dict[str, Any], **_: Any) -> None:
        context["asked"] = Call(
            service=model.service_model.endpoint_prefix, operation=model.name, params=dict(params)
        )

    def leaves(request: Any, **_: Any) -> None:
        hears.asked(request.context["asked"])

    def answers(parsed_response: Any = None, context: Any = None, **_: Any) -> None:
        if parsed_response and "Error" not in parsed_response:
            hears.answered(context["asked"])

    session.events.register("provide-client-params", meant)
    session.events.register("request-created", leaves)
    session.events.register("response-received", answers)
