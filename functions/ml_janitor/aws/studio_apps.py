"""
Read Studio apps: their state, owner, space and tags, and how long they have been idle.

Notebook instances, spaces and Canvas publish an idle time. Studio may end idle apps itself: the settings of
domains, user profiles and spaces say after how long.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import activity, sagemaker_kinds, tags
from ml_janitor.aws.activity import Metric
from ml_janitor.aws.calls import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import WantedDescription, describe_unchanged
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import APP, list_kind
from ml_janitor.aws.tags import Arn, target_in
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    NotRead,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    map_signal,
)
from ml_janitor.core.ownership import MANAGER_KEYS, NEGATIONS, managing_tool, normalised_key
from ml_janitor.core.text import format_iso

APP_IN_SERVICE, APP_DELETED = "InService", "Deleted"
SYSTEM_INSTANCE = "system"
"""The instance type of apps that cost nothing."""

RESERVED_MEMBER = "TrainingPlanArn"
"""The member of ResourceSpec that means reserved capacity of a training plan."""

KERNEL_GATEWAY, CANVAS = "KernelGateway", "Canvas"

STUDIO_LOG_GROUP = "/aws/sagemaker/studio"

APP_NOT_FOUND = ("ResourceNotFound",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioApp(Candidate):
    """
    An app of Studio, which runs for a user profile, or in a space.

    *profile* is the user profile that it runs for, or the owner of its *space*; shared spaces have none.
    *inherited* are the keys of the tags from its space or its profile. *activity* is when its user was
    last active, if a health check has not overwritten it; *log* is the time of its last log line, *idle*
    the idle time that Canvas or its space published, with the time of that datapoint. *shutdown* is the
    idle time after which Studio itself stops it. A *reserved* app runs on the capacity of a training
    plan, which was paid for in advance. *arn* is its ARN as AWS wrote it, once it was described. *remote*
    tells whether its space lets editors on other machines connect, *session* when an editor last
    connected.
    """

    domain: str
    type: str
    status: str
    profile: str | None
    space: str | None
    instance_type: str | None
    started: datetime
    reserved: bool = False
    inherited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    activity: Signal[datetime] = field(default_factory=NotRead)
    checked: datetime | None = None
    log: Signal[datetime] = field(default_factory=NotRead)
    idle: Signal[timedelta] = field(default_factory=NotRead)
    shutdown: Signal[timedelta] = field(default_factory=NotRead)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))
    arn: str = ""
    remote: bool = False
    session: Signal[datetime] = field(default_factory=NotRead)

    @property
    def owner(self) -> str:
        """Return the space or user profile as in its ARN and its log stream."""
        return self.space or self.profile or ""

    @property
    def app_name(self) -> str:
        """Return its own name, most often "default"."""
        return self.target.name.rpartition("/")[2]

    @property
    def stream(self) -> str:
        """Return the name of its log stream; its lifecycle script's stream begins alike."""
        return f"{self.domain}/{self.owner}/{self.type}/{self.app_name}"

    @property
    def key(self) -> dict[str, str]:
        """Return the parameters of operations on the app."""
        owner = {"SpaceName": self.space} if self.space else {"UserProfileName": self.profile or ""}
        return {"DomainId": self.domain, "AppType": self.type, "AppName": self.app_name} | owner

    def wrote(self, written: Mapping[str, datetime]) -> StudioApp:
        """
        Return the app with the time of its last log line, if its stream is among
        those lately *written* (in lower case).
        """
        at = None if self.type == CANVAS else written.get(self.stream.lower())
        return self if at is None else replace(self, log=Value(at, activity.DESCRIBE_LOG_STREAMS, at))


def read_written_streams(aws: Aws, since: datetime) -> Signal[dict[str, datetime]]:
    """
    Return the log streams of apps written at or after *since*, in lower case, with the time of their newest
    line.

    A space has a stream for each spelling of its name in capitals and small letters.
    """
    active = activity.active_streams(aws, STUDIO_LOG_GROUP, since)
    return map_signal(
        active,
        lambda found: {stream.lower(): found[stream] for stream in sorted(found, key=found.__getitem__)},
    )


