"""Sweeps of every account of an organization, and `janitor doctor --organization` on the accounts' roles."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import boto3
from rich.console import RenderableType

from ml_janitor.aws.calls import READ_THREADS, ReadError, error_text, is_refusal, make_client, read_signal
from ml_janitor.aws.client import (
    ALWAYS_ENABLED_REGIONS,
    PRICING_REGION,
    ROLE_REFUSED,
    Aws,
    enabled_regions,
    list_accounts,
    open_member_session,
    unread_sweep_error,
)
from ml_janitor.aws.prices import Prices
from ml_janitor.config.functions import Advisers, sweeping_function
from ml_janitor.config.member_roles import (
    CHANGING_STACK,
    READING_STACK,
    MemberRole,
    RoleKind,
    RoleReader,
    changing_roles,
    cleaning_readers,
    member_boundary,
    member_role,
    member_role_name,
    reading_role_name,
    role_arn,
    role_policy,
    sweep_readers,
    trust_policy,
)
from ml_janitor.config.sections import OrganizationSection
from ml_janitor.core.model import Mode, Value
from ml_janitor.core.results import Report, Sweep
from ml_janitor.core.text import count_noun, escape_text, quote_shell, shorten_list
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import run_pairs
from ml_janitor_cli import edge
from ml_janitor_cli.screen import draw_title, show_progress
from ml_janitor_cli.stack import STACK_NAME, DeployedStack, RegionServices, deploy_command, earlier_queues
from ml_janitor_cli.terminal import ERROR_LIMIT, NAMES_SHOWN, draw_list

# --- sweeps ---------------------------------------------------------------------------------------

ACCOUNTS_AT_ONCE = 4
"""Accounts looked at side by side; each has rates of its own, and all share the threads that read."""

UNKNOWN_REGIONS = "unknown regions"
"""Placeholder for the regions of an account that nobody could ask for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationCaller:
    """
    The caller that looks at the accounts, with its settings and its home.

    *sts* takes on the roles: threads may share a client, but not make clients of one session.
    """

    setup: edge.Setup
    partition: str
    home: str
    sts: Any

    @classmethod
    def of(cls, setup: edge.Setup) -> OrganizationCaller:
        """
        Identify the credentials of *setup*.

        Raises CommandRefusedError; FailedError if no account trusts them.
        """
        section, session = setup.settings.organization, setup.session
        if not section.used:
            raise edge.CommandRefusedError("--organization: [organization] in the settings names no accounts")
        partition = session.get_partition_for_region(session.region_name or "us-east-1")
        home = session.region_name or ALWAYS_ENABLED_REGIONS[partition]
        caller = edge.require_caller(session, home, setup.attempts)
        if caller.account != section.janitor_account:
            raise edge.FailedError(
                f"these are credentials of account {caller.account}, and the roles trust callers of "
                f"account {section.janitor_account} alone"
            )
        sts = make_client(session, "sts", home, setup.attempts)
        return cls(setup=setup, partition=partition, home=home, sts=sts)

    def client(self, session: boto3.Session, service: Any, region: str = "") -> Any:
        """Create a client of *service*, at home unless another region is given."""
        return make_client(session, service, region or self.home, self.setup.attempts)

    def accounts(self) -> list[str]:
        """List the accounts to look at. Raises FailedError that says what to do next."""
        section = self.setup.settings.organization
        if section.accounts:
            return list(dict.fromkeys(section.accounts))
        organizations = self.client(
            self.setup.session, "organizations", ALWAYS_ENABLED_REGIONS[self.partition]
        )
        try:
            return list(list_accounts(organizations, units=section.units, without=section.without))
        except ReadError as error:
            raise edge.FailedError(str(error)) from error

    def session(self, account: str, detector: str) -> boto3.Session:
        """Open a session of *detector*'s role in *account*. Raises what STS raises, and ReadError."""
        return self.take_on(account, reading_role_name(self.setup.settings, detector))

    def take_on(self, account: str, name: str) -> boto3.Session:
        """Open a session of the role *name* in *account*. Raises what STS raises, and ReadError."""
        role = role_arn(self.setup.settings, name, account=account, partition=self.partition)
        external_id = self.setup.settings.organization.external_id
        return open_member_session(self.sts, self.setup.session, role, external_id)


