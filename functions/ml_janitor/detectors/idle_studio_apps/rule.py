"""Studio apps that run on after their user went home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import idle_time, logs, studio_tags, trail
from ml_janitor.aws import studio_apps as studio
from ml_janitor.aws.client import Aws
from ml_janitor.aws.idle_shutdown import CODE_EDITOR, JUPYTER_LAB, TYPES
from ml_janitor.aws.metrics import Metric
from ml_janitor.aws.prices import STUDIO, Price
from ml_janitor.aws.sagemaker_kinds import APP
from ml_janitor.aws.studio_apps import CANVAS, IN_SERVICE, KERNEL_GATEWAY, SYSTEM, App
from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Confidence, Effect, Rule, Target, Verdict
from ml_janitor.core.signals import Absent, Evidence, Value
from ml_janitor.detectors.idle_studio_apps import lifecycle as studio_apps
from ml_janitor.detectors.idle_studio_apps import own_shutdown, remote_sessions, signs
from ml_janitor.engine.detector import Cleanup, Detector, Steps, allow, allow_each, implied

ACTION = "stop the app (its space and volume stay; memory and running terminals do not)"

JUDGED = (JUPYTER_LAB, CODE_EDITOR, KERNEL_GATEWAY, CANVAS)
"""The apps that cost money while nobody uses them, and can be deleted; others are free, or shared."""

REPORTED = ("RSessionGateway", "TensorBoard", "DetailedProfiler")
"""Apps on billed instances whose use only their logs show: the janitor only reports them."""

ONLY_REPORTED = "nothing shows whether somebody uses an app of this type but its log"

TO_PROVE = "let its space publish its idle time (docs/notebook-activity)"
INSTEAD = "Studio's own idle shutdown would stop it from inside"

PATIENCE = timedelta(hours=4)

TIMES = 2
"""Number of its timeouts after which Studio's own idle shutdown counts as not working."""


OF_CANVAS = partial(idle_time.published, "/aws/sagemaker/Canvas/AppActivity", "TimeSinceLastActive")
"""Dimensions: DomainId and UserProfileName (aws-samples, sagemaker-canvas-auto-shutdown-on-idle)."""


