"""Commitments over the sandbox: hours read and hours billed, what is owned, what others found, by request."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

import one_of_each
from conftest import ACCOUNT, DAY, NOW, REGION
from fakes import Shelf, candidates, logger_to, thing, waste
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.core.model import Finding, Kept, Mode, Target, Value, Verdict
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.detectors.commitments import Commitments
from ml_janitor.detectors.cross_region_traffic import CrossRegionTraffic
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import RunFailedError, run_detectors
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.limits import Leases
from ml_janitor.ledger.table import Table
from ml_janitor.report.html import Archive
from ml_janitor.scheduled.sweep_run import SweepRunner
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from narrowing import of_type
from sagemaker_requests import configure, hosting
from tables import cases
from verdicts import by_name, sweep_once

M5, G5 = 0.23, 1.412
"""Dollars an hour of an ml.m5.xlarge and an ml.g5.xlarge in the sandbox."""


@pytest.fixture
def serving(box: Control, session: boto3.Session) -> str:
    """Two endpoints that run for 40 days; the ARN of the dearer one."""
    sagemaker = session.client("sagemaker")
    with box.at(NOW - 40 * DAY):
        for name, instance in (("ranker", "ml.m5.xlarge"), ("assistant", "ml.g5.xlarge")):
            configure(sagemaker, hosting(name, instance), image=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/a")
            made = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return str(made["EndpointArn"])


def swept(aws: Aws, *, named: frozenset[str] | None = frozenset(), **tunables: Any) -> Sweep:
    return sweep_once(Commitments(**tunables), aws, policy=RunPolicy(named=named))


def verdicts(sweep: Sweep) -> dict[str, Verdict]:
    return {name: one.verdict for name, one in by_name(sweep).items()}


def committed(verdict: Verdict) -> float:
    return float(of_type(Finding, verdict).action.partition("--commitment ")[2].partition(",")[0])


def test_cost_explorer_is_asked_once(box: Control, session: boto3.Session, serving: str) -> None:
    """What is refused costs nothing, and each region asks for itself."""
    del serving
    one_of_each.traffic(box)
    box.set_bill(hourly=True)
    detectors: list[Detector[Any]] = [Commitments(), CrossRegionTraffic()]
    regions = [REGION, "eu-west-1", "eu-central-1", "us-west-2"]

    def sweeps() -> dict[tuple[str, str], Sweep]:
        with open_regions(session, account=ACCOUNT, regions=regions, attempts=1, pace=None) as accounts:
            done = run_detectors(detectors, accounts, now=NOW, policy=RunPolicy(named=frozenset())).sweeps
        assert [one.error for one in done] == [None] * 8
        return {(one.detector, one.region): one for one in done}

    box.clear_calls()
    found = sweeps()

    asked = {call: times for call, times in box.calls().items() if call.startswith("ce:")}
    assert asked == {"ce:GetCostAndUsage": 3, "ce:GetSavingsPlansCoverage": 1}
    assert [len(found["commitments", each].results) for each in regions] == [2, 0, 0, 0]
    assert [len(found["cross-region-traffic", each].results) for each in regions] == [1, 0, 0, 0]

    box.set_bill(hourly=False)
    box.clear_calls()
    assert len(sweeps()["commitments", REGION].results) == 1
    assert box.calls()["ce:GetCostAndUsage"] == 5


@pytest.mark.usefixtures("serving")
def test_what_runs_all_the_time_is_committed_to_at_the_rate_that_aws_answers(aws: Aws) -> None:
    sweep = swept(aws)
    (found,) = verdicts(sweep).values()

    assert committed(found) == pytest.approx(0.8 * (M5 + G5), abs=0.001)
    assert isinstance(found, Finding)
    assert found.cost is not None
    assert found.cost.monthly_usd == pytest.approx(Decimal(str(0.2 * (M5 + G5) * 730)), rel=Decimal("0.001"))
    assert "Hourly granularity is not enabled" in sweep.notices[0]
    assert sweep.notices[1].startswith("made 3 Cost Explorer requests ($0.03)")
    (later,) = candidates(Commitments(), aws, NOW + timedelta(minutes=17, seconds=33, microseconds=5))
    assert of_type(Value, later.hours).value.since == NOW - 32 * DAY


def test_billed_hours_come_first_and_only_they_judge_ec2(aws: Aws, box: Control, serving: str) -> None:
    """EC2 by day only, which a plan for all day would not pay for, and spot, which no plan covers."""
    usual = {"service": "Amazon Elastic Compute Cloud - Compute", "operation": "RunInstances", "price": 0.192}
    steady = {"usage_type": "BoxUsage:m5.xlarge", "start": "2026-09-01T00:00:00Z", "hourly": 4}
    by_day = [
        {
            "usage_type": "BoxUsage:m5.xlarge",
            "hourly": 9,
            "start": f"{at:%Y-%m-%dT06:00:00Z}",
            "end": f"{at:%Y-%m-%dT18:00:00Z}",
        }
        for at in (NOW - day * DAY for day in range(1, 20))
    ]
    spot = {"usage_type": "SpotUsage:m5.xlarge", "start": "2026-09-01T00:00:00Z", "hourly": 50}
    box.set_bill(hourly=True)
    box.charge([usual | one for one in (steady, *by_day, spot)])

    sweep = swept(aws, named=frozenset({serving.lower()}))
    found = verdicts(sweep)

    assert committed(found["compute-savings-plan"]) == pytest.approx(0.73 * 4 * 0.192, abs=0.001)
    assert committed(found["sagemaker-savings-plan"]) == pytest.approx(0.8 * M5, abs=0.001)
    (judged,) = (each for each in found["compute-savings-plan"].evidence if each.signal == "hours judged")
    assert judged.value == 12 * 24 - 1  # AWS keeps 14 days, and may still change the last two
    assert [one for one in sweep.notices if "Cost Explorer requests" in one] == [
        "made 5 Cost Explorer requests ($0.05) and read Savings Plans"
    ]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("owned", "verdict", "more"), [("0.500", Finding, 0.8 * (M5 + G5) - 0.5), ("9.000", Kept, 0.0)]
)
def test_what_is_owned_is_taken_off_and_has_to_be_used_first(
    aws: Aws, box: Control, owned: str, verdict: type[Verdict], more: float
) -> None:
    one_of_each.savings_plan(box, owned)

    (found,) = verdicts(swept(aws)).values()

    assert isinstance(found, verdict)
    if more:
        assert committed(found) == pytest.approx(more, abs=0.001)
    else:
        assert "of what is owned is used" in found.reason


@pytest.mark.usefixtures("serving")
@cases(
    "operation, most, reason",
    ("savingsplans:DescribeSavingsPlansOfferingRates", 6, "what a plan would cover could not be read"),
    ("savingsplans:DescribeSavingsPlans", 6, "what is owned already could not be read"),
    ("ce:GetSavingsPlansCoverage", 6, "what plans of other accounts cover could not be read"),
    ("", 2, "over the limit of requests"),
)
def test_a_denied_request_is_unknown(aws: Aws, box: Control, operation: str, most: int, reason: str) -> None:
    if operation:
        service, _, name = operation.partition(":")
        box.fault(service, name, "deny")

    (kept,) = verdicts(swept(aws, max_requests=most)).values()

    assert isinstance(kept, Kept)
    assert kept.unknown
    assert reason in kept.reason


def test_an_audit_leaves_to_others_what_they_found_in_the_same_run(aws: Aws, serving: str) -> None:
    one = thing("assistant", waste())
    other = Shelf(things=(replace(one, target=replace(one.target, arn=serving)),))
    report = run_detectors([Commitments(), other], [aws], now=NOW, policy=RunPolicy())
    (plan,) = (one for one in report.results if one.detector == "commitments")

    assert [sweep.detector for sweep in report.sweeps] == ["commitments", "shelf"]
    assert committed(plan.verdict) == pytest.approx(0.8 * M5, abs=0.001)
    assert plan.overlap is None
    assert {one.signal: one.value for one in plan.verdict.evidence}["resources left to other findings"] == 1


def test_the_findings_of_a_failed_sweep_are_not_committed_to(aws: Aws, box: Control, serving: str) -> None:
    """A commitment cannot be cancelled: until all was read, nobody knows what is left."""
    assert serving
    box.fault("sagemaker", "ListNotebookInstances", "deny", times=0)

    report = run_detectors([Commitments(), IdleNotebooks()], [aws], now=NOW, policy=RunPolicy())

    assert report.sweeps[1].error is not None
    (kept,) = verdicts(report.sweeps[0]).values()
    assert isinstance(kept, Kept)
    assert kept.unknown
    assert "what other detectors found is not all known" in kept.reason
    assert any(
        one.startswith("hours may be missing, which are not committed to: ")
        for one in report.sweeps[0].notices
    )


def test_alone_it_knows_nothing_of_others(aws: Aws, serving: str) -> None:
    (kept,) = verdicts(swept(aws, named=None)).values()

    assert serving
    assert isinstance(kept, Kept)
    assert kept.unknown
    assert "what other detectors found is not all known" in kept.reason


def test_at_night_it_leaves_to_others_what_is_open_in_the_ledger(
    aws: Aws, box: Control, session: boto3.Session, table: Table, serving: str
) -> None:
    def night(holder: str) -> Verdict:
        runner = SweepRunner(
            policy=RunPolicy(),
            ledger=Ledger(table),
            leases=Leases(table),
            archive=Archive(session.client("s3"), BUCKET),
            tell=None,
            logger=logger_to(),
            clock=lambda: NOW,
            holder=holder,
            patience=timedelta(minutes=15),
            sleep=lambda _: None,
        )
        (result,) = runner.sweep(Commitments(), [aws], now=NOW).report.results
        return result.verdict

    assert committed(night("first")) == pytest.approx(0.8 * (M5 + G5), abs=0.001)

    target = Target(
        arn=serving, name="assistant", kind="endpoint", account=ACCOUNT, region=REGION, created=None
    )
    idle = Result(detector="idle-endpoints", target=target, verdict=waste(), outcome=Outcome.WOULD_ACT)
    sweep = Sweep(
        detector="idle-endpoints", account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=(idle,)
    )
    Ledger(table).record(aws, sweep, NOW)
    assert committed(night("second")) == pytest.approx(0.8 * M5, abs=0.001)

    Ledger(table).record(aws, replace(sweep, results=()), NOW)
    assert committed(night("third")) == pytest.approx(0.8 * (M5 + G5), abs=0.001)

    box.fault("dynamodb", "Query", "deny", match="finding#idle-endpoints")
    with pytest.raises(RunFailedError, match="what other detectors found could not be read"):
        night("fourth")
