"""The workspace: its channels, people and files, every message it got, and what is to go wrong in it."""

import fnmatch
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from moto_corrections import clock, state

TEAM, DOMAIN = "T0SANDBOX", "sandbox"
BOT, BOT_USER = "B0SANDBOX", "U0SANDBOX"
TOKEN = "xoxb-sandbox"
CHANNEL = "C0MLCOSTS"
HOOK = f"/slack/hooks/{TEAM}/B0SANDBOX/opensesame"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"

FAULTS = ("ratelimit", "lost-reply", "down", "error", "killed", "killed-before")
HOOKS, UPLOADS, RESPONSES = "hook", "upload", "response"
"""What faults and counts call the requests that have no method name."""


SCOPES = (
    "channels:read",
    "chat:write",
    "files:write",
    "groups:read",
    "im:write",
    "usergroups:read",
    "users:read",
    "users:read.email",
)
"""What the app may do, unless somebody takes it away."""


class RefusedError(Exception):
    """A refusal by Slack: *error* is its code, *more* what else its answer holds."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more


@dataclass(slots=True)
class Channel:
    """A channel, and whether the app is in it."""

    id: str
    name: str
    member: bool = True
    archived: bool = False
    private: bool = False


@dataclass(slots=True)
class User:
    """A person, or a bot; of this workspace, or of another one that shares a channel."""

    id: str
    email: str
    name: str = ""
    deleted: bool = False
    bot: bool = False
    confirmed: bool = True
    team: str = TEAM


@dataclass(slots=True)
class Usergroup:
    """A named group of people."""

    id: str
    handle: str
    users: list[str] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """An upload: first announced, then filled, then shared."""

    id: str
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    channel: str = ""
    thread_ts: str | None = None
    complete: bool = False

    @property
    def picture(self) -> bool:
        """Tell whether an image block can show it, by its first bytes: PNG, JPEG or GIF."""
        return (self.content or b"").startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8"))

    def shown(self) -> dict[str, Any]:
        """Return it as JSON, its content as text."""
        content = None if self.content is None else self.content.decode(errors="replace")
        return asdict(self) | {"content": content, "picture": self.picture}


@dataclass(slots=True)
class Message:
    """A message as it was received."""

    channel: str
    ts: str
    text: str
    blocks: list[Any]
    thread_ts: str | None = None
    via: str = "bot"
    client_msg_id: str | None = None
    metadata: Any = None
    edited: bool = False

    def shown(self) -> dict[str, Any]:
        """Return it as JSON, with everybody whom it mentions."""
        return asdict(self) | {"mentions": mentions(self.text, self.blocks)}


@dataclass(slots=True)
class ResponseUrl:
    """An address at which an app may answer a press, until it is used up or too old."""

    channel: str
    ts: str
    expires: float
    left: int


@dataclass(slots=True)
class Fault:
    """A fault of the next *times* requests (0 is all) after *skip* of a method, by glob."""

    kind: str
    method: str = "*"
    times: int = 1
    skip: int = 0
    retry_after: int = 30
    status: int = 503
    """For `down`; 0 closes the connection without an answer."""
    code: str = "invalid_auth"
    """For `error`."""
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"kind must be one of {', '.join(FAULTS)}, not {self.kind!r}")

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Parse a request; ValueError says what is wrong with it."""
        known = {member.name for member in fields(cls)} - {"hits"}
        if unknown := set(given) - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        return cls(**given)

    def meets(self, method: str) -> bool:
        """Tell whether this request is hit, and count it."""
        if not fnmatch.fnmatchcase(method, self.method):
            return False
        self.hits += 1
        return self.hits > self.skip and (not self.times or self.hits <= self.skip + self.times)


class Workspace:
    """The whole workspace. A new one has one channel, `#ml-costs`, and the app is in it."""

    def __init__(self) -> None:
        self.channels = {CHANNEL: Channel(CHANNEL, "ml-costs")}
        self.directs: dict[str, Channel] = {}
        """The app's channels of direct messages, by user."""
        self.scopes = list(SCOPES)
        self.users: dict[str, User] = {}
        self.usergroups: dict[str, Usergroup] = {}
        self.files: dict[str, File] = {}
        self.messages: list[Message] = []
        self.response_urls: dict[str, ResponseUrl] = {}
        self.responses: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()

    def enter(self, method: str) -> Fault | None:
        """Count a request, and say what is to go wrong with it."""
        self.calls[method] += 1
        return next((fault for fault in self.faults if fault.meets(method)), None)

    def channel(self, named: str) -> Channel:
        """Return a channel by id or name that the app may post to."""
        wanted = named.removeprefix("#")
        found = next(
            (channel for channel in self.channels.values() if wanted in {channel.id, channel.name}), None
        )
        found = found or self.direct(named)
        if found is None:
            raise RefusedError("channel_not_found")
        if not found.member:
            raise RefusedError("not_in_channel")
        if found.archived:
            raise RefusedError("is_archived")
        return found

    def direct(self, channel: str) -> Channel | None:
        """Return the channel of direct messages of that id; those have no name of their own."""
        return next((direct for direct in self.directs.values() if direct.id == channel), None)

    def message(self, channel: str, ts: str) -> Message | None:
        return next(
            (message for message in self.messages if (message.channel, message.ts) == (channel, ts)), None
        )

    def seen(self) -> list[Channel]:
        """List the channels that the app can see: a private one only from inside."""
        return [channel for channel in self.channels.values() if channel.member or not channel.private]

    def demand(self, *any_of: str) -> None:
        """Refuse unless the app has one of these scopes."""
        if any_of and not set(any_of) & set(self.scopes):
            raise RefusedError("missing_scope", needed=",".join(any_of), provided=",".join(self.scopes))

    def parent(self, channel: str, ts: str) -> Message:
        """Return the message that a thread hangs on."""
        message = self.message(channel, ts)
        if message is None or message.thread_ts is not None:
            raise RefusedError("thread_not_found")
        return message

    def post(self, message: Message) -> Message:
        self.messages.append(message)
        return message

    def next_ts(self) -> str:
        """Return the sandbox's time, and a number that tells messages of one second apart."""
        return f"{int(clock.now().timestamp())}.{len(self.messages) + 1:06d}"


def workspace() -> Workspace:
    """Return the one workspace, forgotten with everything else at a reset."""
    return state.at(Workspace, "slack", TEAM)


def mentions(text: str, blocks: list[Any]) -> list[str]:
    """List everybody whom a message calls: `@U1`, `!here`, `!subteam^S1`, in the order they stand."""
    found = re.findall(r"<([@!][^<>|]+)(?:\|[^<>]*)?>", text)
    for block in blocks:
        found += [
            mention for text in _mrkdwn(block) for mention in mentions(text, []) if mention not in found
        ]
    return list(dict.fromkeys(mention for mention in found if not mention.startswith("!date")))


def _mrkdwn(thing: Any) -> list[str]:
    """List every text in *thing* that Slack would parse."""
    if isinstance(thing, list):
        return [text for part in thing for text in _mrkdwn(part)]
    if not isinstance(thing, dict):
        return []
    if thing.get("type") == "mrkdwn":
        return [str(thing.get("text"))]
    return [text for part in thing.values() for text in _mrkdwn(part)]
