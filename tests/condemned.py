"""Waste that armed detectors act on, with all that the acts and their undos have to deal with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3

import rarities
from conftest import ACCOUNT, NOW, REGION
from integration.test_endpoint_cleanup import World, experiment
from integration.test_idle_studio_apps import Studio
from integration.test_untagged_resources import training, transform_job
from job_seed import Floor
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/rarities:1"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BUCKET = "condemned"


class Condemned:
    """
    Two of each kind: of the one called *spared*, somebody will say that it stays.

    With *few*, not every kind is there: enough for every statement of a role.
    """

    def __init__(self, box: Control, session: boto3.Session, aws: Aws, *, few: bool = False) -> None:
        self.box, self.session, self.aws, self.few = box, session, aws, few
        self.sagemaker: Any = session.client("sagemaker")

    def add(self, detector: str) -> None:
        """What *detector* will find."""
        {
            "idle-notebooks": self._notebooks,
            "idle-studio-apps": self._apps,
            "idle-endpoints": self._endpoints,
            "hung-training-jobs": self._jobs,
            "untagged-resources": self._untagged,
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

    def _jobs(self) -> None:
        """Of every kind, two with a warm pool to be ended, and a tuning job with its only child."""
        floor = Floor(self.box, self.session)
        for name in ("job", "spared"):
            floor.training(name, keep_alive=3600)
        floor.processing("features")
        floor.transform("scores")
        floor.tuner("search", "search-1")

    def _untagged(self) -> None:
        """Notebooks, and the models with the buckets and the repository that they use; else every kind."""
        self.box.set_clock(NOW - DAY)
        for name in ("untagged", "untagged-spared"):
            self.sagemaker.create_notebook_instance(
                NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=ROLE
            )
        rarities.copies(self.session)
        if not self.few:
            self._of_other_kinds()

    def _of_other_kinds(self) -> None:
        """One of each that has tags: with the others no more than one sweep warns of."""
        world = World(self.box, self.aws)
        shared = {"VariantName": "blue", "ModelName": None}
        world.endpoint("gateway", shared, ExecutionRoleArn=ROLE)
        world.component("base", "gateway")
        Studio(self.box, self.session).space("s")
        self.box.set_clock(NOW - DAY)
        rarities.machinery(self.session)
        self.sagemaker.create_training_job(TrainingJobName="t", **training("s3://rarities-locked/"))
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        self.sagemaker.create_processing_job(
            ProcessingJobName="p",
            RoleArn=ROLE,
            AppSpecification={"ImageUri": IMAGE},
            ProcessingResources={"ClusterConfig": cluster},
        )
        transform_job(self.session, "b")
        self.sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="h",
            HyperParameterTuningJobConfig={
                "Strategy": "Bayesian",
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
            },
            TrainingJobDefinition=training("s3://rarities-locked/"),
        )

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
