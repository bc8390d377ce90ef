"""Format money, times and text from AWS for readers; such text is hostile input."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from ml_janitor.core.money import round_to_cents

SLACK_ID = re.compile(r" \([UW][A-Z0-9]+\)$")

DATA_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")

INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (bidi overrides, zero-width), surrogate, private, unassigned; line and paragraph ends."""


def format_usd(amount: Decimal) -> str:
    """Format dollars for a reader: whole dollars from 100 on, cents below; a little is not nothing."""
    if amount < 0 and round_to_cents(amount):
        return f"-{format_usd(-amount)}"
    if amount > 0 and not round_to_cents(amount):
        return "<$0.01"
    return f"${amount:,.0f}" if amount >= 100 else f"${abs(round_to_cents(amount) or 0):,.2f}"


def format_time(at: datetime) -> str:
    """Format a time for a reader: "2026-10-06 03:00 UTC"."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_iso(at: datetime) -> str:
    """Format a time as in evidence: "2026-10-06T03:00:00Z"."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def format_local_time(at: datetime, time_zone: str) -> str:
    """Format a time for people in *time_zone*: "Fri 27 Nov 05:00 (Europe/Berlin)"."""
    return f"{at.astimezone(ZoneInfo(time_zone)):%a %-d %b %H:%M} ({time_zone})"


def escape_text(text: str, longest: int = 500) -> str:
    r"""
    Return *text* on one line, without characters that move the cursor, turn the direction or hide.

    Such characters become visible escapes (`\x1b`, `\u202e`), so that a reader sees a name
    that uses them. Text over *longest* characters is cut in the middle.
    """
    shown = "".join(escape_character(character) for character in text)
    if len(shown) <= longest:
        return shown
    half = (longest - 5) // 2
    return f"{shown[:half]} ... {shown[-half:]}"


def escape_character(character: str) -> str:
    """Return *character*, or its escape if it is invisible or moves the cursor."""
    if unicodedata.category(character) in INVISIBLE_CATEGORIES:
        return character.encode("unicode_escape").decode("ascii")
    return character


def join_words(words: Sequence[str]) -> str:
    """Join *words* for a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def shorten_list(names: Sequence[str], most: int) -> str:
    """Return the first *most* of *names*, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def person_name(by: str) -> str:
    """
    Return a person's name as stored, without the id of their Slack account.

    The ledger and the log keep the id, which tells namesakes apart; readers do not need it.
    """
    return SLACK_ID.sub("", by)


def format_size(size: int) -> str:
    """Format *size* in its largest binary unit, as S3's console and bills do: "4.2 GB"."""
    amount, unit = float(size), 0
    while round(amount, 1) >= 1024 and unit < len(DATA_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {DATA_UNITS[unit]}" if unit else f"{size} bytes"
