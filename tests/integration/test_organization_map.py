"""The synthesised state machine, run by the sandbox's interpreter over twenty accounts."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event, Lock
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from declared import Declared, Deployed, Function
from hosted import LAMBDA, SCHEDULER, Host, entry
from ml_janitor.config.events import AccountsEvent
from ml_janitor.config.member_roles import member_role_name, role_arn
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.latest import (
    RUN_ACCOUNTS_ADAPTER,
    LastSweep,
    LatestRecords,
    LatestRuns,
    RunAccount,
    RunLists,
)
from ml_janitor.scheduled.accounts import AccountsRun
from ml_janitor_cli.template.state_machine import define_state_machine
from ml_janitor_sandbox import functions
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.functions import Outcome
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.stack import deploy
from organization import EXTERNAL_ID, Organization
from standin import Context
from synthesis import synthesise

DETECTOR = "idle-notebooks"
ACCOUNTS = tuple(f"1000000000{n:02d}" for n in range(20))
REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
THROTTLED, RAISES, TIMES_OUT, NO_ROLE, HANGS_UP, BUSY = ACCOUNTS[:6]
MOST = 256 * 1024
"""Bytes that a state takes (Step Functions developer guide, "Quotas")."""

type Pair = tuple[str, str]


def settings(accounts: Sequence[str] = ACCOUNTS, enabled: Sequence[str] = (DETECTOR,)) -> Settings:
    """The *enabled* detectors over all *accounts*."""
    return Settings.parse(
        {
            "organization": {
                "accounts": list(accounts),
                "external_id": EXTERNAL_ID,
                "callers": [f"arn:aws:iam::{ACCOUNT}:role/platform"],
                "regions": list(REGIONS),
            },
            "detectors": {one.name: {"enabled": one.name in enabled} for one in DETECTORS},
        }
    )


def toml(accounts: Sequence[str], enabled: Sequence[str]) -> str:
    """The same as a file."""
    sections = (f"[detectors.{one.name}]\nenabled = {json.dumps(one.name in enabled)}\n" for one in DETECTORS)
    return f"""[organization]
accounts = {json.dumps(accounts)}
external_id = "{EXTERNAL_ID}"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
regions = {json.dumps(REGIONS)}
{"".join(sections)}"""


class Runtime(Host):
    """Runs a function of the stack for whoever invokes it in the sandbox, one at a time."""

    one_at_a_time = Lock()

    def answer(self, function: Function, event: Any, left: int = 900_000) -> Outcome:
        """Its answer, or its error as Lambda puts it; *left* are its milliseconds."""
        with self.one_at_a_time, pytest.MonkeyPatch.context() as patch:
            self._environment(patch, function, self.session(function.role, LAMBDA))
            try:
                return Outcome(
                    entry(function)(event, Context(f"request-{id(event)}", function.arn, milliseconds=left))
                )
            except Exception as raised:  # whatever a function raises, Lambda calls it a failed run
                error = type(raised).__name__
                return Outcome({"errorMessage": str(raised), "errorType": error}, error)


@dataclass
class World:
    """The stack for an organization, in the sandbox under its own roles; *asked* are events of children."""

    box: Control
    runtime: Runtime
    deployed: Deployed
    asked: list[dict[str, Any]] = field(default_factory=list)
    instead: dict[str, Callable[[], Outcome]] = field(default_factory=dict)
    left: Callable[[dict[str, Any]], int] = lambda _: 900_000

    def begin(self, at: datetime, detector: str = DETECTOR) -> dict[str, Any]:
        """What the schedule starts at its time *at*, when it has ended; half a minute later for all."""
        self.box.set_clock(at + timedelta(seconds=30))
        self.runtime.now = at + timedelta(seconds=30)
        (schedule,) = (
            self.deployed.resolve(one["Target"])
            for one in self.deployed.stack.of_type("AWS::Scheduler::Schedule").values()
            if detector in str(one["Target"]["Input"])
        )
        given = schedule["Input"].replace("<aws.scheduler.scheduled-time>", f"{at:%Y-%m-%dT%H:%M:%SZ}")
        scheduler = self.runtime.session(schedule["RoleArn"], SCHEDULER).client("stepfunctions")
        started = scheduler.start_execution(stateMachineArn=schedule["Arn"], input=given)["executionArn"]
        client = self.runtime.root("stepfunctions")
        ended = awaited(client, started)
        return {**ended, "history": client.get_execution_history(executionArn=started)["events"]}

    def child(self, function: Function, event: dict[str, Any]) -> Outcome:
        """The detector's function, unless something else is to happen *instead* in the account."""
        self.asked.append(event)
        account = event["account"]
        if account in self.instead:
            return self.instead[account]()
        return self.runtime.answer(function, event, self.left(event))

    def last(self, detector: str = DETECTOR) -> dict[Pair, LastSweep | None]:
        """The latest sweep of each pair."""
        latest = LatestRecords(self.runtime.table)
        return {(a, r): latest.sweep(detector, a, r) for a in ACCOUNTS for r in REGIONS}

    @property
    def lists(self) -> RunLists:
        bucket = self.deployed.one("AWS::S3::Bucket").rpartition(":")[2]
        return RunLists(self.runtime.root("s3"), bucket, self.runtime.table)


