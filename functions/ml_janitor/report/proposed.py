"""What acting on new findings would do, and why nothing is done to some. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ml_janitor.core.model import Mode, Result, Sweep
from ml_janitor.report.causes import reason
from ml_janitor.report.finding_words import action
from ml_janitor.report.mrkdwn import counted, prose, sentence
from ml_janitor.report.outcomes import only_reported

ACTIONS_SHOWN = 3


def would_happen(sweep: Sweep, new: Sequence[Result]) -> Iterator[str]:
    """What acting on them does; where an armed detector only reports, why nothing is done instead."""
    spared = [result for result in new if only_reported(result)]
    others = [result for result in new if not only_reported(result)]
    dry = " This is a dry run: nothing was changed." if sweep.mode is Mode.DRY_RUN else ""
    if others:
        yield f"*What would happen:* {_ranked(map(action, others), 'other action')}{dry}"
    if spared:
        why = _ranked((reason(one.cause) for one in spared if one.cause), "other reason")
        else_done = _ranked(map(action, spared), "other action")
        yield f"*Only reported:* {why} Nothing is done. Proposed: {else_done}"


def _ranked(said: Iterable[str], noun: str) -> str:
    """What is said the most often, and how often if there are several; the report lists the rest."""
    ranked = Counter(said).most_common()
    shown = [
        f"{_times(times) if len(ranked) > 1 else ''}{prose(one, 200)}"
        for one, times in ranked[:ACTIONS_SHOWN]
    ]
    if more := len(ranked) - len(shown):
        shown.append(f"{counted(more, noun)}, which the report lists")
    return sentence("; ".join(shown))


def _times(number: int) -> str:
    return "once: " if number == 1 else f"{number:,} times: "
