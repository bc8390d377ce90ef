"""A bill in words: each cause of a movement, and each reason why something is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from bills import full_report, movement, part
from ml_janitor.bill.model import BillGap, BillReading, DaySpan, GapCause
from ml_janitor.bill.movements import (
    ComparisonKind,
    Culprit,
    Movement,
    Mover,
    MoverCause,
    SpanComparison,
    break_down,
)
from ml_janitor.bill.phases import Phase
from ml_janitor.bill.report import TagShare
from ml_janitor.report import bill as words
from ml_janitor.report.bill_gaps import gap_sentences

COMPARED = SpanComparison(
    kind=ComparisonKind.DAYS, before=DaySpan(date(2026, 8, 7), 30), after=DaySpan(date(2026, 9, 6), 30)
)
PART = part("USE1-Host:ml.g5.xlarge", "support", Phase.HOSTING, "100", "300", unit="Hrs")


def culprit(name: str = "rag", kind: str = "endpoint", **more: object) -> Culprit:
    return replace(Culprit(arn=f"arn:{name}", name=name, kind=kind), **more)  # type: ignore[arg-type]


def moved(*movers: Mover, **more: object) -> Movement:
    change = sum((one.usd for one in movers if one.cause is not MoverCause.TAG), Decimal(0))
    made = Movement(
        comparison=COMPARED, usd_before=Decimal(1000), usd_after=1000 + change, tag="project", movers=movers
    )
    return replace(made, **more)  # type: ignore[arg-type]


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def said(usd: str, cause: MoverCause, who: Culprit | None = None, **more: object) -> str:
    made = replace(Mover(usd=Decimal(usd), cause=cause, part=PART, culprit=who), **more)  # type: ignore[arg-type]
    return words.mover_line(made, moved(made))


HUNG = culprit(
    "llm-0924",
    "training-job",
    since=at("2026-09-25"),
    detector="hung-training-jobs",
    finding="f",
    usd_until_now=Decimal(15511),
)


def test_a_finding_says_since_when_it_is_waste_what_it_cost_and_whose_it_is() -> None:
    assert said("15334", MoverCause.FINDING, HUNG, owner="omar.haddad@example.com") == (
        "+$15,334 training job llm-0924, hung since 09-25 ($15,511 until now), omar.haddad"
    )


def test_other_findings_are_idle() -> None:
    idle = culprit(since=at("2025-12-24"), detector="idle-endpoints", finding="f")
    assert said("56", MoverCause.FINDING, idle) == "+$56.00 endpoint rag, idle since 2025-12-24"


def test_what_was_made_in_the_span_before_is_new_and_not_longer() -> None:
    new = culprit("support-assistant-rag", since=at("2026-08-27"), used=True)
    text = said("3545", MoverCause.CHANGED, new, units_before=Decimal(240), units_after=Decimal(720))
    assert text == "+$3,545 endpoint support-assistant-rag, new since 08-27, in use"


def test_what_was_there_before_says_how_much_longer_it_ran() -> None:
    old = culprit("study", "notebook-instance", since=at("2026-01-02"))
    text = said("210", MoverCause.CHANGED, old, units_before=Decimal(96), units_after=Decimal(210))
    assert text == "+$210 notebook instance study, 210 instance-hours, 96 before"


def test_jobs_of_a_family_are_counted() -> None:
    jobs = culprit("catalog-vit", "training-job", members=9)
    text = said("4538", MoverCause.STARTED, jobs, units_after=Decimal(648))
    assert text == "+$4,538 9 training jobs catalog-vit, 648 instance-hours, none before"


@pytest.mark.parametrize(
    ("who", "end"),
    [
        (culprit(), "ended"),
        (culprit(ended=at("2026-09-05")), "ended 09-05"),
        (culprit(ended=at("2026-09-05"), acted=True), "ended 09-05 by the janitor"),
    ],
)
def test_what_ended_says_when_and_by_whom(who: Culprit, end: str) -> None:
    assert said("-647", MoverCause.ENDED, who) == f"-$647 endpoint rag, {end}"


def test_a_price_says_by_how_much_it_rose() -> None:
    dearer = replace(PART, usd_before=Decimal(100), usd_after=Decimal(140), price_effect=Decimal(40))
    text = said("40", MoverCause.PRICE, part=dearer)
    assert text == "+$40.00 price of USE1-Host:ml.g5.xlarge, +40 % for the same use"


def test_a_tag_that_moved_changes_no_total() -> None:
    lost = replace(PART, tag="")
    text = said("500", MoverCause.TAG, part=lost, tag_before="fraud")
    assert text == (
        "$500 of USE1-Host:ml.g5.xlarge moved from project fraud to no project, which changes no total"
    )


def test_the_rows_add_up_with_the_smaller_ones_together() -> None:
    movers = (
        Mover(usd=Decimal(800), cause=MoverCause.FINDING, part=PART, culprit=HUNG, owner="omar"),
        Mover(usd=Decimal(-300), cause=MoverCause.ENDED, part=PART, culprit=culprit("old")),
        Mover(usd=Decimal(120), cause=MoverCause.UNEXPLAINED, part=PART),
        Mover(usd=Decimal(-20), cause=MoverCause.CHANGED, part=PART, culprit=culprit("small")),
    )
    main = moved(*movers, ended_credits=Decimal(250))
    assert [(int(row.usd), row.what) for row in words.mover_rows(main, 2)] == [
        (800, "training job llm-0924"),
        (-300, "endpoint old"),
        (-20, "1 smaller change"),
        (120, "not explained"),
    ]
    assert list(words.movement_asides(main, break_down(main, 2))) == [
        "Besides, credits of $250 ended: they are in no total here."
    ]


def test_what_is_no_change_says_so() -> None:
    assert words.change_text(moved()) == "$0.00 (0.0 %)"


def test_names_of_aws_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in said("5", MoverCause.CHANGED, culprit("\x1b[31mred", since=at("2026-09-10")))
    assert "\x1b" not in said("5", MoverCause.UNEXPLAINED, part=replace(PART, usage_type="\x1b[2J"))


def test_nothing_untagged_is_no_line() -> None:
    all_tagged = TagShare(tag="team", untagged=Decimal(0), total=Decimal(100))
    some = TagShare(
        tag="owner",
        untagged=Decimal(5),
        total=Decimal(100),
        untagged_before=Decimal(8),
        total_before=Decimal(100),
    )
    assert list(words.untagged_shares([all_tagged, some])) == ["no owner: $5.00 (5.0 %, 8.0 % before)"]


def test_the_forecast_is_of_the_whole_month_with_its_interval() -> None:
    assert words.forecast_text(full_report()) == (
        "October will come to $75,414 ($70,414 to $81,914 in 80 % of cases), of which $9,414 is spent"
    )


def test_a_made_up_movement_is_said_in_full() -> None:
    main = movement()
    rows = list(words.mover_rows(main))
    assert sum(row.usd for row in rows) == sum(
        one.usd for one in main.movers if one.cause is not MoverCause.TAG
    )


# --- what is missing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (
            BillGap(reading=BillReading.SERVICES, cause=GapCause.DENIED, detail="GetCostAndUsage: no"),
            "The bill could not be read: the credentials lack ce:GetCostAndUsage (GetCostAndUsage: no).",
        ),
        (
            BillGap(reading=BillReading.FORECAST, cause=GapCause.YOUNG_ACCOUNT),
            "No forecast: AWS has too little history of this account to make one.",
        ),
        (
            BillGap(reading=BillReading.TAG, cause=GapCause.THROTTLED, subject="T"),
            "The bill by T could not be read: AWS is asked too often at the moment. Try again in a minute.",
        ),
        (
            BillGap(reading=BillReading.SERVICES, cause=GapCause.SHORT_HISTORY, subject="2026-09-27"),
            "The account was first charged on 2026-09-27: there is nothing before that.",
        ),
        (
            BillGap(
                reading=BillReading.RESOURCES,
                cause=GapCause.FAILED,
                subject="eu-west-1",
                detail="Search: 403",
            ),
            "What ran in eu-west-1 is not all known, so less is explained: Search: 403.",
        ),
        (
            BillGap(reading=BillReading.RECORD_TYPES, cause=GapCause.FAILED, detail="GetCostAndUsage: 500"),
            "Credits, refunds and taxes could not be read: GetCostAndUsage: 500.",
        ),
    ],
)
def test_a_gap_is_a_sentence(gap: BillGap, text: str) -> None:
    assert list(gap_sentences([gap, gap], 8)) == [text]


def test_what_did_not_fit_is_one_sentence() -> None:
    gaps = [
        BillGap(reading=BillReading.TAG, cause=GapCause.OVER_LIMIT, subject="team"),
        BillGap(reading=BillReading.FORECAST, cause=GapCause.OVER_LIMIT),
    ]
    (text,) = gap_sentences(gaps, 1)
    assert text.startswith("Did not fit into 1 request: the bill by team, the forecast. Raise max_requests")


def test_a_tag_that_is_not_active_comes_with_the_command_and_what_it_does_not_do() -> None:
    (text,) = gap_sentences(
        [BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="team")], 8
    )
    assert "update-cost-allocation-tags-status" in text
    assert "'TagKey=team,Status=Active'" in text
    assert "not retroactive" in text


def test_a_member_account_learns_where_to_ask() -> None:
    (text,) = gap_sentences([BillGap(reading=BillReading.SERVICES, cause=GapCause.MEMBER_ACCOUNT)], 8)
    assert "member account" in text
    assert "management account" in text


@pytest.mark.parametrize("cause", GapCause)
@pytest.mark.parametrize("reading", BillReading)
def test_there_is_a_sentence_for_everything(reading: BillReading, cause: GapCause) -> None:
    for text in gap_sentences([BillGap(reading=reading, cause=cause, subject="x", detail="y")], 8):
        assert text.endswith(".")
        assert text[0].isupper()
