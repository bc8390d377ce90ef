import json
from typing import Any

import pytest

from plain_requests import refusal


def document(characters: int) -> str:
    """A policy of so many characters, with white space that does not count."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::"}],
    }
    short = len(json.dumps(policy, separators=(",", ":")))
    policy["Statement"][0]["Resource"] += "b" * (characters - short)  # type: ignore[index]
    return json.dumps(policy, indent=8)


def test_a_managed_policy_has_6144_characters_at_most(aws: Any) -> None:
    iam = aws("iam")
    arn = iam.create_policy(PolicyName="whole", PolicyDocument=document(6144))["Policy"]["Arn"]

    told = refusal(iam.create_policy, PolicyName="long", PolicyDocument=document(6145))

    assert "Cannot exceed quota for PolicySize: 6144" in told
    assert "PolicySize" in refusal(iam.create_policy_version, PolicyArn=arn, PolicyDocument=document(6145))
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(6144))


@pytest.mark.parametrize(("kind", "limit"), [("role", 10_240), ("user", 2_048), ("group", 5_120)])
def test_inline_policies_have_a_limit_together(aws: Any, kind: str, limit: int) -> None:
    iam, named = aws("iam"), {f"{kind.capitalize()}Name": "somebody"}
    trust = {"AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": []})}
    getattr(iam, f"create_{kind}")(**named, **(trust if kind == "role" else {}))
    put = getattr(iam, f"put_{kind}_policy")

    put(**named, PolicyName="most", PolicyDocument=document(limit - 200))
    put(**named, PolicyName="rest", PolicyDocument=document(200))
    put(**named, PolicyName="rest", PolicyDocument=document(190))
    told = refusal(put, **named, PolicyName="rest", PolicyDocument=document(201))

    assert told.endswith(f"Maximum policy size of {limit} bytes exceeded for {kind} somebody")