def list_apps(aws: Aws, **only: str) -> Listing[StudioApp]:
    """List every app, also those deleted in the last day, 100 a page; *only* filters, such as by domain."""
    return list_kind(aws, APP, lambda entry: _app(aws, entry), **only)


def _app(aws: Aws, entry: Any) -> StudioApp:
    """
    Convert an entry of the listing, which has no ARN.

    AWS writes the type of an app in its ARN in both ways: JupyterServer, but codeeditor. Identity must
    not depend on whether an app was described, so the type is always in lower case here.
    """
    space, profile = entry.get("SpaceName"), entry.get("UserProfileName")
    kind, name, domain = entry["AppType"], entry["AppName"], entry["DomainId"]
    owner = space or profile or ""
    arn = aws.arn("sagemaker", f"app/{domain}/{owner}/{kind.lower()}/{name}")
    return StudioApp(
        target=target_in(aws, arn, f"{owner}/{kind}/{name}", APP.type, entry["CreationTime"]),
        domain=domain,
        type=kind,
        status=entry["Status"],
        profile=profile,
        space=space,
        instance_type=entry.get("ResourceSpec", {}).get("InstanceType"),
        reserved=RESERVED_MEMBER in entry.get("ResourceSpec", {}),
        started=entry["CreationTime"],
    )


def find_app_again(aws: Aws, target: Target) -> StudioApp | None:
    """
    Return the app *target* as it is listed now, or None if it is gone.

    An ARN does not tell a user profile from a space, and may have lost its capitals, so the janitor lists
    the domain's apps. If several apps have the ARN, the app of that creation time is
    meant, else the newest existing app. Raises ReadError.
    """
    domain = Arn.parse(target.arn).name.partition("/")[0]
    every = list_apps(aws, DomainIdEquals=domain)
    same = [app for app in every.items if app.target.arn.lower() == target.arn.lower()]
    if not same:
        every.check()
        return None
    return max(same, key=lambda app: (app.started == target.created, app.status != APP_DELETED, app.started))


def describe_apps(aws: Aws, apps: Sequence[StudioApp]) -> list[StudioApp]:
    """Describe *apps*: return them with their users' activity, and the current status, instance and ARN."""
    answers = aws.map(
        lambda app: read_signal(
            lambda: _described(app, aws.sagemaker.describe_app(**app.key)),  # type: ignore[arg-type]
            source=APP.describes,
            absent=APP_NOT_FOUND,
        ),
        apps,
    )
    return [_read(app, answer) for app, answer in zip(apps, answers, strict=True)]


def _read(app: StudioApp, answer: Signal[StudioApp]) -> StudioApp:
    match answer:
        case Value(read):
            return read
        case Unreadable():
            return replace(app, activity=answer)
        case _:
            return replace(app, status=APP_DELETED)


def _described(app: StudioApp, answer: Any) -> StudioApp:
    """
    Return *app* with its description; user activity counts only if it differs from the last health check.

    The time "is also updated when SageMaker AI performs health checks without user activity. As a result,
    this value is set to the same value as LastHealthCheckTimestamp" (API reference of DescribeApp).
    """
    active, checked = answer.get("LastUserActivityTimestamp"), answer.get("LastHealthCheckTimestamp")
    distinct = active is not None and checked is not None and active != checked
    return replace(
        app,
        arn=answer["AppArn"],
        status=answer["Status"],
        instance_type=answer.get("ResourceSpec", {}).get("InstanceType") or app.instance_type,
        reserved=app.reserved or RESERVED_MEMBER in answer.get("ResourceSpec", {}),
        activity=Value(active, APP.describes, active) if distinct else Absent(APP.describes),
        checked=checked,
    )


def merge_apps(apps: Sequence[StudioApp], read: Sequence[StudioApp]) -> list[StudioApp]:
    """Return *apps*, with those that were *read* again in their places."""
    newer = {app.target.key.lower(): app for app in read}
    return [newer.get(app.target.key.lower(), app) for app in apps]


# --- tags -----------------------------------------------------------------------------------------
#
# An app inherits tags from its space and its user profile.

FROM_SPACE, FROM_PROFILE = "space", "user profile"

type SpaceOwners = Signal[Mapping[tuple[str, str], str | None]]
"""The user profile that owns each space, by domain and name; None for a shared space."""


