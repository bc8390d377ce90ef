"""Posts over HTTP to the sandbox's Slack, on good days and bad ones. Nothing sleeps: time is made up."""

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from slack_sdk.http_retry import HttpRequest, HttpResponse, RateLimitErrorRetryHandler, RetryState

from fakes import SleepingClock
from ml_janitor.core.results import Sweep
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report.announcement import announce_sweep, owners_in_thread
from ml_janitor.report.mrkdwn import Message, Post, section_block
from ml_janitor.slack.client import SenderClock, SendError, SlackBot, Webhook, read_slack_secret
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.slack import CHANNEL, TOKEN, SlackControl
from reports import NOW, full

DEADLINE = 100.0


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


@pytest.fixture
def workspace(box: Control) -> SlackControl:
    return SlackControl(box.url)


@pytest.fixture
def time(clock: SleepingClock) -> SenderClock:
    return SenderClock(clock=lambda: clock.now, sleep=clock.sleep)


@pytest.fixture
def bot(workspace: SlackControl, time: SenderClock) -> SlackBot:
    return SlackBot(TOKEN, "#ml-costs", time, url=workspace.api)


@pytest.fixture
def hook(workspace: SlackControl, time: SenderClock) -> Webhook:
    return Webhook(workspace.hook, time)


def post(text: str = "hello", *replies: str, attachment: str = "") -> Post:
    def message(said: str) -> Message:
        return Message(text=said, blocks=(section_block(said),))

    return Post(main=message(text), replies=tuple(map(message, replies)), attachment=attachment)


# --- good days ------------------------------------------------------------------------------------


def test_a_whole_sweep_arrives_with_thread_owner_and_report(bot: SlackBot, workspace: SlackControl) -> None:
    workspace.add_user("U7", "maria.lopez@acme.example")
    sweep: Sweep = full().sweeps[0]
    people = bot.people(owners_in_thread(sweep.findings), deadline=DEADLINE)
    said = announce_sweep(sweep, RecordedFindings(new=sweep.findings, entries={}), now=NOW, people=people)
    assert said is not None
    delivered = bot.deliver(said, b"<html>all of it", deadline=DEADLINE)

    main, *replies = workspace.messages()
    assert (delivered, main["channel"]) == ((), CHANNEL)
    assert main["text"].startswith("$8,245 a month: 4 new idle endpoints")
    assert (main["thread_ts"], main["mentions"]) == (None, [])
    assert {reply["thread_ts"] for reply in replies} == {main["ts"]}
    assert [who for reply in replies for who in reply["mentions"]] == ["@U7"]
    (file,) = workspace.files()
    assert (file["content"], file["thread_ts"]) == ("<html>all of it", main["ts"])
    assert file["title"] == "idle-endpoints-123456789012-us-east-1-2026-10-06.html"


# --- bad days -------------------------------------------------------------------------------------


def test_slack_sdks_own_handler_would_wait_beyond_any_deadline(time: SenderClock) -> None:
    asked = HttpResponse(status_code=429, headers={"Retry-After": ["3600"]}, body={})
    request = HttpRequest(method="POST", url="https://slack.com/api/chat.postMessage", headers={})

    def retried(handler: Any) -> bool:
        return bool(handler.can_retry(state=RetryState(), request=request, response=asked))

    assert retried(RateLimitErrorRetryHandler())
    assert [retried(handler) for handler in time.until(DEADLINE).retries()] == [False]


def test_a_lost_reply_is_repeated_and_no_message_lost(bot: SlackBot, workspace: SlackControl) -> None:
    workspace.fault("lost-reply")
    delivered = bot.deliver(post("main", "reply"), deadline=DEADLINE)

    once, again, reply = workspace.messages()
    assert (once["text"], again["text"], reply["thread_ts"]) == ("main", "main", again["ts"])
    assert delivered == ()
    assert once["client_msg_id"] == again["client_msg_id"] != reply["client_msg_id"]
    assert once["metadata"] == again["metadata"] != reply["metadata"]


# --- refusals -------------------------------------------------------------------------------------


def test_a_wrong_token_is_not_repeated_in_the_error_or_the_log(
    workspace: SlackControl, time: SenderClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bot = SlackBot("xoxb-wrong", CHANNEL, time, url=workspace.api)
    with pytest.raises(SendError, match="invalid_auth; put the app's current bot token") as caught:
        bot.deliver(post(), deadline=DEADLINE)
    Webhook(workspace.hook, time).deliver(post(), deadline=DEADLINE)
    assert "xoxb-wrong" not in f"{caught.value} {bot!r} {caplog.text}"
    assert "opensesame" not in caplog.text


def test_slacks_own_words_about_bad_blocks_are_passed_on(bot: SlackBot) -> None:
    bad = Post(main=Message(text="x", blocks=({"type": "sections"},)))
    with pytest.raises(SendError, match=r"invalid_blocks .*unsupported type: sections"):
        bot.deliver(bad, deadline=DEADLINE)


# --- the secret -----------------------------------------------------------------------------------


@pytest.fixture
def _no_cached_secrets() -> Iterator[None]:
    from aws_lambda_powertools.utilities import parameters

    parameters.clear_caches()  # type: ignore[no-untyped-call]
    yield
    parameters.clear_caches()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("_no_cached_secrets")
def test_the_secret_comes_from_secrets_manager_by_name(session: boto3.Session) -> None:
    session.client("secretsmanager").create_secret(Name="janitor/slack", SecretString="xoxb-1")
    assert read_slack_secret("janitor/slack") == "xoxb-1"


@pytest.mark.usefixtures("_no_cached_secrets")
def test_a_secret_that_is_not_there_is_one_clear_line(session: boto3.Session) -> None:
    assert session
    with pytest.raises(SendError, match=r"the secret janitor/other cannot be read: .*ResourceNotFound"):
        read_slack_secret("janitor/other")
