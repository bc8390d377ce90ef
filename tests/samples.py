"""
Which rows of a long table this run tries: one law holds for all of them, so every run tries a share.

Which share that is changes from run to run. SEED=17 repeats that of one run; `make soak` tries all rows.
"""

import os
import random
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

SEED = int(
    os.environ.get("SEED")
    or os.environ.setdefault("SEED_OF_RUN", str(random.SystemRandom().randrange(10**6)))
)
"""One for all workers of a run, which inherit what is in the environment."""

SOAK = bool(os.environ.get("NIGHTS"))
"""`make soak` always says how many nights."""


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
