"""AWS Cost Explorer over the sandbox's bill: costs by period and group, and forecasts."""

import datetime as dt
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any

from ml_janitor_sandbox.billing import cost_tags, expressions, meters, savings_plans
from ml_janitor_sandbox.billing.charges import HOUR, Bill, Charge, bill, opened, paid_for, whole
from moto_corrections import clock, paging
from moto_corrections.patches import AwsError, Call, rejected

DAY = dt.timedelta(days=1)
CLOSED_AFTER = 5 * DAY
"""How long after a month its bill is final, until which every period of it is estimated."""
MONTHS = 14
HOURS_BACK = 14 * DAY
HISTORY = 30
"""Days that a forecast is made of, and that there have to be."""
COSTS = {
    "AmortizedCost",
    "BilledCost",
    "BlendedCost",
    "ContractedCost",
    "ListCost",
    "NetAmortizedCost",
    "NetUnblendedCost",
    "UnblendedCost",
}
AMORTIZED = {"AmortizedCost", "NetAmortizedCost"}
"""Other costs are all the same here."""
QUANTITIES = {"NormalizedUsageAmount", "UsageQuantity"}
FORMATS = {
    "DAILY": r"\d{4}-\d\d-\d\d",
    "MONTHLY": r"\d{4}-\d\d-\d\d",
    "HOURLY": r"\d{4}-\d\d-\d\dT\d\d:00:00Z",
}
INVALID_TOKEN = "InvalidNextTokenException"
_page = partial(paging.cut, invalid=INVALID_TOKEN, member="NextPageToken")

type Period = tuple[dt.datetime, dt.datetime]


@dataclass(slots=True)
class Cell:
    """The charges of one group in one period; the group is None in a period in which nothing was used."""

    group: tuple[str, ...] | None = None
    cost: Decimal = Decimal(0)
    amortized: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)
    units: set[str] = field(default_factory=set)

    def amounts(self, metrics: Sequence[str], currency: str) -> dict[str, dict[str, str]]:
        """Return the amounts by metric. Different units are added up too, and their unit says so."""
        unit = next(iter(self.units)) if len(self.units) == 1 else "N/A"
        costs = {metric: self.amortized if metric in AMORTIZED else self.cost for metric in COSTS}
        return {
            metric: _amount(costs[metric], currency) if metric in COSTS else _amount(self.quantity, unit)
            for metric in metrics
        }


def _amount(value: Decimal, unit: str) -> dict[str, str]:
    return {"Amount": f"{round(value, 10).normalize():f}", "Unit": unit}


def get_cost_and_usage(call: Call) -> dict[str, Any]:
    """Return sums of metrics by period, in total or by group; `Total` is empty with groups."""
    params, own = call.params, opened(call)
    granularity, metrics = params.get("Granularity", ""), params.get("Metrics") or []
    if granularity not in FORMATS:
        raise rejected(f"Granularity {granularity!r} is not valid.")
    if not metrics:
        raise rejected("At least one metric is required.")
    if wrong := set(metrics) - COSTS - QUANTITIES:
        raise rejected(f"Unable to parse metric: {', '.join(sorted(wrong))}")
    asked = params.get("GroupBy") or []
    keys = expressions.groups(own, asked)
    start, end = _times(own, params, granularity)
    charges = _charges(call, own)
    found = [(at, cell) for at in _periods(start, end, granularity) for cell in _cells(charges, keys, at)]
    page, more = _page(call, found, own.page if asked else len(found))
    cells: dict[Period, list[Cell]] = {}
    for at, cell in page:
        cells.setdefault(at, []).append(cell)
    answer = {
        "ResultsByTime": [
            {
                "TimePeriod": _spelled(at, granularity),
                "Estimated": clock.now() < _next_month(at[0]) + CLOSED_AFTER,
            }
            | _result(some, metrics, own.currency, grouped=bool(asked))
            for at, some in cells.items()
        ],
        "DimensionValueAttributes": _attributes(call, asked, [cell for _, cell in page]),
    }
    return answer | ({"GroupDefinitions": asked} if asked else {}) | more


def _attributes(
    call: Call, asked: Sequence[Mapping[str, str]], cells: Sequence[Cell]
) -> list[dict[str, Any]]:
    """Describe the linked accounts by their names, where the answer is grouped by them."""
    names, found = paid_for(call.account), dict[str, dict[str, str]]()
    for number, grouping in enumerate(asked):
        if grouping["Key"] == "LINKED_ACCOUNT":
            values = {cell.group[number] for cell in cells if cell.group is not None}
            found = {value: {"description": names.get(value, "")} for value in sorted(values)}
    return [{"Value": value, "Attributes": attributes} for value, attributes in found.items()]


