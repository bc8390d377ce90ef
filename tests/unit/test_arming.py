"""What may be acted on at all: by the tags of what was found, and of all that would go with it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from conftest import DAY, HOUR
from fakes import target_at
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.model import ActionSchedule, Confidence, Finding, Mode, Tags, Target
from ml_janitor.core.results import Cause, CauseCode
from ml_janitor.engine.policy import Arming
from tables import cases

ARMED = Arming(mode=Mode.ACT, act_in=("123456789012",))
WASTE = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete it", evidence=())


def target(name: str, tags: Tags) -> Target:
    return target_at(f"endpoint/{name}", datetime(2026, 8, 1, tzinfo=UTC), tags)


@cases(
    "tags, why",
    ({}, None),
    ({"managed-by": "terraform"}, Cause(CauseCode.MANAGED, ("terraform",), along="ranker")),
    ({"environment": "production"}, Cause(CauseCode.PRODUCTION, ("production",), along="ranker")),
)
def test_what_goes_along_is_as_protected_as_what_was_found(tags: Tags, why: Cause | None) -> None:
    gateway, along = target("gateway", {}), [target("other", {}), target("ranker", tags)]

    assert ARMED.protects(gateway, along) == why
    assert ARMED.spares(gateway, WASTE, along) == why
    assert ARMED.spares(gateway, WASTE) is None
    assert (ARMED.armed, Arming().armed) == (True, False)


def test_what_the_operator_excepts_may_go_along() -> None:
    excepting = Arming(
        mode=Mode.ACT,
        act_in=("123456789012",),
        act_on_managed=("terraform",),
        act_on_environments=("production",),
    )
    along = [target("ranker", {"managed-by": "terraform", "environment": "production"})]

    assert excepting.spares(target("gateway", {}), WASTE, along) is None


@pytest.mark.parametrize(("place", "within"), [("us-east-1", True), ("eu-west-1", False)])
def test_a_region_of_an_account_is_no_other_region(place: str, *, within: bool) -> None:
    armed = replace(ARMED, act_in=(f"123456789012/{place}",))

    assert (armed.spares(target("gateway", {}), WASTE) is None) is within


def test_an_account_is_all_regions_and_what_was_done_may_be_undone_in_those_too() -> None:
    armed = replace(ARMED, act_in=("1", "2/eu-west-1", "1/eu-west-1"))

    acted = [("1", "us-east-1"), ("1", "eu-west-1"), ("2", "eu-west-1")]
    assert armed.places(["us-east-1", "eu-west-1"]) == acted
    assert armed.undo_places(["us-east-1", "eu-west-1"]) == [*acted, ("2", "us-east-1")]


def test_it_may_act_somewhere_in_an_account_of_which_one_region_is_named() -> None:
    armed = replace(ARMED, act_in=("1", "2/eu-west-1"))

    assert [account for account in ("1", "2", "3", "eu-west-1") if armed.anywhere_in(account)] == ["1", "2"]


def test_what_the_rule_spares_is_only_reported() -> None:
    spared = replace(WASTE, spared="it is shared")

    assert ARMED.spares(target("gateway", {}), spared) == Cause(CauseCode.SPARED_BY_RULE, ("it is shared",))


@pytest.mark.parametrize("excepted", ["cloudformation", "CloudFormation stack ml"])
def test_the_name_of_a_tool_is_that_of_all_its_stacks(excepted: str) -> None:
    armed = replace(ARMED, act_on_managed=(excepted,))

    assert armed.protects(target("gateway", {"aws:cloudformation:stack-name": "ml"})) is None


@cases("every, grace, likely, days", (7, 3, 1, 14), (1, 3, 1, 3), (1, 1, 4, 4), (0, 0, 0, 2))
def test_a_warning_lasts_for_two_sweeps_or_longer(every: int, grace: int, likely: int, days: int) -> None:
    assert replace(ARMED, every=every * DAY, grace=grace * DAY, grace_likely=likely * DAY).lasts == days * DAY


def test_what_has_no_creation_time_is_only_reported() -> None:
    nameless = replace(target("gateway", {}), created=None)

    assert ARMED.spares(nameless, WASTE) == Cause(CauseCode.NO_CREATION_TIME)


@cases("waste, looked_at, many", (4, 20, False), (4, 19, True), (3, 3, False), (21, 100, True))
def test_more_than_the_share_and_than_three_is_too_many(waste: int, looked_at: int, *, many: bool) -> None:
    assert ARMED.too_many(waste, looked_at) is many


# --- when a finding is due -----------------------------------------------------------------------------

LIKELY = replace(WASTE, confidence=Confidence.LIKELY)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+00:00")


def berlin(**about: object) -> Arming:
    hours = WorkingHours(time_zone="Europe/Berlin", holidays=(date(2026, 12, 25),))
    armed = Arming(grace=HOUR, time_zone="Europe/Berlin", working_hours=hours, holidays=hours.holidays)
    return replace(armed, **{"business_days": False, **about})  # type: ignore[arg-type]


@cases(
    "warned, due",
    ("10-06T09:00", "10-07T09:00"),  # a Tuesday, 11:00 in Berlin: a day later people are at work
    ("10-06T03:00", "10-07T08:00"),  # 05:00: two hours after they came
    ("10-06T07:59", "10-07T08:00"),
    ("10-06T17:59", "10-07T17:59"),  # 19:59: they are still there
    ("10-06T18:00", "10-08T08:00"),  # 20:00: they have left
    ("10-09T09:00", "10-12T08:00"),  # a Friday
    ("10-08T20:00", "10-12T08:00"),  # a day later is Friday evening
    ("12-23T15:00", "12-24T15:00"),
    ("12-24T15:00", "12-28T09:00"),  # Friday is a holiday
    ("10-22T20:00", "10-26T09:00"),  # the clocks go back on Sunday: 10:00 is an hour later
    ("03-26T20:00", "03-30T08:00"),  # and forward in March
)
def test_what_is_likely_is_due_two_hours_into_a_working_day(warned: str, due: str) -> None:
    assert berlin().due(utc(warned), LIKELY) == utc(due)


@pytest.mark.parametrize("warned", ["10-06T03:00", "10-09T18:00", "12-24T15:00"])
def test_what_is_proven_is_due_when_its_grace_is_over(warned: str) -> None:
    assert berlin().due(utc(warned), WASTE) == utc(warned) + HOUR
    assert berlin().due(utc(warned), replace(WASTE, grace=2 * HOUR)) == utc(warned) + 2 * HOUR
    assert berlin().due(utc(warned), WASTE, messaged=False) == utc(warned) + 2 * HOUR


def test_what_is_likely_is_due_no_sooner_than_grace_likely_nor_than_any_other_grace() -> None:
    warned = utc("10-05T09:00")

    assert berlin(grace_likely=2 * DAY).due(warned, LIKELY) == warned + 2 * DAY
    assert berlin(grace=3 * DAY).due(warned, LIKELY) == warned + 3 * DAY
    assert berlin().due(warned, replace(LIKELY, grace=4 * DAY)) == warned + 4 * DAY
    assert berlin().due(warned, replace(LIKELY, grace=HOUR)) == warned + DAY


@cases(
    "hours, due",
    ("Sun-Thu 08-20", "10-12T08:00"),  # Sunday is a working day, but no business day
    ("Sat-Sun 08-20", None),  # never on a business day
    ("Mon-Fri 08-09", "10-12T08:00"),  # two hours after they came, although they have left
)
def test_what_is_likely_and_deleted_is_due_on_a_day_that_is_both(hours: str, due: str | None) -> None:
    arming = berlin(business_days=True, working_hours=WorkingHours.parse(hours, "Europe/Berlin"))
    warned = utc("10-08T20:00")

    found = arming.due(warned, LIKELY)

    assert found == utc(due) if due else found > warned + 300 * DAY


@pytest.mark.parametrize(
    "warned", [f"10-{day:02}T{hour:02}:00" for day in (6, 8, 9, 10) for hour in range(24)]
)
def test_without_a_time_zone_it_is_due_when_it_is_due_in_every_one(warned: str) -> None:
    unset = Arming(grace=HOUR, time_zone_set=False, business_days=False)
    due = unset.due(utc(warned), LIKELY)
    zones = [
        "Pacific/Kiritimati",
        "Asia/Kolkata",
        "Europe/Berlin",
        "UTC",
        "America/Los_Angeles",
        "Etc/GMT+12",
    ]

    assert all(
        due
        >= replace(unset, time_zone_set=True, working_hours=WorkingHours(time_zone=zone)).due(
            utc(warned), LIKELY
        )
        for zone in zones
    )
    assert due <= utc(warned) + 6 * DAY


CLOSING = datetime(2026, 10, 6, 20, tzinfo=UTC)


@cases(
    "warned, quiet, due",
    (CLOSING - 2 * HOUR, CLOSING, CLOSING),
    (CLOSING - timedelta(minutes=59), CLOSING, CLOSING + timedelta(minutes=1)),  # an hour's notice
    (CLOSING - 2 * HOUR, CLOSING + 4 * HOUR, CLOSING + 4 * HOUR),
    (CLOSING, CLOSING, CLOSING + DAY),  # warned too late: not in this night
    (CLOSING + 3 * HOUR, CLOSING + 4 * HOUR, CLOSING + DAY),
)
def test_a_scheduled_finding_is_due_by_the_clock(warned: datetime, quiet: datetime, due: datetime) -> None:
    plan = ActionSchedule(closing=CLOSING, due=quiet, next_closing=CLOSING + DAY)
    scheduled = replace(LIKELY, schedule=plan, grace=HOUR)

    assert ARMED.due(warned, scheduled) == due
    assert ARMED.spares(target("gateway", {}), scheduled) is None
    assert ARMED.spares(target("gateway", {}), LIKELY) == Cause(CauseCode.NOT_PROVEN, ("likely", ""))


def test_days_of_rest_are_those_of_the_operators_time_zone() -> None:
    """Half past ten on a Friday evening by UTC is a Saturday in Berlin."""
    arming = berlin(business_days=True)

    assert arming.due(utc("10-09T21:30"), WASTE) == utc("10-11T22:30")
    assert arming.rests(utc("10-09T22:30"))
    assert not arming.rests(utc("10-11T22:30"))
    assert arming.rests(utc("12-24T23:30"))
