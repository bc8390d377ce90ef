"""The weekly message of advice: chosen from the ledger, posted once, and shown again after each press."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ml_janitor.aws.calls import READ_THREADS
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Mode
from ml_janitor.core.money import find_overlaps
from ml_janitor.core.text import format_usd
from ml_janitor.engine.policy import hold_reason, holds_on_advice
from ml_janitor.ledger.findings import MessageRef
from ml_janitor.ledger.latest import LastAdvice
from ml_janitor.report.finding_words import detector_noun, owner_in_message
from ml_janitor.report.mrkdwn import (
    Message,
    as_sentence,
    button_row,
    code_span,
    context_block,
    count_noun,
    header_block,
    make_button,
    prose,
    section_block,
)
from ml_janitor.report.warnings import BUTTON_LABELS, Button, ButtonSubject

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.policy import Hold
    from ml_janitor.ledger.findings import Entry, Ledger
    from ml_janitor.ledger.requests import Holds
    from ml_janitor.slack.client import Sender

# --- message --------------------------------------------------------------------------------------

ADVICE_BUTTONS = (Button.LATER, Button.NOT_FOR_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """
    One piece of advice; *held* says who does not want it and for how long.

    *placed* is whether it names its account and region, because there are several.
    """

    subject: ButtonSubject
    name: str
    owner: str | None
    action: str
    monthly_usd: Decimal
    once_usd: Decimal | None = None
    work: str = ""
    held: str = ""
    placed: bool = False


def weekly_message(best: Sequence[Advice], *, of: int, together: Decimal, buttons: bool) -> Message:
    """
    Build the message of the *best* pieces of advice, out of so many that would save so much *together*.

    Without *buttons* it names the commands that do the same.
    """
    sums = sum((advice.monthly_usd for advice in best), Decimal(0))
    title = f"This week's advice: {format_usd(sums)} a month in {count_noun(len(best), 'change')}"
    blocks = [header_block(title)]
    for advice in best:
        blocks.append(section_block(_described(advice)))
        if advice.held:
            blocks.append(context_block(as_sentence(prose(advice.held, 300))))
        elif buttons:
            row = [
                make_button(BUTTON_LABELS[word], word.value, str(advice.subject)) for word in ADVICE_BUTTONS
            ]
            blocks.append(button_row(row))
    rest = (
        f"{count_noun(of, 'piece')} of advice would save {format_usd(together)} a month together"
        if of > len(best)
        else ""
    )
    ends = [
        "What saves most a month for an hour of work comes first",
        *([rest] if rest else []),
        *(
            []
            if buttons
            else [f"{code_span('janitor keep ARN --only DETECTOR --reason TEXT')} leaves one out"]
        ),
    ]
    blocks.append(context_block(". ".join(ends) + "."))
    return Message(text=title, blocks=tuple(blocks))


def _described(advice: Advice) -> str:
    once = f", {format_usd(advice.once_usd)} once" if advice.once_usd else ""
    money = f"*{format_usd(advice.monthly_usd)} a month{once}*"
    where = f" in {advice.subject.account}, {advice.subject.region}" if advice.placed else ""
    what = (
        f"{detector_noun(advice.subject.detector, 1)} {code_span(advice.name)}{where}, "
        f"{owner_in_message(advice.owner)}, "
        f"about {advice.work} of work"
    )
    return f"{money}: {what}\n{as_sentence(prose(advice.action, 600))}"


# --- posting and updates --------------------------------------------------------------------------

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
            (entry, entry.claim.monthly_usd if overlap is None else overlap.monthly_usd)
            for entry, overlap in zip(wanted, find_overlaps([entry.claim for entry in wanted]), strict=True)
        ]
        advice = [
            (entry, usd)
            for entry, usd in counted
            if usd and self.settings.mode(entry.detector) is not Mode.ACT
        ]
        hours = self.settings.hours
        return sorted(
            advice, key=lambda pair: (-pair[1] / Decimal(str(hours[pair[0].claim.change])), pair[0].key)
        )

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
                    work=format_age(timedelta(hours=hours[entry.claim.change])),
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
