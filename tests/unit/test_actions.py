"""What an action in the ledger says of itself, and what authenticates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fakes import thing, waste
from ml_janitor.ledger.action import Action, Stage
from ml_janitor.ledger.macs import KmsMacs, Macs, NoKey, NoKeyError

NOW = datetime(2026, 10, 6, tzinfo=UTC)


def action(**more: Any) -> Action:
    about: dict[str, Any] = {"stage": Stage.FAILED, "warned": NOW, "began": NOW, "undo": {}, **more}
    return Action(sk="sk", detector="shelf", target=thing("lamp", waste()).target, **about)


@pytest.mark.parametrize(
    ("steps", "touched", "coming_back"),
    [
        ({}, False, False),
        ({"act: stop": "refused"}, False, False),
        ({"act: stop": "begun"}, True, False),
        ({"act: stop": "refused", "act: tag": "done"}, True, False),
        ({"act: stop": "refused", "undo: start": "begun"}, False, True),
    ],
    ids=str,
)
def test_it_may_have_done_what_it_began_and_aws_did_not_refuse(
    steps: Mapping[str, str], *, touched: bool, coming_back: bool
) -> None:
    one = action(steps=steps)
    assert (one.touched, one.coming_back) == (touched, coming_back)


@pytest.mark.parametrize(
    ("how", "failures", "mark"),
    [
        ({}, 1, "failed 1"),
        ({"attempts": 2, "broke": True}, 2, "failed 2 failed"),
        ({"attempts": 3}, 3, "failed 3"),
        ({"attempts": 5, "waits": 3, "asked": 1}, 2, "failed 5"),
        ({"attempts": 5, "waits": 1, "asked": 3, "stage": Stage.UNDOING}, 2, "undoing 5"),
    ],
)
def test_three_attempts_in_a_row_that_did_not_end_well_are_its_last(
    how: Mapping[str, Any], failures: int, mark: str
) -> None:
    one = action(**how)
    assert (one.failures, one.given_up, one.mark) == (failures, failures == 3, mark)


# --- its code -----------------------------------------------------------------------------------------


class Kms:
    """A key of KMS that answers *valid*, or raises the error *code*."""

    def __init__(self, *, valid: bool = True, code: str = "") -> None:
        self.valid, self.code, self.asked = valid, code, list[bytes]()

    def verify_mac(self, *, Mac: bytes, **_: object) -> dict[str, bool]:  # noqa: N803 - boto3's
        self.asked.append(Mac)
        if self.code:
            raise ClientError({"Error": {"Code": self.code}}, "VerifyMac")
        return {"MacValid": self.valid}


@pytest.mark.parametrize(
    ("mac", "kms", "valid", "asked"),
    [
        ("Y29kZQ==", Kms(), True, [b"code"]),
        ("Y29kZQ==", Kms(valid=False), False, [b"code"]),
        ("Y29kZQ==", Kms(code="KMSInvalidMacException"), False, [b"code"]),
        ("Y29kZQ", Kms(), False, []),
        ("Y29k ZQ==", Kms(), False, []),
        ("", Kms(), False, []),
    ],
    ids=["valid", "invalid", "refused", "cut off", "with a space", "none"],
)
def test_a_code_is_valid_if_kms_says_so(mac: str, kms: Kms, *, valid: bool, asked: list[bytes]) -> None:
    assert KmsMacs(kms, "key").verify(b"content", mac) is valid
    assert kms.asked == asked


def test_a_key_that_does_not_answer_says_nothing_of_a_code() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        KmsMacs(Kms(code="AccessDeniedException"), "key").verify(b"content", "Y29kZQ==")


@pytest.mark.parametrize(
    "ask",
    [lambda macs: macs.sign(b""), lambda macs: macs.verify(b"", ""), lambda macs: macs.since()],
    ids=["sign", "verify", "since"],
)
def test_without_a_key_nothing_is_signed_or_verified(ask: Callable[[Macs], object]) -> None:
    with pytest.raises(NoKeyError, match="JANITOR_UNDO_KEY"):
        ask(NoKey())
