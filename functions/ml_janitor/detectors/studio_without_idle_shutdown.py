"""Studio domains, user profiles and spaces whose idle apps nothing stops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from annotated_types import Interval

from ml_janitor.aws import tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.idle_shutdown import (
    JUPYTER_LAB,
    SHARED,
    TYPES,
    Settings,
    decided_by,
    described,
    layer,
    timeout,
)
from ml_janitor.aws.sagemaker_kinds import DOMAIN, SPACE, USER_PROFILE, Kind, listing
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Candidate, Change, Confidence, Rule, Target, Verdict
from ml_janitor.core.signals import Signal, Unreadable, Value
from ml_janitor.core.signals import evidence as shown
from ml_janitor.engine.detector import Detector, allow

PLACES = (DOMAIN, USER_PROFILE, SPACE)
NAMES = {USER_PROFILE: "UserProfileName", SPACE: "SpaceName"}
OPTIONS = {USER_PROFILE.type: "--user-profile-name", SPACE.type: "--space-name"}
LONGEST_MINUTES = 525_600
"""Greatest IdleTimeoutInMinutes; the least is 60 (API reference of IdleSettings)."""
UNLISTED = Unreadable("it is not in the listing that should have it")

type Descriptions = tuple[Signal[Settings], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting of a place: the *option* of its update, the type of *app*, and whether for *shared* spaces.

    *followers* are the descriptions of places that follow it unless they have a setting of their own; None if
    it holds for the place alone.
    """

    option: str
    app: str
    shared: bool = False
    followers: Descriptions | None = None

    @property
    def words(self) -> str:
        """The apps that it covers, in words."""
        return f"{self.app} apps{' in shared spaces' if self.shared else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Candidate):
    """
    A domain, user profile or space and its *settings*; *above* are the descriptions that hold for it.

    These are its domain's, its user profile's, and last its own. *unread* says why more may follow it.
    """

    status: str
    above: Descriptions
    settings: tuple[Setting, ...]
    unread: str | None = None


