"""The keys that sign what the ledger holds, their policies, and the one table of who signs and verifies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, cast

import aws_cdk as cdk
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from ml_janitor.engine.detector import Grant, allow
from ml_janitor.ledger.signatures import KEY_MANAGEMENT, SigningKey


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


def deny_everybody(actions: Sequence[str], conditions: Mapping[str, Any]) -> iam.PolicyStatement:
    """Deny *actions* to everybody under *conditions*."""
    return iam.PolicyStatement(
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=list(actions),
        resources=["*"],
        conditions=conditions,
    )


def deny_all_but(principals: Sequence[str], *actions: str) -> iam.PolicyStatement:
    """
    Deny *actions* to everybody but the roles and users with these ARNs.

    Names in a condition may hold wildcards, and outlive their roles: as principals, they would have to exist.
    """
    return deny_everybody(actions, {"ArnNotLike": {"aws:PrincipalArn": list(principals)}})


def policy_administrators(stack: Stack, listed: Sequence[str]) -> list[str]:
    """
    Return who may change policies: those *listed*, whoever deploys the stack, and the account's root user.

    KMS refuses a policy that its caller could not change again, and that caller is CloudFormation's role. The
    root user is the way back for an account that has lost the roles.
    """
    synthesizer = cast("cdk.DefaultStackSynthesizer", stack.synthesizer)
    deploying = synthesizer.cloud_formation_execution_role_arn, synthesizer.deploy_role_arn
    pseudo = {"Partition": stack.partition, "AccountId": stack.account, "Region": stack.region}
    return [
        f"arn:{stack.partition}:iam::{stack.account}:root",
        *(re.sub(r"\$\{AWS::(\w+)\}", lambda found: pseudo[found[1]], role) for role in deploying),
        *listed,
    ]


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
            uses = KEY_TABLE[key]
            for action, allowed in (
                ("GenerateMac", uses.signers),
                ("VerifyMac", {*uses.signers, *uses.verifiers}),
            ):
                by_hand = writers if KeyUser.WRITERS in allowed else ()
                roles = holders(allow(f"kms:{action}", on=made.key_arn))
                made.add_to_resource_policy(deny_all_but([*roles, *by_hand], f"kms:{action}"))
            made.add_to_resource_policy(deny_all_but(administrators, "kms:CreateGrant", *KEY_MANAGEMENT))

    def environment(self, *users: KeyUser) -> dict[str, str]:
        """Return the variables that name the keys of a role that is of the kinds *users*."""
        if not self._undoable:
            return {}
        return {
            key.value: made.key_arn
            for key, made in self.keys.items()
            if set(users) & {*KEY_TABLE[key].signers, *KEY_TABLE[key].verifiers}
        }
