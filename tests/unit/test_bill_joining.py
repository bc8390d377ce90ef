"""The resources behind a change: their claims, prices, families, and use that moved to another tag."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bills import BEFORE, HOST, LAST, charges
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.explaining import (
    changed_parts,
    find_movers,
    usage_lines,
)
from ml_janitor.bill.model import (
    ChangePart,
    Charge,
    ComparisonKind,
    Culprit,
    DaySpan,
    Mover,
    MoverCause,
    Phase,
    SpanComparison,
)
from ml_janitor.bill.resources import (
    BillResource,
    VariantRequests,
    units_in_span,
)
from tables import cases

DAYS = SpanComparison(kind=ComparisonKind.DAYS, before=BEFORE, after=LAST)
LATER = datetime(2026, 10, 1, tzinfo=UTC)


def part(
    before: tuple[float, float], after: tuple[float, float], *, tag: str | None = "llm", **more: Any
) -> ChangePart:
    """A line with its dollars and units in each span."""
    made = ChangePart(
        usage_type=HOST,
        tag=tag,
        region="us-east-1",
        phase=Phase.HOSTING,
        usd_before=Decimal(str(before[0])),
        usd_after=Decimal(str(after[0])),
        quantity_before=Decimal(str(before[1])),
        quantity_after=Decimal(str(after[1])),
    )
    return replace(made, **more)


def known(
    name: str, before: float = 0, after: float = 0, *, tag: str | None = "llm", family: str = "", **more: Any
) -> BillResource:
    """A resource that ran so many hours in each span."""
    starts = [(datetime.combine(span.first, time(), UTC), span) for span in (BEFORE, LAST)]
    runs = tuple(
        ResourceRun(usage_type=HOST, start=start, end=start + timedelta(hours=hours))
        for (start, _), hours in zip(starts, (before, after), strict=True)
        if hours
    )
    culprit = replace(Culprit(arn=f"arn:{name}", name=name, kind="endpoint"), **more)
    return BillResource(culprit=culprit, runs=runs, tag=tag, family=family)


def explained(*parts: ChangePart, by: Sequence[BillResource] = ()) -> list[tuple[str, MoverCause, Decimal]]:
    """Who or what is behind each mover, its cause, and its dollars."""
    return [
        (one.culprit.name if one.culprit else one.tag_before or "", one.cause, one.usd)
        for one in find_movers(parts, by, DAYS, {})
    ]


def test_units_are_those_between_two_midnights_of_utc() -> None:
    run = ResourceRun(usage_type=HOST, start=datetime(2026, 9, 5, 22, tzinfo=UTC), hourly=Decimal(2))
    requests = VariantRequests(
        variant="all", points=((run.start, 3.0), (run.start + timedelta(hours=2), 4.4)), period=3600
    )

    assert [units_in_span(run, DaySpan(date(2026, 9, number), 1)) for number in (4, 5, 6)] == [0, 4, 48]
    assert requests.within(DaySpan(date(2026, 9, 6), 1)) == 4
    assert replace(requests, points=None).within(LAST) is None


# --- claims -----------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    line=st.tuples(st.integers(-5, 60), st.integers(-5, 60)),
    hours=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=5),
)
def test_claims_are_no_more_than_their_line(line: tuple[int, int], hours: list[tuple[int, int]]) -> None:
    """And they are all that was claimed, where the line has as much."""
    of = part((line[0] * 3, line[0]), (line[1] * 7, line[1]))
    found = find_movers((of,), [known(f"n{number}", *one) for number, one in enumerate(hours)], DAYS, {})

    claimed = [one for one in found if one.culprit]
    for side, most, asked in zip(
        ("units_before", "units_after"), line, map(sum, zip(*hours, strict=True)), strict=True
    ):
        whole = sum((getattr(one, side) for one in claimed), Decimal(0))
        assert all(getattr(one, side) >= 0 for one in claimed)
        if len(claimed) == len(hours):
            assert whole == pytest.approx(min(asked, max(most, 0)))
        assert whole <= max(most, 0) + Decimal("1e-9")
    assert sum(one.usd for one in found) == of.change


def test_where_more_is_claimed_than_billed_each_gets_its_share() -> None:
    found = explained(part((0, 0), (60, 20)), by=[known("large", after=30), known("small", after=10)])

    assert found == [("large", MoverCause.STARTED, Decimal(45)), ("small", MoverCause.STARTED, Decimal(15))]


@cases("tags, own", (("llm", "", None), "llm"), (("", None), ""), ((None,), None), (("vision",), "nothing"))
def test_a_claim_is_on_the_line_of_its_tag_if_any(tags: Sequence[str | None], own: str | None) -> None:
    found = find_movers([part((0, 0), (10, 10), tag=one) for one in tags], [known("one", after=10)], DAYS, {})

    assert [one.part.tag for one in found if one.culprit] == ([own] if own != "nothing" else [])


@cases(
    "changes, owner",
    ({"omar": 3}, "omar"),  # the only owner
    ({"": 10}, None),
    ({"omar": 9, "mia": 1, "": 0}, "omar"),
    ({"omar": 8, "mia": 2}, None),
    ({"omar": 10, "mia": 11, "ann": -11}, None),  # either may be meant
    ({"omar": 1, "": 10}, None),
    ({}, None),
)
def test_use_without_a_resource_has_the_owner_whose_use_changed_as_much(
    changes: dict[str, int], owner: str | None
) -> None:
    owners = {HOST: {name: Decimal(usd) for name, usd in changes.items()}, "other": {"eve": Decimal(10)}}

    (mover,) = find_movers([part((0, 0), (10, 10))], [], DAYS, owners)

    assert (mover.cause, mover.owner, mover.usd) == (MoverCause.USAGE, owner, Decimal(10))
    assert [mover.units_before, mover.units_after] == [0, 10]


def test_only_what_nothing_is_known_of_is_not_explained() -> None:
    bare = replace(part((0, 0), (10, 10), tag=""), phase=Phase.OTHER)
    known = [bare, replace(bare, tag="llm"), replace(bare, phase=Phase.LOGS), replace(bare, usage_type="x")]

    found = find_movers(known, [], DAYS, {"x": {"omar": Decimal(10)}})

    assert [mover.part for mover in found if mover.cause is MoverCause.UNEXPLAINED] == [bare]
    assert {mover.cause for mover in found} == {MoverCause.UNEXPLAINED, MoverCause.USAGE}


@cases("left, found", (0.009, [("new", 10.009)]), (0.01, [("new", 10), ("", 0.01)]))
def test_less_than_a_cent_that_nothing_explains_is_rounding(
    left: float, found: list[tuple[str, float]]
) -> None:
    said = explained(part((0, 0), (10 + left, 10 + left)), by=[known("new", after=10)])

    assert [(name, usd) for name, _, usd in said] == [(name, Decimal(str(usd))) for name, usd in found]


# --- prices -----------------------------------------------------------------------------------

STAYED, NEW, GONE = known("stayed", 300, 600), known("new", 0, 120), known("gone", 150, 0)


@cases(
    "prices, dollars",
    ((0.5, 1), {"": 300, "stayed": 150, "new": 120, "gone": -75}),
    ((3, 2), {"": -300, "stayed": 600, "new": 240, "gone": -450}),
    ((2, 2), {"stayed": 600, "new": 240, "gone": -300}),
    ids=["dearer", "cheaper", "the same"],
)
def test_each_moves_at_the_price_of_its_span(prices: tuple[float, float], dollars: dict[str, int]) -> None:
    """The price is what all that stayed costs more or less for: 600 units once it rose, 300 once it fell."""
    of = part((450 * prices[0], 450), (720 * prices[1], 720))

    found = explained(of, by=[STAYED, NEW, GONE])

    assert {name: usd for name, _, usd in found} == dollars
    assert {cause for name, cause, _ in found if not name} <= {MoverCause.PRICE}
    assert sum(dollars.values()) == of.change


@cases(
    "after, causes",
    ((101, 10), [MoverCause.USAGE]),  # one percent is rounding
    ((101.1, 10), [MoverCause.PRICE]),
    ((98.9, 10), [MoverCause.PRICE]),
    ((180, 12), [MoverCause.PRICE, MoverCause.USAGE]),
    ((0, 10), [MoverCause.USAGE]),  # free now, as with a free tier: no price
    ((100, 0), []),
    ((200, 0), [MoverCause.USAGE]),
)
def test_a_price_needs_both_spans_to_differ(after: tuple[float, float], causes: list[MoverCause]) -> None:
    assert [cause for _, cause, _ in explained(part((100, 10), after))] == causes


def test_a_price_is_one_mover_whatever_the_tags() -> None:
    parts = [part((100, 10), (150, 10), tag=tag) for tag in ("llm", "vision")]
    found = find_movers((*parts, part((10, 1), (13, 1), tag="llm", usage_type="Other")), [], DAYS, {})

    assert [(one.cause, one.usd, one.part.usage_type, one.part.tag) for one in found] == [
        (MoverCause.PRICE, Decimal(100), HOST, None),
        (MoverCause.PRICE, Decimal(3), "Other", "llm"),
    ]
    assert (found[0].part.usd_before, found[0].part.quantity_after) == (Decimal(200), Decimal(20))


@cases(
    "owners, said",
    (["mia@x.example"], "mia@x.example"),
    (["mia@x.example", None], "mia@x.example"),
    (["mia@x.example", "omar@x.example", "omar@x.example"], "omar, mia"),
    (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
    ([None], None),
)
def test_a_change_of_price_names_who_pays_it(owners: Sequence[str | None], said: str | None) -> None:
    used = [known(f"n{number}", 10, 10, owner=owner) for number, owner in enumerate(owners)]
    of = part((100, 100), (150, 100))

    (mover,) = find_movers([of], [*used, known("gone", 10, 0, owner="zoe")], DAYS, {})[:1]

    assert (mover.cause, mover.owner) == (MoverCause.PRICE, said)


# --- families ---------------------------------------------------------------------------------


@cases(
    "hours, found",
    ({"a": (0, 10), "b": (0, 12)}, {"f": (22, 2)}),
    ({"a": (0, 10), "b": (0, 40)}, {"f": (50, 2)}),  # of two, neither is out of the ordinary
    ({"a": (0, 10), "b": (0, 10), "c": (0, 30)}, {"f": (50, 3)}),
    ({"a": (0, 10), "b": (0, 10), "c": (0, 31)}, {"f": (20, 2), "c": (31, 1)}),
    ({"a": (5, 5), "b": (6, 4), "c": (20, 12)}, {"f": (-2, 2), "c": (-8, 1)}),
    ({"a": (2, 8), "b": (0, 10), "c": (0, 10), "d": (11, 19)}, {"f": (34, 4)}),
)
def test_jobs_of_a_family_are_one_but_for_what_ran_over_three_times_as_long(
    hours: dict[str, tuple[float, float]], found: dict[str, tuple[object, int]]
) -> None:
    by = [known(name, *one, family="f", kind="training-job") for name, one in hours.items()]
    assert {
        one.culprit.name: (one.usd, one.culprit.members)
        for one in find_movers([part((1000, 1000), (1000, 1000))], by, DAYS, {})
        if one.culprit
    } == found


def test_a_family_has_the_arn_of_its_largest_and_no_time_of_its_own() -> None:
    by = [
        known("small", 4, 1, family="f", since=LATER, ended=LATER, owner="omar"),
        known("large", 1, 5, family="f", since=LATER, ended=LATER, owner="mia"),
        known("other-kind", 0, 3, family="f", kind="notebook-instance"),
        known("waste", 0, 9, family="f", finding="x"),
    ]

    found = {
        one.culprit.name: one for one in find_movers([part((99, 99), (99, 99))], by, DAYS, {}) if one.culprit
    }

    assert set(found) == {"f", "other-kind", "waste"}
    assert found["f"].culprit == replace(by[1].culprit, name="f", members=2, since=None, ended=None)
    assert found["f"].owner == "mia"
    assert [found["f"].units_before, found["f"].units_after] == [5, 6]


# --- causes -----------------------------------------------------------------------------------


@cases(
    "resource, cause",
    (known("x", 1, 2, finding="f"), MoverCause.FINDING),
    (known("x", 0, 1, finding="f"), MoverCause.FINDING),
    (known("x", 2, 1, finding="f"), MoverCause.CHANGED),  # waste that shrinks is no finding of the change
    (known("x", 2, 0, finding="f"), MoverCause.ENDED),
    (known("x", 0, 1), MoverCause.STARTED),
    (known("x", 0, 0.5, ended=LATER), MoverCause.STARTED),
    (known("x", 1, 1.5, ended=LATER, acted=True), MoverCause.CHANGED),
    (known("x", 2, 1), MoverCause.CHANGED),
    (known("x", 2, 0), MoverCause.ENDED),
    (known("x", 2, 1, ended=LATER), MoverCause.ENDED),
    (known("x", 2, 1, acted=True), MoverCause.ENDED),
)
def test_the_cause_is_what_is_known_of_the_resource(resource: BillResource, cause: MoverCause) -> None:
    mover = next(one for one in find_movers([part((90, 90), (90, 90))], [resource], DAYS, {}) if one.culprit)

    assert mover.cause is cause


# --- tags -------------------------------------------------------------------------------------


def moved(*found: Mover) -> list[tuple[str | None, str | None, Decimal]]:
    return [(one.tag_before, one.part.tag, one.usd) for one in found if one.cause is MoverCause.TAG]


def use(tag: str | None, before: float, after: float, **more: Any) -> ChangePart:
    """A line with units at a dollar each."""
    return part((before, before), (after, after), tag=tag, **more)


@cases(
    "parts, tags",
    ([use("llm", 100, 0), use("", 0, 100)], [("llm", "", 100)]),
    ([use("llm", 100, 0), use("", 0, 97)], [("llm", "", 97)]),  # three percent are the same use
    ([use("llm", 100, 0), use("", 0, 96)], []),
    ([use("llm", 97, 0), use("", 0, 100)], [("llm", "", 100)]),
    ([use("llm", 96, 0), use("", 0, 100)], []),
    ([use("llm", 60, 0), use("vision", 40, 0), use("", 0, 100)], [("llm", "", 60), ("vision", "", 40)]),
    ([use("llm", 60, 0), use("vision", 30, 0), use("", 0, 100)], []),
    ([use("a", 100, 0), use("b", 50, 0), use("", 0, 100), use("c", 0, 50)], [("a", "", 100), ("b", "c", 50)]),
    ([use("a", 100, 0), use("", 0, 100), use("c", 0, 100)], [("a", "", 100)]),  # it moved but once
    ([use(None, 100, 0), use("", 0, 100)], []),
    ([use("llm", 100, 0), use("", 0, 100, usage_type="Other")], []),
    ([use("llm", 100, 0), use("", 0, 100, usual=Decimal(100))], []),  # that much comes and goes by itself
    ([use("llm", 100, 0), use("", 0, 100, usual=Decimal("99.9"))], [("llm", "", 100)]),
    ([use("llm", 1, 0), use("", 0, 1)], [("llm", "", 1)]),
    ([part((100, 100), (100, 0)), use("", 0, 100)], []),  # less of it, and no dollar less
    (
        [part((5, 0), (3, 0), tag="a"), use("llm", 60, 0), use("vision", 40, 0), use("", 0, 100)],
        [("llm", "", 60), ("vision", "", 40)],  # a fee is no use
    ),
    ([use("a", 100, 0), use("b", 100, 0), use("", 0, 100)], [("a", "", 100)]),
    ([use("llm", 100, 0), part((100, 0), (90, 100), tag="")], []),
)
def test_use_that_left_one_tag_for_another_moved(
    parts: list[ChangePart], tags: list[tuple[str | None, str | None, int]]
) -> None:
    found = find_movers(parts, [], DAYS, {})

    assert moved(*found) == [(before, after, Decimal(usd)) for before, after, usd in tags]
    rests = sum((one.usd for one in found if one.cause is not MoverCause.TAG), Decimal(0))
    assert rests == sum((one.change for one in parts), Decimal(0))


def test_only_what_no_resource_explains_can_have_moved() -> None:
    parts = [use("llm", 100, 0), use("", 0, 100)]

    assert moved(*find_movers(parts, [known("gone", 100, 0), known("new", 0, 100, tag="")], DAYS, {})) == []
    part_of_it = find_movers(parts, [known("gone", 40, 0), known("new", 0, 40, tag="")], DAYS, {})
    assert moved(*part_of_it) == [("llm", "", Decimal(60))]


def billed(tag: str, days: Iterable[date], quantity: float) -> list[Charge]:
    """Units at a tenth of a cent each, on each of *days* under a value of the tag."""
    return charges(HOST, days, price="0.001", quantity=str(quantity), tag=tag)


def serving(name: str, tag: str, instances: int = 1, since: date = BEFORE.first) -> BillResource:
    """An endpoint with a tag, as AWS describes it now."""
    start = datetime.combine(since, time(), UTC)
    return replace(
        known(name, tag=tag, owner=f"{name}@x"),
        runs=(ResourceRun(usage_type=HOST, start=start, hourly=Decimal(instances)),),
    )


HALF, OTHER_HALF = DaySpan(LAST.first, 15), DaySpan(LAST.first + timedelta(days=15), 15)
ONE_DAY, LATER_DAYS = DaySpan(LAST.first, 1), DaySpan(LAST.first + timedelta(days=1), 29)
ALL = [*BEFORE, *LAST]
OTHER_RUN = ResourceRun(usage_type="Other", start=datetime.combine(BEFORE.first, time(), UTC))


@cases(
    "rows, resources, found",
    (
        [*billed("llm", BEFORE, 24), *billed("", LAST, 24)],
        [serving("a", "")],
        [("a", "llm", "", 720)],
    ),
    (
        [*billed("llm", [*BEFORE, *HALF], 24), *billed("vision", OTHER_HALF, 24)],
        [serving("a", "vision")],
        [("a", "llm", "vision", 360)],
    ),
    (
        [
            *(row for days, hours in ((BEFORE, 24), (ONE_DAY, 0.5)) for row in billed("llm", days, hours)),
            *(row for days, hours in ((ONE_DAY, 23.5), (LATER_DAYS, 24)) for row in billed("", days, hours)),
        ],
        [serving("a", "")],
        [("a", "llm", "", 719.5)],
    ),
    ([*billed("llm", ALL, 24), *billed("", ALL, 24)], [serving("a", "vision"), serving("b", "")], []),
    ([*billed("llm", BEFORE, 24), *billed("llm", BEFORE, 48), *billed("", LAST, 72)],
     [serving("a", ""), serving("b", "", 2)],
     [("2", "llm", "", 2160)]),
    ([*billed("llm", BEFORE, 24), *billed("", BEFORE, 24), *billed("", LAST, 48)],
     [serving("a", ""), serving("b", "")],
     [("", "llm", "", 720)]),
    ([*billed("llm", ALL, 48), *billed("", ALL, 200)], [serving("a", "llm", 8)], []),
    ([*billed("llm", BEFORE, 24), *billed("", LAST, 24), *billed("", LAST, 24)],
     [serving("a", ""), serving("b", "", since=LAST.first)],
     [("b", None, "", 720), ("a", "llm", "", 720)]),
    ([*billed("llm", BEFORE, 24), *billed("vision", BEFORE, 48), *billed("", LAST, 72)],
     [serving("a", ""), serving("b", "", 2)],
     [("b", "vision", "", 1440), ("a", "llm", "", 720)]),
    ([*billed("llm", BEFORE, 72), *billed("", LAST, 24), *billed("vision", LAST, 48)],
     [serving("a", ""), serving("b", "vision", 2)],
     [("b", "llm", "vision", 1440), ("a", "llm", "", 720)]),
    ([*billed("llm", BEFORE, 24), *billed("audio", ALL, 240), *billed("", LAST, 24)],
     [serving("a", "")],
     [("a", "llm", "", 720)]),
    ([*billed("llm", ALL, 24), *billed("vision", ALL, 0.5)], [serving("a", "vision")], []),
    ([*billed("llm", BEFORE, 24), *billed("llm", LAST, 48), *billed("", ALL, 48)],
     [serving("a", "llm", 2)],
     [("a", None, "llm", 720)]),
    ([replace(one, usage_type=usage) for usage in (HOST, "Other")
      for one in (*billed("llm", BEFORE, 24), *billed("", LAST, 24))],
     [replace(serving("a", ""), runs=(*serving("a", "").runs, OTHER_RUN))],
     [("a", "llm", "", 1440)]),
    ids=["lost", "half", "within a day", "after the bill", "both", "either", "not so many", "besides",
         "from two values", "to two values", "the least to spare", "all the time", "half of it",
         "two usage types"],
)  # fmt: skip
def test_a_known_resource_that_moved_between_tags_is_said_once(
    rows: list[Charge],
    resources: list[BillResource],
    found: list[tuple[str, str | None, str | None, Decimal]],
) -> None:
    lines = usage_lines(rows)

    movers = find_movers(changed_parts(lines, DAYS, {}), resources, DAYS, {}, lines)

    assert [
        (
            ("" if one.culprit is None else one.culprit.name if one.culprit.members == 1 else "2"),
            one.tag_before,
            one.part.tag,
            one.usd * 1000,
        )
        for one in movers
    ] == found
    owners = {"a": "a@x", "b": "b@x"}
    assert [one.owner for one in movers] == [owners.get(who) for who, *_ in found]
