"""
The weekly advice as a Slack message: the changes that save most per hour of work, with owner and dollars.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.core.text import usd
from ml_janitor.report.buttons import LABELS, Button, Subject
from ml_janitor.report.finding_words import noun, owner_name
from ml_janitor.report.mrkdwn import (
    Message,
    actions,
    button,
    code,
    context,
    counted,
    header,
    prose,
    section,
    sentence,
)

BUTTONS = (Button.LATER, Button.NOT_FOR_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """
    One piece of advice; *held* says who does not want it and for how long.

    *placed* is whether it names its account and region, because there are several.
    """

    subject: Subject
    name: str
    owner: str | None
    action: str
    monthly_usd: Decimal
    once_usd: Decimal | None = None
    work: str = ""
    held: str = ""
    placed: bool = False


def weekly(best: Sequence[Advice], *, of: int, together: Decimal, buttons: bool) -> Message:
    """
    Build the message of the *best* pieces of advice, out of so many that would save so much *together*.

    Without *buttons* it names the commands that do the same.
    """
    sums = sum((advice.monthly_usd for advice in best), Decimal(0))
    title = f"This week's advice: {usd(sums)} a month in {counted(len(best), 'change')}"
    blocks = [header(title)]
    for advice in best:
        blocks.append(section(_described(advice)))
        if advice.held:
            blocks.append(context(sentence(prose(advice.held, 300))))
        elif buttons:
            row = [button(LABELS[word], word.value, str(advice.subject)) for word in BUTTONS]
            blocks.append(actions(row))
    rest = (
        f"{counted(of, 'piece')} of advice would save {usd(together)} a month together"
        if of > len(best)
        else ""
    )
    ends = [
        "What saves most a month for an hour of work comes first",
        *([rest] if rest else []),
        *([] if buttons else [f"{code('janitor keep ARN --only DETECTOR --reason TEXT')} leaves one out"]),
    ]
    blocks.append(context(". ".join(ends) + "."))
    return Message(text=title, blocks=tuple(blocks))


def _described(advice: Advice) -> str:
    once = f", {usd(advice.once_usd)} once" if advice.once_usd else ""
    money = f"*{usd(advice.monthly_usd)} a month{once}*"
    where = f" in {advice.subject.account}, {advice.subject.region}" if advice.placed else ""
    what = (
        f"{noun(advice.subject.detector, 1)} {code(advice.name)}{where}, {owner_name(advice.owner)}, "
        f"about {advice.work} of work"
    )
    return f"{money}: {what}\n{sentence(prose(advice.action, 600))}"
