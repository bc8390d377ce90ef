"""Divide the detectors among functions and schedules, by the settings alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml_janitor.core.model import Change, Mode

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Cleanup, Detector, Grant

ADVISERS = "advisers"
"""The function of all detectors without a function of their own."""

CARD_DETECTORS = frozenset(
    {
        "duplicate-artifacts",
        "hung-training-jobs",
        "idle-endpoints",
        "idle-notebooks",
        "idle-studio-apps",
        "untagged-resources",
    }
)
"""The detectors that always have a function of their own."""


def has_own_function(settings: Settings, detector: str) -> bool:
    """
    Return whether *detector* has a function of its own: if it is armed or was, and on the card.

    Roles of one detector alone may act or ask for an undo. A past `armed_until` counts however old it is, so
    that no function changes by the passing of time.
    """
    was_armed = settings.sections[detector].armed_until is not None
    return detector in CARD_DETECTORS or settings.mode(detector) is Mode.ACT or was_armed


def sweeping_function(settings: Settings, detector: str) -> str:
    """Return the name of the function that sweeps with *detector*."""
    return detector if has_own_function(settings, detector) else ADVISERS


def list_advisers(settings: Settings) -> list[Detector[Any]]:
    """Return the enabled detectors of the advisers' function; what judges the others' findings comes last."""
    found = [detector for detector in settings.enabled() if not has_own_function(settings, detector.name)]
    return sorted(found, key=lambda detector: detector.asks_for is Change.COMMIT)


@dataclass(frozen=True, slots=True)
class ScheduleGroup:
    """
    The detectors that the *function* runs on one *schedule*, in their order.

    A run of several, or of one that *resumes*, goes on in parts.
    """

    function: str
    schedule: str
    detectors: tuple[str, ...]
    resumes: bool = False

    @property
    def in_parts(self) -> bool:
        """Return whether its run may go on in parts."""
        return self.resumes or len(self.detectors) > 1

    @property
    def id(self) -> str:
        """The id of the schedule within its function in the stack."""
        if self.function != ADVISERS:
            return "Schedule"
        return "Schedule" + re.sub(
            r"[^A-Za-z0-9]+", "-", self.schedule.replace("*", "all").replace("?", "any")
        )


def schedule_groups(settings: Settings) -> Iterator[ScheduleGroup]:
    """Yield a group for each function of its own, then one for each schedule of the advisers."""
    for detector in settings.enabled():
        if has_own_function(settings, detector.name):
            schedule, only = settings.schedule(type(detector)), (detector.name,)
            yield ScheduleGroup(detector.name, schedule, only, detector.resumes)
    by_schedule: dict[str, list[str]] = {}
    for detector in list_advisers(settings):
        by_schedule.setdefault(settings.schedule(type(detector)), []).append(detector.name)
    for schedule, names in by_schedule.items():
        yield ScheduleGroup(ADVISERS, schedule, tuple(names))


def group_of(settings: Settings, detector: str) -> ScheduleGroup:
    """Return the group of the enabled *detector*."""
    return next(group for group in schedule_groups(settings) if detector in group.detectors)


@dataclass(frozen=True, slots=True)
class Advisers:
    """The reader behind the role of the advisers' function: the union of what *detectors* read."""

    detectors: Sequence[Detector[Any]]
    name: ClassVar[str] = ADVISERS
    cleanup: ClassVar[Cleanup | None] = None

    @property
    def reads(self) -> Sequence[Grant]:
        """The permissions to read of all of them, each once."""
        return tuple(dict.fromkeys(grant for detector in self.detectors for grant in detector.reads))

    @classmethod
    def summary(cls) -> str:
        """Return a line about them."""
        return "Reads what the detectors without a function of their own judge."
