"""An organization in the sandbox: accounts that grant the roles of the real template, and what they waste."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import boto3

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.latest import LastRun, LastSweep, LatestRecords, LatestRuns, RunAccount, RunLists
from ml_janitor.ledger.table import Table
from ml_janitor_cli.template import member
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.iam.control import Credentials
from standin import ARMED_TOML, EMAILS, OWNER, Deployment, assumed, idle_notebook
from synthesis import TODAY, resolved

CALLER = f"arn:aws:iam::{ACCOUNT}:role/platform"
EXTERNAL_ID = "ml-janitor-7f3a"

NOTEBOOKS = "idle-notebooks"
OFF = "me-south-1"
"""A region that accounts have to enable first."""

type Roles = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Organization:
    """One that `ACCOUNT` manages; *members* are the others in it, *units* the ids of its units by name."""

    url: str
    id: str
    members: tuple[str, ...]
    units: dict[str, str]

    @classmethod
    def made(cls, url: str, members: Sequence[str], units: dict[str, str | None] | None = None) -> Self:
        """With a member for each name; *units* are made below the one that they name, or the root."""
        client = boto3.client("organizations", region_name=REGION)
        organization = client.create_organization(FeatureSet="ALL")["Organization"]["Id"]
        root, ids = client.list_roots()["Roots"][0]["Id"], dict[str, str]()
        for name, parent in (units or {}).items():
            made = client.create_organizational_unit(ParentId=ids[parent] if parent else root, Name=name)
            ids[name] = made["OrganizationalUnit"]["Id"]
        accounts = [
            client.create_account(AccountName=name, Email=f"{name}@example.com")["CreateAccountStatus"][
                "AccountId"
            ]
            for name in members
        ]
        return cls(url=url, id=organization, members=tuple(accounts), units=ids)

    def table(self, **changed: Any) -> dict[str, Any]:
        """`[organization]` for all of it."""
        return {
            "id": self.id,
            "external_id": EXTERNAL_ID,
            "callers": [CALLER],
            "all_accounts": True,
            "without": [ACCOUNT],
            "regions": [REGION],
        } | changed

    def within(self, account: str) -> boto3.Session:
        """A session that may do everything in *account*, as long as no roles are enforced."""
        return assumed(f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole")

    def granted(self, settings: Settings, account: str) -> Roles:
        """The roles of the template, made in *account* as CloudFormation would; for `IamControl.enforce`."""
        roles: Roles = {}
        iam = self.within(account).client("iam")
        known = {"AWS::AccountId": account, "AWS::Partition": "aws"}
        for resource in granted_by(settings, account):
            role = resolved(resource["Properties"], known)
            trust, (policy,) = role["AssumeRolePolicyDocument"], role["Policies"]
            made = iam.create_role(
                RoleName=role["RoleName"],
                Path=role["Path"],
                AssumeRolePolicyDocument=json.dumps(trust),
                **{key: role[key] for key in ("PermissionsBoundary",) if key in role},
            )
            iam.put_role_policy(
                RoleName=role["RoleName"],
                PolicyName=policy["PolicyName"],
                PolicyDocument=json.dumps(policy["PolicyDocument"]),
            )
            roles[made["Role"]["Arn"]] = {"policies": [policy["PolicyDocument"]], "trust": trust}
        return roles


@dataclass
class Accounts:
    """A deployment for an organization of two accounts: each has a notebook `churn`, left on at night."""

    armed: Deployment
    made: Organization
    table: Table
    inside: Mapping[str, boto3.Session]

    @property
    def first(self) -> str:
        return self.made.members[0]

    @property
    def second(self) -> str:
        return self.made.members[1]

    def settings(self, *, janitor: str = "", **changed: Any) -> None:
        """Another janitor.toml, with an [organization] that is *changed* so."""
        section = organization_section(self.made.table(**{"regions": [REGION, OFF], **changed}))
        armed = ARMED_TOML.replace(f'"{ACCOUNT}"', f'"{self.first}", "{self.second}"')
        self.armed.settings(armed.replace("[janitor]\n", f"[janitor]\n{janitor}", 1) + section)

    def listed(self, *listed: RunAccount, time: datetime = NOW, detector: str = NOTEBOOKS) -> None:
        """The run of *time* has these, or the two accounts; as the state machine's first step leaves it."""
        found = listed or tuple(RunAccount(each, (REGION,)) for each in self.made.members)
        begin_run(
            RunLists(self.armed.session.client("s3"), BUCKET, self.table), self.table, detector, time, found
        )

    def child(self, account: str, *regions: str, **event: Any) -> dict[str, Any]:
        """One child of the run, as the state machine invokes it."""
        given = {
            "time": NOW.isoformat(),
            "started": self.armed.now.isoformat(),
            "account": account,
            "regions": list(regions or (REGION,)),
            **event,
        }
        return self.armed.sweep(NOTEBOOKS, **{key: one for key, one in given.items() if one is not None})

    def last(self, account: str, region: str = REGION) -> LastSweep:
        found = LatestRecords(self.table).sweep(NOTEBOOKS, account, region)
        assert found is not None
        return found

    def status(self, account: str) -> str:
        answer = (
            self.inside[account].client("sagemaker").describe_notebook_instance(NotebookInstanceName="churn")
        )
        return str(answer["NotebookInstanceStatus"])

    def asked(self) -> Counter[str]:
        return Counter(one["account"] for one in self.armed.box.requests() if one["service"] == "sagemaker")

    def findings(self) -> dict[str, dict[str, Any]]:
        return {one["account"]: one for one in self.armed.table().get("finding", [])}

    def message(self, account: str) -> dict[str, Any]:
        """The warning about its notebook."""
        return next(one for one in self.armed.warnings() if account in json.dumps(one["blocks"]))


