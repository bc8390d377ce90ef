"""Savings: only the hours that an action really ended, and only where a price is known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import DAY, HOUR
from fakes import action_of, raising
from ml_janitor.acting.savings import SavingsTotal, savings_by_day, sum_savings
from ml_janitor.core.model import Cost
from ml_janitor.ledger.actions import Action, Stage, saving_per_hour
from reports import accruing, finding, result, standing
from standin import Cleaner, Nights
from tables import cases

NOW = datetime(2026, 10, 20, 7, tzinfo=UTC)


def action(**more: Any) -> Action:
    target = result("idle-endpoints", "a", finding("idle", standing("1"))).target
    told = {"target": target, "began": NOW - DAY, "ended": NOW - DAY, "hourly_usd": Decimal(2)} | more
    return action_of("idle-endpoints", **told)


def usd(*actions: Action, time_zone: str = "UTC") -> Decimal:
    return sum_savings(actions, now=NOW, time_zone=time_zone).usd


def test_an_action_saves_from_its_end_until_now() -> None:
    assert sum_savings(
        [action(), action(hourly_usd=Decimal("0.5"))], now=NOW, time_zone="UTC"
    ) == SavingsTotal(usd=Decimal(60), actions=2, unknown=0)


@pytest.mark.parametrize("ends", ["undone", "until", "over"])
def test_it_saves_no_hour_after_it_was_brought_back_or_would_have_ended(ends: str) -> None:
    assert usd(action(**{ends: NOW - 20 * HOUR})) == Decimal(8)
    assert usd(action(**{ends: NOW + 20 * HOUR})) == Decimal(48)
    assert usd(action(**{ends: NOW - 2 * DAY})) == Decimal(0)


def test_it_counts_from_its_first_second_on() -> None:
    counts = [
        sum_savings([action(ended=NOW - age)], now=NOW, time_zone="UTC").actions
        for age in (HOUR / 3600, 0 * HOUR)
    ]

    assert counts == [1, 0]


def test_it_saves_nothing_before_aws_said_that_it_was_done() -> None:
    assert sum_savings([action(ended=None, stage=Stage.FAILED)], now=NOW, time_zone="UTC") == SavingsTotal()


def test_the_month_is_that_of_the_operators_time_zone() -> None:
    old = action(ended=NOW - 60 * DAY)
    assert usd(old) == Decimal(2) * (19 * 24 + 7)
    assert usd(old, time_zone="Europe/Berlin") == Decimal(2) * (19 * 24 + 9)


def test_what_nobody_knows_the_price_of_is_counted_and_not_added() -> None:
    told = sum_savings([action(), action(hourly_usd=None)], now=NOW, time_zone="UTC")
    assert told == SavingsTotal(usd=Decimal(48), actions=1, unknown=1)


def test_a_saving_is_of_the_days_that_aws_bills() -> None:
    first = (NOW - 3 * DAY).date()
    saving = [action(ended=NOW - 2 * DAY, over=NOW - DAY), action(hourly_usd=None), action(ended=None)]

    assert savings_by_day(saving, first, NOW) == {
        first + DAY: Decimal(2) * 17,
        first + 2 * DAY: Decimal(2) * 7,
    }
    assert savings_by_day([action(ended=NOW - HOUR)], NOW.date(), NOW) == {NOW.date(): Decimal(2)}


# --- what a sweep finds of it --------------------------------------------------------------------------


@pytest.fixture
def nights(nights: Nights) -> Nights:
    """A lamp that was removed in the last sweep but one."""
    nights.warned("lamp")
    nights.after(4 * DAY)
    nights.after(DAY)
    return nights


def over(nights: Nights) -> datetime | None:
    """Since when the action saves nothing, after a sweep a day later."""
    nights.after(DAY)
    return nights.of("lamp").over


def test_what_stays_away_goes_on_saving(nights: Nights) -> None:
    assert over(nights) is None


def test_what_runs_again_saves_nothing_since_the_sweep_before(nights: Nights) -> None:
    before = nights.clock
    nights.world.add("lamp")

    assert over(nights) == before
    assert over(nights) == before, "and it is not ended twice"


def test_what_was_made_anew_saves_nothing_since_then(nights: Nights) -> None:
    made = nights.clock + HOUR
    nights.world.add("lamp", created=made)

    assert over(nights) == made


@cases(
    "about, ended",
    ({"until": HOUR}, None),
    ({"until": DAY}, None),
    ({"until": DAY + HOUR}, timedelta()),
    ({"stage": Stage.UNDOING}, None),
    ({"ended": None}, None),
)
def test_only_what_still_saves_is_ended(
    nights: Nights, about: dict[str, Any], ended: timedelta | None
) -> None:
    """*until* is counted from the last sweep, and a sweep is a day later."""
    action, last = nights.of("lamp"), nights.clock
    found = {name: last + value if name == "until" else value for name, value in about.items()}
    nights.table.change(
        action.pk,
        action.sk,
        set_to={k: v for k, v in found.items() if v is not None},
        remove=tuple(k for k, v in found.items() if v is None),
    )
    nights.world.add("lamp")

    assert over(nights) == (None if ended is None else last + ended)


def test_what_cannot_be_looked_at_is_left_for_the_next_sweep(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.world.add("lamp")
    monkeypatch.setattr(Cleaner, "is_done", raising(PermissionError("no")))

    assert over(nights) is None


@cases(
    "cost, expected",
    (standing("1.5"), (Decimal("1.5"), None)),
    (Cost(monthly_usd=Decimal(73)), (Decimal("0.1"), None)),
    (Cost(monthly_usd=Decimal("0.02")), (Decimal("0.0000274"), None)),
    (accruing("2", 10), (None, None)),
    (Cost.accruing(Decimal(2), 10, until=NOW), (Decimal(2), NOW)),
    (Cost.accruing(None, 10, until=NOW), (None, NOW)),
    (standing(None), (None, None)),
    (None, (None, None)),
)
def test_an_hour_saves_its_cost(cost: Cost | None, expected: tuple[Decimal | None, datetime | None]) -> None:
    hourly, until = saving_per_hour(result("idle-endpoints", "a", finding("idle", cost)))
    assert (hourly if hourly is None else hourly.quantize(Decimal("0.0000001")), until) == (
        expected[0] if expected[0] is None else expected[0].quantize(Decimal("0.0000001")),
        expected[1],
    )
