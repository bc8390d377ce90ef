"""The context of conditions: keys of every request, those of its service, and resource tags."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moto.s3.models import S3Backend

from ml_janitor_sandbox.abac import switched
from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import EVERYTHING, Need
from ml_janitor_sandbox.iam.principals import Caller
from moto_corrections import accounts, tags
from moto_corrections.patches import Call, backend
from moto_corrections.sagemaker.store import resources
from moto_corrections.sagemaker.studio import APP
from moto_corrections.scaling import targets

REQUEST_TAG = "aws:requesttag/"
RESOURCE_TAGS = ("aws:resourcetag/", "sagemaker:resourcetag/")


@dataclass(frozen=True)
class RequestContext:
    """The context of one need of one request. Tags of the resource are only read when asked for."""

    caller: Caller
    call: Call
    need: Need

    def get(self, key: str) -> Values | None:
        """Return the values of a key in lower case; None if it is not there."""
        if key.startswith(REQUEST_TAG):
            return self._request_tags.get(key.removeprefix(REQUEST_TAG))
        for prefix in RESOURCE_TAGS:
            if key.startswith(prefix):
                return self._resource_tags.get(key.removeprefix(prefix))
        return self._plain.get(key)

    @cached_property
    def _plain(self) -> dict[str, Values]:
        found = {
            "aws:principalaccount": (self.caller.account,),
            "aws:principalarn": (self.caller.role,),
            "aws:principalisawsservice": ("false",),
            "aws:requestedregion": (self.call.region,),
            "aws:securetransport": ("true",),  # the sandbox's plain HTTP stands for AWS's TLS
        }
        if self.need.action.startswith("kms:"):
            found["kms:calleraccount"] = (self.caller.account,)
        if organization := accounts.organization_id(self.caller.account):
            found["aws:principalorgid"] = (organization,)
        if self.caller.via:
            found["aws:calledvia"] = (self.caller.via,)
        params = self.call.params
        if keys := (*_tags(params), *(params.get("TagKeys") or params.get("tagKeys") or ())):
            found["aws:tagkeys"] = keys
        if self.need.resource != EVERYTHING:
            owner = self.need.resource.split(":")[4] or self.call.account
            found["aws:resourceaccount"] = (owner,)
            if organization := accounts.organization_id(owner):
                found["aws:resourceorgid"] = (organization,)
        return found | dict(self.need.context)

    @cached_property
    def _request_tags(self) -> dict[str, Values]:
        return {key.lower(): (value,) for key, value in _tags(self.call.params).items()}

    @cached_property
    def _resource_tags(self) -> dict[str, Values]:
        found = tags_of(self.call, self.need.resource)
        return {key.lower(): (value,) for key, value in found.items()}


def _tags(params: dict[str, Any]) -> dict[str, str]:
    """Return the tags that a request sends: AWS spells them in two ways, and in two cases."""
    given = params.get("Tags") or params.get("tags") or {}
    if isinstance(given, dict):
        return dict(given)
    return {tag["Key"]: tag["Value"] for tag in given}


def tags_of(call: Call, resource: str) -> dict[str, str]:
    """Return the tags of the resource with this ARN; none for "*", or for one that does not exist."""
    if resource == EVERYTHING:
        return {}
    match resource.split(":")[2]:
        case "s3":
            return _bucket(call, resource.split(":")[5].partition("/")[0])
        case "ecr":
            found = backend("ecr", call.account, call.region).tagger.get_tag_dict_for_resource(resource)
            return dict(found)
        case "logs":
            group = resource.partition(":log-stream:")[0].removesuffix(":*")
            return dict(backend("logs", call.account, call.region).tagger.get_tag_dict_for_resource(group))
        case "application-autoscaling":
            arns = {target.members["ScalableTargetARN"]: target.tags for target in targets(call).values()}
            return arns.get(resource, {})
    if ":app/" in resource:  # IAM writes the type of an app in lower case (developer guide, domain isolation)
        arns_of_apps = {app.arn.lower(): app.arn for app in resources(call, APP).values()}
        resource = arns_of_apps.get(resource.lower(), resource)
    asked = Call("GetResources", call.account, call.region, {"ResourceARNList": [resource]})
    listed = (tags.get_resources(asked) or {})["ResourceTagMappingList"]
    return {tag["Key"]: tag["Value"] for mapping in listed for tag in mapping["Tags"]}


def _bucket(call: Call, bucket: str) -> dict[str, str]:
    """
    Return the tags of the bucket, for its objects too, and only once that is switched on for it.

    "S3 evaluates this condition key only after you enable ABAC on your bucket" (S3 user guide, "Using tags
    with S3 general purpose buckets"). Objects know aws:ResourceTag and s3:BucketTag (service authorization
    reference): an object's own tags are s3:ExistingObjectTag, which is not for deleting (S3 user guide,
    "Tagging and access control policies").
    """
    if bucket not in switched(call.account):
        return {}
    kept: S3Backend = backend("s3", call.account, call.region)
    return dict(kept.tagger.get_tag_dict_for_resource(kept.head_bucket(bucket).arn))
