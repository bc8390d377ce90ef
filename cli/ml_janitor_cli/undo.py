"""`janitor undo` and `janitor restart`: take back the action on one finding."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ml_janitor.acting.undoing import CannotUndoError, NothingDoneError, RecordRefusedError, Undoing
from ml_janitor.acting.undos import undo_wording
from ml_janitor.core.text import escape_text
from ml_janitor.engine.detector import CannotActError, Detector
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.leases import LeaseTakenError
from ml_janitor_cli import edge
from ml_janitor_cli.failures import FailedError
from ml_janitor_cli.ledger_command import LedgerAccess, ledger_command
from ml_janitor_cli.ledger_session import LedgerSession, require_undo_key

FindingId = Annotated[str, edge.argument("FINDING", "The finding's id, as `janitor findings` lists it.")]
UnsignedFlag = Annotated[
    bool, edge.flag("--unsigned", "Also a record without a signature: one of a version that did not sign.")
]


@ledger_command
def undo(
    access: LedgerAccess,
    finding: FindingId,
    *,
    unsigned: UnsignedFlag = False,
    undo_key: edge.UndoKeyArn = None,
) -> int:
    """
    Bring back what was cleaned up, from what was recorded before.

    Uses the permissions of your credentials. A broken-off undo goes on where it stopped when it is called
    again. What was brought back is left alone for a week.

    Exit status: 0, it is back; 1, it could not be brought back; 2, there is nothing to undo.
    """
    return undo_finding(access, finding, "undo", undo_key, unsigned=unsigned)


@ledger_command
def restart(
    access: LedgerAccess,
    finding: FindingId,
    *,
    unsigned: UnsignedFlag = False,
    undo_key: edge.UndoKeyArn = None,
) -> int:
    """
    Submit a stopped job again under a new name, with its checkpoints.

    AWS cannot go on with a job that was stopped, so this is how one is brought back; `janitor undo` does the
    same. The new job has everything that the old one was given, and is submitted once, however often this is
    called. Whether it goes on from its newest checkpoint is up to its program.

    Exit status: 0, it is submitted; 1, it could not be; 2, there is nothing to submit.
    """
    return undo_finding(access, finding, "restart", undo_key, unsigned=unsigned)


def undo_finding(
    access: LedgerAccess, finding: str, word: str, undo_key: str | None, *, unsigned: bool
) -> int:
    """
    Undo, for `undo` and for every other *word* that a detector has for it: refused if it has another.

    A record is verified with *undo_key* before anything is done from it, unless it has no signature and is to
    be undone *unsigned*.
    """
    key = require_undo_key(undo_key)
    with access.open("undo", undo_key=key) as at:
        undoing = at.undoing(unsigned=unsigned)
        detector, action = find_action(at, undoing, finding)
        terms = detector.cleanup
        if word not in {"undo", undo_wording(terms).command}:
            raise edge.CommandRefusedError(
                f"{action.target.name} is no job; to bring it back: janitor undo {finding}"
            )
        try:
            detector.revert_effect(action.target, action.undo)
        except CannotActError as never:
            raise edge.CommandRefusedError(f"{action.target.name} cannot be brought back: {never}") from never
        aws = at.aws(action.target.region)
        try:
            with at.leased(detector.name, action.target.region):
                done = undoing.undo(detector, aws, action, by=at.who)
        except (NothingDoneError, RecordRefusedError) as nothing:
            raise edge.CommandRefusedError(str(nothing)) from nothing
        except (CannotUndoError, BegunBeforeError, LeaseTakenError) as error:
            raise FailedError(str(error)) from error
        lost = f" Not brought back: {terms.lost}." if terms and terms.lost and not done.became else ""
        typer.echo(f"{escape_text(done.became or f'{action.target.name} is back', 1000)}.{lost}")
    return 0


def find_action(at: LedgerSession, undoing: Undoing, finding: str) -> tuple[Detector[Any], Action]:
    """Find the action on *finding*, and its detector. Raises Refused."""
    for detector in at.settings.registry:
        for region in at.regions:
            known = at.actions.all(detector.name, at.account, region)
            if any(action.id == finding for action in known):
                try:
                    action = undoing.find(detector.name, at.account, region, finding)
                except CannotUndoError as error:
                    raise edge.CommandRefusedError(str(error)) from error
                return at.settings.detector(detector), action
    raise edge.CommandRefusedError(
        f"nothing was done to a finding {finding} in {at.account}, {', '.join(at.regions)}; "
        "janitor findings lists what was"
    )
