"""Artifacts of a bucket that is too large to list: Athena names candidates, and S3 confirms them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from ml_janitor.aws.answers import ReadError, read_signal, required_value
from ml_janitor.aws.athena import USD_PER_TB_SCANNED, query_price
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.core.signals import Unreadable, Value
from ml_janitor.core.text import format_size
from ml_janitor.detectors.duplicate_artifacts import copy_reasons as reasons
from ml_janitor.detectors.duplicate_artifacts.artifact import (
    ArtifactNames,
    BucketIndex,
    FolderKey,
    StoredObject,
    find_object,
    is_whole_model,
)
from ml_janitor.detectors.duplicate_artifacts.inventories import Inventory
from ml_janitor.detectors.duplicate_artifacts.inventory_deliveries import (
    InventoryDelivery,
    find_latest_delivery,
    suggest_inventory,
)
from ml_janitor.detectors.duplicate_artifacts.inventory_queries import (
    InventoryQueries,
    QueryBudget,
    format_query_usd,
)
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import BY_SIZE_BYTES, SizeGroup
from ml_janitor.detectors.duplicate_artifacts.sources import MOST_COMPARED, artifact_order, relevant_folders

_MOST_FOLDER_PAGES = 10
"""Pages of a folder's listing. A larger folder counts as one model, which is then too large to compare."""


MOST_EXTRA_SIZES = 5_000
"""Most sizes of artifacts in listed buckets that an inventory query adds to its own groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventorySettings:
    """
    The inventories to read, the age up to which they prove anything, and the
    price limit of each in US dollars.

    The detector asks a bucket of *look_from* objects or more for its
    inventories, if none is set; 0 stands for never.
    """

    inventories: tuple[Inventory, ...] = ()
    max_age: timedelta = timedelta(hours=48)
    max_usd: float = 1.0
    usd_per_tb: float = USD_PER_TB_SCANNED
    look_from: int = 0

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(inventory.bucket for inventory in self.inventories)

    def of(self, bucket: str) -> Inventory | None:
        """Return the inventory that the settings name for *bucket*."""
        return next((inventory for inventory in self.inventories if inventory.bucket == bucket), None)


@dataclass(slots=True)
class InventoriedBucket:
    """One bucket by its inventory: the candidates that Athena named and S3 still has."""

    aws: Aws
    names: ArtifactNames
    shelf: BucketIndex
    found: list[StoredObject] = field(default_factory=list)
    left_out: int = 0
    reading: str = ""

    @property
    def shelves(self) -> Mapping[str, BucketIndex]:
        return {self.shelf.bucket: self.shelf}

    def artifacts(self) -> Iterator[StoredObject]:
        return iter(sorted(self.found, key=artifact_order))

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """
        List the *folders* that show whether weights are a model by themselves.

        A folder that is too large, or that cannot be listed, counts as one model.
        """
        mine = (
            relevant_folders([artifact for artifact in self.found if not is_whole_model(artifact.key)])
            & folders
        )
        wanted = sorted(folder for _, folder in mine)
        for folder, whole in zip(wanted, self.aws.map(self._lies_in, wanted), strict=True):
            if not whole:
                self.shelf.models.add(folder)

    def _lies_in(self, folder: str) -> bool:
        """Put the objects directly in *folder* on the shelf; return whether that is all of them."""
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.shelf.bucket, Prefix=folder, Delimiter="/"
        )

        def read() -> bool:
            more = False
            for page in islice(pages, _MOST_FOLDER_PAGES):
                more = page["IsTruncated"]
                if "Contents" in page:
                    self.shelf.put(page, self.names)
            return not more

        return read_signal(read, source=LIST_OBJECTS) == Value(True, LIST_OBJECTS)


@dataclass(slots=True)
class InventoriedBuckets:
    """The buckets that were read from their inventories, with notices and errors."""

    sources: list[InventoriedBucket] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_inventories(
    aws: Aws,
    asking: InventorySettings,
    places: Mapping[str, str],
    names: ArtifactNames,
    now: datetime,
    *,
    readable: Sequence[str],
    sizes: AbstractSet[int] | None,
    elsewhere: AbstractSet[int],
) -> InventoriedBuckets:
    """
    Read the *places*, a map of buckets to regions, that have an inventory.

    *readable* are the buckets whose contents may be read, *elsewhere* the sizes of all other artifacts.
    """
    known = InventoriedBuckets()
    for inventory in asking.inventories:
        region = places.get(inventory.bucket)
        if region == aws.region:
            by_size = inventory.bucket in readable
            found = read_inventory(
                aws, inventory, asking, names, now, by_size=by_size, sizes=sizes, elsewhere=elsewhere
            )
            known.sources.append(found)
            known.notices += [found.reading] if found.reading else []
            known.errors += [reasons.left_out_notice(found.left_out)] if found.left_out else []
        elif region is not None:
            known.notices.append(
                f"{inventory.bucket} is in {region}, and its inventory is asked there, not here"
            )
    return known


def suggest_inventories(aws: Aws, asking: InventorySettings, shelves: Sequence[BucketIndex]) -> list[str]:
    """Return settings to copy for large buckets that were listed although they have an inventory."""
    large = [shelf for shelf in shelves if asking.look_from and shelf.objects >= asking.look_from]
    return [
        f"{shelf.bucket} holds {shelf.objects:,} objects and has an inventory, which Athena can read. "
        "To have that done, make its table (see the page of duplicate-artifacts) and set, in "
        f"detectors.duplicate-artifacts: {setting}"
        for shelf, setting in zip(
            large, aws.map(lambda shelf: suggest_inventory(aws, shelf.bucket), large), strict=True
        )
        if setting
    ]


def read_inventory(
    aws: Aws,
    inventory: Inventory,
    asking: InventorySettings,
    names: ArtifactNames,
    now: datetime,
    *,
    by_size: bool,
    sizes: AbstractSet[int] | None,
    elsewhere: AbstractSet[int],
) -> InventoriedBucket:
    """
    Return the bucket as *inventory* describes it, as far as S3 confirms it.

    With *by_size*, artifacts of one size from `BY_SIZE_BYTES` on are candidates whatever their ETags. With
    *sizes*, all artifacts of these sizes are candidates, and no groups are read; else sizes that also occur
    *elsewhere* are added. A failure leaves the bucket unread.
    """
    source = InventoriedBucket(aws, names, BucketIndex(bucket=inventory.bucket, region=aws.region))
    purse = QueryBudget(asking.max_usd, asking.usd_per_tb)

    def read() -> None:
        delivery = find_latest_delivery(aws, inventory, now)
        age = now - delivery.at
        if age > asking.max_age:
            source.shelf.stale = f"its bucket's inventory is {age_in_hours(age)} old"
        limit = 2 * query_price(delivery.most, asking.usd_per_tb)
        if limit > asking.max_usd:
            raise ReadError(
                f"asking Athena may cost {format_query_usd(limit)}: inventory_max_usd allows "
                f"{format_query_usd(asking.max_usd)}"
            )
        queries = InventoryQueries(aws, inventory, delivery, names, purse)
        wanted = (
            add_sizes(
                queries.groups(by_size=by_size), elsewhere if len(elsewhere) <= MOST_EXTRA_SIZES else ()
            )
            if sizes is None
            else [SizeGroup(size, "", 0) for size in sorted(sizes, reverse=True)]
        )
        wanted, source.left_out = limit_groups(wanted, MOST_COMPARED)
        named = queries.keys(wanted)
        source.found = _still_there(aws, inventory.bucket, named)
        source.reading = reading_note(inventory, delivery, age, purse, by_size=by_size)
        if len(elsewhere) > MOST_EXTRA_SIZES:
            source.reading += (
                f"; nor whether it has copies of other buckets' artifacts, of {len(elsewhere):,} sizes"
            )

    outcome = read_signal(read, source="athena:StartQueryExecution")
    if isinstance(outcome, Unreadable):
        spent = f" ({format_query_usd(sum(purse.prices))} spent)" if purse.prices else ""
        source.found = []
        source.shelf.error = f"the inventory of {inventory.bucket}: {outcome.error}{spent}"
    return source


def add_sizes(found: Sequence[SizeGroup], elsewhere: Iterable[int]) -> list[SizeGroup]:
    """Return the groups *found*, and groups of any ETag for sizes that other buckets' artifacts have."""
    known = {group.size for group in found if not group.etag}
    more = [SizeGroup(size, "", 0) for size in elsewhere if size not in known]
    return sorted([*found, *more], key=lambda group: (-group.size, group.etag))


