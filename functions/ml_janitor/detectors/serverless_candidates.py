"""Endpoints with so few requests that serverless inference would cost less."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import batched
from typing import Any

from ml_janitor.aws import activity, endpoints, tags
from ml_janitor.aws.activity import GET_METRIC_DATA, LIST_METRICS, Metric
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import (
    LOAD_HOURS,
    LOAD_WINDOW,
    EndpointDescription,
    EndpointVariant,
    LoadedEndpoint,
    WantedMetrics,
)
from ml_janitor.aws.prices import GET_PRODUCTS, memory_gib
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    SEARCH,
    describe_resource,
)
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Change,
    Confidence,
    Cost,
    Evidence,
    Finding,
    Kept,
    NotRead,
    Rule,
    Target,
    Value,
    Verdict,
)
from ml_janitor.core.ownership import production_environment
from ml_janitor.core.text import count_noun, format_usd
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, Detector, allow

_LATENCY_TAG = "janitor:latency"
MOST_SERVERLESS_GB, MOST_SERVERLESS_REQUESTS = 6, 200
"""Limits of a serverless endpoint (API reference of ProductionVariantServerlessConfig)."""

MOST_SERVERLESS_SECONDS = 60
"""
Seconds after which a serverless endpoint ends a request ("Invoke a serverless endpoint", developer guide,
serverless-endpoints-invoke).
"""

LATENCY_METRICS: WantedMetrics = (
    ("ModelLatency", "Sum"), ("ModelLatency", "Maximum"), ("ModelLatency", "p99")
)  # fmt: skip
"""Of these the mean decides the price, and the others whether serverless inference can serve it."""

_LATENCY_BATCH = 500
"""Endpoints whose latency is read together: their series fill GetMetricData's calls."""


