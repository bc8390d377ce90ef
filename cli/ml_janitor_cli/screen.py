"""Consoles that print every text literally, as wide as the reader can use, and no escape codes in a pipe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, takewhile
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ml_janitor.core.text import COMMAND_PATTERN, escape_text, shorten_commands
from ml_janitor.report.blocks import DocumentBlock, FigureBlock, HeadingBlock, NoteBlock, Rank, TableBlock

COLUMN_GAP = 2
PIPE_WIDTH = 100
NARROWEST_SCREEN, WIDEST_SCREEN = 60, 140
"""Limits of a console's width: below, nothing would be aligned; above, the eye loses the line."""


def make_console(stream: TextIO) -> Console:
    """
    Create a console on *stream* that takes every text literally.

    On a terminal it is as wide as that, up to `WIDEST_SCREEN`; anywhere else COLUMNS wide, else 100, so that
    a report in a file or a pipe always looks the same.
    """
    console = Console(file=stream, highlight=False, markup=False, emoji=False, legacy_windows=False)
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() and int(columns) else None
    width = asked or (console.width if stream.isatty() else PIPE_WIDTH)
    console.width = max(NARROWEST_SCREEN, min(WIDEST_SCREEN, width))
    return console


def print_blocks(blocks: Iterable[RenderableType], console: Console | None = None) -> None:
    """Print *blocks* with a blank line between them and no blanks at the ends of lines; else to stdout."""
    console = console or make_console(sys.stdout)
    with console.capture() as captured:
        for block in blocks:
            console.print(block, "", sep="\n", soft_wrap=isinstance(block, CommandLine))
    lines = [line.rstrip() for line in captured.get().rstrip().split("\n")]
    console.file.write(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n")


class CommandLine(Text):
    """A command on one line, however long: half of a command would do something else when it is pasted."""


ACTION_LIMIT = 50_000


def draw_action(action: str, width: int) -> Text:
    """Draw the proposed *action*, with each command on one line of *width*, or without it if too long."""
    text = f"Proposed: {escape_text(action, ACTION_LIMIT)}"
    if len(text) > width:
        whole = COMMAND_PATTERN.sub(r"\n\g<0>\n", shorten_commands(text, width))
        text = "\n".join(line.strip() for line in whole.splitlines())
    return Text(text, style="cyan")


def draw_long_commands(action: str, width: int) -> Iterator[CommandLine]:
    """Draw the commands of *action* that `draw_action` left out."""
    for found in COMMAND_PATTERN.finditer(escape_text(action, ACTION_LIMIT)):
        if len(found[0]) > width:
            yield CommandLine(found[0], style="cyan")


class Grid(Table):
    """Rows in columns; a cell that is too long continues in the next line, and is never cut."""

    def __init__(self) -> None:
        super().__init__(box=None, padding=(0, COLUMN_GAP, 0, 0), pad_edge=False, show_header=False)
        self.collapse_padding = True

    def add_row(self, *cells: RenderableType) -> None:  # type: ignore[override]
        """Add one row."""
        super().add_row(*cells)
        for column in self.columns:
            column.overflow = "fold"


def draw_title(what: str, summary: str) -> Text:
    """Draw the title of a page, and its result in a sentence."""
    return Text.assemble((f"{what}  ", "bold cyan"), (summary, "bold"))


def draw_head(name: Text, summary: Text | None = None) -> Table:
    """Draw the line above a block: its name, and at the right its summary."""
    line = Table(box=box.HORIZONTALS, show_edge=False, padding=0, expand=True, border_style="dim")
    line.add_column(name)
    if summary is not None:
        line.add_column(summary, justify="right")
    return line


def ruled_table(*, footer: bool = False) -> Table:
    """Create a table as wide as the page, with a line below its heads and one above its footer."""
    return Table(
        box=box.HORIZONTALS, show_edge=False, show_footer=footer, padding=(0, 1), pad_edge=False,
        expand=True, border_style="dim",
    )  # fmt: skip


def draw_facts(rows: Iterable[tuple[str, str | Text]]) -> Grid:
    """Draw facts, a line each behind its subject."""
    grid = Grid()
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for about, fact in rows:
        grid.add_row(about, Text(fact) if isinstance(fact, str) else fact)
    return grid


def draw_beside_ids(ids: Iterable[tuple[str, Sequence[str]]]) -> RenderableType:
    """Draw each id with its lines beside it, which end where the reader's terminal does."""
    table = Grid()
    for own, (first, *others) in ids:
        table.add_row(own, Text(first))
        for line in others:
            table.add_row("", Text(line))
    return Padding(table, (0, 0, 0, 2))


def draw_document(document: HeadingBlock) -> Iterator[RenderableType]:
    """Draw the title with the notes below it, then a part for each heading, table and run of figures."""
    notes = list(takewhile(lambda block: isinstance(block, NoteBlock), document.blocks))
    yield Group(draw_title(document.title, document.summary), *_drawn_parts(notes))
    yield from _drawn_parts(document.blocks[len(notes) :])


def _drawn_parts(blocks: Sequence[DocumentBlock]) -> Iterator[RenderableType]:
    for _, run in groupby(blocks, type):
        figures = list[tuple[str, str]]()
        for block in run:
            match block:
                case FigureBlock():
                    figures.append((block.label, block.text))
                case NoteBlock():
                    yield Text(block.text, style="" if block.warning or block.rank is Rank.FIRST else "dim")
                case TableBlock():
                    yield _drawn_table(block)
                case HeadingBlock():
                    head = draw_head(Text(block.title, style="bold cyan"), Text(block.summary, style="bold"))
                    yield Group(head, Padding(Group(*_drawn_parts(block.blocks)), (0, 0, 0, COLUMN_GAP)))
        if figures:
            yield draw_facts(figures)


def _drawn_table(table: TableBlock) -> RenderableType:
    drawn = ruled_table() if table.columns else Grid()
    for number, _ in enumerate(table.rows[0].cells):
        right = bool(table.columns) == bool(number)
        head = Text(table.columns[number], style="dim" if number else "bold cyan") if table.columns else ""
        side, share = ("right", None) if right else ("left", 1 if number < 3 else None)
        drawn.add_column(head, justify=side, no_wrap=right, overflow="fold", ratio=share)  # type: ignore[arg-type]
    for row in table.rows:
        drawn.add_row(Text(row.cells[0], style="" if row.usd is None else "bold"), *map(Text, row.cells[1:]))
    return drawn


@contextmanager
def show_progress(doing: str) -> Iterator[Callable[[str], None]]:
    """Show progress on stderr, if someone is watching; yield the function that updates it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with make_console(sys.stderr).status(doing) as status:
        yield status.update
