"""
The report as one HTML file, and the archive of reports in the janitor's own bucket.
The file needs no network, is dark or light, and can be printed. Everything from AWS is escaped.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import Evidence, Kept, Mode
from ml_janitor.core.money import Totals, rank_by_cost, rank_by_worth, ranking_usd
from ml_janitor.core.ownership import protection_evidence, team_of
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.core.text import COMMAND_PATTERN, count_noun, escape_text, format_time, format_usd, quote_url
from ml_janitor.report.causes import (
    limit_text,
    needs_attention,
    outcome_text,
    status_word,
    unreachable_undos_text,
)
from ml_janitor.report.charts import add_breaks, template_environment
from ml_janitor.report.finding_words import (
    NO_LONGER_WASTE,
    NO_OWNER,
    cost_text,
    group_by_owner,
    instead_sentence,
    owner_text,
    place_text,
    proposed_action,
    report_scope,
    require_finding,
    sums_text,
    work_text,
)
from ml_janitor.report.json import report_json
from ml_janitor.report.plan import lines_below_week, plan_headline, plan_weeks, week_lines, week_summary

if TYPE_CHECKING:
    from markupsafe import Markup
    from types_boto3_s3 import S3Client

# --- page -----------------------------------------------------------------------------------------

OWNER_BARS = 10
"""Owners that get a bar of their own; the rest share one."""

"""Outcomes that are no longer waste."""

LARGEST_SHOWN = 5
"""Findings, and owners, on the first screen."""

FINDINGS_DRAWN_AT_ONCE = 80
"""Findings drawn when the page opens; its script draws the others when somebody asks for them."""

FINDINGS_PRINTED = 200
"""Findings that a print has, most of them hidden on the screen; the page names where the rest is."""

LINES_AT_ONCE, LINES_AT_MOST = 10, 100
"""Lines of a list that are shown, and with those folded below; past them the page names the JSON report."""

type NameCounts = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar of a chart: dollars, number of findings, and length relative to the longest bar."""

    name: str
    usd: Decimal
    count: int
    percent: float

    @property
    def label(self) -> str:
        return format_usd(self.usd)