@dataclass(frozen=True)
class ServerlessCandidates(Detector[LoadedEndpoint]):
    """
    Finds endpoints that would cost less as serverless inference.

    Serverless inference is billed by the second of requests, and makes the first request after a pause wait.
    """

    name = "serverless-candidates"
    kinds = (ENDPOINT.type,)
    asks_for = Change.REPLACE
    reads = (
        allow(SEARCH),
        *(allow(kind.lists) for kind in (ENDPOINT, COMPONENT)),
        *(allow(kind.describes, on=kind.every) for kind in (ENDPOINT, ENDPOINT_CONFIG, MODEL)),
        allow(tags.LIST_TAGS, on=ENDPOINT.every),
        *(allow(action) for action in (tags.GET_RESOURCES, endpoints.DESCRIBE_SCALABLE_TARGETS)),
        *(allow(action) for action in (LIST_METRICS, GET_METRIC_DATA, GET_PRODUCTS)),
    )

    latency: Constant[float] = 1.0  # seconds that production may take
    latency_outside_production: Constant[float] = 60.0  # seconds: SageMaker ends a request after 60
    cold_start: Constant[float] = 10.0  # seconds, assumed where no serverless endpoint was measured
    slower: Constant[float] = 1.5  # times as long a request takes, assumed: fewer cores
    headroom: Constant[float] = 0.3  # room above every peak
    min_saving: Constant[float] = LEAST_SAVING_USD

    def look(self, aws: Aws, target: Target, now: datetime) -> LoadedEndpoint | None:
        for candidate in self.find(aws, now, target.name):
            return replace(
                candidate,
                target=replace(candidate.target, tags=tags.read_exact_tags(aws, candidate.target.arn)),
            )
        return None

    def find(self, aws: Aws, now: datetime, only: str | None = None) -> Iterator[LoadedEndpoint]:
        """Yield the load of every endpoint; models are described only where everything else speaks for it."""
        prices = tuple(aws.prices.serverless(aws.region, size) for size in range(1, MOST_SERVERLESS_GB + 1))
        measured = _longest_start(aws, now)
        loads = endpoints.read_endpoint_loads(aws, now, only=only)
        for endpoint in _with_latency(aws, loads.items, now):
            first = next(iter(endpoint.variants), None)
            priced = (
                replace(endpoint, price=aws.prices.hourly(aws.region, "Hosting", first.type))
                if first is not None and first.type
                else endpoint
            )
            candidate = replace(priced, serverless=prices, cold_start=measured, model=Value({}))
            if first is not None and isinstance(self.decide(candidate, now), Finding):
                candidate = replace(candidate, model=describe_resource(aws, MODEL, first.model or ""))
            yield candidate
        loads.check()

    def decide(self, candidate: LoadedEndpoint, now: datetime) -> Verdict:
        """Compare the price of its instances with its own requests at serverless prices."""
        rule = Rule()
        described = endpoints.judgeable_description(candidate, rule, now)
        if isinstance(described, Kept):
            return described
        if (reason := why_not_serverless(described)) is not None:
            return rule.kept(reason)
        served = described.variants[0]
        match read_endpoint_use(served):
            case str() as unread:
                return rule.unknown(unread)
            case EndpointUse() as use:
                return self.compare(candidate, served, use, rule)

    def compare(
        self, candidate: LoadedEndpoint, served: EndpointVariant, use: EndpointUse, rule: Rule
    ) -> Verdict:
        """Compare the first request after a pause, the dollars, and at last the needs of its model."""
        size = self.size(use)
        seconds, measured = use.seconds * self.slower, candidate.cold_start is not None
        start = candidate.cold_start if candidate.cold_start is not None else self.cold_start
        first = start + use.tail * self.slower
        rule.saw(
            Evidence("requests a month", round(use.monthly), source=GET_METRIC_DATA),
            Evidence("mean time of a request", f"{use.seconds:.3g} s", source=GET_METRIC_DATA),
            Evidence("99 of 100 requests took", f"{use.tail:.3g} s or less", source=GET_METRIC_DATA),
            Evidence("slowest request", f"{use.slowest:.3g} s", source=GET_METRIC_DATA),
            Evidence("memory peak", f"{use.gib:.2g} GB", source=GET_METRIC_DATA),
            Evidence("requests in flight at once", use.at_once, source=GET_METRIC_DATA),
            Evidence("cold start", f"{start:g} s, {'measured here' if measured else 'assumed'}"),
        )
        if (reason := self.beyond(candidate, use, size, first)) is not None:
            return rule.kept(reason)
        hourly, price = candidate.price.hourly_usd, candidate.serverless[size[0] - 1].hourly_usd
        if hourly is None or price is None:
            what = served.type if hourly is None else "serverless inference"
            return rule.unknown(f"the price of {what} is unknown")
        now, each = hourly * served.instances * HOURS_PER_MONTH, price * Decimal(seconds / 3600)
        saved, even = now - each * Decimal(use.monthly), count_noun(round(now / each), "request")
        if saved < Decimal(self.min_saving):
            less = format_usd(max(saved, Decimal(0)))
            return rule.kept(f"serverless would save {less} a month: it costs less below {even}")
        if not isinstance(candidate.model, Value):
            why = getattr(candidate.model, "error", "it is gone")
            return rule.unknown(f"its model could not be read ({why})")
        if (needed := unsupported_need(candidate.model.value)) is not None:
            return rule.kept(f"its model {needed}, which serverless inference cannot")
        return rule.found(
            f"{count_noun(round(use.monthly), 'request')} a month of {use.seconds:.3g} s would cost "
            f"{format_usd(now - saved)} as"
            f" serverless inference with {size[0]} GB; its {served.instances} {served.type} costs"
            f" {format_usd(now)}, which is less only from {even} a month on",
            Confidence.LIKELY,
            action=self.change(candidate.target.name, served, size),
            cost=Cost.saving(saved, f"{candidate.price.source}, without data transfer"),
            to_prove="a test of the new endpoint: its time on less CPU, its ModelSetupTime, and that no"
            " request or response is larger than 4 MB",
        )

    def size(self, use: EndpointUse) -> tuple[int, int]:
        """
        Return the GB of memory and the requests at once of a serverless endpoint for *use*.

        A request that takes longer is in flight for longer.
        """
        at_once = max(use.at_once, use.busiest * use.tail) * self.slower
        return math.ceil(use.gib / (1 - self.headroom)), max(math.ceil(at_once / (1 - self.headroom)), 1)

    def beyond(
        self, candidate: LoadedEndpoint, use: EndpointUse, size: tuple[int, int], first: float
    ) -> str | None:
        """
        Return why *size* (GB, requests at once) or the time of its *first*
        request is too much, or None.
        """
        if not use.monthly:
            return "no request came, which idle-endpoints judges"
        if size[0] > MOST_SERVERLESS_GB or size[1] > MOST_SERVERLESS_REQUESTS:
            return (
                f"with {self.headroom:.0%} to spare it needs {size[0]} GB for each of "
                f"{count_noun(size[1], 'request')} at"
                f" once; serverless inference has {MOST_SERVERLESS_GB} GB and "
                f"{MOST_SERVERLESS_REQUESTS} requests"
            )
        if (reason := self.too_slow(use)) is not None:
            return reason
        if first > (allowed := self.allowed(candidate)):
            after = f"the first request after a pause would take about {first:.3g} s"
            return f"{after}, and {allowed:g} s are allowed"
        return None

    def too_slow(self, use: EndpointUse) -> str | None:
        """Return why serverless inference would end the slowest request, or None."""
        if (seconds := use.slowest * self.slower) <= MOST_SERVERLESS_SECONDS:
            return None
        return (
            f"its slowest request took {use.slowest:.3g} s, and would take {seconds:.3g} s:"
            f" serverless inference ends a request after {MOST_SERVERLESS_SECONDS} s"
        )

    def change(self, name: str, served: EndpointVariant, size: tuple[int, int]) -> str:
        """Return the steps: an endpoint cannot be made serverless in place."""
        return (
            f"make it serverless: create an endpoint configuration for {served.model} with"
            f" ServerlessConfig={{MemorySizeInMB={size[0] * 1024},MaxConcurrency={size[1]}}}, create an"
            f" endpoint {name}-serverless from it, test its first and its slowest request, lead the callers"
            f" over, then delete {name} (it cannot be changed in place)"
        )

    def allowed(self, candidate: LoadedEndpoint) -> float:
        """Return how many seconds a request may take: by its tag, else by the setting for its environment."""
        known = candidate.target.tags.value if isinstance(candidate.target.tags, Value) else {}
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)s", known.get(_LATENCY_TAG, "").strip()):
            return float(found[1])
        return self.latency if production_environment(candidate.target) else self.latency_outside_production


