"""The Lambda edges: the event, the environment, the clock; everything else happens below."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janitor.model import Mode

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from janitor.events import SweepEvent
    from janitor.ledger import Recorded
    from janitor.model import Report, Sweep
    from janitor.runs import Ran, Runner, Tell
    from janitor.settings import Settings
    from janitor.telling import Teller

RESERVE = timedelta(seconds=60)
"""What a run keeps of its time for the report, the ledger and Slack; a quarter of it, if that is less."""

SPARE_SECONDS = 5
"""What Slack leaves of the remaining time, so that a run can still end by itself."""

IDEMPOTENT_FOR = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the deployment says of a function."""

    table: str
    bucket: str
    region: str
    detector: str = ""
    root: Path = Path()

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """From environment variables. Raises KeyError with the name of one that is missing."""
        return cls(
            table=variables["JANITOR_TABLE"],
            bucket=variables["JANITOR_BUCKET"],
            region=variables["AWS_REGION"],
            detector=variables.get("JANITOR_DETECTOR", ""),
            root=Path(variables.get("LAMBDA_TASK_ROOT", ".")),
        )


def clock() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@cache
def logger() -> Logger:
    """Structured logs; nothing of an event or a resource is logged by itself."""
    from aws_lambda_powertools import Logger

    return Logger(service="ml-janitor")


