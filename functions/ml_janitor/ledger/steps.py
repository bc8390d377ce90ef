"""The steps of an act or an undo, recorded before and after each, so that no step is done twice."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from ml_janitor.aws.client import READ_OPERATIONS
from ml_janitor.ledger.action import STEP_REFUSED

if TYPE_CHECKING:
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.actions import Actions

_AMBIGUOUS_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

_RETRIED_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Errors of throttling and timeouts, which some services give the status 400."""


class RecordedSteps:
    """The steps of one *action*, recorded before and after each; *phase* is "act" or "undo"."""

    def __init__(self, actions: Actions, action: Action, phase: str) -> None:
        self._actions = actions
        self._action = action
        self._phase = phase
        self._known = dict(action.steps)

    def do(self, name: str, call: Callable[[], object]) -> None:
        """
        Do the step *name*, unless it is recorded as done.

        A step of an act that AWS refused was not done, unless an earlier try may have done it.
        """
        before = self._known.get(f"{self._phase}: {name}")
        if before == "done":
            return
        self._record(name, "begun")
        try:
            call()
        except Exception as error:  # raised again, after the step is recorded
            if self._phase == "act" and before != "begun" and proves_refusal(error):
                self._record(name, STEP_REFUSED)
            raise
        self._record(name, "done")

    def forget(self, name: str) -> None:
        """Let the step *name* be done again, if it is recorded as done."""
        if self._known.get(f"{self._phase}: {name}") == "done":
            self._record(name, "forgotten")

    def begun(self, name: str) -> bool:
        """Return whether the step *name* was begun before."""
        return self._known.get(f"{self._phase}: {name}") in {"begun", "done"}

    def _record(self, name: str, how: str) -> None:
        full = f"{self._phase}: {name}"
        self._actions.step(self._action, full, how)
        self._known[full] = how


def proves_refusal(error: BaseException) -> bool:
    """
    Return whether *error* proves that the changing call was not carried out.

    A lost answer, a fault of AWS (5xx), throttling and timeouts prove nothing. Neither does
    the refusal of a second try, since the first may have done its work, nor the refusal of a
    read, which says nothing of the change before it.
    """
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError) or READ_OPERATIONS.match(error.operation_name):
        return False
    about = error.response.get("ResponseMetadata", {})
    status, code = about.get("HTTPStatusCode", 0), error.response.get("Error", {}).get("Code", "")
    return (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in _AMBIGUOUS_STATUSES
        and code not in _RETRIED_CODES
        and not about.get("RetryAttempts")
    )
