"""The end of a process between two steps, and answers that never come, for every call that acts."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from slack_sdk import WebClient

import plain_requests
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from ml_janitor_sandbox.slack import CHANNEL, SlackControl
from plain_requests import refusal

NOTEBOOK = {"NotebookInstanceName": "nb"}


@pytest.fixture
def notebook(sagemaker: Any, control: Control) -> None:
    with control.at_once():
        plain_requests.notebook(sagemaker, "nb")


@pytest.fixture
def process() -> boto3.Session:
    """The session of a process that can die."""
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name="us-east-1")
    end_when_killed(session)
    return session


def of_process(session: boto3.Session, control: Control, name: Any) -> Any:
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    return session.client(name, endpoint_url=control.url, config=config)


def status(sagemaker: Any) -> str:
    return str(sagemaker.describe_notebook_instance(**NOTEBOOK)["NotebookInstanceStatus"])


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize(("kind", "left"), [("killed", "Stopping"), ("killed-before", "InService")])
def test_a_process_dies_with_the_work_done_or_not(
    control: Control, process: boto3.Session, sagemaker: Any, kind: str, left: str
) -> None:
    control.fault("sagemaker", "StopNotebookInstance", kind)
    victim = of_process(process, control, "sagemaker")
    control.clear_calls()
    with pytest.raises(Killed):
        victim.stop_notebook_instance(**NOTEBOOK)
    assert control.calls() == {"sagemaker:StopNotebookInstance": 1}
    control.revive()
    assert status(sagemaker) == left


@pytest.mark.usefixtures("notebook")
def test_the_dead_do_nothing_more_wherever_they_ask(
    *,
    control: Control,
    process: boto3.Session,
    sagemaker: Any,
    aws: Any,
    slack: SlackControl,
    client: WebClient,
) -> None:
    aws("s3").create_bucket(Bucket="b-1")
    control.fault("sagemaker", "DescribeNotebookInstance", "killed")
    with pytest.raises(Killed):
        status(of_process(process, control, "sagemaker"))
    # not even who does not believe it
    assert "Killed" in refusal(sagemaker.stop_notebook_instance, **NOTEBOOK)
    assert "Killed" in refusal(aws("s3").put_object, Bucket="b-1", Key="k", Body=b"x")
    with pytest.raises(OSError, match="closed connection"):
        client.chat_postMessage(channel=CHANNEL, text="x")
    control.revive()
    assert status(of_process(process, control, "sagemaker")) == "InService"
    assert "Contents" not in aws("s3").list_objects_v2(Bucket="b-1")
    assert slack.messages() == []


@pytest.mark.usefixtures("notebook")
def test_a_process_may_die_of_slack(
    control: Control, sagemaker: Any, slack: SlackControl, client: WebClient
) -> None:
    for kind, posted in (("killed", ["x"]), ("killed-before", ["x"])):
        slack.fault(kind)
        with pytest.raises(OSError, match="closed connection"):
            client.chat_postMessage(channel=CHANNEL, text="x")
        assert "Killed" in refusal(status, sagemaker)
        assert [one["text"] for one in slack.messages()] == posted
        control.revive()
        slack.clear_faults()


def test_a_reset_revives(control: Control, process: boto3.Session) -> None:
    control.fault("sagemaker", "*", "killed-before")
    with pytest.raises(Killed):
        of_process(process, control, "sagemaker").list_endpoints()
    control.reset()
    assert of_process(process, control, "sagemaker").list_endpoints()["Endpoints"] == []


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("kind", ["hang-up", "drop"])
def test_the_work_is_done_and_the_connection_closes(control: Control, sagemaker: Any, kind: str) -> None:
    control.fault("sagemaker", "StopNotebookInstance", kind)
    with pytest.raises(ConnectionClosedError):
        sagemaker.stop_notebook_instance(**NOTEBOOK)
    assert status(sagemaker) == "Stopping"


@pytest.mark.parametrize("kind", ["hang-up", "drop"])
def test_an_answer_without_a_body_can_be_lost_too(control: Control, aws: Any, kind: str) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="b-1")
    s3.put_object(Bucket="b-1", Key="k", Body=b"x")
    control.fault("s3", "DeleteObject", kind)
    with pytest.raises(ConnectionClosedError):
        s3.delete_object(Bucket="b-1", Key="k")
    assert "Contents" not in s3.list_objects_v2(Bucket="b-1")
