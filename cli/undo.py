"""`janitor undo`: take back what was done to one finding."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated, Any

import typer

from cli import edge
from cli.desk import WAIT, Desk, Now, Profile, Region, TableName, desk
from cli.failing import FailedError, failing
from janitor.action import Action
from janitor.actions import BegunBeforeError
from janitor.comebacks import way
from janitor.detector import CannotActError, Detector
from janitor.leases import LeaseTakenError
from janitor.report.text import plain
from janitor.undoing import CannotUndoError, NothingDoneError, Undoing


def undo(
    ctx: typer.Context,
    finding: Annotated[
        str, typer.Argument(metavar="FINDING", help="The finding's id, as `janitor findings` lists it.")
    ],
    *,
    table: TableName = None,
    region: Region = None,
    profile: Profile = None,
    config: edge.Config = None,
    now: Now = None,
) -> int:
    """
    Bring back what was cleaned up, from what was recorded before.

    Uses the permissions of your credentials. A broken-off undo goes on where it stopped when it is
    called again. What was brought back is left alone for a week.

    Exit status: 0, it is back; 1, it could not be brought back; 2, there is nothing to undo.
    """
    return take_back(ctx, finding, table=table, region=region, profile=profile, config=config, now=now)


def take_back(
    ctx: typer.Context,
    finding: str,
    *,
    word: str | None = None,
    table: TableName,
    region: Region,
    profile: Profile,
    config: edge.Config,
    now: Now,
) -> int:
    """What `undo` does, and every *word* that a detector has for it: refused if it has another."""
    settings = edge.settings_from(config, (), ctx.obj)
    with failing("undo"), desk(settings, table=table, region=region, profile=profile, now=now) as at:
        within = timedelta(days=settings.janitor.undo_days)
        undoing = Undoing(
            actions=at.actions,
            holds=at.holds,
            clock=at.clock,
            within=within,
            wait=lambda: time.sleep(WAIT),
        )
        detector, action = found(at, undoing, finding)
        terms = detector.cleanup
        if word is not None and way(terms).command != word:
            raise edge.Refused(f"{action.target.name} is no job; to bring it back: janitor undo {finding}")
        try:
            detector.comeback(action.target, action.undo)
        except CannotActError as never:
            raise edge.Refused(f"{action.target.name} cannot be brought back: {never}") from never
        try:
            with at.leased(detector.name, action.target.region):
                done = undoing.undo(detector, at.aws(action.target.region), action, by=at.who)
        except NothingDoneError as nothing:
            raise edge.Refused(str(nothing)) from nothing
        except (CannotUndoError, BegunBeforeError, LeaseTakenError) as error:
            raise FailedError(str(error)) from error
        lost = f" Not brought back: {terms.lost}." if terms and terms.lost and not done.became else ""
        typer.echo(f"{plain(done.became or f'{action.target.name} is back', 1000)}.{lost}")
    return 0


def found(at: Desk, undoing: Undoing, finding: str) -> tuple[Detector[Any], Action]:
    """Which detector did something to *finding*, and what. Raises Refused."""
    for detector in at.settings.registry:
        for aws in at.accounts:
            known = at.actions.all(detector.name, at.account, aws.region)
            if any(action.id == finding for action in known):
                try:
                    action = undoing.find(detector.name, at.account, aws.region, finding)
                except CannotUndoError as error:
                    raise edge.Refused(str(error)) from error
                return at.settings.detector(detector), action
    regions = ", ".join(aws.region for aws in at.accounts)
    raise edge.Refused(f"nothing was done to a finding {finding} in {at.account}, {regions}")
