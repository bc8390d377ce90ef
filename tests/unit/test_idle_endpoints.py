"""The rule for endpoints, signal by signal, at its exact boundaries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import DAY, HOUR, NOW, SECOND
from fakes import target_at
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.endpoints import EndpointDescription, EndpointSummary, EndpointVariant, InferenceComponent
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Cost,
    Finding,
    Kept,
    NotRead,
    Signal,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.detectors.idle_endpoints import reading
from ml_janitor.detectors.idle_endpoints.reading import (
    METERS_SHOWN,
    EndpointCandidate,
    HalfDeletion,
    RequestMeter,
    SeriesHints,
    component_invocations,
    instance_heartbeat,
    processed_requests,
    queue_backlog,
    request_meters,
    used_concurrency,
    variant_invocations,
)
from ml_janitor.detectors.idle_endpoints.rule import (
    IdleEndpoints,
    monitoring_doubt,
    variants_text,
    why_endpoint_spared,
)
from narrowing import not_none, of_type
from scripted import Script
from tables import cases
from verdicts import word

DENIED = Unreadable("GetMetricData: AccessDenied")
ARRIVES = Value(MetricSeries(((NOW - HOUR, 60.0),)))
ZEROS = Value(MetricSeries(tuple((NOW - n * HOUR, 0.0) for n in range(168, 0, -1))))
RULE = IdleEndpoints()


def requests(*, ago: timedelta = HOUR, count: float = 3) -> Value[MetricSeries]:
    """Zeros, and *count* requests in one hour."""
    return Value(MetricSeries(((NOW - 7 * DAY, 0.0), (NOW - ago, count))))


def meter(
    requests: Signal[MetricSeries], control: Signal[MetricSeries] | None = None, **given: Any
) -> RequestMeter:
    variant = given.pop("variant", "blue")
    whole: dict[str, Any] = {
        "where": f"variant {variant}",
        "metric": variant_invocations("churn", variant),
        **given,
    }
    return RequestMeter(requests=requests, control=control or NotRead(), **whole)


def summary(**given: Any) -> EndpointSummary:
    whole: dict[str, Any] = {
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn",
        "name": "churn",
        "status": "InService",
        "created": NOW - 60 * DAY,
        "modified": NOW - 60 * DAY,
    }
    return EndpointSummary(**{**whole, **given})


def description(*variants: EndpointVariant, **given: Any) -> Value[EndpointDescription]:
    whole: dict[str, Any] = {
        "summary": summary(),
        "config_name": "churn-1",
        "variants": variants or (EndpointVariant(name="blue", instances=2),),
    }
    return Value(EndpointDescription(**{**whole, **given}))


def configured(
    described: Signal[EndpointDescription],
    *,
    created: datetime = NOW - 60 * DAY,
    hosts: Collection[str] = (),
    kind: str = "",
) -> Signal[EndpointDescription]:
    """The *described* endpoint with the rest that its configuration says."""
    if not isinstance(described, Value):
        return NotRead()
    variants = tuple(replace(one, hosts=one.name in hosts, type=kind) for one in described.value.variants)
    return Value(replace(described.value, variants=variants, configured=created))


def endpoint(**given: Any) -> EndpointCandidate:
    """An old endpoint in service whose only variant got nothing but zeros."""
    whole: dict[str, Any] = {
        "summary": summary(),
        "meters": (meter(ZEROS),),
        "components": Value(()),
        "schedules": Value(()),
        "description": description(),
        "config": {"kind": "ml.m5.xlarge"},
        "scaled": Value(False),
        "history": (Absent(),),
        "cost": Cost.standing(Decimal("0.46"), "Price List API"),
    }
    if "deployed" in given:
        long_ago = NOW - given.pop("deployed") * DAY
        whole["summary"] = summary(created=long_ago, modified=long_ago)
        whole["description"] = description(summary=whole["summary"])
    whole |= given
    if isinstance(whole["config"], dict):
        whole["config"] = configured(whole["description"], **whole["config"])
    seen: EndpointSummary = whole["summary"]
    return EndpointCandidate(target=target_at("endpoint/churn", seen.created), **whole)


def decided(**given: Any) -> Verdict:
    return RULE.decide(endpoint(**given), NOW)


def days(*ago: int, since: int = 90) -> Value[MetricSeries]:
    """Daily sums *since* so long ago, with requests on the days so long *ago*."""
    midnight = NOW.replace(hour=0)
    return Value(
        MetricSeries(tuple((midnight - n * DAY, 1.0 if n in ago else 0.0) for n in range(since, 7, -1)))
    )


def hourly(hours: int) -> Value[MetricSeries]:
    """Zeros of the newest *hours* of the window."""
    return Value(MetricSeries(ZEROS.value.points[-hours:]))


def scaled(resolved: datetime | None = NOW - 60 * DAY, **given: Any) -> dict[str, Any]:
    """One that was modified an hour ago, as far as is known by scaling."""
    seen = summary(modified=NOW - HOUR, created=given.pop("created", NOW - 60 * DAY))
    variant = EndpointVariant(name="blue", instances=2, resolved=resolved)
    return {
        "summary": seen,
        "description": description(variant, summary=seen),
        "scaled": Value(True, "application-autoscaling:DescribeScalingActivities"),
        **given,
    }


def queued(queue: Signal[MetricSeries]) -> dict[str, Any]:
    """An asynchronous endpoint that never processed a request, and its *queue*."""
    return {
        "meters": (
            meter(Absent(), Absent(), metric=processed_requests("churn", "blue")),
            meter(queue, metric=queue_backlog("churn"), where="the queue", decisive=False),
        )
    }


def measured(*meters: RequestMeter) -> dict[str, Any]:
    return {"meters": meters}


def described(*variants: EndpointVariant, **given: Any) -> dict[str, Any]:
    return {"description": description(*variants, **given)}


def of_age(age: timedelta) -> dict[str, Any]:
    """An endpoint that was modified so long ago."""
    return {"summary": summary(modified=NOW - age)}


SILENT = "no request in 7 days, and none since it was deployed 60 days ago"
BULK_ONLY = {"description": NotRead(), "config": NotRead(), "meters": ()}
HOST = {"hosts": {"blue"}}
COMPONENT = InferenceComponent(
    name="llm",
    arn="arn:aws:sagemaker:us-east-1:123456789012:inference-component/llm",
    endpoint="churn",
    variant="blue",
    created=NOW - 30 * DAY,
    changed=NOW - 30 * DAY,
)


@cases(
    "case, given, expected",
    ("zeros", {}, "proven"),
    # --- meters
    ("a request", measured(meter(requests())), "kept"),
    ("second", measured(meter(ZEROS), meter(requests(), variant="green")), "kept"),
    ("any meter", measured(meter(ZEROS), meter(requests(), decisive=False)), "kept"),
    ("busy and unreadable", measured(meter(DENIED), meter(requests())), "kept"),
    ("one unreadable", measured(meter(ZEROS), meter(DENIED)), "unknown"),
    ("any unreadable", measured(meter(ZEROS), meter(DENIED, decisive=False)), "unknown"),
    ("one not read", measured(meter(ZEROS), meter(NotRead())), "unknown"),
    ("one absent", measured(meter(ZEROS), meter(Absent(), ARRIVES)), "likely"),
    ("no control", measured(meter(Absent(), Absent())), "unknown"),
    ("control unreadable", measured(meter(Absent(), DENIED)), "unknown"),
    ("control not read", measured(meter(Absent())), "unknown"),
    ("one control of two", measured(meter(Absent(), ARRIVES), meter(Absent(), Absent())), "unknown"),
    ("may be absent", measured(meter(ZEROS), meter(Absent(), decisive=False)), "proven"),
    ("no meter", {"meters": ()}, "unknown"),
    ("no decisive meter", measured(meter(ZEROS, decisive=False)), "unknown"),
    # --- required and supporting signals
    ("components unreadable", {"components": DENIED}, "unknown"),
    ("description unreadable", {"description": DENIED}, "unknown"),
    ("not described", {"description": NotRead()}, "unknown"),
    ("gone", {"description": Absent()}, "kept"),
    ("config unreadable", {"config": DENIED}, "unknown"),
    ("config not read", {"config": NotRead()}, "unknown"),
    ("hints unreadable", {"hints_error": "ListMetrics: AccessDenied"}, "unknown"),
    ("history unreadable", {"history": (DENIED,)}, "unknown"),
    # --- how much of the silence was measured
    ("all hours", measured(meter(hourly(168))), "proven"),
    ("nine of ten hours", measured(meter(hourly(152))), "proven"),
    ("less than nine of ten", measured(meter(hourly(151))), "likely"),
    ("a single zero", measured(meter(hourly(1))), "likely"),
    ("second sparse", measured(meter(ZEROS), meter(hourly(100), variant="b")), "likely"),
    ("sparse beside", measured(meter(ZEROS), meter(hourly(1), decisive=False)), "proven"),
    ("empty queue", queued(ZEROS), "proven"),
    ("queue not measured throughout", queued(hourly(151)), "unknown"),
    ("queue absent", queued(Absent()), "unknown"),
    ("queue used", queued(requests()), "kept"),
    # --- what it did before the window
    ("monthly", {"history": (days(20, 50, 80),), "deployed": 89}, "likely"),
    ("by turns", {"history": (days(50, 20, 21), days(80)), "deployed": 89}, "likely"),
    ("longer than ever", {"history": (days(31, 50, 80),), "deployed": 89}, "proven"),
    ("as long as before", {"history": (days(30, 50, 80),), "deployed": 89}, "likely"),
    ("used steadily", {"history": (days(19, 20, 21, 25, since=26),), "deployed": 26}, "proven"),
    ("used once, after long", {"history": (days(20),), "deployed": 89}, "likely"),
    ("second history unreadable", {"history": (days(), DENIED)}, "unknown"),
    ("first history unreadable", {"history": (DENIED, days())}, "unknown"),
    ("used once, soon", {"history": (days(20, since=30),), "deployed": 30}, "proven"),
    ("never used", {"history": (days(),), "deployed": 89}, "proven"),
    # --- what costs nothing, and what is not in service
    ("zero instances", described(EndpointVariant(name="blue")), "kept"),
    ("serverless", described(EndpointVariant(name="blue", serverless=True)), "kept"),
    (
        "provisioned concurrency",
        described(EndpointVariant(name="blue", serverless=True, concurrency=1)),
        "proven",
    ),
    (
        "only a shadow runs",
        described(EndpointVariant(name="blue"), EndpointVariant(name="dark", shadow=True, instances=1)),
        "proven",
    ),
    ("its update and its rollback failed", {"summary": summary(status="UpdateRollbackFailed")}, "proven"),
    ("updating", {"summary": summary(status="Updating"), **BULK_ONLY}, "kept"),
    ("updating since", described(summary=summary(status="Updating")), "kept"),
    # --- age
    ("old enough", of_age(7 * DAY), "proven"),
    ("old enough, again", {"summary": summary(modified=NOW - 7 * DAY), "scaled": NotRead()}, "proven"),
    ("too young", of_age(7 * DAY - SECOND), "kept"),
    ("created later", {"summary": summary(created=NOW - DAY, modified=NOW - 9 * DAY)}, "kept"),
    ("deployed since", described(summary=summary(modified=NOW - HOUR)), "kept"),
    ("component deployed", {"components": Value((replace(COMPONENT, changed=NOW - HOUR),))}, "kept"),
    # --- what moved its modification time an hour ago
    ("scaled", scaled(), "proven"),
    ("modified, not by scaling", scaled(scaled=Value(False)), "kept"),
    ("scaling unreadable", scaled(scaled=DENIED), "unknown"),
    ("scaling not read", scaled(scaled=NotRead()), "unknown"),
    ("created an hour ago, and scaled", scaled(created=NOW - HOUR), "kept"),
    ("new configuration, then scaled", scaled(config={"created": NOW - DAY}), "kept"),
    ("image resolved long ago, then scaled", scaled(NOW - 7 * DAY), "proven"),
    ("image resolved again, then scaled", scaled(NOW - DAY), "kept"),
    ("scaled, no image resolved", scaled(None), "likely"),
    ("component too", scaled(components=Value((replace(COMPONENT, changed=NOW - HOUR),))), "kept"),
    ("scaled and used", scaled(meters=(meter(requests()),)), "kept"),
    # --- variants that are there for inference components and have none
    ("component", {"config": HOST, "components": Value((COMPONENT,))}, "proven"),
    ("bare", {"config": HOST, "meters": (meter(Absent(), ARRIVES),)}, "likely"),
    ("bare with zeros", {"config": HOST}, "likely"),
    ("idle stray", {"config": HOST, "strays": (meter(ZEROS),)}, "likely"),
    ("busy stray", {"config": HOST, "strays": (meter(requests()),)}, "unknown"),
    ("unreadable stray", {"config": HOST, "strays": (meter(DENIED),)}, "unknown"),
    ("strays not listed", {"config": HOST, "hints_error": "denied"}, "unknown"),
)
def test_every_signal_has_its_say(case: str, given: Mapping[str, Any], expected: str) -> None:
    assert word(decided(**given)) == expected, case


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(timedelta(), "likely"), (SECOND, "proven")],
    ids=["exactly as long as the longest pause", "a second longer"],
)
def test_a_silence_has_to_be_longer_than_every_pause(moment: timedelta, expected: str) -> None:
    """Used 61 and 31 days ago: silent since the end of the latter day, 30 days ago."""
    midnight = NOW.replace(hour=0)
    zeros = Value(MetricSeries(tuple((midnight - n * HOUR, 0.0) for n in range(168, 0, -1))))
    used = endpoint(meters=(meter(zeros),), history=(days(61, 31, since=61),))

    assert word(RULE.decide(used, midnight + moment)) == expected


@pytest.mark.parametrize(
    ("lives", "hours", "expected"), [(90, 1, "proven"), (30, 0, "likely")], ids=["an hour", "less"]
)
def test_a_life_of_less_than_an_hour_takes_a_datapoint_too(lives: int, hours: int, expected: str) -> None:
    measured = hourly(hours) if hours else Value(MetricSeries(((NOW - DAY, 0.0),)))
    young = endpoint(deployed=lives / (24 * 60), meters=(meter(measured),))

    assert word(IdleEndpoints(min_age=timedelta()).decide(young, NOW)) == expected


@cases(
    "hours, expected",
    (range(1, 10), "proven"),
    ((*range(1, 9), 10), "proven"),  # the hour in which it was deployed
    ((*range(1, 9), 11), "likely"),
    (range(1, 9), "likely"),
)
def test_only_hours_since_it_was_deployed_count_as_measured(hours: Sequence[int], expected: str) -> None:
    """Deployed ten hours ago: nine of them are enough."""
    measured = Value(MetricSeries(tuple((NOW - n * HOUR, 0.0) for n in reversed(hours))))
    young = endpoint(deployed=10 / 24, meters=(meter(measured),))

    assert word(IdleEndpoints(min_age=timedelta()).decide(young, NOW)) == expected


def test_no_required_signal_missing_is_ever_found() -> None:
    """Every required signal in turn, in every way of not being known."""
    for missing in (NotRead(), DENIED):
        for name in ("description", "config"):
            assert isinstance(decided(**{name: missing}), Kept)
        assert isinstance(decided(meters=(meter(ZEROS), meter(missing, variant="green"))), Kept)


@cases(
    "given, reason",
    (
        measured(meter(ZEROS), meter(requests(ago=5 * HOUR, count=1204), variant="b")),
        ("1,204 requests to variant b in the last 7 days, the latest in the hour from 2026-10-05 22:00 UTC"),
    ),
    (
        measured(meter(requests(ago=DAY)), meter(requests(count=1), variant="green")),
        "1 request to variant green in the last 7 days, the latest in the hour from 2026-10-06 02:00 UTC",
    ),
    (
        measured(meter(requests(), metric=queue_backlog("churn"), where="the queue", decisive=False)),
        "the queue was in use in the last 7 days, the latest in the hour from 2026-10-06 02:00 UTC",
    ),
    ({"summary": summary(status="Failed"), **BULK_ONLY}, "it is Failed, not InService"),
    (
        described(EndpointVariant(name="blue", reserved=True)),
        "nothing of it is billed by the hour: scaled to zero, or plain serverless",
    ),
    (
        described(EndpointVariant(name="blue", reserved=True, instances=1)),
        "nothing of it is billed by the hour: its reserved capacity is paid for without it too",
    ),
    (
        {"config": Value(replace(description().value, routed=True))},
        (
            f"{SILENT}; inference routers in other regions may send it requests, so it may stand by for"
            " their endpoints"
        ),
    ),
    (of_age(3 * DAY), "last deployed 3 days ago; endpoints are left alone for 7 days"),
    (measured(meter(DENIED)), "the requests to variant blue could not be read (GetMetricData: AccessDenied)"),
    ({"schedules": DENIED}, "its monitoring schedules could not be listed (GetMetricData: AccessDenied)"),
    ({"description": DENIED}, "it could not be described (GetMetricData: AccessDenied)"),
    ({"config": DENIED}, "its configuration could not be described (GetMetricData: AccessDenied)"),
    (scaled(scaled=NotRead()), "whether its last modification was scaling was not read"),
    ({}, SILENT),
    (of_age(7 * DAY), "no request in 7 days, and none since it was deployed 7 days ago"),
    ({"history": (DENIED,)}, "its earlier requests could not be read (GetMetricData: AccessDenied)"),
    (
        {"history": (days(20, 50, 80),), "deployed": 89},
        (
            "no request in 7 days; the last one was 19 days ago; it is used every so often: "
            "it had paused for 30 days before, and was used again"
        ),
    ),
    (
        measured(meter(ZEROS), meter(hourly(1), variant="b")),
        f"{SILENT}; variant b has a datapoint for only 1 of 168 hours",
    ),
    (
        {
            "summary": summary(created=NOW - 300 * DAY, modified=NOW - 200 * DAY),
            "description": description(summary=summary(modified=NOW - 200 * DAY, created=NOW - 300 * DAY)),
        },
        "no request in 7 days, nor in the 90 days before",
    ),
    (measured(meter(Absent(), ARRIVES)), f"{SILENT} (no datapoint, while other metrics of it arrive)"),
)
def test_the_reason_is_concrete(given: Mapping[str, Any], reason: str) -> None:
    assert decided(**given).reason == reason


@cases(
    "given, since, words",
    ({"history": (days(42),)}, NOW.replace(hour=0) - 41 * DAY, "; the last one was 41 days ago"),
    ({"history": (days(42), days(20))}, NOW.replace(hour=0) - 19 * DAY, "19 days ago"),
    ({"history": (days(42), Absent())}, NOW.replace(hour=0) - 41 * DAY, "41 days ago"),
    ({"history": ()}, NOW - 7 * DAY, "no request in 7 days"),
    ({"history": (Value(MetricSeries(((NOW - 7 * DAY - 3 * HOUR, 1.0),))),)}, NOW - 7 * DAY, "7 days ago"),
    ({"history": (Absent(),)}, NOW - 60 * DAY, "deployed 60 days ago"),
    ({"deployed": 97}, NOW - 97 * DAY, "deployed 97 days ago"),
    ({"deployed": 98}, NOW - 97 * DAY, "nor in the 90 days before"),
)
def test_since_is_the_best_that_is_known(given: Mapping[str, Any], since: datetime, words: str) -> None:
    verdict = of_type(Finding, decided(**given))

    assert verdict.since == since
    assert words in verdict.reason


def test_a_window_longer_than_its_life_is_not_claimed() -> None:
    whole_life = Value(MetricSeries(tuple((NOW - n * HOUR, 0.0) for n in range(60 * 24, 0, -1))))
    verdict = IdleEndpoints(window=90 * DAY).decide(endpoint(meters=(meter(whole_life),)), NOW)

    assert isinstance(verdict, Finding)
    assert verdict.reason == "no request since it was deployed 60 days ago"
    assert verdict.since == NOW - 60 * DAY


def test_a_finding_carries_cost_action_and_steps() -> None:
    verdict = of_type(Finding, decided())

    assert verdict.confidence is Confidence.PROVEN
    assert verdict.action == "delete the endpoint (its configuration and models stay)"
    assert not_none(verdict.cost).monthly_usd == Decimal("0.46") * 730
    assert len(verdict.steps) == 3
    assert RULE.cleanup.grace == 3 * DAY
    assert {one.signal: one.value for one in verdict.evidence} == {
        "status": "InService",
        "last deployed": "60 days ago",
        "requests to variant blue": 0,
        "running": "2 x ml.m5.xlarge",
        "price": "0.46 USD an hour (Price List API)",
    }


def test_an_unknown_price_is_said() -> None:
    verdict = decided(cost=Cost.standing(None, "no price list"))

    assert {one.signal: one.value for one in verdict.evidence}["price"] == "unknown (no price list)"


def test_evidence_stays_small_and_shows_what_matters() -> None:
    many = tuple(meter(ZEROS, variant=f"v{n}") for n in range(50))
    odd, bad, busy = (
        meter(Absent(), Absent(), variant="odd"),
        meter(DENIED, variant="bad"),
        meter(Value(MetricSeries(((NOW - 2 * HOUR, 1.0), (NOW - HOUR, 2.0)))), variant="busy"),
    )
    absent = meter(Absent(), variant="hint", decisive=False)
    verdict = decided(meters=(*many, odd, bad, busy, absent))

    shown = [one for one in verdict.evidence if one.signal.startswith("requests to")]
    assert [(one.signal.removeprefix("requests to variant "), one.value, one.error) for one in shown[:3]] == [
        ("busy", 3, None),
        ("bad", None, "GetMetricData: AccessDenied"),
        ("odd", "no datapoint, nor any other metric", None),
    ]
    assert len(shown) == METERS_SHOWN
    assert {one.signal: one.value for one in verdict.evidence}[
        "further places for requests"
    ] == 53 - METERS_SHOWN


@cases(
    "control, value, error",
    (ARRIVES, "no datapoint, while other metrics arrive", None),
    (DENIED, None, "GetMetricData: AccessDenied"),
)
def test_no_datapoint_is_told(control: Signal[MetricSeries], value: str | None, error: str | None) -> None:
    shown = {one.signal: one for one in decided(meters=(meter(Absent(), control),)).evidence}

    assert (shown["requests to variant blue"].value, shown["requests to variant blue"].error) == (
        value,
        error,
    )


@cases(
    "given, alone, expected",
    ({"description": DENIED}, True, {"description", "configuration"}),
    ({"config": DENIED}, True, {"configuration"}),
    ({"config": DENIED}, False, set()),
)
def test_a_failed_description_is_shown(given: Mapping[str, Any], expected: set[str], *, alone: bool) -> None:
    shown = {one.signal for one in decided(**given, alone=alone).evidence}

    assert shown & {"description", "configuration"} == expected


def test_a_scaling_and_where_a_price_is_from_are_evidence() -> None:
    shown = {one.signal: one for one in decided(**scaled()).evidence}

    assert shown["last scaled"].value == "60 minutes ago"
    assert shown["price"].source == "pricing:GetProducts"
    assert "last scaled" not in {one.signal for one in decided().evidence}


# --- where requests are looked for --------------------------------------------------------------


def wanted(described: Signal[EndpointDescription], *components: InferenceComponent) -> set[Metric]:
    """The metrics of the decisive meters."""
    return {one.metric for one in request_meters(of_type(Value, described).value, components) if one.decisive}


def test_each_kind_of_endpoint_has_its_own_metrics() -> None:
    blue, dark = (
        EndpointVariant(name="blue", instances=1),
        EndpointVariant(name="dark", shadow=True, instances=1),
    )
    queued, host = description(blue, asynchronous=True), configured(description(blue), hosts={"blue"})

    assert wanted(description(blue, dark)) == {
        variant_invocations("churn", "blue"),
        variant_invocations("churn", "dark"),
    }
    assert wanted(queued) == {processed_requests("churn", "blue")}
    assert wanted(host, COMPONENT) == {component_invocations("llm")}
    assert wanted(host) == {variant_invocations("churn", "blue")}
    assert wanted(description(blue), COMPONENT) == {
        variant_invocations("churn", "blue"),
        component_invocations("llm"),
    }
    assert queue_backlog("churn") in {one.metric for one in request_meters(queued.value, ())}
    warm = description(EndpointVariant(name="blue", serverless=True, concurrency=2))
    assert wanted(warm) == {variant_invocations("churn", "blue")}
    assert [(one.where, one.metric) for one in request_meters(warm.value, ()) if not one.decisive] == [
        ("the provisioned concurrency of variant blue", used_concurrency("churn", "blue"))
    ]
    assert used_concurrency("churn", "blue").name == "ServerlessProvisionedConcurrencyUtilization"


def test_a_component_is_proven_by_the_metrics_of_its_own_variant() -> None:
    green, blue = (EndpointVariant(name=name, instances=1, hosts=True) for name in ("green", "blue"))
    other = replace(COMPONENT, name="ranker", variant="green")

    found = request_meters(description(green, blue).value, (COMPONENT, other))

    assert {one.where: one.proof for one in found} == {
        "inference component llm": instance_heartbeat("churn", "blue"),
        "inference component ranker": instance_heartbeat("churn", "green"),
    }


def test_hints_are_told_apart_by_their_dimensions() -> None:
    named = Metric.of("AWS/SageMaker", "Invocations", EndpointName="churn")
    inner = Metric.of(
        "AWS/SageMaker", "Invocations", EndpointName="churn", VariantName="blue", ContainerName="a"
    )
    hints = SeriesHints.of(
        Value((named, inner, variant_invocations("churn", "blue"), variant_invocations("other", "blue"))),
        Value(
            (processed_requests("churn", "blue"), component_invocations("llm"), component_invocations("gone"))
        ),
    )

    assert {one.metric for one in hints.meters("churn", [COMPONENT]) if not one.decisive} == {
        inner,
        variant_invocations("churn", "blue"),
        processed_requests("churn", "blue"),
        component_invocations("llm"),
    }
    assert [one.where for one in hints.orphaned([COMPONENT])] == ["inference component gone"]


def test_hints_that_are_missing_are_said_to_be() -> None:
    hints = SeriesHints.of(Value((variant_invocations("churn", "blue"),)), Unreadable("ListMetrics: denied"))

    assert hints.error == "ListMetrics: denied"
    assert len(list(hints.meters("churn", ()))) == 1


def test_a_place_asks_for_a_proof_only_where_it_needs_one() -> None:
    proof = variant_invocations("churn", "proof")
    blue = RequestMeter(where="variant blue", metric=variant_invocations("churn", "blue"), proof=proof)

    assert list(blue.lacks) == [blue.metric, proof]
    assert list(replace(blue, requests=Absent()).lacks) == [proof]
    assert list(replace(blue, requests=ZEROS).lacks) == []
    assert list(replace(blue, requests=DENIED).lacks) == []


def test_one_that_was_asked_for_alone_shows_everything() -> None:
    many = tuple(meter(ZEROS, variant=f"v{n}") for n in range(50))

    alone, listed = decided(meters=many, alone=True), decided(meters=many)

    names = [one.signal for one in alone.evidence]
    assert [name for name in names if name.startswith("requests to")] == [
        f"requests to variant v{n}" for n in range(50)
    ]
    values = {one.signal: one.value for one in alone.evidence}
    lists = ("inference components on it", "monitoring schedules that run over it")
    assert [values[name] for name in lists] == ["none", "none"]
    full = decided(components=Value((COMPONENT,)), schedules=Value(("drift",)), alone=True)
    assert [one.value for one in full.evidence if one.signal in lists] == ["llm", "drift"]
    assert "further places for requests" not in names
    assert alone.reason == listed.reason


@cases(
    "left, shared, asked",
    (1, None, {"ResourceARNList"}),
    (2, None, {"ResourceARNList"}),
    (3, None, {"ResourceTypeFilters", "ResourcesPerPage"}),
    (1, SharedAnswers(), {"ResourceTypeFilters", "ResourcesPerPage"}),
)
def test_tags_of_half_the_endpoints_are_asked_for_by_name_and_of_more_by_type(
    left: int, shared: SharedAnswers | None, asked: set[str]
) -> None:
    account = Script({"resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []}})
    names = [f"e{n}" for n in range(4)]
    unread = [replace(endpoint(), target=target_at(f"endpoint/{name}", NOW, NotRead())) for name in names]

    found = reading._tagged(
        account.aws(shared=shared), unread, lambda one: None if one.target.name in names[:left] else "used"
    )

    ((_, request),) = account.calls
    assert request.keys() == asked
    known = [one.target.name for one in found if isinstance(one.target.tags, Value)]
    assert known == (names[:left] if "ResourceARNList" in asked else names)


def test_what_describes_an_endpoint_is_kept_for_the_next_run() -> None:
    assert RULE.keeps_descriptions


# --- what monitors it, and what was begun ----------------------------------------------------------


@cases(
    "schedules, expected, doubt",
    (Value(()), "proven", None),
    (Value(("drift",)), "likely", "the monitoring schedule drift runs over it"),
    (Value(("drift", "bias")), "likely", "the monitoring schedules drift, bias run over it"),
    (Unreadable("ListMonitoringSchedules: AccessDenied"), "unknown", None),
    (NotRead(), "unknown", None),
)
def test_a_running_monitor_makes_it_likely(
    schedules: Signal[tuple[str, ...]], expected: str, doubt: str | None
) -> None:
    found = endpoint(schedules=schedules)

    assert (word(RULE.decide(found, NOW)), monitoring_doubt(found)) == (expected, doubt)
    spared = "the monitoring schedule drift runs over it, and has to be stopped first"
    assert why_endpoint_spared(found) == (doubt and spared)


def test_what_runs_parts_of_two_configurations_is_only_reported() -> None:
    found = endpoint(description=description(summary=summary(status="UpdateRollbackFailed")))

    assert not_none(why_endpoint_spared(found)).startswith("it is UpdateRollbackFailed: it runs parts of two")
    assert [variants_text(names) for names in (("a",), ("a", "b"))] == ["variant a", "variants a, b"]


def test_an_undo_needs_the_configuration_and_every_model() -> None:
    variants = {"EndpointConfigName": "churn-1", "ProductionVariants": [{"ModelName": "churn"}]}
    components = [{"Specification": {"ModelName": "llm"}}]
    needed = RULE.undo_needs(endpoint().target, {"configuration": variants, "components": components})

    assert [arn.rpartition(":")[2] for arn in needed] == [
        "endpoint-config/churn-1",
        "model/churn",
        "model/llm",
    ]


REMOVED = HalfDeletion(removed=(COMPONENT,), deployed=NOW - 60 * DAY, config="churn-1")
MOVED = {"modified": NOW - HOUR}
"""What AWS may make of an endpoint's modification time when its components go."""


