"""
Whatever happens in whatever nights: nothing is done that may not be done, and nothing twice.

`make soak NIGHTS=2000` lives through more nights, `make soak SEED=17` once more through those of one account.
"""

from __future__ import annotations

import pytest

from properties.conftest import LONG_IN_SOAK, SEED, SOAK, Live

pytestmark = LONG_IN_SOAK

NIGHTS = 10
"""Of each account."""

SEEDS = [SEED] if SEED else range(1, (SOAK or 40) // NIGHTS + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_done_that_may_not_be_done(seed: int, live: Live) -> None:
    live(seed, nights=NIGHTS)
