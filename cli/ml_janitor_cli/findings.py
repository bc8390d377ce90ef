"""`janitor findings`: the content of the ledger, and who has to do something."""

from __future__ import annotations

import json as encoder
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from ml_janitor.acting.undos import undo_hint, undo_wording
from ml_janitor.aws.arns import Arn
from ml_janitor.core.text import escape_text, format_time, format_usd, person_name
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.holds import Hold, advice_hold_key, hold_reason, holds_on_advice
from ml_janitor.ledger.action import Action, Stage
from ml_janitor.ledger.entries import Entry
from ml_janitor.report.causes import cause_clause
from ml_janitor_cli import edge
from ml_janitor_cli.ledger_command import LedgerAccess, ledger_command
from ml_janitor_cli.ledger_session import LedgerSession
from ml_janitor_cli.screen import Grid, make_console, print_blocks

CLOSED_WORD = "closed"
FINISHED_STAGES = frozenset({Stage.UNDONE, Stage.WITHDRAWN})
"""Actions that leave nothing to undo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One finding, its status, and the time of that status."""

    id: str
    detector: str
    region: str
    name: str
    arn: str
    stands: str
    owner: str | None = None
    first_seen: datetime | None = None
    due: datetime | None = None
    usd: Decimal | None = None
    per_month: bool = False


@ledger_command
def findings(
    access: LedgerAccess,
    *,
    names: Annotated[
        list[str] | None, edge.argument("DETECTOR", "The detectors whose findings to list; all without one.")
    ] = None,
    every: Annotated[bool, edge.flag("--all", "List what is closed and undone as well.")] = False,
    json: edge.Json = False,
) -> int:
    """
    List what the ledger remembers: findings with their dates, what was done, and what is kept.

    \b
    Examples:
      janitor findings
      janitor findings idle-endpoints --all --json
    """  # noqa: D301 - \b keeps the lines below it as they are
    detectors = edge.choose_detectors(names, access.settings) if names else None
    with access.open("findings") as at:
        wanted = {detector.name for detector in detectors or at.settings.registry}
        lines = [line for line in read_ledger_lines(at, every=every) if line.detector in wanted]
    if json:
        sys.stdout.write(encoder.dumps([ledger_line_json(line) for line in lines], indent=2) + "\n")
    else:
        print_blocks(make_console(sys.stdout), draw_ledger_lines(lines, every=every))
    return 0


def read_ledger_lines(at: LedgerSession, *, every: bool) -> Iterator[LedgerLine]:
    """Yield open findings, actions that can be undone, and kept resources; with *every*, the rest too."""
    for region in at.regions:
        holds = at.holds.all(at.account, region)
        unseen = dict(holds)
        for detector in at.settings.registry:
            acted = at.actions.all(detector.name, at.account, region)
            done = {action.target.key for action in acted}
            for entry in at.ledger.entries(detector.name, at.account, region):
                if entry.closed is not None and (not every or entry.key in done):
                    continue
                unseen.pop(entry.key, None)
                unseen.pop(advice_hold_key(detector.name, entry.key), None)
                yield _open(
                    entry, hold_reason(holds_on_advice(holds, detector.name, entry.key), at.now), at.now
                )
            rule = at.settings.detector(detector)
            yield from (
                _done(action, rule) for action in acted if every or action.stage not in FINISHED_STAGES
            )
        by_arn: dict[str, list[Hold]] = {}
        for key, on_one in unseen.items():
            whole = key if key.startswith("arn:") else key.partition(" ")[2]  # of one detector's advice
            by_arn.setdefault(whole.rpartition("@")[0], []).extend(on_one)
        for arn, on_any in by_arn.items():
            if (kept := hold_reason(on_any, at.now)) is not None:
                yield from _kept(at, arn, region, kept)


