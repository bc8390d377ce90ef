"""IAM's limits on the size of policies, which moto does not hold."""

from functools import wraps
from typing import Any

from moto.iam.models import IAMBackend

from moto_corrections.patches import AwsError, replaces

MANAGED = 6_144
INLINE = {"role": 10_240, "user": 2_048, "group": 5_120}
"""Characters of all inline policies together; white space does not count (IAM user guide, "Quotas")."""

create_policy = IAMBackend.create_policy
create_policy_version = IAMBackend.create_policy_version
put_role_policy = IAMBackend.put_role_policy
put_user_policy = IAMBackend.put_user_policy
put_group_policy = IAMBackend.put_group_policy


def size(document: str) -> int:
    """Return the size of a policy as IAM counts it: without white space."""
    return len("".join(document.split()))


def _limited(document: str) -> None:
    if size(document) > MANAGED:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for PolicySize: {MANAGED}")


def _limited_inline(kind: str, name: str, policies: dict[str, str]) -> None:
    if sum(map(size, policies.values())) > INLINE[kind]:
        raise AwsError(
            "LimitExceeded", f"Maximum policy size of {INLINE[kind]} bytes exceeded for {kind} {name}"
        )


@replaces("moto.iam.models:IAMBackend.create_policy", was="7872c118e6bd")
@wraps(create_policy)
def create_limited_policy(
    self: IAMBackend, description: str, path: str, policy_document: str, *args: Any, **named: Any
) -> Any:
    """Refuse a document that is over the limit of a managed policy."""
    _limited(policy_document)
    return create_policy(self, description, path, policy_document, *args, **named)


@replaces("moto.iam.models:IAMBackend.create_policy_version", was="b4d1ec61770e")
@wraps(create_policy_version)
def create_limited_version(self: IAMBackend, policy_arn: str, policy_document: str, *args: Any) -> Any:
    """Refuse a document that is over the limit of a managed policy."""
    _limited(policy_document)
    return create_policy_version(self, policy_arn, policy_document, *args)


@replaces("moto.iam.models:IAMBackend.put_role_policy", was="646445273c90")
@wraps(put_role_policy)
def put_limited_role_policy(self: IAMBackend, role_name: str, policy_name: str, policy_json: str) -> None:
    """Refuse a document that takes the role's inline policies over their limit."""
    _limited_inline("role", role_name, {**self.get_role(role_name).policies, policy_name: policy_json})
    put_role_policy(self, role_name, policy_name, policy_json)


@replaces("moto.iam.models:IAMBackend.put_user_policy", was="fec259ac4092")
@wraps(put_user_policy)
def put_limited_user_policy(self: IAMBackend, user_name: str, policy_name: str, policy_json: str) -> None:
    """Refuse a document that takes the user's inline policies over their limit."""
    _limited_inline("user", user_name, {**self.get_user(user_name).policies, policy_name: policy_json})
    put_user_policy(self, user_name, policy_name, policy_json)


@replaces("moto.iam.models:IAMBackend.put_group_policy", was="994a7d26ecea")
@wraps(put_group_policy)
def put_limited_group_policy(self: IAMBackend, group_name: str, policy_name: str, policy_json: str) -> None:
    """Refuse a document that takes the group's inline policies over their limit."""
    _limited_inline("group", group_name, {**self.get_group(group_name).policies, policy_name: policy_json})
    put_group_policy(self, group_name, policy_name, policy_json)
