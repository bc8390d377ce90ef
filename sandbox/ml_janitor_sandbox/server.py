"""The sandbox as an HTTP server: counts requests, makes them fail on request, hands them to moto or Slack."""

import io
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from http import HTTPStatus
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import urlsplit
from weakref import WeakSet

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

import moto_corrections
from ml_janitor_sandbox import declared_objects, slack, state_machines, wire
from ml_janitor_sandbox.admin import Admin
from ml_janitor_sandbox.billing import meters
from ml_janitor_sandbox.extra_services import answer_locally
from ml_janitor_sandbox.faults import AFTER, Fault, Ledger
from ml_janitor_sandbox.iam import Gate
from ml_janitor_sandbox.job_runner import JobRunner
from ml_janitor_sandbox.moto_app import LATE, Moto
from ml_janitor_sandbox.process_kill import CODE, MESSAGE, caller
from moto_corrections.sagemaker import jobs

type Environ = dict[str, Any]
type Reply = tuple[str, list[tuple[str, str]], bytes | Iterable[bytes]]

HOST = "127.0.0.1"


class _Handler(MotoRequestHandler):
    """A handler of the requests of one connection, one after another; nothing of it is logged."""

    protocol_version = "HTTP/1.1"  # a connection per request would cost a tenth of an integration test

    def log(self, *_: Any, **__: Any) -> None:
        return

    def handle(self) -> None:
        """Answer until the client closes the connection, or the sandbox stops."""
        self.server.open_connections.add(self.connection)  # type: ignore[attr-defined]
        super().handle()

    def run_wsgi(self) -> None:
        """Answer with one write what has a body, and in chunks what breaks off."""
        status, headers, content = self.server.app.reply(self.make_environ())  # type: ignore[attr-defined]
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        more = [("Date", self.date_time_string())]
        if not isinstance(content, bytes):
            more.append(("Transfer-Encoding", "chunked"))
            self.close_connection = True
        elif self.command == "HEAD":
            content = b""
        elif length is None:
            more.append(("Content-Length", str(len(content))))
        elif int(length) != len(content):
            self.close_connection = True  # else the client waits for the rest
        if self.close_connection:
            more.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (*headers, *more)), "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        if isinstance(content, bytes):
            self.wfile.write(head + content)
            return
        with suppress(ConnectionError):
            for chunk in content:
                self.wfile.write(head + f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                head = b""


class Application:
    """The WSGI application: moto, behind faults, permissions and the sandbox's own."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.gate = Gate()
        self.admin = Admin(self.ledger, self.gate)
        self.moto = Moto()
        self.crashed: list[str] = []
        self.one_write = Lock()  # DynamoDB's are atomic; moto evaluates a condition, and writes after that

    def reply(self, environ: Environ) -> Reply:
        """Answer one request to Slack, to the sandbox itself or to AWS."""
        body = _read_body(environ)
        if jobs.runner is not None and not _loopback(environ):
            return wire.reply(b"This sandbox runs programs, for callers on this machine only.\n", status=403)
        if (slacks := slack.answer(environ, body)) is not None:
            return slacks
        if environ.get("PATH_INFO", "").startswith("/sandbox/"):
            return self.admin.reply(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
        return self._aws(environ, body)

    def _aws(self, environ: Environ, body: bytes) -> Reply:
        asked = wire.read(environ, body)
        if caller().killed:
            return _killed(asked)
        failing: Fault | None = None
        for fault in self.ledger.enter(asked):
            if fault.latency:
                time.sleep(fault.latency)
            failing = None if fault.kind == "latency" else fault
        return self._work(asked, environ) if failing is None else self._fail(failing, asked, environ)

    def _fail(self, failing: Fault, asked: wire.Asked, environ: Environ) -> Reply:
        """Have it go wrong, before or after the work is done."""
        if failing.kind in ("killed", "killed-before"):
            caller().killed = True
        if failing.kind in AFTER:
            done = self._work(asked, environ)
        match failing.kind:
            case "drop":
                return _dropped(done)
            case "truncate":
                return _truncated(done)
            case "hang-up":
                return "200 OK", [], _break_off()
            case "killed" | "killed-before":
                return _killed(asked)
        return wire.error(asked, *failing.failure(asked))

    def _work(self, asked: wire.Asked, environ: Environ) -> wire.Reply:
        """Do what was asked, if whoever asks for it may."""
        try:
            if refused := self.gate.refusal(asked, environ):
                return wire.error(asked, refused.status, refused.code, refused.message)
            if asked.service == "states":
                state_machines.prepare(f"http://{HOST}:{environ['SERVER_PORT']}", self.gate)
            with self.one_write if asked.service == "dynamodb" else nullcontext():
                return answer_locally(asked, environ) or self._moto(environ)
        except NotImplementedError:
            message = f"The sandbox does not have {asked.name}."
            return wire.error(asked, HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message)
        except Exception as crash:  # the edge of the sandbox: any crash is moto's or ours
            traceback.print_exc(file=sys.stderr)
            self.crashed.append(asked.name)
            message = f"The sandbox failed at {asked.name}: {crash!r}"
            return wire.error(asked, HTTPStatus.INTERNAL_SERVER_ERROR, "InternalFailure", message)

    def _moto(self, environ: Environ) -> wire.Reply:
        """Return moto's reply, with the length of its body."""
        started: list[Any] = []

        def start_response(status: str, headers: Any, _: Any = None) -> Any:
            started[:] = [status, list(headers)]

        chunks = self.moto(environ, start_response)
        content = b"".join(chunks)
        if close := getattr(chunks, "close", None):
            close()
        status, headers = started
        return status, headers, content


def _loopback(environ: Environ) -> bool:
    """
    Tell whether the client named this machine as such, and is not a web page of another one.

    A page whose own name was made to lead to 127.0.0.1 sends that name (DNS rebinding). Any page may send
    some requests here without reading the answers; browsers mark them by Origin or Sec-Fetch-Site.
    """
    if environ.get("HTTP_SEC_FETCH_SITE", "none") == "cross-site":
        return False
    named = [f"//{environ.get('HTTP_HOST', '')}", environ.get("HTTP_ORIGIN", f"//{HOST}")]
    hosts = [urlsplit(address).hostname or "" for address in named]
    return all(host in (HOST, "localhost") or host.endswith(".localhost") for host in hosts)


def _read_body(environ: Environ) -> bytes:
    """Read the whole body and put it back for moto to read again; boto3 sends some of S3's in chunks."""
    if environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def _truncated(reply: wire.Reply) -> wire.Reply:
    """Return half of the body under the length of the whole.

    botocore 1.44.8 does not compare the two (`enforce_content_length=False` in its httpsession),
    and makes an empty answer of JSON or CBOR that it cannot read: no error, no retry, no list.
    """
    status, headers, content = reply
    return status, headers, content[: len(content) // 2]


def _dropped(reply: wire.Reply) -> Reply:
    """Send half of the body, then close amid a chunk: an error in any client.

    Without a body there is nothing to break off, and the connection closes before the status.
    """
    status, headers, content = reply
    unsized = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return status, unsized, _break_off(content[: len(content) // 2])


def _killed(asked: wire.Asked) -> wire.Reply:
    """Return a client error, which botocore does not try again; HEAD has no body to say it with."""
    return wire.error(asked, HTTPStatus.BAD_REQUEST, CODE, MESSAGE)


def _break_off(content: bytes = b"") -> Iterator[bytes]:
    """Send some of an answer, then break off: without any, not even the status is sent."""
    if content:
        yield content
    raise ConnectionResetError  # which werkzeug takes for the client's, and says nothing


class Sandbox:
    """A running sandbox: `with Sandbox() as box: boto3.client(..., endpoint_url=box.url)`.

    moto keeps its state in the process, so two sandboxes in one process are two doors to the same
    account; faults and counts are each door's own. With *run_jobs*, a folder, script-mode training jobs run
    there as processes of this machine, and the clock ticks at *speed* meanwhile (`JobRunner`).
    """

    def __init__(self, port: int = 0, *, run_jobs: Path | None = None, speed: float = 1.0) -> None:
        moto_corrections.install(late=LATE)
        meters.watch()
        declared_objects.watch()
        self._application = Application()
        app: Any = self._application
        self._server = make_server(HOST, port, app, threaded=True, request_handler=_Handler)
        self._connections = self._server.open_connections = WeakSet[socket]()  # type: ignore[attr-defined]
        self.port: int = self._server.server_port
        self.url = f"http://{HOST}:{self.port}"
        self.runner = None if run_jobs is None else JobRunner(run_jobs, self.url, speed=speed)

    def __enter__(self) -> Self:
        Thread(target=self.serve, daemon=True, name="sandbox").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def crashed(self) -> list[str]:
        """List the operations that failed by a mistake of moto's or of the sandbox's own, in order."""
        return self._application.crashed

    def serve(self) -> None:
        self._server.serve_forever()

    def stop(self) -> None:
        """End the jobs that run, and stop answering; from another thread than the one that serves."""
        if self.runner is not None:
            self.runner.close()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):  # the client closed it
                connection.shutdown(SHUT_RDWR)
