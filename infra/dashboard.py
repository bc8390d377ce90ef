"""The dashboard: the money first, then the results of sweeps, then what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ml_janitor.report.telemetry import DETECTOR_DIMENSION, METRICS_NAMESPACE

METRIC_DAY = Duration.days(1)


def create_dashboard(
    scope: Construct, id_: str, functions: dict[str, lambda_.IFunction]
) -> cloudwatch.Dashboard:
    """Create one page for the whole deployment; *functions* are by detector."""
    detectors = list(functions)
    made = cloudwatch.Dashboard(scope, id_, default_interval=Duration.days(30))
    made.add_widgets(
        metric_graph(
            "What the findings cost, dollars a month", "MonthlyUsd", detectors, stacked=True, width=16
        ),
        total_widget("Dollars a month now", "MonthlyUsd", detectors),
    )
    made.add_widgets(
        metric_graph("Found", "Found", detectors),
        metric_graph("Could not be judged", "Unknown", detectors),
        metric_graph("Looked at", "LookedAt", detectors),
    )
    made.add_widgets(
        metric_graph("Seconds a sweep takes", "Duration", detectors, width=12),
        cloudwatch.GraphWidget(
            title="Runs that failed",
            width=12,
            left=[
                function.metric_errors(period=METRIC_DAY, label=name) for name, function in functions.items()
            ],
        ),
    )
    return made


def daily_maximum(name: str, detector: str) -> cloudwatch.Metric:
    """Return a metric's largest value per day: hourly sweeps must not add up."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={DETECTOR_DIMENSION: detector},
        statistic="Maximum",
        period=METRIC_DAY,
        label=detector,
    )


def metric_graph(
    title: str, name: str, detectors: Sequence[str], *, width: int = 8, stacked: bool = False
) -> cloudwatch.GraphWidget:
    """Plot one metric over time, a line per detector."""
    left = [daily_maximum(name, detector) for detector in detectors]
    return cloudwatch.GraphWidget(title=title, left=left, width=width, stacked=stacked)


def total_widget(title: str, name: str, detectors: Sequence[str]) -> cloudwatch.SingleValueWidget:
    """Show the sum over all detectors, as one number."""
    metrics = {f"m{n}": daily_maximum(name, detector) for n, detector in enumerate(detectors)}
    return cloudwatch.SingleValueWidget(
        title=title,
        width=8,
        height=6,
        metrics=[
            cloudwatch.MathExpression(
                expression=f"SUM([{', '.join(metrics)}])",
                using_metrics=dict(metrics),
                label="all",
                period=METRIC_DAY,
            )
        ],
    )
