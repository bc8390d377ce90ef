"""`janitor replay`: handles an event here with the function's own code, as Lambda would."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_janitor.core.text import plain
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.ledger_session import TABLE

LAMBDA_SECONDS = 900
"""The longest that Lambda lets a function run, and what the stack gives it."""

BUCKET, DETECTOR = "JANITOR_BUCKET", "JANITOR_DETECTOR"


class Handler(StrEnum):
    """The functions of `ml_janitor.handlers` that Lambda calls."""

    SWEEP = "sweep"
    DIGEST = "digest"
    BILL = "bill"
    INTERACT = "interact"
    PRESSED = "pressed"
    UNDO = "undo"


NEEDED = dict.fromkeys(Handler, (TABLE, BUCKET)) | {
    Handler.SWEEP: (TABLE, BUCKET, DETECTOR),
    Handler.INTERACT: ("JANITOR_SIGNING_SECRET", "JANITOR_WORKER"),
}
"""Environment variables that each handler needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalContext:
    """The context that Lambda gives to an invocation, made on this machine."""

    invoked_function_arn: str
    function_name: str = "janitor-replay"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ends: float = field(default_factory=lambda: time.monotonic() + LAMBDA_SECONDS)

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the invocation may still take."""
        return max(0, int((self.ends - time.monotonic()) * 1000))


def replay(
    *,
    file: Annotated[Path, edge.argument("FILE", "An event as JSON, such as events/*.json.")],
    detector: Annotated[
        str | None, edge.option("NAME", "The function to run; else JANITOR_DETECTOR.")
    ] = None,
    digest: Annotated[bool, edge.flag("--digest", "Run the daily digest instead.")] = False,
    handler: Annotated[
        Handler, edge.flag("--handler", "Which function's handler gets the event.")
    ] = Handler.SWEEP,
    table: edge.TableName = None,
    bucket: Annotated[str | None, edge.option("NAME", "The report bucket; else JANITOR_BUCKET.")] = None,
    profile: edge.Profile = None,
) -> int:
    """
    Handle one event here, as the deployed function would, and print its answer.

    The run is a real one: it keeps its report in the bucket, remembers its findings in the ledger and tells
    Slack what is new. The log goes to stderr. Settings come from ./janitor.toml.

    Exit status: 0, handled; 1, the function failed; 2, bad usage, or an invalid event.

    \b
    Examples:
      janitor sandbox -- janitor replay events/scheduled.json --detector idle-endpoints
      janitor sandbox -- janitor replay events/scheduled.json --digest
      janitor sandbox -- janitor replay events/scheduled.json --handler bill
      janitor sandbox -- janitor replay events/interact.json --handler interact
      janitor sandbox -- janitor replay events/pressed.json --handler pressed
      janitor sandbox -- janitor replay events/undo.json --handler undo
    """  # noqa: D301 - \b keeps the lines below it as they are
    event = read(file)
    variables = {
        name: value
        for name, value in ((TABLE, table), (BUCKET, bucket), (DETECTOR, detector), ("AWS_PROFILE", profile))
        if value
    }
    handler = Handler.DIGEST if digest else handler
    for name in NEEDED[handler]:
        if not variables.get(name) and not os.environ.get(name):
            flag = name.removeprefix("JANITOR_").lower()
            give = f"give --{flag} NAME, or " if name in {TABLE, BUCKET, DETECTOR} else ""
            raise edge.Refused(f"{give}set {name}")
    session = edge.session_from(profile)
    if session.region_name is None:
        raise edge.Refused("no region: set AWS_DEFAULT_REGION")
    variables["AWS_REGION"] = session.region_name
    with redirect_stdout(sys.stderr), environment(variables):
        caller = known_caller(session, session.region_name, edge.attempts_from_environment())
        arn = f"arn:aws:lambda:{session.region_name}:{caller.account}:function:janitor-replay"
        answer = handled(event, LocalContext(invoked_function_arn=arn), handler)
    if isinstance(answer, str):
        typer.echo(f"janitor: the function failed: {plain(answer, 4000)}", err=True)
        return 1
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


def read(file: Path) -> Any:
    """Read the event in *file*."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise edge.Refused(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise edge.Refused(f"{file} is no JSON: {error}") from error


def handled(event: Any, context: LocalContext, handler: Handler) -> dict[str, Any] | str:
    """Return the function's answer to *event*, or why there is none."""
    from ml_janitor import handlers
    from ml_janitor.aws.answers import describe
    from ml_janitor.config.events import MalformedEventError
    from ml_janitor.config.settings import SettingsError

    function = getattr(handlers, handler.value)
    try:
        answer: dict[str, Any] = function(event, context)
    except (MalformedEventError, SettingsError) as error:
        raise edge.Refused(str(error)) from error
    except KeyboardInterrupt:  # the lease has been given back on the way here
        return "it was interrupted"
    except Exception as error:  # whatever a function raises, Lambda calls it a failed run
        return describe(error)
    return answer


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set *variables* in the process, as a function finds its own."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
