"""Every row of the demo's tables, and the history that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ml_janitor_sandbox.demo import copies, endpoints, jobs, notebooks, studio
from ml_janitor_sandbox.demo.busy_endpoints import BUSY
from ml_janitor_sandbox.demo.copies import ARTIFACTS
from ml_janitor_sandbox.demo.idle_endpoints import IDLE, LOOK_IDLE, UNTELLABLE
from ml_janitor_sandbox.demo.job_table import JOBS
from ml_janitor_sandbox.demo.leftovers import LEFTOVERS
from ml_janitor_sandbox.demo.notebook_table import NOTEBOOKS
from ml_janitor_sandbox.demo.other_jobs import OTHER_JOBS
from ml_janitor_sandbox.demo.plan import Plan, Row
from ml_janitor_sandbox.demo.storage import plan_buckets
from ml_janitor_sandbox.demo.studio_table import APPS, DOMAINS

TABLES: Mapping[str, tuple[Row, ...]] = {
    endpoints.DETECTOR: (*IDLE, *UNTELLABLE, *LOOK_IDLE, *BUSY),
    notebooks.DETECTOR: NOTEBOOKS,
    jobs.DETECTOR: (*JOBS, *OTHER_JOBS),
    studio.DETECTOR: APPS,
    copies.DETECTOR: ARTIFACTS,
}
"""Every row, by the detector that judges it. What lacks tags is told from all of them."""


@cache
def history() -> Plan:
    """All that has happened until now, in the order of the tables."""
    plan = Plan()
    plan_buckets(plan)
    for domain in DOMAINS:
        domain.plan(plan)
    studio.plan_profiles(plan, APPS)
    for table in TABLES.values():
        for row in table:
            row.plan(plan)
    for leftover in LEFTOVERS:
        leftover.plan(plan)
    return plan
