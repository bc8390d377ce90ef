"""Reads Studio's own idle shutdown: the settings of domains, user profiles and spaces, and their effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ml_janitor.aws.answers import read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

JUPYTER_LAB, CODE_EDITOR = "JupyterLab", "CodeEditor"
IDLE_SHUTDOWN_APPS = (JUPYTER_LAB, CODE_EDITOR)
"""The only apps with idle shutdown (developer guide, "Idle shutdown")."""

DESCRIBE_DOMAIN = "sagemaker:DescribeDomain"
DESCRIBE_PROFILE = "sagemaker:DescribeUserProfile"
DESCRIBE_SPACE = "sagemaker:DescribeSpace"

SHUTDOWN_ENABLED = "ENABLED"
SHARED_SPACE = "Shared"

type StudioSettings = Mapping[str, Any]
type StudioPlace = tuple[str, str]
"""A domain, and the name of a space or user profile in it."""


@dataclass(frozen=True, slots=True)
class ShutdownLayer:
    """The setting of one level: *on* and *timeout* are None where it sets nothing."""

    on: bool | None = None
    timeout: timedelta | None = None


def shutdown_timeout(
    kind: str, above: Sequence[Signal[StudioSettings]], *, shared: bool
) -> Signal[timedelta]:
    """
    Return after how long Studio stops an idle app of this *kind*; `Absent` if it does not.

    *above* are the descriptions of its domain, its user profile and its space, if they exist:
    the nearer level wins. *shared* tells whether it runs in a space of several users.
    """
    on: bool | None = None
    after: timedelta | None = None
    for description in above:
        if not isinstance(description, Value):
            return description if isinstance(description, Unreadable) else Unreadable("it was not described")
        own = shutdown_layer(kind, description.value, shared=shared)
        on = own.on if own.on is not None else on
        after = own.timeout or after
    source = above[-1].source if isinstance(above[-1], Value) else ""
    if not (after is not None if on is None else on):
        return Absent(source)
    if after is None:
        return Unreadable("it is on, but nothing says after how long it stops an app", source)
    return Value(after, source)


def deciding_level(
    kind: str, above: Sequence[Signal[StudioSettings]], longest: timedelta, *, shared: bool
) -> int | None:
    """
    Return the index in *above* of the level that keeps Studio from stopping an idle app within *longest*.

    None means that Studio stops it. If no level sets anything, the domain (the first) decides, except for
    Code Editor in shared spaces: a domain has no such setting for spaces, so that the space decides. All
    of *above* were read.
    """
    after = shutdown_timeout(kind, above, shared=shared)
    layers = [
        shutdown_layer(kind, description.value, shared=shared)
        for description in above
        if isinstance(description, Value)
    ]
    if isinstance(after, Value):
        if after.value <= longest:
            return None
        return max(number for number, level in enumerate(layers) if level.timeout is not None)
    silent = len(above) - 1 if shared and kind == CODE_EDITOR else 0
    return max((number for number, level in enumerate(layers) if level.on is False), default=silent)


def shutdown_layer(kind: str, description: StudioSettings, *, shared: bool) -> ShutdownLayer:
    """Return the setting of one description for apps of this *kind*."""
    if "SpaceSettings" in description:
        settings = description["SpaceSettings"]
    elif "UserSettings" in description:
        settings = description["UserSettings"]
    else:
        settings = description.get("DefaultSpaceSettings" if shared else "DefaultUserSettings", {})
    idle = settings.get(f"{kind}AppSettings", {}).get("AppLifecycleManagement", {}).get("IdleSettings", {})
    switch, minutes = idle.get("LifecycleManagement"), idle.get("IdleTimeoutInMinutes")
    return ShutdownLayer(
        on=None if switch is None else switch == SHUTDOWN_ENABLED,
        timeout=None if minutes is None else timedelta(minutes=minutes),
    )


def describe_places(
    aws: Aws, places: Iterable[StudioPlace], source: str
) -> dict[StudioPlace, Signal[StudioSettings]]:
    """Describe each of *places* once, by *source*; a deleted place is unreadable, like a cut-off answer."""
    once = list(dict.fromkeys(places))
    describe = PLACE_READERS[source]
    answers = aws.map(lambda place: read_signal(lambda: describe(aws, place), source=source), once)
    return dict(zip(once, answers, strict=True))


def _domain(aws: Aws, place: StudioPlace) -> StudioSettings:
    answer = aws.sagemaker.describe_domain(DomainId=place[0])
    return {name: answer.get(name, {}) for name in ("DefaultUserSettings", "DefaultSpaceSettings")} | {
        "DomainId": answer["DomainId"]
    }


def _user_profile(aws: Aws, place: StudioPlace) -> StudioSettings:
    answer = aws.sagemaker.describe_user_profile(DomainId=place[0], UserProfileName=place[1])
    return {"DomainId": answer["DomainId"], "UserSettings": answer.get("UserSettings", {})}


def _space(aws: Aws, place: StudioPlace) -> StudioSettings:
    answer = aws.sagemaker.describe_space(DomainId=place[0], SpaceName=place[1])
    settings = {
        name: answer.get(name, {}) for name in ("SpaceSettings", "OwnershipSettings", "SpaceSharingSettings")
    }
    return settings | {"DomainId": answer["DomainId"]}


PLACE_READERS: Mapping[str, Callable[[Aws, StudioPlace], StudioSettings]] = {
    DESCRIBE_DOMAIN: _domain,
    DESCRIBE_PROFILE: _user_profile,
    DESCRIBE_SPACE: _space,
}