def awaited(client: Any, started: str) -> dict[str, Any]:
    """An execution, when it has ended: it runs in threads of this process."""
    while (now := client.describe_execution(executionArn=started))["status"] == "RUNNING":
        Event().wait(0.02)
    return dict(now)


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    box: Control,
    session: boto3.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    accounts, enabled = given = getattr(request, "param", (ACCOUNTS, (DETECTOR,)))
    (tmp_path / "janitor.toml").write_text(toml(*given))
    stack = synthesise(tmp_path, settings(*given))
    deployed = Deployed(stack, ACCOUNT, REGION)
    deployed.create(session)
    (machine,) = stack.of_type("AWS::StepFunctions::StateMachine")
    properties = deployed.resolve(stack.of_type("AWS::StepFunctions::StateMachine")[machine])
    session.client("stepfunctions").create_state_machine(
        name=deployed.name(machine), definition=properties["DefinitionString"], roleArn=properties["RoleArn"]
    )
    organization = Organization(url=box.url, id="", members=accounts, units={})
    roles = deployed.roles()
    for account in accounts:
        roles |= organization.granted(settings(*given), account)
    roles.pop(role_arn(settings(), member_role_name(DETECTOR), account=NO_ROLE, partition="aws"), None)
    runtime = Runtime(Declared(deployed, settings(*given)), box.url, tmp_path)
    made = World(box, runtime, deployed)
    runtime.enforce(roles)
    for function in deployed.functions():
        code = partial(runtime.answer, function)
        if function.name in {*enabled, "advisers"}:
            code = partial(made.child, function)
        monkeypatch.setitem(functions.RUNNING, function.arn, code)
    yield made
    IamControl(box.url).open()


