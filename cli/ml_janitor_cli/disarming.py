"""The question before a deployment after which nobody could undo what the deployed stack did."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from ml_janitor.acting.undoing import is_undoable, undo_hint
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.results import CauseCode
from ml_janitor.core.text import count_noun
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.stack import (
    FUNCTION_TYPE,
    STACK_NAME,
    DeployedStack,
    RegionServices,
    Trouble,
    read_answer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostUndo:
    """Past actions of *detector* that the coming deployment could undo no more, though *until* is ahead."""

    detector: str
    count: int
    until: date
    armed_until: date

    @property
    def sentence(self) -> str:
        """Say how many actions could be undone no more."""
        actions = count_noun(self.count, "action")
        return f"{actions} of {self.detector} can be undone until {self.until}, but not by this deployment"

    @property
    def lines(self) -> str:
        """The setting that keeps it."""
        return f"[detectors.{self.detector}]\narmed_until = {self.armed_until}"


def lost_undos(
    settings: Settings, actions: Iterable[Action], *, account: str, now: datetime
) -> list[LostUndo]:
    """
    Return what a deployment with *settings* to *account* could undo no more, and `armed_until` would keep.

    A detector whose `armed_until` is set, to whatever day, is the operator's choice.
    """
    kinds = {kind.name: kind for kind in settings.registry}
    within, today = timedelta(days=settings.janitor.undo_days), now.date()
    lost = dict[str, list[Action]]()
    for action in actions:
        if action.detector not in kinds or settings.sections[action.detector].armed_until is not None:
            continue
        place = action.detector, action.target.account, action.target.region
        if (
            is_undoable(action, within, now)
            and action.touched
            and _has_undo(settings, action)
            and settings.why_not_allowed(*place, home=account, undo_on=today) is not None
            and with_day(settings, action.detector, today).why_not_allowed(
                *place, home=account, undo_on=today
            )
            is None
        ):
            lost.setdefault(action.detector, []).append(action)
    return [
        LostUndo(
            detector=detector,
            count=len(found),
            until=(max(action.began for action in found) + within).date(),
            armed_until=today,
        )
        for detector, found in sorted(lost.items())
    ]


def with_day(settings: Settings, detector: str, day: date) -> Settings:
    """Return *settings* with `armed_until` of *detector*."""
    section = settings.sections[detector].model_copy(update={"armed_until": day})
    return replace(settings, sections={**settings.sections, detector: section})


def _has_undo(settings: Settings, action: Action) -> bool:
    kind = next(kind for kind in settings.registry if kind.name == action.detector)
    try:
        return undo_hint(settings.detector(kind), action).why is not CauseCode.NO_UNDO
    except (KeyError, TypeError, ValueError):  # a record that nothing verified: count it
        return True


def keep_undos(
    place: Any, stack: str, settings: Settings, file: Path, *, yes: bool, dry_run: bool = False
) -> bool:
    """
    Ask once whether past actions shall stay undoable; return whether *file* has the settings for it now.

    With *yes*, nobody is asked, and a deployment that would lose an undo is refused. Raises
    CommandRefusedError.
    """
    found = RegionServices(place.session, place.region, attempts=place.attempts).find(stack)
    if isinstance(found, Trouble):
        typer.echo(f"janitor: warning: past actions of {stack} could not be read: {found.why}", err=True)
    if not isinstance(found, DeployedStack) or found.table is None:
        return False
    now = edge.judging_time(None)
    table = Table(place.client("dynamodb"), found.table)
    actions = read_answer(lambda: Actions(table).everywhere())
    if isinstance(actions, Trouble):
        _ask_blindly(settings, found, actions, now, yes=yes, dry_run=dry_run)
        return False
    if not isinstance(actions, list):
        return False
    lost = lost_undos(settings, actions, account=place.caller.account, now=now)
    if not lost:
        return False
    said = "; ".join(undo.sentence for undo in lost)
    settings_needed = ", ".join(
        f"armed_until = {undo.armed_until} in [detectors.{undo.detector}]" for undo in lost
    )
    if yes and not dry_run:
        raise edge.CommandRefusedError(
            f"{said}: set {settings_needed} of {file}, or an earlier day to give the undo up"
        )
    typer.echo(f"{said}. {file} needs:\n\n" + "\n\n".join(undo.lines for undo in lost) + "\n")
    if dry_run or not edge.ask_yes(
        f"Write that to {file} and go on? Otherwise the deployment cannot undo them."
    ):
        return False
    write_days(file, lost)
    return True


def _ask_blindly(
    settings: Settings, found: DeployedStack, why: Trouble, now: datetime, *, yes: bool, dry_run: bool
) -> None:
    """Ask about actions that cannot be read, where the undo function would go and no day is set."""
    goes = found.physical_id("Undo", "Function", FUNCTION_TYPE) is not None
    chosen = any(section.armed_until is not None for section in settings.sections.values())
    if not goes or chosen or settings.undoable_names(now.date()):
        return
    said = (
        f"this deployment removes the undo function, and whether it has something to undo could not be read "
        f"({why.why}): set armed_until = {now.date()} for each detector that was armed"
    )
    if dry_run:
        typer.echo(f"janitor: warning: {said}", err=True)
    elif yes:
        raise edge.CommandRefusedError(said)
    elif not edge.ask_yes(f"{said[0].upper()}{said[1:]}. Go on without it?"):
        raise edge.CommandRefusedError("nothing was deployed")


def write_days(file: Path, lost: Iterable[LostUndo]) -> None:
    """Write `armed_until` of the detectors in *lost* into *file*. Raises CommandRefusedError."""
    text = file.read_text("utf-8") if file.exists() else ""
    for undo in lost:
        name = re.escape(undo.detector)
        header = re.compile(rf"^[ \t]*\[\s*detectors\s*\.\s*([\"']?){name}\1\s*\][ \t]*(#.*)?$", re.MULTILINE)
        if found := header.search(text):
            text = f"{text[: found.end()]}\narmed_until = {undo.armed_until}{text[found.end() :]}"
        else:
            text = f"{text.rstrip()}\n\n{undo.lines}\n".lstrip()
    scratch = file.with_name(f".{file.name}.new")
    try:
        scratch.write_text(text, "utf-8")
        written = Settings.load(files=[scratch], deploying=True)
    except (OSError, InvalidInputError) as error:
        raise edge.CommandRefusedError(f"{file} has no place for it: write it by hand") from error
    finally:
        scratch.unlink(missing_ok=True)
    if any(written.sections[undo.detector].armed_until != undo.armed_until for undo in lost):
        raise edge.CommandRefusedError(f"{file} has no place for it: write it by hand")
    if why := edge.replace_file(file, text):
        raise edge.FailedError(f"{file} cannot be written: {why}")


def main() -> int:
    """Ask for `make deploy`, whose settings are ./janitor.toml; without a terminal, refuse."""
    from ml_janitor_cli.deploy import open_place

    file = Path(SETTINGS_FILE)
    try:
        settings = Settings.load(files=[file] if file.exists() else [], deploying=True)
        keep_undos(open_place(None, None), STACK_NAME, settings, file, yes=not sys.stdin.isatty())
    except InvalidInputError as error:
        typer.echo(f"janitor: {error}", err=True)
        return 2
    except TyperException as error:
        typer.echo(f"janitor: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
