import json
import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_janitor.aws.storage import StoragePrices
from ml_janitor.core.capacity import Interruption, SpotCapacity
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.estimate import command, estimates
from ml_janitor_cli.estimate.batching import estimate_batching
from ml_janitor_cli.estimate.estimates import Estimate
from ml_janitor_cli.estimate.inference import estimate_inference
from ml_janitor_cli.estimate.storage import estimate_storage, make_cohort, parse_rule
from narrowing import not_none
from tables import cases

SPOT = SpotCapacity(interruptions=0.05, restart=0.1, save=0.02, discount=0.6)
USD = st.floats(0.01, 100)
HOURS = st.floats(0.1, 200)


def training(
    hourly_usd: float = 1.0, hours: float = 10.0, spot: SpotCapacity = SPOT, **also: Any
) -> Estimate:
    known: dict[str, Any] = {
        "checkpoints": True,
        "interruption": Interruption.LOW,
        "jobs_a_week": 1.0,
        "instances": 1,
    }
    return command.estimate_training(hourly_usd=hourly_usd, hours=hours, spot=spot, **known | also)


def inference(requests: float, **also: object) -> Estimate:
    known = {
        "hourly_usd": 0.23,
        "instances": [1.0],
        "seconds": 0.05,
        "memory_gb": 4,
        "gb_second_usd": 0.00002,
        "latency": 60.0,
        "cold_start": 10.0,
    }
    return estimate_inference(requests=requests, **known | also)  # type: ignore[arg-type]


def batching(**also: Any) -> Estimate:
    known: dict[str, Any] = {"hourly_usd": 1, "one_ms": 1, "batch": 2, "batch_ms": 1}
    return estimate_batching(**known | also)


def distillation(**also: Any) -> Estimate:
    known = {"teacher_usd": 2, "student_usd": 1, "once_usd": 1, "loss": 0, "allowed": 1}
    return command.estimate_distillation(**known | also)


@settings(max_examples=50)
@given(HOURS)
def test_a_job_costs_what_its_instances_and_their_volumes_do(hours: float) -> None:
    whole = training(2.0, hours, instances=4, storage_gb=500.0, storage_usd=0.14, commitment_discount=0.3)

    disk, four = 500 * 0.14 * 4 / 730 * hours, replace(SPOT, instances=4)
    assert whole.values["on_demand_usd"] == pytest.approx(2 * 4 * hours + disk)
    assert whole.values["committed_usd"] == pytest.approx(2 * 4 * hours * 0.7 + disk)
    assert whole.values["spot_usd"] == pytest.approx(
        (2 * 4 * 0.4 + disk / hours) * four.hours(hours, four.interval())
    )


def test_spot_that_does_its_work_again_and_again_is_seen_to_be_dearer() -> None:
    often = SpotCapacity(interruptions=0.15, restart=0.1, save=0.02, discount=0.6)

    with_them, without = training(hours=48, spot=often), training(hours=48, spot=often, checkpoints=False)

    assert (with_them.values["spot_usd"] or 0) < 48 * 0.5
    assert (without.values["spot_usd"] or 0) > 48 * 50
    assert "First save a checkpoint" in without.advice
    hopeless = SpotCapacity(interruptions=30, restart=0.1, save=0.02, discount=0.1)
    assert training(hours=48, spot=hopeless).advice.startswith("Buy it on demand")


@settings(max_examples=50)
@given(HOURS, st.floats(0.05, 0.9), st.booleans())
def test_where_spot_breaks_even_it_costs_as_much(hours: float, discount: float, checkpoints: bool) -> None:  # noqa: FBT001
    spot = SpotCapacity(interruptions=0.05, restart=0.1, save=0.02, discount=discount)
    asked: dict[str, Any] = {"checkpoints": checkpoints, "storage_gb": 500.0, "storage_usd": 0.14}

    even = not_none(training(2.0, hours, spot, **asked).values["even_interruptions"])

    at, below = (
        training(2.0, hours, replace(spot, interruptions=rate), **asked).values
        for rate in (even, even * (1 - 1e-9))
    )
    assert (at["spot_usd"] or 0) >= (at["on_demand_usd"] or 0) >= (below["spot_usd"] or 0)


def test_a_commitment_is_weighed_against_the_hours_that_are_used() -> None:
    def reason(**also: Any) -> str:
        return training(2.0, 42.0, **also).reasons[1]

    assert reason().startswith("A commitment pays only with a discount above 75%: these jobs take 42 of")
    assert reason(jobs_a_week=4.0).startswith("A commitment pays at any discount: these jobs take 168 hours")
    assert reason(commitment_discount=0.25).startswith(
        "A commitment pays from 126 hours a week on; these jobs take 42"
    )


