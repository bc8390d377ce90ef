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
from ml_janitor.core.text import plain
from ml_janitor.ledger.entries import Recorded
from ml_janitor.report.announcement import announcement
from ml_janitor.report.mrkdwn import Block, Message, Post, counted
from ml_janitor.slack.announcements import by_channel

INDENT = 2
BAR = "\u2502 "

WHOLE = 4000
"""Maximum number of characters; a message's own limits have cut its texts already."""

MRKDWN = re.compile(r"`(?P<code>[^`]*)`|\*(?P<bold>[^*\n]+)\*|<(?P<mention>[@!][^<>]*)>")
"""The markup that `ml_janitor.report.mrkdwn` writes, and nothing else of Slack's."""


def preview(report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES) -> Iterator[RenderableType]:
    """
    Draw the messages that Slack would get about *report* if none of it had been announced before.

    The post of the dearest sweep in full, the others by their first line, those that are routed with their
    channel; nothing for a report without findings.
    """
    posts = announcements(report, keep_tag=keep_tag, routes=routes)
    if not posts:
        return
    (channel, first), *others = posts
    title = f"What Slack would get{f', in {channel}' if channel else ''}"
    yield Group(Text(title, style="bold cyan"), Padding(drawn(first), (0, 0, 0, INDENT)))
    if others:
        lines = [
            Text(f"{f'in {channel}: ' if channel else ''}{_shown(post.main.text)}")
            for channel, post in others
        ]
        title = f"and {counted(len(others), 'more message')} of this kind:"
        yield Group(Text(title, style="dim"), Padding(Group(*lines), (0, 0, 0, INDENT)))


def announcements(
    report: Report, *, keep_tag: str = "", routes: Routes = NO_ROUTES
) -> list[tuple[str, Post]]:
    """Return the posts of all sweeps with findings, the dearest first, each with its channel if routed."""
    parts = [
        part
        for sweep in report.sweeps
        for part in by_channel(sweep, Recorded(new=sweep.findings, entries={}), routes)
    ]
    by_cost = sorted(parts, key=lambda part: _dollars(Totals.of(part[1].results)), reverse=True)
    posts = (
        (channel, announcement(sweep, new, now=report.time, keep_tag=keep_tag))
        for channel, sweep, new in by_cost
    )
    return [(channel, post) for channel, post in posts if post is not None]


def _dollars(sums: Totals) -> float:
    return float(sums.monthly_usd + sums.accrued_usd)


def drawn(post: Post) -> RenderableType:
    """Draw *post*'s message with a bar beside it, and a line for each reply and attachment."""
    below = [_shown(reply.text) for reply in post.replies]
    if post.attachment:
        below.append(f"The report: {plain(post.attachment)}")
    return Group(message(post.main), *(Text(f"in its thread: {line}", style="dim") for line in below))


def message(message: Message) -> RenderableType:
    """Draw one message, block by block."""
    lines = [line for block in message.blocks for line in (*_lines(block), Text(""))]
    return Barred(lines[:-1])


class Barred:
    """Lines with Slack's bar at their left, however they are folded."""

    def __init__(self, lines: Sequence[Text]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        for line in self._lines:
            for part in line.wrap(console, options.max_width - len(BAR)) if line.plain else [line]:
                yield Text.assemble((BAR, "dim"), part)


def _lines(block: Block) -> list[Text]:
    match block["type"]:
        case "header":
            return [Text(plain(block["text"]["text"]), style="bold")]
        case "section":
            return [text(line) for line in str(block["text"]["text"]).split("\n")]
        case "context":
            return [text(str(element["text"]), style="dim") for element in block["elements"]]
        case "actions":
            labels = (plain(element["text"]["text"]) for element in block["elements"])
            return [Text("  ".join(f"[ {label} ]" for label in labels), style="bold blue")]
        case _:
            return []


def text(mrkdwn: str, style: str = "") -> Text:
    """Draw one line of mrkdwn as Slack would show it."""
    line, end = Text(style=style), 0
    for found in MRKDWN.finditer(mrkdwn):
        line.append(_shown(mrkdwn[end : found.start()]))
        kind = str(found.lastgroup)
        line.append(_shown(found[kind]), style={"bold": "bold", "code": "cyan", "mention": "blue"}[kind])
        end = found.end()
    return line.append(_shown(mrkdwn[end:]))


def _shown(mrkdwn: str) -> str:
    return plain(mrkdwn.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), WHOLE)
