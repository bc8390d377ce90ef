"""Makes IAM statements from the grants of detectors, for the stack and for member accounts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ml_janitor.aws.client import READ_OPERATIONS
from ml_janitor.core.ownership import NEGATIONS
from ml_janitor.engine.detector import Condition, Grant

type PolicyDocument = dict[str, Any]
type GrantConditions = tuple[Condition, ...]


def group_grants(
    grants: Iterable[Grant], on: Callable[[Grant], Iterable[tuple[str, GrantConditions]]]
) -> Iterator[tuple[tuple[str, ...], GrantConditions, list[str]]]:
    """
    Yield actions, conditions and resources: once for each set of actions under the same conditions.

    *on* returns the resources of a grant, and their conditions. All is sorted, so that a template shows real
    changes only.
    """
    actions: dict[tuple[str, GrantConditions], set[str]] = defaultdict(set)
    for grant in grants:
        for resource, when in on(grant):
            actions[resource, when].add(grant.action)
    resources: dict[tuple[tuple[str, ...], GrantConditions], set[str]] = defaultdict(set)
    for (resource, when), granted in actions.items():
        resources[tuple(sorted(granted)), when].add(resource)
    for (granted_, when), names in sorted(resources.items(), key=lambda item: str(item[0])):
        yield granted_, when, sorted(names)


def group_conditions(when: Iterable[Condition]) -> dict[str, dict[str, list[str]]]:
    """Return a statement's conditions, by operator and key; all of them must hold."""
    by_operator: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for condition in when:
        by_operator[condition.operator][condition.key] = list(condition.values)
    return dict(by_operator)


def deny_kept_resources(grants: Iterable[Grant], keep_tags: Sequence[str]) -> list[PolicyDocument]:
    """
    Return a Deny per spelling of a keep tag: a program fault cannot change resources with that tag.

    The Deny holds where the action supports aws:ResourceTag, unless the tag says no; docs/permissions.md
    lists the actions. Reads are not denied: unread tags would make a keep tag unknown. The key of a
    condition is compared in any case (IAM user guide, "Condition").
    """
    actions = sorted({grant.action for grant in grants if is_changing_action(grant.action)})
    return [
        {
            "Effect": "Deny",
            "Action": actions,
            "Resource": ["*"],
            "Condition": {
                "Null": {f"aws:ResourceTag/{tag}": "false"},
                "StringNotEqualsIgnoreCase": {f"aws:ResourceTag/{tag}": sorted(NEGATIONS)},
            },
        }
        for tag in tag_spellings(keep_tags)
        if actions
    ]


def tag_spellings(keep_tags: Sequence[str]) -> list[str]:
    """Return *keep_tags*, each also with the other separators that people put between words."""
    return list(
        dict.fromkeys(re.sub(r"[-_:]", sign, tag) for tag in keep_tags for sign in (_sign(tag), *"-_:"))
    )


def _sign(tag: str) -> str:
    """Return the separator in *tag*, which comes first because it is documented."""
    return next((character for character in tag if character in "-_:"), "")


def is_changing_action(action: str) -> bool:
    """Return whether an IAM action changes something, by its verb."""
    return not READ_OPERATIONS.match(action.partition(":")[2])
