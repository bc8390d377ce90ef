"""
Whoever writes to the ledger, or may invoke the undo function, has something undone that nobody asked for.

An undo has one of three origins: a press, a person's command, or the janitor's revert of a half-done action.
Each is signed, and in time.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.results import CauseCode, Outcome
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.requests import ButtonRequests
from ml_janitor.ledger.signatures import Request, SigningKey
from narrowing import not_none
from standin import DAY, HOUR, Cleaner, Nights, in_memory, own_signatures, with_request
from tables import cases


@pytest.fixture
def removed() -> Iterator[Nights]:
    """A lamp that the janitor removed 48 days ago, where undo_days is 30."""
    with in_memory() as nights:
        nights.warned("lamp")
        nights.after(4 * DAY)
        nights.clock += 48 * DAY
        yield nights


def set_undoing(nights: Nights, **more: Any) -> None:
    """The attack: the stage says that an undo has begun."""
    lamp = nights.of("lamp")
    nights.table.change(lamp.pk, lamp.sk, set_to={"stage": Stage.UNDOING, "undone_by": "maria", **more})


def unanswered(*_: object) -> bool:
    raise TimeoutError


def undo(nights: Nights, **how: Any) -> Any:
    return nights.undoing.undo(Cleaner(), nights.aws, nights.of("lamp"), **how)


def test_an_old_action_whose_stage_says_undoing_is_not_undone(removed: Nights) -> None:
    """Today's sweep has it undone, without a person."""
    set_undoing(removed)
    result = removed.after(HOUR)["lamp"]

    assert (result.outcome, removed.put_back) == (Outcome.FAILED, [])
    assert result.why is CauseCode.REQUEST_UNSIGNED
    with pytest.raises(CannotUndoError, match="lamp was cleaned up 48 days ago; undo_days is 30"):
        removed.undoing.find("cellar", ACCOUNT, REGION, removed.of("lamp").id)
    for by in ("", "mallory"):
        with pytest.raises(CannotUndoError, match=r"lamp: request (unsigned|late)"):
            undo(removed, by=by)
    assert removed.world.done == ["unplug lamp", "remove lamp"]


@cases(
    "days, signer, changes, refused",
    (30, SigningKey.REQUESTS, {}, None),
    (31, SigningKey.REQUESTS, {}, CauseCode.REQUEST_LATE),
    (31, SigningKey.REQUESTS, {"days": 1}, CauseCode.REQUEST_UNSIGNED),
    (1, SigningKey.REQUESTS, {"mac": ""}, CauseCode.REQUEST_UNSIGNED),
    (1, SigningKey.REQUESTS, {"by": "dina"}, CauseCode.REQUEST_UNSIGNED),
    (1, SigningKey.REQUESTS, {"key": "arn:other@2026"}, CauseCode.REQUEST_UNSIGNED),
    (1, SigningKey.REQUESTS, {"what": "due"}, CauseCode.REQUEST_UNSIGNED),
    (1, SigningKey.PROGRESS, {}, None),
    (31, SigningKey.PROGRESS, {}, CauseCode.REQUEST_LATE),
    (1, SigningKey.PROGRESS, {"command": False}, CauseCode.REQUEST_UNSIGNED),
)
def test_a_request_counts_if_it_is_signed_and_of_undo_days_however_late_it_is_carried_out(
    removed: Nights, days: int, signer: SigningKey, changes: dict[str, Any], refused: CauseCode | None
) -> None:
    lamp, unsigned = with_request(removed.of("lamp"), "maria", removed.of("lamp").began + days * DAY)
    signed = unsigned.sign(own_signatures(signer, by_hand=signer is SigningKey.PROGRESS)).as_json()
    if "days" in changes:
        changes = {"at": lamp.began + DAY}
    request = Request.parse({**signed, **changes})

    if refused is None:
        assert undo(removed, request=request).stage is Stage.UNDONE
        return
    with pytest.raises(CannotUndoError) as error:
        undo(removed, request=request)
    assert (not_none(error.value.cause).why, error.value.final) == (refused, True)
    assert removed.world.done == ["unplug lamp", "remove lamp"]


