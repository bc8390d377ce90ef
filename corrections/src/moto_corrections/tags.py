"""Tags: SageMaker's own operations for every ARN, and the Resource Groups Tagging API over them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import xmltodict  # type: ignore[import-untyped]
from moto.core.resource_tagging import (
    TaggedResource,
    iter_taggable_backends,
    make_tag_matcher,
    match_resource_type,
)
from moto.s3.exceptions import DuplicateTagKeys, NoSystemTags
from moto.s3.models import S3Backend
from moto.sagemaker.models import SageMakerModelBackend

from moto_corrections import state
from moto_corrections.paging import after, size_of
from moto_corrections.patches import AwsError, Call, backend, rejected, replaces, serves
from moto_corrections.sagemaker.store import Resource, SageMakerStore, constraint

_moto_resources = SageMakerModelBackend.iter_tagged_resources
_moto_tag = SageMakerModelBackend.tag_resource
_moto_untag = SageMakerModelBackend.untag_resource
_moto_bucket_tagging = S3Backend.put_bucket_tagging

LEAST_PER_PAGE = 50
MOST_TAGS = 50
_page = partial(after, invalid="PaginationTokenExpiredException", message="Token does not exist")


class EverTagged(set[str]):
    """ARNs of buckets that have had a tag: GetResources goes on listing them when it is gone."""


def _ours(account: str, region: str, arn: str) -> Resource | None:
    store = state.at(SageMakerStore, account, region)
    return next((resource for resource in store if resource.arn == arn), None)


def _tags(call: Call) -> dict[str, str]:
    """Return the tags of the ARN that the call is about, of whosever it is."""
    held = _held(call).tags
    return held if isinstance(held, dict) else {tag["Key"]: tag["Value"] for tag in held or ()}


def _hold(call: Call, tags: dict[str, str]) -> None:
    held = _held(call)
    held.tags = tags if isinstance(held, Resource) else _spelled(tags)
    if isinstance(held, Resource):
        held.ever_tagged = held.ever_tagged or bool(tags)


@serves("sagemaker", "AddTags")
def add_tags(call: Call) -> dict[str, Any]:
    """Add tags; a key that is there already gets the new value; moto keeps both."""
    tags = _tags(call) | {tag["Key"]: tag["Value"] for tag in call.params["Tags"]}
    if len(tags) > MOST_TAGS:
        raise rejected(f"The number of tags exceeds the limit of {MOST_TAGS}.")
    _hold(call, tags)
    return {"Tags": _spelled(tags)}


@serves("sagemaker", "ListTags")
def list_tags(call: Call) -> dict[str, Any]:
    """List tags, fifty or more to a page."""
    size = call.params.get("MaxResults") or LEAST_PER_PAGE
    if size < LEAST_PER_PAGE:
        least = f"Member must have value greater than or equal to {LEAST_PER_PAGE}"
        raise constraint(size, "maxResults", least)
    page, more = _page(call, _spelled(_tags(call)), size, lambda tag: tag["Key"])
    return {"Tags": page, **more}


@serves("sagemaker", "DeleteTags")
def delete_tags(call: Call) -> dict[str, Any]:
    """Delete tags; keys that are not there are no error."""
    _hold(call, {key: value for key, value in _tags(call).items() if key not in call.params["TagKeys"]})
    return {}


def _held(call: Call) -> Any:
    """Return the resource of the call: one that is kept here, or moto's object, several slashes or not."""
    arn = call.params["ResourceArn"]
    if resource := _ours(call.account, call.region, arn):
        return resource
    kept = backend("sagemaker", call.account, call.region)
    for kind in list(vars(kept).values()):
        for thing in list(kind.values()) if isinstance(kind, dict) else ():
            if arn in {v for k, v in getattr(thing, "__dict__", {}).items() if k.endswith("arn")}:
                return thing
    raise rejected(f'Could not find resource "{arn}".')


