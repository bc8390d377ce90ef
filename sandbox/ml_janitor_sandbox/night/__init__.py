"""
Three nights over the demo account, with every detector armed that can act: `make night`.

`script` says what happens when, `deployment` runs the functions, `waste` measures the account before and
after, and `narration` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Report
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Action
from ml_janitor_sandbox.demo.plan import ACCOUNT, REGION
from ml_janitor_sandbox.demo.times import NOW
from ml_janitor_sandbox.night.deployment import SETTINGS, Deployment
from ml_janitor_sandbox.night.narration import Narration
from ml_janitor_sandbox.night.script import Happening, Script
from ml_janitor_sandbox.night.waste import Line, audited, lines

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The result of the nights: two audits, everything that happened between them, and what was done."""

    before: Report
    after: Report
    happened: tuple[Happening, ...]
    messages: tuple[tuple[Mapping[str, Any], ...], ...]
    """Every message in Slack as it stood after each happening."""
    actions: tuple[Action, ...]
    bill: tuple[Line, ...]


def play(url: str, variables: Mapping[str, str], console: Console, folder: Path) -> Played:
    """
    Play the nights in the sandbox at *url*, which holds the demo account, and tell them on *console*.

    *variables* are the functions' environment, as `ml_janitor_sandbox.deployment.deploy` answers it;
    *folder* is where their settings are put.
    """
    own = {name: value for name, value in variables.items() if name.startswith("JANITOR_")}
    deployment = Deployment(url, folder, own, NOW)
    effects = {
        detector.name: detector.cleanup.effect for detector in DETECTORS if detector.cleanup is not None
    }
    narration, happened = Narration(console, effects), []
    messages = []
    settings = Settings.load(files=[SETTINGS])
    narration.settings(SETTINGS.read_text())
    script = Script(deployment)
    with deployment.deployed():
        before = audited(settings, NOW)
        script.prepare()
        for happening in script.nights():
            narration(happening)
            happened.append(happening)
            messages.append(tuple(deployment.slack.messages()))
        after = audited(settings, deployment.now)
        actions = deployment.actions()
        bill = lines(before, after, actions)
        narration.bill(
            bill,
            [
                result
                for result in after.results
                if isinstance(result.verdict, Kept) and result.verdict.unknown
            ],
        )
        narration.remains(bill, deployment.holds.all(ACCOUNT, REGION), deployment.now)
    return Played(
        before=before,
        after=after,
        happened=tuple(happened),
        messages=tuple(messages),
        actions=tuple(actions),
        bill=tuple(bill),
    )
