"""Log groups that keep every event for ever: their reading, the verdict, and the retention set on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from ml_janitor.aws import activity, storage, tags
from ml_janitor.aws.activity import LogGroup
from ml_janitor.aws.calls import required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.aws.tags import target_in
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Confidence,
    Cost,
    Evidence,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    map_signal,
)
from ml_janitor.core.text import count_noun, format_size, quote_shell
from ml_janitor.engine.detector import CannotActError, Grant, Steps, allow

# --- reading and verdict --------------------------------------------------------------------------

LOG_GROUP_KIND, _LOG_GROUP_NOUN = "log-group", "log group"

LOG_GROUP_READS = (allow(activity.DESCRIBE_LOG_GROUPS, on="log-group:*"), allow(activity.GET_METRIC_DATA))

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
    listing = activity.list_log_groups(aws)
    yield from _read(aws, listing.items, retention, now)
    listing.check()


def look(aws: Aws, name: str, retention: timedelta, now: datetime) -> GrowingLogGroup | None:
    """Read one group like `find`. Raises ReadError."""
    group = activity.find_log_group(aws, name)
    return None if group is None else next(_read(aws, (group,), retention, now))


def _read(
    aws: Aws, groups: Sequence[LogGroup], retention: timedelta, now: datetime
) -> Iterator[GrowingLogGroup]:
    incoming = partial(activity.Metric.of, "AWS/Logs", "IncomingBytes", period=86_400)
    open_ones = [group for group in groups if group.kept is None and group.stored]
    counted = {group.arn: incoming(LogGroupName=group.name) for group in open_ones}
    arrived = activity.read_metrics(aws, counted.values(), now - retention, now)
    prices = (
        storage.read_storage_prices(aws, "AmazonCloudWatch") if counted else StoragePrices(aws.region, None)
    )
    book = tags.read_tag_book(aws, f"logs:{LOG_GROUP_KIND}")
    for group in groups:
        total: Signal[float] = Absent(activity.GET_METRIC_DATA)
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
    rule.saw(Evidence("stored", format_size(group.stored), source=activity.DESCRIBE_LOG_GROUPS))
    if (reason := _kept(group, retention, smallest, now)) is not None:
        return rule.kept(reason)
    rule.passed("it keeps every event for ever")
    if isinstance(candidate.arrived, Unreadable):
        return rule.unknown(
            f"how much arrived in {format_age(retention)} is unknown ({candidate.arrived.error})"
        )
    arrived = int(candidate.arrived.value) if isinstance(candidate.arrived, Value) else 0
    rule.saw(
        Evidence(f"arrived in {format_age(retention)}", format_size(arrived), source=activity.GET_METRIC_DATA)
    )
    older = group.stored - min(group.stored, arrived)
    if older < smallest:
        return rule.kept(f"what it holds may all have arrived within {format_age(retention)}")
    kept = candidate.prices.cost(storage.LOG_STORAGE, older)
    return rule.found(
        f"it keeps every event for ever and holds {format_size(group.stored)}, of which at least"
        f" {format_size(older)} are older than {format_age(retention)}",
        Confidence.LIKELY,
        action=f"set a retention of {count_noun(retention.days, 'day')}: aws logs put-retention-policy"
        f" --log-group-name {quote_shell(group.name)} --retention-in-days {retention.days}",
        cost=Cost.saving(kept.monthly_usd, kept.source),
        noun=_LOG_GROUP_NOUN,
        spared=why_group_spared(group.name, act_on),
    )


def _kept(group: LogGroup, retention: timedelta, smallest: int, now: datetime) -> str | None:
    """Return why nothing is to be gained, as far as the listing tells, or None."""
    if group.delivered:
        return "it stores nothing: its events are delivered elsewhere"
    if group.kept is not None:
        return f"it keeps an event for {count_noun(group.kept, 'day')}"
    if now - group.created < retention:
        return f"created {format_age(now - group.created)} ago; judged from {format_age(retention)} on"
    if group.stored < smallest:
        return f"it holds {format_size(group.stored)}; judged from {format_size(smallest)} on"
    return None


# --- setting the retention ------------------------------------------------------------------------

_AUDIT_NAME = re.compile(r"accesslog|audit|cloudtrail|compliance|flowlog|forensic|guardduty|security|waflog")
"""Letters in the name of a group that somebody may have to keep, whatever it costs."""

_OWN_GROUPS = "mljanitor"
"""Letters in the names of the janitor's own groups, which have a retention of their own."""

