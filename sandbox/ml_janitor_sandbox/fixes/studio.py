"""SageMaker Studio: domains, and the user profiles and spaces in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ml_janitor_sandbox import clock
from ml_janitor_sandbox.listing import listing, serve_list
from ml_janitor_sandbox.patches import AwsError, Call, backend, rejected, serves
from ml_janitor_sandbox.sagemaker_store import KINDS, Kind, Resource, checked_name, kind, resources

ID_LENGTH = 12
APPS = "apps"
"""The plural of what `studio_apps` keeps."""


def studio_kind(noun: str, plural: str, arn: str) -> Kind:
    """
    Declare a kind of Studio's: its status member is `Status`, and it is stored by the rest of its ARN.

    So `/sandbox/state` finds a space under ["spaces", "d-1a2b/desk"]. A space and a user profile of
    one name are two resources, as on AWS.
    """
    return kind(noun, plural, arn, members=(f"{noun}Name", f"{noun}Arn", "Status"))


DOMAIN = studio_kind("Domain", "domains", "domain")
PROFILE = studio_kind("UserProfile", "user_profiles", "user-profile")
SPACE = studio_kind("Space", "spaces", "space")
serve_list(DOMAIN)


def found(call: Call, of: Kind, key: str) -> Resource:
    """The resource stored by *key*, or AWS's error, which for Studio is no ValidationException."""
    try:
        return resources(call, of)[key]
    except KeyError:
        raise AwsError("ResourceNotFound", f"{of.noun} [{key.rpartition('/')[2]}] does not exist.") from None


def create_studio(call: Call, of: Kind, key: str, *, arn: str | None = None, **members: Any) -> Resource:
    """Make a resource of what was asked, in service at once; its Tags are kept apart."""
    arn = arn or of.arn_of(call, key)
    if key in resources(call, of):
        raise AwsError("ResourceInUse", f"{of.noun} already exists: {arn}")
    now = clock.now()
    asked = {name: value for name, value in call.params.items() if name != "Tags"}
    stamps = {of.arn_member: arn, "CreationTime": now, "LastModifiedTime": now, "Status": "InService"}
    tags = {tag["Key"]: tag["Value"] for tag in call.params.get("Tags") or []}
    # A backend of moto's is made when first asked for, and only those are asked about tags.
    backend("sagemaker", call.account, call.region)
    resource = Resource(of, key, asked | stamps | members, tags, ever_tagged=bool(tags))
    resources(call, of)[key] = resource
    return resource


def inside(call: Call, plural: str, **members: str) -> list[Resource]:
    """The *plural* that have these members: what stands in a domain, a profile or a space."""
    those = resources(call, KINDS[plural]).values()
    return [one for one in those if members.items() <= one.members.items() and one.status != "Deleted"]


def refuse_if(call: Call, resource: Resource, *plurals: str, **members: str) -> None:
    """Nothing that still holds something can be deleted."""
    for plural in plurals:
        if left := inside(call, plural, **members):
            raise AwsError(
                "ResourceInUse",
                f"Unable to delete {resource.kind.noun} [{resource.name}]: it has {plural} ({left[0].name})",
            )


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
    resource = create_studio(call, DOMAIN, domain_id, DomainId=domain_id, Url=url)
    return {"DomainArn": resource.arn, "DomainId": domain_id, "Url": url}


@serves("sagemaker", "DescribeDomain")
def describe_domain(call: Call) -> dict[str, Any]:
    """Everything it was created with."""
    return found(call, DOMAIN, call.params["DomainId"]).members


@serves("sagemaker", "UpdateDomain")
def update_domain(call: Call) -> dict[str, Any]:
    """What is named changes, at once."""
    return _update(call, found(call, DOMAIN, call.params["DomainId"]))


@serves("sagemaker", "DeleteDomain")
def delete_domain(call: Call) -> None:
    """Only an empty one."""
    domain = found(call, DOMAIN, call.params["DomainId"])
    refuse_if(call, domain, APPS, "spaces", "user_profiles", DomainId=domain.name)
    del resources(call, DOMAIN)[domain.name]


# --- user profiles and spaces -----------------------------------------------------------------


def _serve(of: Kind, contains: str) -> None:
    """Both stand in a domain and work alike; *contains* is the filter of the listing."""

    @serves("sagemaker", f"Create{of.noun}")
    def create_one(call: Call) -> dict[str, Any]:
        domain = found(call, DOMAIN, call.params["DomainId"])
        resource = create_studio(
            call, of, f"{domain.name}/{checked_name(call, of.name_member)}", **_summaries(call)
        )
        return {of.arn_member: resource.arn}

    @serves("sagemaker", f"Describe{of.noun}")
    def describe_one(call: Call) -> dict[str, Any]:
        return found(call, of, _key(call, of)).members

    @serves("sagemaker", f"List{of.noun}s")
    def list_them(call: Call) -> dict[str, Any]:
        return listing(call, of, only=_filter(call, of, contains))

    @serves("sagemaker", f"Update{of.noun}")
    def update_one(call: Call) -> dict[str, Any]:
        return _update(call, found(call, of, _key(call, of)))

    @serves("sagemaker", f"Delete{of.noun}")
    def delete_one(call: Call) -> None:
        one = found(call, of, _key(call, of))
        refuse_if(
            call, one, APPS, DomainId=call.params["DomainId"], **{of.name_member: one.members[of.name_member]}
        )
        del resources(call, of)[one.name]


def _key(call: Call, of: Kind) -> str:
    return f"{call.params['DomainId']}/{call.params[of.name_member]}"


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
    one = found(call, SPACE, "/".join(place))
    if (one.members.get("SpaceSettings") or {}).get("RemoteAccess") != "ENABLED":
        raise rejected(f"Remote access is not enabled for space [{place[-1]}].")
    session = hashlib.sha256(f"{one.arn}/{clock.now()}".encode()).hexdigest()[:ID_LENGTH]
    return {"SessionId": session, "StreamUrl": f"wss://stream.invalid/{session}", "TokenValue": session}


_serve(PROFILE, "UserProfileNameContains")
_serve(SPACE, "SpaceNameContains")
