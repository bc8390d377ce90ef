"""Leaves the tests of torch out where it is not installed, and says so in one line."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
WHY = Path(sys.prefix) / "no-torch.txt"

collect_ignore_glob = [] if HAS_TORCH else ["test_spot_torch*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not HAS_TORCH:
        why = WHY.read_text() if WHY.exists() else "ALL TESTS OF TORCH ARE SKIPPED: it is not installed"
        terminalreporter.write_line(why, red=True, bold=True)
