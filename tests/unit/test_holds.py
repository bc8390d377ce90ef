"""Which of several holds on a resource counts, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ml_janitor.engine.holds import Hold, How, longest_hold

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
WEEK = timedelta(days=7)


def hold(how: How, until: datetime | None) -> Hold:
    return Hold(key="a", how=how, by="maria", said=NOW, until=until)


def test_a_hold_is_over_in_the_second_that_it_names() -> None:
    snooze = hold(How.SNOOZED, NOW + WEEK)

    assert snooze.reason(NOW + WEEK - timedelta(seconds=1)) == "snoozed by maria until 2026-10-13 03:00 UTC"
    assert snooze.reason(NOW + WEEK) is None


def test_of_a_keep_and_a_snooze_of_the_same_length_the_keep_counts() -> None:
    keep, snooze = hold(How.KEPT, NOW + WEEK), hold(How.SNOOZED, NOW + WEEK)

    assert longest_hold([keep, snooze], NOW) == longest_hold([snooze, keep], NOW) == keep
