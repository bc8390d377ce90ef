"""Idle endpoints against the sandbox, kind by kind: what is read, what it costs in calls, what faults do."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import NOW
from endpoint_seed import DAY, HOUR, QUIET, ROLE, Seed
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.core.model import Confidence, Finding, Kept, Value, Verdict
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import scalable_target
from tables import cases
from verdicts import by_name, only, sweep_once

RULE = IdleEndpoints()


def one_request(ago: timedelta) -> list[float]:
    """Nine quiet days with one request in the hour that began *ago*."""
    values = list(QUIET)
    values[-(ago // HOUR)] = 1.0
    return values


@pytest.fixture
def seed(box: Control, aws: Aws) -> Seed:
    return Seed(box, aws)


def verdicts(aws: Aws, detector: IdleEndpoints = RULE) -> dict[str, Verdict]:
    return {name: result.verdict for name, result in by_name(sweep_once(detector, aws)).items()}


def verdict(aws: Aws, name: str = "churn") -> Verdict:
    return verdicts(aws)[name]


def found(verdict: Verdict, confidence: Confidence) -> Finding:
    assert isinstance(verdict, Finding), verdict.reason
    assert verdict.confidence is confidence
    return verdict


def kept(verdict: Verdict, *words: str) -> Kept:
    assert isinstance(verdict, Kept), verdict.reason
    assert not verdict.unknown, verdict.reason
    for word in words:
        assert word in verdict.reason
    return verdict


def unknown(verdict: Verdict, *words: str) -> Kept:
    assert isinstance(verdict, Kept), verdict.reason
    assert verdict.unknown, verdict.reason
    for word in words:
        assert word in verdict.reason
    return verdict


# --- variants -----------------------------------------------------------------------------------


def test_zeros_from_every_variant_are_proof(seed: Seed, aws: Aws) -> None:
    seed.endpoint("churn", {"VariantName": "blue"}, {"VariantName": "green", "InitialInstanceCount": 2})
    seed.requests("churn", "blue")
    seed.requests("churn", "green")
    seed.publish("Invocations", EndpointName="churn", VariantName="blue", ContainerName="second")

    finding = found(verdict(aws), Confidence.PROVEN)

    assert finding.reason == "no request in 7 days, and none since it was deployed 30 days ago"
    assert finding.since == NOW - 30 * DAY
    hourly = not_none(aws.prices.hourly(aws.region, "Hosting", "ml.m5.xlarge").hourly_usd)
    assert not_none(finding.cost).monthly_usd == 3 * 730 * hourly
    shown = {one.signal: one.value for one in finding.evidence}
    assert shown["requests to variant blue"] == shown["requests to variant green"] == 0
    assert shown["requests to variant blue, container second"] == 0
    assert shown["running"] == "3 x ml.m5.xlarge"


def test_a_container_that_is_called_directly_keeps(seed: Seed, aws: Aws) -> None:
    seed.serve("churn")
    seed.publish(
        "Invocations", one_request(HOUR), EndpointName="churn", VariantName="blue", ContainerName="second"
    )

    kept(verdict(aws), "container second")


def test_requests_that_are_told_by_instance_keep(seed: Seed, aws: Aws) -> None:
    """Enhanced metrics have more dimensions than others, whatever else is published beside them."""
    seed.endpoint("churn")
    seed.control("churn")
    for values, instance in ((one_request(HOUR), "i-1"), (QUIET, "i-2")):
        seed.publish("Invocations", values, EndpointName="churn", VariantName="blue", InstanceId=instance)

    kept(verdict(aws), "1 request to variant blue, instance i-1 in the last 7 days")


def test_every_instance_pool_is_priced(seed: Seed, aws: Aws) -> None:
    pools = [{"InstanceType": "ml.m5.xlarge", "Priority": 1}, {"InstanceType": "ml.c5.xlarge", "Priority": 2}]
    seed.serve("churn", {"VariantName": "blue", "InstancePools": pools, "InitialInstanceCount": 2})
    pool = ("endpoints", "churn", "ProductionVariants", 0, "InstancePools", 1)
    seed.box.patch("sagemaker", pool, CurrentInstanceCount=4)

    finding = found(verdict(aws), Confidence.PROVEN)

    assert {one.signal: one.value for one in finding.evidence}[
        "running"
    ] == "4 x ml.c5.xlarge, 2 x ml.m5.xlarge"
    price = {
        kind: aws.prices.hourly(aws.region, "Hosting", kind).hourly_usd
        for kind in ("ml.m5.xlarge", "ml.c5.xlarge")
    }
    assert finding.cost is not None
    assert finding.cost.hourly_usd == 2 * (price["ml.m5.xlarge"] or 0) + 4 * (price["ml.c5.xlarge"] or 0)


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ago", "idle"), [(7 * DAY, False), (7 * DAY + HOUR, True)])
def test_only_the_window_counts(seed: Seed, aws: Aws, ago: timedelta, idle: bool) -> None:  # noqa: FBT001
    seed.serve("churn", values=one_request(ago))

    assert isinstance(verdict(aws), Finding) == idle


def test_the_last_request_before_the_window_is_named(seed: Seed, aws: Aws) -> None:
    seed.endpoint("churn", age=80 * DAY)
    values = [0.0] * (60 * 24)
    values[-41 * 24] = 7.0  # in the first hours of a day
    seed.requests("churn", values=values)

    finding = found(verdict(aws), Confidence.PROVEN)

    assert finding.reason == "no request in 7 days; the last one was 40 days ago"
    assert finding.since == datetime(2026, 8, 27, tzinfo=NOW.tzinfo)


def test_requests_are_read_from_ninety_days_before_the_window(seed: Seed, aws: Aws) -> None:
    seed.endpoint("churn", age=120 * DAY)
    values = [0.0] * (110 * 24)
    values[-95 * 24] = 7.0
    seed.requests("churn", values=values)

    assert found(verdict(aws), Confidence.PROVEN).reason.startswith(
        "no request in 7 days; the last one was 94"
    )


def test_a_window_of_a_month_is_read_to_its_beginning(seed: Seed, aws: Aws) -> None:
    seed.endpoint("churn", age=80 * DAY)
    values = [0.0] * (40 * 24)
    values[-29 * 24] = 1.0
    seed.requests("churn", values=values)

    kept(
        verdicts(aws, IdleEndpoints(window=30 * DAY))["churn"],
        "1 request to variant blue in the last 30 days",
    )
    found(verdicts(aws, IdleEndpoints(window=28 * DAY))["churn"], Confidence.PROVEN)


def scale(seed: Seed, name: str, least: int, *, ago: timedelta = DAY) -> None:
    """Application Auto Scaling gives variant blue of *name* at *least* so many instances."""
    with seed.box.at(NOW - ago):
        seed.scaling.register_scalable_target(**scalable_target(f"endpoint/{name}/variant/blue", least, 9))


def modified(seed: Seed, name: str) -> datetime:
    at: datetime = seed.sagemaker.describe_endpoint(EndpointName=name)["LastModifiedTime"]
    return at


IMAGE = {"VariantName": "blue", "ModelName": "with-image"}


def test_scaling_is_no_deployment(seed: Seed, aws: Aws) -> None:
    for name in ("churn", "unknown-image"):
        seed.serve(name, *([IMAGE] if name == "churn" else []))
        scale(seed, name, 2, ago=3 * DAY)
        scale(seed, name, 3)
        assert modified(seed, name) == NOW - DAY
    judged = verdicts(aws)

    finding = found(judged["churn"], Confidence.PROVEN)
    assert finding.reason == "no request in 7 days, and none since it was deployed 30 days ago"
    shown = {one.signal: one.value for one in finding.evidence}
    assert (shown["last deployed"], shown["last scaled"]) == ("30 days ago", "24 hours ago")
    finding = found(judged["unknown-image"], Confidence.LIKELY)
    assert finding.reason.endswith(
        "it was scaled since, and nothing says whether blue was deployed again before that"
    )


def test_what_an_undo_needs_records_the_deployment_and_not_the_scaling(seed: Seed, aws: Aws) -> None:
    """An act that broke off is judged by it: by the scaling, it would look deployed."""
    seed.serve("churn", IMAGE)
    scale(seed, "churn", 2)
    (first,) = RULE.find(aws, NOW)
    record = RULE.prepare(aws, not_none(RULE.look(aws, first.target, NOW)), {})

    assert record["modified"] == (NOW - 30 * DAY).isoformat()


def test_a_deployment_in_the_minute_of_a_scaling_keeps(seed: Seed, aws: Aws) -> None:
    seed.endpoint("old", IMAGE)
    seed.serve("churn", IMAGE)
    scale(seed, "churn", 2)
    with seed.box.at(NOW - DAY + timedelta(seconds=10)):
        seed.sagemaker.update_endpoint(EndpointName="churn", EndpointConfigName="old")

    kept(verdict(aws), "last deployed", "endpoints are left alone for 7 days")


def test_the_scaling_of_another_endpoint_or_by_hand_explains_nothing(seed: Seed, aws: Aws) -> None:
    for name in ("churn", "churn-2"):
        seed.serve(name, IMAGE)
    scale(seed, "churn-2", 2)
    with seed.box.at(NOW - DAY):
        seed.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="churn",
            DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredInstanceCount": 2}],
        )
    assert modified(seed, "churn") == modified(seed, "churn-2")
    judged = verdicts(aws)

    kept(judged["churn"], "last deployed 24 hours ago")
    found(judged["churn-2"], Confidence.PROVEN)


# --- what costs nothing, and what is not in service ---------------------------------------------


RESERVED = {
    "CapacityReservationPreference": "capacity-reservations-only",
    "MlReservationArn": "arn:aws:sagemaker:us-east-1:123456789012:training-plan/gpus",
}


def test_only_what_is_not_reserved_counts_as_its_cost(seed: Seed, aws: Aws) -> None:
    seed.endpoint(
        "churn",
        {"VariantName": "blue", "CapacityReservationConfig": RESERVED, "InitialInstanceCount": 4},
        {"VariantName": "green"},
    )
    for name in ("blue", "green"):
        seed.requests("churn", name)

    found = of_type(Finding, verdict(aws))

    assert found.cost is not None
    assert found.cost.hourly_usd == aws.prices.hourly(aws.region, "Hosting", "ml.m5.xlarge").hourly_usd


def test_an_instance_count_that_is_missing_is_not_zero(seed: Seed, aws: Aws) -> None:
    seed.serve("churn")
    only_variant = ("endpoints", "churn", "ProductionVariants", 0)
    seed.box.patch("sagemaker", only_variant, CurrentInstanceCount=None)

    unknown(verdict(aws), "could not be described", "CurrentInstanceCount")


@pytest.mark.parametrize("status", ["Creating", "Failed"])
def test_a_description_without_variants_may_be_whole(seed: Seed, aws: Aws, status: str) -> None:
    seed.serve("churn")
    (first,) = RULE.find(aws, NOW)
    seed.box.patch("sagemaker", ["endpoints", "churn"], EndpointStatus=status)
    assert "ProductionVariants" not in seed.sagemaker.describe_endpoint(EndpointName="churn")

    kept(RULE.decide(not_none(RULE.look(aws, first.target, NOW)), NOW), f"it is {status}, not InService")


def test_a_description_without_variants_is_cut_off_where_something_runs(seed: Seed, aws: Aws) -> None:
    seed.serve("churn")
    seed.box.patch("sagemaker", ["endpoints", "churn"], ProductionVariants=None)

    unknown(verdict(aws), "could not be described", "ProductionVariants")


def test_idle_provisioned_concurrency_is_found_at_an_unknown_price(seed: Seed, aws: Aws) -> None:
    config = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    seed.serve("churn", {"VariantName": "blue", "ServerlessConfig": config})

    finding = found(verdict(aws), Confidence.PROVEN)

    assert finding.cost is not None
    assert (finding.cost.monthly_usd, finding.cost.source) == (
        None,
        "provisioned concurrency is not in the instance price list",
    )


# --- asynchronous -------------------------------------------------------------------------------

ASYNC: dict[str, Any] = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://ml/out"}}}


def test_an_asynchronous_endpoint_is_never_judged_by_invocations(seed: Seed, aws: Aws) -> None:
    for name in ("zeros", "never", "unproven", "queued"):
        seed.endpoint(name, **ASYNC)
    waits = {"metric": "ApproximateBacklogSize", "dimensions": {"EndpointName": "queued"}}
    seed.box.metrics("AWS/SageMaker", [waits | {"start": NOW - HOUR, "step": 1800, "values": [5.0, 0.0]}])
    seed.publish("InvocationsProcessed", EndpointName="zeros", VariantName="blue")
    seed.control("never")
    seed.requests("unproven")  # AWS publishes none: zeros here are somebody else's
    judged = verdicts(aws)

    found(judged["zeros"], Confidence.PROVEN)
    found(judged["never"], Confidence.LIKELY)
    unknown(judged["unproven"], "no metric of variant blue arrives")
    kept(judged["queued"], "the queue was in use")


# --- inference components -----------------------------------------------------------------------


def host(seed: Seed, name: str) -> None:
    seed.endpoint(name, {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)


def test_inference_components_decide_for_their_endpoint(seed: Seed, aws: Aws) -> None:
    for name in ("idle", "busy", "absent", "unproven"):
        host(seed, name)
        seed.component(f"{name}-a", name)
        seed.component(f"{name}-b", name)
        seed.publish("Invocations", InferenceComponentName=f"{name}-a")
    seed.publish("Invocations", InferenceComponentName="idle-b")
    seed.publish("Invocations", one_request(DAY), InferenceComponentName="busy-b")
    seed.control("absent")
    judged = verdicts(aws)

    found(judged["idle"], Confidence.PROVEN)
    kept(judged["busy"], "inference component busy-b")
    found(judged["absent"], Confidence.LIKELY)
    unknown(judged["unproven"], "no metric of inference component unproven-b arrives")


def test_requests_to_a_deleted_inference_component_may_have_been_here(seed: Seed, aws: Aws) -> None:
    host(seed, "churn")
    seed.control("churn")
    seed.publish("Invocations", one_request(3 * DAY), InferenceComponentName="gone")

    unknown(verdict(aws), "inference component gone")


# --- monitoring ---------------------------------------------------------------------------------


def test_its_monitoring_is_part_of_its_cost(seed: Seed, aws: Aws) -> None:
    """Two executions of 21 minutes on two instances in 168 hours; one was before the window."""
    seed.serve("churn")
    seed.monitor("drift", "churn")
    seed.monitored("drift", ago=8 * DAY, took=9 * HOUR)
    for ago in (3 * DAY, 2 * DAY):
        seed.monitored("drift", ago=ago, took=timedelta(minutes=21))

    finding = found(verdict(aws), Confidence.LIKELY)

    hosting = aws.prices.hourly(aws.region, "Hosting", "ml.m5.xlarge").hourly_usd
    processing = aws.prices.hourly(aws.region, "Processing", "ml.m5.xlarge").hourly_usd
    assert hosting is not None
    assert processing is not None
    assert finding.cost is not None
    assert finding.cost.hourly_usd is not None
    assert round(finding.cost.hourly_usd, 12) == round(hosting + 2 * 2 * processing * 21 / 60 / 168, 12)
    assert finding.cost.source == "Price List API, with its monitoring"


def test_each_monitor_costs_what_its_own_jobs_took(
    seed: Seed, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is at work a second time, and counts as long as the time before."""
    seed.serve("churn")
    for name, ago, took in (("drift", DAY, HOUR), ("bias", 2 * DAY, 5 * HOUR)):
        seed.monitor(name, "churn")
        seed.monitored(name, ago=ago, took=took)
    seed.monitored("drift", ago=HOUR, took=None)
    usd = {"Hosting": Decimal(1), "Processing": Decimal(3)}
    monkeypatch.setattr(aws.prices, "hourly", lambda _region, component, _type: Price(usd[component], ""))

    cost = not_none(found(verdict(aws), Confidence.LIKELY).cost)

    assert round(not_none(cost.hourly_usd), 12) == round(1 + Decimal(3) * 2 * (1 + 1 + 5) / 168, 12)


