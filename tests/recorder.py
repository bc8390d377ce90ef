"""Records what each role of a deployment is asked for, and what each of its statements is needed for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from condemned import BUCKET, ROLE, SCRATCH, Condemned
from conftest import ACCOUNT, REGION
from declared import Declared, Permission, listed, statements, used, without
from deployed import Deployed
from hosted import Host, Ran
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import FILE, Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import ACTION, Actions
from ml_janitor.ledger.table import partition
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET, SIGNING
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from slackside import EMAILS, GROUP, MEMBER, NAMES
from synthesis import synthesise

IN_LAMBDAS_HANDS = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}
"""What Lambda does, not the function, which never learns that its log or its failure was not kept."""

ADVISERS = {one.name for one in DETECTORS if one.cleanup is None}

IN_EVERY_RUN = "idle-notebooks"
"""Of this function each statement is removed in every run of the tests, of the others by `make mutants`."""

REFUSAL = re.compile(r"not authorized to perform|AccessDenied|Head(Object|Bucket): 403", re.IGNORECASE)

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
MINUTE = timedelta(minutes=1)

type Call = tuple[str, str, str | None]
"""Service, operation, and what stands in the request, if only some are meant."""


type AskedAbout = Callable[[str, Mapping[str, Any]], bool]
"""Whether a statement of the role of the function of that name is meant."""


def mutants(names: Iterable[str]) -> list[Any]:
    """The parameters of a test that removes each statement of a role in turn, which takes long."""
    return [pytest.param(one, marks=() if one == IN_EVERY_RUN else pytest.mark.mutants) for one in names]


def nothing(_: Host) -> None:
    """What has to be arranged, mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    The function of a name is invoked with an *event*, once things were *arranged*.

    *event* is asked for anew each time, so that no two invocations are one event come twice.
    """

    function: str
    event: Callable[[Host], dict[str, Any]]
    arranged: Callable[[Host], None] = nothing

    def run(self, host: Host) -> Ran:
        """One invocation, after which no action has failed so often that a person would have to look."""
        ran = host.invoke(host.function(self.function), self.event(host))
        for detector in host.declared.settings.armed():
            where = partition(ACTION, detector.name, ACCOUNT, REGION)
            for action in actions(host, detector.name):
                if action.failures:
                    host.table.change(where, action.sk, set_to={"waits": action.attempts})
        return ran


class Missed(NamedTuple):
    """What became of a step of *function* whose role lacked a *statement*."""

    function: str
    statement: dict[str, Any]
    ran: Ran


type Recording = list[tuple[Step, Ran]]


def record(host: Host, steps: Iterable[Step]) -> Recording:
    """All of it, under the roles of the stack."""
    host.enforce()
    recording = []
    for step in steps:
        step.arranged(host)
        recording.append((step, step.run(host)))
    return recording


def runs_of(recording: Recording, name: str) -> list[Ran]:
    """The invocations of one function."""
    return [ran for step, ran in recording if step.function == name]


def exactly(host: Host, name: str, recording: Recording) -> set[Permission]:
    """The permissions that a function used, where each use was by one and no other."""
    role = host.deployed.roles()[host.function(name).role]
    by = {use: used(role, use) for ran in runs_of(recording, name) for use in ran.uses}
    assert {use: found for use, found in by.items() if len(found) != 1} == {}
    return {found for each in by.values() for found in each}


def allows(host: Host, name: str) -> list[dict[str, Any]]:
    """What a role allows."""
    role = host.deployed.roles()[host.function(name).role]
    return [one for one in statements(role) if one["Effect"] == "Allow"]


def missed(host: Host, recording: Recording, asked_about: AskedAbout) -> Iterator[Missed]:
    """
    The same again, where the roles lack those statements that are *asked about*, one after the other.

    Each is taken away for the step in which it was first used, those of one step in the order of their
    first use: so everything before it has been done, and what needs it has not. A run may survive such a
    lack, and leave nothing to do for the next: that one is taken away for the next step that used it. What
    comes after the last of them is left out.
    """
    roles, used_at = host.deployed.roles(), steps_of(host, recording, asked_about)
    for at, (step, _) in enumerate(recording):
        if not used_at:
            break
        role = host.function(step.function).role
        host.enforce(roles)
        step.arranged(host)
        for (function, number), steps in list(used_at.items()):
            if function != step.function or at not in steps:
                continue
            statement = statements(roles[role])[number]
            host.enforce(roles | {role: without(roles[role], statement)})
            ran = step.run(host)
            if ran.denied or at == steps[-1]:
                del used_at[function, number]
                yield Missed(step.function, statement, ran)
        if used_at:
            host.enforce(roles)
            step.run(host)


def steps_of(host: Host, recording: Recording, asked_about: AskedAbout) -> dict[tuple[str, int], list[int]]:
    """The steps in which each statement was used, by function and number, in the order of first use."""
    roles = host.deployed.roles()
    numbered = {step.function: statements(roles[host.function(step.function).role]) for step, _ in recording}
    found: dict[tuple[str, int], list[int]] = {}
    for at, (step, ran) in enumerate(recording):
        for number in (number for use in ran.uses for number in use.by):
            if asked_about(step.function, numbered[step.function][number]):
                steps = found.setdefault((step.function, number), [])
                steps += [] if at in steps else [at]
    return found


def check(host: Host, tried: Iterable[Missed], asked_about: AskedAbout, of: Iterable[str]) -> None:
    """Each statement of those functions that is *asked about* was tried, denied, and that was told."""
    seen = []
    for name, statement, ran in tried:
        wanted = set(listed(statement["Action"]))
        assert ran.denied, f"nothing needs {statement}"
        assert {action for action, _ in ran.denied} <= wanted
        assert told(host, ran) or wanted <= IN_LAMBDAS_HANDS, f"nobody hears of {ran.denied}: {ran}"
        seen.append((name, statement))
    asked = [(name, one) for name in of for one in allows(host, name) if asked_about(name, one)]
    assert asked
    assert [one for one in asked if one not in seen] == []


def told(host: Host, ran: Ran) -> bool:
    """
    Whether the refusal itself is in the error or the log of a run, or in its report.

    The log of a run with a report names nothing: it counts what failed or could not be judged. The page
    names the call where something was armed; for what is unknown, only the JSON always does. What only
    advises may leave open a part of a finding, such as a size, and say so in its evidence. The tags of what
    is kept for another reason change nothing, and nobody has to hear of them.
    """
    if REFUSAL.search(f"{ran.error!r}{ran.log}"):
        return True
    swept = [line for line in map(json.loads, ran.log.splitlines()) if line["message"] == "swept"]
    advised = sum(line["found"] for line in swept if line["detector"] in ADVISERS)
    if {action for action, _ in ran.denied} == {"sagemaker:ListTags"}:
        return any(line["looked_at"] for line in swept) and not any(
            line["found"] + line["unknown"] for line in swept
        )
    counted = advised + sum(line["actionsfailed"] + line["unknown"] for line in swept)
    kinds = ("json", "html") if host.declared.settings.armed() else ("json",)
    return counted > 0 and all(REFUSAL.search(host.report(ran, kind)) for kind in kinds)


class Theatre:
    """One deployment that is armed, set up in an account of its own as often as a test wants it."""

    toml, kind = ARMED, Host

    def __init__(self, folder: Path) -> None:
        (folder / FILE).write_text(self.toml)
        self.files = folder
        self.armed = declared(folder / "armed", self.toml)

    @cached_property
    def dry(self) -> Declared:
        """The same, where nothing is armed."""
        return declared(self.files / "dry", TOML)

    def reading(self, name: str) -> set[Permission]:
        """What the function of *name* needs in a dry run."""
        (function,) = (one for one in self.dry.deployed.functions() if one.name == name)
        return self.dry.of_function(function)

    def host(self, box: Control, session: boto3.Session, aws: Aws, *waste: str) -> Host:
        """The deployment in an account with *waste*, and people in its Slack."""
        box.reset()
        box.set_durations({"*": 0})
        host = self.kind(self.armed, box.url, self.files)
        host.deployed.create(session, **{SECRET: TOKEN, SIGNING: SIGNING_SECRET})
        slack = SlackControl(box.url)
        for user, email in EMAILS.items():
            slack.add_user(user, email, name=NAMES[user])
        slack.add_usergroup(GROUP, "ml-janitors", MEMBER)
        host.add = Condemned(box, session, aws).add
        for one in waste:
            host.add(one)
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


def handed(construct: str) -> Callable[[Host], dict[str, Any]]:
    """The event that the function of *construct* was handed last."""

    def last(host: Host) -> dict[str, Any]:
        made = Control(host.url).invocations()
        (event, *_) = [one["event"] for one in reversed(made) if f"-{construct}Function" in one["function"]]
        return dict(event)

    return last


def broken(host: Host, calls: Iterable[Call]) -> None:
    """AWS fails these *calls* from now on, and no others. Whether it did them stays open."""
    box = Control(host.url)
    box.clear_faults()
    for service, operation, match in calls:
        box.fault(service, operation, "error", times=0, match=match, status=408, code="Unavailable")


def actions(host: Host, name: str) -> list[Action]:
    return Actions(host.table).all(name, ACCOUNT, REGION)
