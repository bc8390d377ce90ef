"""What a day's digest says of armed detectors: done, failed, brought back, due, and saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from janitor.actions import Action, Stage
from janitor.holds import held
from janitor.model import Effect
from janitor.report.digest import Deeds
from janitor.report.mrkdwn import code, prose
from janitor.report.slack import noun
from janitor.report.standing import DONE, who
from janitor.report.text import local, usd
from janitor.savings import saved

if TYPE_CHECKING:
    from janitor.actions import Actions
    from janitor.holds import Holds
    from janitor.ledger import Entry, Ledger

TONIGHT = timedelta(days=1)
"""What is due until the next digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diary:
    """The deeds in the ledger's table; *effects* are those of the detectors that can act, by name."""

    ledger: Ledger
    actions: Actions
    holds: Holds
    effects: dict[str, Effect]
    time_zone: str

    def deeds(self, account: str, regions: Sequence[str], *, since: datetime, now: datetime) -> Deeds:
        """Everything since *since*, and what is due in the day after *now*."""
        actions = [
            action
            for detector in self.effects
            for region in regions
            for action in self.actions.all(detector, account, region)
        ]
        entries = [
            entry
            for region in regions
            for detector in self.effects
            for entry in self._due(detector, account, region, now)
        ]
        return Deeds(
            acted=[self._acted(one) for one in actions if one.ended is not None and one.ended > since],
            failed=[self._failed(one) for one in actions if one.broke],
            undone=[self._undone(one) for one in actions if one.undone is not None and one.undone > since],
            due=[self._soon(entry) for entry in sorted(entries, key=lambda entry: entry.due or now)],
            saved=saved(self._saving(actions), now=now, time_zone=self.time_zone),
        )

    def _saving(self, actions: Iterable[Action]) -> Iterator[Action]:
        """Those that end something: nobody expects a tag to save anything."""
        return (one for one in actions if self.effects[one.detector] is not Effect.TAG)

    def _due(self, detector: str, account: str, region: str, now: datetime) -> Iterator[Entry]:
        """What will be acted on unless somebody keeps it, the overdue included."""
        due = [
            entry
            for entry in self.ledger.entries(detector, account, region)
            if entry.closed is None and entry.due is not None and entry.due <= now + TONIGHT
        ]
        holds = self.holds.all(account, region) if due else {}
        for entry in due:
            if held(holds.get(entry.key, ()), now) is None:
                yield entry

    def _acted(self, action: Action) -> str:
        asked = f", because {who(action.by)} pressed Do it now" if action.by else ""
        return f"{self._what(action)} {DONE[self.effects[action.detector]]}{asked}{self._place(action)}"

    def _failed(self, action: Action) -> str:
        verb = "brought back" if action.stage is Stage.UNDOING else DONE[self.effects[action.detector]]
        return f"{self._what(action)} could not be {verb}{self._place(action)}: {prose(action.error, 300)}"

    def _undone(self, action: Action) -> str:
        return f"{self._what(action)} for {who(action.undone_by)}{self._place(action)}"

    def _soon(self, entry: Entry) -> str:
        when = local(entry.due, self.time_zone) if entry.due else ""
        money = f", {usd(entry.monthly_usd)} a month" if entry.monthly_usd else ""
        what = f"{noun(entry.detector, 1)} {code(entry.name)}"
        will = f"to be {DONE[self.effects[entry.detector]]} on {when}"
        return f"{what} {will}{money}, in {prose(entry.region, 40)}"

    def _what(self, action: Action) -> str:
        return f"{noun(action.detector, 1)} {code(action.target.name)}"

    @staticmethod
    def _place(action: Action) -> str:
        return f", in {prose(action.target.region, 40)}"
