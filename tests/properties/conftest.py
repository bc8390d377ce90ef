"""Whole lives of random accounts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import boto3
import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import TABLE, deploy
from properties.nightly.driver import Household

SOAK = int(os.environ.get("NIGHTS") or 0)
"""How many nights `make soak` asks for; none in any other run."""

SEED = int(os.environ.get("SEED") or 0)
"""... or whose nights it asks for once more."""

LONG_IN_SOAK = [pytest.mark.long] if SOAK else []


class Live(Protocol):
    """Lives through nights."""

    def __call__(self, seed: int, *, nights: int) -> Household:
        """So many *nights* of the account of *seed*. Raises AssertionError at the first wrong deed."""


class Unhurried:
    """Time in which nobody waits for a retry."""

    @staticmethod
    def sleep(_: float) -> None: ...


@pytest.fixture
def live(box: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)
    with ThreadPoolExecutor(1) as pool:  # one call after the other: the same seed, the same order
        prices = Prices(lambda: make_client(session, "pricing", REGION, 2))
        aws = Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool)

        def lived(seed: int, *, nights: int) -> Household:
            box.reset()
            deploy(box.url)
            mine = Table(make_client(session, "dynamodb", REGION, 1), TABLE)
            household = Household(mine, session, aws, seed)
            for number in range(nights):
                household.night()
                assert household.wrong == [], household.said(number)
            return household

        yield lived
