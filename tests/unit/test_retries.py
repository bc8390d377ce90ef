"""When a request to Slack is made again, after which pause, and until when. Nothing sleeps."""

import io
import urllib.error
import urllib.request
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import SleepingClock
from ml_janitor.slack.client import RetryWithinDeadline, SendError, TimeLeft, retry_after
from tables import cases

URL = "https://files.slack.com/upload/1"


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


@pytest.fixture
def left(clock: SleepingClock) -> TimeLeft:
    return TimeLeft(deadline=100, clock=lambda: clock.now, sleep=clock.sleep)


def answered(status: int, error: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return SimpleNamespace(status_code=status, headers=named, body={"error": error} if error else None)


def pauses(left: TimeLeft, clock: SleepingClock, *ends: Any) -> list[float | None]:
    """The pause after each of *ends*, which are answers or errors, of one request; None where it is final."""
    (retrying,) = left.retries()
    found = list[float | None]()
    for end in ends:
        how = {"error": end} if isinstance(end, Exception) else {"response": end}
        again = retrying.can_retry(state=None, request=None, **how)
        assert isinstance(again, bool)
        if again:
            state = SimpleNamespace(next_attempt_requested=False, increment_current_attempt=lambda: None)
            retrying.prepare_for_next_attempt(state=state, request=None, **how)
            assert state.next_attempt_requested is True
        found.append(clock.slept.pop() if again else None)
        assert clock.slept == []
    return found


@cases(
    "ends, waits",
    ([TimeoutError()] * 6, [1, 2, 4, 8, 16, None]),
    ([answered(503)] * 6, [1, 2, 4, 8, 16, None]),
    ([answered(200, "internal_error")] * 2, [1, 2]),
    ([answered(200, "channel_not_found")], [None]),
    ([answered(404)], [None]),
    ([answered(500)], [1]),
    ([ValueError()], [None]),
    ([answered(429, Retry_After="30")] * 3, [30, 30, 30]),
    ([answered(429, Retry_After="30"), TimeoutError(), answered(429), TimeoutError()], [30, 1, 1, 2]),
    ([answered(429, Retry_After="99")], [99]),
    ([answered(429, Retry_After="100")], [None]),
    ([answered(429, Retry_After="60"), answered(429, Retry_After="40")], [60, None]),
)
def test_a_request_is_made_again_after_a_pause_or_not_at_all(
    left: TimeLeft, clock: SleepingClock, ends: list[Any], waits: list[float | None]
) -> None:
    assert pauses(left, clock, *ends) == waits


def test_an_attempt_is_counted(left: TimeLeft) -> None:
    counted = list[str]()
    state = SimpleNamespace(increment_current_attempt=lambda: counted.append("once"))
    RetryWithinDeadline(left).prepare_for_next_attempt(state=state, request=None)
    assert counted == ["once"]


@cases(
    "headers, seconds",
    ({"retry-after": "7"}, 7),
    ({"X": "9", "Retry-After": ["7", "8"]}, 7),
    ({"Retry-After": "soon"}, 1),
    ({"X": "9"}, 1),
)
def test_how_long_a_rate_limit_asks_to_wait(headers: dict[str, Any], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_an_error_says_how_long_slack_asked_for_and_had_left(left: TimeLeft, clock: SleepingClock) -> None:
    pauses(left, clock, answered(429, Retry_After="200"))
    clock.now = 90
    assert "asks to wait 200 s (rate limit), and only 10 s are left" in left.rate_limited()
    clock.now = 110
    assert "only 0 s are left" in left.rate_limited()
    assert left.unreachable("HTTP 503").startswith("Slack could not be reached (HTTP 503)")


def refused(status: int, **headers: str) -> urllib.error.HTTPError:
    named = Message()
    for name, value in headers.items():
        named[name.replace("_", "-")] = value
    return urllib.error.HTTPError(URL, status, "no", named, io.BytesIO())


@cases(
    "ends, slept, why",
    ([], [], None),
    ([refused(503), ConnectionError(), refused(429, Retry_After="30")], [1, 2, 30], None),
    ([refused(429) for _ in range(7)], [1] * 7, None),
    ([refused(503), refused(429, Retry_After="30"), ConnectionError()], [1, 30, 2], None),
    ([refused(403)], [], r"\(HTTP 403\)"),
    ([refused(503) for _ in range(6)], [1, 2, 4, 8, 16], r"\(HTTP 503\)"),
    ([ConnectionError()] * 6, [1, 2, 4, 8, 16], r"\(ConnectionError\)"),
    ([refused(429, Retry_After="100")], [], r"\(HTTP 429\)"),
)
def test_an_upload_is_made_again_too(
    left: TimeLeft,
    clock: SleepingClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ends: list[Exception],
    slept: list[float],
    why: str | None,
) -> None:
    todo, sent = list(ends), list[tuple[str, bytes, str]]()
    taken = io.BytesIO(b"OK")

    def urlopen(request: urllib.request.Request, *, timeout: float) -> io.BytesIO:
        assert timeout == 10
        sent.append((request.full_url, bytes(request.data or b""), request.get_method()))  # type: ignore[arg-type]
        if todo:
            raise todo.pop(0)
        return taken

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    if why is None:
        left.upload(URL, b"png", timeout=10)
        assert taken.closed
    else:
        with pytest.raises(SendError, match=f"Slack did not take the file {why}"):
            left.upload(URL, b"png", timeout=10)

    assert (set(sent), clock.slept) == ({(URL, b"png", "POST")}, slept)
    assert len(sent) == len(ends) + (why is None)
