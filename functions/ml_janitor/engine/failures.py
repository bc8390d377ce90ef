"""Collects the failures of a run that goes on, and raises them once everything else is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import error_text
from ml_janitor.core.text import escape_text

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


LONGEST_FAILURE = 400
"""Characters of one failure in the error of a run; the log has the full text."""

MOST_FAILURES = 10


class RunFailedError(Exception):
    """A part of a run failed; everything else was done before this was raised. One line."""


class Failures:
    """The failures of one run, in the order they happened."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def note(self, line: str) -> None:
        """Add a failure that was logged where it happened."""
        self._lines.append(line)

    @contextmanager
    def survived(self, what: str) -> Iterator[None]:
        """Note and log a failure of the part *what* of the run, and go on."""
        try:
            yield
        except Exception as error:  # one failed part must not take the others with it
            self.note(f"{what}: {error_text(error)}")
            self._logger.exception(what)

    def check(self, where: str = "") -> None:
        """Raise RunFailedError if anything failed; *where* is the place of the run's report."""
        if self._lines:
            lines = [escape_text(line, LONGEST_FAILURE) for line in self._lines[:MOST_FAILURES]]
            if len(self._lines) > MOST_FAILURES:
                lines.append(f"and {len(self._lines) - MOST_FAILURES} more")
            lines += [f"the report: {where}"] if where else []
            raise RunFailedError("; ".join(lines))
