"""The nights of a thousand accounts in seventeen regions, computed: calls, time, dollars, concurrency."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.list_prices import PRICES, Price
from bench.monthly import COUNTED, DAY, HOUR, MONTH, money, used_in_a_run
from ml_janitor.aws.pace import RATES, WHOLE, Share, allowed
from ml_janitor.aws.shared_answers import GLOBAL
from ml_janitor.config.schedules import MINUTE, minutes_of_week, period
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.table import AT_ONCE
from ml_janitor.scheduled.accounts import empty_for
from ml_janitor.scheduled.invocation import RESERVE
from ml_janitor.scheduled.turns import LONGEST_RUN, MAP_RUN, shares

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
ACCOUNTS, REGIONS = 1_000, 17
BUSY_REGIONS = 1
"""Of an account, those that hold as much as what `make cost` counted; in the others is nothing."""

SWEEP_LASTS = LONGEST_RUN - RESERVE
"""What a child may take to look at its account."""

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

CHILD_TRANSITIONS, RUN_TRANSITIONS = 2, 4
"""State transitions: of a child, its start and its one state; of a run, its start and its three states."""

STATES = Price(
    usd=0.025,
    per=1000,
    unit="state transition, Standard",
    source="https://aws.amazon.com/step-functions/pricing/ (as widely published up to mid-2025)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What AWS allows an account in a region by default, and the page that says so."""

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
        source="IAM user guide, IAM and STS quotas: requests per second, per account, per region",
    ),
    "writes": Quota(
        name="writes of the ledger in a second",
        most=4_000,
        source="DynamoDB developer guide, On-demand capacity: what a new table takes at once",
    ),
}
ORGANIZATION = {
    "id": "o-a1b2c3d4e5",
    "janitor_account": "123456789012",
    "callers": ["arn:aws:iam::123456789012:role/janitor"],
    "external_id": "ml-janitor-scale",
    "all_accounts": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One detector over the whole organization: a *busy* child, one of an *empty* account, and its runs."""

    name: str
    schedule: str
    busy_seconds: float
    empty_seconds: float
    slowest: str
    busy: Mapping[str, Any]
    empty: Mapping[str, Any]

    @property
    def unfinished(self) -> bool:
        """Whether a child has no time for its busy region."""
        return self.busy_seconds > SWEEP_LASTS.total_seconds()

    @property
    def child_seconds(self) -> float:
        """What a child takes, its regions side by side; one that has no time left stops."""
        return min(self.busy_seconds, SWEEP_LASTS.total_seconds()) + self.empty_seconds

    @property
    def at_once(self) -> int:
        """How many children have to run side by side, so that a run ends within the hour."""
        return math.ceil(ACCOUNTS / (HOUR.total_seconds() // self.child_seconds))

    def lasts(self, at_once: int) -> float:
        """Seconds of a run with so many children side by side."""
        return math.ceil(ACCOUNTS / at_once) * self.child_seconds

    @property
    def runs_a_day(self) -> float:
        """How often it is run."""
        return DAY / period(self.schedule)

    @property
    def pairs_a_day(self) -> tuple[float, float]:
        """How many busy and how many empty pairs a day are looked at: these as often as `empty_for` says."""
        runs, due = self.runs_a_day, DAY / max(empty_for(settings(), self.name), period(self.schedule))
        return runs * ACCOUNTS * BUSY_REGIONS, due * ACCOUNTS * (REGIONS - BUSY_REGIONS)

    @property
    def calls_a_day(self) -> Counter[str]:
        """All calls by operation."""
        made = Counter[str]()
        for pairs, run in zip(self.pairs_a_day, (self.busy, self.empty), strict=True):
            for call, times in run["calls"].items():
                made[call] += round(pairs * times)
        made["sts:AssumeRole"] += round(self.runs_a_day * ACCOUNTS)
        made["dynamodb:BatchGetItem"] += round(self.runs_a_day * ACCOUNTS * REGIONS / AT_ONCE)
        return made

    @property
    def dollars_a_month(self) -> Counter[str]:
        """What its runs cost, by price."""
        days, used = MONTH / DAY, Counter[str]()
        for pairs, run in zip(self.pairs_a_day, (self.busy, self.empty), strict=True):
            for name, amount in used_in_a_run(run):
                used[name] += days * pairs * amount
        runs = days * self.runs_a_day
        children = runs * ACCOUNTS
        used["lambda-requests"], used["scheduler"] = children + 2 * runs, runs
        used["table-reads"] += runs * ACCOUNTS * REGIONS
        usd = Counter({name: PRICES[name].of(amount) for name, amount in used.items()})
        usd["transitions"] = STATES.of(children * CHILD_TRANSITIONS + runs * RUN_TRANSITIONS)
        return usd

    @property
    def empty_dollars_a_month(self) -> Counter[str]:
        """What looking at empty regions costs of that."""
        days, (_, pairs) = MONTH / DAY, self.pairs_a_day
        used = Counter(dict(used_in_a_run(self.empty)))
        return Counter({name: PRICES[name].of(days * pairs * amount) for name, amount in used.items()})


@cache
def settings() -> Settings:
    """A deployment over an organization, as it comes."""
    return Settings.parse({"organization": ORGANIZATION, "bill": {"enabled": True}})


def nights(given: Mapping[str, Any]) -> list[Night]:
    """Every detector's, by what was counted of it."""
    found = []
    for detector in settings().enabled():
        busy, empty = given["functions"][detector.name], given["empty"][detector.name]
        turns = shares(settings(), detector.name)
        busy_seconds, slowest = lasts(busy, turns)
        empty_seconds, _ = lasts(empty, turns)
        found.append(
            Night(
                name=detector.name,
                schedule=settings().schedule(type(detector)),
                busy_seconds=busy_seconds,
                empty_seconds=empty_seconds,
                slowest=slowest,
                busy=busy,
                empty={**busy, **empty, "calls": of_each_region(empty["calls"])},
            )
        )
    return found


def of_each_region(calls: Mapping[str, int]) -> dict[str, int]:
    """*calls* without those whose answer a region has from another one of its account: see `GLOBAL`."""
    return {call: times for call, times in calls.items() if call.partition(":")[0] not in GLOBAL}


def lasts(run: Mapping[str, Any], turns: Mapping[str, Share]) -> tuple[float, str]:
    """
    Seconds of a run within its turns, and the operation that takes longest.

    The waits of different operations overlap; what was counted on the sandbox is added, as if it did not.
    """
    waits = {
        call: times * turns.get(call, WHOLE).of / allowed(call)
        for call, times in run["calls"].items()
        if not call.startswith(("dynamodb:", "s3:"))
    }
    slowest = max(waits, key=lambda call: waits[call])
    return run["seconds"] + waits[slowest], slowest


def together(all_nights: Sequence[Night], at_once: int) -> tuple[int, int]:
    """The most functions, and the most maps, that run at once in any minute of a week."""
    week = 7 * 24 * 60
    functions, maps = Counter[int](), Counter[int]()
    for night in all_nights:
        length = math.ceil(night.lasts(at_once) / 60)
        hourly = not night.schedule.startswith("cron(")
        starts = (
            set(range(0, week, int(period(night.schedule) / MINUTE)))
            if hourly
            else minutes_of_week(night.schedule)
        )
        for start in starts:
            for minute in range(start, start + length):
                functions[minute % week] += min(at_once, ACCOUNTS)
                maps[minute % week] += 1
    return max(functions.values()), max(maps.values())


def parts(given: Mapping[str, Any]) -> dict[str, str]:
    """The generated parts of docs/scale.md."""
    found = nights(given)
    return {
        "account": account(given),
        "rates": table("operation|rate|for the janitor|functions|turns of each, a second", rates()),
        "nights": f"{table(COLUMNS, map(row, found))}\n\n{out_of_time(found)}",
        "quotas": against_quotas(found),
        "dollars": dollars(found),
        "digest": digest(given),
        "sources": "\n".join(sources()),
    }


COLUMNS = "detector|runs a day|calls a day|a child takes|waits longest for|at once, to end in an hour"


def table(columns: str, rows: Iterable[Sequence[str]]) -> str:
    """Markdown; whatever begins with a digit or a dollar stands to the right."""
    names, cells = columns.split("|"), [*rows]
    right = [one.strip("*")[:1] in {"$", *"0123456789"} for one in cells[0]]
    ruler = ["---:" if each else "---" for each in right]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, ruler, *cells))


