"""`janitor doctor --organization`: whether each account grants its roles as they should be; what mends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.answers import attempt, describe, refused_as
from ml_janitor.aws.organization import ALWAYS_ENABLED, NOT_TAKEN_ON
from ml_janitor.config.member_roles import POLICY, allowed, boundary, role_name, sweep_role_name, trust
from ml_janitor.core.signals import Value
from ml_janitor.core.text import plain
from ml_janitor_cli.finding_rows import ERROR_LIMIT
from ml_janitor_cli.organization import AT_ONCE, Janitor
from ml_janitor_cli.screen import progress
from ml_janitor_cli.terminal import block, listed
from ml_janitor_cli.totals import counted

if TYPE_CHECKING:
    from ml_janitor.config.sections import OrganizationSection
    from ml_janitor.engine.detector import Detector
    from ml_janitor_cli import edge

STACK_SET = "ml-janitor-member"
TEMPLATE = f"cdk.out/{STACK_SET}.template.json"

type Conditions = frozenset[tuple[str, str, frozenset[str]]]
"""Operator, key and values of each."""

type Statements = frozenset[tuple[str, str, str, Conditions]]
"""Single permissions: effect, action, resource or principal, conditions."""


class State(Enum):
    """What a role is like."""

    FINE = "as it should be"
    MISSING = "cannot be taken on"
    OLD = "old"
    WIDE = "too wide"
    UNREAD = "not read"


class Checked(NamedTuple):
    """Whether every role is fine, what to draw, and the commands that mend the others."""

    fine: bool
    blocks: list[RenderableType]
    commands: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    One role in one account: its state, and why.

    *commands* remove what the template does not know of; *itself* is whether the rest is as it should be.
    """

    account: str
    detector: str
    state: State
    why: str = ""
    commands: tuple[str, ...] = ()
    itself: bool = False


def check_organization(setup: edge.Setup, detectors: Sequence[Detector[Any]]) -> Checked:
    """
    Whether all roles of *detectors* are fine in all accounts. Nothing is changed.

    Raises Refused, and FailedError where the accounts could not be listed.
    """
    with progress("listing the accounts") as say:
        janitor = Janitor.of(setup)
        accounts = janitor.accounts()
        manager = management_account(janitor)
        say(f"reading the roles of {counted(len(accounts), 'account')}")
        pairs = [(account, detector) for account in accounts for detector in detectors]
        with ThreadPoolExecutor(4 * AT_ONCE) as side_by_side:
            roles = list(side_by_side.map(lambda pair: checked(janitor, *pair), pairs))
    return Checked(
        fine=all(one.state is State.FINE for one in roles),
        blocks=list(drawing(roles)),
        commands=list(commands(setup.settings.organization, roles, manager)),
    )


def management_account(janitor: Janitor) -> str:
    """The account that manages the organization; nothing if nobody says."""
    client = janitor.client(janitor.setup.session, "organizations", ALWAYS_ENABLED[janitor.partition])
    answer = attempt(client.describe_organization, source="organizations:DescribeOrganization")
    return str(answer.value["Organization"]["MasterAccountId"]) if isinstance(answer, Value) else ""


def checked(janitor: Janitor, account: str, detector: Detector[Any]) -> Role:
    """The role of *detector* in *account*, by what it says of itself."""

    def role(state: State, why: str = "", **more: Any) -> Role:
        return Role(account=account, detector=detector.name, state=state, why=why, **more)

    try:
        iam = janitor.client(janitor.session(account, detector.name), "iam")
    except Exception as error:  # the answer of this role, and of no other
        if refused_as(error, ("AccessDenied",)):
            return role(State.MISSING, NOT_TAKEN_ON)
        return role(State.UNREAD, describe(error))
    settings, name, partition = janitor.setup.settings, role_name(detector.name), janitor.partition
    try:
        itself = iam.get_role(RoleName=name)["Role"]
        inline = paged(iam, "list_role_policies", "PolicyNames", name)
        attached = [
            one["PolicyArn"] for one in paged(iam, "list_attached_role_policies", "AttachedPolicies", name)
        ]
        own = (
            iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
            if POLICY in inline
            else {}
        )
    except Exception as error:
        if refused_as(error, ("AccessDenied",)):
            return role(State.OLD, "it may not read itself")
        return role(State.UNREAD, describe(error))
    wanted = allowed(settings, detector, account=account, partition=partition)
    more, less = differences(own, wanted)
    trusted = trust(settings, sweep_role_name(detector.name), people=True, partition=partition)
    strangers, unknown = differences(itself["AssumeRolePolicyDocument"], trusted)
    bounded_by = boundary(settings, account=account, partition=partition)
    unbounded = bool(bounded_by) and (
        itself.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") != bounded_by
    )
    others = sorted(one for one in inline if one != POLICY)
    wide = [
        *([f"it also allows {', '.join(more)}"] if more else []),
        *(f"it also has the policy {one}" for one in (*others, *attached)),
        *(["it trusts others than [organization] says"] if strangers else []),
        *([f"it is not bounded by {bounded_by}"] if unbounded else []),
    ]
    if wide:
        remove = [
            f"aws iam delete-role-policy --role-name {name} --policy-name {shlex.quote(one)}"
            for one in others
        ]
        remove += [
            f"aws iam detach-role-policy --role-name {name} --policy-arn {shlex.quote(one)}"
            for one in attached
        ]
        fine = not (more or less or strangers or unknown or unbounded)
        return role(State.WIDE, "; ".join(wide), commands=tuple(remove), itself=fine)
    old = [
        *([f"it lacks {', '.join(less)}"] if less else []),
        *(["it does not trust all that it should"] if unknown else []),
    ]
    return role(State.OLD, "; ".join(old)) if old else role(State.FINE)


