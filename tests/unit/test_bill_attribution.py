"""Parts of a change add up to it, whatever the charges; no claim exceeds its line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bills import BEFORE, HOST, LAST, NOTEBOOK, STORED, TRAIN, bill, charges
from ml_janitor.aws.runs import Run
from ml_janitor.aws.usage_types import region, word
from ml_janitor.bill.asking import Question
from ml_janitor.bill.attribution import lines, parts
from ml_janitor.bill.joining import Resource, movers
from ml_janitor.bill.model import Charge, Span
from ml_janitor.bill.movements import Cause, Comparison, ComparisonKind, Culprit, Mover, total
from ml_janitor.bill.phases import Phase, main_services, phase

DAYS = Comparison(kind=ComparisonKind.DAYS, before=BEFORE, after=LAST)
START = datetime(2026, 8, 7, tzinfo=UTC)

amounts = st.decimals(min_value=-100, max_value=100_000, places=10)
rows = st.lists(
    st.builds(
        Charge,
        day=st.sampled_from([*BEFORE, *LAST]),
        usage_type=st.sampled_from([HOST, TRAIN, STORED]),
        tag=st.sampled_from(["", "llm", "vision"]),
        usd=amounts,
        quantity=st.decimals(min_value=0, max_value=10_000, places=6),
    ),
    max_size=30,
)
resources = st.lists(
    st.builds(
        lambda number, usage_type, tag, start, length, hourly, found: Resource(
            culprit=Culprit(arn=f"arn:{number}", name=f"n-{number}", kind="thing", finding="f" * found),
            tag=tag,
            family=f"n-{number % 3}",
            runs=(
                Run(
                    usage_type=usage_type,
                    start=START + timedelta(hours=start),
                    end=START + timedelta(hours=start + length),
                    hourly=Decimal(hourly),
                ),
            ),
        ),
        number=st.integers(0, 10**6),
        usage_type=st.sampled_from([HOST, TRAIN, STORED]),
        tag=st.sampled_from(["", "llm", "vision"]),
        start=st.integers(0, 1400),
        length=st.integers(1, 1400),
        hourly=st.integers(1, 500),
        found=st.integers(0, 1),
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(rows=rows, known=resources, mixed=st.randoms(use_true_random=False))
def test_everything_adds_up_in_any_order(rows: list[Charge], known: list[Resource], mixed: object) -> None:
    found = explained(rows, known)
    shuffled, others = list(rows), list(known)
    mixed.shuffle(shuffled)  # type: ignore[attr-defined]
    mixed.shuffle(others)  # type: ignore[attr-defined]
    changes = [sum((one.usd for one in rows if one.day in span), Decimal(0)) for span in (BEFORE, LAST)]

    assert total(found) == changes[1] - changes[0]
    assert explained(shuffled, others) == found
    for part in parts(lines(rows), DAYS, {}):
        assert part.quantity_effect + part.price_effect == part.change


@settings(max_examples=60)
@given(rows=rows, known=resources)
def test_no_claim_exceeds_its_line(rows: list[Charge], known: list[Resource]) -> None:
    positive = [one for one in rows if one.usd >= 0]

    for mover in explained(positive, known):
        if mover.culprit:
            assert -mover.part.usd_before - Decimal("1e-9") <= mover.usd
            assert mover.usd <= mover.part.usd_after + Decimal("1e-9")


def explained(rows: list[Charge], known: list[Resource]) -> tuple[Mover, ...]:
    return movers(parts(lines(rows), DAYS, {}), known, DAYS, {})


def test_price_and_quantity_are_told_apart() -> None:
    rows = [
        *charges(HOST, BEFORE, price="1.00", quantity="10", tag="llm"),
        *charges(HOST, LAST, price="1.50", quantity="12", tag="llm"),
    ]

    (part,) = parts(lines(rows), DAYS, {})

    assert (part.quantity_effect, part.price_effect) == (Decimal(60), Decimal(180))
    assert [one.cause for one in explained(rows, [])] == [Cause.PRICE, Cause.UNEXPLAINED]


def test_what_ran_in_both_spans_claims_only_what_it_ran_longer() -> None:
    rows = [
        *charges(HOST, BEFORE, price="1", quantity="24", tag="llm"),
        *charges(HOST, LAST, price="1", quantity="48", tag="llm"),
    ]
    old, new = (
        Resource(
            culprit=Culprit(arn=f"arn:{name}", name=name, kind="endpoint", since=since),
            tag="llm",
            runs=(Run(usage_type=HOST, start=since),),
        )
        for name, since in (("old", START - timedelta(days=90)), ("new", START + timedelta(days=30)))
    )

    (mover,) = explained(rows, [old, new])

    assert mover.culprit
    assert (mover.culprit.name, mover.usd, mover.cause) == ("new", Decimal(720), Cause.STARTED)


def test_lost_tags_change_no_total() -> None:
    rows = [
        *charges(HOST, BEFORE, price="1", quantity="24", tag="llm"),
        *charges(HOST, LAST, price="1", quantity="24", tag=""),
    ]

    (mover,) = explained(rows, [])

    assert (mover.cause, mover.usd, mover.tag_before, mover.part.tag) == (Cause.TAG, Decimal(720), "llm", "")
    assert total([mover]) == 0


def test_a_weekend_more_is_no_news() -> None:
    weekdays = [day for day in [*BEFORE, *LAST] if day.weekday() < 5]
    monday, friday = date(2026, 8, 10), date(2026, 8, 21)
    days = Comparison(kind=ComparisonKind.DAYS, before=Span(monday, 10), after=Span(friday, 10))
    rows = charges(NOTEBOOK, weekdays, price="1", quantity="240", tag="llm")

    (part,) = parts(lines(rows), days, {})

    assert part.change == -480
    assert part.usual >= 480


@pytest.mark.parametrize(
    ("service", "usage_type", "where", "bare", "what"),
    [
        ("Amazon SageMaker", "USE1-Host:ml.m5.xlarge", "us-east-1", "Host:ml.m5.xlarge", Phase.HOSTING),
        ("Amazon SageMaker", "EU-Train:ml.p5.48xlarge", "eu-west-1", "Train:ml.p5.48xlarge", Phase.TRAINING),
        (
            "Amazon SageMaker",
            "USE1-TrainWarmPool:ml.g5.xlarge",
            "us-east-1",
            "TrainWarmPool:ml.g5.xlarge",
            Phase.WARM_POOLS,
        ),
        (
            "Amazon SageMaker",
            "EUC1-TrSpt:ml.g5.xlarge",
            "eu-central-1",
            "TrSpt:ml.g5.xlarge",
            Phase.SPOT_TRAINING,
        ),
        (
            "Amazon SageMaker",
            "USE1-Studio:JupyterLab-ml.t3.medium",
            "us-east-1",
            "Studio:JupyterLab-ml.t3.medium",
            Phase.STUDIO,
        ),
        (
            "Amazon Simple Storage Service",
            "TimedStorage-ByteHrs",
            "us-east-1",
            "TimedStorage-ByteHrs",
            Phase.STORAGE,
        ),
        (
            "Amazon Simple Storage Service",
            "USE1-EUC1-AWS-Out-Bytes",
            "us-east-1",
            "EUC1-AWS-Out-Bytes",
            Phase.TRANSFER,
        ),
        ("EC2 - Other", "USW2-NatGateway-Bytes", "us-west-2", "NatGateway-Bytes", Phase.NAT),
        (
            "AmazonCloudWatch",
            "USE1-DataProcessing-Bytes",
            "us-east-1",
            "DataProcessing-Bytes",
            Phase.LOGS,
        ),
        ("AWS Cost Explorer", "USE1-APIRequest", "us-east-1", "APIRequest", Phase.OTHER),
    ],
)
def test_a_usage_type_says_where_and_what(
    service: str, usage_type: str, where: str, bare: str, what: Phase
) -> None:
    assert (region(usage_type), word(usage_type), phase(service, usage_type)) == (where, bare, what)


def test_a_usage_type_of_several_services_counts_as_that_of_the_dearest() -> None:
    rows = [
        *charges("USE1-TimedStorage-ByteHrs", LAST, price="1", quantity="1", service="AmazonCloudWatch"),
        *charges("USE1-TimedStorage-ByteHrs", LAST, price="9", quantity="1", service="ECR"),
    ]

    assert main_services(rows) == {"USE1-TimedStorage-ByteHrs": "ECR"}


QUESTION = Question(days=30, settling_days=2, tags=())


def test_only_equal_spans_are_compared() -> None:
    read = bill(charges(HOST, [*BEFORE, *LAST], price="1", quantity="1", tag="llm"))
    days, day, month = QUESTION.comparisons(read)

    assert day
    assert (day.after.first, day.before.first) == (date(2026, 10, 4), date(2026, 9, 27))
    assert month
    assert (month.after, month.before) == (Span(date(2026, 10, 1), 5), Span(date(2026, 9, 1), 5))
    assert month.unsettled == (date(2026, 10, 5),)
    assert days
    assert (days.after, days.before) == (LAST, BEFORE)
    assert replace(QUESTION, days=31).asked(read) is None
    late = bill(charges(HOST, LAST, price="1", quantity="1", tag="llm"))
    assert QUESTION.asked(late) is None  # the account was charged nothing before


def test_a_longer_month_is_compared_with_a_shorter_as_far_as_that_goes() -> None:
    read = bill(
        charges(HOST, [date(2026, 2, 1)], price="1", quantity="1", tag="llm"),
        first=date(2026, 2, 1),
        until=date(2026, 4, 1),
    )

    month = QUESTION.month_to_date(read)

    assert month
    assert (month.after, month.before) == (Span(date(2026, 3, 1), 28), Span(date(2026, 2, 1), 28))
