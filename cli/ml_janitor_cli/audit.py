"""`janitor audit`: sweep, and report what would be done."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.calls import ServiceName, error_text, make_client
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.aws.tags import Arn
from ml_janitor.bill.reading import bill_question
from ml_janitor.bill.report import BillReport
from ml_janitor.config.sections import NO_ROUTES, Routes
from ml_janitor.core.model import Evidence, Finding, Unreadable, Value
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import escape_text, format_usd
from ml_janitor.engine.detector import Detector, allow
from ml_janitor.engine.run import run_detectors
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report.announcement import announce_sweep
from ml_janitor.report.bill_page import bill_section
from ml_janitor.report.blocks import Rank
from ml_janitor.report.html import render_html
from ml_janitor.report.json import report_json, report_json_lines, results_in_order
from ml_janitor.report.mrkdwn import Block, Message, Post, count_noun
from ml_janitor.slack.digest import split_by_channel
from ml_janitor_cli import edge, terminal
from ml_janitor_cli.bill import print_bill, read_bill_report
from ml_janitor_cli.credentials import identify_caller
from ml_janitor_cli.edge import FailedError, end_on_interrupt
from ml_janitor_cli.explain import ARN_LIMIT
from ml_janitor_cli.organization import organization_regions, sweep_organization, unread_sweeps
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
    slack: Annotated[
        bool, edge.flag("--slack", "Draw the message that Slack would get below the report.")
    ] = False,
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
    docs/organization.md says what each account has to grant.

    Exit status: 0, every sweep is complete, findings or not; 1, a sweep has an error, and the report says
    which; 2, bad usage or settings.

    \b
    Examples:
      janitor audit
      janitor audit idle-endpoints --region eu-west-1 --set idle-endpoints.window=14d
      janitor audit --bill
      janitor audit --plan --html report.html
      janitor audit --json | jq .totals
      janitor audit --organization --html report.html
      janitor audit --json-file report.json --html report.html
      janitor sandbox -- janitor audit
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.make_setup(ctx, config, overrides, profile=profile, now=now)
    detectors = edge.choose_detectors(names, setup.settings)
    regions = organization_regions(setup, region) if organization else setup.regions(region)
    files = {"--json-file": json_file, "--html": html_file}
    most = setup.settings.bill.max_requests
    edge.check_outputs(json=json, slack=slack, files=files)
    if json and bill:
        raise edge.CommandRefusedError(
            "--json and --bill exclude each other: janitor bill --json has the bill"
        )
    if organization and bill:
        raise edge.CommandRefusedError(
            "--organization and --bill exclude each other: a bill is one account's"
        )

    with end_on_interrupt():
        if organization:
            audited = AuditResult(*sweep_organization(setup, detectors, regions))
        else:
            audited = sweep_regions(setup, detectors, regions)
        charged = bill_for_audit(setup, regions, audited.report) if bill else None
    report = audited.report
    as_json = report_json_lines if json_file and json_file.suffix == ".jsonl" else report_json
    contents = {
        "--json-file": lambda: as_json(report, every=every, plan=plan),
        "--html": lambda: render_html(
            report, bill=None if charged is None else bill_section(charged, max_requests=most), plan=plan
        ),
    }
    problems = {path: edge.replace_file(path, contents[flag]()) for flag, path in files.items() if path}
    failed = [f"{path} cannot be written: {why}" for path, why in problems.items() if why]
    if json:
        sys.stdout.write(report_json(report, every=every, plan=plan))
    else:
        keep_tag = next(iter(setup.settings.janitor.keep_tags), "")
        screen = make_console(sys.stdout)
        if charged is not None:
            print_bill(screen, charged, max_requests=most, rank=Rank.FIRST)
            sys.stdout.write("\n")
        terminal.print_report(screen, report, every=every, problems=audited.price_problems)
        if plan:
            print_blocks(screen, ["", *terminal.draw_plan(report)])
        if slack:
            print_blocks(screen, ["", *draw_preview(report, keep_tag=keep_tag, routes=setup.settings.routes)])
        written = [str(path) for path, why in problems.items() if not why]
        ends = list(closing_lines(report, written, profile=profile, arns=arns, explained=not organization))
        if ends:
            sys.stdout.write("\n" + "\n".join(ends) + "\n")
    if failed:
        raise FailedError("; ".join(failed))
    return 1 if any(sweep.error is not None for sweep in report.sweeps) else 0


def bill_for_audit(setup: edge.Setup, regions: Sequence[str], report: Report) -> BillReport:
    """Read the bill, joined with the findings of *report*."""
    with show_progress("reading the bill") as say:
        asked = bill_question(setup.settings.bill)
        return read_bill_report(setup, regions, asked, shown=(), table=None, say=say, swept=report.sweeps)


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
        command = ["janitor", "explain", escape_text(first.arn, ARN_LIMIT)]
        command += [] if Arn.parse(first.arn).region else ["--region", first.region]
        command += ["--profile", profile] if profile else []
        yield f"How the first finding was judged: {shlex.join(command)}"


def sweep_regions(
    setup: edge.Setup, detectors: Sequence[Detector[Any]], regions: Sequence[str]
) -> AuditResult:
    """Run *detectors* over *regions*, showing progress on a terminal."""
    session, attempts, now = setup.session, setup.attempts, setup.now
    total = len(detectors) * len(regions)
    ended: list[Sweep] = []
    with show_progress("identifying the account") as say:

        def done(sweep: Sweep) -> None:
            ended.append(sweep)
            say(f"{len(ended)} of {total} sweeps; {sweep.detector} looked at {sweep.looked_at:,}")

        with ThreadPoolExecutor(len(regions)) as side_by_side:
            callers = list(
                side_by_side.map(lambda region: identify_caller(session, region, attempts), regions)
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
        say(f"0 of {total} sweeps")
        account = next(iter(known.values()))
        with open_regions(
            session,
            account=account,
            regions=tuple(known),
            attempts=attempts,
            pace=edge.call_pace(),
            shared=SharedAnswers(),
        ) as accounts:
            report = run_detectors(
                detectors, accounts, now=now, policy=setup.settings.policy.dry(), swept=done
            )
            sweeps = sweeps_in_order([*report.sweeps, *closed], detectors)
            whole = replace(report, sweeps=sweeps)
            if setup.settings.plan.aws_opinions:
                say("asking AWS's Cost Optimization Hub")
                hub = make_client(session, HUB_SERVICE, HUB_REGION, attempts)
                whole = add_opinions(whole, read_opinions(hub, account))
            return AuditResult(whole, accounts[0].prices.problems)


def sweeps_in_order(sweeps: Iterable[Sweep], detectors: Sequence[Detector[Any]]) -> tuple[Sweep, ...]:
    """Return *sweeps* in the order of *detectors*."""
    names = [detector.name for detector in detectors]
    return tuple(sorted(sweeps, key=lambda sweep: names.index(sweep.detector)))


# --- AWS's own recommendations --------------------------------------------------------------------

HUB_REGION = "us-east-1"
"""The only region of the hub's endpoint, which answers for all regions."""

