"""The policy of a run: who keeps what, and what the janitor may act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import chain
from zoneinfo import ZoneInfo

from ml_janitor.core.durations import DAYS_PER_YEAR, WorkingHours
from ml_janitor.core.model import Confidence, Effect, Finding, Mode, Target, Value
from ml_janitor.core.ownership import Exemptions, ManagerPolicy, normalised_key, production_environment
from ml_janitor.core.results import Cause, CauseCode, make_cause
from ml_janitor.core.text import person_name

# --- holds: resources that a person keeps for now, or for good ------------------------------------


class HoldKind(StrEnum):
    """The kind of a hold."""

    KEPT = "kept"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A decision that the resource of identity *key* stays, through *until* or for good."""

    key: str
    how: HoldKind
    by: str
    given: datetime
    until: datetime | None = None
    why: str = ""

    @property
    def pressed(self) -> bool:
        """Return whether a press of *Keep* gave it: `janitor keep` demands a reason."""
        return self.how is HoldKind.KEPT and not self.why

    def reason(self, now: datetime) -> str | None:
        """Return the reason to keep at *now*, in words; None once it is over."""
        if self.until is not None and self.until <= now:
            return None
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"{self.how} by {person_name(self.by)}{until}{f': {self.why}' if self.why else ''}"


def recreated_hold_key(arn: str) -> str:
    """Return the key of a hold on a resource created anew as *arn*: an undo creates another identity."""
    return f"{arn}@anew"


def advice_hold_key(detector: str, key: str) -> str:
    """Return the key of a hold on only *detector*'s findings for the resource of identity *key*."""
    return f"{detector} {key}"


def holds_on_advice(holds: Mapping[str, Sequence[Hold]], detector: str, key: str) -> tuple[Hold, ...]:
    """Return the *holds* on advice of *detector* for the resource of identity *key*."""
    return (*holds.get(key, ()), *holds.get(advice_hold_key(detector, key), ()))


def holds_on(holds: Mapping[str, Sequence[Hold]], target: Target, detector: str) -> tuple[Hold, ...]:
    """Return the *holds* on *target*, or on *detector*'s findings for it."""
    return (*holds_on_advice(holds, detector, target.key), *holds.get(recreated_hold_key(target.arn), ()))


def hold_reason(holds: Iterable[Hold], now: datetime) -> str | None:
    """Return why *holds* keep a resource at *now*, by the longest hold; None if none does."""
    hold = longest_hold(holds, now)
    return None if hold is None else hold.reason(now)


def longest_hold(holds: Iterable[Hold], now: datetime) -> Hold | None:
    """Return the hold that keeps a resource at *now* for the longest time; None if none does."""
    last = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(holds, key=lambda hold: (hold.until or last, hold.how is HoldKind.KEPT), reverse=True)
    return next((hold for hold in ordered if hold.reason(now) is not None), None)


# --- arming: where, on which findings, how soon, and how many -------------------------------------

SATURDAY = 5
AFTER_OPENING = timedelta(hours=2)
"""Time into a working day when a likely finding falls due: its owner could read the warning at work."""

UNMESSAGED_FACTOR = 2
"""The factor of the grace if the owner got no direct message."""

