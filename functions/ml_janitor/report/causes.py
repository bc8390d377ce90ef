"""The words for causes and outcomes: the only place that turns a cause into a sentence. Pure."""

from __future__ import annotations

from ml_janitor.core.model import Finding, finding_id
from ml_janitor.core.results import (
    Cause,
    CauseCode,
    LimitHit,
    Outcome,
    Result,
    Sweep,
    UnfinishedProgress,
    UnreachableUndos,
)
from ml_janitor.core.text import count_noun, escape_text, format_time, person_name

# --- causes ---------------------------------------------------------------------------------------

OUTCOMES_AHEAD = frozenset({Outcome.WAITING, Outcome.WARNED})
"""Outcomes of findings that nobody has acted on yet, but may."""

LOOK_ADVICE = "so a person has to look"

CAUSE_TEXTS = {
    CauseCode.UNWARNED: "its warning has not been delivered yet",
    CauseCode.NOT_DUE: "warned; not due yet",
    CauseCode.OWNER_NOT_MESSAGED: "its owner got no direct message ({0}), so the grace is doubled",
    CauseCode.WARNING_LAPSED: (
        "it was not found for too long since its warning; the next scheduled sweep warns again"
    ),
    CauseCode.SWEEP_INCOMPLETE: "nothing is acted on, because the sweep is not complete",
    CauseCode.GRACE_OF_RULE: "its warning has not stood for as long as this rule gives",
    CauseCode.WARNED_BEFORE_CLOSING: "it is warned about in the last two working hours, and stopped "
    "after them",
    CauseCode.NOT_QUIET: "it has not been quiet for long enough, or working hours are not over yet",
    CauseCode.UNKNOWN_AT_RECHECK: "could not be judged when looked at again: {0}",
    CauseCode.PREPARING: "being prepared: {0}",
    CauseCode.OUT_OF_TIME: "the run had no time left, and the next one goes on with it",
    CauseCode.ACTED_BEFORE: "{0}; the next sweep warns about it anew",
    CauseCode.ANOTHER_RUN: "{0}",
    CauseCode.MAX_ACTIONS: "held back by max_actions = {0} for one sweep",
    CauseCode.MAX_ACTIONS_PER_NIGHT: "held back by max_actions_per_night = {0}",
    CauseCode.COUNTER_CHANGED: (
        f"nothing more is done tonight: somebody changed a counter of actions, {LOOK_ADVICE} ({{0}})"
    ),
    CauseCode.NO_LEDGER: "the ledger could not be written: {0}",
    CauseCode.MAX_SHARE: (
        "{0} of {1} would be deleted or expire, more than max_share = {2} %: that smells of a broken "
        "signal; to go on: janitor approve {3}"
    ),
    CauseCode.REST_DAY: "nothing is deleted on weekends and holidays (business_days)",
    CauseCode.OUTSIDE_ACT_IN: "act_in does not name account {0} and region {1}",
    CauseCode.NOT_PROVEN: "it is {0}, and only what is proven is acted on",
    CauseCode.SPARED_BY_RULE: "{0}",
    CauseCode.NO_CREATION_TIME: "its creation time is unknown, so it could not be told from another "
    "of its name",
    CauseCode.MANAGED: "{0} manages it",
    CauseCode.PERHAPS_MANAGED: (
        "{0} manages it, its tag managed-by says; if it is not a tool, name your tools in janitor.toml: "
        "tools = [...]"
    ),
    CauseCode.PRODUCTION: "it serves {0}",
    CauseCode.REFUSED_BY_PREPARE: "{0}",
    CauseCode.CANNOT_ACT: "{0}",
    CauseCode.NO_OWNER: "no owner tag",
    CauseCode.NO_SLACK_ACCOUNT: "no Slack account was found for its owner",
    CauseCode.MESSAGE_NOT_SENT: "not sent yet",
    CauseCode.WEBHOOK_SENDS_NONE: "webhooks and mails send none",
    CauseCode.MESSAGE_REFUSED: "{0}",
    CauseCode.CLEANED_UP: "cleaned up",
    CauseCode.NOT_ARMED: "{0} is not armed any more",
    CauseCode.NOT_CONFIRMED: "it was not found for {0}: this warning is void",
    CauseCode.NO_LONGER_WASTE: "{0}",
    CauseCode.GONE: "it is gone",
    CauseCode.WARNING_VOID: "its warning is void",
    CauseCode.WARNING_UNSIGNED: (
        "the janitor did not sign its warning (a version before gave it): it is warned about again"
    ),
    CauseCode.WARNING_INVALID: (
        "its warning in the ledger is not the one that was signed, so it is warned about again: somebody "
        f"changed it, {LOOK_ADVICE}"
    ),
    CauseCode.DONE_BY_OTHERS: "it was as good as cleaned up before anything was done",
    CauseCode.UNDO_WITH: "janitor {0} {1}",
    CauseCode.NO_UNDO: "no undo: {0}",
    CauseCode.UNDO_BY_HAND: (
        "only a person can undo it, with credentials of their own ({1}), unless you set {0}"
    ),
    CauseCode.NOTHING_DONE: "{0}",
    CauseCode.ACT_FAILED: "{0}",
    CauseCode.GIVEN_UP: f"failed {{0}} times, {LOOK_ADVICE}: {{1}}",
    CauseCode.NOT_FINISHED: "could not be finished: {0}",
    CauseCode.NOT_RECHECKED: "could not be looked at: {0}",
    CauseCode.DISARMED: f"{{0}} was disarmed, {LOOK_ADVICE}",
    CauseCode.MAC_INVALID: (
        f"its record in the ledger is not the one that was signed, so nothing is done from it: somebody "
        f"changed it, {LOOK_ADVICE}"
    ),
    CauseCode.MAC_MISSING: (
        "its record in the ledger is not signed, so nothing is done from it: an earlier version wrote it, or "
        "somebody else; to undo it with credentials of your own: janitor undo --unsigned {0}"
    ),
    CauseCode.MAC_EXPECTED: (
        "its record in the ledger is not signed, although it began after the key for that was made, so "
        f"nothing is done from it: somebody changed it, {LOOK_ADVICE}"
    ),
    CauseCode.REQUEST_UNSIGNED: (
        "the request for its undo is not signed, so nothing is done: a version before made it, or somebody "
        "else; to ask again, press the button, or: janitor undo {0}"
    ),
    CauseCode.REQUEST_LATE: (
        "its undo was asked for more than {0} days (undo_days) after the clean-up, so nothing is done"
    ),
    CauseCode.UNDO_FAILED: "{0}",
    CauseCode.NOTHING_BEGUN: "it broke off before its first step",
    CauseCode.RECORD_UNREAD: "its record could not be verified: {0}",
    CauseCode.ACCOUNT_UNREAD: "account {0} {1}",
    CauseCode.CALL_OUT_OF_TIME: "this call had no time left",
    CauseCode.CUT_OFF: "each was cut off",
    CauseCode.WAITS_FOR_AWS: "{0}",
    CauseCode.RESUMED: "gone on with now",
    CauseCode.NOT_RESUMED: "not gone on with: {0}",
    CauseCode.NOT_REVERTED: f"could not be brought back in {{0}} tries, {LOOK_ADVICE}: {{1}}",
    CauseCode.REVERTED_NEXT: "what had been done is being put back",
    CauseCode.REVERT_NOT_ASKED: "what had been done is not put back: {0}",
    CauseCode.EARLIER_TEXT: "{0}",
}

