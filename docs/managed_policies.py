"""
What AWS's managed ReadOnlyAccess and ViewOnlyAccess hold of the calls that detectors make.

The two documents are those that moto packages, as AWS gave them out on the days that they name. Only what
matters here is kept, in managed_policies.json: `python docs/managed_policies.py` writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_janitor.detectors import DETECTORS
from ml_janitor_sandbox.iam.conditions import like

PATH = Path(__file__).with_suffix(".json")
POLICIES = ("ReadOnlyAccess", "ViewOnlyAccess")
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "duplicate-artifacts": {
        "inventories": {
            "acme-models": {
                "table": "s3.acme_models",
                "location": "s3://acme-inventories/acme-models/all/",
                "output": "s3://acme-athena/janitor/",
            },
            "acme-scratch": {
                "table": "s3tablescatalog/aws-s3.b_acme-scratch.inventory",
                "output": "s3://acme-athena/janitor/",
            },
        },
    }
}
"""Settings besides `read_contents_in` under which a detector reads more."""

CONTENTS: Mapping[str, Mapping[str, Any]] = {
    "duplicate-artifacts": {"read_contents_in": ("acme-models/",), **SETTINGS["duplicate-artifacts"]}
}
"""Settings under which a detector reads all that it ever reads."""


def asked_for() -> dict[str, bool]:
    """Every action that a detector may be given for reading, and whether only under settings."""
    default = {grant.action for one in DETECTORS for grant in one().reads}
    all_of_it = {grant.action for one in DETECTORS for grant in one(**CONTENTS.get(one.name, {})).reads}
    return {action: action not in default for action in sorted(all_of_it)}


def holds(patterns: Iterable[str], action: str) -> bool:
    """Whether a policy with these actions allows *action*; IAM compares them in any case."""
    return any(like(pattern.lower(), action.lower()) for pattern in patterns)


def packaged() -> dict[str, Any]:
    """The part of both documents that is about what is asked for, with their versions and dates."""
    import moto
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    documents = json.loads(aws_managed_policies_data)
    return {"source": f"moto {moto.__version__}, moto/iam/aws_managed_policies.py"} | {
        name: {
            "version": documents[name]["DefaultVersionId"],
            "updated": documents[name]["UpdateDate"][:10],
            "actions": matching(documents[name]["Document"]["Statement"]),
        }
        for name in POLICIES
    }


def matching(statements: Iterable[dict[str, Any]]) -> list[str]:
    """The actions, wildcards and all, that allow something that is asked for, on everything and always."""
    return sorted(
        pattern
        for statement in statements
        if (statement["Effect"], statement["Resource"], "Condition" in statement) == ("Allow", "*", False)
        for pattern in statement["Action"]
        if any(holds([pattern], action) for action in asked_for())
    )


def table() -> str:
    """Call by call: what is asked for, and which of the two policies holds it."""
    known = json.loads(PATH.read_text())
    heads = [f"{name} {known[name]['version']}, {known[name]['updated']}" for name in POLICIES]
    lines = [f"| asked for | {' | '.join(heads)} |", "| --- | --- | --- |"]
    for action, only in asked_for().items():
        held = ["yes" if holds(known[name]["actions"], action) else "**no**" for name in POLICIES]
        named = f"`{action}` (where the settings say so)" if only else f"`{action}`"
        lines.append(f"| {named} | {' | '.join(held)} |")
    return "\n".join([*lines, "", f"Source: AWS's documents in {known['source']}."])


if __name__ == "__main__":
    PATH.write_text(json.dumps(packaged(), indent=2) + "\n")
