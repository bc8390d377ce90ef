"""
The days after the demo's now: who works goes on working, goes home, and finishes; what is waste stays it.

Without this, everything would look idle as soon as the clock moves. Machines and shoppers repeat what they
did, people end their notebooks and apps on the first evening, and jobs that make progress end in the night.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.demo import TABLES, history, jobs, notebooks, studio
from ml_janitor_sandbox.demo.jobs import Job, ProcessingJob, TransformJob, TuningJob
from ml_janitor_sandbox.demo.notebooks import IDLE, LOG_GROUP, Notebook
from ml_janitor_sandbox.demo.plan import Actor
from ml_janitor_sandbox.demo.studio import App
from ml_janitor_sandbox.demo.times import NOW

EVENING = NOW + timedelta(minutes=40)
"""When people end what they are done with."""
MORNING = NOW + timedelta(hours=11)
"""By when the jobs that make progress have ended."""

POOL_ENDS = NOW + timedelta(hours=4, minutes=20)
"""When the one warm pool has waited long enough."""

HOURS_OF_A_WEEK = 168
HOUR = timedelta(hours=1)
TWO_HOURS = timedelta(hours=2)

BACKFILL = "feature-store-backfill"
"""The one notebook that works on, day and night."""
SWITCHED_ON = "account-risk"
"""The endpoint that waits to be switched on, which happens on the second day."""


@dataclass
class Days:
    """The demo account at *url* from its now on; `until` lives as far as some time."""

    url: str
    lived: datetime = NOW

    def until(self, moment: datetime) -> None:
        """Let happen what people and machines do until *moment*, which the clock shows afterwards."""
        control, before = Control(self.url), self.lived
        for at, happens in ((EVENING, self._go_home), (POOL_ENDS, self._cool), (MORNING, self._finish)):
            if before < at <= moment:
                control.set_clock(at)
                happens(control)
        control.set_clock(moment)
        for namespace, series in history().series.items():
            control.metrics(
                namespace, [more for metric in series for more in _continued(metric, before, moment)]
            )
        for stream in history().streams:
            if lines := list(_more(stream.events, before, moment, works_on=BACKFILL in stream.name)):
                control.logs(stream.group, stream.name, lines, lag_hours=stream.lags)
        self._note_activity(control, before, moment)
        self._check_health(control, moment)
        self.lived = moment

    def _go_home(self, control: Control) -> None:
        """Stop people's notebooks and delete their apps; Studio's own shutdown sees to one."""
        actor = Actor(self.url)
        with control.at_once():
            for row in _at_work():
                match row:
                    case Notebook(stopped=None) if not _kept(row) and row.name != BACKFILL:
                        actor.call(
                            row.creator, "sagemaker", "stop_notebook_instance", NotebookInstanceName=row.name
                        )
                    case App(deleted=None) if row.app != "JupyterServer":
                        actor.call(row.creator, "sagemaker", "delete_app", **row.identity)

    def _finish(self, control: Control) -> None:
        """End the jobs that make progress."""
        for row in _at_work():
            if (ended := _completed(row)) is not None:
                shelf, members = ended
                control.patch("sagemaker", [shelf, row.name], **members)

    def _cool(self, control: Control) -> None:
        """Terminate the warm pool: it has waited for as long as it was asked to."""
        for row in TABLES[jobs.DETECTOR]:
            if isinstance(row, Job) and row.warm is not None:
                control.patch(
                    "sagemaker", ["training_jobs", row.name], WarmPoolStatus={"Status": "Terminated"}
                )

    def _note_activity(self, control: Control, since: datetime, until: datetime) -> None:
        """
        Log that Jupyter runs, wherever a notebook instance was started.

        Notebooks with the start script publish their idle time.
        """
        listed = Actor(self.url).call(
            "", "sagemaker", "list_notebook_instances", MaxResults=100, StatusEquals="InService"
        )
        running = {
            notebook["NotebookInstanceName"]: notebook["LastModifiedTime"]
            for notebook in listed["NotebookInstances"]
        }
        for name, at in running.items():
            if since <= at <= until:
                line = f"[I {at:%Y-%m-%d %H:%M:%S}.000 ServerApp] Jupyter Server is running"
                control.logs(LOG_GROUP, f"{name}/jupyter.log", [(at, line)])
        for row in TABLES[notebooks.DETECTOR]:
            if isinstance(row, Notebook) and row.publishes and row.name in running:
                worked = max(row.worked, running[row.name])
                series = row.idle(worked, max(since, until - TWO_HOURS), until)
                about = {"metric": IDLE[1], "dimensions": {"NotebookInstanceName": row.name}}
                points = {"start": series.start, "step": series.step.total_seconds(), "values": series.values}
                if series.values:
                    control.metrics(IDLE[0], [about | points])

    def _check_health(self, control: Control, moment: datetime) -> None:
        """Record SageMaker's check of every app, which it mostly takes for its user."""
        for row in TABLES[studio.DETECTOR]:
            if isinstance(row, App) and row.deleted is None and row.app != "Canvas" and not row.in_use:
                checked = moment - timedelta(minutes=2)
                seen = row.active or checked
                times: dict[str, Any] = {
                    "LastHealthCheckTimestamp": checked,
                    "LastUserActivityTimestamp": seen,
                }
                with suppress(SandboxError):  # it is deleted, and forgotten
                    control.patch("sagemaker", ["apps", row.path], **times)


