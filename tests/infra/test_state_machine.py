"""The state machine of an organization: who starts it, what it may do, who hears of it, and what it costs."""

import json
import subprocess
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from declared import Deployed, Permission, granted
from infra.bundle import PROJECT_ROOT
from ml_janitor.config.functions import list_advisers
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.idempotency import InProgressError
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.scheduled.accounts import account_list_grants
from ml_janitor_cli.template.state_machine import (
    TRANSIENT_ERRORS,
    count_transitions,
    define_state_machine,
    transitions_price,
)
from synthesis import EVERY_ACCOUNT, SLACK, Synthesised, synthesise

VALIDATOR = PROJECT_ROOT / "tests" / "state-machines"
ACCOUNT, REGION = "123456789012", "us-east-1"
TABLE = EVERY_ACCOUNT | {"regions": [REGION], "at_once": 7}


def settings(**changed: Any) -> Settings:
    return Settings.parse({**SLACK, "organization": TABLE | changed})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """With an organization, and without a finding of cdk-nag."""
    return synthesise(tmp_path_factory.mktemp("organization"), settings(), checked=True)


@pytest.fixture(scope="module")
def deployed(stack: Synthesised) -> Deployed:
    return Deployed(stack, ACCOUNT, REGION)


def test_schedules_of_detectors_start_it_and_no_others(stack: Synthesised, deployed: Deployed) -> None:
    machine, started = deployed.one("AWS::StepFunctions::StateMachine"), dict[str, list[str]]()
    functions = {one.name: one.arn for one in deployed.functions()}
    for schedule in stack.of_type("AWS::Scheduler::Schedule").values():
        target = deployed.resolve(schedule["Target"])
        given = json.loads(target["Input"])
        assert given.pop("time") == "<aws.scheduler.scheduled-time>"
        if target["Arn"] == machine:
            kept = {"idle-endpoints", "duplicate-artifacts"} >= set(given["detectors"])
            assert given.pop("resumes", False) is kept, "what it reads shortens the next part"
            assert set(given) == {"detectors", "function"}
            started.setdefault(given["function"], []).extend(given["detectors"])
        else:
            assert target["Arn"] == functions["digest"]
    own = {functions[one.name]: [one.name] for one in settings().enabled() if one.name in functions}
    others = [one.name for one in list_advisers(settings())]
    assert {name: sorted(names) for name, names in started.items()} == own | {
        functions["advisers"]: sorted(others)
    }


def test_its_role_allows_exactly_what_it_does(deployed: Deployed) -> None:
    (machine,) = deployed.stack.of_type("AWS::StepFunctions::StateMachine").values()
    role = deployed.roles()[deployed.resolve(machine["RoleArn"])]
    arn = deployed.one("AWS::StepFunctions::StateMachine")
    executions = arn.replace(":stateMachine:", ":execution:") + ":*"
    invoked = {one.arn for one in deployed.functions() if one.name != "digest"}
    assert granted(role) == {
        *(Permission("lambda:InvokeFunction", one) for one in invoked),
        Permission("s3:GetObject", f"{deployed.one('AWS::S3::Bucket')}/organization/*"),
        Permission("states:StartExecution", arn),
        Permission("states:DescribeExecution", executions),
        Permission("states:StopExecution", executions),
        *(
            Permission(f"logs:{action}", "*")
            for action in (
                "CreateLogDelivery",
                "DeleteLogDelivery",
                "DescribeLogGroups",
                "DescribeResourcePolicies",
                "GetLogDelivery",
                "ListLogDeliveries",
                "PutResourcePolicy",
                "UpdateLogDelivery",
            )
        ),
    }
    assert "states.amazonaws.com" in json.dumps(role["trust"])


def test_it_logs_every_step(stack: Synthesised) -> None:
    (machine,) = stack.of_type("AWS::StepFunctions::StateMachine").values()
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    (group,) = (one for name, one in stack.of_type("AWS::Logs::LogGroup").items() if "Organization" in name)
    assert group["LogGroupName"] == "/aws/vendedlogs/states/Test-organization"
    assert group["RetentionInDays"] == 90


