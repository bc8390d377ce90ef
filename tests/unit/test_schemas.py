"""The schemas of docs/schemas: a reader of a released version's documents reads those of this version."""

import json
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reports import schema
from standin import ROOT
from tables import cases

RELEASED = json.loads((ROOT / "tests" / "upgrade" / "schemas-0.1.0.json").read_text())
"""Each document of the last release: its version, and the types of its keys, as `key_types` returns them."""

NAMES = sorted(path.stem for path in (ROOT / "docs" / "schemas").iterdir())


JSON_TYPES = {str: "string", int: "integer", type(None): "null"}


def key_types(document: dict[str, Any]) -> dict[str, list[str]]:
    """The types of the values at each key of a *document*'s schema, by the key's path."""
    found: dict[str, set[str]] = {}

    def walk(node: dict[str, Any], path: str) -> None:
        if "$ref" in node:
            walk(document["$defs"][node["$ref"].removeprefix("#/$defs/")], path)
        for inner in node.get("anyOf", ()):
            walk(inner, path)
        types = node.get("type", [])
        words = node.get("enum", [node["const"]] if "const" in node else [])
        told = {JSON_TYPES[type(word)] for word in words}
        found.setdefault(path, set()).update([types] if isinstance(types, str) else types, told)
        for key, inner in node.get("properties", {}).items():
            walk(inner, f"{path}.{key}".lstrip("."))
        if "items" in node:
            walk(node["items"], f"{path}[]")

    walk(document, "")
    return {path: sorted(types) for path, types in found.items() if path}


def breaking_changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """The keys whose reader fails: they are gone, or have a type that they did not have."""
    return [path for path, types in before.items() if path not in after or not {*after[path]} <= {*types}]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_keeps_what_was_released_or_has_a_new_version(name: str) -> None:
    now = schema(name)
    Draft202012Validator.check_schema(now)
    version = now["properties"]["schema_version"]["const"]
    assert now["$id"] == f"urn:ml-janitor:{name}:{version}"
    if name not in RELEASED:
        return
    released = RELEASED[name]
    changed = breaking_changes(released["keys"], key_types(now))
    assert version == released["version"] + bool(changed), changed


@cases(
    "change, broken",
    (lambda of: of["$defs"]["result"]["properties"].pop("arn"), ["results[].arn"]),
    (
        lambda of: of["$defs"]["result"]["properties"].update(reason={"type": ["string", "null"]}),
        ["results[].reason"],
    ),
    (lambda of: of["properties"].update(more={"type": "string"}), []),
    (lambda of: of["$defs"]["result"]["properties"]["outcome"]["enum"].append("sold"), []),
    (lambda of: of["$defs"]["result"]["properties"].update(owner={"type": "string"}), []),
)
def test_what_breaks_a_reader_is_told_from_what_does_not(change: Any, broken: list[str]) -> None:
    before = schema("report")
    after = deepcopy(before)
    change(after)

    assert breaking_changes(key_types(before), key_types(after)) == broken