HUB_SERVICE: ServiceName = "cost-optimization-hub"
LIST_RECOMMENDATIONS, LIST_SUMMARIES = (
    f"{HUB_SERVICE}:ListRecommendations",
    f"{HUB_SERVICE}:ListRecommendationSummaries",
)
HUB_READS = (allow(LIST_RECOMMENDATIONS), allow(LIST_SUMMARIES))

HUB_RESOURCE_TYPES = ("SageMakerEndpoint", "SageMakerSavingsPlans")
"""The hub's types for SageMaker: idle endpoints, which Compute Optimizer finds, and Savings Plans."""

HUB_NAME = "AWS's Cost Optimization Hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """AWS's recommendation for the resource *arn*, or *name* where it has none, at list price."""

    arn: str
    name: str
    action: str
    monthly_usd: Decimal
    source: str

    def __str__(self) -> str:
        return f"{self.action}, {format_usd(self.monthly_usd)} a month, says {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """
    All opinions about an account, and their savings *together*, in which AWS counts overlaps once.

    *problem* is why they could not be read.
    """

    recommendations: tuple[Opinion, ...] = ()
    together: Decimal | None = None
    problem: str | None = None


def read_opinions(hub: Any, account: str) -> Opinions:
    """Read the *hub*'s recommendations for *account*. A refusal, or an account not enrolled, is a problem."""
    wanted: Any = {"accountIds": [account], "resourceTypes": list(HUB_RESOURCE_TYPES)}
    try:
        pages = hub.get_paginator("list_recommendations").paginate(filter=wanted)
        found = tuple(_opinion(item) for page in pages for item in page["items"])
        sums = hub.list_recommendation_summaries(filter=wanted, groupBy="ResourceType")
        return Opinions(recommendations=found, together=Decimal(str(sums["estimatedTotalDedupedSavings"])))
    except Exception as error:  # the report is worth as much without opinions
        return Opinions(problem=error_text(error))


