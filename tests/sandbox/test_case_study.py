from __future__ import annotations

from collections import defaultdict

import pytest

from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import case_study

WASTE: defaultdict[str, set[str]] = defaultdict(set)
for one in demo.WASTE:
    WASTE[one.detector].add(one.arn)


def test_the_account_is_charged_what_the_table_says(control: Control) -> None:
    demo.seed(control.url)
    charges = control.charges()
    rows = case_study.recounted(charges, {name: frozenset(arns) for name, arns in WASTE.items()})
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
