"""Waste whose undo has more to do than its act: what an undo needs, and an act does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import rarities
from condemned import BUCKET, DAY, ROLE, Condemned
from conftest import NOW
from integration.test_endpoint_cleanup import KEY, World
from integration.test_idle_studio_apps import Studio

SMALL, LARGE = 2**20, 2**21
"""Bytes of copies. The larger is written again in parts, once `ATOMIC` is between them."""

ATOMIC = (SMALL + LARGE) // 2


class Regretted(Condemned):
    """Things that somebody wants back, and one each that somebody keeps while it is half done."""

    def add(self, detector: str) -> None:
        """What *detector* will find; of copies also those in a bucket without versions."""
        if detector == "unversioned":
            self._artifacts()
            self.box.set_clock(NOW + timedelta(seconds=30))
        else:
            super().add(detector)

    def _apps(self) -> None:
        """In a space, and of a user profile."""
        studio = Studio(self.box, self.session)
        for name in ("space", "spared"):
            studio.app(space=studio.space(name, studio.profile(f"anna-{name}")), team="nlp")
        studio.app(profile="anna-space", kind="KernelGateway", name="gpu")

    def _endpoints(self) -> None:
        """The spared one has components and scaling; of another the role was passed in its configuration."""
        world = World(self.box, self.aws)
        world.plain()
        world.shared()
        world.endpoint("second", {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)
        world.component("only", "second", age=29 * DAY)
        world.publish("Invocations", InferenceComponentName="only")
        world.control("second")

    def _jobs(self) -> None:
        """Of every kind, with tags; the volumes of one are under a customer's key."""
        super()._jobs()
        described = self.sagemaker.describe_training_job(TrainingJobName="job")
        volumes = {**described["ResourceConfig"], "VolumeKmsKeyId": KEY}
        self.box.patch("sagemaker", ["training_jobs", "job"], ResourceConfig=volumes)
        for arn in (
            self.sagemaker.describe_processing_job(ProcessingJobName="features")["ProcessingJobArn"],
            self.sagemaker.describe_transform_job(TransformJobName="scores")["TransformJobArn"],
        ):
            self.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "maria"}])

    def _copies(self) -> None:
        super()._copies()
        self._put("large", LARGE)

    def _artifacts(self) -> None:
        self.box.set_clock(NOW - 60 * DAY)
        self.session.client("s3").create_bucket(Bucket=BUCKET)
        self._put("small", SMALL)
        self._put("large", LARGE)

    def _put(self, name: str, size: int) -> None:
        """One that is kept, and one copy."""
        s3 = self.session.client("s3")
        given: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": rarities.KEY, "Tagging": "team=nlp"}
        for age, key in ((50, f"{name}.tar.gz"), (40, f"copy-of-{name}.tar.gz")):
            self.box.set_clock(NOW - age * DAY)
            s3.put_object(Bucket=BUCKET, Key=key, Body=name[:1].encode() * size, **given)
