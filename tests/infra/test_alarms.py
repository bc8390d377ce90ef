"""The alarms: few, over all functions; each broken thing rings exactly one, twice if broken twice."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from conftest import ACCOUNT, NOW, REGION
from fakes import USED, thing, waste
from memory_table import MemoryTable
from ml_janitor.config.schedules import missed_after, schedule_period
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Mode
from ml_janitor.core.results import CauseCode, LimitHit, Outcome, Result, Sweep, make_cause
from ml_janitor.ledger.latest import LastBill, LastRun, LatestRecords, LatestRuns
from ml_janitor.report import telemetry
from ml_janitor.scheduled.watch import ScheduleWatch
from synthesis import BUTTONS, EVERY_ACCOUNT, Synthesised, synthesise
from tables import cases

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
BREAKS = (NOW + 10 * HOUR, NOW + 30 * HOUR)
END = NOW + 48 * HOUR
ACTS = {"mode": "act", "act_in": [f"{ACCOUNT}/eu-west-1"]}
EVERYTHING = {
    "janitor": BUTTONS,
    "detectors": {"idle-endpoints": ACTS, "idle-notebooks": ACTS},
    "bill": {"enabled": True, "max_requests": 16},
    "organization": EVERY_ACCOUNT | {"janitor_account": ACCOUNT, "regions": [REGION]},
}

type Metric = tuple[str, str, str]
"""The namespace, the name, and the resource of a metric that AWS writes; that of the janitor has none."""
type Datapoints = dict[Metric, list[tuple[datetime, float]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A deployment that has every alarm."""
    return synthesise(tmp_path_factory.mktemp("everything"), Settings.parse(EVERYTHING))


def test_the_alarms_are_few_and_say_where_to_look(stack: Synthesised) -> None:
    alarms = {name[:-8]: alarm for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()}

    acts = {"ActionsFailed", "HeldBack", "RecordsRefused"}
    organization = {"OrganizationFailed", "OrganizationTimedOut"}
    assert {*alarms} == {"RunFailed", "NotDelivered", "SweepMissed", "PressNotTaken"} | acts | organization
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"], name
        assert any(word in alarm["AlarmDescription"] for word in ("queue", "says", "report", "log")), name
        assert not any(one["Name"] == "detector" for one in alarm.get("Dimensions", ()))


