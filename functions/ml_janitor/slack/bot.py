"""Sends posts to Slack as the app's bot, and asks it who is who."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.slack.refusals import ABOUT_ONE_MESSAGE, ABOUT_ONE_PERSON, NEVER_CHANGED, PASSING, refusal
from ml_janitor.slack.retries import BROKEN, SlackError, TimeLeft
from ml_janitor.slack.sender import API, Delivered, Time, nothing

if TYPE_CHECKING:
    from slack_sdk import WebClient

    from ml_janitor.report.mrkdwn import Message, Post

REQUEST_SECONDS = 10
"""How long one request may take; Slack answers within one or two."""

EARLY_SHARE = 0.25
"""How much of the remaining time looking people up and messaging them may take: the channel matters more."""

DIRECT = "D"
"""How the id of a channel of direct messages begins."""

EVENT = "janitor_post"
KEYS = uuid.UUID("5f0e5f2c-6d0b-4b7c-9d52-6b6e1f4a7a10")

QUIET = logging.getLogger("janitor.slack_sdk")
QUIET.setLevel(logging.CRITICAL)
"""At DEBUG, slack_sdk logs the URL of a webhook, which is a secret, and whole messages."""


class SlackRefusedError(SlackError):
    """Slack refused a request; *code* is its error code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def about_one_message(self) -> bool:
        """Whether another message may well be taken."""
        return self.code in ABOUT_ONE_MESSAGE

    @property
    def about_one_person(self) -> bool:
        """Whether it says nothing about other people."""
        return self.code in ABOUT_ONE_PERSON


