"""The writing of lifecycle rules to a bucket, their removal, and their conflicts with others' rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ml_janitor.aws import storage
from ml_janitor.aws.calls import unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.storage import LifecycleConfiguration, LifecycleElement, UnchangeableError
from ml_janitor.core.text import count_noun
from ml_janitor.core.tiering import (
    INFREQUENT_CLASSES,
    INFREQUENT_DAYS,
    INTELLIGENT_TIERING,
    TRANSITION_CLASSES,
    LifecycleRule,
)
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

# --- conflicts with others' rules -----------------------------------------------------------------
# Another rule acts on an object on its day, and ends it in the class that somebody chose last, or deletes it.
# A new rule must not change that. Where rules overlap, S3 deletes by the shorter age, moves to the cheaper
# class, and prefers Intelligent-Tiering to all classes but GLACIER and DEEP_ARCHIVE (S3 User Guide, "How
# Amazon S3 handles conflicts in lifecycle configurations"). Delete markers hold no bytes, and do not count.

_OLD_FORM_REASON = "its lifecycle rules are of the old form, beside which S3 takes none with a filter"
_ABOVE_GLACIER = frozenset(TRANSITION_CLASSES) - {"GLACIER", "DEEP_ARCHIVE"}
"""The classes that Intelligent-Tiering wins against."""


DELETION_SUFFIX = "-deletes"
"""The end of the ID of a rule that deletes; what is before it is the ID of the folder's rule that moves."""


def find_rule_conflict(there: LifecycleConfiguration, rules: Sequence[LifecycleRule]) -> str | None:
    """Return why *rules* cannot stand beside the rules *there*, or None."""
    ids = [rule.id for rule in rules]
    if taken := there.named(ids):
        return f"its lifecycle rule {taken[0].first('ID')} has the name of the new one"
    if any(found.first("Prefix") is not None for found in there.rules):
        return _OLD_FORM_REASON
    for found in there.rules:
        for rule in rules:
            if _shares(found, rule) and (why := next(_changed(found, rule), None)) is not None:
                return f"its lifecycle rule {found.first('ID')} {why}"
    return None


def _shares(found: LifecycleElement, rule: LifecycleRule) -> bool:
    """Return whether both rules may cover one object: tags and sizes are taken to fit."""
    if found.first("Status") == "Disabled":
        return False
    prefix = found.first("Filter/Prefix") or found.first("Filter/And/Prefix") or ""
    return prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)


def _changed(found: LifecycleElement, rule: LifecycleRule) -> Iterator[str]:
    """Yield the effects of *found* that *rule* would change, where both cover one object."""
    if any(True for path in ("Transition/Date", "Expiration/Date") for _ in found.find(path)):
        yield "acts on a date, and the new one on some of the same objects"
    if rule.id != f"{found.first('ID')}{DELETION_SUFFIX}":  # else both are steps of one policy
        yield from _moves(found, rule)
    yield from _expiry(found, rule)
    yield from _noncurrent(found, rule)
    aborts = _days(found, "AbortIncompleteMultipartUpload/DaysAfterInitiation")
    if rule.abort_uploads_after is not None and any(rule.abort_uploads_after < days for days in aborts):
        yield f"aborts uploads after {count_noun(aborts[0], 'day')}, and the new one sooner"


def _moves(found: LifecycleElement, rule: LifecycleRule) -> Iterator[str]:
    """
    Yield its moves that conflict: a move has to come later, from a class
    that leads there, and be the last.
    """
    for move in found.find("Transition"):
        days, name = int(move.first("Days") or 0), move.first("StorageClass") or ""
        moves = f"moves objects to {name} after {count_noun(days, 'day')}"
        if name not in TRANSITION_CLASSES:
            yield moves
        elif rule.expire_after is not None:
            yield f"{moves}, and the new one deletes them"
        elif not all(_leads(day, start, days, name) for day, start in rule.transitions):
            yield f"{moves}, and the new one moves them otherwise"


def _leads(day: int, start: str, later: int, name: str) -> bool:
    """
    Return whether an object moved to *start* on *day* still moves to *name*
    on day *later*, whatever S3 prefers.
    """
    if {start, name} <= _ABOVE_GLACIER and INTELLIGENT_TIERING in {start, name}:
        return False
    if (start, name) == ("ONEZONE_IA", "GLACIER_IR"):
        return False
    stays = INFREQUENT_DAYS if start in INFREQUENT_CLASSES else 1
    return TRANSITION_CLASSES.index(start) < TRANSITION_CLASSES.index(name) and day + stays <= later


