"""Where an event has a function look: its own account, or one that the run's list names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import boto3

from ml_janitor.aws.answers import ReadError
from ml_janitor.config.events import MalformedEventError, SweepEvent
from ml_janitor.ledger.runs import Listed


class Place(NamedTuple):
    """An account, and the regions of it to look at."""

    account: str
    regions: tuple[str, ...]


class Entered(NamedTuple):
    """A *session* for *place*, and what of it is *off*: in regions that are not enabled, nothing is read."""

    session: boto3.Session
    place: Place
    off: Place

    def whole(self) -> Entered:
        """The same, if all of it is enabled. Raises ReadError."""
        if self.off.regions:
            raise ReadError(f"{', '.join(self.off.regions)} is not enabled in account {self.off.account}")
        return self


def place_here(asked: SweepEvent, *, home: str, regions: tuple[str, ...]) -> Place:
    """
    Where *asked* looks in a deployment that is for its own account *home*, and looks at *regions*.

    Raises MalformedEventError for any other account.
    """
    if asked.account not in {None, home}:
        raise MalformedEventError(
            f"the event makes no sense: account: {asked.account} is not {home}, where this function is, and "
            "janitor.toml has no [organization]"
        )
    return Place(home, asked.within(regions))


def place_listed(asked: SweepEvent, listed: Iterable[Listed], *, home: str) -> Place:
    """
    Where *asked* looks in an organization, of which its run *listed* some accounts.

    Neither an event nor whoever forges one has a function look elsewhere: raises MalformedEventError for
    an account or a region that was not listed.
    """
    account = asked.looks_at or home
    item = next((each for each in listed if each.account == account), None)
    if item is None:
        other = "" if asked.looks_at else "; give an account that is"
        raise MalformedEventError(
            f"the event makes no sense: account: {account} is not in the list of its run{other}"
        )
    wanted = asked.within(item.regions)
    if beyond := [each for each in wanted if each not in item.regions]:
        raise MalformedEventError(
            f"the event makes no sense: regions: {', '.join(beyond)} of {account} not in the list of its run"
        )
    return Place(account, wanted)
