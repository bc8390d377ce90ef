"""Waste that armed detectors act on, with all that the acts and their undos have to deal with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3

import rarities
from conftest import ACCOUNT, NOW
from endpoint_seed import KEY, Serving, experiment
from job_seed import Floor
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control
from studio_seed import Studio
from tag_seed import REGISTRY, training, transform_job

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BUCKET, SCRATCH = "condemned", "ml-scratch"
SMALL, LARGE = 2**20, 2**21
"""Bytes of copies. An undo writes the larger again in parts, once `ATOMIC` is between them."""

ATOMIC = (SMALL + LARGE) // 2


class Condemned:
    """Several of each kind: one of them, mostly the one called *spared*, somebody will keep."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.session, self.aws = box, session, aws
        self.sagemaker: Any = session.client("sagemaker")

    def add(self, waste: str) -> None:
        """What the detector of that name will find, or copies in a bucket without versions."""
        {
            "idle-notebooks": self._notebooks,
            "idle-studio-apps": self._apps,
            "idle-endpoints": self._endpoints,
            "hung-training-jobs": self._jobs,
            "untagged-resources": self._untagged,
            "untagged-kinds": self._untagged_kinds,
            "duplicate-artifacts": self._copies,
            "unversioned": self._unversioned,
            "forgotten-leftovers": self._logs,
            "storage-tiering": self._scratch,
        }[waste]()
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
        """In spaces, and of a user profile."""
        studio = Studio(self.box, self.session)
        for name in ("space", "spared"):
            studio.app(space=studio.space(name, studio.profile(f"anna-{name}")), team="nlp")
        studio.app(profile="anna-space", kind="KernelGateway", name="gpu")

    def _endpoints(self) -> None:
        """
        One has neither components nor scaling, one runs an experiment, of one the role was passed.

        One is monitored, and so only reported; it was scaled yesterday.
        """
        serving = Serving(self.box, self.aws)
        serving.plain()
        serving.shared()
        serving.endpoint("spared")
        serving.requests("spared")
        experiment(serving)
        serving.endpoint("second", {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)
        serving.component("only", "second", age=29 * DAY)
        serving.publish("Invocations", InferenceComponentName="only")
        serving.control("second")
        serving.endpoint("monitored")
        serving.requests("monitored")
        rarities.monitoring(self.session, self.box, "monitored")
        rarities.scaling(self.session, self.box, "monitored", "blue")

    def _jobs(self) -> None:
        """
        Of every kind, two with a warm pool to be ended, and a tuning job with its only child.

        Some have tags; the volumes of one are under a customer's key.
        """
        floor = Floor(self.box, self.session)
        for name in ("job", "spared"):
            floor.training(name, keep_alive=3600)
        floor.processing("features")
        floor.transform("scores")
        floor.tuner("search", "search-1")
        described = self.sagemaker.describe_training_job(TrainingJobName="job")
        volumes = {**described["ResourceConfig"], "VolumeKmsKeyId": KEY}
        self.box.patch("sagemaker", ["training_jobs", "job"], ResourceConfig=volumes)
        for arn in (
            self.sagemaker.describe_processing_job(ProcessingJobName="features")["ProcessingJobArn"],
            self.sagemaker.describe_transform_job(TransformJobName="scores")["TransformJobArn"],
        ):
            self.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "maria"}])

    def _untagged(self) -> None:
        """Of each service that has tags of its own."""
        self.box.set_clock(NOW - DAY)
        for name in ("untagged", "untagged-spared"):
            self.sagemaker.create_notebook_instance(
                NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=ROLE
            )
        self.session.client("s3").create_bucket(Bucket="bucket")
        self.session.client("ecr").create_repository(repositoryName="repository")
        self.sagemaker.create_model(
            ModelName="nlp",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": f"{REGISTRY}/repository:1", "ModelDataUrl": "s3://bucket/m.tar.gz"},
        )

    def _untagged_kinds(self) -> None:
        """One of each further kind that has tags."""
        serving = Serving(self.box, self.aws)
        shared = {"VariantName": "blue", "ModelName": None}
        serving.endpoint("gateway", shared, ExecutionRoleArn=ROLE)
        serving.component("base", "gateway")
        studio = Studio(self.box, self.session)
        studio.space("s", studio.profile("u"))
        self.box.set_clock(NOW - DAY)
        rarities.machinery(self.session)
        rarities.automl(self.session)
        rarities.schedule(self.session)
        self.sagemaker.create_training_job(TrainingJobName="t", **training("s3://bucket/"))
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        self.sagemaker.create_processing_job(
            ProcessingJobName="p",
            RoleArn=ROLE,
            AppSpecification={"ImageUri": f"{REGISTRY}/repository:1"},
            ProcessingResources={"ClusterConfig": cluster},
        )
        transform_job(self.session, "b")
        self.sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="h",
            HyperParameterTuningJobConfig={
                "Strategy": "Bayesian",
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
            },
            TrainingJobDefinition=training("s3://bucket/"),
        )

    def _logs(self) -> None:
        """Groups that keep every event, and older ones than their retention would."""
        self.box.set_clock(NOW - 400 * DAY)
        for name in ("kept-for-ever", "spared"):
            self.box.log_group(f"/aws/sagemaker/{name}", 50 * 2**30)

    def _scratch(self) -> None:
        """Two, one of which has a lifecycle rule of its own."""
        for name in (SCRATCH, "second-scratch"):
            self.scratch(name)
        rule: Any = {"ID": "theirs", "Filter": {"Prefix": "tmp/"}, "Status": "Enabled"}
        rules: Any = {"Rules": [rule | {"Expiration": {"Days": 7}}]}
        self.session.client("s3").put_bucket_lifecycle_configuration(
            Bucket=SCRATCH, LifecycleConfiguration=rules
        )

    def scratch(self, name: str) -> None:
        """A bucket full of old experiments that nobody reads, as its request metrics tell."""
        s3, key = self.session.client("s3"), "experiments/run-1/weights.bin"
        self.box.set_clock(NOW - 200 * DAY)
        s3.create_bucket(Bucket=name)
        s3.put_bucket_metrics_configuration(Bucket=name, Id="all", MetricsConfiguration={"Id": "all"})
        s3.put_object(Bucket=name, Key=key, Body=b"weights")
        self.box.declare([{"bucket": name, "key": key, "size": 10**12}])
        self.box.set_clock(NOW)
        for metric, value in (("AllRequests", 1.0), ("BytesDownloaded", 0.0)):
            day: dict[str, Any] = {"metric": metric, "dimensions": {"BucketName": name, "FilterId": "all"}}
            day |= {"start": NOW - 95 * DAY, "step": 86_400, "values": [value] * 95}
            self.box.metrics("AWS/S3", [day])

    def _copies(self) -> None:
        """Under a customer's key, with tags, in a bucket that keeps versions."""
        s3 = self.session.client("s3")
        self.box.set_clock(NOW - 60 * DAY)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        for age, name in ((50, "kept"), (40, "copy"), (30, "spared")):
            self._put(f"{name}.tar.gz", age, b"weights " * 2**17)
        self._with_copy("large", LARGE)

    def _unversioned(self) -> None:
        self.box.set_clock(NOW - 60 * DAY)
        self.session.client("s3").create_bucket(Bucket=BUCKET)
        self._with_copy("small", SMALL)
        self._with_copy("large", LARGE)

    def _with_copy(self, name: str, size: int) -> None:
        """One that is kept, and one copy."""
        for age, key in ((50, f"{name}.tar.gz"), (40, f"copy-of-{name}.tar.gz")):
            self._put(key, age, name[:1].encode() * size)

    def _put(self, key: str, age: int, body: bytes) -> None:
        """Under a customer's key, with tags."""
        self.box.set_clock(NOW - age * DAY)
        self.session.client("s3").put_object(
            Bucket=BUCKET,
            Key=key,
            Body=body,
            Tagging="team=nlp",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=rarities.KEY,
        )
