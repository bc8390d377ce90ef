"""The roles that accounts of an organization grant: the same from either file, and no more than reading."""

import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
from cfnlint.api import lint_all

from ml_janitor.config.member_roles import (
    ACCOUNTS_FUNCTION_ROLE,
    CHANGING_STACK,
    GLOBAL_PREFIXES,
    READING_STACK,
    ROLE_READS,
    UNDO_FUNCTION_ROLE,
    RoleKind,
    assumable_role_arns,
    assumed_role_name,
    cleaning_readers,
    deny_kept_resources,
    member_role,
    member_role_name,
    sweep_readers,
    sweep_role_name,
)
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import OWN_ACCOUNT
from ml_janitor_cli.template import member
from ml_janitor_cli.template.member import LONGEST_ROLE_POLICIES, terraform_module
from organization import granted_by
from synthesis import EVERY_ACCOUNT, SLACK, TO_ARM, TODAY, resolved, synthesise_with_cdk
from tables import cases

HOME = "123456789012"
CALLER = f"arn:aws:iam::{HOME}:role/platform-*"
ORGANIZATION = EVERY_ACCOUNT | {"callers": [CALLER]}
DEMANDED = {"permissions_boundary": f"arn:aws:iam::{HOME}:policy/boundary", "role_path": "/platform/"}
TWO: dict[str, Any] = {"regions": ["eu-west-1", "us-east-1"]}
SEVENTEEN: dict[str, Any] = {"regions": [f"ap-southeast-{number}" for number in range(1, 18)]}


def settings(
    janitor: dict[str, Any] | None = None, armed: dict[str, Any] | None = None, **organization: Any
) -> Settings:
    return Settings.parse(
        {"janitor": janitor or {}, "organization": ORGANIZATION | organization, "detectors": armed or {}}
    )


def roles_of(given: Settings) -> dict[str, dict[str, Any]]:
    """The roles through which detectors read, by detector; that of the advisers is one."""
    made = template(given, READING_STACK)["Resources"].values()
    return {reader.name: role["Properties"] for reader, role in zip(sweep_readers(given), made, strict=True)}


def template(given: Settings, name: str) -> dict[str, Any]:
    return member.member_template(given, name, member.member_stacks(given, TODAY)[name])


def unquoted(value: Any) -> Any:
    """What python-hcl2 read, with texts in place of the HCL that stands for them."""
    match value:
        case str() if value.startswith('"'):
            text = json.loads(value).replace(
                "${data.aws_caller_identity.here.account_id}", "${AWS::AccountId}"
            )
            return text.replace("${data.aws_partition.here.partition}", "${AWS::Partition}")
        case dict():
            return {unquoted(key): unquoted(one) for key, one in value.items() if key != "__is_block__"}
        case list():
            return [unquoted(one) for one in value]
        case _:
            return value


def policy_of(block: dict[str, Any]) -> dict[str, Any]:
    """A block `aws_iam_policy_document` as the provider renders it."""
    statements = []
    for one in block["statement"]:
        made: dict[str, Any] = {"Effect": one["effect"], "Action": one["actions"]}
        if "resources" in one:
            made["Resource"] = one["resources"]
        for principal in one.get("principals", ()):
            made.setdefault("Principal", {})[principal["type"]] = principal["identifiers"][0]
        for condition in one.get("condition", ()):
            tests = made.setdefault("Condition", {}).setdefault(condition["test"], {})
            tests[condition["variable"]] = condition["values"]
        statements.append(made)
    return {"Version": "2012-10-17", "Statement": statements}


FEW, MANY = ["210987654321"], [f"{number:012}" for number in range(1, 24)]
ARMED = {
    "idle-endpoints": {"mode": "act", "act_in": ["210987654321/eu-west-1", "333333333333"]},
    "duplicate-artifacts": {
        "mode": "act",
        "act_in": MANY,
        "act_on_prefixes": ["s3://models/old/"],
        "buckets": ["models"],
    },
    "idle-notebooks": {"armed_until": "2026-10-01"},
    "hung-training-jobs": {"armed_until": "2026-10-01"},
}


