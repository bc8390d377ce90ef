"""What the bill says in Slack each morning, within Slack's limits."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bills import BEFORE, HOST, LAST, bill, charges, full_report
from ml_janitor.bill.model import (
    Bill,
    BillGap,
    BillReading,
    Charge,
    DaySpan,
    GapCause,
    Movement,
    Mover,
    MoverCause,
)
from ml_janitor.bill.reading import BillQuestion
from ml_janitor.bill.report import BillReport, BudgetState, make_bill_report
from ml_janitor.report.bill import lay_out_bill
from ml_janitor.report.bill_message import bill_picture, bill_post, daily_costs, make_bill_message
from ml_janitor.report.blocks import FigureBlock, HeadingBlock, NoteBlock, Rank, TableBlock
from ml_janitor.report.mrkdwn import LONGEST_SECTION, fits_message
from narrowing import not_none
from tables import cases

HUNG = "training job llm-pretrain-7b-0924, hung since 09-25 ($15,511 until now), omar.haddad"
HUNG_ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/llm-pretrain-7b-0924"


def said(report: BillReport, table_by: str = "") -> str:
    return "\n".join(make_bill_message(report, table_by=table_by, max_requests=8).paragraphs)


def blocks(report: BillReport, by: str = "project") -> dict[str, Any]:
    """Its blocks: figures by label, tables by title, headings by title."""
    found = lay_out_bill(report, by=by, max_requests=8).blocks
    return {
        block.label
        if isinstance(block, FigureBlock)
        else block.columns[0]
        if isinstance(block, TableBlock)
        else block.title: block
        for block in found
        if not isinstance(block, NoteBlock)
    }


def figures(report: BillReport) -> dict[str, str]:
    return {name: block.text for name, block in blocks(report).items() if isinstance(block, FigureBlock)}


def cells(report: BillReport, title: str, by: str = "project") -> list[tuple[str, ...]]:
    return [row.cells for row in blocks(report, by)[title].rows]


def lead(report: BillReport) -> list[str]:
    found = lay_out_bill(report, max_requests=8).blocks
    return [block.text for block in found if isinstance(block, NoteBlock) and block.rank is Rank.FIRST]


def test_the_message_says_who_what_how_much_since_when_and_what_to_do() -> None:
    message = make_bill_message(full_report(), table_by="project", max_requests=8)

    assert message.text == "Bill of account 123456789012: $29,988 in 30 days: +$23,000 (+40 %)."
    first, why, table, missing = message.paragraphs
    assert first.splitlines() == [
        "*Bill of account 123456789012:* $29,988 in 30 days: +$23,000 (+40 %).",
        f"Largest cause: +$15,334 {HUNG}.",
        f"Next step: ask omar.haddad to end it. For the evidence: `janitor explain {HUNG_ARN}`",
        "*Sunday 10-04:* $3,000, +$1,100 (+58 %) against 09-27",
        "*October to 10-05:* $9,414, +$4,500 (+47 %) against 09-01 to 09-05",
        "*Budget of October:* $14,000 of $65,000 spent (22 %); $80,000 expected, $15,000 over",
        "*Budget of October, project llm:* $7,900 of $20,000 spent (40 %); $47,400 expected, $27,400 over",
        "*Without project:* $8,455 (11 %, 7.6 % before)",
    ]
    assert why.splitlines() == [
        "*Why it moved in 30 days:* $57,000 to $80,000, +$23,000 (+40 %)",
        f"\u2022 +$15,334: {HUNG}",
        "\u2022 +$3,545: endpoint support-assistant-rag, new since 08-27, support",
        "\u2022 +$2,921: price of USE1-Notebk:ml.g5.xlarge, 0.0 % for the same use",
    ]
    assert table.splitlines() == [
        "*By project, 30 days:*",
        "\u2022 llm: before $0.00, now $15,339, change +$15,339 (new)",
        "\u2022 vision: before $6,100, now $6,100",
        "\u2022 no project: before $4,351, now $4,351",
        "\u2022 support: before $655, now $4,199, change +$3,544 (+541 %)",
        "\u2022 together: before $11,105, now $29,988, change +$18,883 (+170 %)",
    ]
    assert missing.startswith("*Missing data:*\nSkipped to stay within 8 requests: the bill by team. Raise")
    assert "No charge has the tag cost-center" in missing
    assert "*By project" not in said(full_report())


def test_the_lead_names_the_cause_that_goes_with_the_change_and_what_to_do() -> None:
    report = full_report()
    main = not_none(report.main)
    hung, new, price, unknown, *_ = main.movers
    fell = replace(new, usd=Decimal(-20_000), cause=MoverCause.ENDED)

    def told(*movers: Mover, **more: Any) -> list[str]:
        return lead(replace(report, main=replace(main, movers=movers, **more), month=None, yesterday=None))

    quoted = replace(hung, owner=None, culprit=replace(not_none(hung.culprit), arn="arn:a b"))
    assert told(quoted)[1] == (
        "Next step: find its owner, or end it. For the evidence: janitor explain 'arn:a b'"
    )
    assert told(fell, hung)[0].startswith("Largest cause: +$15,334")
    assert told(fell, hung, usd_after=Decimal(0)) == [
        "Largest cause: -$20,000 endpoint support-assistant-rag, ended, support."
    ]
    steps = [told(mover)[1] for mover in (new, replace(new, owner=None), price, unknown)]
    assert steps == [
        "Next step: ask support whether it is needed.",
        "Next step: find its owner, and tag it with that.",
        "Next step: check whether a commitment, a free tier or a discount ended.",
        "Next step: open Cost Explorer for this usage type. No known resource accounts for it.",
    ]
    use = replace(unknown, cause=MoverCause.USAGE, owner="ann@acme")
    assert told(use)[1] == "Next step: ask ann what uses more of it."
    assert told(replace(use, owner=None))[1].startswith("Next step: open Cost Explorer for this usage type.")
    assert told() == ["Nothing moved more than usual."]
    assert lead(replace(report, main=None, month=None, yesterday=None)) == [
        "Largest: training $15,339, storage $6,100, notebooks $4,351."
    ]
    quiet = replace(main, movers=())
    assert lead(replace(report, main=None, month=quiet, yesterday=None))[0] == (
        "Nothing moved more than usual this month."
    )
    later = replace(report, main=replace(main, movers=()), month=replace(main, movers=(new,)))
    assert lead(later)[0].startswith("Largest cause this month: +$3,545")


def test_other_movements_have_the_news_that_is_not_named_before() -> None:
    report = full_report()
    main = not_none(report.main)
    hung, new, price, *_ = main.movers
    month = replace(main, movers=(hung, new))
    day = replace(report.yesterday or main, movers=(new, hung, price))

    def rows(**movements: Movement | None) -> dict[str, list[str]]:
        found = blocks(replace(report, **movements))  # type: ignore[arg-type]
        return {
            title: [row.cells[0] for row in block.blocks[0].rows]
            for title, block in found.items()
            if isinstance(block, HeadingBlock) and isinstance(block.blocks[0], TableBlock)
        }

    first = rows(main=replace(main, movers=(hung,)), month=month, yesterday=day)
    assert first == {
        "Why it moved in 30 days": ["+$15,334"],
        "Also this month": ["+$3,545"],
        "Also on Sunday 10-04": ["+$2,921"],
    }
    assert rows(main=None, month=month, yesterday=day) == {
        "Why it moved this month": ["+$15,334", "+$3,545"],
        "Also on Sunday 10-04": ["+$2,921"],
    }
    assert list(rows(month=replace(main, movers=(hung,)))) == ["Why it moved in 30 days"]


@cases(
    "spent, expected, text",
    ("12000", "79000", "$12,000 of $80,000 spent (15 %); $79,000 expected"),
    ("12000", "83000", "$12,000 of $80,000 spent (15 %); $83,000 expected, $3,000 over"),
    ("81000", None, "$81,000 of $80,000 spent (101 %): $1,000 over; AWS has no forecast"),
    ("80000", "80000", "$80,000 of $80,000 spent (100 %); $80,000 expected"),
    ("80000", "80001", "$80,000 of $80,000 spent (100 %); $80,001 expected, $1.00 over"),
    ("80001", "80002", "$80,001 of $80,000 spent (100 %): $1.00 over; $80,002 expected"),
)
def test_a_budget_says_spent_and_expected_dollars(spent: str, expected: str | None, text: str) -> None:
    state = BudgetState(
        usd=Decimal(80_000), spent=Decimal(spent), expected=None if expected is None else Decimal(expected)
    )

    assert figures(replace(full_report(), budgets=(state,)))["Budget of October"] == text


def test_days_are_compared_in_words() -> None:
    """All of March would be $310; February had 28 days. Less than a cent is no change."""
    days = [date(2026, 2, 1) + timedelta(days=number) for number in range(59)]
    rows = charges(HOST, days, price="1", quantity="10", tag="llm")
    read = bill(rows, first=date(2026, 2, 1), until=date(2026, 4, 1))
    asked = BillQuestion(days=7, settling_days=1, tags=("project",))
    more = [replace(row, usd=row.usd * (2 if row.day >= date(2026, 3, 1) else 1)) for row in rows]
    dearer = bill(more, first=read.first, until=read.until)

    def march(read: Bill, until: date) -> str:
        at = datetime(until.year, until.month, until.day, 3, tzinfo=UTC)
        found = figures(make_bill_report(replace(read, until=until, time=at), asked))
        return found["March" if until.day == 1 else f"March to {until - timedelta(days=1):%m-%d}"]

    assert march(read, date(2026, 4, 1)) == "$310 (03-01 to 03-28: as on 02-01 to 02-28)"
    assert march(read, date(2026, 3, 29)) == "$280, as on 02-01 to 02-28"
    assert march(dearer, date(2026, 4, 1)) == ("$620 (03-01 to 03-28: +$280 (+100 %) against 02-01 to 02-28)")
    report = full_report()
    day = not_none(report.yesterday)
    same = replace(day, usd_after=day.usd_before + Decimal("0.004"))
    assert figures(replace(report, yesterday=same))["Sunday 10-04"] == "$1,900, as on 09-27"
    first = replace(report, bill=replace(report.bill, until=date(2026, 10, 1)), month=None)
    assert "Budget of September" in figures(first)
    settled = replace(first, span=DaySpan(LAST.first, 25))
    assert "September" in figures(settled)


def test_a_table_has_fifteen_lines_the_others_and_all_together() -> None:
    rows = tuple(
        Charge(day=span.first, tag=f"p{number:02}", usage_type="x", usd=Decimal(usd))
        for number in range(17)
        for span, usd in ((BEFORE, 20 - number), (LAST, "20.004" if number == 0 else 20 - number))
    )
    report = full_report()
    report = replace(report, bill=replace(report.bill, by_tag={"project": rows}))
    title = "By project, 30 days"

    table = cells(report, title)
    assert table[0] == ("p00", "$20.00", "$20.00", "")  # less than a cent is no change
    assert table[14:] == [
        ("p14", "$6.00", "$6.00", ""),
        ("2 others", "$9.00", "$9.00", ""),
        ("together", "$204", "$204", ""),
    ]
    assert cells(replace(report, main=None), title)[-1] == ("together", "$204")
    assert set(blocks(report, "owner")) & {title, "By phase, 30 days", "By owner, 30 days"} == {
        title,
        "By phase, 30 days",
    }


def test_a_bill_that_could_not_be_read_says_all_that_is_missing() -> None:
    report = full_report()
    gaps = (
        BillGap(reading=BillReading.SERVICES, cause=GapCause.DENIED, detail="x" * 3000),
        BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="team"),
    )
    blind = replace(report, bill=replace(report.bill, charges=(), gaps=gaps, accounts={}))

    message = make_bill_message(blind, table_by="", max_requests=8)

    (paragraph,) = message.paragraphs
    assert message.text == "Bill of the organization: The bill could not be read."
    assert paragraph.startswith("*Bill of the organization:* The bill could not be read.\n")
    assert len(paragraph) <= LONGEST_SECTION
    assert "the tag team" in paragraph


def test_what_lasts_is_said_with_the_table_only_and_what_is_sudden_every_day() -> None:
    bill = full_report().bill
    gaps = (
        BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="team"),
        BillGap(reading=BillReading.FORECAST, cause=GapCause.DENIED),
    )
    report = replace(full_report(), bill=replace(bill, gaps=gaps))

    assert "ce:GetCostForecast" in said(report)
    assert "TagKey=team" not in said(report)
    assert "TagKey=team" in said(report, "project")


def test_names_from_aws_format_nothing_and_every_paragraph_fits() -> None:
    report = full_report()
    rows = tuple(replace(one, tag="<!here> *x*" * 20) for one in report.bill.by_tag["project"])
    report = replace(report, bill=replace(report.bill, by_tag={"project": rows}))

    message = make_bill_message(report, table_by="project", max_requests=8)

    assert "<!here>" not in "".join(message.paragraphs)
    assert all(len(one) <= LONGEST_SECTION for one in message.paragraphs)
    assert fits_message(bill_post(message, Decimal(12)).main.blocks)
    assert "*Saved so far this month:* $12.00" in str(bill_post(message, Decimal(12)).main.blocks)
    assert "Saved" not in str(bill_post(message).main.blocks)


def test_the_picture_has_each_project_once_and_the_rest_as_one() -> None:
    report = full_report()
    rows = report.bill.by_tag["project"]
    many = tuple(replace(one, tag=f"p{number:02}") for number in range(9) for one in rows)
    report = replace(report, bill=replace(report.bill, by_tag={"project": many}, currency="CNY"))

    series, drawn = daily_costs(report, "project"), bill_picture(report, "project")

    assert len(series.groups) == 9
    assert (drawn.words.count("others"), drawn.words.count("$")) == (1, 0)
    assert drawn.png.startswith(b"\x89PNG")
    assert daily_costs(report, "team").title == "Cost a day by phase"


def of_account(account: str, before: int, after: int) -> list[Charge]:
    """So many dollars in each of two spans."""
    return [
        Charge(day=span.first, tag=account, usd=Decimal(usd))
        for span, usd in ((BEFORE, before), (LAST, after))
    ]


RISEN = {
    "a": (10, 900),
    "b": (500, 600),
    "c": (70, 90),
    "d": (60, 70),
    "e": (5, 10),
    "f": (9, 9),
    "g": (20, 4),
}


def test_the_accounts_that_rose_most_are_first_and_the_others_a_line() -> None:
    full = full_report()
    rows = [charge for account, usd in RISEN.items() for charge in of_account(account, *usd)]
    bill = replace(full.bill, accounts={"a": "fraud-prod"}, by_account=tuple(rows))
    saved = {"b": Decimal(12), "g": Decimal(3)}
    report = replace(full, bill=bill, saved_by_account=saved)

    assert cells(report, "By account, 30 days") == [
        ("fraud-prod (a)", "$10.00", "$900", "+$890 (+8900 %)", ""),
        ("b", "$500", "$600", "+$100 (+20 %)", "$12.00"),
        ("c", "$70.00", "$90.00", "+$20.00 (+29 %)", ""),
        ("d", "$60.00", "$70.00", "+$10.00 (+17 %)", ""),
        ("e", "$5.00", "$10.00", "+$5.00 (+100 %)", ""),
        ("2 others", "$29.00", "$13.00", "-$16.00 (-55 %)", "$3.00"),
        ("together", "$674", "$1,683", "+$1,009 (+150 %)", "$15.00"),
    ]
    text = said(report)
    assert "*Bill of 7 accounts:*" in text
    assert (
        "\u2022 2 others: before $29.00, now $13.00, change -$16.00 (-55 %), saved this month $3.00" in text
    )
    dearest = cells(replace(report, main=None, saved_by_account={}), "By account, 30 days")
    assert [row[0] for row in dearest[:3]] == ["fraud-prod (a)", "b", "c"]
    alone = replace(bill, accounts={}, by_account=tuple(of_account("a", 1, 1)))
    assert "By account, 30 days" not in blocks(replace(full, bill=alone))
    assert "*Bill of account a alone:*" in said(replace(full, bill=alone))


def test_days_that_may_change_are_drawn_as_such() -> None:
    report = full_report()

    younger = replace(report, span=DaySpan(LAST.first, 29))

    assert daily_costs(report, "project").unsettled == 0
    assert daily_costs(younger, "project").unsettled == 1
    assert daily_costs(younger, "project").days == [*LAST]