def account(given: Mapping[str, Any]) -> str:
    """What is computed from what."""
    things = ", ".join(f"{number:,} {kind}" for kind, number in given["account"].items())
    return (
        f"{ACCOUNTS:,} accounts in {REGIONS} regions, with every detector at its own schedule. It is "
        "computed from the calls and seconds of real runs that `make cost` counted on "
        f"{given['date']}. One region of each account holds as much as the account that was counted: "
        f"{things}. The other {REGIONS - BUSY_REGIONS} hold nothing, and are looked at once a "
        "day, every four hours by detectors that run hourly."
    )


def rates() -> Iterator[Sequence[str]]:
    """The turns of each known rate."""
    turns = [shares(settings(), one.name) for one in settings().enabled()]
    for action, rate in sorted(RATES.items()):
        of = max(own.get(action, WHOLE).of for own in turns)
        yield f"`{action}`", f"{rate:g}", f"{allowed(action):g}", f"{of}", f"{allowed(action) / of:.2g}"


def row(one: Night) -> Sequence[str]:
    """A detector's."""
    late = " (**out of time**)" if one.unfinished else ""
    seconds = f"{one.busy_seconds + one.empty_seconds:,.0f} s{late}"
    calls = f"{sum(one.calls_a_day.values()):,}"
    return one.name, f"{one.runs_a_day:.2g}", calls, seconds, f"`{one.slowest}`", f"{one.at_once}"


