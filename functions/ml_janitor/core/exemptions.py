"""Exempts resources from cleanup: by keep tags and by the operator's ignore list. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from ml_janitor.core.model import Target
from ml_janitor.core.ownership import NEGATIONS, normalised_key
from ml_janitor.core.signals import Tags, Unreadable, Value


@dataclass(frozen=True, slots=True)
class Exemptions:
    """
    The keep tags and globs that exempt resources.

    *keep_tags* keep for good, unless their value is a negation (`ownership.NO`). *keep_until_tag* keeps
    through the day in its value, in *time_zone*, and for good if that day cannot be parsed. *ignore* are
    globs over ARNs. Keys are compared as `ownership.plain` does, values and ARNs without case and
    surrounding blanks (SageMaker lower-cases the names in some ARNs): an attempt to keep something keeps
    it.
    """

    keep_tags: Sequence[str] = ("janitor:keep", "keep")
    keep_until_tag: str = "janitor:keep-until"
    ignore: Sequence[str] = ()
    time_zone: str = "UTC"

    def reason(self, target: Target, now: datetime) -> str | None:
        """Return why *target* is kept, or None."""
        for glob in self.ignore:
            if fnmatchcase(target.arn.lower(), _plain(glob)):
                return f"ignored by the operator ({glob})"
        match target.tags:
            case Value(tags):
                return self._tagged(tags, now.astimezone(ZoneInfo(self.time_zone)).date())
            case _:
                return None

    def unreadable(self, target: Target) -> str | None:
        """Return why the exemption of *target* is unknown, or None if its tags were read."""
        match target.tags:
            case Value():
                return None
            case Unreadable(error):
                return f"its tags could not be read, so a keep tag may be there ({error})"
            case _:
                return "its tags were not read, so a keep tag may be there"

    def _tagged(self, tags: Tags, today: date) -> str | None:
        """Return the reason among *tags*: keys may differ only in case, and each counts."""
        keep, until = {normalised_key(key) for key in self.keep_tags}, normalised_key(self.keep_until_tag)
        for key, value in tags.items():
            if normalised_key(key) in keep and _plain(value) not in NEGATIONS:
                return f"tagged {key}={value}"
        for key, value in tags.items():
            if normalised_key(key) == until and (why := _until(value, today)) is not None:
                return f"tagged {key}={value}{why}"
        return None


def _until(value: str, today: date) -> str | None:
    """Return why *value* still keeps, as an addition to a reason; None once its day is over."""
    try:
        last_day = date.fromisoformat(value.strip())
    except ValueError:
        return ", which is no date (YYYY-MM-DD), so it is kept"
    return "" if today <= last_day else None


def _plain(text: str) -> str:
    return text.strip().lower()
