"""Read image repositories of ECR: images and their layers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from ml_janitor.aws.calls import Listing, ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.text import count_noun

DESCRIBE_REPOSITORIES = "ecr:DescribeRepositories"
DESCRIBE_IMAGES = "ecr:DescribeImages"
BATCH_GET_IMAGE = "ecr:BatchGetImage"

ECR_PAGE = 1000
ECR_BATCH = 100
"""The most images in one BatchGetImage call."""

ARCHIVED_IMAGE = "ARCHIVED"

MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
"""The accepted media types of manifests; ECR converts an image to the first type that it can."""

IMAGE_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr[.-][\w.-]+?/(?P<repository>[\w./-]+)"
    r"(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:\w{64}))?"
)
"""An image in SageMaker's members or a pipeline's definition; without tag and digest, "latest"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrImage:
    """
    One image, or an index of images for several platforms.

    *pulled* has a day's grain (`lastRecordedPullTime`), and is None if it was never pulled. *subject* is the
    image that this image signs or describes.
    """

    digest: str
    tags: tuple[str, ...]
    pushed: datetime
    pulled: datetime | None
    archived: bool
    subject: str | None

    @property
    def used(self) -> datetime:
        """Return when it was last pushed or pulled."""
        return max(self.pushed, self.pulled or self.pushed)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """The parts of an image: bytes by the digest of each layer, or the images of an index."""

    layers: Mapping[str, int]
    images: tuple[str, ...]


def list_images(aws: Aws, repository: str) -> Listing[EcrImage]:
    """List every image of *repository*."""

    def image(entry: Mapping[str, Any]) -> EcrImage:
        return EcrImage(
            digest=entry["imageDigest"],
            tags=tuple(entry.get("imageTags", ())),
            pushed=entry["imagePushedAt"],
            pulled=entry.get("lastRecordedPullTime"),
            archived=entry.get("imageStatus") == ARCHIVED_IMAGE,
            subject=entry.get("subjectManifestDigest"),
        )

    return aws.listing(DESCRIBE_IMAGES, "imageDetails", image, ECR_PAGE, repositoryName=repository)


def list_repositories[T](aws: Aws, read: Callable[[Mapping[str, Any]], T]) -> Listing[T]:
    """List every repository of the account in its region, each entry converted by *read*."""
    return aws.listing(
        DESCRIBE_REPOSITORIES, "repositories", read, ECR_PAGE, lambda entry: str(entry["repositoryArn"])
    )


def read_image_manifests(aws: Aws, repository: str, digests: Iterable[str]) -> dict[str, ImageManifest]:
    """Read the manifests of the images *digests*, a hundred a call. Raises ReadError if any is missing."""
    found: dict[str, ImageManifest] = {}
    for batch in batched(digests, ECR_BATCH):
        answer = aws.client("ecr").batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest} for digest in batch],
            acceptedMediaTypes=list(MANIFEST_TYPES),
        )
        for image in answer["images"]:
            manifest = json.loads(image["imageManifest"])
            layers = [*manifest.get("layers", ()), *([manifest["config"]] if "config" in manifest else ())]
            found[image["imageId"]["imageDigest"]] = ImageManifest(
                {layer["digest"]: layer["size"] for layer in layers},
                tuple(child["digest"] for child in manifest.get("manifests", ())),
            )
        if missing := set(batch) - found.keys():
            raise ReadError(f"{BATCH_GET_IMAGE} left out {count_noun(len(missing), 'image')} of {repository}")
    return found
