"""The decide table of commitments; its own path against brute force; what others leave, and never spot."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from conftest import NOW
from fakes import target_at
from ml_janitor.aws.client import Aws
from ml_janitor.aws.cost_explorer import PlanRate, SavingsPlanLine, covered_totals, covered_usage
from ml_janitor.aws.runs import ResourceRun, UsedResource
from ml_janitor.core.commitment import UsageHours
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Absent, Change, Finding, Kept, Unreadable, Value
from ml_janitor.core.money import Claim, claimed_resources
from ml_janitor.detectors.commitments import Commitments, SteadyUse
from narrowing import not_none, of_type
from samples import share
from tables import cases
from verdicts import expect_verdict, shown

COUNT = 168
SINCE = NOW - COUNT * HOUR
HOST, TRAIN, SPOT = "USE1-Host:ml.m5.xlarge", "USE1-Train:ml.g5.xlarge", "USE1-TrSpt:ml.g5.xlarge"
RATES = {
    (HOST, "RunInstance"): PlanRate(0.8, "plan"),
    (TRAIN, "RunInstance"): PlanRate(0.7, "plan"),
    (SPOT, ""): PlanRate(0.1, "plan"),
}
"""Of a dollar an hour; were there a rate for spot, it would not count."""
RULE = Commitments(min_saving=0.01)


def used(name: str, *runs: ResourceRun, kind: str = "endpoint") -> UsedResource:
    return UsedResource(target=target_at(f"{kind}/{name}", SINCE), runs=runs)


def run(
    usage: str, first: float = 0, last: float = COUNT, count: float = 1, *, reserved: bool = False
) -> ResourceRun:
    start, end = SINCE + first * HOUR, SINCE + last * HOUR
    return ResourceRun(usage_type=usage, start=start, end=end, hourly=Decimal(str(count)), reserved=reserved)


def line(usage: str, usd: Iterable[float]) -> SavingsPlanLine:
    amounts = tuple(usd)
    return SavingsPlanLine(usage_type=usage, operation="RunInstance", usd=amounts, quantity=sum(amounts))


def steady(
    *resources: UsedResource,
    lines: Iterable[SavingsPlanLine] | None = None,
    others: int | None = 0,
    **members: object,
) -> SteadyUse:
    """What is read of *resources*, at a dollar an hour; billed by the hour where there are *lines*."""
    price = [line(HOST, [1.0]), line(TRAIN, [1.0]), line(SPOT, [1.0])]
    hours = UsageHours(
        since=SINCE,
        count=COUNT,
        uses=tuple(covered_usage(cast("Aws", None), resources, price, RATES, NOW)),
        totals=None if lines is None else tuple(covered_totals(lines, RATES)),
        others=others,
    )
    target = replace(used("sagemaker-savings-plan", kind="commitment").target, tags=Value({}))
    known = {"owned": Value({}), "coverage": Value({}), "utilization": Absent()} | members
    return SteadyUse(target=target, plan="SageMaker", hours=Value(hours), offering="plan", **known)  # type: ignore[arg-type]


ALWAYS = used("always", run(HOST, count=2))
HALF = used("half", *(run(HOST, day * 24, day * 24 + 12) for day in range(7)))
DENIED = Unreadable("denied")
SHARED, OWNED = Value({"Amazon SageMaker": 0.3}), Value({"SageMaker": 0.6})
BILLED = [line(HOST, [2.0] * COUNT)]


@cases(
    "candidate, verdict, reason",
    (steady(ALWAYS), "found", "$1.60 an hour more committed would have been used to 100%"),
    (steady(ALWAYS, HALF), "found", "$1.60 an hour"),
    (steady(HALF), "kept", "the best commitment, $0.00 an hour, would save $0.00 a month"),
    (steady(), "kept", "would save $0.00 a month"),
    (steady(used("spot", run(SPOT, count=50), kind="training-job")), "kept", "would save $0.00"),
    (steady(used("paid", run(TRAIN, count=5, reserved=True))), "kept", "would save $0.00"),
    (steady(ALWAYS, others=None), "unknown", "what other detectors found is not all known"),
    (steady(ALWAYS, owned=DENIED), "unknown", "what is owned already could not be read (denied)"),
    (steady(ALWAYS, coverage=DENIED), "unknown", "what plans of other accounts cover"),
    (steady(ALWAYS, lines=BILLED, coverage=DENIED), "found", "$1.60 an hour"),
    (steady(ALWAYS, coverage=SHARED), "unknown", "other accounts' plans cover 30%"),
    (steady(ALWAYS, coverage=SHARED, owned=OWNED), "found", "$1.00 an hour more"),
    (steady(ALWAYS, owned=Value({"SageMaker": 1.6})), "kept", "$0.00 an hour, would save"),
    (steady(ALWAYS, owned=Value({"Compute": 1.6})), "found", "$1.60 an hour more"),
    (steady(ALWAYS, owned=OWNED, utilization=DENIED), "unknown", "of it is used"),
    (steady(ALWAYS, owned=OWNED, utilization=Value(0.94)), "kept", "94% of what is owned"),
    (steady(ALWAYS, owned=OWNED, utilization=Value(0.95)), "found", "$1.00 an hour"),
    (steady(ALWAYS, lines=BILLED, utilization=Value(0.94)), "kept", "94% of what is owned is used"),
    (steady(ALWAYS, owned=Value({"Compute": 0.6}), utilization=Value(0.0)), "kept", "0% of what is owned"),
    (steady(ALWAYS, lines=BILLED, owned=OWNED), "found", "$1.60 an hour more"),
    (steady(unread="CloudTrail: denied"), "unknown", "of what was read (CloudTrail: denied)"),
    (steady(ALWAYS, unread="CloudTrail: denied"), "found", "$1.60 an hour"),
    (steady(ALWAYS, unread="1 of 9 endpoints"), "found", "that could not be read are left out (1 of 9 endp"),
    (steady(lines=BILLED, others=1, unread="denied"), "unknown", "not all hours"),
    (steady(lines=BILLED, unread="denied"), "found", "$1.60 an hour"),
    (replace(steady(), hours=DENIED), "unknown", "what a plan would cover could not be read (denied)"),
)
def test_commitments(candidate: SteadyUse, verdict: str, reason: str) -> None:
    expect_verdict(RULE.decide(candidate, NOW), verdict, reason)


def test_little_is_not_worth_a_year() -> None:
    """A dollar an hour less 20 % is 146 dollars a month."""
    of_type(Finding, Commitments(min_saving=292).decide(steady(ALWAYS), NOW))
    assert isinstance(Commitments(min_saving=146.1).decide(steady(used("one", run(HOST))), NOW), Kept)
    found = of_type(Finding, Commitments(min_saving=145.9).decide(steady(used("one", run(HOST))), NOW))
    assert not_none(found.cost).monthly_usd == pytest.approx(Decimal(146))
    assert "--savings-plan-offering-id plan --commitment 0.800" in found.action


# --- against brute force ---------------------------------------------------------------------------


def world(dice: random.Random) -> tuple[list[UsedResource], set[str]]:
    """Some resources that run steadily, by day, at times or on spot; and those that other findings name."""
    resources, others = [], set[str]()
    for number in range(dice.randint(1, 8)):
        usage, name = dice.choice([HOST, TRAIN, SPOT]), f"r{number}"
        count = dice.choice([1, 2, 5, 0.5])
        match dice.choice(["steady", "days", "spells"]):
            case "steady":
                runs = [run(usage, dice.uniform(0, 20), COUNT, count)]
            case "days":
                begins, ends = dice.uniform(0, 12), dice.uniform(13, 24)
                runs = [run(usage, day * 24 + begins, day * 24 + ends, count) for day in range(7)]
            case _:
                starts = [dice.uniform(0, COUNT) for _ in range(dice.randint(1, 9))]
                runs = [run(usage, at, min(at + dice.uniform(0.1, 30), COUNT), count) for at in starts]
        resources.append(used(name, *runs))
        if dice.random() < 0.25:
            others.add(resources[-1].target.arn)
    return resources, others


def cheapest(resources: Iterable[UsedResource], others: set[str]) -> tuple[float, float]:
    """
    The least that a week can cost under any commitment, and what it costs without any.

    Between commitments that cover all of an hour, or all of what is cheapest in it, costs are linear.
    """
    on_demand: list[dict[str, float]] = [{HOST: 0.0, TRAIN: 0.0} for _ in range(COUNT)]
    for one in resources:
        for each in one.runs:
            if one.target.arn not in others and each.usage_type != SPOT:
                for hour in range(COUNT):
                    begins = SINCE + hour * HOUR
                    on_demand[hour][each.usage_type] += float(each.units(begins, begins + HOUR))

    def bill(commitment: float) -> float:
        usd = 0.0
        for hour in on_demand:
            left = commitment
            for usage, rated in ((TRAIN, 0.7), (HOST, 0.8)):
                reached = min(hour[usage], left / rated)
                left -= reached * rated
                usd += hour[usage] - reached
        return usd + commitment * COUNT

    tried = {0.7 * hour[TRAIN] + 0.8 * host for hour in on_demand for host in (0.0, hour[HOST])}
    return min(map(bill, tried | {0.0})), bill(0.0)


@pytest.mark.parametrize("part", share(range(8), 4))
def test_its_advice_is_within_a_percent_of_brute_force_over_what_others_leave(part: int) -> None:
    """A thousand weeks, each read by starts and ends, and billed by the hour: the same advice twice."""
    dice = random.Random(part)  # noqa: S311 - no secret
    found = 0
    for _ in range(125):
        resources, others = world(dice)
        least, without = cheapest(resources, others)
        taken = claimed_resources([claim(arn) for arn in others])
        billed = by_hour(resources)
        for candidate in (steady(*resources, others=None), steady(*resources, lines=billed, others=None)):
            decided = RULE.decide(RULE.leaving(candidate, taken), NOW)

            saved = 0.0
            if isinstance(decided, Finding):
                assert decided.cost is not None
                saved = float(decided.cost.monthly_usd or 0) / 730 * COUNT
                assert not {*decided.cost.shares} & {arn.lower() for arn in others}
                assert sum(decided.cost.shares.values()) <= (decided.cost.monthly_usd or 0) + Decimal("0.01")
                found += 1
            assert without - saved <= least * 1.01 + 0.01
            assert without - saved >= least * 0.99 - 0.01
    assert found > 50


def by_hour(resources: Iterable[UsedResource]) -> list[SavingsPlanLine]:
    """What Cost Explorer would say of them."""
    sums: Mapping[str, list[float]] = {usage: [0.0] * COUNT for usage in (HOST, TRAIN)}
    for one in resources:
        for each in one.runs:
            for hour in range(COUNT if each.usage_type in sums else 0):
                begins = SINCE + hour * HOUR
                sums[each.usage_type][hour] += float(each.units(begins, begins + HOUR))
    return [line(usage, usd) for usage, usd in sums.items()]


def test_what_others_name_is_left_out_by_its_own_arn_or_its_family() -> None:
    job = used("churn-20261001", run(TRAIN), kind="training-job")
    whole = job.target.arn.replace("20261001", "*")
    for taken in (job.target.arn, whole, f"{whole}~0a1b2c3d"):
        candidate = RULE.leaving(steady(ALWAYS, job, others=None), frozenset({taken.lower()}))
        assert isinstance(candidate.hours, Value)
        assert candidate.hours.value.others == 1
        assert [use.names[0] for use in candidate.hours.value.uses] == [ALWAYS.target.arn]


def claim(arn: str, change: Change = Change.END, **members: Any) -> Claim:
    known = Claim(detector="other", arn=arn, name=arn, change=change, monthly_usd=Decimal(5))
    return replace(known, **members)


def test_what_only_could_be_done_and_what_has_no_price_names_nothing() -> None:
    exposed = claim("c", Change.LIMIT, monthly_usd=None, priced=False)

    assert claimed_resources([exposed, claim("a", possible=False), claim("b", Change.COMMIT)]) == frozenset()
    assert claimed_resources([claim("A", parts=("P",)), claim("u", monthly_usd=None)]) == {"a", "p", "u"}
    assert claimed_resources([claim("d", Change.LIMIT, shares={"x": Decimal(5)}, parts=("P",))]) == {"x"}


def test_hours_before_the_window_and_the_newest_days_do_not_count() -> None:
    candidate = steady(used("old", run(HOST, -500, COUNT + 48)))
    assert isinstance(candidate.hours, Value)
    assert {round(sum(one.usd for one in hour), 6) for hour in candidate.hours.value.each()} == {1.0}
    assert timedelta(hours=candidate.hours.value.count) == timedelta(days=7)


def test_what_was_seen_of_hours_and_plans() -> None:
    owned: Any = {"owned": Value({"SageMaker": 0.6}), "coverage": SHARED, "utilization": Value(0.96)}
    read = RULE.decide(steady(ALWAYS, others=2, requests=3, **owned), NOW)
    billed = RULE.decide(steady(ALWAYS, lines=BILLED), NOW)

    assert shown(read) == {
        "dollars an hour of plans that the account owns": 0.6,
        "of these used": 0.96,
        "use that plans cover": "30%",
        "requests to Cost Explorer and Savings Plans": 3,
        "hours judged": COUNT,
        "resources left to other findings": 2,
    }
    assert {one.source for one in read.evidence if one.signal == "hours judged"} == {"starts and ends"}
    assert {one.source for one in billed.evidence if one.signal == "hours judged"} == {"ce:GetCostAndUsage"}


def test_what_it_asks_costs_eight_cents_at_most() -> None:
    assert (Commitments().max_requests, Commitments().min_utilization) == (8, 0.95)


@pytest.mark.parametrize("named", [None, frozenset[str]()])
def test_hours_that_were_not_read_leave_nothing_out(named: frozenset[str] | None) -> None:
    candidate = replace(steady(), hours=DENIED)

    assert RULE.leaving(candidate, named) is candidate
    assert RULE.leaving(steady(ALWAYS), None).hours == steady(ALWAYS).hours


def test_hours_that_may_be_missing_of_what_others_name_matter_only_where_some_are_named() -> None:
    lines = [line(HOST, [2.0] * COUNT)]

    assert isinstance(RULE.decide(steady(lines=lines, others=0, unread="denied"), NOW), Finding)
    assert isinstance(RULE.decide(steady(ALWAYS, others=1, unread="denied"), NOW), Finding)
