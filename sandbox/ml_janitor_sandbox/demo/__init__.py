"""
A company's machine-learning account at night: what the audit is shown on, and tried against.

`seed` creates it in a sandbox. `WASTE` is what an audit should find there, `LOOKALIKES` what it has
to leave alone although it looks like waste, `UNKNOWN` what nobody can judge. To add a resource, add a
line to a table in `account/`. `days.Days` is how life goes on there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ml_janitor_sandbox.demo import clusters, endpoints, jobs, kept, notebooks, storage, studio
from ml_janitor_sandbox.demo.charges import PAYMENTS, TRANSFERS
from ml_janitor_sandbox.demo.leftovers import DETECTOR, LEFTOVERS, untagged
from ml_janitor_sandbox.demo.plan import Plan
from ml_janitor_sandbox.demo.rows import Row
from ml_janitor_sandbox.demo.times import NOW

__all__ = ["JUDGES", "LOOKALIKES", "NOW", "TABLES", "UNKNOWN", "WASTE", "Known", "history", "seed"]

TABLES: Mapping[str, tuple[Row, ...]] = {
    endpoints.DETECTOR: endpoints.ENDPOINTS,
    notebooks.DETECTOR: notebooks.NOTEBOOKS,
    jobs.DETECTOR: jobs.JOBS,
    studio.DETECTOR: studio.APPS,
    storage.DETECTOR: storage.ARTIFACTS,
    storage.TIERING: storage.BUCKETS,
    kept.DETECTOR: kept.KEPT,
    clusters.DETECTOR: clusters.CLUSTERS,
    "cross-region-traffic": TRANSFERS,
}
"""Every resource, by the detector that judges it. What lacks tags is told from all of them."""


@cache
def history() -> Plan:
    """Return all that has happened until now, in the order of the tables."""
    plan = Plan()
    for row in (*storage.BUCKETS, *studio.DOMAINS.values()):
        row.plan(plan)
    studio.plan_profiles(plan)
    others = (table for table in TABLES.values() if table is not storage.BUCKETS)
    charges = [payment for payment in PAYMENTS if payment not in TRANSFERS]
    for table in (*others, storage.DATASETS, LEFTOVERS, charges):
        for row in table:
            row.plan(plan)
    return plan


@dataclass(frozen=True, slots=True)
class Known:
    """
    A resource with its true state, and *why*, for the *detector* that should find it.

    *confidence* is what the available signals allow for waste: "proven" or "likely".
    """

    detector: str
    arn: str
    name: str
    why: str
    confidence: str | None = None


def seed(url: str) -> None:
    """Create the account in the empty sandbox at *url*, and leave its clock at NOW."""
    history().carry_out(url)


_ROWS = [(detector, row) for detector, table in TABLES.items() for row in table]

JUDGES = frozenset({*TABLES, DETECTOR})
"""The detectors of which all that is said here is known; others judge the same account."""

WASTE = (
    *(
        Known(detector, row.arn, row.name, row.waste or row.likely_waste, "proven" if row.waste else "likely")
        for detector, row in _ROWS
        if row.waste or row.likely_waste
    ),
    *(Known(DETECTOR, arn, name, why, "proven") for arn, name, why in untagged(history())),
)
LOOKALIKES = tuple(
    Known(detector, row.arn, row.name, row.lookalike) for detector, row in _ROWS if row.lookalike
)
UNKNOWN = tuple(Known(detector, row.arn, row.name, row.unknown) for detector, row in _ROWS if row.unknown)
