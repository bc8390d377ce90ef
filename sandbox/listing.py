"""SageMaker's List operations, all in one: filters, order, and pages that survive deletions.

Which filters an operation has is read from its model. AWS's defaults (DOC of each operation): ten
to a page, at most a hundred, by creation time, newest first.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox import model
from sandbox.patches import AwsError, Call
from sandbox.shelves import Kind, Resource, constraint, shelf

DEFAULT_PAGE = 10
LARGEST_PAGE = 100
# Operations whose documentation names Ascending as the default order.
ASCENDING = {"ListDomains", "ListModelPackageGroups", "ListUserProfiles", "ListSpaces", "ListApps"}
# Filters that are a status in all but name, applied only after the page has been cut: a page may
# then be empty and still have a successor (DOC of ListTrainingJobs).
AFTER_THE_CUT = {"ListTrainingJobs"}


@dataclass(frozen=True, slots=True)
class Row:
    """What a listing needs to know about one entry."""

    members: Mapping[str, Any]
    name: str
    status: str | None
    sequence: int


def rows(resources: Iterable[Resource]) -> list[Row]:
    """The entries of these resources."""
    return [Row(one.members, one.name, one.status, one.sequence) for one in resources]


def listing(call: Call, of: Kind) -> dict[str, Any]:
    """Answer a List operation over everything of one kind."""
    return answer(call, rows(shelf(call, of).values()))


def answer(call: Call, entries: list[Row]) -> dict[str, Any]:
    """Answer a List operation over these entries."""
    params = call.params
    member = _list_member(call.operation)
    size = _page_size(params)
    late = call.operation in AFTER_THE_CUT
    entries = [one for one in entries if _wanted(one, params)]
    if not late:
        entries = [one for one in entries if _in_status(one, params)]
    keyed = sorted((_key(one, params), one) for one in entries) if False else [
        (_key(one, params), one) for one in entries
    ]
    keyed.sort(key=lambda pair: pair[0], reverse=_descending(call))
    if token := params.get("NextToken"):
        keyed = _after(keyed, _read(token), descending=_descending(call))
    page, rest = keyed[:size], keyed[size:]
    shown = [one for _, one in page if not late or _in_status(one, params)]
    result: dict[str, Any] = {member: [dict(one.members) for one in shown]}
    if rest:
        result["NextToken"] = _write(page[-1][0])
    return result
