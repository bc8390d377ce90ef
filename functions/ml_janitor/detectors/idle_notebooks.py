"""Notebook instances in which nobody works: what shows work from outside, the rule, stopping and starting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, NamedTuple

from ml_janitor.aws import activity, studio_apps, tags
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.calls import Listing, ensure, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import NOTEBOOK, list_kind
from ml_janitor.core.durations import WorkingHours, format_age
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    ActionSchedule,
    Candidate,
    Confidence,
    Cost,
    Effect,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import format_iso
from ml_janitor.engine.detector import (
    CannotActError,
    Cleanup,
    Constant,
    Detector,
    Grant,
    NotFinishedError,
    Steps,
    allow,
    with_log_grants,
)

NOTEBOOK_IN_SERVICE = "InService"
NOTEBOOK_LOG_GROUP = "/aws/sagemaker/NotebookInstances"
_OPEN_CALL = "CreatePresignedNotebookInstanceUrl"
"""The call behind "Open Jupyter": its URL is needed to get in."""

_AGENT_NAMESPACE, _AGENT_DIMENSION = "SageMakerNotebookInstances", "notebook_instance_name"
"""
The namespace and dimension of the CloudWatch agent in AWS's sample
lifecycle script (publish-instance-metrics).
"""

_AGENT_METRICS: Mapping[str, Literal["busy", "free"]] = {
    "cpu_usage_active": "busy",
    "cpu_usage_idle": "free",  # the only one of these that the sample publishes
    "nvidia_smi_utilization_gpu": "busy",
}
_AGENT_PERIOD = 300

_BUSY_PERCENT = 5.0
"""
A use above this percentage over five minutes, on any single core or GPU, is
work; Jupyter and the agent need less.
"""

_LIST_NOTEBOOKS, _DESCRIBE_NOTEBOOK = NOTEBOOK.lists, NOTEBOOK.describes


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook(Candidate):
    """
    A notebook instance.

    *log* is the time of Jupyter's last log line, *opened* the last call that opened the notebook, *busy* the
    last time its processors worked. *idle* is the idle time that it published itself, with the time of that
    datapoint. *modified* moves when it is started, stopped or changed. *lifecycle* is the script that runs
    when it starts. *source* is the call that listed it. *unread_openings* says why an opening may be missing.
    """

    status: str
    instance_type: str
    modified: datetime
    lifecycle: str | None = None
    log: Signal[datetime] = field(default_factory=NotRead)
    opened: Signal[activity.TrailEvent] = field(default_factory=NotRead)
    unread_openings: str | None = None
    busy: Signal[datetime] = field(default_factory=NotRead)
    idle: Signal[timedelta] = field(default_factory=NotRead)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))
    source: str = _LIST_NOTEBOOKS

    @property
    def stream(self) -> str:
        """The name of its log stream; other streams of the group begin alike."""
        return f"{self.target.name}/jupyter.log"

    def tagged(self, signal: Signal[Tags]) -> Notebook:
        return replace(self, target=replace(self.target, tags=signal))

    def among(self, written: Mapping[str, datetime]) -> Notebook:
        """Return the same notebook with the time of its last log line, if its stream was *written* lately."""
        at = written.get(self.stream)
        return self if at is None else replace(self, log=Value(at, activity.DESCRIBE_LOG_STREAMS, at))


def list_notebooks(aws: Aws) -> Listing[Notebook]:
    """Return every notebook instance in any status, 100 a page, without tags or signs of work."""
    return list_kind(aws, NOTEBOOK, lambda entry: _notebook(aws, entry))


def describe_notebook(aws: Aws, target: Target) -> Notebook | None:
    """
    Return the notebook instance *target* as it is now, or None if it is gone.

    AWS answers ValidationException for a missing notebook, as for much else, and a name taken from an ARN may
    have lost its capitals: only a complete listing without its ARN shows that it is gone. Raises ReadError.
    """
    answer = read_signal(
        lambda: replace(
            _notebook(aws, aws.sagemaker.describe_notebook_instance(NotebookInstanceName=target.name)),
            source=_DESCRIBE_NOTEBOOK,
        ),
        source=_DESCRIBE_NOTEBOOK,
        absent=("ValidationException",),
    )
    if (notebook := required_value(answer)) is not None:
        return notebook
    every = list_notebooks(aws)
    every.check()
    return next(
        (notebook for notebook in every.items if notebook.target.arn.lower() == target.arn.lower()), None
    )


def read_notebook_signs(
    aws: Aws, notebooks: Sequence[Notebook], since: datetime, now: datetime, *, logs: bool
) -> list[Notebook]:
    """Return *notebooks* with their prices and every sign of work after *since*, that in *logs* included."""
    if not notebooks:
        return []
    names = [notebook.target.name for notebook in notebooks]
    openings = activity.look_up_events(aws, _OPEN_CALL, since, now)
    busy = _busy(aws, names, since, now)
    idle = studio_apps.read_idle_times(
        aws, {name: studio_apps.janitor_idle_metric(NotebookInstanceName=name) for name in names}, now
    )
    logged = aws.map(
        lambda notebook: activity.last_log_event(aws, NOTEBOOK_LOG_GROUP, notebook.stream, read=logs),
        notebooks,
    )
    return [
        replace(
            notebook,
            log=log,
            opened=activity.newest_event(openings, partial(_names, name)),
            unread_openings=openings.error if openings.unread else None,
            busy=busy[name],
            idle=idle[name],
            price=aws.prices.hourly(aws.region, "Notebook", notebook.instance_type),
        )
        for notebook, name, log in zip(notebooks, names, logged, strict=True)
    ]


def _notebook(aws: Aws, entry: Mapping[str, Any]) -> Notebook:
    return Notebook(
        target=NOTEBOOK.target(aws, {**entry, "CreationTime": entry["CreationTime"].astimezone(UTC)}),
        status=entry["NotebookInstanceStatus"],
        instance_type=entry["InstanceType"],
        modified=entry["LastModifiedTime"].astimezone(UTC),
        lifecycle=entry.get("NotebookInstanceLifecycleConfigName"),
    )


def _names(name: str, event: activity.TrailEvent) -> bool:
    """
    Return whether *event* names the notebook *name*: in its request, or
    in its resources as name or ARN.
    """
    asked = (value for key, value in event.request.items() if key.lower() == "notebookinstancename")
    return name.lower() in {str(text).rpartition("/")[2].lower() for text in (*asked, *event.resources)}


def _busy(aws: Aws, names: Sequence[str], since: datetime, until: datetime) -> dict[str, Signal[datetime]]:
    """
    Return the time at which the processors of each notebook last worked, by the CloudWatch agent.

    `Absent` if they did not, or if the agent publishes nothing: it can show use, never the lack of it.
    """
    published = aws.map(lambda name: activity.list_series(aws, _AGENT_NAMESPACE, name), list(_AGENT_METRICS))
    unlisted = next((signal for signal in published if isinstance(signal, Unreadable)), None)
    series: dict[str, list[Metric]] = {name: [] for name in names}
    for signal in published:
        for metric in signal.value if isinstance(signal, Value) else ():
            owner = dict(metric.dimensions).get(_AGENT_DIMENSION, "")
            if owner in series:
                series[owner].append(replace(metric, stat="Average", period=_AGENT_PERIOD))
    answers = activity.read_metrics(aws, (metric for own in series.values() for metric in own), since, until)
    return {
        name: _newest([_worked(metric, answers[metric], until) for metric in own], otherwise=unlisted)
        for name, own in series.items()
    }


def _worked(metric: Metric, signal: Signal[MetricSeries], until: datetime) -> Signal[datetime]:
    """Return the end of the newest period in which one core or GPU worked."""
    if not isinstance(signal, Value):
        return signal
    free = _AGENT_METRICS[metric.name] == "free"
    working = [at for at, value in signal.value.points if (100 - value if free else value) > _BUSY_PERCENT]
    if not working:
        return Absent(signal.source)
    at = min(max(working) + timedelta(seconds=metric.period), until)
    return Value(at, signal.source, at)


def _newest(signals: Iterable[Signal[datetime]], otherwise: Unreadable | None = None) -> Signal[datetime]:
    """Return the newest time among *signals*; without any, the first unreadable signal."""
    known = list(signals)
    values = [signal for signal in known if isinstance(signal, Value)]
    if values:
        return max(values, key=lambda signal: signal.value)
    unread = next((signal for signal in known if isinstance(signal, Unreadable)), otherwise)
    return unread or Absent(activity.GET_METRIC_DATA)


# --- stopping and starting ------------------------------------------------------------------------
#
# Stops and starts notebook instances. "Already so" is success; after a lost answer it reads the status.

_REFUSED_CODE = "ValidationException"
"""AWS's error code for a start or stop that the status does not allow, and for a missing notebook."""

