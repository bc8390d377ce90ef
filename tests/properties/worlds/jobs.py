"""Random training jobs: at work, silent, at a standstill, past their limits, not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from properties.worlds.base import BUCKET, EXEMPT, HOUR, MINUTE, UNKEPT, Account, Kind, Labels, Thing, spans
from sagemaker_requests import rented, training_request

GROUP = "/aws/sagemaker/TrainingJobs"
"""Of logs and of metrics."""

MACHINES = {"ml.g5.12xlarge": (48, 4), "ml.g5.xlarge": (4, 1)}
"""vCPUs and GPUs."""


@dataclass(frozen=True, kw_only=True)
class Job(Thing):
    """
    A training job of some *age*, which logged something at every *gap* and then fell *silent*. Where it is
    *chatty*, its log has more pages than are read.

    *load* is that of all its hosts, or of the first one if only one GPU spins or works; *checkpoint* is how
    long ago it wrote one, *limit* its longest runtime. *debugger* is whether Debugger and the profiler wrote
    a minute ago. *stirs* is the one sign of life that only its last host gives: "log" or "load".
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

    labels: Labels
    secondary: str
    age: timedelta
    gap: timedelta
    silent: timedelta
    chatty: bool
    logs: bool
    hosts: int
    instance: str
    load: str
    stirs: str
    checkpoint: timedelta | None
    debugger: bool
    limit: timedelta

    @property
    def quiet_for(self) -> timedelta:
        return min(self.silent, self.age - self.gap)

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
        """A job at rest may wait for something, and one GPU that is full may be at work."""
        gpus = MACHINES[self.instance][1]
        spinning = {"full": gpus * self.hosts, "all but one": (gpus - 1) * self.hosts, "one": 1}
        return self.overdue or spinning.get(self.load, 0) > 1

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
        account.claim("hung-training-jobs", arn, waste=self.hung, certain=self.certain, needs=self.needs)

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
        self._log(account, name)
        account.control.metrics(GROUP, self._loads(account, name))
        account.tagged(arn, self.labels)
        return arn

    def _log(self, account: Account, name: str) -> None:
        started, last = account.now - self.age, account.now - self.quiet_for
        if self.logs:
            count = int((last - started) / self.gap) + 1
            events = [(last - n * self.gap, f"step {n}") for n in range(count)][::-1]
            for host in range(1, self.hosts + 1):
                stirs = self.stirs == "log" and host == self.hosts
                fresh = [(account.now - MINUTE, "step on")] if stirs else []
                stream = f"{name}/algo-{host}-1700000000"
                pages = max(0.5, self.quiet_for / HOUR / 40) if self.chatty else None  # few empty ones
                lags = 20.0 if stirs else None  # the list of streams knows nothing of it yet
                account.control.logs(GROUP, stream, [*events, *fresh], lag_hours=lags, page_hours=pages)

    def _loads(self, account: Account, name: str) -> list[dict[str, object]]:
        levels = [self.load, *["zero" if self.load.startswith("one") else self.load] * (self.hosts - 1)]
        if self.stirs == "load":
            levels[-1] = "varying"
        hosts = [
            host_load(f"{name}/algo-{number}", level, account.now, *MACHINES[self.instance])
            for number, level in enumerate(levels, 1)
        ]
        return [series for host in hosts for series in host]


STILL = {"zero", "full", "all but one", "one"}
"""The loads at which nothing is done, or may not be."""


def host_load(host: str, level: str, now: datetime, cpus: int, gpus: int) -> list[dict[str, object]]:
    """
    The load of one host over the last day and a half; a "thread" leaves its GPUs alone.

    GPUs that wait for another were seen at 96 percent. "one at work" varies by no more than all GPUs may.
    """
    points = 12 * 36
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


KIND = Kind.of(
    Job,
    labels=(UNKEPT, EXEMPT),
    secondary=(["Training"], ["Starting", "Uploading", "Interrupted", "Downloading"]),
    age=(spans(HOUR, 90, 40), spans(HOUR, 5)),
    gap=(spans(HOUR, 0.25, 1, 3), spans(HOUR, 9)),
    silent=(spans(HOUR, 10, 28, 36), spans(HOUR, 0.1, 5.9)),
    chatty=([False, True],),
    logs=([True], [False]),
    hosts=([2, 1],),
    instance=(list(MACHINES),),
    load=(["full", "zero", "all but one", "one"], ["varying", "none", "one at work", "half"]),
    stirs=([""], ["log", "load"]),
    checkpoint=([None, 38 * HOUR], spans(HOUR, 1)),
    debugger=([False, True],),
    limit=(spans(HOUR, 400, 24),),
)
