"""`janitor restart`: submit a job again that was stopped because it hung."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_janitor_cli.door import Door, on_the_ledger
from ml_janitor_cli.undo import take_back


@on_the_ledger
def restart(
    door: Door,
    finding: Annotated[
        str, typer.Argument(metavar="FINDING", help="The finding's id, as `janitor findings` lists it.")
    ],
) -> int:
    """
    Submit a stopped job again under a new name, with its checkpoints.

    AWS cannot go on with a job that was stopped, so this is how one is brought back; `janitor undo` does
    the same. The new job has everything that the old one was given, and is submitted once, however often
    this is called. Whether it goes on from its newest checkpoint is up to its program.

    Exit status: 0, it is submitted; 1, it could not be; 2, there is nothing to submit.
    """
    return take_back(door, finding, word="restart")
