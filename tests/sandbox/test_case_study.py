from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import NOW, seed_demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import case_study


def test_the_account_is_charged_what_the_table_says_and_the_findings_leave_what_it_ends_at(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_demo(control)
    monkeypatch.setenv("AWS_ENDPOINT_URL", control.url)
    monkeypatch.setenv("JANITOR_NOW", NOW.isoformat())
    charges = control.charges()
    rows = case_study.recounted(charges)
    for number, column in enumerate(("before", "last")):
        counted = {name: float(spans[number]) for name, spans in rows.items()}
        said = {name: getattr(row, column) for name, row in case_study.TABLE.items()}
        wrong = {name: usd for name, usd in counted.items() if usd != pytest.approx(said[name], rel=0.05)}
        assert wrong == {}, column
        assert sum(counted.values()) == pytest.approx(sum(said.values()), rel=0.01), column
    command = [str(Path(sys.executable).parent / "janitor"), "audit", "--json"]
    audit = subprocess.run(command, capture_output=True, text=True, check=True)
    saved = case_study.saved(charges, json.loads(audit.stdout))
    left = {name: float(rows[name][1] - sum(saved[name].values())) for name in rows}
    assert min(left.values()) > -0.01
    cured = {
        name
        for name, row in case_study.TABLE.items()
        if left[name] == pytest.approx(row.cured, rel=0.05, abs=0.01)
    }
    assert cured == case_study.TABLE.keys()
    assert sum(left.values()) == pytest.approx(31_000, rel=0.01)
    assert float(rows["the hung job"][1]) == pytest.approx(261 * 4 * 14.688, rel=0.0001)


def test_the_columns_of_the_table_add_up() -> None:
    columns = [(row.before, row.last, row.cured) for row in case_study.TABLE.values()]
    assert [sum(column) for column in zip(*columns, strict=True)] == [57_000, 80_000, 31_000]
