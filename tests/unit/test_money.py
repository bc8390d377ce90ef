"""Dollars as every report writes them: a little is not nothing, and a sum is what a reader adds up to."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from ml_janitor.core.model import Cost
from ml_janitor.core.money import Totals, rank_by_cost, rank_by_worth, ranking_usd, round_keeping_small
from ml_janitor.core.results import Overlap, Result
from ml_janitor.core.text import format_usd
from ml_janitor.report.announcement import announcement_headline
from ml_janitor.report.html import render_html
from ml_janitor.report.json import report_json
from narrowing import not_none
from reports import NOW, accruing, finding, printed, report_of, result, standing, sweep
from tables import cases


def tiny(name: str, monthly: str = "0.004") -> Result:
    return result("duplicate-artifacts", name, finding("a copy", Cost(monthly_usd=Decimal(monthly))))


@cases(
    "amount, said",
    ("0", "$0.00"),
    ("0.0000001", "<$0.01"),
    ("0.00499", "<$0.01"),
    ("0.005", "$0.01"),
    ("99.99", "$99.99"),
    ("100", "$100"),
    ("1234.5", "$1,234"),
)
def test_amounts(amount: str, said: str) -> None:
    assert format_usd(Decimal(amount)) == said


@cases("amount, kept", ("2.675", "2.68"), ("0.004", "0.004"), ("0", "0"), (None, None))
def test_what_is_remembered_is_cents_or_what_there_is(amount: str | None, kept: str | None) -> None:
    assert round_keeping_small(None if amount is None else Decimal(amount)) == (
        None if kept is None else Decimal(kept)
    )


def test_a_sum_is_of_what_is_shown_and_little_things_add_up_by_themselves() -> None:
    assert Totals.of([]) == Totals()
    assert Totals.of([tiny("a")]).monthly_usd == Decimal("0.004")
    assert Totals.of([tiny("a"), tiny("b")]).monthly_usd == Decimal("0.008")
    dear = result("shelf", "c", finding("x", standing("1")))
    assert Totals.of([tiny("a"), tiny("b"), dear]).monthly_usd == Decimal("730.00")


def test_every_report_says_it_the_same_way_and_json_gives_cents() -> None:
    page = report_of(sweep("duplicate-artifacts", tiny("a")))
    shown = printed(page)
    assert (
        announcement_headline("duplicate-artifacts", [tiny("a")])
        == "<$0.01 a month: 1 new duplicate artifact"
    )
    assert "$0.00" not in shown
    assert "<$0.01" in shown
    assert "$0.00" not in render_html(page)
    assert "&lt;$0.01 a month" in render_html(page)
    document = json.loads(report_json(page))
    assert (document["totals"]["monthly_usd"], document["results"][0]["monthly_usd"]) == (0.0, 0.0)


def test_a_saving_a_fee_and_an_exposure_are_different_money_in_every_report() -> None:
    """120 dollars a month for 60 once is paid back in half a month; what may happen is in no sum."""
    saving = Cost.saving(Decimal(120), once_usd=Decimal(60))
    spot = result("spot-training", "bert-*", finding("on demand", saving))
    limit = result("generous-runtime-limits", "bert-*", finding("28 days", Cost.exposed(Decimal(45))))
    page = report_of(sweep("spot-training", spot), sweep("generous-runtime-limits", limit))
    shown = " ".join(printed(page).split())

    assert Totals.of([spot, limit]) == Totals(monthly_usd=Decimal("120.00"), once_usd=Decimal("60.00"))
    assert "2 findings: $120 a month, $60.00 once." in shown
    assert "paid back in 15 days" in shown
    assert "$45.00 at risk" in render_html(page)
    assert "paid back in 15 days" in render_html(page)
    assert announcement_headline("generous-runtime-limits", [limit]) == "1 new generous runtime limit"
    document = json.loads(report_json(page))
    assert document["totals"] == {
        "monthly_usd": 120.0,
        "accrued_usd": 0.0,
        "hourly_usd": 0.0,
        "once_usd": 60.0,
        "unpriced": 0,
    }
    keys = ("monthly_usd", "once_usd", "payback_days", "exposure_usd")
    assert [tuple(one[key] for key in keys) for one in document["results"]] == [
        (120.0, 60.0, 15.2, None),
        (None, None, None, 45.0),
    ]


@cases(
    "cost, left, counted",
    (Cost.saving(Decimal(120), once_usd=Decimal(60)), (30, 0), (None, 30, None, 60)),
    (Cost.saving(Decimal(120), once_usd=Decimal(60)), (0, 0), (None, 0, None, None)),
    (accruing("10", 2), (0, 5), (10, None, 5, None)),
    (accruing("10", 2), (0, 0), (None, None, 0, None)),
)
def test_only_the_rest_is_counted(cost: Cost, left: tuple[int, int], counted: tuple[int | None, ...]) -> None:
    overlap = Overlap(
        detector="d", arn="a", name="n", monthly_usd=Decimal(left[0]), accrued_usd=Decimal(left[1])
    )
    rest = not_none(replace(result("e", "a", finding("idle", cost)), overlap=overlap).counted)

    assert (rest.hourly_usd, rest.monthly_usd, rest.accrued_usd, rest.once_usd) == counted


def test_a_job_that_goes_on_comes_before_a_month_and_an_exposure_before_nothing() -> None:
    """10 dollars an hour are 7,300 a month; 100 a month for 15 minutes come before 300 for 8 hours."""
    hung = result("hung-training-jobs", "hung", finding("hangs", accruing("10", 1)))
    ended = replace(result("d", "ended", finding("idle", Cost.saving(Decimal(100)))), hours=0.25)
    moved = replace(result("d", "moved", finding("rare", Cost.saving(Decimal(300)))), hours=8.0)
    limit = result("d", "limit", finding("28 days", Cost.exposed(Decimal(45))))
    untagged = result("d", "a-tag", finding("no owner", None))

    assert sorted([untagged, limit, moved, ended, hung], key=rank_by_worth) == [
        hung, ended, moved, limit, untagged,
    ]  # fmt: skip


def test_the_dearest_come_first_and_what_has_no_price_last() -> None:
    found = [
        result("d", name, finding("idle", cost))
        for name, cost in (
            ("a-month", standing("0.01")),  # $7.30
            ("a-job", accruing("4", 2)),
            ("b-free", standing("0")),
            ("c-little", Cost(monthly_usd=Decimal("0.5"))),
            ("d-unknown", standing(None)),
            ("a-unpriced", None),
        )
    ]

    assert sorted(found, key=rank_by_cost) == [found[at] for at in (1, 0, 3, 2, 5, 4)]
    amounts = [ranking_usd(one) for one in found]
    assert amounts == [Decimal("7.30"), Decimal("8.00"), Decimal(0), Decimal("0.50"), None, None]


def test_a_little_saved_for_an_hour_comes_before_nothing_saved_and_an_exposure_by_its_dollars() -> None:
    costs = {
        "c-little": Cost.saving(Decimal("0.5")),
        "a-nothing": Cost.saving(Decimal(0)),
        "d-half": Cost.exposed(Decimal("0.5")),
        "b-none": None,
    }
    found = [result("d", name, finding("x", cost)) for name, cost in costs.items()]

    assert sorted([found[at] for at in (3, 1, 0, 2)], key=rank_by_worth) == found


@cases(
    "cost, days",
    (Cost.saving(Decimal(365), once_usd=Decimal(12)), 1),
    (Cost.saving(Decimal("0.5"), once_usd=Decimal("0.25")), 730 / 48),
    (Cost.saving(Decimal(365)), None),
    (Cost.saving(Decimal(0), once_usd=Decimal(12)), None),
    (Cost.saving(Decimal(-5), once_usd=Decimal(12)), None),
    (Cost.saving(None, once_usd=Decimal(12)), None),
    (Cost.exposed(Decimal(5)), None),
)
def test_a_fee_is_paid_back_by_what_is_saved(cost: Cost, days: float | None) -> None:
    assert cost.payback == (None if days is None else timedelta(days=days))


def test_a_cost_is_of_a_month_or_of_the_hours_so_far() -> None:
    assert Cost.standing(Decimal(2), "list") == Cost(
        hourly_usd=Decimal(2), monthly_usd=Decimal(1460), source="list"
    )
    assert Cost.accruing(Decimal(2), 1.5, "list", NOW) == Cost(
        hourly_usd=Decimal(2), accrued_usd=Decimal(3), source="list", until=NOW
    )
    assert Cost.saving(Decimal(2), shares={"a": Decimal(1)}).shares == {"a": Decimal(1)}
    unknown = [Cost.standing(None), Cost.accruing(None, 5), Cost.saving(None), Cost.exposed(None)]
    assert {one.known for one in unknown} == {False}
    assert {Cost.standing(Decimal(0)).known, Cost.exposed(Decimal(0)).known} == {True}
    assert len({Cost.saving(Decimal(2), shares={"a": Decimal(1)}) for _ in range(2)}) == 1
