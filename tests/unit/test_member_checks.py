"""How a role's policy is compared with what it should be, however IAM or a person wrote it."""

from typing import Any

from ml_janitor_cli.organization import compare_policies
from policies import allow, document
from tables import cases

WANTED = document(allow(["a:List", "a:Get"], ["x", "y"], Condition={"StringEquals": {"k": ["v"]}}))
ONLY = {"StringEquals": {"k": "v"}}


@cases(
    "statements, more, less",
    (WANTED["Statement"], [], []),
    ([allow(one, where, Condition=ONLY) for one in ("a:Get", "a:List") for where in "yx"], [], []),
    (allow(["a:Get", "a:List"], ["y", "x"], Condition=ONLY), [], []),
    (allow("a:Get", ["x", "y"], Condition=ONLY), [], ["a:List"]),
    (allow(["a:Get", "a:List"], "x", Condition=ONLY), [], ["a:Get", "a:List"]),
    (allow(["a:Get", "a:List"], ["x", "y"]), ["a:Get", "a:List"], ["a:Get", "a:List"]),
    ([*WANTED["Statement"], allow("a:Put", "x")], ["a:Put"], []),
    ([*WANTED["Statement"], allow("a:Get", "*", Effect="Deny")], [], ["a:Get"]),
    ([*WANTED["Statement"], allow("a:Get", "z")], ["a:Get"], []),
    (
        [*WANTED["Statement"], {"Effect": "Allow", "NotAction": "b:Get", "NotResource": "z"}],
        ["all actions but some"],
        [],
    ),
    ([], [], ["a:Get", "a:List"]),
)
def test_a_policy_is_compared_by_permission(statements: Any, more: list[str], less: list[str]) -> None:
    assert compare_policies({"Version": "2012-10-17", "Statement": statements}, WANTED) == (more, less)