def armed(detectors: dict[str, Any] = ARMED, **organization: Any) -> Settings:
    roles = [f"arn:aws:iam::{one}:role/jobs-*" for one in ("210987654321", "444444444444")]
    return Settings.parse(
        {
            "janitor": {**DEMANDED, "undo_roles": roles},
            "organization": ORGANIZATION | TWO | organization,
            "detectors": detectors,
        }
    )


@cases(
    "given, name",
    (settings(), READING_STACK),
    (settings(DEMANDED, **TWO), READING_STACK),
    (settings(id="", all_accounts=False, accounts=FEW), READING_STACK),
    (armed(), CHANGING_STACK),
    (armed(regions=[]), CHANGING_STACK),
)
def test_the_template_and_terraform_grant_the_same(given: Settings, name: str) -> None:
    roles = member.member_stacks(given, TODAY)[name]
    made = member.member_template(given, name, roles)
    read = unquoted(hcl2.loads(terraform_module(given, "", roles)))
    documents, by_label, attached = dict[str, Any](), dict[str, Any](), list[tuple[str, Any]]()
    for block in read["data"]:
        documents |= block.get("aws_iam_policy_document", {})
    for block in read["resource"]:
        by_label |= block.get("aws_iam_role", {})
        attached += block.get("aws_iam_role_policy", {}).items()

    assert len(by_label) == len(roles) == len(made["Resources"])
    assert len(documents) == len(by_label) + len(attached)
    for account in ("555555555555", "210987654321", "333333333333", "444444444444", *MANY):
        granted = {
            one["Properties"]["RoleName"]: resolved(one["Properties"], {})
            for one in granted_by(given, account)
            if one["Properties"]["RoleName"] in {role.name for role in roles}
        }
        for label, role in by_label.items():
            if not counted(role, account):
                assert role["name"] not in granted
                continue
            (policy,) = (
                (key, one)
                for key, one in attached
                if one["role"] in {f"${{aws_iam_role.{label}{at}.id}}" for at in ("", "[0]")}
                if counted(one, account)
            )
            assert policy[1]["policy"] == f"${{data.aws_iam_policy_document.{policy[0]}.json}}"
            assert role["assume_role_policy"] == f"${{data.aws_iam_policy_document.{label}_trust.json}}"
            again = {
                "RoleName": role["name"],
                "Path": role["path"],
                "Description": role["description"],
                "AssumeRolePolicyDocument": policy_of(documents[f"{label}_trust"]),
                "Policies": [
                    {"PolicyName": policy[1]["name"], "PolicyDocument": policy_of(documents[policy[0]])}
                ],
            }
            if boundary := role.get("permissions_boundary"):
                again["PermissionsBoundary"] = boundary
            assert again == as_lists(granted.pop(role["name"]))
        assert granted == {}


def counted(block: dict[str, Any], account: str) -> bool:
    """Whether a block of Terraform is made in *account*."""
    test = block.get("count", "").removeprefix("${").removesuffix("}")
    if not test:
        return True
    of = "data.aws_caller_identity.here.account_id"
    tests = re.findall(rf"(!?)contains\((\[.*?\]), {of}\)", test.removesuffix(" ? 1 : 0"))
    left = re.sub(rf"!?contains\(\[.*?\], {of}\)", "one", test)
    assert left.removesuffix(" ? 1 : 0") == " || ".join(["one"] * len(tests))
    return any((account in json.loads(accounts)) != bool(negated) for negated, accounts in tests)


def as_lists(value: Any, key: str = "") -> Any:
    """The same, where every value of a condition is in a list, as Terraform writes them."""
    match value:
        case str() if key == "Null":
            return [value]
        case dict():
            return {each: as_lists(one, key if key == "Null" else each) for each, one in value.items()}
        case list():
            return [as_lists(one) for one in value]
        case _:
            return value