def test_so_many_accounts_are_looked_at_at_once_and_what_may_pass_is_retried(deployed: Deployed) -> None:
    (machine,) = deployed.stack.of_type("AWS::StepFunctions::StateMachine").values()
    states = json.loads(deployed.resolve(machine["DefinitionString"]))["States"]
    assert states["EachAccount"]["MaxConcurrency"] == 7
    sweep = states["EachAccount"]["ItemProcessor"]["States"]["Sweep"]
    part, following = (
        states["EachAccountInParts"]["ItemProcessor"]["States"][name] for name in ("SweepPart", "NextPart")
    )
    rest = {name for name, value in following["Parameters"].items() if value.startswith("$.answer.")}
    assert rest == {"detectors.$", "part.$", "regions.$"}
    assert {key: sweep[key] for key in ("Parameters", "Retry")} == {
        key: part[key] for key in ("Parameters", "Retry")
    }
    retry, killed, busy = sweep["Retry"]
    assert busy["ErrorEquals"] == [InProgressError.__name__, LeaseTakenError.__name__]
    assert busy["IntervalSeconds"] * busy["MaxAttempts"] > 900, "as long as a function works"
    assert busy["BackoffRate"] == 1
    assert retry["ErrorEquals"] == TRANSIENT_ERRORS == states["Close"]["Retry"][0]["ErrorEquals"]
    assert {"Lambda.TooManyRequestsException", "Lambda.ServiceException"} < {*TRANSIENT_ERRORS}
    assert (killed["ErrorEquals"], killed["MaxAttempts"]) == (
        ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout"],
        1,
    )
    assert states["EachAccount"]["ResultPath"] is None
    # What fails stays in its own account, and if AWS ends one by itself, the others go on all the same.
    assert sweep["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "NoAnswer"}]
    assert states["EachAccount"]["ToleratedFailurePercentage"] == 100


@pytest.mark.parametrize(
    ("changed", "actions"),
    [
        ({"accounts": ["111111111111"], "all_accounts": False}, set[str]()),
        ({}, {"organizations:ListAccounts"}),
        (
            {"units": ["ou-ab12-c3d4e5f6"], "all_accounts": False},
            {"organizations:ListAccountsForParent", "organizations:ListOrganizationalUnitsForParent"},
        ),
    ],
)
def test_accounts_are_listed_only_where_settings_need_it(changed: dict[str, Any], actions: set[str]) -> None:
    assert {one.action for one in account_list_grants(settings(**changed).organization)} == actions


def test_the_function_that_lists_holds_its_own_items_and_lists_alone(deployed: Deployed) -> None:
    (function,) = (one for one in deployed.functions() if one.name == "accounts")
    found = granted(deployed.roles()[function.role])
    table, lists = deployed.one("AWS::DynamoDB::Table"), f"{deployed.one('AWS::S3::Bucket')}/organization/*"

    def items(pattern: str, *operations: str) -> set[Permission]:
        when = frozenset({("ForAllValues:StringLike", "dynamodb:LeadingKeys", (pattern,))})
        return {Permission(f"dynamodb:{one}", table, when) for one in operations}

    here = frozenset({("StringEquals", "aws:ResourceAccount", (ACCOUNT,))})
    own = {one for one in found if not one.action.startswith("logs:")}
    assert own == {
        Permission("organizations:ListAccounts", "*"),
        Permission("s3:GetObject", lists, here),
        Permission("s3:PutObject", lists, here),
        *items("sweep#*", "BatchGetItem", "PutItem"),
        *items("organization", "GetItem", "PutItem", "UpdateItem"),
    }


def test_the_price_of_transitions_is_that_of_the_definition() -> None:
    made = deepcopy(define_state_machine("accounts", at_once=20))
    assert [count_transitions(made, in_parts=in_parts) for in_parts in (False, True)] == [(4, 2), (4, 3)]
    made["States"]["EachAccount"]["ItemProcessor"]["States"]["Another"] = {"Type": "Pass"}
    assert count_transitions(made, in_parts=False) == (4, 3)

    one: dict[str, Any] = {
        "detectors": {each.name: {"enabled": False} for each in Settings.parse({}).registry}
    }
    one["detectors"]["idle-notebooks"] = {"enabled": True, "schedule": "rate(1 hour)"}
    price = Decimal("0.025") / 1000
    hourly = transitions_price(Settings.parse({**one, "organization": TABLE}))
    assert f"start 720 runs, which costs up to ${720 * (4 + 100 * 2) * price:.2f}, for every 100" in hourly
    assert f"about {6 * TABLE['at_once']} large accounts in an hour" in hourly
    two = TABLE | {"all_accounts": False, "accounts": ["111111111111", "222222222222"]}
    named = transitions_price(Settings.parse({**one, "organization": two}))
    assert f"start 720 runs, which costs up to ${720 * 8 * price:.2f};" in named
    assert "large accounts" not in named
    one["detectors"] |= {name: {"schedule": "rate(30 days)"} for name in ("spot-training", "commitments")}
    several = transitions_price(Settings.parse({**one, "organization": two}))
    assert f"start 721 runs, which costs up to ${(720 * 8 + 4 + 2 * 3) * price:.2f};" in several


def test_its_definition_is_one_of_amazon_s_states_language(deployed: Deployed, tmp_path: Path) -> None:
    """By asl-validator, which also has to see a transition that leads nowhere."""
    (machine,) = deployed.stack.of_type("AWS::StepFunctions::StateMachine").values()
    made = deployed.resolve(machine["DefinitionString"])
    assert validated(tmp_path, made) == ""
    assert "Nowhere" in validated(tmp_path, made.replace('"Default": "EachAccount"', '"Default": "Nowhere"'))


def validated(folder: Path, made: str) -> str:
    """What asl-validator says of a definition; nothing if it is valid."""
    if not (VALIDATOR / "node_modules").exists():
        pytest.skip("tests/state-machines has no node_modules: run `npm ci` there, as `make dev` does")
    path = folder / "definition.json"
    path.write_text(made)
    program = VALIDATOR / "node_modules/.bin/asl-validator"
    done = subprocess.run(
        [PROJECT_ROOT / ".venv/bin/node", program, "--json-path", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_without_an_organization_there_is_none(tmp_path: Path) -> None:
    plain = synthesise(tmp_path, Settings.parse(SLACK))
    assert not plain.of_type("AWS::StepFunctions::StateMachine")
    assert "organization" not in json.dumps(plain.statements())
