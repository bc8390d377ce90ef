"""`janitor audit`: sweep, and report what would be done."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from ml_janitor.aws.client import open_regions
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.aws.tags import Arn
from ml_janitor.bill.reading import bill_question
from ml_janitor.bill.report import BillReport
from ml_janitor.core.model import Finding, Unreadable, Value
from ml_janitor.core.results import Report, Sweep
from ml_janitor.core.text import count_noun, escape_text, quote_shell
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import run_detectors
from ml_janitor.report.bill import spent_in_span
from ml_janitor.report.bill_page import bill_section
from ml_janitor.report.blocks import Rank
from ml_janitor.report.finding_words import report_savings
from ml_janitor.report.html import render_html
from ml_janitor.report.json import report_json, report_json_lines, results_in_order
from ml_janitor_cli import edge, terminal
from ml_janitor_cli.bill import print_bill, read_bill_report
from ml_janitor_cli.explain import ARN_LIMIT
from ml_janitor_cli.organization import organization_regions, sweep_organization, unread_sweeps
from ml_janitor_cli.pipeline import GATE_STATUS, FailOn, make_gate, report_csv, report_markdown
from ml_janitor_cli.screen import make_console, print_blocks, show_progress

# --- command --------------------------------------------------------------------------------------


class AuditResult(NamedTuple):
    """A report, and why its prices did not come from the Price List API."""

    report: Report
    price_problems: Sequence[str] = ()


def audit(
    ctx: typer.Context,
    *,
    names: Annotated[
        list[str] | None, edge.argument("DETECTOR", "The detectors to run; all that are enabled without one.")
    ] = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    json: edge.Json = False,
    json_file: Annotated[
        Path | None,
        edge.option(
            "FILE", "Write the JSON document to FILE as well; one result a line where FILE ends in .jsonl."
        ),
    ] = None,
    html_file: Annotated[
        Path | None, edge.option("FILE", "Write the report as one HTML page to FILE.", "--html")
    ] = None,
    csv_file: Annotated[
        Path | None, edge.option("FILE", "Write the findings as CSV to FILE.", "--csv")
    ] = None,
    markdown_file: Annotated[
        Path | None,
        edge.option(
            "FILE", "Write a summary in Markdown to FILE, such as $GITHUB_STEP_SUMMARY.", "--markdown"
        ),
    ] = None,
    fail_on: Annotated[
        FailOn | None, edge.option("CONFIDENCE", "Exit with 3 if a finding is proven, or at least likely.")
    ] = None,
    fail_over: Annotated[
        float | None, edge.option("USD", "Exit with 3 if the findings cost more than USD a month.", min=0)
    ] = None,
    new_since: Annotated[
        Path | None,
        edge.option("FILE", "Ignore findings that are in this report, for --fail-on and --fail-over."),
    ] = None,
    bill: Annotated[
        bool, edge.flag("--bill", "Say above the findings why the bill moved; asking AWS costs about $0.08.")
    ] = False,
    plan: Annotated[
        bool, edge.flag("--plan", "Write what to do in six weeks below the report, and into its files.")
    ] = False,
    organization: Annotated[
        bool,
        edge.flag("--organization", "Look at every account of [organization], through the roles they grant."),
    ] = False,
    cache: Annotated[
        Path | None,
        edge.option(
            "FOLDER", "Keep descriptions of endpoints in FOLDER, so that the next audit makes fewer calls."
        ),
    ] = None,
    arns: Annotated[bool, edge.flag("--arns", "List the ARN of each finding below it all.")] = False,
    every: Annotated[bool, edge.flag("--all", "Report every kept resource too.")] = False,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    now: edge.AsOf = None,
) -> int:
    """
    Report what an AWS account wastes. A dry run: nothing is changed.

    Uses whatever credentials and AWS_ENDPOINT_URL say. The region is that of --region, else of the settings,
    else of the session.

    With --organization it looks at the accounts that [organization] in the settings names, in those of its
    regions, or of --region, that are enabled there. It reports what it could not look at, account by account.
    janitor docs organization says what each account has to grant.

    Exit status: 0, every sweep is complete, findings or not; 1, a sweep has an error, and the report says
    which; 2, bad usage or settings; 3, --fail-on or --fail-over says so.

    \b
    Examples:
      janitor audit
      janitor audit idle-endpoints --region eu-west-1 --set idle-endpoints.window=14d
      janitor audit --bill
      janitor audit --plan --html report.html
      janitor audit --json | jq .totals
      janitor audit --organization --html report.html
      janitor audit --json-file report.json --html report.html
      janitor audit --fail-on proven --new-since report.json --markdown summary.md
      janitor sandbox -- janitor audit
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.make_setup(ctx, config, overrides, profile=profile, now=now)
    detectors = edge.choose_detectors(names, setup.settings)
    regions = organization_regions(setup, region) if organization else setup.regions(region)
    files = {"--json-file": json_file, "--html": html_file, "--csv": csv_file, "--markdown": markdown_file}
    gate = make_gate(fail_on, fail_over, new_since)
    most = setup.settings.bill.max_requests
    edge.check_outputs(json=json, files=files)
    refuse_combined(("--json", json), ("--bill", bill), "janitor bill --json has the bill")
    refuse_combined(("--organization", organization), ("--bill", bill), "a bill is one account's")
    refuse_combined(("--organization", organization), ("--cache", cache), "a cache is one account's")

    with edge.end_on_interrupt():
        if organization:
            audited = AuditResult(*sweep_organization(setup, detectors, regions))
        else:
            audited = sweep_regions(setup, detectors, regions, cache)
        charged = bill_for_audit(setup, regions, audited.report) if bill else None
    report = audited.report
    savings = "" if charged is None else report_savings(report, *spent_in_span(charged))
    as_json = report_json_lines if json_file and json_file.suffix == ".jsonl" else report_json
    contents = {
        "--json-file": lambda: as_json(report, every=every, plan=plan),
        "--html": lambda: render_html(
            report,
            bill=None if charged is None else bill_section(charged, max_requests=most),
            plan=plan,
            savings=savings,
        ),
        "--csv": lambda: report_csv(report),
        "--markdown": lambda: report_markdown(report),
    }
    problems = {path: edge.replace_file(path, contents[flag]()) for flag, path in files.items() if path}
    failed = [f"{path} cannot be written: {why}" for path, why in problems.items() if why]
    if json:
        sys.stdout.write(report_json(report, every=every, plan=plan))
    else:
        screen = make_console(sys.stdout)
        if charged is not None:
            print_bill(screen, charged, max_requests=most, rank=Rank.FIRST)
            sys.stdout.write("\n")
        terminal.print_report(screen, report, every=every, problems=audited.price_problems)
        if plan:
            print_blocks(["", *terminal.draw_plan(report)], screen)
        written = [str(path) for path, why in problems.items() if not why]
        if savings:
            print_blocks(["", Text(savings, style="bold")], screen)
        ends = list(closing_lines(report, written, profile=profile, arns=arns, explained=not organization))
        if ends:
            sys.stdout.write("\n" + "\n".join(ends) + "\n")
    if failed:
        raise edge.FailedError("; ".join(failed))
    if gate is not None and (why := gate.why(report)):
        raise edge.CommandRefusedError(why, GATE_STATUS)
    return 1 if any(sweep.error is not None for sweep in report.sweeps) else 0


