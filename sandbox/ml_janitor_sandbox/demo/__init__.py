"""
A company's machine-learning account at night: what the audit is shown on, and tried against.

`seed` makes it in a sandbox. `WASTE` is what an audit should find there, `LOOKALIKES` what it has
to leave alone although it looks like waste, `UNKNOWN` what nobody can judge. To add something, add a
row to a table: `idle_endpoints`, `busy_endpoints`, `notebook_table`, `job_table`, `other_jobs`,
`studio_table`, `copies`, `leftovers`. `days.Days` is how life goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ml_janitor_sandbox.demo.history import TABLES, history
from ml_janitor_sandbox.demo.leftovers import DETECTOR, untagged
from ml_janitor_sandbox.demo.times import NOW
from ml_janitor_sandbox.demo.truth import Kind, Known

__all__ = ["JUDGES", "LOOKALIKES", "NOW", "UNKNOWN", "WASTE", "Known", "seed"]


def seed(url: str) -> None:
    """Make the account in the empty sandbox at *url*, and leave its clock at NOW."""
    history().carry_out(url)


def _known(kind: Kind) -> Iterator[Known]:
    for detector, table in TABLES.items():
        for row in table:
            if row.truth is not None and row.truth.kind is kind:
                yield Known(detector, row.arn, row.name, row.truth.why, row.truth.confidence)


JUDGES = frozenset({*TABLES, DETECTOR})
"""The detectors of which all that is said here is known; others judge the same account."""

WASTE = (*_known(Kind.WASTE), *untagged(history()))
LOOKALIKES = tuple(_known(Kind.LOOKALIKE))
UNKNOWN = tuple(_known(Kind.UNKNOWN))
