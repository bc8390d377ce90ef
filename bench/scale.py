"""Writes docs/scale.md: the nights of a thousand accounts in seventeen regions, beside what AWS allows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.list_prices import PRICES
from bench.many_accounts import (
    ACCOUNTS,
    BUSY_REGIONS,
    REGIONS,
    STATES,
    SWEEP_LASTS,
    Night,
    nights,
    runs,
    settings,
    together,
)
from bench.monthly import COUNTED, OWN_CALLS, money, uncounted
from ml_janitor.aws.pace import AWS_RATES, EVERY_SLOT, allowed_rate
from ml_janitor.core.durations import MINUTE
from ml_janitor.ledger.table import ITEMS_PER_BATCH
from ml_janitor.scheduled.invocation import MAP_RUN, rate_slots

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"

LOOKUP = 0.005
"""Seconds that a read of one item takes: single-digit milliseconds (DynamoDB developer guide)."""

READERS = 16
"""How many of them are read side by side."""

WRITES = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})

LINES = {
    "metrics read (GetMetricData)": "metrics-read",
    "other CloudWatch requests": "cloudwatch-requests",
    "Lambda": "lambda-gb-seconds lambda-requests",
    "state transitions (Step Functions)": "transitions",
    "ledger (DynamoDB)": "table-writes table-reads",
    "reports (S3)": "s3-writes s3-reads",
    "logs written": "logs-written",
    "Cost Explorer": "cost-explorer",
}
"""The lines of the bill, and the prices that each of them adds up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """AWS's default quota of an account in a region, and the page that states it."""

    name: str
    most: int
    source: str


QUOTAS = {
    "functions": Quota(
        name="functions of Lambda at once",
        most=1_000,
        source="Lambda developer guide, Lambda quotas: concurrent executions; new accounts start with less",
    ),
    "children": Quota(
        name="children of one Map Run at once",
        most=10_000,
        source="Step Functions developer guide, Service quotas: parallel child workflow executions",
    ),
    "maps": Quota(
        name="open Map Runs",
        most=1_000,
        source="Step Functions developer guide, Service quotas: open Map Runs",
    ),
    "roles": Quota(
        name="requests to STS in a second",
        most=600,
        source="IAM user guide, IAM and STS quotas: requests per second, per account, per region; "
        "those that AWS's services make for roles do not count",
    ),
    "writes": Quota(
        name="writes of a new ledger in a second",
        most=4_000,
        source="DynamoDB developer guide, On-demand capacity: what a new table takes at once; "
        "a table that had more takes twice its peak",
    ),
}


def parts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the generated parts of docs/scale.md."""
    found = nights(given)
    return {
        "account": account(given),
        "rates": table("operation|rate|for the janitor|functions|turns of each, a second", rates()),
        "nights": f"{table(COLUMNS, map(row, found))}\n\n{all_calls(found)} {out_of_time(found)}",
        "quotas": against_quotas(found),
        "dollars": dollars(found),
        "digest": digest(given),
        "sources": "\n".join(sources()),
    }


COLUMNS = "detector|runs a day|calls a day|a child takes|waits longest for"


def table(columns: str, rows: Iterable[Sequence[str]]) -> str:
    """Markdown; whatever begins with a digit or a dollar stands to the right."""
    names, cells = columns.split("|"), [*rows]
    right = [cell.strip("*")[:1] in {"$", *"0123456789"} for cell in cells[0]]
    ruler = ["---:" if each else "---" for each in right]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, ruler, *cells))


def account(given: Mapping[str, Any]) -> str:
    """Say in one sentence which numbers this page computes, and from which."""
    things = ", ".join(f"{number:,} {kind}" for kind, number in given["account"].items())
    return (
        f"{ACCOUNTS:,} accounts in {REGIONS} regions, with every detector at its own schedule. It is "
        "computed from the calls and seconds of real runs that `make cost` counted on "
        f"{given['date']}. One region of each account holds as much as the account that was counted: "
        f"{things}. The other {REGIONS - BUSY_REGIONS} hold nothing, and are looked at once a "
        f"day, every four hours by detectors that run hourly.{uncounted(given.get('estimated', ()))}"
    )


def rates() -> Iterator[Sequence[str]]:
    """List the turns of each known rate."""
    turns = [rate_slots(settings(), detector.name) for detector in settings().enabled()]
    for action, rate in sorted(AWS_RATES.items()):
        of = max(own.get(action, EVERY_SLOT).of for own in turns)
        yield (
            f"`{action}`",
            f"{rate:g}",
            f"{allowed_rate(action):g}",
            f"{of}",
            f"{allowed_rate(action) / of:.2g}",
        )


def row(night: Night) -> Sequence[str]:
    """Write the row of a detector."""
    late = " (**out of time**)" if night.unfinished else ""
    seconds = f"{night.busy_seconds + night.empty_seconds:,.0f} s{late}"
    calls = f"{sum(night.calls_a_day.values()):,}"
    return night.name, f"{night.runs_a_day:.2g}", calls, seconds, f"`{night.slowest}`"


def all_calls(found: Sequence[Night]) -> str:
    """Sum the calls of a day, and those of empty regions and of the janitor's own bookkeeping among them."""
    made = sum((night.calls_a_day for night in found), Counter[str]())
    empty = sum(night.pairs_a_day[1] * times for night in found for times in night.empty["calls"].values())
    own = sum(times for call, times in made.items() if call.startswith(OWN_CALLS))
    return (
        f"Together they make {sum(made.values()) / 1e6:.1f} million calls a day, {empty / 1e6:.1f} million "
        f"of them for empty regions, and {own / 1e6:.1f} million for the ledger and the reports."
    )


