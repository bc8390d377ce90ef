"""`janitor detectors`: the rules, their schedules and their tunables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from ml_janitor.config.layers import written_as
from ml_janitor.config.sections import SHARED
from ml_janitor.core.durations import format_duration
from ml_janitor.core.text import plain
from ml_janitor_cli import edge
from ml_janitor_cli.screen import Grid, console, write


def detectors(ctx: typer.Context, overrides: edge.Overrides = None, config: edge.Config = None) -> int:
    """
    List the detectors with their schedules and tunables.

    The values are those that an audit here would use. Set them with --set, or in janitor.toml under
    [detectors.NAME].
    """
    settings = edge.settings_from(config, overrides, ctx.obj)
    for detector in settings.registry:
        tuned, standard = settings.detector(detector), detector()
        table = Grid()
        for field in fields(detector):
            value, default = getattr(tuned, field.name), getattr(standard, field.name)
            note = "from [janitor]" if field.name in SHARED else ""
            if value != default and field.name not in SHARED:
                note = f"default {shown(default)}"
            table.add_row(Text(field.name), Text(plain(shown(value))), Text(plain(note), style="dim"))
        switched = "" if settings.sections[detector.name].enabled else "  (switched off)"
        head = Text.assemble(
            (detector.name, "bold cyan"), "  ", (settings.schedule(detector), "dim"), (switched, "yellow")
        )
        write(console(sys.stdout), [Group(head, Padding(Group(detector.summary(), table), (0, 0, 0, 2)))])
    return 0


def shown(value: object) -> str:
    """Return a tunable's value as janitor.toml has it."""
    match value:
        case timedelta():
            return format_duration(value)
        case tuple():
            return f"[{', '.join(shown(item) for item in value)}]"
        case Mapping():
            return ", ".join(f"{key} {shown(item)}" for key, item in value.items()) or "none"
        case str():
            return value or "none"
        case int() | float():
            return written_as(value)
        case _:
            return str(value)
