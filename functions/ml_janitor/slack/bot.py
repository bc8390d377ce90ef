"""The app's bot: sends posts to Slack, and looks up people."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.report.mrkdwn import append_block, context_block, image_block, prose
from ml_janitor.slack.refusals import (
    MESSAGE_ERRORS,
    PERSON_ERRORS,
    TEMPORARY_ERRORS,
    UNCHANGEABLE_ERRORS,
    refusal_text,
)
from ml_janitor.slack.retries import CONNECTION_ERRORS, FIRST_RETRY_PAUSE, SlackError, TimeLeft
from ml_janitor.slack.sender import SLACK_API, PostDelivery, SenderClock, do_nothing

if TYPE_CHECKING:
    from slack_sdk import WebClient

    from ml_janitor.report.mrkdwn import Message, Picture, Post

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


class SlackRefusedError(SlackError):
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


class SlackBot:
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
        """Return True: the bot has threads, mentions and buttons."""
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
    ) -> PostDelivery:
        """
        Post the message, then its replies and *report* in its thread; to *channel*, or its own.

        Raises SlackError if the message was not taken. A reply or a file that fails afterwards is a problem
        of the delivery: the rest is still tried, and the message is not sent again.
        """
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
            except SlackError as failed:
                problems.append(f"reply {number} of {len(post.replies)} is missing: {failed}")
        if post.attachment and report:
            try:
                thread = {"channel_id": main.channel, "thread_ts": main.ts}
                self._upload(post.attachment, report, time_left, main.channel, **thread)
            except SlackError as failed:
                problems.append(f"the report is not attached: {failed}")
        return PostDelivery(channel=main.channel, ts=main.ts, problems=tuple(problems))

    def early(self, deadline: float) -> float:
        """Return the deadline for optional work (finding, messaging people): a quarter of the time left."""
        now = self._time.clock()
        return now + (deadline - now) * EARLY_SHARE

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        Returns where it was posted. Raises SlackError.
        """
        return self._post(
            message, self._time.until(deadline), where if where.channel else MessageRef(self._channel)
        )

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Return the channel of direct messages to *user*, who is not notified. Raises SlackError."""
        answer = self._call("conversations_open", self._time.until(deadline), users=user)
        return MessageRef(str(answer["channel"]["id"]))

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Replace *posted* by *message*; False if Slack will never allow it. Raises SlackError."""
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
        """Call *method* of the Web API, which only reads. Raises SlackError."""
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
        except SlackError as failed:
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
        """Call one method of the Web API, for a post *to* a channel if there is one. Raises SlackError."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return getattr(self._client(time_left), method)(**arguments)
        except SlackApiError as refused:
            what = f"the post to channel {self._names.get(to, to)}" if to else method.replace("_", ".")
            if to.startswith(DIRECT_CHANNEL_PREFIX):
                what = "the direct message"
            raise self._error(refused.response, time_left, what) from None
        except (SlackClientError, *CONNECTION_ERRORS) as broken:
            raise SlackError(time_left.unreachable(type(broken).__name__)) from None

    def _error(self, response: Any, time_left: TimeLeft, what: str) -> SlackError:
        error = str(response.get("error"))
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return SlackError(time_left.rate_limited())
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or error in TEMPORARY_ERRORS:
            return SlackError(time_left.unreachable(f"HTTP {response.status_code}, {error}"))
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
