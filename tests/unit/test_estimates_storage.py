"""Storage: an age profile in other classes, and that estimate and adviser agree on a bucket."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import NOW
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.core.model import Finding, Unreadable, Value
from ml_janitor.core.tiering import GB, ObjectCohort
from ml_janitor.detectors.storage_tiering.reading import CountedReads
from ml_janitor_cli import edge
from ml_janitor_cli.edge import CommandRefusedError, FailedError
from ml_janitor_cli.estimate.estimates import Estimate, Figure
from ml_janitor_cli.estimate.storage import (
    estimate_judged_bucket,
    estimate_storage,
    make_cohort,
    parse_rule,
    read_cohorts,
)
from old_buckets import DAY, RULE, bucket, held
from tables import cases

RATES = StoragePrices("us-east-1", None).rates()
DEFAULT = "STANDARD_IA 30d, GLACIER_IR 90d"
MONTHLY = 24 / 730
"""A day as a part of a month."""


def cohort(age: float = 200, gb: float = 1000, objects: float = 10_000, **also: Any) -> ObjectCohort:
    return make_cohort(age=age, gb=gb, objects=objects, **also)


def storage(*cohorts: ObjectCohort, rule: str = DEFAULT, months: float = 12, **also: Any) -> Estimate:
    return estimate_storage(
        cohorts or (cohort(),), parse_rule(rule), RATES, months=months, payback_days=180, **also
    )


def column(found: Estimate, name: str) -> dict[str, float | None]:
    return {
        str(row[0].known): figure.known
        for row in found.compared
        for figure in row
        if isinstance(figure, Figure) and figure.name == name
    }


def test_a_terabyte_moved_by_hand() -> None:
    found = storage().values

    assert found["monthly_usd"] == pytest.approx(1000 * 0.023)
    assert found["saved_monthly_usd"] == pytest.approx(1000 * (0.023 - 0.004))
    assert found["once_usd"] == pytest.approx(10 * 0.02)
    assert found["stay_usd"] == pytest.approx(1000 * 0.023 * 12, rel=1e-3)
    assert found["move_usd"] == pytest.approx(1000 * 0.004 * 365 * MONTHLY + 0.2)


def test_what_is_young_pays_each_fee_when_its_time_comes() -> None:
    """30 days of STANDARD, 60 of STANDARD_IA, and the rest in GLACIER_IR, each move at its price."""
    whole = 1000 * (0.023 * 30 + 0.0125 * 60 + 0.004 * 275) * MONTHLY

    assert storage(cohort(age=0)).values["move_usd"] == pytest.approx(whole + 10 * 0.01 + 10 * 0.02)


def test_leaving_a_class_early_is_charged_as_if_it_was_not() -> None:
    """GLACIER_IR bills 90 days: of what leaves it after 30, 60 more."""
    archived = 1000 * 0.00099 + 10_000 * (32 * 1024 * 0.00099 + 8 * 1024 * 0.023) / GB
    whole = (1000 * (0.023 * 30 + 0.004 * (30 + 60)) + archived * 31) * MONTHLY
    found = storage(cohort(age=0), rule="GLACIER_IR 30d, DEEP_ARCHIVE 60d", months=3)

    assert found.values["move_usd"] == pytest.approx(whole + 10 * 0.02 + 10 * 0.05)


def test_small_objects_stay_and_what_is_read_often_does_not_pay() -> None:
    small, often = storage(cohort(gb=10, objects=1_000_000)), storage(cohort(reads=2.0))

    assert small.values["stay_usd"] == small.values["move_usd"]
    assert "below 128 KB, which S3 does not move." in small.reasons[-1]
    assert often.advice == "Leave it as it is: no move pays back within 180 days."
    assert column(often, "read_usd")["GLACIER_IR"] == pytest.approx(2 * 1000 * 0.03)
    assert column(often, "whole_usd")["INTELLIGENT_TIERING"] is None
    with pytest.raises(CommandRefusedError, match="INTELLIGENT_TIERING saves of objects that are read"):
        storage(cohort(reads=0.1), rule="INTELLIGENT_TIERING 30d")


MOVE = "Move what is old enough: STANDARD_IA at 30 days, GLACIER_IR at 90 days pay back within 180 days."
STAY = "Leave it as it is: no move pays back within 180 days."
DELETE = "Delete what is old enough, if nobody needs it."
WITHIN_A_DAY = "The fees are back within a day."


@cases(
    "held_so, asked, advice, payback, best",
    ({}, {}, MOVE, WITHIN_A_DAY, "GLACIER_IR costs least: $48.20"),
    ({"age": 0}, {}, MOVE, "Nothing is old enough to move now.", "STANDARD costs least: $276.00"),
    ({"reads": 2.0}, {}, STAY, "Moving now saves nothing.", "STANDARD costs least: $276.00"),
    ({}, {"rule": "expire 100d"}, DELETE, WITHIN_A_DAY, "GLACIER_IR costs least: $48.20"),
    (
        {"objects": 500_000},
        {"rule": "GLACIER_IR 90d"},
        MOVE.replace("STANDARD_IA at 30 days, ", "").replace("pay", "pays"),
        "The fees are back after 16 days; until then, leaving it costs less.",
        "GLACIER_IR costs least: $58.00",
    ),
    (
        {"gb": 10, "objects": 1_000_000},
        {"rule": "DEEP_ARCHIVE 30d", "small_too": True},
        STAY,
        "The fees are back after 105,529 days; until then, leaving it costs less.",
        "STANDARD costs least: $2.76",
    ),
)
def test_what_is_advised_and_why(
    held_so: dict[str, Any], asked: dict[str, Any], advice: str, payback: str, best: str
) -> None:
    found = storage(cohort(**held_so), **asked)

    assert (found.advice, found.reasons[0]) == (advice, payback)
    assert (
        found.reasons[1]
        == best.replace(" least:", " least of classes that are read at once:") + " in 12 months."
    )
    assert found.reasons[2:] == (
        ("10 GB are in objects below 128 KB, which S3 does not move but to archives.",)
        if asked.get("small_too")
        else ()
    )


def test_each_class_has_its_figures() -> None:
    figures = {str(row[0].known): [figure.known for figure in row[1:]] for row in storage().compared}

    assert figures["STANDARD"] == [0, 0, 23, 0, 0, 276]
    assert figures["GLACIER_IR"] == pytest.approx([1000, 0.2, 4, 0, 90, 48.2])


@cases(
    "asked, why",
    (lambda: storage(months=0), "between 0 and 1200"),
    (lambda: storage(months=1201), "between 0 and 1200"),
    (lambda: storage(cohort(gb=0, objects=0)), "at least one object"),
    (lambda: storage(cohort(held="REDUCED")), "no price of REDUCED is known"),
    (lambda: cohort(reads=float("nan")), "cannot be computed with"),
    (lambda: storage(rule="GLACIER_RI 30d"), "did you mean GLACIER_IR"),
)
def test_what_cannot_be_is_no_estimate(asked: Any, why: str) -> None:
    assert storage(months=1200).values["stay_usd"] == pytest.approx(27600)
    assert not make_cohort(age=0, gb=128 * 1024 / GB, objects=1).small
    with pytest.raises(CommandRefusedError, match=why):
        asked()


@pytest.mark.parametrize("name", ["STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "DEEP_ARCHIVE"])
def test_a_class_costs_what_a_rule_for_it_does(name: str) -> None:
    found = storage(rule=f"{name} 30d")

    assert column(found, "whole_usd")[name] == pytest.approx(found.values["move_usd"])
    assert column(found, "once_usd")[name] == pytest.approx(found.values["once_usd"])


@settings(max_examples=50)
@given(st.floats(0, 1000), st.floats(1, 1e5), st.integers(1, 10**6), st.floats(0.01, 1e4), st.floats(0.5, 60))
def test_more_bytes_cost_more(age: float, gb: float, objects: int, more: float, months: float) -> None:
    one = cohort(age, gb, objects)
    small = storage(one, months=months).values
    large = storage(one, cohort(age, more), months=months + 1).values

    for name in ("stay_usd", "move_usd"):
        assert (small[name] or 0) < (large[name] or 0)
    if (days := small["payback_days"]) is not None and small["once_usd"]:
        assert days * MONTHLY * (small["saved_monthly_usd"] or 0) == pytest.approx(small["once_usd"])


@settings(max_examples=50)
@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_profile_costs_what_its_rows_do(age: float, other: float, gb: float, rest: float) -> None:
    """Beyond 50 TB it costs less, by S3's tiers; moving then saves less too."""
    parts = cohort(age, gb), cohort(other, rest)

    whole, apart = storage(*parts).values, [storage(one).values for one in parts]

    for name in ("monthly_usd", "saved_monthly_usd", "once_usd", "stay_usd", "move_usd"):
        summed = sum(one[name] or 0 for one in apart)
        if gb + rest <= 51_200 or name == "once_usd":
            assert whole[name] == pytest.approx(summed)
        else:
            assert summed * 0.7 <= (whole[name] or 0) <= summed * (1 + 1e-9)