OPTIONAL_DETAILS = {
    CauseCode.RESUMED: "; the last try: {0}",
    CauseCode.DISARMED: ": {1}",
    CauseCode.NOT_PROVEN: "; to prove it: {1}",
}
"""Text to append where the last detail is given."""

CAUSE_LEADS = {
    CauseCode.MAX_SHARE: "held back: ",
    CauseCode.NOTHING_DONE: "nothing was done: ",
    CauseCode.UNDO_WITH: "{0}: ",
}
"""Text to put before a reason that stands alone."""


def cause_clause(cause: Cause) -> str:
    """Return *cause* as a clause, without details that its reader knows from the context."""
    text, details = CAUSE_TEXTS[cause.why], _detail_words(cause)
    if details and details[-1]:
        text += OPTIONAL_DETAILS.get(cause.why, "")
    clause = text.format(*details)
    if cause.along:
        clause = f"it would take along {cause.along}: {clause}"
    match cause.progress:
        case UnfinishedProgress.HALF_DONE:
            clause = f"half done: {clause}"
        case UnfinishedProgress.REVERT_ASKED:
            clause = f"asked back by {person_name(cause.by)}, and {clause}"
        case UnfinishedProgress.HALF_REVERTED:
            clause = f"half brought back, and {clause}"
    if cause.then is not None:
        clause = f"{clause}; {cause_clause(cause.then)}"
    return f"{clause}; by hand: {cause.by_hand}" if cause.by_hand else clause


def _detail_words(cause: Cause) -> list[str | int | None]:
    """Return the details of *cause*, with a clause for the cause behind it."""
    return [cause_clause(detail) if isinstance(detail, Cause) else detail for detail in cause.details]


def outcome_note(result: Result) -> str:
    """Return the note that a reader needs about the outcome of *result*; empty if there is none."""
    cause = result.cause
    if cause is None:
        return ""
    lead = "" if cause.progress else CAUSE_LEADS.get(cause.why, "").format(*_detail_words(cause))
    return f"{'only reported: ' if result.outcome is Outcome.ADVISED else lead}{cause_clause(cause)}"


