"""The monitoring of the janitor: alarms that wake somebody, the dashboard, and AWS's watch on the bill."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal

from aws_cdk import Annotations, ArnFormat, Duration, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_ce as ce
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from ml_janitor.config import schedules
from ml_janitor.config.sections import BillSection
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.report.telemetry import ACCOUNTS_METRIC, DETECTOR_DIMENSION, METRICS_NAMESPACE, REFUSED_METRIC

# --- alarms ---------------------------------------------------------------------------------------


def alarm_topic(scope: Construct, id_: str, key: kms.IKey | None = None) -> sns.Topic:
    """
    Create the topic that all alarms notify, over TLS only, and under *key* if there is one.

    The policy that demands TLS replaces the topic's default, which would let alarms publish. So alarms are
    allowed by name, else nobody would hear them
    (https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).
    """
    topic = sns.Topic(scope, id_, display_name="ML Janitor", enforce_ssl=True, master_key=key)
    alarms = Stack.of(scope).format_arn(
        service="cloudwatch", resource="alarm", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"ArnLike": {"aws:SourceArn": alarms}},
        )
    )
    return topic


def create_alarm(
    scope: Construct,
    id_: str,
    *,
    metric: cloudwatch.IMetric,
    says: str,
    topic: sns.ITopic,
    threshold: float = 0,
    comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    periods: int = 1,
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
) -> cloudwatch.Alarm:
    """Create an alarm that notifies *topic* of what it *says*; docs/operating.md says what to do about it."""
    made = cloudwatch.Alarm(
        scope,
        id_,
        metric=metric,
        alarm_description=says,
        threshold=threshold,
        comparison_operator=comparison,
        evaluation_periods=periods,
        treat_missing_data=missing,
    )
    made.add_alarm_action(actions.SnsAction(topic))
    return made


def run_count_metric(detector: str, *, period: Duration) -> cloudwatch.Metric:
    """Count the runs of *detector* over an organization that began: each counts its accounts once."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=ACCOUNTS_METRIC,
        dimensions_map={DETECTOR_DIMENSION: detector},
        statistic="SampleCount",
        period=period,
    )


def watch_schedule(
    scope: Construct,
    runs: Callable[..., cloudwatch.IMetric],
    *,
    name: str,
    schedule: str,
    topic: sns.ITopic,
) -> None:
    """Create an alarm on a *schedule* that did not run its target; *runs* counts its runs in a period."""
    watched = silence_periods(schedule)
    if watched is None:
        Annotations.of(scope).add_info(
            f"{name} runs on {schedule}, less than once a week: CloudWatch cannot see that it did not run. "
            "The digest and janitor doctor say so instead."
        )
        return
    period, periods = watched
    create_alarm(
        scope,
        "DidNotRun",
        metric=runs(period=period),
        says=f"{name}: its schedule ({schedule}) did not run it.",
        topic=topic,
        threshold=1,
        comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        periods=periods,
        missing=cloudwatch.TreatMissingData.BREACHING,
    )


def watch_acts(scope: Construct, *, name: str, topic: sns.ITopic) -> None:
    """Create alarms on an armed detector: a failed act, a limit that held something back, a forged record."""
    for id_, says in (
        ("ActionsFailed", f"{name}: an action failed. The report and `janitor findings` say which, and why."),
        ("HeldBack", f"{name}: a limit held something back. The report says which limit, and what to do."),
        (REFUSED_METRIC, f"{name}: a record in the ledger is not what was signed; nothing was done from it."),
    ):
        metric = cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=id_,
            dimensions_map={DETECTOR_DIMENSION: name},
            statistic="Maximum",
            period=Duration.hours(1),
        )
        create_alarm(scope, id_, metric=metric, says=says, topic=topic)


def silence_periods(schedule: str) -> tuple[Duration, int] | None:
    """
    Return how long a schedule may be silent: a period, and how many of them.

    An alarm sees seven days at the most (PutMetricAlarm: Period times EvaluationPeriods), so a weekly
    schedule gets exactly those, and a longer one None: its alarm would ring between any two runs.
    """
    every = schedules.schedule_period(schedule)
    if every > WEEK:
        return None
    if every >= DAY:
        return Duration.days(1), min(7, math.ceil(every / DAY) + 1)
    return Duration.hours(1), min(24, 2 * math.ceil(every / timedelta(hours=1)) + 1)


# --- dashboard ------------------------------------------------------------------------------------
# The money stands first, then the results of sweeps, then what is wrong.

METRIC_DAY = Duration.days(1)


