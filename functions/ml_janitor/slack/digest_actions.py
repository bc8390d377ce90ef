"""The actions of armed detectors since the last digest: acted, failed, undone, due, and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.savings import sum_savings
from ml_janitor.acting.undos import find_unreachable_undos, undo_wording
from ml_janitor.aws.boto_client import READ_THREADS
from ml_janitor.core.cost import HOURS_PER_MONTH
from ml_janitor.core.text import format_local_time, format_usd
from ml_janitor.engine.holds import hold_reason
from ml_janitor.ledger.action import Action, Stage
from ml_janitor.report.causes import unreachable_undos_text
from ml_janitor.report.digest import DigestActions
from ml_janitor.report.finding_words import detector_noun
from ml_janitor.report.mrkdwn import code_span, prose
from ml_janitor.report.status import DONE_WORDS, person_text

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Cleanup, Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.holds import Holds

DUE_WITHIN = timedelta(days=1)
"""The digest names findings that are due within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionHistory:
    """
    The actions in the ledger's table; *cleanups* are those of the detectors that can act, by name.

    *disarmed* are the detectors whose actions the deployment can no longer undo, *within* is `undo_days`.
    *several* is whether there are several accounts, so that each line names its own.
    """

    ledger: Ledger
    actions: Actions
    holds: Holds
    cleanups: Mapping[str, Cleanup]
    time_zone: str
    disarmed: Sequence[Detector[Any]] = ()
    within: timedelta = timedelta(days=30)
    several: bool = False

    def read(
        self, places: Callable[[str], Sequence[tuple[str, str]]], *, since: datetime, now: datetime
    ) -> DigestActions:
        """
        Return the actions since *since*, and the findings due within a day from *now*.

        *places* are the accounts and regions in which a detector may have acted.
        """
        where = {detector: list(places(detector)) for detector in self.cleanups}
        everywhere = dict.fromkeys(place for acted_in in where.values() for place in acted_in)
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            asked = [(detector, *place) for detector, acted_in in where.items() for place in acted_in]
            actions = [
                action for known in pool.map(lambda key: self.actions.all(*key), asked) for action in known
            ]
            asked = [
                (detector, *place) for place in everywhere for detector in where if place in where[detector]
            ]
            entries = [entry for due in pool.map(lambda key: self._due(key, now), asked) for entry in due]
        return DigestActions(
            acted=[
                self._acted(action) for action in actions if action.ended is not None and action.ended > since
            ],
            failed=[self._failed(action) for action in actions if action.broke],
            undone=[
                self._undone(action)
                for action in actions
                if action.undone is not None and action.undone > since
            ],
            due=[self._soon(entry) for entry in sorted(entries, key=lambda entry: entry.due or now)],
            lost=list(self._lost(places, now)),
            saved=sum_savings(  # only actions that end a cost: a tag saves nothing
                (action for action in actions if self.cleanups[action.detector].effect.saves),
                now=now,
                time_zone=self.time_zone,
            ),
        )

    def _lost(self, places: Callable[[str], Sequence[tuple[str, str]]], now: datetime) -> Iterator[str]:
        """Yield undos that no deployed function has permissions for, one line for each detector and place."""
        for detector in self.disarmed:
            for account, region in places(detector.name):
                known = self.actions.all(detector.name, account, region)
                lost = find_unreachable_undos(detector, known, within=self.within, now=now)
                if lost is not None:
                    where = f", {self._place(account, region)}" if self.several else ""
                    yield f"{code_span(detector.name)}{where}: {prose(unreachable_undos_text(lost), 600)}"

    def _due(self, where: tuple[str, str, str], now: datetime) -> list[Entry]:
        """Return findings of a detector, account and region that are due or overdue, and not held."""
        _, account, region = where
        due = [
            entry
            for entry in self.ledger.entries(*where)
            if entry.closed is None and entry.due is not None and entry.due <= now + DUE_WITHIN
        ]
        holds = self.holds.all(account, region) if due else {}
        return [entry for entry in due if hold_reason(holds.get(entry.key, ()), now) is None]

    def _acted(self, action: Action) -> str:
        asked = f", because {person_text(action.by)} pressed Do it now" if action.by else ""
        money = ""
        if hourly := action.hourly_usd:  # a job is priced by the hour, else by the month
            worth = (
                f"{format_usd(hourly)} an hour"
                if action.until
                else f"{format_usd(hourly * HOURS_PER_MONTH)} a month"
            )
            money = f" ({worth})"
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)}{money} {self._done(action.detector)}{asked}, {where}"

    def _failed(self, action: Action) -> str:
        back = undo_wording(self.cleanups[action.detector]).done
        verb = back if action.stage in {Stage.ACTED, Stage.UNDOING} else self._done(action.detector)
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)} could not be {verb}, {where}: {prose(action.error, 300)}"

    def _undone(self, action: Action) -> str:
        done = undo_wording(self.cleanups[action.detector]).done
        became = f": {prose(action.became, 300)}" if action.became else ""
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)} {done} for {person_text(action.undone_by)}, {where}{became}"

    def _soon(self, entry: Entry) -> str:
        when = format_local_time(entry.due, self.time_zone) if entry.due else ""
        money = f", {format_usd(entry.monthly_usd)} a month" if entry.monthly_usd else ""
        what = f"{detector_noun(entry.detector, 1)} {code_span(entry.name)}"
        will = f"to be {self._done(entry.detector)} on {when}"
        return f"{what} {will}{money}, {self._place(entry.account, entry.region)}"

    def _what(self, action: Action) -> str:
        return f"{detector_noun(action.detector, 1)} {code_span(action.target.name)}"

    def _done(self, detector: str) -> str:
        return DONE_WORDS[self.cleanups[detector].effect]

    def _place(self, account: str, region: str) -> str:
        return f"in {f'{prose(account, 40)}, ' if self.several else ''}{prose(region, 40)}"
