"""Warm pools: the instances of a training job that wait for a next one, and are billed for it.

Developer guide, "SageMaker AI-managed warm pools": the pool is in use while its job runs, available for
its keep-alive period afterwards (also when the job was stopped), and terminated then, or as soon as
UpdateTrainingJob sets the period to zero.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from ml_janitor_sandbox import clock, progress
from ml_janitor_sandbox.patches import Call
from ml_janitor_sandbox.shelves import Resource

PERIOD = "KeepAlivePeriodInSeconds"
BILLED = "ResourceRetainedBillableTimeInSeconds"


def of_new(call: Call) -> dict[str, Any]:
    """What a job that was just created is described with."""
    asked = (call.params.get("ResourceConfig") or {}).get(PERIOD)
    return {"WarmPoolStatus": {"Status": "InUse"}} if asked else {}


def status(job: Resource) -> str | None:
    """How the pool of a job is; None if it never asked for one."""
    pool: dict[str, str] = job.members.get("WarmPoolStatus") or {}
    return pool.get("Status")


def retain(call: Call, job: Resource, ended: dt.datetime) -> None:
    """The job has ended: its instances wait from then on, if it asked for that."""
    period = job.members.get("ResourceConfig", {}).get(PERIOD)
    if not period:
        if status(job):
            job.members["WarmPoolStatus"] = {"Status": "Terminated"}
        return
    job.members["WarmPoolStatus"] = {"Status": "Available"}
    _end_after(call, job, ended, period)


def keep_alive(call: Call, job: Resource) -> None:
    """The period has changed, and counts from the end of the job."""
    if status(job) != "Available":
        return
    ended = job.members.get("TrainingEndTime") or clock.now()
    over = ended + dt.timedelta(seconds=job.members["ResourceConfig"][PERIOD])
    _end_after(call, job, ended, (max(over, clock.now()) - ended).total_seconds())


def _end_after(call: Call, job: Resource, ended: dt.datetime, seconds: float) -> None:
    def terminated(one: Resource, at: dt.datetime) -> None:
        billed = int((at - ended).total_seconds())
        one.members.update(WarmPoolStatus={"Status": "Terminated", BILLED: billed}, LastModifiedTime=at)

    progress.later(call, job, dt.timedelta(seconds=seconds), terminated, since=ended)
