from collections.abc import Callable
from typing import Any

import pytest

type Clients = Callable[..., Any]


def test_organizations_lists_in_pages_what_is_not_gone(aws: Clients) -> None:
    organizations = aws("organizations")
    with pytest.raises(organizations.exceptions.AWSOrganizationsNotInUseException):
        organizations.list_accounts()
    organizations.create_organization(FeatureSet="ALL")
    for number in range(20):
        organizations.create_account(AccountName=f"a{number}", Email=f"a{number}@example.com")
    pages = list(organizations.get_paginator("list_accounts").paginate())

    assert [len(page["Accounts"]) for page in pages] == [20, 1]
    assert {one["State"] for page in pages for one in page["Accounts"]} == {"ACTIVE"}
    with pytest.raises(organizations.exceptions.ParentNotFoundException):
        organizations.list_accounts_for_parent(ParentId="ou-ab12-c3d4e5f6")


def test_only_enabled_regions_of_the_partition_are_described(aws: Clients) -> None:
    ec2 = aws("ec2")

    def described(**asked: Any) -> set[str]:
        return {one["RegionName"] for one in ec2.describe_regions(**asked)["Regions"]}

    assert {"us-east-1", "eu-west-1"} <= described()
    assert {"me-south-1", "ap-east-1"} & described() == set()
    assert {"me-south-1", "ap-east-1"} <= described(AllRegions=True)
    assert not any(one.startswith(("cn-", "us-gov-")) for one in described(AllRegions=True))
