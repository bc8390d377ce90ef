"""What the demo account has none of and some permission is for, so that every permission can be tried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3

from conftest import ACCOUNT, NOW, REGION
from ml_janitor_sandbox.control import Control

ROLE = f"arn:aws:iam::{ACCOUNT}:role/rarities"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/rarities"
"""A customer's key: reading what it encrypts takes permission for the key as well."""

SCHEDULE = "MonitoringScheduleArn"
RENTED: Any = {"ClusterConfig": {"InstanceType": "ml.m5.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}}
OF_BATCHES: Any = {
    "MonitoringInputs": [
        {
            "BatchTransformInput": {
                "DataCapturedDestinationS3Uri": "s3://in/captured",
                "DatasetFormat": {"Csv": {"Header": True}},
                "LocalPath": "/opt/ml/processing/in",
            }
        }
    ],
    "MonitoringOutputConfig": {
        "MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://out/drift", "LocalPath": "/opt/ml/processing/o"}}]
    },
    "MonitoringResources": RENTED,
    "MonitoringAppSpecification": {"ImageUri": "image"},
    "RoleArn": ROLE,
}
"""What a monitoring schedule looks at: what batch transforms captured."""


def seed(session: boto3.Session) -> None:
    """Add it to whatever account the session is for."""
    machinery(session)
    copies(session)
    shadow_test(session)
    untold_model(session)


def untold_model(session: boto3.Session) -> None:
    """A model of whose container Search tells nothing, so that it has to be described."""
    session.client("sagemaker").create_model(ModelName="untold", ExecutionRoleArn=ROLE)


def machinery(session: boto3.Session) -> None:
    """Kinds of SageMaker's that hardly anybody has."""
    sagemaker = session.client("sagemaker")
    definitions(session)
    sagemaker.create_model_package_group(ModelPackageGroupName="rarities")
    sagemaker.create_model_package(
        ModelPackageGroupName="rarities", ModelPackageDescription="the first", ModelApprovalStatus="Approved"
    )
    sagemaker.create_pipeline(
        PipelineName="rarities", PipelineDefinition="{}", ClientRequestToken="t" * 32, RoleArn=ROLE
    )
    hyperpod(sagemaker)


def traffic(control: Control) -> None:
    """Bytes to another region that S3 did not send."""
    control.charge(
        [
            {
                "service": "EC2 - Other",
                "usage_type": "USE1-EU-AWS-Out-Bytes",
                "operation": "InterRegion-Out",
                "start": f"{NOW - timedelta(days=40):%Y-%m-%dT00:00:00Z}",
                "end": f"{NOW:%Y-%m-%dT00:00:00Z}",
                "usd": 40,
                "quantity": 2000,
                "unit": "GB",
            }
        ]
    )


