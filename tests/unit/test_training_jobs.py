"""Training jobs in few calls: what Search is asked for, what is listed besides, and what is missing then."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws import training_jobs
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.aws.training_jobs import (
    list_all_jobs,
    list_billed_jobs,
    list_recent_jobs,
    search_training_jobs,
)
from scripted import DENIED, Script, Torn
from tables import cases

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=each) for each in (1, 60, 3600, 86400))
LISTED, SEARCHED = "sagemaker:ListTrainingJobs", "sagemaker:Search"

type Record = dict[str, Any]


def job(name: str, age: timedelta, status: str = "Completed", **more: Any) -> Record:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "TrainingJobStatus": status,
        "CreationTime": NOW - age,
        "LastModifiedTime": NOW - age,
    } | more


def matches(record: Record, one: Mapping[str, str]) -> bool:
    value = record[one["Name"]]
    wanted: Any = one["Value"] if isinstance(value, str) else datetime.fromisoformat(one["Value"])
    compared = {
        "Equals": value == wanted,
        "GreaterThanOrEqualTo": value >= wanted,
        "LessThan": value < wanted,
    }
    return bool(compared[one["Operator"]])


def script(indexed: Sequence[Record], new: Sequence[Record] = ()) -> Script:
    """*indexed* are the jobs that Search knows, *new* those that it does not know yet."""

    def search(asked: Mapping[str, Any]) -> Any:
        assert (asked["Resource"], asked["MaxResults"]) == ("TrainingJob", 100)
        filters = asked["SearchExpression"]["Filters"]
        found = [one for one in indexed if all(matches(one, each) for each in filters)]
        return Torn({"Results": [{"TrainingJob": one} for one in found], "TotalHits": {"Value": len(found)}})

    def listed(asked: Mapping[str, Any]) -> Any:
        assert (asked["SortBy"], asked["SortOrder"]) == ("CreationTime", "Ascending")
        entries = [one for one in (*indexed, *new) if one["CreationTime"] > asked["CreationTimeAfter"]]
        return Torn({"TrainingJobSummaries": entries})

    return Script({SEARCHED: search, LISTED: listed})


def names(record: Mapping[str, Any]) -> str:
    return str(record["TrainingJobName"])


AVAILABLE: dict[str, Any] = {"WarmPoolStatus": {"Status": "Available"}}
KEPT: dict[str, Any] = {"ResourceConfig": {"KeepAlivePeriodInSeconds": 3600}}


@cases(
    "record, new, costs",
    (job("a", 20 * DAY, "InProgress"), (), True),
    (job("a", HOUR, "Stopping"), (), False),
    (job("a", HOUR), (), False),
    (job("a", HOUR, **AVAILABLE), (), True),
    (job("a", HOUR, WarmPoolStatus={"Status": "Reused"}, **KEPT), (), False),
    (job("a", 3 * HOUR, TrainingEndTime=NOW - HOUR + SECOND, **KEPT), (), True),
    (job("a", 3 * HOUR, TrainingEndTime=NOW - HOUR, **KEPT), (), False),
    (job("a", HOUR, "Stopping", **KEPT), (), True),
    (job("a", 3 * HOUR, TrainingEndTime=NOW + HOUR), (), False),
    (job("a", 9 * DAY, LastModifiedTime=NOW - 30 * HOUR, **AVAILABLE), (), True),
    (job("a", 9 * DAY, LastModifiedTime=NOW - 30 * HOUR - SECOND, **AVAILABLE), (), False),
    # what Search does not know yet is listed for a day, and what both know costs once
    (job("b", HOUR), (job("a", DAY - SECOND, "InProgress"), job("done", HOUR)), True),
    (job("b", HOUR), (job("a", DAY, "InProgress"),), False),
    (job("a", HOUR, "InProgress"), (job("a", HOUR, "InProgress"),), True),
)
def test_jobs_in_progress_and_warm_pools_cost(record: Record, new: Sequence[Record], costs: bool) -> None:  # noqa: FBT001
    found = list_billed_jobs(script([record], new).aws(), NOW)

    assert ([one.name for one in found.items], found.error) == (["a"] if costs else [], None)


def test_the_record_of_each_job_in_progress_is_noted() -> None:
    indexed = [job("a", HOUR, "InProgress"), job("b", HOUR, **AVAILABLE), job("c", DAY, "InProgress")]
    noted = list[tuple[str, Record]]()

    list_billed_jobs(
        script(indexed).aws(), NOW, note=lambda target, record: noted.append((target.name, {**record}))
    )

    assert noted == [("a", indexed[0]), ("c", indexed[2])]


@pytest.mark.parametrize("operation", [SEARCHED, LISTED])
def test_jobs_that_cannot_be_listed_are_said(operation: str) -> None:
    account = script([job("a", HOUR, "InProgress")])
    account.answers[operation] = DENIED

    found = list_billed_jobs(account.aws(), NOW)

    assert ([one.name for one in found.items], operation in (found.error or "")) == (["a"], True)


def test_lately_are_jobs_that_run_were_made_since_or_are_new() -> None:
    indexed = [job("runs", 50 * DAY, "InProgress"), job("since", 9 * DAY), job("before", 11 * DAY)]

    found = list_recent_jobs(script(indexed, [job("new", HOUR)]).aws(), names, NOW - 10 * DAY, NOW)

    assert [list(one.items) for one in found] == [["runs"], ["since"], ["new"]]


# --- every job there ever was -------------------------------------------------------------------


def test_every_job_that_ended_is_read_once_and_the_others_stay_open() -> None:
    indexed = [
        job("old", 900 * DAY),
        job("failed", 2 * DAY, "Failed"),
        job("stopped", DAY - SECOND, "Stopped"),
        job("runs", 3 * DAY, "InProgress"),
        job("stops", HOUR, "Stopping"),
    ]
    new = [job("new", MINUTE, "InProgress")]
    account = script(indexed, new)
    aws = account.aws()

    jobs, unread = list_all_jobs(aws, names, NOW)

    assert (jobs.ended, unread) == (["old", "failed", "stopped"], None)
    assert sorted(names(one) for one in jobs.open.values()) == ["new", "runs", "stops"]
    assert account.asked(LISTED)[0]["CreationTimeAfter"] == NOW - DAY

    later = NOW + HOUR
    new.append(job("newer", -MINUTE, "InProgress"))
    again, unread = list_all_jobs(aws, names, later)

    assert (again is jobs, again.at, unread) == (True, later, None)
    assert sorted(names(one) for one in jobs.open.values()) == ["new", "newer", "runs", "stops"]
    assert len(account.asked(SEARCHED)) == 1
    assert [asked["CreationTimeAfter"] for asked in account.asked(LISTED)] == [NOW - DAY, NOW - HOUR]


@pytest.mark.parametrize("operation", [SEARCHED, LISTED])
def test_half_a_reading_of_every_job_is_not_kept(operation: str) -> None:
    account = script([job("old", 900 * DAY)])
    answer, account.answers[operation] = account.answers[operation], DENIED
    aws = account.aws()

    assert operation in (list_all_jobs(aws, names, NOW)[1] or "")

    account.answers[operation] = answer
    jobs, unread = list_all_jobs(aws, names, NOW)
    assert (jobs.ended, unread, len(account.asked(SEARCHED))) == (["old"], None, 2)


def test_a_job_that_ended_as_the_list_was_made_is_not_open() -> None:
    ended = job("ended", DAY)
    account = script([ended], [job("ended", DAY - SECOND, "InProgress", CreationTime=NOW - DAY)])
    account.answers[LISTED] = Torn({"TrainingJobSummaries": [ended | {"TrainingJobStatus": "InProgress"}]})

    jobs, _ = list_all_jobs(account.aws(), names, NOW)

    assert (jobs.ended, jobs.open) == (["ended"], {})


# --- Search -------------------------------------------------------------------------------------


def test_records_are_those_created_since_then_that_are_wanted() -> None:
    since = NOW - 10 * DAY + timedelta(microseconds=5)
    indexed = [job("at", 10 * DAY), job("before", 10 * DAY + SECOND), job("none", DAY)]
    account = script(indexed)

    found = search_training_jobs(
        account.aws(), lambda one: names(one) if one["TrainingJobName"] != "none" else None, NOW, since=since
    )

    assert (found.items, found.error) == (("at",), None)
    (asked,) = account.asked(SEARCHED)
    assert asked["SearchExpression"]["Filters"] == [
        {"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": "2026-09-26T03:00:00Z"}
    ]
    assert (asked["SortBy"], asked["SortOrder"]) == ("CreationTime", "Ascending")


def test_each_half_of_the_time_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_jobs, "MOST_SEARCH_HITS", 2)
    indexed = [job(f"job-{number}", number * HOUR) for number in range(1, 9)]
    account = script(indexed)

    found = search_training_jobs(account.aws(), names, NOW, since=NOW - 8 * HOUR)

    assert (sorted(found.items), found.error) == ([f"job-{number}" for number in range(1, 9)], None)
    spans = [
        [one["Value"] for one in asked["SearchExpression"]["Filters"]] for asked in account.asked(SEARCHED)
    ]
    assert spans[0] == ["2026-10-05T19:00:00Z"]
    assert spans[1] == ["2026-10-05T19:00:00Z", "2026-10-05T23:00:00Z"]
    assert ["2026-10-05T23:00:00Z"] in spans
    assert len(spans) == 7

    monkeypatch.setattr(training_jobs, "MOST_SEARCH_HITS", 8)
    whole = script(indexed)
    assert len(search_training_jobs(whole.aws(), names, NOW, since=NOW - 8 * HOUR).items) == 8
    assert len(whole.asked(SEARCHED)) == 1


def test_a_minute_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_jobs, "MOST_SEARCH_HITS", 2)
    account = script([job(f"job-{number}", MINUTE) for number in range(5)])

    found = search_training_jobs(account.aws(), names, NOW, since=NOW - MINUTE)

    assert (len(found.items), found.error, len(account.asked(SEARCHED))) == (5, None, 1)


@cases("counted, error", (2, None), (3, "sagemaker:Search of TrainingJob ended after 2 of 3"))
def test_fewer_records_than_aws_counted_are_an_error(counted: int, error: str | None) -> None:
    account = script([])
    account.answers[SEARCHED] = [
        Torn({"Results": [{"TrainingJob": job(name, HOUR)}], "TotalHits": {"Value": counted}})
        for name in "ab"
    ]

    found = search_training_jobs(account.aws(), names, NOW)

    assert (found.items, found.error) == (("a", "b"), error)
    assert search_training_jobs(Script({SEARCHED: {"Results": []}}).aws(), names, NOW).error is None


def test_a_run_that_shares_its_answers_asks_for_the_same_parts_of_the_past() -> None:
    indexed = [job(f"{days}", days * DAY) for days in (1, 9, 40, 70, 100, 500)]
    account = script(indexed)
    aws = account.aws(shared=SharedAnswers())

    assert search_training_jobs(aws, names, NOW, since=NOW - 35 * DAY).items == ("9", "1")
    assert sorted(search_training_jobs(aws, names, NOW).items) == sorted(names(one) for one in indexed)

    few = script(indexed)
    assert search_training_jobs(few.aws(shared=SharedAnswers()), names, NOW, since=NOW - 8 * DAY).items == (
        "1",
    )
    assert len(few.asked(SEARCHED)) == 1
    spans = [
        tuple(one["Value"][:10] for one in asked["SearchExpression"]["Filters"])
        for asked in account.asked(SEARCHED)
    ]
    cuts = [f"{NOW - days * DAY:%Y-%m-%d}" for days in (401, 93, 62, 32, 8)]
    assert set(spans) == {
        ("2017-11-29", cuts[0]), *pairwise(cuts), (cuts[-1],),
    }  # fmt: skip
