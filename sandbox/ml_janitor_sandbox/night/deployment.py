"""An armed deployment in the sandbox: its functions, run in this process, on the sandbox's clock."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from botocore.loaders import create_loader

from ml_janitor import deployment, handlers
from ml_janitor.config import events
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.requests import Holds
from ml_janitor.report.warnings import Button
from ml_janitor.scheduled.invocation import Environment, Invocation
from ml_janitor.scheduled.sweep_run import SweepRunResult
from ml_janitor.slack import ingress
from ml_janitor.slack.client import SenderClock, ephemeral_replier
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo.days import Days
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION
from ml_janitor_sandbox.deployment import UNDO, WORKER
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import SlackControl

LOADER = create_loader()
"""AWS's models, which every invocation would read and parse anew."""

SETTINGS = Path(__file__).with_name("janitor.toml")


@dataclass
class Context:
    """Lambda's context of an invocation."""

    aws_request_id: str
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:ml-janitor"
    function_name: str = "ml-janitor"

    def get_remaining_time_in_millis(self) -> int:
        """Return a quarter of an hour; the sandbox is quicker than that."""
        return 900_000


@dataclass
class Deployment:
    """
    The functions of all acting detectors, deployed to the sandbox at *url* with the settings in *folder*.

    Nothing sleeps: when a function waits for AWS, the sandbox's clock moves on instead.
    """

    url: str
    folder: Path
    variables: Mapping[str, str]
    now: datetime
    delivered: int = 0
    requests: int = 0
    lived: Days = field(init=False)

    def __post_init__(self) -> None:
        self.box, self.slack = Control(self.url), SlackControl(self.url)
        self.lived = Days(self.url)
        advisers = [detector.name for detector in DETECTORS if detector.cleanup is None]
        without = "".join(f"\n[detectors.{name}]\nenabled = false\n" for name in advisers)
        (self.folder / SETTINGS.name).write_text(SETTINGS.read_text() + without)

    @contextmanager
    def deployed(self) -> Iterator[None]:
        """Set the environment of the functions in this process; drop what they log."""
        own = {
            "AWS_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(self.folder),
            "JANITOR_NOW": self.now.isoformat(),
        }
        changed = {**self.variables, **own}
        before = {name: os.environ.get(name) for name in changed}
        timeout, ingress.INGRESS_TIMEOUT = (
            ingress.INGRESS_TIMEOUT,
            30.0,
        )  # whatever else this machine does meanwhile
        handlers.structured_logger.cache_clear()
        ingress.ingress_client.cache_clear()
        ingress.read_signing_secret.cache_clear()
        os.environ.update(changed)
        try:
            with redirect_stdout(io.StringIO()), patch("botocore.session.create_loader", lambda _: LOADER):
                yield
        finally:
            ingress.INGRESS_TIMEOUT = timeout
            handlers.structured_logger.cache_clear()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    # --- time ---------------------------------------------------------------------------------

    def at(self, moment: datetime) -> None:
        """Live until then, if it is not over yet."""
        self._set(max(moment, self.now), self.lived.until)

    def _sleep(self, seconds: float) -> None:
        self._set(self.now + timedelta(seconds=seconds), self.box.set_clock)

    def _set(self, moment: datetime, how: Any) -> None:
        self.now = moment
        how(moment)
        os.environ["JANITOR_NOW"] = moment.isoformat()

    # --- functions ----------------------------------------------------------------------------

    def sweep(self, detector: str, **event: Any) -> SweepRunResult:
        asked = events.parse_event(event, events.SweepEvent, self.now)
        return handlers.run_sweep_event(
            asked, self._invocation(detector), holder=self._context().aws_request_id
        )

    def digest(self) -> None:
        handlers.post_digest(events.parse_event({}, events.DigestEvent, self.now), self._invocation())

    def press(self, word: Button, name: str, user: str) -> list[Any]:
        """Press a button on the message about *name* as *user*; return what became of what that set off."""
        ts = next(
            message["ts"] for message in reversed(self.slack.messages()) if self._offers(message, word, name)
        )
        signed = self.slack.press(ts, word.value, user=user)
        request = url_event(signed.headers, signed.body, at=self.now)
        answer = handlers.interact(request, self._context())
        if answer["statusCode"] != 200:
            raise RuntimeError(f"the function URL answered {answer['statusCode']} to {user}'s press")
        return list(self._delivered())

    def _offers(self, message: Mapping[str, Any], word: Button, name: str) -> bool:
        buttons = [element for block in message["blocks"] for element in block.get("elements", ())]
        return message["text"].startswith(f"{name}: ") and any(
            button.get("action_id") == word.value for button in buttons
        )

    def _delivered(self) -> Iterator[Any]:
        """Run what was handed over, until nothing is left."""
        while len(invocations := self.box.invocations()) > self.delivered:
            function, event = invocations[self.delivered]["function"], invocations[self.delivered]["event"]
            self.delivered += 1
            if function == WORKER:
                own = self._invocation()
                ephemeral_reply = ephemeral_replier(
                    own.seconds, deadline=own.slack_deadline, url=own.slack_url
                )
                presser = handlers.make_press_worker(own, ephemeral_reply)
                yield presser(handlers.verified_press(event, own))
            elif function == UNDO:
                asked = events.check_event(event, events.UndoEvent)
                yield deployment.make_undo_run(self._invocation(), handlers.structured_logger())(
                    asked, holder="undo"
                )
            else:
                yield self.sweep(function.removeprefix("ml-janitor-"), **event)

    def approve(self, detector: str, by: str) -> int:
        """Approve the many deletions that are due, as a person does with `janitor approve`."""
        ledger = self._invocation().ledger
        warned = [
            entry
            for entry in ledger.entries(detector, ACCOUNT, REGION)
            if entry.warned is not None and entry.closed is None and not entry.approved
        ]
        for entry in warned:
            ledger.approve(entry, by=by)
        return len(warned)

    # --- what it remembers --------------------------------------------------------------------

    def actions(self) -> list[Action]:
        own = Actions(self._invocation().table)
        return [action for detector in DETECTORS for action in own.all(detector.name, ACCOUNT, REGION)]

    @cached_property
    def holds(self) -> Holds:
        return Holds(self._invocation().table)

    def _invocation(self, detector: str = "") -> Invocation:
        environment = Environment.read({**os.environ, "JANITOR_DETECTOR": detector})
        seconds = SenderClock(clock=lambda: self.now.timestamp(), sleep=self._sleep)  # noqa: PLW0108 - now moves
        return Invocation(environment, self._context(), clock=lambda: self.now, seconds=seconds)

    def _context(self) -> Context:
        self.requests += 1
        return Context(aws_request_id=f"request-{self.requests}")
