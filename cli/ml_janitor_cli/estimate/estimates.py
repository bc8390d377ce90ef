"""The parts that all estimates share: their numbers, options, refusals, account and output."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.cost_explorer import DESCRIBE_RATES, SavingsPlans
from ml_janitor.aws.prices import COMPONENT_NAMES, PRICE_TABLE_REGION, PricedComponent, price_table
from ml_janitor.aws.runs import usage_prefix
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.model import Target, Value
from ml_janitor.core.text import count_noun, escape_text
from ml_janitor.engine.detector import Detector
from ml_janitor_cli import edge, explain
from ml_janitor_cli.screen import Grid, print_blocks, show_progress

# --- numbers --------------------------------------------------------------------------------------
# Estimates are pure: prices and measurements are arguments. Amounts are US dollars, times hours unless a name
# says otherwise. The formulas for serverless inference and commitments are the same as those of the advisers.

SERVERLESS_GB_SECOND_USD = 0.00002
"""Serverless inference's second of a GB of memory in us-east-1 (price list, 2026)."""

MOST_INSTANCES = 1e9
"""More than any region has."""

NEGATIVE_INPUT = "rates, times, sizes and prices are not negative"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an estimate: its *name* in JSON, its *words*, and its *unit*; None is unknown."""

    name: str
    words: str
    value: float | None
    unit: str = "usd"

    @property
    def known(self) -> float | None:
        """Return the value, if it is a finite number."""
        return self.value if self.value is not None and math.isfinite(self.value) else None


@dataclass(frozen=True, slots=True)
class Word:
    """The subject of an estimate's row: its *name* in JSON, the *words* above it, and its value."""

    name: str
    words: str
    known: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    The numbers, their advice in a sentence, and costs that they leave out.

    *reasons* are sentences that say from where on something else would be the choice. *compared* are rows
    with the same figures for each of several choices. *prices* say the source and the date of each price.
    """

    figures: tuple[Figure, ...]
    advice: str
    without: str = ""
    reasons: tuple[str, ...] = ()
    compared: tuple[tuple[Figure | Word, ...], ...] = ()
    prices: tuple[str, ...] = ()

    @property
    def values(self) -> Mapping[str, float | None]:
        """Return the numbers by name; None for one that is not finite."""
        return {figure.name: figure.known for figure in self.figures}


def check_finite(*numbers: float) -> None:
    """Refuse numbers typed as "nan" or "inf". Raises CommandRefusedError."""
    require(all(map(math.isfinite, numbers)), "nan and inf cannot be computed with")


def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition is the argument
    """Refuse impossible input, unless a condition *holds*. Raises CommandRefusedError."""
    if not holds:
        raise edge.CommandRefusedError(otherwise)


def whole_instances(rate: float, milliseconds: float) -> float:
    """
    Return the instances that serve *rate* requests a second of so many *milliseconds* each; at least 1.

    Raises CommandRefusedError.
    """
    check_finite(rate, milliseconds)
    require(rate > 0, "a rate is more than 0 requests a second")
    busy = rate * milliseconds / 1000
    require(
        busy < MOST_INSTANCES,
        f"{count_noun(rate, 'request')} a second need more than {MOST_INSTANCES:g} instances",
    )
    return max(1, math.ceil(round(busy, 9)))


# --- options and printing -------------------------------------------------------------------------

InstanceOption = Annotated[
    str | None, edge.option("TYPE", "The instance; its price is of a dated table for us-east-1.")
]
SMALLEST_SHOWN = 0.001
"""Limit below which nobody cares how little it is, except of dollars."""
UNKNOWN_CELL = "–"  # noqa: RUF001 - the cell of a table for an unknown value
PriceOption = Annotated[float | None, edge.option("USD", "Dollars an hour of an instance.")]
RegionOption = Annotated[str | None, edge.option("REGION", "Where it is.")]


def hourly_price(instance: str | None, price: float | None) -> float:
    """Return the dollars an hour of *instance*, unless a *price* is given. Raises CommandRefusedError."""
    if price is not None:
        return price
    if instance is None:
        raise edge.CommandRefusedError("give --instance TYPE, or --price in dollars an hour")
    found = price_table()[instance].hourly_usd if instance in price_table() else None
    if found is None:
        raise edge.CommandRefusedError(
            f"give --price: no price of {instance} is known{suggest_nearest(instance, price_table())}"
        )
    return float(found)


def hourly_price_source(instance: str | None, price: float | None) -> str:
    """Return the source of what `hourly_price` returns."""
    if price is not None or instance is None:
        return f"${price:g} for an instance-hour, as typed"
    found = price_table()[instance]
    return f"${found.hourly_usd} for an hour of {instance}, {PRICE_TABLE_REGION}, {found.source}"


def parse_numbers(text: str, where: str) -> list[float]:
    """
    Parse the numbers in *text* between commas.

    Raises CommandRefusedError, which says *where* something is wrong.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise edge.CommandRefusedError(f"{where} has something that is not a number: {error}") from error
    if not all(map(math.isfinite, found)):
        raise edge.CommandRefusedError(f"{where} has a number without an end")
    return found


def read_text(path: str) -> str:
    """Read a file. Raises CommandRefusedError."""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise edge.CommandRefusedError(f"{path} cannot be read: {error}") from error