def add_app_tags(aws: Aws, apps: Sequence[StudioApp]) -> list[StudioApp]:
    """Return *apps* with the user profiles that own their spaces, and with all their tags."""
    book = tags.read_tag_book(aws, "sagemaker:app", "sagemaker:space", "sagemaker:user-profile")
    owners = _owners(aws) if any(app.space for app in apps) else NotRead()
    owned = [_owned(app, owners) for app in apps]
    return [
        _tagged(
            app, book.of(app.target.arn), {word: book.of(arn) for word, arn in _above(app).items()}, owners
        )
        for app in owned
    ]


def read_app_tags(aws: Aws, app: StudioApp) -> StudioApp:
    """Return *app* with owner and current tags; it must have been described, for its ARN as AWS writes it."""
    owners = _owners(aws, DomainIdEquals=app.domain) if app.space else NotRead()
    owned = _owned(app, owners)
    above = _above(owned)
    own, *others = aws.map(
        lambda arn: tags.read_sagemaker_tags(aws, arn), [app.arn or app.target.arn, *above.values()]
    )
    return _tagged(owned, own, dict(zip(above, others, strict=True)), owners)


def _owners(aws: Aws, **only: str) -> SpaceOwners:
    spaces = sagemaker_kinds.list_kind(
        aws,
        sagemaker_kinds.SPACE,
        lambda space: (
            (space["DomainId"], space["SpaceName"]),
            space.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName"),
        ),
        **only,
    )
    if spaces.error is not None:
        return Unreadable(spaces.error, sagemaker_kinds.SPACE.lists)
    return Value(dict(spaces.items), sagemaker_kinds.SPACE.lists)


def _owned(app: StudioApp, owners: SpaceOwners) -> StudioApp:
    if app.space is None or not isinstance(owners, Value):
        return app
    return replace(app, profile=owners.value.get((app.domain, app.space)))


def _above(app: StudioApp) -> dict[str, str]:
    """Return the ARNs of the app's space and profile, the nearest first."""
    root = app.target.arn.partition(":app/")[0]
    named = {FROM_SPACE: ("space", app.space), FROM_PROFILE: ("user-profile", app.profile)}
    return {word: f"{root}:{kind}/{app.domain}/{name}" for word, (kind, name) in named.items() if name}


def _tagged(
    app: StudioApp, own: Signal[Tags], above: Mapping[str, Signal[Tags]], owners: SpaceOwners
) -> StudioApp:
    """Return *app* with its tags. If any source is unreadable, so are its tags: a keep tag may be there."""
    needed = [own, *above.values(), *([owners] if app.space else [])]
    broken = next((signal for signal in needed if isinstance(signal, Unreadable)), None)
    if broken is not None:
        return replace(app, target=replace(app.target, tags=broken))
    own_tags = own.value if isinstance(own, Value) else {}
    layers = {word: read.value for word, read in above.items() if isinstance(read, Value)}
    merged, inherited = inherit_tags(own_tags, layers)
    source = own.source if isinstance(own, Value) else ""
    target = replace(app.target, tags=Value(merged, source), tag_sources=tuple(_above(app).values()))
    return replace(app, target=target, inherited=inherited)


