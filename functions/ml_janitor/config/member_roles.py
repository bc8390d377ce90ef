"""Defines the roles that an organization's accounts grant: their names, trust, and permissions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any, NamedTuple, Protocol

from ml_janitor.config.sections import accounts_of
from ml_janitor.config.settings import Settings
from ml_janitor.config.statements import Document, When, conditions, grouped, sparing
from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import Cleanup, Condition, Detector, Grant, allow

PREFIX = "ml-janitor-member-"

READING, CHANGING = "ml-janitor-member", "ml-janitor-member-acts"
"""The stacks of accounts, their StackSets and files: CHANGING is for accounts with armed detectors."""

UNDO_FUNCTION_ROLE = "ml-janitor-undo"
ACCOUNTS_FUNCTION_ROLE = "ml-janitor-accounts"
"""Roles of functions, in the janitor's account. Their names are fixed: other accounts name them."""

ENABLED = allow("ec2:DescribeRegions")
OF_ITSELF = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")


OTHERS = "000000000000"
"""The placeholder for accounts that the settings do not name."""


class Kind(Enum):
    """The purpose of a role; also the name of its one inline policy."""

    READ = "reads"
    ACT = "acts"
    UNDO = "undoes"


PREFIXES = {Kind.READ: "", Kind.ACT: "act-", Kind.UNDO: "undo-"}
"""The part of a role's name before the detector's."""


class Reader(Protocol):
    """The reader behind a role: a detector, or the bill."""

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

    kind: Kind
    name: str
    reader: Reader
    function: str

    @property
    def people(self) -> bool:
        """
        Return whether the callers of the settings may assume it too: never a role
        that changes anything.
        """
        return self.kind is Kind.READ


def sweep_role_name(detector: str) -> str:
    """Return the name of the role of *detector*'s (or the bill's) function, in the janitor's account."""
    return f"ml-janitor-sweep-{detector}"


def role_name(detector: str, kind: Kind = Kind.READ) -> str:
    """Return the name of the role of that *kind* for *detector*, in every account that grants it."""
    return f"{PREFIX}{PREFIXES[kind]}{detector}"


def role_of(reader: Reader, kind: Kind) -> MemberRole:
    """Return the role through which *reader* reads or acts, or the undo function undoes its actions."""
    function = UNDO_FUNCTION_ROLE if kind is Kind.UNDO else sweep_role_name(reader.name)
    return MemberRole(kind=kind, name=role_name(reader.name, kind), reader=reader, function=function)


def changing_roles(settings: Settings, today: date) -> list[MemberRole]:
    """Return the roles that act, and those that undo actions which may still be undone on *today*."""
    acts = [role_of(detector, Kind.ACT) for detector in settings.armed()]
    return [*acts, *(role_of(detector, Kind.UNDO) for detector in settings.undoable(today))]


def role_for(settings: Settings, detector: str, account: str) -> str:
    """Return the name of the role that *detector*'s function assumes in *account*: to act where armed."""
    section = settings.sections[detector]
    armed = section.enabled and settings.mode(detector) is Mode.ACT
    return role_name(detector, Kind.ACT if armed and account in accounts_of(section.act_in) else Kind.READ)


def named_accounts(settings: Settings) -> list[str]:
    """Return the accounts in which roles may allow something else than in all others."""
    places = (place for section in settings.sections.values() for place in section.act_in)
    passed = (role.split(":")[4] for role in settings.janitor.undo_roles)
    return accounts_of([*places, *passed])


def role_arn(settings: Settings, role: str, *, account: str, partition: str) -> str:
    """Return the ARN of the janitor's role *role* in *account*, its own or another."""
    return f"arn:{partition}:iam::{account}:role{settings.janitor.role_path}{role}"


def takes_on(settings: Settings, role: MemberRole, *, partition: str) -> list[str]:
    """Return the ARNs under which the function of *role* assumes it: of every account that grants it."""
    name, kind = role.reader.name, role.kind
    everywhere = kind is Kind.READ or (kind is Kind.UNDO and settings.undoes_elsewhere(name))
    accounts = [] if everywhere else accounts_of(settings.sections[name].act_in)
    return [
        role_arn(settings, role.name, account=account, partition=partition) for account in accounts or ["*"]
    ]


def trust(settings: Settings, role: MemberRole, *, partition: str) -> Document:
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


