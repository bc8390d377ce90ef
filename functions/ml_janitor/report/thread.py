"""The thread below a sweep's message: the dearest findings one by one, grouped by owner. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ml_janitor.core.money import Totals
from ml_janitor.core.results import Result
from ml_janitor.report.finding_words import (
    action,
    amounts,
    by_owner,
    facts,
    owned_by,
    owner_name,
    priced_name,
    reason,
    share,
)
from ml_janitor.report.mrkdwn import Block, Message, fits, prose, section
from ml_janitor.report.outcomes import only_reported

SHOWN = 20
"""Findings that the thread tells one by one, the dearest; the report has them all."""

UNREAD_SHOWN = 3


class _Part(NamedTuple):
    """Some blocks that stay together; not the *first* of an owner's if the heading stands above another."""

    name: str
    first: bool
    blocks: list[Block]


def thread(new: Sequence[Result], now: datetime, people: Mapping[str, str]) -> list[Message]:
    """The dearest of *new*, grouped by owner, in as few replies as Slack's limits allow."""
    replies: list[Message] = []
    parts: list[_Part] = []
    for part in _parts(new, now, people):
        if parts and not fits([block for one in (*parts, part) for block in one.blocks]):
            replies.append(_reply(parts))
            parts = [] if part.first else [_Part(part.name, True, [section(f"*{part.name}*, continued")])]
        parts.append(part)
    return [*replies, _reply(parts)]


def _reply(parts: Sequence[_Part]) -> Message:
    names = ", ".join(dict.fromkeys(part.name for part in parts if part.name))
    return Message(
        text=f"By owner: {names}" if names else "More findings",
        blocks=tuple(block for part in parts for block in part.blocks),
    )


def _parts(new: Sequence[Result], now: datetime, people: Mapping[str, str]) -> Iterator[_Part]:
    actions = {result.target.key: action(result) for result in new}
    differ = len(set(actions.values())) > 1
    for owner, results in by_owner(new[:SHOWN]):
        name = owner_name(owner)
        above = [section(_heading(name, people.get(owner or ""), results))]
        for result in results:
            below = _described_below(result, now, actions[result.target.key] if differ else "")
            yield _Part(name, bool(above), [*above, section("\n".join(below))])
            above = []
    if (more := len(new) - SHOWN) > 0:
        yield _Part("", True, [section(f"and {more:,} more: see the report")])


def _heading(name: str, user: str | None, results: Sequence[Result]) -> str:
    if user is None:
        return f"*{name}*: {share(results)}"
    yours = "this one is yours" if len(results) == 1 else "these are yours"
    money = amounts(Totals.of(results))
    return f"<@{user}>, {yours}{f': {money}' if money else ''}"


def described(result: Result, now: datetime) -> list[str]:
    """One finding in a few lines: what it costs, whose it is, since when, why."""
    return [priced_name(result), facts(result, now, owned_by(result)), reason(result)]


def _described_below(result: Result, now: datetime, own: str) -> list[str]:
    """One finding below its owner's name: its *own* action if they differ, and what could not be read."""
    unread = [seen for seen in result.verdict.evidence if seen.error is not None]
    return [
        *(priced_name(result), facts(result, now), reason(result)),
        *([f"{'Proposed' if only_reported(result) else 'Would happen'}: {prose(own, 200)}"] if own else []),
        *(
            f"Could not be read: {prose(seen.signal, 60)} ({prose(seen.error or '', 200)})"
            for seen in unread[:UNREAD_SHOWN]
        ),
    ]
