"""Hung jobs are stopped and submitted again, warm pools ended; on a bad day too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from deeds import Deed, Memory, found, prepared
from job_seed import GROUPS, HOUR, SECRET, Floor
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import SageMakerKind
from ml_janitor.core.model import Finding, finding_id
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from standin import KilledError

GENERATED = {
    *("TrainingJobArn", "ProcessingJobArn", "TransformJobArn", "CreationTime", "LastModifiedTime"),
    *("TrainingStartTime", "ProcessingStartTime", "TransformStartTime", "SecondaryStatusTransitions"),
    *("TrainingJobName", "ProcessingJobName", "TransformJobName", "ResponseMetadata", "WarmPoolStatus"),
    "TuningJobArn",
}
"""What a description shows of one job alone."""


@pytest.fixture
def floor(paced: Control, session: boto3.Session) -> Floor:
    return Floor(paced, session)


@pytest.fixture
def of(aws: Aws) -> Callable[[str], Deed]:
    """What is to be done about the job of a name."""
    return lambda name: prepared(HungTrainingJobs(), aws, found(HungTrainingJobs(), aws, name))


def again(deed: Deed) -> str:
    """The name under which its job is submitted again."""
    return f"{deed.target.name}-r{finding_id('hung-training-jobs', deed.target.key)[:6]}"


def same(job: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in job.items() if member not in GENERATED}


def restarted(deed: Deed, memory: Memory | None = None) -> str | None:
    return deed.detector.revert(deed.aws.armed(), deed.target, deed.record, memory or Memory())


@pytest.mark.parametrize("kind", list(GROUPS))
def test_a_job_is_stopped_and_submitted_again_as_it_was(
    floor: Floor, of: Callable[[str], Deed], kind: str
) -> None:
    getattr(floor, kind.removesuffix("-job"))("job")
    before = same(floor.job("job", kind))
    deed = of("job")
    assert not deed.settled()

    deed.act()
    assert floor.status("job", kind) == "Stopping"
    assert deed.settled()
    with pytest.raises(NotFinishedError, match="still stopping"):
        deed.undo()
    floor.wait()
    assert floor.status("job", kind) == "Stopped"
    assert deed.settled()
    deed.undo()

    assert same(floor.job(again(deed), kind)) == before
    assert floor.status("job", kind) == "Stopped"


def test_the_new_one_has_the_tags_of_the_old(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    deed.act()
    floor.wait()
    deed.undo()

    arn = floor.job(again(deed))["TrainingJobArn"]
    assert floor.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "maria"}]


def test_it_is_submitted_once(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    deed.act()
    floor.wait()
    memory = Memory(dies=f"submit again as {again(deed)}")
    with pytest.raises(KilledError):
        deed.undo(memory)
    deed.undo(memory)
    deed.undo()

    assert floor.names() == ["job", again(deed)]
    assert floor.box.calls()["sagemaker:CreateTrainingJob"] == 2


def test_where_it_begins_is_said(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("none")
    for name in ("empty", "saved"):
        floor.training(name, CheckpointConfig={"S3Uri": f"s3://ckpt/{name}"})
    floor.checkpoint("saved/step-1", 25 * HOUR)
    floor.checkpoint("saved/step-2", 24 * HOUR)
    floor.checkpoint("saved-by-another/newer", 23 * HOUR)
    said = {}
    for deed in map(of, ("none", "empty", "saved")):
        deed.act()
        floor.wait()
        said[deed.target.name] = (restarted(deed) or "").replace(again(deed), "ANOTHER")
        assert floor.job(again(deed)).get("CheckpointConfig") == floor.job(deed.target.name).get(
            "CheckpointConfig"
        )

    assert said == {
        "none": "none was submitted again as ANOTHER, from the beginning: it keeps no checkpoints",
        "empty": (
            "empty was submitted again as ANOTHER, from the beginning: it had written no checkpoint to"
            " s3://ckpt/empty/"
        ),
        "saved": (
            "saved was submitted again as ANOTHER, with its checkpoints in s3://ckpt/saved/, the newest"
            " known of 2026-10-05 03:00 UTC"
        ),
    }


def test_a_long_name_stays_within_what_aws_takes(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("j" * 54 + "-" + "j" * 8)
    deed = of("j" * 54 + "-" + "j" * 8)
    deed.act()
    floor.wait()
    deed.undo()

    (new,) = set(floor.names()) - {deed.target.name}
    assert new.startswith("j" * 54 + "-r")
    assert len(new) <= 63


def test_the_warm_pool_of_a_stopped_job_is_ended_too(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job", keep_alive=3600)
    before = same(floor.job("job"))
    deed = of("job")
    memory = Memory()

    with pytest.raises(NotFinishedError, match="when it has stopped"):
        deed.act(memory)
    assert (memory.done, deed.settled()) == (["stop"], False)
    floor.wait()
    assert (floor.pool("job"), deed.settled()) == ("Available", False)
    deed.act(memory)

    assert memory.done == ["stop", "end the warm pool"]
    assert (floor.pool("job"), deed.settled()) == ("Terminated", True)
    deed.undo()
    assert same(floor.job(again(deed))) == before


@pytest.mark.parametrize("step", ["stop", "end the warm pool"])
def test_a_run_killed_after_a_call_goes_on_and_ends(
    floor: Floor, of: Callable[[str], Deed], step: str
) -> None:
    floor.training("job", keep_alive=3600)
    deed = of("job")
    memory = Memory(dies=step)
    for expected in (KilledError, NotFinishedError) if step == "stop" else (NotFinishedError, KilledError):
        with pytest.raises(expected):
            deed.act(memory)
        if expected is NotFinishedError:
            floor.wait()
    deed.act(memory)

    assert memory.done == ["stop", "end the warm pool"]
    assert floor.pool("job") == "Terminated"
    assert deed.settled()


def test_what_is_half_done_is_waste_until_its_pool_is_ended(
    floor: Floor, of: Callable[[str], Deed], aws: Aws
) -> None:
    floor.training("job", keep_alive=3600)
    deed = of("job")

    def verdict() -> object:
        candidate = deed.detector.look_unfinished(aws, deed.target, deed.record, floor.box.clock())
        return deed.detector.decide(candidate, floor.box.clock())

    assert isinstance(verdict(), Finding)
    with pytest.raises(NotFinishedError):
        deed.act()
    stopping = verdict()
    assert isinstance(stopping, Finding)
    assert "leaves a warm pool" in stopping.reason
    floor.wait()
    assert isinstance(verdict(), Finding)
    deed.act()
    assert not isinstance(verdict(), Finding)


def test_a_pool_that_another_job_took_over_is_left_to_it(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job", keep_alive=3600)
    deed = of("job")
    with pytest.raises(NotFinishedError):
        deed.act()
    floor.wait()
    floor.box.patch("sagemaker", ["training_jobs", "job"], warm_pool_status={"Status": "Reused"})
    assert deed.settled()
    deed.act()

    assert "sagemaker:UpdateTrainingJob" not in floor.box.calls()


def test_a_warm_pool_is_ended_and_does_not_come_back(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.unused_pool("job")
    deed = of("job")
    assert deed.record == {"what": "warm pool", "keep_alive": 6 * 3600}
    nothing = "nothing had been done to job, so nothing was submitted"
    assert (deed.settled(), restarted(deed)) == (False, nothing)

    floor.box.fault("sagemaker", "UpdateTrainingJob", "lost-reply")
    deed.act()
    deed.act()

    assert (floor.pool("job"), deed.settled()) == ("Terminated", True)
    assert "sagemaker:StopTrainingJob" not in floor.box.calls()
    with pytest.raises(CannotActError, match="a warm pool does not come back"):
        deed.undo()


def test_a_warm_pool_that_was_taken_over_before_is_no_finding(
    floor: Floor, of: Callable[[str], Deed]
) -> None:
    floor.unused_pool("job")
    deed = of("job")
    floor.box.patch("sagemaker", ["training_jobs", "job"], warm_pool_status={"Status": "Reused"})

    with pytest.raises(CannotActError, match="another job has taken over"):
        deed.act()


def test_a_tuning_job_goes_with_its_children_and_is_not_run_twice(
    floor: Floor, of: Callable[[str], Deed]
) -> None:
    floor.tuner("search", "one", "two")
    deed = of("search")
    assert deed.record == {"what": "tuning job"}

    deed.act()
    floor.wait()

    assert [floor.status(name) for name in ("one", "two")] == ["Stopped", "Stopped"]
    assert deed.settled()
    with pytest.raises(CannotActError, match="WarmStartConfig that names search as its parent"):
        deed.undo()


def test_a_hung_child_is_stopped_alone(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.tuner("search", "one", "two")
    deed = of("one")

    deed.act()
    floor.wait()
    deed.undo()

    assert (floor.status("one"), floor.status("two")) == ("Stopped", "InProgress")
    assert "TuningJobArn" not in floor.job(again(deed))


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_a_job_that_ended_by_itself_is_changed(floor: Floor, of: Callable[[str], Deed], status: str) -> None:
    floor.training("job", keep_alive=3600)
    deed = of("job")
    floor.end("job", status)

    with pytest.raises(CannotActError, match=f"it ended by itself: {status}"):
        deed.act()
    assert "sagemaker:StopTrainingJob" not in floor.box.calls()
    assert "sagemaker:UpdateTrainingJob" not in floor.box.calls()


def test_one_that_ends_between_the_look_and_the_call_is_changed_too(
    floor: Floor, of: Callable[[str], Deed], monkeypatch: pytest.MonkeyPatch
) -> None:
    floor.training("job")
    deed = of("job")
    call = SageMakerKind.call

    def late(self: SageMakerKind, aws: Aws, verb: str) -> object:
        if verb == "Stop":
            floor.end("job", "Completed")
        return call(self, aws, verb)

    monkeypatch.setattr(SageMakerKind, "call", late)
    with pytest.raises(CannotActError, match="it ended by itself: Completed"):
        deed.act()


def test_a_call_that_did_nothing_is_a_failure(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    floor.box.fault("sagemaker", "StopTrainingJob", "deny")
    with pytest.raises(ClientError, match="AccessDenied"):
        deed.act()
    assert not deed.settled()


def test_already_stopped_and_already_gone_are_success(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    floor.sagemaker.stop_training_job(TrainingJobName="job")
    deed.act()
    floor.wait()
    deed.act()
    assert deed.settled()

    assert floor.box.calls()["sagemaker:StopTrainingJob"] == 1


def test_another_job_of_its_name_is_not_stopped(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job", keep_alive=3600)
    deed = of("job")
    deed = replace(deed, target=replace(deed.target, created=NOW - 400 * HOUR))
    deed.act()

    assert deed.settled()
    assert floor.status("job") == "InProgress"


@pytest.mark.parametrize("kind", list(GROUPS))
def test_lost_answers_are_no_failure(floor: Floor, of: Callable[[str], Deed], kind: str) -> None:
    getattr(floor, kind.removesuffix("-job"))("job")
    noun = "".join(part.title() for part in kind.split("-"))
    deed = of("job")
    floor.box.fault("sagemaker", f"Stop{noun}", "lost-reply")
    deed.act()
    floor.wait()
    floor.box.fault("sagemaker", f"Create{noun}", "lost-reply")
    deed.undo()

    assert floor.status(again(deed), kind) == "InProgress"


def test_what_was_never_stopped_is_not_submitted_again(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")

    assert restarted(of("job")) == "nothing had been done to job, so nothing was submitted"
    assert floor.names() == ["job"]


def test_what_completed_while_it_was_to_be_stopped_is_not_submitted_again(
    floor: Floor, of: Callable[[str], Deed]
) -> None:
    floor.training("job")
    deed = of("job")
    floor.end("job", "Completed")

    assert restarted(deed) == "job has come to its end by itself, so nothing was submitted"
    assert floor.names() == ["job"]


def test_an_older_job_of_the_new_name_is_no_restart(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    floor.training(again(deed))
    deed.act()
    floor.wait()
    at = (NOW - 40 * HOUR).isoformat()
    floor.box.patch("sagemaker", ["training_jobs", again(deed)], CreationTime=at)

    with pytest.raises(CannotActError, match="an older job has the name"):
        deed.undo()


def test_a_built_in_algorithm_defines_its_own_metrics(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    deed.act()
    floor.wait()
    refusal = "You can't override the metric definitions for Amazon SageMaker algorithms."
    floor.box.fault(
        "sagemaker", "CreateTrainingJob", "error", status=400, code="ValidationException", message=refusal
    )
    deed.undo()

    assert "MetricDefinitions" not in floor.job(again(deed))["AlgorithmSpecification"]


def test_nothing_secret_is_said(floor: Floor, of: Callable[[str], Deed]) -> None:
    floor.training("job")
    deed = of("job")
    deed.act()
    floor.wait()
    refusal = f"Value '{{token={SECRET}}}' at 'hyperParameters' failed to satisfy constraint"
    floor.box.fault(
        "sagemaker", "CreateTrainingJob", "error", status=400, code="ValidationException", message=refusal
    )

    with pytest.raises(CannotActError, match=r"refuses it \(ValidationException\)") as caught:
        deed.undo()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_unreadable_checkpoints_hold_it_back(floor: Floor, of: Callable[[str], Deed], aws: Aws) -> None:
    floor.training("job", CheckpointConfig={"S3Uri": "s3://ckpt/job"})
    deed = of("job")
    candidate = deed.detector.look(aws, deed.target, NOW)
    floor.box.fault("s3", "ListObjectsV2", "deny")

    with pytest.raises(ReadError, match="AccessDenied"):
        deed.detector.prepare(aws, candidate, {})


def test_what_runs_no_longer_is_not_prepared(floor: Floor, of: Callable[[str], Deed], aws: Aws) -> None:
    floor.training("job")
    deed = of("job")
    candidate = deed.detector.look(aws, deed.target, NOW)
    floor.sagemaker.stop_training_job(TrainingJobName="job")

    with pytest.raises(CannotActError, match="it is Stopping now"):
        deed.detector.prepare(aws, candidate, {})


def test_a_dry_run_cannot_stop_it(floor: Floor, of: Callable[[str], Deed], aws: Aws) -> None:
    floor.training("job")
    deed = of("job")

    with pytest.raises(PermissionError, match="changes something"):
        deed.detector.act(aws, deed.target, deed.record, Memory())
    assert floor.status("job") == "InProgress"
