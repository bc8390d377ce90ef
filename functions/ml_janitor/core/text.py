"""
Format money, times and text from AWS for readers, and quote names: such text is hostile input.

Each kind of output has one quoting function: `escape_text` for terminals, `quote_shell`, `quote_toml`,
`quote_sql`, `quote_url`, `quote_cell` for CSV, `escape_mrkdwn` for Slack. jinja2 and markupsafe escape HTML.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from ml_janitor.core.money import round_to_cents

SLACK_ID = re.compile(r" \([UW][A-Z0-9]+\)$")

MARKDOWN_MARKS = re.compile(r"[\\`*_{}\[\]<>#|~&@!:]|^[-+]|^\d+(?=[.)])")
"""Characters that mean something in Markdown; `:` begins a link in GitHub's, and `@` mentions somebody."""

DATA_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")

INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (bidi overrides, zero-width), surrogate, private, unassigned; line and paragraph ends."""


FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters with which a formula begins in a spreadsheet, their full-width forms included."""

_PLAIN_VALUE = r"[\w@%+=:,./-]*[\w@%+=/-]"
COMMAND_PATTERN = re.compile(
    r"\bjanitor (?:approve|undo|restart) [a-z0-9-]+|\b(?:aws|janitor)(?: [a-z][a-z0-9-]*){1,2}"
    rf"(?: --[a-z0-9-]+(?:[ =](?:\$?'[^']*'|{_PLAIN_VALUE}))?| \$?'[^']*'| (?:s3://|arn:){_PLAIN_VALUE})+"
)
"""
A command with what follows from its first option, quoted word or address on, without the sentence around it.

`quote_shell` makes its words: they have no quotes within their quotes.
"""


_currency_sign: ContextVar[str] = ContextVar("currency_sign", default="$")


@contextmanager
def amounts_in(currency: str) -> Iterator[None]:
    """Format amounts in *currency* meanwhile: "CNY 1,234" for any but US dollars."""
    token = _currency_sign.set("$" if currency == "USD" else f"{currency} ")
    try:
        yield
    finally:
        _currency_sign.reset(token)


def currency_sign() -> str:
    """Return the beginning of an amount: "$", or the code of another currency."""
    return _currency_sign.get()


def format_usd(amount: Decimal) -> str:
    """Format dollars for a reader: whole dollars from 100 on, cents below; a little is not nothing."""
    sign = currency_sign()
    if amount < 0 and round_to_cents(amount):
        return f"-{format_usd(-amount)}"
    if amount > 0 and not round_to_cents(amount):
        return f"<{sign}0.01"
    return f"{sign}{amount:,.0f}" if amount >= 100 else f"{sign}{abs(round_to_cents(amount) or 0):,.2f}"


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
    that uses them. Text over *longest* characters is cut in the middle, and its commands are left out: half
    of a command would do something else when it is pasted.
    """
    shown = "".join(escape_character(character) for character in text)
    if len(shown) > longest:
        shown = shorten_commands(shown)
    if len(shown) <= longest:
        return shown
    half = (longest - 5) // 2
    return f"{shown[:half]} ... {shown[-half:]}"


def escape_character(character: str) -> str:
    """Return *character*, or its escape if it is invisible or moves the cursor."""
    if unicodedata.category(character) in INVISIBLE_CATEGORIES:
        return character.encode("unicode_escape").decode("ascii")
    return character


def quote_shell(text: str) -> str:
    r"""
    Return *text* as one word of bash, ksh or zsh.

    A quote, a backtick or an invisible character becomes an escape of `$'...'`. Slack and terminals show
    something else in their place, so that the copied word would no longer be quoted.
    """
    if not any(character in "'`" or escape_character(character) != character for character in text):
        return shlex.quote(text)
    return f"$'{''.join(map(_shell_character, text))}'"


def _shell_character(character: str) -> str:
    if character in "'`\\" or escape_character(character) != character:
        return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogatepass"))
    return character


def quote_toml(text: str) -> str:
    """Return *text* as a basic string of TOML, on one line."""
    return f'"{"".join(map(_toml_character, text))}"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return f"\\U{ord(character):08x}" if escape_character(character) != character else character


def quote_sql(text: str) -> str:
    """Return *text* as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_url(text: str) -> str:
    """Return *text* as one segment of a URL's path, or as one value of its query."""
    return quote(text, safe="")


def quote_cell(text: str) -> str:
    """Return *text* as a cell of CSV that is visible, and that no spreadsheet takes for a formula."""
    shown = "".join(map(escape_character, text))
    return f"'{shown}" if text.lstrip().startswith(FORMULA_STARTS) or text[:1].isspace() else shown


def escape_markdown(text: str) -> str:
    """Escape *text* for a cell or line of GitHub's Markdown: no markup, link, mention or HTML is left."""
    return MARKDOWN_MARKS.sub(lambda mark: f"&#{ord(mark[0])};", escape_text(text, 1000))


def escape_mrkdwn(text: str) -> str:
    """Return *text* with the three characters that Slack parses replaced, so that it mentions nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape_mrkdwn(text: str) -> str:
    """Return the text that `escape_mrkdwn` escaped."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def shorten_commands(text: str, longest: int = 0) -> str:
    """Return *text* with the first words alone of each command of more than *longest* characters."""
    return COMMAND_PATTERN.sub(
        lambda found: (
            found[0]
            if len(found[0]) <= longest
            else f"{re.split(" ['$]| --| s3:| arn:", found[0])[0]} ... (too long to show here)"
        ),
        text,
    )


def count_noun(number: float, noun: str) -> str:
    """Format a number of things: "1 finding", "2 findings", "2 families", "2 buckets of old objects"."""
    singular, of, rest = noun.partition(" of ")
    plural = f"{singular[:-1]}ies" if re.search("[^aeiou]y$", singular) else f"{singular}s"
    return f"{number:,.15g} {noun if number == 1 else plural + of + rest}"


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
    """Format *size* in its largest binary unit, as S3's console and bills do: "4.2 GB", "1,000 GB"."""
    amount, unit = float(size), 0
    while round(amount, 1) >= 1024 and unit < len(DATA_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{f'{amount:,.1f}'.removesuffix('.0')} {DATA_UNITS[unit]}"