def inherit_tags(own: Tags, above: Mapping[str, Tags]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """
    Merge *own* tags and those *above*, the nearest first; return them and the keys' origins.

    AWS copies the tags of a user profile to apps only when they start (API reference of AddTags): without
    this merge, later tags would be missed, and a postponed date would not count.
    Under one key the nearer value holds, unless the farther value keeps longer.
    """
    merged = dict(own)
    inherited = {}
    for word, those in above.items():
        taken = {
            key: value
            for key, value in those.items()
            if not _of_itself(key, value) and _counts(value, merged.get(key))
        }
        merged |= taken
        if taken:
            inherited[word] = tuple(sorted(taken))
    return merged, inherited


def _of_itself(key: str, value: str) -> bool:
    """Return whether a tag of a space or profile is about its own management, not about the app in it."""
    return (
        key.lower().startswith("aws:")
        or normalised_key(key) in MANAGER_KEYS
        or managing_tool(key, value) is not None
    )


def _counts(far: str, near: str | None) -> bool:
    """Return whether to use *far*: there is no nearer value, or the nearer value keeps for a shorter time."""
    if near is None:
        return True
    if (until := _day(near)) is not None:
        return (other := _day(far)) is None or other > until
    if near.strip().lower() in NEGATIONS:
        return far.strip().lower() not in NEGATIONS
    return far.strip().lower() == "true" and near.strip().lower() != "true"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


# --- published idle times -------------------------------------------------------------------------

idle_metric = partial(Metric.of, stat="Minimum", period=60)
"""A metric of idle time, in seconds."""

janitor_idle_metric = partial(idle_metric, "MLJanitor/Notebooks", "IdleSeconds")
"""The metric that a notebook instance or a space may publish (docs/notebook-activity), by its dimensions."""

IDLE_TIME_WINDOW = timedelta(hours=3)
"""The time to look back: long enough to see that publishing stopped."""

STALE_IDLE_TIME = timedelta(minutes=30)
"""The age from which an idle time tells nothing about now."""

LONGEST_IDLE_TIME = timedelta(days=3650)
"""The longest idle time accepted: a script's value must fit into the calendar."""


def read_idle_times[K: Hashable](
    aws: Aws, wanted: Mapping[K, Metric], now: datetime
) -> dict[K, Signal[timedelta]]:
    """Return the newest idle time of each of the *wanted* metrics, with its time."""
    answers = activity.read_metrics(aws, wanted.values(), now - IDLE_TIME_WINDOW, now)
    return {key: _newest(answers[metric]) for key, metric in wanted.items()}


def _newest(signal: Signal[activity.MetricSeries]) -> Signal[timedelta]:
    if not isinstance(signal, Value):
        return signal
    at, seconds = max(signal.value.points)
    idle = timedelta(seconds=min(max(seconds, 0.0), LONGEST_IDLE_TIME.total_seconds()))
    return Value(idle, signal.source, at.astimezone(UTC))


def fresh_idle_time(idle: Signal[timedelta], now: datetime) -> Value[timedelta] | None:
    """Return *idle*, if it is new enough to count."""
    match idle:
        case Value(_, _, at) as found if at is not None and now - at <= STALE_IDLE_TIME:
            return found
        case _:
            return None


def idle_time_text(idle: Signal[timedelta], now: datetime) -> str | None:
    """Return *idle* for a report, if it has a value."""
    if not isinstance(idle, Value) or idle.at is None:
        return None
    return (
        f"{format_age(idle.value)} at "
        f"{format_iso(idle.at)}{'' if fresh_idle_time(idle, now) else ', too long ago to count'}"
    )


# --- Studio's own idle shutdown -------------------------------------------------------------------

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
    aws: Aws, places: Iterable[StudioPlace], source: str, keys: Mapping[StudioPlace, str] | None = None
) -> dict[StudioPlace, Signal[StudioSettings]]:
    """
    Describe each of *places* once, by *source*; a deleted place is unreadable, like a cut-off answer.

    With the *keys* of their states, kept descriptions count: these have the settings of idle shutdown alone.
    """
    once = list(dict.fromkeys(places))
    describe = PLACE_READERS[source]

    def read(aws: Aws, name: str) -> Signal[dict[str, Any]]:
        domain, _, own = name.partition("/")
        return read_signal(lambda: dict(describe(aws, (domain, own))), source=source)

    wanted = [WantedDescription("/".join(place), (keys or {}).get(place, "")) for place in once]
    kind = KEPT_PLACES.get(source)
    if kind is None or keys is None:
        answers = aws.map(lambda asked: read(aws, asked.name), wanted)
    else:
        answers = describe_unchanged(aws, kind, wanted, read)
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


KEPT_PLACES = {kind.describes: kind for kind in (sagemaker_kinds.USER_PROFILE, sagemaker_kinds.SPACE)}
"""The kinds of places whose descriptions may be kept."""

PLACE_READERS: Mapping[str, Callable[[Aws, StudioPlace], StudioSettings]] = {
    DESCRIBE_DOMAIN: _domain,
    DESCRIBE_PROFILE: _user_profile,
    DESCRIBE_SPACE: _space,
}
