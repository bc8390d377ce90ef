"""Puts together what armed sweeps, presses and undos need, from one invocation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from janitor.acting.actions import Actions
from janitor.acting.comebacks import way
from janitor.acting.deeds import Diary
from janitor.acting.holds import Holds
from janitor.acting.limits import Limits
from janitor.acting.order import Acting
from janitor.acting.undoing import CannotUndoError, Undoing
from janitor.acting.warning import Warner
from janitor.model import Mode
from janitor.presses.buttons import Word
from janitor.report.standing import Voice
from janitor.report.warnings import Terms
from janitor.slack.alerts import Alerts
from janitor.slack.following import Following

if TYPE_CHECKING:
    from janitor.acting.action import Action
    from janitor.detector import Cleanup, Detector
    from janitor.invocation import Invocation
    from janitor.settings import Settings

PACE = 1.0
"""Seconds between two actions: AWS's limits on changes are low, and a person may want to stop it."""

WAIT = 15.0
"""Seconds between two looks at whether AWS is ready for the next step."""


def acting(own: Invocation) -> Acting:
    """Whatever acts on what is due."""
    section = own.settings.janitor
    return Acting(
        ledger=own.ledger,
        actions=Actions(own.table),
        holds=Holds(own.table),
        limits=Limits(own.table, section.time_zone),
        clock=own.clock,
        pause=lambda: own.seconds.sleep(PACE),
        wait=lambda: own.seconds.sleep(WAIT),
        put_back=lambda action: put_back(own, action),
        at_most=section.max_actions_per_night,
        within=timedelta(days=section.undo_days),
        undoable=lambda name: name in {one.name for one in own.settings.undoable(own.clock().date())},
    )


def put_back(own: Invocation, action: Action) -> None:
    """
    Ask the undo function for it: an armed role may not undo what it did.

    It goes on in the name of whoever asked for it first. The same attempt is asked for once, however often
    a sweep is retried.
    """
    if not own.environment.undo:
        raise CannotUndoError("there is no undo function here")
    own.hand_over(
        own.environment.undo,
        {
            "detector": action.detector,
            "account": action.target.account,
            "region": action.target.region,
            "finding": action.id,
            "by": action.undone_by,
            "request": f"{action.began:%Y-%m-%dT%H:%M:%S} {action.attempts}",
            "again": True,
        },
    )


def warner(own: Invocation) -> Warner | None:
    """Whoever warns; None without Slack, and then nothing is ever acted on."""
    if not own.settings.janitor.slack_secret:
        return None
    alerts = Alerts(own.connect, own.slack_deadline, terms(own.settings, own.keep_tag))
    return Warner(ledger=own.ledger, warn=alerts, clock=own.clock)


def following(own: Invocation) -> Following | None:
    """Whatever keeps messages true; None without Slack."""
    if not own.settings.janitor.slack_secret:
        return None
    return Following(
        connect=own.connect,
        deadline=own.slack_deadline,
        terms=terms(own.settings, own.keep_tag),
        ledger=own.ledger,
        actions=Actions(own.table),
        holds=Holds(own.table),
        clock=own.clock,
        within=timedelta(days=own.settings.janitor.undo_days),
    )


def undoing(own: Invocation) -> Undoing:
    """Whatever takes things back."""
    within = timedelta(days=own.settings.janitor.undo_days)
    return Undoing(
        actions=Actions(own.table),
        holds=Holds(own.table),
        clock=own.clock,
        within=within,
        wait=lambda: own.seconds.sleep(WAIT),
    )


def diary(own: Invocation) -> Diary:
    """What the digest says of armed detectors."""
    undoable = {one.name for one in own.settings.undoable(own.clock().date())}
    return Diary(
        ledger=own.ledger,
        actions=Actions(own.table),
        holds=Holds(own.table),
        cleanups={one.name: one.cleanup for one in own.settings.registry if one.cleanup is not None},
        time_zone=own.settings.janitor.time_zone,
        disarmed=[own.settings.detector(one) for one in own.settings.registry if one.name not in undoable],
        within=timedelta(days=own.settings.janitor.undo_days),
    )


def terms(settings: Settings, keep_tag: str) -> Mapping[str, Terms]:
    """What warnings say and offer, by detector: a button only where its press would find a function."""
    section = settings.janitor
    buttons: set[Word] = {Word.KEEP, Word.SNOOZE} if section.slack_signing_secret else set()
    group = {Word.NOW, Word.UNDO} if section.slack_signing_secret and section.slack_group else set()

    def of(detector: type[Detector[Any]], cleanup: Cleanup) -> Terms:
        armed = settings.mode(detector.name) is Mode.ACT
        rule = settings.detector(detector)
        voice = Voice(
            effect=cleanup.effect,
            time_zone=section.time_zone,
            undoable=bool(detector.undoes),
            way=way(cleanup),
            comeback=lambda action: rule.comeback(action.target, action.undo),
        )
        offers = (buttons | group) - (set() if armed else {Word.NOW})
        return Terms(voice=voice, lost=cleanup.lost, offers=frozenset(offers), keep_tag=keep_tag)

    return {one.name: of(one, one.cleanup) for one in settings.registry if one.cleanup is not None}
