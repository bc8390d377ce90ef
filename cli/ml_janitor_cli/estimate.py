"""`janitor estimate`: what training, inference or a commitment would cost, before anybody pays for it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ml_janitor.aws.prices import table
from ml_janitor.config.layers import nearest
from ml_janitor.core.spot import Interruption, Spot
from ml_janitor.core.text import plain
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor_cli import edge, estimates
from ml_janitor_cli.estimates import Estimate, Figure, ImpossibleError
from ml_janitor_cli.screen import Grid, console, write

estimate = typer.Typer(rich_markup_mode=None, add_completion=False)

SPOT = SpotTraining()
MINUTE = timedelta(minutes=1)

Instance = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="The instance; its price is of a dated table for us-east-1."),
]
Price = Annotated[float | None, typer.Option(metavar="USD", help="Dollars an hour of an instance.")]


@estimate.callback()
def _estimate() -> None:
    """
    Say what something would cost before anybody pays for it.

    Nothing is asked of AWS. Prices come from a dated table for us-east-1; --price wins over it. Spot's
    defaults are those of the adviser spot-training.
    """


@estimate.command()
def training(
    *,
    hours: Annotated[float, typer.Option(metavar="HOURS", help="How long the job computes, undisturbed.")],
    instance: Instance = None,
    price: Price = None,
    instances: Annotated[int, typer.Option(metavar="N", help="How many instances.")] = 1,
    discount: Annotated[
        float, typer.Option(metavar="SHARE", help="Spot's, off on demand, from 0 to 1.")
    ] = SPOT.discount,
    interruptions: Annotated[
        float, typer.Option(metavar="N", help="Of spot, in an hour.")
    ] = SPOT.interruptions_per_hour,
    restart: Annotated[float, typer.Option(metavar="MINUTES", help="Until it computes again.")] = SPOT.restart
    / MINUTE,
    save: Annotated[float, typer.Option(metavar="MINUTES", help="That a checkpoint takes.")] = SPOT.checkpoint
    / MINUTE,
    checkpoints: Annotated[bool, typer.Option(help="Whether it resumes from checkpoints in S3.")] = True,
    interruption: Annotated[
        Interruption, typer.Option(help="What one costs those who wait.")
    ] = Interruption.LOW,
    jobs_a_week: Annotated[float, typer.Option(metavar="N", help="How many such jobs run.")] = 1.0,
    storage_gb: Annotated[float, typer.Option(metavar="GB", help="Of each instance's volume.")] = 30.0,
    storage_price: Annotated[
        float, typer.Option(metavar="USD", help="A GB-month of it, in us-east-1.")
    ] = 0.14,
    commitment_discount: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of a Savings Plan, from 0 to 1; else unknown.")
    ] = None,
    as_json: edge.Json = False,
) -> int:
    """
    A training job on demand, on spot with the work done again, and committed.

    Example: janitor estimate training --instance ml.p3.8xlarge --instances 4 --hours 27
    """
    spot = Spot(interruptions, restart / 60, save / 60, discount)
    return _print(
        "training",
        lambda: estimates.training(
            hourly_usd=_price(instance, price),
            instances=instances,
            hours=hours,
            spot=spot,
            checkpoints=checkpoints,
            interruption=interruption,
            jobs_a_week=jobs_a_week,
            storage_gb=storage_gb,
            storage_usd=storage_price,
            commitment_discount=commitment_discount,
        ),
        as_json=as_json,
    )


@estimate.command()
def inference(
    *,
    requests: Annotated[float, typer.Option(metavar="N", help="Requests a month.")],
    milliseconds: Annotated[float, typer.Option("--ms", metavar="MS", help="How long each takes.")],
    instance: Instance = None,
    price: Price = None,
    instances: Annotated[
        str, typer.Option(metavar="N[,N...]", help="How many: one number, or one for each hour of a day.")
    ] = "1",
    memory: Annotated[int, typer.Option(metavar="GB", help="That a serverless endpoint needs.")] = 4,
    gb_second_price: Annotated[
        float, typer.Option(metavar="USD", help="Serverless, in us-east-1 (price list, 2026).")
    ] = 0.00002,
    payload_kb: Annotated[float, typer.Option(metavar="KB", help="Of a request and its response.")] = 0.0,
    transfer_price: Annotated[
        float, typer.Option(metavar="USD", help="Serverless, a GB of it (price list, 2026).")
    ] = 0.016,
    latency: Annotated[float, typer.Option(metavar="SECONDS", help="That the first request may take.")] = 1.0,
    cold_start: Annotated[float, typer.Option(metavar="SECONDS", help="Until a model answers.")] = 10.0,
    as_json: edge.Json = False,
) -> int:
    """
    An endpoint that is always on against serverless inference.

    Example: janitor estimate inference --instance ml.m5.xlarge --requests 2e6 --ms 50 --memory 4
    """
    return _print(
        "inference",
        lambda: estimates.inference(
            hourly_usd=_price(instance, price),
            instances=_numbers(instances, "--instances"),
            requests=requests,
            seconds=milliseconds / 1000,
            memory_gb=memory,
            gb_second_usd=gb_second_price,
            payload_gb=payload_kb / 1_000_000,
            transfer_usd=transfer_price,
            latency=latency,
            cold_start=cold_start,
        ),
        as_json=as_json,
    )


@estimate.command()
def batching(
    *,
    one: Annotated[float, typer.Option("--one-ms", metavar="MS", help="Measured, of one request alone.")],
    batch: Annotated[int, typer.Option(metavar="N", help="Requests of a batch.")],
    batch_ms: Annotated[float, typer.Option(metavar="MS", help="Measured, of that batch.")],
    instance: Instance = None,
    price: Price = None,
    cache_hits: Annotated[float, typer.Option(metavar="SHARE", help="That a cache answers.")] = 0.0,
    quantised: Annotated[
        float, typer.Option(metavar="TIMES", help="How many times as fast the quantised model is.")
    ] = 1.0,
    as_json: edge.Json = False,
) -> int:
    """
    Requests one by one against batches, a cache and a quantised model.

    Example: janitor estimate batching --instance ml.g5.xlarge --one-ms 12 --batch 16 --batch-ms 40
    """
    return _print(
        "batching",
        lambda: estimates.batching(
            hourly_usd=_price(instance, price),
            one_ms=one,
            batch=batch,
            batch_ms=batch_ms,
            cache_hits=cache_hits,
            quantised=quantised,
        ),
        as_json=as_json,
    )


@estimate.command()
def distillation(
    *,
    teacher: Annotated[float, typer.Option(metavar="USD", help="1,000 requests of the larger model.")],
    student: Annotated[float, typer.Option(metavar="USD", help="1,000 requests of the smaller one.")],
    requests: Annotated[float, typer.Option(metavar="N", help="Requests a month.")],
    once: Annotated[float, typer.Option(metavar="USD", help="What making it costs.")],
    loss: Annotated[float, typer.Option(metavar="POINTS", help="Of accuracy that it loses.")],
    allowed: Annotated[float, typer.Option(metavar="POINTS", help="Of accuracy that may be lost.")] = 1.0,
    as_json: edge.Json = False,
) -> int:
    """
    A smaller model in place of a larger one: when it has paid for itself.

    Example: janitor estimate distillation --teacher 4.20 --student 0.60 --requests 2e6 --once 9000 --loss 0.4
    """
    return _print(
        "distillation",
        lambda: estimates.distillation(
            teacher_usd=teacher,
            student_usd=student,
            requests=requests,
            once_usd=once,
            loss=loss,
            allowed=allowed,
        ),
        as_json=as_json,
    )


@estimate.command()
def reservation(
    profile: Annotated[str, typer.Argument(metavar="FILE", help="Dollars on demand, a line for each hour.")],
    *,
    discount: Annotated[float, typer.Option(metavar="SHARE", help="Of the Savings Plan, from 0 to 1.")],
    as_json: edge.Json = False,
) -> int:
    """
    What to commit to for an hourly profile of use.

    Example: janitor estimate reservation hours.txt --discount 0.27
    """

    def made() -> Estimate:
        try:
            text = Path(profile).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise edge.Refused(f"{profile} cannot be read: {error}") from error
        return estimates.reservation(profile=_numbers(",".join(text.split()), profile), discount=discount)

    return _print("reservation", made, as_json=as_json)


def _price(instance: str | None, price: float | None) -> float:
    if price is not None:
        return price
    if instance is None:
        raise edge.Refused("give --instance TYPE, or --price in dollars an hour")
    found = table()[instance].hourly_usd if instance in table() else None
    if found is None:
        raise edge.Refused(f"give --price: no price of {instance} is known{nearest(instance, table())}")
    return float(found)


def _numbers(text: str, where: str) -> list[float]:
    try:
        found = [float(one) for one in text.split(",") if one]
    except ValueError as error:
        raise edge.Refused(f"{where} has something that is no number: {error}") from error
    if not all(map(math.isfinite, found)):
        raise edge.Refused(f"{where} has a number without an end")
    return found


def _print(name: str, made: Callable[[], Estimate], *, as_json: bool) -> int:
    try:
        found = made()
    except ImpossibleError as error:
        raise edge.Refused(str(error)) from error
    if as_json:
        document = {"estimate": name, **found.values, "advice": found.advice, "without": found.without}
        typer.echo(json.dumps(document, indent=2))
        return 0
    table = Grid()
    for figure in found.figures:
        table.add_row(Text(figure.words), Text(shown(figure), style="bold"))
    write(
        console(sys.stdout),
        [Text(plain(found.advice)), table, Text(f"Without {found.without}.", style="dim")],
    )
    return 0


def shown(figure: Figure) -> str:
    """A number as people read it."""
    if (value := figure.known) is None:
        return "unknown"
    match figure.unit:
        case "usd":
            digits = 2 if abs(value) >= 1 or not value else 4
            return f"{'-' * (value < 0)}${abs(value):,.{digits}f}"
        case "share":
            return f"{value:.1%}"
        case "requests":
            return f"{value:,.0f}"
        case unit:
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
