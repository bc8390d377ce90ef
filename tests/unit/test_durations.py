"""Durations and working hours, as operators write them and readers see them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ml_janitor.core.durations import HOUR, WorkingHours, format_age, format_duration, parse_duration
from ml_janitor.core.durations import WEEK as WEEK_LENGTH
from tables import cases

WEEK = {"Mon": 5, "Tue": 6, "Wed": 7, "Thu": 8, "Fri": 9, "Sat": 10, "Sun": 11}  # days of October 2026


@cases(
    "text, span",
    ("7d", timedelta(days=7)),
    ("6h", timedelta(hours=6)),
    ("90m", timedelta(minutes=90)),
    ("1d12h", timedelta(hours=36)),
    ("1d2h3m", timedelta(days=1, hours=2, minutes=3)),
    (" 2h ", timedelta(hours=2)),
    ("0m", timedelta()),
    ("3650d", timedelta(days=3650)),
)
def test_durations_are_read(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["7d", "6h", "1h30m", "1d12h", "3d1m", "0m"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


@cases(
    "span, words",
    (timedelta(days=41, hours=23), "41 days"),
    (timedelta(days=2), "2 days"),
    (timedelta(days=2) - timedelta(seconds=1), "47 hours"),
    (timedelta(hours=2), "2 hours"),
    (timedelta(hours=2) - timedelta(seconds=1), "119 minutes"),
    (timedelta(minutes=1), "1 minute"),
    (timedelta(seconds=59), "less than a minute"),
    (timedelta(), "less than a minute"),
    (timedelta(minutes=-5), "less than a minute"),
)
def test_ages_are_rounded_down(span: timedelta, words: str) -> None:
    assert format_age(span) == words


@cases(
    "text, spoken",
    ("Mon-Fri 08-20", "Mon-Fri 08-20 UTC"),
    ("Mon\u2013Fri 8-20", "Mon-Fri 08-20 UTC"),
    ("Sun-Thu 09-17", "Sun-Thu 09-17 UTC"),
    ("Fri-Mon 00-24", "Fri-Mon 00-24 UTC"),
    ("Wed-Wed 09-17", "Wed-Wed 09-17 UTC"),
    ("Mon-Sun 00-24", "Mon-Sun 00-24 UTC"),
)
def test_working_hours_are_spoken_as_they_are_written(text: str, spoken: str) -> None:
    assert str(WorkingHours.parse(text)) == spoken


def test_days_that_are_no_span_are_spoken_one_by_one() -> None:
    assert str(WorkingHours(days=frozenset({4, 0, 2}))) == "Mon, Wed, Fri 08-20 UTC"


NOT_DURATIONS = ("", " ", "7", "d", "7w", "-1d", "1.5h", "2h1d", "1h 30m", "12:00", "PT2H")
TOO_LONG = ("3651d", "3650d1m", "999999999d", "99999999999999d")
HOURS = ("20-08", "08-08", "08-25")
NOT_HOURS = ("", "Mon-Fri", "08-20", "Mon-Fry 08-20", "Mxn-Fri 08-20", *(f"Mon-Fri {span}" for span in HOURS))


@cases(
    "read, text, why",
    *((parse_duration, text, "write it like 7d, 6h or 90m") for text in NOT_DURATIONS),
    *((parse_duration, text, "longer than 3650 days") for text in TOO_LONG),
    *((WorkingHours.parse, text, "write them like Mon-Fri 08-20") for text in NOT_HOURS),
)
def test_other_texts_are_refused_with_the_form(read: Callable[[str], object], text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(text)


@cases(
    "hours, day, time, expected",
    ("Mon-Fri 08-20", "Mon", (8, 0, 0), True),
    ("Mon-Fri 08-20", "Mon", (7, 59, 59), False),
    ("Mon-Fri 08-20", "Fri", (19, 59, 59), True),
    ("Mon-Fri 08-20", "Fri", (20, 0, 0), False),
    ("Mon-Fri 08-20", "Sat", (12, 0, 0), False),
    ("Mon-Fri 08-20", "Sun", (12, 0, 0), False),
    ("Sun-Thu 09-17", "Sun", (12, 0, 0), True),
    ("Sun-Thu 09-17", "Fri", (12, 0, 0), False),
    ("Mon-Sun 00-24", "Sun", (23, 59, 59), True),
)
def test_hours_begin_and_end(*, hours: str, day: str, time: tuple[int, int, int], expected: bool) -> None:
    at = datetime(2026, 10, WEEK[day], *time, tzinfo=UTC)
    assert WorkingHours.parse(hours).include(at) is expected


@cases(
    "at, expected",
    # Clocks in Berlin went back on Sunday 25 October 2026: eight o'clock is 06:00 UTC, then 07:00.
    (datetime(2026, 10, 23, 6, 0, tzinfo=UTC), True),
    (datetime(2026, 10, 26, 6, 59, tzinfo=UTC), False),
    (datetime(2026, 10, 26, 7, 0, tzinfo=UTC), True),
    (datetime(2026, 10, 26, 8, 0, tzinfo=ZoneInfo("Europe/Berlin")), True),
)
def test_hours_follow_the_clock_of_the_time_zone(*, at: datetime, expected: bool) -> None:
    assert WorkingHours.parse("Mon-Fri 08-20", "Europe/Berlin").include(at) is expected


@cases(
    "at, free",
    (datetime(2026, 10, 5, 22, 0, tzinfo=UTC), True),  # already the 6th in Auckland
    (datetime(2026, 10, 6, 9, 0, tzinfo=UTC), True),
    (datetime(2026, 10, 6, 11, 0, tzinfo=UTC), False),  # the 7th there
)
def test_a_holiday_is_a_day_of_the_time_zone(*, at: datetime, free: bool) -> None:
    hours = WorkingHours.parse("Mon-Sun 00-24", "Pacific/Auckland", [date(2026, 10, 6)])
    assert hours.holiday(at) is free
    assert hours.include(at) is not free


BERLIN = WorkingHours(
    start=8, end=20, time_zone="Europe/Berlin", holidays=(date(2026, 10, 26), date(2026, 10, 27))
)


@cases(
    "now, closed, opens, closes",  # in UTC; Berlin goes back on Sunday 25; the two days after it are holidays
    ("2026-10-22T17:59", "2026-10-21T18:00", "2026-10-23T06:00", "2026-10-22T18:00"),
    ("2026-10-22T18:00", "2026-10-22T18:00", "2026-10-23T06:00", "2026-10-23T18:00"),
    ("2026-10-23T05:59", "2026-10-22T18:00", "2026-10-23T06:00", "2026-10-23T18:00"),
    ("2026-10-23T22:30", "2026-10-23T18:00", "2026-10-28T07:00", "2026-10-28T19:00"),
    ("2026-10-27T12:00", "2026-10-23T18:00", "2026-10-28T07:00", "2026-10-28T19:00"),
    ("2026-10-28T18:59", "2026-10-23T18:00", "2026-10-29T07:00", "2026-10-28T19:00"),
)
def test_working_hours_end_and_begin_again(now: str, closed: str, opens: str, closes: str) -> None:
    at = datetime.fromisoformat(f"{now}+00:00")
    found = (BERLIN.last_closing(at), BERLIN.next_opening(at), BERLIN.next_closing(at))
    assert [f"{one:%Y-%m-%dT%H:%M}" for one in found] == [closed, opens, closes]


def test_a_year_of_holidays_ends() -> None:
    at = datetime(2026, 10, 6, 12, tzinfo=UTC)
    free = WorkingHours(holidays=tuple(at.date() + timedelta(days=n) for n in range(-400, 400)))
    assert free.last_closing(at) == at - timedelta(days=366)
    assert free.next_opening(at) == free.next_closing(at) == at + timedelta(days=366)


@cases(
    "at, lead, expected",
    ("2026-10-05 06:00", 2, "2026-10-05 10:00"),
    ("2026-10-05 11:00", 2, "2026-10-05 11:00"),
    ("2026-10-05 19:59", 2, "2026-10-05 19:59"),
    ("2026-10-05 20:00", 2, "2026-10-06 10:00"),
    ("2026-10-09 21:00", 2, "2026-10-12 10:00"),
    ("2026-10-10 12:00", 0, "2026-10-12 08:00"),
    ("2026-10-12 21:00", 2, "2026-10-15 10:00"),  # two holidays
)
def test_well_into_working_hours(at: str, lead: int, expected: str) -> None:
    hours = WorkingHours(holidays=(date(2026, 10, 13), date(2026, 10, 14)))
    begin, end = (datetime.fromisoformat(f"{each}+00:00") for each in (at, expected))

    assert hours.well_into(begin, timedelta(hours=lead)) == end
    ahead = hours.well_into_anywhere(begin, timedelta(hours=lead))
    zones = ("Pacific/Kiritimati", "Asia/Kolkata", "America/New_York", "Etc/GMT+12")
    everywhere = [replace(hours, time_zone=zone).well_into(begin, timedelta(hours=lead)) for zone in zones]
    assert max(everywhere) <= ahead <= max(everywhere) + timedelta(days=5)


def test_a_lead_into_working_hours_is_as_long_on_the_night_in_which_clocks_go_back() -> None:
    night = WorkingHours(frozenset(range(7)), start=1, time_zone="Europe/Berlin")
    begun = datetime(2026, 10, 24, 22, tzinfo=UTC)  # midnight in Berlin
    assert night.well_into(begun, timedelta(hours=2)) == begun + timedelta(hours=3)


def test_without_a_working_day_everything_is_a_year_away() -> None:
    never, now = WorkingHours(days=frozenset()), datetime(2026, 10, 6, 3, tzinfo=UTC)
    year = timedelta(days=366)

    assert (
        never.well_into(now, timedelta()) == never.next_opening(now) == never.next_closing(now) == now + year
    )
    assert never.last_closing(now) == now - year


def test_at_the_very_hour_the_next_is_another_and_the_last_is_now() -> None:
    hours, opens, closes = WorkingHours(), *(datetime(2026, 10, 6, hour, tzinfo=UTC) for hour in (8, 20))
    day = timedelta(days=1)

    assert (hours.next_opening(opens), hours.next_closing(closes)) == (opens + day, closes + day)
    assert hours.last_closing(closes) == closes


def test_hours_that_end_at_midnight_end_on_the_next_day() -> None:
    hours = WorkingHours.parse("Mon-Sun 00-24")
    now = datetime(2026, 10, 6, tzinfo=UTC)

    assert hours.next_closing(now - timedelta(seconds=1)) == now == hours.last_closing(now)
    assert hours.next_closing(now) == now + timedelta(days=1)


def test_a_week_has_seven_days() -> None:
    assert WEEK_LENGTH == 7 * 24 * HOUR
