"""Why a resource is kept although it looks like waste: its tags, and the operator's ignore list. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase

from janitor.model import Tags, Target, Unreadable, Value

TRUE = frozenset({"true"})


@dataclass(frozen=True, slots=True)
class Exemptions:
    """
    The owner's and the operator's reasons to keep.

    *keep_tags* keep for good when their value is "true" in any case. *keep_until_tag* keeps through
    the day it names, and for good if that day cannot be read. *ignore* are globs over ARNs.
    """

    keep_tags: Sequence[str] = ("janitor:keep", "keep")
    keep_until_tag: str = "janitor:keep-until"
    ignore: Sequence[str] = ()

    def reason(self, target: Target, now: datetime) -> str | None:
        """Why *target* is kept, or None."""
        for glob in self.ignore:
            if fnmatchcase(target.arn, glob):
                return f"ignored by the operator ({glob})"
        match target.tags:
            case Value(tags):
                return self._tagged(tags, now.date())
            case _:
                return None

    def unreadable(self, target: Target) -> str | None:
        """Why nobody can tell whether *target* is exempt, or None if its tags were read."""
        match target.tags:
            case Value():
                return None
            case Unreadable(error):
                return f"its tags could not be read, so a keep tag may be there ({error})"
            case _:
                return "its tags were not read, so a keep tag may be there"

    def _tagged(self, tags: Tags, today: date) -> str | None:
        for key in self.keep_tags:
            if tags.get(key, "").strip().lower() in TRUE:
                return f"tagged {key}={tags[key]}"
        if (until := tags.get(self.keep_until_tag)) is None:
            return None
        try:
            last_day = date.fromisoformat(until.strip())
        except ValueError:
            return f"tagged {self.keep_until_tag}={until}, which is no date (YYYY-MM-DD), so it is kept"
        return f"tagged {self.keep_until_tag}={until}" if today <= last_day else None
