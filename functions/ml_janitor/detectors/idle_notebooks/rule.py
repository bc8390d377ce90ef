"""The detector of notebook instances that run on after their user went home."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ml_janitor.aws import activity, studio_apps, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import NOTEBOOK
from ml_janitor.core.durations import WorkingHours, format_age
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    ActionSchedule,
    Confidence,
    Cost,
    Effect,
    Evidence,
    NotRead,
    Rule,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import format_iso
from ml_janitor.detectors.idle_notebooks import act
from ml_janitor.detectors.idle_notebooks.reading import (
    NOTEBOOK_IN_SERVICE,
    NOTEBOOK_LOG_GROUP,
    Notebook,
    describe_notebook,
    list_notebooks,
    read_notebook_signs,
)
from ml_janitor.engine.detector import Cleanup, Detector, Steps, allow

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
        case Absent(), _ if idle is None:
            return "it has no Jupyter log, so nothing shows whether anybody works in it"
        case Value(last), _ if idle is None and last < notebook.modified - _START_TIME:
            return (
                "nothing was written to its Jupyter log since its last start or change, not even by the "
                "start itself, so nothing shows whether anybody works in it"
            )
        case _:
            return None


def why_work_unseen(notebook: Notebook, idle: Value[timedelta] | None) -> str | None:
    """Return why a quiet notebook may work unseen, so that no clock stops it, or None."""
    for what, signal in (("its last opening", notebook.opened), ("processor use", notebook.busy)):
        if isinstance(signal, Unreadable):
            return f"{what} could not be read ({signal.error}), so it may be in use"
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
            "let it publish its idle time (docs/notebook-activity)",
        )
    if any(isinstance(signal, Unreadable | NotRead) for signal in (notebook.opened, notebook.busy)):
        return IdleCertainty(
            Confidence.LIKELY,
            "it publishes that it is idle, but not every sign of use could be read",
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
                f'stop_outside_hours: "{entry}" is no tag such as "schedule=office-hours", and no glob over '
                'names such as "team-a-*"'
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
    reads = (
        allow("sagemaker:ListNotebookInstances"),
        allow("sagemaker:DescribeNotebookInstance", on="notebook-instance/*"),
        allow("sagemaker:ListTags", on="notebook-instance/*"),
        allow("tag:GetResources"),
        allow("logs:DescribeLogStreams", on=f"log-group:{NOTEBOOK_LOG_GROUP}:*"),
        allow("logs:GetLogEvents", on=f"log-group:{NOTEBOOK_LOG_GROUP}:*"),
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
    grace_outside_hours: timedelta = timedelta(hours=1)
    stop_outside_hours: tuple[str, ...] = ()
    working_hours: WorkingHours = field(default_factory=WorkingHours)

    def __post_init__(self) -> None:
        check_stop_entries(self.stop_outside_hours)

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
            notebook.target.arn: notebook for notebook in read_notebook_signs(aws, still_open, since, now)
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
        return read_notebook_signs(aws, [notebook], now - self.allowance(now).span, now)[0]

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
        return act.prepare_stop(candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("stop", lambda: act.stop_notebook(aws, target))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return act.is_notebook_off(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act.start_and_check(aws, target, steps)

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
