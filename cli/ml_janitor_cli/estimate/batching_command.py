"""`janitor estimate batching`: one by one against batches, from latencies that are typed or measured."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ml_janitor_cli import edge, prompts
from ml_janitor_cli.estimate import costs
from ml_janitor_cli.estimate.measuring import (
    Latencies,
    Payload,
    find_endpoint,
    measure_requests,
    plan_measurement,
)
from ml_janitor_cli.estimate.view import (
    InstanceOption,
    PriceOption,
    RegionOption,
    hourly_price,
    print_estimate,
)

latency_clock = time.perf_counter
BATCH_ADVICE = (
    "how a model takes several requests at once is its own: give --batch-payload FILE with --batch of them,"
    " or --batch-ms as you measured it"
)


def batching(
    ctx: typer.Context,
    *,
    one_ms: Annotated[float | None, edge.option("MS", "Measured, of one request alone.", "--one-ms")] = None,
    batch: Annotated[int | None, edge.option("N", "Requests of a batch.")] = None,
    batch_ms: Annotated[float | None, edge.option("MS", "Measured, of that batch.")] = None,
    instance: InstanceOption = None,
    price: PriceOption = None,
    cache_hits: Annotated[float, edge.option("SHARE", "That a cache answers.")] = 0.0,
    quantised: Annotated[float, edge.option("TIMES", "How many times as fast the quantised model is.")] = 1.0,
    measure: Annotated[
        str | None, edge.option("ENDPOINT", "Ask this endpoint, after saying what that costs.")
    ] = None,
    payload: Annotated[Path | None, edge.option("FILE", "One request, in the model's own format.")] = None,
    batch_payload: Annotated[
        Path | None, edge.option("FILE", "--batch requests at once, in its own format.")
    ] = None,
    requests: Annotated[int, edge.option("N", "To send in all, 200 at most.")] = 60,
    network_ms: Annotated[
        float, edge.option("MS", "Of each latency, on the way and not in the model.")
    ] = 0.0,
    content_type: Annotated[
        str | None, edge.option("TYPE", "Of the payloads; else by the file's name.")
    ] = None,
    component: Annotated[str | None, edge.option("NAME", "The inference component to ask.")] = None,
    yes: Annotated[bool, edge.flag("--yes", "Send the requests without asking.")] = False,
    region: RegionOption = None,
    profile: edge.Profile = None,
    as_json: edge.Json = False,
) -> int:
    """
    Compare requests one by one with batches, a cache and a quantised model.

    With --measure, the latencies come from requests that are sent to an endpoint with your credentials, which
    need sagemaker:InvokeEndpoint, DescribeEndpoint, DescribeEndpointConfig and ListEndpoints.

    \b
    Examples:
      janitor estimate batching --instance ml.g5.xlarge --one-ms 12 --batch 16 --batch-ms 40
      janitor estimate batching --measure ranker --payload one.json --batch 16 --batch-payload sixteen.json
    """  # noqa: D301 - \b keeps the lines below it as they are
    if not 0 <= network_ms < math.inf:
        raise edge.CommandRefusedError("--network-ms is 0 or more")
    if measure is None:
        found = _typed(one_ms, batch, batch_ms, [payload, batch_payload])
    else:
        payloads = _payloads(one_ms, batch, batch_ms, [payload, batch_payload], content_type)
        setup = edge.make_setup(ctx, None, None, profile=profile)
        where = setup.regions([region] if region else None)[0]
        plan = plan_measurement(find_endpoint(setup, measure, where), payloads, requests)
        if price is None and instance is None:
            price, instance = plan.endpoint.serverless_usd, plan.endpoint.instance
        hourly_price(instance, price)  # an unknown price is refused before anything is sent
        typer.echo(plan.words(), err=True)
        if not yes and not prompts.ask_yes("Send them?"):
            typer.echo("Nothing was sent.", err=True)
            return 0
        found = measure_requests(setup, plan, component, latency_clock).latencies(
            batch or 1, batch_ms, network_ms
        )
    return print_estimate(
        "batching",
        lambda: found.shown_in(
            lambda: costs.estimate_batching(
                hourly_usd=hourly_price(instance, price),
                one_ms=found.one_ms,
                batch=found.batch,
                batch_ms=found.batch_ms,
                cache_hits=cache_hits,
                quantised=quantised,
            )
        ),
        as_json=as_json,
    )


def _typed(
    one_ms: float | None, batch: int | None, batch_ms: float | None, files: Sequence[Path | None]
) -> Latencies:
    """Return the latencies as they were typed. Raises Refused."""
    if one_ms is None or batch is None or batch_ms is None:
        raise edge.CommandRefusedError("give --one-ms, --batch and --batch-ms, or --measure ENDPOINT")
    if any(files):
        raise edge.CommandRefusedError("--payload and --batch-payload are for --measure ENDPOINT")
    return Latencies(one_ms=one_ms, batch=batch, batch_ms=batch_ms)


def _payloads(
    one_ms: float | None,
    batch: int | None,
    batch_ms: float | None,
    files: Sequence[Path | None],
    kind: str | None,
) -> list[Payload]:
    """Read the payloads: one request, and, unless its latency is typed, a batch. Raises Refused."""
    single, several = files
    if one_ms is not None:
        raise edge.CommandRefusedError("--one-ms is what --measure measures: give one of the two")
    if single is None:
        raise edge.CommandRefusedError(
            "--measure needs --payload FILE: one request, in the model's own format"
        )
    if batch is None or (batch_ms is None) == (several is None):
        raise edge.CommandRefusedError(BATCH_ADVICE)
    if batch < 1:
        raise edge.CommandRefusedError("a batch has at least 1 request")
    return [Payload.read(path, kind) for path in files if path is not None]
