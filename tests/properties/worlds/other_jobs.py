"""Random processing and transform jobs: at work, silent, at rest, past their limits, not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import (
    BUCKET,
    EXEMPT,
    HOUR,
    MINUTE,
    UNKEPT,
    Account,
    Kind,
    Labels,
    Members,
    Thing,
    spans,
)
from properties.worlds.endpoints import MODEL
from properties.worlds.jobs import host_load
from sagemaker_requests import processing_request, rented, transform_request

MACHINES = {"ml.g5.xlarge": (4, 1), "ml.m5.24xlarge": (96, 0)}
"""vCPUs and GPUs. On the large one, a thread at work is one percent."""


@dataclass(frozen=True, kw_only=True)
class Worker(Thing):
    """
    A job of some *age* that is not training: it logged at every *gap*, and then fell *silent*.

    *load* is that of all its hosts, of which *unnamed* ones publish no metrics. *stirs* is the one sign
    of life that only its last host gives: "log" or "load". *output* is how long ago it wrote one.
    """

    labels: Labels
    started: bool
    age: timedelta
    gap: timedelta
    silent: timedelta
    logs: bool
    hosts: int
    unnamed: int
    instance: str
    load: str
    stirs: str
    output: timedelta | None

    @property
    def quiet_for(self) -> timedelta:
        return min(self.silent, self.age - self.gap)

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
        account.claim(
            "hung-training-jobs", arn, waste=self.hung, certain=self.overdue, needs=frozenset(needs)
        )

    def live(self, account: Account, group: str, hosts: list[str], key: str) -> None:
        """Its output, its logs and its load, up to now."""
        if self.output is not None:
            account.be(self.output)
            account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        account.be(timedelta())
        if self.logs:
            last = account.now - self.quiet_for
            count = int((self.age - self.quiet_for) / self.gap) + 1
            events = [(last - n * self.gap, f"part {n}") for n in range(count)][::-1]
            for host in hosts:
                stirs = self.stirs == "log" and host == hosts[-1]
                fresh = [(account.now - MINUTE, "one more")] if stirs else []
                lags = 20.0 if stirs else None  # the list of streams knows nothing of it yet
                account.control.logs(group, f"{host}-1700000000", [*events, *fresh], lag_hours=lags)
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


SHARED: Members = {
    "labels": (UNKEPT[1:3], EXEMPT[:1]),
    "started": ([True], [False]),
    "age": (spans(HOUR, 40, 90), spans(HOUR, 5)),
    "gap": (spans(HOUR, 1, 0.25, 3), spans(HOUR, 9)),
    "silent": (spans(HOUR, 10, 28, 36), spans(HOUR, 0.1, 5.9)),
    "logs": ([True], [False]),
    "hosts": ([2, 1],),
    "unnamed": ([0], [1]),
    "instance": (list(MACHINES),),
    "load": (["zero"], ["full", "thread", "varying", "none"]),
    "stirs": ([""], ["log", "load"]),
    "output": ([None, 38 * HOUR], spans(HOUR, 1)),
}
KINDS = (
    Kind.of(ProcessingJob, **SHARED, mode=(["Continuous", "EndOfJob"],), limit=(spans(HOUR, 200, 24),)),
    Kind.of(TransformJob, **SHARED),
)
