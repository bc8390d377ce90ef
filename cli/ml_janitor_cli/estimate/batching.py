"""
`janitor estimate batching`: one by one against batches, from latencies that are typed or measured.
Measured requests go one after the other, single ones and batches in turn, each tried once. That costs
something, and counts as use of the endpoint: `MeasurementPlan.words` say both before anything is sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from botocore.config import Config

from ml_janitor.aws.calls import USER_AGENT, failure_text, is_refusal, make_client
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.model import HOURS_PER_MONTH
from ml_janitor.core.text import count_noun
from ml_janitor_cli import edge
from ml_janitor_cli.estimate.estimates import (
    SERVERLESS_GB_SECOND_USD,
    Estimate,
    Figure,
    InstanceOption,
    PriceOption,
    RegionOption,
    check_finite,
    hourly_price,
    hourly_price_source,
    print_estimate,
    require,
    whole_instances,
)

# --- command --------------------------------------------------------------------------------------

latency_clock = time.perf_counter
BATCH_ADVICE = (
    "how a model takes several requests at once is its own: give --batch-payload FILE with --batch of them,"
    " or --batch-ms as you measured it"
)


def batching(
    ctx: typer.Context,
    *,
    one_ms: Annotated[float | None, edge.option("MS", "Measured latency of one request.", "--one-ms")] = None,
    batch: Annotated[int | None, edge.option("N", "Requests of a batch.")] = None,
    batch_ms: Annotated[float | None, edge.option("MS", "Measured latency of that batch.")] = None,
    instance: InstanceOption = None,
    price: PriceOption = None,
    rate: Annotated[
        float | None, edge.option("N", "Requests a second: count instances and dollars a month.")
    ] = None,
    cache_hits: Annotated[float, edge.option("SHARE", "Share of requests that a cache answers.")] = 0.0,
    quantised: Annotated[float, edge.option("TIMES", "Speed of the quantised model, as a multiple.")] = 1.0,
    measure: Annotated[
        str | None, edge.option("ENDPOINT", "Ask this endpoint, after saying what that costs.")
    ] = None,
    payload: Annotated[Path | None, edge.option("FILE", "One request, in the model's own format.")] = None,
    batch_payload: Annotated[
        Path | None, edge.option("FILE", "--batch requests at once, in its own format.")
    ] = None,
    requests: Annotated[int, edge.option("N", "Requests to send in all, 200 at most.")] = 60,
    network_ms: Annotated[float, edge.option("MS", "Part of each latency that the network takes.")] = 0.0,
    content_type: Annotated[
        str | None, edge.option("TYPE", "Content type of the payloads; else by the file's name.")
    ] = None,
    component: Annotated[str | None, edge.option("NAME", "The inference component to ask.")] = None,
    yes: Annotated[bool, edge.flag("--yes", "Send the requests without asking.")] = False,
    region: RegionOption = None,
    profile: edge.Profile = None,
    as_json: edge.Json = False,
) -> int:
    """
    Compare requests one by one with batches and a cache.

    A quantised model is compared too. With --measure, the latencies come from requests that are sent to an
    endpoint with your credentials, which need sagemaker:InvokeEndpoint, DescribeEndpoint,
    DescribeEndpointConfig and ListEndpoints.

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
            if price is not None and rate is not None:
                raise edge.CommandRefusedError("--rate counts instances, which serverless inference has not")
        hourly_price(instance, price)  # an unknown price is refused before anything is sent
        typer.echo(plan.words(), err=True)
        if not yes and not edge.ask_yes("Send them?"):
            typer.echo("Nothing was sent.", err=True)
            return 0
        found = measure_requests(setup, plan, component, latency_clock).latencies(
            batch or 1, batch_ms, network_ms
        )
    return print_estimate(
        "batching",
        lambda: found.shown_in(
            lambda: estimate_batching(
                hourly_usd=hourly_price(instance, price),
                one_ms=found.one_ms,
                batch=found.batch,
                batch_ms=found.batch_ms,
                cache_hits=cache_hits,
                quantised=quantised,
                rate=rate,
                source=hourly_price_source(instance, price),
            )
        ),
        as_json=as_json,
    )


