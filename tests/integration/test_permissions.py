"""Every role in each mode: all that it is granted is used and nothing else, and each statement is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, REGION
from declared import Function, granted, statements, without
from hosted import ABROAD, LAMBDA, SCHEDULER, Host, HostedStack, OrganizationStack, UnarmedStack, everything
from ml_janitor.aws.client import Aws
from ml_janitor.config import functions
from ml_janitor.config.member_roles import is_changing_action
from ml_janitor.detectors import DETECTORS
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.iam import IamControl
from one_of_each import ATOMIC
from permission_scenarios import (
    ACTS_AND_UNDOS,
    AT,
    DIGEST,
    FUNCTIONS,
    OPENS,
    WITH_CONTENTS,
    Audit,
    Invocations,
    Person,
    Presses,
)
from recorder import Recording, Scenario, check_missed, idle, record
from samples import share
from standin import WITH_SLACK, event

IN_EVERY_RUN = "idle-notebooks"
"""Of this each statement is removed in every run of the tests, of the others by `make mutants`."""

THEATRES = {"dry": UnarmedStack, "armed": HostedStack, "organization": OrganizationStack}
ALL, CONTENTS, COPIES, UNVERSIONED = "everything", "contents", "duplicate-artifacts", "unversioned"
SCENARIOS: dict[str, dict[str, Scenario[Any]]] = {
    "dry": {name: Invocations(name) for name in FUNCTIONS},
    "armed": {**ACTS_AND_UNDOS, "presses": Presses()},
    "organization": {**ACTS_AND_UNDOS},
    "by hand": {
        IN_EVERY_RUN: Audit(names=(IN_EVERY_RUN,), allowed=(IN_EVERY_RUN,)),
        ALL: Audit(),
        COPIES: Audit(names=(COPIES,), allowed=(COPIES,)),
        CONTENTS: Audit(names=(COPIES,), options=WITH_CONTENTS, actions=frozenset(OPENS)),
        f"{COPIES}, contents": Audit(names=(COPIES,), options=WITH_CONTENTS, allowed=(COPIES,)),
        f"{ALL}, contents": Audit(options=WITH_CONTENTS),
    },
}
"""By mode: a function, a detector with its undo, or a person."""

type Row = tuple[str, str]
type Staged = Callable[[str, str], Any]


def rows(mode: str, params: Iterable[Any]) -> list[Any]:
    """The parameters of *mode*, with their marks."""
    return [
        pytest.param((mode, *one.values), id=f"{mode}-{one.values[0]}", marks=one.marks) for one in params
    ]


def marked(names: Iterable[str], mark: pytest.MarkDecorator) -> list[Any]:
    return [pytest.param(name, marks=() if name == IN_EVERY_RUN else mark) for name in names]


RECORDED = [
    *rows("dry", share(SCENARIOS["dry"], 20, always={IN_EVERY_RUN})),
    *rows("armed", share(SCENARIOS["armed"], 20, always={IN_EVERY_RUN})),
    *rows("organization", marked(SCENARIOS["organization"], pytest.mark.long)),
    *rows("by hand", marked((IN_EVERY_RUN, ALL, CONTENTS), pytest.mark.long)),
]
MUTANTS = [
    *rows("dry", [pytest.param(name, marks=pytest.mark.mutants) for name in SCENARIOS["dry"]]),
    *rows("armed", marked([name for name in SCENARIOS["armed"] if name != UNVERSIONED], pytest.mark.mutants)),
    *rows(
        "by hand", marked([name for name in SCENARIOS["by hand"] if name != CONTENTS], pytest.mark.mutants)
    ),
]


@pytest.fixture(autouse=True, scope="module")
def _roles_of_their_own() -> Iterator[None]:
    """
    Each detector has a role of its own here, so that each is held to what it declares.

    That of the advisers is the union of these: `test_declared.py` and `test_advisers_run.py` hold it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "CARD_DETECTORS", frozenset(one.name for one in DETECTORS))
        yield


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HostedStack]:
    return cache(lambda mode: THEATRES[mode](tmp_path_factory.mktemp("task")))


