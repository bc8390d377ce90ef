"""The nights of a large organization: their time, dollars and concurrency follow from what was counted."""

import copy
from typing import Any

import pytest

from bench import many_accounts, monthly, scale
from ml_janitor.config.settings import Settings
from ml_janitor.scheduled.invocation import ACCOUNTS_PER_HOUR, accounts_in_time, warn_of_slow_runs

GIVEN = monthly.counted()
RUNS = many_accounts.runs(many_accounts.nights(GIVEN))
DESCRIBE, TAGS = "sagemaker:DescribeEndpointConfig", "tag:GetResources"


def night(given: Any, name: str) -> many_accounts.Night:
    return next(one for one in many_accounts.nights(given) if one.name == name)


def test_a_child_takes_what_its_slowest_operation_waits_for() -> None:
    more = copy.deepcopy(GIVEN)
    more["functions"]["untagged-resources"]["calls"][TAGS] += 10

    before, after = night(GIVEN, "untagged-resources"), night(more, "untagged-resources")

    of = many_accounts.turns("untagged-resources")[TAGS].of
    assert of > 1
    assert after.busy_seconds - before.busy_seconds == pytest.approx(10 * of / 7.5)
    assert (before.slowest, after.slowest) == (TAGS, TAGS)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.nights[0].name)
def test_a_run_at_scale_ends_within_the_hour(run: many_accounts.MapRun) -> None:
    assert run.lasts(run.at_once) <= 3600
    assert run.at_once == 1 or run.lasts(run.at_once - 1) > 3600


def test_detectors_of_one_run_follow_one_another_and_describe_an_endpoint_once() -> None:
    (run,) = many_accounts.runs(
        night(GIVEN, name) for name in ("oversized-endpoints", "serverless-candidates")
    )
    alone = [each.busy_seconds + each.empty_seconds for each in run.nights]
    assert sum(alone) - run.child_seconds == pytest.approx(1_000 / 5, abs=10)
    assert run.child_seconds > max(alone) + 5


def test_empty_regions_are_looked_at_once_a_day_or_every_four_hours_of_an_hourly_detector() -> None:
    hourly, daily, weekly = (
        night(GIVEN, name).pairs_a_day for name in ("idle-notebooks", "idle-endpoints", "spot-training")
    )

    assert hourly == (24_000, 6 * 16_000)
    assert daily == (1_000, 16_000)
    assert weekly == pytest.approx((1_000 / 7, 16_000 / 7))


def test_so_many_large_accounts_are_looked_at_within_an_hour_as_is_said() -> None:
    assert 3600 // max(run.child_seconds for run in RUNS) == ACCOUNTS_PER_HOUR


def test_who_names_more_accounts_than_an_hour_has_time_for_hears_how_many_at_once_it_takes() -> None:
    few = Settings.parse({"organization": {"at_once": 3}})
    assert (accounts_in_time(few), warn_of_slow_runs(few, 18)) == (18, [])
    (warned,) = warn_of_slow_runs(few, 19)
    assert "about 18 large accounts in an hour, and there are 19: " in warned
    assert warned.endswith("with at_once = 4 they do not")


def test_empty_regions_pay_nothing_for_what_is_of_no_region() -> None:
    for name in ("cross-region-traffic", "commitments"):
        one = night(GIVEN, name)
        assert one.dollars_a_month["cost-explorer"] > one.empty_dollars_a_month["cost-explorer"] == 0


def test_what_runs_together_is_added_up_each_map_with_its_own_children() -> None:
    found = many_accounts.nights(GIVEN)
    assert many_accounts.together(found, 250).functions > many_accounts.together(found, 20).functions
    (apart,) = alone = [night(GIVEN, "idle-endpoints")]
    (run,) = many_accounts.runs(alone)
    most = many_accounts.together(alone, 20)
    assert (most.functions, most.maps, most.begin) == (20, 1, 20)
    assert most.roles == pytest.approx(20 / run.child_seconds)
    assert most.writes == pytest.approx(20 * (2 * 100 + 5) / run.child_seconds)
    hourly = [night(GIVEN, name) for name in ("idle-notebooks", "hung-training-jobs")]
    each = [many_accounts.together([one], 20).roles for one in (apart, *hourly)]
    three = many_accounts.together([apart, *hourly], 20)
    assert three.roles == pytest.approx(sum(each))
    assert three.begin == 60


def test_a_child_that_goes_on_in_parts_takes_on_its_role_in_each() -> None:
    more = copy.deepcopy(GIVEN)
    more["functions"]["idle-clusters"]["seconds"] = 2_000
    most = many_accounts.together([night(more, "idle-clusters")], 500)
    assert most.roles == pytest.approx(500 * 3 / 2_000, rel=0.01)


def test_lambda_charges_for_waits() -> None:
    (run,) = many_accounts.runs([night(GIVEN, "hung-training-jobs")])
    children = 24 * 365.25 / 12 * 1_000
    waited = children * run.waits("busy") + children / 4 * run.waits("empty")
    assert run.waiting_dollars_a_month == pytest.approx(waited * 512 / 1024 * 1.33334e-05)
    assert run.waits("busy") == pytest.approx(15 * 3 / 5)


def test_transitions_are_paid_for_each_child_and_each_run() -> None:
    runs = 365.25 / 12
    for name, of_child in (("idle-clusters", 3), ("idle-endpoints", 3), ("untagged-resources", 1)):
        one = night(GIVEN, name)
        usd = one.dollars_a_month["transitions"]
        shared = one.runs_a_day / one.shared_by
        assert usd == pytest.approx(runs * shared * (1_000 * of_child + 5) * 0.025 / 1000)


def test_a_quota_that_is_exceeded_is_named_and_what_fits_it() -> None:
    found, more = many_accounts.nights(GIVEN), copy.deepcopy(GIVEN)
    needed = max(run.at_once for run in RUNS)
    roles = many_accounts.together(found, needed).roles
    assert f"| requests to STS in a second | {roles:,.0f} | 600 |  |" in scale.against_quotas(found)
    assert "**too many**" not in scale.against_quotas([one for one in found if one.name == "idle-clusters"])
    more["functions"]["commitments"]["calls"][DESCRIBE] = 4_000
    text = scale.against_quotas(many_accounts.nights(more))
    (functions,) = (line for line in text.splitlines() if line.startswith("| functions of Lambda at once |"))
    assert "**too many**" in functions
    assert "With 250, the functions of all detectors stay within 1,000" in text
