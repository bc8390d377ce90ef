"""What was read, or why it was not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Value[T]:
    """Something was read: *value*, from the call *source*, speaking of the time *at*."""

    value: T
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """It was read, and there is none. Never more than `likely` evidence."""

    source: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It could not be read. Unknown is not idle: a required signal like this keeps the candidate."""

    error: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class NotRead:
    """It was not asked for, because cheaper signals had settled the question already."""


type Signal[T] = Value[T] | Absent | Unreadable | NotRead


def given[T, U](signal: Signal[T], then: Callable[[T], U]) -> Signal[U]:
    """*signal* with what *then* makes of the value that was read; without one, it stays as it is."""
    return Value(then(signal.value), signal.source, signal.at) if isinstance(signal, Value) else signal


type Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal as a report shows it: a scalar, or the error that kept it from being read."""

    signal: str
    value: str | int | float | None = None
    error: str | None = None
    source: str = ""
    at: datetime | None = None


type Scalar = str | int | float


def evidence[T](
    name: str, signal: Signal[T], value: Scalar | Callable[[T], Scalar] | None = None
) -> Evidence:
    """*signal* under *name* for a report; *value* replaces how a read value is shown, or says it."""
    match signal:
        case Value(read, source, at):
            shown = value(read) if callable(value) else read if value is None else value
            scalar = shown if isinstance(shown, str | int | float) else str(shown)
            return Evidence(name, scalar, source=source, at=at)
        case Absent(source):
            return Evidence(name, "none" if value is None or callable(value) else value, source=source)
        case Unreadable(error, source):
            return Evidence(name, error=error, source=source)
        case NotRead():
            return Evidence(name, "not read: the question was settled without it")
