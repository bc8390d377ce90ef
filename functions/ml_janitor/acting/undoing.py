"""Take back the janitor's actions: find the action, verify its record, and revert it. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.aws.calls import error_text
from ml_janitor.aws.client import unread_sweep_error
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Kept
from ml_janitor.core.results import (
    UNVERIFIED_RECORD_CODES,
    Cause,
    CauseCode,
    Outcome,
    Result,
    Sweep,
    UnfinishedProgress,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.core.text import person_name
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import Hold, HoldKind, recreated_hold_key
from ml_janitor.ledger.actions import (
    MOST_TRIES,
    UNDOABLE_STAGES,
    UNFINISHED_STAGES,
    Action,
    BegunBeforeError,
    RecordedSteps,
    Stage,
    UnverifiedError,
    is_asked,
)
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.ledger.requests import undo_request
from ml_janitor.ledger.signatures import Request

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.config.events import UndoEvent
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Cleanup, Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.limits import Leases
    from ml_janitor.ledger.requests import Holds

UNDO_SNOOZE = timedelta(days=7)
"""Time for which the janitor leaves a resource alone after an undo: its owner needs time to use it."""

_MOST_UNDO_ROUNDS = 80
"""Most returns of one call to an undo that waits for AWS, if its time does not end before."""


class CannotUndoError(Exception):
    """
    The resource is not back, as *about* says in one line, because of *cause*.

    The undo can be tried again, unless the error is *final*.
    """

    def __init__(self, about: str, cause: Cause | None = None, *, final: bool = False) -> None:
        super().__init__(about if cause is None else f"{about}: {cause}")
        self.about = about
        self.cause = cause
        self.final = final


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """
    The outside parts that undoing needs. *clock* is the real time; *within* is `undo_days`.

    *wait* lets AWS get on with an undo; without it the next call goes
    on. *unsigned* also undoes actions without a signature, which earlier versions wrote: only for a person
    with credentials of their own.
    """

    actions: Actions
    holds: Holds
    clock: Callable[[], datetime]
    within: timedelta
    wait: Callable[[], None] | None = None
    unsigned: bool = False

    def find(self, detector: str, account: str, region: str, finding: str) -> Action:
        """
        Return the newest action on the finding with the id *finding* that can be taken back.

        A withdrawn action does not hide the action before it; an undone action does. Raises CannotUndoError.
        """
        known = [action for action in self.actions.all(detector, account, region) if action.id == finding]
        if not known:
            raise CannotUndoError(f"nothing was done to finding {finding} by {detector} in {region}")
        done = (
            action for action in reversed(known) if action.touched and action.stage is not Stage.WITHDRAWN
        )
        newest, action = known[-1], next(done, known[-1])
        if newest.stage in UNDOABLE_STAGES and (action.stage not in UNDOABLE_STAGES or self._too_old(action)):
            action = newest
        if action.stage is Stage.UNDONE:
            raise CannotUndoError(_undone_before(action))
        if action.stage is Stage.WITHDRAWN:
            raise CannotUndoError(f"nothing was done to {action.target.name}", action.error)
        if self._too_old(action):
            age = self.clock() - action.began
            raise CannotUndoError(
                f"{action.target.name} was cleaned up {format_age(age)} ago; undo_days is {self.within.days}"
            )
        return action

    def _too_old(self, action: Action) -> bool:
        """Return whether *action* is too old to be undone. An undo that was asked for in time never is."""
        if self.clock() - action.began <= self.within:
            return False
        try:
            return action.stage is not Stage.UNDOING or not self._in_time(action, action.origin)
        except Exception:  # the request could not be verified; a try of the undo says so
            return False

    def _in_time(self, action: Action, request: Request | None) -> bool:
        """Return whether *request* is a signed request for the undo of *action*, and came in time."""
        return (
            request is not None
            and is_asked(self.actions.signatures, action, request)
            and request.at - action.began <= self.within
        )

    def undo(
        self,
        detector: Detector[Any],
        aws: Aws,
        action: Action,
        *,
        by: str = "",
        request: Request | None = None,
        again: bool = False,
    ) -> Action:
        """
        Bring back the resource of *action*, whole or half done; then leave it alone for a week.

        *request* is the signed request; without it, *by* asks with a command. *again* resumes an undo that
        broke off, without a new request. Raises CannotUndoError, which is final if the record or the request
        does not verify or there is nothing to bring back, and BegunBeforeError if another run works on it.
        """
        action = self._begin(action, by, request, again=again)
        by = action.undone_by
        try:
            self._snooze(action, by, detector.reverted_arn(action.target, action.undo))
            if not action.touched:
                self._withdraw(action)
            action, became = self._revert(detector, aws, action)
        except CannotUndoError:
            raise
        except Exception as error:  # recorded and reported; the next try resumes it
            text = str(error) if isinstance(error, CannotActError) else error_text(error)
            why = make_cause(CauseCode.UNDO_FAILED, text)
            self.actions.undo_failed(action, why)
            raise CannotUndoError(f"{action.target.name} could not be brought back", why) from error
        undone = self.actions.undone(action, self.clock(), became)
        return replace(undone, steps=action.steps)

    def verify(self, action: Action) -> None:
        """
        Raise CannotUndoError unless a role that acts signed *action*, and remember that.

        Nothing else is done with a record before.
        """
        with self._remembered(action):
            try:
                self.actions.verify_record(action)
            except UnverifiedError as unverified:
                if not (self.unsigned and unverified.cause.why is CauseCode.MAC_MISSING):
                    raise
                self.actions.check_older(action)

    def check_request(self, action: Action, request: Request | None) -> Request:
        """
        Return the request by which *action* is undone: *request*, or the stored one if its undo has begun.

        Raises CannotUndoError if neither is signed and in time, and remembers that.
        """
        with self._remembered(action):
            if request is not None and self._in_time(action, request):
                return request
            if action.stage is Stage.UNDOING and action.origin and self._in_time(action, action.origin):
                return action.origin
            asked = request is not None and is_asked(self.actions.signatures, action, request)
            raise UnverifiedError(
                make_cause(CauseCode.REQUEST_LATE, self.within.days)
                if asked
                else make_cause(CauseCode.REQUEST_UNSIGNED, action.id)
            )

    @contextmanager
    def _remembered(self, action: Action) -> Iterator[None]:
        """Remember an error of verifying something about *action*, and raise it as CannotUndoError."""
        try:
            yield
        except UnverifiedError as unverified:
            self.actions.refused(action, unverified.cause)
            raise CannotUndoError(action.target.name, unverified.cause, final=True) from unverified
        except Exception as error:  # KMS did not answer: it can be tried again
            why = make_cause(CauseCode.RECORD_UNREAD, error_text(error))
            self.actions.refused(action, why)
            raise CannotUndoError(action.target.name, why) from error

    def _begin(self, action: Action, by: str, request: Request | None, *, again: bool) -> Action:
        """Verify *action* and *request*, then record that the undo begins. Raises CannotUndoError."""
        self.verify(action)
        if request is None and by:
            with self._remembered(action):
                request = undo_request(action, by=by, now=self.clock()).sign(self.actions.signatures)
        request = self.check_request(action, request)
        try:
            return self.actions.begin_undo(action, request, self.clock(), by=by, again=again)
        except UnverifiedError as unverified:  # the record changed since it was read
            raise CannotUndoError(action.target.name, unverified.cause, final=True) from unverified

    def _snooze(self, action: Action, by: str, reverted_arn: str) -> None:
        """
        Hold the resource for a week, and *reverted_arn*, which has another creation time or another name.

        The hold is stored before the undo starts, in case the undo breaks off.
        """
        target, now = action.target, self.clock()
        why = "it was brought back" if action.touched else "it was asked back before anything was done to it"
        for key in dict.fromkeys(
            (target.key, recreated_hold_key(target.arn), recreated_hold_key(reverted_arn))
        ):
            hold = Hold(key=key, how=HoldKind.SNOOZED, by=by, given=now, until=now + UNDO_SNOOZE, why=why)
            self.holds.put(target.account, target.region, hold)

    def _withdraw(self, action: Action) -> None:
        """Record that nothing was done, so that the janitor can act again. Raises CannotUndoError."""
        why = make_cause(CauseCode.NOTHING_BEGUN)
        self.actions.withdrawn(action, why)
        raise CannotUndoError(f"nothing was done to {action.target.name}", why, final=True)

    def _revert(self, detector: Detector[Any], aws: Aws, action: Action) -> tuple[Action, str]:
        """
        Revert *action*, again while it waits for AWS and there is time; return
        it, and what became of the resource.
        """
        writing = aws.armed()
        for _ in range(_MOST_UNDO_ROUNDS):
            try:
                steps = RecordedSteps(self.actions, action, "undo")
                became = detector.revert(writing, action.target, action.undo, steps)
            except NotFinishedError as waits:
                action = self.actions.unfinished(action, make_cause(CauseCode.WAITS_FOR_AWS, str(waits)))
            except Exception as error:  # out of time is no failure; all else is raised again
                if not writing.out_of_time(error):
                    raise
                action = self.actions.unfinished(action, make_cause(CauseCode.CALL_OUT_OF_TIME))
                break
            else:
                return action, became or ""
            if self.wait is None or not aws.has_time:
                break
            self.wait()
        raise CannotUndoError(
            f"{action.target.name} is on its way back, and undoing it again goes on with it", action.error
        )


def _undone_before(action: Action) -> str:
    """Return why *action* is not undone a second time; a job was restarted, not brought back."""
    who = person_name(action.undone_by)
    if action.became:
        return f"done before, by {who}: {action.became}"
    return f"{action.target.name} was brought back before, by {who}"


# --- one invocation of the undo function ----------------------------------------------------------

_LEASE_POLL_SECONDS = 5.0
"""Seconds between two attempts to get the lease of a sweep that may end meanwhile."""

_UNDO_RESERVE = timedelta(minutes=3)
"""Time of the invocation that is left for the undo itself; at most a third of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRun:
    """
    One invocation of the undo function, and the outside parts that it needs.

    *left* is the time that it may still take. *opened* opens a detector's region of an
    account: *home*, where the function is, or an account of its organization. *tell* updates
    the message of an action, *count_refused* counts a refused record, and
    *by_hand* returns the cause if only a person can undo an action.
    """

    settings: Settings
    home: str
    undoing: Undoing
    leases: Leases
    clock: Callable[[], datetime]
    left: Callable[[], timedelta]
    sleep: Callable[[float], None]
    opened: Callable[[str, str, str], AbstractContextManager[list[Aws]]]
    tell: Callable[[Action], None]
    count_refused: Callable[[], None]
    by_hand: Callable[[Detector[Any], Action], Cause | None]

    def __call__(self, asked: UndoEvent, *, holder: str) -> CannotUndoError | None:
        """
        Bring back the resource that *asked* names. Return None once it is back, or the final error.

        Raises CannotUndoError for a failure, once the message is updated, and LeaseTakenError if the sweep
        that may work on the action does not end in time: both can be tried again.
        """
        account, today = asked.account or self.home, self.clock().date()
        detector = self.settings.detector_called(asked.detector)
        why = self.settings.why_not_allowed(
            asked.detector, account, asked.region, home=self.home, undo_on=today
        )
        if detector is None or why is not None:
            return CannotUndoError(why or f"no detector is called {asked.detector}", final=True)
        with self.leased(asked, holder=holder):
            try:
                action = self._undisturbed(asked, account)
            except CannotUndoError as nothing:
                return nothing
            if asked.again and action.stage is not Stage.UNDOING:
                return CannotUndoError(f"{action.target.name} is not half brought back any more", final=True)
            return self._undo(detector, action, account, asked)

    def _undo(
        self, detector: Detector[Any], action: Action, account: str, asked: UndoEvent
    ) -> CannotUndoError | None:
        """Undo *action*. Return None once its resource is back, or the final error."""
        try:
            self.undoing.verify(action)
            request = self.undoing.check_request(action, _request_of(asked))
            self._check_allowed(detector, action)
            if asked.request and not asked.again:  # a press, which may not write this itself
                action = self.undoing.actions.request_undo(action, request)
            with self._entered(action, account, asked.region) as aws:
                self.undoing.undo(detector, aws, action, request=request, again=asked.again)
        except BegunBeforeError as busy:
            return CannotUndoError(str(busy), final=True)
        except CannotUndoError as cannot:
            if not cannot.final:
                raise
            if cannot.cause is not None and cannot.cause.why in UNVERIFIED_RECORD_CODES:
                self.count_refused()
            return cannot
        finally:
            self.tell(action)
        return None

    @contextmanager
    def _entered(self, action: Action, account: str, region: str) -> Iterator[Aws]:
        """Enter *region* of *account*. If that fails, remember it and raise CannotUndoError."""
        with ExitStack() as stack:
            try:
                (aws,) = stack.enter_context(self.opened(action.detector, account, region))
            except Exception as error:  # remembered, and told to the person who asked
                why = make_cause(CauseCode.ACCOUNT_UNREAD, account, unread_sweep_error(error))
                self.undoing.actions.refused(action, why)
                raise CannotUndoError(f"{action.target.name} could not be brought back", why) from error
            yield aws

    def _check_allowed(self, detector: Detector[Any], action: Action) -> None:
        """Raise CannotUndoError if this function may not undo *action*, and remember that."""
        if (cause := self.by_hand(detector, action)) is not None:
            self.undoing.actions.refused(action, cause)
            raise CannotUndoError(action.target.name, cause, final=True)

    @contextmanager
    def leased(self, asked: UndoEvent, *, holder: str) -> Iterator[None]:
        """
        Hold the lease of this undo: no other invocation works on the same action.

        Undos of other findings go on side by side: some wait for AWS for many minutes.
        """
        where = (asked.detector, asked.account or self.home, asked.region)
        request = _request_of(asked)
        by = request.by if request is not None else ""

        def take() -> None:
            now = self.clock()
            self.leases.take_undo(
                where, asked.finding, holder=holder, by=by, now=now, until=now + self.left()
            )

        self._patiently(take)
        try:
            yield
        finally:
            self.leases.release_undo(where, asked.finding, holder=holder)

    def _undisturbed(self, asked: UndoEvent, account: str) -> Action:
        """
        Return the action that *asked* names, read while no sweep is at work. Raises CannotUndoError.

        A sweep that begins afterwards changes the action if it resumes it, and then no undo begins; otherwise
        it leaves an action alone whose undo has begun.
        """
        where = (asked.detector, account, asked.region)
        while True:
            self._patiently(lambda: self.leases.check_no_sweep(where, self.clock()))
            action = self.undoing.find(*where, asked.finding)
            with suppress(LeaseTakenError):
                self.leases.check_no_sweep(where, self.clock())
                return action

    def _patiently(self, step: Callable[[], None]) -> None:
        """Do *step*, again while it raises LeaseTakenError and enough time is left for the undo."""
        reserve = min(_UNDO_RESERVE, self.left() / 3)
        while True:
            try:
                return step()
            except LeaseTakenError:
                if self.left() <= reserve:
                    raise
                self.sleep(_LEASE_POLL_SECONDS)


