"""Cost of a month of the janitor: the calls that `make cost` counted, times list prices. It only computes."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench.list_prices import PRICES, READ
from ml_janitor.config.schedules import schedule_period
from ml_janitor.config.sections import JanitorSection
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector

COUNTED = Path(__file__).parent / "counted.json"
"""What `make cost` counted, and when."""

MONTH = timedelta(days=365.25) / 12
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
GB = 1e9

OF_ACTS = 3
"""Custom metrics that alarms on acts watch, whichever detector acts."""

OF_A_DAY = 5
"""Custom metrics of each detector that the digest writes once a day."""

WATCH = {"lambda-requests": 1.0, "scheduler": 1.0, "lambda-gb-seconds": 0.5, "table-writes": 1.0}
"""Units of one hourly look at the schedules, besides a read of the ledger for each detector."""

MOST_ACTIONS = JanitorSection().max_actions_per_night

WRITE_UNIT, READ_UNIT = 1024, 4096
"""Bytes of an item that one unit covers (DynamoDB, on-demand)."""

OWN_CALLS = ("dynamodb:", "secretsmanager:", "s3:PutObject")
"""Calls for the ledger, the report and the message, which every function makes."""

METRICS = "cloudwatch:GetMetricData"

S3_LISTS = frozenset({"s3:ListBuckets", "s3:ListObjectVersions", "s3:ListObjectsV2"})

GROUPS = {
    "alarms": "alarms",
    "custom metrics": "custom-metrics",
    "dashboard": "dashboards",
    "keys of the ledger and of undo records (KMS)": "keys key-calls",
    "Cost Explorer": "cost-explorer",
    "metrics read (GetMetricData)": "metrics-read",
    "Lambda": "lambda-gb-seconds lambda-requests",
    "secret for Slack": "secrets secret-reads",
    "reports (S3)": "s3-writes s3-reads s3-kept",
    "ledger (DynamoDB)": "table-writes table-reads table-kept table-recovery",
    "logs": "logs-written logs-kept",
    "other CloudWatch requests": "cloudwatch-requests",
    "EventBridge Scheduler": "scheduler",
}
"""The lines of the bill, and the prices that each of them adds up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One month: dollars by line of `GROUPS`, the dearest first."""

    lines: Mapping[str, float]
    account: Mapping[str, int]
    counted: date
    estimated: Sequence[str] = ()

    @property
    def total(self) -> float:
        """All of it, in dollars."""
        return sum(self.lines.values())


def counted() -> dict[str, Any]:
    """Read the counts, and estimate them for detectors that were not counted yet."""
    read: dict[str, Any] = json.loads(COUNTED.read_text())
    return estimated(read, [detector() for detector in DETECTORS])


def estimated(given: Mapping[str, Any], detectors: Iterable[Detector[Any]]) -> dict[str, Any]:
    """
    Return *given* with an upper estimate of those *detectors* that `make cost` has not counted yet.

    Each is as dear as the dearest function that was counted, but makes only the calls that it declares.
    """
    counted = given["functions"]
    missing = [detector for detector in detectors if detector.name not in counted]
    if not missing:
        return dict(given)
    return {
        **given,
        "functions": counted | {each.name: _dearest(counted, each) for each in missing},
        "empty": given["empty"] | {each.name: _dearest(given["empty"], each) for each in missing},
        "estimated": sorted(each.name for each in missing),
    }


def _dearest(runs: Mapping[str, Mapping[str, Any]], detector: Detector[Any]) -> dict[str, Any]:
    """Return the largest figures of all *runs*, of the calls those that *detector* may make."""
    declared = {grant.action for grant in detector.reads}
    # IAM's names of S3's actions are not those of its calls.
    allowed = (*OWN_CALLS, *("s3:" if action.startswith("s3:") else action for action in declared))
    most: dict[str, Any] = {"schedule": detector.schedule, "calls": Counter[str]()}
    for run in runs.values():
        most["calls"] |= Counter(run["calls"])
        for figure, amount in run.items():
            if isinstance(amount, int | float):
                most[figure] = max(most.get(figure, 0), amount)
    most["calls"] = {call: times for call, times in most["calls"].items() if call.startswith(allowed)}
    if METRICS not in declared:
        most["metrics_requested"] = 0
    return most


def bill(given: Mapping[str, Any]) -> Bill:
    """Compute the bill for these counts."""
    used = used_in_a_month(given)
    if unpriced := used.keys() - PRICES.keys():
        raise ValueError(f"no price is known for {', '.join(sorted(unpriced))}")
    lines = {
        line: sum(PRICES[name].of(used[name]) for name in names.split()) for line, names in GROUPS.items()
    }
    dearest = dict(sorted(((line, usd) for line, usd in lines.items() if usd), key=lambda item: -item[1]))
    return Bill(
        lines=dearest,
        account=given["account"],
        counted=date.fromisoformat(given["date"]),
        estimated=given.get("estimated", ()),
    )


def arming(given: Mapping[str, Any]) -> float:
    """
    Compute the dollars that arming every detector adds to a month.

    Alarms, the metrics of acts, a second secret, two keys, and the calls to the signing keys for as many
    actions as the settings allow. The functions behind the buttons and undo cost nothing while nobody needs
    them.
    """
    alarms = given["stack"]["alarms_armed"] - given["stack"]["alarms"]
    signed = calls_for_action(given) * MOST_ACTIONS * (MONTH / DAY)
    return (
        PRICES["alarms"].of(alarms)
        + PRICES["secrets"].of(1)
        + PRICES["keys"].of(given["stack"]["keys_armed"] - given["stack"]["keys"])
        + PRICES["key-calls"].of(signed)
        + PRICES["custom-metrics"].of(OF_ACTS)
    )


def calls_for_action(given: Mapping[str, Any]) -> float:
    """Compute the calls to the signing keys for an action, with its warning, and the undos among them."""
    signed: Mapping[str, int] = given["signing"]
    return (signed["GenerateMac"] + signed["VerifyMac"]) / signed["actions"]


def reading(given: Mapping[str, Any]) -> float:
    """Compute the dollars that reading the bill each morning adds to a month."""
    used = used_by(given["bill"], given["stack"])
    used["alarms"] = given["stack"]["alarms_bill"] - given["stack"]["alarms"]
    return sum(PRICES[name].of(amount) for name, amount in used.items())


def used_in_a_month(given: Mapping[str, Any]) -> Counter[str]:
    """Sum the units of everything in `PRICES` that a month takes: standing resources, and every run."""
    stack = given["stack"]
    used: Counter[str] = Counter()
    used["alarms"] = stack["alarms"]
    used["dashboards"] = stack["dashboards"]
    used["keys"] = stack["keys"]
    used["secrets"] = 1
    used["table-kept"] = used["table-recovery"] = stack["table_bytes"] / GB
    for function in given["functions"].values():
        used += used_by(function, stack)
    looks = MONTH / HOUR
    used["table-reads"] += looks * len(given["functions"])
    for name, amount in WATCH.items():
        used[name] += looks * amount
    used["custom-metrics"] = 1 + OF_A_DAY * len(given["functions"]) * (HOUR / DAY)
    return used


def used_by(function: Mapping[str, Any], stack: Mapping[str, Any]) -> Counter[str]:
    """Sum the units of everything that the runs of one function take in a month."""
    used: Counter[str] = Counter()
    every = schedule_period(function["schedule"])
    runs = MONTH / every
    for name, amount in used_in_a_run(function):
        used[name] += runs * amount
    used["logs-kept"] += runs * function["log_bytes"] / GB * stack["log_days"] / (MONTH / DAY)
    used["s3-kept"] += runs * function["report_bytes"] / GB * stack["report_days"] / (MONTH / DAY)
    return used


def used_in_a_run(function: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Sum the units that one run takes. Calls that are not named here cost nothing."""
    yield "lambda-requests", 1
    yield "scheduler", 1
    seconds = function["seconds"] + function["init_seconds"]  # initialisation is billed since August 2025
    yield "lambda-gb-seconds", seconds * function["memory_mb"] / 1024
    yield "logs-written", function["log_bytes"] / GB
    yield "metrics-read", function["metrics_requested"]
    write, query = units(function["largest_item"], WRITE_UNIT), units(function["findings_bytes"], READ_UNIT)
    # In a transaction, each write counts twice.
    yield "table-writes", 2 * write * function.get("transacted", 0)
    for call, times in function["calls"].items():
        service, _, operation = call.partition(":")
        match service, operation:
            case "cloudwatch", "GetMetricData":
                pass  # by metric, above
            case "ce", _:
                yield "cost-explorer", times
            case "cloudwatch", _:
                yield "cloudwatch-requests", times
            case "dynamodb", "PutItem" | "UpdateItem" | "DeleteItem":
                yield "table-writes", times * write
            case "dynamodb", "GetItem" | "BatchGetItem":
                yield "table-reads", times
            case "dynamodb", "Query":
                yield "table-reads", times * query
            case "s3", _:
                writes = call in S3_LISTS or operation.startswith("Put")
                yield "s3-writes" if writes else "s3-reads", times
            case "secretsmanager", _:
                yield "secret-reads", times