class Slack:
    """
    The app's bot: messages with threads, mentions and files.

    A message may arrive twice: when Slack's answer is lost, nobody knows whether it was posted, and
    twice is better than never. Both then carry one `client_msg_id` and one key in their metadata.
    Slack promises nothing about the former (its reference of chat.postMessage only names errors
    about duplicates of it), but a reader or a program can tell by the latter.
    """

    def __init__(self, token: str, channel: str, time: Time, *, url: str = API) -> None:
        self._token = token
        self._channel = channel
        self._time = time
        self._url = url
        self._known: dict[str, str | None] = {}
        self._unable = False

    def __repr__(self) -> str:
        return f"Slack({self._channel!r})"

    @property
    def interactive(self) -> bool:
        """The bot has threads, mentions and buttons."""
        return True

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """
        Slack's user ids of those *owners* who are named by an e-mail address and can be found.

        Everyone is asked for once. After a failure that is not about one person (Slack is down, a
        scope is missing), nobody else is asked for: their names will do.
        """
        time_left = self._time.until(self.early(deadline))
        found = {}
        for owner in owners:
            if owner not in self._known and "@" in owner and not self._unable:
                self._known[owner] = self._looked_up(owner, time_left)
            if user := self._known.get(owner):
                found[owner] = user
        return found

    def _looked_up(self, email: str, time_left: TimeLeft) -> str | None:
        from slack_sdk.errors import SlackClientError

        try:
            user: Any = self._client(time_left).users_lookupByEmail(email=email)["user"]
        except SlackClientError as refused:
            response: Any = getattr(refused, "response", {})
            self._unable = response.get("error") not in ABOUT_ONE_PERSON
            return None
        except BROKEN:
            self._unable = True
            return None
        return str(user["id"])

    def deliver(
        self, post: Post, report: bytes = b"", *, deadline: float, taken: Callable[[], None] = nothing
    ) -> Delivered:
        """
        Post the message, then its replies and *report* in its thread.

        Raises SlackError if the message was not taken. A reply or a file that fails afterwards is a
        problem of the delivery: the rest is still tried, and the message is not sent again.
        """
        time_left = self._time.until(deadline)
        main = self._posted(post.main, time_left, MessageRef(self._channel))
        taken()
        problems = []
        for number, reply in enumerate(post.replies, start=1):
            try:
                self._posted(reply, time_left, main)
            except SlackError as failed:
                problems.append(f"reply {number} of {len(post.replies)} is missing: {failed}")
        if post.attachment and report:
            try:
                self._attach(post.attachment, report, time_left, main)
            except SlackError as failed:
                problems.append(f"the report is not attached: {failed}")
        return Delivered(channel=main.channel, ts=main.ts, problems=tuple(problems))

    def early(self, deadline: float) -> float:
        """When what the channel can do without ends: after a quarter of the time that is left."""
        now = self._time.clock()
        return now + (deadline - now) * EARLY_SHARE

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        The answer is where it stands now. Raises SlackError.
        """
        return self._posted(
            message, self._time.until(deadline), where if where.channel else MessageRef(self._channel)
        )

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Where direct messages to *user* are posted. Raises SlackError. The person sees nothing of it."""
        answer = self._call("conversations_open", self._time.until(deadline), users=user)
        return MessageRef(str(answer["channel"]["id"]))

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Put *message* in place of the one *posted*; False if that will never do. Raises SlackError."""
        try:
            self._call(
                "chat_update",
                self._time.until(deadline),
                channel=posted.channel,
                ts=posted.ts,
                text=message.text,
                blocks=list(message.blocks),
            )
        except SlackRefusedError as refused:
            if refused.code in NEVER_CHANGED:
                return False
            raise
        return True

    def ask(self, method: str, *, deadline: float, **arguments: Any) -> Any:
        """What Slack answers to *method*, which only reads. Raises SlackError."""
        return self._call(method, self._time.until(deadline), **arguments)

    def _posted(self, message: Message, time_left: TimeLeft, where: MessageRef) -> MessageRef:
        """Post one message: to the channel of *where*, in the thread of its ts if it has one."""
        channel, thread = where.channel, where.ts or None
        said = json.dumps([channel, thread, message.text, message.blocks])
        key = str(uuid.uuid5(KEYS, said))
        answer = self._call(
            "chat_postMessage",
            time_left,
            channel=channel,
            text=message.text,
            blocks=list(message.blocks),
            thread_ts=thread,
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
            client_msg_id=key,
            metadata={"event_type": EVENT, "event_payload": {"key": key}},
        )
        return MessageRef(str(answer["channel"]), str(answer["ts"]))

    def _attach(self, name: str, content: bytes, time_left: TimeLeft, thread: MessageRef) -> None:
        announced = self._call("files_getUploadURLExternal", time_left, filename=name, length=len(content))
        time_left.upload(str(announced["upload_url"]), content, timeout=REQUEST_SECONDS)
        self._call(
            "files_completeUploadExternal",
            time_left,
            files=[{"id": str(announced["file_id"]), "title": name}],
            channel_id=thread.channel,
            thread_ts=thread.ts,
        )

    def _call(self, method: str, time_left: TimeLeft, **arguments: Any) -> Any:
        """One method of the Web API. Raises SlackError."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return getattr(self._client(time_left), method)(**arguments)
        except SlackApiError as refused:
            posting = method.startswith(("chat_", "files_"))
            what = f"the post to channel {self._channel}" if posting else method.replace("_", ".")
            if str(arguments.get("channel", "")).startswith(DIRECT):
                what = "the direct message"
            raise self._explained(refused.response, time_left, what) from None
        except (SlackClientError, *BROKEN) as broken:
            raise SlackError(time_left.unreachable(type(broken).__name__)) from None

    def _explained(self, response: Any, time_left: TimeLeft, what: str) -> SlackError:
        error = str(response.get("error"))
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return SlackError(time_left.rate_limited())
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or error in PASSING:
            return SlackError(time_left.unreachable(f"HTTP {response.status_code}, {error}"))
        details = [*((response.get("response_metadata") or {}).get("messages") or [])]
        if needed := response.get("needed"):
            details.append(f"needed: {needed}")
        said = refusal(error, what, "; ".join(map(str, details[:3])))
        return SlackRefusedError(said, error)

    def _client(self, time_left: TimeLeft) -> WebClient:
        from slack_sdk import WebClient

        return WebClient(
            self._token,
            base_url=self._url,
            timeout=REQUEST_SECONDS,
            retry_handlers=time_left.retries(),
            logger=QUIET,
        )
