"""Parts of a change add up to it, whatever the charges; no claim exceeds its line."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bills import BEFORE, HOST, LAST, STORED, TRAIN, bill, charges
from ml_janitor.aws.runs import REGION_CODES, UNKNOWN_REGION, ResourceRun, region_of_usage, without_region
from ml_janitor.bill.explaining import (
    changed_parts,
    divide_bill,
    find_movers,
    first_changed_day,
    usage_lines,
    usual_change,
)
from ml_janitor.bill.model import (
    Charge,
    ComparisonKind,
    Culprit,
    DaySpan,
    Mover,
    Phase,
    SpanComparison,
    main_services,
    phase_of,
    total_change,
)
from ml_janitor.bill.report import dividing_key
from ml_janitor.bill.resources import BillResource
from tables import cases

DAYS = SpanComparison(kind=ComparisonKind.DAYS, before=BEFORE, after=LAST)
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
        lambda number, usage_type, tag, start, length, hourly, found: BillResource(
            culprit=Culprit(arn=f"arn:{number}", name=f"n-{number}", kind="thing", finding="f" * found),
            tag=tag,
            family=f"n-{number % 3}",
            runs=(
                ResourceRun(
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
def test_everything_adds_up_in_any_turn(rows: list[Charge], known: list[BillResource], mixed: object) -> None:
    found = explained(rows, known)
    shuffled, others = list(rows), list(known)
    mixed.shuffle(shuffled)  # type: ignore[attr-defined]
    mixed.shuffle(others)  # type: ignore[attr-defined]
    changes = [sum((one.usd for one in rows if one.day in span), Decimal(0)) for span in (BEFORE, LAST)]

    assert total_change(found) == changes[1] - changes[0]
    assert explained(shuffled, others) == found
    for part in changed_parts(usage_lines(rows), DAYS, {}):
        assert part.quantity_effect + part.price_effect == part.change


@settings(max_examples=60)
@given(rows=rows, known=resources)
def test_no_claim_exceeds_its_line(rows: list[Charge], known: list[BillResource]) -> None:
    positive = [one for one in rows if one.usd >= 0]

    for mover in explained(positive, known):
        if mover.culprit:
            assert -mover.part.usd_before - Decimal("1e-9") <= mover.usd
            assert mover.usd <= mover.part.usd_after + Decimal("1e-9")


def explained(rows: list[Charge], known: list[BillResource]) -> tuple[Mover, ...]:
    return find_movers(changed_parts(usage_lines(rows), DAYS, {}), known, DAYS, {})


@cases(
    "before, after, by_quantity",
    ((10, 5), (30, 6), 2),
    ((10, 0), (30, 5), 20),  # no unit on one side: no price either
    ((10, 5), (30, 0), 20),
    ((10, 0.5), (30, 0.25), -5),
    ((10, -5), (30, 5), 20),
    ((0, 0), (30, 5), 30),
    ((10, 5), (0, 0), -10),
)
def test_what_has_no_price_on_one_side_is_all_quantity(
    before: tuple[float, float], after: tuple[float, float], by_quantity: int
) -> None:
    rows = [
        Charge(day=day, usage_type=HOST, usd=Decimal(usd), quantity=Decimal(str(units)), unit=unit)
        for day, (usd, units), unit in ((BEFORE.last, before, "Hrs"), (LAST.first, after, ""))
    ]

    (part,) = changed_parts(usage_lines(rows), DAYS, {HOST: "Amazon SageMaker"})

    assert [part.usd_before, part.usd_after] == [before[0], after[0]]
    assert [part.quantity_effect, part.price_effect] == [by_quantity, after[0] - before[0] - by_quantity]
    assert (part.region, part.phase, part.unit) == ("us-east-1", Phase.HOSTING, "Hrs")


def test_of_equal_changes_the_names_decide() -> None:
    rows = [
        Charge(day=LAST.first, usage_type=usage, tag=tag, usd=Decimal(usd))
        for usage, tag, usd in (("B", "a", 5), ("A", "b", -5), ("A", "a", 5), ("A", "", 7), ("C", "x", 0))
    ]

    found = changed_parts(usage_lines(rows), DAYS, {})

    assert [(one.usage_type, one.tag) for one in found] == [("A", ""), ("A", "a"), ("A", "b"), ("B", "a")]


# --- what is usual ----------------------------------------------------------------------------

ON = date(2026, 3, 31)
"""A Tuesday, and the last day of a month."""


def compared(days: int, gap: int, last: date = ON) -> SpanComparison:
    """Compare the *days* up to *last* with those so many days before."""
    first = last - timedelta(days=days - 1)
    kind = ComparisonKind.DAY if days == 1 else ComparisonKind.DAYS
    return SpanComparison(
        kind=kind, before=DaySpan(first - timedelta(days=gap), days), after=DaySpan(first, days)
    )


def costs(**back: float) -> dict[date, Decimal]:
    """Return a cost of 10 on each of 65 days, and *more* on the days so long ago: d5=90, d5_9=90."""
    usd = {ON - timedelta(days=ago): Decimal(10) for ago in range(65)}
    for name, more in back.items():
        first, _, last = name.removeprefix("d").partition("_")
        for ago in range(int(first), int(last or first) + 1):
            usd[ON - timedelta(days=ago)] += Decimal(str(more))
    return usd


WAVES = {f"d{ago}": 3.0 if ago % 14 < 7 else -3.0 for ago in range(1, 65)}
"""A day costs 6 more or less than the same weekday of the week before."""


@cases(
    "usd, days, gap, usual",
    (costs(), 1, 7, 0),
    (costs(**WAVES), 1, 7, 36),  # six times as much
    (costs(**WAVES), 7, 7, 36 * 7**0.5),
    (costs(d20=500), 1, 7, 0),  # irregular once
    (costs(d20_22=500), 1, 7, 0),
    (costs(d20_38=500), 1, 7, 0),  # ... for long: what begins and ends is one irregularity
    (costs(d20=500, d40=400), 1, 7, 6 * (320000 / 43) ** 0.5),  # as large in two earlier spans
    (costs(d0=500, d20=400), 1, 7, 0),  # today is what is judged
    (costs(d31=90, d59=80), 1, 7, 170),  # the last day of each month before: twice the mean
    (costs(d31=80, d59=20), 1, 7, 6 * (400 / 43) ** 0.5),  # no batch: one of them is far smaller
    (costs(d32=20, d28_29=20, d31=90, d59=80), 1, 7, 160),  # beyond the median of the days around
    (costs(d31=90, d0=80), 1, 7, 0),
    (costs(d31=90), 1, 7, 0),
    (costs(d7=90), 1, 7, 90),  # only takes back what was news a week ago
    (costs(d14=30, d7=90), 1, 7, 60),
    (costs(d7=-5), 1, 7, 5),
    (costs(d7=90, d35=80), 1, 7, 170),  # twice the mean, if the span before has that day of the month
    ({ON - timedelta(days=ago): Decimal(60 if ago == 13 else 10) for ago in range(14)}, 1, 7, 0),
    (costs(d7=90, d0=200), 1, 7, 0),  # ... and this does not
    (costs(d31=90, d59=80), 30, 30, 170 + 34),  # there is one, and before there were two; other weekdays
)
def test_a_line_may_move_as_it_did(usd: dict[date, Decimal], days: int, gap: int, usual: float) -> None:
    assert float(usual_change(usd, compared(days, gap))) == pytest.approx(usual)


@cases(
    "more, since",
    ({"d0_9": 5}, 9),
    ({"d0_9": -5}, 9),
    ({"d20": 30, "d0_9": 60}, 9),
    ({"d40_64": 50}, 39),
    ({"d0": 50}, 0),
    ({"d2_57": 5}, 57),
)
def test_a_step_of_a_line_has_a_first_day(more: dict[str, float], since: int) -> None:
    assert first_changed_day(costs(**more), compared(30, 30)) == ON - timedelta(days=since)


def months(*usd: int) -> dict[date, Decimal]:
    """Return the costs of the last months of 30 days at those dollars a month."""
    firsts = [
        date(2025 + (3 + number) // 12, (3 + number) % 12 + 1, 1) for number in range(12 - len(usd), 12)
    ]
    return {
        first: Decimal(cost) * ((first + timedelta(days=32)).replace(day=1) - first).days / 30
        for first, cost in zip(firsts, usd, strict=True)
    }


@cases(
    "before, days, usual",
    ((100, 100, 100, 100), 30, 0),
    ((100, 200, 400, 700), 30, 1000),  # five times the change between the largest and the smallest
    ((100, 100, 900, 100), 30, 0),  # irregular once
    ((100, 500, 100, 400, 100), 30, 1500),  # five times -300, which is left of four changes with another
    ((100, 900, 100), 30, 0),  # too few
    ((100, 500, 100, 400, 100), 7, 1500),  # a batch has the cost of a month in a day
    ((100, 500, 100, 400, 100), 1, 0),
    ((100, 100, 400, 700, 700, 700), 30, 5 * 300 / 3**0.5),  # as large in two earlier months
)
def test_a_line_may_move_as_its_months_did(before: tuple[int, ...], days: int, usual: float) -> None:
    usd = costs()
    usd |= {day: cost + 1 for day, cost in usd.items() if day > ON - timedelta(days=days)}

    assert float(usual_change(usd, compared(days, max(days, 7)), months(*before))) == pytest.approx(
        usual, abs=1e-6
    )


def test_many_small_changes_are_news_together() -> None:
    """150 small jobs of ten projects: no part is large, and the usage type as a whole jumped."""
    rows = [
        row
        for number in range(10)
        for row in (
            *charges(TRAIN, BEFORE, price="1", quantity="1", tag=f"p{number}"),
            *charges(TRAIN, LAST, price="1", quantity="2.5", tag=f"p{number}"),
            *charges(HOST, [*BEFORE, *LAST], price="1", quantity="30", tag=f"p{number}"),
        )
    ]
    fell = charges(TRAIN, BEFORE, price="1", quantity="0.1", tag="gone")

    parts = changed_parts(usage_lines([*rows, *fell]), DAYS, {})

    assert {(one.change, one.usual, one.jumped, one.since) for one in parts if one.usage_type == TRAIN} == {
        (Decimal(45), Decimal(50), True, LAST.first),
        (Decimal(-3), Decimal(50), False, None),
    }
    assert not any(one.jumped for one in parts if one.usage_type == HOST)
    monthly = {TRAIN: months(100, 600, 100, 600, 100, 600)}
    assert not any(one.jumped for one in changed_parts(usage_lines(rows), DAYS, {}, monthly))


@given(
    week=st.lists(st.integers(0, 100), min_size=7, max_size=7),
    start=st.integers(0, 6),
    length=st.integers(7, 40),
)
def test_a_weekend_more_is_no_news(week: list[int], start: int, length: int) -> None:
    before = DaySpan(date(2026, 6, 1) + timedelta(days=start), length)
    days = SpanComparison(kind=ComparisonKind.DAYS, before=before, after=DaySpan(before.until, length))
    usd = {day: Decimal(week[day.weekday()]) for day in [*before, *days.after]}
    change = sum((usd[day] for day in days.after), Decimal(0)) - sum(usd[day] for day in before)

    assert usual_change(usd, days) >= abs(change)


@cases(
    "before, after, dollars",
    (6, 6, 0),
    (7, 8, 1),
    (14, 28, 0),
    (14, 10, 4),
    (10, 14, 4),
    (8, 8, 0),
    (7, 7, 0),
    (28, 7, 0),
)
def test_whole_weeks_have_a_pattern_and_part_weeks_none(before: int, after: int, dollars: int) -> None:
    span = DaySpan(date(2026, 8, 10), before)
    days = SpanComparison(
        kind=ComparisonKind.DAYS, before=span, after=DaySpan(span.first + timedelta(days=56), after)
    )
    usd = dict.fromkeys([span.first + timedelta(days=number) for number in range(56 + after)], Decimal(1))

    assert usual_change(usd, days) == dollars


def test_what_is_negligible_of_the_whole_bill_is_usual_too() -> None:
    rows = [
        *charges(HOST, BEFORE, price="1", quantity="1000", tag="llm"),
        *charges(TRAIN, LAST, price="1", quantity="1", tag="llm"),
    ]

    (_, new) = changed_parts(usage_lines(rows), DAYS, {})
    fifty = charges(TRAIN, list(LAST)[5:], price="1", quantity="2", tag="llm")
    (only,) = changed_parts(usage_lines(fifty), DAYS, {})

    assert (new.usage_type, new.usual) == (TRAIN, Decimal(150))
    assert [only.change, only.usual, only.jumped] == [50, 50, False]  # dollars, however small the bill


@cases("unit, grown, jumped", ("GB-Mo", 1, False), ("GB-Mo", 1.05, True), ("GB", 1, True))
def test_the_same_bytes_are_no_jump_between_months_of_other_lengths(
    unit: str, grown: float, *, jumped: bool
) -> None:
    """January's 31 days cost as much as February's 28: the 28 of January are 10 % cheaper."""
    january, february = DaySpan(date(2026, 1, 4), 28), DaySpan(date(2026, 2, 1), 28)
    rows = [
        Charge(day=day, usage_type=STORED, tag="llm", usd=Decimal(str(usd)), quantity=Decimal(usd), unit=unit)
        for span, length, factor in ((january, 31, 1), (february, 28, grown))
        for day in span
        for usd in (6000 * factor / length,)
    ]
    compared = SpanComparison(kind=ComparisonKind.DAYS, before=january, after=february)

    (part,) = changed_parts(usage_lines(rows), compared, {})

    assert part.change > 400
    assert part.jumped is jumped


def test_a_bill_is_divided_by_account_else_by_the_first_tag_that_is_by_usage_type() -> None:
    read = bill(charges(HOST, LAST, price="1", quantity="1", tag="llm"))
    by_service = tuple(replace(one, usage_type="", service="S3") for one in read.by_tag["project"])
    both = replace(read, by_tag={"team": by_service, "project": read.by_tag["project"]})
    moved = tuple(replace(one, tag="111111111111") for one in read.by_tag["project"])

    assert divide_bill(both, ["owner", "team", "project"]).tag == "project"
    tags = {"owner": "Owner", "project": "Project"}
    assert [dividing_key(one, tags) for one in (both, replace(both, by_tag={}))] == ["Project", ""]
    assert set(divide_bill(both, ["project"]).lines) == {(HOST, "llm")}
    assert (divide_bill(both, ["team"]).tag, set(divide_bill(both, []).lines)) == ("", {(HOST, None)})
    by_account = divide_bill(replace(both, moved=moved), ["project"])
    assert (by_account.tag, set(by_account.lines)) == ("account", {(HOST, "111111111111")})
    assert by_account.services == {HOST: "Amazon SageMaker"}
    first, second = (Charge(day=date(2026, month, 1), usage_type=HOST, usd=Decimal(9)) for month in (8, 9))
    older = replace(both, months=(first, second, replace(second, usage_type=TRAIN)))
    assert divide_bill(older, []).months[TRAIN] == {first.day: 0, second.day: 9}


SAGEMAKER, S3 = "Amazon SageMaker", "Amazon Simple Storage Service"


@cases(
    "service, code, bare, where, what",
    (SAGEMAKER, "USE1-", "Host:ml.m5.xlarge", "us-east-1", Phase.HOSTING),
    (SAGEMAKER, "EU-", "Train:ml.p5.48xlarge", "eu-west-1", Phase.TRAINING),
    (SAGEMAKER, "USE1-", "TrainWarmPool:ml.g5.xlarge", "us-east-1", Phase.WARM_POOLS),
    (SAGEMAKER, "EUC1-", "TrSpt:ml.g5.xlarge", "eu-central-1", Phase.SPOT_TRAINING),
    (SAGEMAKER, "USE1-", "Studio:JupyterLab-ml.t3.medium", "us-east-1", Phase.STUDIO),
    (S3, "", "TimedStorage-ByteHrs", "us-east-1", Phase.STORAGE),
    (S3, "USE1-", "EUC1-AWS-Out-Bytes", "us-east-1", Phase.TRANSFER),
    ("EC2 - Other", "USW2-", "NatGateway-Bytes", "us-west-2", Phase.NAT),
    ("EC2 - Other", "USW2-", "RegionalNatGateway-Bytes", "us-west-2", Phase.NAT),
    ("AmazonCloudWatch", "USE1-", "DataProcessing-Bytes", "us-east-1", Phase.LOGS),
    ("AWS Cost Explorer", "USE1-", "APIRequest", "us-east-1", Phase.OTHER),
    ("KMS", "", "KMS-Requests", "us-east-1", Phase.OTHER),
    (SAGEMAKER, "APE2-", "Host:ml.m5.xlarge", "ap-east-2", Phase.HOSTING),
    ("EC2 - Other", "APS7-", "NatGateway-Bytes", "ap-southeast-5", Phase.NAT),
    (SAGEMAKER, "CNW1-", "Notebk:ml.t3.xlarge", "cn-northwest-1", Phase.NOTEBOOKS),
    (SAGEMAKER, "USE1-", "UnifiedStudio:Notebook-ml.t3.medium", "us-east-1", Phase.STUDIO),
    (SAGEMAKER, "USE1-", "UnifiedStudio:VolumeUsage.gp3", "us-east-1", Phase.STUDIO),
    (SAGEMAKER, "XYZ9-", "Host:ml.m5.xlarge", UNKNOWN_REGION, Phase.HOSTING),
    (SAGEMAKER, "EUSC1-", "Host:ml.m5.xlarge", UNKNOWN_REGION, Phase.HOSTING),
)
def test_a_usage_type_is_parsed(service: str, code: str, bare: str, where: str, what: Phase) -> None:
    usage_type = code + bare
    assert (region_of_usage(usage_type), without_region(usage_type)) == (where, bare)
    assert phase_of(service, usage_type) == what


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_region_of_sagemaker_has_a_billing_code(partition: str) -> None:
    regions = boto3.Session().get_available_regions("sagemaker", partition_name=partition)

    assert set(regions) <= set(REGION_CODES.values())


def test_a_usage_type_of_several_services_counts_as_that_of_the_dearest() -> None:
    rows = [
        *charges("USE1-TimedStorage-ByteHrs", LAST, price="1", quantity="1", service="AmazonCloudWatch"),
        *charges("USE1-TimedStorage-ByteHrs", LAST, price="9", quantity="1", service="ECR"),
    ]

    assert main_services(rows) == {"USE1-TimedStorage-ByteHrs": "ECR"}
