"""What AWS answers to a call that changes something, and whether that says for certain that nothing was."""

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from fakes import action_of, raising, refusal
from ml_janitor.ledger.actions import Action, RecordedSteps, Stage, proves_refusal
from tables import cases


@cases(
    "error",
    refusal("AccessDeniedException"),
    refusal("AccessDenied", status=403),
    refusal("ValidationException"),
    refusal("ResourceLimitExceeded"),
    refusal("PreconditionFailed", status=412),
    ids=str,
)
def test_a_definite_refusal(error: Exception) -> None:
    assert proves_refusal(error)


@cases(
    "error",
    refusal("ThrottlingException"),
    refusal("SlowDown", status=503),
    refusal("InternalFailure", status=500),
    refusal("RequestTimeout"),
    refusal("TooManyRequests", status=429),
    refusal("Timeout", status=408),
    refusal("AccessDeniedException", retries=1),
    refusal("AccessDeniedException", operation="DescribeEndpoint"),
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
    log = Log()
    action = action_of(stage=Stage.ACTING, steps={f"act: {name}": how for name, how in steps.items()})
    return RecordedSteps(log, action, "act"), log  # type: ignore[arg-type]


@cases("before, after", ({}, "refused"), ({"stop": "refused"}, "refused"), ({"stop": "begun"}, "begun"))
def test_a_refusal_says_nothing_of_an_earlier_try(before: dict[str, str], after: str) -> None:
    """A try that was begun may have done its work, and lost its answer."""
    steps, log = recorded(**before)
    with pytest.raises(ClientError):
        steps.do("stop", raising(refusal("AccessDeniedException")))

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
