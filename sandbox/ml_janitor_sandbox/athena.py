"""
Athena over S3 Inventory and S3 Metadata, whose files lie in the sandbox's S3: DuckDB runs what it is asked.

A query runs when it is started, and shows as RUNNING once before it ends. CREATE EXTERNAL TABLE takes
inventories as Parquet, by their symlink.txt. Live inventory tables are there without one: the Parquet files
in the bucket "aws-s3" below b_BUCKET/inventory/. Only a SELECT gives rows. Work groups are moto's, and their
limit of bytes for a query holds.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_janitor_sandbox.wire import Asked, Reply, error, reply
from moto_corrections import clock, paging, state
from moto_corrections.patches import AwsError, Call, backend

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlglot import exp

INVALID = "InvalidRequestException"
MOST_ROWS = 1000
"""To a page (API reference, GetQueryResults)."""
LIVE_CATALOG, LIVE_BUCKET = "s3tablescatalog/aws-s3", "aws-s3"
SERDE = "ParquetHiveSerDe"

_CREATE = re.compile(
    r"\s*CREATE\s+EXTERNAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?`?(?:(\w+)`?\.`?)?(\w+)`?\s*\((.*?)\)\s*"
    r"PARTITIONED\s+BY\s*\(\s*dt\s+string\s*\).*?SERDE\s+'[\w.]*?(\w+)'.*?LOCATION\s+'s3://([^/]+)/([^']*)'",
    re.IGNORECASE | re.DOTALL,
)


class QueryError(Exception):
    """A query that ends as FAILED, or as CANCELLED; the message is Athena's reason."""

    def __init__(self, reason: str, ended: str = "FAILED") -> None:
        super().__init__(reason)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Table:
    """An inventory: the names of its columns, and where the lists of its files lie."""

    columns: tuple[str, ...]
    bucket: str
    folder: str


@dataclass(slots=True)
class Execution:
    """One query: what was asked, how it ended, and its rows, the names of their columns first."""

    id: str
    request: dict[str, Any]
    began: float
    ended: str = "SUCCEEDED"
    reason: str = ""
    scanned: int = 0
    rows: list[list[str | None]] = field(default_factory=list)
    seen: bool = False
    """Whether it was looked at: the first look finds it running."""


@dataclass(slots=True)
class Store:
    """The tables and queries of one account and region."""

    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)


def _start(call: Call) -> dict[str, Any]:
    store, params = state.of(Store, call), call.params
    group = params.get("WorkGroup") or "primary"
    groups = backend("athena", call.account, call.region).work_groups
    if group not in groups:
        raise AwsError(INVALID, f"WorkGroup {group} is not found.")
    execution = Execution(f"query-{len(store.executions) + 1}", params, clock.now().timestamp())
    store.executions[execution.id] = execution
    try:
        created = _CREATE.match(params["QueryString"])
        if created is not None:
            _create(store, params, created)
        else:
            limit = (groups[group].configuration or {}).get("BytesScannedCutoffPerQuery")
            _select(call, execution, limit)
        _keep(call, execution)
    except QueryError as failed:
        execution.ended, execution.reason, execution.rows = failed.ended, str(failed), []
    return {"QueryExecutionId": execution.id}


def _create(store: Store, params: dict[str, Any], found: re.Match[str]) -> None:
    database, name, columns, serde, bucket, folder = found.groups()
    if serde.lower() != SERDE.lower():
        raise QueryError(f"FAILED: SemanticException Cannot find class '{serde}'")
    database = database or params.get("QueryExecutionContext", {}).get("Database", "default")
    names = tuple(column.split()[0].strip("`") for column in columns.split(","))
    store.tables[database.lower(), name.lower()] = Table(names, bucket, folder)


def _select(call: Call, execution: Execution, limit: int | None) -> None:
    import duckdb
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError

    try:
        tree: Any = sqlglot.parse_one(execution.request["QueryString"], read="athena")
    except ParseError as wrong:
        raise AwsError(INVALID, f"Queries of this type are not supported: {wrong}") from wrong
    if not isinstance(tree, exp.Select):
        raise AwsError(INVALID, "The sandbox runs SELECT and CREATE EXTERNAL TABLE.")
    names = {column.name.lower() for column in tree.find_all(exp.Column)}
    days = [str(eq.expression.this) for eq in tree.find_all(exp.EQ) if eq.this.name == "dt"]
    with TemporaryDirectory() as folder, duckdb.connect() as engine:
        for number, table in enumerate(_tables(tree)):
            loaded = _load(call, execution, table, Path(folder) / str(number), days)
            execution.scanned += loaded.scanned(engine, names)
            engine.execute(f"CREATE VIEW t{number} AS {loaded.relation}")
            table.replace(exp.to_table(f"t{number}", alias=table.alias or None))
        if limit is not None and execution.scanned > limit:
            raise QueryError("Bytes scanned limit was exceeded", "CANCELLED")
        try:
            found = engine.execute(tree.sql(dialect="duckdb"))
            columns = [str(column[0]) for column in found.description or ()]
            execution.rows = [list(columns), *([_text(value) for value in row] for row in found.fetchall())]
        except duckdb.Error as wrong:
            raise QueryError(f"GENERIC_USER_ERROR: {wrong}") from wrong


