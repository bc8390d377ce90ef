"""What one invocation takes from its environment and its context, and where it may look."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, NOW
from memory_table import MemoryTable
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.config.events import SweepEvent
from ml_janitor.config.values import InvalidInputError
from ml_janitor.ledger.files import HashedFiles
from ml_janitor.ledger.latest import LastRun, LatestRuns, RunAccount
from ml_janitor.ledger.signatures import KmsMacs, SigningKey
from ml_janitor.scheduled import invocation
from ml_janitor.scheduled.invocation import EnteredPlace, Environment, Invocation, SweepPlace
from ml_janitor.slack.client import SLACK_API, SendError, SlackBot, Webhook
from standin import ORGANIZATION_TOML, OWN_VARIABLES, SLACK_TOML, own_invocation
from tables import cases

REGION, ABROAD, MEMBER = "eu-central-1", "eu-west-1", "210987654321"
VARIABLES = {**OWN_VARIABLES, "AWS_REGION": REGION}
own = partial(own_invocation, REGION)


def test_parameters_of_the_plain_template_win_over_the_file(tmp_path: Path) -> None:
    changed = own(tmp_path, SLACK_TOML, JANITOR_SETTINGS='{"janitor": {"slack_channel": "C9876543210"}}')

    section = changed.settings.janitor
    assert (section.slack_channel, section.slack_secret) == ("C9876543210", "ml-janitor/slack")


# --- the environment ------------------------------------------------------------------------------


def test_the_environment_is_read_whole(tmp_path: Path) -> None:
    assert Environment.read({**VARIABLES, "LAMBDA_TASK_ROOT": str(tmp_path)}) == Environment(
        table="ledger",
        bucket="reports",
        region=REGION,
        detector="idle-endpoints",
        slack_url="",
        root=tmp_path,
    )
    more = {
        "JANITOR_FUNCTIONS": '{"idle-endpoints": "f"}',
        "JANITOR_UNDO": "undo",
        "JANITOR_UNDO_KEY": "key",
        "JANITOR_SLACK_URL": "http://127.0.0.1/",
        "JANITOR_NOW": "",
    }
    found = Environment.read({**VARIABLES, **more})
    keys = {SigningKey.RECORDS: "key"}
    assert (found.functions, found.undo, found.signing_keys) == ({"idle-endpoints": "f"}, "undo", keys)
    assert (found.slack_url, found.still, found.root) == ("http://127.0.0.1/", True, Path())


@pytest.mark.parametrize("name", ["JANITOR_TABLE", "JANITOR_BUCKET", "AWS_REGION"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is not set in the environment"):
        Environment.read({key: one for key, one in VARIABLES.items() if key != name})


@pytest.mark.parametrize("text", ["{", "[]", '"f"'])
def test_functions_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="JANITOR_SETTINGS is not a JSON object"):
        Environment.read({**VARIABLES, "JANITOR_FUNCTIONS": text})


# --- the function ---------------------------------------------------------------------------------


def test_account_regions_and_detector_are_the_functions_own(tmp_path: Path) -> None:
    plain = own(tmp_path)
    assert (plain.home, plain.regions, plain.detector.name) == (ACCOUNT, (REGION,), "idle-endpoints")
    assert plain.keep_tag == "janitor:keep"
    set_ = own(tmp_path, f'[janitor]\nregions = ["us-east-1", "{ABROAD}"]\nkeep_tags = []\n')
    assert (set_.regions, set_.keep_tag) == (("us-east-1", ABROAD), "")
    off = own(tmp_path, "[detectors.idle-endpoints]\nenabled = false\n")
    with pytest.raises(InvalidInputError, match="no enabled detector is called idle-endpoints"):
        _ = off.detector


@cases("milliseconds, deadline", (900_000, 1895), (50_000, 1045), (20_000, 1018), (0, 1000))
def test_slack_leaves_the_run_time_to_end(tmp_path: Path, milliseconds: int, deadline: float) -> None:
    found = own(tmp_path, milliseconds=milliseconds)
    assert found.left == timedelta(milliseconds=milliseconds)
    assert found.slack_deadline == deadline


@cases("milliseconds, reserve", (900_000, timedelta(minutes=2)), (240_000, timedelta(minutes=1)))
def test_reading_stops_when_only_the_rest_of_the_run_has_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, milliseconds: int, reserve: timedelta
) -> None:
    given = dict[str, Any]()
    monkeypatch.setattr(invocation, "open_regions", lambda session, **how: given.update(how, session=session))
    found = own(tmp_path, milliseconds=milliseconds)
    inside = found.entered(SweepPlace(ACCOUNT, (REGION,)), "role")
    assert (inside.place, inside.off) == (SweepPlace(ACCOUNT, (REGION,)), SweepPlace(ACCOUNT, ()))

    found.opened(inside)

    assert (given["account"], given["regions"]) == (ACCOUNT, (REGION,))
    assert (given["prices_from"], given["scratch"], given["pace"] is None) == (None, None, False)
    context: Any = found.context
    context.milliseconds = int(reserve.total_seconds() * 1000)
    assert given["has_time"]() is False
    context.milliseconds += 1
    assert given["has_time"]() is True


def test_nothing_waits_in_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict[str, Any]()
    monkeypatch.setattr(invocation, "open_regions", lambda session, **how: given.update(how, session=session))
    found = own(tmp_path, JANITOR_NOW="2026-10-06T03:00:00Z", JANITOR_DETECTOR="duplicate-artifacts")
    here = found.entered(SweepPlace(ACCOUNT, (REGION,)), "role")
    found.opened(EnteredPlace(replace_session(here), here.place, here.off))

    assert given["pace"] is None
    assert given["prices_from"] is here.session
    assert isinstance(given["scratch"], HashedFiles)
    assert isinstance(given["kept"], KeptDescriptions)


def replace_session(inside: EnteredPlace) -> Any:
    """Another session than that of *inside*."""
    return type(inside.session)(region_name=REGION)


def test_actions_are_signed_where_the_function_has_the_key(tmp_path: Path) -> None:
    assert own(tmp_path).actions.signatures.keys == {}
    keys = own(tmp_path, JANITOR_UNDO_KEY="key").actions.signatures.keys
    assert list(keys) == [SigningKey.RECORDS]
    assert isinstance(keys[SigningKey.RECORDS], KmsMacs)


# --- Slack ----------------------------------------------------------------------------------------


def test_without_a_slack_nobody_is_told(tmp_path: Path) -> None:
    assert own(tmp_path).announcer is None
    assert own(tmp_path, SLACK_TOML).announcer is not None
    assert own(tmp_path).slack_url == SLACK_API
    assert own(tmp_path, JANITOR_SLACK_URL="http://127.0.0.1/").slack_url == "http://127.0.0.1/"


def test_without_a_secret_no_press_is_verified(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no secret verifies presses: set slack_signing_secret"):
        _ = own(tmp_path).signing_secret


def test_one_sender_is_made_of_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets, read = ["xoxb-1", "https://hooks.slack.com/x", "https://hooks.slack.com/x"], list[str]()

    def read_secret(name: str) -> str:
        read.append(name)
        return secrets.pop(0)

    monkeypatch.setattr("ml_janitor.slack.client.read_slack_secret", read_secret)
    bot = own(tmp_path, SLACK_TOML)
    assert isinstance(bot.connect(), SlackBot)
    assert bot.connect() is bot.connect()
    assert isinstance(own(tmp_path, SLACK_TOML).connect(), Webhook)
    routed = own(tmp_path, f'{SLACK_TOML}[slack.routes]\n"team:ml" = "C9876543210"\n')
    with pytest.raises(SendError, match="posts to one channel only"):
        routed.connect()
    assert read == ["ml-janitor/slack"] * 3


# --- where it looks -------------------------------------------------------------------------------


class Lists:
    """The lists of runs: that of NOW, and all accounts of it."""

    def listed(self, detector: str, time: Any) -> tuple[RunAccount, ...]:
        if (detector, time) != ("idle-endpoints", NOW):
            raise ReadError("no list")
        return (RunAccount(MEMBER, (ABROAD,)),)

    def accounts(self, detector: str, time: Any) -> tuple[RunAccount, ...]:
        assert (detector, time) == ("idle-endpoints", NOW - timedelta(days=1))
        return (RunAccount(MEMBER, (ABROAD, REGION)),)


def asked(**event: Any) -> SweepEvent:
    return SweepEvent.model_validate(event)


def test_an_event_is_for_its_own_or_a_listed_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own(tmp_path).place(asked()) == SweepPlace(ACCOUNT, (REGION,))
    with pytest.raises(InvalidInputError, match=MEMBER):
        own(tmp_path).place(asked(account=MEMBER))
    table = MemoryTable()
    monkeypatch.setattr(Invocation, "run_lists", Lists())
    monkeypatch.setattr(Invocation, "runs", LatestRuns(table))
    member = own(tmp_path, ORGANIZATION_TOML)

    assert member.place(asked(account=MEMBER, time=NOW)) == SweepPlace(MEMBER, (ABROAD,))
    with pytest.raises(ReadError):
        member.place(asked(account=MEMBER, time=NOW + timedelta(hours=1)))
    with pytest.raises(InvalidInputError, match="the accounts of the latest run of idle-endpoints"):
        member.place(asked(account=MEMBER))
    yesterday = NOW - timedelta(days=1)
    LatestRuns(table).begun(
        LastRun(detector="idle-endpoints", time=yesterday, key="k", accounts=1, begun=yesterday)
    )
    assert member.place(asked(account=MEMBER)) == SweepPlace(MEMBER, (ABROAD, REGION))


def test_a_member_is_entered_through_its_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[Any]()

    def session(sts: Any, home: Any, role: str, external_id: str) -> Any:
        del sts, home
        taken.append((role, external_id))
        return replace_session(here)

    monkeypatch.setattr(invocation, "open_member_session", session)
    monkeypatch.setattr(invocation, "enabled_regions", lambda client: [client.meta.region_name, "us-east-1"])
    here = own(tmp_path).entered(SweepPlace(ACCOUNT, ()), "role")
    member = own(tmp_path, ORGANIZATION_TOML)

    inside = member.entered(SweepPlace(MEMBER, (ABROAD, REGION)), "ml-janitor-read")
    member.for_adviser("spot-training").entered(
        inside.place, "ml-janitor-read"
    )  # detectors of a run share it

    assert taken == [(f"arn:aws:iam::{MEMBER}:role/ml-janitor-read", "ml-janitor-7f3a")]
    assert (inside.place, inside.off) == (SweepPlace(MEMBER, (REGION,)), SweepPlace(MEMBER, (ABROAD,)))
    with pytest.raises(ReadError, match=f"{ABROAD} is not enabled in account {MEMBER}"):
        inside.whole()


@cases("code, asked", ("AccessDenied", 1), ("Throttling", 2))
def test_a_role_that_is_refused_is_not_asked_for_by_each_detector_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, asked: int
) -> None:
    """Thousands of accounts without their role would else exhaust the rate of STS."""
    taken = list[str]()

    def session(sts: Any, home: Any, role: str, external_id: str) -> Any:
        del sts, home, external_id
        taken.append(role)
        raise ClientError({"Error": {"Code": code}}, "AssumeRole")

    monkeypatch.setattr(invocation, "open_member_session", session)
    member = own(tmp_path, ORGANIZATION_TOML)
    for name in ("spot-training", "commitments"):
        with pytest.raises(ClientError, match=code):
            member.for_adviser(name).entered(SweepPlace(MEMBER, (REGION,)), "ml-janitor-read")
    assert len(taken) == asked


def test_work_is_handed_over_by_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[Any]()
    monkeypatch.setattr(
        "ml_janitor.slack.ingress.hand_over",
        lambda client, function, event: given.append(
            (client.meta.service_model.service_name, function, event)
        ),
    )
    own(tmp_path).hand_over("undo", {"a": 1})
    assert given == [("lambda", "undo", {"a": 1})]
