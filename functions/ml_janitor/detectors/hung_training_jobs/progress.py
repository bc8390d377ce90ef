"""The judgement whether a running job stands still: its phase, limit, logs, objects and load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from ml_janitor.aws import activity
from ml_janitor.aws.activity import GET_METRIC_DATA, Metric, MetricStat
from ml_janitor.aws.calls import as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import NewestObject
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Evidence,
    Kept,
    NotRead,
    Rule,
    Signal,
    Unreadable,
    Value,
    as_evidence,
)
from ml_janitor.core.text import count_noun
from ml_janitor.detectors.hung_training_jobs.jobs import (
    LOAD_PERIOD,
    SHORTEST_LEVEL,
    CollectiveWait,
    HostLoad,
    JobKind,
    LoadPattern,
    LoadSpan,
    RunningJob,
    load_span,
    loads_text,
    some_names,
)

# --- reading the load -----------------------------------------------------------------------------
# Metrics of all hosts of several jobs are read in bulk. Hosts with ids are found by name first.

_LOAD_METRICS = ("CPU", "GPU", "Memory", "Disk")
"""
Metrics of a job's container alone, on each host, each followed by Utilization
(developer guide, Monitor SageMaker with CloudWatch).
"""

_LOAD_STATS: tuple[MetricStat, MetricStat] = ("Minimum", "Maximum")

_HOST_DIMENSION = "Host"
"""The dimension of the metrics: the job's name, a slash, and the host's."""


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """A job whose load is wanted, and the start of the time."""

    job: RunningJob
    start: datetime


def read_host_loads(
    aws: Aws, windows: Mapping[str, LoadWindow], now: datetime
) -> dict[str, Signal[tuple[HostLoad, ...]]]:
    """Return the loads of every job in *windows*, under the same keys, until *now*; each kind in bulk."""
    found: dict[str, Signal[tuple[HostLoad, ...]]] = {}
    for kind in dict.fromkeys(window.job.kind for window in windows.values()):
        own = {key: window for key, window in windows.items() if window.job.kind is kind}
        listed = _list_hosts(aws, kind)
        if isinstance(listed, Unreadable):
            found |= dict.fromkeys(own, listed)
            continue
        hosts = {key: job_hosts(window.job, listed) for key, window in own.items()}
        starts = {host: window.start for key, window in own.items() for host in hosts[key]}
        loads = _read_hosts(aws, kind.group, starts, now)
        for key, window in own.items():
            known = (loads[host] for host in hosts[key])
            found[key] = Value((*known, *unlisted_hosts(window.job, len(hosts[key]))), GET_METRIC_DATA)
    return found


def _list_hosts(aws: Aws, kind: JobKind) -> Sequence[str] | Unreadable:
    """Return all hosts of the past two weeks by name, where they are not numbered."""
    if kind.numbered:
        return ()
    series = activity.list_series(aws, kind.group, "CPUUtilization")
    if isinstance(series, Unreadable):
        return series
    known = series.value if isinstance(series, Value) else ()
    return [value for metric in known for name, value in metric.dimensions if name == _HOST_DIMENSION]


def job_hosts(job: RunningJob, listed: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of *job*: by number, or the *listed* hosts that begin with its name and a slash."""
    if job.kind.numbered:
        return job.hosts
    return tuple(sorted({host for host in listed if host.startswith(f"{job.name}/")}))


def unlisted_hosts(job: RunningJob, known: int) -> tuple[HostLoad, ...]:
    """Return the instances of *job* that no metric names: they count as not measured, never as absent."""
    return tuple(
        HostLoad(host=f"{job.name}/instance {n}", cpu=Absent(GET_METRIC_DATA), gpu=Absent(GET_METRIC_DATA))
        for n in range(known + 1, job.instances + 1)
    )


def _read_hosts(
    aws: Aws, namespace: str, windows: Mapping[str, datetime], now: datetime
) -> dict[str, HostLoad]:
    """
    Return the load of each host in *windows*, from the time given there until *now*; all hosts in bulk.

    A host is named as the metrics' Host dimension does: "my-job/algo-1".
    """
    wanted = {
        (host, name, stat): Metric.of(
            namespace, f"{name}Utilization", stat=stat, period=LOAD_PERIOD, Host=host
        )
        for host in windows
        for name in _LOAD_METRICS
        for stat in _LOAD_STATS
    }
    series = activity.read_metrics(aws, wanted.values(), min(windows.values(), default=now), now)

    def span_of(host: str, name: str) -> Signal[LoadSpan]:
        lowest, highest = (series[wanted[host, name, stat]] for stat in _LOAD_STATS)
        return load_span(lowest, highest, windows[host], now)

    return {
        host: HostLoad(host=host, **{name.lower(): span_of(host, name) for name in _LOAD_METRICS})
        for host in windows
    }


