"""Notebook instances that stop outside working hours: which, when, and the saving. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase

from ml_janitor.aws.prices import Price
from ml_janitor.core.cost import HOURS_PER_MONTH, Cost
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.model import ActionSchedule, Target
from ml_janitor.core.signals import Value

CLOSING_NOTICE = timedelta(hours=2)
"""Time before closing at which the owner is warned."""

_HOURS_OF_A_WEEK = 168

_NOTEBOOK_GLOB = re.compile(r"[A-Za-z0-9*?\[\]!-]+|arn:.+")
"""A glob over names of notebook instances, or over their ARNs."""


def check_stop_entries(entries: Iterable[str]) -> None:
    """Raise ValueError for the first of *entries* that is neither a tag nor a glob."""
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not (key.strip() and value.strip() if equals else _NOTEBOOK_GLOB.fullmatch(entry)):
            raise ValueError(
                f'stop_outside_hours: "{entry}" is no tag such as "schedule=office-hours", and no glob over '
                'names such as "team-a-*"'
            )


def matches_stop_entries(entries: Iterable[str], target: Target) -> bool:
    """Return whether one of *entries*, tags ("key=glob") or globs over name or ARN, matches *target*."""
    known = target.tags.value if isinstance(target.tags, Value) else {}
    tags = {key.strip().lower(): value.strip().lower() for key, value in known.items()}

    def fits(entry: str) -> bool:
        key, equals, glob = entry.lower().partition("=")
        texts = [tags.get(key.strip())] if equals else [target.name.lower(), target.arn.lower()]
        return any(fnmatchcase(text, (glob if equals else key).strip()) for text in texts if text is not None)

    return any(map(fits, entries))


def closing_schedule(hours: WorkingHours, now: datetime) -> ActionSchedule | None:
    """
    Return the closing that matters *now*: the next in the last two working
    hours, after closing the last.
    """
    if hours.include(now):
        closing = hours.next_closing(now)
        if now < closing - CLOSING_NOTICE:
            return None
    else:
        closing = hours.last_closing(now)
    return ActionSchedule(closing=closing, due=closing, next_closing=hours.next_closing(max(now, closing)))


def outside_hours_cost(price: Price, hours: WorkingHours) -> Cost:
    """Return the cost of running outside working hours in a month."""
    if price.hourly_usd is None:
        return Cost.standing(None, price.source)
    open_ = len(hours.days) * (hours.end - hours.start)
    closed = Decimal(_HOURS_OF_A_WEEK - open_) / _HOURS_OF_A_WEEK
    return Cost(price.hourly_usd, price.hourly_usd * HOURS_PER_MONTH * closed, None, price.source)
