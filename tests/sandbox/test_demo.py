"""The demo account is what it says it is: measured over HTTP, without a line of the janitor's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import batched
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import boto3
import pytest

from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import history, rows
from ml_janitor_sandbox.demo.notebooks import Notebook
from ml_janitor_sandbox.server import Sandbox

REGION = "us-east-1"
HOURS = 730
"""A month, as AWS's own calculator counts."""

NOW = datetime.fromisoformat("2026-10-06T03:00:00Z")
WEEK_AGO = NOW - timedelta(days=7)

HUNG = "llm-pretrain-7b-0924"

type Client = Callable[[str], Any]


class Account(NamedTuple):
    """
    The demo account: how to control it, and what seeding took of both sides' processor time.

    Also what time it was there then, and what had been called.
    """

    control: Control
    seconds: float
    now: datetime
    calls: dict[str, int]

    @classmethod
    def seeded(cls, control: Control) -> Account:
        """Forget everything and make it anew."""
        control.reset()
        started = process_time()
        demo.seed(control.url)
        return cls(control, process_time() - started, control.clock(), control.calls())


@pytest.fixture(scope="module")
def account(_sandbox: Sandbox) -> Account:
    """Seeded once for all tests here, which only read it."""
    return Account.seeded(Control(_sandbox.url))


@pytest.fixture
def client(account: Account) -> Client:
    """Clients of the demo account."""
    return cache(partial(boto3.client, region_name=REGION, endpoint_url=account.control.url))


def pages(client: Any, operation: str, member: str, **params: Any) -> list[dict[str, Any]]:
    return [one for page in client.get_paginator(operation).paginate(**params) for one in page[member]]


def names(facts: tuple[demo.Known, ...], detector: str, kind: str = "") -> list[str]:
    return [one.name for one in facts if one.detector == detector and f":{kind}" in one.arn]


def prices(client: Client, component: str) -> dict[str, float]:
    wanted = {"regionCode": REGION, "productFamily": "ML Instance", "platoinstancetype": component}
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()]
    listed = pages(
        client("pricing"), "get_products", "PriceList", ServiceCode="AmazonSageMaker", Filters=filters
    )
    found: dict[str, float] = {}
    for text in listed:
        product = json.loads(str(text))
        (term,) = product["terms"]["OnDemand"].values()
        (dimension,) = term["priceDimensions"].values()
        found[product["product"]["attributes"]["instanceName"]] = float(dimension["pricePerUnit"]["USD"])
    return found


def silent(client: Client, kind: str, prefix: str) -> list[timedelta]:
    """For how long each log stream of jobs of a *kind* that begins with *prefix* has been silent."""
    streams = pages(
        client("logs"),
        "describe_log_streams",
        "logStreams",
        logGroupName=f"/aws/sagemaker/{kind}",
        logStreamNamePrefix=prefix,
    )
    return [NOW - datetime.fromtimestamp(one["lastEventTimestamp"] / 1000, NOW.tzinfo) for one in streams]


def variants(client: Client, endpoint: str) -> Iterator[tuple[str, str | None, int]]:
    """Name, instance type and number of instances of every variant that stands now, shadows included."""
    sagemaker = client("sagemaker")
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    for part in ("ProductionVariants", "ShadowProductionVariants"):
        types = {one["VariantName"]: one.get("InstanceType") for one in config.get(part, [])}
        for one in described.get(part, []):
            yield one["VariantName"], types[one["VariantName"]], one.get("CurrentInstanceCount", 0)


def test_the_demo_is_seeded_quickly(account: Account) -> None:
    assert account.seconds < 10, "three to five on most machines: something is read or made many times over"


def test_it_is_tuesday_night_and_nothing_was_called_yet(account: Account) -> None:
    assert account.now == NOW == demo.NOW
    assert account.calls == {}


def test_idle_endpoints_cost_9200_dollars_a_month(client: Client) -> None:
    hourly = prices(client, "Hosting")
    wasted = names(demo.WASTE, "idle-endpoints")
    stand = [(kind, count) for name in wasted for _, kind, count in variants(client, name)]
    assert all(count for _, count in stand)
    known = sum(hourly[kind] * count * HOURS for kind, count in stand if kind in hourly)
    assert known == pytest.approx(9200, rel=0.01)
    assert [kind for kind, _ in stand if kind not in hourly] == ["ml.inf1.xlarge"]
    assert {"ml.g5.xlarge", "ml.m5.4xlarge"} <= {kind for kind, _ in stand}


