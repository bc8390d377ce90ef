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
from ml_janitor_cli.estimate.measuring import Latencies, Payload, find, measured, planned
from ml_janitor_cli.estimate.view import Instance, Price, Region, answer, hourly

clock = time.perf_counter
NO_BATCH = (
    "how a model takes several requests at once is its own: give --batch-payload FILE with --batch of them,"
    " or --batch-ms as you measured it"
)


def batching(
    ctx: typer.Context,
    *,
    one_ms: Annotated[float | None, edge.option("MS", "Measured, of one request alone.", "--one-ms")] = None,
    batch: Annotated[int | None, edge.option("N", "Requests of a batch.")] = None,
    batch_ms: Annotated[float | None, edge.option("MS", "Measured, of that batch.")] = None,
    instance: Instance = None,
    price: Price = None,
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
    region: Region = None,
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
        raise edge.Refused("--network-ms is 0 or more")
    if measure is None:
        found = _typed(one_ms, batch, batch_ms, [payload, batch_payload])
    else:
        payloads = _payloads(one_ms, batch, batch_ms, [payload, batch_payload], content_type)
        setup = edge.setup(ctx, None, None, profile=profile)
        where = setup.regions([region] if region else None)[0]
        plan = planned(find(setup, measure, where), payloads, requests)
        if price is None and instance is None:
            price, instance = plan.endpoint.serverless_usd, plan.endpoint.instance
        hourly(instance, price)  # an unknown price is refused before anything is sent
        typer.echo(plan.words(), err=True)
        if not yes and not prompts.agreed("Send them?"):
            typer.echo("Nothing was sent.", err=True)
            return 0
        found = measured(setup, plan, component, clock).latencies(batch or 1, batch_ms, network_ms)
    return answer(
        "batching",
        lambda: found.shown_in(
            lambda: costs.batching(
                hourly_usd=hourly(instance, price),
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
        raise edge.Refused("give --one-ms, --batch and --batch-ms, or --measure ENDPOINT")
    if any(files):
        raise edge.Refused("--payload and --batch-payload are for --measure ENDPOINT")
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
        raise edge.Refused("--one-ms is what --measure measures: give one of the two")
    if single is None:
        raise edge.Refused("--measure needs --payload FILE: one request, in the model's own format")
    if batch is None or (batch_ms is None) == (several is None):
        raise edge.Refused(NO_BATCH)
    if batch < 1:
        raise edge.Refused("a batch has at least 1 request")
    return [Payload.read(path, kind) for path in files if path is not None]
