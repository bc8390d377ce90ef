"""Which pages a bill is read from, for which days and accounts, and what an answer makes it say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from ml_janitor.aws.cost_explorer import CostExplorer, accounts_filter
from ml_janitor.bill import reading
from ml_janitor.bill.model import Bill, BillGap, BillReading, Charge, CostMetric, Forecast, GapCause
from ml_janitor.bill.reading import BillAccounts, BillRequest, read_bill, tag_gaps
from tables import cases

TODAY, DAY = NOW.date(), timedelta(days=1)
FIRST = TODAY - 65 * DAY
OWN, ONE, TWO = "9" * 12, "1" * 12, "2" * 12
TAGS = {"project": "app", "owner": "who", "environment": "env", "team": "squad", "cost-center": "cc"}
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetCostAndUsage")

type Line = tuple[int, Sequence[str], str]
"""How many days ago, the values of the groupings, and dollars; half of it is amortised."""


class Paper:
    """A Cost Explorer with *lines* by groupings, and what it is asked."""

    def __init__(self, lines: Mapping[str, Sequence[Line] | Exception]) -> None:
        self.lines = lines
        self.asked: list[tuple[str, date]] = []
        self.filters: list[Any] = []
        self.tags: dict[str, bool] = {}
        self.used: list[str] = []
        self.refused = False
        self.services = ["S3"]
        self.currency = "USD"

    def get_cost_and_usage(self, **asked: Any) -> Any:
        groups = " ".join(one["Key"] for one in asked["GroupBy"])
        groups = "months" if asked["Granularity"] == "MONTHLY" else groups
        first = date.fromisoformat(asked["TimePeriod"]["Start"])
        assert groups != "months" or asked["TimePeriod"]["End"] == f"{TODAY.replace(day=1)}"
        self.asked.append((groups, first))
        self.filters.append(asked.get("Filter"))
        lines = self.lines.get(groups, ())
        if isinstance(lines, Exception):
            raise lines
        days: dict[date, list[Any]] = {}
        for days_ago, keys, usd in lines:
            day, half = TODAY - days_ago * DAY, str(Decimal(usd) / 2)
            amounts = {"UnblendedCost": usd, "AmortizedCost": half, "UsageQuantity": "3"}
            metrics = {
                name: {"Amount": amount, "Unit": "Hrs" if name == "UsageQuantity" else self.currency}
                for name, amount in amounts.items()
            }
            if day >= first:
                days.setdefault(day, []).append({"Keys": list(keys), "Metrics": metrics})
        return {
            "ResultsByTime": [
                {"TimePeriod": {"Start": f"{day}"}, "Estimated": day.month == 10, "Groups": found}
                for day, found in sorted(days.items())
            ]
        }

    def get_cost_forecast(self, **asked: Any) -> Any:
        span = asked["TimePeriod"]
        self.asked.append((f"forecast until {span['End']}", date.fromisoformat(span["Start"])))
        self.filters.append(asked.get("Filter"))
        months = {"PredictionIntervalLowerBound": "60", "PredictionIntervalUpperBound": "90"}
        amount = {"UNBLENDED_COST": "75", "AMORTIZED_COST": "65"}[asked["Metric"]]
        return {"Total": {"Amount": amount}, "ForecastResultsByTime": [months]}

    def get_dimension_values(self, **_: Any) -> Any:
        self.asked.append(("services", FIRST))
        return {"DimensionValues": [{"Value": name} for name in self.services]}

    def get_tags(self, **_: Any) -> Any:
        self.asked.append(("tag keys", FIRST))
        return {"Tags": self.used}

    def list_cost_allocation_tags(self, **asked: Any) -> Any:
        if self.refused:
            raise DENIED
        found = [(key, self.tags[key]) for key in asked["TagKeys"] if key in self.tags]
        return {
            "CostAllocationTags": [
                {"TagKey": key, "Status": "Active" if active else "Inactive"} for key, active in found
            ]
        }

    def read(self, *, most: int = 20, kept: Bill | None = None, now: datetime = NOW, **wanted: Any) -> Bill:
        explorer = CostExplorer(self, max_requests=most)
        return read_bill(explorer, BillRequest(**{"tags": TAGS, **wanted}), account=OWN, now=now, kept=kept)


SERVICES: dict[str, Any] = {"SERVICE USAGE_TYPE": [(1, ("S3", "Bytes"), "10"), (65, ("S3", "Bytes"), "10")]}
GROUPS = ("SERVICE USAGE_TYPE", "RECORD_TYPE")
TAGGED = ("USAGE_TYPE app", "USAGE_TYPE who")
FORECAST = ("forecast until 2026-11-01", TODAY)
MONTHS = ("months", date(2025, 9, 1))


def gaps(bill: Bill) -> list[tuple[BillReading, GapCause, str]]:
    return [(gap.reading, gap.cause, gap.subject) for gap in bill.gaps]


# --- the pages --------------------------------------------------------------------------------


def test_what_is_worth_most_is_read_first_and_what_does_not_fit_is_told() -> None:
    every, few = Paper(SERVICES), Paper(SERVICES)

    every.read(first=["team"])
    bill = few.read(most=7, first=["team"])

    coarse = [("SERVICE squad", FIRST), ("SERVICE env", FIRST), ("SERVICE cc", FIRST)]
    fine = [(name, FIRST) for name in TAGGED]
    assert every.asked == [*((name, FIRST) for name in GROUPS), FORECAST, fine[0], MONTHS, fine[1], *coarse]
    assert few.asked == every.asked[:7]
    assert list(bill.by_tag) == ["project", "owner", "team"]
    assert gaps(bill) == [
        (BillReading.TAG, GapCause.OVER_LIMIT, name) for name in ("environment", "cost-center")
    ]


def test_a_tag_that_was_refused_does_not_lack_room() -> None:
    refused = Paper(SERVICES | {"USAGE_TYPE who": DENIED}).read(most=8)

    assert gaps(refused) == [(BillReading.TAG, GapCause.DENIED, "owner")]


def test_months_are_read_once_a_month_in_place_of_the_last_tag() -> None:
    months = {"months": [(66, ("Bytes",), "300"), (36, ("Bytes",), "310")]}  # 2026-08-01 and 2026-08-31
    first, again, later, young, week = (Paper(SERVICES | months) for _ in range(5))
    last_of_september = [(TODAY - date(2026, 9, 1)).days, ("Bytes",), "320"]

    kept = first.read(most=8)
    second = again.read(
        kept=replace(kept, months=(*kept.months, Charge(day=date(2026, 9, 1), usd=Decimal(1))))
    )
    later.lines = SERVICES | {"months": [last_of_september]}
    third = later.read(kept=kept, metric=CostMetric.AMORTIZED)
    for paper, begun in ((young, 57), (week, 58)):
        paper.lines = {"SERVICE USAGE_TYPE": [(begun, ("S3", "Bytes"), "10")]}
        paper.read()

    assert [(one.usage_type, one.usd, one.other_usd) for one in kept.months] == [
        ("Bytes", Decimal(300), Decimal(150)),
        ("Bytes", Decimal(310), Decimal(155)),
    ]
    assert ("cost-center" in kept.by_tag, kept.gaps) == (False, ())
    assert (MONTHS in again.asked, MONTHS in week.asked) == (False, True)
    assert (second.months[:2], "cost-center" in second.by_tag) == (kept.months, True)
    assert [(one.day, one.usd) for one in third.months] == [(date(2026, 9, 1), Decimal(160))]
    assert MONTHS not in young.asked


class Pages(Paper):
    """One that answers *days* of each listing to a page."""

    days: Mapping[str, int] = {}

    def get_cost_and_usage(self, **asked: Any) -> Any:
        groups = " ".join(one["Key"] for one in asked["GroupBy"])
        size, begun = self.days.get(groups, 400), int(asked.pop("NextPageToken", 0))
        answer = super().get_cost_and_usage(**asked)
        every = answer["ResultsByTime"]
        more = {"NextPageToken": f"{begun + size}"} if begun + size < len(every) else {}
        return {"ResultsByTime": every[begun : begun + size]} | more


def test_a_listing_that_will_not_fit_is_left_after_its_first_page() -> None:
    """With 170 usage types, services took 3 pages and projects all others: record types were never asked."""
    lines = {
        name: [(back, (*keys, "x"), "1") for back in range(1, 66)]
        for name, keys in (
            ("SERVICE USAGE_TYPE", ("S3",)),
            ("USAGE_TYPE app", ("x",)),
            ("SERVICE env", ("S3",)),
        )
    }

    def read(most: int) -> tuple[Bill, list[str]]:
        paper = Pages(lines)
        paper.days = {"SERVICE USAGE_TYPE": 25, "USAGE_TYPE app": 16, "SERVICE env": 33}
        bill = paper.read(most=most, tags={"project": "app", "owner": "who", "environment": "env"})
        return bill, [name for name, _ in paper.asked]

    begun = [*(["SERVICE USAGE_TYPE"] * 3), "RECORD_TYPE", FORECAST[0]]
    few, asked = read(9)
    assert asked == [*begun, "USAGE_TYPE app", "months", "USAGE_TYPE who", "SERVICE env"]  # of 5 and 2 pages
    assert gaps(few) == [(BillReading.TAG, GapCause.OVER_LIMIT, name) for name in ("project", "environment")]
    assert (few.requests, read(10)[1].count("USAGE_TYPE app")) == (9, 5)
    whole, asked = read(1)
    assert (len(whole.charges), asked) == (65, begun[:3])  # the bill itself is finished


def test_a_table_that_somebody_asked_for_is_read_right_after_the_services() -> None:
    paper = Paper(SERVICES)

    bill = paper.read(most=5, shown=["team", "cost-center"], first=["environment"])

    assert [name for name, _ in paper.asked] == [
        *("SERVICE USAGE_TYPE", "SERVICE squad", "SERVICE cc", "RECORD_TYPE", FORECAST[0])
    ]
    assert [subject for _, _, subject in gaps(bill)] == ["project", "", "owner", "environment"]


def test_an_account_without_cost_is_asked_once() -> None:
    paper, misspelt = Paper({}), Paper({})

    assert paper.read(check_tags=True).charges == ()
    assert [name for name, _ in paper.asked] == ["SERVICE USAGE_TYPE"]
    misspelt.read(services=["S4"])
    assert [name for name, _ in misspelt.asked] == ["SERVICE USAGE_TYPE", "services"]


def test_a_line_is_what_its_groupings_say() -> None:
    lines = SERVICES | {
        "USAGE_TYPE app": [(1, ("Bytes", "app$llm"), "7"), (1, ("Bytes", "app$"), "3")],
        "SERVICE env": [(1, ("S3", "env$app$x"), "10")],
        "RECORD_TYPE": [(1, ("Usage",), "10"), (2, ("Tax",), "2")],
    }
    bill = Paper(lines).read()

    day = TODAY - DAY
    assert bill.charges[-1] == Charge(
        day=day,
        service="S3",
        usage_type="Bytes",
        usd=Decimal(10),
        other_usd=Decimal(5),
        quantity=Decimal(3),
        unit="Hrs",
    )
    assert [(one.usage_type, one.service, one.tag, one.usd) for one in bill.by_tag["project"]] == [
        ("Bytes", "", "llm", Decimal(7)),
        ("Bytes", "", "", Decimal(3)),
    ]
    (environment,) = bill.by_tag["environment"]
    assert (environment.service, environment.usage_type, environment.tag) == ("S3", "", "app$x")
    assert [(one.record_type, str(one.usd)) for one in bill.records] == [("Tax", "2"), ("Usage", "10")]
    assert (bill.account, bill.time, bill.first, bill.until) == (OWN, NOW, FIRST, TODAY)
    assert (bill.metric, bill.requests, bill.accounts) == (CostMetric.UNBLENDED, 9, None)
    assert bill.estimated == {day}
    assert bill.forecast == Forecast(
        first=TODAY, until=date(2026, 11, 1), usd=Decimal(75), low=Decimal(60), high=Decimal(90)
    )


def test_the_currency_is_that_of_the_amounts() -> None:
    paper = Paper(SERVICES)
    paper.currency = "CNY"

    assert paper.read().currency == "CNY"


@cases(
    "record, metric",
    ("Usage", CostMetric.UNBLENDED),
    ("SavingsPlanCoveredUsage", CostMetric.AMORTIZED),
    ("RIFee", CostMetric.AMORTIZED),
    ("DiscountedUsage", CostMetric.AMORTIZED),
)
def test_where_something_was_committed_to_it_is_spread_over_its_days(record: str, metric: CostMetric) -> None:
    paper = Paper(SERVICES | {"RECORD_TYPE": [(1, ("Usage",), "9"), (1, (record,), "1")]})

    bill = paper.read()

    assert bill.metric is metric
    assert {one.usd for one in bill.charges} == {Decimal(10 if metric is CostMetric.UNBLENDED else 5)}
    assert bill.records[0].usd == Decimal(9 if metric is CostMetric.UNBLENDED else "4.5")
    assert bill.forecast
    assert bill.forecast.usd == (75 if metric is CostMetric.UNBLENDED else 65)
    assert paper.read(metric=CostMetric.UNBLENDED).metric is CostMetric.UNBLENDED


@cases(
    "now, until",
    (datetime(2026, 10, 31, 3, tzinfo=UTC), "2026-11-01"),
    (datetime(2027, 1, 1, 3, tzinfo=UTC), "2027-02-01"),
)
def test_a_forecast_is_until_the_end_of_the_month(now: datetime, until: str) -> None:
    yesterday = (TODAY - now.date()).days + 1
    paper = Paper({"SERVICE USAGE_TYPE": [(yesterday, ("S3", "Bytes"), "1")]})

    paper.read(now=now)

    assert (f"forecast until {until}", now.date()) in paper.asked


def test_the_filter_leaves_out_what_no_comparison_counts_but_by_record_type() -> None:
    paper = Paper(SERVICES)
    paper.read(tags={}, services=["S3"])

    without = {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund", "Tax"]}}}
    service = {"Dimensions": {"Key": "SERVICE", "Values": ["S3"]}}
    both = {"And": [without, service]}
    assert paper.filters == [both, service, both, both]


def test_a_bill_that_cannot_be_read_asks_no_more() -> None:
    paper = Paper({"SERVICE USAGE_TYPE": DENIED})

    bill = paper.read(accounts=BillAccounts(names={ONE: ""}))

    assert gaps(bill) == [(BillReading.SERVICES, GapCause.DENIED, "")]
    assert (len(paper.asked), bill.charges, bill.by_tag, bill.forecast) == (1, (), {}, None)


# --- what is checked --------------------------------------------------------------------------


@cases(
    "services, charged, missing",
    (["S3"], ["S3"], []),
    (["S3", "EC2"], ["S3", "EC2", "ECR"], []),
    (["S3", "EC3"], ["S3", "EC2"], ["EC3"]),
)
def test_an_unused_service_is_told(services: list[str], charged: list[str], missing: list[str]) -> None:
    paper = Paper(SERVICES)
    paper.services = charged

    bill = paper.read(services=services)

    assert gaps(bill) == [(BillReading.SERVICE_NAMES, GapCause.NO_SUCH_SERVICE, name) for name in missing]
    assert [gap.detail for gap in bill.gaps] == ["EC2, S3"] * len(missing)
    assert (("services", FIRST) in paper.asked) == (services != ["S3"])


def test_names_of_services_that_could_not_be_read_are_wrong_by_nobody_s_word() -> None:
    bill = Paper(SERVICES).read(most=8, services=["EC2"])

    assert (BillReading.SERVICE_NAMES, GapCause.OVER_LIMIT, "") not in gaps(bill)
    few = Paper(SERVICES).read(most=3, services=["EC2"])
    assert [one for one in gaps(few) if one[0] is BillReading.SERVICE_NAMES] == [
        (BillReading.SERVICE_NAMES, GapCause.OVER_LIMIT, "")
    ]


def test_only_a_chosen_tag_that_nothing_had_is_looked_for() -> None:
    paper = Paper(SERVICES)
    paper.tags = {"app": True, "who": False}

    bill = paper.read(check_tags=True, most=8)
    asked = [name for name, _ in paper.asked]
    paper.used = ["squat", "squads", "other"]
    chosen = paper.read(check_tags=True, chosen=frozenset({"squad", "app"}))

    assert "tag keys" not in asked
    assert list(bill.by_tag) == ["project", "owner", "environment"]
    unused = [(BillReading.ACTIVE_TAGS, GapCause.TAG_NOT_USED, key) for key in ("env", "squad", "cc")]
    inactive = (BillReading.ACTIVE_TAGS, GapCause.TAG_NOT_ACTIVE, "who")
    assert gaps(bill) == [inactive, *unused]
    assert ("tag keys", FIRST) in paper.asked
    wrong = next(gap for gap in chosen.gaps if gap.cause is GapCause.NO_SUCH_TAG)
    assert (wrong.subject, wrong.detail) == ("squad", "squads")  # one, and the nearest


def test_where_tags_cannot_be_checked_the_bill_shows_which_have_no_value() -> None:
    paper = Paper(SERVICES | {"USAGE_TYPE app": [(1, ("Bytes", "app$"), "9")]})
    known = paper.read()
    paper.tags = {"app": True}
    checked = paper.read(check_tags=True, chosen=frozenset({"app"}))
    asked = [name for name, _ in paper.asked]
    paper.refused = True

    assert gaps(known) == [(BillReading.TAG, GapCause.TAG_NOT_ACTIVE, "app")]
    assert (BillReading.TAG, GapCause.TAG_NOT_ACTIVE, "app") not in gaps(checked)
    assert "tag keys" not in asked
    assert gaps(paper.read(check_tags=True)) == [
        (BillReading.ACTIVE_TAGS, GapCause.DENIED, ""),
        (BillReading.TAG, GapCause.TAG_NOT_ACTIVE, "app"),
    ]


def test_a_tag_is_told_once_and_near_ones_of_chosen_tags_alone() -> None:
    found = list(tag_gaps(["a", "team", "env"], {"team"}, {"a": True, "env": False}, ["teams", "environ"]))

    assert [(one.subject, one.cause, one.detail) for one in found] == [
        ("team", GapCause.NO_SUCH_TAG, "teams"),
        ("env", GapCause.TAG_NOT_ACTIVE, ""),
    ]
    (unused,) = tag_gaps(["env"], (), {}, ["envs"])
    assert (unused.cause, unused.detail) == (GapCause.TAG_NOT_USED, "")


# --- several accounts -------------------------------------------------------------------------

SEVERAL: dict[str, Any] = {
    "SERVICE USAGE_TYPE": [
        (1, ("S3", "Bytes"), "60"),
        (31, ("S3", "Bytes"), "10"),
        (65, ("S3", "Bytes"), "1"),
    ],
    "LINKED_ACCOUNT": [(1, (ONE,), "40"), (1, (TWO,), "20"), (31, (TWO,), "10"), (65, (ONE,), "1")],
    "USAGE_TYPE LINKED_ACCOUNT": [(1, ("Bytes", ONE), "40")],
}
ACCOUNTS = BillAccounts(names={ONE: "one", TWO: "", "3" * 12: ""})


def test_the_accounts_that_moved_are_read_by_usage_type_and_what_is_left_is_of_all_others() -> None:
    paper = Paper(SEVERAL)

    bill = paper.read(tags={}, accounts=ACCOUNTS)

    services, accounts, moved = SEVERAL
    asked = [services, accounts, "RECORD_TYPE", FORECAST[0], moved, "months"]
    assert [name for name, _ in paper.asked] == asked
    assert {first for name, first in paper.asked if name in {*SEVERAL, "RECORD_TYPE"}} == {FIRST}
    by_account = [(one.tag, str(one.usd)) for one in bill.by_account]
    assert by_account == [(ONE, "1"), (TWO, "10"), (ONE, "40"), (TWO, "20")]
    assert {(one.tag, one.usd) for one in bill.moved} == {
        (ONE, Decimal(40)),
        ("others", Decimal(20)),
        ("others", Decimal(10)),
        ("others", Decimal(1)),
    }
    assert bill.accounts == {ONE: "one"}
    assert gaps(bill) == [(BillReading.ACCOUNTS, GapCause.NOT_CHARGED, "3" * 12)]


@cases("settling, named", (0, ONE), (1, ONE), (2, TWO))
def test_an_account_moved_by_its_settled_days_alone(
    monkeypatch: pytest.MonkeyPatch, settling: int, named: str
) -> None:
    monkeypatch.setattr(reading, "MOST_MOVED_ACCOUNTS", 1)
    paper = Paper(SEVERAL | {"LINKED_ACCOUNT": [(1, (ONE,), "40"), (3, (TWO,), "20")]})

    paper.read(tags={}, accounts=ACCOUNTS, settling_days=settling)

    assert accounts_filter([named]) in [one["And"][-1] if "And" in one else one for one in paper.filters]


@pytest.mark.parametrize("metric", CostMetric)
def test_kept_days_count_for_what_moved_by_the_metric_of_the_bill(
    monkeypatch: pytest.MonkeyPatch, metric: CostMetric
) -> None:
    monkeypatch.setattr(reading, "MOST_MOVED_ACCOUNTS", 1)
    before = [(3, (ONE,), "20"), (40, (ONE,), "10"), (35, (ONE,), "10"), (40, (TWO,), "4")]
    lines = [*before, (3, (TWO,), "10")]
    kept = Paper(SEVERAL | {"LINKED_ACCOUNT": lines}).read(tags={}, accounts=ACCOUNTS, metric=metric)
    paper = Paper(SEVERAL | {"LINKED_ACCOUNT": lines[::2]})

    paper.read(tags={}, accounts=ACCOUNTS, metric=CostMetric.AMORTIZED, kept=kept)

    assert accounts_filter([TWO]) in [one["And"][-1] if "And" in one else one for one in paper.filters]


def test_every_page_is_of_the_accounts_alone_and_so_is_the_forecast() -> None:
    paper = Paper(SEVERAL)
    paper.read(tags={"project": "app"}, accounts=ACCOUNTS)

    own, moved = accounts_filter(ACCOUNTS.names), accounts_filter([ONE, TWO])
    wheres = [(one["And"][-1] if "And" in one else one) for one in paper.filters]
    assert wheres == [own, own, own, own, moved, own, own]


def test_accounts_whose_bill_is_not_seen_are_not_said_to_be_charged_nothing() -> None:
    denied = Paper(SEVERAL | {"LINKED_ACCOUNT": DENIED}).read(tags={}, accounts=ACCOUNTS)
    nothing = Paper(SERVICES | {"LINKED_ACCOUNT": []})
    empty = nothing.read(accounts=ACCOUNTS)

    assert gaps(denied) == [(BillReading.ACCOUNTS, GapCause.DENIED, "")]
    assert (denied.by_account, denied.moved) == ((), ())
    assert denied.forecast is not None
    assert [name for name, _ in nothing.asked] == ["SERVICE USAGE_TYPE", "LINKED_ACCOUNT"]
    assert empty.forecast is None
    assert [one[1] for one in gaps(empty)] == [GapCause.MEMBER_ACCOUNT]


def test_kept_days_of_accounts_are_read_no_more_and_count_for_what_moved() -> None:
    kept = Paper(SEVERAL).read(tags={}, accounts=ACCOUNTS)
    paper = Paper(SEVERAL | {"LINKED_ACCOUNT": [(1, (TWO,), "20")]})

    bill = paper.read(tags={}, accounts=ACCOUNTS, kept=kept)
    again = Paper(SEVERAL)
    again.read(
        tags={}, accounts=ACCOUNTS, kept=Paper(SERVICES).read(tags={}, accounts=BillAccounts(names={}))
    )

    since = TODAY - 35 * DAY
    assert paper.asked[:2] == [("SERVICE USAGE_TYPE", since), ("LINKED_ACCOUNT", since)]
    assert ("USAGE_TYPE LINKED_ACCOUNT", FIRST) in paper.asked
    assert [(one.day, one.tag) for one in bill.by_account] == [(FIRST, ONE), (TODAY - DAY, TWO)]
    assert again.asked[1] == ("LINKED_ACCOUNT", FIRST)  # none were kept


def test_a_bill_of_one_account_does_not_go_on_with_one_of_several() -> None:
    several = Paper(SEVERAL).read(tags={}, accounts=ACCOUNTS)
    paper, other = Paper(SEVERAL), Paper(SEVERAL)

    paper.read(tags={}, kept=several)
    other.read(tags={}, accounts=ACCOUNTS, kept=Paper(SERVICES).read(tags={}))

    assert {paper.asked[0][1], other.asked[0][1]} == {FIRST}


def test_a_tag_that_the_kept_bill_lacks_is_read_for_all_days() -> None:
    kept, paper = Paper(SERVICES).read(tags={"project": "app"}), Paper(SERVICES)

    paper.read(tags={"project": "app", "owner": "who"}, kept=kept)

    assert [paper.asked[3], paper.asked[5]] == [
        ("USAGE_TYPE app", TODAY - 35 * DAY),
        ("USAGE_TYPE who", FIRST),
    ]


@cases(
    "changed",
    {"account": ONE},
    {"accounts": {}},
    {"charges": ()},
    {"first": FIRST + DAY},
    {"until": FIRST - DAY},
    {"gaps": (BillGap(reading=BillReading.RECORD_TYPES, cause=GapCause.DENIED),)},
    ids=lambda one: next(iter(one)),
)
def test_what_is_not_the_same_bill_up_to_now_is_not_continued(changed: dict[str, Any]) -> None:
    whole = Paper(SERVICES).read(tags={})
    kept = replace(whole, charges=tuple(replace(one, usd=one.usd * 2) for one in whole.charges))

    assert Paper(SERVICES).read(tags={}, kept=kept).charges != whole.charges
    assert Paper(SERVICES).read(tags={}, kept=replace(kept, **changed)) == whole


THROTTLED = ClientError({"Error": {"Code": "LimitExceededException"}}, "GetCostAndUsage")
USED = [(2, ("Usage",), "9"), (64, ("Usage",), "9")]
DAILY = [(back, ("Usage",), "9") for back in range(1, 40)]


def test_a_change_of_the_metric_drops_no_day() -> None:
    """On the first night everything is as charged, on the second a commitment is spread over its days."""
    tagged = {"USAGE_TYPE app": [(1, ("Bytes", "app$llm"), "10"), (64, ("Bytes", "app$llm"), "10")]}
    plain = SERVICES | tagged | {"RECORD_TYPE": USED}
    spread = plain | {"RECORD_TYPE": [*USED, (1, ("SavingsPlanRecurringFee",), "4")]}
    first = Paper(plain).read(tags={"project": "app"})

    second = Paper(spread).read(tags={"project": "app"}, kept=first)
    third = Paper(plain).read(tags={"project": "app"}, kept=second, metric=CostMetric.UNBLENDED)

    assert [one.metric.name for one in (first, second, third)] == ["UNBLENDED", "AMORTIZED", "UNBLENDED"]
    for bill, half in ((first, 1), (second, 2), (third, 1)):
        assert bill.first == FIRST
        for rows in (bill.charges, bill.by_tag["project"]):
            assert [one.usd for one in rows] == [Decimal(10) / half] * 2
    assert [str(one.usd) for one in second.records] == ["4.5", "4.5", "2"]
    old = tuple(replace(one, other_usd=None) for one in first.charges)
    assert Paper(spread).read(tags={"project": "app"}, kept=replace(first, charges=old)).first > FIRST


def test_record_types_that_are_refused_are_those_of_the_night_before() -> None:
    spread = SERVICES | {"RECORD_TYPE": [*DAILY, (1, ("SavingsPlanRecurringFee",), "4")]}
    kept = Paper(spread).read(tags={})
    refused = {"RECORD_TYPE": THROTTLED}

    bill = Paper(SERVICES | refused).read(tags={}, kept=kept)
    after = Paper(spread).read(tags={}, kept=bill)

    assert (bill.metric, bill.records, bill.charges) == (kept.metric, kept.records, kept.charges)
    assert gaps(bill) == [(BillReading.RECORD_TYPES, GapCause.THROTTLED, "")]
    assert (after.records, after.gaps) == (kept.records, ())
    assert Paper(SERVICES | refused).read(tags={}).metric is CostMetric.UNBLENDED


def test_a_bill_whose_first_days_cost_nothing_says_when_it_begins() -> None:
    lines = [(60, ("S3", "Bytes"), "0"), (40, ("S3", "Bytes"), "5")]
    late = Paper({"SERVICE USAGE_TYPE": lines}).read(tags={})

    assert gaps(late) == [(BillReading.SERVICES, GapCause.SHORT_HISTORY, f"{TODAY - 40 * DAY}")]
    assert gaps(Paper(SERVICES).read(tags={})) == []