@dataclass(frozen=True)
class StudioWithoutIdleShutdown(Detector[Place]):
    """
    Finds Studio domains, user profiles and spaces without idle shutdown.

    Where it is on, Studio itself stops an idle JupyterLab or Code Editor.
    """

    name = "studio-without-idle-shutdown"
    schedule = "cron(20 5 ? * MON *)"
    kinds = tuple(kind.type for kind in PLACES)
    asks_for = Change.LIMIT
    reads = (
        *(allow(kind.lists) for kind in PLACES),
        *(allow(kind.describes, on=kind.every) for kind in PLACES),
        *(allow(tags.LIST_TAGS, on=kind.every) for kind in PLACES),
        allow(tags.GET_RESOURCES),
    )

    longest: timedelta = timedelta(days=1)
    proposed_minutes: Annotated[int, Interval(ge=60, le=LONGEST_MINUTES)] = 120

    def find(self, aws: Aws, now: datetime) -> Iterator[Place]:
        """Yield every domain, user profile and space, each described once."""
        book = tags.in_bulk(aws, *(f"sagemaker:{kind}" for kind in self.kinds))
        listed = {kind: listing(aws, kind, partial(_entry, aws, kind, book)) for kind in PLACES}
        every = {kind: {place: rest for place, *rest in listed[kind].items} for kind in PLACES}
        descriptions = {kind: described(aws, every[kind], kind.describes) for kind in PLACES}
        unread = "; ".join(found.error for found in listed.values() if found.error is not None) or None
        for kind, place in ((of, place) for of in PLACES for place in every[of]):
            target, entry = every[kind][place]
            shared, owner, app = _space(entry)
            outer = [] if kind is DOMAIN else [(DOMAIN, (place[0], ""))]
            outer += [(USER_PROFILE, (place[0], owner))] if owner else []
            own = [Setting(option="user-settings", app=app_type) for app_type in TYPES]
            if kind is SPACE:
                own = [
                    Setting(option="space-settings", app=app_type, shared=shared)
                    for app_type in {app} & {*TYPES}
                ]
            elif kind is DOMAIN:
                profiles = tuple(
                    description for at, description in descriptions[USER_PROFILE].items() if at[0] == place[0]
                )
                together = tuple(
                    description
                    for at, description in descriptions[SPACE].items()
                    if at[0] == place[0] and _space(every[SPACE][at][1]) == (True, "", JUPYTER_LAB)
                )
                own = [
                    Setting(option="default-user-settings", app=app_type, followers=profiles)
                    for app_type in TYPES
                ]
                if together:
                    own.append(
                        Setting("default-space-settings", JUPYTER_LAB, shared=True, followers=together)
                    )
            yield Place(
                target=target,
                belongs_to=tuple(every[of][at][0] for of, at in outer if at in every[of]),
                status=entry["Status"],
                above=(*(descriptions[of].get(at, UNLISTED) for of, at in outer), descriptions[kind][place]),
                settings=tuple(own),
                unread=unread,
            )
        for found in listed.values():
            found.check()

    def decide(self, candidate: Place, now: datetime) -> Verdict:
        """Find the place that decides that idle apps run on, not the places that only follow it."""
        rule = Rule()
        if candidate.status != "InService":
            return rule.kept(f"its status is {candidate.status}")
        if not candidate.settings:
            return rule.kept("its apps are of a type that has no idle shutdown")
        off = self.off(candidate, rule)
        if isinstance(off, str):
            return rule.unknown(off)
        if not off:
            return rule.kept("wherever its own settings count, Studio stops idle apps")
        written = all(_written(setting, candidate.above[-1]) for setting in off)
        return rule.found(
            f"Studio does not stop idle {' and '.join(setting.words for setting in off)} of this"
            f" {candidate.target.kind.replace('-', ' ')} within {ago(self.longest)}",
            Confidence.PROVEN if written else Confidence.LIKELY,
            action=self.change(candidate, off),
            to_prove="" if written else "a setting that says so: where none does, AWS's default is off",
            noun="missing idle shutdown",
        )

    def off(self, candidate: Place, rule: Rule) -> list[Setting] | str:
        """Return the settings that make idle apps run on, or why they could not be read."""
        off = []
        for setting in candidate.settings:
            after = timeout(setting.app, candidate.above, shared=setting.shared)
            rule.saw(shown(f"idle shutdown of {setting.words}", after, lambda time: f"after {ago(time)}"))
            if isinstance(after, Unreadable):
                return f"the idle shutdown of its {setting.words} is unknown ({after.error})"
            decides = decided_by(setting.app, candidate.above, self.longest, shared=setting.shared)
            if decides != len(candidate.above) - 1:
                rule.passed(f"nothing here keeps Studio from stopping idle {setting.words}")
                continue
            if (followed := self.followed(setting, candidate)) is None:
                why = candidate.unread or "a description could not be read"
                return f"whether anything follows its setting for {setting.words} is unknown ({why})"
            if followed:
                off.append(setting)
            else:
                rule.passed(f"whatever could follow its setting for {setting.words} has one of its own")
        if not off and candidate.target.kind == DOMAIN.type and candidate.unread is not None:
            return f"not everything that may follow it was listed ({candidate.unread})"
        return off

    def followed(self, setting: Setting, candidate: Place) -> bool | None:
        """Return whether *setting* holds for anything, now or later; None if that is unknown."""
        if setting.followers is None:
            return True
        chains = [(*candidate.above, follower) for follower in setting.followers]
        read = [
            chain
            for chain in chains
            if not isinstance(timeout(setting.app, chain, shared=setting.shared), Unreadable)
        ]
        if any(decided_by(setting.app, chain, self.longest, shared=setting.shared) == 0 for chain in read):
            return True
        return None if candidate.unread is not None or read != chains else not chains

    def change(self, candidate: Place, off: list[Setting]) -> str:
        kind = candidate.target.kind
        idle: dict[str, Any] = {} if kind == SPACE.type else {"LifecycleManagement": "ENABLED"}
        idle["IdleTimeoutInMinutes"] = self.proposed_minutes
        options: dict[str, dict[str, Any]] = {}
        for setting in off:
            own = options.setdefault(setting.option, {})
            own[f"{setting.app}AppSettings"] = {"AppLifecycleManagement": {"IdleSettings": idle}}
        domain, _, name = candidate.target.arn.partition("/")[2].partition("/")
        named = f" {OPTIONS[kind]} {name}" if kind in OPTIONS else ""
        values = "".join(f" --{option} '{json.dumps(value)}'" for option, value in options.items())
        return f"aws sagemaker update-{kind} --domain-id {domain}{named}{values}"


def _entry(aws: Aws, kind: Kind, book: tags.TagBook, entry: Mapping[str, Any]) -> tuple[Any, Target, Any]:
    """Return the place, the target and the *entry*. Raises KeyError where the answer was cut off."""
    place = entry["DomainId"], entry[NAMES[kind]] if kind in NAMES else ""
    return (
        place,
        kind.target(aws, entry, book.of(kind.arn_of(aws, entry))),
        {**entry, "Status": entry["Status"]},
    )


def _space(entry: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Return whether a listed space is shared, its owner, and the type of its apps; "" where it has none."""
    shared = entry.get("SpaceSharingSettingsSummary", {}).get("SharingType") == SHARED
    owner = "" if shared else entry.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName", "")
    return shared, owner, entry.get("SpaceSettingsSummary", {}).get("AppType", "")


def _written(setting: Setting, own: Signal[Settings]) -> bool:
    """Return whether the description *own* has *setting*: else AWS's default is taken for granted."""
    says = layer(setting.app, own.value, shared=setting.shared) if isinstance(own, Value) else None
    return says is not None and (says.on is not None or says.timeout is not None)
