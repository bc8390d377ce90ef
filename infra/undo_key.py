"""The key that signs undo records: only who may use it can have anything done from one."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


class UndoKey(kms.Key):
    """
    An HMAC key of KMS, which nobody can read, not even the account.

    It is there whether a detector is armed or not, and outlives the stack as the ledger does: under another
    key, no record from before would verify. KMS does not rotate HMAC keys (developer guide, "Rotating KMS
    keys").
    """

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(
            scope,
            id_,
            description="ML Janitor: signs what actions are undone from",
            key_spec=kms.KeySpec.HMAC_256,
            key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC,
            removal_policy=RemovalPolicy.RETAIN,
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
                    )
                ]
            ),
        )
