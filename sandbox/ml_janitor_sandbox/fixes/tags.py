"""Tags: SageMaker's own operations for every ARN, and the Resource Groups Tagging API over them."""

from __future__ import annotations

from collections.abc import Iterator
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

from ml_janitor_sandbox import state
from ml_janitor_sandbox.paging import read, write
from ml_janitor_sandbox.patches import AwsError, Call, backend, rejected, replaces, serves
from ml_janitor_sandbox.sagemaker_store import Resource, SageMakerStore, constraint

_moto_resources = SageMakerModelBackend.iter_tagged_resources
_moto_tag = SageMakerModelBackend.tag_resource
_moto_untag = SageMakerModelBackend.untag_resource
_moto_bucket_tagging = S3Backend.put_bucket_tagging

LEAST_PER_PAGE = 50
MOST_TAGS = 50


class EverTagged:
    """Buckets that have had a tag: GetResources goes on listing them when it is gone."""

    def __init__(self) -> None:
        self.arns: set[str] = set()


def _ours(account: str, region: str, arn: str) -> Resource | None:
    store = state.at(SageMakerStore, account, region)
    return next((one for one in store if one.arn == arn), None)


@serves("sagemaker", "AddTags")
def add_tags(call: Call) -> dict[str, Any]:
    """A key that is there already gets the new value; moto keeps both."""
    arn, tags = call.params["ResourceArn"], call.params["Tags"]
    if resource := _ours(call.account, call.region, arn):
        if len(resource.tags | {tag["Key"]: tag["Value"] for tag in tags}) > MOST_TAGS:
            raise rejected(f"The number of tags exceeds the limit of {MOST_TAGS}.")
        resource.retag(tags)
        return {"Tags": _spelled(resource.tags)}
    kept = _moto_kept(call, arn)
    changed = {tag["Key"] for tag in tags}
    kept.tags = [tag for tag in kept.tags or [] if tag["Key"] not in changed] + tags
    return {"Tags": kept.tags}


@serves("sagemaker", "ListTags")
def list_tags(call: Call) -> dict[str, Any]:
    """Fifty or more to a page."""
    arn = call.params["ResourceArn"]
    size = call.params.get("MaxResults") or LEAST_PER_PAGE
    if size < LEAST_PER_PAGE:
        least = f"Member must have value greater than or equal to {LEAST_PER_PAGE}"
        raise constraint(size, "maxResults", least)
    resource = _ours(call.account, call.region, arn)
    tags = _spelled(resource.tags) if resource else list(_moto_kept(call, arn).tags or [])
    tags.sort(key=lambda tag: tag["Key"])
    after = _after(call.params.get("NextToken"))
    tags = [tag for tag in tags if tag["Key"] > after]
    answer: dict[str, Any] = {"Tags": tags[:size]}
    if len(tags) > size:
        answer["NextToken"] = write(tags[size - 1]["Key"])
    return answer


@serves("sagemaker", "DeleteTags")
def delete_tags(call: Call) -> dict[str, Any]:
    """Keys that are not there are no error."""
    arn, keys = call.params["ResourceArn"], set(call.params["TagKeys"])
    if resource := _ours(call.account, call.region, arn):
        resource.tags = {k: v for k, v in resource.tags.items() if k not in keys}
    else:
        kept = _moto_kept(call, arn)
        kept.tags = [tag for tag in kept.tags or [] if tag["Key"] not in keys]
    return {}


def _moto_kept(call: Call, arn: str) -> Any:
    """The object behind the ARN of a resource that is still moto's, several slashes or not."""
    kept = backend("sagemaker", call.account, call.region)
    for kind in list(vars(kept).values()):
        for one in list(kind.values()) if isinstance(kind, dict) else ():
            if arn in {v for k, v in getattr(one, "__dict__", {}).items() if k.endswith("arn")}:
                return one
    raise rejected(f'Could not find resource "{arn}".')


def _spelled(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@replaces("moto.sagemaker.models:SageMakerModelBackend.iter_tagged_resources", was="feb018ebf142")
def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
    """The sandbox's own resources, then those that moto still keeps."""
    for one in state.at(SageMakerStore, self.account_id, self.region_name):
        kind = f"sagemaker:{one.kind.arn}"
        yield TaggedResource(one.arn, dict(one.tags), kind, {"include_untagged": one.ever_tagged})
    yield from _moto_resources(self)


@replaces("moto.sagemaker.models:SageMakerModelBackend.tag_resource", was="782297fa3f09")
def tag_resource(self: Any, arn: str, tags: dict[str, str]) -> None:
    """TagResources on a SageMaker ARN."""
    if resource := _ours(self.account_id, self.region_name, arn):
        resource.retag(_spelled(tags))
    else:
        _moto_tag(self, arn, tags)


@replaces("moto.sagemaker.models:SageMakerModelBackend.untag_resource", was="47aa8a3fb64c")
def untag_resource(self: Any, arn: str, tag_keys: list[str]) -> None:
    """UntagResources on a SageMaker ARN."""
    if resource := _ours(self.account_id, self.region_name, arn):
        resource.tags = {k: v for k, v in resource.tags.items() if k not in tag_keys}
    else:
        _moto_untag(self, arn, tag_keys)


@replaces("moto.s3.responses:S3Response._bucket_tagging_from_body", was="e4b57fadc2da")
def bucket_tagging_from_body(self: Any) -> dict[str, str]:
    """The tags as they were written: moto trims the blanks off keys, and loses values without a letter."""
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
    """As moto's, and remembers that the bucket has been tagged."""
    _moto_bucket_tagging(self, bucket_name, tags)
    if tags:
        bucket = self.head_bucket(bucket_name)
        state.at(EverTagged, self.account_id, bucket.region_name).arns.add(bucket.arn)


@serves("tag", "GetResources")
def get_resources(call: Call) -> dict[str, Any]:
    """Tagged *or previously tagged* resources; a token may be used again, as a retry does."""
    params = call.params
    size = params.get("ResourcesPerPage") or 50
    if not 1 <= size <= 100:
        raise AwsError("InvalidParameterException", "ResourcesPerPage must be between 1 and 100")
    arns = set(params.get("ResourceARNList") or ())
    matches = make_tag_matcher(params.get("TagFilters"))
    after = _after(params.get("PaginationToken"))
    found = [
        one
        for one in _tagged(call)
        if one.arn > after
        and (not arns or one.arn in arns)
        and match_resource_type(one.resource_type, params.get("ResourceTypeFilters"))
        and matches(one.tags)
    ]
    found.sort(key=lambda one: one.arn)
    page = found[:size]
    return {
        "ResourceTagMappingList": [{"ResourceARN": one.arn, "Tags": _spelled(one.tags)} for one in page],
        "PaginationToken": write(page[-1].arn) if len(found) > size else "",
    }


def _tagged(call: Call) -> Iterator[TaggedResource]:
    once = state.of(EverTagged, call).arns
    for store in iter_taggable_backends(call.account, call.region):
        for one in store.iter_tagged_resources():
            if isinstance(store, S3Backend) and not _here(store, one, call.region):
                continue
            if one.tags or one.extra.get("include_untagged") or one.arn in once:
                yield one


def _here(store: S3Backend, bucket: TaggedResource, region: str) -> bool:
    """S3 is one backend for all regions, but the Tagging API answers for one."""
    home: str = store.buckets[bucket.arn.rpartition(":")[2]].region_name
    return home == region


def _after(token: str | None) -> str:
    return read(token, "", invalid="PaginationTokenExpiredException", message="Token does not exist")
