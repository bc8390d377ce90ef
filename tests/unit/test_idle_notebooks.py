"""The rule for notebook instances, signal by signal, at its exact boundaries."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import DAY, HOUR, MINUTE, SECOND
from fakes import target_at
from ml_janitor.aws.activity import LogNotRead, Metric, TrailEvent
from ml_janitor.aws.prices import Price
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.model import (
    Absent,
    ActionSchedule,
    Confidence,
    Cost,
    Finding,
    Kept,
    NotRead,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.detectors import idle_notebooks
from ml_janitor.detectors.idle_notebooks import IdleNotebooks, Notebook
from narrowing import not_none, of_type
from tables import cases
from verdicts import expect_verdict, shown, word

NIGHT = datetime(2026, 10, 6, 3, tzinfo=UTC)  # a Tuesday
NOON = datetime(2026, 10, 6, 12, tzinfo=UTC)
SATURDAY = datetime(2026, 10, 10, 12, tzinfo=UTC)

DENIED = Unreadable("GetLogEvents: AccessDeniedException")


def ago(idle: timedelta, age: timedelta) -> Value[timedelta]:
    """An idle time that was published so long ago."""
    return Value(idle, "cloudwatch:GetMetricData", NIGHT - age)


UNREAD_IDLE = Unreadable("GetMetricData: Throttling")
NO_IDLE_TIME = "could not be read (GetMetricData: Throttling)"
PUBLISHED = {"log": Absent()}  # only the notebook's own metric speaks


def notebook(now: datetime, *, quiet: timedelta = 30 * DAY, **signals: Any) -> Notebook:
    """A notebook in service, changed long ago, that last wrote to its log *quiet* ago."""
    given: dict[str, Any] = {
        "log": Value(now - quiet),
        "opened": Absent(),
        "busy": Absent(),
        "idle": Absent(),
        "modified": now - 60 * DAY,
    }
    return Notebook(
        target=target_at("notebook-instance/churn", now - 90 * DAY),
        instance_type="ml.t3.xlarge",
        price=Price(Decimal("0.20"), "Price List API"),
        **{"status": "InService", **given, **signals},
    )


def opening(at: datetime) -> Value[TrailEvent]:
    event = TrailEvent(
        name="CreatePresignedNotebookInstanceUrl",
        at=at,
        user="maria",
        succeeded=True,
        resources=frozenset(),
        identity={},
        request={},
    )
    return Value(event, "cloudtrail:LookupEvents", at)


def judged(candidate: Notebook, now: datetime, **tunables: Any) -> Verdict:
    return IdleNotebooks(**tunables).decide(candidate, now)


@cases(
    "now, signals, expected",
    # the last line of the log decides exactly
    (NOON, {"quiet": 12 * HOUR}, "likely"),
    (NOON, {"quiet": 12 * HOUR - SECOND}, "kept"),
    (NOON, {"quiet": 12 * HOUR + SECOND}, "likely"),
    (NOON, {"quiet": 2 * HOUR}, "kept"),
    (NIGHT, {"quiet": 2 * HOUR}, "likely"),
    (NIGHT, {"quiet": 2 * HOUR - SECOND}, "kept"),
    (SATURDAY, {"quiet": 2 * HOUR}, "likely"),
    (SATURDAY, {"quiet": 2 * HOUR - SECOND}, "kept"),
    (NOON, {"quiet": timedelta()}, "kept"),
    (NOON, {"quiet": -3 * MINUTE}, "kept"),
    (NIGHT, {"quiet": -400 * DAY}, "kept"),
    # an idle time from inside proves or keeps
    (NIGHT, {"idle": ago(2 * HOUR, 5 * MINUTE)}, "proven"),
    (NIGHT, {"idle": ago(2 * HOUR - SECOND, 5 * MINUTE)}, "kept"),
    (NIGHT, {"idle": ago(2 * HOUR, 30 * MINUTE)}, "proven"),
    (NIGHT, {"idle": ago(2 * HOUR, 30 * MINUTE + SECOND)}, "likely"),
    (NIGHT, {"idle": ago(timedelta(), 30 * MINUTE + SECOND)}, "likely"),
    (NIGHT, {"idle": ago(2 * HOUR, 5 * MINUTE), **PUBLISHED}, "proven"),
    (NIGHT, {"idle": ago(2 * HOUR - SECOND, 5 * MINUTE), **PUBLISHED}, "kept"),
    (NIGHT, {"idle": ago(HOUR, 31 * MINUTE), **PUBLISHED}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 31 * MINUTE), **PUBLISHED}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "log": LogNotRead()}, "proven"),
    (NIGHT, {"idle": ago(9 * HOUR, 31 * MINUTE), "log": LogNotRead()}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "log": DENIED}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "log": NotRead()}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "log": Value(NIGHT - HOUR)}, "kept"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "opened": opening(NIGHT - HOUR)}, "kept"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "opened": Unreadable("denied")}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, 5 * MINUTE), "busy": Unreadable("denied")}, "unknown"),
    (NIGHT, {"idle": ago(9 * HOUR, -5 * MINUTE)}, "proven"),  # the clocks differ
)
def test_what_each_sign_decides(now: datetime, signals: dict[str, Any], expected: str) -> None:
    assert word(judged(notebook(now, **signals), now)) == expected


@cases(
    "now, rule",
    (datetime(2026, 10, 6, 7, 59, 59, tzinfo=UTC), "outside working hours"),
    (datetime(2026, 10, 6, 8, 0, 0, tzinfo=UTC), "patience"),
    (datetime(2026, 10, 6, 19, 59, 59, tzinfo=UTC), "patience"),
    (datetime(2026, 10, 6, 20, 0, 0, tzinfo=UTC), "outside working hours"),
    (SATURDAY, "outside working hours"),
)
def test_evidence_names_the_rule_of_the_hour(now: datetime, rule: str) -> None:
    verdict = judged(notebook(now), now)
    assert shown(verdict)["rule"] == rule
    assert ("outside working hours" in verdict.reason) == (rule == "outside working hours")


@cases(
    "now, hours, expected",
    (NOON, WorkingHours(holidays=(date(2026, 10, 6),)), "likely"),
    (NOON, WorkingHours(time_zone="America/Los_Angeles"), "likely"),  # 05:00 there
    (datetime(2026, 10, 7, 1, tzinfo=UTC), WorkingHours(time_zone="America/Los_Angeles"), "kept"),
    (NIGHT, WorkingHours(time_zone="Asia/Tokyo"), "kept"),  # noon there
)
def test_nights_and_holidays_have_a_time_zone(now: datetime, hours: WorkingHours, expected: str) -> None:
    assert word(judged(notebook(now, quiet=3 * HOUR), now, working_hours=hours)) == expected


def test_the_outside_rule_never_allows_more_than_the_other() -> None:
    for outside in (HOUR, 5 * HOUR):
        longer = {"patience": HOUR, "patience_outside_hours": outside}
        verdict = judged(notebook(NIGHT, quiet=HOUR), NIGHT, **longer)
        assert word(verdict) == "likely"
        assert shown(verdict)["rule"] == "patience"


def test_the_outside_rule_gives_less_time_to_answer() -> None:
    by_night, by_day = judged(notebook(NIGHT), NIGHT), judged(notebook(NOON), NOON)
    assert isinstance(by_day, Finding)
    assert (of_type(Finding, by_night).grace, by_day.grace, IdleNotebooks.cleanup.grace) == (HOUR, None, DAY)


@pytest.mark.parametrize("status", ["Pending", "Stopping", "Stopped", "Failed", "Updating", "InMaintenance"])
def test_only_a_notebook_in_service_is_judged(status: str) -> None:
    verdict = judged(notebook(NIGHT, status=status, log=NotRead()), NIGHT)
    assert verdict == Kept(
        reason=f"its status is {status}, not InService",
        evidence=verdict.evidence,
        steps=(f"kept: its status is {status}, not InService",),
    )


@cases(
    "signals, sign",
    ({"modified": NIGHT - HOUR}, "its start or last change"),
    ({"opened": opening(NIGHT - HOUR)}, "its opening by maria"),
    ({"busy": Value(NIGHT - HOUR)}, "processor use"),
    ({"log": Value(NIGHT - HOUR)}, "a line in its Jupyter log"),
    ({"idle": Value(timedelta(), at=NIGHT - 30 * MINUTE)}, "activity in a kernel or terminal"),
)
@pytest.mark.parametrize("log", [Value(NIGHT - 9 * HOUR), Absent(), DENIED, NotRead()])
def test_any_recent_sign_keeps_despite_unreadable(signals: dict[str, Any], sign: str, log: Any) -> None:
    expect_verdict(judged(notebook(NIGHT, **{"log": log, **signals}), NIGHT), "kept", sign)


@cases(
    "signals, verdict, words",
    # a sign that is exactly as old as is allowed keeps nothing
    ({"modified": NIGHT - 2 * HOUR, "log": Value(NIGHT - 3 * HOUR)}, "likely", "2 hours ago"),
    ({"opened": opening(NIGHT - 2 * HOUR)}, "likely", "2 hours ago"),
    ({"busy": Value(NIGHT - 2 * HOUR)}, "likely", "2 hours ago"),
    # without a log or a published time, nobody knows
    ({"log": DENIED}, "unknown", "could not be read (GetLogEvents: AccessDeniedException)"),
    ({"log": NotRead()}, "unknown", "was not read"),
    ({"log": Absent()}, "unknown", "it has no Jupyter log"),
    # whoever publishes an idle time is not stopped while it cannot be read
    ({"log": Value(NIGHT - 9 * HOUR), "idle": UNREAD_IDLE}, "unknown", NO_IDLE_TIME),
    ({"log": Absent(), "idle": UNREAD_IDLE}, "unknown", NO_IDLE_TIME),
)
def test_old_and_unread_signs(signals: dict[str, Any], verdict: str, words: str) -> None:
    expect_verdict(judged(notebook(NIGHT, **signals), NIGHT), verdict, words)


@cases(
    "log, idle, expected",
    (NIGHT - 2 * DAY - HOUR - SECOND, Absent(), "unknown"),
    (NIGHT - 2 * DAY - HOUR, Absent(), "likely"),  # Jupyter runs before its instance is in service
    (NIGHT - 2 * DAY - HOUR - SECOND, Value(9 * HOUR, at=NIGHT), "proven"),
    (NIGHT - 2 * DAY - HOUR - SECOND, Value(9 * HOUR, at=NIGHT - HOUR), "unknown"),
)
def test_a_log_that_ends_before_its_start_does_not_arrive(log: datetime, idle: Any, expected: str) -> None:
    verdict = judged(notebook(NIGHT, modified=NIGHT - 2 * DAY, log=Value(log), idle=idle), NIGHT)
    assert word(verdict) == expected
    assert ("nothing was written to its Jupyter log since" in verdict.reason) == (expected == "unknown")


@cases(
    "signals, expected, shown_as",
    (
        {"opened": Unreadable("LookupEvents: AccessDenied")},
        "unknown",
        ("last opening", "LookupEvents: AccessDenied"),
    ),
    (
        {"busy": Unreadable("ListMetrics: Throttling")},
        "unknown",
        ("last processor use", "ListMetrics: Throttling"),
    ),
    (
        {"idle": Value(9 * HOUR, at=NIGHT - HOUR)},
        "likely",
        ("idle time it published", "9 hours at 2026-10-06T02:00:00Z, too long ago to count"),
    ),
)
def test_what_could_not_be_read_is_said(
    signals: dict[str, Any], expected: str, shown_as: tuple[str, str]
) -> None:
    verdict = judged(notebook(NIGHT, **signals), NIGHT)
    assert word(verdict) == expected
    assert shown_as in shown(verdict).items()


def test_an_opening_that_may_be_missing_keeps() -> None:
    """One of CloudTrail's events lacks a member: it may be the newest opening of this notebook."""
    verdict = judged(notebook(NIGHT, quiet=9 * HOUR, unread_openings="1 of 3 entries lacks EventName"), NIGHT)
    assert word(verdict) == "unknown"
    assert "a newer opening may not have been read" in verdict.reason