def _expiry(found: LifecycleElement, rule: LifecycleRule) -> Iterator[str]:
    """Yield its deletions that conflict: at or before the new rule's, or too soon after a new move."""
    for days in _days(found, "Expiration/Days"):
        deletes = f"deletes objects after {count_noun(days, 'day')}"
        if rule.expire_after is not None and rule.expire_after <= days:
            yield f"{deletes}, and the new one no later"
        if any(
            days - day < (INFREQUENT_DAYS if name in INFREQUENT_CLASSES else 1)
            for day, name in rule.transitions
        ):
            yield f"{deletes}, and the new one moves them no sooner"


def _noncurrent(found: LifecycleElement, rule: LifecycleRule) -> Iterator[str]:
    """Yield its effects on old versions that conflict with the new rule's."""
    moves = next(found.find("NoncurrentVersionTransition"), None)
    deletes = next(found.find("NoncurrentVersionExpiration"), None)
    if moves is None and deletes is None:
        return
    if rule.expire_after is not None:
        yield "is about old versions, which the new one makes by deleting"
    if moves is not None and rule.transitions:
        yield "moves old versions, and the new one moves them before they are old"
    if rule.noncurrent_expire_after is None:
        return
    days = _days(found, "NoncurrentVersionExpiration/NoncurrentDays")
    keeps = deletes is not None and deletes.first("NewerNoncurrentVersions") is not None
    if keeps or not days or rule.noncurrent_expire_after <= days[0]:
        yield "is about old versions, which the new one deletes"


def _days(found: LifecycleElement, path: str) -> list[int]:
    return [int(element.text) for element in found.find(path)]


# --- permissions and limits -----------------------------------------------------------------------

TIERING_LOST = "what the rules deleted or moved to another class by then; fees are not returned"

READ_LIFECYCLE_ACTION = "s3:GetLifecycleConfiguration"
WRITE_LIFECYCLE_ACTION = "s3:PutLifecycleConfiguration"
"""The permission for PutBucketLifecycleConfiguration and DeleteBucketLifecycle (S3 API reference)."""

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BUCKET_GONE = ("NoSuchBucket",)

_SERVICE_BUCKET = re.compile(
    r"(amplify|aws|cdk|cf-templates|codepipeline|config-bucket|do-not-delete|elasticbeanstalk|stackset)-.*"
)
"""Names of buckets that AWS services make for themselves, such as "aws-cloudtrail-logs-..."."""


def check_bucket_names(buckets: Sequence[str], *, setting: str) -> None:
    """Raise ValueError if one of *buckets* of *setting* is not the name of a bucket."""
    for name in buckets:
        if not _BUCKET_NAME.fullmatch(name):
            raise ValueError(f'{setting}: expected names of buckets like "ml-scratch", got "{name}"')


def why_bucket_spared(
    bucket: str, named: Sequence[str], there: LifecycleConfiguration, rules: Sequence[LifecycleRule]
) -> str | None:
    """
    Return why *rules* are only proposed for *bucket*, or None if they may be added to the rules *there*.

    *named* are the buckets to which the operator lets rules be added.
    """
    if bucket not in named:
        return "act_on_buckets does not name it"
    if _SERVICE_BUCKET.fullmatch(bucket):
        return "by its name it belongs to a service of AWS"
    return _refused(there, rules)


def _refused(there: LifecycleConfiguration, rules: Sequence[LifecycleRule]) -> str | None:
    """Return why *rules* cannot be added to the rules *there*, or None."""
    try:
        why = find_rule_conflict(there, rules)
        there.adding(rules)
    except UnchangeableError as error:
        return str(error)
    return why


# --- adding rules ---------------------------------------------------------------------------------


def prepare_rules(aws: Aws, bucket: str, rules: Sequence[LifecycleRule]) -> dict[str, Any]:
    """
    Return the record for an undo: *rules*, and a digest of the other rules, by which a change shows.

    Raises CannotActError if *rules* cannot stand beside the rules that are there.
    """
    try:
        there = storage.read_lifecycle(aws, bucket)
    except UnchangeableError as error:
        raise CannotActError(str(error)) from error
    why = _refused(there, rules) if rules else "no rule is proposed for it any more"
    if why is not None:
        raise CannotActError(why)
    written = [asdict(rule) | {"transitions": [list(move) for move in rule.transitions]} for rule in rules]
    return {"bucket": bucket, "rules": written, "before": there.digest()}


