"""The demo's notebook instances: some in use, most stopped, and a few forgotten with their meter running."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from zlib import crc32

from ml_janitor_sandbox.billing.charges import SAGEMAKER
from ml_janitor_sandbox.billing.meters import price_of
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION, Plan
from ml_janitor_sandbox.demo.rows import Ago, Row, load
from ml_janitor_sandbox.demo.times import NOW, SATURDAY, chance, workday
from ml_janitor_sandbox.demo.traffic import Series

DETECTOR = "idle-notebooks"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-notebooks"
LOG_GROUP = "/aws/sagemaker/NotebookInstances"

SITTING = timedelta(hours=2, minutes=40)
"""How long someone works at a stretch."""
MORNING = timedelta(hours=17)
"""When people start to work, after midnight UTC."""
PAST = timedelta(days=75)
"""How far back it is told when they worked."""
IDLE = ("MLJanitor/Notebooks", "IdleSeconds")
"""The namespace and the metric in which a notebook instance publishes its idle time."""
PERIOD = timedelta(minutes=5)
LATELY = timedelta(hours=1)
LINES = (
    "Kernel started: {kernel}",
    "Adapting from protocol version 5.3 (kernel {kernel}) to 5.4 (client).",
    "Saving file at /{name}.ipynb",
    "Saving file at /{name}.ipynb",
    "Kernel interrupted: {kernel}",
    "Saving file at /{name}-2.ipynb",
    "Saving file at /{name}-2.ipynb",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook(Row):
    """
    One notebook instance, made *age* days ago, *started* last then, and *stopped* since or not.

    Before it was started last it had been on for so many *hours* of each working day, and so only shows on
    the bill. A notebook that was neither started nor stopped is on since it was made.
    *worked* is the last line in its log, and *opened* the last time that someone asked for its URL
    (by default a few hours before). The log's index *lags* so many hours behind. A notebook that
    *publishes* its idle time has the start script of docs/notebook-activity.
    """

    resource: ClassVar[str] = "notebook-instance"

    instance: str
    age: float
    worked: Ago
    opened: Ago | None = None
    started: Ago | None = None
    stopped: Ago | None = None
    lags: int | None = None
    hours: float = 0
    publishes: bool = False

    @property
    def created(self) -> datetime:
        return workday(self.age, self.name)

    def plan(self, plan: Plan) -> None:
        by, name = self.creator, {"NotebookInstanceName": self.name}
        self.make(
            *(plan, self.created, "notebook_instance"),
            InstanceType=self.instance,
            RoleArn=ROLE,
            VolumeSizeInGB=50,
        )
        if (started := self._started_last()) is not None:
            first = min(self.created + SITTING, started)
            plan.call(first, by, "sagemaker.stop_notebook_instance", **name)
            plan.call(started, by, "sagemaker.start_notebook_instance", **name)
            self._sit(plan, first, started)
        opened = self.opened or self.worked - SITTING
        plan.note(opened, by, "CreatePresignedNotebookInstanceUrl", notebookInstanceName=self.name)
        if self.stopped is not None:
            plan.call(self.stopped, by, "sagemaker.stop_notebook_instance", **name)
        plan.write(LOG_GROUP, f"{self.name}/jupyter.log", self._log(), lags=self.lags)
        if self.publishes:
            plan.publish(
                *IDLE, {"NotebookInstanceName": self.name}, self.idle(self.worked, NOW - LATELY, NOW)
            )

    def _started_last(self) -> datetime | None:
        if self.started is None and self.stopped is not None:
            return self.worked - SITTING
        return self.started

    def _sit(self, plan: Plan, since: datetime, until: datetime) -> None:
        """Have it on for some hours of each working day between."""
        price, _ = price_of(f"Notebk:{self.instance}", REGION)
        about = {"service": SAGEMAKER, "hourly": 1, "price": price, "resource": self.arn, "tags": self.labels}
        day = max(since, NOW - PAST).replace(hour=0, minute=0, second=0, microsecond=0)
        while self.hours and (start := day + MORNING) < until:
            length = timedelta(hours=self.hours * (0.8 + 0.4 * chance("sitting", self.name, day)))
            if day.weekday() < SATURDAY and start > since:
                end = min(start + length, until)
                plan.charge(f"USE1-Notebk:{self.instance}", start, end, **about)
                for at, event in ((start, "StartNotebookInstance"), (end, "StopNotebookInstance")):
                    plan.note(at, self.creator, event, notebookInstanceName=self.name)
            day += timedelta(days=1)

    @staticmethod
    def idle(worked: datetime, since: datetime, until: datetime) -> Series:
        """Return for how many seconds nothing has worked on it, every five minutes after *since*."""
        first = max(worked, since) + PERIOD
        times = [first + number * PERIOD for number in range((until - first) // PERIOD + 1)]
        return Series(first, PERIOD, tuple((at - worked).total_seconds() for at in times))

    def _log(self) -> Iterator[tuple[datetime, str]]:
        """List the lines that Jupyter wrote while someone worked there last, and the day before."""
        kernel = f"{crc32(self.name.encode()):08x}-5d1c-4c0e-9a57-61c0e8a1b2f3"
        for last in (self.worked - timedelta(days=1), self.worked):
            for number, line in enumerate(LINES, 1):
                at = last - SITTING * (1 - number / len(LINES))
                text = line.format(kernel=kernel, name=self.name)
                yield at, f"[I {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} ServerApp] {text}"


NOTEBOOKS = load("notebooks.toml", Notebook)
