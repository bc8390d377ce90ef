"""Random endpoints with two weeks of peaks, and which instances would carry them for less."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from properties.worlds.base import (
    COMPLETE,
    DAY,
    EXEMPT,
    HOUR,
    ROLE,
    UNKEPT,
    Account,
    Kind,
    Labels,
    Thing,
    spans,
)
from sagemaker_requests import component_request, scalable_target

DETECTOR = "oversized-endpoints"
LISTINGS = {DETECTOR: {"sagemaker:ListEndpoints", "sagemaker:ListInferenceRecommendationsJobs"}}
HOURS = 14 * 24
FREE = 0.3
LEAST = 2
FAMILIES: dict[str, dict[str, tuple[int, int, float]]] = {
    # vCPUs, GPUs, dollars an hour, of the sizes that are not dearer than those that are tried
    "ml.c5": {"large": (2, 0, 0.102), "xlarge": (4, 0, 0.204), "2xlarge": (8, 0, 0.408)},
    "ml.g5": {"xlarge": (4, 1, 1.412), "2xlarge": (8, 1, 1.515)},
    "ml.t2": {"large": (2, 0, 0.111), "xlarge": (4, 0, 0.223)},
}
PRODUCTION = Labels(keeping=({"environment": "production"}, False))
NIGHT = range(10)
"""The hours of UTC in which a *quiet* endpoint gets no request."""


@dataclass(frozen=True, kw_only=True)
class Sized(Thing):
    """
    An endpoint of *count* instances; *cpu*, *memory*, *gpu* and *gpu_memory* are shares of them at all peaks.

    In one hour the CPU's is *spike* instead. *inflight* are the requests at once. *way* is how it serves,
    *requests* whether any come, *lacks* the metric that has a hole, *scaling* what scales it between.
    """

    calls = (
        "sagemaker:ListEndpoints",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:ListInferenceComponents",
        "sagemaker:ListInferenceRecommendationsJobs",
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetMetricData",
        "tag:GetResources",
    )

    age: timedelta
    type: str
    count: int
    cpu: float
    memory: float
    gpu: float
    gpu_memory: float
    spike: float | None
    inflight: float
    way: str
    requests: bool
    quiet: bool
    lacks: str
    scaling: tuple[int, int] | None

    @property
    def made_of(self) -> tuple[int, int, float]:
        family, _, size = self.type.rpartition(".")
        return FAMILIES[family][size]

    def least_hourly(self) -> float:
        """What the cheapest instances cost that carry every peak, by trying all of them."""
        price = self.made_of[2]
        now = self.count * price
        night = (len(NIGHT) - 2) / 24 if self.quiet else 0
        if self.way == "host":
            return now * (1 - night)
        found = [now]
        sizes = FAMILIES[self.type.rpartition(".")[0]].values()
        for size, few in product(sizes, range(min(self.count, LEAST), self.count + 1)):
            if size[2] > price or not self._fits(self.cpu, size, few):
                continue
            enough = [n for n in range(few, self.count + 1) if self._fits(self.spike or 0, size, n)]
            if enough:
                awake = 1 - (night if self.way == "async" else 0)
                found.append((few * awake + (enough[0] - few) * 3 / HOURS) * size[2])
        if self.quiet and self.way == "classic" and self.labels != PRODUCTION:
            found.append(now * (1 - night))
        return min(found)

    def _fits(self, cpu: float, size: tuple[int, int, float], few: int) -> bool:
        (cpus, gpus, _), (vcpus, cards, _) = self.made_of, size
        share, room = self.count / few, 1 - FREE
        if gpus and (self.gpu * gpus * share > room * cards or self.gpu_memory * gpus > room * cards):
            return False
        loaded = cpu * cpus * share <= room * vcpus and self.memory * cpus <= room * vcpus
        return loaded and (bool(gpus) or self.inflight * share <= vcpus)

    @property
    def waste(self) -> bool:
        decides = ("CPUUtilization", "MemoryUtilization", *(("GPUUtilization",) if self.made_of[1] else ()))
        if self.age < 15 * DAY or self.lacks in decides or self.type.startswith("ml.t2") or not self.requests:
            return False
        if self.scaling is not None and self.scaling[0] != self.scaling[1]:
            return False
        saved = (self.count * self.made_of[2] - self.least_hourly()) * 730
        return saved >= 10 and not self.labels.exempt

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("sized"), account.sagemaker
        account.be(self.age)
        variant: Any = {"VariantName": "v", "InstanceType": self.type, "InitialInstanceCount": self.count}
        config: Any = {}
        if self.way == "host":
            config["ExecutionRoleArn"] = ROLE
        else:
            sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"})
            variant["ModelName"] = name
        if self.way == "async":
            config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://out"}}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **config)
        made = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=self.labels.listed)
        if self.way == "host":
            needs: Any = {"MinMemoryRequiredInMb": 128}
            runs = {"Container": {"Image": "i"}, "ComputeResourceRequirements": needs}
            part = component_request(f"{name}-part", name, variant="v", Specification=runs)
            sagemaker.create_inference_component(**part)
        if self.scaling is not None:
            account.scaling.register_scalable_target(
                **scalable_target(f"endpoint/{name}/variant/v", self.scaling[0], self.scaling[1])
            )
        self._publish(account, name)
        calls = {*self.calls} - LISTINGS[DETECTOR]
        calls -= set() if self.way == "host" else {"sagemaker:ListInferenceComponents"}
        account.claim(DETECTOR, made["EndpointArn"], waste=self.waste, needs=calls)

    def _publish(self, account: Account, name: str) -> None:
        start = account.now - HOURS * HOUR
        cpus, gpus, _ = self.made_of
        where = {"EndpointName": name, "VariantName": "v"}
        cpu = [100 * cpus * self.cpu] * HOURS
        if self.spike is not None:
            cpu[100] = 100 * cpus * self.spike
        asleep = [self.quiet and (start + HOUR * at).hour in NIGHT for at in range(HOURS)]
        calls = [0.0 if night or not self.requests else 7.0 for night in asleep]
        series = {
            "CPUUtilization": ("/aws/sagemaker/Endpoints", where, cpu),
            "MemoryUtilization": ("/aws/sagemaker/Endpoints", where, [100 * self.memory] * HOURS),
            "ConcurrentRequestsPerModel": ("AWS/SageMaker", where, [self.inflight] * HOURS),
        }
        if gpus:
            series["GPUUtilization"] = ("/aws/sagemaker/Endpoints", where, [100 * gpus * self.gpu] * HOURS)
            memory = [100 * gpus * self.gpu_memory] * HOURS
            series["GPUMemoryUtilization"] = ("/aws/sagemaker/Endpoints", where, memory)
        match self.way:
            case "async":
                series["ApproximateBacklogSize"] = ("AWS/SageMaker", {"EndpointName": name}, calls)
            case "host":
                series["Invocations"] = ("AWS/SageMaker", {"InferenceComponentName": f"{name}-part"}, calls)
            case _:
                series["Invocations"] = ("AWS/SageMaker", where, calls)
        for metric, (namespace, dimensions, values) in series.items():
            whole: list[float | None] = [*values]
            if metric == self.lacks:
                whole[200] = None
            account.measure((namespace, metric), dimensions, whole, since=start)


KIND = Kind.of(
    Sized,
    labels=(UNKEPT, EXEMPT),
    age=(spans(DAY, 30, 16), spans(DAY, 13)),
    type=(["ml.c5.2xlarge"], ["ml.t2.xlarge"]),
    count=([1],),
    cpu=([0.18, 0.34], [0.36]),
    memory=([0.22, 0.34], [0.36]),
    gpu=([0.55],),
    gpu_memory=([0.6],),
    spike=([None, 0.34], [0.36]),
    inflight=([0.0, 4.0], [5.0]),
    way=(["classic", "async"], ["host"]),
    requests=([True], [False]),
    quiet=([False, True],),
    lacks=(["", "ConcurrentRequestsPerModel"], ["CPUUtilization", "MemoryUtilization"]),
    scaling=([None, (1, 1)], [(1, 4)]),
)
THREE = KIND.but(
    type=(["ml.c5.xlarge"],), count=([3],), cpu=([0.25], [0.5]), memory=([0.58],), spike=([None, 0.6], [0.8])
)
"""Three instances where two are enough, all the time or but for an hour."""
GPU = KIND.but(
    type=(["ml.g5.2xlarge"],),
    gpu=([0.55], [0.72]),
    gpu_memory=([0.6], [0.72]),
    memory=([0.3], [0.36]),
    lacks=(KIND.waste["lacks"], ["GPUUtilization"]),
)
"""One GPU beside more vCPUs than it takes."""
NIGHTLY = KIND.but(
    labels=([COMPLETE], [PRODUCTION]),
    cpu=([0.6],),
    spike=([None],),
    quiet=([True], [False]),
    way=(["classic", "async", "host"],),
    requests=([True], [False]),
    scaling=([None, (1, 1)], [(1, 4)]),
)
"""Endpoints of the right size that nobody calls at night."""
KINDS = (KIND, THREE, GPU, NIGHTLY)
