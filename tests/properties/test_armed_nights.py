"""
Whatever happens in whatever nights: nothing is done that may not be done, and nothing twice.

`make soak NIGHTS=2000` lives through more nights, `make soak SEED=17` once more through those of one account.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from conftest import ACCOUNT, REGION
from janitor.aws import Aws, make_client
from janitor.prices import Prices
from janitor.table import Table
from properties.nightly.attic import Clearing
from properties.nightly.driver import Driver
from sandbox.control import Control
from sandbox.deployment import TABLE, deploy

NIGHTS = 10
"""Of each account."""

ACCOUNTS = int(os.environ.get("NIGHTS") or 60) // NIGHTS
SEEDS = [int(os.environ["SEED"])] if os.environ.get("SEED") else list(range(1, ACCOUNTS + 1))


@pytest.fixture
def aws(session: boto3.Session) -> Iterator[Aws]:
    """The account, read one call after the other: the same seed, the same order."""
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: make_client(session, "pricing", REGION, 2))
        yield Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_done_that_may_not_be_done(
    seed: int, box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(seed, NIGHTS, box, session, aws, monkeypatch)


def live(
    seed: int, nights: int, box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> Driver:
    """So many *nights* of the account of *seed*. Raises AssertionError at the first wrong deed."""
    deploy(box.url)
    driver = Driver(Table(make_client(session, "dynamodb", REGION, 1), TABLE), session, aws, seed)
    monkeypatch.setattr(Clearing, "attic", driver.attic, raising=False)
    monkeypatch.setattr(Clearing, "clock", staticmethod(lambda: driver.clock), raising=False)
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)
    for _ in range(driver.random.randrange(10, 31)):
        driver.make(f"item-{driver.made}")
    for number in range(nights):
        driver.night()
        assert driver.oracle.wrong == [], driver.said(number)
    return driver


class Unhurried:
    """Time in which nobody waits for a retry."""

    @staticmethod
    def sleep(_: float) -> None: ...
