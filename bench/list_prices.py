"""List prices of what the janitor itself uses: us-east-1, first tier, without any free tier."""

from __future__ import annotations

from dataclasses import dataclass

READ = "2026-11-25"
"""When the pages below were read. AWS changes prices; its own pages are at https://aws.amazon.com/pricing/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """So many dollars for so many units, and the page that says so."""

    usd: float
    per: float = 1.0
    unit: str
    source: str

    def of(self, quantity: float) -> float:
        """Return the cost of *quantity*."""
        return quantity * self.usd / self.per


CLOUDWATCH = "https://signoz.io/guides/cloudwatch-pricing (2026-02-15)"
CLOUDWATCH_TOO = (
    "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards (2026-06-13)"
)
COST_EXPLORER = "https://aws.amazon.com/aws-cost-management/aws-cost-explorer/pricing/ (as quoted in 2026)"
DYNAMODB = "https://airbyte.com/data-engineering-resources/dynamodb-pricing (2025-07-21)"
KMS = "https://aws.amazon.com/kms/pricing/ (as widely published up to mid-2025)"
LAMBDA = "https://cloudchipr.com/blog/aws-lambda-pricing (2024, US East)"
PRICE_LIST = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/ (the Price List, as quoted in 2026)"
S3 = "https://aws.amazon.com/s3/pricing/ (S3 Standard, as widely published up to mid-2025)"
SECRETS = "https://hivebook.wiki/wiki/aws-secrets-manager-rotated-secrets-dynamic-db-credentials-kms"

PRICES = {
    "lambda-gb-seconds": Price(usd=0.0000133334, unit="GB-second, arm64", source=LAMBDA),
    "lambda-requests": Price(usd=0.20, per=1e6, unit="request", source=PRICE_LIST),
    "scheduler": Price(usd=1.00, per=1e6, unit="invocation", source=PRICE_LIST),
    "metrics-read": Price(
        usd=0.01,
        per=1000,
        unit="metric requested by GetMetricData",
        source="CloudWatch user guide, GetMetricData",
    ),
    "cloudwatch-requests": Price(usd=0.01, per=1000, unit="other CloudWatch request", source=CLOUDWATCH),
    "custom-metrics": Price(
        usd=0.30, unit="custom metric and month, by the hour in which it is written", source=CLOUDWATCH
    ),
    "alarms": Price(usd=0.10, unit="standard alarm and month", source=PRICE_LIST),
    "dashboards": Price(usd=3.00, unit="dashboard and month", source=CLOUDWATCH_TOO),
    "keys": Price(usd=1.00, unit="customer-managed key and month", source=KMS),
    "key-calls": Price(usd=0.03, per=10_000, unit="call to a key, HMAC too", source=KMS),
    "cost-explorer": Price(usd=0.01, unit="page that Cost Explorer answers", source=COST_EXPLORER),
    "logs-written": Price(usd=0.50, unit="GB of logs written", source=CLOUDWATCH_TOO),
    "logs-kept": Price(usd=0.03, unit="GB of logs and month", source=PRICE_LIST),
    "table-writes": Price(usd=0.625, per=1e6, unit="write request unit", source=DYNAMODB),
    "table-reads": Price(usd=0.125, per=1e6, unit="read request unit", source=DYNAMODB),
    "table-kept": Price(usd=0.25, unit="GB of the table and month", source=PRICE_LIST),
    "table-recovery": Price(usd=0.20, unit="GB under point-in-time recovery and month", source=PRICE_LIST),
    "s3-writes": Price(usd=0.005, per=1000, unit="PUT or LIST", source=S3),
    "s3-reads": Price(usd=0.0004, per=1000, unit="GET or HEAD", source=S3),
    "s3-kept": Price(usd=0.023, unit="GB of reports and month", source=S3),
    "secrets": Price(usd=0.40, unit="secret and month", source=SECRETS),
    "secret-reads": Price(usd=0.05, per=10_000, unit="read of a secret", source=SECRETS),
}