_GONE_MESSAGE = "RecordNotFound"
"""The part of the message that stands for a missing notebook."""

_OFF_STATUSES = frozenset({"Stopping", "Stopped", "Deleting"})
"""Statuses of a notebook instance that is off, or soon will be."""

_ON_STATUSES = frozenset({NOTEBOOK_IN_SERVICE, "Pending", "PendingMaintenance", "InMaintenance"})
"""Statuses of a notebook instance that runs, or is starting."""

_WAIT_REASONS = {
    "Stopping": "it is still stopping, which takes some minutes",
    "Updating": "it is being changed, and is stopped after that",
}
"""
Statuses that AWS has to leave before a start.

Only a stopped notebook can be changed, and it is stopped again after the change (developer guide, "Update a
Notebook Instance"; hashicorp/terraform-provider-aws waits for that too).
"""


def prepare_stop(notebook: Notebook) -> dict[str, Any]:
    """Return *notebook* as it is before it is stopped. Raises CannotActError if it does not run."""
    if notebook.status != NOTEBOOK_IN_SERVICE:
        raise CannotActError(f"its status is {notebook.status} now")
    return {
        "status": notebook.status,
        "instance_type": notebook.instance_type,
        "lifecycle_config": notebook.lifecycle,
    }


def stop_notebook(aws: Aws, target: Target) -> None:
    """Stop it. A second try after a lost answer may find it off already, or gone: that is success."""
    ensure(
        lambda: aws.sagemaker.stop_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_notebook_off(aws, target),
        codes=(_REFUSED_CODE,),
    )


