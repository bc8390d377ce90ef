"""
Random accounts, and an oracle that knows what is waste in them.

Every resource here carries its own truth, written from what the words mean, and shares no code
with the detectors. `may` is whether it may be found at all; `must` whether it has to be when
everything can be read. They differ where the honest answer is "who knows".
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import boto3
from hypothesis import strategies as st

from sandbox.control import Control

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ROLE = "arn:aws:iam::123456789012:role/ml"
BUCKET = "ml-artifacts"
ENDPOINT_METRICS = "/aws/sagemaker/Endpoints"
JOB_METRICS = "/aws/sagemaker/TrainingJobs"
PATIENCE_AT_NIGHT = 2 * HOUR

TAGS: tuple[tuple[Mapping[str, str], bool], ...] = (
    # tags, and whether they exempt on 2026-10-06
    ({}, False),
    ({"owner": "anna@example.com", "team": "fraud"}, False),
    ({"keep": "false", "janitor:keep-until": "2026-10-05"}, False),
    ({"janitor:keep": "True"}, True),
    ({"keep": "TRUE"}, True),
    ({"janitor:keep-until": "2026-10-06"}, True),
    ({"janitor:keep-until": "someday"}, True),
)


@dataclass(frozen=True, kw_only=True)
class Thing(abc.ABC):
    """One resource of a random account. *name* is given when the account is built."""

    tags: tuple[Mapping[str, str], bool]

    @property
    def exempt(self) -> bool:
        return self.tags[1]

    def tag_list(self) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.tags[0].items()]

    @property
    @abc.abstractmethod
    def may(self) -> bool: ...

    @property
    @abc.abstractmethod
    def must(self) -> bool: ...

    @abc.abstractmethod
    def needs(self, call: str) -> bool:
        """Whether nobody can honestly call this waste while *call* is refused."""

    @abc.abstractmethod
    def build(self, name: str, session: boto3.Session, control: Control, now: datetime) -> str:
        """Make it, and say its ARN."""


# --- endpoints --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a series says: busy in the window, zeros only, or not there; *control*: other metrics arrive."""

    shape: str
    control: bool

    @property
    def idle(self) -> bool:
        return self.shape in {"zeros", "ended"} or (self.shape == "none" and self.control)

    def values(self) -> list[float]:
        """Hourly, the newest last, over nine days."""
        quiet = [0.0] * (9 * 24)
        if self.shape == "busy":
            quiet[-100] = 3.0
        if self.shape == "ended":
            quiet[:24] = [5.0] * 24
        return quiet


