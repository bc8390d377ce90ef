"""
Define the roles that an organization's accounts grant: their names, trust and permissions.

The stack makes its own roles' statements from the same grants.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any, NamedTuple, Protocol

from ml_janitor.aws.client import READ_OPERATIONS
from ml_janitor.config.functions import Advisers, has_own_function, list_advisers, sweeping_function
from ml_janitor.config.sections import accounts_of
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Mode
from ml_janitor.core.ownership import NEGATIONS
from ml_janitor.engine.detector import OWN_ACCOUNT, Cleanup, Condition, Detector, Grant, allow

# --- roles ----------------------------------------------------------------------------------------

MEMBER_ROLE_PREFIX = "ml-janitor-member-"

READING_STACK, CHANGING_STACK = "ml-janitor-member", "ml-janitor-member-acts"
"""The stacks of accounts, their StackSets and files: CHANGING is for accounts with armed detectors."""

UNDO_FUNCTION_ROLE = "ml-janitor-undo"
ACCOUNTS_FUNCTION_ROLE = "ml-janitor-accounts"
"""Roles of functions, in the janitor's account. Their names are fixed: other accounts name them."""

ENABLED_REGIONS_GRANT = allow("ec2:DescribeRegions", anywhere=True)
GLOBAL_PREFIXES = frozenset({"ce", "pricing", "s3", "savingsplans"})
"""The services, by the prefix of IAM's actions, that answer for all regions."""

ROLE_READS = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")


OTHER_ACCOUNT = "000000000000"
"""The placeholder for accounts that the settings do not name."""


class RoleKind(Enum):
    """The purpose of a role; also the name of its one inline policy."""

    READ = "reads"
    ACT = "acts"
    UNDO = "undoes"


ROLE_KIND_PREFIXES = {RoleKind.READ: "", RoleKind.ACT: "act-", RoleKind.UNDO: "undo-"}
"""The part of a role's name before the detector's."""


class RoleReader(Protocol):
    """The reader behind a role: a detector with a function of its own, the advisers, or the bill."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> Sequence[Grant]: ...

    @property
    def cleanup(self) -> Cleanup | None: ...

    @classmethod
    def summary(cls) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRole:
    """A role *name* for *reader* in every account that grants it; the role *function* assumes it."""

    kind: RoleKind
    name: str
    reader: RoleReader
    function: str

    @property
    def people(self) -> bool:
        """
        Return whether the callers of the settings may assume it too: never a role
        that changes anything.
        """
        return self.kind is RoleKind.READ


def sweep_role_name(detector: str) -> str:
    """Return the name of the role of the function of *detector*, the bill or the advisers, at home."""
    return f"ml-janitor-sweep-{detector}"


def member_role_name(detector: str, kind: RoleKind = RoleKind.READ) -> str:
    """Return the name of the role of that *kind* for *detector*, in every account that grants it."""
    return f"{MEMBER_ROLE_PREFIX}{ROLE_KIND_PREFIXES[kind]}{detector}"


def sweep_readers(settings: Settings) -> list[RoleReader]:
    """Return the readers that sweep: each detector with a function of its own, then all others as one."""
    own = [detector for detector in settings.enabled() if has_own_function(settings, detector.name)]
    others = list_advisers(settings)
    return [*own, *([Advisers(others)] if others else [])]


def cleaning_readers(reader: RoleReader) -> list[RoleReader]:
    """Return those of whom there may be roles that act and undo: *reader* itself, or some of the advisers."""
    members: Sequence[RoleReader] = reader.detectors if isinstance(reader, Advisers) else [reader]
    return [member for member in members if member.cleanup is not None]


def reading_role_name(settings: Settings, name: str) -> str:
    """Return the name of the role through which *name*, a detector or another reader, reads an account."""
    return member_role_name(sweeping_function(settings, name) if name in settings.sections else name)


def member_role(reader: RoleReader, kind: RoleKind) -> MemberRole:
    """Return the role through which *reader* reads or acts, or the undo function undoes its actions."""
    function = UNDO_FUNCTION_ROLE if kind is RoleKind.UNDO else sweep_role_name(reader.name)
    return MemberRole(kind=kind, name=member_role_name(reader.name, kind), reader=reader, function=function)


def changing_roles(settings: Settings, today: date) -> list[MemberRole]:
    """Return the roles that act, and those that undo actions which may still be undone on *today*."""
    acts = [member_role(detector, RoleKind.ACT) for detector in settings.armed()]
    return [*acts, *(member_role(detector, RoleKind.UNDO) for detector in settings.undoable(today))]


def assumed_role_name(settings: Settings, detector: str, account: str) -> str:
    """Return the name of the role that *detector*'s function assumes in *account*: to act where armed."""
    section = settings.sections[detector]
    armed = section.enabled and settings.mode(detector) is Mode.ACT
    if armed and account in accounts_of(section.act_in):
        return member_role_name(detector, RoleKind.ACT)
    return reading_role_name(settings, detector)


