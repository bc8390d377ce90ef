"""
Slack's HTTP: /slack/api/METHOD, /slack/files/upload/ID, /slack/hooks/T/B/SECRET, /slack/actions/T/N/SECRET.

And the sandbox's own about it, /sandbox/slack/...
"""

import json
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from ml_janitor_sandbox.process_kill import caller
from ml_janitor_sandbox.slack.methods import METHODS, SCOPES, Args, webhook
from ml_janitor_sandbox.slack.presses import RESPONSE_PATH, press, respond
from ml_janitor_sandbox.slack.workspace import (
    CHANNEL,
    HOOK,
    HOOKS,
    RESPONSES,
    TOKEN,
    UPLOADS,
    Channel,
    Fault,
    RefusedError,
    User,
    Usergroup,
    Workspace,
    workspace,
)
from ml_janitor_sandbox.wire import reply
from moto_corrections import state

type Reply = tuple[str, list[tuple[str, str]], bytes | Iterable[bytes]]

API, UPLOAD, CONTROL = "/slack/api/", "/slack/files/upload/", "/sandbox/slack"

HOOK_STATUS = {
    "channel_not_found": HTTPStatus.NOT_FOUND,
    "not_in_channel": HTTPStatus.FORBIDDEN,
    "is_archived": HTTPStatus.GONE,
}
"""Where a webhook's refusal is no 400."""


def answer(environ: dict[str, Any], body: bytes) -> Reply | None:
    """Return the reply to a request that is Slack's or about it; None if it is neither."""
    path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
    with state.LOCK:
        if path.startswith(CONTROL):
            return _control(method, path.removeprefix(CONTROL).strip("/"), body, environ["HTTP_HOST"])
        if not path.startswith("/slack/"):
            return None
        if caller().killed:
            return _hung_up()
        works: dict[str, tuple[str, Callable[[Workspace], Reply]]] = {
            API: (path.removeprefix(API), lambda space: _api(space, environ, body)),
            UPLOAD: (UPLOADS, lambda space: _upload(space, path.removeprefix(UPLOAD), body)),
            "/slack/hooks/": (HOOKS, lambda space: _hook(space, path, body)),
            RESPONSE_PATH: (RESPONSES, lambda space: _response(space, path, body)),
        }
        for start, (name, work) in works.items():
            if path.startswith(start):
                return _guarded(name, work)
    return None


def _guarded(name: str, work: Callable[[Workspace], Reply]) -> Reply:
    """Do it, unless something is to go wrong."""
    space = workspace()
    fault = space.enter(name)
    if fault is None:
        return work(space)
    if fault.kind in ("lost-reply", "killed"):
        work(space)
    if fault.kind in ("killed", "killed-before"):
        caller().killed = True
    return _failed(name, fault)


def _failed(name: str, fault: Fault) -> Reply:
    match fault.kind:
        case "ratelimit":
            status, headers, content = _json(
                {"ok": False, "error": "ratelimited"}, HTTPStatus.TOO_MANY_REQUESTS
            )
            return status, [*headers, ("Retry-After", str(fault.retry_after))], content
        case "down" if fault.status:
            return _plain("upstream connect error or disconnect", HTTPStatus(fault.status))
        case "error" if name in (HOOKS, RESPONSES):
            return _plain(fault.code, HTTPStatus.FORBIDDEN)
        case "error":
            return _json({"ok": False, "error": fault.code})
    return _hung_up()


def _api(space: Workspace, environ: dict[str, Any], body: bytes) -> Reply:
    args = _arguments(environ, body)
    name = environ["PATH_INFO"].removeprefix(API)
    try:
        if name not in METHODS:
            raise RefusedError("unknown_method")  # noqa: TRY301 - one place makes refusals answers
        _authorise(environ, args)
        space.demand(*SCOPES.get(name, ()))
        done = METHODS[name](space, args)
    except RefusedError as refused:
        return _json({"ok": False, "error": refused.error} | refused.more)
    if "upload_url" in done:
        done["upload_url"] = f"http://{environ['HTTP_HOST']}{done['upload_url']}"
    status, headers, content = _json({"ok": True} | done)
    return status, [*headers, ("X-OAuth-Scopes", ",".join(space.scopes))], content


