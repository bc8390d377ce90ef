"""Artifacts of a bucket that is too large to list: Athena names candidates, and S3 is asked about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from ml_janitor.aws.answers import ReadError, attempt
from ml_janitor.aws.athena import USD_PER_TB, Row, price
from ml_janitor.core.signals import Absent, Unreadable, Value
from ml_janitor.core.text import data_size
from ml_janitor.detectors.duplicate_artifacts.artifact import (
    LIST_OBJECTS,
    Folder,
    Names,
    Shelf,
    Stored,
    archive,
    listed,
)
from ml_janitor.detectors.duplicate_artifacts.inventories import Delivery, Inventory, Purse, dollars, latest
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import (
    BY_SIZE,
    GROUP_COLUMNS,
    KEY_COLUMNS,
    Format,
    Group,
    groups,
    keys,
    portions,
)
from ml_janitor.detectors.duplicate_artifacts.sources import MOST, folders_of, order

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

PAGES = 10
"""Of a folder's listing. A larger folder is taken for one model, which is then too large to be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How inventories are read: up to which age they prove anything, and what that may cost in US dollars."""

    inventories: tuple[Inventory, ...] = ()
    max_age: timedelta = timedelta(hours=48)
    max_usd: float = 1.0
    usd_per_tb: float = USD_PER_TB

    def of(self, bucket: str) -> Inventory | None:
        """The inventory that the settings name for *bucket*."""
        return next((one for one in self.inventories if one.bucket == bucket), None)


@dataclass(slots=True)
class Inventoried:
    """One bucket as its inventory shows it: the candidates that Athena named and that are still so in S3."""

    aws: Aws
    names: Names
    shelf: Shelf
    found: list[Stored] = field(default_factory=list)
    left_out: int = 0
    told: str = ""

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        return {self.shelf.bucket: self.shelf}

    def artifacts(self) -> Iterator[Stored]:
        return iter(sorted(self.found, key=order))

    def notice(self, folders: AbstractSet[Folder]) -> None:
        """
        List those of *folders* that say whether weights are a model by themselves.

        Of a folder that is too large, or that cannot be listed, nothing is known: it counts as one model.
        """
        mine = folders_of([one for one in self.found if not archive(one.key)]) & folders
        wanted = sorted(folder for _, folder in mine)
        for folder, whole in zip(wanted, self.aws.map(self._lies_in, wanted), strict=True):
            if not whole:
                self.shelf.models.add(folder)

    def _lies_in(self, folder: str) -> bool:
        """Put on the shelf what lies directly in *folder*; whether that is all of it."""
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.shelf.bucket, Prefix=folder, Delimiter="/"
        )

        def read() -> bool:
            more = False
            for page in islice(pages, PAGES):
                more = page["IsTruncated"]
                if "Contents" in page:
                    self.shelf.put(page, self.names)
            return not more

        return attempt(read, source=LIST_OBJECTS) == Value(True, LIST_OBJECTS)


def inventoried(
    aws: Aws,
    inventory: Inventory,
    asking: Asking,
    names: Names,
    now: datetime,
    *,
    by_size: bool,
    sizes: AbstractSet[int] | None,
    elsewhere: AbstractSet[int] = frozenset(),
) -> Inventoried:
    """
    What *inventory* says of its bucket, as far as S3 still says so.

    With *by_size*, artifacts of one size from `BY_SIZE` on are candidates whatever their ETags. With *sizes*,
    all artifacts of these sizes are, and groups are not asked for; those of the sizes that are found
    *elsewhere* are besides. What fails leaves the bucket unread.
    """
    source = Inventoried(aws, names, Shelf(bucket=inventory.bucket, region=aws.region))
    purse = Purse(asking.max_usd, asking.usd_per_tb)

    def read() -> None:
        delivery = latest(aws, inventory, now)
        age = now - delivery.at
        if age > asking.max_age:
            source.shelf.stale = f"its bucket's inventory is {hours(age)} old"
        limit = 2 * price(delivery.most, asking.usd_per_tb)
        if limit > asking.max_usd:
            raise ReadError(
                f"asking Athena may cost {dollars(limit)}: inventory_max_usd allows {dollars(asking.max_usd)}"
            )
        queries = Queries(aws, inventory, delivery, names, purse)
        wanted = (
            merged(queries.groups(by_size=by_size), elsewhere)
            if sizes is None
            else [Group(size, "", 0) for size in sorted(sizes, reverse=True)]
        )
        wanted, source.left_out = within(wanted, MOST)
        named = queries.keys(wanted)
        source.found = _still_there(aws, inventory.bucket, named)
        source.told = told(inventory, delivery, age, purse, by_size=by_size)

    outcome = attempt(read, source="athena:StartQueryExecution")
    if isinstance(outcome, Unreadable):
        spent = f" ({dollars(sum(purse.prices))} spent)" if purse.prices else ""
        source.found = []
        source.shelf.error = f"the inventory of {inventory.bucket}: {outcome.error}{spent}"
    return source


