"""oversized-endpoints over the sandbox: which metrics, statistics, units and pages decide."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT
from endpoint_seed import DAY, HOUR
from loaded_endpoints import LATER, WINDOW, Loads, told
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Result
from ml_janitor.detectors.oversized_endpoints import OversizedEndpoints
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from verdicts import by_name, sweep_once

FITS = ("kept", "its size fits its peaks")
SMALLER = ("found", "blue needs 1 ml.c5.xlarge instead of 1 ml.c5.2xlarge")
GPU: dict[str, Any] = {"GPUUtilization": 20.0, "GPUMemoryUtilization": 20.0}
NIGHTS = [at % 24 < 10 for at in range(WINDOW)]
RESTS = [0.0 if night else 9.0 for night in NIGHTS]
GAPS = [None if night else 9.0 for night in NIGHTS]
ALWAYS = [9.0] * WINDOW


@pytest.fixture
def loads(box: Control, aws: Aws) -> Loads:
    return Loads(box, aws)


def swept(aws: Aws) -> dict[str, Result]:
    """By the name of the endpoint."""
    return by_name(sweep_once(OversizedEndpoints(), aws, LATER))


def test_the_peak_of_each_metric_in_its_unit_decides(loads: Loads, aws: Aws, box: Control) -> None:
    """A spike lasts a minute: the mean of its hour would still fit an ml.c5.xlarge."""
    spike = {"CPUUtilization": 300.0}
    expected, given = dict[str, tuple[str, str]](), dict[str, Any]()
    for name, verdict, given in (
        ("calm", SMALLER, {}),
        ("cpu", FITS, {"spike": spike}),
        ("memory", FITS, {"spike": {"MemoryUtilization": 40.0}}),
        ("in-flight", FITS, {"spike": {"ConcurrentRequestsPerModel": 5.0}}),
        ("first-hour", FITS, {"spike": spike, "at": WINDOW * HOUR}),
        ("before", SMALLER, {"spike": spike, "at": (WINDOW + 1) * HOUR}),
        ("now", SMALLER, {"spike": spike, "at": timedelta()}),
        ("hole", ("unknown", "MemoryUtilization has datapoints in 335"), {"MemoryUtilization": [22.0] * 335}),
        ("dark", ("unknown", "CPUUtilization has datapoints in 0 of 336 hours"), {"CPUUtilization": []}),
        ("idle", FITS, {"Invocations": 0.0}),
        ("unmeasured", SMALLER, {"Invocations": [], "ConcurrentRequestsPerModel": []}),
        ("rests", ("found", "only for a part of the week"), {"Invocations": RESTS, "CPUUtilization": 480.0}),
        ("gaps", FITS, {"Invocations": GAPS, "CPUUtilization": 480.0}),
    ):  # fmt: skip
        expected[name] = verdict
        loads.made(name)
        loads.busy(name, **given)
    for name, verdict, gpu in (
        ("gpu", ("found", "blue needs 1 ml.g5.xlarge instead of 1 ml.g5.2xlarge"), {}),
        ("gpu-memory", FITS, {"spike": {"GPUMemoryUtilization": 90.0}}),
        ("gpu-peak", FITS, {"spike": {"GPUUtilization": 90.0}}),
        ("gpu-hole", ("unknown", "GPUUtilization has datapoints in 0"), {"GPUUtilization": []}),
    ):
        expected[name] = verdict
        loads.made(name, kind="ml.g5.2xlarge")
        loads.busy(name, **GPU | gpu)
    expected["young"] = "kept", "judged from 14 days on"
    loads.made("young", age=10 * DAY)
    box.clear_calls()

    found = swept(aws)

    assert told(found, expected) == expected
    calm = found["calm"]
    assert not_none(of_type(Finding, calm.verdict).cost).monthly_usd == 730 * Decimal("0.204")
    assert (calm.target.account, calm.target.region) == (ACCOUNT, aws.region)
    calls = box.calls()
    assert calls["sagemaker:DescribeEndpointConfig"] == len(expected) - 1
    assert "sagemaker:DescribeEndpoint" not in calls  # Search has all of them
    assert calls["cloudwatch:GetMetricData"] == 1


def test_all_pages_of_what_scales_hosts_and_recommends_are_read(loads: Loads, aws: Aws, box: Control) -> None:
    """With one entry on a page: the first has as much to say as the last."""
    scales = ("kept", "its size fits")
    expected = dict[str, tuple[str, str]]()
    for name, low, high, verdict in (("a", 1, 4, scales), ("b", 1, 1, SMALLER), ("c", 1, 3, scales)):
        expected[name] = verdict
        loads.made(name)
        loads.busy(name)
        loads.scaled_between(name, low, high)
    for name, one, other, verdict in (
        ("both-rest", RESTS, RESTS, ("found", "blue needs 0 to 1 ml.c5.2xlarge")),
        ("one-rests", ALWAYS, RESTS, FITS),
        ("other-rests", RESTS, ALWAYS, FITS),
        ("one-gaps", RESTS, GAPS, FITS),
        ("one-dark", RESTS, [], FITS),
    ):
        expected[name] = verdict
        loads.hosted(name, one=one, other=other)
    for number, (model, usd) in enumerate((("model", 0.1), ("with-image", 0.2), ("model", 0.3))):
        box.set_clock(box.clock() + HOUR)
        loads.recommended(f"test-{number}", model, ("ml.c5.4xlarge", usd + 1), ("ml.c5.large", usd))
    box.set_pages(1)

    found = swept(aws)

    assert told(found, expected) == expected
    evidence = {one.signal: one.value for one in found["b"].verdict.evidence}
    assert (
        evidence["Inference Recommender"]
        == "model: 2 ml.c5.large, $0.30 an hour, up to 900 requests a minute"
    )


def test_another_region_has_its_own_endpoints_and_prices(loads: Loads, aws: Aws, box: Control) -> None:
    """The same name, with smaller peaks and a higher price."""
    there = aws.at("eu-west-1")
    for where, seed in ((aws, loads), (there, Loads(box, there))):
        seed.made("api")
        seed.busy("api", region=where.region, CPUUtilization=480.0 if where is aws else 60.0)

    assert told(swept(aws), {"api": FITS}) == {"api": FITS}
    abroad = swept(there)["api"]

    assert abroad.target.arn == f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/api"
    assert not_none(of_type(Finding, abroad.verdict).cost).monthly_usd == 730 * Decimal("0.2278")
