"""The rhythm of a job's logs: its newest event, and the longest pause before that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from ml_janitor.aws import logs
from ml_janitor.aws.answers import as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value

MOST_RHYTHM_PAGES = 30
"""Most pages of GetLogEvents (10,000 events or 1 MB each) that are read to learn one job's rhythm."""

_PROBE_WINDOW = timedelta(hours=1)
_MOST_WINDOWS = 240
MOST_PROBES = 2 * _MOST_WINDOWS
"""
Bounds for the probing of a long history.
It is divided into windows of an hour, or into that many longer ones. Each is asked only for any event: one
call for a window with an event, and a few for a pause. `MOST_PROBES` limits the calls.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRhythm:
    """
    The time of a job's *last* log event, and the *longest_pause* before it.

    The pause is `NotRead` if the last event is fresh, and `Absent` if the history is too long even to be
    probed. It may come out longer than it was, never shorter: after a pause that was measured too short, the
    next one would look like a hang.
    """

    last: datetime
    longest_pause: Signal[timedelta]


def read_rhythm(
    aws: Aws, group: str, prefix: str, *, started: datetime, fresh: datetime
) -> Signal[LogRhythm]:
    """
    Return the rhythm of the streams of *group* that begin with *prefix*, of a job that *started* then.

    An event after *fresh* settles the question, and the history is left alone.
    `Absent` means that there is no stream or no event.
    """
    match _listed(aws, group, prefix):
        case Value(streams):
            pass
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    hint = max((at for at in streams.values() if at is not None), default=None)
    if hint is not None and hint > fresh:
        return Value(LogRhythm(last=hint, longest_pause=NotRead()), logs.DESCRIBE_LOG_STREAMS, hint)
    match _last(aws, group, streams, fresh):
        case Value(exact):
            last = exact if hint is None else max(exact, hint)
        case Absent() if hint is not None:  # its events have expired, but the listing remembers when
            last = hint
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    if last > fresh:
        return Value(LogRhythm(last=last, longest_pause=NotRead()), logs.GET_LOG_EVENTS, last)
    pause = read_longest_pause(aws, group, sorted(streams), started=started, last=last)
    return Value(LogRhythm(last=last, longest_pause=pause), logs.GET_LOG_EVENTS, last)


@as_signal(logs.DESCRIBE_LOG_STREAMS, logs.NO_SUCH_LOG)
def _listed(aws: Aws, group: str, prefix: str) -> dict[str, datetime | None]:
    """
    Return the streams that begin with *prefix*, with the indexed time of their newest event, if any.

    The index lags behind by an hour or more, so it can show that a stream is alive, never that it is silent.
    """
    named = {"logGroupName": group, "logStreamNamePrefix": prefix}
    return {
        stream["logStreamName"]: logs.log_time(stream["lastEventTimestamp"])
        if "lastEventTimestamp" in stream
        else None
        for page in aws.pages(logs.DESCRIBE_LOG_STREAMS, logs.LOGS_PAGE, **named)
        for stream in page["logStreams"]
    }


def _last(aws: Aws, group: str, streams: Iterable[str], fresh: datetime) -> Signal[datetime]:
    """
    Return the newest event of all *streams*; the first fresh one is enough. An
    unreadable stream may hide a newer one.
    """
    old: list[Value[datetime]] = []
    unreadable: Unreadable | None = None
    for stream in streams:
        match logs.last_log_event(aws, group, stream):
            case Value(at) as heard:
                if at > fresh:
                    return heard
                old.append(heard)
            case Unreadable() as failed:
                unreadable = failed
    return unreadable or max(old, key=lambda heard: heard.value, default=Absent(logs.GET_LOG_EVENTS))


def read_longest_pause(
    aws: Aws, group: str, streams: Sequence[str], *, started: datetime, last: datetime
) -> Signal[timedelta]:
    """
    Return the longest time between two events of all *streams* together, from *started* to *last*.

    At most `PAGES` pages are read. Then one stream read to its beginning is enough; else the unread rest is
    probed. Unread events can only make a pause look longer, which is the safe side.
    """

    def read() -> timedelta | None:
        events: set[datetime] = set()
        whole = False
        pages_left = MOST_RHYTHM_PAGES
        for stream in streams:
            for page in logs.log_event_pages(aws, group, stream):
                events.update(page)
                pages_left -= 1
                if not pages_left and not whole:
                    return _probed(LogProbe(aws, group, list(streams)), events, started=started, last=last)
                if not pages_left:
                    return _longest_gap(started, last, *events)
            whole = True
        return _longest_gap(started, last, *events)

    match read_signal(read, source=logs.GET_LOG_EVENTS, absent=logs.NO_SUCH_LOG):
        case Value(pause) if pause is not None:
            return Value(pause, logs.GET_LOG_EVENTS)
        case Unreadable() as failed:
            return failed
        case _:
            return Absent(logs.GET_LOG_EVENTS)


def _longest_gap(*events: datetime) -> timedelta:
    return max((later - before for before, later in pairwise(sorted(set(events)))), default=timedelta())


@dataclass(slots=True)
class LogProbe:
    """Probes whether any of *streams* holds an event in a window of time, one window after the other."""

    aws: Aws
    group: str
    streams: list[str]
    following: dict[str, datetime] = field(default_factory=dict)
    """The first event of each stream since the last call for it: until then it needs no further call."""
    calls: int = 0

    def finds_event(self, begin: datetime, end: datetime) -> bool | None:
        """
        Return whether there is an event from *begin* to before *end*; None
        if that takes too many calls.
        """
        for stream in self.streams:
            if self.following.get(stream, begin - _PROBE_WINDOW) < begin and not self._ask(stream, begin):
                return None
            if self.following[stream] < end:
                # The stream that logged last is probed first.
                self.streams = [stream, *(other for other in self.streams if other != stream)]
                return True
        return False

    def _ask(self, stream: str, since: datetime) -> bool:
        """Look for the first event of *stream* since then; False if there are no calls left for that."""
        self.following[stream] = logs.FAR_FUTURE
        for page in logs.log_event_pages(self.aws, self.group, stream, since=since, limit=1):
            self.calls += 1
            if page:
                self.following[stream] = min(page)
                return True
            if self.calls >= MOST_PROBES:
                break
        return self.calls < MOST_PROBES


def _probed(
    probe: LogProbe, known: Iterable[datetime], *, started: datetime, last: datetime
) -> timedelta | None:
    """
    Return the longest pause by windows without an event; None if that takes too many calls.

    The events around empty windows lie in the windows before and behind: at most two windows more apart than
    those are long. Windows of *known* events are not probed.
    """
    window = max(_PROBE_WINDOW, (last - started) / _MOST_WINDOWS)
    count = ceil((last - started) / window)
    occupied = {(at - started) // window for at in known} | {count - 1}
    empty = longest = 0
    for number in range(count):
        begin = started + number * window
        found = number in occupied or probe.finds_event(begin, begin + window)
        if found is None:
            return None
        empty = 0 if found else empty + 1
        longest = max(longest, empty)
    return min((longest + 2) * window, abs(last - started))
