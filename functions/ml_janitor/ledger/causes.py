"""
Store causes in the ledger as data, each in an attribute of its own.

Versions up to 0.1 read a sentence in an older attribute instead. For one release it is written too, as the
cause's code and details, so that a rollback works and functions of both versions can share the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ml_janitor.core.results import Cause, CauseCode, make_cause

_ATTRIBUTES = {
    "close_reason": "close_cause",
    "error": "error_cause",
    "not_done": "not_done_cause",
    "refused": "refused_cause",
    "unmessaged": "unmessaged_cause",
    "untold_why": "untold_cause",
}
"""The attribute of each cause, by the older one that holds a sentence."""

_CAUSE_ADAPTER = TypeAdapter(Cause)


def cause_attributes(*names: str) -> tuple[str, ...]:
    """Return the attributes of the causes *names*, to remove them."""
    return (*names, *(_ATTRIBUTES[name] for name in names))


def store_cause(name: str, cause: Cause | None) -> dict[str, str]:
    """Return the attributes that store *cause* as *name*; None replaces a cause from before."""
    if cause is None:
        return {name: "", _ATTRIBUTES[name]: ""}
    data = _CAUSE_ADAPTER.dump_json(cause, exclude_defaults=True).decode()
    return {name: str(cause), _ATTRIBUTES[name]: data}


def read_causes(item: Mapping[str, Any], *names: str) -> dict[str, Cause | None]:
    """Return the causes *names* of *item*."""
    return {name: _read_cause(item, name) for name in names}


def _read_cause(item: Mapping[str, Any], name: str) -> Cause | None:
    """
    Return the cause *name* of *item*, or the sentence in the older attribute as a cause.

    A function of the version before changes the older attribute alone. The newer one then no longer belongs
    to it.
    """
    text = item.get(name)
    try:
        cause = _CAUSE_ADAPTER.validate_json(item.get(_ATTRIBUTES[name], ""))
        if str(cause) == text:
            return cause
    except ValidationError:  # none, or a code of a later version
        pass
    return make_cause(CauseCode.EARLIER_TEXT, text) if text else None
