"""An audit asks AWS once what several detectors ask alike; what failed is asked again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer, group_by_dimension
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.aws.prices import Prices
from ml_janitor_sandbox.control import Control

ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/models"


@pytest.fixture
def aws(session: boto3.Session) -> Iterator[Aws]:
    for name in ("churn", "fraud"):
        session.client("sagemaker").create_model(ModelName=name, ExecutionRoleArn=ROLE)
    with ThreadPoolExecutor(2) as pool:
        yield Aws(
            session,
            region=REGION,
            account=ACCOUNT,
            prices=Prices(lambda: session.client("pricing")),
            pool=pool,
            attempts=1,
            shared=SharedAnswers(),
        )


def asked(box: Control, operation: str) -> int:
    return box.calls().get(f"sagemaker:{operation}", 0)


def test_the_same_is_asked_once_and_something_else_is_asked(box: Control, aws: Aws) -> None:
    box.clear_calls()
    first = aws.sagemaker.describe_model(ModelName="churn")
    first["ModelName"] = "changed by who asked"
    second = aws.sagemaker.describe_model(ModelName="churn")
    other = aws.sagemaker.describe_model(ModelName="fraud")

    assert (second["ModelName"], other["ModelName"]) == ("churn", "fraud")
    assert second["CreationTime"] == first["CreationTime"]
    assert asked(box, "DescribeModel") == 2
    assert aws.at("eu-west-1").sagemaker.list_models()["Models"] == []
    assert len(aws.sagemaker.list_models()["Models"]) == 2


def test_an_acting_run_shares_and_counts_once(box: Control, session: boto3.Session) -> None:
    first, until = NOW.date() - timedelta(days=9), NOW.date()
    with open_regions(
        session, account=ACCOUNT, regions=[REGION, "eu-west-1"], attempts=1, pace=None
    ) as regions:
        box.clear_calls()
        explorers = [CostExplorer(aws.client("ce", COST_EXPLORER_REGION), max_requests=1) for aws in regions]
        answers = [one.monthly(first, until, group_by_dimension("SERVICE")) for one in explorers]
        models = [aws.at(REGION).sagemaker.list_models()["Models"] for aws in (*regions, regions[0])]

    assert answers[0] == answers[1]
    assert [one.requests for one in explorers] == [1, 0]
    assert (box.calls()["ce:GetCostAndUsage"], asked(box, "ListModels"), len(models)) == (1, 3, 3)


def test_a_failure_is_not_shared(box: Control, aws: Aws) -> None:
    box.clear_calls()
    box.fault("sagemaker", "DescribeModel", "deny", times=1)

    with pytest.raises(ClientError, match="not authorized"):
        aws.sagemaker.describe_model(ModelName="churn")

    assert aws.sagemaker.describe_model(ModelName="churn")["ModelName"] == "churn"
    assert asked(box, "DescribeModel") == 2


def test_who_may_act_sees_what_is_there_now(aws: Aws, session: boto3.Session) -> None:
    aws.sagemaker.describe_model(ModelName="churn")
    session.client("sagemaker").delete_model(ModelName="churn")

    with pytest.raises(ClientError, match="Could not find"):
        aws.armed().sagemaker.describe_model(ModelName="churn")


@pytest.mark.parametrize("fails", [False, True])
def test_who_asks_for_what_is_under_way_waits_for_it(box: Control, aws: Aws, *, fails: bool) -> None:
    """The first call is held before it is sent, until the second has been made."""
    box.clear_calls()
    begun, go_on = Event(), Event()
    sent: list[str] = []

    def hold(**_: Any) -> None:
        sent.append("")
        if len(sent) == 1:
            begun.set()
            assert go_on.wait(20)
            if fails:
                raise RuntimeError("the first one broke")

    aws.sagemaker.meta.events.register("before-sign", hold)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: aws.sagemaker.describe_model(ModelName="churn"))
        assert begun.wait(20)
        second = pool.submit(lambda: aws.sagemaker.describe_model(ModelName="churn"))
        waiting = not second.done()
        go_on.set()
        assert second.result(20)["ModelName"] == "churn"
        if fails:
            with pytest.raises(RuntimeError, match="broke"):
                first.result(20)
        else:
            assert first.result(20)["ModelName"] == "churn"

    assert waiting
    assert len(sent) == 1 + fails
    assert asked(box, "DescribeModel") == 1


def test_an_answer_is_read_again_by_a_run_that_shares_nothing(aws: Aws, session: boto3.Session) -> None:
    read = iter(range(4))
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: session.client("pricing"))
        alone = Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool)

        assert [aws.once("jobs", lambda: next(read)) for _ in range(2)] == [0, 0]
        assert [alone.once("jobs", lambda: next(read)) for _ in range(2)] == [1, 2]
    with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=1, pace=None) as (acting,):
        assert acting.once("jobs", lambda: next(read)) == 3
