"""Hung jobs in the armed order of things: warned, looked at again, stopped, and submitted again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from job_seed import GROUPS, LONG_ENOUGH, MINUTE, SECRET, Floor
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Effect, Mode
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.policy import Arming, hold_reason, holds_on
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.ledger.signatures import kms_signatures
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import KEYS, TABLE
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from standin import DAY, HOUR, Nights


class Shift(Nights):
    """A deployment in which hung jobs may be stopped, two hours after their warning."""

    def __init__(self, floor: Floor, table: Table, session: boto3.Session, aws: Aws) -> None:
        signatures = kms_signatures(make_client(session, "kms", REGION, 2), KEYS)
        super().__init__(table, session, aws, HungTrainingJobs(), signatures=signatures)
        self.floor = floor
        self.arming = Arming(
            mode=Mode.ACT, effect=Effect.STOP, act_in=(ACCOUNT,), grace=2 * HOUR, business_days=False
        )

    def run(self) -> Result:
        """What a run makes of the only job."""
        self.clock = self.floor.box.clock()
        (result,) = {
            result.target.key: result
            for result in self.sweep().report.results
            if "-r" not in result.target.name
        }.values()
        return result

    def due(self) -> None:
        """It was warned about, and may be stopped now."""
        assert self.run().outcome is Outcome.WARNED
        self.floor.wait(2 * HOUR + 2 * LONG_ENOUGH)

    def undo(self, name: str = "job", **how: Any) -> Action:
        self.clock = self.floor.box.clock()
        return super().undo(name, **how)


@pytest.fixture
def shift(paced: Control, table: Table, session: boto3.Session, aws: Aws) -> Shift:
    return Shift(Floor(paced, session), table, session, aws)


def test_it_is_warned_about_stopped_and_submitted_again(shift: Shift) -> None:
    shift.floor.training("job", keep_alive=3600)
    assert shift.run().outcome is Outcome.WARNED
    shift.floor.wait(HOUR)
    assert shift.run().outcome is Outcome.WAITING
    assert shift.floor.status("job") == "InProgress"
    shift.floor.wait(HOUR + 2 * LONG_ENOUGH)

    stopping = shift.run()
    assert (stopping.outcome, outcome_note(stopping)) == (
        Outcome.WAITING,
        "half done: it is stopping, and its warm pool can be ended only when it has stopped",
    )
    shift.floor.wait()
    ended = shift.run()
    assert (ended.outcome, outcome_note(ended)) == (
        Outcome.ACTED,
        f"restart: janitor restart {shift.of('job').id}",
    )
    assert shift.floor.pool("job") == "Terminated"
    done = shift.undo()

    new = next(name for name in shift.floor.names() if name != "job")
    assert done.became == f"job was submitted again as {new}, from the beginning: it keeps no checkpoints"
    assert shift.of("job").stage is Stage.UNDONE
    with pytest.raises(CannotUndoError, match=f"done before, by maria: job was submitted again as {new}"):
        shift.undo()
    assert shift.floor.names() == ["job", new]


def test_a_warm_pool_is_ended_by_the_next_sweep(shift: Shift) -> None:
    """It is gone by itself soon after, so the two hours that a hung job gets would be too long."""
    shift.floor.unused_pool("job")
    assert shift.run().outcome is Outcome.WARNED
    shift.floor.wait(14 * MINUTE)
    assert shift.run().outcome is Outcome.WAITING
    shift.floor.wait(46 * MINUTE)

    assert shift.run().outcome is Outcome.ACTED
    assert shift.floor.pool("job") == "Terminated"


def test_a_job_that_moves_again_is_left_alone(shift: Shift) -> None:
    shift.floor.training("job")
    shift.due()
    shift.floor.box.logs(GROUPS["training-job"], "job/algo-1-1790000000", [(NOW + HOUR, "step")])

    assert shift.run().outcome in {Outcome.CHANGED, Outcome.KEPT}
    assert shift.floor.status("job") == "InProgress"


@pytest.mark.parametrize("status", ["Completed", "Failed"])
@pytest.mark.parametrize("how", ["error", "lost"])
@pytest.mark.parametrize("keep_alive", [0, 3600])
def test_an_ended_job_is_not_reported_stopped(shift: Shift, status: str, how: str, keep_alive: int) -> None:
    """Its stop failed, and nobody knows whether it was taken; then the job ends. Nothing is submitted."""
    shift.floor.training("job", keep_alive=keep_alive)
    shift.due()
    if how == "error":
        said = {"status": 400, "code": "ThrottlingException", "message": "Rate exceeded"}
        shift.floor.box.fault("sagemaker", "StopTrainingJob", "error", times=20, **said)
        assert shift.run().outcome is Outcome.FAILED
        shift.floor.box.clear_faults()
    else:
        end_when_killed(shift.session)
        shift.floor.box.fault("sagemaker", "StopTrainingJob", "killed-before")
        with pytest.raises(Killed):
            shift.run()
        shift.floor.box.revive()
    shift.floor.end("job", status)
    shift.floor.wait(HOUR)

    ran = shift.run()

    assert (ran.outcome, outcome_note(ran)) == (Outcome.CHANGED, f"it ended by itself: {status}")
    assert shift.of("job").stage is Stage.WITHDRAWN
    assert (shift.put_back, shift.floor.names()) == ([], ["job"])
    with pytest.raises(CannotUndoError, match="nothing was done to job: no longer waste: it ended by itself"):
        shift.undo()


def test_what_was_stopped_as_recorded_counts_whatever_it_says_later(shift: Shift) -> None:
    """AWS took the stop: that the job says Failed then is no reason to say that nothing was done."""
    shift.floor.training("job", keep_alive=3600)
    shift.due()
    assert shift.run().outcome is Outcome.WAITING
    shift.floor.wait()
    shift.floor.end("job", "Failed")

    assert shift.run().outcome is Outcome.ACTED


@pytest.mark.parametrize("name", ["job", "Job-A"])
def test_what_was_submitted_again_is_left_alone_for_a_week(shift: Shift, name: str) -> None:
    shift.floor.training(name)
    shift.due()
    assert shift.run().outcome is Outcome.ACTED
    shift.floor.wait()
    shift.undo(name)

    new = shift.floor.job(next(each for each in shift.floor.names() if each != name))
    again = replace(
        shift.of(name).target,
        arn=new["TrainingJobArn"],
        name=new["TrainingJobName"],
        created=new["CreationTime"],
    )
    holds = holds_on(shift.holds.all(ACCOUNT, REGION), again, "hung-training-jobs")

    assert hold_reason(holds, shift.clock + 7 * DAY - MINUTE) is not None
    assert hold_reason(holds, shift.clock + 7 * DAY) is None


def test_whoever_keeps_it_half_way_gets_it_back(shift: Shift) -> None:
    shift.floor.training("job", keep_alive=3600)
    shift.due()
    assert shift.run().outcome is Outcome.WAITING
    arn = shift.floor.job("job")["TrainingJobArn"]
    shift.floor.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "janitor:keep", "Value": "true"}])
    shift.floor.wait()

    assert shift.run().outcome is Outcome.CHANGED
    (asked,) = shift.put_back
    assert asked.target.name == "job"
    shift.undo()
    assert len(shift.floor.names()) == 2


def test_restart_is_its_word_on_the_command_line(
    shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "janitor.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    shift.floor.training("job")
    shift.due()
    assert shift.run().outcome is Outcome.ACTED
    finding = shift.of("job").id
    shift.floor.wait(LONG_ENOUGH)

    def janitor(*argv: str) -> tuple[int, str]:
        monkeypatch.setenv("JANITOR_NOW", shift.floor.box.clock().isoformat())
        monkeypatch.setenv("JANITOR_TABLE", TABLE)
        for variable, key in KEYS.items():
            monkeypatch.setenv(variable, key)
        status = main(list(argv), registry=(HungTrainingJobs,))
        said = capsys.readouterr()
        return status, said.out + said.err

    assert f"janitor restart {finding}" in janitor("findings")[1]
    new = f"job-r{finding[:6]}"
    assert janitor("restart", finding) == (
        0,
        f"job was submitted again as {new}, from the beginning: it keeps no checkpoints.\n",
    )
    status, said = janitor("restart", finding)
    assert (status, f": job was submitted again as {new}" in said.replace("\n", " ")) == (2, True)
    assert f"submitted again as {new}" in janitor("findings", "--all")[1].replace("\n", " ")
    assert SECRET not in janitor("findings", "--all", "--json")[1]
    assert shift.floor.names() == ["job", new]
