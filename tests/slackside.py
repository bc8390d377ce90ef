"""An armed deployment with buttons: presses go the way they go in Lambda, function by function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW
from lambdas import Context, items
from ml_janitor import handlers
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET, SIGNING, UNDO, WORKER
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import CHANNEL, Signed, SlackControl

GROUP = "S0JANITORS"
OWNER, MEMBER, STRANGER = "U0MARIA", "U0DINA", "U0EVE"
EMAILS = {OWNER: "maria@acme.example", MEMBER: "dina@acme.example", STRANGER: "eve@acme.example"}
NAMES = {OWNER: "Maria Lopez", MEMBER: "Dina Okafor", STRANGER: "Eve"}
ZONE = "Europe/Berlin"

ARMED = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
slack_signing_secret = "{SIGNING}"
slack_group = "{GROUP}"
time_zone = "{ZONE}"

[detectors.idle-endpoints]
mode = "act"
act_in = ["{ACCOUNT}"]

[detectors.idle-notebooks]
mode = "act"
act_in = ["{ACCOUNT}"]
act_on = "likely"
"""

REQUESTS = iter(range(1_000_000))


@dataclass
class Deployment:
    """What a test does with it: sweeps, presses, and time that passes."""

    box: Control
    slack: SlackControl
    session: boto3.Session
    patch: pytest.MonkeyPatch
    folder: Path
    now: datetime = NOW + timedelta(seconds=30)
    delivered: int = 0
    lost: list[Mapping[str, Any]] = field(default_factory=list)

    def settings(self, text: str) -> None:
        """Another janitor.toml."""
        (self.folder / "janitor.toml").write_text(text)

    def later(self, span: timedelta) -> None:
        """Time passes, in the sandbox and for the functions."""
        self.now += span
        self.box.set_clock(self.now)
        self.patch.setenv("JANITOR_NOW", self.now.isoformat())

    def sweep(self, detector: str = "idle-endpoints", **event: Any) -> dict[str, Any]:
        """One run of a detector's function, as of now."""
        with self.environment(JANITOR_DETECTOR=detector):
            return handlers.sweep(event, self.context())

    def context(self) -> Context:
        return Context(aws_request_id=f"request-{next(REQUESTS)}")

    def press(self, word: str, user: str, *, ts: str = "", deliver: bool = True) -> dict[str, Any]:
        """*user* presses a button of the newest message that has it; then Lambda does its part."""
        return self.send(self.signed(word, user, ts=ts), deliver=deliver)

    def signed(self, word: str, user: str, *, ts: str = "", **how: Any) -> Signed:
        ts = ts or next(one["ts"] for one in reversed(self.slack.messages()) if word in buttons(one))
        return self.slack.press(ts, f"janitor:{word}", user=user, **how)

    def send(self, signed: Signed, *, deliver: bool = True, **how: Any) -> dict[str, Any]:
        """A request arrives at the function URL."""
        event = url_event(signed.headers, signed.body, at=self.now, **how)
        answer = handlers.interact(event, self.context())
        if deliver:
            self.deliver()
        return answer

    def deliver(self) -> list[Any]:
        """Lambda runs what was handed over, until nothing is left."""
        answers = []
        while len(made := self.box.invocations()) > self.delivered:
            one = made[self.delivered]
            self.delivered += 1
            answers.append(self.run(one["function"], one["event"]))
        return answers

    def run(self, function: str, event: dict[str, Any]) -> Any:
        """One asynchronous invocation."""
        if function == WORKER:
            return handlers.pressed(event, self.context())
        if function == UNDO:
            return handlers.undo(event, self.context())
        return self.sweep(function.removeprefix("ml-janitor-"), **event)

    @contextmanager
    def environment(self, **variables: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield

    @property
    def notebook_status(self) -> str:
        """That of the notebook "churn"."""
        found = self.session.client("sagemaker").describe_notebook_instance(NotebookInstanceName="churn")
        return str(found["NotebookInstanceStatus"])

    def table(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that is remembered."""
        return items(self.session)

    def warnings(self) -> list[dict[str, Any]]:
        """The messages that are about one finding each."""
        return [one for one in self.slack.messages() if len(one["blocks"]) in {2, 3} and is_warning(one)]


def is_warning(message: Mapping[str, Any]) -> bool:
    return all(block["type"] in {"section", "actions"} for block in message["blocks"])


def buttons(message: Mapping[str, Any]) -> list[str]:
    """The buttons that it shows, by their words."""
    return [
        element["action_id"].removeprefix("janitor:")
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def said(message: Mapping[str, Any]) -> str:
    """What it says of where the finding stands."""
    return str(message["blocks"][1]["text"]["text"])


def unused(deployment: Deployment, name: str) -> None:
    """Its metrics say that nobody used it in the last nine days."""
    deployment.box.metrics(
        "AWS/SageMaker",
        [
            {
                "metric": "Invocations",
                "dimensions": {"EndpointName": name, "VariantName": "blue"},
                "start": deployment.now - timedelta(days=9),
                "step": 3600,
                "values": [0.0] * 216,
            }
        ],
    )
