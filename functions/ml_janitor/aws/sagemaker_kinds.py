"""SageMaker's kinds of resources, one line each, in AWS's spelling; list and describe any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from sys import intern
from typing import Any, Final, NamedTuple

from ml_janitor.aws.calls import Listing, ServiceName, collect_pages, failure_text, is_refusal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import target_in
from ml_janitor.core.model import Absent, Signal, Tags, Target, Unreadable, Value

SAGEMAKER_PAGE = 100
"""The largest page of SageMaker's listings; the default is 10."""

SEARCH = "sagemaker:Search"

IN_PROGRESS: Final = "InProgress"
"""The status of a running job."""

OLDEST_FIRST: Final = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
"""The order that puts resources created meanwhile on a later page."""

NEWEST_FIRST: Final = {"SortBy": "CreationTime", "SortOrder": "Descending"}
"""The order in which the newest come first; resources created meanwhile repeat an entry, and hide none."""

LONGEST_JOB_LIFE: Final = timedelta(days=31)
"""
The age up to which processing and transform jobs are listed.

A processing job runs for at most 9 days (ProcessingStoppingCondition). AWS documents no longest time of
transform jobs. AWS may compare StatusEquals only after the pages are cut, as ListTrainingJobs documents
it: without a time, the janitor would page through every job that ever existed.
"""


@dataclass(frozen=True, slots=True)
class SageMakerKind:
    """
    One kind of SageMaker resource, in AWS's spelling.

    *type* is the resource type in its ARN, and `Target.kind`. *noun* is part of the names of operations
    and members: List`noun`s, Describe`noun`, `noun`Name, `noun`Arn. *members* is the list in an answer.
    The rest is for kinds that break the pattern: *name* and *arn* are the members of an entry with name
    and ARN, *parameter* is the member for its name in requests, *path* the members that make the ARN
    where a listing has none, *operation* another List operation, *listed_on* the resource of the List
    permission, *running* the status of a running job. *named_in_arn* tells whether the ARN holds the
    name: ARNs of domains and clusters hold ids, ARNs of pipelines lower-cased names.
    """

    type: str
    noun: str
    members: str
    name: str = ""
    arn: str = ""
    parameter: str = ""
    path: tuple[str, ...] = ()
    operation: str = ""
    listed_on: str = "*"
    named_in_arn: bool = True
    running: str = IN_PROGRESS

    @property
    def lists(self) -> str:
        """Return the IAM action of its List operation."""
        return f"sagemaker:{self.operation or f'List{self.noun}s'}"

    @property
    def describes(self) -> str:
        """Return the IAM action of its Describe operation."""
        return f"sagemaker:Describe{self.noun}"

    @property
    def named(self) -> str:
        """Return the member of a request that holds its name."""
        return self.parameter or f"{self.noun}Name"

    @property
    def status(self) -> str:
        """Return the member of an entry or a description that holds the status of a job."""
        return f"{self.noun}Status"

    @property
    def every(self) -> str:
        """Return all resources of the kind as the resource of a permission."""
        return f"{self.type}/*"

    @property
    def words(self) -> str:
        """Return its name for a sentence."""
        return self.type.replace("-", " ").replace("config", "configuration")

    @property
    def job(self) -> bool:
        """Return whether it is a job, which ends by itself and stays listed."""
        return self.type.endswith("-job")

    def name_of(self, entry: Mapping[str, Any]) -> str:
        """Return the name in an *entry* of its listing. Raises KeyError for a cut-off answer."""
        return str(entry[self.name or f"{self.noun}Name"])

    def arn_of(self, aws: Aws, entry: Mapping[str, Any]) -> str:
        """Return the ARN in an *entry* of its listing, or make it where there is none. Raises KeyError."""
        if not self.path:
            return str(entry[self.arn or f"{self.noun}Arn"])
        return aws.arn("sagemaker", "/".join((self.type, *(entry[member] for member in self.path))))

    def call(self, aws: Aws, verb: str) -> Any:
        """Return the client's method for *verb* ("Describe") of this kind."""
        from botocore import xform_name

        return getattr(aws.sagemaker, xform_name(f"{verb}{self.noun}"))

    def target(self, aws: Aws, entry: Mapping[str, Any], tags: Signal[Tags] | None = None) -> Target:
        """
        Return the resource of a listing's *entry*; its texts are interned for
        detectors. Raises KeyError.
        """
        arn, name = intern(self.arn_of(aws, entry)), intern(self.name_of(entry))
        return target_in(aws, arn, name, self.type, entry["CreationTime"], tags=tags)


