"""A synthesised template as a stack of the sandbox, beside what CDK puts there."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import boto3

from ml_janitor_sandbox.deployment import REGION, SECRET
from ml_janitor_sandbox.slack import TOKEN
from ml_janitor_sandbox.wire import ACCOUNT

NAME = "MlJanitor"
ASSETS = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"


def deploy(url: str, template: Mapping[str, Any], *, secret: str = TOKEN) -> dict[str, str]:
    """Make *template* in the sandbox at *url*, and the secret beside it; physical ids by logical id."""
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    session.client("secretsmanager", endpoint_url=url).create_secret(Name=SECRET, SecretString=secret)
    session.client("ssm", endpoint_url=url).put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String"
    )
    address = upload(url, template)
    stacks = session.client("cloudformation", endpoint_url=url)
    stacks.create_stack(StackName=NAME, TemplateURL=address, Capabilities=["CAPABILITY_NAMED_IAM"])
    (made,) = stacks.describe_stacks(StackName=NAME)["Stacks"]
    if made["StackStatus"] != "CREATE_COMPLETE":
        events = stacks.get_paginator("describe_stack_events").paginate(StackName=NAME)
        failed = events.search("StackEvents[?ResourceStatus=='CREATE_FAILED'].ResourceStatusReason")
        raise RuntimeError("; ".join(failed))
    pages = stacks.get_paginator("list_stack_resources").paginate(StackName=NAME)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def upload(url: str, template: Mapping[str, Any]) -> str:
    """Put *template* and an empty bundle for its functions where CDK does; the template's address."""
    s3 = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION).client("s3", endpoint_url=url)
    s3.create_bucket(Bucket=ASSETS)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("empty.py"), "")
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            s3.put_object(Bucket=ASSETS, Key=resource["Properties"]["Code"]["S3Key"], Body=packed.getvalue())
    s3.put_object(Bucket=ASSETS, Key="template.json", Body=json.dumps(template))
    return f"https://{ASSETS}.s3.{REGION}.amazonaws.com/template.json"