@cases(
    "hours, interruption, jobs, buy",
    (10, Interruption.LOW, 1, "Buy it spot: "),
    (100, Interruption.LOW, 1, "Buy it spot with automatic restart: "),
    (10, Interruption.MEDIUM, 1, "Buy it spot for experiments, on demand for the final run: "),
    (10, Interruption.HIGH, 1, "Buy it on demand: "),
    (10, Interruption.HIGH, 10, "Buy it reserved: "),
)
def test_what_to_buy_has_its_reason(hours: float, interruption: Interruption, jobs: float, buy: str) -> None:
    advice = training(1.0, hours, interruption=interruption, jobs_a_week=jobs).advice

    assert advice.startswith(buy)
    assert "an interruption costs" in advice


@settings(max_examples=50)
@given(st.floats(0.01, 30), st.floats(0.001, 5), st.integers(1, 6), st.floats(0, 0.01))
def test_at_the_break_even_both_cost_the_same(price: float, each: float, memory: int, payload: float) -> None:
    asked = {
        "hourly_usd": price,
        "seconds": each,
        "memory_gb": memory,
        "payload_gb": payload,
        "transfer_usd": 0.016,
    }
    there = inference(not_none(inference(0, **asked).values["break_even_requests"]), **asked).values
    assert there["serverless_usd"] == pytest.approx(there["always_on_usd"])


def test_the_published_break_even() -> None:
    """An ml.m5.xlarge at $0.23 against 4 GB for 50 ms: about 42 million requests a month."""
    assert inference(0).values["break_even_requests"] == pytest.approx(41_975_000)
    moved = inference(1000, payload_gb=0.001, transfer_usd=0.016).values["serverless_usd"]
    assert moved == pytest.approx(1000 * (0.05 * 4 * 0.00002 + 0.001 * 0.016))


def test_an_endpoint_that_scales_costs_the_mean_of_its_hours() -> None:
    for hours in (23, 25):  # a day on which clocks change
        inference(0, instances=[1.0] * hours)
    day = inference(0, instances=[1.0] * 12 + [3.0] * 12).values

    assert day["always_on_usd"] == pytest.approx(0.23 * 2 * 730)


def test_what_serverless_inference_cannot_do_is_not_advised_whatever_it_costs() -> None:
    assert inference(1000, cannot="it has accelerators").advice == "Keep the endpoint: it has accelerators."
    assert inference(0, seconds=0.0).values["serverless_usd"] == 0
    assert inference(1000, slower=1.5).values["serverless_usd"] == pytest.approx(
        1.5 * (inference(1000).values["serverless_usd"] or 0)
    )


def test_a_cold_start_beyond_the_latency_keeps_the_endpoint() -> None:
    assert inference(1000, slower=3.0).values["first_request_seconds"] == pytest.approx(10.15)
    assert "keep the endpoint" in inference(1000, latency=1.0).advice
    assert inference(1000, latency=10.05).advice == "Serverless inference costs less."
    assert inference(1e9, latency=1.0).advice == "The endpoint costs no more."
    same = inference(1460, seconds=1.0, memory_gb=1, gb_second_usd=0.5, hourly_usd=1.0, latency=1.0)
    assert same.values["serverless_usd"] == same.values["always_on_usd"] == 730
    assert same.advice == "The endpoint costs no more."


def test_savings_compound_and_do_not_add_up() -> None:
    found = estimate_batching(
        hourly_usd=3.6, one_ms=10, batch=10, batch_ms=20, cache_hits=0.25, quantised=4.0
    )

    assert found.values == pytest.approx(
        {
            "one_by_one_usd": 0.01,
            "batched_usd": 0.002,
            "cached_usd": 0.0075,
            "quantised_usd": 0.0025,
            "together_usd": 0.000375,
            "times_cheaper": 5 * 4 / 0.75,
            "added_ms": -5,
        }
    )
    assert found.advice == "A request waits for its batch: it takes 5 ms, and 10 ms alone."
    alone = estimate_batching(hourly_usd=3.6, one_ms=10, batch=1, batch_ms=10).values
    assert (alone["times_cheaper"], alone["added_ms"]) == (1, 0)