@dataclass(frozen=True, slots=True)
class EndpointUse:
    """
    The load of an endpoint: requests a month, their mean time, the peaks of memory and of requests.

    *busiest* is the requests a second of the busiest hour, *tail* the time within which 99 of 100 requests of
    every hour ended, *slowest* the time of the slowest request.
    """

    monthly: float
    seconds: float
    gib: float
    at_once: float
    busiest: float = 0.0
    tail: float = 0.0
    slowest: float = 0.0


def why_not_serverless(endpoint: EndpointDescription) -> str | None:
    """Return why serverless inference cannot do the same, as far as the configuration tells, or None."""
    if len(endpoint.variants) != 1:
        return f"it has {count_noun(len(endpoint.variants), 'variant')}, and serverless inference has one"
    (served,) = endpoint.variants
    if served.fixed is not None:
        return served.fixed
    if served.machine.gpus != 0:
        return f"{served.type or 'it'} has accelerators, and serverless inference has none"
    if endpoint.asynchronous or served.hosts or endpoint.captures:
        what = "it is asynchronous" if endpoint.asynchronous else "it runs inference components"
        return f"{'it captures data' if endpoint.captures else what}, which serverless inference cannot"
    return None


def _with_latency(aws: Aws, loads: Iterable[LoadedEndpoint], now: datetime) -> Iterator[LoadedEndpoint]:
    """Yield *loads*, with the times of requests where they decide."""
    for group in batched(loads, _LATENCY_BATCH):
        open_ = [endpoint for endpoint in group if depends_on_latency(endpoint, now)]
        read = endpoints.add_request_totals(aws, open_, LATENCY_METRICS, now)
        timed = {endpoint.summary.arn: endpoint for endpoint in read}
        yield from (timed.get(endpoint.summary.arn, endpoint) for endpoint in group)


