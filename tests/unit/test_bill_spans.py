"""`janitor bill --against`: which days the bill may be compared with."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ml_janitor.bill.model import DaySpan
from ml_janitor_cli.bill import COST_HISTORY, check_table_key, parse_span
from ml_janitor_cli.edge import CommandRefusedError
from tables import cases

NOW = datetime(2026, 10, 6, tzinfo=UTC)
OLDEST = (NOW - COST_HISTORY).date()


@cases(
    "text, days, span",
    ("2026-08-01", 30, DaySpan(date(2026, 8, 1), 30)),
    (" 2026-08-01..2026-08-30 ", 30, DaySpan(date(2026, 8, 1), 30)),
    ("2026-08-01..2026-08-01", 1, DaySpan(date(2026, 8, 1), 1)),
    ("2026-08-07", 30, DaySpan(date(2026, 8, 7), 30)),
    (OLDEST.isoformat(), 30, DaySpan(OLDEST, 30)),
)
def test_a_span_is_its_first_day_or_two_days(text: str, days: int, span: DaySpan) -> None:
    assert parse_span(text, days, NOW) == span


@cases(
    "text, why",
    ("soon", "expected a day such as 2026-08-01"),
    ("2026-02-30", "expected a day such as 2026-08-01"),
    ("2026-08-01..", "expected a day such as 2026-08-01"),
    ("2026-08-01..2026-08-31", "this one has 31 days; add --days 31, or give its first day alone"),
    ("2026-08-08", "it has to end before the last 30 days begin"),
    ("9999-12-31", "it has to end before the last 30 days begin"),
    ((OLDEST - timedelta(days=1)).isoformat(), "the days of the last 13 months only"),
)
def test_a_span_that_cannot_be_compared_is_refused(text: str, why: str) -> None:
    with pytest.raises(CommandRefusedError, match=why):
        parse_span(text, 30, NOW)


def test_a_table_is_by_a_tag_of_the_settings_or_by_a_key_of_the_program() -> None:
    check_table_key("project", {"project": "Project"})
    check_table_key("phase", {})
    with pytest.raises(CommandRefusedError, match="did you mean project"):
        check_table_key("projct", {"project": "Project"})
