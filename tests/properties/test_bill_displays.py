"""One document, three displays: random bills say the same in the terminal, in HTML and in Slack."""

import html
import io
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bills import ACCOUNT, BEFORE, HOST, LAST, NOTEBOOK, STORED, TRAIN, bill, charges, full_report
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.model import BillGap, BillReading, Charge, Culprit, GapCause
from ml_janitor.bill.reading import BillQuestion
from ml_janitor.bill.report import BillReport, BudgetState, UnitCost, make_bill_report
from ml_janitor.bill.resources import BillResource
from ml_janitor.report import blocks
from ml_janitor.report.bill import lay_out_bill
from ml_janitor.report.bill_message import bill_post, make_bill_message
from ml_janitor.report.bill_page import render_bill_page
from ml_janitor.report.mrkdwn import LONGEST_SECTION, fits_message
from ml_janitor_cli.screen import draw_document, make_console, print_blocks

AMOUNT = re.compile(r"[-+]?<?\$\d+(?:,\d{3})*(?:\.\d+)?|[-+]?\d+(?:\.\d+)? %")
NAMES = ("llm", "", "vision", "<!here> *all*", "a_b <script>", "\x1b[31mred", "rock'n'roll & co", "x" * 60)


def random_report(choose: random.Random) -> BillReport:
    """Charges, resources, budgets, units and gaps at random; some accounts are young, some are many."""
    days = [*BEFORE, *LAST][choose.choice([0, 0, 0, 25, 45]) :]
    rows, resources = list[Charge](), list[BillResource]()
    for usage in choose.sample([TRAIN, HOST, NOTEBOOK, STORED, "EU-Odd:<b>"], choose.randint(0, 5)):
        for tag in choose.sample(NAMES, choose.randint(1, 3)):
            first = choose.randrange(len(days))
            rows += charges(usage, days, price="1.4", quantity=str(choose.randint(0, 40)), tag=tag)
            rows += charges(
                usage, days[first:], price="1.4", quantity=str(choose.choice([0, 24, 240])), tag=tag
            )
            start = datetime.combine(days[first], time(), UTC)
            culprit = Culprit(
                arn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/{len(resources)}",
                name=f"{choose.choice(NAMES)}-{len(resources)}",
                kind="endpoint",
                owner=choose.choice([None, "ann@acme.example", "<b>bob</b>"]),
                since=start,
                finding=choose.choice(["", "f"]),
            )
            run = ResourceRun(usage_type=usage, start=start, end=None, hourly=Decimal(choose.choice([1, 10])))
            resources += [BillResource(culprit=culprit, runs=(run,), tag=tag)] * choose.randint(0, 1)
    made = replace(full_report().bill, **{name: getattr(bill(rows), name) for name in ("charges", "by_tag")})
    if choose.random() < 0.3:
        own = [replace(row, tag=choose.choice(("1", "2", "3", "4", "5", "6", "7"))) for row in made.charges]
        made = replace(made, by_account=tuple(own), accounts={"1": choose.choice(NAMES)})
    gaps = [
        BillGap(
            reading=choose.choice([*BillReading]),
            cause=choose.choice([*GapCause]),
            subject=choose.choice(NAMES),
        )
        for _ in range(choose.randint(0, 3))
    ]
    question = BillQuestion(days=30, settling_days=2, tags=("project",))
    report = make_bill_report(replace(made, gaps=()), question, resources=resources, gaps=gaps)
    state = BudgetState(
        usd=Decimal(900), spent=Decimal(choose.randint(0, 2000)), tag="project", value=choose.choice(NAMES)
    )
    unit = UnitCost(kind="endpoint", name=choose.choice(NAMES), usd=Decimal(7), units=9, unit="requests")
    return replace(report, budgets=(state,) * choose.randint(0, 1), unit_costs=(unit,) * choose.randint(0, 9))


def ranked_texts(block: blocks.DocumentBlock | blocks.RowBlock) -> Iterator[tuple[blocks.Rank, str]]:
    """Every text of the document in its order, with the rank of its block."""
    match block:
        case blocks.NoteBlock():
            yield block.rank, block.text
        case blocks.FigureBlock():
            yield from ((block.rank, text) for text in (block.label, block.text))
        case blocks.RowBlock():
            yield from ((block.rank, cell) for cell in block.cells)
        case blocks.TableBlock():
            yield from ((block.rank, head) for head in block.columns)
            for row in block.rows:
                yield from ranked_texts(row)
        case blocks.HeadingBlock():
            yield from ((block.rank, text) for text in (block.title, block.summary))
            for inner in block.blocks:
                yield from ranked_texts(inner)


def amounts(text: str) -> Counter[str]:
    return Counter(AMOUNT.findall(text))


def screen(document: blocks.HeadingBlock) -> str:
    console = make_console(io.StringIO())
    console.width = 140
    print_blocks(draw_document(document), console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def page(report: BillReport, by: str) -> str:
    """The text of the page."""
    text = (
        render_bill_page(report, by=by, max_requests=8)
        .replace("<wbr>", "")
        .replace("\N{NO-BREAK SPACE}", " ")
    )
    return html.unescape(re.sub(r"<[^>]+>", "\n", text))


@given(st.randoms(use_true_random=False), st.sampled_from(["phase", "project", "usage"]))
def test_every_display_has_every_figure(choose: random.Random, by: str) -> None:
    report = random_report(choose)
    document = lay_out_bill(report, by=by, max_requests=8)
    texts = [text for _, text in ranked_texts(document)]
    figures = sum(map(amounts, texts), Counter[str]())

    slack = list(blocks.slack_paragraphs(document))
    terminal, shown = screen(document), page(report, by)

    for display in (terminal, shown, html.unescape("\n".join(slack))):
        assert not figures - amounts(display)
    assert [text for text in texts if text not in shown] == []
    assert "\x1b" not in terminal + shown
    assert "<!" not in "".join(slack)
    assert all(0 < len(paragraph) <= LONGEST_SECTION for paragraph in slack)


@given(st.randoms(use_true_random=False))
def test_a_short_form_is_a_cut_in_the_order_of_ranks(choose: random.Random) -> None:
    report = random_report(choose)
    whole = lay_out_bill(report, by="project", max_requests=8)
    forms = [list(ranked_texts(blocks.cut_document(whole, rank))) for rank in blocks.Rank]

    assert forms[-1] == list(ranked_texts(whole))
    for rank, form in zip(blocks.Rank, forms, strict=True):
        assert form == [text for text in forms[-1] if text[0] <= rank]
    for shorter, longer in pairwise(forms):
        assert len(shorter) <= len(longer)
    for table_by in ("", "project"):
        message = make_bill_message(report, table_by=table_by, max_requests=8)
        assert fits_message(bill_post(message, Decimal(12)).main.blocks)
