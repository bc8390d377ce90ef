"""S3 buckets whose tags control access, once that is switched on: attribute-based access control."""

from http import HTTPStatus

import xmltodict  # type: ignore[import-untyped]
from moto.s3.exceptions import MissingBucket

from ml_janitor_sandbox.wire import Asked, Reply, error, reply
from moto_corrections import state
from moto_corrections.patches import backend

OPERATIONS = {"s3:GetBucketAbac", "s3:PutBucketAbac"}
ENABLED, DISABLED = "Enabled", "Disabled"


class Switched(set[str]):
    """The buckets of an account for which it is on; "by default, ABAC is disabled" (S3 user guide)."""


def answer(asked: Asked) -> Reply:
    """
    Switch it, or say whether it is on.

    PutBucketTagging goes on working here, where AWS refuses it from then on: with which error is not
    documented.
    """
    bucket = asked.path.partition("?")[0].strip("/")
    try:
        backend("s3", asked.account, asked.region).head_bucket(bucket)
    except MissingBucket:
        return error(asked, HTTPStatus.NOT_FOUND, "NoSuchBucket", "There is no such bucket")
    buckets = switched(asked.account)
    content = b""
    if asked.operation == "PutBucketAbac":
        if xmltodict.parse(asked.body)["AbacStatus"]["Status"] == ENABLED:
            buckets.add(bucket)
        else:
            buckets.discard(bucket)
    else:
        said = ENABLED if bucket in buckets else DISABLED
        content = f"<AbacStatus><Status>{said}</Status></AbacStatus>".encode()
    return reply(content, "application/xml")


def switched(account: str) -> Switched:
    """Return the account's buckets with ABAC, in all regions."""
    return state.at(Switched, account, "every region")
