"""`make night`: run inside `janitor sandbox`, it tells what an armed janitor does to the demo account."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from ml_janitor_sandbox.night import play


def main() -> int:
    """Play the three nights in the sandbox that the environment names."""
    if "AWS_ENDPOINT_URL" not in os.environ or "JANITOR_TABLE" not in os.environ:
        sys.stderr.write("python -m ml_janitor_sandbox.night runs inside a sandbox: make night\n")
        return 2
    console = Console(width=100, highlight=False, markup=False, emoji=False, file=sys.stdout)
    with TemporaryDirectory() as folder:
        play(os.environ["AWS_ENDPOINT_URL"], os.environ, console, Path(folder))
    return 0


raise SystemExit(main())