@pytest.mark.parametrize("operation", ["ListMonitoringExecutions", "DescribeProcessingJob"])
def test_a_monitor_of_unreadable_cost_makes_the_price_unknown(seed: Seed, aws: Aws, operation: str) -> None:
    seed.serve("churn")
    seed.monitor("drift", "churn")
    seed.monitored("drift", ago=DAY, took=HOUR)
    seed.box.fault("sagemaker", operation, "deny", times=0)

    finding = found(verdict(aws), Confidence.LIKELY)

    assert finding.cost is not None
    assert finding.cost.monthly_usd is None
    assert "AccessDenied" in finding.cost.source


def test_a_monitor_that_has_not_ended_once_has_no_price(seed: Seed, aws: Aws) -> None:
    seed.serve("churn")
    seed.monitor("drift", "churn")
    assert getattr(found(verdict(aws), Confidence.LIKELY).cost, "known", None) is True

    seed.monitored("drift", ago=HOUR, took=None)

    cost = not_none(found(verdict(aws), Confidence.LIKELY).cost)
    assert not cost.known
    assert "no execution of drift has ended yet" in cost.source


def test_a_monitor_whose_last_job_ended_before_it_began_costs_nothing(seed: Seed, aws: Aws) -> None:
    seed.serve("churn")
    seed.monitor("drift", "churn")
    seed.monitored("drift", ago=HOUR, took=HOUR)
    (job,) = seed.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    path = ("processing_jobs", job["ProcessingJobName"])
    seed.box.patch("sagemaker", path, ProcessingStartTime=None)

    cost = not_none(found(verdict(aws), Confidence.LIKELY).cost)

    assert cost.hourly_usd == aws.prices.hourly(aws.region, "Hosting", "ml.m5.xlarge").hourly_usd
    assert cost.source == "Price List API"


