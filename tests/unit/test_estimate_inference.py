"""`estimate inference --endpoint`: the same numbers as serverless-candidates, and what is not known."""

from typing import Any, cast

import pytest

from conftest import NOW
from ml_janitor.aws.endpoints import LoadedEndpoint
from ml_janitor.core.model import Absent, Finding, Signal, Unreadable, Value
from ml_janitor.detectors.serverless_candidates import ServerlessCandidates
from ml_janitor_cli import edge
from ml_janitor_cli.edge import FailedError
from ml_janitor_cli.estimate import inference
from ml_janitor_cli.estimate.estimates import Estimate
from ml_janitor_cli.estimate.inference import EndpointFacts, compare_with_serverless, endpoint_facts
from narrowing import not_none
from quiet_endpoints import hourly, quiet
from tables import cases

RULE = ServerlessCandidates()

type Answers = dict[str, Signal[dict[str, Any]]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What DescribeModel answers, by name."""
    answers: Answers = {"model": Value({})}
    monkeypatch.setattr(inference, "describe_resource", lambda _aws, _kind, name: answers[name])
    return answers


def found(candidate: LoadedEndpoint) -> EndpointFacts:
    return endpoint_facts(cast("Any", None), RULE, candidate, NOW)


def estimate(one: EndpointFacts, **also: Any) -> Estimate:
    asked: dict[str, Any] = {
        "hourly_usd": one.hourly_usd,
        "instances": [float(one.instances)],
        "latency": one.latency,
        "cold_start": one.cold_start,
        "slower": one.slower,
    }
    return compare_with_serverless(one, **asked | also)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("candidate", [quiet(), quiet(count=3), quiet(memory=1.04), quiet(at_once=93)])
def test_estimate_and_adviser_agree_on_an_endpoint(candidate: LoadedEndpoint) -> None:
    decided, one = RULE.decide(candidate, NOW), estimate(found(candidate))

    assert isinstance(decided, Finding)
    saved = (one.values["always_on_usd"] or 0) - (one.values["serverless_usd"] or 0)
    assert saved == pytest.approx(float(not_none(decided.cost).monthly_usd or 0))
    assert f"less only from {one.values['break_even_requests']:,.0f} requests" in decided.reason
    assert one.advice == "Serverless inference costs less."


@pytest.mark.usefixtures("models")
def test_without_requests_serverless_costs_nothing() -> None:
    one = estimate(found(quiet(raw={"requests": hourly(0), "ModelLatency": Absent()})))

    assert one.values["serverless_usd"] == 0
    assert one.values["always_on_usd"] == pytest.approx(0.23 * 730)
    assert one.advice.startswith("No request came in 14 days")


@cases(
    "candidate, described, why",
    (quiet(type="ml.g5.xlarge"), {}, "has accelerators"),
    (quiet(number=2), {}, "2 variants"),
    (quiet(memory=1.06), {}, "it needs 7 GB, and serverless"),
    (quiet(at_once=94), {}, "it serves 202 requests at once"),
    (quiet(slowest=41), {}, "its slowest request took 41 s"),
    (quiet(), {"VpcConfig": {}}, "its model is in a VPC"),
    (quiet(), {"PrimaryContainer": {"Mode": "MultiModel"}}, "holds several models"),
)
def test_what_serverless_cannot_do_is_said_with_what_the_endpoint_costs(
    models: Answers, candidate: LoadedEndpoint, described: dict[str, Any], why: str
) -> None:
    models["model"] = Value(described)

    one = estimate(found(candidate))

    assert one.advice.startswith("Keep the endpoint: ")
    assert why in one.advice
    assert (one.values["always_on_usd"] or 0) >= 0.23 * 730
    assert one.values["serverless_usd"] is None


@cases(
    "candidate, why",
    (quiet(description=Unreadable("DescribeEndpoint: denied")), "DescribeEndpoint: denied"),
    (quiet(status="Creating"), "its status is Creating"),
    (quiet(peaks=Unreadable("MemoryUtilization: denied")), "MemoryUtilization: denied"),
    (quiet(raw={"ModelLatency": Absent()}), "ModelLatency has no datapoint"),
)
@pytest.mark.usefixtures("models")
def test_what_cannot_be_read_is_no_estimate(candidate: LoadedEndpoint, why: str) -> None:
    with pytest.raises(FailedError, match=why):
        estimate(found(candidate))


def test_a_model_that_cannot_be_read_is_no_estimate(models: Answers) -> None:
    models["model"] = Unreadable("DescribeModel: denied")

    with pytest.raises(FailedError, match="DescribeModel: denied"):
        found(quiet())


@pytest.mark.usefixtures("models")
def test_what_is_typed_wins_over_what_was_measured() -> None:
    unread = found(quiet(peaks=Unreadable("denied")))
    typed = estimate(unread, requests=1000.0, seconds=2.0, memory=2, gb_second_usd=0.001)

    assert typed.values["serverless_usd"] == pytest.approx(1000 * 2 * 1.5 * 2 * 0.001)
    with pytest.raises(edge.CommandRefusedError, match="api cannot be compared: it is serverless"):
        found(quiet(type="", fixed="it is serverless"))
    with pytest.raises(edge.CommandRefusedError, match="give --requests and --ms"):
        compare_with_serverless(
            EndpointFacts(), hourly_usd=1.0, instances=[1.0], latency=1.0, cold_start=1.0, slower=1.0
        )