def sweep(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """
    Run the detector that JANITOR_DETECTOR names, once per event however often it is delivered.

    Raises ValueError for an event that makes no sense, and RunFailedError after everything that
    could be done was done.
    """
    from janitor.once import once
    from janitor.settings import FILE, Settings

    asked = parsed(event)
    environment = Environment.read(os.environ)
    settings = Settings.load(files=[path for path in [environment.root / FILE] if path.exists()])

    def work() -> dict[str, Any]:
        return answer(ran(asked, environment, settings, context))

    identity = asked.model_dump(mode="json") if asked.time else {"request": context.aws_request_id}
    key = {"detector": environment.detector, **identity}
    return once(work, key=key, table=environment.table, context=context, keep=IDEMPOTENT_FOR)


def parsed(event: object) -> SweepEvent:
    """*event*, checked. Raises ValueError with one line."""
    from pydantic import ValidationError

    from janitor.events import SweepEvent

    try:
        asked = SweepEvent.model_validate(event)
        asked.target()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "event"
        raise ValueError(f"the event makes no sense: {where}: {first['msg']}") from None
    return asked


def ran(asked: SweepEvent, environment: Environment, settings: Settings, context: LambdaContext) -> Ran:
    """The run that *asked* for, in this account."""
    import boto3

    from janitor.account import opened
    from janitor.aws import DEFAULT_ATTEMPTS

    real_now = clock()
    session = boto3.Session()
    detector = next(one for one in settings.enabled() if one.name == environment.detector)
    has_time = time_left(context)
    target = asked.target()
    regions = asked.regions or tuple(settings.janitor.regions) or (environment.region,)
    if target is not None:
        regions = (target.region or regions[0],)
    account = own_account(context)
    runner = made(session, environment, settings, context)
    with opened(
        session, account=account, regions=regions, attempts=DEFAULT_ATTEMPTS, has_time=has_time
    ) as accounts:
        now, note = asked.time or real_now, noted(asked, real_now)
        if target is not None and asked.resource is not None:
            return runner.look(detector, accounts[0], asked.resource, now=now, note=note)
        return runner.sweep(detector, accounts, now=now, note=note)


def made(session: Any, environment: Environment, settings: Settings, context: LambdaContext) -> Runner:
    """The runner with its parts: ledger, archive and Slack, all in the function's own region."""
    from janitor.archive import Archive
    from janitor.aws import DEFAULT_ATTEMPTS, make_client
    from janitor.ledger import Ledger
    from janitor.runs import Runner

    region = environment.region
    return Runner(
        policy=settings.policy,
        ledger=Ledger(make_client(session, "dynamodb", region, DEFAULT_ATTEMPTS), environment.table),
        archive=Archive(make_client(session, "s3", region, DEFAULT_ATTEMPTS), environment.bucket),
        tell=heard(settings, context),
        logger=logger(),
        clock=clock,
        holder=context.aws_request_id,
        patience=timedelta(milliseconds=context.get_remaining_time_in_millis()),
    )


def telling(settings: Settings, context: LambdaContext) -> Teller | None:
    """Slack, for the time the run has left; None where the settings name no secret."""
    if not settings.janitor.slack_secret:
        return None
    from janitor.slack import API, Time
    from janitor.slack_secret import secret, sender
    from janitor.telling import Teller

    url = os.environ.get("JANITOR_SLACK_URL", API)
    passing = Time(clock=time.monotonic, sleep=time.sleep)
    made = sender(secret(settings.janitor.slack_secret), settings.janitor.slack_channel, passing, url=url)
    left = context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS
    return Teller(
        sender=made,
        deadline=time.monotonic() + left,
        keep_tag=next(iter(settings.janitor.keep_tags), ""),
    )


def heard(settings: Settings, context: LambdaContext) -> Tell:
    """Tells Slack; its secret is read only when there is something to tell, after all the rest."""

    def tell(report: Report, sweep: Sweep, recorded: Recorded, where: str, taken: Callable[[], None]) -> None:
        if teller := telling(settings, context):
            teller.tell(report, sweep, recorded, where, taken)

    return tell


def digest(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """
    Say once a day in Slack what all sweeps found, and which did not run.

    Raises ValueError for an event that makes no sense, SlackError if Slack did not take it.
    """
    import boto3

    from janitor.aws import DEFAULT_ATTEMPTS, make_client
    from janitor.ledger import Ledger
    from janitor.settings import FILE, Settings
    from janitor.telling import rows

    asked = parsed(event)
    environment = Environment.read(os.environ)
    settings = Settings.load(files=[path for path in [environment.root / FILE] if path.exists()])
    client = make_client(boto3.Session(), "dynamodb", environment.region, DEFAULT_ATTEMPTS)
    now = asked.time or clock()
    listed = rows(
        Ledger(client, environment.table),
        [(detector, settings.schedule(type(detector))) for detector in settings.enabled()],
        own_account(context),
        asked.regions or settings.janitor.regions or [environment.region],
        now=now,
    )
    if teller := telling(settings, context):
        teller.digest(listed, now=now)
    missing = [f"{row.detector} in {row.region}" for row in listed if row.late or row.last is None]
    return {"time": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "sweeps": len(listed), "did_not_run": missing}


def noted(asked: SweepEvent, real_now: datetime) -> str:
    """What a reader must know of the run besides its findings."""
    if asked.stale(real_now) and asked.time is not None:
        age = real_now - asked.time
        return f"the event was {age.total_seconds() / 3600:.1f} hours old, so this was a {Mode.DRY_RUN}"
    return ""


def time_left(context: LambdaContext) -> Callable[[], bool]:
    """Whether there is time for another call, with enough kept for what comes after reading."""
    total = timedelta(milliseconds=context.get_remaining_time_in_millis())
    reserve = min(RESERVE, total / 4)

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > reserve

    return has_time


def own_account(context: LambdaContext) -> str:
    """The account that the function runs in, from its own ARN: no call needed."""
    return context.invoked_function_arn.split(":")[4]


def answer(done: Ran) -> dict[str, Any]:
    """Counts and where the report lies: an answer has a size limit, an account's waste has none."""
    return {
        "time": done.report.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "account": done.report.account,
        "report": done.where,
        "new": done.new,
        "note": done.note,
        "sweeps": [
            {
                "detector": sweep.detector,
                "region": sweep.region,
                "mode": sweep.mode.value,
                "looked_at": sweep.looked_at,
                "found": sweep.found,
                "kept": sweep.kept,
                "unknown": sweep.unknown,
            }
            for sweep in done.report.sweeps
        ],
    }
