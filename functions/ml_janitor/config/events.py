"""Check the events of functions at the edge: from a schedule, or sent by hand."""

from __future__ import annotations

from collections.abc import Sequence
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
from pydantic_core import ErrorDetails

from ml_janitor.aws.tags import REGION_PATTERN, Arn
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.durations import format_age

STALE_EVENT = timedelta(hours=1)
"""The age from which an event runs as a dry run: the account has changed since it was sent."""

LONGEST_ORGANIZATION_RUN = timedelta(days=1)
"""The longest run over an organization: after that, its list of accounts is too old to act on."""

MOST_PARTS = 12
"""Parts of a run at most. Lambda ends a chain of about 16 invocations by itself (`RecursiveLoop`)."""

CLOCK_SKEW = timedelta(minutes=5)
"""The time by which an event may be ahead of the clock. Beyond it, every resource would look idle."""


class FunctionContext(Protocol):
    """The members of Lambda's context object that the janitor uses."""

    @property
    def aws_request_id(self) -> str:
        """Return the id of the request, which stays over Lambda's own retries."""

    @property
    def invoked_function_arn(self) -> str:
        """Return the ARN of the function, with its account."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time of the invocation."""


def _arn(text: str) -> str:
    Arn.parse(text)
    return text


type DetectorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
type UtcTime = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]

PROBLEMS = {
    "bool": "expected true or false",
    "datetime": "expected a time with its zone, such as 2026-10-06T03:00:00Z",
    "extra_forbidden": "no member is called so; there are {members}",
    "finite_number": "expected a whole number",
    "greater_than_equal": "expected {ge} or more",
    "int": "expected a whole number",
    "json_invalid": "it is not JSON",
    "less_than_equal": "expected {le} or less",
    "literal_error": "expected {expected}",
    "missing": "it is missing",
    "string": "expected a text",
    "string_pattern_mismatch": "expected a text of the form {pattern}",
    "string_too_long": "expected {max_length:,} characters at most",
    "timezone": "expected a time with its zone, such as 2026-10-06T03:00:00Z",
    "too_long": "expected {max_length:,} values at most",
    "tuple": "expected a list",
    "value_error": "{error}",
}
"""pydantic's errors in words, by their types or the first words of these."""


