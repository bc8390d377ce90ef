"""Sets the retention of a log group that has none, and takes it away while it still is the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from ml_janitor.aws import logs, tags
from ml_janitor.aws.answers import needed, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.logs import LogGroup
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Value
from ml_janitor.engine.detector import CannotActError, ChangedError, Grant, Steps, allow

AUDIT = re.compile(r"accesslog|audit|cloudtrail|compliance|flowlog|forensic|guardduty|security|waflog")
"""In the letters of a name: a group that somebody may have to keep, whatever it costs."""

OWN = "mljanitor"
"""In the letters of a name: one of the janitor's own groups, which have a retention of their own."""

GLOB = re.compile(r"[\w./#*?-]+")
"""What CloudWatch Logs takes in a name, and the wildcards that mean the same here and to IAM."""

UNDOES = (
    allow(logs.DESCRIBE_LOG_GROUPS, on="log-group:*"),
    allow("logs:DeleteRetentionPolicy", on="log-group:*"),
)


def check(globs: Sequence[str]) -> None:
    """Raise ValueError if one of *globs* cannot match a log group."""
    for glob in globs:
        if not GLOB.fullmatch(glob):
            raise ValueError(
                f"act_on_groups: {glob!r} matches no log group; expected a name such as "
                '"/aws/sagemaker/TrainingJobs", in which * and ? stand for other letters'
            )


def may_set(globs: Sequence[str]) -> tuple[Grant, ...]:
    """
    Permission to set a retention on the groups that *globs* name, and to read their tags.

    All operations on a group are checked on its ARN with `:*` at the end, but those on tags (CloudWatch Logs
    user guide, "CloudWatch Logs resources and operations").
    """
    return (
        *(allow("logs:PutRetentionPolicy", on=f"log-group:{glob}:*") for glob in globs),
        *(allow(tags.LIST_LOG_GROUP_TAGS, on=f"log-group:{glob}") for glob in globs),
    )


def spared(name: str, globs: Sequence[str]) -> str | None:
    """Why the group *name* only is reported, or None."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if OWN in plain:
        return "it is the janitor's own"
    if name in globs:
        return None
    if not any(fnmatchcase(name, glob) for glob in globs):
        return "act_on_groups does not name it"
    if found := AUDIT.search(plain):
        return (
            f'its name says "{found[0]}", so somebody may have to keep it: act_on_groups can name it in full'
        )
    return None


def prepared(aws: Aws, target: Target, days: int) -> dict[str, Any]:
    """
    What an undo needs: how many days are set.

    The tagging API lags behind, so that the tags are read once more, from the group itself. Raises
    CannotActError if they are others than those it was judged by.
    """
    own = needed(tags.exactly(aws, target.arn)) or {}
    judged = tags.settable(target.tags.value) if isinstance(target.tags, Value) else None
    if tags.settable(own) != judged:  # not every call answers with those that AWS sets
        raise CannotActError("its tags were changed a moment ago, and the next sweep judges them")
    return {"days": days}


def set_days(aws: Aws, target: Target, days: int, steps: Steps) -> None:
    """Have it keep an event for so many *days*. Raises ChangedError if somebody has just set other ones."""
    group = _current(aws, target)
    if group is None:
        return
    if group.kept not in {None, days}:
        raise ChangedError(f"it keeps an event for {group.kept} days now")
    steps.do(
        "set the retention",
        lambda: unless_gone(
            lambda: aws.logs.put_retention_policy(logGroupName=target.name, retentionInDays=days),
            logs.NO_SUCH,
        ),
    )


def is_set(aws: Aws, target: Target, days: int) -> bool:
    """Whether it keeps an event for so many *days*, or is gone."""
    group = _current(aws, target)
    return group is None or group.kept == days


def take_away(aws: Aws, target: Target, days: int, steps: Steps) -> str:
    """
    Have it keep every event again, and say what became of it: other days than *days* somebody else has set.

    Raises CannotActError if it was deleted since.
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
    """The group as it is now; None if it is gone, or another has its name. Raises ReadError."""
    group = logs.group(aws, target.name)
    return group if group is not None and group.created == target.created else None
