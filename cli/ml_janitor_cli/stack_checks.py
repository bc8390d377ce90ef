"""What is looked at of each function of a deployed stack, and what each thing that is wrong asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from ml_janitor.config.schedules import overdue_after
from ml_janitor.core.durations import ago
from ml_janitor.ledger.latest import BILL, LastSweep, Latest
from ml_janitor.ledger.runs import LastRun, Runs
from ml_janitor.ledger.table import Table
from ml_janitor_cli.stack import DEPLOY_AGAIN, PAGE, Check, Deployment, Gone, Outcome, Stack, Trouble, read
from ml_janitor_cli.stack_alarms import FAILED, QUEUES, queue_check

FUNCTION, SCHEDULE = "AWS::Lambda::Function", "AWS::Scheduler::Schedule"
TABLE = "AWS::DynamoDB::Table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    A function as the settings want it, if they do: its *construct* in the stack, and its *schedule*.

    One without a schedule is called when somebody asks for something; it need not be there. One that
    *answers* whoever calls it has no queue for what failed.
    """

    name: str
    construct: str
    schedule: str = ""
    enabled: bool = True
    sweeps: bool = True
    answers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the checks of one function need besides it: in an *organization*, its runs have many accounts."""

    account: str
    regions: Sequence[str]
    time_zone: str
    now: datetime
    organization: bool = False


def function_checks(here: Deployment, stack: Stack, one: Expected, around: Surroundings) -> Iterator[Check]:
    """Everything about one function."""
    deployed = stack.one(one.construct, "Function", FUNCTION)
    if deployed is None:
        if one.enabled and one.schedule:
            yield Check.wrong(
                "function",
                "it is not in the stack",
                "make deploy adds it; or it is meant to be off: say so with enabled = false",
                about=one.name,
            )
        return
    if not one.enabled:
        yield Check.wrong(
            "function",
            "it is deployed, but switched off in the settings here",
            "make deploy takes it away; or these are not the settings that were deployed",
            about=one.name,
        )
    yield function_check(here, deployed, one)
    if one.schedule:
        schedule, created = schedule_check(here, stack, one, around)
        yield schedule
        yield last_run(here, stack, one, around, created)
        queues = [*QUEUES]
    else:
        yield Check.fine("schedule", "when it is asked", about=one.name)
        queues = [] if one.answers else [FAILED]
    if queues:
        yield queue_check(here, stack, one.name, one.construct, around.now, *queues)
    else:
        yield Check.fine("queues", "none", about=one.name)


def function_check(here: Deployment, deployed: str, one: Expected) -> Check:
    """Whether Lambda has it, and can run it."""
    wrong = partial(Check.wrong, "function", about=one.name)
    asked = read(partial(here.client("lambda").get_function_configuration, FunctionName=deployed))
    match asked:
        case Trouble():
            return asked.check("function", about=one.name, action="lambda:GetFunctionConfiguration")
        case Gone():
            return wrong(seen=f"the function {deployed} was deleted", to_do=DEPLOY_AGAIN)
        case {"State": "Failed"} | {"LastUpdateStatus": "Failed"}:
            why = asked.get("StateReason") or asked.get("LastUpdateStatusReason") or "Lambda does not say why"
            return wrong(seen=f"Lambda cannot run it: {why}", to_do=DEPLOY_AGAIN)
        case _:
            seen = f"{asked['Runtime']}, {', '.join(asked['Architectures'])}"
            return Check.fine("function", seen, about=one.name)


def schedule_check(
    here: Deployment, stack: Stack, one: Expected, around: Surroundings
) -> tuple[Check, datetime | None]:
    """Whether its schedule is there, on, and the one of the settings; and since when it is there."""
    wrong = partial(Check.wrong, "schedule", about=one.name)
    name = stack.one(one.construct, "Schedule", SCHEDULE)
    asked = Gone() if name is None else read(partial(here.client("scheduler").get_schedule, Name=name))
    match asked:
        case Trouble():
            return asked.check("schedule", about=one.name, action="scheduler:GetSchedule"), None
        case Gone():
            return wrong(
                seen="its schedule was deleted, so nothing runs it", to_do=DEPLOY_AGAIN, short="deleted"
            ), None
    created: datetime = asked["CreationDate"]
    expression, zone = asked["ScheduleExpression"], asked.get("ScheduleExpressionTimezone", "UTC")
    if asked["State"] != "ENABLED":
        to_do = "enable it in EventBridge Scheduler, or make deploy REVERT=1"
        return wrong(
            seen="its schedule is disabled, so nothing runs it", to_do=to_do, short="disabled"
        ), created
    if (expression, zone) != (one.schedule, around.time_zone):
        seen = f"it runs on {expression} ({zone}); the settings here say {one.schedule} ({around.time_zone})"
        to_do = "make deploy sets it; or these are not the settings that were deployed"
        return wrong(seen=seen, to_do=to_do, short="not the settings'"), created
    return Check.fine("schedule", expression, about=one.name), created


def last_run(
    here: Deployment, stack: Stack, one: Expected, around: Surroundings, created: datetime | None
) -> Check:
    """When it last ran, by the ledger, and how that went: of several regions, the worst."""
    name = next((physical for (_, kind), physical in stack.resources.items() if kind == TABLE), None)
    if name is None:
        return Check.wrong("last run", "the stack has no ledger", DEPLOY_AGAIN, about=one.name)
    table = Table(here.client("dynamodb"), name)
    latest = Latest(table)
    if one.sweeps and around.organization:
        return run_check(read(partial(Runs(table).last, one.name)), one, around, created)
    if not one.sweeps:
        ask = partial(last_bill, latest) if one.name == BILL else latest.digest
        return run_check(read(partial(ask, around.account)), one, around, created)
    checks = [
        run_check(read(partial(latest.sweep, one.name, around.account, region)), one, around, created, region)
        for region in around.regions
    ]
    return next((check for check in checks if check.outcome is not Outcome.FINE), checks[0])


def last_bill(latest: Latest, account: str) -> datetime | None:
    """When the bill was read last."""
    bill = latest.bill(account)
    return None if bill is None else bill.time


def run_check(
    asked: LastSweep | LastRun | datetime | Trouble | Gone | None,
    one: Expected,
    around: Surroundings,
    created: datetime | None,
    region: str = "",
) -> Check:
    """What the ledger's memory of a run says."""
    where = f" in {region}" if len(around.regions) > 1 and region else ""
    match asked:
        case Trouble():
            return asked.check("last run", about=one.name, action="dynamodb:GetItem")
        case Gone():
            short, seen, to_do = (
                "deleted",
                "the ledger's table was deleted",
                f"see {PAGE}, The ledger is gone",
            )
        case None:
            short, seen, to_do = never_ran(one, around.now, created)
        case LastSweep(time=at, error=error):
            short, seen, to_do = ran(one, around.now, at, error)
        case LastRun(begun=at, unread=unread):
            lost = f"accounts and regions that left no result: {unread}" if unread else None
            short, seen, to_do = ran(one, around.now, at, lost)
        case at:
            short, seen, to_do = ran(one, around.now, at, None)
    outcome = Outcome.WRONG if to_do else Outcome.FINE
    seen = f"{seen}{where}"
    return Check(about=one.name, what="last run", outcome=outcome, seen=seen, to_do=to_do, short=short)


def never_ran(one: Expected, now: datetime, created: datetime | None) -> tuple[str, str, str]:
    """What it means that there is no memory of a run, and what to do: nothing while it is not due."""
    if created is None or now - created <= overdue_after(one.schedule):
        return "none yet", "none yet", ""
    seen = f"it has never run, and its schedule has been there for {ago(now - created)}"
    return "never", seen, f"see {PAGE}, DidNotRun"


def ran(one: Expected, now: datetime, at: datetime, error: str | None) -> tuple[str, str, str]:
    """What the latest run means, and what to do: nothing if it is not long ago, and was complete."""
    since = ago(now - at)
    if now - at > overdue_after(one.schedule):
        return "overdue", f"it last ran {since} ago, and is overdue", f"see {PAGE}, DidNotRun"
    if error is not None:
        seen = f"its last run, {since} ago, was not complete: {error}"
        return "incomplete", seen, f"see {PAGE}, Errors"
    return f"{since} ago", f"{since} ago", ""
