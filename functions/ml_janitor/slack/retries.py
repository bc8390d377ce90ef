"""Retries of requests to Slack after rate limits, outages and lost answers, within the time that is left."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPException
from json import JSONDecodeError
from typing import Any

from ml_janitor.slack.refusals import TEMPORARY_ERRORS

CONNECTION_ERRORS = (OSError, HTTPException, JSONDecodeError, UnicodeDecodeError)
"""Errors of a request that ends without an answer: refused, cut off, timed out, or incomplete."""

SLACK_TRIES = 6
"""Maximum number of tries of a request that Slack does not answer; rate limits do not count."""

FIRST_RETRY_PAUSE = 1.0
"""Seconds before the second try; each later pause is twice as long."""

PAUSE_WITHOUT_HEADER = 1.0
"""Seconds to wait at a rate limit that does not say how long."""


class SlackError(Exception):
    """Slack did not take something; the message says what to do."""


class TimeLeft:
    """
    The time left for requests: until *deadline*, in the seconds of *clock*.

    It decides whether and after which pause a request is retried; *sleep* waits.
    """

    def __init__(
        self, *, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._wanted = 0.0

    def retries(self) -> list[Any]:
        """Return the retry handlers of one request, for slack_sdk's clients."""
        return [RetryWithinDeadline(self)]

    def lasts(self, seconds: float) -> bool:
        """Return whether so many seconds are left."""
        return seconds < self._left()

    def wait(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def pause(self, *, status: int, headers: Mapping[str, Any], error: str, failures: int) -> float | None:
        """Return the seconds to wait before retrying after this answer; None if it is final."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._wanted = retry_after(headers)
            return self._wanted
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or error in TEMPORARY_ERRORS:
            return self.after(failures)
        return None

    def after(self, failures: int) -> float | None:
        """Return the seconds to wait after so many failures; None after the last try."""
        return None if failures >= SLACK_TRIES else FIRST_RETRY_PAUSE * 2 ** (failures - 1)

    def rate_limited(self) -> str:
        """Return the error for a rate limit beyond the time left."""
        return (
            f"Slack asks to wait {self._wanted:.0f} s (rate limit), and only {self._left():.0f} s are left; "
            "post to a channel of its own, or give the function more time"
        )

    def unreachable(self, why: str) -> str:
        """Return the error for a Slack that did not answer."""
        return f"Slack could not be reached ({why}), although retried: see https://slack-status.com"

    def upload(self, url: str, content: bytes, *, timeout: float) -> None:
        """
        POST *content* to an upload URL. Raises SlackError.

        slack_sdk's `files_upload_v2` does this once and without its retry handlers: a lost connection or a
        rate limit would cost the report.
        """
        failures = 0
        while True:
            # Slack's answer to an authenticated call names the URL.
            request = urllib.request.Request(url, data=content, method="POST")  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
                    answer.read()
                    return
            except urllib.error.HTTPError as refused:
                with refused:
                    failures += refused.code != HTTPStatus.TOO_MANY_REQUESTS
                    headers = dict(refused.headers)
                    pause = self.pause(status=refused.code, headers=headers, error="", failures=failures)
                    why = f"HTTP {refused.code}"
            except CONNECTION_ERRORS as broken:
                failures += 1
                pause, why = self.after(failures), type(broken).__name__
            if pause is None or not self.lasts(pause):
                raise SlackError(f"Slack did not take the file ({why})")
            self.wait(pause)

    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())


class RetryWithinDeadline:
    """
    The retry handler of one request, in the shape that slack_sdk expects.

    slack_sdk's handlers for rate limits, server errors and lost connections know no deadline and sleep by
    `time.sleep`: asked to wait for an hour, they would wait until Lambda ends the run.
    """

    def __init__(self, time_left: TimeLeft) -> None:
        self._time_left = time_left
        self._failures = 0
        self._pause = 0.0

    def can_retry(
        self, *, state: Any, request: Any, response: Any = None, error: Exception | None = None
    ) -> bool:
        """Return whether to retry after this *response* or *error*."""
        del state, request
        pause: float | None
        if response is not None:
            code = str((response.body or {}).get("error", ""))
            self._failures += response.status_code != HTTPStatus.TOO_MANY_REQUESTS
            pause = self._time_left.pause(
                status=response.status_code, headers=response.headers, error=code, failures=self._failures
            )
        elif isinstance(error, CONNECTION_ERRORS):
            self._failures += 1
            pause = self._time_left.after(self._failures)
        else:
            pause = None
        if pause is None or not self._time_left.lasts(pause):
            return False
        self._pause = pause
        return True

    def prepare_for_next_attempt(
        self, *, state: Any, request: Any, response: Any = None, error: Exception | None = None
    ) -> None:
        """Wait, and have the request retried."""
        del request, response, error
        self._time_left.wait(self._pause)
        state.next_attempt_requested = True
        state.increment_current_attempt()


def retry_after(headers: Mapping[str, Any]) -> float:
    """Return the seconds that a rate limit asks for; slack_sdk keeps a header's values in a list."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            seconds = str(value[0] if isinstance(value, list) else value)
            return float(seconds) if seconds.isdecimal() else PAUSE_WITHOUT_HEADER
    return PAUSE_WITHOUT_HEADER
