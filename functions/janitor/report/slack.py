"""What Slack is told of one sweep: its new findings, what they cost, whose they are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from janitor.durations import ago
from janitor.model import Finding, Kept, Mode, Result, Sweep
from janitor.money import Totals, dearest_first
from janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    code,
    context,
    counted,
    escaped,
    fits,
    header,
    prose,
    section,
    sentence,
)
from janitor.report.text import moment, usd

if TYPE_CHECKING:
    from janitor.ledger import Recorded

SHOWN = 20
"""Findings that the thread tells one by one, the dearest; the report has them all."""

SHOWN_AT_ONCE = 3
"""Findings that stand in the message itself."""

OWNERS_SHOWN = 5
ACTIONS_SHOWN = 3
UNREAD_SHOWN = 3
OWNER_LENGTH = 80

NOBODY = "nobody that a tag names"


def announcement(
    sweep: Sweep,
    recorded: Recorded,
    *,
    now: datetime,
    people: Mapping[str, str] | None = None,
    report: str = "",
) -> Post | None:
    """
    What to post of *sweep*; None if nothing is new.

    *people* are Slack's user ids by owner (see `owners`), *report* says where the whole report is
    kept. Only the thread mentions people, each once, beside what is theirs.
    """
    new = sorted(recorded.new, key=dearest_first)
    if not new:
        return None
    known = [result for result in sweep.findings if result.target.key not in {r.target.key for r in new}]
    return Post(
        main=_main(sweep, new, known, now, report),
        replies=tuple(_thread(new, now, people or {})),
        attachment=f"{sweep.detector}-{sweep.account or 'unknown'}-{sweep.region}-{now:%Y-%m-%d}.html",
    )


def owners(new: Iterable[Result]) -> tuple[str, ...]:
    """The owners whom the thread will name, each once: those to look up in Slack."""
    shown = sorted(new, key=dearest_first)[:SHOWN]
    return tuple(dict.fromkeys(result.owner for result in shown if result.owner))


# --- the message --------------------------------------------------------------------------------


def _main(
    sweep: Sweep, new: Sequence[Result], known: Sequence[Result], now: datetime, report: str
) -> Message:
    sums, what = Totals.of(new), noun(sweep.detector, len(new))
    where = f"account {prose(sweep.account or 'unknown', 40)}, {prose(sweep.region, 40)}"
    verb = "is" if len(new) == 1 else "are"
    summary = (
        f"{len(new):,} {what} {verb} new in {where}, as of {moment(now)}. {cost(sums, len(new))}".strip()
    )
    must = [header(headline(sweep.detector, new)), section(summary)]
    must += [section(said) for said in (_not_complete(sweep), _unjudged(sweep)) if said]
    must += [section(_would_happen(sweep, new))]
    last = [context(said) for said in (_besides(sweep, known, report),) if said]
    told = _dearest(new, now, [*must, *last])
    text = f"{headline(sweep.detector, new)}. {where}. Dearest: {prose(new[0].target.name, 150)}."
    return Message(text=text, blocks=(*must[:2], *told, *must[2:], *last))


def _dearest(new: Sequence[Result], now: datetime, others: Sequence[Block]) -> list[Block]:
    """As many of the dearest as have room beside *others*, under a line that says whose all of them are."""
    shown = [section("\n".join(_told(result, now))) for result in new[:SHOWN_AT_ONCE]]
    while True:
        title = f"*The dearest {len(shown)} of them:*" if len(shown) > 1 else "*The dearest of them:*"
        heads = [section(f"{_whose(new)}\n{title}")] if len(new) > len(shown) else []
        if len(shown) <= 1 or fits([*others, *heads, *shown]):
            return [*heads, *shown]
        shown.pop()


def headline(detector: str, new: Sequence[Result]) -> str:
    """The money first: "$8,048 a month: 3 new idle endpoints"."""
    found = f"{len(new):,} new {noun(detector, len(new))}"
    sums = Totals.of(new)
    if said := amounts(sums):
        return f"{said}: {found}"
    return f"{found}, price unknown" if sums.unpriced else found


def noun(detector: str, number: int) -> str:
    """What *detector* finds, in words: its name says it."""
    words = escaped(detector.replace("-", " "))
    return words.removesuffix("s") if number == 1 else words


def amounts(sums: Totals) -> str:
    """What some findings cost, in a few words; nothing if no price is known."""
    said = [f"{usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        more = f", {usd(sums.hourly_usd)} more every hour" if sums.hourly_usd else ""
        said.append(f"{usd(sums.accrued_usd)} so far{more}")
    return " and ".join(said)


def cost(sums: Totals, number: int) -> str:
    """The same as a sentence or two, with what the sum leaves out."""
    if not (said := amounts(sums)):
        return "" if not sums.unpriced else "The price is unknown."
    total = f"{'It costs' if number == 1 else 'Together they cost'} *{said}*."
    if not sums.unpriced:
        return total
    return f"{total} That leaves out {sums.unpriced:,} whose price is unknown."


def _whose(new: Sequence[Result]) -> str:
    """Everybody's share, the dearest first."""
    groups = by_owner(new)
    shown = [
        f"{prose(owner, OWNER_LENGTH) if owner else NOBODY} ({_share(results)})"
        for owner, results in groups[:OWNERS_SHOWN]
    ]
    more = len(groups) - len(shown)
    return f"*Whose they are:* {', '.join(shown)}{f', and {counted(more, "other owner")}' if more else ''}"


