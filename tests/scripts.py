"""What happens to a deployment, step by step, and what each statement of a role is needed for on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conftest import ACCOUNT, REGION
from declared import statements, without
from hosted import Host, Ran
from ml_janitor.ledger.actions import ACTION, Actions
from ml_janitor.ledger.table import partition
from ml_janitor_sandbox.control import Control


def nothing(_: Host) -> None:
    """What has to be arranged, mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    The function of a name is invoked with an *event*, once things were *arranged*.

    *event* is asked for anew each time, so that no two invocations are one event come twice.
    """

    function: str
    event: Callable[[Host], dict[str, Any]]
    arranged: Callable[[Host], None] = nothing

    def run(self, host: Host) -> Ran:
        """One invocation."""
        return host.invoke(host.function(self.function), self.event(host))


def handed(construct: str) -> Callable[[Host], dict[str, Any]]:
    """The event that the function of *construct* was handed last."""

    def last(host: Host) -> dict[str, Any]:
        made = Control(host.url).invocations()
        (event, *_) = [one["event"] for one in reversed(made) if f"-{construct}Function" in one["function"]]
        return dict(event)

    return last


def play(host: Host, steps: Sequence[Step]) -> list[Ran]:
    """All of it, under the roles of the stack."""
    host.enforce()
    played = []
    for step in steps:
        step.arranged(host)
        played.append(step.run(host))
        forgive(host)
    return played


def missed(
    host: Host,
    steps: Sequence[Step],
    played: Sequence[Ran],
    name: str,
    asked_about: Callable[[Mapping[str, Any]], bool],
) -> Iterator[tuple[dict[str, Any], Ran]]:
    """
    The same again, where the function of *name* lacks one statement after the other.

    Each is taken away for the step in which it was first used when it was *played*, those of one step in
    the order of their first use: so everything before it has been done, and what needs it has not. What
    comes after the last of them is left out.
    """
    role, roles = host.function(name).role, host.deployed.roles()
    numbered, first = statements(roles[role]), first_uses(steps, played, name)
    first = {number: place for number, place in first.items() if asked_about(numbered[number])}
    for at, step in enumerate(steps[: max(first.values(), default=-1) + 1]):
        host.enforce(roles)
        step.arranged(host)
        for number in (number for number, place in first.items() if place == at):
            host.enforce(roles | {role: without(roles[role], numbered[number])})
            yield numbered[number], step.run(host)
            forgive(host)
        if at < max(first.values()):
            host.enforce(roles)
            step.run(host)
            forgive(host)


def first_uses(steps: Sequence[Step], played: Sequence[Ran], name: str) -> dict[int, int]:
    """The step in which each statement of the role was first used, by its number, in the order of use."""
    first: dict[int, int] = {}
    for at, (step, ran) in enumerate(zip(steps, played, strict=True)):
        if step.function == name:
            for use in ran.uses:
                for number in use.by:
                    first.setdefault(number, at)
    return first


def forgive(host: Host) -> None:
    """Let no action have failed so often that a person would have to look first."""
    table = host.table
    for detector in host.declared.settings.armed():
        where = partition(ACTION, detector.name, ACCOUNT, REGION)
        for action in Actions(table).all(detector.name, ACCOUNT, REGION):
            if action.failures:
                table.change(where, action.sk, set_to={"waits": action.attempts})