def _charges(call: Call, own: Bill) -> list[Charge]:
    """List the charges that the filter leaves."""
    wanted = expressions.matching(own, call.params.get("Filter"))
    return [charge for charge in meters.charges(call.account) if wanted(charge)]


def _read_times(params: Mapping[str, Any], granularity: str) -> Period:
    given = params.get("TimePeriod") or {}
    texts = given.get("Start", ""), given.get("End", "")
    for text in texts:
        if not re.fullmatch(FORMATS[granularity], text):
            raise rejected(f"Invalid date for {granularity} granularity: {text!r}")
    start, end = map(clock.parse, texts)
    if start >= end:
        raise rejected("Start date (and hour) should be before end date (and hour)")
    return start, end


def _times(own: Bill, params: Mapping[str, Any], granularity: str = "DAILY") -> Period:
    start, end = _read_times(params, granularity)
    now = clock.now()
    if end > _next_month(now):
        raise rejected("end date past the beginning of next month")
    if granularity == "HOURLY":
        if not own.hourly:
            raise AwsError("AccessDeniedException", "Hourly granularity is not enabled for this account.")
        if start < now - HOURS_BACK:
            raise rejected("Hourly data is only available for the last 14 days.")
    if ((now.year - start.year) * 12 + now.month - start.month, now.day - start.day) > (MONTHS, 0):
        raise rejected("You haven't enabled historical data beyond 14 months.")
    if own.since is not None and end <= own.since:
        raise AwsError(
            "DataUnavailableException",
            "Data is not available. Please try to adjust the time period. If just enabled Cost Explorer, "
            "data might not be ingested yet",
        )
    return start, end


def _next_month(moment: dt.datetime) -> dt.datetime:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + 32 * DAY).replace(day=1)


def _periods(start: dt.datetime, end: dt.datetime, granularity: str) -> Iterator[Period]:
    steps: Mapping[str, Callable[[dt.datetime], dt.datetime]] = {
        "DAILY": lambda at: at + DAY,
        "HOURLY": lambda at: at + HOUR,
        "MONTHLY": _next_month,
    }
    while start < end:
        until = min(steps[granularity](start), end)
        yield start, until
        start = until


def _cells(charges: Sequence[Charge], keys: Sequence[expressions.Key], at: Period) -> list[Cell]:
    """Sum what was used in a period by group, in the order of the keys; one empty cell if nothing was."""
    found: dict[tuple[str, ...], Cell] = {}
    for charge in charges:
        if quantity := charge.quantity(*at, clock.now()):
            group = tuple(key(charge) for key in keys)
            cell = found.setdefault(group, Cell(group))
            cell.cost += quantity * charge.price
            cell.amortized += quantity * charge.amortized_price
            if charge.record_type == "Usage":
                cell.quantity += quantity
                cell.units.add(charge.unit)
    return [found[group] for group in sorted(found)] or [Cell()]


def _spelled(at: Period, granularity: str) -> dict[str, str]:
    form = "%Y-%m-%dT%H:%M:%SZ" if granularity == "HOURLY" else "%Y-%m-%d"
    return {"Start": f"{at[0]:{form}}", "End": f"{at[1]:{form}}"}


def _result(cells: Sequence[Cell], metrics: Sequence[str], currency: str, *, grouped: bool) -> dict[str, Any]:
    if not grouped:
        return {"Total": cells[0].amounts(metrics, currency), "Groups": []}
    used = [(cell.group, cell.amounts(metrics, currency)) for cell in cells if cell.group is not None]
    return {"Total": {}, "Groups": [{"Keys": list(group), "Metrics": amounts} for group, amounts in used]}


# --- what there is to ask for --------------------------------------------------------------------


def _used(call: Call) -> tuple[Bill, list[Charge]]:
    """Return the bill, and its charges in the period of the request."""
    own = opened(call)
    at = _times(own, call.params)
    return own, [charge for charge in _charges(call, own) if charge.quantity(*at, clock.now())]


def _listed(call: Call, values: set[str], size: int) -> tuple[list[str], dict[str, Any]]:
    search = call.params.get("SearchString", "").lower()
    found = sorted(value for value in values if search in value.lower())
    page, more = _page(call, found, int(call.params.get("MaxResults") or size))
    return page, {"ReturnSize": len(page), "TotalSize": len(found)} | more


