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

from ml_janitor.core.text import escape_text
from ml_janitor_cli import edge
from ml_janitor_cli.completion import detector_names

LAMBDA_SECONDS = 900
"""The longest that Lambda lets a function run, and what the stack gives it."""

BUCKET_VARIABLE, DETECTOR_VARIABLE = "JANITOR_BUCKET", "JANITOR_DETECTOR"


class HandlerName(StrEnum):
    """The functions of `ml_janitor.handlers` that Lambda calls."""

    SWEEP = "sweep"
    DIGEST = "digest"
    BILL = "bill"
    INTERACT = "interact"
    PRESSED = "pressed"
    UNDO = "undo"


NEEDED_VARIABLES = dict.fromkeys(HandlerName, (edge.TABLE_VARIABLE, BUCKET_VARIABLE)) | {
    HandlerName.SWEEP: (edge.TABLE_VARIABLE, BUCKET_VARIABLE, DETECTOR_VARIABLE),
    HandlerName.INTERACT: ("JANITOR_SIGNING_SECRET", "JANITOR_WORKER"),
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
        str | None,
        edge.option("NAME", "The function to run; else JANITOR_DETECTOR.", complete=detector_names),
    ] = None,
    digest: Annotated[bool, edge.flag("--digest", "Run the daily digest instead.")] = False,
    handler: Annotated[
        HandlerName, edge.flag("--handler", "The function whose handler gets the event.")
    ] = HandlerName.SWEEP,
    table: edge.TableName = None,
    bucket: Annotated[str | None, edge.option("NAME", "The report bucket; else JANITOR_BUCKET.")] = None,
    profile: edge.Profile = None,
) -> int:
    """
    Handle one event here, as the deployed function would.

    It prints the answer. The run is a real one: it keeps its report in the bucket, remembers its findings
    in the ledger and tells Slack what is new. The log goes to stderr. Settings come from ./janitor.toml.

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
    event = read_event(file)
    variables = {
        name: value
        for name, value in (
            (edge.TABLE_VARIABLE, table),
            (BUCKET_VARIABLE, bucket),
            (DETECTOR_VARIABLE, detector),
            ("AWS_PROFILE", profile),
        )
        if value
    }
    handler = HandlerName.DIGEST if digest else handler
    for name in NEEDED_VARIABLES[handler]:
        if not variables.get(name) and not os.environ.get(name):
            flag = name.removeprefix("JANITOR_").lower()
            give = (
                f"give --{flag} NAME, or "
                if name in {edge.TABLE_VARIABLE, BUCKET_VARIABLE, DETECTOR_VARIABLE}
                else ""
            )
            raise edge.CommandRefusedError(f"{give}set {name}")
    session = edge.open_session(profile)
    if session.region_name is None:
        raise edge.CommandRefusedError("no region: set AWS_DEFAULT_REGION")
    variables["AWS_REGION"] = session.region_name
    with redirect_stdout(sys.stderr), set_variables(variables):
        caller = edge.require_caller(session, session.region_name, edge.read_attempts())
        arn = f"arn:aws:lambda:{session.region_name}:{caller.account}:function:janitor-replay"
        answer = handle_event(event, LocalContext(invoked_function_arn=arn), handler)
    if isinstance(answer, str):
        typer.echo(f"janitor: the function failed: {escape_text(answer, 4000)}", err=True)
        return 1
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


def read_event(file: Path) -> Any:
    """Read the event in *file*."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise edge.CommandRefusedError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise edge.CommandRefusedError(f"{file} is not JSON: {error}") from error


def handle_event(event: Any, context: LocalContext, handler: HandlerName) -> dict[str, Any] | str:
    """Return the function's answer to *event*, or why there is none."""
    from ml_janitor import handlers
    from ml_janitor.aws.calls import error_text
    from ml_janitor.config.values import InvalidInputError

    function = getattr(handlers, handler.value)
    try:
        answer: dict[str, Any] = function(event, context)
    except InvalidInputError as error:
        raise edge.CommandRefusedError(str(error)) from error
    except KeyboardInterrupt:  # the lease has been given back on the way here
        return "it was interrupted"
    except Exception as error:  # whatever a function raises, Lambda calls it a failed run
        return error_text(error)
    return answer


@contextmanager
def set_variables(variables: Mapping[str, str]) -> Iterator[None]:
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
