"""A deployment of all detectors that can act, whose runs may be killed, and are then retried."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from armed import World as Nothing
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Arming
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import TABLE
from ml_janitor_sandbox.process_kill import Killed
from nights import Nights
from properties.whole.judge import Judge, Phase
from properties.whole.trouble import ACTS, Trouble
from properties.worlds.artifacts import MIN_SIZE, STORES
from properties.worlds.base import TOOL, UNTAGGED

SETTINGS = Settings.load(
    overrides=[
        f"duplicate-artifacts.min_size={MIN_SIZE}",
        f"duplicate-artifacts.read_contents_in={json.dumps(STORES)}",
    ]
)
FILLED = {"team": "unknown", "project": "unknown"}
TICK = timedelta(milliseconds=100)
"""How long the sandbox takes for what takes minutes on AWS: what is claimed of a night holds for seconds."""

FAILED = (ClientError, BotoCoreError, RunFailedError)
"""What ends a function, so that it is called again."""


class OneThread(ThreadPoolExecutor):
    """Reads one after the other, so that the same seed makes the same calls in the same order."""

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        return iter([fn(*each) for each in zip(*iterables, strict=True)])


class Shift(Nights):
    """One detector of the deployment."""

    def __init__(self, whole: Deployment, detector: Detector[Any]) -> None:
        self.whole = whole
        super().__init__(whole.table, whole.session, whole.aws, Nothing(), detector)
        self.wait = whole.wait
        self.undoing = replace(self.undoing, wait=whole.wait)
        assert detector.cleanup is not None
        self.at_most = 1000
        self.arming = Arming(
            mode=Mode.ACT,
            effect=detector.cleanup.effect,
            act_in=(ACCOUNT,),
            act_on=Confidence.LIKELY,
            grace=detector.cleanup.grace,
            business_days=False,
            max_actions=100,
            max_share=100,
            act_on_managed=(TOOL,),
        )

    @property
    def clock(self) -> datetime:
        return self.whole.clock

    @clock.setter
    def clock(self, at: datetime) -> None:
        """There is one clock for all."""


class Deployment:
    """Every detector, armed for all that it finds."""

    def __init__(
        self, control: Control, session: boto3.Session, mine: Table, judge: Judge, trouble: Trouble
    ) -> None:
        self.control, self.session, self.judge, self.trouble = control, session, judge, trouble
        self.mine = mine
        """The table as people reach it, for whom nothing goes wrong."""
        self.clock = NOW
        self.table = Table(make_client(session, "dynamodb", REGION, 1), TABLE)
        prices = Prices(lambda: make_client(session, "pricing", REGION, 1))
        attempts = trouble.random.choice([1, 1, 2])
        self.aws = Aws(
            session, region=REGION, account=ACCOUNT, prices=prices, pool=OneThread(1), attempts=attempts
        )
        self.allow_unversioned = trouble.chance(0.5)
        self.shifts = {
            detector.name: Shift(self, detector)
            for detector in map(self._generous, SETTINGS.enabled())
            if detector.cleanup is not None and detector.acts and detector.never_acts() is None
        }
        self.events = 0
        self.calls_of: dict[str, int] = {}
        self.story: list[str] = []

    def _generous(self, detector: Detector[Any]) -> Detector[Any]:
        """May act wherever it can."""
        if detector.name == UNTAGGED:
            return replace(detector, fill_tags=FILLED)  # type: ignore[call-arg]
        if detector.name == "duplicate-artifacts":
            return replace(
                detector,
                act_on_prefixes=tuple(f"s3://{store}/" for store in STORES),  # type: ignore[call-arg]
                allow_unversioned=self.allow_unversioned,
            )
        return detector

    def tell(self, what: str) -> None:
        self.story.append(what)

    def wait(self) -> None:
        """AWS gets on with things."""
        self.clock += 2 * TICK
        self.control.set_clock(self.clock)

    def sweep(self, shift: Shift, *, rough: bool) -> None:
        """One event and Lambda's retries: the last one is spared, as nobody else would take up its lease."""
        self.events += 1
        event, now = f"event-{self.events}", self.clock
        for attempt in range(3):
            what = "nothing"
            if rough and attempt < 2 and self.trouble.chance(0.7):
                what = self.trouble.strike(
                    ACTS[shift.detector.name], self.calls_of.get(shift.detector.name, 50)
                )
            self.tell(f"{event}: {shift.detector.name} begins: {what}")
            if not self.run(shift, event, now):
                break

    def run(self, shift: Shift, event: str, now: datetime) -> bool:
        """One invocation; the answer is whether it was killed or refused its lease, and is called again."""
        self.judge.phase, calls = Phase(detector=shift.detector.name), self.judge.calls
        self.aws.lasting.clear()  # a run in Lambda has an `Aws` of its own
        try:
            shift.runner(event=event).sweep(shift.detector, [self.aws], now=now)
        except Killed:
            self.tell("it was killed")
            self.trouble.die()
            return True
        except LeaseTakenError:
            self.tell("its lease was not given back by an earlier run")
            self._release(shift)
            return True
        except FAILED as error:
            self.tell(f"it failed: {error}")
        finally:
            self.judge.phase = None
            self.calls_of[shift.detector.name] = self.judge.calls - calls
        return False

    def _release(self, shift: Shift) -> None:
        """A quarter of an hour passes, in which nothing else happens."""
        where = (shift.detector.name, ACCOUNT, REGION)
        for number in range(1, self.events + 1):
            Leases(self.mine).release(*where, holder=f"event-{number}")
