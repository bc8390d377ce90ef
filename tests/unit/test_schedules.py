"""How long a schedule may be silent."""

from datetime import UTC, datetime, timedelta

import pytest

from conftest import DAY, HOUR, MINUTE
from ml_janitor.config.schedules import (
    first_weekday,
    hours_of_week,
    minutes_of_week,
    missed_after,
    overdue_after,
    runs_within,
    schedule_fault,
    schedule_period,
    schedules_overlap,
)
from ml_janitor.detectors import DETECTORS
from narrowing import not_none
from tables import cases


@cases(
    "schedule, longest",
    ("rate(1 hour)", HOUR),
    ("rate(6 hours)", 6 * HOUR),
    ("rate(90 minutes)", timedelta(minutes=90)),
    ("rate(7 days)", 7 * DAY),
    ("cron(0 * * * ? *)", HOUR),
    ("cron(0 */6 * * ? *)", 6 * HOUR),
    ("cron(0 0/6 * * ? *)", 6 * HOUR),
    ("cron(0 2/8 * * ? *)", 8 * HOUR),
    ("cron(0 5/10 * * ? *)", 14 * HOUR),
    ("cron(0 0,1,12 * * ? *)", 12 * HOUR),
    ("cron(0 8-18 * * ? *)", 14 * HOUR),
    ("cron(0 22-6/4 * * ? *)", 16 * HOUR),
    ("cron(0 3 * * ? *)", DAY),
    ("cron(15 3 ? * * *)", DAY),
    ("cron(0 3 ? * MON-FRI *)", 3 * DAY),
    ("cron(0 3 ? * 2-6 *)", 3 * DAY),
    ("cron(0 * ? * MON-FRI *)", 3 * DAY),
    ("cron(0 3 ? * FRI-MON *)", 4 * DAY),
    ("cron(0 3 ? * MON,THU *)", 4 * DAY),
    ("cron(0 4 ? * SUN *)", 7 * DAY),
    ("cron(0 4 ? * 6L *)", 31 * DAY),
    ("cron(0 4 ? * 2#1 *)", 31 * DAY),
    ("cron(0 4 1 * ? *)", 31 * DAY),
    ("cron(0 4 1,15 * ? *)", 17 * DAY),
    ("cron(0 4 1/2 * ? *)", 2 * DAY),
    ("cron(0 4 2/2 * ? *)", 3 * DAY),
    ("cron(0 4 L * ? *)", 31 * DAY),
    ("cron(0 4 1 JAN ? *)", 366 * DAY),
    ("cron(0 x * * ? *)", DAY),
    ("cron(0 30 * * ? *)", DAY),
)
def test_the_longest_time_between_two_runs(schedule: str, longest: timedelta) -> None:
    assert schedule_period(schedule) == longest


@cases(
    "schedule, late, missed",
    ("rate(10 minutes)", HOUR + 20 * MINUTE, 40 * MINUTE),
    ("rate(1 hour)", 3 * HOUR, 90 * MINUTE),
    ("rate(4 hours)", 9 * HOUR, 6 * HOUR),
    ("cron(0 3 * * ? *)", 27 * HOUR, 27 * HOUR),
    ("cron(0 4 ? * SUN *)", 7 * DAY + 3 * HOUR, 7 * DAY + 3 * HOUR),
)
def test_when_a_silence_is_late(schedule: str, late: timedelta, missed: timedelta) -> None:
    assert (overdue_after(schedule), missed_after(schedule)) == (late, missed)


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_detector_has_a_schedule_that_cannot_be_read(detector: type) -> None:
    assert HOUR <= schedule_period(detector.schedule) <= 7 * DAY  # type: ignore[attr-defined]


@cases(
    "schedule",
    *(detector.schedule for detector in DETECTORS),
    "rate(1 hour)",
    "rate(5 minutes)",
    "cron(0/15 0-23 ? * MON-FRI *)",
    "cron(59 23 31 DEC ? 2199)",
    "cron(0 3 * * ? 1970)",
    "cron(0 3 L * ? *)",
    "cron(0 3 15W JAN,JUL ? 2026-2030)",
    "cron(0 3 ? * 6L *)",
    "cron(0 3 ? * MON#1 *)",
)
def test_a_schedule_that_eventbridge_takes_can_be_used(schedule: str) -> None:
    assert schedule_fault(schedule) is None


