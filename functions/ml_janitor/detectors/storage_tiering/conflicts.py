"""
Conflicts of new lifecycle rules with the rules that others wrote. Pure.

Another rule acts on an object on its day, and ends it in the class that somebody chose last, or deletes it: a
new rule must not change that. Where rules overlap, S3 deletes by the shorter age, moves to the cheaper class,
and prefers Intelligent-Tiering to all classes but GLACIER and DEEP_ARCHIVE (S3 User Guide, "How Amazon S3
handles conflicts in lifecycle configurations"). Delete markers hold no bytes, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml_janitor.aws.lifecycle_configurations import LifecycleConfiguration, LifecycleElement
from ml_janitor.core.lifecycles import (
    INFREQUENT_CLASSES,
    INFREQUENT_DAYS,
    INTELLIGENT_TIERING,
    TRANSITION_CLASSES,
    LifecycleRule,
)

_OLD_FORM_REASON = "its lifecycle rules are of the old form, beside which S3 takes none with a filter"
_ABOVE_GLACIER = frozenset(TRANSITION_CLASSES) - {"GLACIER", "DEEP_ARCHIVE"}
"""The classes that Intelligent-Tiering wins against."""


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
    yield from _moves(found, rule)
    yield from _expiry(found, rule)
    yield from _noncurrent(found, rule)
    aborts = _days(found, "AbortIncompleteMultipartUpload/DaysAfterInitiation")
    if rule.abort_uploads_after is not None and any(rule.abort_uploads_after < days for days in aborts):
        yield f"aborts uploads after {aborts[0]} days, and the new one sooner"


def _moves(found: LifecycleElement, rule: LifecycleRule) -> Iterator[str]:
    """
    Yield its moves that conflict: a move has to come later, from a class
    that leads there, and be the last.
    """
    for move in found.find("Transition"):
        days, name = int(move.first("Days") or 0), move.first("StorageClass") or ""
        moves = f"moves objects to {name} after {days} days"
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
        deletes = f"deletes objects after {days} days"
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
