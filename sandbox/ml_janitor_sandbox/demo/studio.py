"""The demo's Studio: two domains, the people in them, and apps that are in use, left on, or looked after."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from ml_janitor_sandbox.demo.plan import ACCOUNT, Plan, sagemaker_arn
from ml_janitor_sandbox.demo.rows import Ago, Row, load, look_up
from ml_janitor_sandbox.demo.times import ago, workday
from ml_janitor_sandbox.demo.traffic import Series, moments

DETECTOR = "idle-studio-apps"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-studio"
LOG_GROUP = "/aws/sagemaker/studio"
ACTIVITY = "/aws/sagemaker/Canvas/AppActivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain(Row):
    """
    A Studio domain, made *age* days ago; idle apps are shut down after so many *minutes*, or never.

    The *identifier* is what the sandbox makes of the name and of how many domains there were before.
    """

    identifier: str
    age: float
    minutes: int | None = None

    def plan(self, plan: Plan) -> None:
        settings: dict[str, Any] = {"ExecutionRole": ROLE}
        idle: dict[str, Any] = {"LifecycleManagement": "DISABLED"}
        if self.minutes is not None:
            idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": self.minutes}
        for kind in ("JupyterLabAppSettings", "CodeEditorAppSettings"):
            settings[kind] = {"AppLifecycleManagement": {"IdleSettings": idle}}
        self.make(
            *(plan, workday(self.age, self.name), "domain"),
            AuthMode="SSO",
            DefaultUserSettings=settings,
            SubnetIds=["subnet-0a1b2c3d4e5f60718"],
            VpcId="vpc-0f1e2d3c4b5a69788",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class App(Row):
    """
    One app, *started* by its owner in a space of some name; Canvas and servers have a profile instead.

    *active* is when SageMaker saw its user last; None is what it mostly says: the time of its own
    health check. *logged* is the last line in the app's log. Where an editor on another machine has been
    *connected*, its space lets such editors in. *minutes* is the time of its space's own idle shutdown.
    """

    domain: Annotated[Domain, BeforeValidator(lambda name: look_up(DOMAINS, name, "domain"))]
    app: str
    instance: str | None = None
    started: Ago
    active: Ago | None = None
    logged: Ago | None = None
    connected: Ago | None = None
    minutes: int | None = None
    deleted: Ago | None = None

    @property
    def person(self) -> str:
        """Return the user profile, which may not hold dots."""
        return self.creator.replace(".", "-")

    @property
    def arn(self) -> str:
        return sagemaker_arn("app", f"{self._owner[1]}/{self.app.lower()}/default")

    @property
    def _owner(self) -> tuple[dict[str, str], str]:
        """Return the space or the user profile of the app, as parameters and as a path."""
        if self.app in {"Canvas", "JupyterServer"}:
            return {"UserProfileName": self.person}, f"{self.domain.identifier}/{self.person}"
        return {"SpaceName": self.name}, f"{self.domain.identifier}/{self.name}"

    @property
    def path(self) -> str:
        """Return its space or profile, its type and its name: the key by which the sandbox knows it."""
        return f"{self._owner[1]}/{self.app}/default"

    @property
    def identity(self) -> dict[str, str]:
        """Return the parameters that identify it in a call."""
        where = {"DomainId": self.domain.identifier, **self._owner[0]}
        return where | {"AppType": self.app, "AppName": "default"}

    def plan(self, plan: Plan) -> None:
        """Add the app and what it runs in."""
        by, where = self.creator, {"DomainId": self.domain.identifier}
        parameters, _ = self._owner
        if "SpaceName" in parameters:
            settings: dict[str, Any] = {"AppType": self.app}
            if self.connected:
                settings["RemoteAccess"] = "ENABLED"
            if self.minutes is not None:
                idle = {"IdleSettings": {"IdleTimeoutInMinutes": self.minutes}}
                settings[f"{self.app}AppSettings"] = {"AppLifecycleManagement": idle}
            plan.call(
                self.started - timedelta(days=40),
                by,
                "sagemaker.create_space",
                **where,
                **parameters,
                OwnershipSettings={"OwnerUserProfileName": self.person},
                SpaceSharingSettings={"SharingType": "Private"},
                SpaceSettings=settings,
                Tags=self.tags(),
            )
        app = {"AppType": self.app, "AppName": "default"}
        rented = {"ResourceSpec": {"InstanceType": self.instance}} if self.instance else {}
        tags = self.tags()
        plan.call(self.started, by, "sagemaker.create_app", **where, **parameters, **app, **rented, Tags=tags)
        if self.connected is not None:
            plan.call(self.connected, by, "sagemaker.start_session", ResourceIdentifier=self.arn)
        if self.deleted is not None:
            plan.call(self.deleted, by, "sagemaker.delete_app", **where, **parameters, **app)
        self._use(plan, self.path)

    def _use(self, plan: Plan, path: str) -> None:
        """Leave the traces of its use."""
        if self.app == "Canvas":
            if self.active is not None:
                where = {"DomainId": self.domain.identifier, "UserProfileName": self.person}
                plan.publish(ACTIVITY, "TimeSinceLastActive", where, self._idle(self.active))
        elif self.deleted is None:
            checked = ago(minutes=2)
            seen = self.active or checked
            plan.state("apps", path, LastHealthCheckTimestamp=checked, LastUserActivityTimestamp=seen)
        if self.logged is not None:
            plan.write(LOG_GROUP, path, self._log(self.logged))

    def _idle(self, active: datetime) -> Series:
        """Return for how many seconds nobody has been there, every five minutes."""
        step = timedelta(minutes=5)
        values = tuple((moment - active).total_seconds() for moment in moments(active, step))
        return Series(active, step, values)

    def _log(self, last: datetime) -> Iterator[tuple[datetime, str]]:
        for number in range(8, -1, -1):
            at = last - timedelta(minutes=11 * number)
            yield at, f"[I {at:%Y-%m-%d %H:%M:%S}.000 ServerApp] Saving file at /{self.name}.ipynb"


def plan_profiles(plan: Plan) -> None:
    """Make a user profile for everyone who has an app, in each domain that they have one in."""
    first = {(app.domain.identifier, app.person): app for app in reversed(APPS)}
    for (identifier, person), app in first.items():
        plan.call(
            workday(app.domain.age - 10, f"{identifier}/{person}"),
            app.creator,
            "sagemaker.create_user_profile",
            DomainId=identifier,
            UserProfileName=person,
            Tags=app.tags(),
        )


DOMAINS = {domain.name: domain for domain in load("domains.toml", Domain)}
APPS = load("apps.toml", App)
