"""
Ten thousand endpoints in a night: the handlers on a clock that moves on when all wait, within their rates.

Each part is killed once and taken up again, by the retry of its event.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, Self

import boto3
import pytest
from aws_lambda_powertools.utilities.idempotency.persistence import base, datarecord, dynamodb

from bench import large_account
from bench.virtual_time import VirtualTime
from conftest import ACCOUNT, NOW, REGION
from ml_janitor import handlers
from ml_janitor.config.functions import ADVISERS, schedule_groups
from ml_janitor.config.settings import Settings
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from moto_corrections import state
from moto_corrections.sagemaker.store import SageMakerStore
from standin import Context, Deployment, items
from tables import cases

IDLE_EVERY, MODELS = 10, 5
LAMBDA_TIME = timedelta(minutes=15)
READING_TIME = timedelta(minutes=13)
"""Lambda's time without what a run keeps for its report, its ledger and Slack."""

type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class Night:
    """The functions of a deployment, whose *time* passes while they wait; *spans* are what each took."""

    def __init__(self, box: Control, time: VirtualTime) -> None:
        self.box, self.time, self.spans = box, time, list[timedelta]()

    def invoke(self, handler: Handler, event: dict[str, Any]) -> dict[str, Any]:
        """Run a function as Lambda does."""
        begun = self.time.clock()

        class Left(Context):
            def get_remaining_time_in_millis(_) -> int:  # noqa: N805
                return int((begun + LAMBDA_TIME.total_seconds() - self.time.clock()) * 1000)

        answer = handler(event, Left())
        self.spans.append(timedelta(seconds=self.time.clock() - begun))
        return answer

    def killed_and_retried(self, handler: Handler, event: dict[str, Any], *, after: int) -> dict[str, Any]:
        """Kill a function *after* so many of its calls; Lambda invokes it again once its time is over."""
        self.box.fault("*", "*", "killed-before", skip=after)
        with pytest.raises(Killed):
            self.invoke(handler, event)
        self.box.clear_faults()
        self.box.revive()
        self.time.sleep(LAMBDA_TIME.total_seconds())
        return self.invoke(handler, event)


def make_endpoints(box: Control, count: int, patch: pytest.MonkeyPatch) -> None:
    """Endpoints that are a month old, each with a configuration of its own; every tenth is idle."""
    for name, value in {"ENDPOINTS": count, "MODELS": MODELS, "IDLE_EVERY": IDLE_EVERY}.items():
        patch.setattr(large_account, name, value)
    with box.at(NOW - large_account.MONTH):
        large_account.patterns(boto3.Session(region_name=REGION).client("sagemaker"))
    large_account._endpoints(state.at(SageMakerStore, ACCOUNT, REGION), box)


@pytest.mark.long
@cases("count, most_calls", (1_000, 40), (10_000, 200))
def test_every_detector_is_done_in_three_parts_however_often_it_is_killed(
    box: Control, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *, count: int, most_calls: int
) -> None:
    make_endpoints(box, count, monkeypatch)
    monkeypatch.delenv("JANITOR_NOW")
    session_made = boto3.Session

    def mortal_session(*given: Any, **named: Any) -> boto3.Session:
        end_when_killed(made := session_made(*given, **named))
        return made

    monkeypatch.setattr(boto3, "Session", mortal_session)
    start = (NOW + timedelta(seconds=30)).timestamp()
    with VirtualTime(start, round_trip=0.1) as time:

        class Now(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(time.clock(), tz)

        monkeypatch.setattr(handlers, "real_time", lambda: Now.now(UTC))
        for module in (base, datarecord, dynamodb):  # of Powertools, which reads the clock itself
            monkeypatch.setattr(module, "dt", SimpleNamespace(datetime=Now, timedelta=timedelta))
        seconds = SenderClock(clock=time.clock, sleep=time.sleep)
        monkeypatch.setattr(handlers, "slack_time", lambda: seconds)
        night = Night(box, time)
        event: dict[str, Any] = {"time": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}

        (first,) = night.killed_and_retried(handlers.sweep, event, after=count // 20)["sweeps"]
        assert (first["looked_at"], first["found"], first["unknown"]) == (count, count // IDLE_EVERY, 0)

        box.clear_calls()
        again = {"time": f"{Now.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        (steady,) = night.invoke(handlers.sweep, again)["sweeps"]
        assert steady == first
        calls = {
            name: number for name, number in box.calls().items() if not name.startswith(("dynamo", "s3"))
        }
        assert sum(calls.values()) <= most_calls, calls

        monkeypatch.delenv("JANITOR_DETECTOR")
        names = next(
            group.detectors for group in schedule_groups(Settings.load()) if group.function == ADVISERS
        )
        parts, pending = 0, [again | {"detectors": list(names)}]
        while pending:
            parts += 1
            night.killed_and_retried(handlers.advisers, pending.pop(), after=150)
            pending = [made["event"] for made in box.invocations()][parts - 1 :]

    assert parts <= 3
    assert max(night.spans) <= READING_TIME, night.spans
    swept = {item["detector"]: item for item in items(deployment.session)["sweep"]}
    assert swept.keys() == {"idle-endpoints", *names}
    assert {name: item["error"] for name, item in swept.items() if item.get("error")} == {}
