"""The nights of a thousand accounts in seventeen regions, by what was counted: calls, time, dollars."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.list_prices import PRICES, Price
from bench.monthly import DAY, HOUR, MONTH, used_in_a_run
from ml_janitor.aws.pace import EVERY_SLOT, RateSlot, allowed_rate
from ml_janitor.config.functions import group_of, sweeping_function
from ml_janitor.config.schedules import minutes_of_week, schedule_period
from ml_janitor.config.settings import Settings
from ml_janitor.core.durations import MINUTE
from ml_janitor.ledger.table import ITEMS_PER_BATCH
from ml_janitor.scheduled.accounts import skip_empty_time
from ml_janitor.scheduled.invocation import LONGEST_INVOCATION, RUN_RESERVE, rate_slots
from ml_janitor_cli.template.state_machine import count_transitions, define_state_machine

ACCOUNTS, REGIONS = 1_000, 17
BUSY_REGIONS = 1
"""Of an account, those that hold as much as what `make cost` counted; in the others is nothing."""

SWEEP_LASTS = LONGEST_INVOCATION - RUN_RESERVE
"""What a child may take to look at its account."""

TRANSACTED = 2
"""Write units of an item of up to a kilobyte in a transaction (DynamoDB, on-demand)."""

STATES = Price(
    usd=0.025,
    per=1000,
    unit="state transition, Standard",
    source="https://aws.amazon.com/step-functions/pricing/ (as widely published up to mid-2025)",
)


ORGANIZATION = {
    "id": "o-a1b2c3d4e5",
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
        """Tell whether a child has too little time for its busy region."""
        return self.busy_seconds > SWEEP_LASTS.total_seconds()

    @property
    def child_seconds(self) -> float:
        """Seconds of a child, its regions side by side; a child that has no time left stops."""
        return min(self.busy_seconds, SWEEP_LASTS.total_seconds()) + self.empty_seconds

    @property
    def at_once(self) -> int:
        """Children that have to run side by side for a run to end within the hour."""
        return math.ceil(ACCOUNTS / (HOUR.total_seconds() // self.child_seconds))

    def lasts(self, at_once: int) -> float:
        """Seconds of a run with so many children side by side."""
        return math.ceil(ACCOUNTS / at_once) * self.child_seconds

    @property
    def runs_a_day(self) -> float:
        """Runs a month."""
        return DAY / schedule_period(self.schedule)

    @property
    def pairs_a_day(self) -> tuple[float, float]:
        """Busy and empty pairs that a day looks at: the empty ones as often as `skip_empty_time` says."""
        runs, due = (
            self.runs_a_day,
            DAY / max(skip_empty_time(settings(), self.name), schedule_period(self.schedule)),
        )
        return runs * ACCOUNTS * BUSY_REGIONS, due * ACCOUNTS * (REGIONS - BUSY_REGIONS)

    @property
    def calls_a_day(self) -> Counter[str]:
        """All calls by operation."""
        made = Counter[str]()
        for pairs, run in zip(self.pairs_a_day, (self.busy, self.empty), strict=True):
            for call, times in run["calls"].items():
                made[call] += round(pairs * times)
        for entering in ("sts:AssumeRole", "ec2:DescribeRegions"):
            made[entering] += round(self.runs_a_day * ACCOUNTS / self.shared_by)
        made["dynamodb:BatchGetItem"] += round(self.runs_a_day * ACCOUNTS * REGIONS / ITEMS_PER_BATCH)
        return made

    @property
    def dollars_a_month(self) -> Counter[str]:
        """Cost of its runs, by price."""
        days, used = MONTH / DAY, Counter[str]()
        for pairs, run in zip(self.pairs_a_day, (self.busy, self.empty), strict=True):
            for name, amount in used_in_a_run(run):
                used[name] += days * pairs * amount
        _, empty = self.pairs_a_day
        runs = days * self.runs_a_day
        used["table-reads"] += runs * ACCOUNTS * REGIONS + days * empty
        used["table-writes"] += days * empty * TRANSACTED
        runs /= self.shared_by
        children = runs * ACCOUNTS
        used["lambda-requests"], used["scheduler"] = children + 2 * runs, runs
        usd = Counter({name: PRICES[name].of(amount) for name, amount in used.items()})
        in_parts = group_of(settings(), self.name).in_parts
        of_run, of_child = count_transitions(define_state_machine("", at_once=1), in_parts=in_parts)
        answers = of_child - (not in_parts)  # else the last state is that of an account without an answer
        usd["transitions"] = STATES.of(children * answers + runs * (1 + of_run))
        return usd

    @property
    def shared_by(self) -> int:
        """Detectors that are looked at in the same run."""
        return len(group_of(settings(), self.name).detectors)

    @property
    def empty_dollars_a_month(self) -> Counter[str]:
        """Share of this cost that empty regions cause."""
        days, (_, pairs) = MONTH / DAY, self.pairs_a_day
        used = Counter[str]()
        for name, amount in used_in_a_run(self.empty):
            used[name] += amount
        del used["lambda-requests"], used["scheduler"]  # of the run
        used["table-reads"], used["table-writes"] = 1, TRANSACTED
        return Counter({name: PRICES[name].of(days * pairs * amount) for name, amount in used.items()})


@cache
def settings() -> Settings:
    """Return the default settings of a deployment over an organization."""
    return Settings.parse({"organization": ORGANIZATION, "bill": {"enabled": True}})


def nights(given: Mapping[str, Any]) -> list[Night]:
    """Every detector's, by what was counted of it."""
    found = []
    for detector in settings().enabled():
        busy, empty = given["functions"][detector.name], given["empty"][detector.name]
        busy_seconds, slowest = lasts(busy, turns(detector.name))
        empty_seconds, _ = lasts(empty, turns(detector.name))
        found.append(
            Night(
                name=detector.name,
                schedule=settings().schedule(type(detector)),
                busy_seconds=busy_seconds,
                empty_seconds=empty_seconds,
                slowest=slowest,
                busy=busy,
                empty={**busy, **empty},
            )
        )
    return found