def _completed(row: Any) -> tuple[str, dict[str, Any]] | None:
    """Return where the sandbox keeps a job that goes on, and what changes when it is over."""
    match row:
        case ProcessingJob(ended=None):
            return "processing_jobs", {
                "ProcessingJobStatus": "Completed",
                "ProcessingEndTime": MORNING,
                "LastModifiedTime": MORNING,
            }
        case Job(ended=None):
            return "training_jobs", {
                "TrainingJobStatus": "Completed",
                "SecondaryStatus": "Completed",
                "TrainingEndTime": MORNING,
                "ModelArtifacts": row.artifact,
                "LastModifiedTime": MORNING,
            }
        case TransformJob():
            return "transform_jobs", {"TransformJobStatus": "Completed", "TransformEndTime": MORNING}
        case TuningJob():
            return "hyper_parameter_tuning_jobs", {
                "HyperParameterTuningJobStatus": "Completed",
                "HyperParameterTuningEndTime": MORNING,
                "LastModifiedTime": MORNING,
            }
    return None


def _at_work() -> Iterator[Any]:
    """List the resources that are somebody's and in use: neither waste nor impossible to judge."""
    for table in TABLES.values():
        yield from (row for row in table if row.in_use)


def _kept(row: Notebook) -> bool:
    """Tell whether its owner asked for it to be kept, and so leaves it on."""
    return any("keep" in key for key in row.also)


def _continued(series: Mapping[str, Any], since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """Continue a metric that was published until now from *since* on, with the same values again."""
    step = timedelta(seconds=series["step"])
    values: Sequence[float] = series["values"]
    ended = series["start"] + step * len(values)
    if not values or ended < NOW - HOUR or series["metric"] == IDLE[1]:
        return
    skipped = max(0, -((since - ended) // -step))
    count = max(0, -((until - ended) // -step)) - skipped
    period = HOURS_OF_A_WEEK if step == HOUR else TWO_HOURS // step
    recent = values[-period:]
    if series["metric"] == "TimeSinceLastActive":
        more = [values[-1] + (skipped + n + 1) * step.total_seconds() for n in range(count)]
    else:
        more = [recent[(skipped + n) % len(recent)] for n in range(count)]
    if series["dimensions"].get("EndpointName") == SWITCHED_ON and series["metric"] == "Invocations":
        begins = NOW + timedelta(days=1)
        more = [900.0 if ended + step * (skipped + n) >= begins else quiet for n, quiet in enumerate(more)]
    again: dict[str, Any] = {}
    if isinstance(each := series.get("samples"), list):
        again = {"samples": [each[-period:][(skipped + n) % len(recent)] for n in range(count)]}
    if more:
        yield dict(series) | {"start": ended + step * skipped, "values": more} | again


def _more(
    lines: Sequence[tuple[datetime, str]], since: datetime, until: datetime, *, works_on: bool
) -> Iterator[tuple[datetime, str]]:
    """Continue a log that was written to until now from *since* on, at its own pace."""
    if len(lines) < 2 or lines[-1][0] < NOW - HOUR:
        return
    end = until if works_on else min(until, MORNING)
    (before, _), (last, text) = lines[-2:]
    pace = max(last - before, timedelta(minutes=1)) if not works_on else timedelta(minutes=20)
    at = last + pace * max(1, -((since - last) // -pace))
    while at < end:
        yield at, text
        at += pace