_LOG_GROUP_GLOB = re.compile(r"[\w./#*?-]+")
"""The characters of a name in CloudWatch Logs, and the wildcards that mean the same here and to IAM."""

RETENTION_UNDO_GRANTS = (
    allow(activity.DESCRIBE_LOG_GROUPS, on="log-group:*"),
    allow("logs:DeleteRetentionPolicy", on="log-group:*"),
)


def check_group_globs(globs: Sequence[str]) -> None:
    """Raise ValueError if one of *globs* cannot match a log group."""
    for glob in globs:
        if not _LOG_GROUP_GLOB.fullmatch(glob):
            raise ValueError(
                f"act_on_groups: {glob!r} matches no log group; expected a name such as "
                '"/aws/sagemaker/TrainingJobs", in which * and ? stand for other letters'
            )


def retention_grants(globs: Sequence[str]) -> tuple[Grant, ...]:
    """
    Return the permissions to set a retention on the groups that *globs* name, and to read their tags.

    IAM checks operations on a group against its ARN with `:*` at the end, except operations on tags
    (CloudWatch Logs user guide, "CloudWatch Logs resources and operations").
    """
    return (
        *(allow("logs:PutRetentionPolicy", on=f"log-group:{glob}:*") for glob in globs),
        *(allow(tags.LIST_LOG_GROUP_TAGS, on=f"log-group:{glob}") for glob in globs),
    )


def why_group_spared(name: str, globs: Sequence[str]) -> str | None:
    """Return why the group *name* is only reported, or None."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if _OWN_GROUPS in plain:
        return "it is the janitor's own"
    if name in globs:
        return None
    if not any(fnmatchcase(name, glob) for glob in globs):
        return "act_on_groups does not name it"
    if found := _AUDIT_NAME.search(plain):
        return (
            f'its name says "{found[0]}", so somebody may have to keep it: act_on_groups can name it in full'
        )
    return None


def prepare_retention(aws: Aws, target: Target, days: int) -> dict[str, Any]:
    """
    Return the record for an undo: the number of days to set.

    The tagging API lags behind, so the tags are read once more, from the group itself. Raises CannotActError
    if they differ from the judged tags.
    """
    own = required_value(tags.read_exact_tags(aws, target.arn)) or {}
    judged = tags.settable_tags(target.tags.value) if isinstance(target.tags, Value) else None
    if tags.settable_tags(own) != judged:  # not every call returns the tags that AWS sets
        raise CannotActError("its tags were changed a moment ago, and the next sweep judges them")
    return {"days": days}


def set_retention(aws: Aws, target: Target, days: int, steps: Steps) -> None:
    """Set the retention to *days*. Raises CannotActError if somebody has just set another."""
    group = _current(aws, target)
    if group is None:
        return
    if group.kept not in {None, days}:
        raise CannotActError(f"it keeps an event for {count_noun(group.kept, 'day')} now")
    steps.do(
        "set the retention",
        lambda: unless_gone(
            lambda: aws.logs.put_retention_policy(logGroupName=target.name, retentionInDays=days),
            activity.NO_SUCH_LOG,
        ),
    )


def is_retention_set(aws: Aws, target: Target, days: int) -> bool:
    """Return whether the retention is *days*, or the group is gone."""
    group = _current(aws, target)
    return group is None or group.kept == days


def remove_retention(aws: Aws, target: Target, days: int, steps: Steps) -> str:
    """
    Remove the retention of *days*, and return the effect in words: a retention that somebody else set stays.

    Raises CannotActError if the group was deleted since.
    """
    group = _current(aws, target)
    if group is None:
        raise CannotActError("it was deleted since, and its events with it")
    if group.kept not in {None, days}:
        kept = count_noun(group.kept, "day")
        return f"{target.name} keeps an event for {kept}, which somebody has set since"
    if group.kept == days:
        steps.do(
            "take the retention away", lambda: aws.logs.delete_retention_policy(logGroupName=target.name)
        )
    return f"{target.name} keeps every event again; those that expired do not come back"


def _current(aws: Aws, target: Target) -> LogGroup | None:
    """Return the group as it is now; None if it is gone, or another has its name. Raises ReadError."""
    group = activity.find_log_group(aws, target.name)
    return group if group is not None and group.created == target.created else None
