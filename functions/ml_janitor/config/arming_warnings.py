"""Warns about arming that would never act, or at any hour. For synth and doctor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ml_janitor.config.schedules import hours_of_week, missed_days
from ml_janitor.config.sections import accounts_of
from ml_janitor.config.settings import Settings
from ml_janitor.core.durations import HOUR, WEEKDAYS
from ml_janitor.core.model import Confidence
from ml_janitor.detectors.idle_notebooks.outside_hours import CLOSING_NOTICE
from ml_janitor.engine.detector import Detector


def arming_warnings(settings: Settings, *, home: str = "") -> list[str]:
    """
    Return one line for each armed detector that would never act, and for each place where it would not.

    *home* is the deployment's own region, if known: the swept region where `regions` is empty.
    Accounts are only judged in an organization: several deployments may share one janitor.toml.
    """
    regions = settings.janitor.regions or ([home] if home else [])
    if settings.organization.used:
        regions = settings.organization.regions
    return [
        f"detectors.{detector.name}: mode is act, but it would never act{why}"
        for detector in settings.armed()
        for why in _why(settings, detector, regions)
    ]


def undo_role_warnings(settings: Settings, *, account: str = "", partition: str = "") -> list[str]:
    """
    Return warnings about `undo_roles` in *account* and *partition*, as far as these are known.

    Several deployments may share one janitor.toml: roles of other accounts are no fault beside its own
    roles. In an organization, roles of any account that `act_in` names are no fault.
    """
    roles = settings.janitor.undo_roles
    every = [role for role in roles if not role.partition(":role/")[2].strip("*?/")]
    warned = [
        f"janitor.undo_roles: {role} is every role of the account: whoever signs an undo record can have an "
        "image of their choice run under any of them. Name those of your jobs"
        for role in every
    ]
    accounts = [account]
    if settings.organization.used:
        accounts = accounts_of(place for section in settings.sections.values() for place in section.act_in)
    here = [role for role in roles for account in accounts if _is_of(role, account, partition)]
    if roles and accounts and not here:
        warned.append(
            f"janitor.undo_roles: none is a role of account {' or '.join(accounts)}"
            f"{f' in {partition}' if partition else ''}, so the undo function can hand on none"
        )
    return warned


def _is_of(role: str, account: str, partition: str) -> bool:
    """Return whether *role* may be in *account*; AWS's standard partition stands for that of the stack."""
    _, own, _, _, owner, _ = role.split(":", 5)
    return account in {"", owner} and (not partition or own in {"aws", partition})


def home_refusals(settings: Settings, account: str) -> list[str]:
    """Return why a deployment in *account* could read no account of `[organization]`: roles trust another."""
    home = settings.organization.janitor_account
    if not settings.organization.used or account in {"", home}:
        return []
    refused = (
        f"organization.janitor_account is {home}, and this deployment is in {account}: the roles of the "
        f"accounts trust functions of {home} alone, so deploy it there, or set janitor_account and update "
        "the roles"
    )
    return [refused]


def arming_refusals(settings: Settings) -> list[str]:
    """
    Return one line for each armed detector that acts by working hours without a set time zone.

    Hours that are wrong by half a day would stop resources in use by day.
    """
    if "time_zone" in settings.janitor.model_fields_set:
        return []
    return [
        f"detectors.{detector.name}: {why} goes by working hours, so set janitor.time_zone, "
        'such as time_zone = "Europe/Berlin"'
        for detector in settings.armed()
        if (why := _by_working_hours(settings, detector))
    ]


def notice_warnings(settings: Settings) -> list[str]:
    """
    Return one line for each detector whose runs miss the last working hours, when `stop_outside_hours` warns.

    The janitor does not stop that night what it did not warn about before closing.
    """
    hours = settings.working_hours
    last = range(max(hours.start, hours.end - CLOSING_NOTICE // HOUR), hours.end)
    warnings = []
    for detector in settings.enabled():
        schedule = settings.schedule(type(detector))
        days = missed_days(schedule, last, hours.days)
        if getattr(settings.sections[detector.name], "stop_outside_hours", ()) and days:
            on = ", ".join(WEEKDAYS[day] for day in days)
            warnings.append(
                f"detectors.{detector.name}: stop_outside_hours warns in the last working hours "
                f"({last.start}:00 to {hours.end}:00), and {schedule} may not run then on {on}: what "
                "nobody was warned of is not stopped that night. The default, rate(1 hour), always does"
            )
    return warnings


def _by_working_hours(settings: Settings, detector: Detector[Any]) -> str | None:
    """Return the setting that has *detector* act by working hours, or None."""
    if getattr(settings.sections[detector.name], "stop_outside_hours", ()):
        return "stop_outside_hours"
    if settings.arming(type(detector)).act_on is not Confidence.LIKELY:
        return None
    return 'act_on = "likely"' if settings.sections[detector.name].act_on else "acting on what is likely"


def _why(settings: Settings, detector: Detector[Any], regions: Sequence[str]) -> Iterator[str]:
    if (why := _never(settings, detector)) is not None:
        yield f": {why}"
    organization = settings.organization
    for place in settings.sections[detector.name].act_in:
        account, _, region = place.partition("/")
        if organization.used and (
            account in organization.without or account not in (organization.accounts or [account])
        ):
            yield f" in {place}: [organization] leaves that account out"
        elif region and regions and region not in regions:
            yield f" in {place}: only {', '.join(regions)} {'is' if len(regions) == 1 else 'are'} swept"


def _never(settings: Settings, detector: Detector[Any]) -> str | None:
    """Return why *detector* never acts anywhere, or None."""
    if not settings.janitor.slack_secret:
        return "nothing is acted on without a delivered warning, and janitor.slack_secret is not set"
    if settings.sections[detector.name].max_actions == 0:
        return "max_actions is 0"
    if settings.janitor.max_actions_per_night == 0:
        return "janitor.max_actions_per_night is 0"
    if (why := _always_rests(settings, detector)) is not None:
        return why
    return detector.never_acts()


def _always_rests(settings: Settings, detector: Detector[Any]) -> str | None:
    """Return why a schedule of weekends only warns, where only business days count; else None."""
    schedule = settings.schedule(type(detector))
    arming = replace(settings.policy.armed(detector.name), holidays=())
    runs = hours_of_week(schedule, arming.time_zone)
    if runs and all(map(arming.rests, runs)):
        return f"it runs on {schedule}, a weekend in {arming.time_zone}, and business_days is on"
    return None
