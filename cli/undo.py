"""`janitor undo`: take back what was done to one finding."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated, Any

import typer

from cli import edge
from cli.desk import PATIENCE, WAIT, Desk, Now, Profile, Region, TableName, desk
from cli.failing import FailedError, failing
from janitor.actions import Action, BegunBeforeError
from janitor.detector import Detector
from janitor.leases import LeaseTakenError
from janitor.report.text import plain
from janitor.undoing import CannotUndoError, Undoing


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
    settings = edge.settings_from(config, (), ctx.obj)
    with failing("undo"), desk(settings, table=table, region=region, profile=profile, now=now) as at:
        within = timedelta(days=settings.janitor.undo_days)
        undoing = Undoing(
            actions=at.actions,
            holds=at.holds,
            clock=lambda: at.now,
            within=within,
            wait=lambda: time.sleep(WAIT),
        )
        detector, action = found(at, undoing, finding)
        where = (detector.name, at.account, action.target.region)  # no sweep is at work on it meanwhile
        try:
            at.leases.take(*where, holder=at.who, now=at.now, until=at.now + PATIENCE)
            try:
                undoing.undo(detector, at.aws(action.target.region), action, by=at.who)
            finally:
                at.leases.release(*where, holder=at.who)
        except (CannotUndoError, BegunBeforeError, LeaseTakenError) as error:
            raise FailedError(str(error)) from error
        lost = detector.cleanup.lost if detector.cleanup else ""
        typer.echo(f"{plain(action.target.name)} is back.{f' Not brought back: {lost}.' if lost else ''}")
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
