"""
Whatever happens in whatever nights: nothing is done that may not be done, and nothing twice.

`make soak NIGHTS=2000` lives through more nights, `make soak SEED=17` once more through those of one account.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from properties.conftest import Live

NIGHTS = 10
"""Of each account."""

ACCOUNTS = int(os.environ.get("NIGHTS") or 60) // NIGHTS
SEEDS = [int(os.environ["SEED"])] if os.environ.get("SEED") else list(range(1, ACCOUNTS + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_done_that_may_not_be_done(seed: int, live: Live) -> None:
    live(seed, nights=NIGHTS)
