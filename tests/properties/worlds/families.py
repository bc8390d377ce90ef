"""Families of training jobs that completed: how long they ran and might run, kept a pool, and were bought."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from properties.worlds.base import ACCOUNT, DAY, EXEMPT, HOUR, UNKEPT, Account, Kind, Thing
from sagemaker_requests import rented, training_request

DETECTOR = "families"
LIMITS, POOLS, SPOT = "generous-runtime-limits", "generous-warm-pools", "spot-training"
LISTINGS = {name: {"sagemaker:Search"} for name in (LIMITS, POOLS, SPOT)}
HOURLY = 7.09
"""Dollars of the one type of instance here, ml.g5.12xlarge, to the cent."""

WINDOW = 60 * DAY
MONTH = 730.0
"""Hours."""


@dataclass(frozen=True, kw_only=True)
class Family(Thing):
    """
    So many *jobs* that *ran* for so long, the newest of them *newest* ago, all below a *limit*.

    Each kept a warm pool for as long as it asked for, *keeps*, billed for *waited*; one of them was *reused*
    after so long, or none. *how* they were bought is "spot", "on demand", or of the newest alone "lately on
    spot"; an interruption costs what the tag *interruption* says, if there is one.
    """

    calls: ClassVar = ("sagemaker:Search",)

    interruption: str
    jobs: int
    newest: timedelta
    ran: timedelta
    limit: timedelta
    keeps: timedelta
    waited: timedelta
    reused: timedelta | None
    how: str

    def build(self, account: Account) -> None:
        many = len(account.claims) // 3
        name = f"family-{chr(ord('a') + many // 26)}{chr(ord('a') + many % 26)}"
        for number in range(self.jobs):
            self.job(account, f"{name}-{number}", self.newest + number * DAY, first=number == 0)
        judged = self.jobs >= 3 and self.newest < WINDOW and not self.labels.exempt
        needed = max(timedelta(hours=-(-2 * self.ran // HOUR)), HOUR)
        longest_wait = self.reused or timedelta()
        pools = self.jobs if self.keeps else 0
        idle = self.idle(longest_wait) if pools else 0.0
        for detector, waste in (
            (LIMITS, self.limit - needed >= 6 * HOUR),
            (POOLS, pools >= 3 and 1.5 * longest_wait < self.keeps and idle >= 10),
            (SPOT, self.how == "on demand" and not self.keeps and self.worth_interrupting()),
        ):
            arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/{name}-*"
            account.claim(detector, arn, waste=judged and waste, needs=self.calls)

    def idle(self, longest_wait: timedelta) -> float:
        """Dollars a month of pools that waited for longer than half as much again as the longest use."""
        waits = [self.waited] * (self.jobs - 1) + [self.reused or self.waited]
        beyond = sum(max(wait - 1.5 * longest_wait, timedelta()) / HOUR for wait in waits)
        return beyond * HOURLY * MONTH / (WINDOW / HOUR)

    def worth_interrupting(self) -> bool:
        """Whether ten dollars a month are left of 60 % of the price, of which rework takes a tenth."""
        saved = self.jobs * (self.ran / HOUR) * HOURLY * 0.6 * 0.9 * MONTH / (WINDOW / HOUR)
        return self.interruption != "high" and saved > 10

    def job(self, account: Account, name: str, ago: timedelta, *, first: bool) -> None:
        sagemaker: Any = account.sagemaker
        account.be(ago + self.ran)
        on = rented("ml.g5.12xlarge", 1, 10)
        stops = {"MaxRuntimeInSeconds": int(self.limit.total_seconds())}
        if self.keeps:
            on["KeepAlivePeriodInSeconds"] = int(self.keeps.total_seconds())
        spot: dict[str, Any] = {}
        on_spot = self.how == "spot" or (self.how == "lately on spot" and first)
        if on_spot:
            spot = {"EnableManagedSpotTraining": True}
            stops["MaxWaitTimeInSeconds"] = stops["MaxRuntimeInSeconds"]
        tags = self.labels.tags | ({"janitor:interruption": self.interruption} if self.interruption else {})
        spot["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        sagemaker.create_training_job(
            **training_request(name, on, out="s3://families/output", StoppingCondition=stops, **spot)
        )
        seconds, ended = int(self.ran.total_seconds()), account.now - ago
        changed: dict[str, Any] = {
            "TrainingJobStatus": "Completed",
            "TrainingStartTime": ended - self.ran,
            "TrainingEndTime": ended,
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": int(seconds * 0.4) if on_spot else seconds,
        }
        if self.keeps:
            used = first and self.reused is not None
            waited = self.reused if used and self.reused is not None else self.waited
            changed["WarmPoolStatus"] = {
                "Status": "Reused" if used else "Terminated",
                "ResourceRetainedBillableTimeInSeconds": int(waited.total_seconds()),
            }
        account.control.patch("sagemaker", ["training_jobs", name], **changed)


LONG = Kind.of(
    Family,
    labels=(UNKEPT[:3], EXEMPT[:2]),
    interruption=(["", "low", "medium"], ["high"]),
    jobs=([4, 3], [1, 2]),
    newest=([DAY, 50 * DAY], [70 * DAY]),
    ran=([3 * HOUR], [timedelta(minutes=20)]),
    limit=([12 * HOUR, 72 * HOUR], [12 * HOUR - timedelta(seconds=1), 4 * HOUR]),
    keeps=([timedelta()],),
    waited=([timedelta()],),
    reused=([None],),
    how=(["on demand"], ["spot", "lately on spot"]),
)
"""Jobs without a pool."""

POOLED = Kind.of(
    Family,
    labels=(UNKEPT[:3], EXEMPT[:1]),
    interruption=([""],),
    jobs=([4, 3], [2]),
    newest=([DAY],),
    ran=([HOUR],),
    limit=([2 * HOUR],),
    keeps=([HOUR], [timedelta(minutes=30)]),
    waited=([HOUR], [timedelta(minutes=5)]),
    reused=([None, timedelta(minutes=20)], [timedelta(minutes=40)]),
    how=(["on demand"],),
)
"""Jobs that keep one."""

KINDS = (LONG, POOLED)
