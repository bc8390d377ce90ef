"""The script of the three nights and the days between: when each function runs, and who presses what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ml_janitor.core.results import Outcome, Sweep
from ml_janitor.report.warnings import BUTTON_LABELS, Button
from ml_janitor_sandbox.demo.plan import Actor
from ml_janitor_sandbox.night.deployment import Deployment

ZONE = ZoneInfo("America/Los_Angeles")
GROUP = "S0PLATFORM"
SECOND = timedelta(seconds=1)

DANIEL, HANA, RAVI, TOMAS = "daniel.okafor", "hana.sato", "ravi.menon", "tomas.herrera"
OWNERS = (
    *(DANIEL, HANA, RAVI, TOMAS),
    *("elena.rossi", "jonas.becker", "lucas.moreau", "marta.kowalska", "mei-ling.zhou", "noah.williams"),
    *("omar.haddad", "priya.raman", "sofia.lindgren", "yuki.tanaka"),
)
"""The people in the owner tags. There are also teams, which get no direct messages."""

PEOPLE = {person: person.replace(".", " ").title() for person in OWNERS}

ENDPOINTS, NOTEBOOKS, APPS = "idle-endpoints", "idle-notebooks", "idle-studio-apps"
JOBS, TAGS, COPIES = "hung-training-jobs", "untagged-resources", "duplicate-artifacts"
LEFTOVERS, TIERING = "forgotten-leftovers", "storage-tiering"
ALL = (ENDPOINTS, NOTEBOOKS, APPS, JOBS, TAGS, COPIES, LEFTOVERS, TIERING)
NIGHTLY = (ENDPOINTS, COPIES)
SOMETHING = frozenset({Outcome.ACTED, Outcome.FAILED, Outcome.WARNED})


@dataclass(frozen=True, slots=True)
class Night:
    """The heading of what follows."""

    title: str


@dataclass(frozen=True, slots=True)
class Swept:
    """A run of a detector's function."""

    at: datetime
    sweep: Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """Somebody's press of a button, or word at a terminal; *refused* is why nothing came of it."""

    at: datetime
    who: str
    word: str
    what: str
    then: Sequence[str] = ()
    refused: str = ""
    sweeps: tuple[Sweep, ...] = ()


@dataclass(frozen=True, slots=True)
class Digest:
    """The text of the digest, a line for each of its paragraphs."""

    at: datetime
    lines: tuple[str, ...]


type Happening = Night | Swept | Pressed | Digest


