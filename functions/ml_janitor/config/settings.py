"""
All settings of an operator: janitor.toml and overrides, validated once.

The command line, Lambda and CDK read the same settings. Synth and doctor warn about arming that would never
act, or that would act at any hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ml_janitor.config.schedules import hours_of_week, missed_days, schedule_period
from ml_janitor.config.sections import (
    JANITOR_FIELDS,
    SECTIONS,
    BillSection,
    DetectorSection,
    JanitorSection,
    NotifySection,
    OrganizationSection,
    PoliciesSection,
    Routes,
    SlackSection,
    accounts_of,
    bill_pages,
    check_routes,
    section_model,
    validate_section,
)
from ml_janitor.config.values import (
    InvalidInputError,
    check_globs,
    check_keys,
    drop_removed,
    layer_tables,
    suggest_nearest,
)
from ml_janitor.core.durations import HOUR, WEEKDAYS, WorkingHours
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.core.ownership import MANAGER_KEYS, Exemptions, ManagerPolicy, normalised_key
from ml_janitor.core.text import count_noun
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.idle_notebooks import CLOSING_NOTICE
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Arming, RunPolicy

SETTINGS_FILE = "janitor.toml"

type DetectorRegistry = Sequence[type[Detector[Any]]]


def _fields_set(section: BaseModel, kind: type) -> dict[str, Any]:
    """Return those fields of the dataclass *kind* that *section* has, without the empty ones."""
    found = {
        field.name: getattr(section, field.name)
        for field in fields(kind)
        if field.name in type(section).model_fields
    }
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in found.items()
        if value is not None
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """
    All settings of an operator, read and checked, for the detectors of one *registry*.

    *ignored* are the names of settings that an earlier version had.
    """

    janitor: JanitorSection
    slack: SlackSection
    notify: NotifySection
    bill: BillSection
    policies: PoliciesSection
    organization: OrganizationSection
    sections: Mapping[str, DetectorSection]
    registry: DetectorRegistry
    ignored: Sequence[str] = ()

    @classmethod
    def load(
        cls,
        *,
        files: Sequence[Path] = (),
        overrides: Iterable[str] = (),
        base: Mapping[str, Any] | None = None,
        registry: DetectorRegistry = DETECTORS,
        bundled: bool = False,
        deploying: bool = False,
    ) -> Settings:
        """
        Load settings from *files* (later ones win, key by key) and *overrides* ("idle-endpoints.window=14d").

        Settings that are *bundled* with a function passed every check at synth, so that a detector checks its
        tunables again only when it is built. *deploying* checks also what a deployment needs.

        Raises InvalidInputError.
        """
        tables = layer_tables(files, base or {}, overrides, sections=SECTIONS)
        return cls.parse(tables, registry=registry, bundled=bundled, deploying=deploying)

    @classmethod
    def parse(
        cls,
        tables: Mapping[str, Any],
        *,
        registry: DetectorRegistry = DETECTORS,
        bundled: bool = False,
        deploying: bool = False,
    ) -> Settings:
        """Parse settings from the tables of a TOML document. Raises InvalidInputError."""
        tables, ignored = drop_removed(tables)
        check_keys("", tables, [*SECTIONS, "detectors"])
        given = check_keys(
            "detectors", tables.get("detectors", {}), [detector_type.name for detector_type in registry]
        )
        whole: Any = {
            name: validate_section(model, tables.get(name, {}), name) for name, model in SECTIONS.items()
        }
        sections = {
            detector_type.name: validate_section(
                section_model(detector_type),
                given.get(detector_type.name, {}),
                f"detectors.{detector_type.name}",
            )
            for detector_type in registry
        }
        bill, organization = whole["bill"], whole["organization"]
        if "max_requests" not in bill.model_fields_set:
            pages = bill_pages(bill, in_organization=organization.used)
            whole["bill"] = bill.model_copy(update={"max_requests": max(bill.max_requests, pages)})
        settings = cls(**whole, sections=sections, registry=registry, ignored=ignored)
        janitor = settings.janitor
        check_budgets(settings.bill)
        check_globs(janitor.ignore, "janitor.ignore", registry)
        check_accounts(organization)
        if missing := [*missing_settings(settings), *(arming_refusals(settings) if deploying else ())]:
            raise InvalidInputError("; ".join(missing))
        check_routes(
            settings.slack.routes,
            channel=janitor.slack_channel,
            secret=janitor.slack_secret,
            accounts=organization.accounts,
            without=organization.without,
        )
        for detector in registry:
            if not bundled:
                settings.detector(detector)
        return settings

    def detector(self, detector: type[Detector[Any]]) -> Detector[Any]:
        """Return *detector* with its tunables set. Raises InvalidInputError if it refuses them."""
        section = self.sections[detector.name]
        shared = {
            "working_hours": self.working_hours,
            "undo_roles": tuple(self.janitor.undo_roles),
            "keep_tags": tuple(self.janitor.keep_tags),
            "keep_until_tag": self.janitor.keep_until_tag,
            "read_logs": self.janitor.read_logs,
        }
        own = {field.name: shared[field.name] for field in fields(detector) if field.name in JANITOR_FIELDS}
        try:
            return detector(**own | _fields_set(section, detector))
        except ValueError as error:
            raise InvalidInputError(f"detectors.{detector.name}: {error}") from error

    def detector_called(self, name: str) -> Detector[Any] | None:
        """Build the one detector called *name*; return None if the registry has none."""
        found = (self.detector(detector) for detector in self.registry if detector.name == name)
        return next(found, None)

    def enabled(self) -> list[Detector[Any]]:
        """Return every detector that is not switched off, in the registry's order."""
        return [
            self.detector(detector_type)
            for detector_type in self.registry
            if self.sections[detector_type.name].enabled
        ]

    @property
    def routes(self) -> Routes:
        """Return the Slack channels of findings."""
        return Routes.of(self.slack.routes, main=self.janitor.slack_channel)

    @property
    def working_hours(self) -> WorkingHours:
        """Return when people are expected at work."""
        return WorkingHours.parse(self.janitor.working_hours, self.janitor.time_zone, self.janitor.holidays)

    @property
    def policy(self) -> RunPolicy:
        """Return the policy that the engine applies to every detector."""
        section = self.janitor
        exemptions = Exemptions(
            tuple(section.keep_tags),
            section.keep_until_tag,
            tuple(section.ignore),
            time_zone=section.time_zone,
        )
        arming = {
            detector.name: replace(self.arming(detector), act_in=self._swept_act_in(detector.name))
            for detector in self.registry
            if detector.cleanup
        }
        return RunPolicy(exemptions, tuple(section.owner_tags), arming)

    @property
    def hold_time(self) -> timedelta | None:
        """The time for which a press of *Keep* holds a resource; None is for good."""
        days = self.janitor.hold_days
        return timedelta(days=days) if isinstance(days, int) else None

    @property
    def managers(self) -> ManagerPolicy:
        """Return the reading of `managed-by`: values that `fill_tags` of any detector writes name no tool."""
        filled = (getattr(section, "fill_tags", {}) for section in self.sections.values())
        return ManagerPolicy(
            tools=tuple(self.janitor.tools),
            people=tuple(self.janitor.owner_tags),
            filled=tuple(tags[key] for tags in filled for key in tags if normalised_key(key) in MANAGER_KEYS),
        )

    def mode(self, detector: str) -> Mode:
        """Return the mode of *detector*."""
        return Mode(self.sections[detector].mode)

    def arming(self, detector: type[Detector[Any]]) -> Arming:
        """Return the deployment's permission for *detector*. Raises InvalidInputError for an adviser."""
        section, cleanup = self.sections[detector.name], detector.cleanup
        if cleanup is None:
            raise InvalidInputError(f"detectors.{detector.name}: it only advises, so there is nothing to arm")
        terms = {
            "act_on": cleanup.act_on,
            "grace": cleanup.grace,
            "business_days": cleanup.effect.removes_data,
            **_fields_set(section, Arming),
        }
        return Arming(
            **terms | {"mode": Mode(terms["mode"]), "act_on": Confidence(terms["act_on"])},
            effect=cleanup.effect,
            every=schedule_period(self.schedule(detector)),
            managers=self.managers,
            time_zone=self.janitor.time_zone,
            time_zone_set="time_zone" in self.janitor.model_fields_set,
            holidays=tuple(self.janitor.holidays),
            working_hours=self.working_hours,
        )

    def armed(self) -> list[Detector[Any]]:
        """Return every enabled detector that may act."""
        return [detector for detector in self.enabled() if self.mode(detector.name) is Mode.ACT]

    def undoable(self, today: date) -> list[Detector[Any]]:
        """Return every detector with undoable actions on *today*: armed, or disarmed not long ago."""
        names = self.undoable_names(today)
        return [self.detector(detector) for detector in self.registry if detector.name in names]

    def undoable_names(self, today: date) -> set[str]:
        """Return the names of the detectors whose acts may still be undone on *today*."""
        span = timedelta(days=self.janitor.undo_days)

        def was_armed(detector: type[Detector[Any]]) -> bool:
            section = self.sections[detector.name]
            if self.mode(detector.name) is Mode.ACT:
                return True
            return section.armed_until is not None and today - span <= section.armed_until

        return {detector.name for detector in self.registry if was_armed(detector)}

    def undoes_elsewhere(self, detector: str) -> bool:
        """
        Return whether actions of the armed *detector* can be undone in accounts that `act_in` does not name.

        `armed_until` is the day on which such an account was disarmed: which account it was is unknown.
        """
        return self.mode(detector) is Mode.ACT and self.sections[detector].armed_until is not None

    def why_left_out(self, account: str, region: str = "", *, own_region: str = "") -> str | None:
        """
        Return why these settings leave *account*, or *region* of it, out; None if they sweep it.

        *own_region* is the region of the deployment, if known. Accounts of units are in the list of a run.
        """
        section = self.organization
        if section.used and (account in section.without or account not in (section.accounts or [account])):
            return "[organization] leaves that account out"
        own = [own_region] if own_region else []
        regions = self.swept_regions or ([] if section.used else own)
        if region and regions and region not in regions:
            return f"only {', '.join(regions)} {'is' if len(regions) == 1 else 'are'} swept"
        return None

    def why_not_allowed(
        self, detector: str, account: str, region: str, *, home: str, undo_on: date | None = None
    ) -> str | None:
        """
        Return why *detector* may not act in *region* of *account* from account *home*; None if it may.

        With *undo_on*, return why the undo function may not undo its actions there on that day. It may in
        the swept regions of the accounts in `act_in`, and until `armed_until` is over wherever it was armed.
        """
        if account != home and not self.organization.used:
            return f"account {account} is no longer looked at from account {home}"
        why = self.why_left_out(account, region)
        if undo_on is None:
            if self.mode(detector) is not Mode.ACT:
                return f"{detector} is a dry run, which does nothing"
            if why is None and not self.policy.armed(detector).within(account, region):
                why = f"act_in of {detector} does not name it"
            return why and f"the settings allow no action in {account}, {region}: {why}"
        if detector not in self.undoable_names(undo_on):
            return (
                f"{detector} is not armed, nor was it in the last {count_noun(self.janitor.undo_days, 'day')}"
            )
        section = self.sections[detector]
        named, until = accounts_of(section.act_in), section.armed_until
        was_named = self.mode(detector) is Mode.ACT or not named or account in named
        if until and undo_on - timedelta(days=self.janitor.undo_days) <= until and was_named:
            return None
        if why is None and account not in named:
            why = f"act_in of {detector} does not name that account"
        return why and (
            f"the settings allow no undo in {account}, {region}: {why}; a person still can, with janitor undo"
        )

    @property
    def swept_regions(self) -> Sequence[str]:
        """The regions that sweeps are for; empty if only the deployment's own is."""
        return self.organization.regions if self.organization.used else self.janitor.regions

    def _swept_act_in(self, detector: str) -> tuple[str, ...]:
        """Return the places of *detector*'s `act_in` that these settings sweep."""
        places = [place.partition("/") for place in self.sections[detector].act_in]
        return tuple(
            f"{account}/{place_region}" if place_region else account
            for account, _, region in places
            for place_region in ([region] if region else self.swept_regions or [""])
            if self.why_left_out(account, place_region) is None
        )

    def schedule(self, detector: type[Detector[Any]]) -> str:
        """Return the schedule of *detector*: its own, unless the operator set another."""
        return self.sections[detector.name].schedule or detector.schedule


