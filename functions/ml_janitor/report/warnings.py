"""Warnings before an action: one message per finding with buttons, below a head that counts them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undoing import RESTART_WORDING, UNDO_WORDING, UndoWording, undo_wording
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Effect, Finding, Mode, finding_id
from ml_janitor.core.money import Totals, rank_by_cost
from ml_janitor.core.results import Cause, CauseCode, Result, make_cause
from ml_janitor.core.text import (
    escape_mrkdwn,
    escape_text,
    format_local_time,
    format_usd,
    person_name,
    quote_shell,
)
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Action
from ml_janitor.report.causes import cause_clause, cause_text
from ml_janitor.report.finding_words import (
    count_by_noun,
    finding_facts,
    finding_noun,
    owner_clause,
    owner_shares,
    priced_name,
    reason_sentence,
    require_finding,
    sums_text,
    unpriced_note,
)
from ml_janitor.report.mrkdwn import (
    LONGEST_HEADER,
    Block,
    Message,
    as_sentence,
    button_row,
    code_span,
    confirm_dialog,
    fits_message,
    header_block,
    make_button,
    prose,
    section_block,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Cleanup, Detector

# --- buttons --------------------------------------------------------------------------------------


class Button(StrEnum):
    """A press on a button. The values are Slack's action ids."""

    KEEP = "janitor:keep"
    KEEP_ON = "janitor:keep-on"
    SNOOZE = "janitor:snooze"
    TONIGHT = "janitor:keep-tonight"
    NOW = "janitor:now"
    UNDO = "janitor:undo"
    LATER = "janitor:advice-later"
    NOT_FOR_US = "janitor:not-for-us"


BUTTON_LABELS = {
    Button.KEEP: "Keep",
    Button.KEEP_ON: "Keep",
    Button.SNOOZE: "Snooze 7 days",
    Button.TONIGHT: "Keep tonight",
    Button.NOW: "Do it now",
    Button.UNDO: "Undo",
    Button.LATER: "Snooze 4 weeks",
    Button.NOT_FOR_US: "Not for us",
}
"""Labels of the buttons; a detector may have another word for *Undo*."""

