"""Hung jobs are stopped and submitted again, warm pools ended; on a bad day too."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from conftest import NOW
from job_seed import GROUPS, HOUR, SECRET, Floor
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import SageMakerKind
from ml_janitor.core.model import Finding, finding_id
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from narrowing import of_type
from recorded_acts import Memory, RecordedAct, found, prepared

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
def of(aws: Aws) -> Callable[[str], RecordedAct]:
    """What is to be done about the job of a name."""
    return lambda name: prepared(HungTrainingJobs(), aws, found(HungTrainingJobs(), aws, name))


def again(recorded: RecordedAct) -> str:
    """The name under which its job is submitted again."""
    return f"{recorded.target.name}-r{finding_id('hung-training-jobs', recorded.target.key)[:6]}"


def same(job: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in job.items() if member not in GENERATED}


@pytest.mark.parametrize("kind", list(GROUPS))
def test_a_job_is_stopped_and_submitted_again_as_it_was(
    floor: Floor, of: Callable[[str], RecordedAct], kind: str
) -> None:
    getattr(floor, kind.removesuffix("-job"))("job")
    before = same(floor.job("job", kind))
    recorded = of("job")
    assert not recorded.settled()

    recorded.act()
    assert floor.status("job", kind) == "Stopping"
    assert recorded.settled()
    with pytest.raises(NotFinishedError, match="still stopping"):
        recorded.undo()
    floor.wait()
    assert floor.status("job", kind) == "Stopped"
    assert recorded.settled()
    recorded.undo()

    assert same(floor.job(again(recorded), kind)) == before
    assert floor.status("job", kind) == "Stopped"


def test_the_new_one_has_the_tags_of_the_old(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("job")
    recorded = of("job")
    recorded.act()
    floor.wait()
    recorded.undo()

    arn = floor.job(again(recorded))["TrainingJobArn"]
    assert floor.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "maria"}]


def test_where_it_begins_is_said(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("none")
    for name in ("empty", "saved"):
        floor.training(name, CheckpointConfig={"S3Uri": f"s3://ckpt/{name}"})
    floor.checkpoint("saved/step-1", 25 * HOUR)
    floor.checkpoint("saved/step-2", 24 * HOUR)
    floor.checkpoint("saved-by-another/newer", 23 * HOUR)
    said = {}
    for recorded in map(of, ("none", "empty", "saved")):
        recorded.act()
        floor.wait()
        said[recorded.target.name] = (recorded.undo() or "").replace(again(recorded), "ANOTHER")
        assert floor.job(again(recorded)).get("CheckpointConfig") == floor.job(recorded.target.name).get(
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


def test_the_warm_pool_of_a_stopped_job_is_ended_too(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("job", keep_alive=3600)
    before = same(floor.job("job"))
    recorded = of("job")
    memory = Memory()

    with pytest.raises(NotFinishedError, match="when it has stopped"):
        recorded.act(memory)
    assert (memory.done, recorded.settled()) == (["stop"], False)
    floor.wait()
    assert (floor.pool("job"), recorded.settled()) == ("Available", False)
    recorded.act(memory)

    assert memory.done == ["stop", "end the warm pool"]
    assert (floor.pool("job"), recorded.settled()) == ("Terminated", True)
    recorded.undo()
    assert same(floor.job(again(recorded))) == before


def test_what_is_half_done_is_waste_until_its_pool_is_ended(
    floor: Floor, of: Callable[[str], RecordedAct], aws: Aws
) -> None:
    floor.training("job", keep_alive=3600)
    recorded = of("job")

    def verdict() -> object:
        candidate = recorded.detector.look_unfinished(
            aws, recorded.target, recorded.record, floor.box.clock()
        )
        return recorded.detector.decide(candidate, floor.box.clock())

    assert isinstance(verdict(), Finding)
    with pytest.raises(NotFinishedError):
        recorded.act()
    stopping = of_type(Finding, verdict())
    assert "leaves a warm pool" in stopping.reason
    floor.wait()
    assert isinstance(verdict(), Finding)
    recorded.act()
    assert not isinstance(verdict(), Finding)


def test_a_pool_that_another_job_took_over_is_left_to_it(
    floor: Floor, of: Callable[[str], RecordedAct]
) -> None:
    floor.training("job", keep_alive=3600)
    recorded = of("job")
    with pytest.raises(NotFinishedError):
        recorded.act()
    floor.wait()
    floor.box.patch("sagemaker", ["training_jobs", "job"], warm_pool_status={"Status": "Reused"})
    assert recorded.settled()
    recorded.act()

    assert "sagemaker:UpdateTrainingJob" not in floor.box.calls()


def test_a_warm_pool_is_ended_and_does_not_come_back(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.unused_pool("job")
    recorded = of("job")
    assert recorded.record == {"what": "warm pool", "keep_alive": 6 * 3600}
    nothing = "nothing had been done to job, so nothing was submitted"
    assert (recorded.settled(), recorded.undo()) == (False, nothing)

    floor.box.fault("sagemaker", "UpdateTrainingJob", "lost-reply")
    recorded.act()
    recorded.act()

    assert (floor.pool("job"), recorded.settled()) == ("Terminated", True)
    assert "sagemaker:StopTrainingJob" not in floor.box.calls()
    with pytest.raises(CannotActError, match="a warm pool does not come back"):
        recorded.undo()


def test_a_tuning_job_goes_with_its_children_and_is_not_run_twice(
    floor: Floor, of: Callable[[str], RecordedAct]
) -> None:
    floor.tuner("search", "one", "two")
    recorded = of("search")
    assert recorded.record == {"what": "tuning job"}

    recorded.act()
    floor.wait()

    assert [floor.status(name) for name in ("one", "two")] == ["Stopped", "Stopped"]
    assert recorded.settled()
    with pytest.raises(CannotActError, match="WarmStartConfig that names search as its parent"):
        recorded.undo()


def test_a_hung_child_is_stopped_alone(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.tuner("search", "one", "two")
    recorded = of("one")

    recorded.act()
    floor.wait()
    recorded.undo()

    assert (floor.status("one"), floor.status("two")) == ("Stopped", "InProgress")
    assert "TuningJobArn" not in floor.job(again(recorded))


def test_one_that_ends_between_the_look_and_the_call_is_changed_too(
    floor: Floor, of: Callable[[str], RecordedAct], monkeypatch: pytest.MonkeyPatch
) -> None:
    floor.training("job")
    recorded = of("job")
    call = SageMakerKind.call

    def late(self: SageMakerKind, aws: Aws, verb: str) -> object:
        if verb == "Stop":
            floor.end("job", "Completed")
        return call(self, aws, verb)

    monkeypatch.setattr(SageMakerKind, "call", late)
    with pytest.raises(CannotActError, match="it ended by itself: Completed"):
        recorded.act()


def test_already_stopped_and_already_gone_are_success(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("job")
    recorded = of("job")
    floor.sagemaker.stop_training_job(TrainingJobName="job")
    recorded.act()
    floor.wait()
    recorded.act()
    assert recorded.settled()

    assert floor.box.calls()["sagemaker:StopTrainingJob"] == 1


def test_a_built_in_algorithm_defines_its_own_metrics(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("job")
    recorded = of("job")
    recorded.act()
    floor.wait()
    refusal = "You can't override the metric definitions for Amazon SageMaker algorithms."
    floor.box.fault(
        "sagemaker", "CreateTrainingJob", "error", status=400, code="ValidationException", message=refusal
    )
    recorded.undo()

    assert "MetricDefinitions" not in floor.job(again(recorded))["AlgorithmSpecification"]


def test_nothing_secret_is_said(floor: Floor, of: Callable[[str], RecordedAct]) -> None:
    floor.training("job")
    recorded = of("job")
    recorded.act()
    floor.wait()
    refusal = f"Value '{{token={SECRET}}}' at 'hyperParameters' failed to satisfy constraint"
    floor.box.fault(
        "sagemaker", "CreateTrainingJob", "error", status=400, code="ValidationException", message=refusal
    )

    with pytest.raises(CannotActError, match=r"refuses it \(ValidationException\)") as caught:
        recorded.undo()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_unreadable_checkpoints_hold_it_back(
    floor: Floor, of: Callable[[str], RecordedAct], aws: Aws
) -> None:
    floor.training("job", CheckpointConfig={"S3Uri": "s3://ckpt/job"})
    recorded = of("job")
    candidate = recorded.detector.look(aws, recorded.target, NOW)
    floor.box.fault("s3", "ListObjectsV2", "deny")

    with pytest.raises(ReadError, match="AccessDenied"):
        recorded.detector.prepare(aws, candidate, {})
