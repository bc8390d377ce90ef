"""What an action says of itself, how it changes in the ledger, and what authenticates it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conftest import DAY, HOUR
from fakes import action_of, because, thing, waste
from memory_table import MemoryTable
from ml_janitor.core.results import CauseCode, Outcome, Result, make_cause
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.actions import (
    Action,
    Actions,
    BegunBeforeError,
    Stage,
    UnverifiedError,
    signed_content,
)
from ml_janitor.ledger.signatures import canonical_json
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, WRITTEN_ATTRIBUTE
from ml_janitor.report.causes import cause_text
from narrowing import not_none
from standin import own_signatures, with_request
from tables import cases

NOW = datetime(2026, 10, 6, tzinfo=UTC)
ELSEWHERE = ("210987654321", "eu-west-1")
"""An account and a region that no other test takes for granted."""


def action(**more: Any) -> Action:
    return action_of("shelf", **{"stage": Stage.FAILED, "warned": NOW, "began": NOW} | more)


@cases(
    "steps, touched, coming_back",
    ({}, False, False),
    ({"act: stop": "refused"}, False, False),
    ({"act: stop": "begun"}, True, False),
    ({"act: stop": "refused", "act: tag": "done"}, True, False),
    ({"act: stop": "refused", "undo: start": "begun"}, False, True),
    ids=str,
)
def test_a_begun_step_may_be_done(steps: Mapping[str, str], *, touched: bool, coming_back: bool) -> None:
    one = action(steps=steps)
    assert (one.touched, one.coming_back) == (touched, coming_back)


@cases(
    "how, failures, mark",
    ({}, 1, "failed 1"),
    ({"attempts": 2, "broke": True}, 2, "failed 2 failed"),
    ({"attempts": 3}, 3, "failed 3"),
    ({"attempts": 5, "waits": 3, "asked": 1}, 2, "failed 5"),
    ({"attempts": 5, "waits": 1, "asked": 3, "stage": Stage.UNDOING}, 2, "undoing 5"),
)
def test_three_bad_attempts_in_a_row_are_its_last(how: Mapping[str, Any], failures: int, mark: str) -> None:
    one = action(**how)
    assert (one.failures, one.given_up, one.mark) == (failures, failures == 3, mark)


# --- in the ledger ------------------------------------------------------------------------------------


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def actions(table: MemoryTable) -> Actions:
    return Actions(table, own_signatures())


def begun(actions: Actions, undo: Mapping[str, Any] | None = None) -> Action:
    account, region = ELSEWHERE
    target = replace(thing("lamp", waste()).target, account=account, region=region)
    result = Result(detector="shelf", target=target, verdict=waste(), outcome=Outcome.WAITING)
    return actions.begin(result, {"name": "lamp"} if undo is None else undo, warned=NOW, now=NOW)


def how(action: Action) -> tuple[Stage, int, bool, str]:
    return action.stage, action.attempts, action.broke, cause_text(action.error)


def test_every_change_says_how_far_it_came(actions: Actions) -> None:
    failed = actions.failed(begun(actions), because("reset"))
    assert how(failed) == (Stage.FAILED, 1, True, "reset")
    resumed = actions.resume(failed, NOW)
    assert how(resumed) == (Stage.ACTING, 2, False, "")
    waiting = actions.unfinished(actions.failed(resumed, because("reset")), because("its plug"))
    assert (how(waiting), waiting.waits) == ((Stage.FAILED, 2, False, "its plug"), 2)
    acted = actions.acted(actions.failed(waiting, because("reset")), NOW + HOUR)
    assert (how(acted), acted.ended, acted.over) == ((Stage.ACTED, 2, False, ""), NOW + HOUR, None)
    assert actions.all("shelf", *ELSEWHERE) == actions.everywhere() == [acted]
    assert (acted.target.account, acted.target.region) == ELSEWHERE


def test_one_of_two_runs_resumes_an_action(actions: Actions) -> None:
    interrupted = begun(actions)
    actions.resume(interrupted, NOW)
    with pytest.raises(BegunBeforeError, match="another run is at work on lamp"):
        actions.resume(interrupted, NOW)


def test_every_change_of_its_undo_says_how_far_that_came(actions: Actions) -> None:
    asked = actions.request_undo(
        *with_request(actions.failed(begun(actions), because("reset")), "maria", NOW + HOUR)
    )
    assert (how(asked), asked.asked, asked.over) == ((Stage.UNDOING, 1, False, ""), 1, NOW + HOUR)
    failed = actions.undo_failed(
        actions.begin_undo(*with_request(asked, "maria", NOW + 2 * HOUR), NOW + 2 * HOUR),
        because("no capacity"),
    )
    assert (how(failed), failed.asked_at) == ((Stage.UNDOING, 2, True, "no capacity"), NOW + 2 * HOUR)
    again = actions.begin_undo(*with_request(failed, "maria", NOW + 3 * HOUR), NOW + 3 * HOUR, again=True)
    assert (how(again), again.asked_at) == ((Stage.UNDOING, 3, False, ""), NOW + 2 * HOUR)
    undone = actions.undone(actions.undo_failed(again, because("reset")), NOW + 4 * HOUR, "it is lamp-2")
    assert (how(undone), undone.undone) == ((Stage.UNDONE, 3, False, ""), NOW + 4 * HOUR)
    assert (undone.became, undone.over) == ("it is lamp-2", NOW + HOUR)


def test_it_is_kept_for_four_months_and_no_longer_is_none(actions: Actions, table: MemoryTable) -> None:
    one = begun(actions)
    (item,) = table.scan("action#")
    assert item[EXPIRES_ATTRIBUTE] == (NOW + 120 * DAY).timestamp()

    table.change(one.pk, "remains", set_to={"told": "acted 1"})

    assert actions.all("shelf", *ELSEWHERE) == actions.everywhere() == [one]


def test_its_writer_knows_its_own_write_again(actions: Actions, table: MemoryTable) -> None:
    def mark() -> str:
        return str(next(iter(table.scan("action#")))[WRITTEN_ATTRIBUTE])

    one = begun(actions)
    first = mark()
    actions.acted(one, NOW)
    assert mark() != first


def test_a_refusal_is_written_once_for_each_reason(actions: Actions, table: MemoryTable) -> None:
    def known() -> tuple[Action, str]:
        (item,) = table.scan("action#")
        return actions.everywhere()[0], item[WRITTEN_ATTRIBUTE]

    actions.failed(begun(actions), make_cause(CauseCode.ACT_FAILED, "reset"))
    actions.refused(known()[0], because("not signed"))
    one, mark = known()
    assert how(one) == (Stage.FAILED, 1, True, "not signed")
    actions.refused(one, because("still not signed"))
    assert known() == (one, mark)
    actions.refused(replace(one, attempts=7), because("another run's doing"))
    assert known() == (one, mark)


def test_what_is_no_change_of_it_is_remembered_beside_it(actions: Actions, table: MemoryTable) -> None:
    one = begun(actions)
    actions.message_updated(one)
    for hours in (1, 2):
        actions.end_saving(one, NOW + hours * HOUR)

    for step in ("begun", "done"):
        actions.step(one, "act: stop", step)

    assert actions.everywhere() == [
        replace(one, told="acting 1", over=NOW + HOUR, steps={"act: stop": "done"})
    ]
    (item,) = table.scan("action#")
    assert item["step_0c91c09c0751c202"] == '["act: stop", "done"]'


def test_no_step_begins_of_an_action_that_another_run_resumed(actions: Actions) -> None:
    slow = begun(actions)
    actions.resume(slow, NOW)

    actions.step(slow, "act: stop", "done")
    with pytest.raises(BegunBeforeError, match="another run is at work on lamp"):
        actions.step(slow, "act: tag", "begun")

    assert actions.everywhere()[0].steps == {"act: stop": "done"}
    with pytest.raises(BegunBeforeError, match="was acted on before"):
        begun(actions)


def test_what_was_changed_since_it_was_read_is_not_gone_on_with(actions: Actions, table: MemoryTable) -> None:
    one = begun(actions)
    table.change(one.pk, one.sk, set_to={"undo": json.dumps({"name": "prey"})})

    with pytest.raises(UnverifiedError, match="MAC_INVALID"):
        actions.resume(one, NOW)


@cases(
    "undo, error, why",
    ({"tags": ("a", "b")}, TypeError, "not plain JSON"),
    ({"x": "y" * (300 * 1024 - 8)}, CannotActError, "need is 300 KB, and the ledger takes 300"),
    ids=["a tuple", "a byte too long"],
)
def test_what_the_ledger_cannot_keep_is_not_begun(
    actions: Actions, undo: Mapping[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        begun(actions, undo)
    assert actions.everywhere() == []


def test_the_largest_undo_is_kept(actions: Actions) -> None:
    assert begun(actions, {"x": "y" * (300 * 1024 - 9)}).undo["x"].endswith("y")


# --- its code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", [datetime(2026, 7, 1, tzinfo=UTC), None])
def test_what_is_signed_of_it_stays_what_it_was(created: datetime | None) -> None:
    """Codes outlive a version: with any other text, what was done before an upgrade could not be undone."""
    undo = {"tags": {"b": "2", "a": "1"}, "name": "lamp"}
    one = action(pk="pk", by="maria", undo=undo, target=thing("lamp", waste(), created=created).target)
    made = b'"2026-07-01T00:00:00+00:00"' if created else b"null"
    assert canonical_json(signed_content(one, Stage.ACTED)) == (
        b'{"account":"123456789012","arn":"arn:aws:sagemaker:us-east-1:123456789012:thing/lamp",'
        b'"began":"2026-10-06T00:00:00Z","by":"maria","created":' + made + b',"detector":"shelf",'
        b'"id":"' + one.id.encode() + b'","kind":"thing","name":"lamp","pk":"pk","region":"us-east-1",'
        b'"sk":"sk","stage":"acted","undo":{"name":"lamp","tags":{"a":"1","b":"2"}},'
        b'"warned":"2026-10-06T00:00:00Z"}'
    )


@pytest.mark.parametrize("stage", sorted(set(Stage) - {Stage.WITHDRAWN}))
def test_an_unsigned_stage_is_a_forgery(actions: Actions, table: MemoryTable, stage: Stage) -> None:
    """Or whoever can write the table could have a clean-up done again; an undo keeps the code of the act."""
    acted = actions.acted(begun(actions), NOW)
    table.change(acted.pk, acted.sk, set_to={"stage": stage})
    (stored,) = actions.everywhere()

    if stage in {Stage.ACTED, Stage.UNDOING, Stage.UNDONE}:
        actions.verify_record(stored)
    if stage is not Stage.ACTED:
        why = "REQUEST_UNSIGNED" if stage is Stage.UNDOING else "MAC_INVALID"
        with pytest.raises(UnverifiedError, match=why):
            actions.verify(stored)


@cases(
    "attribute, value",
    ("undone_by", "mallory"),
    ("undone", "2026-10-06T00:00:01Z"),
    ("became", "it is prey"),
    ("progress", ""),
)
def test_what_an_undo_did_is_signed(actions: Actions, table: MemoryTable, attribute: str, value: str) -> None:
    undone = actions.undone(actions.request_undo(*with_request(begun(actions), "maria", NOW)), NOW)
    assert (actions.doubt(undone), not_none(Actions(table).doubt(undone)).why) == (
        None,
        CauseCode.RECORD_UNREAD,
    )
    table.change(undone.pk, undone.sk, set_to={attribute: value})

    assert actions.doubt(not_none(actions.now(undone))) == make_cause(CauseCode.MAC_INVALID)


def test_what_began_an_hour_after_the_key_was_made_has_a_code(table: MemoryTable) -> None:
    """Until then, a function of the version before may have written it."""
    Actions(table, own_signatures(made=NOW - HOUR)).check_older(action())
    with pytest.raises(UnverifiedError, match="MAC_EXPECTED"):
        Actions(table, own_signatures(made=NOW - HOUR - timedelta(seconds=1))).check_older(action())
