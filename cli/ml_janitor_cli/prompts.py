"""Questions to a person at the terminal; without an answer, the command is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from ml_janitor_cli import edge

NO_ANSWER_MESSAGE = "nobody answered, so nothing was done; --yes goes on without asking"


def ask_text(question: str) -> str:
    """Return the text typed in answer to *question*. Raises Refused."""
    return _answered(lambda: str(typer.prompt(question, default="", show_default=False)).strip())


def ask_choice(what: str, options: Sequence[str]) -> str:
    """Return the option whose number was typed. Raises Refused, also where no terminal can be asked."""
    if not sys.stdin.isatty():
        raise edge.CommandRefusedError(f"{what}; name one of them: {', '.join(options)}")
    typer.echo(f"{what}:", err=True)
    for number, option in enumerate(options, start=1):
        typer.echo(f"  {number}  {option}", err=True)
    answer = _answered(
        lambda: str(typer.prompt("Which one (its number)", default="", show_default=False, err=True))
    )
    if not answer.isdecimal() or not 1 <= int(answer) <= len(options):
        raise edge.CommandRefusedError(f"expected a number from 1 to {len(options)}, got {answer}")
    return options[int(answer) - 1]


def ask_yes(question: str) -> bool:
    """Return whether the answer to *question* was yes. Raises Refused."""
    return _answered(lambda: typer.confirm(question, err=True))


def _answered[T](ask: Callable[[], T]) -> T:
    """Ask; the end of the input and Ctrl-C are not answers."""
    try:
        return ask()
    except typer.Abort:
        typer.echo(err=True)
        raise edge.CommandRefusedError(NO_ANSWER_MESSAGE) from None
