"""The demo's now, and how long before it things happened."""

from datetime import UTC, datetime, timedelta
from zlib import crc32

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
"""A Tuesday night in UTC, and a Monday evening in Seattle, where this company works."""

SATURDAY = 5
AFTERNOON = timedelta(hours=9)


def ago(**parts: float) -> datetime:
    """Return the time so long before now: `ago(days=3, hours=2)`."""
    return NOW - timedelta(**parts)


def chance(*about: object) -> float:
    """Return a number in [0, 1) that looks random and is always the same for the same words."""
    return crc32(repr(about).encode()) / 2**32


def workday(days: float, name: str) -> datetime:
    """
    Return a time on a working day about *days* ago, when someone may have made the thing of this *name*.

    Never later than that many days ago. Between 18:00 and 03:00 UTC, which is office time in Seattle.
    """
    moment = NOW - timedelta(days=days) - chance("workday", name) * AFTERNOON
    while (moment - AFTERNOON).weekday() >= SATURDAY:
        moment -= timedelta(days=1)
    return moment.replace(microsecond=0)
