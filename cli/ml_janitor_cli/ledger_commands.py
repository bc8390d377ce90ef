"""Commands on the ledger: `janitor findings`, `keep`, `snooze`, `approve`, `undo` and `restart`."""

from __future__ import annotations

import json as encoder
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypedDict
from zoneinfo import ZoneInfo

import typer
from rich.console import RenderableType
from rich.text import Text

from ml_janitor.acting.undoing import (
    CannotUndoError,
    Undoing,
    undo_hint,
    undo_wording,
)
from ml_janitor.aws.tags import Arn
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import Cause
from ml_janitor.core.text import count_noun, escape_text, format_time, format_usd, person_name
from ml_janitor.engine.detector import CannotActError, Detector
from ml_janitor.engine.policy import (
    Hold,
    HoldKind,
    advice_hold_key,
    hold_reason,
    holds_on_advice,
    longest_hold,
)
from ml_janitor.engine.run import sweep_resource
from ml_janitor.ledger.actions import Action, BegunBeforeError, Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.ledger.signatures import SigningKey
from ml_janitor.report.causes import cannot_undo_text, cause_clause, cause_text
from ml_janitor.report.json import iso_time, usd_number
from ml_janitor_cli import edge
from ml_janitor_cli.explain import check_account, check_kind_is_judged, parse_arn
from ml_janitor_cli.ledger_session import LedgerAccess, LedgerSession, ledger_command
from ml_janitor_cli.screen import Grid, draw_beside_ids, print_blocks

# --- findings -------------------------------------------------------------------------------------

FINDINGS_VERSION = 2
"""Version of the JSON document; version 1 was a list."""

FINISHED_STAGES = frozenset({Stage.UNDONE, Stage.WITHDRAWN})
"""Actions that leave nothing to undo."""