def organization_regions(setup: edge.Setup, flags: Sequence[str] | None) -> tuple[str, ...]:
    """
    Return where to look: *flags*, else the section's regions; none for all enabled.

    Raises CommandRefusedError.
    """
    allowed = setup.settings.organization.regions
    if edge.ALL_REGIONS in (flags or ()):  # as in an audit without regions
        flags = None
    named = setup.regions(flags or allowed) if flags or allowed else ()
    if allowed and (others := [region for region in named if region not in allowed]):
        raise edge.CommandRefusedError(
            f"--region {others[0]} is not in organization.regions, and the roles allow reading in those alone"
        )
    return named


def sweep_organization(
    setup: edge.Setup, detectors: Sequence[Detector[Any]], regions: Sequence[str]
) -> tuple[Report, Sequence[str]]:
    """
    Return the report over all accounts, and why its prices did not come from the Price List API.

    Every account that was listed has sweeps in it: sweeps that failed have an error. Without *regions*,
    every enabled one is looked at.
    """
    with show_progress("listing the accounts") as say:
        janitor = OrganizationCaller.of(setup)
        listed = janitor.accounts()
        prices = Prices(lambda: janitor.client(setup.session, "pricing", PRICING_REGION))
        ended: list[str] = []
        notes: list[str] = []
        say(f"0 of {count_noun(len(listed), 'account')}")

        def look(account: str) -> Sequence[Sweep]:
            try:
                with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="read") as pool:
                    return sweep_account(
                        janitor, account, detectors, regions, prices=prices, pool=pool, note=notes.append
                    )
            except Exception as error:  # one account must not hide the others
                return unread_sweeps(account, detectors, regions, error=unread_sweep_error(error))
            finally:
                ended.append(account)
                say(f"{len(ended)} of {count_noun(len(listed), 'account')}; {account} is done")

        with ThreadPoolExecutor(ACCOUNTS_AT_ONCE, thread_name_prefix="account") as side_by_side:
            found = [sweep for sweeps in side_by_side.map(look, listed) for sweep in sweeps]
    sys.stderr.writelines(f"janitor: {note}\n" for note in sorted(notes))
    if not found:
        raise edge.FailedError(f"nothing was looked at: no account has enabled {', '.join(regions)}")
    names = [detector.name for detector in detectors]
    ordered = sorted(found, key=lambda sweep: (names.index(sweep.detector), str(sweep.account), sweep.region))
    only = listed[0] if len(listed) == 1 else None
    return Report(time=setup.now, account=only, sweeps=tuple(ordered)), prices.problems


def sweep_account(
    janitor: OrganizationCaller,
    account: str,
    detectors: Sequence[Detector[Any]],
    wanted: Sequence[str],
    *,
    prices: Prices,
    pool: ThreadPoolExecutor,
    note: Callable[[str], None],
) -> list[Sweep]:
    """Sweep one account. A role that cannot be assumed is an error of its detector alone."""
    setup = janitor.setup
    sessions: dict[str, boto3.Session] = {}
    refused: dict[str, str] = {}
    for detector in detectors:
        try:
            sessions[detector.name] = janitor.session(account, detector.name)
        except Exception as error:  # it is the error of the detector's sweeps
            refused[detector.name] = unread_sweep_error(error)
    regions = tuple(wanted)
    if sessions:
        enabled = first_enabled_regions(janitor, sessions.values())
        sagemaker = setup.session.get_available_regions("sagemaker", janitor.partition)
        regions = tuple(region for region in wanted or sagemaker if region in enabled)
        if off := [region for region in wanted if region not in enabled]:
            note(f"account {account} has not enabled {', '.join(off)}: nothing is there")
    pace = edge.call_pace()
    pairs = [
        (
            detector,
            Aws(
                sessions[detector.name],
                region=region,
                account=account,
                prices=prices,
                pool=pool,
                attempts=setup.attempts,
                pace=pace,
            ),
        )
        for detector in detectors
        if detector.name in sessions
        for region in regions
    ]
    report = run_pairs(pairs, now=setup.now, policy=setup.settings.policy.dry())
    return [
        *report.sweeps,
        *(
            sweep
            for detector in detectors
            if detector.name in refused
            for sweep in unread_sweeps(account, [detector], regions, error=refused[detector.name])
        ),
    ]


