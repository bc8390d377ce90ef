"""The `janitor` program: answers `--version` and Ctrl-C while the libraries are not imported yet."""

from __future__ import annotations

import sys
from importlib.metadata import version

INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended."""


def main() -> int:
    """Run the command that the arguments name, and return its exit status."""
    try:
        if sys.argv[1:] == ["--version"]:
            sys.stdout.write(f"{version_line()}\n")
            return 0
        from ml_janitor_cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("\njanitor: interrupted\n")
        return INTERRUPTED


def version_line() -> str:
    """The program's name and version."""
    return f"janitor {version('ml-janitor')}"
