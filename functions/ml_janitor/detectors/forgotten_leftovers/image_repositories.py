"""Image repositories with images that nobody pulls and nothing in SageMaker names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from ml_janitor.aws import images, storage, tags
from ml_janitor.aws.calls import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.images import EcrImage, ImageManifest
from ml_janitor.aws.references import References
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.aws.tags import target_in
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Candidate,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import count_noun, format_size, quote_shell
from ml_janitor.engine.detector import allow

REPOSITORY_KIND, _REPOSITORY_NOUN = "repository", "image repository"

REPOSITORY_READS = (
    *(allow(action, on="repository/*") for action in (images.DESCRIBE_REPOSITORIES, images.DESCRIBE_IMAGES)),
    *(allow(action, on="repository/*") for action in (images.BATCH_GET_IMAGE, tags.LIST_REPOSITORY_TAGS)),
)

_PULL_PRECISION = timedelta(days=1)
"""Precision of the time of a pull."""

_IMAGES_SHOWN = 5
"""Images that the evidence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRepository(Candidate):
    """
    A repository with its images.

    *named* are the tags and digests by which SageMaker resources name its images, absent where nothing names
    any, and not read where no image is old. *manifests* are not read where no old image is unnamed.
    """

    images: Signal[tuple[EcrImage, ...]]
    named: Signal[frozenset[str]]
    manifests: Signal[Mapping[str, ImageManifest]]
    prices: StoragePrices


def find(
    aws: Aws, patience: timedelta, others: Sequence[str], used: Callable[[], References], now: datetime
) -> Iterator[ImageRepository]:
    """
    Yield every repository with its images, and all manifests where an image is old and not named.

    References are read, by *used*, if any image is old.
    """
    listing = images.list_repositories(aws, lambda entry: entry)
    prices = storage.read_storage_prices(aws, "AmazonECR")
    held = aws.map(lambda entry: images.list_images(aws, str(entry["repositoryName"])), listing.items)
    aged = [
        found.error is None and any(_aged(image, patience, now) for image in found.items) for found in held
    ]
    references = used() if any(aged) else None

    def read(entry: Mapping[str, Any], found: Listing[EcrImage], *, old: bool) -> ImageRepository:
        name, arn = str(entry["repositoryName"]), str(entry["repositoryArn"])
        named: Signal[frozenset[str]] = NotRead()
        if references is not None and old:
            named = references.images_in(name)
        names = _value(named, frozenset())
        manifests: Signal[Mapping[str, ImageManifest]] = NotRead()
        judged = old and (names or _asked_for(name, others))
        if judged and any(_old(image, names, patience, now) for image in found.items if not image.archived):
            active = [image.digest for image in found.items if not image.archived]
            manifests = read_signal(
                lambda: images.read_image_manifests(aws, name, active), source=images.BATCH_GET_IMAGE
            )
        return ImageRepository(
            target=target_in(
                aws, arn, name, REPOSITORY_KIND, entry["createdAt"], tags=tags.read_repository_tags(aws, arn)
            ),
            images=found.signal(images.DESCRIBE_IMAGES),
            named=named,
            manifests=manifests,
            prices=prices,
        )

    found = list(zip(listing.items, held, aged, strict=True))
    yield from aws.map(lambda repository: read(*repository[:2], old=repository[2]), found)
    listing.check()


def _value[T](signal: Signal[T], none: T) -> T:
    return signal.value if isinstance(signal, Value) else none


def _asked_for(name: str, others: Sequence[str]) -> bool:
    """Return whether a repository is judged although nothing in SageMaker names it."""
    return any(fnmatchcase(name, glob) for glob in others)


def _old(image: EcrImage, named: Collection[str], patience: timedelta, now: datetime) -> bool:
    """Return whether *image* by itself is unused: pushed and last pulled long ago, and not named."""
    return _aged(image, patience, now) and {image.digest, *image.tags}.isdisjoint(named)


