"""
Copies among ten million objects: both queries of an inventory beside a bare GROUP BY, in one run.

DuckDB stands for Athena, and runs the janitor's own SQL after sqlglot translated it. It may take 800 MB of
memory. The rows are made here, so that it is known which artifacts are truly equal.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import sqlglot

from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames
from ml_janitor.detectors.duplicate_artifacts.inventories import (
    Inventory,
    InventoryDelivery,
    SizeGroup,
    groups_sql,
    keys_sql,
    query_portions,
)

AT = datetime(2026, 10, 6, 1, tzinfo=UTC)
ROWS = 10_000_000
RUNS = 3
BLOCK, EVERY = 100, 100
"""Rows of a block, and one block in so many has artifacts that are copies, or only look like some."""

BARE = "SELECT size, e_tag, count(*) FROM inventory GROUP BY size, e_tag HAVING count(*) > 1"

ROW = f"""
SELECT 'models' AS bucket,
  CASE WHEN special AND role IN (9, 10) THEN printf('runs/%d/replaced/model.tar.gz', block)
       WHEN special AND role IN (11, 12) THEN printf('runs/%d/deleted/model.tar.gz', block)
       WHEN role < 30 THEN printf('runs/%d/output/%d/model.tar.gz', block, role)
       ELSE printf('data/part-%d/%d.parquet', block, role) END AS key,
  NOT (special AND role IN (9, 11)) AS is_latest,
  special AND role = 12 AS is_delete_marker,
  CASE WHEN special AND role = 12 THEN NULL ELSE 2000000 + sized END AS size,
  CASE WHEN special AND role = 12 THEN NULL ELSE md5(tagged::VARCHAR) END AS e_tag,
  printf('%020d', number) AS sequence_number,
  content
