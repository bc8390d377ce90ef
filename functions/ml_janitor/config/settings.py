"""Settings: janitor.toml and overrides, validated once, the same for the command line, Lambda and CDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ml_janitor.config.globs import check_globs
from ml_janitor.config.layers import SettingsError, check_keys, layer_tables, suggest_nearest
from ml_janitor.config.routes import Routes, check_routes
from ml_janitor.config.schedules import schedule_period
from ml_janitor.config.sections import (
    JANITOR_FIELDS,
    SECTIONS,
    BillSection,
    DetectorSection,
    JanitorSection,
    OrganizationSection,
    PlanSection,
    PoliciesSection,
    SlackSection,
    accounts_of,
    section_model,
    validate_section,
)
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.exemptions import Exemptions
from ml_janitor.core.model import Change, Confidence, Mode
from ml_janitor.core.ownership import MANAGER_KEYS, ManagerPolicy, normalised_key
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.arming import Arming
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy

__all__ = ["Settings", "SettingsError"]

SETTINGS_FILE = "janitor.toml"

type DetectorRegistry = Sequence[type[Detector[Any]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """All settings of an operator, read and checked, for the detectors of one *registry*."""

    janitor: JanitorSection
    slack: SlackSection
    bill: BillSection
    plan: PlanSection
    policies: PoliciesSection
    organization: OrganizationSection
    sections: Mapping[str, DetectorSection]
    registry: DetectorRegistry

    @classmethod
    def load(
        cls,
        *,
        files: Sequence[Path] = (),
        overrides: Iterable[str] = (),
        base: Mapping[str, Any] | None = None,
        registry: DetectorRegistry = DETECTORS,
        bundled: bool = False,
    ) -> Settings:
        """
        Load settings from *files* (later ones win, key by key) and *overrides* ("idle-endpoints.window=14d").

        Settings that are *bundled* with a function passed every check at synth, so that a detector checks its
        tunables again only when it is built. Raises SettingsError.
        """
        tables = layer_tables(files, base or {}, overrides, sections=SECTIONS)
        return cls.parse(tables, registry=registry, bundled=bundled)

    @classmethod
    def parse(
        cls, tables: Mapping[str, Any], *, registry: DetectorRegistry = DETECTORS, bundled: bool = False
    ) -> Settings:
        """Parse settings from the tables of a TOML document. Raises SettingsError."""
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
        settings = cls(**whole, sections=sections, registry=registry)
        janitor, organization = settings.janitor, settings.organization
        check_budgets(settings.bill)
        check_keys("plan.hours", settings.plan.hours, list(Change))
        check_globs(janitor.ignore, "janitor.ignore", registry)
        check_network(janitor)
        check_accounts(organization)
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
            settings.check_arms(detector)
        return settings

    def check_arms(self, detector: type[Detector[Any]]) -> None:
        """Refuse a detector that is armed for nowhere. Raises SettingsError."""
        if self.mode(detector.name) is Mode.ACT and self.arming(detector).act_in == ():
            raise SettingsError(
                f'detectors.{detector.name}: mode = "act" needs act_in, the accounts and regions to act in, '
                'for example act_in = ["123456789012/eu-west-1"]'
            )

    def detector(self, detector: type[Detector[Any]]) -> Detector[Any]:
        """Return *detector* with its tunables set. Raises SettingsError if it refuses them."""
        section = self.sections[detector.name]
        shared = {
            "working_hours": self.working_hours,
            "undo_roles": tuple(self.janitor.undo_roles),
            "keep_tags": tuple(self.janitor.keep_tags),
            "keep_until_tag": self.janitor.keep_until_tag,
        }
        values = {
            field.name: shared[field.name] if field.name in JANITOR_FIELDS else getattr(section, field.name)
            for field in fields(detector)
        }
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            return detector(**values)
        except ValueError as error:
            raise SettingsError(f"detectors.{detector.name}: {error}") from error

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
        arming = {detector.name: self.arming(detector) for detector in self.registry if detector.cleanup}
        return RunPolicy(exemptions, tuple(section.owner_tags), arming, hours=self.hours)

    @property
    def hours(self) -> Mapping[Change, float]:
        """Return the estimated working hours of each kind of change."""
        return {Change(kind): hours for kind, hours in (PlanSection().hours | self.plan.hours).items()}

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
        """Return the deployment's permission for *detector*. Raises SettingsError if it can only advise."""
        section, cleanup = self.sections[detector.name], detector.cleanup
        if cleanup is None:
            raise SettingsError(f"detectors.{detector.name}: it only advises, so there is nothing to arm")
        return Arming(
            mode=self.mode(detector.name),
            effect=cleanup.effect,
            every=schedule_period(self.schedule(detector)),
            act_in=tuple(section.act_in),
            act_on=Confidence(section.act_on) if section.act_on else cleanup.act_on,
            grace=cleanup.grace if section.grace is None else section.grace,
            grace_likely=section.grace_likely,
            business_days=cleanup.effect.removes_data
            if section.business_days is None
            else section.business_days,
            max_actions=section.max_actions,
            max_share=section.max_share,
            act_on_managed=tuple(section.act_on_managed),
            act_on_environments=tuple(section.act_on_environments),
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
            return section.armed_until is not None and today <= section.armed_until + span

        return {detector.name for detector in self.registry if was_armed(detector)}

    def undoes_elsewhere(self, detector: str) -> bool:
        """
        Return whether actions of the armed *detector* can be undone in accounts that `act_in` does not name.

        `armed_until` is the day on which such an account was disarmed: which account it was is unknown.
        """
        return self.mode(detector) is Mode.ACT and self.sections[detector].armed_until is not None

    def undo_reaches(self, detector: str, account: str, today: date) -> bool:
        """Return whether the undo function may undo actions of *detector* in *account* on *today*."""
        named = accounts_of(self.sections[detector].act_in)
        within = not named or account in named or self.undoes_elsewhere(detector)
        return within and detector in self.undoable_names(today)

    def schedule(self, detector: type[Detector[Any]]) -> str:
        """Return the schedule of *detector*: its own, unless the operator set another."""
        return self.sections[detector.name].schedule or detector.schedule


def check_budgets(bill: BillSection) -> None:
    """Refuse a budget for an unknown tag of the bill. Raises SettingsError."""
    known = [name for name, key in bill.tags.items() if key]
    for part in bill.budgets:
        name, equals, value = part.partition("=")
        if not equals or not value or name not in known:
            raise SettingsError(
                f'bill.budgets: "{part}" is no part of a bill; expected one of tags in [bill] and a value, '
                f'such as "{next(iter(known), "project")}=churn"{suggest_nearest(name, known)}'
            )


def check_network(section: JanitorSection) -> None:
    """Refuse subnets and security groups that make no network for a function. Raises SettingsError."""
    if bool(section.subnets) != bool(section.security_groups):
        given, missing = "subnets", "security_groups"
        if not section.subnets:
            given, missing = missing, given
        raise SettingsError(
            f"janitor.{given} needs {missing} too: a function is in a VPC with both, or in none with neither"
        )


def check_accounts(section: OrganizationSection) -> None:
    """Refuse an `[organization]` that cannot be used as it is. Raises SettingsError."""
    found = bool(section.units or section.all_accounts)
    kinds = {"accounts": section.accounts, "units": section.units, "all_accounts": section.all_accounts}
    given = [name for name, value in kinds.items() if value]
    needed = ["janitor_account", "external_id", "callers", *(["id"] if found else [])]
    missing = [name for name in needed if not getattr(section, name)]
    strange = [caller for caller in section.callers if caller.split(":")[4] != section.janitor_account]
    wrong = ""
    if section.without and not found:
        wrong = "without needs units or all_accounts: it leaves accounts out of those"
    elif len(given) > 1:
        wrong = f"{given[0]} and {given[1]} exclude each other: name accounts, units, or all of them"
    elif given and missing:
        wrong = f"{given[0]} needs {missing[0]} too: the roles of the accounts trust exactly whom it names"
    elif given and strange:
        wrong = f"callers: {strange[0]} is not in janitor_account {section.janitor_account}"
    if wrong:
        raise SettingsError(f"organization.{wrong}")