def test_a_role_holds_what_its_detector_reads_and_itself_and_changes_nothing() -> None:
    given = settings(**TWO)
    for detector, role in zip(sweep_readers(given), roles_of(given).values(), strict=True):
        (policy,) = resolved(role["Policies"], {})
        statements = policy["PolicyDocument"]["Statement"]
        granted = {action for one in statements for action in one["Action"]}
        names = [role["RoleName"]]
        for one in cleaning_readers(detector):
            names += [member_role_name(one.name, kind) for kind in (RoleKind.ACT, RoleKind.UNDO)]

        declared = {one.action for one in detector.reads}
        assert granted == declared | {"ec2:DescribeRegions", *ROLE_READS}
        for one in statements:
            assert one["Effect"] == "Allow"
            anywhere = {grant.action for grant in detector.reads if grant.anywhere} | {"ec2:DescribeRegions"}
            anywhere |= {grant.action for grant in detector.reads if OWN_ACCOUNT in grant.on}
            anywhere |= {action for action in one["Action"] if action.partition(":")[0] in GLOBAL_PREFIXES}
            regional = not anywhere.issuperset(one["Action"]) and any(
                resource == "*"
                or (resource.startswith("arn:${AWS::Partition}:") and ":*:${AWS::AccountId}:" in resource)
                for resource in one["Resource"]
            )
            only = one.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
            assert only == (TWO["regions"] if regional else None)
            if set(one["Action"]) & set(ROLE_READS):
                assert one["Resource"] == sorted(
                    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name}" for name in names
                )


def test_a_role_trusts_its_callers_and_its_function_with_the_external_id_and_from_the_organization() -> None:
    for name, role in roles_of(settings({"role_path": "/platform/"})).items():
        (statement,) = resolved(role["AssumeRolePolicyDocument"], {})["Statement"]
        function = f"arn:${{AWS::Partition}}:iam::{HOME}:role/platform/ml-janitor-sweep-{name}"

        assert statement == {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:${{AWS::Partition}}:iam::{HOME}:root"},
            "Action": ["sts:AssumeRole"],
            "Condition": {
                "ArnLike": {
                    "aws:PrincipalArn": [CALLER.replace("arn:aws:", "arn:${AWS::Partition}:"), function]
                },
                "StringEquals": {
                    "sts:ExternalId": ["ml-janitor-7f3a"],
                    "aws:PrincipalOrgID": ["o-a1b2c3d4e5"],
                },
            },
        }


def test_the_acting_role_is_taken_on_only_where_the_detector_is_armed() -> None:
    armed = {"mode": "act", "act_in": ["210987654321/eu-west-1"]}
    detectors = {"idle-endpoints": armed, "idle-notebooks": {**armed, "enabled": False}}
    given = settings(armed=detectors)

    assert (
        assumed_role_name(given, "idle-endpoints", "210987654321") == "ml-janitor-member-act-idle-endpoints"
    )
    assert assumed_role_name(given, "idle-endpoints", "333333333333") == "ml-janitor-member-idle-endpoints"
    assert assumed_role_name(given, "idle-notebooks", "210987654321") == "ml-janitor-member-idle-notebooks"
    assert (
        assumed_role_name(settings(), "idle-endpoints", "210987654321") == "ml-janitor-member-idle-endpoints"
    )


def test_every_role_of_the_janitor_has_a_name_of_its_own_that_iam_takes() -> None:
    names = [UNDO_FUNCTION_ROLE, ACCOUNTS_FUNCTION_ROLE]
    for detector in DETECTORS:
        names += [
            *(member_role_name(detector.name, kind) for kind in RoleKind),
            sweep_role_name(detector.name),
        ]

    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 64


