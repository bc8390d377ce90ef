"""The company's payments besides the charges of its resources: transfer, storage, logs, clusters."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from ml_janitor_sandbox.billing.charges import SAGEMAKER
from ml_janitor_sandbox.demo.endpoints import ROLE
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan, name_member
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


FRANKFURT = "eu-central-1"
SERVERLESS = {"MemorySizeInMB": 3072, "MaxConcurrency": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Payment):
    """
    Bytes that leave the region or go through a NAT gateway.

    A *model* behind a serverless endpoint in Frankfurt *reads* them below that address, by the environment.
    """

    resource: ClassVar[str] = "usage-type"

    reads: str = ""
    model: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:ce:{REGION}:{ACCOUNT}:{self.resource}/{self.usage}/{self.operation}"

    def plan(self, plan: Plan) -> None:
        """Have it charged, and its reader made."""
        Payment.plan(self, plan)
        if not self.model:
            return
        image = f"763104351884.dkr.ecr.{FRANKFURT}.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
        container = {"Image": image, "Environment": {"CATALOG_IMAGES": f"s3://{self.reads}/"}}
        variant = {"VariantName": "AllTraffic", "ModelName": self.model, "ServerlessConfig": SERVERLESS}
        for kind, given in (
            ("model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}),
            ("endpoint_config", {"ProductionVariants": [variant]}),
            ("endpoint", {"EndpointConfigName": self.model}),
        ):
            params = {name_member(kind): self.model} | given | {"Tags": self.tags()}
            plan.call_in(FRANKFURT, self.since, self.creator, f"sagemaker.create_{kind}", params)


PAYMENTS = load("charges.toml", Payment, transfer=Transfer)
TRANSFERS = tuple(payment for payment in PAYMENTS if isinstance(payment, Transfer))
