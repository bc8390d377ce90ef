"""`janitor audit --organization`: each account through its own roles, and what was not looked at is said."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from commands import Janitor, Ran
from conftest import ACCOUNT, REGION
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import list_accounts
from ml_janitor.config.member_roles import RoleKind, member_role_name, role_arn, sweep_role_name
from ml_janitor.config.settings import Settings
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from ml_janitor_cli import organization
from ml_janitor_cli.main import main
from ml_janitor_cli.organization import compare_policies
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.iam import IamControl
from organization import CALLER, EXTERNAL_ID, Organization, Roles, acting_as, caller, written
from tables import cases

REGISTRY = (UntaggedResources, IdleNotebooks)
NAMES = tuple(one.name for one in REGISTRY)


@pytest.fixture
def two(box: Control) -> Organization:
    """Two members that each have an untagged notebook of the same name."""
    made = Organization.made(box.url, ["research", "serving"], {"ml": None, "inner": "ml"})
    for account in made.members:
        made.within(account).client("sagemaker").create_notebook_instance(
            NotebookInstanceName="scratch",
            InstanceType="ml.t3.medium",
            RoleArn=f"arn:aws:iam::{account}:role/ml",
        )
    return made


def parsed(made: Organization, **changed: Any) -> Settings:
    return Settings.parse({"organization": made.table(**changed)}, registry=REGISTRY)


def granted(made: Organization, **changed: Any) -> dict[str, Roles]:
    return {account: made.granted(parsed(made, **changed), account) for account in made.members}


@pytest.fixture
def audit(janitor: Janitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, box: Control) -> Any:
    """Audit as the caller, with these roles and settings."""

    def run(
        made: Organization, roles: Mapping[str, Roles], *args: str, who: str = CALLER, **changed: Any
    ) -> Ran:
        iam = IamControl(box.url)
        iam.enforce(
            {who: caller()[CALLER], **{arn: one for each in roles.values() for arn, one in each.items()}}
        )
        acting_as(monkeypatch, iam.credentials(who))
        config = written(tmp_path, made.table(**changed))
        return janitor("audit", *NAMES, "--organization", "--config", config, *(args or ("--json",)))

    return run


def sweeps(ran: Ran) -> dict[tuple[str, str], list[str | None]]:
    """The errors of the sweeps, by account and region."""
    found = dict[tuple[str, str], list[str | None]]()
    for one in ran.document["sweeps"]:
        found.setdefault((one["account"], one["region"]), []).append(one["error"])
    return found


def test_each_account_is_looked_at_with_its_own_roles_alone(
    box: Control, two: Organization, audit: Any
) -> None:
    """And as a dry run, also where the deployment acts."""
    armed = (f"{NAMES[0]}.mode=act", f"{NAMES[0]}.act_in={json.dumps(two.members)}")
    ran: Ran = audit(two, granted(two), "--json", *(word for one in armed for word in ("--set", one)))

    assert (ran.status, ran.document["account"]) == (0, None)
    assert {one["mode"] for one in ran.document["sweeps"]} == {"dry-run"}
    assert {one["outcome"] for one in ran.document["results"] if one["detector"] == NAMES[0]} == {"would-act"}
    assert sweeps(ran) == {(account, REGION): [None, None] for account in two.members}
    found = {(one["account"], one["arn"]) for one in ran.document["results"] if one["detector"] == NAMES[0]}
    assert found == {
        (account, f"arn:aws:sagemaker:{REGION}:{account}:notebook-instance/scratch")
        for account in two.members
    }
    record = IamControl(box.url).record()
    assert all(one["allowed"] for one in record)
    for one in record:  # whoever asks is of the account that is asked, but to take on its roles
        at = one["resource"].split(":")[4] if one["resource"].count(":") >= 5 else ""
        if one["action"] != "sts:AssumeRole":
            assert at in {"", "*", one["role"].split(":")[4]}
    asked = Counter((one["account"], one["service"]) for one in box.requests())
    assert {account for account, service in asked if service == "sagemaker"} == set(two.members)


def test_an_account_that_grants_nothing_does_not_hide_the_others(two: Organization, audit: Any) -> None:
    first, second = two.members
    roles = granted(two)
    lacking = role_arn(parsed(two), member_role_name(NAMES[1]), account=second, partition="aws")
    roles[second] = {arn: one for arn, one in roles[second].items() if arn != lacking}
    ran: Ran = audit(two, roles)

    assert ran.status == 1
    assert sweeps(ran)[first, REGION] == [None, None]
    (refused,) = filter(None, sweeps(ran)[second, REGION])
    assert refused.startswith("could not be read: its role cannot be taken on")
    assert {one["account"] for one in ran.document["results"]} == {first, second}

    nothing: Ran = audit(two, {first: roles[first]}, "--all")
    assert nothing.status == 1
    assert f"every detector in {second} {REGION}" in nothing.flat
    assert "could not be read: its role cannot be taken on" in nothing.flat


def test_a_role_that_may_not_ask_for_regions_does_not_hide_what_the_others_read(
    two: Organization, audit: Any
) -> None:
    first, second = two.members
    roles = granted(two)
    asking = [role_arn(parsed(two), member_role_name(name), account=first, partition="aws") for name in NAMES]
    asking += [role_arn(parsed(two), member_role_name(max(NAMES)), account=second, partition="aws")]
    for arn in asking:
        one = next(each[arn] for each in roles.values() if arn in each)
        one["policies"] = replaced(one["policies"], "ec2:DescribeRegions", "ec2:DescribeVpcs")
    ran: Ran = audit(two, roles, regions=[])

    (unread,) = {place: errors for place, errors in sweeps(ran).items() if place[0] == first}.items()
    assert unread[0] == (first, "unknown regions")
    for error in unread[1]:
        assert str(error).startswith("could not be read: DescribeRegions: ")
        assert "janitor doctor --organization" in str(error)
    assert {one["account"] for one in ran.document["results"]} == {second}


@pytest.mark.parametrize("wrong", ["caller", "external id", "organization"])
def test_roles_are_for_the_named_callers_with_the_external_id_from_within(
    wrong: str, two: Organization, audit: Any
) -> None:
    roles = granted(two)
    who = f"arn:aws:iam::{ACCOUNT}:role/other" if wrong == "caller" else CALLER
    sent = {"external_id": "something-else"} if wrong == "external id" else {}
    if wrong == "organization":
        roles = {account: replaced(each, two.id, "o-0000000000") for account, each in roles.items()}
    ran: Ran = audit(two, roles, who=who, **sent)

    assert (ran.status, ran.document["results"]) == (1, [])
    errors = [error for each in sweeps(ran).values() for error in each]
    assert len(errors) == len(two.members) * len(NAMES)
    assert all(str(error).startswith("could not be read: its role cannot be taken on") for error in errors)


def test_without_the_external_id_no_role_is_taken_on(box: Control, two: Organization) -> None:
    account, iam = two.members[0], IamControl(box.url)
    roles = granted(two)[account]
    iam.enforce({**caller(), **roles})
    sts: Any = boto3.Session(**iam.credentials(CALLER), region_name=REGION).client("sts")
    arn = next(iter(roles))
    with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=arn, RoleSessionName="someone")
    assert sts.assume_role(RoleArn=arn, RoleSessionName="someone", ExternalId=EXTERNAL_ID)["Credentials"]


def replaced(value: Any, old: str, new: str) -> Any:
    match value:
        case dict():
            return {key: replaced(one, old, new) for key, one in value.items()}
        case list():
            return [replaced(one, old, new) for one in value]
        case _:
            return new if value == old else value


def test_the_accounts_of_a_unit_are_those_below_it(box: Control, two: Organization, audit: Any) -> None:
    organizations = boto3.client("organizations", region_name=REGION)
    first, second = two.members
    root = organizations.list_roots()["Roots"][0]["Id"]
    organizations.move_account(AccountId=first, SourceParentId=root, DestinationParentId=two.units["inner"])
    below = {"units": [two.units["ml"]], "all_accounts": False, "without": []}
    roles = granted(two)

    assert set(sweeps(audit(two, roles, **below))) == {(first, REGION)}
    assert set(sweeps(audit(two, roles, without=[ACCOUNT, first]))) == {(second, REGION)}
    missing: Ran = audit(two, roles, **{**below, "units": ["ou-zzzz-zzzzzzzz"]})
    assert (missing.status, missing.out) == (1, "")
    assert "a unit of [organization] is not there" in missing.err
    box.fault("organizations", "ListAccountsForParent", "deny")
    denied: Ran = audit(two, roles, **below)
    assert (denied.status, denied.out) == (1, "")
    assert "allowed organizations:ListAccountsForParent and organizations:ListOrganiz" in denied.err


def test_an_account_that_may_not_list_the_others_names_them(
    two: Organization, audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two.members
    roles = granted(two)
    inside = f"arn:aws:iam::{first}:role/platform"
    given = {"callers": [inside], "without": []}
    ran: Ran = audit(two, roles, who=inside, **given)
    assert (ran.status, ran.out) == (1, "")
    assert "lists accounts to the management account and to delegated administrators alone" in ran.err

    elsewhere: Ran = audit(two, roles, callers=[inside])
    assert f"these are credentials of account {ACCOUNT}, and the roles trust" in elsewhere.err

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    boto3.client("organizations", region_name=REGION).register_delegated_administrator(
        AccountId=first, ServicePrincipal="ssm.amazonaws.com"
    )
    delegated: Ran = audit(two, roles, who=inside, **given)
    assert {account for account, _ in sweeps(delegated)} == {ACCOUNT, first, second}


def test_only_enabled_regions_are_looked_at(two: Organization, audit: Any) -> None:
    several = {"regions": [REGION, "me-south-1"]}
    roles = granted(two, **several)
    ran: Ran = audit(two, roles, **several)

    assert ran.status == 0
    assert set(sweeps(ran)) == {(account, REGION) for account in two.members}
    assert f"account {two.members[0]} has not enabled me-south-1" in ran.err

    nowhere: Ran = audit(two, roles, "--region", "me-south-1", **several)
    assert (nowhere.status, nowhere.out) == (1, "")
    assert "nothing was looked at: no account has enabled me-south-1" in nowhere.err


@pytest.fixture
def doctor(janitor: Janitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, box: Control) -> Any:
    """Check the roles as the caller."""

    def run(made: Organization, roles: Mapping[str, Roles], *, more: str = "", **changed: Any) -> Ran:
        iam = IamControl(box.url)
        iam.enforce({**caller(), **{arn: one for each in roles.values() for arn, one in each.items()}})
        acting_as(monkeypatch, iam.credentials(CALLER))
        config = written(tmp_path, made.table(**changed), more)
        return janitor("doctor", *NAMES, "--organization", "--config", config)

    return run


def test_a_role_that_is_missing_old_or_too_wide_is_named_with_what_mends_it(
    two: Organization, doctor: Any
) -> None:
    first, second = two.members
    roles, settings = granted(two), parsed(two)
    names = [member_role_name(one) for one in NAMES]
    iam = two.within(first).client("iam")
    own = iam.get_role_policy(RoleName=names[0], PolicyName="reads")["PolicyDocument"]
    for gone in ("ec2:DescribeRegions", "sagemaker:ListEndpoints"):
        next(one for one in own["Statement"] if gone in one["Action"])["Action"].remove(gone)
    iam.put_role_policy(RoleName=names[0], PolicyName="reads", PolicyDocument=json.dumps(own))
    for extra in ("by-hand", "again"):
        everything = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        }
        iam.put_role_policy(RoleName=names[1], PolicyName=extra, PolicyDocument=json.dumps(everything))
    del roles[second][role_arn(settings, member_role_name(NAMES[0]), account=second, partition="aws")]
    trusting = replaced(
        roles[second][role_arn(settings, member_role_name(NAMES[1]), account=second, partition="aws")][
            "trust"
        ],
        EXTERNAL_ID,
        "other",
    )
    two_iam = two.within(second).client("iam")
    two_iam.update_assume_role_policy(RoleName=names[1], PolicyDocument=json.dumps(trusting))
    ran: Ran = doctor(two, roles)

    assert ran.status == 1
    assert "2 accounts of 2 to be looked after." in ran.flat
    assert f"Roles: old {first}: {NAMES[0]} it lacks ec2:DescribeRegions, sagemaker:ListEndpoints" in ran.flat
    assert f"{first}: {NAMES[1]} it also has the policy again; it also has the policy by-hand" in ran.flat
    assert f"{second}: {NAMES[1]} it trusts others than [organization] says" in ran.flat
    assert f"Roles: cannot be taken on {second}: {NAMES[0]} its role cannot be taken on" in ran.flat
    assert "aws cloudformation update-stack-set --stack-set-name ml-janitor-member" in ran.out
    again = ran.out.index("# An update leaves what was changed by hand")
    assert "create-stack-instances" not in ran.out[:again]  # the stack is there, and older than the role
    assert ran.out[again:].count("delete-stack-instances") == 1
    assert f"aws iam delete-role-policy --role-name {names[1]} --policy-name by-hand  # in {first}" in ran.out


def test_an_account_without_any_role_gets_the_stack_and_a_policy_by_hand_is_taken_away(
    two: Organization, doctor: Any
) -> None:
    first, second = two.members
    roles = granted(two)
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam = two.within(first).client("iam")
    iam.put_role_policy(
        RoleName=member_role_name(NAMES[0]), PolicyName="by-hand", PolicyDocument=json.dumps(everything)
    )
    hostile = iam.create_policy(
        PolicyName="x", Path="/;reboot;$(id)/", PolicyDocument=json.dumps(everything)
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=member_role_name(NAMES[0]), PolicyArn=hostile)
    ran: Ran = doctor(two, {first: roles[first]})

    assert "--policy-name by-hand" in ran.out
    assert (
        f"--policy-arn '{hostile}'  # in {first}" in ran.out
    )  # what is copied runs nothing of the account's
    assert "update-stack-set" not in ran.out
    assert f"AccountFilterType=INTERSECTION,Accounts={second}  # in {ACCOUNT}; as a delegated" in ran.out
    assert "administrator with --call-as DELEGATED_ADMIN\n" in ran.out


def test_the_missing_step_of_an_upgrade_is_named(
    two: Organization,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    box: Control,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """An adviser's own role, that of all advisers, and the stack, in every order of an upgrade."""
    account, table = two.members[0], two.table(all_accounts=False, without=[], accounts=[two.members[0]])
    registry = (UntaggedResources, SpotTraining)
    made = two.granted(Settings.parse({"organization": table}, registry=registry), account)
    arn = next(arn for arn in made if arn.endswith("advisers"))
    single = {arn.replace("advisers", SpotTraining.name): made[arn]}
    who = caller()
    reads = {"Effect": "Allow", "Action": "cloudformation:ListStackResources", "Resource": "*"}
    who[CALLER]["policies"][0]["Statement"].append(reads)
    iam = IamControl(box.url)
    config = written(tmp_path, table)
    last = "too wide ACCOUNT: every role the last step of the upgrade is missing"
    for roles, queue, status, says, command in (
        (
            single,
            "",
            1,
            "cannot be taken on ACCOUNT: every role the first step of the upgrade",
            "-upgrade.template",
        ),
        ({**made, **single}, "", 1, last, "# Only once the stack is updated"),
        ({**made, **single}, "SpotTrainingFailed", 1, last, "make deploy  # the stack is of an earlier"),
        ({**made, **single}, "Failed", 1, last, "file://cdk.out/ml-janitor-member.template"),
        (made, "Failed", 0, "1 account: every role is as it should be", ""),
    ):
        if queue:
            resource = {"logical": f"{queue}0A1B2C3D", "physical": "https://q", "type": "AWS::SQS::Queue"}
            box.stack("MlJanitor", [resource])
        iam.enforce({**who, **roles})
        acting_as(monkeypatch, iam.credentials(CALLER))
        capfd.readouterr()

        asked = ["doctor", SpotTraining.name, "--organization", "--config", str(config)]
        assert main(asked, registry=registry) == status

        said = capfd.readouterr().out
        assert says.replace("ACCOUNT", account) in " ".join(said.split())
        assert command in said
        assert ("update-stack-set" in said) == (status == 1 and "make deploy" not in command)
        assert ("-upgrade" in said) == ("-upgrade" in command)


