"""What a function may be sent, checked at the edge: by its schedule, or by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from aws_lambda_powertools.utilities.parser import parse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from janitor.arns import Arn
from janitor.durations import ago

STALE = timedelta(hours=1)
"""An event older than this runs as a dry run: the account is no longer the one it was sent for."""

SKEW = timedelta(minutes=5)
"""How far an event may be ahead of the clock. Further, everything would look idle since long."""


class MalformedEventError(ValueError):
    """The event makes no sense; one line."""


def _arn(text: str) -> str:
    Arn.parse(text)
    return text


class DigestEvent(BaseModel):
    """One digest. *time* is the scheduler's; by hand it may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))] | None = None

    def identity(self, request: str) -> str:
        """
        What makes two deliveries the same event: all that it says, or without a time the *request*.

        Lambda keeps the id of a request over its retries, but a message sent again by hand has another.
        """
        return request if self.time is None else self.model_dump_json(exclude_defaults=True)


class SweepEvent(DigestEvent):
    """
    One run of a detector.

    *time* becomes the sweep's `now`. *regions* replace the deployment's own for this run, *resource*
    looks at one ARN only. *mode* can make a run safer than the deployment, never bolder.
    """

    mode: Literal["dry-run"] | None = None
    regions: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}$")], ...] = Field(
        default=(), max_length=40
    )
    resource: Annotated[str, Field(max_length=2048), AfterValidator(_arn)] | None = None

    def noted(self, clock: datetime) -> str:
        """What a reader must know of the run at the real time *clock*, besides its findings."""
        age = timedelta() if self.time is None else clock - self.time
        return f"the event was {ago(age)} old, so this was a dry run" if age > STALE else ""

    def within(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        """Where to look, in a deployment that looks at *regions*: an S3 ARN does not say where it is."""
        if self.resource is not None:
            return (Arn.parse(self.resource).region or regions[0],)
        return tuple(dict.fromkeys(self.regions)) or regions


def read[E: DigestEvent](event: dict[str, Any], model: type[E], clock: datetime) -> E:
    """*event*, checked, at the real time *clock*. Raises MalformedEventError."""
    try:
        asked = parse(event=event, model=model)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "event"
        said = first["msg"].removeprefix("Value error, ")
        raise MalformedEventError(f"the event makes no sense: {where}: {said}") from None
    if asked.time is not None and asked.time - clock > SKEW:
        raise MalformedEventError(
            f"the event makes no sense: time: {asked.time:%Y-%m-%dT%H:%M:%SZ} is yet to come"
        )
    return asked
