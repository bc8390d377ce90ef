"""Slack's senders, the bot and the webhook: posts, retries, people, and a remedy for each error code."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.report.mrkdwn import append_block, context_block, image_block, prose

if TYPE_CHECKING:
    from slack_sdk import WebClient, WebhookClient

    from ml_janitor.report.mrkdwn import Message, Picture, Post

# --- error codes ----------------------------------------------------------------------------------

TEMPORARY_ERRORS = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "request_timeout", "rollup_error", "service_unavailable"}
)
"""Temporary failures of Slack: retry."""

PERSON_ERRORS = frozenset(
    {
        *("invalid_arguments", "user_not_found", "user_not_visible", "users_not_found"),
        *("cannot_dm_bot", "user_disabled"),
    }
)
"""Refusals that concern one person; any other would also meet the next person."""

MESSAGE_ERRORS = frozenset({"invalid_blocks", "msg_blocks_too_long", "msg_too_long", "no_text"})
"""Refusals that concern one message; Slack may accept the next one."""

UNCHANGEABLE_ERRORS = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})
"""Refusals of a change that no retry helps: the message is gone, or no longer ours."""

NEW_TOKEN = "put the app's current bot token (xoxb-...) into the secret"  # noqa: S105 - advice, not a token
INSTALL_AGAIN = "install the app again, and put its new bot token into the secret"
NEW_WEBHOOK = "make a new incoming webhook, and put its URL into the secret"
ASK_AN_ADMIN = "ask an administrator of the workspace to let the app post there"
UNARCHIVE = "unarchive the channel, or choose another one"

ERROR_REMEDIES = {
    "account_inactive": INSTALL_AGAIN,
    "action_prohibited": ASK_AN_ADMIN,
    "cannot_dm_bot": "the owner is a bot: name a person in the owner tag",
    "channel_is_archived": UNARCHIVE,
    "channel_not_found": ("check its name in janitor.toml; a private channel has to invite the app first"),
    "invalid_auth": NEW_TOKEN,
    "invalid_token": NEW_WEBHOOK,
    "is_archived": UNARCHIVE,
    "messages_tab_disabled": "switch the app's Messages Tab on, under App Home",
    "missing_scope": "add the scope to the app under OAuth & Permissions, and install it again",
    "no_active_hooks": NEW_WEBHOOK,
    "no_service": NEW_WEBHOOK,
    "no_such_subteam": "copy the id of the user group (S...) from its menu in Slack to slack_group",
    "not_authed": NEW_TOKEN,
    "not_in_channel": "invite the app to the channel: type /invite and the app's name there",
    "restricted_action": ASK_AN_ADMIN,
    "token_expired": NEW_TOKEN,
    "token_revoked": INSTALL_AGAIN,
    "user_disabled": "the owner's account is deactivated: name somebody else in the owner tag",
}


def refusal_text(error: str, what: str, details: str = "") -> str:
    """Describe Slack's *error* in a line: which request it refused, and what to do."""
    refused = f"Slack refused {what}: {error}{f' ({details})' if details else ''}"
    return f"{refused}; {ERROR_REMEDIES.get(error, 'retrying will not help')}"


# --- retries --------------------------------------------------------------------------------------
# Requests are tried again after rate limits, outages and lost answers, within the time that is left.

CONNECTION_ERRORS = (OSError, HTTPException, JSONDecodeError, UnicodeDecodeError)
"""Errors of a request that ends without an answer: refused, cut off, timed out, or incomplete."""

SLACK_TRIES = 6
"""Maximum number of tries of a request that Slack does not answer; rate limits do not count."""

FIRST_RETRY_PAUSE = 1.0
"""Seconds before the second try; each later pause is twice as long."""

PAUSE_WITHOUT_HEADER = 1.0
"""Seconds to wait at a rate limit that does not say how long."""


class SendError(Exception):
    """Slack, or SNS for a mail, did not take something; the message says what to do."""


