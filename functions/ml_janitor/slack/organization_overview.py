"""The results of each detector's latest run in all accounts: read in batches, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.boto_client import READ_THREADS
from ml_janitor.config.schedules import overdue_after
from ml_janitor.report.digest import SweepRow
from ml_janitor.report.overview import DetectorRun, Overview
from ml_janitor.slack.digest_rows import count_costs_once

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.runs import LastRun, LatestRuns, RunAccount, RunLists


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationReader:
    """
    A reader of the ledger over all accounts.

    Of 1,000 accounts, 17 regions and 18 detectors these are 306,000 sweeps in 3,060 requests; findings are
    read only where something was found. *sleep* waits where DynamoDB has no room for a batch.
    """

    settings: Settings
    ledger: Ledger
    runs: LatestRuns
    lists: RunLists
    sleep: Callable[[float], None]

    def read(self, *, since: datetime, now: datetime) -> tuple[Overview, Sequence[Entry]]:
        """
        Return the results of the latest runs, and the open findings; those first seen after *since* are new.

        The overview names a run whose list cannot be read, but not its findings.
        """
        runs, rows, names = list[DetectorRun](), list[SweepRow](), dict[str, str]()
        newest: LastRun | None = None
        for detector in self.settings.enabled():
            last = self.runs.last(detector.name)
            if last is None:
                runs.append(DetectorRun(detector=detector.name))
                continue
            newest = last if newest is None or last.time > newest.time else newest
            late = now - last.time > overdue_after(self.settings.schedule(type(detector)))
            run = DetectorRun(
                detector=detector.name,
                time=last.time,
                begun=last.begun,
                accounts=last.accounts,
                at_work=last.ended is None,
                late=late,
            )
            try:
                listed = self.lists.listed(detector.name, last.time)
            except ReadError as error:
                runs.append(replace(run, error=str(error)))
                continue
            names |= {account.account: account.name for account in listed if account.name}
            run, of_run = self._of(detector, run, listed)
            runs.append(run)
            rows += of_run
        found = self._found(rows)
        counted = list(_counted(rows, found, since))
        accounts = len(self._all(newest) or {row.account for row in rows})
        seen = Overview(runs=runs, rows=counted, accounts=accounts, names=names)
        return seen, [entry for entries in found for entry in entries]

    def listed(self) -> Sequence[RunAccount]:
        """Return every account of a detector's newest run; none if there is none, or it cannot be read."""
        runs = [
            run for detector in self.settings.enabled() if (run := self.runs.last(detector.name)) is not None
        ]
        return self._all(max(runs, key=lambda run: run.time, default=None))

    def acted_in(self, detector: str) -> list[tuple[str, str]]:
        """
        Return the accounts and regions in which `act_in` of *detector* lets it act, armed now or before.

        These are all, where `act_in` did not name some of them until the end (`Settings.undoes_elsewhere`).
        """
        places, last = set(self.settings.sections[detector].act_in), None
        elsewhere = self.settings.undoes_elsewhere(detector)
        if places:
            last = self.runs.last(detector)
        return [
            (account.account, region)
            for account in self._all(last)
            for region in account.regions
            if elsewhere or account.account in places or f"{account.account}/{region}" in places
        ]

    def _of(
        self, detector: Detector[Any], run: DetectorRun, listed: Sequence[RunAccount]
    ) -> tuple[DetectorRun, list[SweepRow]]:
        """Return *run* with its progress, and a row for each account and region that has something to say."""
        pairs = [(account.account, region) for account in listed for region in account.regions]
        sweeps = self.ledger.latest.sweeps(detector.name, pairs, sleep=self.sleep)
        rows, waiting = list[SweepRow](), set[str]()
        for account, region in pairs:
            last = sweeps.get((account, region))
            here = last is not None and run.time is not None and last.time >= run.time
            if not here:
                waiting.add(account)
            missing = not here and not run.at_work
            if missing or (last is not None and (last.found or last.unknown or last.error)):
                rows.append(
                    SweepRow(
                        detector=detector.name,
                        account=account,
                        region=region,
                        last=None if missing else last,
                        late=run.late,
                    )
                )
        return replace(run, sweeps=len(pairs), waiting=len(waiting) if run.at_work else 0), rows

    def _found(self, rows: Sequence[SweepRow]) -> list[list[Entry]]:
        """Return the open findings of each of *rows*."""

        def read(row: SweepRow) -> list[Entry]:
            if row.last is None or not row.last.found:
                return []
            return [
                entry for entry in self.ledger.entries(row.detector, row.account, row.region) if entry.open
            ]

        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            return list(pool.map(read, rows))

    def _all(self, run: LastRun | None) -> Sequence[RunAccount]:
        """Return every account of *run*, even with nothing to look at; none where the list is unreadable."""
        if run is None:
            return ()
        try:
            return self.lists.accounts(run.detector, run.time)
        except ReadError:
            return ()


def _counted(rows: Sequence[SweepRow], found: Sequence[Sequence[Entry]], since: datetime) -> list[SweepRow]:
    """Return *rows* with their new findings, and each resource counted once in its account."""
    by_account: dict[str, tuple[list[SweepRow], list[Entry]]] = {}
    for row, entries in zip(rows, found, strict=True):
        of_account, open_ = by_account.setdefault(row.account, ([], []))
        of_account.append(replace(row, new=sum(entry.first_seen > since for entry in entries)))
        open_ += entries
    return [row for of_account, open_ in by_account.values() for row in count_costs_once(of_account, open_)]
