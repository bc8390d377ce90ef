"""The CDK stack: the plan of the deployment as constructs, with the bundle as its asset."""

from __future__ import annotations

import json
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import jsii
from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.cloudformation_include import CfnInclude

from infra.bundle import PROJECT_ROOT, SOURCE_ROOT, Architecture, build_bundle, bundle_digest
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor_cli.template.member import write_member_roles
from ml_janitor_cli.template.plan import deployment_notes, deployment_plan, deployment_warnings
from ml_janitor_cli.template.resources import ACCOUNT, PARTITION, REGION

ACCEPTED_FINDINGS = {
    "AwsSolutions-L1": "Python 3.13 is supported by Lambda until 2029, and the bundle's byte code is for it.",
    "AwsSolutions-SQS3": "Both queues are for what could not be delivered or run.",
    "AwsSolutions-S1": "Reports name resources and dollars, no secrets; an access log would need a bucket of "
    "its own that nobody reads. CloudTrail data events can be switched on where they are wanted.",
    "AwsSolutions-SF2": "Its log has every step, and the ledger each account's result: no traces are needed.",
}
"""Rules of cdk-nag that the stack does not follow, and why."""

STARRED_RESOURCE = (
    "These actions either have no resource level in IAM, or concern resources whose names are not known "
    "before they are listed; each is declared by the detector that calls it, and a test compares the "
    "declaration with the calls recorded."
)


class JanitorStack(Stack):
    """
    The stack of the plan for *settings*; `janitor deploy` makes the same one without CDK.

    The plan validates the settings before anything is made, by the same code that reads them in Lambda.
    *today* decides whether what a disarmed detector did can still be undone.
    """

    def __init__(
        self,
        scope: cdk.App,
        id_: str,
        *,
        today: date,
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        settings = settings or Settings.load(files=[PROJECT_ROOT / SETTINGS_FILE], deploying=True)
        super().__init__(scope, id_, tags=settings.janitor.tags, **kwargs)
        account, region = (
            "" if cdk.Token.is_unresolved(known) else known for known in (self.account, self.region)
        )
        synthesizer = cast("cdk.DefaultStackSynthesizer", self.synthesizer)
        deploying = synthesizer.cloud_formation_execution_role_arn, synthesizer.deploy_role_arn
        code = bundle_code("arm64").bind(self).s3_location
        assert code is not None  # noqa: S101 - an asset has a place in S3
        self.plan = deployment_plan(
            settings,
            today,
            name=self.stack_name,
            code=self.resolve({"S3Bucket": code.bucket_name, "S3Key": code.object_key}),
            deployers=[_in_stack(role) for role in deploying],
            account=account,
        )
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(self.plan, file)
            file.flush()
            CfnInclude(self, "Plan", template_file=file.name)
        cdk.Validations.of(self).acknowledge(
            *(cdk.Acknowledgment(id=rule, reason=reason) for rule, reason in ACCEPTED_FINDINGS.items()),
            *(cdk.Acknowledgment(id=rule, reason=STARRED_RESOURCE) for rule in starred_resources(self.plan)),
        )
        for name, warnings in deployment_warnings(settings, account=account, region=region).items():
            for warning in warnings:
                cdk.Annotations.of(self).add_warning_v2(f"janitor:{name}", warning)
        for note in deployment_notes(settings):  # --strict fails on a warning
            cdk.Annotations.of(self).add_info(note)
        if settings.organization.used:
            stage = cdk.Stage.of(self)
            written = write_member_roles(settings, Path(stage.outdir if stage else "."), today)
            sizes = ", ".join(f"{path.name} ({path.stat().st_size:,} bytes)" for path in written)
            cdk.Annotations.of(self).add_info(
                f"[organization]: {sizes}, beside this template, make the roles that its accounts grant; "
                "docs/organization.md says how."
            )


def _in_stack(role: str) -> str:
    """Return the ARN of a *role* of CDK as the plan writes it; the account of the stack may be known."""
    pseudo = {"AWS::Partition": PARTITION, "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
    return re.sub(r"\$\{(AWS::\w+)\}", lambda found: pseudo[found[1]], role)


def starred_resources(plan: dict[str, Any]) -> list[str]:
    """Return cdk-nag's ids for stars in resources of the roles' policies."""
    found: set[str] = set()
    for resource in plan["Resources"].values():
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                named = statement["Resource"]
                found |= {nag_resource(target) for target in (named if isinstance(named, list) else [named])}
    return [f"AwsSolutions-IAM5[Resource::{resource}]" for resource in sorted(found) if "*" in resource]


def nag_resource(resource: Any) -> str:
    """Return a resource the way cdk-nag prints it: pseudo parameters and attributes in angle brackets."""
    match resource:
        case str():
            return resource
        case {"Fn::Join": [_, parts]}:
            return "".join(map(nag_resource, parts))
        case {"Fn::GetAtt": names}:
            return f"<{'.'.join(names)}>"
        case _:
            return f"<{resource['Ref']}>"


# --- the bundle as an asset -----------------------------------------------------------------------


@jsii.implements(cdk.ILocalBundling)
class LocalBundling:
    """Builds on this machine, without Docker."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def try_bundle(self, output_dir: str, _options: cdk.BundlingOptions) -> bool:
        """
        Build into *output_dir*.

        jsii calls this with two positional arguments, whatever the generated documentation says.
        """
        build_bundle(Path(output_dir), self._architecture)
        return True


def bundle_code(architecture: Architecture) -> lambda_.Code:
    """Return the one asset that all functions share."""
    return lambda_.Code.from_asset(
        str(SOURCE_ROOT),
        asset_hash=bundle_digest(architecture),
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(
            image=cdk.DockerImage.from_registry("never-pulled"),
            local=LocalBundling(architecture),  # type: ignore[arg-type]
        ),
    )
