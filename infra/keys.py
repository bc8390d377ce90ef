"""The keys that sign what the ledger holds, and the one table of who signs and who verifies with each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import aws_cdk as cdk
from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from ml_janitor.engine.detector import Grant, allow
from ml_janitor.ledger.signatures import SigningKey


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
        signs="records of actions, and warnings",
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


class MacKey(kms.Key):
    """
    An HMAC key of KMS, which nobody can read, not even the account.

    A key that is *kept* outlives the stack as the ledger does: under another key, no record from before would
    verify. KMS does not rotate HMAC keys (developer guide, "Rotating KMS keys").
    """

    def __init__(self, scope: Construct, id_: str, description: str, *, kept: bool) -> None:
        super().__init__(
            scope,
            id_,
            description=description,
            key_spec=kms.KeySpec.HMAC_256,
            key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC,
            removal_policy=RemovalPolicy.RETAIN if kept else RemovalPolicy.DESTROY,
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
                    )
                ]
            ),
        )


class SigningKeys:
    """
    The keys of a deployment. The key of records is there in every deployment, and outlives the stack.

    The others exist only where something can be undone.
    """

    def __init__(self, scope: Construct, *, undoable: bool) -> None:
        self._undoable = undoable
        self.keys = {
            key: MacKey(
                scope,
                used.id,
                f"ML Janitor: signs {used.signs}",
                kept=key is SigningKey.RECORDS,
            )
            for key, used in KEY_TABLE.items()
            if undoable or key is SigningKey.RECORDS
        }
        for key, made in self.keys.items():
            cdk.CfnOutput(scope, KEY_TABLE[key].output, value=made.key_arn)

    def grants(self, *users: KeyUser) -> list[Grant]:
        """Return the permissions of a role that is of the kinds *users*: none where nothing can be undone."""
        if not self._undoable:
            return []
        return [
            allow(f"kms:{action}", on=made.key_arn)
            for key, made in self.keys.items()
            for action, allowed in (
                ("GenerateMac", KEY_TABLE[key].signers),
                ("VerifyMac", KEY_TABLE[key].verifiers),
            )
            if set(users) & set(allowed)
        ]

    def environment(self, *users: KeyUser) -> dict[str, str]:
        """Return the variables that name the keys of a role that is of the kinds *users*."""
        if not self._undoable:
            return {}
        return {
            key.value: made.key_arn
            for key, made in self.keys.items()
            if set(users) & {*KEY_TABLE[key].signers, *KEY_TABLE[key].verifiers}
        }
