"""S3 buckets whose tags control access, once that is switched on: attribute-based access control."""

from __future__ import annotations

from http import HTTPStatus

import xmltodict  # type: ignore[import-untyped]
from moto.s3.exceptions import MissingBucket

from ml_janitor_sandbox import state
from ml_janitor_sandbox.patches import backend
from ml_janitor_sandbox.wire import Asked, error

OPERATIONS = {"s3:GetBucketAbac", "s3:PutBucketAbac"}
ENABLED, DISABLED = "Enabled", "Disabled"


class Switched:
    """The buckets of an account for which it is on; "by default, ABAC is disabled" (S3 user guide)."""

    def __init__(self) -> None:
        self.on: set[str] = set()


def answer(asked: Asked) -> tuple[str, list[tuple[str, str]], bytes]:
    """
    Switch it, or say whether it is on.

    PutBucketTagging goes on working here, where AWS refuses it from then on: with which error is not
    documented.
    """
    bucket = asked.path.partition("?")[0].strip("/")
    try:
        backend("s3", asked.account, asked.region).head_bucket(bucket)
    except MissingBucket:
        headers, content = error(asked, HTTPStatus.NOT_FOUND, "NoSuchBucket", "There is no such bucket")
        return "404 Not Found", [*headers.items(), ("Content-Length", str(len(content)))], content
    buckets = switched(asked.account).on
    content = b""
    if asked.operation == "PutBucketAbac":
        if xmltodict.parse(asked.body)["AbacStatus"]["Status"] == ENABLED:
            buckets.add(bucket)
        else:
            buckets.discard(bucket)
    else:
        said = ENABLED if bucket in buckets else DISABLED
        content = f"<AbacStatus><Status>{said}</Status></AbacStatus>".encode()
    return "200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content


def switched(account: str) -> Switched:
    """Buckets are an account's in all regions."""
    return state.at(Switched, account, "every region")