def merged(found: Sequence[Group], elsewhere: AbstractSet[int]) -> list[Group]:
    """The groups *found*, and those of any ETag with a size that another bucket's artifacts have."""
    more = [Group(size, "", 0) for size in elsewhere - {one.size for one in found if not one.etag}]
    return sorted([*found, *more], key=lambda one: (-one.size, one.etag))


def within(wanted: Sequence[Group], most: int) -> tuple[list[Group], int]:
    """The first of *wanted* that together have at most *most* artifacts, and how many the others have."""
    taken: list[Group] = []
    total = 0
    for one in wanted:
        if total + one.count > most:
            break
        taken.append(one)
        total += one.count
    return taken, sum(one.count for one in wanted[len(taken) :])


@dataclass(frozen=True, slots=True)
class Queries:
    """The two steps, over one delivery of an inventory."""

    aws: Aws
    inventory: Inventory
    delivery: Delivery
    names: Names
    purse: Purse

    def groups(self, *, by_size: bool) -> list[Group]:
        """Artifacts that have the size and ETag of another one, the largest first."""
        sql = groups(self.delivery.table, self.names, by_size=by_size)
        answer = self.purse.ask(self.aws, sql, GROUP_COLUMNS, self.inventory.place, self.delivery.most)
        return [Group(int(size or 0), etag or "", int(count or 0)) for size, etag, count in answer.rows]

    def keys(self, wanted: Sequence[Group]) -> list[tuple[str, int, str]]:
        """Key, size and ETag of every artifact in the groups *wanted*. Raises ReadError if one is missing."""
        return [one for part in portions(wanted) for one in self._portion(part)]

    def _portion(self, part: Sequence[Group]) -> list[tuple[str, int, str]]:
        sql = keys(self.delivery.table, self.names, part)
        answer = self.purse.ask(self.aws, sql, KEY_COLUMNS, self.inventory.place, self.delivery.most)
        mine = {(one.size, one.etag) for one in part}
        found = [
            (key, size, etag)
            for key, size, etag in (_named(row, self.delivery) for row in answer.rows)
            if {(size, etag), (size, "")} & mine
        ]
        counted = Counter((size, etag if (size, etag) in mine else "") for _, size, etag in found)
        for one in part:
            if not self.delivery.table.live and counted[one.size, one.etag] < one.count:
                raise ReadError(
                    f"Athena counted {one.count} artifacts of {one.size} bytes and named "
                    f"{counted[one.size, one.etag]}: its answer is not whole, and the next run asks again"
                )
        return found


def _named(row: Row, delivery: Delivery) -> tuple[str, int, str]:
    """S3 writes the keys of a CSV as in an address (S3 user guide, "Amazon S3 Inventory list")."""
    key, size, etag = row
    decoded = unquote_plus(key or "") if delivery.table.format is Format.CSV else key or ""
    return decoded, int(size or 0), etag or ""


def _still_there(aws: Aws, bucket: str, named: Sequence[tuple[str, int, str]]) -> list[Stored]:
    """Those of *named* that S3 still has with this size and ETag. Raises ReadError."""
    asked = aws.map(
        lambda one: attempt(partial(listed, aws, bucket, one[0]), source=LIST_OBJECTS), list(named)
    )
    found = []
    for (_, size, etag), answer in zip(named, asked, strict=True):
        match answer:
            case Value(Stored() as one) if (one.size, one.etag.strip('"')) == (size, etag.strip('"')):
                found.append(one)
            case Unreadable(error):
                raise ReadError(error)
            case Value() | Absent() | _:
                pass
    return found


def told(inventory: Inventory, delivery: Delivery, age: timedelta, purse: Purse, *, by_size: bool) -> str:
    """What a report says of a bucket that was read so: how, for how much, and what it does not show."""
    kind = (
        "its live inventory table, which S3 keeps up to date within an hour"
        if inventory.live
        else f"its S3 Inventory of {delivery.at:%Y-%m-%d %H:%M} UTC ({hours(age)} old)"
    )
    number = len(purse.prices)
    below = f"below {data_size(BY_SIZE)} " if by_size else ""
    return (
        f"{inventory.bucket} was read from {kind}, by {number} {'query' if number == 1 else 'queries'} of "
        f"Athena: {dollars(sum(purse.bounds))} at most by what they could scan, {dollars(sum(purse.prices))} "
        f"by what they did. It does not show what was written since, nor copies {below}that have other "
        "ETags: under a KMS key, or uploaded in other parts"
    )


def hours(age: timedelta) -> str:
    """*age* in whole hours."""
    number = int(age / timedelta(hours=1))
    return f"{number} hour{'s' * (number != 1)}"
