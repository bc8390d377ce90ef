"""
A company's machine-learning account at night: what the audit is shown on, and tried against.

`seed` creates it in a sandbox. `WASTE` is what an audit should find there, `LOOKALIKES` what it has
to leave alone although it looks like waste, `UNKNOWN` what nobody can judge. To add a resource, add a
line to a table in `account/`. `days.Days` is how life goes on there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_janitor_sandbox.demo.history import TABLES, history
from ml_janitor_sandbox.demo.leftovers import DETECTOR, untagged
from ml_janitor_sandbox.demo.times import NOW

__all__ = ["JUDGES", "LOOKALIKES", "NOW", "UNKNOWN", "WASTE", "Known", "seed"]


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is true of a resource, and *why*, for the *detector* that should find it out.

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
LOOKALIKES = tuple(Known(one, row.arn, row.name, row.lookalike) for one, row in _ROWS if row.lookalike)
UNKNOWN = tuple(Known(one, row.arn, row.name, row.unknown) for one, row in _ROWS if row.unknown)
