"""How reports write money, times, sizes, names and what an attacker may have put into them."""

import sqlite3
import tomllib
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from ml_janitor.core.text import (
    amounts_in,
    currency_sign,
    escape_mrkdwn,
    escape_text,
    format_iso,
    format_local_time,
    format_size,
    format_time,
    format_usd,
    join_words,
    person_name,
    quote_sql,
    quote_toml,
    shorten_commands,
    shorten_list,
    unescape_mrkdwn,
)
from tables import cases

AT = datetime(2026, 10, 6, 5, 0, 30, tzinfo=timezone(timedelta(hours=2)))


@cases(
    "amount, text",
    ("0", "$0.00"),
    ("0.0049", "<$0.01"),
    ("0.005", "$0.01"),
    ("-0.0049", "$0.00"),
    ("-0.006", "-$0.01"),
    ("0.5", "$0.50"),
    ("-12.3", "-$12.30"),
    ("99.99", "$99.99"),
    ("100", "$100"),
    ("1234567.8", "$1,234,568"),
    ("-1234", "-$1,234"),
)
def test_dollars(amount: str, text: str) -> None:
    assert format_usd(Decimal(amount)) == text


def test_another_currency_ends_with_its_report() -> None:
    with amounts_in("CNY"):
        assert format_usd(Decimal(-7)) == "-CNY 7.00"
    assert currency_sign() == "$"


@cases("text", "plain", "it's", "''", 'a"b', "a\\b", "&lt;&", "\n\x1b\u202e\U0001f6df")
def test_quoted_text_is_read_back(text: str) -> None:
    assert tomllib.loads(f"name = {quote_toml(text)}") == {"name": text}
    with closing(sqlite3.connect(":memory:")) as base:
        assert base.execute(f"SELECT {quote_sql(text)}").fetchone() == (text,)
    assert unescape_mrkdwn(escape_mrkdwn(text)) == text


def test_of_a_command_that_is_too_long_its_first_words_stay() -> None:
    command = "aws s3 rm --recursive s3://a"

    assert shorten_commands(f"Run {command}.") == "Run aws s3 rm ... (too long to show here)."
    assert shorten_commands(command, len(command)) == command
    assert shorten_commands(command, len(command) - 1) == "aws s3 rm ... (too long to show here)"


def test_times_are_in_utc_but_for_people_in_their_time_zone() -> None:
    assert format_time(AT) == "2026-10-06 03:00 UTC"
    assert format_iso(AT) == "2026-10-06T03:00:30Z"
    assert format_local_time(AT, "America/New_York") == "Mon 5 Oct 23:00 (America/New_York)"


@cases("length, shown", (20, "x" * 10 + "y" * 10), (21, "xxxxxxx ... yyyyyyy"), (40, "xxxxxxx ... yyyyyyy"))
def test_what_is_too_long_is_cut_in_its_middle(length: int, shown: str) -> None:
    assert escape_text("x" * (length // 2) + "y" * (length - length // 2), 20) == shown
    assert len(escape_text("x" * 22, 21)) == 21


def test_five_hundred_characters_are_shown_in_whole() -> None:
    assert escape_text("x" * 500) == "x" * 500
    assert len(escape_text("x" * 501)) == 499


@cases(
    "character, shown",
    ("\x1b", r"\x1b"),  # control
    ("\u202e", r"\u202e"),  # format: turns the direction
    ("\ud800", r"\ud800"),  # surrogate
    ("\ue000", r"\ue000"),  # private
    ("\u0378", r"\u0378"),  # unassigned
    ("\u2028", r"\u2028"),  # end of a line
    ("\u2029", r"\u2029"),  # end of a paragraph
    ("\n", r"\n"),
    ("ä", "ä"),
)
def test_what_moves_the_cursor_or_hides_is_escaped(character: str, shown: str) -> None:
    assert escape_text(f"a{character}b") == f"a{shown}b"


def test_words_in_a_sentence() -> None:
    assert [join_words(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [shorten_list("abcd", most) for most in (2, 3, 4)] == [
        "a, b and 2 more",
        "a, b, c and 1 more",
        "a, b, c, d",
    ]
    assert shorten_list(["a"] * 1001, 1) == "a and 1,000 more"
    assert [person_name(by) for by in ("maria (U0123ABC)", "maria (W1)", "maria (a)")] == [
        "maria",
        "maria",
        "maria (a)",
    ]


@cases(
    "size, text",
    (0, "0 bytes"),
    (1023, "1,023 bytes"),
    (1024, "1 KB"),
    (1024**2 - 52, "1,023.9 KB"),
    (1024**2 - 51, "1 MB"),
    (1024**3 * 9 // 2, "4.5 GB"),
    (1024**5, "1 PB"),
    (5000 * 1024**5, "5,000 PB"),
)
def test_sizes_are_binary(size: int, text: str) -> None:
    assert format_size(size) == text
