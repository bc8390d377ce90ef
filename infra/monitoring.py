"""The monitoring of the janitor: alarms that wake somebody, the dashboard, and AWS's watch on the bill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_ce as ce
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from ml_janitor.config.sections import BillSection
from ml_janitor.report.telemetry import (
    DETECTOR_DIMENSION,
    FAILED_METRIC,
    HELD_BACK_METRIC,
    METRICS_NAMESPACE,
    MISSED_METRIC,
    REFUSED_METRIC,
)

# --- alarms ---------------------------------------------------------------------------------------


def alarm_topic(scope: Construct, id_: str, key: kms.IKey | None, *, email: str) -> sns.Topic:
    """
    Create the topic that all alarms notify, over TLS only, and under *key* if there is one.

    The address *email* gets them too, once its owner has confirmed.

    The policy that demands TLS replaces the topic's default, which would let alarms publish. So alarms are
    allowed by name, else nobody would hear them
    (https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).
    """
    topic = sns.Topic(scope, id_, display_name="ML Janitor", enforce_ssl=True, master_key=key)
    if email:
        sns.Subscription(topic, "Email", topic=topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)
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


def create_alarms(
    scope: Construct,
    topic: sns.ITopic,
    *,
    failed: sqs.IQueue,
    undelivered: sqs.IQueue,
    acts: bool,
    machine: stepfunctions.IStateMachine | None,
    receiver: lambda_.IFunction | None,
) -> None:
    """
    Create the alarms of a deployment, over all of its functions.

    The queues are watched for what arrives in them, so that each new failure rings. Where nothing *acts* or
    can be undone, there is nothing to watch of that; *machine* is that of an organization, and *receiver*
    Slack's. AWS counts failures of the receiver as 5xx (Lambda developer guide, "Monitoring Lambda function
    URLs"); its refusals are 4xx, of which anybody may cause as many as they like.
    """
    quarter, where = Duration.minutes(15), "Its execution in Step Functions says where."
    watched: dict[str, tuple[cloudwatch.IMetric, str]] = {
        "RunFailed": (
            failed.metric_number_of_messages_sent(period=quarter),
            "A run failed twice. Its event and error are in the queue Failed; the function's log says why.",
        ),
        "NotDelivered": (
            undelivered.metric_number_of_messages_sent(period=quarter),
            "A schedule could not start its function. Its event is in the queue Undelivered, and says why.",
        ),
    }
    if acts:
        watched |= {
            FAILED_METRIC: (
                own_metric(FAILED_METRIC),
                "An action failed. `janitor findings` says which, and why.",
            ),
            HELD_BACK_METRIC: (
                own_metric(HELD_BACK_METRIC),
                "A limit held something back. The report says which limit, and what to do.",
            ),
            REFUSED_METRIC: (
                own_metric(REFUSED_METRIC),
                "A record in the ledger is not what was signed; nothing was done from it. The log says more.",
            ),
        }
    if machine is not None:
        watched |= {
            "OrganizationFailed": (
                machine.metric_failed(period=quarter),
                f"A run over the organization failed, or left accounts without a result. {where}",
            ),
            "OrganizationTimedOut": (
                machine.metric_timed_out(period=quarter),
                f"A run over the organization was broken off after a day. {where}",
            ),
        }
    if receiver is not None:
        watched["PressNotTaken"] = (
            receiver.metric("Url5xxCount", period=quarter, statistic="Sum"),
            "A press in Slack could not be taken. The log of Slack's receiver says why.",
        )
    for name, (metric, says) in watched.items():
        create_alarm(scope, name, metric=metric, says=says, topic=topic)
    create_alarm(
        scope,
        "SweepMissed",
        metric=own_metric(MISSED_METRIC),
        says="A sweep, the digest or the bill did not run on its schedule. `janitor doctor` says which.",
        topic=topic,
        periods=2,
        missing=cloudwatch.TreatMissingData.BREACHING,
    )


def own_metric(name: str) -> cloudwatch.Metric:
    """Return a metric that the janitor writes for all detectors together, hour by hour."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE, metric_name=name, statistic="Maximum", period=Duration.hours(1)
    )


# --- dashboard ------------------------------------------------------------------------------------
# The money stands first, then the results of sweeps, then what is wrong.

METRIC_DAY = Duration.days(1)


def create_dashboard(
    scope: Construct, id_: str, detectors: Sequence[str], functions: Mapping[str, lambda_.IFunction]
) -> cloudwatch.Dashboard:
    """Create one page for the whole deployment: *detectors*, and the *functions* that sweep, by name."""
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
        cloudwatch.GraphWidget(
            title="Milliseconds a run takes",
            width=12,
            left=[
                function.metric_duration(period=METRIC_DAY, label=name, statistic="Maximum")
                for name, function in functions.items()
            ],
        ),
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
