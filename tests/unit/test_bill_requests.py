"""Series that count the requests to endpoints and their instances, and what is known without some of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
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
from ml_janitor.bill import resources
from ml_janitor.bill.resources import (
    EndpointRequests,
    VariantRequests,
    count_endpoint_instances,
    read_requests,
)
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from scripted import DENIED, Script
from tables import cases

DAY, HOUR = 86400, 3600
SINCE = NOW - timedelta(days=60)
HOSTED = ResourceRun(usage_type="USE1-Host:ml.m5.xlarge", start=SINCE, variant="all", model="ranker")
SHARED = replace(HOSTED, model="")
POINTS = ((NOW, 7.0),)


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
        monkeypatch.setattr(resources, "list_inference_components", self.listed)

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


# --- how many instances endpoints had -----------------------------------------------------------

MIDNIGHT = datetime(2026, 10, 6, tzinfo=UTC)
MADE = MIDNIGHT - timedelta(days=40)
DAYS_AGO = {days: MIDNIGHT - timedelta(days=days) for days in range(62)}


def scaled(*runs: ResourceRun, changed: int | None = None, name: str = "search") -> UsedResource:
    given: dict[str, Any] = {"start": MADE, "hourly": Decimal(8), "initial": Decimal(2)}
    made = tuple(replace(run, **({} if run.end else given)) for run in runs or (HOSTED,))
    return replace(endpoint(*made, name=name), changed=None if changed is None else DAYS_AGO[changed])


def samples(by_day: Mapping[int, float]) -> Any:
    """CloudWatch's answer: the datapoints of a day, so many days ago."""

    def answer(asked: Mapping[str, Any]) -> Any:
        return {
            "MetricDataResults": [
                {
                    "Id": query["Id"],
                    "StatusCode": "Complete",
                    "Timestamps": [DAYS_AGO[day] for day in sorted(by_day, reverse=True)],
                    "Values": [by_day[day] for day in sorted(by_day, reverse=True)],
                }
                for query in asked["MetricDataQueries"]
            ]
        }

    return answer


def activities(*counts: tuple[int, int], status: str = "Successful") -> Any:
    about = {"ActivityId": "a", "ServiceNamespace": "sagemaker", "ScalableDimension": "d", "Cause": "load"}
    return {
        "ScalingActivities": [
            about
            | {"ResourceId": "endpoint/search/variant/all", "StartTime": DAYS_AGO[day], "StatusCode": status}
            | {"Description": f"Setting desired instance count to {count}."}
            for day, count in counts
        ]
    }


def calls_of_trail(*counts: tuple[int, int], variant: str = "all") -> Any:
    return {
        "Events": [
            {
                "EventName": "UpdateEndpointWeightsAndCapacities",
                "EventTime": DAYS_AGO[day],
                "CloudTrailEvent": json.dumps(
                    {
                        "requestParameters": {
                            "endpointName": "search",
                            "desiredWeightsAndCapacities": [
                                {"variantName": variant, "desiredInstanceCount": count},
                                {"variantName": "other", "desiredWeight": 1},
                            ],
                        }
                    }
                ),
            }
            for day, count in counts
        ]
    }


STEADY = dict.fromkeys(range(1, 41), 2 * 24 * 60.0)
NONE: Any = {"ScalingActivities": []}
UNTOLD: Any = {"Events": []}