def out_of_time(found: Sequence[Night]) -> str:
    """Which would not end, if any."""
    late = [one.name for one in found if one.unfinished]
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
    """What runs at once, beside what AWS allows."""
    needed, default = max(one.at_once for one in found), settings().organization.at_once
    functions, maps = together(found, needed)
    writes = max(
        sum(times for call, times in one.busy["calls"].items() if call in WRITES) / one.child_seconds
        for one in found
    )
    most = {
        "functions": functions,
        "children": needed,
        "maps": maps,
        "roles": maps * needed / min(one.child_seconds for one in found),
        "writes": functions * writes,
    }
    rows = [
        (
            quota.name,
            f"{most[key]:,.0f}",
            f"{quota.most:,}",
            "" if most[key] <= quota.most else "**too many**",
        )
        for key, quota in QUOTAS.items()
    ]
    text = (
        f"With `organization.at_once = {needed}`, every run ends within the hour: the longest takes "
        f"{minutes(found, needed)} minutes. With {default}, the default, it takes "
        f"{minutes(found, default)}.\n\n"
        f"{table(f'quota|most at {needed}|allowed|', rows)}"
    )
    allowed_functions = QUOTAS["functions"].most
    if functions <= allowed_functions:
        return text
    fit = max(at for at in range(1, needed) if together(found, at)[0] <= allowed_functions)
    return (
        f"{text}\n\nWith {fit}, the functions of all detectors stay within {allowed_functions:,}, and the "
        f"longest run takes {minutes(found, fit)} minutes. More need a higher quota, which is adjustable; "
        "what Lambda refuses for that reason is tried again."
    )


def minutes(found: Sequence[Night], at_once: int) -> str:
    """Of the longest run with so many children side by side."""
    return f"{max(one.lasts(at_once) for one in found) / 60:.0f}"


def dollars(found: Sequence[Night]) -> str:
    """What a month costs beside what the deployment of one account does."""
    usd = sum((one.dollars_a_month for one in found), Counter[str]())
    empty = sum((one.empty_dollars_a_month for one in found), Counter[str]())
    rows = [(line, money(sum(usd[name] for name in names.split()))) for line, names in LINES.items()]
    whole = sum(usd.values())
    asking = [one.name for one in found if any(call.startswith("ce:") for call in one.busy["calls"])]
    named = " ".join(LINES.values()).split()
    rows += [("all other", money(sum(usd.values()) - sum(usd[name] for name in named)))]
    rows += [("**total**", f"**{money(whole)}**")]
    return (
        f"{table('a month, for all accounts|', rows)}\n\nThat is {money(whole / ACCOUNTS)} an account. Empty "
        f"regions cost {money(sum(empty.values()))} of it. Cost Explorer is asked by {' and '.join(asking)}, "
        "once for all regions of an account."
    )


def digest(given: Mapping[str, Any]) -> str:
    """What the digest of all accounts reads."""
    detectors = len(settings().enabled())
    pairs = ACCOUNTS * REGIONS * detectors
    queries = ACCOUNTS * BUSY_REGIONS * given["functions"]["digest"]["calls"]["dynamodb:Query"]
    reads = pairs + queries
    alone = (pairs / AT_ONCE + queries) * LOOKUP / 60
    return (
        f"It reads the latest sweep of each detector, account and region ({pairs:,} items, {AT_ONCE} in a "
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
