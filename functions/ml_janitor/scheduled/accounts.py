"""Run over an organization: list its accounts, and count those without a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import list_accounts
from ml_janitor.config.events import AccountsEvent
from ml_janitor.config.functions import sweeping_function
from ml_janitor.config.schedules import schedule_period
from ml_janitor.config.sections import OrganizationSection
from ml_janitor.config.settings import Settings, home_refusals
from ml_janitor.core.results import Sweep
from ml_janitor.engine.detector import Grant, allow
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LastRun, LastSweep, LatestRecords, LatestRuns, RunAccount, RunLists
from ml_janitor.scheduled.invocation import warn_of_slow_runs

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


_SKIP_EMPTY_FOR, _SKIP_EMPTY_RUNS = timedelta(hours=20), 4
"""
Time, and most runs, for which a run skips a pair that was empty.
A daily run that began late skips no pair. An hourly run reads each pair again within five hours: it knows a
new job before hung-training-jobs could judge the job, after six hours of silence.
"""

_NO_RESULT = "could not be read: the run ended without a result of it"
_PAIRS_SHOWN = 10
"""Pairs that the error of a run names; the ledger has all of them."""


def account_list_grants(section: OrganizationSection) -> list[Grant]:
    """Return the permissions to list the accounts of *section*; none if the section names accounts."""
    if section.accounts:
        return []
    if section.all_accounts:
        return [allow("organizations:ListAccounts")]
    units = (
        f"arn:aws:organizations::*:ou/{section.id}/ou-*"  # by the account that manages them, and below them
    )
    return [
        allow(f"organizations:{action}", on=units)
        for action in ("ListAccountsForParent", "ListOrganizationalUnitsForParent")
    ]


def skip_empty_time(settings: Settings, detector: str) -> timedelta:
    """Return the time for which the runs of *detector* skip empty pairs."""
    (every,) = (
        schedule_period(settings.schedule(kind)) for kind in settings.registry if kind.name == detector
    )
    return min(_SKIP_EMPTY_FOR, _SKIP_EMPTY_RUNS * every)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsRun:
    """
    The steps of the state machine before and after it reads the accounts.

    *home* is the account that it runs in. *organizations* makes a client, for settings that
    name no accounts; *known_regions* are the regions for settings that name no regions.
    *clock* is the real time, and *sleep* spends some.
    """

    settings: Settings
    home: str
    organizations: Callable[[], Any]
    known_regions: Sequence[str]
    bucket: str
    lists: RunLists
    runs: LatestRuns
    latest: LatestRecords
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    logger: Logger

    def run(self, asked: AccountsEvent) -> dict[str, Any]:
        """
        Do the requested step; the answer stays small, however many accounts there are.

        Raises ReadError if the accounts could not be listed, and RunFailedError if no account would
        trust a function from here, before anything is read. At the end it raises RunFailedError if some
        accounts left no result, after it has remembered that.
        """
        if refused := home_refusals(self.settings, self.home):
            raise RunFailedError("; ".join(refused))
        step = self._list if asked.step == "list" else self._close
        return step(asked.names, asked.time)

    def _list(self, detectors: Sequence[str], time: datetime) -> dict[str, Any]:
        """
        Keep the list of the run of *time*, once: a repeated event goes on with the same list.

        Else a second list would leave out the pairs that the first run has found empty meanwhile.
        """
        run = self.runs.last(detectors[-1])
        if run is None or run.time != time:
            everything = self._accounts()
            listed = self._without_empty(detectors, everything, time)
            first, *others = detectors
            folder = sweeping_function(self.settings, first)
            key = self.lists.keep(
                first, time, folder=folder, others=others, listed=listed, accounts=everything
            )
            run = LastRun(
                detector=detectors[-1],
                time=time,
                key=key,
                accounts=len(listed),
                begun=self.clock(),
                regions=tuple(dict.fromkeys(region for item in everything for region in item.regions)),
            )
            for detector in detectors:
                self.runs.begun(replace(run, detector=detector))
            self.logger.info(
                "accounts listed",
                extra={"detectors": detectors, "accounts": len(everything), "looked_at": len(listed)},
            )
            for why in warn_of_slow_runs(self.settings, run.accounts):
                self.logger.warning("too many for an hour", extra={"detectors": detectors, "why": why})
        return {"bucket": self.bucket, "key": run.key, "accounts": run.accounts}

    def _accounts(self) -> list[RunAccount]:
        """Return every account with every region to read. Raises ReadError."""
        section = self.settings.organization
        found = dict.fromkeys(section.accounts, "") or list_accounts(
            self.organizations(), units=section.units, without=section.without
        )
        regions = tuple(section.regions or self.known_regions)
        return [RunAccount(account, regions, name) for account, name in found.items()]

    def _without_empty(
        self, detectors: Sequence[str], everything: Sequence[RunAccount], time: datetime
    ) -> list[RunAccount]:
        """
        Return *everything* without the pairs in which nothing was left lately for all *detectors*, and
        without accounts that have no others.
        """
        empty: set[tuple[str, str]] | None = None
        for detector in detectors:
            lasts = skip_empty_time(self.settings, detector)
            own = {
                (last.account, last.region)
                for last in self._lasts(detector, everything).values()
                if last is not None and last.nothing_left and time - last.time < lasts
            }
            empty = own if empty is None else empty & own
        left = [
            replace(
                item,
                regions=tuple(
                    region for region in item.regions if (item.account, region) not in (empty or ())
                ),
            )
            for item in everything
        ]
        return [item for item in left if item.regions]

    def _close(self, detectors: Sequence[str], time: datetime) -> dict[str, Any]:
        """
        Remember each pair of each detector without a result since *time* as an error, and the run's end.

        If the list of the run was changed, the accounts are listed anew: the missing ones are known then too.
        """
        problems = []
        try:
            listed: Sequence[RunAccount] = self.lists.listed(detectors[0], time)
        except ReadError as error:
            problems.append(str(error))
            listed = self._without_empty(detectors, self._accounts(), time)
        for detector in detectors:
            if unread := self._closed(detector, listed, time):
                some = ", ".join(f"{account}/{region}" for account, region in unread[:_PAIRS_SHOWN])
                more = f", and {len(unread) - _PAIRS_SHOWN} more" if len(unread) > _PAIRS_SHOWN else ""
                problems.append(f"{detector} left no result of {some}{more}")
        if problems:
            raise RunFailedError("; ".join(reversed(problems)))
        return {"unread": 0}

    def _closed(self, detector: str, listed: Sequence[RunAccount], time: datetime) -> list[tuple[str, str]]:
        """Remember the end of the run of *detector*; return the pairs without a result, now errors."""
        unread = [
            pair for pair, last in self._lasts(detector, listed).items() if last is None or last.time < time
        ]
        mode = self.settings.mode(detector)
        sweeps = [
            Sweep(detector=detector, account=account, region=region, mode=mode, error=_NO_RESULT)
            for account, region in unread
        ]
        self.latest.remember_all(sweeps, time)  # a child that ends after all is later, and replaces it
        self.runs.ended(detector, time, at=self.clock(), unread=len(unread))
        return unread

    def _lasts(
        self, detector: str, pairs_of: Sequence[RunAccount]
    ) -> dict[tuple[str, str], LastSweep | None]:
        """Return the latest sweep of each account and region; None for a pair that was never swept."""
        pairs = [(item.account, region) for item in pairs_of for region in item.regions]
        known = self.latest.sweeps(detector, pairs, sleep=self.sleep)
        return {pair: known.get(pair) for pair in pairs}
