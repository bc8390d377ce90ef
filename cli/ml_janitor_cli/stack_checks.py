"""Checks of each function of a deployed stack, with the next step for each fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from ml_janitor.config.schedules import overdue_after
from ml_janitor.core.durations import format_age
from ml_janitor.ledger.latest import BILL_KEY, LastSweep, LatestRecords
from ml_janitor.ledger.runs import LastRun, LatestRuns
from ml_janitor.ledger.table import Table
from ml_janitor_cli.stack import (
    DEPLOY_AGAIN_ADVICE,
    OPERATING_PAGE,
    Check,
    CheckOutcome,
    DeployedStack,
    MissingResource,
    RegionServices,
    Trouble,
    read_answer,
)
from ml_janitor_cli.stack_alarms import FAILED_QUEUE, QUEUE_CONTENTS, check_queues

FUNCTION_TYPE, SCHEDULE_TYPE = "AWS::Lambda::Function", "AWS::Scheduler::Schedule"
TABLE_TYPE = "AWS::DynamoDB::Table"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFunction:
    """
    A function as the settings want it, if they do: its *construct* in the stack, and its *schedule*.

    A function without a schedule is called when somebody asks for something; it need not be there. A function
    that *answers* its caller has no queue for failed runs.
    """

    name: str
    construct: str
    schedule: str = ""
    enabled: bool = True
    sweeps: bool = True
    answers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSurroundings:
    """The surroundings of the checks of one function: in an *organization*, its runs have many accounts."""

    account: str
    regions: Sequence[str]
    time_zone: str
    now: datetime
    organization: bool = False


def check_function_parts(
    here: RegionServices, stack: DeployedStack, function: ExpectedFunction, around: CheckSurroundings
) -> Iterator[Check]:
    """Check everything about one function."""
    deployed = stack.physical_id(function.construct, "Function", FUNCTION_TYPE)
    if deployed is None:
        if function.enabled and function.schedule:
            yield Check.wrong(
                "function",
                "it is not in the stack",
                "make deploy adds it; or it is meant to be off: say so with enabled = false",
                about=function.name,
            )
        return
    if not function.enabled:
        yield Check.wrong(
            "function",
            "it is deployed, but switched off in the settings here",
            "make deploy takes it away; or these are not the settings that were deployed",
            about=function.name,
        )
    yield check_function(here, deployed, function)
    if function.schedule:
        schedule, created = check_schedule(here, stack, function, around)
        yield schedule
        yield check_last_run(here, stack, function, around, created)
        queues = [*QUEUE_CONTENTS]
    else:
        yield Check.fine("schedule", "when it is asked", about=function.name)
        queues = [] if function.answers else [FAILED_QUEUE]
    if queues:
        yield check_queues(here, stack, function.name, function.construct, around.now, *queues)
    else:
        yield Check.fine("queues", "none", about=function.name)


def check_function(here: RegionServices, deployed: str, function: ExpectedFunction) -> Check:
    """Check that Lambda has it, and can run it."""
    wrong = partial(Check.wrong, "function", about=function.name)
    asked = read_answer(partial(here.client("lambda").get_function_configuration, FunctionName=deployed))
    match asked:
        case Trouble():
            return asked.check("function", about=function.name, action="lambda:GetFunctionConfiguration")
        case MissingResource():
            return wrong(seen=f"the function {deployed} was deleted", to_do=DEPLOY_AGAIN_ADVICE)
        case {"State": "Failed"} | {"LastUpdateStatus": "Failed"}:
            why = asked.get("StateReason") or asked.get("LastUpdateStatusReason") or "Lambda does not say why"
            return wrong(seen=f"Lambda cannot run it: {why}", to_do=DEPLOY_AGAIN_ADVICE)
        case _:
            seen = f"{asked['Runtime']}, {', '.join(asked['Architectures'])}"
            return Check.fine("function", seen, about=function.name)


def check_schedule(
    here: RegionServices, stack: DeployedStack, function: ExpectedFunction, around: CheckSurroundings
) -> tuple[Check, datetime | None]:
    """Check that its schedule is there, on, and as in the settings; return since when it is there."""
    wrong = partial(Check.wrong, "schedule", about=function.name)
    name = stack.physical_id(function.construct, "Schedule", SCHEDULE_TYPE)
    asked = (
        MissingResource()
        if name is None
        else read_answer(partial(here.client("scheduler").get_schedule, Name=name))
    )
    match asked:
        case Trouble():
            return asked.check("schedule", about=function.name, action="scheduler:GetSchedule"), None
        case MissingResource():
            return wrong(
                seen="its schedule was deleted, so nothing runs it",
                to_do=DEPLOY_AGAIN_ADVICE,
                short="deleted",
            ), None
    created: datetime = asked["CreationDate"]
    expression, zone = asked["ScheduleExpression"], asked.get("ScheduleExpressionTimezone", "UTC")
    if asked["State"] != "ENABLED":
        to_do = "enable it in EventBridge Scheduler, or make deploy REVERT=1"
        return wrong(
            seen="its schedule is disabled, so nothing runs it", to_do=to_do, short="disabled"
        ), created
    if (expression, zone) != (function.schedule, around.time_zone):
        seen = (
            f"it runs on {expression} ({zone}); the settings here say "
            f"{function.schedule} ({around.time_zone})"
        )
        to_do = "make deploy sets it; or these are not the settings that were deployed"
        return wrong(seen=seen, to_do=to_do, short="not the settings'"), created
    return Check.fine("schedule", expression, about=function.name), created


def check_last_run(
    here: RegionServices,
    stack: DeployedStack,
    function: ExpectedFunction,
    around: CheckSurroundings,
    created: datetime | None,
) -> Check:
    """Check when it last ran, by the ledger, and how that went: of several regions, the worst."""
    name = next((physical for (_, kind), physical in stack.resources.items() if kind == TABLE_TYPE), None)
    if name is None:
        return Check.wrong("last run", "the stack has no ledger", DEPLOY_AGAIN_ADVICE, about=function.name)
    table = Table(here.client("dynamodb"), name)
    latest = LatestRecords(table)
    if function.sweeps and around.organization:
        return check_run_record(
            read_answer(partial(LatestRuns(table).last, function.name)), function, around, created
        )
    if not function.sweeps:
        ask = partial(last_bill_time, latest) if function.name == BILL_KEY else latest.digest
        return check_run_record(read_answer(partial(ask, around.account)), function, around, created)
    checks = [
        check_run_record(
            read_answer(partial(latest.sweep, function.name, around.account, region)),
            function,
            around,
            created,
            region,
        )
        for region in around.regions
    ]
    return next((check for check in checks if check.outcome is not CheckOutcome.FINE), checks[0])


def last_bill_time(latest: LatestRecords, account: str) -> datetime | None:
    """Return when the bill was read last."""
    bill = latest.bill(account)
    return None if bill is None else bill.time


def check_run_record(
    asked: LastSweep | LastRun | datetime | Trouble | MissingResource | None,
    function: ExpectedFunction,
    around: CheckSurroundings,
    created: datetime | None,
    region: str = "",
) -> Check:
    """Check the ledger's record of a run."""
    where = f" in {region}" if len(around.regions) > 1 and region else ""
    match asked:
        case Trouble():
            return asked.check("last run", about=function.name, action="dynamodb:GetItem")
        case MissingResource():
            short, seen, to_do = (
                "deleted",
                "the ledger's table was deleted",
                f"see {OPERATING_PAGE}, The ledger is gone",
            )
        case None:
            short, seen, to_do = judge_missing_run(function, around.now, created)
        case LastSweep(time=at, error=error):
            short, seen, to_do = judge_run(function, around.now, at, error)
        case LastRun(begun=at, unread=unread):
            lost = f"accounts and regions that left no result: {unread}" if unread else None
            short, seen, to_do = judge_run(function, around.now, at, lost)
        case at:
            short, seen, to_do = judge_run(function, around.now, at, None)
    outcome = CheckOutcome.WRONG if to_do else CheckOutcome.FINE
    seen = f"{seen}{where}"
    return Check(about=function.name, what="last run", outcome=outcome, seen=seen, to_do=to_do, short=short)


def judge_missing_run(
    function: ExpectedFunction, now: datetime, created: datetime | None
) -> tuple[str, str, str]:
    """Judge a missing record of a run, and say what to do: nothing while it is not due."""
    if created is None or now - created <= overdue_after(function.schedule):
        return "none yet", "none yet", ""
    seen = f"it has never run, and its schedule has been there for {format_age(now - created)}"
    return "never", seen, f"see {OPERATING_PAGE}, DidNotRun"


def judge_run(
    function: ExpectedFunction, now: datetime, at: datetime, error: str | None
) -> tuple[str, str, str]:
    """Judge the latest run, and say what to do: nothing if it was recent and complete."""
    since = format_age(now - at)
    if now - at > overdue_after(function.schedule):
        return "overdue", f"it last ran {since} ago, and is overdue", f"see {OPERATING_PAGE}, DidNotRun"
    if error is not None:
        seen = f"its last run, {since} ago, was not complete: {error}"
        return "incomplete", seen, f"see {OPERATING_PAGE}, Errors"
    return f"{since} ago", f"{since} ago", ""
