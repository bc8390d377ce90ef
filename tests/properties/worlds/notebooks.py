"""Random notebook instances, with signs of work of several kinds and ages."""

from dataclasses import dataclass, replace
from datetime import timedelta

from properties.worlds.base import EXEMPT, HOUR, MINUTE, UNKEPT, Account, Kind, Thing, spans
from sagemaker_requests import notebook_request

PATIENCE_AT_NIGHT = 2 * HOUR
LISTED = frozenset({"sagemaker:ListNotebookInstances", "tag:GetResources"})
MEASURED = frozenset({"logs:GetLogEvents", "cloudwatch:GetMetricData"})
SUPPORTS = frozenset({"cloudtrail:LookupEvents", "cloudwatch:ListMetrics"})


@dataclass(frozen=True, kw_only=True)
class Notebook(Thing):
    """
    A notebook instance; how long ago it was changed, logged, was opened, and computed.

    *idle* is for how long it says itself that nothing has worked, *told* how long ago it said so. A
    *scheduled* one is stopped by the clock, and it is night: it may be found whatever it does, but is not due
    while it works.
    """

    calls = (
        "sagemaker:ListNotebookInstances",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:GetLogEvents",
        "cloudtrail:LookupEvents",
        "cloudtrail:LookupEvents",
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
        "tag:GetResources",
    )

    status: str
    modified: timedelta
    logged: timedelta | None
    opened: timedelta | None
    computed: timedelta | None
    idle: timedelta | None
    told: timedelta
    scheduled: bool = False

    @property
    def says(self) -> timedelta | None:
        """What it says of now: what it said more than half an hour ago is no word on that."""
        return self.idle if self.told <= 30 * MINUTE else None

    @property
    def heard(self) -> bool:
        """Whether something speaks of now: a log that ends long before its start does not arrive."""
        return self.says is not None or (self.logged is not None and self.logged <= self.modified + HOUR)

    def claim_of_schedule(self, account: Account, arn: str) -> None:
        """What works is found, but not due; what is quiet is unknown unless every sign can be read."""
        signs = (self.modified, self.logged, self.says, self.opened, self.computed)
        quiet = all(sign is None or sign >= PATIENCE_AT_NIGHT for sign in signs)
        told_off = self.idle is not None and self.says is None
        stops = self.status == "InService" and not self.labels.exempt
        found = stops and (not quiet or (self.heard and not told_off))
        certain = quiet and self.says is not None
        needs = LISTED | MEASURED | SUPPORTS if quiet else LISTED
        account.claim("idle-notebooks", arn, waste=found, certain=certain, busy=not quiet, needs=needs)

    def claim(self, account: Account, arn: str) -> None:
        if self.scheduled:
            self.claim_of_schedule(account, arn)
            return
        open_ = not self.labels.exempt and self.status == "InService" and self.heard
        plain = [self.modified, self.logged, self.says]
        quiet = open_ and all(sign is None or sign >= PATIENCE_AT_NIGHT for sign in plain)
        fresh = [
            calls
            for sign, calls in (
                (self.opened, {"cloudtrail:LookupEvents"}),
                (self.computed, {"cloudwatch:ListMetrics", "cloudwatch:GetMetricData"}),
            )
            if sign is not None and sign < PATIENCE_AT_NIGHT
        ]
        account.claim(
            "idle-notebooks",
            arn,
            waste=quiet and not fresh,
            certain=self.says is not None,
            needs=LISTED | MEASURED | SUPPORTS,
        )

    def build(self, account: Account) -> None:
        name = account.name("scheduled" if self.scheduled else "notebook")
        account.be(self.modified)
        arn = account.sagemaker.create_notebook_instance(
            **notebook_request(name, "ml.t3.medium", Tags=self.labels.listed)
        )["NotebookInstanceArn"]
        if self.opened is not None:
            account.be(self.opened)
            account.sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName=name)
        account.be(timedelta())
        where = ["notebook_instances", name]
        account.control.patch("sagemaker", where, NotebookInstanceStatus=self.status)
        self._leave_signs(account, name)
        account.tagged(arn, self.labels)
        self.claim(account, arn)

    def _leave_signs(self, account: Account, name: str) -> None:
        now = account.now
        if self.logged is not None:
            events = [(now - self.logged - HOUR, "kernel started"), (now - self.logged, "saved")]
            account.control.logs("/aws/sagemaker/NotebookInstances", f"{name}/jupyter.log", events)
        if self.computed is not None:
            since, where = now - self.computed - 5 * MINUTE, {"notebook_instance_name": name, "cpu": "cpu0"}
            metric = "SageMakerNotebookInstances", "cpu_usage_idle"
            account.measure(metric, where, [20.0] * 5, since=since, step=60)
        if self.idle is not None:
            idle, since = [self.idle.total_seconds()], now - self.told
            metric = "MLJanitor/Notebooks", "IdleSeconds"
            account.measure(metric, {"NotebookInstanceName": name}, idle, since=since, step=60)


OPEN = Kind.of(
    Notebook,
    labels=(UNKEPT, EXEMPT),
    status=(["InService"], ["Stopped", "Updating"]),
    modified=(spans(HOUR, 200, 2.0), spans(HOUR, 0.2, 1.9)),
    logged=(spans(HOUR, 40, 2.0), [None, *spans(HOUR, 0.2, 1.9)]),
    opened=([None, 5 * HOUR, 2 * HOUR], spans(HOUR, 0.2, 1.9)),
    computed=([None, 30 * HOUR], spans(HOUR, 0.5)),
    idle=([None, 2 * HOUR, 40 * HOUR], spans(HOUR, 0.2, 1.9)),
    told=([5 * MINUTE, 30 * MINUTE, 31 * MINUTE],),
)

KINDS = (OPEN, replace(OPEN, waste={**OPEN.waste, "idle": [40 * HOUR, None, 2 * HOUR], "scheduled": [True]}))
