"""What is signed, with which key and in which format; KMS in a few lines."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError

from ml_janitor.ledger.signatures import (
    KEY_OF_KIND,
    KmsMacs,
    Request,
    RequestKind,
    Signatures,
    SignedKind,
    SigningKey,
    canonical_json,
    kms_signatures,
    signature_format,
)
from standin import own_signatures
from tables import cases

NOW = datetime(2026, 10, 6, tzinfo=UTC)


class Kms:
    """A key of KMS that answers *valid*, or raises the error *code*."""

    def __init__(self, *, valid: bool = True, code: str = "") -> None:
        self.valid, self.code, self.asked = valid, code, list[bytes]()

    def verify_mac(self, *, Mac: bytes, **_: object) -> dict[str, bool]:  # noqa: N803 - boto3's
        self.asked.append(Mac)
        if self.code:
            raise ClientError({"Error": {"Code": self.code}}, "VerifyMac")
        return {"MacValid": self.valid}

    def generate_mac(self, *, Message: bytes, KeyId: str, MacAlgorithm: str) -> dict[str, bytes]:  # noqa: N803
        assert (Message, KeyId, MacAlgorithm) == (sha256(b"content").digest(), "key", "HMAC_SHA_256")
        return {"Mac": b"code"}

    def describe_key(self, *, KeyId: str) -> dict[str, dict[str, datetime]]:  # noqa: N803
        assert KeyId == "key"
        return {"KeyMetadata": {"CreationDate": NOW}}


def test_kms_signs_a_digest_since_its_key_was_made() -> None:
    """GenerateMac takes 4,096 bytes."""
    assert KmsMacs(Kms(), "key").sign(b"content") == "Y29kZQ=="
    assert KmsMacs(Kms(), "key").since() == NOW


@cases(
    "mac, kms, valid, asked",
    ("Y29kZQ==", Kms(), True, [b"code"]),
    ("Y29kZQ==", Kms(valid=False), False, [b"code"]),
    ("Y29kZQ==", Kms(code="KMSInvalidMacException"), False, [b"code"]),
    ("Y29kZQ", Kms(), False, []),
    ("Y29k ZQ==", Kms(), False, []),
    ("", Kms(), False, []),
    ids=["valid", "invalid", "refused", "cut off", "with a space", "none"],
)
def test_a_code_is_valid_if_kms_says_so(mac: str, kms: Kms, *, valid: bool, asked: list[bytes]) -> None:
    assert KmsMacs(kms, "key").verify(b"content", mac) is valid
    assert kms.asked == asked


def test_a_key_that_does_not_answer_says_nothing_of_a_code() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        KmsMacs(Kms(code="AccessDeniedException"), "key").verify(b"content", "Y29kZQ==")


# --- kinds, formats and requests ------------------------------------------------------------------

CONTENT = {"pk": "a", "undo": {"name": "lamp"}}
ASKED = Request(
    what=RequestKind.UNDO,
    detector="shelf",
    account="123456789012",
    region="us-east-1",
    key="arn:lamp@2026",
    warned="2026-10-01T00:00:00Z",
    by="maria",
    at=NOW,
)


@pytest.mark.parametrize("kind", SignedKind)
def test_a_signature_is_of_one_kind_and_one_content_and_takes_the_key_of_its_kind(kind: SignedKind) -> None:
    signatures = own_signatures()
    signature = signatures.sign(kind, CONTENT)

    assert own_signatures(KEY_OF_KIND[kind]).verify(kind, dict(reversed(CONTENT.items())), signature)
    assert not signatures.verify(kind, {**CONTENT, "pk": "b"}, signature)
    assert not any(signatures.verify(other, CONTENT, signature) for other in SignedKind if other is not kind)
    without = own_signatures(*(key for key in SigningKey if key is not KEY_OF_KIND[kind]))
    for ask in (lambda: without.sign(kind, CONTENT), lambda: without.verify(kind, CONTENT, signature)):
        with pytest.raises(LookupError, match=f"{KEY_OF_KIND[kind]} is not set"):
            ask()


@pytest.mark.parametrize("kind", SignedKind)
def test_only_actions_have_signatures_of_the_first_format(kind: SignedKind) -> None:
    signatures = own_signatures()
    first = signatures.provider(KEY_OF_KIND[kind]).sign(canonical_json(CONTENT))
    number, _, mac = signatures.sign(kind, CONTENT).partition(":")

    assert signatures.verify(kind, CONTENT, first) is (kind is SignedKind.ACTION)
    assert number == "2"
    for other in (mac, f"1:{mac}", f"3:{mac}", f":{mac}", "", ":", "2:"):
        assert not signatures.verify(kind, CONTENT, other)


def test_a_request_is_what_was_signed_wherever_it_was_stored() -> None:
    worker, person = own_signatures(SigningKey.REQUESTS), own_signatures(SigningKey.PROGRESS, by_hand=True)
    pressed, command = ASKED.sign(worker), ASKED.sign(person)

    assert [Request.parse(asked.as_json()) for asked in (pressed, command)] == [pressed, command]
    assert pressed.verify(worker)
    assert command.verify(person)
    for changed in (
        {"what": RequestKind.DUE},
        {"detector": "loft"},
        {"account": "2"},
        {"region": "eu-west-1"},
        {"key": "arn:door@2026"},
        {"warned": ""},
        {"by": "eve"},
        {"at": datetime(2026, 10, 7, tzinfo=UTC)},
        {"press": "another"},
    ):
        assert not replace(pressed, **changed).verify(worker)
    with pytest.raises(LookupError):
        replace(pressed, command=True).verify(worker)
    for broken in ({}, {**pressed.as_json(), "at": "yesterday"}, {**pressed.as_json(), "what": "delete"}):
        with pytest.raises(ValueError, match="not a request"):
            Request.parse(broken)


def test_without_any_key_nothing_verifies() -> None:
    with pytest.raises(LookupError):
        ASKED.sign(Signatures())


@cases(
    "signature, number", ("", 0), ("c29k", 1), ("2:c29k", 2), ("1:c29k", 0), ("3:c29k", 0), ("2:2:c29k", 0)
)
def test_a_signature_of_a_format_that_no_version_wrote_is_of_none(signature: str, number: int) -> None:
    assert signature_format(signature) == number


def test_nothing_is_a_persons_command_unless_it_is_said_to_be() -> None:
    assert not Signatures().by_hand
    assert not kms_signatures(Kms(), {}).by_hand
    about = dict.fromkeys(("detector", "account", "region", "key", "warned", "by"), "x")
    assert not Request.parse({"what": "undo", "at": NOW, **about}).command