def create_dashboard(
    scope: Construct, id_: str, functions: dict[str, lambda_.IFunction]
) -> cloudwatch.Dashboard:
    """Create one page for the whole deployment; *functions* are by detector."""
    detectors = list(functions)
    made = cloudwatch.Dashboard(scope, id_, default_interval=Duration.days(30))
    made.add_widgets(
        metric_graph(
            "Cost of the findings, dollars a month", "MonthlyUsd", detectors, stacked=True, width=16
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


# --- budgets and anomalies ------------------------------------------------------------------------
# AWS monitors the bill, its anomalies and the estimated charges. All of it is free.

BUDGET_ALERTS = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
"""Alerts of a budget to the topic: percent of it that are spent, or expected by the end of the month."""

EXCLUDED_CHARGES = ("include_credit", "include_refund", "include_tax")
"""Charges that budgets leave out, as everywhere else: an ended credit is not overspending."""

LEAST_ANOMALY = 100
"""Dollars below which the topic hears of no anomaly."""

BILLING_REGION = "us-east-1"
"""The only region with the metric EstimatedCharges (CloudWatch user guide, "Create a billing alarm")."""


class Budgets(Construct):
    """The budgets of *section*, and its anomaly monitor; nothing where it wants none."""

    def __init__(self, scope: Construct, id_: str, *, section: BillSection, topic: sns.Topic) -> None:
        super().__init__(scope, id_)
        self._topic = topic
        if section.monthly_budget:
            self._budget("Whole", section.monthly_budget, "account")
            if Stack.of(self).region == BILLING_REGION:
                self._estimated_charges(section.monthly_budget)
        for part, usd in sorted(section.budgets.items()):
            name, _, value = part.partition("=")
            self._budget(part.replace("/", "-"), usd, part, filters=[f"user:{section.tags[name]}${value}"])
        if section.monthly_budget or section.budgets:
            account = Stack.of(self).account
            source = Stack.of(self).format_arn(
                service="budgets", region="", resource="*", arn_format=ArnFormat.NO_RESOURCE_NAME
            )
            self._let_publish(
                "budgets.amazonaws.com",
                {"StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": source}},
            )
        if section.anomaly_monitor != "off":
            self._anomalies(section.anomaly_monitor)

    def _budget(self, id_: str, usd: float, what: str, *, filters: Sequence[str] = ()) -> None:
        """
        Create a monthly budget with its alerts, named after its scope *what*.

        AWS takes no colon, no backslash and no "/action/" in a name (Budgets API reference, Budget).
        """
        subscriber = budgets.CfnBudget.SubscriberProperty(
            address=self._topic.topic_arn, subscription_type="SNS"
        )
        budgets.CfnBudget(
            self,
            id_,
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_name=re.sub(r"[:\\/]", "-", f"{Stack.of(self).stack_name} {what}")[:100],
                budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
                cost_filters={"TagKeyValue": list(filters)} if filters else None,
                cost_types=budgets.CfnBudget.CostTypesProperty(**dict.fromkeys(EXCLUDED_CHARGES, False)),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in BUDGET_ALERTS
            ],
        )

    def _estimated_charges(self, usd: float) -> None:
        """Create an alarm that comes hours before a budget's, where the account has billing alerts."""
        create_alarm(
            self,
            "EstimatedCharges",
            metric=cloudwatch.Metric(
                namespace="AWS/Billing",
                metric_name="EstimatedCharges",
                dimensions_map={"Currency": "USD"},
                statistic="Maximum",
                period=Duration.hours(6),
            ),
            says=f"The month's charges are above monthly_budget, ${Decimal(str(usd)):,}.",
            topic=self._topic,
            threshold=usd,
        )

    def _anomalies(self, monitor: str) -> None:
        """Notify the topic of anomalies that *monitor* finds; "create" makes a monitor over all services."""
        if monitor == "create":
            monitor = ce.CfnAnomalyMonitor(
                self,
                "Monitor",
                monitor_name=f"{Stack.of(self).stack_name}: services",
                monitor_type="DIMENSIONAL",
                monitor_dimension="SERVICE",
            ).attr_monitor_arn
        ce.CfnAnomalySubscription(
            self,
            "Anomalies",
            subscription_name=f"{Stack.of(self).stack_name}: anomalies",
            frequency="IMMEDIATE",
            monitor_arn_list=[monitor],
            subscribers=[
                ce.CfnAnomalySubscription.SubscriberProperty(address=self._topic.topic_arn, type="SNS")
            ],
            threshold_expression=Stack.of(self).to_json_string(
                {
                    "Dimensions": {
                        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
                        "Values": [str(LEAST_ANOMALY)],
                    }
                }
            ),
        )
        self._let_publish(
            "costalerts.amazonaws.com",
            {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
        )

    def _let_publish(self, service: str, conditions: dict[str, dict[str, str]]) -> None:
        """Let *service* publish to the topic, in the name of this account only."""
        self._topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["sns:Publish"],
                resources=[self._topic.topic_arn],
                conditions=conditions,
            )
        )
