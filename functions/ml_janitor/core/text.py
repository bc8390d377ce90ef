"""Formats money, times and text from AWS for readers; such text is hostile input. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from ml_janitor.core.money import cents

SLACK_ID = re.compile(r" \([UW][A-Z0-9]+\)$")

UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (bidi overrides, zero-width), surrogate, private, unassigned; line and paragraph ends."""


def usd(amount: Decimal) -> str:
    """Format dollars for a reader: whole dollars from 100 on, cents below; a little is not nothing."""
    if amount < 0 and cents(amount):
        return f"-{usd(-amount)}"
    if amount > 0 and not cents(amount):
        return "<$0.01"
    return f"${amount:,.0f}" if amount >= 100 else f"${abs(cents(amount) or 0):,.2f}"


def moment(at: datetime) -> str:
    """Format a time for a reader: "2026-10-06 03:00 UTC"."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def iso(at: datetime) -> str:
    """Format a time as in evidence: "2026-10-06T03:00:00Z"."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def local(at: datetime, time_zone: str) -> str:
    """Format a time for people in *time_zone*: "Fri 27 Nov 05:00 (Europe/Berlin)"."""
    return f"{at.astimezone(ZoneInfo(time_zone)):%a %-d %b %H:%M} ({time_zone})"


def plain(text: str, longest: int = 500) -> str:
    r"""
    Return *text* on one line, without characters that move the cursor, turn the direction or hide.

    Such characters become visible escapes (`\x1b`, `\u202e`), so that a reader sees a name
    that uses them. Text over *longest* characters is cut in the middle.
    """
    shown = "".join(escaped(character) for character in text)
    if len(shown) <= longest:
        return shown
    half = (longest - 5) // 2
    return f"{shown[:half]} ... {shown[-half:]}"


def escaped(character: str) -> str:
    """Return *character*, or its escape if it is invisible or moves the cursor."""
    if unicodedata.category(character) in INVISIBLE:
        return character.encode("unicode_escape").decode("ascii")
    return character


def listed(words: Sequence[str]) -> str:
    """Join *words* for a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def some(names: Sequence[str], most: int) -> str:
    """Return the first *most* of *names*, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def named(by: str) -> str:
    """
    Return a person's name as stored, without the id of their Slack account.

    The ledger and the log keep the id, which tells namesakes apart; readers do not need it.
    """
    return SLACK_ID.sub("", by)


def data_size(size: int) -> str:
    """Format *size* in its largest binary unit, as S3's console and bills do: "4.2 GB"."""
    amount, unit = float(size), 0
    while round(amount, 1) >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{size} bytes"