@cases(
    "rate, one, batched, advice",
    (5, 1, 1, "Batches save nothing: 5 requests a second need 1 instance either way."),
    (100, 1, 1, "Batches save nothing: 100 requests a second need 1 instance either way."),
    (
        100.1,
        2,
        1,
        "100.1 requests a second need 2 instances one by one, and 1 in batches. A request",
    ),
    (
        1000,
        10,
        2,
        "1,000 requests a second need 10 instances one by one, and 2 in batches. A request",
    ),
)
def test_a_rate_is_answered_in_whole_instances(rate: float, one: int, batched: int, advice: str) -> None:
    found = batching(hourly_usd=2.0, one_ms=10, batch=10, batch_ms=20, rate=rate)

    assert found.advice.startswith(advice)
    assert (found.values["one_by_one_instances"], found.values["batched_instances"]) == (one, batched)
    assert found.values["saved_monthly_usd"] == (one - batched) * 2 * 730


@settings(max_examples=50)
@given(
    st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.1, 1e3), st.integers(1, 64), st.floats(0.01, 1)
)
def test_more_requests_need_no_fewer_instances_and_batches_no_more(
    rate: float, more: float, one_ms: float, batch: int, share: float
) -> None:
    asked = {"hourly_usd": 2.0, "one_ms": one_ms, "batch": batch, "batch_ms": batch * one_ms * share}
    few, many = batching(rate=rate, **asked).values, batching(rate=rate + more, **asked).values

    for name in ("one_by_one", "batched", "together"):
        assert (many[f"{name}_instances"] or 0) >= (few[f"{name}_instances"] or 0) >= 1
        assert few[f"{name}_monthly_usd"] == pytest.approx((few[f"{name}_instances"] or 0) * 2 * 730)
    assert (few["one_by_one_instances"] or 0) >= (few["batched_instances"] or 0)
    busy = rate * one_ms / 1000
    assert busy - 1e-6 <= (few["one_by_one_instances"] or 0) <= max(1, busy + 1)


EXTREME = st.sampled_from((0.0, -1.0, 1e-300, 1e300, 1.0, 0.5, 7.0, float("nan"), float("inf")))


@settings(max_examples=150)
@given(st.data())
def test_an_estimate_of_any_numbers_is_an_answer_or_refused(data: st.DataObject) -> None:
    """An answer can be printed, as text and as JSON without NaN."""

    def number() -> float:
        return data.draw(EXTREME)

    spot = SpotCapacity(number(), number(), number(), number())
    asked: list[Callable[[], Estimate]] = [
        lambda: training(
            number(), number(), spot, jobs_a_week=number(), data_gb=number(), storage_gb=number()
        ),
        lambda: inference(
            number(), hourly_usd=number(), seconds=number(), payload_gb=number(), slower=number()
        ),
        lambda: batching(hourly_usd=number(), one_ms=number(), batch_ms=number(), rate=number()),
        lambda: distillation(teacher_usd=number(), student_usd=number(), once_usd=number(), loss=number()),
        lambda: command.estimate_reservation(profile=[number(), number()], discount=number()),
        lambda: estimate_storage(
            [make_cohort(age=number(), gb=number(), objects=number(), reads=number())],
            parse_rule("STANDARD_IA 30d, expire 90d"),
            StoragePrices("us-east-1", None).rates(),
            months=number(),
            payback_days=180,
        ),
    ]
    estimate = data.draw(st.sampled_from(asked))
    try:
        found = estimate()
    except CommandRefusedError:
        return
    for as_json in (True, False):
        estimates.print_estimate("any", lambda: found, as_json=as_json)


@cases(
    "text, found",
    ("1\n2.5\n", [1, 2.5]),
    ("# ours\n1,2\n3\n\n", [1, 2, 3]),
    ("2026-03-29T01:00+01:00,1\n2026-03-29T03:00+02:00,2\n2026-03-29T04:00+02:00,3\n", [1, 2, 3]),
    ("2026-10-25T02:00+02:00,1\n2026-10-25T02:00+01:00,2", [1, 2]),
    ("2026-03-29T01:00Z,1\n2026-03-29T03:00Z,2", "line 2: 2026-03-29T03:00Z is not the hour after"),
    ("2026-03-29T01:00Z,1\n2026-03-29T01:00Z,2", "is not the hour after"),
    ("2026-03-29T01:00,1", "no offset from UTC, such as 2026-03-29T01:00[+]01:00"),
    ("2026-03-29T01:00Z,1,2", "more columns than HOUR,USD"),
    ("2026-03-29T01:00Z,1\n2", "in some lines and not in all"),
    ("1\n2026-03-29T01:00Z,1", "in some lines and not in all"),
    ("1\n\n2", "line 2: an hour is missing"),
    ("1\nnan", "line 2 has a number without an end"),
    ("1\n2,,3", "line 2 has something that is not a number"),
)
def test_a_profile_has_every_hour(text: str, found: list[float] | str) -> None:
    if isinstance(found, list):
        assert command.parse_profile(text, "hours.csv") == found
        return
    with pytest.raises(CommandRefusedError, match=found):
        command.parse_profile(text, "hours.csv")


