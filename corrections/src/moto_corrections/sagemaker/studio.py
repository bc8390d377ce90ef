"""SageMaker Studio: domains, the user profiles and spaces in them, and apps, which stay listed for a day."""

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import AwsError, Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import equals, listing, serve
from moto_corrections.sagemaker.store import (
    Kind,
    Resource,
    check_instance_type,
    checked_name,
    create,
    get,
    kind,
    resources,
)

ID_LENGTH = 12


def studio_kind(noun: str, *key: str) -> Kind:
    """
    Declare a kind of Studio's: its status member is `Status`, and it is stored by its *key*, as in its ARN.

    So `override` finds a space under ["spaces", "d-1a2b/desk"]. A space and a user profile of
    one name are two resources, as on AWS. A missing resource is not a ValidationException.
    """
    return kind(
        noun,
        members=(f"{noun}Name", f"{noun}Arn", "Status"),
        missing=("ResourceNotFound", f"{noun} [{{name}}] does not exist."),
        duplicate=("ResourceInUse", f"{noun} already exists: {{arn}}"),
        key=key,
    )


DOMAIN = studio_kind("Domain", "DomainId")
PROFILE = studio_kind("UserProfile", "DomainId", "UserProfileName")
SPACE = studio_kind("Space", "DomainId", "SpaceName")
APP = studio_kind("App")
serve(DOMAIN, "Describe", "List")


def merged(old: Any, new: Any) -> Any:
    """Merge settings with an update, which changes the members it names and leaves the others."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: merged(old.get(key), value) for key, value in new.items()}


# --- domains ----------------------------------------------------------------------------------


@serves("sagemaker", "CreateDomain")
def create_domain(call: Call) -> dict[str, Any]:
    """Create a domain, in service at once. Names need not be unique; the same history gives the same id."""
    name = checked_name(call, "DomainName")
    about = f"{call.account}/{call.region}/{name}/{len(resources(call, DOMAIN))}"
    domain_id = f"d-{hashlib.sha256(about.encode()).hexdigest()[:ID_LENGTH]}"
    url = f"https://{domain_id}.studio.{call.region}.sagemaker.aws"
    resource = create(call, DOMAIN, "InService", name=domain_id, DomainId=domain_id, Url=url)
    return {"DomainArn": resource.arn, "DomainId": domain_id, "Url": url}


# --- user profiles and spaces, which stand in a domain --------------------------------------------


def _serve_inside(of: Kind, contains: str) -> None:
    """Create and list them; *contains* is the filter of the listing."""
    serve(of, "Describe")

    @serves("sagemaker", f"Create{of.noun}")
    def create_one(call: Call) -> dict[str, Any]:
        key = f"{get(call, DOMAIN).name}/{checked_name(call, of.name_member)}"
        return {of.arn_member: create(call, of, "InService", name=key, **_summaries(call)).arn}

    @serves("sagemaker", f"List{of.noun}s")
    def list_them(call: Call) -> dict[str, Any]:
        return listing(call, of, only=_filter(call, of, contains))


def _serve_changes(of: Kind, *holds: Kind) -> None:
    """Serve updates, which take effect at once, and deletions, refused while it *holds* something."""

    @serves("sagemaker", f"Update{of.noun}")
    def update_one(call: Call) -> dict[str, Any]:
        resource = get(call, of)
        asked = {name: value for name, value in call.params.items() if not name.endswith(("Id", "Name"))}
        resource.touch(**{name: merged(resource.members.get(name), value) for name, value in asked.items()})
        return {of.arn_member: resource.arn}

    @serves("sagemaker", f"Delete{of.noun}")
    def delete_one(call: Call) -> None:
        resource, inside = get(call, of), {name: call.params[name] for name in of.key}.items()
        for within in (within for held in holds for within in resources(call, held).values()):
            if inside <= within.members.items() and within.status != "Deleted":
                held_by = f"it has {within.kind.plural} ({within.name})"
                message = f"Unable to delete {of.noun} [{resource.name}]: {held_by}"
                raise AwsError("ResourceInUse", message)
        del resources(call, of)[resource.name]


def _filter(call: Call, of: Kind, contains: str) -> Callable[[Resource], bool]:
    domain, part = call.params.get("DomainIdEquals"), (call.params.get(contains) or "").lower()

    def wanted(resource: Resource) -> bool:
        return (
            domain in (None, resource.members["DomainId"])
            and part in resource.members[of.name_member].lower()
        )

    return wanted


def _summaries(call: Call) -> dict[str, Any]:
    """Return the settings of a space that ListSpaces shows; a profile has none of them."""
    params = call.params
    settings = params.get("SpaceSettings") or {}
    settings = {
        "SpaceSettingsSummary": {
            member: settings[member]
            for member in ("AppType", "RemoteAccess", "SpaceStorageSettings")
            if member in settings
        },
        "SpaceSharingSettingsSummary": params.get("SpaceSharingSettings"),
        "OwnershipSettingsSummary": params.get("OwnershipSettings"),
    }
    return {member: value for member, value in settings.items() if value}


@serves("sagemaker", "StartSession")
def start_session(call: Call) -> dict[str, Any]:
    """
    Connect an editor on another machine to a space, named by its ARN or by that of its app.

    That a space without remote access refuses with a ValidationException is assumed: no source has its words.
    """
    place = call.params["ResourceIdentifier"].split("/")[1:3]
    space = get(call, SPACE, "/".join(place))
    if (space.members.get("SpaceSettings") or {}).get("RemoteAccess") != "ENABLED":
        raise rejected(f"Remote access is not enabled for space [{place[-1]}].")
    session = hashlib.sha256(f"{space.arn}/{clock.now()}".encode()).hexdigest()[:ID_LENGTH]
    return {"SessionId": session, "StreamUrl": f"wss://stream.invalid/{session}", "TokenValue": session}


_serve_inside(PROFILE, "UserProfileNameContains")
_serve_inside(SPACE, "SpaceNameContains")
_serve_changes(DOMAIN, APP, SPACE, PROFILE)
_serve_changes(PROFILE, APP)
_serve_changes(SPACE, APP)


# --- apps ---

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
