"""Changes that take time on AWS, and here too, on the clock here: nothing waits for real time.

A change that AWS makes in minutes is put on the agenda of its account and region, and is made when the
clock has passed its moment, which is also the time it is stamped with. Until then the resource is
Creating, Stopping, Deleting, as AWS shows it.
"""

import datetime as dt
from collections.abc import Callable, Mapping

from moto_corrections import clock, state
from moto_corrections.sagemaker.store import Resource, SageMakerStore, Step
from moto_corrections.state import Place

DEFAULTS: dict[str, float] = {
    "app.create": 120,
    "app.delete": 60,
    "component.create": 240,
    "component.delete": 60,
    "component.update": 180,
    "endpoint.create": 300,
    "endpoint.delete": 30,
    "endpoint.update": 360,
    "monitoring.create": 60,
    "notebook.create": 240,
    "notebook.delete": 60,
    "notebook.start": 180,
    "notebook.stop": 90,
    "notebook.update": 30,
    "processing.stop": 60,
    "recommendation.create": 2700,
    "search.index": 0,
    "stack.change": 0,
    "training.capacity": 1800,
    "training.stop": 120,
    "transform.stop": 60,
    "tuning.stop": 180,
}
"""
Seconds. AWS promises none of them: they are of the size that its users report. Only StopTrainingJob's
documentation names a number, the 120 seconds that a container has to save its work. "training.capacity" is
how long a job waits for spot capacity after an interruption: users report 28 to 58 minutes. "search.index"
is how long Search does not know yet what was created; AWS says nothing about it. "stack.change" is how long
CloudFormation shows a stack in progress, whose resources are there at once. A plain kind adds its own.
"""

ALL = "*"


class Durations:
    """The durations of changes, until the next reset."""

    def __init__(self) -> None:
        self.seconds = dict(DEFAULTS)

    def set(self, given: Mapping[str, float]) -> None:
        """Change some, or with `*` all; ValueError for a name that there is not, or a time below zero."""
        if unknown := set(given) - set(DEFAULTS) - {ALL}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(DEFAULTS)}, {ALL}")
        if wrong := [
            name
            for name, seconds in given.items()
            if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf")
        ]:
            raise ValueError(f"not a number of seconds: {', '.join(wrong)}")
        if ALL in given:
            self.seconds = dict.fromkeys(DEFAULTS, given[ALL])
        self.seconds |= {name: seconds for name, seconds in given.items() if name != ALL}


def durations() -> Durations:
    """Return the durations that hold everywhere."""
    return state.at(Durations, "", "")


def becomes(where: Place, resource: Resource, what: str, then: str, *, now: str = "") -> None:
    """Give a resource the status *then* when the time that *what* takes is over; meanwhile *now*."""

    def change(resource: Resource, at: dt.datetime) -> None:
        resource.members.update({resource.kind.status_member: then, "LastModifiedTime": at})

    if now:
        resource.touch(**{resource.kind.status_member: now})
    later(where, resource, takes(what), change)


def vanishes(where: Place, resource: Resource, what: str, *, now: str = "Deleting") -> None:
    """Remove a resource when the time that *what* takes is over; meanwhile its status is *now*."""
    resource.touch(**{resource.kind.status_member: now})

    def change(resource: Resource, _: dt.datetime) -> None:
        stored = state.of(SageMakerStore, where).of(resource.kind)
        if stored.get(resource.name) is resource:
            del stored[resource.name]

    later(where, resource, takes(what), change)


def takes(what: str) -> dt.timedelta:
    """Return the duration of a change."""
    return dt.timedelta(seconds=durations().seconds[what])


def later(
    where: Place,
    resource: Resource,
    after: dt.timedelta,
    change: Callable[[Resource, dt.datetime], None],
    *,
    since: dt.datetime | None = None,
) -> None:
    """Put a change on the agenda, in the place of what was to happen to this resource."""
    at = (since or clock.now()) + after
    resource.coming = step = Step(at=at, resource=resource, change=change)
    store = state.of(SageMakerStore, where)
    store.plan(step)
    store.advance()
