"""What ran and when: each kind of resource, from its listing, its description and CloudTrail."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from ml_janitor.aws import runs
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.runs import ResourceRun, UsedResource, list_used_resources
from ml_janitor.core.model import Value
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

SINCE = NOW - 60 * DAY
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
GONE = Refusal("ValidationException", "Could not find it")
PLAN = f"{ARN}:training-plan/plan"


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def entry(noun: str, kind: str, name: str, created: float, **more: Any) -> dict[str, Any]:
    """An entry of a listing, or a description."""
    named = {f"{noun}Name": name, f"{noun}Arn": f"{ARN}:{kind}/{name}", "CreationTime": ago(created)}
    return Torn(named | {f"{noun}Status": "InService", "LastModifiedTime": ago(created)} | more)


def event(call: str, days: float, *, failed: bool = False, **request: Any) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "requestParameters": {f"{key[0].lower()}{key[1:]}": value for key, value in request.items()}
    }
    detail |= {"errorCode": "Denied"} if failed else {}
    return {"EventName": call, "EventTime": ago(days), "CloudTrailEvent": json.dumps(detail)}


def trail(*events: dict[str, Any], broken: str = "") -> Any:
    """CloudTrail, newest first; *broken* is a call whose events cannot be read."""

    def answer(asked: Mapping[str, Any]) -> Any:
        (wanted,) = asked["LookupAttributes"]
        assert (wanted["AttributeKey"], asked["EndTime"] - asked["StartTime"]) == ("EventName", 90 * DAY)
        if wanted["AttributeValue"] == broken:
            return DENIED
        some = [one for one in events if one["EventName"] == wanted["AttributeValue"]]
        return {"Events": sorted(some, key=lambda one: one["EventTime"], reverse=True)}

    return answer


def script(*events: dict[str, Any], broken: str = "", **answers: Any) -> Script:
    """An account without anything but what *answers* give, by operation of SageMaker."""
    empty: dict[str, Any] = {
        "Search": {"Results": []},
        "ListEndpoints": {"Endpoints": []},
        "ListNotebookInstances": {"NotebookInstances": []},
        "ListApps": {"Apps": []},
        "ListSpaces": {"Spaces": []},
        "ListProcessingJobs": {"ProcessingJobSummaries": []},
        "ListTransformJobs": {"TransformJobSummaries": []},
    }
    return Script(
        {f"sagemaker:{name}": answer for name, answer in (empty | answers).items()}
        | {
            "cloudtrail:LookupEvents": trail(*events, broken=broken),
            "resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []},
        }
    )


def found(account: Script, error: str | None = None) -> dict[str, UsedResource]:
    listing = list_used_resources(account.aws(), SINCE, NOW)
    assert listing.error == error
    return {one.target.name: one for one in listing.items}


def spells(one: UsedResource) -> list[tuple[str, datetime, datetime | None, float]]:
    return [(run.usage_type, run.start, run.end, float(run.hourly)) for run in one.runs]


# --- jobs ---------------------------------------------------------------------------------------


def job(name: str, **more: Any) -> dict[str, Any]:
    record = entry("TrainingJob", "training-job", name, 3) | {
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 2},
        "TrainingStartTime": ago(2),
        "TrainingEndTime": ago(1),
        "TrainingTimeInSeconds": 1000,
        "BillableTimeInSeconds": 250,
    }
    return {key: value for key, value in (record | more).items() if value is not None}


PREFERRED = {"InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}, {"InstanceType": "ml.g6.xlarge"}]}
MIXED = [
    {"InstanceType": "ml.g5.xlarge", "InstanceCount": 3, "InstanceGroupName": "a"},
    {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "InstanceGroupName": "b"},
]
SELECTED = {"SelectedInstanceType": "ml.g5.xlarge", "SelectedInstanceCount": 4}


@cases(
    "more, ran",
    ({}, [("Train:ml.p3.2xlarge", 2.0)]),
    ({"EnableManagedSpotTraining": True}, [("TrSpt:ml.p3.2xlarge", 0.5)]),
    ({"EnableManagedSpotTraining": True, "BillableTimeInSeconds": None}, [("TrSpt:ml.p3.2xlarge", 2.0)]),
    ({"EnableManagedSpotTraining": True, "TrainingTimeInSeconds": None}, [("TrSpt:ml.p3.2xlarge", 2.0)]),
    (
        {"ResourceConfig": {"InstanceGroups": MIXED}},
        [("Train:ml.g5.xlarge", 3.0), ("Train:ml.m5.xlarge", 1.0)],
    ),
    ({"TrainingStartTime": None}, []),
    ({"ResourceConfig": None, "ServerlessJobConfig": {}}, []),
    ({"ResourceConfig": PREFERRED}, []),  # no instance is selected yet
    ({"ResourceConfig": PREFERRED | SELECTED}, [("Train:ml.g5.xlarge", 4.0)]),
    (
        {"ResourceConfig": {"SelectedInstanceType": "ml.g6.xlarge", "InstanceCount": 3}},
        [("Train:ml.g6.xlarge", 3.0)],
    ),
)
def test_a_training_job_ran_its_instances_less_what_spot_saves(more: Any, ran: Sequence[Any]) -> None:
    tags = [{"Key": "project", "Value": "search"}]
    account = script(Search=Torn({"Results": [{"TrainingJob": job("fit", Tags=tags, **more)}]}))

    read = found(account)

    assert [one for each in read.values() for one in spells(each)] == [
        (f"USE1-{usage}", ago(2), ago(1), hourly) for usage, hourly in ran
    ]
    for one in read.values():
        assert (one.ended, one.target.tags) == (ago(1), Value({"project": "search"}, "sagemaker:Search"))
    ((lower,),) = (asked["SearchExpression"]["Filters"] for asked in account.asked("sagemaker:Search"))
    assert lower["Value"] == f"{SINCE - 28 * DAY:%Y-%m-%dT%H:%M:%SZ}"


@cases(
    "pool, kept",
    ({"Status": "InUse"}, []),
    ({"Status": "Available"}, [None]),
    ({"Status": "Reused", "ResourceRetainedBillableTimeInSeconds": 1800}, [ago(1) + HOUR / 2]),
    ({"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 0}, []),
)
def test_a_warm_pool_is_its_job_s(pool: Any, kept: Sequence[datetime | None]) -> None:
    account = script(Search=Torn({"Results": [{"TrainingJob": job("fit", WarmPoolStatus=pool)}]}))

    ((_, *after),) = (spells(each) for each in found(account).values())

    assert after == [("USE1-TrainWarmPool:ml.p3.2xlarge", ago(1), end, 2.0) for end in kept]


P5 = "ml.p5.48xlarge"
P4_ON_PLAN = {"InstanceType": "ml.p4d.24xlarge", "TrainingPlanArns": [PLAN]}
ON_P5 = {"InstanceType": P5, "InstanceCount": 1}
CHOSEN_P5 = {"SelectedInstanceType": P5, "SelectedInstanceCount": 1}


@cases(
    "resources, reserved",
    (ON_P5 | {"TrainingPlanArn": PLAN}, True),
    (ON_P5, False),
    (CHOSEN_P5 | {"InstancePreferences": [{"InstanceType": P5, "TrainingPlanArns": [PLAN]}]}, True),
    (CHOSEN_P5 | {"InstancePreferences": [P4_ON_PLAN, {"InstanceType": P5}]}, False),
)
def test_a_job_on_a_training_plan_is_paid_for(resources: Any, *, reserved: bool) -> None:

    (one,) = found(
        script(Search=Torn({"Results": [{"TrainingJob": job("fit", ResourceConfig=resources)}]}))
    ).values()

    assert [run.reserved for run in one.runs] == [reserved]


PROCESSING = {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}}}
TRANSFORM = {"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 3}}
PREFERRING = {"ProcessingResources": {"ClusterConfig": {**PREFERRED, **SELECTED}}}
UNCOUNTED = {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge"}}}


def batch(noun: str, kind: str, described: Any) -> dict[str, Any]:
    listed = entry(f"{noun}Job", kind, f"{noun.lower()}-1", 3, **{f"{noun}JobStatus": "Completed"})
    return {f"List{noun}Jobs": {f"{noun}JobSummaries": [listed]}, f"Describe{noun}Job": described}


@cases(
    "noun, kind, resources, usage, hourly",
    ("Processing", "processing-job", PROCESSING, "USE1-Processing:ml.m5.xlarge", 2),
    ("Processing", "processing-job", PREFERRING, "USE1-Processing:ml.g5.xlarge", 4),
    ("Transform", "transform-job", TRANSFORM, "USE1-Tsform:ml.m5.xlarge", 3),
    ("Processing", "processing-job", UNCOUNTED, "USE1-Processing:ml.m5.xlarge", 1),
)
def test_other_jobs_ran_as_described(noun: str, kind: str, resources: Any, usage: str, hourly: float) -> None:
    name = f"{noun.lower()}-1"
    times: dict[str, Any] = {f"{noun}StartTime": ago(2), f"{noun}EndTime": ago(1)}
    described = entry(f"{noun}Job", kind, name, 3, **times, **resources)
    account = script(**batch(noun, kind, Torn(described)))
    tagged = {"ResourceARN": f"{ARN}:{kind}/{name}", "Tags": [{"Key": "a", "Value": "b"}]}
    account.answers["resourcegroupstaggingapi:GetResources"] = {"ResourceTagMappingList": [tagged]}

    one = found(account)[name]

    assert (spells(one), one.ended) == ([(usage, ago(2), ago(1), hourly)], ago(1))
    assert one.target.tags == Value({"a": "b"}, "tag:GetResources")
    (asked,) = account.asked(f"sagemaker:List{noun}Jobs")
    assert asked["CreationTimeAfter"] == SINCE - 28 * DAY
    assert (asked["SortBy"], asked["SortOrder"]) == ("CreationTime", "Descending")

    waiting = Torn({key: value for key, value in described.items() if key != f"{noun}StartTime"})
    assert found(script(**batch(noun, kind, waiting))) == {}
    less = Torn({key: value for key, value in described.items() if key not in resources})
    path = ".".join(("ProcessingResources", "ClusterConfig") if noun == "Processing" else resources)
    assert found(script(**batch(noun, kind, less)), f"{name}: its description has no {path}") == {}
    denied = f"{kind.replace('-', ' ')} {name}: Describe{noun}Job: AccessDeniedException: denied"
    assert found(script(**batch(noun, kind, DENIED)), denied) == {}


def test_of_many_jobs_the_newest_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_DESCRIBED_JOBS", 2)
    listed = [
        entry("ProcessingJob", "processing-job", f"p-{n}", n, ProcessingJobStatus="Failed") for n in (1, 2, 3)
    ]

    def described(asked: Mapping[str, Any]) -> Any:
        name = asked["ProcessingJobName"]
        return entry("ProcessingJob", "processing-job", name, 1, ProcessingStartTime=ago(1), **PROCESSING)

    answers: dict[str, Any] = {
        "ListProcessingJobs": {"ProcessingJobSummaries": listed},
        "DescribeProcessingJob": described,
    }

    assert set(found(script(**answers), "only the newest 2 of 3 processing jobs were read")) == {"p-1", "p-2"}
    answers["ListProcessingJobs"] = {"ProcessingJobSummaries": listed[:2]}
    denied = "processing job p-1: DescribeProcessingJob: AccessDeniedException: denied"
    assert found(script(**answers | {"DescribeProcessingJob": DENIED}), denied) == {}
    assert set(found(script(**answers))) == {"p-1", "p-2"}


@cases(
    "instances, longest, described",
    ({}, 9, [10, 1, 9, 6]),  # the newest, the oldest, the longest, and what failed
    ({}, 2, [10, 1, 2, 6]),
    ({"etl-1": "ml.g5.xlarge"}, 4, range(1, 11)),
)
def test_jobs_of_a_family_that_are_alike_are_described_by_three(
    instances: Mapping[str, str], longest: int, described: Sequence[int]
) -> None:
    def ended(number: int) -> dict[str, Any]:
        end = {"ProcessingEndTime": ago(20 - number) + timedelta(hours=9 if number == longest else 2)}
        made = entry("ProcessingJob", "processing-job", f"etl-{number}", 20 - number, **end)
        return made | {"ProcessingJobStatus": "Failed" if number == 6 else "Completed"}

    def description(asked: Mapping[str, Any]) -> Any:
        job = ended(int(asked["ProcessingJobName"].rpartition("-")[2]))
        cluster = {
            "InstanceType": instances.get(job["ProcessingJobName"], "ml.m5.xlarge"),
            "InstanceCount": 2,
        }
        started = {"ProcessingStartTime": job["CreationTime"] + timedelta(minutes=5)}
        return Torn(job | started | {"ProcessingResources": {"ClusterConfig": cluster}})

    account = script(
        ListProcessingJobs=Torn({"ProcessingJobSummaries": [ended(number) for number in range(10, 0, -1)]}),
        DescribeProcessingJob=description,
    )

    read = found(account)

    asked = [one["ProcessingJobName"] for one in account.asked("sagemaker:DescribeProcessingJob")]
    assert sorted(asked) == sorted(f"etl-{number}" for number in described)
    assert {name: spells(one) for name, one in read.items()} == {
        f"etl-{number}": [
            (
                f"USE1-Processing:{instances.get(f'etl-{number}', 'ml.m5.xlarge')}",
                ago(20 - number) + timedelta(minutes=5),
                ago(20 - number) + timedelta(hours=9 if number == longest else 2),
                2.0,
            )
        ]
        for number in range(1, 11)
    }


@cases(
    "charged, read",
    ([], set()),
    (["USE1-Train:ml.p3.2xlarge", "EUC1-Host:ml.m5.large"], {"Search"}),
    (["USE1-TrainWarmPool:ml.p3.2xlarge"], {"Search"}),
    (["USE1-Processing:ml.m5.large"], {"ListProcessingJobs"}),
    (["USE1-AsyncInf:ml.m5.large"], {"ListEndpoints", "LookupEvents"}),
    (["USE1-Notebk:VolumeUsage.gp2"], {"ListNotebookInstances", "LookupEvents"}),
)
def test_only_what_was_charged_is_read(charged: Sequence[str], read: set[str]) -> None:
    account = script()

    assert list_used_resources(account.aws(), SINCE, NOW, charged) == Listing(())

    called = {operation.partition(":")[2] for operation, _ in account.calls}
    assert called - {"GetResources"} == read
    nouns = [name[len("List") : -1] for name in read if name.startswith("List")]
    looked_up = {
        asked["LookupAttributes"][0]["AttributeValue"] for asked in account.asked("cloudtrail:LookupEvents")
    }
    assert looked_up == {call for call in runs.RESOURCE_EVENTS if any(noun in call for noun in nouns)}


# --- endpoints ----------------------------------------------------------------------------------


def rents(name: str, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    return entry("EndpointConfig", "endpoint-config", name, 90, ProductionVariants=list(variants), **more)


def variant(name: str = "blue", count: int = 2, instance: str = "ml.m5.large", **more: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": "churn",
        "InstanceType": instance,
        "InitialInstanceCount": count,
    } | more


def deployed(name: str, created: float, config: str, **counts: int) -> dict[str, Any]:
    """An endpoint as it is described, which also stands for its entry."""
    running: list[Any] = [{"VariantName": key, "CurrentInstanceCount": n} for key, n in counts.items()]
    running.append({"VariantName": "serverless"})
    return entry("Endpoint", "endpoint", name, created, EndpointConfigName=config, ProductionVariants=running)


def serving(
    *events: dict[str, Any], endpoints: Sequence[dict[str, Any]], configs: Mapping[str, Any], **more: Any
) -> Script:
    by_name = {one["EndpointName"]: one for one in endpoints}
    return script(
        *events,
        ListEndpoints=Torn({"Endpoints": list(endpoints)}),
        DescribeEndpoint=lambda asked: by_name[asked["EndpointName"]],
        DescribeEndpointConfig=lambda asked: configs.get(asked["EndpointConfigName"], GONE),
        **more,
    )


SMALL, LARGE = rents("small", variant()), rents("large", variant(count=1, instance="ml.g5.xlarge"))


def test_an_endpoint_ran_each_of_its_configurations_and_now_as_many_instances_as_it_has() -> None:
    account = serving(
        event("CreateEndpoint", 80, EndpointName="ranker", EndpointConfigName="small"),
        event("DeleteEndpoint", 79, EndpointName="ranker"),
        event("CreateEndpoint", 20, EndpointName="ranker", EndpointConfigName="small"),
        event("CreateEndpoint", 20, EndpointName="other", EndpointConfigName="large"),
        event("UpdateEndpoint", 5, EndpointName="ranker", EndpointConfigName="large"),
        event("UpdateEndpoint", 4, EndpointName="ranker", EndpointConfigName="small", failed=True),
        endpoints=[deployed("ranker", 20, "large", blue=3)],
        configs={"small": SMALL, "large": LARGE},
    )

    one = found(account)["ranker"]

    assert spells(one) == [
        ("USE1-Host:ml.m5.large", ago(20), ago(5), 2),
        ("USE1-Host:ml.g5.xlarge", ago(5), None, 3),
    ]
    assert (one.ended, one.target.tags) == (None, Value({}, "tag:GetResources"))
    assert (one.target.arn, {run.datapoints for run in one.runs}) == (f"{ARN}:endpoint/ranker", {60})


def test_what_cloudtrail_does_not_remember_had_its_configuration_since_it_was_made() -> None:
    kinds = rents(
        "all",
        variant("blue", ModelName=None),
        variant("paid", CapacityReservationConfig={"MlReservationArn": PLAN}),
        variant("none", 0),
        {"VariantName": "unsized", "ModelName": "churn"},
        variant("serverless", ServerlessConfig={}),
        AsyncInferenceConfig={"OutputConfig": {}},
        MetricsConfig={"MetricPublishFrequencyInSeconds": 10},
        ShadowProductionVariants=[variant("dark", 1)],
    )
    read = found(
        serving(endpoints=[deployed("old", 200, "all"), deployed("new", 0, "all")], configs={"all": kinds}),
        "endpoint old: variant unsized has no InstanceType",
    )

    assert set(read) == {"old"}
    ran = [(run.variant, run.model, run.shadow, run.reserved) for run in read["old"].runs if run.hourly]
    assert ran == [("blue", "", False, False), ("paid", "churn", False, True), ("dark", "churn", True, False)]
    assert [run.variant for run in read["old"].runs if not run.hourly] == ["none"]
    assert {run.usage_type for run in read["old"].runs} == {"USE1-AsyncInf:ml.m5.large"}
    assert {(run.start, run.datapoints) for run in read["old"].runs} == {(ago(200), 360)}


def test_a_deleted_endpoint_ran_until_then_also_where_its_configuration_is_gone() -> None:
    made: dict[str, Any] = {
        "EndpointName": "Trial",
        "EndpointConfigName": "trial",
        "Tags": [{"key": "a", "value": "b"}],
    }
    rented: dict[str, Any] = {
        "variantName": "blue",
        "instanceType": "ml.g5.xlarge",
        "initialInstanceCount": 4,
    }
    account = serving(
        event("CreateEndpointConfig", 30, EndpointConfigName="trial", ProductionVariants=[variant()]),
        event("CreateEndpointConfig", 21, EndpointConfigName="trial", ProductionVariants=[rented]),
        event("CreateEndpointConfig", 21, EndpointConfigName="another", ProductionVariants=[variant()]),
        event("CreateEndpoint", 20, **made),
        event("DeleteEndpoint", 9, EndpointName="Trial", failed=True),
        event("DeleteEndpoint", 8, EndpointName="Trial"),
        event("DeleteEndpoint", 7, EndpointName="older than the trail"),
        endpoints=[],
        configs={},
    )

    read = found(account)

    assert set(read) == {"Trial"}
    assert spells(read["Trial"]) == [("USE1-Host:ml.g5.xlarge", ago(20), ago(8), 4)]
    target = read["Trial"].target
    assert (target.arn, target.created, target.kind) == (f"{ARN}:endpoint/trial", ago(20), "endpoint")
    assert (target.tags, read["Trial"].ended) == (Value({"a": "b"}, "cloudtrail:LookupEvents"), ago(8))


@cases(
    "updates, ran",
    ([], [("USE1-Host:ml.m5.large", 90, 8, 2)]),  # the configuration of its name
    ([30], [("USE1-Host:ml.g5.xlarge", 90, 30, 1), ("USE1-Host:ml.g5.xlarge", 30, 8, 1)]),
)
def test_an_endpoint_made_before_the_trail_ran_before_its_first_event(
    updates: Sequence[int], ran: Sequence[tuple[str, int, int, int]]
) -> None:
    events = [event("UpdateEndpoint", at, EndpointName="old", EndpointConfigName="large") for at in updates]
    account = serving(
        *events,
        event("DeleteEndpoint", 8, EndpointName="old"),
        event("DeleteEndpoint", 8, EndpointName="unknown"),
        endpoints=[],
        configs={"old": SMALL, "large": LARGE},
    )
    alive = serving(*events, endpoints=[deployed("old", 200, "large")], configs={"large": LARGE})

    read = found(account)

    assert set(read) == {"old"}
    assert spells(read["old"]) == [(usage, ago(start), ago(end), count) for usage, start, end, count in ran]
    starts = [(run.start, run.usage_type) for run in found(alive)["old"].runs]
    assert starts == [(ago(day), "USE1-Host:ml.g5.xlarge") for day in (200, *updates)]
    deletion = event("DeleteEndpoint", 8, EndpointName="old")
    account.answers["cloudtrail:LookupEvents"] = trail(deletion, broken="CreateEndpoint")
    denied = "LookupEvents: AccessDeniedException: denied"
    assert found(account, f"cloudtrail:LookupEvents broke off after 0: {denied}") == {}


def test_what_cannot_be_read_of_endpoints_is_said() -> None:
    account = serving(
        endpoints=[
            deployed("ranker", 20, "small"),
            deployed("dark", 20, "large"),
            deployed("darker", 20, "larger"),
            deployed("lost", 20, "x"),
            deployed("lost too", 20, "x"),
        ],
        configs={"small": SMALL, "large": DENIED, "larger": DENIED},
    )
    describe = account.answers["sagemaker:DescribeEndpoint"]
    assert callable(describe)
    account.answers["sagemaker:DescribeEndpoint"] = lambda asked: (
        DENIED if asked["EndpointName"].startswith("lost") else describe(asked)
    )
    denied = "AccessDeniedException: denied"
    error = (
        f"2 of 5 endpoints could not be described (endpoint lost: DescribeEndpoint: {denied}); "
        "2 of 3 endpoint configurations could not be described "
        f"(endpoint configuration large: DescribeEndpointConfig: {denied})"
    )

    assert set(found(account, error)) == {"ranker"}

    recorded = event("CreateEndpointConfig", 30, EndpointConfigName="large", ProductionVariants=[variant()])
    account.answers["cloudtrail:LookupEvents"] = trail(recorded)
    error = error.replace("2 of 3", "1 of 3").replace("large:", "larger:")
    assert set(found(account, error)) == {"ranker", "dark"}


# --- notebook instances and Studio apps ---------------------------------------------------------


def notebook(name: str, created: float, status: str = "InService", modified: float = 3) -> dict[str, Any]:
    more = {"InstanceType": "ml.t3.large", "LastModifiedTime": ago(modified)}
    return entry(
        "NotebookInstance", "notebook-instance", name, created, NotebookInstanceStatus=status, **more
    )


def switched(name: str, *calls: tuple[str, float], **more: Any) -> list[dict[str, Any]]:
    return [event(f"{call}NotebookInstance", at, NotebookInstanceName=name, **more) for call, at in calls]


@cases(
    "created, status, calls, ran",
    (
        80,
        "InService",
        [("Create", 80), ("Stop", 30), ("Start", 10), ("Stop", 9), ("Start", 3)],
        [(80, 30), (10, 9), (3, None)],
    ),
    (80, "Stopped", [("Create", 80), ("Stop", 30), ("Stop", 29)], [(80, 30)]),
    (80, "Stopped", [("Start", 9), ("Start", 8), ("Stop", 7)], [(9, 7)]),
    (200, "Stopped", [("Stop", 20)], [(60, 20)]),
    (50, "Stopped", [("Stop", 20), ("Stop", 10)], [(50, 20)]),
    (200, "InService", [], [(3, None)]),
    (200, "Pending", [], [(3, None)]),
    (200, "Updating", [], [(3, None)]),
    (200, "Stopped", [], []),
    (200, "InService", [("Start", 5)], [(5, None)]),
)
def test_a_notebook_instance_was_on_between_its_starts_and_stops(
    created: float, status: str, calls: Any, ran: Sequence[tuple[float, float | None]]
) -> None:
    account = script(
        *switched("eda", *calls),
        ListNotebookInstances=Torn({"NotebookInstances": [notebook("eda", created, status)]}),
    )

    read = found(account)

    assert [one for each in read.values() for one in spells(each)] == [
        ("USE1-Notebk:ml.t3.large", ago(start), None if end is None else ago(end), 1) for start, end in ran
    ]
    assert [one.ended for one in read.values()] == [one.runs[-1].end for one in read.values()]


def test_where_older_events_were_not_read_nothing_is_assumed_before_the_first_stop() -> None:
    account = script(
        *switched("eda", ("Stop", 20)),
        broken="StartNotebookInstance",
        ListNotebookInstances=Torn({"NotebookInstances": [notebook("eda", 200, "Stopped")]}),
    )

    denied = "LookupEvents: AccessDeniedException: denied"
    assert found(account, f"cloudtrail:LookupEvents broke off after 0: {denied}") == {}


def test_a_deleted_notebook_instance_is_known_from_the_request_that_made_it() -> None:
    made = event("CreateNotebookInstance", 20, NotebookInstanceName="study", InstanceType="ml.t3.large")
    without = event("CreateNotebookInstance", 20, NotebookInstanceName="blank")
    again = event("CreateNotebookInstance", 20, NotebookInstanceName="eda", InstanceType="ml.p3.2xlarge")
    account = script(
        *(made, without, again),
        *switched("study", ("Stop", 8), ("Delete", 7)),
        *switched("blank", ("Delete", 7)),
        *switched("eda", ("Delete", 7)),
        ListNotebookInstances=Torn({"NotebookInstances": [notebook("eda", 5)]}),
    )

    read = found(account)

    assert {name: one.ended for name, one in read.items()} == {"study": ago(7), "eda": None}
    assert spells(read["study"]) == [("USE1-Notebk:ml.t3.large", ago(20), ago(8), 1)]


def app(name: str, started: float, **more: Any) -> dict[str, Any]:
    return {
        "DomainId": "d-1",
        "UserProfileName": "anna",
        "AppType": "JupyterLab",
        "AppName": name,
        "Status": "InService",
        "CreationTime": ago(started),
        "ResourceSpec": {"InstanceType": "ml.g5.xlarge"},
    } | more


def test_studio_apps_ran_since_they_started_or_until_they_were_deleted() -> None:
    key: dict[str, Any] = {
        "DomainId": "d-1",
        "UserProfileName": "anna",
        "AppType": "JupyterLab",
        "AppName": "default",
    }
    paid: dict[str, Any] = {"InstanceType": "ml.p4d.24xlarge", "TrainingPlanArn": PLAN}
    large: dict[str, Any] = {"ResourceSpec": {"instanceType": "ml.m5.xlarge"}}
    space: dict[str, Any] = {
        "DomainId": "d-1",
        "SpaceName": "desk",
        "AppType": "CodeEditor",
        "AppName": "default",
    }
    account = script(
        event("CreateApp", 30, **key, **large),
        event("DeleteApp", 29, **key),
        event("CreateApp", 20, **key, **large),
        event("DeleteApp", 10, **key),
        event("DeleteApp", 20, **key),
        event("CreateApp", 9, **space, **large),
        event("DeleteApp", 8, **key),
        event("CreateApp", 7, **{**space, "AppName": "system"}, ResourceSpec={"instanceType": "system"}),
        event("DeleteApp", 6, **{**space, "AppName": "system"}),
        event("CreateApp", 7, **{**space, "AppName": "unsized"}),
        event("DeleteApp", 6, **{**space, "AppName": "unsized"}),
        ListApps=Torn(
            {
                "Apps": [
                    app("now", 4),
                    app("paid", 4, ResourceSpec=paid),
                    app("deleted", 4, Status="Deleted"),
                    app("unsized", 4, ResourceSpec={}),
                    app("to come", 0),
                ]
            }
        ),
    )

    listing = list_used_resources(account.aws(), SINCE, NOW)

    assert listing.error is None
    default, instance = "anna/JupyterLab/default", "USE1-Studio:JupyterLab-ml.m5.xlarge"
    read = [(one.target.name, *spells(one)[0], one.runs[0].reserved, one.ended) for one in listing.items]
    assert read == [
        ("anna/JupyterLab/now", "USE1-Studio:JupyterLab-ml.g5.xlarge", ago(4), None, 1, False, None),
        ("anna/JupyterLab/paid", "USE1-Studio:JupyterLab-ml.p4d.24xlarge", ago(4), None, 1, True, None),
        (default, instance, ago(30), ago(29), 1, False, ago(29)),
        (default, instance, ago(20), ago(10), 1, False, ago(10)),
    ]
    assert listing.items[-1].target.arn == f"{ARN}:app/d-1/anna/jupyterlab/default"


# --- what cannot be read ------------------------------------------------------------------------


def test_what_breaks_is_said_and_hides_nothing_else() -> None:
    account = script(
        *switched("eda", ("Stop", 20)),
        ListNotebookInstances=Torn({"NotebookInstances": [notebook("eda", 50)]}),
        Search=Torn({"Results": [{"TrainingJob": {"CreationTime": ago(1)}}]}),
        ListApps=DENIED,
        ListEndpoints=Torn({"Endpoints": None}),
    )
    account.answers["cloudtrail:LookupEvents"] = Torn({"Events": [{"CloudTrailEvent": 3}]})

    listing = list_used_resources(account.aws(), SINCE, NOW)

    assert [one.target.name for one in listing.items] == ["eda"]
    assert [part.partition(":")[0] for part in (listing.error or "").split("; ")] == [
        "TypeError", "sagemaker", "TypeError", "sagemaker",
    ]  # fmt: skip


@cases("begins, ends, units", (10, 8, 48), (10, 4, 96), (6, 4, 0), (7, 6, 24), (8, 8, 0), (5, 4, 0))
def test_units_of_a_part_of_a_run(begins: float, ends: float, units: float) -> None:
    """One instance from ten days ago to six."""
    run = ResourceRun(usage_type="USE1-Host:ml.m5.large", start=ago(10), end=ago(6), hourly=Decimal(1))

    assert run.units(ago(begins), ago(ends)) == Decimal(units)
    double = ResourceRun(usage_type="USE1-Host:ml.m5.large", start=ago(5), hourly=Decimal(2))
    assert double.units(ago(10), ago(4)) == 48
