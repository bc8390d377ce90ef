"""SageMaker's kinds of resources as AWS spells them, one line a kind; lists and describes any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from sys import intern
from typing import Any, Final

from ml_janitor.aws.answers import Listing, everything, failure, refused_as
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Absent, Signal, Tags, Unreadable, Value

PAGE_SIZE = 100
"""The largest page of SageMaker's listings; the default is 10."""

SEARCH = "sagemaker:Search"

IN_PROGRESS: Final = "InProgress"
"""The status of a job that runs."""

OLDEST_FIRST: Final = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
"""So that what is created meanwhile stands on a page still to come."""

LONGEST_LIFE: Final = timedelta(days=31)
"""
How far back processing and transform jobs are listed.

A processing job runs for at most 9 days (ProcessingStoppingCondition). For transform jobs no longest time is
documented. StatusEquals may be compared only after the pages are cut, as ListTrainingJobs documents it:
without a time, every job that there ever was would be paged through.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of SageMaker resource, and how AWS spells it.

    *type* is the resource type in its ARN, and `Target.kind`. *noun* stands in the names of operations and
    members: List`noun`s, Describe`noun`, `noun`Name, `noun`Arn. *members* is the list in an answer. The rest
    is for kinds that break the pattern: *name* and *arn* are the members of an entry with name and ARN,
    *parameter* is what requests name it with, *path* the members that make the ARN where a listing holds
    none, *operation* another List operation, *listed_on* what the permission to list is for, *running* the
    status of a job that runs.
    *named_in_arn* is whether the ARN holds the name: those of domains and clusters hold ids, those of
    pipelines lower-cased names.
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
        """The IAM action of its List operation."""
        return f"sagemaker:{self.operation or f'List{self.noun}s'}"

    @property
    def describes(self) -> str:
        """The IAM action of its Describe operation."""
        return f"sagemaker:Describe{self.noun}"

    @property
    def named(self) -> str:
        """The member of a request that names one."""
        return self.parameter or f"{self.noun}Name"

    @property
    def status(self) -> str:
        """The member of an entry or a description that holds the status of a job."""
        return f"{self.noun}Status"

    @property
    def every(self) -> str:
        """All of them as the resource of a permission."""
        return f"{self.type}/*"

    @property
    def words(self) -> str:
        """What one is called in a sentence."""
        return self.type.replace("-", " ").replace("config", "configuration")

    @property
    def job(self) -> bool:
        """Whether it is a job, which ends by itself and stays listed."""
        return self.type.endswith("-job")

    def name_of(self, entry: Mapping[str, Any]) -> str:
        """The name in an *entry* of its listing. Raises KeyError, as a cut-off answer does."""
        return str(entry[self.name or f"{self.noun}Name"])

    def arn_of(self, aws: Aws, entry: Mapping[str, Any]) -> str:
        """The ARN in an *entry* of its listing, or as it must be where there is none. Raises KeyError."""
        if not self.path:
            return str(entry[self.arn or f"{self.noun}Arn"])
        return aws.arn("sagemaker", "/".join((self.type, *(entry[member] for member in self.path))))

    def call(self, aws: Aws, verb: str) -> Any:
        """The call that does *verb* ("Describe") to one of them, or to a new one."""
        from botocore import xform_name

        return getattr(aws.sagemaker, xform_name(f"{verb}{self.noun}"))

    def target(self, aws: Aws, entry: Mapping[str, Any], tags: Signal[Tags] | None = None) -> Target:
        """The resource in an *entry* of its listing, whose names detectors share. Raises KeyError."""
        arn, name = intern(self.arn_of(aws, entry)), intern(self.name_of(entry))
        return target_in(aws, arn, name, self.type, entry["CreationTime"], tags=tags)


APP = Kind("app", "App", "Apps")
AUTOML_JOB = Kind("automl-job", "AutoMLJob", "AutoMLJobSummaries")
CLUSTER = Kind("cluster", "Cluster", "ClusterSummaries", named_in_arn=False)
COMPONENT = Kind("inference-component", "InferenceComponent", "InferenceComponents")
COMPILATION_JOB = Kind("compilation-job", "CompilationJob", "CompilationJobSummaries", running="INPROGRESS")
DOMAIN = Kind("domain", "Domain", "Domains", named_in_arn=False)
ENDPOINT = Kind("endpoint", "Endpoint", "Endpoints")
ENDPOINT_CONFIG = Kind("endpoint-config", "EndpointConfig", "EndpointConfigs")
EXPERIMENT = Kind(
    "inference-experiment", "InferenceExperiment", "InferenceExperiments", name="Name", parameter="Name",
    path=("Name",),
)  # fmt: skip
MODEL = Kind("model", "Model", "Models")
MODEL_PACKAGE = Kind(
    "model-package", "ModelPackage", "ModelPackageSummaryList", name="ModelPackageArn",
    parameter="ModelPackageName", listed_on="model-package/*",
)  # fmt: skip
MODEL_PACKAGE_GROUP = Kind("model-package-group", "ModelPackageGroup", "ModelPackageGroupSummaryList")
MONITORING_EXECUTION = Kind("monitoring-execution", "MonitoringExecution", "MonitoringExecutionSummaries")
MONITORING_SCHEDULE = Kind("monitoring-schedule", "MonitoringSchedule", "MonitoringScheduleSummaries")
NOTEBOOK = Kind("notebook-instance", "NotebookInstance", "NotebookInstances")
PIPELINE = Kind("pipeline", "Pipeline", "PipelineSummaries", named_in_arn=False)
PROCESSING_JOB = Kind("processing-job", "ProcessingJob", "ProcessingJobSummaries")
RECOMMENDATION = Kind(
    "inference-recommendations-job", "InferenceRecommendationsJob", "InferenceRecommendationsJobs",
    name="JobName", arn="JobArn", parameter="JobName",
)  # fmt: skip
"""A load test of Inference Recommender."""
SPACE = Kind("space", "Space", "Spaces", path=("DomainId", "SpaceName"), named_in_arn=False)
TRAINING_JOB = Kind("training-job", "TrainingJob", "TrainingJobSummaries")
TRANSFORM_JOB = Kind("transform-job", "TransformJob", "TransformJobSummaries")
TUNING_JOB = Kind("hyper-parameter-tuning-job", "HyperParameterTuningJob", "HyperParameterTuningJobSummaries")
USER_PROFILE = Kind(
    "user-profile", "UserProfile", "UserProfiles", path=("DomainId", "UserProfileName"), named_in_arn=False
)  # fmt: skip
DEFINITIONS = tuple(
    Kind(
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
"""What a monitoring schedule runs."""

TAGGED = (
    ENDPOINT, ENDPOINT_CONFIG, MODEL, COMPONENT, NOTEBOOK, TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB,
    TUNING_JOB, AUTOML_JOB, COMPILATION_JOB, DOMAIN, USER_PROFILE, SPACE, MODEL_PACKAGE_GROUP, PIPELINE,
    MONITORING_SCHEDULE, *DEFINITIONS, CLUSTER,
)  # fmt: skip
"""What is made by people and carries tags."""


type Described = Listing[tuple[Target, Signal[dict[str, Any]]]]
"""Resources, each with its description."""


def listing[T](aws: Aws, kind: Kind, read: Callable[[dict[str, Any]], T], **query: Any) -> Listing[T]:
    """Every resource of *kind* that *query* leaves in its listing, each entry as *read* makes it."""
    return aws.listing(kind.lists, kind.members, read, PAGE_SIZE, **query)


def running[T](aws: Aws, kind: Kind, read: Callable[[dict[str, Any]], T], now: datetime) -> Listing[T]:
    """The processing or transform jobs in progress that were created in `LONGEST_LIFE` before *now*."""
    return listing(
        aws, kind, read, StatusEquals=IN_PROGRESS, CreationTimeAfter=now - LONGEST_LIFE, **OLDEST_FIRST
    )


def targets(aws: Aws, kind: Kind, **query: Any) -> Listing[Target]:
    """The same, each as a target whose tags were not read."""
    return listing(aws, kind, partial(kind.target, aws), **query)


def model_packages(aws: Aws, **query: Any) -> Listing[Target]:
    """Every model package that *query* leaves: those in groups, listed group by group, and those in none."""
    groups = targets(aws, MODEL_PACKAGE_GROUP)
    queries = [query, *(query | {"ModelPackageGroupName": one.name} for one in groups.items)]
    found = aws.map(lambda asked: targets(aws, MODEL_PACKAGE, **asked), queries)
    packages = dict.fromkeys(one for each in found for one in each.items)
    return Listing.joined(packages, (each.error for each in (groups, *found)))


def search[T](aws: Aws, record: str, read: Callable[[dict[str, Any]], T], **query: Any) -> Listing[T]:
    """Every *record* ("Model") that Search knows and *query* leaves, each as *read* makes it, 100 a call."""
    return everything(
        aws.pages(SEARCH, PAGE_SIZE, Resource=record, **query),
        lambda page: [read(found[record]) for found in page["Results"]],
        source=f"{SEARCH} of {record}",
    )


def describe(aws: Aws, kind: Kind, name: str) -> Signal[dict[str, Any]]:
    """The description of one resource; `Absent` if it was deleted since it was listed."""
    try:
        answer = kind.call(aws, "Describe")(**{kind.named: name})
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if gone(error):
            return Absent(kind.describes)
        if (problem := failure(error)) is None:
            raise
        return Unreadable(f"{kind.words} {name}: {problem}", kind.describes)
    if "CreationTime" not in answer:
        return Unreadable(f"{kind.words} {name}: the answer was cut off", kind.describes)
    return Value({key: value for key, value in answer.items() if key != "ResponseMetadata"}, kind.describes)


def described(aws: Aws, kind: Kind, **query: Any) -> Described:
    """Every resource of *kind* that *query* leaves in its listing, with its description."""
    listed = model_packages(aws, **query) if kind is MODEL_PACKAGE else targets(aws, kind, **query)
    answers = aws.map(lambda one: describe(aws, kind, one.name), listed.items)
    return Listing(tuple(zip(listed.items, answers, strict=True)), listed.error)


def texts_in(value: object, *members: str) -> Iterator[str]:
    """
    Every text under one of *members* of an answer or request, however deep; without *members*, every text.

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


def gone(error: Exception) -> bool:
    """Whether SageMaker says with *error* that there is no such resource."""
    return refused_as(error, ("ResourceNotFound",)) or refused_as(
        error, ("ValidationException",), "could not find"
    )