def _opinion(item: Mapping[str, Any]) -> Opinion:
    return Opinion(
        arn=item.get("resourceArn", ""),  # a recommended Savings Plan has no ARN yet
        name=item.get("resourceArn") or item.get("resourceId") or item["currentResourceType"],
        action=item["actionType"],
        monthly_usd=Decimal(str(item["estimatedMonthlySavings"])),
        source=item["source"],
    )


def add_opinions(report: Report, read: Opinions) -> Report:
    """Add AWS's opinions to *report*: as evidence of findings on the same resource, else as notices."""
    by_arn = {opinion.arn.lower(): opinion for opinion in read.recommendations if opinion.arn}
    sweeps = [
        replace(sweep, results=tuple(_with(result, by_arn) for result in sweep.results))
        for sweep in report.sweeps
    ]
    if sweeps:
        found = {result.target.arn.lower() for result in report.findings}
        first = sweeps[0]
        sweeps[0] = replace(first, notices=(*first.notices, *_notices(read, found)))
    return replace(report, sweeps=tuple(sweeps))


def _with(result: Result, by_arn: Mapping[str, Opinion]) -> Result:
    opinion = by_arn.get(result.target.arn.lower())
    if opinion is None or not isinstance(result.verdict, Finding):
        return result
    seen = Evidence(HUB_NAME, str(opinion), source=LIST_RECOMMENDATIONS)
    return replace(result, verdict=replace(result.verdict, evidence=(*result.verdict.evidence, seen)))


def _notices(read: Opinions, found: set[str]) -> list[str]:
    """List opinions on resources without a finding, and all savings together; or why there are none."""
    if read.problem is not None:
        step = (
            f"enroll the account there and allow {LIST_RECOMMENDATIONS} and {LIST_SUMMARIES}, or "
            f"set plan.aws_opinions to false"
        )
        return [f"{HUB_NAME} could not be read ({read.problem}): {step}"]
    notices = [
        f"{HUB_NAME} recommends for {escape_text(opinion.name)}: {opinion}; nothing was found about it here"
        for opinion in read.recommendations
        if opinion.arn.lower() not in found
    ]
    if read.recommendations and read.together is not None:
        notices.append(
            f"{HUB_NAME} counts {format_usd(read.together)} a month for SageMaker together: in no sum here"
        )
    return notices


# --- preview of the Slack message -----------------------------------------------------------------

PREVIEW_INDENT = 2
MESSAGE_BAR = "\u2502 "

PREVIEW_LIMIT = 4000
"""Maximum number of characters; a message's own limits have cut its texts already."""

MRKDWN_MARKUP = re.compile(r"`(?P<code>[^`]*)`|\*(?P<bold>[^*\n]+)\*|<(?P<mention>[@!][^<>]*)>")
"""The markup that `ml_janitor.report.mrkdwn` writes, and nothing else of Slack's."""


