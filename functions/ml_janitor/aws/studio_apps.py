"""Reads Studio apps: their state, owner and space, and their users' last activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws import logs
from ml_janitor.aws.answers import Listing, read_signal
from ml_janitor.aws.arns import Arn, target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import APP, list_kind
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value

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
        those lately *written*.
        """
        at = None if self.type == CANVAS else written.get(self.stream)
        return self if at is None else replace(self, log=Value(at, logs.DESCRIBE_LOG_STREAMS, at))


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
    the domain's apps. Of several apps with the ARN, the app of that creation time is meant, else the
    newest existing app. Raises ReadError.
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