def half_done(**given: Any) -> EndpointCandidate:
    """An endpoint that lost its only component to an act that broke off an hour ago."""
    seen = summary(**MOVED, **given.pop("summary", {}))
    whole: dict[str, Any] = {
        "summary": seen,
        "components": Value((COMPONENT,)),
        "config": HOST,
        "half_done": REMOVED,
        "description": description(summary=seen, **given.pop("described", {})),
    }
    return endpoint(**{**whole, **given})


SCALED_IN = EndpointVariant(name="blue", instances=0)


@cases(
    "case, given, expected",
    ("as it was left", {}, "proven"),
    ("not ours: deployed an hour ago", {"half_done": None}, "kept"),
    ("deployed since", {"half_done": replace(REMOVED, config="another")}, "kept"),
    ("used", measured(meter(requests(ago=DAY))), "kept"),
    ("scaled in without components", {"described": {"variants": (SCALED_IN,)}}, "proven"),
    ("scaling in", {"summary": {"status": "Updating"}}, "unknown"),
    ("failed", {"summary": {"status": "Failed"}}, "kept"),
    ("monitored since", {"schedules": Value(("drift",))}, "kept"),
)
def test_what_an_act_began_is_judged_as_before(case: str, given: dict[str, Any], expected: str) -> None:
    assert word(RULE.decide(half_done(**dict(given)), NOW)) == expected, case


def test_a_component_that_is_there_again_counts_as_it_is_now() -> None:
    assert REMOVED.without(["another"]).removed == (COMPONENT,)
    assert REMOVED.without([COMPONENT.name]).removed == ()
