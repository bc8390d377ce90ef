"""Deployments to play in, each set up in an account of its own as often as a test wants it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import boto3

import one_of_each
from conftest import ACCOUNT, NOW, REGION, once, seed_demo
from declared import Declared
from deployed import Deployed
from hosted import Host
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET, SIGNING
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from one_of_each import BUCKET, SCRATCH, DueResources
from organization import Organization, OrganizationHost
from properties.worlds import build_rare
from recorder import Missed
from sagemaker_requests import ROLE
from standin import EMAILS, GROUP, MEMBER, NAMES, WITH_SLACK
from synthesis import synthesise

ABROAD = "eu-west-1"
ADVISERS = {one.name for one in DETECTORS if one.cleanup is None}
MINUTE = timedelta(minutes=1)
REFUSAL = re.compile(r"not authorized to perform|AccessDenied|Head(Object|Bucket): 403", re.IGNORECASE)

WITH_BILL = f"""{WITH_SLACK}
digest_schedule = "cron(0 20 * * ? *)"
[bill]
enabled = true
weekly_table = "Tue"
"""
"""With a bill that is posted by itself, for no digest is due, on the day on which the tags are checked."""

ARMS = {
    "idle-notebooks": "",
    "idle-studio-apps": "",
    "idle-endpoints": "",
    "hung-training-jobs": "",
    "untagged-resources": 'required = ["team", "owner"]\nfill_tags = {team = "ml", owner = "nobody"}',
    "duplicate-artifacts": f'act_on_prefixes = ["s3://{BUCKET}/"]\nbuckets = ["{BUCKET}"]\n'
    "allow_unversioned = true",
    "forgotten-leftovers": "",
    "storage-tiering": f'act_on_buckets = ["{SCRATCH}", "second-scratch"]',
}
"""What is armed, and with which tunables."""

TOML = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
slack_signing_secret = "{SIGNING}"
slack_group = "{GROUP}"
max_actions_per_night = 1000
time_zone = "UTC"
working_hours = "Mon-Sun 00-24"
undo_roles = ["{ROLE}"]
"""
ARMED = TOML + "".join(
    f"""
[detectors.{name}]
mode = "act"
act_in = ["{ACCOUNT}/{REGION}"]
act_on = "likely"
grace = "10m"
grace_likely = "10m"
business_days = false
max_actions = 100
max_share = 100
{tunables}
"""
    for name, tunables in ARMS.items()
)

IN_ORGANIZATION = f"""{ARMED}
[organization]
accounts = ["{ACCOUNT}"]
janitor_account = "{ACCOUNT}"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
external_id = "ml-janitor-7f3a"
regions = ["{REGION}"]
"""

type Call = tuple[str, str, str | None]
"""Service, operation, and what stands in the request, if only some are meant."""


class Theatre:
    """One deployment, armed where its settings say so."""

    def __init__(self, folder: Path, toml: str = ARMED, kind: type[Host] = Host) -> None:
        (folder / SETTINGS_FILE).write_text(toml)
        self.files, self.toml, self.kind = folder, toml, kind
        self.declared = declared(folder / "stack", toml)

    @cached_property
    def dry(self) -> Declared:
        """The same, where nothing is armed."""
        return declared(self.files / "dry", TOML)

    def host(self, box: Control, session: boto3.Session, aws: Aws, *waste: str) -> Host:
        """The deployment in an account with *waste*, and people in its Slack."""
        box.reset()
        box.set_durations({"*": 0})
        host = self._deployed(box, session)
        host.unarmed = lambda: self.dry
        slack = SlackControl(box.url)
        for user, email in EMAILS.items():
            slack.add_user(user, email, name=NAMES[user])
        slack.add_usergroup(GROUP, "ml-janitors", MEMBER)
        host.add = DueResources(box, session, aws).add
        for one in waste:
            host.add(one)
        return host

    def _deployed(self, box: Control, session: boto3.Session) -> Host:
        """What the stack owns, in an account that a worker makes once."""
        host = self.kind(self.declared, box.url, self.files)

        def make() -> None:
            self._account(box, session)
            host.deployed.create(session, **{SECRET: TOKEN, SIGNING: SIGNING_SECRET})

        once(box, self.toml, make)
        return host

    def _account(self, box: Control, session: boto3.Session) -> None:
        """What is there besides."""


