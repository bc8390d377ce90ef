"""Read the bill on a schedule: read, explain, keep, remember, post. The part around `bill/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ml_janitor.aws.calls import error_text
from ml_janitor.aws.client import Aws, unread_sweep_error
from ml_janitor.aws.cost_explorer import CostExplorer
from ml_janitor.bill import reading
from ml_janitor.bill.model import Bill, BillGap, BillReading, GapCause, ResourceFacts
from ml_janitor.bill.reading import MOST_NAMED_ACCOUNTS, BillAccounts, BillRequest, read_bill
from ml_janitor.bill.report import (
    BillArchive,
    BillReport,
    budget_states,
    dividing_key,
    make_bill_report,
    moved_places,
    moved_usage_types,
)
from ml_janitor.bill.resources import (
    ActionSavings,
    KnownResources,
    facts_from_actions,
    facts_from_ledger,
    hourly_detectors,
    read_known_resources,
)
from ml_janitor.config.schedules import first_weekday, runs_within
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import Cause
from ml_janitor.core.text import format_iso, format_usd, shorten_list
from ml_janitor.engine.run import Failures
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.ledger.latest import LastBill
from ml_janitor.report.bill import gap_sentence, spent_in_span
from ml_janitor.report.bill_message import bill_picture, bill_post, make_bill_message
from ml_janitor.report.causes import cause_text
from ml_janitor.report.mrkdwn import Picture
from ml_janitor.scheduled.event_bus import EmitEvents, EventKind, JanitorEvent
from ml_janitor.scheduled.invocation import SweepPlace
from ml_janitor.slack.digest import Announcer, OrganizationReader
from ml_janitor.slack.mail import plain_text

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

_DIGEST_WAIT = timedelta(hours=6)
"""Time for which the bill waits for a digest that can carry it."""

_NOT_LISTED_YET = "no run has listed the accounts of [organization] yet; it is there once a detector has run"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRun:
    """
    The parts of one reading. Without *announcer* the bill is only kept. *emit* sends events.

    It is the bill of *account*, in which *regions* are read; with *organization*, the bill of all its
    accounts, as far as Cost Explorer shows them to *account*. *opened* opens a place, read only.
    """

    settings: Settings
    explorer: CostExplorer
    ledger: Ledger
    actions: Actions
    archive: BillArchive
    announcer: Announcer | None
    logger: Logger
    account: str
    regions: Sequence[str]
    opened: Callable[[SweepPlace], AbstractContextManager[list[Aws]]]
    organization: OrganizationReader | None = None
    emit: EmitEvents = lambda _: None

    def run(self, now: datetime) -> dict[str, Any]:
        """
        Read the bill as of *now*, keep it, and post it in Slack, or leave that to a digest that is due.

        Raises RunFailedError if it could not be read and nobody hears of that, or if Slack did not take it.
        """
        failures = Failures(self.logger)
        section, last = self.settings.bill, self.ledger.latest.bill(self.account)
        accounts = self._accounts()
        wanted = reading.bill_request(section, check_tags=self._table_day(now), accounts=accounts)
        kept = self.archive.bill(last.kept, wanted) if last is not None and last.kept else None
        report = self._report(wanted, kept, now)
        key = self.archive.keep(report, wanted)
        table_by = next(iter(wanted.tags), "") if self._table_day(now) else ""
        message = make_bill_message(report, table_by=table_by, max_requests=section.max_requests)
        picture = self._picture(report, next(iter(wanted.tags), ""))
        readable = key if report.bill.charges else last.kept if last is not None else ""
        spent_usd, days = spent_in_span(report)
        latest = LastBill(
            time=now,
            spent_usd=spent_usd,
            days=days,
            kept=readable,
            text=message.text,
            paragraphs=message.paragraphs,
            picture=self.archive.keep_picture(report, picture.png) if picture else "",
            picture_words=picture.words if picture else "",
        )
        self.ledger.latest.billed(self.account, latest)
        in_digest = self.announcer is not None and self._digest_is_due(now)
        answer = {
            "report": self.archive.where(key),
            "requests": report.bill.requests,
            "charges": len(report.bill.charges),
            "gaps": len(report.bill.gaps),
            "in_digest": in_digest,
        }
        self.logger.info("read the bill", extra=answer)
        news = JanitorEvent(
            kind=EventKind.BILL,
            key=format_iso(now),
            time=now,
            account=self.account,
            title=message.text,
            text=" ".join(map(plain_text, message.paragraphs)),
            report=self.archive.where(key),
        )
        self.emit([news])
        for gap in _refused(report):
            self.logger.warning(gap_sentence(gap))
        if self.announcer is None and any(gap.reading is BillReading.SERVICES for gap in _refused(report)):
            failures.note(message.paragraphs[0])
        elif self.announcer is not None and not in_digest:
            with failures.survived("the news could not be sent"):
                saved = report.saved_this_month if not self._digest_was_today(now) else Decimal(0)
                for problem in self.announcer.post(bill_post(message, saved, picture)):
                    failures.note(f"not delivered: {problem}")
                self.ledger.latest.billed(self.account, replace(latest, posted=True))
        failures.check(self.archive.where(key))
        return answer

    def _report(self, wanted: BillRequest, kept: Bill | None, now: datetime) -> BillReport:
        section = self.settings.bill
        question = reading.bill_question(section)
        if self.organization is not None and wanted.accounts is None:
            bill = self._unlisted(now.astimezone(UTC))
        else:
            bill = read_bill(self.explorer, wanted, account=self.account, now=now.astimezone(UTC), kept=kept)
        if not bill.charges:
            return make_bill_report(bill, question)
        places = [SweepPlace(self.account, tuple(self.regions))]
        if self.organization is not None:
            places = self._moved(bill, question)
        actions: list[Action] = []
        try:
            actions, unverified = verified_actions(self._actions(), self.actions.doubt)
            verdicts = facts_from_actions(actions, self.settings.registry)
            moved = moved_usage_types(bill, question)
            found = KnownResources(gaps=unverified)
            for place in places:
                there = self._what_ran(place, bill, wanted, now, verdicts, moved=moved)
                found = KnownResources((*found.resources, *there.resources), (*found.gaps, *there.gaps))
        except Exception as error:  # the charges need none of it
            self.logger.exception("the bill could not be joined with what ran")
            gap = BillGap(reading=BillReading.RESOURCES, cause=GapCause.FAILED, detail=error_text(error))
            found = KnownResources(gaps=(gap,))
        saved = ActionSavings.of(
            actions,
            bill,
            now=now,
            time_zone=self.settings.janitor.time_zone,
            accounts=self.organization is not None,
        )
        report = make_bill_report(
            bill,
            question,
            resources=found.resources,
            saved=saved,
            gaps=found.gaps,
            looked_at=self.regions if self.organization is None else _named(places),
        )
        budgets = budget_states(bill, section.monthly_budget, section.budgets, report.span.until)
        return replace(report, budgets=tuple(budgets))

    def _picture(self, report: BillReport, tag: str) -> Picture | None:
        """Return its picture; None without charges, or if it cannot be drawn: the words are enough."""
        if not report.bill.charges:
            return None
        try:
            return bill_picture(report, tag)
        except Exception:  # a library in another language draws it, and may raise anything
            self.logger.exception("the picture could not be drawn")
            return None

    def _accounts(self) -> BillAccounts | None:
        """
        Return the accounts of the bill; None for the function's own account
        alone, or if nobody can say.
        """
        if self.organization is None:
            return None
        names = {item.account: item.name for item in self.organization.listed()}
        return reading.bill_accounts(self.settings.organization, names)

    def _unlisted(self, now: datetime) -> Bill:
        """Return an empty bill of units whose accounts no run has listed yet: it costs no request."""
        gap = BillGap(reading=BillReading.ACCOUNTS, cause=GapCause.FAILED, detail=_NOT_LISTED_YET)
        return Bill(
            account=self.account, time=now, first=now.date(), until=now.date(), gaps=(gap,), accounts={}
        )

    def _moved(self, bill: Bill, question: reading.BillQuestion) -> list[SweepPlace]:
        """Return the places whose resources can have moved the organization's bill, in its roles' regions."""
        allowed, regions = self.settings.organization.regions, dict[str, list[str]]()
        for account, region in moved_places(bill, question):
            if not allowed or region in allowed:
                regions.setdefault(account, []).append(region)
        return [SweepPlace(account, tuple(some)) for account, some in regions.items()]

    def _what_ran(
        self,
        place: SweepPlace,
        bill: Bill,
        wanted: BillRequest,
        now: datetime,
        done: Mapping[str, ResourceFacts],
        *,
        moved: frozenset[str],
    ) -> KnownResources:
        """
        Return the resources that ran in the days of *bill*, with the ledger's
        verdicts: no detector judges again.
        """
        entries = [
            entry
            for detector in hourly_detectors(self.settings.enabled())
            for region in place.regions
            for entry in self.ledger.entries(detector.name, place.account, region)
        ]
        verdicts = {**facts_from_ledger(entries), **done}
        try:
            with self.opened(place) as accounts:
                found = read_known_resources(
                    accounts,
                    since=datetime.combine(bill.first, time(), UTC),
                    now=now,
                    tag=dividing_key(bill, wanted.tags),
                    policy=self.settings.policy,
                    verdicts=verdicts,
                    charged={charge.usage_type for charge in bill.charges},
                    moved=moved,
                )
        except Exception as error:
            if self.organization is None:
                raise
            self.logger.exception("an account could not be looked at", extra={"account": place.account})
            why = f"{unread_sweep_error(error)}{_of_ledger(entries)}"
            gap = BillGap(
                reading=BillReading.RESOURCES, cause=GapCause.FAILED, subject=place.account, detail=why
            )
            return KnownResources(gaps=(gap,))
        if self.organization is None:
            return found
        gaps = [replace(gap, subject=f"{place.account}/{gap.subject}") for gap in found.gaps]
        return KnownResources(found.resources, tuple(gaps))

    def _actions(self) -> list[Action]:
        """Return the actions of all detectors."""
        every = self.organization
        return [
            action
            for detector in self.settings.registry
            for account, region in (
                every.acted_in(detector.name)
                if every
                else [(self.account, region) for region in self.regions]
            )
            for action in self.actions.all(detector.name, account, region)
        ]

    # --- when ---------------------------------------------------------------------------------

    def _table_day(self, now: datetime) -> bool:
        return self._local(now).weekday() == first_weekday(self.settings.bill.schedule)

    def _digest_is_due(self, now: datetime) -> bool:
        section = self.settings.janitor
        return runs_within(
            section.digest_schedule,
            _DIGEST_WAIT,
            now=now,
            time_zone=section.time_zone,
            last=self.ledger.latest.digest(self.account),
        )

    def _digest_was_today(self, now: datetime) -> bool:
        """Return whether a digest has shown the savings already."""
        last = self.ledger.latest.digest(self.account)
        return last is not None and self._local(last).date() == self._local(now).date()

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.settings.janitor.time_zone))


def verified_actions(
    actions: Iterable[Action], doubt: Callable[[Action], Cause | None]
) -> tuple[list[Action], tuple[BillGap, ...]]:
    """Return the *actions* without a *doubt*, and a gap if there are others: what they ended is not shown."""
    known = [(action, doubt(action)) for action in actions]
    causes = [cause for _, cause in known if cause is not None]
    gap = BillGap(
        reading=BillReading.ACTIONS,
        cause=GapCause.FAILED,
        detail=f"{len(causes)} of {len(known)}: {cause_text(causes[0])}" if causes else "",
    )
    return [action for action, cause in known if cause is None], (gap,) if causes else ()


def _named(places: Iterable[SweepPlace]) -> list[str]:
    """Return the places as `ml_janitor.bill.report.place_of_part` spells them."""
    return [f"{place.account}/{region}" for place in places for region in place.regions]


def _of_ledger(entries: Iterable[Entry]) -> str:
    """Return the ledger's open findings in a place that could not be read, as words, the dearest first."""
    found = sorted(
        (entry for entry in entries if entry.open), key=lambda entry: -(entry.claim.monthly_usd or 0)
    )
    if not found:
        return ""
    known = [entry.claim.monthly_usd for entry in found if entry.claim.monthly_usd is not None]
    least = "at least " * (len(known) < len(found))
    monthly = f", {least}{format_usd(sum(known, Decimal(0)))} a month" if known else ""
    count = f"{len(found)} open finding{'s' * (len(found) > 1)}"
    return (
        f"; the ledger has {count} there{monthly}: "
        f"{shorten_list([entry.name for entry in found], MOST_NAMED_ACCOUNTS)}"
    )


def _refused(report: BillReport) -> list[BillGap]:
    return [gap for gap in report.bill.gaps if gap.cause is not GapCause.SHORT_HISTORY]