def depends_on_latency(candidate: LoadedEndpoint, now: datetime) -> bool:
    """Return whether the time of its requests decides: something came, and serverless could serve it."""
    described = endpoints.judgeable_description(candidate, Rule(), now)
    if isinstance(described, Kept) or why_not_serverless(described) is not None:
        return False
    served = described.variants[0]
    asked = served.totals.get("requests")
    return isinstance(served.peaks, Value) and isinstance(asked, Value) and asked.value.total > 0


def read_endpoint_use(served: EndpointVariant) -> EndpointUse | str:
    """Return its load, or why that is unknown."""
    if not isinstance(served.peaks, Value):
        return f"its peaks are unknown ({getattr(served.peaks, 'error', 'not read')})"
    for name in ("requests", "ConcurrentRequestsPerModel"):
        total = served.totals[name]
        if not isinstance(total, Value) or total.value.points < LOAD_HOURS:
            return f"{name.replace('requests', 'Invocations')} has no data for some of the {LOAD_HOURS} hours"
    asked = served.totals["requests"]
    count = asked.value.total if isinstance(asked, Value) else 0
    names = ("ModelLatency", "ModelLatency Maximum", "ModelLatency p99")
    latency = [served.totals.get(name, NotRead()) for name in names]
    took = [signal.value for signal in latency if isinstance(signal, Value)]
    if count and len(took) < len(latency):
        return "ModelLatency has no datapoint, although requests came"
    mean, slowest, tail = 0.0, 0.0, 0.0
    if count:
        mean, slowest, tail = took[0].total / count, took[1].highest, took[2].highest
    gib = memory_gib(served.type)
    if gib is None:
        return f"the memory of {served.type} is unknown"
    loads = tuple(served.peaks.value)
    return EndpointUse(
        monthly=count / LOAD_HOURS * HOURS_PER_MONTH,
        seconds=mean / 1_000_000,
        busiest=asked.value.highest / 3600 if isinstance(asked, Value) else 0.0,
        tail=tail / 1_000_000,
        slowest=slowest / 1_000_000,
        gib=max(load.memory for load in loads) / served.machine.vcpus * gib,
        at_once=max(load.requests for load in loads) * served.instances,
    )


def unsupported_need(model: dict[str, Any]) -> str | None:
    """
    Return a need of a model that serverless inference lacks (developer
    guide, "Feature exclusions"), or None.
    """
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    reasons = {
        "is in a VPC": "VpcConfig" in model,
        "is isolated from the network": bool(model.get("EnableNetworkIsolation")),
        "is a pipeline of containers": len(containers) > 1,
        "holds several models": any(container.get("Mode") == "MultiModel" for container in containers),
        "comes from a private registry": any(
            container.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc" for container in containers
        ),
    }
    return next((why for why, true in reasons.items() if true), None)


def _longest_start(aws: Aws, now: datetime) -> float | None:
    """Return the longest ModelSetupTime of all serverless endpoints here within two weeks, in seconds."""
    listed = activity.list_series(aws, endpoints.SAGEMAKER_NAMESPACE, "ModelSetupTime")
    names = listed.value if isinstance(listed, Value) else ()
    series = [Metric(metric.namespace, metric.name, metric.dimensions, "Maximum") for metric in names]
    data = activity.read_metrics(aws, series, now - LOAD_WINDOW, now)
    values = [value for signal in data.values() if isinstance(signal, Value) for value in signal.value.values]
    return max(values) / 1_000_000 if values else None