def check_budgets(bill: BillSection) -> None:
    """Refuse a budget for an unknown tag of the bill. Raises InvalidInputError."""
    known = [name for name, key in bill.tags.items() if key]
    for part in bill.budgets:
        name, equals, value = part.partition("=")
        if not equals or not value or name not in known:
            raise InvalidInputError(
                f'bill.budgets: "{part}" is not a part of a bill; expected a tag of [bill] and a value, '
                f'such as "{next(iter(known), "project")}=churn"{suggest_nearest(name, known)}'
            )


def missing_settings(settings: Settings) -> list[str]:
    """Return one line for each setting that another one needs."""
    janitor, organization = settings.janitor, settings.organization
    missing = []
    if janitor.slack_channel and not janitor.slack_secret:
        missing.append(
            "janitor.slack_channel needs slack_secret too, the name of the secret with the bot token: "
            'slack_secret = "ml-janitor/slack"'
        )
    if bool(janitor.subnets) != bool(janitor.security_groups):
        given, other = ("subnets", "security_groups")[:: 1 if janitor.subnets else -1]
        missing.append(
            f"janitor.{given} needs {other} too: a function is in a VPC with both, or in none with neither"
        )
    found = bool(organization.units or organization.all_accounts)
    needed = ["external_id", "callers", *(["id"] if found else [])] if organization.used else []
    if absent := [name for name in needed if not getattr(organization, name)]:
        kind = next(name for name in ("accounts", "units", "all_accounts") if getattr(organization, name))
        missing.append(
            f"organization.{kind} needs {' and '.join(absent)} too: the roles of the accounts trust exactly "
            "whom these name"
        )
    missing += [
        f'detectors.{detector.name}: mode = "act" needs act_in, the accounts and regions to act in, '
        'for example act_in = ["123456789012/eu-west-1"]'
        for detector in settings.registry
        if settings.mode(detector.name) is Mode.ACT and settings.arming(detector).act_in == ()
    ]
    return missing


