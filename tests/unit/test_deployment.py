"""The composition root hands on what the operator set."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger

from conftest import ACCOUNT, NOW
from fakes import logger_to, raising
from memory_table import MemoryTable
from ml_janitor import deployment, handlers
from ml_janitor.acting.warning import Warner
from ml_janitor.config.events import PressEvent
from ml_janitor.config.member_roles import RoleKind, member_role_name
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.idempotency import InProgressError
from ml_janitor.scheduled.invocation import EnteredPlace, Invocation, SweepPlace
from ml_janitor.slack.client import UNFINISHED_REPLY, SenderClock, SendError
from ml_janitor.slack.digest import OrganizationReader
from ml_janitor.slack.warnings import MessageUpdates, WarningSender
from narrowing import not_none
from standin import ORGANIZATION_TOML, SLACK_TOML, Context, in_memory, own_invocation


def test_acts_and_undos_keep_to_the_limits_that_the_operator_set() -> None:
    table: Any = MemoryTable()
    settings = Settings.parse({"janitor": {"undo_days": 7, "max_actions_per_night": 3}})
    acting = deployment.make_acting(
        settings,
        table,
        Actions(table),
        lambda: NOW,
        sleep=lambda _: None,
        wait=lambda: None,
        revert=lambda _: None,
    )
    undoing = deployment.make_undoing(settings, table, Actions(table), lambda: NOW, wait=lambda: None)

    assert (acting.within, undoing.within) == (timedelta(days=7), timedelta(days=7))
    assert (acting.max_actions_per_night, acting.together) == (3, False)
    assert not undoing.unsigned
    assert {actor.name for actor in acting.actors()} == {
        detector.name for detector in settings.registry if detector.cleanup is not None
    }


# --- each function's parts ------------------------------------------------------------------------

MEMBER = "210987654321"
MAIL = '[notify]\nemail = "arn:aws:sns:eu-west-1:123456789012:ml"\n'
SLACK = f"{SLACK_TOML}undo_days = 7\n"
ARMED = f'[detectors.idle-endpoints]\nmode = "act"\nact_in = ["{ACCOUNT}"]\n'


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Invocation]:
    """Invocations of a function with a janitor.toml."""

    return partial(own_invocation, "us-gov-west-1", tmp_path)


def test_nothing_needs_slack(own: Callable[[str], Invocation], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        deployment.make_warner(own("")),
        deployment.make_message_updates(own("")),
        own("").announcers,
    ) == (None, None, [])
    by_mail, both = own(MAIL), own(SLACK + MAIL)
    senders = [not_none(deployment.make_warner(each)).warn for each in (by_mail, both)]
    assert deployment.make_message_updates(by_mail) is None
    assert [isinstance(sender, WarningSender) and sender.copy for sender in senders] == [None, both.mail]
    assert [each.interactive for each in by_mail.announcers] == [False]
    assert len(both.announcers) == 2
    assert not_none(by_mail.mail).connect().meta.region_name == "eu-west-1", "that of the topic"

    with_slack = own(SLACK)

    warner, updates = deployment.make_warner(with_slack), deployment.make_message_updates(with_slack)
    assert (type(warner), type(updates)) == (Warner, MessageUpdates)
    naps = list[float]()
    monkeypatch.setattr(with_slack, "seconds", SenderClock(clock=lambda: 0.0, sleep=naps.append))
    acting, undoing = deployment.make_lambda_acting(with_slack), deployment.make_lambda_undoing(with_slack)
    assert [part.within for part in (not_none(updates), acting, undoing)] == [timedelta(days=7)] * 3
    for rest in (acting.wait, undoing.wait, acting.pause):
        not_none(rest)()
    assert naps == [15, 15, 1]


def test_only_in_an_organization_the_digest_reads_all_accounts(own: Callable[[str], Invocation]) -> None:
    logger = Logger(service="test")
    alone, together = own(SLACK + ARMED), own(SLACK + ARMED + ORGANIZATION_TOML)

    assert deployment.make_organization_reader(alone) is None
    assert isinstance(deployment.make_organization_reader(together), OrganizationReader)
    assert deployment.make_bill_run(alone, logger).organization is None
    assert isinstance(deployment.make_bill_run(together, logger).organization, OrganizationReader)
    with deployment.make_bill_run(alone, logger).opened(SweepPlace(ACCOUNT, ("us-gov-west-1",))) as accounts:
        assert [each.region for each in accounts] == ["us-gov-west-1"]
    assert "us-gov-east-1" in deployment.make_accounts_run(together, logger).known_regions
    histories = [deployment.make_action_history(each) for each in (alone, together)]
    assert [history.several for history in histories] == [False, True]
    for regions, several in (('["us-east-1"]', False), ('["us-east-1", "eu-west-1"]', True)):
        history = deployment.make_action_history(own(f"[janitor]\nregions = {regions}\n"))
        assert history.several_regions is several
    actors = {kind.name for kind in DETECTORS if kind.cleanup is not None}
    assert histories[0].cleanups.keys() == actors
    assert {kind.name for kind in DETECTORS} - {kind.name for kind in histories[0].disarmed} == {
        "idle-endpoints"
    }


def test_an_undo_has_its_role(own: Callable[[str], Invocation], monkeypatch: pytest.MonkeyPatch) -> None:
    entered, updated, log = list[Any](), list[str](), StringIO()
    with in_memory() as nights:
        nights.warned("chair", "lamp")
        nights.after(timedelta(days=4))
    undo, lamp = own(SLACK), nights.of("lamp")
    undo.table = nights.table
    run = deployment.make_undo_run(undo, logger_to(log))

    def enter(place: SweepPlace, role: str) -> EnteredPlace:
        entered.append((place, role))
        return EnteredPlace(boto3.Session(), place, SweepPlace(MEMBER, ()))

    monkeypatch.setattr(undo, "entered", enter)
    monkeypatch.setattr(undo, "opened", lambda inside: nullcontext([inside.place.account]))
    with run.opened("cellar", MEMBER, "eu-west-1") as accounts:
        assert [*map(str, accounts)] == [MEMBER]
    assert entered == [(SweepPlace(MEMBER, ("eu-west-1",)), member_role_name("cellar", RoleKind.UNDO))]
    monkeypatch.setattr(MessageUpdates, "action", lambda _, action: updated.append(action.target.name))
    run.tell(replace(lamp, message=""))
    assert updated == []
    run.tell(lamp)
    assert updated == ["lamp"]
    monkeypatch.setattr(MessageUpdates, "action", raising(SendError("channel_not_found")))
    run.tell(lamp)
    assert "channel_not_found" in log.getvalue()


def test_an_undo_is_one_event(own: Callable[[str], Invocation], monkeypatch: pytest.MonkeyPatch) -> None:
    entries = list[Any]()

    def put(*, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - boto3's
        entries.extend(json.loads(entry["Detail"]) for entry in Entries)
        return {"FailedEntryCount": 0, "Entries": []}

    with in_memory() as nights:
        nights.warned("lamp")
        nights.after(timedelta(days=4))
        acted = nights.of("lamp")
        for toml in ("", '[notify]\nevents = "ml"\n'):
            undo = own(toml)
            undo.table = nights.table
            monkeypatch.setattr(undo, "client", lambda _: SimpleNamespace(put_events=put))
            monkeypatch.setattr(type(undo.settings), "detector_called", lambda *_: nights.detector)
            run = deployment.make_undo_run(undo, logger_to())
            run.tell(acted)
            assert entries == [], "it is not back yet"
        undone = nights.undo()
        run.tell(acted)
        run.tell(undone)
    assert [(detail["kind"], detail["name"], detail["by"]) for detail in entries] == [
        ("Undo", "lamp", "maria")
    ]


# --- a press --------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the worker's function, with a webhook of Slack's."""
    (tmp_path / "janitor.toml").write_text(SLACK)
    given = {"JANITOR_TABLE": "ledger", "JANITOR_BUCKET": "reports", "LAMBDA_TASK_ROOT": str(tmp_path)}
    for name, value in (given | {"AWS_REGION": "us-east-1"}).items():
        monkeypatch.setenv(name, value)
    webhook = "https://hooks.slack.com/services/T0/B0/x"
    monkeypatch.setattr("ml_janitor.slack.client.read_slack_secret", lambda _: webhook)


@pytest.mark.usefixtures("environment")
def test_a_presser_hears_of_a_failure_but_not_of_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = list[tuple[str, str]]()
    monkeypatch.setattr(
        "ml_janitor.slack.client.ephemeral_replier", lambda *_, **__: lambda *said: heard.append(said)
    )
    press = PressEvent(
        user="U1",
        channel="C1",
        message="1.1",
        action="a",
        value="v",
        at="1.1",
        response_url="https://slack/1",
    )
    monkeypatch.setattr(handlers, "verified_press", lambda *_: press)

    with pytest.raises(InvalidInputError, match="a webhook has no buttons"):
        handlers.pressed({}, Context())
    assert heard == [("https://slack/1", UNFINISHED_REPLY)]
    monkeypatch.setattr(handlers, "make_press_worker", raising(InProgressError("another is at work")))
    with pytest.raises(InProgressError):
        handlers.pressed({}, Context())
    assert len(heard) == 1


def test_without_a_fixed_time_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JANITOR_NOW", raising=False)
    assert abs(handlers.real_time() - datetime.now(UTC)) < timedelta(minutes=1)
