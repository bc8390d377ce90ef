"""A deployment without Slack: warnings and the digest by mail, and events on the bus."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor import handlers
from ml_janitor.engine.run import RunFailedError
from ml_janitor_cli.main import main
from standin import ARMED_TOML, DAY, Deployment, idle_notebook

ADDRESS = "ml-team@example.com"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:ml-costs"
WITHOUT_SLACK = "\n".join(line for line in ARMED_TOML.splitlines() if not line.startswith("slack_"))
NOTIFY = f'\n[notify]\nemail = "{TOPIC}"\nevents = "default"\n'


class Readers:
    """Who reads: an address and a queue that get the mails, and a queue of the events that a rule matches."""

    def __init__(self, deployment: Deployment) -> None:
        client = deployment.session.client
        self.sns, self.sqs, events = client("sns"), client("sqs"), client("events")
        assert self.sns.create_topic(Name="ml-costs")["TopicArn"] == TOPIC
        self.sns.subscribe(TopicArn=TOPIC, Protocol="email", Endpoint=ADDRESS)
        self.sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=self._queue("mails"))
        events.put_rule(Name="all", EventPattern=json.dumps({"source": ["ml-janitor"]}))
        events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": self._queue("events")}])

    def _queue(self, name: str) -> str:
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    def received(self, name: str) -> list[Any]:
        """What came into the queue since it was last looked into."""
        url, found = self.sqs.get_queue_url(QueueName=name)["QueueUrl"], []
        while some := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for one in some:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
                found.append(json.loads(one["Body"]))
        return found

    @property
    def events(self) -> list[tuple[str, str | None]]:
        """The kind of each event, and what it is about."""
        return [(one["detail-type"], one["detail"]["name"]) for one in self.received("events")]


def test_a_deployment_without_slack_warns_by_mail_and_acts(deployment: Deployment) -> None:
    deployment.arm(WITHOUT_SLACK + NOTIFY)
    readers = Readers(deployment)
    idle_notebook(deployment.session, deployment.box)

    with pytest.raises(RunFailedError, match=f"nobody has confirmed a mail subscription of {TOPIC}"):
        deployment.sweep("idle-notebooks")
    assert (readers.received("mails"), readers.events) == ([], [("Finding", "churn")])
    deployment.later(DAY * 7)
    with pytest.raises(RunFailedError):
        deployment.sweep("idle-notebooks")
    assert deployment.notebook_status == "InService", "nobody was warned"

    readers.sns.confirm_subscription(TopicArn=TOPIC, Token=ADDRESS)
    deployment.sweep("idle-notebooks")
    (warning,) = readers.received("mails")
    assert readers.events == [("Warning", "churn")]
    assert warning["Subject"].startswith("ML Janitor: 1 idle notebook will be stopped after ")
    (command,) = [line.strip() for line in warning["Message"].splitlines() if "janitor keep" in line]
    deployment.later(DAY * 2)
    deployment.sweep("idle-notebooks")
    assert deployment.notebook_status == "InService", "no direct message to the owner: twice the grace"
    deployment.later(timedelta(hours=6))
    deployment.sweep("idle-notebooks")
    assert deployment.notebook_status == "Stopped"
    assert readers.events == [("Act", "churn")]

    handlers.digest({}, deployment.context())
    (digest,) = readers.received("mails")
    assert "notebook instance churn" in digest["Message"]
    assert deployment.slack.messages() == []
    assert main(shlex.split(command)[1:]) == 0
    (hold,) = deployment.table()["hold"]
    assert hold["key"].startswith(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/churn")


def test_beside_slack_a_mail_is_a_copy_that_delivers_nothing(armed: Deployment) -> None:
    armed.settings(ARMED_TOML + NOTIFY)
    readers = Readers(armed)
    readers.sns.confirm_subscription(TopicArn=TOPIC, Token=ADDRESS)
    idle_notebook(armed.session, armed.box)
    armed.slack.fault("error", method="chat.postMessage", code="channel_not_found")

    with pytest.raises(RunFailedError, match="channel_not_found"):
        armed.sweep("idle-notebooks")
    assert (readers.received("mails"), readers.events) == ([], [("Finding", "churn")])
    armed.later(timedelta(hours=1))
    armed.sweep("idle-notebooks")
    (copy,) = readers.received("mails")
    assert "janitor keep" in copy["Message"]
    assert len(armed.slack.messages()) == 1