def limit_groups(wanted: Sequence[SizeGroup], most: int) -> tuple[list[SizeGroup], int]:
    """
    Return the first groups that have at most *most* artifacts together, and
    the number of artifacts in the rest.
    """
    taken: list[SizeGroup] = []
    total = 0
    for group in wanted:
        if total + group.count > most:
            break
        taken.append(group)
        total += group.count
    return taken, sum(group.count for group in wanted[len(taken) :])


def _still_there(aws: Aws, bucket: str, named: Sequence[tuple[str, int, str]]) -> list[StoredObject]:
    """Return the *named* objects that S3 still has with this size and ETag. Raises ReadError."""
    asked = aws.map(
        lambda row: read_signal(partial(find_object, aws, bucket, row[0]), source=LIST_OBJECTS), list(named)
    )
    found = []
    for (_, size, etag), answer in zip(named, asked, strict=True):
        artifact = required_value(answer)
        if artifact is not None and (artifact.size, artifact.etag.strip('"')) == (size, etag.strip('"')):
            found.append(artifact)
    return found


def reading_note(
    inventory: Inventory, delivery: InventoryDelivery, age: timedelta, purse: QueryBudget, *, by_size: bool
) -> str:
    """Return the report's note on such a bucket: how it was read, the price, and the gaps."""
    kind = (
        "its live inventory table, which S3 keeps up to date within an hour"
        if inventory.live
        else f"its S3 Inventory of {delivery.at:%Y-%m-%d %H:%M} UTC ({age_in_hours(age)} old)"
    )
    number = len(purse.prices)
    below = f"below {format_size(BY_SIZE_BYTES)} " if by_size else ""
    return (
        f"{inventory.bucket} was read from {kind}, by {number} {'query' if number == 1 else 'queries'} of "
        f"Athena: {format_query_usd(sum(purse.bounds))} at most by what they could scan, "
        f"{format_query_usd(sum(purse.prices))} "
        f"by what they did. It does not show what was written since, nor copies {below}that have other "
        "ETags: under a KMS key, or uploaded in other parts"
    )


def age_in_hours(age: timedelta) -> str:
    """Return *age* in whole hours."""
    number = int(age / timedelta(hours=1))
    return f"{number} hour{'s' * (number != 1)}"
