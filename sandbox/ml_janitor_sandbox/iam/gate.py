"""The gate that judges every request, and writes down what was asked for."""

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.datastructures import MultiDict

from ml_janitor_sandbox.iam import principals, services
from ml_janitor_sandbox.iam.needs import Need
from ml_janitor_sandbox.iam.policies import Decision
from ml_janitor_sandbox.iam.principals import ROOT_KEY, Caller
from ml_janitor_sandbox.iam.roles import Judged, Roles
from ml_janitor_sandbox.wire import Asked
from moto_corrections.patches import Call

type Environ = dict[str, Any]

SESSION_POLICIES = {"PolicyArns", "Tags"}
"""Parameters of AssumeRole that would narrow or colour a session in a way that is not emulated."""

UNKNOWN_KEY = {
    "s3": (HTTPStatus.FORBIDDEN, "InvalidAccessKeyId"),
    "query": (HTTPStatus.FORBIDDEN, "InvalidClientTokenId"),
}
NOT_EMULATED = "not emulated"
"""Stands for the resource of what could not be judged, in the record."""

DENIED = {"s3": (HTTPStatus.FORBIDDEN, "AccessDenied"), "query": (HTTPStatus.FORBIDDEN, "AccessDenied")}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error that a request ends with."""

    status: int
    code: str
    message: str


class Gate:
    """The enforcement of installed roles; open until they are, and for root's keys always."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Remove the roles and the record, and open the gate."""
        self._roles: Roles | None = None
        self._via: dict[str, str] = {}
        self.forget()

    @property
    def enforces(self) -> bool:
        return self._roles is not None

    def forget(self) -> None:
        with self._lock:
            self._record: list[dict[str, Any]] = []

    def install(self, roles: dict[str, Any], *, enforce: bool) -> None:
        """Replace all roles. `ValueError` for a policy that the sandbox could not judge."""
        read = Roles(roles)
        self._roles = read if enforce else None

    def credentials(self, role: str, service: str | None = None, via: str = "") -> dict[str, str]:
        """
        Return a new session of a role, as *service* would get it; without one, its trust is not asked.

        *via* is a service that calls others with the role's identity, as CloudFormation does for a stack,
        with a service role too (CloudFormation user guide, "FAS requests and permission evaluation").
        """
        if self._roles is None or role not in self._roles:
            raise LookupError(f"no such role is installed and enforced: {role}")
        if service is not None and not self._roles.trusts_service(role, service):
            raise ValueError(f"{role} does not trust {service}")
        given = principals.session_of(role, "sandbox")
        if via:
            self._via[given["AccessKeyId"]] = via
        return given

    def record(self) -> list[dict[str, Any]]:
        """List the requests of roles in order: role, action, resource, allowed, by which statements."""
        with self._lock:
            return list(self._record)

    def refusal(self, asked: Asked, environ: Environ) -> Refusal | None:
        """Return the reason for refusing a request; None if it is allowed."""
        roles = self._roles
        if roles is None or asked.principal.startswith(ROOT_KEY):
            return None
        caller = principals.of(asked.principal) if asked.principal else None
        if caller is None:
            code = UNKNOWN_KEY.get(asked.protocol, (HTTPStatus.BAD_REQUEST, "UnrecognizedClientException"))
            return Refusal(*code, "The security token included in the request is invalid.")
        caller = replace(caller, via=self._via.get(asked.principal, ""))
        try:
            call = read_call(asked, environ)
            judged = _judge(roles, caller, asked, call)
        except (NotImplementedError, KeyError):
            self._write_down(caller, [Judged(Need(asked.name, NOT_EMULATED), Decision.SILENT)])
            message = f"The sandbox's IAM does not know what {asked.name} needs permission for: not emulated."
            return Refusal(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message)
        self._write_down(caller, judged)
        refused = [judgement for judgement in judged if judgement.decision is not Decision.ALLOWED]
        return _denial(asked, caller, refused[0]) if refused else None

    def _write_down(self, caller: Caller, judged: list[Judged]) -> None:
        entries = [
            {
                "role": caller.role,
                "action": judgement.need.action,
                "resource": judgement.need.resource,
                "allowed": judgement.decision is Decision.ALLOWED,
                "by": list(judgement.by),
            }
            for judgement in judged
        ]
        with self._lock:
            self._record += entries


def _judge(roles: Roles, caller: Caller, asked: Asked, call: Call) -> list[Judged]:
    if asked.name == "sts:AssumeRole":
        if SESSION_POLICIES & set(call.params):
            raise NotImplementedError
        return [Judged(*roles.may_assume(caller, call))]
    return [roles.may(caller, call, need) for need in services.needs(asked.service, call)]


def _denial(asked: Asked, caller: Caller, judged: Judged) -> Refusal:
    """Write it in AWS's words, which name session, action, resource, and what kind of no it is."""
    status, code = DENIED.get(asked.protocol, (HTTPStatus.BAD_REQUEST, "AccessDeniedException"))
    need, kind = judged.need, "a resource-based" if judged.at_resource else "an identity-based"
    why = (
        f"with an explicit deny in {kind} policy"
        if judged.decision is Decision.DENIED
        else f"because no {kind.partition(' ')[2]} policy allows the {need.action} action"
    )
    message = f"User: {caller.session} is not authorized to perform: {need.action}"
    return Refusal(status, code, f"{message} on resource: {need.resource} {why}")


PARSERS = {"query": "query", "rest-json": "rest-json", "s3": "rest-xml"}
IN_PATHS = {"rest-json", "s3"}
"""Protocols whose parameters stand in the path too."""


def read_call(asked: Asked, environ: Environ) -> Call:
    """Read the operation and its parameters. `NotImplementedError` if they cannot be read."""
    if asked.protocol == "json":
        params = json.loads(asked.body or b"{}")
    elif asked.protocol in PARSERS:
        params = _parsed(asked, environ)
    else:
        raise NotImplementedError
    return Call(asked.operation, asked.account, asked.region, params)


def _parsed(asked: Asked, environ: Environ) -> dict[str, Any]:
    """Parse it by moto's parser. REST has what matters here in path, query and headers, except S3's POSTs."""
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
