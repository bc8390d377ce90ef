"""
The signatures of what the ledger holds: which things are signed, with which key, and in which format.

Everybody who can write to the table can write anything into it. Only callers that may also call GenerateMac
with a key of the deployment can make the janitor decide by an item.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol, Self

from pydantic import TypeAdapter, ValidationError

from ml_janitor.ledger.table import format_stamp

# --- keys and kinds -------------------------------------------------------------------------------


class SigningKey(StrEnum):
    """An HMAC key of the deployment, by the environment variable that names it."""

    RECORDS = "JANITOR_UNDO_KEY"
    PROGRESS = "JANITOR_PROGRESS_KEY"
    REQUESTS = "JANITOR_REQUESTS_KEY"


class SignedKind(StrEnum):
    """A kind of signed thing. Its value is part of each signature: no kind can stand for another."""

    ACTION = "action"
    WARNING = "warning"
    PLACE = "place"
    UNDO_PROGRESS = "undo progress"
    UNDO_COMMAND = "undo command"
    REQUEST = "request"


KEY_OF_KIND: Mapping[SignedKind, SigningKey] = {
    SignedKind.ACTION: SigningKey.RECORDS,
    SignedKind.WARNING: SigningKey.RECORDS,
    SignedKind.PLACE: SigningKey.RECORDS,
    SignedKind.UNDO_PROGRESS: SigningKey.PROGRESS,
    SignedKind.UNDO_COMMAND: SigningKey.PROGRESS,
    SignedKind.REQUEST: SigningKey.REQUESTS,
}
"""The key of each kind: a role signs with a key, so the kinds of a key have the same signers."""

KEY_MANAGEMENT = ("kms:DisableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion")
"""Actions that change who may use a key, or end its use. A grant is another way to the same."""

MAC_FORMAT = 2
"""
The number of the format, which a signature begins with: "2:...". Signatures without a number are of the first
format, which only actions had.
"""


# --- codes ----------------------------------------------------------------------------------------

MAC_ALGORITHM = "HMAC_SHA_256"


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


@dataclass(frozen=True, slots=True)
class Signatures:
    """
    The signing keys that a caller may use; without a key, it can neither sign nor verify its kinds.

    *by_hand* is true under a person's own credentials: the requests that it signs are commands.
    """

    keys: Mapping[SigningKey, MacProvider] = field(default_factory=dict)
    by_hand: bool = False
    _known: dict[tuple[SignedKind, bytes, str], bool] = field(default_factory=dict, compare=False, repr=False)
    """Verified before: each signature costs a call once."""

    def sign(self, kind: SignedKind, content: Mapping[str, Any]) -> str:
        """Return the signature of *content*, which is plain JSON. Raises LookupError and AWS's errors."""
        signed = _signed_bytes(kind, content)
        signature = f"{MAC_FORMAT}:{self.provider(KEY_OF_KIND[kind]).sign(signed)}"
        self._known[kind, signed, signature] = True
        return signature

    def verify(self, kind: SignedKind, content: Mapping[str, Any], signature: str) -> bool:
        """Return whether *signature* is that of *content*. Raises LookupError and AWS's errors."""
        match signature_format(signature):
            case 1 if kind is SignedKind.ACTION:
                signed = canonical_json(content)
            case 2:
                signed = _signed_bytes(kind, content)
            case _:
                return False
        known = kind, signed, signature
        if known not in self._known:
            mac = signature.rpartition(":")[2]
            self._known[known] = self.provider(KEY_OF_KIND[kind]).verify(signed, mac)
        return self._known[known]

    def provider(self, key: SigningKey) -> MacProvider:
        """Return the maker of codes with *key*. Raises LookupError if there is none."""
        try:
            return self.keys[key]
        except KeyError:
            raise LookupError(f"no signing key: {key} is not set") from None


def kms_signatures(client: Any, keys: Mapping[SigningKey, str], *, by_hand: bool = False) -> Signatures:
    """Return the signatures by the KMS keys with these ids or ARNs."""
    return Signatures({key: KmsMacs(client, arn) for key, arn in keys.items()}, by_hand)


def named_keys(variables: Mapping[str, str]) -> dict[SigningKey, str]:
    """Return the keys that environment *variables* name."""
    return {key: variables[key] for key in SigningKey if variables.get(key)}


def signature_format(signature: str) -> int:
    """Return the number of the format of *signature*; 0 if no version wrote it."""
    number, colon, _ = signature.rpartition(":")
    return 1 if not colon and signature else MAC_FORMAT if number == str(MAC_FORMAT) else 0


def canonical_json(content: Mapping[str, Any]) -> bytes:
    """Return *content* as JSON; equal contents have equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _signed_bytes(kind: SignedKind, content: Mapping[str, Any]) -> bytes:
    return canonical_json({"format": MAC_FORMAT, "kind": kind, "content": content})


# --- requests -------------------------------------------------------------------------------------


class RequestKind(StrEnum):
    """The subject of a request: to make a finding due now, or to undo an action."""

    DUE = "due"
    UNDO = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    A request that *by* made at *at*, about the finding of *key* under its warning of the time *warned*.

    *press* is the identity of the press in Slack, or "". A person's *command* is signed under the person's
    own credentials; all other requests are signed by Slack's worker, or by a sweep that needs a revert.
    """

    what: RequestKind
    detector: str
    account: str
    region: str
    key: str
    warned: str
    by: str
    at: datetime
    press: str = ""
    command: bool = False
    mac: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Return the request that *given* is, from an item or an event. Raises ValueError."""
        try:
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as error:
            raise ValueError(f"not a request: {error.errors()[0]['msg']}") from error

    def as_json(self) -> dict[str, Any]:
        """Return the request as plain JSON, which `parse` reads."""
        return {**asdict(self), "at": format_stamp(self.at)}

    def sign(self, signatures: Signatures) -> Self:
        """Return the request with its signature. Raises LookupError and AWS's errors."""
        request = replace(self, command=signatures.by_hand)
        return replace(request, mac=signatures.sign(request.kind, request.content()))

    def verify(self, signatures: Signatures) -> bool:
        """Return whether the request is as it was signed. Raises LookupError and AWS's errors."""
        return signatures.verify(self.kind, self.content(), self.mac)

    @property
    def kind(self) -> SignedKind:
        """The kind of its signature."""
        return SignedKind.UNDO_COMMAND if self.command else SignedKind.REQUEST

    def content(self) -> dict[str, Any]:
        """Return the signed part: all but the signature."""
        content = self.as_json()
        del content["mac"]
        return content
