"""A deployment that is armed, in an account of its own, and what each role of it was asked for and told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from condemned import BUCKET, Condemned
from conftest import ACCOUNT, REGION
from declared import Declared, Permission, listed, statements, used
from deployed import Deployed
from hosted import Host, Ran
from integration.test_permissions import IN_LAMBDAS_HANDS, REFUSAL
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import FILE, Settings
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import Actions
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET, SIGNING
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from slackside import EMAILS, GROUP, MEMBER, NAMES
from synthesis import synthesise

ARMS = {
    "idle-notebooks": "",
    "idle-studio-apps": "",
    "idle-endpoints": "",
    "hung-training-jobs": "",
    "untagged-resources": 'required = ["team", "owner"]\nfill_tags = {team = "ml", owner = "nobody"}',
    "duplicate-artifacts": f'act_on_prefixes = ["s3://{BUCKET}/"]\nbuckets = ["{BUCKET}"]\n'
    "allow_unversioned = true",
}
"""What is armed, and with which tunables."""

type Call = tuple[str, str, str | None]
"""Service, operation, and what stands in the request, if only some are meant."""

TAGS = (("s3", "TagResource"), ("ecr", "TagResource"), ("sagemaker", "AddTags"))
"""The calls that tag."""

TOML = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
slack_signing_secret = "{SIGNING}"
slack_group = "{GROUP}"
max_actions_per_night = 1000
"""
ARMED = TOML + "".join(
    f"""
[detectors.{name}]
mode = "act"
act_in = ["{ACCOUNT}/{REGION}"]
act_on = "likely"
grace = "10m"
business_days = false
max_actions = 100
max_share = 100
{tunables}
"""
    for name, tunables in ARMS.items()
)
MINUTE = timedelta(minutes=1)


class Theatre:
    """One deployment that is armed, set up in an account of its own as often as a test wants it."""

    def __init__(self, folder: Path) -> None:
        (folder / FILE).write_text(ARMED)
        self.files = folder
        self.armed = declared(folder / "armed", ARMED)
        self.played: dict[str, list[Ran]] = {}

    @cached_property
    def dry(self) -> Declared:
        """The same, where nothing is armed."""
        return declared(self.files / "dry", TOML)

    def reading(self, name: str) -> set[Permission]:
        """What the function of *name* needs in a dry run."""
        (function,) = (one for one in self.dry.deployed.functions() if one.name == name)
        return self.dry.of_function(function)

    def host(
        self, box: Control, session: boto3.Session, aws: Aws, *detectors: str, few: bool = False
    ) -> Host:
        """The deployment in an account with what *detectors* find, and people in its Slack."""
        box.reset()
        box.set_durations({"*": 0})
        host = Host(self.armed, box.url, self.files)
        host.deployed.create(session, **{SECRET: TOKEN, SIGNING: SIGNING_SECRET})
        slack = SlackControl(box.url)
        slack.add_user(MEMBER, EMAILS[MEMBER], name=NAMES[MEMBER])
        slack.add_usergroup(GROUP, "ml-janitors", MEMBER)
        condemned = Condemned(box, session, aws, few=few)
        for detector in detectors:
            condemned.add(detector)
        return host


def declared(out: Path, toml: str) -> Declared:
    """The stack for these settings."""
    out.mkdir()
    (out / FILE).write_text(toml)
    settings = Settings.load(files=[out / FILE])
    return Declared(Deployed(synthesise(out / "cdk.out", settings), ACCOUNT, REGION), settings)


def now(host: Host) -> dict[str, Any]:
    """The event of a schedule, a minute later than the last."""
    host.later(MINUTE)
    return {"time": f"{host.now:%Y-%m-%dT%H:%M:%SZ}"}


def broken(host: Host, calls: Iterable[Call]) -> None:
    """AWS fails these *calls* from now on, and no others. Whether it did them stays open."""
    box = Control(host.url)
    box.clear_faults()
    for service, operation, match in calls:
        box.fault(service, operation, "error", times=0, match=match, status=408, code="Unavailable")


def actions(host: Host, name: str) -> list[Action]:
    return Actions(host.table).all(name, ACCOUNT, REGION)


def exactly(host: Host, name: str, played: Iterable[Ran]) -> set[Permission]:
    """The permissions that were used, where each use was by one and no other."""
    role = host.deployed.roles()[host.function(name).role]
    by = {use: used(role, use) for ran in played for use in ran.uses}
    assert {use: found for use, found in by.items() if len(found) != 1} == {}
    return {found for each in by.values() for found in each}


def allows(host: Host, name: str) -> list[dict[str, Any]]:
    """What a role allows."""
    role = host.deployed.roles()[host.function(name).role]
    return [one for one in statements(role) if one["Effect"] == "Allow"]


def check(
    host: Host, tried: Iterable[tuple[dict[str, Any], Ran]], *, of: Sequence[Mapping[str, Any]]
) -> None:
    """Each of the statements *of* a role was tried, denied something that it is for, and that was told."""
    seen = []
    for statement, ran in tried:
        wanted = set(listed(statement["Action"]))
        assert ran.denied, f"nothing needs {statement}"
        assert {action for action, _ in ran.denied} <= wanted
        assert told(host, ran) or wanted <= IN_LAMBDAS_HANDS, f"nobody hears of {ran.denied}: {ran}"
        seen.append(statement)
    assert [one for one in of if one not in seen] == []


def told(host: Host, ran: Ran) -> bool:
    """
    Whether the refusal itself is in the error or the log of a run, or in both forms of its report.

    The log of a run with a report names nothing: it counts what failed or could not be judged.
    """
    if not host.report(ran):
        return bool(REFUSAL.search(f"{ran.error!r}{ran.log}"))
    swept = [line for line in map(json.loads, ran.log.splitlines()) if line["message"] == "swept"]
    counted = sum(line["actionsfailed"] + line["unknown"] for line in swept)
    return counted > 0 and all(REFUSAL.search(host.report(ran, kind)) for kind in ("json", "html"))