def first_enabled_regions(janitor: OrganizationCaller, sessions: Iterable[boto3.Session]) -> list[str]:
    """Return the enabled regions, by the first role that may ask for them. Raises the last role's error."""
    for session in sessions:
        try:
            return enabled_regions(janitor.client(session, "ec2"))
        except Exception as error:  # another role may be allowed to
            refused = error
    raise refused


def unread_sweeps(
    account: str | None, detectors: Sequence[Detector[Any]], regions: Sequence[str], *, error: str
) -> list[Sweep]:
    """Return sweeps without a result, with *error* as the reason."""
    return [
        Sweep(detector=detector.name, account=account, region=region, mode=Mode.DRY_RUN, error=error)
        for detector in detectors
        for region in regions or (UNKNOWN_REGIONS,)
    ]


# --- roles of the accounts ------------------------------------------------------------------------


class RoleState(Enum):
    """The state of a role."""

    FINE = "as it should be"
    MISSING = "cannot be taken on"
    OLD = "old"
    WIDE = "too wide"
    UNREAD = "not read"


class RolesResult(NamedTuple):
    """The result for all roles: whether all are fine, the blocks to draw, and commands that mend them."""

    fine: bool
    blocks: list[RenderableType]
    commands: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleResult:
    """
    One role in one account: its state, and why.

    *detector* is its name in the table. *commands* remove what the template of its *stack* does not contain;
    *itself* is whether the rest is as it should be. *earlier* is whether single advisers have roles as well.
    """

    account: str
    detector: str
    state: RoleState
    why: str = ""
    commands: tuple[str, ...] = ()
    itself: bool = False
    stack: str = READING_STACK
    there: bool = True
    wanted: bool = True
    earlier: bool = False


def check_organization(
    setup: edge.Setup, detectors: Sequence[Detector[Any]], *, others: Sequence[RoleReader]
) -> RolesResult:
    """
    Check all roles of *detectors* and *others* in all accounts. Nothing is changed.

    Raises CommandRefusedError, and FailedError where the accounts could not be listed.
    """
    wanted = {sweeping_function(setup.settings, detector.name) for detector in detectors}
    readers = [*(reader for reader in sweep_readers(setup.settings) if reader.name in wanted), *others]
    with show_progress("listing the accounts") as say:
        janitor = OrganizationCaller.of(setup)
        accounts = janitor.accounts()
        manager = management_account(janitor)
        say(f"reading the roles of {count_noun(len(accounts), 'account')}")
        pairs = [(account, reader) for account in accounts for reader in readers]
        with ThreadPoolExecutor(4 * ACCOUNTS_AT_ONCE) as side_by_side:
            found = side_by_side.map(lambda pair: [*check_roles(janitor, *pair)], pairs)
            roles = [role for roles_of in found for role in roles_of]
        surplus = any(role.earlier and role.there for role in roles)
        stack_first = is_stack_earlier(janitor) if surplus else False
    return RolesResult(
        fine=all(role.state is RoleState.FINE for role in roles),
        blocks=list(draw_roles(roles)),
        commands=list(mending_commands(setup.settings.organization, roles, manager, stack_first=stack_first)),
    )


def is_stack_earlier(janitor: OrganizationCaller) -> bool | None:
    """Return whether the stack still has the queues of an earlier version; None if it could not be read."""
    services = RegionServices(janitor.setup.session, janitor.home, attempts=janitor.setup.attempts)
    stack = services.find(STACK_NAME)
    return bool(earlier_queues(stack)) if isinstance(stack, DeployedStack) else None


def has_earlier_role(janitor: OrganizationCaller, account: str, reader: RoleReader) -> bool:
    """Return whether *account* grants a role to a single adviser, as earlier versions needed it."""
    if not isinstance(reader, Advisers):
        return False
    try:
        janitor.take_on(account, member_role_name(reader.detectors[0].name))
    except Exception:  # also where nobody says: the role of all advisers is what counts
        return False
    return True


def management_account(janitor: OrganizationCaller) -> str:
    """Return the account that manages the organization; empty if nobody says."""
    client = janitor.client(janitor.setup.session, "organizations", ALWAYS_ENABLED_REGIONS[janitor.partition])
    answer = read_signal(client.describe_organization, source="organizations:DescribeOrganization")
    return str(answer.value["Organization"]["MasterAccountId"]) if isinstance(answer, Value) else ""


