"""The monitoring of the janitor: alarms that wake somebody, the dashboard, and AWS's watch on the bill."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from ml_janitor.config.sections import BillSection
from ml_janitor.report.telemetry import (
    DETECTOR_DIMENSION,
    FAILED_METRIC,
    HELD_BACK_METRIC,
    METRICS_NAMESPACE,
    MISSED_METRIC,
    REFUSED_METRIC,
)
from ml_janitor_cli.template.keys import deny_plain_requests
from ml_janitor_cli.template.resources import ACCOUNT, PARTITION, REGION, PolicyStatements, StackTemplate

# --- alarms ---------------------------------------------------------------------------------------


class AlarmTopic:
    """
    The topic that all alarms notify, over TLS only, and under *key* if there is one.

    The address *email* gets them too, once its owner has confirmed.

    The policy that demands TLS replaces the topic's default, which would let alarms publish. So alarms are
    allowed by name, else nobody would hear them
    (https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).
    """

    def __init__(self, template: StackTemplate, *, key: str | None, email: str) -> None:
        topic = template.add(
            "Alarms/Resource", "AWS::SNS::Topic", {"DisplayName": "ML Janitor", "KmsMasterKeyId": key}
        )
        self.arn = f"${{{topic}}}"
        everybody = {"Principal": "*", "Sid": "AllowPublishThroughSSLOnly"}
        self._policy = PolicyStatements(
            [deny_plain_requests("sns:Publish", self.arn) | everybody], numbered=True
        )
        document = {"PolicyDocument": self._policy, "Topics": [self.arn]}
        template.add("Alarms/Policy/Resource", "AWS::SNS::TopicPolicy", document)
        if email:
            subscribed = {"Endpoint": email, "Protocol": "email", "TopicArn": self.arn}
            template.add("Alarms/Email/Resource", "AWS::SNS::Subscription", subscribed)
        alarms = f"arn:{PARTITION}:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"
        self.let_publish("cloudwatch", {"ArnLike": {"aws:SourceArn": alarms}})

    def let_publish(self, service: str, conditions: Mapping[str, Any]) -> None:
        """Let *service* publish, in the name of this account only."""
        self._policy.statements.append(
            {
                "Effect": "Allow",
                "Principal": {"Service": f"{service}.amazonaws.com"},
                "Action": ["sns:Publish"],
                "Resource": [self.arn],
                "Condition": conditions,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmMetric:
    """A metric and its *period* in seconds that an alarm watches; *dimension* is its name and value."""

    name: str
    namespace: str
    statistic: str = "Sum"
    period: int = 900
    dimension: tuple[str, str] | None = None


def add_alarm(
    template: StackTemplate,
    path: str,
    metric: AlarmMetric,
    *,
    says: str,
    topic: AlarmTopic,
    threshold: float = 0,
    periods: int = 1,
    missing: str = "notBreaching",
    condition: str = "",
) -> None:
    """Add an alarm that notifies *topic* of what it *says*; docs/operating.md says what to do about it."""
    dimension = metric.dimension
    template.add(
        f"{path}/Resource",
        "AWS::CloudWatch::Alarm",
        {
            "AlarmActions": [topic.arn],
            "AlarmDescription": says,
            "ComparisonOperator": "GreaterThanThreshold",
            "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}] if dimension else None,
            "EvaluationPeriods": periods,
            "MetricName": metric.name,
            "Namespace": metric.namespace,
            "Period": metric.period,
            "Statistic": metric.statistic,
            "Threshold": threshold,
            "TreatMissingData": missing,
        },
        condition=condition,
    )


def add_alarms(
    template: StackTemplate,
    topic: AlarmTopic,
    *,
    failed: str,
    undelivered: str,
    acts: bool,
    machine: str | None,
    receiver: str | None,
) -> None:
    """
    Add the alarms of a deployment, over all of its functions.

    The queues are watched for what arrives in them, so that each new failure rings. Where nothing *acts* or
    can be undone, there is nothing to watch of that; *machine* is that of an organization, and *receiver*
    Slack's. AWS counts failures of the receiver as 5xx (Lambda developer guide, "Monitoring Lambda function
    URLs"); its refusals are 4xx, of which anybody may cause as many as they like.
    """
    where = "Its execution in Step Functions says where."

    def sent(queue: str) -> AlarmMetric:
        own = "QueueName", f"${{{queue}.QueueName}}"
        return AlarmMetric(name="NumberOfMessagesSent", namespace="AWS/SQS", dimension=own)

    watched: dict[str, tuple[AlarmMetric, str]] = {
        "RunFailed": (
            sent(failed),
            "A run failed twice. Its event and error are in the queue Failed; the function's log says why.",
        ),
        "NotDelivered": (
            sent(undelivered),
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
        runs = partial(AlarmMetric, namespace="AWS/States", dimension=("StateMachineArn", machine))
        watched |= {
            "OrganizationFailed": (
                runs(name="ExecutionsFailed"),
                f"A run over the organization failed, or left accounts without a result. {where}",
            ),
            "OrganizationTimedOut": (
                runs(name="ExecutionsTimedOut"),
                f"A run over the organization was broken off after a day. {where}",
            ),
        }
    if receiver is not None:
        watched["PressNotTaken"] = (
            AlarmMetric(name="Url5xxCount", namespace="AWS/Lambda", dimension=("FunctionName", receiver)),
            "A press in Slack could not be taken. The log of Slack's receiver says why.",
        )
    for name, (metric, says) in watched.items():
        add_alarm(template, name, metric, says=says, topic=topic)
    add_alarm(
        template,
        "SweepMissed",
        own_metric(MISSED_METRIC),
        says="A sweep, the digest or the bill did not run on its schedule. `janitor doctor` says which.",
        topic=topic,
        periods=2,
        missing="breaching",
    )


def own_metric(name: str) -> AlarmMetric:
    """Return a metric that the janitor writes for all detectors together, hour by hour."""
    return AlarmMetric(name=name, namespace=METRICS_NAMESPACE, statistic="Maximum", period=3600)


# --- dashboard ------------------------------------------------------------------------------------
# The money stands first, then the results of sweeps, then what is wrong.

METRIC_DAY = 86_400


def add_dashboard(template: StackTemplate, detectors: Sequence[str], functions: Mapping[str, str]) -> None:
    """Add one page for the whole deployment: *detectors*, and the *functions* that sweep, by name."""

    def of_detectors(metric: str) -> list[Any]:
        return [
            [METRICS_NAMESPACE, metric, DETECTOR_DIMENSION, name, _plotted(name, "Maximum")]
            for name in detectors
        ]

    def of_functions(metric: str, statistic: str) -> list[Any]:
        return [
            ["AWS/Lambda", metric, "FunctionName", function, _plotted(name, statistic)]
            for name, function in functions.items()
        ]

    terms = [
        [*metric, shown | {"visible": False, "id": f"m{number}"}]
        for number, (*metric, shown) in enumerate(of_detectors("MonthlyUsd"))
    ]
    total = {
        "label": "all",
        "expression": f"SUM([{', '.join(f'm{number}' for number in range(len(terms)))}])",
        "period": METRIC_DAY,
    }
    widgets = [
        _widget(0, 0, 16, "Cost of the findings, dollars a month", of_detectors("MonthlyUsd"), stacked=True),
        _widget(16, 0, 8, "Dollars a month now", [[total], *terms], view="singleValue"),
        _widget(0, 6, 8, "Found", of_detectors("Found")),
        _widget(8, 6, 8, "Could not be judged", of_detectors("Unknown")),
        _widget(16, 6, 8, "Looked at", of_detectors("LookedAt")),
        _widget(0, 12, 12, "Milliseconds a run takes", of_functions("Duration", "Maximum")),
        _widget(12, 12, 12, "Runs that failed", of_functions("Errors", "Sum")),
    ]
    body = json.dumps({"start": "-P30D", "widgets": widgets}, separators=(",", ":"))
    template.add("Dashboard/Resource", "AWS::CloudWatch::Dashboard", {"DashboardBody": body})


def _plotted(label: str, statistic: str) -> dict[str, Any]:
    """Return how a metric is shown: by the day, because hourly sweeps must not add up."""
    return {"label": label, "period": METRIC_DAY, "stat": statistic}


def _widget(x: int, y: int, width: int, title: str, metrics: list[Any], **more: Any) -> dict[str, Any]:
    """Return a widget at this place that plots *metrics* over time, a line each, or as *more* says."""
    shown = {"view": "timeSeries", "title": title, "region": REGION, **more, "metrics": metrics}
    return {"type": "metric", "width": width, "height": 6, "x": x, "y": y, "properties": shown}


# --- budgets and anomalies ------------------------------------------------------------------------
# AWS monitors the bill, its anomalies and the estimated charges. All of it is free.

BUDGET_ALERTS = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
"""Alerts of a budget to the topic: percent of it that are spent, or expected by the end of the month."""

EXCLUDED_CHARGES = ("IncludeCredit", "IncludeRefund", "IncludeTax")
"""Charges that budgets leave out, as everywhere else: an ended credit is not overspending."""

LEAST_ANOMALY = 100
"""Dollars below which the topic hears of no anomaly."""

BILLING_REGION = "us-east-1"
"""The only region with the metric EstimatedCharges (CloudWatch user guide, "Create a billing alarm")."""


def add_budgets(template: StackTemplate, section: BillSection, topic: AlarmTopic) -> None:
    """Add the budgets of *section*, and its anomaly monitor; nothing where it wants none."""
    if section.monthly_budget:
        _add_budget(template, topic, "Whole", section.monthly_budget, "account")
        _add_estimated_charges(template, topic, section.monthly_budget)
    for part, usd in sorted(section.budgets.items()):
        name, _, value = part.partition("=")
        filters = [f"user:{section.tags[name]}${value}"]
        _add_budget(template, topic, part.replace("/", "-"), usd, part, filters=filters)
    if section.monthly_budget or section.budgets:
        source = {"aws:SourceArn": f"arn:{PARTITION}:budgets::{ACCOUNT}:*"}
        topic.let_publish("budgets", {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": source})
    if section.anomaly_monitor != "off":
        _add_anomalies(template, topic, section.anomaly_monitor)


def _add_budget(
    template: StackTemplate,
    topic: AlarmTopic,
    id_: str,
    usd: float,
    what: str,
    *,
    filters: Sequence[str] = (),
) -> None:
    """
    Add a monthly budget with its alerts, named after its scope *what*.

    AWS takes no colon, no backslash and no "/action/" in a name (Budgets API reference, Budget).
    """
    template.add(
        f"Budgets/{id_}",
        "AWS::Budgets::Budget",
        {
            "Budget": {
                "BudgetLimit": {"Amount": usd, "Unit": "USD"},
                "BudgetName": re.sub(r"[:\\/]", "-", f"{template.name} {what}")[:100],
                "BudgetType": "COST",
                **({"CostFilters": {"TagKeyValue": [*filters]}} if filters else {}),
                "CostTypes": dict.fromkeys(EXCLUDED_CHARGES, False),
                "TimeUnit": "MONTHLY",
            },
            "NotificationsWithSubscribers": [
                {
                    "Notification": {
                        "ComparisonOperator": "GREATER_THAN",
                        "NotificationType": kind,
                        "Threshold": percent,
                        "ThresholdType": "PERCENTAGE",
                    },
                    "Subscribers": [{"Address": topic.arn, "SubscriptionType": "SNS"}],
                }
                for kind, percent in BUDGET_ALERTS
            ],
        },
    )


def _add_estimated_charges(template: StackTemplate, topic: AlarmTopic, usd: float) -> None:
    """Add an alarm that comes hours before a budget's, where the account has billing alerts."""
    template.conditions["HasEstimatedCharges"] = {"Fn::Equals": [{"Ref": "AWS::Region"}, BILLING_REGION]}
    metric = AlarmMetric(
        name="EstimatedCharges",
        namespace="AWS/Billing",
        statistic="Maximum",
        period=6 * 3600,
        dimension=("Currency", "USD"),
    )
    says = f"The month's charges are above monthly_budget, ${Decimal(str(usd)):,}."
    add_alarm(
        template,
        "Budgets/EstimatedCharges",
        metric,
        says=says,
        topic=topic,
        threshold=usd,
        condition="HasEstimatedCharges",
    )


def _add_anomalies(template: StackTemplate, topic: AlarmTopic, monitor: str) -> None:
    """Notify the topic of anomalies that *monitor* finds; "create" makes a monitor over all services."""
    if monitor == "create":
        named = {"MonitorName": f"{template.name}: services", "MonitorType": "DIMENSIONAL"}
        made = template.add(
            "Budgets/Monitor", "AWS::CE::AnomalyMonitor", {"MonitorDimension": "SERVICE", **named}
        )
        monitor = f"${{{made}.MonitorArn}}"
    threshold = {
        "Dimensions": {
            "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
            "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
            "Values": [str(LEAST_ANOMALY)],
        }
    }
    template.add(
        "Budgets/Anomalies",
        "AWS::CE::AnomalySubscription",
        {
            "Frequency": "IMMEDIATE",
            "MonitorArnList": [monitor],
            "Subscribers": [{"Address": topic.arn, "Type": "SNS"}],
            "SubscriptionName": f"{template.name}: anomalies",
            "ThresholdExpression": json.dumps(threshold, separators=(",", ":")),
        },
    )
    topic.let_publish("costalerts", {"StringEquals": {"aws:SourceAccount": ACCOUNT}})
