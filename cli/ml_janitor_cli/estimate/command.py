"""`janitor estimate`: costs of training, inference or a commitment, before anybody pays for it."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_janitor.aws.prices import price_table
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.capacity import Interruption, SpotCapacity
from ml_janitor.core.durations import MINUTE
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor_cli import edge
from ml_janitor_cli.estimate import estimates, training_costs
from ml_janitor_cli.estimate.batching import batching
from ml_janitor_cli.estimate.estimates import (
    InstanceOption,
    PriceOption,
    hourly_price,
    parse_numbers,
    print_estimate,
    read_text,
)
from ml_janitor_cli.estimate.inference_command import inference
from ml_janitor_cli.estimate.storage import storage

estimate = typer.Typer(rich_markup_mode=None, add_completion=False)

SPOT_DEFAULTS = SpotTraining()
GPU_CHOICES = ", ".join(training_costs.known_gpus())


@estimate.callback()
def _estimate() -> None:
    """
    Say what something would cost before anybody pays for it.

    Nothing is asked of AWS, except with --endpoint, --bucket and --measure. Prices come from dated tables, of
    AWS for us-east-1; --price wins over them. Defaults are those of the advisers.
    """


@estimate.command()
def training(
    *,
    hours: Annotated[float, edge.option("HOURS", "How long the job computes, undisturbed.")],
    instance: InstanceOption = None,
    price: PriceOption = None,
    instances: Annotated[int, edge.option("N", "How many instances.")] = 1,
    gpu: Annotated[str | None, edge.option("NAME", f"Instead of an instance: {GPU_CHOICES}.")] = None,
    gpus: Annotated[int, edge.option("N", "How many of it in all.")] = 1,
    discount: Annotated[
        float, edge.option("SHARE", "Spot's, off on demand, from 0 to 1.")
    ] = SPOT_DEFAULTS.discount,
    interruptions: Annotated[
        float, edge.option("N", "Of spot, in an hour.")
    ] = SPOT_DEFAULTS.interruptions_per_hour,
    restart: Annotated[float, edge.option("MINUTES", "Until it computes again.")] = SPOT_DEFAULTS.restart
    / MINUTE,
    save: Annotated[float, edge.option("MINUTES", "That a checkpoint takes.")] = SPOT_DEFAULTS.checkpoint
    / MINUTE,
    checkpoints: Annotated[bool, typer.Option(help="Whether it resumes from checkpoints in S3.")] = True,
    interruption: Annotated[
        Interruption, typer.Option(help="What one costs those who wait.")
    ] = Interruption.LOW,
    jobs_a_week: Annotated[float, edge.option("N", "How many such jobs run.")] = 1.0,
    storage_gb: Annotated[float, edge.option("GB", "Of each instance's volume.")] = 30.0,
    storage_price: Annotated[float, edge.option("USD", "A GB-month of it, in us-east-1.")] = 0.14,
    commitment_discount: Annotated[
        float | None, edge.option("SHARE", "Of a Savings Plan, from 0 to 1; else unknown.")
    ] = None,
    data_gb: Annotated[float, edge.option("GB", "That a job on another cloud fetches from AWS.")] = 0.0,
    egress_price: Annotated[
        float, edge.option("USD", "A GB of it (first 10 TB a month, April 2026).")
    ] = 0.09,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate a training job on demand, on spot, committed and elsewhere.

    Elsewhere is the same GPUs on EC2, GCP and Azure. Spot's hours include work that is done again. A
    commitment without a discount has no estimate. Prices of other clouds are those of a dated table, of whole
    machines in the cheapest region that it has, and their spot prices those of one moment.

    \b
    Examples:
      janitor estimate training --instance ml.p3.8xlarge --instances 4 --hours 27
      janitor estimate training --gpu H100 --gpus 8 --hours 72 --data-gb 500
    """  # noqa: D301 - \b keeps the lines below it as they are
    if gpu is not None:
        if instance is not None:
            raise edge.CommandRefusedError("--gpu chooses the instance: leave --instance out")
        instance, instances = cheapest_instances(gpu, gpus)
    spot = SpotCapacity(interruptions, restart / 60, save / 60, discount)
    return print_estimate(
        "training",
        lambda: training_costs.estimate_training(
            hourly_usd=hourly_price(instance, price),
            instances=instances,
            hours=hours,
            spot=spot,
            checkpoints=checkpoints,
            interruption=interruption,
            jobs_a_week=jobs_a_week,
            storage_gb=storage_gb,
            storage_usd=storage_price,
            commitment_discount=commitment_discount,
            data_gb=data_gb,
            egress_usd=egress_price,
            instance=instance or "",
            gpu=training_costs.instance_gpu(instance or ""),
            offers=training_costs.read_offers(),
        ),
        as_json=as_json,
    )


def cheapest_instances(gpu: str, gpus: int) -> tuple[str, int]:
    """
    Return the instances, and how many, with so many of *gpu* for the least an hour.

    Raises CommandRefusedError.
    """
    known = training_costs.known_gpus()
    if gpu not in known:
        raise edge.CommandRefusedError(f"--gpu is one of {', '.join(known)}{suggest_nearest(gpu, known)}")
    if gpus < 1:
        raise edge.CommandRefusedError("--gpus is at least 1")
    costs: dict[tuple[str, int], float] = {}
    for name, price in price_table().items():
        own = training_costs.instance_gpu(name)
        if own is not None and own[0] == gpu and price.hourly_usd is not None:
            count = -(-gpus // own[1])
            costs[name, count] = count * float(price.hourly_usd)
    if not costs:
        raise edge.CommandRefusedError(
            f"no price of an instance with {gpu} is known: give --instance and --price"
        )
    return min(costs, key=lambda choice: (costs[choice], choice[1]))


for _other in (inference, storage, batching):
    estimate.command()(_other)


@estimate.command()
def distillation(
    *,
    teacher: Annotated[float, edge.option("USD", "1,000 requests of the larger model.")],
    student: Annotated[float, edge.option("USD", "1,000 requests of the smaller one.")],
    requests: Annotated[float, edge.option("N", "Requests a month.")],
    once: Annotated[float, edge.option("USD", "What making it costs.")],
    loss: Annotated[float, edge.option("POINTS", "Of accuracy that it loses.")],
    allowed: Annotated[float, edge.option("POINTS", "Of accuracy that may be lost.")] = 1.0,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate when a smaller model in place of a larger one has paid for itself.

    Example: janitor estimate distillation --teacher 4.20 --student 0.60 --requests 2e6 --once 9000 --loss 0.4
    """
    return print_estimate(
        "distillation",
        lambda: estimates.estimate_distillation(
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
    profile: Annotated[str, edge.argument("FILE", "Dollars on demand, a line for each hour.")],
    *,
    discount: Annotated[float, edge.option("SHARE", "Of the Savings Plan, from 0 to 1.")],
    as_json: edge.Json = False,
) -> int:
    """
    Estimate the best commitment for an hourly profile of use.

    Example: janitor estimate reservation hours.txt --discount 0.27
    """
    return print_estimate(
        "reservation",
        lambda: estimates.estimate_reservation(
            profile=parse_numbers(",".join(read_text(profile).split()), profile), discount=discount
        ),
        as_json=as_json,
    )