APP = SageMakerKind("app", "App", "Apps")
AUTOML_JOB = SageMakerKind("automl-job", "AutoMLJob", "AutoMLJobSummaries")
CLUSTER = SageMakerKind("cluster", "Cluster", "ClusterSummaries", named_in_arn=False)
COMPONENT = SageMakerKind("inference-component", "InferenceComponent", "InferenceComponents")
COMPILATION_JOB = SageMakerKind(
    "compilation-job", "CompilationJob", "CompilationJobSummaries", running="INPROGRESS"
)
DOMAIN = SageMakerKind("domain", "Domain", "Domains", named_in_arn=False)
ENDPOINT = SageMakerKind("endpoint", "Endpoint", "Endpoints")
ENDPOINT_CONFIG = SageMakerKind("endpoint-config", "EndpointConfig", "EndpointConfigs")
EXPERIMENT = SageMakerKind(
    "inference-experiment", "InferenceExperiment", "InferenceExperiments", name="Name", parameter="Name",
    path=("Name",),
)  # fmt: skip
MLFLOW_SERVER = SageMakerKind(
    "mlflow-tracking-server", "MlflowTrackingServer", "TrackingServerSummaries", name="TrackingServerName",
    arn="TrackingServerArn", parameter="TrackingServerName",
)  # fmt: skip
MODEL = SageMakerKind("model", "Model", "Models")
MODEL_PACKAGE = SageMakerKind(
    "model-package", "ModelPackage", "ModelPackageSummaryList", name="ModelPackageArn",
    parameter="ModelPackageName", listed_on="model-package/*",
)  # fmt: skip
MODEL_PACKAGE_GROUP = SageMakerKind(
    "model-package-group", "ModelPackageGroup", "ModelPackageGroupSummaryList"
)
MONITORING_EXECUTION = SageMakerKind(
    "monitoring-execution", "MonitoringExecution", "MonitoringExecutionSummaries"
)
MONITORING_SCHEDULE = SageMakerKind(
    "monitoring-schedule", "MonitoringSchedule", "MonitoringScheduleSummaries"
)
NOTEBOOK = SageMakerKind("notebook-instance", "NotebookInstance", "NotebookInstances")
PIPELINE = SageMakerKind("pipeline", "Pipeline", "PipelineSummaries", named_in_arn=False)
PROCESSING_JOB = SageMakerKind("processing-job", "ProcessingJob", "ProcessingJobSummaries")
RECOMMENDATION = SageMakerKind(
    "inference-recommendations-job", "InferenceRecommendationsJob", "InferenceRecommendationsJobs",
    name="JobName", arn="JobArn", parameter="JobName",
)  # fmt: skip
"""A load test of Inference Recommender."""
SPACE = SageMakerKind("space", "Space", "Spaces", path=("DomainId", "SpaceName"), named_in_arn=False)
TRAINING_JOB = SageMakerKind("training-job", "TrainingJob", "TrainingJobSummaries")
TRAINING_PLAN = SageMakerKind("training-plan", "TrainingPlan", "TrainingPlanSummaries")
TRANSFORM_JOB = SageMakerKind("transform-job", "TransformJob", "TransformJobSummaries")
TUNING_JOB = SageMakerKind(
    "hyper-parameter-tuning-job", "HyperParameterTuningJob", "HyperParameterTuningJobSummaries"
)
USER_PROFILE = SageMakerKind(
    "user-profile", "UserProfile", "UserProfiles", path=("DomainId", "UserProfileName"), named_in_arn=False
)  # fmt: skip
JOB_DEFINITIONS = tuple(
    SageMakerKind(
        type_, f"{noun}JobDefinition", "JobDefinitionSummaries", name="MonitoringJobDefinitionName",
        arn="MonitoringJobDefinitionArn", parameter="JobDefinitionName",
    )
    for type_, noun in (
        ("data-quality-job-definition", "DataQuality"),
        ("model-bias-job-definition", "ModelBias"),
        ("model-explainability-job-definition", "ModelExplainability"),
        ("model-quality-job-definition", "ModelQuality"),
    )
)  # fmt: skip
"""The kinds that a monitoring schedule runs."""

TAGGED_KINDS = (
    ENDPOINT, ENDPOINT_CONFIG, MODEL, COMPONENT, NOTEBOOK, TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB,
    TUNING_JOB, AUTOML_JOB, COMPILATION_JOB, DOMAIN, USER_PROFILE, SPACE, MODEL_PACKAGE_GROUP, PIPELINE,
    MONITORING_SCHEDULE, *JOB_DEFINITIONS, CLUSTER,
)  # fmt: skip
"""The kinds that people make and that carry tags."""


class ListedResource(NamedTuple):
    """A resource of a listing, with the signs of a change."""

    target: Target
    modified: datetime | None = None
    status: str | None = None

    @classmethod
    def of(cls, aws: Aws, kind: SageMakerKind, entry: Mapping[str, Any]) -> ListedResource:
        """Return an *entry* of the listing of *kind*. Raises KeyError for a cut-off answer."""
        return cls(kind.target(aws, entry), entry.get("LastModifiedTime"), entry.get(kind.status))