def test_every_pair_ends_with_a_result_or_could_not_be_read(world: World) -> None:
    world.instead = {
        RAISES: lambda: Outcome({"errorMessage": "out of memory", "errorType": "MemoryError"}, "MemoryError"),
        TIMES_OUT: lambda: Outcome(
            {"errorMessage": "Task timed out after 900.00 seconds", "errorType": "Sandbox.Timedout"},
            "Sandbox.Timedout",
        ),
    }
    at_work = ["IdempotencyAlreadyInProgressError", "LeaseTakenError", "Lambda.ServiceException"] * 4

    def busy() -> Outcome:
        """Another execution is at work for a while, and Lambda has faults of its own."""
        error = at_work.pop()
        if not at_work:
            del world.instead[BUSY]
        return Outcome({"errorMessage": "another invocation is at work", "errorType": error}, error)

    world.instead[BUSY] = busy
    invoke = {"service": "lambda", "operation": "Invoke"}
    world.box.fault(
        **invoke, kind="throttle", times=2, match=THROTTLED, status=429, code="TooManyRequestsException"
    )
    world.box.fault(**invoke, kind="hang-up", match=HANGS_UP)

    ended = world.begin(NOW)

    assert ended["status"] == "FAILED"
    lost = [f"{account}/{region}" for account in (RAISES, TIMES_OUT) for region in REGIONS]
    assert f"{DETECTOR} left no result of {', '.join(lost)}" in ended["cause"]
    errors = {pair: one.error for pair, one in world.last().items() if one is not None}
    assert len(errors) == 60
    no_result = "could not be read: the run ended without a result of it"
    for (account, _), error in errors.items():
        if account in {RAISES, TIMES_OUT}:
            assert error == no_result
        elif account == NO_ROLE:
            assert error is not None
            assert error.startswith("could not be read: ")
            assert error != no_result
        else:
            assert error is None
    asked = Counter(one["account"] for one in world.asked)
    retried = {BUSY: 13, TIMES_OUT: 2}
    assert asked == dict.fromkeys(ACCOUNTS, 1) | retried, "others at work, a killed function, Lambda's faults"
    assert {tuple(one["regions"]) for one in world.asked} == {REGIONS}
    run = LatestRuns(world.runtime.table).last(DETECTOR)
    assert run is not None
    assert (run.accounts, run.unread, run.ended) == (20, 6, NOW + timedelta(seconds=30))
    record = IamControl(world.box.url).record()
    assert not [
        one for one in record if not one["allowed"] and one["role"] != NO_ROLE and "s3" in one["action"]
    ]

    # The next hour's run looks only at what was not found empty. All is well again, and so it succeeds.
    world.asked.clear()
    world.instead.clear()
    later = NOW + timedelta(hours=1)
    ended = world.begin(later)
    assert {one["account"] for one in world.asked} == {RAISES, TIMES_OUT, NO_ROLE}
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == {"unread": 0}
    assert _largest(ended["history"]) < 2_000, "what a state holds does not grow with the accounts"


ONE, OTHER = "spot-training", "generous-warm-pools"


@pytest.mark.parametrize("world", [(ACCOUNTS[:3], (ONE, OTHER))], indirect=True)
def test_advisers_without_time_are_the_next_part_of_their_account(world: World) -> None:
    """
    In the first account the second part has time. In the second none has, and the last part fails.

    In the third, the first adviser takes too much memory once: the others are not lost with it.
    """
    in_time, never, killed = ACCOUNTS[:3]

    def kill() -> Outcome:
        del world.instead[killed]
        return Outcome(
            {"errorMessage": "signal: killed", "errorType": "Runtime.ExitError"}, "Runtime.ExitError"
        )

    world.instead[killed] = kill
    timely = {(in_time, 2), (killed, 1)}
    world.left = lambda event: 900_000 if (event["account"], event["part"]) in timely else 200_000

    ended = world.begin(NOW, OTHER)

    parts = {account: [one for one in world.asked if one["account"] == account] for account in ACCOUNTS[:3]}
    assert [one["part"] for one in parts[in_time]] == [1, 2]
    assert [one["part"] for one in parts[never]] == list(range(1, 13))
    assert [one["part"] for one in parts[killed]] == [1, 1]
    assert {tuple(one["detectors"]) for one in world.asked} == {(ONE, OTHER)}
    assert {(one["time"], *one["regions"]) for one in world.asked} == {
        (f"{NOW:%Y-%m-%dT%H:%M:%SZ}", *REGIONS)
    }
    for detector in (ONE, OTHER):
        errors = {pair: one.error for pair, one in world.last(detector).items() if one is not None}
        assert {errors[account, region] for account in (in_time, killed) for region in REGIONS} == {None}
        assert {errors[never, region] for region in REGIONS} == {
            "could not be read: the run ended without a result of it"
        }
    assert ended["status"] == "FAILED"
    assert f"left no result of {never}/{REGIONS[0]}" in ended["cause"]


def test_a_list_that_fails_has_nothing_looked_at(world: World) -> None:
    world.instead = {account: lambda: Outcome({"sweeps": []}) for account in ACCOUNTS}
    world.begin(NOW)
    world.asked.clear()
    before, listed = world.last(), LatestRuns(world.runtime.table).last(DETECTOR)

    world.box.fault("s3", "PutObject", "deny", times=0, match="organization/")
    ended = world.begin(NOW + timedelta(hours=1))

    assert ended["status"] == "FAILED"
    assert "AccessDenied" in ended["cause"]
    assert not world.asked
    assert world.last() == before
    assert LatestRuns(world.runtime.table).last(DETECTOR) == listed, "last night's list is that of last night"


