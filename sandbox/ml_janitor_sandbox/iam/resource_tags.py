"""The tags of a resource that conditions are compared with."""

from __future__ import annotations

from moto.s3.models import S3Backend

from ml_janitor_sandbox.abac import switched
from ml_janitor_sandbox.fixes import tags
from ml_janitor_sandbox.iam.needs import EVERYTHING
from ml_janitor_sandbox.patches import Call, backend
from ml_janitor_sandbox.scaling import targets


def of(call: Call, resource: str) -> dict[str, str]:
    """The tags of the resource with this ARN; none for what is everything, or not there."""
    if resource == EVERYTHING:
        return {}
    match resource.split(":")[2]:
        case "s3":
            return _bucket(call, resource.split(":")[5].partition("/")[0])
        case "ecr":
            found = backend("ecr", call.account, call.region).tagger.get_tag_dict_for_resource(resource)
            return dict(found)
        case "application-autoscaling":
            arns = {one.members["ScalableTargetARN"]: one.tags for one in targets(call).values()}
            return arns.get(resource, {})
    asked = Call("GetResources", call.account, call.region, {"ResourceARNList": [resource]})
    listed = (tags.get_resources(asked) or {})["ResourceTagMappingList"]
    return {tag["Key"]: tag["Value"] for one in listed for tag in one["Tags"]}


def _bucket(call: Call, bucket: str) -> dict[str, str]:
    """
    Those of the bucket, for its objects too, and only once that is switched on for it.

    "S3 evaluates this condition key only after you enable ABAC on your bucket" (S3 user guide, "Using tags
    with S3 general purpose buckets"). Objects know aws:ResourceTag and s3:BucketTag (service authorization
    reference): an object's own tags are s3:ExistingObjectTag, which is not for deleting (S3 user guide,
    "Tagging and access control policies").
    """
    if bucket not in switched(call.account).on:
        return {}
    kept: S3Backend = backend("s3", call.account, call.region)
    return dict(kept.tagger.get_tag_dict_for_resource(kept.head_bucket(bucket).arn))