@cases(
    "changes, months, advice",
    ({}, 1.25, "The smaller model has paid for itself after 1.2 months."),
    ({"loss": 1.0, "once_usd": 0.0}, 0, "The smaller model has paid for itself after 0 months."),
    ({"loss": 1.4}, 1.25, "Keep the larger model: 1.4 points of accuracy are lost, and 1 are allowed."),
    ({"student_usd": 8399.28}, 12500, "The smaller model has paid for itself after 12,500 months."),
    ({"student_usd": 8400.0}, None, "Keep the larger model: the smaller one saves nothing."),
    ({"student_usd": 10400.0}, None, "Keep the larger model: the smaller one saves nothing."),
)
def test_a_smaller_model_is_repaid(changes: dict[str, float], months: float | None, advice: str) -> None:
    asked = {
        "teacher_usd": 8400.0,
        "student_usd": 1200.0,
        "once_usd": 9000.0,
        "loss": 0.4,
        "allowed": 1.0,
    } | changes

    found = command.estimate_distillation(**asked)

    monthly = 8400 - asked["student_usd"]
    assert found.advice == advice
    assert found.values == pytest.approx(
        {
            "monthly_usd": monthly,
            "payback_months": months,
            "first_year_usd": 12 * monthly - asked["once_usd"],
            "yearly_usd": 12 * monthly,
        }
    )


def test_no_other_commitment_costs_less() -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    profile = [chance.choice((0.0, 1.0, 4.0)) + chance.random() for _ in range(168)]

    found = command.estimate_reservation(profile=profile, discount=0.27).values

    def yearly(commitment: float) -> float:
        spent = sum(commitment + max(usd - commitment / 0.73, 0) for usd in profile)
        return spent * 12 * 730 / len(profile)

    assert found["committed_yearly_usd"] == pytest.approx(
        min(yearly(cent / 100) for cent in range(600)), rel=0.001
    )
    assert found["break_even"] == pytest.approx(0.73)
    assert found["on_demand_yearly_usd"] == pytest.approx(yearly(0))
    steady = command.estimate_reservation(profile=[1.0, 1.0], discount=0.25)
    assert (steady.advice, steady.values["utilisation"], steady.values["coverage"]) == (
        "Commit to $0.750 an hour.", 1, 1
    )  # fmt: skip
    assert command.estimate_reservation(profile=[0.0, 4.0], discount=0.25).advice == "Commit to nothing."


@cases(
    "asked, why",
    (lambda: training(hours=-1), "more than 0"),
    (lambda: training(hours=float("nan")), "more than 0"),
    (lambda: training(jobs_a_week=float("nan")), "cannot be computed with"),
    (lambda: training(hourly_usd=float("inf")), "cannot be computed with"),
    (lambda: inference(float("inf")), "cannot be computed with"),
    (lambda: training(hourly_usd=0), "more than 0"),
    (lambda: training(instances=0), "at least 1 instance"),
    (lambda: training(spot=SpotCapacity(0.1, 0, 0, 1.2)), "between 0 and 1"),
    (lambda: training(spot=SpotCapacity(-0.1, 0, 0, 0.6)), "not negative"),
    (lambda: training(commitment_discount=1.0), "between 0 and 1"),
    (lambda: inference(-1), "not negative"),
    (lambda: inference(1, memory_gb=7), "1 to 6 GB"),
    (lambda: inference(1, instances=[1.0] * 23 + [0.0]), "at least one"),
    (lambda: inference(1, instances=[1.0] * 22), "each of 24 hours .* and not 22"),
    (lambda: inference(1, memory_gb=0), "1 to 6 GB"),
    (lambda: batching(rate=0.0), "more than 0 requests a second"),
    (lambda: batching(rate=float("inf")), "cannot be computed with"),
    (lambda: batching(rate=1e300), "need more than 1e"),
    (lambda: inference(1, seconds=0.0), "take some time"),
    (lambda: inference(1, latency=-1.0), "are not negative"),
    (lambda: inference(1, hourly_usd=0.0), "costs more than 0"),
    (lambda: inference(1, slower=0.9), "at least as long"),
    (lambda: batching(hourly_usd=0), "costs more than 0"),
    (lambda: batching(quantised=float("nan")), "cannot be computed with"),
    (lambda: batching(one_ms=0.0), "take some time"),
    (lambda: batching(batch_ms=0.0), "take some time"),
    (lambda: batching(batch=0), "at least 1 request"),
    (lambda: batching(batch_ms=3), "slower than one by one"),
    (lambda: batching(cache_hits=1), "below 1"),
    (lambda: batching(cache_hits=-0.1), "below 1"),
    (lambda: batching(quantised=0.9), "at least as fast"),
    (lambda: distillation(loss=float("nan")), "cannot be computed with"),
    (lambda: distillation(once_usd=-1), "are not negative"),
    (lambda: command.estimate_reservation(profile=[1.0], discount=0.0), "between 0 and 1"),
    (lambda: command.estimate_reservation(profile=[], discount=0.3), "for each hour"),
    (lambda: command.estimate_reservation(profile=[1.0, -1.0], discount=0.3), "0 or more"),
    (lambda: command.estimate_reservation(profile=[1.0], discount=1.0), "between 0 and 1"),
)
def test_what_cannot_be_is_refused_in_a_line(asked: object, why: str) -> None:
    with pytest.raises(CommandRefusedError, match=why):
        asked()  # type: ignore[operator]