class FindingState(StrEnum):
    """The state of a finding on which nothing was done; what was done has its own, of `Stage`."""

    REPORTED = "reported"
    WARNED = "warned"
    DUE = "due"
    KEPT = "kept"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One finding, its state, and that state in words."""

    id: str
    detector: str
    region: str
    name: str
    arn: str
    state: FindingState | Stage
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
    List what the ledger remembers, with dates and what was done.

    The most expensive come first. In JSON, `state` is one of reported, warned, due, kept and closed, or of
    acting, acted, failed, undoing, undone and withdrawn; `text` says it in words.

    \b
    Examples:
      janitor findings
      janitor findings idle-endpoints --all --json
    """  # noqa: D301 - \b keeps the lines below it as they are
    detectors = edge.choose_detectors(names, access.settings) if names else None
    with access.open("findings") as at:
        wanted = {detector.name for detector in detectors or at.settings.registry}
        lines = [line for line in read_ledger_lines(at, every=every) if line.detector in wanted]
    lines.sort(key=lambda line: -(line.usd or 0))
    if json:
        document = {
            "schema_version": FINDINGS_VERSION,
            "findings": [ledger_line_json(line) for line in lines],
        }
        sys.stdout.write(encoder.dumps(document, indent=2) + "\n")
    else:
        print_blocks(draw_ledger_lines(lines, every=every))
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
                kept = hold_reason(holds_on_advice(holds, detector.name, entry.key), at.now)
                line = _open(entry, kept, at.now)
                warned = entry.open and kept is None and entry.warned is not None
                if warned and not at.ledger.is_verified(entry):
                    line = replace(line, stands=f"{line.stands}; not verified")
                yield line
            rule = at.settings.detector(detector)
            yield from (
                _done(action, rule, at.actions.doubt(action))
                for action in acted
                if every or action.stage not in FINISHED_STAGES
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
        state, stands = (
            FindingState.CLOSED,
            f"closed {format_time(entry.closed)}: {cause_text(entry.close_reason)}",
        )
    elif kept is not None:
        state, stands = FindingState.KEPT, kept
    elif entry.refused is not None:
        state, stands = FindingState.REPORTED, f"only reported: {cause_clause(entry.refused)}"
    elif entry.warned is None or entry.due is None:
        state, stands = FindingState.REPORTED, f"reported, first on {format_time(entry.first_seen)}"
    elif entry.due <= now:
        state, stands = FindingState.DUE, f"warned {format_time(entry.warned)}, due now"
        if entry.not_done is not None and entry.not_done_at:
            stands += f"; not done on {format_time(entry.not_done_at)}: {cause_clause(entry.not_done)}"
    else:
        state = FindingState.WARNED
        stands = f"warned {format_time(entry.warned)}, due {format_time(entry.due)}"
    return LedgerLine(
        id=entry.id,
        detector=entry.detector,
        region=entry.region,
        name=entry.name,
        arn=entry.arn,
        owner=entry.owner,
        state=state,
        stands=stands,
        first_seen=entry.first_seen,
        due=entry.due,
        usd=entry.claim.monthly_usd if entry.claim.monthly_usd is not None else entry.claim.accrued_usd,
        per_month=entry.claim.monthly_usd is not None,
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
            state=FindingState.KEPT,
            stands=f"no open finding; {why}",
        )


def _done(action: Action, detector: Detector[Any], doubt: Cause | None) -> LedgerLine:
    """Return the line of *action*. With a *doubt*, its record gives no advice."""
    back = undo_wording(detector.cleanup)
    error = cause_text(action.error)
    why = f": {error}" if error else ""
    became = f": {action.became}" if action.became else ""
    standings = {
        Stage.ACTING: f"begun {format_time(action.began)}, and not finished",
        Stage.FAILED: f"failed: {error}",
        Stage.ACTED: f"cleaned up {format_time(action.ended or action.began)}"
        + ("" if doubt else f"; {cause_clause(undo_hint(detector, action))}"),
        Stage.UNDOING: f"being {back.done} for {person_name(action.undone_by)}{why}",
        Stage.UNDONE: f"{back.done} for {person_name(action.undone_by)}{became}",
        Stage.WITHDRAWN: f"begun {format_time(action.began)}, and nothing was done: {error}",
    }
    return LedgerLine(
        id=action.id,
        detector=action.detector,
        region=action.target.region,
        name=action.target.name,
        arn=action.target.arn,
        state=action.stage,
        stands=standings[action.stage] + (f"; not verified: {cause_clause(doubt)}" if doubt else ""),
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
        "state": line.state.value,
        "text": line.stands,
        "first_seen": iso_time(line.first_seen),
        "due": iso_time(line.due),
        "monthly_usd": usd_number(line.usd) if line.per_month else None,
        "accrued_usd": None if line.per_month else usd_number(line.usd),
    }


# --- keep, snooze and approve ---------------------------------------------------------------------

ShortenFlag = Annotated[bool, edge.flag("--shorten", "Also where that ends a longer one earlier.")]
OnlyDetector = Annotated[str | None, edge.option("DETECTOR", "Only from what this detector says of it.")]
ResourceArgument = Annotated[
    str, edge.argument("RESOURCE", "The resource's ARN, or its name if the ledger has a finding about it.")
]


@ledger_command
def keep(
    access: LedgerAccess,
    resource: ResourceArgument,
    *,
    reason: Annotated[str, edge.option("TEXT", "The reason; the report shows it.")],
    until: Annotated[
        str | None, edge.option("DATE", "The last day on which it is kept; else for good.")
    ] = None,
    only: OnlyDetector = None,
    shorten: ShortenFlag = False,
) -> int:
    """
    Keep one resource, whatever detector finds it.

    Nothing is done to it. That holds for this resource only: one that is created anew with the same name
    starts from nothing. A longer keep stands, unless --shorten is given.

    \b
    Examples:
      janitor keep demo --reason "the fair" --until 2027-01-31
      janitor keep arn:aws:sagemaker:eu-west-1:123456789012:endpoint/demo --reason "the fair"
    """  # noqa: D301 - \b keeps the lines below it as they are
    end = None if until is None else end_of_day(until, access.settings.janitor.time_zone)
    with access.open("keep", **arn_place(resource, access.settings)) as at:
        if end is not None and end <= at.now:
            raise edge.CommandRefusedError(f"--until: {until} is over; nothing was kept")
        if not reason.strip():  # what has none is a press of Keep in Slack, which ends
            raise edge.CommandRefusedError("--reason: it is empty; nothing was kept")
        arn = arn_in_ledger(at, resource)
        return add_hold(at, arn, HoldKind.KEPT, until=end, why=reason, shorten=shorten, only=only)


@ledger_command
def snooze(
    access: LedgerAccess,
    resource: ResourceArgument,
    days: Annotated[int, edge.argument("DAYS", "For how long.", min=1, max=365)],
    *,
    reason: Annotated[str, edge.option("TEXT", "The reason; the report shows it.")] = "",
    only: OnlyDetector = None,
    shorten: ShortenFlag = False,
) -> int:
    """
    Leave one resource alone for some days.

    After that, it is warned about again. A longer snooze stands, unless --shorten is given. A keep always
    stands.
    """
    with access.open("snooze", **arn_place(resource, access.settings)) as at:
        arn = arn_in_ledger(at, resource)
        end = at.now + timedelta(days=days)
        return add_hold(at, arn, HoldKind.SNOOZED, until=end, why=reason, shorten=shorten, only=only)


@ledger_command
def approve(
    access: LedgerAccess,
    what: Annotated[str, edge.argument("DETECTOR|NAME", "The detector, or the one resource, looked at.")],
    *,
    yes: Annotated[bool, edge.flag("--yes", "Do not ask.")] = False,
) -> int:
    """
    Approve many deletions at once, or only that of one resource.

    It covers the present warnings; later warnings need another approval. The next sweep acts on it, within
    all other limits.
    """
    of_detector = any(detector.name == what for detector in access.settings.registry)
    with access.open("approve", needed=[SigningKey.RECORDS]) as at:
        known = [
            entry
            for entry in at.entries()
            if (entry.detector if of_detector else entry.name) == what and entry.warned and not entry.closed
        ]
        if not of_detector and not known:
            edge.choose_detectors([what], access.settings)
        if not of_detector and len({entry.arn for entry in known}) > 1:
            arns = ", ".join(sorted({entry.arn for entry in known}))
            raise edge.CommandRefusedError(
                f"several resources are called {what}, so none was approved; approve a detector: {arns}"
            )
        warned = [entry for entry in known if entry.due and not entry.approved]
        forged = [entry for entry in warned if at.ledger.unsigned_cause(entry) is not None]
        warned = [entry for entry in warned if entry not in forged]
        for entry in forged:
            typer.echo(
                f"{escape_text(entry.name)}: not approved, its warning is not signed: a new one follows."
            )
        if not warned:
            typer.echo(f"No warning of {what} waits for approval.")
            return 0
        ordered = sorted(warned, key=lambda entry: entry.due or at.now)
        print_blocks(
            [draw_beside_ids((entry.id, [_waits(entry, at.now)]) for entry in ordered)],
        )
        if not yes and not edge.ask_yes(f"Approve all {len(warned)}?"):
            typer.echo("Nothing was approved.")
            return 0
        for entry in warned:
            at.ledger.approve(entry, by=at.who)
        sweeps = ", ".join(sorted({entry.detector for entry in warned}))
        typer.echo(f"Approved {len(warned)} by {at.who}; the next sweep of {sweeps} acts on what is due.")
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
    """
    Return the key of a hold on detector *name*'s advice about *arn*, and its region.

    Raises CommandRefusedError.
    """
    detectors = edge.choose_detectors([name], at.settings)
    found = [entry for entry in at.entries(detectors) if entry.arn.lower() == arn.lower()]
    if not found:
        raise edge.CommandRefusedError(f"the ledger has no finding of {name} about {arn}")
    newest = max(found, key=lambda entry: entry.last_seen)
    return advice_hold_key(name, newest.key), newest.region


def resource_key(at: LedgerSession, arn: str) -> tuple[str, str]:
    """
    Return ARN + creation time of the resource that *arn* is now, and its region.

    Raises CommandRefusedError.
    """
    parts = parse_arn(arn)
    check_account(arn, parts, at.account)
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


def arn_in_ledger(at: LedgerSession, text: str) -> str:
    """
    Return *text* if it is an ARN, else the ARN of the finding, or of what was cleaned up, that is called so.

    Raises CommandRefusedError if there is none, or more than one: what writes never guesses.
    """
    if text.startswith("arn:"):
        return text
    arns = sorted({line.arn for line in read_ledger_lines(at, every=True) if line.name == text})
    if not arns:
        raise edge.CommandRefusedError(
            f"the ledger has no finding about {text} in {at.account}, {', '.join(at.regions)}; give its ARN"
        )
    if len(arns) > 1:
        raise edge.CommandRefusedError(
            f"{count_noun(len(arns), 'finding')} are called {text}; give an ARN: {', '.join(arns)}"
        )
    return arns[0]


class ArnPlace(TypedDict):
    """The place of a resource, as far as its ARN names it."""

    region: str
    account: str


def arn_place(arn: str, settings: Settings) -> ArnPlace:
    """
    Return where the resource is, as far as its ARN says so; its account counts in an organization alone.

    A name says nothing of it. Raises CommandRefusedError for a resource that no detector judges.
    """
    if not arn.startswith("arn:"):
        return {"region": "", "account": ""}
    parts = parse_arn(arn)
    check_kind_is_judged(arn, parts, settings)
    return {"region": parts.region, "account": parts.account if settings.organization.used else ""}


def end_of_day(day: str, time_zone: str) -> datetime:
    """Return the end of *day* in *time_zone*. Raises CommandRefusedError."""
    try:
        next_day = date.fromisoformat(day) + timedelta(days=1)
        return datetime.combine(next_day, datetime.min.time(), ZoneInfo(time_zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise edge.CommandRefusedError(f"--until: expected a date such as 2027-01-31, got {day}") from error


# --- undo and restart -----------------------------------------------------------------------------

FindingId = Annotated[
    str, edge.argument("FINDING", "The finding's id, as `janitor findings` lists it, or the resource's name.")
]
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
    again. The janitor leaves the resource alone for a week.

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
    Submit a stopped job again, with its checkpoints.

    AWS cannot go on with a job that was stopped, so this is how one is brought back; `janitor undo` does the
    same. The new job has everything that the old one was given, and is submitted once, however often this is
    called. Its program decides whether it goes on from its newest checkpoint.

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
    needed = (SigningKey.RECORDS, SigningKey.PROGRESS)
    with access.open("undo", undo_key=undo_key, needed=needed) as at:
        undoing = at.undoing(unsigned=unsigned)
        detector, action = find_action(at, undoing, finding)
        with refused_undo():
            undoing.verify(action)
        terms = detector.cleanup
        if word not in {"undo", undo_wording(terms).command}:
            raise edge.CommandRefusedError(
                f"{action.target.name} is not a job; to bring it back: janitor undo {finding}"
            )
        try:
            detector.revert_effect(action.target, action.undo)
        except CannotActError as never:
            raise edge.CommandRefusedError(f"{action.target.name} cannot be brought back: {never}") from never
        aws = at.aws(action.target.region)
        try:
            with at.leased(detector.name, action.target.region, undo=action.id), refused_undo():
                done = undoing.undo(detector, aws, action, by=at.who)
        except (BegunBeforeError, LeaseTakenError) as error:
            raise edge.FailedError(str(error)) from error
        lost = f" Not brought back: {terms.lost}." if terms and terms.lost and not done.became else ""
        typer.echo(f"{escape_text(done.became or f'{action.target.name} is back', 1000)}.{lost}")
    return 0


@contextmanager
def refused_undo() -> Iterator[None]:
    """Raise CannotUndoError as the error of a command."""
    try:
        yield
    except CannotUndoError as cannot:
        failed = edge.CommandRefusedError if cannot.final else edge.FailedError
        raise failed(cannot_undo_text(cannot.about, cannot.cause)) from cannot


def find_action(at: LedgerSession, undoing: Undoing, finding: str) -> tuple[Detector[Any], Action]:
    """
    Find the action on *finding*, an id or the name of a resource, and its detector.

    Raises CommandRefusedError, also if something was done to several resources of that name.
    """
    acted = [
        (detector, action)
        for detector in at.settings.registry
        for region in at.regions
        for action in at.actions.all(detector.name, at.account, region)
    ]
    meant = [(detector, action) for detector, action in acted if action.id == finding] or [
        (detector, action)
        for detector, action in acted
        if action.target.name == finding and action.stage not in FINISHED_STAGES
    ]
    if len(meant) > 1:
        listed = ", ".join(f"{action.id} ({action.target.arn})" for _, action in meant)
        raise edge.CommandRefusedError(
            f"something was done to {count_noun(len(meant), 'resource')} called {finding}; give an "
            f"id: {listed}"
        )
    if not meant:
        raise edge.CommandRefusedError(
            f"nothing was done to a finding {finding} in {at.account}, {', '.join(at.regions)}; "
            "janitor findings lists what was"
        )
    ((detector, action),) = meant
    try:
        action = undoing.find(detector.name, at.account, action.target.region, action.id)
    except CannotUndoError as error:
        raise edge.CommandRefusedError(cannot_undo_text(error.about, error.cause)) from error
    return at.settings.detector(detector), action
