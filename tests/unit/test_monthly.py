"""What a month costs: computed from what was counted, and what the documentation says is what is computed."""

import json
import re
from datetime import date
from typing import Any

import pytest

from bench import monthly, scale
from bench.list_prices import PRICES
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.generous_warm_pools import GenerousWarmPools
from ml_janitor.detectors.oversized_endpoints import OversizedEndpoints
from ml_janitor.detectors.spot_training import SpotTraining
from standin import ROOT

ONE = {
    "schedule": "rate(1 hour)",
    "seconds": 9.0,
    "init_seconds": 1.0,
    "memory_mb": 512,
    "metrics_requested": 2_000,
    "log_bytes": 1_000,
    "report_bytes": 10_000,
    "largest_item": 1_025,
    "findings_bytes": 4_097,
    "calls": {
        "cloudwatch:GetMetricData": 4,
        "cloudwatch:ListMetrics": 3,
        "dynamodb:GetItem": 1,
        "dynamodb:PutItem": 2,
        "dynamodb:Query": 1,
        "dynamodb:UpdateItem": 5,
        "s3:HeadObject": 7,
        "s3:ListObjectsV2": 1,
        "s3:PutObject": 2,
        "sagemaker:ListEndpoints": 10,
        "secretsmanager:GetSecretValue": 1,
    },
}
GIVEN: dict[str, Any] = {
    "date": "2026-11-25",
    "account": {"endpoints": 1_000, "models": 1},
    "stack": {"alarms": 4, "dashboards": 1, "keys": 1, "log_days": 90, "report_days": 90, "table_bytes": 2e9},
    "functions": {"one": ONE},
}
RUNS = 365.25 / 12 * 24


def test_a_month_of_one_function_by_hand() -> None:
    lines = monthly.bill(GIVEN).lines

    assert lines["alarms"] == pytest.approx(0.40)
    assert lines["dashboard"] == pytest.approx(3.00)
    assert lines["keys of the ledger and of undo records (KMS)"] == pytest.approx(1.00)
    assert lines["custom metrics"] == pytest.approx(0.30 * (1 + 5 / 24)), "one hourly, five daily"
    assert lines["metrics read (GetMetricData)"] == pytest.approx(RUNS * 0.02)
    assert lines["other CloudWatch requests"] == pytest.approx(RUNS * 0.00003)
    assert lines["Lambda"] == pytest.approx(RUNS * (11 * 0.5 * 0.0000133334 + 2 * 0.0000002))
    assert lines["secret for Slack"] == pytest.approx(0.40 + RUNS * 0.000005)
    assert lines["EventBridge Scheduler"] == pytest.approx(2 * RUNS * 0.000001)
    writes, reads = 7 * 2 + 1, 1 + 2 + 1
    kept = 2 * (0.25 + 0.20)
    assert lines["ledger (DynamoDB)"] == pytest.approx(RUNS * (writes * 0.625 + reads * 0.125) / 1e6 + kept)
    months = 90 / (365.25 / 12)
    reports = RUNS * 1e-5 * months * 0.023
    assert lines["reports (S3)"] == pytest.approx(RUNS * (3 * 0.005 + 7 * 0.0004) / 1000 + reports)
    assert lines["logs"] == pytest.approx(RUNS * 1e-6 * (0.50 + months * 0.03))


def test_arming_adds_alarms_a_secret_keys_their_calls_and_three_metrics() -> None:
    given = GIVEN | {"stack": GIVEN["stack"] | {"alarms_armed": 9, "keys_armed": 3}}
    given["signing"] = {"GenerateMac": 8, "VerifyMac": 6, "actions": 4}
    calls = 3.5 * 50 * 365.25 / 12

    assert monthly.arming(given) == pytest.approx(5 * 0.10 + 0.40 + 2 + calls * 0.03 / 10_000 + 3 * 0.30)


def test_reading_the_bill_adds_a_cent_for_each_request_its_alarms_and_its_run() -> None:
    morning = ONE | {
        "schedule": "cron(0 3 * * ? *)",
        "calls": {"ce:GetCostAndUsage": 5, "ce:GetCostForecast": 1},
    }
    given = GIVEN | {"bill": morning, "stack": GIVEN["stack"] | {"alarms_bill": 7}}
    free = monthly.reading(given | {"bill": morning | {"calls": {"sagemaker:Search": 9}}})

    assert monthly.reading(given) == pytest.approx(free + 365.25 / 12 * 0.06)
    assert free > 3 * 0.10
    assert "$1.83 are for 6 requests a night to Cost Explorer" in monthly.billed(given)