def act(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Add the rules of *record* to the rules that are there, in one call, and read back the result.

    S3 has no condition for that call: it replaces another write in the instant between the last reading and
    the call. Raises CannotActError if the other rules are no longer the prepared ones.
    """
    rules = recorded_rules(record)
    steps.do("add its lifecycle rules", lambda: _add(aws, record["bucket"], rules, record["before"]))


def _add(aws: Aws, bucket: str, rules: Sequence[LifecycleRule], before: str) -> None:
    there = _read(aws, bucket)
    if there is None:
        raise CannotActError("it was deleted in the last moment")
    if len(there.own(rules)) == len(rules):
        return
    if there.digest() != before:
        raise CannotActError("its lifecycle rules were changed in the last moment")
    merged = there.adding(rules)
    storage.write_lifecycle(aws, bucket, merged)
    _verify(aws, bucket, rules, before)


def _verify(aws: Aws, bucket: str, rules: Sequence[LifecycleRule], before: str) -> None:
    """
    Read back the written rules. Another write at the same moment stays.

    Raises NotFinishedError if S3 still shows the old rules, and CannotActError if the other rules changed:
    then the added *rules* are removed, since nobody judged them beside the new ones.
    """
    now = storage.read_lifecycle(aws, bucket)
    own = now.own(rules)
    if now.digest(besides=own) == before:
        if len(own) < len(rules):
            raise NotFinishedError("S3 does not show the new lifecycle rules yet")
        return
    if own:
        storage.write_lifecycle(aws, bucket, now.without(own))
    raise CannotActError("somebody else wrote its lifecycle rules at the same moment, and theirs stay")


def is_done(aws: Aws, record: Mapping[str, Any]) -> bool:
    """Return whether its rules are there as they were written, or the bucket is gone."""
    rules, there = recorded_rules(record), _read(aws, record["bucket"])
    return there is None or len(there.own(rules)) == len(rules)


def _read(aws: Aws, bucket: str) -> LifecycleConfiguration | None:
    """Return the present rules; None if the bucket is gone."""
    return unless_gone(lambda: storage.read_lifecycle(aws, bucket), _BUCKET_GONE)


# --- removing rules -------------------------------------------------------------------------------


def revert(aws: Aws, record: Mapping[str, Any], steps: Steps) -> str:
    """
    Remove the rules of *record* that are unchanged, and return the effect in words.

    A configuration without any rule left is deleted: S3 keeps none without rules.
    Raises CannotActError if the bucket is gone.
    """
    rules, left = recorded_rules(record), list[str]()

    def remove() -> None:
        there = _read(aws, record["bucket"])
        if there is None:
            raise CannotActError("it was deleted since, and its lifecycle rules with it")
        own = there.own(rules)
        left.extend(
            rule.first("ID") or "" for rule in there.named([rule.id for rule in rules]) if rule not in own
        )
        if own:
            storage.write_lifecycle(aws, record["bucket"], there.without(own))
            if storage.read_lifecycle(aws, record["bucket"]).own(rules):
                raise NotFinishedError("S3 still shows the lifecycle rules that were taken out")

    steps.do("take its lifecycle rules out", remove)
    changed = f"; {', '.join(left)} was changed since, and stays" if left else ""
    return f"{undo_rules_text(record, 'were')}{changed}"


def undo_rules_text(record: Mapping[str, Any], verb: str = "are") -> str:
    """Return the effect of an undo, in words."""
    names = ", ".join(rule["id"] for rule in record["rules"])
    return (
        f"the lifecycle rules {names} {verb} taken out of {record['bucket']}, unless somebody changed them; "
        "what they moved or deleted stays so, and fees are not returned"
    )


def recorded_rules(record: Mapping[str, Any]) -> list[LifecycleRule]:
    """Return the rules of a *record*."""
    return [
        LifecycleRule(**{**rule, "transitions": tuple((days, name) for days, name in rule["transitions"])})
        for rule in record["rules"]
    ]
