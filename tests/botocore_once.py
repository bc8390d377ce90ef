"""
What botocore and http.client do for every client and request, done with less work.

What follows from AWS's models alone is computed once. Clients, sessions, their handlers, credentials and
connections stay each test's own. In Lambda a client is made once, so there nothing is changed.
"""

import http.client
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Any

import botocore.client
import botocore.hooks
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import create_loader
from botocore.model import ServiceModel

hooks: Any = botocore.hooks
http_client: Any = http.client
ClientCreator: Any = botocore.client.ClientCreator
"""Their types leave out what is private."""


def patched(patch: pytest.MonkeyPatch) -> None:
    """From now on, until *patch* is undone."""
    loader = create_loader()
    patch.setattr("botocore.session.create_loader", lambda _: loader)
    patch.setattr(ClientCreator, "_load_service_model", _models(ClientCreator._load_service_model))
    patch.setattr(ClientCreator, "_create_methods", _methods(ClientCreator._create_methods))
    patch.setattr("botocore.regions.EndpointProvider", _endpoints())
    patch.setattr(hooks.EventAliaser, "__init__", _aliases(hooks.EventAliaser.__init__))
    patch.setattr(hooks, "accepts_kwargs", _accepts_kwargs)
    patch.setattr(http.client, "parse_headers", _parse_headers)


def _models(load: Callable[..., ServiceModel]) -> Callable[..., ServiceModel]:
    """One model of a service, which resolves its shapes when first asked for them."""
    known: dict[tuple[str, str | None], ServiceModel] = {}

    def model(self: Any, service_name: str, api_version: str | None = None) -> ServiceModel:
        key = (service_name, api_version)
        if key not in known:
            known[key] = load(self, service_name, api_version)
        return known[key]

    return model


def _methods(create: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The methods of a client, SageMaker's are four hundred; each class gets a dict of its own."""
    known: dict[ServiceModel, dict[str, Any]] = {}

    def methods(self: Any, service_model: ServiceModel) -> dict[str, Any]:
        if service_model not in known:
            known[service_model] = create(self, service_model)
        return dict(known[service_model])

    return methods


def _endpoints() -> Callable[..., EndpointProvider]:
    """The rules by which a service's host is told from region and settings, which are its arguments."""
    known: dict[int, tuple[Any, EndpointProvider]] = {}

    def provider(ruleset_data: Any, **more: Any) -> EndpointProvider:
        if id(ruleset_data) not in known:  # it is kept, so that no other takes its place in memory
            known[id(ruleset_data)] = ruleset_data, EndpointProvider(ruleset_data=ruleset_data, **more)
        return known[id(ruleset_data)][1]

    return provider


def _aliases(init: Callable[..., None]) -> Callable[..., None]:
    """The new names of events that have old ones, as long as the old ones are botocore's own."""
    known: dict[str, str] = {}

    def aliaser(self: Any, emitter: Any, event_aliases: Mapping[str, str] | None = None) -> None:
        init(self, emitter, event_aliases)
        if self._event_aliases == hooks.EVENT_ALIASES:
            self._alias_name_cache = known

    return aliaser


def _parse_headers(
    fp: Any, _class: type[http.client.HTTPMessage] = http.client.HTTPMessage
) -> http.client.HTTPMessage:
    """The headers of a request or of an answer, which http.client reads as those of a mail."""
    headers: Any = _class()
    for line in http_client._read_headers(fp)[:-1]:
        name, _, value = line.decode("iso-8859-1").partition(":")
        headers._headers.append((name, value.lstrip(" \t").rstrip("\r\n")))
    return headers  # type: ignore[no-any-return]


def _accepts_kwargs(handler: Callable[..., Any]) -> object:
    """Whether it takes any keyword; that of a plain function is written on it."""
    function = handler.__func__ if isinstance(handler, MethodType) else handler
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return function.__code__.co_flags & inspect.CO_VARKEYWORDS
    return inspect.getfullargspec(handler).varkw
