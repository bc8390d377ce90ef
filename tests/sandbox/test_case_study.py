from __future__ import annotations

import pytest

from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import case_study


def test_the_account_is_charged_what_the_table_says(control: Control) -> None:
    demo.seed(control.url)
    rows = case_study.recounted(control.charges())
    for number, column in enumerate(("before", "last")):
        counted = {name: float(spans[number]) for name, spans in rows.items()}
        said = {name: getattr(row, column) for name, row in case_study.TABLE.items()}
        wrong = {name: usd for name, usd in counted.items() if usd != pytest.approx(said[name], rel=0.05)}
        assert wrong == {}, column
        assert sum(counted.values()) == pytest.approx(sum(said.values()), rel=0.01), column
    assert float(rows["the hung job"][1]) == pytest.approx(261 * 4 * 14.688, rel=0.0001)


def test_the_columns_of_the_table_add_up() -> None:
    columns = [(row.before, row.last, row.cured) for row in case_study.TABLE.values()]
    assert [sum(column) for column in zip(*columns, strict=True)] == [57_000, 80_000, 31_000]
