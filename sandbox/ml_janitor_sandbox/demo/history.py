"""Every resource of the demo's tables, and the history that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ml_janitor_sandbox.demo import clusters, endpoints, jobs, kept, notebooks, storage, studio
from ml_janitor_sandbox.demo.charges import PAYMENTS, TRANSFERS
from ml_janitor_sandbox.demo.leftovers import LEFTOVERS
from ml_janitor_sandbox.demo.plan import Plan
from ml_janitor_sandbox.demo.rows import Row

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
    """All that has happened until now, in the order of the tables."""
    plan = Plan()
    for row in (*storage.BUCKETS, *studio.DOMAINS.values()):
        row.plan(plan)
    studio.plan_profiles(plan)
    others = (table for table in TABLES.values() if table is not storage.BUCKETS)
    charges = [one for one in PAYMENTS if one not in TRANSFERS]
    for table in (*others, storage.DATASETS, LEFTOVERS, charges):
        for row in table:
            row.plan(plan)
    return plan
