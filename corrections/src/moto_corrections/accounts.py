"""Answers of Organizations about accounts, about the regions enabled for them, and whose a key is."""

from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.organizations.models import OrganizationsBackend, organizations_backends

from moto_corrections import paging
from moto_corrections.patches import AwsError, Call, replaces, serves

PAGE = 20
"""Accounts or units in one answer at most (API reference of ListAccounts)."""

OF_PARTITION = {"aws-cn": "cn-", "aws-us-gov": "us-gov-"}


@replaces("moto.iam.models:get_account_id_from", was="83d4b96f7c5b")
def account_of(access_key: str) -> str:
    """Return the account that has a key; moto looks into every partition, also where nothing is."""
    for account, partitions in list(iam_backends.items()):
        if any(access_key in backend.access_keys for backend in list(partitions.values())):
            return account
    return DEFAULT_ACCOUNT_ID


def organization_of(account: str) -> OrganizationsBackend | None:
    """Return the organization that an account is in, as its management account has it."""
    own = organizations_backends[account]["aws"]
    if own.org is None and (managed := organizations_backends.master_accounts.get(account)):
        own = organizations_backends[managed[0]][managed[1]]
    return own if own.org is not None else None


def organization_id(account: str) -> str:
    """Return the id of the organization that an account is in, or nothing."""
    found = organization_of(account)
    return found.org.id if found and found.org else ""


def asked_by_its_administrator(call: Call) -> OrganizationsBackend:
    """Return the organization to its management account or a delegated administrator; refuse others."""
    found = organization_of(call.account)
    if found is None:
        raise AwsError(
            "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
        )
    if call.account not in {found.account_id, *(admin.account.id for admin in found.admins)}:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")
    return found


@serves("organizations", "ListAccounts")
def list_accounts(call: Call) -> dict[str, Any]:
    """List every account, suspended ones among them."""
    return _page(
        call, "Accounts", [account.describe() for account in asked_by_its_administrator(call).accounts]
    )


@serves("organizations", "ListAccountsForParent")
def list_accounts_for_parent(call: Call) -> dict[str, Any]:
    """List the accounts right below a unit or the root; not those in the units below it."""
    found, parent = asked_by_its_administrator(call), _parent(call)
    return _page(
        call, "Accounts", [account.describe() for account in found.accounts if account.parent_id == parent]
    )


@serves("organizations", "ListOrganizationalUnitsForParent")
def list_units_for_parent(call: Call) -> dict[str, Any]:
    """List the units right below a unit or the root."""
    found, parent = asked_by_its_administrator(call), _parent(call)
    units = [unit.describe()["OrganizationalUnit"] for unit in found.ou if unit.parent_id == parent]
    return _page(call, "OrganizationalUnits", units)


def _parent(call: Call) -> str:
    wanted = str(call.params["ParentId"])
    if all(unit.id != wanted for unit in asked_by_its_administrator(call).ou):
        raise AwsError("ParentNotFoundException", "You specified parent that doesn't exist.")
    return wanted


def _page(call: Call, member: str, found: list[Any]) -> dict[str, Any]:
    page, more = paging.cut(call, found, PAGE, invalid="InvalidInputException")
    return {member: page, **more}


@serves("ec2", "DescribeRegions")
def describe_regions(call: Call) -> dict[str, Any]:
    """List the regions that are enabled for the account, unless all are asked for; moto answers them all."""
    # It asks botocore for its regions when it is imported, by whatever profile the environment names.
    from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

    start = OF_PARTITION.get(call.partition)
    listed = [
        {"RegionName": region.name, "Endpoint": region.endpoint, "OptInStatus": region.opt_in_status}
        for region in RegionsAndZonesBackend.regions
        if (
            region.name.startswith(start)
            if start
            else not region.name.startswith(tuple(OF_PARTITION.values()))
        )
        and (call.params.get("AllRegions") or region.opt_in_status != "not-opted-in")
    ]
    return {"Regions": listed}
