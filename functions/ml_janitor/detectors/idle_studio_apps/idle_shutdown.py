"""Studio's own idle shutdown: whether it is on for an app, and after how long it stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import attempt
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.idle_studio_apps.app import CODE_EDITOR, JUPYTER_LAB, App

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

TYPES = (JUPYTER_LAB, CODE_EDITOR)
"""The only apps that have it (developer guide, "Idle shutdown")."""

DESCRIBE_DOMAIN = "sagemaker:DescribeDomain"
DESCRIBE_PROFILE = "sagemaker:DescribeUserProfile"
DESCRIBE_SPACE = "sagemaker:DescribeSpace"

ENABLED = "ENABLED"
SHARED = "Shared"

type Settings = Mapping[str, Any]
type Place = tuple[str, str]
"""A domain, and the name of a space or user profile in it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one level says: *on* and *timeout* are None where it says nothing."""

    on: bool | None = None
    timeout: timedelta | None = None


def read(aws: Aws, apps: Sequence[App]) -> list[App]:
    """
    *apps* with their own idle shutdown, where their type has one.

    Every domain, space and user profile is described once. A private space follows its owner's user
    profile, and where that says nothing its domain; a shared one follows the domain's settings for
    spaces. A space may have a time of its own.
    """
    asked = [app for app in apps if app.type in TYPES]
    spaces = _each(aws, ((app.domain, app.space) for app in asked if app.space), DESCRIBE_SPACE, _space)
    owner = {_id(app): _profile(app, spaces) for app in asked}
    profiles = _each(
        aws,
        ((app.domain, name) for app in asked if (name := owner[_id(app)])),
        DESCRIBE_PROFILE,
        _user_profile,
    )
    domains = _each(aws, ((app.domain, "") for app in asked), DESCRIBE_DOMAIN, _domain)

    def timeout_of(app: App) -> Signal[timedelta]:
        name = owner[_id(app)]
        above = [domains[app.domain, ""]]
        above += [profiles[app.domain, name]] if name else []
        above += [spaces[app.domain, app.space]] if app.space else []
        return timeout(app.type, above, shared=name is None)

    def remote(app: App) -> bool:
        match spaces.get((app.domain, app.space or "")):
            case Value(space):
                access: str | None = space["SpaceSettings"].get("RemoteAccess")
                return access == ENABLED
            case _:
                return False

    return [
        replace(app, shutdown=timeout_of(app), remote=remote(app)) if app.type in TYPES else app
        for app in apps
    ]


def _id(app: App) -> str:
    return app.target.key


def _profile(app: App, spaces: Mapping[Place, Signal[Settings]]) -> str | None:
    """The user profile whose settings hold for *app*, by its space's description where it has one."""
    if app.space is None:
        return app.profile
    match spaces[app.domain, app.space]:
        case Value(space) if space["SpaceSharingSettings"].get("SharingType") != SHARED:
            name: str | None = space["OwnershipSettings"].get("OwnerUserProfileName")
            return name
        case _:
            return None


def timeout(kind: str, above: Sequence[Signal[Settings]], *, shared: bool) -> Signal[timedelta]:
    """
    After how long Studio stops an idle app of this *kind*; `Absent` if it does not.

    *above* are the descriptions of its domain, its user profile and its space, as far as it has them:
    the nearer one wins. *shared* is whether it runs in a space of several users.
    """
    on: bool | None = None
    after: timedelta | None = None
    for description in above:
        if not isinstance(description, Value):
            return description if isinstance(description, Unreadable) else Unreadable("it was not described")
        layer = _layer(kind, description.value, shared=shared)
        on = layer.on if layer.on is not None else on
        after = layer.timeout or after
    source = above[-1].source if isinstance(above[-1], Value) else ""
    if not (after is not None if on is None else on):
        return Absent(source)
    if after is None:
        return Unreadable("it is on, but nothing says after how long it stops an app", source)
    return Value(after, source)


def _layer(kind: str, description: Settings, *, shared: bool) -> Layer:
    """What one description says of apps of this *kind*."""
    if "SpaceSettings" in description:
        settings = description["SpaceSettings"]
    elif "UserSettings" in description:
        settings = description["UserSettings"]
    else:
        settings = description.get("DefaultSpaceSettings" if shared else "DefaultUserSettings", {})
    idle = settings.get(f"{kind}AppSettings", {}).get("AppLifecycleManagement", {}).get("IdleSettings", {})
    said, minutes = idle.get("LifecycleManagement"), idle.get("IdleTimeoutInMinutes")
    return Layer(
        on=None if said is None else said == ENABLED,
        timeout=None if minutes is None else timedelta(minutes=minutes),
    )


def _each(
    aws: Aws, places: Iterable[Place], source: str, describe: Callable[[Aws, Place], Any]
) -> dict[Place, Signal[Settings]]:
    """Each of *places* described once; one that is gone counts as unreadable, like a cut-off answer."""
    once = list(dict.fromkeys(places))
    answers = aws.map(lambda place: attempt(lambda: describe(aws, place), source=source), once)
    return dict(zip(once, answers, strict=True))


def _domain(aws: Aws, place: Place) -> Settings:
    answer = aws.sagemaker.describe_domain(DomainId=place[0])
    return {name: answer.get(name, {}) for name in ("DefaultUserSettings", "DefaultSpaceSettings")} | {
        "DomainId": answer["DomainId"]
    }


def _user_profile(aws: Aws, place: Place) -> Settings:
    answer = aws.sagemaker.describe_user_profile(DomainId=place[0], UserProfileName=place[1])
    return {"DomainId": answer["DomainId"], "UserSettings": answer.get("UserSettings", {})}


def _space(aws: Aws, place: Place) -> Settings:
    answer = aws.sagemaker.describe_space(DomainId=place[0], SpaceName=place[1])
    settings = {
        name: answer.get(name, {}) for name in ("SpaceSettings", "OwnershipSettings", "SpaceSharingSettings")
    }
    return settings | {"DomainId": answer["DomainId"]}
