"""
Image repositories: listed in pages, which moto answers all at once, and images as AWS describes them.

moto takes 50 MB or the size of the config for an image's size, and one of a hundred random digests for an
index. Nothing pulls an image here: `pulled` says when it was.
"""

import datetime as dt
import hashlib
import json
from functools import partial
from typing import Any

from moto.ecr.models import Image

from moto_corrections import clock
from moto_corrections.paging import cut, size_of
from moto_corrections.patches import AwsError, Call, backend, replaces, serves

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
_create = Image.__init__
wrong = partial(AwsError, "InvalidParameterException")

LARGEST_BATCH = 100
"""Of the images of one BatchGetImage (API reference)."""


@serves("ecr", "DescribeRepositories")
def describe_repositories(call: Call) -> dict[str, Any]:
    """Describe repositories: by name all of them, else a page (API reference: 100, at most 1000)."""
    names = call.params.get("repositoryNames")
    kept = backend("ecr", call.account, call.region)
    found = kept.describe_repositories(repository_names=names, registry_id=call.params.get("registryId"))
    return _page(call, "repositories", found, "repositoryNames")


@serves("ecr", "DescribeImages")
def describe_images(call: Call) -> dict[str, Any]:
    """Describe images: those asked for by id all at once, else a page of them."""
    kept = backend("ecr", call.account, call.region)
    name, ids = call.params["repositoryName"], call.params.get("imageIds")
    found = kept.describe_images(name, call.params.get("registryId"), ids)
    return _page(call, "imageDetails", [_details(image) for image in found], "imageIds")


@serves("ecr", "BatchGetImage")
def batch_get_image(call: Call) -> dict[str, Any]:
    """Return what moto does, for at most a hundred images."""
    ids = call.params["imageIds"]
    if len(ids) > LARGEST_BATCH:
        raise wrong(f"imageIds must have at most {LARGEST_BATCH} entries.")
    found: dict[str, Any] = backend("ecr", call.account, call.region).batch_get_image(
        call.params["repositoryName"], image_ids=ids
    )
    return found


@replaces("moto.ecr.models:Image.__init__", was="3edb4f3a65b0")
def pushed(self: Any, *given: Any, **named: Any) -> None:
    """Set the time of the push by the clock here."""
    _create(self, *given, **named)
    self.image_pushed_at = clock.now().timestamp()


@replaces("moto.ecr.models:Image._create_digest", was="2e036c6729a2")
def create_digest(self: Any) -> None:
    """Compute the digest of the manifest's text, as the registry protocol has it: an index has its own."""
    self._image_digest = "sha256:" + hashlib.sha256(self.image_manifest.encode()).hexdigest()


def pulled(account: str, region: str, repository: str, digest: str, at: str) -> None:
    """Say that an image was last pulled then."""
    images = backend("ecr", account, region).repositories[repository].images
    next(image for image in images if image.image_digest == digest).sandbox_pulled = clock.parse(at)


def _details(image: Image) -> dict[str, Any]:
    manifest = json.loads(image.image_manifest)
    parts = [*manifest.get("layers", ()), manifest.get("config", {})]
    found = {
        "registryId": image.registry_id,
        "repositoryName": image.repository_name,
        "imageDigest": image.image_digest,
        "imageTags": image.image_tags,
        "imageSizeInBytes": sum(part.get("size", 0) for part in parts),
        "imagePushedAt": dt.datetime.fromtimestamp(image.image_pushed_at, dt.UTC),
        "imageManifestMediaType": image.image_manifest_media_type,
        "imageStatus": "ACTIVE",
        "lastRecordedPullTime": getattr(image, "sandbox_pulled", None),
    }
    return {member: value for member, value in found.items() if value is not None and value != []}


def _page(call: Call, member: str, found: list[Any], ids: str) -> dict[str, Any]:
    if call.params.get(ids):
        if call.params.get("maxResults") or call.params.get("nextToken"):
            raise wrong(f"maxResults and nextToken cannot be given with {ids}.")
        return {member: found}
    size = size_of(call, "maxResults", DEFAULT_PAGE, LARGEST_PAGE, wrong)
    page, more = cut(call, found, size, invalid="InvalidParameterException", member="nextToken")
    return {member: page, **more}