def _request_of(asked: UndoEvent) -> Request | None:
    """Return the request that the event carries, or None if it is not one."""
    try:
        return Request.parse(asked.asked)
    except ValueError:
        return None


# --- undoable actions -----------------------------------------------------------------------------


def is_undoable(action: Action, within: timedelta, now: datetime) -> bool:
    """Return whether *action* is recent enough to be undone; a half-reverted action always is."""
    return action.stage is Stage.UNDOING or (action.stage in UNDOABLE_STAGES and now - action.began <= within)


def find_unreachable_undos(
    detector: Detector[Any], actions: Iterable[Action], *, within: timedelta, now: datetime
) -> UnreachableUndos | None:
    """Return the *actions* of *detector* in one region that no deployed function may undo, or None."""
    left = [
        action
        for action in actions
        if action.touched
        and is_undoable(action, within, now)
        and undo_hint(detector, action).why is not CauseCode.NO_UNDO
    ]
    if not left:
        return None
    last = max(action.began for action in left)
    return UnreachableUndos(
        detector=detector.name,
        region=left[0].target.region,
        count=len(left),
        last=f"{last:%Y-%m-%d}",
        until=f"{last + within:%Y-%m-%d}",
    )


# --- half-done and half-reverted actions ----------------------------------------------------------


