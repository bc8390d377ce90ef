"""What SageMaker holds: every resource of the kinds that carry tags, listed by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import Listing, everything

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

PAGE_SIZE = 100
"""The largest page of SageMaker's listings; the default is 10."""

IN_PROGRESS = "InProgress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    One resource as its listing shows it.

    *noun* is what its Create call makes ("EndpointConfig"). *outside* says why a resource that was
    asked for by name is not one that is judged, such as a job that ended long ago.
    """

    service: str
    type: str
    noun: str
    arn: str
    name: str
    created: datetime | None
    outside: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of SageMaker resource, and how AWS spells it.

    *type* is its ARN resource type, *noun* stands in the names of its operations and members,
    *members* is the list in an answer. *by_name* is whether the listing can be narrowed to a name
    that an ARN holds: ARNs of domains and clusters hold ids, those of pipelines lower-cased names.
    """

    type: str
    noun: str
    members: str
    job: bool = False
    by_name: bool = True

    @property
    def operation(self) -> str:
        return f"List{self.noun}s"

    def queries(self, since: datetime) -> tuple[dict[str, Any], ...]:
        """What to list: everything, or of jobs those in progress and those created since *since*."""
        return ({"StatusEquals": IN_PROGRESS}, {"CreationTimeAfter": since}) if self.job else ({},)

    def resource(self, aws: Aws, entry: dict[str, Any], since: datetime) -> Resource:
        """An entry of the listing; a member that is not there fails the read, as a cut-off answer does."""
        name = entry[f"{self.noun}Name"]
        created = entry.get("CreationTime")
        running = self.job and entry[f"{self.noun}Status"] == IN_PROGRESS
        over = self.job and not running and created is not None and created < since
        if self.type == "space":  # the only listing without ARNs
            path = f"space/{entry['DomainId']}/{name}"
            arn = f"arn:{aws.partition}:sagemaker:{aws.region}:{aws.account}:{path}"
        else:
            arn = entry[f"{self.noun}Arn"]
        return Resource(
            service="sagemaker",
            type=self.type,
            noun=self.noun,
            arn=arn,
            name=name,
            created=created,
            outside=f"it is not in progress, and was created before {since:%Y-%m-%d}" if over else None,
        )


KINDS = (
    Kind("endpoint", "Endpoint", "Endpoints"),
    Kind("endpoint-config", "EndpointConfig", "EndpointConfigs"),
    Kind("model", "Model", "Models"),
    Kind("inference-component", "InferenceComponent", "InferenceComponents"),
    Kind("notebook-instance", "NotebookInstance", "NotebookInstances"),
    Kind("training-job", "TrainingJob", "TrainingJobSummaries", job=True),
    Kind("processing-job", "ProcessingJob", "ProcessingJobSummaries", job=True),
    Kind("transform-job", "TransformJob", "TransformJobSummaries", job=True),
    Kind(
        "hyper-parameter-tuning-job", "HyperParameterTuningJob", "HyperParameterTuningJobSummaries", job=True
    ),
    Kind("domain", "Domain", "Domains", by_name=False),
    Kind("space", "Space", "Spaces", by_name=False),
    Kind("model-package-group", "ModelPackageGroup", "ModelPackageGroupSummaryList"),
    Kind("pipeline", "Pipeline", "PipelineSummaries", by_name=False),
    Kind("cluster", "Cluster", "ClusterSummaries", by_name=False),
)


def read(aws: Aws, kind: Kind, query: dict[str, Any], since: datetime) -> Listing[Resource]:
    """One listing of *kind*, narrowed by *query*; *since* is where the past of jobs begins."""
    from botocore import xform_name

    pages = aws.client("sagemaker").get_paginator(xform_name(kind.operation))
    return everything(
        pages.paginate(**query, PaginationConfig={"PageSize": PAGE_SIZE}),
        lambda page: [kind.resource(aws, entry, since) for entry in page[kind.members]],
        source=f"sagemaker:{kind.operation}",
    )


def look(aws: Aws, kind: Kind, arn: str, name: str, since: datetime) -> Resource | None:
    """
    The one resource *arn*, from the listing narrowed to *name* where there is such a filter.

    A name taken from an ARN may have lost its capitals, so before a resource is called gone, the
    listing is read as `read` would. Raises ReadError.
    """
    narrowed = [{"NameContains": name}] if kind.by_name else []
    for query in (*narrowed, *kind.queries(since)):
        listing = read(aws, kind, query, since)
        if (found := named(listing.items, arn)) is not None:
            return found
        listing.check()
    return None


def named(resources: Iterable[Resource], arn: str) -> Resource | None:
    """The one of *resources* with this ARN, in whatever case it is written."""
    return next((one for one in resources if one.arn.lower() == arn.lower()), None)


def once(listings: Sequence[Listing[Resource]]) -> Listing[Resource]:
    """All *listings* as one, each resource once: a running job is also one of the last days."""
    unique = {one.arn: one for listing in listings for one in listing.items}
    errors = dict.fromkeys(listing.error for listing in listings if listing.error is not None)
    return Listing(tuple(unique.values()), "; ".join(errors) or None)
