"""What arrives at the function URL: only what Slack signed just now gets through, and little of that."""

import json
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from conftest import NOW
from ml_janitor.slack.ingress import (
    LARGEST_BODY,
    SIGNATURE_WINDOW,
    WORKER_WINDOW,
    RequestRefusedError,
    SignedBody,
    read_request,
)
from ml_janitor_sandbox.function_url import event
from ml_janitor_sandbox.slack import SIGNING_SECRET, Signed, form, sign
from tables import cases

PAYLOAD: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U1", "name": "maria", "team_id": "T1"},
    "token": "deprecated-verification-token",
    "container": {"type": "message", "message_ts": "1791255600.000001", "channel_id": "C1"},
    "trigger_id": "1.2.secret",
    "response_url": "https://hooks.slack.com/actions/T1/1/secret",
    "actions": [{"action_id": "janitor:keep", "value": "v", "action_ts": "1791255600.5", "type": "button"}],
}


def arrived(signed: Signed, **how: Any) -> dict[str, Any]:
    """The event of what was *signed*."""
    return event(signed.headers, signed.body, at=NOW, **how)


def got(signed: Signed, *, after: timedelta = timedelta()) -> dict[str, str]:
    return read_request(arrived(signed), NOW + after).verify(SIGNING_SECRET)