def boundary(settings: Settings, *, account: str, partition: str) -> str:
    """Return the settings' permissions boundary under the same name in *account*; "" for none."""
    own = settings.janitor.permissions_boundary
    owner = "aws" if ":iam::aws:" in own else account
    return re.sub(r"^arn:[a-z-]+:iam::(\d{12}|aws):", f"arn:{partition}:iam::{owner}:", own)


class Here(NamedTuple):
    """An *account*, its spelling in a document, and its partition."""

    account: str
    shown: str
    partition: str


def allowed(
    settings: Settings, role: MemberRole, *, account: str, partition: str, shown: str = ""
) -> Document | None:
    """
    Return the policy of *role* in *account*, written as *shown* in a template; None where it has no such
    role.

    A reading role allows the reads that its reader declares, in the settings' regions, and listing the
    enabled regions. It may also read itself, and the roles that act and undo: a check sees their actual
    state. An acting role also allows the changes that its detector declares, in the account's regions in
    `act_in`; an undoing role the undos that its detectors declare there.
    """
    swept = settings.organization.regions
    here = Here(account, shown or account, partition)
    reads = _statements([*role.reader.reads, ENABLED], here, swept)
    if role.kind is Kind.READ:
        return _document([*reads, *_statements(_of_roles(settings, role.reader, here), here, swept)])
    detector = settings.detector(
        next(detector_type for detector_type in settings.registry if detector_type.name == role.reader.name)
    )
    if (regions := _changed_in(settings, role.kind, detector, account)) is None:
        return None
    if role.kind is Kind.ACT:
        acts = _statements(detector.acts, here, regions, own=True)
        return _document([*reads, *acts, *sparing(detector.acts, settings.janitor.keep_tags)])
    undoes = _statements(detector.undoes, here, regions, own=True)
    return _document([*_statements([ENABLED], here, swept), *undoes])


def _changed_in(
    settings: Settings, kind: Kind, detector: Detector[Any], account: str
) -> Sequence[str] | None:
    """Return *account*'s regions in which *detector* acts or undoes: [] for all, None for none."""
    arming, swept = settings.arming(type(detector)), settings.organization.regions
    here = arming.anywhere_in(account)
    if kind is Kind.UNDO and not here and (not arming.act_in or settings.undoes_elsewhere(detector.name)):
        return swept  # disarmed: the armed regions are unknown
    places = (arming.places if kind is Kind.ACT else arming.undo_places)(swept or [""])
    regions = {region for place_account, region in places if place_account == account}
    return None if not regions else [] if "" in regions else sorted(regions)


def _of_roles(settings: Settings, reader: Reader, here: Here) -> Iterator[Grant]:
    """Yield the permissions to read the actual roles of *reader*, including surplus roles."""
    for kind in Kind if reader.cleanup is not None else [Kind.READ]:
        arn = role_arn(settings, role_name(reader.name, kind), account=here.account, partition="aws")
        yield from (allow(action, on=arn) for action in OF_ITSELF)


def _statements(
    grants: Iterable[Grant], here: Here, regions: Sequence[str], *, own: bool = False
) -> list[Document]:
    """
    Return *grants* in *regions* of the account *here*; in all regions if none is named.

    A condition limits the rest: the region, and for changed buckets, that they are the
    account's *own*.
    """

    def on(grant: Grant) -> Iterator[tuple[str, When]]:
        when = tuple(
            replace(
                condition, values=tuple(_in_partition(value, here.partition) for value in condition.values)
            )
            for condition in grant.when
        )
        if grant.on.startswith("arn:"):
            *start, owner, resource = grant.on.split(":", 5)
            if owner in {"", "*", here.account}:
                mine = (Condition("StringEquals", "aws:ResourceAccount", (here.shown,)),)
                arn = ":".join([*start, here.shown if owner == here.account else owner, resource])
                yield _in_partition(arn, here.partition), (*when, *(mine if own and not owner else ()))
        elif grant.on == "*":
            yield "*", when
        else:
            only = (Condition("StringEquals", "aws:RequestedRegion", tuple(sorted(regions))),)
            service = grant.action.partition(":")[0]
            arn = f"arn:{here.partition}:{service}:*:{here.shown}:{grant.on}"
            yield arn, (*when, *(only if regions else ()))

    return [
        {
            "Effect": "Allow",
            "Action": list(granted),
            "Resource": resources,
            **({"Condition": conditions(when)} if when else {}),
        }
        for granted, when, resources in grouped(grants, on)
    ]


def _in_partition(text: str, partition: str) -> str:
    return text.replace("arn:aws:", f"arn:{partition}:", 1)


def _document(statements: list[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}
