"""A failed AWS call in a command that changes something: one line, and exit status 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli import edge
from janitor.aws import failure


class FailedError(edge.Refused):
    """It could not be done; the message says why, and whether something was changed."""

    exit_code = 1


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Say in one line which call failed. Raises FailedError."""
    try:
        yield
    except Exception as error:  # what is no failed call is a fault of ours, and raised as it is
        said = failure(error)
        if said is None:
            raise
        raise FailedError(f"{what}: {said}") from error
