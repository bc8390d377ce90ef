"""What the tests have botocore work out only once: the same as otherwise, and nothing leaks by way of it."""

import email
import http.client
import inspect
from collections.abc import Callable
from copy import copy
from functools import partial
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore import handlers

from botocore_once import _accepts_kwargs, hooks
from tables import cases


class Said:
    """A status without a request."""

    status_code = 200


NOT_SENT = Said(), dict[str, Any]()
"""What a handler answers in the place of AWS."""


def client(session: boto3.Session, service: Any = "sagemaker", region: str = "us-east-1") -> Any:
    return session.client(service, region_name=region, endpoint_url="http://127.0.0.1:1")


def test_what_one_session_adds_to_its_clients_no_other_has() -> None:
    def add(class_attributes: dict[str, Any], **_: Any) -> None:
        class_attributes["added"] = True
        del class_attributes["list_models"]

    theirs = boto3.Session()
    theirs.events.register("creating-client-class.sagemaker", add)

    assert hasattr(client(theirs), "added")
    assert not hasattr(client(theirs), "list_models")
    assert not hasattr(client(boto3.Session()), "added")
    assert hasattr(client(boto3.Session()), "list_models")


def test_each_client_goes_to_the_host_of_its_service_and_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    hosts = []

    def asked(params: dict[str, Any], **_: Any) -> Any:
        hosts.append(params["url"])
        return NOT_SENT

    for region in ("eu-central-1", "cn-north-1", "eu-central-1"):
        for service, call in (("sagemaker", "list_models"), ("logs", "describe_log_groups")):
            made: Any = boto3.Session().client(service, region_name=region)  # type: ignore[call-overload]
            made.meta.events.register("before-call", asked)
            getattr(made, call)()
    assert hosts == [
        "https://api.sagemaker.eu-central-1.amazonaws.com/",
        "https://logs.eu-central-1.amazonaws.com/",
        "https://api.sagemaker.cn-north-1.amazonaws.com.cn/",
        "https://logs.cn-north-1.amazonaws.com.cn/",
        "https://api.sagemaker.eu-central-1.amazonaws.com/",
        "https://logs.eu-central-1.amazonaws.com/",
    ]


def test_headers_are_read_as_http_client_reads_them() -> None:
    sent = b"Date: Tue, 06 Oct 2026\r\nx-amz-meta-a:  b: c \r\nEmpty:\r\nVary: a\r\nVary: b\r\n\r\nrest"
    stream = BytesIO(sent)

    read = http.client.parse_headers(stream)

    assert http.client.parse_headers.__module__ == "botocore_once"
    assert read.items() == email.message_from_bytes(sent, _class=http.client.HTTPMessage).items()
    assert read.get_all("vary") == ["a", "b"]
    assert stream.read() == b"rest"
    assert not read.defects


def test_an_old_name_of_an_event_means_the_new_one_only_where_it_is_said_so() -> None:
    own = hooks.EventAliaser(hooks.HierarchicalEmitter(), {"logs": "diary"})
    usual = hooks.EventAliaser(hooks.HierarchicalEmitter())
    for _ in range(2):
        assert own._alias_event_name("before-call.logs") == "before-call.diary"
        assert usual._alias_event_name("before-call.logs") == "before-call.cloudwatch-logs"


def test_copies_of_handlers_change_apart_and_keep_the_order() -> None:
    def handler(name: str) -> Callable[..., str]:
        return lambda **_: name

    def heard(emitter: Any, event: str = "before-call.logs.Get") -> list[str]:
        return [name for _, name in emitter.emit(event)]

    session = hooks.HierarchicalEmitter()
    session.register("before-call", handler("all"))
    session.register("before-call.*.Get", last := handler("each service"))
    session.register("before-call.logs.Get", handler("own"))
    clients = [copy(session) for _ in range(3)]
    clients[0].register_first("before-call.logs.Get", handler("first"))
    clients[0].register_last("before-call.logs.Get", handler("last"))
    clients[0].register("before-call.logs", handler("service"))
    clients[1].unregister("before-call.*.Get", last)
    session.register("before-call.logs.Get", handler("late"))

    assert heard(session) == ["each service", "own", "late", "all"]
    assert heard(clients[0]) == ["each service", "first", "own", "last", "service", "all"]
    assert heard(clients[1]) == ["own", "all"]
    assert heard(clients[2]) == ["each service", "own", "all"]
    assert heard(clients[0], "before-call.s3.Get") == ["each service", "all"]
    assert heard(clients[1], "before-call.s3.Get") == ["all"]


class Callee:
    def with_any(self, **_: Any) -> None: ...
    def with_some(self, *, event_name: str) -> None: ...
    def __call__(self, **_: Any) -> None: ...


@cases(
    "handler",
    *(spec[1] for spec in handlers.BUILTIN_HANDLERS),
    *(Callee().with_any, Callee().with_some, Callee(), partial(Callee().with_any), client),
)
def test_who_takes_any_keyword_is_known(handler: Any) -> None:
    assert bool(_accepts_kwargs(handler)) is bool(inspect.getfullargspec(handler).varkw)
