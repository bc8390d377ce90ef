"""The words of the domain: what each effect and change means, and what identifies a resource."""

from dataclasses import replace
from datetime import UTC, datetime

from fakes import USED, target_at
from ml_janitor.core.model import Change, Effect, Evidence, Unreadable, Value, finding_id
from ml_janitor.core.ownership import protection_evidence
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result

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
