"""Reads SageMaker endpoints: the list of all, and the variants and configuration of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import Listing, as_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MONITORING_SCHEDULE,
    list_kind,
)
from ml_janitor.core.signals import NotRead, Signal, Tags

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        ProductionVariantSummaryTypeDef,
    )

ENDPOINT_IN_SERVICE = "InService"
SERVING_STATUSES = frozenset({ENDPOINT_IN_SERVICE, "UpdateRollbackFailed"})
"""
Statuses of an endpoint that answers requests and is billed. After a failed rollback it is "in service
with a mix of the old and new endpoint configurations" (API reference, DescribeEndpoint: EndpointStatus).
"""
STATUSES_WITHOUT_VARIANTS = frozenset({"Creating", "Failed"})
"""Statuses in which recorded answers of DescribeEndpoint have no ProductionVariants: nothing runs then."""
MONITORING_STATUSES = frozenset({"Scheduled", "Pending"})
"""The statuses in which a monitoring schedule runs, or is about to run."""
ENDPOINT_GONE = ("ValidationException",)
"""The error code of DescribeEndpoint for a well-formed name that does not exist (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """An endpoint in a listing."""

    arn: str
    name: str
    status: str
    created: datetime
    modified: datetime

    @property
    def changed(self) -> datetime:
        """Return when it was last deployed or scaled: either moves the modification time only."""
        return max(self.created, self.modified)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceComponent:
    """
    A model that shares the instances of an endpoint's variant with other models.

    *tags* are set for a deleted component; for others they are read if their endpoint may be a finding.
    """

    name: str
    arn: str
    endpoint: str
    variant: str
    created: datetime
    changed: datetime
    deleting: bool = False
    tags: Signal[Tags] = field(default_factory=NotRead)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointVariant:
    """
    A variant as it runs now.

    *pools* are instance types and counts where the variant mixes types; else only the configuration has
    its type. *concurrency* is a serverless variant's provisioned concurrency. A *reserved* variant runs
    on capacity that was paid for in advance (developer guide, "Using training plans for SageMaker
    inference endpoints"), or that EC2 bills in any case. *resolved* is when a deployment last resolved
    the image of its containers.
    """

    name: str
    shadow: bool = False
    instances: int = 0
    pools: tuple[tuple[str, int], ...] = ()
    serverless: bool = False
    concurrency: int = 0
    reserved: bool = False
    resolved: datetime | None = None

    @property
    def runs(self) -> bool:
        """Return whether capacity of it runs: none does at zero instances, nor in serverless on demand."""
        return self.instances > 0 or self.concurrency > 0

    @property
    def costs(self) -> bool:
        """Return whether it is billed by the hour, and would not be billed after its end."""
        return self.runs and not self.reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """
    The parts of an endpoint's configuration that DescribeEndpoint leaves out.

    *created* is its creation time: configurations cannot be changed. *types* are instance types by
    variant. *hosts* are the variants without a model of their own: they run inference components, and
    their own `Invocations` do not exist. *models* are the names of the other variants' models, *scaled*
    the variants whose instances SageMaker itself scales with their components. *captures* tells whether
    it captures request data.
    """

    created: datetime
    types: Mapping[str, str]
    hosts: frozenset[str] = frozenset()
    asynchronous: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    scaled: frozenset[str] = frozenset()
    captures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDescription:
    """An endpoint as it runs now; *routed* tells whether it accepts requests from other regions."""

    summary: EndpointSummary
    config_name: str
    variants: tuple[EndpointVariant, ...]
    asynchronous: bool = False
    routed: bool = False

    @property
    def costs(self) -> bool:
        """Return whether any variant is billed by the hour."""
        return any(variant.costs for variant in self.variants)


def list_endpoints(aws: Aws) -> Listing[EndpointSummary]:
    """List every endpoint in any status, 100 a page."""
    return list_kind(aws, ENDPOINT, _summary)


def list_inference_components(aws: Aws) -> Listing[InferenceComponent]:
    """List all inference components of the account, 100 a page: cheaper than a call per endpoint."""
    return list_kind(
        aws,
        COMPONENT,
        lambda found: InferenceComponent(
            name=found["InferenceComponentName"],
            arn=found["InferenceComponentArn"],
            endpoint=found["EndpointName"],
            variant=found["VariantName"],
            created=found["CreationTime"],
            changed=max(found["CreationTime"], found["LastModifiedTime"]),
            deleting=found.get("InferenceComponentStatus") == "Deleting",
        ),
    )


def list_monitoring_schedules(aws: Aws) -> Listing[tuple[str, str]]:
    """
    List every monitoring schedule as its endpoint and its name.

    The endpoint is "" where the schedule monitors none now: it is over batch transforms, or it is
    Stopped or Failed, which are final states.
    """
    return list_kind(
        aws,
        MONITORING_SCHEDULE,
        lambda found: (
            found.get("EndpointName", "") if found["MonitoringScheduleStatus"] in MONITORING_STATUSES else "",
            found["MonitoringScheduleName"],
        ),
    )


@as_signal(ENDPOINT.describes, absent=ENDPOINT_GONE)
def describe_endpoint(aws: Aws, name: str) -> EndpointDescription:
    """Describe the endpoint *name*; `Absent` if there is no such endpoint."""
    return _description(aws.sagemaker.describe_endpoint(EndpointName=name))


@as_signal(ENDPOINT_CONFIG.describes)
def describe_endpoint_config(aws: Aws, name: str) -> EndpointConfig:
    """Describe the endpoint configuration *name*; a deleted one is unreadable, since its endpoint runs on."""
    return _config(aws.sagemaker.describe_endpoint_config(EndpointConfigName=name))


def _summary(found: Mapping[str, Any]) -> EndpointSummary:
    """Return an endpoint from an entry of its listing, or from its description."""
    return EndpointSummary(
        arn=found["EndpointArn"],
        name=found["EndpointName"],
        status=found["EndpointStatus"],
        created=found["CreationTime"],
        modified=found["LastModifiedTime"],
    )


def _description(answer: DescribeEndpointOutputTypeDef) -> EndpointDescription:
    nothing_runs = answer["EndpointStatus"] in STATUSES_WITHOUT_VARIANTS
    production = answer.get("ProductionVariants", ()) if nothing_runs else answer["ProductionVariants"]
    return EndpointDescription(
        summary=_summary(answer),
        config_name=answer["EndpointConfigName"],
        variants=(
            *(_variant(found) for found in production),
            *(_variant(found, shadow=True) for found in answer.get("ShadowProductionVariants", ())),
        ),
        asynchronous="AsyncInferenceConfig" in answer,
        routed="CrossRegionTrafficConfig" in answer,
    )


def _variant(found: ProductionVariantSummaryTypeDef, *, shadow: bool = False) -> EndpointVariant:
    name = found["VariantName"]
    images = [
        image["ResolutionTime"] for image in found.get("DeployedImages", ()) if "ResolutionTime" in image
    ]
    resolved = max(images, default=None)
    if serverless := found.get("CurrentServerlessConfig"):
        concurrency = serverless.get("ProvisionedConcurrency", 0)
        return EndpointVariant(
            name=name, shadow=shadow, serverless=True, concurrency=concurrency, resolved=resolved
        )
    pools = tuple(
        (pool["InstanceType"], pool["CurrentInstanceCount"]) for pool in found.get("InstancePools", ())
    )
    return EndpointVariant(
        name=name,
        shadow=shadow,
        instances=found["CurrentInstanceCount"],
        pools=pools,
        reserved="MlReservationArn" in found.get("CapacityReservationConfig", {}),
        resolved=resolved,
    )


def _config(answer: DescribeEndpointConfigOutputTypeDef) -> EndpointConfig:
    variants = [*answer["ProductionVariants"], *answer.get("ShadowProductionVariants", ())]
    role = "ExecutionRoleArn" in answer
    return EndpointConfig(
        created=answer["CreationTime"],
        types={found["VariantName"]: found["InstanceType"] for found in variants if "InstanceType" in found},
        hosts=frozenset(found["VariantName"] for found in variants if role and "ModelName" not in found),
        asynchronous="AsyncInferenceConfig" in answer,
        models={found["VariantName"]: found["ModelName"] for found in variants if "ModelName" in found},
        scaled=frozenset(
            found["VariantName"]
            for found in variants
            if found.get("ManagedInstanceScaling", {}).get("Status") == "ENABLED"
        ),
        captures=answer.get("DataCaptureConfig", {}).get("EnableCapture", False),
    )


def count_instances(variants: Iterable[EndpointVariant], config: EndpointConfig) -> dict[str, int]:
    """Count the running instances by type, over all variants and pools; an unknown type is ""."""
    counts: dict[str, int] = {}
    for variant in variants:
        one_type = ((config.types.get(variant.name, ""), variant.instances),)
        for instance_type, count in variant.pools or one_type:
            if count:
                counts[instance_type] = counts.get(instance_type, 0) + count
    return counts