def turns(detector: str) -> Mapping[str, RateSlot]:
    """Return the turns of the function that sweeps with *detector*."""
    return rate_slots(settings(), sweeping_function(settings(), detector))


def lasts(run: Mapping[str, Any], slots: Mapping[str, RateSlot]) -> tuple[float, str]:
    """
    Seconds of a run within its turns, and the operation that takes longest.

    The waits of different operations overlap; what was counted on the sandbox is added, as if it did not.
    """
    waits = {
        call: times * slots.get(call, EVERY_SLOT).of / allowed_rate(call)
        for call, times in run["calls"].items()
        if not call.startswith(("dynamodb:", "s3:"))
    }
    slowest = max(waits, key=lambda call: waits[call], default="")
    return run["seconds"] + waits.get(slowest, 0), slowest


def together(all_nights: Sequence[Night], at_once: int) -> tuple[int, int]:
    """Return the most functions, and the most maps, that run at once in any minute of a week."""
    week = 7 * 24 * 60
    functions, maps = Counter[int](), Counter[int]()
    groups: dict[tuple[str, ...], list[Night]] = {}
    for night in all_nights:
        groups.setdefault(group_of(settings(), night.name).detectors, []).append(night)
    for night, *others in groups.values():  # detectors of one run follow one another
        length = math.ceil(sum(each.lasts(at_once) for each in (night, *others)) / 60)
        hourly = not night.schedule.startswith("cron(")
        starts = (
            set(range(0, week, int(schedule_period(night.schedule) / MINUTE)))
            if hourly
            else minutes_of_week(night.schedule)
        )
        for start in starts:
            for minute in range(start, start + length):
                functions[minute % week] += min(at_once, ACCOUNTS)
                maps[minute % week] += 1
    return max(functions.values()), max(maps.values())
