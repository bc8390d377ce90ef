"""
A check that refuses to start on a moto that is not the one these corrections were written against.

A correction that silently no longer applies would give tests that pass and mean nothing.
`python -m moto_corrections.selfcheck` prints what it finds, which is also how to get a new digest.
"""

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from moto_corrections import patches

MOTO = "5.2.5"

RELIED_ON = {
    "moto.core.responses:BaseResponse.call_action": "26076963fd17",
    "moto.core.responses:BaseResponse.parse_parameters": "fd3d04c91948",
    "moto.core.responses:BaseResponse.serialized": "af486a0ef132",
    "moto.core.responses:ActionResult.execute_result": "6333faa349b5",
    "moto.core.utils:utcnow": "7b8bb404c4f6",
    "moto.core.utils:unix_time": "f0576ec9e5f5",
    "moto.core.base_backend:BackendDict.reset": "3d511e2c8b71",
}
"""What the corrections lean on without replacing it: how moto finds, calls and serialises an operation."""


class MotoHasMovedError(RuntimeError):
    """An error that lists how moto differs from what the corrections expect."""


def problems(expected: Iterable[patches.Patch], relied_on: Mapping[str, str] | None = None) -> list[str]:
    """List all that does not match, one line each; RELIED_ON without *relied_on*."""
    found = []
    if (installed := version("moto")) != MOTO:
        found.append(f"moto {installed} is installed, the corrections are written against {MOTO}")
    wanted = list(expected)
    relied_on = RELIED_ON if relied_on is None else relied_on
    for target, was in ({**relied_on} | {patch.target: patch.was for patch in wanted if patch.was}).items():
        try:
            now = patches.digest(target)
        except (ImportError, AttributeError, TypeError, OSError) as problem:
            found.append(f"{target} is gone: {problem}")
            continue
        if now != was:
            found.append(f"{target} has changed: its digest is {now}, expected {was}")
    for target in (patch.target for patch in wanted if patch.was is None):
        holder = target.rpartition(".")[0]
        try:
            patches.find(f"{holder}.anything")
        except (ImportError, AttributeError) as problem:
            found.append(f"{holder} is gone: {problem}")
    return found


def verify(expected: Iterable[patches.Patch], relied_on: Mapping[str, str] | None = None) -> None:
    """Raise one error that names every mismatch."""
    if found := problems(expected, relied_on):
        lines = "\n  ".join(found)
        raise MotoHasMovedError(
            f"The corrections do not fit the installed moto:\n  {lines}\n"
            "Check each of them against moto's new source, then update its digest."
        )


if __name__ == "__main__":
    from moto_corrections import load

    load()
    mismatches = problems(patches.PATCHES)
    fine = f"moto {MOTO}: every patched symbol is as expected"
    sys.stdout.write("\n".join(mismatches or [fine]) + "\n")
    sys.exit(1 if mismatches else 0)
