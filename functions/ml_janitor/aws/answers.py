"""Turns AWS's answers into whole listings, signals, and one-line errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps

from ml_janitor.core.signals import Absent, Signal, Unreadable, Value


class ReadError(Exception):
    """A read failed; the message names the call and the reason, in one line."""


class OutOfTimeError(ReadError):
    """The run has no time left for another call."""


@dataclass(frozen=True, slots=True)
class Listing[T]:
    """All pages of one listing, or the pages read before it broke off with *error*."""

    items: tuple[T, ...]
    error: str | None = None

    @classmethod
    def joined(cls, items: Iterable[T], errors: Iterable[str | None]) -> Listing[T]:
        """Return a listing of *items*, with each of *errors* once."""
        return cls(tuple(items), "; ".join(dict.fromkeys(error for error in errors if error)) or None)

    def check(self) -> None:
        """Raise `ReadError` if the listing broke off: the sweep is then not complete."""
        if self.error is not None:
            raise ReadError(self.error)

    def signal(self, source: str) -> Signal[tuple[T, ...]]:
        """Return all items, or the error that left some out."""
        return Value(self.items, source) if self.error is None else Unreadable(self.error, source)


def failure_text(error: Exception) -> str | None:
    """
    Return *error* in one line if it is a failed or half-answered AWS call, else None.

    botocore parses a cut-off JSON body into an answer without members. A missing member
    (KeyError) is therefore a failed read too, never "there are none".
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    match error:
        case ClientError():
            detail = error.response.get("Error", {})
            text = f"{detail.get('Code', 'Unknown')}: {detail.get('Message', '').strip()}".rstrip(": ")
            return f"{error.operation_name}: {text}"
        case KeyError():
            return f"the answer lacks {error.args[0] if error.args else 'a member'}: it was cut off"
        case BotoCoreError() | ResponseParserError() | ReadError():
            return " ".join(str(error).split())
        case _:
            return None


def required_value[T](signal: Signal[T], otherwise: str = "it was not read") -> T | None:
    """Return the value of *signal*, or None if it is absent. Raises ReadError: the error, or *otherwise*."""
    match signal:
        case Value(value):
            return value
        case Absent():
            return None
        case unread:
            raise ReadError(getattr(unread, "error", otherwise))


def error_text(error: Exception) -> str:
    """Return *error* in one line for a report: a failed AWS call as such, any other error with its type."""
    return failure_text(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"


def is_refusal(error: Exception, codes: tuple[str, ...], message: str = "") -> bool:
    """Return whether AWS refused a call with one of *codes* and, ignoring case, *message* in its text."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return False
    refusal = error.response.get("Error", {})
    return refusal.get("Code") in codes and message.lower() in refusal.get("Message", "").lower()


def ensure(call: Callable[[], object], already: Callable[[], bool], *, codes: tuple[str, ...] = ()) -> None:
    """
    Make *call*; a refusal by AWS is a success if the effect of the call is *already* there.

    A retry meets such a refusal after a lost answer. With *codes*, every other refusal is raised unexamined.
    """
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if (codes and not is_refusal(error, codes)) or not already():
            raise


def unless_gone[T](call: Callable[[], T], codes: tuple[str, ...], message: str = "") -> T | None:
    """Return the answer of *call*, or None if AWS refuses it as `is_refusal` *codes* and *message*."""
    try:
        return call()
    except Exception as error:
        if is_refusal(error, codes, message):
            return None
        raise


def collect_pages[P, T](pages: Iterable[P], items: Callable[[P], Iterable[T]], *, source: str) -> Listing[T]:
    """
    Read every page of *pages*; if a page fails, keep the items of the pages before it.

    *items* takes the listed members out of a page; *source* names the call ("sagemaker:ListApps").
    """
    read: list[T] = []
    try:
        for page in pages:
            read += items(page)
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if (problem := failure_text(error)) is None:
            raise
        return Listing(tuple(read), f"{source} broke off after {len(read)}: {problem}")
    return Listing(tuple(read))


def read_signal[T](call: Callable[[], T], *, source: str, absent: tuple[str, ...] = ()) -> Signal[T]:
    """Return the answer of *call* as a signal; error codes in *absent* mean that the value is absent."""
    try:
        return Value(call(), source)
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if is_refusal(error, absent):
            return Absent(source)
        if (problem := failure_text(error)) is None:
            raise
        return Unreadable(problem, source)


def as_signal[**P, T](
    source: str, absent: tuple[str, ...] = ()
) -> Callable[[Callable[P, T]], Callable[P, Signal[T]]]:
    """Decorate a function so that its result or error is a signal, as by `read_signal`."""

    def around(read: Callable[P, T]) -> Callable[P, Signal[T]]:
        @wraps(read)
        def attempting(*given: P.args, **named: P.kwargs) -> Signal[T]:
            return read_signal(lambda: read(*given, **named), source=source, absent=absent)

        return attempting

    return around
