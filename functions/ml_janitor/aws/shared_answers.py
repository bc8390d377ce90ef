"""Asks AWS once what several detectors of one run ask alike, so that an audit is kept within AWS's rates."""

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

GLOBAL: Final = frozenset({"ce"})
"""Cost Explorer answers an account as a whole, for a cent: all regions of a run ask it the same."""

SHARED: Final = GLOBAL | {"cloudtrail", "resourcegroupstaggingapi", "sagemaker"}
"""The services of which detectors ask the same. Each of the others is asked for something else."""

REUSED: Final = "MlJanitorReused"
"""What marks the metadata of an answer that somebody else had asked for."""

OF_THIS: Final = "ml_janitor_shared_answer"
"""Where a request's context holds what its answer is kept as."""

PAUSE: Final = 1.0
"""Seconds after which who waits for another's answer looks whether it still has time."""


@dataclass(slots=True)
class Asked:
    """What is *asked* for just now, and its answer once it is *done*; *kept* is None if it failed."""

    asked: Hashable
    done: threading.Event = field(default_factory=threading.Event)
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """
    The answers of one run over one account, by request.

    By default those of all `SHARED` services, for a run that only reads; a run that may act shares those of
    `GLOBAL` ones alone, and sees anew what it acts on. They live no longer than the run: nobody judges by
    the bill that an earlier one read.

    Who asks for what is already asked for waits for that answer. A failure is not shared: the next one
    asks again. Answers are kept compressed, because one run may read hundreds of megabytes of them.
    """

    services: frozenset[str] = SHARED
    _answers: dict[Hashable, Asked | bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, events: BaseEventHooks, region: str, has_time: Callable[[], bool]) -> None:
        """Answer the calls of a client for *region*, with its *events*; waits only while there is time."""

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
    ) -> tuple[Answered, Any] | None:
        """The answer to what was *asked*, or nothing where this request is the one to be sent."""
        while True:
            with self._lock:
                if (found := self._answers.get(asked)) is None:
                    self._answers[asked] = context[OF_THIS] = Asked(asked)
                    return None
            if isinstance(found, Asked):
                while not found.done.wait(PAUSE) and has_time():
                    pass
                if not found.done.is_set():
                    return None
            if (kept := found.kept if isinstance(found, Asked) else found) is not None:
                answer = pickle.loads(zlib.decompress(kept))  # noqa: S301 - made below
                answer["ResponseMetadata"] = {**answer.get("ResponseMetadata", {}), REUSED: True}
                return Answered(), answer

    def _keep(
        self, http_response: Any, parsed: Mapping[str, Any], context: dict[str, Any], **_: object
    ) -> None:
        if (own := context.pop(OF_THIS, None)) is None:
            return
        if http_response.status_code == HTTPStatus.OK:
            own.kept = zlib.compress(pickle.dumps(parsed), 1)
        self._end(own)

    def _give_up(self, context: dict[str, Any], **_: object) -> None:
        if (own := context.pop(OF_THIS, None)) is not None:
            self._end(own)

    def _end(self, own: Asked) -> None:
        with self._lock:
            if own.kept is None:
                self._answers.pop(own.asked, None)
            else:
                self._answers[own.asked] = own.kept
        own.done.set()


def reused(answer: Mapping[str, Any]) -> bool:
    """Whether *answer* is that of another's request, which AWS was not sent again."""
    return REUSED in answer.get("ResponseMetadata", {})


@dataclass(frozen=True, slots=True)
class Answered:
    """The response of a request that was not sent."""

    status_code: int = HTTPStatus.OK


def _request(params: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """What tells one request from another."""
    body = params["body"]
    return (
        params["url_path"],
        str(params["query_string"]),
        body if isinstance(body, bytes | str) else str(body),
    )
