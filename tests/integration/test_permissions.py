"""Every detector over HTTP under the role that the template gives it: no permission missing, none idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import rarities
from conftest import ACCOUNT, NOW, REGION
from deployed import Deployed, Function
from janitor.account import opened
from janitor.aws import ReadError
from janitor.detector import Detector, Grant
from janitor.detectors import DETECTORS
from janitor.model import Candidate
from janitor.settings import Settings
from sandbox import demo
from sandbox.control import Control, SandboxError
from sandbox.iam import IamControl
from sandbox.iam.globs import arn_like
from sandbox.server import Sandbox
from synthesis import SLACK, synthesise

every_detector = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)

type Statement = dict[str, Any]
type Asked = tuple[str, str]
"""An action and a resource."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The default deployment with Slack."""
    made = synthesise(tmp_path_factory.mktemp("stack"), Settings.parse(SLACK))
    return Deployed(made, ACCOUNT, REGION)


@pytest.fixture(scope="module")
def url(_sandbox: Sandbox, deployed: Deployed) -> Iterator[str]:
    """The demo account with the stack in it, made once: nothing here changes anything."""
    Control(_sandbox.url).reset()
    demo.seed(_sandbox.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
        root = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
        rarities.seed(root)
        deployed.create(root, secret=SLACK["janitor"]["slack_secret"], token="xoxb-1")
    yield _sandbox.url
    Control(_sandbox.url).reset()


@pytest.fixture
def iam(url: str, monkeypatch: pytest.MonkeyPatch) -> IamControl:
    """The IAM of that account; clients of the test talk to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return IamControl(url)


def function_of(deployed: Deployed, detector: type[Detector[Any]]) -> Function:
    (function,) = (one for one in deployed.functions() if one.detector == detector.name)
    return function


def read_all(
    detector: type[Detector[Any]], iam: IamControl, role: str, *, until_denied: bool = False
) -> tuple[set[Asked], set[Asked]]:
    """
    Find everything, then look at each of it again, as *role*; what was allowed, and what was denied.

    With *until_denied* nothing more is read once something was.
    """
    session = boto3.Session(**iam.credentials(role, service="lambda.amazonaws.com"), region_name=REGION)
    iam.forget()
    found: list[Candidate] = []
    with opened(session, account=ACCOUNT, regions=[REGION], attempts=1) as (aws,):
        with suppress(ReadError):
            found += detector().find(aws, NOW)
        for candidate in found:
            if until_denied and asked(iam, allowed=False):
                break
            with suppress(ReadError):
                detector().look(aws, candidate.target, NOW)
    assert {one["role"] for one in iam.record()} == {role}
    return asked(iam, allowed=True), asked(iam, allowed=False)


def asked(iam: IamControl, *, allowed: bool) -> set[Asked]:
    return {(one["action"], one["resource"]) for one in iam.record() if one["allowed"] is allowed}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def concerns(detector: type[Detector[Any]], statement: Statement) -> bool:
    """Whether it is for the detector's reading, rather than for the janitor's own things."""
    return set(listed(statement["Action"])) <= {grant.action for grant in detector.reads}


def without(role: dict[str, Any], statement: Statement) -> dict[str, Any]:
    documents = [
        policy | {"Statement": [one for one in policy["Statement"] if one != statement]}
        for policy in role["policies"]
    ]
    return role | {"policies": documents}


def statements(role: dict[str, Any]) -> list[Statement]:
    return [one for policy in role["policies"] for one in policy["Statement"]]


def covers(grant: Grant, asked: Asked) -> bool:
    """Whether this grant, and not just the action by another, allows what was asked."""
    action, resource = asked
    service = grant.action.partition(":")[0]
    whole = grant.on == "*" or grant.on.startswith("arn:")
    pattern = grant.on if whole else f"arn:aws:{service}:{REGION}:{ACCOUNT}:{grant.on}"
    return action == grant.action and (resource == "*" if pattern == "*" else arn_like(pattern, resource))


@every_detector
def test_it_needs_what_it_declares_and_nothing_else(
    deployed: Deployed, iam: IamControl, detector: type[Detector[Any]]
) -> None:
    """Every grant was needed on a resource of its own; one on * by an action that has no resources."""
    iam.enforce(deployed.roles())

    allowed, denied = read_all(detector, iam, function_of(deployed, detector).role)

    assert denied == set()
    declared = {grant.action for grant in detector.reads}
    assert {action for action, _ in allowed} <= declared
    idle = [grant for grant in detector.reads if not any(covers(grant, one) for one in allowed)]
    assert idle == []


@every_detector
def test_no_statement_can_be_missed(
    deployed: Deployed, iam: IamControl, detector: type[Detector[Any]]
) -> None:
    roles, role = deployed.roles(), function_of(deployed, detector).role
    removed = [one for one in statements(roles[role]) if concerns(detector, one)]

    for statement in removed:
        iam.enforce(roles | {role: without(roles[role], statement)})
        _, denied = read_all(detector, iam, role, until_denied=True)
        assert denied, statement
        actions = set(listed(statement["Action"]))
        assert {action for action, _ in denied} <= actions
    assert {action for one in removed for action in listed(one["Action"])} == {
        grant.action for grant in detector.reads
    }


def test_every_function_is_trusted_to_lambda_and_its_schedule_to_the_scheduler(
    deployed: Deployed, iam: IamControl
) -> None:
    iam.enforce(deployed.roles())

    functions = {function.role for function in deployed.functions()}
    for role in deployed.roles():
        mine = "lambda.amazonaws.com" if role in functions else "scheduler.amazonaws.com"
        assert iam.credentials(role, service=mine)
        with pytest.raises(SandboxError, match="does not trust"):
            iam.credentials(role, service="ec2.amazonaws.com")


@every_detector
def test_its_role_changes_nothing(deployed: Deployed, iam: IamControl, detector: type[Detector[Any]]) -> None:
    """What actions there are for findings, and what else one could do with a bucket."""
    iam.enforce(deployed.roles())
    role = function_of(deployed, detector).role
    session = boto3.Session(**iam.credentials(role, service="lambda.amazonaws.com"), region_name=REGION)
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    model = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/m"
    calls: tuple[Callable[[], object], ...] = (
        lambda: sagemaker.delete_endpoint(EndpointName="e"),
        lambda: sagemaker.stop_notebook_instance(NotebookInstanceName="n"),
        lambda: sagemaker.stop_training_job(TrainingJobName="t"),
        lambda: sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": "k", "Value": "v"}]),
        lambda: s3.delete_object(Bucket="meridian-ml-models", Key="k"),
        lambda: s3.put_object(Bucket="meridian-ml-models", Key="k", Body=b""),
    )
    for call in calls:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
