"""
Signs what an action is undone from with an HMAC key of KMS, and verifies it before anything is done from it.

Whoever can write to the table can write anything into it. Only who may also call GenerateMac with the
deployment's key can make the janitor act on it. The steps of an action are not signed: they only say which
calls are left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from ml_janitor.core.cause import Cause, Why
from ml_janitor.ledger.action import UNFINISHED, Action, Stage
from ml_janitor.ledger.table import stamp

ALGORITHM = "HMAC_SHA_256"

DEPLOYING = timedelta(hours=1)
"""How long after the key is made a function of the version before may still write without a code."""

SIGNED = UNFINISHED | {Stage.ACTED}
"""
The stages that a MAC covers. The roles that act write them. What is being undone keeps the MAC of the stage
before: the undo function has no permission to make one, so it cannot forge an action.
"""


class NoKeyError(Exception):
    """No undo key is named where a record has to be signed or verified."""


class UnverifiedError(Exception):
    """A record is not one that the janitor signed; *cause* says so, and nothing was done from it."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.why.name)
        self.cause = cause


class Macs(Protocol):
    """Makes and verifies message authentication codes."""

    def sign(self, content: bytes) -> str:
        """The code of *content*, as text. Raises what AWS raises."""

    def verify(self, content: bytes, mac: str) -> bool:
        """Whether *mac* is the code of *content*. Raises what AWS raises."""

    def since(self) -> datetime:
        """Since when there are any. Raises what AWS raises."""


class KmsMacs:
    """Those of the KMS key *key*, by the id or the ARN of the key."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._about = {"KeyId": key, "MacAlgorithm": ALGORITHM}

    def sign(self, content: bytes) -> str:
        """Its code. GenerateMac takes 4,096 bytes (API reference), so what is signed is a digest."""
        answer = self._client.generate_mac(Message=sha256(content).digest(), **self._about)
        return b64encode(answer["Mac"]).decode()

    def verify(self, content: bytes, mac: str) -> bool:
        """Whether it is its code: VerifyMac answers anything else with KMSInvalidMacException."""
        from botocore.exceptions import ClientError

        try:
            code = b64decode(mac, validate=True)
        except ValueError:
            return False
        if not code:
            return False
        try:
            answer = self._client.verify_mac(Message=sha256(content).digest(), Mac=code, **self._about)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "KMSInvalidMacException":
                return False
            raise
        return bool(answer["MacValid"])

    def since(self) -> datetime:
        """When the key was made."""
        made: datetime = self._client.describe_key(KeyId=self._about["KeyId"])["KeyMetadata"]["CreationDate"]
        return made


class NoKey:
    """What signs and verifies nothing, for who only reads, or writes what needs no signature."""

    def sign(self, content: bytes) -> str:
        """Raise NoKeyError."""
        del content
        raise NoKeyError("no undo key is named (JANITOR_UNDO_KEY), so a record cannot be signed")

    def verify(self, content: bytes, mac: str) -> bool:
        """Raise NoKeyError."""
        del content, mac
        raise NoKeyError("no undo key is named (JANITOR_UNDO_KEY), so a record cannot be verified")

    def since(self) -> datetime:
        """Raise NoKeyError."""
        raise NoKeyError("no undo key is named (JANITOR_UNDO_KEY), so nothing says when signing began")


def sign(macs: Macs, action: Action) -> dict[str, Any]:
    """The attributes that authenticate *action* at its stage."""
    return {"signed": action.stage, "mac": macs.sign(content(action, action.stage))}


def verify(macs: Macs, action: Action) -> None:
    """Raise UnverifiedError unless *action* is as it was signed, at the stage that it was signed at."""
    if not action.mac:
        raise UnverifiedError(Cause(Why.MAC_MISSING, (action.id,)))
    moved = action.stage in SIGNED and action.stage != action.signed
    if moved or action.signed not in SIGNED or not macs.verify(content(action, action.signed), action.mac):
        raise UnverifiedError(Cause(Why.MAC_INVALID))


def check_older(macs: Macs, action: Action) -> None:
    """Raise UnverifiedError for an *action* without a code that began when they were made already."""
    if action.began > macs.since() + DEPLOYING:
        raise UnverifiedError(Cause(Why.MAC_EXPECTED))


def content(action: Action, stage: Stage | str) -> bytes:
    """
    What is signed of *action* at *stage*: what it is done to, under which warning, and what undoes it.

    The key of its item is part of it, so a copy elsewhere in the table does not verify.
    """
    target = action.target
    covered = {
        "pk": action.pk,
        "sk": action.sk,
        "id": action.id,
        "detector": action.detector,
        "account": target.account,
        "region": target.region,
        "arn": target.arn,
        "name": target.name,
        "kind": target.kind,
        "created": None if target.created is None else target.created.isoformat(),
        "warned": stamp(action.warned),
        "began": stamp(action.began),
        "by": action.by,
        "stage": str(stage),
        "undo": action.undo,
    }
    return json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()
