"""Armed sweeps under the template's roles: nothing missing for acting, nothing idle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest

from condemned import BUCKET, Condemned
from conftest import ACCOUNT, REGION
from declared import Declared, Permission, granted_by, listed, statements, used
from deployed import Deployed
from hosted import Host, Ran
from integration.test_permissions import IN_LAMBDAS_HANDS, REFUSAL
from janitor.action import Action, Stage
from janitor.actions import Actions
from janitor.aws import Aws
from janitor.holds import Hold, Holds, How
from janitor.settings import FILE, Settings
from sandbox.control import Control
from sandbox.deployment import SECRET, SIGNING
from sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from scripts import Step, missed, nothing, play
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
BREAKS: Mapping[str, Sequence[Call]] = {
    "idle-notebooks": [("sagemaker", "StopNotebookInstance", None)],
    "idle-studio-apps": [("sagemaker", "DeleteApp", None)],
    "idle-endpoints": [("sagemaker", "DeleteEndpoint", None)],
    "hung-training-jobs": [
        ("sagemaker", f"Stop{noun}Job", None)
        for noun in ("HyperParameterTuning", "Processing", "Transform", "Training")
    ],
    "untagged-resources": [(*call, key) for key in ("team", "owner") for call in TAGS],
    "duplicate-artifacts": [("s3", "DeleteObject", None)],
}
"""The calls at which acts break off, until they come to work: one after the other, each for its own act."""

MANY = "untagged-resources"
"""With one of each kind there is too much for a night in which one call after the other works again."""

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
every_armed = pytest.mark.parametrize("name", [*BREAKS])
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


type Staged = Callable[..., Host]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(tmp_path_factory.mktemp("task"))


@pytest.fixture
def staged(theatre: Theatre, box: Control, session: boto3.Session, aws: Aws) -> Staged:
    return lambda *detectors, **how: theatre.host(box, session, aws, *detectors, **how)


def declared(out: Path, toml: str) -> Declared:
    """The stack for these settings."""
    out.mkdir()
    (out / FILE).write_text(toml)
    settings = Settings.load(files=[out / FILE])
    return Declared(Deployed(synthesise(out / "cdk.out", settings), ACCOUNT, REGION), settings)


# --- sweeps ----------------------------------------------------------------------------------------


def now(host: Host) -> dict[str, Any]:
    """The event of a schedule, a minute later than the last."""
    host.later(MINUTE)
    return {"time": f"{host.now:%Y-%m-%dT%H:%M:%SZ}"}


def night(name: str, *, at_once: bool = False) -> list[Step]:
    """A warning, acts that break off, one that somebody does not want any more; and then they work again."""
    calls = BREAKS[name]

    def broken_off(host: Host) -> None:
        host.later(75 * MINUTE)
        broken(host, calls)

    def working(number: int) -> Callable[[Host], None]:
        return lambda host: broken(host, calls[number:])

    mended = [working(number) for number in (range(1, len(calls) + 1) if not at_once else [len(calls)])]
    arranged: list[Callable[[Host], None]] = [nothing, broken_off, lambda host: spare(host, name), *mended]
    return [Step(function=name, event=now, arranged=each) for each in arranged]


def broken(host: Host, calls: Iterable[Call]) -> None:
    """AWS refuses these *calls* from now on, and no others."""
    box = Control(host.url)
    box.clear_faults()
    for service, operation, match in calls:
        box.fault(service, operation, "error", times=0, match=match, status=400, code="ValidationException")


def spare(host: Host, name: str) -> None:
    """Somebody keeps what is called spared, which is half done by now."""
    (half,) = (one for one in actions(host, name) if "spared" in one.target.name)
    hold = Hold(key=half.target.key, how=How.KEPT, by="maria", said=host.now)
    Holds(host.table).put(ACCOUNT, REGION, hold)


def actions(host: Host, name: str) -> list[Action]:
    return Actions(host.table).all(name, ACCOUNT, REGION)


@every_armed
def test_an_armed_sweep_asks_for_all_that_acting_is_declared_to_need(
    theatre: Theatre, staged: Staged, name: str
) -> None:
    """What reading needs as well is tried in a dry run over more than is here."""
    host = staged(name)

    played = play(host, night(name, at_once=name == MANY))

    if name != MANY:
        theatre.played[name] = played

    assert [ran.denied for ran in played] == [frozenset()] * len(played), [ran.log for ran in played]
    assert played[-1].error is None
    done = actions(host, name)
    assert {one.stage for one in done if "spared" not in one.target.name} == {Stage.ACTED}
    assert {one.stage for one in done if "spared" in one.target.name} == {Stage.FAILED}
    uses, needs = exactly(host, name, played), host.declared.of_function(host.function(name))
    assert uses <= needs
    assert needs - uses <= theatre.reading(name)


@every_armed
def test_each_statement_for_acting_is_missed_and_the_refusal_is_told(
    theatre: Theatre, staged: Staged, name: str
) -> None:
    played = play(staged(name, few=True), night(name, at_once=False))
    host = staged(name, few=True)
    reading = theatre.reading(name)

    tried = missed(host, night(name, at_once=False), played, name, lambda one: not granted_by(one) <= reading)

    check(host, tried, of=[one for one in allows(host, name) if not granted_by(one) <= reading])


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
