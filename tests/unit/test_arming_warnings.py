"""What an armed detector would never do as things are set is named, place by place."""

from typing import Any

import pytest

from fakes import TRUST
from ml_janitor.config.settings import (
    Settings,
    arming_refusals,
    arming_warnings,
    home_refusals,
    notice_warnings,
)
from ml_janitor.detectors import DETECTORS
from tables import cases

ACCOUNT = "123456789012"
HERE, ELSEWHERE = f"{ACCOUNT}/eu-west-1", f"{ACCOUNT}/eu-west-3"
WRITER = f"arn:aws:iam::{ACCOUNT}:role/ROLE"
SLACK = {"slack_channel": "C1", "slack_secret": "s", "ledger_writers": [WRITER]}
MODE = "detectors.idle-notebooks: mode is act, but it would never act"


def settings(
    *act_in: str,
    detector: str = "idle-notebooks",
    janitor: dict[str, Any] | None = None,
    tables: dict[str, Any] | None = None,
    **section: Any,
) -> Settings:
    armed = {"mode": "act", "act_in": list(act_in), **section}
    given = {"janitor": {**SLACK, **(janitor or {})}, "detectors": {detector: armed}, **(tables or {})}
    return Settings.parse(given)


@cases(
    "act_in, regions, said",
    ([HERE], ["eu-west-1"], []),
    ([ACCOUNT], ["eu-west-1"], []),
    ([HERE, ELSEWHERE], ["eu-west-1", "eu-west-3"], []),
    ([HERE, ELSEWHERE], ["eu-west-1"], [f"{MODE} in {ELSEWHERE}: only eu-west-1 is swept"]),
    (
        [HERE, ELSEWHERE, f"{ACCOUNT}/us-east-1"],
        ["eu-west-1", "eu-west-2"],
        [
            f"{MODE} in {ELSEWHERE}: only eu-west-1, eu-west-2 are swept",
            f"{MODE} in {ACCOUNT}/us-east-1: only eu-west-1, eu-west-2 are swept",
        ],
    ),
    ([ELSEWHERE], ["eu-west-1"], [f"{MODE} in {ELSEWHERE}: only eu-west-1 is swept"]),
)
def test_every_place_without_a_sweep_is_named(act_in: list[str], regions: list[str], said: list[str]) -> None:
    assert arming_warnings(settings(*act_in, janitor={"regions": regions})) == said


@cases(
    "accounts, said",
    ({"accounts": [ACCOUNT]}, [f"{MODE} in {ELSEWHERE}: only eu-west-1 is swept"]),
    (
        {"accounts": ["210987654321"]},
        [f"{MODE} in {one}: [organization] leaves that account out" for one in (HERE, ELSEWHERE)],
    ),
    (
        {"all_accounts": True, "without": [ACCOUNT], "id": "o-a1b2c3d4e5"},
        [f"{MODE} in {one}: [organization] leaves that account out" for one in (HERE, ELSEWHERE)],
    ),
    ({"all_accounts": True, "id": "o-a1b2c3d4e5"}, [f"{MODE} in {ELSEWHERE}: only eu-west-1 is swept"]),
)
def test_an_organization_is_judged_by_regions_too(accounts: dict[str, Any], said: list[str]) -> None:
    tables = {"organization": {**TRUST, "regions": ["eu-west-1"], **accounts}}
    janitor = {"regions": ["eu-west-3"], "time_zone": "UTC"}
    armed = settings(HERE, ELSEWHERE, janitor=janitor, tables=tables)
    assert arming_warnings(armed) == said
    assert arming_refusals(armed) == []


@cases(
    "organization, account, refused",
    (True, "333333333333", False),
    (True, "", False),  # not known yet
    (True, ACCOUNT, True),
    (False, ACCOUNT, False),
)
def test_only_the_janitor_account_may_deploy_it(*, organization: bool, account: str, refused: bool) -> None:
    section = {
        "accounts": [ACCOUNT],
        "external_id": "ml-janitor",
        "callers": ["arn:aws:iam::333333333333:role/platform"],
    }
    said = home_refusals(Settings.parse({"organization": section} if organization else {}), account)

    assert isinstance(said, list)
    assert [f"and this deployment is in {ACCOUNT}" in one for one in said] == [True] * refused


