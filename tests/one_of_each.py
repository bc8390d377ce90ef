"""An account with one of each kind: rare ones, and what is due for each armed detector, with any tags."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import boto3

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from endpoint_seed import KEY as VOLUME_KEY
from endpoint_seed import Serving, experiment
from job_seed import Floor
from ml_janitor.aws.calls import ServiceName
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control
from moto_corrections import state
from moto_corrections.sagemaker.store import SageMakerStore
from sagemaker_requests import (
    ROLE,
    endpoint_input,
    experiment_request,
    hosting,
    monitoring_request,
    notebook_request,
    pipeline_request,
    processing_request,
    rented,
    scalable_target,
    training_request,
    transform_request,
    tuning_request,
)
from standin import idle_notebook
from studio_seed import Studio, spelled
from tag_seed import REGISTRY

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/rare"
"""A customer's key: reading what it encrypts takes permission for the key as well."""

SCHEDULE = "MonitoringScheduleArn"
CAPTURED: Any = {
    "BatchTransformInput": {
        "DataCapturedDestinationS3Uri": "s3://in/captured",
        "DatasetFormat": {"Csv": {"Header": True}},
        "LocalPath": "/opt/ml/processing/in",
    }
}
"""What a monitoring schedule looks at: what batch transforms captured."""

BUCKET, SCRATCH = "due-copies", "ml-scratch"
SMALL, LARGE = 2**20, 2**21
"""Bytes of copies. An undo writes the larger again in parts, once `ATOMIC` is between them."""

ATOMIC = (SMALL + LARGE) // 2


# --- rare kinds, which the demo account has none of ---------------------------------------------------


def rare_resources(session: boto3.Session) -> None:
    """Add what some permission is for to whatever account the session is for."""
    rare_kinds(session)
    copies(session)
    shadow_test(session)
    untold_model(session)


def shadow_test(session: boto3.Session) -> None:
    """An inference experiment over the first endpoint that there is."""
    sagemaker: Any = session.client("sagemaker")
    endpoint = sagemaker.list_endpoints(MaxResults=1)["Endpoints"][0]["EndpointName"]
    sagemaker.create_inference_experiment(**experiment_request("rare", endpoint))


def untold_model(session: boto3.Session) -> None:
    """A model of whose container Search tells nothing, so that it has to be described."""
    session.client("sagemaker").create_model(ModelName="untold", ExecutionRoleArn=ROLE)


def rare_kinds(session: boto3.Session) -> None:
    """Kinds of SageMaker's that hardly anybody has."""
    sagemaker = session.client("sagemaker")
    definitions(session)
    sagemaker.create_model_package_group(ModelPackageGroupName="rare")
    sagemaker.create_model_package(
        ModelPackageGroupName="rare", ModelPackageDescription="the first", ModelApprovalStatus="Approved"
    )
    sagemaker.create_pipeline(**pipeline_request("rare"))
    hyperpod(sagemaker)


def traffic(control: Control) -> None:
    """Bytes to another region that S3 did not send."""
    about = {"service": "EC2 - Other", "usage_type": "USE1-EU-AWS-Out-Bytes", "operation": "InterRegion-Out"}
    span = {"start": f"{NOW - 40 * DAY:%Y-%m-%dT00:00:00Z}", "end": f"{NOW:%Y-%m-%dT00:00:00Z}"}
    control.charge([about | span | {"usd": 40, "quantity": 2000, "unit": "GB"}])


