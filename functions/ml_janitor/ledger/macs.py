"""
Signs the data that undoes an action with an HMAC key of KMS, and verifies it before the janitor uses it.

Everybody who can write to the table can write anything into it. Only callers that may also call GenerateMac
with the deployment's key can make the janitor act on an item. The steps of an action are not signed: they
only say which calls are left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from ml_janitor.core.cause import Cause, CauseCode
from ml_janitor.ledger.action import UNFINISHED_STAGES, Action, Stage
from ml_janitor.ledger.table import format_stamp

MAC_ALGORITHM = "HMAC_SHA_256"

_DEPLOY_TIME = timedelta(hours=1)
"""
Time after the key's creation in which a function of the version before
may still write unsigned actions.
"""

SIGNED_STAGES = UNFINISHED_STAGES | {Stage.ACTED}
"""
The stages that a MAC covers. The roles that act write them. During an undo, an action keeps the MAC of the
stage before: the undo function has no permission to make a MAC, so it cannot forge an action.
"""


class NoUndoKeyError(Exception):
    """There is no undo key where a record has to be signed or verified."""


class UnverifiedError(Exception):
    """The janitor did not sign this record, and does nothing from it; *cause* says so."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.why.name)
        self.cause = cause


class MacProvider(Protocol):
    """A maker and verifier of message authentication codes."""

    def sign(self, content: bytes) -> str:
        """Return the code of *content*, as text. Raises AWS's errors."""

    def verify(self, content: bytes, mac: str) -> bool:
        """Return whether *mac* is the code of *content*. Raises AWS's errors."""

    def since(self) -> datetime:
        """Return the time since which codes exist. Raises AWS's errors."""


class KmsMacs:
    """The codes of the KMS key *key*, the key's id or ARN."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._about = {"KeyId": key, "MacAlgorithm": MAC_ALGORITHM}

    def sign(self, content: bytes) -> str:
        """Return the code of *content*'s digest: GenerateMac takes 4,096 bytes (API reference)."""
        answer = self._client.generate_mac(Message=sha256(content).digest(), **self._about)
        return b64encode(answer["Mac"]).decode()

    def verify(self, content: bytes, mac: str) -> bool:
        """
        Return whether *mac* is the code of *content*. VerifyMac answers any
        other with KMSInvalidMacException.
        """
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
        """Return the creation time of the key."""
        made: datetime = self._client.describe_key(KeyId=self._about["KeyId"])["KeyMetadata"]["CreationDate"]
        return made


class NoUndoKey:
    """A stand-in without a key, for callers that only read, or write items that need no signature."""

    def sign(self, content: bytes) -> str:
        """Raise NoKeyError."""
        del content
        raise NoUndoKeyError("no undo key is named (JANITOR_UNDO_KEY), so a record cannot be signed")

    def verify(self, content: bytes, mac: str) -> bool:
        """Raise NoKeyError."""
        del content, mac
        raise NoUndoKeyError("no undo key is named (JANITOR_UNDO_KEY), so a record cannot be verified")

    def since(self) -> datetime:
        """Raise NoKeyError."""
        raise NoUndoKeyError("no undo key is named (JANITOR_UNDO_KEY), so nothing says when signing began")


def sign_action(macs: MacProvider, action: Action) -> dict[str, Any]:
    """Return the attributes that authenticate *action* at its stage."""
    return {"signed": action.stage, "mac": macs.sign(signed_content(action, action.stage))}


def verify_action(macs: MacProvider, action: Action) -> None:
    """Raise UnverifiedError unless *action* is as it was signed, at the stage that it was signed at."""
    if not action.mac:
        raise UnverifiedError(Cause(CauseCode.MAC_MISSING, (action.id,)))
    moved = action.stage in SIGNED_STAGES and action.stage != action.signed
    if (
        moved
        or action.signed not in SIGNED_STAGES
        or not macs.verify(signed_content(action, action.signed), action.mac)
    ):
        raise UnverifiedError(Cause(CauseCode.MAC_INVALID))


def check_unsigned_age(macs: MacProvider, action: Action) -> None:
    """Raise UnverifiedError for an unsigned *action* that is younger than the signing key."""
    if action.began > macs.since() + _DEPLOY_TIME:
        raise UnverifiedError(Cause(CauseCode.MAC_EXPECTED))


def signed_content(action: Action, stage: Stage | str) -> bytes:
    """
    Return the signed part of *action* at *stage*: the target, the warning and the undo.

    It includes the key of the item, so a copy elsewhere in the table does not verify.
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
        "warned": format_stamp(action.warned),
        "began": format_stamp(action.began),
        "by": action.by,
        "stage": str(stage),
        "undo": action.undo,
    }
    return json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()