@cases(
    "value, unit, shown",
    (0, "usd", "$0.00"),
    (1, "usd", "$1.00"),
    (0.5, "usd", "$0.5000"),
    (-1234.5, "usd", "-$1,234.50"),
    (0.125, "share", "12.5%"),
    (1234.4, "requests", "1,234"),
    (0, "hours", "0 hours"),
    (0.0009, "hours", "<0.001 hours"),
    (0.001, "hours", "0.001 hours"),
    (99.94, "hours", "99.9 hours"),
    (1234.4, "hours", "1,234 hours"),
    (100, "hours", "100 hours"),
    (None, "usd", "unknown"),
    (float("inf"), "usd", "unknown"),
)
def test_numbers_are_shown_as_people_read_them(value: float | None, unit: str, shown: str) -> None:
    assert estimates.format_figure(estimates.Figure("name", "words", value, unit)) == shown


def test_numbers_are_typed_between_commas_and_a_price_wins_over_an_instance() -> None:
    assert estimates.parse_numbers(" 1, 2.5,3 ", "--hours") == [1, 2.5, 3]
    for text in ("1,x", "inf", "1,,2", "nan"):
        with pytest.raises(CommandRefusedError, match="--hours has"):
            estimates.parse_numbers(text, "--hours")
    assert estimates.hourly_price("ml.m5.xlarge", None) == 0.23
    assert estimates.hourly_price("ml.m5.xlarge", 0.0) == 0
    for instance, why in ((None, "give --instance"), ("ml.m5.xlagre", "did you mean ml.m5.xlarge")):
        with pytest.raises(CommandRefusedError, match=why):
            estimates.hourly_price(instance, None)


def test_an_estimate_is_a_page_or_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    usd, cloud = estimates.Figure("usd", "costs", 2.0), estimates.Word("cloud", "where", "GCP")
    unknown = replace(usd, value=None)
    found = Estimate(
        (usd,), "Do it.", "taxes", ("It is cheap.",), ((cloud, usd), (cloud, unknown)), ("$2, read then",)
    )

    assert estimates.print_estimate("training", lambda: found, as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Do it.", "", "costs  $2.00", "", "where  costs", "GCP    $2.00",
        f"GCP        {estimates.UNKNOWN_CELL}", "", "It is cheap.", "", "Without taxes.",
        "Price: $2, read then.",
    ]  # fmt: skip
    assert estimates.print_estimate("training", lambda: found, as_json=True) == 0
    document = {
        "estimate": "training", "usd": 2.0, "advice": "Do it.", "reasons": ["It is cheap."],
        "compared": [{"cloud": "GCP", "usd": 2.0}, {"cloud": "GCP", "usd": None}], "without": "taxes",
        "prices": ["$2, read then"],
    }  # fmt: skip
    assert json.loads(capsys.readouterr().out) == document
    short = replace(found, compared=(), reasons=(), prices=())
    assert estimates.print_estimate("training", lambda: short, as_json=True) == 0
    assert "compared" not in capsys.readouterr().out
    assert estimates.print_estimate("training", lambda: short, as_json=False) == 0
    assert capsys.readouterr().out == "Do it.\n\ncosts  $2.00\n\nWithout taxes.\n"


def test_the_advisers_and_the_estimate_agree() -> None:
    """The saving of spot-training on a family of one job is that of the estimate."""
    found = training(2.0, 24.0).values
    saved = Decimal(str(24.0 * (1 - SPOT.cost(24.0, SPOT.interval())) * 2.0))

    assert (found["on_demand_usd"] or 0) - (found["spot_usd"] or 0) == pytest.approx(float(saved))