def check_roles(janitor: OrganizationCaller, account: str, reader: RoleReader) -> Iterator[RoleResult]:
    """
    Yield the roles of *reader* in *account*, by what the reading role says of itself and of the others.

    Only functions may assume the other roles; they are checked where nothing is armed too.
    """
    earlier = has_earlier_role(janitor, account, reader)
    try:
        iam = janitor.client(janitor.session(account, reader.name), "iam")
    except Exception as error:  # the answer of this role, and of no other
        closed = is_refusal(error, ("AccessDenied",))
        state, why = (RoleState.MISSING, ROLE_REFUSED) if closed else (RoleState.UNREAD, error_text(error))
        if closed and earlier:
            why = (
                "the first step of the upgrade is missing: single advisers have roles, all together have none"
            )
        yield RoleResult(
            account=account, detector=reader.name, state=state, why=why, there=False, earlier=earlier
        )
        return
    own = compare_role(janitor, iam, account, member_role(reader, RoleKind.READ), reader.name)
    last = (
        "the last step of the upgrade is missing: once the stack is updated, roles of single advisers may go"
    )
    surplus = earlier and own.state is RoleState.FINE
    yield replace(own, state=RoleState.WIDE, why=last, earlier=True) if surplus else own
    for cleaning in cleaning_readers(reader):
        for name, kind in (("acting", RoleKind.ACT), ("undo", RoleKind.UNDO)):
            role, shown = member_role(cleaning, kind), f"{cleaning.name} ({name})"
            other = compare_role(janitor, iam, account, role, shown, readable=own.state is RoleState.FINE)
            yield replace(other, stack=CHANGING_STACK)


def compare_role(
    janitor: OrganizationCaller,
    iam: Any,
    account: str,
    role: MemberRole,
    name: str,
    *,
    readable: bool = False,
) -> RoleResult:
    """
    Compare *role* in *account*, called *name* in the table and read by *iam*, with what it should be.

    Where *iam* may read it for certain, a refusal means that no role of its path is there.
    """
    settings, partition, policy = janitor.setup.settings, janitor.partition, role.kind.value
    needed = role.people or role in changing_roles(settings, janitor.setup.now.date())
    wanted = role_policy(settings, role, account=account, partition=partition) if needed else None

    def found(state: RoleState, why: str = "", **more: Any) -> RoleResult:
        return RoleResult(
            account=account, detector=name, state=state, why=why, wanted=wanted is not None, **more
        )

    try:
        itself = iam.get_role(RoleName=role.name)["Role"]
        inline = read_pages(iam, "list_role_policies", "PolicyNames", role.name)
        attached = [
            attachment["PolicyArn"]
            for attachment in read_pages(iam, "list_attached_role_policies", "AttachedPolicies", role.name)
        ]
        own: dict[str, Any] = {}
        if policy in inline:
            own = iam.get_role_policy(RoleName=role.name, PolicyName=policy)["PolicyDocument"]
    except Exception as error:  # one role that cannot be read hides no other
        if is_refusal(error, ("NoSuchEntity", *(["AccessDenied"] if readable else []))):
            state, why = (RoleState.FINE, "") if wanted is None else (RoleState.MISSING, "it is not there")
            return found(state, why, there=False)
        if is_refusal(error, ("AccessDenied",)):
            return found(
                RoleState.OLD,
                "it may not read itself" if role.people else "the role that reads may not read it",
            )
        return found(RoleState.UNREAD, error_text(error))
    if wanted is None:
        return found(RoleState.WIDE, "nothing is armed for it here, and it is there")
    more, less = compare_policies(own, wanted)
    trusted = trust_policy(settings, role, partition=partition)
    strangers, unknown = compare_policies(itself["AssumeRolePolicyDocument"], trusted)
    bounded_by = member_boundary(settings, account=account, partition=partition)
    unbounded = bool(bounded_by) and (
        itself.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") != bounded_by
    )
    others = sorted(name for name in inline if name != policy)
    wide = [
        *([f"it also allows {', '.join(more)}"] if more else []),
        *(f"it also has the policy {name}" for name in (*others, *attached)),
        *(["it trusts others than [organization] says"] if strangers else []),
        *([f"it is not bounded by {bounded_by}"] if unbounded else []),
    ]
    if wide:
        of_role = f"--role-name {quote_shell(role.name)}"
        remove = [
            f"aws iam delete-role-policy {of_role} --policy-name {quote_shell(name)}" for name in others
        ]
        remove += [
            f"aws iam detach-role-policy {of_role} --policy-arn {quote_shell(policy_arn)}"
            for policy_arn in attached
        ]
        fine = not (more or less or strangers or unknown or unbounded)
        return found(RoleState.WIDE, "; ".join(wide), commands=tuple(remove), itself=fine)
    old = [
        *([f"it lacks {', '.join(less)}"] if less else []),
        *(["it does not trust all that it should"] if unknown else []),
    ]
    return found(RoleState.OLD, "; ".join(old)) if old else found(RoleState.FINE)


