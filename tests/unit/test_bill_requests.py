"""Which series count the requests to an endpoint's variants, and what is known where some cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from bills import NOW
from fakes import target_at
from ml_janitor.aws import activity
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import InferenceComponent
from ml_janitor.aws.runs import ResourceRun, UsedResource
from ml_janitor.bill import explaining
from ml_janitor.bill.explaining import EndpointRequests, VariantRequests, read_requests
from ml_janitor.core.model import Absent, Signal, Unreadable, Value

DAY, HOUR = 86400, 3600
SINCE = NOW - timedelta(days=60)
HOSTED = ResourceRun(usage_type="USE1-Host:ml.m5.xlarge", start=SINCE, variant="all", model="ranker")
SHARED = replace(HOSTED, model="")
POINTS = ((NOW, 7.0),)

type Call = Callable[..., EndpointRequests]


def endpoint(*runs: ResourceRun, name: str = "search", kind: str = "endpoint") -> UsedResource:
    return UsedResource(target=target_at(f"{kind}/{name}"), runs=runs)


def component(name: str, endpoint: str = "search", variant: str = "all") -> InferenceComponent:
    return InferenceComponent(
        name=name, arn=f"arn:{name}", endpoint=endpoint, variant=variant, created=SINCE, changed=SINCE
    )


class Cloud:
    """What CloudWatch and SageMaker answer, and which series they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.series: list[Metric] = []
        self.unread: dict[str, Signal[MetricSeries]] = {}
        self.components: Listing[InferenceComponent] | None = None
        self.loaded: Signal[Any] = Value(())
        monkeypatch.setattr(activity, "read_metrics", self.read)
        monkeypatch.setattr(activity, "list_series", lambda *_: self.loaded)
        monkeypatch.setattr(explaining, "list_inference_components", self.listed)

    def read(self, _: Any, series: Iterable[Metric], *__: Any) -> dict[Metric, Signal[MetricSeries]]:
        self.series = list(series)
        return {one: self.unread.get(one.name, Value(MetricSeries(POINTS))) for one in self.series}

    def listed(self, _: Any) -> Listing[InferenceComponent]:
        assert self.components is not None, "no endpoint has components"
        return self.components

    def called(self, *ran: UsedResource) -> EndpointRequests:
        return read_requests(cast("Aws", None), ran, SINCE, NOW)

    def asked(self) -> list[tuple[str, int]]:
        return [(one.name, one.period) for one in self.series]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(monkeypatch)


def test_requests_are_those_to_each_variant_of_endpoints_alone(cloud: Cloud) -> None:
    shadow = replace(HOSTED, variant="next", model="new", shadow=True)
    one = endpoint(HOSTED, shadow)

    found = cloud.called(one, endpoint(HOSTED, kind="training-job"))

    usual = VariantRequests(variant="all", points=POINTS, period=DAY)
    assert found == EndpointRequests(
        by_arn={one.target.arn: (usual, replace(usual, variant="next", shadow=True))}
    )
    assert cloud.asked() == [("Invocations", DAY)] * 2
    assert cloud.called(endpoint(HOSTED, kind="training-job")) == EndpointRequests()


def test_a_variant_that_had_several_models_is_counted_by_the_hour(cloud: Cloud) -> None:
    cloud.called(endpoint(HOSTED, replace(HOSTED, model="newer")), endpoint(HOSTED, HOSTED, name="same"))

    assert cloud.asked() == [("Invocations", HOUR), ("Invocations", DAY)]


def test_what_is_asynchronous_counts_what_it_processed(cloud: Cloud) -> None:
    cloud.called(endpoint(replace(HOSTED, usage_type="USE1-AsyncInf:ml.m5.xlarge")))

    assert cloud.asked() == [("InvocationsProcessed", DAY)]


def test_of_components_those_on_the_variant_count_together(cloud: Cloud) -> None:
    cloud.components = Listing(
        (component("a"), component("b"), component("c", "other"), component("d", variant="x"))
    )
    one = endpoint(SHARED)

    (found,) = cloud.called(one).by_arn[one.target.arn]

    assert found.points == POINTS * 2
    assert [dict(series.dimensions).get("InferenceComponentName") for series in cloud.series] == ["a", "b"]


def test_components_that_could_not_be_listed_were_not_called_by_nobody(cloud: Cloud) -> None:
    cloud.components = Listing((), "ListInferenceComponents: 403")
    one, plain = endpoint(SHARED), endpoint(HOSTED, name="plain")

    found = cloud.called(one, plain)

    assert found.error == "ListInferenceComponents: 403"
    (shared,), (own,) = found.by_arn[one.target.arn], found.by_arn[plain.target.arn]
    assert (shared.points, shared.period, own.points) == (None, DAY, POINTS)


def test_a_series_that_could_not_be_read_is_unknown_and_one_that_is_not_there_is_none(cloud: Cloud) -> None:
    one, other = endpoint(HOSTED), endpoint(replace(HOSTED, usage_type="EU-AsyncInf:a"), name="other")
    cloud.unread = {"Invocations": Unreadable("denied"), "InvocationsProcessed": Absent()}
    cloud.loaded = Unreadable("throttled")

    found = cloud.called(one, other)

    assert found.error == "denied"
    assert [meters[0].points for meters in found.by_arn.values()] == [None, ()]
    cloud.unread = {}
    assert cloud.called(one).error == "throttled"


def test_an_endpoint_that_publishes_what_it_loads_has_many_models(cloud: Cloud) -> None:
    loads = Metric.of("AWS/SageMaker", "ModelCacheHit", EndpointName="search", VariantName="all")
    cloud.loaded = Value((loads,))

    found = cloud.called(endpoint(HOSTED), endpoint(HOSTED, name="plain"))

    assert [meters[0].many_models for meters in found.by_arn.values()] == [True, False]


def test_a_fault_of_ours_leaves_the_bill_without_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "read_metrics", lambda *_: 1 // 0)

    found = cloud.called(endpoint(HOSTED))

    assert (found.by_arn, found.error) == ({}, "ZeroDivisionError: integer division or modulo by zero")