class OfOrganization(Theatre):
    """The same for an organization of which the janitor's own account is a member, looked at as all are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, IN_ORGANIZATION, OrganizationHost)

    def host(self, box: Control, session: boto3.Session, aws: Aws, *waste: str) -> Host:
        """... and the roles of its account."""
        host = super().host(box, session, aws, *waste)
        accounts = Organization(url=box.url, id="", members=(ACCOUNT,), units={})
        host.members = accounts.granted(host.declared.settings, ACCOUNT)
        return host


class Unarmed(Theatre):
    """The default deployment with Slack and a bill, in the demo account with rare resources."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, WITH_BILL)

    def host(self, box: Control, session: boto3.Session, _: Aws, *__: str) -> Host:
        """... which nothing that is played in it changes."""
        return self._deployed(box, session)

    def _account(self, box: Control, session: boto3.Session) -> None:
        everything(box, session)


def everything(box: Control, session: boto3.Session) -> None:
    """The demo account and rare resources, with one model abroad."""
    once(box, "everything", partial(_everything, box, session))


def _everything(box: Control, session: boto3.Session) -> None:
    seed_demo(box)
    one_of_each.rare_resources(session)
    one_of_each.children(session, box)
    one_of_each.warm_pools(session, box)
    one_of_each.monitoring(session, box, "churn-xgb-blue")
    one_of_each.traffic(box)
    one_of_each.repeats(session, box)
    one_of_each.savings_plan(box)
    one_of_each.scaling(session, box, "churn-xgb-blue", "AllTraffic")
    build_rare(session, box, NOW)
    abroad: Any = boto3.Session("AKIASANDBOX", "sandbox", region_name=ABROAD).client("sagemaker")
    abroad.create_model(ModelName="abroad", ExecutionRoleArn=ROLE)


def declared(out: Path, toml: str) -> Declared:
    """The stack for these settings."""
    out.mkdir()
    (out / SETTINGS_FILE).write_text(toml)
    settings = Settings.load(files=[out / SETTINGS_FILE])
    return Declared(Deployed(synthesise(out / "cdk.out", settings), ACCOUNT, REGION), settings)


def told(host: Host, one: Missed) -> bool:
    """
    Whether the refusal itself is in the error or the log of a run, or in its report.

    The log of a run with a report names nothing: it counts what failed or could not be judged. The page
    names the call where something was armed; for what is unknown, only the JSON always does. What only
    advises may leave open a part of a finding, such as a size, and say so in its evidence. The tags of what
    is kept for another reason change nothing, and nobody has to hear of them.
    """
    ran = one.ran
    if REFUSAL.search(f"{ran.error!r}{ran.log}"):
        return True
    swept = [line for line in map(json.loads, ran.log.splitlines()) if line["message"] == "swept"]
    advised = sum(line["found"] for line in swept if line["detector"] in ADVISERS)
    only_tags = {action for action, _ in ran.denied} == {"sagemaker:ListTags"}
    if only_tags and not any(line["found"] + line["unknown"] for line in swept):
        return any(line["looked_at"] for line in swept)
    counted = advised + sum(line["actionsfailed"] + line["unknown"] for line in swept)
    kinds = ("json", "html") if host.declared.settings.armed() else ("json",)
    return counted > 0 and all(REFUSAL.search(host.report(ran, kind)) for kind in kinds)


def now(host: Host) -> dict[str, Any]:
    """The event of a schedule, a minute later than the last."""
    host.later(MINUTE)
    return {"time": f"{host.now:%Y-%m-%dT%H:%M:%SZ}"}


def handed(construct: str) -> Callable[[Host], dict[str, Any]]:
    """The event that the function of *construct* was handed last."""

    def last(host: Host) -> dict[str, Any]:
        made = Control(host.url).invocations()
        (event, *_) = [one["event"] for one in reversed(made) if f"-{construct}Function" in one["function"]]
        return dict(event)

    return last


def broken(calls: Iterable[Call], host: Host) -> None:
    """AWS fails these *calls* from now on, and no others. Whether it did them stays open."""
    host.meanwhile = lambda: None
    box = Control(host.url)
    box.clear_faults()
    for service, operation, match in calls:
        box.fault(service, operation, "error", times=0, match=match, status=408, code="Unavailable")
