"""Waste that armed detectors act on, with all that the acts and their undos have to deal with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3

import rarities
from conftest import ACCOUNT, NOW
from integration.test_endpoint_cleanup import World, experiment
from integration.test_idle_studio_apps import Studio
from janitor.aws import Aws
from sandbox.control import Control

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BUCKET = "condemned"


class Condemned:
    """Two of each kind: of the one called *spared*, somebody will say that it stays."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.session, self.aws = box, session, aws
        self.sagemaker: Any = session.client("sagemaker")

    def add(self, detector: str) -> None:
        """What *detector* will find."""
        {
            "idle-notebooks": self._notebooks,
            "idle-studio-apps": self._apps,
            "idle-endpoints": self._endpoints,
            "duplicate-artifacts": self._copies,
        }[detector]()
        self.box.set_clock(NOW + timedelta(seconds=30))

    def _notebooks(self) -> None:
        for name in ("notebook", "spared"):
            self.box.set_clock(NOW - 30 * DAY)
            self.sagemaker.create_notebook_instance(
                NotebookInstanceName=name, InstanceType="ml.t3.xlarge", RoleArn=ROLE
            )
            wrote = (NOW - 15 * HOUR, "Saving /eda.ipynb")
            self.box.logs("/aws/sagemaker/NotebookInstances", f"{name}/jupyter.log", [wrote])

    def _apps(self) -> None:
        studio = Studio(self.box, self.session)
        for name in ("space", "spared"):
            studio.app(space=studio.space(name, studio.profile(f"anna-{name}")), team="nlp")

    def _endpoints(self) -> None:
        """The spared one has neither components nor scaling; another runs an experiment."""
        world = World(self.box, self.aws)
        world.plain()
        world.shared()
        world.endpoint("spared")
        world.requests("spared")
        experiment(world)

    def _copies(self) -> None:
        """Under a customer's key, with tags, in a bucket that keeps versions."""
        s3 = self.session.client("s3")
        self.box.set_clock(NOW - 60 * DAY)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        for age, name in ((50, "kept"), (40, "copy"), (30, "spared")):
            self.box.set_clock(NOW - age * DAY)
            s3.put_object(
                Bucket=BUCKET,
                Key=f"{name}.tar.gz",
                Body=b"weights " * 2**17,
                Tagging="team=nlp",
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=rarities.KEY,
            )
