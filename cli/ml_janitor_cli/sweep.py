"""`janitor sweep`: shows what an armed deployment would do now, and with --act does it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from ml_janitor.acting.acting import Acting, due_findings, mark_refused_findings
from ml_janitor.acting.after_sweep import record_not_done_causes
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Kept
from ml_janitor.core.results import CauseCode, Outcome, Result, Sweep
from ml_janitor.core.text import escape_text, format_time
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import sweep_region
from ml_janitor.ledger.actions import Action
from ml_janitor.ledger.findings import Entry
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.ledger.signatures import SigningKey
from ml_janitor.report.causes import CAUSE_TEXTS, cause_clause, limit_texts, outcome_note
from ml_janitor_cli import edge
from ml_janitor_cli.ledger_session import (
    LedgerAccess,
    LedgerSession,
    ledger_command,
    make_wait,
)
from ml_janitor_cli.screen import draw_beside_ids, print_blocks

STALE_ANSWER = timedelta(hours=1)
"""After this long the account is no longer the one that was shown."""

OUTCOME_WORDS = {
    Outcome.ACTED: "done",
    Outcome.FAILED: "FAILED",
    Outcome.CHANGED: "not done, it changed",
    Outcome.ADVISED: "not done",
    Outcome.WAITING: "waits",
    Outcome.KEPT: "kept",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """One sweep, and the ledger's entries of its findings."""

    detector: Detector[Any]
    aws: Aws
    sweep: Sweep
    entries: dict[str, Entry]


@ledger_command
def sweep(
    access: LedgerAccess,
    *,
    names: Annotated[
        list[str] | None, edge.argument("DETECTOR", "The armed detectors to sweep; all of them without one.")
    ] = None,
    act: Annotated[bool, edge.flag("--act", "Do what is due, after prompts.")] = False,
    yes: Annotated[bool, edge.flag("--yes", "Do not ask for the account id.")] = False,
    undo_key: edge.UndoKeyArn = None,
) -> int:
    """
    Show what is due; with --act, do it as the functions would.

    Acts only on what janitor.toml arms, in act_in, whose warning was delivered long enough ago, and only
    after looking again. No warnings are sent; the deployed functions do that.

    Exit status: 0, done; 1, a sweep has an error or an action failed; 2, bad usage or settings.

    \b
    Examples:
      janitor sweep
      janitor sweep idle-notebooks --act
    """  # noqa: D301 - \b keeps the lines below it as they are
    needed: tuple[SigningKey, ...] = ()
    if act:
        edge.check_real_time(access.now)
        needed = tuple(SigningKey)
    settings = access.settings
    armed = {detector.name for detector in settings.armed()}
    detectors = edge.choose_detectors(names, settings) if names else settings.armed()
    for detector in detectors:
        if detector.name not in armed:
            raise edge.CommandRefusedError(
                f'{detector.name} is not armed: set mode = "act" and act_in in janitor.toml'
            )
    if not detectors:
        raise edge.CommandRefusedError('no detector is armed: set mode = "act" and act_in in janitor.toml')
    ordered = sorted(detectors, key=lambda rule: rule.cleanup.effect.rank if rule.cleanup else 0)
    with access.open("sweep", undo_key=undo_key, needed=needed) as at:
        if act:
            at.aws(at.regions[0])  # refused before any other request
        plans = [plan_sweep(at, detector, aws) for detector in ordered for aws in at.reading(detector)]
        due = sum(print_due(at, plan) for plan in plans)
        broken = any(plan.sweep.error is not None for plan in plans)
        if not due or not act:
            typer.echo(
                "Nothing was done: --act does what is due."
                if due
                else "Nothing is due; janitor findings says when what is."
            )
            return 1 if broken else 0
        if not yes:
            typed = edge.ask_text(f"To act on {due} in account {at.account}, type the account id")
            if typed != at.account:
                raise edge.CommandRefusedError("that is not the account id; nothing was done")
            if at.clock() - at.now > STALE_ANSWER:
                raise edge.CommandRefusedError(
                    "the answer took more than an hour; nothing was done, look at it again"
                )
        failed = [act_on_plan(at, plan) for plan in plans if plan.sweep.error is None]
    return 1 if broken or any(failed) else 0


def plan_sweep(at: LedgerSession, detector: Detector[Any], aws: Aws) -> SweepPlan:
    """Sweep, and ask the ledger about the findings."""
    entries = open_entries(at, detector, aws)
    found = sweep_region(detector, aws, now=at.now, policy=policy_with_holds(at, aws))
    return SweepPlan(detector=detector, aws=aws, sweep=mark_refused_findings(found, entries), entries=entries)


def open_entries(at: LedgerSession, detector: Detector[Any], aws: Aws) -> dict[str, Entry]:
    """Return the open findings, as the ledger knows them."""
    entries = at.ledger.entries(detector.name, at.account, aws.region)
    return {entry.key: entry for entry in entries if entry.closed is None}