BUTTON_VALUE = re.compile(
    r"(?P<detector>[a-z][a-z0-9-]{0,63}) (?P<account>[0-9]{12}) (?P<region>[a-z0-9-]{3,32}) "
    r"(?P<finding>[0-9a-f]{10})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonSubject:
    """The finding that a button is about, by its short name and where it is remembered."""

    detector: str
    account: str
    region: str
    finding: str

    def __str__(self) -> str:
        return f"{self.detector} {self.account} {self.region} {self.finding}"

    @classmethod
    def read(cls, value: str) -> ButtonSubject:
        """Parse the value that `str` wrote into a button. Raises ValueError."""
        if (parts := BUTTON_VALUE.fullmatch(value)) is None:
            raise ValueError("the button says nothing that is known here")
        return cls(**parts.groupdict())


KEPT_RESOURCE = "kept-resource"
"""The detector of a button that is about a kept resource, whichever detector finds it."""


def kept_subject(account: str, region: str, hold: Hold) -> ButtonSubject:
    """Return the subject of a button about what *hold* keeps: its finding may be forgotten by now."""
    finding = finding_id(KEPT_RESOURCE, hold.key)
    return ButtonSubject(detector=KEPT_RESOURCE, account=account, region=region, finding=finding)


# --- status of a warned finding -------------------------------------------------------------------

DONE_WORDS = {
    Effect.TAG: "tagged",
    Effect.STOP: "stopped",
    Effect.EXPIRE: "given a retention",
    Effect.TIER: "given lifecycle rules",
    Effect.DELETE: "deleted",
}
"""Past participle of each effect on a resource."""

LONGEST_REASON = 400
"""Longest reason or error, in characters; the report and the log have the whole text."""


@dataclass(frozen=True, slots=True)
class Status:
    """The current text of the message in mrkdwn, its buttons, and in words what an undo would do."""

    text: str
    buttons: tuple[Button, ...] = ()
    revert_effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWording:
    """
    The words for the statuses of one detector: what acting does, and the channel's time zone.

    *undoable* is whether Slack can undo its actions at all, *way* the wording of an undo, and *revert_effect*
    says what an undo would do to one action; it raises CannotActError where nothing comes back.
    *missing_for_undo* is the setting without which only a person can undo an action, or nothing.
    """

    effect: Effect
    time_zone: str
    undoable: bool = True
    way: UndoWording = UNDO_WORDING
    revert_effect: Callable[[Action], str] = lambda it: f"{it.target.name} is brought back, and costs again"
    missing_for_undo: Callable[[Action], str] = lambda _: ""

    @property
    def done(self) -> str:
        """Return what will have happened to it: "deleted", "stopped" or "tagged"."""
        return DONE_WORDS[self.effect]

    def at(self, moment: datetime) -> str:
        return format_local_time(moment, self.time_zone)

    def due(self, due: datetime, unmessaged: Cause | None = None, *, scheduled: bool = False) -> Status:
        """
        Say that it was warned about, and that the next sweep after *due* acts on it.

        *unmessaged* is why its owner got no direct message. A *scheduled* resource may be in use until then,
        and is acted on once it is quiet.
        """
        if scheduled:
            text = f"*Will be {self.done} after {self.at(due)}, once it is quiet,* unless somebody keeps it."
            return self._status(text, (Button.TONIGHT, Button.KEEP, Button.SNOOZE))
        text = f"*Will be {self.done} after {self.at(due)}* unless somebody keeps it."
        if unmessaged is not None:
            why = cause_clause(make_cause(CauseCode.OWNER_NOT_MESSAGED, unmessaged))
            text += f" {as_sentence(prose(why, LONGEST_REASON))}"
        return self._status(text, (Button.KEEP, Button.SNOOZE, Button.NOW))

    def waiting(self, due: datetime, why: str, *, scheduled: bool = False) -> Status:
        """Say that it is due, and what holds it back."""
        text = f"*Due since {self.at(due)}, and waiting:* {as_sentence(prose(why, LONGEST_REASON))}"
        tonight = (Button.TONIGHT,) if scheduled else ()
        return self._status(text, (*tonight, Button.KEEP, Button.SNOOZE))

    def held(self, hold: Hold) -> Status:
        """Say that somebody keeps it, or postponed it."""
        why = f" {as_sentence(prose(hold.why, LONGEST_REASON))}" if hold.why else ""
        by = f"by {person_text(hold.by)} on {self.at(hold.given)}.{why}"
        if hold.how is HoldKind.KEPT and hold.until is None:
            return self._status(f"*Kept for good* {by}")
        if hold.until is None:
            return self._status(f"*Kept* {by}")
        again = "If it is still waste then, there will be a new warning."
        verb = "Snoozed" if hold.how is HoldKind.SNOOZED else "Kept"
        keep = (Button.KEEP,) if hold.how is HoldKind.SNOOZED else ()
        return self._status(f"*{verb} until {self.at(hold.until)}* {by} {again}", keep)

    def hurried(self, by: str, at: datetime) -> Status:
        """Say that somebody pressed *Do it now*."""
        text = (
            f"*Do it now*, said {person_text(by)} on {self.at(at)}. It is looked at once more, and "
            f"{self.done} "
            "in the next minutes if it is still waste."
        )
        return self._status(text, (Button.KEEP, Button.SNOOZE))

    def going(self, action: Action) -> Status:
        """Say that the clean-up continues: AWS takes a while, or the run had no time left."""
        why = prose(cause_text(action.error), LONGEST_REASON)
        return self._status(f"{self._history(action)}. It goes on by itself: {why}.")

    def acted(self, action: Action, undo_until: datetime | None) -> Status:
        """Say that it was cleaned up. *undo_until* is how long an undo is possible, even after a refusal."""
        text = f"{self._history(action)}."
        if action.broke:
            why = as_sentence(prose(cause_text(action.error), LONGEST_REASON))
            text += f" *Could not be {self.way.done}:* {why}"
        if undo_until is None or not self.undoable:
            return self._status(text)
        try:
            effect = self.revert_effect(action)
        except CannotActError as never:
            return self._status(f"{text} {as_sentence(prose(str(never), LONGEST_REASON))}")
        how = "" if self.way is UNDO_WORDING else f" Then {prose(effect, LONGEST_REASON)}."
        if missing := self.missing_for_undo(action):
            by_hand = as_sentence(self.by_hand(missing, action.id))
            return self._status(
                f"{text} It can be {self.way.past} until {self.at(undo_until)}. {by_hand}{how}"
            )
        return self._status(
            f"{text} It can be {self.way.past} until {self.at(undo_until)}.{how}", (Button.UNDO,), effect
        )

    def failed(self, why: str, at: datetime, *, action: Action | None = None) -> Status:
        """Say that the clean-up failed; *action* is the action, if it began."""
        half_done = action if action is not None and action.touched else None
        text = (
            f"*Could not be {self.done}* when tried on {self.at(at)}: "
            f"{as_sentence(prose(why, LONGEST_REASON))}"
        )
        effect = self._offered(half_done)
        return self._status(
            f"{text} {_next(action)}", (Button.KEEP, Button.UNDO) if effect else (Button.KEEP,), effect
        )

    def left(self, action: Action, why: str, at: datetime) -> Status:
        """Say that it was half done when its detector was disarmed, everywhere or there, as *why* says."""
        since = f"*Half done*, and since {self.at(at)} nobody goes on with it, because"
        effect = self._offered(action)
        return self._status(f"{since} {why}: a person has to look.", (Button.UNDO,) if effect else (), effect)

    def stays(self, why: str, at: datetime) -> Status:
        """Say that it is no longer waste, or no longer there, and that nothing is done to it."""
        return self._status(f"*Nothing was done* on {self.at(at)}: {as_sentence(prose(why, LONGEST_REASON))}")

    def void(self, why: str, at: datetime) -> Status:
        """Say that it is only reported from now on."""
        since = f"*Only reported since {self.at(at)}:* {as_sentence(prose(why, LONGEST_REASON))}"
        return self._status(f"{since} Nothing is done to it.")

    def over(self, why: str) -> Status:
        """Say that its warning was withdrawn some time ago, when its message did not say so."""
        return self._status(f"*This warning counts no more:* {as_sentence(prose(why, LONGEST_REASON))}")

    def undoing(self, action: Action, by: str, at: datetime) -> Status:
        """Say that somebody pressed *Undo*."""
        pressed = f"*{self.way.label}*, said {person_text(by)} on {self.at(at)}: it is being {self.way.done}."
        return self._status(f"{self._history(action)}. {pressed}")

    def undone(self, action: Action, rest: datetime | None) -> Status:
        """
        Say that it was brought back, and is left alone until *rest*: a job that was submitted again is
        another.
        """
        when = f" on {self.at(action.undone)}" if action.undone else ""
        became = f": {prose(action.became, LONGEST_REASON)}" if action.became else ""
        done = f"*{self.way.done.capitalize()}{when}* for {person_text(action.undone_by)}{became}."
        text = f"{self._history(action)}. {done}"
        if rest is None:
            return self._status(text)
        if self.way is RESTART_WORDING:
            return self._status(f"{text} If it hangs again, there will be a new warning.")
        return self._status(f"{text} It is left alone until {self.at(rest)}.")

    def undo_failed(self, action: Action, why: str, at: datetime) -> Status:
        """Say that it could not be brought back; an undo can be tried again."""
        effect = self._offered(action)
        then = "The next sweep goes on with it."
        if action.given_up:
            then = f"A person has to look{f'; *{self.way.label}* tries again' if effect else ''}."
        text = f"{self._history(action)}. *Could not be {self.way.done}* on {self.at(at)}: "
        return self._status(
            f"{text}{as_sentence(prose(why, LONGEST_REASON))} {then}",
            (Button.UNDO,) if effect else (),
            effect,
        )

    def by_hand(self, missing: str, finding: str) -> str:
        """Say that only a person can undo it, how, and which setting is *missing* for a button."""
        command = code_span(f"janitor {self.way.command} {finding}")
        return cause_clause(make_cause(CauseCode.UNDO_BY_HAND, code_span(missing, LONGEST_REASON), command))

    def _offered(self, action: Action | None) -> str:
        """Return what an undo of *action* would do; empty if Slack cannot offer it."""
        if action is None or not self.undoable or self.missing_for_undo(action):
            return ""
        try:
            return self.revert_effect(action)
        except CannotActError:
            return ""

    def _status(self, text: str, buttons: tuple[Button, ...] = (), revert_effect: str = "") -> Status:
        """Build a status from *text*, with the name of the time zone after its last time only."""
        zone = f" ({self.time_zone})"
        return Status(text.replace(zone, "", max(0, text.count(zone) - 1)), buttons, revert_effect)

    def _history(self, action: Action) -> str:
        """Say what was done, when, and why."""
        asked = (
            f", because {person_text(action.by)} pressed Do it now"
            if action.by
            else ", because nobody kept it"
        )
        if action.ended is None:
            return f"*Half {self.done}* since {self.at(action.began)}{asked if action.by else ''}"
        return f"*{self.done.capitalize()} on {self.at(action.ended)}*{asked}"


def _next(action: Action | None) -> str:
    """Say what comes after a failure: of *action*, or before there was one."""
    given_up = action is not None and action.given_up
    if action is None or not action.touched:
        then = ", and a person has to look." if given_up else "; the next sweep tries again."
        return f"Nothing was done to it{then}"
    if given_up:
        return (
            "It is half done, and a person has to look. Only if it is kept or used is it put back by itself."
        )
    return "It is half done; the next sweep goes on with it or puts it back."


def person_text(by: str) -> str:
    """Return a person's name for use within a sentence."""
    return prose(person_name(by), 80)


# --- terms of a warning ---------------------------------------------------------------------------

LONGEST_QUESTION = 299
"""
Longest text of a question, in characters before its full stop: Slack takes 300
(https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object).
"""
HOUR_SECONDS = 3600
LONGEST_KEEP_COMMAND = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningTerms:
    """
    Settings that all warnings of a detector share.

    *lost* is what an undo does not bring back. *offers* are the buttons whose press would find somebody to do
    it; without buttons, the message says how else to keep, by tag or command.
    """

    wording: StatusWording
    lost: str
    offers: frozenset[Button] = frozenset()
    keep_tag: str = ""


def warning_terms(settings: Settings, keep_tag: str) -> Mapping[str, WarningTerms]:
    """Return the terms by detector: they offer a button only where its press would find a function."""
    section = settings.janitor
    signed = bool(section.slack_signing_secret)
    buttons = {Button.KEEP, Button.SNOOZE, Button.TONIGHT} if signed else set()
    group = {Button.NOW, Button.UNDO} if signed and section.slack_group else set()

    def of(detector: type[Detector[Any]], cleanup: Cleanup) -> WarningTerms:
        armed = settings.mode(detector.name) is Mode.ACT
        wording = StatusWording(
            effect=cleanup.effect,
            time_zone=section.time_zone,
            undoable=bool(detector.undoes),
            way=undo_wording(cleanup),
            revert_effect=lambda action: settings.detector(detector).revert_effect(
                action.target, action.undo
            ),
            missing_for_undo=lambda action: settings.detector(detector).missing_for_undo(
                action.target, action.undo
            ),
        )
        offers = (buttons | group) - (set() if armed else {Button.NOW})
        return WarningTerms(wording=wording, lost=cleanup.lost, offers=frozenset(offers), keep_tag=keep_tag)

    return {
        detector.name: of(detector, detector.cleanup)
        for detector in settings.registry
        if detector.cleanup is not None
    }


# --- message about one finding --------------------------------------------------------------------


def warning_body(result: Result, terms: WarningTerms, *, now: datetime, user: str | None = None) -> str:
    """
    Write a warning: the resource, its owner, its cost so far, the reason, and the action that is planned.

    This part of the message stays; only the status below it changes. *user* is the owner's Slack id.
    """
    verdict = require_finding(result)
    owner = f"<@{user}>, this one is yours" if user else owner_clause(result)
    where = f"In account {prose(result.target.account, 40)}, {prose(result.target.region, 40)}."
    losing = terms.lost if verdict.lost is None else prose(verdict.lost, 300)
    lost = f" {terms.wording.way.noun} does not bring back {losing}." if losing else ""
    what = prose(finding_noun(result.detector, result), 60)
    lines = [
        f"{what[:1].upper()}{what[1:]} {priced_name(result)}",
        f"{finding_facts(result, now, owner, _spent(verdict, now))} {where}",
        reason_sentence(result),
        f"Action: {prose(verdict.action, 200)}.{lost}",
    ]
    if verdict.missing_for_undo:
        lines.append(
            as_sentence(terms.wording.by_hand(verdict.missing_for_undo, button_subject(result).finding))
        )
    if Button.KEEP not in terms.offers:
        tag = f"tag it {code_span(f'{terms.keep_tag}=true')}, or " if terms.keep_tag else ""
        lines.append(f"To keep it: {tag}run {_keep_command(result.target.arn)}.")
    return "\n".join(lines)


def warning_message(
    subject: ButtonSubject, name: str, body: str, status: Status, terms: WarningTerms
) -> Message:
    """Build the message about one finding: its *body* as it was posted, its status, and the buttons."""
    offered = [word for word in status.buttons if word in terms.offers]
    blocks = [section_block(body), section_block(status.text)]
    if offered:
        blocks.append(button_row([_button(word, subject, name, terms.wording, status) for word in offered]))
    return Message(text=f"{prose(name, 150)}: {status.text.replace('*', '')}", blocks=tuple(blocks))


def due_status(result: Result, terms: WarningTerms, unmessaged: Cause | None = None) -> Status:
    """Return the status after a warning; *unmessaged* is why the owner got no direct message."""
    if result.due is None:
        raise ValueError("a warning says when it is due")
    return terms.wording.due(result.due, unmessaged, scheduled=require_finding(result).schedule is not None)


def button_subject(result: Result) -> ButtonSubject:
    """Return the subject that the buttons of *result* carry."""
    target = result.target
    return ButtonSubject(
        detector=result.detector,
        account=target.account,
        region=target.region,
        finding=finding_id(result.detector, target.key),
    )


def _button(word: Button, subject: ButtonSubject, name: str, wording: StatusWording, status: Status) -> Block:
    label, confirm = BUTTON_LABELS[word], None
    if word is Button.NOW:
        confirm = confirm_dialog(
            "Do it now?",
            f"{escape_text(name, 120)} is looked at once more and, if it is still waste, "
            f"{wording.done} in the "
            "next minutes, without waiting for its date.",
            "Do it now",
            "Wait",
        )
    elif word is Button.UNDO:
        label = wording.way.label
        confirm = confirm_dialog(
            f"{label}?", f"{escape_text(status.revert_effect, LONGEST_QUESTION)}.", label, "Leave it"
        )
    style = {Button.KEEP: "primary", Button.NOW: "danger"}.get(word, "")
    return make_button(label, word.value, str(subject), style=style, confirm=confirm)


def _spent(verdict: Finding, now: datetime) -> str:
    """Return the cost since the resource is waste, at its price of today."""
    hourly = verdict.cost.hourly_usd if verdict.cost and verdict.cost.accrued_usd is None else None
    if hourly is None or verdict.since is None:
        return ""
    hours = Decimal((now - verdict.since).total_seconds()) / HOUR_SECONDS
    return f", about {format_usd(hourly * hours)} so far"


def _keep_command(arn: str) -> str:
    """
    Return the command that keeps *arn*, in a code span and quoted for the shell.

    A resource's name is hostile input: whoever may put an object into a bucket chooses the name. If the
    command is too long for a span, or a span would change it, only `janitor keep` is named.
    """
    command = f"janitor keep {quote_shell(arn)} --reason why"
    shown = code_span(command, LONGEST_KEEP_COMMAND)
    return shown if shown == f"`{escape_mrkdwn(command)}`" else "`janitor keep` with its ARN"


# --- head, and warnings by webhook ----------------------------------------------------------------


def warnings_head(results: Sequence[Result], terms: WarningTerms, *, owned: bool = False) -> Message:
    """Build the message above a sweep's warnings, or, if *owned*, above those of the owner who reads it."""
    sums = Totals.of(results)
    title, money = _event(results, terms), sums_text(sums)
    target = results[0].target
    where = f"In account {prose(target.account, 40)}, {prose(target.region, 40)}."
    if money and len(title) + len(money) + 2 <= LONGEST_HEADER:
        title = f"{title}: {money}"
    elif money:
        where = f"*{money}.* {where}"
    thread = f"Each is in the thread below{_named(results, terms)}, and says there what became of it."
    owners = "Their tags name you as the owner" if owned else owner_shares(sorted(results, key=rank_by_cost))
    whose = f"{owners}.{unpriced_note(sums.unpriced if money else 0)}"
    return Message(
        text=f"{title}. {where}",
        blocks=(header_block(title), section_block(f"{where} {thread}"), section_block(whose)),
    )


def warnings_headline(results: Sequence[Result], terms: WarningTerms) -> str:
    """Say when how many of what will be acted on, and what they cost."""
    event, money = _event(results, terms), sums_text(Totals.of(results))
    return f"{event}: {money}" if money else event


def _event(results: Sequence[Result], terms: WarningTerms) -> str:
    """Say when how many of what will be acted on; the next sweep after that moment does it."""
    dues = sorted(result.due for result in results if result.due is not None)
    when = (
        f" after {terms.wording.at(dues[0])}"
        if dues[0] == dues[-1]
        else f", the first after {terms.wording.at(dues[0])},"
    )
    what = count_by_noun(results[0].detector, results)
    them = "it" if len(results) == 1 else "them"
    return f"{what} will be {terms.wording.done}{when} unless somebody keeps {them}"


def webhook_warnings(
    results: Sequence[Result], terms: WarningTerms, *, now: datetime
) -> Iterator[tuple[Message, list[Result]]]:
    """Yield all warnings in as few messages as hold them, for a webhook: without threads and buttons."""
    todo = sorted(results, key=rank_by_cost)
    while todo:
        blocks: list[Block] = []
        included: list[Result] = []
        for result in todo:
            own = section_block(f"{warning_body(result, terms, now=now)}\n{due_status(result, terms).text}")
            if included and not fits_message([header_block("x" * 150), *blocks, own]):
                break
            blocks.append(own)
            included.append(result)
        title = warnings_headline(included, terms)
        yield Message(text=title, blocks=(header_block(title), *blocks)), included
        todo = todo[len(included) :]


def _named(results: Sequence[Result], terms: WarningTerms) -> str:
    buttons = {word for result in results for word in due_status(result, terms).buttons}
    names = [f"*{BUTTON_LABELS[word]}*" for word in Button if word in buttons & terms.offers]
    return f" with {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else ""


def advice_held_text(name: str, hold: Hold) -> str:
    """Tell who pressed what became of the advice about the resource *name*."""
    lasts = f"for {format_age(hold.until - hold.given)}" if hold.until else "for good"
    return f"The advice about {code_span(name)} is left out {lasts}. `janitor findings` lists it."


def kept_resource(hold: Hold) -> str:
    """Return the name of what *hold* keeps, in a code span: its kind and name, by its ARN."""
    return code_span(hold.key.rpartition("@")[0].split(":", 5)[-1])


def kept_on_text(hold: Hold, time_zone: str) -> str:
    """Tell who pressed *Keep* in the digest until when *hold* keeps its resource now."""
    lasts = f"until {format_local_time(hold.until, time_zone)}" if hold.until else "for good"
    return f"{kept_resource(hold)} is kept {lasts}."
