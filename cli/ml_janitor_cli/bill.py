"""`janitor bill`: charges of AWS, why they moved, and who is behind them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer

from ml_janitor.bill.asking import bill_question, bill_tags
from ml_janitor.bill.model import BillReading, DaySpan, GapCause
from ml_janitor.bill.report import BillReport
from ml_janitor.bill.tables import BY_PHASE, OWN_TABLES
from ml_janitor.config.layers import suggest_nearest
from ml_janitor.core.text import escape_text
from ml_janitor.report import bill_json as document
from ml_janitor.report.bill_page import render_bill_page
from ml_janitor_cli import bill_view, edge
from ml_janitor_cli.bill_reading import read_bill_report
from ml_janitor_cli.failures import FailedError, end_on_interrupt
from ml_janitor_cli.screen import make_console, show_progress

MOST_BILL_DAYS = 180
COST_HISTORY = timedelta(days=395)
"""Period for which Cost Explorer has days: 13 months."""


def bill(
    ctx: typer.Context,
    *,
    by: Annotated[str, edge.option("TAG|phase|service|usage", "What the table has a line for.")] = BY_PHASE,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_BILL_DAYS, help="The span to explain: so many days until yesterday."),
    ] = None,
    against: Annotated[
        str | None,
        edge.option(
            "SPAN", "What to compare it with: its first day, or FIRST..LAST; else the days right before."
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
    Say what AWS charged, why that moved, and which resources and owners are behind it.

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
        asked = replace(asked, against=parse_span(against, asked.days, setup.now))
    files = {"--html": html_file, "--csv": csv_file}
    edge.check_outputs(files=files, json=json)
    shown = [name for name in (by, section.chargeback if csv_file else "") if name in asked.tags]
    if csv_file and section.chargeback not in asked.tags:
        raise edge.CommandRefusedError(
            f"--csv: chargeback in [bill] is {section.chargeback}, which is none of its tags"
        )
    with end_on_interrupt(), show_progress("identifying the account") as say:
        report = read_bill_report(setup, regions, asked, shown=shown, table=table, say=say)
    contents: dict[str, Callable[[], str]] = {
        "--html": lambda: render_bill_page(report, by=by, max_requests=section.max_requests),
        "--csv": lambda: document.chargeback_csv(report, section.chargeback),
    }
    failed = [
        why
        for flag, path in files.items()
        if path and (why := write_bill_file(flag, path, contents[flag], report, section.chargeback))
    ]
    if json:
        sys.stdout.write(document.bill_json_text(report, by=by))
    else:
        bill_view.print_bill(make_console(sys.stdout), report, by=by, max_requests=section.max_requests)
        if done := [str(path) for path in files.values() if path and not failed]:
            sys.stdout.write(f"\nWritten: {', '.join(map(escape_text, done))}\n")
    if failed:
        raise FailedError("; ".join(failed))
    return 0 if is_bill_complete(report) else 1


def write_bill_file(
    flag: str, path: Path, contents: Callable[[], str], report: BillReport, chargeback: str
) -> str | None:
    """Write the contents of a file; return why that failed, or None."""
    if flag == "--csv" and chargeback not in report.bill.by_tag:
        return f"{path} was not written: the bill by {chargeback} could not be read"
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
    """Parse a span: its first day, or two days with .. between them. Raises Refused."""
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
            f"--against {text}: only spans of the same length are compared, and this one has {span.days} "
            f"days; add --days {span.days}, or give its first day alone"
        )
    end, begin = now.astimezone(UTC).date(), datetime.combine(first, time(), UTC)
    if span.until > end - timedelta(days=days):
        raise edge.CommandRefusedError(f"--against {text}: it has to end before the last {days} days begin")
    if now - begin > COST_HISTORY:
        raise edge.CommandRefusedError(
            f"--against {text}: Cost Explorer has the days of the last 13 months only"
        )
    return span
