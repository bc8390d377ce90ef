"""Shared parts of the estimates: their options and refusals, the account they ask, the format of numbers."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.account import opened
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import table
from ml_janitor.config.layers import nearest
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Target
from ml_janitor.core.text import plain
from ml_janitor.engine.detector import Detector
from ml_janitor_cli import edge, names
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.estimate.costs import Estimate, Figure, ImpossibleError, Word
from ml_janitor_cli.failures import FailedError, ending_at_once
from ml_janitor_cli.screen import Grid, console, progress, write

Instance = Annotated[
    str | None, edge.option("TYPE", "The instance; its price is of a dated table for us-east-1.")
]
LEAST = 0.001
"""Limit below which nobody cares how little it is, except of dollars."""
UNKNOWN = "–"  # noqa: RUF001 - the cell of a table for an unknown value
Price = Annotated[float | None, edge.option("USD", "Dollars an hour of an instance.")]
Region = Annotated[str | None, edge.option("REGION", "Where it is.")]


def hourly(instance: str | None, price: float | None) -> float:
    """Return the dollars an hour of *instance*, unless a *price* is given. Raises Refused."""
    if price is not None:
        return price
    if instance is None:
        raise edge.Refused("give --instance TYPE, or --price in dollars an hour")
    found = table()[instance].hourly_usd if instance in table() else None
    if found is None:
        raise edge.Refused(f"give --price: no price of {instance} is known{nearest(instance, table())}")
    return float(found)


def numbers(text: str, where: str) -> list[float]:
    """Parse the numbers in *text* between commas. Raises Refused, which says *where* something is wrong."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise edge.Refused(f"{where} has something that is no number: {error}") from error
    if not all(map(math.isfinite, found)):
        raise edge.Refused(f"{where} has a number without an end")
    return found


def text_of(path: str) -> str:
    """Read a file. Raises Refused."""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise edge.Refused(f"{path} cannot be read: {error}") from error


def answer(name: str, estimate: Callable[[], Estimate], *, as_json: bool) -> int:
    """Print the answer of *estimate*. Raises Refused if it is impossible."""
    try:
        found = estimate()
    except ImpossibleError as error:
        raise edge.Refused(str(error)) from error
    if as_json:
        document: dict[str, object] = {"estimate": name, **found.values, "advice": found.advice}
        document["reasons"] = found.reasons
        if found.compared:
            document["compared"] = [{figure.name: figure.known for figure in row} for row in found.compared]
        typer.echo(json.dumps(document | {"without": found.without}, indent=2))
        return 0
    figures = Grid()
    for figure in found.figures:
        figures.add_row(Text(figure.words), Text(shown(figure), style="bold"))
    blocks: list[RenderableType] = [Text(plain(found.advice)), figures]
    if found.compared:
        blocks.append(rows(found.compared))
    blocks += [Text("\n".join(map(plain, found.reasons)))] if found.reasons else []
    write(console(sys.stdout), [*blocks, Text(f"Without {found.without}.", style="dim")])
    return 0


def rows(compared: Sequence[Sequence[Figure | Word]]) -> Grid:
    """Draw the rows beneath their heads, numbers to the right."""
    table = Grid()
    for figure in compared[0]:
        table.add_column(justify="left" if isinstance(figure, Word) else "right")
    table.add_row(*(Text(figure.words, style="dim") for figure in compared[0]))
    for row in compared:
        cells = (figure.known if isinstance(figure, Word) else shown(figure, UNKNOWN) for figure in row)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def shown(figure: Figure, unknown: str = "unknown") -> str:
    """Format a number as people read it."""
    if (value := figure.known) is None:
        return unknown
    match figure.unit:
        case "usd":
            digits = 2 if abs(value) >= 1 or not value else 4
            return f"{'-' * (value < 0)}${abs(value):,.{digits}f}"
        case "share":
            return f"{value:.1%}"
        case "requests":
            return f"{value:,.0f}"
        case unit if 0 < value < LEAST:
            return f"<{LEAST} {unit}"
        case unit:
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account to ask, with the operator's settings and the time."""

    aws: Aws
    settings: Settings
    now: datetime

    def detector[D: Detector[Any]](self, kind: type[D]) -> D:
        """Return the detector of *kind*, as the operator set it."""
        return cast("D", self.settings.detector(kind))

    def target(self, name: str, kind: str) -> Target:
        """Find the resource of *kind* called *name*. Raises Refused with a near name, and FailedError."""
        with progress(f"looking for {name}"):
            known = names.resources_like(self.aws, name, {kind})
        found = next((resource for resource in known.items if resource.name == name), None)
        if found is not None:
            return Target(
                arn=found.arn,
                name=name,
                kind=kind,
                account=self.aws.account,
                region=self.aws.region,
                created=None,
            )
        if known.error is not None:
            raise FailedError(f"{name} could not be looked for: {known.error}")
        near = names.nearest(name, known.items)
        hint = f"did you mean {near.name}?" if near else "--region says where else to look"
        raise edge.Refused(f"no {kind} in {self.aws.region} is called {name}; {hint}")


@contextmanager
def account(
    ctx: typer.Context,
    region: str | None,
    profile: str | None,
    config: Path | None,
    overrides: list[str] | None,
) -> Iterator[Account]:
    """Open the account of the credentials, in *region*."""
    setup = edge.setup(ctx, config, overrides, profile=profile)
    where = setup.regions([region] if region else None)[0]
    with ending_at_once():
        with progress("identifying the account"):
            known = known_caller(setup.session, where, setup.attempts).account
        with opened(
            setup.session, account=known, regions=[where], attempts=setup.attempts, pace=edge.pace()
        ) as accounts:
            yield Account(aws=accounts[0], settings=setup.settings, now=setup.now)
