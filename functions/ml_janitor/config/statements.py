"""IAM statements from the grants that detectors declare, for the stack and for member accounts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ml_janitor.aws.client import READS
from ml_janitor.core.ownership import NO
from ml_janitor.engine.detector import Condition, Grant

type Document = dict[str, Any]
type When = tuple[Condition, ...]


def grouped(
    grants: Iterable[Grant], on: Callable[[Grant], Iterable[tuple[str, When]]]
) -> Iterator[tuple[tuple[str, ...], When, list[str]]]:
    """
    Actions, conditions and resources: one of each set of actions under the same conditions.

    *on* says on which resources a grant is given, and when. All is sorted, so that a template shows real
    changes only.
    """
    actions: dict[tuple[str, When], set[str]] = defaultdict(set)
    for grant in grants:
        for resource, when in on(grant):
            actions[resource, when].add(grant.action)
    resources: dict[tuple[tuple[str, ...], When], set[str]] = defaultdict(set)
    for (resource, when), granted in actions.items():
        resources[tuple(sorted(granted)), when].add(resource)
    for (granted_, when), some in sorted(resources.items(), key=lambda item: str(item[0])):
        yield granted_, when, sorted(some)


def conditions(when: Iterable[Condition]) -> dict[str, dict[str, list[str]]]:
    """A statement's conditions, by operator and key; all of them must hold."""
    by_operator: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for one in when:
        by_operator[one.operator][one.key] = list(one.values)
    return dict(by_operator)


def sparing(grants: Iterable[Grant], keep_tags: Sequence[str]) -> list[Document]:
    """
    A Deny per spelling of a keep tag: what is tagged to be kept cannot be changed, whatever the program does.

    It holds where the action supports aws:ResourceTag, unless the tag says no; docs/permissions.md says
    which do. What only reads is not denied: unread tags would make what is kept unknown. The key of a
    condition is compared in any case (IAM user guide, "Condition").
    """
    actions = sorted({grant.action for grant in grants if changes(grant.action)})
    return [
        {
            "Effect": "Deny",
            "Action": actions,
            "Resource": ["*"],
            "Condition": {
                "Null": {f"aws:ResourceTag/{tag}": "false"},
                "StringNotEqualsIgnoreCase": {f"aws:ResourceTag/{tag}": sorted(NO)},
            },
        }
        for tag in spellings(keep_tags)
        if actions
    ]


def spellings(keep_tags: Sequence[str]) -> list[str]:
    """*keep_tags*, each also with the other signs that people put between the words of a key."""
    return list(
        dict.fromkeys(re.sub(r"[-_:]", sign, tag) for tag in keep_tags for sign in (_sign(tag), *"-_:"))
    )


def _sign(tag: str) -> str:
    """The sign between the words of *tag*, which comes first: it is the one that is documented."""
    return next((each for each in tag if each in "-_:"), "")


def changes(action: str) -> bool:
    """Whether an IAM action changes something, by the verb that AWS names it with."""
    return not READS.match(action.partition(":")[2])