def is_notebook_off(aws: Aws, target: Target) -> bool:
    """Return whether *target* is off or gone; a new notebook of its name does not count. Raises ReadError."""
    notebook = describe_notebook(aws, target)
    return notebook is None or notebook.target.created != target.created or notebook.status in _OFF_STATUSES


def start_notebook(aws: Aws, target: Target) -> None:
    """
    Start it as it is now: later changes of its type or script were meant.

    Raises NotFinishedError while it is still stopping, and CannotActError if it is gone.
    """
    if is_notebook_on(aws, target):
        return
    ensure(
        lambda: aws.sagemaker.start_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_notebook_on(aws, target),
        codes=(_REFUSED_CODE,),
    )


def start_and_check(aws: Aws, target: Target, steps: Steps) -> None:
    """
    Start it in a recorded step, and check that AWS does.

    AWS sometimes forgets an accepted start (hashicorp/terraform-provider-aws asks again too).
    """
    steps.do("start", lambda: start_notebook(aws, target))
    if not is_notebook_on(aws, target):
        steps.forget("start")
        raise NotFinishedError("AWS has not begun to start it")


def is_notebook_on(aws: Aws, target: Target) -> bool:
    """Return whether *target* runs or is about to. Raises CannotActError if it cannot be started."""
    from botocore.exceptions import ClientError

    try:
        answer = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=target.name)
    except ClientError as error:
        refusal = error.response["Error"]
        if refusal["Code"] == _REFUSED_CODE and _GONE_MESSAGE in refusal.get("Message", ""):
            raise CannotActError("it was deleted since, and its volume with it") from error
        raise
    if answer["CreationTime"] != target.created:
        raise CannotActError("it was deleted since, and another notebook instance has its name now")
    status = answer["NotebookInstanceStatus"]
    if (why := _WAIT_REASONS.get(status)) is not None:
        raise NotFinishedError(why)
    if status == "Deleting":
        raise CannotActError("it is being deleted, and its volume with it")
    return status in _ON_STATUSES


# --- the rule -------------------------------------------------------------------------------------
#
# The detector of notebook instances that run on after their user went home.

