"""Studio apps in which nobody works: the signals of use, the rule, deleting and creating again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from ml_janitor.aws import activity, studio_apps, tags
from ml_janitor.aws.activity import Metric
from ml_janitor.aws.calls import Listing, ensure, required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import STUDIO_COMPONENTS, Price
from ml_janitor.aws.sagemaker_kinds import APP, texts_in
from ml_janitor.aws.studio_apps import (
    APP_DELETED,
    APP_IN_SERVICE,
    APP_NOT_FOUND,
    CANVAS,
    CODE_EDITOR,
    IDLE_SHUTDOWN_APPS,
    JUPYTER_LAB,
    KERNEL_GATEWAY,
    SYSTEM_INSTANCE,
    StudioApp,
    list_apps,
)
from ml_janitor.aws.tags import Arn
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Cost,
    Effect,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
    map_signal,
)
from ml_janitor.core.text import format_iso
from ml_janitor.engine.detector import (
    CannotActError,
    Cleanup,
    Detector,
    Grant,
    NotFinishedError,
    Steps,
    allow,
    allow_each,
    implied_grant,
    with_log_grants,
)

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


# --- deleting and creating again ------------------------------------------------------------------
#
# Deletes Studio apps and creates them again. "Already so" is success; after
# a lost answer it reads the status.

_APP_KEY_MEMBERS = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
_APP_SETTINGS = ("ResourceSpec", "RecoveryMode")
"""Further members of DescribeApp that CreateApp takes."""

_APP_DELETING, _APP_PENDING = "Deleting", "Pending"
_APP_OFF = frozenset({_APP_DELETING, APP_DELETED})
_APP_ON = frozenset({APP_IN_SERVICE, _APP_PENDING})

_APP_REFUSED = (*APP_NOT_FOUND, "ResourceInUse", "ValidationException")
"""
AWS's error codes for an app that is not in the state that a call needs.

A second DeleteApp answers ValidationException, "has already been deleted" (hashicorp/terraform-provider-aws
takes it for success too); the others are in the operations' models.
"""


def prepare_app(aws: Aws, app: StudioApp) -> dict[str, Any]:
    """
    Return the arguments of CreateApp for *app*. Raises CannotActError if
    it does not run, and ReadError.
    """
    answer = aws.sagemaker.describe_app(**app.key)  # type: ignore[arg-type]
    if answer["Status"] != APP_IN_SERVICE:
        raise CannotActError(f"its status is {answer['Status']} now")
    own = required_value(tags.read_sagemaker_tags(aws, answer["AppArn"])) or {}
    given: Mapping[str, Any] = answer
    request = {member: given[member] for member in (*_APP_KEY_MEMBERS, *_APP_SETTINGS) if given.get(member)}
    return request | tags.tags_argument(tags.settable_tags(own))


def delete_app(aws: Aws, target: Target, request: Mapping[str, Any]) -> None:
    """Delete it. A second try after a lost answer may find it being deleted, or gone: that is success."""
    ensure(
        lambda: aws.sagemaker.delete_app(**_key(request)), lambda: is_app_off(aws, target), codes=_APP_REFUSED
    )


def is_app_off(aws: Aws, target: Target) -> bool:
    """
    Return whether *target* is deleted, or about to be; other apps of its name do not count.

    An app that a complete listing does not show is gone: deleted apps leave the
    listing after a day. Raises ReadError.
    """
    listing = list_apps(aws, DomainIdEquals=Arn.parse(target.arn).name.partition("/")[0])
    for app in listing.items:
        if app.target.arn.lower() == target.arn.lower() and app.started == target.created:
            return app.status in _APP_OFF
    listing.check()
    return True


def create_app(aws: Aws, request: Mapping[str, Any]) -> None:
    """
    Create it again, unless an app of its name runs already: that app is its user's own.

    Raises NotFinishedError while the old app is still being deleted.
    """
    if is_app_on(aws, request):
        return
    ensure(lambda: aws.sagemaker.create_app(**request), lambda: is_app_on(aws, request), codes=_APP_REFUSED)


def is_app_on(aws: Aws, request: Mapping[str, Any]) -> bool:
    """
    Return whether an app of this name runs or is about to. Raises
    NotFinishedError while it is being deleted.
    """
    app = unless_gone(lambda: aws.sagemaker.describe_app(**_key(request)), APP_NOT_FOUND)
    if app is None:
        return False
    status = app["Status"]
    if status == _APP_DELETING:
        raise NotFinishedError("it is still being deleted, which takes minutes")
    return status in _APP_ON


def _key(request: Mapping[str, Any]) -> Any:
    return {member: request[member] for member in _APP_KEY_MEMBERS if member in request}


#
# The detector of Studio apps that run on after their user went home.

# --- signs of use ---------------------------------------------------------------------------------


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
    idle = studio_apps.fresh_idle_time(app.idle, now)
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
        yield AppSign(what, max(began, min(began + SESSION_LASTS, now)))
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
    if studio_apps.fresh_idle_time(app.idle, now) is None:
        return (
            f"Canvas published no idle time of its user in the last {format_age(studio_apps.STALE_IDLE_TIME)}"
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
    unread = isinstance(app.log, activity.LogNotRead)
    shown = not unread and (isinstance(app.activity, Value) or _arrives(app))
    if shown or studio_apps.fresh_idle_time(app.idle, now):
        return None
    since = "nothing was written to its log since it started"
    written = "it has no log" if isinstance(app.log, Absent) else since
    told = f"AWS reports only health checks, not user activity, and {written}"
    if unread:
        told = f"its log is not read ({activity.LOGS_NOT_READ}), nor does its space publish its idle time"
    return f"{told}, so nothing shows whether anybody works in it"


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
        f"idle time that {publisher} published", app.idle, studio_apps.idle_time_text(app.idle, now)
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


# --- the detector ---------------------------------------------------------------------------------

_STOP_APP_ACTION = "stop the app (its space and volume stay; memory and running terminals do not)"

_JUDGED_TYPES = (JUPYTER_LAB, CODE_EDITOR, KERNEL_GATEWAY, CANVAS)
"""The apps that cost money while nobody uses them, and can be deleted; others are free, or shared."""

_REPORTED_TYPES = ("RSessionGateway", "TensorBoard", "DetailedProfiler")
"""Apps on billed instances whose use only their logs show: the janitor only reports them."""

_ONLY_REPORTED_REASON = "nothing shows whether somebody uses an app of this type but its log"

_IDLE_TIME_PROOF = "let its space publish its idle time (janitor docs notebook-activity)"
_SHUTDOWN_HINT = "Studio's own idle shutdown would stop it from inside"

_APP_PATIENCE = timedelta(hours=4)

_SHUTDOWN_TIMEOUTS = 2
"""Number of its timeouts after which Studio's own idle shutdown counts as not working."""


