"""The undo function under the template's role: it brings back all that was done, and holds nothing idle."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, REGION
from declared import Declared, Permission, granted_by, listed
from hosted import Host, Ran
from integration.test_permissions import IN_LAMBDAS_HANDS, REFUSAL
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.action import Stage
from ml_janitor.ledger.holds import Holds
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.slack import SlackControl
from regretted import ATOMIC, Regretted
from scripts import Step, handed, missed, nothing, play
from theatre import (
    ARMED,
    MINUTE,
    TAGS,
    Call,
    Theatre,
    actions,
    allows,
    broken,
    check,
    exactly,
    now,
)

UNDO = "undo"
OWN = {"dynamodb", "logs", "secretsmanager", "sqs"}
"""Services of which the function has something of its own; it undoes nothing there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """
    What *detector* does, and somebody takes back.

    The acts break off at *half*, and that on what is called *spared* stays so. The undo of *first* breaks
    off: where something *unlucky* happens while it waits, and at the calls *breaks*. *others* is how many
    are brought back after it, *lost* what cannot be. *meanwhile* is what somebody does before. *idle* are
    the actions that none of this needs.
    """

    detector: str
    half: Sequence[Call]
    first: str
    breaks: Sequence[Call]
    others: int
    spared: str = "spared"
    lost: str = ""
    meanwhile: Callable[[Host], None] = nothing
    unlucky: Sequence[Callable[[Host], None]] = ()
    idle: frozenset[str] = frozenset()


def configurations_are_deleted(host: Host) -> None:
    sagemaker = host.root("sagemaker")
    for name in ("churn", "second"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)


def failed(collection: str, name: str, member: str) -> Callable[[Host], None]:
    """AWS has no capacity for it."""

    def fails(host: Host) -> None:
        said = {member: "Failed", "FailureReason": "InsufficientInstanceCapacity"}
        with suppress(SandboxError):  # it is not created yet
            Control(host.url).patch("sagemaker", [collection, name], **said)

    return fails


REGRETS = {
    "idle-notebooks": Regret(
        detector="idle-notebooks",
        half=[("sagemaker", "StopNotebookInstance", None)],
        first="notebook",
        breaks=[("sagemaker", "StartNotebookInstance", None)],
        others=0,
    ),
    "idle-studio-apps": Regret(
        detector="idle-studio-apps",
        half=[("sagemaker", "DeleteApp", None)],
        first="gpu",
        breaks=[("sagemaker", "CreateApp", None)],
        others=1,
    ),
    "idle-endpoints": Regret(
        detector="idle-endpoints",
        half=[("sagemaker", "DeleteEndpoint", None)],
        first="second",
        breaks=[("sagemaker", "CreateInferenceComponent", None)],
        others=1,
        spared="gateway",
        meanwhile=configurations_are_deleted,
        unlucky=[
            failed("endpoints", "second", "EndpointStatus"),
            failed("inference_components", "only", "InferenceComponentStatus"),
        ],
    ),
    "hung-training-jobs": Regret(
        detector="hung-training-jobs",
        half=[("sagemaker", "UpdateTrainingJob", None)],
        first="job",
        breaks=[("sagemaker", "CreateTrainingJob", None)],
        others=2,
        lost="search",
    ),
    "untagged-resources": Regret(
        detector="untagged-resources",
        half=[(*call, "owner") for call in TAGS],
        first="untagged",
        breaks=[("sagemaker", "DeleteTags", None)],
        others=18,
    ),
    "duplicate-artifacts": Regret(
        detector="duplicate-artifacts",
        half=[("s3", "DeleteObject", None)],
        first="large",
        breaks=[("s3", "CompleteMultipartUpload", None)],
        others=1,
    ),
    "unversioned": Regret(
        detector="duplicate-artifacts",
        half=[],
        first="large",
        breaks=[("s3", "CompleteMultipartUpload", None)],
        others=1,
        idle=frozenset({"s3:GetObjectVersion"}),
    ),
}
every_regret = pytest.mark.parametrize("regret", REGRETS)

type Tried = Iterator[tuple[dict[str, Any], Ran]]
type Staged = Callable[[str], Host]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(tmp_path_factory.mktemp("task"))