def test_a_finding_tells_the_whole_story() -> None:
    verdict = of_type(Finding, judged(notebook(NIGHT, quiet=9 * HOUR), NIGHT))
    assert verdict.reason == (
        "the last sign of work was a line in its Jupyter log 9 hours ago; "
        "2 hours are allowed outside working hours (Mon-Fri 08-20 UTC)"
    )
    assert verdict.confidence is Confidence.LIKELY
    assert verdict.action == "stop the notebook instance (its volume and files stay)"
    assert verdict.since == NIGHT - 9 * HOUR
    assert not_none(verdict.cost).monthly_usd == Decimal("146.00")
    assert shown(verdict) == {
        "status": "InService",
        "instance type": "ml.t3.xlarge",
        "rule": "outside working hours",
        "last line in the Jupyter log": "2026-10-05T18:00:00Z",
        "last start or change": "2026-08-07T03:00:00Z",
        "last opening": "none",
        "last processor use": "none",
        "idle time it published": "none",
        "what would prove it": "let it publish its idle time (janitor docs notebook-activity)",
    }


def test_an_unknown_price_stays_unknown() -> None:
    unpriced = replace(notebook(NIGHT), price=Price(None, "no price list"))
    assert not not_none(of_type(Finding, judged(unpriced, NIGHT)).cost).known


