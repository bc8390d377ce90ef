"""
What botocore and http.client do for every client and request, done with less work.

What follows from AWS's models alone is computed once. Clients, sessions, credentials and connections stay
each test's own. A session and its clients share handlers until one of them changes its own. In Lambda a
client is made once, so there nothing is changed.
"""

import functools
import http.client
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Any

import botocore.client
import botocore.hooks
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.httpsession import create_urllib3_context
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
    for name in ("_create_methods", "_create_name_mapping"):
        patch.setattr(ClientCreator, name, _by_model(getattr(ClientCreator, name)))
    patch.setattr("botocore.regions.EndpointProvider", _endpoints())
    patch.setattr(hooks.EventAliaser, "__init__", _aliases(hooks.EventAliaser.__init__))
    patch.setattr(hooks, "accepts_kwargs", _accepts_kwargs)
    patch.setattr(hooks._PrefixTrie, "append_item", _append_item)
    patch.setattr(hooks._PrefixTrie, "remove_item", _remove_item(hooks._PrefixTrie.remove_item))
    patch.setattr(hooks._PrefixTrie, "__copy__", _shared)
    tls = functools.cache(create_urllib3_context)  # which each client gets, and none here uses
    patch.setattr("botocore.httpsession.create_urllib3_context", tls)
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


def _by_model(create: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The methods of a client, SageMaker's are four hundred, or their names; each class gets its own dict."""
    known: dict[ServiceModel, dict[str, Any]] = {}

    def made(self: Any, service_model: ServiceModel) -> dict[str, Any]:
        if service_model not in known:
            known[service_model] = create(self, service_model)
        return dict(known[service_model])

    return made


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


def _shared(self: Any) -> Any:
    """Return a client's copy of a session's handlers: both share all nodes until one of them changes."""
    other = hooks._PrefixTrie()
    other._root = self._root
    return other


def _append_item(self: Any, key: str, value: Any, section: int = hooks._MIDDLE) -> None:
    """Add a handler, in new nodes on the way to it: another client may have the old ones."""
    node = self._root = dict(self._root)
    for part in key.split("."):
        children = node["children"] = dict(node["children"])
        node = children[part] = dict(children.get(part) or {"chunk": part, "values": None, "children": {}})
    values = node["values"] or hooks.NodeList([], [], [])
    node["values"] = hooks.NodeList(
        *([*held, value] if place == section else held for place, held in enumerate(values))
    )


def _remove_item(remove: Callable[..., None]) -> Callable[..., None]:
    """Remove a handler from nodes that are this client's own."""

    def removed(self: Any, key: str, value: Any) -> None:
        self._root = self._recursive_copy(self._root)
        remove(self, key, value)

    return removed


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