def out_of_time(found: Sequence[Night]) -> str:
    """Name the detectors whose run would not end, if any."""
    late = [night.name for night in found if night.unfinished]
    time = f"A child has {SWEEP_LASTS // MINUTE} minutes for its sweeps."
    if not late:
        return f"{time} None needs more."
    return (
        f"{time} Of a region with as much as was counted, {' and '.join(late)} would not read all: the sweep "
        "says so, reports what it read, and acts on nothing. Where an account is that large, move the "
        f"schedules of detectors that call the same operation at least {MAP_RUN // MINUTE} minutes apart, or "
        "audit it from the command line, which has every turn."
    )


def against_quotas(found: Sequence[Night]) -> str:
    """List what runs at once, beside AWS's quotas."""
    needed, default = max(run.at_once for run in runs(found)), settings().organization.at_once
    most = together(found, needed)
    figures = {
        "functions": most.functions,
        "children": needed,
        "maps": most.maps,
        "roles": most.roles,
        "writes": most.writes,
    }
    rows = [
        (
            quota.name,
            f"{figures[key]:,.0f}",
            f"{quota.most:,}",
            "" if figures[key] <= quota.most else "**too many**",
        )
        for key, quota in QUOTAS.items()
    ]
    text = (
        f"With `organization.at_once = {needed}`, every run ends within the hour: the longest takes "
        f"{minutes(found, needed)} minutes. With {default}, the default, it takes "
        f"{minutes(found, default)}.\n\n"
        f"{table(f'quota|most at {needed}|allowed|', rows)}\n\n"
        "A child takes on one role. In the seconds in which maps begin together, up to "
        f"{most.begin:,} children do: what STS or a new table refuses then is tried again within seconds."
    )
    allowed_functions = QUOTAS["functions"].most
    if most.functions <= allowed_functions:
        return text
    fit = next(at for at in range(needed, 0, -1) if together(found, at).functions <= allowed_functions)
    return (
        f"{text}\n\nWith {fit}, the functions of all detectors stay within {allowed_functions:,}, and the "
        f"longest run takes {minutes(found, fit)} minutes. More need a higher quota, which is adjustable; "
        "what Lambda refuses for that reason is tried again."
    )


def minutes(found: Sequence[Night], at_once: int) -> str:
    """Compute the minutes of the longest run with so many children side by side."""
    return f"{max(run.lasts(at_once) for run in runs(found)) / 60:.0f}"


def dollars(found: Sequence[Night]) -> str:
    """Compare the cost of a month with that of a deployment for one account."""
    usd = sum((night.dollars_a_month for night in found), Counter[str]())
    empty = sum((night.empty_dollars_a_month for night in found), Counter[str]())
    rows = [(line, money(sum(usd[name] for name in names.split()))) for line, names in LINES.items()]
    waiting = sum(run.waiting_dollars_a_month for run in runs(found))
    whole = sum(usd.values()) + waiting
    asking = [night.name for night in found if any(call.startswith("ce:") for call in night.busy["calls"])]
    named = " ".join(LINES.values()).split()
    rows += [("waits for turns (Lambda), at most", money(waiting))]
    rows += [("all other", money(sum(usd.values()) - sum(usd[name] for name in named)))]
    rows += [("**total**", f"**{money(whole)}**")]
    return (
        f"{table('a month, for all accounts|', rows)}\n\nThat is {money(whole / ACCOUNTS)} an account. Empty "
        f"regions cost {money(sum(empty.values()))} of it. Cost Explorer is asked by {' and '.join(asking)}, "
        "once for all regions of an account."
    )


def digest(given: Mapping[str, Any]) -> str:
    """Count what the digest of all accounts reads."""
    detectors = len(settings().enabled())
    pairs = ACCOUNTS * REGIONS * detectors
    queries = ACCOUNTS * BUSY_REGIONS * given["functions"]["digest"]["calls"]["dynamodb:Query"]
    reads = pairs + queries
    alone = (pairs / ITEMS_PER_BATCH + queries) * LOOKUP / 60
    return (
        f"It reads the latest sweep of each detector, account and region ({pairs:,} items, "
        f"{ITEMS_PER_BATCH} in a "
        f"request), and the findings and actions of regions that hold something ({queries:,} queries): "
        f"{money(PRICES['table-reads'].of(reads))} a day. One after the other, at {LOOKUP * 1000:.0f} ms "
        f"each, they take {alone:.0f} minutes, {60 * alone / READERS:.0f} seconds with {READERS} at once."
    )


def sources() -> Iterator[str]:
    """Where quotas and prices are from."""
    for quota in QUOTAS.values():
        yield f"- {quota.name}: {quota.most:,}. {quota.source}."
    yield f"- Step Functions: ${STATES.usd} for {STATES.per:,} transitions. {STATES.source}."


def main() -> None:
    """Write the page's parts again."""
    from docs.generate import fill

    PAGE.write_text(fill(PAGE.read_text(), parts(json.loads(COUNTED.read_text()))))


if __name__ == "__main__":
    main()
