"""Notebook instances that run on after their user went home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ml_janitor.aws import idle_time, logs, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import NOTEBOOK
from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import WorkingHours, format_age
from ml_janitor.core.model import Confidence, Effect, Rule, Target, Verdict
from ml_janitor.core.signals import Absent, Evidence, Value
from ml_janitor.detectors.idle_notebooks import notebook as notebooks
from ml_janitor.detectors.idle_notebooks import outside_hours, power
from ml_janitor.detectors.idle_notebooks.notebook import NOTEBOOK_IN_SERVICE, Notebook
from ml_janitor.detectors.idle_notebooks.signs import (
    NotebookSign,
    judge_certainty,
    notebook_evidence,
    notebook_signs,
    sign_text,
    why_notebook_unknown,
    why_work_unseen,
)
from ml_janitor.engine.detector import Cleanup, Detector, Steps, allow

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
        allow("logs:DescribeLogStreams", on=f"log-group:{notebooks.NOTEBOOK_LOG_GROUP}:*"),
        allow("logs:GetLogEvents", on=f"log-group:{notebooks.NOTEBOOK_LOG_GROUP}:*"),
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
        outside_hours.check_stop_entries(self.stop_outside_hours)

    def find(self, aws: Aws, now: datetime) -> Iterator[Notebook]:
        listing = notebooks.list_notebooks(aws)
        book = tags.read_tag_book(aws, "sagemaker:notebook-instance")
        found = [notebook.tagged(book.of(notebook.target.arn)) for notebook in listing.items]
        since = now - self.allowance(now).span
        quiet = [
            notebook
            for notebook in found
            if notebook.status == NOTEBOOK_IN_SERVICE and notebook.modified <= since
        ]
        active = logs.active_streams(aws, notebooks.NOTEBOOK_LOG_GROUP, since) if quiet else Absent()
        written = active.value if isinstance(active, Value) else {}
        still_open = [notebook for notebook in quiet if written.get(notebook.stream, since) <= since]
        read = {
            notebook.target.arn: notebook
            for notebook in notebooks.read_notebook_signs(aws, still_open, since, now)
        }
        for notebook in found:
            yield read.get(notebook.target.arn) or self._priced(aws, notebook.among(written))
        listing.check()

    def _priced(self, aws: Aws, notebook: Notebook) -> Notebook:
        """
        Return *notebook* with its price if the clock stops it, so that it
        may be found while it is used.
        """
        if notebook.status != NOTEBOOK_IN_SERVICE or not outside_hours.matches_stop_entries(
            self.stop_outside_hours, notebook.target
        ):
            return notebook
        return replace(notebook, price=aws.prices.hourly(aws.region, "Notebook", notebook.instance_type))

    def _stopped_outside_hours(self, notebook: Notebook) -> bool:
        return outside_hours.matches_stop_entries(self.stop_outside_hours, notebook.target)

    def look(self, aws: Aws, target: Target, now: datetime) -> Notebook | None:
        notebook = notebooks.describe_notebook(aws, target)
        if notebook is None:
            return None
        notebook = notebook.tagged(tags.read_sagemaker_tags(aws, notebook.target.arn))
        if notebook.status != NOTEBOOK_IN_SERVICE:
            return notebook
        return notebooks.read_notebook_signs(aws, [notebook], now - self.allowance(now).span, now)[0]

    def decide(self, candidate: Notebook, now: datetime) -> Verdict:
        allowed = self.allowance(now)
        rule = Rule()
        rule.saw(*notebook_evidence(candidate, allowed.rule, now))
        if candidate.status != NOTEBOOK_IN_SERVICE:
            return rule.kept(f"its status is {candidate.status}, not {NOTEBOOK_IN_SERVICE}")
        rule.passed("it is InService")
        idle = idle_time.fresh_idle_time(candidate.idle, now)
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
        plan = outside_hours.closing_schedule(self.working_hours, now)
        if plan is None:
            return None
        span, idle = self.allowance(now).span, idle_time.fresh_idle_time(candidate.idle, now)
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
            cost=outside_hours.outside_hours_cost(candidate.price, self.working_hours),
            since=last.at if quiet else None,
            grace=self.grace_outside_hours,
            schedule=plan,
        )

    def prepare(self, aws: Aws, candidate: Notebook, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return power.prepare_stop(candidate)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        steps.do("stop", lambda: power.stop_notebook(aws, target))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return power.is_notebook_off(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        power.start_and_check(aws, target, steps)

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
