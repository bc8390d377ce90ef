"""The two queries about an inventory in Athena, and their price limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.athena import AthenaAnswer, AthenaPlace, AthenaRow, query_price, run_query
from ml_janitor.aws.client import Aws
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactNames
from ml_janitor.detectors.duplicate_artifacts.inventories import Inventory
from ml_janitor.detectors.duplicate_artifacts.inventory_deliveries import InventoryDelivery
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import (
    GROUP_COLUMNS,
    KEY_COLUMNS,
    InventoryFormat,
    SizeGroup,
    groups_sql,
    keys_sql,
    query_portions,
)


@dataclass(slots=True)
class QueryBudget:
    """
    The budget of the queries of a bucket, and their prices so far, in US dollars.

    Every query is bounded before it runs, by the most bytes that it can scan.
    """

    most: float
    usd_per_tb: float
    bounds: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)

    def ask(self, aws: Aws, sql: str, columns: Sequence[str], place: AthenaPlace, limit: int) -> AthenaAnswer:
        """
        Run `athena.ask` if the budget allows. Raises ReadError if it does
        not, or if nothing was scanned.
        """
        bound = query_price(limit, self.usd_per_tb)
        if sum(self.prices) + bound > self.most:
            raise ReadError(
                f"the next query may cost {format_query_usd(bound)}, and "
                f"{format_query_usd(sum(self.prices))} is spent: "
                f"inventory_max_usd allows {format_query_usd(self.most)} for a bucket and run"
            )
        self.bounds.append(bound)
        answer = run_query(aws, sql, columns, place)
        self.prices.append(query_price(answer.scanned, self.usd_per_tb))
        if answer.scanned == 0:
            raise ReadError(
                f"Athena scanned nothing in {place.database}: its table lacks this delivery. Load its "
                "partitions (MSCK REPAIR TABLE), or make it as its page in docs/detectors shows"
            )
        return answer


def format_query_usd(usd: float) -> str:
    """Return an amount in dollars, also a small one: "$0.00005"."""
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.5f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class InventoryQueries:
    """The two queries, over one delivery of an inventory."""

    aws: Aws
    inventory: Inventory
    delivery: InventoryDelivery
    names: ArtifactNames
    purse: QueryBudget

    def groups(self, *, by_size: bool) -> list[SizeGroup]:
        """Return the groups of artifacts with the same size and ETag, the largest first."""
        sql = groups_sql(self.delivery.table, self.names, by_size=by_size)
        answer = self.purse.ask(self.aws, sql, GROUP_COLUMNS, self.inventory.place, self.delivery.most)
        return [SizeGroup(int(size or 0), etag or "", int(count or 0)) for size, etag, count in answer.rows]

    def keys(self, wanted: Sequence[SizeGroup]) -> list[tuple[str, int, str]]:
        """Return key, size and ETag of each artifact in the groups *wanted*, once. Raises ReadError."""
        return list(
            dict.fromkeys(artifact for part in query_portions(wanted) for artifact in self._portion(part))
        )

    def _portion(self, part: Sequence[SizeGroup]) -> list[tuple[str, int, str]]:
        sql = keys_sql(self.delivery.table, self.names, part)
        answer = self.purse.ask(self.aws, sql, KEY_COLUMNS, self.inventory.place, self.delivery.most)
        mine = {(group.size, group.etag) for group in part}
        found = [
            (key, size, etag)
            for key, size, etag in (_named(row, self.delivery) for row in answer.rows)
            if {(size, etag), (size, "")} & mine
        ]
        counted = Counter((size, etag if (size, etag) in mine else "") for _, size, etag in found)
        for group in part:
            if not self.delivery.table.live and counted[group.size, group.etag] < group.count:
                raise ReadError(
                    f"Athena counted {group.count} artifacts of {group.size} bytes and named "
                    f"{counted[group.size, group.etag]}: its answer is not whole, and the next run asks again"
                )
        return found


def _named(row: AthenaRow, delivery: InventoryDelivery) -> tuple[str, int, str]:
    """
    Return a row's key, size and ETag. S3 URL-encodes the keys of a CSV (S3 user
    guide, "Amazon S3 Inventory list").
    """
    key, size, etag = row
    decoded = unquote_plus(key or "") if delivery.table.format is InventoryFormat.CSV else key or ""
    return decoded, int(size or 0), etag or ""
