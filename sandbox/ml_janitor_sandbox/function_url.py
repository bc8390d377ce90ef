"""
The event that Lambda makes of a request to a function URL: payload format 2.0.

Lambda developer guide, "Invoking Lambda function URLs": header names come in lower case, those that
came several times are joined by commas, a binary body is base64. AWS does not document what counts as binary;
measured on AWS (ministackorg/ministack #766, and of forms at a function URL LeanerCloud/CUDly #1483), text
is `text/*`, JSON, XML and JavaScript, and all else is base64: forms such as Slack's, and a body without
a type.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, urlsplit

URL_ID = "sandboxurl0000000000000000000000"
DOMAIN = f"{URL_ID}.lambda-url.us-east-1.on.aws"
FROM = "3.94.92.68"
TEXTS = {"application/json", "application/xml", "application/javascript"}


def event(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    *,
    at: datetime,
    method: str = "POST",
    url: str = "/",
) -> dict[str, Any]:
    """Return the event for the handler. *at* is when the request came; *url* its path and query."""
    given: dict[str, list[str]] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        given.setdefault(name.lower(), []).append(value)
    joined = {name: ",".join(values) for name, values in given.items()}
    known = {
        "host": DOMAIN,
        "x-amzn-trace-id": f"Root=1-{int(at.timestamp()):08x}-{hashlib.sha256(body).hexdigest()[:24]}",
        "x-forwarded-for": FROM,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    where = urlsplit(url)
    utc = at.astimezone(UTC)
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": where.path or "/",
        "rawQueryString": where.query,
        "headers": joined | known,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_ID,
            "domainName": DOMAIN,
            "domainPrefix": URL_ID,
            "http": {
                "method": method,
                "path": where.path or "/",
                "protocol": "HTTP/1.1",
                "sourceIp": FROM,
                "userAgent": joined.get("user-agent", ""),
            },
            "requestId": hashlib.sha256(body + str(utc).encode()).hexdigest()[:32],
            "routeKey": "$default",
            "stage": "$default",
            "time": utc.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(utc.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if where.query:
        made["queryStringParameters"] = _query(where.query)
    if body:
        binary = not _is_text(joined.get("content-type"))
        made["isBase64Encoded"] = binary
        made["body"] = base64.b64encode(body).decode() if binary else body.decode()
    return made


def _query(query: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _is_text(content_type: str | None) -> bool:
    if content_type is None:
        return False
    header = Message()
    header["content-type"] = content_type
    kind = header.get_content_type()
    return kind.startswith("text/") or kind in TEXTS
