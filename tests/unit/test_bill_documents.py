"""The bill for programs, spreadsheets and browsers: schema, sums, and hostile names."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bills import BEFORE, LAST, TRAIN, bill, charges, full_report
from ml_janitor.bill.model import BillReading, Charge, DaySpan, GapCause, Movement
from ml_janitor.bill.report import BillReport, UnitNote, chargeback_lines
from ml_janitor.report import bill_json, bill_message, bill_page
from ml_janitor.report.blocks import TableBlock
from ml_janitor.report.charts import DailySeries
from narrowing import not_none
from reports import schema, schema_problems

HOSTILE = "<script>alert(1)</script>"


def valid(report: BillReport, by: str = "phase") -> dict[str, Any]:
    read = bill_json.bill_document(report, by=by)
    assert schema_problems("bill", read) == []
    return read


def test_a_full_report_fits_the_schema() -> None:
    read = valid(full_report(), "project")

    assert read["movement"]["movers"]
    assert [one["name"] for one in read["table"]["lines"]][-1] is not None
    assert {one["name"] for one in read["table"]["lines"]} >= {None, "llm"}
    assert read["saved"]["this_month_usd"] == 289.2
    assert [one["cause"] for one in read["missing"]] == ["tag not active", "over max_requests"]


def test_amounts_in_another_currency_are_printed_as_such() -> None:
    full = full_report()
    yuan = replace(full, bill=replace(full.bill, currency="CNY"))

    read, page = valid(yuan), bill_page.render_bill_page(yuan, max_requests=8)
    message = bill_message.make_bill_message(yuan, table_by="", max_requests=8)

    assert (read["currency"], valid(full)["currency"]) == ("CNY", "USD")
    assert read["movement"]["movers"][0]["text"].startswith("+CNY 15,334 ")
    assert "CNY 29,988 in 30 days" in message.text
    for text in (page, *message.paragraphs):
        assert "CNY " in text
        assert set(re.findall(r"\$[\d,]+(?:\.\d+)?", text)) <= {"$0.08", "$0.01"}  # the requests' price
    assert "$" in bill_page.render_bill_page(full, max_requests=8)


def test_every_number_is_that_of_the_report() -> None:
    full = full_report()
    assert full.main is not None
    thirds = Movement(
        comparison=full.main.comparison,
        usd_before=Decimal(3),
        usd_after=Decimal(4),
        movers=full.main.movers[:1],
    )
    shared = replace(full.unit_costs[0], usd=Decimal(1), units=None, notes=(UnitNote.COMPONENTS,))
    backwards = {day: full.saved[day] for day in sorted(full.saved, reverse=True)}

    read = valid(replace(full, yesterday=thirds, unit_costs=(*full.unit_costs, shared), saved=backwards))

    assert (read["time"], read["metric"], read["usd"]) == ("2026-10-06T03:00:00Z", "UnblendedCost", 29987.99)
    assert read["span"] == {"first": "2026-09-06", "last": "2026-10-05", "days": 30}
    assert (read["estimated"], read["movement"]["unsettled"]) == (["2026-10-05"], [])
    assert read["forecast"] == {
        "first": "2026-10-06",
        "until": "2026-11-01",
        "usd": 66000,
        "low_usd": 61000,
        "high_usd": 72500,
    }
    assert read["saved"]["by_day"] == [
        {"day": "2026-10-03", "usd": 96.4},
        {"day": "2026-10-04", "usd": 192.8},
    ]
    assert read["untagged"] == [{"tag": "project", "usd": 8455, "share": 0.1057, "share_before": 0.076}]
    assert read["outside"] == [{"record_type": "Tax", "usd": 71.4}]
    assert (read["requests"], read["requests_usd"]) == (8, 0.08)
    moved = read["movement"]
    assert (moved["usd_before"], moved["usd_after"], moved["change_usd"]) == (57000, 80000, 23000)
    assert (moved["share"], moved["tag"], moved["ended_credits_usd"]) == (0.4035, "project", 500)
    assert (read["yesterday"]["share"], read["yesterday"]["tag"]) == (0.3333, None)
    hung, *_, tagged, _ = moved["movers"]
    assert {name: value for name, value in hung.items() if name not in {"text", "resource"}} == {
        "usd": 15334,
        "cause": "finding",
        "owner": "omar.haddad@acme.example",
        "ordinary": False,
        "usage_type": TRAIN,
        "region": "us-east-1",
        "phase": "training",
        "tag_value": "llm",
        "tag_value_before": None,
        "units": 0,
        "units_before": 0,
        "unit": "",
    }
    assert hung["resource"] == {
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/llm-pretrain-7b-0924",
        "name": "llm-pretrain-7b-0924",
        "kind": "training-job",
        "members": 1,
        "since": "2026-09-25T04:00:00Z",
        "ended": None,
        "usd_until_now": 15511.2,
        "detector": "hung-training-jobs",
        "in_use": False,
        "acted": False,
    }
    assert (tagged["tag_value"], tagged["tag_value_before"], tagged["resource"]) == (None, "vision", None)
    endpoint, family, unknown = read["unit_costs"]
    assert (endpoint["units"], endpoint["per"], endpoint["usd_per"]) == (3_120_000, 1000, 1.346154)
    assert (family["usd_per"], unknown["usd_per"], unknown["notes"]) == (
        13.75,
        None,
        ["inference components"],
    )
    nothing = valid(replace(full, bill=replace(full.bill, charges=(), forecast=None, gaps=())))
    assert (nothing["usd"], nothing["forecast"], nothing["missing"]) == (None, None, [])


def test_what_was_not_read_is_null() -> None:
    report = full_report()
    bare = replace(report, main=None, yesterday=None, month=None, bill=replace(report.bill, by_tag={}))

    read = valid(bare, "project")

    assert (read["movement"], read["yesterday"], read["month"], read["table"]) == (None, None, None, None)


def test_the_schema_knows_every_reading_and_cause() -> None:
    gap = schema("bill")["$defs"]["gap"]["properties"]

    assert set(gap["reading"]["enum"]) == set(BillReading)
    assert set(gap["cause"]["enum"]) == set(GapCause)


def test_the_schema_forbids_what_it_does_not_describe() -> None:
    read = bill_json.bill_document(full_report(), by="phase")
    validator = Draft202012Validator(schema("bill"))

    assert validator.is_valid(read)
    assert not validator.is_valid(read | {"more": 1})
    assert not validator.is_valid(read | {"usd": "80352"})


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    rows = charges("Host", list(LAST), price="1", quantity="1", tag=cell)
    report = replace(full_report(), bill=bill(rows))

    text, shown = bill_json.chargeback_csv(report, "project"), cell.encode("unicode_escape").decode()

    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""))] == ["project", f"'{shown}"]


@given(st.lists(st.decimals(min_value=-100, max_value=1000, places=6), min_size=1, max_size=20))
def test_rounded_lines_add_up_to_the_rounded_total(amounts: list[Decimal]) -> None:
    rows = [
        row
        for number, usd in enumerate(amounts)
        for row in charges("Host", [LAST.first], price="1", quantity=str(usd), tag=f"v{number}")
    ]
    total = sum(amounts, Decimal(0)).quantize(Decimal("0.01"), "ROUND_HALF_UP")

    assert sum(usd for _, _, usd in chargeback_lines(bill(rows), "project", LAST)) == total


def test_a_span_s_dollars_are_charged_back_by_value_and_service_the_untagged_last() -> None:
    def rows(tag: str, usd: str, **more: Any) -> list[Charge]:
        made = charges("Host", [BEFORE.last, LAST.first], price=usd, quantity="1", tag=tag)
        return [replace(one, **more) for one in made]

    every = [
        *rows("", "1.005", usage_type="", service="S3"),
        *rows("b", "0.004"),
        *rows("b", "2", usage_type="", service="S3"),
        *rows("a", "0"),
        *rows("a", "3.333"),
    ]
    read = replace(bill(charges("Host", [LAST.first], price="1", quantity="1", tag="x")))
    read = replace(read, by_tag={"team": tuple(every)})

    assert list(chargeback_lines(read, "team", LAST)) == [
        ("a", "Amazon SageMaker", Decimal("3.33")),
        ("b", "S3", Decimal("2.00")),
        ("", "S3", Decimal("1.01")),
    ]
    with pytest.raises(KeyError):
        list(chargeback_lines(read, "owner", LAST))


def test_the_page_escapes_what_aws_says() -> None:
    report = full_report()
    rows = charges(HOSTILE, list(LAST), price="1", quantity="5", tag=HOSTILE)
    main = not_none(report.main)
    owned = tuple(replace(one, owner=HOSTILE) for one in main.movers)
    report = replace(report, bill=bill(rows), main=replace(main, movers=owned))

    text = bill_page.render_bill_page(report, by="project", max_requests=8)

    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


# --- the page ---------------------------------------------------------------------------------


def test_the_charts_stand_before_the_first_table() -> None:
    report = full_report()
    section = bill_page.bill_section(report, by="service", max_requests=8)

    assert isinstance(section["below"][0], TableBlock)
    assert (*section["above"], *section["below"]) == section["document"].blocks
    wide = section["charts"][0]
    assert wide["wide"].startswith("<svg")
    assert wide["names"] == ["llm", "vision", "no project", "support"]
    unread = replace(report, bill=replace(report.bill, charges=()))
    section = bill_page.bill_section(unread, by="phase", max_requests=8)
    assert section["charts"] == []
    assert [block.warning for block in (*section["above"], *section["below"])] == [True, True]


def test_the_chart_has_the_days_of_both_spans_where_one_follows_the_other() -> None:
    report = full_report()
    assert report.main is not None
    apart = replace(report.main.comparison, before=DaySpan(BEFORE.first, 29))

    def chart(main: Movement | None) -> DailySeries:
        return next(iter(bill_page.bill_series(replace(report, main=main))))

    whole, alone, none = chart(report.main), chart(replace(report.main, comparison=apart)), chart(None)

    assert (whole.title, whole.days) == ("Cost by day and project, 60 days", [*BEFORE, *LAST])
    assert whole.marks == [(BEFORE.first, "before"), (LAST.first, "now")]
    young = next(iter(bill_page.bill_series(replace(report, span=DaySpan(LAST.first, 29)))))
    assert (whole.unsettled, none.unsettled, young.unsettled) == (0, 0, 1)
    assert young.days == whole.days
    assert list(whole.groups) == ["llm", "support", "no project", "vision"]
    assert (alone.days, alone.marks) == ([*LAST], [])
    assert (none.title, none.days) == ("Cost by day and phase, 30 days", [*LAST])
    assert sum(none.groups["training"]) == Decimal("15339.016")


def test_what_was_saved_has_a_bar_for_each_day_since_the_first() -> None:
    days = {date(2026, 10, 2): Decimal(3), date(2026, 10, 4): Decimal(5)}

    _, saved = bill_page.bill_series(replace(full_report(), saved=days))

    assert saved.days == [date(2026, 10, day) for day in (2, 3, 4, 5, 6)]
    assert list(saved.groups["hours really ended"]) == [3, 0, 5, 0, 0]
    assert len(list(bill_page.bill_series(replace(full_report(), saved={})))) == 1


def test_the_json_text_is_plain_ascii_and_one_document() -> None:
    report = full_report()
    gap = replace(report.bill.gaps[0], subject="m\u00fcller")
    text = bill_json.bill_json_text(replace(report, bill=replace(report.bill, gaps=(gap,))), by="phase")

    assert text.isascii()
    assert text.endswith("}\n")
    assert text.startswith('{\n  "schema_version": 1,')
    assert json.loads(text)["missing"][0]["subject"] == "m\u00fcller"
