"""`janitor docs`: the pages of the documentation, which the wheel carries."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from rich.markdown import Markdown

from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.text import quote_shell
from ml_janitor_cli import edge
from ml_janitor_cli.screen import make_console

IN_WHEEL, IN_CLONE = Path(__file__).parent / "pages", Path(__file__).parents[2] / "docs"
"""The folders of the pages: of the wheel, and of a clone, in which the first one is missing."""

GENERATED_MARK = re.compile(r"^<!-- /?\S+ -->\n", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
TITLE = re.compile(r'^(?:# | *"title": ")([^"\n]*)', re.MULTILINE)
"""The title of a page, or of a JSON Schema."""


def page_names() -> list[str]:
    """Return the names of the pages."""
    return list(find_pages())


def docs(
    *,
    topic: Annotated[
        str | None,
        edge.argument("TOPIC", "A page, or a detector; without it, all are listed.", complete=page_names),
    ] = None,
    section: Annotated[
        list[str] | None, edge.argument("SECTION", "Words of a heading: only that section is printed.")
    ] = None,
) -> int:
    """
    Print a page of the documentation.

    \b
    Examples:
      janitor docs
      janitor docs idle-endpoints
      janitor docs operating SweepMissed
    """  # noqa: D301 - \b keeps the lines below it as they are
    pages = find_pages()
    if topic is None:
        width = max(map(len, pages))
        for name, path in pages.items():
            sys.stdout.write(f"{name:{width}}  {TITLE.search(path.read_text('utf-8'))[1]}\n")  # type: ignore[index]
        return 0
    if topic not in pages:
        hint = suggest_nearest(topic, list(pages))
        raise edge.CommandRefusedError(f"no page is called {topic}{hint}; the list: janitor docs")
    text = GENERATED_MARK.sub("", pages[topic].read_text("utf-8"))
    if section:
        text = find_section(text, topic, " ".join(section))
    screen = make_console(sys.stdout)
    if screen.is_terminal and pages[topic].suffix == ".md":
        screen.print(Markdown(text))
    else:
        sys.stdout.write(text)
    return 0


def find_pages() -> dict[str, Path]:
    """Return the pages by name: those of users first, then those of the detectors, then the schemas."""
    folder = IN_WHEEL if IN_WHEEL.is_dir() else IN_CLONE
    found = [*sorted(folder.glob("*.md")), folder / "notebook-activity" / "README.md"]
    named = {path.parent.name if path.stem == "README" else path.stem: path for path in found}
    named |= {path.stem: path for path in sorted((folder / "detectors").glob("*.md"))}
    return named | {f"{path.stem}-schema": path for path in sorted((folder / "schemas").glob("*.json"))}


def find_section(text: str, topic: str, words: str) -> str:
    """
    Return the section of *text*, page *topic*, whose heading has *words*, with what is below it.

    Raises CommandRefusedError.
    """
    headings = list(HEADING.finditer(text))
    for number, heading in enumerate(headings):
        if words.lower() in heading[2].lower():
            ends = (after.start() for after in headings[number + 1 :] if len(after[1]) <= len(heading[1]))
            return text[heading.start() : next(ends, len(text))]
    names = ", ".join(quote_shell(heading[2]) for heading in headings)
    raise edge.CommandRefusedError(f"{topic} has no section {words}; it has {names}")