def _share(results: Sequence[Result]) -> str:
    said = amounts(Totals.of(results))
    return f"{len(results):,}{f' for {said}' if said else ''}"


def _would_happen(sweep: Sweep, new: Sequence[Result]) -> str:
    actions = Counter(result.verdict.action for result in new if isinstance(result.verdict, Finding))
    ranked = actions.most_common()
    shown = [
        f"{f'{times:,} times: ' if len(ranked) > 1 else ''}{prose(action, 200)}"
        for action, times in ranked[:ACTIONS_SHOWN]
    ]
    if more := len(ranked) - len(shown):
        shown.append(f"{counted(more, 'other action')}, which the report lists")
    dry = " This is a dry run: nothing was changed." if sweep.mode is Mode.DRY_RUN else ""
    return f"*What would happen:* {sentence('; '.join(shown))}{dry}"


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


def _besides(sweep: Sweep, known: Sequence[Result], report: str) -> str:
    said = []
    if known:
        sums = amounts(Totals.of(known))
        said.append(
            f"Besides: {len(known):,} {noun(sweep.detector, len(known))} known from before"
            f"{f', {sums}' if sums else ''}."
        )
    if report:
        said.append(f"The whole report: {code(report, 500)}")
    return " ".join(said)


# --- the thread ---------------------------------------------------------------------------------


def _thread(new: Sequence[Result], now: datetime, people: Mapping[str, str]) -> list[Message]:
    """The dearest, grouped by owner, in as few replies as Slack's limits allow."""
    replies: list[Message] = []
    blocks: list[Block] = []
    names: list[str] = []

    def close() -> None:
        text = f"The dearest, by owner: {', '.join(dict.fromkeys(names))}"
        replies.append(Message(text=text, blocks=tuple(blocks)))
        blocks.clear()
        names.clear()

    for owner, results in by_owner(new[:SHOWN]):
        name = prose(owner, OWNER_LENGTH) if owner else NOBODY
        user = people.get(owner) if owner else None
        head = section(_heading(name, user, results))
        for number, result in enumerate(results):
            told = [*([head] if number == 0 else []), section("\n".join(_told(result, now, reply=True)))]
            if blocks and not fits([*blocks, *told]):
                close()
                told = told if number == 0 else [section(f"*{name}*, continued"), *told]
            blocks += told
            names.append(name)
    if more := len(new) - SHOWN:
        rest = section(f"and {more:,} more: see the report")
        if more > 0 and fits([*blocks, rest]):
            blocks.append(rest)
        elif more > 0:
            close()
            blocks.append(rest)
    close()
    return replies


def _heading(name: str, user: str | None, results: Sequence[Result]) -> str:
    if user is None:
        return f"*{name}*: {_share(results)}"
    yours = "this one is yours" if len(results) == 1 else "these are yours"
    said = amounts(Totals.of(results))
    return f"<@{user}>, {yours}{f': {said}' if said else ''}"


def _told(result: Result, now: datetime, *, reply: bool = False) -> list[str]:
    """One finding in a few lines: what it costs, whose it is, since when, why; a *reply* leaves no owner out."""
    verdict = result.verdict
    if not isinstance(verdict, Finding):
        raise TypeError("only findings are announced")
    sums = Totals.of([result])
    price = amounts(sums) or ("price unknown" if sums.unpriced else "")
    since = (
        f"since {verdict.since:%Y-%m-%d} ({ago(now - verdict.since)})" if verdict.since else "since unknown"
    )
    owner = prose(result.owner, OWNER_LENGTH) if result.owner else NOBODY
    facts = [*([] if reply else [f"owned by {owner}"]), since, verdict.confidence.value]
    said = [f"{code(result.target.name)}{f'  *{price}*' if price else ''}", sentence(", ".join(facts))]
    said.append(sentence(prose(verdict.reason, 400)))
    if not reply:
        return said
    said += [f"Would happen: {prose(verdict.action, 200)}"]
    unread = [seen for seen in verdict.evidence if seen.error is not None]
    said += [
        f"Could not be read: {prose(seen.signal, 60)} ({prose(seen.error or '', 200)})"
        for seen in unread[:UNREAD_SHOWN]
    ]
    return said


def by_owner(results: Iterable[Result]) -> list[tuple[str | None, list[Result]]]:
    """*results* by owner, who comes first whose dearest comes first; one spelling of a name is enough."""
    groups: dict[str, tuple[str | None, list[Result]]] = {}
    for result in results:
        groups.setdefault((result.owner or "").casefold(), (result.owner or None, []))[1].append(result)
    return list(groups.values())