def test_an_undo_that_was_begun_in_time_is_finished_however_late(
    removed: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp, request = with_request(removed.of("lamp"), "maria", removed.of("lamp").began + 29 * DAY)
    removed.actions.request_undo(lamp, request)

    removed.after(HOUR)
    (asked,) = removed.put_back
    assert asked.origin == request
    found = removed.undoing.find("cellar", ACCOUNT, REGION, lamp.id)
    assert removed.undoing.check_request(found, None) == request
    with monkeypatch.context() as patch:  # KMS does not answer
        patch.setattr(Request, "verify", unanswered)
        assert removed.undoing.find("cellar", ACCOUNT, REGION, lamp.id) == found
    done = removed.undoing.undo(Cleaner(), removed.aws, found, request=asked.origin, again=True)
    assert (done.stage, done.undone_by) == (Stage.UNDONE, "maria")


def test_nobody_asks_for_nothing(removed: Nights) -> None:
    removed.clock = removed.of("lamp").began + DAY
    with pytest.raises(CannotUndoError, match="lamp: request unsigned"):
        undo(removed)


def test_a_record_that_changes_after_its_verification_brings_nothing_back(removed: Nights) -> None:
    lamp = removed.of("lamp")
    removed.clock = lamp.began + DAY
    removed.table.change(lamp.pk, lamp.sk, set_to={"undo": '{"made": "by mallory"}'})
    with pytest.raises(CannotUndoError) as error:
        removed.undoing.undo(Cleaner(), removed.aws, lamp, by="maria")
    assert (not_none(error.value.cause).why, error.value.final) == (CauseCode.MAC_INVALID, True)
    assert removed.world.done == ["unplug lamp", "remove lamp"]


def test_a_request_for_one_action_is_none_for_another(removed: Nights) -> None:
    removed.warned("chair")
    removed.after(4 * DAY)
    _, of_chair = with_request(removed.of("chair"), "maria", removed.clock)
    for other in (of_chair, replace(of_chair, key=removed.of("lamp").target.key)):
        with pytest.raises(CannotUndoError, match="lamp: request unsigned"):
            undo(removed, request=other)


def test_a_forged_request_in_the_table_is_not_granted_and_the_run_says_so(removed: Nights) -> None:
    removed.warned("chair")
    removed.after(4 * DAY)
    requests = ButtonRequests(removed.table, own_signatures())
    requests.undo(removed.of("chair"), by="maria", press="p", now=removed.clock)
    (item,) = removed.table.scan("request#")
    removed.table.change(item["pk"], item["sk"], set_to={"by": "mallory"})

    (why,) = requests.grant(removed.ledger, removed.actions, "cellar", ACCOUNT, REGION)

    assert why == "chair: the request to undo the action is not signed"
    assert removed.of("chair").stage is Stage.ACTED
    removed.table.change(item["pk"], item["sk"], remove=("mac",))  # of an earlier version: pressed again
    assert requests.grant(removed.ledger, removed.actions, "cellar", ACCOUNT, REGION) == []
    assert removed.of("chair").stage is Stage.ACTED


def test_what_is_said_to_be_undone_does_not_hide_that_it_is_not(removed: Nights) -> None:
    lamp = removed.of("lamp")
    removed.clock = lamp.began + timedelta(days=1)
    removed.table.change(lamp.pk, lamp.sk, set_to={"stage": Stage.UNDONE, "undone_by": "mallory"})
    doubt = not_none(removed.actions.doubt(removed.of("lamp")))
    assert doubt.why is CauseCode.MAC_INVALID
    removed.table.change(lamp.pk, lamp.sk, set_to={"stage": Stage.ACTED, "undone_by": ""})
    assert undo(removed, by="maria").stage is Stage.UNDONE
    assert removed.actions.doubt(removed.of("lamp")) is None
