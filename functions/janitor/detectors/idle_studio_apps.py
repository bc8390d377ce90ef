"""Studio apps that run on after their user went home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from janitor import studio, tags
from janitor.detector import Detector, allow
from janitor.model import (
    NotRead,
    Target,
)
from janitor.studio import CANVAS, CODE_EDITOR, IN_SERVICE, JUPYTER_LAB, KERNEL_GATEWAY, App

if TYPE_CHECKING:
    from janitor.aws import Aws

ACTION = "delete the app (its space and volume stay; memory and running terminals do not)"

JUDGED = (JUPYTER_LAB, CODE_EDITOR, KERNEL_GATEWAY, CANVAS)
"""The apps that cost money while nobody uses them; others are free, or serve somebody else's work."""

PATIENCE = timedelta(hours=4)

STALE = timedelta(minutes=30)
"""An idle time that Canvas published longer ago than this says nothing about now."""

TIMES = 2
"""Studio's own idle shutdown gets so many of its timeouts before it counts as not working."""


class Sign(NamedTuple):
    """One sign of use: what it was, and when."""

    what: str
    at: datetime


@dataclass(frozen=True)
class IdleStudioApps(Detector[App]):
    """
    Deletes Studio apps that nobody works in any more.

    The time of user activity that AWS tells counts only where a health check has not overwritten it;
    then the app's log speaks. Where Studio's own idle shutdown is on, it is given the time to work.
    """

    name = "idle-studio-apps"
    schedule = "rate(1 hour)"
    kinds = (studio.KIND,)
    reads = (
        allow("sagemaker:ListApps"),
        allow("sagemaker:ListSpaces"),
        allow("sagemaker:DescribeApp", on="app/*"),
        allow("sagemaker:DescribeDomain", on="domain/*"),
        allow("sagemaker:DescribeUserProfile", on="user-profile/*"),
        allow("sagemaker:DescribeSpace", on="space/*"),
        allow("sagemaker:ListTags", on="app/*"),
        allow("sagemaker:ListTags", on="space/*"),
        allow("sagemaker:ListTags", on="user-profile/*"),
        allow("tag:GetResources"),
        allow("logs:DescribeLogStreams", on=f"log-group:{studio.LOG_GROUP}:*"),
        allow("logs:GetLogEvents", on=f"log-group:{studio.LOG_GROUP}:*"),
        allow("cloudwatch:GetMetricData"),
        allow("pricing:GetProducts"),
    )

    patience: Mapping[str, timedelta] = field(default_factory=lambda: dict.fromkeys(JUDGED, PATIENCE))

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.patience) - set(JUDGED)):
            raise ValueError(f"patience: no app type {unknown[0]}; there are {', '.join(JUDGED)}")

    def find(self, aws: Aws, now: datetime) -> Iterator[App]:
        listing = studio.listed(aws)
        apps: list[App] = list(listing.items)
        if any(app.status == IN_SERVICE for app in apps):
            apps = studio_tags.in_bulk(aws, apps)
            open_ = [app for app in apps if _settled(app) is None and not self._used(app, now)]
            apps = studio.settled(apps, self._read(aws, open_, now))
        yield from apps
        listing.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> App | None:
        app = studio.find_again(aws, target)
        if app is None or _settled(app) is not None:
            return app
        (app,) = studio.described(aws, [app])
        return self._signs_of(aws, [studio_tags.of_one(aws, app)], now)[0]

    def _read(self, aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
        """*apps* with signs of use: the cheap one first, then each other for those that it leaves open."""
        if not apps:
            return []
        since = now - max(self._allowed(app) for app in apps)
        active = logs.streams_active_since(aws, studio.LOG_GROUP, since)
        apps = [app.wrote(active.value) for app in apps] if isinstance(active, Value) else list(apps)
        read = studio.described(aws, [app for app in apps if not self._used(app, now)])
        return studio.settled(apps, self._signs_of(aws, read, now))

    def _signs_of(self, aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
        """Described *apps* with what their logs and metrics say, and what their idle shutdown would do."""
        open_ = self._open(apps, now)
        written = [app for app in open_ if app.type != CANVAS]
        lines = aws.map(lambda app: logs.last_event(aws, studio.LOG_GROUP, app.stream), written)
        logged = [replace(app, log=line) for app, line in zip(written, lines, strict=True)]
        told = canvas.read(aws, [app for app in open_ if app.type == CANVAS], now)
        idle = idle_shutdown.read(aws, self._open([*logged, *told], now))
        apps = studio.settled(apps, [*logged, *told])
        return studio.settled(apps, [replace(app, price=_price(aws, app)) for app in idle])

    def _open(self, apps: Sequence[App], now: datetime) -> list[App]:
        return [app for app in apps if _settled(app) is None and not self._used(app, now)]

    def decide(self, candidate: App, now: datetime) -> Verdict:
        rule = Rule()
        rule.saw(*_evidence(candidate, now))
        if (why := _settled(candidate)) is not None:
            return rule.kept(why)
        rule.passed(f"it is a {candidate.type} app in service")
        last, allowed = _last(candidate, now), self._allowed(candidate)
        words = f"{ago(allowed)} are allowed"
        if now - last.at < allowed:
            return rule.kept(f"{_when(last, now)}; {words}")
        rule.passed(_when(last, now))
        if (why := _unknown(candidate, now)) is not None:
            return rule.unknown(why)
        late = ""
        if isinstance(candidate.shutdown, Value):
            after = candidate.shutdown.value
            if now - last.at < TIMES * after:
                left = f"Studio's own idle shutdown stops it after {ago(after)}, and has {ago(TIMES * after)}"
                return rule.kept(f"{_when(last, now)}; {left}")
            late = f"; Studio's own idle shutdown should have stopped it after {ago(after)}, and did not"
        proven = candidate.type == CANVAS
        rule.passed(
            "Canvas says so itself" if proven else "nothing shows use, but something may run in silence"
        )
        return rule.found(
            f"{_when(last, now)}; {words}{late}",
            Confidence.PROVEN if proven else Confidence.LIKELY,
            action=ACTION,
            cost=Cost.standing(candidate.price.hourly_usd, candidate.price.source),
            since=last.at,
        )

    def _allowed(self, app: App) -> timedelta:
        """For how long an app of this type may be unused."""
        return self.patience.get(app.type, PATIENCE)

    def _used(self, app: App, now: datetime) -> bool:
        return now - _last(app, now).at < self._allowed(app)


def _price(aws: Aws, app: App) -> Price:
    if app.type == CANVAS:
        return Price(None, "Canvas is billed by the session, which no instance price tells")
    if app.instance_type is None:
        return Price(None, "nothing says which instance it runs on")
    return aws.prices.hourly(aws.region, "Studio", app.instance_type)


def _settled(app: App) -> str | None:
    """Why it is kept whatever its user does, or None."""
    if app.status != IN_SERVICE:
        return f"its status is {app.status}, not {IN_SERVICE}"
    if app.type not in JUDGED:
        return f"it is a {app.type} app; only {', '.join(JUDGED)} apps are judged"
    if app.instance_type == SYSTEM and app.type != CANVAS:
        return "it runs on the system instance, which is free"
    return None


def _fresh_idle(app: App, now: datetime) -> Value[timedelta] | None:
    match app.idle:
        case Value(_, _, at) as idle if at is not None and now - at <= STALE:
            return idle
        case _:
            return None


def _last(app: App, now: datetime) -> Sign:
    """The newest sign of use; of two at one time the first is named."""
    return max(_signs(app, now), key=lambda sign: sign.at)


def _signs(app: App, now: datetime) -> Iterator[Sign]:
    idle = _fresh_idle(app, now)
    if idle is not None and idle.at is not None:
        yield Sign("use that Canvas saw", idle.at - idle.value)
    if isinstance(app.activity, Value):
        yield Sign("activity of its user", app.activity.value)
    if isinstance(app.log, Value):
        yield Sign("a line in its log", app.log.value)
    yield Sign("its start", app.started)


def _unknown(app: App, now: datetime) -> str | None:
    """Why nobody can tell whether an app that shows no sign of use is idle, or None."""
    if isinstance(app.activity, Unreadable):
        return f"it could not be described ({app.activity.error}), so it may be in use"
    if isinstance(app.activity, NotRead):
        return "it was not described, so it may be in use"
    if app.type == CANVAS:
        if isinstance(app.idle, Unreadable):
            return f"the idle time of Canvas could not be read ({app.idle.error}), so it may be in use"
        if _fresh_idle(app, now) is None:
            return f"Canvas published no idle time of its user in the last {ago(STALE)}"
        return None
    match app.log, app.activity:
        case Unreadable(error), _:
            return f"its log could not be read ({error}), so it may be in use"
        case NotRead(), _:
            return "its log was not read, so it may be in use"
        case Absent(), Absent():
            return (
                "AWS tells no activity of its user apart from health checks, and it has no log, "
                "so nothing shows whether anybody works in it"
            )
    if app.instance_type is None:
        return "nothing says which instance it runs on, so it may be the free one"
    if isinstance(app.shutdown, Unreadable):
        return f"Studio's own idle shutdown may stop it, but could not be read ({app.shutdown.error})"
    if isinstance(app.shutdown, NotRead) and app.type in idle_shutdown.TYPES:
        return "Studio's own idle shutdown may stop it, but was not read"
    return None


def _evidence(app: App, now: datetime) -> Iterator[Evidence]:
    yield Evidence("status", app.status)
    yield Evidence("app type", app.type)
    yield Evidence("instance type", app.instance_type or "not told")
    yield Evidence("space", app.space or "none")
    yield Evidence("user profile", app.profile or "none")
    for word, keys in app.inherited.items():
        yield Evidence(f"tags of its {word}", ", ".join(keys))
    yield Evidence("start", _iso(app.started), at=app.started)
    same = "none that differs from its last health check" if app.checked is not None else None
    yield evidence("last activity of its user", app.activity, _shown(app.activity) or same)
    if app.checked is not None:
        yield Evidence("last health check", _iso(app.checked), at=app.checked)
    if app.type == CANVAS:
        yield evidence("idle time that Canvas published", app.idle, _told(app, now))
    else:
        yield evidence("last line in its log", app.log, _shown(app.log))
    if app.type in idle_shutdown.TYPES:
        after = app.shutdown
        shown = f"after {ago(after.value)}" if isinstance(after, Value) else "off"
        yield evidence("Studio's own idle shutdown", after, shown)


def _told(app: App, now: datetime) -> str | None:
    if not isinstance(app.idle, Value) or app.idle.at is None:
        return None
    stale = "" if _fresh_idle(app, now) else ", too long ago to count"
    return f"{ago(app.idle.value)} at {_iso(app.idle.at)}{stale}"


def _shown(signal: Signal[datetime]) -> str | None:
    return _iso(signal.value) if isinstance(signal, Value) else None


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _when(sign: Sign, now: datetime) -> str:
    """The sign and its age; clocks differ, and a sweep takes a while: it may be newer than *now*."""
    if sign.at > now:
        return f"the last sign of use was {sign.what} at {_iso(sign.at)}, which is after this sweep began"
    return f"the last sign of use was {sign.what} {ago(now - sign.at)} ago"
