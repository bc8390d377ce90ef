"""Why a resource is judged as it is, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.arns import Arn
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Absent, Evidence, Unreadable, Value
from ml_janitor.core.text import moment, plain
from ml_janitor.report.causes import undone_by_hand
from ml_janitor.report.finding_words import NO_OWNER
from ml_janitor.report.mrkdwn import counted
from ml_janitor_cli.explanation import TAGS, Explained, signals
from ml_janitor_cli.finding_rows import ERROR_LIMIT, NAME_LIMIT, paid_once, price, since
from ml_janitor_cli.screen import GAP, Grid, head, title

INDENT = 2
ARN_LIMIT = 2_048
SIGNAL_WIDTH = 30
ROOM_FOR_VALUE = 30
"""With less room for values than this beside the source calls, those move below the values."""

NOT_JUDGED = "It exists, but is not among those that are judged: docs/detectors says which are."
"""Of a job that did not complete, for example, where a detector judges only those that did."""

STYLES = {"found": "bold red", "kept": "bold green", "unknown": "bold yellow"}


def drawing(
    explained: Sequence[Explained], *, now: datetime, account: str, width: int, notes: Sequence[str] = ()
) -> Iterator[RenderableType]:
    """The blocks of the explanation: each resource once, with every detector that judges it; then *notes*."""
    facts = [f"account {plain(account)}", moment(now), "dry run, nothing changed"]
    yield Group(
        title("ML Janitor", headline(explained)),
        Text("  ".join(facts), style="dim"),
    )
    for arn, each in groupby(explained, key=lambda one: one.arn):
        judged = list(each)
        yield about(arn, judged, now)
        for one in judged:
            if not one.missing:
                yield block([one], now, width)
        if missing := [one for one in judged if one.missing]:
            yield block(missing, now, width)
    if notes:
        yield Group(*(Text(plain(note, ERROR_LIMIT), style="dim") for note in notes))


def block(alike: Sequence[Explained], now: datetime, width: int) -> RenderableType:
    """What one detector says of a resource, or several that say the same."""
    return Group(judged_by(alike), Padding(body(alike[0], now, width - INDENT), (0, 0, 0, INDENT)))


def headline(explained: Sequence[Explained]) -> str:
    """What is explained, in one sentence."""
    verdicts = [one.verdict for one in explained]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    resources = len({one.arn for one in explained})
    return f"{counted(len(verdicts), 'verdict')} on {counted(resources, 'resource')}: {', '.join(counts)}."


def about(arn: str, judged: Sequence[Explained], now: datetime) -> RenderableType:
    """Which resource it is."""
    lines: list[RenderableType] = []
    results = [one.result for one in judged if one.result is not None]
    result = next((each for each in results if each.target.arn.lower() == arn.lower()), None)
    name = result.target.name if result else Arn.parse(arn).name
    lines.append(Text(plain(name, NAME_LIMIT), style="bold", overflow="fold"))
    lines.append(Text(plain(arn, ARN_LIMIT), style="dim", overflow="fold"))
    if result is not None:
        created = result.target.created
        facts = [
            f"{plain(result.target.kind)} in {plain(result.target.region)}",
            f"created {moment(created)}, {ago(now - created)} ago" if created else "creation time unknown",
            f"owner {plain(result.owner)}" if result.owner else NO_OWNER,
        ]
        lines.append(Text("  ".join(facts)))
    return Group(*lines)


def judged_by(alike: Sequence[Explained]) -> RenderableType:
    """The detectors, and their verdict in a word or two."""
    one = alike[0]
    text = one.verdict
    if one.result is not None and isinstance(one.result.verdict, Finding):
        text += f", {one.result.verdict.confidence}"
    names = Text(", ".join(plain(each.sweep.detector) for each in alike), style="bold cyan")
    return head(names, Text(text, style=STYLES.get(one.verdict, "bold")))


def body(one: Explained, now: datetime, width: int) -> RenderableType:
    """Signals, steps and verdict; or why there are none."""
    lines: list[RenderableType] = []
    if one.missing and one.exists:
        lines.append(Text(NOT_JUDGED))
    elif one.missing:
        lines.append(Text(f"It is not in {plain(one.sweep.region)}: {absence(one)}."))
        if one.near is not None:
            lines.append(Text(f"Did you mean {plain(one.near, ARN_LIMIT)}?", overflow="fold"))
    if one.result is not None:
        if one.result.target.arn.lower() != one.arn.lower():
            lines.append(Text(f"Judged as one of {plain(one.result.target.name)}.", overflow="fold"))
        lines += [_signals(signals(one.result), width), "", _steps(one.result)]
        lines += _proposal(one.result, now)
    if one.sweep.error is not None:
        lines.append(Text(f"Not complete: {plain(one.sweep.error, ERROR_LIMIT)}", style="red"))
    return Group(*lines)


def absence(one: Explained) -> str:
    """Why it is not there, as far as anything shows."""
    elsewhere = "" if Arn.parse(one.arn).region else "; it may be in another region (see --region)"
    match one.deleted:
        case Value(at, source):
            return f"it was deleted ({source}, {moment(at)})"
        case Absent(source):
            return (
                f"nothing shows that it ever was ({source} knows no deletion of it); check the ARN{elsewhere}"
            )
        case Unreadable(error):
            return f"whether it ever was is unknown ({plain(error, ERROR_LIMIT)}); check the ARN{elsewhere}"
        case _:
            return f"whether it ever was is unknown; check the ARN{elsewhere}"


def _signals(seen: Sequence[Evidence], width: int) -> RenderableType:
    """Every signal with its value, the time it speaks of, and the call that it is from."""
    longest = max(cell_len(plain(one.signal)) for one in seen)
    source = max(cell_len(plain(one.source)) for one in seen)
    name = min(SIGNAL_WIDTH, longest)
    room = width - name - source - 2 * GAP
    beside = room >= ROOM_FOR_VALUE
    if not beside:
        name = min(width // 3, longest)
    table = Grid()
    table.add_column(width=name, overflow="fold")
    table.add_column(width=room if beside else width - name - GAP, overflow="fold")
    if beside:
        table.add_column(style="dim", no_wrap=True)
    for one in seen:
        call = Text(plain(one.source), style="dim")
        lines = [*_value(one), *_time(one)]
        if beside:
            table.add_row(Text(plain(one.signal), style="dim"), Group(*lines), call)
        else:
            table.add_row(
                Text(plain(one.signal), style="dim"), Group(*lines, *([call] if one.source else []))
            )
    return table


def _value(one: Evidence) -> list[Text]:
    if one.error is not None:
        return [Text(f"not readable: {plain(one.error, ERROR_LIMIT)}", style="yellow")]
    match one.value:
        case None:
            return [Text("none", style="dim")]
        case str() if one.signal == TAGS:
            return [Text(plain(tag)) for tag in one.value.split(", ")]
        case bool() | str():
            return [Text(plain(str(one.value), ERROR_LIMIT))]
        case int():
            return [Text(f"{one.value:,}")]
        case _:
            return [Text(f"{one.value:g}")]


def _time(one: Evidence) -> list[Text]:
    """The time that the signal speaks of, unless its value says so already."""
    if one.at is None or f"{one.at:%Y-%m-%dT%H:%M}" in str(one.value) or moment(one.at) in str(one.value):
        return []
    return [Text(moment(one.at), style="dim")]


def _steps(result: Result) -> RenderableType:
    """The rule's steps in the order they were taken; the last one is the verdict."""
    steps = result.verdict.steps or (result.verdict.reason,)
    table = Grid()
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    for number, step in enumerate(steps, start=1):
        table.add_row(
            str(number), Text(plain(step, ERROR_LIMIT), style="bold" if number == len(steps) else "")
        )
    return table


def _proposal(result: Result, now: datetime) -> Iterator[RenderableType]:
    """What a finding costs, and what would be done."""
    if not isinstance(result.verdict, Finding):
        return
    finding, facts = result.verdict, []
    if (cost := finding.cost) is not None:
        amount, per, *rate = price(cost)
        facts += [f"Cost: {', '.join((f'{amount} {per}', *rate))} ({plain(cost.source) or 'no source'})"]
    if once := paid_once(finding.cost):
        facts.append(f"{once[0].lower()}{once[1:].rstrip('.')}")
    if finding.since is not None:
        facts.append(f"waste since {since(finding, now)}")
    yield ""
    if facts:
        text = "; ".join(facts)
        yield Text(f"{text[0].upper()}{text[1:]}")
    yield Text(f"Proposed: {plain(finding.action)}", style="cyan")
    if by_hand := undone_by_hand(result):
        yield Text(f"{by_hand[0].upper()}{plain(by_hand[1:], ERROR_LIMIT)}.", overflow="fold")