# --- exemptions and faults ----------------------------------------------------------------------


@pytest.mark.parametrize("skip", [0, 1])
def test_half_of_the_metrics_missing_is_unknown(seed: Seed, aws: Aws, skip: int) -> None:
    """The first GetMetricData call asks for known series, the second for what a description revealed."""
    seed.endpoint("churn", {"VariantName": "blue"}, {"VariantName": "green"})
    seed.requests("churn", "blue")
    seed.control("churn", "green")
    found(verdict(aws), Confidence.LIKELY)
    seed.box.fault("cloudwatch", "GetMetricData", "deny", skip=skip, times=1)

    unknown(verdict(aws), "AccessDenied")


def test_busy_is_busy_whatever_else_fails(seed: Seed, aws: Aws) -> None:
    seed.serve("churn", values=one_request(HOUR))
    for operation in ("ListInferenceComponents", "DescribeEndpoint", "DescribeEndpointConfig"):
        seed.box.fault("sagemaker", operation, "deny", times=0)

    kept(verdict(aws), "1 request")


@cases(
    "operation, said, described",
    ("ListInferenceComponents", "", False),
    ("ListMonitoringSchedules", "its monitoring schedules could not be listed", False),
    ("DescribeEndpointConfig", "its configuration could not be described", True),
)
def test_what_may_not_be_read_is_unknown(
    seed: Seed, aws: Aws, *, operation: str, said: str, described: bool
) -> None:
    seed.serve("churn")
    seed.box.fault("sagemaker", operation, "deny", times=0)
    seed.box.clear_calls()

    unknown(only(sweep_once(RULE, aws)).verdict, said, "AccessDenied")
    assert ("sagemaker:DescribeEndpoint" in seed.box.calls()) is described


