"""Check schedules of EventBridge Scheduler, and compute their periods and overdue times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ml_janitor.core.durations import DAY, HOUR, MINUTE, WEEK, YEAR

LONGEST_MONTH = timedelta(days=31)

SUNDAY = datetime(2026, 2, 1)  # noqa: DTZ001 - in the cron's own zone
"""A Sunday: a cron's week begins with Sunday."""

CRON_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
CRON_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

RATE_EXPRESSION = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
CRON_EXPRESSION = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")

CRON_FIELDS = {
    "minute": range(60),
    "hour": range(24),
    "day of the month": range(1, 32),
    "month": range(1, 13),
    "day of the week": range(1, 8),
    "year": range(1970, 2200),
}
"""The fields of a cron in order, with their values (EventBridge Scheduler User Guide, "Schedule types")."""

CRON_NAMES = {CRON_FIELDS["day of the week"]: CRON_DAYS, CRON_FIELDS["month"]: CRON_MONTHS}

CRON_SPECIAL = {
    "day of the month": re.compile(r"\?|L|LW|([1-9]|[12]\d|3[01])W"),
    "day of the week": re.compile(rf"\?|L|([1-7]|{'|'.join(CRON_DAYS)})(L|#[1-5])"),
}
"""Additional values of the two day fields."""


def schedule_fault(schedule: str) -> str | None:
    """Return the fault of *schedule*, as the end of a sentence (may be empty); None if it is usable."""
    if rate := RATE_EXPRESSION.fullmatch(schedule):
        return None if int(rate[1]) else ", at least 1"
    if (cron := CRON_EXPRESSION.fullmatch(schedule)) is None:
        return ""
    given = dict(zip(CRON_FIELDS, cron.groups(), strict=True))
    for name, text in given.items():
        special = CRON_SPECIAL.get(name)
        if not parse_cron_field(text, CRON_FIELDS[name]) and not (special and special.fullmatch(text)):
            values = CRON_FIELDS[name]
            return f' whose {name} is within {values.start}-{values.stop - 1}, not "{text}"'
    if [given[name] for name in CRON_SPECIAL].count("?") != 1:
        return " with ? either as the day of the month or as that of the week"
    return None


def schedule_period(schedule: str) -> timedelta:
    """
    Return the longest time between two runs of an EventBridge schedule.

    For a cron, only the hours and either the days of the week or those of the month are read; unreadable
    fields ("L", "3#1") count as monthly, and named months as yearly.
    """
    if rate := RATE_EXPRESSION.fullmatch(schedule):
        return timedelta(**{f"{rate[2]}s": int(rate[1])})
    _, hour, day_of_month, month, day_of_week, _ = cron_fields(schedule)
    if month != "*":
        return YEAR
    if day_of_week not in {"*", "?"}:
        between = (
            longest_gap(parse_cron_field(day_of_week, CRON_FIELDS["day of the week"]), 7, DAY)
            or LONGEST_MONTH
        )
    elif day_of_month not in {"*", "?"}:
        between = (
            longest_gap(parse_cron_field(day_of_month, CRON_FIELDS["day of the month"]), 31, DAY)
            or LONGEST_MONTH
        )
    else:
        between = DAY
    return (
        between
        if between > DAY
        else longest_gap(parse_cron_field(hour, CRON_FIELDS["hour"]), 24, HOUR) or DAY
    )


def cron_fields(cron: str) -> list[str]:
    """Split *cron* into its six fields."""
    return cron.removeprefix("cron(").removesuffix(")").split()


def hours_of_week(schedule: str, time_zone: str) -> list[datetime]:
    """
    Return the hours in a week at which a cron in *time_zone* with named days of the week runs; else [].

    The week is arbitrary.
    """
    if not schedule.startswith("cron("):
        return []
    _, hour, _, _, day_of_week, _ = cron_fields(schedule)
    days = (
        set() if day_of_week in {"*", "?"} else parse_cron_field(day_of_week, CRON_FIELDS["day of the week"])
    )
    hours = sorted(parse_cron_field(hour, CRON_FIELDS["hour"]))
    sunday = SUNDAY.replace(tzinfo=ZoneInfo(time_zone))
    return [sunday + (day - 1) * DAY + at * HOUR for day in sorted(days) for at in hours]


def first_weekday(schedule: str) -> int:
    """Return the first day of a week (0 is Monday) on which *schedule* runs: Monday, if it names no days."""
    return min((run.weekday() for run in hours_of_week(schedule, "UTC")), default=0)


