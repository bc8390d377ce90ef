"""The policy of a run: who keeps what, and what the janitor may act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.core.exemptions import Exemptions
from ml_janitor.core.model import Change, Target
from ml_janitor.core.ownership import normalised_key
from ml_janitor.core.signals import Value
from ml_janitor.engine.arming import Arming
from ml_janitor.engine.holds import Hold, hold_reason, holds_on


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """
    The policy of a run: the exemptions, the tags of an owner, and the permission of each detector.

    *holds* are people's decisions about single resources, by identity; a resource that was brought back
    is held by its ARN. A detector without *arming* of its own runs dry.

    *needed* tells which undo needs a resource that must stay for it, by ARN in lower case: None without a
    ledger. *needed_unread* is the error of reading it. *hours* are estimated working hours of each kind
    of change. *named* are the resources, by ARN in lower case, that findings of other detectors would
    change; None if unknown.
    """

    exemptions: Exemptions = field(default_factory=Exemptions)
    owner_tags: Sequence[str] = ("owner",)
    arming: Mapping[str, Arming] = field(default_factory=dict)
    holds: Mapping[str, Sequence[Hold]] = field(default_factory=dict)
    needed: Mapping[str, str] | None = None
    needed_unread: str | None = None
    hours: Mapping[Change, float] = field(default_factory=dict)
    named: frozenset[str] | None = None

    def dry(self) -> RunPolicy:
        """Return the policy without arming, for a run that must not act."""
        return replace(self, arming={})

    def armed(self, detector: str) -> Arming:
        """Return the deployment's permission for *detector*."""
        return self.arming.get(detector, Arming())

    def keeps(self, target: Target, now: datetime, detector: str = "") -> str | None:
        """Return why *target* is exempt at *now*, from *detector* or from all, or None."""
        return (
            self.exemptions.reason(target, now)
            or hold_reason(holds_on(self.holds, target, detector), now)
            or (self.needed or {}).get(target.arn.lower())
        )

    def unreadable(self, target: Target) -> str | None:
        """Return why it is unknown whether *target* is exempt, or None."""
        return self.needed_unread or self.exemptions.unreadable(target)

    def owner(self, target: Target) -> str | None:
        """
        Return the owner that *target*'s tags name; keys count in any spelling, in the
        order of *owner_tags*.
        """
        if not isinstance(target.tags, Value):
            return None
        by_key = {
            normalised_key(key): value.strip() for key, value in target.tags.value.items() if value.strip()
        }
        return next(
            (by_key[normalised_key(tag)] for tag in self.owner_tags if normalised_key(tag) in by_key), None
        )