_CANVAS_IDLE_METRIC = partial(
    studio_apps.idle_metric, "/aws/sagemaker/Canvas/AppActivity", "TimeSinceLastActive"
)
"""Dimensions: DomainId and UserProfileName (aws-samples, sagemaker-canvas-auto-shutdown-on-idle)."""


@dataclass(frozen=True)
class IdleStudioApps(Detector[StudioApp]):
    """
    Stops Studio apps that nobody works in any more.

    The time of user activity that AWS tells counts only where a health check has not overwritten it;
    then the app's log speaks. Where Studio's own idle shutdown is on, it is given the time to work.
    """

    name = "idle-studio-apps"
    schedule = "rate(1 hour)"
    kinds = (APP.type,)
    cleanup = Cleanup(
        effect=Effect.STOP,
        grace=timedelta(days=1),
        act_on=Confidence.PROVEN,
        lost="what the app held in memory, its running terminals and kernels",
    )
    always_reads = (
        *allow_each("sagemaker", "ListApps", "ListSpaces"),
        allow("sagemaker:DescribeApp", on="app/*"),
        allow("sagemaker:DescribeDomain", on="domain/*"),
        allow("sagemaker:DescribeUserProfile", on="user-profile/*"),
        allow("sagemaker:DescribeSpace", on="space/*"),
        *(allow("sagemaker:ListTags", on=f"{kind}/*") for kind in ("app", "space", "user-profile")),
        allow("tag:GetResources"),
        allow("logs:DescribeLogStreams", on=f"log-group:{studio_apps.STUDIO_LOG_GROUP}:*"),
        allow("cloudwatch:GetMetricData"),
        allow("cloudtrail:LookupEvents"),
        allow("pricing:GetProducts"),
    )
    acts = (allow("sagemaker:DeleteApp", on="app/*"),)
    undoes = (
        *allow_each("sagemaker", "DescribeApp", "CreateApp", on="app/*"),
        implied_grant(
            "sagemaker:AddTags",
            on="app/*",
            source="Service Authorization Reference, Amazon SageMaker AI, CreateApp: dependent actions",
        ),
    )

    patience: Mapping[str, timedelta] = field(
        default_factory=partial(dict, dict.fromkeys(_JUDGED_TYPES, _APP_PATIENCE))
    )
    read_logs: bool = True

    @property
    def reads(self) -> tuple[Grant, ...]:
        """The permissions to read signs of use, among them the logs if `read_logs` says so."""
        return with_log_grants(self.always_reads, studio_apps.STUDIO_LOG_GROUP, read=self.read_logs)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.patience) - set(_JUDGED_TYPES)):
            raise ValueError(f"patience: no app type {unknown[0]}; there are {', '.join(_JUDGED_TYPES)}")

    def find(self, aws: Aws, now: datetime) -> Iterator[StudioApp]:
        listing = studio_apps.list_apps(aws)
        apps: list[StudioApp] = list(listing.items)
        if any(app.status == APP_IN_SERVICE for app in apps):
            apps = studio_apps.add_app_tags(aws, apps)
            apps = studio_apps.merge_apps(apps, self._read(aws, self._open(apps, now), now))
        yield from apps
        listing.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> StudioApp | None:
        app = studio_apps.find_app_again(aws, target)
        if app is None or _never_stopped(app) is not None:
            return app
        (app,) = studio_apps.describe_apps(aws, [app])
        written = studio_apps.read_written_streams(aws, now - self._allowed(app))
        app = app.wrote(written.value) if isinstance(written, Value) else app
        return self._signs_of(aws, [studio_apps.read_app_tags(aws, app)], now)[0]

    def _read(self, aws: Aws, apps: Sequence[StudioApp], now: datetime) -> list[StudioApp]:
        """
        Return *apps* with signs of use: the cheap sign first, then each other
        for the apps that it leaves open.
        """
        if not apps:
            return []
        since = now - max(self._allowed(app) for app in apps)
        written = studio_apps.read_written_streams(aws, since)
        apps = [app.wrote(written.value) for app in apps] if isinstance(written, Value) else list(apps)
        read = studio_apps.describe_apps(aws, self._open(apps, now))
        return studio_apps.merge_apps(apps, self._signs_of(aws, read, now))

    def _signs_of(self, aws: Aws, apps: Sequence[StudioApp], now: datetime) -> list[StudioApp]:
        """Return described *apps* with their logs and metrics, and the settings of their idle shutdown."""
        open_ = self._open(apps, now)
        written = [app for app in open_ if app.type != CANVAS]
        group = studio_apps.STUDIO_LOG_GROUP
        lines = aws.map(
            lambda app: activity.last_log_event(aws, group, app.stream, read=self.read_logs), written
        )
        logged = [replace(app, log=line) for app, line in zip(written, lines, strict=True)]
        canvas = [app for app in open_ if app.type == CANVAS]
        with_idle = _with_idle_times(aws, [*self._open(logged, now), *canvas], now)
        apps = studio_apps.merge_apps(apps, [*logged, *with_idle])
        quiet = read_own_shutdown(aws, self._open(with_idle, now))
        since = now - max((self._given(app) for app in quiet if app.remote), default=_APP_PATIENCE)
        reached = read_remote_sessions(aws, quiet, since, now)
        return studio_apps.merge_apps(apps, [replace(app, price=_price(aws, app)) for app in reached])

    def decide(self, candidate: StudioApp, now: datetime) -> Verdict:
        rule = Rule()
        rule.saw(*app_evidence(candidate, now))
        if (why := _never_stopped(candidate)) is not None:
            return rule.kept(why)
        rule.passed(f"it is a {candidate.type} app in service, on an instance that costs money")
        last, allowed = last_app_sign(candidate, now), self._allowed(candidate)
        quiet = last.words(now)
        if now - last.at < allowed:
            return rule.kept(f"{quiet}; {format_age(allowed)} are allowed")
        rule.passed(quiet)
        published = studio_apps.fresh_idle_time(candidate.idle, now)
        if candidate.type != CANVAS and published is not None and published.value < allowed:
            return rule.kept(f"it says itself that it has been idle for only {format_age(published.value)}")
        if (why := why_app_unknown(candidate, now)) is not None:
            return rule.unknown(why)
        reason = f"{quiet}; {format_age(allowed)} are allowed"
        if isinstance(candidate.shutdown, Value):
            after = candidate.shutdown.value
            if now - last.at < _SHUTDOWN_TIMEOUTS * after:
                return rule.kept(
                    f"{quiet}; Studio's own idle shutdown has "
                    f"{format_age(_SHUTDOWN_TIMEOUTS * after)} to stop it"
                )
            reason += (
                f"; Studio's own idle shutdown should have stopped it after {format_age(after)}, and did not"
            )
        proven = candidate.type == CANVAS or (published is not None and not candidate.remote)
        rule.passed("its own idle time says so" if proven else "nothing shows use, but a kernel may compute")
        to_prove = "" if proven or candidate.space is None or candidate.remote else _IDLE_TIME_PROOF
        if to_prove:
            rule.saw(Evidence("what would prove it", to_prove))
        if candidate.type in IDLE_SHUTDOWN_APPS and not isinstance(candidate.shutdown, Value):
            rule.saw(Evidence("what would do without this", _SHUTDOWN_HINT))
        return rule.found(
            reason,
            Confidence.PROVEN if proven else Confidence.LIKELY,
            action=_STOP_APP_ACTION,
            cost=Cost.standing(candidate.price.hourly_usd, candidate.price.source),
            since=last.at,
            spared=_ONLY_REPORTED_REASON if candidate.type in _REPORTED_TYPES else None,
            to_prove=to_prove,
        )

    def prepare(self, aws: Aws, candidate: StudioApp, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return prepare_app(aws, candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("delete", lambda: delete_app(aws, target, record))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return is_app_off(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("create", lambda: create_app(aws, record))

    def _given(self, app: StudioApp) -> timedelta:
        """Return the age up to which a sign of use counts: Studio's own idle shutdown gets its time too."""
        after = app.shutdown.value if isinstance(app.shutdown, Value) else timedelta()
        return min(max(self._allowed(app), _SHUTDOWN_TIMEOUTS * after), activity.EVENT_RETENTION)

    def _allowed(self, app: StudioApp) -> timedelta:
        """Return the time for which an app of this type may be unused."""
        return self.patience.get(app.type, _APP_PATIENCE)

    def _open(self, apps: Sequence[StudioApp], now: datetime) -> list[StudioApp]:
        """Return the *apps* that nothing read so far keeps."""
        return [
            app
            for app in apps
            if _never_stopped(app) is None and now - last_app_sign(app, now).at >= self._allowed(app)
        ]


def _price(aws: Aws, app: StudioApp) -> Price:
    if app.type == CANVAS:
        return Price(None, "Canvas is billed by the session, which no instance price tells")
    if app.instance_type is None:
        return Price(None, "nothing says which instance it runs on")
    return aws.prices.hourly(aws.region, STUDIO_COMPONENTS.get(app.type, "JupyterLab"), app.instance_type)


def _never_stopped(app: StudioApp) -> str | None:
    """Return why it is kept whatever its user does, or None."""
    if app.status != APP_IN_SERVICE:
        return f"its status is {app.status}, not {APP_IN_SERVICE}"
    if app.type not in (*_JUDGED_TYPES, *_REPORTED_TYPES):
        return f"it is a {app.type} app; only {', '.join((*_JUDGED_TYPES, *_REPORTED_TYPES))} apps are judged"
    if app.instance_type == SYSTEM_INSTANCE and app.type != CANVAS:
        return "it runs on the system instance, which is free"
    if app.reserved:
        return "it runs on the reserved capacity of a training plan, which is paid for without it too"
    return None


def _with_idle_times(aws: Aws, apps: Sequence[StudioApp], now: datetime) -> list[StudioApp]:
    """Return *apps* with their newest published idle time."""
    found = studio_apps.read_idle_times(
        aws, {app.target.key: metric for app in apps if (metric := _metric(app)) is not None}, now
    )
    return [replace(app, idle=found.get(app.target.key, Absent())) for app in apps]


def _metric(app: StudioApp) -> Metric | None:
    """Return the metric of *app*'s idle time, if it may have one."""
    if app.type == CANVAS and app.profile:
        return _CANVAS_IDLE_METRIC(DomainId=app.domain, UserProfileName=app.profile)
    if app.type != CANVAS and app.space:
        return studio_apps.janitor_idle_metric(DomainId=app.domain, SpaceName=app.space)
    return None
