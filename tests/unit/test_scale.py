"""The nights of a large organization: their time, dollars and concurrency follow from what was counted."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bench import many_accounts, monthly, scale
from ml_janitor.config.settings import Settings
from ml_janitor.scheduled.invocation import ACCOUNTS_PER_HOUR, accounts_in_time, warn_of_slow_runs

GIVEN = monthly.counted()
DESCRIBE = "sagemaker:DescribeEndpointConfig"


def night(given: Any, name: str) -> many_accounts.Night:
    return next(one for one in many_accounts.nights(given) if one.name == name)


def test_a_child_takes_what_its_slowest_operation_waits_for() -> None:
    more = copy.deepcopy(GIVEN)
    more["functions"]["oversized-endpoints"]["calls"][DESCRIBE] += 10

    before, after = night(GIVEN, "oversized-endpoints"), night(more, "oversized-endpoints")

    of = many_accounts.turns("oversized-endpoints")[DESCRIBE].of
    assert of > 1
    assert after.busy_seconds - before.busy_seconds == pytest.approx(10 * of / 5)
    assert (before.slowest, after.slowest) == (DESCRIBE, DESCRIBE)


@pytest.mark.parametrize("one", many_accounts.nights(GIVEN), ids=lambda one: one.name)
def test_a_run_at_scale_ends_within_the_hour(one: many_accounts.Night) -> None:
    assert one.lasts(one.at_once) <= 3600
    assert one.at_once == 1 or one.lasts(one.at_once - 1) > 3600


def test_empty_regions_are_looked_at_once_a_day_or_every_four_hours_of_an_hourly_detector() -> None:
    hourly, daily, weekly = (
        night(GIVEN, name).pairs_a_day for name in ("idle-notebooks", "idle-endpoints", "spot-training")
    )

    assert hourly == (24_000, 6 * 16_000)
    assert daily == (1_000, 16_000)
    assert weekly == pytest.approx((1_000 / 7, 16_000 / 7))


def test_so_many_large_accounts_are_looked_at_within_an_hour_as_is_said() -> None:
    counted = [one for one in many_accounts.nights(GIVEN) if one.name not in GIVEN.get("estimated", ())]
    slowest = max(one.child_seconds for one in counted)
    assert 3600 // slowest == ACCOUNTS_PER_HOUR


def test_who_names_more_accounts_than_an_hour_has_time_for_hears_how_many_at_once_it_takes() -> None:
    few = Settings.parse({"organization": {"at_once": 3}})
    assert (accounts_in_time(few), warn_of_slow_runs(few, 21)) == (21, [])
    (warned,) = warn_of_slow_runs(few, 22)
    assert "about 21 large accounts in an hour, and there are 22: " in warned
    assert warned.endswith("with at_once = 4 they do not")


def test_empty_regions_pay_nothing_for_what_is_of_no_region() -> None:
    for name in ("cross-region-traffic", "commitments"):
        one = night(GIVEN, name)
        assert one.dollars_a_month["cost-explorer"] > one.empty_dollars_a_month["cost-explorer"] == 0


def test_more_accounts_side_by_side_take_more_functions_at_once() -> None:
    found = many_accounts.nights(GIVEN)
    assert many_accounts.together(found, 250)[0] > many_accounts.together(found, 20)[0]
    apart = [one for one in found if one.name == "idle-endpoints"]
    assert many_accounts.together(apart, 20) == (20, 1)


def test_transitions_are_paid_for_each_child_and_each_run() -> None:
    runs = 365.25 / 12
    for name, of_child in (("idle-clusters", 3), ("idle-endpoints", 3), ("untagged-resources", 1)):
        one = night(GIVEN, name)
        usd = one.dollars_a_month["transitions"]
        shared = one.runs_a_day / one.shared_by
        assert usd == pytest.approx(runs * shared * (1_000 * of_child + 5) * 0.025 / 1000)


def test_a_quota_that_is_exceeded_is_named_and_what_fits_it() -> None:
    found = many_accounts.nights(GIVEN)
    text = scale.against_quotas(found)
    (functions,) = (line for line in text.splitlines() if line.startswith("| functions of Lambda at once |"))
    needed = max(one.at_once for one in found)
    assert ("**too many**" in functions) == (many_accounts.together(found, needed)[0] > 1_000)
    assert "| requests to STS in a second | 773 | 600 | **too many** |" in text
    assert "**too many**" not in scale.against_quotas([one for one in found if one.name == "idle-clusters"])