class TimeLeft:
    """
    The time left for requests: until *deadline*, in the seconds of *clock*.

    It decides whether and after which pause a request is retried; *sleep* waits.
    """

    def __init__(
        self, *, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._wanted = 0.0

    def retries(self) -> list[Any]:
        """Return the retry handlers of one request, for slack_sdk's clients."""
        return [RetryWithinDeadline(self)]

    def lasts(self, seconds: float) -> bool:
        """Return whether so many seconds are left."""
        return seconds < self._left()

    def wait(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def pause(self, *, status: int, headers: Mapping[str, Any], error: str, failures: int) -> float | None:
        """Return the seconds to wait before retrying after this answer; None if it is final."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._wanted = retry_after(headers)
            return self._wanted
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or error in TEMPORARY_ERRORS:
            return self.after(failures)
        return None

    def after(self, failures: int) -> float | None:
        """Return the seconds to wait after so many failures; None after the last try."""
        return None if failures >= SLACK_TRIES else FIRST_RETRY_PAUSE * 2 ** (failures - 1)

    def rate_limited(self) -> str:
        """Return the error for a rate limit beyond the time left."""
        return (
            f"Slack asks to wait {self._wanted:.0f} s (rate limit), and only {self._left():.0f} s are left; "
            "post to a channel of its own, or give the function more time"
        )

    def unreachable(self, why: str) -> str:
        """Return the error for a Slack that did not answer."""
        return f"Slack could not be reached ({why}), although retried: see https://slack-status.com"

    def upload(self, url: str, content: bytes, *, timeout: float) -> None:
        """
        POST *content* to an upload URL. Raises SendError.

        slack_sdk's `files_upload_v2` does this once and without its retry handlers: a lost connection or a
        rate limit would cost the report.
        """
        failures = 0
        while True:
            # Slack's answer to an authenticated call names the URL.
            request = urllib.request.Request(url, data=content, method="POST")  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
                    answer.read()
                    return
            except urllib.error.HTTPError as refused:
                with refused:
                    failures += refused.code != HTTPStatus.TOO_MANY_REQUESTS
                    headers = dict(refused.headers)
                    pause = self.pause(status=refused.code, headers=headers, error="", failures=failures)
                    why = f"HTTP {refused.code}"
            except CONNECTION_ERRORS as broken:
                failures += 1
                pause, why = self.after(failures), type(broken).__name__
            if pause is None or not self.lasts(pause):
                raise SendError(f"Slack did not take the file ({why})")
            self.wait(pause)

    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())


class RetryWithinDeadline:
    """
    The retry handler of one request, in the shape that slack_sdk expects.

    slack_sdk's handlers for rate limits, server errors and lost connections know no deadline and sleep by
    `time.sleep`: asked to wait for an hour, they would wait until Lambda ends the run.
    """

    def __init__(self, time_left: TimeLeft) -> None:
        self._time_left = time_left
        self._failures = 0
        self._pause = 0.0

    def can_retry(
        self, *, state: Any, request: Any, response: Any = None, error: Exception | None = None
    ) -> bool:
        """Return whether to retry after this *response* or *error*."""
        del state, request
        pause: float | None
        if response is not None:
            code = str((response.body or {}).get("error", ""))
            self._failures += response.status_code != HTTPStatus.TOO_MANY_REQUESTS
            pause = self._time_left.pause(
                status=response.status_code, headers=response.headers, error=code, failures=self._failures
            )
        elif isinstance(error, CONNECTION_ERRORS):
            self._failures += 1
            pause = self._time_left.after(self._failures)
        else:
            pause = None
        if pause is None or not self._time_left.lasts(pause):
            return False
        self._pause = pause
        return True

    def prepare_for_next_attempt(
        self, *, state: Any, request: Any, response: Any = None, error: Exception | None = None
    ) -> None:
        """Wait, and have the request retried."""
        del request, response, error
        self._time_left.wait(self._pause)
        state.next_attempt_requested = True
        state.increment_current_attempt()


def retry_after(headers: Mapping[str, Any]) -> float:
    """Return the seconds that a rate limit asks for; slack_sdk keeps a header's values in a list."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            seconds = str(value[0] if isinstance(value, list) else value)
            return float(seconds) if seconds.isdecimal() else PAUSE_WITHOUT_HEADER
    return PAUSE_WITHOUT_HEADER


# --- sender ---------------------------------------------------------------------------------------

SLACK_API = "https://slack.com/api/"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderClock:
    """A monotonic *clock* in seconds and a *sleep*; both come from the edge."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def until(self, deadline: float) -> TimeLeft:
        """Return the time left until *deadline*."""
        return TimeLeft(deadline=deadline, clock=self.clock, sleep=self.sleep)


def do_nothing() -> None:
    """Do nothing: the default callback."""


class Sender(Protocol):
    """
    A sender of posts. Deadlines are in the seconds of its clock.

    A sender inherits the answers of one that only posts, as a webhook does.
    """

    @property
    def interactive(self) -> bool:
        """Return whether there are threads, mentions and buttons, and messages that can be changed."""
        return False

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """Return Slack's user ids of those *owners* who can be found; never raise an error."""
        del owners, deadline
        return {}

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> tuple[str, ...]:
        """
        Send *post* with *report* attached. Raises SendError if the message was not taken.

        Returns the parts that did not arrive, one line each: the rest is still tried, and the message is not
        sent again. *channel* is another than the sender's own, which a webhook does not have. *taken* is
        called once Slack took the message, before its thread is posted: the sooner that is recorded, the less
        likely is a second message after a killed run.
        """

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        Returns where it was posted, if Slack says so. Raises SendError.
        """

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Replace *posted* by *message*; False if Slack will never allow it. Raises SendError."""
        del message, posted, deadline
        return False

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Return the channel of direct messages to *user*, who is not notified. Raises SendError."""
        del user, deadline
        raise SendError("a webhook sends no direct messages")

    def early(self, deadline: float) -> float:
        """Return the deadline for optional work, such as looking up people; the rest is for the channel."""
        return deadline


# --- bot ------------------------------------------------------------------------------------------

REQUEST_SECONDS = 10
"""Timeout of one request; Slack answers within one or two seconds."""

EARLY_SHARE = 0.25
"""The share of the remaining time for looking up and messaging people; the channel gets the rest."""

FILE_NOT_READY = "invalid_blocks"
"""Slack's error code for a block that shows a file which Slack has not taken in yet."""

LONGEST_PICTURE_PAUSE = 8.0
"""The longest pause, in seconds, before a message is posted without the picture."""

DIRECT_CHANNEL_PREFIX = "D"
"""The first letter of the id of a direct-message channel."""

POST_EVENT = "janitor_post"
POST_KEY_NAMESPACE = uuid.UUID("5f0e5f2c-6d0b-4b7c-9d52-6b6e1f4a7a10")

QUIET_LOGGER = logging.getLogger("janitor.slack_sdk")
QUIET_LOGGER.setLevel(logging.CRITICAL)
"""Logger for slack_sdk, which at DEBUG logs whole messages, and the URL of a webhook, which is a secret."""


class SlackRefusedError(SendError):
    """Slack refused a request; *code* is its error code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def about_one_message(self) -> bool:
        """Return whether Slack may still accept another message."""
        return self.code in MESSAGE_ERRORS

    @property
    def about_one_person(self) -> bool:
        """Return whether the refusal concerns only one person."""
        return self.code in PERSON_ERRORS


class SlackBot(Sender):
    """
    The app's bot: messages with threads, mentions and files.

    A message may arrive twice: when Slack's answer is lost, the post is retried, because twice is better than
    never. Both then carry the same `client_msg_id` and the same key in their metadata. Slack does not
    document that it drops duplicates of `client_msg_id` (the reference of chat.postMessage only names errors
    about them); a program can recognise duplicates by the key.
    """

    def __init__(self, token: str, channel: str, time: SenderClock, *, url: str = SLACK_API) -> None:
        self._token = token
        self._channel = channel
        self._time = time
        self._url = url
        self._user_ids: dict[str, str | None] = {}
        self._names: dict[str, str] = {}
        """Name of each channel in the settings, by the id in Slack's answers."""
        self._lookups_failed = False

    def __repr__(self) -> str:
        return f"Slack({self._channel!r})"

    @property
    def interactive(self) -> bool:
        return True

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """
        Return Slack's user ids of those *owners* who are named by an e-mail address and can be found.

        Each person is looked up once. After a failure that is not about one person (Slack is down, a scope is
        missing), no more are looked up, and messages show the owner's name instead.
        """
        time_left = self._time.until(self.early(deadline))
        found = {}
        for owner in owners:
            if owner not in self._user_ids and "@" in owner and not self._lookups_failed:
                self._user_ids[owner] = self._look_up(owner, time_left)
            if user := self._user_ids.get(owner):
                found[owner] = user
        return found

    def _look_up(self, email: str, time_left: TimeLeft) -> str | None:
        from slack_sdk.errors import SlackClientError

        try:
            user: Any = self._client(time_left).users_lookupByEmail(email=email)["user"]
        except SlackClientError as refused:
            response: Any = getattr(refused, "response", {})
            self._lookups_failed = response.get("error") not in PERSON_ERRORS
            return None
        except CONNECTION_ERRORS:
            self._lookups_failed = True
            return None
        return str(user["id"])

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> tuple[str, ...]:
        time_left, where = self._time.until(deadline), MessageRef(channel or self._channel)
        if post.picture is None:
            main = self._post(post.main, time_left, where)
        else:
            main = self._post_with(post.picture, post.main, deadline, where)
        taken()
        problems = []
        for number, reply in enumerate(post.replies, start=1):
            try:
                self._post(reply, time_left, main)
            except SendError as failed:
                problems.append(f"reply {number} of {len(post.replies)} is missing: {failed}")
        if post.attachment and report:
            try:
                thread = {"channel_id": main.channel, "thread_ts": main.ts}
                self._upload(post.attachment, report, time_left, main.channel, **thread)
            except SendError as failed:
                problems.append(f"the report is not attached: {failed}")
        return tuple(problems)

    def early(self, deadline: float) -> float:
        now = self._time.clock()
        return now + (deadline - now) * EARLY_SHARE

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        return self._post(
            message, self._time.until(deadline), where if where.channel else MessageRef(self._channel)
        )

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        answer = self._call("conversations_open", self._time.until(deadline), users=user)
        return MessageRef(str(answer["channel"]["id"]))

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        try:
            self._call(
                "chat_update",
                self._time.until(deadline),
                to=posted.channel,
                channel=posted.channel,
                ts=posted.ts,
                text=message.text,
                blocks=list(message.blocks),
            )
        except SlackRefusedError as refused:
            if refused.code in UNCHANGEABLE_ERRORS:
                return False
            raise
        return True

    def ask(self, method: str, *, deadline: float, **arguments: Any) -> Any:
        """Call *method* of the Web API, which only reads. Raises SendError."""
        return self._call(method, self._time.until(deadline), **arguments)

    def _post(self, message: Message, time_left: TimeLeft, where: MessageRef) -> MessageRef:
        """Post one message: to the channel of *where*, in the thread of its ts if it has one."""
        channel, thread = where.channel, where.ts or None
        content = json.dumps([channel, thread, message.text, message.blocks])
        key = str(uuid.uuid5(POST_KEY_NAMESPACE, content))
        answer = self._call(
            "chat_postMessage",
            time_left,
            to=channel,
            channel=channel,
            text=message.text,
            blocks=list(message.blocks),
            thread_ts=thread,
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
            client_msg_id=key,
            metadata={"event_type": POST_EVENT, "event_payload": {"key": key}},
        )
        posted = MessageRef(str(answer["channel"]), str(answer["ts"]))
        self._names.setdefault(posted.channel, channel)
        return posted

    def _post_with(
        self, picture: Picture, message: Message, deadline: float, channel: MessageRef
    ) -> MessageRef:
        """
        Post *message* with *picture*, for which a quarter of the time is there; else without, saying why.

        Slack takes in an upload after it has answered: until then it refuses blocks that show the file
        (https://github.com/slackapi/python-slack-sdk/issues/1521).
        """
        early = self._time.until(self.early(deadline))
        try:
            file = self._upload(picture.name, picture.png, early, channel.channel)
            shown, pause = append_block(message, image_block(file, picture.words)), FIRST_RETRY_PAUSE
            while True:
                try:
                    return self._post(shown, early, channel)
                except SlackRefusedError as refused:
                    if (
                        refused.code != FILE_NOT_READY
                        or pause > LONGEST_PICTURE_PAUSE
                        or not early.lasts(pause)
                    ):
                        raise
                early.wait(pause)
                pause *= 2
        except SendError as failed:
            why = context_block(f"The picture is missing: {prose(str(failed))}")
        return self._post(append_block(message, why), self._time.until(deadline), channel)

    def _upload(self, name: str, content: bytes, time_left: TimeLeft, to: str, **share: Any) -> str:
        """Upload a file for channel *to*, without sharing it unless *share* says where; return its id."""
        size = len(content)
        upload = self._call("files_getUploadURLExternal", time_left, to=to, filename=name, length=size)
        time_left.upload(str(upload["upload_url"]), content, timeout=REQUEST_SECONDS)
        file = str(upload["file_id"])
        titled = [{"id": file, "title": name}]
        self._call("files_completeUploadExternal", time_left, to=to, files=titled, **share)
        return file

    def _call(self, method: str, time_left: TimeLeft, *, to: str = "", **arguments: Any) -> Any:
        """Call one method of the Web API, for a post *to* a channel if there is one. Raises SendError."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return getattr(self._client(time_left), method)(**arguments)
        except SlackApiError as refused:
            what = f"the post to channel {self._names.get(to, to)}" if to else method.replace("_", ".")
            if to.startswith(DIRECT_CHANNEL_PREFIX):
                what = "the direct message"
            raise self._error(refused.response, time_left, what) from None
        except (SlackClientError, *CONNECTION_ERRORS) as broken:
            raise SendError(time_left.unreachable(type(broken).__name__)) from None

    def _error(self, response: Any, time_left: TimeLeft, what: str) -> SendError:
        error = str(response.get("error"))
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return SendError(time_left.rate_limited())
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or error in TEMPORARY_ERRORS:
            return SendError(time_left.unreachable(f"HTTP {response.status_code}, {error}"))
        details = [*((response.get("response_metadata") or {}).get("messages") or [])]
        if needed := response.get("needed"):
            details.append(f"needed: {needed}")
        return SlackRefusedError(refusal_text(error, what, "; ".join(map(str, details[:3]))), error)

    def _client(self, time_left: TimeLeft) -> WebClient:
        from slack_sdk import WebClient

        return WebClient(
            self._token,
            base_url=self._url,
            timeout=REQUEST_SECONDS,
            retry_handlers=time_left.retries(),
            logger=QUIET_LOGGER,
        )


# --- webhooks -------------------------------------------------------------------------------------
# An incoming webhook takes messages. The response URL of a press takes its answer.

NO_PICTURE_TEXT = "An incoming webhook takes no picture; the app's bot does."

HOOKS_ORIGIN = ("https", "hooks.slack.com")
"""
The scheme and host of Slack's response URLs: https://docs.slack.dev/interactivity/handling-user-interaction.
"""

UNFINISHED_REPLY = (
    "The janitor could not do that. It tries once more; if nothing changes here in a few minutes, ask the "
    "people who run it: its log says why."
)
"""The reply to a press whose work failed."""


class Webhook(Sender):
    """
    An incoming webhook: the message alone, without a thread, mentions and files.

    A message may arrive twice, as with `Slack`.
    """

    def __init__(self, url: str, time: SenderClock) -> None:
        self._url = url
        self._time = time

    def __repr__(self) -> str:
        return "Webhook()"

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> tuple[str, ...]:
        del report, channel
        main = post.main if post.picture is None else append_block(post.main, context_block(NO_PICTURE_TEXT))
        self.post(main, deadline=deadline)
        taken()
        return ()

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        del where
        time_left = self._time.until(deadline)
        try:
            answer = _webhook(self._url, time_left).send(text=message.text, blocks=list(message.blocks))
        except CONNECTION_ERRORS as broken:
            raise SendError(time_left.unreachable(type(broken).__name__)) from None
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise SendError(time_left.rate_limited())
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SendError(time_left.unreachable(f"HTTP {answer.status_code}"))
        if answer.status_code != HTTPStatus.OK:
            raise SendError(refusal_text(answer.body[:200], "the post to the incoming webhook"))
        return NO_MESSAGE


def _webhook(url: str, time_left: TimeLeft) -> WebhookClient:
    from slack_sdk import WebhookClient

    return WebhookClient(
        url, timeout=REQUEST_SECONDS, retry_handlers=time_left.retries(), logger=QUIET_LOGGER
    )


def ephemeral_replier(
    time: SenderClock, *, deadline: float, url: str = SLACK_API
) -> Callable[[str, str], bool]:
    """
    Create a function that posts a text to a response URL and returns whether it arrived.

    Only the person who pressed sees the reply. It calls only Slack, whatever URL a press contains. *url* is
    that of the Web API, which differs in a sandbox.
    """
    slack = HOOKS_ORIGIN if url == SLACK_API else urlsplit(url)[:2]

    def reply(response_url: str, text: str) -> bool:
        if not _is_plain(response_url) or urlsplit(response_url)[:2] != slack:
            return False
        client = _webhook(response_url, time.until(deadline))
        try:
            answer = client.send(text=text, response_type="ephemeral", replace_original=False)
        except CONNECTION_ERRORS:
            return False
        return answer.status_code == HTTPStatus.OK

    return reply


def _is_plain(url: str) -> bool:
    """Return whether all parsers of *url* see the same host: no user, backslash, bracket or odd character."""
    return url.isascii() and url.isprintable() and not set(" \\@[]") & set(url)


# --- secret ---------------------------------------------------------------------------------------


def parse_token_or_url(secret_text: str) -> str:
    """
    Return the webhook's URL or bot token in the secret; a token may be the "token" of a JSON object.

    Raises SendError, which never repeats the secret.
    """
    secret = secret_text.strip()
    if secret.startswith("{"):
        try:
            secret = str(json.loads(secret)["token"]).strip()
        except (ValueError, LookupError):
            raise SendError('the secret for Slack is JSON without a "token"') from None
    if not secret.startswith(("https://", "http://", "xoxb-")):
        raise SendError("the secret for Slack holds neither a bot token (xoxb-...) nor a webhook's URL")
    return secret


ONE_CHANNEL_ERROR = (
    "the secret for Slack holds an incoming webhook, which posts to one channel only: put a bot token "
    "(xoxb-...) into it, or remove [slack.routes] from janitor.toml"
)
"""Error of a webhook with routes: a message for one channel must not reach another."""


def make_sender(
    secret_text: str, channel: str, time: SenderClock, *, url: str = SLACK_API, routed: bool = False
) -> Sender:
    """
    Create the sender for the secret, to *channel*, and to others where messages are *routed*.

    Raises SendError, which never repeats the secret.
    """
    secret = parse_token_or_url(secret_text)
    if not secret.startswith("xoxb-"):
        if routed:
            raise SendError(ONE_CHANNEL_ERROR)
        return Webhook(secret, time)
    if not channel:
        raise SendError("slack_channel is not set in janitor.toml, and a bot token needs one")
    return SlackBot(secret, channel, time, url=url)


def read_slack_secret(name: str) -> str:
    """Read the secret *name*, cached for five minutes. Raises SendError, without the secret."""
    from aws_lambda_powertools.utilities import parameters

    try:
        return str(parameters.get_secret(name, max_age=300))
    except parameters.exceptions.GetParameterError as error:
        raise SendError(f"the secret {name} cannot be read: {' '.join(str(error).split())}") from None