def render_html(
    report: Report, *, bill: Mapping[str, Any] | None = None, plan: bool = False, savings: str = ""
) -> str:
    """
    Render the whole page, with six weeks of work if *plan*.

    *bill* is from `bill_section`, *savings* the sentence of `report_savings`.
    """
    from markupsafe import Markup

    findings = sorted(report.findings, key=rank_by_worth)
    done = [result for result in findings if result.outcome is Outcome.ACTED]
    left = [result for result in findings if result.outcome not in NO_LONGER_WASTE]
    totals, ended = Totals.of(left), Totals.of(done)
    accounts = len(report.accounts) > 1
    rows = [finding_fields(number, result, accounts=accounts) for number, result in enumerate(findings)]
    dry = all(sweep.mode is Mode.DRY_RUN for sweep in report.sweeps)
    seen = set[str]()
    for row in rows:  # the first row of a resource is where links to it lead
        row["id"] = "" if row["arn"] in seen else row["arn"]
        seen.add(row["arn"])
    charts = sum_charts(left, accounts=accounts)
    template = template_environment().get_template("finding.html.j2")
    drawn = [Markup(template.render(row=finding, dry=dry).strip()) for finding in rows]  # noqa: S704 - the template escapes
    troubles = [result for result in report.results if needs_attention(result)]
    kept = [(result, result.verdict) for result in report.results if isinstance(result.verdict, Kept)]
    over = [
        result for result, _ in kept if result.outcome is not Outcome.KEPT and not needs_attention(result)
    ]
    begun = [outcome_line(result, accounts=accounts) for result in over]
    unread = [result for result, verdict in kept if verdict.unknown]
    errors, sweeps = incomplete_lines(report), report.sweeps
    held = [
        format_markup("{}: {}", sweep.detector, mark_commands(limit_text(limit)))
        for sweep in sweeps
        for limit in sweep.held_back
    ]
    undos = [(sweep.detector, sweep.unreachable) for sweep in sweeps if sweep.unreachable is not None]
    lost = [
        format_markup("{}: {}", detector, mark_commands(unreachable_undos_text(undo)))
        for detector, undo in undos
    ]
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            bill=bill,
            savings=savings,
            plan=plan_section(report) if plan else None,
            time=format_time(report.time),
            totals=totals,
            done=done,
            ended=sums_text(ended),
            ended_unpriced=ended.unpriced,
            troubles=troubles,
            monthly=format_usd(totals.monthly_usd),
            accrued=format_usd(totals.accrued_usd),
            hourly=format_usd(totals.hourly_usd),
            whose=report_scope(report),
            regions=sorted({sweep.region for sweep in report.sweeps}),
            accounts=accounts,
            rows=rows,
            largest=largest_findings(left),
            owners=owner_sums(left),
            first=drawn[:FINDINGS_PRINTED],
            shown=FINDINGS_DRAWN_AT_ONCE,
            entries=[script_entry(finding) for finding in rows[:FINDINGS_PRINTED]],
            more=pack_entries(
                [{**script_entry(finding), "html": tr} for finding, tr in zip(rows, drawn, strict=True)][
                    FINDINGS_PRINTED:
                ]
            ),
            choices={name: sorted({finding[name] for finding in rows}) for name in TABLE_FILTERS},
            at_once=LINES_AT_ONCE,
            at_most=LINES_AT_MOST,
            unread=unread,
            dry=dry,
            errors=errors,
            lists=[
                (
                    "troubles",
                    "Failed or half done",
                    [outcome_line(result, accounts=accounts) for result in troubles],
                ),
                ("held", "Held back by a limit", held),
                ("lost", "Only a person can undo these", lost),
                ("notices", "Also noticed", notice_lines(report)),
                ("begun", "Begun earlier, no longer a finding", begun),
                (
                    "unread",
                    "Could not be read",
                    [*errors, *(unjudged_line(result, accounts=accounts) for result in unread)],
                ),
            ],
            nothing_read=why_nothing_read(report),
            charts=charts,
            sources=sorted(
                {
                    escape_text(found.cost.source)
                    for found in findings
                    if found.cost is not None and found.cost.known
                }
            ),
        )
    )


def largest_findings(left: Sequence[Result]) -> list[dict[str, str]]:
    """Return the findings that cost most: dollars, name, owner, action and the place in the page of each."""
    priced = [result for result in left if not is_uncounted(result) and ranking_usd(result)]
    return [
        {
            "cost": money_text(Totals.of([result])),
            "name": escape_text(result.target.name),
            "href": f"#{quote_url(escape_text(result.target.arn))}",
            "owner": person_alone(owner_text(result), left),
            "action": short_action(proposed_action(result)),
        }
        for result in sorted(priced, key=rank_by_cost)[:LARGEST_SHOWN]
    ]


def owner_sums(left: Sequence[Result]) -> list[tuple[str, str]]:
    """Return the owners of what costs most together, a month and so far, and their sums in words."""
    sums = [(theirs[0], Totals.of(theirs)) for _, theirs in group_by_owner(left)]
    priced = [(result, total) for result, total in sums if total.monthly_usd or total.accrued_usd]
    priced.sort(key=lambda each: -(each[1].monthly_usd + each[1].accrued_usd))
    return [
        (person_alone(owner_text(result), left), money_text(total))
        for result, total in priced[:LARGEST_SHOWN]
    ]


def money_text(sums: Totals) -> str:
    """Return the two kinds of money of the first screen: a month, and so far."""
    return sums_text(Totals(monthly_usd=sums.monthly_usd, accrued_usd=sums.accrued_usd))


def person_alone(owner: str, of: Iterable[Result]) -> str:
    """Return *owner* without the domain of the address, if all addresses of these results have the same."""
    domains = {(result.owner or "").partition("@")[2] for result in of if "@" in (result.owner or "")}
    return owner.partition("@")[0] if len(domains) == 1 else owner


def short_action(action: str) -> str:
    """Return the first words of *action*, without its command, members and remarks."""
    words = re.split(r" \(|[;,:] ", escape_text(action, 300), maxsplit=1)[0]
    return words[:1].upper() + words[1:]


