"""Inference components as they were created: read whole, deleted, created again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_janitor.aws import tags
from ml_janitor.aws.answers import ReadError, ensure, unless_gone
from ml_janitor.aws.request_members import fitted
from ml_janitor.core.model import Value
from ml_janitor.detectors.idle_endpoints.endpoint import GONE, IN_SERVICE
from ml_janitor.engine.detector import CannotActError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws


def read(aws: Aws, endpoint: str) -> list[dict[str, Any]]:
    """
    Every inference component on *endpoint* as plain JSON, those that others stand on first.

    Raises CannotActError for one that is not in service: what became of it would not come back.
    """
    pages = aws.sagemaker.get_paginator("list_inference_components").paginate(EndpointNameEquals=endpoint)
    names = [found["InferenceComponentName"] for page in pages for found in page["InferenceComponents"]]
    records = aws.map(lambda name: _record(aws, name), names)
    return sorted(records, key=lambda record: (base_of(record) is not None, record["name"]))


def _record(aws: Aws, name: str) -> dict[str, Any]:
    found: Any = aws.sagemaker.describe_inference_component(InferenceComponentName=name)
    status = found["InferenceComponentStatus"]
    if status != IN_SERVICE:
        raise CannotActError(f"the inference component {name} on it is {status}, not {IN_SERVICE}")
    return {
        "name": name,
        "arn": found["InferenceComponentArn"],
        "variant": found.get("VariantName", ""),
        "created": found["CreationTime"].isoformat(),
        "changed": max(found["CreationTime"], found["LastModifiedTime"]).isoformat(),
        "arguments": arguments(aws, found),
        "tags": own_tags(aws, found["InferenceComponentArn"]),
    }


def arguments(aws: Aws, described: Mapping[str, Any]) -> dict[str, Any]:
    """
    What CreateInferenceComponent takes to make another like the one *described*.

    Its answer names the image as deployed and the copies as desired, and either one specification or
    one per instance type; an adapter uses its base's copies, compute and variant.
    """
    whole = dict(described)
    if whole.get("Specifications"):
        del whole["Specification"]
        whole["Specifications"] = [_specification(one) for one in whole["Specifications"]]
    else:
        whole["Specification"] = _specification(whole["Specification"])
    if "BaseInferenceComponentName" in whole.get("Specification", {}):
        del whole["VariantName"]
        whole["Specification"].pop("ComputeResourceRequirements", None)
        whole.pop("RuntimeConfig", None)
    else:
        whole["RuntimeConfig"] = {"CopyCount": whole["RuntimeConfig"]["DesiredCopyCount"]}
    return fitted(aws, "sagemaker", "CreateInferenceComponent", whole)


def _specification(described: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(described)
    if image := whole.get("Container", {}).get("DeployedImage", {}).get("SpecifiedImage"):
        whole["Container"] = {**whole["Container"], "Image": image}
    return whole


def base_of(record: Mapping[str, Any]) -> str | None:
    """The component that an adapter stands on; None for one that stands by itself."""
    base: str | None = record["arguments"].get("Specification", {}).get("BaseInferenceComponentName")
    return base


def status(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """The description of the component *name* as it is now, or None if there is none."""
    found: Any = unless_gone(
        lambda: aws.sagemaker.describe_inference_component(InferenceComponentName=name), GONE
    )
    if found is None:
        return None
    if "InferenceComponentStatus" not in found:
        raise ReadError(f"the description of inference component {name} was cut off")
    return dict(found)


def delete(aws: Aws, record: Mapping[str, Any]) -> None:
    """Delete the very component of *record*. Gone, going, or replaced by another is success."""
    if not there(aws, record):
        return
    ensure(
        lambda: aws.sagemaker.delete_inference_component(InferenceComponentName=record["name"]),
        lambda: not there(aws, record),
    )


def there(aws: Aws, record: Mapping[str, Any]) -> bool:
    """Whether the very component of *record* is there, and not on its way out."""
    found = itself(aws, record)
    return found is not None and found["InferenceComponentStatus"] != "Deleting"


def itself(aws: Aws, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The very component of *record*, on its way out or not; None where another has its name now."""
    found = status(aws, record["name"])
    if found is None or found["CreationTime"].isoformat() != record["created"]:
        return None
    return found


def another(aws: Aws, endpoint: str, records: Sequence[Mapping[str, Any]]) -> str | None:
    """The name of a component on *endpoint* that is none of *records*; None if there is none."""
    created = {record["name"]: record["created"] for record in records}
    pages = aws.sagemaker.get_paginator("list_inference_components").paginate(EndpointNameEquals=endpoint)
    for page in pages:
        for listed in page["InferenceComponents"]:
            name = listed["InferenceComponentName"]
            found = status(aws, name)  # a listing may still name what is gone
            if found is not None and found["CreationTime"].isoformat() != created.get(name):
                return name
    return None


def create(aws: Aws, record: Mapping[str, Any]) -> None:
    """Create the component of *record* again. One that has its name on the same endpoint is success."""
    arguments = record["arguments"]

    def created() -> bool:
        found = status(aws, record["name"])
        return found is not None and found["EndpointName"] == arguments["EndpointName"]

    ensure(lambda: aws.sagemaker.create_inference_component(**arguments, **tagged(record["tags"])), created)


def own_tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of *arn* that can be given again: AWS's own cannot. Raises ReadError."""
    match tags.of_one(aws, arn):
        case Value(read):
            return {key: value for key, value in read.items() if not key.startswith("aws:")}
        case unread:
            raise ReadError(f"the tags of {arn} could not be read: {getattr(unread, 'error', unread)}")


def tagged(given: Mapping[str, str]) -> dict[str, Any]:
    """Tags as an argument of a creating call; nothing if there are none."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in given.items()]} if given else {}
