"""What goes wrong in a run that goes on: all of it is logged, and raised at the end in one line."""

import sys
from typing import cast

import pytest
from aws_lambda_powertools import Logger

from ml_janitor.engine.run import Failures, RunFailedError


class Log:
    """The errors that were logged."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, BaseException | None]] = []

    def exception(self, what: str) -> None:
        self.errors.append((what, sys.exception()))


def test_what_fails_is_logged_and_raised_once_the_rest_is_done() -> None:
    log, failed = Log(), OSError("reset")
    failures = Failures(cast("Logger", log))
    failures.check("s3://reports/1")

    with failures.survived("the ledger could not be read"):
        raise failed

    assert (len(failures), log.errors) == (1, [("the ledger could not be read", failed)])
    for where, end in (("", ""), ("s3://reports/1", "; the report: s3://reports/1")):
        with pytest.raises(RunFailedError) as raised:
            failures.check(where)
        assert str(raised.value) == f"the ledger could not be read: OSError: reset{end}"


@pytest.mark.parametrize(("count", "more"), [(10, ""), (12, "; and 2 more")])
def test_so_many_failures_are_told_and_the_others_counted(count: int, more: str) -> None:
    failures = Failures(cast("Logger", Log()))
    for number in range(count):
        failures.note(f"{number}")

    with pytest.raises(RunFailedError) as raised:
        failures.check()

    assert str(raised.value) == f"0; 1; 2; 3; 4; 5; 6; 7; 8; 9{more}"
