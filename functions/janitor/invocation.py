"""One invocation of a function: what Lambda and the deployment give it, opened when it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3

from janitor.account import opened
from janitor.archive import Archive
from janitor.aws import DEFAULT_ATTEMPTS, Aws
from janitor.clients import ServiceName, make_client
from janitor.ledger.findings import Ledger
from janitor.ledger.leases import Leases
from janitor.ledger.table import Table
from janitor.settings import FILE, Settings, SettingsError
from janitor.slack.telling import Teller

if TYPE_CHECKING:
    from janitor.detector import Detector
    from janitor.slack.sending import Sender, Time

RESERVE = timedelta(minutes=2)
"""
What a run keeps of its time for the report, the ledger and Slack; a quarter of it, if that is less.

A call that began just before then may still take a connection, an answer and a pause before its
next try, about a minute in all (see `janitor.clients.make_client`).
"""

AFTER_SLACK = timedelta(seconds=5)
"""What Slack leaves of the time, so that the run can end by itself; a tenth of it, if that is less."""


class Context(Protocol):
    """What the janitor asks of Lambda's context object."""

    @property
    def aws_request_id(self) -> str:
        """The id of the request, which stays over Lambda's own retries."""

    @property
    def invoked_function_arn(self) -> str:
        """Which function this is, and in which account."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """
    What the deployment says of a function.

    *functions* are those of the armed detectors by the detector's name, *undo* is the one that
    undoes: what this one may hand work to.
    """

    table: str
    bucket: str
    region: str
    detector: str
    slack_url: str
    root: Path
    functions: Mapping[str, str] = field(default_factory=dict)
    undo: str = ""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """From environment variables. Raises SettingsError with the name of one that is missing."""
        try:
            return cls(
                table=variables["JANITOR_TABLE"],
                bucket=variables["JANITOR_BUCKET"],
                region=variables["AWS_REGION"],
                detector=variables.get("JANITOR_DETECTOR", ""),
                slack_url=variables.get("JANITOR_SLACK_URL", ""),
                root=Path(variables.get("LAMBDA_TASK_ROOT", ".")),
                functions=_names(variables.get("JANITOR_FUNCTIONS", "{}")),
                undo=variables.get("JANITOR_UNDO", ""),
            )
        except KeyError as missing:
            raise SettingsError(f"{missing.args[0]} is not set in the environment") from None


class Invocation:
    """
    One invocation with its *environment* and *context*.

    *clock* is the real time, *seconds* are those that Slack is waited for.
    """

    def __init__(
        self,
        environment: Environment,
        context: Context,
        *,
        clock: Callable[[], datetime],
        seconds: Callable[[], Time],
    ) -> None:
        self.environment = environment
        self.context = context
        self.clock = clock
        self._seconds = seconds
        self._session = boto3.Session()
        files = [path for path in [environment.root / FILE] if path.exists()]
        self.settings = Settings.load(files=files)

    @property
    def left(self) -> timedelta:
        """How long it may still take."""
        return timedelta(milliseconds=self.context.get_remaining_time_in_millis())

    @property
    def account(self) -> str:
        """The account that the function runs in, from its own ARN: no call needed."""
        return str(self.context.invoked_function_arn.split(":")[4])

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that the deployment looks at."""
        return tuple(self.settings.janitor.regions) or (self.environment.region,)

    @property
    def detector(self) -> Detector[Any]:
        """The one detector that the function is for. Raises SettingsError."""
        for detector in self.settings.enabled():
            if detector.name == self.environment.detector:
                return detector
        raise SettingsError(f"JANITOR_DETECTOR: no enabled detector is called {self.environment.detector}")

    @cached_property
    def table(self) -> Table:
        return Table(self._client("dynamodb"), self.environment.table)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table)

    @property
    def leases(self) -> Leases:
        return Leases(self.table)

    @property
    def archive(self) -> Archive:
        return Archive(self._client("s3"), self.environment.bucket)

    @property
    def teller(self) -> Teller | None:
        """Whoever tells Slack, until shortly before the end; None if the deployment has no Slack."""
        if not self.settings.janitor.slack_secret:
            return None
        return Teller(self.connect, deadline=self.slack_deadline, keep_tag=self.keep_tag)

    @property
    def keep_tag(self) -> str:
        """The tag that exempts, as messages name it."""
        return next(iter(self.settings.janitor.keep_tags), "")

    @cached_property
    def seconds(self) -> Time:
        """The seconds that Slack is waited for."""
        return self._seconds()

    @property
    def slack_deadline(self) -> float:
        """Until when Slack is waited for, in those seconds."""
        left = self.left
        return self.seconds.clock() + (left - min(AFTER_SLACK, left / 10)).total_seconds()

    @cached_property
    def _sender(self) -> Sender:
        from janitor.slack.secret import secret, sender

        section = self.settings.janitor
        return sender(secret(section.slack_secret), section.slack_channel, self.seconds, url=self.slack_url)

    def connect(self) -> Sender:
        """The one sender of this invocation. Raises SlackError."""
        return self._sender

    @property
    def slack_url(self) -> str:
        """Where Slack's Web API is."""
        from janitor.slack.sending import API

        return self.environment.slack_url or API

    def hand_over(self, function: str, event: Mapping[str, Any]) -> None:
        """Have *function* called with *event*."""
        from janitor.handing import hand_over

        hand_over(self._client("lambda"), function, event)

    def opened(self, regions: tuple[str, ...]) -> AbstractContextManager[list[Aws]]:
        """The account in *regions*, read only as long as enough time is kept for what comes after."""
        reserve = min(RESERVE, self.left / 4)
        return opened(
            self._session,
            account=self.account,
            regions=regions,
            attempts=DEFAULT_ATTEMPTS,
            has_time=lambda: self.left > reserve,
        )

    def _client(self, service: ServiceName) -> Any:
        return make_client(self._session, service, self.environment.region, DEFAULT_ATTEMPTS)


def _names(text: str) -> Mapping[str, str]:
    """Functions' names by what they are for. Raises SettingsError."""
    try:
        return {str(name): str(function) for name, function in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise SettingsError("JANITOR_FUNCTIONS holds no JSON object of names") from None