@pytest.fixture
def staged(
    request: pytest.FixtureRequest,
    stack: Callable[[str], HostedStack],
    box: Control,
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> Staged:
    """What a play of a mode is played with: an account with waste, and the roles of the mode."""
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.act.COPY_LIMIT_BYTES", ATOMIC)

    def made(mode: str, name: str) -> Any:
        scenario = SCENARIOS[mode][name]
        if not isinstance(scenario, Audit):
            aws: Aws = request.getfixturevalue("aws")
            return stack(mode).host(box, session, aws, *scenario.waste)
        everything(box, session)
        person = Person(box, request.getfixturevalue("janitor"), monkeypatch)
        person.prints(*scenario.allowed, *scenario.options)
        return person

    return made


@pytest.fixture(scope="module")
def recordings() -> dict[Row, Recording]:
    """What was recorded before."""
    return {}


def test_every_detector_that_acts_is_regretted() -> None:
    assert {one.detector for one in ACTS_AND_UNDOS.values()} == {one.name for one in DETECTORS if one.cleanup}


@pytest.mark.parametrize("row", RECORDED)
def test_exactly_the_grants_are_used(staged: Staged, recordings: dict[Row, Recording], row: Row) -> None:
    """Each permission is used on a resource of its own, which no other covers as well."""
    mode, name = row
    scenario, stage = SCENARIOS[mode][name], staged(mode, name)

    recording = recordings[row] = record(stage, scenario.steps(stage))

    assert [ran.denied for _, ran in recording if ran.denied] == []
    scenario.check(stage, recording)
    assert idle(stage, recording, scenario.wanted(stage, recording)) == scenario.idle


@pytest.mark.parametrize("row", MUTANTS)
def test_each_missing_statement_is_told(staged: Staged, recordings: dict[Row, Recording], row: Row) -> None:
    mode, name = row
    scenario = SCENARIOS[mode][name]
    recording = recordings.get(row) or record(first := staged(mode, name), scenario.steps(first))

    check_missed(staged(mode, name), scenario, recording)


# --- a person ------------------------------------------------------------------------------------


def test_doctor_finds_under_the_policy_that_everything_is_allowed(staged: Staged) -> None:
    person: Person = staged("by hand", ALL)
    person.enforce()

    person.run("doctor", ())

    assert person.ran.headline == "Everything that could be tried is allowed."


# --- schedules, and where nothing is armed -------------------------------------------------------


@pytest.fixture
def unarmed(staged: Staged) -> Host:
    host: Host = staged("dry", DIGEST)
    host.enforce()
    return host


def scheduled(host: Host) -> list[Function]:
    return [one for one in host.deployed.functions() if one.schedule]


def test_a_schedule_may_invoke_its_function_and_leave_word_and_misses_either(unarmed: Host) -> None:
    roles, functions = unarmed.deployed.roles(), scheduled(unarmed)
    assert {one.name for one in functions} == {*FUNCTIONS}
    needs = {
        one.name: {(need.action, need.resource) for need in unarmed.declared.of_schedule(one)}
        for one in functions
    }

    for function in functions:
        ran = unarmed.deliver(function, event("scheduled"))
        assert ran.allowed == needs[function.name]
        assert not ran.denied
    own = {one.schedule.role for one in functions if one.schedule}
    for action in ("lambda:InvokeFunction", "sqs:SendMessage"):
        lacking = {
            role: without(roles[role], one)
            for role in own
            for one in statements(roles[role])
            if one["Action"] == action
        }
        assert {*lacking} == own
        unarmed.enforce({**roles, **lacking})
        for function in functions:
            denied = unarmed.deliver(function, event("scheduled")).denied
            assert denied == {need for need in needs[function.name] if need[0] == action}


def hosted(host: Host, folder: Path, settings: str) -> Host:
    """Another deployment in the account, which owns what that of *host* has made."""
    other = Host(HostedStack(folder, settings).declared, host.url, folder)
    other.enforce()
    return other


def test_every_region_of_the_settings_is_granted(unarmed: Host, tmp_path: Path) -> None:
    """Here and abroad, as one deployment sweeps them."""
    both = hosted(unarmed, tmp_path, f'{WITH_SLACK}regions = ["{REGION}", "{ABROAD}"]\n')

    ran = both.invoke(both.function("untagged-resources"), event("scheduled"))

    assert (ran.error, ran.denied) == (None, frozenset())
    assert ("sagemaker:ListTags", f"arn:aws:sagemaker:{ABROAD}:{ACCOUNT}:model/abroad") in ran.allowed


def test_a_function_works_under_what_an_organization_demands(unarmed: Host, tmp_path: Path) -> None:
    """A path on its role, and a key for its queue. What the boundary and a VPC add is not judged here."""
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    demanded = f"""permissions_boundary = "arn:aws:iam::{ACCOUNT}:policy/boundary"
role_path = "/platform/ml/"
kms_key = "{key}"
"""
    theirs = hosted(unarmed, tmp_path, f"{WITH_SLACK}{demanded}")
    function = theirs.function("idle-notebooks")

    ran = theirs.invoke(function, event("scheduled"))

    assert ":role/platform/ml/" in function.role
    assert (ran.error, ran.denied) == (None, frozenset())
    assert "sagemaker:ListNotebookInstances" in {action for action, _ in ran.allowed}


def test_a_region_that_is_not_in_the_settings_is_refused(unarmed: Host) -> None:
    ran = unarmed.invoke(unarmed.function("untagged-resources"), {"time": AT, "regions": [ABROAD]})

    assert ("sagemaker:ListTags", f"arn:aws:sagemaker:{ABROAD}:{ACCOUNT}:model/abroad") in ran.denied


def test_functions_trust_lambda_and_schedules_the_scheduler(unarmed: Host) -> None:
    services = {function.role: LAMBDA for function in unarmed.deployed.functions()}
    services |= {one.schedule.role: SCHEDULER for one in scheduled(unarmed) if one.schedule}
    iam = IamControl(unarmed.url)

    assert set(services) == set(unarmed.deployed.roles())
    for role, service in services.items():
        assert iam.credentials(role, service=service)
        for other in {LAMBDA, SCHEDULER, "ec2.amazonaws.com"} - {service}:
            with pytest.raises(SandboxError, match="does not trust"):
                iam.credentials(role, service=other)


def test_a_role_changes_nothing_but_what_is_the_janitors_own(unarmed: Host) -> None:
    own = tuple(unarmed.deployed.one(kind) for kind in ("AWS::DynamoDB::Table", "AWS::S3::Bucket"))
    for role in unarmed.deployed.roles().values():
        changing = [
            one
            for one in granted(role)
            if is_changing_action(one.action) and not one.resource.startswith(own)
        ]
        assert {one.action for one in changing} <= {
            *(
                "kms:VerifyMac",
                "lambda:InvokeFunction",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "sqs:SendMessage",
            )
        }