def test_notebooks_left_on_cost_4800_dollars_a_month(client: Client) -> None:
    hourly, sagemaker = prices(client, "Notebook"), client("sagemaker")
    wasted = names(demo.WASTE, "idle-notebooks")
    left_on = [sagemaker.describe_notebook_instance(NotebookInstanceName=name) for name in wasted]
    assert {one["NotebookInstanceStatus"] for one in left_on} == {"InService"}
    assert sum(hourly[one["InstanceType"]] * HOURS for one in left_on) == pytest.approx(4800, rel=0.01)
    assert {"ml.g5.xlarge", "ml.m5.4xlarge"} <= {one["InstanceType"] for one in left_on}


def test_the_job_that_started_it_all(client: Client) -> None:
    assert names(demo.WASTE, "hung-training-jobs", "training-job")[0] == HUNG
    job = client("sagemaker").describe_training_job(TrainingJobName=HUNG)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Training")
    assert NOW - job["TrainingStartTime"] == timedelta(hours=264)
    assert job["ResourceConfig"]["InstanceType"] == "ml.p3.8xlarge"
    assert job["ResourceConfig"]["InstanceCount"] == 4
    quiet = silent(client, "TrainingJobs", f"{HUNG}/algo-")
    assert len(quiet) == 4
    assert timedelta(hours=249) < min(quiet) < timedelta(hours=251)


@pytest.mark.parametrize(
    ("metric", "full", "trembles"), [("GPUUtilization", 400, 0.1), ("CPUUtilization", 412, 4)]
)
def test_every_host_of_that_job_spins(client: Client, metric: str, full: float, trembles: float) -> None:
    for host in range(1, 5):
        values = readings(
            client, "/aws/sagemaker/TrainingJobs", metric, "Average", 300, Host=f"{HUNG}/algo-{host}"
        )
        assert len(values) == 7 * 24 * 12
        assert max(values) - min(values) < trembles
        assert values[-1] == pytest.approx(full, abs=trembles)


def test_that_job_saved_its_last_checkpoint_before_it_fell_silent(client: Client) -> None:
    saved = client("s3").list_objects_v2(
        Bucket="meridian-ml-checkpoints", Prefix=f"foundation-models/{HUNG}/"
    )["Contents"]
    assert len(saved) == 6
    assert min(NOW - one["LastModified"] for one in saved) > timedelta(hours=251)


