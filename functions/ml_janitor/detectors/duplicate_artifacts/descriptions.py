"""SageMaker's resources by kind: what the listings name, and what each description holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import Listing, everything, failure
from ml_janitor.core.model import Absent, Signal, Unreadable, Value

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

PAGE_SIZE = 100
"""The largest page of SageMaker's listings; the default is 10."""

IN_PROGRESS = "InProgress"

OUTPUTS = frozenset(
    {
        "AsyncInferenceConfig",
        "CoreDumpConfig",
        "DataCaptureConfig",
        "DebugHookConfig",
        "OutputDataConfig",
        "ProcessingOutputConfig",
        "ProfilerConfig",
        "TensorBoardOutputConfig",
        "TransformOutput",
    }
)
"""Members that say where something writes, which is no reference to what already lies there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    A kind of resource whose descriptions are searched for places in S3.

    *members* is the list in an answer of its listing, *query* narrows that. Members in *outputs* are
    not searched.
    """

    words: str
    noun: str
    members: str
    query: tuple[tuple[str, str], ...] = ()
    outputs: frozenset[str] = OUTPUTS

    @property
    def name(self) -> str:
        """The member that names one in its listing, and that Describe asks for."""
        return f"{self.noun}Name"


@dataclass(frozen=True, slots=True)
class Listed:
    """One resource as a listing names it: by name or ARN, and when it was made."""

    name: str
    created: datetime


def listing(aws: Aws, kind: Kind, member: str, query: dict[str, str]) -> Listing[Listed]:
    """Every resource of *kind* that *query* leaves in its listing, named by its *member*."""
    from botocore import xform_name

    operation = f"List{kind.noun}s"
    pages: Any = aws.client("sagemaker").get_paginator(xform_name(operation))
    return everything(
        pages.paginate(**query, PaginationConfig={"PageSize": PAGE_SIZE}),
        lambda page: [Listed(entry[member], entry["CreationTime"]) for entry in page[kind.members]],
        source=f"sagemaker:{operation}",
    )


def describe(aws: Aws, kind: Kind, name: str) -> Signal[dict[str, Any]]:
    """The description of one resource; `Absent` if it was deleted since it was listed."""
    from botocore import xform_name
    from botocore.exceptions import ClientError

    operation = f"Describe{kind.noun}"
    source = f"sagemaker:{operation}"
    try:
        answer = getattr(aws.client("sagemaker"), xform_name(operation))(**{kind.name: name})
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if isinstance(error, ClientError) and gone(error.response.get("Error", {})):
            return Absent(source)
        if (said := failure(error)) is None:
            raise
        return Unreadable(f"{kind.words} {name}: {said}", source)
    if f"{kind.noun}Arn" not in answer:
        return Unreadable(f"{kind.words} {name}: the answer was cut off", source)
    return Value({member: value for member, value in answer.items() if member != "ResponseMetadata"}, source)


def gone(error: Any) -> bool:
    """Whether *error* is SageMaker's way of saying that there is no such resource."""
    missing = "could not find" in error.get("Message", "").lower()
    return error.get("Code") == "ResourceNotFound" or (error.get("Code") == "ValidationException" and missing)
