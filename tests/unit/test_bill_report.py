"""A bill and what is known of its resources, put together: spans, movers, shares, credits, prices."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bills import BEFORE, HOST, LAST, NOTEBOOK, NOW, TRAIN, bill, charges, part
from conftest import DAY
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.model import (
    ZERO,
    Bill,
    ChangePart,
    Charge,
    ComparisonKind,
    Culprit,
    Forecast,
    GapCause,
    Mover,
    MoverCause,
    Phase,
    RecordCharge,
    SpanComparison,
    break_down,
    total_change,
)
from ml_janitor.bill.reading import BillQuestion
from ml_janitor.bill.report import (
    bill_lines,
    budget_states,
    has_table,
    make_bill_report,
    merge_small_jobs,
    moved_usage_types,
    owner_changes,
    price_resources,
    usd_by_day,
)
from ml_janitor.bill.resources import BillResource
from ml_janitor.report.bill import gap_sentence
from narrowing import not_none
from tables import cases

ASKED = BillQuestion(days=30, settling_days=1, tags=("project", "owner"))
HUNG_SINCE = datetime(2026, 9, 25, tzinfo=UTC)
NEW_SINCE = datetime(2026, 8, 27, tzinfo=UTC)


def resource(name: str, usage: str, start: datetime, *, tag: str, **more: object) -> BillResource:
    culprit = Culprit(arn=f"arn:{name}", name=name, kind="endpoint", owner=f"{name}-owner", since=start)
    return BillResource(
        culprit=replace(culprit, **more),  # type: ignore[arg-type]
        runs=(ResourceRun(usage_type=usage, start=start, hourly=Decimal(1)),),
        tag=tag,
        family=name,
    )


@pytest.fixture
def read() -> Bill:
    """A hung job, an endpoint that is ten days old when the span begins, and notebooks without a project."""
    hung = [day for day in LAST if day >= HUNG_SINCE.date()]
    new = [day for day in [*BEFORE, *LAST] if day >= NEW_SINCE.date()]
    return bill(
        [
            *charges(TRAIN, hung, price="37.688", quantity="24", tag="llm"),
            *charges(HOST, new, price="1.408", quantity="24", tag="support"),
            *charges(NOTEBOOK, [*BEFORE, *LAST], price="1.408", quantity="10", tag=""),
        ]
    )


KNOWN = (
    resource("hung", TRAIN, HUNG_SINCE, tag="llm", finding="f", detector="hung-training-jobs"),
    resource("rag", HOST, NEW_SINCE, tag="support", used=True),
)


@cases(
    "run, usd",
    ({"start": datetime(2026, 8, 7, tzinfo=UTC)}, "2031.744"),  # 60 days and 3 hours
    ({"start": datetime(2026, 8, 6, 23, tzinfo=UTC)}, None),  # before the bill: more than it says
    ({"usage_type": "USE1-Host:ml.unknown"}, None),
    ({"end": datetime(2026, 9, 1, tzinfo=UTC)}, "168.96"),
    ({"end": datetime(2026, 12, 1, tzinfo=UTC)}, "1355.904"),
    ({"start": datetime(2026, 10, 6, 2, tzinfo=UTC), "hourly": Decimal(3)}, "4.224"),
    ({"start": datetime(2026, 10, 7, tzinfo=UTC)}, "0"),  # not yet
    ids=str,
)
def test_the_cost_so_far_is_of_all_its_hours_or_unknown(run: dict[str, object], usd: str | None) -> None:
    whole = [day for day in [*BEFORE, *LAST] if day.day != 20]
    rows = charges(HOST, whole, price="1.408", quantity="24", tag="support")
    own = ResourceRun(usage_type=HOST, start=datetime(2026, 8, 27, tzinfo=UTC), hourly=Decimal(1))
    plain = ResourceRun(usage_type=HOST, start=NOW, hourly=Decimal(0))
    made = replace(KNOWN[1], runs=(plain, replace(own, **run)))  # type: ignore[arg-type]

    (found,) = price_resources(bill(rows), [made])

    assert found.culprit.usd_until_now == (None if usd is None else Decimal(usd))


def test_prices_are_those_of_the_last_five_weeks() -> None:
    days = {0: "7", 24: "7", 25: "1", 59: "3"}  # 35 days are from the 26th on
    rows = [
        row
        for number, price in days.items()
        for row in charges(HOST, [BEFORE.first + timedelta(days=number)], price=price, quantity="2", tag="a")
    ]
    credited = charges(TRAIN, [LAST.last], price="-1", quantity="-5", tag="a")
    little = charges(NOTEBOOK, [LAST.last], price="4", quantity="0.5", tag="a")
    one_hour = [
        ResourceRun(usage_type=usage, start=NOW - timedelta(hours=1), hourly=Decimal(1))
        for usage in (HOST, TRAIN, NOTEBOOK)
    ]

    found = price_resources(
        bill([*rows, *credited, *little]), [replace(KNOWN[0], runs=(one,)) for one in one_hour]
    )

    assert [one.culprit.usd_until_now for one in found] == [2, None, 4]


def test_a_resource_that_breaks_the_joining_leaves_the_bill(read: Bill) -> None:
    naive = ResourceRun(usage_type=TRAIN, start=HUNG_SINCE.replace(tzinfo=None))

    report = make_bill_report(read, ASKED, resources=(*KNOWN, replace(KNOWN[0], runs=(naive,))))

    alone = make_bill_report(read, ASKED)
    (gap,) = report.bill.gaps
    assert (report.main, report.yesterday, report.shares) == (alone.main, alone.yesterday, alone.shares)
    assert gap_sentence(gap).startswith(
        "What ran is not all known, so less is explained: TypeError: can't subtract"
    )
    broken = replace(read, charges=(replace(read.charges[0], usd="5"),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        make_bill_report(broken, ASKED)


def test_without_a_tag_the_bill_is_joined_all_the_same(read: Bill) -> None:
    report = make_bill_report(replace(read, by_tag={}), ASKED, resources=KNOWN)

    assert report.main is not None
    assert (report.main.tag, report.shares) == ("", ())
    assert not_none(report.main.movers[0].culprit).name == "hung"


def test_what_a_resource_uses_of_several_types_is_one_mover(read: Bill) -> None:
    runs = tuple(ResourceRun(usage_type=usage, start=HUNG_SINCE) for usage in (TRAIN, HOST))
    both = replace(KNOWN[0], runs=runs, tag="llm")
    more = charges(
        HOST, [day for day in LAST if day.day > 25 or day.month > 9], price="1", quantity="24", tag="llm"
    )
    report = make_bill_report(bill([*read.by_tag["project"], *more]), ASKED, resources=[both])

    assert report.main is not None
    own = [one for one in report.main.movers if one.culprit]
    assert len(own) == 1
    assert own[0].part.usage_type == TRAIN
    assert own[0].usd > Decimal("37.688") * 24 * 11
    assert total_change(report.main.movers) == report.main.change


def test_untagged_shares_have_a_trend_and_an_inactive_tag_has_none(read: Bill) -> None:
    nobody = tuple(replace(one, tag="") for one in read.by_tag["project"])
    more = charges(NOTEBOOK, LAST, price="1", quantity="1", tag="")
    rows = (*read.by_tag["project"], *more)
    (share,) = make_bill_report(replace(read, by_tag={"project": rows, "owner": nobody}), ASKED).shares
    assert (share.tag, share.total, share.total_before) == (
        "project",
        read.total(LAST) + 30,
        read.total(BEFORE),
    )
    assert [share.untagged, share.untagged_before] == [Decimal("15.08") * 30, Decimal("14.08") * 30]
    assert share.share == share.untagged / share.total
    assert share.share_before == share.untagged_before / share.total_before


@cases(
    "record, usd",
    (("Credit", 8, -10), 290),  # eight days ago, and none since
    (("Credit", 7, -10), 0),  # some come once a week
    (("Credit", 1, 0), 300),
    (("Refund", 1, -10), 300),
    (("Credit", 20, -400), 0),  # more than before: none ended
)
def test_credits_ended_where_none_came_for_a_week(read: Bill, record: tuple[str, int, int], usd: int) -> None:
    kind, days_ago, amount = record
    given = [RecordCharge(day=day, record_type="Credit", usd=Decimal(-10)) for day in BEFORE]
    late = RecordCharge(day=LAST.until - timedelta(days=days_ago), record_type=kind, usd=Decimal(amount))

    main = not_none(make_bill_report(replace(read, records=(*given, late)), ASKED).main)

    assert main.ended_credits == usd
    assert main.change == not_none(make_bill_report(read, ASKED).main).change


def test_owners_of_usage_types_are_named_where_there_is_just_one(read: Bill) -> None:
    def owned(*owners: str) -> str | None:
        rows = tuple(
            Charge(day=LAST.first, usage_type=TRAIN, tag=owner, usd=Decimal(5), quantity=Decimal(1))
            for owner in owners
        )
        main = not_none(make_bill_report(replace(read, by_tag={**read.by_tag, "owner": rows}), ASKED).main)
        return main.movers[0].owner

    assert (owned("omar"), owned("omar", "mia"), owned("omar", ""), owned("")) == ("omar", None, None, None)
    others = [
        Charge(day=BEFORE.first, usage_type=TRAIN, tag="before", usd=Decimal(5)),
        Charge(day=LAST.first, usage_type=TRAIN, tag="free", usd=Decimal(0)),
        Charge(day=LAST.first, service="S3", tag="by service", usd=Decimal(5)),
        Charge(day=LAST.first, usage_type=TRAIN, tag="omar", usd=Decimal(5)),
    ]
    both = SpanComparison(kind=ComparisonKind.DAYS, before=BEFORE, after=LAST)
    assert owner_changes(replace(read, by_tag={"owner": tuple(others)}), both) == {
        TRAIN: {"before": Decimal(-5), "omar": Decimal(5)}
    }


def test_usage_types_that_moved_by_a_dollar_are_those_to_explain() -> None:
    usd = {"USE1-Train:ml.a": "1", "USE1-Train:ml.b": "0.99", "USE1-Train:ml.c": "-1.5"}
    rows = [
        one for usage in usd for one in charges(usage, [LAST.first], price=usd[usage], quantity="1", tag="")
    ]
    calm = charges(NOTEBOOK, [*BEFORE, *LAST], price="1", quantity="1", tag="")

    assert moved_usage_types(bill([*rows, *calm]), ASKED) == {"USE1-Train:ml.a", "USE1-Train:ml.c"}


def test_what_is_tagged_anew_in_the_middle_of_a_span_has_not_moved() -> None:
    days = [*BEFORE, *LAST]
    rows = [
        *charges(HOST, days[:40], price="1", quantity="24", tag="a"),
        *charges(HOST, days[40:], price="1", quantity="24", tag="b"),
    ]

    report = make_bill_report(bill(rows), ASKED, resources=[resource("rag", HOST, NOW - 99 * DAY, tag="b")])

    movers = not_none(report.main).movers
    assert [(one.cause, one.usd, one.tag_before) for one in movers] == [(MoverCause.TAG, Decimal(480), "a")]


JUMPED = part(TRAIN, "llm", Phase.TRAINING, "0", "99")
CALM = replace(JUMPED, usual=Decimal(99))


def small(name: str, usd: int, of: ChangePart = JUMPED, after: int = 1, **more: Any) -> Mover:
    cause, owner = more.pop("cause", MoverCause.STARTED), more.pop("owner", "mia")
    culprit = replace(Culprit(arn=f"arn:{name}", name=name, kind="training-job", owner=owner), **more)
    return Mover(
        usd=Decimal(usd),
        cause=cause,
        part=of,
        culprit=culprit,
        owner=owner,
        units_before=Decimal(2),
        units_after=Decimal(after),
    )


@cases(
    "movers, name, owner, members",
    ([small("etl-1", 4), small("etl-2", 4), small("etl-3", 4)], "etl", "mia", 3),
    ([small("etl-1", -4, after=0), small("etl-2", -4, members=5), small("etl-3", -4)], "etl", "mia", 6),
    ([small("etl-1", 4, owner="omar"), small("fit-2", 4), small("etl-3", 4)], "", None, 3),
    ([small("etl-1", 4), small("etl-2", 4)], None, None, 0),
    ([small("etl-1", 6), small("etl-2", 3), small("etl-3", 3)], None, None, 0),  # the largest is half of them
    ([small(f"etl-{number}", 4, CALM) for number in (1, 2, 3)], None, None, 0),
    ([small(f"etl-{number}", 4, kind="endpoint") for number in (1, 2, 3)], None, None, 0),
    ([small(f"etl-{number}", 4, cause=MoverCause.FINDING) for number in (1, 2, 3)], None, None, 0),
)
def test_small_jobs_of_a_line_that_jumped_are_named_together(
    movers: Sequence[Mover], name: str | None, owner: str | None, members: int
) -> None:
    alone = [Mover(usd=Decimal(9), cause=MoverCause.USAGE, part=JUMPED) for _ in range(3)]

    found = list(merge_small_jobs([*alone, *movers]))

    assert found[:3] == alone
    if name is None:
        assert found[3:] == movers
        return
    (one,) = found[3:]
    culprit = not_none(one.culprit)
    assert (culprit.name, culprit.members, culprit.owner, culprit.since) == (name, members, None, None)
    assert (one.cause, one.owner, one.usd) == (MoverCause.CHANGED, owner, sum(each.usd for each in movers))
    assert [one.units_before, one.units_after] == [Decimal(6), sum(each.units_after for each in movers)]


@pytest.mark.parametrize("most", [0, 1, 5])
def test_what_is_told_adds_up(read: Bill, most: int) -> None:
    main = not_none(make_bill_report(read, ASKED, resources=KNOWN[:1]).main)

    parts = break_down(main, most)

    shown = sum((one.usd for one in parts.movers), Decimal(0))
    assert shown + parts.smaller_usd + parts.unexplained_usd == main.change
    assert (len(parts.movers), parts.unexplained) == (min(most, 2), ())


def test_a_table_has_every_dollar(read: Bill) -> None:
    for by in ("phase", "service", "usage", "project"):
        rows = bill_lines(read, by, LAST, BEFORE)
        assert sum(one.usd for one in rows) == read.total(LAST)
        assert sum(one.usd_before or 0 for one in rows) == read.total(BEFORE)
        days = list(LAST)
        assert sum(map(sum, usd_by_day(read, by, days).values())) == read.total(LAST)
    assert [one.name for one in bill_lines(read, "project", LAST, None)] == ["llm", "support", ""]
    for by in ("team", "account"):
        assert not has_table(read, by)
        with pytest.raises(KeyError):
            bill_lines(read, by, LAST, None)
    several = replace(read, by_account=(Charge(day=LAST.first, tag="1", usd=Decimal(5)),))
    assert [has_table(several, by) for by in ("phase", "usage", "project", "account")] == [True] * 4
    assert [(one.name, one.usd) for one in bill_lines(several, "account", LAST, None)] == [("1", Decimal(5))]
    assert not has_table(several, "team")
    assert make_bill_report(read, ASKED).table("phase") == bill_lines(read, "phase", LAST, BEFORE)
    young = replace(read, first=LAST.first)
    assert make_bill_report(young, ASKED).table("phase") == bill_lines(read, "phase", LAST, None)


def test_a_longer_span_than_the_bill_has_no_week_before() -> None:
    few = bill(charges(HOST, list(LAST), price="1", quantity="1", tag="llm"), first=LAST.first)

    report = make_bill_report(few, replace(ASKED, days=60))

    assert report.main is None
    assert report.span.first == LAST.first
    assert report.span.until == LAST.until == few.until
    assert few.until - report.span.first == timedelta(days=30)


# --- where nothing was looked at --------------------------------------------------------------


def test_a_change_in_a_region_that_was_not_looked_at_says_so(read: Bill) -> None:
    def with_use_of(usage: str) -> Bill:
        own = read.by_tag["project"]
        return bill([*own, *charges(usage, LAST, price="2", quantity="24", tag="support")])

    both = with_use_of(f"EU-{HOST.partition('-')[2]}")
    (gap,) = make_bill_report(both, ASKED, resources=KNOWN, looked_at=["us-east-1"]).bill.gaps
    assert (gap.cause, gap.subject, gap.usd) == (GapCause.NOT_LOOKED_AT, "eu-west-1", Decimal(1440))
    assert gap_sentence(gap) == (
        "Nothing was looked at in eu-west-1, where +$1,440 of the change is. "
        "Add --region eu-west-1, or add it to regions in [janitor]."
    )
    assert not make_bill_report(both, ASKED, resources=KNOWN, looked_at=["us-east-1", "eu-west-1"]).bill.gaps
    assert not make_bill_report(read, ASKED, resources=KNOWN, looked_at=["us-east-1"]).bill.gaps
    assert not make_bill_report(both, ASKED, resources=KNOWN).bill.gaps  # nothing was looked at
    stored = with_use_of("EU-TimedStorage-ByteHrs")  # what is looked at nowhere
    assert not make_bill_report(stored, ASKED, resources=KNOWN, looked_at=["us-east-1"]).bill.gaps


def test_of_regions_that_were_not_looked_at_the_one_that_changed_most_comes_first() -> None:
    usages = {"EUC1-Host:ml.a": 144, "EU-Host:ml.a": 100, "EU-Train:ml.a": 100}
    rows = [
        charge
        for usage, usd in usages.items()
        for day, units in ((BEFORE.first, usd), (LAST.first, 2 * usd))
        for charge in charges(usage, [day], price="1", quantity=f"{units}", tag="a")
    ]

    gaps = make_bill_report(bill(rows), ASKED, looked_at=["us-east-1"]).bill.gaps

    assert [(one.subject, int(one.usd or 0)) for one in gaps] == [("eu-west-1", 200), ("eu-central-1", 144)]


@pytest.mark.parametrize(("usd", "told"), [("1", True), ("0.99", False), ("-1", True)])
def test_less_than_a_dollar_is_not_worth_looking_elsewhere(read: Bill, usd: str, *, told: bool) -> None:
    row = Charge(day=LAST.first, usage_type=f"EU-{HOST.partition('-')[2]}", tag="a", usd=Decimal(usd))
    service = replace(row, tag=None, service="Amazon SageMaker")
    more = replace(read, charges=(*read.charges, service), by_tag={"project": (*read.by_tag["project"], row)})

    gaps = make_bill_report(more, ASKED, resources=KNOWN, looked_at=["us-east-1"]).bill.gaps

    assert [one.usd for one in gaps] == ([Decimal(usd)] if told else [])


# --- days that AWS may still change -----------------------------------------------------------


@pytest.mark.parametrize("today", [date(2026, 10, day) for day in (1, 2, 3, 4, 8, 15)])
@pytest.mark.parametrize("share", ["0", "0.5", "1"])
def test_an_unsettled_day_never_makes_news(today: date, share: str) -> None:
    """A steady account, read at 06:30, with yesterday missing, half there or whole."""
    days = [today - number * DAY for number in range(65, 0, -1)]
    rows = charges("USE1-Host:ml.a", days[:-1], price="10", quantity="24", tag="a")
    rows += charges("USE1-Host:ml.a", days[-1:], price="10", quantity=str(24 * Decimal(share)), tag="a")
    forecast = Forecast(first=today, until=date(2026, 11, 1), usd=ZERO, low=ZERO, high=ZERO)
    read = replace(
        bill([row for row in rows if row.usd], first=days[0], until=today),
        time=datetime(today.year, today.month, today.day, 6, 30, tzinfo=UTC),
        forecast=forecast,
    )

    report = make_bill_report(read, replace(ASKED, settling_days=2))

    movements = (report.main, report.month, report.yesterday)
    assert [(one.change, one.news) for one in movements if one] == [(Decimal(0), ())] * 3
    assert list(report.unsettled) == [today - DAY]
    settled = today - 2 * DAY
    assert {movement.comparison.after.last for movement in movements if movement} <= {
        settled,
        date(2026, 9, 30),
    }
    (state,) = budget_states(read, 500, {}, report.span.until)
    charged = [row.usd for row in rows if row.day.month == (today - DAY).month]
    assert state.spent == sum(charged)
    assert state.expected == (state.spent if today.day == 1 else 240 * len(charged))
