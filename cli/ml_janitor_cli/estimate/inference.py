"""`janitor estimate inference`: an endpoint against serverless inference, by flags or by its own metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import typer

from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import LoadedEndpoint, judgeable_description
from ml_janitor.aws.prices import machine_of
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, MODEL, describe_resource
from ml_janitor.core.model import HOURS_PER_MONTH, Absent, Kept, Rule, Value
from ml_janitor.core.text import count_noun
from ml_janitor.detectors.serverless_candidates import (
    MOST_SERVERLESS_GB,
    MOST_SERVERLESS_REQUESTS,
    EndpointUse,
    ServerlessCandidates,
    read_endpoint_use,
    unsupported_need,
    why_not_serverless,
)
from ml_janitor_cli import edge
from ml_janitor_cli.estimate.estimates import (
    NEGATIVE_INPUT,
    SERVERLESS_GB_SECOND_USD,
    Estimate,
    EstimateAccount,
    Figure,
    InstanceOption,
    PriceOption,
    RegionOption,
    check_finite,
    hourly_price,
    hourly_price_source,
    open_account,
    parse_numbers,
    print_estimate,
    require,
)
from ml_janitor_cli.screen import show_progress

SERVERLESS_GB = range(1, 7)
"""The memory that a serverless endpoint may have (API reference of ProductionVariantServerlessConfig)."""

HOURS_OF_A_DAY = (1, 23, 24, 25)
"""One number for all hours of a day, or one for each; clocks change on two days a year."""

DEFAULT_MEMORY_GB, DEFAULT_LATENCY, DEFAULT_COLD_START = 4, 1.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFacts:
    """
    The costs and the use of an endpoint, as serverless-candidates reads them; None where unknown.

    *why* is why its *use* is not known, *cannot* why serverless inference cannot do the same.
    """

    name: str = ""
    hourly_usd: float | None = None
    instance: str = ""
    instances: int = 1
    use: EndpointUse | None = None
    why: str = ""
    cannot: str | None = None
    memory_gb: int | None = None
    gb_second_usd: float | None = None
    cold_start: float = DEFAULT_COLD_START
    latency: float = DEFAULT_LATENCY
    slower: float = 1.0


def inference(
    ctx: typer.Context,
    *,
    endpoint: Annotated[
        str | None, edge.option("NAME", "Read its use of two weeks; options win over it.")
    ] = None,
    requests: Annotated[float | None, edge.option("N", "Requests a month.")] = None,
    milliseconds: Annotated[float | None, edge.option("MS", "Time that each takes.", "--ms")] = None,
    instance: InstanceOption = None,
    price: PriceOption = None,
    instances: Annotated[
        str | None, edge.option("N[,N...]", "One number, or one for each hour of a day; else 1.")
    ] = None,
    memory: Annotated[
        int | None, edge.option("GB", f"Memory for serverless inference (default {DEFAULT_MEMORY_GB}).")
    ] = None,
    gb_second_price: Annotated[
        float | None,
        edge.option("USD", f"Price for serverless; else {SERVERLESS_GB_SECOND_USD:f} (us-east-1, 2026)."),
    ] = None,
    payload_kb: Annotated[float, edge.option("KB", "Size of a request and its response.")] = 0.0,
    transfer_price: Annotated[
        float, edge.option("USD", "Price of a GB, for serverless (price list, 2026).")
    ] = 0.016,
    latency: Annotated[
        float | None, edge.option("SECONDS", f"Allowed to the first request; else {DEFAULT_LATENCY:g}.")
    ] = None,
    cold_start: Annotated[
        float | None, edge.option("SECONDS", f"Until a model answers; else {DEFAULT_COLD_START:g}.")
    ] = None,
    slower: Annotated[
        float | None, edge.option("TIMES", "Requests take this many times longer on serverless.")
    ] = None,
    region: RegionOption = None,
    profile: edge.Profile = None,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    as_json: edge.Json = False,
) -> int:
    """
    Compare an endpoint with serverless inference.

    With --endpoint, its requests, their time, its memory and its instances are measured, and the rest is as
    set for the adviser serverless-candidates, which judges by the same numbers.

    \b
    Examples:
      janitor estimate inference --instance ml.m5.xlarge --requests 2e6 --ms 50 --memory 4
      janitor estimate inference --endpoint churn-scoring
    """  # noqa: D301 - \b keeps the lines below it as they are
    found = EndpointFacts()
    if endpoint is not None:
        with open_account(ctx, region, profile, config, overrides) as at:
            found = read_endpoint_facts(at, endpoint)

    typed_gpus = machine_of(instance).gpus if instance else 0
    if typed_gpus:
        found = replace(found, cannot=f"{instance} has GPUs, and serverless inference has none")

    def estimated() -> Estimate:
        hourly_usd = found.hourly_usd if price is None and instance is None else None
        compared = compare_with_serverless(
            found,
            hourly_usd=hourly_price(instance or found.instance or None, price)
            if hourly_usd is None
            else hourly_usd,
            instances=parse_numbers(instances, "--instances") if instances else [float(found.instances)],
            requests=requests,
            seconds=None if milliseconds is None else milliseconds / 1000,
            memory=memory,
            gb_second_usd=gb_second_price,
            payload_gb=payload_kb / 1_000_000,
            transfer_usd=transfer_price,
            latency=found.latency if latency is None else latency,
            cold_start=found.cold_start if cold_start is None else cold_start,
            slower=found.slower if slower is None else slower,
        )
        gb_second = gb_second_price if gb_second_price is not None else found.gb_second_usd
        serverless = "as typed" if gb_second_price is not None else "as the endpoint's region lists it"
        if gb_second is None:
            gb_second, serverless = SERVERLESS_GB_SECOND_USD, "us-east-1, price list of 2026"
        sources = (
            f"${hourly_usd:g} for an instance-hour, as serverless-candidates read it"
            if hourly_usd is not None
            else hourly_price_source(instance or found.instance or None, price),
            *(
                []
                if found.cannot
                else [f"${gb_second:.5f} for a second of a GB of serverless memory, {serverless}"]
            ),
        )
        return replace(compared, prices=sources)

    return print_estimate("inference", estimated, as_json=as_json)


def compare_with_serverless(
    found: EndpointFacts,
    *,
    hourly_usd: float,
    instances: list[float],
    requests: float | None = None,
    seconds: float | None = None,
    memory: int | None = None,
    gb_second_usd: float | None = None,
    payload_gb: float = 0.0,
    transfer_usd: float = 0.0,
    latency: float,
    cold_start: float,
    slower: float,
) -> Estimate:
    """Estimate by what was *found*, unless it is given. Raises CommandRefusedError, and FailedError."""
    monthly = requests if requests is not None or found.use is None else found.use.monthly
    request_seconds = seconds if seconds is not None or found.use is None else found.use.seconds
    if found.cannot is None and (monthly is None or request_seconds is None):
        if found.why:
            raise edge.FailedError(
                f"the use of {found.name} is not known: {found.why}; give --requests and --ms"
            )
        raise edge.CommandRefusedError("give --requests and --ms, or --endpoint NAME")
    estimate = estimate_inference(
        hourly_usd=hourly_usd,
        instances=instances,
        requests=monthly or 0.0,
        seconds=request_seconds or 0.0,
        memory_gb=found.memory_gb or DEFAULT_MEMORY_GB if memory is None else memory,
        gb_second_usd=gb_second_usd
        if gb_second_usd is not None
        else found.gb_second_usd or SERVERLESS_GB_SECOND_USD,
        payload_gb=payload_gb,
        transfer_usd=transfer_usd,
        latency=latency,
        cold_start=cold_start,
        slower=slower,
        cannot=found.cannot,
    )
    if found.use is None or found.cannot is not None or monthly:
        return estimate
    return replace(estimate, advice="No request came in 14 days: delete it, if idle-endpoints finds it too.")


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
    require(
        len(instances) in HOURS_OF_A_DAY and min(instances) > 0,
        "an endpoint has at least one instance: one number, or one for each of 24 hours (23 or 25 at a clock"
        f" change), and not {len(instances)}",
    )
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


def read_endpoint_facts(at: EstimateAccount, name: str) -> EndpointFacts:
    """
    Read the costs and the use of the endpoint called *name*.

    Raises CommandRefusedError, and FailedError.
    """
    rule = at.detector(ServerlessCandidates)
    target = at.target(name, ENDPOINT.type)
    with show_progress(f"reading {name}"), edge.one_line_errors(name):
        found = rule.look(at.aws, target, at.now)
        if found is None:
            raise edge.CommandRefusedError(f"{name} was deleted just now")
        return endpoint_facts(at.aws, rule, found, at.now)


def endpoint_facts(
    aws: Aws, rule: ServerlessCandidates, found: LoadedEndpoint, now: datetime
) -> EndpointFacts:
    """Return the use of *found*, and what keeps it from serverless inference. Raises FailedError."""
    described = judgeable_description(found, Rule(), now)
    if isinstance(described, Kept):
        why = f"{described.reason}; give --instance, --requests and --ms instead"
        raise edge.FailedError(f"the use of {found.target.name} is not known: {why}")
    if not described.variants:
        raise edge.FailedError(f"{found.target.name} has no variant, so it is not billed")
    served, why_not = described.variants[0], why_not_serverless(described)
    use = read_endpoint_use(served) if why_not is None else "not read"
    size = rule.size(use) if isinstance(use, EndpointUse) else None
    if why_not is None and isinstance(use, EndpointUse):
        why_not = rule.too_slow(use)
    if why_not is None:
        why_not = _model(aws, served.model or "")
    if why_not is None and size and (size[0] > MOST_SERVERLESS_GB or size[1] > MOST_SERVERLESS_REQUESTS):
        why_not = (
            f"it needs {size[0]} GB, and serverless inference has {MOST_SERVERLESS_GB} GB"
            if size[0] > MOST_SERVERLESS_GB
            else f"it serves {count_noun(size[1], 'request')} at once, and serverless inference "
            f"{MOST_SERVERLESS_REQUESTS}"
        )
    memory = size[0] if size and size[0] <= MOST_SERVERLESS_GB else None
    price = found.serverless[memory - 1].hourly_usd if memory else None
    usd = found.price.hourly_usd
    if not served.type:
        raise edge.CommandRefusedError(f"{found.target.name} cannot be compared: {why_not}")
    return EndpointFacts(
        name=found.target.name,
        hourly_usd=None if usd is None else float(usd),
        instance=served.type,
        instances=sum(variant.instances for variant in described.variants),
        use=use if isinstance(use, EndpointUse) else None,
        why=use if isinstance(use, str) else "",
        cannot=why_not,
        memory_gb=memory,
        gb_second_usd=float(price) / 3600 / memory if price is not None and memory else None,
        cold_start=found.cold_start if found.cold_start is not None else rule.cold_start,
        latency=rule.allowed(found),
        slower=rule.slower,
    )


def _model(aws: Aws, name: str) -> str | None:
    """Return why the model called *name* cannot be served without a server, or None. Raises FailedError."""
    match describe_resource(aws, MODEL, name):
        case Value(model):
            needed = unsupported_need(model)
            return needed and f"its model {needed}, which serverless inference cannot"
        case Absent():
            raise edge.FailedError(f"its model {name} is gone")
        case unread:
            raise edge.FailedError(f"its model could not be read ({getattr(unread, 'error', 'not read')})")
