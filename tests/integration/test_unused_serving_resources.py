"""Unused configurations and models against the sandbox: what uses them, what faults do, what undos need."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import DAY, NOW
from ml_janitor.acting.acting import Acting
from ml_janitor.acting.after_sweep import spare_undo_resources
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, list_targets
from ml_janitor.core.model import Confidence, Finding, Value, Verdict
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.detectors.idle_endpoints import act
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.detectors.unused_serving_resources import UnusedServingResources
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.limits import ActionLimits
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from moto_corrections.sagemaker.progress import DEFAULTS
from past_jobs import word
from sagemaker_requests import ROLE, transform_request
from standin import own_signatures
from tables import cases
from verdicts import PLAIN, sweep_once

M5 = {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1, "InitialVariantWeight": 1.0}
BUCKET = "artifacts"


class Account:
    """Makes serving resources of any age, and what uses them."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.sagemaker: Any = session.client("sagemaker")
        self.s3: Any = session.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)

    def model(
        self, name: str, *, age: timedelta = 200 * DAY, key: str = "", tags: Any = (), **more: Any
    ) -> None:
        container = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/{key or name}/model.tar.gz", **more}
        with self.box.at(NOW - age):
            self.sagemaker.create_model(
                ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=list(tags)
            )

    def config(
        self,
        name: str,
        *models: str,
        age: timedelta = 200 * DAY,
        tags: Any = (),
        pools: Sequence[Any] = (),
        **more: Any,
    ) -> None:
        size = {"InstancePools": pools} if pools else M5
        variants = [{**size, "VariantName": f"v-{model}", "ModelName": model} for model in models]
        with self.box.at(NOW - age):
            self.sagemaker.create_endpoint_config(
                EndpointConfigName=name,
                ProductionVariants=variants or [{**M5, "VariantName": "host"}],
                Tags=list(tags),
                **more,
            )

    def endpoint(self, name: str, config: str, *, age: timedelta = 150 * DAY) -> None:
        with self.box.at(NOW - age):
            self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)

    def pair(self, name: str, **given: Any) -> None:
        """A model, and a configuration of the same name."""
        self.model(name, **given)
        self.config(name, name, **given)


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def swept(aws: Aws, policy: RunPolicy = PLAIN) -> Sweep:
    return sweep_once(UnusedServingResources(), aws, policy=policy)


def verdicts(done: Sweep) -> dict[str, Verdict]:
    """By kind and name: a model and a configuration may have the same."""
    return {f"{one.target.kind}/{one.target.name}": one.verdict for one in done.results}


def words(aws: Aws) -> dict[str, str]:
    done = swept(aws)
    assert done.error is None
    return {name: word(one) for name, one in verdicts(done).items()}


def why(aws: Aws, name: str) -> str:
    return verdicts(swept(aws))[name].reason


CONFIG, MODEL = "endpoint-config/churn", "model/churn"
UNUSED = {CONFIG: "found", MODEL: "found"}
USED = {CONFIG: "kept", MODEL: "kept"}


# --- what is found ----------------------------------------------------------------------------------


def test_what_nothing_uses_is_found_and_its_own_artifacts_are_counted(account: Account, aws: Aws) -> None:
    account.pair("churn")
    account.s3.put_object(Bucket=BUCKET, Key="churn/model.tar.gz", Body=b"m" * 2048)
    account.s3.put_object(Bucket=BUCKET, Key="churn/model.tar.gz.bak", Body=b"m" * 9999)

    assert words(aws) == UNUSED
    verdict = verdicts(swept(aws))[MODEL]
    shown = {one.signal: one.value for one in verdict.evidence}
    assert shown["artifacts that no other model names"] == "2 KB"
    assert not any("artifacts" in one.signal for one in verdicts(swept(aws))[CONFIG].evidence)


def test_artifacts_that_another_model_names_too_are_not_counted(account: Account, aws: Aws) -> None:
    account.model("churn", key="shared")
    account.model("young", key="shared", age=DAY)
    account.s3.put_object(Bucket=BUCKET, Key="shared/model.tar.gz", Body=b"m" * 2048)

    shown = {one.signal: one.value for one in verdicts(swept(aws))[MODEL].evidence}
    assert shown["artifacts that no other model names"] == "0 bytes"


# --- what keeps -------------------------------------------------------------------------------------


def test_an_endpoint_of_the_same_name_is_no_use(account: Account, aws: Aws) -> None:
    account.pair("churn")
    account.pair("next")
    account.endpoint("churn", "next")

    assert words(aws) == UNUSED | {"endpoint-config/next": "kept", "model/next": "kept"}
    account.sagemaker.delete_endpoint_config(EndpointConfigName="next")
    assert words(aws)[MODEL] == "unknown", "the endpoint may serve any"
    assert "serves what its deleted configuration next named" in why(aws, MODEL)


def test_a_deployment_uses_its_new_and_old_configurations(account: Account, aws: Aws, box: Control) -> None:
    account.pair("churn")
    account.pair("next")
    account.endpoint("live", "churn")
    box.set_durations(DEFAULTS)
    account.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName="next")
    box.cloudtrail([])  # events take minutes to arrive

    described = account.sagemaker.describe_endpoint(EndpointName="live")
    assert described["EndpointConfigName"] == "churn"
    assert words(aws) == USED | {"endpoint-config/next": "kept", "model/next": "kept"}
    assert why(aws, "endpoint-config/next") == "used by endpoint live"