@dataclass(frozen=True, kw_only=True)
class Endpoint(Thing):
    kind: str
    age: timedelta
    status: str
    variants: Sequence[Traffic]
    shadow: Traffic | None
    instances: int
    backlog: int

    @property
    def series(self) -> list[Traffic]:
        shadow = [self.shadow] if self.shadow and self.kind == "classic" else []
        return [*self.variants[: 1 if shadow or self.kind != "classic" else 2], *shadow]

    @property
    def may(self) -> bool:
        return (
            not self.exempt
            and self.status == "InService"
            and self.age >= 7 * DAY
            and self.instances > 0
            and self.kind != "serverless"
            and all(traffic.idle for traffic in self.series)
            and not (self.kind == "async" and self.backlog)
        )

    @property
    def must(self) -> bool:
        return self.may

    def needs(self, call: str) -> bool:
        return call in {
            "sagemaker:ListEndpoints",
            "sagemaker:DescribeEndpoint",
            "sagemaker:ListInferenceComponents",
            "cloudwatch:GetMetricData",
            "tag:GetResources",
        }

    def build(self, name: str, session: boto3.Session, control: Control, now: datetime) -> str:
        sagemaker = session.client("sagemaker")
        control.set_clock(now - self.age)
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE)
        hosts = {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": max(1, self.instances)}
        config: dict[str, object] = {"EndpointConfigName": name}
        traffics = self.series
        names = [f"v{n}" for n in range(len(traffics))]
        if self.kind == "serverless":
            hosts = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
        model = {} if self.kind == "component" else {"ModelName": name}
        made = [{"VariantName": variant, **model, **hosts} for variant in names]
        shadows = 1 if self.shadow and self.kind == "classic" else 0
        config["ProductionVariants"] = made[: len(made) - shadows]
        if shadows:
            config["ShadowProductionVariants"] = made[-1:]
        if self.kind == "component":
            config["ExecutionRoleArn"] = ROLE
        if self.kind == "async":
            config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/async"}}
        sagemaker.create_endpoint_config(**config)  # type: ignore[arg-type]
        arn = sagemaker.create_endpoint(
            EndpointName=name,
            EndpointConfigName=name,
            Tags=self.tag_list(),  # type: ignore[arg-type]
        )["EndpointArn"]
        if self.kind == "component":
            sagemaker.create_inference_component(
                InferenceComponentName=f"{name}-ic",
                EndpointName=name,
                VariantName="v0",
                Specification={"ModelName": name},
                RuntimeConfig={"CopyCount": 1},
            )
        control.set_clock(now)
        if self.status != "InService":
            control.patch("sagemaker", ["endpoints", name], EndpointStatus=self.status)
        if self.instances == 0 and self.kind != "serverless":
            for n in range(len(names) - shadows):
                control.patch(
                    "sagemaker", ["endpoints", name, "ProductionVariants", n], CurrentInstanceCount=0
                )
            for n in range(shadows):
                where: list[str | int] = ["endpoints", name, "ShadowProductionVariants", n]
                control.patch("sagemaker", where, CurrentInstanceCount=0)
        self._publish(name, dict(zip(names, traffics, strict=True)), control, now)
        return arn

    def _publish(self, name: str, traffics: dict[str, Traffic], control: Control, now: datetime) -> None:
        requests = []
        hosts = []
        start = now - 9 * DAY
        for variant, traffic in traffics.items():
            dimensions = {"EndpointName": name, "VariantName": variant}
            if traffic.control:
                hosts.append(
                    {
                        "metric": "CPUUtilization",
                        "dimensions": dimensions,
                        "start": start,
                        "step": 3600,
                        "values": [2.0] * (9 * 24),
                    }
                )
            if traffic.shape == "none":
                continue
            metric = "InvocationsProcessed" if self.kind == "async" else "Invocations"
            if self.kind == "component":
                dimensions = {"InferenceComponentName": f"{name}-ic"}
            requests.append(
                {
                    "metric": metric,
                    "dimensions": dimensions,
                    "start": start,
                    "step": 3600,
                    "values": traffic.values(),
                }
            )
        if self.kind == "async":
            requests.append(
                {
                    "metric": "ApproximateBacklogSize",
                    "dimensions": {"EndpointName": name},
                    "start": start,
                    "step": 3600,
                    "values": [float(self.backlog)] * (9 * 24),
                }
            )
        control.metrics("AWS/SageMaker", requests)
        control.metrics(ENDPOINT_METRICS, hosts)


# --- notebooks --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Notebook(Thing):
    status: str
    modified: timedelta
    logged: timedelta | None
    opened: timedelta | None
    idle_metric: timedelta | None

    @property
    def may(self) -> bool:
        if self.exempt or self.status != "InService":
            return False
        if self.idle_metric is not None:
            return self.idle_metric >= PATIENCE_AT_NIGHT
        if self.logged is None:
            return False
        signs = [self.modified, self.logged, *([self.opened] if self.opened is not None else [])]
        return min(signs) >= PATIENCE_AT_NIGHT

    @property
    def must(self) -> bool:
        """An idle metric beside a fresh log or visit contradicts itself: either answer is honest."""
        if self.idle_metric is not None:
            signs = [self.modified, *(sign for sign in (self.logged, self.opened) if sign is not None)]
            return self.may and min(signs) >= PATIENCE_AT_NIGHT
        return self.may

    def needs(self, call: str) -> bool:
        asked = {"sagemaker:ListNotebookInstances", "tag:GetResources"}
        if self.idle_metric is None:
            asked.add("logs:GetLogEvents")
        return call in asked

    def build(self, name: str, session: boto3.Session, control: Control, now: datetime) -> str:
        sagemaker = session.client("sagemaker")
        control.set_clock(now - self.modified)
        arn = sagemaker.create_notebook_instance(
            NotebookInstanceName=name,
            InstanceType="ml.t3.medium",
            RoleArn=ROLE,
            Tags=self.tag_list(),  # type: ignore[arg-type]
        )["NotebookInstanceArn"]
        if self.opened is not None:
            control.set_clock(now - self.opened)
            sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName=name)
        control.set_clock(now)
        control.patch("sagemaker", ["notebook_instances", name], NotebookInstanceStatus=self.status)
        if self.logged is not None:
            events = [(now - self.logged - HOUR, "kernel started"), (now - self.logged, "saved")]
            control.logs("/aws/sagemaker/NotebookInstances", f"{name}/jupyter.log", events)
        if self.idle_metric is not None:
            newest = {
                "metric": "IdleSeconds",
                "dimensions": {"NotebookInstanceName": name},
                "start": now - timedelta(minutes=5),
                "step": 60,
                "values": [self.idle_metric.total_seconds()],
            }
            control.metrics("MLJanitor/Notebooks", [newest])
        return arn