def test_a_map_that_fails_is_closed_all_the_same(world: World) -> None:
    world.box.fault("s3", "GetObject", "deny", times=1, match="organization/")

    ended = world.begin(NOW)

    assert ended["status"] == "FAILED"
    assert "left no result of" in ended["cause"]
    assert not world.asked
    errors = {one.error for one in world.last().values() if one is not None}
    assert errors == {"could not be read: the run ended without a result of it"}


def test_a_template_that_the_sandbox_deployed_is_run_by_its_schedule(
    box: Control, session: boto3.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = synthesise(tmp_path, settings())
    made = deploy(box.url, stack.template)

    def one(kind: str, of: str = "") -> str:
        (name,) = (name for name in stack.of_type(kind) if name.startswith(of))
        return made[name]

    schedule, bucket = one("AWS::Scheduler::Schedule", "IdleNotebooks"), one("AWS::S3::Bucket")
    lists = one("AWS::Lambda::Function", "Accounts")
    target = session.client("scheduler").get_schedule(Name=schedule)["Target"]
    given = json.loads(target["Input"]) | {"time": "2026-10-06T03:00:00Z"}
    body = json.dumps([{"account": account, "regions": REGIONS} for account in ACCOUNTS[:3]])
    session.client("s3").put_object(Bucket=bucket, Key="organization/list.json", Body=body.encode())
    steps = {"list": {"bucket": bucket, "key": "organization/list.json"}, "close": {"unread": 0}}
    asked: list[dict[str, Any]] = []

    def look(event: Any) -> Outcome:
        asked.append(event)
        return Outcome(None)

    monkeypatch.setitem(functions.RUNNING, lists, lambda event: Outcome(steps[event["step"]]))
    monkeypatch.setitem(functions.RUNNING, given["function"], look)

    client = session.client("stepfunctions")
    started = client.start_execution(stateMachineArn=target["Arn"], input=json.dumps(given))["executionArn"]
    ended = awaited(client, started)

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"unread": 0})
    assert sorted(one["account"] for one in asked) == list(ACCOUNTS[:3])


def test_ten_thousand_accounts_fit_into_every_state() -> None:
    """The answer of List, an item of its list, and the map's output, which is a number for each account."""
    kept: list[RunAccount] = []
    warned: list[dict[str, Any]] = []

    def keep(*_: Any, listed: Sequence[RunAccount], **__: Any) -> str:
        kept.extend(listed)
        return "organization/list.json"

    nothing: Any = SimpleNamespace(
        keep=keep,
        last=lambda _: None,
        begun=lambda _: None,
        sweeps=lambda *_, **__: {},
        info=lambda *_, **__: None,
        warning=lambda *_, **about: warned.append(about),
    )
    run = AccountsRun(
        settings=settings([f"{n:012d}" for n in range(10_000)]),
        home=ACCOUNT,
        organizations=lambda: None,
        known_regions=(),
        bucket="bucket",
        lists=nothing,
        runs=nothing,
        latest=nothing,
        clock=lambda: NOW,
        sleep=lambda _: None,
        logger=nothing,
    )
    answer = run.run(AccountsEvent(step="list", detector=DETECTOR, time=NOW))

    assert (answer["accounts"], len(kept)) == (10_000, 10_000)
    assert "at_once = 20 looks at about 120 large accounts" in warned[0]["extra"]["why"]
    assert len(json.dumps(answer)) < 200
    assert len(RUN_ACCOUNTS_ADAPTER.dump_json((kept[-1],))) < 200
    states = define_state_machine("accounts", at_once=20)["States"]
    each = states["EachAccount"]["ItemProcessor"]["States"]
    assert (each["Sweep"]["OutputPath"], each["NoAnswer"]["Result"]) == ("$.StatusCode", 0)
    assert len(json.dumps([200] * 10_000)) < MOST / 4
    assert states["EachAccount"]["ResultPath"] is None


def _largest(history: list[dict[str, Any]]) -> int:
    """The most bytes that a state took or gave."""
    details = [one for event in history for key, one in event.items() if key.endswith("EventDetails")]
    return max(len(one.get(side, "")) for one in details for side in ("input", "output"))
