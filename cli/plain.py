"""Text that is safe to print: names and tags from AWS are hostile input, and so is a command line."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType

LONGEST = 2_000
"""Characters of one text that a reader gets to see; nobody reads on, and a tag could hold more."""

PIPE_WIDTH = 100
NARROWEST, WIDEST = 60, 140
"""Below, nothing would be aligned; above, the eye loses the line."""

INVISIBLE = ("C", "Zl", "Zp")
"""Unicode categories that steer a terminal or reorder text: controls, bidi and zero-width formats, ..."""


def plain(text: str, limit: int = LONGEST) -> str:
    """*text* on one line with everything that a terminal would obey written out, and cut after *limit*."""
    shown = text[: limit + 1]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(_visible(character) for character in shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def _visible(character: str) -> str:
    if character == " " or not unicodedata.category(character).startswith((*INVISIBLE, "Zs")):
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def console(stream: TextIO) -> Console:
    """
    A console on *stream* that takes every text literally.

    On a terminal it is as wide as that, up to `WIDEST`; anywhere else COLUMNS wide, else 100, so
    that a report in a file or a pipe always looks the same.
    """
    console = Console(file=stream, highlight=False, markup=False, emoji=False, legacy_windows=False)
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() and int(columns) else None
    width = asked or (console.width if stream.isatty() else PIPE_WIDTH)
    console.width = max(NARROWEST, min(WIDEST, width))
    return console


def write(console: Console, blocks: Iterable[RenderableType]) -> None:
    """Print *blocks* with a blank line between them, and no blanks at the ends of lines."""
    with console.capture() as captured:
        for block in blocks:
            console.print(block, "", sep="\n")
    lines = [line.rstrip() for line in captured.get().rstrip().split("\n")]
    console.file.write(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n")


@contextmanager
def progress(doing: str) -> Iterator[Callable[[str], None]]:
    """Say on stderr what is being done, if someone is watching; yields what changes it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with console(sys.stderr).status(doing) as status:
        yield status.update
