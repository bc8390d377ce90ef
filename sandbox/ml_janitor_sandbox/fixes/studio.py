"""SageMaker Studio: domains, and the user profiles and spaces in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ml_janitor_sandbox import clock
from ml_janitor_sandbox.listing import listing, serve
from ml_janitor_sandbox.patches import AwsError, Call, rejected, serves
from ml_janitor_sandbox.sagemaker_store import Kind, Resource, checked_name, create, get, kind, resources

ID_LENGTH = 12


def studio_kind(noun: str) -> Kind:
    """
    Declare a kind of Studio's: its status member is `Status`, and it is stored by the rest of its ARN.

    So `/sandbox/state` finds a space under ["spaces", "d-1a2b/desk"]. A space and a user profile of
    one name are two resources, as on AWS. What is missing is no ValidationException.
    """
    return kind(
        noun,
        members=(f"{noun}Name", f"{noun}Arn", "Status"),
        missing=("ResourceNotFound", f"{noun} [{{name}}] does not exist."),
        duplicate=("ResourceInUse", f"{noun} already exists: {{arn}}"),
    )


DOMAIN, PROFILE, SPACE, APP = map(studio_kind, ("Domain", "UserProfile", "Space", "App"))
serve(DOMAIN, "List")


def delete(call: Call, resource: Resource, *kinds: Kind, **inside: str) -> None:
    """Forget a resource at once, if there is none of these *kinds* whose members say that it is *inside*."""
    for of in kinds:
        for one in resources(call, of).values():
            if inside.items() <= one.members.items() and one.status != "Deleted":
                held = f"it has {of.plural} ({one.name})"
                message = f"Unable to delete {resource.kind.noun} [{resource.name}]: {held}"
                raise AwsError("ResourceInUse", message)
    del resources(call, resource.kind)[resource.name]


def merged(old: Any, new: Any) -> Any:
    """Settings after an update, which changes the members it names and leaves the others."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: merged(old.get(key), value) for key, value in new.items()}


# --- domains ----------------------------------------------------------------------------------


@serves("sagemaker", "CreateDomain")
def create_domain(call: Call) -> dict[str, Any]:
    """In service at once. Names need not be unique; the identifier is the same for the same history."""
    name = checked_name(call, "DomainName")
    about = f"{call.account}/{call.region}/{name}/{len(resources(call, DOMAIN))}"
    domain_id = f"d-{hashlib.sha256(about.encode()).hexdigest()[:ID_LENGTH]}"
    url = f"https://{domain_id}.studio.{call.region}.sagemaker.aws"
    resource = create(call, DOMAIN, "InService", name=domain_id, DomainId=domain_id, Url=url)
    return {"DomainArn": resource.arn, "DomainId": domain_id, "Url": url}


@serves("sagemaker", "DescribeDomain")
def describe_domain(call: Call) -> dict[str, Any]:
    """Everything it was created with."""
    return _domain(call).members


@serves("sagemaker", "UpdateDomain")
def update_domain(call: Call) -> dict[str, Any]:
    """What is named changes, at once."""
    return _update(call, _domain(call))


@serves("sagemaker", "DeleteDomain")
def delete_domain(call: Call) -> None:
    """Only an empty one."""
    domain = _domain(call)
    delete(call, domain, APP, SPACE, PROFILE, DomainId=domain.name)


def _domain(call: Call) -> Resource:
    return get(call, DOMAIN, call.params["DomainId"])


# --- user profiles and spaces -----------------------------------------------------------------


def _serve(of: Kind, contains: str) -> None:
    """Both stand in a domain and work alike; *contains* is the filter of the listing."""

    @serves("sagemaker", f"Create{of.noun}")
    def create_one(call: Call) -> dict[str, Any]:
        key = f"{_domain(call).name}/{checked_name(call, of.name_member)}"
        return {of.arn_member: create(call, of, "InService", name=key, **_summaries(call)).arn}

    @serves("sagemaker", f"Describe{of.noun}")
    def describe_one(call: Call) -> dict[str, Any]:
        return _found(call, of).members

    @serves("sagemaker", f"List{of.noun}s")
    def list_them(call: Call) -> dict[str, Any]:
        return listing(call, of, only=_filter(call, of, contains))

    @serves("sagemaker", f"Update{of.noun}")
    def update_one(call: Call) -> dict[str, Any]:
        return _update(call, _found(call, of))

    @serves("sagemaker", f"Delete{of.noun}")
    def delete_one(call: Call) -> None:
        delete(
            call, _found(call, of), APP, **{name: call.params[name] for name in ("DomainId", of.name_member)}
        )


def _found(call: Call, of: Kind) -> Resource:
    return get(call, of, f"{call.params['DomainId']}/{call.params[of.name_member]}")


def _filter(call: Call, of: Kind, contains: str) -> Callable[[Resource], bool]:
    domain, part = call.params.get("DomainIdEquals"), (call.params.get(contains) or "").lower()

    def wanted(one: Resource) -> bool:
        return domain in (None, one.members["DomainId"]) and part in one.members[of.name_member].lower()

    return wanted


def _summaries(call: Call) -> dict[str, Any]:
    """What ListSpaces tells of a space's settings; a profile has none of them."""
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


def _update(call: Call, one: Resource) -> dict[str, Any]:
    changed = {
        k: merged(one.members.get(k), v) for k, v in call.params.items() if not k.endswith(("Id", "Name"))
    }
    one.touch(**changed)
    return {one.kind.arn_member: one.arn}


@serves("sagemaker", "StartSession")
def start_session(call: Call) -> dict[str, Any]:
    """
    Connect an editor on another machine to a space, named by its ARN or by that of its app.

    That a space without remote access refuses with a ValidationException is assumed: no source has its words.
    """
    place = call.params["ResourceIdentifier"].split("/")[1:3]
    one = get(call, SPACE, "/".join(place))
    if (one.members.get("SpaceSettings") or {}).get("RemoteAccess") != "ENABLED":
        raise rejected(f"Remote access is not enabled for space [{place[-1]}].")
    session = hashlib.sha256(f"{one.arn}/{clock.now()}".encode()).hexdigest()[:ID_LENGTH]
    return {"SessionId": session, "StreamUrl": f"wss://stream.invalid/{session}", "TokenValue": session}


_serve(PROFILE, "UserProfileNameContains")
_serve(SPACE, "SpaceNameContains")
