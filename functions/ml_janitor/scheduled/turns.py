"""The turns of each function at the operations of AWS that several of them call: from the settings alone."""

from __future__ import annotations

from datetime import timedelta

from ml_janitor.aws.pace import RATES, Share
from ml_janitor.config.schedules import meet
from ml_janitor.config.settings import Settings

BILL = "bill"
"""The function that reads the bill, whose environment names no detector."""

LONGEST_RUN = timedelta(minutes=15)
"""Lambda's longest time for one invocation."""

MAP_RUN = timedelta(hours=1) + LONGEST_RUN
"""From a detector's schedule until the last account was looked at: of no more accounts than `in_time`."""

AN_HOUR = 8
"""Accounts as large as that of docs/scale.md that one of `at_once` looks at in an hour, one by one."""


def in_time(settings: Settings) -> int:
    """How many accounts a run looks at before detectors that share no turns with its own may begin."""
    return AN_HOUR * settings.organization.at_once


def slow_runs(settings: Settings, accounts: int) -> list[str]:
    """What an operator has to know where a run over so many *accounts* outlasts `MAP_RUN`."""
    held = in_time(settings)
    if accounts <= held:
        return []
    wanted = -(-accounts // AN_HOUR)
    slow = (
        f"organization.at_once = {settings.organization.at_once} looks at about {held} large accounts in an "
        f"hour, and there are {accounts}: runs of several detectors may then look at an account together, "
        "which calls AWS more often than half of its rates there, and takes longer where AWS refuses; with "
        f"at_once = {wanted} they do not"
    )
    return [slow]


def shares(settings: Settings, name: str) -> dict[str, Share]:
    """
    The turns of the function *name* (a detector's, or `BILL`), by operation: every deployment of the same
    settings divides them alike.

    A rate that AWS is known to enforce is divided among all functions that call the operation, whenever they
    run. `UNKNOWN` is divided among those whose schedules let them run together: divided among all, it would
    not last for a thousand endpoints in Lambda's time.
    """
    calls = calling(settings)
    schedules = {one.name: settings.schedule(type(one)) for one in settings.enabled()}
    schedules[BILL] = settings.bill.schedule
    span = MAP_RUN if settings.organization.used else LONGEST_RUN
    own = schedules.get(name)
    together = {one for one in calls if own is None or one == name or meet(own, schedules[one], span)}
    found = {}
    for action in sorted(calls.get(name) or set().union(*calls.values())):
        among = calls if action in RATES else together
        callers = [one for one, actions in calls.items() if one in among and action in actions]
        if len(callers) > 1:
            found[action] = Share(callers.index(name) if name in callers else 0, len(callers))
    return found


def calling(settings: Settings) -> dict[str, set[str]]:
    """The operations that each function calls of what is not the janitor's own, by its name."""
    armed = {one.name for one in settings.armed()}
    grants = {one.name: (*one.reads, *(one.acts if one.name in armed else ())) for one in settings.enabled()}
    if settings.bill.enabled:  # imported late: no other function needs it
        from ml_janitor.bill.asking import bill_reads

        grants[BILL] = bill_reads(settings.bill)
    return {name: {one.action for one in given if not one.implied} for name, given in grants.items()}