def readings(
    client: Client, namespace: str, metric: str, stat: str, period: int, **dimensions: str
) -> list[float]:
    """The last week of one metric."""
    about = {
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": about, "Period": period, "Stat": stat}}],
        StartTime=WEEK_AGO,
        EndTime=NOW,
        ScanBy="TimestampAscending",
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    return values


def requests(client: Client, endpoint: str) -> dict[str, list[float]]:
    """The hourly requests of the last week, of every variant and component by its name."""
    found = {
        name: readings(client, "AWS/SageMaker", metric, "Sum", 3600, EndpointName=endpoint, VariantName=name)
        for name, _, _ in variants(client, endpoint)
        for metric in [metric_of(client, endpoint)]
    }
    listed = client("sagemaker").list_inference_components(EndpointNameEquals=endpoint)
    for name in [one["InferenceComponentName"] for one in listed["InferenceComponents"]]:
        about = ("AWS/SageMaker", "Invocations", "Sum", 3600)
        found[name] = readings(client, *about, InferenceComponentName=name)
    return found


def metric_of(client: Client, endpoint: str) -> str:
    described = client("sagemaker").describe_endpoint(EndpointName=endpoint)
    return "InvocationsProcessed" if "AsyncInferenceConfig" in described else "Invocations"


@pytest.mark.parametrize("fact", [one for one in demo.WASTE if one.detector == "idle-endpoints"])
def test_idle_endpoints_are_old_running_and_uncalled(client: Client, fact: demo.Known) -> None:
    described = client("sagemaker").describe_endpoint(EndpointName=fact.name)
    assert described["EndpointStatus"] == "InService"
    assert max(described["CreationTime"], described["LastModifiedTime"]) < WEEK_AGO
    series = [values for values in requests(client, fact.name).values() if values]
    assert not any(map(sum, series))
    assert all(len(values) == 7 * 24 for values in series)
    assert bool(series) == (fact.confidence == "proven")
    for name, _, _ in variants(client, fact.name):
        about = ("/aws/sagemaker/Endpoints", "CPUUtilization", "Average", 3600)
        assert len(readings(client, *about, EndpointName=fact.name, VariantName=name)) == 7 * 24


def test_the_unknown_endpoint_publishes_nothing(client: Client) -> None:
    (fact,) = (one for one in demo.UNKNOWN if one.detector == "idle-endpoints")
    assert requests(client, fact.name) == {"AllTraffic": []}
    where = [{"Name": "EndpointName", "Value": fact.name}]
    assert pages(client("cloudwatch"), "list_metrics", "Metrics", Dimensions=where) == []


@pytest.mark.parametrize(
    ("endpoint", "quiet", "busy"),
    [
        ("checkout-fraud-scoring", "baseline", "challenger"),
        ("search-ranker-next", "current", "candidate"),
        ("llm-gateway", "llm-gateway-reranker", "llm-gateway-llama-8b"),
        ("document-ocr", None, "AllTraffic"),
        ("weekly-assortment-scoring", None, "AllTraffic"),
    ],
)
def test_seemingly_idle_endpoints_work(client: Client, endpoint: str, quiet: str | None, busy: str) -> None:
    assert endpoint in names(demo.LOOKALIKES, "idle-endpoints")
    counted = {name: sum(values) for name, values in requests(client, endpoint).items()}
    assert counted[busy] > 0
    assert quiet is None or counted[quiet] == 0


@pytest.mark.parametrize(
    ("listing", "member", "arn", "detector"),
    [
        ("list_endpoints", "Endpoints", "EndpointArn", "idle-endpoints"),
        ("list_notebook_instances", "NotebookInstances", "NotebookInstanceArn", "idle-notebooks"),
        ("list_training_jobs", "TrainingJobSummaries", "TrainingJobArn", "hung-training-jobs"),
    ],
)
def test_most_resources_are_sound(client: Client, listing: str, member: str, arn: str, detector: str) -> None:
    everything = {one[arn] for one in pages(client("sagemaker"), listing, member)}
    kind = min(everything).split(":")[5].split("/")[0]
    wasteful, alike = (
        {one.arn for one in facts if one.detector == detector and f":{kind}/" in one.arn}
        for facts in (demo.WASTE, demo.LOOKALIKES)
    )
    assert wasteful < everything
    assert alike < everything
    assert len(everything - wasteful) > len(wasteful)


def test_a_dozen_things_look_wasteful_and_are_not() -> None:
    facts = (*demo.WASTE, *demo.LOOKALIKES, *demo.UNKNOWN)
    assert len(demo.LOOKALIKES) >= 12
    assert len({(one.detector, one.arn) for one in facts}) == len(facts)
    assert all(one.why for one in facts)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('instnace = "ml.m5.xlarge"', "eda.instnace"),
        ('worked = "9 hours"', "eda.worked"),
        ('age = "old"', "eda.age"),
        ('project = "home-fed"', "eda.project"),
        ('labels = "prod"', "'prod' is no set of labels, in eda"),
        ('kind = "notebook"', "'notebook' is no kind, in eda"),
    ],
)
def test_a_mistake_in_a_table_is_told_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    right = {"instance": '"ml.m5.xlarge"', "age": "3", "worked": '"9h"', "project": '"home-feed"'}
    changed = right | dict([wrong.split(" = ")])
    row = ", ".join(f"{key} = {value}" for key, value in changed.items())
    (tmp_path / "notebooks.toml").write_text(f"[left_on]\neda = {{{row}}}\n")
    monkeypatch.setattr(rows, "ACCOUNT", tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)):
        rows.load("notebooks.toml", Notebook)


def test_a_log_index_lags_behind_a_notebook_in_use(client: Client) -> None:
    group, stream = "/aws/sagemaker/NotebookInstances", "feature-store-backfill/jupyter.log"
    (event,) = client("logs").get_log_events(logGroupName=group, logStreamName=stream, limit=1)["events"]
    assert NOW.timestamp() - event["timestamp"] / 1000 < timedelta(minutes=20).total_seconds()
    (listed,) = silent(client, "NotebookInstances", stream)
    assert listed > timedelta(hours=20)


def test_somebody_opened_a_notebook_an_hour_ago(client: Client) -> None:
    events = client("cloudtrail").lookup_events(
        LookupAttributes=[
            {"AttributeKey": "EventName", "AttributeValue": "CreatePresignedNotebookInstanceUrl"}
        ]
    )["Events"]
    recent = [one for one in events if NOW - one["EventTime"] == timedelta(hours=1)]
    assert [(one["Username"], one["Resources"][0]["ResourceName"]) for one in recent] == [
        ("aisha.bello", "prompt-evaluation")
    ]


