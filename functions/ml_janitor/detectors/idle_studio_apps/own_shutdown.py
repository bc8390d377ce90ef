"""Studio's own idle shutdown: whether it is on for an app, and its timeout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from ml_janitor.aws import idle_shutdown
from ml_janitor.aws.client import Aws
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.core.signals import Signal, Value


def read_own_shutdown(aws: Aws, apps: Sequence[StudioApp]) -> list[StudioApp]:
    """
    Return *apps* with their own idle shutdown, where their type has one.

    Every domain, space and user profile is described once. A private space follows its
    owner's user profile, else its domain; a shared space follows the domain's settings
    for spaces. A space may have a timeout of its own.
    """
    asked = [app for app in apps if app.type in idle_shutdown.IDLE_SHUTDOWN_APPS]
    spaces = idle_shutdown.describe_places(
        aws, ((app.domain, app.space) for app in asked if app.space), idle_shutdown.DESCRIBE_SPACE
    )
    owner = {app.target.key: _profile(app, spaces) for app in asked}
    owners = ((app.domain, name) for app in asked if (name := owner[app.target.key]))
    profiles = idle_shutdown.describe_places(aws, owners, idle_shutdown.DESCRIBE_PROFILE)
    domains = idle_shutdown.describe_places(
        aws, ((app.domain, "") for app in asked), idle_shutdown.DESCRIBE_DOMAIN
    )

    def timeout_of(app: StudioApp) -> Signal[timedelta]:
        name = owner[app.target.key]
        above = [domains[app.domain, ""]]
        above += [profiles[app.domain, name]] if name else []
        above += [spaces[app.domain, app.space]] if app.space else []
        return idle_shutdown.shutdown_timeout(app.type, above, shared=name is None)

    def remote(app: StudioApp) -> bool:
        match spaces.get((app.domain, app.space or "")):
            case Value(space):
                access: str | None = space["SpaceSettings"].get("RemoteAccess")
                return access == idle_shutdown.SHUTDOWN_ENABLED
            case _:
                return False

    return [
        replace(app, shutdown=timeout_of(app), remote=remote(app))
        if app.type in idle_shutdown.IDLE_SHUTDOWN_APPS
        else app
        for app in apps
    ]


def _profile(
    app: StudioApp, spaces: Mapping[idle_shutdown.StudioPlace, Signal[idle_shutdown.StudioSettings]]
) -> str | None:
    """Return the user profile whose settings apply to *app*, by its space's description if it has a space."""
    if app.space is None:
        return app.profile
    match spaces[app.domain, app.space]:
        case Value(space) if space["SpaceSharingSettings"].get("SharingType") != idle_shutdown.SHARED_SPACE:
            name: str | None = space["OwnershipSettings"].get("OwnerUserProfileName")
            return name
        case _:
            return None
