"""How often a schedule runs, and when its silence means that something is wrong. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


def period(schedule: str) -> timedelta:
    """
    The time between two runs of an EventBridge schedule, or the longest there can be for a cron.

    A cron that names a day of the month or of the week counts as weekly, any other one as daily;
    one that runs every hour says so with "*" or a step in its hour.
    """
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule):
        return timedelta(**{f"{rate[2]}s": int(rate[1])})
    _, hour, day_of_month, month, day_of_week, _ = schedule.removeprefix("cron(").removesuffix(")").split()
    if {day_of_month, month, day_of_week} <= {"*", "?"}:
        return timedelta(hours=1) if hour == "*" else DAY
    return WEEK


def overdue_after(schedule: str) -> timedelta:
    """How long after its last run a schedule is late: two periods for short ones, else one and some hours."""
    every = period(schedule)
    return 2 * every + timedelta(hours=1) if every < DAY else every + timedelta(hours=3)
