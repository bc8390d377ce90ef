"""Remote editors' sessions with spaces: StartSession in CloudTrail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ml_janitor.aws import trail
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import texts_in
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.core.signals import Signal, map_signal

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
    sessions = trail.look_up_events(
        aws, _START_SESSION, since - SESSION_LASTS, now, most_pages=_MOST_SESSION_PAGES
    )
    return [replace(app, session=newest_session(sessions, app)) if app.remote else app for app in apps]


def newest_session(sessions: Listing[trail.TrailEvent], app: StudioApp) -> Signal[datetime]:
    """Return the time at which the newest session of *app* began."""
    session = trail.newest_event(
        sessions, lambda event: event.source == _SAGEMAKER_SOURCE and _for(event, app)
    )
    return map_signal(session, lambda found: found.at)


def _for(event: trail.TrailEvent, app: StudioApp) -> bool:
    """
    Return whether *event* may be a session with the space of *app*.

    The event names a space by the space's own ARN or by the app's ARN (API reference of StartSession): the
    domain and the space follow the resource type in both. An event without an ARN may be for any space.
    """
    asked = texts_in(event.request, "ResourceIdentifier")
    paths = [text.partition("/")[2].lower() for text in (*asked, *event.resources) if text.startswith("arn:")]
    place = f"{app.domain}/{app.space}".lower()
    return not paths or any(path == place or path.startswith(f"{place}/") for path in paths)