def repeats(session: boto3.Session, control: Control) -> None:
    """A processing job in an image of the account's own and a transform job, each three times the same."""
    sagemaker: Any = session.client("sagemaker")
    image, source = f"{REGISTRY}/rare:1", "s3://meridian-ml-models/images/catalog/"
    sagemaker.create_model(ModelName="again", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    local = {"LocalPath": "/in", "S3DataType": "S3Prefix", "S3InputMode": "File", "S3Uri": source}
    given, on = [{"InputName": "in", "S3Input": local}], rented("ml.m5.4xlarge")
    for name in ("repeated-0", "repeated-1", "repeated-2"):
        sagemaker.create_processing_job(**processing_request(name, on, image=image, ProcessingInputs=given))
        sagemaker.create_transform_job(**transform_request(name, "again", source=source))
        for kind, stem in (("processing_jobs", "Processing"), ("transform_jobs", "Transform")):
            ran: dict[str, Any] = {f"{stem}StartTime": NOW - 2 * HOUR, f"{stem}EndTime": NOW - HOUR}
            control.patch("sagemaker", [kind, name], **ran, **{f"{stem}JobStatus": "Completed"})


def definitions(session: boto3.Session) -> None:
    """A compilation job, and a job definition for each way of monitoring."""
    sagemaker: Any = session.client("sagemaker")
    sagemaker.create_compilation_job(
        CompilationJobName="rare",
        RoleArn=ROLE,
        InputConfig={"S3Uri": "s3://rare/m.tar.gz", "Framework": "PYTORCH"},
        OutputConfig={"S3OutputLocation": "s3://rare/out", "TargetDevice": "ml_c5"},
        StoppingCondition={"MaxRuntimeInSeconds": 900},
    )
    job = monitoring_request("")["MonitoringScheduleConfig"]["MonitoringJobDefinition"]
    seen = endpoint_input("rare")
    truth = seen | {"GroundTruthS3Input": {"S3Uri": "s3://rare/truth"}}
    image = {"ImageUri": "image"}
    configured = image | {"ConfigUri": "s3://rare/config"}
    for noun, member, given, specified in (
        ("data_quality", "DataQuality", seen, image),
        ("model_quality", "ModelQuality", truth, image | {"ProblemType": "Regression"}),
        ("model_bias", "ModelBias", truth, configured),
        ("model_explainability", "ModelExplainability", seen, configured),
    ):
        about = {"AppSpecification": specified, "JobInput": given}
        about["JobOutputConfig"] = job["MonitoringOutputConfig"]
        getattr(sagemaker, f"create_{noun}_job_definition")(
            JobDefinitionName="rare",
            JobResources=job["MonitoringResources"],
            RoleArn=ROLE,
            **{f"{member}{part}": one for part, one in about.items()},
        )


def automl(session: boto3.Session, name: str = "rare") -> str:
    sagemaker: Any = session.client("sagemaker")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://rare/in"}}
    made = sagemaker.create_auto_ml_job_v2(
        AutoMLJobName=name,
        AutoMLJobInputDataConfig=[{"DataSource": source}],
        OutputDataConfig={"S3OutputPath": "s3://rare/out"},
        AutoMLProblemTypeConfig={"TextGenerationJobConfig": {"CompletionCriteria": {"MaxCandidates": 1}}},
        RoleArn=ROLE,
    )
    return str(made["AutoMLJobArn"])


def schedule(session: boto3.Session, name: str = "rare") -> str:
    sagemaker: Any = session.client("sagemaker")
    return str(sagemaker.create_monitoring_schedule(**monitoring_request(name, CAPTURED))[SCHEDULE])


def warm_pools(session: boto3.Session, box: Control) -> None:
    """Four completed jobs of one family whose warm pools waited for four hours each, for nobody."""
    seconds = 4 * 3600
    for days in range(1, 5):
        created, name = NOW - days * DAY, f"rare-{days}"
        on = rented("ml.g5.12xlarge", gigabytes=10, KeepAlivePeriodInSeconds=seconds)
        with box.at(created):
            session.client("sagemaker").create_training_job(**training_request(name, on))
        pool = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": seconds}
        ended: dict[str, Any] = {"TrainingJobStatus": "Completed", "TrainingEndTime": created + HOUR}
        box.patch("sagemaker", ["training_jobs", name], WarmPoolStatus=pool, **ended)


def pipeline_run(session: boto3.Session, box: Control) -> None:
    """An execution of the rare pipeline, with a completed training job that names no experiment."""
    sagemaker: Any = session.client("sagemaker")
    with box.at(NOW - DAY):
        run = sagemaker.start_pipeline_execution(PipelineName="rare", ClientRequestToken=f"{0:032}")
        name = f"pipelines-{run['PipelineExecutionArn'].rpartition('/')[2]}-Train-a1b2c3d4e5"
        sagemaker.create_training_job(**training_request(name, rented("ml.g5.12xlarge")))
        ended: dict[str, Any] = {"TrainingJobStatus": "Completed", "TrainingEndTime": NOW - DAY + HOUR}
        box.patch("sagemaker", ["training_jobs", name], **ended)


def without_configuration(sagemaker: Any, model: str = "rare-locked") -> None:
    """
    An endpoint in service whose configuration was deleted.

    Nobody knows what it loads, so that what only looks for unused models reads no further.
    """
    variants = [hosting(model, "ml.m5.large")]
    sagemaker.create_endpoint_config(EndpointConfigName="rare-lost", ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="rare-lost", EndpointConfigName="rare-lost")
    sagemaker.delete_endpoint_config(EndpointConfigName="rare-lost")


def monitoring(session: boto3.Session, box: Control, endpoint: str) -> None:
    """A schedule that runs over *endpoint*, and one execution of it that has ended."""
    sagemaker: Any = session.client("sagemaker")
    made = sagemaker.create_monitoring_schedule(**monitoring_request(endpoint, endpoint_input(endpoint)))
    with box.at(NOW - DAY):
        name = f"model-monitoring-{endpoint}"
        sagemaker.create_processing_job(**processing_request(name))
        ended: Any = {"ProcessingJobStatus": "Completed", "ProcessingEndTime": NOW - 23 * HOUR}
        box.patch("sagemaker", ["processing_jobs", name], **{SCHEDULE: made[SCHEDULE]}, **ended)


def scaling(session: boto3.Session, box: Control, endpoint: str, variant: str) -> None:
    """Application Auto Scaling gave a *variant* of *endpoint* another instance yesterday."""
    with box.at(NOW - DAY):
        target = scalable_target(f"endpoint/{endpoint}/variant/{variant}", 2, 2)
        session.client("application-autoscaling").register_scalable_target(**target)


def children(session: boto3.Session, box: Control) -> None:
    """Jobs long past their own limits that an AutoML job and a monitoring schedule started."""
    members = {"AutoMLJobArn": automl(session), SCHEDULE: schedule(session)}
    with box.at(NOW - 2 * DAY):
        limit = {"MaxRuntimeInSeconds": 3600}
        for number, (member, arn) in enumerate(members.items()):
            job = processing_request(f"rare-{number}", rented("ml.m5.4xlarge"), StoppingCondition=limit)
            session.client("sagemaker").create_processing_job(**job)
            box.patch("sagemaker", ["processing_jobs", f"rare-{number}"], **{member: arn})


def copies(session: boto3.Session) -> None:
    """
    Equal files in a bucket with Object Lock, and in one whose objects are under a customer's key.

    Models use one of each, and an image of a repository: what SageMaker does not use is not looked at.
    """
    s3, ecr, sagemaker = session.client("s3"), session.client("ecr"), session.client("sagemaker")
    image = ecr.create_repository(repositoryName="rare")["repository"]["repositoryUri"]
    own_key: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}
    for bucket, given in (("rare-locked", {}), ("rare-encrypted", own_key)):
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=not given)
        for name in ("a/model.tar.gz", "b/model.tar.gz"):
            s3.put_object(Bucket=bucket, Key=name, Body=b"weights " * 2**18, **given)
        container: Any = {"Image": f"{image}:1", "ModelDataUrl": f"s3://{bucket}/a/model.tar.gz"}
        sagemaker.create_model(ModelName=bucket, ExecutionRoleArn=ROLE, PrimaryContainer=container)


