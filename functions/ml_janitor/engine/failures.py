"""What went wrong in a run that went on: noted as it happens, raised once everything else is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import describe
from ml_janitor.core.text import plain

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


LONGEST = 400
"""Characters of one failure in the error of a run; its log has the whole."""

MOST = 10


class RunFailedError(Exception):
    """Something in a run failed; everything else was done before this was raised. One line."""


class Failures:
    """The failures of one run, in the order they happened."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def note(self, line: str) -> None:
        """Something failed, and has been logged where it did."""
        self._lines.append(line)

    @contextmanager
    def survived(self, what: str) -> Iterator[None]:
        """Note and log a failed part of the run, *what* says which, and go on."""
        try:
            yield
        except Exception as error:  # one failed part must not take the others with it
            self.note(f"{what}: {describe(error)}")
            self._logger.exception(what)

    def check(self, where: str = "") -> None:
        """Raise RunFailedError if anything failed; *where* is what the run left behind."""
        if self._lines:
            lines = [plain(one, LONGEST) for one in self._lines[:MOST]]
            if len(self._lines) > MOST:
                lines.append(f"and {len(self._lines) - MOST} more")
            lines += [f"the report: {where}"] if where else []
            raise RunFailedError("; ".join(lines))
