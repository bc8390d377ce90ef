"""The decide table of serverless-candidates, and its break-even."""

from decimal import Decimal

import pytest

from conftest import NOW
from ml_janitor.aws.endpoints import LOAD_HOURS, LoadedEndpoint
from ml_janitor.aws.prices import Price, memory_gib
from ml_janitor.core.model import Absent, Finding, NotRead, Unreadable, Value
from ml_janitor.detectors.serverless_candidates import (
    EndpointUse,
    ServerlessCandidates,
    depends_on_latency,
    read_endpoint_use,
)
from narrowing import of_type
from past_jobs import word
from quiet_endpoints import DAY, hourly, quiet
from tables import cases
from verdicts import expect_verdict


@cases(
    "judged, verdict, reason",
    (quiet(), "found", "73,000 requests a month of 0.2 s would cost"),
    (quiet(status="Creating"), "kept", "its status is Creating"),
    (quiet(age=14 * DAY), "kept", "judged from 14 days on"),
    (quiet(description=Unreadable("DescribeEndpoint: denied")), "unknown", "DescribeEndpoint: denied"),
    (quiet(number=2), "kept", "it has 2 variants"),
    (quiet(type="ml.g5.xlarge"), "kept", "has accelerators"),
    (quiet(type="ml.inf1.xlarge"), "kept", "has accelerators"),
    (quiet(asynchronous=True), "kept", "it is asynchronous"),
    (quiet(hosts=True), "kept", "it runs inference components"),
    (quiet(captures=True), "kept", "it captures data"),
    (quiet(fixed="it scales itself between 1 and 4 instances"), "kept", "it scales itself"),
    (quiet(peaks=Unreadable("MemoryUtilization: denied")), "unknown", "MemoryUtilization: denied"),
    (quiet(peaks=NotRead()), "unknown", "not read"),
    (quiet(raw={"requests": hourly(100, LOAD_HOURS - 1)}), "unknown", "Invocations has no data for some"),
    (
        quiet(raw={"ConcurrentRequestsPerModel": Absent()}),
        "unknown",
        "ConcurrentRequestsPerModel has no data",
    ),
    (quiet(raw={"ModelLatency": Absent()}), "unknown", "ModelLatency has no datapoint"),
    (quiet(raw={"requests": hourly(0), "ModelLatency": Absent()}), "kept", "no request came"),
    (quiet(raw={"requests": hourly(0)}), "kept", "no request came"),
    (quiet(type="ml.t2.large"), "unknown", "the memory of ml.t2.large is unknown"),
    (quiet(at_once=0), "found", "73,000"),
    (quiet(memory=1.04), "found", "with 6 GB"),
    (quiet(memory=1.06), "kept", "it needs 7 GB"),
    (quiet(at_once=93), "found", "serverless inference with"),
    (quiet(at_once=94), "kept", "202 requests at once"),
    (quiet(at_once=47, count=2), "kept", "202 requests at once"),
    (quiet(tail=33.3), "found", "73,000"),
    (quiet(tail=33.4), "kept", "about 60.1 s, and 60 s are allowed"),
    (quiet(tail=3, raw={"requests": hourly(111_000)}), "found", "81,030,000 requests"),
    (quiet(tail=3, raw={"requests": hourly(112_500)}), "kept", "201 requests at once"),
    (quiet(slowest=40), "found", "73,000"),
    (quiet(slowest=40.1), "kept", "took 40.1 s, and would take 60.2 s: serverless inference ends a request"),
    (quiet(raw={"ModelLatency p99": Unreadable("denied")}), "unknown", "ModelLatency has no datapoint"),
    (quiet(raw={"ModelLatency Maximum": Absent()}), "unknown", "ModelLatency has no datapoint"),
    (quiet(tags={"env": "prod"}), "kept", "about 10.3 s, and 1 s are allowed"),
    (quiet(tags={"env": "prod", "janitor:latency": "10.3s"}), "found", "73,000"),
    (quiet(tags={"janitor:latency": "10.2s"}), "kept", "10.2 s are allowed"),
    (quiet(tags={"janitor:latency": "soon"}), "found", "73,000"),
    (quiet(cold_start=60.0), "kept", "about 60.3 s, and 60 s are allowed"),
    (quiet(price=Price(None, "no price list")), "unknown", "the price of ml.m5.xlarge is unknown"),
    (quiet(serverless=(Price(None, "no price list"),) * 6), "unknown", "the price of serverless inference"),
    (quiet(raw={"requests": hourly(200_000)}), "found", "146,000,000 requests"),
    (
        quiet(raw={"requests": hourly(10_000), "ModelLatency": hourly(1e10)}),
        "kept",
        "serverless would save $0.00 a month",
    ),
    (quiet(model=Unreadable("DescribeModel: denied")), "unknown", "DescribeModel: denied"),
    (quiet(model=Absent()), "unknown", "it is gone"),
    (quiet(model=Value({"VpcConfig": {}})), "kept", "its model is in a VPC"),
    (quiet(model=Value({"EnableNetworkIsolation": True})), "kept", "is isolated"),
    (quiet(model=Value({"Containers": [{}, {}]})), "kept", "is a pipeline"),
    (quiet(model=Value({"PrimaryContainer": {"Mode": "MultiModel"}})), "kept", "several models"),
)
def test_serverless_candidates(judged: LoadedEndpoint, verdict: str, reason: str) -> None:
    expect_verdict(ServerlessCandidates().decide(judged, NOW), verdict, reason)


