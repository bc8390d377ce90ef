"""The methods of Slack's Web API that are known here, and incoming webhooks."""

import json
from collections.abc import Callable
from typing import Any

from ml_janitor_sandbox.slack.blocks import invalid_file, problems, slack_files, too_long
from ml_janitor_sandbox.slack.workspace import TEAM, Channel, File, Message, RefusedError, User, Workspace

LONGEST_TEXT = 40_000

type Args = dict[str, Any]
type Answer = dict[str, Any]


def post_message(space: Workspace, args: Args) -> Answer:
    """Serve chat.postMessage."""
    channel = space.channel(_needed(args, "channel"))
    text, blocks = content(args)
    _check_files(space, blocks)
    thread_ts = args.get("thread_ts")
    if thread_ts is not None:
        space.parent(channel.id, str(thread_ts))
    message = space.post(
        Message(
            channel=channel.id,
            ts=space.next_ts(),
            text=text,
            blocks=blocks,
            thread_ts=thread_ts,
            client_msg_id=args.get("client_msg_id"),
            metadata=_parsed(args.get("metadata")),
        )
    )
    return {"channel": channel.id, "ts": message.ts, "message": {"text": text, "blocks": blocks}}


def update(space: Workspace, args: Args) -> Answer:
    """Serve chat.update, which takes a channel by its id only."""
    channel, ts = _by_id(space, args, "channel"), _needed(args, "ts")
    message = space.message(channel, ts)
    if message is None:
        raise RefusedError("message_not_found")
    if message.via != "bot":
        raise RefusedError("cant_update_message")
    message.text, message.blocks = content(args)
    _check_files(space, message.blocks)
    message.edited = True
    return {"channel": channel, "ts": ts, "text": message.text}


def open_conversation(space: Workspace, args: Args) -> Answer:
    """Serve conversations.open with one person: always the same channel. Refusals as in its reference."""
    wanted = str(_needed(args, "users"))
    user = space.users.get(wanted)
    if user is None:
        raise RefusedError("user_not_found")
    if user.bot:
        raise RefusedError("cannot_dm_bot")
    if user.deleted:
        raise RefusedError("user_disabled")
    known = wanted in space.directs
    channel = space.directs.setdefault(wanted, Channel(f"D0{wanted[1:]}", "directmessage"))
    return {"channel": {"id": channel.id}, **({"no_op": True, "already_open": True} if known else {})}


def lookup_by_email(space: Workspace, args: Args) -> Answer:
    """Serve users.lookupByEmail; it does not find who was deactivated."""
    email = str(_needed(args, "email")).lower()
    for user in space.users.values():
        if user.email.lower() == email and not user.deleted:
            return {"user": _user(user)}
    raise RefusedError("users_not_found")


def user_info(space: Workspace, args: Args) -> Answer:
    """Serve users.info."""
    user = space.users.get(_needed(args, "user"))
    if user is None:
        raise RefusedError("user_not_found")
    return {"user": _user(user)}


def usergroup_users(space: Workspace, args: Args) -> Answer:
    """Serve usergroups.users.list."""
    group = space.usergroups.get(_needed(args, "usergroup"))
    if group is None:
        raise RefusedError("no_such_subteam")
    return {"users": list(group.users)}


def upload_url(space: Workspace, args: Args) -> Answer:
    """Serve files.getUploadURLExternal; the edge makes the path a URL of its own."""
    name, length = str(_needed(args, "filename")), int(_needed(args, "length"))
    if length <= 0:
        raise RefusedError(
            "invalid_arguments", response_metadata={"messages": ["[ERROR] length must be > 0"]}
        )
    file = File(id=f"F{len(space.files) + 1:09d}", name=name, length=length)
    space.files[file.id] = file
    return {"file_id": file.id, "upload_url": f"/slack/files/upload/{file.id}"}


def complete_upload(space: Workspace, args: Args) -> Answer:
    """Serve files.completeUploadExternal; without a channel, a file is the app's own until it is shown."""
    channel = _by_id(space, args, "channel_id") if args.get("channel_id") else ""
    thread_ts = args.get("thread_ts")
    if thread_ts is not None:
        space.parent(channel, str(thread_ts))
    shared = []
    for given in _parsed(_needed(args, "files")):
        file = space.files.get(str(given.get("id")))
        if file is None or file.content is None:
            raise RefusedError("file_not_found")
        file.complete = True
        file.title = str(given.get("title") or file.name)
        file.channel, file.thread_ts = channel, thread_ts
        shared.append({"id": file.id, "title": file.title})
    return {"files": shared}


def webhook(space: Workspace, channel: str, args: Args) -> None:
    """Serve an incoming webhook: no thread, no answer but "ok"."""
    found = space.channel(channel)
    text, blocks = content(args)
    _check_files(space, blocks)
    space.post(Message(channel=found.id, ts=space.next_ts(), text=text, blocks=blocks, via="webhook"))