# --- signs of work --------------------------------------------------------------------------------

_START_TIME = timedelta(hours=1)
"""Time before a notebook's last change at which its log may end: Jupyter runs before it is in service."""


class NotebookSign(NamedTuple):
    """One sign of work: its name and its time."""

    what: str
    at: datetime


def notebook_signs(notebook: Notebook, idle: Value[timedelta] | None) -> Iterator[NotebookSign]:
    """Yield every sign of work, the surest first: of two at one time the report names the first."""
    if isinstance(notebook.log, Value):
        yield NotebookSign("a line in its Jupyter log", notebook.log.value)
    if isinstance(notebook.busy, Value):
        yield NotebookSign("processor use", notebook.busy.value)
    if isinstance(notebook.opened, Value):
        yield NotebookSign(
            f"its opening by {notebook.opened.value.user or 'somebody'}", notebook.opened.value.at
        )
    if idle is not None and idle.at is not None:
        yield NotebookSign("activity in a kernel or terminal", idle.at - idle.value)
    yield NotebookSign("its start or last change", notebook.modified)


def why_notebook_unknown(notebook: Notebook, idle: Value[timedelta] | None) -> str | None:
    """Return why nobody can tell whether a notebook without a sign of work is idle, or None."""
    match notebook.log, notebook.idle:
        case Unreadable(error), _:
            return f"its Jupyter log could not be read ({error}), so it may be in use"
        case NotRead(), _:
            return "its Jupyter log was not read, so it may be in use"
        case _, Unreadable(error):
            return f"the idle time that it may publish could not be read ({error}), so it may be in use"
        case Absent(source), _ if idle is None:
            told = "it has no Jupyter log"
            if isinstance(notebook.log, activity.LogNotRead):
                told = f"its log is not read ({source}), nor does it publish its idle time"
            return f"{told}, so nothing shows whether anybody works in it"
        case Value(last), _ if idle is None and last < notebook.modified - _START_TIME:
            return (
                "nothing was written to its Jupyter log since its last start or change, not even by the "
                "start itself, so nothing shows whether anybody works in it"
            )
        case _:
            return _unread_use(notebook)


def _unread_use(notebook: Notebook) -> str | None:
    """Return which sign of use could not be read, or None."""
    for what, signal in (("its last opening", notebook.opened), ("processor use", notebook.busy)):
        if isinstance(signal, Unreadable):
            return f"{what} could not be read ({signal.error}), so it may be in use"
    if notebook.unread_openings is not None:
        return f"a newer opening may not have been read ({notebook.unread_openings}), so it may be in use"
    return None


def why_work_unseen(notebook: Notebook, idle: Value[timedelta] | None) -> str | None:
    """Return why a quiet notebook may work unseen, so that no clock stops it, or None."""
    if idle is None and isinstance(notebook.idle, Value):
        return "it no longer publishes its idle time, so it may work too hard for that"
    return None


class IdleCertainty(NamedTuple):
    """The confidence that an idle notebook does nothing, the reason, and what would prove it."""

    confidence: Confidence
    why: str
    to_prove: str = ""


def judge_certainty(notebook: Notebook, idle: Value[timedelta] | None) -> IdleCertainty:
    """
    Return the certainty. Only an idle time that the notebook published is
    proof: a kernel may compute silently.
    """
    if idle is None:
        return IdleCertainty(
            Confidence.LIKELY,
            "nothing shows use, but a kernel may compute without output",
            "let it publish its idle time (janitor docs notebook-activity)",
        )
    if any(isinstance(signal, NotRead) for signal in (notebook.opened, notebook.busy)):
        return IdleCertainty(
            Confidence.LIKELY,
            "it publishes that it is idle, but not every sign of use was read",
            "let CloudTrail and the agent's metrics be read",
        )
    return IdleCertainty(Confidence.PROVEN, "it publishes that no kernel or terminal works")


