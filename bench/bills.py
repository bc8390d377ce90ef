"""
A large bill: read, attributed and drawn, beside the obvious loop with one call for each day and project.

Cost Explorer is answered here before a request leaves the process, so that CPU is the client's alone; on AWS
each call also takes its time, and costs a cent.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from bench.box import ACCOUNT, NOW, REGION
from ml_janitor.aws.cost_explorer import CostExplorer
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.explaining import BillResource
from ml_janitor.bill.model import PRICE_PER_REQUEST, Culprit
from ml_janitor.bill.reading import BILL_DAYS, BillQuestion, BillRequest, read_bill
from ml_janitor.bill.report import BillReport, make_bill_report
from ml_janitor.report.bill_message import bill_picture
from ml_janitor.report.bill_page import render_bill_page

USAGE_TYPES, PROJECTS, FILLED = 400, 60, 0.05
PAGE = 5000
"""Groups to a page, as in the sandbox."""
RESOURCES = 500
TAG = "project"
SERVICES = ("Amazon SageMaker", "Amazon Simple Storage Service", "EC2 - Other", "AmazonCloudWatch")
FIRST = NOW.date() - timedelta(days=BILL_DAYS)

type Cells = Mapping[date, Mapping[tuple[str, ...], Decimal]]
"""Dollars by day and by the values of the groupings."""


def main() -> None:
    """Read one bill in both ways, and print the ratios."""
    ledger = Ledger()
    read_seconds, (report, requests) = cpu(ledger, lambda: whole(ledger))
    drawn_seconds, _ = cpu(
        ledger, lambda: (bill_picture(report, TAG), render_bill_page(report, max_requests=requests))
    )
    loop_seconds, (total, calls) = cpu(ledger, lambda: obvious_loop(ledger))
    if round(total - report.bill.total(report.bill.whole), 6):
        raise RuntimeError(f"the loop read ${total}, and the janitor another sum")
    ours = read_seconds + drawn_seconds
    cells = sum(map(len, ledger.by_project.values()))
    print(
        f"a bill of {USAGE_TYPES} usage types x {PROJECTS} projects x {BILL_DAYS} days, {cells:,} "
        f"cells filled"
    )
    print(f"  the bill         {_asked(requests)}, {ours:4.1f} s of CPU, {drawn_seconds:.1f} of them drawing")
    print(f"  the obvious loop {_asked(calls)}, {loop_seconds:4.1f} s of CPU, reading alone")
    print(
        f"  {calls / requests:.0f} times fewer requests; read, attributed to {RESOURCES} resources and drawn "
        f"in {ours / loop_seconds:.1f} times the CPU that the loop reads in"
    )


def _asked(requests: int) -> str:
    return f"{requests:5} requests for ${requests * PRICE_PER_REQUEST:5.2f}"


def cpu[T](ledger: Ledger, work: Callable[[], T]) -> tuple[float, T]:
    """Return the processor's seconds that *work* takes, without those of the answers, and its result."""
    begun, answering = time.process_time(), ledger.seconds
    result = work()
    return time.process_time() - begun - (ledger.seconds - answering), result


