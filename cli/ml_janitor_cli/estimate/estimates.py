"""The arithmetic of estimates, and the shared parts of their commands: options, refusals, account, output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.prices import price_table
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core import commitment
from ml_janitor.core.model import HOURS_PER_MONTH, Target
from ml_janitor.core.text import escape_text
from ml_janitor.engine.detector import Detector
from ml_janitor_cli import edge, explain
from ml_janitor_cli.credentials import require_caller
from ml_janitor_cli.edge import FailedError, end_on_interrupt
from ml_janitor_cli.screen import Grid, make_console, print_blocks, show_progress

# --- arithmetic -----------------------------------------------------------------------------------
# Pure: prices and measurements are arguments. Amounts are US dollars, times hours unless a name says
# otherwise. The formulas for serverless inference and commitments are the same as those of the advisers.

SERVERLESS_GB = range(1, 7)
"""The memory that a serverless endpoint may have (API reference of ProductionVariantServerlessConfig)."""

HOURS_PER_YEAR = 12 * HOURS_PER_MONTH


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
    with the same figures for each of several choices.
    """

    figures: tuple[Figure, ...]
    advice: str
    without: str = ""
    reasons: tuple[str, ...] = ()
    compared: tuple[tuple[Figure | Word, ...], ...] = ()

    @property
    def values(self) -> Mapping[str, float | None]:
        """Return the numbers by name; None for one that is not finite."""
        return {figure.name: figure.known for figure in self.figures}


def estimate_inference(
    *,
    hourly_usd: float,
    instances: Sequence[float],
    requests: float,
    seconds: float,
    memory_gb: int,
    gb_second_usd: float,
    latency: float,
    cold_start: float,
    payload_gb: float = 0.0,
    transfer_usd: float = 0.0,
    slower: float = 1.0,
    cannot: str | None = None,
) -> Estimate:
    """
    Compare an endpoint that is always on with serverless inference, for *requests* a month of *seconds* each.

    Serverless inference takes *slower* times as long for each. *cannot* is why it cannot serve this at all.

    *instances* are those of each hour of a day: one number where they do not scale. *payload_gb* is the size
    of a request and its response, *transfer_usd* the price of serverless inference for a GB of it.
    """
    check_finite(
        hourly_usd, requests, seconds, gb_second_usd, latency, cold_start, payload_gb, transfer_usd, slower
    )
    require(bool(instances) and min(instances) > 0, "an endpoint has at least one instance in each hour")
    require(memory_gb in SERVERLESS_GB, "serverless inference has 1 to 6 GB of memory")
    require(
        requests >= 0 and (seconds > 0 or seconds == requests == 0),
        "requests are not negative, and take some time",
    )
    require(min(gb_second_usd, payload_gb, transfer_usd, latency, cold_start) >= 0, NEGATIVE_INPUT)
    require(hourly_usd > 0, "an hour costs more than 0")
    require(slower >= 1, "serverless inference takes at least as long (1)")
    always = hourly_usd * sum(instances) / len(instances) * HOURS_PER_MONTH
    request_usd = seconds * slower * memory_gb * gb_second_usd + payload_gb * transfer_usd
    serverless, even = requests * request_usd, always / request_usd if request_usd else math.inf
    first = cold_start + seconds * slower
    figures: tuple[Figure, ...] = (
        Figure("serverless_usd", "serverless, a month", serverless),
        Figure("break_even_requests", "requests a month at which both cost the same", even, "requests"),
        Figure("first_request_seconds", "the first request after a pause", first, "seconds"),
    )
    advice = "Serverless inference costs less." if serverless < always else "The endpoint costs no more."
    if cannot is not None:
        advice = f"Keep the endpoint: {cannot}."
        figures = tuple(replace(figure, value=None) for figure in figures)
    elif first > latency and serverless < always:
        advice = (
            f"Serverless inference costs less, but the first request after a pause takes about {first:.3g} s,"
            f" and {latency:g} s are allowed: keep the endpoint."
        )
    return Estimate(
        (
            Figure("always_on_usd", "always on, a month", always),
            *figures,
        ),
        advice,
        "GPUs, VPCs, several models or variants and data capture, which serverless inference does not have",
    )


def estimate_batching(
    *,
    hourly_usd: float,
    one_ms: float,
    batch: int,
    batch_ms: float,
    cache_hits: float = 0.0,
    quantised: float = 1.0,
) -> Estimate:
    """
    Compare a thousand requests one by one with batches, on an instance that has work all the time.

    *cache_hits* is the share of requests that a cache answers for nothing, *quantised* how many times as fast
    a quantised model is. They compound: requests that the cache answers are neither batched nor quantised.
    """
    check_finite(hourly_usd, one_ms, batch_ms, cache_hits, quantised)
    require(hourly_usd > 0, "an hour costs more than 0")
    require(one_ms > 0 and batch_ms > 0, "a request and a batch take some time")
    require(batch >= 1, "a batch has at least 1 request")
    require(batch_ms <= batch * one_ms, f"a batch of {batch} in {batch_ms:g} ms is slower than one by one")
    require(0 <= cache_hits < 1, "a cache answers a share from 0 to below 1")
    require(quantised >= 1, "a quantised model is at least as fast (1)")
    single = hourly_usd * one_ms / 3600
    batched = hourly_usd * batch_ms / batch / 3600
    cached = single * (1 - cache_hits)
    together = batched * (1 - cache_hits) / quantised
    return Estimate(
        (
            Figure("one_by_one_usd", "1,000 requests one by one", single),
            Figure("batched_usd", "in batches", batched),
            Figure("cached_usd", "one by one behind the cache", cached),
            Figure("quantised_usd", "one by one, quantised", single / quantised),
            Figure("together_usd", "all together", together),
            Figure("times_cheaper", "times cheaper together", single / together, "times"),
            Figure("added_ms", "added to a request's time by its batch", batch_ms / quantised - one_ms, "ms"),
        ),
        f"A request waits for its batch: it takes {batch_ms / quantised:g} ms, and {one_ms:g} ms alone.",
        "the time until a batch is full, the cache's own cost, and what quantisation does to the answers",
    )