def refuse_combined(first: tuple[str, object], second: tuple[str, object], why: str) -> None:
    """Refuse two flags that are given together. Raises CommandRefusedError."""
    if first[1] and second[1]:
        raise edge.CommandRefusedError(f"{first[0]} and {second[0]} exclude each other: {why}")


def bill_for_audit(setup: edge.Setup, regions: Sequence[str], report: Report) -> BillReport:
    """Read the bill, joined with the findings of *report*."""
    with show_progress("reading the bill") as say:
        asked = bill_question(setup.settings.bill)
        table = os.environ.get(edge.TABLE_VARIABLE)
        return read_bill_report(setup, regions, asked, shown=(), table=table, say=say, swept=report.sweeps)


def closing_lines(
    report: Report, written: Sequence[str], *, profile: str | None, arns: bool, explained: bool
) -> Iterator[str]:
    """
    Yield the lines below a report, which can be copied: ARNs, files, and the next command.

    *explained* is whether `janitor explain` can be asked with the same credentials.
    """
    found = [result for _, result in results_in_order(report) if isinstance(result.verdict, Finding)]
    if arns and found:
        yield "The ARNs of the findings, in the order of the report:"
        yield from (escape_text(result.target.arn, ARN_LIMIT) for result in found)
        yield ""
    if written:
        yield f"Written: {', '.join(map(escape_text, written))}"
    if found and explained:
        first = found[0].target
        command = ["janitor", "explain", first.arn]
        command += [] if Arn.parse(first.arn).region else ["--region", first.region]
        command += ["--profile", profile] if profile else []
        yield f"To see how the first finding was judged: {' '.join(map(quote_shell, command))}"


