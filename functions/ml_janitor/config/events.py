"""What a function may be sent, checked at the edge: by its schedule, or by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol, Self

from aws_lambda_powertools.utilities.parser import parse
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ml_janitor.aws.arns import REGION, Arn
from ml_janitor.core.durations import ago

STALE = timedelta(hours=1)
"""An event older than this runs as a dry run: the account is no longer the one it was sent for."""

LIST_LASTS = timedelta(days=1)
"""How long a run over an organization may take: then its list of accounts is no longer the one to act by."""

SKEW = timedelta(minutes=5)
"""How far an event may be ahead of the clock. Further, everything would look idle since long."""


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


class MalformedEventError(ValueError):
    """The event makes no sense; one line."""


def _arn(text: str) -> str:
    Arn.parse(text)
    return text


type Time = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]


class DigestEvent(BaseModel):
    """One digest. *time* is the scheduler's; by hand it may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: Time | None = None

    def identity(self, request: str) -> str:
        """
        What makes two deliveries the same event: all that it says, or without a time the *request*.

        Lambda keeps the id of a request over its retries, but a message sent again by hand has another.
        """
        return request if self.time is None else self.model_dump_json()


class SweepEvent(DigestEvent):
    """
    One run of a detector.

    *time* names the run, and becomes the sweep's `now` unless the account's turn came later, when it
    *started*: an organization takes hours. *account* is whose, the function's own without one. *regions*
    replace the deployment's own for this run, *resource* looks at one ARN only. *mode* can make a run safer
    than the deployment, never bolder; nor do others make it act where the deployment does not look.
    """

    mode: Literal["dry-run"] | None = None
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    regions: tuple[Annotated[str, Field(pattern=rf"^{REGION}$")], ...] = Field(default=(), max_length=40)
    resource: Annotated[str, Field(max_length=2048), AfterValidator(_arn)] | None = None
    started: Time | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """A start belongs to a run; by two clocks of AWS it may seem to come first."""
        if self.started is not None and (self.time is None or self.started < self.time - SKEW):
            raise ValueError("started: it needs the time of its run, which is not after it")
        if self.resource is not None and self.account not in {None, self._resource_account or self.account}:
            raise ValueError(f"resource: it is in account {self._resource_account}, not in {self.account}")
        return self

    @property
    def _resource_account(self) -> str:
        """Whose *resource* is, "" where its ARN does not say so, as those of S3."""
        return Arn.parse(self.resource).account if self.resource is not None else ""

    @property
    def looks_at(self) -> str:
        """The account that it names by itself, or by that of the resource; "" for the function's own."""
        return self.account or self._resource_account

    @property
    def begun(self) -> datetime | None:
        """When it was started, from which its age counts."""
        return self.started or self.time

    def identity(self, request: str) -> str:
        """What makes two deliveries the same event; when each of them was started is no part of it."""
        return (
            request if self.time is None else self.model_dump_json(exclude_defaults=True, exclude={"started"})
        )

    def harmless(self, now: datetime, regions: tuple[str, ...]) -> str:
        """
        Why it runs as a dry run without asking for one, or "".

        *now* is the real time, *regions* are the deployment's.
        """
        if self.begun is not None and now - self.begun > STALE:
            return f"the event was {ago(now - self.begun)} old, so this was a dry run"
        if self.time is not None and self.started is not None and self.started - self.time > LIST_LASTS:
            age = ago(self.started - self.time)
            return f"its run began {age} before it was started, so this was a dry run"
        if elsewhere := [each for each in dict.fromkeys(self.regions) if each not in regions]:
            return f"the deployment does not look at {', '.join(elsewhere)} by itself, so this was a dry run"
        return ""

    def within(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        """Where to look, in a deployment that looks at *regions*: an S3 ARN does not say where it is."""
        if self.resource is not None:
            return (Arn.parse(self.resource).region or regions[0],)
        return tuple(dict.fromkeys(self.regions)) or regions


class AccountsEvent(DigestEvent):
    """One step of the run of *detector* over an organization: to list its accounts, or to end it."""

    step: Literal["list", "close"]
    detector: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    time: Time


class PressEvent(BaseModel):
    """A press on a button in Slack, as the function behind the URL hands it on: verified, and not judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{1,30}$")]
    team: Annotated[str, Field(pattern=r"^([TE][A-Z0-9]{1,30})?$")] = ""
    channel: Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{1,30}$")]
    message: Annotated[str, Field(pattern=r"^\d{1,12}\.\d{1,9}$")]
    action: Annotated[str, Field(max_length=255)]
    value: Annotated[str, Field(max_length=2000)]
    at: Annotated[str, Field(pattern=r"^\d{1,12}\.\d{1,9}$")]
    response_url: Annotated[str, Field(max_length=2000, repr=False)] = ""

    @property
    def pressed(self) -> datetime:
        """When it was pressed, by Slack's clock."""
        return datetime.fromtimestamp(int(self.at.partition(".")[0]), UTC)

    @property
    def identity(self) -> str:
        """What makes two deliveries the same press; the URL for the answer is no part of it."""
        return f"{self.user} {self.channel} {self.message} {self.action} {self.value} {self.at}"


class UndoEvent(BaseModel):
    """
    One finding to bring back, on whose word; *again* if an undo that they asked for broke off.

    *request* tells two askings for the same apart; without it, every invocation is one of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=rf"^{REGION}$")]
    finding: Annotated[str, Field(pattern=r"^[0-9a-f]{10}$")]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    request: Annotated[str, Field(max_length=3000)] = ""
    again: bool = False

    def identity(self, request: str) -> str:
        """What makes two deliveries the same event."""
        return self.model_dump_json() if self.request else request


def checked[M: BaseModel](event: dict[str, Any], model: type[M]) -> M:
    """*event* as a *model*. Raises MalformedEventError."""
    try:
        return parse(event=event, model=model)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "event"
        message = first["msg"].removeprefix("Value error, ")
        raise MalformedEventError(f"the event makes no sense: {where}: {message}") from None


def read[E: DigestEvent](event: dict[str, Any], model: type[E], now: datetime) -> E:
    """*event*, checked, at the real time *now*. Raises MalformedEventError."""
    asked = checked(event, model)
    for name in ("time", "started"):
        at: datetime | None = getattr(asked, name, None)
        if at is not None and at - now > SKEW:
            raise MalformedEventError(
                f"the event makes no sense: {name}: {at:%Y-%m-%dT%H:%M:%SZ} is yet to come"
            )
    return asked
