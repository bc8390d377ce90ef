"""Sets the retention of a log group that has none, and removes it while it is unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from ml_janitor.aws import logs, tags
from ml_janitor.aws.answers import required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.logs import LogGroup
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Value
from ml_janitor.engine.detector import CannotActError, ChangedError, Grant, Steps, allow

_AUDIT_NAME = re.compile(r"accesslog|audit|cloudtrail|compliance|flowlog|forensic|guardduty|security|waflog")
"""Letters in the name of a group that somebody may have to keep, whatever it costs."""

_OWN_GROUPS = "mljanitor"
"""Letters in the names of the janitor's own groups, which have a retention of their own."""

_LOG_GROUP_GLOB = re.compile(r"[\w./#*?-]+")
"""The characters of a name in CloudWatch Logs, and the wildcards that mean the same here and to IAM."""

RETENTION_UNDO_GRANTS = (
    allow(logs.DESCRIBE_LOG_GROUPS, on="log-group:*"),
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
    """Set the retention to *days*. Raises ChangedError if somebody has just set another."""
    group = _current(aws, target)
    if group is None:
        return
    if group.kept not in {None, days}:
        raise ChangedError(f"it keeps an event for {group.kept} days now")
    steps.do(
        "set the retention",
        lambda: unless_gone(
            lambda: aws.logs.put_retention_policy(logGroupName=target.name, retentionInDays=days),
            logs.NO_SUCH_LOG,
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
        return f"{target.name} keeps an event for {group.kept} days, which somebody has set since"
    if group.kept == days:
        steps.do(
            "take the retention away", lambda: aws.logs.delete_retention_policy(logGroupName=target.name)
        )
    return f"{target.name} keeps every event again; those that expired do not come back"


def _current(aws: Aws, target: Target) -> LogGroup | None:
    """Return the group as it is now; None if it is gone, or another has its name. Raises ReadError."""
    group = logs.find_log_group(aws, target.name)
    return group if group is not None and group.created == target.created else None
