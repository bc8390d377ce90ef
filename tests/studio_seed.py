"""Makes Studio domains in the sandbox, with apps of any age and state."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import boto3

from conftest import ACCOUNT, NOW
from ml_janitor_sandbox.control import Control
from sagemaker_requests import domain_request

GROUP = "/aws/sagemaker/studio"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/studio"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def spelled(tags: Mapping[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class Studio:
    """A domain of two users in the sandbox, with apps of any age and state."""

    def __init__(self, box: Control, session: boto3.Session, **settings: Any) -> None:
        self.box = box
        self.sagemaker: Any = session.client("sagemaker")
        with box.at(NOW - 60 * DAY):
            defaults: Any = {"ExecutionRole": ROLE} | settings
            self.domain = self.sagemaker.create_domain(
                **domain_request("research", DefaultUserSettings=defaults)
            )["DomainId"]

    def profile(self, name: str, settings: Any = None, **tags: str) -> str:
        asked = {"DomainId": self.domain, "UserProfileName": name, "Tags": spelled(tags)}
        self.sagemaker.create_user_profile(**asked, **({"UserSettings": settings} if settings else {}))
        return name

    def space(
        self,
        name: str,
        owner: str | None = None,
        settings: Any = None,
        *,
        sharing: str = "Private",
        **tags: str,
    ) -> str:
        owned = {
            "OwnershipSettings": {"OwnerUserProfileName": owner},
            "SpaceSharingSettings": {"SharingType": sharing},
        }
        self.sagemaker.create_space(
            DomainId=self.domain,
            SpaceName=name,
            Tags=spelled(tags),
            **(owned if owner else {}),
            **({"SpaceSettings": settings} if settings else {}),
        )
        return name

    def app(
        self,
        *,
        space: str | None = None,
        profile: str | None = None,
        kind: str = "JupyterLab",
        name: str = "default",
        age: timedelta = 30 * DAY,
        active: timedelta | None = 9 * HOUR,
        wrote: timedelta | None = 9 * HOUR,
        instance: str | None = "ml.g5.xlarge",
        **tags: str,
    ) -> dict[str, str]:
        """An app whose user was *active* so long ago (None: overwritten) and whose log *wrote* then."""
        owner = {"SpaceName": space} if space else {"UserProfileName": profile or ""}
        key = {"DomainId": self.domain, "AppType": kind, "AppName": name} | owner
        with self.box.at(NOW - age):
            spec = {"ResourceSpec": {"InstanceType": instance}} if instance else {}
            self.sagemaker.create_app(**key, **spec, Tags=spelled(tags))
        path = f"{self.domain}/{space or profile}/{kind}/{name}"
        checked = NOW - 5 * MINUTE
        self.box.patch(
            "sagemaker",
            ["apps", path],
            LastHealthCheckTimestamp=checked,
            LastUserActivityTimestamp=checked if active is None else NOW - active,
        )
        if wrote is not None:
            self.box.logs(GROUP, path, [(NOW - wrote, "Saving file at /eda.ipynb")])
        return key

    def canvas_says(self, user: str, idle: timedelta, *, ago: timedelta = 2 * MINUTE) -> None:
        dimensions = {"DomainId": self.domain, "UserProfileName": user}
        values = [60.0, idle.total_seconds()]  # an older value does not count
        series = {"metric": "TimeSinceLastActive", "start": NOW - ago - MINUTE, "step": 60}
        published = series | {"dimensions": dimensions, "values": values}
        self.box.metrics("/aws/sagemaker/Canvas/AppActivity", [published])