def transform(account: Account, name: str, *, age: timedelta) -> None:
    with account.box.at(NOW - age):
        account.sagemaker.create_transform_job(**transform_request(name, "churn"))


def test_a_transform_job_unknown_to_search_keeps_its_model(account: Account, aws: Aws, box: Control) -> None:
    account.model("churn")
    box.set_durations({"search.index": 86400})
    transform(account, "score", age=timedelta(hours=1))

    assert why(aws, MODEL) == "used by transform job score"


def test_the_models_of_a_young_configuration_are_kept(account: Account, aws: Aws, box: Control) -> None:
    account.model("churn")
    account.model("wide")
    pool = {"InstanceType": "ml.m5.4xlarge", "Priority": 1, "ModelNameOverride": "wide"}
    account.config("churn", "churn", age=89 * DAY, pools=[pool])

    assert words(aws) == USED | {"model/wide": "kept"}
    assert "s3:ListObjectsV2" not in box.calls()  # only of a model that is found
    assert why(aws, MODEL) == "used by endpoint configuration churn"


# --- unknown is not unused --------------------------------------------------------------------------


@cases("operation, kind", ("ListModels", "model"), ("ListEndpointConfigs", "endpoint-config"))
def test_a_denied_list_is_said(account: Account, aws: Aws, box: Control, operation: str, kind: str) -> None:
    account.pair("churn")
    box.fault("sagemaker", operation, "deny", times=0)

    done = swept(aws)

    assert operation in str(done.error)
    assert {one.target.kind for one in done.results} == {"model", "endpoint-config"} - {kind}


def test_a_model_that_search_does_not_know_is_unknown(account: Account, aws: Aws, box: Control) -> None:
    account.model("churn")
    box.set_durations({"search.index": (201 * DAY).total_seconds()})

    assert words(aws) == {MODEL: "unknown"}
    assert "Search does not know this model" in why(aws, MODEL)


# --- undoing stays possible ---------------------------------------------------------------------------


def test_an_undo_keeps_what_a_deleted_endpoint_needs(account: Account, aws: Aws) -> None:
    account.pair("churn")
    account.pair("other")
    account.endpoint("live", "churn", age=100 * DAY)
    aws.armed().sagemaker.delete_endpoint(EndpointName="live")

    assert {*words(aws).values()} == {"unknown"}
    assert "ML Janitor deleted endpoint live on 2026-10-06" in why(aws, CONFIG)
    needed = {
        one.target.arn.lower(): "an undo needs it" for one in swept(aws).results if one.target.name == "churn"
    }
    judged = verdicts(swept(aws, policy=RunPolicy(needed=needed)))
    assert {name: word(verdict) for name, verdict in judged.items()} == USED | {
        "endpoint-config/other": "found",
        "model/other": "found",
    }


@pytest.fixture
def acting(table: Table) -> Acting:
    """Acting by a ledger, as the deployed functions are given it."""
    return Acting(
        ledger=Ledger(table, own_signatures()),
        actions=Actions(table, own_signatures()),
        holds=Holds(table),
        limits=ActionLimits(table, "UTC", own_signatures()),
        requests=ButtonRequests(table, own_signatures()),
        clock=lambda: NOW,
        pause=lambda: None,
        revert=lambda _: None,
        undoable=lambda *_: True,
        max_actions_per_night=0,
        together=False,
        actors=lambda: [IdleEndpoints()],
    )


def deleted(account: Account, aws: Aws, actions: Actions, *, ago: timedelta) -> Action:
    """The endpoint "live" is deleted as the janitor does it, its record in the ledger."""
    (listed,) = list_targets(aws, ENDPOINT).items
    target = replace(listed, tags=Value({}))
    undo = act.record_endpoint(aws, target, judged=(), deployed=NOW)
    finding = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete", evidence=())
    result = Result(detector="idle-endpoints", target=target, verdict=finding, outcome=Outcome.WAITING)
    action = actions.begin(result, undo, warned=NOW - ago, now=NOW - ago)
    with account.box.at(NOW - ago):
        aws.armed().sagemaker.delete_endpoint(EndpointName="live")
    return actions.acted(action, NOW - ago)


@pytest.mark.parametrize(("ago", "verdict"), [(30 * DAY, "kept"), (30 * DAY + timedelta(seconds=1), "found")])
def test_the_ledger_tells_what_an_undo_needs_for_undo_days(
    account: Account, aws: Aws, acting: Acting, ago: timedelta, verdict: str
) -> None:
    account.pair("churn")
    account.pair("other")
    account.endpoint("live", "churn")
    deleted(account, aws, acting.actions, ago=ago)

    policy = spare_undo_resources(RunPolicy(), UnusedServingResources(), acting, [aws])
    judged = verdicts(swept(aws, policy=policy))

    assert {word(judged[CONFIG]), word(judged[MODEL])} == {verdict}
    assert word(judged["model/other"]) == "found"
    if verdict == "kept":
        assert judged[CONFIG].reason == "an undo of live needs it, until 2026-10-06"


def test_what_somebody_else_deleted_is_not_undone(account: Account, aws: Aws) -> None:
    account.pair("churn")
    account.endpoint("live", "churn", age=100 * DAY)
    account.sagemaker.delete_endpoint(EndpointName="live")

    assert words(aws) == UNUSED
