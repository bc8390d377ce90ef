"""SageMaker Studio's apps: what runs in a space or for a user profile, and stays listed for a day after."""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import AwsError, Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import equals, listing
from moto_corrections.sagemaker.store import (
    Resource,
    check_instance_type,
    checked_name,
    create,
    get,
    resources,
)
from moto_corrections.sagemaker.studio import APP, DOMAIN, PROFILE, SPACE

LISTED_FOR = dt.timedelta(hours=24)
"""How long the metadata of a deleted app is kept (API reference of DeleteApp and ListApps)."""

DELETED_AT = "DeletedAt"
"""Kept beside the members of Describe, which leaves it out."""

SYSTEM = "system"
DEFAULT_INSTANCES = {"JupyterServer": SYSTEM, "Canvas": None}
"""What runs where nothing else is asked for: the free instance, one that is not told, or the next."""
DEFAULT_INSTANCE = "ml.t3.medium"

SPELLED = {"CodeEditor": "codeeditor"}
"""In ARNs, AWS writes some types as in AppType (recorded: JupyterServer) and others in lower case."""


def _owner(call: Call) -> Resource:
    """Return the user profile or the space that the call names; never both."""
    profile, space = call.params.get("UserProfileName"), call.params.get("SpaceName")
    if (profile is None) == (space is None):
        raise rejected("Exactly one of UserProfileName and SpaceName must be given.")
    get(call, DOMAIN)
    return get(call, PROFILE if space is None else SPACE)


def _key(call: Call, owner: Resource) -> str:
    return f"{owner.name}/{call.params['AppType']}/{call.params['AppName']}"


def _hidden(app: Resource) -> bool:
    """Tell whether it was deleted so long ago that AWS no longer shows it."""
    deleted: dt.datetime | None = app.members.get(DELETED_AT)
    return app.status == "Deleted" and deleted is not None and clock.now() - deleted >= LISTED_FOR


def _of(call: Call) -> Resource:
    """Return the app that the call names."""
    owner = _owner(call)
    app = get(call, APP, _key(call, owner))
    if _hidden(app) or app.members.get(owner.kind.name_member) is None:
        raise AwsError("ResourceNotFound", f"App [{call.params['AppName']}] does not exist.")
    return app


@serves("sagemaker", "CreateApp")
def create_app(call: Call) -> dict[str, Any]:
    """
    Create an app: Pending for a while, then in service. It copies the tags of domain and profile.

    A deleted one of the same name makes room, also while it is still listed; one that is being deleted
    does not (ResourceInUse, as the operation's model has it).

    Both times of activity are those of the first health check: see DescribeApp's documentation of
    LastUserActivityTimestamp.
    """
    owner = _owner(call)
    checked_name(call, "AppName")
    kind, key = call.params["AppType"], _key(call, owner)
    asked = call.params.get("ResourceSpec") or {}
    instance = asked.get("InstanceType") or DEFAULT_INSTANCES.get(kind, DEFAULT_INSTANCE)
    if instance != SYSTEM:
        check_instance_type(instance, "resourceSpec.instanceType")
    if (old := resources(call, APP).get(key)) is not None and old.status in ("Deleted", "Failed"):
        del resources(call, APP)[key]
    now = clock.now()
    created = create(
        call,
        APP,
        "Pending",
        name=key,
        arn=APP.arn_of(call, f"{owner.name}/{SPELLED.get(kind, kind)}/{call.params['AppName']}"),
        ResourceSpec=asked | ({"InstanceType": instance} if instance else {}),
        LastHealthCheckTimestamp=now,
        LastUserActivityTimestamp=now,
    )
    inherited = get(call, DOMAIN).tags
    created.tags = inherited | (owner.tags if owner.kind is PROFILE else {}) | created.tags
    created.ever_tagged = bool(created.tags)
    progress.becomes(call, created, "app.create", "InService")
    return {"AppArn": created.arn}


@serves("sagemaker", "DescribeApp")
def describe_app(call: Call) -> dict[str, Any]:
    """Describe an app, a deleted one too, for a day."""
    return _of(call).members


@serves("sagemaker", "ListApps")
def list_apps(call: Call) -> dict[str, Any]:
    """List apps by domain, and by user profile or space."""
    if len(equals(call, "UserProfileName", "SpaceName")) > 1:
        raise rejected("Only one of UserProfileNameEquals and SpaceNameEquals can be given.")
    by = ("DomainId", "UserProfileName", "SpaceName")
    return listing(call, APP, *by, only=lambda app: not _hidden(app))


@serves("sagemaker", "DeleteApp")
def delete_app(call: Call) -> None:
    """
    Delete an app after a while, then list it as Deleted for a day; its space and volume stay.

    A second time is a ValidationException with the words that hashicorp/terraform-provider-aws takes for
    success in its own deletion of apps; while it is on its way there, or Pending, it is in use.
    """
    app = _of(call)
    if app.status == "Deleted":
        raise rejected(f"App [{app.arn}] has already been deleted.")
    if app.status in ("Deleting", "Pending"):
        raise AwsError("ResourceInUse", f"App [{app.arn}] is in status {app.status}.")

    def deleted(app: Resource, at: dt.datetime) -> None:
        app.members.update({"Status": "Deleted", DELETED_AT: at, "LastModifiedTime": at})

    app.touch(Status="Deleting")
    progress.later(call, app, progress.takes("app.delete"), deleted)
