"""The turns of each function at AWS operations that several functions call: from the settings alone."""

from __future__ import annotations

from datetime import timedelta

from ml_janitor.aws.pace import AWS_RATES, RateSlot
from ml_janitor.config.schedules import schedules_overlap
from ml_janitor.config.settings import Settings

BILL_FUNCTION = "bill"
"""The function that reads the bill, whose environment names no detector."""

LONGEST_INVOCATION = timedelta(minutes=15)
"""Lambda's longest time for one invocation."""

MAP_RUN = timedelta(hours=1) + LONGEST_INVOCATION
"""Time from a detector's schedule until it read the last account, of at most `accounts_in_time` accounts."""

ACCOUNTS_PER_HOUR = 8
"""Accounts as large as that of docs/scale.md that one of `at_once` reads in an hour, one by one."""


def accounts_in_time(settings: Settings) -> int:
    """Return how many accounts a run reads before detectors that share no turns with it may begin."""
    return ACCOUNTS_PER_HOUR * settings.organization.at_once


def warn_of_slow_runs(settings: Settings, accounts: int) -> list[str]:
    """Return a warning for the operator if a run over *accounts* accounts outlasts `MAP_RUN`."""
    held = accounts_in_time(settings)
    if accounts <= held:
        return []
    wanted = -(-accounts // ACCOUNTS_PER_HOUR)
    slow = (
        f"organization.at_once = {settings.organization.at_once} looks at about {held} large accounts in an "
        f"hour, and there are {accounts}: runs of several detectors may then look at an account together, "
        "which calls AWS more often than half of its rates there, and takes longer where AWS refuses; with "
        f"at_once = {wanted} they do not"
    )
    return [slow]


def rate_slots(settings: Settings, name: str) -> dict[str, RateSlot]:
    """
    Return the turns of the function *name* (a detector's, or `BILL`), by operation.

    Every deployment of the same settings divides them alike. All functions that call an operation share a
    rate that AWS is known to enforce, whenever they run. The functions whose schedules let them run together
    share `UNKNOWN`: if all shared it, it would not last for a thousand endpoints in Lambda's time.
    """
    calls = actions_by_function(settings)
    schedules = {detector.name: settings.schedule(type(detector)) for detector in settings.enabled()}
    schedules[BILL_FUNCTION] = settings.bill.schedule
    span = MAP_RUN if settings.organization.used else LONGEST_INVOCATION
    own = schedules.get(name)
    together = {
        function
        for function in calls
        if own is None or function == name or schedules_overlap(own, schedules[function], span)
    }
    found = {}
    for action in sorted(calls.get(name) or set().union(*calls.values())):
        among = calls if action in AWS_RATES else together
        callers = [function for function, actions in calls.items() if function in among and action in actions]
        if len(callers) > 1:
            found[action] = RateSlot(callers.index(name) if name in callers else 0, len(callers))
    return found


def actions_by_function(settings: Settings) -> dict[str, set[str]]:
    """Return the operations that each function calls outside the janitor's own resources, by its name."""
    armed = {detector.name for detector in settings.armed()}
    grants = {
        detector.name: (*detector.reads, *(detector.acts if detector.name in armed else ()))
        for detector in settings.enabled()
    }
    if settings.bill.enabled:  # imported late: no other function needs it
        from ml_janitor.bill.asking import bill_reads

        grants[BILL_FUNCTION] = bill_reads(settings.bill)
    return {name: {grant.action for grant in given if not grant.implied} for name, given in grants.items()}
