"""The signals about a Studio app: Studio's own idle shutdown, and sessions of remote editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ml_janitor.aws import activity, studio_apps
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import texts_in
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.core.model import Signal, Value, map_signal

# --- Studio's own idle shutdown -------------------------------------------------------------------


def read_own_shutdown(aws: Aws, apps: Sequence[StudioApp]) -> list[StudioApp]:
    """
    Return *apps* with their own idle shutdown, where their type has one.

    Every domain, space and user profile is described once. A private space follows its
    owner's user profile, else its domain; a shared space follows the domain's settings
    for spaces. A space may have a timeout of its own.
    """
    asked = [app for app in apps if app.type in studio_apps.IDLE_SHUTDOWN_APPS]
    spaces = studio_apps.describe_places(
        aws, ((app.domain, app.space) for app in asked if app.space), studio_apps.DESCRIBE_SPACE
    )
    owner = {app.target.key: _profile(app, spaces) for app in asked}
    owners = ((app.domain, name) for app in asked if (name := owner[app.target.key]))
    profiles = studio_apps.describe_places(aws, owners, studio_apps.DESCRIBE_PROFILE)
    domains = studio_apps.describe_places(
        aws, ((app.domain, "") for app in asked), studio_apps.DESCRIBE_DOMAIN
    )

    def timeout_of(app: StudioApp) -> Signal[timedelta]:
        name = owner[app.target.key]
        above = [domains[app.domain, ""]]
        above += [profiles[app.domain, name]] if name else []
        above += [spaces[app.domain, app.space]] if app.space else []
        return studio_apps.shutdown_timeout(app.type, above, shared=name is None)

    def remote(app: StudioApp) -> bool:
        match spaces.get((app.domain, app.space or "")):
            case Value(space):
                access: str | None = space["SpaceSettings"].get("RemoteAccess")
                return access == studio_apps.SHUTDOWN_ENABLED
            case _:
                return False

    return [
        replace(app, shutdown=timeout_of(app), remote=remote(app))
        if app.type in studio_apps.IDLE_SHUTDOWN_APPS
        else app
        for app in apps
    ]


def _profile(
    app: StudioApp, spaces: Mapping[studio_apps.StudioPlace, Signal[studio_apps.StudioSettings]]
) -> str | None:
    """Return the user profile whose settings apply to *app*, by its space's description if it has a space."""
    if app.space is None:
        return app.profile
    match spaces[app.domain, app.space]:
        case Value(space) if space["SpaceSharingSettings"].get("SharingType") != studio_apps.SHARED_SPACE:
            name: str | None = space["OwnershipSettings"].get("OwnerUserProfileName")
            return name
        case _:
            return None


# --- remote sessions ------------------------------------------------------------------------------

_START_SESSION = "StartSession"
_SAGEMAKER_SOURCE = "sagemaker.amazonaws.com"
"""The event source. Systems Manager has a call of the same name."""

SESSION_LASTS = timedelta(hours=12)
"""
Longest time for which a session may stay connected (developer guide, "Set
up remote access"); no call ends it.
"""

_MOST_SESSION_PAGES = 100
"""Most pages of 50 events, at a page a second: Systems Manager's sessions are among the events."""


def read_remote_sessions(
    aws: Aws, apps: Sequence[StudioApp], since: datetime, now: datetime
) -> list[StudioApp]:
    """Return *apps*; apps with remote access get their newest session that may have lasted after *since*."""
    if not any(app.remote for app in apps):
        return list(apps)
    sessions = activity.look_up_events(
        aws, _START_SESSION, since - SESSION_LASTS, now, most_pages=_MOST_SESSION_PAGES
    )
    return [replace(app, session=newest_session(sessions, app)) if app.remote else app for app in apps]


def newest_session(sessions: Listing[activity.TrailEvent], app: StudioApp) -> Signal[datetime]:
    """Return the time at which the newest session of *app* began."""
    session = activity.newest_event(
        sessions, lambda event: event.source == _SAGEMAKER_SOURCE and _for(event, app)
    )
    return map_signal(session, lambda found: found.at)


def _for(event: activity.TrailEvent, app: StudioApp) -> bool:
    """
    Return whether *event* may be a session with the space of *app*.

    The event names a space by the space's own ARN or by the app's ARN (API reference of StartSession): the
    domain and the space follow the resource type in both. An event without an ARN may be for any space.
    """
    asked = texts_in(event.request, "ResourceIdentifier")
    paths = [text.partition("/")[2].lower() for text in (*asked, *event.resources) if text.startswith("arn:")]
    place = f"{app.domain}/{app.space}".lower()
    return not paths or any(path == place or path.startswith(f"{place}/") for path in paths)
