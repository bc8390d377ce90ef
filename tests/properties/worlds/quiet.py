"""Random endpoints with few requests or many, and what the same requests would cost without instances."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import DAY, EXEMPT, HOUR, ROLE, UNKEPT, Account, Kind, Labels, Thing, spans

DETECTOR = "serverless-candidates"
LISTINGS = {DETECTOR: {"sagemaker:ListEndpoints"}}
HOURS = 14 * 24
TYPES = {"ml.m5.large": (2, 8, 0.115), "ml.m5.xlarge": (4, 16, 0.23), "ml.g4dn.xlarge": (4, 16, 0.7364)}
"""vCPUs, GB of memory, dollars an hour."""
SECOND_OF_A_GB = 0.00002
PRODUCTION = Labels(keeping=({"environment": "prod"}, False))
PATIENT = Labels(keeping=({"environment": "prod", "janitor:latency": "30s"}, False))
HURRIED = Labels(keeping=({"janitor:latency": "2s"}, False))


@dataclass(frozen=True, kw_only=True)
class Quiet(Thing):
    """
    An endpoint: *hourly* requests of so many *seconds*, *memory* as a share, requests *at_once*.

    *odd* is what serverless inference cannot do, or nothing; *lacks* is the metric that has a hole.
    """

    calls = (
        "sagemaker:ListEndpoints",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeModel",
        "sagemaker:ListInferenceComponents",
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetMetricData",
        "tag:GetResources",
        "pricing:GetProducts",
    )

    age: timedelta
    type: str
    count: int
    hourly: float
    seconds: float
    memory: float
    at_once: float
    odd: str
    lacks: str

    @property
    def waste(self) -> bool:
        _, gib, price = TYPES[self.type]
        gigabytes = math.ceil(self.memory * gib / 0.7)
        if self.age < 15 * DAY or self.lacks or self.odd or self.type.startswith("ml.g"):
            return False
        if self.labels.exempt or self.labels in (PRODUCTION, HURRIED) or not self.hourly or gigabytes > 6:
            return False
        if self.at_once * self.count / 0.7 > 200:
            return False
        run = self.hourly * 730 * self.seconds * 1.5 * SECOND_OF_A_GB * gigabytes
        return price * self.count * 730 - run >= 10

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("quiet"), account.sagemaker
        account.be(self.age)
        container: Any = {"Image": "i"}
        model: Any = {"PrimaryContainer": container}
        config: Any = {}
        match self.odd:
            case "vpc":
                model["VpcConfig"] = {"SecurityGroupIds": ["sg-1a2b3c4d"], "Subnets": ["subnet-1a2b3c4d"]}
            case "isolated":
                model["EnableNetworkIsolation"] = True
            case "pipeline":
                model = {"Containers": [container, container]}
            case "several models":
                container["Mode"] = "MultiModel"
            case "private registry":
                container["ImageConfig"] = {"RepositoryAccessMode": "Vpc"}
            case "captures":
                config["DataCaptureConfig"] = {
                    "EnableCapture": True,
                    "InitialSamplingPercentage": 10,
                    "DestinationS3Uri": "s3://captured",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            case "asynchronous":
                config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://out"}}
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **model)
        hosts: Any = {"ModelName": name, "InstanceType": self.type, "InitialInstanceCount": self.count}
        names = ("v", "w") if self.odd == "two variants" else ("v",)
        variants: Any = [{"VariantName": one, **hosts} for one in names]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **config)
        made = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=self.labels.listed)
        self._publish(account, name, names)
        account.claim(
            DETECTOR,
            made["EndpointArn"],
            waste=self.waste,
            needs={*self.calls} - {"sagemaker:ListEndpoints", "sagemaker:ListInferenceComponents"},
        )

    def _publish(self, account: Account, name: str, variants: tuple[str, ...]) -> None:
        start = account.now - HOURS * HOUR
        metrics = {
            "CPUUtilization": ("/aws/sagemaker/Endpoints", 3.0),
            "MemoryUtilization": ("/aws/sagemaker/Endpoints", 100 * self.memory),
            "ConcurrentRequestsPerModel": ("AWS/SageMaker", self.at_once),
            "Invocations": ("AWS/SageMaker", self.hourly),
            "ModelLatency": ("AWS/SageMaker", self.seconds * 1_000_000),
        }
        for metric, (namespace, value) in metrics.items():
            values: list[float | None] = [value] * HOURS
            if metric == self.lacks:
                values = [None] * HOURS if metric == "ModelLatency" else [*values[1:], None]
            for variant in variants:
                where = {"EndpointName": name, "VariantName": variant}
                samples = int(self.hourly) if metric == "ModelLatency" else 1
                account.measure((namespace, metric), where, values, since=start, samples=samples)


KIND = Kind.of(
    Quiet,
    labels=([*UNKEPT, PATIENT], [*EXEMPT, PRODUCTION, HURRIED]),
    age=(spans(DAY, 30, 16), spans(DAY, 13)),
    type=(["ml.m5.large", "ml.m5.xlarge"], ["ml.g4dn.xlarge"]),
    count=([1, 2],),
    hourly=([10.0, 5000.0], [0.0, 40_000.0]),
    seconds=([0.05, 1.0],),
    memory=([0.25], [0.55]),
    at_once=([1.0, 46.0], [141.0]),
    odd=(
        [""],
        [
            *("vpc", "isolated", "pipeline", "several models", "private registry"),
            *("captures", "asynchronous", "two variants"),
        ],
    ),
    lacks=([""], ["MemoryUtilization", "Invocations", "ModelLatency", "ConcurrentRequestsPerModel"]),
)
KINDS = (KIND,)
