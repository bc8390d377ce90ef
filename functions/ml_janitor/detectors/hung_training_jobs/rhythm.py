"""The rhythm of a job's logs: when its streams last said something, and its longest pause before that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import attempt
from ml_janitor.aws.logs import DESCRIBE_LOG_STREAMS, GET_LOG_EVENTS, NO_SUCH, backwards, last_event, moment
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

PAGES = 30
"""How many pages of GetLogEvents (10,000 events or 1 MB each) are read to learn one job's rhythm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """
    When a job's streams *last* said something, and their *longest_pause* before that.

    The pause is `NotRead` if the last event is fresh, and `Absent` if the history is too long to be
    read. It may come out longer than it was, never shorter: a pause that is taken for too short
    would make the next one look like the end.
    """

    last: datetime
    longest_pause: Signal[timedelta]


def read(aws: Aws, group: str, prefix: str, *, started: datetime, fresh: datetime) -> Signal[Rhythm]:
    """
    The rhythm of the streams of *group* that begin with *prefix*, of a job that *started* then.

    An event after *fresh* settles the question, and the history is left alone. `Absent` means that
    there is no stream or no event.
    """
    match attempt(lambda: _listed(aws, group, prefix), source=DESCRIBE_LOG_STREAMS, absent=NO_SUCH):
        case Value(streams):
            pass
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    hint = max((at for at in streams.values() if at is not None), default=None)
    if hint is not None and hint > fresh:
        return Value(Rhythm(last=hint, longest_pause=NotRead()), DESCRIBE_LOG_STREAMS, hint)
    match _last(aws, group, streams, fresh):
        case Value(exact):
            last = exact if hint is None else max(exact, hint)
        case Absent() if hint is not None:  # its events have expired, but the listing remembers when
            last = hint
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    if last > fresh:
        return Value(Rhythm(last=last, longest_pause=NotRead()), GET_LOG_EVENTS, last)
    pause = longest_pause(aws, group, sorted(streams), started=started, last=last)
    return Value(Rhythm(last=last, longest_pause=pause), GET_LOG_EVENTS, last)


def _listed(aws: Aws, group: str, prefix: str) -> dict[str, datetime | None]:
    """
    The streams that begin with *prefix*, with the time of their newest event as far as it is indexed.

    The index lags behind by an hour or more, so it can show that a stream is alive, never that it
    is silent.
    """
    pages = aws.logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, logStreamNamePrefix=prefix, PaginationConfig={"PageSize": 50}
    )
    return {
        stream["logStreamName"]: moment(stream["lastEventTimestamp"])
        if "lastEventTimestamp" in stream
        else None
        for page in pages
        for stream in page["logStreams"]
    }


def _last(aws: Aws, group: str, streams: Iterable[str], fresh: datetime) -> Signal[datetime]:
    """The newest event of all *streams*; the first fresh one is enough. One unreadable hides a newer one."""
    newest: Signal[datetime] = Absent(GET_LOG_EVENTS)
    unreadable: Unreadable | None = None
    for stream in streams:
        match last_event(aws, group, stream):
            case Value(at) as heard:
                if at > fresh:
                    return heard
                if not isinstance(newest, Value) or at > newest.value:
                    newest = heard
            case Unreadable() as failed:
                unreadable = failed
            case _:
                pass
    return unreadable or newest


def longest_pause(
    aws: Aws, group: str, streams: Iterable[str], *, started: datetime, last: datetime
) -> Signal[timedelta]:
    """
    The longest time between two events of all *streams* together, from *started* to *last*.

    At most `PAGES` pages are read, and at least one stream to its beginning, or the answer is
    `Absent`. Events that were not read can only make a pause look longer, which is the safe side.
    """

    def heard() -> set[datetime] | None:
        events: set[datetime] = set()
        whole = False
        pages_left = PAGES
        for stream in streams:
            for page in backwards(aws, group, stream):
                events.update(page)
                pages_left -= 1
                if not pages_left:
                    return events if whole else None
            whole = True
        return events

    match attempt(heard, source=GET_LOG_EVENTS, absent=NO_SUCH):
        case Value(events) if events is not None:
            times = sorted({started, last, *events})
            return Value(
                max((later - before for before, later in pairwise(times)), default=timedelta()),
                GET_LOG_EVENTS,
            )
        case Unreadable() as failed:
            return failed
        case _:
            return Absent(GET_LOG_EVENTS)
