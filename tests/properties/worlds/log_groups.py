"""Random log groups: for how long they keep an event, and how much of what they hold is old."""

from dataclasses import dataclass
from datetime import timedelta

from conftest import REGION
from properties.worlds.base import ACCOUNT, DAY, EXEMPT, UNKEPT, Account, Kind, Thing, spans

DETECTOR = "forgotten-leftovers"
RETENTION = 90 * DAY
GB = 2**30


@dataclass(frozen=True, kw_only=True)
class LogGroup(Thing):
    """A group that keeps an event for so many days, or for ever; how many GB are *stored*, and *arrived*."""

    calls = ("logs:DescribeLogGroups", "cloudwatch:GetMetricData", "tag:GetResources")

    kept: int | None
    age: timedelta
    stored: float
    arrived: float

    def build(self, account: Account) -> None:
        name = account.name("/aws/sagemaker/jobs")
        account.be(self.age)
        account.logs.create_log_group(logGroupName=name, tags=self.labels.tags)
        account.control.log_group(name, int(self.stored * GB))
        if self.kept is not None:
            account.logs.put_retention_policy(logGroupName=name, retentionInDays=self.kept)
        if self.arrived:
            where, since = {"LogGroupName": name}, account.now - 10 * DAY
            metric = ("AWS/Logs", "IncomingBytes")
            account.measure(metric, where, [self.arrived * GB], since=since, step=86_400)
        old = self.stored - min(self.stored, self.arrived) >= 1
        waste = self.kept is None and self.age >= RETENTION and old and not self.labels.exempt
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
        account.claim(DETECTOR, arn, waste=waste, needs=self.calls)


KIND = Kind.of(
    LogGroup,
    labels=(UNKEPT, EXEMPT),
    kept=([None], [30, 90, 3653]),
    age=(spans(DAY, 400, 90), spans(DAY, 89.9, 1)),
    stored=([5.0, 50.0], [0.5]),
    arrived=([0.0, 4.0], [4.5, 60.0]),
)
