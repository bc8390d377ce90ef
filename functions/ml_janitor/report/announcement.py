"""The Slack message about the new findings of one sweep, and its thread, by owner. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ml_janitor.core.model import Kept, Mode
from ml_janitor.core.money import Totals, rank_by_cost
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.core.text import count_noun, format_time
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report import causes
from ml_janitor.report.causes import is_only_reported
from ml_janitor.report.finding_words import (
    count_by_noun,
    detector_noun,
    finding_facts,
    group_by_owner,
    owner_clause,
    owner_in_message,
    owner_shares,
    priced_name,
    proposed_action,
    reason_sentence,
    share_text,
    sums_text,
    unpriced_note,
)
from ml_janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    as_sentence,
    code_span,
    context_block,
    fits_message,
    header_block,
    prose,
    section_block,
)

THREAD_FINDINGS = 20
"""Findings that the thread shows, the dearest first; the report has them all."""

UNREAD_SHOWN = 3

MESSAGE_FINDINGS = 3
"""Findings that the message itself shows; the others are in its thread."""

ACTIONS_SHOWN = 3

OUTCOMES_WITH_MESSAGE = frozenset({Outcome.WARNED, Outcome.ACTED})
"""Outcomes with a message of their own: this sweep warned about the finding, or removed it."""


def announce_sweep(
    sweep: Sweep,
    recorded: RecordedFindings,
    *,
    now: datetime,
    people: Mapping[str, str] | None = None,
    report: str = "",
    keep_tag: str = "",
) -> Post | None:
    """
    Build the post of *sweep*; None if nothing is new.

    *people* are Slack's user ids by owner (see `owners_in_thread`), *report* says where the whole report is
    kept, *keep_tag* is the tag that exempts. Only the thread mentions people, beside their findings.
    """
    new = sorted(recorded.new, key=rank_by_cost)
    if not new:
        return None
    keys = {result.target.key for result in new}
    known = [
        result
        for result in sweep.findings
        if result.target.key not in keys and result.outcome not in OUTCOMES_WITH_MESSAGE
    ]
    return Post(
        main=_main(sweep, new, now, _small_print(sweep.detector, known, report, keep_tag)),
        replies=tuple(thread_messages(new, now, people or {})),
        attachment=f"{sweep.detector}-{sweep.account or 'unknown'}-{sweep.region}-{now:%Y-%m-%d}.html",
    )


def owners_in_thread(new: Iterable[Result]) -> tuple[str, ...]:
    """Return the owners whom the thread will name, each once, to look up in Slack."""
    shown = sorted(new, key=rank_by_cost)[:THREAD_FINDINGS]
    return tuple(dict.fromkeys(result.owner for result in shown if result.owner))


# --- message --------------------------------------------------------------------------------------


def _main(sweep: Sweep, new: Sequence[Result], now: datetime, small_print: str) -> Message:
    where = f"account {prose(sweep.account or 'unknown', 40)}, {prose(sweep.region, 40)}"
    title, sums = announcement_headline(sweep.detector, new), Totals.of(new)
    unpriced = sums.unpriced if sums_text(sums) else 0
    must = [
        header_block(title),
        section_block(f"In {where}, as of {format_time(now)}.{unpriced_note(unpriced)}"),
    ]
    must += [section_block(text) for text in (_not_complete(sweep), _unjudged(sweep)) if text]
    must += [section_block(text) for text in _would_happen(sweep, new)]
    last = [context_block(small_print)] if small_print else []
    examples = _dearest(new, now, [*must, *last])
    dearest = ""
    if len(new) > 1 and sums_text(Totals.of(new[:1])):
        dearest = f" The dearest is {prose(new[0].target.name, 150)}."
    text = f"{title} in {where}.{dearest}"
    return Message(text=text, blocks=(*must[:2], *examples, *must[2:], *last))


def _dearest(new: Sequence[Result], now: datetime, others: Sequence[Block]) -> list[Block]:
    """Return as many of the dearest as have room beside *others*, below a line that names all owners."""
    shown = [section_block("\n".join(describe_finding(result, now))) for result in new[:MESSAGE_FINDINGS]]
    while True:
        title = _dearest_title(new, len(shown))
        heads = [section_block(f"{owner_shares(new)}\n{title}")] if len(new) > len(shown) else []
        if len(shown) <= 1 or fits_message([*others, *heads, *shown]):
            return [*heads, *shown]
        shown.pop()


def _dearest_title(new: Sequence[Result], shown: int) -> str:
    """Return the title above the *shown* findings; findings without a price are not the dearest."""
    if not sums_text(Totals.of(new)):
        return f"*{shown} of them:*"
    return f"*The dearest {shown} of them:*" if shown > 1 else "*The dearest of them:*"


def announcement_headline(detector: str, new: Sequence[Result]) -> str:
    """Write the headline, money first: "$8,048 a month: 3 new idle endpoints"."""
    found = count_by_noun(detector, new).replace(" ", " new ", 1)
    sums = Totals.of(new)
    if money := sums_text(sums):
        return f"{money}: {found}"
    return f"{found}, price unknown" if sums.unpriced else found


def _unjudged(sweep: Sweep) -> str:
    reasons = Counter(
        result.verdict.reason
        for result in sweep.results
        if isinstance(result.verdict, Kept) and result.verdict.unknown
    )
    if not reasons:
        return ""
    (reason, times), *others = reasons.most_common()
    why = f"{times:,} of them because" if others else "Why:"
    kept = "It was kept." if sweep.unknown == 1 else "They were kept."
    return (
        f"*Could not be judged:* {sweep.unknown:,} of {sweep.looked_at:,} looked at. {kept} "
        f"{why} {as_sentence(prose(reason, 300)) if not others else f'{prose(reason, 300)}.'}"
    )


def _not_complete(sweep: Sweep) -> str:
    if sweep.error is None:
        return ""
    return (
        f"*Not everything could be looked at*, so there may be more. {as_sentence(prose(sweep.error, 400))}"
    )


def _small_print(detector: str, known: Sequence[Result], report: str, keep_tag: str) -> str:
    sentences = []
    if known:
        sums = sums_text(Totals.of(known))
        what = f"{len(known):,} {detector_noun(detector, len(known))} known from before"
        sentences.append(f"Besides: {what}{f', {sums}' if sums else ''}.")
    if keep_tag:
        sentences.append(f"To keep one for good, tag it {code_span(f'{keep_tag}=true')}.")
    if report:
        sentences.append(f"The whole report: {code_span(report, 500)}")
    return " ".join(sentences)


# --- preview of the actions -----------------------------------------------------------------------


def _would_happen(sweep: Sweep, new: Sequence[Result]) -> Iterator[str]:
    """Say what acting on *new* would do, and why an armed detector only reports some of them."""
    spared = [result for result in new if is_only_reported(result)]
    others = [result for result in new if not is_only_reported(result)]
    dry = " This is a dry run: nothing was changed." if sweep.mode is Mode.DRY_RUN else ""
    if others:
        yield f"*What would happen:* {_ranked(map(proposed_action, others), 'other action')}{dry}"
    if spared:
        why = _ranked(
            (causes.cause_clause(result.cause) for result in spared if result.cause), "other reason"
        )
        proposed = _ranked(map(proposed_action, spared), "other action")
        yield f"*Only reported:* {why} Nothing is done. Proposed: {proposed}"


def _ranked(texts: Iterable[str], noun: str) -> str:
    """Rank *texts* by frequency, each with its count if they differ; the report lists the rest."""
    ranked = Counter(texts).most_common()
    shown = [prose(text, 200) for text, _ in ranked[:ACTIONS_SHOWN]]
    if len(ranked) > 1:
        counts = ("once" if times == 1 else count_noun(times, "time") for _, times in ranked)
        shown = [f"{count}: {text}" for count, text in zip(counts, shown, strict=False)]
    if more := len(ranked) - len(shown):
        shown.append(f"{count_noun(more, noun)}, which the report lists")
    return as_sentence("; ".join(shown))


# --- thread by owner ------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Some blocks that stay together; not the *first* of an owner's if the heading stands above another."""

    name: str
    first: bool
    blocks: list[Block]