@pytest.fixture
def staged(
    theatre: Theatre, box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> Staged:
    """The deployment in an account with what is regretted."""
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.copying.ATOMIC", ATOMIC)

    def made(regret: str) -> Host:
        host = theatre.host(box, session, aws)
        Regretted(box, session, aws).add(regret)
        return host

    return made


# --- the way there and back ------------------------------------------------------------------------


def done_and_undone(regret: Regret) -> list[Step]:
    """Acts that break off, all but one gone on with; that one put back, and then the others too."""
    name = regret.detector

    def half(host: Host) -> None:
        host.later(75 * MINUTE)
        broken(host, regret.half)

    def mended(host: Host) -> None:
        broken(host, [])
        if regret.half:
            keep(host, name, regret.spared)

    acts = [Step(function=name, event=now, arranged=one) for one in (nothing, half, mended)]
    put_back = [Step(function=UNDO, event=handed("Undo"), arranged=regret.meanwhile)] if regret.half else []
    return [*acts, *put_back, *undone(regret)]


def undone(regret: Regret) -> Iterator[Step]:
    """The first breaks off, and the next sweep has it gone on with; then what else was done."""
    first = wanted_back(regret, regret.first)

    def happens(what: Callable[[Host], None]) -> Callable[[Host], None]:
        def arranged(host: Host) -> None:
            host.meanwhile = lambda: what(host)

        return arranged

    def breaks(host: Host) -> None:
        host.meanwhile = lambda: None
        broken(host, regret.breaks)

    for unlucky in regret.unlucky:
        yield Step(function=UNDO, event=first, arranged=happens(unlucky))
    yield Step(function=UNDO, event=first, arranged=breaks)
    yield Step(function=regret.detector, event=now, arranged=lambda host: broken(host, []))
    yield Step(function=UNDO, event=handed("Undo"))
    for _ in range(regret.others):
        yield Step(function=UNDO, event=wanted_back(regret))
    if regret.lost:
        yield Step(function=UNDO, event=wanted_back(regret, regret.lost))


def keep(host: Host, detector: str, name: str) -> None:
    """Somebody keeps what is half done by now."""
    (half,) = (one for one in actions(host, detector) if name in one.target.name)
    hold = Hold(key=half.target.key, how=How.KEPT, by="maria", said=host.now)
    Holds(host.table).put(ACCOUNT, REGION, hold)


def wanted_back(regret: Regret, name: str = "") -> Callable[[Host], dict[str, Any]]:
    """The event by which somebody asks for what has that *name*, or for the next that is not back."""

    def event(host: Host) -> dict[str, Any]:
        host.later(MINUTE)
        known = actions(host, regret.detector)
        wanted = next(
            one
            for one in known
            if (name in one.target.name if name else one.target.name != regret.lost)
            if one.stage is not Stage.UNDONE
        )
        return {"detector": regret.detector, "region": REGION, "finding": wanted.id, "by": "maria"}

    return event


def alone(theatre: Theatre, detector: str) -> set[Permission]:
    """What the function would need if *detector* alone were armed."""
    tables = tomllib.loads(ARMED)
    tables["detectors"] = {detector: tables["detectors"][detector]}
    deployed = theatre.armed.deployed
    (function,) = (one for one in deployed.functions() if one.name == UNDO)
    return Declared(deployed, Settings.parse(tables)).of_function(function)


def own(permission: Permission) -> bool:
    """Whether it is about what is the function's own, whatever it undoes."""
    return permission.action.partition(":")[0] in OWN


def test_every_detector_that_acts_is_regretted() -> None:
    assert {one.detector for one in REGRETS.values()} == {one.name for one in DETECTORS if one.cleanup}


@pytest.fixture(scope="module")
def known() -> dict[str, list[Ran]]:
    """What was played before."""
    return {}


@every_regret
def test_undoing_asks_for_all_that_is_declared_and_for_nothing_else(
    theatre: Theatre, staged: Staged, known: dict[str, list[Ran]], regret: str
) -> None:
    asked = REGRETS[regret]
    host, steps = staged(regret), done_and_undone(asked)

    played = known[regret] = play(host, steps)

    assert [ran.denied for ran in played if ran.denied] == []
    done = actions(host, asked.detector)
    assert len(done) > 1
    assert {one.target.name for one in done if one.stage is not Stage.UNDONE} == {asked.lost} - {""}
    undoing = [ran for step, ran in zip(steps, played, strict=True) if step.function == UNDO]
    broke = [ran.error for ran in undoing if ran.error is not None]
    assert len(broke) == 1 + len(asked.unlucky) + bool(asked.lost), broke
    uses, needs = exactly(host, UNDO, undoing), alone(theatre, asked.detector)
    assert uses <= needs
    assert {one.action for one in needs - uses} == asked.idle


@pytest.mark.parametrize("regret", [name for name in REGRETS if not REGRETS[name].idle])
def test_each_statement_is_missed_and_the_refusal_is_told(
    theatre: Theatre, staged: Staged, known: dict[str, list[Ran]], regret: str
) -> None:
    """What is the function's own is missed in the first of these."""
    asked = REGRETS[regret]
    played = known.get(regret) or play(staged(regret), done_and_undone(asked))
    host = staged(regret)
    needs = {one for one in alone(theatre, asked.detector) if not own(one) or regret == next(iter(REGRETS))}

    def concerned(statement: Mapping[str, Any]) -> bool:
        return bool(granted_by(statement) & needs)

    tried = missed(host, done_and_undone(asked), played, UNDO, concerned)

    check(host, told(host, asked, tried), of=[one for one in allows(host, UNDO) if concerned(one)])


def told(host: Host, asked: Regret, tried: Tried) -> Tried:
    """What cannot be brought back says so in the ledger and in its message, each with the call refused."""
    for statement, ran in tried:
        said = str(ran.error)
        if isinstance(ran.error, CannotUndoError) and set(listed(statement["Action"])) - IN_LAMBDAS_HANDS:
            (broke,) = (one for one in actions(host, asked.detector) if one.broke and one.error in said)
            (text,) = (one["text"] for one in SlackControl(host.url).messages() if one["ts"] == broke.message)
            for heard in (broke.error, text):
                assert REFUSAL.search(heard), f"{sorted(ran.denied)}: {heard}"
        yield statement, ran
