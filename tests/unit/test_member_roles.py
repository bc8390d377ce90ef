"""The policies of roles in accounts of an organization, at their edges: owner, boundary, partition."""

from typing import Any

from fakes import TRUST
from ml_janitor.config.functions import ADVISERS, CARD_DETECTORS
from ml_janitor.config.member_roles import (
    RoleKind,
    member_boundary,
    member_role,
    named_accounts,
    reading_role_name,
    role_policy,
    sweep_readers,
)
from ml_janitor.config.settings import Settings
from tables import cases

HOME, THERE = "123456789012", "210987654321"
BUCKET = {"mode": "act", "act_in": [THERE], "act_on_prefixes": ["s3://models/old/"]}
ORGANIZATION = {"id": "o-a1b2c3d4e5", "all_accounts": True, **TRUST}


def settings(**janitor: Any) -> Settings:
    return Settings.parse(
        {
            "janitor": {"time_zone": "UTC", **janitor},
            "organization": ORGANIZATION,
            "detectors": {"duplicate-artifacts": BUCKET},
        }
    )


def owners(kind: RoleKind) -> dict[str, list[bool]]:
    """For each action on buckets or objects: is each statement bound to the account's own buckets?"""
    given = settings()
    (detector,) = (one for one in given.armed() if one.name == "duplicate-artifacts")
    policy: Any = role_policy(given, member_role(detector, kind), account=THERE, partition="aws")
    found: dict[str, list[bool]] = {}
    for statement in policy["Statement"]:
        bound = "aws:ResourceAccount" in str(statement.get("Condition", ""))
        if "arn:aws:s3:::" in str(statement["Resource"]):
            for action in statement["Action"]:
                found.setdefault(action, []).append(bound)
    return found


def test_what_acts_and_undoes_reaches_the_accounts_own_buckets_alone() -> None:
    acts, undoes, reads = map(owners, (RoleKind.ACT, RoleKind.UNDO, RoleKind.READ))
    assert all(bound for bounds in reads.values() for bound in bounds)
    assert {action: bounds for action, bounds in acts.items() if action not in reads} == {
        "s3:GetObjectAcl": [True],
        "s3:ListBucketVersions": [True],
    }
    assert undoes["s3:PutObject"] == [True]
    assert all(bound for bounds in undoes.values() for bound in bounds)


@cases(
    "boundary, there",
    ("", ""),
    (f"arn:aws:iam::{HOME}:policy/limits", f"arn:aws-cn:iam::{THERE}:policy/limits"),
    ("arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws-cn:iam::aws:policy/ReadOnlyAccess"),
)
def test_a_boundary_keeps_its_name_in_each_account(boundary: str, there: str) -> None:
    given = settings(permissions_boundary=boundary)
    assert member_boundary(given, account=THERE, partition="aws-cn") == there


def test_what_answers_for_all_regions_is_granted_in_each() -> None:
    given = Settings.parse(
        {"janitor": {"time_zone": "UTC"}, "organization": {**ORGANIZATION, "regions": ["eu-west-1"]}}
    )
    (reader,) = (one for one in sweep_readers(given) if one.name == "untagged-resources")
    policy: Any = role_policy(given, member_role(reader, RoleKind.READ), account=THERE, partition="aws")

    anywhere, there = (
        {
            action
            for statement in policy["Statement"]
            for action in statement["Action"]
            if statement["Resource"] == ["*"] and ("aws:RequestedRegion" in str(statement)) is limited
        }
        for limited in (False, True)
    )
    assert anywhere == {"ec2:DescribeRegions", "s3:ListAllMyBuckets"}
    assert {"cloudtrail:LookupEvents", "tag:GetResources"} < there


@cases("reader, role", ("idle-endpoints", "idle-endpoints"), ("spot-training", ADVISERS), ("bill", "bill"))
def test_an_account_is_read_through_the_role_of_the_function(reader: str, role: str) -> None:
    assert reading_role_name(settings(), reader) == f"ml-janitor-member-{role}"


def test_an_account_is_named_where_something_acts_and_where_a_role_is_handed_on() -> None:
    given = settings(undo_roles=["arn:aws:iam::310987654321:role/jobs"])
    assert named_accounts(given) == [THERE, "310987654321"]


def test_without_a_detector_for_them_no_role_is_the_advisers() -> None:
    card_alone = {name: {"enabled": name in CARD_DETECTORS} for name in settings().sections}

    readers = [sweep_readers(given) for given in (settings(), Settings.parse({"detectors": card_alone}))]

    assert [[reader.name for reader in some][-1] == ADVISERS for some in readers] == [True, False]
    assert {reader.name for reader in readers[1]} == CARD_DETECTORS