class UnfinishedAction(NamedTuple):
    """An *action* that is half done or half reverted, and its outcome in this sweep."""

    action: Action
    outcome: Outcome
    cause: Cause


def resume_reverts(
    detector: Detector[Any], actions: Iterable[Action], revert: Callable[[Action], None], at: datetime
) -> list[UnfinishedAction]:
    """
    Have *revert* resume the half-reverted *actions*, whether their sweep is complete or not.

    The undo function waits until this sweep has ended, and until no other invocation works on the action, and
    then reads the action's progress: a second request does no harm.
    """
    return [
        _resume_revert(detector, action, revert, at) for action in actions if action.stage is Stage.UNDOING
    ]


def is_half_done(action: Action) -> bool:
    """Return whether *action* broke off after it had changed something."""
    return action.stage in UNFINISHED_STAGES and action.touched


def report_half_done(
    detector: Detector[Any], actions: Iterable[Action], doubt: Callable[[Action], Cause | None]
) -> list[UnfinishedAction]:
    """
    Return the *actions* that were half done when their *detector* was disarmed: a person has to revert them.

    The detector's role may no longer finish them, nor read whether they were completed. *doubt* returns why a
    record cannot be believed.
    """

    def cause(action: Action) -> Cause:
        if (why := doubt(action)) is not None and why.why in UNVERIFIED_RECORD_CODES:
            return why
        return Cause(
            CauseCode.DISARMED,
            (detector.name, action.error),
            progress=UnfinishedProgress.HALF_DONE,
            by_hand=undo_command(detector, action),
        )

    return [
        UnfinishedAction(action, Outcome.FAILED, cause(action)) for action in actions if is_half_done(action)
    ]


