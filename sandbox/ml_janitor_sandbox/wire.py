"""The AWS operation that an HTTP request asks for, and replies that its client understands."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.exceptions import HTTPException

from moto_corrections.model import IAM_PREFIXES

ACCOUNT = "123456789012"
_SCOPE = re.compile(r"Credential=([^/]+)/\d*/([^/]+)/([^/]+)/aws4_request")
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)$")
_S3_CONTROL = "/v20180820/"
"""Where the paths of S3 Control begin, which is signed for as s3, and called s3 in policies."""
_REST_JSON = "application/json"
# Unsigned requests say who they are for only here.
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}

NO_HEADERS: Mapping[str, str] = {}

type Environ = dict[str, Any]
type Reply = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers and body, for WSGI."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The subject of a request, in the words of IAM policies."""

    service: str
    operation: str
    region: str
    account: str
    principal: str
    protocol: str
    """json, cbor, query, s3 or rest-json: how an error must look."""
    body: bytes
    path: str
    method: str

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"

    @property
    def model(self) -> str:
        """Return its botocore model: IAM calls S3 Control s3, and SageMaker's runtime sagemaker."""
        if self.service == "sagemaker" and self.protocol == "rest-json":
            return "sagemaker-runtime"
        return "s3control" if self.service == "s3" and self.path.startswith(_S3_CONTROL) else self.service

    @property
    def text(self) -> str:
        """Return path, query and body, for looking things up in."""
        return f"{self.path} {self.body.decode(errors='replace')}"


def read(environ: Environ, body: bytes) -> Asked:
    """Recognise a request; what cannot be told is `unknown`."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    principal, region, signed_for = scope.groups() if scope else ("", "us-east-1", "")
    service = IAM_PREFIXES.get(signed_for, signed_for)
    path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        body = gzip.decompress(body)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        prefix, _, operation = target.rpartition(".")
        service, protocol = service or _TARGETS.get(prefix, "unknown"), "json"
    elif match := _CBOR_PATH.search(path):
        operation, protocol = match[1], "cbor"
    elif action := _action(environ, body):
        operation, protocol = action, "query"
        service = service or "sts"
    else:
        service = service or "s3"
        control = service == "s3" and path.startswith(_S3_CONTROL)
        models = {"s3": "s3control" if control else "s3", "sagemaker": "sagemaker-runtime"}
        operation = _rest_operation(environ, models.get(service, service))
        protocol = "s3" if service == "s3" else "rest-json"
    query = environ.get("QUERY_STRING", "")
    return Asked(
        service=service or "unknown",
        operation=operation,
        region=region,
        account=_account(principal),
        principal=principal,
        protocol=protocol,
        body=body,
        path=f"{path}?{query}" if query else path,
        method=method,
    )


def _action(environ: Environ, body: bytes) -> str | None:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return None
    return parse_qs(body.decode(errors="replace")).get("Action", [None])[0]


def _rest_operation(environ: Environ, service: str) -> str:
    """Find it by method, path and query, out of botocore's model as moto's own router reads it."""
    if service == "lambda" and environ.get("PATH_INFO", "").endswith("/invocations"):
        return "Invoke"  # Slack waits three seconds for what makes this call; the model takes one to load
    try:
        request: Request = BackendRequest({**environ, "wsgi.input": None})
        operation, _ = get_service_router(service).match(request)
    except (HTTPException, NotImplementedError, ValueError, KeyError):
        return "unknown"
    return str(operation.name)


def _account(principal: str) -> str:
    """Return the account: keys of an assumed role belong to its account; all others to the one account."""
    from moto.iam.models import get_account_id_from

    return str(get_account_id_from(principal)) if principal else ACCOUNT


def reply(
    content: bytes, kind: str = "", *, status: int = 200, more: Mapping[str, str] = NO_HEADERS
) -> Reply:
    """Return a reply with this content and *kind*, and *more* headers; no kind is told if it is empty."""
    headers = {**more, "Content-Length": str(len(content))} | ({"Content-Type": kind} if kind else {})
    return f"{int(status)} {responses.get(status, 'Error')}", list(headers.items()), content


def error(asked: Asked, status: int, code: str, message: str) -> Reply:
    """Return an error, in the protocol that was spoken."""
    told, more = {"__type": code, "message": message}, {"x-amzn-RequestId": "sandbox"}
    match asked.protocol:
        case "s3" if asked.method == "HEAD":
            content, kind = b"", ""
        case "s3":
            content, kind = _xml("Error", code, message), "application/xml"
        case "query":
            fault = "Sender" if status < 500 else "Receiver"
            inner = _xml("Error", code, message, f"<Type>{fault}</Type>").decode()
            body = f"<ErrorResponse>{inner}<RequestId>sandbox</RequestId></ErrorResponse>"
            content, kind = body.encode(), "text/xml"
        case "cbor":
            content, kind = _cbor(told), "application/cbor"
            more |= {"Smithy-Protocol": "rpc-v2-cbor"}
        case protocol:
            kind = _REST_JSON if protocol == "rest-json" else "application/x-amz-json-1.1"
            content, more = json.dumps(told).encode(), more | {"x-amzn-ErrorType": code}
    return reply(content, kind, status=status, more=more)


def _xml(tag: str, code: str, message: str, extra: str = "") -> bytes:
    text = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    return f"<{tag}>{extra}{text}<RequestId>sandbox</RequestId></{tag}>".encode()


def _cbor(pairs: dict[str, str]) -> bytes:
    """Return a map of short texts: all the CBOR an error needs (RFC 8949)."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return b"\x79" + len(raw).to_bytes(2) + raw

    inside = b"".join(text(key) + text(value) for key, value in pairs.items())
    return bytes([0xA0 + len(pairs)]) + inside