def named_accounts(settings: Settings) -> list[str]:
    """Return the accounts in which roles may allow something else than in all others."""
    places = (place for section in settings.sections.values() for place in section.act_in)
    passed = (role.split(":")[4] for role in settings.janitor.undo_roles)
    return accounts_of([*places, *passed])


def role_arn(settings: Settings, role: str, *, account: str, partition: str) -> str:
    """Return the ARN of the janitor's role *role* in *account*, its own or another."""
    return f"arn:{partition}:iam::{account}:role{settings.janitor.role_path}{role}"


def assumable_role_arns(settings: Settings, role: MemberRole, *, partition: str) -> list[str]:
    """Return the ARNs under which the function of *role* assumes it: of every account that grants it."""
    name, kind = role.reader.name, role.kind
    everywhere = kind is RoleKind.READ or (kind is RoleKind.UNDO and settings.undoes_elsewhere(name))
    accounts = [] if everywhere else accounts_of(settings.sections[name].act_in)
    return [
        role_arn(settings, role.name, account=account, partition=partition) for account in accounts or ["*"]
    ]


def trust_policy(settings: Settings, role: MemberRole, *, partition: str) -> PolicyDocument:
    """
    Return the trust policy of *role*: its function, and the callers of the settings for people's roles.

    All of them know the external id. With an organization id, they have to be in the organization too: an
    account that has left is no longer trusted, whoever bought it. (IAM user guide, "The confused deputy
    problem"; aws:PrincipalOrgID is in every request.)
    """
    section = settings.organization
    exactly = {"sts:ExternalId": [section.external_id]}
    if section.id:
        exactly["aws:PrincipalOrgID"] = [section.id]
    function = role_arn(settings, role.function, account=section.janitor_account, partition=partition)
    callers = [_in_partition(caller, partition) for caller in section.callers] if role.people else []
    return _document(
        [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{section.janitor_account}:root"},
                "Action": ["sts:AssumeRole"],
                "Condition": {
                    "ArnLike": {"aws:PrincipalArn": sorted({function, *callers})},
                    "StringEquals": exactly,
                },
            }
        ]
    )


def member_boundary(settings: Settings, *, account: str, partition: str) -> str:
    """Return the settings' permissions boundary under the same name in *account*; "" for none."""
    own = settings.janitor.permissions_boundary
    owner = "aws" if ":iam::aws:" in own else account
    return re.sub(r"^arn:[a-z-]+:iam::(\d{12}|aws):", f"arn:{partition}:iam::{owner}:", own)


class MemberAccount(NamedTuple):
    """An *account*, its spelling in a document, and its partition."""

    account: str
    shown: str
    partition: str