def test_most_things_say_whose_they_are(client: Client) -> None:
    mappings = pages(
        client("resourcegroupstaggingapi"),
        "get_resources",
        "ResourceTagMappingList",
        ResourceTypeFilters=["sagemaker:endpoint", "sagemaker:notebook-instance", "sagemaker:training-job"],
    )
    tags = [{tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in mappings]
    owners = [one["owner"] for one in tags if "owner" in one]
    assert all(owner.endswith("@example.com") for owner in owners)
    assert len(set(owners)) >= 12
    assert 3 <= len(tags) - len(owners) < len(tags) / 10
    assert sum("aws:cloudformation:stack-name" in one for one in tags) >= 2
    assert len({one["team"] for one in tags}) >= 6


def test_exactly_the_untagged_lack_a_required_tag(client: Client) -> None:
    required = {"team", "project", "environment", "cost-center", "owner", "managed-by"}
    untagged = {one.arn for one in demo.WASTE if one.detector == "untagged-resources"}
    tagged = {
        one["ResourceARN"]: {tag["Key"] for tag in one["Tags"] if tag["Value"].strip()}
        for one in pages(client("resourcegroupstaggingapi"), "get_resources", "ResourceTagMappingList")
    }
    assert {arn for arn, keys in tagged.items() if not required <= keys} == untagged & tagged.keys()
    never = {name.rpartition("/")[2].rpartition(":")[2] for name in untagged - tagged.keys()}
    assert never == {
        "copy-of-moderation-retrain",
        "sagemaker-us-east-1-123456789012",
        "sagemaker-xgboost-2026-08-11-02-13-44",
    }
    assert len(tagged) > 4 * len(untagged)


def test_surplus_copies_are_the_bytes_that_a_model_uses(client: Client) -> None:
    s3 = client("s3")

    def content(key: str) -> bytes:
        body: bytes = s3.get_object(Bucket="meridian-ml-models", Key=key)["Body"].read()
        return body

    model = client("sagemaker").describe_model(ModelName="search-ranker")["PrimaryContainer"]["ModelDataUrl"]
    used = content(model.removeprefix("s3://meridian-ml-models/"))
    assert len(used) > 1024**2
    copies = [one.partition("/")[2] for one in names(demo.WASTE, "duplicate-artifacts")]
    assert len(copies) == 2
    assert all(content(key) == used for key in copies)
    other = content("search-relevance/ranker-2026-06/model.tar.gz")
    assert len(other) == len(used)
    assert other != used


def test_jobs_of_other_kinds_are_there(client: Client) -> None:
    sagemaker = client("sagemaker")
    (hung,) = names(demo.WASTE, "hung-training-jobs", "processing-job")
    (quiet,) = silent(client, "ProcessingJobs", f"{hung}/algo-")
    assert quiet > timedelta(hours=29)
    (tuner,) = pages(sagemaker, "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries")
    children = pages(
        sagemaker,
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "TrainingJobSummaries",
        HyperParameterTuningJobName=tuner["HyperParameterTuningJobName"],
    )
    assert [one["TrainingJobStatus"] for one in children] == ["InProgress"] * 3
    (hung,) = {one["TrainingJobName"] for one in children} & set(names(demo.WASTE, "hung-training-jobs"))
    (quiet,) = silent(client, "TrainingJobs", f"{hung}/algo-")
    assert quiet > timedelta(hours=8)
    (warm,) = pages(sagemaker, "list_training_jobs", "TrainingJobSummaries", WarmPoolStatusEquals="Available")
    described = sagemaker.describe_training_job(TrainingJobName=warm["TrainingJobName"])
    kept = timedelta(seconds=described["ResourceConfig"]["KeepAlivePeriodInSeconds"])
    assert kept <= timedelta(hours=6)
    assert described["TrainingEndTime"] + kept > NOW
    assert warm["TrainingJobName"] in names(demo.WASTE, "hung-training-jobs")


def test_a_silent_transform_job_works(client: Client) -> None:
    (job,) = names(demo.LOOKALIKES, "hung-training-jobs", "transform-job")
    (quiet,) = silent(client, "TransformJobs", f"{job}/")
    assert quiet > timedelta(hours=7)
    about = {"Namespace": "/aws/sagemaker/TransformJobs", "MetricName": "GPUUtilization"}
    listed = pages(client("cloudwatch"), "list_metrics", "Metrics", **about)
    hosts = [one["Dimensions"][0]["Value"] for one in listed]
    (host,) = [one for one in hosts if one.startswith(f"{job}/")]
    values = readings(client, about["Namespace"], about["MetricName"], "Average", 300, Host=host)
    assert max(values) - min(values) > 10


def test_studio_apps_are_named_as_they_are(client: Client) -> None:
    facts = (*demo.WASTE, *demo.LOOKALIKES, *demo.UNKNOWN)
    known = {one.arn for one in facts if one.detector == "idle-studio-apps"}
    sagemaker = client("sagemaker")
    apps = pages(sagemaker, "list_apps", "Apps")
    keys = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
    described = [sagemaker.describe_app(**{key: one[key] for key in keys if one.get(key)}) for one in apps]
    assert {arn.lower() for arn in known} < {one["AppArn"].lower() for one in described}
    assert {one["Status"] for one in described} == {"InService", "Deleted"}
    wasteful = names(demo.WASTE, "idle-studio-apps")
    assert 0 < len(wasteful) < len(described) / 2
    seen = [
        NOW - one["LastUserActivityTimestamp"]
        for one in described
        if one["AppType"] != "Canvas" and one["Status"] == "InService"
        if one["LastUserActivityTimestamp"] != one["LastHealthCheckTimestamp"]
    ]
    assert any(age > timedelta(days=3) for age in seen)
    assert any(age < timedelta(hours=1) for age in seen)
    assert len(seen) < len(described) - 4


def test_canvas_says_how_long_nobody_was_there(client: Client) -> None:
    metrics = pages(
        client("cloudwatch"), "list_metrics", "Metrics", Namespace="/aws/sagemaker/Canvas/AppActivity"
    )
    latest = []
    for metric in metrics:
        where = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        about = metric["Namespace"], metric["MetricName"]
        latest.append(readings(client, *about, "Maximum", 300, **where)[-1])
    assert [round(seconds / 60, -1) for seconds in sorted(latest)] == [40, 560]


def snapshot(client: Client) -> dict[str, Any]:
    """All that can be read, but for identifiers that are random on AWS too."""
    sagemaker = client("sagemaker")
    endpoints = [one["EndpointName"] for one in pages(sagemaker, "list_endpoints", "Endpoints")]
    jobs = [one["TrainingJobName"] for one in pages(sagemaker, "list_training_jobs", "TrainingJobSummaries")]
    groups = ["/aws/sagemaker/NotebookInstances", "/aws/sagemaker/TrainingJobs"]
    described = [sagemaker.describe_endpoint(EndpointName=name) for name in endpoints]
    described += [sagemaker.describe_training_job(TrainingJobName=name) for name in jobs]
    return {
        "described": [{k: v for k, v in one.items() if k != "ResponseMetadata"} for one in described],
        "notebooks": pages(sagemaker, "list_notebook_instances", "NotebookInstances"),
        "apps": pages(sagemaker, "list_apps", "Apps"),
        "tags": pages(client("resourcegroupstaggingapi"), "get_resources", "ResourceTagMappingList"),
        "streams": [
            {k: v for k, v in one.items() if k != "uploadSequenceToken"}
            for group in groups
            for one in pages(client("logs"), "describe_log_streams", "logStreams", logGroupName=group)
        ],
        "objects": [
            one
            for bucket in client("s3").list_buckets()["Buckets"]
            for one in pages(client("s3"), "list_objects_v2", "Contents", Bucket=bucket["Name"])
        ],
        "events": [
            (one["EventTime"], one["EventName"], one["Username"], one["Resources"])
            for one in pages(client("cloudtrail"), "lookup_events", "Events")
        ],
        "metrics": data(client),
    }


def data(client: Client) -> list[list[float]]:
    """Every value of every metric, an average an hour."""
    metrics = pages(client("cloudwatch"), "list_metrics", "Metrics")
    queries = [
        {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Average"}}
        for number, metric in enumerate(metrics)
    ]
    return [
        one["Values"]
        for batch in batched(queries, 500)
        for one in pages(
            client("cloudwatch"),
            "get_metric_data",
            "MetricDataResults",
            MetricDataQueries=list(batch),
            StartTime=NOW - timedelta(days=50),
            EndTime=NOW,
        )
    ]


def test_restoring_and_seeding_again_give_the_same_account(account: Account, client: Client) -> None:
    first = snapshot(client)
    account.control.keep("demo")
    account.control.reset()
    assert account.control.restore("demo") == {}
    assert snapshot(client) == first

    history.cache_clear()
    Account.seeded(account.control)
    assert snapshot(client) == first
