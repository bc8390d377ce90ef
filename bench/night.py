"""Measure the cost of a night of the janitor beside one unused endpoint."""

from __future__ import annotations

from bench.monthly import DAY, HOUR, MONTH, bill, counted, money
from ml_janitor.aws.prices import price_table

IDLE = "ml.m5.xlarge"
CALLS = frozenset({"metrics read (GetMetricData)", "Cost Explorer", "other CloudWatch requests"})
"""The lines of the bill that are for calls of AWS's APIs about the account."""


def main() -> None:
    """Print both and their ratio: calls as `make cost` counted them, at list prices."""
    nights, lines = MONTH / DAY, bill(counted()).lines
    calls = sum(usd for line, usd in lines.items() if line in CALLS) / nights
    whole = sum(lines.values()) / nights
    idle = float(price_table()[IDLE].hourly_usd or 0) * (DAY / HOUR)
    print("Counted by `make cost` over an account with 1,000 endpoints, at list prices of us-east-1")
    for name, usd in (
        ("API calls of a night", calls),
        ("all that is deployed, for a night", whole),
        (f"one idle {IDLE} for a day", idle),
    ):
        print(f"  {name:<33}  {money(usd):>6}")
    print(f"  It costs {idle / calls:.0f} times a night's calls, and {idle / whole:.0f} times all of it.")


if __name__ == "__main__":
    main()
