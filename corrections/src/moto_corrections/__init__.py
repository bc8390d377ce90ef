"""
Corrections of moto, and what it lacks of AWS: one file for each area, applied once by `install`.

To add one, write a function decorated by `patches.serves` or `patches.replaces`, in a module of `AREAS`.
"""

import importlib
from collections.abc import Collection

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.s3.models import s3_backends

from moto_corrections import clock, patches, selfcheck, state

AREAS = (
    "dispatch",
    "accounts",
    "autoscaling",
    "cloudformation",
    "cloudtrail",
    "cloudwatch",
    "ecr",
    "kms",
    "lifecycles",
    "logs",
    "notifications",
    "objects",
    "policies",
    "sagemaker.endpoints",
    "sagemaker.jobs",
    "sagemaker.monitoring",
    "sagemaker.notebooks",
    "sagemaker.plain_kinds",
    "sagemaker.registry",
    "sagemaker.search",
    "sagemaker.studio",
    "tags",
)
_installed: set[str] = set()


def load() -> None:
    """Import every area, which declares its patches."""
    for area in AREAS:
        importlib.import_module(f"{__name__}.{area}")


def install(*, late: Collection[str] = ()) -> None:
    """
    Check moto against every patch that is not applied yet, then apply them.

    Patches of the services in *late*, by moto's names, wait for `install_late`: importing these services
    takes time. Raises MotoHasMovedError.
    """
    load()
    waiting = [patch for patch in patches.PATCHES if patch.target not in _installed]
    now = [patch for patch in waiting if patch.service not in late]
    if not now:
        return
    selfcheck.verify(now, relied_on={} if _installed else selfcheck.RELIED_ON)  # the clock replaced some
    for patch in now:
        _apply(patch)
    clock.install()


def install_late(service: str) -> None:
    """Apply the patches of a service that is asked for, if they waited for that."""
    for patch in patches.PATCHES:
        if patch.service == service and patch.target not in _installed:
            _apply(patch)


def _apply(patch: patches.Patch) -> None:
    owner, name = patches.find(patch.target)
    setattr(owner, name, patch.replacement)
    _installed.add(patch.target)


def reset() -> None:
    """Empty AWS, and set the default time."""
    with state.LOCK:
        BackendDict.reset()
        reset_model_data()
        s3_backends.reset()
        state.clear()
        clock.set_now(clock.DEFAULT)
