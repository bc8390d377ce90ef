"""Decides what a detector may act on: where, on which findings, how soon, and how many. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ml_janitor.core.cause import Cause, CauseCode, make_cause
from ml_janitor.core.durations import DAYS_PER_YEAR, WorkingHours
from ml_janitor.core.model import Confidence, Effect, Finding, Mode, Target
from ml_janitor.core.ownership import ManagerPolicy, production_environment

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
        no weekend and no holiday in the operator's time zone.
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

        Without a set time zone, UTC is no guess to act on: the moment is late enough in any time zone.
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
        Return whether so much *waste*, of all candidates *looked_at*, waits until a person looked.

        *waste* counts warned findings, due or not, and findings that will soon be warned about: if a
        signal broke for everything, a few at a time become due.
        """
        return self.effect.removes_data and waste > FEW_DELETIONS and waste * 100 > self.max_share * looked_at


def _named(word: str, names: Sequence[str]) -> bool:
    """Return whether *names* has *word*, in any case; "cloudformation" names every stack."""
    lower = word.lower()
    return any(name.lower() in {lower, lower.partition(" ")[0]} for name in names)
