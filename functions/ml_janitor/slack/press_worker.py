"""The worker behind the buttons: stores a hold, or asks for an act or an undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.config.events import STALE_EVENT
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key, hold_reason, longest_hold
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import MessageRef
from ml_janitor.ledger.table import ConditionFailedError
from ml_janitor.report.causes import cannot_undo_text, cause_text
from ml_janitor.report.warnings import (
    BUTTON_LABELS,
    Button,
    ButtonSubject,
    advice_held_text,
    kept_on_text,
    kept_subject,
)
from ml_janitor.slack.client import SendError, SlackBot, SlackRefusedError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.acting.undoing import Undoing
    from ml_janitor.config.events import PressEvent
    from ml_janitor.config.settings import Settings
    from ml_janitor.ledger.actions import Action
    from ml_janitor.ledger.findings import Entry, Ledger
    from ml_janitor.ledger.requests import ButtonRequests, Holds
    from ml_janitor.report.warnings import Status
    from ml_janitor.slack.warnings import MessageUpdates

# --- permissions ----------------------------------------------------------------------------------
# Members of the Slack group press all buttons. Owners press some of those on their own findings.

MEMBER_BUTTONS = frozenset({Button.NOW, Button.UNDO})
"""The buttons that only members of the group may press: they change something in the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    A person in Slack; *own* is whether they belong to the app's own workspace.

    *email* is an address that the workspace has confirmed, or empty: otherwise anybody could claim to be an
    owner by writing that address into their profile.
    """

    id: str
    name: str
    email: str
    own: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Directory:
    """The workspace's people, as *slack* knows them, until *deadline* of its clock."""

    def __init__(self, slack: SlackBot, *, deadline: float) -> None:
        self._slack = slack
        self._deadline = deadline

    def person(self, user: str, team: str = "") -> Person:
        """
        Return the person with the id *user* in the workspace *team*. Raises SendError.

        Slack guarantees only that the two together are unique: a person of another workspace may have the
        same user id as one of ours.
        """
        known: Any = self._slack.ask("users_info", deadline=self._deadline, user=user)["user"]
        profile = known.get("profile") or {}
        enterprise = known.get("enterprise_user") or {}
        teams = {known.get("team_id"), *(enterprise.get("teams") or [])}
        outside = known.get("deleted") or known.get("is_bot") or known.get("is_stranger")
        same = not team or team in teams or team == enterprise.get("enterprise_id")
        own = not outside and same and self._team in teams
        confirmed = own and known.get("is_email_confirmed") is not False
        name = str(profile.get("real_name") or known.get("real_name") or known.get("name") or user)
        return Person(
            id=user, name=name[:80], email=str(profile.get("email") or "") if confirmed else "", own=own
        )

    def members(self, group: str) -> frozenset[str]:
        """Return the users in *group*. Raises SendError."""
        answer: Any = self._slack.ask("usergroups_users_list", deadline=self._deadline, usergroup=group)
        return frozenset(map(str, answer["users"]))

    @cached_property
    def _team(self) -> str:
        """Return the app's own workspace; people of others can be in a shared channel, with any address."""
        return str(self._slack.ask("auth_test", deadline=self._deadline)["team_id"])


def why_forbidden(word: Button, person: Person, *, member: bool, owner: str | None) -> str | None:
    """Return why *person* may not press *word* on something that *owner* owns, or None if they may."""
    if not person.own:
        return "only people of this workspace may press that"
    if member:
        return None
    if word in MEMBER_BUTTONS:
        return "only members of the janitor's user group may press that"
    if owner is not None and person.email and owner.strip().casefold() == person.email.strip().casefold():
        return None
    return "only its owner and members of the janitor's user group may press that"


# --- worker ---------------------------------------------------------------------------------------

SNOOZE_TIME = timedelta(days=7)
ADVICE_HOLDS = {
    Button.LATER: (HoldKind.SNOOZED, timedelta(days=28), "advice for later"),
    Button.NOT_FOR_US: (HoldKind.KEPT, None, "advice that is not for us"),
}
"""Effect of a press on a piece of advice, for how long, and why."""