def check_accounts(section: OrganizationSection) -> None:
    """Refuse an `[organization]` that cannot be used as it is. Raises InvalidInputError."""
    found = bool(section.units or section.all_accounts)
    kinds = {"accounts": section.accounts, "units": section.units, "all_accounts": section.all_accounts}
    given = [name for name, value in kinds.items() if value]
    strange = [caller for caller in section.callers if caller.split(":")[4] != section.janitor_account]
    wrong = ""
    if section.without and not found:
        wrong = "without needs units or all_accounts: it leaves accounts out of those"
    elif len(given) > 1:
        wrong = f"{given[0]} and {given[1]} exclude each other: name accounts, units, or all of them"
    elif given and strange:
        wrong = f"callers: {strange[0]} is not in account {section.janitor_account}, as the first of them is"
    if wrong:
        raise InvalidInputError(f"organization.{wrong}")


# --- warnings about arming ------------------------------------------------------------------------


def arming_warnings(settings: Settings, *, home: str = "") -> list[str]:
    """
    Return one line for each armed detector that would never act, and for each place where it would not.

    *home* is the deployment's own region, if known: the swept region where `regions` is empty.
    Accounts are only judged in an organization: several deployments may share one janitor.toml.
    """
    return [
        f"detectors.{detector.name}: mode is act, but it would never act{why}"
        for detector in settings.armed()
        for why in _why(settings, detector, home)
    ]


