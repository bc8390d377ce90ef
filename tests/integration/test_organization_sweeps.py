"""What a detector's function does in other accounts: only where its run listed, and each by itself."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from commands import Janitor
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.calls import ReadError
from ml_janitor.config.member_roles import (
    UNDO_FUNCTION_ROLE,
    RoleKind,
    member_role_name,
    role_arn,
    sweep_role_name,
)
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import finding_id
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LatestRecords
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.iam import IamControl
from narrowing import not_none
from organization import NOTEBOOKS, OFF, Accounts, act_as_function
from standin import MEMBER, said
from tables import cases

HOME = ("dynamodb:*", "s3:*", "secretsmanager:*", "kms:*", "lambda:*", "pricing:*")
"""What a function has to itself: nothing of what it looks at."""


def test_a_child_looks_at_its_own_account_in_the_run_of_its_time(accounts: Accounts) -> None:
    started = NOW + timedelta(hours=3)
    accounts.armed.later(timedelta(hours=3))
    answer = accounts.child(accounts.first, started=started.isoformat())

    assert (answer["account"], answer["time"], answer["note"]) == (accounts.first, "2026-10-06T06:00:00Z", "")
    (swept,) = answer["sweeps"]
    assert (swept["region"], swept["mode"], swept["found"]) == (REGION, "act", 1)
    assert answer["report"].startswith(f"s3://{BUCKET}/{NOTEBOOKS}/{accounts.first}/")
    assert set(accounts.asked()) == {accounts.first}
    assert set(accounts.findings()) == {accounts.first}
    assert accounts.last(accounts.first).time == started
    assert LatestRecords(accounts.table).sweep(NOTEBOOKS, accounts.second, REGION) is None
    assert accounts.first in json.dumps(accounts.message(accounts.first)["blocks"])


@cases(
    "event, why",
    ({"account": "999999999999"}, "999999999999 is not in the list of its run"),
    ({"account": ACCOUNT}, f"{ACCOUNT} is not in the list of its run"),
    ({"regions": [REGION, "eu-west-1"]}, "eu-west-1 of .* not in the list of its run"),
    (
        {"time": "2026-10-06T02:59:00Z"},
        "the ledger has no list of the run of idle-notebooks of 2026-10-06T02:59:00Z",
    ),
    ({"time": None, "started": None, "account": "999999999999"}, "is not in the list of its run"),
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)
def test_a_forged_event_sends_nobody_anywhere(event: dict[str, Any], why: str, accounts: Accounts) -> None:
    with pytest.raises((InvalidInputError, ReadError), match=why):
        accounts.child(**{"account": accounts.first, **event})

    assert not [one for one in accounts.armed.box.requests() if one["service"] in {"sts", "sagemaker"}]
    assert accounts.findings() == {}


# --- credentials -----------------------------------------------------------------------------------


@pytest.fixture
def enforced(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., IamControl]]:
    """The function runs under its own role, and the accounts grant what the real template does."""
    settings = Settings.parse({"organization": accounts.made.table(regions=[REGION, OFF])})
    granted = {each: accounts.made.granted(settings, each) for each in accounts.made.members}

    def enforce(*, role: str = sweep_role_name(NOTEBOOKS), without: tuple[str, ...] = ()) -> IamControl:
        held = [pair for each in granted.values() for pair in each.items()]
        roles = {arn: one for arn, one in held if not arn.endswith(without)}
        actions = (*HOME, "sts:AssumeRole")
        return act_as_function(monkeypatch, accounts.armed.box.url, role, actions, roles)

    yield enforce
    IamControl(accounts.armed.box.url).open()


def member(accounts: Accounts, account: str) -> str:
    settings = Settings.parse({"organization": accounts.made.table()})
    return role_arn(settings, member_role_name(NOTEBOOKS), account=account, partition="aws")


NOT_TAKEN_ON = "could not be read: its role cannot be taken on"


@pytest.mark.parametrize("wrong", ["role", "external id", "missing"])
def test_each_role_fails_alone(wrong: str, accounts: Accounts, enforced: Callable[..., IamControl]) -> None:
    accounts.child(accounts.first)
    known = accounts.findings()[accounts.first]
    accounts.armed.later(timedelta(minutes=10))
    later = accounts.armed.now.replace(second=0)
    accounts.listed(time=later)
    match wrong:
        case "role":
            enforced(role=sweep_role_name("idle-endpoints"))
        case "missing":
            enforced(without=(member(accounts, accounts.first),))
        case _:
            accounts.settings(external_id="something-else")
            enforced()
    with pytest.raises(RunFailedError, match=f"account {accounts.first} {NOT_TAKEN_ON}"):
        accounts.child(accounts.first, time=later.isoformat(), mode="dry-run")

    last = accounts.last(accounts.first)
    assert str(last.error).startswith(NOT_TAKEN_ON)
    assert (last.time, last.nothing_left) == (accounts.armed.now, False)
    assert accounts.findings()[accounts.first] == known
    if wrong == "missing":
        assert accounts.child(accounts.second, time=later.isoformat(), mode="dry-run")["sweeps"][0]["found"]


# --- one name in two accounts ------------------------------------------------------------------------


@pytest.fixture
def warned(accounts: Accounts) -> Accounts:
    """Both notebooks are warned about."""
    for account in accounts.made.members:
        accounts.child(account)
    assert set(accounts.findings()) == set(accounts.made.members)
    return accounts


def press(accounts: Accounts, word: str, account: str) -> None:
    accounts.armed.press(word, MEMBER, ts=accounts.message(account)["ts"])


def test_what_was_done_where_act_in_names_nothing_any_more_is_reported_and_can_be_undone(
    warned: Accounts,
) -> None:
    """The detector stays armed in the other account, and acts there."""
    press(warned, "now", warned.first)
    night = warned.armed.now.replace(second=0) + timedelta(hours=36)
    warned.armed.later(timedelta(hours=36))
    warned.listed(time=night)
    path = warned.armed.folder / "janitor.toml"
    armed = path.read_text().replace(f'"{warned.first}", "{warned.second}"', f'"{warned.second}"')
    warned.armed.settings(armed)

    with pytest.raises(
        RunFailedError, match=r"1 thing that it did in us-east-1 can be undone until .* not by"
    ):
        warned.child(warned.first, time=night.isoformat())
    warned.child(warned.second, time=night.isoformat())
    assert warned.status(warned.second) == "Stopped"

    act_in = f'act_in = ["{warned.second}"]\n'
    warned.armed.settings(armed.replace(act_in, f"{act_in}armed_until = 2026-10-06\n"))
    night += timedelta(hours=1)
    warned.armed.later(timedelta(hours=1))
    warned.listed(time=night)
    warned.child(warned.first, time=night.isoformat())
    press(warned, "undo", warned.first)
    assert (warned.status(warned.first), warned.status(warned.second)) == ("InService", "Stopped")


def test_without_its_role_an_undo_says_so(warned: Accounts, enforced: Callable[..., IamControl]) -> None:
    press(warned, "now", warned.first)
    enforced(role=UNDO_FUNCTION_ROLE, without=(member_role_name(NOTEBOOKS, RoleKind.UNDO),))
    with pytest.raises(CannotUndoError, match=f"account unread: {warned.first}, {NOT_TAKEN_ON}"):
        press(warned, "undo", warned.first)

    assert "its role cannot be taken on" in said(warned.message(warned.first))


# --- commands ----------------------------------------------------------------------------------------


def test_commands_are_about_one_account_with_the_ledger_of_another(
    warned: Accounts, janitor: Janitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = warned.findings()
    ids = {each: finding_id(NOTEBOOKS, keys[each]["key"]) for each in warned.made.members}

    listed = janitor("findings", "--account", warned.second)
    assert (listed.status, ids[warned.second] in listed.out, ids[warned.first] in listed.out) == (
        0,
        True,
        False,
    )
    assert "Nothing is open" in janitor("findings").out

    arn = f"arn:aws:sagemaker:{REGION}:{warned.second}:notebook-instance/churn"
    kept = janitor("keep", arn, "--reason", "the fair")
    assert (kept.status, kept.err) == (0, "")
    assert {one["pk"] for one in warned.armed.table()["hold"]} == {f"hold#{warned.second}#{REGION}"}

    approved = janitor("approve", NOTEBOOKS, "--yes", "--account", warned.second)
    assert (approved.status, "Approved 1 by" in approved.out) == (0, True)
    assert [each for each, one in warned.findings().items() if one.get("approved")] == [warned.second]

    press(warned, "now", warned.first)
    undo = ("undo", ids[warned.first], "--account", warned.first)
    refused = janitor(*undo)
    assert (refused.status, warned.status(warned.first)) == (2, "Stopped")
    assert f"to change anything in account {warned.first}, give --account-profile NAME" in refused.err

    profiles = tmp_path / "profiles"
    for name, account in (("first", warned.first), ("second", warned.second)):
        given = not_none(warned.inside[account].get_credentials())
        with profiles.open("a") as file:
            file.write(
                f"[profile {name}]\nregion = {REGION}\naws_access_key_id = {given.access_key}\n"
                f"aws_secret_access_key = {given.secret_key}\naws_session_token = {given.token}\n"
            )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    strange = janitor(*undo, "--account-profile", "second")
    assert f"--account-profile second is of account {warned.second}, not of {warned.first}" in strange.err
    done = janitor(*undo, "--account-profile", "first")
    assert (done.status, done.err) == (0, "")
    assert (warned.status(warned.first), warned.status(warned.second)) == ("InService", "InService")
