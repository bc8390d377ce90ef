"""Notebook instances that an operator has stopped outside working hours: one evening after the other."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from conftest import ACCOUNT, MINUTE
from ml_janitor.aws.client import Aws
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.model import Effect, Mode
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.engine.policy import Arming
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_sandbox.control import Control
from sagemaker_requests import notebook_request
from standin import HOUR, Nights

GROUP = "/aws/sagemaker/NotebookInstances"


def local(day: int, clock: str) -> datetime:
    """A time in October 2026 in Berlin, two hours ahead of UTC; the 6th is a Tuesday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC) - 2 * HOUR


class Evening(Nights):
    """A deployment that stops `team-*` in the evening, and one notebook instance of that name."""

    def __init__(self, box: Control, table: Table, session: boto3.Session, aws: Aws) -> None:
        hours = WorkingHours(time_zone="Europe/Berlin")
        rule = IdleNotebooks(working_hours=hours, stop_outside_hours=("team-*",))
        super().__init__(table, session, aws, rule, box=box)
        self.sagemaker = session.client("sagemaker")
        self.arming = Arming(
            mode=Mode.ACT,
            effect=Effect.STOP,
            act_in=(ACCOUNT,),
            business_days=False,
            time_zone="Europe/Berlin",
        )
        box.set_clock(local(5, "09:00"))
        with box.at_once():
            self.sagemaker.create_notebook_instance(**notebook_request("team-eda"))

    def at(self, day: int, clock: str) -> Result:
        """What a run at that time makes of it."""
        self.clock = local(day, clock)
        self.box.set_clock(self.clock)
        (result,) = self.sweep().report.results
        return result

    def uses(self, day: int, clock: str) -> None:
        self.box.logs(GROUP, "team-eda/jupyter.log", [(local(day, clock), "Saving file at /eda.ipynb")])

    def publishes(self, idle: timedelta) -> None:
        series = {
            "metric": "IdleSeconds",
            "dimensions": {"NotebookInstanceName": "team-eda"},
            "start": self.clock + HOUR - 5 * MINUTE,
            "step": 60,
            "values": [idle.total_seconds()],
        }
        self.box.metrics("MLJanitor/Notebooks", [series])

    @property
    def status(self) -> str:
        return self.sagemaker.describe_notebook_instance(NotebookInstanceName="team-eda")[
            "NotebookInstanceStatus"
        ]


@pytest.fixture
def evening(box: Control, table: Table, session: boto3.Session, aws: Aws) -> Evening:
    return Evening(box, table, session, aws)


def test_it_is_warned_about_before_closing_and_stopped_once_quiet(evening: Evening) -> None:
    evening.uses(6, "17:30")
    assert evening.at(6, "17:30").outcome is Outcome.KEPT
    warned = evening.at(6, "18:30")
    assert (warned.outcome, warned.due) == (Outcome.WARNED, local(6, "20:00"))
    assert warned.monthly_usd is not None

    evening.uses(6, "19:40")
    assert evening.at(6, "19:59").outcome is Outcome.WAITING
    waits = evening.at(6, "21:30")
    assert (waits.outcome, outcome_note(waits)) == (
        Outcome.WAITING,
        "it has not been quiet for long enough, or working hours are not over yet",
    )
    assert evening.status == "InService"

    assert evening.at(6, "21:40").outcome is Outcome.ACTED
    assert evening.status == "Stopped"
    assert evening.postman.carried == ["team-eda"]


def test_a_kernel_that_computes_in_silence_is_never_stopped(evening: Evening) -> None:
    evening.uses(6, "15:00")
    assert evening.at(6, "18:30").outcome is Outcome.WARNED
    for clock in ("19:30", "20:30", "21:30", "22:30"):
        evening.publishes(timedelta())
        assert evening.at(6, clock).outcome is Outcome.WAITING
    evening.publishes(2 * HOUR)
    assert evening.at(6, "23:30").outcome is Outcome.ACTED


def test_nobody_is_warned_after_closing_and_nothing_is_stopped_unwarned(evening: Evening) -> None:
    evening.postman.ill = True
    evening.uses(6, "15:00")
    with pytest.raises(RunFailedError, match="team-eda was not delivered"):
        evening.at(6, "18:30")
    evening.postman.ill = False

    for day, clock in ((6, "20:00"), (6, "23:00"), (7, "03:00")):
        late = evening.at(day, clock)
        assert (late.outcome, outcome_note(late)) == (
            Outcome.WAITING,
            "it is warned about in the last two working hours, and stopped after them",
        )
    assert evening.postman.carried == []
    evening.uses(7, "09:00")
    assert evening.at(7, "09:00").outcome is Outcome.KEPT
    assert evening.at(7, "18:00").outcome is Outcome.WARNED
    assert evening.status == "InService"


def test_one_that_works_all_night_is_warned_about_again_on_the_next_evening(evening: Evening) -> None:
    evening.uses(6, "18:00")
    assert evening.at(6, "18:30").outcome is Outcome.WARNED
    for hour in range(19, 32):
        day, clock = 6 + hour // 24, f"{hour % 24:02}:00"
        evening.uses(day, clock)
        assert evening.at(day, clock).outcome is Outcome.WAITING
    evening.uses(7, "08:30")
    assert evening.at(7, "08:30").outcome is Outcome.KEPT

    again = evening.at(7, "18:30")
    assert (again.outcome, again.due) == (Outcome.WARNED, local(7, "20:00"))
    assert evening.postman.carried == ["team-eda", "team-eda"]


def test_do_it_now_stops_nothing_that_works(evening: Evening) -> None:
    evening.uses(6, "18:20")
    evening.at(6, "18:30")
    (entry,) = evening.ledger.entries(evening.detector.name, ACCOUNT, "us-east-1")
    evening.ledger.make_due(entry, by="maria", now=evening.clock)

    assert evening.at(6, "18:40").outcome is Outcome.WAITING
    assert evening.status == "InService"


def test_one_that_was_started_at_the_weekend_is_warned_about_on_monday(evening: Evening) -> None:
    evening.uses(9, "15:00")
    assert evening.at(9, "18:30").outcome is Outcome.WARNED
    assert evening.at(9, "20:10").outcome is Outcome.ACTED
    evening.box.set_clock(local(10, "10:00"))
    with evening.box.at_once():
        evening.sagemaker.start_notebook_instance(NotebookInstanceName="team-eda")
    evening.uses(10, "10:05")

    assert evening.at(10, "16:00").outcome is Outcome.WAITING
    assert evening.at(11, "16:00").outcome is Outcome.WAITING
    assert evening.status == "InService"
    evening.uses(12, "09:00")
    assert evening.at(12, "18:10").outcome is Outcome.WARNED
