"""Tells Slack what a run found that is new, and once a day what all sweeps found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from janitor.patience import SlackError
from janitor.report.digest import Row, digest
from janitor.report.html import html
from janitor.report.slack import announcement, owners
from janitor.schedules import DAY, overdue_after

if TYPE_CHECKING:
    from janitor.detector import Detector
    from janitor.ledger import Ledger, Recorded
    from janitor.model import Report, Sweep
    from janitor.slack import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Posts through *sender* until *deadline*, in the seconds of the sender's clock."""

    sender: Sender
    deadline: float
    keep_tag: str

    def tell(
        self, report: Report, sweep: Sweep, recorded: Recorded, where: str, taken: Callable[[], None]
    ) -> None:
        """
        Post what is new, the whole *report* attached; *taken* is called once Slack has the message.

        Raises SlackError if the message, or a part of its thread, did not arrive.
        """
        people = self.sender.people(owners(recorded.new), deadline=self.deadline)
        post = announcement(
            sweep, recorded, now=report.time, people=people, report=where, keep_tag=self.keep_tag
        )
        if post is None:
            return
        done = self.sender.deliver(post, html(report).encode(), deadline=self.deadline, taken=taken)
        complain(done.problems)

    def digest(self, rows: Iterable[Row], *, now: datetime) -> None:
        """Post the digest of *rows*. Raises SlackError."""
        complain(self.sender.deliver(digest(tuple(rows), now=now), deadline=self.deadline).problems)


def complain(problems: Iterable[str]) -> None:
    """Raise SlackError with what did not arrive, if anything did not."""
    if said := "; ".join(problems):
        raise SlackError(f"the message was delivered, but not all of it: {said}")


def rows(
    ledger: Ledger,
    detectors: Iterable[tuple[Detector[Any], str]],
    account: str,
    regions: Iterable[str],
    *,
    now: datetime,
) -> list[Row]:
    """What every sweep that should run said last; *detectors* come with their schedules."""
    places = list(regions)
    return [
        Row(
            detector=detector.name,
            account=account,
            region=region,
            last=last,
            new=last.new if last is not None and now - last.time <= DAY else 0,
            late=last is not None and now - last.time > overdue_after(schedule),
        )
        for detector, schedule in detectors
        for region in places
        for last in [ledger.last_sweep(detector.name, account, region)]
    ]
