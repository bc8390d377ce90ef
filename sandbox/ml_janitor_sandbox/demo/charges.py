"""What the company pays for besides what its resources are charged for: transfer, storage, logs, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ml_janitor_sandbox.billing.charges import SAGEMAKER
from ml_janitor_sandbox.demo.plan import Plan
from ml_janitor_sandbox.demo.rows import Ago, Row, load
from ml_janitor_sandbox.demo.times import ago

BEGIN = ago(days=75)
"""How far back the bill goes of what has no other beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment(Row):
    """So many *units* a *day* under a *usage* type, at a *price* each, *since* then and *until* then."""

    service: str = SAGEMAKER
    usage: str
    daily: float
    price: float
    unit: str = "Hrs"
    operation: str = "RunInstance"
    bills: str = ""
    """The ARN of what is charged for."""
    notebook: str = ""
    """The type of instance, where a notebook instance that is gone was charged for."""
    since: Ago = BEGIN
    until: Ago | None = None

    def plan(self, plan: Plan) -> None:
        """Have it charged, and what is gone known to CloudTrail."""
        if self.notebook and self.until is not None:
            about = {"notebookInstanceName": self.name}
            made = about | {"instanceType": self.notebook, "tags": self.tags()}
            plan.note(self.since.replace(hour=0), self.creator, "CreateNotebookInstance", **made)
            plan.note(self.until.replace(hour=0), self.creator, "DeleteNotebookInstance", **about)
        hourly = Decimal(str(self.daily)) / 24
        plan.charge(
            self.usage,
            self.since.replace(hour=0),
            self.until and self.until.replace(hour=0),
            service=self.service,
            hourly=hourly,
            price=self.price,
            unit=self.unit,
            operation=self.operation,
            resource=self.bills,
            tags=self.labels,
        )


PAYMENTS = load("charges.toml", Payment)