def test_a_deployment_that_only_reports_has_three(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = synthesise(tmp_path_factory.mktemp("reporting"), Settings.parse({}))
    assert {name[:-8] for name in made.of_type("AWS::CloudWatch::Alarm")} == {
        "RunFailed",
        "NotDelivered",
        "SweepMissed",
    }


# --- what rings ---------------------------------------------------------------------------------------


def metric_of(alarm: dict[str, Any]) -> Metric:
    """The metric that *alarm* watches, with the logical id of its resource."""
    resource = [json.dumps(one["Value"]) for one in alarm.get("Dimensions", ())]
    return alarm["Namespace"], alarm["MetricName"], "".join(resource)


def rings_at(alarm: dict[str, Any], given: Datapoints) -> Iterator[datetime]:
    """Yield when *alarm* goes off, as CloudWatch evaluates it (user guide, "Evaluating an alarm")."""
    period, ringing = timedelta(seconds=alarm["Period"]), False
    reduced: Callable[[list[float]], float] = sum if alarm["Statistic"] == "Sum" else max
    assert alarm["Statistic"] in {"Sum", "Maximum"}
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    missing = alarm["TreatMissingData"] == "breaching"
    at, seen = NOW, list[bool]()
    while at < END:
        values = [value for time, value in given.get(metric_of(alarm), ()) if at <= time < at + period]
        seen.append(reduced(values) > alarm["Threshold"] if values else missing)
        at += period
        breached = len(seen) >= alarm["EvaluationPeriods"] and all(seen[-alarm["EvaluationPeriods"] :])
        if breached and not ringing:
            yield at
        ringing = breached


def written(write: Callable[[], object], at: datetime) -> Datapoints:
    """The datapoints in what *write* writes to the log."""
    found: Datapoints = defaultdict(list)
    with redirect_stdout(StringIO()) as log:
        write()
    for line in map(json.loads, log.getvalue().splitlines()):
        for one in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert one["Dimensions"] == [[]]
            for metric in one["Metrics"]:
                found[one["Namespace"], metric["Name"], ""] += [(at, line[metric["Name"]][0])]
    return found


def nights(*broken: datetime, schedules: frozenset[str] = frozenset()) -> Datapoints:
    """
    What the hourly look at the schedules writes, where the *schedules* do not run for three hours.

    Without any, that look does not run itself.
    """
    table, found = MemoryTable(), defaultdict[Metric, list[tuple[datetime, float]]](list)
    settings, latest = Settings.parse({}), LatestRecords(table)
    look = ScheduleWatch(
        settings=settings,
        latest=latest,
        runs=LatestRuns(table),
        account=ACCOUNT,
        regions=(REGION,),
        logger=Logger(service="test", logger_handler=None),
    )
    at = NOW
    while at < END:
        off = any(start <= at < start + 3 * HOUR for start in broken)
        for detector in settings.enabled():
            if not (off and detector.name in schedules):
                sweep = Sweep(detector=detector.name, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN)
                latest.remember(sweep, at)
        latest.digested(ACCOUNT, at)
        if schedules or not off:
            for metric, values in written(lambda: look.look(at + 7 * MINUTE), at + 7 * MINUTE).items():  # noqa: B023
                found[metric] += values
        at += HOUR
    return found


def sent(stack: Synthesised, kind: str, start: str, *path: str) -> Callable[[datetime], Datapoints]:
    """A message in the queue that resources of a type, whose ids start so, name at *path*."""

    def broken(at: datetime) -> Datapoints:
        target: Any = next(one for name, one in stack.of_type(kind).items() if name.startswith(start))
        for part in path:
            target = target[part]
        queue = json.dumps({"Fn::GetAtt": [target["Fn::GetAtt"][0], "QueueName"]})
        return {("AWS/SQS", "NumberOfMessagesSent", queue): [(at, 1)]}

    return broken


def act(
    outcome: Outcome, cause: CauseCode | None = None, *held: LimitHit
) -> Callable[[datetime], Datapoints]:
    """A run with an action that ended so."""
    why = None if cause is None else make_cause(cause, "denied")
    target = thing("lamp", USED).target
    result = Result(detector="shelf", target=target, verdict=waste("1"), outcome=outcome, cause=why)
    sweep = Sweep(
        detector="shelf", account=ACCOUNT, region=REGION, mode=Mode.ACT, results=(result,), held_back=held
    )
    return lambda at: written(lambda: telemetry.measure_acts([sweep]), at)


def of_aws(stack: Synthesised, name: str) -> Callable[[datetime], Datapoints]:
    """A value of the metric that AWS writes for the alarm *name*."""
    (alarm,) = (one for each, one in stack.of_type("AWS::CloudWatch::Alarm").items() if each[:-8] == name)
    return lambda at: {metric_of(alarm): [(at, 1)]}


LIMIT = LimitHit(make_cause(CauseCode.MAX_ACTIONS, 2), 3)
CONFIG, QUEUE = "AWS::Lambda::EventInvokeConfig", ("DestinationConfig", "OnFailure", "Destination")
SCHEDULE, LETTERS = "AWS::Scheduler::Schedule", ("Target", "DeadLetterConfig", "Arn")


@cases(
    "what, alarm, broken",
    ("a sweep", "RunFailed", lambda made: sent(made, CONFIG, "IdleEndpoints", *QUEUE)),
    ("an adviser", "RunFailed", lambda made: sent(made, CONFIG, "Advisers", *QUEUE)),
    ("a digest", "RunFailed", lambda made: sent(made, CONFIG, "Digest", *QUEUE)),
    ("a bill", "RunFailed", lambda made: sent(made, CONFIG, "Bill", *QUEUE)),
    ("an undo", "RunFailed", lambda made: sent(made, CONFIG, "Undo", *QUEUE)),
    ("a press", "RunFailed", lambda made: sent(made, CONFIG, "SlackWorker", *QUEUE)),
    ("that of advisers", "NotDelivered", lambda made: sent(made, SCHEDULE, "AdvisersSchedule", *LETTERS)),
    ("that of the digest", "NotDelivered", lambda made: sent(made, SCHEDULE, "DigestSchedule", *LETTERS)),
    ("an action", "ActionsFailed", lambda _: act(Outcome.FAILED, CauseCode.ACT_FAILED)),
    ("a limit", "HeldBack", lambda _: act(Outcome.WAITING, None, LIMIT)),
    ("a record", "RecordsRefused", lambda _: act(Outcome.WAITING, CauseCode.MAC_INVALID)),
    ("that of an undo", "RecordsRefused", lambda _: lambda at: written(telemetry.measure_refused, at)),
    ("the receiver", "PressNotTaken", lambda made: of_aws(made, "PressNotTaken")),
    ("a run over the organization", "OrganizationFailed", lambda made: of_aws(made, "OrganizationFailed")),
    ("a run that takes a day", "OrganizationTimedOut", lambda made: of_aws(made, "OrganizationTimedOut")),
    ("an hourly sweep", "SweepMissed", frozenset({"idle-notebooks"})),
    ("the look itself", "SweepMissed", frozenset[str]()),
)  # fmt: skip
def test_what_breaks_rings_exactly_one_alarm_and_twice_if_it_breaks_twice(
    stack: Synthesised, what: str, alarm: str, broken: Any
) -> None:
    alarms = {name[:-8]: one for name, one in stack.of_type("AWS::CloudWatch::Alarm").items()}
    for times in (1, 2):
        breaks = BREAKS[:times]
        if isinstance(broken, frozenset):
            given = nights(*breaks, schedules=broken)
        else:
            given = nights()
            for at in breaks:
                for metric, values in broken(stack)(at).items():
                    given[metric] = [*given.get(metric, ()), *values]
        rung = {name: rings for name, one in alarms.items() if (rings := [*rings_at(one, given)])}

        assert list(rung) == [alarm], what
        assert len(rung[alarm]) == times
        for began, rang in zip(breaks, rung[alarm], strict=True):
            assert timedelta(0) < rang - began <= 3 * HOUR


# --- what counts as missed ------------------------------------------------------------------------------


@cases(
    "schedule",
    *("rate(5 minutes)", "rate(1 hour)", "rate(7 hours)", "cron(0 3 * * ? *)", "cron(0 3 ? * MON-FRI *)"),
    *("cron(0 5 ? * MON *)", "cron(0 5 1 * ? *)", "cron(0 3 1 1 ? *)"),
)
def test_a_schedule_may_be_silent_between_two_runs_however_rare_it_is(schedule: str) -> None:
    every = schedule_period(schedule)
    assert every + 30 * MINUTE <= missed_after(schedule) <= every + max(3 * HOUR, every / 2)


def test_what_never_ran_is_missed_once_it_could_have_run(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """And a region that was never swept, or the longest ago; of an organization its runs."""
    latest, runs = LatestRecords(MemoryTable()), LatestRuns(MemoryTable())
    others = {one.name: {"enabled": one.name == "idle-endpoints"} for one in Settings.parse({}).enabled()}

    def missed(hours: float, *regions: str, **more: Any) -> list[str]:
        look = ScheduleWatch(
            settings=Settings.parse({"detectors": others, **more}),
            latest=latest,
            runs=runs,
            account=ACCOUNT,
            regions=(REGION, "eu-west-1", *regions),
            logger=Logger(service="test", logger_handler=None),
        )
        found: list[str] = look.look(NOW + timedelta(hours=hours))["missed"]
        return found

    def swept(region: str, hours: float) -> None:
        sweep = Sweep(detector="idle-endpoints", account=ACCOUNT, region=region, mode=Mode.DRY_RUN)
        latest.remember(sweep, NOW + timedelta(hours=hours))

    assert missed(0) == []
    swept(REGION, 20)
    assert missed(27) == []
    assert missed(27.1) == ["digest", "idle-endpoints"]
    assert '"SweepsMissed":[2.0]' in capsys.readouterr().out
    assert [record.detector for record in caplog.records] == ["digest", "idle-endpoints"]  # type: ignore[attr-defined]
    swept("eu-west-1", 26)
    latest.digested(ACCOUNT, NOW + 26 * HOUR)
    assert missed(47) == []
    assert missed(47.1, bill=EVERYTHING["bill"]) == ["idle-endpoints"]  # the bill is read from now on
    at = NOW + 30 * HOUR
    latest.billed(ACCOUNT, LastBill(time=at))
    assert missed(74.1, bill=EVERYTHING["bill"]) == ["digest", "idle-endpoints"]
    assert missed(74.2, bill=EVERYTHING["bill"]) == ["digest", "bill", "idle-endpoints"]
    swept(REGION, 74)
    swept("eu-west-1", 74)
    assert missed(74.3, "eu-west-3") == ["digest"]
    swept(REGION, 100)
    swept("eu-west-1", 100)
    assert missed(101.3, "eu-west-3") == ["digest"]
    assert missed(101.4, "eu-west-3") == ["digest", "idle-endpoints"]
    runs.begun(LastRun(detector="idle-endpoints", time=at, key="", accounts=1, begun=at))
    assert missed(47.1, organization=EVERYTHING["organization"]) == []