def thread_messages(new: Sequence[Result], now: datetime, people: Mapping[str, str]) -> list[Message]:
    """Group the dearest of *new* by owner, in as few replies as Slack's limits allow."""
    replies: list[Message] = []
    parts: list[_Part] = []
    for part in _parts(new, now, people):
        if parts and not fits_message([block for shown in (*parts, part) for block in shown.blocks]):
            replies.append(_reply(parts))
            parts = (
                [] if part.first else [_Part(part.name, True, [section_block(f"*{part.name}*, continued")])]
            )
        parts.append(part)
    return [*replies, _reply(parts)]


def _reply(parts: Sequence[_Part]) -> Message:
    names = ", ".join(dict.fromkeys(part.name for part in parts if part.name))
    return Message(
        text=f"By owner: {names}" if names else "More findings",
        blocks=tuple(block for part in parts for block in part.blocks),
    )


def _parts(new: Sequence[Result], now: datetime, people: Mapping[str, str]) -> Iterator[_Part]:
    actions = {result.target.key: proposed_action(result) for result in new}
    differ = len(set(actions.values())) > 1
    for owner, results in group_by_owner(new[:THREAD_FINDINGS]):
        name = owner_in_message(owner)
        above = [section_block(_heading(name, people.get(owner or ""), results))]
        for result in results:
            below = _described_below(result, now, actions[result.target.key] if differ else "")
            yield _Part(name, bool(above), [*above, section_block("\n".join(below))])
            above = []
    if (more := len(new) - THREAD_FINDINGS) > 0:
        yield _Part("", True, [section_block(f"and {more:,} more: see the report")])


def _heading(name: str, user: str | None, results: Sequence[Result]) -> str:
    if user is None:
        return f"*{name}*: {share_text(results)}"
    yours = "this one is yours" if len(results) == 1 else "these are yours"
    money = sums_text(Totals.of(results))
    return f"<@{user}>, {yours}{f': {money}' if money else ''}"


def describe_finding(result: Result, now: datetime) -> list[str]:
    """Describe one finding in a few lines: its cost, its owner, since when, why."""
    return [
        priced_name(result),
        finding_facts(result, now, owner_clause(result)),
        reason_sentence(result),
    ]


def _described_below(result: Result, now: datetime, own: str) -> list[str]:
    """Describe one finding below its owner's name: its *own* action if they differ, and unread signals."""
    unread = [seen for seen in result.verdict.evidence if seen.error is not None]
    return [
        *(priced_name(result), finding_facts(result, now), reason_sentence(result)),
        *(
            [f"{'Proposed' if is_only_reported(result) else 'Would happen'}: {prose(own, 200)}"]
            if own
            else []
        ),
        *(
            f"Could not be read: {prose(seen.signal, 60)} ({prose(seen.error or '', 200)})"
            for seen in unread[:UNREAD_SHOWN]
        ),
    ]
