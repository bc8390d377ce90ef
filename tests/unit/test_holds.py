"""Which of several holds on a resource counts, and until when."""

from datetime import datetime, timedelta

from conftest import NOW
from fakes import USED, thing
from ml_janitor.engine.policy import (
    Hold,
    HoldKind,
    advice_hold_key,
    holds_on,
    longest_hold,
    recreated_hold_key,
)

WEEK = timedelta(days=7)


def hold(how: HoldKind, until: datetime | None) -> Hold:
    return Hold(key="a", how=how, by="maria", given=NOW, until=until)


def test_a_hold_is_over_in_the_second_that_it_names() -> None:
    snooze = hold(HoldKind.SNOOZED, NOW + WEEK)

    assert snooze.reason(NOW + WEEK - timedelta(seconds=1)) == "snoozed by maria until 2026-10-13 03:00 UTC"
    assert snooze.reason(NOW + WEEK) is None


def test_what_is_made_anew_is_held_under_its_name_and_advice_by_its_detector_alone() -> None:
    lamp, snooze = thing("lamp", USED).target, hold(HoldKind.SNOOZED, NOW)

    assert holds_on({recreated_hold_key(lamp.arn): (snooze,)}, lamp, "shelf") == (snooze,)
    assert holds_on({advice_hold_key("shelf", lamp.key): (snooze,)}, lamp, "shelf") == (snooze,)
    assert (
        holds_on(
            {advice_hold_key("cupboard", lamp.key): (snooze,), recreated_hold_key("lamp"): (snooze,)},
            lamp,
            "shelf",
        )
        == ()
    )


def test_of_a_keep_and_a_snooze_of_the_same_length_the_keep_counts() -> None:
    keep, snooze = hold(HoldKind.KEPT, NOW + WEEK), hold(HoldKind.SNOOZED, NOW + WEEK)

    assert longest_hold([keep, snooze], NOW) == longest_hold([snooze, keep], NOW) == keep