def role_policy(
    settings: Settings, role: MemberRole, *, account: str, partition: str, shown: str = ""
) -> PolicyDocument | None:
    """
    Return the policy of *role* in *account*, written as *shown* in a template; None where it has no such
    role.

    A reading role allows the reads that its reader declares, in the settings' regions, and listing the
    enabled regions. It may also read itself, and the roles that act and undo: a check sees their actual
    state. An acting role also allows the changes that its detector declares, in the account's regions in
    `act_in`; an undoing role the undos that its detectors declare there.
    """
    swept = settings.organization.regions
    here = MemberAccount(account, shown or account, partition)
    merged = isinstance(role.reader, Advisers)
    reads = _statements([*role.reader.reads, ENABLED_REGIONS_GRANT], here, swept, merged=merged)
    if role.kind is RoleKind.READ:
        return _document([*reads, *_statements(_of_roles(settings, role.reader, here), here, swept)])
    detector = settings.detector(
        next(detector_type for detector_type in settings.registry if detector_type.name == role.reader.name)
    )
    if (regions := _changed_in(settings, role.kind, detector, account)) is None:
        return None
    if role.kind is RoleKind.ACT:
        acts = _statements(detector.acts, here, regions)
        return _document([*reads, *acts, *deny_kept_resources(detector.acts, settings.janitor.keep_tags)])
    undoes = _statements(detector.undoes, here, regions)
    return _document([*_statements([ENABLED_REGIONS_GRANT], here, swept), *undoes])


def _changed_in(
    settings: Settings, kind: RoleKind, detector: Detector[Any], account: str
) -> Sequence[str] | None:
    """Return *account*'s regions in which *detector* acts or undoes: [] for all, None for none."""
    arming, swept = settings.arming(type(detector)), settings.organization.regions
    here = arming.anywhere_in(account)
    if kind is RoleKind.UNDO and not here and (not arming.act_in or settings.undoes_elsewhere(detector.name)):
        return swept  # disarmed: the armed regions are unknown
    places = (arming.places if kind is RoleKind.ACT else arming.undo_places)(swept or [""])
    regions = {region for place_account, region in places if place_account == account}
    return None if not regions else [] if "" in regions else sorted(regions)


def _of_roles(settings: Settings, reader: RoleReader, here: MemberAccount) -> Iterator[Grant]:
    """Yield the permissions to read the actual roles of *reader*, including surplus roles."""
    names = [member_role_name(reader.name)]
    for cleaning in cleaning_readers(reader):
        names += [member_role_name(cleaning.name, kind) for kind in (RoleKind.ACT, RoleKind.UNDO)]
    for name in names:
        arn = role_arn(settings, name, account=here.account, partition="aws")
        yield from (allow(action, on=arn) for action in ROLE_READS)


def _statements(
    grants: Iterable[Grant], here: MemberAccount, regions: Sequence[str], *, merged: bool = False
) -> list[PolicyDocument]:
    """
    Return *grants* in *regions* of the account *here*; in all regions if none is named.

    A condition limits them to the regions. *merged* statements take less room (`group_grants`).
    """

    def on(grant: Grant) -> Iterator[tuple[str, GrantConditions]]:
        when = tuple(
            replace(condition, values=tuple(_in_account(value, here) for value in condition.values))
            for condition in grant.when
        )
        if grant.on.startswith("arn:"):
            *start, owner, resource = grant.on.split(":", 5)
            if owner in {"", "*", OWN_ACCOUNT, here.account}:
                arn = ":".join([*start, here.shown if owner == here.account else owner, resource])
                yield _in_account(arn, here), when
            return
        service = grant.action.partition(":")[0]
        only = (Condition("StringEquals", "aws:RequestedRegion", tuple(sorted(regions))),) if regions else ()
        if grant.on != "*":
            yield f"arn:{here.partition}:{service}:*:{here.shown}:{grant.on}", (*when, *only)
        elif grant.anywhere or service in GLOBAL_PREFIXES:
            yield "*", when
        else:
            yield "*", (*when, *only)

    return [
        {
            "Effect": "Allow",
            "Action": list(granted),
            "Resource": resources,
            **({"Condition": group_conditions(when)} if when else {}),
        }
        for granted, when, resources in group_grants(grants, on, merged=merged)
    ]


def _in_partition(text: str, partition: str) -> str:
    return text.replace("arn:aws:", f"arn:{partition}:", 1)


def _in_account(text: str, here: MemberAccount) -> str:
    return (
        here.shown
        if text == OWN_ACCOUNT
        else _in_partition(text.replace(f":{OWN_ACCOUNT}:", f":{here.shown}:"), here.partition)
    )


