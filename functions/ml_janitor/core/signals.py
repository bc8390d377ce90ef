"""Signals: values that were read, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Value[T]:
    """A *value* that was read from the call *source*; it describes the time *at*."""

    value: T
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A signal that was read, and has no value. Never more than `likely` evidence."""

    source: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A signal that could not be read. Unknown is not idle: if it is required, the candidate is kept."""

    error: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class NotRead:
    """A signal that was not asked for, because cheaper signals had settled the question."""


type Signal[T] = Value[T] | Absent | Unreadable | NotRead


def map_signal[T, U](signal: Signal[T], then: Callable[[T], U]) -> Signal[U]:
    """Apply *then* to the value of *signal*; a signal without a value stays as it is."""
    return Value(then(signal.value), signal.source, signal.at) if isinstance(signal, Value) else signal


type Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal for a report: a scalar, or the error of reading it."""

    signal: str
    value: str | int | float | None = None
    error: str | None = None
    source: str = ""
    at: datetime | None = None


type Scalar = str | int | float


def as_evidence[T](
    name: str, signal: Signal[T], value: Scalar | Callable[[T], Scalar] | None = None
) -> Evidence:
    """Return *signal* as evidence under *name*; *value* formats the read value, or replaces it."""
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