type PressAnswer = dict[str, Any]


class PressRefusedError(Exception):
    """A press that is refused; the message tells the person who pressed why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressWorker:
    """
    A handler of presses.

    *home* is the account that this is in, the only account that is looked at without an organization.
    *functions* are the armed detectors' functions by detector, *undo* is the undo function. *once* does some
    work once per press, *hand_over* invokes a function, *ephemeral_reply* posts to a response URL.
    """

    settings: Settings
    home: str
    ledger: Ledger
    holds: Holds
    requests: ButtonRequests
    undoing: Undoing
    messages: MessageUpdates
    directory: Directory
    functions: Mapping[str, str]
    undo: str
    once: Callable[[str, Callable[[], PressAnswer]], PressAnswer]
    hand_over: Callable[[str, Mapping[str, Any]], None]
    ephemeral_reply: Callable[[str, str], bool]
    clock: Callable[[], datetime]
    logger: Logger

    def __call__(self, press: PressEvent) -> PressAnswer:
        """
        Do what *press* asks for, if its warning is still open and the person may press it.

        A refused press changes nothing; the person who pressed gets the reason. The log has ids only, without
        the response URL.
        """
        about = {"user": press.user, "word": press.action, "subject": press.value}
        try:
            answer = self._handle(press)
        except (PressRefusedError, SendError) as refused:
            why = str(refused)
            if isinstance(refused, SendError):
                later = "" if isinstance(refused, SlackRefusedError) else "; press again later"
                why = f"Slack did not say who you are, so nothing was done{later} ({why})"
            self.logger.warning("a press was refused", extra={**about, "why": why})
            self.ephemeral_reply(press.response_url, f"Nothing was changed: {why}.")
            return {"done": False, "why": why}
        self.logger.info("pressed", extra=about)
        if failed := answer.get("untold"):
            self.ephemeral_reply(press.response_url, f"Done, but the message could not be changed: {failed}")
        if said := answer.get("said"):
            self.ephemeral_reply(press.response_url, said)
        return answer

    def _handle(self, press: PressEvent) -> PressAnswer:
        """Check everything that can refuse *press*, then do it once."""
        try:
            word, subject = Button(press.action), ButtonSubject.read(press.value)
        except ValueError:
            raise PressRefusedError("this button is not known any more") from None
        if abs(self.clock() - press.pressed) > STALE_EVENT:
            raise PressRefusedError("it was pressed more than an hour ago")
        if word is Button.UNDO:
            return self._undo(press, subject)
        if word in ADVICE_HOLDS:
            return self._advice(press, word, subject)
        if word is Button.KEEP_ON:
            return self._keep_on(press, subject)
        entry = self._open(press, subject)
        person = self._allowed(press, word, entry.owner)
        if word is Button.NOW:
            self._check_can_act(entry)
            return self.once(press.identity, lambda: self._now(press, entry, person))
        return self.once(press.identity, lambda: self._hold(press, word, entry, person))

    # --- may it be pressed --------------------------------------------------------------------

    def _allowed(self, press: PressEvent, word: Button, owner: str | None) -> Person:
        """Return the person who pressed; the group is read only if it matters. Raises PressRefusedError."""
        person = self.directory.person(press.user, press.team)
        if why_forbidden(word, person, member=False, owner=owner) is None:
            return person
        group = self.settings.janitor.slack_group
        member = bool(group) and person.own and person.id in self.directory.members(group)
        if (why := why_forbidden(word, person, member=member, owner=owner)) is not None:
            raise PressRefusedError(why)
        return person

    def _open(self, press: PressEvent, subject: ButtonSubject) -> Entry:
        """Return the finding of the pressed warning. Raises PressRefusedError if that is over."""
        entry = self.ledger.find(subject.detector, subject.account, subject.region, subject.finding)
        if entry is None:
            raise PressRefusedError("the ledger no longer has this finding")
        if entry.closed is not None:
            raise PressRefusedError(f"this warning is over: {cause_text(entry.close_reason)}")
        if entry.warned is None:
            raise PressRefusedError("this warning is void")
        if MessageRef(press.channel, press.message) not in entry.messages:
            raise PressRefusedError("there is a newer message about it; press there")
        return entry

    def _check_can_act(self, entry: Entry) -> None:
        """Raise PressRefusedError if *Do it now* would have no effect."""
        where = (entry.detector, entry.account, entry.region)
        if why := self.settings.why_not_allowed(*where, home=self.home):
            raise PressRefusedError(why)
        if entry.detector not in self.functions:
            raise PressRefusedError(f"{entry.detector} is a dry run, which does nothing")
        holds = self.holds.all(entry.account, entry.region).get(entry.key, ())
        if (why := hold_reason(holds, self.clock())) is not None:
            raise PressRefusedError(f"it is {why}")

    # --- what it does -------------------------------------------------------------------------

    def _hold(self, press: PressEvent, word: Button, entry: Entry, person: Person) -> PressAnswer:
        at = press.pressed
        how, until = {
            Button.KEEP: (HoldKind.KEPT, self._kept_until(at)),
            Button.TONIGHT: (HoldKind.SNOOZED, self.settings.working_hours.next_opening(at)),
        }.get(word, (HoldKind.SNOOZED, at + SNOOZE_TIME))
        hold = Hold(key=entry.key, how=how, by=str(person), given=at, until=until)
        self.holds.put(entry.account, entry.region, hold)
        holds = self.holds.all(entry.account, entry.region).get(entry.key, ())
        wording = self.messages.terms[entry.detector].wording
        return self._show(word, entry, wording.held(longest_hold(holds, self.clock()) or hold))

    def _kept_until(self, at: datetime) -> datetime | None:
        """Return the end of what a press of *Keep* at *at* holds; None is for good."""
        span = self.settings.hold_time
        return None if span is None else at + span

    def _keep_on(self, press: PressEvent, subject: ButtonSubject) -> PressAnswer:
        """Renew a hold that the digest says is about to end, for who gave it or a member of the group."""
        account, region, now = subject.account, subject.region, self.clock()
        kept = [
            hold
            for holds in self.holds.all(account, region).values()
            for hold in holds
            if hold.pressed and kept_subject(account, region, hold) == subject and hold.reason(now)
        ]
        if not kept:
            raise PressRefusedError("it is not kept any more; the janitor warns before it does anything")
        person = self.directory.person(press.user, press.team)
        if not (person.own and kept[0].by == str(person)):
            person = self._allowed(press, Button.KEEP_ON, None)

        def renew() -> PressAnswer:
            until = self._kept_until(press.pressed)
            again = replace(kept[0], by=str(person), given=press.pressed, until=until)
            self.holds.put(account, region, again)
            said = kept_on_text(again, self.settings.janitor.time_zone)
            return {"done": True, "word": BUTTON_LABELS[Button.KEEP_ON], "said": said}

        return self.once(press.identity, renew)

    def _advice(self, press: PressEvent, word: Button, subject: ButtonSubject) -> PressAnswer:
        """Hold one piece of advice: its resource may still be found, and acted on, for another reason."""
        entry = self.ledger.find(subject.detector, subject.account, subject.region, subject.finding)
        if entry is None:
            raise PressRefusedError("the ledger no longer has this advice")
        if entry.closed is not None:
            raise PressRefusedError(f"this advice is over: {cause_text(entry.close_reason)}")
        person = self._allowed(press, word, entry.owner)
        how, lasts, why = ADVICE_HOLDS[word]

        def hold() -> PressAnswer:
            at = press.pressed
            until = None if lasts is None else at + lasts
            key = advice_hold_key(entry.detector, entry.key)
            given = Hold(key=key, how=how, by=str(person), given=at, until=until, why=why)
            self.holds.put(entry.account, entry.region, given)
            return {"done": True, "word": BUTTON_LABELS[word], "said": advice_held_text(entry.name, given)}

        return self.once(press.identity, hold)

    def _now(self, press: PressEvent, entry: Entry, person: Person) -> PressAnswer:
        """Ask that the finding is due, and invoke the detector's function as its schedule does."""
        self.requests.make_due(entry, by=str(person), press=press.identity, now=self.clock())
        wording = self.messages.terms[entry.detector].wording
        answer = self._show(Button.NOW, entry, wording.hurried(str(person), press.pressed))
        self.hand_over(self.functions[entry.detector], {"account": entry.account, "regions": [entry.region]})
        return answer

    def _undo(self, press: PressEvent, subject: ButtonSubject) -> PressAnswer:
        where = (subject.detector, subject.account, subject.region)
        try:
            action = self.undoing.find(*where, subject.finding)
        except CannotUndoError as cannot:
            raise PressRefusedError(cannot_undo_text(cannot.about, cannot.cause)) from None
        if MessageRef(press.channel, press.message) not in action.messages:
            raise PressRefusedError("there is a newer message about it; press there")
        today = self.clock().date()
        if why := self.settings.why_not_allowed(*where, home=self.home, undo_on=today):
            raise PressRefusedError(why)
        if not self.undo:
            raise PressRefusedError(f"{subject.detector} can no longer be undone from here")
        doubt = self.undoing.actions.doubt(action)
        if doubt is None:
            self._check_can_undo(action)
        else:  # the undo function verifies it again: it refuses the record then, and counts that
            self.logger.warning("the record of an undo is not verified", extra={"why": cause_text(doubt)})
        person = self._allowed(press, Button.UNDO, None)
        return self.once(press.identity, lambda: self._request_undo(press, subject, action, person))

    def _check_can_undo(self, action: Action) -> None:
        """Raise PressRefusedError if the undo function could not undo *action*, by its verified record."""
        wording = self.messages.terms[action.detector].wording
        try:
            wording.revert_effect(action)
        except CannotActError as never:
            raise PressRefusedError(str(never)) from None
        if missing := wording.missing_for_undo(action):
            raise PressRefusedError(wording.by_hand(missing, action.id))

    def _request_undo(
        self, press: PressEvent, subject: ButtonSubject, action: Action, person: Person
    ) -> PressAnswer:
        """
        Ask for an undo, then invoke the undo function, which has a role of its own.

        If that function cannot begin (a sweep holds the lease for too long), the next sweep invokes it again.
        """
        by, now = str(person), self.clock()
        try:
            request = self.requests.undo(action, by=by, press=press.identity, now=now)
        except ConditionFailedError:
            raise PressRefusedError("somebody else asked for that a moment ago") from None
        asked = replace(action, stage=Stage.UNDOING, undone_by=by, asked_at=now, error=None, broke=False)
        untold = self._change_message(lambda: self.messages.asked_back(asked))
        self.hand_over(
            self.undo,
            {
                "detector": subject.detector,
                "account": subject.account,
                "region": subject.region,
                "finding": subject.finding,
                "request": press.identity,
                "asked": request.as_json(),
            },
        )
        return {"done": True, "word": BUTTON_LABELS[Button.UNDO], "untold": untold}

    def _show(self, word: Button, entry: Entry, status: Status) -> PressAnswer:
        untold = self._change_message(lambda: self.messages.entry(entry, status))
        return {"done": True, "word": BUTTON_LABELS[word], "untold": untold}

    def _change_message(self, change: Callable[[], object]) -> str:
        """Change a message, and return why that failed, or nothing: the press counts either way."""
        try:
            change()
        except SendError as failed:
            self.logger.error("a message could not be changed", extra={"why": str(failed)})  # noqa: TRY400
            return str(failed)
        return ""
