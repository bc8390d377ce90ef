"""A bill in words: each cause of a movement, and each reason why something is missing."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from bills import LAST, full_report, part
from ml_janitor.aws.runs import UNKNOWN_REGION
from ml_janitor.bill.model import (
    BillGap,
    BillReading,
    Charge,
    ComparisonKind,
    Culprit,
    DaySpan,
    GapCause,
    Movement,
    Mover,
    MoverCause,
    Phase,
    SpanComparison,
)
from ml_janitor.bill.report import BillReport
from ml_janitor.report.bill import (
    bill_headline,
    bill_scope,
    change_text,
    comparison_text,
    forecast_text,
    gap_sentences,
    lay_out_bill,
    movement_asides,
    mover_line,
    mover_rows,
    next_step,
    percent_text,
    savings_text,
    signed_usd,
    span_text,
)
from ml_janitor.report.blocks import FigureBlock, NoteBlock, Rank
from narrowing import not_none
from tables import cases

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
    return mover_line(made, moved(made))


HUNG = culprit(
    "llm-0924",
    "training-job",
    since=at("2026-09-25"),
    detector="hung-training-jobs",
    finding="f",
    usd_until_now=Decimal(15511),
)


def test_nobody_is_asked_to_end_what_the_janitor_ended() -> None:
    acted = replace(HUNG, acted=True, ended=at("2026-10-04"))
    assert said("9", MoverCause.FINDING, acted) == (
        "+$9.00 training job llm-0924, hung since 09-25, ended 10-04 by the janitor"
    )
    asked = [
        next_step(Mover(usd=Decimal(9), cause=MoverCause.FINDING, part=PART, culprit=who))
        for who in (HUNG, acted)
    ]
    assert asked == [
        "find its owner, or end it. For the evidence: janitor explain " + HUNG.arn,
        "none: the janitor has ended it.",
    ]


@cases(
    "who, end",
    (culprit(), "ended"),
    (culprit(ended=at("2026-09-05")), "ended 09-05"),
    (culprit(ended=at("2026-09-05"), acted=True), "ended 09-05 by the janitor"),
)
def test_what_ended_says_when_and_by_whom(who: Culprit, end: str) -> None:
    assert said("-647", MoverCause.ENDED, who) == f"-$647 endpoint rag, {end}"


@cases(
    "who, of",
    (None, "USE1-Host:ml.g5.xlarge"),
    (culprit("rag"), "endpoint rag"),
    (culprit("rag", members=3), "3 resources (the largest: endpoint rag)"),
)
def test_a_tag_that_moved_changes_no_total(who: Culprit | None, of: str) -> None:
    lost = replace(PART, tag="")
    text = said("500", MoverCause.TAG, who, part=lost, tag_before="fraud")
    assert text == f"$500 of {of} moved from project fraud to no project, which changes no total"


def test_the_rows_add_up_with_the_smaller_ones_together() -> None:
    movers = (
        Mover(usd=Decimal(800), cause=MoverCause.FINDING, part=PART, culprit=HUNG, owner="omar"),
        Mover(usd=Decimal(-300), cause=MoverCause.ENDED, part=PART, culprit=culprit("old")),
        Mover(usd=Decimal(120), cause=MoverCause.UNEXPLAINED, part=PART),
        Mover(usd=Decimal(-20), cause=MoverCause.CHANGED, part=PART, culprit=culprit("small")),
    )
    main = moved(*movers, ended_credits=Decimal(250))
    assert [(int(row.usd or 0), row.cells[0], row.cells[1]) for row in mover_rows(main, 2)] == [
        (800, "+$800", "training job llm-0924"),
        (-300, "-$300", "endpoint old"),
        (-20, "-$20.00", "1 other change"),
        (120, "+$120", "not explained"),
    ]
    (ended,) = movement_asides(main)
    assert ended.text == "Also, credits of $250 ended. No total here includes credits."


def test_what_is_no_change_says_so() -> None:
    assert change_text(moved()) == "$0.00 (0.0 %)"


def test_names_of_aws_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in said("5", MoverCause.CHANGED, culprit("\x1b[31mred", since=at("2026-09-10")))
    assert "\x1b" not in said("5", MoverCause.UNEXPLAINED, part=replace(PART, usage_type="\x1b[2J"))


def test_the_forecast_is_of_the_whole_month_with_its_interval() -> None:
    assert forecast_text(full_report()) == (
        "October will come to $75,414 ($70,414 to $81,914 in 80 % of cases), "
        "of which $9,414 is spent by 10-05"
    )


def test_an_unsettled_day_is_forecast_to_come_to_what_its_weekday_cost() -> None:
    report = full_report()
    read = replace(report.bill, charges=tuple(one for one in report.bill.charges if one.day < LAST.last))
    text = not_none(forecast_text(replace(report, bill=read, span=replace(LAST, days=LAST.days - 1))))
    assert text.startswith("October will come to $74,368 (")
    assert text.endswith("of which $7,531 is spent by 10-05")


# --- amounts, days and the whole --------------------------------------------------------------


@cases(
    "share, plain, signed",
    (None, "", ""),
    ("0", "0.0 %", "0.0 %"),
    ("0.0999", "10.0 %", "+10.0 %"),
    ("0.1", "10 %", "+10 %"),
    ("-0.1", "-10 %", "-10 %"),
    ("0.025", "2.5 %", "+2.5 %"),
    ("0.0004", "0.0 %", "0.0 %"),
    ("1.005", "101 %", "+101 %"),
    ("0.006", "0.6 %", "+0.6 %"),
)
def test_a_share_has_a_digit_below_a_tenth(share: str | None, plain: str, signed: str) -> None:
    value = None if share is None else Decimal(share)
    assert (percent_text(value), percent_text(value, sign=True)) == (plain, signed)


def test_a_change_has_its_sign_and_a_span_its_days() -> None:
    assert [signed_usd(Decimal(usd)) for usd in ("0.5", "0", "-5")] == ["+$0.50", "$0.00", "-$5.00"]
    assert [span_text(DaySpan(date(2026, 9, 6), days)) for days in (1, 2)] == [
        "2026-09-06",
        "2026-09-06 to 2026-09-07",
    ]


@cases(
    "accounts, seen, whose",
    (None, (), "account 123456789012"),
    ({"1": "one"}, ("1",), "account one (1) alone"),
    ({"1": "one"}, ("1", "2"), "2 accounts"),
    ({"1": "one"}, (), "the organization"),
)
def test_a_bill_says_whose_it_is(accounts: dict[str, str] | None, seen: tuple[str, ...], whose: str) -> None:
    rows = tuple(Charge(day=LAST.first, tag=account, usd=Decimal(1)) for account in seen)
    assert bill_scope(replace(full_report().bill, accounts=accounts, by_account=rows)) == whose


def test_the_headline_is_of_what_was_read() -> None:
    report = full_report()
    nothing = replace(report.bill, charges=(), gaps=())
    unread = [replace(nothing, gaps=(BillGap(reading=one, cause=GapCause.DENIED),)) for one in BillReading]
    assert report.main is not None
    day = replace(report.main.comparison, kind=ComparisonKind.DAY)
    month = replace(report.main.comparison, kind=ComparisonKind.MONTH_TO_DATE)
    one = replace(report.main.comparison, after=DaySpan(LAST.first, 1))

    def headline(comparison: SpanComparison) -> str:
        main = replace(report.main, comparison=comparison)  # type: ignore[type-var]
        return bill_headline(replace(report, main=main)).partition(" in ")[2]

    assert bill_headline(report) == "$29,988 in 30 days: +$23,000 (+40 %)."
    assert bill_headline(replace(report, main=None)) == ("$29,988 in 30 days; nothing to compare them with.")
    assert bill_headline(replace(report, bill=nothing)) == "AWS charged nothing."
    said = {bill_headline(replace(report, bill=bill)) for bill in unread[:2]}
    assert said == {"The bill could not be read."}
    assert {bill_headline(replace(report, bill=bill)) for bill in unread[2:]} == {"AWS charged nothing."}
    assert [headline(each).partition(":")[0] for each in (day, month, one)] == [
        "2026-09-06",
        "the month to date",
        "a day",
    ]


def test_the_days_that_are_compared_are_told_and_those_that_may_change() -> None:
    compared = "2026-09-06 to 2026-10-05, compared with 2026-08-07 to 2026-09-05"
    assert comparison_text(moved()) == compared
    report = replace(full_report(), span=DaySpan(LAST.first, 28))
    notes = [note.text for note in lay_out_bill(report, max_requests=8).blocks if isinstance(note, NoteBlock)]
    assert notes[2].startswith(f"{compared}; without 10-04, 10-05, which AWS may still change; as charged")


def test_each_figure_has_its_label() -> None:
    report = full_report()
    share = report.shares[0]
    tagged = replace(share, tag="team", untagged=Decimal(0), untagged_before=Decimal(0))
    fresh = replace(share, tag="owner", total_before=Decimal(0))
    gone = replace(share, tag="environment", untagged=Decimal(0))
    bare = replace(
        report,
        shares=(tagged, fresh, gone),
        saved={},
        saved_this_month=Decimal(0),
        budgets=(),
        bill=replace(report.bill, forecast=None, records=(), requests=1),
    )

    def figures(report: BillReport) -> dict[str, tuple[Rank, str]]:
        found = lay_out_bill(report, max_requests=8).blocks
        return {block.label: (block.rank, block.text) for block in found if isinstance(block, FigureBlock)}

    whole = figures(report)
    assert list(whole) == [
        *("Sunday 10-04", "October to 10-05", "Budget of October", "Budget of October, project llm"),
        *("Without project", "Forecast", "Saved so far", "Tax, not counted here", "Cost of this reading"),
    ]
    assert whole["Without project"] == (Rank.MESSAGE, "$8,455 (11 %, 7.6 % before)")
    assert whole["Forecast"] == (Rank.FULL, forecast_text(report))
    assert whole["Saved so far"] == (Rank.FULL, "$289 this month, $289 since 2026-10-03")
    assert whole["Tax, not counted here"] == (Rank.FULL, "$71.40")
    assert whole["Cost of this reading"] == (Rank.FULL, "8 requests to Cost Explorer, $0.08")
    few = figures(bare)
    assert few["Cost of this reading"][1] == "1 request to Cost Explorer, $0.01"
    assert {name: text for name, text in few.items() if name.startswith("Without")} == {
        "Without owner": (Rank.FULL, "$8,455 (11 %)"),
        "Without environment": (Rank.FULL, "$0.00 (0.0 %, 7.6 % before)"),
    }
    assert (
        savings_text(replace(bare, saved_this_month=Decimal(5))) == "$5.00 this month, $0.00 since 2026-09-06"
    )
    assert savings_text(replace(bare, saved={date(2026, 10, 3): Decimal(5)})) is not None


def test_what_is_not_explained_names_its_largest_lines() -> None:
    parts = [replace(PART, usage_type=f"Use{number}", tag="llm" if number else "") for number in range(4)]
    movers = [
        Mover(usd=Decimal(-90 + number), cause=MoverCause.UNEXPLAINED, part=part)
        for number, part in enumerate(parts)
    ]
    small = [Mover(usd=Decimal(3), cause=MoverCause.CHANGED, part=PART, culprit=culprit("s"))] * 2

    *_, smaller, rest = mover_rows(moved(*movers, *small), 0)
    (two,) = mover_rows(moved(*movers[:2]))

    assert rest.cells == ("-$354", "not explained", "-$90.00 Use0, -$89.00 Use1 (llm), 2 more", "")
    assert smaller.cells == ("+$6.00", "2 other changes", "", "")
    assert (rest.rank, smaller.rank) == (Rank.FIRST, Rank.FULL)
    assert [rest.usd, smaller.usd] == [-354, 6]
    assert two.cells[2] == "-$90.00 Use0, -$89.00 Use1 (llm)"


LINE = "+$5.00 USE1-Host:ml.g5.xlarge"
HOSTING = "+$5.00 hosting USE1-Host:ml.g5.xlarge"
OTHER = replace(PART, phase=Phase.OTHER, service="A & B", usage_type="p-1", tag="")
NEW_PRICE = replace(PART, usd_after=Decimal(5), price_effect=Decimal(5))
GB = replace(PART, unit="GB-Mo")
RAN_LONGER = {"units_before": Decimal(96), "units_after": Decimal(210)}


@cases(
    "cause, more, text",
    ("FINDING", {"culprit": HUNG, "owner": "omar.haddad@example.com"},
     "+$5.00 training job llm-0924, hung since 09-25 ($15,511 until now), omar.haddad"),
    ("FINDING", {"culprit": culprit(since=at("2025-12-24"), detector="idle-endpoints", finding="f")},
     "+$5.00 endpoint rag, idle since 2025-12-24"),
    ("CHANGED", {"culprit": culprit(since=at("2026-08-27"), used=True)},
     "+$5.00 endpoint rag, new since 08-27, in use"),
    ("CHANGED", {"culprit": culprit(since=at("2026-01-02")), **RAN_LONGER},
     "+$5.00 endpoint rag, 210 instance-hours, 96 before"),
    ("STARTED", {"culprit": culprit("vit", "training-job", members=9), "units_after": Decimal(648)},
     "+$5.00 9 training jobs vit, 648 instance-hours, none before"),
    ("PRICE", {"part": replace(PART, usd_after=Decimal(140), price_effect=Decimal(40))},
     "+$5.00 price of USE1-Host:ml.g5.xlarge, +40 % for the same use"),
    ("USAGE", {"owner": "omar@x"}, f"{HOSTING} of project support, omar"),
    (
        "USAGE",
        {"part": replace(PART, tag=None, unit="GB"), "units_after": Decimal(9)},
        f"{HOSTING}, 9 GB, none before",
    ),
    ("UNEXPLAINED", {"part": OTHER}, "+$5.00 A & B p-1 of no project, not explained"),
    ("UNEXPLAINED", {"part": replace(OTHER, service="", tag=None)}, "+$5.00 p-1, not explained"),
    ("PRICE", {}, "+$5.00 price of USE1-Host:ml.g5.xlarge, 0.0 % for the same use"),
    ("PRICE", {"part": NEW_PRICE}, "+$5.00 price of USE1-Host:ml.g5.xlarge, changed"),
    ("CHANGED", {}, LINE),
    (
        "CHANGED",
        {"culprit": culprit("app", "app", used=True), "units_after": Decimal(1024)},
        "+$5.00 Studio app app, 1,024 instance-hours, none before, in use",
    ),
    (
        "CHANGED",
        {"culprit": culprit("x"), "part": GB, "units_before": Decimal("0.6")},
        "+$5.00 endpoint x, 0 GB-Mo, 1 before",
    ),
    (
        "STARTED",
        {"culprit": culprit("j", "training-job", since=at("2026-08-08"))},
        "+$5.00 training job j, ran first 08-08",
    ),
    (
        "STARTED",
        {"culprit": culprit("j", since=at("2026-08-07"))},
        "+$5.00 endpoint j",
    ),
)  # fmt: skip
def test_each_cause_has_its_words(cause: str, more: dict[str, Any], text: str) -> None:
    made = Mover(usd=Decimal(5), cause=MoverCause[cause], **{"part": PART, **more})
    assert mover_line(made, moved(made)) == text


def test_of_several_accounts_a_resource_says_its_own() -> None:
    who = replace(culprit("rag"), arn="arn:aws:sagemaker:us-east-1:111111111111:endpoint/rag")
    made = Mover(usd=Decimal(5), cause=MoverCause.ENDED, part=PART, culprit=who)
    rest = Mover(usd=Decimal(5), cause=MoverCause.USAGE, part=replace(PART, tag="others"))
    by_account = moved(made, rest, tag="account")

    assert mover_line(made, by_account) == "+$5.00 endpoint rag in account 111111111111, ended"
    assert mover_line(rest, by_account) == "+$5.00 hosting USE1-Host:ml.g5.xlarge of other accounts"
    assert mover_line(rest, moved(rest)).endswith("of project others")


# --- what is missing --------------------------------------------------------------------------


@cases(
    "reading, cause, given, text",
    (
        "SERVICES", "DENIED", {"detail": "GetCostAndUsage: no"},
        "The bill could not be read: the credentials lack ce:GetCostAndUsage (GetCostAndUsage: no).",
    ),
    (
        "FORECAST", "YOUNG_ACCOUNT", {},
        "No forecast: AWS has too little history of this account to make one.",
    ),
    (
        "TAG", "THROTTLED", {"subject": "T"},
        "The bill by T could not be read: AWS is asked too often at the moment. Try again in a minute.",
    ),
    (
        "SERVICES", "SHORT_HISTORY", {"subject": "2026-09-27"},
        "The account was first charged on 2026-09-27: there is nothing before that.",
    ),
    (
        "RESOURCES", "FAILED", {"subject": "eu-west-1", "detail": "Search: 403"},
        "What ran in eu-west-1 is not all known, so less is explained: Search: 403.",
    ),
    (
        "RECORD_TYPES", "FAILED", {"detail": "GetCostAndUsage: 500"},
        "Credits, refunds and taxes could not be read: GetCostAndUsage: 500.",
    ),
)  # fmt: skip
def test_a_gap_is_a_sentence(reading: str, cause: str, given: dict[str, Any], text: str) -> None:
    gap = BillGap(reading=BillReading[reading], cause=GapCause[cause], **given)
    assert list(gap_sentences([gap, gap], 8)) == [text]


@cases(
    "reading, cause, subject, detail, text",
    ("ACTIVE_TAGS", "NO_SUCH_TAG", "team", "", "Nothing has ever had the tag team of [bill]."),
    (
        "ACTIVE_TAGS", "NO_SUCH_TAG", "team", "teams",
        "Nothing has ever had the tag team of [bill]; the nearest that something has is teams.",
    ),
    (
        "ACTIVE_TAGS", "TAG_NOT_ACTIVE", "team", "",
        "No charge has the tag team: it is not activated for cost allocation.",
    ),
    (
        "TAG", "TAG_NOT_ACTIVE", "team", "",
        "No charge has the tag team: nothing is tagged with it, or it is not activated",
    ),
    ("ACCOUNTS", "NOT_CHARGED", "a (1)", "", "No charge is seen of a (1):"),
    (
        "ACCOUNTS", "MEMBER_ACCOUNT", "a (1)", "9",
        "This is not the whole bill: Cost Explorer shows account 9 no charge of a (1).",
    ),
    (
        "RESOURCES", "NOT_LOOKED_AT", UNKNOWN_REGION, "",
        "Part of the change ($0.00) is in a region that this version does not know. Upgrade the janitor.",
    ),
    (
        "RESOURCES", "NOT_LOOKED_AT", "1/eu", "account",
        "Nothing was looked at in 1/eu, where $0.00 of the change is.",
    ),
)  # fmt: skip
def test_a_gap_says_why(reading: str, cause: str, subject: str, detail: str, text: str) -> None:
    made = BillGap(reading=BillReading[reading], cause=GapCause[cause], subject=subject, detail=detail)

    (said_of_it,) = gap_sentences([made], 8)
    assert said_of_it.startswith(text)


def test_what_did_not_fit_is_one_sentence() -> None:
    gaps = [
        BillGap(reading=BillReading.TAG, cause=GapCause.OVER_LIMIT, subject="team"),
        BillGap(reading=BillReading.FORECAST, cause=GapCause.OVER_LIMIT),
    ]
    (text,) = gap_sentences(gaps, 1)
    assert text.startswith(
        "Skipped to stay within 1 request: the bill by team, the forecast. Raise max_requests"
    )


def test_a_tag_that_is_not_active_comes_with_the_command_and_what_it_does_not_do() -> None:
    (text,) = gap_sentences(
        [BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="team")], 8
    )
    assert "update-cost-allocation-tags-status" in text
    assert "-tags-status TagKey=team,Status=Active" in text
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
