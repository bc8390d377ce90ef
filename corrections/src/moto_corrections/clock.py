"""The time: a settable constant that every change of state is stamped with.

It does not tick, so a test says what time it is and nothing else decides. freezegun is not used:
it patches the whole process, and here the clients under test may live in the same one.
"""

import datetime as dt
import importlib
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

from moto_corrections import state

DEFAULT = dt.datetime(2026, 10, 6, 3, 0, tzinfo=dt.UTC)

# Credentials handed out by STS are checked against the *client's* clock: they keep real time.
REAL_TIME = ("moto.sts",)

# Modules that bound `utcnow` by name before it could be replaced are found by scanning.
_lock = Lock()
_now = DEFAULT
_before: list[Callable[[dt.datetime], None]] = []


def now() -> dt.datetime:
    """Return the time, aware, in UTC."""
    return _now


def naive() -> dt.datetime:
    """Return the time without a zone, which is how moto keeps its times."""
    return _now.replace(tzinfo=None)


def millis() -> int:
    """Return the time as the milliseconds since 1970 that CloudWatch Logs uses."""
    return to_millis(_now)


def set_now(moment: dt.datetime) -> None:
    """Move the clock, forwards or backwards; nothing else happens meanwhile."""
    with state.LOCK:
        for look in _before:
            look(moment)
        jump(moment)


def before_moving(look: Callable[[dt.datetime], None]) -> None:
    """Call this with the time that the clock is going to show, right before it moves."""
    if look not in _before:
        _before.append(look)


def jump(moment: dt.datetime) -> None:
    """Show another time, and call nobody."""
    global _now  # noqa: PLW0603  a process has one clock
    with _lock:
        _now = moment.astimezone(dt.UTC)


def parse(text: str) -> dt.datetime:
    """Read an ISO 8601 time; one without a zone is UTC."""
    return aware(dt.datetime.fromisoformat(text)).astimezone(dt.UTC)


def aware(moment: dt.datetime) -> dt.datetime:
    """Return a time with its zone: requests are parsed into times without one, which are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def text(moment: dt.datetime) -> str:
    """Write a time as AWS's documentation does, in UTC with a Z."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def to_millis(moment: dt.datetime) -> int:
    """Return milliseconds since 1970, exact."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (moment - epoch) // dt.timedelta(milliseconds=1)


def install() -> None:
    """Replace moto's `utcnow` wherever it has been imported, and time sources that avoid it."""
    utils = importlib.import_module("moto.core.utils")
    real = utils.utcnow
    if real is naive:
        return
    # Loaded now, so that it keeps the real function it imports by name.
    for name in REAL_TIME:
        importlib.import_module(f"{name}.models")
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "moto" or name.startswith(REAL_TIME):
            continue
        if getattr(module, "utcnow", None) is real:
            module.utcnow = naive  # type: ignore[attr-defined]
    _stamp_buckets()


def _stamp_buckets() -> None:
    """Give S3 buckets this time: moto asks `datetime.now` for this one."""
    bucket: Any = importlib.import_module("moto.s3.models").FakeBucket
    original = bucket.__init__

    def born(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.creation_date = now()

    bucket.__init__ = born
