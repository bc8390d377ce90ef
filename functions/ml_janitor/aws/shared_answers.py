"""Sends identical requests of a run's detectors to AWS once, so that an audit stays within AWS's rates."""

from __future__ import annotations

import pickle
import threading
import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.hooks import BaseEventHooks
    from botocore.model import OperationModel

GLOBAL_SERVICES: Final = frozenset({"ce"})
"""Services with account-wide answers: Cost Explorer charges a cent, and all regions ask the same."""

SHARED_SERVICES: Final = GLOBAL_SERVICES | {"cloudtrail", "resourcegroupstaggingapi", "sagemaker"}
"""The services of which detectors ask the same. Requests to other services differ."""

REUSED_MARK: Final = "MlJanitorReused"
"""The mark in the metadata of an answer to somebody else's request."""

ANSWER_KEY: Final = "ml_janitor_shared_answer"
"""The key in a request's context under which its answer is kept."""

ANSWER_PAUSE: Final = 1.0
"""Seconds between two looks at the time left, while waiting for another request's answer."""


@dataclass(slots=True)
class PendingRequest:
    """A request in flight (*asked*), and its answer once it is *done*; *kept* is None after a failure."""

    asked: Hashable
    done: threading.Event = field(default_factory=threading.Event)
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """
    The answers of one run over one account, by request.

    By default, a run that only reads shares the answers of all `SHARED_SERVICES`. A run that may act shares
    only those of `GLOBAL_SERVICES`, and reads anew before it acts. Answers live no longer than the run: the
    janitor never judges by an earlier run's bill.

    A request that is already in flight waits for that answer. A failure is not shared: the next request
    is sent. Answers are kept compressed, because one run may read hundreds of megabytes of them.
    """

    services: frozenset[str] = SHARED_SERVICES
    _answers: dict[Hashable, PendingRequest | bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, events: BaseEventHooks, region: str, has_time: Callable[[], bool]) -> None:
        """Answer the calls of a client for *region*, with its *events*; wait only while there is time."""

        def answer(
            model: OperationModel, params: Mapping[str, Any], context: dict[str, Any], **_: object
        ) -> Any:
            asked = (model.service_model.service_name, region, model.name, *_request(params))
            return self._known(asked, context, has_time)

        events.register_last("before-call", answer)
        events.register_first("after-call", self._keep)
        events.register_first("after-call-error", self._give_up)

    def _known(
        self, asked: Hashable, context: dict[str, Any], has_time: Callable[[], bool]
    ) -> tuple[ReusedResponse, Any] | None:
        """Return the answer to the request *asked*; None if this request must be sent."""
        while True:
            with self._lock:
                if (found := self._answers.get(asked)) is None:
                    self._answers[asked] = context[ANSWER_KEY] = PendingRequest(asked)
                    return None
            if isinstance(found, PendingRequest):
                while not found.done.wait(ANSWER_PAUSE) and has_time():
                    pass
                if not found.done.is_set():
                    return None
            if (kept := found.kept if isinstance(found, PendingRequest) else found) is not None:
                answer = pickle.loads(zlib.decompress(kept))  # noqa: S301 - made below
                answer["ResponseMetadata"] = {**answer.get("ResponseMetadata", {}), REUSED_MARK: True}
                return ReusedResponse(), answer

    def _keep(
        self, http_response: Any, parsed: Mapping[str, Any], context: dict[str, Any], **_: object
    ) -> None:
        if (own := context.pop(ANSWER_KEY, None)) is None:
            return
        if http_response.status_code == HTTPStatus.OK:
            own.kept = zlib.compress(pickle.dumps(parsed), 1)
        self._end(own)

    def _give_up(self, context: dict[str, Any], **_: object) -> None:
        if (own := context.pop(ANSWER_KEY, None)) is not None:
            self._end(own)

    def _end(self, own: PendingRequest) -> None:
        with self._lock:
            if own.kept is None:
                self._answers.pop(own.asked, None)
            else:
                self._answers[own.asked] = own.kept
        own.done.set()


def is_reused(answer: Mapping[str, Any]) -> bool:
    """Return whether *answer* belongs to an earlier request, so that AWS received no new one."""
    return REUSED_MARK in answer.get("ResponseMetadata", {})


@dataclass(frozen=True, slots=True)
class ReusedResponse:
    """The response of a request that was not sent."""

    status_code: int = HTTPStatus.OK


def _request(params: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return the parts that tell requests apart."""
    body = params["body"]
    return (
        params["url_path"],
        str(params["query_string"]),
        body if isinstance(body, bytes | str) else str(body),
    )
