"""What is made of processing, transform and tuning jobs, and of warm pools; boundaries included."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from conftest import DAY, HOUR, MINUTE, NOW, SECOND
from fakes import target_at
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.s3 import NewestObject
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Finding,
    Kept,
    NotRead,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.detectors.hung_training_jobs import reading
from ml_janitor.detectors.hung_training_jobs.jobs import (
    PROCESSING_JOB_KIND,
    TRANSFORM_JOB_KIND,
    HostLoad,
    JobKind,
    LoadSpan,
    RunningJob,
)
from ml_janitor.detectors.hung_training_jobs.progress import LogRhythm, ProgressSigns
from ml_janitor.detectors.hung_training_jobs.reading import SuspectJob, SuspectTuner, TuningJob
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.detector import CannotActError
from narrowing import not_none, of_type
from tables import cases
from verdicts import word

REFUSED = Unreadable("AccessDenied: no", "call")
DOLLAR = Price(Decimal(1), "Price List API")

REST, FULL, BUSY, THREAD = LoadSpan(0, 1), LoadSpan(1599, 1600), LoadSpan(100, 900), LoadSpan(100, 101)


def target(kind: str, name: str = "nightly") -> Target:
    return target_at(f"{kind}/{name}", NOW - 40 * HOUR)


def job(kind: JobKind, **changed: Any) -> RunningJob:
    usual: dict[str, Any] = {
        "kind": kind,
        "name": "nightly",
        "created": NOW - 40 * HOUR,
        "status": "InProgress",
        "phase": kind.working,
        "started": NOW - 39 * HOUR,
        "counted_from": NOW - 39 * HOUR,
        "groups": (("ml.m5.4xlarge", 1),),
        "writes_to": (),
    }
    return RunningJob(**(usual | changed))


def silent(
    of: RunningJob,
    *,
    cpu: Signal[LoadSpan] | LoadSpan = REST,
    gpu: Signal[LoadSpan] | LoadSpan = Absent(),  # noqa: B008 - frozen
    newest: Signal[NewestObject | None] = NotRead(),  # noqa: B008 - frozen
    quiet: timedelta = 20 * HOUR,
) -> SuspectJob:
    """One that says nothing any more; its load is *cpu* and *gpu*."""
    load = HostLoad(
        host="nightly/h",
        cpu=Value(cpu) if isinstance(cpu, LoadSpan) else cpu,
        gpu=Value(gpu) if isinstance(gpu, LoadSpan) else gpu,
    )
    return SuspectJob(
        target=target(of.kind.of.type),
        job=Value(of),
        signs=ProgressSigns(
            rhythm=Value(LogRhythm(last=NOW - quiet, longest_pause=Value(MINUTE))),
            newest=newest,
            loads=Value((load,)),
        ),
        price=DOLLAR,
    )


def decide(candidate: SuspectJob | SuspectTuner, **tunables: Any) -> Verdict:
    return HungTrainingJobs(**tunables).decide(candidate, NOW)


OTHERS = pytest.mark.parametrize(
    "kind", [PROCESSING_JOB_KIND, TRANSFORM_JOB_KIND], ids=lambda kind: kind.of.type
)

# --- processing and transform jobs -------------------------------------------------------------


@OTHERS
@cases(
    "cpu, expected",
    (REST, "likely"),  # it may wait for a query
    (LoadSpan(0, 50), "likely"),  # half a thread
    (LoadSpan(0, 51), "kept"),
    (FULL, "kept"),  # no collective spins here: this is work
    (THREAD, "kept"),
    (BUSY, "kept"),
    (Absent(), "kept"),  # until a day has passed
    (REFUSED, "unknown"),
)
def test_only_hosts_at_rest_hang(kind: JobKind, cpu: Signal[LoadSpan] | LoadSpan, expected: str) -> None:
    assert word(decide(silent(job(kind), cpu=cpu))) == expected


@OTHERS
@cases(
    "gpu, cpu, expected",
    (LoadSpan(0, 1), LoadSpan(0, 20), "likely"),
    (LoadSpan(0, 1), THREAD, "kept"),  # a single thread works, and leaves the GPU alone
    (LoadSpan(99, 100), LoadSpan(0, 20), "kept"),
    (Absent(), LoadSpan(0, 20), "kept"),
)
def test_with_a_gpu_the_cpu_must_rest_too(kind: JobKind, gpu: LoadSpan, cpu: LoadSpan, expected: str) -> None:
    of = job(kind, groups=(("ml.g4dn.xlarge", 1),))

    assert word(decide(silent(of, gpu=gpu, cpu=cpu))) == expected


@OTHERS
@cases(
    "instance, cpu, expected",
    ("ml.m5.large", LoadSpan(0, 10), "likely"),  # 5 percent of 2 vCPUs
    ("ml.m5.large", LoadSpan(0, 10.1), "kept"),
    ("ml.m5.24xlarge", THREAD, "kept"),  # 1 percent of 96 vCPUs, and yet one thread at work
    ("ml.m5.24xlarge", LoadSpan(0, 51), "kept"),
)
def test_one_thread_on_a_large_host_works(kind: JobKind, instance: str, cpu: LoadSpan, expected: str) -> None:
    assert word(decide(silent(job(kind, groups=((instance, 1),)), cpu=cpu))) == expected


def test_a_full_load_is_not_called_rest() -> None:
    assert (
        decide(silent(job(PROCESSING_JOB_KIND), cpu=FULL)).reason
        == "silent, but the load of h is not at rest"
    )


@OTHERS
@pytest.mark.parametrize(("quiet", "expected"), [(6 * HOUR, "likely"), (6 * HOUR - SECOND, "kept")])
def test_six_hours_of_silence(kind: JobKind, quiet: timedelta, expected: str) -> None:
    assert word(decide(silent(job(kind), quiet=quiet))) == expected


@OTHERS
@pytest.mark.parametrize(("quiet", "expected"), [(24 * HOUR, "likely"), (24 * HOUR - SECOND, "kept")])
def test_without_metrics_it_takes_a_day(kind: JobKind, quiet: timedelta, expected: str) -> None:
    assert word(decide(silent(job(kind), cpu=Absent(), quiet=quiet))) == expected


@OTHERS
@cases(
    "newest, expected",
    (Value(None), "likely"),
    (Value(NewestObject("s3://out/9", NOW - 6 * HOUR)), "likely"),
    (Value(NewestObject("s3://out/9", NOW - 6 * HOUR + SECOND)), "kept"),
    (REFUSED, "unknown"),
    (NotRead(), "unknown"),
)
def test_new_outputs_are_progress(kind: JobKind, newest: Signal[NewestObject | None], expected: str) -> None:
    assert word(decide(silent(job(kind, writes_to=("s3://out/",)), newest=newest))) == expected


def test_what_has_no_folder_to_write_to_is_judged_without() -> None:
    verdict = of_type(Finding, decide(silent(job(PROCESSING_JOB_KIND))))

    assert verdict.reason == (
        "this processing job logged nothing for 20 hours (its longest pause before was 1 minute)"
        " and its host is idle (it may be waiting for a query, another job or a person); $1.00 an hour"
    )
    assert "it has no folder in S3 to write to, so that says nothing" in verdict.steps
    assert "newest object" not in {one.signal for one in verdict.evidence}


@OTHERS
def test_no_limit_is_not_called_a_limit_that_was_kept(kind: JobKind) -> None:
    assert "it has no limit of its own" in decide(silent(job(kind))).steps
    limited = decide(silent(job(kind, max_runtime=4 * DAY)))
    assert "not more than 60 minutes past its own limit" in limited.steps


@OTHERS
def test_waiting_for_instances_costs_nothing(kind: JobKind) -> None:
    verdict = decide(silent(job(kind, phase="Starting", started=None)))

    assert word(verdict) == "kept"
    assert verdict.reason == "Starting for 40 hours: waiting for instances costs nothing"


@OTHERS
@pytest.mark.parametrize("status", ["Stopping", "Stopped", "Completed", "Failed"])
def test_what_ended_meanwhile_is_kept(kind: JobKind, status: str) -> None:
    assert word(decide(silent(job(kind, status=status)))) == "kept"


@cases(
    "watched, expected, reason",
    ("InProgress", "kept", "it watches the training job big (a Debugger or profiler rule), which runs"),
    ("Stopping", "kept", "it watches the training job big (a Debugger or profiler rule), which runs"),
    ("Completed", "likely", "this processing job logged nothing for 20 hours"),
    ("Stopped", "likely", "this processing job logged nothing for 20 hours"),
    (REFUSED, "unknown", "it watches the training job big, and whether that runs could not be read"),
    (Absent(), "unknown", "it watches the training job big, and whether that runs could not be read"),
    (NotRead(), "unknown", "it watches the training job big, and whether that runs could not be read"),
)
@pytest.mark.parametrize("late", [False, True])
def test_a_rule_of_debugger_rests_while_nothing_is_wrong(
    watched: Signal[RunningJob] | str,
    expected: str,
    reason: str,
    late: bool,  # noqa: FBT001 - a parameter
) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/big"
    of = job(PROCESSING_JOB_KIND, watches=arn, max_runtime=HOUR if late else None)
    seen = (
        Value(job(reading.TRAINING_JOB_KIND, name="big", status=watched))
        if isinstance(watched, str)
        else watched
    )
    verdict = decide(replace(silent(of), watched=seen))

    assert word(verdict) == ("proven" if late and expected == "likely" else expected)
    assert late or verdict.reason.startswith(reason)
    (shown,) = (one for one in verdict.evidence if one.signal == "watches")
    assert shown.error == (REFUSED.error if seen is REFUSED else None)
    over = f"the training job that it watches is over ({watched})"
    assert (over in verdict.steps) is (expected == "likely")


@OTHERS
@cases("signal, expected", (REFUSED, "unknown"), (NotRead(), "unknown"), (Absent(), "kept"))
def test_nothing_is_known_undescribed(kind: JobKind, signal: Signal[RunningJob], expected: str) -> None:
    assert word(decide(SuspectJob(target=target(kind.of.type), job=signal))) == expected


@pytest.mark.parametrize(("limit", "expected"), [(38 * HOUR, "kept"), (38 * HOUR - SECOND, "proven")])
def test_a_processing_job_may_not_pass_its_own_limit(limit: timedelta, expected: str) -> None:
    verdict = decide(silent(job(PROCESSING_JOB_KIND, max_runtime=limit), quiet=MINUTE))

    assert word(verdict) == expected
    if expected == "proven":
        assert verdict.reason.startswith(
            "this processing job is processing 60 minutes after the end of its own limit of 37 hours"
        )


@cases(
    "cpu, quiet, expected",
    (BUSY, 20 * HOUR, "likely"),
    (REST, MINUTE, "likely"),
    (REST, 20 * HOUR, "likely"),  # it rests besides
    (REFUSED, 20 * HOUR, "unknown"),
)
def test_its_beginning_is_unknown(cpu: Signal[LoadSpan] | LoadSpan, quiet: timedelta, expected: str) -> None:
    of = job(PROCESSING_JOB_KIND, max_runtime=30 * HOUR, downloads=True)

    verdict = decide(silent(of, cpu=cpu, quiet=quiet))

    assert word(verdict) == expected
    if expected == "likely":
        assert verdict.reason.startswith(
            "this processing job is processing 9 hours after the end of its own limit of 30 hours"
            " (MaxRuntimeInSeconds), unless that began only when its inputs had been downloaded"
        )


@cases(
    "kind, action",
    (reading.TRAINING_JOB_KIND, "stop the job (artifacts written so far stay) and end its warm pool"),
    (PROCESSING_JOB_KIND, "stop the job (outputs uploaded so far stay)"),
    (TRANSFORM_JOB_KIND, "stop the job (its output is discarded)"),
    ids=lambda value: value.of.type if isinstance(value, JobKind) else "",
)
def test_what_would_be_done_and_what_it_has_cost(kind: JobKind, action: str) -> None:
    verdict = of_type(Finding, decide(silent(job(kind, writes_to=("s3://out/",)), newest=Value(None))))

    assert verdict.action == action
    assert verdict.cost is not None
    assert (verdict.cost.accrued_usd, verdict.cost.monthly_usd) == (Decimal(39), None)


# --- warm pools --------------------------------------------------------------------------------


def pool(unused: timedelta | None, **changed: Any) -> SuspectJob:
    usual: dict[str, Any] = {
        "status": "Completed",
        "phase": "Completed",
        "ended": None if unused is None else NOW - unused,
        "pool": "Available",
        "keep_alive": 6 * HOUR,
        "groups": (("ml.g5.2xlarge", 2),),
    }
    of = job(reading.TRAINING_JOB_KIND, **(usual | changed))
    return SuspectJob(target=target("training-job"), job=Value(of), price=DOLLAR)


@cases(
    "unused, expected",
    (MINUTE, "kept"),
    (HOUR - SECOND, "kept"),
    (HOUR, "proven"),
    (5 * HOUR, "proven"),
    (7 * HOUR, "proven"),
    (None, "unknown"),
)
def test_a_pool_may_wait_for_an_hour(unused: timedelta | None, expected: str) -> None:
    verdict = decide(pool(unused))

    assert word(verdict) == expected
    assert ("unused for" in verdict.reason) is (unused is not None)


def test_the_patience_with_pools_is_tunable() -> None:
    assert word(decide(pool(2 * HOUR), pool_patience=2 * HOUR)) == "proven"
    assert word(decide(pool(2 * HOUR - SECOND), pool_patience=2 * HOUR)) == "kept"
    assert getattr(decide(pool(2 * HOUR), grace_pool=MINUTE), "grace", None) == MINUTE


@pytest.mark.parametrize("status", ["InUse", "Reused", "Terminated", None, "NeverHeardOf"])
def test_a_pool_that_does_not_wait_is_kept(status: str | None) -> None:
    verdict = decide(pool(5 * HOUR, pool=status))

    assert word(verdict) == "kept"
    assert verdict.reason == "no longer in progress (Completed)"


def test_a_job_in_progress_has_no_pool_that_waits() -> None:
    assert word(decide(pool(5 * HOUR, status="InProgress", phase="Uploading"))) == "kept"


def test_a_pool_is_told_in_full() -> None:
    verdict = of_type(Finding, decide(pool(90 * MINUTE)))

    assert verdict.reason == (
        "the warm pool of this training job (2 x ml.g5.2xlarge) waits for another job, unused for 90 minutes"
        " and until 2026-10-06 07:30 UTC; $1.00 an hour"
    )
    assert verdict.action == "end the warm pool (the job itself is over, and what it made stays)"
    assert verdict.confidence is Confidence.PROVEN
    assert verdict.since == NOW - 90 * MINUTE
    assert verdict.grace == 15 * MINUTE
    assert not_none(verdict.cost).accrued_usd == Decimal("1.5")
    assert {one.signal: one.value for one in verdict.evidence} == {
        "status": "Completed, warm pool Available",
        "instances": "2 x ml.g5.2xlarge",
        "warm pool unused for": "90 minutes",
        "kept alive until": "2026-10-06 07:30 UTC",
    }
    assert verdict.steps[0] == "no job has used its warm pool for 60 minutes or more"


@cases(
    "changed, expected, reason",
    ({"pool": "Available"}, "proven", "was stopped because it hung, and leaves a warm pool; $1.00 an hour"),
    ({"pool": "InUse"}, "proven", "was stopped because it hung, and leaves a warm pool; $1.00 an hour"),
    ({"pool": "Reused"}, "kept", "it was stopped, and left no warm pool"),
    ({"pool": None}, "kept", "it was stopped, and left no warm pool"),
    ({"status": "InProgress", "phase": "Uploading"}, "kept", "not in training but Uploading"),
)
def test_the_pool_of_a_stopped_job_is_waste(changed: dict[str, Any], expected: str, reason: str) -> None:
    verdict = decide(replace(pool(MINUTE, **{"status": "Stopped", **changed}), unfinished=True))

    assert (word(verdict), reason in verdict.reason) == (expected, True)
    assert "status" in {one.signal for one in verdict.evidence}


@pytest.mark.parametrize(("what", "unfinished"), [("job", True), ("warm pool", False)])
def test_only_stopped_jobs_leave_one(monkeypatch: pytest.MonkeyPatch, what: str, *, unfinished: bool) -> None:
    one = pool(HOUR)
    monkeypatch.setattr(HungTrainingJobs, "look", lambda *_: one)

    found = HungTrainingJobs().look_unfinished(cast("Aws", None), one.target, {"what": what}, NOW)

    assert found == replace(one, unfinished=unfinished)


def test_what_is_not_submitted_again_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, one = HungTrainingJobs(), pool(HOUR).target
    monkeypatch.setattr(f"{HungTrainingJobs.__module__}.ended_otherwise", lambda *_: "it failed")

    assert rule.ended_otherwise(cast("Aws", None), one, {}) == "it failed"
    assert rule.reverted_arn(one, {"what": "warm pool"}) == one.arn
    with pytest.raises(CannotActError):
        rule.revert_effect(one, {"what": "warm pool"})


# --- tuning jobs -------------------------------------------------------------------------------

DEADLOCKED = job(reading.TRAINING_JOB_KIND, groups=(("ml.g5.12xlarge", 1),))
PROVEN = silent(DEADLOCKED, gpu=LoadSpan(400, 400))
LIKELY = silent(job(reading.TRAINING_JOB_KIND), cpu=Absent(), quiet=30 * HOUR)
WORKS = silent(job(reading.TRAINING_JOB_KIND), cpu=BUSY)
UNKNOWN = silent(job(reading.TRAINING_JOB_KIND), cpu=REFUSED)


def tuner(
    *children: SuspectJob, status: Signal[TuningJob] | str = "InProgress", listed: Signal[Any] | None = None
) -> SuspectTuner:
    named = tuple(
        replace(one, target=target("training-job", f"trial-{n}")) for n, one in enumerate(children, 1)
    )
    return SuspectTuner(
        target=target(reading.TUNER_KIND, "sweep"),
        tuner=Value(TuningJob(created=NOW - DAY, status=status)) if isinstance(status, str) else status,
        children=Value(named) if listed is None else listed,
    )


@cases(
    "children, expected",
    ([], "kept"),
    ([PROVEN], "proven"),
    ([PROVEN, PROVEN], "proven"),
    ([PROVEN, LIKELY], "likely"),  # as sure as the least sure of them
    ([LIKELY, PROVEN], "likely"),
    ([PROVEN, WORKS], "kept"),
    ([PROVEN, UNKNOWN], "unknown"),
    ([UNKNOWN, WORKS], "kept"),
    ([WORKS], "kept"),
)
def test_a_tuner_hangs_when_every_running_child_does(children: list[SuspectJob], expected: str) -> None:
    assert word(decide(tuner(*children))) == expected


@pytest.mark.parametrize("listed", [REFUSED, NotRead(), Absent()])
def test_children_that_could_not_be_listed_may_work(listed: Signal[Any]) -> None:
    verdict = decide(tuner(listed=listed))

    assert word(verdict) == "unknown"
    assert verdict.reason == "its running children could not be listed"


@cases(
    "status, expected",
    ("Stopping", "kept"),
    ("Completed", "kept"),
    (Absent(), "kept"),
    (REFUSED, "unknown"),
    (NotRead(), "unknown"),
)
def test_a_tuner_must_be_in_progress(status: Signal[TuningJob] | str, expected: str) -> None:
    assert word(decide(tuner(PROVEN, status=status))) == expected


def test_what_the_children_cost_is_counted_once() -> None:
    verdict = decide(tuner(PROVEN, silent(DEADLOCKED, gpu=LoadSpan(400, 400), quiet=9 * HOUR)))

    assert isinstance(verdict, Finding)
    assert verdict.cost is None
    assert verdict.reason == (
        "every running child of this tuning job hangs (trial-1, trial-2); what they cost is counted with them"
    )
    assert verdict.action == (
        "stop the tuning job, and with it its running children (artifacts written so far stay)"
    )
    assert verdict.since == NOW - 9 * HOUR  # since then all of them hang


def test_a_tuner_shows_what_is_made_of_each_child() -> None:
    seen = {one.value for one in decide(tuner(WORKS, UNKNOWN)).evidence if one.signal == "child"}

    assert seen == {
        "trial-1: silent, but the load of h varies like work",
        "trial-2: its load could not be read, so it may be working",
    }


@cases(
    "candidate, expected",
    (tuner(PROVEN), {("status", "InProgress", None), ("running children", 1, None)}),
    (tuner(status=REFUSED), {("description", None, REFUSED.error)}),
    (tuner(listed=REFUSED), {("running children", None, REFUSED.error)}),
)
def test_what_was_read_of_a_tuner_is_shown(candidate: SuspectTuner, expected: set[Any]) -> None:
    verdict = decide(candidate)

    assert expected <= {(one.signal, one.value, one.error) for one in verdict.evidence}
    assert ("every running child hangs" in verdict.steps) is isinstance(verdict, Finding)


def test_a_tuner_that_works_says_who_does() -> None:
    assert decide(tuner(PROVEN, WORKS, UNKNOWN)).reason == "1 of 3 running children do not hang (trial-2)"
    assert decide(tuner(PROVEN, UNKNOWN)).reason == (
        "whether its running children hang is not known (trial-2)"
    )
    assert decide(tuner()).reason == "none of its children is running, so nothing is billed"


def test_a_child_says_whose_it_is() -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/sweep"
    verdict = decide(silent(job(reading.TRAINING_JOB_KIND, tuner=arn)))

    assert isinstance(verdict, Finding | Kept)
    assert ("tuning job", "sweep") in {(one.signal, one.value) for one in verdict.evidence}