def repeats(session: boto3.Session, control: Control) -> None:
    """A processing job in an image of the account's own and a transform job, each three times the same."""
    sagemaker: Any = session.client("sagemaker")
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/rarities:1"
    sagemaker.create_model(
        ModelName="rarities-again", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image}
    )
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://meridian-ml-models/images/catalog/"}
    for number in range(3):
        name = f"repeated-{number}"
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            ProcessingInputs=[
                {"InputName": "in", "S3Input": {**source, "LocalPath": "/in", "S3InputMode": "File"}}
            ],
            ProcessingResources=RENTED,
            AppSpecification={"ImageUri": image},
            RoleArn=ROLE,
        )
        sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName="rarities-again",
            TransformInput={"DataSource": {"S3DataSource": source}},
            TransformOutput={"S3OutputPath": "s3://rarities/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        for kind, noun in (("processing_jobs", "ProcessingJob"), ("transform_jobs", "TransformJob")):
            stem = noun.removesuffix("Job")
            ran: dict[str, Any] = {
                f"{noun}Status": "Completed",
                f"{stem}StartTime": NOW - timedelta(hours=2),
                f"{stem}EndTime": NOW - timedelta(hours=1),
            }
            control.patch("sagemaker", [kind, name], **ran)


def definitions(session: boto3.Session) -> None:
    """A compilation job, and a job definition for each way of monitoring."""
    sagemaker: Any = session.client("sagemaker")
    sagemaker.create_compilation_job(
        CompilationJobName="rarities",
        RoleArn=ROLE,
        InputConfig={"S3Uri": "s3://rarities/m.tar.gz", "Framework": "PYTORCH"},
        OutputConfig={"S3OutputLocation": "s3://rarities/out", "TargetDevice": "ml_c5"},
        StoppingCondition={"MaxRuntimeInSeconds": 900},
    )
    seen = {"EndpointInput": {"EndpointName": "rarities", "LocalPath": "/opt/ml/processing/in"}}
    truth = seen | {"GroundTruthS3Input": {"S3Uri": "s3://rarities/truth"}}
    image = {"ImageUri": "image"}
    configured = image | {"ConfigUri": "s3://rarities/config"}
    for noun, member, given, specified in (
        ("data_quality", "DataQuality", seen, image),
        ("model_quality", "ModelQuality", truth, image | {"ProblemType": "Regression"}),
        ("model_bias", "ModelBias", truth, configured),
        ("model_explainability", "ModelExplainability", seen, configured),
    ):
        getattr(sagemaker, f"create_{noun}_job_definition")(
            JobDefinitionName="rarities",
            JobResources=RENTED,
            RoleArn=ROLE,
            **{
                f"{member}AppSpecification": specified,
                f"{member}JobInput": given,
                f"{member}JobOutputConfig": OF_BATCHES["MonitoringOutputConfig"],
            },
        )


def automl(session: boto3.Session) -> str:
    """An AutoML job, by its ARN."""
    sagemaker: Any = session.client("sagemaker")
    made = sagemaker.create_auto_ml_job_v2(
        AutoMLJobName="rarities",
        AutoMLJobInputDataConfig=[
            {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://rarities/in"}}}
        ],
        OutputDataConfig={"S3OutputPath": "s3://rarities/out"},
        AutoMLProblemTypeConfig={"TextGenerationJobConfig": {"CompletionCriteria": {"MaxCandidates": 1}}},
        RoleArn=ROLE,
    )
    return str(made["AutoMLJobArn"])


def schedule(session: boto3.Session) -> str:
    """A monitoring schedule, by its ARN."""
    sagemaker: Any = session.client("sagemaker")
    made = sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="rarities", MonitoringScheduleConfig={"MonitoringJobDefinition": OF_BATCHES}
    )
    return str(made[SCHEDULE])


def shadow_test(session: boto3.Session) -> None:
    """An inference experiment over the first endpoint that there is."""
    sagemaker: Any = session.client("sagemaker")
    endpoint = sagemaker.list_endpoints(MaxResults=1)["Endpoints"][0]["EndpointName"]
    infrastructure = {
        "InfrastructureType": "RealTimeInference",
        "RealTimeInferenceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    }
    variants = [
        {"ModelName": name, "VariantName": name, "InfrastructureConfig": infrastructure}
        for name in ("rarities", "shadow")
    ]
    sagemaker.create_inference_experiment(
        Name="rarities",
        Type="ShadowMode",
        RoleArn=ROLE,
        EndpointName=endpoint,
        ModelVariants=variants,
        ShadowModeConfig={
            "SourceModelVariantName": "rarities",
            "ShadowModelVariants": [{"ShadowModelVariantName": "shadow", "SamplingPercentage": 10}],
        },
    )


def warm_pools(session: boto3.Session, box: Control) -> None:
    """Four completed jobs of one family whose warm pools waited for four hours each, for nobody."""
    sagemaker: Any = session.client("sagemaker")
    for days in range(1, 5):
        created = NOW - timedelta(days=days)
        box.set_clock(created)
        sagemaker.create_training_job(
            TrainingJobName=f"rarities-{days}",
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://rarities/out"},
            ResourceConfig={
                "InstanceType": "ml.g5.12xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
                "KeepAlivePeriodInSeconds": 4 * 3600,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        ended: dict[str, Any] = {
            "TrainingJobStatus": "Completed",
            "TrainingEndTime": created + timedelta(hours=1),
            "WarmPoolStatus": {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 4 * 3600},
        }
        box.patch("sagemaker", ["training_jobs", f"rarities-{days}"], **ended)
    box.set_clock(NOW)


def monitoring(session: boto3.Session, box: Control, endpoint: str) -> None:
    """A schedule that runs over *endpoint*, and one execution of it that has ended."""
    sagemaker: Any = session.client("sagemaker")
    over = {"EndpointInput": {"EndpointName": endpoint, "LocalPath": "/opt/ml/processing/in"}}
    schedule = sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=endpoint,
        MonitoringScheduleConfig={"MonitoringJobDefinition": OF_BATCHES | {"MonitoringInputs": [over]}},
    )
    box.set_clock(NOW - timedelta(days=1))
    name = f"model-monitoring-{endpoint}"
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        ProcessingResources=RENTED,
        AppSpecification={"ImageUri": "image"},
        RoleArn=ROLE,
    )
    ended: Any = {"ProcessingJobStatus": "Completed", "ProcessingEndTime": NOW - timedelta(hours=23)}
    box.patch("sagemaker", ["processing_jobs", name], **{SCHEDULE: schedule[SCHEDULE]}, **ended)
    box.set_clock(NOW)


def scaling(session: boto3.Session, box: Control, endpoint: str, variant: str) -> None:
    """Application Auto Scaling gave a *variant* of *endpoint* another instance yesterday."""
    box.set_clock(NOW - timedelta(days=1))
    session.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{endpoint}/variant/{variant}",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=2,
        MaxCapacity=2,
    )
    box.set_clock(NOW)


def children(session: boto3.Session, box: Control) -> None:
    """Jobs long past their own limits that an AutoML job and a monitoring schedule started."""
    sagemaker: Any = session.client("sagemaker")
    members = ("AutoMLJobArn", automl(session)), (SCHEDULE, schedule(session))
    box.set_clock(NOW - timedelta(days=2))
    for number, (member, arn) in enumerate(members):
        sagemaker.create_processing_job(
            ProcessingJobName=f"rarities-{number}",
            ProcessingResources=RENTED,
            AppSpecification={"ImageUri": "image"},
            RoleArn=ROLE,
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        box.patch("sagemaker", ["processing_jobs", f"rarities-{number}"], **{member: arn})
    box.set_clock(NOW)


def copies(session: boto3.Session) -> None:
    """
    Equal files in a bucket with Object Lock, and in one whose objects are under a customer's key.

    Models use one of each, and an image of a repository: what SageMaker does not use is not looked at.
    """
    s3, ecr, sagemaker = session.client("s3"), session.client("ecr"), session.client("sagemaker")
    image = ecr.create_repository(repositoryName="rarities")["repository"]["repositoryUri"]
    s3.create_bucket(Bucket="rarities-locked", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="rarities-encrypted")
    body = b"weights " * 2**18
    for name in ("a/model.tar.gz", "b/model.tar.gz"):
        s3.put_object(Bucket="rarities-locked", Key=name, Body=body)
        s3.put_object(
            Bucket="rarities-encrypted", Key=name, Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=KEY
        )
    for bucket in ("rarities-locked", "rarities-encrypted"):
        sagemaker.create_model(
            ModelName=bucket,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": f"{image}:1", "ModelDataUrl": f"s3://{bucket}/a/model.tar.gz"},
        )


def savings_plan(box: Control, commitment: str = "0.010") -> None:
    """A Savings Plan of the account's own, of so many dollars an hour."""
    box.set_bill(
        plans=[
            {"savingsPlanType": "SageMaker", "commitment": commitment, "state": "active", "currency": "USD"}
        ]
    )


def hyperpod(sagemaker: Any) -> None:
    """A HyperPod cluster of one instance."""
    sagemaker.create_cluster(
        ClusterName="rarities",
        InstanceGroups=[
            {
                "InstanceGroupName": "workers",
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-rarities", "OnCreate": "create.sh"},
                "ExecutionRole": ROLE,
                "ThreadsPerCore": 1,
            }
        ],
    )
