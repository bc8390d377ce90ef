"""Names from the account in what the janitor prints: what a reader pastes runs nothing else."""

import ast
import csv
import io
import json
import re
import sqlite3
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import bills
from fakes import target_at
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Absent, Cost, Finding, Value
from ml_janitor.core.results import Report
from ml_janitor.core.text import escape_character, escape_text, quote_cell, quote_sql, quote_toml, quote_url
from ml_janitor.detectors.forgotten_leftovers import failed_jobs
from ml_janitor.engine.detector import missing_role_setting
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report.announcement import announce_sweep
from ml_janitor.report.bill_json import chargeback_csv
from ml_janitor.report.bill_message import bill_post, make_bill_message
from ml_janitor.report.bill_page import render_bill_page
from ml_janitor.report.causes import outcome_text
from ml_janitor.report.html import mark_commands, render_html
from ml_janitor.report.json import report_json
from ml_janitor.report.mrkdwn import prose
from ml_janitor.report.warnings import warning_terms, warnings_head, webhook_warnings
from ml_janitor_cli.bill import print_bill
from ml_janitor_cli.explain import Explanation, draw_explanations
from ml_janitor_cli.pipeline import report_csv, report_markdown
from ml_janitor_cli.screen import make_console, print_blocks
from ml_janitor_cli.terminal import print_report
from narrowing import of_type
from reports import ACCOUNT, NOW, full, result, sweep

ROOT = Path(__file__).parents[2]
LONG = "/".join(f"part-{number:03}" for number in range(60))
HOSTILE = (
    "out$(pwn)",
    "out`pwn`",
    "out'; pwn; '",
    'out"; pwn; "',
    "out; pwn",
    "out\npwn\n",
    "out | pwn & pwn",
    "out my folder",
    "out\x1b[31m'; pwn '",
    "out\u202e'; pwn; '\u2066",
    "out$'; pwn; '",
    "out\\'; pwn; '",
    "out*~_x_:tada:<!channel>&lt;",
    "=1+1; pwn",
    "]\nundo_roles = ['*']",
    f"{LONG}'; pwn; '{LONG}",
    f"{LONG}'$(pwn)`pwn`{LONG}",
    f"reboot pwn {'x ' * 60}",
)
WIDTHS = (60, 100, 140)
PLAIN = ("out/churn-1", f"out/{LONG}")
"""Near misses: names that need no quotes."""


def left_by_a_failed_job(folder: str) -> Finding:
    candidate = failed_jobs.JobOutput(
        target=target_at("training-job/churn-1", NOW - timedelta(days=200)),
        folder=folder,
        status="Stopped",
        ended=NOW - timedelta(days=199),
        user=Absent(),
        held=Value({"STANDARD": 2**40}),
        prices=SimpleNamespace(cost=lambda _, __: Cost.saving(Decimal(9), "a price list")),  # type: ignore[arg-type]
    )
    return of_type(Finding, failed_jobs.decide(candidate, 1, NOW))


def printed(folder: str) -> dict[str, str]:
    """Return what a reader can copy of one finding from each output."""
    verdict = left_by_a_failed_job(folder)
    found = result("forgotten-leftovers", "churn-1", verdict)
    ran = sweep("forgotten-leftovers", found)
    report = Report(time=NOW, account=ACCOUNT, sweeps=(ran,))
    texts = {
        "json": json.loads(report_json(report))["results"][0]["action"],
        "page": unescape(re.sub("</?code>", "\n", mark_commands(outcome_text(found)))),
        "warning": unescape(prose(verdict.action, 200)).replace("`", "\n"),
        "digest": unescape(prose(verdict.action, 600)).replace("`", "\n"),
    }
    for width in WIDTHS:
        screen = make_console(io.StringIO())
        screen.width = width
        print_report(screen, report, every=True)
        explained = [Explanation(arn=found.target.arn, sweep=ran)]
        print_blocks(draw_explanations(explained, now=NOW, account=ACCOUNT, width=width), screen)
        texts[f"terminal of {width} columns"] = screen.file.getvalue()  # type: ignore[attr-defined]
    return texts


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Run a text in bash where `aws`, `janitor` and the attacker's command only record that they ran."""
    record = '#!/bin/bash\n{ printf "%s\\0" "${0##*/}" "$@"; echo; } >> "$RAN"\n'
    for name in ("aws", "janitor", "pwn", "reboot"):
        (tmp_path / name).write_text(record)
        (tmp_path / name).chmod(0o755)

    def run(text: str) -> list[list[str]]:
        ran = tmp_path / "ran"
        ran.unlink(missing_ok=True)
        environment = {"PATH": str(tmp_path), "RAN": str(ran), "LC_ALL": "C.UTF-8"}
        subprocess.run(
            ["/bin/bash", "-c", text], check=False, env=environment, cwd=tmp_path, capture_output=True
        )
        written = ran.read_bytes().decode() if ran.exists() else ""
        return [line.split("\0") for line in written.split("\0\n")[:-1]]

    return run


