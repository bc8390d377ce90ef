"""What every command on the ledger takes besides its own: the table, the place, who asks, the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, Concatenate

import typer

from ml_janitor_cli import edge
from ml_janitor_cli.desk import Desk, desk
from ml_janitor_cli.failing import failing

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings

TableName = Annotated[
    str | None, typer.Option("--table", metavar="NAME", help="The ledger; else JANITOR_TABLE.")
]
Region = Annotated[list[str] | None, typer.Option(metavar="REGION", help="Where to look. Repeatable.")]
Profile = Annotated[str | None, typer.Option(metavar="NAME", help="The AWS profile to use.")]
Now = Annotated[str | None, typer.Option(metavar="TIME", help="Take this time for now (ISO 8601).")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The way to the desk: settings and options are known, and AWS has not been asked anything yet."""

    settings: Settings
    table: str | None
    region: Sequence[str] | None
    profile: str | None
    now: str | None

    @contextmanager
    def open(self, what: str, *, region: str = "") -> Iterator[Desk]:
        """
        The desk; a call that fails there ends the command with one line about *what*.

        *region* is where to look unless an option says otherwise. Raises Refused and FailedError.
        """
        where = self.region or ([region] if region else None)
        with (
            failing(what),
            desk(self.settings, table=self.table, region=where, profile=self.profile, now=self.now) as at,
        ):
            yield at


def _shared(  # its parameters are every command's
    ctx: typer.Context,
    *,
    table: TableName = None,
    region: Region = None,
    profile: Profile = None,
    config: edge.Config = None,
    now: Now = None,
) -> Door:
    settings = edge.settings_from(config, (), ctx.obj)
    return Door(settings=settings, table=table, region=region, profile=profile, now=now)


def on_the_ledger[**P](command: Callable[Concatenate[Door, P], int]) -> Callable[..., int]:
    """*command* as typer takes it: with the options by which its door is found."""
    shared = signature(_shared, eval_str=True).parameters
    _, *own = signature(command, eval_str=True).parameters.values()

    def opened(**given: Any) -> int:
        door = _shared(**{name: given.pop(name) for name in shared})
        try:
            return command(door, **given)  # type: ignore[call-arg]
        except KeyboardInterrupt:
            raise edge.Interrupted("interrupted") from None

    ctx, *options = shared.values()
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (ctx, *own, *options)]
    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    opened.__annotations__ = {one.name: one.annotation for one in parameters}
    opened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return opened
