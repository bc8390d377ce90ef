import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.iam import IamControl
from policies import allow, document, role, trusting
from tables import cases

HERE, THERE = "123456789012", "210987654321"
JANITOR = f"arn:aws:iam::{HERE}:role/janitor"
SPOKE = f"arn:aws:iam::{THERE}:role/spoke"

type Clients = Callable[..., Any]


@pytest.fixture
def iam(control: Control) -> IamControl:
    return IamControl(control.url)


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError, match="AccessDenied") as caught:
        call(**params)
    return str(caught.value)


ASSUMES = allow("sts:AssumeRole", SPOKE)
KNOWN = {"StringEquals": {"sts:ExternalId": "secret"}}


@cases(
    "own, trust, external_id, works",
    ([ASSUMES], trusting({"AWS": JANITOR}), None, True),
    ([ASSUMES], trusting({"AWS": HERE}), None, True),
    ([ASSUMES], trusting({"AWS": f"arn:aws:iam::{HERE}:root"}), None, True),
    ([ASSUMES], trusting({"AWS": [THERE, JANITOR]}, **KNOWN), "secret", True),
    ([ASSUMES], trusting({"AWS": JANITOR}, **KNOWN), "guess", False),
    ([ASSUMES], trusting({"AWS": JANITOR}, **KNOWN), None, False),
    ([ASSUMES], trusting({"AWS": f"arn:aws:iam::{HERE}:role/other"}), None, False),
    ([ASSUMES], trusting({"AWS": THERE}), None, False),
    ([ASSUMES], trusting({"Service": "lambda.amazonaws.com"}), None, False),
    ([ASSUMES], None, None, False),
    ([], trusting({"AWS": JANITOR}), None, False),
    ([allow("sts:AssumeRole", SPOKE + "-2")], trusting({"AWS": JANITOR}), None, False),
    ([ASSUMES, ASSUMES | {"Effect": "Deny"}], trusting({"AWS": JANITOR}), None, False),
)
def test_roles_of_another_account_are_assumed_if_both_sides_agree(
    *,
    iam: IamControl,
    aws: Clients,
    control: Control,
    own: list[dict[str, Any]],
    trust: dict[str, Any] | None,
    external_id: str | None,
    works: bool,
) -> None:
    iam.enforce({JANITOR: role(*own), SPOKE: role(allow("sagemaker:ListEndpoints"), trust=trust)})
    sts = aws("sts", key=iam.credentials(JANITOR)["aws_access_key_id"])
    asked = {"RoleArn": SPOKE, "RoleSessionName": "sweep"}
    asked |= {"ExternalId": external_id} if external_id else {}
    if not works:
        assert f"sts:AssumeRole on resource: {SPOKE}" in refused(sts.assume_role, **asked)
    else:
        given = sts.assume_role(**asked)["Credentials"]
        session = boto3.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="us-east-1"
        )
        there = session.client("sagemaker", endpoint_url=control.url)
        there.list_endpoints()
        refused(there.list_models)
        assert control.requests()[-1]["account"] == THERE
        assert [(one["role"], one["action"], one["allowed"]) for one in iam.record()][1:] == [
            (SPOKE, "sagemaker:ListEndpoints", True),
            (SPOKE, "sagemaker:ListModels", False),
        ]
        there.close()
    assumed = {"role": JANITOR, "action": "sts:AssumeRole", "resource": SPOKE, "allowed": works}
    assert iam.record()[0] == {**assumed, "by": []}


@cases(
    "own, trust, works",
    ([], {"AWS": JANITOR}, True),
    ([], {"AWS": HERE}, False),
    ([allow("sts:AssumeRole")], {"AWS": HERE}, True),
    ([allow("sts:AssumeRole")], {"AWS": THERE}, False),
)
def test_within_an_account_the_trust_policy_may_be_enough(
    *, iam: IamControl, aws: Clients, own: list[dict[str, Any]], trust: dict[str, str], works: bool
) -> None:
    target = f"arn:aws:iam::{HERE}:role/target"
    iam.enforce({JANITOR: role(*own), target: role(trust=trusting(trust))})
    sts = aws("sts", key=iam.credentials(JANITOR)["aws_access_key_id"])
    if works:
        sts.assume_role(RoleArn=target, RoleSessionName="sweep")
    else:
        refused(sts.assume_role, RoleArn=target, RoleSessionName="sweep")
    with pytest.raises(ClientError, match="not emulated"):
        sts.assume_role(
            RoleArn=target,
            RoleSessionName="sweep",
            PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
        )


def test_a_session_policy_takes_from_a_role_and_adds_nothing(
    iam: IamControl, aws: Clients, control: Control
) -> None:
    may = allow(["sagemaker:ListEndpoints", "sagemaker:DeleteEndpoint"])
    iam.enforce({JANITOR: role(ASSUMES), SPOKE: role(may, trust=trusting({"AWS": JANITOR}))})
    sts = aws("sts", key=iam.credentials(JANITOR)["aws_access_key_id"])
    policy = json.dumps(document(allow("sagemaker:List*")))
    given = sts.assume_role(RoleArn=SPOKE, RoleSessionName="reads", Policy=policy)["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="us-east-1"
    )
    narrowed = session.client("sagemaker", endpoint_url=control.url)
    narrowed.list_endpoints()
    refused(narrowed.delete_endpoint, EndpointName="x")
    refused(narrowed.list_models)
    narrowed.close()


def test_a_service_gets_a_role_that_trusts_it(iam: IamControl) -> None:
    ours = {"StringEquals": {"aws:SourceAccount": HERE}}
    iam.enforce(
        {
            JANITOR: role(trust=trusting({"Service": "lambda.amazonaws.com"}, **ours)),
            SPOKE: role(trust=trusting({"Service": "lambda.amazonaws.com"}, **ours)),
        }
    )
    assert iam.credentials(JANITOR, service="lambda.amazonaws.com")["aws_session_token"]
    for arn, service in ((JANITOR, "scheduler.amazonaws.com"), (SPOKE, "lambda.amazonaws.com")):
        with pytest.raises(SandboxError, match="does not trust"):
            iam.credentials(arn, service=service)
    with pytest.raises(SandboxError, match="no such role"):
        iam.credentials(JANITOR + "-2")
