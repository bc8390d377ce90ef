"""What a policy allows beyond another, or less than it, however IAM or a person wrote either."""

from __future__ import annotations

import json
from typing import Any

type Conditions = frozenset[tuple[str, str, frozenset[str]]]
"""Operator, key and values of each."""

type Statements = frozenset[tuple[str, str, str, Conditions]]
"""Single permissions: effect, action, resource or principal, conditions."""


def differences(actual: dict[str, Any], wanted: dict[str, Any]) -> tuple[list[str], list[str]]:
    """
    The actions that *actual* allows beyond *wanted*, or does not deny, and those that it lacks or denies.

    Each somewhere, if not everywhere.
    """
    have, want = single(actual), single(wanted)
    denied, spared = ({one for one in some if one[0] == "Deny"} for some in (have, want))
    more = {
        one[1]
        for one in have - want
        if one[0] == "Allow"
        and not any(one[:3] == other[:3] and as_strict(one[3], other[3]) for other in want)
    }
    less = denied - want | {one for one in want - have if one[0] == "Allow"}
    return sorted(more | {one[1] for one in spared - have}), sorted({one[1] for one in less})


def as_strict(actual: Conditions, wanted: Conditions) -> bool:
    """
    Whether *actual* holds only where *wanted* does: each of its conditions is there, with no other values.

    Of a negated operator, fewer values would allow more: it has to be the same.
    """
    return all(
        any(
            (operator, key) == (test, name) and (has <= values if "Not" not in operator else has == values)
            for test, name, has in actual
        )
        for operator, key, values in wanted
    )


def single(document: dict[str, Any]) -> Statements:
    """The permissions of a policy one by one, however its statements put them together."""
    return frozenset(
        (str(one["Effect"]), action, where, conditions(one))
        for one in several(document.get("Statement", []))
        for action in several(one.get("Action", "all actions but some"))
        for where in several(one.get("Resource", json.dumps(one.get("Principal"), sort_keys=True)))
    )


def conditions(statement: dict[str, Any]) -> Conditions:
    """The conditions of a statement, however they are written."""
    return frozenset(
        (operator, key, frozenset(map(str, several(values))))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def several(value: Any) -> list[Any]:
    """IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]