def print_estimate(name: str, estimate: Callable[[], Estimate], *, as_json: bool) -> int:
    """Print the answer of *estimate*. Raises CommandRefusedError if it is impossible."""
    found = estimate()
    if as_json:
        document: dict[str, object] = {"estimate": name, **found.values, "advice": found.advice}
        document["reasons"] = found.reasons
        if found.compared:
            document["compared"] = [{figure.name: figure.known for figure in row} for row in found.compared]
        document |= {"without": found.without, "prices": found.prices}
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
        return 0
    figures = Grid()
    for figure in found.figures:
        figures.add_row(Text(figure.words), Text(format_figure(figure), style="bold"))
    blocks: list[RenderableType] = [Text(escape_text(found.advice)), figures]
    if found.compared:
        blocks.append(draw_comparison(found.compared))
    blocks += [Text("\n".join(map(escape_text, found.reasons)))] if found.reasons else []
    last = [f"Without {found.without}.", *(f"Price: {price}." for price in found.prices)]
    print_blocks([*blocks, Text("\n".join(map(escape_text, last)), style="dim")])
    return 0


def draw_comparison(compared: Sequence[Sequence[Figure | Word]]) -> Grid:
    """Draw the rows beneath their heads, numbers to the right."""
    table = Grid()
    for figure in compared[0]:
        table.add_column(justify="left" if isinstance(figure, Word) else "right")
    table.add_row(*(Text(figure.words, style="dim") for figure in compared[0]))
    for row in compared:
        cells = (
            figure.known if isinstance(figure, Word) else format_figure(figure, UNKNOWN_CELL)
            for figure in row
        )
        table.add_row(*(Text(escape_text(cell)) for cell in cells))
    return table


def format_figure(figure: Figure, unknown: str = "unknown") -> str:
    """Format a number as people read it."""
    if (value := figure.known) is None:
        return unknown
    match figure.unit:
        case "usd":
            digits = 2 if abs(value) >= 1 or not value else 4
            return f"{'-' * (value < 0)}${abs(value):,.{digits}f}"
        case "share":
            return f"{value:.1%}"
        case "requests" | "count":
            return f"{value:,.0f}"
        case unit if 0 < value < SMALLEST_SHOWN:
            return f"<{SMALLEST_SHOWN} {unit}"
        case unit:
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateAccount:
    """The account to ask, with the operator's settings and the time."""

    aws: Aws
    settings: Settings
    now: datetime

    def detector[D: Detector[Any]](self, kind: type[D]) -> D:
        """Return the detector of *kind*, as the operator set it."""
        return cast("D", self.settings.detector(kind))

    def target(self, name: str, kind: str) -> Target:
        """
        Find the resource of *kind* called *name*.

        Raises CommandRefusedError with a near name, and FailedError.
        """
        with show_progress(f"looking for {name}"):
            known = explain.resources_like(self.aws, name, {kind})
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
            raise edge.FailedError(f"{name} could not be looked for: {known.error}")
        near = explain.nearest_resource(name, known.items)
        hint = f"did you mean {near.name}?" if near else "--region says where else to look"
        raise edge.CommandRefusedError(f"no {kind} in {self.aws.region} is called {name}; {hint}")


@dataclass(frozen=True, slots=True)
class PlanDiscount:
    """The *share* that a Savings Plan takes off on demand, from 0 to 1, and its *source*."""

    share: float
    source: str

    @classmethod
    def typed(cls, share: float) -> PlanDiscount:
        return cls(share, f"a commitment's discount of {share:.1%}, as typed: an assumption")

    @classmethod
    def read(cls, at: EstimateAccount, component: PricedComponent, instance: str) -> PlanDiscount:
        """
        Read the discount for *instance* of a plan of one year without upfront payment.

        Raises FailedError if it is unknown.
        """
        region, word = at.aws.region, COMPONENT_NAMES[component].word
        with show_progress("reading the rates of Savings Plans"):
            rates = SavingsPlans(at.aws, _MOST_RATE_PAGES).rates([f"{usage_prefix(region)}-{word}{instance}"])
            price = at.aws.prices.hourly(region, component, instance)
        known = rates.value["SageMaker"].values() if isinstance(rates, Value) else ()
        if not known or not price.hourly_usd:
            why = getattr(rates, "error", f"there is no rate or no price of {instance} in {region}")
            raise edge.FailedError(f"the discount of a plan is unknown: {why}. Type it instead")
        share = 1 - max(rate.hourly_usd for rate in known) / float(price.hourly_usd)
        return cls(
            share,
            f"a commitment's discount of {share:.1%} in {region}, read {at.now:%Y-%m-%d}: {DESCRIBE_RATES}"
            f" beside {price.source}",
        )


_MOST_RATE_PAGES = 5

ReadDiscountOption = Annotated[
    bool, typer.Option("--read-discount", help="Ask AWS for a plan's rate (1 year, no upfront payment).")
]


@contextmanager
def open_account(
    ctx: typer.Context,
    region: str | None,
    profile: str | None,
    config: Path | None,
    overrides: list[str] | None,
) -> Iterator[EstimateAccount]:
    """Open the account of the credentials, in *region*."""
    setup = edge.make_setup(ctx, config, overrides, profile=profile)
    where = setup.regions([region] if region else None)[0]
    with edge.end_on_interrupt():
        with show_progress("identifying the account"):
            known = edge.require_caller(setup.session, where, setup.attempts).account
        with open_regions(
            setup.session, account=known, regions=[where], attempts=setup.attempts, pace=edge.call_pace()
        ) as accounts:
            yield EstimateAccount(aws=accounts[0], settings=setup.settings, now=setup.now)