def test_without_regions_a_deployment_sweeps_its_own() -> None:
    armed = settings(HERE, ELSEWHERE)

    assert arming_warnings(armed, home="eu-west-1") == [f"{MODE} in {ELSEWHERE}: only eu-west-1 is swept"]
    assert arming_warnings(armed) == []


@cases(
    "janitor, section, why",
    (
        {"slack_channel": "", "slack_secret": ""},
        {},
        "nothing is acted on without a delivered warning: set janitor.slack_secret or notify.email",
    ),
    ({}, {"max_actions": 0}, "max_actions is 0"),
    ({"max_actions_per_night": 0}, {}, "janitor.max_actions_per_night is 0"),
)
def test_every_reason_not_to_act_is_named(janitor: dict[str, Any], section: dict[str, Any], why: str) -> None:
    assert arming_warnings(settings(HERE, janitor=janitor, **section)) == [f"{MODE}: {why}"]


def test_a_mail_is_a_warning_too() -> None:
    tables = {"notify": {"email": "arn:aws:sns:eu-west-1:123456789012:ml-costs"}}
    armed = settings(HERE, janitor={"slack_channel": "", "slack_secret": ""}, tables=tables)
    assert arming_warnings(armed) == []


def test_what_its_own_settings_keep_it_from_is_named() -> None:
    (said,) = arming_warnings(settings(HERE, detector="duplicate-artifacts"))

    assert said.endswith("it would never act: act_on_prefixes is empty, so no object may be deleted")


def test_a_dry_run_has_no_arming_warnings() -> None:
    assert arming_warnings(settings(ELSEWHERE, mode="dry-run", janitor={"regions": ["eu-west-1"]})) == []


@cases(
    "schedule, zone, idle",
    ("cron(0 4 ? * SUN *)", "UTC", True),
    ("cron(0 4 ? * SAT-SUN *)", "UTC", True),
    ("cron(0 4 ? * SUN *)", "America/Los_Angeles", True),
    ("cron(0 4 ? * MON *)", "America/Los_Angeles", False),  # Scheduler runs it in time_zone
    ("cron(0 22 ? * SUN *)", "Asia/Tokyo", True),
    ("cron(0 4 ? * SUN,MON *)", "UTC", False),
    ("cron(0 4 * * ? *)", "UTC", False),
    ("rate(7 days)", "UTC", False),
)
def test_a_weekend_schedule_deletes_nothing_on_business_days(schedule: str, zone: str, *, idle: bool) -> None:
    how: dict[str, Any] = {"detector": "idle-endpoints", "schedule": schedule, "janitor": {"time_zone": zone}}

    said = arming_warnings(settings(ACCOUNT, **how))

    assert [f"a weekend in {zone}, and business_days is on" in one for one in said] == [True] * idle
    assert arming_warnings(settings(ACCOUNT, business_days=False, **how)) == []


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Asia/Tokyo", "Pacific/Auckland"])
def test_no_detectors_own_schedule_is_one_of_weekends(zone: str) -> None:
    needs: dict[str, dict[str, Any]] = {
        "duplicate-artifacts": {"act_on_prefixes": ["s3://models/"], "buckets": ["models"]},
        "untagged-resources": {"fill_tags": {"team": "ml"}},
        "storage-tiering": {"act_on_buckets": ["ml-scratch"]},
    }
    tables = {
        one.name: {"mode": "act", "act_in": [ACCOUNT], **needs.get(one.name, {})}
        for one in DETECTORS
        if one.cleanup
    }

    assert (
        arming_warnings(Settings.parse({"janitor": {**SLACK, "time_zone": zone}, "detectors": tables})) == []
    )