def get_dimension_values(call: Call) -> dict[str, Any]:
    """List the values of a dimension that were charged for in a period."""
    own, charges = _used(call)
    read = expressions.dimension(call.params.get("Dimension", ""))
    page, more = _listed(call, {read(charge) for charge in charges}, own.page)
    names = paid_for(call.account) if call.params["Dimension"] == "LINKED_ACCOUNT" else {}
    values = [
        {"Value": value, "Attributes": {"description": names.get(value, "")} if names else {}}
        for value in page
    ]
    return {"DimensionValues": values} | more


def get_tags(call: Call) -> dict[str, Any]:
    """List the keys of active tags, or the values of one key; an empty value stands for what is untagged."""
    own, charges = _used(call)
    if key := call.params.get("TagKey"):
        values = {expressions.tag(own, charge, key) for charge in charges} if key in own.active else set()
    else:
        values = {key for charge in charges for key in charge.tags if expressions.tag(own, charge, key)}
    page, more = _listed(call, values, own.page)
    return {"Tags": page, **more}


def get_cost_forecast(call: Call) -> dict[str, Any]:
    """Return the mean of the last thirty days and its margin of error; refuse a younger account."""
    own, params = opened(call), call.params
    granularity = params.get("Granularity", "")
    if granularity not in {"DAILY", "MONTHLY"} or not str(params.get("Metric")).endswith("_COST"):
        raise rejected("The metric or the granularity is not valid for a forecast.")
    level = int(params.get("PredictionIntervalLevel") or 80)
    if not 51 <= level <= 99:
        raise rejected("PredictionIntervalLevel must be between 51 and 99.")
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = _read_times(params, "DAILY")
    if start < today:
        raise rejected("Start date must not be in the past.")
    charges = _charges(call, own)
    days = [(today - number * DAY, today - (number - 1) * DAY) for number in range(HISTORY, 0, -1)]
    paid = attrgetter("amortized_price" if "AMORTIZED" in params["Metric"] else "price")
    costs = [
        sum((paid(charge) * charge.quantity(*day, clock.now()) for charge in charges), Decimal(0))
        for day in days
    ]
    young = own.since is not None and own.since > days[0][0]
    if young or not costs[0]:
        raise AwsError(
            "DataUnavailableException", "Insufficient amount of historical data to generate forecast."
        )
    mean, spread = float(statistics.fmean(costs)), float(statistics.stdev(costs))
    factor = statistics.NormalDist().inv_cdf(0.5 + level / 200)
    results = []
    for first, last in _periods(start, end, granularity):
        count = (last - first) / DAY
        off = factor * spread * count**0.5
        results.append(
            {
                "TimePeriod": {"Start": f"{first:%Y-%m-%d}", "End": f"{last:%Y-%m-%d}"},
                "MeanValue": f"{mean * count:.10f}",
                "PredictionIntervalLowerBound": f"{max(0.0, mean * count - off):.10f}",
                "PredictionIntervalUpperBound": f"{mean * count + off:.10f}",
            }
        )
    total = mean * ((end - start) / DAY)
    return {"Total": {"Amount": f"{total:.10f}", "Unit": own.currency}, "ForecastResultsByTime": results}


def _charged(answer: Callable[[Call], dict[str, Any]]) -> Callable[[Call], dict[str, Any]]:
    """Answer for a cent; what is refused costs nothing."""

    def answered(call: Call) -> dict[str, Any]:
        amounts = answer(call)
        requests, hour = bill(call.account).requests, whole(clock.now())
        requests[hour] = requests.get(hour, 0) + 1
        return amounts

    return answered


CHARGED: dict[str, Callable[[Call], dict[str, Any]]] = {
    "GetCostAndUsage": get_cost_and_usage,
    "GetCostForecast": get_cost_forecast,
    "GetDimensionValues": get_dimension_values,
    "GetSavingsPlansCoverage": lambda call: savings_plans.coverage(call, *_times(opened(call), call.params)),
    "GetSavingsPlansUtilization": lambda call: savings_plans.utilization(
        call, *_times(opened(call), call.params)
    ),
    "GetTags": get_tags,
    **cost_tags.OPERATIONS,
}
OPERATIONS = {name: _charged(answer) for name, answer in CHARGED.items()}