def _tables(tree: exp.Select) -> Iterator[exp.Table]:
    """List the tables that the query reads, without those that it defines by WITH."""
    from sqlglot import exp

    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    return (table for table in list(tree.find_all(exp.Table)) if table.name not in named or table.db)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Files of one table: a relation of DuckDB's over them, and where they are."""

    relation: str
    paths: list[str]

    def scanned(self, engine: DuckDBPyConnection, names: set[str]) -> int:
        """Return the bytes that are read for the columns *names* alone."""
        if not self.paths:
            return 0
        listed = ", ".join(repr(name) for name in sorted(names))
        told = engine.execute(
            f"SELECT coalesce(sum(total_compressed_size), 0) FROM parquet_metadata({self.paths}) "  # noqa: S608 - ours
            f"WHERE lower(path_in_schema) IN ({listed})"
        ).fetchone()
        return int(told[0]) if told else 0


def _load(call: Call, execution: Execution, table: exp.Table, folder: Path, days: Sequence[str]) -> Loaded:
    """Copy the files of *table* of the deliveries *days*, or of all if there are none, into *folder*."""
    context = execution.request.get("QueryExecutionContext", {})
    database = (table.db or context.get("Database", "default")).lower()
    catalog = table.catalog or context.get("Catalog", "AwsDataCatalog")
    folder.mkdir()
    if catalog == LIVE_CATALOG:
        keys = [
            key for key in _below(call, LIVE_BUCKET, f"{database}/{table.name}/") if key.endswith(".parquet")
        ]
        paths = _copied(call, [(LIVE_BUCKET, key) for key in keys], folder)
        if not paths:
            raise QueryError(f"TABLE_NOT_FOUND: Table '{catalog}.{database}.{table.name}' does not exist")
        return Loaded(f"SELECT * FROM read_parquet({paths})", paths)  # noqa: S608 - paths of ours
    found = state.of(Store, call).tables.get((database, table.name.lower()))
    if found is None:
        raise QueryError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{table.name}' does not exist")
    parts, paths = [], list[str]()
    for key in _below(call, found.bucket, found.folder):
        day = key.split("dt=")[-1].split("/")[0]
        if key.endswith("/symlink.txt") and (not days or day in days):
            (part := folder / day).mkdir()
            files = _object(call, found.bucket, key).decode().split()
            copied = _copied(call, [_address(uri) for uri in files], part)
            parts += [
                f"SELECT {', '.join(found.columns)}, '{day}' AS dt, '{uri}' AS \"$path\" "  # noqa: S608 - ours
                f"FROM read_parquet('{path}')"
                for uri, path in zip(files, copied, strict=True)
            ]
            paths += copied
    nothing = ", ".join(f"NULL AS {name}" for name in (*found.columns, "dt", '"$path"'))
    relation = " UNION ALL ".join(parts) or f"SELECT {nothing} WHERE false"
    return Loaded(relation, paths)


def _keep(call: Call, execution: Execution) -> None:
    """Leave the result where it was asked for, as Athena does."""
    bucket, folder = _address(execution.request.get("ResultConfiguration", {}).get("OutputLocation", ""))
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(execution.rows)
    with _s3_failing(f"s3://{bucket}"):
        backend("s3", call.account, call.region).put_object(
            bucket, f"{folder.rstrip('/')}/{execution.id}.csv".lstrip("/"), text.getvalue().encode()
        )


def _below(call: Call, bucket: str, prefix: str) -> list[str]:
    with _s3_failing(f"s3://{bucket}/{prefix}"):
        kept = backend("s3", call.account, call.region).get_bucket(bucket)
        return sorted(key for key in dict(kept.keys) if key.startswith(prefix))