def savings_plan(box: Control, commitment: str = "0.010") -> None:
    """A Savings Plan of the account's own, of so many dollars an hour."""
    plan = {"savingsPlanType": "SageMaker", "commitment": commitment, "state": "active", "currency": "USD"}
    box.set_bill(plans=[plan])


def hyperpod(sagemaker: Any) -> None:
    workers = {
        "InstanceGroupName": "workers",
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-rare", "OnCreate": "create.sh"},
        "ExecutionRole": ROLE,
        "ThreadsPerCore": 1,
    }
    sagemaker.create_cluster(ClusterName="rare", InstanceGroups=[workers])


# --- what is due for an armed detector ----------------------------------------------------------------


class Act(NamedTuple):
    """One call that an armed role may make: its IAM action, and how boto3 makes it."""

    action: str
    service: ServiceName
    method: str
    params: dict[str, Any]

    def by(self, client: Callable[[ServiceName], Any]) -> object:
        """What the call answers, made with *client*'s client of its service."""
        return getattr(client(self.service), self.method)(**self.params)


class DueResources:
    """
    Waste with all that acts and their undos have to deal with, several of each kind.

    One of them, mostly the one called *spared*, somebody will keep.
    """

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.session, self.aws = box, session, aws
        self.sagemaker: Any = session.client("sagemaker")
        self.s3: Any = session.client("s3")

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

    def tag(self, key: str, value: str) -> None:
        """Tag all that there is; tags of a bucket control access to it and to its objects."""
        tags: Any = [{"Key": key, "Value": value}]
        for resource in state.at(SageMakerStore, ACCOUNT, REGION):
            resource.tags[key] = value
        for bucket in self.s3.list_buckets()["Buckets"]:
            self.s3.put_bucket_tagging(Bucket=bucket["Name"], Tagging={"TagSet": tags})
            self.s3.put_bucket_abac(Bucket=bucket["Name"], AbacStatus={"Status": "Enabled"})
        ecr, logs = self.session.client("ecr"), self.session.client("logs")
        for repository in ecr.describe_repositories()["repositories"]:
            ecr.tag_resource(resourceArn=repository["repositoryArn"], tags=tags)
        for group in logs.describe_log_groups()["logGroups"]:
            logs.tag_resource(resourceArn=group["logGroupArn"], tags={key: value})
        autoscaling: Any = self.session.client("application-autoscaling")
        for target in autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
            autoscaling.tag_resource(ResourceARN=target["ScalableTargetARN"], Tags={key: value})
        cloudwatch = self.session.client("cloudwatch")
        for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
            cloudwatch.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=tags)

    def acts(self, detector: str) -> list[Act]:
        """Everything that the role of *detector* may do to what was added for it, in an order that works."""
        return list(getattr(self, f"_acts_on_{detector.replace('-', '_')}")())

    def _notebooks(self) -> None:
        for name in ("notebook", "spared"):
            idle_notebook(self.session, self.box, name, hours=15)

    def _acts_on_idle_notebooks(self) -> Iterator[Act]:
        named = {"NotebookInstanceName": "notebook"}
        yield Act("sagemaker:StopNotebookInstance", "sagemaker", "stop_notebook_instance", named)

    def _apps(self) -> None:
        """In spaces, and of a user profile."""
        studio = Studio(self.box, self.session)
        for name in ("space", "spared"):
            studio.app(space=studio.space(name, studio.profile(f"anna-{name}")), team="nlp")
        studio.app(profile="anna-space", kind="KernelGateway", name="gpu")

    def _acts_on_idle_studio_apps(self) -> Iterator[Act]:
        app = self.sagemaker.list_apps()["Apps"][0]
        of = {
            member: app[member] for member in ("DomainId", "AppType", "AppName", "SpaceName") if member in app
        }
        of |= {"UserProfileName": app["UserProfileName"]} if "SpaceName" not in app else {}
        yield Act("sagemaker:DeleteApp", "sagemaker", "delete_app", of)

    def _endpoints(self) -> None:
        """
        One has neither components nor scaling, one runs an experiment, of one the role was passed.

        One is monitored, and so only reported; it was scaled yesterday.
        """
        serving = Serving(self.box, self.aws)
        serving.plain()
        serving.shared()
        serving.serve("spared")
        experiment(serving)
        serving.endpoint("second", {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)
        serving.component("only", "second", age=29 * DAY)
        serving.publish("Invocations", InferenceComponentName="only")
        serving.control("second")
        serving.serve("monitored")
        monitoring(self.session, self.box, "monitored")
        scaling(self.session, self.box, "monitored", "blue")
        alarm: Any = {"MetricName": "requests", "Namespace": "scaling", "Statistic": "Sum", "Period": 60}
        alarm |= {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
        self.session.client("cloudwatch").put_metric_alarm(AlarmName=ALARM, **alarm)

    def _acts_on_idle_endpoints(self) -> Iterator[Act]:
        scaled = scalable_target("inference-component/scaled", 1, 1)
        scaled["ScalableDimension"] = "sagemaker:inference-component:DesiredCopyCount"
        where = {key: one for key, one in scaled.items() if not key.endswith("Capacity")}
        service: ServiceName = "application-autoscaling"
        yield Act(f"{service}:DeregisterScalableTarget", service, "deregister_scalable_target", where)
        yield Act("cloudwatch:DeleteAlarms", "cloudwatch", "delete_alarms", {"AlarmNames": [ALARM]})
        named = {"InferenceComponentName": "scaled"}
        yield Act("sagemaker:DeleteInferenceComponent", "sagemaker", "delete_inference_component", named)
        yield Act("sagemaker:DeleteEndpoint", "sagemaker", "delete_endpoint", {"EndpointName": "spared"})

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
        volumes = {**described["ResourceConfig"], "VolumeKmsKeyId": VOLUME_KEY}
        self.box.patch("sagemaker", ["training_jobs", "job"], ResourceConfig=volumes)
        for arn in (
            self.sagemaker.describe_processing_job(ProcessingJobName="features")["ProcessingJobArn"],
            self.sagemaker.describe_transform_job(TransformJobName="scores")["TransformJobArn"],
        ):
            self.sagemaker.add_tags(ResourceArn=arn, Tags=spelled({"owner": "maria"}))

    def _acts_on_hung_training_jobs(self) -> Iterator[Act]:
        """The warm pool is ended when its job is over."""
        jobs = {"HyperParameterTuning": "search", "Training": "job"}
        for noun, name in {**jobs, "Processing": "features", "Transform": "scores"}.items():
            kind = {"HyperParameterTuning": "hyper_parameter_tuning"}.get(noun, noun.lower())
            yield Act(f"sagemaker:Stop{noun}Job", "sagemaker", f"stop_{kind}_job", {f"{noun}JobName": name})
        ended = {"TrainingJobName": "job", "ResourceConfig": {"KeepAlivePeriodInSeconds": 0}}
        yield Act("sagemaker:UpdateTrainingJob", "sagemaker", "update_training_job", ended)

    def _untagged(self) -> None:
        """Of each service that has tags of its own."""
        self.box.set_clock(NOW - DAY)
        for name in ("untagged", "untagged-spared"):
            self.sagemaker.create_notebook_instance(**notebook_request(name, "ml.t3.medium"))
        self.s3.create_bucket(Bucket="bucket")
        self.session.client("ecr").create_repository(repositoryName="repository")
        container = {"Image": f"{REGISTRY}/repository:1", "ModelDataUrl": "s3://bucket/m.tar.gz"}
        self.sagemaker.create_model(ModelName="nlp", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def _acts_on_untagged_resources(self) -> Iterator[Act]:
        """A tag is absent that may be filled in."""
        team, where = [{"Key": "team", "Value": "ml"}], f"{REGION}:{ACCOUNT}"
        model, repository = (
            f"arn:aws:sagemaker:{where}:model/nlp",
            f"arn:aws:ecr:{where}:repository/repository",
        )
        bucket = {"AccountId": ACCOUNT, "ResourceArn": "arn:aws:s3:::bucket", "Tags": team}
        yield Act("sagemaker:AddTags", "sagemaker", "add_tags", {"ResourceArn": model, "Tags": team})
        yield Act("ecr:TagResource", "ecr", "tag_resource", {"resourceArn": repository, "tags": team})
        yield Act("s3:TagResource", "s3control", "tag_resource", bucket)

    def _untagged_kinds(self) -> None:
        """One of each further kind that has tags."""
        serving = Serving(self.box, self.aws)
        serving.endpoint("gateway", {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)
        serving.component("base", "gateway")
        studio = Studio(self.box, self.session)
        studio.space("s", studio.profile("u"))
        self.box.set_clock(NOW - DAY)
        rare_kinds(self.session)
        automl(self.session)
        schedule(self.session)
        train = training_request("t", out="s3://bucket/", image=f"{REGISTRY}/train:1", seconds=60)
        self.sagemaker.create_training_job(**train)
        self.sagemaker.create_processing_job(**processing_request("p", image=f"{REGISTRY}/repository:1"))
        self.sagemaker.create_transform_job(**transform_request("b", "m"))
        del train["TrainingJobName"]
        self.sagemaker.create_hyper_parameter_tuning_job(**tuning_request("h", TrainingJobDefinition=train))

    def _logs(self) -> None:
        """Groups that keep every event, and older ones than their retention would."""
        self.box.set_clock(NOW - 400 * DAY)
        for name in ("kept-for-ever", "spared"):
            self.box.log_group(f"/aws/sagemaker/{name}", 50 * 2**30)

    def _acts_on_forgotten_leftovers(self) -> Iterator[Act]:
        days = {"logGroupName": "/aws/sagemaker/kept-for-ever", "retentionInDays": 90}
        yield Act("logs:PutRetentionPolicy", "logs", "put_retention_policy", days)

    def _scratch(self) -> None:
        """Two, one of which has a lifecycle rule of its own."""
        for name in (SCRATCH, "second-scratch"):
            self.scratch(name)
        self.s3.put_bucket_lifecycle_configuration(
            Bucket=SCRATCH, LifecycleConfiguration={"Rules": [RULE | {"Filter": {"Prefix": "tmp/"}}]}
        )

    def scratch(self, name: str) -> None:
        """A bucket full of old experiments that nobody reads, as its request metrics tell."""
        key = "experiments/run-1/weights.bin"
        with self.box.at(NOW - 200 * DAY):
            self.s3.create_bucket(Bucket=name)
            self.s3.put_bucket_metrics_configuration(
                Bucket=name, Id="all", MetricsConfiguration={"Id": "all"}
            )
            self.s3.put_object(Bucket=name, Key=key, Body=b"weights")
            self.box.declare([{"bucket": name, "key": key, "size": 10**12}])
        for metric, value in (("AllRequests", 1.0), ("BytesDownloaded", 0.0)):
            day: dict[str, Any] = {"metric": metric, "dimensions": {"BucketName": name, "FilterId": "all"}}
            day |= {"start": NOW - 95 * DAY, "step": 86_400, "values": [value] * 95}
            self.box.metrics("AWS/S3", [day])

    def _acts_on_storage_tiering(self) -> Iterator[Act]:
        rules = {"Bucket": SCRATCH, "LifecycleConfiguration": {"Rules": [RULE]}}
        yield Act("s3:PutLifecycleConfiguration", "s3", "put_bucket_lifecycle_configuration", rules)

    def _copies(self) -> None:
        """Under a customer's key, with tags, in a bucket that keeps versions."""
        self._bucket()
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        for age, name in ((50, "kept"), (40, "copy"), (30, "spared")):
            self._put(f"{name}.tar.gz", age, b"weights " * 2**17)
        self._with_copy("large", LARGE)

    def _acts_on_duplicate_artifacts(self) -> Iterator[Act]:
        named = {"Bucket": BUCKET, "Key": "copy.tar.gz"}
        found = named | {"IfMatch": self.s3.head_object(**named)["ETag"]}
        yield Act("s3:DeleteObject", "s3", "delete_object", found)

    def _unversioned(self) -> None:
        self._bucket()
        self._with_copy("small", SMALL)
        self._with_copy("large", LARGE)

    def _bucket(self) -> None:
        self.box.set_clock(NOW - 60 * DAY)
        self.s3.create_bucket(Bucket=BUCKET)

    def _with_copy(self, name: str, size: int) -> None:
        """One that is kept, and one copy."""
        for age, key in ((50, f"{name}.tar.gz"), (40, f"copy-of-{name}.tar.gz")):
            self._put(key, age, name[:1].encode() * size)

    def _put(self, key: str, age: int, body: bytes) -> None:
        """Under a customer's key, with tags."""
        self.box.set_clock(NOW - age * DAY)
        own_key: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Tagging="team=nlp", **own_key)


ALARM = "TargetTracking-inference-component/scaled-AlarmHigh-1"
"""It is called as those are that Application Auto Scaling makes."""

RULE: dict[str, Any] = {"ID": "theirs", "Filter": {}, "Status": "Enabled", "Expiration": {"Days": 7}}
