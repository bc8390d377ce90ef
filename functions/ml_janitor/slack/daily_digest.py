"""The daily digest: posts the latest sweeps and the day's actions, from the ledger to Slack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.config.schedules import overdue_after, schedule_period
from ml_janitor.core.durations import format_age
from ml_janitor.core.signals import Unreadable, Value
from ml_janitor.engine.failures import Failures
from ml_janitor.report.bill_message import PICTURE_NAME, late_bill_text
from ml_janitor.report.digest import SweepRow, make_digest
from ml_janitor.report.mrkdwn import Picture, Post, append_block, as_sentence, context_block, prose
from ml_janitor.report.organization_digest import make_organization_digest
from ml_janitor.report.telemetry import measure_dollars
from ml_janitor.slack.digest_rows import count_costs_once

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.config.settings import Settings
    from ml_janitor.core.signals import Signal
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.latest import LastBill
    from ml_janitor.slack.announcements import Announcer
    from ml_janitor.slack.digest_actions import ActionHistory
    from ml_janitor.slack.organization_overview import OrganizationReader
    from ml_janitor.slack.weekly_advice import WeeklyAdvice


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyDigest:
    """
    The sources of a digest. Without *announcer* it is only counted. *picture* reads a kept picture.

    With *organization*, it is about all of its accounts, else about *account* in *regions*.
    """

    settings: Settings
    ledger: Ledger
    action_history: ActionHistory
    announcer: Announcer | None
    logger: Logger
    account: str
    regions: Sequence[str]
    picture: Callable[[str], Signal[bytes]]
    advice: WeeklyAdvice | None = None
    organization: OrganizationReader | None = None

    def post(self, now: datetime) -> dict[str, Any]:
        """
        Post the digest of all sweeps as of *now*, and return its counts.

        Raises RunFailedError if Slack did not take it.
        """
        failures = Failures(self.logger)
        since = self.since(now)
        every = self.organization
        seen, found = every.read(since=since, now=now) if every else (None, None)
        rows = self.rows(now) if seen is None else seen.rows
        places = every.acted_in if every else lambda _: [(self.account, region) for region in self.regions]
        actions = self.action_history.read(places, since=since, now=now)
        alone = {"sweeps": len(rows), "did_not_run": sum(not row.ran for row in rows)}
        counts = {
            **(alone if seen is None else seen.counts),
            "found": sum(row.last.found for row in rows if row.last),
            "new": sum(row.new for row in rows),
            "acted": len(actions.acted),
            "failed": len(actions.failed),
            "undone": len(actions.undone),
            "due": len(actions.due),
        }
        self.logger.info("summed up", extra=counts)
        measure_dollars(monthly_usd_by_detector(rows) if seen is None else seen.dollars)
        bill = self.ledger.latest.bill(self.account) if self.settings.bill.enabled else None
        part = self._of_bill(bill, now)
        with failures.survived("Slack could not be told"):
            if self.announcer:
                post = (
                    make_digest(rows, now=now, actions=actions, bill=part)
                    if seen is None
                    else make_organization_digest(seen, now=now, actions=actions, bill=part)
                )
                for problem in self.announcer.post(self._post(post, bill if part else None)):
                    failures.note(f"Slack: {problem}")
            if self.announcer and bill is not None and not bill.posted:
                self.ledger.latest.billed(self.account, replace(bill, posted=True))
            self.ledger.latest.digested(self.account, now)
        with failures.survived("Slack could not be told the weekly advice"):
            counts["advice"] = self.advice.post(now, found) if self.advice else 0
        failures.check()
        return counts

    def _of_bill(self, bill: LastBill | None, now: datetime) -> Sequence[str]:
        """Return the bill's paragraphs, unless a message of their own had them, or that it was not read."""
        section = self.settings.bill
        if not section.enabled:
            return ()
        if bill is None or now - bill.time > overdue_after(section.schedule):
            return (late_bill_text(format_age(now - bill.time) if bill is not None else ""),)
        return () if bill.posted else bill.paragraphs

    def _post(self, post: Post, bill: LastBill | None) -> Post:
        """Add the picture of *bill* to *post*, if the post is about the bill and the bill has a picture."""
        if bill is None or bill.posted or not bill.picture:
            return post
        match self.picture(bill.picture):
            case Value(png):
                return replace(post, picture=Picture(name=PICTURE_NAME, png=png, words=bill.picture_words))
            case Unreadable(error):
                self.logger.warning("the picture of the bill is missing", extra={"error": error})
                missing = as_sentence(f"The picture of the bill is missing: {prose(error, 300)}")
                return replace(post, main=append_block(post.main, context_block(missing)))
            case _:
                return post

    def since(self, now: datetime) -> datetime:
        """Return the time of the last digest, or when it was due."""
        since = self.ledger.latest.digest(self.account)
        if since is None or since >= now:
            return now - schedule_period(self.settings.janitor.digest_schedule)
        return since

    def rows(self, now: datetime) -> list[SweepRow]:
        """Return a row for each enabled detector and region; findings since the last digest are new."""
        since = self.since(now)
        rows: list[SweepRow] = []
        found: list[Entry] = []
        for detector in self.settings.enabled():
            for region in self.regions:
                row = SweepRow(detector=detector.name, account=self.account, region=region, last=None)
                if last := self.ledger.latest.sweep(detector.name, self.account, region):
                    entries = self.ledger.entries(detector.name, self.account, region)
                    open_ = [entry for entry in entries if entry.open]
                    found += open_
                    new = sum(entry.first_seen > since for entry in open_)
                    late = now - last.time > overdue_after(self.settings.schedule(type(detector)))
                    row = replace(row, last=last, new=new, late=late)
                rows.append(row)
        return count_costs_once(rows, found)


def monthly_usd_by_detector(rows: Sequence[SweepRow]) -> dict[str, Decimal]:
    """Return the monthly cost of the findings of each detector that ever ran, over all regions."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        if row.last is not None:
            sums[row.detector] = sums.get(row.detector, Decimal(0)) + row.last.monthly_usd
    return sums