def _object(call: Call, bucket: str, key: str) -> bytes:
    with _s3_failing(f"s3://{bucket}/{key}"):
        return bytes(backend("s3", call.account, call.region).get_object(bucket, key).value)


def _copied(call: Call, addresses: Sequence[tuple[str, str]], folder: Path) -> list[str]:
    """Copy the files at *addresses*; each keeps the end of its name, by which DuckDB unpacks it."""
    paths = []
    for number, (bucket, key) in enumerate(addresses):
        path = folder / f"{number}{''.join(Path(key).suffixes[-2:])}"
        path.write_bytes(_object(call, bucket, key))
        paths.append(str(path))
    return paths


@contextmanager
def _s3_failing(where: str) -> Iterator[None]:
    """Fail the query where S3 lacks an object or a bucket."""
    from moto.s3.exceptions import MissingBucket

    try:
        yield
    except (MissingBucket, AttributeError) as missing:
        raise QueryError(f"HIVE_CANNOT_OPEN_SPLIT: The object or bucket does not exist: {where}") from missing


def _address(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


METADATA = "s3:GetBucketMetadataConfiguration"


def metadata(asked: Asked) -> Reply:
    """Return S3's answer: a live inventory table exists if files of one are there; STATE is a file, too."""
    name = asked.path.partition("?")[0].strip("/")
    call = Call(asked.operation, asked.account, asked.region, {})
    with state.LOCK, suppress(QueryError):
        keys = _below(call, LIVE_BUCKET, folder := f"b_{name}/inventory/")
        if keys:
            told = f"{folder}STATE"
            now = _object(call, LIVE_BUCKET, told).decode() if told in keys else "ACTIVE"
            table = f"<ConfigurationState>ENABLED</ConfigurationState><TableStatus>{now}</TableStatus>"
            content = (
                "<GetBucketMetadataConfigurationResult><MetadataConfigurationResult>"
                f"<DestinationResult><TableNamespace>b_{name}</TableNamespace></DestinationResult>"
                f"<InventoryTableConfigurationResult>{table}<TableName>inventory</TableName>"
                "</InventoryTableConfigurationResult></MetadataConfigurationResult>"
                "</GetBucketMetadataConfigurationResult>"
            )
            return reply(content.encode(), "application/xml")
    return error(
        asked, HTTPStatus.NOT_FOUND, "MetadataConfigurationNotFound", "There is no such configuration"
    )


def work_group(call: Call) -> str:
    """Return the work group in which a query was started."""
    return str(_found(call).request.get("WorkGroup") or "primary")


def _found(call: Call) -> Execution:
    identity = call.params.get("QueryExecutionId", "")
    found = state.of(Store, call).executions.get(identity)
    if found is None:
        raise AwsError(INVALID, f"QueryExecution {identity} was not found")
    return found


def _get(call: Call) -> dict[str, Any]:
    execution = _found(call)
    status: dict[str, Any] = {
        "State": execution.ended if execution.seen else "RUNNING",
        "SubmissionDateTime": execution.began,
    }
    if execution.seen and execution.reason:
        status["StateChangeReason"] = execution.reason
    execution.seen = True
    return {
        "QueryExecution": {
            "QueryExecutionId": execution.id,
            "Query": execution.request["QueryString"],
            "WorkGroup": execution.request.get("WorkGroup", "primary"),
            "Status": status,
            "Statistics": {"DataScannedInBytes": execution.scanned},
        }
    }


def _results(call: Call) -> dict[str, Any]:
    execution = _found(call)
    if not execution.seen or execution.ended != "SUCCEEDED":
        now = execution.ended if execution.seen else "RUNNING"
        raise AwsError(INVALID, f"Query did not finish successfully. Final query state: {now}")
    size = min(int(call.params.get("MaxResults", MOST_ROWS)), MOST_ROWS)
    page, more = paging.cut(call, execution.rows, size, invalid=INVALID)
    data = [[{} if value is None else {"VarCharValue": value} for value in row] for row in page]
    return {"ResultSet": {"Rows": [{"Data": row} for row in data]}} | more


def _stop(call: Call) -> dict[str, Any]:
    execution = _found(call)
    if not execution.seen:
        execution.ended, execution.reason = "CANCELLED", "Query cancelled by user"
    return {}


OPERATIONS: dict[str, Callable[[Call], dict[str, Any]]] = {
    "StartQueryExecution": _start,
    "GetQueryExecution": _get,
    "GetQueryResults": _results,
    "StopQueryExecution": _stop,
}
"""Each with what answers it. All others are moto's."""
