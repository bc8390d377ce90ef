"""Gates, CSV and Markdown of an audit: what ends a pipeline, and what a name from an account can do there."""

import csv
import io
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conftest import ACCOUNT, NOW
from fakes import target_at
from ml_janitor.core.model import Confidence, Cost, Finding, Kept
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.core.text import escape_markdown
from ml_janitor.report.json import report_json, report_json_lines
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.pipeline import FailOn, make_gate, report_csv, report_markdown
from narrowing import not_none
from reports import report_of, sweep
from tables import cases

HOSTILE = "=cmd|' /C calc'!A0 [x](http://evil) <img src=x> @team `a` | b\n# c"


def finding(
    number: str, usd: int, confidence: Confidence = Confidence.PROVEN, *, called: str = "", **changes: Any
) -> Result:
    verdict = Finding(
        reason="no request in 7 days",
        confidence=confidence,
        action="delete the endpoint",
        cost=Cost(monthly_usd=Decimal(usd)),
    )
    target = target_at(f"endpoint/{number}", NOW, {}, name=called or number)
    result = Result(
        detector="idle-endpoints", target=target, verdict=verdict, outcome=Outcome.WOULD_ACT, owner="ann"
    )
    return replace(result, **changes)


def report(*results: Result, error: str | None = None) -> Report:
    return report_of(sweep("idle-endpoints", *results, error=error))


FOUND = (finding("a", 10), finding("b", 300, Confidence.LIKELY))


@cases(
    "on, over, why",
    (FailOn.PROVEN, None, "1 finding proven, $10.00 a month; the dearest is a (idle-endpoints)"),
    (FailOn.LIKELY, None, "2 findings at least likely, $310 a month; the dearest is b (idle-endpoints)"),
    (None, 309.99, "2 findings for $310 a month, more than $310"),
    (None, 310.0, None),
    (
        FailOn.PROVEN,
        5.0,
        (
            "1 finding proven, $10.00 a month; the dearest is a (idle-endpoints); "
            "2 findings for $310 a month, more than $5.00"
        ),
    ),
)
def test_a_gate_says_why(on: FailOn | None, over: float | None, why: str | None) -> None:
    gate = not_none(make_gate(on, over, None))

    assert gate.why(report(*FOUND)) == why
    assert gate.why(report()) is None


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_what_an_earlier_report_has_does_not_count(tmp_path: Path, ending: str) -> None:
    before = tmp_path / f"before.{ending}"
    kept = replace(finding("c", 1), verdict=Kept(reason="a request today"), outcome=Outcome.KEPT)
    as_text = report_json_lines if ending == "jsonl" else report_json
    before.write_text(as_text(report(*FOUND, kept), every=True))
    again = replace(FOUND[0], target=replace(FOUND[0].target, created=None))

    gate = not_none(make_gate(FailOn.LIKELY, 100.0, before))

    assert gate.why(report(*FOUND)) is None
    assert gate.why(report(*FOUND, finding("c", 1))) == (
        "1 new finding at least likely, $1.00 a month; the dearest is c (idle-endpoints)"
    )
    assert "1 new finding" in str(gate.why(report(again))), "it was created anew"
    before.write_text(as_text(report()))
    assert "2 findings" in str(not_none(make_gate(FailOn.LIKELY, None, before)).why(report(*FOUND)))


@cases(
    "text, said",
    ("{", "is not a report that"),
    ('{"version": 1, "results": []}', "is from an earlier version"),
    ('{"version": 2, "results": []}', "is from an earlier version"),
    ('{"schema_version": 3, "results": []}', "is from a later version"),
    ('{"schema_version": "2", "results": []}', "is not a report that"),
    ('{"schema_version": 2, "results": [{}]}', "is not a report that"),
    ("[]", "is not a report that"),
    (None, "cannot be read: No such file"),
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(CommandRefusedError, match=re.escape(said)):
        make_gate(FailOn.PROVEN, None, path)


def test_without_a_gate_an_earlier_report_is_refused(tmp_path: Path) -> None:
    assert make_gate(None, None, None) is None
    with pytest.raises(CommandRefusedError, match="--new-since goes with"):
        make_gate(None, None, tmp_path)


def test_a_csv_file_has_a_line_for_each_finding_the_dearest_first() -> None:
    rows = list(
        csv.DictReader(io.StringIO(report_csv(report(*FOUND, finding("x", 1, called=HOSTILE, owner=None)))))
    )

    assert [(row["name"], row["owner"], row["confidence"], row["monthly_usd"]) for row in rows[:2]] == [
        ("b", "ann", "likely", "300.0"),
        ("a", "ann", "proven", "10.0"),
    ]
    assert rows[0]["arn"].endswith("endpoint/b")
    costs = ("hourly_usd", "once_usd", "exposure_usd", "hours_of_work", "team", "project", "environment")
    assert {*costs} <= rows[0].keys()
    assert (rows[2]["name"][0], rows[2]["owner"]) == ("'", "")


def test_a_summary_names_what_costs_most_and_what_could_not_be_read() -> None:
    many = (finding(f"e-{number}", number) for number in range(1, 23))
    lines = report_markdown(report(*many, error="AccessDenied: <b>no</b>")).splitlines()

    assert lines[0] == "## ML Janitor: 22 findings, $253 a month"
    assert lines[2] == f"account {ACCOUNT}, 2026-10-06 03:00 UTC. Nothing was changed."
    assert lines[6] == "| $22.00 a month | e-22 | ann | idle-endpoints | delete the endpoint |"
    assert lines[25:] == [
        "| $3.00 a month | e-3 | ann | idle-endpoints | delete the endpoint |",
        "",
        "2 more are in the report.",
        "",
        "**1 sweep could not read everything:**",
        "",
        "- idle-endpoints in us-east-1&#58; AccessDenied&#58; &#60;b&#62;no&#60;/b&#62;",
    ]
    assert report_markdown(report()).splitlines()[0] == "## ML Janitor: 0 findings"


def test_a_name_is_no_markup_of_a_summary() -> None:
    (line,) = [
        li for li in report_markdown(report(finding("x", 1, called=HOSTILE))).splitlines() if "cmd" in li
    ]

    assert line.count(" | ") == 4
    assert not re.search(r"[\[<@`!]", line)
    assert escape_markdown("- a") == "&#45; a"
    assert escape_markdown("1. a") == "&#49;. a"
