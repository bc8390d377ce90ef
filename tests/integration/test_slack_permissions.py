"""Presses under the template's roles: the receiver and its worker miss nothing, and hold nothing idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from condemned import BUCKET
from conftest import ACCOUNT, REGION
from declared import Permission, granted, listed
from hosted import LAMBDA, Host, Ran
from integration.test_permissions import IN_LAMBDAS_HANDS
from ml_janitor.aws.client import Aws
from ml_janitor.slack.ephemeral_replies import UNFINISHED
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SIGNING
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import SlackControl
from scripts import Step, handed, missed, nothing, play
from slackside import EMAILS, MEMBER, NAMES, OWNER, STRANGER
from theatre import (
    ARMS,
    MINUTE,
    Theatre,
    allows,
    check,
    exactly,
    now,
)

RECEIVER, WORKER = "interact", "pressed"
NOTEBOOK = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/spared"

every_end = pytest.mark.parametrize("name", [RECEIVER, WORKER])


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(tmp_path_factory.mktemp("task"))


@pytest.fixture
def staged(theatre: Theatre, box: Control, session: boto3.Session, aws: Aws) -> Callable[[], Host]:
    """
    An account with something for every armed detector, a notebook of Maria's, and its people.

    What has no tags is there without being made for that.
    """

    def made() -> Host:
        host = theatre.host(box, session, aws, *(name for name in ARMS if name != "untagged-resources"))
        owner: Any = [{"Key": "owner", "Value": EMAILS[OWNER]}]
        session.client("sagemaker").add_tags(ResourceArn=NOTEBOOK, Tags=owner)
        slack = SlackControl(box.url)
        for user in (OWNER, STRANGER):
            slack.add_user(user, EMAILS[user], name=NAMES[user])
        return host

    return made


# --- what is pressed -------------------------------------------------------------------------------


def presses() -> list[Step]:
    """Everything is warned about; then each word is said, by whoever may and by whoever may not."""
    return [
        *(Step(function=name, event=now) for name in ARMS),
        *said("keep", STRANGER, "idle-notebooks", "spared"),
        *said("keep", OWNER, "idle-notebooks", "spared"),
        *said("snooze", MEMBER, "idle-endpoints", "spared"),
        *(step for name in ARMS for step in said("now", MEMBER, name, breaks=name == "idle-notebooks")),
        Step(function="idle-notebooks", event=handed("IdleNotebooks")),
        *said("undo", MEMBER, "idle-notebooks", "notebook"),
        Step(function="undo", event=handed("Undo")),
    ]


def said(word: str, user: str, detector: str, about: str = "", *, breaks: bool = False) -> Iterator[Step]:
    """A press at the URL, and what is done with it: twice, as Lambda may; the first time may *break* off."""
    yield Step(function=RECEIVER, event=partial(pressed, word, user, detector, about))
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=gone if breaks else nothing)
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=there_again)


def pressed(word: str, user: str, detector: str, about: str, host: Host) -> dict[str, Any]:
    """
    The event of a press on the newest button *word* below a finding of *detector*.

    *about* is what the message says of it.
    """
    host.later(MINUTE)
    slack = SlackControl(host.url)
    found = (
        message["ts"]
        for message in reversed(slack.messages())
        for block in message["blocks"]
        for button in block.get("elements", ())
        if button.get("action_id") == f"janitor:{word}"
        if button["value"].startswith(f"{detector} ")
        if about in message["text"]
    )
    signed = slack.press(next(found), f"janitor:{word}", user=user)
    return url_event(signed.headers, signed.body, at=host.now)


def gone(host: Host) -> None:
    """What a press is handed to is not there for a moment."""
    Control(host.url).fault(
        "lambda", "Invoke*", "error", status=404, code="ResourceNotFoundException", times=0
    )


def there_again(host: Host) -> None:
    """Everything works."""
    Control(host.url).clear_faults()


@pytest.fixture(scope="module")
def played() -> dict[str, list[Ran]]:
    """What was played once, and the steps of it."""
    return {}


def test_presses_ask_for_all_that_is_declared_and_for_nothing_else(
    staged: Callable[[], Host], played: dict[str, list[Ran]]
) -> None:
    host, steps = staged(), presses()

    runs = played["presses"] = play(host, steps)

    assert [ran.denied for ran in runs if ran.denied] == []
    failed = [str(ran.error) for ran in runs if ran.error is not None]
    assert len(failed) == 1
    assert "ResourceNotFoundException" in failed[0]
    for name in (RECEIVER, WORKER):
        function = host.function(name)
        own = [ran for step, ran in zip(steps, runs, strict=True) if step.function == name]
        assert exactly(host, name, own) == host.declared.of_function(function)
    slack = SlackControl(host.url)
    *refused, unfinished = [answer["text"] for answer in slack.responses()]
    assert {one.partition(" and ")[0] for one in refused} == {"Nothing was changed: only its owner"}
    assert unfinished == UNFINISHED
    texts = {message["text"].partition(" (UTC)")[0] for message in slack.messages()}
    assert [one for one in texts if one.startswith("spared: Kept for good by Maria Lopez on Tue 6 Oct")]
    assert len([one for one in texts if "Do it now, said Dina Okafor" in one]) == len(ARMS) - 1
    (back,) = [one for one in texts if one.startswith("notebook: Stopped")]
    assert "because Dina Okafor pressed Do it now. Brought back on" in back


@every_end
def test_each_statement_is_missed_and_the_refusal_is_told(
    staged: Callable[[], Host], played: dict[str, list[Ran]], name: str
) -> None:
    steps = presses()
    runs = played.get("presses") or play(staged(), steps)
    host = staged()

    tried = missed(host, steps, runs, name, lambda _: True)

    check(host, heard(host, tried), of=allows(host, name))


def heard(host: Host, tried: Iterator[tuple[dict[str, Any], Ran]]) -> Iterator[tuple[dict[str, Any], Ran]]:
    """Whoever pressed hears of it if nothing comes of that: by Slack itself, unless the press was taken."""
    for statement, ran in tried:
        match ran.answer:
            case None:
                assert SlackControl(host.url).responses()[-1]["text"] == UNFINISHED
            case {"statusCode": code}:
                wanted = 200 if set(listed(statement["Action"])) <= IN_LAMBDAS_HANDS else 503
                assert code == wanted
        yield statement, ran


# --- what they cannot do ---------------------------------------------------------------------------


def held(theatre: Theatre, name: str) -> set[Permission]:
    """What the role of a function allows, but for its own log and queue, which Lambda writes to."""
    deployed = theatre.armed.deployed
    (function,) = (one for one in deployed.functions() if one.name == name)
    allowed = granted(deployed.roles()[function.role])
    return {one for one in allowed if one.action not in IN_LAMBDAS_HANDS}


def test_the_worker_can_do_nothing_that_those_it_invokes_could_not(theatre: Theatre) -> None:
    functions = {one.name: one.arn for one in theatre.armed.deployed.functions()}
    invokes = {one for one in held(theatre, WORKER) if one.action == "lambda:InvokeFunction"}

    assert {one.resource for one in invokes} == {functions[name] for name in (*ARMS, "undo")}
    for name in (*ARMS, "undo"):
        assert held(theatre, WORKER) - invokes <= held(theatre, name)


def test_the_receiver_reads_its_secret_and_invokes_the_worker_and_that_is_all(theatre: Theatre) -> None:
    functions = {one.name: one.arn for one in theatre.armed.deployed.functions()}
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SIGNING}-??????"

    assert held(theatre, RECEIVER) == {
        Permission("lambda:InvokeFunction", functions[WORKER]),
        Permission("secretsmanager:GetSecretValue", secret),
    }


@every_end
def test_neither_can_change_anything_that_is_not_the_janitors_own(theatre: Theatre, name: str) -> None:
    deployed = theatre.armed.deployed
    changing = {one for one in held(theatre, name) if one.action != "secretsmanager:GetSecretValue"}
    table, functions = deployed.one("AWS::DynamoDB::Table"), {one.arn for one in deployed.functions()}

    assert {one.resource for one in changing} <= {table, *functions}
    for detector in theatre.armed.settings.armed():
        deeds = {grant.action for grant in (*detector.acts, *detector.undoes)}
        assert deeds
        assert not deeds & {one.action for one in held(theatre, name)}


@every_end
def test_what_detectors_do_is_refused_to_either(staged: Callable[[], Host], name: str) -> None:
    host = staged()
    host.enforce()
    session = host.session(host.function(name).role, LAMBDA)
    sagemaker = session.client("sagemaker", endpoint_url=host.url)
    s3 = session.client("s3", endpoint_url=host.url)
    calls: tuple[Callable[[], object], ...] = (
        lambda: sagemaker.delete_endpoint(EndpointName="spared"),
        lambda: sagemaker.stop_notebook_instance(NotebookInstanceName="spared"),
        lambda: sagemaker.describe_notebook_instance(NotebookInstanceName="spared"),
        lambda: s3.delete_object(Bucket=BUCKET, Key="spared.tar.gz"),
        lambda: s3.get_object(Bucket=BUCKET, Key="spared.tar.gz"),
    )
    for call in calls:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
