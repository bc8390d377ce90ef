"""The janitor's storage: the ledger's table with the key that encrypts it, and the bucket of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.keys import deny_all_but, deny_everybody
from infra.permissions import acknowledge
from ml_janitor.ledger.signatures import KEY_MANAGEMENT
from ml_janitor.ledger.uses import TABLE_MANAGEMENT, TABLE_WRITES

# --- ledger ---------------------------------------------------------------------------------------


class LedgerTable(dynamodb.Table):
    """
    A table whose keys a person can read: *pk* is the kind of item and its sweep, *sk* the resource.

    It outlives the stack: a redeployment does not lose what was announced to whom. Undo records hold whole
    descriptions, hyperparameters among them, so the table is encrypted under a key of the customer's own,
    which can be taken away.
    """

    def __init__(self, scope: Construct, id_: str) -> None:
        self._key = kms.Key(
            scope,
            f"{id_}Key",
            description="ML Janitor: what it remembers, undo records among it",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
            policy=iam.PolicyDocument(statements=key_policy(Stack.of(scope))),
        )
        super().__init__(
            scope,
            id_,
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._key,
            time_to_live_attribute="expires",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.RETAIN,
            resource_policy=iam.PolicyDocument(statements=table_policy(Stack.of(scope))),
        )

    def close(self, roles: Sequence[str], *, writers: Sequence[str], administrators: Sequence[str]) -> None:
        """
        Deny writing to all but *roles*, those of the functions, and *writers*.

        Only *administrators* may change the policies, or end the table or its key. DynamoDB makes grants for
        the key in the name of whoever asks it.
        """
        self.add_to_resource_policy(deny_all_but([*roles, *writers], *TABLE_WRITES))
        self.add_to_resource_policy(deny_all_but(administrators, *TABLE_MANAGEMENT))
        self._key.add_to_resource_policy(deny_all_but(administrators, *KEY_MANAGEMENT))


def table_policy(stack: Stack) -> list[iam.PolicyStatement]:
    """
    Deny access from other accounts, and access without TLS, whatever else allows it.

    A statement of a table's own policy may not name the table: that would refer to itself.
    """
    elsewhere = {
        "StringNotEquals": {"aws:PrincipalAccount": stack.account},
        "Bool": {"aws:PrincipalIsAWSService": "false"},
    }
    return [
        deny_everybody(["dynamodb:*"], {"Bool": {"aws:SecureTransport": "false"}}),
        deny_everybody(["dynamodb:*"], elsewhere),
    ]


def key_policy(stack: Stack) -> list[iam.PolicyStatement]:
    """
    Let the account govern the key, and let users of the table use it through DynamoDB.

    The same as the policy of AWS's own key for DynamoDB, so that roles need no statement about keys.
    """
    through_dynamodb = {
        "StringEquals": {
            "kms:CallerAccount": stack.account,
            "kms:ViaService": f"dynamodb.{stack.region}.{stack.url_suffix}",
        }
    }
    return [
        iam.PolicyStatement(principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]),
        iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=[
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            resources=["*"],
            conditions=through_dynamodb,
        ),
    ]


# --- bucket of reports ----------------------------------------------------------------------------
# The bucket is private, encrypted, and emptied by age.

REPORT_AGE = Duration.days(90)

FILE_AGE = Duration.days(3)
"""Age of the files of an unfinished reading: no run continues it after a day."""

DESCRIPTIONS_AGE = Duration.days(14)
"""Age of the files of kept descriptions: those that are in use are written again after a week at most."""


class ReportBucket(s3.Bucket):
    """
    A bucket with one object per sweep; nobody but the janitor writes, and only the account reads.

    Below the folders *passing*, files are kept for some days only.
    """

    def __init__(self, scope: Construct, id_: str, *, passing: Mapping[str, Duration]) -> None:
        super().__init__(
            scope,
            id_,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=REPORT_AGE, abort_incomplete_multipart_upload_after=Duration.days(1)
                ),
                *(s3.LifecycleRule(prefix=prefix, expiration=age) for prefix, age in passing.items()),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            self,
            "AwsSolutions-S1",
            reason="Reports name resources and dollars, no secrets; an access log would need a bucket of "
            "its own that nobody reads. CloudTrail data events can be switched on where they are wanted.",
        )