@cases(
    "gb, usd",
    (51_200, 51_200 * 0.023),
    (51_201, 51_200 * 0.023 + 0.022),
    (512_000, 51_200 * 0.023 + 460_800 * 0.022),
    (1_000_000, 51_200 * 0.023 + 460_800 * 0.022 + 488_000 * 0.021),
)
def test_much_is_priced_in_s3s_tiers(gb: float, usd: float) -> None:
    stay, gone = storage(cohort(0, gb), months=24), storage(cohort(0, gb), rule="expire 365d", months=24)

    assert stay.values["monthly_usd"] == pytest.approx(usd)
    assert stay.values["stay_usd"] == pytest.approx(24 * usd)
    assert gone.values["move_usd"] == pytest.approx(usd * 365 * 24 / 730)
    assert column(stay, "monthly_usd")["STANDARD"] == pytest.approx(usd)
    assert column(stay, "whole_usd")["STANDARD"] == pytest.approx(24 * usd)
    old = storage(cohort(gb=gb, objects=1), rule="GLACIER_IR 90d")
    assert old.values["saved_monthly_usd"] == pytest.approx(usd - gb * 0.004)
    half = storage(cohort(0, gb / 2), cohort(40, gb / 2), rule="STANDARD_IA 30d", months=730 / 24 / 30).values
    assert (half["stay_usd"] or 0) > (half["move_usd"] or 0)
    other = storage(cohort(0, gb, held="STANDARD_IA")).values["monthly_usd"]
    assert other == pytest.approx(gb * 0.0125), "which has no tiers"


