"""Text and blocks as Slack takes them: text from AWS mentions nobody and formats nothing. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_janitor.core.text import COMMAND_PATTERN, escape_mrkdwn, escape_text

if TYPE_CHECKING:
    from slack_sdk.models.blocks import MarkdownTextObject, PlainTextObject

type Block = dict[str, Any]

LONGEST_HEADER = 150
LONGEST_SECTION = 3000
"""Slack's own limits: https://docs.slack.dev/reference/block-kit/blocks."""

LONGEST_ALT = 2000

MOST_BLOCKS = 45
"""Blocks of a message; Slack takes 50."""

LARGEST_MESSAGE = 12_000
"""
Bytes of a message's blocks as JSON.

Slack refuses somewhere above 13,200 characters, and does not say how it counts
(https://github.com/slackapi/bolt-js/issues/2509, https://github.com/slackapi/bolt-js/issues/2867).
"""

COPIED_PATTERN = re.compile(rf"{COMMAND_PATTERN.pattern}|(?:arn:aws[\w-]*:|s3://)\S*[^\s.,;:)\]'\"]")
"""
A command or address that a reader copies, in a code span: Slack replaces nothing there, not even `:aws:`.
"""

LOOKALIKES = (
    (re.compile("`"), "'"),
    (re.compile(r"\*"), "\u2217"),
    (re.compile("~"), "\u223c"),
    (re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"), "\uff3f"),
    (re.compile(r"(?<!\d):(?=[\w+'-]+:)"), "\u2236"),
)
"""
Characters that Slack would format with, where it would, and the look-alike shown instead: code, bold, strike,
italic, emoji.

mrkdwn has no escape for these characters, only for & < and >.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: *blocks*, and the *text* that notifications and screen readers get instead."""

    text: str
    blocks: tuple[Block, ...]


PICTURE_NAME = "bill.png"
"""The name of the bill's picture as a file in Slack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG within a message, called *name*, and in *words* for those who do not see it."""

    name: str
    png: bytes
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """
    A message, the replies in its thread, and the name of the attached report.

    The message says enough by itself: an incoming webhook has neither threads nor files. A *picture* stands
    at its end; where Slack cannot show it, the message says so. Where the thread has the lists that the
    message folds, *whole* is the message with these lists, for mail, which has no thread.
    """

    main: Message
    replies: tuple[Message, ...] = ()
    whole: Message | None = None
    attachment: str = ""
    picture: Picture | None = None


# --- text ---------------------------------------------------------------------------------------


def prose(text: str, longest: int = 500) -> str:
    """
    Return *text* from AWS for use within a sentence: one line, no markup, at most *longest* characters as
    sent.

    Characters that would format become look-alikes. A command, an ARN or an S3 address stays as it is, in a
    code span.
    """
    return _fitting(_inert, text, longest)


def code_span(text: str, longest: int = 150) -> str:
    """Return *text* from AWS as a name to copy: in a code span, in which nothing formats."""
    return _fitting(_span, text.strip() or "(no name)", longest)


def _fitting(write: Any, text: str, longest: int) -> str:
    """Apply *write* to as much of *text* as stays within *longest*: escaping makes the text longer."""
    limit = longest
    while len(written := str(write(escape_text(text, limit)))) > longest:
        limit = limit * longest // len(written) - 1
    return written


def _inert(text: str) -> str:
    parts, end = [], 0
    for found in COPIED_PATTERN.finditer(text):
        begin, stop = found.span()
        quoted = text[begin - 1 : begin] == text[stop : stop + 1] == "`"  # the span has its own
        parts += [_unformatted(text[end : begin - quoted]), _span(found[0])]
        end = stop + quoted
    return "".join([*parts, _unformatted(text[end:])])


def _unformatted(text: str) -> str:
    for pattern, lookalike in LOOKALIKES:
        text = pattern.sub(lookalike, text)
    return escape_mrkdwn(text)


def _span(text: str) -> str:
    return f"`{escape_mrkdwn(text.replace('`', "'"))}`"


def as_sentence(text: str) -> str:
    """Return *text* with a full stop, and with a capital letter if it begins with a word and not a name."""
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:] if ended.split()[0].isalpha() else ended


