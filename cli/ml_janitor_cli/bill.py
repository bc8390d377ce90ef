"""`janitor bill`: charges of AWS, why they moved, and who is behind them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer
from ml_janitor.bill import reading
from ml_janitor.bill.model import BillGap, BillReading, DaySpan, GapCause
from ml_janitor.bill.reading import SETTLING_DAYS, bill_question, read_bill
from ml_janitor.bill.report import (
    BY_PHASE,
    OWN_TABLES,
    BillReport,
    dividing_key,
    make_bill_report,
    moved_usage_types,
)
from ml_janitor.bill.resources import (
    ActionSavings,
    facts_from_actions,
    facts_from_sweep,
    hourly_detectors,
    read_known_resources,
)
from ml_janitor.config.sections import bill_tags
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.durations import DAY
from ml_janitor.core.results import Sweep
from ml_janitor.core.text import count_noun, escape_text
from ml_janitor.engine.run import run_detectors
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.table import Table
from ml_janitor.report.bill import lay_out_bill
from ml_janitor.report.bill_json import bill_json_text, chargeback_csv
from ml_janitor.report.bill_page import render_bill_page
from ml_janitor.report.blocks import Rank, cut_document
from ml_janitor_cli import edge
from ml_janitor_cli.screen import draw_document, make_console, print_blocks, show_progress

# --- command --------------------------------------------------------------------------------------

MOST_BILL_DAYS = 180
CHARGEBACK_TAG = "cost-center"
"""The one of `tags` in `[bill]` by which --csv passes costs on."""
COST_HISTORY = timedelta(days=395)
"""Period for which Cost Explorer has days: 13 months."""


def bill(
    ctx: typer.Context,
    *,
    by: Annotated[str, edge.option("TAG|phase|service|usage", "Lines of the table.")] = BY_PHASE,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_BILL_DAYS, help="The span to explain: so many settled days."),
    ] = None,
    against: Annotated[
        str | None,
        edge.option(
            "SPAN", "Compare with this span: its first day, or FIRST..LAST; else the days right before."
        ),
    ] = None,
    json: edge.Json = False,
    html_file: Annotated[
        Path | None, edge.option("FILE", "Write the bill as one HTML page to FILE.", "--html")
    ] = None,
    csv_file: Annotated[
        Path | None,
        edge.option("FILE", "Write what each cost-center is charged, by service, to FILE.", "--csv"),
    ] = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    table: edge.TableName = None,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    now: edge.AsOf = None,
) -> int:
    """
    Say what AWS charged, why that moved, and who is behind it.

    The bill is the whole account's, read from Cost Explorer for about $0.08 a time; resources are looked at
    in the regions of --region, else of the settings, else of the session. With a ledger (--table), it also
    says what was saved so far. Nothing is changed.

    Exit status: 0, the bill was read, and the report says what is missing; 1, it could not be read, or a
    service of the settings does not exist; 2, bad usage or settings.

    \b
    Examples:
      janitor bill
      janitor bill --by project --days 7
      janitor bill --days 31 --against 2026-07-01
      janitor bill --json | jq .movement.movers[0]
      janitor bill --html bill.html --csv chargeback.csv
      janitor sandbox -- janitor bill
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.make_setup(ctx, config, overrides, profile=profile, now=now)
    regions = setup.regions(region)
    section = setup.settings.bill
    check_table_key(by, bill_tags(section))
    asked = bill_question(section, days=days or 0)
    if against is not None:
        settled = setup.now - (SETTLING_DAYS - 1) * DAY
        asked = replace(asked, against=parse_span(against, asked.days, settled))
    files = {"--html": html_file, "--csv": csv_file}
    edge.check_outputs(files=files, json=json)
    shown = [name for name in (by, CHARGEBACK_TAG if csv_file else "") if name in asked.tags]
    if csv_file and CHARGEBACK_TAG not in asked.tags:
        raise edge.CommandRefusedError(
            f"--csv: name the tag by which you pass costs on: tags.{CHARGEBACK_TAG} in [bill]"
        )
    with edge.end_on_interrupt(), show_progress("identifying the account") as say:
        report = read_bill_report(setup, regions, asked, shown=shown, table=table, say=say)
    contents: dict[str, Callable[[], str]] = {
        "--html": lambda: render_bill_page(report, by=by, max_requests=section.max_requests),
        "--csv": lambda: chargeback_csv(report, CHARGEBACK_TAG),
    }
    failed = [
        why
        for flag, path in files.items()
        if path and (why := write_bill_file(flag, path, contents[flag], report))
    ]
    if json:
        sys.stdout.write(bill_json_text(report, by=by))
    else:
        print_bill(make_console(sys.stdout), report, by=by, max_requests=section.max_requests)
        if done := [str(path) for path in files.values() if path and not failed]:
            sys.stdout.write(f"\nWritten: {', '.join(map(escape_text, done))}\n")
    if failed:
        raise edge.FailedError("; ".join(failed))
    return 0 if is_bill_complete(report) else 1


def write_bill_file(flag: str, path: Path, contents: Callable[[], str], report: BillReport) -> str | None:
    """Write the contents of a file; return why that failed, or None."""
    if flag == "--csv" and CHARGEBACK_TAG not in report.bill.by_tag:
        return f"{path} was not written: the bill by {CHARGEBACK_TAG} could not be read"
    why = edge.replace_file(path, contents())
    return why and f"{path} cannot be written: {why}"


def is_bill_complete(report: BillReport) -> bool:
    """Return whether the bill itself was read, and every service of the settings exists."""
    return not any(
        gap.cause is GapCause.NO_SUCH_SERVICE
        or (gap.reading is BillReading.SERVICES and gap.cause is not GapCause.SHORT_HISTORY)
        for gap in report.bill.gaps
    )


