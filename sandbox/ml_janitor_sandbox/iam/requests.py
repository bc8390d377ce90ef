"""A request's parameters by the names of AWS's model, whatever protocol they came in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.datastructures import MultiDict

from ml_janitor_sandbox.patches import Call
from ml_janitor_sandbox.wire import Asked

type Environ = dict[str, Any]
PARSERS = {"query": "query", "rest-json": "rest-json", "s3": "rest-xml"}
IN_PATHS = {"rest-json", "s3"}
"""Protocols whose parameters stand in the path too."""


def read(asked: Asked, environ: Environ) -> Call:
    """What is asked of which operation. `NotImplementedError` if it cannot be read."""
    if asked.protocol == "json":
        params = json.loads(asked.body or b"{}")
    elif asked.protocol in PARSERS:
        params = _parsed(asked, environ)
    else:
        raise NotImplementedError
    return Call(asked.operation, asked.account, asked.region, params)


def _parsed(asked: Asked, environ: Environ) -> dict[str, Any]:
    """By moto's parser. REST has what matters here in path, query and headers, but for POSTs to S3."""
    request = BackendRequest({**environ, "wsgi.input": None})
    where = get_service_router(asked.model).match(request)[1] if asked.protocol in IN_PATHS else {}
    operation = get_service_model(asked.model).operation_model(asked.operation)
    parser = PROTOCOL_PARSERS[PARSERS[asked.protocol]](operation, map_type=dict)
    form = MultiDict(parse_qsl(asked.body.decode())) if asked.protocol == "query" else request.args
    parsed: dict[str, Any] = parser.parse(
        {
            "method": asked.method,
            "values": form,
            "headers": request.headers,
            "body": asked.body if asked.method == "POST" and asked.protocol != "rest-json" else b"",
            "url_path": request.path,
            "url_params": where,
        }
    )
    return parsed
