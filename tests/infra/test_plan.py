"""The plan against CDK: one stack, whichever way it is deployed."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from conftest import ACCOUNT
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.template.plan import deployment_plan
from ml_janitor_cli.template.resources import logical_id
from synthesis import EVERY_ACCOUNT, EVERYTHING, TODAY, synthesise_with_cdk

REGIONS = ["us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2", "us-west-2", "sa-east-1"]
SECTION: list[dict[str, Any]] = [
    {"administrators": [f"arn:aws:iam::{ACCOUNT}:role/admin"]},
    {"alarm_email": "oncall@example.com"},
    {"digest_schedule": "cron(30 6 * * ? *)"},
    {"kms_key": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"},
    {"permissions_boundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary"},
    {"role_path": "/platform/"},
    {"slack_concurrency": 5},
    {"slack_signing_secret": "ml-janitor/signing", "slack_group": "S0123456789"},
    {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]},
    {"tags": {"managed-by": "ml-janitor", "team": "ml"}},
    {"time_zone": "Europe/Berlin"},
]
BILL: list[dict[str, Any]] = [
    {"monthly_budget": 1000},
    {"tags": {"team": "Team"}, "budgets": {"team=ml": 10.5}},
    {"anomaly_monitor": "create"},
]


def random_settings(seed: int) -> Settings:
    """Any deployment that the settings allow: what is armed, where, under which demands, how it is run."""
    dice = random.Random(seed)  # noqa: S311 - repeatable

    def some(parts: list[dict[str, Any]], share: float) -> dict[str, Any]:
        return {key: value for part in parts if dice.random() < share for key, value in part.items()}

    regions = dice.sample(REGIONS, dice.randint(0, 5))
    armed = {"act_in": [f"{ACCOUNT}/{region}" for region in (regions or ["eu-west-1"])[:3]]}
    detectors: dict[str, dict[str, Any]] = {}
    for detector in DETECTORS:
        choices: list[dict[str, Any]] = [{}, {}, {"enabled": False}, {"schedule": "rate(2 hours)"}]
        if detector.cleanup is not None:
            choices += [{"armed_until": "2026-10-01"}, *[EVERYTHING["detectors"][detector.name] | armed] * 2]
        detectors[detector.name] = dice.choice(choices)
    slack = {"slack_channel": "C0123456789", "slack_secret": "ml-janitor/slack"}
    writers = {"ledger_writers": [f"arn:aws:iam::{ACCOUNT}:role/platform-*"]}
    section = {"time_zone": "UTC", "regions": regions, **slack, **writers, **some(SECTION, 0.4)}
    tables: dict[str, Any] = {"janitor": section, "detectors": detectors}
    if dice.random() < 0.5:
        tables["bill"] = {"enabled": True, "max_requests": 16, **some(BILL, 0.5)}
    if dice.random() < 0.35:
        about = {"at_once": dice.randint(1, 9), "regions": regions or ["us-east-1"]}
        tables["organization"] = EVERY_ACCOUNT | about
    return Settings.parse(tables)


def differences(seed: int, folder: Path) -> list[str]:
    """Logical ids of resources, and names of outputs, that CDK makes otherwise than the plan says."""
    settings = random_settings(seed)
    made = synthesise_with_cdk(folder / str(seed), settings).template
    code = made["Resources"][logical_id("Digest/Function/Resource")]["Properties"]["Code"]
    plan = json.loads(json.dumps(deployment_plan(settings, TODAY, name="Test", code=code)))
    return [
        name
        for part in ("Resources", "Outputs")
        for name in made[part].keys() | plan[part].keys()
        if made[part].get(name) != plan[part].get(name)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_cdk_makes_each_resource_as_the_plan_says(seed: int, tmp_path: Path) -> None:
    assert differences(seed, tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 100 + int(os.environ.get("STACKS") or 200)))
def test_cdk_makes_each_resource_of_any_deployment_as_the_plan_says(seed: int, tmp_path: Path) -> None:
    assert differences(seed, tmp_path) == []
