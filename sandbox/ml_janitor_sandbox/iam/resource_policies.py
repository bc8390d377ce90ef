"""The policies of resources that have one here: KMS keys, and DynamoDB tables."""

import json
from functools import cache

from ml_janitor_sandbox.iam.policies import Policy, PolicyKind
from moto_corrections.patches import Call, backend


def policy_of_resource(call: Call, resource: str) -> Policy | None:
    """Return the policy of the resource with this ARN; None without. `ValueError` if it cannot be judged."""
    match resource.split(":"):
        case [_, _, "kms", _, _, key]:
            kept = backend("kms", call.account, call.region).keys.get(key.removeprefix("key/"))
            return _read(kept.policy) if kept else None
        case [_, _, "dynamodb", *_]:
            policies = backend("dynamodb", call.account, call.region).resource_policies
            found = policies.get(resource.partition("/index/")[0])
            return _read(found.policy_doc) if found else None
        case _:
            return None


@cache
def _read(text: str) -> Policy:
    return Policy.of(json.loads(text), PolicyKind.RESOURCE)
