"""Random jobs: at work, silent, at a standstill, past their limits, not there yet, over; and warm pools."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from properties.worlds.base import (
    ACCOUNT,
    BUCKET,
    COMPLETE,
    DAY,
    EXEMPT,
    HOUR,
    MINUTE,
    UNKEPT,
    Account,
    Kind,
    Members,
    Thing,
    spans,
)
from properties.worlds.endpoints import MODEL
from sagemaker_requests import processing_request, rented, training_request, transform_request, tuning_request

GROUP = "/aws/sagemaker/TrainingJobs"
"""Of logs and of metrics."""

MACHINES = {"ml.g5.12xlarge": (48, 4), "ml.g5.xlarge": (4, 1), "ml.m5.24xlarge": (96, 0)}
"""vCPUs and GPUs. On the last one, a thread at work is one percent."""

DETECTOR = "hung-training-jobs"


@dataclass(frozen=True, kw_only=True)
class Work(Thing):
    """
    A job of some *age*, which logged something at every *gap* and then fell *silent*.

    *load* is that of its hosts. *stirs* is the one sign of life that a single host gives: "log" or "load".
    """

    age: timedelta
    gap: timedelta
    silent: timedelta
    logs: bool
    hosts: int
    instance: str
    load: str
    stirs: str

    @property
    def quiet_for(self) -> timedelta:
        return min(self.silent, self.age - self.gap)

    def log(self, account: Account, group: str, hosts: list[str], pages: float | None = None) -> None:
        """Leave the logs of its *hosts*."""
        last = account.now - self.quiet_for
        count = int((self.age - self.quiet_for) / self.gap) + 1 if self.logs else 0
        events = [(last - n * self.gap, f"step {n}") for n in range(count)][::-1]
        for host in hosts if self.logs else ():
            stirs = self.stirs == "log" and host == hosts[-1]
            fresh = [(account.now - MINUTE, "step on")] if stirs else []
            lags = 20.0 if stirs else None  # the list of streams knows nothing of it yet
            stream = f"{host}-1700000000"
            account.control.logs(group, stream, [*events, *fresh], lag_hours=lags, page_hours=pages)


@dataclass(frozen=True, kw_only=True)
class Job(Work):
    """
    A training job. Where it is *chatty*, its log has more pages than are read.

    *load* is that of the first host if only one GPU spins or works, since it fell silent; while it logged it
    was the same, another, or is not known, as *logged* says. *checkpoint* is how long ago it wrote one,
    *limit* its longest runtime. *debugger* is whether Debugger and the profiler wrote a minute ago.
    """

    calls = (
        "sagemaker:ListTrainingJobs",
        "sagemaker:Search",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTags",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:GetLogEvents",
        "cloudwatch:GetMetricData",
        "cloudwatch:GetMetricData",
        "s3:ListObjectsV2",
        "s3:ListObjectsV2",
    )

    secondary: str
    chatty: bool
    logged: str
    checkpoint: timedelta | None
    debugger: bool
    limit: timedelta

    @property
    def overdue(self) -> bool:
        return self.age >= self.limit + HOUR

    @property
    def hung(self) -> bool:
        if self.labels.exempt or self.secondary != "Training":
            return False
        if self.overdue:
            return True
        if not self.logs or self.stirs or (self.checkpoint is not None and self.checkpoint < 6 * HOUR):
            return False
        empty = -(-self.gap // HOUR) - 1
        pause = (empty + 2) * HOUR if self.chatty else self.gap
        if self.quiet_for < max(6 * HOUR, 3 * pause):
            return False
        return self.load in STILL or (self.load == "none" and self.quiet_for >= 24 * HOUR)

    @property
    def certain(self) -> bool:
        """
        Whether anything proves it: a job at rest may wait, and one GPU that is full may be at work.

        GPUs that were as full while it logged are those of a trainer that logs rarely.
        """
        gpus = MACHINES[self.instance][1]
        spinning = {"full": gpus * self.hosts, "all but one": (gpus - 1) * self.hosts, "one": 1}
        return self.overdue or (spinning.get(self.load, 0) > 1 and self.logged == "other")

    @property
    def needs(self) -> frozenset[str]:
        """What it takes to judge it, however it came to be known."""
        needs = {"sagemaker:DescribeTrainingJob", "sagemaker:ListTags"}
        if not self.overdue:
            needs |= {
                "logs:GetLogEvents",
                "logs:DescribeLogStreams",
                "s3:ListObjectsV2",
                "cloudwatch:GetMetricData",
            }
        return frozenset(needs)

    @property
    def stores(self) -> bool:
        return True

    def build(self, account: Account) -> None:
        arn = self.make(account, account.name("job"))
        account.claim(DETECTOR, arn, waste=self.hung, certain=self.certain, needs=self.needs)

    def make(self, account: Account, name: str) -> str:
        """Make it, with its logs, its checkpoint and its load, under this *name*; the answer is its ARN."""
        account.be(self.age)
        arn: str = account.sagemaker.create_training_job(
            **training_request(
                name,
                rented(self.instance, self.hosts, 50),
                out=f"s3://{BUCKET}/output",
                seconds=int(self.limit.total_seconds()),
                CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/{name}"},
                Tags=self.labels.listed,
            )
        )["TrainingJobArn"]
        if self.checkpoint is not None:
            account.be(self.checkpoint)
            account.s3.put_object(Bucket=BUCKET, Key=f"checkpoints/{name}/step-1.pt", Body=b"x")
        if self.debugger:
            account.be(MINUTE)
            for key in ("rule-output/ProfilerReport-1/1.json", "profiler-output/framework/1.json"):
                account.s3.put_object(Bucket=BUCKET, Key=f"output/{name}/{key}", Body=b"x")
        account.be(timedelta())
        if self.secondary != "Training":
            account.control.patch("sagemaker", ["training_jobs", name], SecondaryStatus=self.secondary)
        pages = max(0.5, self.quiet_for / HOUR / 40) if self.chatty else None  # few empty ones
        hosts = [f"{name}/algo-{number}" for number in range(1, self.hosts + 1)]
        self.log(account, GROUP, hosts, pages)
        account.control.metrics(GROUP, self._loads(account, hosts))
        account.tagged(arn, self.labels)
        return arn

    def _loads(self, account: Account, names: list[str]) -> list[dict[str, object]]:
        levels = [self.load, *["zero" if self.load.startswith("one") else self.load] * (self.hosts - 1)]
        if self.stirs == "load":
            levels[-1] = "varying"
        machine = MACHINES[self.instance]
        falls_silent = self.logs and self.quiet_for >= 6 * HOUR
        long = min(self.quiet_for, 36 * HOUR) if falls_silent else 36 * HOUR
        hosts = [
            host_load(name, level, account.now, *machine, long=long)
            for name, level in zip(names, levels, strict=True)
        ]
        if falls_silent and self.load != "none" and self.logged != "unknown":
            at_work = ["varying"] * len(levels) if self.logged == "other" else levels
            last = account.now - self.quiet_for
            hosts += [
                host_load(name, level, last, *machine, long=4 * HOUR)
                for name, level in zip(names, at_work, strict=True)
            ]
        return [series for host in hosts for series in host]


STILL = {"zero", "full", "all but one", "one"}
"""The loads at which nothing is done, or may not be."""


def host_load(
    host: str, level: str, now: datetime, cpus: int, gpus: int, *, long: timedelta = 36 * HOUR
) -> list[dict[str, object]]:
    """
    The load of one host until *now*, for so *long*; a "thread" leaves its GPUs alone.

    GPUs that wait for another were seen at 96 percent. "one at work" varies by no more than all GPUs may.
    """
    points = 2 * (long // (10 * MINUTE))
    levels = {
        "all but one": ([96.0 * (gpus - 1)] * points, [100.0 * (gpus - 1)] * points),
        "one": ([100.0] * points, [100.0] * points),
        "one at work": ([88.0, 98.0] * (points // 2), [100.0] * points),
        "half": ([60.0 * gpus] * points, [100.0 * cpus] * points),
        "zero": ([0.0] * points, [1.0] * points),
        "full": ([100.0 * gpus] * points, [100.0 * cpus] * points),
        "thread": ([0.0] * points, [100.0] * points),
        "varying": (
            [30.0 if n % 3 else 95.0 for n in range(points)],
            [200.0 if n % 2 else 60.0 for n in range(points)],
        ),
    }
    if level not in levels:
        return []
    gpu, cpu = levels[level]
    shared = {"dimensions": {"Host": host}, "start": now - timedelta(minutes=5) * points, "step": 300}
    series: list[dict[str, object]] = [{"metric": "CPUUtilization", "values": cpu, **shared}]
    return [*series, {"metric": "GPUUtilization", "values": gpu, **shared}] if gpus else series


@dataclass(frozen=True, kw_only=True)
class Worker(Work):
    """A job that is not training; *unnamed* hosts publish no metrics. It wrote *output* so long ago."""

    started: bool
    unnamed: int
    output: timedelta | None

    @property
    def overdue(self) -> bool:
        return False

    @property
    def measured(self) -> bool:
        return self.load != "none" and not self.unnamed

    @property
    def hung(self) -> bool:
        if self.labels.exempt or not self.started:
            return False
        return self.overdue or self.stands_still

    @property
    def stands_still(self) -> bool:
        if not self.logs or self.stirs or self.quiet_for < max(6 * HOUR, 3 * self.gap):
            return False
        if self.output is not None and self.output < 6 * HOUR:
            return False
        shown = self.hosts > self.unnamed  # a load that no metric tells of is as good as none
        if shown and self.load not in {"zero", "none"}:  # nothing spins in vain here: a full load is work
            return False
        return self.measured or self.quiet_for >= 24 * HOUR

    def claim(self, account: Account, arn: str, needs: set[str]) -> None:
        """
        Claim what is true of it; it *needs* these calls besides those that every kind does.

        At rest it may wait for a query or another job, so that only its limit makes it certain.
        """
        needs |= {"sagemaker:ListTags"}
        if not self.overdue:
            needs |= {"logs:GetLogEvents", "logs:DescribeLogStreams", "s3:ListObjectsV2"}
        account.tagged(arn, self.labels)
        account.claim(DETECTOR, arn, waste=self.hung, certain=self.overdue, needs=needs)

    def live(self, account: Account, group: str, hosts: list[str], key: str) -> None:
        """Its output, its logs and its load, up to now."""
        if self.output is not None:
            account.be(self.output)
            account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        account.be(timedelta())
        self.log(account, group, hosts)
        cpus, gpus = MACHINES[self.instance]
        for host in hosts[: len(hosts) - self.unnamed]:
            level = "varying" if self.stirs == "load" and host == hosts[0] else self.load
            account.control.metrics(group, host_load(host, level, account.now, cpus, gpus))


@dataclass(frozen=True, kw_only=True)
class ProcessingJob(Worker):
    """A processing job that uploads its outputs in this *mode*, and may run up to a *limit*."""

    calls = (
        "sagemaker:ListProcessingJobs",
        "sagemaker:DescribeProcessingJob",
        "sagemaker:ListTags",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "cloudwatch:GetMetricData",
        "s3:ListObjectsV2",
    )

    mode: str
    limit: timedelta

    @property
    def overdue(self) -> bool:
        return self.age > self.limit + HOUR

    def build(self, account: Account) -> None:
        name = account.name("clean")
        output: Any = {"S3Uri": f"s3://{BUCKET}/clean/{name}", "LocalPath": "/o", "S3UploadMode": self.mode}
        account.be(self.age)
        arn = account.sagemaker.create_processing_job(
            **processing_request(
                name,
                rented(self.instance, self.hosts, 10),
                ProcessingOutputConfig={"Outputs": [{"OutputName": "o", "S3Output": output}]},
                StoppingCondition={"MaxRuntimeInSeconds": int(self.limit.total_seconds())},
                Tags=self.labels.listed,
            )
        )["ProcessingJobArn"]
        if not self.started:
            account.control.patch("sagemaker", ["processing_jobs", name], ProcessingStartTime=None)
        hosts = [f"{name}/algo-{number}" for number in range(1, self.hosts + 1)]
        self.live(account, "/aws/sagemaker/ProcessingJobs", hosts, f"clean/{name}/part-1")
        metrics = set() if self.overdue else {"cloudwatch:GetMetricData"}
        self.claim(
            account, arn, {"sagemaker:ListProcessingJobs", "sagemaker:DescribeProcessingJob", *metrics}
        )


@dataclass(frozen=True, kw_only=True)
class TransformJob(Worker):
    """A transform job, whose hosts only their metrics name."""

    calls = (
        "sagemaker:ListTransformJobs",
        "sagemaker:DescribeTransformJob",
        "sagemaker:ListTags",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "cloudwatch:ListMetrics",
        "cloudwatch:GetMetricData",
        "s3:ListObjectsV2",
    )

    def build(self, account: Account) -> None:
        name = account.name("score")
        account.be(self.age)
        arn = account.sagemaker.create_transform_job(
            **transform_request(
                name,
                MODEL,
                self.instance,
                count=self.hosts,
                source=f"s3://{BUCKET}/batch",
                out=f"s3://{BUCKET}/scored/{name}",
                Tags=self.labels.listed,
            )
        )["TransformJobArn"]
        if not self.started:
            account.control.patch("sagemaker", ["transform_jobs", name], TransformStartTime=None)
        hosts = [f"{name}/i-{number}" for number in range(1, self.hosts + 1)]
        self.live(account, "/aws/sagemaker/TransformJobs", hosts, f"scored/{name}/part-1.out")
        named = self.load != "none" and self.unnamed < self.hosts
        metrics = {"cloudwatch:ListMetrics", *({"cloudwatch:GetMetricData"} if named else ())}
        self.claim(account, arn, {"sagemaker:ListTransformJobs", "sagemaker:DescribeTransformJob", *metrics})


HUNG = Job(
    labels=COMPLETE,
    secondary="Training",
    age=40 * HOUR,
    gap=15 * MINUTE,
    silent=28 * HOUR,
    chatty=False,
    logged="other",
    logs=True,
    hosts=1,
    instance="ml.g5.12xlarge",
    load="full",
    stirs="",
    checkpoint=None,
    debugger=False,
    limit=400 * HOUR,
)


def like_it(**changed: Any) -> Job:
    """A child that is like one that hangs, but for a few members."""
    return replace(HUNG, **changed)


CHILDREN = {
    "hung": HUNG,
    "overdue": like_it(limit=24 * HOUR),
    "blind": like_it(load="none"),  # likely at most
    "logs": like_it(stirs="log"),
    "loaded": like_it(load="varying"),
    "mute": like_it(logs=False),  # nobody can tell
    "waits": like_it(secondary="Starting"),
    "kept": like_it(labels=EXEMPT[0]),
    "over": like_it(secondary="Completed"),
}


@dataclass(frozen=True, kw_only=True)
class Tuner(Thing):
    """A tuning job with these *children*, by their names in `CHILDREN`."""

    calls = (
        "sagemaker:ListHyperParameterTuningJobs",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        *Job.calls,
    )

    status: str
    children: tuple[str, ...]

    @property
    def stores(self) -> bool:
        return bool(self.children)

    @property
    def running(self) -> list[Job]:
        return [CHILDREN[name] for name in self.children if name != "over"]

    @property
    def hung(self) -> bool:
        """Stopping it stops all of its children, so every one that runs must be waste."""
        if self.labels.exempt or self.status != "InProgress":
            return False
        return bool(self.running) and all(child.hung for child in self.running)

    def build(self, account: Account) -> None:
        name = account.name("sweep")
        account.be(60 * HOUR)
        tuner = account.sagemaker.create_hyper_parameter_tuning_job(
            **tuning_request(name, Tags=self.labels.listed)
        )["HyperParameterTuningJobArn"]
        account.be(timedelta())
        path = ["hyper_parameter_tuning_jobs", name]
        account.control.patch("sagemaker", path, HyperParameterTuningJobStatus=self.status)
        for child in self.children:
            self._build_child(account, account.name("trial"), CHILDREN[child], tuner)
        account.tagged(tuner, self.labels)
        account.claim(
            DETECTOR,
            tuner,
            waste=self.hung,
            certain=all(child.certain for child in self.running),
            needs={*self.calls[:2], "sagemaker:ListTags"}.union(*(child.needs for child in self.running)),
        )

    def _build_child(self, account: Account, name: str, child: Job, tuner: str) -> None:
        """Whoever keeps a tuning job keeps its children. They can be known in two ways: one is enough."""
        arn = child.make(account, name)
        status = "Completed" if child.secondary == "Completed" else "InProgress"
        account.control.patch(
            "sagemaker", ["training_jobs", name], TuningJobArn=tuner, training_job_status=status
        )
        waste = child.hung and not self.labels.exempt
        account.claim(
            DETECTOR,
            arn,
            waste=waste,
            certain=child.certain,
            needs=child.needs | {"sagemaker:ListHyperParameterTuningJobs"},
        )


@dataclass(frozen=True, kw_only=True)
class WarmPool(Thing):
    """
    The instances of a training job that *ended* so long ago, and what has become of them.

    An *earlier* pool waited so long until a job came, on instances of this *kind*, or never ended.
    """

    calls = (
        "sagemaker:ListTrainingJobs",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTags",
        "sagemaker:Search",
    )

    pool: str
    ended: timedelta
    earlier: timedelta | None
    kind: str

    @property
    def stores(self) -> bool:
        return True

    def build(self, account: Account) -> None:
        name = account.name("warm")
        if self.earlier is not None:
            waited = {"ResourceRetainedBillableTimeInSeconds": int(self.earlier.total_seconds())}
            self.job(account, f"{name}-before", 3 * DAY, {"Status": "Reused", **waited}, self.kind)
        arn = self.job(account, name, self.ended, {"Status": self.pool}, "ml.g5.xlarge")
        waits = self.pool == "Available" and self.ended >= HOUR and not self.labels.exempt
        usual = self.earlier is not None and self.kind == "ml.g5.xlarge" and self.earlier > self.ended
        needs = {"sagemaker:DescribeTrainingJob", "sagemaker:ListTags", "sagemaker:Search"}
        account.claim(DETECTOR, arn, waste=waits and not usual, certain=True, needs=needs)

    def job(self, account: Account, name: str, ended: timedelta, pool: dict[str, Any], kind: str) -> str:
        account.be(ended + 30 * HOUR)
        arn: str = account.sagemaker.create_training_job(
            **training_request(
                name,
                rented(kind, 1, 50, KeepAlivePeriodInSeconds=6 * 3600),
                out=f"s3://{BUCKET}/output",
                seconds=86400,
                Tags=self.labels.listed,
            )
            | {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name.removesuffix('-before')}"}
        )["TrainingJobArn"]
        account.control.patch(
            "sagemaker",
            ["training_jobs", name],
            training_job_status="Completed",
            SecondaryStatus="Completed",
            TrainingEndTime=account.now - ended,
            LastModifiedTime=account.now - ended,
            WarmPoolStatus=pool,
        )
        account.tagged(arn, self.labels)
        return arn


TRAINING = Kind.of(
    Job,
    labels=(UNKEPT, EXEMPT),
    secondary=(["Training"], ["Starting", "Uploading", "Interrupted", "Downloading"]),
    age=(spans(HOUR, 90, 40), spans(HOUR, 5)),
    gap=(spans(HOUR, 0.25, 1, 3), spans(HOUR, 9)),
    silent=(spans(HOUR, 10, 28, 36), spans(HOUR, 0.1, 5.9)),
    chatty=([False, True],),
    logged=(["other"], ["same", "unknown"]),
    logs=([True], [False]),
    hosts=([2, 1],),
    instance=(list(MACHINES)[:2],),
    load=(["full", "zero", "all but one", "one"], ["varying", "none", "one at work", "half"]),
    stirs=([""], ["log", "load"]),
    checkpoint=([None, 38 * HOUR], spans(HOUR, 1)),
    debugger=([False, True],),
    limit=(spans(HOUR, 400, 24),),
)

SHARED: Members = {
    "labels": (UNKEPT[1:3], EXEMPT[:1]),
    "started": ([True], [False]),
    "age": (spans(HOUR, 40, 90), spans(HOUR, 5)),
    "gap": (spans(HOUR, 1, 0.25, 3), spans(HOUR, 9)),
    "silent": (spans(HOUR, 10, 28, 36), spans(HOUR, 0.1, 5.9)),
    "logs": ([True], [False]),
    "hosts": ([2, 1],),
    "unnamed": ([0], [1]),
    "instance": (list(MACHINES)[1:],),
    "load": (["zero"], ["full", "thread", "varying", "none"]),
    "stirs": ([""], ["log", "load"]),
    "output": ([None, 38 * HOUR], spans(HOUR, 1)),
}
OTHERS = (
    Kind.of(ProcessingJob, **SHARED, mode=(["Continuous", "EndOfJob"],), limit=(spans(HOUR, 200, 24),)),
    Kind.of(TransformJob, **SHARED),
)

TUNING = Kind.of(
    Tuner,
    labels=(UNKEPT[1:3], EXEMPT[:1]),
    status=(["InProgress"], ["Stopping", "Completed"]),
    children=(
        [("hung", "hung"), ("overdue",), ("hung", "blind"), ("over", "hung"), ("blind",)],
        [
            *((), ("over",), ("hung", "logs"), ("loaded", "overdue")),
            *(("hung", "mute"), ("hung", "waits"), ("hung", "kept")),
        ],
    ),
)

WARM_POOLS = Kind.of(
    WarmPool,
    labels=(UNKEPT[1:3], EXEMPT[:1]),
    pool=(["Available"], ["InUse", "Reused", "Terminated"]),
    ended=([2 * HOUR, HOUR + MINUTE, 5 * HOUR], [5 * MINUTE, 59 * MINUTE]),
    earlier=([None, 20 * MINUTE, HOUR], [2 * HOUR + MINUTE, 5 * HOUR]),
    kind=(["ml.g5.xlarge"],),
)

OTHER_POOLS = WARM_POOLS.but(
    earlier=([5 * HOUR],), kind=(["ml.g5.2xlarge", "ml.g4dn.xlarge"], ["ml.g5.xlarge"])
)
"""Pools beside earlier ones of other instances, which waited longer."""