@cases(
    "section, why",
    ({"stop_outside_hours": ["schedule=office-hours"]}, "stop_outside_hours"),
    ({"act_on": "likely"}, 'act_on = "likely"'),
)
def test_no_rule_about_working_hours_is_armed_without_a_time_zone(section: dict[str, Any], why: str) -> None:
    said = (
        f"detectors.idle-notebooks: {why} goes by working hours, so set janitor.time_zone, such as "
        'time_zone = "Europe/Berlin"'
    )
    assert arming_refusals(settings(HERE, **section)) == [said]
    assert arming_refusals(settings(HERE, janitor={"time_zone": "UTC"}, **section)) == []
    assert arming_refusals(settings(HERE, mode="dry-run", **section)) == []
    assert arming_refusals(settings(HERE)) == []


def test_nothing_is_armed_for_whoever_iam_lets_write_to_the_ledger() -> None:
    """What only reports, or was armed before, needs nobody listed: disarming is never refused."""
    (said,) = arming_refusals(settings(HERE, janitor={"ledger_writers": []}))

    assert "so set janitor.ledger_writers" in said
    assert f'ledger_writers = ["{WRITER}"]' in said
    for until in ({}, {"armed_until": "2026-10-01"}):
        about: Any = {"mode": "dry-run", **until}
        assert arming_refusals(settings(HERE, janitor={"ledger_writers": []}, **about)) == []


def test_what_acts_on_likely_findings_by_default_needs_a_time_zone_too() -> None:
    (said,) = arming_refusals(settings(HERE, detector="forgotten-leftovers"))

    assert said.startswith("detectors.forgotten-leftovers: acting on what is likely goes by working hours")


@cases(
    "schedule, hours, on",
    ("rate(1 hour)", "Mon-Fri 08-20", ""),
    ("rate(120 minutes)", "Mon-Fri 08-20", ""),
    ("rate(121 minutes)", "Mon-Fri 08-20", "Mon, Tue, Wed, Thu, Fri"),
    ("rate(1 day)", "Sun-Thu 09-17", "Mon, Tue, Wed, Thu, Sun"),
    ("cron(0 3 * * ? *)", "Mon-Fri 08-20", "Mon, Tue, Wed, Thu, Fri"),
    ("cron(30 17 * * ? *)", "Mon-Fri 08-20", "Mon, Tue, Wed, Thu, Fri"),
    ("cron(0 18 * * ? *)", "Mon-Fri 08-20", ""),
    ("cron(59 19 * * ? *)", "Mon-Fri 08-20", ""),
    ("cron(0 20 * * ? *)", "Mon-Fri 08-20", "Mon, Tue, Wed, Thu, Fri"),  # after closing
    ("cron(0 0/2 * * ? *)", "Mon-Fri 08-20", ""),
    ("cron(0 19 ? * MON-FRI *)", "Mon-Fri 08-20", ""),
    ("cron(0 19 ? * MON,WED *)", "Mon-Fri 08-20", "Tue, Thu, Fri"),
    ("cron(0 19 ? * 1-5 *)", "Mon-Fri 08-20", "Fri"),  # a cron's week begins with Sunday
    ("cron(0 16 ? * SUN *)", "Sun-Thu 09-17", "Mon, Tue, Wed, Thu"),
    ("cron(0 19 15 * ? *)", "Mon-Wed 08-20", "Mon, Tue, Wed"),
    ("cron(0 8 * * ? *)", "Mon-Wed 08-09", ""),
    ("cron(0 7 * * ? *)", "Mon-Wed 08-09", "Mon, Tue, Wed"),
)
@pytest.mark.parametrize("mode", ["act", "dry-run"])
def test_runs_that_miss_the_last_two_hours_are_named(schedule: str, hours: str, on: str, mode: str) -> None:
    janitor = {"working_hours": hours, "time_zone": "Europe/Berlin"}
    section: dict[str, Any] = {"mode": mode, "schedule": schedule}

    said = notice_warnings(settings(HERE, janitor=janitor, stop_outside_hours=["team-*"], **section))

    assert [f"{schedule} may not run then on {on}: " in one for one in said] == ([True] if on else [])
    assert notice_warnings(settings(HERE, janitor=janitor, **section)) == []