class FolderDescriptions:
    """The files of kept descriptions in a *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, account: str, region: str) -> bytes | None:
        """Return the file of an account and region; None without one."""
        path = self._path(account, region)
        return path.read_bytes() if path.exists() else None

    def write(self, account: str, region: str, body: bytes) -> None:
        """Replace the file."""
        path = self._path(account, region)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(body)
        new.replace(path)

    def _path(self, account: str, region: str) -> Path:
        return self._folder / account / f"{region}.json.gz"


def sweep_regions(
    setup: edge.Setup,
    detectors: Sequence[Detector[Any]],
    regions: Sequence[str],
    cache: Path | None = None,
) -> AuditResult:
    """Run *detectors* over *regions*, showing progress on a terminal; *cache* is a folder of descriptions."""
    session, attempts, now = setup.session, setup.attempts, setup.now
    total = len(detectors) * len(regions)
    ended: list[Sweep] = []
    with show_progress("identifying the account") as say:

        def done(sweep: Sweep) -> None:
            ended.append(sweep)
            say(
                f"{len(ended)} of {count_noun(total, 'sweep')}; {sweep.detector} looked at "
                f"{sweep.looked_at:,}"
            )

        with ThreadPoolExecutor(len(regions)) as side_by_side:
            callers = list(
                side_by_side.map(lambda region: edge.identify_caller(session, region, attempts), regions)
            )
        known = {
            region: who.value.account
            for region, who in zip(regions, callers, strict=True)
            if isinstance(who, Value)
        }
        closed = [
            sweep
            for region, who in zip(regions, callers, strict=True)
            if isinstance(who, Unreadable)
            for sweep in unread_sweeps(None, detectors, [region], error=who.error)
        ]
        if not known:
            return AuditResult(Report(time=now, account=None, sweeps=sweeps_in_order(closed, detectors)))
        say(f"0 of {count_noun(total, 'sweep')}")
        account = next(iter(known.values()))
        with open_regions(
            session,
            account=account,
            regions=tuple(known),
            attempts=attempts,
            pace=edge.call_pace(),
            shared=SharedAnswers(),
            kept=None if cache is None else KeptDescriptions(FolderDescriptions(cache), now),
        ) as accounts:
            report = run_detectors(
                detectors, accounts, now=now, policy=setup.settings.policy.dry(), swept=done
            )
            sweeps = sweeps_in_order([*report.sweeps, *closed], detectors)
            return AuditResult(replace(report, sweeps=sweeps), accounts[0].prices.problems)


def sweeps_in_order(sweeps: Iterable[Sweep], detectors: Sequence[Detector[Any]]) -> tuple[Sweep, ...]:
    """Return *sweeps* in the order of *detectors*."""
    names = [detector.name for detector in detectors]
    return tuple(sorted(sweeps, key=lambda sweep: names.index(sweep.detector)))