def test_what_was_not_counted_is_as_dear_as_the_dearest_and_the_summary_says_so() -> None:
    small = ONE | {
        "seconds": 1.0,
        "log_bytes": 2_000,
        "calls": {"dynamodb:PutItem": 9, "sagemaker:Search": 4},
    }
    given = GIVEN | {"functions": {"generous-warm-pools": ONE, "small": small}, "empty": {"small": small}}

    known = monthly.estimated(given, [GenerousWarmPools(), SpotTraining(), OversizedEndpoints()])

    search, metrics = known["functions"]["spot-training"], known["functions"]["oversized-endpoints"]
    assert (search["seconds"], search["log_bytes"], search["schedule"]) == (9.0, 2_000, SpotTraining.schedule)
    own = {"dynamodb:GetItem": 1, "dynamodb:PutItem": 9, "dynamodb:Query": 1, "dynamodb:UpdateItem": 5}
    own |= {"s3:PutObject": 2, "secretsmanager:GetSecretValue": 1}
    assert search["calls"] == own | {"sagemaker:Search": 4}
    assert metrics["calls"] == own | {
        "sagemaker:ListEndpoints": 10,
        "sagemaker:Search": 4,
        "cloudwatch:GetMetricData": 4,
    }
    assert (search["metrics_requested"], metrics["metrics_requested"]) == (0, 2_000)
    assert known["empty"]["spot-training"]["calls"] == {"dynamodb:PutItem": 9, "sagemaker:Search": 4}
    assert known["estimated"] == ["oversized-endpoints", "spot-training"]
    assert "by the dearest function: oversized-endpoints, spot-training." in (
        monthly.summary(monthly.bill(known))
    )
    assert "Not counted" not in monthly.summary(monthly.bill(given))
    assert monthly.estimated(given, [GenerousWarmPools()]) == given


def test_the_docs_need_no_counted_run_of_a_new_detector() -> None:
    read = json.loads(monthly.COUNTED.read_text())
    for runs in (read["functions"], read["empty"]):
        del runs["idle-clusters"]

    known = monthly.estimated(read, [detector() for detector in DETECTORS])

    assert "idle-clusters" in scale.parts(known)["nights"]
    for text in (monthly.summary(monthly.bill(known)), scale.parts(known)["account"]):
        assert "by the dearest function: idle-clusters" in text


def test_the_total_is_the_sum_of_the_lines_and_every_price_is_in_one() -> None:
    made = monthly.bill(GIVEN)
    used = [name for names in monthly.GROUPS.values() for name in names.split()]

    assert made.total == pytest.approx(sum(made.lines.values()))
    assert sorted(used) == sorted(PRICES)
    assert made.counted == date(2026, 11, 25)


def test_every_price_says_who_says_so() -> None:
    for price in PRICES.values():
        assert price.usd > 0
        assert price.unit
        assert re.search(r"https://|user guide", price.source)


def test_what_was_counted_is_this_deployment() -> None:
    given = monthly.counted()

    asked = [call for call in given["bill"]["calls"] if call.startswith("ce:")]
    assert asked == ["ce:GetCostAndUsage", "ce:GetCostForecast"]
    names = {detector.name for detector in DETECTORS}
    advisers = {detector.name for detector in DETECTORS if detector.cleanup is None}
    assert given["functions"].keys() == {*names, "digest"}
    assert {*given.get("estimated", ())} <= advisers
    for detector in DETECTORS:
        counted = given["functions"][detector.name]
        assert counted["schedule"] == detector.schedule
        assert {call for call in counted["calls"] if call.startswith("dynamodb:")}
    assert given["account"]["endpoints"] == 1_000
    assert given["functions"]["idle-endpoints"]["metrics_requested"] >= 1_000


def written(page: str) -> str:
    return (ROOT / page).read_text().partition("<!-- cost -->")[2].partition("<!-- /cost -->")[0].strip()


def test_the_documentation_says_what_is_computed() -> None:
    given = monthly.counted()
    made = monthly.bill(given)
    added = f"{monthly.billed(given)}\n\n{monthly.armed(given)}"
    whole = f"{monthly.summary(made)}\n\n{monthly.table(made)}\n\n{added}"

    assert written("docs/cost.md") == whole
    assert written("README.md") == f"{monthly.summary(made)} {monthly.billed(given)}"
    assert f"**{monthly.money(made.total)} a month**" in whole


def test_less_than_a_cent_is_not_nothing() -> None:
    assert monthly.money(0.0049) == "less than $0.01"
    assert monthly.money(0.005) == "$0.01"