# --- training jobs ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Job(Thing):
    secondary: str
    age: timedelta
    gap: timedelta
    silent: timedelta
    logs: bool
    hosts: int
    load: str
    checkpoint: timedelta | None
    limit: timedelta

    @property
    def quiet_for(self) -> timedelta:
        return min(self.silent, self.age - self.gap)

    @property
    def overdue(self) -> bool:
        return self.age >= self.limit + HOUR

    @property
    def may(self) -> bool:
        if self.exempt or self.secondary != "Training":
            return False
        if self.overdue:
            return True
        if not self.logs or (self.checkpoint is not None and self.checkpoint < 6 * HOUR):
            return False
        if self.quiet_for < max(6 * HOUR, 3 * self.gap):
            return False
        return self.load in {"zero", "full"} or (self.load == "none" and self.quiet_for >= 24 * HOUR)

    @property
    def must(self) -> bool:
        return self.may

    def needs(self, call: str) -> bool:
        asked = {"sagemaker:ListTrainingJobs", "sagemaker:DescribeTrainingJob", "sagemaker:ListTags"}
        if not self.overdue:
            asked |= {
                "logs:GetLogEvents",
                "logs:DescribeLogStreams",
                "s3:ListObjectsV2",
                "cloudwatch:GetMetricData",
            }
        return call in asked

    def build(self, name: str, session: boto3.Session, control: Control, now: datetime) -> str:
        control.set_clock(now - self.age)
        arn = session.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "image"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
            CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/{name}"},
            ResourceConfig={
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": self.hosts,
                "VolumeSizeInGB": 50,
            },
            StoppingCondition={"MaxRuntimeInSeconds": int(self.limit.total_seconds())},
            Tags=self.tag_list(),  # type: ignore[arg-type]
        )["TrainingJobArn"]
        if self.checkpoint is not None:
            control.set_clock(now - self.checkpoint)
            session.client("s3").put_object(Bucket=BUCKET, Key=f"checkpoints/{name}/step-1.pt", Body=b"x")
        control.set_clock(now)
        if self.secondary != "Training":
            control.patch("sagemaker", ["training_jobs", name], SecondaryStatus=self.secondary)
        started = now - self.age
        last = now - self.quiet_for
        if self.logs:
            count = max(1, int((last - started) / self.gap))
            events = [(last - n * self.gap, f"step {n}") for n in range(count)][::-1]
            for host in range(1, self.hosts + 1):
                control.logs("/aws/sagemaker/TrainingJobs", f"{name}/algo-{host}-1700000000", events)
        if self.load != "none":
            control.metrics(
                JOB_METRICS, [one for host in range(1, self.hosts + 1) for one in self._load(name, host, now)]
            )
        return arn

    def _load(self, name: str, host: int, now: datetime) -> list[dict[str, object]]:
        points = 12 * 36
        levels = {
            "zero": ([0.0] * points, [1.0] * points),
            "full": ([100.0] * points, [400.0] * points),
            "varying": (
                [30.0 if n % 3 else 95.0 for n in range(points)],
                [200.0 if n % 2 else 60.0 for n in range(points)],
            ),
        }
        gpu, cpu = levels[self.load]
        shared = {
            "dimensions": {"Host": f"{name}/algo-{host}"},
            "start": now - timedelta(minutes=5) * points,
            "step": 300,
        }
        return [
            {"metric": "GPUUtilization", "values": gpu, **shared},
            {"metric": "CPUUtilization", "values": cpu, **shared},
        ]