def tag_warnings(settings: Settings) -> list[str]:
    """Return one line that names the required tags that the janitor's own stack lacks, if there are any."""
    required = getattr(settings.sections.get("untagged-resources"), "required", ())
    own = {normalised_key(key) for key, value in settings.janitor.tags.items() if value}
    missing = [tag for tag in required if normalised_key(tag) not in own]
    if not missing:
        return []
    example = ", ".join(f'{tag} = "..."' for tag in missing)
    return [f"janitor.tags: this stack lacks tags that every resource needs; add {example}"]


def ignored_warnings(settings: Settings) -> list[str]:
    """Return one line that names all settings of earlier versions, if there are any."""
    if not settings.ignored:
        return []
    named = ", ".join(settings.ignored)
    return [f"ignored, because version 0.2.0 has no such setting: {named}. Delete them: 0.4 refuses them"]


def undo_role_warnings(settings: Settings, *, account: str = "", partition: str = "") -> list[str]:
    """
    Return warnings about `undo_roles` in *account* and *partition*, as far as these are known.

    Several deployments may share one janitor.toml: roles of other accounts are fine beside its own.
    In an organization, so are roles of any account that `act_in` names.
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
        f"organization.callers are in account {home}, and this deployment is in {account}: the roles of the "
        f"accounts trust functions of {home} alone, so deploy it there, or name callers of {account} and "
        "update the roles"
    )
    return [refused]


def arming_refusals(settings: Settings) -> list[str]:
    """
    Return one line for each setting that what is armed lacks.

    Those are the people who may write to the ledger, and the time zone of each detector that acts by working
    hours: hours that are wrong by half a day would stop resources in use by day.
    """
    armed = settings.armed()
    refused = []
    if armed and not settings.janitor.ledger_writers:
        acts_in = accounts_of(settings.sections[armed[0].name].act_in)
        home = settings.organization.janitor_account or next(iter(acts_in), "123456789012")
        refused.append(
            f"detectors.{armed[0].name} is armed, so set janitor.ledger_writers, the roles of those who use "
            f'janitor keep, undo or sweep --act: ledger_writers = ["arn:aws:iam::{home}:role/ROLE"]. Only '
            "they and the functions may then sign, and write to the ledger"
        )
    if "time_zone" not in settings.janitor.model_fields_set:
        refused += [
            f"detectors.{detector.name}: {why} goes by working hours, so set janitor.time_zone, "
            'such as time_zone = "Europe/Berlin"'
            for detector in armed
            if (why := _by_working_hours(settings, detector))
        ]
    return refused


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


def _why(settings: Settings, detector: Detector[Any], home: str) -> Iterator[str]:
    if (why := _never(settings, detector)) is not None:
        yield f": {why}"
    for place in settings.sections[detector.name].act_in:
        account, _, region = place.partition("/")
        if (why := settings.why_left_out(account, region, own_region=home)) is not None:
            yield f" in {place}: {why}"


def _never(settings: Settings, detector: Detector[Any]) -> str | None:
    """Return why *detector* never acts anywhere, or None."""
    if not settings.janitor.slack_secret and not settings.notify.email:
        return "nothing is acted on without a delivered warning: set janitor.slack_secret or notify.email"
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