# --- looking again ------------------------------------------------------------------------------


def test_looking_again_reads_the_same(seed: Seed, aws: Aws) -> None:
    seed.serve("churn", tags={"owner": "maria"})
    seed.endpoint("other")
    first = next(one for one in RULE.find(aws, NOW) if one.target.name == "churn")

    again = not_none(RULE.look(aws, first.target, NOW))

    assert again.target.tags == Value({"owner": "maria"}, "sagemaker:ListTags")
    assert replace(again, target=first.target) == first
    verdicts = [RULE.decide(one, NOW) for one in (again, first)]
    assert replace(verdicts[0], evidence=()) == replace(verdicts[1], evidence=())
    assert {*verdicts[1].evidence} < {*verdicts[0].evidence}


def test_looking_again_asks_each_component_for_its_tags_as_they_are_now(seed: Seed, aws: Aws) -> None:
    host(seed, "churn")
    for name in ("a", "b"):
        seed.component(name, "churn")
        seed.publish("Invocations", InferenceComponentName=name)
    seed.box.clear_calls()
    (first,) = RULE.find(aws, NOW)
    in_bulk = seed.box.calls()

    again = not_none(RULE.look(aws, first.target, NOW))

    assert sorted((one.name, one.kind) for one in again.takes_along) == [
        ("a", "inference-component"),
        ("b", "inference-component"),
    ]
    assert all(one.tags == Value({}, "sagemaker:ListTags") for one in again.takes_along)
    assert [one.created for one in again.takes_along] == [NOW - 30 * DAY] * 2
    assert "sagemaker:ListTags" not in in_bulk
    assert in_bulk["tag:GetResources"] == 2  # of all endpoints, and of the components of the idle one


