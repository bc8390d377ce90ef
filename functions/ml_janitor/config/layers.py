"""Lays unchecked settings over each other, and hides values that look like secrets."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SLACK_CREDENTIAL = re.compile(
    r"xox[a-z][.-]|xapp-|hooks\.slack|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE
)
"""Slack's tokens, a webhook's address, and the 32 hexadecimal digits of a signing secret (docs.slack.dev)."""

REDACTED_TEXT = "(not shown: it looks like a secret)"


class SettingsError(ValueError):
    """An invalid setting; the message is one line with the setting and the expected value."""


def layer_tables(
    files: Sequence[Path], base: Mapping[str, Any], overrides: Iterable[str], *, sections: Container[str]
) -> dict[str, Any]:
    """
    Return the tables of *files*, *base* and *overrides*; later ones win, key by key. Raises SettingsError.

    An override that names none of *sections* is for a detector.
    """
    tables: dict[str, Any] = {}
    for path in files:
        lay_over(tables, read_toml(path))
    lay_over(tables, base)
    for override in overrides:
        lay_over(tables, parse_override(override, sections))
    return tables


def lay_over(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put the keys of *over* over those of *under*, table by table."""
    for key, value in over.items():
        if isinstance(value, Mapping):
            table = under.get(key)
            under[key] = table = dict(table) if isinstance(table, Mapping) else {}
            lay_over(table, value)
        else:
            under[key] = value


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of the TOML document at *path*. Raises SettingsError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: it is not written in UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error


def parse_override(text: str, sections: Container[str]) -> dict[str, Any]:
    """
    Parse "idle-endpoints.window=14d" to tables: the value is TOML, else the text as a string.

    "janitor.time_zone=Europe/Berlin" is for all detectors, "bill.days=7" for the bill.
    Raises SettingsError.
    """
    path, equals, written = text.partition("=")
    keys = path.strip().removeprefix("detectors.").split(".")
    if not equals or len(keys) < 2 or not all(keys):
        raise SettingsError(
            f"--set {redact_secret(text)}: write it as DETECTOR.FIELD=VALUE, for example "
            f"idle-endpoints.window=14d"
        )
    if keys[0] not in sections:
        keys = ["detectors", *keys]
    tables: Any = parse_toml_value(written.strip())
    for key in reversed(keys):
        tables = {key: tables}
    whole: dict[str, Any] = tables
    return whole


def parse_toml_value(text: str) -> Any:
    """Parse *text* as one TOML value, or else return it as a string."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def check_keys(where: str, table: object, known: Sequence[str]) -> Mapping[str, Any]:
    """Return *table* if it has only *known* keys. Raises SettingsError that names the nearest key."""
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where}: expected a table, got {format_toml(table)}")
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in known:
            raise SettingsError(f"unknown setting {prefix}{key}{suggest_nearest(key, known)}")
    return table


def redact_secret(text: str) -> str:
    """Return *text*, or a placeholder if it looks like a credential of Slack."""
    return REDACTED_TEXT if SLACK_CREDENTIAL.search(text) else text


def suggest_nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that *word* may be meant for, or ""."""
    near = difflib.get_close_matches(word, list(known), 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def format_toml(value: object) -> str:
    """Format *value* roughly as TOML, for a message."""
    match value:
        case bool():
            shown = str(value).lower()
        case str():
            shown = f'"{value}"' if value == redact_secret(value) else redact_secret(value)
        case list():
            shown = f"[{', '.join(format_toml(item) for item in value)}]"
        case Mapping():
            shown = "a table"
        case _:
            shown = str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