@dataclass(frozen=True)
class IdleStudioApps(Detector[App]):
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
    reads = (
        *allow_each("sagemaker", "ListApps", "ListSpaces"),
        allow("sagemaker:DescribeApp", on="app/*"),
        allow("sagemaker:DescribeDomain", on="domain/*"),
        allow("sagemaker:DescribeUserProfile", on="user-profile/*"),
        allow("sagemaker:DescribeSpace", on="space/*"),
        *(allow("sagemaker:ListTags", on=f"{kind}/*") for kind in ("app", "space", "user-profile")),
        allow("tag:GetResources"),
        *allow_each("logs", "DescribeLogStreams", "GetLogEvents", on=f"log-group:{studio.LOG_GROUP}:*"),
        allow("cloudwatch:GetMetricData"),
        allow("cloudtrail:LookupEvents"),
        allow("pricing:GetProducts"),
    )
    acts = (allow("sagemaker:DeleteApp", on="app/*"),)
    undoes = (
        *allow_each("sagemaker", "DescribeApp", "CreateApp", on="app/*"),
        implied(
            "sagemaker:AddTags",
            on="app/*",
            source="Service Authorization Reference, Amazon SageMaker AI, CreateApp: dependent actions",
        ),
    )

    patience: Mapping[str, timedelta] = field(default_factory=partial(dict, dict.fromkeys(JUDGED, PATIENCE)))

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.patience) - set(JUDGED)):
            raise ValueError(f"patience: no app type {unknown[0]}; there are {', '.join(JUDGED)}")

    def find(self, aws: Aws, now: datetime) -> Iterator[App]:
        listing = studio.listed(aws)
        apps: list[App] = list(listing.items)
        if any(app.status == IN_SERVICE for app in apps):
            apps = studio_tags.in_bulk(aws, apps)
            apps = studio.merged(apps, self._read(aws, self._open(apps, now), now))
        yield from apps
        listing.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> App | None:
        app = studio.find_again(aws, target)
        if app is None or _never_stopped(app) is not None:
            return app
        (app,) = studio.described(aws, [app])
        return self._signs_of(aws, [studio_tags.of_one(aws, app)], now)[0]

    def _read(self, aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
        """
        Return *apps* with signs of use: the cheap sign first, then each other
        for the apps that it leaves open.
        """
        if not apps:
            return []
        since = now - max(self._allowed(app) for app in apps)
        active = logs.streams_active_since(aws, studio.LOG_GROUP, since)
        apps = [app.wrote(active.value) for app in apps] if isinstance(active, Value) else list(apps)
        read = studio.described(aws, self._open(apps, now))
        return studio.merged(apps, self._signs_of(aws, read, now))

    def _signs_of(self, aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
        """Return described *apps* with their logs and metrics, and the settings of their idle shutdown."""
        open_ = self._open(apps, now)
        written = [app for app in open_ if app.type != CANVAS]
        lines = aws.map(lambda app: logs.last_event(aws, studio.LOG_GROUP, app.stream), written)
        logged = [replace(app, log=line) for app, line in zip(written, lines, strict=True)]
        canvas = [app for app in open_ if app.type == CANVAS]
        with_idle = _with_idle_times(aws, [*self._open(logged, now), *canvas], now)
        apps = studio.merged(apps, [*logged, *with_idle])
        quiet = own_shutdown.read(aws, self._open(with_idle, now))
        since = now - max((self._given(app) for app in quiet if app.remote), default=PATIENCE)
        reached = remote_sessions.read(aws, quiet, since, now)
        return studio.merged(apps, [replace(app, price=_price(aws, app)) for app in reached])

    def decide(self, candidate: App, now: datetime) -> Verdict:
        rule = Rule()
        rule.saw(*signs.seen(candidate, now))
        if (why := _never_stopped(candidate)) is not None:
            return rule.kept(why)
        rule.passed(f"it is a {candidate.type} app in service, on an instance that costs money")
        last, allowed = signs.last(candidate, now), self._allowed(candidate)
        quiet = last.words(now)
        if now - last.at < allowed:
            return rule.kept(f"{quiet}; {ago(allowed)} are allowed")
        rule.passed(quiet)
        published = idle_time.fresh(candidate.idle, now)
        if candidate.type != CANVAS and published is not None and published.value < allowed:
            return rule.kept(f"it says itself that it has been idle for only {ago(published.value)}")
        if (why := signs.unknown(candidate, now)) is not None:
            return rule.unknown(why)
        reason = f"{quiet}; {ago(allowed)} are allowed"
        if isinstance(candidate.shutdown, Value):
            after = candidate.shutdown.value
            if now - last.at < TIMES * after:
                return rule.kept(f"{quiet}; Studio's own idle shutdown has {ago(TIMES * after)} to stop it")
            reason += f"; Studio's own idle shutdown should have stopped it after {ago(after)}, and did not"
        proven = candidate.type == CANVAS or (published is not None and not candidate.remote)
        rule.passed("its own idle time says so" if proven else "nothing shows use, but a kernel may compute")
        to_prove = "" if proven or candidate.space is None or candidate.remote else TO_PROVE
        if to_prove:
            rule.saw(Evidence("what would prove it", to_prove))
        if candidate.type in TYPES and not isinstance(candidate.shutdown, Value):
            rule.saw(Evidence("what would do without this", INSTEAD))
        return rule.found(
            reason,
            Confidence.PROVEN if proven else Confidence.LIKELY,
            action=ACTION,
            cost=Cost.standing(candidate.price.hourly_usd, candidate.price.source),
            since=last.at,
            spared=ONLY_REPORTED if candidate.type in REPORTED else None,
            to_prove=to_prove,
        )

    def prepare(self, aws: Aws, candidate: App, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return studio_apps.prepared(aws, candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("delete", lambda: studio_apps.delete(aws, target, record))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return studio_apps.is_off(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("create", lambda: studio_apps.create(aws, record))

    def _given(self, app: App) -> timedelta:
        """Return the age up to which a sign of use counts: Studio's own idle shutdown gets its time too."""
        after = app.shutdown.value if isinstance(app.shutdown, Value) else timedelta()
        return min(max(self._allowed(app), TIMES * after), trail.REMEMBERED)

    def _allowed(self, app: App) -> timedelta:
        """Return the time for which an app of this type may be unused."""
        return self.patience.get(app.type, PATIENCE)

    def _open(self, apps: Sequence[App], now: datetime) -> list[App]:
        """Return the *apps* that nothing read so far keeps."""
        return [
            app
            for app in apps
            if _never_stopped(app) is None and now - signs.last(app, now).at >= self._allowed(app)
        ]


def _price(aws: Aws, app: App) -> Price:
    if app.type == CANVAS:
        return Price(None, "Canvas is billed by the session, which no instance price tells")
    if app.instance_type is None:
        return Price(None, "nothing says which instance it runs on")
    return aws.prices.hourly(aws.region, STUDIO.get(app.type, "JupyterLab"), app.instance_type)


def _never_stopped(app: App) -> str | None:
    """Return why it is kept whatever its user does, or None."""
    if app.status != IN_SERVICE:
        return f"its status is {app.status}, not {IN_SERVICE}"
    if app.type not in (*JUDGED, *REPORTED):
        return f"it is a {app.type} app; only {', '.join((*JUDGED, *REPORTED))} apps are judged"
    if app.instance_type == SYSTEM and app.type != CANVAS:
        return "it runs on the system instance, which is free"
    if app.reserved:
        return "it runs on the reserved capacity of a training plan, which is paid for without it too"
    return None


def _with_idle_times(aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
    """Return *apps* with their newest published idle time."""
    found = idle_time.read(
        aws, {app.target.key: metric for app in apps if (metric := _metric(app)) is not None}, now
    )
    return [replace(app, idle=found.get(app.target.key, Absent())) for app in apps]


def _metric(app: App) -> Metric | None:
    """Return the metric of *app*'s idle time, if it may have one."""
    if app.type == CANVAS and app.profile:
        return OF_CANVAS(DomainId=app.domain, UserProfileName=app.profile)
    if app.type != CANVAS and app.space:
        return idle_time.OURS(DomainId=app.domain, SpaceName=app.space)
    return None
