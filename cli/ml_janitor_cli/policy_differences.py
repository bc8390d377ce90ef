"""Differences between two policies, however IAM or a person wrote either."""

from __future__ import annotations

import json
from typing import Any

type ConditionSet = frozenset[tuple[str, str, frozenset[str]]]
"""Operator, key and values of each."""

type PermissionSet = frozenset[tuple[str, str, str, ConditionSet]]
"""Single permissions: effect, action, resource or principal, conditions."""


def compare_policies(actual: dict[str, Any], wanted: dict[str, Any]) -> tuple[list[str], list[str]]:
    """
    Return the actions that *actual* allows beyond *wanted*, or does not deny, and those that it lacks or
    denies.

    A difference in some places is enough.
    """
    have, want = single_permissions(actual), single_permissions(wanted)
    denied, spared = ({statement for statement in some if statement[0] == "Deny"} for some in (have, want))
    more = {
        statement[1]
        for statement in have - want
        if statement[0] == "Allow"
        and not any(statement[:3] == other[:3] and is_as_strict(statement[3], other[3]) for other in want)
    }
    less = denied - want | {statement for statement in want - have if statement[0] == "Allow"}
    return (
        sorted(more | {statement[1] for statement in spared - have}),
        sorted({statement[1] for statement in less}),
    )


def is_as_strict(actual: ConditionSet, wanted: ConditionSet) -> bool:
    """
    Return whether *actual* holds only where *wanted* does: with each of its conditions and no other values.

    Fewer values of a negated operator would allow more: such a condition has to be the same.
    """
    return all(
        any(
            (operator, key) == (test, name) and (has <= values if "Not" not in operator else has == values)
            for test, name, has in actual
        )
        for operator, key, values in wanted
    )


def single_permissions(document: dict[str, Any]) -> PermissionSet:
    """Split a policy into single permissions, however its statements put them together."""
    return frozenset(
        (str(statement["Effect"]), action, where, statement_conditions(statement))
        for statement in as_list(document.get("Statement", []))
        for action in as_list(statement.get("Action", "all actions but some"))
        for where in as_list(
            statement.get("Resource", json.dumps(statement.get("Principal"), sort_keys=True))
        )
    )


def statement_conditions(statement: dict[str, Any]) -> ConditionSet:
    """Return the conditions of a statement, however they are written."""
    return frozenset(
        (operator, key, frozenset(map(str, as_list(values))))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def as_list(value: Any) -> list[Any]:
    """Return *value* as a list: IAM accepts a list of one without brackets."""
    return value if isinstance(value, list) else [value]
