"""AWS's own monitoring of the bill: budgets, anomalies, and the estimated charges. All of it is free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_ce as ce
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.alarms import create_alarm
from ml_janitor.config.sections import BillSection

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