def test_it_costs_less_below_the_break_even_and_more_above() -> None:
    """ml.m5.xlarge for $167.90 a month against 4 GB for 50 ms: 42 million requests, by hand."""
    rule = ServerlessCandidates(slower=1, min_saving=0.0)
    fast = {"ModelLatency": hourly(0.05 * 1_000_000 * 41_900_000 / 730), "requests": hourly(41_900_000 / 730)}
    more = {"ModelLatency": hourly(0.05 * 1_000_000 * 42_100_000 / 730), "requests": hourly(42_100_000 / 730)}
    below, above = (rule.decide(quiet(memory=0.65, raw=raw), NOW) for raw in (fast, more))

    assert "with 4 GB" in below.reason
    assert "only from 41,975,000 requests a month on" in below.reason
    assert word(above) == "kept" or (isinstance(above, Finding) and above.cost and not above.cost.monthly_usd)


def test_the_saving_is_what_the_instances_cost_less_the_seconds_and_their_memory() -> None:
    decided = of_type(Finding, ServerlessCandidates().decide(quiet(count=2), NOW))

    assert decided.cost
    run = Decimal(73000) * Decimal("0.3") * Decimal("0.00002") * 3
    assert decided.cost.monthly_usd == pytest.approx(Decimal("0.23") * 2 * 730 - run, abs=Decimal("0.01"))
    assert "MemorySizeInMB=3072,MaxConcurrency=9" in decided.action
    alone = of_type(Finding, ServerlessCandidates().decide(quiet(at_once=0), NOW))
    assert "MaxConcurrency=1}" in alone.action


def test_latency_is_read_from_the_first_request_on() -> None:
    for total, read in ((0, False), (1, True)):
        endpoint = quiet(raw={"requests": hourly(total / LOAD_HOURS)})
        assert depends_on_latency(endpoint, NOW) is read
    for never in (quiet(number=2), quiet(status="Creating")):
        assert depends_on_latency(never, NOW) is False


def test_the_busiest_hour_is_given_in_requests_a_second() -> None:
    described = of_type(Value, quiet(raw={"requests": hourly(7200)}).description).value

    assert of_type(EndpointUse, read_endpoint_use(described.variants[0])).busiest == pytest.approx(2)


def test_memory_is_known_of_the_usual_families_alone() -> None:
    kinds = (
        "ml.c5.9xlarge",
        "ml.m5.large",
        "ml.r6i.2xlarge",
        "ml.c7i-flex.large",
        "ml.c4.8xlarge",
        "ml.t2.large",
    )

    assert [memory_gib(kind) for kind in kinds] == [72, 8, 64, 4, None, None]
