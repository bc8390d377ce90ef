"""What is pressed below messages: each word, by those who may and by those who may not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from conftest import ACCOUNT, REGION
from declared import listed
from hosted import Host
from ml_janitor.slack.client import UNFINISHED_REPLY
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import SlackControl
from plays.regrets import UNDO
from recorder import IN_LAMBDAS_HANDS, Missed, Recording, Step, Wanted, nothing
from standin import EMAILS, MEMBER, OWNER, STRANGER
from theatre import ARMS, MINUTE, broken, handed, now, told

RECEIVER, WORKER = "interact", "pressed"
NOTEBOOK = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/spared"


@dataclass(frozen=True, slots=True)
class Presses:
    """What is pressed: each word, by those who may and by those who may not. Untagged things abound."""

    waste: Sequence[str] = field(default_factory=lambda: [one for one in ARMS if one != "untagged-resources"])
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, _: Host) -> Iterator[Step]:
        """Everything is warned about; then each word is said."""
        for number, name in enumerate(ARMS):
            yield Step(function=name, event=now, arranged=nothing if number else owned)
        yield from said("keep", STRANGER, "idle-notebooks", "spared")
        yield from said("keep", OWNER, "idle-notebooks", "spared")
        yield from said("snooze", MEMBER, "idle-endpoints", "spared")
        for name in ARMS:
            yield from said("now", MEMBER, name, breaks=name == "idle-notebooks")
        yield Step(function="idle-notebooks", event=handed("IdleNotebooks"))
        yield from said("undo", MEMBER, "idle-notebooks", "notebook")
        yield Step(function=UNDO, event=handed("Undo"))

    def wanted(self, host: Host, _: Recording) -> list[Wanted]:
        """All of the two that hear a press."""
        functions = [host.function(name) for name in (RECEIVER, WORKER)]
        return [
            Wanted(name=one.name, role=one.role, needs=host.declared.of_function(one)) for one in functions
        ]

    def check(self, host: Host, recording: Recording) -> None:
        """Each press had its effect, but for the stranger's."""
        (error,) = [str(ran.error) for _, ran in recording if ran.error is not None]
        assert "ResourceNotFoundException" in error
        slack = SlackControl(host.url)
        *refused, unfinished = [answer["text"] for answer in slack.responses()]
        assert {one.partition(" and ")[0] for one in refused} == {"Nothing was changed: only its owner"}
        assert unfinished == UNFINISHED_REPLY
        texts = {message["text"].partition(" (UTC)")[0] for message in slack.messages()}
        assert [one for one in texts if one.startswith("spared: Kept for good by Maria Lopez on Tue 6 Oct")]
        assert len([one for one in texts if "Do it now, said Dina Okafor" in one]) == len(ARMS) - 1
        (back,) = [one for one in texts if one.startswith("notebook: Stopped")]
        assert "because Dina Okafor pressed Do it now. Brought back on" in back

    def heard(self, host: Host, one: Missed) -> bool:
        """Who pressed does if nothing comes of that: by Slack itself, unless the press was taken."""
        if one.function == RECEIVER:
            assert one.ran.answer is not None
            in_its_hands = not set(listed(one.statement["Action"])) <= IN_LAMBDAS_HANDS
            assert one.ran.answer["statusCode"] == (503 if in_its_hands else 200)
        if one.function == WORKER and one.ran.answer is None:
            assert SlackControl(host.url).responses()[-1]["text"] == UNFINISHED_REPLY
        return told(host, one)


def owned(host: Host) -> None:
    """One notebook is Maria's."""
    owner = [{"Key": "owner", "Value": EMAILS[OWNER]}]
    host.root("sagemaker").add_tags(ResourceArn=NOTEBOOK, Tags=owner)


def said(word: str, user: str, detector: str, about: str = "", *, breaks: bool = False) -> Iterator[Step]:
    """A press at the URL, and what is done with it: twice, as Lambda may; the first time may *break* off."""
    yield Step(function=RECEIVER, event=partial(pressed, word, user, detector, about))
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=gone if breaks else nothing)
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=partial(broken, ()))


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
    code = "ResourceNotFoundException"
    Control(host.url).fault("lambda", "Invoke*", "error", status=404, code=code, times=0)