LOGGED_WINDOW = timedelta(days=1)
"""Time before the last log event whose load is compared with the load of the silence."""


def read_logged_levels(
    aws: Aws, job: RunningJob, loads: Sequence[HostLoad], logged_until: datetime
) -> dict[str, Signal[timedelta]]:
    """
    Return, by host, how long its GPUs stood at the level of *loads* while *job* still logged.

    A trainer that keeps its GPUs full and logs rarely looks like a deadlock in all but this.
    """
    since = max(logged_until - LOGGED_WINDOW, job.started or logged_until - LOGGED_WINDOW)
    wanted = {
        (load.host, stat): Metric.of(
            job.kind.group, "GPUUtilization", stat=stat, period=LOAD_PERIOD, Host=load.host
        )
        for load in loads
        if isinstance(load.gpu, Value)
        for stat in _LOAD_STATS
    }
    series = activity.read_metrics(aws, wanted.values(), since, logged_until) if wanted else {}
    none: Signal[activity.MetricSeries] = Absent(GET_METRIC_DATA)

    def of(load: HostLoad) -> Signal[timedelta]:
        lows, highs = (
            series[wanted[load.host, stat]] if wanted.get((load.host, stat)) else none for stat in _LOAD_STATS
        )
        return load.logged_at_level(job.machine, lows, highs, since, logged_until)

    return {load.host: of(load) for load in loads}


# --- reading the logs -----------------------------------------------------------------------------

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


NO_STREAMS: Mapping[str, datetime] = {}


def fresh_rhythm(active: Mapping[str, datetime], group: str, prefix: str) -> Value[LogRhythm] | None:
    """Return the rhythm of the streams of *group* that begin with *prefix*, if *active* has one."""
    own = f"{group}/{prefix}"
    heard = max((at for name, at in active.items() if name.startswith(own)), default=None)
    if heard is None:
        return None
    return Value(LogRhythm(last=heard, longest_pause=NotRead()), activity.DESCRIBE_LOG_STREAMS, heard)


def read_rhythm(
    aws: Aws,
    group: str,
    prefix: str,
    *,
    started: datetime,
    fresh: datetime,
    events: bool = True,
    active: Mapping[str, datetime] = NO_STREAMS,
) -> Signal[LogRhythm]:
    """
    Return the rhythm of the streams of *group* that begin with *prefix*, of a job that *started* then.

    An event after *fresh* settles the question, and the history is left alone; *active* may have one.
    `Absent` means that there is no stream or no event. Without *events*, only the listing of streams is read,
    which is an hour or more late.
    """
    if (heard := fresh_rhythm(active, group, prefix)) is not None:
        return heard
    match _list_streams(aws, group, prefix):
        case Value(streams):
            pass
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    hint = max((at for at in streams.values() if at is not None), default=None)
    if hint is not None and hint > fresh:
        return Value(LogRhythm(last=hint, longest_pause=NotRead()), activity.DESCRIBE_LOG_STREAMS, hint)
    match _last(aws, group, streams, fresh) if events else activity.LogNotRead():
        case Value(exact):
            last = exact if hint is None else max(exact, hint)
        case Absent() if hint is not None:  # its events have expired, but the listing remembers when
            last = hint
        case (Absent() | Unreadable() | NotRead()) as none:
            return none
    if last > fresh:
        return Value(LogRhythm(last=last, longest_pause=NotRead()), activity.GET_LOG_EVENTS, last)
    pause: Signal[timedelta] = activity.LogNotRead()
    source = activity.DESCRIBE_LOG_STREAMS
    if events:
        pause = read_longest_pause(aws, group, sorted(streams), started=started, last=last)
        source = activity.GET_LOG_EVENTS
    return Value(LogRhythm(last=last, longest_pause=pause), source, last)


