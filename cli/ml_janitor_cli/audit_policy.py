"""The IAM policy that a read-only audit from a laptop needs, from the declarations of the detectors."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ml_janitor.engine.detector import Condition, Grant

MANAGED_POLICY_LIMIT = 6_144
"""Characters of a managed policy, without white space (IAM user guide, "IAM and AWS STS quotas")."""

type AuditStatement = dict[str, Any]
type AuditedRegions = Mapping[str, str]
"""The regions that are audited, and the partition of each."""


def audit_policies(grants: Iterable[Grant], regions: AuditedRegions) -> list[dict[str, Any]]:
    """
    Return policy documents that allow *grants* in *regions* and nothing else: one, or as many as IAM's limit
    takes.

    The account is left open: a policy counts only in the account that it is made in.
    """
    parts: list[list[AuditStatement]] = [[]]
    for statement in audit_statements(grants, regions):
        if policy_size(policy_document([*parts[-1], statement])) > MANAGED_POLICY_LIMIT:
            parts.append([])
        parts[-1].append(statement)
    return [policy_document(part) for part in parts]


def policy_document(part: Sequence[AuditStatement]) -> dict[str, Any]:
    """Build one policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(part)}


def policy_size(policy: Mapping[str, Any]) -> int:
    """Return how much of `LIMIT` a policy takes; blanks in an ARN or a condition count too."""
    return len(json.dumps(policy, separators=(",", ":")))


def audit_statements(grants: Iterable[Grant], regions: AuditedRegions) -> Iterator[AuditStatement]:
    """Yield one statement for actions on the same resources under the same conditions, in a fixed order."""
    resources: dict[tuple[str, tuple[Condition, ...]], set[str]] = defaultdict(set)
    for grant in grants:
        resources[grant.action, grant.when] |= set(grant_arns(grant, regions))
    actions: dict[tuple[tuple[str, ...], tuple[Condition, ...]], list[str]] = defaultdict(list)
    for (action, when), arns in resources.items():
        actions[tuple(sorted(arns)), when].append(action)
    for (on, when), allowed in sorted(actions.items(), key=lambda item: (sorted(item[1]), item[0][0])):
        yield from split_statement(sorted(allowed), on, condition_block(when, regions))


def split_statement(allowed: list[str], on: Sequence[str], when: dict[str, Any]) -> Iterator[AuditStatement]:
    """Yield the statement, or several with a part of its resources each if it is over the limit."""
    statement = {"Effect": "Allow", "Action": allowed, "Resource": list(on)} | when
    if len(on) == 1 or policy_size(policy_document([statement])) <= MANAGED_POLICY_LIMIT:
        yield statement
        return
    half = len(on) // 2
    yield from split_statement(allowed, on[:half], when)
    yield from split_statement(allowed, on[half:], when)


def grant_arns(grant: Grant, regions: AuditedRegions) -> list[str]:
    """Return the ARNs of *grant* in every region; ARNs without a region get the partition of the first."""
    if grant.on == "*" or grant.on.startswith("arn:"):
        return [arn_in_partition(grant.on, regions)]
    service = grant.action.partition(":")[0]
    return [f"arn:{partition}:{service}:{region}:*:{grant.on}" for region, partition in regions.items()]


def condition_block(when: Iterable[Condition], regions: AuditedRegions) -> dict[str, Any]:
    """Return a statement's conditions by operator and key, or nothing."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for condition in when:
        found[condition.operator][condition.key] = [
            arn_in_partition(value, regions) for value in condition.values
        ]
    return {"Condition": dict(found)} if found else {}


def arn_in_partition(text: str, regions: AuditedRegions) -> str:
    """Return *text* with the partition of the audited regions, if it is an ARN of AWS's standard one."""
    return text.replace("arn:aws:", f"arn:{next(iter(regions.values()))}:", 1)