def estimate_batching(
    *,
    hourly_usd: float,
    one_ms: float,
    batch: int,
    batch_ms: float,
    cache_hits: float = 0.0,
    quantised: float = 1.0,
    rate: float | None = None,
    source: str = "",
) -> Estimate:
    """
    Compare a thousand requests one by one with batches, on an instance that has work all the time.

    With the *rate* of requests a second, compare whole instances and their dollars a month too.

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
    advice = f"A request waits for its batch: it takes {batch_ms / quantised:g} ms, and {one_ms:g} ms alone."
    served: tuple[Figure, ...] = ()
    if rate is not None:
        ways = {
            "one_by_one": ("one by one", one_ms),
            "batched": ("in batches", batch_ms / batch),
            "together": ("all together", batch_ms / batch * (1 - cache_hits) / quantised),
        }
        counts = {name: whole_instances(rate, each_ms) for name, (_, each_ms) in ways.items()}
        monthly = {name: count * hourly_usd * HOURS_PER_MONTH for name, count in counts.items()}
        served = tuple(
            figure
            for name, (words, _) in ways.items()
            for figure in (
                Figure(f"{name}_instances", f"instances {words}", counts[name], "count"),
                Figure(f"{name}_monthly_usd", f"a month {words}", monthly[name]),
            )
        )
        saved = monthly["one_by_one"] - monthly["batched"]
        served += (Figure("saved_monthly_usd", "saved a month by batches", saved),)
        needed = (
            f"{count_noun(rate, 'request')} a second need "
            f"{count_noun(counts['one_by_one'], 'instance')} one by one"
        )
        if saved:
            advice = f"{needed}, and {counts['batched']:,.0f} in batches. {advice}"
        else:
            advice = (
                f"Batches save nothing: {count_noun(rate, 'request')} a second need "
                f"{count_noun(counts['one_by_one'], 'instance')} either way."
            )
    return Estimate(
        (
            Figure("one_by_one_usd", "1,000 requests one by one", single),
            Figure("batched_usd", "in batches", batched),
            Figure("cached_usd", "one by one behind the cache", cached),
            Figure("quantised_usd", "one by one, quantised", single / quantised),
            Figure("together_usd", "all together", together),
            Figure(
                "times_cheaper",
                "times cheaper together",
                one_ms / batch_ms * batch * quantised / (1 - cache_hits),
                "times",
            ),
            Figure("added_ms", "added to a request's time by its batch", batch_ms / quantised - one_ms, "ms"),
            *served,
        ),
        advice,
        "the time until a batch is full, the cache's own cost, and what quantisation does to the answers"
        + ("" if rate is None else ", and room for peaks: instances have work all the time"),
        prices=(source,) if source else (),
    )


def _typed(
    one_ms: float | None, batch: int | None, batch_ms: float | None, files: Sequence[Path | None]
) -> Latencies:
    """Return the latencies as they were typed. Raises CommandRefusedError."""
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
    """
    Read the payloads: one request, and, unless its latency is typed, a batch.

    Raises CommandRefusedError.
    """
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


# --- measurement ----------------------------------------------------------------------------------

MOST_MEASURED_REQUESTS = 200
LONGEST_ANSWER_SECONDS = 60.0
"""Maximum time of a model's answer (API reference of InvokeEndpoint)."""

LARGEST_PAYLOAD, LARGEST_SERVERLESS_PAYLOAD = 25 * 1024**2, 4 * 1024**2
"""
Maximum size of a payload ("Model deployment options" and "Invoke a serverless endpoint" in the developer
guide).
"""

CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The bytes of a file to send, and their content type."""

    body: bytes
    kind: str

    @classmethod
    def read(cls, path: Path, kind: str | None) -> Payload:
        """
        Read the payload in a file; its content type is *kind*, else by the file's name.

        Raises CommandRefusedError.
        """
        try:
            body = path.read_bytes()
        except OSError as error:
            raise edge.CommandRefusedError(f"{path} cannot be read: {error}") from error
        if not body:
            raise edge.CommandRefusedError(f"{path} is empty: a payload is what the model is asked")
        return cls(body=body, kind=kind or CONTENT_TYPES.get(path.suffix, "application/octet-stream"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEndpoint:
    """An endpoint for a measurement; *memory_gb* is that of serverless inference."""

    name: str
    region: str
    instance: str | None = None
    instances: int = 1
    memory_gb: float | None = None

    @property
    def serverless_usd(self) -> float | None:
        """Return the price of an hour of computing, if it is serverless."""
        return None if self.memory_gb is None else self.memory_gb * SERVERLESS_GB_SECOND_USD * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPlan:
    """The requests to send to an endpoint: *requests* in all, including those that only warm up."""

    endpoint: MeasuredEndpoint
    payloads: Sequence[Payload]
    requests: int

    def words(self) -> str:
        """Say what it costs, and what else it does."""
        at, sent = self.endpoint, sum(len(payload.body) for payload in self.turns())
        first = (
            f"This sends {count_noun(self.requests, 'request')} ({sent / 1000:,.1f} kB in all) "
            f"to {at.name} in {at.region}."
        )
        if at.memory_gb is None:
            on = f"{at.instances} x {at.instance}" if at.instance else "Its instances"
            cost = f"{on} cost the same with them: only data is added, $0.016 for a GB in or out."
        else:
            most = self.requests * LONGEST_ANSWER_SECONDS * at.memory_gb * SERVERLESS_GB_SECOND_USD
            cost = (
                f"Serverless inference takes ${SERVERLESS_GB_SECOND_USD:.5f} for a second of each of "
                f"{at.memory_gb:g}"
                f" GB, ${most:.2f} if each request took the longest allowed, and $0.016 for a GB of data."
            )
        return f"{first} {cost} They count as use: its idle time begins anew."

    def turns(self) -> list[Payload]:
        """Return one payload after the other, in turn."""
        return [self.payloads[number % len(self.payloads)] for number in range(self.requests)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Milliseconds of one request alone and of a *batch* of them; *figures* are those that were measured."""

    one_ms: float
    batch: int
    batch_ms: float
    figures: tuple[Figure, ...] = ()

    def shown_in(self, make: Callable[[], Estimate]) -> Estimate:
        """Return the estimate with the measurements; a slower batch is then an answer, not a mistake."""
        if not self.figures:
            return make()
        if self.batch_ms > self.batch * self.one_ms:
            estimate = Estimate(
                (), f"Do not batch: {count_noun(self.batch, 'request')} at once took longer than one by one."
            )
        else:
            estimate = make()
        without = "the way to the endpoint, unless --network-ms takes it off"
        return replace(
            estimate,
            figures=(*self.figures, *estimate.figures),
            without=f"{without}; {estimate.without}" if estimate.without else without,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimes:
    """Seconds of each request that was counted, by the payload it had: one request, and perhaps a batch."""

    seconds: Sequence[Sequence[float]]

    def latencies(self, batch: int, batch_ms: float | None, network_ms: float) -> Latencies:
        """Return the medians without *network_ms*; *batch_ms* is that of a batch not measured here."""
        medians = [median(seconds) * 1000 - network_ms for seconds in self.seconds]
        if min(medians) <= 0:
            raise edge.CommandRefusedError(f"--network-ms {network_ms:g} is more than a whole request took")
        figures = (
            Figure(f"measured_{name}_{word}_ms", f"measured, {words}, {word}", at(seconds) * 1000, "ms")
            for (name, words), seconds in zip(PAYLOAD_NAMES, self.seconds, strict=False)
            for word, at in (("fastest", min), ("median", median), ("slowest", max))
        )
        many = medians[1] if batch_ms is None else batch_ms
        return Latencies(one_ms=medians[0], batch=batch, batch_ms=many, figures=tuple(figures))


PAYLOAD_NAMES = (("one", "one request"), ("batch", "a batch"))


def find_endpoint(setup: edge.Setup, name: str, region: str) -> MeasuredEndpoint:
    """Find the endpoint, if it can be measured. Raises CommandRefusedError and FailedError."""
    sagemaker = make_client(setup.session, "sagemaker", region, setup.attempts)
    with edge.one_line_errors(f"{name} could not be looked at"):
        try:
            found = sagemaker.describe_endpoint(EndpointName=name)
        except sagemaker.exceptions.ClientError as error:
            if not is_refusal(error, ("ValidationException",), "could not find"):
                raise
            pages = sagemaker.get_paginator("list_endpoints").paginate()
            known = [summary["EndpointName"] for page in pages for summary in page["Endpoints"]]
            raise edge.CommandRefusedError(
                f"no endpoint in {region} is called {name}{suggest_nearest(name, known)}"
            ) from None
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    if found["EndpointStatus"] != "InService":
        raise edge.FailedError(
            f"{name} is {found['EndpointStatus']}: it can be measured when it is InService"
        )
    if "AsyncInferenceConfig" in found:
        raise edge.CommandRefusedError(
            f"{name} is asynchronous: it answers to S3, and no latency can be measured"
        )
    variants = config["ProductionVariants"]
    if len(variants) > 1:
        raise edge.CommandRefusedError(
            f"{name} has {count_noun(len(variants), 'variant')}, any of which may answer: measure one alone"
        )
    variant, running = variants[0], found["ProductionVariants"][0]
    if serverless := variant.get("ServerlessConfig"):
        return MeasuredEndpoint(name=name, region=region, memory_gb=serverless["MemorySizeInMB"] / 1024)
    return MeasuredEndpoint(
        name=name,
        region=region,
        instance=variant.get("InstanceType"),
        instances=running.get("CurrentInstanceCount", 1),
    )


def plan_measurement(
    endpoint: MeasuredEndpoint, payloads: Sequence[Payload], requests: int
) -> MeasurementPlan:
    """Plan the measurement. Raises CommandRefusedError for too many requests, too few, or too large ones."""
    if not 2 * len(payloads) <= requests <= MOST_MEASURED_REQUESTS:
        raise edge.CommandRefusedError(
            f"--requests: expected {2 * len(payloads)} to {MOST_MEASURED_REQUESTS}, got {requests}"
        )
    most = LARGEST_PAYLOAD if endpoint.memory_gb is None else LARGEST_SERVERLESS_PAYLOAD
    for payload in payloads:
        if len(payload.body) > most:
            size = f"{len(payload.body) / 1024**2:,.1f} MB"
            raise edge.CommandRefusedError(
                f"a payload of {size} is too large: {endpoint.name} takes {most // 1024**2} MB"
            )
    return MeasurementPlan(endpoint=endpoint, payloads=payloads, requests=requests)


def measure_requests(
    setup: edge.Setup, plan: MeasurementPlan, component: str | None, clock: Callable[[], float]
) -> RequestTimes:
    """
    Measure how long each request takes from here, the answer read. The first of each payload warms up.

    Raises FailedError at the first request that fails; none is tried again, because a retry is not a latency.
    """
    config = Config(
        user_agent_extra=USER_AGENT,
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=5,
        read_timeout=LONGEST_ANSWER_SECONDS + 10,
    )
    runtime = setup.session.client("sagemaker-runtime", region_name=plan.endpoint.region, config=config)
    more: dict[str, Any] = {} if component is None else {"InferenceComponentName": component}
    took: list[list[float]] = [[] for _ in plan.payloads]
    for number, payload in enumerate(plan.turns()):
        began = clock()
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=plan.endpoint.name, Body=payload.body, ContentType=payload.kind, **more
            )
            answer["Body"].read()
        except Exception as error:  # any other error is a fault of ours, and raised as it is
            if (words := failure_text(error)) is None:
                raise
            sent = f"request {number + 1} of {plan.requests}"
            raise edge.FailedError(f"{sent} failed, and nothing more was sent: {words}") from error
        took[number % len(plan.payloads)].append(clock() - began)
    return RequestTimes(seconds=[seconds[1:] for seconds in took])
