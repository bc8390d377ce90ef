"""Whoever writes into the counters of the limits has a sweep act on more than the settings allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.core.results import CauseCode, Outcome
from ml_janitor.ledger.limits import LIMIT_KEY
from ml_janitor.ledger.table import format_stamp
from standin import ARMED, DAY, Nights, in_memory

NAMES = [f"lamp-{number}" for number in range(5)]


@pytest.fixture
def nights() -> Iterator[Nights]:
    """Five lamps that are due."""
    with in_memory() as nights:
        nights.arming = replace(ARMED, max_share=100)
        nights.warned(*NAMES)
        nights.clock += 4 * DAY
        yield nights


@pytest.mark.parametrize(
    ("per_sweep", "per_night", "why"), [(1, 50, "MAX_ACTIONS"), (9, 2, "MAX_ACTIONS_PER_NIGHT")]
)
def test_marks_that_nobody_took_give_no_places_in_one_sweep(
    nights: Nights, per_sweep: int, per_night: int, why: str
) -> None:
    """Before, five of five were removed at a limit of one: the names of counters and marks are public."""
    nights.arming, nights.at_most = replace(nights.arming, max_actions=per_sweep), per_night
    keys = [entry.key for entry in nights.ledger.entries("cellar", ACCOUNT, REGION)]
    counters = {
        f"sweep#cellar#{ACCOUNT}#{REGION}#{format_stamp(nights.clock)}": keys,
        f"night#{ACCOUNT}#{(nights.clock - DAY / 2).date().isoformat()}": [f"cellar {key}" for key in keys],
    }
    for counter, actions in counters.items():
        marks = {sha256(action.encode()).hexdigest()[:16] for action in actions}
        nights.table.change(LIMIT_KEY, counter, add={"taken": marks})

    results = nights.after(0 * DAY)

    acted = [name for name in NAMES if results[name].outcome is Outcome.ACTED]
    assert len(acted) == min(per_sweep, per_night)
    assert {results[name].why for name in NAMES if name not in acted} == {CauseCode[why]}
