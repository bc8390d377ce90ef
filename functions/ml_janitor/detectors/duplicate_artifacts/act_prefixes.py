"""Under which prefixes of S3 the operator lets copies be deleted, and which copies may never be. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ml_janitor.aws.locations import within
from ml_janitor.aws.referrers import UNUSED
from ml_janitor.core.signals import Absent, NotRead, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.bucket_readers import shared
from ml_janitor.detectors.duplicate_artifacts.buckets import ENABLED, SUSPENDED
from ml_janitor.detectors.duplicate_artifacts.copies import Role
from ml_janitor.detectors.duplicate_artifacts.duplicates import Copy

PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|/[^*?$]*/)?")
"""A bucket, or a folder in one. Without its last slash, "s3://models/churn" would mean "churn-v2" too."""


def check(prefixes: Sequence[str], *, setting: str = "act_on_prefixes") -> None:
    """Raise ValueError if one of *prefixes* of *setting* is neither a bucket nor a folder."""
    for prefix in prefixes:
        if not PREFIX.fullmatch(prefix):
            raise ValueError(
                f'{setting}: expected a bucket or a folder like "s3://models/" or '
                f'"s3://models/archive/", with its last slash and without any of * ? $, got "{prefix}"'
            )


def check_users(globs: Sequence[str]) -> None:
    """Raise ValueError if one of *globs* can name nothing that a copy may be needed only by."""
    kinds = [kind.type for kind in UNUSED]
    for glob in globs:
        kind, _, name = glob.partition("/")
        if kind not in kinds or not name:
            raise ValueError(
                f"act_on_needed_by: expected a kind ({', '.join(kinds)}) and a name or glob like "
                f'"training-job/churn-2025-*", got "{glob}"'
            )


def spared(
    copy: Copy, prefixes: Sequence[str], *, allow_unversioned: bool, approved: Sequence[str] = ()
) -> str | None:
    """
    Why a surplus *copy* is only ever reported, or None if it may be deleted.

    What it is needed only by has to be like one of the globs that the operator *approved*.
    """
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    if unit is None or unit.root is not None:
        return (
            "it is one of several files of a model, and deleting one after the other could leave half of it"
        )
    if unit.crowded:
        return "other weights lie in its folder, and may belong to the same model"
    if copy.standing.role is not Role.SURPLUS:
        return "what it is a copy of lies in another bucket"
    if not within(prefixes, copy.stored.uri):
        return "it lies under none of act_on_prefixes"
    readers = copy.habits.readers if copy.habits is not None else NotRead()
    if (why := _perhaps_used(copy, approved) or shared(readers, copy.target.arn)) is not None:
        return why
    return None if allow_unversioned else _for_good(copy)


def _perhaps_used(copy: Copy, approved: Sequence[str]) -> str | None:
    """What may still be in want of *copy*, and nobody *approved* its deletion all the same."""
    if copy.gaps:
        return f"any copy may be in use: {copy.gaps[0]}"
    for user in copy.needed_only_by:
        if not any(fnmatchcase(user.path, glob) for glob in approved):
            return f"it is needed by {user.label}, and act_on_needed_by names no {user.path}"
    return None


def _for_good(copy: Copy) -> str | None:
    """Why deleting *copy* would remove its bytes for good, or may; None if it only hides them."""
    match copy.habits.versioning if copy.habits is not None else None:
        case Value(status) if status == ENABLED:
            return None
        case Value(status) if status == SUSPENDED:
            return "its bucket's versioning is suspended, and allow_unversioned is off"
        case Absent():
            return "its bucket keeps no versions, and allow_unversioned is off"
        case Unreadable(error):
            return f"whether its bucket keeps versions is unknown ({error})"
        case _:
            return "whether its bucket keeps versions was not read"
