"""The bill's message in Slack, for each morning: posted alone or within the digest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.bill.report import BY_PHASE, BillReport, has_table, usd_by_day
from ml_janitor.core.text import amounts_in, format_usd
from ml_janitor.report.bill import lay_out_bill
from ml_janitor.report.blocks import Rank, cut_document, slack_paragraphs
from ml_janitor.report.charts import PICTURE_FORM, DailySeries, draw_columns, render_png
from ml_janitor.report.mrkdwn import (
    PICTURE_NAME,
    Message,
    Picture,
    Post,
    fits_message,
    header_block,
    section_block,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillMessage:
    """A message with *text* for a notification, and *paragraphs* in mrkdwn that each fit into a block."""

    text: str
    paragraphs: tuple[str, ...]


def make_bill_message(report: BillReport, *, table_by: str, max_requests: int) -> BillMessage:
    """Build the daily message of *report*, with the table by the tag *table_by* unless that is ""."""
    document = lay_out_bill(report, by=table_by or BY_PHASE, max_requests=max_requests)
    cut = cut_document(document, Rank.WEEKLY if table_by else Rank.MESSAGE)
    text = f"{document.title}: {document.summary}"
    return BillMessage(text=text, paragraphs=tuple(slack_paragraphs(cut)))


def bill_post(message: BillMessage, saved: Decimal = Decimal(0), picture: Picture | None = None) -> Post:
    """Build the post of the message alone, with its picture; and *saved* this month, if no digest has it."""
    paragraphs = list(message.paragraphs)
    if saved:
        paragraphs.append(f"*Saved so far this month:* {format_usd(saved)}")
    blocks = [header_block("AWS charges")]
    for paragraph in paragraphs:
        if fits_message([*blocks, section_block(paragraph)]):
            blocks.append(section_block(paragraph))
    return Post(main=Message(text=message.text, blocks=tuple(blocks)), picture=picture)


def daily_costs(report: BillReport, tag: str) -> DailySeries:
    """Return the span's days and later ones by the values of *tag*, or by phase if *tag* was not read."""
    by = tag if has_table(report.bill, tag) else BY_PHASE
    days = [*report.span, *report.unsettled]
    groups = {name or f"no {by}": amounts for name, amounts in usd_by_day(report.bill, by, days).items()}
    unsettled = report.unsettled.days
    return DailySeries(title=f"Cost a day by {by}", days=days, groups=groups, unsettled=unsettled)


def bill_picture(report: BillReport, tag: str) -> Picture:
    """Draw the daily costs as a PNG."""
    series = daily_costs(report, tag)
    with amounts_in(report.bill.currency):
        return Picture(
            name=PICTURE_NAME,
            png=render_png(draw_columns(series, PICTURE_FORM)),
            words=series.reduced().description,
        )