FROM (
  SELECT i AS number, i // {BLOCK} AS block, i % {BLOCK} AS role, block % {EVERY} = 0 AS special,
    CASE WHEN special AND role IN (1, 9, 11) THEN number - role
         WHEN special AND role IN (3, 4) THEN number - role + 2
         WHEN special AND role IN (14, 31) THEN number - 1
         ELSE number END AS content,
    CASE WHEN special AND role IN (6, 8) THEN number - 1
         WHEN special AND role = 14 THEN number
         ELSE content END AS tagged,
    CASE WHEN special AND role = 6 THEN number - 1 ELSE content END AS sized
  FROM range({ROWS}) AS t(i)
)
"""  # noqa: S608 - numbers of ours
"""
A block in `EVERY` is special. There, by their place in it: 0 and 1 are copies, and 2 to 4; 5 and 6 are of one
size and ETag by a collision of MD5, 7 and 8 of one ETag alone; 9 is a noncurrent version of a key that has
other bytes now (10), 11 one of a key that is deleted (12), both with the bytes of 0; 13 and 14 are copies
under a KMS key, with ETags of their own; 30 and 31 are copies, but no artifacts. All others are unique.
"""

SPECIAL = ROWS // BLOCK // EVERY
EXPECTED = {2: 2 * SPECIAL, 3: SPECIAL}
"""How many groups of two and of three latest artifacts have one size and ETag, by the description alone."""


def main() -> None:
    """Measure in a process of its own, whose memory is its own, and print."""
    inside = [sys.executable, "-m", "bench.inventories"]
    told = json.loads(subprocess.run(inside, check=True, capture_output=True, text=True).stdout)
    print(
        f"{ROWS:,} rows of an inventory, {told['megabytes']:.0f} MB of Parquet; DuckDB with 800 MB of memory"
    )
    print(f"  {'':42} {'seconds':>8}   beside the bare GROUP BY: min, median, max")
    print(f"  {'a bare GROUP BY size, e_tag':42} {statistics.median(told['bare']):8.1f}")
    for name in ("S3 Inventory", "live inventory table"):
        steps = told[name]
        both = [first + second for first, second in zip(steps["groups"], steps["keys"], strict=True)]
        ratios = sorted(seconds / bare for seconds, bare in zip(both, told["bare"], strict=True))
        middle = statistics.median(ratios)
        seconds = statistics.median(both)
        beside = f"{ratios[0]:.2f}, {middle:.2f}, {ratios[-1]:.2f}"
        print(f"  {f'{name}: groups, then keys':42} {seconds:8.1f}   {beside}")
    print(f"  most memory of the process: {told['most_megabytes']:,.0f} MB")
    print(f"what the groups are, with {SPECIAL:,} of each kind of trap among the rows")
    print(f"  of one size and ETag, by the two steps and counted independently: {told['candidates']:,}")
    print(f"  of them with different bytes, by collisions of MD5: {told['collisions']:,}")
    print(f"  left once the bytes are compared: {told['proven']:,}, of which wrong: {told['wrong']:,}")
    print("  by OptScale's rule, re-implemented here (every object is listed; an equal ETag is a copy):")
    print(f"    {told['theirs']:,}, of which wrong: {told['theirs_wrong']:,}")
    print(f"  copies under KMS keys that neither finds, for their ETags differ: {SPECIAL:,} pairs")


def delivery(table: str, location: str | None = None) -> InventoryDelivery:
    """Return a delivery of the inventory *table*, a live one without *location*."""
    inventory = Inventory(bucket="models", table=table, output="s3://answers/", location=location)
    return InventoryDelivery(inventory=inventory, at=AT, most=0, versions=location is not None)


def measured() -> dict[str, Any]:
    """Everything, by turns."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as engine:
        engine.execute("SET memory_limit = '800MB'")
        engine.execute("SET threads = 2")
        engine.execute(f"SET temp_directory = '{folder}/spill'")
        file = Path(folder) / "inventory.parquet"
        engine.execute(f"COPY ({ROW}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
        dated = f"SELECT *, '{AT:%Y-%m-%d-%H-%M}' AS dt"
        engine.execute(f"CREATE VIEW inventory AS {dated} FROM read_parquet('{file}')")
        tables = {
            "S3 Inventory": delivery("main.inventory", location="s3://inventories/models/"),
            "live inventory table": delivery("memory.main.inventory"),
        }
        told: dict[str, Any] = {name: {"groups": [], "keys": []} for name in tables} | {"bare": []}
        latest: dict[str, Counter[tuple[int, str]]] = {}
        for _ in range(RUNS):
            told["bare"].append(timed(lambda: engine.execute(BARE).fetchall())[0])
            for name, table in tables.items():
                seconds, rows = timed(
                    lambda table=table: asked(engine, groups_sql(table, ArtifactNames(), by_size=False))
                )
                told[name]["groups"].append(seconds)
                found = [SizeGroup(*row) for row in rows]
                seconds, named = timed(
                    lambda table=table, found=found: [
                        row
                        for part in query_portions(found)
                        for row in asked(engine, keys_sql(table, ArtifactNames(), part))
                    ]
                )
                told[name]["keys"].append(seconds)
                latest[name] = Counter((size, etag) for _, size, etag in named)
        told["megabytes"] = file.stat().st_size / 1e6
        told["most_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told |= judged(engine, latest)
    return told


def timed[T](work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


def asked(engine: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    """Return the rows that Athena would answer."""
    return engine.execute(sqlglot.transpile(sql, read="athena", write="duckdb")[0]).fetchall()


def judged(engine: duckdb.DuckDBPyConnection, latest: dict[str, Counter[Any]]) -> dict[str, int]:
    """Compare the groups of both kinds of tables with the groups that the rows truly form."""
    for name, counted in latest.items():
        sizes = Counter(count for count in counted.values() if count > 1)
        if sizes != EXPECTED:
            raise AssertionError(f"{name}: groups of {dict(sizes)}, not {EXPECTED}")
    ours = "is_latest AND NOT is_delete_marker AND key LIKE '%.tar.gz'"
    by = "count(DISTINCT content) AS kinds"
    candidates, collisions = engine.execute(
        f"SELECT count(*), count(*) FILTER (WHERE kinds > 1) FROM (SELECT {by} FROM inventory "  # noqa: S608
        f"WHERE {ours} GROUP BY size, e_tag HAVING count(*) > 1)"
    ).fetchone() or (0, 0)
    proven, wrong = engine.execute(
        f"SELECT count(*), count(*) FILTER (WHERE kinds > 1) FROM (SELECT {by} FROM inventory "  # noqa: S608
        f"WHERE {ours} GROUP BY size, e_tag, content HAVING count(*) > 1)"
    ).fetchone() or (0, 0)
    theirs, theirs_wrong = engine.execute(
        "SELECT count(*), count(*) FILTER (WHERE kinds > 1) FROM (SELECT count(DISTINCT content) AS kinds "
        "FROM inventory WHERE is_latest AND NOT is_delete_marker GROUP BY e_tag HAVING count(*) > 1)"
    ).fetchone() or (0, 0)
    return {
        "candidates": candidates,
        "collisions": collisions,
        "proven": proven,
        "wrong": wrong,
        "theirs": theirs,
        "theirs_wrong": theirs_wrong,
    }


if __name__ == "__main__":
    json.dump(measured(), sys.stdout)
