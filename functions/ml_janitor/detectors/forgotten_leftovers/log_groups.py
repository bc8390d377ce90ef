"""Log groups that keep every event for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from ml_janitor.aws import logs, metrics, storage_prices, tags
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.logs import LogGroup
from ml_janitor.aws.storage_prices import StoragePrices
from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Candidate, Confidence, Rule, Verdict
from ml_janitor.core.signals import Absent, Evidence, Signal, Unreadable, Value, map_signal
from ml_janitor.core.text import format_size
from ml_janitor.detectors.forgotten_leftovers.expiry import why_group_spared
from ml_janitor.engine.detector import allow

LOG_GROUP_KIND, _LOG_GROUP_NOUN = "log-group", "log group"

LOG_GROUP_READS = (allow(logs.DESCRIBE_LOG_GROUPS, on="log-group:*"), allow(metrics.GET_METRIC_DATA))

ALLOWED_RETENTIONS = frozenset(
    {30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
"""The days that PutRetentionPolicy takes (API reference), from a month on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingLogGroup(Candidate):
    """A log group, with the bytes that arrived in it within the retention that would be set."""

    group: LogGroup
    arrived: Signal[float]
    prices: StoragePrices


def find(aws: Aws, retention: timedelta, now: datetime) -> Iterator[GrowingLogGroup]:
    """Yield every group; arrivals are read for the groups that keep everything."""
    listing = logs.list_log_groups(aws)
    yield from _read(aws, listing.items, retention, now)
    listing.check()


def look(aws: Aws, name: str, retention: timedelta, now: datetime) -> GrowingLogGroup | None:
    """Read one group like `find`. Raises ReadError."""
    group = logs.find_log_group(aws, name)
    return None if group is None else next(_read(aws, (group,), retention, now))


def _read(
    aws: Aws, groups: Sequence[LogGroup], retention: timedelta, now: datetime
) -> Iterator[GrowingLogGroup]:
    incoming = partial(metrics.Metric.of, "AWS/Logs", "IncomingBytes", period=86_400)
    open_ones = [group for group in groups if group.kept is None and group.stored]
    counted = {group.arn: incoming(LogGroupName=group.name) for group in open_ones}
    arrived = metrics.read_metrics(aws, counted.values(), now - retention, now)
    prices = (
        storage_prices.read_storage_prices(aws, "AmazonCloudWatch")
        if counted
        else StoragePrices(aws.region, None)
    )
    book = tags.read_tag_book(aws, f"logs:{LOG_GROUP_KIND}")
    for group in groups:
        total: Signal[float] = Absent(metrics.GET_METRIC_DATA)
        if group.arn in counted:
            total = map_signal(arrived[counted[group.arn]], lambda series: series.total)
        own = target_in(aws, group.arn, group.name, LOG_GROUP_KIND, group.created, tags=book.of(group.arn))
        yield GrowingLogGroup(target=own, group=group, arrived=total, prices=prices)


def decide(
    candidate: GrowingLogGroup, retention: timedelta, smallest: int, act_on: Sequence[str], now: datetime
) -> Verdict:
    """
    Judge a group: stored bytes beyond all arrivals within the retention must be older than it.

    Stored bytes are compressed, and arriving bytes are not: the saving is a lower bound.
    """
    rule, group = Rule(), candidate.group
    rule.saw(Evidence("stored", format_size(group.stored), source=logs.DESCRIBE_LOG_GROUPS))
    if (reason := _kept(group, retention, smallest, now)) is not None:
        return rule.kept(reason)
    rule.passed("it keeps every event for ever")
    if isinstance(candidate.arrived, Unreadable):
        return rule.unknown(
            f"how much arrived in {format_age(retention)} is unknown ({candidate.arrived.error})"
        )
    arrived = int(candidate.arrived.value) if isinstance(candidate.arrived, Value) else 0
    rule.saw(
        Evidence(f"arrived in {format_age(retention)}", format_size(arrived), source=metrics.GET_METRIC_DATA)
    )
    older = group.stored - min(group.stored, arrived)
    if older < smallest:
        return rule.kept(f"what it holds may all have arrived within {format_age(retention)}")
    kept = candidate.prices.cost(storage_prices.LOG_STORAGE, older)
    return rule.found(
        f"it keeps every event for ever and holds {format_size(group.stored)}, of which at least"
        f" {format_size(older)} are older than {format_age(retention)}",
        Confidence.LIKELY,
        action=f"set a retention of {retention.days} days: aws logs put-retention-policy"
        f" --log-group-name {group.name} --retention-in-days {retention.days}",
        cost=Cost.saving(kept.monthly_usd, kept.source),
        noun=_LOG_GROUP_NOUN,
        spared=why_group_spared(group.name, act_on),
    )


def _kept(group: LogGroup, retention: timedelta, smallest: int, now: datetime) -> str | None:
    """Return why nothing is to be gained, as far as the listing tells, or None."""
    if group.delivered:
        return "it stores nothing: its events are delivered elsewhere"
    if group.kept is not None:
        return f"it keeps an event for {group.kept} days"
    if now - group.created < retention:
        return f"created {format_age(now - group.created)} ago; judged from {format_age(retention)} on"
    if group.stored < smallest:
        return f"it holds {format_size(group.stored)}; judged from {format_size(smallest)} on"
    return None
