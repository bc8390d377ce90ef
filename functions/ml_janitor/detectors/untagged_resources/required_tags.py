"""Compares tags with the required ones: missing, empty or misspelt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ml_janitor.aws.tags import settable_tags
from ml_janitor.core.ownership import normalised_key
from ml_janitor.core.signals import Tags
from ml_janitor.core.text import join_words


class TagFault(StrEnum):
    """The fault of a required tag."""

    MISSING = "missing"
    EMPTY = "empty"
    MISSPELT = "misspelt"


@dataclass(frozen=True, slots=True)
class TagLack:
    """
    One required *key* that a resource lacks.

    *spelt* are its other spellings on the resource; *filled* is true if one of them has a value.
    """

    key: str
    fault: TagFault
    spelt: tuple[str, ...] = ()
    filled: bool = False

    @property
    def words(self) -> str:
        """The fault without the key: "missing", "empty", "written as 'Owner'"."""
        instead = " and ".join(f"'{key}'" for key in self.spelt)
        match self.fault:
            case TagFault.MISSING:
                return "missing"
            case TagFault.EMPTY:
                return f"empty, and also written as {instead}" if instead else "empty"
            case TagFault.MISSPELT:
                return f"written as {instead}" if self.filled else f"written as {instead}, and empty"


def find_tag_lacks(required: Sequence[str], tags: Tags) -> tuple[TagLack, ...]:
    """Return the faults of *tags*, in the order of *required*."""
    own = settable_tags(tags)
    return tuple(lack for key in required if (lack := _lack(key, own)) is not None)


def _lack(key: str, tags: Tags) -> TagLack | None:
    if tags.get(key, "").strip():
        return None
    spelt = tuple(
        sorted(other for other in tags if other != key and normalised_key(other) == normalised_key(key))
    )
    fault = TagFault.EMPTY if key in tags else TagFault.MISSPELT if spelt else TagFault.MISSING
    return TagLack(key, fault, spelt, filled=any(tags[other].strip() for other in spelt))


def has_tag(key: str, tags: Tags) -> bool:
    """Return whether *tags* has *key*, empty or not, in any spelling: "CostCenter" is "cost-center"."""
    return any(normalised_key(other) == normalised_key(key) for other in tags)


def tag_lack_reason(found: Sequence[TagLack], required: int) -> str:
    """Return one sentence: "lacks 3 of 6 required tags: team and owner are missing; project is empty"."""
    keys: dict[str, list[str]] = {}
    for lack in found:
        keys.setdefault(lack.words, []).append(lack.key)
    faults = (
        f"{join_words(group)} {'is' if len(group) == 1 else 'are'} {fault}" for fault, group in keys.items()
    )
    return f"lacks {len(found)} of {required} required tags: {'; '.join(faults)}"


def tag_remedy(found: Sequence[TagLack]) -> str:
    """Return the proposed action. An empty tag exists already, and only a person knows its value."""
    empty = all(lack.fault is TagFault.EMPTY for lack in found)
    return "fill in the empty tags" if empty else "add the missing tags"
