"""Declarations of what a fix changes in moto, so that one place can check and apply all of it.

Two kinds of change exist. `serves` answers an AWS operation instead of moto: moto finds the method
by the operation's name, so nothing of moto's old method matters. `replaces` swaps a function that
moto itself calls: there the old source does matter, and its digest is written beside the change.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import camelcase_to_underscores

from moto_corrections import model, state

# Services that moto keeps once for all regions.
GLOBAL = {"iam", "s3"}

RESPONSES = {
    "application-autoscaling": "moto.applicationautoscaling.responses:ApplicationAutoScalingResponse",
    "cloudformation": "moto.cloudformation.responses:CloudFormationResponse",
    "cloudtrail": "moto.cloudtrail.responses:CloudTrailResponse",
    "cloudwatch": "moto.cloudwatch.responses:CloudWatchResponse",
    "ec2": "moto.ec2.responses:EC2Response",
    "ecr": "moto.ecr.responses:ECRResponse",
    "kms": "moto.kms.responses:KmsResponse",
    "logs": "moto.logs.responses:LogsResponse",
    "organizations": "moto.organizations.responses:OrganizationsResponse",
    "sagemaker": "moto.sagemaker.responses:SageMakerResponse",
    "sns": "moto.sns.responses:SNSResponse",
    "tag": "moto.resourcegroupstaggingapi.responses:ResourceGroupsTaggingAPIResponse",
}


class AwsError(ServiceException):
    """An error that reaches the client with this code and message."""

    __module__ = "corrections_of_moto"
    """moto takes a module that begins with moto for one of its own, and looks for the service in its name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def rejected(message: str) -> AwsError:
    """Return the answer of SageMaker and most services to an invalid request."""
    return AwsError("ValidationException", message)


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an operation that is answered here instead of in moto."""

    operation: str
    account: str
    region: str
    params: dict[str, Any]

    @property
    def partition(self) -> str:
        """Return the first part of ARNs here; China and GovCloud differ."""
        special = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
        return next((p for start, p in special.items() if self.region.startswith(start)), "aws")

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Patch:
    """One attribute of moto, `module:Class.name`, and what takes its place."""

    target: str
    replacement: Any
    was: str | None

    @property
    def service(self) -> str:
        """Return moto's name of the service that it is a part of."""
        return self.target.split(".")[1]


PATCHES: list[Patch] = []
type Answer = Callable[[Call], dict[str, Any] | None]


def serves(service: str, operation: str) -> Callable[[Answer], Answer]:
    """Answer this operation of this service (an IAM prefix) with the decorated function."""

    def register(answer: Answer) -> Answer:
        @wraps(answer)
        def method(response: BaseResponse) -> ActionResult:
            call = Call(
                operation=operation,
                account=response.current_account,
                region=response.region,
                params=_params(response),
            )
            with state.LOCK:
                result = answer(call)
            return EmptyResult() if result is None else ActionResult(result)

        name = camelcase_to_underscores(operation)
        PATCHES.append(Patch(f"{RESPONSES[service]}.{name}", method, was=None))
        return answer

    return register


def replaces[F: Callable[..., Any]](target: str, *, was: str) -> Callable[[F], F]:
    """Put the decorated function in the place of moto's, whose source has the digest `was`."""

    def register(replacement: F) -> F:
        PATCHES.append(Patch(target, replacement, was=was))
        return replacement

    return register


def _params(response: BaseResponse) -> dict[str, Any]:
    """Return the request by the names of AWS's model; some of moto's services parse it, some do not."""
    if not response.automated_parameter_parsing:
        response.parse_parameters(response.normalized_request)
    return dict(response.params)


def backend(service: str, account: str, region: str) -> Any:
    """Return the store moto keeps of a service; IAM prefixes are not always moto's names."""
    name: Any = model.BOTO_NAMES.get(service, service)
    backends: Any = get_backend(name)
    return backends[account]["aws" if service in GLOBAL else region]


def find(target: str) -> tuple[Any, str]:
    """Find the object that holds the attribute, and the attribute's name."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


def digest(target: str) -> str:
    """Return a short fingerprint of the source that moto has there now."""
    owner, name = find(target)
    source = inspect.getsource(getattr(owner, name))
    return hashlib.sha256(source.encode()).hexdigest()[:12]
