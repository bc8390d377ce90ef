"""What is tagged to be kept is refused to every role that acts, by AWS itself: each Deny is what does it."""

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import REGION
from declared import KEEP_TAGS, listed, statements, without
from hosted import ARMS, LAMBDA, Host, HostedStack
from ml_janitor.aws.calls import ServiceName, make_client
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control
from one_of_each import Act, DueResources
from samples import share


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> HostedStack:
    return HostedStack(tmp_path_factory.mktemp("task"))


type ActsOnKept = Callable[[str, str, str], list[Act]]


@pytest.fixture
def acts_on_kept(box: Control, session: boto3.Session, aws: Aws) -> ActsOnKept:
    """What the role of a detector may do to what is due for it, all of which has a tag."""

    def acts(detector: str, key: str, value: str) -> list[Act]:
        due = DueResources(box, session, aws)
        due.add(detector)
        due.tag(key, value)
        return due.acts(detector)

    return acts


def deny_of(host: Host, name: str, tag: str) -> dict[str, Any]:
    """The one statement of the role of *name* that is about *tag*."""
    role = host.deployed.roles()[host.function(name).role]
    (deny,) = [one for one in denies(role) if about(one) == tag]
    return deny


def denies(role: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All statements that forbid something."""
    return [one for one in statements(role) if one["Effect"] != "Allow"]


def about(statement: dict[str, Any]) -> str:
    """The tag in the condition of a Deny: it is there, and does not say no."""
    ((key, there),) = statement["Condition"]["Null"].items()
    assert statement["Condition"] == {
        "Null": {key: "false"},
        "StringNotEqualsIgnoreCase": {key: ["0", "false", "no", "off"]},
    }
    assert (there, statement["Resource"]) == ("false", "*")
    return str(key).removeprefix("aws:ResourceTag/")


@pytest.mark.parametrize("tag", KEEP_TAGS)
@pytest.mark.parametrize("name", share(ARMS, 5))
def test_what_is_kept_is_refused_whatever_calls_and_only_by_the_deny(
    stack: HostedStack, box: Control, acts_on_kept: ActsOnKept, name: str, tag: str
) -> None:
    """With each act that the role may do, called directly; without the Deny, the same calls succeed."""
    host = Host(stack.declared, box.url, stack.files)
    deny, role, roles = deny_of(host, name, tag), host.function(name).role, host.deployed.roles()
    acts = acts_on_kept(name, tag, "Q4 demo")
    assert {act.action for act in acts} == set(listed(deny["Action"]))
    host.enforce()
    under = host.session(role, LAMBDA)

    def client(service: ServiceName) -> Any:
        return make_client(under, service, REGION, 1)

    for act in acts:
        with pytest.raises(ClientError) as refused:
            act.by(client)
        assert f"not authorized to perform: {act.action} on" in str(refused.value)
        assert "with an explicit deny in an identity-based policy" in str(refused.value)
    host.enforce(roles | {role: without(roles[role], deny)})
    for act in acts:
        act.by(client)


def test_a_keep_tag_that_says_no_keeps_nothing(
    stack: HostedStack, box: Control, acts_on_kept: ActsOnKept
) -> None:
    host = Host(stack.declared, box.url, stack.files)
    acts = acts_on_kept("idle-notebooks", "keep", "False")
    host.enforce()
    under = host.session(host.function("idle-notebooks").role, LAMBDA)

    for act in acts:
        act.by(lambda service: make_client(under, service, REGION, 1))
