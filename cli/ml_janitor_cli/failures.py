"""The early end of a command: a failed AWS call, or Ctrl-C while AWS is being read. One line each."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from ml_janitor.aws.answers import failure_text
from ml_janitor_cli import edge
from ml_janitor_cli.screen import make_console

NO_TABLE_ADVICE = (
    "no table of that name is in this account and region: the deployment's output LedgerTable names the "
    "ledger, and --profile or AWS_DEFAULT_REGION leads to where it is"
)


class FailedError(edge.CommandRefusedError):
    """The command failed; the message says why, and whether something was changed."""

    exit_code = 1


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Say in one line which call failed. Raises FailedError."""
    try:
        yield
    except Exception as error:  # any other error is a fault of ours, and raised as it is
        words = failure_text(error)
        if words is None:
            raise
        if _no_table(error):
            raise FailedError(f"{what}: {NO_TABLE_ADVICE}") from error
        raise FailedError(f"{what}: {words}") from error


def _no_table(error: Exception) -> bool:
    """Return whether the ledger is missing: no other call has these names."""
    if not isinstance(error, ClientError) or error.operation_name not in {"Query", "GetItem", "UpdateItem"}:
        return False
    return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")


@contextmanager
def end_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process although reads are in flight: reads leave nothing half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        if sys.stderr.isatty():
            make_console(sys.stderr).show_cursor(show=True)
        os.write(2, b"\njanitor: interrupted\n")
        os._exit(edge.CommandInterruptedError.exit_code)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