def test_a_holiday_is_named() -> None:
    hours = WorkingHours(holidays=(NOON.date(),))
    verdict = judged(notebook(NOON), NOON, working_hours=hours)
    assert verdict.reason.endswith("outside working hours (Mon-Fri 08-20 UTC, and this is a holiday)")


def test_a_log_from_the_future_is_work() -> None:
    assert judged(notebook(NOON, quiet=-3 * MINUTE), NOON).reason == (
        "the last sign of work was a line in its Jupyter log at 2026-10-06T12:03:00Z, "
        "which is after this sweep began; 12 hours are allowed"
    )


# --- stopped outside working hours ------------------------------------------------------------------

DUSK = datetime(2026, 10, 6, 18, 30, tzinfo=UTC)  # of a working day that ends at 20:00
CLOSING = datetime(2026, 10, 6, 20, tzinfo=UTC)
LATE = datetime(2026, 10, 6, 23, tzinfo=UTC)
FRESH = timedelta(minutes=5)


def scheduled(candidate: Notebook, now: datetime, *entries: str) -> Verdict:
    return judged(candidate, now, stop_outside_hours=entries or ("ch*",))


def published(now: datetime, idle: timedelta) -> dict[str, Any]:
    return {"idle": Value(idle, "cloudwatch:GetMetricData", now - FRESH)}


