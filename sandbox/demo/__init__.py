"""
A company's machine-learning account at night: what the audit is shown on, and tried against.

`seed` makes it in a sandbox. `WASTE` is what an audit should find there, `LOOKALIKES` what it has
to leave alone although it looks like waste, `UNKNOWN` what nobody can judge. To add something, add a
row to a table: `idle_endpoints`, `busy_endpoints`, `notebook_table`, `job_table`, `other_jobs`,
`studio_table`, `copies`, `leftovers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from sandbox.demo import copies, endpoints, jobs, notebooks, studio
from sandbox.demo.busy_endpoints import BUSY
from sandbox.demo.copies import ARTIFACTS
from sandbox.demo.idle_endpoints import IDLE, LOOK_IDLE, UNTELLABLE
from sandbox.demo.job_table import JOBS
from sandbox.demo.leftovers import LEFTOVERS, untagged
from sandbox.demo.notebook_table import NOTEBOOKS
from sandbox.demo.other_jobs import OTHER_JOBS
from sandbox.demo.plan import Plan, Row
from sandbox.demo.storage import plan_buckets
from sandbox.demo.studio_table import APPS, DOMAINS
from sandbox.demo.times import NOW
from sandbox.demo.truth import Kind, Known

__all__ = ["LOOKALIKES", "NOW", "UNKNOWN", "WASTE", "Known", "seed"]

TABLES: Mapping[str, tuple[Row, ...]] = {
    endpoints.DETECTOR: (*IDLE, *UNTELLABLE, *LOOK_IDLE, *BUSY),
    notebooks.DETECTOR: NOTEBOOKS,
    jobs.DETECTOR: (*JOBS, *OTHER_JOBS),
    studio.DETECTOR: APPS,
    copies.DETECTOR: ARTIFACTS,
}
"""Every row, by the detector that judges it. What lacks tags is told from all of them."""


def seed(url: str) -> None:
    """Make the account in the empty sandbox at *url*, and leave its clock at NOW."""
    _history().carry_out(url)


@cache
def _history() -> Plan:
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


def _known(kind: Kind) -> Iterator[Known]:
    for detector, table in TABLES.items():
        for row in table:
            if row.truth is not None and row.truth.kind is kind:
                yield Known(detector, row.arn, row.name, row.truth.why, row.truth.confidence)


WASTE = (*_known(Kind.WASTE), *untagged(_history()))
LOOKALIKES = tuple(_known(Kind.LOOKALIKE))
UNKNOWN = tuple(_known(Kind.UNKNOWN))