def add_unfinished(sweep: Sweep, unfinished: Iterable[UnfinishedAction]) -> Sweep:
    """Return *sweep* with the *unfinished* actions among its results."""
    results = {result.target.key: result for result in sweep.results}
    for action, outcome, why in unfinished:
        before = results.get(action.target.key) or broken_off_result(action)
        results[action.target.key] = replace(before, outcome=outcome, cause=why)
    return replace(sweep, results=tuple(results.values()))


def _resume_revert(
    detector: Detector[Any], action: Action, revert: Callable[[Action], None], at: datetime
) -> UnfinishedAction:
    command = undo_command(detector, action)
    if action.given_up:
        error = action.error or make_cause(CauseCode.CUT_OFF)
        why = Cause(CauseCode.NOT_REVERTED, (MOST_TRIES, error), by_hand=command)
        return UnfinishedAction(action, Outcome.FAILED, why)
    so_far = UnfinishedProgress.HALF_REVERTED if action.coming_back else UnfinishedProgress.REVERT_ASKED
    try:
        revert(action)
    except UnverifiedError as unverified:
        why = replace(unverified.cause, progress=so_far, by=action.undone_by)
        return UnfinishedAction(action, Outcome.FAILED, why)
    except Exception as error:  # reported; the next sweep tries again
        failure: str | Cause = error_text(error)
        if isinstance(error, CannotUndoError):
            failure = error.cause or error.about
        why = Cause(CauseCode.NOT_RESUMED, (failure,), progress=so_far, by=action.undone_by, by_hand=command)
        return UnfinishedAction(action, Outcome.FAILED, why)
    late = action.asked_at is not None and at - action.asked_at > LATE_AFTER
    outcome = Outcome.FAILED if late else Outcome.WAITING
    why = Cause(CauseCode.RESUMED, (action.error,), progress=so_far, by=action.undone_by)
    return UnfinishedAction(action, outcome, why)