def test_the_account_that_manages_deploys_the_template_itself(two: Organization, doctor: Any) -> None:
    ran: Ran = doctor(two, granted(two), without=[])

    assert ran.status == 1
    assert f"{ACCOUNT}: every role its role cannot be taken on" in ran.flat
    assert "aws cloudformation deploy --stack-name ml-janitor-member" in ran.flat
    assert f"# in {ACCOUNT}" in ran.flat
    assert "stack-instances" not in ran.flat


def test_closed_accounts_are_left_out_and_a_listing_that_broke_off_is_none(
    box: Control, two: Organization, audit: Any
) -> None:
    first, second = two.members
    client = boto3.client("organizations", region_name=REGION)
    client.close_account(AccountId=first)
    assert list(list_accounts(client, units=[], without=[ACCOUNT])) == [second]

    roles = granted(two)
    box.fault("organizations", "ListAccounts", "drop", times=9)
    ran: Ran = audit(two, roles)
    assert (ran.status, ran.out) == (1, "")
    assert "the accounts could not be listed" in ran.err


def test_a_misspelt_region_is_refused(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for args in (("--region", "eu-wset-1"), ("--set", 'organization.regions=["eu-wset-1"]')):
        ran = janitor("audit", "--organization", *args)
        assert (ran.status, ran.out) == (2, "")
        assert "AWS has no region eu-wset-1 that this version knows; did you mean eu-west-1?" in ran.err
    settings = ("--set", 'organization.regions=["eu-west-1"]')
    ran = janitor("audit", "--organization", "--region", "us-east-1", *settings)
    assert (ran.status, ran.out) == (2, "")
    assert "--region us-east-1 is not in organization.regions, and the roles allow" in ran.err
    for option in (("--policy",), ("--region", "eu-west-1"), ("--stack", "MlJanitor")):
        ran = janitor("doctor", "--organization", *option)
        assert (ran.status, ran.out) == (2, "")
        assert f"--organization and {option[0]} exclude each other" in ran.err
    ran = janitor("audit", "--organization")
    assert (ran.status, "[organization] in the settings names no accounts" in ran.err) == (2, True)


def test_an_organization_of_which_no_account_is_left_is_not_one_without_waste(
    two: Organization, audit: Any, doctor: Any
) -> None:
    everyone = {"without": [ACCOUNT, *two.members]}
    for ran in (audit(two, {}, **everyone), doctor(two, {}, **everyone)):
        assert (ran.status, ran.out) == (1, "")
        assert "no active account is left to look at: all_accounts less without is empty" in ran.err
    empty = {"units": [two.units["inner"]], "all_accounts": False, "without": []}
    assert "units less without is empty" in audit(two, {}, **empty).err


def test_people_are_not_sent_to_commands_of_one_account(two: Organization, audit: Any) -> None:
    ran: Ran = audit(two, granted(two), "--all", "--plan")

    assert (ran.status, "janitor explain" in ran.out) == (0, False)
    for account in two.members:  # what has one name in both
        assert f"scratch in {account} the last sign of work" in ran.flat
        assert f"scratch in {account}, no owner tag" in ran.flat


STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@cases(
    "actual, wanted, state",
    ({"StringEquals": {"r": "a"}}, {"StringEquals": {"r": ["a", "b"]}}, "narrower"),
    ({"StringEquals": {"r": ["b", "a"]}}, {"StringEquals": {"r": ["a", "b"]}}, "same"),
    ({"StringEquals": {"r": "a", "s": "x"}}, {"StringEquals": {"r": "a"}}, "narrower"),
    ({"StringEquals": {"r": "a"}}, {}, "narrower"),
    ({}, {"StringEquals": {"r": "a"}}, "wider"),
    ({"StringEquals": {"r": ["a", "c"]}}, {"StringEquals": {"r": ["a", "b"]}}, "wider"),
    ({"StringLike": {"r": "a"}}, {"StringEquals": {"r": ["a", "b"]}}, "wider"),
    ({"StringNotEquals": {"r": "a"}}, {"StringNotEquals": {"r": ["a", "b"]}}, "wider"),
    ({"ForAllValues:StringEquals": {"r": "a"}}, {"StringEquals": {"r": "a"}}, "wider"),
)
def test_a_permission_under_stricter_conditions_is_lacking(actual: Any, wanted: Any, state: str) -> None:
    more, less = compare_policies(
        {"Statement": STATEMENT | {"Condition": actual}}, {"Statement": [STATEMENT | {"Condition": wanted}]}
    )
    assert (bool(more), bool(less)) == {
        "same": (False, False), "narrower": (False, True), "wider": (True, True)
    }[state]  # fmt: skip


def test_roles_of_before_a_region_was_added_are_old(two: Organization, doctor: Any) -> None:
    ran: Ran = doctor(two, granted(two), regions=[REGION, "eu-west-1"], callers=[CALLER, f"{CALLER}-2"])

    assert (ran.status, "too wide" in ran.out) == (1, False)
    assert "it does not trust all that it should" in ran.flat


def test_a_role_without_the_boundary_of_the_settings_is_too_wide(
    two: Organization, janitor: Janitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, box: Control
) -> None:
    first, second = two.members
    boundary = {
        "janitor": {"permissions_boundary": f"arn:aws:iam::{ACCOUNT}:policy/edge", "role_path": "/ml/"}
    }
    bounded = Settings.parse({"organization": two.table(), **boundary}, registry=REGISTRY)
    roles = {one: two.granted(bounded, one) for one in two.members}
    two.within(second).client("iam").delete_role_permissions_boundary(RoleName=member_role_name(NAMES[0]))
    iam = IamControl(box.url)
    iam.enforce({**caller(), **{arn: one for each in roles.values() for arn, one in each.items()}})
    acting_as(monkeypatch, iam.credentials(CALLER))
    sets = [("--set", f"janitor.{key}={value}") for key, value in boundary["janitor"].items()]
    config = written(tmp_path, two.table())
    ran = janitor(
        "doctor", *NAMES, "--organization", "--config", config, *(one for pair in sets for one in pair)
    )

    assert f"{second}: {NAMES[0]} it is not bounded by arn:aws:iam::{second}:policy/edge" in ran.flat
    assert (ran.status, first in ran.flat, "update-stack-set" in ran.flat) == (1, False, True)


# --- roles that act and undo -------------------------------------------------------------------------

ACTING, UNDOING = (
    member_role_name("idle-notebooks", RoleKind.ACT),
    member_role_name("idle-notebooks", RoleKind.UNDO),
)


@dataclass
class Armed:
    """An organization whose first account is armed for notebooks, with the roles of the templates."""

    made: Organization
    doctor: Any
    roles: dict[str, Roles]
    toml: str

    @property
    def first(self) -> str:
        return self.made.members[0]

    @property
    def iam(self) -> Any:
        """That of the first account."""
        return self.made.within(self.first).client("iam")

    def ran(self, toml: str | None = None) -> Ran:
        ran: Ran = self.doctor(self.made, self.roles, more=self.toml if toml is None else toml)
        return ran


@pytest.fixture
def armed(two: Organization, doctor: Any) -> Armed:
    first = two.members[0]
    section = {"mode": "act", "act_in": [f"{first}/{REGION}"]}
    tables = {"organization": two.table(), "detectors": {"idle-notebooks": section}}
    settings = Settings.parse(tables, registry=REGISTRY)
    toml = f'[detectors.idle-notebooks]\nmode = "act"\nact_in = ["{first}/{REGION}"]\n'
    return Armed(two, doctor, {one: two.granted(settings, one) for one in two.members}, toml)


def test_roles_that_act_are_in_the_accounts_that_are_armed_and_nobodys_to_take_on(
    armed: Armed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = list[str]()

    def counted(session: boto3.Session, service: Any, *args: Any) -> Any:
        clients.append(service)
        return make_client(session, service, *args)

    monkeypatch.setattr(organization, "make_client", counted)
    first, second = armed.made.members
    names = {account: {arn.rpartition("/")[2] for arn in armed.roles[account]} for account in (first, second)}
    assert names[first] - names[second] == {ACTING, UNDOING}

    ran = armed.ran()
    assert clients.count("sts") == 1  # threads may share a client, and not make several of one session
    assert (ran.status, ran.out.strip()) == (0, "Organization  2 accounts: every role is as it should be.")
    record = IamControl(armed.made.url).record()
    assert all(one["allowed"] for one in record)
    assert not {one["resource"].rpartition("/")[2] for one in record if one["action"] == "sts:AssumeRole"} & {
        ACTING,
        UNDOING,
    }


def test_an_acting_role_that_trusts_a_person_or_changes_what_is_kept_is_too_wide(armed: Armed) -> None:
    trusting = replaced(
        armed.iam.get_role(RoleName=ACTING)["Role"]["AssumeRolePolicyDocument"],
        f"arn:aws:iam::{ACCOUNT}:role/{sweep_role_name('idle-notebooks')}",
        CALLER,
    )
    armed.iam.update_assume_role_policy(RoleName=ACTING, PolicyDocument=json.dumps(trusting))
    own = armed.iam.get_role_policy(RoleName=ACTING, PolicyName="acts")["PolicyDocument"]
    own["Statement"] = [one for one in own["Statement"] if one["Effect"] == "Allow"]
    armed.iam.put_role_policy(RoleName=ACTING, PolicyName="acts", PolicyDocument=json.dumps(own))
    ran = armed.ran()

    assert ran.status == 1
    assert f"Roles: too wide {armed.first}: idle-notebooks (acting) it " in ran.flat
    assert "it trusts others than [organization] says" in ran.flat
    assert "it also allows sagemaker:StopNotebookInstance" in ran.flat
    assert "update-stack-set --stack-set-name ml-janitor-member-acts --cap" in ran.out
    assert "An update leaves what was changed by hand" in ran.flat
    for verb, more in (("delete", " --no-retain-stacks"), ("create", "")):
        assert (
            f"{verb}-stack-instances --stack-set-name ml-janitor-member-acts --regions us-east-1" in ran.out
        )
        assert f"Accounts={armed.first}{more}  # in" in ran.out


def test_what_is_not_armed_any_more_is_to_be_taken_away(armed: Armed) -> None:
    ran = armed.ran("")

    assert ran.status == 1
    for name in ("acting", "undo"):
        assert f"idle-notebooks ({name})" in ran.flat
    assert "nothing is armed for it here, and it is there" in ran.flat
    assert "delete-stack-instances --stack-set-name ml-janitor-member-acts" in ran.out
    assert f"Accounts={armed.first} --no-retain-stacks" in ran.out
    assert "update-stack-set" not in ran.out


def test_a_role_that_is_lacking_to_act_is_made_where_it_is_armed(armed: Armed) -> None:
    for name, policy in ((ACTING, "acts"), (UNDOING, "undoes")):
        armed.iam.delete_role_policy(RoleName=name, PolicyName=policy)
        armed.iam.delete_role(RoleName=name)
    ran = armed.ran()

    assert f"{armed.first}: idle-notebooks (acting), idle-notebooks (undo) it is not there" in ran.flat
    assert "create-stack-instances --stack-set-name ml-janitor-member-acts" in ran.out
    assert f"Accounts={armed.first}  # in" in ran.out
    assert "update-stack-set" not in ran.out
