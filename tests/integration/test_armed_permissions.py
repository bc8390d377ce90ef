"""Armed sweeps under the template's roles: nothing missing for acting, nothing idle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import boto3
import pytest

from conftest import ACCOUNT, REGION
from declared import granted_by
from hosted import Host
from ml_janitor.aws.client import Aws
from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.action import Stage
from ml_janitor.ledger.holds import Holds
from ml_janitor_sandbox.control import Control
from scripts import Step, missed, nothing, play
from theatre import MINUTE, TAGS, Call, Theatre, actions, allows, broken, check, exactly, now

BREAKS: Mapping[str, Sequence[Call]] = {
    "idle-notebooks": [("sagemaker", "StopNotebookInstance", None)],
    "idle-studio-apps": [("sagemaker", "DeleteApp", None)],
    "idle-endpoints": [("sagemaker", "DeleteEndpoint", None)],
    "hung-training-jobs": [
        ("sagemaker", f"Stop{noun}Job", None)
        for noun in ("HyperParameterTuning", "Processing", "Transform", "Training")
    ],
    "untagged-resources": [(*call, key) for key in ("team", "owner") for call in TAGS],
    "duplicate-artifacts": [("s3", "DeleteObject", None)],
}
"""The calls at which acts break off, until they come to work: one after the other, each for its own act."""

MANY = "untagged-resources"
"""With one of each kind there is too much for a night in which one call after the other works again."""

every_armed = pytest.mark.parametrize("name", [*BREAKS])

type Staged = Callable[..., Host]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(tmp_path_factory.mktemp("task"))


@pytest.fixture
def staged(theatre: Theatre, box: Control, session: boto3.Session, aws: Aws) -> Staged:
    return lambda *detectors, **how: theatre.host(box, session, aws, *detectors, **how)


def night(name: str, *, at_once: bool = False) -> list[Step]:
    """A warning, acts that break off, one that somebody does not want any more; and then they work again."""
    calls = BREAKS[name]

    def broken_off(host: Host) -> None:
        host.later(75 * MINUTE)
        broken(host, calls)

    def working(number: int) -> Callable[[Host], None]:
        return lambda host: broken(host, calls[number:])

    mended = [working(number) for number in (range(1, len(calls) + 1) if not at_once else [len(calls)])]
    arranged: list[Callable[[Host], None]] = [nothing, broken_off, lambda host: spare(host, name), *mended]
    return [Step(function=name, event=now, arranged=each) for each in arranged]


def spare(host: Host, name: str) -> None:
    """Somebody keeps what is called spared, which is half done by now."""
    (half,) = (one for one in actions(host, name) if "spared" in one.target.name)
    hold = Hold(key=half.target.key, how=How.KEPT, by="maria", said=host.now)
    Holds(host.table).put(ACCOUNT, REGION, hold)


@every_armed
def test_an_armed_sweep_asks_for_all_that_acting_is_declared_to_need(
    theatre: Theatre, staged: Staged, name: str
) -> None:
    """What reading needs as well is tried in a dry run over more than is here."""
    host = staged(name)

    played = play(host, night(name, at_once=name == MANY))
    if name != MANY:
        theatre.played[name] = played

    assert [ran.denied for ran in played] == [frozenset()] * len(played), [ran.log for ran in played]
    assert played[-1].error is None
    done = actions(host, name)
    assert {one.stage for one in done if "spared" not in one.target.name} == {Stage.ACTED}
    assert {one.stage for one in done if "spared" in one.target.name} == {Stage.UNDOING}
    uses, needs = exactly(host, name, played), host.declared.of_function(host.function(name))
    assert uses <= needs
    assert needs - uses <= theatre.reading(name)


@every_armed
def test_each_statement_for_acting_is_missed_and_the_refusal_is_told(
    theatre: Theatre, staged: Staged, name: str
) -> None:
    played = theatre.played.get(name) or play(staged(name, few=True), night(name))
    host = staged(name, few=True)
    reading = theatre.reading(name)

    tried = missed(host, night(name), played, name, lambda one: not granted_by(one) <= reading)

    check(host, tried, of=[one for one in allows(host, name) if not granted_by(one) <= reading])
