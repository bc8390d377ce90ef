"""serverless-candidates over the sandbox: which metrics, statistics, units and pages decide."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT
from endpoint_seed import DAY, HOUR, ROLE, SAGEMAKER
from loaded_endpoints import LATER, WINDOW, Loads, told
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, NotRead, Value
from ml_janitor.core.results import Result
from ml_janitor.detectors.serverless_candidates import ServerlessCandidates
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from verdicts import by_name, shown, sweep_once

QUIET = {"CPUUtilization": 5.0, "MemoryUtilization": 10.0, "Invocations": 100.0, "ModelLatency": 0.2e6}
"""Of an ml.m5.xlarge: 1.6 of its 16 GB, and 100 requests an hour of 0.2 seconds, told in microseconds."""
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
LESS = ("found", "73,000 requests a month of 0.2 s would cost")


class Quiet(Loads):
    """Endpoints with few requests."""

    def made(self, name: str, **more: Any) -> None:
        super().made(name, **{"kind": "ml.m5.xlarge", **more})

    def busy(self, name: str, **more: Any) -> None:
        super().busy(name, **{**QUIET, **more})

    def started(self, endpoint: str, seconds: float, ago: timedelta, *, region: str = "us-east-1") -> None:
        """A cold start of a serverless endpoint, and a faster one in the same hour."""
        series = {
            "metric": "ModelSetupTime",
            "dimensions": {"EndpointName": endpoint, "VariantName": "v"},
            "start": LATER - ago,
            "step": 60,
            "values": [seconds * 1e6, 1e6],
        }
        self.box.metrics(SAGEMAKER, [series], region=region)

    def model(self, name: str, **members: Any) -> str:
        container = {"Image": "registry/serving:1"}
        self.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, **{"PrimaryContainer": container} | members
        )
        return name


@pytest.fixture
def quiet(box: Control, aws: Aws) -> Quiet:
    return Quiet(box, aws)


def swept(aws: Aws) -> dict[str, Result]:
    return by_name(sweep_once(ServerlessCandidates(), aws, LATER))


def test_sums_of_requests_and_peaks_of_memory_decide(quiet: Quiet, aws: Aws, box: Control) -> None:
    """A spike lasts a minute and comes on top of its hour; that of the latency doubles the mean."""
    expected, given = dict[str, tuple[str, str]](), dict[str, Any]()
    for name, verdict, given in (
        ("calm", LESS, {}),
        ("latency", ("found", "of 0.4 s would cost"), {"ModelLatency": 0.4e6}),
        ("slowest", ("found", "of 0.201 s would cost"), {"spike": {"ModelLatency": 40e6}}),
        ("slower", ("kept", "its slowest request took 41 s"), {"spike": {"ModelLatency": 41e6}}),
        ("requests", ("found", "146,000 requests a month"), {"spike": {"Invocations": WINDOW * 100.0}}),
        ("before", LESS, {"spike": {"ModelLatency": 41e6}, "at": (WINDOW + 1) * HOUR}),
        ("now", LESS, {"spike": {"Invocations": 5.0}, "at": timedelta()}),
        ("six", ("found", "with 6 GB"), {"MemoryUtilization": 26.0}),
        ("memory", ("kept", "it needs 7 GB"), {"spike": {"MemoryUtilization": 28.0}}),
        ("in-flight", ("kept", "202 requests at once"), {"spike": {"ConcurrentRequestsPerModel": 94.0}}),
        ("hole", ("unknown", "Invocations has no data for some"), {"Invocations": [100.0] * 335}),
        ("blind", ("unknown", "ConcurrentRequestsPerModel has no data"), {"ConcurrentRequestsPerModel": []}),
        ("untimed", ("unknown", "ModelLatency has no datapoint, although"), {"ModelLatency": []}),
        ("silent", ("kept", "no request came, which"), {"Invocations": 0.0, "ModelLatency": []}),
        ("dark", ("unknown", "MemoryUtilization has datapoints in 0"), {"MemoryUtilization": []}),
    ):  # fmt: skip
        expected[name] = verdict
        quiet.made(name)
        quiet.busy(name, **given)
    for name, verdict, given in (
        ("hurried", ("kept", "10.3 s, and 2 s are allowed"), {"tags": {"janitor:latency": "2s"}}),
        ("prod", ("kept", "10.3 s, and 1 s are allowed"), {"tags": {"environment": "prod"}}),
        ("pair", ("kept", "it has 2 variants"), {"variants": ("blue", "green")}),
        ("twice", ("found", "its 2 ml.m5.xlarge costs $336"), {"count": 2}),
        ("vpc", ("kept", "its model is in a VPC"), {"model": quiet.model("vpc", VpcConfig=VPC)}),
        ("gone", ("unknown", "its model could not be read (it is gone)"), {"model": quiet.model("gone")}),
    ):  # fmt: skip
        expected[name] = verdict
        quiet.made(name, **given)
        quiet.busy(name)
    quiet.sagemaker.delete_model(ModelName="gone")
    box.clear_calls()

    found = swept(aws)

    assert told(found, expected) == expected
    calm = of_type(Finding, found["calm"].verdict)
    assert shown(calm) == {
        "status": "InService",
        "requests a month": 73_000,
        "mean time of a request": "0.2 s",
        "99 of 100 requests took": "0.2 s or less",
        "slowest request": "0.2 s",
        "memory peak": "1.6 GB",
        "requests in flight at once": 2.0,
        "cold start": "10 s, assumed",
    }
    run_ = 73_000 * Decimal("0.3") * Decimal("0.00002") * 3  # 50 % slower, with 3 GB
    assert not_none(calm.cost).monthly_usd == pytest.approx(730 * Decimal("0.23") - run_)
    assert box.calls()["sagemaker:DescribeModel"] == 10, "only where everything else speaks for it"
    assert box.calls()["cloudwatch:GetMetricData"] == 2, "the latency where it decides"


def test_the_longest_cold_start_of_the_last_two_weeks_is_taken(quiet: Quiet, aws: Aws, box: Control) -> None:
    """With one metric on a page of the listing."""
    box.set_pages(1)
    quiet.made("calm")
    quiet.busy("calm")
    for endpoint, seconds, ago in (
        ("a", 3, DAY),
        ("b", 8.5, 13 * DAY),
        ("c", 4, 2 * DAY),
        ("d", 99, 15 * DAY),
    ):
        quiet.started(endpoint, seconds, ago)
    quiet.started("d", 2, DAY)
    quiet.started("e", 70, DAY, region="eu-west-1")

    assert shown(swept(aws)["calm"])["cold start"] == "8.5 s, measured here"


def test_one_is_looked_at_alone_with_its_tags_as_they_are(quiet: Quiet, aws: Aws, box: Control) -> None:
    box.set_pages(1)
    quiet.made("new", age=DAY)  # its variants are not read yet
    for name in ("calm", "other"):
        quiet.made(name, tags={"janitor:latency": "2s"})
        quiet.busy(name)
    assert [each.model for each in ServerlessCandidates().find(aws, LATER, "new")] == [Value({})]
    one = replace(next(ServerlessCandidates().find(aws, LATER, "other")).target, tags=NotRead())
    box.clear_calls()

    looked = not_none(ServerlessCandidates().look(aws, one, LATER))

    assert looked.target.name == "other"
    assert looked.target.tags == Value({"janitor:latency": "2s"}, "sagemaker:ListTags")
    assert box.calls()["sagemaker:ListTags"] == box.calls()["sagemaker:DescribeEndpoint"] == 1
    assert ServerlessCandidates().look(aws, replace(one, name="gone"), LATER) is None


def test_another_region_has_its_own_prices(aws: Aws, box: Control) -> None:
    there = aws.at("eu-west-1")
    seed = Quiet(box, there)
    seed.made("api")
    seed.busy("api", region="eu-west-1")

    assert swept(aws) == {}
    found = swept(there)["api"]
    assert found.target.arn == f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/api"
    assert isinstance(found.verdict, Finding)
    run_ = 73_000 * Decimal("0.3") * Decimal("0.00002234") * 3
    assert not_none(found.verdict.cost).monthly_usd == pytest.approx(730 * Decimal("0.2569") - run_)