@cases(
    "given, linted",
    (settings(DEMANDED, **SEVENTEEN), "linted"),
    (armed(**SEVENTEEN), ""),  # cfn-lint tries all that conditions can be together
    (settings(DEMANDED, **TWO, armed={"idle-notebooks": {"mode": "act", "act_in": FEW}}), "linted"),
)
def test_what_cloudformation_and_iam_limit_is_kept_to(given: Settings, linted: str, tmp_path: Path) -> None:
    paths = [one for one in member.write_member_roles(given, tmp_path, TODAY) if one.suffix == ".json"]
    assert paths[0].stat().st_size < 51_200, "what --template-body takes"
    *_, path, upgrade = paths
    old, new = (set(json.loads(one.read_text())["Resources"]) for one in (upgrade, paths[0]))
    assert new | {type(one).__name__ for one in given.enabled()} == old, "both, while the old functions run"
    made = json.loads(path.read_text())
    if linted:
        found = [one for one in lint_all(path.read_text()) if one.rule.severity != "informational"]
        assert [str(one) for one in found] == []
    for role in made["Resources"].values():
        assert len(role["Properties"]["RoleName"]) <= 64
        for policy in role["Properties"]["Policies"]:
            document = resolved(policy.get("Fn::If", [0, policy])[1]["PolicyDocument"], {})
            assert len(json.dumps(document, separators=(",", ":"))) < LONGEST_ROLE_POLICIES


def test_a_policy_that_iam_would_not_take_is_refused(tmp_path: Path) -> None:
    prefixes = [f"s3://bucket-of-some-team-{number}/checkpoints/" for number in range(99)]
    given = armed({"duplicate-artifacts": {"mode": "act", "act_in": FEW, "act_on_prefixes": prefixes}})

    with pytest.raises(InvalidInputError, match=r"duplicate-artifacts in .* IAM takes 10240: name fewer"):
        member.write_member_roles(given, tmp_path, TODAY)


def test_synth_writes_both_and_one_account_gets_neither(tmp_path: Path) -> None:
    slack = {"janitor": SLACK["janitor"]}
    alone = synthesise_with_cdk(tmp_path / "alone", Settings.parse(slack))
    several = synthesise_with_cdk(
        tmp_path / "several", Settings.parse({**slack, "organization": ORGANIZATION})
    )

    assert {one.name for one in several.path.parent.glob("ml-janitor-member*")} == {
        "ml-janitor-member.template.json",
        "ml-janitor-member-upgrade.template.json",
        "ml-janitor-member.tf",
    }
    assert not list(alone.path.parent.glob("ml-janitor-member*"))


def test_synth_writes_what_acts_where_something_is_armed_or_was(tmp_path: Path) -> None:
    section = {"mode": "act", "act_in": [HOME]}
    names = []
    for number, change in enumerate(
        ({}, {"mode": "dry-run", "armed_until": "2026-10-01"}, {"mode": "dry-run"})
    ):
        given = settings(armed={"idle-notebooks": section | change}, janitor=TO_ARM)
        made = json.loads(json.dumps(template(given, CHANGING_STACK)))["Resources"]
        names.append(sorted(one["Properties"]["RoleName"] for one in made.values()))
        written = member.write_member_roles(given, tmp_path / str(number), TODAY)
        assert len(written) == (5 if made else 3)

    acts, undoes = "ml-janitor-member-act-idle-notebooks", "ml-janitor-member-undo-idle-notebooks"
    assert names == [[acts, undoes], [undoes], []]


