"""The program that runs the sandbox until it is told to stop: `python -m ml_janitor_sandbox --port 5000`."""

import argparse
import signal
import sys
from threading import Event

from ml_janitor_sandbox.server import Sandbox


def main() -> None:
    """Say where it listens, then serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m ml_janitor_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    done = Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda *_: done.set())
    with Sandbox(parser.parse_args().port) as box:
        sys.stdout.write(f"listening {box.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
