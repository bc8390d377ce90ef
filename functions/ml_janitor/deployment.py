"""The composition root: it builds every part from one invocation of a function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from ml_janitor.acting.acting import Acting
from ml_janitor.acting.undoing import CannotUndoError, Undoing, UndoRun, by_hand_cause
from ml_janitor.acting.warning import Warner
from ml_janitor.config.member_roles import RoleKind, member_role_name
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import CauseCode, make_cause
from ml_janitor.ledger.actions import Actions, Stage
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.limits import ActionLimits
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import cannot_undo_text
from ml_janitor.report.telemetry import measure_refused
from ml_janitor.report.warnings import warning_terms
from ml_janitor.scheduled.event_bus import EventBus, undo_event
from ml_janitor.scheduled.invocation import SweepPlace
from ml_janitor.slack.client import SendError
from ml_janitor.slack.digest import ActionHistory
from ml_janitor.slack.warnings import MessageUpdates, WarningSender

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.aws.client import Aws
    from ml_janitor.config.events import UndoEvent
    from ml_janitor.ledger.actions import Action
    from ml_janitor.scheduled.accounts import AccountsRun
    from ml_janitor.scheduled.bill_run import BillRun
    from ml_janitor.scheduled.invocation import Invocation
    from ml_janitor.scheduled.watch import ScheduleWatch
    from ml_janitor.slack.digest import OrganizationReader


ACTION_PAUSE_SECONDS = 1.0
"""Seconds between two actions: AWS's limits on changes are low, and a person may want to stop it."""

AWS_WAIT_SECONDS = 15.0
"""Seconds between two looks at whether AWS is ready for the next step."""


def make_acting(
    settings: Settings,
    table: Table,
    actions: Actions,
    clock: Callable[[], datetime],
    *,
    sleep: Callable[[float], None],
    wait: Callable[[], None],
    revert: Callable[[Action], None],
) -> Acting:
    """
    Return the part that acts. *wait* lets AWS go on; *revert* undoes a
    half-done action, or asks for it.
    """
    section = settings.janitor
    return Acting(
        ledger=Ledger(table, actions.signatures),
        actions=actions,
        holds=Holds(table),
        limits=ActionLimits(table, section.time_zone, actions.signatures),
        requests=ButtonRequests(table, actions.signatures),
        clock=clock,
        pause=lambda: sleep(ACTION_PAUSE_SECONDS),
        wait=wait,
        revert=revert,
        max_actions_per_night=section.max_actions_per_night,
        together=settings.organization.used,
        regions=settings.swept_regions,
        within=timedelta(days=section.undo_days),
        undoable=lambda name, account, region: (
            settings.why_not_allowed(name, account, region, home=account, undo_on=clock().date()) is None
        ),
        actors=lambda: [settings.detector(actor) for actor in settings.registry if actor.cleanup is not None],
    )


def make_undoing(
    settings: Settings,
    table: Table,
    actions: Actions,
    clock: Callable[[], datetime],
    *,
    wait: Callable[[], None],
    unsigned: bool = False,
) -> Undoing:
    """Return the part that undoes. *wait* lets AWS go on; *unsigned* also undoes unsigned actions."""
    return Undoing(
        actions=actions,
        holds=Holds(table),
        clock=clock,
        within=timedelta(days=settings.janitor.undo_days),
        wait=wait,
        unsigned=unsigned,
    )


def make_lambda_acting(own: Invocation) -> Acting:
    """Return the part that acts in an armed function, which has to ask for an undo."""
    return make_acting(
        own.settings,
        own.table,
        own.actions,
        own.clock,
        sleep=own.seconds.sleep,
        wait=lambda: own.seconds.sleep(AWS_WAIT_SECONDS),
        revert=lambda action: request_revert(own, action),
    )


def make_lambda_undoing(own: Invocation) -> Undoing:
    """Return the part that undoes actions, in the functions that may."""
    return make_undoing(
        own.settings, own.table, own.actions, own.clock, wait=lambda: own.seconds.sleep(AWS_WAIT_SECONDS)
    )


