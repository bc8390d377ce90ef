"""`janitor keep`, `snooze` and `approve`: record a person's decision about findings in the ledger."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from ml_janitor.config.settings import Settings
from ml_janitor.core.text import escape_text
from ml_janitor.engine.holds import Hold, HoldKind, advice_hold_key, longest_hold
from ml_janitor.engine.run import sweep_resource
from ml_janitor.ledger.entries import Entry
from ml_janitor_cli import edge, prompts
from ml_janitor_cli.explain import check_kind_is_judged, parse_arn
from ml_janitor_cli.ledger_command import LedgerAccess, ledger_command
from ml_janitor_cli.ledger_session import LedgerSession
from ml_janitor_cli.screen import draw_beside_ids, make_console, print_blocks

ShortenFlag = Annotated[bool, edge.flag("--shorten", "Also where that ends a longer one earlier.")]
OnlyDetector = Annotated[str | None, edge.option("DETECTOR", "Only from what this detector says of it.")]
ArnArgument = Annotated[str, edge.argument("ARN", "The resource.")]


@ledger_command
def keep(
    access: LedgerAccess,
    arn: ArnArgument,
    *,
    reason: Annotated[str, edge.option("TEXT", "Why; the report says it.")],
    until: Annotated[
        str | None, edge.option("DATE", "The last day on which it is kept; else for good.")
    ] = None,
    only: OnlyDetector = None,
    shorten: ShortenFlag = False,
) -> int:
    """
    Keep one resource: nothing is done to it, whatever detector finds it.

    It holds for this resource only: one that is created anew with the same name starts from nothing. A longer
    keep stands, unless --shorten is given.

    \b
    Example:
      janitor keep arn:aws:sagemaker:eu-west-1:123456789012:endpoint/demo --reason "the fair"
    """  # noqa: D301 - \b keeps the lines below it as they are
    end = None if until is None else end_of_day(until, access.settings.janitor.time_zone)
    with access.open("keep", **arn_place(arn, access.settings)) as at:
        if end is not None and end <= at.now:
            raise edge.CommandRefusedError(f"--until: {until} is over; nothing was kept")
        return add_hold(at, arn, HoldKind.KEPT, until=end, why=reason, shorten=shorten, only=only)


@ledger_command
def snooze(
    access: LedgerAccess,
    arn: ArnArgument,
    days: Annotated[int, edge.argument("DAYS", "For how long.", min=1, max=365)],
    *,
    reason: Annotated[str, edge.option("TEXT", "Why; the report says it.")] = "",
    only: OnlyDetector = None,
    shorten: ShortenFlag = False,
) -> int:
    """
    Leave one resource alone for some days; then it is warned about again.

    A longer snooze stands, unless --shorten is given. A keep always stands.
    """
    with access.open("snooze", **arn_place(arn, access.settings)) as at:
        end = at.now + timedelta(days=days)
        return add_hold(at, arn, HoldKind.SNOOZED, until=end, why=reason, shorten=shorten, only=only)


@ledger_command
def approve(
    access: LedgerAccess,
    detector: Annotated[str, edge.argument("DETECTOR", "The detector whose findings were looked at.")],
    *,
    yes: Annotated[bool, edge.flag("--yes", "Do not ask.")] = False,
) -> int:
    """
    Approve many deletions at once, after looking at them.

    It covers the present warnings; later warnings need another approval. The next sweep acts on it, within
    all other limits.
    """
    (found,) = edge.choose_detectors([detector], access.settings)
    with access.open("approve") as at:
        warned = [e for e in at.entries([found]) if e.warned and e.due and not e.closed and not e.approved]
        if not warned:
            typer.echo(f"No warning of {detector} waits for approval.")
            return 0
        ordered = sorted(warned, key=lambda entry: entry.due or at.now)
        print_blocks(
            make_console(sys.stdout),
            [draw_beside_ids((entry.id, [_waits(entry, at.now)]) for entry in ordered)],
        )
        if not yes and not prompts.ask_yes(f"Approve all {len(warned)}?"):
            typer.echo("Nothing was approved.")
            return 0
        for entry in warned:
            at.ledger.approve(entry, by=at.who)
        typer.echo(f"Approved {len(warned)} by {at.who}; the next sweep of {detector} acts on what is due.")
    return 0


def _waits(entry: Entry, now: datetime) -> str:
    due = "now" if entry.due and entry.due <= now else f"{entry.due:%Y-%m-%d %H:%M} UTC"
    return f"due {due}  {escape_text(entry.name)}: {escape_text(entry.reason)}"


def add_hold(
    at: LedgerSession,
    arn: str,
    how: HoldKind,
    *,
    until: datetime | None,
    why: str,
    shorten: bool,
    only: str | None = None,
) -> int:
    """Record a hold on the resource that *arn* is now, or *only* on one detector's advice about it."""
    key, where = resource_key(at, arn) if only is None else advice_key(at, arn, only)
    added = Hold(key=key, how=how, by=at.who, given=at.now, until=until, why=why)
    at.holds.put(at.account, where, added, shorten=shorten)
    stands = longest_hold(at.holds.all(at.account, where).get(key, ()), at.now) or added
    typer.echo(f"{escape_text(arn)}: {escape_text(str(stands.reason(at.now)), 1000)}.")
    if (stands.how, stands.until) != (added.how, until):
        typer.echo(f"That hold is longer and stands{_instead(stands, how)}.")
    return 0


