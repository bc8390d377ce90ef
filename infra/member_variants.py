"""Policies of a role of member accounts, grouped by the accounts in which they are the same."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ml_janitor.config.member_roles import OTHER_ACCOUNT, MemberRole, RoleKind, named_accounts, role_policy
from ml_janitor.config.settings import Settings, SettingsError
from ml_janitor.config.statements import PolicyDocument

LONGEST_ROLE_POLICIES = 10_240
"""Characters of all inline policies of a role, without blanks (IAM user guide, "IAM and STS quotas")."""


@dataclass(frozen=True, slots=True)
class RoleVariant:
    """A role's policy in some *accounts*: those, or all *but* those."""

    document: PolicyDocument
    accounts: tuple[str, ...] = ()
    but: bool = True


def role_variants(settings: Settings, role: MemberRole, *, shown: str, partition: str) -> list[RoleVariant]:
    """
    Return the policies of *role* with the accounts that share them; nothing for accounts without the role.

    Raises SettingsError for a policy that IAM would not take.
    """

    def of(account: str) -> PolicyDocument | None:
        document = role_policy(settings, role, account=account, partition=partition, shown=shown)
        if document is not None and (length := _length(document, shown, partition)) > LONGEST_ROLE_POLICIES:
            raise SettingsError(
                f"organization: the policy of {role.name} in {account} has {length} characters, and IAM "
                f"takes {LONGEST_ROLE_POLICIES}: name fewer regions, buckets, prefixes or roles, or "
                f"shorter ones"
            )
        return document

    elsewhere = of(OTHER_ACCOUNT)
    by_document: dict[str, tuple[PolicyDocument | None, list[str]]] = {}
    for account in named_accounts(settings) if role.kind is not RoleKind.READ else ():
        document = of(account)
        if document != elsewhere:
            by_document.setdefault(json.dumps(document), (document, []))[1].append(account)
    apart = tuple(account for _, accounts in by_document.values() for account in accounts)
    found = [
        RoleVariant(document, tuple(accounts), but=False)
        for document, accounts in by_document.values()
        if document
    ]
    return [*found, *([RoleVariant(elsewhere, apart)] if elsewhere else [])]


def _length(document: PolicyDocument, shown: str, partition: str) -> int:
    """Return the length as IAM counts it, for an account and the longest partition there is."""
    text = json.dumps(document, separators=(",", ":"))
    return len(text.replace(shown, OTHER_ACCOUNT).replace(partition, "aws-us-gov").replace(" ", ""))


def role_description(role: MemberRole) -> str:
    """Describe *role*: IAM takes 1,000 characters, few beside letters (API reference, CreateRole)."""
    what = {RoleKind.READ: "reads for", RoleKind.ACT: "acts for", RoleKind.UNDO: "undoes what was done for"}[
        role.kind
    ]
    return f"ML Janitor, {what} {role.reader.name}: {role.reader.summary()}"[:1000]
