"""The weekly message of advice: chosen from the ledger, posted once, and shown again after each press."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ml_janitor.aws.boto_client import READ_THREADS
from ml_janitor.core.counting import find_overlaps
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Mode
from ml_janitor.engine.holds import hold_reason, holds_on_advice
from ml_janitor.ledger.latest import LastAdvice
from ml_janitor.ledger.messages import MessageRef
from ml_janitor.report.advice import Advice, weekly_message
from ml_janitor.report.buttons import ButtonSubject

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.holds import Hold
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.holds import Holds
    from ml_janitor.report.mrkdwn import Message
    from ml_janitor.slack.sender import Sender

ADVICE_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyAdvice:
    """
    The advice that saves most for an hour of work, among findings that nothing acts on.

    *connect* makes the sender once there is something to say, which is until *deadline* of its clock.
    """

    settings: Settings
    ledger: Ledger
    holds: Holds
    connect: Callable[[], Sender]
    deadline: float
    account: str
    regions: Sequence[str]

    def post(self, now: datetime, found: Sequence[Entry] | None = None) -> int:
        """
        Post it if *now* is the day for it, and it was not posted that day; return how many findings it names.

        *found* are the open findings of an organization, where it is about that. Raises SlackError if the
        message was not taken.
        """
        if not self._is_due(now):
            return 0
        open_ = self._open(now, self._own() if found is None else found)
        if not open_:
            return 0
        best = [entry for entry, _ in open_[:ADVICE_SHOWN]]
        together = sum((usd for _, usd in open_), Decimal(0))
        sender = self.connect()
        message = self._message(open_[:ADVICE_SHOWN], now, of=len(open_), together=together, sender=sender)
        posted = sender.post(message, deadline=self.deadline)
        last = LastAdvice(
            time=now,
            channel=posted.channel,
            message=posted.ts,
            subjects=tuple(str(advice_subject(entry)) for entry in best),
            usd=tuple(usd for _, usd in open_[:ADVICE_SHOWN]),
            of=len(open_),
            together=together,
        )
        self.ledger.latest.advised(self.account, last)
        return len(best)

    def show(self, place: MessageRef, now: datetime) -> bool:
        """Update the message at *place* with the state of its advice; False if there is a newer message."""
        last = self.ledger.latest.advice(self.account)
        if last is None or MessageRef(last.channel, last.message) != place:
            return False
        known: list[tuple[Entry, Decimal]] = []
        for text, usd in zip(last.subjects, last.usd, strict=True):
            about = ButtonSubject.read(text)
            entry = self.ledger.find(about.detector, about.account, about.region, about.finding)
            if entry is not None:
                known.append((entry, usd))
        sender = self.connect()
        message = self._message(known, now, of=last.of, together=last.together, sender=sender)
        sender.change(message, place, deadline=self.deadline)
        return True

    def _is_due(self, now: datetime) -> bool:
        """Return whether *now* is on the weekday of the settings, and the first time on that day."""
        zone = ZoneInfo(self.settings.janitor.time_zone)
        if f"{now.astimezone(zone):%a}" != self.settings.plan.weekly_advice:
            return False
        last = self.ledger.latest.advice(self.account)
        return last is None or last.time.astimezone(zone).date() < now.astimezone(zone).date()

    def _own(self) -> list[Entry]:
        """Return the open findings of the janitor's own account."""
        found: list[Entry] = []
        for detector in self.settings.enabled():
            for region in self.regions:
                found += [e for e in self.ledger.entries(detector.name, self.account, region) if e.open]
        return found

    def _holds(self, found: Sequence[Entry]) -> Mapping[tuple[str, str], Mapping[str, Sequence[Hold]]]:
        """Return the holds of the accounts and regions of *found*."""
        places = list(dict.fromkeys((entry.account, entry.region) for entry in found))
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            return dict(zip(places, pool.map(lambda place: self.holds.all(*place), places), strict=True))

    def _open(self, now: datetime, found: Sequence[Entry]) -> list[tuple[Entry, Decimal]]:
        """Return findings that are not held, with what each would save a month, the best first."""
        holds = self._holds(found)
        wanted = [
            entry
            for entry in found
            if hold_reason(
                holds_on_advice(holds[entry.account, entry.region], entry.detector, entry.key), now
            )
            is None
        ]
        counted = [
            (entry, entry.monthly_usd if overlap is None else overlap.monthly_usd)
            for entry, overlap in zip(wanted, find_overlaps([entry.claim for entry in wanted]), strict=True)
        ]
        advice = [
            (entry, usd)
            for entry, usd in counted
            if usd and self.settings.mode(entry.detector) is not Mode.ACT
        ]
        hours = self.settings.hours
        return sorted(advice, key=lambda pair: (-pair[1] / Decimal(str(hours[pair[0].change])), pair[0].key))

    def _message(
        self,
        known: Sequence[tuple[Entry, Decimal]],
        now: datetime,
        *,
        of: int,
        together: Decimal,
        sender: Sender,
    ) -> Message:
        hours = self.settings.hours
        holds = self._holds([entry for entry, _ in known])
        return weekly_message(
            [
                Advice(
                    subject=advice_subject(entry),
                    name=entry.name,
                    owner=entry.owner,
                    action=entry.action,
                    monthly_usd=usd,
                    once_usd=entry.once_usd,
                    work=format_age(timedelta(hours=hours[entry.change])),
                    held=hold_reason(
                        holds_on_advice(holds[entry.account, entry.region], entry.detector, entry.key), now
                    )
                    or "",
                    placed=self.settings.organization.used,
                )
                for entry, usd in known
            ],
            of=of,
            together=together,
            buttons=sender.interactive and bool(self.settings.janitor.slack_signing_secret),
        )


def advice_subject(entry: Entry) -> ButtonSubject:
    """Return the subject of a button about *entry*."""
    return ButtonSubject(
        detector=entry.detector, account=entry.account, region=entry.region, finding=entry.id
    )