@as_signal(activity.DESCRIBE_LOG_STREAMS, activity.NO_SUCH_LOG)
def _list_streams(aws: Aws, group: str, prefix: str) -> dict[str, datetime | None]:
    """
    Return the streams that begin with *prefix*, with the indexed time of their newest event, if any.

    The index lags behind by an hour or more, so it can show that a stream is alive, never that it is silent.
    """
    named = {"logGroupName": group, "logStreamNamePrefix": prefix}
    return {
        stream["logStreamName"]: activity.log_time(stream["lastEventTimestamp"])
        if "lastEventTimestamp" in stream
        else None
        for page in aws.pages(activity.DESCRIBE_LOG_STREAMS, activity.LOGS_PAGE, **named)
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
        match activity.last_log_event(aws, group, stream):
            case Value(at) as heard:
                if at > fresh:
                    return heard
                old.append(heard)
            case Unreadable() as failed:
                unreadable = failed
    return unreadable or max(old, key=lambda heard: heard.value, default=Absent(activity.GET_LOG_EVENTS))


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
            for page in activity.log_event_pages(aws, group, stream):
                events.update(page)
                pages_left -= 1
                if not pages_left and not whole:
                    return _probed(LogProbe(aws, group, list(streams)), events, started=started, last=last)
                if not pages_left:
                    return _longest_gap(started, last, *events)
            whole = True
        return _longest_gap(started, last, *events)

    match read_signal(read, source=activity.GET_LOG_EVENTS, absent=activity.NO_SUCH_LOG):
        case Value(pause) if pause is not None:
            return Value(pause, activity.GET_LOG_EVENTS)
        case Unreadable() as failed:
            return failed
        case _:
            return Absent(activity.GET_LOG_EVENTS)


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
        self.following[stream] = activity.FAR_FUTURE
        for page in activity.log_event_pages(self.aws, self.group, stream, since=since, limit=1):
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


# --- judgement ------------------------------------------------------------------------------------


def judge_limit(rule: Rule, job: RunningJob, overrun: timedelta, now: datetime) -> Standstill | None:
    """
    Return the job as still if SageMaker should have ended it itself; that may take SageMaker until *overrun*.

    At most likely where inputs are downloaded first: AWS says neither how
    long that took, nor whether it counts.
    """
    limits = (
        ("MaxRuntimeInSeconds", job.counted_from, job.max_runtime),
        ("MaxWaitTimeInSeconds", job.created, job.max_wait),
    )
    if job.max_runtime is None and job.max_wait is None:
        rule.passed("it has no limit of its own")
        return None
    for name, since, allowed in limits:
        if since is None or allowed is None:
            continue
        late = now - since - allowed
        rule.saw(Evidence(f"time against {name}", f"{format_age(now - since)} of {format_age(allowed)}"))
        if late > overrun:
            return Standstill(
                reason=f"this {job.kind.noun} is {job.kind.at_work} {format_age(late)} after the end "
                f"of its own"
                f" limit of {format_age(allowed)} ({name})"
                + (", unless that began only when its inputs had been downloaded" if job.downloads else ""),
                confidence=Confidence.LIKELY if job.downloads else Confidence.PROVEN,
                since=since + allowed,
            )
    rule.passed(f"not more than {format_age(overrun)} past its own limit")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSigns:
    """
    The traces that a running job would leave if it moved.

    *logged_levels* is, by host, how long its GPUs stood at the level of *loads* while the job still logged.
    """

    rhythm: Signal[LogRhythm] = field(default_factory=NotRead)
    newest: Signal[NewestObject | None] = field(default_factory=NotRead)
    loads: Signal[tuple[HostLoad, ...]] = field(default_factory=NotRead)
    logged_levels: Mapping[str, Signal[timedelta]] = field(default_factory=dict, hash=False)

    def spin(self, job: RunningJob) -> bool:
        """Return whether the GPUs of *job* spin as in a collective, as far as that was read."""
        loads = self.loads.value if isinstance(self.loads, Value) else ()
        return any(load.motion(job.machine, job.collective) is LoadPattern.SPINS for load in loads)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPatience:
    """Times for which logs, objects and load must all stand still before a job is judged to hang."""

    silence: timedelta
    times_longest_pause: int
    silence_without_rhythm: timedelta

    @property
    def without_rhythm(self) -> timedelta:
        """The time for a job whose rhythm or load is not known."""
        return max(self.silence, self.silence_without_rhythm)

    def with_rhythm(self, longest_pause: Signal[timedelta]) -> timedelta:
        """Return the time for a job that had paused for *longest_pause* before, and gone on."""
        match longest_pause:
            case Value(pause):
                return max(self.silence, self.times_longest_pause * pause)
            case _:
                return self.without_rhythm


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A standstill *since* the last log event, with its confidence and reason."""

    reason: str
    confidence: Confidence
    since: datetime


def judge_signs(
    rule: Rule, signs: ProgressSigns, job: RunningJob, patience: JobPatience, now: datetime
) -> Kept | Standstill:
    """Judge whether *job* stands still, by its *signs*; the steps and the evidence go to *rule*."""
    match signs.rhythm:
        case Value(rhythm):
            return (
                _check_logs(rule, signs.rhythm, rhythm, patience, now)
                or _check_objects(rule, signs.newest, job, patience.with_rhythm(rhythm.longest_pause), now)
                or _check_load(rule, signs, rhythm, job, patience=patience, now=now)
            )
        case Absent():
            rule.saw(as_evidence("last log event", signs.rhythm))
            return rule.unknown("it has not logged anything, so nothing shows that its logs arrive")
        case _:
            rule.saw(as_evidence("last log event", signs.rhythm))
            return rule.unknown("its logs could not be read")


def _check_logs(
    rule: Rule, signal: Signal[LogRhythm], rhythm: LogRhythm, patience: JobPatience, now: datetime
) -> Kept | None:
    """Keep a job that logs, or is silent no longer than its rhythm explains."""
    quiet = now - rhythm.last
    rule.saw(
        as_evidence("last log event", signal, utc_text(rhythm.last)),
        Evidence("silent for", format_age(quiet)),
    )
    if quiet < patience.silence:
        return rule.kept(f"it last logged {format_age(quiet)} ago")
    rule.passed(f"no log event for {format_age(patience.silence)} or more")
    pause = rhythm.longest_pause
    match pause:
        case Value(longest):
            rule.saw(as_evidence("longest pause before", pause, format_age(longest)))
            explained = f"it once paused for {format_age(longest)} and went on"
        case activity.LogNotRead():
            rule.saw(as_evidence("longest pause before", pause, "not known"))
            explained = "without its log its rhythm is not known"
        case Absent():
            rule.saw(as_evidence("longest pause before", pause, "not known, too many events to read"))
            explained = "its history is too long to learn its rhythm"
        case _:
            rule.saw(as_evidence("longest pause before", pause))
            return rule.unknown("the history of its logs could not be read, so its rhythm is not known")
    needed = patience.with_rhythm(pause)
    if quiet < needed:
        return rule.kept(
            f"silent for {format_age(quiet)}, but {explained}: judged from {format_age(needed)} on"
        )
    rule.passed(f"silent for longer than its rhythm explains ({format_age(needed)})")
    return None


def _check_objects(
    rule: Rule, newest: Signal[NewestObject | None], job: RunningJob, needed: timedelta, now: datetime
) -> Kept | None:
    """Keep a job that writes checkpoints or outputs, whatever its logs say."""
    if not job.writes_to:
        rule.passed("it has no folder in S3 to write to, so that says nothing")
        return None
    match newest:
        case Value(None):
            rule.saw(as_evidence("newest object", newest, "none in its S3 folders"))
        case Value(found) if found is not None:
            rule.saw(as_evidence("newest object", newest, f"{found.uri}, {utc_text(found.modified)}"))
            if now - found.modified < needed:
                return rule.kept(
                    f"silent, but it wrote to S3 {format_age(now - found.modified)} ago ({found.uri})"
                )
        case _:
            rule.saw(as_evidence("newest object", newest))
            return rule.unknown("its S3 folders could not be read, so it may be writing")
    rule.passed("nothing was written to its S3 folders either")
    return None


def _check_load(
    rule: Rule,
    signs: ProgressSigns,
    rhythm: LogRhythm,
    job: RunningJob,
    *,
    patience: JobPatience,
    now: datetime,
) -> Kept | Standstill:
    """Keep a job whose hosts work; else it stands still, and the load says how sure that is."""
    signal = signs.loads
    loads = signal.value if isinstance(signal, Value) else ()
    machine = job.machine
    gpus = 100 * machine.gpus if machine.gpus else None
    rule.saw(
        Evidence("GPU load", loads_text(loads, "gpu", gpus) or "not known"),
        Evidence("CPU load", loads_text(loads, "cpu", 100 * machine.vcpus) or "not known"),
    )
    for name in ("memory", "disk"):
        if not all(isinstance(getattr(host_load, name), Absent) for host_load in loads):
            rule.saw(Evidence(f"{name} used", loads_text(loads, name, 100)))
    motions: dict[LoadPattern, list[str]] = {}
    for host_load in loads:
        motions.setdefault(host_load.motion(machine, job.collective), []).append(
            host_load.host.rpartition("/")[2]
        )
    if working := motions.get(LoadPattern.WORKING):
        return rule.kept(f"silent, but the load of {some_names(working)} varies like work")
    if isinstance(signal, NotRead | Unreadable) or LoadPattern.UNREADABLE in motions:
        return rule.unknown("its load could not be read, so it may be working")
    if LoadPattern.SPINS in motions and any(map(_is_unreadable, signs.logged_levels.values())):
        return rule.unknown("its load while it still logged could not be read: full load may be usual")
    if steady := motions.get(LoadPattern.STEADY):
        level = "not at rest" if job.collective is CollectiveWait.NEVER else "neither at rest nor full"
        return rule.kept(f"silent, but the load of {some_names(steady)} is {level}")
    quiet = now - rhythm.last
    unmeasured = motions.get(LoadPattern.UNMEASURED, []) or ([] if loads else ["its hosts"])
    if unmeasured and quiet < patience.without_rhythm:
        return rule.kept(
            f"silent for {format_age(quiet)}, but the load of {some_names(unmeasured)} is not known:"
            f" judged from {format_age(patience.without_rhythm)} on"
        )
    rule.passed("no host's load varies")
    match rhythm.longest_pause:
        case Value(longest):
            paused, known = f"its longest pause before was {format_age(longest)}", True
        case _:
            paused, known = "how long it used to pause is not known", False
    written = ", wrote nothing to S3," if job.writes_to else ""
    logged = f"logged nothing for {format_age(quiet)} ({paused}){written}"
    spinning = SpinningGpus(
        sum(host_load.spinning(machine) for host_load in loads), (machine.gpus or 0) * len(loads)
    )
    doubts = [
        *_doubts(motions, spinning),
        *([f"the load of {some_names(unmeasured)} is not known"] if unmeasured else []),
    ]
    usual = "" if doubts else _usual_level(rule, signs.logged_levels)
    sure = known and not doubts and not usual
    load = "; ".join(doubts) or spinning.description(len(loads))
    return Standstill(
        reason=f"this {job.kind.noun} {logged} and {load}{usual}",
        confidence=Confidence.PROVEN if sure else Confidence.LIKELY,
        since=rhythm.last,
    )


@dataclass(frozen=True, slots=True)
class SpinningGpus:
    """The number of a job's spinning GPUs, and of all."""

    count: int
    total: int

    def description(self, hosts: int) -> str:
        """Return how they hang in a collective, on *hosts* hosts, in words."""
        if self.count < self.total:
            return (
                f"{self.count} of {self.total} GPUs spin at full load without a change while the others rest"
            )
        where = f"all {count_noun(hosts, 'host')}" if hosts > 1 else "its host"
        return f"the GPUs of {where} spin at full load without a change"


def _doubts(motions: Mapping[LoadPattern, Sequence[str]], spinning: SpinningGpus) -> Iterator[str]:
    """
    Yield why the load of a seemingly hung job proves nothing: work or a wait looks the same.

    A job may wait for Athena, an EMR step, a child job or an ssh session at no load and without a word, and
    SageMaker publishes no network metric. Only a collective explains two or more GPUs *spinning*.
    """
    if motions.keys() == {LoadPattern.RESTS}:
        resting = len(motions[LoadPattern.RESTS])
        idle, who = (
            (f"all {count_noun(resting, 'host')} are idle", "they")
            if resting > 1
            else ("its host is idle", "it")
        )
        yield f"{idle} ({who} may be waiting for a query, another job or a person)"
    if LoadPattern.SPINS in motions and spinning.count == 1:
        yield f"one of {spinning.total} GPUs spins without a change, as also in a program made for one"
    if hosts := motions.get(LoadPattern.FULL):
        yield (
            f"the load of {some_names(hosts)} stands at full without a change, which may be work: no "
            f"GPU of it"
            " waits for another"
        )
    if hosts := motions.get(LoadPattern.ONLY_GPUS_REST):
        yield (
            f"the GPUs of {some_names(hosts)} rest without a change, but its CPU does not, and may be at work"
            if len(hosts) == 1
            else f"the GPUs of {some_names(hosts)} rest without a change, but their CPUs do not, and "
            f"may be at work"
        )


def _is_unreadable(signal: Signal[timedelta]) -> bool:
    return isinstance(signal, Unreadable | NotRead)


def _usual_level(rule: Rule, levels: Mapping[str, Signal[timedelta]]) -> str:
    """
    Return why GPUs at full load prove nothing: they stood so while the job logged, or that is not known.

    Empty if the load of a host changed when the log ended: the other hosts wait for that one.
    """
    known = [level.value for level in levels.values() if isinstance(level, Value)]
    if not known:
        return "; their load while it still logged is not known, so full load may be its usual work"
    longest = format_age(max(known))
    rule.saw(Evidence("longest at this load while it logged", longest, source=GET_METRIC_DATA))
    if any(stood < SHORTEST_LEVEL for stood in known):
        return ""
    return f"; they stood so for {longest} while it still logged, so it may log rarely"


def utc_text(at: datetime) -> str:
    """Return a time for a reader, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
