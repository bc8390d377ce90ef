"""Warnings as Slack takes them: inert, within its limits, and what a person paged by one reads."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes import action_of, because, raising
from ml_janitor.acting.undoing import RESTART_WORDING
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import ActionSchedule, Effect
from ml_janitor.core.results import Result
from ml_janitor.core.text import format_local_time
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Action
from ml_janitor.report.mrkdwn import Message
from ml_janitor.report.warnings import (
    Button,
    ButtonSubject,
    Status,
    StatusWording,
    WarningTerms,
    button_subject,
    due_status,
    person_text,
    warning_body,
    warning_message,
    warning_terms,
    warnings_head,
    warnings_headline,
    webhook_warnings,
)
from ml_janitor_sandbox.slack.workspace import mentions
from reports import NOW, accruing, finding, result, standing
from slack_types import assert_accepted, compiled
from tables import cases

ZONE = "Europe/Berlin"
DUE = datetime(2026, 10, 9, 3, 10, tzinfo=UTC)
VOICE = StatusWording(effect=Effect.DELETE, time_zone=ZONE)
TERMS = WarningTerms(
    wording=VOICE, lost="capacity, if AWS has none", offers=frozenset(Button), keep_tag="janitor:keep"
)
JOBS = StatusWording(
    effect=Effect.STOP,
    time_zone=ZONE,
    way=RESTART_WORDING,
    revert_effect=lambda one: (
        f"{one.target.name} is submitted again as {one.target.name}-r0, with its checkpoints in s3://b/c/"
    ),
)
BARE = replace(TERMS, offers=frozenset())
HOSTILE = "a`<!channel>&*b*_c_~d~:tada:<@U1><https://evil.example|x>\n\x1b[31m" + "y" * 300


def idle(
    name: str = "fraud", hourly: str | None = "0.23", owner: str | None = "maria@x", **more: Any
) -> Result:
    made = result("idle-endpoints", name, finding("nobody calls it", standing(hourly), **more), owner=owner)
    return replace(made, due=DUE)


def action(**more: Any) -> Action:
    return action_of("idle-endpoints", **{"target": idle().target, "ended": NOW} | more)


def every_standing(by: str = "Dina (U1)", why: str = "nobody uses it") -> list[Status]:
    """Each of them, with words of others in it."""
    kept = Hold(key="k", how=HoldKind.KEPT, by=by, given=NOW, why=why)
    return [
        VOICE.due(DUE),
        VOICE.waiting(DUE, why),
        VOICE.held(kept),
        VOICE.held(replace(kept, until=DUE)),
        VOICE.held(replace(kept, how=HoldKind.SNOOZED, until=DUE)),
        VOICE.hurried(by, NOW),
        VOICE.acted(action(by=by), DUE),
        VOICE.acted(action(), None),
        VOICE.failed(why, NOW, action=action(ended=None)),
        VOICE.failed(why, NOW, action=action(ended=None, steps={"act: delete": "begun"})),
        VOICE.failed(why, NOW),
        JOBS.acted(action(by=by), DUE),
        JOBS.undoing(action(by=by), by, NOW),
        JOBS.undone(action(undone_by=by, undone=NOW, became=why), DUE),
        JOBS.undo_failed(action(), why, NOW),
        VOICE.stays(why, NOW),
        VOICE.void(why, NOW),
        VOICE.undoing(action(by=by), by, NOW),
        VOICE.undone(action(undone_by=by, undone=NOW), DUE),
        VOICE.undo_failed(action(), why, NOW),
        VOICE.undo_failed(action(ended=None), why, NOW),
    ]


def messages(results: list[Result], by: str = "Dina (U1)", why: str = "nobody uses it") -> list[Message]:
    one = results[0]
    said = warning_body(one, TERMS, now=NOW, user="U7")
    posted = [
        warning_message(button_subject(one), one.target.name, said, each, TERMS)
        for each in every_standing(by, why)
    ]
    return [
        warnings_head(results, TERMS),
        *posted,
        *(message for message, _ in webhook_warnings(results, BARE, now=NOW)),
    ]


# --- Slack takes it --------------------------------------------------------------------------------


def test_every_message_is_one_that_slack_takes() -> None:
    assert_accepted(*messages([idle(), idle("b", owner=None), idle("c", hourly=None)]))


def test_the_messages_have_slacks_own_types(tmp_path: Any) -> None:
    assert compiled(tmp_path, *([*message.blocks] for message in messages([idle(), idle("b")]))) == ""


def test_twenty_long_ones_fit_into_the_messages_of_a_webhook_each_once() -> None:
    many = [idle("n" * 60 + str(k), owner="o" * 200, days=k) for k in range(20)]
    posts = list(webhook_warnings(many, BARE, now=NOW))
    assert_accepted(*(message for message, _ in posts))
    assert sorted(one.target.name for _, told in posts for one in told) == sorted(
        one.target.name for one in many
    )
    assert 1 < len(posts) < 6


@settings(max_examples=150)
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
@example(HOSTILE, HOSTILE, HOSTILE)
def test_words_of_others_call_nobody_and_are_always_taken(name: str, why: str, by: str) -> None:
    odd = replace(idle(name), owner=by or None)
    odd = replace(odd, verdict=finding(why, standing("1"), action=why))
    for message in messages([odd, odd], by, why):
        assert_accepted(message)
        assert set(mentions(message.text, list(message.blocks))) <= {"@U7"}
        assert "\\u001b" not in json.dumps([message.text, *message.blocks])


# --- what it says ----------------------------------------------------------------------------------


def test_the_head_says_when_how_many_what_and_how_much() -> None:
    assert warnings_headline([idle(), idle("b"), idle("c")], TERMS) == (
        "3 idle endpoints will be deleted after Fri 9 Oct 05:10 (Europe/Berlin) unless somebody keeps them: "
        "$504 a month"
    )
    later = replace(idle("b"), due=DUE + timedelta(days=1))
    assert warnings_headline(
        [idle(hourly=None), replace(later, verdict=idle(hourly=None).verdict)], TERMS
    ) == (
        "2 idle endpoints will be deleted, the first after Fri 9 Oct 05:10 (Europe/Berlin), unless "
        "somebody keeps them"
    )


def test_a_sum_says_what_it_leaves_out() -> None:
    said = warnings_head([idle(), idle("b", hourly=None)], TERMS).blocks[2]["text"]["text"]
    assert (
        said == "*Whose they are:* maria@x (2 for $168 a month). The sum leaves out 1 whose price is unknown."
    )


@cases(
    "verdict, says",
    (finding("idle", standing("1"), days=2), "since 2026-10-04 (2 days, about $48.00 so far), proven"),
    (finding("idle", standing(None), days=2), "since 2026-10-04 (2 days), proven"),
    (finding("idle", standing("1"), days=None), "since when is unknown, proven"),
    (finding("idle", accruing("2", 10), days=2), "since 2026-10-04 (2 days), proven"),
    (finding("idle", None, days=2), "since 2026-10-04 (2 days), proven"),
)
def test_what_it_has_cost_is_said_where_it_is_known(verdict: Any, says: str) -> None:
    assert says in warning_body(replace(idle(), verdict=verdict), TERMS, now=NOW)


def test_the_body_of_a_warning_says_what_whose_where_and_why() -> None:
    assert warning_body(idle(), TERMS, now=NOW, user="U7") == (
        "Idle endpoint `fraud`  *$168 a month*\n"
        "<@U7>, this one is yours, waste since 2026-08-26 (41 days, about $226 so far), proven. "
        "In account 123456789012, us-east-1.\n"
        "Nobody calls it.\n"
        "Action: delete the endpoint (its configuration and models stay). "
        "An undo does not bring back capacity, if AWS has none."
    )
    assert "bring back" not in warning_body(idle(), replace(TERMS, lost=""), now=NOW)
    own = replace(idle(), verdict=replace(finding("idle", standing("1")), lost="what it did so far"))
    assert warning_body(own, TERMS, now=NOW).endswith("An undo does not bring back what it did so far.")


def test_an_undo_that_only_a_person_may_do_is_said_in_the_warning() -> None:
    by_hand = replace(finding("idle", standing("1")), missing_for_undo="undo_roles")
    said = warning_body(replace(idle(), verdict=by_hand), TERMS, now=NOW).splitlines()

    assert len(said) == len(warning_body(idle(), TERMS, now=NOW).splitlines()) + 1
    assert said[-1] == (
        "Only a person can undo it, with credentials of their own "
        f"(`janitor undo {button_subject(idle()).finding}`), unless you set `undo_roles`."
    )


def test_a_warning_says_when_it_is_due_and_whether_it_waits_for_quiet() -> None:
    assert due_status(idle(), TERMS).text == (
        "*Will be deleted after Fri 9 Oct 05:10 (Europe/Berlin)* unless somebody keeps it."
    )
    assert "direct message (gone), so" in due_status(idle(), TERMS, because("gone")).text
    by_clock = replace(finding("idle", standing("1")), schedule=ActionSchedule(DUE, DUE, DUE))
    found = due_status(replace(idle(), verdict=by_clock), TERMS)
    assert (", once it is quiet,*" in found.text, found.buttons[0]) == (True, Button.TONIGHT)
    with pytest.raises(ValueError, match="when it is due"):
        due_status(replace(idle(), due=None), TERMS)


def test_the_head_of_one_warning_names_its_place_and_the_buttons() -> None:
    message = warnings_head([idle()], replace(TERMS, offers=frozenset({Button.KEEP, Button.NOW})))

    assert message.blocks[0]["text"]["text"] == (
        "1 idle endpoint will be deleted after Fri 9 Oct 05:10 (Europe/Berlin) unless somebody keeps it: "
        "$168 a month"
    )
    assert message.blocks[1]["text"]["text"] == (
        "In account 123456789012, us-east-1. Each is in the thread below with *Keep* and *Do it now*, "
        "and says there what became of it."
    )
    one = warnings_head([idle()], replace(TERMS, offers=frozenset({Button.KEEP}))).blocks[1]["text"]["text"]
    assert "Each is in the thread below, and" in one


def test_without_buttons_it_says_how_else_to_keep() -> None:
    said = warning_body(idle(), BARE, now=NOW)
    assert said.endswith(
        "To keep it: tag it `janitor:keep=true`, or run "
        "`janitor keep arn:aws:sagemaker:us-east-1:123456789012:thing/fraud --reason why`."
    )
    assert "To keep it: run `janitor keep arn" in warning_body(idle(), replace(BARE, keep_tag=""), now=NOW)


@cases("name", "fraud", "a; reboot", "$(reboot)", "it's", "a & b < c > d", "a`reboot`", "a\nb", "x" * 200)
def test_the_command_that_keeps_is_one_command_whatever_the_resource_is_called(name: str) -> None:
    """Who may put an object into a bucket chooses its key, and so what others paste into a shell."""
    (command,) = re.findall(r"run `([^`]*)`", warning_body(idle(name), BARE, now=NOW))

    ran = subprocess.run(
        ["/bin/bash", "-c", f"printf '%s\\0' {unescape(command)}"], check=True, capture_output=True, text=True
    )
    assert ran.stdout.split("\0") == ["janitor", "keep", idle(name).target.arn, "--reason", "why", ""]


def test_a_command_that_is_too_long_is_not_shown() -> None:
    assert "or run `janitor keep` with its ARN." in warning_body(idle("x" * 1000), BARE, now=NOW)


def test_buttons_are_those_of_where_it_stands_and_of_whom_a_press_finds() -> None:
    assert list(shown(VOICE.due(DUE))) == ["Keep", "Snooze 7 days", "Do it now"]
    assert list(shown(VOICE.due(DUE), replace(TERMS, offers=frozenset({Button.KEEP})))) == ["Keep"]
    assert list(shown(VOICE.due(DUE), BARE)) == []
    assert list(shown(VOICE.acted(action(), DUE))) == ["Undo"]
    assert list(shown(VOICE.acted(action(), None))) == []
    assert list(shown(replace(VOICE, undoable=False).acted(action(), DUE))) == []
    assert list(shown(VOICE.undone(action(undone=NOW, undone_by="d"), None))) == []


PRESSES = {Button.KEEP, Button.SNOOZE, Button.TONIGHT}
SIGNED = {"slack_secret": "bot", "slack_channel": "C0123456789", "slack_signing_secret": "signing"}
GROUPED = {**SIGNED, "slack_group": "S0123456789"}


@cases(
    "janitor, in_act, in_dry_run",
    ({}, set(), set()),
    (SIGNED, PRESSES, PRESSES),
    (GROUPED, PRESSES | {Button.NOW, Button.UNDO}, PRESSES | {Button.UNDO}),
)
def test_a_button_is_offered_where_its_press_finds_a_function(
    janitor: dict[str, Any], in_act: set[Button], in_dry_run: set[Button]
) -> None:
    """A dry run has nothing to do now, and what was done before it was disarmed can be undone."""
    armed = {"idle-endpoints": {"mode": "act", "act_in": ["123456789012"]}}
    found = warning_terms(Settings.parse({"janitor": janitor, "detectors": armed}), "keep")

    assert {name for name in found if found[name].keep_tag == "keep"} == {
        one.name for one in DETECTORS if one.cleanup is not None
    }
    assert found["idle-endpoints"].offers == in_act
    assert found["idle-notebooks"].offers == in_dry_run


def shown(status: Status, terms: WarningTerms = TERMS) -> dict[str, Any]:
    """The buttons of a message by what is on them, each with what it asks first."""
    message = warning_message(button_subject(idle()), "fraud", "body", status, terms)
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return {element["text"]["text"]: element.get("confirm") for row in rows for element in row}


AT_NOW, AT_DUE = (f"{at.astimezone(ZoneInfo(ZONE)):%a %-d %b %H:%M} ({ZONE})" for at in (NOW, DUE))
KEPT = Hold(key="k", how=HoldKind.KEPT, by="Dina (U1)", given=NOW)
AGAIN = "If it is still waste then, there will be a new warning."
FAILED = f"*Could not be deleted* when tried on {AT_NOW}: denied."
PUT_BACK = "Only if it is kept or used is it put back by itself."
ONLY_A_PERSON = (
    f"Only a person can undo it, with credentials of their own (`janitor undo {action().id}`), "
    "unless you set `act_in`."
)
LEFT = f"*Half done*, and since {AT_NOW} nobody goes on with it, because it is off: a person has to look."
HALF_DONE = action(ended=None, steps={"act: delete": "begun"})
BY_HAND = replace(VOICE, missing_for_undo=lambda _: "act_in")
BY_DINA = f"by Dina on {AT_NOW}."


@cases(
    "make, said, buttons",
    (lambda: VOICE.held(KEPT), f"*Kept for good* {BY_DINA}", ()),
    (lambda: VOICE.held(replace(KEPT, why="the fair")), f"*Kept for good* {BY_DINA} The fair.", ()),
    (lambda: VOICE.held(replace(KEPT, how=HoldKind.SNOOZED)), f"*Kept* {BY_DINA}", ()),
    (lambda: VOICE.held(replace(KEPT, until=DUE)), f"*Kept until {AT_DUE}* {BY_DINA} {AGAIN}", ()),
    (
        lambda: VOICE.held(replace(KEPT, how=HoldKind.SNOOZED, until=DUE)),
        f"*Snoozed until {AT_DUE}* {BY_DINA} {AGAIN}",
        (Button.KEEP,),
    ),
    (
        lambda: VOICE.waiting(DUE, "a limit"),
        f"*Due since {AT_DUE}, and waiting:* A limit.",
        (Button.KEEP, Button.SNOOZE),
    ),
    (
        lambda: BY_HAND.acted(action(), DUE),
        f"*Deleted on {AT_NOW}*, because nobody kept it. It can be undone until {AT_DUE}. {ONLY_A_PERSON}",
        (),
    ),
    (
        lambda: VOICE.failed("denied", NOW, action=HALF_DONE),
        f"{FAILED} It is half done; the next sweep goes on with it or puts it back.",
        (Button.KEEP, Button.UNDO),
    ),
    (
        lambda: VOICE.failed("denied", NOW, action=replace(HALF_DONE, attempts=3)),
        f"{FAILED} It is half done, and a person has to look. {PUT_BACK}",
        (Button.KEEP, Button.UNDO),
    ),
    (
        lambda: VOICE.failed("denied", NOW, action=action(ended=None, attempts=3)),
        f"{FAILED} Nothing was done to it, and a person has to look.",
        (Button.KEEP,),
    ),
    (
        lambda: VOICE.failed("denied", NOW),
        f"{FAILED} Nothing was done to it; the next sweep tries again.",
        (Button.KEEP,),
    ),
    (lambda: VOICE.left(HALF_DONE, "it is off", NOW), LEFT, (Button.UNDO,)),
    (lambda: BY_HAND.left(HALF_DONE, "it is off", NOW), LEFT, ()),
    (
        lambda: VOICE.going(replace(HALF_DONE, by="Dina (U1)", error=because("AWS is at it"))),
        f"*Half deleted* since {AT_NOW}, because Dina pressed Do it now. It goes on by itself: AWS is at it.",
        (),
    ),
)
def test_each_status_says_what_was_done_by_whom_and_what_comes_next(
    make: Callable[[], Status], said: str, buttons: tuple[Button, ...]
) -> None:
    """Of several times only the last has the name of the time zone."""
    status = make()
    zone = f" ({ZONE})"
    assert (status.text, status.buttons) == (said.replace(zone, "", max(0, said.count(zone) - 1)), buttons)
    assert bool(status.revert_effect) is (Button.UNDO in buttons)


def test_the_button_that_acts_looks_dangerous_and_the_one_that_keeps_looks_safe() -> None:
    message = warning_message(button_subject(idle()), "fraud", "body", VOICE.due(DUE), TERMS)
    (row,) = [block["elements"] for block in message.blocks if block["type"] == "actions"]

    assert {each["text"]["text"]: each.get("style") for each in row} == {
        "Keep": "primary",
        "Snooze 7 days": None,
        "Do it now": "danger",
    }


def test_do_it_now_undo_and_restart_ask_first_and_nothing_else_does() -> None:
    asked = {
        label
        for each in every_standing()
        for terms in (TERMS, replace(TERMS, wording=JOBS))
        for label, confirm in shown(each, terms).items()
        if confirm
    }
    assert asked == {"Do it now", "Undo", "Restart"}


def test_a_jobs_button_says_that_it_is_submitted_again_under_which_name_and_from_where() -> None:
    terms = replace(TERMS, wording=JOBS)
    stands = JOBS.acted(action(), DUE)
    confirm = shown(stands, terms)["Restart"]

    assert stands.text.endswith(
        "It can be restarted until Fri 9 Oct 05:10 (Europe/Berlin). Then fraud is submitted again as "
        "fraud-r0, with its checkpoints in `s3://b/c/`."
    )
    assert confirm["text"]["text"] == (
        "fraud is submitted again as fraud-r0, with its checkpoints in s3://b/c/."
    )
    assert (confirm["title"]["text"], confirm["confirm"]["text"]) == ("Restart?", "Restart")
    assert JOBS.undoing(action(), "Dina (U1)", NOW).text.endswith(
        "*Restart*, said Dina on Tue 6 Oct 05:00 (Europe/Berlin): it is being restarted."
    )
    done = action(undone_by="Dina (U1)", undone=NOW, became="fraud was submitted again as fraud-r0")
    assert JOBS.undone(done, DUE).text.endswith(
        "*Restarted on Tue 6 Oct 05:00 (Europe/Berlin)* for Dina: fraud was submitted again as fraud-r0. "
        "If it hangs again, there will be a new warning."
    )
    assert "A restart does not bring back" in warning_body(idle(), terms, now=NOW)


def test_what_does_not_come_back_has_no_button_and_says_so() -> None:
    ended = replace(JOBS, revert_effect=raising(CannotActError("a warm pool does not come back")))

    assert ended.acted(action(), DUE).text.endswith(
        "(Europe/Berlin)*, because nobody kept it. A warm pool does not come back."
    )
    terms = replace(TERMS, wording=ended)
    for stands in (ended.acted(action(), DUE), ended.undo_failed(action(), "no", NOW)):
        assert shown(stands, terms) == {}
    assert list(
        shown(ended.failed("no", NOW, action=action(ended=None, steps={"act: end": "begun"})), terms)
    ) == ["Keep"]


def test_a_headline_that_is_too_long_leaves_the_money_to_the_paragraph_below() -> None:
    jobs = [
        replace(one, verdict=replace(finding("hangs", accruing("58.75", 240)), noun=f"hung {kind} job"))
        for one in (idle("a"), idle("b"), idle("c"))
        for kind in ("training", "processing")
    ]
    message = warnings_head(
        jobs, replace(TERMS, wording=replace(JOBS, time_zone="America/Argentina/Catamarca"))
    )
    assert message.blocks[0]["text"]["text"].endswith("unless somebody keeps them")
    assert message.blocks[1]["text"]["text"].startswith("*$84,600 so far, $352 more every hour.* In account")


@cases(
    "effect, verb",
    (Effect.DELETE, "deleted"),
    (Effect.STOP, "stopped"),
    (Effect.TAG, "tagged"),
    (Effect.TIER, "given lifecycle rules"),
)
def test_it_says_what_acting_does(effect: Effect, verb: str) -> None:
    said = StatusWording(effect=effect, time_zone="UTC").due(DUE).text
    assert said == f"*Will be {verb} after Fri 9 Oct 03:10 (UTC)* unless somebody keeps it."


def test_a_name_is_shown_without_the_id_that_tells_namesakes_apart() -> None:
    assert person_text("Maria Lopez (U0MARIA)") == "Maria Lopez"
    assert person_text("Maria (finance)") == "Maria (finance)"
    assert person_text("<@U1> (U1)") == "&lt;@U1&gt;"


def test_times_are_those_of_the_channel_across_the_change_of_clocks() -> None:
    assert (
        format_local_time(datetime(2026, 10, 24, 22, tzinfo=UTC), ZONE) == "Sun 25 Oct 00:00 (Europe/Berlin)"
    )
    assert (
        format_local_time(datetime(2026, 10, 25, 4, tzinfo=UTC), ZONE) == "Sun 25 Oct 05:00 (Europe/Berlin)"
    )


# --- what a button carries -------------------------------------------------------------------------


def test_a_button_carries_the_finding_and_nothing_longer_than_slack_takes() -> None:
    subject = button_subject(idle())
    assert ButtonSubject.read(str(subject)) == subject
    assert len(str(replace(subject, detector="d" * 64))) < 200


@cases(
    "value",
    "",
    "idle-endpoints 123456789012 us-east-1",
    "idle-endpoints 123456789012 us-east-1 0123456789 more",
    "idle-endpoints 12345678901 us-east-1 0123456789",
    "Idle 123456789012 us-east-1 0123456789",
    "idle-endpoints 123456789012 us-east-1 012345678g",
    "idle-endpoints 123456789012 us-east-1 0123456789\n",
    "idle#endpoints 123456789012 us-east-1 0123456789",
    "idle-endpoints \u0661\u0662\u0663456789012 us-east-1 0123456789",
)
def test_what_no_button_of_ours_carries_is_not_read(value: str) -> None:
    with pytest.raises(ValueError, match="known here"):
        ButtonSubject.read(value)