def _aged(image: EcrImage, patience: timedelta, now: datetime) -> bool:
    return not image.archived and now - image.used >= patience + _PULL_PRECISION


def unused_images(
    held: Sequence[EcrImage],
    manifests: Mapping[str, ImageManifest],
    named: Collection[str],
    patience: timedelta,
    now: datetime,
) -> tuple[list[EcrImage], int]:
    """
    Return the images of a repository that can go, and the bytes that only they hold.

    An index and the images in it are used together, as are an image and its signatures or descriptions.
    Deleting does not free layers that an image in use has too.
    """
    active = [image for image in held if not image.archived]
    used = {image.digest for image in active if not _old(image, named, patience, now)}
    together = [(image.digest, *manifests[image.digest].images) for image in active]
    together += [(image.digest, image.subject) for image in active if image.subject is not None]
    grown = True
    while grown:
        more = {digest for group in together if not used.isdisjoint(group) for digest in group}
        grown = not more <= used
        used |= more
    kept = {layer for digest in used if digest in manifests for layer in manifests[digest].layers}
    left = [image for image in active if image.digest not in used]
    freed = {layer: size for image in left for layer, size in manifests[image.digest].layers.items()}
    return left, sum(size for layer, size in freed.items() if layer not in kept)


def decide(
    candidate: ImageRepository, patience: timedelta, smallest: int, others: Sequence[str], now: datetime
) -> Verdict:
    """Judge a repository, as likely at most: other services may pull an image once a year."""
    rule, name = Rule(), candidate.target.name
    for read in (candidate.images, candidate.named, candidate.manifests):
        if isinstance(read, Unreadable):
            return rule.unknown(f"not all that tells which images are used was read ({read.error})")
    held, named = _value(candidate.images, ()), _value(candidate.named, frozenset())
    rule.saw(Evidence("images", len(held), source=images.DESCRIBE_IMAGES))
    if isinstance(candidate.named, NotRead):
        return rule.kept(f"every image was pushed or pulled in the last {format_age(patience)}")
    if not named and not _asked_for(name, others):
        return rule.kept(
            "no model, package, endpoint, pipeline or recent job names an image of it: other services may"
        )
    if isinstance(candidate.manifests, NotRead):
        return rule.kept(f"every image is named, or was pushed or pulled in the last {format_age(patience)}")
    manifests = _value(candidate.manifests, {})
    left, freed = unused_images(held, manifests, named, patience, now)
    shown = [image.tags[0] if image.tags else image.digest for image in left]
    rule.saw(
        Evidence("unused images", len(left), source=images.DESCRIBE_IMAGES),
        Evidence("bytes that only they hold", format_size(freed), source=images.BATCH_GET_IMAGE),
        *(Evidence("unused", name, source=images.DESCRIBE_IMAGES) for name in shown[:_IMAGES_SHOWN]),
    )
    if freed < smallest:
        return rule.kept(
            f"its unused images hold {format_size(freed)}; judged from {format_size(smallest)} on"
        )
    kept = candidate.prices.cost(storage.IMAGE_STORAGE, freed)
    return rule.found(
        f"nobody pushed or pulled {len(left)} of {count_noun(len(held), 'image')} in "
        f"{format_age(patience)}, and no model,"
        f" package, endpoint, pipeline or recent job names them; only they hold {format_size(freed)}",
        Confidence.LIKELY,
        action=f"delete {f'the {len(left)} unused images' if len(left) > 1 else 'the unused image'}:"
        f" aws ecr batch-delete-image --repository-name {quote_shell(name)}"
        f" --image-ids {quote_shell(f'imageDigest={left[0].digest}')}"
        f"{f' and the {count_noun(len(left) - 1, "other")}' if len(left) > 1 else ''}, or a "
        "lifecycle policy that does it",
        cost=Cost.saving(kept.monthly_usd, kept.source),
        noun=_REPOSITORY_NOUN,
        spared="images are only reported",
    )