@pytest.mark.parametrize("quiet", [MINUTE, 5 * HOUR, 13 * HOUR])
@pytest.mark.parametrize("now", [CLOSING - 2 * HOUR, DUSK])
def test_in_the_last_two_working_hours_it_is_found_whatever_it_does(now: datetime, quiet: timedelta) -> None:
    verdict = of_type(Finding, scheduled(notebook(now, quiet=quiet), now))

    assert verdict.confidence is Confidence.LIKELY
    assert verdict.schedule == ActionSchedule(CLOSING, CLOSING, CLOSING + DAY)
    assert verdict.grace == HOUR
    assert verdict.reason.startswith(
        "it is stopped outside working hours (Mon-Fri 08-20 UTC) once it is quiet for 2 hours; "
    )


@cases(
    "now, entry",
    (CLOSING - 2 * HOUR - SECOND, "ch*"),  # earlier in the day the clock says nothing
    (CLOSING - 5 * HOUR, "ch*"),
    (DUSK, "other-*"),  # the others are kept while they are used
    (LATE, "other-*"),
)
def test_earlier_and_of_others_the_clock_says_nothing(now: datetime, entry: str) -> None:
    assert isinstance(scheduled(notebook(now, quiet=MINUTE), now, entry), Kept)


@cases(
    "now, signals, due",
    (CLOSING, {"quiet": 20 * MINUTE}, CLOSING + 100 * MINUTE),
    (LATE, {"quiet": 6 * HOUR}, CLOSING),
    (LATE, {"quiet": 2 * HOUR}, LATE),
    (LATE, {"quiet": 20 * MINUTE}, LATE + 100 * MINUTE),
    (LATE, {"quiet": 6 * HOUR, "busy": Value(LATE - 20 * MINUTE)}, LATE + 100 * MINUTE),
    (LATE, {"quiet": 6 * HOUR, "opened": opening(LATE - HOUR)}, LATE + HOUR),
    (LATE, {"quiet": 6 * HOUR, **published(LATE, timedelta())}, LATE + 2 * HOUR),  # a silent kernel computes
    (LATE, {"quiet": 6 * HOUR, **published(LATE, 2 * HOUR - MINUTE)}, LATE + MINUTE),
)
def test_from_closing_on_it_is_due_once_nothing_shows_work(
    now: datetime, signals: dict[str, Any], due: datetime
) -> None:
    verdict = of_type(Finding, scheduled(notebook(now, **signals), now))

    assert verdict.schedule == ActionSchedule(CLOSING, due, CLOSING + DAY)


@pytest.mark.parametrize(("quiet", "since"), [(2 * HOUR, LATE - 2 * HOUR), (2 * HOUR - SECOND, None)])
def test_it_has_cost_something_only_since_it_was_quiet(quiet: timedelta, since: datetime | None) -> None:
    assert of_type(Finding, scheduled(notebook(LATE, quiet=quiet), LATE)).since == since


