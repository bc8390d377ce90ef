"""Every correction and addition to moto, one file for each area of AWS.

To add one: write `sandbox/fixes/AREA.py` with functions decorated by `patches.serves` or
`patches.replaces`, and put its name in `AREAS`.
"""

from __future__ import annotations

import importlib

from ml_janitor_sandbox import clock, patches, selfcheck
from ml_janitor_sandbox.billing import meters

AREAS = (
    "dispatch",
    "accounts",
    "autoscaling",
    "cloudformation",
    "cloudtrail",
    "cloudwatch",
    "components",
    "declared_objects",
    "ecr",
    "endpoint_configs",
    "endpoints",
    "jobs",
    "kms",
    "lifecycles",
    "logs",
    "monitoring",
    "notebooks",
    "objects",
    "plain_kinds",
    "pricing",
    "registry",
    "search",
    "studio",
    "studio_apps",
    "tags",
    "training",
)
_installed: list[str] = []


def load() -> None:
    """Import every area, which declares its patches."""
    for area in AREAS:
        importlib.import_module(f"ml_janitor_sandbox.fixes.{area}")


def install() -> None:
    """Check moto against every patch, then apply them but for what comes late; once in a process."""
    if _installed:
        return
    load()
    selfcheck.verify()
    for patch in patches.PATCHES:
        if patch.service not in patches.LATE:
            _apply(patch)
    clock.install()
    meters.watch()
    importlib.import_module("ml_janitor_sandbox.fixes.declared_objects").watch()


def install_late(service: str) -> None:
    """Apply the patches of a service that is asked for, if they come late."""
    for patch in patches.PATCHES:
        if patch.service == service in patches.LATE and patch.target not in _installed:
            _apply(patch)


def _apply(patch: patches.Patch) -> None:
    owner, name = patches.find(patch.target)
    setattr(owner, name, patch.replacement)
    _installed.append(patch.target)