def check_table_key(by: str, known: Mapping[str, str]) -> None:
    """Refuse a table by an unknown key: neither a tag of the settings nor one of the program's own."""
    names = [*OWN_TABLES, *known]
    if by not in names:
        raise edge.CommandRefusedError(
            f"--by {by}: expected {', '.join(names[:-1])} or {names[-1]}{suggest_nearest(by, names)}; "
            "other tags are added to tags in [bill]"
        )


def parse_span(text: str, days: int, now: datetime) -> DaySpan:
    """Parse a span: its first day, or two days with .. between them. Raises CommandRefusedError."""
    ends = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?", text.strip())
    try:
        first, last = (
            [date.fromisoformat(end) if end else None for end in ends.groups()] if ends else [None] * 2
        )
    except ValueError:
        first = last = None
    if first is None:
        raise edge.CommandRefusedError(
            f"--against: expected a day such as 2026-08-01, or 2026-08-01..2026-08-30, got {text}"
        )
    span = DaySpan(first, days if last is None else (last - first).days + 1)
    if span.days != days:
        raise edge.CommandRefusedError(
            f"--against {text}: only spans of the same length are compared, and this one has "
            f"{count_noun(span.days, 'day')}; add --days {span.days}, or give its first day alone"
        )
    end, begin = now.astimezone(UTC).date(), datetime.combine(first, time(), UTC)
    # A span that begins on the last days of the calendar has no `until`.
    if first > end or span.until > end - timedelta(days=days):
        raise edge.CommandRefusedError(
            f"--against {text}: it has to end before the last {count_noun(days, 'day')} begin"
        )
    if now - begin > COST_HISTORY:
        raise edge.CommandRefusedError(
            f"--against {text}: Cost Explorer has the days of the last 13 months only"
        )
    return span


# --- reading --------------------------------------------------------------------------------------

type ShowProgress = Callable[[str], None]


def read_bill_report(
    setup: edge.Setup,
    regions: Sequence[str],
    asked: reading.BillQuestion,
    *,
    shown: Sequence[str],
    table: str | None,
    say: ShowProgress,
    swept: Sequence[Sweep] | None = None,
) -> BillReport:
    """
    Read the report for *asked*, with the findings of *swept*, else of sweeps of its own.

    Raises FailedError without credentials, or if the ledger fails.
    """
    home = setup.session.region_name or regions[0]
    account = edge.require_caller(setup.session, home, setup.attempts).account
    say("reading Cost Explorer")
    section, settings, until = setup.settings.bill, setup.settings, setup.now.astimezone(UTC)
    wanted = reading.bill_request(section, days=asked.days, shown=shown)
    if asked.against is not None:
        wanted = replace(wanted, days=max(wanted.days, (until.date() - asked.against.first).days))
    client = make_client(setup.session, "ce", COST_EXPLORER_REGION, setup.attempts)
    explorer = CostExplorer(client, max_requests=section.max_requests)
    bill = read_bill(explorer, wanted, account=account, now=until)
    if not bill.charges:
        return make_bill_report(bill, asked)
    actions = read_recorded_actions(setup, table, account, home, regions)
    with open_regions(
        setup.session, account=account, regions=regions, attempts=setup.attempts, pace=edge.call_pace()
    ) as accounts:
        detectors = hourly_detectors(settings.enabled())
        if swept is None:
            say("looking for what is wasteful among what is billed")
            swept = run_detectors(detectors, accounts, now=setup.now, policy=settings.policy.dry()).sweeps
        say("reading what ran, and when")
        results = [result for sweep in swept for result in sweep.results]
        found = read_known_resources(
            accounts,
            since=datetime.combine(bill.first, time(), UTC),
            now=setup.now,
            tag=dividing_key(bill, wanted.tags),
            policy=settings.policy,
            verdicts={**facts_from_sweep(results), **facts_from_actions(actions, settings.registry)},
            charged={charge.usage_type for charge in bill.charges},
            moved=moved_usage_types(bill, asked),
        )
    broken = [
        BillGap(
            reading=BillReading.RESOURCES,
            cause=GapCause.FAILED,
            subject=sweep.region,
            detail=f"{sweep.detector}: {sweep.error}",
        )
        for sweep in swept
        if sweep.error is not None and sweep.detector in {detector.name for detector in detectors}
    ]
    return make_bill_report(
        bill,
        asked,
        resources=found.resources,
        saved=ActionSavings.of(actions, bill, now=setup.now, time_zone=settings.janitor.time_zone),
        gaps=(*found.gaps, *broken),
        looked_at=regions,
    )


def read_recorded_actions(
    setup: edge.Setup, table: str | None, account: str, home: str, regions: Sequence[str]
) -> list[Action]:
    """Read every action in the ledger *table*; none without a table."""
    if not table:
        return []
    actions = Actions(Table(make_client(setup.session, "dynamodb", home, setup.attempts), table))
    with edge.one_line_errors("the ledger"):
        return [
            action
            for detector in setup.settings.registry
            for region in regions
            for action in actions.all(detector.name, account, region)
        ]


# --- drawing --------------------------------------------------------------------------------------


def print_bill(
    console: Console, report: BillReport, *, by: str = BY_PHASE, max_requests: int, rank: Rank = Rank.FULL
) -> None:
    """Print *report* with a table *by* something, or as much of it as has *rank*."""
    document = lay_out_bill(report, by=by, max_requests=max_requests)
    print_blocks(draw_document(cut_document(document, rank)), console)
