"""
Random accounts, and an oracle that knows what is waste in them.

Every thing here carries its own truth, written from what the words mean, and shares no code with
the detectors: there is one file for each kind, and for all jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import boto3
from hypothesis import strategies as st

from ml_janitor_sandbox.control import Control
from properties.worlds import artifacts, endpoints, jobs, log_groups, notebooks, resources, studio
from properties.worlds.artifacts import Artifacts, Stores, some_artifacts, some_stores
from properties.worlds.base import (
    BUCKET,
    COMPLETE,
    LABELS,
    NONE,
    UNKEPT,
    Account,
    Claim,
    Fault,
    Kind,
    Labels,
    Thing,
    refusals,
)
from properties.worlds.endpoints import Endpoint, build_model

__all__ = [
    "ADVISED",
    "FAULTS",
    "LISTINGS",
    "NEAR_MISSES",
    "RARE",
    "Claim",
    "Fault",
    "World",
    "build_rare",
    "refusals",
    "share_of_near_misses",
    "worlds",
]

LISTINGS = {
    # what each detector judges comes from these; without one, its sweep is not complete
    "idle-endpoints": {"sagemaker:ListEndpoints"},
    "idle-notebooks": {"sagemaker:ListNotebookInstances"},
    "idle-studio-apps": {"sagemaker:ListApps"},
    "hung-training-jobs": {
        "sagemaker:Search",
        "sagemaker:ListTrainingJobs",
        "sagemaker:ListProcessingJobs",
        "sagemaker:ListTransformJobs",
        "sagemaker:ListHyperParameterTuningJobs",
    },
    "untagged-resources": {"sagemaker:ListEndpoints", "sagemaker:ListModels", "sagemaker:Search"},
    "duplicate-artifacts": {"s3:ListBuckets", "s3:ListObjectsV2"},
    "forgotten-leftovers": {"logs:DescribeLogGroups"},
}

ADVISED: tuple[Any, ...] = tuple(
    world
    for found in iter_modules(__path__)
    if hasattr(world := import_module(f"{__name__}.{found.name}"), "LISTINGS")
)
"""The worlds of advisers: each file here with LISTINGS."""

RARE = tuple(world for world in ADVISED if getattr(world, "RARE", False))
"""Those of what the demo account has none of: accounts that need each permission get their plain waste."""


def build_rare(session: boto3.Session, control: Control, now: datetime) -> None:
    """Make the plain waste of each world that is RARE."""
    account = Account(session=session, control=control, now=now)
    for kind in (kind for world in RARE for kind in world.KINDS):
        account.add(next(kind.near_misses()))


@dataclass(frozen=True)
class World:
    """One account and what goes wrong with it."""

    things: Sequence[Thing]
    stores: Stores
    bucket: Labels
    faults: Sequence[Fault] = ()

    def build(self, session: boto3.Session, control: Control, now: datetime) -> list[Claim]:
        """Make everything; the answer is what is claimed of it."""
        account = Account(session=session, control=control, now=now)
        self.stores.build(account)
        used = any(thing.stores for thing in self.things)
        perhaps = any(may_name_the_bucket(thing) for thing in self.things)
        account.bucket(BUCKET, self.bucket, judged=used or perhaps, certainly=used)
        build_model(account)
        for thing in sorted(self.things, key=lambda thing: isinstance(thing, Artifacts)):
            account.add(thing)  # artifacts last: what else there is may refer to them
        return account.claims


def may_name_the_bucket(thing: Thing) -> bool:
    """Whether Search may name it: of an async endpoint, or as the last transform job of a model."""
    match thing:
        case Endpoint(kind="async") | resources.Resource(kind="transform-job") | jobs.TransformJob():
            return True
        case _:
            return False


some_things = st.one_of(
    *(kind.some for kind in (*endpoints.KINDS, *notebooks.KINDS, jobs.TRAINING, jobs.TRAINING)),
    *(kind.some for kind in (*jobs.OTHERS, jobs.TUNING, jobs.WARM_POOLS, log_groups.KIND)),
    *(kind.some for kind in (*studio.KINDS, *resources.KINDS[-2:])),
    some_artifacts,
    some_artifacts,
    some_artifacts,
)

KINDS = ("error", "throttle", "deny", "truncate", "lost-reply", "break-page")


@st.composite
def some_worlds(draw: st.DrawFn) -> World:
    """An account, and faults in one or two calls that tell something about it."""
    things = draw(st.lists(some_things, min_size=3, max_size=7))
    faults = st.builds(
        Fault,
        call=st.sampled_from(sorted({call for thing in things for call in thing.calls})),
        kind=st.sampled_from(KINDS),
        lasting=st.sampled_from([True, True, True, False]),
        skip=st.sampled_from([0, 0, 0, 0, 1, 3]),
    )
    return World(
        things=things,
        stores=draw(some_stores),
        bucket=draw(st.sampled_from(LABELS)),
        faults=draw(st.lists(faults, min_size=1, max_size=2)),
    )


worlds = some_worlds()

EVERY_KIND: tuple[Kind[Any], ...] = (
    *(*endpoints.KINDS, *notebooks.KINDS, jobs.TRAINING, *jobs.OTHERS, jobs.TUNING),
    *(*studio.KINDS, *resources.KINDS, jobs.WARM_POOLS, jobs.OTHER_POOLS, log_groups.KIND),
)
NEAR_MISSES = World(
    things=[*(thing for kind in EVERY_KIND for thing in kind.near_misses()), *artifacts.near_misses()],
    stores=Stores(labels=(UNKEPT[1], COMPLETE), versioned=True),
    bucket=NONE,
)
"""Plain waste of every kind, and all that is waste but for a single member."""


def share_of_near_misses(share: int, shares: int) -> World:
    """Every so many-th of them, beginning with any: whichever number *share* is, there is one."""
    return replace(NEAR_MISSES, things=NEAR_MISSES.things[share % shares :: shares])


FAULTS = [
    *(
        Fault(call, "deny" if call == "s3:HeadObject" else "truncate", lasting=True)
        for call in sorted({call for thing in NEAR_MISSES.things for call in thing.calls})
    ),
    Fault("logs:GetLogEvents", "deny", lasting=True, match="algo-2"),
]
"""
Each call giving half an answer, which is worse than an error: boto3 takes it for an empty one. And one
stream of several that cannot be read.
"""
