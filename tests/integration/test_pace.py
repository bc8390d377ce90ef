"""Calls to an account whose rates AWS enforces, on the sandbox's clock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer, group_by_dimension
from ml_janitor.aws.pace import Pace, RateSlot
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB, list_targets
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames, list_buckets
from ml_janitor_sandbox.control import Control


class Clock:
    """The sandbox's clock in seconds, which moves on when somebody sleeps."""

    def __init__(self, box: Control) -> None:
        self.box = box
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.box.set_clock(NOW + timedelta(seconds=self.seconds))


@pytest.fixture
def clock(box: Control, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(box)
    monkeypatch.setattr("botocore.endpoint.time.sleep", clock.sleep)
    return clock


@pytest.fixture
def aws(session: boto3.Session, clock: Clock) -> Iterator[Aws]:
    pace = Pace(clock=clock.now, sleep=clock.sleep, shares={"sagemaker:ListTrainingJobs": RateSlot(0, 2)})
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: session.client("pricing"))
        yield Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool, pace=pace, attempts=4)


def test_a_request_is_signed_after_it_waited_for_its_turn(aws: Aws, clock: Clock) -> None:
    """A signature expires after five minutes, and the turn of the last of many threads may come later."""
    signed: list[float] = []
    aws.sagemaker.meta.events.register("before-sign", lambda **_: signed.append(clock.seconds))

    for _ in range(3):
        list_targets(aws, TRAINING_JOB)

    assert signed == [0, 2, 4]


def test_a_listing_that_s3_asks_to_slow_down_slows_down_and_reads_everything(
    box: Control, session: boto3.Session, aws: Aws, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.PAGES_AT_ONCE", 1)  # sleeps side by side would move the clock
    s3 = session.client("s3")
    names = [f"bucket-{n:02}" for n in range(12)]
    for name in names:
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="model.pt", Body=b"model")
    box.fault("s3", "ListObjectsV2", "rate", per_second=2)

    read = list_buckets(aws, dict.fromkeys(names, REGION), ArtifactNames(min_size=1), NOW)

    assert [one.bucket for one in read.artifacts()] == names
    assert all(shelf.error is None for shelf in read.shelves.values())
    (struck,) = (one["struck"] for one in box.faults())
    assert 0 < struck < 12
    assert 3 < clock.seconds < 30


def test_a_run_that_may_act_shares_what_is_of_no_region_and_counts_it_once(
    box: Control, session: boto3.Session
) -> None:
    first, until = NOW.date() - timedelta(days=9), NOW.date()
    with open_regions(
        session, account=ACCOUNT, regions=[REGION, "eu-west-1"], attempts=1, pace=None
    ) as regions:
        box.clear_calls()
        explorers = [CostExplorer(aws.client("ce", COST_EXPLORER_REGION), max_requests=1) for aws in regions]
        answers = [one.monthly(first, until, group_by_dimension("SERVICE")) for one in explorers]
        models = [aws.at(REGION).sagemaker.list_models()["Models"] for aws in (*regions, regions[0])]

    assert answers[0] == answers[1]
    assert [one.requests for one in explorers] == [1, 0]
    assert (box.calls()["ce:GetCostAndUsage"], box.calls()["sagemaker:ListModels"], len(models)) == (1, 3, 3)
