"""Durations and working hours as an operator writes them: "7d", "90m", "Mon-Fri 08-20"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
DAYS_PER_YEAR = 366
YEAR = timedelta(days=DAYS_PER_YEAR)

DURATION_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE}
LONGEST_DURATION = timedelta(days=3650)
"""The longest accepted duration: longer ones are typing errors, and leave the calendar when subtracted."""

LAST_ZONE = "Etc/GMT+12"
"""The time zone where each day begins last on Earth."""

ZONE_SPREAD = timedelta(hours=26)
"""The time between the clocks of the first time zone (UTC+14) and the last (UTC-12)."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def parse_duration(text: str) -> timedelta:
    """
    Parse "7d", "6h", "90m" or "1d12h".

    Raises ValueError with the accepted form.
    """
    parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?", text.strip())
    if not parts or not any(parts.groups()):
        raise ValueError(f"{text!r} is not a duration; write it like 7d, 6h or 90m")
    counted = zip(parts.groups(), DURATION_UNITS.values(), strict=True)
    try:
        span = sum((int(count) * unit for count, unit in counted if count), timedelta())
    except OverflowError:
        span = timedelta.max
    if span > LONGEST_DURATION:
        raise ValueError(f"{text!r} is longer than {LONGEST_DURATION.days} days")
    return span


def format_duration(span: timedelta) -> str:
    """Format a timedelta as `parse_duration` reads it, in its largest units: "1d12h"."""
    minutes = round(span.total_seconds() / 60)
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    shown = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if count]
    return "".join(shown) or "0m"


def format_age(span: timedelta) -> str:
    """Format an age for a reader, rounded down: "41 days", "3 hours", "12 minutes"."""
    for unit, length in (("day", DURATION_UNITS["d"]), ("hour", DURATION_UNITS["h"])):
        if span >= 2 * length:
            return f"{span // length} {unit}s"
    count = span // DURATION_UNITS["m"]
    if count < 1:
        return "less than a minute"
    return f"{count} minute{'' if count == 1 else 's'}"


def format_hours(hours: float) -> str:
    """
    Format a length of *hours* that is not rounded to days: "1 hour", "36.4 hours", "1,440 hours".

    Less than an hour is in minutes, as `format_age` writes it.
    """
    if math.isinf(hours):
        return "unlimited time"
    if hours < 0.95:
        return format_age(timedelta(hours=hours))
    shown = f"{hours:,.1f}".removesuffix(".0") if hours < 99.95 else f"{hours:,.0f}"
    return f"{shown} hour{'' if shown == '1' else 's'}"


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Weekdays and hours in which people are expected at work, in *time_zone*; holidays are free."""

    days: frozenset[int] = frozenset(range(5))
    start: int = 8
    end: int = 20
    time_zone: str = "UTC"
    holidays: Sequence[date] = ()

    @classmethod
    def parse(cls, text: str, time_zone: str = "UTC", holidays: Sequence[date] = ()) -> WorkingHours:
        """
        Parse "Mon-Fri 08-20" in *time_zone*.

        Raises ValueError with the accepted form.
        """
        form = re.fullmatch(
            r"([A-Z][a-z]{2})-([A-Z][a-z]{2}) (\d{1,2})-(\d{1,2})", text.strip().replace("\u2013", "-")
        )
        if (
            not form
            or form[1] not in WEEKDAYS
            or form[2] not in WEEKDAYS
            or not int(form[3]) < int(form[4]) <= 24
        ):
            raise ValueError(f"{text!r} are not working hours; write them like Mon-Fri 08-20")
        first, last = (
            WEEKDAYS.index(form[1]),
            WEEKDAYS.index(form[2]),
        )  # "Sun-Thu" runs across the end of a week
        days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
        return cls(days, int(form[3]), int(form[4]), time_zone, tuple(holidays))

    def well_into(self, at: datetime, lead: timedelta) -> datetime:
        """Return the first moment from *at* on that is in working hours, at least *lead* after they began."""
        zone = ZoneInfo(self.time_zone)
        first = datetime.combine(at.astimezone(zone), time(), zone)
        for number in range(DAYS_PER_YEAR):
            day = first + timedelta(days=number)
            begin, end = (day + timedelta(hours=hour) for hour in (self.start, self.end))
            if day.weekday() in self.days and day.date() not in self.holidays and at < end:
                return max(at, (begin.astimezone(UTC) + lead).astimezone(at.tzinfo))
        return at + YEAR

    def well_into_anywhere(self, at: datetime, lead: timedelta) -> datetime:
        """
        Return a moment that is not before `well_into` in any time zone, for an unknown time zone.

        The clock of the last zone at *at* + 26 hours shows no less than the clock of any zone at *at*.
        """
        return replace(self, time_zone=LAST_ZONE).well_into(at + ZONE_SPREAD, lead)

    def include(self, now: datetime) -> bool:
        """Return whether *now* is in working hours."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        working_day = local.weekday() in self.days and not self.holiday(now)
        return working_day and self.start <= local.hour < self.end

    def holiday(self, now: datetime) -> bool:
        """Return whether *now* is on a holiday, in the time zone."""
        return now.astimezone(ZoneInfo(self.time_zone)).date() in self.holidays

    def next_opening(self, now: datetime) -> datetime:
        """Return the next start of working hours; a year from *now* if every day until then is free."""
        return next((at for at in self._each(now, self.start, range(DAYS_PER_YEAR)) if at > now), now + YEAR)

    def next_closing(self, now: datetime) -> datetime:
        """Return the next end of working hours; a year from *now* if every day until then is free."""
        return next(
            (at for at in self._each(now, self.end, range(-1, DAYS_PER_YEAR)) if at > now), now + YEAR
        )

    def last_closing(self, now: datetime) -> datetime:
        """Return the last end of working hours up to *now*; a year before if every day since was free."""
        return next(
            (at for at in self._each(now, self.end, range(0, -DAYS_PER_YEAR, -1)) if at <= now), now - YEAR
        )

    def _each(self, now: datetime, hour: int, days: Iterable[int]) -> Iterator[datetime]:
        """Yield *hour* of each working day among *days*, counted from the day of *now*."""
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        for number in days:
            day = today + timedelta(days=number)
            if day.weekday() in self.days and day not in self.holidays:
                over, rest = divmod(hour, 24)
                yield datetime.combine(day + timedelta(days=over), time(rest), zone).astimezone(UTC)

    def __str__(self) -> str:
        return f"{_spoken(self.days)} {self.start:02}-{self.end:02} {self.time_zone}"


def _spoken(days: frozenset[int]) -> str:
    """Return weekdays as a span if they are adjacent, also across a week's end ("Sun-Thu"), else a list."""
    for first in sorted(days):
        span = [(first + n) % 7 for n in range(len(days))]
        if days == frozenset(span):
            return f"{WEEKDAYS[span[0]]}-{WEEKDAYS[span[-1]]}"
    return ", ".join(WEEKDAYS[day] for day in sorted(days))