def undo_command(detector: Detector[Any], action: Action) -> str:
    """Return the command with which a person reverts *action*."""
    return f"janitor {undo_wording(detector.cleanup).command} {action.id}"


def broken_off_result(action: Action) -> Result:
    """Return the result for the resource of a half-done *action* that the sweep did not find."""
    return Result(
        detector=action.detector,
        target=action.target,
        verdict=Kept(reason="an action on it was broken off"),
        outcome=Outcome.WAITING,
    )


# --- wording --------------------------------------------------------------------------------------

LATE_AFTER = timedelta(days=1)
"""Time after which a person should know that an act or undo still waits for AWS."""

JANITOR_NAME = "the janitor"
"""The requester of a half-done action's undo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoWording:
    """
    The words for taking back a detector's actions.

    *command* is the command's name, *label* stands on the button, *noun* names the undo: "An undo". An undo
    can be *past*, and afterwards the resource is *done*.
    """

    command: str
    label: str
    noun: str
    past: str
    done: str


UNDO_WORDING = UndoWording(command="undo", label="Undo", noun="An undo", past="undone", done="brought back")
UNCHANGE_WORDING = UndoWording(command="undo", label="Undo", noun="An undo", past="undone", done="undone")
RESTART_WORDING = UndoWording(
    command="restart", label="Restart", noun="A restart", past="restarted", done="restarted"
)


def undo_wording(cleanup: Cleanup | None) -> UndoWording:
    """Return the wording for taking back a *cleanup*: a resource that stayed is not "brought back"."""
    if cleanup is None:
        return UNDO_WORDING
    if cleanup.undo == RESTART_WORDING.command:
        return RESTART_WORDING
    return UNCHANGE_WORDING if cleanup.effect.stays else UNDO_WORDING


def undo_hint(detector: Detector[Any], action: Action) -> Cause:
    """Return the command that takes *action* back from a terminal, or the reason why none can."""
    try:
        detector.revert_effect(action.target, action.undo)
    except CannotActError as never:
        return make_cause(CauseCode.NO_UNDO, str(never))
    return make_cause(CauseCode.UNDO_WITH, undo_wording(detector.cleanup).command, action.id)


def by_hand_cause(detector: Detector[Any], action: Action) -> Cause | None:
    """Return the cause if only a person's command can undo *action*, or None if the undo function may."""
    missing = detector.missing_for_undo(action.target, action.undo)
    return make_cause(CauseCode.UNDO_BY_HAND, missing, undo_command(detector, action)) if missing else None
