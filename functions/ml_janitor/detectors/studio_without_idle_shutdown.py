"""Studio domains, user profiles and spaces whose idle apps nothing stops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import settled_key
from ml_janitor.aws.sagemaker_kinds import DOMAIN, SPACE, USER_PROFILE, SageMakerKind, list_kind
from ml_janitor.aws.studio_apps import (
    IDLE_SHUTDOWN_APPS,
    JUPYTER_LAB,
    SHARED_SPACE,
    StudioSettings,
    deciding_level,
    describe_places,
    shutdown_layer,
    shutdown_timeout,
)
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Candidate,
    Change,
    Confidence,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import count_noun, quote_shell
from ml_janitor.engine.detector import Constant, Detector, allow

_PLACE_KINDS = (DOMAIN, USER_PROFILE, SPACE)
_NAME_MEMBERS = {USER_PROFILE: "UserProfileName", SPACE: "SpaceName"}
_CLI_OPTIONS = {USER_PROFILE.type: "--user-profile-name", SPACE.type: "--space-name"}
_LONGEST_MINUTES = 525_600
"""Greatest IdleTimeoutInMinutes; the least is 60 (API reference of IdleSettings)."""
_UNLISTED = Unreadable("it is not in the listing that should have it")

type PlaceDescriptions = tuple[Signal[StudioSettings], ...]


@dataclass(frozen=True, slots=True)
class ShutdownSetting:
    """
    One setting of a place: the *option* of its update, the type of *app*, and whether for *shared* spaces.

    *followers* are the descriptions of places that follow it unless they have a setting of their own; None if
    it holds for the place alone.
    """

    option: str
    app: str
    shared: bool = False
    followers: PlaceDescriptions | None = None

    @property
    def words(self) -> str:
        """The apps that it covers, in words."""
        return f"{self.app} apps{' in shared spaces' if self.shared else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownPlace(Candidate):
    """
    A domain, user profile or space and its *settings*; *above* are the descriptions that hold for it.

    These are its domain's, its user profile's, and last its own. *unread* says why more may follow it.
    """

    status: str
    above: PlaceDescriptions
    settings: tuple[ShutdownSetting, ...]
    unread: str | None = None


@dataclass(frozen=True)
class StudioWithoutIdleShutdown(Detector[ShutdownPlace]):
    """
    Finds Studio domains, user profiles and spaces without idle shutdown.

    Where it is on, Studio itself stops an idle JupyterLab or Code Editor.
    """

    name = "studio-without-idle-shutdown"
    kinds = tuple(kind.type for kind in _PLACE_KINDS)
    asks_for = Change.LIMIT
    reads = (
        *(allow(kind.lists) for kind in _PLACE_KINDS),
        *(allow(kind.describes, on=kind.every) for kind in _PLACE_KINDS),
        *(allow(tags.LIST_TAGS, on=kind.every) for kind in _PLACE_KINDS),
        allow(tags.GET_RESOURCES),
    )

    longest: Constant[timedelta] = timedelta(days=1)  # twelve times what is proposed
    proposed_minutes: Constant[int] = 120  # as idle-studio-apps, twice as soon

    def find(self, aws: Aws, now: datetime) -> Iterator[ShutdownPlace]:
        """Yield every domain, user profile and space, each described once."""
        book = tags.read_tag_book(aws, *(f"sagemaker:{kind}" for kind in self.kinds))
        listed = {kind: list_kind(aws, kind, partial(_entry, aws, kind, book)) for kind in _PLACE_KINDS}
        every = {kind: {place: rest for place, *rest in listed[kind].items} for kind in _PLACE_KINDS}
        keys = {
            kind: {
                place: settled_key(target.arn, entry["Status"], target.created, entry.get("LastModifiedTime"))
                for place, (target, entry) in every[kind].items()
            }
            for kind in _PLACE_KINDS
        }
        descriptions = {
            kind: describe_places(aws, every[kind], kind.describes, keys[kind]) for kind in _PLACE_KINDS
        }
        unread = "; ".join(found.error for found in listed.values() if found.error is not None) or None
        for kind, place in ((of, place) for of in _PLACE_KINDS for place in every[of]):
            target, entry = every[kind][place]
            shared, owner, app = _space(entry)
            outer = [] if kind is DOMAIN else [(DOMAIN, (place[0], ""))]
            outer += [(USER_PROFILE, (place[0], owner))] if owner else []
            own = [ShutdownSetting(option="user-settings", app=app_type) for app_type in IDLE_SHUTDOWN_APPS]
            if kind is SPACE:
                own = [
                    ShutdownSetting(option="space-settings", app=app_type, shared=shared)
                    for app_type in {app} & {*IDLE_SHUTDOWN_APPS}
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
                    ShutdownSetting(option="default-user-settings", app=app_type, followers=profiles)
                    for app_type in IDLE_SHUTDOWN_APPS
                ]
                if together:
                    own.append(
                        ShutdownSetting(
                            "default-space-settings", JUPYTER_LAB, shared=True, followers=together
                        )
                    )
            yield ShutdownPlace(
                target=target,
                belongs_to=tuple(every[of][at][0] for of, at in outer if at in every[of]),
                status=entry["Status"],
                above=(*(descriptions[of].get(at, _UNLISTED) for of, at in outer), descriptions[kind][place]),
                settings=tuple(own),
                unread=unread,
            )
        Listing.merged(listed.values()).check()

    def decide(self, candidate: ShutdownPlace, now: datetime) -> Verdict:
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
            f" {candidate.target.kind.replace('-', ' ')} within {format_age(self.longest)}",
            Confidence.PROVEN if written else Confidence.LIKELY,
            action=self.change(candidate, off),
            to_prove="" if written else "a setting that says so: where none does, AWS's default is off",
            noun="missing idle shutdown",
        )

    def off(self, candidate: ShutdownPlace, rule: Rule) -> list[ShutdownSetting] | str:
        """Return the settings that make idle apps run on, or why they could not be read."""
        off = []
        for setting in candidate.settings:
            after = shutdown_timeout(setting.app, candidate.above, shared=setting.shared)
            rule.saw(
                as_evidence(
                    f"idle shutdown of {setting.words}", after, lambda time: f"after {format_age(time)}"
                )
            )
            if isinstance(after, Unreadable):
                return f"the idle shutdown of its {setting.words} is unknown ({after.error})"
            decides = deciding_level(setting.app, candidate.above, self.longest, shared=setting.shared)
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

    def followed(self, setting: ShutdownSetting, candidate: ShutdownPlace) -> bool | None:
        """Return whether *setting* holds for anything, now or later; None if that is unknown."""
        if setting.followers is None:
            return True
        chains = [(*candidate.above, follower) for follower in setting.followers]
        read = [
            chain
            for chain in chains
            if not isinstance(shutdown_timeout(setting.app, chain, shared=setting.shared), Unreadable)
        ]
        if any(
            deciding_level(setting.app, chain, self.longest, shared=setting.shared) == 0 for chain in read
        ):
            return True
        return None if candidate.unread is not None or read != chains else not chains

    def change(self, candidate: ShutdownPlace, off: list[ShutdownSetting]) -> str:
        kind = candidate.target.kind
        idle: dict[str, Any] = {} if kind == SPACE.type else {"LifecycleManagement": "ENABLED"}
        idle["IdleTimeoutInMinutes"] = self.proposed_minutes
        options: dict[str, dict[str, Any]] = {}
        for setting in off:
            own = options.setdefault(setting.option, {})
            own[f"{setting.app}AppSettings"] = {"AppLifecycleManagement": {"IdleSettings": idle}}
        domain, _, name = candidate.target.arn.partition("/")[2].partition("/")
        named = f" {_CLI_OPTIONS[kind]} {quote_shell(name)}" if kind in _CLI_OPTIONS else ""
        values = "".join(f" --{option} {quote_shell(json.dumps(value))}" for option, value in options.items())
        command = f"aws sagemaker update-{kind} --domain-id {quote_shell(domain)}{named}{values}"
        return f"stop idle apps after {count_noun(idle['IdleTimeoutInMinutes'], 'minute')}: {command}"


def _entry(
    aws: Aws, kind: SageMakerKind, book: tags.TagBook, entry: Mapping[str, Any]
) -> tuple[Any, Target, Any]:
    """Return the place, the target and the *entry*. Raises KeyError where the answer was cut off."""
    place = entry["DomainId"], entry[_NAME_MEMBERS[kind]] if kind in _NAME_MEMBERS else ""
    return (
        place,
        kind.target(aws, entry, book.of(kind.arn_of(aws, entry))),
        {**entry, "Status": entry["Status"]},
    )


def _space(entry: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Return whether a listed space is shared, its owner, and the type of its apps; "" where it has none."""
    shared = entry.get("SpaceSharingSettingsSummary", {}).get("SharingType") == SHARED_SPACE
    owner = "" if shared else entry.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName", "")
    return shared, owner, entry.get("SpaceSettingsSummary", {}).get("AppType", "")


def _written(setting: ShutdownSetting, own: Signal[StudioSettings]) -> bool:
    """Return whether the description *own* has *setting*: else AWS's default is taken for granted."""
    says = shutdown_layer(setting.app, own.value, shared=setting.shared) if isinstance(own, Value) else None
    return says is not None and (says.on is not None or says.timeout is not None)
