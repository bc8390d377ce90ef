"""An explanation on the screen and as a document: nothing left out, nothing hostile let through."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import reports
from conftest import ACCOUNT, DAY, NOW, REGION
from fakes import result_of, thing, waste
from memory_table import MemoryTable
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import (
    Absent,
    Cost,
    Evidence,
    Kept,
    NotRead,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.requests import Holds
from ml_janitor_cli.explain import (
    Explanation,
    draw_explanations,
    explanation_json,
    find_deletion,
    read_holds,
    signals_with_tags,
)
from ml_janitor_cli.screen import make_console, print_blocks
from narrowing import not_none
from reports import schema_problems
from scripted import Script
from tables import cases

HOSTILE = "\x1b[2Jevil\u202ename\n[red]x[/red]"


def explained(
    verdict: Verdict, *, tags: Any = None, name: str = "a", error: str | None = None
) -> Explanation:
    """One thing, judged so."""
    target = thing(name, verdict, tags).target
    return Explanation(arn=target.arn, sweep=sweep(result_of(name, verdict, target=target), error=error))


sweep = partial(reports.sweep, "shelf")


def drawn(*all_of_it: Explanation, width: int = 100) -> str:
    """What is written to a pipe."""
    stream = io.StringIO()
    screen = make_console(stream)
    screen.width = width
    print_blocks(draw_explanations(all_of_it, now=NOW, account="123456789012", width=width), screen)
    return stream.getvalue()


def test_a_deletion_that_was_refused_is_none() -> None:
    def deletion(ago: timedelta, **error: str) -> dict[str, Any]:
        detail = {"requestParameters": {"endpointName": "churn"}} | error
        seen = {"EventName": "DeleteEndpoint", "EventTime": NOW - ago}
        return seen | {"CloudTrailEvent": json.dumps(detail)}

    events = [deletion(timedelta(), errorCode="AccessDenied"), deletion(DAY)]
    aws = Script({"cloudtrail:LookupEvents": {"Events": events}}).aws()
    arn = Arn.parse(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/churn")

    assert find_deletion(aws, arn, NOW) == Value(NOW - DAY, "cloudtrail:LookupEvents")


def test_holds_are_read_in_every_region() -> None:
    table, regions = MemoryTable(), (REGION, "eu-west-1")
    for region in regions:
        Holds(table).put(ACCOUNT, region, Hold(key=region, how=HoldKind.KEPT, by="ana", given=NOW, why="x"))

    assert read_holds(table, [Script({}).aws(region) for region in regions]).keys() == {*regions}


def kept(*seen: Evidence) -> Kept:
    return Kept(reason="it is used", evidence=seen, steps=("it is there", "kept: it is used"))


# --- signals ---------------------------------------------------------------------------------------


@cases(
    "signal, value, shown",
    (Value(3), None, 3),
    (Value(("a", "b")), None, "('a', 'b')"),
    (Value(("a", "b")), len, 2),
    (Value(3), "three", "three"),
    (Absent(), None, "none"),
    (Absent(), len, "none"),
    (Absent(), "too many", "too many"),
)
def test_what_was_read_is_shown_as_it_is_or_as_its_detector_says(signal: Any, value: Any, shown: Any) -> None:
    assert as_evidence("size", signal, value) == Evidence("size", shown)


@cases(
    "seen, lines",
    (Evidence("requests", 1234567, source="s:Call"), ["requests  1,234,567 s:Call"]),
    (Evidence("load", 0.25), ["load      0.25"]),
    (Evidence("owner", None), ["owner     none"]),
    (
        Evidence("last", "long ago", source="s:Call", at=NOW),
        ["last      long ago s:Call", "2026-10-06 03:00 UTC"],
    ),
    (Evidence("log", error="Denied: no", source="s:Call"), ["log       not readable: Denied: no s:Call"]),
)
def test_a_signal_is_a_line_of_name_value_and_source(seen: Evidence, lines: list[str]) -> None:
    out = drawn(explained(kept(seen, Evidence("requests", 1))))

    squeezed = [" ".join(line.split()) for line in out.splitlines()]
    for line in lines:
        assert " ".join(line.split()) in squeezed


@pytest.mark.parametrize("value", ["2026-10-06T03:00:00Z", "2026-10-06 03:00 UTC, by maria"])
def test_a_time_that_the_value_says_already_is_not_said_twice(value: str) -> None:
    assert drawn(explained(kept(Evidence("start", value, at=NOW)))).partition("shelf")[2].count("03:00") == 1


@cases(
    "tags, value, error",
    ({"team": "nlp", "owner": "maria"}, "owner=maria, team=nlp", None),
    ({}, "none", None),
    (Unreadable("denied", "sagemaker:ListTags"), None, "denied"),
    (NotRead(), "not read: the question was settled without it", None),
)
def test_the_tags_are_a_signal_too(tags: Any, value: str | None, error: str | None) -> None:
    (seen,) = signals_with_tags(not_none(explained(kept(), tags=tags).result))

    assert (seen.signal, seen.value, seen.error) == ("tags", value, error)


def test_tags_that_the_rule_shows_itself_are_not_shown_twice() -> None:
    one = explained(kept(Evidence("tags", "owner")), tags={"owner": "maria"})

    assert signals_with_tags(not_none(one.result)) == (Evidence("tags", "owner"),)


# --- steps and verdicts ----------------------------------------------------------------------------


def test_a_verdict_without_steps_shows_its_reason() -> None:
    assert "  1  the rule failed" in drawn(explained(Kept(reason="the rule failed", unknown=True)))


@cases(
    "cost, said", (Cost.standing(None, "no price list"), "Cost: price unknown (no price list)"), (None, None)
)
def test_a_cost_is_said_where_there_is_one(cost: Cost | None, said: str | None) -> None:
    out = drawn(explained(replace(waste(), cost=cost)))

    assert "Proposed: remove it" in out
    assert said in out if said else "Cost" not in out


def test_a_finding_says_since_when() -> None:
    out = drawn(explained(replace(waste(), cost=None, since=NOW - timedelta(days=3))))

    assert "Waste since 2026-10-03, 3 days\n" in out


@cases(
    "one, verdict",
    (explained(waste()), "found"),
    (explained(kept()), "kept"),
    (explained(Kept(reason="who knows", unknown=True)), "unknown"),
    (Explanation(arn="arn:aws:sagemaker:us-east-1:1:thing/a", sweep=sweep()), "not found"),
    (Explanation(arn="arn:aws:sagemaker:us-east-1:1:thing/a", sweep=sweep(), deleted=Value(NOW)), "deleted"),
    (Explanation(arn="arn:aws:sagemaker:us-east-1:1:thing/a", sweep=sweep(error="no")), "not looked at"),
    (Explanation(arn="arn:aws:sagemaker:us-east-1:1:thing/a", sweep=sweep(), exists=True), "not judged"),
)
def test_the_verdict_in_a_word(one: Explanation, verdict: str) -> None:
    assert one.verdict == verdict
    assert f"1 verdict on 1 resource: 1 {verdict}." in drawn(one)


# --- hostile text ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 100])
def test_what_came_from_aws_cannot_steer_the_terminal(width: int) -> None:
    verdict = replace(
        waste(),
        reason=HOSTILE,
        action=HOSTILE,
        evidence=(Evidence(HOSTILE, HOSTILE, source=HOSTILE), Evidence("log", error=HOSTILE)),
        steps=(HOSTILE, HOSTILE),
    )

    out = drawn(explained(verdict, tags={"owner": HOSTILE}, name=HOSTILE, error=HOSTILE), width=width)

    assert not {"\x1b", "\u202e"} & set(out)
    assert r"\x1b[2Jevil\u202ename" in out
    assert max(map(len, out.splitlines())) <= width


# --- the document ------------------------------------------------------------------------------------


def test_the_document_has_everything_that_the_screen_has() -> None:
    seen = (
        Evidence("requests", 0, source="cloudwatch:GetMetricData", at=NOW),
        Evidence("load", float("nan")),
    )
    one = explained(
        replace(waste(), evidence=seen, steps=("found, proven: nobody uses it",)), tags={"a": "b"}
    )

    document = json.loads(explanation_json([one], {"a": ["b"]}, time=NOW, account="123456789012"))

    assert schema_problems("explanation", document) == []
    assert schema_problems("explanation", {**document, "explanations": [{}]})

    head = {"schema_version": 2, "time": "2026-10-06T03:00:00Z", "account": "123456789012"}
    assert head.items() <= document.items()
    (each,) = document["explanations"]
    judged = {"detector": "shelf", "region": "us-east-1", "verdict": "found", "error": None}
    assert judged.items() <= each.items()
    assert each["signals"] == [
        {
            "signal": "requests",
            "value": 0,
            "error": None,
            "source": "cloudwatch:GetMetricData",
            "at": "2026-10-06T03:00:00Z",
        },
        {"signal": "load", "value": "nan", "error": None, "source": None, "at": None},
        {"signal": "tags", "value": "a=b", "error": None, "source": None, "at": None},
    ]
    assert each["steps"] == ["found, proven: nobody uses it"]
    assert (each["reason"], each["confidence"], each["action"]) == ("nobody uses it", "proven", "remove it")
    assert (each["monthly_usd"], each["accrued_usd"]) == (10.0, None)


def test_the_document_of_something_gone_says_so() -> None:
    one = Explanation(arn="arn:aws:sagemaker:us-east-1:1:thing/a", sweep=sweep())

    document = json.loads(explanation_json([one], {}, time=NOW, account="1"))

    assert schema_problems("explanation", document) == []
    (each,) = document["explanations"]

    assert (each["verdict"], each["error"], each["deleted"]) == ("not found", None, None)
    assert "steps" not in each


def test_the_document_is_ascii() -> None:
    assert explanation_json([explained(kept(Evidence("name", HOSTILE)))], {}, time=NOW, account="1").isascii()
