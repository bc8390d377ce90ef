"""The one recorder of permissions: what each role is asked for in a play, and what each statement is for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from declared import Permission, Use, granted_by, listed, statements, used, without
from hosted import Ran, Roles

IN_LAMBDAS_HANDS = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}
"""What Lambda does, not the function, which never learns that its log or its failure was not kept."""


class Stage(Protocol):
    """An account in which functions, or a person, do something under roles."""

    def roles(self) -> Roles: ...
    def role_of(self, name: str) -> str: ...
    def enforce(self, roles: Roles | None = None) -> None: ...
    def run(self, name: str, asked: Any) -> Ran: ...


def nothing(_: Any) -> None:
    """What has to be arranged, mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    The function of a name is invoked with an *event*, once things were *arranged*.

    *event* is asked for anew each time, so that no two invocations are one event come twice.
    """

    function: str
    event: Callable[[Any], Any]
    arranged: Callable[[Any], object] = nothing

    def run(self, stage: Stage) -> Ran:
        return stage.run(self.function, self.event(stage))


type Recording = list[tuple[Step, Ran]]


class Missed(NamedTuple):
    """What became of a step whose *role* lacked a *statement*, and what is recorded of the *complete* one."""

    function: str
    role: str
    statement: dict[str, Any]
    ran: Ran
    complete: Ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What the role that a play calls *name* is asked for: all of *needs*, and *also* some of what others need.

    Each statement for what is *sought* is missed; that is all that it needs, unless it says less. One that
    is *merged* of several grants may allow a thing twice.
    """

    name: str
    role: str
    needs: set[Permission]
    also: set[Permission] = field(default_factory=set)
    sought: set[Permission] | None = None
    merged: bool = False

    def concerns(self, statement: Mapping[str, Any]) -> bool:
        sought = self.needs if self.sought is None else self.sought
        return statement["Effect"] == "Allow" and bool(granted_by(statement) & sought)


class Scenario[S: Stage](Protocol):
    """What happens in an account with *waste*, and what roles need for it; *idle* is used by none of it."""

    @property
    def waste(self) -> Iterable[str]: ...
    @property
    def idle(self) -> frozenset[tuple[str, str]]: ...
    def steps(self, stage: S) -> Iterable[Step]: ...
    def wanted(self, stage: S, recording: Recording) -> list[Wanted]: ...
    def check(self, stage: S, recording: Recording) -> None: ...
    def heard(self, stage: S, one: Missed) -> bool: ...


def record(stage: Stage, steps: Iterable[Step]) -> Recording:
    """All of it, under the roles of the stage."""
    stage.enforce()
    recording = []
    for step in steps:
        step.arranged(stage)
        recording.append((step, step.run(stage)))
    return recording


def runs_of(recording: Recording, name: str) -> list[Ran]:
    return [ran for step, ran in recording if step.function == name]


def uses_of(stage: Stage, step: Step, ran: Ran, role: str) -> Iterable[Use]:
    """What a role asked for, whether it is the function's own or one that it took on."""
    return ran.uses if stage.role_of(step.function) == role else ran.elsewhere.get(role, ())


def idle(stage: Stage, recording: Recording, of: Iterable[Wanted]) -> set[tuple[str, str]]:
    """What the roles need and did not use, by name and action; each use was by one permission."""
    unused = set()
    for wanted in of:
        role = stage.roles()[wanted.role]
        uses = {use for step, ran in recording for use in uses_of(stage, step, ran, wanted.role)}
        by = {use: used(role, use) for use in uses}
        several = {
            use for use, found in by.items() if len(use.by) != 1 or (len(found) != 1 and not wanted.merged)
        }
        assert several == set()
        found = {one for each in by.values() for one in each}
        assert found - wanted.needs - wanted.also == set()
        unused |= {(wanted.name, one.action) for one in wanted.needs - found}
    return unused


def missed(stage: Stage, recording: Recording, of: Iterable[Wanted]) -> Iterator[Missed]:
    """
    The same again, where roles lack those statements that are sought *of* them, one after the other.

    Each is taken away for the step in which it was first used, those of one step in the order of their
    first use: so everything before it has been done, and what needs it has not. A run may survive such a
    lack, and leave nothing to do for the next: that one is taken away for the next step that used it. What
    comes after the last of them is left out.
    """
    roles, used_at = stage.roles(), steps_of(stage, recording, of)
    for at, (step, complete) in enumerate(recording):
        if not used_at:
            break
        stage.enforce(roles)
        step.arranged(stage)
        for (role, number), steps in list(used_at.items()):
            if at not in steps:
                continue
            statement = statements(roles[role])[number]
            stage.enforce({**roles, role: without(roles[role], statement)})
            ran = step.run(stage)
            if ran.denied or at == steps[-1]:
                del used_at[role, number]
                yield Missed(step.function, role, statement, ran, complete)
        if used_at:
            stage.enforce(roles)
            step.run(stage)


def steps_of(stage: Stage, recording: Recording, of: Iterable[Wanted]) -> dict[tuple[str, int], list[int]]:
    """The steps in which each statement was used, by role and number, in the order of first use."""
    found: dict[tuple[str, int], list[int]] = {}
    for at, (step, ran) in enumerate(recording):
        for wanted in of:
            numbered = statements(stage.roles()[wanted.role])
            for number in (number for use in uses_of(stage, step, ran, wanted.role) for number in use.by):
                if wanted.concerns(numbered[number]):
                    steps = found.setdefault((wanted.role, number), [])
                    steps += [] if at in steps else [at]
    return found


def check_missed[S: Stage](stage: S, scenario: Scenario[S], recording: Recording) -> None:
    """Each statement that is sought is taken away once: its calls are denied, and somebody hears of that."""
    of, seen = scenario.wanted(stage, recording), []
    for one in missed(stage, recording, of):
        actions = set(listed(one.statement["Action"]))
        assert one.ran.denied, f"nothing needs {one.statement}"
        assert {action for action, _ in one.ran.denied} <= actions
        heard = scenario.heard(stage, one)
        assert heard or actions <= IN_LAMBDAS_HANDS, f"nobody hears of {one.ran.denied}: {one.ran}"
        seen.append((one.role, one.statement))
    sought = [
        (each.role, one) for each in of for one in statements(stage.roles()[each.role]) if each.concerns(one)
    ]
    assert sought
    assert [one for one in sought if one not in seen] == []
