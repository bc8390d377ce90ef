"""Training jobs that run or left a warm pool, found among the many of a month."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, HOUR, MINUTE, NOW, REGION
from ml_janitor.aws import training_jobs
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.pace import SharedAnswers, is_reused
from ml_janitor.aws.training_jobs import list_billed_jobs, search_training_jobs
from ml_janitor_sandbox.control import Control
from sagemaker_requests import rented, training_request
from tables import cases


def job(
    box: Control, session: boto3.Session, name: str, *, age: timedelta, keep: timedelta = timedelta()
) -> None:
    """A training job that was created *age* ago, and keeps its instances for *keep* after it ended."""
    box.set_clock(NOW - age)
    pool: Any = {"KeepAlivePeriodInSeconds": int(keep.total_seconds())} if keep else {}
    session.client("sagemaker").create_training_job(
        **training_request(name, rented(**pool), seconds=28 * 24 * 3600)
    )
    box.set_clock(NOW)


def stopped(box: Control, session: boto3.Session, name: str, *, ago: timedelta) -> None:
    box.set_clock(NOW - ago)
    session.client("sagemaker").stop_training_job(TrainingJobName=name)
    box.set_clock(NOW)


@pytest.mark.parametrize("age", [MINUTE, 2 * HOUR, 3 * DAY, 27 * DAY])
def test_a_running_job_is_found_now(box: Control, session: boto3.Session, aws: Aws, age: timedelta) -> None:
    box.set_durations({"search.index": 15 * 60})
    job(box, session, "runs", age=age)

    found = list_billed_jobs(aws, NOW)

    assert found.error is None
    assert [one.name for one in found.items] == ["runs"]
    assert found.items[0].created == NOW - age


@cases(
    "ago, keep, found",
    (HOUR, 2 * HOUR, True),
    (5 * HOUR, 6 * HOUR, True),
    (5 * HOUR, 2 * HOUR, False),  # the pool was given back
    (HOUR, timedelta(), False),
)
def test_what_is_over_is_found_while_its_instances_are_kept(
    box: Control, session: boto3.Session, aws: Aws, *, ago: timedelta, keep: timedelta, found: bool
) -> None:
    job(box, session, "left", age=3 * DAY, keep=keep)
    stopped(box, session, "left", ago=ago)

    assert bool(list_billed_jobs(aws, NOW).items) is found


def test_jobs_that_ended_are_not_read_page_by_page(box: Control, session: boto3.Session, aws: Aws) -> None:
    for number in range(120):
        job(box, session, f"over-{number}", age=3 * DAY)
        stopped(box, session, f"over-{number}", ago=2 * DAY)
    job(box, session, "runs", age=2 * DAY)
    box.clear_calls()

    found = list_billed_jobs(aws, NOW)

    assert [one.name for one in found.items] == ["runs"]
    assert box.calls() == {"sagemaker:Search": 2, "sagemaker:ListTrainingJobs": 1}


@pytest.mark.parametrize("operation", ["Search", "ListTrainingJobs"])
def test_an_unlisted_kind_is_said(box: Control, session: boto3.Session, aws: Aws, operation: str) -> None:
    job(box, session, "runs", age=2 * HOUR)
    box.fault("sagemaker", operation, "deny", times=0)

    found = list_billed_jobs(aws, NOW)

    assert found.error is not None
    assert operation in found.error
    assert [one.name for one in found.items] == ["runs"]


def test_a_long_history_is_searched_in_parts_and_every_job_is_read_once(
    box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also jobs of one moment, which no part of the time separates."""
    monkeypatch.setattr(training_jobs, "MOST_SEARCH_HITS", 4)
    names = [f"job-{number}" for number in range(20)]
    for number, name in enumerate(names):
        job(box, session, name, age=DAY if number < 8 else number * HOUR)

    found = search_training_jobs(aws, lambda record: str(record["TrainingJobName"]), NOW)

    assert found.error is None
    assert sorted(found.items) == sorted(names)
    assert box.calls()["sagemaker:Search"] > 5
    lately = search_training_jobs(
        aws, lambda record: str(record["TrainingJobName"]), NOW, since=NOW - 12 * HOUR
    )
    assert len(lately.items) == 5


def test_readers_that_share_answers_ask_for_the_same_records(box: Control, session: boto3.Session) -> None:
    """Each gets the jobs of its own time, and none is sent twice."""
    sent = list[str]()

    def note(parsed: Any, **_: Any) -> None:
        if not is_reused(parsed):
            sent.extend(one["TrainingJob"]["TrainingJobName"] for one in parsed["Results"])

    ages = {name: int(name) * DAY / 2 for name in ("2", "14", "15", "40", "118", "122", "178", "798", "999")}
    for name, age in ages.items():
        job(box, session, name, age=age)
    session.events.register("after-call.sagemaker.Search", note)

    def read(wanted: dict[str, Any]) -> str | None:
        return None if wanted["TrainingJobName"] == "40" else str(wanted["TrainingJobName"])

    with open_regions(
        session, account=ACCOUNT, regions=[REGION], attempts=1, pace=None, shared=SharedAnswers()
    ) as (aws,):
        since = {
            days: search_training_jobs(aws, read, NOW, since=NOW - days * DAY) for days in (7, 60, 90, 400)
        }
        every = search_training_jobs(aws, read, NOW)

    assert [len(one.items) for one in since.values()] == [2, 4, 6, 7]
    assert sorted(every.items) == sorted(ages.keys() - {"40"})
    assert every.error is None
    assert sorted(sent) == sorted(ages)


@pytest.mark.parametrize(("counted", "said"), [(3, None), (4, "ended after 3 of 4")])
def test_a_search_that_ends_early_is_an_error(aws: Aws, counted: int, said: str | None) -> None:
    jobs = [{"TrainingJob": {"TrainingJobName": f"job-{one}", "CreationTime": NOW}} for one in range(3)]
    answer = {"Results": jobs, "TotalHits": {"Value": counted, "Relation": "GreaterThanOrEqualTo"}}
    answered: Any = lambda **_: (Answered(), answer)  # noqa: E731
    aws.sagemaker.meta.events.register("before-call.sagemaker.Search", answered)

    found = search_training_jobs(aws, lambda record: str(record["TrainingJobName"]), NOW)

    assert len(found.items) == 3
    assert (found.error or "").endswith(said or "")
    assert (found.error is None) is (said is None)


class Answered:
    """What botocore asks of a response that did not come over the network."""

    status_code = 200
