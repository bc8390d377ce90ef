"""
Bills that jump for a known cause, and bills that do not: the cause comes first, and noise is no news.

Each run makes others. SEED=17 repeats those of one seed, JUMPS=2000 makes more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.explaining import BillResource, changed_parts, find_movers, units_in_span, usage_lines
from ml_janitor.bill.model import (
    Charge,
    ComparisonKind,
    Culprit,
    DaySpan,
    Mover,
    MoverCause,
    SpanComparison,
    total_change,
)
from ml_janitor.core.commitment import family_name
from samples import SEED

JUMPS = int(os.environ.get("JUMPS", "80"))
NOISES = 30

AFTER = DaySpan(date(2026, 9, 6), 30)
BEFORE = DaySpan(date(2026, 8, 7), 30)
FIRST = date(2026, 8, 2)
NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
PROJECTS = ("churn", "fraud", "llm", "support", "vision", "")
PRICES = {
    "USE1-Host:ml.m5.xlarge": "0.23",
    "USE1-Host:ml.g5.xlarge": "1.408",
    "EU-Host:ml.m5.xlarge": "0.257",
    "USE1-Train:ml.g5.2xlarge": "1.515",
    "USE1-Train:ml.p4d.24xlarge": "37.688",
    "USE1-Notebk:ml.t3.medium": "0.05",
    "USE1-Notebk:ml.g5.xlarge": "1.408",
    "TimedStorage-ByteHrs": "0.023",
    "TimedStorage-SIA-ByteHrs": "0.0125",
    "USE1-EUC1-AWS-Out-Bytes": "0.02",
    "USE1-NatGateway-Bytes": "0.045",
}


@dataclass
class World:
    """The truth: what each resource was charged by day, and what the janitor knows of it."""

    choose: random.Random
    charges: list[Charge] = field(default_factory=list)
    resources: list[BillResource] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=lambda: {k: Decimal(v) for k, v in PRICES.items()})
    dearer: dict[str, Decimal] = field(default_factory=dict)

    def use(self, usage_type: str, day: date, quantity: Decimal, tag: str) -> Decimal:
        """Charge one day of it; the answer is in dollars."""
        price = self.dearer.get(usage_type, Decimal(1)) if day in AFTER else Decimal(1)
        usd = (quantity * self.prices[usage_type] * price).quantize(Decimal("0.0000000001"))
        self.charges.append(Charge(day=day, usage_type=usage_type, tag=tag, usd=usd, quantity=quantity))
        return usd

    def background(self) -> None:
        """What always varies a little, less at weekends, and jobs that run every night."""
        for usage_type, price in self.prices.items():
            for tag in self.choose.sample(PROJECTS, 2):
                level = Decimal(self.choose.randrange(5, 120)) / price
                weekend = Decimal(self.choose.choice(["1", "1", "0.3", "0"]))
                noise = self.choose.choice([0.01, 0.04, 0.08])
                for day in days():
                    factor = Decimal(str(1 + self.choose.uniform(-noise, noise)))
                    self.use(usage_type, day, level * factor * (weekend if day.weekday() >= 5 else 1), tag)
        for number, day in enumerate(days()):
            hours = Decimal(str(round(self.choose.uniform(1.8, 2.2), 3)))
            self.run("USE1-Train:ml.g5.2xlarge", "churn", f"nightly-{number:03}", day, hours=hours)

    def run(
        self,
        usage_type: str,
        tag: str,
        name: str,
        day: date,
        *,
        hours: Decimal | None = None,
        count: int = 1,
        finding: str = "",
    ) -> Decimal:
        """A resource from 04:00 of *day* on, for *hours* or until now; the answer is what it changed."""
        start = datetime.combine(day, time(4), UTC)
        end = None if hours is None else start + timedelta(seconds=int(hours * 3600))
        run = ResourceRun(usage_type=usage_type, start=start, end=end, hourly=Decimal(count))
        changed = Decimal(0)
        for each in days():
            if units := units_in_span(run, DaySpan(each, 1)):
                usd = self.use(usage_type, each, units, tag)
                changed += usd if each in AFTER else -usd if each in BEFORE else 0
        self.know(name, tag, (run,), since=start, finding=finding)
        return changed

    def know(
        self, name: str, tag: str, runs: Sequence[ResourceRun], *, since: datetime, finding: str = ""
    ) -> None:
        culprit = Culprit(
            arn=f"arn:{name}",
            name=name,
            kind="thing",
            owner=f"{tag}@acme.example",
            since=since,
            finding=finding,
        )
        self.resources.append(
            BillResource(culprit=culprit, runs=tuple(runs), tag=tag, family=family_name(name))
        )

    def explained(self) -> tuple[Mover, ...]:
        """Why it moved, from rows in any order."""
        comparison = SpanComparison(kind=ComparisonKind.DAYS, before=BEFORE, after=AFTER)
        rows, known = list(self.charges), list(self.resources)
        self.choose.shuffle(rows)
        self.choose.shuffle(known)
        owners = {"USE1-EUC1-AWS-Out-Bytes": "net@acme.example"}
        services = dict.fromkeys(PRICES, "Amazon SageMaker")
        found = find_movers(changed_parts(usage_lines(rows), comparison, services), known, comparison, owners)
        by_span = [sum(one.usd for one in rows if one.day in span) for span in (BEFORE, AFTER)]
        assert total_change(found) == by_span[1] - by_span[0]
        return found


def days() -> Iterator[date]:
    return (FIRST + timedelta(days=number) for number in range(65))


@dataclass(frozen=True)
class Jump:
    """What was done to a bill: *usd* by the movers that *names* recognises."""

    usd: Decimal
    names: Callable[[Mover], bool]
    owner: str = ""


def early(world: World) -> date:
    return AFTER.first + timedelta(days=world.choose.randrange(3, 20))


def hung_job(world: World) -> Jump:
    tag = world.choose.choice(PROJECTS[:-1])
    count = world.choose.randrange(1, 5)
    usd = world.run(
        "USE1-Train:ml.p4d.24xlarge", tag, "pretrain-0924", early(world), count=count, finding="f"
    )
    return Jump(usd, named("arn:pretrain-0924", MoverCause.FINDING), f"{tag}@acme.example")


def new_fleet(world: World) -> Jump:
    tag, day = world.choose.choice(PROJECTS), early(world)
    usd = sum(
        (
            world.run(
                "USE1-Host:ml.g5.xlarge", tag, f"ranker-{number}", day, count=world.choose.randrange(9, 14)
            )
            for number in range(world.choose.randrange(1, 6))
        ),
        Decimal(0),
    )
    return Jump(usd, named("arn:ranker-", MoverCause.STARTED), f"{tag}@acme.example")


def forgotten_notebooks(world: World) -> Jump:
    tag, day = world.choose.choice(PROJECTS), early(world)
    usd = sum(
        (
            world.run("USE1-Notebk:ml.g5.xlarge", tag, f"workshop-{number}", day, finding="f")
            for number in range(world.choose.randrange(12, 30))
        ),
        Decimal(0),
    )
    return Jump(usd, named("arn:workshop-", MoverCause.FINDING), f"{tag}@acme.example")


def price(world: World) -> Jump:
    usage_type = "USE1-Host:ml.g5.xlarge"
    before = sum(one.usd for one in world.charges if one.usage_type == usage_type and one.day in AFTER)
    factor = Decimal(str(world.choose.choice([1.4, 1.6, 2.0])))
    for number, one in enumerate(world.charges):
        if one.usage_type == usage_type and one.day in AFTER:
            world.charges[number] = Charge(
                day=one.day, usage_type=usage_type, tag=one.tag, usd=one.usd * factor, quantity=one.quantity
            )
    world.dearer[usage_type] = factor
    return Jump(
        before * (factor - 1), lambda one: one.cause is MoverCause.PRICE and one.part.usage_type == usage_type
    )


def storage_class(world: World) -> Jump:
    tag, day = world.choose.choice(PROJECTS[:-1]), early(world)
    gb = Decimal(world.choose.randrange(400_000, 900_000))
    runs, usd = [], Decimal(0)
    for each in days():
        cold = each < day
        usage_type = "TimedStorage-SIA-ByteHrs" if cold else "TimedStorage-ByteHrs"
        quantity = gb / 30
        spent = world.use(usage_type, each, quantity, tag)
        if not cold and each in AFTER:
            usd += spent
        start = datetime.combine(each, time(), UTC)
        runs.append(
            ResourceRun(
                usage_type=usage_type, start=start, end=start + timedelta(days=1), hourly=quantity / 24
            )
        )
    world.know("bucket-features", tag, runs, since=NOW - timedelta(days=400))
    return Jump(
        usd,
        lambda one: bool(one.culprit and one.culprit.arn == "arn:bucket-features" and one.usd > 0),
        f"{tag}@acme.example",
    )


def cross_region(world: World) -> Jump:
    """No resource is behind it: what else its line of the bill changed by cannot be told from it."""
    usage_type = "USE1-EUC1-AWS-Out-Bytes"
    tag, day = world.choose.choice(PROJECTS), early(world)
    for each in days():
        if each >= day:
            world.use(usage_type, each, Decimal(30_000), tag)
    line = [one for one in world.charges if (one.usage_type, one.tag) == (usage_type, tag)]
    return Jump(
        sum(
            (
                one.usd if one.day in AFTER else -one.usd
                for one in line
                if one.day in AFTER or one.day in BEFORE
            ),
            Decimal(0),
        ),
        lambda one: (
            one.cause is MoverCause.UNEXPLAINED and (one.part.usage_type, one.part.tag) == (usage_type, tag)
        ),
        "net@acme.example",
    )


def lost_tags(world: World) -> Jump:
    usage_type, day, usd = "EU-Host:ml.m5.xlarge", early(world), Decimal(0)
    hourly = Decimal(world.choose.randrange(80, 160))
    for each in days():
        tag = "fraud" if each < day else ""
        spent = world.use(usage_type, each, hourly * 24, tag)
        usd += spent if each in AFTER and not tag else 0
    return Jump(
        usd, lambda one: one.cause is MoverCause.TAG and one.tag_before == "fraud" and one.part.tag == ""
    )


def named(arn: str, cause: MoverCause) -> Callable[[Mover], bool]:
    return lambda one: one.culprit is not None and one.culprit.arn.startswith(arn) and one.cause is cause


KINDS: tuple[Callable[[World], Jump], ...] = (
    price,  # before others: what is new is charged the new price, and is no part of this cause
    hung_job,
    new_fleet,
    forgotten_notebooks,
    storage_class,
    cross_region,
    lost_tags,
)


@pytest.mark.parametrize("number", range(JUMPS))
def test_the_cause_comes_first_with_its_dollars(number: int) -> None:
    world = World(random.Random(f"{SEED} {number}"))  # noqa: S311
    world.background()
    kinds = [KINDS[number % len(KINDS)]]
    if number % 4 == 3:
        kinds = world.choose.sample(KINDS, 2)
    jumps = [kind(world) for kind in sorted(kinds, key=KINDS.index)]
    found = world.explained()
    at_both_ends = {
        one.culprit.arn for one in found if one.culprit and one.usd < 0
    }  # a storage class changed
    rising = [
        one for one in found if one.culprit is None or one.culprit.arn not in at_both_ends or one.usd > 0
    ]
    largest = [(str(one.usd), one.cause, one.part.usage_type) for one in found[:5]]
    said = f"SEED={SEED}, number {number}: {[kind.__name__ for kind in kinds]}: {largest}"

    for jump in jumps:
        own = [one for one in found if jump.names(one)]
        usd = sum((one.usd for one in own), Decimal(0))
        assert abs(usd - jump.usd) <= abs(jump.usd) / 100, (said, usd, jump.usd)
        assert any(one in rising[: len(jumps) + len(own) - 1] for one in own), said
        if jump.owner:
            assert own[0].owner == jump.owner, said
    assert any(jump.names(found[0]) for jump in jumps), said


@pytest.mark.parametrize("number", range(NOISES))
def test_noise_is_no_news(number: int) -> None:
    world = World(random.Random(f"{SEED} noise {number}"))  # noqa: S311
    world.background()

    news = [one for one in world.explained() if not one.ordinary]

    assert news == [], f"SEED={SEED}"