def sum_charts(
    left: Sequence[Result], *, accounts: bool
) -> list[tuple[str, list[ChartBar], list[ChartBar], NameCounts]]:
    """
    Return sums by kind, owner and account: the title, dollars a month, dollars so far, and findings
    without a price.
    """
    counted = [
        (result, result.counted) for result in left if result.counted is not None and not is_uncounted(result)
    ]
    none = [result for result in left if is_uncounted(result)]
    asked: list[tuple[str, Callable[[Result], str], int | None]] = [
        ("By kind of waste", lambda result: result.detector, None),
        ("By owner", lambda result: result.owner or NO_OWNER, OWNER_BARS),
    ]
    if accounts:
        asked.append(("By account", lambda result: result.target.account, OWNER_BARS))
    return [
        (
            title,
            make_bars(((name(result), cost.monthly_usd) for result, cost in counted), limit=limit),
            make_bars(((name(result), cost.accrued_usd) for result, cost in counted), limit=limit),
            count_unpriced(map(name, none)),
        )
        for title, name, limit in asked
        if counted or none
    ]


def plan_section(report: Report) -> dict[str, Any]:
    """Return the values for the plan's section."""
    planned = plan_weeks(report)
    most = planned[-1].by_then or Decimal(1)
    return {
        "headline": plan_headline(planned),
        "weeks": [
            {
                "number": week.number,
                "title": week.title,
                "summary": week_summary(week),
                "by_then": format_usd(week.by_then),
                "percent": round(float(week.by_then / most) * 100, 2),
                "lines": week_lines(week),
                "below": [mark_commands(text) for text in lines_below_week(week)],
            }
            for week in planned
        ],
    }


def why_nothing_read(report: Report) -> list[str]:
    """List why nothing at all could be read, each reason once; empty if anything was read."""
    if any(sweep.error is None or sweep.looked_at for sweep in report.sweeps):
        return []
    return list(dict.fromkeys(escape_text(sweep.error or "", 2000) for sweep in report.sweeps))


def notice_lines(report: Report) -> list[Markup]:
    """List other notices of each detector's reading; with several accounts, including the account."""
    several = len(report.accounts) > 1
    return [
        format_markup(
            "{}: {}",
            f"{sweep.detector} in {place_text(sweep, accounts=True)}" if several else sweep.detector,
            escape_text(notice),
        )
        for sweep in report.sweeps
        for notice in sweep.notices
    ]


def incomplete_lines(report: Report) -> list[Markup]:
    """List detectors that could not look at everything: one line for all places of one reason."""
    several = len(report.accounts) > 1
    places: dict[tuple[str, str], list[str]] = {}
    for sweep in report.sweeps:
        if sweep.error:
            places.setdefault((sweep.detector, sweep.error), []).append(place_text(sweep, accounts=several))
    return [
        format_markup(
            "{} in {} is not complete: {}", detector, first_places(where), add_breaks(escape_text(why, 2000))
        )
        for (detector, why), where in places.items()
    ]


