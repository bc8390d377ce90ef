"""The `janitor` command, and the list of its detectors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text
from typer.exceptions import TyperException

from ml_janitor.config.sections import tunable_fields
from ml_janitor.config.settings import DetectorRegistry
from ml_janitor.core.text import escape_text
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli import edge
from ml_janitor_cli.assistant import mcp
from ml_janitor_cli.audit import audit
from ml_janitor_cli.bill import bill
from ml_janitor_cli.deploy import deploy, destroy
from ml_janitor_cli.doctor import doctor, format_setting
from ml_janitor_cli.entry import version_line
from ml_janitor_cli.estimate.command import estimate
from ml_janitor_cli.explain import explain
from ml_janitor_cli.forget import forget
from ml_janitor_cli.ledger_commands import approve, findings, keep, restart, snooze, undo
from ml_janitor_cli.pages import docs
from ml_janitor_cli.policies import policies
from ml_janitor_cli.replay import replay
from ml_janitor_cli.sandbox import sandbox
from ml_janitor_cli.screen import Grid, print_blocks
from ml_janitor_cli.settings import init, settings
from ml_janitor_cli.sweep import sweep


def detectors(ctx: typer.Context, overrides: edge.Overrides = None, config: edge.SettingsFile = None) -> int:
    """
    List the detectors with their schedules and tunables.

    The values are those that an audit here would use. Set them with --set, or in janitor.toml under
    [detectors.NAME].
    """
    settings = edge.load_settings(config, overrides, ctx.obj)
    for detector in settings.registry:
        tuned, standard = settings.detector(detector), detector()
        table = Grid()
        for field, _ in tunable_fields(detector):
            value, default = getattr(tuned, field.name), getattr(standard, field.name)
            note = f"default {format_setting(default)}" if value != default else ""
            table.add_row(
                Text(field.name),
                Text(escape_text(format_setting(value))),
                Text(escape_text(note), style="dim"),
            )
        switched = "" if settings.sections[detector.name].enabled else "  (switched off)"
        head = Text.assemble(
            (detector.name, "bold cyan"), "  ", (settings.schedule(detector), "dim"), (switched, "yellow")
        )
        print_blocks([Group(head, Padding(Group(detector.summary(), table), (0, 0, 0, 2)))])
    return 0


HELP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    name="janitor",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_SETTINGS,
)
LEDGER_COMMANDS = (findings, keep, snooze, approve, sweep, undo, restart, forget)
for _function in (
    audit,
    bill,
    explain,
    *LEDGER_COMMANDS,
    replay,
    detectors,
    init,
    settings,
    deploy,
    destroy,
    doctor,
    docs,
    mcp,
):
    app.command(context_settings=HELP_SETTINGS)(_function)
app.add_typer(estimate, name="estimate", context_settings=HELP_SETTINGS)
app.add_typer(policies, name="policies", context_settings=HELP_SETTINGS)
app.command(context_settings=HELP_SETTINGS | {"allow_interspersed_args": False})(sandbox)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def janitor(
    *,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """
    Find what a machine-learning platform on AWS wastes: what it costs, whose it is, and why.

    \b
    On a demo account, without AWS:        janitor sandbox -- janitor audit
    On the account of your credentials:    janitor audit
    """  # noqa: D301 - \b keeps the lines below it as they are


@cache
def _command() -> Any:
    """Make all commands; typer makes them from every function's annotations in a tenth of a second."""
    made = typer.main.get_command(app)
    for command in _all_commands(made):
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - its name says it, and no <list[str]>
                parameter.get_usage_pieces = partial(_usage_words, parameter.get_usage_pieces)
    return made


def _usage_words(pieces: Callable[[Any], list[str]], ctx: Any) -> list[str]:
    """Return an argument as a usage line shows it: FILE where typer writes {FILE}."""
    return [re.sub(r"\{(.*?)(?:\.{3})?\}", r"\1", piece) for piece in pieces(ctx)]


def _all_commands(command: Any) -> Iterator[Any]:
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from _all_commands(inner)


def main(argv: Sequence[str] | None = None, *, registry: DetectorRegistry = DETECTORS) -> int:
    """
    Run one command and return its exit status.

    0: done. 1: done, but a sweep has an error. 2: bad usage or settings, one line on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale must not decide whether there is a report
    try:
        code = _command().main(args=argv, prog_name="janitor", standalone_mode=False, obj=registry)
        sys.stdout.flush()
    except TyperException as error:
        return print_usage_error(error)
    return int(code or 0)


OTHER_WORDS = {
    "training": {"job", "gpu", "train"},
    "inference": {"endpoint", "serverless"},
    "storage": {"bucket", "s3"},
    "batching": {"batch", "batches"},
    "distillation": {"model", "distill"},
    "reservation": {"commitment", "savings-plan", "reserved"},
}
"""Commands of `estimate` by words that people try."""


def _known_commands(error: TyperException) -> str:
    """Propose the command of a group, such as `estimate`, that was meant, or name all of them."""
    ctx = getattr(error, "ctx", None)
    inner = getattr(getattr(ctx, "command", None), "commands", {})
    if ctx is None or ctx.parent is None or "no such command" not in error.format_message().lower():
        return ""
    typed = error.format_message().lower().split("'")[1:2]
    for name in inner:
        if OTHER_WORDS.get(name, set()).intersection(typed):
            return f"; did you mean {name}?"
    return f"; there are {', '.join(inner)}" if "Did you mean" not in error.format_message() else ""


def print_usage_error(error: TyperException) -> int:
    """Say in one line what is wrong with how the command was given."""
    message = " ".join(error.format_message().split())
    if not isinstance(error, edge.CommandRefusedError):  # an error of typer's own: how options are written
        command = getattr(getattr(error, "ctx", None), "command_path", "janitor")
        message = (
            f"{message[:1].lower()}{message[1:].rstrip('.')}{_known_commands(error)} (see {command} --help)"
        )
    begins = "\n" if error.exit_code == edge.INTERRUPTED_STATUS else ""  # the terminal has written ^C
    typer.echo(f"{begins}janitor: {escape_text(message)}", err=True)
    return error.exit_code
