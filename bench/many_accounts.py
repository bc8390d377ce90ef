"""The nights of a thousand accounts in seventeen regions, by what was counted: calls, time, dollars."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.list_prices import PRICES, Price
from bench.monthly import DAY, HOUR, MONTH, used_in_a_run
from ml_janitor.aws.pace import EVERY_SLOT, RateSlot, allowed_rate
from ml_janitor.config.functions import group_of
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

WEEK = 7 * 24 * 60
"""Minutes of a week."""

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
    def writes(self) -> float:
        """Units that a child writes to the ledger."""
        return sum(amount for name, amount in used_in_a_run(self.busy) if name == "table-writes")

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
        (busy_waits, slowest), (empty_waits, _) = (
            longest_wait(run["calls"], turns(detector.name)) for run in (busy, empty)
        )
        found.append(
            Night(
                name=detector.name,
                schedule=settings().schedule(type(detector)),
                busy_seconds=busy["seconds"] + busy_waits,
                empty_seconds=empty["seconds"] + empty_waits,
                slowest=slowest,
                busy=busy,
                empty={**busy, **empty},
            )
        )
    return found


@cache
def turns(detector: str) -> Mapping[str, RateSlot]:
    """Return the turns of the run of *detector*."""
    return rate_slots(settings(), detector)


def longest_wait(calls: Mapping[str, float], slots: Mapping[str, RateSlot]) -> tuple[float, str]:
    """
    Seconds for which *calls* wait for their turns, and the operation that waits longest.

    The waits of different operations overlap; what was counted on the sandbox comes on top, as if it did not.
    """
    waits = {
        call: times * slots.get(call, EVERY_SLOT).of / allowed_rate(call)
        for call, times in calls.items()
        if not call.startswith(("dynamodb:", "s3:"))
    }
    slowest = max(waits, key=lambda call: waits[call], default="")
    return waits.get(slowest, 0), slowest


@dataclass(frozen=True, slots=True)
class MapRun:
    """The run of the *nights* that have one schedule and function, over all accounts."""

    nights: Sequence[Night]

    def waits(self, of: str) -> float:
        """
        Seconds for which a child waits for turns in its *busy* region, or in its *empty* ones.

        Its detectors follow one another, and share what they read of SageMaker.
        """
        seconds, known = 0.0, Counter[str]()
        for night in self.nights:
            calls = Counter(getattr(night, of)["calls"])
            seconds += longest_wait(calls - known, turns(night.name))[0]
            known |= {call: times for call, times in calls.items() if call.startswith("sagemaker:")}
        return seconds

    @property
    def child_seconds(self) -> float:
        """Seconds of a child."""
        working = sum(night.busy["seconds"] + night.empty["seconds"] for night in self.nights)
        return working + self.waits("busy") + self.waits("empty")

    @property
    def waiting_dollars_a_month(self) -> float:
        """Cost of these waits, for which Lambda charges like for all other time."""
        (busy, empty), night = self.nights[0].pairs_a_day, self.nights[0]
        waited = busy * self.waits("busy") + empty / (REGIONS - BUSY_REGIONS) * self.waits("empty")
        return PRICES["lambda-gb-seconds"].of(MONTH / DAY * waited * night.busy["memory_mb"] / 1024)

    @property
    def at_once(self) -> int:
        """Children that have to run side by side for the run to end within the hour."""
        return math.ceil(ACCOUNTS / (HOUR.total_seconds() // self.child_seconds))

    def lasts(self, at_once: int) -> float:
        """Seconds of the run with so many children side by side."""
        return math.ceil(ACCOUNTS / at_once) * self.child_seconds

    @property
    def starts(self) -> Iterable[int]:
        """Minutes of a week at which it begins."""
        schedule = self.nights[0].schedule
        if schedule.startswith("cron("):
            return minutes_of_week(schedule)
        return range(0, WEEK, int(schedule_period(schedule) / MINUTE))


def runs(all_nights: Iterable[Night]) -> list[MapRun]:
    """Return the runs of *all_nights*."""
    found: dict[tuple[str, ...], list[Night]] = {}
    for night in all_nights:
        found.setdefault(group_of(settings(), night.name).detectors, []).append(night)
    return [MapRun(group) for group in found.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Busiest:
    """
    The most in any minute of a week: *functions* and *maps* at once, *roles* and *writes* a second.

    All children with which maps *begin* at the same minute may take on their roles at once.
    """

    functions: float
    maps: float
    begin: float
    roles: float
    writes: float


def together(all_nights: Iterable[Night], at_once: int) -> Busiest:
    """Return the most that runs at the same minute by the schedules, each map with its own children."""
    most = {figure: Counter[int]() for figure in Busiest.__slots__}
    for run in runs(all_nights):
        children, seconds = min(at_once, ACCOUNTS), run.child_seconds
        of_child = {
            "functions": 1.0,
            "maps": 1 / children,
            "roles": math.ceil(seconds / SWEEP_LASTS.total_seconds()) / seconds,  # one for each part
            "writes": max(night.writes / night.child_seconds for night in run.nights),
        }
        for start in run.starts:
            most["begin"][start] += children
            for minute in range(start, start + math.ceil(run.lasts(at_once) / 60)):
                for figure, amount in of_child.items():
                    most[figure][minute % WEEK] += children * amount
    return Busiest(**{figure: max(minutes.values()) for figure, minutes in most.items()})
