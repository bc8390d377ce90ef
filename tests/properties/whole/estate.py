"""Random accounts of 10 to 60 things, some of which are plain waste of most kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from properties.worlds import (
    NEAR_MISSES,
    World,
    endpoints,
    jobs,
    log_groups,
    notebooks,
    other_jobs,
    studio,
    tuning,
)
from properties.worlds import warm_pools as pools
from properties.worlds.artifacts import COPY, Artifacts, Stores
from properties.worlds.base import COMPLETE, DAY, LABELS, NONE, Kind, Thing

WASTE = 5
"""The fewest kinds of waste in one account."""


def plain(kind: Kind[Thing]) -> Thing:
    """Waste without any tag, so that nobody manages it."""
    return replace(next(kind.near_misses()), labels=NONE)  # type: ignore[call-arg]


def copies(*, folders: bool) -> Artifacts:
    """An old artifact, and a younger one with the same bytes."""
    young = next(COPY.near_misses())
    return Artifacts(folders=folders, beside=False, copies=[replace(young, age=60 * DAY), young])


PLAIN: Mapping[str, Thing] = {
    "endpoint": plain(endpoints.KINDS[0]),
    "asynchronous endpoint": plain(endpoints.KINDS[1]),
    "endpoint with components": plain(endpoints.KINDS[2]),
    "notebook": plain(notebooks.OPEN),
    "JupyterLab app": plain(studio.KINDS[0]),
    "CodeEditor app": plain(studio.KINDS[1]),
    "KernelGateway app": plain(studio.KINDS[2]),
    "Canvas app": plain(studio.KINDS[3]),
    "training job": plain(jobs.KIND),
    "processing job": plain(other_jobs.KINDS[0]),
    "transform job": plain(other_jobs.KINDS[1]),
    "tuning job": plain(tuning.KIND),
    "warm pool": plain(pools.KIND),
    "log group": plain(log_groups.KIND),
    "copies": copies(folders=False),
    "copies of several files": copies(folders=True),
}


OTHERS = [thing for thing in NEAR_MISSES.things if not getattr(thing, "scheduled", False)]
"""All near misses but notebooks that a clock stops: no clock does here."""


def some_estate(random: Random) -> World:
    """An account, all of whose chances come from *random*."""
    waste = random.sample(sorted(PLAIN), random.randint(WASTE, len(PLAIN)))
    others = random.sample(OTHERS, max(0, random.randint(10, 60) - len(waste)))
    things = [*(PLAIN[name] for name in waste), *others]
    random.shuffle(things)
    above = random.choice([NONE, NONE, COMPLETE])
    stores = Stores(labels=(above, random.choice(LABELS)), versioned=random.random() < 0.7)
    return World(things=things, stores=stores, bucket=random.choice(LABELS))