def first_places(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    return ", ".join(names[:3]) + (
        f" and {count_noun(len(names) - 3, 'more place')}" if len(names) > 3 else ""
    )


def format_markup(form: str, *values: object) -> Markup:
    """Put *values* into *form*, escaped unless they are markup."""
    from markupsafe import Markup

    return Markup(form).format(*values)  # noqa: S704 - format escapes what it puts in


def outcome_line(result: Result, *, accounts: bool) -> Markup:
    """Return one line about a resource, and the outcome of acting on it."""
    return format_markup("{} ({}, {}): {}", *_named(result, accounts), mark_commands(outcome_text(result)))


def unjudged_line(result: Result, *, accounts: bool) -> Markup:
    """Return one line about a resource that could not be judged, and why."""
    return format_markup(
        "{} ({}, {}): {}", *_named(result, accounts), add_breaks(escape_text(result.verdict.reason))
    )


def _named(result: Result, accounts: bool) -> tuple[Markup, str, str]:  # noqa: FBT001
    return (
        add_breaks(escape_text(result.target.name)),
        result.detector,
        place_text(result.target, accounts=accounts),
    )


def make_bars(amounts: Iterable[tuple[str, Decimal | None]], *, limit: int | None) -> list[ChartBar]:
    """Sum dollars by name, longest bar first; past *limit* names the rest become one bar."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for name, amount in amounts:
        if amount is not None:
            total, count = sums.get(name, (Decimal(0), 0))
            sums[name] = (total + amount, count + 1)
    ranked = sorted(sums.items(), key=lambda entry: (-entry[1][0], entry[0]))
    if limit is not None and len(ranked) > limit:
        rest = ranked[limit - 1 :]
        others = (sum((amount for _, (amount, _) in rest), Decimal(0)), sum(count for _, (_, count) in rest))
        ranked = [*ranked[: limit - 1], (count_noun(len(rest), "other"), others)]
    longest = max((amount for _, (amount, _) in ranked), default=Decimal(0)) or Decimal(1)
    return [
        ChartBar(escape_text(name), amount, count, round(float(amount / longest) * 100, 2))
        for name, (amount, count) in ranked
    ]


def is_uncounted(result: Result) -> bool:
    """
    Return whether no part of *result* is in a sum: its price is unknown, or another finding is counted
    instead.
    """
    if result.overlap is not None:
        return not (result.overlap.monthly_usd or result.overlap.accrued_usd)
    return ranking_usd(result) is None


def count_unpriced(names: Iterable[str]) -> NameCounts:
    """Count the findings without a price by name; past `BARS` names the rest are put together."""
    counts = Counter(escape_text(name) for name in names).most_common()
    if len(counts) > OWNER_BARS:
        rest = counts[OWNER_BARS - 1 :]
        counts = [
            *counts[: OWNER_BARS - 1],
            (count_noun(len(rest), "other"), sum(count for _, count in rest)),
        ]
    return counts


# --- rows of findings -----------------------------------------------------------------------------

CONSOLE_PAGES = {
    "endpoint": "endpoints",
    "endpoint-config": "endpointConfig",
    "model": "models",
    "notebook-instance": "notebook-instances",
    "training-job": "jobs",
    "processing-job": "processing-jobs",
    "transform-job": "transform-jobs",
    "hyper-parameter-tuning-job": "hyper-tuning-jobs",
    "app": "studio",
    "space": "studio",
    "domain": "studio",
}
"""
Lists of the SageMaker console. The page of one resource is below its list; apps and spaces have the page of
their domain. The console has no page for pipelines, components, package groups and MLflow servers: Studio
shows them.
"""

CONSOLE_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}

TABLE_FILTERS = ("detector", "account", "owner", "team", "confidence", "status")

CHANGING_PART = re.compile(r"(?<==)\S+|(?<= )\d[\d.]*")
"""The values and numbers of an action; without them, equal actions stand in one group."""


def finding_fields(number: int, result: Result, *, accounts: bool = False) -> dict[str, Any]:
    """Return the fields that a table row shows, and by which the page's script sorts and filters."""
    verdict = require_finding(result)
    amount, worth = ranking_usd(result), result.usd_per_hour
    return {
        "number": number,
        "detector": result.detector,
        "name": escape_text(result.target.name),
        "arn": escape_text(result.target.arn),
        "link": console_link(result.target.arn, result.target.name, result.target.region),
        "account": escape_text(result.target.account),
        "place": place_text(result.target, accounts=accounts),
        "owner": escape_text(result.owner or ""),
        "team": escape_text(team_of(result.target) or ""),
        "confidence": verdict.confidence.value,
        "reason": escape_text(verdict.reason),
        "action": CHANGING_PART.sub("\u2026", short_action(verdict.action)),
        "monthly": float(counted.monthly_usd or 0) if (counted := result.counted) else 0.0,
        "accrued": float(counted.accrued_usd or 0) if counted else 0.0,
        "status": status_word(result),
        "urgent": needs_attention(result),
        "became": mark_commands(outcome_text(result)),
        "since": format_time(verdict.since) if verdict.since else "",
        "created": format_time(result.target.created) if result.target.created else "",
        "cost": cost_text(result),
        "work": work_text(result),
        "worth": float(worth) if worth is not None else -1.0,
        "instead": instead_sentence(result),
        "usd": float(amount) if amount is not None else -1.0,
        "marks": [escape_text(f"{mark.signal}: {mark.value}") for mark in protection_evidence(result.target)],
        "evidence": [signal_fields(item) for item in verdict.evidence],
    }


def signal_fields(item: Evidence) -> dict[str, str]:
    """Return the name of one signal, and its value or why it could not be read."""
    value = f"could not be read: {item.error}" if item.error else str(item.value)
    return {"signal": escape_text(item.signal), "value": escape_text(value)}


def script_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by which the page's script sorts, filters, finds and unfolds a table row."""
    money = ("usd", "worth", "monthly", "accrued")
    known = ("number", "name", *money, "action", *TABLE_FILTERS, "evidence", "arn")
    parts = ("name", "detector", "place", "owner", "team", "reason")
    text = " ".join([*(row[part] for part in parts), row["became"].striptags()])
    return {**{name: row[name] for name in known}, "text": text}


def pack_entries(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return *entries* as compressed JSON in ASCII: a page with 20,000 findings opens without delay."""
    if not entries:
        return ""
    return b64encode(gzip.compress(json.dumps(entries).encode(), mtime=0)).decode()


def mark_commands(text: str) -> Markup:
    """Return *text* without markup, and with terminal commands marked as code."""
    from markupsafe import Markup

    marked, end, shown = Markup(), 0, escape_text(text, 4000)
    for found in COMMAND_PATTERN.finditer(shown):
        marked += Markup("{}<code>{}</code>").format(shown[end : found.start()], found[0])
        end = found.end()
    return marked + shown[end:]


def console_link(arn: str, name: str, region: str) -> str:
    """
    Return the console address of the resource *arn*, called *name*, or "" where the console has none.

    A family (`llm-pretrain-*`) has the list of its kind. An ARN that AWS does not have, such as that of a
    Savings Plan nobody bought yet, has no page.
    """
    parsed = Arn.parse(arn)
    first, _, rest = parsed.name.partition("/")
    match parsed.service, parsed.kind:
        case "sagemaker", kind if page := CONSOLE_PAGES.get(kind):
            shown = "" if "*" in parsed.name else f"/{quote_url(first if page == 'studio' else name)}"
            path = f"sagemaker/home?region={region}#/{page}{shown}"
        case "s3", "bucket":
            path = f"s3/buckets/{quote_url(first)}?region={region}"
        case "s3", "object":
            path = f"s3/object/{quote_url(first)}?region={region}&prefix={quote_url(rest)}"
        case "ecr", "repository":
            path = f"ecr/repositories/private/{parsed.account}/{quote_url(parsed.name)}?region={region}"
        case "elasticmapreduce", "cluster":
            path = f"emr/home?region={region}#/clusterDetails/{quote_url(parsed.name)}"
        case "logs", "log-group":  # CloudWatch's page writes each % of a name escaped twice as $
            group = quote_url(quote_url(parsed.name.removesuffix(":*"))).replace("%", "$")
            path = f"cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
        case _:
            return ""
    return f"https://{region}.{CONSOLE_HOSTS.get(parsed.partition, CONSOLE_HOSTS['aws'])}/{path}"


# --- archive --------------------------------------------------------------------------------------
# Each sweep leaves one JSON document and one page.


class Archive:
    """An archive in *bucket*, through *client*."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, report: Report, *, folder: str) -> str:
        """
        Put *report* under *folder*, by its time; return its address.

        The same run put again replaces itself, so a retry leaves one report.
        """
        where = f"{folder}/{report.time:%Y-%m-%dT%H-%M-%SZ}"
        for ending, kind, text in (
            ("json", "application/json", report_json(report, every=True)),
            ("html", "text/html; charset=utf-8", render_html(report)),
        ):
            self._client.put_object(
                Bucket=self._bucket, Key=f"{where}.{ending}", Body=text.encode(), ContentType=kind
            )
        return f"s3://{self._bucket}/{where}.html"
