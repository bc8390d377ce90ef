"""The signs that somebody works in a notebook instance, and their evidence in a report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from ml_janitor.aws import idle_time
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Confidence
from ml_janitor.core.signals import Absent, Evidence, NotRead, Unreadable, Value, as_evidence
from ml_janitor.core.text import format_iso
from ml_janitor.detectors.idle_notebooks.notebook import Notebook

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
    yield as_evidence("idle time it published", notebook.idle, idle_time.idle_time_text(notebook.idle, now))


def sign_text(sign: NotebookSign, now: datetime) -> str:
    """Return the sign and its age. Clocks differ, and a sweep takes a while: it may be newer than *now*."""
    if sign.at > now:
        return f"{sign.what} at {format_iso(sign.at)}, which is after this sweep began"
    return f"{sign.what} {format_age(now - sign.at)} ago"
