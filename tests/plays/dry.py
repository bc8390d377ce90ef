"""Every function with every event, where nothing is armed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from conftest import ACCOUNT, REGION
from hosted import Host
from ml_janitor.aws.tags import Arn
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.slack import SlackControl
from recorder import Missed, Recording, Step, Wanted, nothing, runs_of
from standin import EVENTS, event, own_signatures
from theatre import told

DIGEST, BILL = "digest", "bill"
OF_ALL = {DIGEST, BILL}
"""The functions that are for all sweeps, and take a time only."""
FUNCTIONS = [*(detector.name for detector in DETECTORS), DIGEST, BILL]

FILES = sorted(path.stem for path in EVENTS.glob("*.json"))
OF_OTHERS = {"interact", "pressed", "undo"}
"""Events of functions that have no schedule, which make no sense to these."""

LIKE_SCHEDULED = {"manual-dry-run", "one-region", "stale"}
"""Events that have everything read once more; one detector's function stands for the handler of them all."""

AT = "2026-10-06T03:00:00Z"

SECRET_READ = "secretsmanager:GetSecretValue"
"""What a function needs only to tell Slack something."""

OF_FINDINGS = {"sagemaker:ListTags", "tag:GetResources"}
"""What is missed only of what would be found: whatever is kept anyway is kept whatever its tags say."""


@dataclass(frozen=True, slots=True)
class Invocations:
    """
    The function of *name* gets each file of events/, then an event for each kind of resource in its reports.

    Each comes as if it came first. Last, where Slack refuses the message: an event that failed after it was
    begun is forgotten. The bill then goes on with the one that was kept before.
    """

    name: str
    waste: tuple[str, ...] = ()
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, host: Host) -> Iterator[Step]:
        found = dict[tuple[str, ...], str]()
        for number, file in enumerate(self._files()):
            yield self._first(event(file), nothing if number else self._before)
            found = one_of_each(host.reports(host.function(self.name))) | found
        for arn in found.values():
            yield self._first({"time": AT, "resource": arn})
        if self.name not in OF_ALL:  # an event that fails is forgotten
            yield self._first({"time": AT, "resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor"})
        if found and any(one.name == self.name and one.cleanup for one in DETECTORS):
            yield Step(function=self.name, event=partial(self._back_again, next(iter(found.values()))))
        if self.name == BILL:
            yield self._next("2026-10-06T02:59:59Z")
        if self.name == DIGEST:  # on the day of the weekly advice
            yield self._next("2026-10-05T03:00:02Z")
        if self.name in OF_ALL:
            yield self._next(
                "2026-10-06T03:00:01Z", lambda host: SlackControl(host.url).fault("error", times=0)
            )

    def wanted(self, host: Host, recording: Recording) -> list[Wanted]:
        """All that is declared; what tells Slack, and what only findings need, where there was a finding."""
        function = host.function(self.name)
        needs = host.declared.of_function(function)
        if self._had_to_tell(recording):
            return [Wanted(name=self.name, role=function.role, needs=needs)]
        sought = {one for one in needs if one.action not in {SECRET_READ, *OF_FINDINGS}}
        needs = {one for one in needs if one.action != SECRET_READ}
        return [Wanted(name=self.name, role=function.role, needs=needs, sought=sought)]

    def check(self, _: Host, recording: Recording) -> None:
        """Each event ended as it should."""
        for file, ran in zip(self._files(), runs_of(recording, self.name), strict=False):
            assert type(ran.error) is (self._failure(file) or type(None)), file

    def heard(self, host: Host, one: Missed) -> bool:
        return told(host, one)

    def _files(self) -> list[str]:
        """The files of events/ that it is invoked with; first what shows it everything."""
        all_of_them = self.name in {"idle-notebooks", *OF_ALL}
        files = [file for file in FILES if all_of_them or file not in LIKE_SCHEDULED]
        return sorted(files, key=lambda file: file != "scheduled")

    def _first(self, asked: dict[str, Any], arranged: Callable[[Host], object] = nothing) -> Step:
        """An event, where nothing is left of those before."""

        def forgotten(host: Host) -> dict[str, Any]:
            host.forget(host.function(self.name))
            return asked

        return Step(function=self.name, event=forgotten, arranged=arranged)

    def _next(self, at: str, arranged: Callable[[Host], object] = nothing) -> Step:
        return Step(function=self.name, event=lambda _: {"time": at}, arranged=arranged)

    def _before(self, host: Host) -> None:
        """There is something to sum up, of which something is due; and a bill that Slack did not take."""
        host.invoke(host.function(DETECTORS[0].name), event("scheduled"))
        ledger = Ledger(host.table, own_signatures())
        entry = next(iter(ledger.entries(DETECTORS[0].name, ACCOUNT, REGION)))
        ledger.warned(entry, now=host.now, due=host.now)  # which is due, unless somebody keeps it
        if self.name == DIGEST:
            SlackControl(host.url).fault("error", times=0)
            host.invoke(host.function(BILL), {"time": "2026-10-06T02:59:59Z"})
            SlackControl(host.url).clear_faults()

    def _back_again(self, arn: str, host: Host) -> dict[str, Any]:
        """What it did when it was armed saves nothing any more: the resource *arn* is there again."""
        host.forget(host.function(self.name))
        parts, earlier = Arn.parse(arn), host.now - timedelta(days=40)
        target = Target(
            arn=arn, name=parts.name, kind=parts.kind, account=ACCOUNT, region=REGION, created=earlier
        )
        verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete it", evidence=())
        result = Result(detector=self.name, target=target, verdict=verdict, outcome=Outcome.WAITING)
        done = Actions(host.table, own_signatures())
        done.acted(done.begin(result, {}, warned=earlier, now=earlier), earlier)
        return event("scheduled")

    def _failure(self, file: str) -> type[Exception] | None:
        """How it ends with a file of events/."""
        asked = event(file)
        if file == "malformed" or file in OF_OTHERS or (self.name in OF_ALL and set(asked) - {"time"}):
            return InvalidInputError
        detectors = [detector for detector in DETECTORS if detector.name == self.name]
        if "resource" in asked and not any(one.judges(Arn.parse(asked["resource"])) for one in detectors):
            return RunFailedError
        return None

    def _had_to_tell(self, recording: Recording) -> bool:
        """Whether it had anything to tell Slack: a sweep that found nothing in the demo has not."""
        answers = [ran.answer or {} for ran in runs_of(recording, self.name)]
        return self.name in OF_ALL or any(
            sweep["found"] for one in answers for sweep in one.get("sweeps", ())
        )


def one_of_each(reports: list[str]) -> dict[tuple[str, ...], str]:
    """
    An ARN of each kind in *reports* as JSON.

    Apps of different types belong to different things, and endpoints may have components, with tags.
    """
    found: dict[tuple[str, ...], str] = {}
    for text in reports:
        for result in json.loads(text).get("results", ()):
            kind, parts = Arn.parse(result["arn"]).kind, result["arn"].split("/")
            shared = any("inference component" in one["signal"] for one in result["evidence"])
            kinds = (kind, *(parts[3:4] if kind == "app" else ()), "shared" if shared else "")
            found.setdefault(kinds, result["arn"])
    return found
