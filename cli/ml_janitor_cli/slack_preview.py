"""The message that Slack would get, drawn for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.config.routes import NO_ROUTES, Routes
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Report
from ml_janitor.core.text import escape_text
from ml_janitor.ledger.entries import RecordedFindings
from ml_janitor.report.announcement import announce_sweep
from ml_janitor.report.mrkdwn import Block, Message, Post, count_noun
from ml_janitor.slack.announcements import split_by_channel

PREVIEW_INDENT = 2
MESSAGE_BAR = "\u2502 "

PREVIEW_LIMIT = 4000
"""Maximum number of characters; a message's own limits have cut its texts already."""

MRKDWN_MARKUP = re.compile(r"`(?P<code>[^`]*)`|\*(?P<bold>[^*\n]+)\*|<(?P<mention>[@!][^<>]*)>")
"""The markup that `ml_janitor.report.mrkdwn` writes, and nothing else of Slack's."""


def draw_preview(
    report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES
) -> Iterator[RenderableType]:
    """
    Draw the messages that Slack would get about *report* if none of it had been announced before.

    The post of the dearest sweep in full, the others by their first line, those that are routed with their
    channel; nothing for a report without findings.
    """
    posts = sweep_posts(report, keep_tag=keep_tag, routes=routes)
    if not posts:
        return
    (channel, first), *others = posts
    title = f"What Slack would get{f', in {channel}' if channel else ''}"
    yield Group(Text(title, style="bold cyan"), Padding(draw_post(first), (0, 0, 0, PREVIEW_INDENT)))
    if others:
        lines = [
            Text(f"{f'in {channel}: ' if channel else ''}{_shown(post.main.text)}")
            for channel, post in others
        ]
        title = f"and {count_noun(len(others), 'more message')} of this kind:"
        yield Group(Text(title, style="dim"), Padding(Group(*lines), (0, 0, 0, PREVIEW_INDENT)))


def sweep_posts(report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES) -> list[tuple[str, Post]]:
    """Return the posts of all sweeps with findings, the dearest first, each with its channel if routed."""
    parts = [
        part
        for sweep in report.sweeps
        for part in split_by_channel(sweep, RecordedFindings(new=sweep.findings, entries={}), routes)
    ]
    by_cost = sorted(parts, key=lambda part: _dollars(Totals.of(part[1].results)), reverse=True)
    posts = (
        (channel, announce_sweep(sweep, new, now=report.time, keep_tag=keep_tag))
        for channel, sweep, new in by_cost
    )
    return [(channel, post) for channel, post in posts if post is not None]


def _dollars(sums: Totals) -> float:
    return float(sums.monthly_usd + sums.accrued_usd)


def draw_post(post: Post) -> RenderableType:
    """Draw *post*'s message with a bar beside it, and a line for each reply and attachment."""
    below = [_shown(reply.text) for reply in post.replies]
    if post.attachment:
        below.append(f"The report: {escape_text(post.attachment)}")
    return Group(draw_message(post.main), *(Text(f"in its thread: {line}", style="dim") for line in below))


def draw_message(message: Message) -> RenderableType:
    """Draw one message, block by block."""
    lines = [line for block in message.blocks for line in (*_lines(block), Text(""))]
    return BarredLines(lines[:-1])


class BarredLines:
    """Lines with Slack's bar at their left, however they are folded."""

    def __init__(self, lines: Sequence[Text]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        for line in self._lines:
            for part in line.wrap(console, options.max_width - len(MESSAGE_BAR)) if line.plain else [line]:
                yield Text.assemble((MESSAGE_BAR, "dim"), part)


def _lines(block: Block) -> list[Text]:
    match block["type"]:
        case "header":
            return [Text(escape_text(block["text"]["text"]), style="bold")]
        case "section":
            return [draw_mrkdwn(line) for line in str(block["text"]["text"]).split("\n")]
        case "context":
            return [draw_mrkdwn(str(element["text"]), style="dim") for element in block["elements"]]
        case "actions":
            labels = (escape_text(element["text"]["text"]) for element in block["elements"])
            return [Text("  ".join(f"[ {label} ]" for label in labels), style="bold blue")]
        case _:
            return []


def draw_mrkdwn(mrkdwn: str, style: str = "") -> Text:
    """Draw one line of mrkdwn as Slack would show it."""
    line, end = Text(style=style), 0
    for found in MRKDWN_MARKUP.finditer(mrkdwn):
        line.append(_shown(mrkdwn[end : found.start()]))
        kind = str(found.lastgroup)
        line.append(_shown(found[kind]), style={"bold": "bold", "code": "cyan", "mention": "blue"}[kind])
        end = found.end()
    return line.append(_shown(mrkdwn[end:]))


def _shown(mrkdwn: str) -> str:
    return escape_text(mrkdwn.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), PREVIEW_LIMIT)