def _open(entry: Entry, kept: str | None, now: datetime) -> LedgerLine:
    if entry.closed is not None:
        stands = f"{CLOSED_WORD} {format_time(entry.closed)}: {entry.close_reason}"
    elif kept is not None:
        stands = kept
    elif entry.refused:
        stands = f"only reported: {entry.refused}"
    elif entry.warned is None or entry.due is None:
        stands = "reported"
    elif entry.due <= now:
        stands = f"warned {format_time(entry.warned)}, due now"
        if entry.not_done and entry.not_done_at:
            stands += f"; not done on {format_time(entry.not_done_at)}: {entry.not_done}"
    else:
        stands = f"warned {format_time(entry.warned)}, due {format_time(entry.due)}"
    return LedgerLine(
        id=entry.id,
        detector=entry.detector,
        region=entry.region,
        name=entry.name,
        arn=entry.arn,
        owner=entry.owner,
        stands=stands,
        first_seen=entry.first_seen,
        due=entry.due,
        usd=entry.monthly_usd if entry.monthly_usd is not None else entry.accrued_usd,
        per_month=entry.monthly_usd is not None,
    )


def _kept(at: LedgerSession, arn: str, region: str, why: str) -> Iterator[LedgerLine]:
    """Yield a hold without an open finding, under the first detector that judges the resource."""
    parsed = Arn.parse(arn)
    for detector in [rule for rule in at.settings.registry if rule.judges(parsed)][:1]:
        yield LedgerLine(
            id="",
            detector=detector.name,
            region=region,
            name=parsed.name,
            arn=arn,
            stands=f"no open finding; {why}",
        )


def _done(action: Action, detector: Detector[Any]) -> LedgerLine:
    back = undo_wording(detector.cleanup)
    why = f": {action.error}" if action.error else ""
    became = f": {action.became}" if action.became else ""
    standings = {
        Stage.ACTING: f"begun {format_time(action.began)}, and not finished",
        Stage.FAILED: f"failed: {action.error}",
        Stage.ACTED: f"cleaned up {format_time(action.ended or action.began)}; "
        f"{cause_clause(undo_hint(detector, action))}",
        Stage.UNDOING: f"being {back.done} for {person_name(action.undone_by)}{why}",
        Stage.UNDONE: f"{back.done} for {person_name(action.undone_by)}{became}",
        Stage.WITHDRAWN: f"begun {format_time(action.began)}, and nothing was done: {action.error}",
    }
    return LedgerLine(
        id=action.id,
        detector=action.detector,
        region=action.target.region,
        name=action.target.name,
        arn=action.target.arn,
        stands=standings[action.stage],
    )


def draw_ledger_lines(lines: Sequence[LedgerLine], *, every: bool) -> Iterator[RenderableType]:
    """Yield one block per detector."""
    if not lines:
        yield Text(
            "The ledger remembers nothing." if every else "Nothing is open, and nothing can be undone."
        )
    for detector in dict.fromkeys(line.detector for line in lines):
        own = [line for line in lines if line.detector == detector]
        table = Grid()
        for line in own:
            cost = (
                ""
                if line.usd is None
                else f"{format_usd(line.usd)}{' a month' if line.per_month else ' so far'}"
            )
            head = Text.assemble((escape_text(line.name, 120), "bold"), f"  {line.region}")
            facts = [fact for fact in (cost, line.owner and escape_text(line.owner, 60)) if fact]
            if facts:
                head.append(f"  {', '.join(facts)}", style="dim")
            table.add_row(Text(line.id, style="cyan"), head)
            table.add_row("", Text(escape_text(line.stands)))
        yield Text(detector, style="bold cyan")
        yield table


def ledger_line_json(line: LedgerLine) -> dict[str, Any]:
    """Return one finding as JSON."""
    return {
        "id": line.id,
        "detector": line.detector,
        "region": line.region,
        "arn": line.arn,
        "name": line.name,
        "owner": line.owner,
        "state": line.stands,
        "first_seen": None if line.first_seen is None else line.first_seen.isoformat(),
        "due": None if line.due is None else line.due.isoformat(),
    }