def estimate_distillation(
    *, teacher_usd: float, student_usd: float, requests: float, once_usd: float, loss: float, allowed: float
) -> Estimate:
    """
    Compare a smaller model with a larger one: *requests* a month, each model's dollars for 1,000 of them.

    *once_usd* is the cost of making it, *loss* the points of accuracy that it loses, of those *allowed*.
    """
    check_finite(teacher_usd, student_usd, requests, once_usd, loss, allowed)
    require(min(teacher_usd, student_usd, requests, once_usd) >= 0, NEGATIVE_INPUT)
    monthly = (teacher_usd - student_usd) * requests / 1000
    payback = once_usd / monthly if monthly > 0 else None
    if loss > allowed:
        advice = f"Keep the larger model: {loss:g} points of accuracy are lost, and {allowed:g} are allowed."
    elif payback is None:
        advice = "Keep the larger model: the smaller one saves nothing."
    else:
        advice = f"The smaller model has paid for itself after {payback:.1f} months."
    return Estimate(
        (
            Figure("monthly_usd", "saved a month", monthly),
            Figure("payback_months", "months until it has paid for itself", payback, "months"),
            Figure("first_year_usd", "saved in the first year, its cost taken off", 12 * monthly - once_usd),
            Figure("yearly_usd", "saved in each year after it", 12 * monthly),
        ),
        advice,
        "distilling again when the data changes",
    )


def estimate_reservation(*, profile: Sequence[float], discount: float) -> Estimate:
    """Find the best commitment for a *profile* of dollars on demand, one for each hour."""
    require(
        bool(profile) and min(profile) >= 0, "a profile has a number of dollars, 0 or more, for each hour"
    )
    require(0 < discount < 1, "a discount lies between 0 and 1")
    hours = [[commitment.RatedUsage(usd, discount)] for usd in profile]
    hourly = commitment.best_commitment(hours)
    paid, demand = commitment.cost_with_commitment(hours, hourly), sum(profile)
    a_year = HOURS_PER_YEAR / len(profile)
    advice = f"Commit to ${hourly:.3f} an hour." if hourly else "Commit to nothing."
    return Estimate(
        (
            Figure("break_even", "utilisation at which a commitment costs as much", 1 - discount, "share"),
            Figure("commitment_usd", "the best commitment, an hour", hourly),
            Figure("utilisation", "of it used", paid.utilisation, "share"),
            Figure("coverage", "of the use covered", paid.coverage, "share"),
            Figure("on_demand_yearly_usd", "a year on demand", demand * a_year),
            Figure("committed_yearly_usd", "a year with the commitment", paid.usd * a_year),
        ),
        advice,
        "growth: the profile stands for every week of the year",
    )


def check_finite(*numbers: float) -> None:
    """Refuse numbers typed as "nan" or "inf". Raises CommandRefusedError."""
    require(all(map(math.isfinite, numbers)), "nan and inf are no numbers to compute with")


def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition is the argument
    """Refuse impossible input, unless a condition *holds*. Raises CommandRefusedError."""
    if not holds:
        raise edge.CommandRefusedError(otherwise)


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


def parse_numbers(text: str, where: str) -> list[float]:
    """
    Parse the numbers in *text* between commas.

    Raises CommandRefusedError, which says *where* something is wrong.
    """
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise edge.CommandRefusedError(f"{where} has something that is no number: {error}") from error
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
        typer.echo(json.dumps(document | {"without": found.without}, indent=2))
        return 0
    figures = Grid()
    for figure in found.figures:
        figures.add_row(Text(figure.words), Text(format_figure(figure), style="bold"))
    blocks: list[RenderableType] = [Text(escape_text(found.advice)), figures]
    if found.compared:
        blocks.append(draw_comparison(found.compared))
    blocks += [Text("\n".join(map(escape_text, found.reasons)))] if found.reasons else []
    print_blocks(make_console(sys.stdout), [*blocks, Text(f"Without {found.without}.", style="dim")])
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
        case "requests":
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
            raise FailedError(f"{name} could not be looked for: {known.error}")
        near = explain.nearest_resource(name, known.items)
        hint = f"did you mean {near.name}?" if near else "--region says where else to look"
        raise edge.CommandRefusedError(f"no {kind} in {self.aws.region} is called {name}; {hint}")


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
    with end_on_interrupt():
        with show_progress("identifying the account"):
            known = require_caller(setup.session, where, setup.attempts).account
        with open_regions(
            setup.session, account=known, regions=[where], attempts=setup.attempts, pace=edge.call_pace()
        ) as accounts:
            yield EstimateAccount(aws=accounts[0], settings=setup.settings, now=setup.now)
