"""An account that answers what a test writes down: real clients and pagers, and no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Never

import boto3
from botocore.exceptions import ParamValidationError
from botocore.loaders import create_loader
from botocore.validate import validate_parameters

from conftest import ACCOUNT, REGION
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
        given: dict[str, Any] = {"prices": Prices(_no_prices), "pool": _OneByOne(), "attempts": 1} | more
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


class _OneByOne:
    def map[I, O](self, read: Callable[[I], O], items: Sequence[I], /) -> Iterator[O]:
        return map(read, items)


def _no_prices() -> Never:
    raise AssertionError("a price was asked for")
