"""Events for programs on an EventBridge bus: one document for all kinds, docs/schemas/event.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undoing import undo_wording
from ml_janitor.core.model import Finding, finding_id
from ml_janitor.core.results import Outcome
from ml_janitor.core.text import escape_text, format_local_time, person_name, quote_shell
from ml_janitor.ledger.table import format_stamp
from ml_janitor.report.finding_words import cost_text, finding_noun, proposed_action
from ml_janitor.report.json import iso_time, usd_number
from ml_janitor.report.mrkdwn import as_sentence
from ml_janitor.report.telemetry import measure_lost_events
from ml_janitor.report.warnings import DONE_WORDS

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.acting.after_sweep import SweptRegion
    from ml_janitor.core.results import Result
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Action

EVENT_VERSION = 1
EVENT_SOURCE = "ml-janitor"

MOST_ENTRIES, LARGEST_REQUEST = 10, 256_000
"""Entries that PutEvents takes at once, and their bytes (API reference: 256 KB)."""

LONGEST_TITLE, LONGEST_TEXT, LONGEST_NAME = 200, 2_000, 2_048
"""Characters of an event's texts. With all of them, an event is smaller than a request may be."""


class EventKind(StrEnum):
    """The kinds of events; the values are their `detail-type`."""

    FINDING = "Finding"
    WARNING = "Warning"
    ACT = "Act"
    UNDO = "Undo"
    BILL = "Bill"
    MISSED_RUN = "Missed Run"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSubject:
    """The resource that an event is about, its finding, and what is planned or was done; None is unknown."""

    finding: str | None = None
    arn: str | None = None
    name: str | None = None
    owner: str | None = None
    action: str | None = None
    due: str | None = None
    monthly_usd: float | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JanitorEvent:
    """
    An event of one *kind*: *key* tells it from the others of its kind, so that its id stays when it is sent
    again. *report* is the place of the report or the bill.
    """

    kind: EventKind
    key: str
    time: datetime
    account: str
    title: str
    text: str = ""
    region: str | None = None
    detector: str | None = None
    subject: EventSubject = field(default_factory=EventSubject)
    report: str = ""

    def entry(self, bus: str) -> dict[str, Any]:
        """Return the event as an entry of PutEvents for *bus*: ASCII, on one line each."""
        subject = {
            name: escape_text(value, LONGEST_NAME) if isinstance(value, str) else value
            for name in EventSubject.__slots__
            for value in [getattr(self.subject, name)]
        }
        detail = {
            "schema_version": EVENT_VERSION,
            "id": sha256(f"{self.kind} {self.account} {self.key}".encode()).hexdigest()[:32],
            "kind": self.kind.value,
            "time": iso_time(self.time),
            "account": self.account,
            "region": self.region,
            "detector": self.detector,
            "title": escape_text(self.title, LONGEST_TITLE),
            "text": escape_text(self.text, LONGEST_TEXT),
            **subject,
            "report": self.report or None,
        }
        return {
            "EventBusName": bus,
            "Source": EVENT_SOURCE,
            "DetailType": self.kind.value,
            "Time": self.time,
            "Detail": json.dumps(detail, allow_nan=False),
        }


type EmitEvents = Callable[[Iterable[JanitorEvent]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBus:
    """
    The event bus called *name*; without a name, events go nowhere. *connect* returns its client.

    An event is news, and decides nothing. A lost event is logged and counted, and stops nothing.
    """

    name: str
    connect: Callable[[], Any]
    logger: Logger

    def __call__(self, events: Iterable[JanitorEvent]) -> None:
        """Send *events*. Never raise an error, not even theirs."""
        if not self.name:
            return
        waiting: list[Mapping[str, Any]] = []
        try:
            for event in events:
                entry = event.entry(self.name)
                size = sum(len(other["Detail"]) for other in [*waiting, entry])
                if len(waiting) == MOST_ENTRIES or size > LARGEST_REQUEST:
                    self._put(waiting)
                    waiting = []
                waiting.append(entry)
        except Exception:
            self.logger.exception("an event could not be made")
            measure_lost_events(1)
        if waiting:
            self._put(waiting)

    def _put(self, entries: Sequence[Mapping[str, Any]]) -> None:
        try:
            answer = self.connect().put_events(Entries=entries)
            lost = answer["FailedEntryCount"]
            codes = sorted({entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry})
        except Exception:
            lost = len(entries)
            self.logger.exception("events were not taken", extra={"lost": lost, "bus": self.name})
        else:
            if lost:
                self.logger.error(
                    "events were not taken", extra={"lost": lost, "bus": self.name, "codes": codes}
                )
        if lost:
            measure_lost_events(lost)


# --- news -----------------------------------------------------------------------------------------


def sweep_events(
    detector: Detector[Any], known: SweptRegion, *, now: datetime, time_zone: str, report: str
) -> Iterator[JanitorEvent]:
    """Yield the news of a sweep: the findings that it saw first, delivered warnings, and acts."""
    first = known.recorded.first_seen_keys(now)
    done = DONE_WORDS[detector.cleanup.effect] if detector.cleanup is not None else ""
    for result in known.sweep.results:
        noun, name, reason = finding_noun(detector.name, result), result.target.name, result.verdict.reason
        what, why = f"{noun[:1].upper()}{noun[1:]} {name}", as_sentence(reason)

        def event(kind: EventKind, title: str, text: str, result: Result = result) -> JanitorEvent:
            target, identity = result.target, finding_id(detector.name, result.target.key)
            return JanitorEvent(
                kind=kind,
                key=f"{identity} {format_stamp(now)}",
                time=now,
                account=target.account,
                region=target.region,
                detector=detector.name,
                title=title,
                text=text,
                subject=EventSubject(
                    finding=identity,
                    arn=target.arn,
                    name=target.name,
                    owner=result.owner,
                    action=proposed_action(result) or None,
                    due=iso_time(result.due),
                    monthly_usd=usd_number(result.monthly_usd),
                ),
                report=report,
            )

        if result.target.key in first and isinstance(result.verdict, Finding):
            cost = cost_text(result)
            proposed = as_sentence(f"Proposed: {proposed_action(result)}")
            yield event(EventKind.FINDING, f"{what}{f': {cost}' if cost else ''}", f"{why} {proposed}")
        if result.outcome is Outcome.WARNED and result.due is not None:
            title = f"{what} will be {done} after {format_local_time(result.due, time_zone)}"
            keep = f"To keep it: janitor keep {quote_shell(result.target.arn)} --reason why"
            yield event(EventKind.WARNING, f"{title} unless somebody keeps it", f"{why} {keep}")
        if result.outcome is Outcome.ACTED:
            undo = undo_wording(detector.cleanup).command
            identity = finding_id(detector.name, result.target.key)
            back = f" To take it back: janitor {undo} {identity}" if detector.undoes else ""
            yield event(EventKind.ACT, f"{what} was {done}", f"{why}{back}")


def undo_event(detector: Detector[Any], action: Action, at: datetime) -> JanitorEvent:
    """Return the news that *action* was taken back."""
    target, by = action.target, person_name(action.undone_by)
    return JanitorEvent(
        kind=EventKind.UNDO,
        key=f"{action.id} {format_stamp(action.began)}",
        time=action.undone or at,
        account=target.account,
        region=target.region,
        detector=action.detector,
        title=f"{target.name} was {undo_wording(detector.cleanup).done} for {by}",
        text=action.became,
        subject=EventSubject(finding=action.id, arn=target.arn, name=target.name, by=by),
    )