def local(day: int, clock: str) -> datetime:
    """Return a time in October 2026 where the company works."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 10, day, hour, minute, tzinfo=ZONE)


@dataclass(frozen=True, slots=True)
class Script:
    """The nights, carried out with *deployment*; they yield what happens as it does."""

    deployment: Deployment

    def prepare(self) -> None:
        """Let all owners join Slack, and one of them the group."""
        slack = self.deployment.slack
        for person, name in PEOPLE.items():
            slack.add_user(user(person), f"{person}@example.com", name=name)
        slack.add_usergroup(GROUP, "ml-platform", user(DANIEL))

    def nights(self) -> Iterator[Happening]:
        yield Night("Monday night")
        yield from self._swept(5, "20:00", ALL)
        yield self._used(5, "21:20", HANA, "elasticity-simulation")
        yield from self._swept(5, "22:00", (NOTEBOOKS,))
        yield from self._swept(5, "23:00", (NOTEBOOKS, JOBS))
        yield Night("Tuesday, in Slack")
        yield self._pressed(6, "09:10", HANA, Button.KEEP, "price-elasticity-poc")
        yield self._pressed(6, "09:25", TOMAS, Button.SNOOZE, "fraud-graph-ab-test")
        yield self._pressed(6, "10:02", RAVI, Button.NOW, "ranker-bert-large-canary")
        yield self._pressed(6, "10:05", DANIEL, Button.NOW, "ranker-bert-large-canary")
        yield self._pressed(6, "10:40", DANIEL, Button.UNDO, "forecast-backtest")
        yield self._used(6, "10:45", HANA, "elasticity-simulation")
        yield self._started(6, "10:50", HANA, "margin-guardrails")
        yield self._started(6, "10:55", DANIEL, "onboarding-template")
        yield Night("Tuesday evening: two notebooks are to be stopped after working hours")
        yield from self._swept(6, "18:00", (NOTEBOOKS,))
        yield self._pressed(6, "19:10", DANIEL, Button.TONIGHT, "onboarding-template")
        yield self._used(6, "19:35", HANA, "margin-guardrails")
        yield from self._swept(6, "20:00", (NOTEBOOKS,))
        yield Night("Tuesday night")
        yield from self._swept(6, "21:00", (NOTEBOOKS, APPS, TAGS))
        yield from self._swept(6, "23:00", (NOTEBOOKS,))
        self._stopped(7, "10:00", DANIEL, "onboarding-template")
        self._nothing_new(7, "20:00", (*NIGHTLY, TAGS))
        self._nothing_new(8, "20:00", NIGHTLY)
        yield Night("Thursday night: tags had twice the grace, because their owners got no direct message")
        yield from self._swept(8, "21:00", (TAGS,))
        yield Night("Friday night: three days after the first warnings")
        yield from self._swept(9, "20:00", ALL)
        yield self._digest(9, "20:45")
        yield Night("Saturday, in Slack")
        yield self._pressed(10, "09:15", DANIEL, Button.UNDO, "video-moderation-batch")

    def _swept(self, day: int, clock: str, detectors: Sequence[str]) -> Iterator[Swept]:
        """Run the functions one after the other, as of the time that their schedule says."""
        began = local(day, clock)
        for detector in detectors:
            self.deployment.at(began + SECOND)
            ran = self.deployment.sweep(detector, time=began.isoformat())
            for sweep in ran.report.sweeps:
                yield Swept(began, sweep)

    def _nothing_new(self, day: int, clock: str, detectors: Sequence[str]) -> None:
        """Run a night like the one before, untold; a warning counts only while it is confirmed."""
        for swept in self._swept(day, clock, detectors):
            if SOMETHING & {result.outcome for result in swept.sweep.results}:
                raise RuntimeError(f"{swept.sweep.detector} did something on October {day}")

    def _pressed(self, day: int, clock: str, person: str, word: Button, name: str) -> Pressed:
        self.deployment.at(local(day, clock))
        answers = self.deployment.press(word, name, user(person))
        pressed: dict[str, Any] = answers[0]
        swept = [answer for answer in answers[1:] if hasattr(answer, "report")]
        return Pressed(
            at=local(day, clock),
            who=PEOPLE[person],
            word=f'presses "{BUTTON_LABELS[word]}" on',
            what=name,
            then=[
                self._answered(name) if pressed["done"] else f"Slack tells them: {self._ephemeral_reply()}"
            ],
            refused="" if pressed["done"] else str(pressed["why"]),
            sweeps=tuple(sweep for ran in swept for sweep in ran.report.sweeps),
        )

    def _started(self, day: int, clock: str, person: str, notebook: str) -> Pressed:
        """Start a notebook as somebody who works in it."""
        self._calls(day, clock, person, "start_notebook_instance", notebook)
        at = local(day, clock)
        return Pressed(at=at, who=PEOPLE[person], word="starts a notebook, and works in it:", what=notebook)

    def _stopped(self, day: int, clock: str, person: str, notebook: str) -> None:
        """Stop a notebook as somebody of whom nobody hears."""
        self._calls(day, clock, person, "stop_notebook_instance", notebook)

    def _calls(self, day: int, clock: str, person: str, operation: str, notebook: str) -> None:
        self.deployment.at(local(day, clock))
        Actor(self.deployment.url).call(person, "sagemaker", operation, NotebookInstanceName=notebook)

    def _digest(self, day: int, clock: str) -> Digest:
        self.deployment.at(local(day, clock))
        self.deployment.digest()
        (*_, digest) = (post for post in self.deployment.slack.messages() if not post.get("thread_ts"))
        blocks = digest["blocks"]
        parts = [block.get("text", {}).get("text", "") for block in blocks]
        parts += [
            element["text"] for block in blocks if block["type"] == "context" for element in block["elements"]
        ]
        return Digest(local(day, clock), tuple(line for part in parts for line in part.splitlines() if line))

    def _answered(self, name: str) -> str:
        """Return what the message about *name* says now."""
        messages = self.deployment.slack.messages()
        text: str = next(
            message["text"] for message in reversed(messages) if message["text"].startswith(f"{name}: ")
        )
        return f"The message now says: {text.removeprefix(f'{name}: ')}"

    def _ephemeral_reply(self) -> str:
        """Return the reply that only the one who pressed can read."""
        return str(self.deployment.slack.responses()[-1]["text"])

    def _used(self, day: int, clock: str, person: str, notebook: str) -> Pressed:
        """Open a notebook again as somebody who says nothing to anybody."""
        at = local(day, clock)
        self.deployment.at(at)
        line = f"[I {at:%Y-%m-%d %H:%M:%S}.000 ServerApp] Saving file at /{notebook}.ipynb"
        stream = f"{notebook}/jupyter.log"
        self.deployment.box.logs("/aws/sagemaker/NotebookInstances", stream, [(at, line)])
        return Pressed(
            at=at, who=PEOPLE[person], word="works in a notebook that was warned about:", what=notebook
        )


def user(person: str) -> str:
    """Return the Slack id of somebody."""
    return f"U0{person.replace('.', '').replace('-', '').upper()}"