def undo_by_hand_text(result: Result) -> str:
    """Return that only a person can undo the coming action on *result*, and how; else an empty string."""
    verdict = result.verdict
    if (
        not isinstance(verdict, Finding)
        or result.outcome not in OUTCOMES_AHEAD
        or not verdict.missing_for_undo
    ):
        return ""
    command = f"janitor undo {finding_id(result.detector, result.target.key)}"
    return cause_clause(Cause(CauseCode.UNDO_BY_HAND, (verdict.missing_for_undo, command)))


def cause_text(cause: Cause | None) -> str:
    """Return *cause* as a clause; empty if there is none."""
    return "" if cause is None else cause_clause(cause)


def cannot_undo_text(about: str, cause: Cause | None) -> str:
    """Return why an undo did not happen: *about* the resource, because of *cause*."""
    return about if cause is None else f"{about}: {cause_clause(cause)}"


def limit_text(limit: LimitHit) -> str:
    """Return the reason of one limit, and how often it held an action back."""
    return f"{limit.times} {cause_clause(limit.cause)}" if limit.times else cause_clause(limit.cause)


def unreachable_undos_text(undos: UnreachableUndos) -> str:
    """Describe undos that no deployed function may do, and how to restore the permissions."""
    things = count_noun(undos.count, "thing")
    return (
        f"{things} that it did in {undos.region} can be undone until {undos.until}, but "
        "not by the undo function, which has no powers for it since it was disarmed. "
        f"armed_until = {undos.last} in detectors.{undos.detector}, or the later day it was disarmed, and "
        "another deployment give them back; or janitor undo, with credentials of your own"
    )


def limit_texts(sweep: Sweep) -> list[str]:
    """List every limit that held back an action in *sweep*, one line each."""
    lost = [] if sweep.unreachable is None else [unreachable_undos_text(sweep.unreachable)]
    return [*map(limit_text, sweep.held_back), *lost]


# --- outcomes -------------------------------------------------------------------------------------
# No outcome claims more than was done.

BEGUN_WORDS = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed"}
"""Words for an action that began while its resource was still a finding."""

HALF_DONE_WORD = "half done"
NOT_DUE_CAUSES = {CauseCode.NOT_DUE, CauseCode.OWNER_NOT_MESSAGED}

STATUS_WORDS = {
    Outcome.WOULD_ACT: "dry run",
    Outcome.ADVISED: "only reported",
    Outcome.WARNED: "warned",
    Outcome.WAITING: "waits",
    Outcome.KEPT: "kept",
    Outcome.ACTED: "done",
    Outcome.FAILED: "failed",
    Outcome.CHANGED: "left alone",
}


def status_word(result: Result) -> str:
    """Return the status of *result* in a word or two."""
    if is_not_due(result):
        return STATUS_WORDS[Outcome.WARNED]
    if result.outcome in {Outcome.WAITING, Outcome.CHANGED} and result.cause and result.cause.progress:
        return HALF_DONE_WORD
    return STATUS_WORDS[result.outcome]


def is_not_due(result: Result) -> bool:
    """Return whether *result* waits only for its date."""
    return result.outcome is Outcome.WAITING and result.why in NOT_DUE_CAUSES


def is_only_reported(result: Result) -> bool:
    """Return whether an armed detector does nothing to *result*, for a reason."""
    return result.outcome is Outcome.ADVISED and result.cause is not None


def needs_attention(result: Result) -> bool:
    """Return whether something failed or was left half done."""
    return status_word(result) in {STATUS_WORDS[Outcome.FAILED], HALF_DONE_WORD}


def outcome_text(result: Result) -> str:
    """Say what was done about *result*, what will be done, or why nothing is."""
    note = escape_text(outcome_note(result), 1000)
    by_hand = _after(escape_text(undo_by_hand_text(result), 1000))
    if not isinstance(result.verdict, Finding):
        head = BEGUN_WORDS.get(result.outcome)
        return end_sentence(f"{head}: {note}" if head and note else note)
    action = escape_text(result.verdict.action, 1000)
    when = format_time(result.due) if result.due else ""
    warned = f"Warned; will {action}{f' after {when}' if when else ''}"
    if result.why is CauseCode.OWNER_NOT_MESSAGED:
        warned += _after(note)
    warned += by_hand
    only = f"Only reported: {escape_text(cause_clause(result.cause), 1000)}. " if result.cause else ""
    sentences = {
        Outcome.ACTED: f"Done: {action}{_after(note)}",
        Outcome.FAILED: f"Failed: {action}{_after(note)}",
        Outcome.CHANGED: f"Not done, because it changed: {note}",
        Outcome.WARNED: warned,
        Outcome.WAITING: warned
        if is_not_due(result)
        else f"Due{f' {when}' if when else ''}: {action}{_after(note)}{by_hand}",
        Outcome.ADVISED: f"{only}Proposed: {action}",
    }
    return end_sentence(sentences.get(result.outcome, f"Would {action}"))


def _after(note: str) -> str:
    return f"; {note}" if note else ""


def end_sentence(text: str) -> str:
    """Return *text* with a full stop, unless it has an end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
