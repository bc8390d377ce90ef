"""Lifecycle rules that the janitor writes for a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
TRANSITION_CLASSES = (
    "STANDARD_IA",
    INTELLIGENT_TIERING,
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)
"""
The storage classes that S3 can move objects to, in the order in which S3 moves them, one way only
(S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle").
"""

INFREQUENT_CLASSES = ("STANDARD_IA", "ONEZONE_IA")
INFREQUENT_DAYS = 30
"""Days before S3 moves an object to a class of `INFREQUENT_CLASSES`, and least days that it stays there."""

LONGEST_RULE_ID = 255
"""The longest ID of a rule, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRule:
    """
    A rule for the objects of a bucket whose keys begin with *prefix*; for all objects if it is empty.

    All numbers are days. *transitions* are storage classes and the age at which objects move to them, the
    youngest first; *expire_after* is the age at which objects are deleted. *noncurrent_expire_after* deletes
    old versions that many days after they were replaced, and *abort_uploads_after* deletes the parts
    of incomplete uploads. Raises ValueError for a rule that S3 would refuse.
    """

    id: str
    prefix: str = ""
    transitions: tuple[tuple[int, str], ...] = ()
    expire_after: int | None = None
    noncurrent_expire_after: int | None = None
    abort_uploads_after: int | None = None

    def __post_init__(self) -> None:
        if (why := self._refused()) is not None:
            raise ValueError(f"lifecycle rule {self.id!r}: {why}")

    def as_json(self) -> dict[str, Any]:
        """Return the rule in the format of S3's API."""
        found: dict[str, Any] = {"ID": self.id, "Status": "Enabled", "Filter": {"Prefix": self.prefix}}
        if self.transitions:
            found["Transitions"] = [{"Days": day, "StorageClass": to} for day, to in self.transitions]
        if self.expire_after is not None:
            found["Expiration"] = {"Days": self.expire_after}
        if self.noncurrent_expire_after is not None:
            found["NoncurrentVersionExpiration"] = {"NoncurrentDays": self.noncurrent_expire_after}
        if self.abort_uploads_after is not None:
            found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": self.abort_uploads_after}
        return found

    def _refused(self) -> str | None:
        """Return why S3 would refuse the rule, or None."""
        if not 0 < len(self.id) <= LONGEST_RULE_ID:
            return f"an ID has 1 to {LONGEST_RULE_ID} characters"
        ends = (self.expire_after, self.noncurrent_expire_after, self.abort_uploads_after)
        if not self.transitions and all(days is None for days in ends):
            return "it does nothing"
        if any(days is not None and days < 1 for days in ends):
            return "nothing is deleted before it is a day old"
        return self._out_of_order()

    def _out_of_order(self) -> str | None:
        days, classes = [day for day, _ in self.transitions], [name for _, name in self.transitions]
        if unknown := [name for name in classes if name not in TRANSITION_CLASSES]:
            return f"no object can be moved to {unknown[0]}"
        order = [TRANSITION_CLASSES.index(name) for name in classes]
        if order != sorted(set(order)) or days != sorted(set(days)):
            return "objects are moved one way only, to each class later than to the one before"
        if any(name in INFREQUENT_CLASSES and day < INFREQUENT_DAYS for day, name in self.transitions):
            infrequent = " or ".join(INFREQUENT_CLASSES)
            return f"objects are moved to {infrequent} after {INFREQUENT_DAYS} days at the earliest"
        after = [*days[1:], *([] if self.expire_after is None else [self.expire_after])]
        for (day, name), later in zip(self.transitions, after, strict=False):
            least = INFREQUENT_DAYS if name in INFREQUENT_CLASSES else 1
            if later - day < least:
                return f"what is moved to {name} stays there for {least} days at least"
        return None