def paged(iam: Any, operation: str, member: str, role: str) -> list[Any]:
    return [one for page in iam.get_paginator(operation).paginate(RoleName=role) for one in page[member]]


def differences(actual: dict[str, Any], wanted: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The actions that *actual* allows beyond *wanted*, and those that it lacks or denies, somewhere."""
    have, want = single(actual), single(wanted)
    denied = {one[1] for one in have if one[0] == "Deny"}
    more = {
        one[1]
        for one in have - want
        if one[0] == "Allow"
        and not any(one[:3] == other[:3] and as_strict(one[3], other[3]) for other in want)
    }
    return sorted(more), sorted(denied | {one[1] for one in want - have})


def as_strict(actual: Conditions, wanted: Conditions) -> bool:
    """
    Whether *actual* holds only where *wanted* does: each of its conditions is there, with no other values.

    Of a negated operator, fewer values would allow more: it has to be the same.
    """
    return all(
        any(
            (operator, key) == (test, name) and (has <= values if "Not" not in operator else has == values)
            for test, name, has in actual
        )
        for operator, key, values in wanted
    )


def single(document: dict[str, Any]) -> Statements:
    """The permissions of a policy one by one, however its statements put them together."""
    return frozenset(
        (str(one["Effect"]), action, where, conditions(one))
        for one in several(document.get("Statement", []))
        for action in several(one.get("Action", "all actions but some"))
        for where in several(one.get("Resource", json.dumps(one.get("Principal"), sort_keys=True)))
    )


def conditions(statement: dict[str, Any]) -> Conditions:
    """The conditions of a statement, however they are written."""
    return frozenset(
        (operator, key, frozenset(map(str, several(values))))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def several(value: Any) -> list[Any]:
    """IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]


def drawing(roles: Sequence[Role]) -> Iterator[RenderableType]:
    """What was found out, account by account."""
    accounts = dict.fromkeys(one.account for one in roles)
    bad = [one for one in roles if one.state is not State.FINE]
    troubled = dict.fromkeys(one.account for one in bad)
    said = (
        f"{counted(len(troubled), 'account')} of {len(accounts)} to be looked after."
        if bad
        else f"{counted(len(accounts), 'account')}: every role is as it should be."
    )
    yield Text.assemble(("Organization  ", "bold cyan"), (said, "bold"))
    for state in State:
        if rows := alike(
            [one for one in bad if one.state is state], every=len({one.detector for one in roles})
        ):
            style = "red" if state in {State.MISSING, State.WIDE} else "yellow"
            yield block(f"Roles: {state.value}", rows, style=style)


def alike(roles: Iterable[Role], *, every: int) -> list[tuple[str, str]]:
    """What is wrong for the same reason, together: by account, the detectors."""
    by_why: dict[str, dict[str, list[str]]] = {}
    for one in roles:
        by_why.setdefault(one.why, {}).setdefault(one.account, []).append(one.detector)
    return [
        (
            "; ".join(
                f"{account}: {'every role' if len(names) == every else listed(names)}"
                for account, names in found.items()
            ),
            plain(why, ERROR_LIMIT),
        )
        for why, found in by_why.items()
    ]


def commands(section: OrganizationSection, roles: Sequence[Role], manager: str) -> Iterator[str]:
    """
    The commands that mend the roles that are not fine, each once.

    A StackSet reaches the accounts of an organization but the one that manages it (CloudFormation user guide,
    "Considerations when creating a stack set with service-managed permissions"); every other account deploys
    the template itself.
    """
    to_mend = [one for one in roles if one.state in {State.MISSING, State.OLD, State.WIDE}]
    accounts = dict.fromkeys(one.account for one in to_mend)
    own = [one for one in accounts if one == manager or not section.id]
    there = {one.account for one in roles if one.state is not State.MISSING}
    missing = [one for one in accounts if one not in there and one not in own]
    update = [one for one in to_mend if one.account in there and one.account not in own and not one.itself]
    where = (
        f"  # in {manager or 'the management account'}; as a delegated administrator with "
        "--call-as DELEGATED_ADMIN"
    )
    units = ",".join(section.units) or "$(aws organizations list-roots --query Roots[0].Id --output text)"
    if update:
        yield (
            f"aws cloudformation update-stack-set --stack-set-name {STACK_SET} "
            f"--capabilities CAPABILITY_NAMED_IAM --template-body file://{TEMPLATE}{where}"
        )
    if missing:
        yield (
            f"aws cloudformation create-stack-instances --stack-set-name {STACK_SET} --regions us-east-1 "
            f"--deployment-targets OrganizationalUnitIds={units},AccountFilterType=INTERSECTION,"
            f"Accounts={','.join(missing)}{where}"
        )
    for account in dict.fromkeys(one.account for one in to_mend if one.account in own and not one.itself):
        yield (
            f"aws cloudformation deploy --stack-name {STACK_SET} --capabilities CAPABILITY_NAMED_IAM "
            f"--template-file {TEMPLATE}  # in {account}"
        )
    for one in to_mend:
        yield from (f"{command}  # in {one.account}" for command in one.commands)