def test_an_account_that_was_disarmed_keeps_the_role_that_undoes_until_armed_until_is_gone() -> None:
    """The undo function may take it on wherever it is; what acts is in the accounts of `act_in` alone."""
    section = {"mode": "act", "act_in": [HOME]}
    names, taken_on = [], []
    for change in ({}, {"armed_until": "2026-10-01"}):
        given = settings(armed={"idle-notebooks": section | change}, janitor=TO_ARM)
        made = granted_by(given, "210987654321")
        names.append({one["Properties"]["RoleName"] for one in made if "idle-notebooks" in str(one)})
        (detector,) = (one for one in given.armed() if one.name == "idle-notebooks")
        for kind in (RoleKind.ACT, RoleKind.UNDO):
            taken_on += assumable_role_arns(given, member_role(detector, kind), partition="aws")

    read, undoes = "ml-janitor-member-idle-notebooks", "ml-janitor-member-undo-idle-notebooks"
    assert [one & {read, undoes, "ml-janitor-member-act-idle-notebooks"} for one in names] == [
        {read},
        {read, undoes},
    ]
    assert [arn.split(":")[4] for arn in taken_on] == [HOME, HOME, HOME, "*"]


def changing(given: Settings, account: str, name: str) -> dict[str, Any]:
    """The role of that name that *account* gets."""
    (role,) = (
        one["Properties"]
        for one in granted_by(given, account)
        if one["Properties"]["RoleName"] == f"ml-janitor-member-{name}"
    )
    return dict(resolved(role, {}))


def allowing(role: dict[str, Any], action: str) -> list[dict[str, Any]]:
    """The statements of its one policy that allow *action*."""
    (policy,) = role["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    return [one for one in statements if one["Effect"] == "Allow" and action in one["Action"]]


def test_what_changes_something_trusts_one_function_and_no_person() -> None:
    for name, function in (
        ("act-idle-endpoints", "sweep-idle-endpoints"),
        ("undo-idle-endpoints", "undo"),
        ("undo-idle-notebooks", "undo"),
    ):
        (statement,) = changing(armed(), "210987654321", name)["AssumeRolePolicyDocument"]["Statement"]
        trusted = f"arn:${{AWS::Partition}}:iam::{HOME}:role/platform/ml-janitor-{function}"
        assert statement["Condition"]["ArnLike"] == {"aws:PrincipalArn": [trusted]}
        assert set(statement["Condition"]["StringEquals"]) == {"sts:ExternalId", "aws:PrincipalOrgID"}


@cases(
    "account, acts_in, undoes_in",
    ("210987654321", ["eu-west-1"], TWO["regions"]),
    ("333333333333", TWO["regions"], TWO["regions"]),
)
def test_acts_are_limited_to_regions_and_tags(account: str, acts_in: list[str], undoes_in: list[str]) -> None:
    for name, action, regions in (
        ("act-idle-endpoints", "sagemaker:DeleteEndpoint", acts_in),
        ("undo-idle-endpoints", "sagemaker:CreateEndpoint", undoes_in),
    ):
        allowed = allowing(changing(armed(), account, name), action)
        assert allowed
        for one in allowed:
            assert one["Condition"] == {"StringEquals": {"aws:RequestedRegion": regions}}
            assert all(":*:${AWS::AccountId}:" in resource for resource in one["Resource"])
    (policy,) = changing(armed(), account, "act-idle-endpoints")["Policies"]
    denied = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
    detector = next(one for one in armed().armed() if one.name == "idle-endpoints")
    assert denied == deny_kept_resources(detector.acts, armed().janitor.keep_tags) != []


def test_roles_are_handed_over_and_buckets_changed_in_their_own_account_alone() -> None:
    deletes = allowing(changing(armed(), MANY[0], "act-duplicate-artifacts"), "s3:DeleteObject")
    assert [one["Condition"]["StringEquals"]["aws:ResourceAccount"] for one in deletes] == [
        ["${AWS::AccountId}"]
    ]
    passed = allowing(changing(armed(), "210987654321", "undo-idle-endpoints"), "iam:PassRole")
    assert [one["Resource"] for one in passed] == [
        ["arn:${AWS::Partition}:iam::${AWS::AccountId}:role/jobs-*"]
    ]
    assert allowing(changing(armed(), "333333333333", "undo-idle-endpoints"), "iam:PassRole") == []
    with pytest.raises(ValueError, match="not enough values"):
        changing(armed(), "444444444444", "undo-idle-endpoints")