def request_revert(own: Invocation, action: Action) -> None:
    """
    Ask the undo function to revert *action*: an armed role may not undo its own actions.

    The undo goes on in the name of the person who asked first. However often a sweep is
    retried, it asks for the same attempt once.
    """
    if not own.environment.undo:
        raise CannotUndoError("there is no undo function here")
    if action.origin is None:
        raise CannotUndoError(action.target.name, make_cause(CauseCode.REQUEST_UNSIGNED, action.id))
    if (why := by_hand_cause(own.detector, action)) is not None:
        raise CannotUndoError(action.target.name, why)
    where, today = (action.target.account, action.target.region), own.clock().date()
    if refused := own.settings.why_not_allowed(action.detector, *where, home=own.home, undo_on=today):
        raise CannotUndoError(refused)
    own.hand_over(
        own.environment.undo,
        {
            "detector": action.detector,
            "account": action.target.account,
            "region": action.target.region,
            "finding": action.id,
            "request": f"{action.began:%Y-%m-%dT%H:%M:%S} {action.attempts}",
            "asked": action.origin.as_json(),
            "again": True,
        },
    )


def make_warner(own: Invocation) -> Warner | None:
    """
    Return the sender of warnings; None without Slack and without mail, and then the janitor never acts.

    Where there is Slack, a mail is a copy, which delivers nothing.
    """
    mail, terms = own.mail, warning_terms(own.settings, own.keep_tag)
    if own.settings.janitor.slack_secret:
        alerts = WarningSender(own.connect, own.slack_deadline, terms, own.settings.routes, copy=mail)
    elif mail is not None:
        alerts = WarningSender(lambda: mail, own.slack_deadline, terms)
    else:
        return None
    return Warner(ledger=own.ledger, warn=alerts, clock=own.clock)


def make_event_bus(own: Invocation, logger: Logger) -> EventBus:
    """Return the sender of events."""
    return EventBus(
        name=own.settings.notify.events, connect=cache(lambda: own.client("events")), logger=logger
    )


def make_message_updates(own: Invocation) -> MessageUpdates | None:
    """Return the updater of messages; None without Slack."""
    if not own.settings.janitor.slack_secret:
        return None
    return MessageUpdates(
        connect=own.connect,
        deadline=own.slack_deadline,
        terms=warning_terms(own.settings, own.keep_tag),
        ledger=own.ledger,
        actions=own.actions,
        holds=own.holds,
        clock=own.clock,
        within=timedelta(days=own.settings.janitor.undo_days),
    )


def undo_answer(asked: UndoEvent, cannot: CannotUndoError | None, logger: Logger) -> dict[str, Any]:
    """Return the undo function's answer to *asked*: whether the resource is back, and if not, why."""
    about = {"detector": asked.detector, "finding": asked.finding}
    why = "" if cannot is None else cannot_undo_text(cannot.about, cannot.cause)
    said = "undone" if cannot is None else "nothing to undo"
    logger.info(said, extra={**about, "region": asked.region, "why": why})
    return {"done": cannot is None, **about, "why": why}


def make_undo_run(own: Invocation, logger: Logger) -> UndoRun:
    """Return the undo function's work for one event."""

    def opened(detector: str, account: str, region: str) -> AbstractContextManager[list[Aws]]:
        inside = own.entered(SweepPlace(account, (region,)), member_role_name(detector, RoleKind.UNDO))
        return own.opened(inside.whole())

    return UndoRun(
        settings=own.settings,
        home=own.home,
        undoing=make_lambda_undoing(own),
        leases=own.leases,
        clock=own.clock,
        left=lambda: own.left,
        sleep=own.seconds.sleep,
        opened=opened,
        tell=lambda action: _tell_undo(own, action, logger),
        count_refused=measure_refused,
        by_hand=by_hand_cause,
    )


