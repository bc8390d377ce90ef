"""`janitor sandbox`: an AWS that lives here, for one command or until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Annotated

import typer

from ml_janitor.core.text import escape_text, quote_shell
from ml_janitor_cli import edge
from ml_janitor_cli.entry import install_hint
from ml_janitor_cli.screen import show_progress

SANDBOX_HOST = "127.0.0.1"
SANDBOX_REGION = "us-east-1"
SANDBOX_KEY_ID, SANDBOX_SECRET = "AKIASANDBOX", "sandbox"

KEPT_VARIABLES = ("AWS_MAX_ATTEMPTS", "AWS_PAGER")
"""The only AWS variables that a command in the sandbox inherits: any other could lead it past the sandbox."""

FORWARDED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

NOT_FOUND_STATUS, NOT_EXECUTABLE_STATUS, SIGNAL_STATUS = 127, 126, 128
"""Exit statuses as a shell gives them."""

CRASHED_STATUS = 1
"""The exit status of a command that itself succeeded, on answers of a sandbox that failed."""

SANDBOX_USAGE = """\
{what} at {url}, where it is {now}.

In another terminal, paste:

  unset AWS_PROFILE AWS_SESSION_TOKEN
{exports}

and then: janitor audit

Any boto3 program and the AWS CLI work too. Ctrl-C ends it, and nothing is kept.
"""

EXPORTED_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "JANITOR_NOW",
)
"""The sandbox's variables for another terminal, besides the names of the deployed resources."""


def sandbox(
    *,
    command: Annotated[
        list[str] | None, edge.argument("-- COMMAND", "A command to run in it, with its exit status as ours.")
    ] = None,
    port: Annotated[int, edge.option("N", "Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    empty: Annotated[bool, edge.flag("--empty", "Leave out the demo account.")] = False,
    run_jobs: Annotated[
        bool, edge.flag("--run-jobs", "Run script-mode training jobs as programs on this machine.")
    ] = False,
    speed: Annotated[
        float, edge.option("N", "Its seconds in one, while such a job runs.", min=0, max=86400)
    ] = 1.0,
) -> int:
    """
    Start a local AWS with a demo account that wastes money. Nothing leaves this machine.

    With a command, runs it against the sandbox (endpoint, credentials, region, JANITOR_NOW, and the table and
    bucket of a deployed stack are set) and exits with its status, or with 1 if the command succeeded although
    the sandbox itself failed. Without one, serves until Ctrl-C. State is in memory.

    \b
    Examples:
      janitor sandbox -- janitor audit
      janitor sandbox --port 5000
      janitor sandbox --empty -- python my_script.py
      janitor sandbox --empty --run-jobs --speed 60 -- janitor-kit launch job.toml
    """  # noqa: D301 - \b keeps the lines below it as they are
    try:
        from ml_janitor_sandbox.control import Control
        from ml_janitor_sandbox.deployment import deploy
        from ml_janitor_sandbox.server import Sandbox
    except ImportError as error:
        raise edge.CommandRefusedError(
            f"the sandbox is not installed ({error.name} is missing): {install_hint('sandbox')}"
        ) from error
    check_port(port)
    with (
        clear_aws_variables(),
        jobs_folder(wanted=run_jobs) as jobs,
        Sandbox(port, run_jobs=jobs, speed=speed) as box,
    ):
        if not empty:
            from ml_janitor_sandbox.demo import seed

            with show_progress("filling the demo account"):
                seed(box.url)
        now = Control(box.url).clock().astimezone(UTC).isoformat().replace("+00:00", "Z")
        deployed = deploy(box.url)
        if command:
            status = run_in_sandbox(command, command_environment(os.environ, box.url, now) | deployed)
            if not box.crashed:
                return status
            failed = ", ".join(dict.fromkeys(box.crashed))
            typer.echo(
                f"janitor sandbox: the sandbox itself failed at {failed}; "
                "what the command said of the account may be incomplete or wrong",
                err=True,
            )
            return status or CRASHED_STATUS
        what = "An empty account" if empty else "The demo account"
        given = {name: command_environment({}, box.url, now)[name] for name in EXPORTED_VARIABLES} | deployed
        exports = "\n".join(f"  export {name}={quote_shell(value)}" for name, value in given.items())
        serve_sandbox(SANDBOX_USAGE.format(what=what, url=box.url, now=now, exports=exports))
    return 0


@contextmanager
def jobs_folder(*, wanted: bool) -> Iterator[Path | None]:
    """Create a folder for jobs that run for real, and delete it afterwards; None if no job will."""
    if not wanted:
        yield None
        return
    with TemporaryDirectory(prefix="janitor-jobs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def clear_aws_variables() -> Iterator[None]:
    """Remove the machine's own AWS configuration from the process: the sandbox's boto3 would read it too."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        if name not in KEPT_VARIABLES:
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def check_port(port: int) -> None:
    """Refuse a port that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((SANDBOX_HOST, port))
        except OSError as error:
            raise edge.CommandRefusedError(f"--port {port} cannot be used: {error.strerror}") from error


def command_environment(inherited: Mapping[str, str], url: str, now: str) -> dict[str, str]:
    """
    Return the environment of a command in the sandbox: without the machine's own AWS configuration.

    The directory of this Python stands last in PATH, so that `janitor` is found without activating its
    virtual environment.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith("AWS_") or name in KEPT_VARIABLES
    }
    proxied = [name for name in (kept.get("NO_PROXY"), kept.get("no_proxy")) if name]
    return kept | {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": SANDBOX_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SANDBOX_SECRET,
        "AWS_DEFAULT_REGION": SANDBOX_REGION,
        "AWS_REGION": SANDBOX_REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "JANITOR_NOW": now,
        "NO_PROXY": ",".join([*proxied, SANDBOX_HOST]),
        "no_proxy": ",".join([*proxied, SANDBOX_HOST]),
        "PATH": os.pathsep.join([kept.get("PATH", os.defpath), str(Path(sys.executable).parent)]),
    }


def run_in_sandbox(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run *command*, pass signals on to it, and return its status."""
    try:
        child = subprocess.Popen(command, env=env)  # noqa: S603 - the user's own command is the point
    except FileNotFoundError:
        typer.echo(f"janitor sandbox: {escape_text(command[0])}: command not found", err=True)
        return NOT_FOUND_STATUS
    except OSError as error:
        typer.echo(f"janitor sandbox: {escape_text(command[0])}: {error.strerror}", err=True)
        return NOT_EXECUTABLE_STATUS
    with forward_signals(child):
        status = child.wait()
    return SIGNAL_STATUS - status if status < 0 else status


@contextmanager
def forward_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Send *child* the signals that this process gets, except a Ctrl-C that the terminal sends to both."""

    def forward(number: int, _: object) -> None:
        if number != signal.SIGINT or not is_foreground():
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_foreground() -> bool:
    """Return whether Ctrl-C in the terminal reaches this process and its children by itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def serve_sandbox(usage: str) -> None:
    """Say how to use the sandbox, and wait for Ctrl-C or SIGTERM."""
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    typer.echo(usage)
    while not done.wait(1):  # a signal just before a wait without end would not end it
        pass