@cases(
    "schedule, wrong",
    ("hourly", ""),
    ("rate(0 hours)", "at least 1"),
    ("cron(0 25 * * ? *)", "hour"),
    ("cron(0 24 * * ? *)", "hour"),
    ("cron(60 3 * * ? *)", "minute"),
    ("cron(0 MON * * ? *)", "hour"),
    ("cron(0 */0 * * ? *)", "hour"),
    ("cron(0 3 32 * ? *)", "day of the month"),
    ("cron(0 3 0 * ? *)", "day of the month"),
    ("cron(0 3 * 13 ? *)", "month"),
    ("cron(0 3 * MON ? *)", "month"),
    ("cron(0 3 ? * 8 *)", "day of the week"),
    ("cron(0 3 ? * MON#6 *)", "day of the week"),
    ("cron(0 3 * * ? 1969)", "year"),
    ("cron(0 3 * * ? 2200)", "year"),
    ("cron(0 3 * * * *)", "with ?"),
    ("cron(0 3 ? * ? *)", "with ?"),
    ("cron(0 3 1 * MON *)", "with ?"),
)
def test_a_schedule_that_eventbridge_refuses_is_refused_before(schedule: str, wrong: str) -> None:
    why = not_none(schedule_fault(schedule))
    assert wrong in why


@cases(
    "schedule, due",
    ("cron(0 7 * * ? *)", True),
    ("cron(30 6 * * ? *)", False),
    ("cron(31 6 * * ? *)", True),
    ("cron(30 12 * * ? *)", True),
    ("cron(31 12 * * ? *)", False),
    ("cron(0 7 ? * TUE *)", True),
    ("cron(0 7 ? * WED *)", False),
    ("cron(0 7 6 10 ? *)", True),
    ("cron(0 7 6 10 ? 2027)", False),
    ("cron(0 7 ? * 3#1 *)", False),
    ("rate(1 day)", True),
    ("rate(2 days)", False),
)
def test_whether_a_schedule_runs_within_some_hours_of_its_time_zone(schedule: str, *, due: bool) -> None:
    """At half past six of a Tuesday in Berlin."""
    now = datetime(2026, 10, 6, 4, 30, tzinfo=UTC)
    last = now - timedelta(hours=23)

    assert runs_within(schedule, 6 * HOUR, now=now, time_zone="Europe/Berlin", last=last) is due


def test_a_cron_of_sundays_runs_on_sundays() -> None:
    sunday = datetime(2026, 10, 4, 4, 30, tzinfo=UTC)

    assert runs_within("cron(0 7 ? * SUN *)", 6 * HOUR, now=sunday, time_zone="UTC", last=None)


@pytest.mark.parametrize(
    ("ago", "due"), [(None, False), (HOUR, False), (59 * MINUTE, True), (0 * HOUR, True)]
)
def test_a_rate_is_counted_from_its_last_run(ago: timedelta | None, *, due: bool) -> None:
    """The next run is after now, and within the span or at its end; of one that never ran none is known."""
    now = datetime(2026, 10, 6, tzinfo=UTC)
    last = None if ago is None else now - ago

    assert runs_within("rate(1 hour)", HOUR, now=now, time_zone="UTC", last=last) is due


def test_the_hours_of_a_week_are_those_of_its_time_zone_from_sunday_on() -> None:
    runs = hours_of_week("cron(0 */12 ? * SUN,WED *)", "Asia/Tokyo")

    assert [f"{at:%a %H %Z}" for at in runs] == ["Sun 00 JST", "Sun 12 JST", "Wed 00 JST", "Wed 12 JST"]
    assert hours_of_week("rate(1 day)", "UTC") == hours_of_week("cron(0 4 * * ? *)", "UTC") == []


def test_a_schedule_that_names_no_days_runs_on_mondays() -> None:
    assert first_weekday("cron(0 4 * * ? *)") == first_weekday("rate(1 day)") == 0
    assert first_weekday("cron(0 4 ? * SUN,THU *)") == 3


def test_the_minutes_of_a_week_begin_with_sunday() -> None:
    assert minutes_of_week("cron(*/30 */12 ? * SUN *)") == {0, 30, 720, 750}


def test_schedules_meet_while_a_run_may_last() -> None:
    monday, later = "cron(50 23 ? * MON *)", "cron(4 0 ? * TUE *)"
    assert schedules_overlap(monday, later, 15 * MINUTE)
    assert not schedules_overlap(monday, later, 14 * MINUTE)
    assert schedules_overlap(later, monday, 15 * MINUTE)
    assert not schedules_overlap(monday, "cron(4 0 ? * MON *)", 15 * MINUTE)
    assert schedules_overlap("cron(50 23 ? * SAT *)", "cron(0 0 ? * SUN *)", 15 * MINUTE)
    assert schedules_overlap("cron(0 5 1 * ? *)", "cron(0 5 ? * WED *)", MINUTE)
    assert schedules_overlap("cron(0 5 ? * 3#1 *)", "cron(0 5 ? * WED *)", MINUTE)
    assert schedules_overlap("rate(1 hour)", monday, MINUTE)
    assert not schedules_overlap("cron(0 5 * * ? *)", "cron(0 6 * * ? *)", HOUR)