def notebook_evidence(notebook: Notebook, rule: str, now: datetime) -> Iterator[Evidence]:
    """Yield every signal of *notebook* as evidence; *rule* names the applied rule."""
    yield Evidence("status", notebook.status, source=notebook.source)
    yield Evidence("instance type", notebook.instance_type, source=notebook.source)
    yield Evidence("rule", rule)
    yield as_evidence("last line in the Jupyter log", notebook.log, format_iso)
    yield Evidence(
        "last start or change", format_iso(notebook.modified), source=notebook.source, at=notebook.modified
    )
    yield as_evidence(
        "last opening", notebook.opened, lambda event: f"{format_iso(event.at)} by {event.user}"
    )
    yield as_evidence("last processor use", notebook.busy, format_iso)
    yield as_evidence("idle time it published", notebook.idle, studio_apps.idle_time_text(notebook.idle, now))


def sign_text(sign: NotebookSign, now: datetime) -> str:
    """Return the sign and its age. Clocks differ, and a sweep takes a while: it may be newer than *now*."""
    if sign.at > now:
        return f"{sign.what} at {format_iso(sign.at)}, which is after this sweep began"
    return f"{sign.what} {format_age(now - sign.at)} ago"


# --- stops outside working hours ------------------------------------------------------------------

CLOSING_NOTICE = timedelta(hours=2)
"""Time before closing at which the owner is warned."""

_HOURS_OF_A_WEEK = 168

_NOTEBOOK_GLOB = re.compile(r"[A-Za-z0-9*?\[\]!-]+|arn:.+")
"""A glob over names of notebook instances, or over their ARNs."""


def check_stop_entries(entries: Iterable[str]) -> None:
    """Raise ValueError for the first of *entries* that is neither a tag nor a glob."""
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not (key.strip() and value.strip() if equals else _NOTEBOOK_GLOB.fullmatch(entry)):
            raise ValueError(
                f'stop_outside_hours: "{entry}" is neither a tag such as "schedule=office-hours" nor a glob '
                'over names such as "team-a-*"'
            )


def matches_stop_entries(entries: Iterable[str], target: Target) -> bool:
    """Return whether one of *entries*, tags ("key=glob") or globs over name or ARN, matches *target*."""
    known = target.tags.value if isinstance(target.tags, Value) else {}
    tags = {key.strip().lower(): value.strip().lower() for key, value in known.items()}

    def fits(entry: str) -> bool:
        key, equals, glob = entry.lower().partition("=")
        texts = [tags.get(key.strip())] if equals else [target.name.lower(), target.arn.lower()]
        return any(fnmatchcase(text, (glob if equals else key).strip()) for text in texts if text is not None)

    return any(map(fits, entries))


def closing_schedule(hours: WorkingHours, now: datetime) -> ActionSchedule | None:
    """
    Return the closing that matters *now*: the next in the last two working
    hours, after closing the last.
    """
    if hours.include(now):
        closing = hours.next_closing(now)
        if now < closing - CLOSING_NOTICE:
            return None
    else:
        closing = hours.last_closing(now)
    return ActionSchedule(closing=closing, due=closing, next_closing=hours.next_closing(max(now, closing)))


def outside_hours_cost(price: Price, hours: WorkingHours) -> Cost:
    """Return the cost of running outside working hours in a month."""
    if price.hourly_usd is None:
        return Cost.standing(None, price.source)
    open_ = len(hours.days) * (hours.end - hours.start)
    closed = Decimal(_HOURS_OF_A_WEEK - open_) / _HOURS_OF_A_WEEK
    return Cost(price.hourly_usd, price.hourly_usd * HOURS_PER_MONTH * closed, None, price.source)


# --- the detector ---------------------------------------------------------------------------------

_STOP_ACTION = "stop the notebook instance (its volume and files stay)"

_OUTSIDE_RULE = "outside working hours"
"""The name of the shorter rule in evidence and reasons; its findings get less time."""


class QuietAllowance(NamedTuple):
    """The time for which a notebook may be quiet, by which rule, and that in words."""

    span: timedelta
    rule: str
    words: str


