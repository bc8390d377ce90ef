"""What a unit cost: never more dollars than the line has, and no units where none were measured."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bills import BEFORE, HOST, LAST, TRAIN, charges
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.model import Charge, Culprit
from ml_janitor.bill.report import UnitCost, UnitNote, unit_costs
from ml_janitor.bill.resources import BillResource, VariantRequests
from ml_janitor.report.bill import unit_price, unit_rows
from tables import cases

DAY = 86400
HOUR = 3600
BEGIN = datetime(2026, 9, 6, tzinfo=UTC)
END = BEGIN + timedelta(days=30)
BILLED = charges(HOST, LAST, price="1.408", quantity="24")
"""An instance for all 30 days: $1,013.76."""


def endpoint(name: str, *runs: ResourceRun, requests: tuple[VariantRequests, ...] = ()) -> BillResource:
    culprit = Culprit(arn=f"arn:{name}", name=name, kind="endpoint")
    return BillResource(culprit=culprit, runs=runs, family=name, requests=requests)


def job(name: str, family: str, *, hours: float = 10, start: datetime = BEGIN) -> BillResource:
    culprit = Culprit(arn=f"arn:{name}", name=name, kind="training-job")
    run = ResourceRun(usage_type=TRAIN, start=start, end=start + timedelta(hours=hours))
    return BillResource(culprit=culprit, runs=(run,), family=family)


def runs(
    model: str = "ranker", start: datetime = BEGIN, end: datetime | None = None, **more: object
) -> ResourceRun:
    return replace(
        ResourceRun(usage_type=HOST, start=start, end=end, variant="all", model=model),
        **more,  # type: ignore[arg-type]
    )


def calls(*counts: float, period: int = DAY, **more: object) -> VariantRequests:
    points = tuple((BEGIN + n * timedelta(seconds=period), count) for n, count in enumerate(counts))
    return replace(VariantRequests(variant="all", points=points, period=period), **more)  # type: ignore[arg-type]


def costs(*resources: BillResource, billed: list[Charge] | None = None) -> dict[tuple[str, str], UnitCost]:
    found = unit_costs(BILLED if billed is None else billed, LAST, resources)
    return {(one.kind, one.name): one for one in found}


# --- requests ---------------------------------------------------------------------------------


def test_a_thousand_requests_cost_what_the_endpoint_was_charged_for_them() -> None:
    found = costs(endpoint("search", runs(), requests=(calls(400_000, 600_000),)))

    assert {key: (each.usd, each.units, each.per_unit) for key, each in found.items()} == {
        ("endpoint", "search"): (Decimal("1013.76"), 1_000_000, Decimal("1.01376")),
        ("model", "ranker"): (Decimal("1013.76"), 1_000_000, Decimal("1.01376")),
    }
    assert list(unit_rows(list(found.values()), 4)) == [
        ("endpoint search", "$1,014", "1,000,000 requests", "$1.01 per 1,000")
    ]


def test_a_unit_also_says_what_it_cost_before() -> None:
    """Half the requests at the same price cost twice as much each; a single job has nothing before it."""
    every = charges(HOST, [*BEFORE, *LAST], price="1.408", quantity="24")
    every += charges(TRAIN, [*BEFORE, *LAST], price="1", quantity="1")
    fit = job("fit", "fit", start=BEGIN - timedelta(hours=5))
    meter = replace(calls(500_000), points=((BEGIN - timedelta(days=9), 1_000_000), (BEGIN, 500_000)))
    search = endpoint("search", runs(start=BEGIN - timedelta(days=30)), requests=(meter,))

    found = unit_costs(every, LAST, [search, fit], BEFORE)

    assert [(one.name, one.per_unit, one.before) for one in found] == [
        *((name, Decimal("2.02752"), Decimal("1.01376")) for name in ("search", "ranker")),
        ("fit", Decimal(5), None),
    ]
    assert next(iter(unit_rows(found, 4)))[3] == "$2.03 per 1,000, $1.01 before"


@cases(
    "meters, units, said",
    ((calls(0, 0),), 0, "no request"),
    ((calls(),), 0, "no request"),
    ((calls(points=None),), None, "requests unknown"),
    ((), None, "requests unknown"),
)
def test_no_request_and_no_answer_have_no_price(
    meters: tuple[VariantRequests, ...], units: int | None, said: str
) -> None:
    found = costs(endpoint("search", runs(), requests=meters))

    assert {(one.units, one.per_unit) for one in found.values()} == {(units, None)}
    (row,) = unit_rows([found["endpoint", "search"]], 4)
    assert row == ("endpoint search", "$1,014", said, "")


def test_only_days_of_the_span_count() -> None:
    meter = calls(5)
    early = replace(meter, points=((BEGIN - timedelta(days=1), 7), *(meter.points or ()), (END, 9)))

    found = costs(endpoint("search", runs(start=BEGIN - timedelta(days=9)), requests=(early,)))

    assert (found["endpoint", "search"].units, found["model", "ranker"].units) == (5, 5)


def test_a_new_model_serves_from_its_hour_on_and_costs_from_then_on() -> None:
    switch = BEGIN + timedelta(days=10, minutes=30)
    hours = calls(*[10] * 720, period=HOUR)
    found = costs(endpoint("search", runs("old", end=switch), runs("new", start=switch), requests=(hours,)))

    assert found["endpoint", "search"].units == 7200
    assert (found["model", "old"].units, found["model", "new"].units) == (2400, 4800)
    assert found["model", "old"].usd == Decimal("338.624")  # 240.5 hours
    assert found["model", "old"].usd + found["model", "new"].usd == found["endpoint", "search"].usd


def test_requests_of_a_period_are_served_by_what_had_begun_before_its_end() -> None:
    starts = (timedelta(0), timedelta(hours=1), timedelta(hours=1, seconds=1))
    models = [runs(f"m{number}", start=BEGIN + start) for number, start in enumerate(starts)]
    late = runs("late", start=BEGIN + timedelta(hours=30))
    hours = calls(7, 5, period=HOUR)

    found = costs(endpoint("search", *reversed(models), requests=(hours,)))
    none_begun = costs(endpoint("search", late, requests=(hours,)))

    assert [found["model", f"m{number}"].units for number in range(3)] == [7, 0, 5]
    assert none_begun["model", "late"].units == 12


def test_what_never_ran_costs_nothing_and_breaks_nothing() -> None:
    assert set(costs(endpoint("idle", requests=(calls(5),)), endpoint("search", runs()))) == {
        ("endpoint", "search"),
        ("model", "ranker"),
    }


@cases(
    "usd, quantity, expected",
    ("0.5", "1", "0.5"),
    ("5", "0.5", "5"),
    ("0", "1", None),
    ("-5", "1", None),
    ("5", "0", None),
)
def test_a_charged_line_with_a_quantity_has_a_price(usd: str, quantity: str, expected: str | None) -> None:
    """At most what ran, 720 hours, has its share of the line."""
    line = Charge(day=LAST.first, usage_type=HOST, usd=Decimal(usd), quantity=Decimal(quantity))

    assert [one.usd for one in costs(endpoint("search", runs()), billed=[line]).values()] == (
        [] if expected is None else [pytest.approx(Decimal(expected))] * 2
    )


def test_a_shadow_serves_copies_and_costs_all_the_same() -> None:
    shadow = runs("next", variant="shadow", shadow=True)
    copied = calls(500, variant="shadow", shadow=True)
    billed = charges(HOST, LAST, price="1.408", quantity="48")

    found = costs(endpoint("search", runs(), shadow, requests=(calls(500), copied)), billed=billed)

    assert (found["endpoint", "search"].units, found["endpoint", "search"].usd) == (500, Decimal("2027.52"))
    assert (found["model", "next"].units, found["model", "next"].usd) == (500, Decimal("1013.76"))


def test_models_that_share_instances_have_no_cost_of_their_own() -> None:
    shared = endpoint("shared", runs(""), requests=(calls(10),))
    found = costs(shared, endpoint("many", runs("loader"), requests=(calls(10, many_models=True),)))

    assert set(found) == {("endpoint", "shared"), ("endpoint", "many"), ("model", "loader")}
    assert found["endpoint", "shared"].notes == (UnitNote.COMPONENTS,)
    assert found["endpoint", "many"].notes == found["model", "loader"].notes == (UnitNote.MANY_MODELS,)
    assert "shared (its inference components share it)" in str(list(unit_rows(list(found.values()), 4)))


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_costs_its_hours_and_a_family_what_its_jobs_cost_on_average() -> None:
    billed = charges(TRAIN, LAST, price="40", quantity="2")  # 60 hours in all
    found = costs(
        job("nightly-1", "nightly"),
        job("nightly-2", "nightly", hours=20),
        job("other", "other"),
        billed=billed,
    )

    assert {key: (one.usd, one.units) for key, one in found.items()} == {
        ("family", "nightly"): (Decimal(1200), 2),
        ("job", "nightly-2"): (Decimal(800), 1),
        ("job", "nightly-1"): (Decimal(400), 1),
        ("job", "other"): (Decimal(400), 1),
    }
    assert list(unit_rows(list(found.values()), 1)) == [
        ("training jobs nightly", "$1,200", "2 jobs", "$600 each"),
        ("training job nightly-2", "$800", "", ""),
    ]


def test_jobs_that_ran_elsewhere_or_before_are_none() -> None:
    billed = charges(TRAIN, LAST, price="40", quantity="2")
    before = job("old", "nightly", start=BEGIN - timedelta(days=9))
    abroad = replace(job("far", "far"), runs=(ResourceRun(usage_type=f"EU-{TRAIN[5:]}", start=BEGIN),))

    assert costs(before, abroad, billed=billed) == {}


def test_only_the_dearest_jobs_are_listed_one_by_one() -> None:
    found = costs(
        *(job(f"n-{n}", "nightly", hours=1 + n / 100) for n in range(80)),
        billed=charges(TRAIN, LAST, price="40", quantity="9"),
    )

    assert found["family", "nightly"].units == 80
    listed = [name for kind, name in found if kind == "job"]
    assert listed == [f"n-{n}" for n in range(79, 29, -1)]


# --- whatever is billed -----------------------------------------------------------------------

lines = st.lists(
    st.builds(
        Charge,
        day=st.sampled_from([BEFORE.last, *list(LAST)[:3]]),
        usage_type=st.sampled_from([HOST, TRAIN]),
        usd=st.decimals(min_value=-10, max_value=10_000, places=10),
        quantity=st.decimals(min_value=0, max_value=1_000, places=6),
    ),
    max_size=12,
)
known = st.lists(
    st.builds(
        lambda number, usage, start, hours, hourly, count: (
            endpoint(
                f"n-{number}",
                ResourceRun(
                    usage_type=usage,
                    start=BEGIN + timedelta(hours=start),
                    end=BEGIN + timedelta(hours=start + hours),
                    hourly=Decimal(hourly),
                    variant="all",
                    model=f"m-{number % 3}",
                ),
                requests=(calls(count),) if count is not None else (),
            )
            if usage == HOST
            else job(f"n-{number}", f"f-{number % 3}", hours=hours, start=BEGIN + timedelta(hours=start))
        ),
        number=st.integers(0, 10**6),
        usage=st.sampled_from([HOST, TRAIN]),
        start=st.integers(-30, 80),
        hours=st.integers(1, 2000),
        hourly=st.integers(1, 500),
        count=st.none() | st.integers(0, 10**9),
    ),
    max_size=8,
    unique_by=lambda one: one.culprit.name,
)


@settings(max_examples=80)
@given(billed=lines, resources=known, mixed=st.randoms(use_true_random=False))
def test_no_line_is_shared_twice(billed: list[Charge], resources: list[BillResource], mixed: object) -> None:
    found = unit_costs(billed, LAST, resources)
    others = list(resources)
    mixed.shuffle(others)  # type: ignore[attr-defined]

    assert unit_costs(billed, LAST, others) == found
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for one in found:
        assert one.usd > 0
        assert (one.per_unit is None) == (not one.units)
        sums[one.kind] += one.usd
    line = {
        usage: sum((one.usd for one in billed if one.usage_type == usage and one.day in LAST), Decimal(0))
        for usage in (HOST, TRAIN)
    }
    assert sums["endpoint"] == sums["model"] <= max(line[HOST], Decimal(0))
    assert sums["family"] <= sums["job"] <= max(line[TRAIN], Decimal(0))


@cases(
    "amount, said",
    ("15.141", "$15.14"),
    ("0.1", "$0.10"),
    ("0.0983", "$0.098"),
    ("0.00012", "$0.00012"),
    ("0.000001", "$0.0000010"),
    ("1E-9", "<$0.000001"),
)
def test_a_price_shows_what_counts(amount: str, said: str) -> None:
    assert unit_price(Decimal(amount)) == said


def test_each_kind_has_its_dearest_and_says_how_many_more_there_are() -> None:
    def unit(kind: str, name: str, usd: str, units: int | None = 1, account: str = "1") -> UnitCost:
        counted = "jobs" if kind in {"family", "job"} else "requests"
        return UnitCost(kind=kind, name=name, usd=Decimal(usd), units=units, unit=counted, account=account)

    every = [
        unit("endpoint", "a", "9", 1000),
        unit("endpoint", "b", "0.5"),
        unit("endpoint", "c", "0.25"),
        unit("model", "same", "9", 1000),
        unit("model", "other", "9", 999),
        unit("job", "x", "5"),
        unit("job", "y", "4"),
    ]

    assert list(unit_rows(every, 1)) == [
        ("endpoint a", "$9.00", "1,000 requests", "$9.00 per 1,000"),
        ("2 more endpoints", "$0.75", "", ""),
        ("model other", "$9.00", "999 requests", "$9.01 per 1,000"),
        ("job x", "$5.00", "", ""),
    ]
    (row,) = unit_rows(every[1:2], 1)
    assert row == ("endpoint b", "$0.50", "1 request", "$500 per 1,000")
    two = [row[0] for row in unit_rows([every[0], unit("endpoint", "z", "1", account="2")], 9)]
    assert two == ["endpoint a in account 1", "endpoint z in account 2"]
