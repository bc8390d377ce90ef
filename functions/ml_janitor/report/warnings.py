"""Warnings before an action: one message for each finding, below a head that counts them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undos import undo_wording
from ml_janitor.core.model import Finding, Mode, finding_id
from ml_janitor.core.money import Totals, rank_by_cost
from ml_janitor.core.results import Result
from ml_janitor.core.text import escape_text, format_usd
from ml_janitor.report import finding_words as words
from ml_janitor.report.buttons import BUTTON_LABELS, Button, ButtonSubject
from ml_janitor.report.mrkdwn import (
    LONGEST_HEADER,
    Block,
    Message,
    as_sentence,
    button_row,
    code_span,
    confirm_dialog,
    escape_mrkdwn,
    fits_message,
    header_block,
    make_button,
    prose,
    section_block,
)
from ml_janitor.report.status import Status, StatusWording

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Cleanup, Detector

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


# --- one finding ----------------------------------------------------------------------------------


def warning_body(result: Result, terms: WarningTerms, *, now: datetime, user: str | None = None) -> str:
    """
    Write a warning: the resource, its owner, its cost so far, the reason, and the action that is planned.

    This part of the message stays; only the status below it changes. *user* is the owner's Slack id.
    """
    verdict = words.require_finding(result)
    owner = f"<@{user}>, this one is yours" if user else words.owner_clause(result)
    where = f"In account {prose(result.target.account, 40)}, {prose(result.target.region, 40)}."
    losing = terms.lost if verdict.lost is None else prose(verdict.lost, 300)
    lost = f" {terms.wording.way.noun} does not bring back {losing}." if losing else ""
    what = prose(words.finding_noun(result.detector, result), 60)
    lines = [
        f"{what[:1].upper()}{what[1:]} {words.priced_name(result)}",
        f"{words.finding_facts(result, now, owner, _spent(verdict, now))} {where}",
        words.reason_sentence(result),
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


def due_status(result: Result, terms: WarningTerms, unmessaged: str = "") -> Status:
    """Return the status after a warning; *unmessaged* is why the owner got no direct message."""
    if result.due is None:
        raise ValueError("a warning says when it is due")
    return terms.wording.due(
        result.due, unmessaged, scheduled=words.require_finding(result).schedule is not None
    )


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
    command = f"janitor keep {shlex.quote(arn)} --reason why"
    shown = code_span(command, LONGEST_KEEP_COMMAND)
    return shown if shown == f"`{escape_mrkdwn(command)}`" else "`janitor keep` with its ARN"


# --- all of a sweep -------------------------------------------------------------------------------


def warnings_head(results: Sequence[Result], terms: WarningTerms, *, owned: bool = False) -> Message:
    """Build the message above a sweep's warnings, or, if *owned*, above those of the owner who reads it."""
    sums = Totals.of(results)
    title, money = _event(results, terms), words.sums_text(sums)
    target = results[0].target
    where = f"In account {prose(target.account, 40)}, {prose(target.region, 40)}."
    if money and len(title) + len(money) + 2 <= LONGEST_HEADER:
        title = f"{title}: {money}"
    elif money:
        where = f"*{money}.* {where}"
    thread = f"Each is in the thread below{_named(results, terms)}, and says there what became of it."
    owners = (
        "Their tags name you as the owner" if owned else words.owner_shares(sorted(results, key=rank_by_cost))
    )
    whose = f"{owners}.{words.unpriced_note(sums.unpriced if money else 0)}"
    return Message(
        text=f"{title}. {where}",
        blocks=(header_block(title), section_block(f"{where} {thread}"), section_block(whose)),
    )


def warnings_headline(results: Sequence[Result], terms: WarningTerms) -> str:
    """Say when how many of what will be acted on, and what they cost."""
    event, money = _event(results, terms), words.sums_text(Totals.of(results))
    return f"{event}: {money}" if money else event


def _event(results: Sequence[Result], terms: WarningTerms) -> str:
    """Say when how many of what will be acted on; the next sweep after that moment does it."""
    dues = sorted(result.due for result in results if result.due is not None)
    when = (
        f"after {terms.wording.at(dues[0])}"
        if dues[0] == dues[-1]
        else f"from {terms.wording.at(dues[0])} on"
    )
    what = words.count_by_noun(results[0].detector, results)
    them = "it" if len(results) == 1 else "them"
    return f"{what} will be {terms.wording.done} {when} unless somebody keeps {them}"


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