def _authorise(environ: dict[str, Any], args: Args) -> None:
    given = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ") or args.pop("token", "")
    if not given:
        raise RefusedError("not_authed")
    if given != TOKEN:
        raise RefusedError("invalid_auth")


def _arguments(environ: dict[str, Any], body: bytes) -> Args:
    args = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if environ.get("CONTENT_TYPE", "").startswith("application/json"):
        given = json.loads(body or b"{}")
        return args | given if isinstance(given, dict) else args
    return args | dict(parse_qsl(body.decode(), keep_blank_values=True))


def _upload(space: Workspace, file_id: str, body: bytes) -> Reply:
    file = space.files.get(file_id)
    if file is None:
        return _plain("file not found", HTTPStatus.NOT_FOUND)
    if len(body) != file.length:
        return _plain(f"{len(body)} bytes, not {file.length}", HTTPStatus.BAD_REQUEST)
    file.content = body
    return _plain(f"OK - {len(body)}")


def _hook(space: Workspace, path: str, body: bytes) -> Reply:
    if path != HOOK:
        return _plain("no_service", HTTPStatus.NOT_FOUND)
    try:
        given = json.loads(body)
        webhook(space, CHANNEL, given)
    except RefusedError as refused:
        return _plain(refused.error, HOOK_STATUS.get(refused.error, HTTPStatus.BAD_REQUEST))
    except (ValueError, AttributeError):
        return _plain("invalid_payload", HTTPStatus.BAD_REQUEST)
    return _plain("ok")


def _response(space: Workspace, path: str, body: bytes) -> Reply:
    try:
        respond(space, path, json.loads(body))
    except RefusedError as refused:
        gone = refused.error in ("invalid_url", "used_url", "expired_url")
        status = HTTPStatus.NOT_FOUND if gone else HTTPStatus.BAD_REQUEST
        return _json({"ok": False, "error": refused.error}, status)
    except (ValueError, TypeError, AttributeError):
        return _plain("invalid_payload", HTTPStatus.BAD_REQUEST)
    return _json({"ok": True})


# --- the sandbox's own interface ----------------------------------------------------------------


def _control(method: str, name: str, body: bytes, host: str) -> Reply:
    space = workspace()
    try:
        given = json.loads(body or b"{}")
        match method, name:
            case "GET", "":
                return _json(
                    {
                        "messages": [message.shown() for message in space.messages],
                        "directs": {channel.id: user for user, channel in space.directs.items()},
                        "files": [file.shown() for file in space.files.values()],
                        "responses": list(space.responses),
                        "calls": dict(space.calls),
                    }
                )
            case "POST", "press":
                signed = press(space, host, given)
                return _json({"headers": dict(signed.headers), "body": signed.body.decode()})
            case _:
                if not _set(space, method, name, given):
                    return _json({"error": f"no {method} {CONTROL}/{name}"}, HTTPStatus.NOT_FOUND)
    except KeyError as missing:
        return _json({"error": f"missing: {missing}"}, HTTPStatus.BAD_REQUEST)
    except (ValueError, TypeError, LookupError) as problem:
        return _json({"error": str(problem)}, HTTPStatus.BAD_REQUEST)
    return _json({})


def _set(space: Workspace, method: str, name: str, given: Any) -> bool:
    """Set up a part of the workspace; False if there is no such part."""
    match method, name:
        case "POST", "channels":
            space.channels[given["id"]] = Channel(**given)
        case "POST", "users":
            space.users[given["id"]] = User(**given)
        case "POST", "usergroups":
            space.usergroups[given["id"]] = Usergroup(**given)
        case "PUT", "scopes":
            space.scopes = list(given["scopes"])
        case "POST", "faults":
            space.faults.append(Fault.of(given))
        case "DELETE", "faults":
            space.faults.clear()
        case _:
            return False
    return True


# --- replies --------------------------------------------------------------------------------------


def _json(answer: Any, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return reply(json.dumps(answer).encode(), "application/json; charset=utf-8", status=status)


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return reply(text.encode(), "text/html; charset=utf-8", status=status)


def _hung_up() -> Reply:
    """Close a connection before the first byte of an answer."""

    def nothing() -> Iterator[bytes]:
        raise ConnectionResetError  # which werkzeug takes for the client's, and says nothing
        yield b""

    return "200 OK", [], nothing()