# --- strategies -------------------------------------------------------------------------------

some_tags = st.sampled_from(TAGS)
traffic = st.builds(
    Traffic, shape=st.sampled_from(["busy", "zeros", "zeros", "ended", "none"]), control=st.booleans()
)
endpoints = st.builds(
    Endpoint,
    tags=some_tags,
    kind=st.sampled_from(["classic", "classic", "async", "component", "serverless"]),
    age=st.sampled_from([HOUR, 7 * DAY - HOUR, 7 * DAY, 40 * DAY]),
    status=st.sampled_from(["InService", "InService", "InService", "Updating", "Failed"]),
    variants=st.tuples(traffic, traffic),
    shadow=st.none() | traffic,
    instances=st.sampled_from([0, 1, 2, 2]),
    backlog=st.sampled_from([0, 0, 4]),
)
hours = st.sampled_from([0.2, 1.9, 2.0, 5.0, 40.0, 200.0]).map(lambda count: count * HOUR)
notebooks = st.builds(
    Notebook,
    tags=some_tags,
    status=st.sampled_from(["InService", "InService", "InService", "Stopped", "Updating"]),
    modified=hours,
    logged=st.none() | hours,
    opened=st.none() | hours,
    idle_metric=st.none() | st.none() | hours,
)
jobs = st.builds(
    Job,
    tags=some_tags,
    secondary=st.sampled_from(
        ["Training", "Training", "Training", "Starting", "Uploading", "Interrupted", "Downloading"]
    ),
    age=st.sampled_from([5, 40, 90]).map(lambda count: count * HOUR),
    gap=st.sampled_from([0.25, 1.0, 3.0, 9.0]).map(lambda count: count * HOUR),
    silent=st.sampled_from([0.1, 5.9, 6.5, 10.0, 28.0, 36.0]).map(lambda count: count * HOUR),
    logs=st.sampled_from([True, True, True, False]),
    hosts=st.sampled_from([1, 2]),
    load=st.sampled_from(["zero", "full", "varying", "none"]),
    checkpoint=st.none() | st.sampled_from([1.0, 8.0, 38.0]).map(lambda count: count * HOUR),
    limit=st.sampled_from([24, 30, 400]).map(lambda count: count * HOUR),
)


@dataclass(frozen=True)
class Fault:
    """One rule for the sandbox. *lasting* faults hit every call."""

    call: str
    kind: str
    lasting: bool
    skip: int

    def apply(self, control: Control) -> None:
        service, _, operation = self.call.partition(":")
        control.fault(service, operation, self.kind, times=0 if self.lasting else 1, skip=self.skip)


CALLS = (
    "sagemaker:ListEndpoints",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:ListInferenceComponents",
    "sagemaker:ListNotebookInstances",
    "sagemaker:ListTrainingJobs",
    "sagemaker:DescribeTrainingJob",
    "sagemaker:ListTags",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "logs:DescribeLogStreams",
    "logs:GetLogEvents",
    "cloudtrail:LookupEvents",
    "tag:GetResources",
    "s3:ListObjectsV2",
    "pricing:GetProducts",
)

faults = st.builds(
    Fault,
    call=st.sampled_from(CALLS),
    kind=st.sampled_from(["throttle", "error", "deny", "truncate", "lost-reply", "break-page"]),
    lasting=st.booleans(),
    skip=st.sampled_from([0, 0, 0, 1, 3]),
)


@dataclass(frozen=True)
class World:
    """One random account and what goes wrong with it."""

    things: Sequence[Thing]
    faults: Sequence[Fault] = field(default=())

    def build(self, session: boto3.Session, control: Control, now: datetime) -> dict[str, Thing]:
        """Make everything; the answer names each by its ARN."""
        session.client("s3").create_bucket(Bucket=BUCKET)
        made = {}
        for number, thing in enumerate(self.things):
            # one name is the beginning of the next: train, train-2, train-2-3
            name = f"{type(thing).__name__.lower()}" + (f"-{number}" if number else "")
            made[thing.build(name, session, control, now).lower()] = thing
        return made


worlds = st.builds(
    World,
    things=st.lists(st.one_of(endpoints, notebooks, jobs), min_size=3, max_size=14),
    faults=st.lists(faults, max_size=2),
)

TODAY = date(2026, 10, 6)
