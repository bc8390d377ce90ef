"""moto as one WSGI application, without what it does for every request and nobody here needs."""

import os
from functools import cached_property
from typing import Any

from moto import backends
from moto.moto_server import werkzeug_app

from moto_corrections import install_late, selfcheck

selfcheck.RELIED_ON |= {
    "moto.moto_server.werkzeug_app:DomainDispatcherApplication.get_backend_for_host": "1f41972c1e4e",
    "moto.moto_server.werkzeug_app:create_backend_app": "a317751ebd1c",
}

LATE = {"applicationautoscaling", "cloudformation", "ec2", "ssm"}
"""Importing these of moto takes half of a sandbox's start: they are corrected when first asked for."""

FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
"""The types of a body that is a form."""

MODULES = tuple(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: MODULES
"""moto lists its own folder on disk for every request, which takes half a millisecond."""

werkzeug_app.DISABLE_GLOBAL_CORS = True  # type: ignore[attr-defined]  # that moto imports from its settings
"""moto's own setting: AWS's answers to an SDK carry no headers for browsers either."""

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
"""moto makes machine images for each account and region (33 ms), and nothing here asks for one."""


class _Request(werkzeug_app.BackendRequest):
    """A request whose address moto computes once; its body is parsed as a form only if it is one."""

    @cached_property
    def raw_path(self) -> str:
        return super().raw_path

    @cached_property
    def raw_url(self) -> str:
        return super().raw_url

    @property
    def want_form_data_parsed(self) -> bool:
        """Tell whether to look for a form; the parser would find none in JSON, after some preparations."""
        return self.mimetype in FORMS


class Moto(werkzeug_app.DomainDispatcherApplication):
    """A dispatcher of each request to the application of its service."""

    def __init__(self) -> None:
        super().__init__(_application)
        self._found: dict[str, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the service of a host, for which moto tries two hundred patterns one after the other."""
        if host is None or host not in self._found:
            found = super().get_backend_for_host(host)
            if host is None or found is None:
                return found
            self._found[host] = found
        return self._found[host]


def _application(service: Any) -> Any:
    """
    Return the application moto makes for one service, but let its crashes through to be reported.

    Flask's debugging makes a class for every request, to explain a mistake of a form that is not there.
    """
    install_late(service)
    app = werkzeug_app.create_backend_app(service)
    app.debug = False
    app.request_class = _Request
    app.config |= {"PROPAGATE_EXCEPTIONS": True, "TRAP_BAD_REQUEST_ERRORS": True}
    return app
