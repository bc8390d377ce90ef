"""The words of the domain: effects, changes and identity, and how things are counted."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from fakes import USED, target_at
from ml_janitor.core.durations import format_hours
from ml_janitor.core.model import Change, Effect, Evidence, Unreadable, Value, finding_id
from ml_janitor.core.ownership import protection_evidence
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result
from ml_janitor.core.text import count_noun
from ml_janitor_cli.main import main
from standin import ROOT
from tables import cases

EFFECTS = {  # removes data, the resource stays, its hours are saved
    Effect.TAG: (False, True, False),
    Effect.STOP: (False, False, True),
    Effect.EXPIRE: (True, True, True),
    Effect.TIER: (True, True, False),
    Effect.DELETE: (True, False, True),
}


def test_what_each_effect_does_the_most_reversible_first() -> None:
    assert {effect: (effect.removes_data, effect.stays, effect.saves) for effect in Effect} == EFFECTS
    assert [effect.rank for effect in EFFECTS] == [0, 1, 2, 3, 4]


def test_only_ends_leave_nothing_to_change() -> None:
    assert {change for change in Change if change.ends} == {Change.END, Change.DELETE_DATA}


def test_identity_is_arn_and_creation_time() -> None:
    first, again = (target_at("endpoint/churn", datetime(2026, 7, day, tzinfo=UTC)) for day in (1, 2))

    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn"
    assert first.key == f"{arn}@2026-07-01T00:00:00+00:00" != again.key
    assert target_at("endpoint/churn", None).key == f"{arn}@unknown"
    assert finding_id("idle-endpoints", "key") == "7b68049be9"
    assert len({finding_id(name, one.key) for name in ("a", "b") for one in (first, again)}) == 4


def test_marks_say_where_the_tags_were_read() -> None:
    tags = {"aws:cloudformation:stack-name": "web", "env": "prod"}
    target, unread = target_at("endpoint/churn", tags=Value(tags, "ListTags")), Unreadable("no", "ListTags")

    own = protection_evidence(target, [target_at("endpoint-config/churn-1", tags=tags)])
    assert [(mark.signal, mark.source) for mark in own] == [
        ("managed by", "ListTags"),
        ("environment", "ListTags"),
        ("managed by, churn-1", ""),
        ("environment, churn-1", ""),
    ]
    assert isinstance(own[0], Evidence)
    assert protection_evidence(target_at("endpoint/churn", tags=unread)) == ()


def test_why_an_outcome_is_what_it_is() -> None:
    result = Result(detector="shelf", target=target_at("thing/lamp"), verdict=USED, outcome=Outcome.KEPT)
    why = next(iter(CauseCode))

    assert (result.why, replace(result, cause=Cause(why)).why) == (None, why)


# --- numbers and their nouns ----------------------------------------------------------------------

TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text("utf-8"))
    for package in ("functions", "cli")
    for path in (ROOT / package).rglob("*.py")
}
CONSTANT = re.compile(r"(\w+\.)?_?[A-Z][A-Z_]+(\.days)?( [*/]+ _?[A-Z_]+)?")
"""A number in a sentence that is the same for everybody, and more than one."""

VERBS = {"model.name": "changes", "endpoint.monitors[0]": "runs"}
"""Names in a sentence, with a verb after them that is spelled like a noun."""


def counted_nouns() -> set[str]:
    """The plurals of all that is counted by `count_noun`, which every module can count."""
    given = {
        node.args[1].value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "count_noun"
        if isinstance(node.args[1], ast.Constant)
    }
    return {count_noun(2, str(noun)).removeprefix("2 ").partition(" of ")[0] for noun in given} | {"seconds"}


def numbers_before_plurals() -> Iterator[str]:
    """Every number of an f-string that a noun in its plural follows, without `count_noun`."""
    plurals = counted_nouns()
    texts = [(path, node) for path, tree in TREES.items() for node in ast.walk(tree)]
    for path, text in texts:
        if not isinstance(text, ast.JoinedStr):
            continue
        for number, rest in pairwise(text.values):
            if not isinstance(number, ast.FormattedValue) or not isinstance(rest, ast.Constant):
                continue
            words, shown = re.match(" ([a-z]+)( [a-z]+)?", str(rest.value)), ast.unparse(number.value)
            if words is None or not {words[1], words[0].strip()} & plurals:
                continue
            if not CONSTANT.fullmatch(shown) and VERBS.get(shown) != words[1]:
                yield f"{path}:{text.lineno}: {shown} {words[1]}"


def test_every_number_is_counted_with_its_noun() -> None:
    """Else a report says "1 hours"."""
    assert {"hours", "days", "minutes", "jobs", "requests"} <= counted_nouns()
    assert [*numbers_before_plurals()] == []


@cases(
    "hours, words",
    (0.0, "less than a minute"),
    (0.054, "3 minutes"),
    (0.9, "54 minutes"),
    (0.96, "1 hour"),
    (1.04, "1 hour"),
    (1.05, "1.1 hours"),
    (30.0, "30 hours"),
    (36.44, "36.4 hours"),
    (99.94, "99.9 hours"),
    (99.96, "100 hours"),
    (1440.0, "1,440 hours"),
    (float("inf"), "unlimited time"),
)
def test_hours_are_words_of_a_report(hours: float, words: str) -> None:
    assert format_hours(hours) == words


@cases(
    "number, noun, words",
    (1, "hour", "1 hour"),
    (0, "policy", "0 policies"),
    (2, "bucket of old objects", "2 buckets of old objects"),
    (1234567.0, "request", "1,234,567 requests"),
    (0.5, "day", "0.5 days"),
    (1.0, "other", "1 other"),
)
def test_things_are_counted(number: float, noun: str, words: str) -> None:
    assert count_noun(number, noun) == words


@pytest.mark.parametrize("group", [(), ("estimate",), ("policies",)])
def test_every_command_has_a_summary_of_one_line(
    group: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a terminal of 80 columns: a summary that is cut off says nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*group, "--help"]) == 0

    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if not re.fullmatch(r"  [a-z]+ +[A-Z][^.]+(\.[a-z][^.]+)?\.", line)] == []
