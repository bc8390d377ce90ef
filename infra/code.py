"""The bundle as a CDK asset, keyed by everything it is made from."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

from infra.bundle import SOURCE, Architecture, build, digest


@jsii.implements(cdk.ILocalBundling)
class Local:
    """Builds on this machine, without Docker."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def try_bundle(self, output_dir: str, _options: cdk.BundlingOptions) -> bool:
        """
        Build into *output_dir*.

        jsii calls this with two positional arguments, whatever the generated documentation says.
        """
        build(Path(output_dir), self._architecture)
        return True


def code(architecture: Architecture) -> lambda_.Code:
    """The one asset that all functions share."""
    return lambda_.Code.from_asset(
        str(SOURCE),
        asset_hash=digest(architecture),
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(
            image=cdk.DockerImage.from_registry("never-pulled"),
            local=Local(architecture),  # type: ignore[arg-type]
        ),
    )
