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

from ml_janitor.config.sections import JANITOR_FIELDS
from ml_janitor.config.values import format_toml
from ml_janitor.core.durations import format_duration
from ml_janitor.core.text import escape_text
from ml_janitor_cli import edge
from ml_janitor_cli.screen import Grid, make_console, print_blocks


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
        for field in fields(detector):
            value, default = getattr(tuned, field.name), getattr(standard, field.name)
            note = "from [janitor]" if field.name in JANITOR_FIELDS else ""
            if value != default and field.name not in JANITOR_FIELDS:
                note = f"default {format_setting(default)}"
            table.add_row(
                Text(field.name),
                Text(escape_text(format_setting(value))),
                Text(escape_text(note), style="dim"),
            )
        switched = "" if settings.sections[detector.name].enabled else "  (switched off)"
        head = Text.assemble(
            (detector.name, "bold cyan"), "  ", (settings.schedule(detector), "dim"), (switched, "yellow")
        )
        print_blocks(
            make_console(sys.stdout), [Group(head, Padding(Group(detector.summary(), table), (0, 0, 0, 2)))]
        )
    return 0


def format_setting(value: object) -> str:
    """Return a tunable's value as janitor.toml has it."""
    match value:
        case timedelta():
            return format_duration(value)
        case tuple():
            return f"[{', '.join(format_setting(item) for item in value)}]"
        case Mapping():
            return ", ".join(f"{key} {format_setting(item)}" for key, item in value.items()) or "none"
        case str():
            return value or "none"
        case int() | float():
            return format_toml(value)
        case _:
            return str(value)
