"""A check that refuses to start on a moto that is not the one these fixes were written against.

A fix that silently no longer applies would give tests that pass and mean nothing.
`python -m ml_janitor_sandbox.selfcheck` prints what it finds, which is also how to get a new digest.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from importlib.metadata import version

from ml_janitor_sandbox import patches

MOTO = "5.2.5"

# What the fixes lean on without replacing it: how moto finds, calls and serialises an operation.
RELIED_ON = {
    "moto.core.responses:BaseResponse.call_action": "26076963fd17",
    "moto.core.responses:BaseResponse.parse_parameters": "fd3d04c91948",
    "moto.core.responses:BaseResponse.serialized": "af486a0ef132",
    "moto.core.responses:ActionResult.execute_result": "6333faa349b5",
    "moto.core.utils:utcnow": "7b8bb404c4f6",
    "moto.core.utils:unix_time": "f0576ec9e5f5",
    "moto.core.base_backend:BackendDict.reset": "3d511e2c8b71",
    "moto.moto_server.werkzeug_app:DomainDispatcherApplication.get_backend_for_host": "1f41972c1e4e",
    "moto.moto_server.werkzeug_app:create_backend_app": "a317751ebd1c",
}


class MotoHasMovedError(RuntimeError):
    """An error that lists how moto differs from what the sandbox's fixes expect."""


def problems(late: Collection[str] = ()) -> list[str]:
    """List all that does not match, one line each; the services in *late* are not imported for that."""
    found = []
    if (installed := version("moto")) != MOTO:
        found.append(f"moto {installed} is installed, the sandbox is written against {MOTO}")
    replaced = {p.target: p.was for p in patches.PATCHES if p.was is not None and p.service not in late}
    expected = RELIED_ON | replaced
    for target, was in expected.items():
        try:
            now = patches.digest(target)
        except (ImportError, AttributeError, TypeError, OSError) as problem:
            found.append(f"{target} is gone: {problem}")
            continue
        if now != was:
            found.append(f"{target} has changed: its digest is {now}, expected {was}")
    for target in (p.target for p in patches.PATCHES if p.was is None and p.service not in late):
        holder = target.rpartition(".")[0]
        try:
            patches.find(f"{holder}.anything")
        except (ImportError, AttributeError) as problem:
            found.append(f"{holder} is gone: {problem}")
    return found


def verify() -> None:
    """Raise one error that names every mismatch."""
    if found := problems(patches.LATE):
        lines = "\n  ".join(found)
        raise MotoHasMovedError(
            f"The sandbox does not fit the installed moto:\n  {lines}\n"
            "Check each fix against moto's new source, then update its digest."
        )


if __name__ == "__main__":
    from ml_janitor_sandbox import fixes

    fixes.load()
    mismatches = problems()
    fine = f"moto {MOTO}: every patched symbol is as expected"
    sys.stdout.write("\n".join(mismatches or [fine]) + "\n")
    sys.exit(1 if mismatches else 0)