def _tell_undo(own: Invocation, before: Action, logger: Logger) -> None:
    """
    Update the message of *before* with its progress, and send an event once it is undone.

    If the message fails now, the next sweep updates it.
    """
    updates, emit = make_message_updates(own), make_event_bus(own, logger)
    if not emit.name and (updates is None or not before.message):
        return
    action = own.actions.now(before)
    if action is None:
        return
    detector = own.settings.detector_called(action.detector)
    if detector is not None and action.stage is Stage.UNDONE and before.stage is not Stage.UNDONE:
        emit([undo_event(detector, action, own.clock())])
    if updates is None or not before.message:
        return
    try:
        updates.action(action)
    except SendError as failed:
        logger.error("a message could not be changed", extra={"why": str(failed)})  # noqa: TRY400


def make_accounts_run(own: Invocation, logger: Logger) -> AccountsRun:
    """Return the run over an organization. Imported late: no other function needs it."""
    from ml_janitor.aws.client import ALWAYS_ENABLED_REGIONS
    from ml_janitor.scheduled.accounts import AccountsRun

    session = boto3.Session()
    partition = session.get_partition_for_region(own.environment.region)
    return AccountsRun(
        settings=own.settings,
        home=own.home,
        organizations=lambda: own.client("organizations", ALWAYS_ENABLED_REGIONS[partition]),
        known_regions=session.get_available_regions("sagemaker", partition),
        bucket=own.environment.bucket,
        lists=own.run_lists,
        runs=own.runs,
        latest=own.ledger.latest,
        clock=own.clock,
        sleep=own.seconds.sleep,
        logger=logger,
    )


def make_bill_run(own: Invocation, logger: Logger) -> BillRun:
    """Return the bill function's work for one event. Imported late: no other function needs it."""
    from ml_janitor.aws import cost_explorer
    from ml_janitor.bill.report import BillArchive
    from ml_janitor.bill.resources import BilledResources
    from ml_janitor.scheduled.bill_run import BillRun

    def opened(place: SweepPlace) -> AbstractContextManager[list[Aws]]:
        return own.opened(own.entered(place, member_role_name(BilledResources.name)))

    explorer = cost_explorer.CostExplorer(
        own.client("ce", cost_explorer.COST_EXPLORER_REGION), max_requests=own.settings.bill.max_requests
    )
    return BillRun(
        settings=own.settings,
        explorer=explorer,
        ledger=own.ledger,
        actions=own.actions,
        archive=BillArchive(own.client("s3"), own.environment.bucket),
        announcer=own.announcer,
        logger=logger,
        account=own.home,
        regions=own.regions,
        opened=opened,
        organization=make_organization_reader(own),
        emit=make_event_bus(own, logger),
    )


def make_schedule_watch(own: Invocation, logger: Logger) -> ScheduleWatch:
    """Return the watch over all schedules. Imported late: only the digest's function needs it."""
    from ml_janitor.scheduled.watch import ScheduleWatch

    return ScheduleWatch(
        settings=own.settings,
        latest=own.ledger.latest,
        runs=own.runs,
        account=own.home,
        regions=own.regions,
        logger=logger,
        emit=make_event_bus(own, logger),
    )


def make_organization_reader(own: Invocation) -> OrganizationReader | None:
    """Return the digest's reader of all accounts; None in one account. Imported late: it is seldom needed."""
    if not own.settings.organization.used:
        return None
    from ml_janitor.slack.digest import OrganizationReader

    return OrganizationReader(
        settings=own.settings,
        ledger=own.ledger,
        runs=own.runs,
        lists=own.run_lists,
        sleep=own.seconds.sleep,
    )


def make_action_history(own: Invocation) -> ActionHistory:
    """Return the digest's part about armed detectors."""
    undoable = own.settings.undoable_names(own.clock().date())
    return ActionHistory(
        ledger=own.ledger,
        actions=own.actions,
        holds=own.holds,
        cleanups={kind.name: kind.cleanup for kind in own.settings.registry if kind.cleanup is not None},
        time_zone=own.settings.janitor.time_zone,
        disarmed=[own.settings.detector(kind) for kind in own.settings.registry if kind.name not in undoable],
        within=timedelta(days=own.settings.janitor.undo_days),
        hold_time=own.settings.hold_time,
        several=own.settings.organization.used,
        several_regions=len(own.settings.swept_regions) > 1,
    )
