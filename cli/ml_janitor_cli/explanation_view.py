"""Explanations of verdicts, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.arns import Arn
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Absent, Evidence, Unreadable, Value
from ml_janitor.core.text import escape_text, format_time
from ml_janitor.report.causes import undo_by_hand_text
from ml_janitor.report.finding_words import NO_OWNER
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.explanation import TAGS_SIGNAL, Explanation, signals_with_tags
from ml_janitor_cli.finding_rows import ERROR_LIMIT, NAME_LIMIT, once_sentence, price_lines, since_text
from ml_janitor_cli.screen import COLUMN_GAP, Grid, draw_head, draw_title

EXPLANATION_INDENT = 2
ARN_LIMIT = 2_048
SIGNAL_WIDTH = 30
ROOM_FOR_VALUE = 30
"""Width below which source calls move from beside the values to below them."""

NOT_JUDGED_TEXT = "It exists, but is not among those that are judged: docs/detectors says which are."
"""Text for a resource that exists, such as an incomplete job, where a detector judges completed jobs only."""

VERDICT_STYLES = {"found": "bold red", "kept": "bold green", "unknown": "bold yellow"}


def draw_explanations(
    explained: Sequence[Explanation], *, now: datetime, account: str, width: int, notes: Sequence[str] = ()
) -> Iterator[RenderableType]:
    """Yield each resource once, with every detector that judges it; then *notes*."""
    facts = [f"account {escape_text(account)}", format_time(now), "dry run, nothing changed"]
    yield Group(
        draw_title("ML Janitor", explanations_headline(explained)),
        Text("  ".join(facts), style="dim"),
    )
    for arn, of_arn in groupby(explained, key=lambda judged: judged.arn):
        judged = list(of_arn)
        yield draw_resource(arn, judged, now)
        for answer in judged:
            if not answer.missing:
                yield draw_answer([answer], now, width)
        if missing := [answer for answer in judged if answer.missing]:
            yield draw_answer(missing, now, width)
    if notes:
        yield Group(*(Text(escape_text(note, ERROR_LIMIT), style="dim") for note in notes))


def draw_answer(alike: Sequence[Explanation], now: datetime, width: int) -> RenderableType:
    """Draw the answer of one detector about a resource, or of several with the same answer."""
    return Group(
        draw_verdict(alike),
        Padding(draw_answer_body(alike[0], now, width - EXPLANATION_INDENT), (0, 0, 0, EXPLANATION_INDENT)),
    )


def explanations_headline(explained: Sequence[Explanation]) -> str:
    """Summarize the explanations in one sentence."""
    verdicts = [answer.verdict for answer in explained]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    resources = len({answer.arn for answer in explained})
    return (
        f"{count_noun(len(verdicts), 'verdict')} on {count_noun(resources, 'resource')}: {', '.join(counts)}."
    )


def draw_resource(arn: str, judged: Sequence[Explanation], now: datetime) -> RenderableType:
    """Say which resource it is."""
    lines: list[RenderableType] = []
    results = [answer.result for answer in judged if answer.result is not None]
    result = next((found for found in results if found.target.arn.lower() == arn.lower()), None)
    name = result.target.name if result else Arn.parse(arn).name
    lines.append(Text(escape_text(name, NAME_LIMIT), style="bold", overflow="fold"))
    lines.append(Text(escape_text(arn, ARN_LIMIT), style="dim", overflow="fold"))
    if result is not None:
        created = result.target.created
        facts = [
            f"{escape_text(result.target.kind)} in {escape_text(result.target.region)}",
            f"created {format_time(created)}, {format_age(now - created)} ago"
            if created
            else "creation time unknown",
            f"owner {escape_text(result.owner)}" if result.owner else NO_OWNER,
        ]
        lines.append(Text("  ".join(facts)))
    return Group(*lines)


def draw_verdict(alike: Sequence[Explanation]) -> RenderableType:
    """Draw the detectors, and their verdict in a word or two."""
    first = alike[0]
    text = first.verdict
    if first.result is not None and isinstance(first.result.verdict, Finding):
        text += f", {first.result.verdict.confidence}"
    names = Text(", ".join(escape_text(answer.sweep.detector) for answer in alike), style="bold cyan")
    return draw_head(names, Text(text, style=VERDICT_STYLES.get(first.verdict, "bold")))


def draw_answer_body(answer: Explanation, now: datetime, width: int) -> RenderableType:
    """Draw signals, steps and verdict; or why there are none."""
    lines: list[RenderableType] = []
    if answer.missing and answer.exists:
        lines.append(Text(NOT_JUDGED_TEXT))
    elif answer.missing:
        lines.append(Text(f"It is not in {escape_text(answer.sweep.region)}: {absence_text(answer)}."))
        if answer.near is not None:
            lines.append(Text(f"Did you mean {escape_text(answer.near, ARN_LIMIT)}?", overflow="fold"))
    if answer.result is not None:
        if answer.result.target.arn.lower() != answer.arn.lower():
            lines.append(Text(f"Judged as one of {escape_text(answer.result.target.name)}.", overflow="fold"))
        lines += [_signals(signals_with_tags(answer.result), width), "", _steps(answer.result)]
        lines += _proposal(answer.result, now)
    if answer.sweep.error is not None:
        lines.append(Text(f"Not complete: {escape_text(answer.sweep.error, ERROR_LIMIT)}", style="red"))
    return Group(*lines)


def absence_text(answer: Explanation) -> str:
    """Say why it is not there, as far as anything shows."""
    elsewhere = "" if Arn.parse(answer.arn).region else "; it may be in another region (see --region)"
    match answer.deleted:
        case Value(at, source):
            return f"it was deleted ({source}, {format_time(at)})"
        case Absent(source):
            return (
                f"nothing shows that it ever was ({source} knows no deletion of it); check the ARN{elsewhere}"
            )
        case Unreadable(error):
            return (
                f"whether it ever was is unknown ({escape_text(error, ERROR_LIMIT)}); check the "
                f"ARN{elsewhere}"
            )
        case _:
            return f"whether it ever was is unknown; check the ARN{elsewhere}"


def _signals(seen: Sequence[Evidence], width: int) -> RenderableType:
    """Draw every signal with its value, its time, and the call that it is from."""
    longest = max(cell_len(escape_text(evidence.signal)) for evidence in seen)
    source = max(cell_len(escape_text(evidence.source)) for evidence in seen)
    name = min(SIGNAL_WIDTH, longest)
    room = width - name - source - 2 * COLUMN_GAP
    beside = room >= ROOM_FOR_VALUE
    if not beside:
        name = min(width // 3, longest)
    table = Grid()
    table.add_column(width=name, overflow="fold")
    table.add_column(width=room if beside else width - name - COLUMN_GAP, overflow="fold")
    if beside:
        table.add_column(style="dim", no_wrap=True)
    for evidence in seen:
        call = Text(escape_text(evidence.source), style="dim")
        lines = [*_value(evidence), *_time(evidence)]
        if beside:
            table.add_row(Text(escape_text(evidence.signal), style="dim"), Group(*lines), call)
        else:
            table.add_row(
                Text(escape_text(evidence.signal), style="dim"),
                Group(*lines, *([call] if evidence.source else [])),
            )
    return table


def _value(evidence: Evidence) -> list[Text]:
    if evidence.error is not None:
        return [Text(f"not readable: {escape_text(evidence.error, ERROR_LIMIT)}", style="yellow")]
    match evidence.value:
        case None:
            return [Text("none", style="dim")]
        case str() if evidence.signal == TAGS_SIGNAL:
            return [Text(escape_text(tag)) for tag in evidence.value.split(", ")]
        case bool() | str():
            return [Text(escape_text(str(evidence.value), ERROR_LIMIT))]
        case int():
            return [Text(f"{evidence.value:,}")]
        case _:
            return [Text(f"{evidence.value:g}")]


def _time(evidence: Evidence) -> list[Text]:
    """Draw the time of the signal, unless its value says so already."""
    if (
        evidence.at is None
        or f"{evidence.at:%Y-%m-%dT%H:%M}" in str(evidence.value)
        or format_time(evidence.at) in str(evidence.value)
    ):
        return []
    return [Text(format_time(evidence.at), style="dim")]


def _steps(result: Result) -> RenderableType:
    """Draw the rule's steps in the order they were taken; the last one is the verdict."""
    steps = result.verdict.steps or (result.verdict.reason,)
    table = Grid()
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    for number, step in enumerate(steps, start=1):
        table.add_row(
            str(number), Text(escape_text(step, ERROR_LIMIT), style="bold" if number == len(steps) else "")
        )
    return table


def _proposal(result: Result, now: datetime) -> Iterator[RenderableType]:
    """Draw the cost of a finding, and the proposed action."""
    if not isinstance(result.verdict, Finding):
        return
    finding, facts = result.verdict, []
    if (cost := finding.cost) is not None:
        amount, per, *rate = price_lines(cost)
        facts += [
            f"Cost: {', '.join((f'{amount} {per}', *rate))} ({escape_text(cost.source) or 'no source'})"
        ]
    if once := once_sentence(finding.cost):
        facts.append(f"{once[0].lower()}{once[1:].rstrip('.')}")
    if finding.since is not None:
        facts.append(f"waste since {since_text(finding, now)}")
    yield ""
    if facts:
        text = "; ".join(facts)
        yield Text(f"{text[0].upper()}{text[1:]}")
    yield Text(f"Proposed: {escape_text(finding.action)}", style="cyan")
    if by_hand := undo_by_hand_text(result):
        yield Text(f"{by_hand[0].upper()}{escape_text(by_hand[1:], ERROR_LIMIT)}.", overflow="fold")
