"""What a function may be sent, checked at the edge: by its schedule, or by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from janitor.arns import Arn

STALE = timedelta(hours=1)
"""An event older than this runs as a dry run: the account is no longer the one it was sent for."""


class SweepEvent(BaseModel):
    """
    One run of a detector.

    *time* is the scheduler's and becomes the sweep's `now`; by hand it may be left out. *regions*
    replace the deployment's own for this run, *resource* looks at one ARN only. *mode* can make a
    run safer than the deployment, never bolder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: AwareDatetime | None = None
    mode: Literal["dry-run"] | None = None
    regions: tuple[str, ...] = Field(default=(), max_length=40)
    resource: str | None = Field(default=None, max_length=2048)

    def stale(self, clock: datetime) -> bool:
        """Whether the event is older than `STALE` at *clock*."""
        return self.time is not None and clock - self.time > STALE

    def target(self) -> Arn | None:
        """The one resource asked for. Raises ValueError if it is no ARN."""
        return None if self.resource is None else Arn.parse(self.resource)


class DigestEvent(BaseModel):
    """One digest; *time* as in `SweepEvent`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: AwareDatetime | None = None