def _instead(stands: Hold, how: HoldKind) -> str:
    """Say how the longer hold is ended or shortened."""
    if stands.how is how:
        return "; to shorten it, repeat the command with --shorten"
    return "; to end it, janitor keep ... --until DATE --shorten" if stands.how is HoldKind.KEPT else ""


def advice_key(at: LedgerSession, arn: str, name: str) -> tuple[str, str]:
    """Return the key of a hold on detector *name*'s advice about *arn*, and its region. Raises Refused."""
    detectors = edge.choose_detectors([name], at.settings)
    found = [entry for entry in at.entries(detectors) if entry.arn.lower() == arn.lower()]
    if not found:
        raise edge.CommandRefusedError(f"the ledger has no finding of {name} about {arn}")
    newest = max(found, key=lambda entry: entry.last_seen)
    return advice_hold_key(name, newest.key), newest.region


def resource_key(at: LedgerSession, arn: str) -> tuple[str, str]:
    """Return ARN + creation time of the resource that *arn* is now, and its region. Raises Refused."""
    parts = parse_arn(arn)
    if parts.account not in {"", at.account}:
        raise edge.CommandRefusedError(
            f"{arn} is in account {parts.account}; the credentials are of {at.account}"
        )
    detectors = [detector for detector in at.settings.registry if detector.judges(parts)]
    problems = []
    for detector in detectors:
        for aws in at.reading(detector):
            if parts.region not in {"", aws.region}:
                continue
            judged = sweep_resource(
                at.settings.detector(detector), aws, arn, now=at.now, policy=at.settings.policy.dry()
            )
            for result in judged.results:
                if result.target.created is not None:
                    return result.target.key, aws.region
            problems += [judged.error] if judged.error else []
    if problems:
        raise edge.CommandRefusedError(f"{arn} could not be looked at: {'; '.join(problems)}")
    raise edge.CommandRefusedError(f"there is no {arn} (any more), looked for in {', '.join(at.regions)}")


def arn_place(arn: str, settings: Settings) -> dict[str, str]:
    """
    Return where the resource is, as far as its ARN says so; its account counts in an organization alone.

    Raises Refused for a resource that no detector judges.
    """
    parts = parse_arn(arn)
    check_kind_is_judged(arn, parts, settings)
    return {"region": parts.region, "account": parts.account if settings.organization.used else ""}


def end_of_day(day: str, time_zone: str) -> datetime:
    """Return the end of *day* in *time_zone*. Raises Refused."""
    try:
        last = date.fromisoformat(day)
    except ValueError as error:
        raise edge.CommandRefusedError(f"--until: expected a date such as 2027-01-31, got {day}") from error
    midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), ZoneInfo(time_zone))
    return midnight.astimezone(UTC)
