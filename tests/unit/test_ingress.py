"""The function behind the URL: what it hands on, what it answers where it cannot, and what it logs."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from ml_janitor.slack import ingress
from ml_janitor_sandbox.function_url import event
from ml_janitor_sandbox.slack import SIGNING_SECRET, Signed, form, sign
from tables import cases

NAMES = {"JANITOR_SIGNING_SECRET": "signing", "JANITOR_WORKER": "worker"}
PAYLOAD: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "container": {"type": "message", "message_ts": "1791255600.000001", "channel_id": "C1"},
    "response_url": "https://hooks.slack.com/actions/T1/1/secret",
    "actions": [{"action_id": "janitor:keep", "value": "v", "action_ts": "1791255600.5"}],
}
BODY = form(PAYLOAD)


class Aws:
    """Secrets Manager and Lambda: *secret* is an error or the text, *status* what Lambda answers."""

    def __init__(self) -> None:
        self.secret: str | Exception = SIGNING_SECRET
        self.status = 202
        self.read: list[str] = []
        self.handed: list[tuple[str, dict[str, Any]]] = []

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's
        self.read.append(SecretId)
        if isinstance(self.secret, Exception):
            raise self.secret
        return {"SecretString": self.secret}

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, int]:  # noqa: N803
        assert InvocationType == "Event"
        self.handed.append((FunctionName, json.loads(Payload)))
        return {"StatusCode": self.status}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Aws]:
    caplog.set_level(logging.INFO, "ml_janitor.slack.ingress")
    aws = Aws()
    monkeypatch.setattr(ingress, "ingress_client", lambda _: aws)
    ingress.read_signing_secret.cache_clear()
    yield aws
    ingress.read_signing_secret.cache_clear()


def answered(signed: Signed, *, after: timedelta = timedelta()) -> int:
    """The status of the answer, which never has a body."""
    answer = ingress.answer_request(
        event(signed.headers, signed.body, at=NOW), NAMES, clock=lambda: NOW + after
    )
    assert answer == {"statusCode": answer["statusCode"], "body": ""}
    return int(answer["statusCode"])


def logged(caplog: pytest.LogCaptureFixture) -> tuple[str, str, dict[str, Any]]:
    """The only line of the log, and what it tells besides."""
    (line,) = caplog.records
    usual = vars(logging.makeLogRecord({})).keys() | {"message"}
    return line.levelname, line.message, {key: one for key, one in vars(line).items() if key not in usual}


def test_what_slack_signed_is_handed_to_the_worker(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    assert answered(sign(BODY, NOW)) == 200

    ((function, handed),) = aws.handed
    signed = sign(BODY, NOW)
    assert (function, handed) == (
        "worker",
        {
            "body": BODY.decode(),
            "stamp": signed.headers["X-Slack-Request-Timestamp"],
            "signature": signed.headers["X-Slack-Signature"],
        },
    )
    assert logged(caplog) == ("INFO", "handed on", {"action": "janitor:keep", "user": "U1"})


@cases(
    "signed, status, why",
    (Signed({"X-Slack-Request-Timestamp": f"{NOW.timestamp():.0f}"}, BODY), 401, "not signed"),
    (sign(BODY, NOW, "guessed"), 401, "the signature is wrong"),
    (sign(BODY, NOW - timedelta(minutes=6)), 401, "signed too long ago, or for a time to come"),
    (sign(BODY + b"&x=" + b"y" * 70_000, NOW), 413, "too large"),
    (sign(urlencode({"payload": "{"}).encode(), NOW), 400, "no press that is known here"),
    ids=["unsigned", "badly signed", "stale", "oversized", "malformed"],
)
def test_what_slack_did_not_send_just_now_goes_no_further(
    aws: Aws, caplog: pytest.LogCaptureFixture, signed: Signed, status: int, why: str
) -> None:
    """The log tells why, and nothing of the request: it may hold secrets."""
    assert answered(signed) == status

    assert aws.handed == []
    assert logged(caplog) == ("WARNING", "refused", {"why": why, "status": status})


def test_blanks_around_a_secret_do_not_count(aws: Aws) -> None:
    aws.secret = json.dumps({"signing_secret": f" {aws.secret}\n"})
    assert answered(sign(BODY, NOW)) == 200


@cases(
    "secret, guess",
    (" ", ""),
    ('{"signing_secret": ""}', ""),
    (f'{{"signing_secret": "{" " * 16}"}}', " " * 16),
    ('{"signing_secret": null}', "None"),
    ('{"signing_secret', ""),
    ("changeme", "changeme"),
    ("x" * 15, "x" * 15),
)
def test_an_empty_secret_fails(aws: Aws, caplog: pytest.LogCaptureFixture, secret: str, guess: str) -> None:
    """A placeholder that nobody filled in: whoever knows that could sign anything."""
    aws.secret = secret

    assert answered(sign(BODY, NOW, guess)) == 503

    assert (aws.read, aws.handed) == (["signing"], [])
    error = "the secret signing holds no signing secret of Slack's"
    assert logged(caplog) == ("ERROR", "a press could not be handed on", {"error": error})


@pytest.mark.parametrize("text", ["x" * 16, f" {'x' * 16}\n", f' {{"signing_secret": "{"x" * 16}"}} '])
def test_the_secret_is_the_text_or_a_member_of_it(aws: Aws, text: str) -> None:
    aws.secret = text
    assert answered(sign(BODY, NOW, "x" * 16)) == 200


def test_a_new_secret_is_read_within_five_minutes(aws: Aws) -> None:
    reads = list[int]()
    for seconds in (0, 299, 300):
        assert answered(sign(BODY, NOW), after=timedelta(seconds=seconds)) == 200
        reads.append(len(aws.read))
    assert reads == [1, 1, 2]


@cases(
    "secret, status, error",
    (SIGNING_SECRET, 500, "RuntimeError"),
    (
        ClientError({"Error": {"Code": "AccessDenied", "Message": "arn"}}, "GetSecretValue"),
        202,
        "GetSecretValue: AccessDenied",
    ),
    (ConnectionError("https://secret.example"), 202, "ConnectionError"),
)
def test_what_cannot_be_handed_on_is_not_acknowledged(
    aws: Aws, caplog: pytest.LogCaptureFixture, secret: str | Exception, status: int, error: str
) -> None:
    aws.secret, aws.status = secret, status

    assert answered(sign(BODY, NOW)) == 503

    assert logged(caplog) == ("ERROR", "a press could not be handed on", {"error": error})


def test_a_client_gives_up_before_slack_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack waits three seconds; a call of AWS takes two tries of a second at most."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config = ingress.ingress_client.__wrapped__("lambda").meta.config
    assert config.retries == {"total_max_attempts": 2, "mode": "standard"}
    assert (config.connect_timeout, config.read_timeout) == (1, 1)
