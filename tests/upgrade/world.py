"""A recorded deployment, loaded into the sandbox: its account, its ledger, its Slack, and its functions."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor import deployment, handlers
from ml_janitor.aws.calls import make_client
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, KEYS, TABLE, UNDO, WORKER
from ml_janitor_sandbox.slack.workspace import Message, workspace
from moto_corrections.patches import backend
from standin import GROUP, MEMBER, Deployment, handed_press, undo_event

HERE = Path(__file__).parent
VERSION = "0.1.0"
"""The version whose deployment was recorded."""

DETECTORS = (
    "idle-endpoints",
    "idle-notebooks",
    "idle-studio-apps",
    "hung-training-jobs",
    "untagged-resources",
    "duplicate-artifacts",
)
RECORDED = datetime(2026, 10, 6, 4, 31, tzinfo=UTC)
"""When the ledger was dumped, on the sandbox's clock."""


def signing_keys() -> dict[str, Any]:
    """The sandbox's signing keys, by the variable that names them: each verifies what it signed."""
    store = backend("kms", ACCOUNT, REGION)
    return {key.value: store.keys[store.any_id_to_key_id(alias)] for key, alias in KEYS.items()}


def lines(name: str) -> list[Any]:
    """The recorded file *name*, which holds one JSON value a line."""
    return [json.loads(line) for line in (HERE / f"{name}-{VERSION}.json").read_text().splitlines()]


ARMED = ["janitor.time_zone=UTC", f'janitor.ledger_writers=["arn:aws:iam::{ACCOUNT}:role/platform"]']
ORGANIZATION = [
    *("bill.enabled=true", "bill.max_requests=16", "organization.id=o-a1b2c3d4e5"),
    *("organization.all_accounts=true", "organization.external_id=ml-janitor-7f3a"),
    *(f'organization.callers=["arn:aws:iam::{ACCOUNT}:role/platform"]', 'organization.regions=["us-east-1"]'),
]


def settings_of(stack: str) -> Settings:
    """Today's settings for a recorded *stack*: all armed, and with the bill and an organization if it had."""
    more = {"d555950": [], "f11e1957": ORGANIZATION}[stack]
    return Settings.load(files=[HERE / f"settings-{VERSION}.toml"], overrides=[*ARMED, *more])


class World(Deployment):
    """A deployment with the recorded settings, whose functions wait on the sandbox's clock."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch, folder: Path, now: datetime) -> None:
        own = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "AKIASANDBOX", "SECRET_ACCESS_KEY": "sandbox"}
        for name, value in {**own, "DEFAULT_REGION": REGION}.items():
            patch.setenv(f"AWS_{name}", value)
        box = Control(url)
        box.reset()
        box.set_durations({"*": 0})
        super().__init__(box, patch, folder, self.recorded(), now)
        self.clients: dict[str, Any] = {}
        patch.setattr(deployment, "AWS_WAIT_SECONDS", 0)  # no test waits, not even a person's command for AWS
        slack_time = SenderClock(clock=lambda: self.now.timestamp(), sleep=self.sleep)  # noqa: PLW0108 - now moves
        patch.setattr(handlers, "slack_time", lambda: slack_time)
        self.slack.add_user(MEMBER, "dina@example.com", name="Dina Okafor")
        self.slack.add_usergroup(GROUP, "ml-janitors", MEMBER)

    def recorded(self) -> str:
        """The recorded settings."""
        return (HERE / f"settings-{VERSION}.toml").read_text()

    def load(self) -> None:
        """Make the recorded account, and put the recorded messages and items where they were."""
        for service, operation, body in lines("account"):
            if service == "sandbox":
                method, path = operation.split()
                self.box._ask(method, path, body)
            else:
                getattr(self.client(service), operation)(**body)
        workspace().messages.extend(Message(**one) for one in lines("slack"))
        if (HERE / f"keys-{VERSION}.json").exists():  # 0.1.0 signed nothing
            for name, material in lines("keys"):
                signing_keys()[name].key_material = bytes.fromhex(material)
        for item in lines("ledger"):
            self.client("dynamodb").put_item(TableName=TABLE, Item=item)
        self.at(RECORDED)

    def at(self, moment: datetime) -> None:
        super().at(moment)
        self.box.set_clock(moment)

    def sleep(self, seconds: float) -> None:
        self.later(timedelta(seconds=seconds))

    # --- functions ----------------------------------------------------------------------------

    def sweep(self, detector: str = "", **event: Any) -> dict[str, Any]:
        """The function of *detector*, as of now; what its report says of each resource, by name."""
        event = event or {"time": f"{self.now:%Y-%m-%dT%H:%M:%SZ}"}
        _, _, path = self.answer(detector, event)["report"].removeprefix("s3://").partition("/")
        path = f"{path.rpartition('.')[0]}.json"
        text = self.session.client("s3").get_object(Bucket=BUCKET, Key=path)["Body"].read()
        return {one["name"]: one for one in json.loads(text)["results"]}

    def answer(self, detector: str, event: dict[str, Any]) -> dict[str, Any]:
        """What the function of *detector* answers to *event*."""
        return super().sweep(detector, **event)

    def undo(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """The undo function, asked to take *action* back."""
        table = Table(self.session.client("dynamodb"), TABLE)
        made = Actions(table).all(action["detector"], action["account"], action["region"])
        (found,) = (one for one in made if one.sk == action["sk"])
        return self.run(UNDO, undo_event(found, self.session.client("kms"), os.environ, at=self.now))

    def answer_press(self, word: str, name: str) -> dict[str, Any]:
        """A member presses the button *word* on the newest message about *name*; its function's answer."""
        ts, value = next(
            (one["ts"], element["value"])
            for one in reversed(self.slack.messages())
            if one["text"].startswith(f"{name}: ")
            for block in one["blocks"]
            for element in block.get("elements", ())
            if element.get("action_id") == f"janitor:{word}"
        )
        return self.run(
            WORKER, handed_press(self.slack.press(ts, f"janitor:{word}", user=MEMBER, value=value))
        )

    def digest(self) -> None:
        """The digest's function, as of now."""
        handlers.digest({"time": f"{self.now:%Y-%m-%dT%H:%M:%SZ}"}, self.context())

    def client(self, service: Any) -> Any:
        """A client that may do everything."""
        if service not in self.clients:
            self.clients[service] = make_client(self.session, service, REGION, 2)
        return self.clients[service]

    # --- what is there ------------------------------------------------------------------------

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The items of the table whose key begins with *kind*, as plain values."""
        return self.table().get(kind, [])

    def action(self, name: str) -> dict[str, Any]:
        """The one action on the resource *name*."""
        (found,) = (one for one in self.items("action") if one["name"] == name)
        return found

    def stages(self) -> dict[str, str]:
        """How far each action came, by the name of its resource."""
        return {one["name"]: one["stage"] for one in self.items("action")}

    def sums(self) -> list[str]:
        """The dollars that the newest message speaks of, and the message whose thread it is in."""
        *_, newest = messages = self.slack.messages()
        parts = [part for part in messages if part["ts"] == newest.get("thread_ts")] + [newest]
        return re.findall(r"\$[\d,.]*\d", json.dumps([part["blocks"] for part in parts]))
