"""
A document as a tree of blocks that every display shows: the terminal, HTML and Slack. Pure.

Each block has a rank. A short form is the document without the blocks below a rank: a cut, and no other text.
The terminal draws blocks in `ml_janitor_cli.screen`, HTML in `templates/blocks.html.j2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum
from itertools import zip_longest

from ml_janitor.report.mrkdwn import join_lines, prose

LONGEST_NOTE, LONGEST_CELL = 1000, 300
"""Characters in Slack; longer texts are cut in the middle."""


class Rank(IntEnum):
    """The forms of a document, the shortest first; a block stands in the form of its rank and all longer."""

    FIRST = 1
    MESSAGE = 2
    WEEKLY = 3
    FULL = 4


@dataclass(frozen=True, slots=True)
class NoteBlock:
    """A sentence or two; a *warning* says what is missing."""

    rank: Rank
    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class FigureBlock:
    """A number behind its label."""

    rank: Rank
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class RowBlock:
    """A row of a table; its *usd* are what a waterfall draws."""

    rank: Rank
    cells: tuple[str, ...]
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TableBlock:
    """
    Rows below *columns*: the table's title, and heads of numbers, which never break.

    Without *columns* the first cell of each row is a number, and the heading above is title enough.
    """

    rank: Rank
    columns: tuple[str, ...]
    rows: tuple[RowBlock, ...]


@dataclass(frozen=True, slots=True)
class HeadingBlock:
    """A title with a summary, and the blocks below it."""

    rank: Rank
    title: str
    summary: str
    blocks: tuple[DocumentBlock, ...]


type DocumentBlock = NoteBlock | FigureBlock | TableBlock | HeadingBlock


def cut_document(document: HeadingBlock, rank: Rank) -> HeadingBlock:
    """Return *document* without the blocks below *rank*."""
    kept = [block for block in document.blocks if block.rank <= rank]
    cut = (
        cut_document(block, rank)
        if isinstance(block, HeadingBlock)
        else replace(block, rows=tuple(row for row in block.rows if row.rank <= rank))
        if isinstance(block, TableBlock)
        else block
        for block in kept
    )
    return replace(document, blocks=tuple(cut))


def slack_paragraphs(document: HeadingBlock) -> Iterator[str]:
    """Yield *document* as paragraphs of mrkdwn that each fit into a section of a message."""
    lines = [f"{_bold(document.title)} {prose(document.summary, LONGEST_CELL)}".rstrip()]
    for block in document.blocks:
        match block:
            case NoteBlock():
                lines.append(prose(block.text, LONGEST_NOTE))
            case FigureBlock():
                lines.append(f"{_bold(block.label)} {prose(block.text, LONGEST_CELL)}")
            case TableBlock(columns=()):
                lines += _slack_rows(block)
            case TableBlock(columns=(title, *_)):
                yield from join_lines(lines)
                yield from join_lines([_bold(title), *_slack_rows(block)])
                lines = []
            case HeadingBlock():
                yield from join_lines(lines)
                yield from slack_paragraphs(block)
                lines = []
    yield from join_lines(lines)


def _bold(text: str) -> str:
    return f"*{prose(text, LONGEST_CELL)}:*"


def _slack_rows(table: TableBlock) -> Iterator[str]:
    for row in table.rows:
        first, *others = (prose(cell, LONGEST_CELL) for cell in row.cells)
        heads = zip_longest(table.columns[1:], others, fillvalue="")
        yield f"\u2022 {first}: {', '.join(f'{head} {cell}'.strip() for head, cell in heads if cell)}"