@cases(
    "one, measured, scaling, trail, hours",
    # 2 instances, and 8 since 10 days; the current count is as told, or was changed meanwhile
    (scaled(changed=10), STEADY | dict.fromkeys(range(1, 11), 11520.0), None, None, {11: 48, 10: 192}),
    (scaled(changed=1), STEADY | {1: 10368.0}, None, None, {2: 48, 1: Decimal("172.8")}),
    (scaled(changed=0), STEADY, None, None, {2: 48, 1: 48}),
    (scaled(changed=1), STEADY, activities((10, 8)), None, {11: 48, 10: 192}),  # no datapoints of this count
    (scaled(changed=10), {}, activities((50, 5), (10, 8)), None, {11: 48, 10: 192}),
    (scaled(), {}, activities((10, 8), status="Failed"), UNTOLD, {11: 192, 10: 192}),
    (scaled(), {}, NONE, calls_of_trail((20, 3), (10, 8)), {21: 48, 20: 72, 11: 72, 10: 192}),
    (scaled(), {}, NONE, calls_of_trail((10, 8), variant="next"), {11: 192, 10: 192}),
    (scaled(replace(HOSTED, datapoints=12)), {1: 576.0}, None, None, {2: 0, 1: 48}),
    (scaled(replace(HOSTED, hourly=Decimal(0), start=DAYS_AGO[39], end=DAYS_AGO[5])), STEADY, None, None,
     {41: 0, 7: 48, 4: 0}),
    ids=["scaled", "a tenth is missing", "since midnight", "not the count", "activities", "failed", "trail",
         "another variant", "every five minutes", "deleted"],
)  # fmt: skip
def test_instances_are_counted_by_day(
    one: UsedResource, measured: Mapping[int, float], scaling: Any, trail: Any, hours: Mapping[int, int]
) -> None:
    answers = {
        "cloudwatch:GetMetricData": samples(measured),
        "application-autoscaling:DescribeScalingActivities": scaling,
        "cloudtrail:LookupEvents": trail,
    }
    account = Script({name: answer for name, answer in answers.items() if answer is not None})

    listing = count_endpoint_instances(account.aws(), [one], {HOSTED.usage_type}, DAYS_AGO[39], NOW)

    assert listing.error is None
    assert all(run.end is None or run.start < run.end for run in listing.items[0].runs)
    ran = [
        (run, run.units(DAYS_AGO[day], DAYS_AGO[day - 1]), day)
        for day in hours
        for run in listing.items[0].runs
    ]
    assert {day: sum(units for _, units, of in ran if of == day) for day in hours} == hours
    ((query,),) = (asked["MetricDataQueries"] for asked in account.asked("cloudwatch:GetMetricData"))
    assert query["MetricStat"]["Stat"] == "SampleCount"
    assert {asked["StartTime"] for asked in account.asked("cloudtrail:LookupEvents")} <= {DAYS_AGO[39]}


def test_a_day_of_two_configurations_is_divided_by_their_hours_and_instances() -> None:
    """Six hours of two instances, and eighteen of one that publishes half as often."""
    switch = DAYS_AGO[2] + timedelta(hours=6)
    before = replace(HOSTED, start=MADE, end=switch, initial=Decimal(2))
    after = replace(HOSTED, start=switch, usage_type="USE1-Host:ml.g5.xlarge", datapoints=30)
    account = Script({"cloudwatch:GetMetricData": samples({3: 2880.0, 2: 6 * 2 * 60 + 18 * 30, 1: 720.0})})

    (found,) = count_endpoint_instances(
        account.aws(), [replace(endpoint(before, after), changed=NOW)], {after.usage_type}, SINCE, NOW
    ).items

    hours = [(run.usage_type, int(run.units(DAYS_AGO[3], DAYS_AGO[1]))) for run in found.runs]
    assert [(usage, units) for usage, units in hours if units] == [
        (before.usage_type, 60),
        (after.usage_type, 18),
    ]


def test_only_endpoints_of_lines_that_moved_are_counted_and_what_is_missing_is_named() -> None:
    denied = Script(
        {
            "cloudwatch:GetMetricData": DENIED,
            "application-autoscaling:DescribeScalingActivities": DENIED,
            "cloudtrail:LookupEvents": DENIED,
        }
    )
    aws, one = denied.aws(), scaled()

    assert count_endpoint_instances(aws, [one], {"USE1-Host:ml.g5.xlarge"}, SINCE, NOW) == Listing((one,))
    assert denied.calls == []
    listing = count_endpoint_instances(aws, [one], {HOSTED.usage_type}, SINCE, NOW)
    assert listing.items == (one,)
    for name in ("GetMetricData", "DescribeScalingActivities", "LookupEvents"):
        assert name in str(listing.error)