@pytest.mark.parametrize("name", [*HOSTILE, *PLAIN], ids=range(len(HOSTILE) + len(PLAIN)))
def test_a_pasted_command_names_one_folder_and_runs_nothing_else(name: str, shell: Any) -> None:
    whole = ["aws", "s3", "rm", "--recursive", f"s3://models/{name}/"]
    exact = set()
    for output, text in printed(whole[-1]).items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if "aws s3 rm" not in line:
                continue
            pasted = "\n".join([line[line.index("aws s3 rm") :], *lines[number + 1 : number + 2]])
            ran = shell(pasted)
            assert {argv[0] for argv in ran} <= {"aws"}, (output, pasted)
            named = [argv for argv in ran if any(word.startswith("s3://") for word in argv)]
            assert named in ([], [whole]), (output, pasted)
            exact |= {output} if named else set()
    assert {"json", *(f"terminal of {width} columns" for width in WIDTHS)} <= exact
    assert len(name) > 100 or exact == {*printed(whole[-1])}


# --- the other kinds ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_quoted_name_is_one_value_of_its_kind(name: str) -> None:
    assert tomllib.loads(f"undo_roles = [{quote_toml(name)}]") == {"undo_roles": [name]}
    (value,) = sql_values(quote_sql(name))
    assert value == name
    path = urlsplit(f"https://x/{quote_url(name)}?a=1#f").path
    assert [unquote(part) for part in path.split("/")] == ["", name]
    assert escape_text(quote_cell(name), 10_000)[:1] not in "=+-@"


def sql_values(literal: str) -> list[str]:
    """Return the texts that SQL reads in *literal*."""
    with closing(sqlite3.connect(":memory:")) as database:
        return list(database.execute(f"SELECT {literal}").fetchone())


@pytest.mark.parametrize("name", ["a*", "a?b", 'a"]\nx = ["', "a[b-z]"])
def test_a_role_whose_name_would_match_others_is_in_no_setting_to_paste(name: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}/jobs"
    assert role not in missing_role_setting((), role)
    assert "undo_roles = [" not in missing_role_setting((), role)


# --- everything that others write, through every output --------------------------------------------

WRITTEN_BY_OTHERS = {
    *("name", "arn", "owner", "tag", "detail", "reason", "action", "to_prove", "value", "source", "error"),
    *("notices", "tags"),
}
"""Fields with names, tags, log lines, parameters of jobs and answers of AWS."""

TAG = "project"
"""The key of the bill's tag, which a setting names."""

MARKUP = (
    "<img src=x onerror=pwn>",
    "<https://pwn|x> <@U1> @team [x](https://pwn)",
    "@pwn",
    "\t=pwn",
    "| x |",
)


