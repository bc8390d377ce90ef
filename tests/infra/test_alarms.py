"""How long a schedule may be silent before somebody is woken, and when nobody can be."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from infra.monitoring import silence_periods
from ml_janitor.config import schedules
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from synthesis import synthesise

MONTHLY = "cron(0 5 1 * ? *)"


@pytest.mark.parametrize(
    "schedule",
    [
        "rate(5 minutes)",
        "rate(1 hour)",
        "rate(7 hours)",
        "rate(23 hours)",
        "cron(0 3 * * ? *)",
        "rate(2 days)",
        "cron(0 3 ? * MON-FRI *)",
        "cron(0 3 ? * MON,TUE *)",
        "cron(0 5 ? * MON *)",
    ],
)
def test_a_schedule_may_be_silent_between_two_runs(schedule: str) -> None:
    watched = silence_periods(schedule)

    assert watched is not None
    period, periods = watched
    seen = timedelta(seconds=period.to_seconds() * periods)
    assert schedules.schedule_period(schedule) <= seen <= timedelta(days=7)
    assert seen > schedules.schedule_period(schedule) or seen == timedelta(days=7)


@pytest.mark.parametrize("schedule", [MONTHLY, "rate(8 days)", "cron(0 3 1 1 ? *)", "cron(0 3 ? * 2#1 *)"])
def test_what_an_alarm_cannot_see_has_none(schedule: str) -> None:
    assert silence_periods(schedule) is None


def test_the_digest_watches_a_monthly_detector(tmp_path_factory: pytest.TempPathFactory) -> None:
    monthly, nightly = "untagged-resources", "duplicate-artifacts"
    sections: dict[str, Any] = {one.name: {"enabled": one.name in {monthly, nightly}} for one in DETECTORS}
    settings = Settings.parse({"detectors": sections | {monthly: {"schedule": MONTHLY}}})
    made = synthesise(tmp_path_factory.mktemp("monthly"), settings)
    alarms = {name[:-8] for name in made.of_type("AWS::CloudWatch::Alarm")}

    assert "UntaggedResourcesErrors" in alarms
    assert "UntaggedResourcesDidNotRun" not in alarms
    assert "DuplicateArtifactsDidNotRun" in alarms
    said = [
        entry["data"]
        for path in made.path.parent.glob("*.metadata.json")
        for entries in json.loads(path.read_text()).values()
        for entry in entries
        if entry["type"] == "aws:cdk:info"
    ]
    assert [
        line for line in said if line.startswith("untagged-resources runs on cron(0 5 1 * ? *), less than")
    ]
