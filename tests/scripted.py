"""An account that answers what a test writes down: real clients and pagers, and no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Never

import boto3
from botocore.exceptions import ParamValidationError
from botocore.loaders import create_loader
from botocore.validate import validate_parameters

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices


class Refusal(NamedTuple):
    """How AWS refuses a call."""

    code: str
    message: str = "no"


DENIED = Refusal("AccessDeniedException", "denied")


class Torn(dict[str, Any]):
    """An answer that was cut off: it lacks members that AWS's model requires."""


type Answer = Mapping[str, Any] | Refusal | Callable[[Mapping[str, Any]], Any] | Sequence[Any]
"""Also a function of the request's members that gives one; a sequence are pages, found by their tokens."""


class _Received(NamedTuple):
    """The part of a response over HTTP that botocore still looks at."""

    status_code: int


@dataclass
class Script:
    """
    What each operation ("sagemaker:ListApps", by boto3's name of the service) answers.

    Answers are checked against AWS's model. *calls* are the requests so far; what has no answer is an error.
    """

    answers: dict[str, Answer]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def session(self, region: str = REGION) -> boto3.Session:
        """A session whose clients are answered so, once all else had its say about a call."""
        session = boto3.Session(region_name=region)
        session.events.register("provide-client-params", _note)
        events: Any = session.events  # whose types forbid an answer
        events.register_last("before-call", self._answer)
        return session

    def aws(self, region: str = REGION, **more: Any) -> Aws:
        """The account. Its reads come one after the other."""
        session = self.session(region)
        given: dict[str, Any] = {"prices": Prices(_no_prices), "pool": AtOnce(), "attempts": 1} | more
        return Aws(session, region=region, account=ACCOUNT, **given)

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [asked for called, asked in self.calls if called == operation]

    def _answer(self, model: Any, context: Mapping[str, Any], **_: object) -> tuple[_Received, Any]:
        service, asked = model.service_model.service_name, dict(context["asked"])
        operation = f"{service}:{model.name}"
        self.calls.append((operation, asked))
        if operation not in self.answers:
            raise AssertionError(f"{operation} has no answer")
        answer: Any = self.answers[operation]
        answer = answer(asked) if callable(answer) else answer
        if isinstance(answer, list | tuple) and not isinstance(answer, Refusal):
            answer = _page(service, model.name, asked, answer)
        if isinstance(answer, Refusal):
            return _Received(400), {"Error": {"Code": answer.code, "Message": answer.message}}
        if not isinstance(answer, Torn) and model.output_shape is not None:
            _check(operation, answer, model.output_shape)
        return _Received(200), {**answer, "ResponseMetadata": {}}


def _note(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
    context["asked"] = params


def _check(operation: str, answer: Mapping[str, Any], shape: Any) -> None:
    """Refuse what AWS never answers: one of botocore's errors would pass for AWS's."""
    try:
        validate_parameters(dict(answer), shape)
    except ParamValidationError as error:
        raise AssertionError(f"{operation} does not answer so: {error}") from error


def _page(service: str, operation: str, asked: Mapping[str, Any], pages: Sequence[Any]) -> Any:
    """That of *pages* which is *asked* for, with the token of the next one."""
    pager = create_loader().load_service_model(service, "paginators-1")["pagination"][operation]
    given, token = pager["input_token"], pager["output_token"]
    number = int(asked.get(given, 0))
    page = pages[number]
    if isinstance(page, Refusal) or number + 1 == len(pages):
        return page
    return type(page)({**page, token: str(number + 1)})


class AtOnce(futures.Executor):
    """No threads: every call is made when it is asked for."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, read: Callable[..., Any], /, *given: Any, **_: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(read(*given))
        except Exception as error:
            done.set_exception(error)
        return done


class PagedS3:
    """S3 with *buckets* of keys and sizes, *size* to a page; it *fails* after so many *calls*."""

    account, region = ACCOUNT, REGION
    regions: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        buckets: Mapping[str, Mapping[str, int] | Iterable[str]],
        scratch: Any = None,
        calls: float = float("inf"),
        fails: Exception = OutOfTimeError("the run has no time left"),  # noqa: B008 - it is only raised
        *,
        size: int = 2,
    ) -> None:
        self.buckets = {
            name: keys if isinstance(keys, Mapping) else dict.fromkeys(keys, 1)
            for name, keys in buckets.items()
        }
        self.scratch, self.size, self.calls, self.fails = scratch, size, calls, fails
        self.asked = list[dict[str, Any]]()

    def client(self, service: str, region: str) -> PagedS3:
        assert service == "s3"
        self.opened = region
        return self

    def list_objects_v2(self, **given: Any) -> dict[str, Any]:
        assert self.opened == self.regions.get(given["Bucket"], REGION)
        self.asked.append(given)
        if len(self.asked) > self.calls:
            raise self.fails
        objects = self.buckets[given["Bucket"]]
        after = given.get("ContinuationToken", "token ").removeprefix("token ") or given.get("StartAfter", "")
        keys = sorted(key for key in objects if key.encode() > after.encode())
        some = keys[: given.get("MaxKeys", self.size)]
        page: dict[str, Any] = {"KeyCount": len(some), "IsTruncated": len(keys) > len(some)}
        contents = [
            {"Key": key, "Size": objects[key], "ETag": f'"{key[-2:]}"', "LastModified": NOW} for key in some
        ]
        page |= {"Contents": contents} if some else {}
        return page | ({"NextContinuationToken": f"token {some[-1]}"} if page["IsTruncated"] else {})


def _no_prices() -> Never:
    raise AssertionError("a price was asked for")
