"""What is made of training, processing, transform and tuning jobs and warm pools, signal by signal."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from conftest import DAY, HOUR, MINUTE, NOW, SECOND
from fakes import target_at
from ml_janitor.aws.activity import LogNotRead
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.rented_instances import RentedInstances
from ml_janitor.aws.s3 import NewestObject
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
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
    finding_id,
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
from ml_janitor.detectors.hung_training_jobs.rule import (
    HungTrainingJobs,
    _exists,
    _without_secrets,
    restart_request,
    restarted_name,
)
from ml_janitor.engine.detector import CannotActError
from narrowing import not_none, of_type
from scripted import Refusal, Script, Torn
from tables import cases
from verdicts import word

NAME = "llama-pretrain"
REFUSED = Unreadable("AccessDenied: no", "call")

TARGET = target_at(f"training-job/{NAME}", NOW - 265 * HOUR)
JOB = RunningJob(
    kind=reading.TRAINING_JOB_KIND,
    name=NAME,
    created=NOW - 265 * HOUR,
    status="InProgress",
    phase="Training",
    phase_since=NOW - 264 * HOUR,
    started=NOW - 264 * HOUR,
    counted_from=NOW - 264 * HOUR,
    max_runtime=28 * DAY,
    max_wait=None,
    groups=(RentedInstances("ml.p3.8xlarge", 4),),
    writes_to=(f"s3://models/{NAME}/",),
)
ON_CPU = replace(JOB, groups=(RentedInstances("ml.m5.4xlarge", 1),))

FULL, REST, BUSY, HALF = (LoadSpan(398, 400), LoadSpan(0, 1), LoadSpan(40, 390), LoadSpan(200, 201))
SPINNING = LoadSpan(410, 440)
"""A thread for each GPU, of 32 vCPUs."""
QUIET = LoadSpan(0, 20)


def host(n: int, gpu: Signal[LoadSpan] | LoadSpan, cpu: Signal[LoadSpan] | LoadSpan = SPINNING) -> HostLoad:
    return HostLoad(
        host=f"{NAME}/algo-{n}",
        cpu=Value(cpu) if isinstance(cpu, LoadSpan) else cpu,
        gpu=Value(gpu) if isinstance(gpu, LoadSpan) else gpu,
    )


CHANGED: Signal[timedelta] = Value(55 * MINUTE)
"""How long the GPUs stood at the level of the silence while the job still logged."""


def hung(
    *hosts: HostLoad,
    job: Signal[RunningJob] | RunningJob = JOB,
    silent: timedelta = 200 * HOUR,
    pause: Signal[timedelta] | timedelta = 10 * MINUTE,
    wrote: Signal[NewestObject | None] | timedelta | None = None,
    price: Price = Price(Decimal("58.752"), "Price List API"),  # noqa: B008 - frozen
    levels: Mapping[str, Signal[timedelta]] | None = None,
) -> SuspectJob:
    """A silent job on *hosts*, whose load changed when its log ended, unless *levels* say something else."""
    longest = Value(pause) if isinstance(pause, timedelta) else pause
    newest: Signal[NewestObject | None]
    match wrote:
        case None:
            newest = Value(None)
        case timedelta():
            newest = Value(NewestObject("s3://models/ckpt/7", NOW - wrote))
        case signal:
            newest = signal
    loads = hosts or tuple(host(n, FULL) for n in range(1, 5))
    return SuspectJob(
        target=TARGET,
        job=Value(job) if isinstance(job, RunningJob) else job,
        signs=ProgressSigns(
            rhythm=Value(LogRhythm(last=NOW - silent, longest_pause=longest)),
            newest=newest,
            loads=Value(loads),
            logged_levels={each.host: CHANGED for each in loads} if levels is None else levels,
        ),
        price=price,
    )


def with_signs(candidate: SuspectJob, **changed: Any) -> SuspectJob:
    return replace(candidate, signs=replace(candidate.signs, **changed))


def decide(candidate: SuspectJob | SuspectTuner, **tunables: Any) -> Verdict:
    return HungTrainingJobs(**tunables).decide(candidate, NOW)


def test_a_job_whose_log_is_not_read_is_likely_at_most_and_only_reported() -> None:
    """Neither a known rhythm nor an overrun of its limit proves it then."""
    late = replace(JOB, max_runtime=DAY)
    for candidate in (hung(), hung(job=late), hung(pause=LogNotRead())):
        verdict = decide(candidate, read_logs=False)
        assert (word(verdict), getattr(verdict, "spared", "") != "") == ("likely", True)
    assert word(decide(hung(silent=24 * HOUR - MINUTE, pause=LogNotRead()), read_logs=False)) == "kept"
    grants = HungTrainingJobs(read_logs=False).reads
    assert not [grant for grant in grants if grant.action == "logs:GetLogEvents"]


# --- silence, outputs, load, limits ------------------------------------------------------------


def on(kind: str, *hosts: HostLoad, **more: Any) -> SuspectJob:
    """A job on *hosts* of that instance type."""
    return hung(*hosts, job=replace(JOB, groups=(RentedInstances(kind, len(hosts)),)), **more)


def described_as(**changed: Any) -> SuspectJob:
    """A busy job whose description says something else."""
    return hung(host(1, BUSY), silent=MINUTE, job=replace(JOB, **changed))


P4, G5, THREADS = "ml.p4d.24xlarge", "ml.g5.2xlarge", LoadSpan(100, 110)
IDLE, OLD = LoadSpan(0, 0), replace(JOB, started=NOW - 27 * DAY, counted_from=NOW - 27 * DAY)


@cases(
    "candidate, expected",
    # how long it has been silent, against its own rhythm
    (hung(silent=-5 * MINUTE, pause=NotRead()), "kept"),  # a host whose clock is ahead
    (hung(silent=MINUTE, pause=NotRead()), "kept"),
    (hung(silent=6 * HOUR - SECOND, pause=NotRead()), "kept"),
    (hung(silent=6 * HOUR - SECOND, pause=MINUTE), "kept"),
    (hung(silent=6 * HOUR, pause=MINUTE), "proven"),
    (hung(silent=6 * HOUR, pause=2 * HOUR), "proven"),
    (hung(silent=6 * HOUR, pause=2 * HOUR + SECOND), "kept"),
    (hung(silent=30 * HOUR - SECOND, pause=10 * HOUR), "kept"),
    (hung(silent=30 * HOUR, pause=10 * HOUR), "proven"),
    (hung(silent=6 * HOUR, pause=Absent()), "kept"),
    (hung(silent=24 * HOUR - SECOND, pause=Absent()), "kept"),
    (hung(silent=24 * HOUR, pause=Absent()), "likely"),
    (hung(silent=200 * HOUR, pause=REFUSED), "unknown"),
    (hung(silent=200 * HOUR, pause=NotRead()), "unknown"),
    # what it writes
    (hung(wrote=None, pause=MINUTE), "proven"),
    (hung(wrote=-MINUTE, pause=MINUTE), "kept"),
    (hung(wrote=6 * HOUR - SECOND, pause=MINUTE), "kept"),
    (hung(wrote=6 * HOUR, pause=MINUTE), "proven"),
    (hung(wrote=30 * HOUR - SECOND, pause=10 * HOUR), "kept"),
    (hung(wrote=30 * HOUR, pause=10 * HOUR), "proven"),
    (hung(wrote=24 * HOUR - SECOND, pause=Absent()), "kept"),
    (hung(wrote=24 * HOUR, pause=Absent()), "likely"),
    (hung(wrote=REFUSED, pause=MINUTE), "unknown"),
    (hung(wrote=NotRead(), pause=MINUTE), "unknown"),
    # every host must stand still
    (hung(host(1, FULL)), "proven"),
    (hung(host(1, REST, QUIET)), "likely"),  # it may wait for something that is no collective
    (hung(host(1, REST, QUIET), host(2, REST, QUIET)), "likely"),
    (hung(host(1, REST, QUIET), host(2, FULL), host(3, FULL)), "proven"),
    (hung(host(1, REST), silent=6 * HOUR), "likely"),
    (on(G5, host(1, LoadSpan(99, 100)), silent=6 * HOUR), "likely"),
    (hung(host(1, REST), host(2, FULL), host(3, FULL)), "likely"),  # the others may wait for its CPU
    (hung(host(1, FULL), host(2, BUSY)), "kept"),
    (hung(host(1, FULL), host(2, HALF)), "proven"),  # two of four spin
    (hung(host(1, FULL), host(2, LoadSpan(240, 241))), "kept"),
    (hung(host(1, FULL, LoadSpan(300, 460))), "proven"),  # 160 of 3200, exactly the tolerance
    (hung(host(1, FULL, LoadSpan(300, 461))), "kept"),
    (hung(host(1, LoadSpan(360, 372))), "proven"),
    (hung(host(1, LoadSpan(359, 371))), "kept"),  # still, but not full
    (hung(host(1, FULL), host(2, REFUSED)), "unknown"),
    (hung(host(1, FULL), host(2, FULL, REFUSED)), "unknown"),
    (hung(host(1, BUSY), host(2, REFUSED)), "kept"),
    (hung(host(1, FULL), host(2, Absent())), "likely"),
    (hung(host(1, FULL), host(2, FULL, Absent())), "likely"),
    (hung(host(1, BUSY), host(2, Absent())), "kept"),
    (hung(host(1, Absent(), LoadSpan(100, 1000))), "kept"),
    (hung(host(1, FULL), host(2, LoadSpan(399, 400, HOUR + SECOND))), "likely"),
    (hung(host(1, FULL), host(2, LoadSpan(399, 400, HOUR))), "proven"),
    (hung(host(1, FULL), host(2, Absent(), Absent()), silent=24 * HOUR - SECOND), "kept"),
    (hung(host(1, FULL), host(2, Absent(), Absent()), silent=24 * HOUR), "likely"),
    (with_signs(hung(), loads=Value(())), "likely"),
    (with_signs(hung(), loads=NotRead()), "unknown"),
    (with_signs(hung(), loads=REFUSED), "unknown"),
    # full GPUs prove only in a group
    (on(G5, host(1, LoadSpan(99, 100), THREADS)), "likely"),  # no collective without another GPU
    (on(G5, *(host(n, LoadSpan(99, 100), THREADS) for n in (1, 2))), "proven"),
    (on("ml.p3.8xlarge", host(1, LoadSpan(399, 400), THREADS)), "proven"),
    (on(P4, host(1, LoadSpan(799, 800), THREADS)), "proven"),
    (on("ml.p3.8xlarge", host(1, LoadSpan(99, 100), QUIET), host(2, REST, QUIET)), "likely"),
    (on("ml.p3.8xlarge", *(host(n, LoadSpan(99, 100), QUIET) for n in (1, 2))), "proven"),
    # GPUs at rest are no proof
    (on(P4, host(1, IDLE, LoadSpan(0, 50)), silent=6 * HOUR), "likely"),  # half a thread of 96
    (on(P4, host(1, IDLE, LoadSpan(0, 51)), silent=6 * HOUR), "kept"),
    (on(P4, host(1, IDLE, LoadSpan(50, 51)), silent=6 * HOUR), "likely"),
    (on(P4, host(1, IDLE, LoadSpan(100, 101)), silent=6 * HOUR), "likely"),  # a thread computes, or spins
    (on(P4, host(1, IDLE, LoadSpan(100, 150)), silent=6 * HOUR), "likely"),
    (on(P4, host(1, IDLE, LoadSpan(100, 151)), silent=6 * HOUR), "kept"),
    (on(P4, host(1, IDLE, LoadSpan(100, 480)), silent=6 * HOUR), "kept"),  # four processes that tokenize
    (on(P4, host(1, IDLE, LoadSpan(9400, 9600)), silent=6 * HOUR), "kept"),  # all cores, preprocessing
    (on(P4, host(1, IDLE, LoadSpan(9590, 9600)), silent=6 * HOUR), "likely"),
    (on("ml.g5.xlarge", host(1, IDLE, LoadSpan(0, 20)), silent=6 * HOUR), "likely"),  # 5 % of 4 vCPUs
    (on("ml.g5.xlarge", host(1, IDLE, LoadSpan(1, 21)), silent=6 * HOUR), "likely"),
    (on("ml.g5.xlarge", host(1, IDLE, LoadSpan(380, 400)), silent=6 * HOUR), "likely"),
    (on("ml.g5.xlarge", host(1, IDLE, LoadSpan(300, 321)), silent=6 * HOUR), "kept"),
    # some GPUs of a host may spin while others rest
    (on(P4, host(1, LoadSpan(0, 24), QUIET)), "likely"),  # all rest
    (on(P4, host(1, LoadSpan(0.5, 24.2), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(97, 100), QUIET)), "likely"),  # a program made for one, or a deadlock of two
    (on(P4, host(1, LoadSpan(95, 98), QUIET)), "likely"),
    (on(P4, host(1, LoadSpan(94, 97), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(96, 99.1), QUIET)), "kept"),  # one at work: it varies less than eight may
    (on(P4, host(1, LoadSpan(119, 121), QUIET)), "likely"),  # one, and seven that are not quite at rest
    (on(P4, host(1, LoadSpan(119.5, 121.1), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(120, 122), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(192, 198), QUIET)), "proven"),  # at 96 percent
    (on(P4, host(1, LoadSpan(190, 196.1), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(189, 191), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(250, 252), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(672, 690), QUIET)), "proven"),  # the usual one: seven of eight at 96 percent
    (on(P4, host(1, LoadSpan(699, 700), QUIET)), "proven"),
    (on(P4, host(1, LoadSpan(664, 666), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(710, 719), QUIET)), "kept"),
    (on(P4, host(1, LoadSpan(720, 744), QUIET)), "proven"),
    (on(P4, host(1, LoadSpan(800, 824), QUIET)), "proven"),
    (on(P4, host(1, LoadSpan(801, 825), QUIET)), "kept"),
    # its description, and its own limit
    (hung(job=replace(JOB, status="Completed")), "kept"),
    (hung(job=replace(JOB, started=None)), "unknown"),
    (hung(job=REFUSED), "unknown"),
    (hung(job=NotRead()), "unknown"),
    (hung(job=Absent()), "kept"),
    (described_as(max_runtime=263 * HOUR), "kept"),  # one hour past it, exactly
    (described_as(max_runtime=263 * HOUR - SECOND), "proven"),
    (described_as(max_runtime=None), "kept"),
    (described_as(max_runtime=28 * DAY, max_wait=264 * HOUR), "kept"),
    (described_as(max_runtime=28 * DAY, max_wait=264 * HOUR - SECOND), "proven"),
    (described_as(max_runtime=20 * HOUR, counted_from=NOW - 21 * HOUR), "kept"),
    (described_as(max_runtime=20 * HOUR, counted_from=NOW - 21 * HOUR - SECOND), "proven"),
    (hung(silent=MINUTE, pause=NotRead(), job=OLD), "kept"),  # runtime alone is no proof
)
def test_every_sign_has_its_say(candidate: SuspectJob, expected: str) -> None:
    assert word(decide(candidate)) == expected


@cases(
    "rhythm, reason",
    (Absent("logs:DescribeLogStreams"), "it has not logged anything, so nothing shows that its logs arrive"),
    (REFUSED, "its logs could not be read"),
    (NotRead(), "its logs could not be read"),
)
def test_without_logs_nothing_is_known(rhythm: Signal[LogRhythm], reason: str) -> None:
    verdict = of_type(Kept, decide(with_signs(hung(), rhythm=rhythm)))

    assert verdict.unknown
    assert verdict.reason == reason


@cases(
    "cpu, expected",
    (LoadSpan(0, 50), "likely"),  # half a thread
    (LoadSpan(0, 51), "kept"),
    (LoadSpan(100, 101), "kept"),  # one busy thread
    (LoadSpan(1520, 1600), "likely"),  # all threads at work look like all threads spinning
    (LoadSpan(1519, 1590), "kept"),
    (Absent(), "likely"),
)
@pytest.mark.parametrize("hosts", [1, 2])
def test_without_gpus_nothing_is_proof(cpu: Signal[LoadSpan] | LoadSpan, expected: str, hosts: int) -> None:
    job = replace(ON_CPU, groups=(RentedInstances("ml.m5.4xlarge", hosts),))
    assert word(decide(hung(*[host(n, Absent(), cpu) for n in range(1, hosts + 1)], job=job))) == expected


@pytest.mark.parametrize(("spinning", "expected"), [(0, "likely"), (1, "likely"), (2, "proven")])
def test_a_collective_takes_two_gpus_that_spin(spinning: int, expected: str) -> None:
    job = replace(JOB, groups=(RentedInstances("ml.g5.2xlarge", 3),))
    loads = [host(n, LoadSpan(99, 100) if n <= spinning else LoadSpan(0, 1), QUIET) for n in range(1, 4)]
    verdict = decide(hung(*loads, job=job))

    assert word(verdict) == expected
    one = "and one of 3 GPUs spins without a change, as also in a program made for one;"
    assert (one in verdict.reason) is (spinning == 1)


@cases("kinds", ["ml.trn1.32xlarge"], ["ml.x99.8xlarge"], ["ml.p3.8xlarge", "ml.m5.large"])
def test_accelerators_that_cannot_be_seen_prove_nothing(kinds: list[str]) -> None:
    job = replace(JOB, groups=tuple(RentedInstances(kind, 1) for kind in kinds))

    assert word(decide(hung(host(1, Absent(), LoadSpan(0, 1)), job=job))) == "likely"
    assert word(decide(hung(host(1, Absent(), LoadSpan(0, 900)), job=job))) == "kept"


@cases(
    "candidate, signal, value, error",
    (with_signs(hung(), rhythm=Absent()), "last log event", "none", None),
    (with_signs(hung(), rhythm=REFUSED), "last log event", None, REFUSED.error),
    (hung(pause=Absent()), "longest pause before", "not known, too many events to read", None),
    (hung(pause=LogNotRead()), "longest pause before", "not known", None),
    (hung(pause=REFUSED), "longest pause before", None, REFUSED.error),
    (hung(), "newest object", "none in its S3 folders", None),
    (hung(wrote=REFUSED), "newest object", None, REFUSED.error),
    (
        hung(replace(host(1, FULL), memory=Value(LoadSpan(60, 61)))),
        "memory used",
        "60 to 61 of 100 (algo-1)",
        None,
    ),
    (hung(job=REFUSED), "description", None, REFUSED.error),
)
def test_each_sign_is_shown(candidate: SuspectJob, signal: str, value: str | None, error: str | None) -> None:
    (shown,) = (one for one in decide(candidate).evidence if one.signal == signal)

    assert (shown.value, shown.error) == (value, error)


# --- its phase and its own limit ---------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Starting", "Pending"])
def test_waiting_costs_nothing(phase: str) -> None:
    verdict = of_type(Kept, decide(hung(job=replace(JOB, phase=phase, started=None, max_runtime=HOUR))))

    assert not verdict.unknown
    assert verdict.reason == f"{phase} for 11 days: waiting for instances costs nothing"


@cases(
    "phase", "Downloading", "Uploading", "Stopping", "Interrupted", "Restarting", "Updating", "NeverHeardOf"
)
def test_other_phases_are_kept(phase: str) -> None:
    verdict = of_type(Kept, decide(hung(job=replace(JOB, phase=phase, max_runtime=HOUR))))

    assert verdict.reason == f"not in training but {phase} since 2026-09-25 03:00 UTC"


def test_past_its_limit_needs_no_other_signal() -> None:
    verdict = decide(SuspectJob(target=TARGET, job=Value(replace(JOB, max_runtime=24 * HOUR))))

    assert isinstance(verdict, Finding)
    assert verdict.reason == (
        "this training job is in training 10 days after the end of its own limit of 24 hours"
        " (MaxRuntimeInSeconds); price unknown"
    )
    assert verdict.since == NOW - 240 * HOUR


# --- what a finding says -----------------------------------------------------------------------


SAME: Signal[timedelta] = Value(HOUR)


@cases(
    "levels, expected, words",
    ((CHANGED, CHANGED), "proven", "spin at full load without a change; $"),
    ((SAME, CHANGED), "proven", "spin at full load without a change; $"),
    (
        (SAME, SAME),
        "likely",
        "without a change; they stood so for 60 minutes while it still logged, so it may",
    ),
    ((SAME, Absent()), "likely", "stood so for 60 minutes while it still logged, so it may log rarely"),
    ((CHANGED, Absent()), "proven", "without a change; $"),
    ((Absent(), Absent()), "likely", "their load while it still logged is not known, so full load may be"),
    ((), "likely", "their load while it still logged is not known"),
    ((CHANGED, Unreadable("throttled")), "unknown", "its load while it still logged could not be read"),
)
def test_full_load_proves_something_only_if_the_load_changed_when_the_log_ended(
    levels: tuple[Signal[timedelta], ...], expected: str, words: str
) -> None:
    """A trainer that keeps its GPUs full and logs rarely stood at that load while it still logged."""
    hosts = [host(n, FULL) for n in (1, 2)]
    logged = {each.host: level for each, level in zip(hosts, levels, strict=False)}
    verdict = decide(hung(*hosts, levels=logged))

    assert (word(verdict) if expected == "unknown" else of_type(Finding, verdict).confidence) == expected
    assert words in verdict.reason


def test_a_deadlock_is_told_in_full() -> None:
    verdict = of_type(Finding, decide(hung(silent=200 * HOUR, wrote=201 * HOUR)))

    assert verdict.reason == (
        "this training job logged nothing for 8 days (its longest pause before was 10 minutes),"
        " wrote nothing to S3,"
        " and the GPUs of all 4 hosts spin at full load without a change; $58.75 an hour"
    )
    assert verdict.confidence is Confidence.PROVEN
    assert verdict.action == "stop the job (artifacts written so far stay) and end its warm pool"
    assert verdict.since == NOW - 200 * HOUR
    assert {one.signal: one.value for one in verdict.evidence} == {
        "status": "InProgress, Training",
        "instances": "4 x ml.p3.8xlarge",
        "billed for": "11 days",
        "time against MaxRuntimeInSeconds": "11 days of 28 days",
        "last log event": "2026-09-27 19:00 UTC",
        "silent for": "8 days",
        "longest pause before": "10 minutes",
        "newest object": "s3://models/ckpt/7, 2026-09-27 18:00 UTC",
        "GPU load": "398 to 400 of 400 (algo-1, algo-2, algo-3, algo-4)",
        "CPU load": "410 to 440 of 3200 (algo-1, algo-2, algo-3, algo-4)",
        "longest at this load while it logged": "55 minutes",
    }


def test_it_has_cost_what_was_billed_since_it_started() -> None:
    verdict = of_type(Finding, decide(hung()))

    assert verdict.cost is not None
    assert verdict.cost.accrued_usd == Decimal("58.752") * 264
    assert verdict.cost.monthly_usd is None


def test_an_unknown_price_is_not_nothing() -> None:
    verdict = of_type(Finding, decide(hung(price=Price(None, "Price List API"))))

    assert not not_none(verdict.cost).known
    assert verdict.reason.endswith("; price unknown")


def test_spot_capacity_costs_less_than_the_list_price() -> None:
    assert decide(hung(job=replace(JOB, spot=True))).reason.endswith("; at most $58.75 an hour")


@cases(
    "hosts, given, says",
    ([host(1, REST, QUIET)], {}, "and its host is idle (it may be waiting for a query, another job or a"),
    ([host(1, LoadSpan(1, 2), QUIET), host(2, REST, QUIET)], {}, "and all 2 hosts are idle (they may be"),
    (
        [host(1, REST), host(2, REST), host(3, FULL)],
        {},
        "and the GPUs of algo-1, algo-2 rest without a change, but their CPUs do not, and may be at",
    ),
    (
        [host(1, REST, QUIET), host(2, FULL), host(3, FULL)],
        {},
        "and 8 of 12 GPUs spin at full load without a change while the others rest;",
    ),
    ([host(1, FULL)], {}, "and the GPUs of its host spin at full load without a change;"),
    ([host(1, FULL), host(2, FULL)], {}, "and the GPUs of all 2 hosts spin at full load without a change;"),
    ([host(1, FULL), host(2, Absent())], {}, "and the load of algo-2 is not known;"),
    (
        [host(1, LoadSpan(99, 100), QUIET), host(2, Absent())],
        {},
        "and one of 8 GPUs spins without a change, as also in a program made for one; the load of algo-2",
    ),
    # which may be work
    (
        [host(1, LoadSpan(99, 100))],
        {"job": replace(JOB, groups=(RentedInstances(G5, 1),)), "silent": 6 * HOUR},
        (
            "and the load of algo-1 stands at full without a change, which may be work: no GPU of it waits"
            " for another;"
        ),
    ),
    (
        [host(1, REST)],
        {"silent": 6 * HOUR},
        "and the GPUs of algo-1 rest without a change, but its CPU does not, and may be at work;",
    ),
)
def test_the_load_is_told(hosts: list[HostLoad], given: dict[str, Any], says: str) -> None:
    assert says in decide(hung(*hosts, **given)).reason


def test_the_tunables_count() -> None:
    assert HungTrainingJobs.cleanup.grace == 2 * HOUR

    def decided(**given: Any) -> str:
        tunables: dict[str, Any] = {"times_longest_pause": 2, "overrun": 5 * HOUR}
        return word(decide(hung(**given), silence=2 * HOUR, silence_without_rhythm=HOUR, **tunables))

    assert decided(silent=2 * HOUR, pause=HOUR) == "proven"
    assert decided(silent=2 * HOUR - SECOND, pause=MINUTE) == "kept"
    assert decided(silent=2 * HOUR, pause=Absent()) == "likely"
    assert decided(silent=MINUTE, job=replace(JOB, max_runtime=259 * HOUR)) == "kept"
    assert decided(silent=MINUTE, job=replace(JOB, max_runtime=258 * HOUR)) == "proven"


def test_the_steps_stand_in_order() -> None:
    assert decide(hung()).steps[:-1] == (
        "in training",
        "not more than 60 minutes past its own limit",
        "no log event for 6 hours or more",
        "silent for longer than its rhythm explains (6 hours)",
        "nothing was written to its S3 folders either",
        "no host's load varies",
    )


# --- stopping, and submitting again -------------------------------------------------------------------

RECORD: dict[str, Any] = {"what": "job", "keep_alive": 0, "checkpoint": None}
GONE = Refusal("ValidationException", "Requested resource not found.")
DESCRIBE, UPDATE = "sagemaker:DescribeTrainingJob", "sagemaker:UpdateTrainingJob"


def described(status: str, pool: str = "", **more: Any) -> Torn:
    kept = {"WarmPoolStatus": {"Status": pool}} if pool else {}
    return Torn({"TrainingJobStatus": status, "CreationTime": TARGET.created, **kept, **more})


STEPS: Any = SimpleNamespace(do=lambda _, call: call())


@cases(
    "found, said, again",
    (GONE, None, None),
    (described("InProgress"), None, f"nothing had been done to {NAME}, so nothing was submitted"),
    (described("Stopping"), None, None),
    (described("Stopped"), None, None),
    (described("Failed"), "it ended by itself: Failed", None),
    (
        described("Completed"),
        "it ended by itself: Completed",
        f"{NAME} has come to its end by itself, so nothing was submitted",
    ),
    (described("Completed", CreationTime=NOW), None, None),  # another job of the name
    ids=["gone", "runs", "stopping", "stopped", "failed", "completed", "namesake"],
)
def test_a_job_that_ended_by_itself_is_not_stopped_nor_submitted_again(
    found: Any, said: str | None, again: str | None
) -> None:
    rule, aws = HungTrainingJobs(), Script({DESCRIBE: found}).aws().armed()
    runs = found == described("InProgress")

    assert rule.ended_otherwise(aws, TARGET, RECORD) == said
    assert rule.ended_otherwise(aws, TARGET, RECORD | {"what": "warm pool"}) is None
    assert rule.is_done(aws, TARGET, RECORD) is not runs
    if said is not None:
        with pytest.raises(CannotActError, match=said):
            rule.act(aws, TARGET, RECORD, STEPS)
    elif not runs:
        rule.act(aws, TARGET, RECORD, STEPS)
    if again is not None:
        assert rule.revert(aws, TARGET, RECORD, STEPS) == again


def test_what_is_submitted_again_has_a_name_of_its_own() -> None:
    new = f"{NAME}-r{finding_id('hung-training-jobs', TARGET.key)[:6]}"
    assert restarted_name("j" * 54 + "-" + "j" * 8, "0123456789") == "j" * 54 + "-r012345"

    assert HungTrainingJobs().reverted_arn(TARGET, RECORD) == TARGET.arn.replace(NAME, new)
    assert HungTrainingJobs().revert_effect(TARGET, RECORD) == (
        f"{NAME} is submitted again as {new}, from the beginning: it keeps no checkpoints; it costs again"
    )


def test_only_a_job_that_is_no_older_was_submitted_again() -> None:
    def exists(created: datetime) -> bool:
        return _exists(Script({DESCRIBE: described("InProgress", CreationTime=created)}).aws(), TARGET, "new")

    assert exists(not_none(TARGET.created))
    with pytest.raises(CannotActError, match="an older job has the name new"):
        exists(not_none(TARGET.created) - SECOND)


def test_a_request_has_no_selection_of_aws() -> None:
    chosen = {"InstanceCount": 2, "SelectedInstanceType": "ml.g5.xlarge", "SelectedInstanceCount": 1}

    request = restart_request(Script({}).aws(), TRAINING_JOB, {"ResourceConfig": chosen})

    assert request == {"ResourceConfig": {"InstanceCount": 2}}


@cases("value, secret", ("abcd", True), ("abc", False))
def test_an_error_that_quotes_what_a_job_was_given_is_not_shown(value: str, *, secret: bool) -> None:
    error = ClientError({"Error": {"Code": "ValidationException", "Message": f"bad {value}"}}, "Create")

    found = _without_secrets(error, {"Environment": {"KEY": value}})

    assert (isinstance(found, CannotActError), value in str(found)) == (secret, not secret)


@cases(
    "before, left, raised",
    ("Available", "Terminated", None),
    ("Available", "Available", "no pool"),
    ("Reused", "Reused", "another job has taken over its warm pool"),
)
def test_a_pool_whose_end_is_refused_has_ended_if_it_is_gone(
    before: str, left: str, raised: str | None
) -> None:
    """With a lost answer, the retry is refused."""
    script = Script({UPDATE: Refusal("ValidationException", "no pool")})
    script.answers[DESCRIBE] = lambda _: described("Stopped", left if script.asked(UPDATE) else before)

    with pytest.raises((ClientError, CannotActError), match=raised) if raised else nullcontext():
        HungTrainingJobs().act(script.aws().armed(), TARGET, RECORD | {"what": "warm pool"}, STEPS)

    ended = [asked["ResourceConfig"] for asked in script.asked(UPDATE)]
    assert ended == [{"KeepAlivePeriodInSeconds": 0}] * (before == "Available")


@cases("found, why", (GONE, "it is gone"), (described("Stopping"), "it is Stopping now"))
def test_nothing_is_recorded_of_a_job_that_runs_no_longer(found: Any, why: str) -> None:
    with pytest.raises(CannotActError, match=why):
        HungTrainingJobs().prepare(Script({DESCRIBE: found}).aws(), hung(), {})


DOLLAR = Price(Decimal(1), "Price List API")

CPU_RESTS, CPU_FULL, CPU_BUSY, THREAD = (
    LoadSpan(0, 1),
    LoadSpan(1599, 1600),
    LoadSpan(100, 900),
    LoadSpan(100, 101),
)
OUT = ("s3://out/",)


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
        "groups": (RentedInstances("ml.m5.4xlarge", 1),),
        "writes_to": (),
    }
    return RunningJob(**(usual | changed))


def silent(
    kind: JobKind,
    *,
    cpu: Signal[LoadSpan] | LoadSpan = CPU_RESTS,
    gpu: Signal[LoadSpan] | LoadSpan = Absent(),  # noqa: B008 - frozen
    newest: Signal[NewestObject | None] = NotRead(),  # noqa: B008 - frozen
    quiet: timedelta = 20 * HOUR,
    **changed: Any,
) -> SuspectJob:
    """One that says nothing any more; its load is *cpu* and *gpu*."""
    return SuspectJob(
        target=target(kind.of.type),
        job=Value(job(kind, **changed)),
        signs=ProgressSigns(
            rhythm=Value(LogRhythm(last=NOW - quiet, longest_pause=Value(MINUTE))),
            newest=newest,
            loads=Value((replace(host(1, gpu, cpu), host="nightly/h"),)),
            logged_levels={"nightly/h": CHANGED},
        ),
        price=DOLLAR,
    )


OTHERS = pytest.mark.parametrize(
    "kind", [PROCESSING_JOB_KIND, TRANSFORM_JOB_KIND], ids=lambda kind: kind.of.type
)

# --- processing and transform jobs -------------------------------------------------------------

ON_GPU = {"groups": (RentedInstances("ml.g4dn.xlarge", 1),)}


@OTHERS
@cases(
    "given, expected",
    # only hosts at rest hang
    ({"cpu": CPU_RESTS}, "likely"),  # it may wait for a query
    ({"cpu": LoadSpan(0, 50)}, "likely"),  # half a thread
    ({"cpu": LoadSpan(0, 51)}, "kept"),
    ({"cpu": CPU_FULL}, "kept"),  # no collective spins here: this is work
    ({"cpu": THREAD}, "kept"),
    ({"cpu": CPU_BUSY}, "kept"),
    ({"cpu": Absent()}, "kept"),  # until a day has passed
    ({"cpu": REFUSED}, "unknown"),
    # with a GPU the CPU must rest too
    ({"gpu": LoadSpan(0, 1), "cpu": LoadSpan(0, 20), **ON_GPU}, "likely"),
    ({"gpu": LoadSpan(0, 1), "cpu": THREAD, **ON_GPU}, "kept"),  # a thread works without the GPU
    ({"gpu": LoadSpan(99, 100), "cpu": LoadSpan(0, 20), **ON_GPU}, "kept"),
    ({"gpu": Absent(), "cpu": LoadSpan(0, 20), **ON_GPU}, "kept"),
    # one thread on a large host works
    (
        {"groups": (RentedInstances("ml.m5.large", 1),), "cpu": LoadSpan(0, 10)},
        "likely",
    ),  # 5 percent of 2 vCPUs
    ({"groups": (RentedInstances("ml.m5.large", 1),), "cpu": LoadSpan(0, 10.1)}, "kept"),
    ({"groups": (RentedInstances("ml.m5.24xlarge", 1),), "cpu": THREAD}, "kept"),  # 1 percent of 96 vCPUs
    ({"groups": (RentedInstances("ml.m5.24xlarge", 1),), "cpu": LoadSpan(0, 51)}, "kept"),
    # six hours of silence, a day without metrics
    ({"quiet": 6 * HOUR}, "likely"),
    ({"quiet": 6 * HOUR - SECOND}, "kept"),
    ({"quiet": 24 * HOUR, "cpu": Absent()}, "likely"),
    ({"quiet": 24 * HOUR - SECOND, "cpu": Absent()}, "kept"),
    # new outputs are progress
    ({"writes_to": OUT, "newest": Value(None)}, "likely"),
    ({"writes_to": OUT, "newest": Value(NewestObject("s3://out/9", NOW - 6 * HOUR))}, "likely"),
    ({"writes_to": OUT, "newest": Value(NewestObject("s3://out/9", NOW - 6 * HOUR + SECOND))}, "kept"),
    ({"writes_to": OUT, "newest": REFUSED}, "unknown"),
    ({"writes_to": OUT, "newest": NotRead()}, "unknown"),
    # it ended meanwhile
    *(({"status": status}, "kept") for status in ("Stopping", "Stopped", "Completed", "Failed")),
)
def test_only_silent_hosts_at_rest_hang(kind: JobKind, given: dict[str, Any], expected: str) -> None:
    assert word(decide(silent(kind, **given))) == expected


def test_a_full_load_is_not_called_rest() -> None:
    assert (
        decide(silent(PROCESSING_JOB_KIND, cpu=CPU_FULL)).reason == "silent, but the load of h is not at rest"
    )


def test_what_has_no_folder_to_write_to_is_judged_without() -> None:
    verdict = of_type(Finding, decide(silent(PROCESSING_JOB_KIND)))

    assert verdict.reason == (
        "this processing job logged nothing for 20 hours (its longest pause before was 1 minute)"
        " and its host is idle (it may be waiting for a query, another job or a person); $1.00 an hour"
    )
    assert "it has no folder in S3 to write to, so that says nothing" in verdict.steps
    assert "newest object" not in {one.signal for one in verdict.evidence}


@OTHERS
def test_no_limit_is_not_called_a_limit_that_was_kept(kind: JobKind) -> None:
    assert "it has no limit of its own" in decide(silent(kind)).steps
    limited = decide(silent(kind, max_runtime=4 * DAY))
    assert "not more than 60 minutes past its own limit" in limited.steps


@OTHERS
def test_waiting_for_instances_costs_nothing(kind: JobKind) -> None:
    verdict = decide(silent(kind, phase="Starting", started=None))

    assert word(verdict) == "kept"
    assert verdict.reason == "Starting for 40 hours: waiting for instances costs nothing"


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
    limit = HOUR if late else None
    seen = (
        Value(job(reading.TRAINING_JOB_KIND, name="big", status=watched))
        if isinstance(watched, str)
        else watched
    )
    verdict = decide(replace(silent(PROCESSING_JOB_KIND, watches=arn, max_runtime=limit), watched=seen))

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
    verdict = decide(silent(PROCESSING_JOB_KIND, max_runtime=limit, quiet=MINUTE))

    assert word(verdict) == expected
    if expected == "proven":
        assert verdict.reason.startswith(
            "this processing job is processing 60 minutes after the end of its own limit of 37 hours"
        )


@cases(
    "cpu, quiet, expected",
    (CPU_BUSY, 20 * HOUR, "likely"),
    (CPU_RESTS, MINUTE, "likely"),
    (CPU_RESTS, 20 * HOUR, "likely"),  # it rests besides
    (REFUSED, 20 * HOUR, "unknown"),
)
def test_its_beginning_is_unknown(cpu: Signal[LoadSpan] | LoadSpan, quiet: timedelta, expected: str) -> None:
    verdict = decide(silent(PROCESSING_JOB_KIND, cpu=cpu, quiet=quiet, max_runtime=30 * HOUR, downloads=True))

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
    verdict = of_type(Finding, decide(silent(kind, writes_to=OUT, newest=Value(None))))

    assert verdict.action == action
    assert verdict.cost is not None
    assert (verdict.cost.accrued_usd, verdict.cost.monthly_usd) == (Decimal(39), None)


# --- warm pools --------------------------------------------------------------------------------


NO_WAITS: Signal[reading.PoolWaits] = Value({})


def pool(unused: timedelta | None, waits: Signal[reading.PoolWaits] = NO_WAITS, **changed: Any) -> SuspectJob:
    usual: dict[str, Any] = {
        "status": "Completed",
        "phase": "Completed",
        "ended": None if unused is None else NOW - unused,
        "pool": "Available",
        "keep_alive": 6 * HOUR,
        "groups": (RentedInstances("ml.g5.2xlarge", 2),),
    }
    of = job(reading.TRAINING_JOB_KIND, **(usual | changed))
    return SuspectJob(target=target("training-job"), job=Value(of), price=DOLLAR, waits=waits)


def earlier(longest: timedelta, *instances: tuple[str, int], role: str = "") -> Signal[reading.PoolWaits]:
    return Value({reading.PoolShape(instances or (("ml.g5.2xlarge", 2),), role): longest})


@cases(
    "candidate, expected, reason",
    # an earlier one of its kind waited longer, and a job came
    (pool(2 * HOUR, earlier(2 * HOUR)), "proven", "unused for"),
    (pool(2 * HOUR, earlier(2 * HOUR + SECOND)), "kept", "a job came to an earlier one after 2 hours"),
    (pool(2 * HOUR, earlier(5 * HOUR)), "kept", "is unused for 2 hours, and a job came to an earlier one"),
    (pool(2 * HOUR, earlier(5 * HOUR, ("ml.g5.2xlarge", 1))), "proven", "unused for"),
    (pool(2 * HOUR, earlier(5 * HOUR, ("ml.g5.xlarge", 2))), "proven", "unused for"),
    (pool(2 * HOUR, earlier(5 * HOUR, role="other")), "proven", "unused for"),
    (pool(2 * HOUR, Unreadable("throttled")), "unknown", "earlier warm pools of its kind waited for a job"),
    (pool(2 * HOUR, NotRead()), "unknown", "could not be read"),
    (pool(59 * MINUTE, NotRead()), "kept", "judged from 60 minutes on"),
)
def test_a_pool_waits_as_long_as_earlier_ones_did(candidate: SuspectJob, expected: str, reason: str) -> None:
    verdict = decide(candidate)

    assert (word(verdict), reason in verdict.reason) == (expected, True), verdict.reason


def test_what_earlier_pools_waited_is_in_their_jobs_records() -> None:
    def record(name: str, status: str, seconds: int | None, kind: str = "ml.g5.2xlarge") -> dict[str, Any]:
        waited = {} if seconds is None else {"ResourceRetainedBillableTimeInSeconds": seconds}
        return Torn(
            {
                "TrainingJobName": name,
                "CreationTime": NOW - DAY,
                "RoleArn": "arn:aws:iam::123456789012:role/ml",
                "ResourceConfig": {"InstanceType": kind, "InstanceCount": 2, "VolumeSizeInGB": 1},
                "WarmPoolStatus": {"Status": status, **waited},
            }
        )

    records = [
        record("a", "Reused", 60),
        record("b", "Reused", 7200),
        record("c", "Reused", 30),
        record("d", "Terminated", 9000),
        record("e", "Available", None),
        record("f", "Reused", None, "ml.g5.xlarge"),
        Torn({"TrainingJobName": "g", "CreationTime": NOW - DAY}),
    ]
    script = Script({"sagemaker:Search": Torn({"Results": [{"TrainingJob": each} for each in records]})})
    waits = of_type(Value, reading.read_pool_waits(script.aws(), NOW)).value
    role = "arn:aws:iam::123456789012:role/ml"
    assert waits == {
        reading.PoolShape((("ml.g5.2xlarge", 2),), role): 2 * HOUR,
        reading.PoolShape((("ml.g5.xlarge", 2),), role): 6 * HOUR,
    }
    refused = Script({"sagemaker:Search": Refusal("AccessDenied")})
    assert isinstance(reading.read_pool_waits(refused.aws(), NOW), Unreadable)


@cases(
    "candidate, expected, reason",
    # it may wait for an hour
    (pool(MINUTE), "kept", "unused for"),
    (pool(HOUR - SECOND), "kept", "unused for"),
    (pool(HOUR), "proven", "unused for"),
    (pool(5 * HOUR), "proven", "unused for"),
    (pool(7 * HOUR), "proven", "unused for"),
    (pool(None), "unknown", ""),
    # one that does not wait is kept
    *(
        (pool(5 * HOUR, pool=status), "kept", "no longer in progress (Completed)")
        for status in ("InUse", "Reused", "Terminated", None, "NeverHeardOf")
    ),
    (pool(5 * HOUR, status="InProgress", phase="Uploading"), "kept", ""),
)
def test_a_pool_that_waits_for_nobody_hangs(candidate: SuspectJob, expected: str, reason: str) -> None:
    verdict = decide(candidate)

    assert (word(verdict), reason in verdict.reason) == (expected, True)
    assert ("unused for" in verdict.reason) is (reason == "unused for")


def test_the_patience_with_pools_is_tunable() -> None:
    assert word(decide(pool(2 * HOUR), pool_patience=2 * HOUR)) == "proven"
    assert word(decide(pool(2 * HOUR - SECOND), pool_patience=2 * HOUR)) == "kept"
    assert getattr(decide(pool(2 * HOUR), grace_pool=MINUTE), "grace", None) == MINUTE


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
        "longest wait of an earlier pool": "none",
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

G5_12: Any = {"groups": (RentedInstances("ml.g5.12xlarge", 1),), "gpu": LoadSpan(400, 400)}
PROVEN = silent(reading.TRAINING_JOB_KIND, **G5_12)
LIKELY = silent(reading.TRAINING_JOB_KIND, cpu=Absent(), quiet=30 * HOUR)
WORKS = silent(reading.TRAINING_JOB_KIND, cpu=CPU_BUSY)
UNKNOWN = silent(reading.TRAINING_JOB_KIND, cpu=REFUSED)


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


NOT_LISTED = "its running children could not be listed"


@cases(
    "candidate, expected, reason",
    # it hangs when every running child does, and as surely as the least sure of them
    (tuner(), "kept", "none of its children is running, so nothing is billed"),
    (tuner(PROVEN), "proven", ""),
    (tuner(PROVEN, PROVEN), "proven", ""),
    (tuner(PROVEN, LIKELY), "likely", ""),
    (tuner(LIKELY, PROVEN), "likely", ""),
    (tuner(PROVEN, WORKS), "kept", ""),
    (tuner(PROVEN, UNKNOWN), "unknown", "whether its running children hang is not known (trial-2)"),
    (tuner(UNKNOWN, WORKS), "kept", ""),
    (tuner(WORKS), "kept", ""),
    (tuner(PROVEN, WORKS, UNKNOWN), "kept", "1 of 3 running children do not hang (trial-2)"),
    # children that could not be listed may work
    *((tuner(listed=listed), "unknown", NOT_LISTED) for listed in (REFUSED, NotRead(), Absent())),
    # it must be in progress
    *((tuner(PROVEN, status=status), "kept", "") for status in ("Stopping", "Completed", Absent())),
    *((tuner(PROVEN, status=status), "unknown", "") for status in (REFUSED, NotRead())),
)
def test_a_tuner_hangs_when_every_running_child_does(
    candidate: SuspectTuner, expected: str, reason: str
) -> None:
    verdict = decide(candidate)

    assert (word(verdict), verdict.reason) == (expected, reason or verdict.reason)


def test_what_the_children_cost_is_counted_once() -> None:
    verdict = decide(tuner(PROVEN, silent(reading.TRAINING_JOB_KIND, quiet=9 * HOUR, **G5_12)))

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
    assert {one.value for one in decide(tuner(WORKS, UNKNOWN)).evidence if one.signal == "child"} == {
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


def test_a_child_says_whose_it_is() -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/sweep"
    verdict = decide(silent(reading.TRAINING_JOB_KIND, tuner=arn))

    assert isinstance(verdict, Finding | Kept)
    assert ("tuning job", "sweep") in {(one.signal, one.value) for one in verdict.evidence}