def units(size: float, unit: int) -> int:
    """Request units for something of *size* bytes: at least one, and never part of one."""
    return max(1, math.ceil(size / unit))


def table(made: Bill) -> str:
    """Write the bill as Markdown, with the account that it is for."""
    rows = [f"| {line} | {money(usd)} |" for line, usd in made.lines.items()]
    return "\n".join(["| a month | |", "| --- | ---: |", *rows, f"| **total** | **{money(made.total)}** |"])


def summary(made: Bill) -> str:
    """Say the bill in one sentence."""
    kinds = [f"{number:,} {kind}" for kind, number in made.account.items()]
    return (
        f"About **{money(made.total)} a month** for an account with {', '.join(kinds[:-1])} and {kinds[-1]}: "
        f"what `make cost` counted on {made.counted} times list prices of us-east-1 read on {READ}, "
        f"without any free tier.{uncounted(made.estimated)}"
    )


def uncounted(names: Sequence[str]) -> str:
    """Say which detectors are only estimated; empty if none is. It begins with a space."""
    if not names:
        return ""
    return f" Not counted yet, and estimated from above by the dearest function: {', '.join(names)}."


def armed(given: Mapping[str, Any]) -> str:
    """Say in one sentence what arming adds."""
    return (
        f"Arming all that can act adds {money(arming(given))} a month: alarms, the metrics of acts, the "
        f"secret of the buttons, two signing keys ($2.00), and the calls to the keys for {MOST_ACTIONS} "
        f"actions a night ({calls_for_action(given):.0f} for each, counted over three nights); the acts, "
        "messages and presses themselves are not counted."
    )


def billed(given: Mapping[str, Any]) -> str:
    """Say in one sentence what reading the bill adds."""
    pages = sum(times for call, times in given["bill"]["calls"].items() if call.startswith("ce:"))
    asking = PRICES["cost-explorer"].of(pages * (MONTH / DAY))
    return (
        f"Reading the bill each morning (`[bill] enabled = true`) adds {money(reading(given))} a month, of "
        f"which {money(asking)} are for {pages} requests a night to Cost Explorer."
    )


def money(usd: float) -> str:
    """Dollars and cents; less than a cent is not nothing."""
    return "less than $0.01" if usd < 0.005 else f"${usd:,.2f}"
