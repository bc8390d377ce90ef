"""Ctrl-C while AWS is being read."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ml_janitor_cli import edge
from ml_janitor_cli.screen import console


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process although reads are in flight: whoever only reads has nothing to put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        if sys.stderr.isatty():
            console(sys.stderr).show_cursor(show=True)
        os.write(2, b"\njanitor: interrupted\n")
        os._exit(edge.Interrupted.exit_code)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
