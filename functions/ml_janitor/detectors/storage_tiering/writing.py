"""Adds rules to a bucket's lifecycle configuration, and takes exactly these out again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ml_janitor.aws import lifecycle_configurations as configurations
from ml_janitor.aws.answers import unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.lifecycle_configurations import Configuration, UnchangeableError
from ml_janitor.core.lifecycles import LifecycleRule
from ml_janitor.detectors.storage_tiering.conflicts import conflict
from ml_janitor.engine.detector import CannotActError, ChangedError, NotFinishedError, Steps

LOST = "what the rules deleted or moved to another class by then; fees are not returned"

READ = "s3:GetLifecycleConfiguration"
WRITE = "s3:PutLifecycleConfiguration"
"""What PutBucketLifecycleConfiguration and DeleteBucketLifecycle need (S3 API reference)."""

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
GONE = ("NoSuchBucket",)

OF_SERVICES = re.compile(
    r"(amplify|aws|cdk|cf-templates|codepipeline|config-bucket|do-not-delete|elasticbeanstalk|stackset)-.*"
)
"""How services of AWS name the buckets that they make for themselves, such as "aws-cloudtrail-logs-..."."""


def check(buckets: Sequence[str], *, setting: str) -> None:
    """Raise ValueError if one of *buckets* of *setting* is no name of a bucket."""
    for name in buckets:
        if not NAME.fullmatch(name):
            raise ValueError(f'{setting}: expected names of buckets like "ml-scratch", got "{name}"')


def spared(
    bucket: str, named: Sequence[str], there: Configuration, rules: Sequence[LifecycleRule]
) -> str | None:
    """
    Why *rules* are only proposed for *bucket*, or None if they may be added to what is *there*.

    *named* are the buckets that the operator lets rules be added to.
    """
    if bucket not in named:
        return "act_on_buckets does not name it"
    if OF_SERVICES.fullmatch(bucket):
        return "by its name it belongs to a service of AWS"
    return _refused(there, rules)


def _refused(there: Configuration, rules: Sequence[LifecycleRule]) -> str | None:
    """Why *rules* cannot be added to what is *there*, or None."""
    try:
        why = conflict(there, rules)
        there.adding(rules)
    except UnchangeableError as error:
        return str(error)
    return why


# --- the act ----------------------------------------------------------------------------------------


def prepared(aws: Aws, bucket: str, rules: Sequence[LifecycleRule]) -> dict[str, Any]:
    """
    What an undo needs: *rules* themselves; and what else there is, by which a change of it is seen.

    Raises CannotActError if they cannot stand beside what is there.
    """
    try:
        there = configurations.read(aws, bucket)
    except UnchangeableError as error:
        raise CannotActError(str(error)) from error
    why = _refused(there, rules) if rules else "no rule is proposed for it any more"
    if why is not None:
        raise CannotActError(why)
    written = [asdict(rule) | {"transitions": [list(move) for move in rule.transitions]} for rule in rules]
    return {"bucket": bucket, "rules": written, "before": there.digest()}


def act(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Add the rules of *record* to what is there, in one call, and read back what came of it.

    S3 has no condition for that call: what somebody else writes in the instant between the last reading
    and it is replaced. Raises ChangedError if the other rules are no longer those that were prepared for.
    """
    rules = rules_of(record)
    steps.do("add its lifecycle rules", lambda: _add(aws, record["bucket"], rules, record["before"]))


def _add(aws: Aws, bucket: str, rules: Sequence[LifecycleRule], before: str) -> None:
    there = _read(aws, bucket)
    if there is None:
        raise ChangedError("it was deleted in the last moment")
    if len(there.own(rules)) == len(rules):
        return
    if there.digest() != before:
        raise ChangedError("its lifecycle rules were changed in the last moment")
    merged = there.adding(rules)
    configurations.write(aws, bucket, merged)
    _verify(aws, bucket, rules, before)


def _verify(aws: Aws, bucket: str, rules: Sequence[LifecycleRule], before: str) -> None:
    """
    Read back what was written. What somebody else has written at the same moment stays.

    Raises NotFinishedError where S3 still shows what was there before, and ChangedError where the other rules
    are others now: those of *rules* that are there are taken out, since nobody judged them beside these.
    """
    now = configurations.read(aws, bucket)
    own = now.own(rules)
    if now.digest(besides=own) == before:
        if len(own) < len(rules):
            raise NotFinishedError("S3 does not show the new lifecycle rules yet")
        return
    if own:
        configurations.write(aws, bucket, now.without(own))
    raise ChangedError("somebody else wrote its lifecycle rules at the same moment, and theirs stay")


def is_done(aws: Aws, record: Mapping[str, Any]) -> bool:
    """Whether its rules are there as they were written, or the bucket is gone."""
    rules, there = rules_of(record), _read(aws, record["bucket"])
    return there is None or len(there.own(rules)) == len(rules)


def _read(aws: Aws, bucket: str) -> Configuration | None:
    """What is there now; None if the bucket is gone."""
    return unless_gone(lambda: configurations.read(aws, bucket), GONE)


# --- the undo ---------------------------------------------------------------------------------------


def revert(aws: Aws, record: Mapping[str, Any], steps: Steps) -> str:
    """
    Take the rules of *record* out again, those that still are as they were written, and say what is left.

    A configuration of which nothing would be left is deleted: S3 keeps none without rules. Raises
    CannotActError if the bucket is gone.
    """
    rules, left = rules_of(record), list[str]()

    def remove() -> None:
        there = _read(aws, record["bucket"])
        if there is None:
            raise CannotActError("it was deleted since, and its lifecycle rules with it")
        own = there.own(rules)
        left.extend(
            rule.first("ID") or "" for rule in there.named([one.id for one in rules]) if rule not in own
        )
        if own:
            configurations.write(aws, record["bucket"], there.without(own))
            if configurations.read(aws, record["bucket"]).own(rules):
                raise NotFinishedError("S3 still shows the lifecycle rules that were taken out")

    steps.do("take its lifecycle rules out", remove)
    changed = f"; {', '.join(left)} was changed since, and stays" if left else ""
    return f"{effect(record, 'were')}{changed}"


def effect(record: Mapping[str, Any], verb: str = "are") -> str:
    """What an undo does, in words."""
    names = ", ".join(rule["id"] for rule in record["rules"])
    return (
        f"the lifecycle rules {names} {verb} taken out of {record['bucket']}, unless somebody changed them; "
        "what they moved or deleted stays so, and fees are not returned"
    )


def rules_of(record: Mapping[str, Any]) -> list[LifecycleRule]:
    """The rules that a *record* is about."""
    return [
        LifecycleRule(**{**rule, "transitions": tuple((days, name) for days, name in rule["transitions"])})
        for rule in record["rules"]
    ]
