"""What keeps a resource although it looks like waste."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fakes import target_at
from ml_janitor.core.model import NotRead, Target, Unreadable
from ml_janitor.core.ownership import Exemptions
from tables import cases

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:notebook-instance/churn"


def target(tags: Any = None, arn: str = ARN) -> Target:
    return target_at(arn.partition("123456789012:")[2], NOW, tags)


@cases(
    "key, value, kept",
    ("keep", "true", True),
    ("keep", "True", True),
    ("keep", "TRUE", True),
    ("keep", "tRuE", True),
    ("keep", "  true\t", True),
    ("janitor:keep", "true", True),
    ("janitor:keep", "TRUE ", True),
    ("Keep", "true", True),
    (" keep", "true", True),
    ("Janitor:Keep", "True", True),
    ("keep", "false", False),
    ("keep", "False ", False),
    ("keep", "no", False),
    ("keep", "0", False),
    ("Keep", "OFF", False),
    ("keep", "", True),
    ("keep", " ", True),
    ("keep", "yes", True),
    ("keep", "1", True),
    ("keep", "True - Q4 demo", True),
    ("keep", "until the fair", True),
    ("janitor-keep", "yes", True),
    ("janitor_keep", "true", True),
    ("Janitor Keep", "true", True),
    ("JanitorKeep", "true", True),
    ("keep-me", "true", False),
    ("upkeep", "true", False),
    ("owner", "true", False),
)
def test_a_keep_tag_keeps_unless_it_says_no(*, key: str, value: str, kept: bool) -> None:
    reason = Exemptions().reason(target({key: value}), NOW)
    assert reason == (f"tagged {key}={value}" if kept else None)


def test_every_spelling_of_a_key_counts() -> None:
    assert Exemptions().reason(target({"keep": "false", "Keep": "true"}), NOW) == "tagged Keep=true"


def test_the_operator_names_the_keep_tags() -> None:
    exemptions = Exemptions(keep_tags=("Do-Not-Touch",))
    assert exemptions.reason(target({"do-not-touch": "true"}), NOW) == "tagged do-not-touch=true"
    assert exemptions.reason(target({"keep": "true"}), NOW) is None


@cases(
    "value, reason",
    ("2026-10-07", "tagged janitor:keep-until=2026-10-07"),
    ("2026-10-06", "tagged janitor:keep-until=2026-10-06"),
    (" 2026-10-06 ", "tagged janitor:keep-until= 2026-10-06 "),
    ("2026-10-05", None),
    ("0001-01-01", None),
    ("9999-12-31", "tagged janitor:keep-until=9999-12-31"),
    *(
        (value, f"tagged janitor:keep-until={value}, which is not a date (YYYY-MM-DD), so it is kept")
        for value in ("", " ", "soon", "2026-13-01", "2026-02-30", "06.10.2025", "2025-10-05T12:00:00Z")
    ),
)
def test_keep_until_keeps_through_its_day_and_for_good_if_it_is_none(value: str, reason: str | None) -> None:
    assert Exemptions().reason(target({"janitor:keep-until": value}), NOW) == reason


@pytest.mark.parametrize("key", ["Janitor:Keep-Until", "janitor-keep-until", "janitor_keep_until"])
def test_every_spelling_of_keep_until_counts(key: str) -> None:
    assert Exemptions().reason(target({key: "2026-10-06"}), NOW) == f"tagged {key}=2026-10-06"
    assert Exemptions().reason(target({key: "2026-10-05"}), NOW) is None


def test_a_day_that_is_over_does_not_undo_a_keep_tag() -> None:
    tags = {"janitor:keep-until": "2020-01-01", "keep": "true"}
    assert Exemptions().reason(target(tags), NOW) == "tagged keep=true"


@cases(
    "now, kept",
    (datetime(2026, 10, 6, 6, 59, 59, tzinfo=UTC), True),  # still 23:59:59 of the 5th
    (datetime(2026, 10, 6, 7, 0, 0, tzinfo=UTC), False),
)
def test_a_day_ends_in_the_time_zone(*, now: datetime, kept: bool) -> None:
    exemptions = Exemptions(time_zone="America/Los_Angeles")
    reason = exemptions.reason(target({"janitor:keep-until": "2026-10-05"}), now)
    assert (reason is not None) is kept


@cases(
    "glob, arn, ignored",
    ("*", ARN, True),
    (ARN, ARN, True),
    ("*:notebook-instance/*", ARN, True),
    ("*:notebook-instance/ch?rn", ARN, True),
    ("*/Churn", ARN, True),
    (" */churn ", ARN, True),
    ("*/churn", ARN.replace("churn", "CHURN"), True),
    ("*:endpoint/*", ARN, False),
    ("notebook-instance/churn", ARN, False),
    ("*/chur", ARN, False),
    ("", ARN, False),
)
def test_globs_match_whole_arns(*, glob: str, arn: str, ignored: bool) -> None:
    reason = Exemptions(ignore=("*:domain/*", glob)).reason(target(arn=arn), NOW)
    assert reason == (f"ignored by the operator ({glob})" if ignored else None)


@cases(
    "tags, reason",
    ({}, None),
    ({"keep": "false"}, None),
    (Unreadable("ListTags: AccessDenied"), "could not be read, so a keep tag may be there (ListTags: Acc"),
    (NotRead(), "its tags were not read, so a keep tag may be there"),
)
def test_tags_that_were_not_read_exempt_nothing_but_are_said(tags: Any, reason: str | None) -> None:
    candidate = target(tags)
    assert Exemptions().reason(candidate, NOW) is None
    said = Exemptions().unreadable(candidate)
    assert said is None if reason is None else reason in (said or "")


def test_the_ignore_list_counts_even_when_tags_cannot_be_read() -> None:
    exemptions = Exemptions(ignore=("*/churn",))
    assert exemptions.reason(target(Unreadable("denied")), NOW) == "ignored by the operator (*/churn)"
