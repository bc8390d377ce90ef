"""A run over an organization: which accounts it looks at, and which of them left no result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.organization import accounts
from ml_janitor.config.arming_warnings import home_refusals
from ml_janitor.config.events import AccountsEvent
from ml_janitor.config.schedules import period
from ml_janitor.config.sections import OrganizationSection
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import Sweep
from ml_janitor.engine.detector import Grant, allow
from ml_janitor.engine.failures import RunFailedError
from ml_janitor.ledger.latest import LastSweep, Latest
from ml_janitor.ledger.runs import LastRun, Listed, RunLists, Runs
from ml_janitor.report.telemetry import measure_accounts
from ml_janitor.scheduled.turns import slow_runs

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


EMPTY_FOR, EMPTY_RUNS = timedelta(hours=20), 4
"""
For how long, and for how many runs at most, a pair that was empty is not looked at.

Of a daily run that began late none is left out. An hourly one looks at each pair again within five hours:
what begins there is known before hung-training-jobs could judge it, after six hours of silence.
"""

NO_RESULT = "could not be read: the run ended without a result of it"
MOST = 10
"""Pairs that the error of a run names; the ledger has all of them."""


def listing_reads(section: OrganizationSection) -> list[Grant]:
    """What listing the accounts of *section* takes; nothing where it names them."""
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


def empty_for(settings: Settings, detector: str) -> timedelta:
    """For how long the runs of *detector* leave out what was empty."""
    (every,) = (period(settings.schedule(one)) for one in settings.registry if one.name == detector)
    return min(EMPTY_FOR, EMPTY_RUNS * every)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsRun:
    """
    What the state machine asks before and after it has looked at the accounts.

    *home* is the account that it runs in. *organizations* makes a client, where the settings name no
    accounts; *known_regions* are looked at where they name no regions. *clock* is the real time, and *sleep*
    spends some.
    """

    settings: Settings
    home: str
    organizations: Callable[[], Any]
    known_regions: Sequence[str]
    bucket: str
    lists: RunLists
    runs: Runs
    latest: Latest
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    logger: Logger

    def run(self, asked: AccountsEvent) -> dict[str, Any]:
        """
        Do the step that was asked for; the answer stays small, however many accounts there are.

        Raises NotListedError if the accounts could not be listed, RunFailedError where no account would trust
        a function from here, and then nothing is looked at. At the end RunFailedError, if some left no
        result, which is remembered by then.
        """
        if refused := home_refusals(self.settings, self.home):
            raise RunFailedError("; ".join(refused))
        step = self._list if asked.step == "list" else self._close
        return step(asked.detector, asked.time)

    def _list(self, detector: str, time: datetime) -> dict[str, Any]:
        """
        Keep the list of the run of *time*, once: what came twice goes on with the same list.

        Else the second one would leave out what the first has found empty meanwhile.
        """
        run = self.runs.last(detector)
        if run is None or run.time != time:
            everything = self._accounts()
            listed = self._without_empty(detector, everything, time)
            key = self.lists.keep(detector, time, listed=listed, accounts=everything)
            run = LastRun(
                detector=detector,
                time=time,
                key=key,
                accounts=len(listed),
                begun=self.clock(),
                regions=tuple(dict.fromkeys(region for one in everything for region in one.regions)),
            )
            self.runs.begun(run)
            self.logger.info(
                "accounts listed",
                extra={"detector": detector, "accounts": len(everything), "looked_at": len(listed)},
            )
            for why in slow_runs(self.settings, run.accounts):
                self.logger.warning("too many for an hour", extra={"detector": detector, "why": why})
        measure_accounts(detector, run.accounts)
        return {"bucket": self.bucket, "key": run.key, "accounts": run.accounts}

    def _accounts(self) -> list[Listed]:
        """Every account with every region to look at. Raises NotListedError."""
        section = self.settings.organization
        found = dict.fromkeys(section.accounts, "") or accounts(
            self.organizations(), units=section.units, without=section.without
        )
        regions = tuple(section.regions or self.known_regions)
        return [Listed(account, regions, name) for account, name in found.items()]

    def _without_empty(self, detector: str, everything: Sequence[Listed], time: datetime) -> list[Listed]:
        """*everything* less the pairs that were empty lately, and the accounts that have no others."""
        lasts = empty_for(self.settings, detector)
        empty = {
            (last.account, last.region)
            for last in self._lasts(detector, everything).values()
            if last is not None and last.empty and time - last.time < lasts
        }
        left = [
            replace(one, regions=tuple(each for each in one.regions if (one.account, each) not in empty))
            for one in everything
        ]
        return [one for one in left if one.regions]

    def _close(self, detector: str, time: datetime) -> dict[str, Any]:
        """Remember what left no result since *time* as an error, and that the run has ended."""
        unread = [
            pair
            for pair, last in self._lasts(detector, self.lists.listed(detector, time)).items()
            if last is None or last.time < time
        ]
        mode = self.settings.mode(detector)
        for account, region in unread:
            sweep = Sweep(detector=detector, account=account, region=region, mode=mode, error=NO_RESULT)
            self.latest.remember(sweep, time)  # a child that ends after all is later, and replaces it
        self.runs.ended(detector, time, at=self.clock(), unread=len(unread))
        if unread:
            some = ", ".join(f"{account}/{region}" for account, region in unread[:MOST])
            more = f", and {len(unread) - MOST} more" if len(unread) > MOST else ""
            raise RunFailedError(f"{detector} left no result of {some}{more}")
        return {"unread": 0}

    def _lasts(self, detector: str, pairs_of: Sequence[Listed]) -> dict[tuple[str, str], LastSweep | None]:
        """The latest sweep of each account and region, None of what was never swept."""
        pairs = [(one.account, region) for one in pairs_of for region in one.regions]
        known = self.latest.sweeps(detector, pairs, sleep=self.sleep)
        return {pair: known.get(pair) for pair in pairs}