def read_pages(iam: Any, operation: str, member: str, role: str) -> list[Any]:
    return [item for page in iam.get_paginator(operation).paginate(RoleName=role) for item in page[member]]


def draw_roles(roles: Sequence[RoleResult]) -> Iterator[RenderableType]:
    """Draw the results, account by account."""
    accounts = dict.fromkeys(role.account for role in roles)
    bad = [role for role in roles if role.state is not RoleState.FINE]
    troubled = dict.fromkeys(role.account for role in bad)
    result = (
        f"{count_noun(len(troubled), 'account')} of {len(accounts)} to be looked after."
        if bad
        else f"{count_noun(len(accounts), 'account')}: every role is as it should be."
    )
    yield draw_title("Organization", result)
    for state in RoleState:
        if rows := group_roles(
            [role for role in bad if role.state is state],
            every={role.detector for role in roles if role.stack == READING_STACK},
        ):
            style = "red" if state in {RoleState.MISSING, RoleState.WIDE} else "yellow"
            yield draw_list(f"Roles: {state.value}", rows, style=style)


def group_roles(roles: Iterable[RoleResult], *, every: set[str]) -> list[tuple[str, str]]:
    """Group the faults with the same reason: by account, the detectors."""
    by_why: dict[str, dict[str, list[str]]] = {}
    for role in roles:
        by_why.setdefault(role.why, {}).setdefault(role.account, []).append(role.detector)
    return [
        (
            "; ".join(
                f"{account}: {'every role' if every <= {*names} else shorten_list(names, NAMES_SHOWN)}"
                for account, names in found.items()
            ),
            escape_text(why, ERROR_LIMIT),
        )
        for why, found in by_why.items()
    ]


def mending_commands(
    section: OrganizationSection,
    roles: Sequence[RoleResult],
    manager: str,
    *,
    stack_first: bool | None = False,
) -> Iterator[str]:
    """
    Yield the commands that mend the roles that are not fine, each once.

    Roles of single advisers stay while the stack needs them, which *stack_first* tells; None if unknown.

    An update changes only what the template changed: what was changed by hand needs the stack made again
    (CloudFormation user guide, "Detect unmanaged configuration changes to stacks and resources with drift
    detection"). A StackSet reaches the accounts of an organization but the one that manages it
    ("Considerations when creating a stack set with service-managed permissions"); every other account deploys
    the template itself.
    """
    first = [replace(role, there=True) for role in roles if role.earlier and not role.there]
    if stack_first:
        yield f"{deploy_command()}  # the stack is of an earlier version; then: janitor doctor --organization"
        roles = [role for role in roles if not role.earlier or not role.there]
    if stack_first is None:
        yield "# Only once the stack is updated, which `janitor doctor` confirms:"
    for stack in (READING_STACK, CHANGING_STACK):
        of_stack = [role for role in roles if role.stack == stack and (role.there or not role.earlier)]
        yield from _commands(section, stack, of_stack, manager)
    yield from _commands(section, READING_STACK, first, manager, "-upgrade")
    for role in roles:
        yield from (f"{command}  # in {role.account}" for command in role.commands)


