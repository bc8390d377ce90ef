"""A deployment without Slack: warnings and the digest by mail, and events on the bus."""

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped]

from conftest import ACCOUNT, REGION
from hosted import TOML, HostedStack
from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.run import RunFailedError
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from standin import ARMED_TOML, DAY, ROOT, Deployment, idle_notebook, undo_event

ADDRESS = "ml-team@example.com"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:ml-costs"
NOTIFY = f'\n[notify]\nemail = "{TOPIC}"\nevents = "default"\n'
WITHOUT_SLACK = "\n".join(
    line for line in TOML.splitlines() if not line.startswith(("slack_", "working_hours"))
)
BY_MAIL = f"""{WITHOUT_SLACK}{NOTIFY}
[detectors.idle-notebooks]
mode = "act"
act_in = ["{ACCOUNT}"]
act_on = "likely"
""" + "".join(
    f"[detectors.{one.name}]\nenabled = false\n" for one in DETECTORS if one.name != "idle-notebooks"
)
RULE = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "notify.md").read_text(), re.DOTALL)


class Readers:
    """An address and a queue that get the mails, a queue of all events, and one of the cards of the page."""

    def __init__(self, session: boto3.Session) -> None:
        client = session.client
        self.sns, self.sqs, events = client("sns"), client("sqs"), client("events")
        assert self.sns.create_topic(Name="ml-costs")["TopicArn"] == TOPIC
        self.sns.subscribe(TopicArn=TOPIC, Protocol="email", Endpoint=ADDRESS)
        self.sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=self._queue("mails"))
        events.put_rule(Name="all", EventPattern=json.dumps({"source": ["ml-janitor"]}))
        events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": self._queue("events")}])
        assert RULE is not None
        teams = yaml.safe_load(RULE[1])["Resources"]["Rule"]["Properties"]
        card = teams["Targets"][0]["InputTransformer"]
        events.put_rule(Name="teams", EventPattern=json.dumps(teams["EventPattern"]))
        target = {"Id": "1", "Arn": self._queue("cards"), "InputTransformer": card}
        events.put_targets(Rule="teams", Targets=[target])

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


def status(session: boto3.Session) -> str:
    """That of the notebook "churn"."""
    found = session.client("sagemaker").describe_notebook_instance(NotebookInstanceName="churn")
    return str(found["NotebookInstanceStatus"])


def test_a_deployment_without_slack_warns_by_mail_acts_and_undoes(
    tmp_path: Path, box: Control, session: boto3.Session, aws: Aws
) -> None:
    """Under its roles, which may do that on the one topic and bus."""
    host = HostedStack(tmp_path, BY_MAIL).host(box, session, aws)
    readers = Readers(session)
    idle_notebook(session, box)
    host.enforce()
    used = set[tuple[str, str]]()

    def run(name: str, event: Any, error: str = "") -> None:
        ran = host.run(name, event)
        assert not ran.denied
        assert (error in str(ran.error or ""), bool(ran.error)) == (True, bool(error))
        used.update((action, on) for action, on in ran.allowed if action.startswith(("sns:", "events:")))

    nobody = f"nobody has confirmed a mail subscription of {TOPIC}"
    run("idle-notebooks", {}, nobody)
    assert (readers.received("mails"), readers.events) == ([], [("Finding", "churn")])
    host.later(7 * DAY)
    run("idle-notebooks", {}, nobody)
    assert status(session) == "InService", "nobody was warned"

    readers.sns.confirm_subscription(TopicArn=TOPIC, Token=ADDRESS)
    run("idle-notebooks", {})
    (warning,) = readers.received("mails")
    assert readers.events == [("Warning", "churn")]
    assert warning["Subject"].startswith("ML Janitor: 1 idle notebook will be stopped after ")
    host.later(timedelta(hours=47))
    run("idle-notebooks", {})
    assert status(session) == "InService", "no direct message to the owner: twice the grace"
    host.later(timedelta(hours=10))
    run("idle-notebooks", {})
    assert status(session) == "Stopped"
    assert readers.events == [("Act", "churn")]
    cards = [card["attachments"][0]["content"]["body"] for card in readers.received("cards")]
    titles = [title["inlines"][0]["text"] for title, _ in cards]
    assert titles[0].startswith("Idle notebook churn will be stopped after ")
    assert titles[1:] == ["Idle notebook churn was stopped"]

    run("digest", {})
    (digest,) = readers.received("mails")
    assert "notebook instance churn" in digest["Message"]
    (action,) = host.actions("idle-notebooks")
    host.later(timedelta(hours=1))
    run("undo", undo_event(action, host.root("kms"), host.function("undo").environment, at=host.now))
    assert readers.events == [("Undo", "churn")]
    assert used == {
        ("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"),
        ("sns:ListSubscriptionsByTopic", TOPIC),
        ("sns:Publish", TOPIC),
    }


def test_beside_slack_a_mail_is_a_copy_that_delivers_nothing(armed: Deployment) -> None:
    armed.settings(ARMED_TOML + NOTIFY)
    readers = Readers(armed.session)
    readers.sns.confirm_subscription(TopicArn=TOPIC, Token=ADDRESS)
    idle_notebook(armed.session, armed.box)
    armed.slack.fault("error", method="chat.postMessage", code="channel_not_found")

    with pytest.raises(RunFailedError, match="channel_not_found"):
        armed.sweep("idle-notebooks")
    assert (readers.received("mails"), readers.events) == ([], [("Finding", "churn")])
    armed.later(timedelta(hours=1))
    armed.sweep("idle-notebooks")
    (copy,) = readers.received("mails")
    assert len(armed.slack.messages()) == 1
    (command,) = [
        line.strip() for line in copy["Message"].splitlines() if line.startswith("    janitor keep")
    ]
    assert main(shlex.split(command)[1:]) == 0
    (hold,) = armed.table()["hold"]
    assert hold["key"].startswith(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/churn")
