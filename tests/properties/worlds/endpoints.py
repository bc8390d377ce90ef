"""Random endpoints of every kind, with requests here and there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import (
    BUCKET,
    COMPLETE,
    DAY,
    EXEMPT,
    HOUR,
    ROLE,
    UNKEPT,
    Account,
    Claim,
    Kind,
    Labels,
    Members,
    Thing,
    spans,
)
from sagemaker_requests import component_request, scalable_target

ACTIVITIES = "application-autoscaling:DescribeScalingActivities"
SCALED = "scaled"
METRICS = "/aws/sagemaker/Endpoints"
MODEL = "model"
"""The one that all endpoints serve."""

HOURS = 9 * 24
"""For how long metrics have been published."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """
    What a series says: busy in the window, zeros only, of the last hour alone, or not there.

    *control*: other metrics arrive.
    """

    shape: str
    control: bool

    @property
    def idle(self) -> bool:
        return self.shape in {"zeros", "ended", "single"} or (self.shape == "none" and self.control)

    def values(self) -> list[float]:
        """Hourly, the newest last."""
        quiet = [0.0] * HOURS
        if self.shape == "busy":
            quiet[-100] = 3.0
        if self.shape == "ended":
            quiet[:24] = [5.0] * 24
        return quiet[-1:] if self.shape == "single" else quiet


@dataclass(frozen=True, kw_only=True)
class Endpoint(Thing):
    """
    An endpoint with one variant, or if it is a classic one with two or a shadow.

    *backlog* is what waits in the queue of an asynchronous one, and *queue* what its series says: the
    whole window, the last hour alone, or nothing. *replaced* is whether a variant that is there no more
    had requests in the window: only the list of metrics tells. *monitor* is the status of its monitoring
    schedule, if it has one. *modified* is what happened to it in the last two days. *guest* are the tags
    of its inference component, if it has one.
    """

    calls = (
        "sagemaker:ListEndpoints",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:ListInferenceComponents",
        "sagemaker:ListMonitoringSchedules",
        ACTIVITIES,
        "cloudwatch:GetMetricData",
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
        "tag:GetResources",
        "pricing:GetProducts",
    )

    kind: str
    age: timedelta
    status: str
    variants: Sequence[Traffic]
    shadow: Traffic | None
    replaced: bool
    modified: str | None
    instances: int
    backlog: int
    queue: str
    monitor: str | None
    guest: Labels

    @property
    def series(self) -> list[Traffic]:
        shadow = [self.shadow] if self.shadow and self.kind == "classic" else []
        return [*self.variants[: 1 if shadow or self.kind != "classic" else 2], *shadow]

    @property
    def shadows(self) -> int:
        return 1 if self.shadow and self.kind == "classic" else 0

    @property
    def queue_empty(self) -> bool:
        """Whether the queue of an asynchronous endpoint was measured as empty for the whole window."""
        return self.kind == "async" and self.queue == "whole" and not self.backlog

    @property
    def hidden(self) -> bool:
        """Whether nothing shows that it was deployed: an old configuration, no image, and then scaled."""
        return self.kind == "component" and self.modified == "old deployed, scaled"

    def claim(self, arn: str) -> Claim:
        idle = (
            not self.labels.exempt
            and not (self.kind == "component" and self.guest.exempt)
            and self.status in {"InService", "UpdateRollbackFailed"}
            and self.age >= 7 * DAY
            and (self.modified in {None, SCALED} or self.hidden)
            and self.instances > 0
            and self.kind != "serverless"
            and all(traffic.idle or (self.queue_empty and traffic == LOST) for traffic in self.series)
            and not (self.kind == "async" and self.queue != "none" and self.backlog)
        )
        return Claim(
            detector="idle-endpoints",
            arn=arn,
            may=idle and not self.replaced,
            must=idle and not self.replaced and not self.hidden,
            certain=self.monitor not in {"Scheduled", "Pending"}
            and not (self.modified and self.kind == "component")
            and (self.queue_empty or all(traffic.shape not in {"none", "single"} for traffic in self.series)),
            needs=frozenset(self.calls)
            - {"pricing:GetProducts"}
            - ({ACTIVITIES} if self.modified is None else set()),
        )

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("endpoint"), account.sagemaker
        account.be(self.age)
        config = sagemaker.create_endpoint_config(EndpointConfigName=name, **self._config())
        account.tagged(config["EndpointConfigArn"], self.labels)
        made = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=self.labels.listed)
        if self.kind == "component":
            component = sagemaker.create_inference_component(
                **component_request(f"{name}-ic", name, MODEL, "v0", Tags=self.guest.listed)
            )
            account.tagged(component["InferenceComponentArn"], self.guest)
        self._modify(account, name)
        account.be(timedelta())
        if self.monitor:
            self._monitor(account, name)
        self._patch(account, name)
        self._publish(account, name)
        account.tagged(made["EndpointArn"], self.labels)
        account.claims.append(self.claim(made["EndpointArn"]))

    def _modify(self, account: Account, name: str) -> None:
        """Deploy to it two days ago, and scale it one day ago; an old configuration is as old as it is."""
        if self.modified is None or self.kind == "serverless":
            return
        if "deployed" in self.modified:
            config = account.name("endpoint-config")
            account.be(2 * DAY if "new" in self.modified else self.age)
            made = account.sagemaker.create_endpoint_config(EndpointConfigName=config, **self._config())
            account.tagged(made["EndpointConfigArn"], self.labels)
            account.be(2 * DAY)
            account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
        if SCALED in self.modified:
            account.be(DAY)
            account.scaling.register_scalable_target(
                **scalable_target(f"endpoint/{name}/variant/v0", max(1, self.instances) + 1, 9)
            )

    def _monitor(self, account: Account, name: str) -> None:
        job: Any = {
            "MonitoringInputs": [{"EndpointInput": {"EndpointName": name, "LocalPath": "/opt/ml/in"}}],
            "MonitoringOutputConfig": {
                "MonitoringOutputs": [{"S3Output": {"S3Uri": f"s3://{BUCKET}/m", "LocalPath": "/opt/ml/out"}}]
            },
            "MonitoringResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20}
            },
            "MonitoringAppSpecification": {"ImageUri": "i"},
            "RoleArn": ROLE,
        }
        made = account.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name,
            MonitoringScheduleConfig={"MonitoringJobDefinition": job},
            Tags=COMPLETE.listed,
        )
        account.tagged(made["MonitoringScheduleArn"], COMPLETE)
        account.control.patch(
            "sagemaker", ["monitoring_schedules", name], MonitoringScheduleStatus=self.monitor
        )

    def _config(self) -> dict[str, Any]:
        hosts: dict[str, Any] = {
            "InstanceType": "ml.m5.xlarge",
            "InitialInstanceCount": max(1, self.instances),
        }
        if self.kind == "serverless":
            hosts = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
        model = {} if self.kind == "component" else {"ModelName": MODEL}
        variants = [{"VariantName": f"v{n}", **model, **hosts} for n in range(len(self.series))]
        config: dict[str, Any] = {
            "ProductionVariants": variants[: len(variants) - self.shadows],
            "Tags": self.labels.listed,
        }
        if self.shadows:
            config["ShadowProductionVariants"] = variants[-1:]
        if self.kind == "component":
            config["ExecutionRoleArn"] = ROLE
        if self.kind == "async":
            config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/async"}}
        return config

    def _patch(self, account: Account, name: str) -> None:
        """Its status, and what was scaled to zero."""
        if self.status != "InService":
            account.control.patch("sagemaker", ["endpoints", name], EndpointStatus=self.status)
        if self.instances == 0 and self.kind != "serverless":
            production = len(self.series) - self.shadows
            for part, count in (
                ("ProductionVariants", production),
                ("ShadowProductionVariants", self.shadows),
            ):
                for n in range(count):
                    where: list[str | int] = ["endpoints", name, part, n]
                    account.control.patch("sagemaker", where, CurrentInstanceCount=0)

    def _publish(self, account: Account, name: str) -> None:
        requests: list[dict[str, Any]] = []
        hosts: list[dict[str, Any]] = []

        def add(to: list[dict[str, Any]], metric: str, values: list[float], **dimensions: str) -> None:
            start = account.now - len(values) * HOUR
            to.append(
                {"metric": metric, "dimensions": dimensions, "start": start, "step": 3600, "values": values}
            )

        metric = "InvocationsProcessed" if self.kind == "async" else "Invocations"
        for number, traffic in enumerate(self.series):
            variant = {"EndpointName": name, "VariantName": f"v{number}"}
            if traffic.control:
                add(hosts, "CPUUtilization", [2.0] * HOURS, **variant)
            if traffic.shape != "none":
                component = {"InferenceComponentName": f"{name}-ic"}
                add(requests, metric, traffic.values(), **component if self.kind == "component" else variant)
        if self.kind == "async" and self.queue != "none":
            hours = HOURS if self.queue == "whole" else 1
            add(requests, "ApproximateBacklogSize", [float(self.backlog)] * hours, EndpointName=name)
        if self.replaced:
            busy = Traffic(shape="busy", control=True).values()
            add(requests, metric, busy, EndpointName=name, VariantName="before")
        account.control.metrics("AWS/SageMaker", requests)
        account.control.metrics(METRICS, hosts)


def build_model(account: Account) -> None:
    """Make the model that endpoints serve, before any endpoint."""
    made = account.sagemaker.create_model(
        ModelName=MODEL, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"}, Tags=COMPLETE.listed
    )
    account.tagged(made["ModelArn"], COMPLETE)


BUSY = Traffic(shape="busy", control=True)
ZEROS = Traffic(shape="zeros", control=True)
ENDED = Traffic(shape="ended", control=False)
SILENT = Traffic(shape="none", control=True)
SINGLE = Traffic(shape="single", control=True)
LOST = Traffic(shape="none", control=False)

SHARED: Members = {
    "labels": (UNKEPT, EXEMPT),
    "age": (spans(DAY, 40, 7), spans(HOUR, 1, 7 * 24 - 1)),
    "status": (["InService", "UpdateRollbackFailed"], ["Updating", "Creating", "Failed"]),
    "variants": (
        [(ZEROS, ZEROS), (ENDED, SILENT), (SILENT, ZEROS), (SINGLE, ZEROS)],
        [(BUSY, ZEROS), (LOST, ZEROS)],
    ),
    "shadow": ([None],),
    "replaced": ([False], [True]),
    "modified": (
        [None, SCALED],
        ["new deployed", "old deployed", "new deployed, scaled", "old deployed, scaled"],
    ),
    "instances": ([1, 2], [0]),
    "backlog": ([0],),
    "queue": (["whole"],),
    "monitor": ([None, "Scheduled", "Pending", "Stopped", "Failed"],),
    "guest": ([COMPLETE],),
}
QUEUED: Members = {
    **SHARED,
    "kind": (["async"],),
    "backlog": ([0], [4]),
    "queue": (["whole"], ["single", "none"]),
}
BOTH = (*SHARED["variants"][1], (ZEROS, BUSY), (ZEROS, LOST))
CLASSIC: Members = {
    **SHARED,
    "kind": (["classic"], ["serverless"]),
    "variants": (SHARED["variants"][0], BOTH),
    "shadow": ([None, ZEROS, SILENT], [BUSY, LOST]),
}
NEVER_ASKED: Members = {**QUEUED, "variants": ([(SILENT, ZEROS), (LOST, ZEROS)], SHARED["variants"][1])}
"""Nothing but the queue is measured."""
KINDS = (
    Kind.of(Endpoint, **CLASSIC),
    Kind.of(Endpoint, **QUEUED),
    Kind.of(Endpoint, **{**SHARED, "kind": (["component"],), "guest": (UNKEPT, EXEMPT)}),
    Kind.of(Endpoint, **NEVER_ASKED),
)
