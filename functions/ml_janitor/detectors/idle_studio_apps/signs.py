"""The meaning of a Studio app's signals: the newest sign of use, and what stays unknown. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from ml_janitor.aws import idle_time
from ml_janitor.aws.idle_shutdown import IDLE_SHUTDOWN_APPS
from ml_janitor.aws.studio_apps import CANVAS, StudioApp
from ml_janitor.core.durations import format_age
from ml_janitor.core.signals import Absent, Evidence, NotRead, Signal, Unreadable, Value, as_evidence
from ml_janitor.core.text import format_iso
from ml_janitor.detectors.idle_studio_apps import remote_sessions


class AppSign(NamedTuple):
    """One sign of use: its name and its time."""

    what: str
    at: datetime

    def words(self, now: datetime) -> str:
        """
        Return the sign and its age. Clocks differ, and a sweep takes a
        while: it may be newer than *now*.
        """
        if self.at > now:
            return (
                f"the last sign of use was {self.what} at {format_iso(self.at)}, which is after "
                f"this sweep began"
            )
        return f"the last sign of use was {self.what} {format_age(now - self.at)} ago"


def last_app_sign(app: StudioApp, now: datetime) -> AppSign:
    """Return the newest sign of use; of two at one time the surer one."""
    return max(_signs(app, now), key=lambda sign: sign.at)


def _signs(app: StudioApp, now: datetime) -> Iterator[AppSign]:
    idle = idle_time.fresh_idle_time(app.idle, now)
    if idle is not None and idle.at is not None:
        seen_by = "that Canvas saw" if app.type == CANVAS else "in a kernel or terminal"
        yield AppSign(f"activity {seen_by}", idle.at - idle.value)
    if isinstance(app.activity, Value):
        yield AppSign("activity of its user", app.activity.value)
    if isinstance(app.log, Value):
        yield AppSign("a line in its log", app.log.value)
    if isinstance(app.session, Value):
        began = app.session.value
        what = f"a remote editor's session, which began at {format_iso(began)} and may have lasted until"
        yield AppSign(what, max(began, min(began + remote_sessions.SESSION_LASTS, now)))
    yield AppSign("its start", app.started)


def why_app_unknown(app: StudioApp, now: datetime) -> str | None:
    """Return why nobody can tell whether an app without a sign of use is idle, or None."""
    match app.activity:
        case Unreadable(error):
            return f"it could not be described ({error}), so it may be in use"
        case NotRead():
            return "it was not described, so it may be in use"
    return _canvas_unknown(app, now) if app.type == CANVAS else _silent(app, now) or _left_to_studio(app)


def _canvas_unknown(app: StudioApp, now: datetime) -> str | None:
    """
    Return why nobody can tell whether Canvas is idle, or None. Only the
    idle time that it publishes counts.
    """
    if isinstance(app.idle, Unreadable):
        return f"the idle time of Canvas could not be read ({app.idle.error}), so it may be in use"
    if idle_time.fresh_idle_time(app.idle, now) is None:
        return (
            f"Canvas published no idle time of its user in the last {format_age(idle_time.STALE_IDLE_TIME)}"
        )
    return None


def _silent(app: StudioApp, now: datetime) -> str | None:
    if app.remote and isinstance(app.session, Unreadable | NotRead):
        why = app.session.error if isinstance(app.session, Unreadable) else "they were not read"
        return (
            "its space allows remote access: an editor that is connected need not write to its log, and the "
            f"sessions in CloudTrail could not be read ({why}), so it may be in use"
        )
    if isinstance(app.idle, Unreadable):
        return f"the idle time that its space may publish could not be read ({app.idle.error})"
    match app.log:
        case Unreadable(error):
            return f"its log could not be read ({error}), so it may be in use"
        case NotRead():
            return "its log was not read, so it may be in use"
    if isinstance(app.activity, Value) or _arrives(app) or idle_time.fresh_idle_time(app.idle, now):
        return None
    since = "nothing was written to its log since it started"
    written = "it has no log" if isinstance(app.log, Absent) else since
    return (
        f"AWS tells no activity of its user apart from health checks, and {written}, "
        "so nothing shows whether anybody works in it"
    )


def _arrives(app: StudioApp) -> bool:
    """
    Return whether its log arrives, so that its silence means something.

    A stream outlives the app, and the next app of its name continues it: lines from before the start only
    show that logs arrived then.
    """
    return isinstance(app.log, Value) and app.log.value >= app.started


def _left_to_studio(app: StudioApp) -> str | None:
    if app.instance_type is None:
        return "nothing says which instance it runs on, so it may be the free one"
    match app.shutdown:
        case Unreadable(error):
            return f"Studio's own idle shutdown may be on for it, which could not be read ({error})"
        case NotRead() if app.type in IDLE_SHUTDOWN_APPS:
            return "Studio's own idle shutdown may be on for it, which was not read"
        case _:
            return None


def app_evidence(app: StudioApp, now: datetime) -> Iterator[Evidence]:
    """Yield every signal as evidence."""
    yield Evidence("status", app.status)
    yield Evidence("app type", app.type)
    yield Evidence("instance type", app.instance_type or "not told")
    yield Evidence("space", app.space or "none")
    yield Evidence("user profile", app.profile or "none")
    for word, keys in app.inherited.items():
        yield Evidence(f"tags of its {word}", ", ".join(keys))
    yield Evidence("start", format_iso(app.started), at=app.started)
    same = "none apart from its last health check" if app.checked is not None else None
    yield as_evidence("last activity of its user", app.activity, _shown(app.activity) or same)
    if app.checked is not None:
        yield Evidence("last health check", format_iso(app.checked), at=app.checked)
    publisher = "Canvas" if app.type == CANVAS else "its space"
    yield as_evidence(
        f"idle time that {publisher} published", app.idle, idle_time.idle_time_text(app.idle, now)
    )
    if app.type != CANVAS:
        yield as_evidence("last line in its log", app.log, _shown(app.log))
    if app.remote:
        yield as_evidence("last session of a remote editor", app.session, _shown(app.session))
    if app.type in IDLE_SHUTDOWN_APPS:
        after = app.shutdown
        shown = f"after {format_age(after.value)}" if isinstance(after, Value) else "off"
        yield as_evidence("Studio's own idle shutdown", after, shown)


def _shown(signal: Signal[datetime]) -> str | None:
    return format_iso(signal.value) if isinstance(signal, Value) else None