class ScheduledEvent(BaseModel):
    """Work of a schedule, which sets *time*; a person may leave it out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: UtcTime | None = None

    def identity(self, request: str) -> str:
        """
        Return a text that is equal for two deliveries of an event: the whole event, or *request* without
        a time.

        Lambda keeps the id of a request over its retries, but a message sent again by hand has another.
        """
        return request if self.time is None else self.model_dump_json(exclude_none=True)


class DigestEvent(ScheduledEvent):
    """One digest, or only the watch over all schedules."""

    only: Literal["schedules"] | None = None


class SweepEvent(ScheduledEvent):
    """
    One run of a detector, or of the *detectors* that share a function.

    *time* names the run, and is the sweep's `now` unless the account's turn came later, when it
    *started*: an organization takes hours. A run that takes longer than an invocation goes on in another
    *part*. *account* is the swept account, by default the function's own.
    *regions* replace the deployment's own for this run, *resource* limits it to one ARN. *mode* can make
    a run safer than the deployment, never bolder; other regions and accounts never act where the
    deployment does not sweep.
    """

    mode: Literal["dry-run"] | None = None
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    regions: tuple[Annotated[str, Field(pattern=rf"^{REGION_PATTERN}$")], ...] = Field(
        default=(), max_length=40
    )
    resource: Annotated[str, Field(max_length=2048), AfterValidator(_arn)] | None = None
    started: UtcTime | None = None
    detectors: tuple[DetectorName, ...] = Field(default=(), max_length=100)
    part: int = Field(default=1, ge=1, le=MOST_PARTS)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """
        Refuse a start without a run, or before it (beyond the skew of AWS's
        clocks), and another account.
        """
        if self.started is not None and (self.time is None or self.started < self.time - CLOCK_SKEW):
            raise ValueError("started: it needs the time of its run, which is not after it")
        if self.resource is not None and self.account not in {None, self._resource_account or self.account}:
            raise ValueError(f"resource: it is in account {self._resource_account}, not in {self.account}")
        return self

    @property
    def _resource_account(self) -> str:
        """Return the account of *resource*, "" where its ARN names none, as those of S3."""
        return Arn.parse(self.resource).account if self.resource is not None else ""

    @property
    def looks_at(self) -> str:
        """Return the account that it names directly or by its resource; "" for the function's own."""
        return self.account or self._resource_account

    @property
    def begun(self) -> datetime | None:
        """Return when it was started, from which its age counts."""
        return self.started or self.time

    def identity(self, request: str) -> str:
        """
        Return a text that is equal for two deliveries of an event to one detector.

        Their *started* may differ, and the other detectors that they name.
        """
        if self.time is None:
            return request
        return self.model_dump_json(exclude_defaults=True, exclude={"started", "detectors"})

    def next_part(
        self, detectors: Sequence[str], *, started: datetime, regions: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return the event of the next part of the run, for *detectors* in *regions*, started anew."""
        following = {"detectors": tuple(detectors), "part": self.part + 1}
        if regions:
            following["regions"] = tuple(regions)
        if self.time is not None:
            following["started"] = started
        return self.model_copy(update=following).model_dump(mode="json", exclude_defaults=True)

    def harmless(self, now: datetime, regions: tuple[str, ...]) -> str:
        """
        Return why it runs as a dry run without asking for one, or "".

        *now* is the real time, *regions* are the deployment's.
        """
        if self.begun is not None and now - self.begun > STALE_EVENT:
            return f"the event was {format_age(now - self.begun)} old, so this was a dry run"
        if (
            self.time is not None
            and self.started is not None
            and self.started - self.time > LONGEST_ORGANIZATION_RUN
        ):
            age = format_age(self.started - self.time)
            return f"its run began {age} before it was started, so this was a dry run"
        if elsewhere := [region for region in dict.fromkeys(self.regions) if region not in regions]:
            return f"the deployment does not look at {', '.join(elsewhere)} by itself, so this was a dry run"
        return ""

    def within(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        """Return the regions to look at, in a deployment of *regions*: an S3 ARN does not name its region."""
        if self.resource is not None:
            return (Arn.parse(self.resource).region or regions[0],)
        return tuple(dict.fromkeys(self.regions)) or regions


class AccountsEvent(ScheduledEvent):
    """
    A step of the run of *detectors* over an organization: to list its accounts, or to end the run.

    Executions that an earlier version started name one *detector*.
    """

    step: Literal["list", "close"]
    detector: DetectorName = ""
    detectors: tuple[DetectorName, ...] = ()
    time: UtcTime

    @model_validator(mode="after")
    def _names_some(self) -> Self:
        """Refuse an event that names no detector."""
        if not self.names:
            raise ValueError("detectors: it needs the name of one")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the detectors."""
        return self.detectors or ((self.detector,) if self.detector else ())


class SignedPressEvent(BaseModel):
    """A press as Slack signed it, from the function behind the URL. The worker verifies it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body: Annotated[str, Field(max_length=64 * 1024, repr=False)]
    stamp: Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]
    signature: Annotated[str, Field(pattern=r"^v0=[0-9a-f]{64}$", repr=False)]


class PressEvent(BaseModel):
    """A press on a button in Slack: Slack signed it, but it is not yet checked."""

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
        """Return when it was pressed, by Slack's clock."""
        return datetime.fromtimestamp(int(self.at.partition(".")[0]), UTC)

    @property
    def identity(self) -> str:
        """Return a text that is equal for two deliveries of a press; the response URL may differ."""
        return f"{self.user} {self.channel} {self.message} {self.action} {self.value} {self.at}"


class UndoEvent(BaseModel):
    """
    A finding to undo, and the signed request for it (*asked*); *again* retries an undo that broke off.

    *request* tells two requests for the same undo apart; without it, every invocation counts as new. Nobody
    believes *by*, which events of earlier versions have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: DetectorName
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=rf"^{REGION_PATTERN}$")]
    finding: Annotated[str, Field(pattern=r"^[0-9a-f]{10}$")]
    by: Annotated[str, Field(max_length=200)] = ""
    request: Annotated[str, Field(max_length=3000)] = ""
    asked: dict[str, Any] = Field(default_factory=dict)
    again: bool = False

    def identity(self, request: str) -> str:
        """Return a text that is equal for two deliveries of the event."""
        return self.model_dump_json() if self.request else request


def check_event[M: BaseModel](event: dict[str, Any], model: type[M]) -> M:
    """Parse *event* as a *model*. Raises InvalidInputError."""
    try:
        return parse(event=event, model=model)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "event"
        raise InvalidInputError(f"invalid event: {where}: {_problem(first, model)}") from None


def _problem(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Say one of pydantic's errors in words, without the refused value: it may be a signature."""
    words = PROBLEMS.get(error["type"]) or PROBLEMS.get(error["type"].partition("_")[0], "expected an object")
    return words.format(**error.get("ctx", {}), members=", ".join(model.model_fields))


def parse_event[E: ScheduledEvent](event: dict[str, Any], model: type[E], now: datetime) -> E:
    """Parse *event*, and check it at the real time *now*. Raises InvalidInputError."""
    asked = check_event(event, model)
    for name in ("time", "started"):
        at: datetime | None = getattr(asked, name, None)
        if at is not None and at - now > CLOCK_SKEW:
            raise InvalidInputError(f"invalid event: {name}: {at:%Y-%m-%dT%H:%M:%SZ} is yet to come")
    return asked
