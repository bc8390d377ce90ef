"""Runs Athena queries: starts them, waits, reads all rows, and estimates their cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.client import Aws

type AthenaRow = tuple[str | None, ...]
"""The values of one row as text, as Athena answers all of them; None is SQL's NULL."""

USD_PER_TB_SCANNED = 5.0
"""The price in most regions (https://aws.amazon.com/athena/pricing/); São Paulo is dearer."""

LEAST_BYTES_CHARGED = 10 * 10**6
"""The least bytes charged for a query (https://aws.amazon.com/athena/pricing/)."""

LONGEST_QUERY = 262_144
"""The most bytes of a query's text (API reference, StartQueryExecution: QueryString)."""

ATHENA_PAGE = 1000
"""Rows to a page (API reference, GetQueryResults: MaxResults)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AthenaPlace:
    """The database and workgroup of queries, and the folder of their results ("s3://bucket/folder/")."""

    database: str
    workgroup: str
    output: str
    catalog: str = "AwsDataCatalog"


@dataclass(frozen=True, slots=True)
class AthenaAnswer:
    """All rows of a query, and the bytes that Athena scanned for it."""

    rows: tuple[AthenaRow, ...]
    scanned: int


def run_query(aws: Aws, sql: str, columns: Sequence[str], place: AthenaPlace) -> AthenaAnswer:
    """
    Run *sql*, which selects *columns*, and return its rows.

    The pace (`aws.pace.UNKNOWN`) decides how often the janitor asks Athena for the state. Raises
    ReadError, with Athena's reason, if the query failed, was cancelled, or its answer is not complete.
    """
    client: Any = aws.client("athena")
    begun = client.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Catalog": place.catalog, "Database": place.database},
        WorkGroup=place.workgroup,
        ResultConfiguration={"OutputLocation": place.output},
    )["QueryExecutionId"]
    scanned = _ended(client, begun)
    pages = client.get_paginator("get_query_results").paginate(
        QueryExecutionId=begun, PaginationConfig={"PageSize": ATHENA_PAGE}
    )
    rows = _rows(pages)
    if (header := next(rows, ())) != tuple(columns):
        raise ReadError(f"Athena query {begun}: its answer has the columns {header}, not {tuple(columns)}")
    return AthenaAnswer(tuple(rows), scanned)


def _ended(client: Any, query: str) -> int:
    """Wait for *query* to succeed; return the bytes that it scanned."""
    while True:
        execution = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        state = execution["Status"]["State"]
        if state == "SUCCEEDED":
            scanned: int = execution["Statistics"]["DataScannedInBytes"]
            return scanned
        if state not in {"QUEUED", "RUNNING"}:
            why = execution["Status"].get("StateChangeReason", "Athena does not say why")
            raise ReadError(f"Athena query {query} {state.lower()}: {why}")


def _rows(pages: Any) -> Iterator[AthenaRow]:
    """Yield the rows of a query's answer, the names of its columns first."""
    for page in pages:
        for row in page["ResultSet"]["Rows"]:
            yield tuple(cell.get("VarCharValue") for cell in row["Data"])


def query_price(scanned: int, usd_per_tb: float = USD_PER_TB_SCANNED) -> float:
    """Return the US dollars for a query that scans so many bytes: whole megabytes, and at least ten."""
    return max(LEAST_BYTES_CHARGED, math.ceil(scanned / 10**6) * 10**6) / 10**12 * usd_per_tb
