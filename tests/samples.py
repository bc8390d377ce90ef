"""
Which rows of a long table this run tries: one law holds for all of them, so every run tries a share.

Each commit has another seed, so that the samples change, and a run that is repeated tries the same ones.
SEED=17 tries other ones; `make soak` tries all rows.
"""

import os
import random
import subprocess
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

SOAK = bool(os.environ.get("NIGHTS"))
"""`make soak` always says how many nights."""


def new_seed() -> int:
    """Return the seed of the committed files; in a soak, and where git does not know them, a random one."""
    folder = Path(__file__).parent
    asked = ["git", "-C", str(folder), "rev-parse", "HEAD^{tree}"]  # a merge may leave it as it is
    if not SOAK and not os.environ.get("BILLS") and (folder.parent / ".git").exists():
        files = subprocess.run(asked, capture_output=True, text=True, check=False)
        if files.returncode == 0:
            return int(files.stdout[:12], 16) % 10**6
    return random.SystemRandom().randrange(10**6)


SEED = int(os.environ.get("SEED") or os.environ.get("SEED_OF_RUN") or new_seed())
os.environ["SEED_OF_RUN"] = str(SEED)
"""One for all workers of a run, which inherit what is in the environment."""


def share(
    rows: Iterable[Any], parts: int, *, always: Collection[Any] = (), ids: Callable[[Any], str] = str
) -> list[Any]:
    """
    *rows* as values of one parameter: a run tries those in *always*, and every *parts*-th of the others.

    The rest is marked `long`.
    """
    params, number = [], SEED
    for row in rows:
        number += row not in always
        tried = not SOAK and (row in always or number % parts == 0)
        params.append(pytest.param(row, id=ids(row), marks=[] if tried else [pytest.mark.long]))
    return params