def entries_shown_as_due(at: LedgerSession, plan: SweepPlan) -> dict[str, Entry]:
    """Return *plan*'s findings as recorded now, without those that became due after they were shown."""
    shown = {result.target.key for result in due_findings(plan.sweep, plan.entries, at.now)}
    known = open_entries(at, plan.detector, plan.aws)
    late = {key for key, entry in known.items() if entry.due is not None and entry.due <= at.clock()}
    return {key: entry for key, entry in known.items() if key in shown or key not in late}


def policy_with_holds(at: LedgerSession, aws: Aws) -> RunPolicy:
    """Return the settings' policy, with the holds."""
    return replace(at.settings.policy, holds=at.holds.all(at.account, aws.region))


def print_due(at: LedgerSession, plan: SweepPlan) -> int:
    """Print what is due of one sweep; return how much that is."""
    where = f"{plan.detector.name} in {plan.aws.region}"
    if plan.sweep.error is not None:
        typer.echo(f"{where}: not complete, so nothing is acted on: {escape_text(plan.sweep.error, 2000)}")
        return 0
    due = due_findings(plan.sweep, plan.entries, at.now)
    waiting = sum(result.outcome is Outcome.WAITING for result in plan.sweep.results) - len(due)
    typer.echo(f"{where}: {len(due)} due, {waiting} waiting.")
    if due and at.settings.policy.armed(plan.detector.name).rests(at.now):
        typer.echo(f"  Not today, unless somebody pressed Do it now: {CAUSE_TEXTS[CauseCode.REST_DAY]}.")
    for line in no_longer_due(plan, at.now):
        typer.echo(f"  {line}")
    if due:
        print_blocks([draw_beside_ids(due_proposal(plan, result) for result in due)])
    return len(due)


def no_longer_due(plan: SweepPlan, now: datetime) -> Iterator[str]:
    """Yield findings that `janitor findings` calls due, but that nothing is done about now; and why."""
    results = {result.target.key: result for result in plan.sweep.results}
    for entry in plan.entries.values():
        result = results.get(entry.key)
        if entry.due is None or entry.due > now or (result and result.outcome is Outcome.WAITING):
            continue
        why = "it is no longer there"
        if result is not None:
            why = result.verdict.reason if isinstance(result.verdict, Kept) else outcome_note(result)
        yield f"{escape_text(entry.name)} was due, and is not now: {escape_text(why, 1000)}."


def due_proposal(plan: SweepPlan, result: Result) -> tuple[str, list[str]]:
    """Return the id of a due finding, with the proposed action and the reason."""
    entry = plan.entries[result.target.key]
    action = getattr(result.verdict, "action", "")
    warned = format_time(entry.warned) if entry.warned else "never"
    lines = [
        f"{escape_text(result.target.name)}: {escape_text(action)}",
        f"{escape_text(result.verdict.reason)}; warned {warned}",
    ]
    if entry.not_done is not None and entry.not_done_at:
        why = escape_text(cause_clause(entry.not_done), 1000)
        lines.append(f"not done on {format_time(entry.not_done_at)}: {why}")
    return entry.id, lines


def act_on_plan(at: LedgerSession, plan: SweepPlan) -> bool:
    """Act on one sweep under its lease, and print the outcomes; return whether something failed."""
    try:
        with at.leased(plan.detector.name, plan.aws.region):
            acts, entries = make_local_acting(at, plan), entries_shown_as_due(at, plan)
            done, error = acts.act(
                plan.detector,
                plan.aws,
                plan.sweep,
                entries,
                now=at.now,
                policy=policy_with_holds(at, plan.aws),
            )
    except LeaseTakenError as error:
        raise edge.FailedError(str(error)) from error
    failed = print_outcomes(at, plan, done)
    record_not_done_causes(acts, plan.aws, done, entries, at.now)
    if error is not None:
        raise error
    return failed


def print_outcomes(at: LedgerSession, plan: SweepPlan, done: Sweep) -> bool:
    """Print the outcomes of what was due in one sweep; return whether something failed."""
    due = {result.target.key for result in due_findings(plan.sweep, plan.entries, at.now)}
    before = {result.target.key: result.outcome for result in plan.sweep.results}
    tried = [
        result
        for result in done.results
        if result.target.key in due or result.outcome is not before.get(result.target.key)
    ]
    for result in tried:
        typer.echo(
            f"{escape_text(result.target.name)}: {OUTCOME_WORDS[result.outcome]}. "
            f"{escape_text(outcome_note(result), 1000)}"
        )
    for why in limit_texts(done):
        typer.echo(f"Held back: {why}")
    return any(result.outcome is Outcome.FAILED for result in tried)


def make_local_acting(at: LedgerSession, plan: SweepPlan) -> Acting:
    """Return the acting from this machine, which undoes a half-done action of something in use again."""
    from ml_janitor import deployment

    undoing = at.undoing()

    def revert(action: Action) -> None:
        undoing.undo(plan.detector, plan.aws, action, request=action.origin, again=True)
        typer.echo(f"{escape_text(action.target.name)}: brought back.")

    return deployment.make_acting(
        at.settings, at.table, at.actions, at.clock, sleep=edge.sleep, wait=make_wait(), revert=revert
    )