# --- blocks -------------------------------------------------------------------------------------
# slack_sdk's models know Slack's limits and refuse to write a block beyond them. They are imported late:
# the package brings its web client along, which a run that says nothing in Slack does not need.


def header_block(text: str) -> Block:
    """Build a headline; never with text from AWS."""
    from slack_sdk.models.blocks import HeaderBlock

    cut = text if len(text) <= LONGEST_HEADER else f"{text[: LONGEST_HEADER - 4]} ..."
    return HeaderBlock(text=_plain_text(cut)).to_dict()


def section_block(text: str) -> Block:
    """Build a paragraph of mrkdwn that was made with `prose` and `code`."""
    from slack_sdk.models.blocks import SectionBlock

    return SectionBlock(text=_mrkdwn(text)).to_dict()


def context_block(text: str) -> Block:
    """Build a paragraph in small print."""
    from slack_sdk.models.blocks import ContextBlock

    return ContextBlock(elements=[_mrkdwn(text)]).to_dict()


def image_block(file: str, words: str) -> Block:
    """Build the block of the picture that was uploaded as *file*."""
    from slack_sdk.models.blocks import ImageBlock

    return ImageBlock(slack_file={"id": file}, alt_text=words[:LONGEST_ALT]).to_dict()


def button_row(buttons: Sequence[Block]) -> Block:
    """Build a row of buttons."""
    from slack_sdk.models.blocks import ActionsBlock

    return ActionsBlock(elements=list(buttons)).to_dict()


def make_button(
    text: str, action: str, value: str, *, style: str = "", confirm: Block | None = None
) -> Block:
    """Build a button labelled *text*; a press of it brings *action* and *value* back."""
    from slack_sdk.models.blocks import ButtonElement

    return ButtonElement(
        text=_plain_text(text), action_id=action, value=value, style=style or None, confirm=confirm
    ).to_dict()


def confirm_dialog(title: str, text: str, yes: str, no: str) -> Block:
    """Build the question that a person answers before a press counts."""
    from slack_sdk.models.blocks import ConfirmObject

    return ConfirmObject(
        title=_plain_text(title), text=_plain_text(text), confirm=_plain_text(yes), deny=_plain_text(no)
    ).to_dict()


def _plain_text(text: str) -> PlainTextObject:
    from slack_sdk.models.blocks import PlainTextObject

    return PlainTextObject(text=text, emoji=False)


def _mrkdwn(text: str) -> MarkdownTextObject:
    """
    Build mrkdwn. With `verbatim`, Slack does not link URLs and names. Its models check only the length of
    sections.
    """
    from slack_sdk.models.blocks import MarkdownTextObject

    if len(text) > LONGEST_SECTION:
        raise ValueError(f"a block takes {LONGEST_SECTION:,} characters, not {len(text):,}")
    return MarkdownTextObject(text=text, verbatim=True)


def blocks_size(blocks: Iterable[Block]) -> int:
    """Return the size of *blocks* together."""
    return sum(len(json.dumps(block, ensure_ascii=False).encode()) + 2 for block in blocks)


def append_block(message: Message, block: Block) -> Message:
    """Return *message* with *block* at its end, if there is room."""
    blocks = (*message.blocks, block)
    return Message(text=message.text, blocks=blocks) if fits_message(blocks) else message


def fits_message(blocks: Sequence[Block]) -> bool:
    """Return whether Slack takes *blocks* as one message."""
    return len(blocks) <= MOST_BLOCKS and blocks_size(blocks) <= LARGEST_MESSAGE


def join_lines(texts: Iterable[str], longest: int = LONGEST_SECTION) -> Iterator[str]:
    """Join lines into as few paragraphs of at most *longest* characters as hold them."""
    paragraph = ""
    for line in texts:
        if paragraph and len(paragraph) + 1 + len(line) > longest:
            yield paragraph
            paragraph = line
        else:
            paragraph = f"{paragraph}\n{line}" if paragraph else line
    if paragraph:
        yield paragraph