def _commands(
    section: OrganizationSection, stack: str, roles: Sequence[RoleResult], manager: str, part: str = ""
) -> Iterator[str]:
    to_mend = [
        role
        for role in roles
        if role.state in {RoleState.MISSING, RoleState.OLD, RoleState.WIDE} and not role.itself
    ]
    accounts = list(dict.fromkeys(role.account for role in to_mend))
    there = {role.account for role in roles if role.there}
    needed = {role.account for role in roles if role.wanted}
    own = [account for account in accounts if account == manager or not section.id]
    others = [account for account in accounts if account not in own]
    gone = [account for account in others if account not in needed]
    missing = [account for account in others if account not in there]
    update = [account for account in others if account in needed and account in there]
    where = (
        f"  # in {manager or 'the management account'}; as a delegated administrator with "
        "--call-as DELEGATED_ADMIN"
    )
    units = ",".join(section.units) or "$(aws organizations list-roots --query Roots[0].Id --output text)"
    file = f"cdk.out/{stack}{part}.template.json"

    def instances(verb: str, accounts: Sequence[str], more: str = "") -> str:
        return (
            f"aws cloudformation {verb}-stack-instances --stack-set-name {quote_shell(stack)} "
            f"--regions us-east-1 --deployment-targets OrganizationalUnitIds={units},"
            f"AccountFilterType=INTERSECTION,Accounts={','.join(accounts)}{more}{where}"
        )

    if update:
        yield (
            f"aws cloudformation update-stack-set --stack-set-name {quote_shell(stack)} "
            f"--capabilities CAPABILITY_NAMED_IAM --template-body file://{file}{where}"
        )
        yield "# A file over 51,200 bytes has to be in a bucket: --template-url instead of --template-body"
        names = shorten_list(update, NAMES_SHOWN)
        yield f"# An update leaves what was changed by hand in {names}: if that is still there, then"
        yield instances("delete", update, " --no-retain-stacks")
        yield instances("create", update)
    if missing:
        yield instances("create", missing)
    if gone:
        yield instances("delete", gone, " --no-retain-stacks")
    for account in own:
        if account in needed:
            yield (
                f"aws cloudformation deploy --stack-name {quote_shell(stack)} "
                f"--capabilities CAPABILITY_NAMED_IAM --template-file {quote_shell(file)}"
                f"  # in {account}; if changed by hand, delete-stack first"
            )
        else:
            yield f"aws cloudformation delete-stack --stack-name {quote_shell(stack)}  # in {account}"


# --- policy differences ---------------------------------------------------------------------------
# Two policies are compared by their meaning, however IAM or a person wrote either.

type ConditionSet = frozenset[tuple[str, str, frozenset[str]]]
"""Operator, key and values of each."""

type PermissionSet = frozenset[tuple[str, str, str, ConditionSet]]
"""Single permissions: effect, action, resource or principal, conditions."""


def compare_policies(actual: dict[str, Any], wanted: dict[str, Any]) -> tuple[list[str], list[str]]:
    """
    Return the actions that *actual* allows beyond *wanted*, or does not deny, and those that it lacks or
    denies.

    A difference in some places is enough.
    """
    have, want = single_permissions(actual), single_permissions(wanted)
    denied, spared = ({statement for statement in some if statement[0] == "Deny"} for some in (have, want))
    more = {
        statement[1]
        for statement in have - want
        if statement[0] == "Allow"
        and not any(statement[:3] == other[:3] and is_as_strict(statement[3], other[3]) for other in want)
    }
    less = denied - want | {statement for statement in want - have if statement[0] == "Allow"}
    return (
        sorted(more | {statement[1] for statement in spared - have}),
        sorted({statement[1] for statement in less}),
    )


def is_as_strict(actual: ConditionSet, wanted: ConditionSet) -> bool:
    """
    Return whether *actual* holds only where *wanted* does: with each of its conditions and no other values.

    Fewer values of a negated operator would allow more: such a condition has to be the same.
    """
    return all(
        any(
            (operator, key) == (test, name) and (has <= values if "Not" not in operator else has == values)
            for test, name, has in actual
        )
        for operator, key, values in wanted
    )


def single_permissions(document: dict[str, Any]) -> PermissionSet:
    """Split a policy into single permissions, however its statements put them together."""
    return frozenset(
        (str(statement["Effect"]), action, where, statement_conditions(statement))
        for statement in as_list(document.get("Statement", []))
        for action in as_list(statement.get("Action", "all actions but some"))
        for where in as_list(
            statement.get("Resource", json.dumps(statement.get("Principal"), sort_keys=True))
        )
    )


def statement_conditions(statement: dict[str, Any]) -> ConditionSet:
    """Return the conditions of a statement, however they are written."""
    return frozenset(
        (operator, key, frozenset(map(str, as_list(values))))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def as_list(value: Any) -> list[Any]:
    """Return *value* as a list: IAM accepts a list of one without brackets."""
    return value if isinstance(value, list) else [value]