def test_tags_of_components_that_cannot_be_read_keep_their_endpoint_as_unknown(seed: Seed, aws: Aws) -> None:
    host(seed, "churn")
    seed.component("ranker", "churn")
    seed.publish("Invocations", InferenceComponentName="ranker")
    seed.box.fault("tag", "GetResources", "deny", times=0, match="inference-component")

    unknown(verdict(aws), "it would take along ranker, and its tags could not be read")


def test_looking_again_at_what_is_gone_and_in_vain(seed: Seed, aws: Aws) -> None:
    seed.endpoint("churn")
    (first,) = RULE.find(aws, NOW)
    seed.sagemaker.delete_endpoint(EndpointName="churn")
    assert RULE.look(aws, first.target, NOW) is None

    seed.box.fault("sagemaker", "DescribeEndpoint", "deny", times=0)
    with pytest.raises(ReadError, match="AccessDenied"):
        RULE.look(aws, first.target, NOW)


# --- what it costs ------------------------------------------------------------------------------


def test_one_call_for_each_idle_endpoint_and_few_for_the_account(seed: Seed, aws: Aws) -> None:
    """Its configuration is its own: another endpoint with the same costs no call."""
    for number in range(120):
        seed.serve(f"e{number:03}", values=QUIET if number < 15 else one_request(HOUR))
    with seed.box.at(NOW - 30 * DAY):
        seed.sagemaker.create_endpoint(EndpointName="twin", EndpointConfigName="e000")
    seed.requests("twin")
    seed.box.clear_calls()

    done = sweep_once(RULE, aws)

    assert (done.found, done.kept, done.unknown) == (16, 105, 0)
    calls = seed.box.calls()
    assert calls.pop("sagemaker:DescribeEndpointConfig") == 15
    assert calls.pop("pricing:GetProducts") < 10
    tags = calls.pop("tag:GetResources")
    assert tags <= 2
    assert calls == {
        "sagemaker:ListEndpoints": 2,
        "sagemaker:Search": 2,
        "sagemaker:ListInferenceComponents": 1,
        "sagemaker:ListMonitoringSchedules": 1,
        "cloudwatch:ListMetrics": 2,
        "cloudwatch:GetMetricData": 2,  # the window, and the history of the idle ones
    }


def test_a_late_search_finds_nothing_that_is_gone_and_misses_no_keep_tag(seed: Seed, aws: Aws) -> None:
    """Its index has the deleted endpoint, and has neither the tag nor one of the rows."""
    for name in ("idle", "gone", "kept", "missing"):
        seed.serve(name, values=QUIET)
    seed.box.freeze_search("missing")
    sagemaker = aws.armed().sagemaker
    sagemaker.delete_endpoint(EndpointName="gone")
    arn = sagemaker.describe_endpoint(EndpointName="kept")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "janitor:keep", "Value": "true"}])

    done = sweep_once(RULE, aws)

    judged = {one.target.name: isinstance(one.verdict, Finding) for one in done.results}
    assert {name for name, found in judged.items() if found} == {"idle", "missing"}
    assert seed.box.calls()["sagemaker:Search"] >= 1