def refused(of: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(RequestRefusedError) as caught:
        read_request(of, NOW).verify(SIGNING_SECRET)
    return caught.value.status, str(caught.value)


def test_what_slack_signed_is_read_and_the_tokens_stay_behind() -> None:
    press = got(sign(form(PAYLOAD), NOW))

    assert press == {
        "user": "U1",
        "team": "T1",
        "channel": "C1",
        "message": "1791255600.000001",
        "action": "janitor:keep",
        "value": "v",
        "at": "1791255600.5",
        "response_url": "https://hooks.slack.com/actions/T1/1/secret",
    }
    assert "deprecated" not in str(press)
    assert "trigger" not in str(press)


@pytest.mark.parametrize("after", [timedelta(seconds=SIGNATURE_WINDOW), -timedelta(seconds=SIGNATURE_WINDOW)])
def test_five_minutes_are_forgiven_in_either_direction(after: timedelta) -> None:
    assert got(sign(form(PAYLOAD), NOW), after=after)["user"] == "U1"


@cases("after", timedelta(seconds=SIGNATURE_WINDOW + 1), -timedelta(seconds=SIGNATURE_WINDOW + 1))
def test_older_or_of_a_time_to_come_is_stale_before_any_secret_is_read(after: timedelta) -> None:
    with pytest.raises(RequestRefusedError, match="too long ago") as caught:
        read_request(arrived(sign(form(PAYLOAD), NOW)), NOW + after)
    assert caught.value.status == 401


def test_every_changed_byte_is_refused() -> None:
    signed = sign(form(PAYLOAD), NOW)
    for place in (0, len(signed.body) // 2, len(signed.body) - 1):
        changed = bytearray(signed.body)
        changed[place] ^= 1
        made = event(signed.headers, bytes(changed), at=NOW)
        assert refused(made) == (401, "the signature is wrong")


def test_another_secret_signs_nothing_here() -> None:
    assert refused(arrived(sign(form(PAYLOAD), NOW, "another secret"))) == (401, "the signature is wrong")


@cases(
    "changed",
    {"X-Slack-Signature": None},
    {"X-Slack-Signature": ""},
    {"X-Slack-Signature": "v0=" + "0" * 63},
    {"X-Slack-Signature": "v0=" + "é" * 64},
    {"X-Slack-Signature": "v1=" + "0" * 64},
    {"X-Slack-Request-Timestamp": None},
    {"X-Slack-Request-Timestamp": "soon"},
    {"X-Slack-Request-Timestamp": "1e9"},
    {"X-Slack-Request-Timestamp": "-1791255600"},
    {"X-Slack-Request-Timestamp": "\u0661\u0667\u0669"},
    {"X-Slack-Request-Timestamp": "9" * 400},
)
def test_without_a_whole_signature_nothing_is_read(changed: dict[str, str | None]) -> None:
    signed = sign(form(PAYLOAD), NOW)
    headers = {name: value for name, value in {**signed.headers, **changed}.items() if value is not None}
    with pytest.raises(RequestRefusedError, match="not signed") as caught:
        read_request(event(headers, signed.body, at=NOW), NOW)
    assert caught.value.status == 401


def test_a_header_that_came_twice_is_refused() -> None:
    signed = sign(form(PAYLOAD), NOW)
    twice = [*signed.headers.items(), ("x-slack-signature", signed.headers["X-Slack-Signature"])]
    assert refused(event(twice, signed.body, at=NOW)) == (401, "not signed")


@pytest.mark.parametrize(("size", "status"), [(65_536, 400), (65_537, 413)])
def test_64_kib_are_read_and_no_byte_more(size: int, status: int) -> None:
    """The smaller one is refused as well, but only once it was read: it is no press."""
    assert refused(arrived(sign(b"payload=".ljust(size, b"x"), NOW)))[0] == status


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(RequestRefusedError, match="too large") as caught:
        read_request(arrived(sign(b"payload=" + b"x" * LARGEST_BODY, NOW)), NOW)
    assert caught.value.status == 413


@pytest.mark.parametrize(("size", "why"), [(87_385, (400, "not base64")), (87_386, (413, "too large"))])
def test_what_is_too_large_is_not_even_decoded(size: int, why: tuple[int, str]) -> None:
    made = arrived(sign(form(PAYLOAD), NOW)) | {"body": "!" * size, "isBase64Encoded": True}
    assert refused(made) == why


def test_the_largest_is_read() -> None:
    body = form({**PAYLOAD, "pad": ""})
    signed = sign(form({**PAYLOAD, "pad": "x" * (LARGEST_BODY - len(body))}), NOW)
    assert len(signed.body) == LARGEST_BODY
    assert got(signed)["user"] == "U1"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_only_a_post_is_one(method: str) -> None:
    assert refused(arrived(sign(form(PAYLOAD), NOW), method=method)) == (405, "not a POST")


@cases(
    "body",
    b"",
    b"payload",
    b"payload=",
    b"payload=%7B",
    b"other=1",
    b"payload=" + b"[" * 9000,
    b"payload=" + json.dumps([PAYLOAD]).encode(),
    b"payload=null",
    b"&".join([b"payload=1"] * 20),
    form({**PAYLOAD, "type": "view_submission"}),
    form({**PAYLOAD, "actions": []}),
    form({**PAYLOAD, "actions": PAYLOAD["actions"] * 2}),
    form({**PAYLOAD, "user": {"id": 1}}),
    form({**PAYLOAD, "user": "U1"}),
    form({**PAYLOAD, "container": None}),
    form({**PAYLOAD, "actions": [{"action_id": "janitor:keep", "action_ts": "1.2"}]}),
    form({**PAYLOAD, "response_url": ["https://hooks.slack.com/"]}),
)
def test_what_is_signed_and_no_press_is_malformed(body: bytes) -> None:
    status, why = refused(arrived(sign(body, NOW)))
    assert (status, "\n" in why) == (400, False)


@cases("more, known", (b"&a=1" * 9, True), (b"&a=1" * 10, False), (b"&junk", False), (b"&junk=", True))
def test_ten_fields_are_read_and_each_has_to_be_one(more: bytes, *, known: bool) -> None:
    signed = sign(form(PAYLOAD) + more, NOW)
    if known:
        assert got(signed)["user"] == "U1"
    else:
        assert refused(arrived(signed)) == (400, "no press that is known here")


@pytest.mark.parametrize("strange", ["!", "\n"])
def test_a_body_with_anything_but_base64_in_it_is_malformed(strange: str) -> None:
    """What Python would skip there, somebody added."""
    made = arrived(sign(form(PAYLOAD), NOW))
    assert refused(made | {"body": made["body"] + strange}) == (400, "not base64")


def test_what_is_no_text_is_malformed() -> None:
    headers = sign(form(PAYLOAD), NOW).headers
    assert refused(event(headers, b"payload=\xff\xfe", at=NOW)) == (400, "not text")


@cases(
    "changed",
    {"body": None},
    {"body": 1},
    {"body": "not base64!"},
    {"body": "payload=1", "isBase64Encoded": True},
    {"headers": None},
    {"headers": ["x"]},
    {"requestContext": None},
    {"requestContext": {"http": None}},
)
def test_an_event_of_another_shape_is_refused_in_one_line(changed: dict[str, Any]) -> None:
    status, why = refused({**arrived(sign(form(PAYLOAD), NOW)), **changed})
    assert (400 <= status < 500, "\n" in why) == (True, False)


def test_a_body_that_came_as_text_is_verified_as_it_stands() -> None:
    signed = sign(form(PAYLOAD), NOW)
    made = arrived(signed)
    made |= {"isBase64Encoded": False, "body": signed.body.decode()}
    assert read_request(made, NOW).verify(SIGNING_SECRET)["user"] == "U1"


@cases(
    "seconds, accepted",
    (WORKER_WINDOW, True),
    (WORKER_WINDOW + 1, False),
    (-SIGNATURE_WINDOW, True),
    (-SIGNATURE_WINDOW - 1, False),
)
def test_the_worker_verifies_what_is_handed_on_for_65_minutes(seconds: int, *, accepted: bool) -> None:
    handed = read_request(arrived(sign(form(PAYLOAD), NOW)), NOW).event()
    request = SignedBody(handed["body"].encode(), handed["stamp"], handed["signature"])

    with nullcontext() if accepted else pytest.raises(RequestRefusedError, match="too long ago"):
        request.check_age(NOW + timedelta(seconds=seconds), WORKER_WINDOW)
    assert request.verify(SIGNING_SECRET)["user"] == "U1"
