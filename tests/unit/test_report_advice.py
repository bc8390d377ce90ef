"""The weekly message of advice, block by block."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ml_janitor.report.warnings import ButtonSubject
from ml_janitor.slack.weekly_advice import Advice, weekly_message
from ml_janitor_sandbox.slack.blocks import problems, too_long

SUBJECT = ButtonSubject(
    detector="spot-training", account="123456789012", region="us-east-1", finding="0123456789"
)
FIRST = Advice(
    subject=SUBJECT,
    name="churn",
    owner="maria@x",
    action="train on spot",
    monthly_usd=Decimal(700),
    once_usd=Decimal(3),
    work="4 hours",
)
HOSTILE = "<!channel> `*x*`"


def shown(*best: Advice, of: int = 0, together: str = "0", buttons: bool = True) -> list[Any]:
    """The texts of a message's blocks, and the buttons by what they do and say."""
    message = weekly_message(best, of=of, together=Decimal(together), buttons=buttons)
    blocks = list(message.blocks)
    assert problems(blocks) == []
    assert not too_long(blocks)
    assert message.text == blocks[0]["text"]["text"]
    return [
        [(one["text"]["text"], one["action_id"], one["value"]) for one in block["elements"]]
        if block["type"] == "actions"
        else (block.get("text") or block["elements"][0])["text"]
        for block in blocks
    ]


ROW = [
    ("Snooze 4 weeks", "janitor:advice-later", str(SUBJECT)),
    ("Not for us", "janitor:not-for-us", str(SUBJECT)),
]
CHURN = (
    "*$700 a month, $3.00 once*: spot training finding `churn`, maria@x, about 4 hours of work\n"
    "Train on spot."
)


@pytest.mark.parametrize(
    ("parts", "more", "expected"),
    [
        (
            [FIRST],
            {"of": 1, "together": "700"},
            [
                "This week's advice: $700 a month in 1 change",
                CHURN,
                ROW,
                "What saves most a month for an hour of work comes first.",
            ],
        ),
        (
            [FIRST, replace(FIRST, once_usd=None, owner=None, placed=True, held="kept by Dina: no")],
            {"of": 7, "together": "2800"},
            [
                "This week's advice: $1,400 a month in 2 changes",
                CHURN,
                ROW,
                (
                    "*$700 a month*: spot training finding `churn` in 123456789012, us-east-1, no owner tag, "
                    "about 4 hours of work\nTrain on spot."
                ),
                "Kept by Dina: no.",
                (
                    "What saves most a month for an hour of work comes first. "
                    "7 pieces of advice would save $2,800 a month together."
                ),
            ],
        ),
        (
            [FIRST],
            {"of": 2, "together": "900", "buttons": False},
            [
                "This week's advice: $700 a month in 1 change",
                CHURN,
                (
                    "What saves most a month for an hour of work comes first. "
                    "2 pieces of advice would save $900 a month together. "
                    "`janitor keep ARN --only DETECTOR --reason TEXT` leaves one out."
                ),
            ],
        ),
    ],
    ids=["one", "held, and there is more", "without buttons"],
)
def test_each_piece_is_told_with_money_owner_and_work(
    parts: list[Advice], more: dict[str, Any], expected: list[Any]
) -> None:
    assert shown(*parts, **more) == expected


def test_words_of_others_call_nobody() -> None:
    said = str(shown(replace(FIRST, name=HOSTILE, owner=HOSTILE, action=HOSTILE, held=HOSTILE)))
    assert "<!channel>" not in said
    assert "*x*`" not in said.replace("`&lt;!channel&gt; '*x*'`", "")