def schedules_overlap(schedule: str, other: str, span: timedelta) -> bool:
    """
    Return whether runs of two schedules in one time zone may overlap, if each takes up to *span*.

    The minute of a rate is unknown. For a cron, minutes, hours and days of the week are read; it may
    run on every day if it names other days, or if a field is unreadable.
    """
    if not (schedule.startswith("cron(") and other.startswith("cron(")):
        return True
    length, runs = int(span / MINUTE), minutes_of_week(other)
    return any(
        (at + by) % (WEEK // MINUTE) in runs
        for at in minutes_of_week(schedule)
        for by in range(1 - length, length)
    )


def minutes_of_week(cron: str) -> set[int]:
    """Return the minutes from Sunday 0:00 on at which *cron* may run."""
    minute, hour, _, _, day_of_week, _ = cron_fields(cron)
    week = CRON_FIELDS["day of the week"]
    days = parse_cron_field("*" if day_of_week == "?" else day_of_week, week) or set(week)
    return {
        ((day - 1) * 24 + at) * 60 + past
        for day in days
        for at in parse_cron_field(hour, CRON_FIELDS["hour"])
        for past in parse_cron_field(minute, CRON_FIELDS["minute"])
    }


def missed_days(schedule: str, hours: Iterable[int], days: Iterable[int]) -> list[int]:
    """
    Return those of *days* (0 is Monday) on which *schedule* may miss all of *hours*, in its own time zone.

    The minute of a rate is unknown, so its period must not be longer than *hours*.
    """
    wanted, days = set(hours), sorted(days)
    if schedule.startswith("rate("):
        return [] if schedule_period(schedule) <= len(wanted) * HOUR else days
    _, hour, day_of_month, month, day_of_week, _ = cron_fields(schedule)
    if (
        month != "*"
        or day_of_month not in {"*", "?"}
        or not wanted & parse_cron_field(hour, CRON_FIELDS["hour"])
    ):
        return days
    every = day_of_week in {"*", "?"}
    runs = {
        (day - 2) % 7 for day in parse_cron_field(day_of_week, CRON_FIELDS["day of the week"])
    }  # Sunday is 1
    return [day for day in days if not every and day not in runs]


def runs_within(
    schedule: str, span: timedelta, *, now: datetime, time_zone: str, last: datetime | None
) -> bool:
    """
    Return whether *schedule* runs in the *span* after *now*, as far as it can be read.

    A rate counts from its *last* run. A cron with "L", "W" or "#" cannot be read: the answer is False.
    """
    if RATE_EXPRESSION.fullmatch(schedule):
        return last is not None and now < last + schedule_period(schedule) <= now + span
    given = dict(zip(CRON_FIELDS, cron_fields(schedule), strict=True))
    wanted = {
        name: parse_cron_field("*" if text == "?" else text, CRON_FIELDS[name])
        for name, text in given.items()
    }
    there = now.astimezone(ZoneInfo(time_zone))
    return any(
        _runs(wanted, there + timedelta(minutes=number))
        for number in range(1, int(span.total_seconds()) // 60 + 1)
    )


def _runs(wanted: Mapping[str, set[int]], at: datetime) -> bool:
    own = (at.minute, at.hour, at.day, at.month, at.isoweekday() % 7 + 1, at.year)
    return all(value in wanted[name] for name, value in zip(CRON_FIELDS, own, strict=True))


def longest_gap(moments: Iterable[int], cycle: int, unit: timedelta) -> timedelta | None:
    """Return the longest gap between *moments* in a *cycle* of *unit*; None without moments."""
    ordered = sorted(moments)
    if not ordered:
        return None
    following = [*ordered[1:], ordered[0] + cycle]
    return max(after - before for before, after in zip(ordered, following, strict=True)) * unit


def parse_cron_field(field: str, values: range) -> set[int]:
    """Return the values that a cron's field names, out of *values*; empty if it cannot be read."""
    found: set[int] = set()
    for part in field.split(","):
        if (named := re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)) is None:
            return set()
        start, end, step = named.groups()
        names = CRON_NAMES.get(values, ())
        first = values.start if start == "*" else parse_cron_number(start, names)
        last = parse_cron_number(end, names) if end else values.stop - 1 if start == "*" or step else first
        if first not in values or last not in values or step == "0":
            return set()
        if last < first:  # FRI-MON goes round
            last += len(values)
        found |= {
            (value - values.start) % len(values) + values.start
            for value in range(first, last + 1, int(step or 1))
        }
    return found


def parse_cron_number(text: str, names: Sequence[str]) -> int:
    """Return a number, or the number that a cron means by one of *names*; -1 if it is neither."""
    if text in names:
        return names.index(text) + 1
    return int(text) if text.isdecimal() else -1


def overdue_after(schedule: str) -> timedelta:
    """Return the time after its last run when a schedule is late: two periods, or one and some hours."""
    every = schedule_period(schedule)
    return 2 * every + HOUR if every < DAY else every + 3 * HOUR


def missed_after(schedule: str) -> timedelta:
    """Return the time after its last run when a run was missed: an alarm knows within three hours of one."""
    every = schedule_period(schedule)
    return min(overdue_after(schedule), every + max(every / 2, HOUR / 2))