def _document(statements: list[PolicyDocument]) -> PolicyDocument:
    return {"Version": "2012-10-17", "Statement": statements}


# --- statements from grants -----------------------------------------------------------------------

_ALL_OF_A_KIND = re.compile(r":[a-z-]+/\*$")

type PolicyDocument = dict[str, Any]
type GrantConditions = tuple[Condition, ...]


def group_grants(
    grants: Iterable[Grant],
    on: Callable[[Grant], Iterable[tuple[str, GrantConditions]]],
    *,
    merged: bool = False,
) -> Iterator[tuple[tuple[str, ...], GrantConditions, list[str]]]:
    """
    Yield actions, conditions and resources: once for each set of actions under the same conditions.

    *on* returns the resources of a grant, and their conditions. All is sorted, so that a template shows real
    changes only. *merged* statements take less room: in them stand all actions of a service that concern all
    resources of one kind each, with these kinds; no action takes a resource of another kind.
    """
    actions: dict[tuple[str, GrantConditions], set[str]] = defaultdict(set)
    kinds: dict[tuple[str, GrantConditions], set[str]] = defaultdict(set)
    for grant in grants:
        for resource, when in on(grant):
            actions[resource, when].add(grant.action)
            kinds[grant.action, when].add(resource)
    resources: dict[tuple[tuple[str, ...], GrantConditions], set[str]] = defaultdict(set)
    together: dict[tuple[str, GrantConditions], tuple[set[str], set[str]]] = {}
    for (action, when), found in kinds.items() if merged else ():
        service, (kind, *others) = action.partition(":")[0], found
        if others or _ALL_OF_A_KIND.search(kind) is None:
            continue
        some, of_kinds = together.setdefault((service, when), (set(), set()))
        some.add(action)
        of_kinds.add(kind)
        actions[kind, when].discard(action)
    for (_, when), (some, of_kinds) in together.items():
        resources[tuple(sorted(some)), when] |= of_kinds
    for (resource, when), granted in actions.items():
        if granted:
            resources[tuple(sorted(granted)), when].add(resource)
    for (granted_, when), names in sorted(resources.items(), key=lambda item: str(item[0])):
        yield granted_, when, sorted(names)


def group_conditions(when: Iterable[Condition]) -> dict[str, dict[str, list[str]]]:
    """Return a statement's conditions, by operator and key; all of them must hold."""
    by_operator: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for condition in when:
        by_operator[condition.operator][condition.key] = list(condition.values)
    return dict(by_operator)


def deny_kept_resources(grants: Iterable[Grant], keep_tags: Sequence[str]) -> list[PolicyDocument]:
    """
    Return a Deny per spelling of a keep tag: a program fault cannot change resources with that tag.

    The Deny holds where the action supports aws:ResourceTag, unless the tag says no; docs/permissions.md
    lists the actions. Reads are not denied: unread tags would make a keep tag unknown. The key of a
    condition is compared in any case (IAM user guide, "Condition").
    """
    actions = sorted({grant.action for grant in grants if is_changing_action(grant.action)})
    return [
        {
            "Effect": "Deny",
            "Action": actions,
            "Resource": ["*"],
            "Condition": {
                "Null": {f"aws:ResourceTag/{tag}": "false"},
                "StringNotEqualsIgnoreCase": {f"aws:ResourceTag/{tag}": sorted(NEGATIONS)},
            },
        }
        for tag in tag_spellings(keep_tags)
        if actions
    ]


def tag_spellings(keep_tags: Sequence[str]) -> list[str]:
    """Return *keep_tags*, each also with the other separators that people put between words."""
    return list(
        dict.fromkeys(re.sub(r"[-_:]", sign, tag) for tag in keep_tags for sign in (_sign(tag), *"-_:"))
    )


def _sign(tag: str) -> str:
    """Return the separator in *tag*, which comes first because it is documented."""
    return next((character for character in tag if character in "-_:"), "")


def is_changing_action(action: str) -> bool:
    """Return whether an IAM action changes something, by its verb."""
    return not READ_OPERATIONS.match(action.partition(":")[2])
