"""The kept resources, drawn for a terminal: the commonest reasons, or each resource with its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import RenderableType

from ml_janitor.core.model import Kept, Result
from ml_janitor.core.text import plain
from ml_janitor_cli.finding_rows import NAME_LIMIT
from ml_janitor_cli.screen import Grid

REASONS_SHOWN = 4


def in_short(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """The commonest reasons to keep; reasons that differ in numbers and dates only count as one."""
    alike: dict[str, list[str]] = {}
    for _, verdict in kept:
        alike.setdefault(pattern(verdict.reason), []).append(plain(verdict.reason))
    ranked = sorted(alike.values(), key=len, reverse=True)
    shown = ranked if len(ranked) <= REASONS_SHOWN else ranked[: REASONS_SHOWN - 1]
    table = Grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(style="dim")
    for number, reasons in enumerate(shown):
        like = "like: " if len(set(reasons)) > 1 else ""
        table.add_row("kept" if number == 0 else "", str(len(reasons)), f"{like}{reasons[0]}")
    if rest := sum(map(len, ranked[len(shown) :])):
        table.add_row("", str(rest), "for other reasons; --all lists them")
    return table


def pattern(reason: str) -> str:
    """*reason* without its numbers, dates and plurals."""
    words = re.sub(r"\S*\d\S*", "#", reason).split()
    return " ".join(word.rstrip(",.;").removesuffix("s") for word in words)


def one_by_one(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """Every kept resource with its reason."""
    table = Grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(style="dim")
    for number, (result, verdict) in enumerate(kept):
        name = plain(result.target.name, NAME_LIMIT)
        table.add_row("kept" if number == 0 else "", name, plain(verdict.reason))
    return table
