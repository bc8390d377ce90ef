"""
Whoever writes a record into the ledger has the janitor give advice from it, or brings the undo function down.

The record is verified before anything else is done with it, and an alarm counts what does not verify.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from conftest import ACCOUNT
from ml_janitor import handlers
from ml_janitor.core.results import CauseCode
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.table import Table
from ml_janitor_cli.main import main
from ml_janitor_sandbox.deployment import KEYS, TABLE
from standin import MEMBER, Deployment, buttons, said

ADMIN = f"arn:aws:iam::{ACCOUNT}:role/OrganizationAdmin"


@pytest.fixture
def stopped(notebook: Deployment, table: Table) -> Action:
    """A notebook that the janitor stopped."""
    notebook.press("now", MEMBER)
    (action,) = Actions(table).everywhere()
    return action


def change(table: Table, action: Action, **attributes: Any) -> None:
    table.change(action.pk, action.sk, set_to=attributes)


def refusals(printed: str) -> int:
    """How many refused records the alarm has counted."""
    counted = [json.loads(line) for line in printed.splitlines() if "RecordsRefused" in line]
    return int(sum(sum(one["RecordsRefused"]) for one in counted))


def asked(action: Action, press: Mapping[str, Any]) -> dict[str, Any]:
    """The event of the undo function for *press*."""
    return {
        "detector": action.detector,
        "region": action.target.region,
        "finding": action.id,
        "asked": press,
        "request": "again",
    }


def test_a_forged_record_gives_no_advice_and_is_counted(
    notebook: Deployment,
    stopped: Action,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Today's undo function asks what a forged record says is missing, before it verifies the record."""
    from ml_janitor.detectors.idle_notebooks import IdleNotebooks

    def missing(_: object, __: object, record: Mapping[str, Any]) -> str:
        return f'undo_roles = ["{record["role"]}"]' if "role" in record else ""

    monkeypatch.setattr(IdleNotebooks, "missing_for_undo", missing)
    change(table, stopped, undo=json.dumps({"role": ADMIN}))
    capsys.readouterr()

    notebook.press("undo", MEMBER)

    assert refusals(capsys.readouterr().out) == 1
    message = notebook.warnings()[-1]
    assert ADMIN not in json.dumps(notebook.slack.messages())
    assert ("not the one that was signed" in said(message), buttons(message)) == (True, [])
    monkeypatch.setenv("JANITOR_TABLE", TABLE)
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    assert main(["undo", stopped.id]) == 2
    assert main(["findings", "--all"]) == 0
    shown = capsys.readouterr()
    assert ADMIN not in shown.out + shown.err
    assert "not verified: its record" in " ".join(shown.out.split())
    assert notebook.notebook_status == "Stopped"


CHANGED: Mapping[str, Callable[[Action], dict[str, Any]]] = {
    "account": lambda _: {"account": "210987654321"},
    "detector": lambda _: {"detector": "idle-endpoints"},
    "resource": lambda action: {"arn": f"{action.target.arn}x"},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_a_changed_record_is_refused_and_nothing_breaks(
    notebook: Deployment, stopped: Action, table: Table, changed: Callable[[Action], dict[str, Any]]
) -> None:
    """With another account, today's function ends with StopIteration, and is tried again and again."""
    request = next(iter(table.query(f"request#{stopped.detector}#{ACCOUNT}#{stopped.target.region}")))
    change(table, stopped, **changed(stopped))
    (stored,) = Actions(table).everywhere()

    assert handlers.undo(asked(stored, {**request, "what": "undo"}), notebook.context())["done"] is False
    assert notebook.notebook_status == "Stopped"


def test_who_may_not_verify_sees_that_and_no_error(
    notebook: Deployment, stopped: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JANITOR_TABLE", TABLE)
    notebook.box.fault("kms", "VerifyMac", "deny", times=0)
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    assert main(["findings", "--all"]) == 0
    assert "not verified: its record could not be verified" in " ".join(capsys.readouterr().out.split())
    assert stopped.error is None
    assert CauseCode.RECORD_UNREAD
