"""What a secret for Slack makes, and that it is repeated nowhere."""

import json

import pytest
from aws_lambda_powertools.utilities import parameters

from ml_janitor.slack.client import SenderClock, SendError, make_sender, parse_token_or_url, read_slack_secret
from tables import cases

TIME = SenderClock(clock=lambda: 0.0, sleep=lambda _: None)


@pytest.mark.parametrize("kept", ["xoxb-1\n", json.dumps({"token": "xoxb-1\n"})])
def test_a_secret_with_a_token_makes_a_bot(kept: str) -> None:
    assert parse_token_or_url(kept) == "xoxb-1"
    assert repr(make_sender(kept, "#ml", TIME)) == "Slack('#ml')"


@cases(
    "kept, channel, says",
    ("hunter2", "#ml", "neither a bot token"),
    ('{"password": "hunter2"}', "#ml", 'without a "token"'),
    ('{"hunter2', "#ml", 'without a "token"'),
    ("xoxb-hunter2", "", "slack_channel is not set"),
)
def test_a_secret_that_cannot_be_used_is_not_repeated(kept: str, channel: str, says: str) -> None:
    with pytest.raises(SendError, match=says) as caught:
        make_sender(kept, channel, TIME)
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_read_again_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_secret(name: str, *, max_age: int) -> bytes | str:
        if name == "other":
            raise parameters.exceptions.GetParameterError("ResourceNotFound:\n  no such secret")
        assert max_age == 300
        return f"secret {name}"

    monkeypatch.setattr(parameters, "get_secret", get_secret)

    assert read_slack_secret("janitor/slack") == "secret janitor/slack"
    with pytest.raises(SendError, match="other cannot be read: ResourceNotFound: no such secret"):
        read_slack_secret("other")