def seeded_accounts(armed: Deployment, table: Table) -> Accounts:
    """Two accounts, of which nothing was swept yet."""
    box = armed.box
    made = Organization.made(box.url, ["research", "serving"])
    inside = {each: made.within(each) for each in made.members}
    for session in inside.values():
        idle_notebook(session, box, owner=EMAILS[OWNER])
    given = Accounts(armed, made, table, inside)
    given.settings()
    given.listed()
    box.clear_calls()
    return given


def granted_by(settings: Settings, account: str) -> list[dict[str, Any]]:
    """The resources of all templates, as far as *account* gets them, with the policies that it gets."""
    found = []
    for name, roles in member.member_stacks(settings, TODAY).items():
        made = member.member_template(settings, name, roles)
        true = partial(holds, made.get("Conditions", {}), account)
        for resource in made["Resources"].values():
            if "Condition" in resource and not true(resource["Condition"]):
                continue
            policies = [
                one["Fn::If"][1] if "Fn::If" in one else one
                for one in resource["Properties"]["Policies"]
                if "Fn::If" not in one or true(one["Fn::If"][0])
            ]
            found.append({**resource, "Properties": {**resource["Properties"], "Policies": policies}})
    return found


def holds(known: dict[str, Any], account: str, test: Any) -> bool:
    """Whether a condition of a template holds in *account*; others are *known* by name."""
    match test:
        case {"Fn::Equals": [{"Ref": "AWS::AccountId"}, str(other)]}:
            return account == other
        case {"Fn::Or": [*tests]} if 2 <= len(tests) <= 10:
            return any(holds(known, account, one) for one in tests)
        case {"Fn::Not": [one]}:
            return not holds(known, account, one)
        case {"Condition": str(name)} | str(name):
            return holds(known, account, known[name])
    raise NotImplementedError(test)


def caller() -> Roles:
    """The role of the person who looks: it may list accounts, take on the roles, and ask for prices."""
    actions = ("organizations:*", "pricing:GetProducts", "sts:AssumeRole")
    statements = [{"Effect": "Allow", "Action": action, "Resource": "*"} for action in actions]
    return {CALLER: {"policies": [{"Version": "2012-10-17", "Statement": statements}], "trust": None}}


def acting_as(monkeypatch: Any, given: Credentials) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name.upper(), value)


def written(folder: Path, table: dict[str, Any], more: str = "") -> Path:
    """A settings file with this `[organization]`, and *more* before it."""
    path = folder / "organization.toml"
    path.write_text(more + organization_section(table))
    return path


def organization_section(table: Mapping[str, Any]) -> str:
    """The *table* `[organization]`, as TOML."""
    return "\n[organization]\n" + "".join(f"{key} = {json.dumps(one)}\n" for key, one in table.items())


def begin_run(
    lists: RunLists, table: Table, detector: str, time: datetime, listed: Sequence[RunAccount]
) -> None:
    """A run of *time* has these accounts, as the state machine's first step leaves it."""
    key = lists.keep(detector, time, listed=listed, accounts=listed)
    run = LastRun(detector=detector, time=time, key=key, accounts=len(listed), begun=time)
    LatestRuns(table).begun(run)


def act_as_function(
    monkeypatch: Any, url: str, name: str, actions: Sequence[str], granted: Roles
) -> IamControl:
    """From now on, requests come from a function's own role *name*; roles *granted* by others hold, too."""
    iam, own = IamControl(url), f"arn:aws:iam::{ACCOUNT}:role/{name}"
    may = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
    iam.enforce({own: {"policies": [{"Version": "2012-10-17", "Statement": may}], "trust": None}, **granted})
    acting_as(monkeypatch, iam.credentials(own))
    return iam