FEW_DELETIONS = 3
"""A number of deletions that is too small for a broken signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """
    The operator's permission for one detector.

    *act_in* holds accounts ("123456789012") and regions of accounts ("123456789012/eu-west-1"); empty
    means nowhere. *every* is the time between two sweeps. *act_on* is the least confidence. *max_share*
    is in percent of the judged candidates. *grace_likely* is the least grace of a likely finding, which
    falls due in *working_hours*; without *time_zone_set* their time zone is unknown.
    """

    mode: Mode = Mode.DRY_RUN
    effect: Effect = Effect.DELETE
    every: timedelta = timedelta(days=1)
    act_in: Sequence[str] = ()
    act_on: Confidence = Confidence.PROVEN
    grace: timedelta = timedelta(days=3)
    grace_likely: timedelta = timedelta(days=1)
    business_days: bool = True
    max_actions: int = 10
    max_share: int = 20
    act_on_managed: Sequence[str] = ()
    act_on_environments: Sequence[str] = ()
    managers: ManagerPolicy = field(default_factory=ManagerPolicy)
    time_zone: str = "UTC"
    time_zone_set: bool = True
    holidays: Sequence[date] = ()
    working_hours: WorkingHours = field(default_factory=WorkingHours)

    @property
    def armed(self) -> bool:
        return self.mode is Mode.ACT

    @property
    def lasts(self) -> timedelta:
        """
        Return how long an unconfirmed warning counts: two sweeps, the grace, or two days.

        An owner who was warned and then saw nothing happen for weeks, because no sweep ran or no resource
        could be judged, has used the resource again, and expects another warning.
        """
        return max(2 * self.every, self.grace, self.grace_likely, timedelta(days=2))

    def within(self, account: str | None, region: str) -> bool:
        return account in self.act_in or f"{account}/{region}" in self.act_in

    def anywhere_in(self, account: str | None) -> bool:
        """Return whether it may act in any region of *account*."""
        return any(place.partition("/")[0] == account for place in self.act_in)

    def places(self, regions: Sequence[str]) -> list[tuple[str, str]]:
        """Return the accounts and regions in which it may act; an account alone is all *regions* of it."""
        found = []
        for place in self.act_in:
            account, _, region = place.partition("/")
            found += [(account, place_region) for place_region in ([region] if region else regions)]
        return list(dict.fromkeys(found))

    def undo_places(self, regions: Sequence[str]) -> list[tuple[str, str]]:
        """
        Return the accounts and regions in which its actions may have to be undone: where it may act, and all
        *regions* of the same accounts.

        The janitor does not know last week's `act_in`, and an operator takes a region out of it after a
        fault there.
        """
        acting = self.places(regions)
        swept = [(account, region) for account, _ in acting for region in regions]
        return list(dict.fromkeys([*acting, *swept]))

    def spares(self, target: Target, finding: Finding, along: Sequence[Target] = ()) -> Cause | None:
        """
        Return why this finding is only reported, or None if the janitor may warn about it and act on it.

        *along* are the resources that acting on it would end too.
        """
        if not self.within(target.account, target.region):
            return make_cause(CauseCode.OUTSIDE_ACT_IN, target.account, target.region)
        unproven = finding.confidence is not Confidence.PROVEN and finding.schedule is None
        if self.act_on is Confidence.PROVEN and unproven:
            return make_cause(CauseCode.NOT_PROVEN, finding.confidence, finding.to_prove)
        if finding.spared is not None:
            return make_cause(CauseCode.SPARED_BY_RULE, finding.spared)
        if target.created is None:
            return make_cause(CauseCode.NO_CREATION_TIME)
        return self.protects(target, along)

    def protects(self, target: Target, along: Sequence[Target] = ()) -> Cause | None:
        """
        Return why *target* is only reported: a tool manages it, or it serves
        production; or *along* does.
        """
        for resource in (target, *along):
            if (why := self._protects(resource)) is not None:
                return why if resource is target else replace(why, along=resource.name)
        return None

    def _protects(self, target: Target) -> Cause | None:
        manager = self.managers.of(target)
        if manager is not None and not _named(manager.name, self.act_on_managed):
            return make_cause(CauseCode.MANAGED if manager.known else CauseCode.PERHAPS_MANAGED, manager.name)
        if (serves := production_environment(target)) is not None and not _named(
            serves, self.act_on_environments
        ):
            return make_cause(CauseCode.PRODUCTION, serves)
        return None

    def due(self, warned: datetime, finding: Finding, *, messaged: bool = True) -> datetime:
        """
        Return when the janitor may act on a finding warned about at *warned*: later if its owner was not
        *messaged*.

        A finding's schedule decides. A likely finding waits for `grace_likely` at least, and for two
        hours of a working day. With business days only, it moves to the same hour of the next day that is
        a working day in the operator's time zone.
        """
        likely = finding.confidence is not Confidence.PROVEN and finding.schedule is None
        grace = self.grace if finding.grace is None else finding.grace
        grace = max(grace, self.grace_likely) if likely else grace
        due = warned + (grace if messaged else UNMESSAGED_FACTOR * grace)
        if (plan := finding.schedule) is not None:
            return max(plan.due, due) if warned < plan.closing else plan.next_closing
        due = self._at_work(due) if likely else due
        zone = ZoneInfo(self.time_zone)
        for _ in range(DAYS_PER_YEAR):
            local = due.astimezone(zone)
            if not self._free(local):
                break
            following = datetime.combine(local.date() + timedelta(days=1), local.time(), zone)
            due = max(due, following.astimezone(due.tzinfo))
            due = self._at_work(due) if likely else due
        return due

    def _at_work(self, at: datetime) -> datetime:
        """
        Return the first moment from *at* on that is two hours into a working day.

        Without a set time zone, UTC would be a guess: the moment is late enough in any time zone.
        """
        hours = self.working_hours
        return (hours.well_into if self.time_zone_set else hours.well_into_anywhere)(at, AFTER_OPENING)

    def rests(self, at: datetime) -> bool:
        """
        Return whether the janitor rests on the day of *at*, on which people are not at work.

        An action that was due on a Friday, after that night's sweep, would else happen on Saturday.
        """
        return self._free(at.astimezone(ZoneInfo(self.time_zone)))

    def _free(self, local: datetime) -> bool:
        return self.business_days and (local.weekday() >= SATURDAY or local.date() in self.holidays)

    def too_many(self, waste: int, looked_at: int) -> bool:
        """
        Return whether so much *waste*, of all resources *looked_at*, waits until a person looked.

        *waste* counts warned findings, due or not, and findings that will soon be warned about: if a
        signal broke for everything, a few at a time become due.
        """
        return self.effect.removes_data and waste > FEW_DELETIONS and waste * 100 > self.max_share * looked_at


def _named(word: str, names: Sequence[str]) -> bool:
    """Return whether *names* has *word*, in any case; "cloudformation" names every stack."""
    lower = word.lower()
    return any(name.lower() in {lower, lower.partition(" ")[0]} for name in names)


# --- the policy of a run --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """
    The policy of a run: the exemptions, the tags of an owner, and the permission of each detector.

    *holds* are people's decisions about single resources, by identity; a resource that was brought back
    is held by its ARN. A detector without *arming* of its own runs dry.

    *needed* tells which undo needs a resource that must stay for it, by ARN in lower case: None without a
    ledger. *needed_unread* is the error of reading it. *hours* are estimated working hours of each kind
    of change. *named* are the resources, by ARN in lower case, that findings of other detectors would
    change; None if unknown.
    """

    exemptions: Exemptions = field(default_factory=Exemptions)
    owner_tags: Sequence[str] = ("owner",)
    arming: Mapping[str, Arming] = field(default_factory=dict)
    holds: Mapping[str, Sequence[Hold]] = field(default_factory=dict)
    needed: Mapping[str, str] | None = None
    needed_unread: str | None = None
    named: frozenset[str] | None = None

    def dry(self) -> RunPolicy:
        """Return the policy without arming, for a run that must not act."""
        return replace(self, arming={})

    def armed(self, detector: str) -> Arming:
        """Return the deployment's permission for *detector*."""
        return self.arming.get(detector, Arming())

    def keeps(self, target: Target, now: datetime, detector: str = "") -> str | None:
        """Return why *target* is exempt at *now*, from *detector* or from all, or None."""
        return (
            self.exemptions.reason(target, now)
            or hold_reason(holds_on(self.holds, target, detector), now)
            or (self.needed or {}).get(target.arn.lower())
        )

    def newly_held(self, arn: str, now: datetime, detector: str) -> str | None:
        """Return the hold that keeps the resource *arn*, or None. For new holds: no creation time counts."""
        keys = {arn, advice_hold_key(detector, arn)}
        given = (holds for key, holds in self.holds.items() if key.rpartition("@")[0] in keys)
        return hold_reason(chain.from_iterable(given), now)

    def unreadable(self, target: Target) -> str | None:
        """Return why it is unknown whether *target* is exempt, or None."""
        return self.needed_unread or self.exemptions.unreadable(target)

    def owner(self, target: Target) -> str | None:
        """
        Return the owner that *target*'s tags name; keys count in any spelling, in the
        order of *owner_tags*.
        """
        if not isinstance(target.tags, Value):
            return None
        by_key = {
            normalised_key(key): value.strip() for key, value in target.tags.value.items() if value.strip()
        }
        return next(
            (by_key[normalised_key(tag)] for tag in self.owner_tags if normalised_key(tag) in by_key), None
        )