@dataclass(frozen=True)
class IdleNotebooks(Detector[Notebook]):
    """
    Stops notebook instances that nobody works in any more.

    AWS publishes no activity metric for them, so the newest sign of work decides: a line in the
    Jupyter log, a start or change, an opening, processor use. A kernel may compute in silence:
    a finding is `proven` only where the notebook publishes its idle time itself.
    """

    name = "idle-notebooks"
    schedule = "rate(1 hour)"
    kinds = (NOTEBOOK.type,)
    cleanup = Cleanup(
        effect=Effect.STOP,
        grace=timedelta(days=1),
        act_on=Confidence.PROVEN,
        lost="what kernels held in memory, and files outside the volume",
    )
    always_reads = (
        allow("sagemaker:ListNotebookInstances"),
        allow("sagemaker:DescribeNotebookInstance", on="notebook-instance/*"),
        allow("sagemaker:ListTags", on="notebook-instance/*"),
        allow("tag:GetResources"),
        allow("logs:DescribeLogStreams", on=f"log-group:{NOTEBOOK_LOG_GROUP}:*"),
        allow("cloudtrail:LookupEvents"),
        allow("cloudwatch:ListMetrics"),
        allow("cloudwatch:GetMetricData"),
        allow("pricing:GetProducts"),
    )
    acts = (allow("sagemaker:StopNotebookInstance", on="notebook-instance/*"),)
    undoes = (
        allow("sagemaker:DescribeNotebookInstance", on="notebook-instance/*"),
        allow("sagemaker:StartNotebookInstance", on="notebook-instance/*"),
    )

    patience: timedelta = timedelta(hours=12)
    patience_outside_hours: timedelta = timedelta(hours=2)
    grace_outside_hours: Constant[timedelta] = timedelta(hours=1)
    stop_outside_hours: tuple[str, ...] = ()
    working_hours: WorkingHours = field(default_factory=WorkingHours)
    read_logs: bool = True

    def __post_init__(self) -> None:
        check_stop_entries(self.stop_outside_hours)

    @property
    def reads(self) -> tuple[Grant, ...]:
        """The permissions to read signs of work, among them the log if `read_logs` says so."""
        return with_log_grants(self.always_reads, NOTEBOOK_LOG_GROUP, read=self.read_logs)

    def find(self, aws: Aws, now: datetime) -> Iterator[Notebook]:
        listing = list_notebooks(aws)
        book = tags.read_tag_book(aws, "sagemaker:notebook-instance")
        found = [notebook.tagged(book.of(notebook.target.arn)) for notebook in listing.items]
        since = now - self.allowance(now).span
        quiet = [
            notebook
            for notebook in found
            if notebook.status == NOTEBOOK_IN_SERVICE and notebook.modified <= since
        ]
        active = activity.active_streams(aws, NOTEBOOK_LOG_GROUP, since) if quiet else Absent()
        written = active.value if isinstance(active, Value) else {}
        still_open = [notebook for notebook in quiet if written.get(notebook.stream, since) <= since]
        read = {
            notebook.target.arn: notebook
            for notebook in read_notebook_signs(aws, still_open, since, now, logs=self.read_logs)
        }
        for notebook in found:
            yield read.get(notebook.target.arn) or self._priced(aws, notebook.among(written))
        listing.check()

    def _priced(self, aws: Aws, notebook: Notebook) -> Notebook:
        """
        Return *notebook* with its price if the clock stops it, so that it
        may be found while it is used.
        """
        if notebook.status != NOTEBOOK_IN_SERVICE or not matches_stop_entries(
            self.stop_outside_hours, notebook.target
        ):
            return notebook
        return replace(notebook, price=aws.prices.hourly(aws.region, "Notebook", notebook.instance_type))

    def _stopped_outside_hours(self, notebook: Notebook) -> bool:
        return matches_stop_entries(self.stop_outside_hours, notebook.target)

    def look(self, aws: Aws, target: Target, now: datetime) -> Notebook | None:
        notebook = describe_notebook(aws, target)
        if notebook is None:
            return None
        notebook = notebook.tagged(tags.read_sagemaker_tags(aws, notebook.target.arn))
        if notebook.status != NOTEBOOK_IN_SERVICE:
            return notebook
        since = now - self.allowance(now).span
        return read_notebook_signs(aws, [notebook], since, now, logs=self.read_logs)[0]

    def decide(self, candidate: Notebook, now: datetime) -> Verdict:
        allowed = self.allowance(now)
        rule = Rule()
        rule.saw(*notebook_evidence(candidate, allowed.rule, now))
        if candidate.status != NOTEBOOK_IN_SERVICE:
            return rule.kept(f"its status is {candidate.status}, not {NOTEBOOK_IN_SERVICE}")
        rule.passed("it is InService")
        idle = studio_apps.fresh_idle_time(candidate.idle, now)
        last = max(notebook_signs(candidate, idle), key=lambda sign: sign.at)
        if self._stopped_outside_hours(candidate):
            verdict = self._scheduled(rule, candidate, last, now)
            if verdict is not None:
                return verdict
        if now - last.at < allowed.span:
            return rule.kept(f"the last sign of work was {sign_text(last, now)}; {allowed.words}")
        rule.passed(f"the last sign of work was {sign_text(last, now)}")
        if idle is not None and idle.value < allowed.span:
            return rule.kept(
                f"it says itself that it has been idle for only {format_age(idle.value)}; {allowed.words}"
            )
        if (why := why_notebook_unknown(candidate, idle)) is not None:
            return rule.unknown(why)
        sure = judge_certainty(candidate, idle)
        rule.passed(sure.why)
        if sure.to_prove:
            rule.saw(Evidence("what would prove it", sure.to_prove))
        says = (
            "" if idle is None else f"it says itself that it has been idle for {format_age(idle.value)}, and "
        )
        return rule.found(
            f"{says}the last sign of work was {sign_text(last, now)}; {allowed.words}",
            sure.confidence,
            action=_STOP_ACTION,
            cost=Cost.standing(candidate.price.hourly_usd, candidate.price.source),
            since=last.at,
            grace=self.grace_outside_hours if allowed.rule == _OUTSIDE_RULE else None,
            to_prove=sure.to_prove,
        )

    def _scheduled(
        self, rule: Rule, candidate: Notebook, last: NotebookSign, now: datetime
    ) -> Verdict | None:
        """
        Return the verdict on a notebook that stops outside working hours; None
        where the clock does not matter.

        In the last two working hours it is found whatever it does, so that somebody can keep it. After
        closing it stays found while it works, and is due once it is quiet.
        """
        plan = closing_schedule(self.working_hours, now)
        if plan is None:
            return None
        span, idle = self.allowance(now).span, studio_apps.fresh_idle_time(candidate.idle, now)
        quiet = now - last.at >= span
        if (
            quiet
            and (why := why_notebook_unknown(candidate, idle) or why_work_unseen(candidate, idle)) is not None
        ):
            return rule.unknown(why)
        if now >= plan.closing:
            missing = timedelta() if idle is None else max(timedelta(), span - idle.value)
            if quiet and not missing and judge_certainty(candidate, idle).confidence is Confidence.PROVEN:
                return None  # a certain finding, which needs no schedule
            plan = replace(plan, due=max(plan.due, last.at + span, now + missing if missing else plan.due))
        rule.passed("stop_outside_hours names it")
        patience = format_age(min(self.patience_outside_hours, self.patience))
        return rule.found(
            f"it is stopped outside working hours ({self.working_hours}) once it is quiet for {patience}; "
            f"the last sign of work was {sign_text(last, now)}",
            Confidence.LIKELY,
            action=_STOP_ACTION,
            cost=outside_hours_cost(candidate.price, self.working_hours),
            since=last.at if quiet else None,
            grace=self.grace_outside_hours,
            schedule=plan,
        )

    def prepare(self, aws: Aws, candidate: Notebook, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return prepare_stop(candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("stop", lambda: stop_notebook(aws, target))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return is_notebook_off(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        start_and_check(aws, target, steps)

    def allowance(self, now: datetime) -> QuietAllowance:
        """
        Return how long a notebook may be quiet at *now*: outside working
        hours, the shorter time counts.
        """
        if self.working_hours.include(now) or self.patience_outside_hours >= self.patience:
            return QuietAllowance(self.patience, "patience", f"{format_age(self.patience)} are allowed")
        holiday = ", and this is a holiday" if self.working_hours.holiday(now) else ""
        words = (
            f"{format_age(self.patience_outside_hours)} are allowed {_OUTSIDE_RULE} "
            f"({self.working_hours}{holiday})"
        )
        return QuietAllowance(self.patience_outside_hours, _OUTSIDE_RULE, words)
