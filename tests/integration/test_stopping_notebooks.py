"""Notebook instances are stopped and started again, on a bad day too."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import DAY, HOUR, NOW
from ml_janitor.aws.client import Aws
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from narrowing import not_none
from recorded_acts import Memory, RecordedAct, found, prepared
from sagemaker_requests import notebook_request
from tables import cases

GROUP = "/aws/sagemaker/NotebookInstances"
LONG_ENOUGH = timedelta(minutes=10)
"""For AWS to stop or start a notebook instance."""


class Desk:
    """One notebook instance that nobody has worked in since the evening."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.sagemaker: Any = session.client("sagemaker")
        self.make(NOW - 30 * DAY)
        box.logs(GROUP, "churn/jupyter.log", [(NOW - 9 * HOUR, "Saving file at /eda.ipynb")])

    def make(self, at: Any) -> None:
        self.box.set_clock(at)
        self.sagemaker.create_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=f"setup-{at:%Y%m%d}"
        )
        self.sagemaker.create_notebook_instance(
            **notebook_request("churn", LifecycleConfigName=f"setup-{at:%Y%m%d}")
        )
        self.box.set_clock(NOW)

    def remove(self) -> None:
        self.sagemaker.stop_notebook_instance(NotebookInstanceName="churn")
        self.wait()
        self.sagemaker.delete_notebook_instance(NotebookInstanceName="churn")
        self.wait()

    def wait(self) -> None:
        self.box.set_clock(self.box.clock() + LONG_ENOUGH)

    @property
    def status(self) -> str:
        answer = self.sagemaker.describe_notebook_instance(NotebookInstanceName="churn")
        return str(answer["NotebookInstanceStatus"])


@pytest.fixture
def desk(box: Control, session: boto3.Session) -> Desk:
    box.set_durations({"notebook.stop": 90, "notebook.start": 180, "notebook.delete": 60})
    return Desk(box, session)


@pytest.fixture
def recorded(desk: Desk, aws: Aws) -> RecordedAct:  # noqa: ARG001 - it is what is found
    return prepared(IdleNotebooks(), aws, found(IdleNotebooks(), aws, "churn"))


def test_what_it_was_is_known_before_anything_is_done(recorded: RecordedAct, desk: Desk) -> None:
    assert recorded.record == {
        "status": "InService",
        "instance_type": "ml.t3.xlarge",
        "lifecycle_config": "setup-20260906",
    }
    assert desk.status == "InService"
    assert not recorded.settled()


def test_it_is_stopped_and_started_again(recorded: RecordedAct, desk: Desk) -> None:
    recorded.act()
    assert desk.status == "Stopping"
    assert recorded.settled()

    with pytest.raises(NotFinishedError, match="still stopping, which takes some minutes"):
        recorded.undo()
    desk.wait()
    assert desk.status == "Stopped"
    assert recorded.settled()

    recorded.undo()
    assert desk.status == "Pending"
    recorded.undo()
    desk.wait()
    assert desk.status == "InService"


def test_a_call_that_did_nothing_is_a_failure(recorded: RecordedAct, desk: Desk) -> None:
    desk.box.patch("sagemaker", ["notebook_instances", "churn"], status="Updating")
    with pytest.raises(ClientError, match=r"Status \(Updating\)"):
        recorded.act()
    assert not recorded.settled()


def test_already_stopped_and_already_gone_are_success(recorded: RecordedAct, desk: Desk) -> None:
    desk.sagemaker.stop_notebook_instance(NotebookInstanceName="churn")
    recorded.act()
    desk.wait()
    recorded.act()
    desk.sagemaker.delete_notebook_instance(NotebookInstanceName="churn")
    recorded.act()
    desk.wait()
    recorded.act()

    assert recorded.settled()
    with pytest.raises(CannotActError, match="it was deleted since, and its volume with it"):
        recorded.undo()


def test_another_one_of_its_name_is_neither_settled_by_nor_started(recorded: RecordedAct, desk: Desk) -> None:
    desk.remove()
    desk.make(NOW + HOUR)
    desk.wait()

    assert recorded.settled()
    with pytest.raises(CannotActError, match="another notebook instance has its name now"):
        recorded.undo()


@cases(
    "code, message",
    ("ValidationException", "NotebookInstanceName is too long"),
    ("AccessDenied", "on RecordNotFound"),
)
def test_a_refusal_of_another_kind_does_not_say_that_it_is_gone(
    recorded: RecordedAct, desk: Desk, code: str, message: str
) -> None:
    recorded.act()
    desk.wait()
    said = {"status": 400, "code": code, "message": message}
    desk.box.fault("sagemaker", "DescribeNotebookInstance", "error", times=0, **said)

    with pytest.raises(ClientError, match=message):
        recorded.undo()


def test_one_that_is_being_deleted_is_not_started(recorded: RecordedAct, desk: Desk) -> None:
    recorded.act()
    desk.wait()
    desk.sagemaker.delete_notebook_instance(NotebookInstanceName="churn")

    with pytest.raises(CannotActError, match="it is being deleted, and its volume with it"):
        recorded.undo()


def test_whoever_started_it_again_is_left_alone(recorded: RecordedAct, desk: Desk) -> None:
    recorded.act()
    desk.wait()
    desk.sagemaker.start_notebook_instance(NotebookInstanceName="churn")
    desk.wait()
    desk.box.clear_calls()

    assert not recorded.settled()
    recorded.undo()
    assert "sagemaker:StartNotebookInstance" not in desk.box.calls()


def test_one_that_is_being_changed_is_stopped_and_started_when_that_is_over(
    recorded: RecordedAct, desk: Desk
) -> None:
    desk.box.set_durations({"notebook.update": 120})
    recorded.act()
    desk.wait()
    desk.sagemaker.update_notebook_instance(NotebookInstanceName="churn", InstanceType="ml.t3.large")

    with pytest.raises(NotFinishedError, match="it is being changed"):
        recorded.undo()
    desk.wait()
    recorded.undo()

    assert desk.status == "Pending"


def test_a_start_that_aws_took_and_forgot_is_asked_for_again(recorded: RecordedAct, desk: Desk) -> None:
    recorded.act()
    desk.wait()
    memory = Forgotten(desk)

    with pytest.raises(NotFinishedError, match="has not begun to start it"):
        recorded.undo(memory)
    assert desk.status == "Stopped"
    recorded.undo(memory)

    assert desk.status == "Pending"


class Forgotten(Memory):
    """The steps of an undo whose first start comes to nothing, although AWS took it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk: Desk | None = desk

    def do(self, name: str, call: Callable[[], object]) -> None:
        super().do(name, call)
        if self._desk is not None:
            self._desk.box.patch("sagemaker", ["notebook_instances", "churn"], status="Stopped")
            self._desk = None


def test_what_runs_no_longer_is_not_prepared(recorded: RecordedAct, desk: Desk, aws: Aws) -> None:
    desk.sagemaker.stop_notebook_instance(NotebookInstanceName="churn")
    candidate = not_none(recorded.detector.look(aws, recorded.target, NOW))

    with pytest.raises(CannotActError, match="its status is Stopping now"):
        recorded.detector.prepare(aws, candidate, {})
