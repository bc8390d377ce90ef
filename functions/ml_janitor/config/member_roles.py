"""The roles that the accounts of an organization grant: their names, whom they trust, and what they allow."""

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
"""The stacks that accounts have, their StackSets and files: CHANGING is where something is armed."""

UNDO_FUNCTION_ROLE = "ml-janitor-undo"
ACCOUNTS_FUNCTION_ROLE = "ml-janitor-accounts"
"""Roles of functions, in the janitor's account. Their names are fixed: other accounts name them."""

ENABLED = allow("ec2:DescribeRegions")
OF_ITSELF = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")


OTHERS = "000000000000"
"""Stands for any account that the settings do not name."""


class Kind(Enum):
    """What a role is for; its one inline policy is called so."""

    READ = "reads"
    ACT = "acts"
    UNDO = "undoes"


PREFIXES = {Kind.READ: "", Kind.ACT: "act-", Kind.UNDO: "undo-"}
"""Of a role's name, before the detector's."""


class Reader(Protocol):
    """What a role reads for: a detector, or the bill."""

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
    """A role called *name* in every account that has it, for *reader*: the role *function* takes it on."""

    kind: Kind
    name: str
    reader: Reader
    function: str

    @property
    def people(self) -> bool:
        """Whether the callers of the settings may take it on too: never one that changes anything."""
        return self.kind is Kind.READ


def sweep_role_name(detector: str) -> str:
    """What the role of the function of *detector* (or the bill) is called, in the janitor's account."""
    return f"ml-janitor-sweep-{detector}"


def role_name(detector: str, kind: Kind = Kind.READ) -> str:
    """What the role of that *kind* for *detector* is called, in every account that has it."""
    return f"{PREFIX}{PREFIXES[kind]}{detector}"


def role_of(reader: Reader, kind: Kind) -> MemberRole:
    """The role through which *reader* reads, or acts, or the undo function brings back what it did."""
    function = UNDO_FUNCTION_ROLE if kind is Kind.UNDO else sweep_role_name(reader.name)
    return MemberRole(kind=kind, name=role_name(reader.name, kind), reader=reader, function=function)


def changing_roles(settings: Settings, today: date) -> list[MemberRole]:
    """The roles that act, and those that undo what may still be undone on *today*."""
    acts = [role_of(detector, Kind.ACT) for detector in settings.armed()]
    return [*acts, *(role_of(detector, Kind.UNDO) for detector in settings.undoable(today))]


def role_for(settings: Settings, detector: str, account: str) -> str:
    """The name of the role that *detector*'s function takes on in *account*: the acting one where armed."""
    section = settings.sections[detector]
    armed = section.enabled and settings.mode(detector) is Mode.ACT
    return role_name(detector, Kind.ACT if armed and account in accounts_of(section.act_in) else Kind.READ)


def named_accounts(settings: Settings) -> list[str]:
    """The accounts in which roles may allow something else than in all others."""
    places = (place for section in settings.sections.values() for place in section.act_in)
    passed = (role.split(":")[4] for role in settings.janitor.undo_roles)
    return accounts_of([*places, *passed])


def role_arn(settings: Settings, role: str, *, account: str, partition: str) -> str:
    """The ARN of the janitor's role of that name in *account*, its own or another."""
    return f"arn:{partition}:iam::{account}:role{settings.janitor.role_path}{role}"


def takes_on(settings: Settings, role: MemberRole, *, partition: str) -> list[str]:
    """The ARNs under which the function of *role* takes it on: that of every account that has one."""
    name, kind = role.reader.name, role.kind
    everywhere = kind is Kind.READ or (kind is Kind.UNDO and settings.undoes_elsewhere(name))
    accounts = [] if everywhere else accounts_of(settings.sections[name].act_in)
    return [
        role_arn(settings, role.name, account=account, partition=partition) for account in accounts or ["*"]
    ]


def trust(settings: Settings, role: MemberRole, *, partition: str) -> Document:
    """
    Who may take on *role*: its function, and the callers of the settings if people may.

    All of them know the external id. Of an organization, they have to be in it too: an account that has left
    it is no longer trusted, whoever bought it. (IAM user guide, "The confused deputy problem";
    aws:PrincipalOrgID is in every request.)
    """
    section = settings.organization
    exactly = {"sts:ExternalId": [section.external_id]}
    if section.id:
        exactly["aws:PrincipalOrgID"] = [section.id]
    function = role_arn(settings, role.function, account=section.janitor_account, partition=partition)
    callers = [_in_partition(one, partition) for one in section.callers] if role.people else []
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
    """The permissions boundary of the settings, as *account* has it under the same name; "" for none."""
    own = settings.janitor.permissions_boundary
    owner = "aws" if ":iam::aws:" in own else account
    return re.sub(r"^arn:[a-z-]+:iam::(\d{12}|aws):", f"arn:{partition}:iam::{owner}:", own)


class Here(NamedTuple):
    """An *account*, how a document writes it, and its partition."""

    account: str
    shown: str
    partition: str


def allowed(
    settings: Settings, role: MemberRole, *, account: str, partition: str, shown: str = ""
) -> Document | None:
    """
    What *role* allows in *account*, which a template writes as *shown*; None where it grants no such role.

    A reading role allows what its reader declares to read, in the settings' regions, and to read which are
    enabled. It may also read itself, and the roles that act and undo: a check sees what they have become.
    An acting one allows besides what its detector declares to change, in the regions that `act_in` names
    of the account; an undoing one, what its detectors declare to undo there.
    """
    swept = settings.organization.regions
    here = Here(account, shown or account, partition)
    reads = _statements([*role.reader.reads, ENABLED], here, swept)
    if role.kind is Kind.READ:
        return _document([*reads, *_statements(_of_roles(settings, role.reader, here), here, swept)])
    detector = settings.detector(next(one for one in settings.registry if one.name == role.reader.name))
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
    """The regions of *account* in which *detector* acts or is undone: all if that is empty; None for none."""
    arming, swept = settings.arming(type(detector)), settings.organization.regions
    here = arming.anywhere_in(account)
    if kind is Kind.UNDO and not here and (not arming.act_in or settings.undoes_elsewhere(detector.name)):
        return swept  # disarmed, and nobody remembers where it was armed
    places = (arming.places if kind is Kind.ACT else arming.undo_places)(swept or [""])
    regions = {region for each, region in places if each == account}
    return None if not regions else [] if "" in regions else sorted(regions)


def _of_roles(settings: Settings, reader: Reader, here: Here) -> Iterator[Grant]:
    """Reading what the roles of *reader* have become, those too that there should not be."""
    for kind in Kind if reader.cleanup is not None else [Kind.READ]:
        arn = role_arn(settings, role_name(reader.name, kind), account=here.account, partition="aws")
        yield from (allow(action, on=arn) for action in OF_ITSELF)


def _statements(
    grants: Iterable[Grant], here: Here, regions: Sequence[str], *, own: bool = False
) -> list[Document]:
    """
    *grants* in *regions* of the account *here*, in all if there are none named.

    What no ARN says is said by a condition: the region, and of buckets that are changed, that they are the
    account's *own*.
    """

    def on(grant: Grant) -> Iterator[tuple[str, When]]:
        when = tuple(
            replace(one, values=tuple(_in_partition(value, here.partition) for value in one.values))
            for one in grant.when
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
