"""What the bill says in Slack each morning, within Slack's limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from bills import BEFORE, HOST, LAST, bill, charges, full_report
from ml_janitor.bill.model import OTHER_ACCOUNTS, BillGap, BillReading, Charge, GapCause
from ml_janitor.bill.reading import BillQuestion, bill_request, most_moved_accounts, other_charges
from ml_janitor.bill.report import BillReport, BudgetState, budget_states, make_bill_report
from ml_janitor.config.settings import Settings
from ml_janitor.report.bill_message import bill_picture, bill_post, daily_costs, make_bill_message
from ml_janitor.report.mrkdwn import LONGEST_SECTION, fits_message


def said(report: BillReport, table_by: str = "") -> str:
    return "\n".join(make_bill_message(report, table_by=table_by, max_requests=8).paragraphs)


def test_a_budget_says_what_is_spent_what_is_expected_and_what_that_is_over() -> None:
    report = full_report()
    within = BudgetState(usd=Decimal(80_000), spent=Decimal(12_000), expected=Decimal(79_000))
    over = replace(within, expected=Decimal(83_000))
    gone = replace(within, spent=Decimal(81_000), expected=None)

    assert "$12,000 of $80,000 spent (15 %); $79,000 expected." in said(replace(report, budgets=(within,)))
    assert "$83,000 expected, *$3,000 over*." in said(replace(report, budgets=(over,)))
    assert "*$1,000 over*; AWS has no forecast." in said(replace(report, budgets=(gone,)))


def test_a_budget_is_of_the_month_of_the_last_day_and_counts_the_forecast_on_top() -> None:
    bill = full_report().bill
    october = sum((one.usd for one in bill.charges if one.day >= date(2026, 10, 1)), Decimal(0))

    (state,) = budget_states(bill, 500.5, {})

    assert bill.forecast is not None
    assert state == BudgetState(usd=Decimal("500.5"), spent=october, expected=october + bill.forecast.usd)
    assert list(budget_states(bill, 0, {})) == []
    assert list(budget_states(replace(bill, charges=()), 500, {})) == []


def test_a_part_s_budget_is_of_its_tag_s_value_and_expected_to_go_on_as_it_does() -> None:
    report = full_report()
    value = next(one.tag for one in report.bill.by_tag["project"] if one.tag)
    parts = {f"project={value}": 900, "project=nobody": 5, "team=unread": 5}

    none, state = sorted(budget_states(report.bill, 0, parts), key=lambda one: one.spent)

    rows = report.bill.by_tag["project"]
    spent = sum((one.usd for one in rows if one.tag == value and one.day >= date(2026, 10, 1)), Decimal(0))
    assert none == BudgetState(
        usd=Decimal(5), spent=Decimal(0), expected=Decimal(0), tag="project", value="nobody"
    )
    assert (state.spent, state.expected) == (spent, spent * 31 / 5)
    assert f"*Budget of October, project {value}:*" in said(replace(report, budgets=(state,)))


def test_the_table_has_a_line_for_each_value_and_one_for_those_without() -> None:
    report = full_report()

    table = said(report, "project").partition("*By project, 30 days:*")[2]

    assert "no project: $" in table
    assert "*By project" not in said(report)


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
    assert report.month is not None
    rows = tuple(replace(one, tag="<!here> *x*" * 20) for one in report.bill.by_tag["project"])
    report = replace(report, bill=replace(report.bill, by_tag={"project": rows}))

    message = make_bill_message(report, table_by="project", max_requests=8)

    assert "<!here>" not in "".join(message.paragraphs)
    assert all(len(one) <= LONGEST_SECTION for one in message.paragraphs)
    assert fits_message(bill_post(message, Decimal(12)).main.blocks)
    assert "*Saved so far this month:* $12.00" in str(bill_post(message, Decimal(12)).main.blocks)
    assert "Saved" not in str(bill_post(message).main.blocks)


def test_the_movers_are_the_month_s_and_one_other_of_the_day() -> None:
    report = full_report()
    assert report.main is not None
    movers = [one for one in report.main.movers if one.culprit and not one.ordinary]
    month = replace(report.main, movers=tuple(movers[:1]))
    day = replace(report.main, movers=tuple(movers[:2]))

    text = said(replace(report, month=month, yesterday=day))
    lone = said(replace(report, month=None, yesterday=None, main=replace(month, movers=())))

    names = [one.culprit.name for one in movers[:2] if one.culprit]
    assert [text.count(name) for name in names] == [1, 1]
    assert text.index("*What moved it this month:*") < text.index(names[0]) < text.index("*And on ")
    assert "Nothing moved more than usual." in lone


def test_where_the_month_before_is_shorter_it_is_said_which_days_are_compared() -> None:
    """All of March would be $310; February had 28 days."""
    days = [date(2026, 2, 1) + timedelta(days=number) for number in range(59)]
    rows = charges(HOST, days, price="1", quantity="10", tag="llm")
    read = bill(rows, first=date(2026, 2, 1), until=date(2026, 4, 1))
    asked = BillQuestion(days=7, settling_days=2, tags=("project",))
    report = make_bill_report(replace(read, time=datetime(2026, 4, 1, 3, tzinfo=UTC)), asked)
    days_before = replace(read, until=date(2026, 3, 29), time=datetime(2026, 3, 29, 3, tzinfo=UTC))

    assert "March to date $310 (03-01 to 03-28: as on 02-01 to 02-28)." in said(report)
    assert "March to date $280, as on 02-01 to 02-28." in said(make_bill_report(days_before, asked))
    more = [replace(row, usd=row.usd * 2) for row in rows if row.day >= date(2026, 3, 1)]
    dearer = bill([*(row for row in rows if row.day.month == 2), *more], first=read.first, until=read.until)
    text = said(make_bill_report(replace(dearer, time=datetime(2026, 4, 1, 3, tzinfo=UTC)), asked))
    assert "March to date $620 (03-01 to 03-28: +$280 (+100 %) against 02-01 to 02-28)." in text


def test_the_picture_has_each_project_once_and_the_rest_as_one() -> None:
    report = full_report()
    rows = report.bill.by_tag["project"]
    many = tuple(replace(one, tag=f"p{number:02}") for number in range(9) for one in rows)
    report = replace(report, bill=replace(report.bill, by_tag={"project": many}))

    series, drawn = daily_costs(report, "project"), bill_picture(report, "project")

    assert len(series.groups) == 9
    assert drawn.words.count("others") == 1
    assert drawn.png.startswith(b"\x89PNG")
    assert daily_costs(report, "team").title == "Cost a day by phase"


def test_a_tag_that_has_a_budget_is_read_before_others_and_never_left_out_for_a_check() -> None:
    section = Settings.parse({"bill": {"budgets": {"team=nlp": 5000}}}).bill

    assert bill_request(section, first=["environment"]).first == ("environment", "team")


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
    text = said(replace(full, bill=bill, month=None, saved_by_account=saved))

    assert "*Bill of 7 accounts:*" in text
    assert text.split("*By account, 09-06 to 10-05:*\n")[1].splitlines()[:6] == [
        "\u2022 fraud-prod (a): $900 (+$890, +8900 %)",
        "\u2022 b: $600 (+$100, +20 %); $12.00 saved",
        "\u2022 c: $90.00 (+$20.00, +29 %)",
        "\u2022 d: $70.00 (+$10.00, +17 %)",
        "\u2022 e: $10.00 (+$5.00, +100 %)",
        "\u2022 2 others: $13.00 (-$16.00, -55 %); $3.00 saved",
    ]
    assert "account" not in said(full)


def test_of_the_accounts_those_that_moved_most_are_named_and_the_rest_is_others() -> None:
    rows = [charge for account, usd in RISEN.items() for charge in of_account(account, *usd)]

    assert most_moved_accounts((), rows, LAST.until, LAST.days) == ["a", "b", "c"]
    whole = [Charge(day=LAST.first, usage_type="Host", usd=Decimal(10), quantity=Decimal(5), unit="Hrs")]
    named = [replace(whole[0], tag="a", usd=Decimal(7), quantity=Decimal(2))]
    assert list(other_charges(whole, named)) == [
        replace(whole[0], tag=OTHER_ACCOUNTS, usd=Decimal(3), quantity=Decimal(3))
    ]
    assert not list(other_charges(whole, [replace(whole[0], tag="a")]))


def test_the_whole_message_says_each_thing_once() -> None:
    message = make_bill_message(full_report(), table_by="project", max_requests=8)

    assert message.text == "The bill: $9,414 in October to date, +$4,500 (+47 %)."
    *first, why, untagged, table, over, tag = message.paragraphs
    assert first == [
        (
            "*Bill:* $3,000 on Sunday 10-04, +$1,100 (+58 %) against 09-27; "
            "October to date $9,414, +$4,500 (+47 %) against 09-01 to 09-05."
        ),
        "*Budget of October:* $14,000 of $65,000 spent (22 %); $80,000 expected, *$15,000 over*.",
        "*Budget of October, project llm:* $7,900 of $20,000 spent (40 %); $47,400 expected, *$27,400 over*.",
    ]
    assert why.startswith("*What moved it in 30 days:*\n\u2022 +$15,334 training job llm-pretrain-7b-0924")
    assert untagged == "*Untagged:* no project: $8,455 (11 %, 7.6 % before), of 30 days."
    assert table.splitlines() == [
        "*By project, 30 days:*",
        "\u2022 llm: $15,339 (+$15,339, new)",
        "\u2022 vision: $6,100",
        "\u2022 no project: $4,351",
        "\u2022 support: $4,199 (+$3,544, +541 %)",
    ]
    assert over.startswith("Did not fit into 8 requests")
    assert tag.startswith("No charge has the tag cost-center")


def test_the_month_is_that_of_the_last_day() -> None:
    report = full_report()
    first = replace(report, bill=replace(report.bill, until=date(2026, 10, 1)), month=None)

    message = make_bill_message(first, table_by="", max_requests=8)

    assert message.text.endswith(" in September to date.")
    assert message.paragraphs[1].startswith("*Budget of September:*")
    second = replace(first, bill=replace(report.bill, until=date(2026, 10, 2)))
    assert make_bill_message(second, table_by="", max_requests=8).text.endswith(" in October to date.")


def test_a_bill_that_could_not_be_read_says_all_that_is_missing() -> None:
    report = full_report()
    gaps = (
        BillGap(reading=BillReading.SERVICES, cause=GapCause.DENIED, detail="x" * 3000),
        BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="team"),
    )
    blind = replace(report, bill=replace(report.bill, charges=(), gaps=gaps, accounts={}))

    message = make_bill_message(blind, table_by="", max_requests=8)

    (paragraph,) = message.paragraphs
    assert message.text == "The bill could not be read."
    assert paragraph.startswith("*Bill of the organization:* The bill could not be read. ")
    assert len(paragraph) <= LONGEST_SECTION
    assert "the tag team" in paragraph


def test_a_budget_that_is_just_met_is_not_over() -> None:
    exactly = BudgetState(usd=Decimal(100), spent=Decimal(100), expected=Decimal(100))
    little = replace(exactly, spent=Decimal(50), expected=Decimal("100.5"))
    gone = replace(exactly, expected=Decimal(101))
    more = replace(exactly, spent=Decimal(101), expected=Decimal(102))

    assert [
        said(replace(full_report(), budgets=(state,))).partition("*Budget of October:* ")[2].splitlines()[0]
        for state in (exactly, little, gone, more)
    ] == [
        "$100 of $100 spent (100 %); $100 expected.",
        "$50.00 of $100 spent (50 %); $100 expected, *$0.50 over*.",
        "$100 of $100 spent (100 %); $101 expected, *$1.00 over*.",
        "$101 of $100 spent (101 %): *$1.00 over*; $102 expected.",
    ]


def test_two_accounts_are_named_and_one_is_no_table() -> None:
    full = full_report()

    def text(*accounts: str, **more: object) -> str:
        rows = [charge for account in accounts for charge in of_account(account, 10, len(account) * 20)]
        bill = replace(full.bill, accounts={}, by_account=tuple(rows))
        return said(replace(full, bill=bill, month=None, **more))  # type: ignore[arg-type]

    assert "*By account" not in text("a")
    assert "*By account, 09-06 to 10-05:*\n\u2022 bb: $40.00 (+$30.00, +300 %)\n\u2022 a: $20.00" in text(
        "a", "bb"
    )
    assert "*By account, 30 days:*\n\u2022 bb: $40.00\n\u2022 a: $20.00" in text("a", "bb", main=None)
    notified = replace(full, bill=replace(full.bill, accounts={}, by_account=tuple(of_account("a", 1, 1))))
    assert make_bill_message(notified, table_by="", max_requests=8).text.startswith(
        "The bill of account a alone: $9,414 in October"
    )


def test_a_long_table_has_ten_lines_and_what_is_left() -> None:
    report = full_report()
    rows = tuple(
        Charge(day=span.first, tag=f"p{number:02}", usage_type="x", usd=Decimal(usd))
        for number in range(12)
        for span, usd in ((BEFORE, 20 - number), (LAST, "20.004" if number == 0 else 20 - number))
    )
    table = said(replace(report, bill=replace(report.bill, by_tag={"project": rows})), "project")

    lines = table.partition("*By project, 30 days:*\n")[2].splitlines()[:11]
    assert lines[0] == "\u2022 p00: $20.00"  # less than a cent is no change
    assert lines[9:] == ["\u2022 p09: $11.00", "\u2022 2 others: $19.00"]
    assert said(report, "owner").count("*By owner") == 0


def test_what_changed_by_less_than_a_cent_is_as_it_was() -> None:
    report = full_report()
    assert report.yesterday is not None
    same = replace(report.yesterday, usd_after=report.yesterday.usd_before + Decimal("0.004"))

    assert "on Sunday 10-04, as on 09-27; October" in said(replace(report, yesterday=same))


def test_days_that_may_change_are_drawn_as_such() -> None:
    report = full_report()

    assert daily_costs(report, "project").unsettled == 1
    assert daily_costs(replace(report, main=None), "project").unsettled == 0