def spoilt(value: Any, name: str, field: str = "") -> Any:
    """Return *value* with *name* in front of each text that others write, however deep."""
    match value:
        case StrEnum():
            return value
        case str() if field in WRITTEN_BY_OTHERS and value not in {"", TAG}:
            start = f"{value.rpartition('/')[0]}/" if value.startswith("arn:") else ""
            return f"{start}{name}{value.removeprefix(start)}"
        case tuple():
            return tuple(spoilt(each, name, field) for each in value)
        case Mapping():
            return {key: spoilt(each, name, field) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        inside = {each.name: spoilt(getattr(value, each.name), name, each.name) for each in fields(value)}
        return replace(
            value, **{key: each for key, each in inside.items() if each is not getattr(value, key)}
        )
    return value


def outputs(name: str) -> dict[str, str]:
    """Return a report and a bill with everything that they can hold, from each output."""
    report, bill = spoilt(full(), name), spoilt(bills.full_report(), name)
    screen = make_console(io.StringIO())
    screen.width = 100
    print_report(screen, report, every=True)
    first = report.sweeps[0]
    explained = [Explanation(arn=found.target.arn, sweep=first) for found in first.results[:3]]
    print_blocks(draw_explanations(explained, now=NOW, account=ACCOUNT, width=100), screen)
    print_bill(screen, bill, max_requests=8)
    recorded = RecordedFindings(new=first.findings, entries={})
    terms = warning_terms(Settings.parse({}), "keep")[first.detector]
    warned = [replace(found, due=NOW) for found in first.findings]
    posts = [
        announce_sweep(first, recorded, now=NOW, people={}, keep_tag="keep"),
        *(message for message, _ in webhook_warnings(warned, terms, now=NOW)),
        warnings_head(warned, terms),
        bill_post(make_bill_message(bill, table_by="phase", max_requests=8)),
    ]
    return {
        "terminal": screen.file.getvalue(),  # type: ignore[attr-defined]
        "html": render_html(report),
        "bill.html": render_bill_page(bill, max_requests=8),
        "csv": report_csv(report),
        "bill.csv": chargeback_csv(bill, TAG),
        "markdown": report_markdown(report),
        "slack": "\n".join(mrkdwn(posts)),
    }


def mrkdwn(value: Any) -> Iterator[str]:
    """Yield the texts in *value* that Slack parses, in their order."""
    match value:
        case {"type": "mrkdwn", "text": text}:
            yield text
        case dict():
            for each in value.values():
                yield from mrkdwn(each)
        case list() | tuple():
            for each in value:
                yield from mrkdwn(each)
        case _ if is_dataclass(value) and not isinstance(value, type):
            for each in fields(value):
                yield from mrkdwn(getattr(value, each.name))


def markup(output: str, text: str) -> Any:
    """Return what a reader's program takes for more than text."""
    if output.endswith("csv"):
        rows = list(csv.reader(io.StringIO(text)))
        formulas = [cell for row in rows for cell in row if cell.lstrip().startswith(("=", "+", "@", "-"))]
        return [len(row) for row in rows], formulas
    if output.endswith("html"):
        return {*re.findall(r"<[a-z/!][^\s>]*", text)}
    if output == "slack":
        return Counter(re.findall(r"<[^>]*>", text)), "```" in text
    if output == "markdown":
        return Counter(re.findall(r"<[a-z!/]|\]\(|(?<![\w.])@\w", text)), Counter(
            map(len, re.findall(r"(?m)^#+", text))
        )
    return None


PLAIN_OUTPUTS = cache(lambda: outputs("x"))


@pytest.mark.parametrize("name", [*HOSTILE, *MARKUP], ids=range(len(HOSTILE) + len(MARKUP)))
def test_no_output_takes_what_others_write_for_more_than_text(name: str) -> None:
    written = outputs(name)

    assert "pwn" in written["terminal"] or "pwn" not in name
    for output, text in written.items():
        assert markup(output, text) == markup(output, PLAIN_OUTPUTS()[output]), output
        hidden = {c for c in text if c not in "\n\r" and escape_character(c) != c}
        assert not hidden, (output, hidden)


# --- all other commands ---------------------------------------------------------------------------

NO_NAMES = {
    "of_role",
    "more",
    "retention.days",
    "low",
    "high",
    "delete",
    "verb",
    "finding",
    "finding_id(result.detector, result.target.key)",
}
"""Numbers, words of the code's own, and ids that are hashes."""

BEFORE_A_WORD = re.compile(
    r"\b(aws|janitor)( [a-z][a-z0-9-]*){1,2}( --[a-z0-9-]+([ =]\0|[ =][^ ]+)?)*( \0)* $"
)


def unquoted_words(tree: ast.AST) -> Iterator[str]:
    """Yield the values in a command of an f-string that are not quoted for the shell."""
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        before = ""
        for part in text.values:
            if not isinstance(part, ast.FormattedValue):
                before += str(getattr(part, "value", ""))
                continue
            word = ast.unparse(part.value)
            if BEFORE_A_WORD.search(before) and not word.startswith("quote_shell("):
                yield word
            before += "\0"


def test_every_name_in_a_command_is_quoted() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("functions", "cli")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for word in unquoted_words(ast.parse(path.read_text()))
        if word not in NO_NAMES
    }
    assert sorted(found) == []
    assert list(unquoted_words(ast.parse('f"aws s3 rm --recursive {folder}"'))) == ["folder"]
