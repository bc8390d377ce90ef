"""Made-up bills: charges in one call each, and a report of a bill with everything that one can hold."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from ml_janitor.bill.model import (
    Bill,
    BillGap,
    BillReading,
    ChangePart,
    Charge,
    ComparisonKind,
    Culprit,
    DaySpan,
    Forecast,
    GapCause,
    Movement,
    Mover,
    MoverCause,
    Phase,
    RecordCharge,
    SpanComparison,
)
from ml_janitor.bill.report import BillReport, BudgetState, TagShare, UnitCost

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
ACCOUNT = "123456789012"
LAST = DaySpan(date(2026, 9, 6), 30)
BEFORE = DaySpan(date(2026, 8, 7), 30)
SAGEMAKER, S3 = "Amazon SageMaker", "Amazon Simple Storage Service"
TRAIN, HOST, NOTEBOOK, STORED = (
    "USE1-Train:ml.p4d.24xlarge",
    "USE1-Host:ml.g5.xlarge",
    "USE1-Notebk:ml.g5.xlarge",
    "TimedStorage-ByteHrs",
)


def charges(
    usage_type: str,
    days: Iterable[date],
    *,
    price: str,
    quantity: str,
    service: str = SAGEMAKER,
    tag: str | None = None,
    unit: str = "Hrs",
) -> list[Charge]:
    """*quantity* of *usage_type* at *price* on each of *days*."""
    units = Decimal(quantity)
    return [
        Charge(
            day=day,
            service="" if tag is not None else service,
            usage_type=usage_type,
            tag=tag,
            usd=units * Decimal(price),
            quantity=units,
            unit=unit,
        )
        for day in days
    ]


def by_service(rows: Iterable[Charge], service: str = SAGEMAKER) -> tuple[Charge, ...]:
    """What Cost Explorer says of *rows*, which are by tag, when it groups by service instead."""
    sums: dict[tuple[date, str, str], tuple[Decimal, Decimal]] = {}
    for one in rows:
        usd, quantity = sums.get((one.day, one.usage_type, one.unit), (Decimal(0), Decimal(0)))
        sums[one.day, one.usage_type, one.unit] = (usd + one.usd, quantity + one.quantity)
    return tuple(
        Charge(
            day=day,
            service=S3 if usage_type == STORED else service,
            usage_type=usage_type,
            usd=usd,
            quantity=quantity,
            unit=unit,
        )
        for (day, usage_type, unit), (usd, quantity) in sorted(sums.items())
    )


def bill(rows: Iterable[Charge], *, first: date = BEFORE.first, until: date = LAST.until) -> Bill:
    """A bill of *rows*, which are by usage type and project."""
    by_project = tuple(rows)
    return Bill(
        account=ACCOUNT,
        time=NOW,
        first=first,
        until=until,
        charges=by_service(by_project),
        by_tag={"project": by_project},
        requests=2,
    )


def part(usage_type: str, tag: str, phase: Phase, before: str, after: str, **more: object) -> ChangePart:
    """A part of which all that changed is the quantity."""
    usd_before, usd_after = Decimal(before), Decimal(after)
    return ChangePart(
        usage_type=usage_type,
        tag=tag,
        region="us-east-1",
        phase=phase,
        usd_before=usd_before,
        usd_after=usd_after,
        quantity_effect=usd_after - usd_before,
        **more,  # type: ignore[arg-type]
    )


def movement() -> Movement:
    """Why the made-up bill went up by $23,000, as `full_report` has it."""
    hung = Culprit(
        arn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/llm-pretrain-7b-0924",
        name="llm-pretrain-7b-0924",
        kind="training-job",
        owner="omar.haddad@acme.example",
        since=datetime(2026, 9, 25, 4, tzinfo=UTC),
        usd_until_now=Decimal("15511.20"),
        detector="hung-training-jobs",
        finding="1a2b3c4d5e",
    )
    new = Culprit(
        arn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/support-assistant-rag",
        name="support-assistant-rag",
        kind="endpoint",
        owner="support",
        since=datetime(2026, 8, 27, 9, tzinfo=UTC),
    )
    training = part(TRAIN, "llm", Phase.TRAINING, "0", "15334")
    hosting = part(HOST, "support", Phase.HOSTING, "655", "4200")
    notebooks = part(NOTEBOOK, "", Phase.NOTEBOOKS, "4334", "8455")
    stored = part(STORED, "vision", Phase.STORAGE, "6100", "6100", usual=Decimal(60))
    movers = (
        Mover(usd=Decimal(15334), cause=MoverCause.FINDING, part=training, culprit=hung, owner=hung.owner),
        Mover(usd=Decimal(3545), cause=MoverCause.STARTED, part=hosting, culprit=new, owner=new.owner),
        Mover(usd=Decimal(2921), cause=MoverCause.PRICE, part=notebooks),
        Mover(usd=Decimal(1200), cause=MoverCause.UNEXPLAINED, part=notebooks),
        Mover(usd=Decimal(900), cause=MoverCause.TAG, part=notebooks, tag_before="vision"),
        Mover(usd=Decimal(0), cause=MoverCause.UNEXPLAINED, part=stored),
    )
    return Movement(
        comparison=SpanComparison(kind=ComparisonKind.DAYS, before=BEFORE, after=LAST),
        usd_before=Decimal(57000),
        usd_after=Decimal(80000),
        tag="project",
        movers=movers,
        ended_credits=Decimal(500),
    )


def full_report() -> BillReport:
    """Sixty days of four usage types and projects, why they moved, budgets, shares and what was saved."""
    rows = [
        *charges(TRAIN, list(LAST)[19:], price="37.688", quantity="37", tag="llm"),
        *charges(HOST, BEFORE, price="1.408", quantity="15.5", tag="support"),
        *charges(HOST, LAST, price="1.408", quantity="99.4", tag="support"),
        *charges(NOTEBOOK, [*BEFORE, *LAST], price="1.408", quantity="103", tag=""),
        *charges(STORED, [*BEFORE, *LAST], price="0.023", quantity="8840", tag="vision", unit="GB-Mo"),
    ]
    read = bill(rows)
    moved = movement()
    full = Bill(
        account=read.account,
        time=read.time,
        first=read.first,
        until=read.until,
        charges=read.charges,
        by_tag=read.by_tag,
        records=(
            RecordCharge(day=BEFORE.first, record_type="Credit", usd=Decimal(-500)),
            RecordCharge(day=LAST.first, record_type="Tax", usd=Decimal("71.40")),
        ),
        estimated=frozenset({LAST.last}),
        forecast=Forecast(
            first=date(2026, 10, 6),
            until=date(2026, 11, 1),
            usd=Decimal(66000),
            low=Decimal(61000),
            high=Decimal(72500),
        ),
        gaps=(
            BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject="cost-center"),
            BillGap(reading=BillReading.TAG, cause=GapCause.OVER_LIMIT, subject="team"),
        ),
        requests=8,
    )
    return BillReport(
        bill=full,
        span=LAST,
        main=moved,
        yesterday=Movement(
            comparison=SpanComparison(
                kind=ComparisonKind.DAY,
                before=DaySpan(date(2026, 9, 27), 1),
                after=DaySpan(date(2026, 10, 4), 1),
            ),
            usd_before=Decimal(1900),
            usd_after=Decimal(3000),
            tag="project",
            movers=(
                Mover(
                    usd=Decimal(1100),
                    cause=moved.movers[0].cause,
                    part=moved.movers[0].part,
                    culprit=moved.movers[0].culprit,
                    owner=moved.movers[0].owner,
                ),
            ),
        ),
        month=Movement(
            comparison=SpanComparison(
                kind=ComparisonKind.MONTH_TO_DATE,
                before=DaySpan(date(2026, 9, 1), 5),
                after=DaySpan(date(2026, 10, 1), 5),
            ),
            usd_before=Decimal(9500),
            usd_after=Decimal(14000),
            tag="project",
        ),
        shares=(
            TagShare(
                tag="project",
                untagged=Decimal(8455),
                total=Decimal(80000),
                untagged_before=Decimal(4334),
                total_before=Decimal(57000),
            ),
        ),
        budgets=(
            BudgetState(usd=Decimal(65000), spent=Decimal(14000), expected=Decimal(80000)),
            BudgetState(
                usd=Decimal(20000), spent=Decimal(7900), expected=Decimal(47400), tag="project", value="llm"
            ),
        ),
        unit_costs=(
            UnitCost(
                kind="endpoint",
                name="support-assistant-rag",
                usd=Decimal(4200),
                units=3_120_000,
                unit="requests",
            ),
            UnitCost(kind="family", name="churn-nightly", usd=Decimal("412.50"), units=30, unit="jobs"),
        ),
        saved={date(2026, 10, 3): Decimal("96.40"), date(2026, 10, 4): Decimal("192.80")},
        saved_this_month=Decimal("289.20"),
    )
