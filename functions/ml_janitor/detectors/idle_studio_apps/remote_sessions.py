"""Sessions of editors on other machines with spaces: StartSession in CloudTrail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ml_janitor.aws import trail
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import texts_in
from ml_janitor.aws.studio_apps import App
from ml_janitor.core.signals import Signal, given

STARTS = "StartSession"
SAGEMAKER = "sagemaker.amazonaws.com"
"""Systems Manager has a call of the same name."""

LASTS = timedelta(hours=12)
"""For how long a session may stay connected (developer guide, "Set up remote access"); no call ends it."""

MOST_PAGES = 100
"""Of 50 events, at one page a second: Systems Manager's sessions are among them."""


def read(aws: Aws, apps: Sequence[App], since: datetime, now: datetime) -> list[App]:
    """*apps*, those with remote access with their newest session that may have lasted after *since*."""
    if not any(app.remote for app in apps):
        return list(apps)
    sessions = trail.lookup(aws, STARTS, since - LASTS, now, most_pages=MOST_PAGES)
    return [replace(app, session=newest(sessions, app)) if app.remote else app for app in apps]


def newest(sessions: Listing[trail.Event], app: App) -> Signal[datetime]:
    """When the newest session of *app* began."""
    session = trail.newest(sessions, lambda one: one.source == SAGEMAKER and _for(one, app))
    return given(session, lambda found: found.at)


def _for(event: trail.Event, app: App) -> bool:
    """
    Whether *event* may be a session with the space of *app*.

    A space is named by its own ARN or by that of its app (API reference of StartSession): the domain and the
    space follow the resource type in both. An event without an ARN may be for any space.
    """
    asked = texts_in(event.request, "ResourceIdentifier")
    paths = [text.partition("/")[2].lower() for text in (*asked, *event.resources) if text.startswith("arn:")]
    place = f"{app.domain}/{app.space}".lower()
    return not paths or any(path == place or path.startswith(f"{place}/") for path in paths)