@cases(
    "candidate",
    bucket(),
    bucket(counted=(CountedReads("", 100.0 * GB, 90),)),
    bucket(counted=()),
    bucket(held(), held("logs/a", age=200), held("tmp/b", age=20)),
    bucket(uploads=Value((NOW - 30 * DAY,))),
)
def test_estimate_and_adviser_agree_on_a_bucket(candidate: Any) -> None:
    parts = (candidate, candidate.deletions)
    decided, found = [RULE.decide(part, NOW) for part in parts], estimate_judged_bucket(RULE, parts, NOW)
    costs = [verdict.cost for verdict in decided if isinstance(verdict, Finding) and verdict.cost]

    assert costs
    assert found.values["saved_monthly_usd"] == pytest.approx(
        sum(float(cost.monthly_usd or 0) for cost in costs)
    )
    assert found.values["once_usd"] == pytest.approx(sum(float(cost.once_usd or 0) for cost in costs))
    for name in ("saved_monthly_usd", "once_usd"):
        rows = column(found, name).values()
        assert found.values[name] == pytest.approx(sum(row or 0 for row in rows))


def test_a_bucket_that_stays_says_why_and_one_that_cannot_be_read_is_an_error() -> None:
    kept = estimate_judged_bucket(RULE, (bucket(held(age=5)),), NOW)

    assert kept.advice.startswith("Leave it as it is: ")
    assert kept.values == {"monthly_usd": pytest.approx(23)}
    with pytest.raises(FailedError, match="denied"):
        estimate_judged_bucket(RULE, (bucket(lifecycle=Unreadable("denied")),), NOW)


def test_bytes_that_are_moved_and_deleted_are_counted_once() -> None:
    rule = replace(RULE, policies={"all": "STANDARD_IA 30d, expire 60d"}, folders={"*": "all"})
    both = bucket(held("raw/a"))
    found = estimate_judged_bucket(rule, (both, both.deletions), NOW)

    assert found.values["saved_monthly_usd"] == pytest.approx(23)
    assert "the folder's other rule saves more" in str(found.compared)


@cases(
    "text, why",
    ("age_days,gb\n1,2", "has no column objects"),
    ("age_days,gb,objects,read\n", "unknown column read"),
    ("age_days,gb,objects\n1,2,3,4", "row 2: more columns than the head has"),
    ("age_days,gb,objects\n1,1e300,3", "row 2: the most is 1e"),
    ("age_days,gb,objects\n1,nan,3", "row 2: nan and inf cannot be computed with"),
    ("age_days,gb,objects\n1,x,3", "row 2: something is not a number"),
    ("age_days,gb,objects\n-1,2,3", "row 2: ages, sizes"),
    ("age_days,gb,objects\n1,2,0", "row 2: what holds bytes has at least 1 object"),
    ("age_days,gb,objects,class\n1,2,3,GLACIER_RI", "GLACIER_RI is known; did you mean GLACIER_IR?"),
)
def test_a_profile_that_makes_no_sense_is_one_line(text: str, why: str) -> None:
    with pytest.raises(edge.CommandRefusedError) as refused:
        read_cohorts(text, "ages.csv")

    assert why in refused.value.format_message()


def test_a_profile_may_name_reads_and_classes() -> None:
    (one,) = read_cohorts(
        "# ours\n\nage_days,gb,objects,reads_a_month,class\n90,1,10,0.5,STANDARD_IA\n", "ages.csv"
    )

    assert one == ObjectCohort(age=90, objects=10, size=GB, held="STANDARD_IA", reads=Decimal("0.5"))
