"""Queries of Athena: asked for, awaited, read to their last row, and priced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.s3 import (
    LEAST_BYTES_CHARGED,
    LONGEST_QUERY,
    AthenaAnswer,
    AthenaPlace,
    query_price,
    run_query,
)
from scripted import DENIED, Script, Torn
from scripted import Answer as Scripted
from tables import cases

PLACE = AthenaPlace(database="inventory", workgroup="primary", output="s3://results/athena/")
START, GET, ROWS = "athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults"


def execution(state: str, **more: Any) -> dict[str, Any]:
    return {"QueryExecution": {"Status": {"State": state} | more, "Statistics": {"DataScannedInBytes": 7}}}


def page(*rows: Sequence[str | None]) -> dict[str, Any]:
    data = [{"Data": [{"VarCharValue": one} if one is not None else {} for one in row]} for row in rows]
    return {"ResultSet": {"Rows": data}}


def script(*states: dict[str, Any], rows: Scripted) -> Script:
    following = iter(states)
    return Script({START: {"QueryExecutionId": "q-1"}, GET: lambda _: next(following), ROWS: rows})


def test_all_rows_are_read_once_the_query_has_ended() -> None:
    states = (execution("QUEUED"), execution("RUNNING"), execution("SUCCEEDED"))
    account = script(*states, rows=[page(("a", "b"), ("1", None)), page(("2", "x"))])

    found = run_query(account.aws(), "SELECT a, b", ["a", "b"], PLACE)

    assert found == AthenaAnswer((("1", None), ("2", "x")), 7)
    (started,) = account.asked(START)
    assert started.pop("ClientRequestToken")
    assert started == {
        "QueryString": "SELECT a, b",
        "QueryExecutionContext": {"Catalog": "AwsDataCatalog", "Database": "inventory"},
        "WorkGroup": "primary",
        "ResultConfiguration": {"OutputLocation": "s3://results/athena/"},
    }
    assert len(account.asked(GET)) == 3
    assert account.asked(ROWS)[0] == {"QueryExecutionId": "q-1", "MaxResults": 1000}


@cases(
    "state, error",
    (execution("FAILED", StateChangeReason="SYNTAX_ERROR"), "Athena query q-1 failed: SYNTAX_ERROR"),
    (execution("CANCELLED"), "Athena query q-1 cancelled: Athena does not say why"),
)
def test_a_query_that_did_not_succeed_says_why(state: dict[str, Any], error: str) -> None:
    with pytest.raises(ReadError, match=error):
        run_query(script(state, rows={}).aws(), "SELECT a", ["a"], PLACE)


@pytest.mark.parametrize("rows", [page(("b", "a")), page(), page(("a",))])
def test_other_columns_than_were_asked_for_are_an_error(rows: dict[str, Any]) -> None:
    with pytest.raises(ReadError, match="its answer has the columns"):
        run_query(script(execution("SUCCEEDED"), rows=rows).aws(), "SELECT a, b", ["a", "b"], PLACE)


@pytest.mark.parametrize("rows", [[page(("a",)), DENIED], Torn({})])
def test_half_an_answer_is_none(rows: Any) -> None:
    with pytest.raises(Exception, match=r"GetQueryResults|ResultSet"):
        run_query(script(execution("SUCCEEDED"), rows=rows).aws(), "SELECT a", ["a"], PLACE)


@cases(
    "scanned, usd",
    (0, 0.00005),
    (LEAST_BYTES_CHARGED, 0.00005),
    (LEAST_BYTES_CHARGED + 1, 0.000055),
    (10**12, 5.0),
)
def test_a_query_costs_whole_megabytes_and_ten_at_least(scanned: int, usd: float) -> None:
    assert query_price(scanned) == pytest.approx(usd)
    assert query_price(scanned, 9.0) == pytest.approx(usd * 9 / 5)
    assert (LEAST_BYTES_CHARGED, LONGEST_QUERY) == (10_000_000, 262_144)
