"""The bucket that whole reports are kept in: private, encrypted, and emptied by age."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledge import acknowledge

REPORT_AGE = Duration.days(90)

FILE_AGE = Duration.days(3)
"""Age of the files of an unfinished reading: no run continues it after a day."""


class ReportBucket(s3.Bucket):
    """
    A bucket with one object per sweep; nobody but the janitor writes, and only the account reads.

    Below *passing*, files are kept for some days only.
    """

    def __init__(self, scope: Construct, id_: str, *, passing: Sequence[str]) -> None:
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
                *(s3.LifecycleRule(prefix=prefix, expiration=FILE_AGE) for prefix in passing),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            self,
            "AwsSolutions-S1",
            reason="Reports name resources and dollars, no secrets; an access log would need a bucket of "
            "its own that nobody reads. CloudTrail data events can be switched on where they are wanted.",
        )