def test_the_steps_say_how_it_was_judged() -> None:
    found, by_the_clock = judged(notebook(NIGHT), NIGHT), scheduled(notebook(LATE, quiet=HOUR), LATE)

    assert found.steps[:-1] == (
        "it is InService",
        "the last sign of work was a line in its Jupyter log 30 days ago",
        "nothing shows use, but a kernel may compute without output",
    )
    assert by_the_clock.steps[:-1] == ("it is InService", "stop_outside_hours names it")


def test_what_its_own_idle_time_proves_needs_no_schedule() -> None:
    verdict = of_type(Finding, scheduled(notebook(LATE, quiet=6 * HOUR, **published(LATE, 3 * HOUR)), LATE))

    assert (verdict.confidence, verdict.schedule) == (Confidence.PROVEN, None)


@cases(
    "signals",
    {"log": DENIED},
    {"log": Absent()},
    {"idle": DENIED},
    {"busy": DENIED},
    {"opened": DENIED},
    {"idle": Value(3 * HOUR, "", LATE - 40 * MINUTE)},  # too busy to go on saying so, perhaps
)
def test_no_clock_stops_what_may_work_unseen(signals: dict[str, Any]) -> None:
    assert word(scheduled(notebook(LATE, quiet=6 * HOUR, **signals), LATE)) == "unknown"


def test_on_a_weekend_the_last_closing_is_fridays() -> None:
    verdict = of_type(Finding, scheduled(notebook(SATURDAY), SATURDAY))

    friday = datetime(2026, 10, 9, 20, tzinfo=UTC)
    assert verdict.schedule == ActionSchedule(friday, friday, friday + 3 * DAY)


def test_it_costs_what_the_nights_and_weekends_cost() -> None:
    verdict = of_type(Finding, scheduled(notebook(DUSK), DUSK))

    assert verdict.cost is not None
    assert verdict.cost.monthly_usd == Decimal("0.20") * 730 * Decimal(108) / 168  # 60 of 168 hours are open
    unpriced = of_type(Finding, scheduled(replace(notebook(DUSK), price=Price(None, "no price list")), DUSK))
    assert unpriced.cost == Cost.standing(None, "no price list")


@cases(
    "entry, tags, named",
    ("churn", {}, True),
    ("CHURN", {}, True),
    ("chur", {}, False),
    ("arn:aws:sagemaker:*:123456789012:notebook-instance/ch*", {}, True),
    ("schedule=office-*", {"Schedule": "Office-Hours"}, True),
    ("schedule=office-*", {"schedule": "always"}, False),
    ("schedule=*", {}, False),
    ("churn=yes", {}, False),
)
def test_it_is_named_by_name_arn_or_tag(entry: str, tags: dict[str, str], *, named: bool) -> None:
    candidate = notebook(DUSK, quiet=MINUTE).tagged(Value(tags))

    assert isinstance(scheduled(candidate, DUSK, entry), Finding) is named


@pytest.mark.parametrize("entry", ["", "team a", "schedule=", "=office", "a/b"])
def test_an_entry_that_can_name_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="stop_outside_hours"):
        IdleNotebooks(stop_outside_hours=(entry,))


def test_only_its_own_stream_in_a_list_says_when_it_last_wrote() -> None:
    candidate = notebook(NOON)
    at = NOON - HOUR

    assert candidate.among({"churn-2/jupyter.log": at, "churn/LifecycleConfigOnStart": at}) == candidate
    assert candidate.among({"churn/jupyter.log": at}).log == Value(at, "logs:DescribeLogStreams", at)


def test_a_sign_of_this_very_moment_is_not_after_it() -> None:
    assert (
        idle_notebooks.sign_text(idle_notebooks.NotebookSign("a line", NOON), NOON)
        == "a line less than a minute ago"
    )
    assert "after this sweep began" in idle_notebooks.sign_text(
        idle_notebooks.NotebookSign("a line", NOON + SECOND), NOON
    )


def test_use_that_cannot_be_read_is_not_taken_for_none() -> None:
    unread, metric = Unreadable("denied"), Metric.of("CWAgent", "cpu_usage_idle", period=300, host="a")

    assert idle_notebooks._worked(metric, unread, NIGHT) is unread
    assert idle_notebooks._newest([Absent(), unread]) is unread
    assert idle_notebooks._newest([unread, Value(NIGHT)]) == Value(NIGHT)
