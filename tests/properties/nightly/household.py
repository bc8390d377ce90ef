"""A deployment of two detectors, whose nights a test lives through."""

from __future__ import annotations

from random import Random

import boto3

from conftest import REGION
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.deployment import TABLE
from properties.nightly.common import Common
from properties.nightly.detectors import Clearing, Dousing
from properties.nightly.driver import Driver
from properties.nightly.wire import Wire
from standin import DAY, HOUR


class Household:
    """Night after night of one that deletes and one that stops, which share one limit for the night."""

    def __init__(self, mine: Table, session: boto3.Session, aws: Aws, seed: int) -> None:
        random = Random(seed)  # noqa: S311 - it has to come out the same again
        client = make_client(session, "dynamodb", REGION, random.choice([1, 2]))
        self.common = Common(
            seed=seed, random=random, mine=mine, table=Table(client, TABLE), wire=Wire(client)
        )
        self.drivers = [Driver(self.common, kind, session, aws) for kind in (Clearing, Dousing)]
        self.common.drivers = self.drivers
        self.common.wire.on_met = self._met
        for driver in self.drivers:
            driver.settle()

    def night(self) -> None:
        """People at work, then both sweep, in any order."""
        for driver in self.drivers:
            driver.evening()
        for driver in self.common.random.sample(self.drivers, len(self.drivers)):
            driver.night()
        self.common.clock += self.common.random.choice(
            [HOUR, 6 * HOUR, DAY, DAY, DAY, 2 * DAY, 4 * DAY, 15 * DAY]
        )

    def _met(self) -> None:
        """Something got lost on the way to the table."""
        for driver in self.drivers:
            driver.oracle.interrupted(ledger=False)

    @property
    def wrong(self) -> list[str]:
        return [wrong for driver in self.drivers for wrong in driver.oracle.wrong]

    def said(self, night: int) -> str:
        """What a failed test tells."""
        story = "\n".join(self.common.story[-60:])
        return f"{self.wrong}\nnight {night} of: make soak SEED={self.common.seed}\n{story}"
