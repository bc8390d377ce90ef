"""Random warm pools: waiting in vain, just left, in use, over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from properties.worlds.base import BUCKET, EXEMPT, HOUR, MINUTE, UNKEPT, Account, Kind, Labels, Thing
from sagemaker_requests import rented, training_request


@dataclass(frozen=True, kw_only=True)
class WarmPool(Thing):
    """The instances of a training job that *ended* so long ago, and what has become of them."""

    calls = ("sagemaker:ListTrainingJobs", "sagemaker:DescribeTrainingJob", "sagemaker:ListTags")

    labels: Labels
    pool: str
    ended: timedelta

    @property
    def stores(self) -> bool:
        return True

    def build(self, account: Account) -> None:
        name = account.name("warm")
        account.be(self.ended + 30 * HOUR)
        arn = account.sagemaker.create_training_job(
            **training_request(
                name,
                rented("ml.g5.xlarge", 1, 50, KeepAlivePeriodInSeconds=6 * 3600),
                out=f"s3://{BUCKET}/output",
                seconds=86400,
                Tags=self.labels.listed,
            )
        )["TrainingJobArn"]
        account.control.patch(
            "sagemaker",
            ["training_jobs", name],
            training_job_status="Completed",
            SecondaryStatus="Completed",
            TrainingEndTime=account.now - self.ended,
            LastModifiedTime=account.now - self.ended,
            WarmPoolStatus={"Status": self.pool},
        )
        account.tagged(arn, self.labels)
        waits = self.pool == "Available" and self.ended >= HOUR and not self.labels.exempt
        account.claim(
            "hung-training-jobs",
            arn,
            waste=waits,
            certain=True,
            needs=frozenset(self.calls) - {"sagemaker:ListTrainingJobs"},
        )


KIND = Kind.of(
    WarmPool,
    labels=(UNKEPT[1:3], EXEMPT[:1]),
    pool=(["Available"], ["InUse", "Reused", "Terminated"]),
    ended=([2 * HOUR, HOUR + MINUTE, 5 * HOUR], [5 * MINUTE, 59 * MINUTE]),
)