def draw_preview(
    report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES
) -> Iterator[RenderableType]:
    """
    Draw the messages that Slack would get about *report* if none of it had been announced before.

    The post of the dearest sweep in full, the others by their first line, those that are routed with their
    channel; nothing for a report without findings.
    """
    posts = sweep_posts(report, keep_tag=keep_tag, routes=routes)
    if not posts:
        return
    (channel, first), *others = posts
    title = f"What Slack would get{f', in {channel}' if channel else ''}"
    yield Group(Text(title, style="bold cyan"), Padding(draw_post(first), (0, 0, 0, PREVIEW_INDENT)))
    if others:
        lines = [
            Text(f"{f'in {channel}: ' if channel else ''}{_shown(post.main.text)}")
            for channel, post in others
        ]
        title = f"and {count_noun(len(others), 'more message')} of this kind:"
        yield Group(Text(title, style="dim"), Padding(Group(*lines), (0, 0, 0, PREVIEW_INDENT)))


def sweep_posts(report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES) -> list[tuple[str, Post]]:
    """Return the posts of all sweeps with findings, the dearest first, each with its channel if routed."""
    parts = [
        part
        for sweep in report.sweeps
        for part in split_by_channel(sweep, RecordedFindings(new=sweep.findings, entries={}), routes)
    ]
    by_cost = sorted(parts, key=lambda part: _dollars(Totals.of(part[1].results)), reverse=True)
    posts = (
        (channel, announce_sweep(sweep, new, now=report.time, keep_tag=keep_tag))
        for channel, sweep, new in by_cost
    )
    return [(channel, post) for channel, post in posts if post is not None]


def _dollars(sums: Totals) -> float:
    return float(sums.monthly_usd + sums.accrued_usd)


def draw_post(post: Post) -> RenderableType:
    """Draw *post*'s message with a bar beside it, and a line for each reply and attachment."""
    below = [_shown(reply.text) for reply in post.replies]
    if post.attachment:
        below.append(f"The report: {escape_text(post.attachment)}")
    return Group(draw_message(post.main), *(Text(f"in its thread: {line}", style="dim") for line in below))


def draw_message(message: Message) -> RenderableType:
    """Draw one message, block by block."""
    lines = [line for block in message.blocks for line in (*_lines(block), Text(""))]
    return BarredLines(lines[:-1])


class BarredLines:
    """Lines with Slack's bar at their left, however they are folded."""

    def __init__(self, lines: Sequence[Text]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        for line in self._lines:
            for part in line.wrap(console, options.max_width - len(MESSAGE_BAR)) if line.plain else [line]:
                yield Text.assemble((MESSAGE_BAR, "dim"), part)


def _lines(block: Block) -> list[Text]:
    match block["type"]:
        case "header":
            return [Text(escape_text(block["text"]["text"]), style="bold")]
        case "section":
            return [draw_mrkdwn(line) for line in str(block["text"]["text"]).split("\n")]
        case "context":
            return [draw_mrkdwn(str(element["text"]), style="dim") for element in block["elements"]]
        case "actions":
            labels = (escape_text(element["text"]["text"]) for element in block["elements"])
            return [Text("  ".join(f"[ {label} ]" for label in labels), style="bold blue")]
        case _:
            return []


def draw_mrkdwn(mrkdwn: str, style: str = "") -> Text:
    """Draw one line of mrkdwn as Slack would show it."""
    line, end = Text(style=style), 0
    for found in MRKDWN_MARKUP.finditer(mrkdwn):
        line.append(_shown(mrkdwn[end : found.start()]))
        kind = str(found.lastgroup)
        line.append(_shown(found[kind]), style={"bold": "bold", "code": "cyan", "mention": "blue"}[kind])
        end = found.end()
    return line.append(_shown(mrkdwn[end:]))


def _shown(mrkdwn: str) -> str:
    return escape_text(mrkdwn.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), PREVIEW_LIMIT)
