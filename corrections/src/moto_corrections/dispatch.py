"""Caches of moto's look-ups of operations and members of answers, and copies of DynamoDB's values.

An armed sweep over the demo account makes thousands of requests. Without this, moto spends more on looking
up what never changes, for each request and each member of each answer, than on the answers.
"""

import string
from datetime import UTC, datetime
from functools import cache
from typing import Any

from moto.core import loaders, serialize, utils
from moto.moto_api._internal import mock_random

from moto_corrections.patches import replaces

_LOADER = cache(loaders.create_loader)
_METHODS = cache(utils.method_names_from_class)
_PICK = serialize.AttributePicker.__call__
_STRUCTURE = serialize.BaseJSONSerializer._serialize_type_structure
_LIST = serialize.BaseJSONSerializer._serialize_type_list

REQUEST_ID = string.ascii_letters + string.digits
"""The characters of a request's id."""

PLAIN = {"S": str, "N": str, "BOOL": bool, "NULL": bool}
"""The members of a DynamoDB value that JSON writes as they are; B and BS it does not."""


@replaces("moto.core.responses:method_names_from_class", was="9dbac89d082b")
def method_names(responses: type) -> list[str]:
    """List the operations that moto has of a service: there are no new ones once requests come."""
    return _METHODS(responses)


@replaces("moto.core.utils:create_loader", was="b94f7ea2b2fa")
def loader() -> Any:
    """Return one loader of AWS's models: each new one lists the folders of four hundred services."""
    return _LOADER()


@replaces("moto.core.responses:gen_amzn_requestid_long", was="e651941c2107")
def request_id(headerdict: dict[str, Any] | None = None) -> str:
    """Return the id of a request, drawn at once; moto draws each of its characters."""
    drawn = "".join(mock_random.choices(REQUEST_ID, k=52))
    if isinstance(headerdict, dict):
        headerdict["x-amzn-requestid"] = drawn
    return drawn


@replaces("moto.core.serialize:AttributePicker.__call__", was="c15da8ec29c1")
def picked(self: serialize.AttributePicker, context: serialize.AttributePickerContext) -> Any:
    """
    Return one member of an answer, by the first of its names that is there.

    Its names depend on its shape and on its structure: for a plain dict on
    nothing else. DynamoDB's values are dicts with one of ten members, which were all asked for by
    all of their names.
    """
    names = _names(self, context) if type(context.obj) is dict else None
    if names is None:
        return _PICK(self, context)
    held = context.obj
    value = next((held[name] for name in names if name in held), None)
    path = f"{context.key_path}.{context.key}"
    for end, transform in self.response_transformers.items():
        if path.endswith(end):
            return transform(value)
    return value


def _names(self: serialize.AttributePicker, context: serialize.AttributePickerContext) -> list[str] | None:
    """Return the names of a member, kept with its shape; None if moto has to look for it itself."""
    shape: Any = context.shape
    if shape is None or self.alias_providers is not serialize.DEFAULT_ALIAS_PROVIDERS:
        return None
    about = (type(self), context.key, getattr(shape, "parent", None))
    known = getattr(shape, "sandbox_names", None)
    if known is None or known[0] != about:
        names = list(dict.fromkeys(self.get_possible_keys(context)))
        known = about, None if any("." in name for name in names) else names  # which is a path
        shape.sandbox_names = known
    found: list[str] | None = known[1]
    return found


@replaces("moto.core.serialize:BaseJSONSerializer._serialize_type_structure", was="36873909cd0a")
def structure(self: serialize.BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """
    Write one structure of an answer.

    A value of DynamoDB is held as it is written. moto asks it for each of its ten members, and those of a
    list or a map in it for theirs, which is a sixth of the time of a sweep that has a ledger.
    """
    if shape.name == "AttributeValue" and key and _as_written(value):
        serialized[key] = value
    else:
        _STRUCTURE(self, serialized, value, shape, key)


@replaces("moto.core.serialize:BaseJSONSerializer._serialize_type_list", was="f87b14fe9166")
def listed(self: serialize.BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Write one list of an answer: the thousands of times and numbers of a metric at once."""
    written = _numbers(value, shape.member) if type(value) is list else None
    if written is None:
        _LIST(self, serialized, value, shape, key)
    else:
        self._default_serialize(serialized, written, shape, key)


def _numbers(values: list[Any], member: Any) -> list[Any] | None:
    """Return plain numbers, or whole seconds in UTC; None for all else, which is moto's."""
    if member.type_name == "double" and all(type(value) is float for value in values):
        return values
    if member.type_name == "timestamp" and not member.serialization and all(map(_whole_second, values)):
        return [int(value.timestamp()) for value in values]
    return None


def _whole_second(value: Any) -> bool:
    return type(value) is datetime and value.tzinfo is UTC and not value.microsecond


def _as_written(value: Any) -> bool:
    """Tell whether a value of DynamoDB is made of plain dicts, lists, strings and truth values alone."""
    if type(value) is not dict or len(value) != 1:
        return False
    ((kind, held),) = value.items()
    if kind in PLAIN:
        return type(held) is PLAIN[kind]
    if type(held) is list:
        return (
            all(map(_as_written, held))
            if kind == "L"
            else kind in ("SS", "NS") and all(type(value) is str for value in held)
        )
    return kind == "M" and type(held) is dict and all(map(_as_written, held.values()))
