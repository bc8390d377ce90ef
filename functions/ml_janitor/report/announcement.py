"""The Slack message about the new findings of one sweep: what they cost and whose they are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from ml_janitor.core.model import Kept, Mode
from ml_janitor.core.money import Totals, dearest_first
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.core.text import moment
from ml_janitor.ledger.entries import Recorded
from ml_janitor.report import causes
from ml_janitor.report.finding_words import action, amounts, kinds, left_out, noun, shares
from ml_janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    code,
    context,
    counted,
    fits,
    header,
    prose,
    section,
    sentence,
)
from ml_janitor.report.outcomes import only_reported
from ml_janitor.report.thread import SHOWN, described, thread

SHOWN_AT_ONCE = 3
"""Findings that the message itself shows; the others are in its thread."""

ACTIONS_SHOWN = 3

OWN_MESSAGE = frozenset({Outcome.WARNED, Outcome.ACTED})
"""Findings that this sweep warned about in a message of its own, or removed."""


def announcement(
    sweep: Sweep,
    recorded: Recorded,
    *,
    now: datetime,
    people: Mapping[str, str] | None = None,
    report: str = "",
    keep_tag: str = "",
) -> Post | None:
    """
    What to post of *sweep*; None if nothing is new.

    *people* are Slack's user ids by owner (see `owners`), *report* says where the whole report is
    kept, *keep_tag* is the tag that exempts. Only the thread mentions people, beside what is theirs.
    """
    new = sorted(recorded.new, key=dearest_first)
    if not new:
        return None
    keys = {result.target.key for result in new}
    known = [
        result
        for result in sweep.findings
        if result.target.key not in keys and result.outcome not in OWN_MESSAGE
    ]
    return Post(
        main=_main(sweep, new, now, _small_print(sweep.detector, known, report, keep_tag)),
        replies=tuple(thread(new, now, people or {})),
        attachment=f"{sweep.detector}-{sweep.account or 'unknown'}-{sweep.region}-{now:%Y-%m-%d}.html",
    )


def owners(new: Iterable[Result]) -> tuple[str, ...]:
    """The owners whom the thread will name, each once: those to look up in Slack."""
    shown = sorted(new, key=dearest_first)[:SHOWN]
    return tuple(dict.fromkeys(result.owner for result in shown if result.owner))


# --- the message --------------------------------------------------------------------------------


def _main(sweep: Sweep, new: Sequence[Result], now: datetime, small_print: str) -> Message:
    where = f"account {prose(sweep.account or 'unknown', 40)}, {prose(sweep.region, 40)}"
    title, sums = headline(sweep.detector, new), Totals.of(new)
    unpriced = sums.unpriced if amounts(sums) else 0
    must = [header(title), section(f"In {where}, as of {moment(now)}.{left_out(unpriced)}")]
    must += [section(text) for text in (_not_complete(sweep), _unjudged(sweep)) if text]
    must += [section(text) for text in _would_happen(sweep, new)]
    last = [context(small_print)] if small_print else []
    examples = _dearest(new, now, [*must, *last])
    dearest = ""
    if len(new) > 1 and amounts(Totals.of(new[:1])):
        dearest = f" The dearest is {prose(new[0].target.name, 150)}."
    text = f"{title} in {where}.{dearest}"
    return Message(text=text, blocks=(*must[:2], *examples, *must[2:], *last))


def _dearest(new: Sequence[Result], now: datetime, others: Sequence[Block]) -> list[Block]:
    """As many of the dearest as have room beside *others*, under a line that says whose all of them are."""
    shown = [section("\n".join(described(result, now))) for result in new[:SHOWN_AT_ONCE]]
    while True:
        title = _dearest_title(new, len(shown))
        heads = [section(f"{shares(new)}\n{title}")] if len(new) > len(shown) else []
        if len(shown) <= 1 or fits([*others, *heads, *shown]):
            return [*heads, *shown]
        shown.pop()


def _dearest_title(new: Sequence[Result], shown: int) -> str:
    """What stands above those that are *shown*; what has no price is not dear."""
    if not amounts(Totals.of(new)):
        return f"*{shown} of them:*"
    return f"*The dearest {shown} of them:*" if shown > 1 else "*The dearest of them:*"


def headline(detector: str, new: Sequence[Result]) -> str:
    """The money first: "$8,048 a month: 3 new idle endpoints"."""
    found = _found(detector, new)
    sums = Totals.of(new)
    if money := amounts(sums):
        return f"{money}: {found}"
    return f"{found}, price unknown" if sums.unpriced else found


def _found(detector: str, new: Sequence[Result]) -> str:
    """How many of what: "2 new hung training jobs, 1 hung processing job and 1 more"."""
    return kinds(detector, new).replace(" ", " new ", 1)


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
        f"{why} {sentence(prose(reason, 300)) if not others else f'{prose(reason, 300)}.'}"
    )


def _not_complete(sweep: Sweep) -> str:
    if sweep.error is None:
        return ""
    return f"*Not everything could be looked at*, so there may be more. {sentence(prose(sweep.error, 400))}"


def _small_print(detector: str, known: Sequence[Result], report: str, keep_tag: str) -> str:
    sentences = []
    if known:
        sums = amounts(Totals.of(known))
        what = f"{len(known):,} {noun(detector, len(known))} known from before"
        sentences.append(f"Besides: {what}{f', {sums}' if sums else ''}.")
    if keep_tag:
        sentences.append(f"To keep one for good, tag it {code(f'{keep_tag}=true')}.")
    if report:
        sentences.append(f"The whole report: {code(report, 500)}")
    return " ".join(sentences)


# --- what would happen -----------------------------------------------------------------------------


def _would_happen(sweep: Sweep, new: Sequence[Result]) -> Iterator[str]:
    """What acting on *new* would do, and why an armed detector only reports some of them."""
    spared = [result for result in new if only_reported(result)]
    others = [result for result in new if not only_reported(result)]
    dry = " This is a dry run: nothing was changed." if sweep.mode is Mode.DRY_RUN else ""
    if others:
        yield f"*What would happen:* {_ranked(map(action, others), 'other action')}{dry}"
    if spared:
        why = _ranked((causes.reason(one.cause) for one in spared if one.cause), "other reason")
        proposed = _ranked(map(action, spared), "other action")
        yield f"*Only reported:* {why} Nothing is done. Proposed: {proposed}"


def _ranked(texts: Iterable[str], noun: str) -> str:
    """The most frequent of *texts*, each with its count if they differ; the report lists the rest."""
    ranked = Counter(texts).most_common()
    shown = [
        f"{_times(times) if len(ranked) > 1 else ''}{prose(one, 200)}"
        for one, times in ranked[:ACTIONS_SHOWN]
    ]
    if more := len(ranked) - len(shown):
        shown.append(f"{counted(more, noun)}, which the report lists")
    return sentence("; ".join(shown))


def _times(number: int) -> str:
    return "once: " if number == 1 else f"{number:,} times: "
