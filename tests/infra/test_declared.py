"""Every role of a stack, armed or not, holds what is declared for it, and nothing else."""

import random
import re

import pytest
from policy_sentry.querying.actions import get_action_data

from conftest import ACCOUNT, REGION
from declared import Declared, Deployed, Permission, granted
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from samples import SEED
from synthesis import BUTTONS, EVERY_ACCOUNT, SLACK, synthesise

ORGANIZATION = EVERY_ACCOUNT | {"callers": [f"arn:aws:iam::{ACCOUNT}:role/platform-*"]}
ACTORS = [detector.name for detector in DETECTORS if detector.cleanup is not None]
HALF = random.Random(SEED).sample(ACTORS, len(ACTORS) // 2)  # noqa: S311
"""Another half in each run: what one is armed with, it alone gets."""


@pytest.fixture(
    scope="module",
    params=[
        {"janitor": SLACK["janitor"]},
        {"janitor": {**SLACK["janitor"], "regions": [REGION, "eu-west-1"]}, "bill": {"enabled": True}},
        *(
            {
                "janitor": BUTTONS | {"regions": [REGION, "eu-west-1"]},
                "detectors": {
                    name: {"mode": "act", "act_in": [ACCOUNT, "210987654321/eu-north-1"]} for name in names
                },
            }
            for names in (ACTORS, HALF)
        ),
        {"janitor": SLACK["janitor"], "organization": ORGANIZATION, "bill": {"enabled": True}},
        {
            "janitor": BUTTONS | {"role_path": "/ml/"},
            "organization": ORGANIZATION,
            "detectors": {
                **{
                    name: {"mode": "act", "act_in": ["210987654321", "333333333333/eu-west-1"]}
                    for name in ACTORS
                },
                "idle-notebooks": {"armed_until": "2026-10-01"},
            },
        },
    ],
    ids=[
        "reporting",
        "in several regions",
        "armed",
        "half of them armed",
        "of an organization",
        "armed for an organization",
    ],
)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Declared:
    """A stack, and what is declared for it."""
    settings = Settings.parse(request.param)
    made = synthesise(tmp_path_factory.mktemp("stack"), settings)
    return Declared(Deployed(made, ACCOUNT, REGION), settings)


def test_every_function_is_allowed_what_is_declared_for_it(stack: Declared) -> None:
    """Acts where `act_in` says, to who does them, and denied to them on what has a keep tag."""
    roles = stack.deployed.roles()

    for function in stack.deployed.functions():
        allowed, declared = granted(roles[function.role]), stack.of_function(function)
        assert declared <= allowed, function.name
        more = {one for one in allowed - declared if function.name != "advisers" or takes(one)}
        assert more == set(), function.name
        assert granted(roles[function.role], "Deny") == stack.denied(function), function.name


def takes(permission: Permission) -> bool:
    """Whether the action takes resources of that kind: statements of the advisers' role are merged."""
    service, _, action = permission.action.partition(":")
    if permission.resource == "*":
        return True
    formats = [one["resource_arn_format"] for one in get_action_data(service, action)[service]]
    return any(kind(one) == kind(permission.resource) for one in formats)


def kind(arn: str) -> str:
    """The kind of resource of an ARN, or *."""
    return "/".join(part for part in re.split("[:/]", arn)[5:] if "*" not in part and "$" not in part) or "*"


def test_the_role_of_the_schedules_may_start_what_they_run_and_leave_word(stack: Declared) -> None:
    (role,) = stack.deployed.schedule_roles()
    started = set[Permission]().union(
        *(stack.of_schedule(one) for one in stack.deployed.functions() if one.schedule is not None)
    )
    if stack.settings.organization.used:
        started.add(
            Permission("states:StartExecution", stack.deployed.one("AWS::StepFunctions::StateMachine"))
        )

    assert granted(stack.deployed.roles()[role]) == started
    assert granted(stack.deployed.roles()[role], "Deny") == set()


def test_there_are_no_other_roles(stack: Declared) -> None:
    known = {function.role for function in stack.deployed.functions()}
    known |= stack.deployed.schedule_roles()
    roles = set(stack.deployed.roles())
    if stack.settings.organization.used:  # that of the state machine
        roles = {one for one in roles if "OrganizationRole" not in one}

    assert roles == known