def _spelled(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@replaces("moto.sagemaker.models:SageMakerModelBackend.iter_tagged_resources", was="feb018ebf142")
def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
    """List the resources that are kept here, then those that moto still keeps."""
    for resource in state.at(SageMakerStore, self.account_id, self.region_name):
        kind = f"sagemaker:{resource.kind.arn}"
        yield TaggedResource(
            resource.arn, dict(resource.tags), kind, {"include_untagged": resource.ever_tagged}
        )
    yield from _moto_resources(self)


@replaces("moto.sagemaker.models:SageMakerModelBackend.tag_resource", was="782297fa3f09")
def tag_resource(self: Any, arn: str, tags: dict[str, str]) -> None:
    """Serve TagResources on a SageMaker ARN."""
    if resource := _ours(self.account_id, self.region_name, arn):
        resource.retag(_spelled(tags))
    else:
        _moto_tag(self, arn, tags)


@replaces("moto.sagemaker.models:SageMakerModelBackend.untag_resource", was="47aa8a3fb64c")
def untag_resource(self: Any, arn: str, tag_keys: list[str]) -> None:
    """Serve UntagResources on a SageMaker ARN."""
    if resource := _ours(self.account_id, self.region_name, arn):
        resource.tags = {k: v for k, v in resource.tags.items() if k not in tag_keys}
    else:
        _moto_untag(self, arn, tag_keys)


@replaces("moto.s3.responses:S3Response._bucket_tagging_from_body", was="e4b57fadc2da")
def bucket_tagging_from_body(self: Any) -> dict[str, str]:
    """Return the tags as written: moto trims the blanks off keys, and loses values without a letter."""
    parsed = xmltodict.parse(self.body, strip_whitespace=False, force_list={"Tag": True})
    tags: dict[str, str] = {}
    for tag in (parsed["Tagging"].get("TagSet") or {}).get("Tag", ()):
        if tag["Key"] in tags:
            raise DuplicateTagKeys
        if tag["Key"].startswith("aws:"):
            raise NoSystemTags
        tags[tag["Key"]] = tag["Value"] or ""
    return tags


@replaces("moto.s3.models:S3Backend.put_bucket_tagging", was="a3b19e1d7c96")
def put_bucket_tagging(self: Any, bucket_name: str, tags: dict[str, str]) -> None:
    """Put tags as moto does, and remember that the bucket has been tagged."""
    _moto_bucket_tagging(self, bucket_name, tags)
    if tags:
        bucket = self.head_bucket(bucket_name)
        state.at(EverTagged, self.account_id, bucket.region_name).add(bucket.arn)


@serves("tag", "GetResources")
def get_resources(call: Call) -> dict[str, Any]:
    """List tagged *or previously tagged* resources; a token may be used again, as a retry does."""
    params = call.params
    size = size_of(call, "ResourcesPerPage", 50, 100, partial(AwsError, "InvalidParameterException"))
    arns = set(params.get("ResourceARNList") or ())
    matches = make_tag_matcher(params.get("TagFilters"))
    found = [
        resource
        for resource in _tagged(call)
        if (not arns or resource.arn in arns)
        and match_resource_type(resource.resource_type, params.get("ResourceTypeFilters"))
        and matches(resource.tags)
    ]
    page, more = _page(call, found, size, lambda resource: resource.arn, member="PaginationToken")
    listed = [{"ResourceARN": resource.arn, "Tags": _spelled(resource.tags)} for resource in page]
    return {"ResourceTagMappingList": listed, "PaginationToken": "", **more}


def _tagged(call: Call) -> Iterator[TaggedResource]:
    once = state.of(EverTagged, call)
    for store in iter_taggable_backends(call.account, call.region):
        for resource in store.iter_tagged_resources():
            if isinstance(store, S3Backend) and not _here(store, resource, call.region):
                continue
            if resource.tags or resource.extra.get("include_untagged") or resource.arn in once:
                yield resource


def _here(store: S3Backend, bucket: TaggedResource, region: str) -> bool:
    """Tell whether a bucket is in *region*: S3 is one backend for all, the Tagging API is not."""
    home: str = store.buckets[bucket.arn.rpartition(":")[2]].region_name
    return home == region
