"""Questions to a person at the terminal; without an answer, the command is refused."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ml_janitor_cli import edge

NOBODY = "nobody answered, so nothing was done; --yes goes on without asking"


def typed(question: str) -> str:
    """What was typed in answer to *question*. Raises Refused."""
    return _answered(lambda: str(typer.prompt(question, default="", show_default=False)).strip())


def agreed(question: str) -> bool:
    """Whether the answer to *question* was yes. Raises Refused."""
    return _answered(lambda: typer.confirm(question))


def _answered[T](ask: Callable[[], T]) -> T:
    """The end of the input is no answer, and Ctrl-C is none."""
    try:
        return ask()
    except typer.Abort:
        typer.echo(err=True)
        raise edge.Refused(NOBODY) from None
