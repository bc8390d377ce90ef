"""The place that an event has a function read: its own account, or an account of the run's list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import boto3

from ml_janitor.aws.answers import ReadError
from ml_janitor.config.events import MalformedEventError, SweepEvent
from ml_janitor.ledger.runs import RunAccount


class SweepPlace(NamedTuple):
    """An account, and the regions of it to read."""

    account: str
    regions: tuple[str, ...]


class EnteredPlace(NamedTuple):
    """A *session* for *place*; *off* holds the regions that are not enabled, where nothing is read."""

    session: boto3.Session
    place: SweepPlace
    off: SweepPlace

    def whole(self) -> EnteredPlace:
        """Return the same, if all of it is enabled. Raises ReadError."""
        if self.off.regions:
            raise ReadError(f"{', '.join(self.off.regions)} is not enabled in account {self.off.account}")
        return self


def own_place(asked: SweepEvent, *, home: str, regions: tuple[str, ...]) -> SweepPlace:
    """
    Return the place that *asked* reads in a deployment for its own account *home* and *regions*.

    Raises MalformedEventError for any other account.
    """
    if asked.account not in {None, home}:
        raise MalformedEventError(
            f"the event makes no sense: account: {asked.account} is not {home}, where this function is, and "
            "janitor.toml has no [organization]"
        )
    return SweepPlace(home, asked.within(regions))


def listed_place(asked: SweepEvent, listed: Iterable[RunAccount], *, home: str) -> SweepPlace:
    """
    Return the place that *asked* reads in an organization, whose run *listed* some accounts.

    An event, even a forged one, cannot have a function read elsewhere: an account or a region that was not
    listed raises MalformedEventError.
    """
    account = asked.looks_at or home
    item = next((item for item in listed if item.account == account), None)
    if item is None:
        other = "" if asked.looks_at else "; give an account that is"
        raise MalformedEventError(
            f"the event makes no sense: account: {account} is not in the list of its run{other}"
        )
    wanted = asked.within(item.regions)
    if beyond := [region for region in wanted if region not in item.regions]:
        raise MalformedEventError(
            f"the event makes no sense: regions: {', '.join(beyond)} of {account} not in the list of its run"
        )
    return SweepPlace(account, wanted)
