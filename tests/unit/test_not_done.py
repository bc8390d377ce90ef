"""What AWS answers to a call that changes something, and whether that says for certain that nothing was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from fakes import raising, thing, waste
from ml_janitor.ledger.actions import Action, RecordedSteps, Stage, proves_refusal
from tables import cases


def answer(code: str, status: int, *, operation: str = "DeleteEndpoint", retries: int = 0) -> ClientError:
    about = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": about}, operation)  # type: ignore[typeddict-item]


@cases(
    "error",
    answer("AccessDeniedException", 400),
    answer("AccessDenied", 403),
    answer("ValidationException", 400),
    answer("ResourceLimitExceeded", 400),
    answer("PreconditionFailed", 412),
    ids=str,
)
def test_a_definite_refusal(error: Exception) -> None:
    assert proves_refusal(error)


@cases(
    "error",
    answer("ThrottlingException", 400),
    answer("SlowDown", 503),
    answer("InternalFailure", 500),
    answer("RequestTimeout", 400),
    answer("TooManyRequests", 429),
    answer("Timeout", 408),
    answer("AccessDeniedException", 400, retries=1),
    answer("AccessDeniedException", 400, operation="DescribeEndpoint"),
    ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteEndpoint"),
    ReadTimeoutError(endpoint_url="https://api.sagemaker.example"),
    RuntimeError("anything else"),
    ids=str,
)
def test_what_leaves_it_open(error: Exception) -> None:
    assert proves_refusal(error) is False


class Log:
    """Writes down the steps that it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def step(self, _: Action, name: str, how: str) -> None:
        self.steps.append((name, how))


def recorded(**steps: str) -> tuple[RecordedSteps, Log]:
    """The steps of an act in which *steps* were recorded before, and what is written down of them."""
    log, target, now = Log(), thing("lamp", waste()).target, datetime(2026, 10, 6, tzinfo=UTC)
    action = Action(
        sk="sk",
        detector="shelf",
        target=target,
        stage=Stage.ACTING,
        warned=now,
        began=now,
        undo={},
        steps={f"act: {name}": how for name, how in steps.items()},
    )
    return RecordedSteps(log, action, "act"), log  # type: ignore[arg-type]


@cases("before, after", ({}, "refused"), ({"stop": "refused"}, "refused"), ({"stop": "begun"}, "begun"))
def test_a_refusal_says_nothing_of_an_earlier_try(before: dict[str, str], after: str) -> None:
    """A try that was begun may have done its work, and lost its answer."""
    steps, log = recorded(**before)
    with pytest.raises(ClientError):
        steps.do("stop", raising(answer("AccessDeniedException", 400)))

    assert log.steps[-1] == ("act: stop", after)


def test_a_step_is_done_once_unless_it_is_forgotten() -> None:
    (steps, log), calls = recorded(tag="begun"), list[str]()

    def round_of_steps() -> list[bool]:
        for name in ("stop", "tag"):
            steps.do(name, lambda name=name: calls.append(name))  # type: ignore[misc]
        return [steps.begun(name) for name in ("stop", "tag", "never")]

    assert [steps.begun(name) for name in ("stop", "tag")] == [False, True]
    steps.forget("tag")
    assert round_of_steps() == round_of_steps() == [True, True, False]
    steps.forget("stop")
    assert not steps.begun("stop")
    round_of_steps()

    assert calls == ["stop", "tag", "stop"]
    stop = [("act: stop", "begun"), ("act: stop", "done")]
    assert log.steps == [
        *stop,
        ("act: tag", "begun"),
        ("act: tag", "done"),
        ("act: stop", "forgotten"),
        *stop,
    ]
