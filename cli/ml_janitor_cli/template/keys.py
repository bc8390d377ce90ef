"""The keys that sign what the ledger holds, their policies, and the one table of who signs and verifies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from ml_janitor.engine.detector import Grant, allow
from ml_janitor.ledger.signatures import KEY_MANAGEMENT, SigningKey
from ml_janitor_cli.template.resources import (
    ACCOUNT,
    PARTITION,
    REGION,
    PolicyStatements,
    StackTemplate,
    Statement,
)


class KeyUser(StrEnum):
    """A kind of role that signs or verifies."""

    ARMED = "armed detectors"
    UNDOABLE = "detectors that are armed, or of which something can be undone"
    UNDO = "undo function"
    WORKER = "Slack's worker"
    DIGEST = "digest"
    BILL = "bill"
    WRITERS = "`ledger_writers`"


class KeyUses(NamedTuple):
    """
    The uses of a key: the kinds of roles that sign with it, and those that only verify.

    *id* and *output* are the names of the key in the stack; *signs* says what is signed.
    """

    id: str
    output: str
    signs: str
    signers: tuple[KeyUser, ...]
    verifiers: tuple[KeyUser, ...]


_READERS = (KeyUser.UNDOABLE, KeyUser.UNDO, KeyUser.WORKER, KeyUser.DIGEST, KeyUser.BILL, KeyUser.WRITERS)

KEY_TABLE: Mapping[SigningKey, KeyUses] = {
    SigningKey.RECORDS: KeyUses(
        id="UndoRecordKey",
        output="UndoKey",
        signs="records of actions, warnings, and places in the limits",
        signers=(KeyUser.ARMED, KeyUser.WRITERS),
        verifiers=_READERS,
    ),
    SigningKey.PROGRESS: KeyUses(
        id="UndoProgressKey",
        output="ProgressKey",
        signs="the progress of undos",
        signers=(KeyUser.UNDO, KeyUser.WRITERS),
        verifiers=_READERS,
    ),
    SigningKey.REQUESTS: KeyUses(
        id="RequestKey",
        output="RequestsKey",
        signs="presses in Slack, and reverts that a sweep asks for",
        signers=(KeyUser.WORKER, KeyUser.UNDOABLE),
        verifiers=(KeyUser.UNDOABLE, KeyUser.UNDO, KeyUser.WORKER, KeyUser.WRITERS),
    ),
}
"""The one table: roles, key policies, environments of functions and docs/security.md are made from it."""


def deny_everybody(actions: Sequence[str], conditions: Mapping[str, Any], *resources: str) -> Statement:
    """Deny *actions* to everybody under *conditions*; on everything, if no resource is named."""
    return {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": [*actions],
        "Resource": [*resources] or ["*"],
        "Condition": conditions,
    }


def deny_plain_requests(action: str, *resources: str) -> Statement:
    """Deny requests without TLS."""
    return deny_everybody([action], {"Bool": {"aws:SecureTransport": "false"}}, *resources)


def deny_all_but(principals: Sequence[str], *actions: str) -> Statement:
    """
    Deny *actions* to everybody but the roles and users with these ARNs.

    Names in a condition may hold wildcards, and outlive their roles: as principals, they would have to exist.
    """
    return deny_everybody(actions, {"ArnNotLike": {"aws:PrincipalArn": list(principals)}})


def account_statement() -> Statement:
    """Let the account govern a key."""
    root = {"AWS": f"arn:{PARTITION}:iam::{ACCOUNT}:root"}
    return {"Effect": "Allow", "Principal": root, "Action": ["kms:*"], "Resource": ["*"]}


CDK_ROLES = tuple(
    f"arn:{PARTITION}:iam::{ACCOUNT}:role/cdk-hnb659fds-{name}-role-{ACCOUNT}-{REGION}"
    for name in ("cfn-exec", "deploy")
)
"""The roles with which CDK deploys, unless the account was bootstrapped with a qualifier of its own."""


def policy_administrators(deployers: Sequence[str], listed: Sequence[str]) -> list[str]:
    """
    Return who may change policies: those *listed*, the roles that deploy, and the account's root user.

    KMS refuses a policy that its caller could not change again, and that caller is the role that deploys. The
    root user is the way back for an account that has lost the roles.
    """
    return [f"arn:{PARTITION}:iam::{ACCOUNT}:root", *deployers, *listed]


class SigningKeys:
    """
    The keys of a deployment: HMAC keys of KMS, which nobody can read, not even the account.

    The key of records is there in every deployment, and outlives the stack as the ledger does: under another
    key, no record from before would verify. The others exist only where something can be undone. KMS does not
    rotate HMAC keys (developer guide, "Rotating KMS keys").
    """

    def __init__(self, template: StackTemplate, *, undoable: bool) -> None:
        self._undoable = undoable
        self._policies: dict[SigningKey, PolicyStatements] = {}
        self.keys: dict[SigningKey, str] = {}
        for key, used in KEY_TABLE.items():
            if not undoable and key is not SigningKey.RECORDS:
                continue
            policy = self._policies[key] = PolicyStatements([account_statement()])
            made = template.add(
                f"{used.id}/Resource",
                "AWS::KMS::Key",
                {
                    "Description": f"ML Janitor: signs {used.signs}",
                    "KeyPolicy": policy,
                    "KeySpec": "HMAC_256",
                    "KeyUsage": "GENERATE_VERIFY_MAC",
                },
                removal="Retain" if key is SigningKey.RECORDS else "Delete",
            )
            self.keys[key] = f"${{{made}.Arn}}"
            template.output(used.output, self.keys[key])

    def grants(self, *users: KeyUser) -> list[Grant]:
        """Return the permissions of a role that is of the kinds *users*: none where nothing can be undone."""
        if not self._undoable:
            return []
        return [
            allow(f"kms:{action}", on=made)
            for key, made in self.keys.items()
            for action, allowed in (
                ("GenerateMac", KEY_TABLE[key].signers),
                ("VerifyMac", KEY_TABLE[key].verifiers),
            )
            if set(users) & set(allowed)
        ]

    def close(
        self,
        holders: Callable[[Grant], Sequence[str]],
        *,
        writers: Sequence[str],
        administrators: Sequence[str],
    ) -> None:
        """
        Deny signing and verifying to all but the *holders* of that permission and the ledger's *writers*.

        Only *administrators* may change the policies or end the keys.
        """
        for key, made in self.keys.items():
            uses, policy = KEY_TABLE[key], self._policies[key].statements
            for action, allowed in (
                ("GenerateMac", uses.signers),
                ("VerifyMac", {*uses.signers, *uses.verifiers}),
            ):
                by_hand = writers if KeyUser.WRITERS in allowed else ()
                roles = holders(allow(f"kms:{action}", on=made))
                policy.append(deny_all_but([*roles, *by_hand], f"kms:{action}"))
            policy.append(deny_all_but(administrators, "kms:CreateGrant", *KEY_MANAGEMENT))

    def environment(self, *users: KeyUser) -> dict[str, str]:
        """Return the variables that name the keys of a role that is of the kinds *users*."""
        if not self._undoable:
            return {}
        return {
            key.value: made
            for key, made in self.keys.items()
            if set(users) & {*KEY_TABLE[key].signers, *KEY_TABLE[key].verifiers}
        }