class Ledger:
    """Charges that are the same in every run, and Cost Explorer's answers about them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """What making the answers took."""
        chance = random.Random(14)  # noqa: S311 - no secret
        self.types = [f"USE1-Host:ml.type{number}.xlarge" for number in range(USAGE_TYPES)]
        projects = ["", *(f"project-{number:02}" for number in range(1, PROJECTS))]
        by_project: dict[date, dict[tuple[str, ...], Decimal]] = defaultdict(dict)
        by_service: dict[date, dict[tuple[str, ...], Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        by_type: dict[date, dict[tuple[str, ...], Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for number in range(BILL_DAYS):
            day = FIRST + timedelta(days=number)
            for at, usage in enumerate(self.types):
                for project in projects:
                    if chance.random() < FILLED:
                        usd = Decimal(chance.randrange(1, 10**7)) / 10**5
                        by_project[day][usage, f"{TAG}${project}"] = usd
                        by_service[day][SERVICES[at % len(SERVICES)], usage] += usd
                        by_type[day]["Usage",] += usd
        months = [(FIRST - timedelta(days=30 * number)).replace(day=1) for number in range(14)]
        by_month = {
            month: {(usage,): Decimal(chance.randrange(1, 10**7)) / 10**3 for usage in self.types}
            for month in months
        }
        self.by_project = by_project
        self.answers: Mapping[tuple[str, ...], Cells] = {
            ("USAGE_TYPE",): by_month,
            ("USAGE_TYPE", TAG): by_project,
            ("SERVICE", "USAGE_TYPE"): by_service,
            ("RECORD_TYPE",): by_type,
        }

    def client(self) -> Any:
        """Return a client of Cost Explorer whose requests this class answers."""
        client = boto3.Session("AKIABENCH", "bench", region_name=REGION).client("ce")
        client.meta.events.register("before-send.cost-explorer", self._answer)
        return client

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        begun = time.process_time()
        asked = json.loads(request.body)
        if "GroupBy" not in asked:
            body = {"Total": {"Amount": "1", "Unit": "USD"}, "ForecastResultsByTime": []}
        else:
            body = self._costs(asked)
        answer = AWSResponse(request.url, 200, {}, _Body(json.dumps(body).encode()))
        self.seconds += time.process_time() - begun
        return answer

    def _costs(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        first, until = (date.fromisoformat(asked["TimePeriod"][end]) for end in ("Start", "End"))
        groups = tuple(group["Key"] for group in asked["GroupBy"])
        if tags := asked.get("Filter", {}).get("Tags"):
            project = f"{TAG}${tags['Values'][0]}"
            cells: Cells = {
                first: {
                    (usage,): self.by_project[first][usage, project]
                    for usage in self.types
                    if (usage, project) in self.by_project[first]
                }
            }
        else:
            cells = self.answers[groups]
        rows = [(day, *cell) for day in sorted(cells) if first <= day < until for cell in cells[day].items()]
        start = int(asked.get("NextPageToken", 0))
        by_day: dict[date, list[dict[str, Any]]] = defaultdict(list)
        for day, keys, usd in rows[start : start + PAGE]:
            by_day[day].append({"Keys": list(keys), "Metrics": _metrics(usd)})
        more = {"NextPageToken": str(start + PAGE)} if start + PAGE < len(rows) else {}
        return {
            "ResultsByTime": [
                {
                    "TimePeriod": {"Start": f"{day}", "End": f"{day + timedelta(days=1)}"},
                    "Total": {},
                    "Groups": own,
                    "Estimated": False,
                }
                for day, own in by_day.items()
            ]
        } | more


class _Body:
    """An answer's body, as urllib3 would give it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, **_: Any) -> Iterable[bytes]:
        yield self.content


def _metrics(usd: Decimal) -> dict[str, dict[str, str]]:
    dollars = {"Amount": f"{usd}", "Unit": "USD"}
    return {
        "UnblendedCost": dollars,
        "AmortizedCost": dollars,
        "UsageQuantity": {"Amount": f"{usd / 2}", "Unit": "Hrs"},
    }


def whole(ledger: Ledger) -> tuple[BillReport, int]:
    """Read and explain the bill as the janitor does; return it with the number of requests."""
    explorer = CostExplorer(ledger.client(), max_requests=1000)
    bill = read_bill(explorer, BillRequest(tags={TAG: TAG}), account=ACCOUNT, now=NOW)
    if bill.gaps:
        raise RuntimeError(f"the bill lacks {bill.gaps}")
    question = BillQuestion(days=30, settling_days=2, tags=(TAG,))
    return make_bill_report(bill, question, resources=_resources(ledger)), explorer.requests


def _resources(ledger: Ledger) -> list[BillResource]:
    begun = datetime.combine(FIRST, datetime.min.time(), UTC)
    return [
        BillResource(
            culprit=Culprit(arn=f"arn:{number}", name=f"endpoint-{number}", kind="endpoint"),
            runs=(
                ResourceRun(
                    usage_type=ledger.types[number % USAGE_TYPES],
                    start=begun + timedelta(hours=number),
                    variant="main",
                    model="model",
                ),
            ),
            tag=f"project-{number % PROJECTS:02}" if number % PROJECTS else "",
            family=f"endpoint-{number}",
        )
        for number in range(RESOURCES)
    ]


def obvious_loop(ledger: Ledger) -> tuple[Decimal, int]:
    """All dollars, read by a call for each day and project, and how many calls that took."""
    client, total, calls = ledger.client(), Decimal(0), 0
    for number in range(BILL_DAYS):
        day = FIRST + timedelta(days=number)
        for project in ["", *(f"project-{other:02}" for other in range(1, PROJECTS))]:
            answer = client.get_cost_and_usage(
                TimePeriod={"Start": f"{day}", "End": f"{day + timedelta(days=1)}"},
                Granularity="DAILY",
                Metrics=["UnblendedCost", "UsageQuantity"],
                GroupBy=[{"Type": "DIMENSION", "Key": "USAGE_TYPE"}],
                Filter={"Tags": {"Key": TAG, "Values": [project]}},
            )
            calls += 1
            for period in answer["ResultsByTime"]:
                total += sum(
                    (Decimal(group["Metrics"]["UnblendedCost"]["Amount"]) for group in period["Groups"]),
                    Decimal(0),
                )
    return total, calls


if __name__ == "__main__":
    main()