def list_kind[T](
    aws: Aws, kind: SageMakerKind, read: Callable[[dict[str, Any]], T], **query: Any
) -> Listing[T]:
    """List the resources of *kind* that match *query*, each entry converted by *read*."""
    return aws.listing(kind.lists, kind.members, read, SAGEMAKER_PAGE, partial(kind.arn_of, aws), **query)


def list_running_jobs[T](
    aws: Aws, kind: SageMakerKind, read: Callable[[dict[str, Any]], T], now: datetime
) -> Listing[T]:
    """List processing or transform jobs in progress, created in `LONGEST_JOB_LIFE` before *now*."""
    return list_kind(
        aws, kind, read, StatusEquals=IN_PROGRESS, CreationTimeAfter=now - LONGEST_JOB_LIFE, **OLDEST_FIRST
    )


def list_targets(aws: Aws, kind: SageMakerKind, **query: Any) -> Listing[Target]:
    """List the resources of *kind* that match *query*, as targets without tags."""
    return list_kind(aws, kind, partial(kind.target, aws), **query)


def list_model_packages(aws: Aws) -> Listing[ListedResource]:
    """List all model packages, in each group and outside of groups; their status is that of approval."""
    groups = list_targets(aws, MODEL_PACKAGE_GROUP)
    queries = [{}, *({"ModelPackageGroupName": group.name} for group in groups.items)]
    read = partial(listed_package, aws)
    found = aws.map(lambda asked: list_kind(aws, MODEL_PACKAGE, read, **asked), queries)
    packages = dict.fromkeys(package for listing_read in found for package in listing_read.items)
    return Listing.joined(packages, (groups.error, *(listing_read.error for listing_read in found)))


def listed_package(aws: Aws, entry: Mapping[str, Any]) -> ListedResource:
    """Return the package of an *entry* of its listing, or of a record: no listing tells of its updates."""
    return ListedResource(MODEL_PACKAGE.target(aws, entry), status=entry.get("ModelApprovalStatus"))


def search_records[T](aws: Aws, record: str, read: Callable[[dict[str, Any]], T], **query: Any) -> Listing[T]:
    """List Search's records ("Model") that match *query*, each converted by *read*, 100 a call."""
    return collect_pages(
        aws.pages(SEARCH, SAGEMAKER_PAGE, Resource=record, **query),
        lambda page: [found.get(record, {}) for found in page["Results"]],
        read,
        source=f"{SEARCH} of {record}",
        arn_of=lambda found: str(found[f"{record}Arn"]),
    )


def describe_resource(aws: Aws, kind: SageMakerKind, name: str) -> Signal[dict[str, Any]]:
    """Describe one resource; `Absent` if it was deleted since it was listed."""
    try:
        answer = kind.call(aws, "Describe")(**{kind.named: name})
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if is_gone_error(error):
            return Absent(kind.describes)
        if (problem := failure_text(error)) is None:
            raise
        return Unreadable(f"{kind.words} {name}: {problem}", kind.describes)
    described = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    if not described:
        return Unreadable(f"{kind.words} {name}: the answer was cut off", kind.describes)
    return Value(described, kind.describes)


def texts_in(value: object, *members: str) -> Iterator[str]:
    """
    Yield every text under one of *members* of an answer or request, however deep; all texts without
    *members*.

    CloudTrail begins members in lower case, so case does not matter.
    """
    wanted = {member.lower() for member in members}
    match value:
        case str() if not members:
            yield value
        case Mapping():
            for name, inner in value.items():
                yield from texts_in(inner, *(() if str(name).lower() in wanted else members))
        case list() | tuple():
            for inner in value:
                yield from texts_in(inner, *members)


def is_gone_error(error: Exception) -> bool:
    """Return whether *error* says that SageMaker has no such resource."""
    return is_refusal(error, ("ResourceNotFound",)) or is_refusal(
        error, ("ValidationException",), "could not find"
    )


# --- requests that create a resource again --------------------------------------------------------

UNSET_VALUES: tuple[object, ...] = (None, "", [], {})


def fit_request(
    aws: Aws, service: ServiceName, operation: str, described: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the members of *described* that *operation* takes, as plain JSON.

    The SDK's model of the operation decides. The janitor therefore restores members that AWS adds later,
    once the SDK knows them. A member that is empty in the description (`UNSET_VALUES`) was not set.
    """
    shape = aws.client(service).meta.service_model.operation_model(operation).input_shape
    fit: dict[str, Any] = _fit(shape, described)
    return fit


def _fit(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _fit(member, value[name])
                for name, member in shape.members.items()
                if name in value and (name in shape.required_members or value[name] not in UNSET_VALUES)
            }
        case "list":
            return [_fit(shape.member, item) for item in value]
        case "map":
            return dict(value)
        case _:
            return value.isoformat() if isinstance(value, datetime) else value
