"""The deployment that is attacked: that of the integration tests."""

from __future__ import annotations

from commands import janitor
from integration.conftest import accounts, armed, deployed, deployment, ledger, log, nights, notebook, table

__all__ = [
    "accounts",
    "armed",
    "deployed",
    "deployment",
    "janitor",
    "ledger",
    "log",
    "nights",
    "notebook",
    "table",
]
