"""
The weekly advice as a Slack message: the changes that save most per hour of work, with owner and dollars.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.core.text import format_usd
from ml_janitor.report.buttons import BUTTON_LABELS, Button, ButtonSubject
from ml_janitor.report.finding_words import detector_noun, owner_in_message
from ml_janitor.report.mrkdwn import (
    Message,
    as_sentence,
    button_row,
    code_span,
    context_block,
    count_noun,
    header_block,
    make_button,
    prose,
    section_block,
)

ADVICE_BUTTONS = (Button.LATER, Button.NOT_FOR_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """
    One piece of advice; *held* says who does not want it and for how long.

    *placed* is whether it names its account and region, because there are several.
    """

    subject: ButtonSubject
    name: str
    owner: str | None
    action: str
    monthly_usd: Decimal
    once_usd: Decimal | None = None
    work: str = ""
    held: str = ""
    placed: bool = False


def weekly_message(best: Sequence[Advice], *, of: int, together: Decimal, buttons: bool) -> Message:
    """
    Build the message of the *best* pieces of advice, out of so many that would save so much *together*.

    Without *buttons* it names the commands that do the same.
    """
    sums = sum((advice.monthly_usd for advice in best), Decimal(0))
    title = f"This week's advice: {format_usd(sums)} a month in {count_noun(len(best), 'change')}"
    blocks = [header_block(title)]
    for advice in best:
        blocks.append(section_block(_described(advice)))
        if advice.held:
            blocks.append(context_block(as_sentence(prose(advice.held, 300))))
        elif buttons:
            row = [
                make_button(BUTTON_LABELS[word], word.value, str(advice.subject)) for word in ADVICE_BUTTONS
            ]
            blocks.append(button_row(row))
    rest = (
        f"{count_noun(of, 'piece')} of advice would save {format_usd(together)} a month together"
        if of > len(best)
        else ""
    )
    ends = [
        "What saves most a month for an hour of work comes first",
        *([rest] if rest else []),
        *(
            []
            if buttons
            else [f"{code_span('janitor keep ARN --only DETECTOR --reason TEXT')} leaves one out"]
        ),
    ]
    blocks.append(context_block(". ".join(ends) + "."))
    return Message(text=title, blocks=tuple(blocks))


def _described(advice: Advice) -> str:
    once = f", {format_usd(advice.once_usd)} once" if advice.once_usd else ""
    money = f"*{format_usd(advice.monthly_usd)} a month{once}*"
    where = f" in {advice.subject.account}, {advice.subject.region}" if advice.placed else ""
    what = (
        f"{detector_noun(advice.subject.detector, 1)} {code_span(advice.name)}{where}, "
        f"{owner_in_message(advice.owner)}, "
        f"about {advice.work} of work"
    )
    return f"{money}: {what}\n{as_sentence(prose(advice.action, 600))}"