def auth_test(_: Workspace, __: Args) -> Answer:
    """Serve auth.test, which any valid token may ask."""
    ids = {"team_id": TEAM, "user_id": "U0JANITOR", "bot_id": "B0JANITOR"}
    return {"team": "Sandbox", "user": "janitor", **ids}


def conversation_info(space: Workspace, args: Args) -> Answer:
    """Serve conversations.info, which takes a channel by its id only."""
    wanted = _needed(args, "channel")
    found = next((channel for channel in space.seen() if channel.id == wanted), None)
    if found is None:
        raise RefusedError("channel_not_found")
    return {"channel": _channel(found)}


def conversations(space: Workspace, args: Args) -> Answer:
    """Serve conversations.list, `limit` of them a page."""
    start, size = int(args.get("cursor") or 0), int(args.get("limit") or 100)
    wanted = str(args.get("types") or "public_channel").split(",")
    for kind in wanted:
        space.demand("groups:read" if kind == "private_channel" else "channels:read")
    seen = [
        channel
        for channel in space.seen()
        if ("private_channel" if channel.private else "public_channel") in wanted
    ]
    more = str(start + size) if start + size < len(seen) else ""
    page = [_channel(channel) for channel in seen[start : start + size]]
    return {"channels": page, "response_metadata": {"next_cursor": more}}


METHODS: dict[str, Callable[[Workspace, Args], Answer]] = {
    "auth.test": auth_test,
    "conversations.info": conversation_info,
    "conversations.list": conversations,
    "conversations.open": open_conversation,
    "chat.postMessage": post_message,
    "chat.update": update,
    "users.lookupByEmail": lookup_by_email,
    "users.info": user_info,
    "usergroups.users.list": usergroup_users,
    "files.getUploadURLExternal": upload_url,
    "files.completeUploadExternal": complete_upload,
}


SCOPES: dict[str, tuple[str, ...]] = {
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.info": ("channels:read", "groups:read"),
    "conversations.open": ("im:write",),
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "usergroups.users.list": ("usergroups:read",),
    "users.info": ("users:read",),
    "users.lookupByEmail": ("users:read.email",),
}
"""Of which scopes a method needs one, by its reference page; no other method here needs any."""


def content(args: Args) -> tuple[str, list[Any]]:
    """
    Return text and blocks, or what is wrong with them.

    Stricter than Slack in one way: it posts blocks without a text and only warns, but then a
    notification and a screen reader have nothing to say.
    """
    text, blocks = args.get("text") or "", _parsed(args.get("blocks")) or []
    if not text:
        raise RefusedError("no_text")
    if len(text) > LONGEST_TEXT:
        raise RefusedError("msg_too_long")
    if wrong := problems(blocks):
        raise _invalid(wrong)
    if too_long(blocks):
        raise RefusedError("msg_blocks_too_long")
    return text, blocks


def _check_files(space: Workspace, blocks: list[Any]) -> None:
    """Refuse a picture that was not uploaded in full, or is none."""
    for id_, where in slack_files(blocks):
        file = space.files.get(id_)
        if file is None or not file.complete or not file.picture:
            raise _invalid([invalid_file(where)])


def _invalid(wrong: list[str]) -> RefusedError:
    errors = [error.removeprefix("[ERROR] ") for error in wrong]
    return RefusedError("invalid_blocks", errors=errors, response_metadata={"messages": wrong})


def _channel(channel: Channel) -> Answer:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_member": channel.member,
        "is_archived": channel.archived,
        "is_private": channel.private,
    }


def _user(user: User) -> Answer:
    profile = {"email": user.email, "real_name": user.name}
    return {
        "id": user.id,
        "team_id": user.team,
        "name": user.name,
        "deleted": user.deleted,
        "is_bot": user.bot,
        "is_email_confirmed": user.confirmed,
        "profile": profile,
    }


def _by_id(space: Workspace, args: Args, name: str) -> str:
    """Return a channel's id: these methods know a channel by its id, and not by its name."""
    given = str(_needed(args, name))
    if given not in space.channels and space.direct(given) is None:
        raise RefusedError("channel_not_found")
    return space.channel(given).id


def _needed(args: Args, name: str) -> Any:
    if args.get(name) in {None, ""} if not isinstance(args.get(name), list) else not args[name]:
        raise RefusedError(
            "invalid_arguments", response_metadata={"messages": [f"[ERROR] missing required field: {name}"]}
        )
    return args[name]


def _parsed(given: Any) -> Any:
    """Parse what was sent as JSON within a form."""
    if not isinstance(given, str) or not given:
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise RefusedError("invalid_json") from None
