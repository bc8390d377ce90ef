"""Everything that an armed role may act on, tagged to be kept, and the calls that would act on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import boto3

from condemned import BUCKET, SCRATCH
from conftest import ACCOUNT
from job_seed import Floor
from ml_janitor.aws.calls import ServiceName
from ml_janitor_sandbox.control import Control
from studio_seed import Studio

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
NAME = "kept"


class Act(NamedTuple):
    """One call: its IAM action, and how boto3 makes it."""

    action: str
    service: ServiceName
    method: str
    params: dict[str, Any]

    def by(self, client: Callable[[ServiceName], Any]) -> object:
        """What the call answers, made with *client*'s client of its service."""
        return getattr(client(self.service), self.method)(**self.params)


class KeptThings:
    """An account with things that are tagged *key*, which AWS compares in whatever case it is written."""

    def __init__(self, box: Control, session: boto3.Session, key: str, value: str = "Q4 demo") -> None:
        self.box, self.session = box, session
        self.sagemaker: Any = session.client("sagemaker")
        self.tags: Any = [{"Key": key, "Value": value}]
        self.key, self.value = key, value

    def acts(self, detector: str) -> list[Act]:
        """Everything that the role of *detector* may do to them."""
        made = {
            "idle-notebooks": self._notebook,
            "idle-studio-apps": self._app,
            "idle-endpoints": self._endpoint,
            "hung-training-jobs": self._jobs,
            "untagged-resources": self._fillable,
            "duplicate-artifacts": self._copy,
            "forgotten-leftovers": self._log_group,
            "storage-tiering": self._scratch,
        }
        return made[detector]()

    def _tag(self, arn: str) -> None:
        self.sagemaker.add_tags(ResourceArn=arn, Tags=self.tags)

    def _notebook(self) -> list[Act]:
        self.sagemaker.create_notebook_instance(
            NotebookInstanceName=NAME, InstanceType="ml.t3.medium", RoleArn=ROLE, Tags=self.tags
        )
        named = {"NotebookInstanceName": NAME}
        return [Act("sagemaker:StopNotebookInstance", "sagemaker", "stop_notebook_instance", named)]

    def _app(self) -> list[Act]:
        studio = Studio(self.box, self.session)
        space = studio.space(NAME, studio.profile("anna"))
        tagged: Any = {self.key: self.value}
        app = studio.app(space=space, **tagged)
        return [Act("sagemaker:DeleteApp", "sagemaker", "delete_app", app)]

    def _endpoint(self) -> list[Act]:
        """The alarm is called as those are that Application Auto Scaling makes."""
        sagemaker = self.sagemaker
        variant = {"VariantName": "blue", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName=NAME, ExecutionRoleArn=ROLE, ProductionVariants=[variant]
        )
        sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME, Tags=self.tags)
        sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=ROLE)
        sagemaker.create_inference_component(
            InferenceComponentName=NAME,
            EndpointName=NAME,
            VariantName="blue",
            Specification={"ModelName": NAME, "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
            RuntimeConfig={"CopyCount": 1},
            Tags=self.tags,
        )
        scaled: Any = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"inference-component/{NAME}",
            "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
        }
        self.session.client("application-autoscaling").register_scalable_target(
            **scaled, MinCapacity=1, MaxCapacity=2, Tags={self.key: self.value}
        )
        alarm = f"TargetTracking-{scaled['ResourceId']}-AlarmHigh-1"
        self.session.client("cloudwatch").put_metric_alarm(
            AlarmName=alarm,
            MetricName="requests",
            Namespace="scaling",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            Tags=self.tags,
        )
        scaling: ServiceName = "application-autoscaling"
        named = {"InferenceComponentName": NAME}
        return [
            Act(f"{scaling}:DeregisterScalableTarget", scaling, "deregister_scalable_target", scaled),
            Act("cloudwatch:DeleteAlarms", "cloudwatch", "delete_alarms", {"AlarmNames": [alarm]}),
            Act("sagemaker:DeleteInferenceComponent", "sagemaker", "delete_inference_component", named),
            Act("sagemaker:DeleteEndpoint", "sagemaker", "delete_endpoint", {"EndpointName": NAME}),
        ]

    def _jobs(self) -> list[Act]:
        """The warm pool is ended when its job is over."""
        floor = Floor(self.box, self.session)
        floor.training(NAME, keep_alive=3600)
        floor.processing(NAME)
        floor.transform(NAME)
        floor.tuner(NAME)
        acts = []
        for noun in ("HyperParameterTuning", "Training", "Processing", "Transform"):
            kind = {"HyperParameterTuning": "hyper_parameter_tuning"}.get(noun, noun.lower())
            named = {f"{noun}JobName": NAME}
            self._tag(getattr(self.sagemaker, f"describe_{kind}_job")(**named)[f"{noun}JobArn"])
            acts.append(Act(f"sagemaker:Stop{noun}Job", "sagemaker", f"stop_{kind}_job", named))
        ended = {"TrainingJobName": NAME, "ResourceConfig": {"KeepAlivePeriodInSeconds": 0}}
        return [*acts, Act("sagemaker:UpdateTrainingJob", "sagemaker", "update_training_job", ended)]

    def _fillable(self) -> list[Act]:
        """A tag is absent that may be filled in."""
        model = self.sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=ROLE, Tags=self.tags)["ModelArn"]
        repository = self.session.client("ecr").create_repository(repositoryName=NAME, tags=self.tags)
        team, arn = [{"Key": "team", "Value": "ml"}], repository["repository"]["repositoryArn"]
        bucket = {"AccountId": ACCOUNT, "ResourceArn": f"arn:aws:s3:::{self._bucket(NAME)}", "Tags": team}
        return [
            Act("sagemaker:AddTags", "sagemaker", "add_tags", {"ResourceArn": model, "Tags": team}),
            Act("ecr:TagResource", "ecr", "tag_resource", {"resourceArn": arn, "tags": team}),
            Act("s3:TagResource", "s3control", "tag_resource", bucket),
        ]

    def _copy(self) -> list[Act]:
        put = self.session.client("s3").put_object(Bucket=self._bucket(BUCKET), Key=NAME, Body=b"weights")
        found = {"Bucket": BUCKET, "Key": NAME, "IfMatch": put["ETag"]}
        return [Act("s3:DeleteObject", "s3", "delete_object", found)]

    def _log_group(self) -> list[Act]:
        name = f"/aws/sagemaker/{NAME}"
        self.session.client("logs").create_log_group(logGroupName=name, tags={self.key: self.value})
        days = {"logGroupName": name, "retentionInDays": 90}
        return [Act("logs:PutRetentionPolicy", "logs", "put_retention_policy", days)]

    def _scratch(self) -> list[Act]:
        rule = {"Filter": {}, "Status": "Enabled", "Expiration": {"Days": 7}}
        rules = {"Bucket": self._bucket(SCRATCH), "LifecycleConfiguration": {"Rules": [rule]}}
        return [Act("s3:PutLifecycleConfiguration", "s3", "put_bucket_lifecycle_configuration", rules)]

    def _bucket(self, name: str) -> str:
        """One whose tags control access to it and to its objects."""
        s3: Any = self.session.client("s3")
        s3.create_bucket(Bucket=name)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": self.tags})
        s3.put_bucket_abac(Bucket=name, AbacStatus={"Status": "Enabled"})
        return name
